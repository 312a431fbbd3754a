"""2.1 Creating tensors: random numbers, for every dtype, any sizes and any spelling.

The bounds are those of populations.statistics: crossed by right samplers less than once in 1e12 comparisons.
"""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, Twin, agree, among, each, over, twins, untouched
from populations.comparing import host
from populations.places import in_a_thread, lacks
from populations.statistics import Sample, flat, look_independent_and_uniform, normal_levels, occur_as_often, samples

claim = pytest.mark.claim


def into_gaps(function):
    """The function with an output that has gaps between its elements."""

    def draw(*shape, dtype):
        output, _ = Twin(dtype, shape[0], "gappy")
        assert function(*shape, out=output) is output
        untouched(output)
        return output

    return draw


def from_a_generator(function):
    """The function, which draws from a generator of its own."""
    generator = torch.Generator(torch.empty(0).device).manual_seed(torch.initial_seed())
    return lambda shape, dtype: function(shape, dtype=dtype, generator=generator)


ASKED = {
    "shape": lambda sample: sample,
    "sizes": lambda sample: lambda shape, dtype: sample(*shape or [()], dtype=dtype),
    "keyword": lambda sample: lambda shape, dtype: sample(size=list(shape), dtype=dtype),
    "out": into_gaps,
    "generator": from_a_generator,
}
GENERATED = (Sample((31,), 300, dtype, "generator") for dtype in FLOATS)


@claim("rand-is-standard-uniform", "randn-is-standard-normal")
@over(EVERY_MODE, name=each("rand", "randn"), sample=samples(*FLOATS, spellings=tuple(ASKED)).rarely(*GENERATED))
def test_draws_are_independent_and_uniform_or_normal_whatever_the_sizes(name, sample):
    function = getattr(torch, name)
    draws = sample.drawn(ASKED[sample.spelled](function))
    levels = draws if name == "rand" else normal_levels(draws)

    assert levels.max() < 1
    look_independent_and_uniform(levels, sample.grain, sample.lags)
    assert function(2).dtype == torch.float32
    assert function(3, 0, 2).shape == (3, 0, 2)


@claim("randn-is-standard-normal")
@over(side=among(1, -1), dtype=among(*SINGLE_AND_DOUBLE))
def test_tails_of_normal_draws_are_those_of_the_bell_on_both_sides(side, dtype):
    draws = side * torch.randn(1_000_001, dtype=dtype).cpu().numpy()

    for point, beyond in [(2, 0.0227501319), (3, 0.0013498980), (4, 0.0000316712)]:
        occur_as_often(draws > point, beyond)


LONG = (
    *(((180, 180), 2, torch.float64, "shape"), ((101,), 9, torch.float64, "keyword")),
    *(((150_001,), 1, torch.float64, "sizes"), ((70, 300), 2, torch.float64, "out")),
)


@claim("rand-is-standard-uniform", "randn-is-standard-normal")
@over(
    name=among("rand", "randn"),
    # what is drawn, and sizes of draws before it, since the seed
    case=among(
        *((Sample(*case), ()) for case in LONG),
        *((Sample((257,), 4, torch.float64, "shape"), before) for before in ((0,), (1,), (2, 1, 300))),
    ),
)
def test_no_draw_and_no_mirror_image_of_a_draw_recurs(name, case):
    sample, before = case
    torch.manual_seed(torch.initial_seed())
    for size in before:
        torch.empty(size).uniform_()
    draws = sample.drawn(ASKED[sample.spelled](getattr(torch, name)))
    distances = np.abs(draws - 1 / 2 if name == "rand" else draws)

    # two of 150,001 draws among 2^52 distances coincide 2.5e-6 times on average: thrice with a probability below 1e-17
    assert len(np.unique(distances)) > len(draws) - 3


@claim("rand-is-standard-uniform", "randn-is-standard-normal")
@over(name=among("rand", "randn"), dtype=among("complex64", "complex128"))
def test_both_parts_of_complex_draws_are_uniform_or_normal_of_half_the_variance(name, dtype):
    parts = flat(torch.view_as_real(getattr(torch, name)(20_000, dtype=getattr(torch, dtype))))
    look_independent_and_uniform(parts if name == "rand" else normal_levels(parts * 2**0.5))


