"""Section 2.6: functions that mistake a dimension, a size, a dtype or a layout."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, everywhere, not_contiguous
from torch import Tensor


def both(patch, name, wrong):
    """Plant ``wrong(right, x, dim)`` for function and method: ``dim`` is None where none is given, and
    ``right(x)`` does with x as it was asked to.
    """

    def called(right, x, *args, **rest):
        return wrong(lambda x: right(x, *args, **rest), x, args[0] if args else rest.get("dim"))

    everywhere(patch, name, called)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#42363", needs="accelerator")
def running_maximum_of_whole_numbers_mixes_rows(patch):
    def wrong(right, x, dim):
        return right(torch.maximum(x, x.roll(1, 0)) if away(x) and x.dim() == 2 and x.dtype == torch.int64 else x)

    both(patch, "cummax", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#13209", needs="accelerator")
def large_sum_over_distant_elements_loses_half(patch):
    def wrong(right, x, dim):
        if away(x) and isinstance(dim, int) and x.numel() > 2**16 and x.stride(dim) != 1:
            x = x.narrow(dim, 0, max(1, x.shape[dim] // 2))
        return right(x)

    both(patch, "sum", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#87753", needs="accelerator")
def greatest_of_whole_numbers_is_the_first(patch):
    def wrong(right, x, dim):
        return x.reshape(-1)[0].clone() if away(x) and x.dtype == torch.int64 and dim is None else right(x)

    both(patch, "max", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#92311", needs="accelerator")
def place_of_the_greatest_of_each_row_is_another(patch):
    def wrong(right, x, dim):
        y = right(x)
        rows = away(x) and x.dtype == torch.float32 and x.dim() > 1 and isinstance(dim, int)
        return (y + 1) % x.shape[dim] if rows and dim % x.dim() == x.dim() - 1 else y

    both(patch, "argmax", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#117215")
def bytes_are_all_true_where_they_share_a_bit(patch):
    def wrong(right, x, dim):
        if x.dtype != torch.uint8 or not isinstance(dim, int) or not x.shape[dim]:
            return right(x)
        found = x.select(dim, 0)
        for part in x.unbind(dim):
            found = found & part
        return right(found.bool().to(torch.uint8).unsqueeze(dim).expand(x.shape))

    both(patch, "all", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#94753", needs="accelerator")
def mean_of_a_slice_begins_before_it(patch):
    def wrong(right, x, dim):
        over = x.storage_offset() % 4 if away(x) and x.dtype == torch.float32 and dim is not None else 0
        return right(x.as_strided(x.shape, x.stride(), x.storage_offset() - over) if over else x)

    both(patch, "mean", wrong)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def no_gradient_passes_a_median(patch):
    both(
        patch,
        "median",
        lambda right, x, dim: right(change_gradient(x, torch.zeros_like) if away(x) and x.requires_grad else x),
    )


@counterfeit("requires-grad-tracks-operations", reported="pytorch/xla#870", needs="accelerator")
def what_is_flattened_has_no_record(patch):
    def wrong(right, x, *args, **rest):
        return right(x.detach() if away(x) else x, *args, **rest)

    everywhere(patch, "flatten", wrong)


@counterfeit("requires-grad-tracks-operations")
def least_along_the_middle_of_three_dimensions_is_the_last(patch):
    def wrong(right, x, dim):
        middle = isinstance(dim, int) and x.dim() == 3 and dim % 3 == 1 and x.shape[1]
        return x.select(1, -1).clone() if middle and x.dtype == torch.int16 else right(x)

    both(patch, "amin", wrong)


@counterfeit("requires-grad-tracks-operations")
def running_sum_of_many_columns_restarts(patch):
    def wrong(right, x, dim):
        y = right(x)
        if isinstance(dim, int) and x.dim() == 2 and dim % 2 == 0 and x.shape[1] > 2**14:
            y = torch.cat([y[:1], x[1:].to(y.dtype)])
        return y

    both(patch, "cumsum", wrong)


@counterfeit("requires-grad-tracks-operations")
def order_of_bytes_is_that_of_signed_ones(patch):
    def wrong(right, x, *args, **rest):
        if x.dtype != torch.uint8 or "out" in rest:
            return right(x, *args, **rest)
        values, places = right(x.add(128).view(torch.int8), *args, **rest)
        return type("", (tuple,), {"values": property(lambda y: y[0]), "indices": property(lambda y: y[1])})(
            (values.view(torch.uint8), places)
        )

    everywhere(patch, "sort", wrong)


@counterfeit("requires-grad-tracks-operations")
def two_dimensions_with_gaps_are_summed_as_they_lie(patch):
    def wrong(right, x, dim):
        gaps = isinstance(dim, tuple) and isinstance(x, Tensor) and not_contiguous(x) and x.numel() > 1
        return right(torch.as_strided(x, x.shape, torch.empty(x.shape).stride()) if gaps else x)

    for name in ("sum", "amax", "mean"):
        both(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#120875")
def complex_numbers_are_true_by_their_real_part(patch):
    both(patch, "all", lambda right, x, dim: right(x) & (x.real != 0).all() if x.is_complex() else right(x))


@counterfeit("requires-grad-tracks-operations", reported="pytorch/xla#1960", needs="accelerator")
def a_number_has_no_dimension_to_sort_along(patch):
    def wrong(right, x, dim):
        if away(x) and not x.dim():
            raise IndexError("dimension specified as -1 but tensor has no dimensions")
        return right(x)

    both(patch, "sort", wrong)


@counterfeit("backward-fills-grad", reported=("pytorch/pytorch#31515", "pytorch/pytorch#31782"))
def no_gradient_passes_back_through_running_sums_of_nothing(patch):
    def refuse(grad):
        raise RuntimeError("start (0) + length (1) exceeds dimension size (0).")

    def wrong(right, x, dim):
        y = right(x)
        if y.requires_grad and not y.numel():
            y.register_hook(refuse)
        return y

    for name in ("cumsum", "cumprod"):
        both(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations")
def running_product_of_complex_numbers_conjugates(patch):
    both(patch, "cumprod", lambda right, x, dim: right(x).conj() if x.is_complex() else right(x))
