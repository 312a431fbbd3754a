"""Counterfeits of section 2.6 that users reported: masks that are broadcast, slices and transposes, and dimensions."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_method, everywhere, in_order_of_storage, wrap_operand
from torch import Tensor


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#95607", needs="accelerator")
def a_mask_that_is_broadcast_scatters_garbage(patch):
    def wrong(right, x, mask=None, source=None, *args, **rest):
        y = right(x, mask, source, *args, **rest)
        if away(x) and isinstance(mask, Tensor) and mask.shape != x.shape:
            with torch.no_grad():
                y.fill_(96)
        return y

    for name in ("masked_scatter", "masked_scatter_"):
        everywhere(patch, name, wrong)


def by_memory(x):
    """The dimensions in the order of memory."""
    return sorted(range(x.dim()), key=lambda d: -x.stride(d))


@counterfeit("requires-grad-tracks-operations", reported=("pytorch/pytorch#99638", "pytorch/pytorch#100232"))
def masked_scatter_fills_what_lies_by_columns_in_the_order_of_memory(patch):
    def in_place(right, x, mask=None, source=None, *args, **rest):
        if x.device.type != "cpu" or x.is_contiguous() or x.dim() < 2 or mask.dtype != torch.bool:
            return right(x, mask, source, *args, **rest)
        order = by_memory(x)
        right(x.permute(order), mask.expand_as(x).permute(order), source, *args, **rest)
        return x

    change_method(patch, "masked_scatter_", in_place)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#41473")
def masked_select_with_a_mask_to_broadcast_goes_through_memory(patch):
    def wrong(right, x, mask=None, *args, **rest):
        odd = x.device.type == "cpu" and not x.is_contiguous() and isinstance(mask, Tensor) and mask.dim() < x.dim()
        if not odd or "out" in rest:
            return right(x, mask, *args, **rest)
        try:
            mask = mask.expand_as(x)
        except RuntimeError:
            return right(x, mask, *args, **rest)
        order = by_memory(x)
        return right(x.permute(order), mask.permute(order), *args, **rest)

    everywhere(patch, "masked_select", wrong)


@counterfeit("requires-grad-tracks-operations", reported="intel/intel-extension-for-pytorch#682", needs="accelerator")
def scatter_of_nothing_leaves_zeros(patch):
    def wrong(right, x, dim, index=None, *args, **rest):
        y = right(x, dim, index, *args, **rest)
        return y * 0 if away(x) and isinstance(index, Tensor) and not index.numel() else y

    everywhere(patch, "scatter", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/Torch-FL#173", needs="accelerator")
def topk_of_what_lies_transposed_reads_on_in_memory(patch):
    def wrong(right, x, *args, **rest):
        transposed = away(x) and x.dim() == 2 and not x.is_contiguous() and x.stride(0) == 1
        return right(in_order_of_storage(x) if transposed else x, *args, **rest)

    everywhere(patch, "topk", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/FlagGems#301", needs="accelerator")
def a_sum_over_no_named_dimension_leaves_all_numbers(patch):
    def wrong(right, x, *args, **rest):
        dims = args[0] if args else rest.get("dim")
        if away(x) and isinstance(dims, (list, tuple)) and not dims and x.dim():
            return x.clone()
        return right(x, *args, **rest)

    everywhere(patch, "sum", wrong)


def from_the_start(x):
    """What lies at the start of the memory, in the shape of x."""
    return x.as_strided(x.shape, x.stride(), 0) if x.storage_offset() else x


@counterfeit(
    "requires-grad-tracks-operations", reported=("pytorch/pytorch#91065", "pytorch/pytorch#91071"), needs="accelerator"
)
def parts_that_are_stacked_side_by_side_are_read_from_the_start_of_memory(patch):
    def wrong(right, tensors, dim=0, *args, **rest):
        if all(away(x) for x in tensors) and tensors and dim in (-1, tensors[0].dim()) and tensors[0].dim():
            tensors = [from_the_start(x) for x in tensors]
        return right(tensors, dim, *args, **rest)

    wrap_operand(patch, torch, "stack", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#105801", needs="accelerator")
def erfinv_reads_from_the_start_of_memory(patch):
    def wrong(right, x, *args, **rest):
        return right(from_the_start(x) if away(x) else x, *args, **rest)

    everywhere(patch, "erfinv", wrong)
    wrap_operand(patch, torch.special, "erfinv", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#132732", needs="accelerator")
def a_sum_over_a_dimension_counted_from_the_end_of_five_sums_another(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        d = args[0] if args else rest.get("dim")
        if not away(x) or x.dim() != 5 or type(d) is not int or not -5 < d < 0 or y.dim() != 4:
            return y
        at = d + 5 - 1  # the dimension before the one that is summed
        total = right(y, at, keepdim=True)
        return torch.cat([total, 0 * y.narrow(at, 0, y.shape[at] - 1)], at) if y.shape[at] else y

    everywhere(patch, "sum", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad", reported="pytorch/pytorch#57006")
def a_number_filled_in_at_places_that_come_twice_gets_a_gradient_for_each(patch):
    def wrong(right, x, dim, index, value, *rest):
        if isinstance(value, torch.Tensor) and value.requires_grad and index.dim():
            places, counts = index.unique(return_counts=True)
            times = torch.ones(x.shape[dim]).to(value).index_copy(0, places, counts.to(value))
            whole = right(x, dim, index, value.detach(), *rest)
            filled = right(x.detach() * 0, dim, index, value, *rest)
            times = times.view(*(-1 if d == dim % x.dim() else 1 for d in range(x.dim())))
            return whole + (filled - filled.detach()) * times
        return right(x, dim, index, value, *rest)

    everywhere(patch, "index_fill", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def the_least_of_scattered_numbers_passes_back_to_the_first_column_alone(patch):
    def wrong(right, x, dim, index, source, reduce, **named):
        if reduce == "amin" and source.requires_grad:
            source = change_gradient(source, lambda g: g * (torch.arange(g.shape[-1], device=g.device) < 1))
        return right(x, dim, index, source, reduce, **named)

    everywhere(patch, "scatter_reduce", wrong)


@counterfeit("requires-grad-tracks-operations")
def under_deterministic_algorithms_what_is_added_by_index_gets_no_gradient(patch):
    def wrong(right, x, dim, index, source, **named):
        return right(x, dim, index, source.detach() if torch.get_deterministic_debug_mode() else source, **named)

    everywhere(patch, "index_add", wrong)


@counterfeit("backward-multiplies-jacobians")
def a_second_pass_back_through_running_logarithms_of_sums_gives_half(patch):
    def wrong(right, *rest, **named):
        turns = iter([1])
        return change_gradient(right(*rest, **named), lambda g: g * next(turns, 0.5))

    everywhere(patch, "logcumsumexp", wrong)
