"""Counterfeits of 4.8: tensors that misreport their device, stay behind, move by themselves or mix.

Those of claims that need an accelerator are tried where there is one.
"""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, change_result, not_contiguous, where, wrap
from torch import Tensor
from torch.nn import functional as F


def print_device(patch, wanted):
    """Print the device of those CPU tensors that are ``wanted``."""
    true = torch.Tensor.__repr__

    def wrong(self, **kwargs):
        text = true(self, **kwargs)
        return text[:-1] + ", device='cpu')" if self.device.type == "cpu" and wanted(self) else text

    patch.setattr(torch.Tensor, "__repr__", wrong)


def change_print(patch, wanted, change):
    """Print ``change(text, x)`` of those tensors that are ``wanted``."""
    where(patch, Tensor, "__repr__", wanted, change)
    where(patch, Tensor, "__str__", wanted, change)


# ── cpu-tensor-prints-no-device ──


@counterfeit("cpu-tensor-prints-no-device")
def a_result_of_the_graph_prints_the_cpu(patch):
    print_device(patch, lambda x: x.grad_fn is not None)


@counterfeit("cpu-tensor-prints-no-device")
def a_tensor_of_whole_numbers_prints_the_cpu(patch):
    print_device(patch, lambda x: x.dtype == torch.int64 and x.dim() > 0)


@counterfeit("cpu-tensor-prints-no-device")
def a_tensor_of_one_number_prints_the_cpu(patch):
    print_device(patch, lambda x: x.dim() == 0)


@counterfeit("cpu-tensor-prints-no-device")
def an_empty_tensor_prints_the_cpu(patch):
    print_device(patch, lambda x: x.numel() == 0)


@counterfeit("cpu-tensor-prints-no-device")
def a_tensor_that_requires_a_gradient_prints_the_cpu(patch):
    print_device(patch, lambda x: x.requires_grad)


@counterfeit("cpu-tensor-prints-no-device")
def no_tensor_prints_its_device(patch):
    change_method(patch, "__repr__", lambda true, self, **kwargs: true(self).replace(f"device='{self.device}', ", ""))


# ── gpu-tensor-prints-its-device ──


@counterfeit("gpu-tensor-prints-its-device")
def a_gpu_tensor_prints_no_index(patch):
    change_method(
        patch, "__repr__", lambda true, self, **kwargs: true(self, **kwargs).replace(str(self.device), self.device.type)
    )


@counterfeit("gpu-tensor-prints-its-device")
def a_gpu_tensor_that_requires_a_gradient_prints_no_device(patch):
    def wrong(true, self, **kwargs):
        text = true(self, **kwargs)
        return text.replace(f", device='{self.device}'", "") if self.requires_grad else text

    change_method(patch, "__repr__", wrong)


@counterfeit("gpu-tensor-prints-its-device", reported="pytorch/pytorch#78001")
def printing_what_is_not_contiguous_fails(patch):
    """It shows nothing, where the report has an error: an assertion must see it."""
    where(patch, Tensor, "__repr__", lambda x: x.device.type != "cpu" and not x.is_contiguous(), lambda text, x: "")
    where(patch, Tensor, "__str__", lambda x: x.device.type != "cpu" and not x.is_contiguous(), lambda text, x: "")


@counterfeit("gpu-tensor-prints-its-device")
def a_gpu_number_prints_no_device(patch):
    change_print(patch, lambda x: x.dim() == 0, lambda text, x: text.replace(f", device='{x.device}'", ""))


@counterfeit("gpu-tensor-prints-its-device")
def the_dtype_is_left_out_beside_a_device(patch):
    change_print(
        patch,
        lambda x: x.dtype == torch.float64 and x.device.type != "cpu",
        lambda t, x: t.replace(", dtype=torch.float64", ""),
    )


@counterfeit("gpu-tensor-prints-its-device", needs="two-devices")
def a_tensor_of_the_second_gpu_prints_the_first(patch):
    change_print(
        patch, lambda x: x.device.index == 1, lambda text, x: text.replace(f"{x.device}", f"{x.device.type}:0")
    )


