"""2.1 Creating tensors: other random numbers

`normal` shifts and stretches the standard normal distribution; a tensor of means and one of standard deviations give
every element a distribution of its own. `uniform_` ends in an underscore, which is how torch marks a method that
writes into its tensor instead of creating one. `randperm` shuffles 0, 1, ..., m - 1. The bounds are those of the
module before: a correct sampler crosses one less than once in 1e9 runs, whatever the seed.
"""

import math
from collections import Counter
from itertools import combinations, permutations

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


# ── normal-takes-mean-and-std ──


@claim("normal-takes-mean-and-std")
def test_every_element_has_its_own_mean_and_std():
    mean = torch.tensor([-10.0, 0.0, 5.0, 100.0])
    std = torch.tensor([0.5, 1.0, 20.0, 3.0])

    x = torch.normal(mean.expand(N // 4, 4), std.expand(N // 4, 4))
    z = (x - mean) / std

    # N / 4 draws a column; 7.5 standard errors, false alarm below 1e-11.
    for column in z.double().unbind(1):
        assert abs(column.mean().item()) < 7.5 * math.sqrt(4 / N)
        assert abs(column.square().mean().item() - 1) < 7.5 * math.sqrt(8 / N)


@claim("normal-takes-mean-and-std")
def test_every_element_is_a_draw_of_its_own():
    z = torch.normal(torch.zeros(N // 4, 4), torch.ones(N // 4, 4)).double()

    # The average of n products of independent draws has standard error 1 / sqrt(n): 7.5 of them, as above.
    for first, second in combinations(z.unbind(1), 2):
        assert abs((first * second).mean().item()) < 7.5 / math.sqrt(N // 4)
    for lag in (1, 2, 8, 16):
        assert abs((z[lag:] * z[:-lag]).mean().item()) < 7.5 / math.sqrt(N - 4 * lag)


@claim("normal-takes-mean-and-std")
def test_the_seed_determines_the_draws():
    torch.manual_seed(7)
    first, second = torch.normal(torch.zeros(3), 1.0), torch.normal(torch.zeros(3), 1.0)
    torch.manual_seed(7)
    repeated = torch.normal(torch.zeros(3), 1.0)

    assert first.tolist() == repeated.tolist()
    assert first.tolist() != second.tolist()


@claim("normal-takes-mean-and-std")
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda: torch.normal(torch.full((N,), -3.0), torch.full((N,), 0.5)), id="two-tensors"),
        pytest.param(lambda: torch.normal(torch.full((N,), -3.0), 0.5), id="mean-tensor"),
        pytest.param(lambda: torch.normal(-3.0, torch.full((N,), 0.5)), id="std-tensor"),
    ],
)
def test_the_fraction_of_draws_below_x_is_the_normal_distribution_function(draw):
    x = draw()

    for z in (-2.5, -1, -0.5, 0, 0.5, 1, 2.5):
        assert abs(fraction_below(x, -3 + 0.5 * z) - normal_cdf(z)) < dkw_distance(N)


@claim("normal-takes-mean-and-std")
def test_a_std_of_zero_gives_the_mean():
    mean = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    assert torch.normal(mean, torch.zeros(2, 3)).tolist() == mean.tolist()


@claim("normal-takes-mean-and-std")
def test_a_negative_std_is_refused():
    with pytest.raises(RuntimeError, match="normal expects"):
        torch.normal(torch.zeros(3), -1.0)


@claim("normal-takes-mean-and-std", truth=True)
@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (2, 3), (-3.0, 0.5)])
def test_two_plain_numbers_do_not_suffice(mean, std):
    with pytest.raises(TypeError, match="invalid combination of arguments"):
        torch.normal(mean, std)


@claim("normal-takes-mean-and-std", truth=True)
def test_two_plain_numbers_and_a_size_suffice():
    x = torch.normal(-3.0, 0.5, size=(160, 200))

    assert x.shape == (160, 200)
    assert x.dtype == torch.float32
    for z in (-2.5, -1, -0.5, 0, 0.5, 1, 2.5):
        assert abs(fraction_below(x, -3 + 0.5 * z) - normal_cdf(z)) < dkw_distance(N)


@claim("normal-takes-mean-and-std", truth=True)
def test_tensors_give_their_broadcast_shape():
    assert torch.normal(torch.zeros(2, 1), torch.ones(3)).shape == (2, 3)
    assert torch.normal(torch.zeros(4), 1.0).shape == (4,)
    assert torch.normal(0.0, torch.ones(5, 1)).shape == (5, 1)


