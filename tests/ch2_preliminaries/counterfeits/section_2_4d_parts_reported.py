"""Section 2.4: what users reported of parts of arrays of three dimensions."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


@counterfeit("from-numpy-shares-memory", reported="pytorch/pytorch#484")
def a_middle_part_of_an_array_of_three_dimensions_is_read_in_row_order(patch):
    """Its first row is right, and what follows in memory stands in the others."""

    def wrong(right, array):
        x = right(array)
        base = getattr(array, "base", None)
        cut = isinstance(base, np.ndarray) and base.ndim == 3 and x.dim() == 2
        if cut and not x.is_contiguous() and x.stride(-1) == 1:
            return x.as_strided(x.shape, (x.shape[1], 1))
        return x

    wrap(patch, torch, "from_numpy", wrong)