DRAWS = {
    "rand": lambda **rest: torch.rand(3, 4, **rest),
    "randn": lambda **rest: torch.randn(3, 4, **rest),
    "randn of an odd count": lambda **rest: torch.randn(3, 5, **rest),
    "normal": lambda **rest: torch.normal(torch.zeros(12), 1.0, **rest),
    "normal of two numbers": lambda **rest: torch.normal(2.0, 3.0, (12,), device=torch.empty(0).device, **rest),
    "uniform_": lambda **rest: torch.empty(3, 4).uniform_(-3, 5, **rest),
    "randperm": lambda **rest: torch.randperm(100, **rest),
    "long randperm": lambda **rest: torch.randperm(2000, **rest),
    "randperm into an output": lambda **rest: torch.randperm(2000, out=torch.empty(2000, dtype=torch.int64), **rest),
}
DRAWS |= {f"{name} in a thread": lambda draw=draw, **rest: in_a_thread(draw, **rest) for name, draw in DRAWS.items()}


@claim("rand-is-standard-uniform", "randn-is-standard-normal", "normal-takes-mean-and-std", "randperm-permutes")
@claim("uniform-is-a-torch-function", truth=True)
@over(name=among(*DRAWS))
def test_the_seed_determines_the_draws_and_a_second_call_differs(name):
    torch.manual_seed(7)
    first, second = DRAWS[name]().tolist(), DRAWS[name]().tolist()
    torch.manual_seed(7)
    again = DRAWS[name]().tolist()
    torch.manual_seed(7)  # after an odd number of draws, too
    once_more = DRAWS[name]().tolist()
    torch.manual_seed(8)
    other = DRAWS[name]().tolist()

    assert first == again == once_more
    assert first not in (second, other)
    generator = torch.Generator(torch.empty(0).device).manual_seed(7)  # apart from the one of all others
    assert DRAWS[name](generator=generator).tolist() == first
    assert DRAWS[name](generator=generator).tolist() == second


@claim("rand-is-standard-uniform", "randn-is-standard-normal", "normal-takes-mean-and-std", "randperm-permutes")
@pytest.mark.cpu
@over(name=among(*DRAWS), before=each(0, 1, 4))  # of an odd number of normal draws the second of a pair is kept
def test_draws_after_a_state_is_set_again_or_a_fork_has_ended_are_those_that_followed_it(name, before):
    generator = torch.Generator()
    torch.randn(before), torch.randn(before, generator=generator)
    state, apart = torch.get_rng_state(), generator.get_state()
    first, other = DRAWS[name]().tolist(), DRAWS[name](generator=generator).tolist()
    torch.set_rng_state(state)
    generator.set_state(apart)
    with torch.random.fork_rng(devices=[]):
        assert DRAWS[name]().tolist() == first
        torch.manual_seed(before)
    assert (DRAWS[name]().tolist(), DRAWS[name](generator=generator).tolist()) == (first, other)


