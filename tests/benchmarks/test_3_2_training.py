"""3.2 The parts of a training loop: batches, gradients, learning rates, epochs

Each part is compared with another that leaves the same batches, gradients, learning rates or parameters behind.
"""

import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LAYERS = [1, 10, 100, 1000]


@pytest.mark.comparison(size="examples", claims=["dataloader-yields-minibatches"])
@pytest.mark.parametrize("way", ["DataLoader", "split", "slices"])
@pytest.mark.parametrize("size", [100, 1000, 10_000])
def test_one_pass_over_the_data(size, way, measure):
    """Batches of ten, in order. A DataLoader asks for every example by itself and stacks them again."""
    x, y = torch.arange(2.0 * size).view(size, 2), torch.arange(size)
    loader = DataLoader(TensorDataset(x, y), batch_size=10)
    ways = {
        "DataLoader": lambda: list(loader),
        "split": lambda: list(zip(x.split(10), y.split(10))),
        "slices": lambda: [(x[start : start + 10], y[start : start + 10]) for start in range(0, size, 10)],
    }
    batches = measure(ways[way])
    assert len(batches) == size // 10
    assert torch.equal(torch.cat([features for features, _ in batches]), x)
    assert torch.equal(torch.cat([labels for _, labels in batches]), y)


@pytest.mark.comparison(
    size="parameters", claims=["optimizer-zero-grad-equals-net-zero-grad", "zero-grad-sets-gradients-to-zero"]
)
@pytest.mark.parametrize("way", ["to None", "to zero"])
@pytest.mark.parametrize("size", [10**3, 10**4, 10**5, 10**6, 10**7])
def test_clearing_gradients(size, way, measure):
    """Together with the backward pass that follows: after None it stores its gradient, after zeros it adds it."""
    w = torch.ones(size, requires_grad=True)
    w.grad = torch.ones(size)  # to be cleared
    optimizer = torch.optim.SGD([w], lr=0.1)
    loss = (w * 3).sum()

    def clear_and_backward():
        optimizer.zero_grad(set_to_none=way == "to None")
        loss.backward(retain_graph=True)
        return w.grad

    gradient = measure(clear_and_backward)
    assert torch.equal(gradient, torch.full([size], 3.0))


@pytest.mark.comparison(
    size="layers",
    claims=[
        "learning-rate-can-be-edited-in-place",
        "building-a-new-optimizer-is-the-recommended-way",
        "new-optimizer-is-cheap",
    ],
)
@pytest.mark.parametrize("way", ["edit param_groups", "scheduler", "new optimizer"])
@pytest.mark.parametrize("size", LAYERS)
def test_halving_the_learning_rate(size, way, measure):
    net = nn.Sequential(*[nn.Linear(10, 10) for _ in range(size)])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    with warnings.catch_warnings(action="ignore"):  # that the optimizer has made no step yet
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5)
        scheduler.step()
    for group in optimizer.param_groups:
        group["lr"] = 0.2  # again: the scheduler has halved it already

    def edit():
        for group in optimizer.param_groups:
            group["lr"] = 0.1
        return optimizer

    def step_the_scheduler():
        scheduler.step()
        return optimizer

    def build():
        return torch.optim.SGD(net.parameters(), lr=0.1)

    ways = {"edit param_groups": edit, "scheduler": step_the_scheduler, "new optimizer": build}
    changed = measure(ways[way])
    assert [group["lr"] for group in changed.param_groups] == [0.1]
    assert sum(len(group["params"]) for group in changed.param_groups) == 2 * size


@pytest.mark.comparison(
    size="layers", claims=["parameter-groups-have-own-learning-rates", "weights-alone-can-be-decayed"]
)
@pytest.mark.parametrize("way", ["one optimizer, two groups", "two optimizers"])
@pytest.mark.parametrize("size", LAYERS)
def test_a_step_with_weights_and_biases_apart(size, way, measure):
    """A gradient of -0.5 and a decay by 0.5 take every weight to 1 in one step, where it rests; a bias without either
    rests where it is.
    """
    net = nn.Sequential(*[nn.Linear(10, 10) for _ in range(size)])
    weights = [layer.weight for layer in net]
    biases = [layer.bias for layer in net]
    for weight, bias in zip(weights, biases):
        nn.init.constant_(weight, 3.0)
        nn.init.ones_(bias)
        weight.grad, bias.grad = torch.full_like(weight, -0.5), torch.zeros_like(bias)
    apart = [{"params": weights, "weight_decay": 0.5}, {"params": biases, "weight_decay": 0.0}]
    groups = [apart] if way == "one optimizer, two groups" else [[group] for group in apart]
    optimizers = [torch.optim.SGD(of_one, lr=2.0) for of_one in groups]  # 3 - 2 * (-0.5 + 0.5 * 3) = 1

    def step():
        for optimizer in optimizers:
            optimizer.step()

    measure(step)
    assert all((parameter == 1).all() for parameter in net.parameters())


@pytest.mark.comparison(
    size="examples", claims=["batch-size-and-lr-are-hyperparameters", "sgd-step-subtracts-scaled-mean-gradient"]
)
@pytest.mark.parametrize("way", ["one batch", "batches of 100", "batches of 10"])
@pytest.mark.parametrize("size", [100, 1000, 10_000, 100_000])
def test_one_epoch(size, way, measure):
    """With steps so small that none is felt by the next, many steps and one long step come to the same parameters."""
    x, true = torch.randn(size, 2), torch.tensor([2.0, -3.0])
    y = x @ true
    batch = {"one batch": size, "batches of 100": 100, "batches of 10": 10}[way]
    rate = 1e-9 * batch

    def epoch():
        w = torch.zeros(2)
        for features, labels in zip(x.split(batch), y.split(batch)):
            w = w - rate * ((features @ w - labels) @ features) / batch
        return w

    w = measure(epoch)
    # A step changes the errors of those after it by some size * 1e-9 = 1e-4 of themselves or less.
    torch.testing.assert_close(w, 1e-9 * (y @ x), rtol=1e-3, atol=0)
