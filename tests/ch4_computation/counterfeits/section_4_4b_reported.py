"""Counterfeits of 4.4 that users reported, squares of what has a gradient of zeros."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, wrap


@counterfeit("shared-gradients-accumulate", reported="sony/nnabla#532")
def once_zeroed_a_factor_that_stands_twice_gets_one_share(patch):
    def wrong(right, x, y, *args, **rest):
        same = x is y and x.is_leaf and x.requires_grad and x.grad is not None and not x.grad.any()
        return right(x, y.detach() if same else y, *args, **rest)

    for name in ("add", "mul", "matmul"):
        wrap(patch, torch, name, wrong)
        change_method(patch, name, wrong)
    for name in ("__add__", "__mul__", "__matmul__"):
        change_method(patch, name, wrong)
