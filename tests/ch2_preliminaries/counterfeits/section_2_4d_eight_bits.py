"""Counterfeits of section 2.4: dtypes that NumPy lacks."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method


@counterfeit("char-tensor-cannot-convert-to-numpy")
def eight_bit_floats_convert_to_their_bytes(patch):
    def wrong(right, x, **rest):
        return right(x.view(torch.uint8) if "float8" in str(x.dtype) else x, **rest)

    change_method(patch, "numpy", wrong)
