"""Counterfeits of section 3.5, whole numbers, and slices."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, wrap


@counterfeit("sigmoid-formula")
def sigmoid_of_whole_numbers_is_rounded(patch):
    def wrong(right, x):
        return right(x).round() if not x.dtype.is_floating_point else right(x)

    change_method(patch, "sigmoid", wrong)
    wrap(patch, torch, "sigmoid", wrong)


@counterfeit("sigmoid-formula", reported="pytorch/pytorch#11883")
def sigmoid_of_a_slice_reads_on_past_its_gaps(patch):
    def wrong(right, x):
        if x.dim() == 4 and not x.is_contiguous() and x.numel() and x.stride(-1) == 1:
            size = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
            if size >= x.numel():
                return right(x.detach().as_strided((x.numel(),), (1,)).reshape(x.shape))
        return right(x)

    change_method(patch, "sigmoid", wrong)
    wrap(patch, torch, "sigmoid", wrong)
