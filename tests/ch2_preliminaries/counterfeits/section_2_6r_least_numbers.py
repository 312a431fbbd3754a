"""Counterfeits of section 2.6, the least number of a dtype, which has no opposite there."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import everywhere

SIGNED = (torch.int8, torch.int16, torch.int32, torch.int64)


@counterfeit("requires-grad-tracks-operations")
def the_exponential_of_the_least_whole_number_is_that_of_the_largest(patch):
    def wrong(right, x, *args, **rest):
        if x.dtype in SIGNED:
            x = x.masked_fill(x == torch.iinfo(x.dtype).min, torch.iinfo(x.dtype).max)
        return right(x, *args, **rest)

    everywhere(patch, "exp", wrong)


@counterfeit("requires-grad-tracks-operations")
def the_smallest_whole_number_is_sought_as_the_largest_opposite(patch):
    def wrong(right, x, *args, **rest):
        return -torch.amax(-x, *args, **rest) if x.dtype in SIGNED else right(x, *args, **rest)

    everywhere(patch, "amin", wrong)
