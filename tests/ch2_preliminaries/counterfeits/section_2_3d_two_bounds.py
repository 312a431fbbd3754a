"""Counterfeits of section 2.3: bounds of two shapes."""

from harness.counterfeits import counterfeit
from harness.forging import everywhere
from torch import Tensor


@counterfeit("broadcasting-matches-shapes")
def an_upper_bound_that_is_a_column_counts_as_a_row_beside_a_lower_bound(patch):
    def wrong(right, x, min=None, max=None, **rest):
        differ = isinstance(min, Tensor) and isinstance(max, Tensor) and min.shape != max.shape
        return right(x, min, max.t() if differ and x.dim() and max.shape == (x.shape[-1], 1) else max, **rest)

    for name in ("clamp", "clip"):
        everywhere(patch, name, wrong)
