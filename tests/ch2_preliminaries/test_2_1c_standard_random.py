"""2.1 Creating tensors: standard random numbers

A random tensor is a sample: its elements are draws from a distribution, each independent of the others. A test cannot
know the draws, but it knows how far a large sample may stray from its distribution. For n draws, the
Dvoretzky-Kiefer-Wolfowitz inequality says that the empirical distribution function (the fraction of draws below a
point) differs from the true one by more than d, at any point, with probability at most 2 exp(-2 n d^2). Every bound
below is chosen so that a correct sampler crosses it less than once in 1e9 runs, whatever the seed.
"""

import math

import pytest
import torch

claim = pytest.mark.claim

N = 32_000


def dkw_distance(n):
    """The distance between two distribution functions that n draws exceed with probability at most 1e-10."""
    return math.sqrt(math.log(2 / 1e-10) / (2 * n))


def fraction_below(x, point):
    return (x < point).double().mean().item()


def normal_cdf(z):
    return (1 + math.erf(z / math.sqrt(2))) / 2


# Draws asked for as one vector, as a rectangle, and as many short vectors: torch fills short tensors in another way.
LARGE = [
    pytest.param((N,), 1, id="vector"),
    pytest.param((160, 200), 1, id="rectangle"),
    pytest.param((5,), 4000, id="many-short"),
]

# ── rand-is-standard-uniform ──


@claim("rand-is-standard-uniform")
@pytest.mark.parametrize("size, calls", LARGE)
def test_the_fraction_of_uniform_draws_below_p_is_p(size, calls):
    x = torch.cat([torch.rand(size).flatten() for _ in range(calls)])

    for p in (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99):
        assert abs(fraction_below(x, p) - p) < dkw_distance(len(x))


@claim("rand-is-standard-uniform")
def test_uniform_draws_have_mean_one_half_and_variance_one_twelfth():
    x = torch.rand(N).double()

    # Standard errors: sqrt(1/12 / N) = 0.0016 and sqrt(1/180 / N) = 0.0004; 7 of them, false alarm below 1e-11.
    assert abs(x.mean().item() - 1 / 2) < 7 * math.sqrt(1 / 12 / N)
    assert abs((x - 1 / 2).square().mean().item() - 1 / 12) < 7 * math.sqrt(1 / 180 / N)


@claim("rand-is-standard-uniform")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_uniform_draws_fill_the_interval_from_zero_to_one_without_one(dtype):
    x = torch.rand(N, dtype=dtype)

    assert x.dtype == dtype
    assert x.min().item() >= 0
    assert x.max().item() < 1
    # All of N draws miss an end piece of length 0.001 with probability 0.999^N < 1e-13; the upper piece is twice as
    # long, for float16, whose draws lie 0.0005 apart.
    assert x.min().item() < 0.001
    assert x.max().item() > 0.998


@claim("rand-is-standard-uniform")
def test_rand_has_the_sizes_asked_for():
    assert torch.rand(2, 3).shape == (2, 3)
    assert torch.rand(()).shape == ()
    assert torch.rand(4, 0, 1).shape == (4, 0, 1)
    assert torch.rand(2).dtype == torch.float32


# ── randn-is-standard-normal ──


@claim("randn-is-standard-normal")
@pytest.mark.parametrize("size, calls", LARGE)
def test_the_fraction_of_normal_draws_below_z_is_the_distribution_function(size, calls):
    x = torch.cat([torch.randn(size).flatten() for _ in range(calls)])

    for z in (-2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5):
        assert abs(fraction_below(x, z) - normal_cdf(z)) < dkw_distance(len(x))


