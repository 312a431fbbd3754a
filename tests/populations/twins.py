"""Twins: a tensor and the NumPy array of the same values.

The array is made first and by NumPy alone: it is the oracle. The tensor is a view of a buffer whose other elements
hold a number that no twin holds, so that a kernel that reads or writes past its strides is seen.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import detach, from_numpy  # the true ones, also where false ones are planted in their place

from populations import places
from populations.core import Population
from populations.layouts import FOREIGN, REPEATED, arranged, once

SINGLE_AND_DOUBLE = (torch.float32, torch.float64)
HALVES = (torch.float16, torch.bfloat16)
FLOATS = (*SINGLE_AND_DOUBLE, *HALVES)
WHOLE = (torch.int64, torch.int32, torch.uint8)
# The array's dtype. NumPy has no bfloat16: its values, all exact, stand in a float32 array.
NUMPY = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.float16: np.float16,
    torch.bfloat16: np.float32,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.int16: np.int16,
    torch.int8: np.int8,
    torch.uint8: np.uint8,
    torch.bool: np.bool_,
    torch.complex64: np.complex64,
    torch.complex128: np.complex128,
}
WRITABLE = ("contiguous", "gappy", "transposed", "offset", "channels last")
LAYOUTS = (*WRITABLE, "expanded")  # in an expanded tensor several elements are one: it is for reading only
MADE_FOR = (("channels last", 4), ("transposed", 2))
# Which some twins have, beside LAYOUTS: the second as x.transpose(0, 1), the third as NumPy's arrays of order "F".
RARER = ("expanded columns", "batch second", "reversed")
# Rank 0 to 5 and empty; then one past powers of two, where vector lanes, unrolled loops, blocks and 16-bit counters
# end, and one before. Together they leave each remainder by 8, the lanes of a vector: any of them may be forgotten.
SHAPES = (
    (),
    (0,),
    (15,),
    (2, 3),
    (3, 0, 2),
    (2, 3, 4, 5),
    (2, 1, 3, 1, 2),
    (1, 13, 1),
    (11,),
    (4, 4),
    (63, 3),
    (257,),
    (2, 1025),
    (65537,),
)
TALL = (300, 2)  # more rows than a block has, of few columns
FEW = ((), (15,), (2, 3), (3, 0, 2), (2, 3, 2, 2), (257,))  # one of each kind: a number, a row, none, images, many
ANY = (*FLOATS, *WHOLE, torch.int16, torch.int8, torch.bool, torch.complex64, torch.complex128)
KEPT = 2_000  # elements of a twin that is made once a run: 4,096 of them take some 60 MB at most; 32 larger ones, 50 MB
KINDS = ("tensor", "view", "parameter")  # see Twin
LEAVES = ("tensor", "parameter")  # for what autograd does to leaves alone
WIDE = (2**-9, 0.25, 1, 3, 200, 2048)  # exact in every floating dtype, and no 77


@dataclass(frozen=True, repr=False)
class Twin:
    """A recipe: ``tensor, array = twin`` makes both, each time anew.

    ``values`` says which numbers: "small" whole ones from -8 to 8 (0 to 8 for uint8), exact in every dtype and small
    enough that sums and products of a few stay exact; "wide", of WIDE and their opposites where the dtype is
    floating, for what rounds nothing; "positive", 1 to 8; "distinct", 0, 1, 2, ... in a random order (for at most 256
    elements, exact in bfloat16); "fractions", quarters from -4 to 4, exact as well; "quarters", those from 1/4 to 8, of
    which whole numbers have the whole part; "steep", small ones but for a last one of 2048, where it is not repeated;
    "any", of a dtype of whole numbers all that it has, its least and its largest first.
    ``grad`` asks for gradients where the dtype can have them. ``second`` puts the tensor on the second device of its
    type, where there is one. ``seed`` draws the values.
    ``kind`` is what the tensor is to autograd and to modules: a "tensor" by itself, a "parameter", or a "view" of its
    buffer, which where it asks for gradients is a recorded result and keeps its own.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    layout: str = "contiguous"
    values: str = "small"
    second: bool = False
    grad: bool = False
    seed: int = 0
    kind: str = "tensor"

    def __iter__(self) -> Iterator:
        array, buffer, strides, offset = (_made if math.prod(self.shape) < KEPT else _large)(self)
        yield self._over(buffer.copy(), strides, offset)  # a false torch may share what it should copy
        yield array.copy()

    def __repr__(self) -> str:
        told = [str(self.dtype), repr(self.shape), repr(self.layout)]
        told += [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)[3:]
            if getattr(self, field.name) != field.default
        ]
        return f"Twin({', '.join(told)})"

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        printer.text(repr(self))  # Hypothesis would print every field

    def lacking(self) -> str | None:
        return places.lacks(self.dtype)

    def but(self, **changes) -> "Twin":
        """The same recipe but for ``changes``: ``twin.but(seed=twin.seed + 1)`` is a neighbour with other values."""
        return replace(self, **changes)

    def array(self) -> np.ndarray:
        """The values, of shape ``shape``, in the NumPy dtype that stands for ``dtype``."""
        shape = once(self.shape, self.layout)
        low = 1 if self.values == "positive" else 0 if self.dtype in (torch.uint8, torch.bool) else -8
        high = 1 if self.dtype == torch.bool else 8
        usual = (self.values == "steep" and self.layout in REPEATED) or (
            self.values == "wide" and self.dtype not in FLOATS
        )
        kind = "small" if usual else self.values
        if kind == "any" and self.dtype != torch.bool:
            low, high = torch.iinfo(self.dtype).min, torch.iinfo(self.dtype).max
        array = np.empty(self.shape, NUMPY[self.dtype])
        array[...] = _numbers(self.seed, shape, kind, low, high, self.dtype.is_complex)
        return array

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """A tensor of ``array``'s values in the recipe's dtype, layout and place: a leaf that is marked as no view."""
        return self._over(*arranged(array, self.layout))

    def _over(self, buffer: np.ndarray, strides: tuple[int, ...], offset: int) -> torch.Tensor:
        stored = from_numpy(buffer).to(self.dtype).to(places.place(self.second))
        grad = self.grad and differentiable(self.dtype)
        view = stored.requires_grad_(grad and self.kind == "view").as_strided(self.shape, strides, offset)
        if self.kind == "view":
            if view.requires_grad:
                view.retain_grad()
            return view
        return torch.nn.Parameter(view, grad) if self.kind == "parameter" else detach(view).requires_grad_(grad)


