"""Operations on twins that require gradients: which meets which dtype, size, layout and device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from populations.core import Population, among
from populations.operations import EXACT, FUNCTIONS, MORE, OPERATIONS, Operation
from populations.twins import LEAVES, SINGLE_AND_DOUBLE, Twin, twins


@dataclass(frozen=True)
class Trial:
    """A recipe: ``operation, twin = trial``, the twin with values for which the operation's pull is right."""

    operation: Operation
    twin: Twin

    def __iter__(self) -> Iterator:
        yield self.operation
        yield self.twin.but(values=self.operation.values)

    def lacking(self) -> str | None:
        return self.twin.lacking()


HALF = torch.float16 if torch.__version__ >= (2, 2) else torch.bfloat16  # of which the CPU has more before torch 2.2
TRACKABLE = (*SINGLE_AND_DOUBLE, torch.bfloat16, *{HALF} - {torch.bfloat16})
KINDS = (
    Twin(torch.float32, (7,), grad=True),
    Twin(torch.bfloat16, (2, 3, 4, 5), "channels last", second=True, grad=True, seed=1),
    Twin(torch.float64, (33, 35), "transposed", grad=True, seed=2),
    Twin(torch.float32, (3, 0, 2), "gappy", second=True, grad=True),
    Twin(torch.float32, (2, 2049), "offset", grad=True, seed=3),  # past 4,096
    Twin(HALF, (13,), "gappy", grad=True, seed=4),
)
RARER = (
    Twin(torch.float32, (3, 33), "expanded columns", grad=True, seed=5),
    Twin(torch.float64, (2, 3, 4), "batch second", grad=True, seed=6),
)
# A fault is one operation's, at one size, layout, dtype or device: each operation meets each dtype, and one long row.
TRIALS = Population(
    (
        *(Trial(each, KINDS[kind]) for turn, each in enumerate(OPERATIONS) for kind in (1, 2, 4, 5, 3 * (turn % 2))),
        *(Trial(each, Twin(torch.float32, (), grad=True, seed=8)) for each in FUNCTIONS),
        *(Trial(each, Twin(torch.float32, (65_537,), grad=True)) for each in EXACT if each.name in ("sum()", "square")),
    ),
    st.builds(
        Trial,
        st.sampled_from((*OPERATIONS, *MORE)),
        twins(TRACKABLE, shapes=((5,), (2, 3), (2, 1, 3, 1, 2), (2, 1025)), grad=(True,), kinds=LEAVES).more,
    ),
    rarer=(
        *(Trial(each, kind) for each in OPERATIONS for kind in RARER),
        *(Trial(each, KINDS[kind]) for each in MORE for kind in (1, 2, 4, 5)),
    ),
)
# Of a multiple of the operand they make a multiple, which no rounding touches.
MULTIPLIED = among(
    *(each for each in (*TRIALS.must, *TRIALS.rarer) if each.operation in EXACT + MORE and each.operation.degree)
)
# What no order of numbers, no dtype and no table has a part in takes complex numbers, too: each part by itself.
OF_REAL = ("relu", "abs", "where", "mask", "sort", "to float32", "half()", "bfloat16()", "embedding")
LINEAR = among(*(each for each in EXACT + MORE if each.degree == 1 and each.name not in OF_REAL))


def once(operations: Sequence[Operation]) -> tuple[Trial, ...]:
    return tuple(Trial(each, KINDS[turn % len(KINDS)]) for turn, each in enumerate(operations))


# Each operation once, for what the engine does whatever the operation is.
ONCE_EACH = Population(once(OPERATIONS), TRIALS.more, rarer=once(MORE))
# Few, for what no kernel has a part in.
FEW = twins(
    (torch.float32, torch.bfloat16), shapes=((), (0,), (2, 3), (2, 3, 4, 5), (2, 1025)), grad=(True,), kinds=LEAVES
)
