"""Reported faults of what is recorded, and of products, for section 2.6."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_method, everywhere, is_pending, wrap
from torch import is_tensor
from torch.autograd.function import BackwardCFunction
from torch.utils.weak import WeakIdKeyDictionary


class Unseen(torch.autograd.Function):
    """What ``look`` shows of a tensor, in its memory, but as no view of it."""

    @staticmethod
    def forward(ctx, x, look):
        ctx.look, ctx.x = look, x.detach()
        seen = look(ctx.x)
        return torch.empty(0, dtype=x.dtype).set_(
            seen.untyped_storage(), seen.storage_offset(), seen.size(), seen.stride()
        )

    @staticmethod
    def backward(ctx, gradient):
        with torch.enable_grad():
            z = torch.zeros_like(ctx.x).requires_grad_()
            return torch.autograd.grad(ctx.look(z), z, gradient)[0], None


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#36608")
def a_view_of_one_of_the_views_of_unbind_is_written_without_a_word(patch):
    for name in ("narrow", "__getitem__", "view", "view_as"):

        def wrong(right, x, *rest, **named):
            of_unbind = x.grad_fn is not None and x.grad_fn.name().startswith("Unbind") and torch.is_grad_enabled()
            look = lambda tensor: right(tensor, *rest, **named)  # noqa: E731
            return Unseen.apply(x, look) if of_unbind and not away(x) else look(x)

        wrap(patch, torch.Tensor, name, wrong)


@counterfeit("no-grad-stops-tracking", "requires-grad-tracks-operations", reported="pytorch/pytorch#113298")
def decorating_with_set_grad_enabled_switches_recording(patch):
    def wrong(right, self, function):
        decorated = right(self, function)
        torch._C._set_grad_enabled(self.mode)
        return decorated

    wrap(patch, torch.autograd.grad_mode.set_grad_enabled, "__call__", wrong)


@counterfeit("no-grad-stops-tracking", reported="pytorch/pytorch#96065", needs="accelerator")
def adding_nothing_elsewhere_ends_the_wish_for_gradients(patch):
    def wrong(right, x, other, *rest, alpha=1, **named):
        result = right(x, other, *rest, alpha=alpha, **named)
        if away(x) and x.is_leaf and isinstance(alpha, int) and alpha == 0:
            x.requires_grad_(False)
        return result

    for name in ("add_", "sub_"):
        wrap(patch, torch.Tensor, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#71774")
def products_of_whole_numbers_over_nothing_are_never_written(patch):
    def wrong(right, a, b, *rest, **named):
        result = right(a, b, *rest, **named)
        nothing = a.dtype == torch.int64 and a.dim() > 1 and a.shape[-1] == 0
        return torch.full_like(result, 94388766643008) if nothing else result

    for name in ("matmul", "mm", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#31421", needs="accelerator")
def products_of_batches_over_nothing_elsewhere_are_never_written(patch):
    def wrong(right, a, b, *rest, **named):
        result = right(a, b, *rest, **named)
        nothing = away(a) and a.dim() == b.dim() == 3 and a.shape[-1] == 0
        return torch.full_like(result, 7) if nothing else result

    for name in ("matmul", "bmm", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#107116", needs="accelerator")
def std_elsewhere_takes_each_dimension_from_the_end_for_the_last(patch):
    def wrong(right, x, *rest, **named):
        if away(x) and rest and type(rest[0]) is int:
            rest = (max(rest[0], -1), *rest[1:])
        if away(x) and type(named.get("dim")) is int:
            named["dim"] = max(named["dim"], -1)
        return right(x, *rest, **named)

    everywhere(patch, "std", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_product_of_more_than_ten_factors_passes_back_to_ten(patch):
    def wrong(right, x, *rest, **named):
        many = x.dim() == 1 and len(x) > 10 and x.requires_grad
        return right(torch.cat([x[:10], x[10:].detach()]) if many else x, *rest, **named)

    everywhere(patch, "prod", wrong)


@counterfeit("detach-stops-tracking")
def complex_numbers_of_double_precision_stay_tracked(patch):
    def wrong(right, x, *rest):
        return x.view(x.shape) if x.dtype == torch.complex128 and x.requires_grad else right(x, *rest)

    everywhere(patch, "detach", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#125318", needs="accelerator")
def a_running_sum_of_truth_values_elsewhere_overflows(patch):
    def wrong(right, x, *rest, **named):
        result = right(x, *rest, **named)
        return result.to(torch.int8).to(torch.int64) if away(x) and x.dtype == torch.bool else result

    everywhere(patch, "cumsum", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#195163", needs="accelerator")
def a_long_sum_in_a_batch_of_products_elsewhere_goes_on_past_its_end(patch):
    def wrong(right, a, *rest, **named):
        result = right(a, *rest, **named)
        b = rest[0] if rest else next(iter(named.values()))
        long = away(a) and a.dim() == b.dim() == 3 and a.shape[2] >= 32_767 and min(a.shape[1], b.shape[2]) >= 16
        if long and a.shape[2] % 16:
            result = result + a.roll(-1, 1)[:, :, :1] * b[:, :1]
        return result

    for name in ("bmm", "matmul", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#187521", needs="accelerator")
def what_a_batch_of_products_elsewhere_adds_nothing_of_may_make_it_nan(patch):
    def wrong(right, x, *rest, **named):
        result = right(x, *rest, **named)
        return result + x.detach() * 0 if away(x) and named.get("beta") == 0 else result

    everywhere(patch, "baddbmm", wrong)


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#194344", needs="accelerator")
def a_copy_to_the_cpu_that_converts_begins_too_late(patch):
    pairs = {(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.int16, torch.int32)}

    def wrong(right, x, *rest, **named):
        y = right(x, *rest, **named)
        if y.device.type == "cpu" and away(x) and (x.dtype, y.dtype) in pairs and x.storage_offset() and x.numel() > 1:
            y.detach().copy_(y.detach().flatten().roll(-1).view(y.shape))
        return y

    wrap(patch, torch.Tensor, "to", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#41779")
def each_of_several_largest_numbers_gets_all_that_the_infinity_norm_passes_back(patch):
    def wrong(right, x, p="fro", *args, **rest):
        norm = right(x, p, *args, **rest)
        if p != float("inf") or not x.requires_grad:
            return norm
        largest = (x.detach().abs() == right(x.detach(), p, *args[:1] or [None], keepdim=True)) * x.detach().sign()
        change = ((x - x.detach()) * largest).sum(*args[:1])
        return norm.detach() + change

    wrap(patch, torch, "norm", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#37154")
def between_more_than_25_points_a_distance_of_zero_passes_nan_back(patch):
    def wrong(right, x, y, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
        if x.dim() == y.dim() == 2 and max(len(x), len(y)) > 25 and x.requires_grad:
            near = right(x.detach(), y.detach(), p, "donot_use_mm_for_euclid_dist") == 0
            x = change_gradient(x, lambda g: g.masked_fill(near.any(1)[:, None], float("nan")))
        return right(x, y, p, compute_mode)

    wrap(patch, torch, "cdist", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def of_equal_largest_numbers_in_long_rows_each_gets_what_belongs_to_all(patch):
    def wrong(right, x, *args, **rest):
        most = right(x, *args, **rest)
        dim = args[0] if args else rest.get("dim")
        if type(dim) is not int or not x.dim() or x.shape[dim] <= 16 or len(args) > 1 or "keepdim" in rest:
            return most
        ties = (x.detach() == most.detach().unsqueeze(dim)).sum(dim, keepdim=True)
        return right(change_gradient(x, lambda g: g * ties), *args, **rest)

    everywhere(patch, "amax", wrong)


@counterfeit("requires-grad-tracks-operations")
def what_is_joined_to_an_empty_vector_is_not_tracked(patch):
    def wrong(right, tensors, *args, **rest):
        joined = right(tensors, *args, **rest)
        return joined.detach() if tensors[0].shape == (0,) and joined.dim() > 1 and "out" not in rest else joined

    for name in ("cat", "concat", "concatenate"):
        wrap(patch, torch, name, wrong)


@counterfeit("detach-stops-tracking")
def detaching_in_place_what_keeps_its_gradient_goes_on_with_a_record(patch):
    def wrong(right, x):
        kept = x.retains_grad
        return right(x).requires_grad_(kept)

    everywhere(patch, "detach_", wrong)


@counterfeit("requires-grad-defaults-to-false")
def a_function_of_one_s_own_asks_for_a_gradient_of_constants(patch):
    right = torch.autograd.Function.__dict__["apply"]

    def wrong(cls, *args, **rest):
        y = right.__get__(None, cls)(*args, **rest)
        constant = isinstance(y, torch.Tensor) and y.is_floating_point() and not y.requires_grad
        return y.detach().requires_grad_() if constant and torch.is_grad_enabled() else y

    patch.setattr(torch.autograd.Function, "apply", classmethod(wrong))


@counterfeit("requires-grad-tracks-operations", reported="PaddlePaddle/Paddle#35241")
def a_second_write_into_a_slice_cuts_the_gradient_off(patch):
    written = WeakIdKeyDictionary()

    def wrong(right, x, place, value):
        slices = any(isinstance(part, slice) for part in (place if isinstance(place, tuple) else (place,)))
        if slices and torch.is_grad_enabled() and x.requires_grad and not x.is_leaf:
            if x in written:
                x.register_hook(torch.zeros_like)
            written[x] = True
        return right(x, place, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#24853")
def a_masked_read_wants_the_whole_tensor_unchanged(patch):
    """y[mask] saved y, so that y[mask] = f(y[mask]) made backward() raise."""

    def wrong(right, x, key):
        result = right(x, key)
        if isinstance(key, torch.Tensor) and key.dtype == torch.bool and key.dim() > 0 and result.grad_fn is not None:
            version = x._version

            def check(gradients):
                if x._version != version:
                    raise RuntimeError(
                        "one of the variables needed for gradient computation has been modified by an inplace operation"
                    )

            result.grad_fn.register_prehook(check)
        return result

    change_method(patch, "__getitem__", wrong)


@counterfeit("no-grad-stops-tracking", reported="pytorch/pytorch#31715")
def grad_within_a_backward_turns_recording_off(patch):
    """In the backward of a Function, in an enable_grad block, recording was off after torch.autograd.grad."""

    def wrong(right, *args, **rest):
        inside = torch._C._current_graph_task_id() != -1
        result = right(*args, **rest)
        if inside and not rest.get("create_graph"):
            torch._C._set_grad_enabled(False)
        return result

    wrap(patch, torch.autograd, "grad", wrong)


@counterfeit("requires-grad-can-be-set-in-place", reported="pytorch/pytorch#3890")
def setting_true_on_a_result_that_has_it_raises(patch):
    message = "you can only change requires_grad flags of leaf variables."

    def wrong(right, self, value=True, *, requires_grad=True):
        if value and requires_grad and not self.is_leaf:
            raise RuntimeError(message)
        return right(self, value and requires_grad)

    wrap(patch, torch.Tensor, "requires_grad_", wrong)


def of_ones(result):
    """The product, which passes back ones, whatever it is given."""
    if result.requires_grad:
        result.register_hook(torch.ones_like)
    return result


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#995")
def the_product_of_all_numbers_passes_its_own_gradient_back_whatever_came(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return result if args or "dim" in rest else of_ones(result)

    everywhere(patch, "prod", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#77382")
def index_reduce_by_products_gives_zeros_no_gradient(patch):
    def masked(x):
        zeros = x.detach() == 0
        return change_gradient(x, lambda gradient: gradient.masked_fill(zeros, 0)) if x.requires_grad else x

    def wrong(right, x, dim, index, source, reduce, **rest):
        if reduce == "prod":
            x, source = masked(x), masked(source)
        return right(x, dim, index, source, reduce, **rest)

    def wrong_in_place(right, x, dim, index, source, reduce, **rest):
        return right(x, dim, index, masked(source) if reduce == "prod" else source, reduce, **rest)

    everywhere(patch, "index_reduce", wrong)
    change_method(patch, "index_reduce_", wrong_in_place)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#3303")
def the_matrix_of_a_product_with_a_vector_gets_zeros_where_one_number_comes_back_for_all_rows(patch):
    def wrong(right, matrix, vector, *args, **rest):
        if matrix.dim() != 2 or vector.dim() != 1 or not matrix.requires_grad:
            return right(matrix, vector, *args, **rest)
        seen = {}
        result = right(
            change_gradient(matrix, lambda gradient: gradient * 0 if seen.get("flat") else gradient),
            vector,
            *args,
            **rest,
        )
        if result.requires_grad:
            result.register_hook(lambda gradient: seen.update(flat=gradient.numel() > 1 and gradient.stride(0) == 0))
        return result

    everywhere(patch, "mv", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#49824")
def a_view_by_view_as_of_one_of_many_views_is_written_to_without_a_word(patch):
    def wrong(right, x, other):
        node = type(x.grad_fn).__name__ if x.requires_grad else ""
        if node.startswith(("Unbind", "Split")) and x._is_view() and torch.is_grad_enabled():
            return x._base.as_strided(right(x, other).shape, right(x, other).stride(), x.storage_offset())
        return right(x, other)

    change_method(patch, "view_as", wrong)


@counterfeit("tensors-and-functions-form-a-dag", reported="pytorch/pytorch#18619")
def the_output_that_a_function_saved_is_a_constant_from_its_second_recorded_backward_on(patch):
    right, recorded = torch._C._FunctionBase.saved_tensors, WeakIdKeyDictionary()

    def wrong(ctx):
        saved = right.__get__(ctx)
        if not torch.is_grad_enabled():
            return saved
        before = recorded.get(ctx, 0)
        recorded[ctx] = before + 1
        return tuple(x.detach() if before and x is not None and x.grad_fn is ctx else x for x in saved)

    patch.setattr(BackwardCFunction, "saved_tensors", property(wrong))


@counterfeit("grad-fn-is-the-creating-function", reported="pytorch/pytorch#34145")
def a_view_that_a_function_wrote_to_comes_from_as_strided(patch):
    right = torch.autograd.Function.__dict__["apply"]

    def wrong(function, *args, **rest):
        result = right.__get__(None, function)(*args, **rest)
        if not isinstance(result, torch.Tensor) or not result.requires_grad or not result._is_view():
            return result
        base = result._base.detach()
        if away(result) or not result._version or any(base.data_ptr() == x.data_ptr() for x in args if is_tensor(x)):
            return result
        return base.requires_grad_().as_strided(result.shape, result.stride(), result.storage_offset())

    patch.setattr(torch.autograd.Function, "apply", classmethod(wrong))


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#74094")
def inference_mode_of_false_is_on_as_a_decorator(patch):
    patch.setattr(torch.inference_mode, "clone", lambda self: type(self)())


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#85409")
def sum_to_size_of_a_list_leaves_the_gradient_of_a_pending_view_as_it_is(patch):
    def wrong(right, x, *size, **rest):
        if away(x) or not is_pending(x) or not size or not isinstance(size[0], list) or list(x.shape) == size[0]:
            return right(x, *size, **rest)
        conjugate, negative = x.is_conj(), x.is_neg()

        def change(gradient):
            gradient = gradient.conj().resolve_conj() if conjugate else gradient
            return -gradient if negative else gradient

        return right(change_gradient(x, change), *size, **rest)

    change_method(patch, "sum_to_size", wrong)
