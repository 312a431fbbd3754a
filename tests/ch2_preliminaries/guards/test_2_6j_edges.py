"""2.6 Autograd: gradients where numbers are zero, infinite or none, tiny or far out, and are not chosen; many equal
numbers, and sums in another dtype.
"""

import math

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over
from populations.comparing import accepted, host
from populations.edges import MASKED_SUMS, ONE_BY_ONE, TAILS, UNCHOSEN, running, shares
from populations.gradients import grad_of, weights_for
from populations.initialisers import RELEASE
from populations.operations import FUNCTION
from populations.twins import HALVES
from torch.nn import functional as F

claim = pytest.mark.claim
SCORES = np.array([[0.5, 2, -1, 1, 0.25], [-2, 0, 1.5, 3, 1], [1, -0.5, 0, 2, -1]])


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians")
@over(
    name=each(*MASKED_SUMS),
    gone=among((4,), (2,), (3, 4), (1, 2), (1, 2, 3), (1, 3, 4), (2, 3, 4), (0,), (0, 1)),
    dtype=among(*SINGLE_AND_DOUBLE),
    layout=among(*WRITABLE),
)
def test_what_is_minus_infinity_counts_for_nothing_and_gets_nothing(name, gone, dtype, layout):
    """After the first number, for what adds one after the other: logcumsumexp, logaddexp either way and logaddexp2."""
    function, rule = MASKED_SUMS[name]
    gone = tuple(column + 1 for column in gone) if name in ONE_BY_ONE and gone[0] == 0 else gone
    array, kept = SCORES.copy(), [column for column in range(5) if column not in gone]
    array[:, gone] = -np.inf
    x = Twin(dtype, array.shape, layout, grad=True).tensor(array)
    result = function(x)
    weights, factors = weights_for(result)
    chosen = kept if result.dim() == 2 else slice(None)
    expected, pulled = rule(SCORES[:, kept], factors[..., chosen] if result.dim() == 2 else factors[:, None])

    if result.dim() == 2:
        expected, of_kept = np.full((3, 5), 0.0 if rule is shares else -np.inf), expected
        expected[:, kept] = of_kept
        for column in gone if rule is running else ():
            expected[:, column] = expected[:, column - 1]
    # a share: two exponentials, each of 8 roundings and of an exponent up to 5 that is rounded, sums and a quotient;
    # a logarithm, some 4 in size, is off by as much as that of which it is taken, and by roundings of its own
    agree(result, expected, *((32, 0) if rule is shares else (16, 4)))
    result[..., chosen].backward(weights[..., chosen])
    agree(grad_of(x)[:, kept], pulled, 64, 8)  # twice 32: the difference of such shares of up to 8
    agree(x.grad[:, list(gone)], np.zeros((3, len(gone))))


@claim("requires-grad-tracks-operations", "backward-fills-grad")
@over(
    name=each(*UNCHOSEN),
    unlike=among(np.nan, np.inf, -np.inf),
    dtype=among(*SINGLE_AND_DOUBLE),
    layout=among(*WRITABLE),
)
def test_what_is_not_chosen_gets_nothing_though_it_is_infinite_or_nan(name, unlike, dtype, layout):
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
def test_a_slope_keeps_its_digits_where_the_usual_rule_does(name, dtype, copies):
    """However small it is; but far out those of tanh and sigmoid, which take 1 from 1 there, have none."""
    function, slope, numbers = TAILS[name]
    x = torch.tensor(numbers * copies, dtype=dtype, requires_grad=True)
    function(x).sum().backward()

    # erf's at 5 is an exponential of -25, which as a rounded square may be off by 25 roundings of 1; none cancel more
    agree(grad_of(x), slope(host(x).astype(np.float64)), 25 + FUNCTION)


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


