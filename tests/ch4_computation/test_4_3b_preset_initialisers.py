"""4.3b Initialising parameters: the preset methods

`torch.nn.init` fills tensors with constants, from simple distributions, and from distributions whose width follows
from the shape of a weight. A weight of shape (out, in) has the *fan-in* `in`, the number of inputs to each unit, and
the *fan-out* `out`. A convolution's weight of shape (out, in, height, width) has the fan-in in · height · width and
the fan-out out · height · width.

- Xavier: standard deviation gain · √(2 / (fan-in + fan-out)), a compromise between keeping the size of signals and
  keeping that of gradients from layer to layer.
- Kaiming: gain / √fan, where the *mode* says which fan, and the gain follows from the activation; it is √2 for ReLU.
- Each has a normal and a uniform form. The uniform one lies between ±√3 times the standard deviation.
- Orthogonal: rows (or columns, where there are fewer) of length gain, at right angles to each other.

Tensors start as NaN here, so that an element left out would show.
"""

import math

import pytest
import torch
from torch.nn import init

claim = pytest.mark.claim


def blank(*shape):
    return torch.full(shape, float("nan"))


# A weight of 120 units with 300 inputs each: n = 36 000 elements, fan-in 300, fan-out 120.
LINEAR = (120, 300)
# 64 filters over 32 channels, 3 x 5 each: n = 30 720 elements, fan-in 32 * 15 = 480, fan-out 64 * 15 = 960.
CONVOLUTION = (64, 32, 3, 5)


# ── init-offers-preset-methods: normal distributions ──


@claim("init-offers-preset-methods")
@pytest.mark.parametrize(
    "name, arguments, shape, std",
    [
        ("normal_", {}, LINEAR, 1),
        ("normal_", {"std": 0.2}, LINEAR, 0.2),
        ("xavier_normal_", {}, LINEAR, math.sqrt(2 / (300 + 120))),
        ("xavier_normal_", {"gain": 3}, LINEAR, 3 * math.sqrt(2 / (300 + 120))),
        ("xavier_normal_", {}, CONVOLUTION, math.sqrt(2 / (480 + 960))),
        ("kaiming_normal_", {}, LINEAR, math.sqrt(2 / 300)),
        ("kaiming_normal_", {"mode": "fan_out"}, LINEAR, math.sqrt(2 / 120)),
        ("kaiming_normal_", {"nonlinearity": "relu"}, CONVOLUTION, math.sqrt(2 / 480)),
        ("kaiming_normal_", {"mode": "fan_out"}, CONVOLUTION, math.sqrt(2 / 960)),
        ("kaiming_normal_", {"nonlinearity": "linear"}, LINEAR, math.sqrt(1 / 300)),
        ("kaiming_normal_", {"nonlinearity": "tanh"}, LINEAR, 5 / 3 * math.sqrt(1 / 300)),
        ("kaiming_normal_", {"a": 0.5}, LINEAR, math.sqrt(2 / (1 + 0.5**2) / 300)),
    ],
)
def test_normal_initialisers_have_the_standard_deviation_of_their_formula(name, arguments, shape, std):
    w = getattr(init, name)(blank(*shape), **arguments)
    # n is at least 30 720: the standard errors are std / sqrt(n) of the mean, std / sqrt(2 n) of the root of the mean
    # square and sqrt(0.6827 * 0.3173 / n) of the share within one deviation. The bounds are 6.5 of them or more, so
    # that a false alarm has a probability below 1e-10.
    assert w.mean().item() == pytest.approx(0, abs=6.5 * std / math.sqrt(30_720))
    assert w.square().mean().sqrt().item() == pytest.approx(std, rel=0.03)
    assert (w.abs() < std).float().mean().item() == pytest.approx(0.6827, abs=0.02)
    # 0.26 % lie beyond 3.01 deviations: none of 30 720 does with probability 0.9974**30_720, below 1e-34.
    assert w.abs().max().item() > 3.01 * std


@claim("init-offers-preset-methods")
def test_normal_takes_a_mean():
    """The standard errors are 0.2 / sqrt(n) of the mean and 1 / sqrt(2 n) = 0.4 % of the deviation."""
    w = init.normal_(blank(*LINEAR), mean=5, std=0.2)
    assert w.mean().item() == pytest.approx(5, abs=6.5 * 0.2 / math.sqrt(36_000))
    assert w.std().item() == pytest.approx(0.2, rel=0.03)


@claim("init-offers-preset-methods")
def test_a_truncated_normal_is_cut_off_not_clipped():
    w = init.trunc_normal_(blank(*LINEAR), a=-0.5, b=2)
    assert w.min().item() >= -0.5
    assert w.max().item() <= 2
    # The density d and the probability P of the standard normal give the mean (d(-0.5) - d(2)) / P(-0.5 < z < 2) =
    # 0.4458; the standard deviation is 0.614, the standard error 0.0033. Clipping would give 0.19.
    assert w.mean().item() == pytest.approx(0.4458, abs=0.022)
    assert (w == 2).sum().item() < 10