@functools.lru_cache(maxsize=1024)  # some 20 MB: twins of several dtypes and layouts hold the same numbers
def _numbers(seed: int, shape: tuple[int, ...], kind: str, low: int, high: int, imaginary: bool) -> np.ndarray:
    """The numbers of a twin, before they are of its dtype: only to be read."""
    random = np.random.default_rng(seed)
    if kind == "distinct":
        values = random.permutation(math.prod(shape)).reshape(shape)
    elif kind == "fractions":
        values = random.integers(-16, 16, shape, endpoint=True) / 4
    elif kind == "quarters":
        values = random.integers(1, 32, shape, endpoint=True) / 4
    elif kind == "wide":
        values = random.choice(WIDE, shape) * random.choice((-1, 1), shape)
    else:
        values = random.integers(low, high, shape, endpoint=True)
    if kind == "steep":
        values.reshape(-1)[-1:] = 2048
    if kind == "any":
        values.reshape(-1)[:2] = (low, high)[: values.size]
    return values + 1j * random.integers(-8, 8, shape, endpoint=True) if imaginary else values


@functools.lru_cache(maxsize=4096)
def _made(twin: Twin) -> tuple:
    """A twin's array, and its numbers in memory as ``arranged`` says. Whoever gets them copies them."""
    array = twin.array()
    return (array, *arranged(array, twin.layout))


_large = functools.lru_cache(maxsize=32)(_made.__wrapped__)


def differentiable(dtype: torch.dtype) -> bool:
    """Whether tensors of ``dtype`` can require gradients."""
    return dtype.is_floating_point or dtype.is_complex


def real_of(dtype: torch.dtype) -> torch.dtype:
    """That of the parts of complex numbers; of others their own."""
    return {torch.complex64: torch.float32, torch.complex128: torch.float64}.get(dtype, dtype)


def pending(x: torch.Tensor) -> torch.Tensor:
    """The values of ``x`` as a lazily conjugated or negated view, the numbers of which in memory are others: as torch
    gives ``z.conj()`` and ``z.conj().imag``. Truth values stay as they are.
    """
    if x.is_complex():
        return x.conj().resolve_conj().conj()
    return x if x.dtype == torch.bool else torch._neg_view(-x)


