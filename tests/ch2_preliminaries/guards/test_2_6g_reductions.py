"""2.6 Autograd: sums, extremes and deviations of what is no number, of many halves, and of numbers far from zero."""

from itertools import cycle, product

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over
from populations.along import TRIALS
from populations.comparing import host
from populations.gradients import grad_of, weights_for
from populations.initialisers import RELEASE
from populations.twins import HALVES
from torch.nn import functional as F

claim = pytest.mark.claim

# What a NaN among the elements makes NaN of, or leaves at the end, and so do NumPy's.
SPREADING = (
    *("sum", "mean", "prod", "amax", "amin", "max", "min", "cumsum", "cumprod", "cummax", "cummin", "sort", "std"),
    *("var", "vector_norm", "logsumexp", "softmax", "log_softmax", "median"),
)
WITH_NAN = [
    trial
    for trial in TRIALS.must
    if trial.function.name in SPREADING and trial.twin.dtype.is_floating_point and trial.twin.layout in WRITABLE
    if 0 < np.prod(trial.twin.shape) < 2000
]


@claim("requires-grad-tracks-operations")
@over(EVERY_MODE, trial=among(*WITH_NAN))
def test_what_is_no_number_makes_none_of_what_it_is_summed_up_or_compared_with(trial):
    array = trial.twin.array().astype(np.float64)
    array.flat[-1 - 7 * trial.twin.seed % array.size] = np.nan
    with np.errstate(invalid="ignore"):
        expected = np.asarray(trial.expected(array))
    if trial.function.name == "median":
        expected = np.where(np.isnan(array).any(trial.dim, keepdims=trial.keeps()), np.nan, expected)
    agree(trial.result(trial.twin.tensor(array)), expected, trial.rounds() + 1, np.nanmax(np.abs(expected), initial=1))


@claim("requires-grad-tracks-operations")
@pytest.mark.skipif(torch.__version__ < (2, 7), reason=f"torch {torch.__version__} has few functions of halves")
@over(
    EVERY_MODE,
    name=each("sum", "mean", "amax", "amin", "max", "min"),
    shape=among((1500,), (40, 41), (3, 5, 101), (2, 3, 4, 60), (66_000,)),
    dtype=each(*HALVES),
    layout=among(*WRITABLE),
)
def test_all_of_many_halves_are_added_up_and_compared(name, shape, dtype, layout):
    """Added up in float32, which adds up small whole numbers exactly, the sum is rounded once; those of either sign
    have one so small that each of them counts.
    """
    x, array = Twin(dtype, shape, layout, "small" if name == "sum" else "positive")
    expected = getattr(np, name)(array.astype(np.float64))
    agree(getattr(torch, name)(x), expected, 4, 1)


@claim("requires-grad-tracks-operations")
@over(
    EVERY_MODE,
    name=each("std", "var"),
    case=among(((7, 9), 0), ((7, 9), -1), ((2, 3, 33), 1), ((2, 3, 33), -1), ((4, 5, 6, 7), 2), ((129,), 0)),
    layout=among(*WRITABLE),
    dtype=each(*SINGLE_AND_DOUBLE),
)
def test_the_deviation_of_numbers_far_from_zero_is_that_of_their_differences(name, case, layout, dtype):
    """The mean is off by some roundings of 4,096, of which the variance is off by the square: 1e-6."""
    shape, dim = case
    twin = Twin(dtype, shape, layout)
    array = twin.array() + 4096
    expected = getattr(np, name)(array.astype(np.float64), dim, ddof=1)
    x = twin.tensor(array)
    for result in (getattr(torch, name)(x, dim), getattr(x, name)(dim=dim)):
        agree(result, expected, 1000, 64)


