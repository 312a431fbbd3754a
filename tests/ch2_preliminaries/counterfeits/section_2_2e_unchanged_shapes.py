"""Counterfeits of section 2.2: views that look like their source."""

from harness.counterfeits import counterfeit
from harness.forging import everywhere


@counterfeit("view-is-a-new-tensor-object")
def squeeze_of_a_longer_dimension_is_the_tensor_itself(patch):
    def wrong(right, x, *args, **rest):
        dim = args[0] if args else rest.get("dim")
        return x if isinstance(dim, int) and x.dim() and x.shape[dim] != 1 else right(x, *args, **rest)

    everywhere(patch, "squeeze", wrong)
