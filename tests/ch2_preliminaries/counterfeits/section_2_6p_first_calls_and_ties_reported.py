"""Section 2.6: what users reported of accelerators: first calls, ties at the top, bounds, wide matrices, two dtypes."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    away,
    change_gradient,
    change_method,
    change_output,
    change_result,
    everywhere,
    with_value,
    wrap,
    wrap_operand,
)
from torch import Tensor


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#22843", needs="accelerator")
def rows_elsewhere_from_the_65536th_on_get_no_gradient_from_a_choice_by_lists(patch):
    def wrong(right, x, index):
        by_lists = any(isinstance(part, (list, Tensor)) for part in (index if isinstance(index, tuple) else (index,)))
        if away(x) and x.requires_grad and x.dim() and len(x) > 65535 and by_lists:
            kept = torch.arange(len(x), device=x.device) < 65535
            x = change_gradient(x, lambda gradient: gradient * kept.view(-1, *[1] * (gradient.dim() - 1)))
        return right(x, index)

    change_method(patch, "__getitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/xla#609", needs="accelerator")
def what_is_written_elsewhere_where_true_is_lost(patch):
    def wrong(right, x, index, value):
        if not (away(x) and index is True):
            right(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="intel/torch-xpu-ops#4604", needs="accelerator")
def the_largest_elsewhere_are_overlooked_where_they_are_equal(patch):
    def wrong(right, x, k, dim=-1, largest=True, *args, **rest):
        if away(x) and x.is_floating_point() and x.dim() and x.numel() and largest:
            values = x.detach()
            top = values == values.amax(dim, keepdim=True)
            count = top.sum(dim, keepdim=True)
            overlooked = top & (count > 1) & (count <= x.shape[dim] - k)
            x = with_value(x, values.masked_fill(overlooked, -torch.inf))
        return right(x, k, dim, largest, *args, **rest)

    everywhere(patch, "topk", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/xla#511", needs="accelerator")
def an_upper_bound_alone_elsewhere_brings_the_smallest_positive_number_as_a_lower_one(patch):
    def wrong(right, x, min=None, max=None, **rest):
        if away(x) and x.is_floating_point() and min is None and isinstance(max, (int, float)):
            min = torch.finfo(x.dtype).tiny
        return right(x, min=min, max=max, **rest)

    everywhere(patch, "clamp", wrong)


@counterfeit("to-changes-dtype-too", reported="kulinseth/pytorch#93", needs="accelerator")
def numbers_that_become_larger_on_their_way_to_the_cpu_find_too_little_room(patch):
    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        if away(x) and y.device.type == "cpu" and y.element_size() > x.element_size():
            values = y.detach().clone(memory_format=torch.contiguous_format)
            values.view(-1)[y.numel() * x.element_size() // y.element_size() :] = 0
            return with_value(y, values)
        return y

    change_method(patch, "to", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#196067", needs="accelerator")
def a_weight_in_single_precision_elsewhere_is_read_as_a_half(patch):
    def wrong(right, x, end, weight, **rest):
        halves = away(x) and x.dtype in (torch.float16, torch.bfloat16)
        if halves and isinstance(weight, Tensor) and weight.dim() == 0 and weight.dtype == torch.float32:
            read = weight.detach().cpu().reshape(1).view(x.dtype)[0]
            weight = with_value(weight, read.to(weight.device, torch.float32))
        return right(x, end, weight, **rest)

    everywhere(patch, "lerp", wrong)
    change_method(patch, "lerp_", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#115554", needs="accelerator")
def sums_and_products_of_complex_numbers_elsewhere_are_real(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return result.real.to(result.dtype) if away(x) and result.is_complex() else result

    for name in ("sum", "prod"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-copies-elements", reported="pytorch/xla#3394", needs="accelerator")
def an_expanded_tensor_elsewhere_is_a_copy(patch):
    def wrong(right, x, *sizes, **rest):
        result = right(x, *sizes, **rest)
        return result.contiguous() if away(x) and result.numel() > x.numel() else result

    for name in ("expand", "expand_as"):
        change_method(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#9079", needs="accelerator")
def a_matrix_elsewhere_that_is_not_square_is_read_by_columns_for_its_singular_values(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.dim() > 1 and x.shape[-1] != x.shape[-2]:
            x = x.contiguous().view(x.mT.shape).mT
        return right(x, *args, **rest)

    everywhere(patch, "svd", wrong)
    wrap_operand(patch, torch.linalg, "svd", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#82473", needs="accelerator")
def the_first_singular_values_that_are_asked_for_elsewhere_are_zeros(patch):
    calls = []

    def change(result, x, *args):
        first = away(x) and not calls
        calls.append(x.shape)
        return type(result)([part * 0 for part in result]) if first else result

    change_result(patch, torch.linalg, "svd", change)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#834", needs="accelerator")
def what_is_joined_on_another_device_than_the_first_is_on_the_first(patch):
    def change(result):
        return result.to(torch.device(result.device.type, 0)) if away(result) and result.device.index else result

    change_output(patch, torch, "cat", change)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#171499", needs="accelerator")
def many_halves_elsewhere_that_are_stacked_along_a_later_dimension_change_places(patch):
    def change(result, parts, dim=0, *args):
        halves = away(result) and result.dtype in (torch.float16, torch.bfloat16)
        return result.roll(1, dim) if halves and dim % result.dim() and len(parts) > 128 else result

    wrap(patch, torch, "stack", lambda right, *args, **rest: change(right(*args, **rest), *args, **rest))
