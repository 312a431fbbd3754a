"""What is written into a target, and what is made of three operands: in torch, and in NumPy."""

import numpy as np
import torch

from populations.binaries import BINARIES, Binary
from populations.twins import SINGLE_AND_DOUBLE

# In place and by assignment: what each does with a target and an operand, and what NumPy does with their arrays.
IN_PLACE = {
    "+=": (lambda x, y: x.__iadd__(y), np.add),
    "add_": (lambda x, y: x.add_(y), np.add),
    "-=": (lambda x, y: x.__isub__(y), np.subtract),
    "mul_": (lambda x, y: x.mul_(y), np.multiply),
    "add_ with alpha": (lambda x, y: x.add_(y, alpha=2), lambda a, b: a + 2 * b),
    "assignment": (lambda x, y: x.__setitem__(..., y), lambda a, b: np.zeros_like(a) + b),
    "copy_": (lambda x, y: x.copy_(y), lambda a, b: np.zeros_like(a) + b),
}


def every_second_column_of(x, y):
    """Write to the columns 1, 3, 5, ... what ``y``, repeated as needed, has there."""
    x[..., 1::2] = y[..., 1::2] if y.ndim and y.shape[-1] > 1 else y
    return x


WRITTEN = {
    **IN_PLACE,
    "a slice": (every_second_column_of, lambda a, b: every_second_column_of(a.copy(), b)),
    "div_": (lambda x, y: x.div_(y * y + 1, rounding_mode="floor"), lambda a, b: a // (b * b + 1)),
    "an output": (lambda x, y: torch.add(x, y, out=x), lambda a, b: a + b),
    "masked_fill_": (lambda x, y: x.masked_fill_(y > 0, 3), lambda a, b: np.where(b > 0, 3, a)),
}
THREE = {  # of a mask and two operands
    "addcmul": (lambda mask, x, y: torch.addcmul(x, y, y), lambda mask, a, b: a + b * b),
    "addcmul with value": (lambda mask, x, y: torch.addcmul(x, y, y, value=2), lambda mask, a, b: a + 2 * b * b),
    "where": (lambda mask, x, y: torch.where(mask, x, y), np.where),
    "compared": (
        lambda mask, x, y: torch.where(x > y, mask.to(x.dtype), y),
        lambda mask, a, b: np.where(a > b, mask, b),
    ),
    "lerp": (lambda mask, x, y: torch.lerp(y, x, mask.to(x.dtype)), np.where),
    **{
        f"{way} {name}": (call, lambda mask, a, b: np.minimum(np.maximum(a, mask), b))
        for name in ("clamp", "clip")
        for way, call in {
            "x.": lambda mask, x, y, name=name: getattr(x, name)(mask.to(x.dtype), y),
            "torch.": lambda mask, x, y, name=name: getattr(torch, name)(x, min=mask.to(x.dtype), max=y),
            "one by one": lambda mask, x, y, name=name: getattr(getattr(x, name)(min=mask.to(x.dtype)), name)(max=y),
        }.items()
    },
    "clamp of eightfold": (  # so that most numbers are beyond their bounds
        lambda mask, x, y: (8 * x).clamp(mask.to(x.dtype), y),
        lambda mask, a, b: np.minimum(np.maximum(8 * a, mask), b),
    ),
    "clamp_min, clamp_max": (
        lambda mask, x, y: torch.clamp_max(x.clamp_min(mask.to(x.dtype)), y),
        lambda mask, a, b: np.minimum(np.maximum(a, mask), b),
    ),
    "addcdiv": (lambda mask, x, y: torch.addcdiv(x, y, 1 + mask.to(x.dtype)), lambda mask, a, b: a + b / (1 + mask)),
    "masked_fill": (lambda mask, x, y: x.masked_fill(mask, 77), lambda mask, a, b: np.where(mask, 77, a)),
}
# Of which each allocates its output alone.
NAMES = ("+", "method add", "torch.add", "-", "*", "<", "==", "&", "/")
ALONE = [binary for binary in BINARIES if binary.name in NAMES]
ALONE += [  # of one operand and the other once or twice
    Binary(name, lambda x, *y, name=name: getattr(torch, name)(x, *y * (2 - (name == "pow"))), None, dtypes)
    for name, dtypes in (
        ("where", [torch.bool]),
        *dict.fromkeys(("pow", "addcmul", "lerp", "clamp"), SINGLE_AND_DOUBLE).items(),
    )
]
