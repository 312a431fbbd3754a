"""1.1 What deep learning is: experience and composition

A program learns if experience, that is data, makes it better at a task it is judged on with data it has not seen.
Deep learning composes many simple functions, called levels or layers, into one. Each level turns the representation
of the data that it is given into another. Both ideas are shown on their smallest examples: learning a linear function
from noisy examples, composition on XOR, the function that is 1 where exactly one of two inputs is 1, and that no
single level can express.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

XOR_INPUTS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
XOR_TARGETS = [[0.0], [1.0], [1.0], [0.0]]


def train(parameters, loss_of, steps, learning_rate):
    """Minimise the loss by Adam and return its last value."""
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    for _ in range(steps):
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss_of().item()


# ── experience-improves-performance ──


@claim("experience-improves-performance")
def test_held_out_error_falls_as_the_number_of_training_examples_grows():
    """Ten tasks of 20 unknown weights each; labels carry noise of variance 1.

    Least squares on n examples has an expected excess error of 20 / (n - 21): 1.1, 0.11, 0.020.
    """
    weights = torch.randn(10, 20, 1, dtype=torch.float64)
    unseen = torch.randn(10, 200, 20, dtype=torch.float64)
    errors = []
    for n in (40, 200, 1000):
        inputs = torch.randn(10, n, 20, dtype=torch.float64)
        labels = inputs @ weights + torch.randn(10, n, 1, dtype=torch.float64)
        learned = torch.linalg.lstsq(inputs, labels).solution
        errors.append((unseen @ learned - unseen @ weights).square().mean().item())

    # The logarithms of the two ratios average 2.26 and 1.69, with standard deviations of about 0.19 and 0.16:
    # log 1.5 = 0.41 lies more than 7 of them below either.
    assert errors[0] > 1.5 * errors[1]
    assert errors[1] > 1.5 * errors[2]


@claim("experience-improves-performance")
def test_experience_of_another_task_does_not_improve_performance():
    """The learner sees the opposite of the task, and ends up worse than an untaught learner that always answers 0."""
    weights = torch.randn(20, 1, dtype=torch.float64)
    unseen = torch.randn(200, 20, dtype=torch.float64)
    inputs = torch.randn(1000, 20, dtype=torch.float64)

    learned = torch.linalg.lstsq(inputs, -inputs @ weights).solution

    untaught_error = (unseen @ weights).square().mean().item()
    error = (unseen @ learned - unseen @ weights).square().mean().item()
    assert error == pytest.approx(4 * untaught_error)


# ── deep-model-is-composition ──


@claim("deep-model-is-composition")
def test_a_sequential_is_the_composition_of_its_levels():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.Tanh())
    first, second = model[0], model[2]
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]])

    W1, b1, W2, b2 = (p.detach().cpu().numpy() for p in (first.weight, first.bias, second.weight, second.bias))
    by_hand = np.tanh(np.maximum(x.cpu().numpy() @ W1.T + b1, 0) @ W2.T + b2)

    # float32 rounds at 6e-8; sums of a few terms stay within a hundredfold of that.
    torch.testing.assert_close(model(x).detach(), torch.tensor(by_hand), rtol=1e-5, atol=1e-5)


@claim("deep-model-is-composition")
def test_each_level_is_applied_to_the_representation_below_it():
    """The levels do nothing but arithmetic, so that every representation can be checked in one's head."""
    levels = [nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)]
    with torch.no_grad():
        levels[0].weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))
        levels[0].bias.copy_(torch.tensor([0.5, 1.0]))
        levels[2].weight.copy_(torch.tensor([[10.0, 100.0]]))
        levels[2].bias.fill_(3)
    x = torch.tensor([3.0, 4.0])

    assert nn.Sequential(*levels[:1])(x).tolist() == [11.5, -2.0]
    assert nn.Sequential(*levels[:2])(x).tolist() == [11.5, 0.0]
    assert nn.Sequential(*levels)(x).tolist() == [118.0]


@claim("deep-model-is-composition")
def test_the_output_of_a_level_is_the_input_of_the_next():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 5), nn.Sigmoid(), nn.Linear(5, 2))
    inputs, outputs = [], []

    def record(level, arguments, output):
        inputs.append(arguments[0])
        outputs.append(output)

    for level in model:
        level.register_forward_hook(record)
    x = torch.ones(7, 4)

    result = model(x)

    assert [tuple(r.shape) for r in outputs] == [(7, 3), (7, 3), (7, 5), (7, 5), (7, 2)]
    assert [id(r) for r in inputs] == [id(r) for r in [x, *outputs[:-1]]]
    assert outputs[-1] is result


