"""1.1 What deep learning is: filters of every form, and parts of every kind, through which one loss reaches all."""

import numpy as np
import pytest
import torch
from hypothesis import reject
from populations import SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over
from populations.again import WAYS, Way
from populations.comparing import host
from populations.gradients import grad_of
from populations.layers import correlated
from populations.parts import MATRIX, PARTS, shares
from populations.rarer_parts import RARER_PARTS, lying
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")

# Of filters: what they see, their own shape, and the stride, the padding, the step between rows and the groups.
FILTERS = (
    ((2, 3, 9), (4, 3, 3), (1, 0, 1, 1)),
    ((1, 2, 8), (3, 2, 2), (3, 1, 1, 1)),
    ((3, 4, 7), (4, 1, 3), (2, 1, 1, 4)),
    ((2, 4, 1), (4, 1, 2), (1, 1, 1, 4)),  # of a single step
    ((1, 1, 16), (2, 1, 5), (2, 2, 2, 1)),
    ((2, 6, 5, 6), (3, 6, 3, 3), (1, 1, 1, 1)),
    ((2, 1, 5, 6), (1, 1, 3, 3), (2, 1, 1, 1)),  # of a single channel
    ((1, 9, 8, 7), (3, 9, 3, 3), (3, 1, 1, 1)),
    ((2, 4, 6, 6), (4, 1, 3, 3), (2, 1, 1, 4)),
    ((1, 24, 6, 6), (24, 1, 3, 3), (2, 1, 1, 24)),
    ((2, 4, 7, 8), (6, 2, 2, 3), (1, 0, 2, 2)),
    ((1, 5, 4, 4), (7, 5, 1, 1), (1, 0, 1, 1)),
    ((2, 3, 6, 9), (2, 3, 1, 1), (2, 0, 1, 1)),
    ((1, 2, 1, 1), (3, 2, 3, 3), (1, 1, 1, 1)),  # of a single pixel
    ((3, 17, 3, 4), (2, 17, 3, 3), (1, "same", 1, 1)),
    ((2, 2, 6, 6), (4, 1, 3, 3), (1, "same", 2, 2)),
    ((1, 2, 4, 5, 3), (3, 2, 2, 3, 2), (1, 0, 1, 1)),
    ((2, 4, 4, 4, 5), (4, 1, 2, 2, 2), (2, 1, 1, 4)),
    ((1, 6, 3, 5, 4), (2, 6, 2, 2, 2), (2, 0, 2, 1)),
    ((1, 3, 3, 3, 3), (5, 3, 1, 1, 1), (1, 0, 1, 1)),
)


ABOVE = PARTS | RARER_PARTS


def along(gradient, direction):
    """How fast what has this gradient rises in a direction."""
    return (host(gradient).astype(np.float64) * direction).sum()


@claim("learned-filters-beat-hand-made-features")
@over(
    form=among(*FILTERS),
    layout=each(*WRITABLE),
    dtype=among(*SINGLE_AND_DOUBLE),
    second=among(False, True),
    alone=among(False, True),  # each sample without a batch
)
def test_filters_of_any_form_give_the_slope_of_their_numbers_and_of_what_they_see_in_any_layout(
    form, layout, dtype, second, alone
):
    """Small whole numbers, of which every sum is exact, except where a device computes small filters in single
    precision by way of fractions. What a filter gives is linear in either of both.
    """
    (sizes, filters, (stride, padding, dilation, groups)), rank = form, len(form[0]) - 2
    x, a = Twin(dtype, sizes, layout, grad=True, second=second, seed=1)
    weight, w = Twin(dtype, filters, layout, grad=True, second=second, seed=2)
    bias, b = Twin(dtype, filters[:1], grad=True, second=second, seed=3)
    options = (stride, padding, dilation, groups)
    seen = [getattr(F, f"conv{rank}d")(each, weight, bias, *options) for each in (x if alone else [x])]
    seen = torch.stack(seen).flatten(0, -2 - rank)
    roundings = 0 if dtype == torch.float64 else 64
    summed = correlated(np.abs(a), np.abs(w), *options).max() + 8
    agree(seen, correlated(a, w, *options) + b.reshape(-1, *[1] * rank), roundings, summed)

    upstream, out = Twin(dtype, tuple(seen.shape), layout, second=second, seed=4)
    seen.backward(upstream)
    random = np.random.default_rng(5)
    up, across = random.integers(-99, 99, sizes), random.integers(-99, 99, filters)
    for gradient, way, result in (
        (grad_of(x), up, correlated(up, w, *options)),
        (grad_of(weight), across, correlated(a, across, *options)),
    ):
        most = correlated(*(np.abs(each) for each in ((way, w) if way is up else (a, way))), *options)
        close = roundings * 2.0**-24 * (most * np.abs(out)).sum()
        assert along(gradient, way) == pytest.approx((result * out).sum(), 0, close)
    agree(grad_of(bias), out.sum((0, *range(2, rank + 2))))


