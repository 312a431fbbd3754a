"""2.6 Autograd: functions of matrices and of batches of them, with their values and their slope."""

import numpy as np
import pytest
from populations import EVERY_MODE, agree, among, over
from populations.comparing import accepted
from populations.gradients import rises, weights_for
from populations.matrices import SLOPED, TRIALS

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
