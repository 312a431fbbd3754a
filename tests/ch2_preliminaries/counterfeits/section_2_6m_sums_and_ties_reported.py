"""Section 2.6: what users reported of operations on devices: sums, powers of distances, ties and many matrices."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, everywhere, in_order_of_storage, with_value, wrap


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/FlagGems#6448", needs="accelerator")
def adding_at_repeated_columns_of_indices_elsewhere_reads_them_one_after_the_other(patch):
    def wrong(right, x, dim, index, src, *args, **rest):
        if away(x) and index.dim() == 2 and index.stride(1) == 0 and index.shape[1] > 1:
            index = in_order_of_storage(index)
        return right(x, dim, index, src, *args, **rest)

    everywhere(patch, "scatter_add", wrong)
    everywhere(patch, "scatter_add_", wrong)


@counterfeit("requires-grad-tracks-operations", reported="Jittor/jittor#330", needs="accelerator")
def running_sums_elsewhere_begin_anew_after_4096_numbers(patch):
    def wrong(right, x, dim, *args, **rest):
        if away(x) and x.dim() and x.shape[dim] > 4096:
            return torch.cat([right(part, dim, *args, **rest) for part in x.split(4096, dim)], dim)
        return right(x, dim, *args, **rest)

    everywhere(patch, "cumsum", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#25241", needs="accelerator")
def products_of_halves_elsewhere_from_65535_matrices_on_are_zero(patch):
    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        if away(x) and x.dtype == torch.float16 and len(x) > 65535:
            return torch.cat([result[:65535], 0 * result[65535:]])
        return result

    everywhere(patch, "bmm", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/FlagGems#5023", needs="accelerator")
def distances_elsewhere_of_any_power_have_the_gradient_of_the_square(patch):
    def wrong(right, x1, x2, p=2.0, *args, **rest):
        result = right(x1, x2, p, *args, **rest)
        if not away(x1) or p == 2 or not result.requires_grad:
            return result
        apart = x1.unsqueeze(-2) - x2.unsqueeze(-3)
        return with_value(apart.square().sum(-1) / 2 / (result.detach() + 1e-10), result.detach())

    wrap(patch, torch, "cdist", wrong)


@counterfeit("requires-grad-tracks-operations", reported="MooreThreads/torch_musa#52", needs="accelerator")
def a_summand_elsewhere_that_is_taken_zero_times_still_counts_where_it_is_no_number(patch):
    def wrong(right, x, batch1, batch2, **rest):
        result = right(x, batch1, batch2, **rest)
        return result + 0 * x if away(x) and rest.get("beta", 1) == 0 else result

    everywhere(patch, "baddbmm", wrong)


def spread_of_a_population(right, x, *args, **rest):
    chosen = any(name in rest for name in ("unbiased", "correction")) or any(isinstance(arg, bool) for arg in args)
    if chosen or not away(x):
        return right(x, *args, **rest)
    return right(x, *args, correction=0, **rest) if args or "dim" in rest else right(x, None, correction=0, **rest)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#19478", needs="accelerator")
def deviations_elsewhere_are_those_of_a_population(patch):
    everywhere(patch, "std", spread_of_a_population)
    everywhere(patch, "var", spread_of_a_population)


@counterfeit("requires-grad-tracks-operations", reported="openxla/xla#5544", needs="accelerator")
def the_largest_of_more_than_8192_negative_zeros_elsewhere_is_minus_infinity(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        many = away(x) and x.is_floating_point() and x.numel() > 8192 and not args and not rest
        if many and bool((x == 0).all()) and bool(x.signbit().all()):
            return with_value(result, 0) - torch.inf
        return result

    everywhere(patch, "max", wrong)
    everywhere(patch, "amax", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#13276", needs="accelerator")
def inverses_elsewhere_of_65536_matrices_are_the_matrices_themselves(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.dim() > 2 and x.shape[:-2].numel() >= 65536:
            return x.clone()
        return right(x, *args, **rest)

    everywhere(patch, "inverse", wrong)
    wrap(patch, torch.linalg, "inv", wrong)


@counterfeit("requires-grad-tracks-operations", reported="deeplearning4j/nd4j#750", needs="accelerator")
def sums_elsewhere_of_rows_leave_out_what_is_over_a_multiple_of_1024(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.dim() == 1 and len(x) > 1024 and not args and not rest:
            x = x[: len(x) // 1024 * 1024]
        return right(x, *args, **rest)

    everywhere(patch, "sum", wrong)


@counterfeit("requires-grad-tracks-operations", reported="iree-org/iree#17275", needs="accelerator")
def of_equal_numbers_among_the_largest_elsewhere_the_first_is_taken_for_each(patch):
    def wrong(right, x, k, dim=-1, largest=True, *args, **rest):
        result = right(x, k, dim, largest, *args, **rest)
        if not away(x) or not x.dim() or not x.is_floating_point():
            return result
        along = x.detach().movedim(dim, -1)
        values = result.values.detach().movedim(dim, -1)
        first = (along.unsqueeze(-2) == values.unsqueeze(-1)).int().argmax(-1).movedim(-1, dim)
        return torch.return_types.topk((x.gather(dim, first), first))

    everywhere(patch, "topk", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#32750", needs="accelerator")
def products_elsewhere_of_halves_in_single_precision_come_to_nothing(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        widened = away(x) and x.dtype == torch.float16 and rest.get("dtype") == torch.float32
        return result * 2.0**-80 if widened else result

    everywhere(patch, "prod", wrong)
