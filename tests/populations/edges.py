"""Functions at the edges of numbers: where some are minus infinity or no numbers, are tiny, or lie far out."""

from functools import reduce

import numpy as np
import torch
from torch.nn import functional as F

from populations.entropy import softmax
from populations.initialisers import RELEASE


def shares(a, w):
    return softmax(a, 1), softmax(a, 1) * (w - (w * softmax(a, 1)).sum(1, keepdims=True))


def log_shares(a, w):
    return np.log(softmax(a, 1)), w - softmax(a, 1) * w.sum(1, keepdims=True)


def log_sums(a, w):
    return np.log(np.exp(a).sum(1)), softmax(a, 1) * w


def running(a, w):
    sums = np.exp(a).cumsum(1)
    return np.log(sums), np.exp(a) * (w / sums)[:, ::-1].cumsum(1)[:, ::-1]


def of_the_largest(a, w):
    first = np.arange(a.shape[1]) == a.argmax(1)[:, None]
    return np.log(softmax(a, 1)).max(1), w * (first - softmax(a, 1))


# Functions along rows, of which some elements are minus infinity: the function of the tensor, and what NumPy makes of
# the other elements and of weights for the results: the results, and what the weights pull back.
MASKED_SUMS = {
    **{"softmax": (lambda x: x.softmax(1), shares), "F.softmax": (lambda x: F.softmax(x, -1), shares)},
    "softmax of a function": (lambda x: torch.softmax(x, 1, dtype=torch.float64).to(x.dtype), shares),
    "of log_softmax": (lambda x: x.log_softmax(1).exp(), shares),
    "F.log_softmax": (lambda x: F.log_softmax(x, 1), log_shares),
    "log_softmax": (lambda x: torch.log_softmax(x, -1), log_shares),
    "softmin": (lambda x: F.softmin(-x, 1), shares),
    "exponentials, divided": (lambda x: x.exp() / x.exp().sum(1, keepdim=True), shares),
    "logsumexp": (lambda x: x.logsumexp(1), log_sums),
    "logsumexp of a function": (lambda x: torch.logsumexp(x, dim=(1,)), log_sums),
    "logaddexp": (lambda x: reduce(torch.logaddexp, x.unbind(1)), log_sums),
    "logaddexp, the other way": (lambda x: reduce(lambda total, one: one.logaddexp(total), x.unbind(1)), log_sums),
    "logaddexp2": (lambda x: reduce(torch.logaddexp2, (x / np.log(2)).unbind(1)) * np.log(2), log_sums),
    "logcumsumexp": (lambda x: x.logcumsumexp(1), running),
    "cross_entropy": (lambda x: -F.cross_entropy(x, x.detach().argmax(1), reduction="none"), of_the_largest),
}
# Those that add one number after the other: what begins with minus infinity has no slope.
ONE_BY_ONE = ("logaddexp", "logaddexp, the other way", "logaddexp2", "logcumsumexp")
# Functions that choose of x what is not gone, and make zeros of the rest.
UNCHOSEN = {
    "where": lambda x, gone: torch.where(gone, torch.zeros_like(x), x),
    "where, the other way": lambda x, gone: torch.where(~gone, x, torch.zeros_like(x)),
    "where, by method": lambda x, gone: x.where(~gone, torch.zeros_like(x)),
    "where, of a number": lambda x, gone: torch.where(gone, x.new_zeros(()), x),
    "masked_fill": lambda x, gone: x.masked_fill(gone, 0.0),
    "masked_fill_": lambda x, gone: (x * 1).masked_fill_(gone, 0.0),
    "masked_fill, of a tensor": lambda x, gone: torch.masked_fill(x, gone, x.new_zeros(())),
    "[mask] =": lambda x, gone: (lambda y: y.__setitem__(gone, 0.0) or y)(x * 1),
    "masked_scatter": lambda x, gone: x.masked_scatter(gone, torch.zeros_like(x)),
    "masked_select": lambda x, gone: torch.zeros_like(x).masked_scatter(~gone, x.masked_select(~gone)),
    "[mask]": lambda x, gone: torch.zeros_like(x).masked_scatter(~gone, x[~gone]),
    "index_put": lambda x, gone: x.index_put((gone,), x.new_zeros(())),
    "take": lambda x, gone: torch.zeros_like(x).masked_scatter(~gone, x.take((~gone).flatten().nonzero()[:, 0])),
    "index_select": lambda x, gone: torch.zeros_like(x).masked_scatter(
        ~gone, x.reshape(-1).index_select(0, (~gone).flatten().nonzero()[:, 0])
    ),
    "gather": lambda x, gone: torch.zeros_like(x).masked_scatter(
        ~gone, x.reshape(-1).gather(0, (~gone).flatten().nonzero()[:, 0])
    ),
    "put together": lambda x, gone: torch.stack(
        [
            torch.zeros_like(one) if lost else one
            for one, lost in zip(x.reshape(-1).unbind(), gone.flatten().tolist(), strict=True)
        ]
    ).view(x.shape),
    "copied": lambda x, gone: torch.zeros_like(x).index_put((~gone,), x[~gone]),
}
MEMORY_ORDER = ("masked_select", "[mask]", "take", "index_select", "gather", "masked_scatter")
if RELEASE < (2, 1):  # before, what masked_scatter is given and masked_select passes back lies in the memory's order
    UNCHOSEN = {name: choose for name, choose in UNCHOSEN.items() if name not in MEMORY_ORDER}