def corner(x: torch.Tensor) -> torch.Tensor:
    """The values of ``x`` in the corner, below and at the left, of larger matrices, the other numbers of which differ:
    as a slice ``y[1:, :-1]`` lies. A tensor of less than two dimensions stays as it is.
    """
    if x.dim() < 2:
        return x
    wide = x.new_full((*x.shape[:-2], x.shape[-2] + 1, x.shape[-1] + 1), FOREIGN)
    wide[..., 1:, :-1] = x
    return wide[..., 1:, :-1]


def twins(
    dtypes: Sequence[torch.dtype] = FLOATS,
    layouts: Sequence[str] = LAYOUTS,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    ranks: tuple[int, int] = (0, 5),
    values: str | Sequence[str] = ("small", "wide"),
    grad: Sequence[bool] = (False,),
    kinds: Sequence[str] = KINDS,
) -> Population:
    """Twins of these dtypes, layouts, values and kinds, and with gradients as ``grad`` says.

    Every run meets each dtype with each layout, with each of ``shapes`` whose rank lies in ``ranks``, with each of
    ``kinds`` and on either device, and the first dtype with a matrix of one number; last, each dtype in the layouts
    RARER, and TALL. Drawn are other shapes of these ranks too, unless ``shapes`` are given.
    """
    values, (low, high) = (values,) if isinstance(values, str) else values, ranks
    met = [shape for shape in shapes if low <= len(shape) <= high]
    # the ranks for which these layouts were made: matrices and batches of images
    made_for = [
        (layout, shape) for layout, rank in MADE_FOR if layout in layouts for shape in met if len(shape) == rank
    ]
    must, rarer = [], []
    for turn, dtype in enumerate(dtypes):
        for index in range(max(len(met), len(layouts))):
            must.append(
                Twin(
                    dtype,
                    met[index % len(met)],
                    # shifted from dtype to dtype, so that in the next one a shape meets another layout
                    layouts[(index + turn + index // len(layouts)) % len(layouts)],
                    values[(index + turn) % len(values)],
                    second=index % 2 == 1,
                    grad=grad[(index + index // 2 + turn) % len(grad)],
                    seed=index,
                    kind=kinds[(index + turn) % len(kinds)],
                )
            )
        matrices = [shape for shape in met if len(shape) == 2 and min(shape) > 1 and "expanded" in layouts]
        columns = [("expanded columns", matrices[-1 - turn % len(matrices)])] if matrices else []  # the largest first
        deep = [shape for shape in met if len(shape) > 2 and min(shape) > 1 and "transposed" in layouts]
        deeper = [("batch second", shape) for shape in deep[:1]]
        deeper += [("reversed", (2, 3, 4) if shapes is SHAPES else shape) for shape in deep[:1]]
        for layout, shape in (*made_for[:4], *columns, *deeper):
            twin = Twin(dtype, shape, layout, values[turn % len(values)], grad=grad[turn % len(grad)], seed=turn)
            (rarer if layout in RARER else must).append(twin)
    if shapes is SHAPES and low <= 2 <= high:  # a single number that has dimensions
        must += [Twin(dtypes[0], (1, 1), layouts[0], values[0], grad=grad[-1], kind=kind) for kind in kinds]
        rarer += [
            Twin(dtype, TALL, layouts[turn % len(layouts)], values[0], grad=grad[-1], kind=kinds[0])
            for turn, dtype in enumerate(dtypes)
        ]
    drawn = [st.sampled_from(met)]
    if shapes is SHAPES:
        drawn.append(hnp.array_shapes(min_dims=low, max_dims=high, min_side=0, max_side=4))
        if low <= 1 <= high:  # around every power of two
            drawn.append(st.builds(lambda power, beside: (2**power + beside,), st.integers(3, 16), st.integers(-1, 1)))
    more = st.builds(
        Twin,
        st.sampled_from(list(dtypes)),
        st.one_of(drawn),
        st.sampled_from(list(layouts)),
        st.sampled_from(list(values)),
        second=st.booleans(),
        grad=st.sampled_from(list(grad)),
        seed=st.integers(0, 2**32 - 1),  # one number instead of one draw an element: long tensors stay cheap
        kind=st.sampled_from(list(kinds)),
    )
    return Population(tuple(must), more, rarer=tuple(rarer))