STEP = 2.0**-21  # with six decimals 0.5 and 0.5 + STEP are printed alike, and in single precision 8 units apart
NEAR = {  # two options that hardly differ, the function and its rule
    "clamp from below": (0.0, 1e-7, lambda x, n: x.clamp(min=n), lambda a, n: np.maximum(a, n)),
    "clamp from above": (0.0, -1e-7, lambda x, n: torch.clamp(x, max=n), lambda a, n: np.minimum(a, n)),
    "clamp of both": (0.0, -1e-7, lambda x, n: torch.clamp(x, n, 2.0), lambda a, n: np.clip(a, n, 2)),
    "hardtanh": (0.0, 1e-7, lambda x, n: F.hardtanh(x, n, 3.0), lambda a, n: np.clip(a, n, 3)),
    "threshold": (0.0, 1e-7, lambda x, n: F.threshold(x, 0.5, n), lambda a, n: np.where(a > 0.5, a, n)),
    "masked_fill": (0.0, 1e-7, lambda x, n: x.masked_fill(x > 0, n), lambda a, n: np.where(a > 0, n, a)),
    "where": (0.0, 1e-7, lambda x, n: torch.where(x > 0, x, n), lambda a, n: np.where(a > 0, a, n)),
    "full_like": (0.0, 1e-7, lambda x, n: torch.full_like(x, n), lambda a, n: np.full(a.shape, n)),
    "pad": (
        0.0,
        1e-7,
        lambda x, n: F.pad(x, (1, 2), value=n),
        lambda a, n: np.pad(a, ((0, 0), (1, 2)), constant_values=n),
    ),
    "greater": (0.0, 1e-7, lambda x, n: x > -n, lambda a, n: a > -n),
    "equal": (0.0, 1e-7, lambda x, n: x == n, lambda a, n: a == n),
    "add": (0.5, 0.5 + STEP, lambda x, n: x + n, lambda a, n: a + n),
    "sub": (0.5, 0.5 + STEP, lambda x, n: torch.sub(x, n), lambda a, n: a - n),
    "rsub": (0.5, 0.5 + STEP, lambda x, n: n - x, lambda a, n: n - a),
    "mul": (0.5, 0.5 + STEP, lambda x, n: x * n, lambda a, n: a * n),
    "div": (0.5, 0.5 + STEP, lambda x, n: x / n, lambda a, n: a / n),
    "add, alpha": (0.5, 0.5 + STEP, lambda x, n: torch.add(0 * x, x, alpha=n), lambda a, n: n * a),
    "lerp": (0.5, 0.5 + STEP, lambda x, n: torch.lerp(x, 0 * x, n), lambda a, n: (1 - n) * a),
    "addcmul": (0.5, 0.5 + STEP, lambda x, n: torch.addcmul(0 * x, x, x, value=n), lambda a, n: n * a * a),
    "leaky_relu": (0.5, 0.5 + STEP, lambda x, n: F.leaky_relu(x, n), lambda a, n: np.where(a > 0, a, n * a)),
    "elu": (0.5, 0.5 + STEP, lambda x, n: F.elu(x, n), lambda a, n: np.where(a > 0, a, n * np.expm1(a))),
    "celu": (0.5, 0.5 + STEP, lambda x, n: F.celu(x, n), lambda a, n: np.where(a > 0, a, n * np.expm1(a / n))),
    "softplus": (0.5, 0.5 + STEP, lambda x, n: F.softplus(x, n), lambda a, n: np.log1p(np.exp(n * a)) / n),
    "softshrink": (
        0.5,
        0.5 + STEP,
        lambda x, n: F.softshrink(x, n),
        lambda a, n: np.sign(a) * np.maximum(abs(a) - n, 0),
    ),
    "layer_norm": (
        *(1e-5, 1e-7, lambda x, n: F.layer_norm(x / 2**10, (5,), eps=n)),
        lambda a, n: (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + n * 4.0**10),
    ),
}
# Roundings of what is more than two operations; of an exponential fewer than the 16 that are between two options.
CURVED = {"elu": 12, "celu": 12, "softplus": FUNCTION, "layer_norm": FUNCTION}


@claim("nn-builds-on-autograd", "broadcasting-matches-shapes")
@over(EVERY_MODE, name=each(*NEAR), dtype=among(*SINGLE_AND_DOUBLE), layout=among(*WRITABLE))
def test_an_option_counts_however_little_it_differs_from_that_of_the_call_before(name, dtype, layout):
    *options, function, rule = NEAR[name]
    x, array = Twin(dtype, (4, 5), layout)
    for option in options:
        agree(function(x, option), rule(array.astype(np.float64), option), CURVED.get(name, 4))


@claim("requires-grad-tracks-operations")
@over(
    EVERY_MODE,
    name=each("mean", "amax", "amin", "max", "min", "median"),
    number=each(-0.0, 1.5, -np.inf, np.inf),
    size=among(9000, 66_000),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_the_mean_and_the_extremes_of_many_equal_numbers_are_that_number(name, number, size, dtype):
    agree(getattr(torch, name)(torch.full((size,), number, dtype=dtype)), np.float64(number))


# Numbers that are exact in their dtype, while sums and products of two of them are rounded there, or out of its range.
LAST = {torch.float16: 2047, torch.bfloat16: 255, torch.float32: 2**24 - 1, torch.int8: 101}


@claim("requires-grad-tracks-operations")
@over(
    EVERY_MODE,
    name=each("sum", "prod", "mean", "nansum", "cumsum", "cumprod"),
    kinds=each(*((of, to) for of in (*HALVES, torch.int8) for to in SINGLE_AND_DOUBLE), (torch.float32, torch.float64)),
    layout=among(*WRITABLE),
)
def test_what_is_added_up_or_multiplied_in_another_dtype_is_as_if_it_were_of_it(name, kinds, layout):
    of, to = kinds
    last = float(LAST[of])
    array = np.array([[last] * 4, [last - 2, 3, last, 5], [1, last, 6, 2]])
    x = Twin(of, array.shape, layout).tensor(array)
    for found in (getattr(torch, name)(x, 0, dtype=to), getattr(x, name)(dim=0, dtype=to)):
        assert found.dtype == to
        agree(found, getattr(np, name)(array, 0), 4 * ("sum" not in name))