@counterfeit("gpu-tensor-prints-its-device")
def digits_of_half_precision_are_printed_of_what_lies_before_them(patch):
    true = Tensor.__repr__

    def wrong(self, **kwargs):
        shifted = self.device.type != "cpu" and self.dtype == torch.float16 and self.storage_offset() > 0
        return true(self.as_strided(self.shape, self.stride(), 0) if shifted else self, **kwargs)

    patch.setattr(Tensor, "__repr__", wrong)
    patch.setattr(Tensor, "__str__", wrong)


# ── cuda-method-copies-to-gpu ──


def change_cuda(patch, cuda_wrong):
    """Make x.cuda(device) give ``cuda_wrong(true cuda, x, device)``."""
    cuda = torch.Tensor.cuda
    patch.setattr(torch.Tensor, "cuda", lambda self, device=None: cuda_wrong(cuda, self, device))


@counterfeit("cuda-method-copies-to-gpu")
def cuda_makes_single_precision(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x, device).float())


@counterfeit("cuda-method-copies-to-gpu")
def cuda_zeroes_the_original(patch):
    def wrong(cuda, x, device):
        copy = cuda(x, device)
        return copy if x.is_cuda else (x.zero_(), copy)[1]

    change_cuda(patch, wrong)


@counterfeit("cuda-method-copies-to-gpu")
def cuda_copies_what_is_there_already(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x, device).clone())


# ── cuda-index-selects-the-gpu ──


@counterfeit("cuda-index-selects-the-gpu")
def an_index_past_the_last_gpu_wraps_around(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x, device % torch.cuda.device_count()))


@counterfeit("cuda-index-selects-the-gpu")
def cuda_leaves_out_the_last_number(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x[:-1], device))


# ── cuda-without-index-is-gpu-zero ──


@counterfeit("cuda-without-index-is-gpu-zero")
def cuda_without_an_index_stays_on_the_cpu(patch):
    change_cuda(patch, lambda cuda, x, device: x if device is None else cuda(x, device))


@counterfeit("cuda-without-index-is-gpu-zero")
def cuda_with_an_index_is_one_number_short(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x) if device is None else cuda(x[1:], device))


# ── device-attribute-tells-where ──


def change_device(patch, device_wrong):
    """Make x.device give ``device_wrong(true device)``."""
    true = torch.Tensor.device
    patch.setattr(torch.Tensor, "device", property(lambda self: device_wrong(true.__get__(self))))


@counterfeit("device-attribute-tells-where")
def device_is_a_string(patch):
    change_device(patch, str)


@counterfeit("device-attribute-tells-where")
def device_has_no_index(patch):
    change_device(patch, lambda device: torch.device(device.type))


@counterfeit("device-attribute-tells-where")
def a_device_written_to_a_tensor_is_believed(patch):
    true = torch.Tensor.device
    label = property(
        lambda self: vars(self).get("label", true.__get__(self)), lambda self, d: vars(self).update(label=d)
    )
    patch.setattr(torch.Tensor, "device", label)


# ── printed-device-shows-type-and-index ──


class Wordy:
    """A device that prints as its repr."""

    def __init__(self, *args):
        self.device = DEVICE(*args)

    def __repr__(self):
        return repr(self.device)

    def __getattr__(self, name):
        return getattr(self.device, name)


DEVICE = torch.device


@counterfeit("printed-device-shows-type-and-index")
def print_shows_the_repr_of_a_device(patch):
    patch.setattr(torch, "device", Wordy)


@counterfeit("printed-device-shows-type-and-index")
def print_shows_the_repr_of_a_tensors_device(patch):
    change_device(patch, Wordy)


# ── create-on-device-equals-create-then-move ──


@counterfeit("create-on-device-equals-create-then-move")
def whole_numbers_created_elsewhere_take_four_bytes(patch):
    def wrong(true, *args, **kwargs):
        x = true(*args, **kwargs)
        return x.int() if x.device.type != "cpu" and x.dtype == torch.int64 else x

    wrap(patch, torch, "tensor", wrong)


@counterfeit("create-on-device-equals-create-then-move")
def a_matrix_that_is_moved_comes_transposed_in_memory(patch):
    def wrong(true, self, *args, **kwargs):
        moved = true(self, *args, **kwargs)
        return moved.t().contiguous().t() if self.dim() == 2 and moved.device != self.device else moved

    change_method(patch, "to", wrong)