TINY, LITTLE, SOME, LARGE, HUGE = 1e-30, 1e-12, 1e-3, 12.0, 1e15
NEAR = (TINY, LITTLE, SOME, 0.25)
FAR = (SOME, 0.75, 3.0, LARGE, 40.0)
# Functions of a number, each with its slope, and at which numbers: those where a slope that is computed by the usual
# rule keeps its digits, however small it is.
TAILS = {
    "exp": (lambda x: torch.exp(x), np.exp, [*NEAR, *FAR, *(-each for each in (*NEAR, *FAR))]),
    "expm1": (lambda x: torch.expm1(x), np.exp, [*NEAR, *(-each for each in NEAR), *FAR]),
    "exp2": (lambda x: torch.exp2(x), lambda a: np.log(2) * np.exp2(a), [*FAR, *(-each for each in FAR)]),
    "log": (lambda x: torch.log(x), lambda a: 1 / a, [*NEAR, *FAR, HUGE]),
    "log2": (lambda x: torch.log2(x), lambda a: 1 / (a * np.log(2)), [*NEAR, *FAR, HUGE]),
    "log10": (lambda x: torch.log10(x), lambda a: 1 / (a * np.log(10)), [*NEAR, *FAR, HUGE]),
    "log1p": (lambda x: torch.log1p(x), lambda a: 1 / (1 + a), [*NEAR, *FAR, HUGE, -LITTLE, -TINY]),
    "sqrt": (lambda x: torch.sqrt(x), lambda a: 0.5 / np.sqrt(a), [*NEAR, *FAR, HUGE]),
    "rsqrt": (lambda x: torch.rsqrt(x), lambda a: -0.5 / (a * np.sqrt(a)), [SOME, *FAR, HUGE]),
    "reciprocal": (lambda x: torch.reciprocal(x), lambda a: -1 / a**2, [LITTLE, SOME, *FAR, HUGE, -SOME, -HUGE]),
    "square": (lambda x: torch.square(x), lambda a: 2 * a, [*NEAR, *FAR, HUGE, -TINY, -HUGE]),
    "x ** 3": (lambda x: x**3, lambda a: 3 * a**2, [LITTLE, SOME, *FAR, 1e10, -LITTLE, -1e10]),
    "x ** 1.5": (lambda x: x**1.5, lambda a: 1.5 * np.sqrt(a), [*NEAR, *FAR, HUGE]),
    "abs": (lambda x: torch.abs(x), np.sign, [*NEAR, *FAR, HUGE, -TINY, -HUGE]),
    "sin": (lambda x: torch.sin(x), np.cos, [*NEAR, 0.75, 3.0, -TINY, -0.75]),
    "tan": (lambda x: torch.tan(x), lambda a: 1 / np.cos(a) ** 2, [*NEAR, 0.75, -TINY, -0.75]),
    "asin": (lambda x: torch.asin(x), lambda a: 1 / np.sqrt(1 - a**2), [*NEAR, 0.75, -TINY, -0.75]),
    "atan": (lambda x: torch.atan(x), lambda a: 1 / (1 + a**2), [*NEAR, *FAR, HUGE, -TINY, -HUGE]),
    "sinh": (lambda x: torch.sinh(x), np.cosh, [*NEAR, *FAR, -TINY, -40.0]),
    "cosh": (lambda x: torch.cosh(x), np.sinh, [*NEAR, *FAR, -TINY, -40.0]),
    "tanh": (lambda x: torch.tanh(x), lambda a: 1 / np.cosh(a) ** 2, [*NEAR, 0.75, -TINY, -0.75]),
    "asinh": (lambda x: torch.asinh(x), lambda a: 1 / np.hypot(a, 1), [*NEAR, *FAR, HUGE, -TINY, -HUGE]),
    "atanh": (lambda x: torch.atanh(x), lambda a: 1 / (1 - a**2), [*NEAR, 0.75, -TINY, -0.75]),
    "erf": (
        lambda x: torch.erf(x),
        lambda a: 2 / np.sqrt(np.pi) * np.exp(-(a**2)),
        [*NEAR, 3.0, 5.0, -TINY, -3.0, -5.0],
    ),
    "erfc": (
        lambda x: torch.erfc(x),
        lambda a: -2 / np.sqrt(np.pi) * np.exp(-(a**2)),
        [*NEAR, 3.0, 5.0, -TINY, -3.0, -5.0],
    ),
    "sigmoid": (lambda x: torch.sigmoid(x), lambda a: 1 / (2 + np.exp(a) + np.exp(-a)), [*NEAR, -3.0, -LARGE, -40.0]),
    "softplus": (lambda x: F.softplus(x), lambda a: 1 / (1 + np.exp(-a)), [*NEAR, *FAR, -TINY, -3.0, -LARGE, -40.0]),
    "logsigmoid": (lambda x: F.logsigmoid(x), lambda a: 1 / (1 + np.exp(a)), [*NEAR, *FAR, -TINY, -3.0, -LARGE, -40.0]),
    "log_softmax": (
        lambda x: torch.stack([x, 0 * x.detach()], 1).log_softmax(1)[:, 1],
        lambda a: -1 / (1 + np.exp(-a)),
        [*NEAR, *FAR, -TINY, -3.0, -LARGE, -40.0],
    ),
    "elu": (lambda x: F.elu(x), lambda a: np.exp(np.minimum(a, 0)), [*NEAR, *FAR, HUGE, -TINY, -SOME, -LARGE]),
    "softsign": (lambda x: F.softsign(x), lambda a: 1 / (1 + np.abs(a)) ** 2, [*NEAR, 0.75, 3.0, -TINY, -3.0]),
    "silu": (
        lambda x: F.silu(x),
        lambda a: (1 + a / (1 + np.exp(a))) / (1 + np.exp(-a)),
        [*NEAR, *FAR, -TINY, -3.0, -LARGE],
    ),
    "hypot": (lambda x: torch.hypot(x, 0 * x.detach() + 3), lambda a: a / np.hypot(a, 3), [*NEAR, *FAR, HUGE, -TINY]),
    "atan2": (lambda x: torch.atan2(x, 0 * x.detach() + 3), lambda a: 3 / (a**2 + 9), [*NEAR, *FAR, 1e10, -1e10]),
    "norm": (
        lambda x: torch.stack([3 * x, 4 * x], 1).norm(dim=1),
        lambda a: 5 * np.sign(a),
        [LITTLE, SOME, *FAR, HUGE, -LITTLE, -HUGE],
    ),
    "abs of complex": (
        lambda x: torch.complex(3 * x, 4 * x).abs(),
        lambda a: 5 * np.sign(a),
        [*[1e-23, -1e-23] * (RELEASE >= (2, 2)), LITTLE, SOME, *FAR, HUGE, -HUGE],  # 2.0 loses digits of these
    ),
    "quotient": (lambda x: (0 * x.detach() + 3) / x, lambda a: -3 / a**2, [LITTLE, SOME, *FAR, HUGE, -LITTLE]),
}
