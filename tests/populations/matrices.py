"""Functions of matrices, and of batches of them, beside what NumPy makes of each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import linalg

from populations import places
from populations.functions import COMPLEX, TOTAL, widened
from populations.initialisers import RELEASE
from populations.twins import LAYOUTS, SINGLE_AND_DOUBLE, WRITABLE, Twin, real_of

SOLVED = (*SINGLE_AND_DOUBLE, *COMPLEX)
# The gradient of an older trace, as was seen up to 2.7, has a 1 too many where there are more rows than columns.
TRACED = ((3, 3), (1, 1), (5, 5), (3, 5), (9, 9), *(((5, 3),) if RELEASE >= (2, 13) else ()))
SQUARE = ((3, 3), (1, 1), (5, 5), (2, 3, 3), (9, 9), (2, 2, 4, 4), (0, 3, 3), (33, 33))
OBLONG = ((3, 5), (5, 3), (1, 4), (2, 3, 4), (17, 9), (2, 2, 3, 4), (3, 0))


@dataclass(frozen=True, repr=False)
class OfMatrix:
    """``apply(x)`` beside ``rule(array)`` of float64, complex128, whole numbers or truth values.

    ``of``: which matrices. "any"; "regular" ones, of whole numbers up to 8 with twenty times their size added on the
    diagonal, so that what is solved is off by a few roundings; or "positive" ones, such and equal to their adjoint.
    ``exact``: no step rounds. ``parts``: of complex numbers the result has real ones.
    """

    name: str
    apply: Callable
    rule: Callable
    of: str = "regular"
    exact: bool = False
    parts: bool = False
    shapes: tuple = SQUARE
    dtypes: tuple = SOLVED


def adjoint(a: np.ndarray) -> np.ndarray:
    return np.swapaxes(a, -1, -2).conj()


def moved(name: str, apply: Callable, rule: Callable, shapes: tuple = (*SQUARE, *OBLONG), **rest) -> OfMatrix:
    """What only moves or adds elements, of any matrix and in every dtype."""
    return OfMatrix(name, apply, rule, "any", True, shapes=shapes, **{"dtypes": TOTAL} | rest)


def solved(name: str, rule: Callable, *rest, spelled: str | None = None, **more) -> OfMatrix:
    """The function ``spelled``, or ``name``, of torch.linalg, looked up whenever it is called: a false one may stand in
    its place.
    """
    return OfMatrix(name, lambda x: getattr(linalg, spelled or name)(x), rule, *rest, **more)


def right(a):
    """The right sides of equations, of as many rows as ``a``: 1, 2, 3 and so on, by NumPy or by torch."""
    count = a.shape[-1]
    numbers = np.arange(1, 2 * count + 1).reshape(count, 2)
    return numbers if isinstance(a, np.ndarray) else torch.from_numpy(numbers).to(a)


def embedded(a: np.ndarray) -> np.ndarray:
    """Each row on the diagonal above the main one of a matrix."""
    size = a.shape[-1] + 1
    out = np.zeros((*a.shape[:-1], size, size), a.dtype)
    out[..., np.arange(size - 1), np.arange(1, size)] = a
    return out


def power_series(a: np.ndarray) -> np.ndarray:
    """exp of a matrix of at most some 8, which 40 terms make to 16 digits."""
    total = term = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
    for index in range(1, 40):
        term = term @ a / index
        total = total + term
    return total


OF_MATRICES = (
    *(
        moved(
            f"{name} from {k}",
            lambda x, name=name, k=k: getattr(torch, name)(x, k),
            lambda a, name=name, k=k: getattr(np, name)(a, k),
        )
        for name in ("triu", "tril")
        for k in (0, 1, -1, -2)
    ),
    *(
        moved(f"diagonal {k}", lambda x, k=k: x.diagonal(k, -2, -1), lambda a, k=k: a.diagonal(k, -2, -1))
        for k in (0, 1, -1)
    ),
    *(
        moved(f"rot90 {k}", lambda x, k=k: x.rot90(k, (-2, -1)), lambda a, k=k: np.rot90(a, k, (-2, -1)))
        for k in (1, 2, -1)
    ),
    moved("fliplr", lambda x: x.flip(-1, -2), lambda a: np.flip(a, (-1, -2))),
    moved("adjoint", lambda x: x.adjoint(), adjoint),
    moved("diag_embed", lambda x: torch.diag_embed(x, 1), embedded),
    moved("trace", lambda x: x.trace(), np.trace, TRACED, dtypes=SOLVED),
    moved(
        "cross",
        lambda x: linalg.cross(x, x.flip(-1) + 1),
        lambda a: np.cross(a, np.flip(a, -1) + 1),
        ((5, 3), (3, 3), (2, 3, 3), (1, 3)),
        dtypes=SOLVED,
    ),
    moved(
        "kron",
        lambda x: torch.kron(x, x[:2]),
        lambda a: np.kron(a, a[:2]),
        ((3, 3), (3, 5), (1, 1), (5, 3)),
        dtypes=SOLVED,
    ),
    # of equations
    # of no matrix it had no gradient up to 2.7; 660^33 overflows
    solved("det", np.linalg.det, shapes=SQUARE[:-2]),
    OfMatrix("slogdet", lambda x: linalg.slogdet(x)[1], lambda a: np.linalg.slogdet(a)[1], parts=True),
    solved("inv", np.linalg.inv),
    OfMatrix("inverse", lambda x: x.inverse(), np.linalg.inv),
    OfMatrix(
        "solve",
        lambda x: linalg.solve(x, right(x)),
        lambda a: np.linalg.solve(a, np.broadcast_to(right(a), (*a.shape[:-1], 2))),
    ),
    OfMatrix(
        "solve for one",
        lambda x: linalg.solve(x, right(x)[:, 0]),
        lambda a: np.linalg.inv(a) @ right(a)[:, 0],
        shapes=SQUARE[:3],
    ),
    OfMatrix(
        "solve from the right",
        lambda x: linalg.solve(x, right(x).mT.expand(*x.shape[:-2], 2, -1), left=False),
        lambda a: right(a).T @ np.linalg.inv(a),
    ),
    *(
        OfMatrix(
            f"solve_triangular, upper={upper}, left={left}",
            lambda x, upper=upper, left=left: linalg.solve_triangular(
                x, right(x) if left else right(x).mT, upper=upper, left=left
            ),
            lambda a, upper=upper, left=left: (
                np.linalg.inv((np.triu if upper else np.tril)(a)) @ right(a)
                if left
                else right(a).T @ np.linalg.inv((np.triu if upper else np.tril)(a))
            ),
        )
        for upper in (True, False)
        for left in (True, False)
    ),
    solved("cholesky", np.linalg.cholesky, "positive"),
    OfMatrix(
        "upper cholesky", lambda x: linalg.cholesky(x, upper=True), lambda a: adjoint(np.linalg.cholesky(a)), "positive"
    ),
    OfMatrix(
        "cholesky_solve",
        lambda x: torch.cholesky_solve(right(x).expand(*x.shape[:-1], 2), linalg.cholesky(x)),
        lambda a: np.linalg.inv(a) @ right(a),
        "positive",
    ),
    *(
        OfMatrix(f"power {n}", lambda x, n=n: linalg.matrix_power(x, n), lambda a, n=n: np.linalg.matrix_power(a, n))
        for n in (3, -2, 0)
    ),
    OfMatrix("matrix_exp", lambda x: (x / 32).matrix_exp(), lambda a: power_series(a / 32), shapes=SQUARE[:4]),
    # of few, which lie apart: near to each other the slope of a value is that of a difference
    solved("eigvalsh", np.linalg.eigvalsh, "positive", parts=True, shapes=SQUARE[:-1]),
    solved("svdvals", lambda a: np.linalg.svd(a, compute_uv=False), parts=True, shapes=SQUARE[:-1]),
    OfMatrix("factors of QR", lambda x: torch.matmul(*linalg.qr(x)), lambda a: a),
    OfMatrix("factors of LU", lambda x: torch.matmul(torch.matmul(*linalg.lu(x)[:2]), linalg.lu(x)[2]), lambda a: a),
    solved("pinv", np.linalg.pinv),
    solved("pinv of oblong ones", spelled="pinv", rule=np.linalg.pinv, shapes=((3, 2), (2, 5), (2, 4, 3))),
    OfMatrix(
        "lstsq",
        lambda x: linalg.lstsq(x, right(x).expand(*x.shape[:-1], 2)).solution,
        lambda a: np.linalg.inv(a) @ right(a),
    ),
    *(
        OfMatrix(
            f"norm {order}",
            lambda x, order=order: linalg.matrix_norm(x, order),
            lambda a, order=order: np.linalg.norm(a, order, (-2, -1)),
            parts=True,
        )
        for order in ("fro", "nuc", 2, 1, np.inf)
    ),
)


@dataclass(frozen=True, repr=False)
class Trial:
    """A recipe: ``x, array = trial``."""

    function: OfMatrix
    twin: Twin

    def __repr__(self) -> str:
        return f"{self.function.name} of {self.function.of} {self.twin!r}"

    def __iter__(self) -> Iterator:
        array = self.direction(self.twin.array())
        if self.function.of != "any":
            rows, columns = array.shape[-2:]
            array = array + 20 * max(rows, columns) * np.eye(rows, columns, dtype=array.dtype)
        x = self.twin.tensor(array)
        yield from (x, widened(array))

    def direction(self, array: np.ndarray) -> np.ndarray:
        """In which such matrices change: of those that equal their adjoint, what does as well."""
        return array + adjoint(array) if self.function.of == "positive" else array

    def dtype(self) -> torch.dtype:
        """That of the result."""
        return real_of(self.twin.dtype) if self.function.parts else self.twin.dtype

    def lacking(self) -> str | None:
        return self.twin.lacking() or places.lacks(self.dtype())

    def rounds(self) -> float:
        """The units that a value may be off, of the size of the largest: some eight a row of each factor."""
        return 0 if self.function.exact else 16 * max(1, *self.twin.shape[-2:])


def every_kind() -> Iterator[Trial]:
    """Each function of each dtype, with all of its shapes, of which each meets another layout in the next dtype."""
    for turn, function in enumerate(OF_MATRICES):
        layouts = LAYOUTS if function.of == "any" else WRITABLE
        for index, dtype in enumerate(function.dtypes):
            for row in range(4 if function.of != "any" else 2):
                shape = function.shapes[(turn + 2 * index + row) % len(function.shapes)]
                layout = layouts[(turn + index + row) % len(layouts)]
                yield Trial(function, Twin(dtype, shape, layout, second=(turn + index + row) % 3 == 0, seed=turn + row))


MANY = [  # more matrices than two bytes count
    Trial(function, Twin(torch.float32, (65_537, 2, 2)))
    for function in OF_MATRICES
    if function.name in ("inv", "solve", "det", "cholesky")
]
TRIALS = (*every_kind(), *MANY)
SLOPED = tuple(
    Trial(trial.function, Twin(trial.twin.dtype, trial.twin.shape, trial.twin.layout, grad=True, seed=trial.twin.seed))
    for trial in every_kind()
    if trial.twin.dtype in SOLVED
    if trial.function.name not in ("norm 1", "norm inf")  # they bend where the sums of two rows are equal
)
