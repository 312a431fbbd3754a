"""3.2 Linear regression in PyTorch: the optimizers

An **optimizer** refers to parameters, in one or more **parameter groups** with options of their own, and updates them
from their gradients at each `step()`. Plain SGD subtracts the learning rate times the gradient. SGD with momentum keeps
a decaying sum of the gradients of the steps so far; Adam keeps running averages of the gradients and of their squares,
RMSprop of the squares. These sums and averages are the optimizer's **state**. The tests write each published update
rule out by hand, for three elements and four steps.
"""

import numpy as np
import pytest
import torch
from torch import nn

claim = pytest.mark.claim

START = np.array([1.0, -2.0, 0.5])
GRADIENTS = np.array([[2.0, -1.0, 0.1], [-1.0, -3.0, 0.2], [0.5, 2.0, 0.0], [3.0, -0.5, -4.0]])  # one row a step


def values_after_each_step(optimizer_class, **options):
    w = torch.tensor(START, requires_grad=True)
    optimizer = optimizer_class([w], **options)
    values = []
    for gradient in GRADIENTS:
        w.grad = torch.tensor(gradient)
        optimizer.step()
        values.append(w.tolist())
    return np.array(values)


# ── optim-offers-sgd-adam-rmsprop ──


@claim("optim-offers-sgd-adam-rmsprop")
def test_sgd_subtracts_the_learning_rate_times_the_gradient():
    expected = START - 0.1 * GRADIENTS.cumsum(axis=0)

    assert values_after_each_step(torch.optim.SGD, lr=0.1) == pytest.approx(expected)


@claim("optim-offers-sgd-adam-rmsprop")
@pytest.mark.parametrize(
    ("momentum", "dampening", "nesterov"),
    [(0.9, 0.0, False), (0.5, 0.0, False), (0.9, 0.3, False), (0.9, 0.0, True)],
)
def test_sgd_with_momentum_follows_a_decaying_sum_of_the_gradients(momentum, dampening, nesterov):
    """The sum starts at the first gradient, undampened. Nesterov's variant looks one step ahead."""
    w, v, expected = START, GRADIENTS[0], []
    for step, g in enumerate(GRADIENTS):
        v = momentum * v + (1 - dampening) * g if step > 0 else g
        w = w - 0.1 * (g + momentum * v if nesterov else v)
        expected.append(w)

    options = {"lr": 0.1, "momentum": momentum, "dampening": dampening, "nesterov": nesterov}
    assert values_after_each_step(torch.optim.SGD, **options) == pytest.approx(np.array(expected))


@claim("optim-offers-sgd-adam-rmsprop")
@pytest.mark.parametrize(
    ("options", "lr", "betas", "eps"),
    [
        ({}, 0.001, (0.9, 0.999), 1e-8),
        ({"lr": 0.5, "betas": (0.7, 0.6), "eps": 0.01}, 0.5, (0.7, 0.6), 0.01),
    ],
    ids=["defaults", "own options"],
)
def test_adam_divides_the_mean_gradient_by_the_root_of_the_mean_square(options, lr, betas, eps):
    """Both running means start at zero; dividing by 1 - beta**t corrects them for that."""
    w, mean, square, expected = START, np.zeros(3), np.zeros(3), []
    for t, g in enumerate(GRADIENTS, start=1):
        mean = betas[0] * mean + (1 - betas[0]) * g
        square = betas[1] * square + (1 - betas[1]) * g**2
        w = w - lr * (mean / (1 - betas[0] ** t)) / (np.sqrt(square / (1 - betas[1] ** t)) + eps)
        expected.append(w)

    assert values_after_each_step(torch.optim.Adam, **options) - START == pytest.approx(np.array(expected) - START)


@claim("optim-offers-sgd-adam-rmsprop")
@pytest.mark.parametrize(
    ("options", "lr", "alpha", "eps"),
    [({}, 0.01, 0.99, 1e-8), ({"lr": 0.5, "alpha": 0.6, "eps": 0.01}, 0.5, 0.6, 0.01)],
    ids=["defaults", "own options"],
)
def test_rmsprop_divides_the_gradient_by_the_root_of_the_mean_square(options, lr, alpha, eps):
    w, square, expected = START, np.zeros(3), []
    for g in GRADIENTS:
        square = alpha * square + (1 - alpha) * g**2
        w = w - lr * g / (np.sqrt(square) + eps)
        expected.append(w)

    assert values_after_each_step(torch.optim.RMSprop, **options) - START == pytest.approx(np.array(expected) - START)


