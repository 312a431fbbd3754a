"""Initialisers: every function of ``torch.nn.init`` that fills a tensor, and the law that each must follow.

The laws are written out here, from shapes by arithmetic: a weight of shape (out, in, *kernel) has the fan-in
in · ∏kernel and the fan-out out · ∏kernel; Xavier's standard deviation is gain · √(2 / (fan-in + fan-out)), Kaiming's
gain / √fan; a uniform form lies between ±√3 standard deviations.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch.nn import init

from populations import places
from populations.comparing import host, untouched
from populations.core import Population
from populations.statistics import look_independent_and_uniform, mean_bound, normal_levels
from populations.twins import FLOATS, SINGLE_AND_DOUBLE, WRITABLE, Twin

# Of 15,000 elements or a little more: with the second call 30,000 draws, of which a width wrong by 3 % is seen.
MATRICES = ((120, 125), (125, 120), (15, 10, 100), (20, 30, 5, 5), (9, 12, 4, 5, 7))
VECTORS = ((15_001,), (3, 5, 7, 11, 13))
SMALL = ((), (3, 5), (5, 3), (1, 1), (4, 3, 2), (2, 3, 3, 3), (2, 2, 1, 3, 3), (65, 33))
LONG = ((65_537,), (257, 256), (6, 2, 5_463))  # past what 16 bits count
KERNELS = dict.fromkeys((f"conv{kind}{rank}d" for kind in ("", "_transpose") for rank in (1, 2, 3)), 1)
GAINS = {"linear": 1, **KERNELS, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


@dataclass(frozen=True)
class Filling:
    """A recipe: a call of the initialiser ``name`` for a tensor of this shape, dtype, layout and place."""

    name: str
    arguments: tuple[tuple[str, object], ...] = ()
    shape: tuple[int, ...] = (3, 5)
    dtype: torch.dtype = torch.float32
    layout: str = "contiguous"
    second: bool = False

    def lacking(self) -> str | None:
        return places.lacks(self.dtype)

    def blank(self, value: float = math.nan) -> torch.Tensor:
        """A tensor to fill: each element is ``value``, and beside them lies what no initialiser may touch."""
        # sparse_ draws its indices on the default device, and an index of one device reaches no tensor of another
        twin = Twin(self.dtype, self.shape, self.layout, second=self.second and self.name != "sparse_")
        tensor = twin.tensor(np.zeros(self.shape, np.float32))
        return tensor.fill_(value)

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        return getattr(init, self.name)(tensor, **dict(self.arguments))

    def drawn(self) -> np.ndarray:
        """The values of a tensor filled anew, as float64. Raises AssertionError for a write beside its elements.

        A parameter is filled, and what lies by columns or with gaps through a view.
        """
        tensor = self.blank()
        through_a_view = self.layout in ("transposed", "gappy")
        self(tensor[...] if through_a_view else torch.nn.Parameter(tensor))
        untouched(tensor)
        return host(tensor).astype(np.float64)

    # ── laws ──

    def std(self) -> float:
        """The standard deviation of the Xavier and Kaiming forms."""
        given, kernel = dict(self.arguments), math.prod(self.shape[2:])
        fan_in, fan_out = self.shape[1] * kernel, self.shape[0] * kernel
        if self.name.startswith("xavier"):
            return given.get("gain", 1) * math.sqrt(2 / (fan_in + fan_out))
        activation, slope = given.get("nonlinearity", "leaky_relu"), given.get("a", 0)
        gain = math.sqrt(2 / (1 + slope**2)) if activation == "leaky_relu" else GAINS[activation]
        return gain / math.sqrt(fan_out if given.get("mode") == "fan_out" else fan_in)

    def levels(self, values: np.ndarray) -> np.ndarray:
        """The fraction of the law's distribution below each value."""
        given = dict(self.arguments)
        if self.name.endswith("uniform_"):
            bound = 0 if self.name == "uniform_" else math.sqrt(3) * self.std()
            low, high = (given.get("a", 0), given.get("b", 1)) if self.name == "uniform_" else (-bound, bound)
            return (values - low) / (high - low)
        mean, std = given.get("mean", 0), given.get("std", 1) if self.name in PLAIN else self.std()
        levels = normal_levels((values - mean) / std)
        if self.name != "trunc_normal_":
            return levels
        low, high = normal_levels((np.array([given.get("a", -2), given.get("b", 2)]) - mean) / std)
        return (levels - low) / (high - low)

    def grain(self) -> float:
        """How far the dtype's rounding may move a level.

        A uniform draw has the dtype's digits: half a unit for itself, for the bounds, the product and the sum. A normal
        one is made of two of them, u and v, as √(-2 ln u) cos(2πv): v is off by eps / 2 and moves it by up to
        π · eps · √(-2 ln (eps / 2)), at most 4 π eps; a level changes by at most 0.4 of that, and as much again covers
        u and the rounding of bounds and result.
        """
        return 10 * torch.finfo(self.dtype).eps

    def follow(self, *draws: np.ndarray) -> None:
        """Raise AssertionError unless the draws of several calls look like independent ones from the law.

        A complex normal number of mean 0 has two parts that are independent, and half of the variance in each.
        """
        if self.dtype.is_complex:
            draws = [math.sqrt(2) * np.concatenate([each.real, each.imag]) for each in draws]
        draws = [each.astype(np.float64) for each in draws]
        parts, grain = [self.levels(each.reshape(-1)) for each in draws], self.grain()
        levels = np.concatenate(parts)
        assert -grain <= levels.min() <= levels.max() <= 1 + grain, f"beyond its bounds: {levels.min()}, {levels.max()}"
        steps = {math.prod(self.shape[dimension:]) for dimension in range(len(self.shape) + 1)} | {2, 3, 8, 16, 65_536}
        look_independent_and_uniform(
            np.clip(levels, 0, 1), grain, sorted(lag for lag in steps if lag <= len(levels) // 2)
        )
        # What may repeat or mirror what: the other half of all draws, the rows from the end on, the call before.
        pairs = [("first and last", levels, levels[::-1], len(levels) // 2)]
        for each, part in zip(draws, parts):
            rows = part.reshape(len(each), -1)
            pairs.append(("rows from both ends", part, rows[::-1].ravel(), len(rows) // 2 * rows.shape[1]))
            pairs.append(("both halves", part, part[len(part) // 2 :], len(part) // 2))
        pairs += [("two calls", *pair, min(map(len, pair))) for pair in itertools.pairwise(parts)]
        for what, one, other, count in pairs:
            found = float(((one[:count] - 0.5) * (other[:count] - 0.5)).mean())
            most = mean_bound(count, 1 / 144, 1 / 4) + grain
            assert abs(found) < most, f"{what} are alike: mean product {found:.5f}, at most {most:.5f}"
        if self.name.endswith("normal_") and self.name != "trunc_normal_" and self.dtype in SINGLE_AND_DOUBLE:
            given = dict(self.arguments)
            z = np.concatenate([each.reshape(-1) for each in draws]) - given.get("mean", 0)
            look_normal_to_the_fourth_moment(z / (given.get("std", 1) if self.name in PLAIN else self.std()))


def look_normal_to_the_fourth_moment(z: np.ndarray) -> None:
    """Raise AssertionError unless the third and the fourth moment of ``z`` are those of standard normal draws.

    Compared are the means of z³ - 3z and z⁴ - 6z² + 3, the Hermite polynomials, with z cut off at ±3.5, where they stay
    below 33 and 80. Integrated, their means are 0 and -0.01949, their variances below 6 and 18.93. A sum of four
    uniform numbers, which the distribution function hardly tells from a normal one, has -0.30 for the second.
    """
    cut = np.clip(z, -3.5, 3.5)
    square = cut * cut
    for order, values, mean, variance, largest in (
        ("third", (square - 3) * cut, 0, 6, 33),
        ("fourth", (square - 6) * square + 3, -0.01949, 18.93, 80),
    ):
        off, most = float(values.mean()) - mean, mean_bound(len(z), variance, largest)
        assert abs(off) < most, f"{order} moment off by {off:.3f}, at most {most:.3f}"


# Normal draws of every kind: mean, standard deviation, shape, dtype and layout.
NORMALS = [
    Filling("normal_", (("mean", mean), ("std", std)), *rest)
    for mean, std, *rest in (
        (0, 0.01, (300, 50), torch.float32, "contiguous"),
        (-3, 0.5, (15, 1, 10, 10, 10), torch.float64, "gappy"),
        (0, 50, (70_013,), torch.float32, "transposed"),
        (0, 0.01, (300, 50), torch.float32, "offset"),
        (-3, 0.5, (15_013,), torch.float64, "channels last"),
        (0, 0.01, (300, 50), torch.bfloat16, "contiguous"),
        (-3, 0.5, (70, 213), torch.float16, "gappy"),
        (0, 0.5, (71, 113), torch.complex64, "transposed"),
        (2, 0.5, (3,), torch.float32, "offset"),
        (-1, 2, (3, 1), torch.float64, "transposed"),
    )
]
PLAIN = ("normal_", "trunc_normal_")  # their width is given, not computed
# Calls with a random law: name, arguments, and whether the tensor needs a fan.
RANDOM = [
    *(("uniform_", arguments, False) for arguments in ({}, {"a": 2, "b": 5}, {"a": -0.3, "b": 0.3})),
    *(("normal_", arguments, False) for arguments in ({}, {"std": 0.2}, {"mean": 5, "std": 2})),
    *(
        ("trunc_normal_", arguments, False)
        for arguments in ({}, {"a": -0.5}, {"mean": 1, "std": 0.5, "a": 0.5, "b": 2})
    ),
    *((f"xavier_{form}_", arguments, True) for form in ("normal", "uniform") for arguments in ({}, {"gain": 3})),
    *(
        (f"kaiming_{form}_", arguments, True)
        for form in ("normal", "uniform")
        for arguments in (
            {},
            {"mode": "fan_out"},
            {"a": 0.5},
            {"nonlinearity": "relu"},
            {"nonlinearity": "linear", "mode": "fan_out"},
            {"nonlinearity": "tanh"},
        )
    ),
    *((f"kaiming_{form}_", {"a": 3, "mode": "fan_out"}, True) for form in ("normal", "uniform")),
    ("kaiming_uniform_", {"a": 0.5, "nonlinearity": "relu"}, True),  # a is the slope of leaky_relu alone
    *(
        (f"kaiming_{form}_", {"nonlinearity": activation}, True)
        for activation in ("selu", "sigmoid", "conv2d")
        for form in ("normal", "uniform")
    ),
]
EXACT = [
    *(("constant_", {"val": value}) for value in (-0.5, 0, 3, 0.1)),
    *(("zeros_", {}), ("ones_", {}), ("eye_", {}), ("dirac_", {}), ("dirac_", {"groups": 2})),
    *(("normal_", {"mean": 3, "std": 0}), ("uniform_", {"a": 2, "b": 2})),  # of no width
]
# The rest have no law of single elements; and all of them fill a small matrix.
OTHER = [("orthogonal_", {}), ("orthogonal_", {"gain": 2.5}), ("sparse_", {"sparsity": 0.3})]


RELEASE = tuple(map(int, torch.__version__.split(".")[:2]))
# What the CPU had not yet: erfinv of float16 before torch 2.1; eye of bfloat16, missing in 2.2.2 and there in 2.3.
MISSING = {("trunc_normal_", torch.float16): RELEASE < (2, 1), ("eye_", torch.bfloat16): RELEASE < (2, 3)}


# The least and the largest number of dimensions that an initialiser takes; the largest tried is 5.
RANKS = {f"{law}_{form}_": (2, 5) for law in ("xavier", "kaiming") for form in ("uniform", "normal")}
RANKS |= {"orthogonal_": (2, 5), "eye_": (2, 2), "sparse_": (2, 2), "dirac_": (3, 5)}


def fits(name: str, shape: tuple[int, ...], dtype: torch.dtype, layout: str = "contiguous") -> bool:
    """Whether an initialiser takes such a tensor."""
    low, high = RANKS.get(name, (0, 5))
    plain = dtype in SINGLE_AND_DOUBLE and (len(shape) == 2 or layout in ("contiguous", "offset"))
    return low <= len(shape) <= high and not MISSING.get((name, dtype)) and (name != "orthogonal_" or plain)


def random_fillings(dtypes: Sequence[torch.dtype] = FLOATS) -> Population:
    """Fillings with 15,000 draws or more: every run meets each call, each shape, layout and dtype."""
    must = []
    for turn, (name, arguments, fan) in enumerate(RANDOM):
        shapes = MATRICES if fan else (*VECTORS, *MATRICES)
        shape, layout = shapes[turn % len(shapes)], WRITABLE[(turn + turn // 5) % len(WRITABLE)]
        taken = [dtype for dtype in dtypes if fits(name, shape, dtype)]
        must.append(Filling(name, tuple(arguments.items()), shape, taken[turn % len(taken)], layout, turn % 4 > 1))
    must += [
        Filling(name, shape=LONG[1], dtype=dtypes[0]) for name in ("uniform_", *PLAIN)
    ]  # of which the rest are made
    drawn = st.builds(
        lambda call, shape, *rest: Filling(call[0], tuple(call[1].items()), shape, *rest),
        st.sampled_from(RANDOM),
        st.sampled_from(MATRICES),
        st.sampled_from(list(dtypes)),
        st.sampled_from(WRITABLE),
        st.booleans(),
    ).filter(lambda filling: fits(filling.name, filling.shape, filling.dtype))
    return Population(tuple(must), drawn)


def fillings(
    calls: Sequence[tuple] = (*RANDOM, *EXACT, *OTHER),
    dtypes: Sequence[torch.dtype] = FLOATS,
    shapes: Sequence[tuple[int, ...]] = SMALL,
) -> Population:
    """Fillings of small tensors by these calls: every run meets each call in each dtype that it takes, with several
    shapes and layouts, and each initialiser on a long tensor.
    """
    calls = [each[:2] for each in calls]
    must, firsts = [], {name: turn for turn, (name, _) in reversed([*enumerate(calls)])}
    for turn, (name, arguments) in enumerate(calls):
        for index, dtype in enumerate(dtypes):
            layout = WRITABLE[(turn + 2 * index) % len(WRITABLE)]
            taken = [shape for shape in shapes if fits(name, shape, dtype, layout)]
            if taken:
                shape = taken[(turn + index) % len(taken)]
                must.append(Filling(name, tuple(arguments.items()), shape, dtype, layout, (turn + index) % 2 > 0))
        taken = [shape for shape in LONG if fits(name, shape, dtypes[0]) and firsts[name] == turn]
        must += [Filling(name, tuple(arguments.items()), shape, dtypes[0]) for shape in taken[turn % 3 :][:1]]
    drawn = st.builds(
        lambda call, *rest: Filling(call[0], tuple(call[1].items()), *rest),
        st.sampled_from(calls),
        st.sampled_from(list(shapes)),
        st.sampled_from(list(dtypes)),
        st.sampled_from(WRITABLE),
        st.booleans(),
    ).filter(lambda filling: fits(filling.name, filling.shape, filling.dtype, filling.layout))
    return Population(tuple(must), drawn)
