"""3.9 Why parameters start random: random initialisation

Random initial values break the symmetry between the hidden units of a layer: each starts as a unit of its own, gets a
gradient of its own and can learn something of its own. The scale of the values matters as well (3.8), and each layer of
PyTorch comes with a choice of its own: nn.Linear draws weights and biases uniformly between -1 / sqrt(inputs) and
1 / sqrt(inputs), so that sums over many inputs do not grow with their number.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


# ── random-init-breaks-symmetry ──


X = [[1.0, -2.0, 0.5], [0.0, 1.5, 1.0], [2.0, 1.0, -1.0]]


def different(units):
    """How many of the rows of a tensor are different."""
    return len({tuple(unit) for unit in units.tolist()})


@claim("random-init-breaks-symmetry")
def test_random_units_differ_in_value_and_in_gradient():
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    for p in net.parameters():
        nn.init.normal_(p, std=0.3)
    (net(torch.tensor(X)) ** 2).mean().backward()
    assert different(net[0].weight) == 5
    assert different(net[:2](torch.tensor(X)).T) == 5
    assert different(net[0].weight.grad) == 5


@claim("random-init-breaks-symmetry")
def test_constant_units_get_one_gradient_until_one_layer_is_random():
    """Random values anywhere will do: here in the hidden layer's biases."""
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    for p in net.parameters():
        nn.init.constant_(p, 0.3)
    inputs = torch.tensor(X, dtype=torch.float64)
    (constant,) = torch.autograd.grad((net(inputs) ** 2).mean(), net[0].weight)
    nn.init.normal_(net[0].bias, std=0.3)
    (broken,) = torch.autograd.grad((net(inputs) ** 2).mean(), net[0].weight)
    assert (constant - constant[0]).abs().max().item() < 1e-12
    assert different(broken) == 5


@claim("random-init-breaks-symmetry")
def test_random_starts_learn_xor_and_equal_units_never_do():
    """Nine networks of eight tanh units start at random, nine more with all units equal to their first one.

    Equal units act as one, and one is monotone along its weights: XOR changes direction on any line, and the best
    monotone fit to 0, 1, 1, 0 has a mean squared error of 1/6.
    """
    x = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])  # the last one: bias
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    w, v = torch.randn(9, 3, 8), torch.randn(9, 8, 1)
    w = torch.cat([w, w[:, :, :1].expand(9, 3, 8)]).requires_grad_()
    v = torch.cat([v, v[:, :1].expand(9, 8, 1)]).requires_grad_()
    c = torch.zeros(18, 1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([w, v, c], lr=0.1)
    for _ in range(100):
        losses = ((torch.tanh(x @ w) @ v + c - y) ** 2).mean((1, 2))
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
    assert losses[:9].median().item() < 0.02  # one start in 300 is stuck; five of nine: below 1e-10
    assert losses[9:].min().item() > 0.16


# ── default-init-is-sensible ──


@claim("default-init-is-sensible")
@pytest.mark.parametrize("inputs", [1, 25, 64])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_linear_draws_uniformly_within_one_over_root_inputs(inputs, name):
    """4000 values or more: the largest misses 0.99 of the bound with probability 0.99^4000 < 1e-17, and each quarter
    of the range holds a quarter of them within 6.5 standard errors (0.045), false alarm 4 * 8e-11."""
    values = getattr(nn.Linear(inputs, 4000), name).detach().double().flatten() * inputs**0.5
    assert values.abs().max().item() <= 1 + 1e-6
    assert values.abs().max().item() > 0.99
    shares = torch.bincount(((values.clamp(-0.999999, 0.999999) + 1) * 2).long(), minlength=4) / len(values)
    assert shares.tolist() == pytest.approx([0.25] * 4, abs=6.5 * (0.25 * 0.75 / 4000) ** 0.5)


@claim("default-init-is-sensible")
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_convolution_counts_all_pixels_of_its_window_as_inputs(name):
    """Within 1 / sqrt(5 * 3 * 2); the largest of 2500 or more misses 0.99 of it with probability 0.99^2500 < 2e-11."""
    largest = getattr(nn.Conv2d(5, 2500, (3, 2)), name).abs().max().item() * 30**0.5
    assert largest == pytest.approx(0.995, abs=0.005 + 1e-6)


@claim("default-init-is-sensible")
def test_an_embedding_draws_standard_normal_vectors():
    """Of 80 000 values: 6.5 standard errors are 0.023 of the mean and 1.6 % of the standard deviation."""
    values = nn.Embedding(400, 200).weight.detach().double()
    assert values.mean().item() == pytest.approx(0, abs=6.5 / 80_000**0.5)
    assert values.std().item() == pytest.approx(1, rel=6.5 / 160_000**0.5)


@claim("default-init-is-sensible")
@pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm])
def test_normalisation_starts_as_no_change_of_scale(layer):
    assert {name: p.tolist() for name, p in layer(3).named_parameters()} == {"weight": [1.0] * 3, "bias": [0.0] * 3}


@claim("default-init-is-sensible")
@pytest.mark.parametrize("layer, sizes", [(nn.Linear, (3, 2)), (nn.Conv2d, (3, 2, 2)), (nn.Embedding, (5, 2))])
def test_every_instance_is_drawn_anew(layer, sizes):
    # Some draw equals its counterpart with probability 1e-14; in float32, of 24 bits, it would be 1e-6.
    first, second = layer(*sizes, dtype=torch.float64), layer(*sizes, dtype=torch.float64)
    for (_, one), (_, other) in zip(first.named_parameters(), second.named_parameters()):
        assert torch.all(one != other).item() is True
    before = [p.detach().clone() for p in first.parameters()]
    first.reset_parameters()
    for p, old in zip(first.parameters(), before):
        assert torch.all(p != old).item() is True


@claim("default-init-is-sensible")
def test_no_two_units_start_equal():
    """Equality of floats is a collision of 24-bit draws; of all 20 inputs of two units, out of the question."""
    rows = nn.Linear(20, 100).weight.tolist()
    assert len({tuple(row) for row in rows}) == 100


def signal_after_three_layers(initialise):
    """How much a hidden unit varies from one example to the next, on average, after three layers of 256 ReLU units."""
    net = nn.Sequential(*(part for _ in range(3) for part in (nn.Linear(256, 256), nn.ReLU())))
    for p in net.parameters():
        initialise(p)
    with torch.no_grad():
        return net(torch.randn(50, 256)).std(0).mean().item()


@claim("default-init-is-sensible")
def test_activations_keep_a_usable_scale_over_three_layers():
    """Inputs of scale 1 leave the default layers at about 0.04; normal weights of 0.01 or 1 leave them far off.

    Over 200 seeds: 0.034 to 0.042, 0.0006 to 0.0009 and 740 to 890.
    """
    assert 0.01 < signal_after_three_layers(lambda p: p) < 0.2
    assert signal_after_three_layers(lambda p: nn.init.normal_(p, std=0.01)) < 0.005
    assert signal_after_three_layers(lambda p: nn.init.normal_(p, std=1)) > 100
