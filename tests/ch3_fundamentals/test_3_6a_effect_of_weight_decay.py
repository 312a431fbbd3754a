"""3.6 Weight decay: what it does

A model with many inputs and few examples can fit its training set perfectly and still predict badly: it overfits.
L2 regularisation adds a penalty to the loss, lambda times half the sum of the squared weights, so that a large weight
has to earn its keep. The gradient of that penalty is lambda * w; a step of gradient descent with learning rate lr
therefore multiplies each weight by 1 - lr * lambda before it follows the data. This is why the method is called
weight decay, and why the optimizers of PyTorch offer it as an option, `weight_decay`.
"""

import itertools

import numpy as np
import pytest
import torch
from harness.measured import curve

claim = pytest.mark.claim

LAMBDAS = (0, 0.3, 1, 3, 10)


@pytest.fixture(scope="module")
def problems():
    """Ten regression problems, each with 20 training examples, 100 test examples and 200 inputs.

    Labels are 0.01 * (sum of the inputs) plus noise of standard deviation 0.01. Holds (train_x, train_y),
    (test_x, test_y), of shapes (10, examples, 200) and (10, examples, 1).
    """

    def draw(examples):
        x = torch.randn(10, examples, 200)
        return x, 0.01 * x.sum(-1, keepdim=True) + 0.01 * torch.randn(10, examples, 1)

    return draw(20), draw(100)


@pytest.fixture(scope="module")
def trained(problems):
    """The result of training on `problems` for each lambda: a dict from lambda to (weights, train losses, test losses).

    All lambdas start from the same weights, drawn from N(0, 1), and take 100 full-batch steps of SGD with learning
    rate 0.05 and `weight_decay` set to lambda. Losses are half-squared and averaged; there is no bias. One optimizer
    trains the ten independent problems side by side: weights are (10, 200, 1). Losses are (10, 10): after each tenth
    step, for each problem.
    """
    (train_x, train_y), (test_x, test_y) = problems
    start, results = torch.randn(10, 200, 1), {}

    def losses(w):
        """Of the training sets and of the test sets."""
        w = w.detach()
        return tuple(((x @ w - y) ** 2 / 2).mean((1, 2)) for x, y in ((train_x, train_y), (test_x, test_y)))

    for lambd in LAMBDAS:
        w = start.clone().requires_grad_()
        optimizer = torch.optim.SGD([w], lr=0.05, weight_decay=lambd)
        history = []
        for step in range(1, 101):
            loss = ((train_x @ w - train_y) ** 2 / 2).mean(1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 10 == 0:
                history.append(losses(w))
        results[lambd] = w.detach(), *(torch.stack(part) for part in zip(*history))
    return results


# ── weight-decay-counters-overfitting ──


@claim("weight-decay-counters-overfitting")
def test_without_weight_decay_the_model_overfits(trained):
    """200 weights fit 20 examples exactly; in the 180 directions that the examples leave open they stay at their start.

    Random weights of variance 1 in 180 directions add 180 / 2 = 90 to the half-squared test loss. Over 25 seeds the
    least of ten was 54 or more, the largest training loss below 1e-12.
    """
    _, train, test = trained[0]
    assert train[-1].max().item() < 1e-6
    assert test[-1].min().item() > 10


@claim("weight-decay-counters-overfitting")
def test_weight_decay_raises_the_training_loss_and_lowers_the_test_loss(trained, record_property):
    _, train_without, test_without = trained[0]
    _, train_with, test_with = trained[3]
    lines = {"training": train_without, "test": test_without, "training_decayed": train_with, "test_decayed": test_with}
    means = {name: losses.mean(1).tolist() for name, losses in lines.items()}
    record_property("curve", curve("ten steps", "loss", **means))
    assert torch.all(train_with[-1] > train_without[-1]).item() is True
    assert torch.all(test_with[-1] < test_without[-1] / 10).item() is True  # 5000 times less over 25 seeds


# ── weight-decay-equals-l2-regularisation ──


def trajectory(optimizer_type, steps=5, penalty=0.0, **options):
    """The weights after each step on a fixed regression problem, with `penalty` / 2 * ||w||^2 added to the loss."""
    x = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.5, 1.0], [2.0, 1.0, -1.0], [-1.0, 0.5, 3.0]])
    y = torch.tensor([1.0, -2.0, 0.5, 3.0])
    w = torch.tensor([2.0, -3.0, 0.5], requires_grad=True)
    optimizer, path = optimizer_type([w], **options), []
    for _ in range(steps):
        optimizer.zero_grad()
        (((x @ w - y) ** 2 / 2).mean() + penalty / 2 * (w**2).sum()).backward()
        optimizer.step()
        path.append(w.detach().clone())
    return torch.stack(path)


