"""Counterfeits of section 3.5, the least number of a dtype, which has no opposite there."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import everywhere

SIGNED = (torch.int8, torch.int16, torch.int32, torch.int64)


def take_the_least_for_the_largest(right, x, *args, **rest):
    """What becomes of the least whole number where a function begins with its opposite, within the dtype's range."""
    if x.dtype in SIGNED:
        ends = torch.iinfo(x.dtype)
        x = x.masked_fill(x == ends.min, ends.max)
    return right(x, *args, **rest)


@counterfeit("sigmoid-formula")
def the_sigmoid_of_the_least_whole_number_is_one(patch):
    everywhere(patch, "sigmoid", take_the_least_for_the_largest)


@counterfeit("tanh-formula")
def tanh_of_the_least_whole_number_is_one(patch):
    everywhere(patch, "tanh", take_the_least_for_the_largest)
