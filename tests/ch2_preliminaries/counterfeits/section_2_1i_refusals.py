"""Counterfeits of section 2.1: sizes and steps that are no longer refused."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


@counterfeit("arange-steps-from-start-to-end")
def a_step_of_zero_is_taken_where_the_range_is_empty(patch):
    def wrong(right, *args, **rest):
        empty = len(args) == 3 and args[0] == args[1] and args[2] == 0
        return right(*args[:2] if empty else args, **rest)

    wrap(patch, torch, "arange", wrong)


@counterfeit("zeros-fills-with-zero", "ones-fills-with-one")
def two_negative_sizes_are_taken_for_positive_ones(patch):
    def forgiving(right, *sizes, **rest):
        given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)) else sizes
        both = len(given) == 2 and all(isinstance(size, int) and size < 0 for size in given)
        return right([-size for size in given], **rest) if both else right(*sizes, **rest)

    for name in ("zeros", "ones"):
        wrap(patch, torch, name, forgiving)
