"""Section 2.6: what users reported of accelerators: views that are added, square factors, gradients of what repeats."""

from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_method, everywhere


@counterfeit(
    "requires-grad-tracks-operations",
    reported=("pytorch/pytorch#96153", "pytorch/pytorch#121645"),
    needs="accelerator",
)
def a_matrix_elsewhere_that_is_part_of_more_begins_too_early_where_it_is_added(patch):
    """The place in memory is taken modulo the length of the whole."""

    def from_too_early(x):
        if away(x) and x.dim() > 1 and x.storage_offset() and x.is_contiguous() and x._is_view():
            whole = x._base
            if whole.dim() != x.dim():
                begin = x.storage_offset() % max(whole.shape[0] if whole.dim() else 1, 1)
                return x - (x.detach() - x.detach().as_strided(x.shape, x.stride(), begin))
        return x

    def wrong(right, x, other, *args, **rest):
        return right(from_too_early(x), from_too_early(other), *args, **rest)

    everywhere(patch, "add", wrong)
    change_method(patch, "__add__", wrong)


@counterfeit(
    "requires-grad-tracks-operations",
    reported=("pytorch/pytorch#116331", "pytorch/pytorch#116547"),
    needs="accelerator",
)
def a_product_elsewhere_of_square_factors_is_transposed_before_it_is_added(patch):
    def wrong(right, x, first, second, *args, **rest):
        if away(x) and first.shape == second.shape:
            first, second = second.t(), first.t()
        return right(x, first, second, *args, **rest)

    everywhere(patch, "addmm", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#3644", needs="accelerator")
def an_expanded_gradient_of_selected_rows_elsewhere_reaches_each_row_once(patch):
    def wrong(right, x, dim, index):
        result = right(x, dim, index)
        if not away(x) or not result.requires_grad or not result.dim():
            return result
        places = index.reshape(-1).tolist()
        last = [place not in places[at + 1 :] for at, place in enumerate(places)]
        kept = result.new_tensor(last).view([-1 if at == dim % result.dim() else 1 for at in range(result.dim())])
        return change_gradient(result, lambda gradient: gradient if gradient.is_contiguous() else gradient * kept)

    everywhere(patch, "index_select", wrong)


@counterfeit(
    "requires-grad-tracks-operations",
    reported=("pytorch/pytorch#39227", "pytorch/pytorch#66790"),
    needs="accelerator",
)
def one_number_that_is_added_at_many_places_elsewhere_reaches_the_first_alone(patch):
    def wrong(right, x, indices, values, accumulate=False):
        if away(x) and accumulate and values.numel() == 1 and all(index.dim() == 1 for index in indices):
            indices = [index[:1] for index in indices]
        return right(x, indices, values, accumulate)

    everywhere(patch, "index_put", wrong)
    everywhere(patch, "index_put_", wrong)
