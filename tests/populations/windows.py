"""Windows: what convolutions, pools and interpolations in one, two or three dimensions make of images, by NumPy.

Sides, kernels, steps, edges and holes differ from dimension to dimension, so that none may stand for another.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from populations import places
from populations.functions import FLOATING
from populations.sides import bins, corners, cubic, linear, nearest, nearest_exact, smoothed
from populations.twins import Twin

CHANNELS = 8


@dataclass(frozen=True)
class Geometry:
    """The sides of an image, and how windows lie on it; ``out``: sides to which it is pooled or interpolated."""

    sides: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def n(self) -> int:
        return len(self.sides)

    def options(self, *names: str) -> dict:
        return {name: getattr(self, name) for name in names}

    def windows(self, a: np.ndarray, beyond: float = 0, holes: bool = True, rest: float | None = None) -> np.ndarray:
        """All windows of the last dimensions of ``a``, with numbers ``beyond`` its edges: (..., places, kernel).

        With ``rest``, the numbers after the padding, windows go on to the last that begins ahead of the right edge.
        """
        dilation = self.dilation if holes else (1,) * self.n
        edges = [(0, 0)] * (a.ndim - self.n) + [(edge, edge) for edge in self.padding]
        a = np.pad(a, edges, constant_values=beyond)
        reach = [(size - 1) * hole + 1 for size, hole in zip(self.kernel, dilation)]
        if rest is not None:
            spans = zip(self.sides, reach, self.stride, self.padding)
            more = [self.to_the_end(*span) for span in spans]
            a = np.pad(a, [(0, 0)] * (a.ndim - self.n) + [(0, each) for each in more], constant_values=rest)
        every = np.lib.stride_tricks.sliding_window_view(a, reach, tuple(range(a.ndim - self.n, a.ndim)))
        return every[(..., *(slice(None, None, step) for step in (*self.stride, *dilation)))]

    @staticmethod
    def to_the_end(side: int, reach: int, step: int, edge: int) -> int:
        """How far the last of the windows that cover a side and its edges lies beyond them."""
        last = -(-(side + 2 * edge - reach) // step)
        last -= last * step >= side + edge
        return max(last * step + reach - side - 2 * edge, 0)

    def over(self, *more: int) -> tuple[int, ...]:
        """The dimensions of the kernel, at the end."""
        return (*more, *range(-self.n, 0))


GEOMETRIES = (
    Geometry((11,), (3,), (2,), (1,), (2,), (4,)),
    Geometry((9,), (1,), (2,), (0,), (1,), (17,)),
    Geometry((7, 5), (3, 2), (2, 1), (1, 1), (1, 2), (3, 8)),
    Geometry((6, 9), (1, 1), (2, 2), (0, 0), (1, 1), (6, 4)),
    Geometry((5, 6), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)),
    Geometry((33, 8), (2, 2), (2, 2), (0, 0), (1, 1), (66, 4)),
    Geometry((40, 23), (17, 16), (10, 11), (2, 0), (1, 1), (7, 9)),
    Geometry((4, 12, 3), (3, 1, 1), (1, 1, 1), (1, 0, 0), (1, 1, 1), (2, 5, 6)),
    Geometry((5, 3, 4), (2, 3, 2), (1, 1, 2), (1, 1, 0), (2, 1, 1), (3, 6, 2)),
)


def convolution(groups: int, out: int = CHANNELS) -> Callable:
    """To ``out`` channels, by weights from -3 to 3."""

    def of(geometry: Geometry) -> tuple[Callable, Callable]:
        shape = (out, CHANNELS // groups, *geometry.kernel)
        weight = (np.arange(math.prod(shape)) % 7 - 3.0).reshape(shape)

        def apply(x):
            options = geometry.options("stride", "padding", "dilation")
            return getattr(F, f"conv{geometry.n}d")(x, torch.tensor(weight).to(x), groups=groups, **options)

        def rule(a):
            seen = np.moveaxis(geometry.windows(a), 1, -1 - geometry.n)  # (batch, places, channels, kernel)
            pairs = zip(np.split(seen, groups, -1 - geometry.n), np.split(weight, groups))
            over = geometry.over(-1 - geometry.n)
            return np.moveaxis(np.concatenate([np.tensordot(*pair, (over, over)) for pair in pairs], -1), -1, 1)

        return apply, rule

    return of


def spread(a: np.ndarray, weight: np.ndarray, geometry: Geometry, groups: int) -> np.ndarray:
    """What a transposed convolution makes of ``a``: each element adds its weights where its window lies, and what lies
    within the padding is cut off. At the end it reaches as many elements further as fit in a step.
    """
    spans = [(side - 1) * step + 1 for side, step in zip(a.shape[2:], geometry.stride)]
    reach = [(size - 1) * hole for size, hole in zip(geometry.kernel, geometry.dilation)]
    sides = [span + more + step - 1 for span, more, step in zip(spans, reach, geometry.stride)]
    full = np.zeros((len(a), weight.shape[1] * groups, *sides))
    for place in np.ndindex(*geometry.kernel):
        at = [each * hole for each, hole in zip(place, geometry.dilation)]
        put = tuple(slice(first, first + span, step) for first, span, step in zip(at, spans, geometry.stride))
        pairs = zip(np.split(a, groups, 1), np.split(weight[(..., *place)], groups))
        added = [np.moveaxis(np.tensordot(part, each, (1, 0)), -1, 1) for part, each in pairs]
        full[(..., *put)] += np.concatenate(added, 1)
    return full[(..., *(slice(edge, size - edge) for edge, size in zip(geometry.padding, full.shape[2:])))]


def transpose(geometry: Geometry, groups: int, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
    """The transposed convolution of ``spread``, by a weight and perhaps a bias."""
    beyond = tuple(step - 1 for step in geometry.stride)
    options = geometry.options("stride", "padding", "dilation") | {"output_padding": beyond, "groups": groups}
    return getattr(F, f"conv_transpose{geometry.n}d")(x, *weights, **options)


def transposed(groups: int, out: int = CHANNELS) -> Callable:
    """The way back of such a convolution, to ``out`` channels."""

    def of(geometry: Geometry) -> tuple[Callable, Callable]:
        shape = (CHANNELS, out // groups, *geometry.kernel)
        weight = (np.arange(math.prod(shape)) % 7 - 3.0).reshape(shape)
        by = torch.tensor(weight, device="cpu")
        return lambda x: transpose(geometry, groups, x, by.to(x)), lambda a: spread(a, weight, geometry, groups)

    return of


def average(counted: bool, whole: bool = False, divisor: int | None = None) -> Callable:
    """Of all of a window, or of what lies within the image; of windows up to the end; divided by a number, in two
    dimensions and more.
    """

    def of(geometry: Geometry) -> tuple[Callable, Callable]:
        rest, by = 0.0 if whole else None, divisor if geometry.n > 1 else None
        more = ({"ceil_mode": True} if whole else {}) | ({"divisor_override": by} if by else {})
        more |= {} if counted else {"count_include_pad": False}  # they count unless told otherwise

        def apply(x):
            options = geometry.options("stride", "padding")
            return getattr(F, f"avg_pool{geometry.n}d")(x, geometry.kernel, **options, **more)

        def rule(a):
            sums = geometry.windows(a, holes=False, rest=rest).sum(geometry.over())
            many = geometry.windows(np.ones_like(a), float(counted), holes=False, rest=rest).sum(geometry.over())
            return sums / (by or many)

        return apply, rule

    return of


def maximum(places: bool, whole: bool = False) -> Callable:
    """The values, or those at the places that are returned beside them; of windows up to the end."""

    def of(geometry: Geometry) -> tuple[Callable, Callable]:
        def apply(x):
            options = geometry.options("stride", "padding", "dilation") | ({"ceil_mode": True} if whole else {})
            pool = getattr(F, f"max_pool{geometry.n}d")
            if not places:
                return pool(x, geometry.kernel, **options)
            values, chosen = pool(x, geometry.kernel, **options, return_indices=True)
            return x.flatten(-geometry.n).gather(-1, chosen.flatten(-geometry.n)).view(values.shape)

        rest = -math.inf if whole else None
        return apply, lambda a: geometry.windows(a, -math.inf, rest=rest).max(geometry.over())

    return of


def resized(name: str, matrix: Callable, **options) -> Callable:
    def of(geometry: Geometry) -> tuple[Callable, Callable]:
        lines = {"mode": ("linear", "bilinear", "trilinear")[geometry.n - 1]}
        mode = (lines if matrix in (linear, corners, smoothed) else {}) | options

        def rule(a):
            for place in range(-geometry.n, 0):
                step = matrix(geometry.out[place], geometry.sides[place])
                a = np.moveaxis(np.tensordot(a, step, (place, 1)), -1, place)
            return a

        return lambda x: getattr(F, name.format(geometry.n))(x, geometry.out, **mode), rule

    return of


def largest(geometry: Geometry) -> tuple[Callable, Callable]:
    """Of each of the windows of which ``bins`` has the means: they overlap where the sides do not divide."""

    def rule(a):
        for place in range(-geometry.n, 0):
            within = bins(geometry.out[place], geometry.sides[place]) > 0
            a = np.where(within, a.swapaxes(place, -1)[..., None, :], -math.inf).max(-1).swapaxes(place, -1)
        return a

    return lambda x: getattr(F, f"adaptive_max_pool{geometry.n}d")(x, geometry.out), rule


# What is linear in the image, how far off it is in roundings, and whether it takes an image without a batch.
LINEAR = {
    "convolution": (convolution(1), 0, True),
    "convolution in two groups": (convolution(2), 0, True),
    "convolution in four groups, to more": (convolution(4, 32), 0, True),
    "convolution of each channel": (convolution(CHANNELS), 0, True),
    "transposed convolution": (transposed(1), 0, True),
    "transposed convolution in two groups": (transposed(2), 0, True),
    "average": (average(True), 4, True),
    "average within": (average(False), 4, True),
    "adaptive average": (resized("adaptive_avg_pool{}d", bins), 8, True),
    "nearest": (resized("interpolate", nearest, mode="nearest"), 0, False),
    "between the nearest": (resized("interpolate", linear), 64, False),  # the place itself is rounded
}
KINDS = {
    **LINEAR,
    "maximum": (maximum(False), 0, True),
    "maximum, by place": (maximum(True), 0, True),
    "adaptive maximum": (largest, 0, True),
    "nearest to the middle": (resized("interpolate", nearest_exact, mode="nearest-exact"), 0, False),
    "maximum to the end": (maximum(False, True), 0, True),
    "maximum to the end, by place": (maximum(True, True), 0, True),
    "average to the end": (average(True, True), 4, True),
    "average within, to the end": (average(False, True), 4, True),
    "average by seven": (average(True, divisor=7), 4, True),
    "between the corners": (resized("interpolate", corners, align_corners=True), 64, False),
    "smoothed": (resized("interpolate", smoothed, antialias=True), 64, False),
    "by cubes": (resized("interpolate", cubic, mode="bicubic"), 256, False),
}
OF_MANY = {"to many channels": (convolution(1, 515), 0, True), "back to many": (transposed(1, 515), 0, True)}
BY_NAME = KINDS | OF_MANY
PLANE = ("smoothed", "by cubes")  # of which there are none in one or three dimensions
LAYOUTS = ("contiguous", "channels last", "gappy", "transposed", "offset")


@dataclass(frozen=True)
class Window:
    """A recipe: ``x, array, apply, rule = window``: images of eight channels in so many examples, or one without a
    batch; ``apply(x)`` has the values of ``rule(array)``.
    """

    kind: str
    geometry: Geometry
    dtype: torch.dtype
    layout: str
    examples: int | None
    second: bool
    grad: bool = False

    def __iter__(self) -> Iterator:
        batch = () if self.examples is None else (self.examples,)
        values = "distinct" if "maximum" in self.kind else "small"
        shape = (*batch, CHANNELS, *self.geometry.sides)
        x, array = Twin(self.dtype, shape, self.layout, values, self.second, self.grad)
        apply, rule = BY_NAME[self.kind][0](self.geometry)
        yield from (x, array.astype(np.float64), apply)
        yield rule if batch else lambda a: rule(a[None])[0]

    def with_grad(self) -> "Window":
        return replace(self, grad=True)

    def roundings(self) -> int:
        return BY_NAME[self.kind][1] or 2 * (self.dtype not in FLOATING[:2])  # the halves round what they add up

    def lacking(self) -> str | None:
        return places.lacks(self.dtype)


WINDOWS = tuple(
    Window(kind, geometry, dtype, LAYOUTS[n % 5], (2, 1, None, 3)[n % 4], n % 3 == 2)
    for turn, (kind, (_, _, single)) in enumerate(KINDS.items())
    for index, geometry in enumerate(GEOMETRIES)
    for n, dtype in enumerate(2 * FLOATING[:2] if kind in PLANE else FLOATING, turn + index)
    if single or n % 4 != 2
    if not (dtype in FLOATING[2:] and geometry.n == 3 and kind[:7] == "average")  # which the CPU lacks
    if not (kind[:7] == "maximum" and geometry.n == 3 and (n % 5, n % 4) == (1, 2))  # which it refuses
    if kind not in PLANE or geometry.n == 2
)
# Images that are some of the channels that lie side by side.
FLAT = next(geometry for geometry in GEOMETRIES if geometry.n == 2)
SOME_CHANNELS = tuple(Window(kind, FLAT, torch.float32, "channels last, gappy", 2, False) for kind in KINDS)
# Windows of more numbers than 16 bits count.
WIDE = tuple(
    Window(kind, Geometry((65_538,), (65_537,), (1,), (0,), (1,), (2,)), torch.float32, "contiguous", 1, False)
    for kind in ("convolution of each channel", "average", "maximum")
)
MANY = tuple(  # channels: more than 512
    Window(kind, GEOMETRIES[place], dtype, LAYOUTS[turn], 2, False)
    for turn, (place, dtype) in enumerate(zip((0, 2, 8), (torch.float32, torch.float64, torch.float32)))
    for kind in OF_MANY
)
