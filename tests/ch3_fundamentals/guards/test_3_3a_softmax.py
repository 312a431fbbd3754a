"""3.3 Softmax and its logarithm, for scores of every dtype, layout and number of classes."""

import math

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, SINGLE_AND_DOUBLE, agree, among, each, over, settled, twins
from populations.comparing import accepted, host
from populations.entropy import by_name, log_softmax, softmax
from populations.layers import COMPUTED, columns_first, summed, twice
from populations.scores import scores
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim


def spelled(name, module):
    """The ways of calling softmax or its logarithm, each looked up when it is called."""
    return {
        "function": lambda x, dim: getattr(torch, name)(x, dim),
        "method": lambda x, dim: getattr(x, name)(dim=dim),
        "functional": lambda x, dim: settled(getattr(F, name))(x, dim=dim),
        "module": lambda x, dim: twice(getattr(nn, module)(dim), x),
        "dtype": lambda x, dim: getattr(torch, name)(x, dim, dtype=x.dtype),
        "out": lambda x, dim: getattr(torch, name)(x.detach(), dim, out=columns_first(x)),
    }


def of_channels(x, dim):
    """By the module for images, one or several, where the classes are their channels."""
    return (nn.Softmax2d() if x.dim() in (3, 4) and dim % x.dim() == x.dim() - 3 else nn.Softmax(dim))(x)


SPELLED = {
    "softmax": {**spelled("softmax", "Softmax"), "channels": of_channels},
    "log_softmax": spelled("log_softmax", "LogSoftmax"),
}
BOTH = each(*SPELLED)  # of which a device may have one


@claim("softmax-gives-a-distribution")
@claim("softmax-gives-a-distribution", truth=True)
@over(EVERY_MODE, scored=scores(values=("fractions", "far", "apart"), grad=(False, True)))
def test_softmax_divides_the_exponentials_by_their_sum_along_any_dimension_and_keeps_their_order(scored):
    tensor, array = scored
    expected = softmax(array, scored.dim)

    for number, spelling in enumerate(SPELLED["softmax"].values()):  # of scores 640 apart 1e-274 or, in float32, 0
        with EVERY_MODE[(number + scored.seed) % 3]():
            probabilities = spelling(tensor, scored.dim)
        assert probabilities.dtype == tensor.dtype
        # an exponential and a division (4 roundings each at most), and the sum
        agree(probabilities, expected, 8 + summed(scored.dtype, array.shape[scored.dim]))
    agree(tensor, array)
    in_order = np.take_along_axis(host(probabilities), np.argsort(array, scored.dim, kind="stable"), scored.dim)
    assert np.all(np.diff(in_order, axis=scored.dim) >= 0)


@claim("softmax-gives-a-distribution")
@claim("log-probability-is-logit-up-to-a-factor", truth=True)
@over(
    scored=scores((torch.bfloat16, torch.float16, torch.int64), values=("small", "far")),
    spelled=among("torch", "method", "functional"),
    wide=each(*SINGLE_AND_DOUBLE),
    name=BOTH,
)
def test_a_wider_dtype_asked_for_is_computed_in(scored, spelled, wide, name):
    tensor, array = scored
    owner = {"torch": torch, "method": torch.Tensor, "functional": F}[spelled]
    expected, scale = by_name(name, array, scored.dim)

    result = getattr(owner, name)(tensor, dim=scored.dim, dtype=wide)
    assert result.dtype == wide
    agree(result, expected, 8 + summed(wide, array.shape[scored.dim]), scale)


@claim("softmax-gives-a-distribution")
@claim("log-probability-is-logit-up-to-a-factor", truth=True)
@over(dtype=among(*SINGLE_AND_DOUBLE), name=BOTH)
def test_no_number_of_classes_up_to_1040_is_an_exception(dtype, name):
    """Of two samples each: a kernel may go wrong at one number alone, where its blocks of threads meet badly."""
    flat, sizes = torch.tensor(np.arange(2080) % 7, dtype=dtype), np.arange(1, 1041)
    sums = np.concatenate([[0], np.cumsum(powers := np.exp(np.arange(2080) % 7.0))])
    totals = np.stack([sums[sizes], sums[2 * sizes] - sums[sizes]], 1)
    p = np.concatenate([powers[: 2 * n] for n in sizes]) / np.repeat(totals, np.repeat(sizes, 2))

    expected, scale = {"softmax": (p, 0), "log_softmax": (np.log(p), 16)}[name]
    results = [getattr(torch, name)(flat[: 2 * n].view(2, n), 1).view(-1).cpu() for n in sizes]
    agree(torch.cat(results), expected, 8 + summed(dtype, 1040), scale)


