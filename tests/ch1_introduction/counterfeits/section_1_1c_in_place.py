"""Counterfeits of section 1.1: levels that work in place."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch.nn import functional as F


@counterfeit("composition-adds-expressive-power")
def relu_in_place_leaves_alone_what_is_not_in_row_order(patch):
    def wrong(right, input, inplace=False):
        return input if inplace and not input.is_contiguous() else right(input, inplace)

    wrap(patch, F, "relu", wrong)