@claim("deep-model-is-composition")
def test_the_order_of_the_levels_matters():
    clip_then_shrink = nn.Sequential(nn.Hardtanh(), nn.Softshrink(0.25))
    shrink_then_clip = nn.Sequential(nn.Softshrink(0.25), nn.Hardtanh())
    x = torch.tensor([0.5, 4.0])

    assert clip_then_shrink(x).tolist() == [0.25, 0.75]
    assert shrink_then_clip(x).tolist() == [0.25, 1.0]


# ── composition-adds-expressive-power ──


@claim("composition-adds-expressive-power")
def test_one_hidden_layer_with_chosen_weights_computes_xor():
    """h = relu(x1 + x2), relu(x1 + x2 - 1); the answer is h1 - 2 h2."""
    x = torch.tensor(XOR_INPUTS)
    hidden = F.relu(x @ torch.tensor([[1.0, 1.0], [1.0, 1.0]]) + torch.tensor([0.0, -1.0]))

    output = hidden @ torch.tensor([[1.0], [-2.0]])

    assert output.tolist() == XOR_TARGETS


@claim("composition-adds-expressive-power")
def test_training_finds_weights_that_compute_xor():
    """Small steps: with 8 units and steps of 0.1 one seed in a hundred is caught in a late swing of Adam's."""
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    x, y = torch.tensor(XOR_INPUTS), torch.tensor(XOR_TARGETS)

    loss = train(model.parameters(), lambda: F.mse_loss(model(x), y), steps=200, learning_rate=0.03)

    assert loss < 1e-2  # no affine map gets below 0.25; the worst of 124 seeds ended at 1.6e-7
    assert model(x).round().abs().tolist() == XOR_TARGETS


@claim("composition-adds-expressive-power")
@pytest.mark.parametrize("levels", [1, 2, 3, 8])
def test_each_further_level_doubles_the_number_of_folds(levels):
    """A tent, made of two ReLUs, rises from 0 to 1 and falls back to 0; k of them composed do so 2^(k-1) times."""

    def tent(x):
        return 2 * F.relu(x) - 4 * F.relu(x - 0.5)

    x = torch.arange(2**levels + 1) / 2**levels
    for _ in range(levels):
        x = tent(x)

    assert x.tolist() == [0.0, 1.0] * 2 ** (levels - 1) + [0.0]


@claim("composition-adds-expressive-power", truth=True)
def test_no_single_affine_map_fits_xor():
    """The least-squares optimum answers 1/2 everywhere and leaves a mean squared error of 1/4."""
    x, y = torch.tensor(XOR_INPUTS), torch.tensor(XOR_TARGETS)
    with_ones = torch.cat([x, torch.ones(4, 1)], 1)

    optimum = torch.linalg.lstsq(with_ones, y).solution

    torch.testing.assert_close(optimum, torch.tensor([[0.0], [0.0], [0.5]]))
    assert F.mse_loss(with_ones @ optimum, y).item() == pytest.approx(0.25)


@claim("composition-adds-expressive-power", truth=True)
def test_composed_affine_maps_are_one_affine_map():
    model = nn.Sequential(*[nn.Linear(5, 5) for _ in range(6)]).double()
    x = torch.randn(20, 5, dtype=torch.float64)

    with torch.no_grad():
        offset = model(torch.zeros(5, dtype=torch.float64))
        matrix = model(torch.eye(5, dtype=torch.float64)) - offset
        # float64 rounds at 1e-16; six levels of five terms stay far within 1e-12.
        torch.testing.assert_close(model(x), x @ matrix + offset, rtol=0, atol=1e-12)


@claim("composition-adds-expressive-power", truth=True)
def test_a_composition_with_a_non_linear_function_is_not_affine():
    """An affine function takes the middle of two inputs to the middle of their outputs."""
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)).double()
    x = 3 * torch.randn(20, 5, dtype=torch.float64)
    y = 3 * torch.randn(20, 5, dtype=torch.float64)

    deviation = model((x + y) / 2) - (model(x) + model(y)) / 2

    # An affine function leaves rounding, some 1e-15; the least that 2000 seeds left was 0.21.
    assert deviation.abs().max().item() > 1e-3


@claim("composition-adds-expressive-power", truth=True)
def test_training_many_affine_levels_does_not_learn_xor():
    model = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 1))
    x, y = torch.tensor(XOR_INPUTS), torch.tensor(XOR_TARGETS)

    loss = train(model.parameters(), lambda: F.mse_loss(model(x), y), steps=60, learning_rate=0.05)

    assert loss > 0.25 - 1e-6  # the optimum of all affine maps, less rounding
