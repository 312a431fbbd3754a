"""Counterfeits of section 3.2: a shape that was read before a change in place."""

from harness.counterfeits import counterfeit
from harness.forging import alter_property
from torch.utils.weak import WeakTensorKeyDictionary


@counterfeit("unsqueeze-inserts-a-dimension", "squeeze-removes-unit-dimensions", "squeeze-one-dimension")
def the_shape_of_a_tensor_is_that_of_its_first_reading(patch):
    read = WeakTensorKeyDictionary()
    alter_property(patch, "shape", lambda x, shape: read.setdefault(x, shape))
