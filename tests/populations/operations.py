"""Differentiable operations, each with its derivative written out in NumPy.

The *pull* of an operation takes what arrives from the result, the weights, back to the operand: the sum, over all
elements of the result, of weight times derivative. All are defined on tensors of at least one dimension, empty ones
included, whatever the layout.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

# A device's functions are within 4 units in the last place, 8 roundings, of the true value; a square doubles that, and
# four operations at most come after.
FUNCTION = 24


@dataclass(frozen=True, repr=False)
class Operation:
    """``apply(tensor)`` is the operation, ``pull(array, weights)`` the gradient in float64.

    ``values`` are those for which the pull is right (see Twin). The device's gradient may be off by ``roundings``, of
    numbers of the size ``scale`` (see agree): 0 where every step is exact for the small whole numbers of twins.
    Of k times the operand it makes k ** ``degree`` times the result; where it does not, that is 0.
    """

    name: str
    apply: Callable
    pull: Callable
    values: str = "small"
    roundings: int = 0
    scale: float = 0
    degree: int = 1

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        printer.text(repr(self))  # Hypothesis would print every field


def pattern(x, count: int):
    """A tensor of the shape, dtype and device of ``x``: 1, 2, ..., ``count``, 1, 2, ... in row order."""
    return torch.from_numpy((np.arange(x.numel()) % count + 1).reshape(x.shape)).to(x)


def numbers(x: np.ndarray, count: int) -> np.ndarray:
    return (np.arange(x.size) % count + 1.0).reshape(x.shape)


def columns(size: int) -> np.ndarray:
    return (np.arange(3 * size) % 3 - 1.0).reshape(size, 3)


def through_a_view(x):
    y = x * 1
    y[..., :1] *= 10
    return y


def assigned(x):
    """The elements but those of the first column, in whose place stands a number."""
    y = x * 1
    y[..., :1] = 7
    return y


def assigned_rows(x):
    y = torch.zeros_like(x)
    y[:] = 3 * x
    return y


def halves(size: int) -> np.ndarray:
    """As many places as there are, of which the first half is read twice and the second one never."""
    return np.arange(size) // 2


def chunked(x, w):
    """What arrives at thirds of the elements, each rounded up, from a row of them in the opposite order."""
    size = -(-x.size // 3)
    ends = [*range(size, x.size, size), x.size] if size else []
    back = np.split(w, np.cumsum([stop - start for start, stop in zip([0, *ends], ends)][::-1])[:-1]) if ends else [w]
    return np.concatenate(back[::-1]).reshape(x.shape)


def thirds(x, w):
    """What arrives at 0, 1, 2, 0, 1, ... times the elements."""
    return np.tensordot(np.arange(20) % 3, w.reshape(20, *x.shape), 1)


def at(x: np.ndarray, places, w: np.ndarray) -> np.ndarray:
    """What arrives at the elements of ``x`` in ``places``, of which some may be read more than once."""
    gradient = np.zeros(x.shape)
    np.add.at(gradient, places, w)
    return gradient


def columns_for_each_row(x):
    return torch.from_numpy(columns(x.shape[-1])).to(x).expand(x.shape[:-1].numel(), x.shape[-1], 3)


def by_columns(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """What arrives at ``x`` from its rows' products with ``columns``."""
    return (w @ columns(x.shape[-1]).T).reshape(x.shape)


def sigmoid_slope(x):
    return np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2


def by_element(name: str, slope: Callable, values: str = "small", scale: float = 0) -> list[Operation]:
    """A function of each element, as ``torch.exp(x)`` and as ``x.exp()``."""
    rest = {"values": values, "roundings": FUNCTION, "scale": scale, "degree": 0}
    return [
        Operation(f"torch.{name}", lambda x: getattr(torch, name)(x), lambda x, w: w * slope(x), **rest),
        Operation(f"x.{name}()", lambda x: getattr(x, name)(), lambda x, w: w * slope(x), **rest),
    ]


