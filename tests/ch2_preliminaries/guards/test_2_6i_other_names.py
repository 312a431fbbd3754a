"""2.6 Autograd: functions by their other names, as functions, methods and in place, beside those that they are."""

import operator

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over
from populations.comparing import host
from populations.gradients import weights_for

claim = pytest.mark.claim


OF_ONE = {  # the other name, and the name in torch
    **{"absolute": "abs", "arccos": "acos", "arcsin": "asin", "arctan": "atan", "arcsinh": "asinh", "fix": "trunc"},
    **{"arctanh": "atanh", "arccosh": "acosh", "negative": "neg", "conj_physical": "conj", "special.expit": "sigmoid"},
    **{"special.gammaln": "lgamma", "special.psi": "digamma", "trapz": "trapezoid", "linalg.det": "det"},
    **{"linalg.inv": "inverse"},
    **{f"special.{name}": name for name in ("digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "log1p")},
    **{f"special.{name}": name for name in ("logit", "round", "sinc")},
}
OF_TWO = {"divide": "div", "multiply": "mul", "subtract": "sub", "true_divide": "div", "arctan2": "atan2"}
OF_TWO |= {"special.xlogy": "xlogy", "linalg.matmul": "mm"}
ALIASES = {  # the other name, what it is given beside a matrix, and the function
    **{alias: (lambda x: (), getattr(torch, name)) for alias, name in OF_ONE.items()},
    **{alias: (lambda x: (0.75 * x.t(),), getattr(torch, name)) for alias, name in OF_TWO.items()},
    **dict.fromkeys(("swapaxes", "swapdims", "moveaxis", "movedim"), (lambda x: (0, 1), torch.transpose)),
    **{f"special.{name}": (lambda x: (1,), getattr(torch, name)) for name in ("softmax", "log_softmax", "logsumexp")},
    "clip": (lambda x: (0.25, 0.5), torch.clamp),
    "matrix_power": (lambda x: (2,), lambda x, n: x @ x),
    "linalg.matrix_power": (lambda x: (2,), lambda x, n: x @ x),
    "special.multigammaln": (lambda x: (1,), lambda x, p: torch.lgamma(x)),
    "threshold": (lambda x: (0.25, 0.5), lambda x, low, value: torch.where(x > low, x, value)),
}
NOT_IN_PLACE = ("arcsinh", "arccosh", "arctanh")  # of which torch has no derivative there
NUMBERS = np.array([[1, 3, 6], [5, 2, 7], [4, 8, 3]]) / 16


@claim("requires-grad-tracks-operations")
@over(name=each(*ALIASES), dtype=among(*SINGLE_AND_DOUBLE), layout=among(*WRITABLE))
def test_a_function_under_another_name_has_the_same_values_and_slopes_as_a_method_and_in_place_too(name, dtype, layout):
    more, original = ALIASES[name]
    numbers = NUMBERS * 32 if name == "arccosh" else NUMBERS
    x = Twin(dtype, (3, 3), layout, grad=True).tensor(numbers)
    expected = original(x, *more(x))
    weights, _ = weights_for(expected)
    (slope,) = torch.autograd.grad(expected, x, weights)

    ways = [lambda: operator.attrgetter(name)(torch)(x, *more(x))]
    ways += [lambda: getattr(x, name)(*more(x))] * hasattr(x, name)
    ways += [lambda: getattr(x * 1, f"{name}_")(*more(x))] * (hasattr(x, f"{name}_") and name not in NOT_IN_PLACE)
    for way in ways:
        found = way()
        (own,) = torch.autograd.grad(found, x, weights)
        for one, other in ((found, expected), (own, slope)):
            agree(one, host(other), 16, np.abs(host(other)).max(initial=0))