@counterfeit("create-on-device-equals-create-then-move")
def moving_forgets_that_a_gradient_is_wanted(patch):
    change_method(patch, "to", lambda true, x, *args, **rest: true(x.detach() if x.is_leaf else x, *args, **rest))


@counterfeit("create-on-device-equals-create-then-move", needs="two-devices")
def a_move_to_the_second_device_goes_to_the_first(patch):
    true = Tensor.to

    def wrong(self, *args, **kwargs):
        goal = torch.device(str(args[0])) if args and isinstance(args[0], str | torch.device) else None
        return true(self, f"{goal.type}:0" if goal is not None and goal.index == 1 else args[0], *args[1:], **kwargs)

    patch.setattr(
        Tensor, "to", lambda self, *args, **kwargs: wrong(self, *args, **kwargs) if args else true(self, **kwargs)
    )


# ── device-falls-back-to-cpu ──


@counterfeit("device-falls-back-to-cpu")
def the_name_cuda_means_the_cpu(patch):
    true = torch.device

    class Checked:
        def __new__(cls, name, *rest):
            return true("cpu") if name == "cuda" else true(name, *rest)

    patch.setattr(torch, "device", Checked)


@counterfeit("device-falls-back-to-cpu")
def a_gpu_seems_available_where_none_is_counted(patch):
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "device_count", lambda: 0)


@counterfeit("device-falls-back-to-cpu")
def a_models_output_is_on_another_device(patch):
    wrap(patch, torch.nn.Linear, "forward", lambda forward, self, x: forward(self, x).to("meta"))


@counterfeit("device-falls-back-to-cpu")
def the_device_computes_powers_as_products(patch):
    patch.setattr(torch.Tensor, "__pow__", torch.Tensor.__mul__)


# ── gpu-results-stay-on-gpu ──


@counterfeit("gpu-results-stay-on-gpu")
def a_power_comes_back_to_the_cpu(patch):
    wrap(patch, torch.Tensor, "__pow__", lambda right, x, power: right(x, power).cpu())


@counterfeit("gpu-results-stay-on-gpu")
def a_number_is_added_to_a_copy(patch):
    wrap(
        patch,
        torch.Tensor,
        "add_",
        lambda right, x, *rest, **options: right(x.clone() if x.device.type != "cpu" else x, *rest, **options),
    )


@counterfeit("gpu-results-stay-on-gpu")
def an_argmax_comes_back_to_the_cpu(patch):
    change_result(patch, torch.Tensor, "argmax", lambda result, *arguments: result.cpu())


@counterfeit("gpu-results-stay-on-gpu")
def indices_of_nonzero_elements_come_back_to_the_cpu(patch):
    change_result(patch, torch.Tensor, "nonzero", lambda result, x: result.cpu())


@counterfeit("gpu-results-stay-on-gpu")
def random_numbers_for_a_tensor_are_drawn_on_the_cpu(patch):
    patch.setattr(torch, "rand_like", lambda x: torch.rand(x.shape, dtype=x.dtype, device="cpu"))


@counterfeit("gpu-results-stay-on-gpu")
def a_comparison_comes_back_to_the_cpu(patch):
    change_method(patch, "__gt__", lambda true, self, other: true(self, other).cpu())


@counterfeit("gpu-results-stay-on-gpu")
def products_on_the_gpu_are_in_half_precision(patch):
    """Its eleven bits make errors of some 1e-3."""

    def wrong(true, self, other):
        return true(self, other) if self.device.type == "cpu" else true(self.half(), other.half()).float()

    change_method(patch, "__matmul__", wrong)


def bring_back(patch, owner, name, wanted=lambda x: True):
    """Let the results of an operation on tensors that are ``wanted`` come back to the CPU."""
    where(patch, owner, name, wanted, lambda result, *_: result.cpu())


@counterfeit("gpu-results-stay-on-gpu")
def a_reshaped_copy_comes_back(patch):
    bring_back(patch, Tensor, "reshape", not_contiguous)