@claim("init-offers-preset-methods")
def test_a_truncated_normal_takes_mean_deviation_and_bounds():
    w = init.trunc_normal_(blank(*LINEAR), mean=5, std=0.25, a=4.75, b=5.5)
    # The same formula for -1 < z < 2 gives a mean of 5 + 0.25 * 0.2296, a standard deviation of 0.25 * 0.7210 and
    # the standard error 0.00095.
    assert (w.min().item() >= 4.75, w.max().item() <= 5.5) == (True, True)
    assert w.mean().item() == pytest.approx(5.0574, abs=0.0065)
    assert w.std().item() == pytest.approx(0.1802, rel=0.03)


# ── init-offers-preset-methods: uniform distributions ──


@claim("init-offers-preset-methods")
@pytest.mark.parametrize(
    "name, arguments, shape, bound",
    [
        ("uniform_", {"a": -0.3, "b": 0.3}, LINEAR, 0.3),
        ("xavier_uniform_", {}, LINEAR, math.sqrt(6 / (300 + 120))),
        ("xavier_uniform_", {"gain": 3}, LINEAR, 3 * math.sqrt(6 / (300 + 120))),
        ("xavier_uniform_", {}, CONVOLUTION, math.sqrt(6 / (480 + 960))),
        ("kaiming_uniform_", {}, LINEAR, math.sqrt(6 / 300)),
        ("kaiming_uniform_", {"mode": "fan_out"}, LINEAR, math.sqrt(6 / 120)),
        ("kaiming_uniform_", {"nonlinearity": "relu"}, CONVOLUTION, math.sqrt(6 / 480)),
        ("kaiming_uniform_", {"mode": "fan_out"}, CONVOLUTION, math.sqrt(6 / 960)),
        ("kaiming_uniform_", {"nonlinearity": "linear"}, LINEAR, math.sqrt(3 / 300)),
        ("kaiming_uniform_", {"nonlinearity": "tanh"}, LINEAR, 5 / 3 * math.sqrt(3 / 300)),
        ("kaiming_uniform_", {"a": 0.5}, LINEAR, math.sqrt(6 / (1 + 0.5**2) / 300)),
    ],
)
def test_uniform_initialisers_fill_the_interval_of_their_formula(name, arguments, shape, bound):
    w = getattr(init, name)(blank(*shape), **arguments)
    assert w.abs().max().item() <= bound * (1 + 1e-6)  # float32 rounds the bound
    # n is at least 30 720: none falls into the last thousandth at an end with probability 0.999**n, below 1e-13.
    assert w.min().item() < -0.998 * bound
    assert w.max().item() > 0.998 * bound
    # The mean square of a uniform distribution is bound**2 / 3; the relative standard error of its root is
    # sqrt(0.2 / n), 0.0026.
    assert w.square().mean().sqrt().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert w.mean().item() == pytest.approx(0, abs=6.5 * bound / math.sqrt(3 * 30_720))


@claim("init-offers-preset-methods")
@pytest.mark.parametrize("arguments, low, high", [((), 0, 1), ((2, 5), 2, 5)])
def test_uniform_fills_from_its_lower_to_its_upper_bound(arguments, low, high):
    w = init.uniform_(blank(*LINEAR), *arguments)
    width = high - low
    # None of 36 000 falls into the thousandth at an end with probability 0.999**36_000, below 1e-15. The standard
    # deviation of a uniform distribution is its width / sqrt(12).
    assert low <= w.min().item() < low + 0.001 * width
    assert high - 0.001 * width < w.max().item() <= high
    assert w.mean().item() == pytest.approx((low + high) / 2, abs=6.5 * width / math.sqrt(12 * 36_000))


RANDOM = [
    "uniform_",
    "normal_",
    "trunc_normal_",
    "xavier_uniform_",
    "xavier_normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
    "orthogonal_",
]


@claim("init-offers-preset-methods")
@pytest.mark.parametrize("name", RANDOM)
def test_random_initialisers_draw_each_element_and_each_call_anew(name):
    first, second = getattr(init, name)(blank(40, 30)), getattr(init, name)(blank(40, 30))
    # Of 1 200 draws in float32 hardly two coincide; a repeated row or column would leave 600 values or fewer.
    assert first.unique().numel() > 1_100
    assert (first == second).sum().item() < 100


# ── init-offers-preset-methods: constants and matrices ──


