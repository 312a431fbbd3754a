"""4.9 GPU computing: training

With the model on a device and each mini-batch moved there, training is the same program on every device, and gives the
same numbers up to rounding: what a step changes can be compared with the CPU, and where training ends is known from how
the data was made.
"""

import copy

import pytest
import torch
from torch import nn

claim = pytest.mark.claim

# ── training-runs-on-gpu ──


def linear_regression():
    """200 examples of y = 2 a - 3.4 b + 4.2, with noise of standard deviation 0.01."""
    features = torch.randn(200, 2, device="cpu")
    labels = features @ torch.tensor([[2.0], [-3.4]], device="cpu") + 4.2 + 0.01 * torch.randn(200, 1, device="cpu")
    return nn.Linear(2, 1), nn.MSELoss(), features, labels


def softmax_regression():
    """Three well separated clouds of 50 points each."""
    centres = torch.tensor([[0.0, 4.0], [4.0, -2.0], [-4.0, -2.0]], device="cpu")
    labels = torch.arange(150, device="cpu") % 3
    return nn.Linear(2, 3), nn.CrossEntropyLoss(), centres[labels] + 0.5 * torch.randn(150, 2, device="cpu"), labels


def perceptron():
    """The parabola on [-1, 1], which no straight line fits."""
    features = torch.linspace(-1, 1, 64, device="cpu").reshape(-1, 1)
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    return model, nn.MSELoss(), features, features**2


def train(model, loss, features, labels, *, steps):
    """Gradient descent with momentum on the whole data set; returns the loss before the first step and
    after the last.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        error = loss(model(features), labels)
        error.backward()
        optimizer.step()
        losses.append(error.detach())
    return losses[0].item(), loss(model(features), labels).item()


every_task = pytest.mark.parametrize("task", [linear_regression, softmax_regression, perceptron])


@claim("training-runs-on-gpu")
@every_task
def test_the_first_step_gives_the_cpus_parameters(accelerator, task):
    """The same program on both devices. Gradients are means of at most 200 terms of magnitude 10 or less, so float32
    sums in another order differ by less than 200 * 10 * 2**-24 = 1.2e-4, and the step takes a tenth of that."""
    model, loss, features, labels = task()
    model.cpu()
    start = [parameter.tolist() for parameter in model.parameters()]
    twin = copy.deepcopy(model).to(accelerator)
    train(model, loss, features, labels, steps=1)
    train(twin, loss, features.to(accelerator), labels.to(accelerator), steps=1)
    assert [parameter.tolist() for parameter in model.parameters()] != start
    for ours, theirs in zip(twin.parameters(), model.parameters()):
        assert ours.device.type == accelerator.type
        torch.testing.assert_close(ours.detach().cpu(), theirs.detach(), rtol=0, atol=1.2e-5)


@claim("training-runs-on-gpu")
@every_task
def test_ten_steps_stay_beside_the_cpus(accelerator, task):
    """Momentum counts from the second step on. It carries each step's difference, at most 1.2e-5 as above, into the
    later ones, 1 / (1 - 0.9) = 10 times in all: after ten steps 1.2e-3 at most."""
    model, loss, features, labels = task()
    model.cpu()
    twin = copy.deepcopy(model).to(accelerator)
    train(model, loss, features, labels, steps=10)
    train(twin, loss, features.to(accelerator), labels.to(accelerator), steps=10)
    for ours, theirs in zip(twin.parameters(), model.parameters()):
        torch.testing.assert_close(ours.detach().cpu(), theirs.detach(), rtol=0, atol=1.2e-3)


@claim("training-runs-on-gpu")
def test_linear_regression_finds_the_true_parameters(accelerator):
    """The loss ends at the noise's variance, 1e-4; each parameter is off by some 0.01 / sqrt(200) = 7e-4."""
    model, loss, features, labels = linear_regression()
    model.to(accelerator)
    train(model, loss, features.to(accelerator), labels.to(accelerator), steps=150)
    assert model.weight.tolist()[0] == pytest.approx([2.0, -3.4], abs=0.01)
    assert model.bias.item() == pytest.approx(4.2, abs=0.01)


@claim("training-runs-on-gpu")
def test_softmax_regression_separates_the_classes(accelerator):
    """Centres are 7.2 or 8 apart and clouds spread by 0.5: a border halfway is seven standard deviations from each."""
    model, loss, features, labels = softmax_regression()
    model.to(accelerator)
    features, labels = features.to(accelerator), labels.to(accelerator)
    first, last = train(model, loss, features, labels, steps=50)
    accuracy = (model(features).argmax(dim=1) == labels).float().mean().item()
    assert last < first / 4
    assert accuracy > 0.98


@claim("training-runs-on-gpu")
def test_a_perceptron_fits_what_no_line_can(accelerator):
    """The best line has the mean squared error of the parabola's own variance, 4/45 = 0.089."""
    model, loss, features, labels = perceptron()
    model.to(accelerator)
    first, last = train(model, loss, features.to(accelerator), labels.to(accelerator), steps=150)
    assert last < first
    assert last < 0.01