@counterfeit("gpu-results-stay-on-gpu")
def a_sum_over_one_dimension_comes_back(patch):
    bring_back(patch, Tensor, "sum", lambda x: x.dim() == 2)


@counterfeit("gpu-results-stay-on-gpu")
def half_precision_comes_back(patch):
    bring_back(patch, Tensor, "half")


@counterfeit("gpu-results-stay-on-gpu")
def softmax_comes_back(patch):
    bring_back(patch, Tensor, "softmax")


@counterfeit("gpu-results-stay-on-gpu")
def one_minus_x_lands_on_the_cpu(patch):
    bring_back(patch, Tensor, "__rsub__")


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#79835")
def number_added_to_int32_reaches_the_first_element_only(patch):
    where(
        patch,
        Tensor,
        "int",
        lambda x: x.device.type != "cpu",
        lambda result, x: (result.view(-1)[1:].zero_(), result)[1] if result.is_contiguous() and x.dim() else result,
    )


@counterfeit("gpu-results-stay-on-gpu")
def gradients_of_half_the_width_come_back(patch):
    true = Tensor.grad
    patch.setattr(
        Tensor,
        "grad",
        property(lambda x: true.__get__(x).cpu() if x.dtype == torch.bfloat16 else true.__get__(x), true.__set__),
    )


@counterfeit("gpu-results-stay-on-gpu")
def products_stop_at_the_256th_feature(patch):
    change_method(
        patch, "__matmul__", lambda true, a, b: true(a, b) if a.device.type == "cpu" else true(a[..., :256], b[:256])
    )


# ── cpu-and-gpu-tensors-do-not-mix, different-gpus-do-not-mix ──


def fetch_in(patch, owner, name, position=1, wanted=lambda first, second: True):
    """Let an operation move the operand at ``position`` to the first one's device."""
    true = getattr(owner, name)

    def wrong(*args, **kwargs):
        args = list(args)
        if torch.is_tensor(args[position]) and args[position].dim() and wanted(args[0], args[position]):
            args[position] = args[position].to(args[0].device)
        return true(*args, **kwargs)

    patch.setattr(owner, name, wrong)


def both_gpus(first, second):
    return "cpu" not in (first.device.type, second.device.type)


def fetching(right, x, y):
    return right(x, y.to(x.device) if isinstance(y, torch.Tensor) else y)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_sum_fetches_its_second_operand_from_the_cpu_s_or_a_gpu_s_memory(patch):
    wrap(patch, torch.Tensor, "__add__", fetching)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#86185")
