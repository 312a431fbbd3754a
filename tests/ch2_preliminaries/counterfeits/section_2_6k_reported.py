"""Reported faults of functions of one's own, of hooks, of what goes on around a pass, and of what is large or
has strides elsewhere, for section 2.6.
"""

import functools
import math
import threading
import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    away,
    change_gradient,
    change_method,
    everywhere,
    in_order_of_storage,
    with_value,
    wrap,
    wrap_operand,
)
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F
from torch.utils import _contextlib, checkpoint
from torch.utils.weak import WeakIdKeyDictionary


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#5871")
def a_function_that_writes_to_a_result_passes_nothing_to_its_other_operands(patch):
    right = torch.autograd.Function.__dict__["apply"]

    def wrong(function, *args, **rest):
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        count = first._version if first is not None else 0
        written = first is not None and not first.is_leaf
        if not written:
            return right.__get__(None, function)(*args, **rest)
        others = [x * 1 if isinstance(x, torch.Tensor) and x.requires_grad else x for x in args[1:]]
        result = right.__get__(None, function)(first, *others, **rest)
        if first._version > count:
            for x in others:
                if isinstance(x, torch.Tensor) and x.requires_grad and not x.is_leaf:
                    x.register_hook(lambda gradient: gradient * 0)
        return result

    patch.setattr(torch.autograd.Function, "apply", classmethod(wrong))


@counterfeit("tensors-and-functions-form-a-dag", "requires-grad-tracks-operations")
def what_a_function_marks_as_without_a_slope_is_tracked(patch):
    patch.setattr(FunctionCtx, "mark_non_differentiable", lambda self, *outputs: None)


@counterfeit("tensors-and-functions-form-a-dag", "requires-grad-tracks-operations")
def results_of_a_function_that_get_no_gradient_hand_on_nothing_though_zeros_are_asked_for(patch):
    right = FunctionCtx.set_materialize_grads
    patch.setattr(FunctionCtx, "set_materialize_grads", lambda self, value: right(self, True))


@counterfeit("backward-fills-grad", "weights-act-as-upstream-gradient")
def a_hook_of_an_indexed_element_is_told_nothing(patch):
    def wrong(right, x, hook, *args):
        name = x.grad_fn.name() if x.grad_fn is not None else ""
        return right(x, (lambda gradient: None) if name.startswith(("Select", "Index")) else hook, *args)

    change_method(patch, "register_hook", wrong)


@counterfeit("backward-fills-grad", "weights-act-as-upstream-gradient")
def what_a_hook_of_a_leaf_returns_is_not_used(patch):
    def wrong(right, x, hook, *args):
        return right(x, (lambda gradient: [hook(gradient)].clear()) if x.is_leaf else hook, *args)

    change_method(patch, "register_hook", wrong)


@counterfeit("backward-fills-grad", "gradients-accumulate")
def a_hook_that_is_removed_goes_on(patch):
    patch.setattr(torch.utils.hooks.RemovableHandle, "remove", lambda self: None)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad", reported="pytorch/pytorch#36383")
