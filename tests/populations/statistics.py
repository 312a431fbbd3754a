"""Tools for random numbers: how far a sample may stray from its distribution, and draws to look at.

Every bound, but for that of evenness, is an inequality that holds for every number of draws, not an approximation for
many. A right sampler crosses one with a probability below ``ALARM``, whatever the seed: a guard that checks a hundred
numbers raises a false alarm less than once in 1e9 runs. All is done on the CPU, in float64.
"""

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from populations import places
from populations.core import Population, among

ALARM = 1e-12


@dataclass(frozen=True)
class Sample:
    """A recipe for draws: ``calls`` calls, each for a tensor of ``shape`` and ``dtype``. ``spelled`` tells a guard in
    which way to ask for them.
    """

    shape: tuple[int, ...]
    calls: int = 1
    dtype: torch.dtype = torch.float32
    spelled: str = ""

    def lacking(self) -> str | None:
        return places.lacks(self.dtype)

    def drawn(self, draw: Callable[..., torch.Tensor]) -> np.ndarray:
        """All draws of ``draw(shape, dtype=dtype)`` in row order, call after call, as float64.

        Raises AssertionError for a result of another shape or dtype.
        """
        results = [draw(self.shape, dtype=self.dtype) for _ in range(self.calls)]
        for result in (results[0], results[-1]):
            assert (tuple(result.shape), result.dtype) == (self.shape, self.dtype)
        return flat(torch.stack(results))

    @property
    def grain(self) -> float:
        """How far rounding to the dtype may move a level: numbers below one lie closer together than that."""
        return torch.finfo(self.dtype).eps

    @property
    def lags(self) -> list[int]:
        """Places between draws that may be confused: near ones, neighbours along each dimension, and two calls'."""
        steps = [math.prod(self.shape[dimension:]) for dimension in range(len(self.shape) + 1)]
        count = self.calls * math.prod(self.shape)
        return sorted({lag for lag in (*steps, 2, 3, 8, 16, 32, 200, 65_536) if lag <= count // 2})


def samples(*dtypes: torch.dtype, spellings: tuple[str, ...] = ("",)) -> Population:
    """Samples of 1,001 to 131,075 draws: rank 0 to 5, odd sizes, sizes past powers of two, and many short tensors,
    which torch fills in another way than long ones. The dtypes go round, and so do the spellings.
    """
    asked = [
        *(((131_075,), 1), ((31,), 400), ((181, 182), 1), ((8, 1, 64, 65), 1)),
        *(((7,), 2_900), ((3, 5, 7), 120), ((2, 3, 2, 5, 557), 1), ((), 4_000)),
    ]
    several = len(spellings)
    return among(
        *(
            Sample(*each, dtypes[turn % len(dtypes)], spellings[(turn + turn // several) % several])
            for turn, each in enumerate(asked)
        )
    ).rarely(*(Sample((), 1_001, dtype, spellings[0]) for dtype in dtypes))  # single numbers, of each dtype


def flat(draws: torch.Tensor) -> np.ndarray:
    """The elements in row order, as float64."""
    return draws.detach().cpu().double().numpy().reshape(-1)


def distance(levels: np.ndarray) -> float:
    """The Kolmogorov-Smirnov distance of ``levels`` from the uniform distribution on [0, 1]: the largest gap, over all
    points, between the fraction of the levels below it and the point itself.
    """
    ordered = np.sort(levels)
    below = np.arange(len(levels)) / len(levels)
    return float(max((ordered - below).max(), (below - ordered).max() + 1 / len(levels)))


def distance_bound(count: int, grain: float = 0) -> float:
    """The distance that ``count`` independent levels keep: the inequality of Dvoretzky, Kiefer and Wolfowitz, with
    Massart's constant, 2 exp(-2 n d²). ``grain``: how far rounding to the dtype may have moved a level.
    """
    return math.sqrt(math.log(2 / ALARM) / (2 * count)) + grain


def mean_bound(count: int, variance: float, largest: float, cases: int = 1) -> float:
    """How far from zero the mean of ``count`` independent numbers of mean zero may be, for all of ``cases`` such means.

    Each number is at most ``largest`` in size and has at most this ``variance``. Bernstein's inequality: the sum
    exceeds t with a probability of at most 2 exp(-t² / (2 (n variance + largest t / 3))).
    """
    log = math.log(2 * cases / ALARM)
    part = log * largest / 3
    return (part + math.sqrt(part**2 + 2 * log * count * variance)) / count


def lag_correlation(values: np.ndarray, lag: int) -> float:
    """The mean product of values that stand ``lag`` places apart; the values have mean zero."""
    return float((values[lag:] * values[:-lag]).mean())


def lag_bound(count: int, lag: int, variance: float, largest: float) -> float:
    """How far from zero the lag correlation of ``count`` independent values may be.

    Neighbouring products share a value, so they fall into two parts, blocks of ``lag`` products in turn, within each of
    which all are independent. Each part keeps its own bound; together they may be furthest off where both are equal.
    """
    return mean_bound((count - lag) // 2, variance**2, largest**2, cases=2)


def normal_levels(draws: np.ndarray) -> np.ndarray:
    """The fraction of the standard normal distribution below each draw: uniform, if the draws are standard normal.

    Read from a table with linear interpolation, off by at most 2**-21.
    """
    table, place = _normal_table(), np.clip((np.float64(draws) + 8) * 256, 0, 4096)
    before = np.fmin(place, 4095).astype(int)  # also of what is no number, whose level is none either
    return table[before] + (place - before) * (table[before + 1] - table[before])


@functools.cache
def _normal_table() -> np.ndarray:
    # chords of length h miss a curve by h² / 8 of its second derivative, which is 0.242 at most: h = 1/256
    return np.array([(1 + math.erf(point / 256 / math.sqrt(2))) / 2 for point in range(-2048, 2049)])


def look_independent_and_uniform(levels: np.ndarray, grain: float = 0, lags: Iterable[int] = (1, 2, 3, 8, 16)) -> None:
    """Raise AssertionError unless ``levels`` look like independent draws between 0 and 1, all equally likely.

    Compared are the ends, the distribution function (Kolmogorov-Smirnov), the second and third moments, and draws
    ``lags`` places apart. The message names what is off, and the bound. ``grain``: see ``distance_bound``.
    """
    count, centred = len(levels), levels - 1 / 2
    end = math.log(1 / ALARM) / count + grain  # a piece of that length is missed with probability (1 - end)^n < ALARM
    assert 0 <= levels.min() < end, f"the lowest level is {levels.min()}, at most {end:.6f}"
    assert 1 - end < levels.max() <= 1, f"the highest level is {levels.max()}, at least {1 - end:.6f}"
    off = distance(levels)
    assert off < distance_bound(count, grain), f"KS distance {off:.4f}, at most {distance_bound(count, grain):.4f}"
    # Kolmogorov's limit for many draws: it is below 0.15 / sqrt(n) with a probability of 3e-23.
    assert off > 0.15 / math.sqrt(count), f"KS distance {off:.6f}: more even than chance makes {count} draws"
    # Of (u - 1/2)²: mean 1/12, variance 1/180, at most 1/4, so at most 1/6 off its mean.
    spread = centred * centred - 1 / 12
    second, most = float(spread.mean()), mean_bound(count, 1 / 180, 1 / 6) + grain
    assert abs(second) < most, f"second moment off by {second:.5f}, at most {most:.5f}"
    # Of (u - 1/2)³: variance 1/448, at most 1/8; of (u - 1/2): variance 1/12, at most 1/2.
    third, most = float((centred * centred * centred).mean()), mean_bound(count, 1 / 448, 1 / 8) + grain
    assert abs(third) < most, f"third moment {third:.5f}, at most {most:.5f}"
    quarters = np.minimum((4 * levels).astype(int), 3)
    threes = 16 * quarters[:-2] + 4 * quarters[1:-1] + quarters[2:]
    for start in range(3):  # of three draws in a row, each may lie in any quarter, wherever the other two lie
        apart = threes[start::3]
        found = np.bincount(apart, minlength=64) / len(apart) - 1 / 64
        most = mean_bound(len(apart), 1 / 64, 1, cases=192) + grain
        assert np.abs(found).max() < most, (
            f"three in a row: frequency off by {np.abs(found).max():.5f}, at most {most:.5f}"
        )
    for lag in lags:
        found, most = lag_correlation(centred, lag), lag_bound(count, lag, 1 / 12, 1 / 2) + grain
        assert abs(found) < most, f"draws {lag} apart: mean product {found:.5f}, at most {most:.5f}"
        found, most = lag_correlation(spread, lag), lag_bound(count, lag, 1 / 180, 1 / 6) + grain
        assert abs(found) < most, f"spreads of draws {lag} apart: mean product {found:.6f}, at most {most:.6f}"


def occur_as_often(events: np.ndarray, probability: float, cases: int = 1, grain: float = 0) -> None:
    """Raise AssertionError unless as many of the independent ``events`` are true as their probability lets expect.

    ``events`` has an element, or a row, for each trial; a column is one of the ``cases`` looked at. ``grain``: how far
    rounding to the dtype may move the probability.
    """
    found = np.count_nonzero(events, axis=0) / len(events)
    most = mean_bound(len(events), probability * (1 - probability), max(probability, 1 - probability), cases) + grain
    worst = float(np.abs(found - probability).max())
    assert worst < most, f"frequencies {np.round(found, 4).tolist()} instead of {probability:.4f}, off by {most:.4f}"


def look_uniformly_shuffled(orders: np.ndarray) -> None:
    """Raise AssertionError unless each value occurs equally often at each place of independent permutations, and even
    permutations, of an even number of pairs out of order, as often as odd ones.

    ``orders`` has a permutation of 0, 1, ..., m - 1 in each row.
    """
    size = orders.shape[1]
    at_place = orders[:, :, None] == np.arange(size)
    occur_as_often(at_place.reshape(len(orders), -1), 1 / size, cases=size**2)
    inverted = np.triu(orders[:, :, None] > orders[:, None, :]).sum((1, 2))
    occur_as_often((inverted % 2).reshape(-1, 1), 1 / 2)


def look_mixed(order: np.ndarray, gaps: Iterable[int] = (1, 2, 3, 8)) -> None:
    """Raise AssertionError unless one long permutation has forgotten the order 0, 1, ..., m - 1.

    The number X of values left in place has E[X (X-1) ... (X-k+1)] = 1, so X reaches k with a probability of at most
    1/k!: for 15 below 1e-12. For places ``gap`` apart that hold neighbouring values it is 2**k/k! up to a few per cent
    for long permutations: for 22 below 1e-14. The number of pairs in order, among disjoint neighbours, is binomial.
    """
    kept = int((order == np.arange(len(order))).sum())
    assert kept < 15, f"{kept} of {len(order)} values are left in place"
    for gap in gaps:
        near = int((np.abs(order[gap:] - order[:-gap]) == 1).sum())
        assert near < 22, f"{near} neighbouring values stand {gap} places apart"
        blocks = order[: len(order) // (2 * gap) * 2 * gap].reshape(-1, 2, gap)
        occur_as_often((blocks[:, 0] < blocks[:, 1]).reshape(-1, 1), 1 / 2)
    # each pair (place i, place m - 1 - i) holds a larger and a smaller value in either order
    half = len(order) // 2
    occur_as_often((order[:half] < order[::-1][:half]).reshape(-1, 1), 1 / 2)