HERE = [0, 2, 0]
CHOSEN = {  # among numbers that may be equal, or of equal size
    **{name: lambda x, name=name: getattr(x, name)(1) for name in ("amax", "amin")},
    **{name: lambda x, name=name: getattr(x, name)(1).values for name in ("max", "min", "median", "mode", "nanmedian")},
    **{name: lambda x, name=name: getattr(x, name)(1).values for name in ("cummax", "cummin", "sort")},
    **{f"{name} of all": lambda x, name=name: getattr(x, name)() for name in ("amax", "amin", "max", "min", "median")},
    **{
        name: lambda x, name=name: getattr(torch, name)(x, x.flip(1)) for name in ("maximum", "minimum", "fmax", "fmin")
    },
    **{f"{name}(2)": lambda x, name=name: getattr(x, name)(2, 1).values for name in ("topk", "kthvalue")},
    "quantile": lambda x: x.quantile(0.5, 1),
    "max_pool1d": lambda x: F.max_pool1d(x[None], 2, 1),
    "max_pool2d": lambda x: F.max_pool2d(x[None], 2, 1),
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x[None], 3),
    **{
        f"scatter_reduce, {kind}": lambda x, kind=kind: x.new_zeros(x.shape).scatter_reduce(
            0, torch.tensor(HERE, device=x.device)[:, None].expand(x.shape), x, kind, include_self=False
        )
        for kind in ("amax", "amin")
    },
    **{
        f"norm, {p}": lambda x, p=p: torch.cat([torch.norm(x, p, 1), torch.linalg.vector_norm(x, p)[None]])
        for p in (np.inf, -np.inf, 1, 1.5, 2, 3)
    },
    "norm of rows": lambda x: x.norm(dim=1) + torch.linalg.norm(x, dim=1),
    "norm of all": lambda x: torch.cat([x.norm()[None], (0 * x).norm()[None], torch.linalg.matrix_norm(x)[None]]),
    "std": lambda x: x.std(1) + torch.std(x, 1, correction=0),
    **{f"cdist, {p}": lambda x, p=p: torch.cdist(x, x.clone(), p) for p in (0.5, 1, 1.5, 2)},
    "cdist of one": lambda x: torch.cdist(x[:1], x),
    "dist": lambda x: torch.dist(x, 1 * x) + torch.dist(x[0], x[-1]),
    "matrix_norm": lambda x: torch.linalg.matrix_norm(x, np.inf) + torch.linalg.matrix_norm(x, 1),
    "abs, relu, clamp": lambda x: x.abs() + F.relu(x) + 2 * x.clamp(min=0) + 3 * F.leaky_relu(x, 0.5),
}
FEW = (([2, -2, 1, 2], [3, 3, 3, 3], [-1, -3, -1, 0]), ([0, 0, 0, 0], [1, -1, 1, -1], [5, 4, 5, -5]))


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians")
@over(
    name=each(*CHOSEN),
    many=among(False, True),
    kind=among(*zip(product(SINGLE_AND_DOUBLE, WRITABLE), cycle(FEW))),  # each dtype and layout meets both
)
def test_what_comes_back_to_numbers_of_which_several_could_be_chosen_is_shared_out_among_them(name, many, kind):
    """Times the numbers, it adds up to the weighted results (Euler's theorem on functions of which twice the numbers
    make twice the result), whichever of them is chosen.
    """
    (dtype, layout), few = kind
    array = np.array([[n * step % 5 - 2 for n in range(37)] for step in (1, 2, 3)] if many else few, np.float64)
    x = Twin(dtype, array.shape, layout, grad=True).tensor(array)
    result = CHOSEN[name](x)
    weights, factors = weights_for(result)
    result.backward(weights)

    agree((grad_of(x) * x).sum(), (factors * host(result)).sum(), 32, 8 * np.abs(array).sum())


@claim("requires-grad-tracks-operations")
@over(
    EVERY_MODE,
    dtype=each(torch.bool, torch.uint8, torch.int8),
    shape=among((300,), (2, 70_000)),
    layout=among(*WRITABLE),
)
def test_sums_of_short_numbers_count_past_the_ends_of_these(dtype, shape, layout):
    x, array = Twin(dtype, shape, layout, "positive")
    wide = array.astype(np.int64)
    for result, expected in ((x.sum(-1), wide.sum(-1)), (x.cumsum(-1), wide.cumsum(-1)), (x.sum(), wide.sum())):
        assert result.dtype == torch.int64
        agree(result, expected)