# ── optimizer-prints-its-options ──


@claim("optimizer-prints-its-options")
def test_printing_shows_one_group_with_the_five_options(capsys):
    print(torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.03))

    lines = capsys.readouterr().out.splitlines()

    assert (lines[:2], lines[-1]) == (["SGD (", "Parameter Group 0"], ")")
    five = {"dampening: 0", "lr: 0.03", "momentum: 0", "nesterov: False", "weight_decay: 0"}
    assert five <= {line.strip() for line in lines}
    assert sum(line.startswith("Parameter Group") for line in lines) == 1


@claim("optimizer-prints-its-options")
def test_printing_shows_the_options_of_each_group():
    groups = [{"params": nn.Linear(2, 1).parameters()}, {"params": nn.Linear(1, 1).parameters(), "lr": 0.5}]

    lines = str(torch.optim.SGD(groups, lr=0.25, momentum=0.9, nesterov=True)).splitlines()

    assert [line for line in lines if line.startswith("Param")] == ["Parameter Group 0", "Parameter Group 1"]
    assert [line.strip() for line in lines if " lr:" in line] == ["lr: 0.25", "lr: 0.5"]
    assert [line.strip() for line in lines if " momentum:" in line] == ["momentum: 0.9"] * 2
    assert [line.strip() for line in lines if " nesterov:" in line] == ["nesterov: True"] * 2


@claim("optimizer-prints-its-options")
def test_printing_shows_the_options_as_they_are_now():
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.5)

    optimizer.param_groups[0].update(lr=0.125, weight_decay=0.25)

    assert {"    lr: 0.125", "    weight_decay: 0.25"} <= set(str(optimizer).splitlines())


@claim("optimizer-prints-its-options", truth=True)
def test_every_option_of_the_group_is_shown_and_there_are_more_than_five():
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.03)

    shown = {line.split(":")[0].strip() for line in str(optimizer).splitlines() if ":" in line}

    assert shown == set(optimizer.param_groups[0]) - {"params"}
    five = {"dampening", "lr", "momentum", "nesterov", "weight_decay"}
    assert shown >= five | {"differentiable", "foreach", "maximize"}


# ── parameter-groups-have-own-learning-rates ──


@claim("parameter-groups-have-own-learning-rates")
def test_a_group_that_names_no_learning_rate_takes_the_default():
    first, second, third = nn.Linear(2, 1), nn.Linear(1, 3), nn.Linear(3, 1)

    optimizer = torch.optim.SGD(
        [
            {"params": first.parameters()},
            {"params": second.parameters(), "lr": 0.01},
            {"params": third.parameters()},
        ],
        lr=0.03,
    )

    assert [group["lr"] for group in optimizer.param_groups] == [0.03, 0.01, 0.03]
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 2, 2]


@claim("parameter-groups-have-own-learning-rates")
@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam])
def test_a_step_moves_each_group_by_its_own_rate(optimizer_class):
    """At gradient 1 the first step of either optimizer is the learning rate."""
    body, head = nn.Linear(2, 3), nn.Linear(3, 1)
    before = [parameter.detach().clone() for parameter in (*body.parameters(), *head.parameters())]
    groups = [{"params": body.parameters()}, {"params": head.parameters(), "lr": 0.25}]

    for parameter in (*body.parameters(), *head.parameters()):
        parameter.grad = torch.ones_like(parameter)
    optimizer_class(groups, lr=0.5).step()

    after = [*body.parameters(), *head.parameters()]
    for old, new, rate in zip(before, after, [0.5, 0.5, 0.25, 0.25]):
        torch.testing.assert_close(old - new.detach(), torch.full_like(old, rate))


@claim("parameter-groups-have-own-learning-rates")
def test_a_parameter_belongs_to_one_group_only():
    net = nn.Linear(2, 1)

    with pytest.raises(ValueError, match="appear in more than one parameter group"):
        torch.optim.SGD([{"params": net.parameters()}, {"params": [net.bias], "lr": 0.25}], lr=0.5)