FUNCTIONS = [
    *by_element("exp", np.exp),
    *by_element("log", lambda x: 1 / x, "positive"),
    *by_element("sin", np.cos),
    *by_element("cos", lambda x: -np.sin(x)),
    *by_element("sqrt", lambda x: 0.5 / np.sqrt(x), "positive"),
    # 1 - y², y(1 - y) and weights up to 8: an error of y that is small beside 1 is large beside the difference
    *by_element("tanh", lambda x: 1 / np.cosh(x) ** 2, scale=8),
    *by_element("sigmoid", sigmoid_slope, scale=8),
    *by_element("reciprocal", lambda x: -1 / x**2, "positive"),
]
EXACT = [
    Operation("-x", lambda x: -x, lambda x, w: -w),
    Operation("relu", lambda x: torch.relu(x), lambda x, w: w * (x > 0)),
    Operation("abs", lambda x: x.abs(), lambda x, w: w * np.sign(x)),
    Operation("x * x", lambda x: x * x, lambda x, w: 2 * x * w, degree=2),
    Operation("x ** 2", lambda x: x**2, lambda x, w: 2 * x * w, degree=2),
    Operation("x + x", lambda x: x + x, lambda x, w: 2 * w),
    Operation("number - x", lambda x: 3 - x, lambda x, w: -w, degree=0),
    Operation("tensor - x", lambda x: pattern(x, 5) - x, lambda x, w: -w, degree=0),
    Operation("x * tensor", lambda x: x * pattern(x, 5), lambda x, w: w * numbers(x, 5)),
    Operation("x / tensor", lambda x: x / pattern(x, 2), lambda x, w: w / numbers(x, 2)),
    Operation("torch.mul", lambda x: torch.mul(pattern(x, 5), x), lambda x, w: w * numbers(x, 5)),
    Operation("matrix product", lambda x: x @ torch.from_numpy(columns(x.shape[-1])).to(x), by_columns),
    Operation("broadcast", lambda x: torch.zeros(2, *x.shape).to(x) + x, lambda x, w: w.sum(0)),
    Operation(
        "expand, reshape", lambda x: x.expand(3, *x.shape).reshape(-1), lambda x, w: w.reshape(3, *x.shape).sum(0)
    ),
    Operation("expand, [1]", lambda x: x.expand(3, *x.shape)[1], lambda x, w: w),
    Operation(
        "cat", lambda x: torch.cat([0 * x.data, x, 3 * x]), lambda x, w: np.split(w, 3)[1] + 3 * np.split(w, 3)[2]
    ),
    Operation("stack", lambda x: torch.stack([0 * x.detach(), x, 3 * x]), lambda x, w: w[1] + 3 * w[2]),
    Operation("sum()", lambda x: x.sum(), lambda x, w: np.full(x.shape, w)),
    Operation("sum(dim=0)", lambda x: x.sum(dim=0), lambda x, w: np.broadcast_to(w, x.shape)),
    Operation("sum(dim=-1)", lambda x: x.sum(dim=-1), lambda x, w: np.broadcast_to(w[..., None], x.shape)),
    # divided by the size, or multiplied by its rounded inverse
    Operation(
        "mean(dim=0)", lambda x: x.mean(dim=0), lambda x, w: np.broadcast_to(w / max(len(x), 1), x.shape), "small", 2
    ),
    Operation("amax", lambda x: torch.stack([x, x + 1]).amax(0), lambda x, w: w, degree=0),
    Operation("where", lambda x: torch.where(x > 2, x, 5 * x), lambda x, w: w * np.where(x > 2, 1, 5)),
    Operation("transpose", lambda x: x[..., None].transpose(0, -1), lambda x, w: w.swapaxes(0, -1)[..., 0]),
    Operation("x[-1:]", lambda x: x[-1:], lambda x, w: at(x, slice(-1, None), w)),
    Operation("x[..., ::2]", lambda x: x[..., ::2], lambda x, w: at(x, (..., slice(None, None, 2)), w)),
    Operation("mask", lambda x: x[x > 2], lambda x, w: at(x, x > 2, w)),
    Operation(
        "an index twice",
        lambda x: x[..., torch.tensor([0, -1, 0], device=x.device)],
        lambda x, w: at(x, (..., [0, -1, 0]), w),
    ),
    Operation(
        "index_select",
        lambda x: x.index_select(-1, torch.from_numpy(halves(x.shape[-1])).to(x.device)),
        lambda x, w: at(x, (..., halves(x.shape[-1])), w),
    ),
    Operation(
        "embedding",
        lambda x: F.embedding(torch.arange(2 * x.shape[:-1].numel(), device=x.device) // 2, x.reshape(-1, x.shape[-1])),
        lambda x, w: w.reshape(*x.shape[:-1], 2, x.shape[-1]).sum(-2),
    ),
    Operation(
        "sort",
        lambda x: x.sort(dim=-1, stable=True).values,
        lambda x, w: np.take_along_axis(w, x.argsort(-1, kind="stable").argsort(-1), -1),
    ),
    Operation(
        "products of a batch",
        lambda x: torch.bmm(x.reshape(-1, 1, x.shape[-1]), columns_for_each_row(x)),
        by_columns,
    ),
    Operation("reshape", lambda x: x.reshape(-1), lambda x, w: w.reshape(x.shape)),
    Operation("unsqueeze", lambda x: x.unsqueeze(0), lambda x, w: w[0]),
    Operation("clone", lambda x: x.clone(), lambda x, w: w),
    Operation("to float32", lambda x: (2 * x).to(torch.float32), lambda x, w: 2 * w),
    Operation("half()", lambda x: x.float() if x.dtype == torch.float16 else x.half(), lambda x, w: w),
    Operation("bfloat16()", lambda x: (2 * x).bfloat16(), lambda x, w: 2 * w),
    Operation("cumsum", lambda x: torch.stack([x, 2 * x, 3 * x]).cumsum(0), lambda x, w: w[0] + 3 * w[1] + 6 * w[2]),
    Operation("clamp", lambda x: x.clamp(-2.5, 3.5), lambda x, w: w * (np.abs(x - 0.5) < 3), degree=0),
    Operation(
        "minimum", lambda x: torch.minimum(x, 5 - 2 * x), lambda x, w: w * np.where(x < 5 - 2 * x, 1, -2), degree=0
    ),
    Operation(
        "einsum",
        lambda x: torch.einsum("bij,ijk->bik", x.reshape(1, -1, x.shape[-1]), columns_for_each_row(x)) + 0,
        by_columns,
    ),
    Operation("x ** 0", lambda x: x**0 + 0 * x, lambda x, w: 0 * w, degree=0),
    Operation("flip", lambda x: x.flip(-1), lambda x, w: w[..., ::-1]),
    Operation("roll", lambda x: x.roll(1, -1), lambda x, w: np.roll(w, -1, -1)),
    Operation("repeat", lambda x: x.repeat(2, *[1] * (x.dim() - 1)), lambda x, w: w.reshape(2, *x.shape).sum(0)),
    Operation(
        "gather",
        lambda x: x.gather(-1, torch.from_numpy(halves(x.shape[-1])).to(x.device).expand(x.shape)),
        lambda x, w: at(x, (..., halves(x.shape[-1])), w),
    ),
    # by way of the product of result and weight, up to 72 times 8
    Operation(
        "prod",
        lambda x: torch.stack([x, x + 1]).prod(0),
        lambda x, w: w * (2 * x + 1),
        roundings=4,
        scale=576,
        degree=0,
    ),
    Operation("masked_fill", lambda x: x.masked_fill(x > 2, 7), lambda x, w: w * (x <= 2), degree=0),
    Operation("lerp", lambda x: torch.lerp(x, pattern(x, 5), 0.5), lambda x, w: w / 2, degree=0),
    Operation("square", lambda x: torch.square(x), lambda x, w: 2 * x * w, degree=2),
    Operation(
        "addcmul", lambda x: torch.addcmul(x, x, pattern(x, 3), value=2), lambda x, w: w * (1 + 2 * numbers(x, 3))
    ),
    Operation("unbind", lambda x: sum(x.unsqueeze(-1).expand(*x.shape, 3).unbind(-1)), lambda x, w: 3 * w),
    Operation("flattened chunks", lambda x: torch.cat(x.reshape(-1).chunk(3)[::-1]), chunked),
    Operation("torch.chunk", lambda x: torch.cat(torch.chunk(x.reshape(-1), 3)[::-1]), chunked),
    Operation("a slice assigned to", assigned, lambda x, w: w * (np.arange(x.shape[-1]) > 0), degree=0),
    Operation("in place through a view", through_a_view, lambda x, w: w * np.where(np.arange(x.shape[-1]), 1, 10)),
    Operation("assigned to a slice", assigned_rows, lambda x, w: 3 * w),
    Operation("copy_", lambda x: torch.zeros_like(x).copy_(3 * x), lambda x, w: 3 * w),
    Operation("ldexp", lambda x: torch.ldexp(x, -pattern(x, 3)), lambda x, w: w / 2 ** numbers(x, 3)),
    Operation("clamp by a tensor", lambda x: x.clamp(torch.full_like(x, -2.5)), lambda x, w: w * (x > -2.5), degree=0),
]
# Their results are too large for another function of them, or empty, or may have no dimensions.
LARGE = [
    Operation("x @ x", lambda x: x.reshape(1, -1) @ x.reshape(-1, 1), lambda x, w: 2 * x * w[0, 0], degree=2),
    Operation("number ** x", lambda x: 2.0**x, lambda x, w: w * math.log(2) * 2.0**x, roundings=FUNCTION, degree=0),
    Operation(
        "tensor ** x",  # of base 0, too: the slope of 0 ** x is 0 where x is positive
        lambda x: (pattern(x, 3) - 1) ** x,
        lambda x, w: w * np.log(np.maximum(numbers(x, 3) - 1, 1)) * np.maximum(numbers(x, 3) - 1, 1) ** x,
        "positive",
        FUNCTION,
        degree=0,
    ),
    Operation("unsqueeze beside nothing", lambda x: x.unsqueeze(-1) + x.new_ones(0), lambda x, w: 0 * x),
    Operation("squeeze", lambda x: x.unsqueeze(1).squeeze(), lambda x, w: w.reshape(x.shape)),
]
# Fractions, writes in place and many parts: tried after all others, so that no combination of those depends on them.
MORE = [
    Operation("x + fraction", lambda x: x + 0.5, lambda x, w: w, degree=0),
    Operation("x * fraction", lambda x: x * 0.5, lambda x, w: w / 2),
    Operation("x / fraction", lambda x: x / 0.25, lambda x, w: 4 * w),
    Operation("y += x", lambda x: operator.iadd(2 * x, x), lambda x, w: 3 * w),
    Operation("y -= x", lambda x: operator.isub(3 * x, x), lambda x, w: 2 * w),
    Operation("y *= number", lambda x: operator.imul(2 * x, 3), lambda x, w: 6 * w),
    Operation("y *= tensor", lambda x: operator.imul(2 * x, pattern(x, 3)), lambda x, w: 2 * w * numbers(x, 3)),
    Operation("y += number", lambda x: operator.iadd(2 * x, 3), lambda x, w: 2 * w, degree=0),
    Operation("y.zero_()", lambda x: x + (2 * x).zero_(), lambda x, w: w),
    Operation("y /= number", lambda x: operator.itruediv(2 * x, 4), lambda x, w: w / 2),
    Operation("cat of many", lambda x: torch.cat([n % 3 * x for n in range(20)]), lambda x, w: thirds(x, w)),
    Operation("stack of many", lambda x: torch.stack([n % 3 * x for n in range(20)]), lambda x, w: thirds(x, w)),
]
OPERATIONS = (*FUNCTIONS, *EXACT, *LARGE)