@claim("randn-is-standard-normal")
@pytest.mark.parametrize("size, calls", LARGE)
def test_normal_draws_have_mean_zero_and_variance_one(size, calls):
    x = torch.cat([torch.randn(size).flatten() for _ in range(calls)]).double()

    # Standard errors: sqrt(1 / n) and sqrt(2 / n); 7.5 of them, false alarm below 1e-11 (the chi-square tail included).
    assert abs(x.mean().item()) < 7.5 * math.sqrt(1 / len(x))
    assert abs(x.square().mean().item() - 1) < 7.5 * math.sqrt(2 / len(x))


@claim("randn-is-standard-normal")
def test_the_mean_fourth_power_of_normal_draws_is_three():
    """Other bells of variance 1 have other tails: the sum of 12 uniform draws, less 6, has 2.9 here."""
    n = 2_500_000
    x = torch.randn(n).double()

    # Standard error: sqrt(96 / n) = 0.0062; 8 of them, false alarm below 1e-9 (the heavy tail of x^4 included).
    assert abs(x.pow(4).mean().item() - 3) < 8 * math.sqrt(96 / n)


@claim("randn-is-standard-normal")
@pytest.mark.parametrize("side", [1, -1], ids=["upper", "lower"])
def test_normal_draws_have_both_tails(side):
    x = side * torch.randn(N)

    # Of N draws 728 are expected beyond 2, with standard deviation 26.7: 7 of them, false alarm below 1e-10.
    assert abs((x > 2).sum().item() - 728) < 7 * 26.7
    # 43.2 are expected beyond 3 (Poisson: fewer than 7 or more than 100 with probability below 1e-11),
    # and 1.01 beyond 4 (Poisson: 15 or more with probability below 1e-12).
    assert 7 <= (x > 3).sum().item() <= 100
    assert (x > 4).sum().item() < 15


@claim("randn-is-standard-normal")
def test_randn_has_the_sizes_asked_for():
    assert torch.randn(2, 3).shape == (2, 3)
    assert torch.randn(()).shape == ()
    assert torch.randn(4, 0, 1).shape == (4, 0, 1)
    assert torch.randn(2).dtype == torch.float32
    assert torch.randn(2, dtype=torch.float64).dtype == torch.float64


# ── both: draws are independent ──

# By name, so that each test calls the function that torch has when the test runs.
SAMPLERS = [
    pytest.param("rand", 1 / 2, 1 / 12, marks=claim("rand-is-standard-uniform"), id="rand"),
    pytest.param("randn", 0, 1, marks=claim("randn-is-standard-normal"), id="randn"),
]


@pytest.mark.parametrize("name, mean, variance", SAMPLERS)
@pytest.mark.parametrize("lag", [1, 2, 8, 16, 200])
def test_draws_some_places_apart_are_uncorrelated(name, mean, variance, lag):
    sample = getattr(torch, name)
    x = (sample(160, 200).double().flatten() - mean) / math.sqrt(variance)

    # The average of N - lag products of mean 0 and variance 1: 7.5 standard errors, false alarm below 1e-11.
    assert abs((x[lag:] * x[:-lag]).mean().item()) < 7.5 / math.sqrt(N - lag)


@pytest.mark.parametrize("name, mean, variance", SAMPLERS)
def test_no_draw_and_no_mirror_image_of_a_draw_recurs(name, mean, variance):
    sample = getattr(torch, name)
    first = sample(160, 200, dtype=torch.float64)
    second = sample(160, 200, dtype=torch.float64)

    distances = (torch.cat([first, second]) - mean).abs().flatten().tolist()

    # Two of 2 N draws among 2^52 distances coincide 4.5e-7 times on average: twice with probability below 1e-12.
    assert len(set(distances)) > 2 * N - 2


@pytest.mark.parametrize("name, mean, variance", SAMPLERS)
def test_the_seed_determines_the_draws(name, mean, variance):
    sample = getattr(torch, name)
    torch.manual_seed(7)
    first = sample(3, 4)
    torch.manual_seed(7)
    second = sample(3, 4)
    torch.manual_seed(8)
    third = sample(3, 4)

    assert first.tolist() == second.tolist()
    assert first.tolist() != third.tolist()