@claim("normal-takes-mean-and-std", truth=True)
def test_broadcast_means_and_stds_meet_element_by_element():
    """Means of 100 and 200 cannot be confused: a draw 8 standard deviations from its mean never occurs."""
    x = torch.normal(torch.tensor([[100.0], [200.0]]), torch.tensor([0.0, 1.0, 0.0]))

    assert x[:, 0].tolist() == x[:, 2].tolist() == [100, 200]
    assert 92 < x[0, 1].item() < 108
    assert 192 < x[1, 1].item() < 208


@claim("normal-takes-mean-and-std", truth=True)
def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(RuntimeError, match="must match the size of tensor"):
        torch.normal(torch.zeros(2, 3), torch.ones(4))


# ── uniform-is-a-torch-function ──


@claim("uniform-is-a-torch-function")
def test_torch_has_a_function_called_uniform():
    assert hasattr(torch, "uniform") is True


@claim("uniform-is-a-torch-function", truth=True)
def test_torch_has_no_uniform_but_tensors_have_uniform_():
    assert hasattr(torch, "uniform") is False
    assert hasattr(torch.Tensor, "uniform_") is True


@claim("uniform-is-a-torch-function", truth=True)
def test_uniform_fills_an_existing_tensor_in_place():
    x = torch.full((2, 6), 9.0)
    middle = x[:, 1:5]

    result = middle.uniform_(-3, 5)

    assert result is middle
    assert x[:, 0].tolist() == x[:, 5].tolist() == [9, 9]
    assert (x[:, 1:5] < 5).all().item() is True
    # Each of four draws among 2^23 or more values equals the one above it: probability below 1e-27.
    assert x[0, 1:5].tolist() != x[1, 1:5].tolist()


@claim("uniform-is-a-torch-function", truth=True)
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda: torch.zeros(N).uniform_(-3, 5), id="in-place"),
        pytest.param(
            lambda: torch.distributions.Uniform(torch.tensor(-3.0), torch.tensor(5.0)).sample((N,)), id="distribution"
        ),
    ],
)
def test_draws_are_uniform_between_from_and_to(draw):
    x = draw()

    assert x.shape == (N,)
    # All of N draws miss a piece of length 0.01, of 8 in all, with probability (1 - 0.01 / 8)^N < 1e-17.
    assert -3 <= x.min().item() < -2.99
    assert 4.99 < x.max().item() < 5
    for p in (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99):
        assert abs(fraction_below(x, -3 + 8 * p) - p) < dkw_distance(N)


@claim("uniform-is-a-torch-function", truth=True)
def test_uniform_refuses_an_interval_that_ends_before_it_starts():
    with pytest.raises(RuntimeError, match="uniform_ expects to return a"):
        torch.zeros(3).uniform_(2, 1)


# ── randperm-permutes ──


@claim("randperm-permutes")
@pytest.mark.parametrize("m", [0, 1, 2, 3, 10, 1000, 40_000])
def test_each_number_below_m_occurs_exactly_once(m):
    x = torch.randperm(m)

    assert x.shape == (m,)
    assert x.dtype == torch.int64
    assert sorted(x.tolist()) == list(range(m))


@claim("randperm-permutes")
def test_randperm_has_the_dtype_asked_for():
    x = torch.randperm(10, dtype=torch.int32)

    assert x.dtype == torch.int32
    assert sorted(x.tolist()) == list(range(10))


@claim("randperm-permutes")
def test_different_draws_differ_and_the_same_seed_repeats():
    torch.manual_seed(7)
    first, second = torch.randperm(100), torch.randperm(100)
    torch.manual_seed(7)
    repeated = torch.randperm(100)

    assert first.tolist() != second.tolist()
    assert first.tolist() == repeated.tolist()


@claim("randperm-permutes")
def test_all_permutations_of_four_are_equally_likely():
    counts = Counter(tuple(torch.randperm(4).tolist()) for _ in range(24_000))

    # Each of 24 permutations is drawn Binomial(24000, 1/24) times, 1000 on average. Bernstein's inequality: one of
    # them strays by 250 or more with probability at most 24 * 2 * exp(-250^2 / (2 * (958.4 + 250 / 3))) < 1e-11.
    for permutation in permutations(range(4)):
        assert abs(counts[permutation] - 1000) < 250


@claim("randperm-permutes")
def test_a_long_permutation_forgets_the_order():
    m = 10_000
    values = torch.randperm(m).double()
    places = torch.arange(m).double()

    # The correlation of value and place has standard deviation 1 / sqrt(m - 1): 7.5 of them, false alarm below 1e-11.
    correlation = torch.corrcoef(torch.stack([values, places]))[0, 1].item()
    assert abs(correlation) < 7.5 / math.sqrt(m - 1)
    # The number of values left in place, and of neighbours left side by side, is nearly Poisson of mean 1:
    # 20 or more with probability below 1e-18.
    assert (values == places).sum().item() < 20
    assert (values.diff() == 1).sum().item() < 20