@claim("init-offers-preset-methods")
def test_constants_fill_every_element():
    assert init.zeros_(blank(2, 3)).tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert init.ones_(blank(3, 2)).tolist() == [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    assert init.constant_(blank(2, 3), -0.5).tolist() == [[-0.5, -0.5, -0.5], [-0.5, -0.5, -0.5]]


@claim("init-offers-preset-methods")
def test_an_initialiser_given_a_view_fills_that_part_of_the_tensor():
    w = torch.zeros(2, 4)
    init.constant_(w[:, 1:3], 7)
    assert w.tolist() == [[0.0, 7.0, 7.0, 0.0], [0.0, 7.0, 7.0, 0.0]]


@claim("init-offers-preset-methods")
def test_eye_puts_ones_on_the_diagonal_of_a_rectangle():
    assert init.eye_(blank(2, 4)).tolist() == [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    assert init.eye_(blank(3, 2)).tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]


@claim("init-offers-preset-methods")
def test_dirac_lets_a_convolution_pass_its_input_through():
    assert init.dirac_(blank(2, 3, 3)).tolist() == [
        [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]],
    ]


@claim("init-offers-preset-methods")
def test_sparse_zeroes_a_share_of_each_column():
    w = init.sparse_(blank(8, 50), sparsity=0.25)
    assert (w == 0).sum(dim=0).tolist() == [2] * 50


@claim("init-offers-preset-methods")
def test_sparse_chooses_for_each_column_and_draws_the_rest_from_a_normal_distribution():
    w = init.sparse_(blank(100, 50), sparsity=0.25, std=0.2)
    # Two columns agree with probability 1 / binomial(100, 25), below 1e-23.
    assert (w == 0).unique(dim=1).shape == (100, 50)
    # 3 750 draws: the relative standard error is 1 / sqrt(7_500), and the bound 6.9 of it.
    assert w[w != 0].std().item() == pytest.approx(0.2, rel=0.08)


# ── init-offers-preset-methods: orthogonal ──


@claim("init-offers-preset-methods")
@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (20, 50), (1, 6)])
@pytest.mark.parametrize("gain", [1, 2.5])
def test_an_orthogonal_weight_that_is_wider_than_tall_has_orthogonal_rows(shape, gain):
    w = init.orthogonal_(blank(*shape), gain=gain)
    # float32 sums of up to 50 products of size gain**2 at most
    torch.testing.assert_close(w @ w.T, gain**2 * torch.eye(shape[0]), rtol=0, atol=1e-5 * gain**2)


@claim("init-offers-preset-methods")
@pytest.mark.parametrize("shape", [(4, 4), (7, 3), (50, 20), (6, 1)])
@pytest.mark.parametrize("gain", [1, 2.5])
def test_an_orthogonal_weight_that_is_taller_than_wide_has_orthogonal_columns(shape, gain):
    w = init.orthogonal_(blank(*shape), gain=gain)
    torch.testing.assert_close(w.T @ w, gain**2 * torch.eye(shape[1]), rtol=0, atol=1e-5 * gain**2)


@claim("init-offers-preset-methods")
def test_an_orthogonal_weight_may_have_either_sign():
    # The only orthogonal numbers are 1 and -1; of 64 draws all are the same with probability 2**-63.
    assert {init.orthogonal_(blank(1, 1)).item() for _ in range(64)} == {1.0, -1.0}


@claim("init-offers-preset-methods")
def test_the_filters_of_an_orthogonal_convolution_are_orthogonal():
    filters = init.orthogonal_(blank(4, 3, 2, 2)).reshape(4, 12)
    torch.testing.assert_close(filters @ filters.T, torch.eye(4), rtol=0, atol=1e-5)


# ── init-offers-preset-methods: gains and refusals ──


@claim("init-offers-preset-methods")
@pytest.mark.parametrize(
    "arguments, gain",
    [
        (["linear"], 1),
        (["conv2d"], 1),
        (["sigmoid"], 1),
        (["tanh"], 5 / 3),
        (["relu"], math.sqrt(2)),
        (["leaky_relu"], math.sqrt(2 / (1 + 0.01**2))),
        (["leaky_relu", 0.2], math.sqrt(2 / (1 + 0.2**2))),
        (["selu"], 3 / 4),
    ],
)
def test_the_gain_belongs_to_the_activation(arguments, gain):
    assert init.calculate_gain(*arguments) == pytest.approx(gain, rel=1e-12)


@claim("init-offers-preset-methods")
@pytest.mark.parametrize("name", ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"])
def test_a_vector_has_no_fan(name):
    with pytest.raises(ValueError, match="can not be computed for tensor with fewer than 2 dimensions"):
        getattr(init, name)(blank(5))


@claim("init-offers-preset-methods")
@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_an_unknown_mode_is_refused(name):
    with pytest.raises(ValueError, match="not supported, please use one of"):
        getattr(init, name)(blank(3, 5), mode="fan_sum")
