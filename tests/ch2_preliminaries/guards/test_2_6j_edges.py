"""2.6 Autograd: gradients where numbers are zero, infinite or none, tiny or far out, and are not chosen."""

import math

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over
from populations.comparing import accepted, host
from populations.edges import MASKED_SUMS, TAILS, UNCHOSEN
from populations.gradients import grad_of, weights_for
from populations.initialisers import RELEASE

claim = pytest.mark.claim
SCORES = np.array([[0.5, 2, -1, 1, 0.25], [-2, 0, 1.5, 3, 1], [1, -0.5, 0, 2, -1]])


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians")
@over(
    name=each(*MASKED_SUMS),
    gone=among((4,), (2,), (3, 4), (1, 2), (1, 2, 3), (1, 3, 4), (2, 3, 4)),
    dtype=among(*SINGLE_AND_DOUBLE),
    layout=among(*WRITABLE),
)
def test_what_is_minus_infinity_counts_for_nothing_and_gets_nothing(name, gone, dtype, layout):
    function, rule = MASKED_SUMS[name]
    array, kept = SCORES.copy(), [column for column in range(5) if column not in gone]
    array[:, gone] = -np.inf
    x = Twin(dtype, array.shape, layout, grad=True).tensor(array)
    result = function(x)
    weights, factors = weights_for(result)
    chosen = kept if result.dim() == 2 else slice(None)
    of_rows = np.zeros(factors.shape)
    of_rows[..., chosen] = factors[..., chosen]
    expected, pulled = rule(SCORES[:, kept], factors[..., chosen] if result.dim() == 2 else factors[:, None])

    agree(result[..., chosen], expected, 32, 4)
    result[..., chosen].backward(weights[..., chosen])
    agree(grad_of(x)[:, kept], pulled, 64, 8)
    agree(x.grad[:, list(gone)], np.zeros((3, len(gone))))


@claim("requires-grad-tracks-operations", "no-grad-branch-adds-no-gradient")
@over(
    name=each(*UNCHOSEN),
    unlike=among(np.nan, np.inf, -np.inf),
    dtype=among(*SINGLE_AND_DOUBLE),
    layout=among(*WRITABLE),
)
def test_what_is_not_chosen_gets_nothing_though_it_is_no_number(name, unlike, dtype, layout):
    x, array = Twin(dtype, (3, 4), layout, grad=True)
    gone = np.arange(12).reshape(3, 4) % 3 == 1
    x = Twin(dtype, (3, 4), layout, grad=True).tensor(np.where(gone, unlike, array).astype(array.dtype))
    result = UNCHOSEN[name](x, torch.from_numpy(gone).to(x.device))
    agree(result, np.where(gone, 0, array))
    weights, factors = weights_for(result)
    result.backward(weights)

    agree(grad_of(x), np.where(gone, 0, factors))


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians")
@over(name=each(*TAILS), dtype=each(*SINGLE_AND_DOUBLE), copies=among(1, 9))
def test_a_slope_has_its_digits_however_small_or_large_it_or_the_number_is(name, dtype, copies):
    function, slope, numbers = TAILS[name]
    x = torch.tensor(numbers * copies, dtype=dtype, requires_grad=True)
    function(x).sum().backward()

    agree(grad_of(x), slope(host(x).astype(np.float64)), 64)


SHARED = {  # among numbers that are all alike
    "max": lambda x: x.max(),
    "min": lambda x: torch.min(x),
    "amax": lambda x: x.amax(),
    "amin": lambda x: torch.amin(x, (0, 1)),
    "median": lambda x: x.median(),
    "norm of infinity": lambda x: torch.linalg.vector_norm(x, math.inf),
}


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians", "backward-fills-grad")
@over(
    name=among(*SHARED),
    dtype=each(torch.bfloat16, *(torch.float16,) * (RELEASE >= (2, 7))),  # before, the CPU rounds the share to 0
    layout=among(*WRITABLE),
    size=among(3, 35_001),
)
def test_a_gradient_is_shared_out_among_more_equal_numbers_than_half_precision_counts(name, dtype, layout, size):
    x = Twin(dtype, (2, size), layout, grad=True).tensor(np.full((2, size), 3.0))
    accepted(SHARED[name](x).backward)

    close = {"atol": 2.0**-24 * (size > 3), "rtol": torch.finfo(dtype).eps}  # of so small a share 2^-24 is a unit
    np.testing.assert_allclose(host(grad_of(x)), np.full((2, size), 1 / (2 * size)), **close)
