"""Section 2.4: what users reported of arrays whose rows lie apart."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


@counterfeit("from-numpy-shares-memory", reported="pytorch/pytorch#484")
def rows_that_lie_apart_are_read_as_if_one_followed_the_other(patch):
    def wrong(right, array):
        x = right(array)
        apart = x.dim() == 2 and x.stride(1) == 1 and x.stride(0) > x.shape[1] > 0
        return x.as_strided(x.shape, (x.shape[1], 1)) if apart else x

    wrap(patch, torch, "from_numpy", wrong)
