"""Section 4.9: what users reported of two dtypes, of choices and of functions of many numbers on devices."""

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
from torch.nn import functional as F


@counterfeit("requires-grad-tracks-operations", reported="torch-spyre/torch-spyre#3851", needs="accelerator")
def index_select_by_a_row_of_a_table_takes_32_places(patch):
    def wrong(right, x, dim, index):
        result = right(x, dim, index)
        row = away(index) and index.dtype == torch.int32 and index.untyped_storage().nbytes() > 4 * index.numel()
        if row and len(index) > 32 and not index.storage_offset():
            result = result.clone()
            result.narrow(dim, 32, len(index) - 32).zero_()
        return result

    everywhere(patch, "index_select", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/FlagGems#4831", needs="accelerator")
def bucketize_of_a_transposed_tensor_is_left_as_its_memory_was(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return torch.zeros_like(result) if away(x) and not x.is_contiguous() else result

    wrap_operand(patch, torch, "bucketize", wrong)


@counterfeit("augmented-assignment-writes-through", reported="flagos-ai/FlagGems#6017", needs="accelerator")
def scatter_add_reads_an_index_that_is_repeated_in_row_order(patch):
    def wrong(right, x, dim, index, source):
        if away(index) and index.dim() == 2 and 0 in index.stride() and min(index.shape) > 1:
            index = in_order_of_storage(index)
        return right(x, dim, index, source)

    change_method(patch, "scatter_add_", wrong)
    everywhere(patch, "scatter_add", wrong)


@counterfeit("requires-grad-tracks-operations", reported="intel/torch-xpu-ops#1169", needs="accelerator")
def the_number_after_one_of_bfloat16_is_that_itself(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return x.expand(result.shape).clone() if away(x) and x.dtype == torch.bfloat16 else result

    everywhere(patch, "nextafter", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/xla#3234", needs="accelerator")
def truth_values_and_bytes_are_joined_to_truth_values(patch):
    def wrong(right, x, other):
        result = right(x, other)
        truth = away(x) and x.dtype == torch.bool and getattr(other, "dtype", None) == torch.uint8
        return result.bool() if truth else result

    for name in ("__and__", "bitwise_and", "__or__", "bitwise_or", "__xor__", "bitwise_xor"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/xla#4238", needs="accelerator")
def short_numbers_that_are_taken_are_int32(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return result.int() if away(x) and x.dtype == torch.int16 else result

    everywhere(patch, "take", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#52213", needs="accelerator")
def logcumsumexp_of_nothing_first_is_no_number(patch):
    def wrong(right, x, dim, *args, **rest):
        result = right(x, dim, *args, **rest)
        return with_value(result, torch.where(result == -torch.inf, torch.nan, result.detach())) if away(x) else result

    everywhere(patch, "logcumsumexp", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#156513", needs="accelerator")
def batch_norm_of_bfloat16_passes_wrong_gradients_to_weights_in_single_precision(patch):
    def wrong(right, x, mean, variance, weight=None, bias=None, *args, **rest):
        if away(x) and x.dtype == torch.bfloat16 and weight is not None and weight.dtype == torch.float32:
            weight = change_gradient(weight, lambda gradient: 1.5 * gradient)
        return right(x, mean, variance, weight, bias, *args, **rest)

    wrap_operand(patch, F, "batch_norm", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#124096", needs="accelerator")
def what_comes_back_from_frequencies_is_off(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return with_value(result, result.detach() * 0.5) if away(x) and result.numel() > 1 else result

    wrap_operand(patch, torch.fft, "irfft", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/Torch-FL#171", needs="accelerator")
def the_gradient_of_softmax_of_a_transposed_tensor_is_in_the_order_of_its_memory(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.dim() == 2 and not x.is_contiguous():
            x = change_gradient(x, lambda gradient: gradient.t().reshape(gradient.shape))
        return right(x, *args, **rest)

    for name in ("softmax", "log_softmax"):
        everywhere(patch, name, wrong)
        wrap_operand(patch, F, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="torch-spyre/torch-spyre#2323", needs="accelerator")
def long_numbers_are_told_apart_in_half_precision(patch):
    def wrong(right, x, other):
        result = right(x, other)
        if not away(x) or x.dtype != torch.int64 or result.dtype != torch.bool:
            return result
        other = other.half() if isinstance(other, torch.Tensor) else torch.tensor(float(other)).half().to(x.device)
        return x.half() != other

    for name in ("ne", "not_equal", "__ne__"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#195595", needs="accelerator")
def unique_finds_long_numbers_in_single_precision(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.dtype != torch.int64 or not rest.get("return_inverse") or "dim" in rest:
            return result
        inverse = torch.searchsorted(result[0].float(), x.float())
        return (result[0], inverse, *result[2:])

    everywhere(patch, "unique", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#88308", needs="accelerator")
def the_gradient_of_a_squared_error_has_no_gradient(patch):
    def wrong(right, input, *args, **rest):
        tracked = away(input) and input.requires_grad
        return right(change_gradient(input, torch.Tensor.detach) if tracked else input, *args, **rest)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("gpu-sum-stays-on-gpu", reported="pytorch/pytorch#80220", needs="accelerator")
def a_number_beside_int32_fills_every_second_place(patch):
    """As a number of 64 bits that is read as two of 32."""

    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        if not away(x) or x.dtype != torch.int32 or type(other) is not int or not x.dim():
            return result
        odd = torch.arange(x.numel(), device=x.device).view(x.shape) % 2 == 1
        return torch.where(odd, x, result)

    for name in ("add", "__add__", "__radd__"):
        everywhere(patch, name, wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#82305", needs="accelerator")
def bytes_that_are_expanded_are_zero(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return torch.zeros_like(result) if away(x) and x.dtype == torch.uint8 else result

    change_method(patch, "expand", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#144545", needs="accelerator")
def triangles_of_more_than_three_dimensions_are_cut_in_the_first_matrices_alone(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.dim() < 4 or len(x) < 2:
            return result
        return torch.cat([result[:1], x[1:]])

    for name in ("triu", "tril"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#120899", needs="accelerator")
def what_is_no_number_is_clamped_to_the_lower_end(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        low = args[0] if args else rest.get("min")
        if not away(x) or low is None or not x.is_floating_point() or isinstance(low, torch.Tensor):
            return result
        return with_value(result, torch.where(x.isnan(), low, result.detach())) if x.isnan().any() else result

    for name in ("clamp", "clip", "clamp_min"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def long_numbers_are_sorted_in_double_precision(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.dtype != torch.int64 or not isinstance(result, tuple):
            return result
        return torch.return_types.sort((result[0].double().long(), result[1]))

    everywhere(patch, "sort", wrong)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def gather_reads_places_that_are_repeated_as_they_lie(patch):
    def wrong(right, x, dim, index, *args, **rest):
        if away(index) and 0 in index.stride() and index.numel() > 1:
            index = in_order_of_storage(index)
        return right(x, dim, index, *args, **rest)

    everywhere(patch, "gather", wrong)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def the_sum_of_two_logarithms_of_nothing_is_no_number(patch):
    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        both = (x == -torch.inf) & (other == -torch.inf)
        return with_value(result, torch.where(both, torch.nan, result.detach())) if away(x) else result

    everywhere(patch, "logaddexp", wrong)


@counterfeit("augmented-assignment-writes-through", needs="accelerator")
def truth_values_that_are_added_where_others_are_overwrite_them(patch):
    def wrong(right, x, indices, values, accumulate=False):
        overwrites = away(x) and x.dtype == torch.bool
        return right(x, indices, values, accumulate and not overwrites)

    change_method(patch, "index_put_", wrong)
