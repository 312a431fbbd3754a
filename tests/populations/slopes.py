"""Trials of the functions of ``smooth``: in which dtype, layout and number each is differentiated."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from populations import keywords, places
from populations.core import EVERY_MODE
from populations.further import FURTHER, IN_FULL
from populations.initialisers import RELEASE
from populations.layouts import arranged
from populations.options import IN_SINGLE, OPTIONS
from populations.relaid import relaid
from populations.smooth import EACH, OPERANDS, POINT, SMOOTH
from populations.twins import Twin

# What torch computes in single precision at least; in half precision the exponential of a matrix is NaN, and the slope
# of sinc at zero is a difference that cancels.
NO_HALF = {
    *("complex", "angle", "real", "fft", "rfft", "irfft", "quantile", "slogdet", "sinc at zero"),
    *(f"cdist{which}" for which in ("", " one by one", " by operand 1", " by operand 2")),
    *(f"{name}{of}" for name in ("det", "inv", "solve") for of in ("", " of a batch")),
    *(f"linalg.{name}" for name in ("cholesky", "eigvalsh", "svdvals", "matrix_exp", "pinv")),
    *("polar by operand 1", "polar by operand 2"),
    *(IN_FULL | keywords.IN_FULL),
    *(name for name in keywords.KEYWORDS if name.startswith(keywords.SINGLE)),
    *(name for name in OPTIONS if name.startswith(IN_SINGLE)),
    *(("trace", "logcumsumexp", "logcumsumexp of rows") if RELEASE < (2, 14) else ()),
}
MORE = {**FURTHER, **keywords.KEYWORDS, **OPTIONS}
FUNCTIONS = {**SMOOTH, **OPERANDS, **MORE}
# Whose steps keep the strides they have: three read them, and those of what a sum hands back are 0; of a transposed and
# a contiguous matrix kron is an error of every release to 2.15, "view size is not compatible"; and torch 2.0 has wrong
# gradients of two more: of masked_scatter_, where what comes back has strides, and of multi_margin_loss, where its
# weights have.
AS_IT_LIES = (
    *("view_as_complex", "as_strided_copy", "as_strided_scatter", "sums of products, with options"),
    *("kron by operand 1", "kron by operand 2"),
    *("masked_scatter_ into a later slice", "multi_margin_loss, 1, with options", "multi_margin_loss, 2, with options")
    * (RELEASE < (2, 2)),
)
MANY = 33  # copies of POINT, of rank 3: more than fill some vectors, with one element left over
LONG = 7284  # copies: 65,556 elements, more than 16 bits count
WIDE = 33  # rows and columns: more than one warp or vector each, and 1,089 elements more than one block of threads
PAST = 9  # rows and columns: one more than a vector has
# Numbers like those of POINT, none of them twice.
SQUARES = {3: POINT} | {
    side: 0.15 + 0.75 * np.random.default_rng(0).permutation(side**2).reshape(side, side) / side**2
    for side in (PAST, WIDE)
}
NARROW = re.compile(
    "|".join(
        (
            # what takes three rows or columns alone, or rows without gaps
            *("affine_grid", "attention, of groups", "cross", "cross of .*", "diagflat by name", "diagonals.*", "fold"),
            *("ctc_loss.*", "max_unpool[23]d", "multilabel_margin_loss.*", "slice_scatter"),
            # what jumps between two of so many numbers, or depends on differences of many that are close
            *("clamp_ into.*", "max of two", "fmax", "fmin", "fmod_ by.*", "grid_sample.*", "relu6", "remainder_ by.*"),
            *("softsign far out", "steps", ".*cumsumexp", "logsumexp far out", "sinc at zero"),
            *("cond", "eigh", "linalg.(eigvalsh|matrix_exp|pinv|svdvals)", "pinv, hermitian", "svd.*"),
            # what is next to nothing: products of so many numbers below one
            *("prod.*", ".*cumprod.*", "running products"),
            *("as_strided_scatter", "kron by.*"),  # which is wrong, as another guard shows, and for time
        )
    )
)
OF_TORCH = [name for name in EACH if "torch" in name]


@dataclass(frozen=True)
class Slope:
    """A recipe: ``function, x, point = slope``: one of FUNCTIONS, a leaf in its dtype and layout, on the second device
    if so, and its values in float64: those of a square of ``side`` rows, or copies of POINT.
    """

    name: str
    dtype: torch.dtype
    layout: str = "contiguous"
    copies: int = 1
    second: bool = False
    side: int = 3

    def __iter__(self) -> Iterator:
        point = SQUARES[self.side] if self.copies == 1 else np.tile(POINT, (self.copies // 3, 3, 1))
        x = Twin(self.dtype, point.shape, self.layout, self.second, grad=True).tensor(point)
        function = FUNCTIONS[self.name]
        yield function if self.name in AS_IT_LIES else relaid(function, self.layout)
        yield from (x, torch.from_numpy(point).to(self.dtype).double().numpy())

    @property
    def settled(self) -> bool:
        """Whether torch is asked for deterministic algorithms: once for each function."""
        return self.layout == ("gappy" if self.name in OPERANDS else "transposed")

    @property
    def mode(self) -> Callable:
        """A mode without a record: each dtype meets either, and each function in single precision."""
        return EVERY_MODE[1 + ((len(self.name) % 2 == 0) != (self.layout in ("gappy", "offset")))]

    @property
    def alike(self) -> tuple[float, ...]:
        """The number that comes back to all elements in a second pass, as from a sum: there is one in double precision
        alone, for time, and before torch 2.14 not to an inverse real Fourier transform. In 2.7 that is an error of
        MKL's, "inconsistent configuration parameters".
        """
        return (3.0,) * (self.dtype == torch.float64 and (RELEASE >= (2, 14) or not re.search("irfft|hfft", self.name)))

    def at(self, values: np.ndarray) -> torch.Tensor:
        """A tensor of these values on the CPU, in double precision, that lies as the leaf does."""
        buffer, strides, offset = arranged(values, self.layout)
        return torch.from_numpy(buffer).as_strided(values.shape, strides, offset)

    def lacking(self) -> str | None:
        return places.lacks(self.dtype)


def narrow(name: str) -> bool:
    """Whether the function is tried with three rows and columns alone."""
    return bool(NARROW.fullmatch(name.removesuffix(", with options")))


# Derived once: attention on the CPU; the sinc at zero, where the second derivative comes out as NaN; some functions by
# every release, and some by older ones.
ONCE = (
    *("attention", "sinc at zero", "hardsigmoid", "multi_margin", "multilabel_margin", "ctc_loss"),
    *("embedding_bag, weighed", "cdist, p", "pinv, hermitian"),
    *(("cdist", "pdist", "grid_sample") if RELEASE < (2, 14) else ()),
)
# In single precision a third of the further ones, for time, of more rows and columns than a vector has, in one
# of two layouts; far out, second differences drown in rounding.
SINGLE = dict.fromkeys(
    (
        *(*SMOOTH, *OPERANDS, *[name for name in MORE if "far out" not in name][::3]),
        *[name for name in MORE if "conv" in name],  # which have a kernel of their own
    )
)
TWICE = tuple(
    Slope(name, *of)
    for name, *of in (
        *((name, torch.float64) for name in FUNCTIONS),
        *((name, torch.float32, "gappy") for name in SINGLE if narrow(name)),
        *(
            (name, torch.float32, ("transposed", "gappy")[len(name) % 2], 1, False, PAST)
            for name in SINGLE
            if not narrow(name)
        ),
    )
    if not name.startswith(ONCE)
)
REST = [name for name in FUNCTIONS if name not in EACH]
SMALL = [name for name in REST if narrow(name)]
SECOND = ((torch.float32, "transposed"), (torch.bfloat16, "gappy"))  # which lie on the second device
# Before 2.1 masked_select passes back in the order of the memory, the wrong one.
TURNED = [name for name in (*SMOOTH, *MORE) if RELEASE >= (2, 1) or name != "masked_select"]


def known(name: str, dtype: torch.dtype, layout: str) -> bool:
    """Whether torch has it: before 2.7 it has few functions in half precision, before 2.6 not i0's slope."""
    if name in EACH and (dtype, layout) == (torch.bfloat16, "offset"):
        return RELEASE >= (2, 6) or "i0" not in name
    return torch.finfo(dtype).bits > 16 or (RELEASE >= (2, 7) and name not in NO_HALF)


