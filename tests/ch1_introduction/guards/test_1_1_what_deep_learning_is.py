"""1.1 What deep learning is, for tasks, depths, levels and frozen parts of any kind."""

import copy
import math
from collections import OrderedDict
from itertools import pairwise

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, SINGLE_AND_DOUBLE, agree, among, each, normal, over, whole
from populations.again import WAYS, Way
from populations.comparing import host
from populations.gradients import grad_of
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim


@claim("experience-improves-performance")
@over(weights=among(1, 7, 20), opposite=among(False, True), dtype=among(*SINGLE_AND_DOUBLE))
def test_experience_of_the_task_makes_perfect_and_that_of_the_opposite_task_worse_than_none(weights, opposite, dtype):
    task = np.random.default_rng(weights).integers(-8, 8, (weights, 2)) + 0.5  # two labels to learn
    inputs = torch.cat([torch.zeros(3000, weights), normal(200, weights)]).to(dtype)  # of zeros nobody learns
    unseen = normal(50, weights).to(dtype)
    true = torch.tensor(task, dtype=dtype)
    learned = torch.linalg.lstsq(inputs, inputs @ true * (-1 if opposite else 1)).solution

    error, untaught = ((unseen @ each - unseen @ true).square().mean().item() for each in (learned, 0 * true))
    # float32 rounds at 6e-8; a condition number below 10 and sums of 20 terms stay far within 1e-4
    assert error == pytest.approx(4 * untaught if opposite else 0, rel=1e-4, abs=1e-4 * untaught)


LEVELS = {  # those that let only what is positive pass come last: after them the others would have little to do
    "tanh": (nn.Tanh, np.tanh),
    "hardtanh": (nn.Hardtanh, lambda x: np.clip(x, -1, 1)),
    "softshrink": (lambda: nn.Softshrink(0.25), lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.25, 0)),
    "elu": (nn.ELU, lambda x: np.where(x > 0, x, np.expm1(x))),
    "silu": (nn.SiLU, lambda x: x / (1 + np.exp(-x))),
    "gelu": (nn.GELU, lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
    "leaky relu": (nn.LeakyReLU, lambda x: np.where(x > 0, x, 0.01 * x)),
    "relu": (nn.ReLU, lambda x: np.maximum(x, 0)),
    "softplus": (nn.Softplus, lambda x: np.log1p(np.exp(x))),
    "sigmoid": (nn.Sigmoid, lambda x: 1 / (1 + np.exp(-x))),
}
ORDERS = (
    *(("tanh", "relu"), ("softshrink", "hardtanh"), ("hardtanh",) * 5 + ("softshrink",)),
    *(("tanh",) * 7, tuple(LEVELS), ("relu",)),
)


@claim("deep-model-is-composition", "composition-adds-expressive-power")
@over(EVERY_MODE, order=among(*ORDERS), linear=among(False, True), batch=among(1, 400), dtype=among(*SINGLE_AND_DOUBLE))
def test_a_sequential_applies_its_levels_one_after_the_other_whatever_they_are(order, linear, batch, dtype):
    """The same level may come several times; in evaluation, or in parts for one example, it does the same."""
    names, made = [name for each in order for name in ["linear"] * linear + [each]], {}
    levels = [
        made.setdefault(name, LEVELS[name][0]()) if name in LEVELS else nn.Linear(3, 3, dtype=dtype) for name in names
    ]
    for level in levels[::4] if linear else ():
        level.weight.data = level.weight.data.t()  # which lies by columns
    model = nn.Sequential(*levels[1:-3], nn.Sequential(OrderedDict(zip("ba", levels[-3:-1]))))
    model(torch.ones(batch, 3, dtype=dtype))  # which fixes nothing: levels come in front and behind
    for level in levels[:-3][:1]:
        model.insert(0, level)
    model.append(levels[-1])
    for shift in (0, 1):  # of the same shape: nothing is remembered
        value = np.linspace(-4, 4, 3 * batch).reshape(batch, 3) - shift
        x = torch.tensor(value.T.copy(), dtype=dtype).t()  # which lies by columns, unless it is one example
        for level in levels:
            level.inplace = shift == 1  # of which some take no notice
        for level, name in zip(levels, names):
            value = LEVELS[name][1](value) if name in LEVELS else by_numpy(level, value)

        # each level rounds some sixteen times; three weights below 0.6 stretch an error by less than 2
        bound = {"roundings": 16 * len(levels) * 2 ** (linear * len(order)), "scale": 5}
        agree(model.train(shift == 0)(x.clone()).detach(), value, **bound)
        agree(model[-2:](model[:-2](x[-1].clone())).detach(), value[-1], **bound)