OPTIMIZERS = [
    pytest.param(torch.optim.SGD, {"lr": 0.1}, id="SGD"),
    pytest.param(torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, id="SGD with momentum"),
    pytest.param(torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, id="SGD with Nesterov momentum"),
    pytest.param(torch.optim.SGD, {"lr": 0.1, "foreach": True}, id="SGD, foreach"),
    pytest.param(torch.optim.Adam, {"lr": 0.1}, id="Adam"),
]


@claim("weight-decay-equals-l2-regularisation")
@claim("weight-decay-equals-l2-regularisation", truth=True)
@pytest.mark.parametrize("optimizer_type, options", OPTIMIZERS)
@pytest.mark.parametrize("lambd", [0.3, 2.0])
def test_the_option_takes_every_step_of_the_penalised_loss(optimizer_type, options, lambd):
    by_option = trajectory(optimizer_type, weight_decay=lambd, **options)
    by_penalty = trajectory(optimizer_type, penalty=lambd, **options)
    torch.testing.assert_close(by_option, by_penalty, rtol=1e-4, atol=1e-5)  # float32: the two round differently


@claim("weight-decay-equals-l2-regularisation")
@pytest.mark.parametrize("optimizer_type, options", OPTIMIZERS)
def test_the_option_changes_the_trajectory(optimizer_type, options):
    with_decay = trajectory(optimizer_type, weight_decay=2.0, **options)
    without = trajectory(optimizer_type, **options)
    assert (with_decay[-1] - without[-1]).abs().max().item() > 0.01


def one_step(optimizer_type):
    w = torch.tensor([2.0], requires_grad=True)
    w.grad = torch.tensor([-1.0])
    optimizer_type([w], lr=0.1, weight_decay=3).step()
    return w.item()


@claim("weight-decay-equals-l2-regularisation", truth=True)
def test_sgd_adds_lambda_w_to_the_gradient():
    assert one_step(torch.optim.SGD) == pytest.approx(2 - 0.1 * (-1 + 3 * 2))


@claim("weight-decay-equals-l2-regularisation", truth=True)
def test_adam_adds_lambda_w_to_the_gradient_before_it_normalises():
    """The first step of Adam is lr times the sign of the gradient; the penalty turns -1 into 5, and the
    sign with it.
    """
    assert one_step(torch.optim.Adam) == pytest.approx(2 - 0.1)


@claim("weight-decay-equals-l2-regularisation", truth=True)
def test_adamw_shrinks_the_weight_apart_from_the_normalised_gradient():
    assert one_step(torch.optim.AdamW) == pytest.approx(2 * (1 - 0.1 * 3) + 0.1)


@claim("weight-decay-equals-l2-regularisation", truth=True)
def test_adamw_leaves_the_trajectory_of_the_penalised_loss():
    decoupled = trajectory(torch.optim.AdamW, lr=0.1, weight_decay=2.0)
    penalised = trajectory(torch.optim.AdamW, lr=0.1, weight_decay=0.0, penalty=2.0)
    assert torch.all((decoupled - penalised).abs().amax(1) > 0.01).item() is True


# ── weight-decay-makes-parameters-smaller ──


@claim("weight-decay-makes-parameters-smaller")
@pytest.mark.parametrize("smaller, larger", list(itertools.pairwise(LAMBDAS)))
def test_the_norm_of_the_trained_weights_falls_as_lambda_grows(trained, smaller, larger):
    norm_smaller = (trained[smaller][0] ** 2).sum((1, 2)).sqrt()
    norm_larger = (trained[larger][0] ** 2).sum((1, 2)).sqrt()
    # Over 25 seeds the norm fell by 4.5, 29, 1.9 and 1.4 times or more from each lambda to the next.
    assert torch.all(norm_larger < norm_smaller / 1.1).item() is True


@claim("weight-decay-makes-parameters-smaller")
@pytest.mark.parametrize("lambd", [3, 10])
def test_training_ends_in_the_ridge_solution(problems, trained, lambd):
    """Half the mean squared error plus lambda / 2 * ||w||^2 is least at w = (X'X / n + lambda)^-1 X'y / n."""
    x, y = (part[0].cpu().double().numpy() for part in problems[0])
    expected = np.linalg.solve(x.T @ x / 20 + lambd * np.eye(200), x.T @ y / 20)
    # 100 steps leave at most (1 - 0.05 * 3)^100 < 1e-7 of the start; the rest is float32 rounding
    np.testing.assert_allclose(trained[lambd][0][0].cpu().numpy(), expected, rtol=0, atol=1e-5)
