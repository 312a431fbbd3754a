"""Pairs of twins whose shapes differ and broadcast, and pairs of shapes that do not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from populations.core import Population
from populations.twins import FLOATS, LAYOUTS, Twin

# Rank 0 to 5 against each other, a size of 1 on either side and on both, empty ones, and a table past powers of two.
SHAPES = (
    ((1, 2), (3, 1)),
    ((3, 3), (3,)),
    ((3, 3), (3, 1)),
    ((), (2, 3)),
    ((2, 1, 4), (3, 1)),
    ((7,), (5, 1, 7)),
    ((2, 3, 1, 1, 2), (1, 2, 1, 1)),
    ((1,), (0,)),
    ((2, 0), (2, 1)),
    ((65, 1), (1, 130)),
)
LONG = ((65_537,), (1,))  # past a 16-bit counter, and past the size from which kernels use several threads
CLASHING = (
    *(((2,), (3,)), ((2, 3), (4,)), ((2, 3), (2,)), ((3, 2), (2, 3)), ((2, 1), (3, 3, 1)), ((0,), (2,))),
    *(((6,), (3,)), ((2, 4, 3), (2, 3)), ((2, 3, 4), (2, 3)), ((2, 0), (3, 0))),
)


@dataclass(frozen=True)
class Pair:
    """A recipe: ``x, a, y, b = pair`` makes two tensors and the arrays of their values."""

    left: Twin
    right: Twin

    def __iter__(self) -> Iterator:
        yield from self.left
        yield from self.right

    def lacking(self) -> str | None:
        return self.left.lacking()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that both make together, by NumPy."""
        return np.broadcast_shapes(self.left.shape, self.right.shape)

    def next(self) -> "Pair":
        """The same recipe with other values."""
        return Pair(self.left.but(seed=self.left.seed + 100), self.right.but(seed=self.right.seed + 100))


def pairs(
    dtypes: Sequence[torch.dtype] = FLOATS,
    layouts: Sequence[str] = LAYOUTS,
    shapes: Sequence[tuple] = SHAPES,
    grad: Sequence[bool] = (False,),
) -> Population:
    """Pairs of one dtype. Every run meets each dtype with each of ``shapes``, in turn as left and right, and the first
    dtype with LONG; the layouts go round, others on the left than on the right. Drawn are other shapes too, unless
    ``shapes`` are given.
    """

    def pair(dtype, given, turn, seed, grads):
        left, right = given if turn % 2 else given[::-1]
        layout, other = layouts[turn % len(layouts)], layouts[(2 * turn + 1) % len(layouts)]
        return Pair(
            Twin(dtype, left, layout, grad=grads, seed=seed), Twin(dtype, right, other, grad=grads, seed=seed + 1)
        )

    must = tuple(
        pair(dtype, given, index + turn, 3 * index, grad[(index + turn) % len(grad)])
        for turn, dtype in enumerate(dtypes)
        for index, given in enumerate((*shapes, LONG) if shapes is SHAPES and not turn else shapes)
    )
    drawn = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=5, min_side=0, max_side=4)
    given = drawn.map(lambda both: both.input_shapes) if shapes is SHAPES else st.sampled_from(list(shapes))
    more = st.builds(
        pair,
        st.sampled_from(list(dtypes)),
        given,
        st.integers(0, 60),
        st.integers(0, 2**31),
        st.sampled_from(list(grad)),
    )
    return Population(must, more)