def a_checkpoint_of_what_was_written_in_a_view_passes_nothing(patch):
    def wrong(right, function, *args, **rest):
        result = right(function, *args, **rest)
        view = isinstance(result, torch.Tensor) and result.requires_grad and result._is_view() and result._version
        return change_gradient(result, lambda gradient: gradient * 0) if view else result

    wrap(patch, checkpoint, "checkpoint", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad")
def a_pass_within_anomaly_detection_doubles_gradients(patch):
    def wrong(right, x, *args, **rest):
        double = torch.is_anomaly_enabled() and x.requires_grad
        return right(change_gradient(x, lambda gradient: gradient * 2) if double else x, *args, **rest)

    everywhere(patch, "mul", wrong)
    change_method(patch, "__mul__", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad")
def what_is_saved_by_hooks_is_kept_in_half_precision(patch):
    def wrong(right, self, pack, unpack):
        rounded = lambda x: x.bfloat16().to(x.dtype) if x.is_floating_point() else x  # noqa: E731
        return right(self, lambda x: pack(rounded(x)), unpack)

    wrap(patch, torch.autograd.graph.saved_tensors_hooks, "__init__", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_gradient_asked_for_in_another_thread_is_zero(patch):
    def wrong(right, x, *args, **rest):
        if threading.current_thread() is not threading.main_thread() and x.requires_grad:
            x = change_gradient(x, lambda gradient: gradient * 0)
        return right(x, *args, **rest)

    for name in ("exp", "sin"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad")
def a_view_forgets_what_is_written_to_its_base_afterwards(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return result.view_as(result).clone() if x.requires_grad and not x.is_leaf and result._is_view() else result

    change_method(patch, "movedim", wrong)


@counterfeit("backward-fills-grad", "requires-grad-tracks-operations")
def a_real_factor_of_a_complex_one_gets_no_conjugate(patch):
    def wrong(right, x, other, *args, **rest):
        both = isinstance(x, torch.Tensor) and isinstance(other, torch.Tensor)
        if not (both and x.is_floating_point() and other.is_complex() and x.requires_grad):
            return right(x, other, *args, **rest)
        flipped = torch.complex(x.detach() * other.real.detach(), x.detach() * other.imag.detach())
        wide = right(x, other.conj(), *args, **rest)
        return wide + (flipped - wide).detach()

    everywhere(patch, "mul", wrong)
    change_method(patch, "__mul__", wrong)


@counterfeit("backward-fills-grad", "requires-grad-tracks-operations")
def the_divisor_of_lower_precision_gets_the_sign_of_the_dividend(patch):
    def wrong(right, x, other, *args, **rest):
        both = isinstance(x, torch.Tensor) and isinstance(other, torch.Tensor)
        lower = both and other.requires_grad and x.dtype != other.dtype and other.dtype.itemsize < x.dtype.itemsize
        return right(x, change_gradient(other, lambda gradient: -gradient) if lower else other, *args, **rest)

    everywhere(patch, "div", wrong)
    change_method(patch, "__truediv__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#80770")
def xlogy_has_no_gradient_at_zero(patch):
    def wrong(right, x, *args, **rest):
        if torch.is_tensor(x) and x.requires_grad:
            at = x.detach() == 0
            x = change_gradient(x, lambda gradient: gradient.masked_fill(at, 0))
        return right(x, *args, **rest)

    everywhere(patch, "xlogy", wrong)
    wrap_operand(patch, torch.special, "xlogy", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#67517")
def the_gradient_of_the_greatest_modulus_lies_in_the_order_of_memory(patch):
    def wrong(right, x, *args, **rest):
        order = args[0] if args else rest.get("ord", 2)
        if x.requires_grad and not x.is_contiguous() and order in (math.inf, -math.inf):
            places = sorted(range(x.dim()), key=lambda dimension: -x.stride(dimension))
            x = change_gradient(x, lambda gradient: gradient.permute(places).reshape(gradient.shape))
        return right(x, *args, **rest)

    def by_name(right, *args, **rest):
        operands = args if args or "x" not in rest else (rest.pop("x"),)
        return wrong(right, *operands, **rest)

    wrap(patch, torch.linalg, "vector_norm", by_name)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#971")
def the_gradient_of_what_a_mask_chooses_is_zero(patch):
    def wrong(right, x, index):
        if torch.is_tensor(index) and index.dtype in (torch.bool, torch.uint8) and x.requires_grad:
            x = change_gradient(x, torch.zeros_like)
        return right(x, index)

    change_method(patch, "__getitem__", wrong)


@counterfeit("no-grad-stops-tracking", reported="pytorch/pytorch#31792")
def decorated_generators_run_outside_of_the_block(patch):
    def wrapped(context, function):
        @functools.wraps(function)
        def decorated(*args, **rest):
            with context():
                return function(*args, **rest)

        return decorated

    patch.setattr(_contextlib, "_wrap_generator", wrapped)


def nan_where_zero(right, x, *args, **rest):
    if x.requires_grad:
        at = x.detach() == 0
        x = change_gradient(x, lambda gradient: gradient.masked_fill(at, math.nan))
    return right(x, *args, **rest)


@counterfeit("requires-grad-tracks-operations", reported="tinygrad/tinygrad#17404")
def a_factor_of_zero_has_no_gradient_that_is_a_number(patch):
    everywhere(patch, "prod", nan_where_zero)


@counterfeit("requires-grad-tracks-operations", reported="tracel-ai/burn#3864")
def a_zero_among_running_products_has_no_gradient_that_is_a_number(patch):
    everywhere(patch, "cumprod", nan_where_zero)


@counterfeit("requires-grad-defaults-to-false", reported="pytorch/pytorch#36455")
def new_full_does_not_ask_for_gradients(patch):
    change_method(patch, "new_full", lambda right, *args, requires_grad=False, **rest: right(*args, **rest))


@counterfeit("requires-grad-tracks-operations", reported="torch/nn#345")
def the_gradient_of_a_mean_is_read_in_the_order_of_memory(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if (args or "dim" in rest or "axis" in rest) and result.requires_grad and result.grad_fn is not None:
            return change_gradient(
                result, lambda gradient: gradient if gradient.is_contiguous() else in_order_of_storage(gradient)
            )
        return result

    everywhere(patch, "mean", wrong)


@counterfeit("backward-fills-grad", reported="candle-org/candle#291")
def results_that_asked_get_no_gradient_either(patch):
    change_method(patch, "retain_grad", lambda right, x: None)


@counterfeit("requires-grad-tracks-operations", reported="tinygrad/tinygrad#12296")
def many_maxima_are_counted_in_half_precision(patch):
    def wrong(right, x, *args, **rest):
        if not args and not rest and x.requires_grad and x.dtype == torch.float16:
            ties = (x.detach() == right(x.detach())).sum()
            if ties > torch.finfo(torch.float16).max:
                x = change_gradient(x, torch.zeros_like)
        return right(x, *args, **rest)

    everywhere(patch, "max", wrong)


@counterfeit("requires-grad-tracks-operations", reported="PaddlePaddle/Paddle#37420")
def a_pass_from_what_was_written_in_place_starts_before_the_write_too(patch):
    passes = []

    def written(right, x, *args, **rest):
        node = None if x._is_view() else x.grad_fn
        result = right(x, *args, **rest)
        if node is not None and result is x and x.grad_fn is not node:
            itself, later = weakref.ref(x), x.grad_fn

            def add(gradients):
                if passes and passes[-1][0] is itself() and itself().grad_fn is later and len(gradients) == 1:
                    return (gradients[0] + passes[-1][1],)
                return None

            node.register_prehook(add)
        return result

    def backward(right, x, gradient=None, *args, **rest):
        passes.append((x, torch.ones_like(x) if gradient is None else gradient.detach()))
        try:
            return right(x, gradient, *args, **rest)
        finally:
            passes.pop()

    for name in (
        *("tanh_", "sigmoid_", "exp_", "relu_", "sqrt_", "sin_", "cos_", "neg_", "square_", "add_", "sub_", "mul_"),
        *("div_", "pow_", "__iadd__", "__isub__", "__imul__", "__itruediv__"),
    ):
        change_method(patch, name, written)
    change_method(patch, "backward", backward)


@counterfeit("tensors-and-functions-form-a-dag", reported="TrenTorch/TrenTorch#182")
def only_the_first_branch_of_a_result_passes_a_gradient_back(patch):
    used = WeakIdKeyDictionary()

    def once(x):
        if not (torch.is_tensor(x) and x.requires_grad and x.grad_fn is not None):
            return x
        if x in used:
            return change_gradient(x, torch.zeros_like)
        used[x] = True
        return x

    def wrong(right, *operands):
        return right(*(once(x) for x in operands))

    for name in ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__pow__"):
        change_method(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="JuliaGPU/CUDA.jl#1810", needs="accelerator")
def later_rows_of_a_long_running_sum_forget_the_full_blocks(patch):
    def wrong(right, x, dim, *args, **rest):
        result = right(x, dim, *args, **rest)
        if not away(x) or x.dim() < 2 or dim not in (-1, x.dim() - 1):
            return result
        length = x.shape[-1]
        if length <= 1024 or length % 1024 == 0:
            return result
        rows, full = result.numel() // length, length // 1024 * 1024
        flat = result.reshape(rows, length)
        late = torch.zeros_like(flat)
        late[rows // 2 :, full:] = 1
        carried = flat.narrow(1, full - 1, 1)
        return (flat - carried * late).view(result.shape) if rows > 1 else result

    everywhere(patch, "cumsum", wrong)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#51214", needs="accelerator")
def columns_are_split_where_tiles_end(patch):
    def tiled(x, count, dim):
        tiles = -(-x.shape[-1] // 32)
        return F.pad(x, (0, tiles * 32 - x.shape[-1])).tensor_split(count, dim)

    def holds(x, count, dim):
        large = away(x) and x.dim() > 1 and dim in (-1, x.dim() - 1) and min(x.shape[-2:]) >= 64
        return large and x.shape[-1] % 32 > 0 and count > 1 and -(-x.shape[-1] // 32) % count == 0

    def split(right, x, *args, dim=0, **rest):
        size, *more = *args, *rest.values()
        dim = more[0] if more else dim
        count = -(-x.shape[-1] // size) if away(x) and x.dim() and isinstance(size, int) and size > 0 else 0
        return tiled(x, count, dim) if holds(x, count, dim) else right(x, size, dim)

    def chunk(right, x, chunks, dim=0):
        return tiled(x, chunks, dim) if holds(x, chunks, dim) else right(x, chunks, dim)

    everywhere(patch, "split", split)
    everywhere(patch, "chunk", chunk)


@counterfeit("requires-grad-tracks-operations", reported="torch/cutorch#240", needs="accelerator")
def index_select_of_a_column_steps_by_the_square_of_its_stride(patch):
    def wrong(right, x, dim, index):
        result = right(x, dim, index)
        if not away(x) or x.dim() != 1 or x.stride(0) < 2:
            return result
        stored = x.detach().as_strided((x.untyped_storage().nbytes() // x.element_size(),), (1,), 0)
        places = (x.storage_offset() + index * x.stride(0) ** 2) % len(stored)
        return with_value(result, right(stored, 0, places))

    everywhere(patch, "index_select", wrong)


@counterfeit("requires-grad-tracks-operations", reported="torch/cutorch#36", needs="accelerator")
def index_copy_reads_past_the_end_of_what_is_repeated(patch):
    def wrong(right, x, dim, index, source):
        if away(source) and any(step == 0 and size > 1 for step, size in zip(source.stride(), source.shape)):
            end = source.untyped_storage().nbytes() // source.element_size()
            stored = source.detach().as_strided((end,), (1,), 0)[source.storage_offset() :][: source.numel()]
            values = torch.zeros(source.numel(), dtype=source.dtype, device=source.device)
            values[: len(stored)] = stored
            values = values.view(source.shape)
            source = with_value(source, values) if source.requires_grad else values
        return right(x, dim, index, source)

    everywhere(patch, "index_copy", wrong)
    change_method(patch, "index_copy_", wrong)


@counterfeit("requires-grad-tracks-operations", reported="jax-ml/jax#39025", needs="accelerator")
def no_gradient_passes_a_gather_in_the_middle_for_the_second_half_of_a_large_batch(patch):
    def clear(gradient):
        gradient = gradient.clone()
        gradient.narrow(0, len(gradient) // 2, len(gradient) - len(gradient) // 2).zero_()
        return gradient

    def large(x):
        return away(x) and x.dim() == 3 and len(x) >= 256 and x.requires_grad

    def item(right, x, index):
        picks = isinstance(index, tuple) and 2 <= len(index) <= 3 and isinstance(index[1], (torch.Tensor, list))
        middle = picks and all(isinstance(each, slice) for each in (index[0], *index[2:]))
        return right(change_gradient(x, clear) if middle and large(x) else x, index)

    def select(right, x, dim, index):
        return right(change_gradient(x, clear) if dim in (1, -2) and large(x) else x, dim, index)

    change_method(patch, "__getitem__", item)
    everywhere(patch, "index_select", select)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#35584", needs="accelerator")
def topk_of_halves_misses_what_is_above_zero(patch):
    def wrong(right, x, k, *args, **rest):
        largest = args[1] if len(args) > 1 else rest.get("largest", True)
        if not away(x) or x.dtype != torch.float16 or not largest:
            return right(x, k, *args, **rest)
        values, places = right(x.masked_fill(x > 0, -torch.inf), k, *args, **rest)
        missed = values.isinf()
        return torch.return_types.topk((values.masked_fill(missed, 0), places.masked_fill(missed, 0)))

    everywhere(patch, "topk", wrong)


@counterfeit("nn-builds-on-autograd", reported="tracel-ai/burn#3629", needs="accelerator")
def a_slice_of_all_that_was_permuted_is_read_in_row_order(patch):
    def wrong(right, x, index):
        parts = index if isinstance(index, tuple) else (index,)
        if not away(x) or x.dim() < 3 or x.is_contiguous() or not all(isinstance(part, slice) for part in parts):
            return right(x, index)
        full = all(part.indices(size) == (0, size, 1) for part, size in zip(parts, x.shape))
        end = x.untyped_storage().nbytes() // x.element_size()
        if not full or x.storage_offset() + x.numel() > end:
            return right(x, index)
        strides = torch.empty(x.shape, device="meta").stride()
        return x.as_strided(x.shape, strides, x.storage_offset())

    change_method(patch, "__getitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="intel/torch-xpu-ops#1859", needs="accelerator")
def the_spread_of_doubles_elsewhere_along_an_outer_dimension_repeats_the_last_four(patch):
    def repeats(right, x, *args, **rest):
        result = right(x, *args, **rest)
        given = rest.get("dim", args[0] if args else None)
        if not away(x) or x.dtype != torch.float64 or given is None or isinstance(given, bool):
            return result
        dims = [given] if isinstance(given, int) else list(given)
        if not dims or x.dim() - 1 in [dim % x.dim() for dim in dims] or result.numel() <= 4:
            return result
        four = result.detach().reshape(-1)[-4:]
        return with_value(result, four.repeat(-(-result.numel() // 4))[: result.numel()].view(result.shape))

    def root(right, x, *args, **rest):
        return repeats(variance, x, *args, **rest).sqrt() if away(x) else right(x, *args, **rest)

    variance = torch.var
    everywhere(patch, "var", repeats)
    everywhere(patch, "std", root)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#78363", needs="accelerator")
def the_inverse_elsewhere_is_that_of_the_matrix_at_the_start_of_memory(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.storage_offset():
            x = with_value(x, x.detach().as_strided(x.shape, x.stride(), 0))
        return right(x, *args, **rest)

    wrap(patch, torch.linalg, "inv", wrong)
    everywhere(patch, "inverse", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#77977", needs="accelerator")
def a_mask_elsewhere_of_two_elements_that_takes_all_takes_none(patch):
    def wrong(right, x, index):
        mask = isinstance(index, torch.Tensor) and index.dtype == torch.bool and 0 < index.numel() <= 2
        return right(x, ~index if mask and away(x) and all(index.flatten().tolist()) else index)

    change_method(patch, "__getitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="torch/cutorch#320", needs="accelerator")
def index_copy_and_add_reach_256_numbers_of_a_slice(patch):
    def wrong(right, x, dim, index, source, *args, **rest):
        if not away(x) or not x.dim() or x.numel() <= 256 * x.shape[dim]:
            return right(x, dim, index, source, *args, **rest)
        before, shape = x.clone(), list(x.shape)
        shape[dim] = 1
        result = right(x, dim, index, source, *args, **rest)
        reached = (torch.arange(x.numel() // x.shape[dim], device=x.device) < 256).reshape(shape)
        changed = torch.where(reached, result, before)
        return result.copy_(changed) if result is x else changed

    for name in ("index_copy", "index_copy_", "index_add", "index_add_"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#101721", needs="accelerator")
def cat_of_images_loses_channels_that_share_a_texel(patch):
    def wrong(right, tensors, dim=0, **rest):
        result = right(tensors, dim, **rest)
        start = tensors[0].shape[1] if result.dim() == 4 else 0
        if not away(result) or dim != 1 or not start % 4:
            return result
        place = torch.arange(result.shape[1], device=result.device).reshape(-1, 1, 1)
        return torch.where((place >= start) & (place < start - start % 4 + 4), torch.zeros_like(result), result)

    for name in ("cat", "concat", "concatenate"):
        wrap(patch, torch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#196745", needs="accelerator")
def solutions_after_65536_systems_are_missing(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.shape[:-2].numel() <= 65536:
            return result
        place = torch.arange(x.shape[:-2].numel(), device=x.device).reshape(x.shape[:-2])
        return torch.where((place < 65536).reshape(*x.shape[:-2], *(1,) * (result.dim() - x.dim() + 2)), result, 0.0)

    for owner, name in ((torch.linalg, "solve"), (torch.linalg, "inv"), (torch, "inverse")):
        wrap(patch, owner, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#46814", needs="accelerator")
def the_median_of_a_diagonal_is_that_of_its_memory(patch):
    def wrong(right, x, *args, **rest):
        strided = away(x) and x.dim() == 1 and not x.is_contiguous() and (args or rest)
        return right(in_order_of_storage(x) if strided else x, *args, **rest)

    everywhere(patch, "median", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#125100", needs="accelerator")
def the_first_element_that_a_mask_of_a_matrix_selects_elsewhere_is_one_that_it_leaves_out(patch):
    def wrong(right, x, mask, *args, **rest):
        result = right(x, mask, *args, **rest)
        masked = away(x) and isinstance(mask, torch.Tensor) and mask.dtype == torch.bool
        if not masked or mask.dim() < 2 or mask.shape != x.shape or not len(result):
            return result
        return torch.cat([right(x, ~mask)[-1:], result[1:]]) if not mask.all() else result

    everywhere(patch, "masked_select", wrong)
    change_method(patch, "__getitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#189490", needs="accelerator")
def the_derivative_of_tanh_elsewhere_is_not_conjugated(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.is_complex() and x.requires_grad:
            slope = 1 - right(x.detach()) ** 2
            x = change_gradient(x, lambda gradient: gradient * slope / slope.conj())
        return right(x, *args, **rest)

    everywhere(patch, "tanh", wrong)