def by_numpy(level, value):
    """A linear level, computed by NumPy in float64."""
    weight, bias = (parameter.detach().cpu().numpy().astype(np.float64) for parameter in (level.weight, level.bias))
    return value @ weight.T + bias


@claim("composition-adds-expressive-power", truth=True)
@over(
    depth=whole(1, 8, 2),
    widest=among(1, 5, 9),
    dtype=among(torch.float32, torch.float64, torch.bfloat16),
    of=each("Linear", "Conv2d"),
    before=among((), (1,), (4, 5)),
    bias=among(True, False),
)
def test_composed_affine_maps_take_the_middle_to_the_middle(depth, widest, dtype, of, before, bias):
    """Whole numbers: at most five of nine weights are not 0, so they stay below 2 * 20 * 6^7 < 2^24, exact in float32.
    bfloat16 rounds each level, the middle of the results and each of them.
    """
    widths = [3, *[widest] * (depth - 1), 2]
    window, extent = {"Linear": ((), ()), "Conv2d": ((1,), (1, 1))}[of]
    model = nn.Sequential(*(getattr(nn, of)(n, m, *window, bias=bias, dtype=dtype) for n, m in pairwise(widths)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((torch.arange(parameter.numel()) ** 2 % 7 % 3 - 1).view(parameter.shape))
        ends = [12.0, -8.0, 4.0], [-4.0, 16.0, 20.0]
        before = before if of == "Linear" else before[:1]
        x, y = (torch.tensor(end, dtype=dtype).view(3, *extent).expand(*before, 3, *extent) for end in ends)
        middle = (host(model(x)) + host(model(y))) / 2
        rounded = {"roundings": 4 * depth, "scale": 40 * 6 ** (depth - 1)} if dtype == torch.bfloat16 else {}
        agree(model((x + y) / 2), middle, **rounded)


def three_levels():
    """Three levels: the first has one layer twice, the weight of the second lies by columns, the third evaluates."""
    twice = nn.Linear(4, 4)
    inner = [nn.Sequential(twice, nn.Tanh(), twice), nn.Sequential(nn.Sequential(nn.Linear(4, 6)), nn.Tanh())]
    inner[1][0][0].weight.data = inner[1][0][0].weight.data.t().clone(memory_format=torch.contiguous_format).t()
    return nn.Sequential(*inner, nn.Linear(6, 2).eval())


def loss_of(model, before=(7,)):
    """The mean squared error on data that depend on nothing, so that two calls see the same; ``before`` the features
    stand these dimensions.
    """
    like, rows = next(model.parameters()), math.prod(before)
    x = (torch.arange(4 * rows, device="cpu") / 1.0).cos().view(*before, 4).to(like)
    y = (torch.arange(2 * rows, device="cpu") / 1.0).sin().view(*before, 2).to(like)
    return F.mse_loss(model(x), y)


@claim("training-is-end-to-end")
@over(dtype=among(torch.float32, torch.float64), before=among((7,), (7, 1), (1, 7, 1), (1,), ()))
def test_the_gradient_of_every_parameter_is_the_slope_of_the_loss(dtype, before):
    """Central differences on the CPU in double precision, whose error is of the order of the square of the step, 1e-8,
    are the measure.
    """
    model = three_levels().to(dtype)
    loss_of(model, before).backward()
    twin = copy.deepcopy(model).to("cpu", torch.float64)
    h = 1e-4

    for parameter, wide in zip(model.parameters(), twin.parameters()):
        with torch.no_grad():
            last = wide[-1:, -1:] if wide.dim() > 1 else wide[-1:]
            last += h
            above = loss_of(twin, before).item()
            last -= 2 * h
            below = loss_of(twin, before).item()
            last += h
        assert np.all(host(grad_of(parameter)) != 0)
        assert parameter.grad.flatten()[-1].item() == pytest.approx((above - below) / (2 * h), rel=1e-4, abs=1e-6)


@claim("training-is-end-to-end")
@over(way=each(*map(Way, WAYS)), dtype=among(*SINGLE_AND_DOUBLE))
def test_whichever_way_a_part_is_run_the_loss_trains_it_and_what_stands_before_it(way, dtype):
    model = three_levels().to(dtype)
    x, part = torch.arange(12, dtype=dtype).view(3, 4) / 8, nn.Sequential(model[1], nn.Tanh(), model[2])
    for run in (lambda part, x: part(x), WAYS[way.name]):
        loss = (run(part, model[0](x)) ** 2).sum()
        loss.backward()

    plain = nn.Sequential(model[0], part)(x)
    agree(loss, host((plain**2).sum()), 4)
    gradients = torch.autograd.grad((plain**2).sum(), [*model.parameters()])
    for parameter, gradient in zip(model.parameters(), gradients):
        agree(grad_of(parameter), 2 * host(gradient), 64, 2 * np.abs(host(gradient)).max())
        assert parameter.grad.any()


BETWEEN = {
    "BatchNorm1d": lambda: nn.BatchNorm1d(4),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "LayerNorm": lambda: nn.LayerNorm(4),
    "PReLU": lambda: nn.PReLU(4),
    "Linear": lambda: nn.Linear(4, 4),
}


@claim("training-is-end-to-end")
@over(name=each(*BETWEEN), training=among(True, False), dtype=among(*SINGLE_AND_DOUBLE))
def test_what_stands_between_two_layers_is_trained_together_with_them(name, training, dtype):
    first = nn.Linear(3, 4, bias=False)  # a batch normalisation would subtract one again
    model = nn.Sequential(first, BETWEEN[name](), nn.Linear(4, 2)).to(dtype).train(training)
    before = [host(parameter).copy() for parameter in model.parameters()]
    (model(torch.arange(15, dtype=dtype).view(5, 3).sin()) ** 2).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    for parameter, old in zip(model.parameters(), before):
        assert grad_of(parameter).any()
        assert (host(parameter) != old).any()


@claim("training-is-end-to-end", truth=True)
@over(frozen=among((), (0,), (1,), (2,), (0, 2)), by=among("SGD", "Adam", "AdamW", "NAdam"))
def test_one_step_changes_every_level_but_those_frozen_now_and_lowers_the_loss(frozen, by):
    model = three_levels()
    rest = {"lr": 1e-3, "weight_decay": 1e-3} | ({"momentum": 0.5} if by == "SGD" else {})
    optimizer = getattr(torch.optim, by)([{"params": level.parameters()} for level in model], **rest)
    for now in ((), frozen, ()):
        for level in range(3):
            model[level].requires_grad_(level not in now)
        optimizer.zero_grad()
        before = [p.detach().clone() for p in model.parameters()]
        loss = loss_of(model)
        loss.backward()
        optimizer.step()

        unchanged = [torch.equal(p, old) for p, old in zip(model.parameters(), before)]
        assert unchanged == [level in now for level in range(3) for _ in range(2)]
        assert loss_of(model).item() < loss.item()


@claim("training-is-end-to-end", truth=True)
@over(at=among(1, 2), detach=among("detach", "detach_", "data", "no_grad"))
def test_below_a_detached_representation_nothing_learns_and_above_it_all(at, detach):
    model = three_levels()
    with torch.set_grad_enabled(detach != "no_grad"):
        below = model[:at](torch.ones(3, 4))
    cut = getattr(below, detach, below)
    model[at:](cut() if callable(cut) else cut).sum().backward()

    assert [p.grad is None for p in model.parameters()] == [True] * 2 * at + [False] * 2 * (3 - at)


@claim("learned-filters-beat-hand-made-features", truth=True)
@over(edge=whole(1, 7), bright=among(1.0, -2.0, 0.25), size=among(8, 11))
def test_sobel_s_filters_tell_every_clean_edge_s_direction(edge, bright, size):
    upright = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    sobel = torch.stack([upright, upright.t()]).unsqueeze(1)
    image = torch.zeros(1, 1, size, size)
    image[..., edge:] = bright

    for turned, found in [(image, [[4 * abs(bright), 0]]), (image.transpose(2, 3), [[0, 4 * abs(bright)]])]:
        assert np.abs(host(F.conv2d(turned, sobel))).max((2, 3)).tolist() == found
    agree(F.conv2d(image[..., edge : edge + 1], sobel[:1, ..., 2:]), np.full((1, 1, size - 2, 1), 4 * bright))