@claim("softmax-gives-a-distribution")
@over(twin=twins(COMPUTED, shapes=((),), values="small"), dim=among(0, -1), spelled=among(*SPELLED["softmax"]))
def test_a_score_without_a_dimension_has_all_the_probability_and_each_of_4096_equal_ones_its_share(twin, dim, spelled):
    tensor, _ = twin
    agree(SPELLED["softmax"][spelled](tensor * 64, dim), 1.0)
    shape = (4096, 1)[:: 2 * dim + 1]
    agree(SPELLED["softmax"][spelled]((tensor * 8).expand(shape).clone(), dim), np.full(shape, 1 / 4096), roundings=8)


@claim("softmax-gives-a-distribution", "nn-builds-on-autograd")
@claim("log-probability-is-logit-up-to-a-factor", truth=True)
@over(scored=scores(values=("fractions", "masked", "far")), name=BOTH)
def test_the_gradient_is_p_times_weight_minus_mean_weight_and_of_the_logarithm_weight_minus_p_times_its_sum(
    scored, name
):
    tensor, array = scored
    # since torch 2.9 so large that the sum over many classes is more than float16, which kept it before, can hold
    large = 512 if torch.__version__ >= (2, 9) else 0.5
    weight = (large + large / 2 * np.cos(np.arange(array.size))).reshape(array.shape).astype(array.dtype)
    leaf = tensor.detach().requires_grad_()  # as it lies in memory
    upstream = columns_first(leaf).copy_(torch.tensor(weight, device="cpu"))
    roundings, p = 20 + 3 * summed(scored.dtype, array.shape[scored.dim]), softmax(array, scored.dim)
    total = weight.sum(scored.dim, dtype=np.float64, keepdims=True)

    expected, scale = {
        "softmax": (p * (weight - (p * weight).sum(scored.dim, keepdims=True)), 1.5 * large * np.max(p, initial=0)),
        "log_softmax": (weight - p * total, 1.5 * large + np.abs(p * total).max(initial=0)),
    }[name]
    wide = torch.promote_types(tensor.dtype, torch.float32)
    ways = {**SPELLED[name], "out": lambda x, dim: getattr(torch, name)(x, dim, dtype=wide)}  # out= is not recorded
    for number, way in enumerate([*ways.values()][scored.seed % 2 :: 2], scored.seed // 2):  # half of them each
        result = way(leaf[...] if number % 2 else leaf, scored.dim)
        arriving = upstream.contiguous() if number % 3 else upstream
        (gradient,) = accepted(torch.autograd.grad, result, leaf, arriving)
        agree(gradient, expected, roundings, scale)


@claim("softmax-gives-a-distribution", truth=True)
@claim("log-probability-is-logit-up-to-a-factor", truth=True)
@over(
    twin=twins(COMPUTED, LAYOUTS[:5], ((2, 3), (3, 33), (2, 257), (4, 1025), (2, 1)), values=("fractions",)),
    value=among(math.nan, math.inf, -math.inf, 2.0),
    others=among(None, -math.inf),
    name=BOTH,
)
def test_nan_or_infinity_makes_its_own_sample_nan_and_so_does_a_mask_over_all_and_over_some_them_zero(
    twin, value, others, name
):
    tensor, array = twin
    getattr(torch, name)(tensor, 1)  # of what it was before
    tensor[0, :-1], array[0, :-1] = (tensor[0, :-1], array[0, :-1]) if others is None else (others, others)
    tensor[0, -1] = array[0, -1] = value
    with np.errstate(invalid="ignore"):
        logs = log_softmax(array, 1)

    expected, scale = {"softmax": (np.exp(logs), 0), "log_softmax": (logs, 16)}[name]
    agree(getattr(torch, name)(tensor, 1), expected, 8 + summed(twin.dtype, 1025), scale)
    for dim, given, result in ((0, tensor.t(), expected.T), (1, tensor.t()[None], expected.T[None])):
        agree(getattr(torch, name)(given, dim), result, 8 + summed(twin.dtype, 1025), scale)


@claim("log-probability-is-logit-up-to-a-factor", truth=True)
@over(EVERY_MODE, scored=scores(values=("fractions", "far", "apart", "masked"), grad=(False, True)))
def test_the_log_probability_is_the_score_minus_one_number_for_every_class_of_a_sample(scored):
    tensor, array = scored
    logs = log_softmax(array, scored.dim)
    roundings = 8 + summed(scored.dtype, array.shape[scored.dim])
    size = np.abs(logs).max(initial=1, where=np.isfinite(logs))

    for number, spelling in enumerate(SPELLED["log_softmax"].values()):
        with EVERY_MODE[(number + scored.seed) % 3]():
            once = spelling(tensor, scored.dim)
        agree(once, logs, roundings, size)
        agree(spelling(once, scored.dim), logs, 2 * roundings, size)  # of these it is 0
    # logsumexp is itself a number as large as the scores
    total = torch.logsumexp(tensor, scored.dim, keepdim=True)
    agree(tensor - total, logs, roundings, np.abs(array).max(initial=size, where=np.isfinite(array)))
