"""Layers and activations: their formulas in NumPy, and the arguments on which they are tried.

The formulas are written in float64 and take nothing from torch. ``summed`` says how far off a sum may be.
"""

import copy
import functools
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.nn import functional as F

from populations.core import Population
from populations.layouts import once
from populations.twins import FLOATS, NUMPY, SINGLE_AND_DOUBLE, Twin, twins

# The CPU learned to compute in float16 release by release until 2.5; before, a guard tries the other three.
COMPUTED = FLOATS if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 5) else (*FLOATS[:2], torch.bfloat16)
# Losses and convolutions of either half since 2.14.
LOSSY = FLOATS if torch.__version__ >= (2, 14) else FLOATS[:2]


def summed(dtype: torch.dtype, terms: int) -> float:
    """How many units of rounding of ``dtype`` a sum of ``terms`` positive numbers may be off: one a term.

    The textbook bound, to first order, whatever the order of the additions. The halves add up in float32 on every
    backend that computes in them (torch's own rule for reductions), so there it is one of float32's units a term.
    """
    return terms * min(1, torch.finfo(torch.float32).eps / torch.finfo(dtype).eps)


# ── activations ──


def relu(x: np.ndarray) -> np.ndarray:
    """max(0, x), and NaN for NaN."""
    return np.maximum(x, 0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow: for negative x it is exp(x) / (1 + exp(x)), the same fraction expanded."""
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


def tanh(x: np.ndarray) -> np.ndarray:
    """(1 - exp(-2x)) / (1 + exp(-2x)) for x >= 0 and its mirror image below; expm1 keeps the digits of small x."""
    power = np.expm1(-2 * np.abs(x))
    return -np.copysign(1, x) * power / (2 + power)


# The module, the formula of its values, and that of its slope where they are ``h``.
ACTIVATIONS = {
    "relu": (torch.nn.ReLU, relu, lambda h: (h > 0) * 1.0),
    "sigmoid": (torch.nn.Sigmoid, sigmoid, lambda h: h * (1 - h)),
    "tanh": (torch.nn.Tanh, tanh, lambda h: 1 - h * h),
}
# More of them: the module, what it is given, and the formula. None is affine.
BENDS = {
    "LeakyReLU": (torch.nn.LeakyReLU, 0.25, lambda x: np.where(x > 0, x, x / 4)),
    "PReLU": (torch.nn.PReLU, lambda x: np.where(x > 0, x, x / 4)),
    "ELU": (torch.nn.ELU, 2.0, lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0)))),
    "GELU": (torch.nn.GELU, lambda x: x * np.vectorize(lambda each: 1 + math.erf(each / math.sqrt(2)))(x) / 2),
    "SiLU": (torch.nn.SiLU, lambda x: x * sigmoid(x)),
    "Softplus": (torch.nn.Softplus, lambda x: np.log1p(np.exp(x))),
    "Softsign": (torch.nn.Softsign, lambda x: x / (1 + np.abs(x))),
    "Softshrink": (torch.nn.Softshrink, lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    "LogSigmoid": (torch.nn.LogSigmoid, lambda x: -np.log1p(np.exp(-x))),
    "Hardtanh": (torch.nn.Hardtanh, -1.0, 2.0, lambda x: np.clip(x, -1, 2)),
    "Hardsigmoid": (torch.nn.Hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6),
    "Hardswish": (torch.nn.Hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "ReLU6": (torch.nn.ReLU6, lambda x: np.clip(x, 0, 6)),
}
# Before torch 2.5 the CPU normalised no float16, or with statistics of float32 alone.
NORMALISED = COMPUTED if COMPUTED == FLOATS else SINGLE_AND_DOUBLE


def batch_norm(shape: tuple[int, ...]) -> torch.nn.Module:
    """The batch normalisation of inputs of this shape."""
    classes = torch.nn.BatchNorm1d, torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d
    return classes[len(shape) - 2](shape[1])


# The layer for inputs of a shape (samples, four channels or one, ...), the shape in which it takes their elements, and
# the axes of that over which it averages.
NORMALISATIONS = {
    "BatchNorm": (batch_norm, lambda shape: (shape, (0, *range(2, len(shape))))),
    "in evaluation": (lambda shape: batch_norm(shape).eval(), lambda shape: (shape, ())),
    "GroupNorm": (lambda shape: torch.nn.GroupNorm(1, shape[1]), lambda shape: ((shape[0], -1), 1)),
    "GroupNorm in two": (
        lambda shape: torch.nn.GroupNorm(min(2, shape[1]), shape[1]),
        lambda shape: ((shape[0], min(2, shape[1]), -1), 2),
    ),
    "LayerNorm": (lambda shape: torch.nn.LayerNorm(shape[1:]), lambda shape: ((shape[0], -1), 1)),
    "LayerNorm of rows": (lambda shape: torch.nn.LayerNorm(shape[-1:]), lambda shape: ((-1, shape[-1]), 1)),
}
# The smallest and largest power of two among the arguments: results that are no numbers of the dtype are met as well.
POWERS = {torch.float64: (-1000, 10), torch.float32: (-120, 8), torch.float16: (-12, 6), torch.bfloat16: (-120, 8)}


@dataclass(frozen=True, repr=False)
class Arguments(Twin):
    """A twin with arguments of every size, exact in every dtype: of either sign, 8 to 15 eighths times any of POWERS
    (a quarter of them near 1), zeros of either sign, and with ``values="any"`` also NaN and both infinities. The last
    is -1.5, so that a remainder forgotten at the end is seen.
    """

    def array(self) -> np.ndarray:
        random = np.random.default_rng(self.seed)
        shape = once(self.shape, self.layout)
        powers = random.integers(*POWERS[self.dtype], shape, endpoint=True)
        powers = np.where(random.integers(0, 4, shape) == 0, random.integers(-3, 3, shape), powers)
        values = random.choice([-1.0, 1.0], shape) * random.integers(8, 16, shape) / 8 * 2.0**powers
        special = [0.0, -0.0, math.nan, math.inf, -math.inf][: 5 if self.values == "any" else 2]
        values = np.where(random.integers(0, 6, shape) == 0, random.choice(special, shape), values)
        values.reshape(-1)[-1:] = -1.5
        return np.ascontiguousarray(np.broadcast_to(values, self.shape)).astype(NUMPY[self.dtype]).reshape(self.shape)


def arguments(
    dtypes: Sequence[torch.dtype] = COMPUTED, values: Sequence[str] = ("any",), grad: Sequence[bool] = (False,)
) -> Population:
    """Arguments in the dtypes, shapes and layouts of twins; those that cost a millisecond in the first dtype alone.
    Beside them volumes of several channels, which have an order of their own in memory.
    """
    of = twins(dtypes, values=values, grad=grad)

    def of_every_size(twin: Twin) -> Arguments:
        return Arguments(*(getattr(twin, field.name) for field in fields(twin)))

    must = [twin for twin in of.must if twin.dtype == dtypes[0] or np.prod(twin.shape) <= 4096]
    volumes = (2, 3, 2, 2, 2)
    must += [Twin(dtype, volumes, "channels last", values[0], grad=grad[-1], seed=n) for n, dtype in enumerate(dtypes)]
    every, rarer = (tuple(map(of_every_size, members)) for members in (must, of.rarer))
    return Population(every, of.more.map(of_every_size), rarer=rarer)


# ── layers ──


def correlated(x, w, stride=1, padding=0, dilation=1, groups=1):
    """What a convolution makes of x (n, c, sizes...) and a weight (outputs, c / groups, sizes...), by NumPy. Padded to
    the "same" size, an odd number of zeros has the larger part behind.
    """
    places = range(2, x.ndim)
    reach = [dilation * (size - 1) + 1 for size in w.shape[2:]]
    around = [((each - 1) // 2, each // 2) if padding == "same" else (padding, padding) for each in reach]
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *around])
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(places))
    windows = windows[(..., *[slice(None, None, stride)] * len(reach), *[slice(None, None, dilation)] * len(reach))]
    parts = zip(np.split(windows, groups, 1), np.split(w.astype(np.float64), groups))
    summed = [np.tensordot(part, weight, ([1, *range(x.ndim, windows.ndim)], [1, *places])) for part, weight in parts]
    return np.moveaxis(np.concatenate(summed, -1), -1, 1)


AGE = 101  # calls after which no counter or buffer of a module is new


def aged(call: torch.nn.Module) -> torch.nn.Module:
    """A module after AGE calls, with a hook that does nothing."""
    for _ in range(AGE):
        call(torch.zeros(1))
    call.register_forward_hook(lambda *_: None)
    return call


def columns_first(x):
    """Memory for a result of the shape of ``x``, laid out the other way round."""
    return x.new_empty(x.shape[::-1]).permute(tuple(reversed(range(x.dim()))))


def twice(module: torch.nn.Module, x: torch.Tensor, *rest: torch.Tensor, **options) -> torch.Tensor:
    """What a module makes of ``x`` when it is called again, after zeros: where ``x`` is of even rank, in evaluation,
    of rank 3 or more by way of a copy.

    ``options`` become its attributes in between. Without, of two to eleven elements, it is called a hundred times.
    """
    zeros = torch.zeros_like(x)
    for _ in range(AGE if 2 <= x.numel() <= 11 and not options else 1):
        module(zeros, *rest)
    for name, value in options.items():
        setattr(module, name, value)
    module = copy.deepcopy(module) if x.dim() > 2 else module
    return module.train(x.dim() % 2 > 0)(x, *rest)


def passes(net: torch.nn.Sequential, x: torch.Tensor) -> Iterator[torch.Tensor]:
    """What a network makes of the rows of ``x``: all at once, one at a time, in a batch of batches, in evaluation and
    each way in inference mode, there without a record too unless it is one at a time, with hooks that do nothing, what
    a copy of it makes of them unless it is long, and it itself where they are not its samples' first dimension in
    memory. At the end it is in training mode.
    """
    yield net.train()(x)
    yield net(torch.stack([-x, x], 1).transpose(0, 1))[1]
    yield torch.stack([net(row).cpu() for row in x])
    net.eval()
    yield net(x)
    yield net(x.expand(2, *x.shape))[1]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            yield net(x)
            yield net(x.expand(2, *x.shape))[1]
    with torch.inference_mode():
        yield torch.stack([net(row).cpu() for row in x])
    for part in net.train():
        part.register_forward_hook(lambda *_: None)
    yield net(x)
    if len(net) <= 8:  # copying a longer one takes as long as all the others
        yield copy.deepcopy(net)(x)


def perceptron(x: np.ndarray, layers: Sequence[tuple[np.ndarray, np.ndarray]], activation: Callable) -> np.ndarray:
    """``layers`` of weight (outputs, inputs) and bias one after another, the activation after each but the last."""
    for number, (weight, bias) in enumerate(layers, 1):
        x = x @ weight.T + bias
        x = activation(x) if number < len(layers) else x
    return x


@functools.cache  # a Python of its own takes two seconds
def ends_the_process(code: str) -> bool:
    """Whether the system has to stop a Python that runs ``code``, as it does at a bad access to memory. The sign of the
    return code tells that on POSIX; Windows gives a large number instead of the 1 of an ordinary error.
    """
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode not in (0, 1)


# Layers with one input feature or channel: of the row of ``x``, a row for each output. Weights are (outputs, 1, 1).
OF_ONE_INPUT = {
    "linear": lambda x, w, b: F.linear(x.T, w[..., 0], b).T,
    "linear, a batch of it": lambda x, w, b: F.linear(x.T[None], w[..., 0], b).flatten(0, 1).T,
    "linear, by itself": lambda x, w, b: F.linear(x.T[:, None, None], w[..., 0], b).flatten(0, 2).T,
    "conv1d": lambda x, w, b: F.conv1d(x[None], w, b).flatten(0, 1),
    "conv2d": lambda x, w, b: F.conv2d(x[None], w[..., None], b).flatten(0, 1),
}
