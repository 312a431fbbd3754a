"""2.6 Autograd: functions of matrices and of batches of them, with their values and their slope."""

import functools

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, SINGLE_AND_DOUBLE, Twin, agree, among, each, over
from populations.comparing import accepted
from populations.gradients import rises, weights_for
from populations.layers import COMPUTED
from populations.matrices import SLOPED, TRIALS
from torch.nn import functional as F

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


@claim("requires-grad-tracks-operations")
@over(EVERY_MODE, trial=among(*TRIALS))
def test_a_function_of_a_matrix_has_numpy_s_numbers_for_each_of_a_batch_wherever_they_lie(trial):
    x, array = trial
    result, expected = accepted(trial.function.apply, x), np.asarray(trial.function.rule(array))

    assert (result.dtype, result.device) == (trial.dtype(), x.device)
    agree(result, expected, trial.rounds(), np.abs(expected).max(initial=1))


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians")
@over(trial=among(*SLOPED))
def test_a_function_of_a_matrix_is_recorded_with_its_slope_for_each_of_a_batch(trial):
    """What comes back is found against differences in double precision."""
    x, array = trial
    result = trial.function.apply(x)
    (weights, factors), (_, numbers) = weights_for(result), weights_for(x, seed=1)
    accepted(result.backward, weights)

    v, step = trial.direction(numbers), 2.0**-18  # of the size of the numbers 2^-22, whose square is 6e-14 of them
    terms, found = rises(x, array, trial.function.rule, factors, v, step)
    assert abs(terms.sum() - found) <= 1e-5 * max(1, np.abs(terms).sum())


SIDES = (2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256)
MULTIPLIED = {  # ways to multiply two matrices
    "@": lambda a, b: a @ b,
    "mm": torch.mm,
    "einsum": lambda a, b: torch.einsum("ij,jk->ik", a, b),
    "linear": lambda a, b: F.linear(a, b.t()),
    "linear, by rows": lambda a, b: F.linear(a, b.t().contiguous(), b.new_zeros(len(b))),
    "addmm": lambda a, b: torch.addmm(a.new_zeros(a.shape), a, b),
    "bmm": lambda a, b: torch.bmm(a[None], b[None])[0],
}


LAID = ("contiguous", "contiguous"), ("transposed", "gappy"), ("gappy", "transposed"), ("transposed", "transposed")


@functools.cache
def signs(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two squares of -1, 0 and 1, and their product."""
    one, other = (np.sign(Twin(torch.float64, (side, side), seed=seed).array()) for seed in (0, 1))
    return one, other, one @ other


@claim("identity-network-is-a-matrix-product", "linear-model-is-weighted-sum", "stacked-linear-layers-collapse")
@over(EVERY_MODE, side=among(*SIDES), laid=among(*LAID), dtype=each(*COMPUTED))
def test_square_matrices_of_the_sides_that_kernels_are_cut_for_have_their_product(side, laid, dtype):
    """Each sum is at most 256, up to which either half has all whole numbers."""
    *numbers, expected = signs(side)
    a, b = (
        Twin(dtype, (side, side), layout, second=side in SIDES[::2]).tensor(array)
        for layout, array in zip(laid, numbers)
    )
    for multiply in MULTIPLIED.values():
        agree(multiply(a, b), expected)


AGAIN = {  # of one row with many columns
    "mm": lambda row, columns: torch.mm(row, columns),
    "@": lambda row, columns: row @ columns,
    "of a vector": lambda row, columns: (row[0] @ columns)[None],
    "bmm": lambda row, columns: torch.bmm(row[None], columns[None])[0],
    "linear": lambda row, columns: F.linear(row, columns.t()),
    "addmm": lambda row, columns: torch.addmm(torch.zeros_like(columns[:1]), row, columns),
}


@claim("identity-network-is-a-matrix-product", "linear-model-is-weighted-sum")
@over(EVERY_MODE, name=each(*AGAIN), sizes=among((3, 1030), (257, 600)), dtype=among(*SINGLE_AND_DOUBLE))
def test_a_row_has_the_same_products_with_many_columns_however_often_it_is_asked(name, sizes, dtype):
    (row, one), (columns, many) = Twin(dtype, (1, sizes[0])), Twin(dtype, sizes, seed=1)
    for _ in range(32):  # every tenth to twentieth was no number in pytorch#81185; of whole numbers all sums are exact
        agree(AGAIN[name](row, columns), one @ many)