@claim("training-is-end-to-end")
@over(name=among(*ABOVE), dtype=among(*SINGLE_AND_DOUBLE))
def test_whatever_stands_above_it_the_level_below_is_given_the_slope_of_the_loss(name, dtype):
    """Central differences on the CPU in double precision, off by less than 1e-7 of the gradient there. A feature that
    is normalised alone, by 316 times differences that cancel, rounds some 1000 times. The gradient comes back several
    times, in row order and otherwise.
    """
    level, numbers = nn.Linear(3, 3, dtype=dtype), torch.tensor(MATRIX, dtype=torch.float64, device="cpu")
    level.weight.data = torch.eye(3, dtype=dtype)  # so that the part is given the matrix itself
    nn.init.zeros_(level.bias)

    def loss(result, lie=lambda y: y):
        return (lie(result) ** 2 * lie(shares(result))).sum()

    def there(weight, bias):
        return loss(ABOVE[name](F.linear(numbers, weight, bias)))

    result = ABOVE[name](level(numbers.to(level.weight)))
    for lie in lying(name):
        loss(result, lie).backward(retain_graph=True)
    random, step = np.random.default_rng(len(name)), 2.0**-17
    moves = [random.uniform(-1, 1, tuple(parameter.shape)) for parameter in level.parameters()]
    above, below = (
        there(*(torch.tensor(start + way * step * move, device="cpu") for start, move in zip((np.eye(3), 0), moves)))
        for way in (1, -1)
    )
    gradients = [grad_of(parameter) for parameter in level.parameters()]
    starts = [torch.tensor(start, device="cpu", requires_grad=True) for start in (np.eye(3), np.zeros(3))]
    exact, ways = torch.autograd.grad(there(*starts), starts), len(lying(name))
    largest = ways * sum(each.abs().sum().item() for each in exact)
    slope = ways * (above - below).item() / (2 * step)
    close = 1e-7 if dtype == torch.float64 else 1e-4
    assert sum(map(along, gradients, moves)) == pytest.approx(slope, 0, close * largest + 1e-6)


class Scattered(nn.Module):
    """Each number times one that is drawn."""

    def forward(self, x):
        return x * torch.rand_like(x)


DRAWING = {  # what a part may multiply each number by: drawn ones
    "numbers": Scattered,
    "Dropout": nn.Dropout,
    "Dropout, rare": lambda: nn.Dropout(0.125),
    **{
        f"Dropout{n}d": lambda n=n: nn.Sequential(
            nn.Unflatten(1, (2, *[1] * n)), getattr(nn, f"Dropout{n}d")(0.25), nn.Flatten()
        )
        for n in (1, 2, 3)
    },
    "RReLU": nn.RReLU,
}
# But for RReLU where less is kept than usual: up to torch 2.15 it writes its factors when they are kept already, and
# what is computed again has others (pytorch#193671).
DRAWN = [
    (Way(way), part)
    for way in WAYS
    for part in DRAWING
    if part != "RReLU" or way in ("checkpoint, reentrant", "parameters handed over")
]


def drawn_so_far(device):
    """What tells the numbers that are drawn next on a device."""
    return (torch if device.type == "cpu" else getattr(torch, device.type)).get_rng_state()


@claim("training-is-end-to-end")
@over(way_of=among(*DRAWN), dtype=each(*SINGLE_AND_DOUBLE))
def test_on_the_way_back_a_part_multiplies_by_the_numbers_that_it_drew_and_draws_no_others(way_of, dtype):
    way, name = way_of
    here = torch.empty(0).device
    # a checkpoint keeps the state of a device whose module tells that it was used, which torch.mps does not
    keeps = here.type == "cpu" or getattr(getattr(torch, here.type), "_initialized", False)
    if "checkpoint" in way.name and not keeps:
        reject()
    part = nn.Sequential(nn.Identity(), DRAWING[name]())
    x = torch.linspace(-4, 4, 128, dtype=dtype).view(64, 2).requires_grad_()
    results = [WAYS[way.name](part, x) for _ in range(2)]
    drawn = drawn_so_far(here)
    for result in results[::-1]:
        x.grad = None
        result.sum().backward()
        agree(x * grad_of(x), host(result), 4)
    assert torch.equal(drawn_so_far(here), drawn)
    assert not torch.equal(*results)