OF_MANY = {  # what is chosen along the last dimension
    "topk": (lambda x: x.topk(3).values, lambda a: -np.sort(-a)[..., :3]),
    "topk, smallest": (lambda x: torch.topk(x, 5, largest=False).values, lambda a: np.sort(a)[..., :5]),
    "kthvalue": (lambda x: x.kthvalue(7).values, lambda a: np.sort(a)[..., 6]),
    "sort": (lambda x: torch.sort(x).values, np.sort),
    "median": (lambda x: x.median(-1).values, lambda a: np.sort(a)[..., (a.shape[-1] - 1) // 2]),
    "amax": (lambda x: x.amax(-1) + x.max(-1).values, lambda a: 2 * a.max(-1)),
}


@claim("requires-grad-tracks-operations")
@over(
    name=each(*OF_MANY),
    size=among(257, 1031, 4099),
    dtype=among(*SINGLE_AND_DOUBLE, torch.bfloat16, *[torch.float16] * (RELEASE >= (2, 2))),
    layout=among(*WRITABLE),
)
def test_what_is_chosen_of_many_numbers_is_the_same_however_often_it_is_asked_for(name, size, dtype, layout):
    choose, rule = OF_MANY[name]
    array = np.array([np.roll(np.arange(size) * 7 % 200, turn) for turn in range(3)], np.float64)
    array[:, 5:85:5] = np.r_[201:209, -8:0]  # the largest and the smallest are there once
    x = Twin(dtype, array.shape, layout, grad=True).tensor(array)
    for _ in range(3):  # every second call was wrong in pytorch#196177
        found = choose(x)
        assert found.requires_grad
        agree(found, rule(array))


def by_places(x):
    places = x.argsort(1)
    return x.gather(1, places), places


TAKEN = {  # some of the numbers of each row, and their places; and of the row in order those that these are
    "sort": (lambda x: x.sort(1), np.s_[:]),
    "sort, falling": (lambda x: torch.sort(x, dim=1, descending=True), np.s_[::-1]),
    "argsort": (by_places, np.s_[:]),
    "topk": (lambda x: x.topk(5, 1), np.s_[:3:-1]),
    "topk, smallest": (lambda x: torch.topk(x, 5, 1, False, True), np.s_[:5]),
}


@claim("requires-grad-tracks-operations")
@over(name=each(*TAKEN), steps=among(1, 2, 5), dtype=among(*SINGLE_AND_DOUBLE), layout=among(*WRITABLE))
def test_of_equal_numbers_each_is_taken_once_and_what_comes_back_goes_to_its_place(name, steps, dtype, layout):
    take, these = TAKEN[name]
    array = np.arange(27.0).reshape(3, 9) % 7 // steps
    x = Twin(dtype, array.shape, layout, grad=True).tensor(array)
    found, places = take(x)
    weights, factors = weights_for(found)
    found.backward(weights)

    back = np.zeros(array.shape)
    np.put_along_axis(back, host(places), factors, 1)
    agree(found, np.take_along_axis(array, host(places), 1))
    agree(found, np.sort(array, 1)[:, these])
    agree(grad_of(x), back)


NOUGHTS = [0, 0, 0, 0]
FACTORS = {  # ways to multiply four numbers
    "prod": lambda x: x.prod(),
    "prod of a row": lambda x: x[None].prod(1, keepdim=True),
    "cumprod": lambda x: x.cumprod(0)[-1],
    "one by one": lambda x: x[0] * x[1] * x[2] * x[3],
    "in place": lambda x: x[:1].clone().mul_(x[1]).mul_(x[2:3] * x[3]),
    "scatter_reduce": lambda x: x.new_ones(1).scatter_reduce(0, torch.tensor(NOUGHTS).to(x.device), x, "prod"),
    "scatter_reduce of itself": lambda x: x[:1].scatter_reduce(
        0, torch.tensor(NOUGHTS[1:]).to(x.device), x[1:], "prod"
    ),
    "index_reduce": lambda x: x.new_ones(1).index_reduce(0, torch.tensor(NOUGHTS).to(x.device), x, "prod"),
    "index_reduce_": lambda x: x[:1].clone().index_reduce_(0, torch.tensor(NOUGHTS[1:]).to(x.device), x[1:], "prod"),
    "segment_reduce": lambda x: torch.segment_reduce(x, "prod", lengths=torch.tensor([4]).to(x.device)),
}


FOURS = ((2, 3, 5, 7), (0, 3, 5, 7), (2, 0, 5, 7), (2, 3, 5, 0), (0, 3, 0, 7), (2, 0, 0, 7), (0, 0, 0, 0))


@claim("requires-grad-tracks-operations")
@over(way=each(*FACTORS), factors=among(*FOURS), dtype=among(*SINGLE_AND_DOUBLE))
def test_the_slope_of_a_product_is_that_of_the_other_factors_even_where_some_of_them_are_zero(way, factors, dtype):
    x = torch.tensor(factors, dtype=dtype, requires_grad=True)
    FACTORS[way](x).sum().backward()
    agree(grad_of(x), np.array([np.prod(factors[:place] + factors[place + 1 :]) for place in range(4)]))


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians")
@over(
    way=each(*[*FACTORS][RELEASE < (2, 2) : 3]),  # before 2.2 that of two zeros' prod() has no slope
    factors=among(*FOURS),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_such_a_slope_has_slopes_which_are_the_products_of_the_factors_but_two(way, factors, dtype):
    x = torch.tensor(factors, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(FACTORS[way](x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad((slope * torch.arange(1, 5).to(x)).sum() + 0 * x.sum(), x)
    but = [[np.prod(np.delete(factors, [i, j])) * (i != j) for j in range(4)] for i in range(4)]
    agree(second, but @ np.arange(1, 5), 16, 420)


BENDING = {  # functions and the places where their slope is another on either side
    "relu": (lambda x: F.relu(x), 0.0),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.5), 0.0),
    "elu": (lambda x: F.elu(x, 3), 0.0),
    "selu": (lambda x: F.selu(x), 0.0),
    "abs": (lambda x: torch.abs(x), 0.0),
    "l1_loss": (lambda x: F.l1_loss(x, torch.full_like(x, 2), reduction="none"), 2.0),
    "clamp": (lambda x: x.clamp(-1, 2), -1.0, 2.0),
    "clamp by tensors": (lambda x: x.clamp(torch.full_like(x, -1), torch.full_like(x, 2)), -1.0, 2.0),
    "relu6": (lambda x: F.relu6(x), 0.0, 6.0),
    "hardtanh": (lambda x: F.hardtanh(x, -2, 1), -2.0, 1.0),
    "hardsigmoid": (lambda x: F.hardsigmoid(x), -3.0, 3.0),
    "hardswish": (lambda x: F.hardswish(x), -3.0, 3.0),
    "softshrink": (lambda x: F.softshrink(x, 0.5), -0.5, 0.5),
    "maximum": (lambda x: torch.maximum(x, 2 - 3 * x), 0.5),
    "fmin": (lambda x: torch.fmin(x, 2 - 3 * x), 0.5),
    "margin": (lambda x: F.margin_ranking_loss(x, 0 * x, x.detach() ** 0, 1, reduction="none"), 1.0),
    "hinge": (lambda x: F.hinge_embedding_loss(x, -(x.detach() ** 0), 1, reduction="none"), 1.0),
    **{
        f"grid_sample, {padding}, {way}": (lambda x, padding=padding, way=way: sampled(x, padding, way), -1.0, 1.0)
        for padding in ("border", "reflection")
        for way in (0, 1)
    },
}


def sampled(x, padding: str, way: int):
    """What lies at places ``x`` along a row (``way`` 0) or a column of nine pixels, whose middles are -1, 0 and 1."""
    pixels = torch.tensor([[1.0, 2.0, 4.0], [8.0, 3.0, 5.0], [6.0, 9.0, 7.0]]).to(x)
    places = torch.stack([x, torch.full_like(x, 0.25)], -1)
    places = places.flip(-1) if way else places
    return F.grid_sample(pixels[None, None], places[None, None], padding_mode=padding, align_corners=True)[0, 0, 0]


@claim("requires-grad-tracks-operations", "nn-builds-on-autograd")
@over(name=each(*BENDING), dtype=among(*SINGLE_AND_DOUBLE))
def test_where_a_function_bends_its_gradient_lies_between_the_slopes_on_either_side(name, dtype):
    function, *places = BENDING[name]
    x = torch.tensor(places * 9, dtype=dtype, requires_grad=True)
    function(x).sum().backward()

    step = 2.0**-6  # within which the slopes of the curved ones change by a fortieth
    left, here, right = (host(function(x.detach() + way)) for way in (-step, 0, step))
    slopes = np.sort([(here - left) / step, (right - here) / step], 0)
    assert np.all(slopes[0] - 1 / 40 <= host(grad_of(x)))
    assert np.all(host(grad_of(x)) <= slopes[1] + 1 / 40)