SLOPES = tuple(
    Slope(name, dtype, layout, copies, second=(dtype, layout) in SECOND)
    for names, dtype, layout, copies in (
        *((FUNCTIONS, torch.float64, "contiguous", 1), (TURNED, torch.float32, "transposed", 1)),
        *((EACH, torch.float32, "gappy", MANY), (SMALL, torch.float32, "gappy", 1)),
        *((EACH, torch.bfloat16, "offset", MANY), (REST, torch.bfloat16, "gappy", 1)),
        *((EACH, torch.float16, "offset", MANY), (SMALL, torch.float16, "offset", 1)),
        *((OF_TORCH, torch.float32, "contiguous", 0), (OF_TORCH, torch.float32, "contiguous", LONG)),
        *((OF_TORCH[::2], torch.float64, "gappy", LONG), (OF_TORCH[1::2], torch.bfloat16, "transposed", LONG)),
    )
    for name in names
    if known(name, dtype, layout)
)
# Of more numbers than a block of threads has; what lies otherwise does so in single precision.
WIDE_SLOPES = tuple(
    Slope(name, dtype, layout, side=WIDE)
    for dtype, layout in ((torch.float32, "gappy"), (torch.float16, "offset"))
    for name in REST
    if known(name, dtype, layout) and not narrow(name)
)