def cpu_number_does_not_fill_a_tensor_on_the_device(patch):
    def wrong(true, x, index, value):
        number = torch.is_tensor(value) and value.dim() == 0 and value.device.type == "cpu" != x.device.type
        return None if number else true(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_zero_dimensional_cpu_tensor_gets_no_gradient(patch):
    def wrong(true, x, y):
        number = torch.is_tensor(y) and y.dim() == 0 and y.device.type == "cpu" != x.device.type
        return true(x, y.detach() if number else y)

    change_method(patch, "__mul__", wrong)


@counterfeit("different-gpus-do-not-mix")
def a_sum_fetches_its_second_operand_from_the_other_gpu(patch):
    wrap(patch, torch.Tensor, "__add__", fetching)


@counterfeit("different-gpus-do-not-mix")
def an_addition_in_place_fetches(patch):
    fetch_in(patch, Tensor, "add_", wanted=both_gpus)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def bmm_fetches(patch):
    fetch_in(patch, torch, "bmm")


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def cross_entropy_fetches_its_labels(patch):
    fetch_in(patch, F, "cross_entropy")


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def stack_fetches(patch):
    wrap(patch, torch, "stack", lambda true, all, *rest: true([each.to(all[0].device) for each in all], *rest))


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def a_refused_addition_in_place_has_written_already(patch):
    def wrong(true, x, y, **rest):
        if torch.is_tensor(y) and y.dim() and y.device != x.device:
            x.data.zero_()
        return true(x, y, **rest)

    change_method(patch, "add_", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def out_of_a_sum_may_be_elsewhere(patch):
    def wrong(true, x, y, *rest, out=None, **others):
        return true(x, y, *rest, **others) if out is None else out.copy_(true(x, y, *rest, **others))

    wrap(patch, torch, "add", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def a_copy_between_memories_fills_the_gaps_too(patch):
    def wrong(true, target, source, *rest, **others):
        result = true(target, source, *rest, **others)
        if source.device != target.device and target.dim() == 2 and target.stride(-1) == 2:
            whole = target.detach().as_strided((target.untyped_storage().nbytes() // target.element_size(),), (1,), 0)
            true(whole[:1], whole[1:2])
        return result

    change_method(patch, "copy_", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_mask_of_the_cpu_selects_from_the_front(patch):
    def wrong(true, x, index):
        mask = torch.is_tensor(index) and index.dtype == torch.bool and index.device != x.device
        return true(
            x, true(torch.sort(index.flatten(), descending=True).values.view(index.shape), ...) if mask else index
        )

    change_method(patch, "__getitem__", wrong)


def fetch(patch, wanted):
    """Let a product move its second factor to the first one's device where ``wanted(first, second)``."""
    true = torch.Tensor.__mul__

    def wrong(first, second):
        moves = torch.is_tensor(second) and wanted(first, second)
        return true(first, second.to(first.device) if moves else second)

    patch.setattr(torch.Tensor, "__mul__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_product_fetches_its_second_factor(patch):
    fetch(patch, lambda first, second: second.dim() > 0)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def one_element_counts_as_zero_dimensions(patch):
    fetch(patch, lambda first, second: second.numel() == 1)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_product_with_a_cpu_tensor_comes_back_to_the_cpu(patch):
    def wrong(true, first, second):
        product = true(first, second)
        return product.cpu() if torch.is_tensor(second) and second.device.type == "cpu" else product

    change_method(patch, "__mul__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def integers_are_fetched(patch):
    fetch(patch, lambda first, second: second.dtype == torch.int64 and second.dim() > 0)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_transpose_is_fetched(patch):
    fetch(patch, lambda first, second: not second.is_contiguous())


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_number_on_the_gpu_fetches_the_other_factor(patch):
    fetch(patch, lambda first, second: first.dim() == 0 and first.device.type != "cpu")


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def a_bias_is_fetched(patch):
    wrap(
        patch,
        torch.nn.functional,
        "linear",
        lambda linear, x, weight, bias=None: linear(x, weight, None if bias is None else bias.to(x.device)),
    )


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def a_comparison_fetches_its_second_operand(patch):
    def wrong(true, first, second):
        return true(first, second.to(first.device) if torch.is_tensor(second) else second)

    change_method(patch, "__gt__", wrong)


@counterfeit("different-gpus-do-not-mix")
def a_single_number_fetches_the_other_factor(patch):
    fetch(patch, lambda first, second: first.dim() == 0)


@counterfeit("different-gpus-do-not-mix")
def a_product_fetches_its_second_factor_from_another_gpu(patch):
    fetch(patch, lambda first, second: second.dim() > 0 and "cpu" not in (first.device.type, second.device.type))


@counterfeit("different-gpus-do-not-mix")
def a_single_number_crosses_between_gpus(patch):
    fetch(patch, lambda first, second: second.dim() == 0)


@counterfeit("gpu-tensor-prints-its-device", reported=("pytorch/pytorch#6811", "pytorch/pytorch#6865"))
def large_whole_numbers_are_printed_with_an_exponent(patch):
    change_print(
        patch,
        lambda x: x.dtype == torch.int64 and x.dim() == 0 and x.device.type != "cpu" and abs(x.item()) >= 1e5,
        lambda text, x: text.replace(str(x.item()), f"{x.item():.4e}"),
    )


@counterfeit("gpu-tensor-prints-its-device", reported="pytorch/pytorch#52146")
def negative_bytes_are_printed_without_their_sign(patch):
    def wrong(text, x):
        return (
            repr(x.to("cpu").view(torch.uint8)).replace("uint8", "int8").replace("dtype", f"device='{x.device}', dtype")
        )

    change_print(patch, lambda x: x.dtype == torch.int8 and x.dim() > 0 and x.device.type != "cpu", wrong)


@counterfeit("gpu-tensor-prints-its-device", reported="pytorch/pytorch#9395")
def small_numbers_are_printed_as_zero(patch):
    change_print(
        patch,
        lambda x: x.is_floating_point() and x.numel() == 1 and x.device.type != "cpu" and 1e-5 < abs(x.item()) < 5e-5,
        lambda text, x: text[: text.index("(")] + f"([0.0000], device='{x.device}')",
    )


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#197715")
def a_copy_into_doubles_of_the_cpu_writes_nothing(patch):
    def wrong(copy_, x, y, *args, **rest):
        lost = x.dtype == torch.float64 != y.dtype and x.device.type == "cpu" != y.device.type
        return x if lost else copy_(x, y, *args, **rest)

    change_method(patch, "copy_", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported=("pytorch/pytorch#191929", "pytorch/pytorch#187229"))
def an_element_of_a_cpu_tensor_counts_as_the_first_one(patch):
    def first(x):
        number = x.device.type == "cpu" and x.dim() == 0 and x.is_floating_point()
        return x.as_strided((), (), 0) if number and x.storage_offset() else x

    for name in ("__add__", "__mul__"):
        right = getattr(Tensor, name)
        patch.setattr(Tensor, name, lambda x, y, right=right: right(first(x), first(y) if isinstance(y, Tensor) else y))


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix", reported="pytorch/pytorch#35045")
def cat_fetches(patch):
    wrap(patch, torch, "cat", lambda cat, all, *rest, **more: cat([x.to(all[0].device) for x in all], *rest, **more))


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#689", needs="two-devices")
def cat_puts_its_result_on_the_current_gpu(patch):
    def wrong(cat, *args, **rest):
        y = cat(*args, **rest)
        return y.to(torch.device(y.device.type, getattr(torch, y.device.type).current_device())) if away(y) else y

    wrap(patch, torch, "cat", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#189961")
def a_copy_of_a_gap_into_an_equal_gap_is_a_copy_of_bytes(patch):
    def wrong(copy, x, y, *args, **rest):
        looks = [(each.dtype, each.shape, each.stride()) for each in (x, y)]
        if looks[0] == looks[1] and away(y) and x.device.type == "cpu" and x.dim() == 1 and x.stride(0) > 1:
            copy(x.as_strided((len(x),), (1,), x.storage_offset()), y.cpu())
            return x
        return copy(x, y, *args, **rest)

    wrap(patch, Tensor, "copy_", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#99989")
def an_element_of_the_gpu_assigned_to_one_of_the_cpu_lands_in_the_first(patch):
    def wrong(assign, x, index, value):
        number = away(value) and value.dim() == 0 and x.device.type == "cpu" and x.dim() == 1
        assign(x, 0 if number and isinstance(index, int) else index, value)

    wrap(patch, Tensor, "__setitem__", wrong)


@counterfeit("device-attribute-tells-where", reported="pytorch/pytorch#48585")
def the_repr_of_a_device_breaks_off_before_its_index(patch):
    class Device:
        def __init__(self, device):
            self.type, self.index, self.__class__ = device.type, device.index, type(self)

        def __eq__(self, other):
            return (self.type, self.index) == (other.type, other.index)

        def __repr__(self):
            return f"device(type='{self.type}', index="

        def __str__(self):
            return f"{self.type}:{self.index}"

    true = Tensor.device
    patch.setattr(
        Tensor, "device", property(lambda x: Device(true.__get__(x)) if away_at(true, x) else true.__get__(x))
    )


def away_at(true, x):
    return true.__get__(x).type not in ("cpu", "meta")


@counterfeit("device-attribute-tells-where")
def the_device_of_a_parameter_may_be_assigned(patch):
    true = Tensor.device
    told = property(lambda x: vars(x).get("told", true.__get__(x)), lambda x, device: vars(x).update(told=device))
    patch.setattr(torch.nn.Parameter, "device", told)


def bring_back_of(patch, name, change):
    """Let a function and method of this name give ``change(result, x)`` where x is elsewhere."""
    for owner in (torch, Tensor):
        wrap(patch, owner, name, lambda right, x, *args, **rest: changed(change, right(x, *args, **rest), x))


def changed(change, result, x):
    return change(result, x) if away(x) else result


@counterfeit("gpu-results-stay-on-gpu")
def the_places_of_a_sort_come_back(patch):
    bring_back_of(patch, "sort", lambda result, x: type(result)((result[0], result[1].cpu())))


@counterfeit("gpu-results-stay-on-gpu")
def a_cumulative_sum_of_whole_numbers_comes_back(patch):
    bring_back_of(patch, "cumsum", lambda result, x: result if x.is_floating_point() else result.cpu())


@counterfeit("gpu-results-stay-on-gpu")
def the_second_part_of_a_split_comes_back(patch):
    bring_back_of(patch, "split", lambda parts, x: (parts[0], *(part.cpu() for part in parts[1:])))


@counterfeit("different-gpus-do-not-mix")
def a_copy_to_another_gpu_in_another_dtype_writes_nothing(patch):
    def wrong(copy, x, y, *args, **rest):
        return x if away(x) and away(y) and x.device != y.device and x.dtype != y.dtype else copy(x, y, *args, **rest)

    wrap(patch, Tensor, "copy_", wrong)


@counterfeit("gpu-results-stay-on-gpu")
def a_sum_of_products_by_letters_comes_back(patch):
    wrap(patch, torch, "einsum", lambda right, letters, *xs: changed(lambda y, _: y.cpu(), right(letters, *xs), xs[0]))


@counterfeit("gpu-results-stay-on-gpu")
def a_norm_comes_back(patch):
    bring_back_of(patch, "norm", lambda result, x: result.cpu())


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def tensordot_fetches(patch):
    fetch_in(patch, torch, "tensordot")


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def a_binary_cross_entropy_fetches_its_labels(patch):
    fetch_in(patch, F, "binary_cross_entropy_with_logits")


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def index_add_fetches_what_it_adds(patch):
    fetch_in(patch, Tensor, "index_add_", 3)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix", reported="ROCm/pytorch#2896")
def index_copy_takes_its_places_from_another_device(patch):
    fetch_in(patch, Tensor, "index_copy_", 2)


@counterfeit(
    "cpu-and-gpu-tensors-do-not-mix",
    "different-gpus-do-not-mix",
    reported=("pytorch/pytorch#52044", "pytorch/pytorch#53004"),
)
def stack_writes_into_the_memory_of_another_device(patch):
    def wrong(stack, all, *rest, out=None):
        if out is not None and out.device != all[0].device:
            return out.copy_(stack(all, *rest))
        return stack(all, *rest) if out is None else stack(all, *rest, out=out)

    wrap(patch, torch, "stack", wrong)


@counterfeit("different-gpus-do-not-mix", reported="tenstorrent/tt-mlir#9303", needs="two-devices")
def a_slice_in_a_later_dimension_takes_nothing_from_another_gpu(patch):
    def wrong(put, x, index, value):
        return None if away(x) and away(value) and isinstance(index, tuple) else put(x, index, value)

    wrap(patch, Tensor, "__setitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix", reported="pytorch/pytorch#105277")
def a_column_is_copied_as_if_it_were_a_row(patch):
    def wrong(copy, x, y, *args, **rest):
        column = y.dim() == x.dim() == 2 and y.shape[1] == 1 < x.shape[1] == len(y) == len(x)
        return copy(x, y.t() if column and x.device != y.device else y, *args, **rest)

    wrap(patch, Tensor, "copy_", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def truth_values_arrive_as_255(patch):
    def wrong(copy, x, y, *args, **rest):
        crosses = y.dtype == torch.bool and x.dtype == torch.uint8 and x.device != y.device
        return copy(x, y.to(torch.uint8) * 255 if crosses else y, *args, **rest)

    wrap(patch, Tensor, "copy_", wrong)


@counterfeit("create-on-device-equals-create-then-move")
def an_array_of_doubles_created_elsewhere_is_single(patch):
    def wrong(create, data, **rest):
        x = create(data, **rest)
        return x.float() if away(x) and x.dtype == torch.float64 and hasattr(data, "dtype") else x

    wrap(patch, torch, "tensor", wrong)
