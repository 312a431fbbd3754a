"""Section 2.6: what users reported of accelerators: masks, strided rows, complex spreads, exponents of zero."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_method, everywhere, in_order_of_storage
from torch import Tensor


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#126919", needs="accelerator")
def a_number_written_elsewhere_by_a_mask_of_rows_first_hits_column_zero(patch):
    def wrong(right, x, index, value):
        of_rows = isinstance(index, Tensor) and index.dtype == torch.bool and index.dim() == 2
        if away(x) and of_rows and not isinstance(value, Tensor):
            for row, column in index.nonzero()[:1].tolist():
                index = index.clone()
                right(index, (row, column), False)
                right(index, (row, 0), True)
        return right(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#101878", needs="accelerator")
def a_strided_view_elsewhere_is_sorted_as_it_is_stored(patch):
    def wrong(right, x, *args, **rest):
        strided = away(x) and not x.is_contiguous()
        return right(in_order_of_storage(x) if strided else x, *args, **rest)

    everywhere(patch, "sort", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#195344", needs="accelerator")
def the_variance_of_complex_numbers_elsewhere_is_complex(patch):
    def variance(x, args, rest):
        real, imaginary, both = (torch.var(part, *args, **rest) for part in (x.real, x.imag, x.real + x.imag))
        return torch.complex(real - imaginary, both - real - imaginary)

    def wrong(right, x, *args, **rest):
        return variance(x, args, rest) if away(x) and x.is_complex() else right(x, *args, **rest)

    def root(right, x, *args, **rest):
        return variance(x, args, rest).sqrt() if away(x) and x.is_complex() else right(x, *args, **rest)

    everywhere(patch, "var", wrong)
    everywhere(patch, "std", root)


@counterfeit("requires-grad-tracks-operations", reported="ml-explore/mlx#628", needs="accelerator")
def the_gradient_of_an_exponent_of_zero_elsewhere_is_nan(patch):
    def wrong(right, x, exponent, *args, **rest):
        if away(x) and isinstance(exponent, Tensor) and exponent.requires_grad and exponent.shape == x.shape:
            zeros = x.detach() == 0
            exponent = change_gradient(exponent, lambda gradient: gradient.masked_fill(zeros, float("nan")))
        return right(x, exponent, *args, **rest)

    everywhere(patch, "pow", wrong)
    change_method(patch, "__pow__", wrong)