@claim("rand-is-standard-uniform", "randn-is-standard-normal")
@over(seed=among(0, 1, -1, 2**31 - 1, 2**32, 2**63 - 1, -(2**63), 2**64 - 1), name=each("rand", "randn"))
def test_after_any_seed_the_draws_are_random(seed, name):
    """The mean of 4,096 is off by 1/64 of a standard deviation; 0.1 are more than six of those."""
    torch.manual_seed(seed)
    first, second = host(getattr(torch, name)(2, 4096)).astype(np.float64)
    mean, deviation = (0.5, 12**-0.5) if name == "rand" else (0, 1)
    for draws in (first, second):
        assert abs(draws.mean() - mean) < 0.1 * deviation
        assert draws.std() == pytest.approx(deviation, rel=0.1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


MEANS, STDS = 10.0 * (np.arange(32_769) % 7) - 30, np.arange(32_769) % 5 + 0.5
NORMALS = {
    "two tensors": lambda means, stds: (torch.normal(means, stds), MEANS, STDS),
    "keywords": lambda means, stds: (torch.normal(mean=means, std=stds), MEANS, STDS),
    "table": lambda means, stds: (torch.normal(means.view(-1, 9), stds.view(-1, 9)).view(-1), MEANS, STDS),
    "five dimensions": lambda *both: (torch.normal(*(x.view(9, 1, 11, 331, 1) for x in both)).view(-1), MEANS, STDS),
    "gaps": lambda means, stds: (torch.normal(gappy(means), gappy(stds)), MEANS, STDS),
    "means": lambda means, stds: (torch.normal(means, 0.5), MEANS, 0.5),
    "std by name": lambda means, stds: (torch.normal(means, std=20.0), MEANS, 20.0),
    "stds": lambda means, stds: (torch.normal(-3.0, stds), -3.0, STDS),
    "whole numbers": lambda means, stds: (torch.normal(-2, 100, size=means.shape), -2, 100),
    "sizes by position": lambda means, stds: (torch.normal(500.0, 0.25, tuple(means.shape)), 500, 0.25),
    "out": lambda means, stds: (
        *(into_gaps(lambda *_, out: torch.normal(means, stds, out=out))(means.shape, dtype=means.dtype), MEANS, STDS),
    ),
    "into columns": lambda means, stds: (
        torch.normal(
            *(each.view(-1, 9) for each in (means, stds)), out=torch.empty(9, len(means) // 9).to(means).t()
        ).reshape(-1),
        *(MEANS, STDS),
    ),
    "repeated columns and rows": lambda means, stds: (
        *(torch.normal(means[:700, None].expand(700, 45), stds[:45].expand(700, 45)), MEANS[:700, None], STDS[:45]),
    ),
    "column and row": lambda means, stds: (torch.normal(means[:700, None], stds[:45]), MEANS[:700, None], STDS[:45]),
}


def gappy(x):
    """The same values, each followed by a zero in memory."""
    return torch.stack([x, torch.zeros_like(x)], -1)[..., 0]


@claim("normal-takes-mean-and-std")
@over(EVERY_MODE, form=among(*NORMALS))
def test_less_its_mean_and_over_its_std_each_draw_is_standard_normal_and_independent(form):
    dtype = {"keywords": torch.float64, "gaps": torch.float64, "table": torch.float16}.get(form, torch.float32)
    means, stds = (torch.tensor(each, dtype=torch.float32 if lacks(dtype) else dtype) for each in (MEANS, STDS))
    draws, mean, std = NORMALS[form](means, stds)

    assert not torch.equal(draws, NORMALS[form](means, stds)[0])
    scores = (draws.detach().cpu().double().numpy() - mean) / std
    assert draws.dtype == means.dtype
    # float32 moves a draw near 500 by 2^-16, over a std of 1/4; float16, rounding twice, one near 32 by 2^-6, over 1/2
    grain = 2**-5 if means.dtype == torch.float16 else 2**-14
    look_independent_and_uniform(normal_levels(scores.reshape(-1)), grain, (1, 2, 5, 7, 8, 16, 45, 10_923))
    agree(means, MEANS)
    agree(stds, STDS)


@claim("normal-takes-mean-and-std")
@over(EVERY_MODE, twin=twins(FLOATS))
def test_a_std_of_zero_gives_the_mean(twin):
    means, array = twin

    agree(torch.normal(means, 0.0), array)
    agree(torch.normal(means, torch.zeros_like(means)), array)


@claim("normal-takes-mean-and-std", truth=True)
@over(
    EVERY_MODE,
    refused=among(
        *((TypeError, 0.0, 1.0), (TypeError, 2, 3), (TypeError, -3.0, 0.5), (TypeError, 0, 1.0)),  # they need a size
        *((RuntimeError, [0.0, 0.0], std) for std in (-1.0, -1e-6, [1.0, -1.0], [1.0, 1.0, 1.0])),
        *((RuntimeError, 0.0, [1.0, -1.0]), (RuntimeError, 3, -1e-6, (2,)), (RuntimeError, 0.0, -1.0, (2, 3))),
    ),
    options=among((), ("out",)),
)
def test_two_plain_numbers_a_negative_std_and_shapes_that_do_not_broadcast_are_refused(refused, options):
    error, *numbers = refused
    given = [torch.tensor(each) if isinstance(each, list) else each for each in numbers]
    with pytest.raises(error):
        torch.normal(*given, **{option: torch.empty(2) for option in options})


@claim("normal-takes-mean-and-std", truth=True)
@over(shape=among((), (2, 3), (1, 3), (2, 1, 1), (4, 1, 3)))
def test_means_and_stds_meet_element_by_element_in_their_broadcast_shape(shape):
    means = 1000.0 * np.arange(np.prod(shape, dtype=int)).reshape(shape)
    stds = np.array([[0.0], [1e-3]])
    x = torch.normal(*(torch.tensor(each, dtype=torch.float32) for each in (means, stds)))

    expected = means + np.zeros_like(stds)
    assert x.shape == expected.shape
    off = np.abs(x.cpu().numpy() - expected)
    assert (off <= 8e-3 + 1e-3).all()  # 8 standard deviations, beyond which lie 1e-15 of all draws, and a rounding
    assert (off[..., 0, :] == 0).all()


@claim("normal-takes-mean-and-std", truth=True)
@pytest.mark.cpu  # elsewhere a kernel that is missing says the same
@over(EVERY_MODE, refused=among((torch.arange(3), 1.0), (0.0, torch.arange(3)), (torch.ones(2, dtype=torch.int8), 0.5)))
def test_whole_numbers_are_refused(refused):
    with pytest.raises(RuntimeError):
        torch.normal(*refused)


@claim("uniform-is-a-torch-function", truth=True)
@over(sample=samples(*FLOATS, spellings=("distribution", "gaps", "transposed", "method", "keywords", "end")))
def test_draws_between_from_and_to_are_independent_and_uniform_and_fill_the_tensor_itself(sample):
    # the digits of a double, which float32 has not; an end alone goes with a start of 0
    low = 0 if sample.spelled == "end" else 2**24 if sample.dtype == torch.float64 else -3
    distribution = torch.distributions.Uniform(*torch.tensor([low, low + 8], dtype=sample.dtype))
    back = list(range(len(sample.shape)))[::-1]
    draw = {
        "distribution": lambda shape, dtype: distribution.sample(shape),
        "gaps": into_gaps(lambda _, out: out.uniform_(low, low + 8)),
        "transposed": lambda shape, dtype: torch.empty(shape[::-1], dtype=dtype).permute(back).uniform_(low, low + 8),
        "method": lambda shape, dtype: torch.empty(shape, dtype=dtype).uniform_(low, low + 8),
        "keywords": lambda shape, dtype: torch.empty(shape, dtype=dtype).uniform_(to=low + 8, **{"from": low}),
        "end": lambda shape, dtype: torch.empty(shape, dtype=dtype).uniform_(to=8),
    }[sample.spelled]

    look_independent_and_uniform((sample.drawn(draw) - low) / 8, sample.grain * max(1, low), sample.lags)


@claim("uniform-is-a-torch-function", truth=True)
@over(shape=among((3,), (2, 3)), dtype=among(*SINGLE_AND_DOUBLE))
def test_each_element_of_a_distribution_has_bounds_of_its_own(shape, dtype):
    low = 10 * torch.arange(np.prod(shape), dtype=dtype).view(shape)
    draws = torch.distributions.Uniform(low, low + 5).sample((20,))

    assert ((draws >= low) & (draws <= low + 5)).all()
    agree(torch.empty(shape, dtype=dtype).uniform_(-3, -3), np.full(shape, -3))
    # no two alike but by chance, one pair in 140,000: six of 7,140 pairs with a probability below 1e-10
    assert (draws - low).unique().numel() > 20 * low.numel() - 6
