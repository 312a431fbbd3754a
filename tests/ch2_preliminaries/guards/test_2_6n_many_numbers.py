"""2.6 Autograd: more numbers than a block of threads has, and more rows and matrices than two bytes count."""

import numpy as np
import pytest
import torch
from populations import Twin, agree, among, over
from populations.comparing import accepted, host
from populations.crowds import APART, CROWDS
from populations.gradients import grad_of, nonzero, weights_for
from populations.slopes import FUNCTIONS, WIDE_SLOPES

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


def size(array: np.ndarray) -> float:
    """That of the largest number."""
    return float(np.abs(array).max())


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians", "backward-fills-grad")
@over(trial=among(*WIDE_SLOPES))
def test_what_comes_back_to_each_of_a_thousand_numbers_is_its_share_of_how_the_values_rise(trial):
    """Number by number what the CPU has in double precision, which is held to differences of the values."""
    (function, x, point), plain = trial, FUNCTIONS[trial.name]
    result = accepted(function, x)
    (weights, factors), v = weights_for(result, trial.layout), nonzero(Twin(torch.float64, point.shape, seed=1))
    accepted(result.backward, weights)

    there = trial.at(point).requires_grad_()
    here = plain(there)
    back = host(torch.autograd.grad(here, there, torch.from_numpy(factors).to(here))[0])
    roundings = 2 * max(1e-5 / torch.finfo(x.dtype).eps, 4)  # eight in half precision, and twice that on the way back
    for values in (result, trial.mode()(plain)(x.detach())):
        units = roundings * torch.finfo(x.dtype).eps / torch.finfo(values.dtype).eps
        agree(values, host(here), units, size(host(here)))
    agree(grad_of(x), back, 2 * roundings, size(back))
    step = 2.0**-18  # its square times third derivatives, and 2^-52 over it, stay below 1e-6 of the largest number
    ahead, behind = (host(plain(trial.at(point + way * v))) for way in (step, -step))
    rise = ((ahead - behind) * factors).sum() / (2 * step)
    assert abs((back * v).sum() - rise) <= 1e-6 * max(1, np.abs(back * v).sum())


@claim("requires-grad-tracks-operations", "nn-builds-on-autograd")
@over(trial=among(*CROWDS))
def test_each_of_65537_rows_or_matrices_gives_and_gets_back_what_it_does_among_five(trial):
    function, few, many, turns = trial
    alone, together = function(few), accepted(function, many)
    weights, _ = weights_for(alone)
    alone.backward(weights)
    accepted(together.backward, weights[torch.from_numpy(turns).to(weights.device)])
    for found, each_alone in ((together, alone), (grad_of(many), grad_of(few))):
        expected = host(each_alone)[turns]
        agree(found, expected, APART.get(trial.name, 4), size(expected))  # another kernel may add up in another order
