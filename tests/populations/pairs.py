"""Pairs of twins whose shapes differ and broadcast, and pairs of shapes that do not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from populations.core import Population
from populations.twins import FLOATS, LAYOUTS, Twin, pending

# Rank 0 to 5 against each other, a size of 1 on either side and on both, empty ones, and a table past powers of two.
SHAPES = (
    ((1, 2), (3, 1)),
    ((3, 3), (3,)),
    ((3, 3), (3, 1)),
    ((), (2, 3)),
    ((2, 1, 4), (3, 1)),
    ((7,), (5, 1, 7)),
    ((2, 3, 1, 1, 2), (2, 1, 2)),
    ((1,), (0,)),
    ((2, 0), (2, 1)),
    ((65, 1), (1, 135)),
    ((2, 1, 2, 1, 2, 1, 3), (2, 1, 1, 4, 1)),
)
LONG = ((65_537,), (1,))  # past a 16-bit counter, and past the size from which kernels use several threads
CLASHING = (
    *(((2,), (3,)), ((2, 3), (4,)), ((2, 3), (2,)), ((3, 2), (2, 3)), ((2, 1), (3, 3, 1)), ((0,), (2,))),
    *(((6,), (3,)), ((2, 3), (6,)), ((2, 4, 3), (2, 3)), ((2, 3, 4), (2, 3)), ((2, 0), (3, 0))),
)


@dataclass(frozen=True)
class Pair:
    """A recipe: ``x, a, y, b = pair`` makes two tensors and the arrays of their values; ``held`` "together" in one
    memory, one tensor behind the other, or both "pending" (see there).
    """

    left: Twin
    right: Twin
    held: str = "apart"

    def __iter__(self) -> Iterator:
        (x, a), (y, b) = self.left, self.right
        if self.held == "pending":
            x, y = pending(x), pending(y)
        if self.held == "together":
            memory = torch.cat([x.reshape(-1), y.reshape(-1)])
            x, y = (part.view(each.shape) for part, each in zip(memory.split([x.numel(), y.numel()]), (x, y)))
        yield from (x, a, y, b)

    def lacking(self) -> str | None:
        return self.left.lacking() or self.right.lacking()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that both make together, by NumPy."""
        return np.broadcast_shapes(self.left.shape, self.right.shape)

    def next(self) -> "Pair":
        """The same recipe with other values, tracked where this one is not."""
        twins = (twin.but(seed=twin.seed + 100, grad=not twin.grad) for twin in (self.left, self.right))
        return Pair(*twins, self.held)


def pair(
    dtypes: tuple[torch.dtype, torch.dtype],
    shapes: tuple,
    turn: int,
    seed: int,
    layouts: Sequence[str] = LAYOUTS,
    grad: bool = False,
) -> Pair:
    """A pair in turn: the shapes change sides from one turn to the next, and the layouts meet each other in turn."""
    left, right = shapes if turn % 2 else shapes[::-1]
    layout, other = layouts[turn % len(layouts)], layouts[(turn + 1 + turn // len(layouts)) % len(layouts)]
    return Pair(
        Twin(dtypes[0], left, layout, grad=grad, seed=seed), Twin(dtypes[1], right, other, grad=grad, seed=seed + 1)
    )


DRAWN = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=5, min_side=0, max_side=4).map(
    lambda x: x.input_shapes
)


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
    must = tuple(
        pair((dtype, dtype), given, index + turn, 3 * index, layouts, grad[(index + turn) % len(grad)])
        for turn, dtype in enumerate(dtypes)
        for index, given in enumerate((*shapes, LONG) if shapes is SHAPES and not turn else shapes)
    )
    more = st.builds(
        lambda dtype, *rest: pair((dtype, dtype), *rest),
        st.sampled_from(list(dtypes)),
        DRAWN if shapes is SHAPES else st.sampled_from(list(shapes)),
        st.integers(0, 60),
        st.integers(0, 2**31),
        st.just(layouts),
        st.sampled_from(list(grad)),
    )
    return Population(must, more)
