"""Values that know how far a computation in a narrower dtype may be off them."""

import numpy as np
import torch

from populations.comparing import agree
from populations.twins import HALVES, NUMPY


class Rounded:
    """Float64 values of a computation, and how far off them the same computation in a narrower dtype may be.

    Running error analysis: every operation passes the errors of its operands on, and adds one rounding for the dtype
    and one for the operation that torch may have split in two or taken in another order (or, in float64, for NumPy's
    own). ``unit`` is half the dtype's eps; below ``tiny`` numbers may be flushed to zero, in half precision, where that
    would be much, only below the smallest. Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 3.3.
    """

    def __init__(self, value, dtype: torch.dtype, error=0.0):
        self.value, self.dtype, self.error = np.asarray(value, np.float64), dtype, error
        told = torch.finfo(dtype)
        self.unit, self.tiny = told.eps / 2, told.tiny * (told.eps if dtype in HALVES else 1)

    def made(self, value, error, roundings: int = 2) -> "Rounded":
        return Rounded(value, self.dtype, error + roundings * self.unit * abs(value) + self.tiny)

    def __add__(self, other) -> "Rounded":
        if not isinstance(other, Rounded):  # a number of Python's, which the dtype rounds
            return self.made(self.value + other, self.error + self.unit * abs(other))
        return self.made(self.value + other.value, self.error + other.error)

    def __neg__(self) -> "Rounded":
        return Rounded(-self.value, self.dtype, self.error)

    def __sub__(self, other: "Rounded") -> "Rounded":
        return self + -other

    def __mul__(self, other) -> "Rounded":
        if not isinstance(other, Rounded):
            return self.made(self.value * other, self.error * abs(other), roundings=3)
        error = abs(self.value) * other.error + (abs(other.value) + other.error) * self.error
        return self.made(self.value * other.value, error)

    def __truediv__(self, other: "Rounded") -> "Rounded":
        value = self.value / other.value
        away = np.maximum(abs(other.value) - other.error, 0)  # from zero: at worst the quotient is anything
        return self.made(value, (self.error + abs(value) * other.error) / away)

    def sqrt(self) -> "Rounded":
        value = np.sqrt(self.value)
        return self.made(value, np.fmin(self.error / value, np.sqrt(self.error)))

    def agree(self, actual: torch.Tensor) -> None:
        """Raise AssertionError unless every element of ``actual`` is as near as its bound says; NaN is no bound."""
        agree(actual, self.value, roundings=1, scale=np.where(np.isnan(self.error), np.inf, self.error / self.unit))

    def largest(self, other: "Rounded") -> "Rounded":
        return Rounded(np.maximum(self.value, other.value), self.dtype, np.maximum(self.error, other.error))


def as_held(numbers: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """``numbers`` rounded to ``dtype``, to the even one of two that are as near; to bfloat16 by way of float32."""
    numbers = numbers.astype(NUMPY[dtype])
    if dtype != torch.bfloat16:
        return numbers
    bits = numbers.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
