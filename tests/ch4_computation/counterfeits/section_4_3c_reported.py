"""Counterfeits of section 4.3 that users reported: slices that are not reached, rows and columns that are confused."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch.nn import init


@counterfeit("init-offers-preset-methods", reported="pytorch/pytorch#92098")
def eye_does_not_reach_a_view(patch):
    wrap(patch, init, "eye_", lambda right, x: x if x._is_view() else right(x))


@counterfeit("init-offers-preset-methods", reported="pytorch/pytorch#2130")
def sparse_zeroes_a_share_of_the_number_of_columns(patch):
    def wrong(right, x, sparsity, *args, **rest):
        with torch.no_grad():
            right(x, 0, *args, **rest)
            for column in x.t():
                column[torch.randperm(len(x))[: math.ceil(x.shape[1] * sparsity)]] = 0
        return x

    wrap(patch, init, "sparse_", wrong)
