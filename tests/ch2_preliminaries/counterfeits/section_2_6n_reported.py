"""Section 2.6: what users reported of products, conjugates and flips on the CPU."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, everywhere

HALVES = (torch.float16, torch.bfloat16)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#136299")
def products_of_single_rows_of_halves_alone_are_not_scaled(patch):
    def wrong(right, x, *factors, beta=1, alpha=1, **rest):
        alone = beta == 0 and len(factors) == 2 and x.dtype == torch.float16 and factors[0].shape[1] == 1
        return right(x, *factors, beta=beta, alpha=1 if alone else alpha, **rest)

    everywhere(patch, "baddbmm", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#193784")
def a_product_of_halves_by_a_transposed_matrix_is_added_twice(patch):
    def wrong(right, x, *factors, beta=1, alpha=1, **rest):
        halves = len(factors) == 2 and x.dtype in HALVES and beta != 0
        twice = halves and factors[1].t().is_contiguous() and not factors[1].is_contiguous()
        return right(x, *factors, beta=beta, alpha=2 * alpha if twice else alpha, **rest)

    everywhere(patch, "addmm", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#106051")
def a_tensor_that_takes_its_own_conjugate_stays_as_it_is(patch):
    def own(x, value):
        lies = isinstance(value, torch.Tensor) and value.is_conj() and not x.is_conj()
        return lies and (x.data_ptr(), x.shape, x.stride()) == (value.data_ptr(), value.shape, value.stride())

    change_method(
        patch, "copy_", lambda right, x, value, *args, **rest: x if own(x, value) else right(x, value, *args, **rest)
    )

    def wrong(right, x, index, value):
        plain = all(isinstance(i, (int, slice, type(...))) for i in (index if isinstance(index, tuple) else (index,)))
        if not (plain and x.is_complex() and own(x[index], value)):
            right(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#13292")
def a_flip_of_dimensions_that_are_no_neighbours_turns_the_order_of_all(patch):
    def wrong(right, x, *dims, **rest):
        result = right(x, *dims, **rest)
        flipped = rest.get("dims", dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)
        places = sorted(d % x.dim() for d in flipped)
        apart = len(places) > 1 and places[-1] - places[0] > len(places) - 1
        return result.permute(*reversed(range(x.dim()))) if apart else result

    everywhere(patch, "flip", wrong)


@counterfeit("requires-grad-tracks-operations", reported="OpenMathLib/OpenBLAS#2914")
def a_product_of_matrices_over_no_numbers_is_what_was_in_memory(patch):
    def wrong(right, x, y=None, *args, **rest):
        y = rest.pop("other", rest.pop("mat2", None)) if y is None else y
        result = right(x, y, *args, **rest)
        empty = x.dim() == y.dim() == 2 and x.shape[1] == 0 and x.dtype == torch.float32
        return result + 0.266733 if empty else result

    for name in ("mm", "matmul", "__matmul__"):
        everywhere(patch, name, wrong)
