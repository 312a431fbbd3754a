"""3.2 Linear regression in PyTorch: training

The training loop repeats four lines for each mini-batch: compute the loss, clear the gradients of the mini-batch
before, run `backward()`, and let the optimizer `step()`. Gradients must be cleared since `backward()` adds to them. The
average over the mini-batch comes from the loss, not from the optimizer. One pass over the data set is an **epoch**;
after three of them the network has found the parameters that made the data, but for the noise.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

claim = pytest.mark.claim


@claim("step-updates-parameters")
def test_a_step_moves_every_element_against_its_gradient_in_place():
    w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    address = w.data_ptr()

    w.grad = torch.tensor([4.0, -2.0, 0.0])
    torch.optim.SGD([w], lr=0.5).step()

    assert w.tolist() == [1 - 0.5 * 4, 2 + 0.5 * 2, 3.0]
    assert w.data_ptr() == address


@claim("step-updates-parameters", truth=True)
def test_a_parameter_without_a_gradient_stays():
    used, unused = torch.tensor([1.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    optimizer = torch.optim.Adam([used, unused], lr=0.5, weight_decay=0.5)

    (3 * used).backward()
    optimizer.step()

    assert used.item() != 1.0
    assert (unused.item(), unused.grad) == (1.0, None)
    with pytest.raises(TypeError, match="closure"):
        torch.optim.LBFGS([used], lr=0.5).step()


@claim("step-is-given-the-batch-size")
def test_a_step_averages_the_summed_gradients_of_the_samples():
    """Mistaken: it uses the gradients as they are, here the sum."""
    w = torch.tensor(0.0, requires_grad=True)

    nn.MSELoss(reduction="sum")(w.expand(3), torch.tensor([1.0, 2.0, 3.0])).backward()
    assert w.grad.item() == -12.0
    torch.optim.SGD([w], lr=0.5).step()

    assert w.item() == 0.5 * 12 / 3


@claim("step-is-given-the-batch-size", truth=True)
def test_the_loss_averages_and_step_takes_no_batch_size():
    net = nn.Linear(2, 3)  # three outputs
    x, y = torch.tensor([[1.0, -2.0], [3.0, 0.5], [0.0, 4.0], [2.0, 2.0]]), torch.zeros(4, 3)

    (mean,) = torch.autograd.grad(nn.MSELoss(reduction="mean")(net(x), y), net.bias)
    (total,) = torch.autograd.grad(nn.MSELoss(reduction="sum")(net(x), y), net.bias)

    assert total.tolist() == pytest.approx([4 * 3 * each for each in mean.tolist()], rel=1e-5, abs=1e-6)
    with pytest.raises(TypeError, match="batch_size"):
        torch.optim.SGD(net.parameters(), lr=0.5).step(batch_size=4)


@claim("optimizer-zero-grad-equals-net-zero-grad")
def test_either_clears_all_gradients_of_a_network_that_the_optimizer_holds_whole():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03)

    for owner in (net, optimizer):
        net(torch.ones(1, 2)).sum().backward()
        assert [parameter.grad is None for parameter in net.parameters()] == [False] * 4
        owner.zero_grad()
        assert [parameter.grad for parameter in net.parameters()] == [None] * 4


@claim("optimizer-zero-grad-equals-net-zero-grad", truth=True)
def test_an_optimizer_of_a_part_clears_that_part_and_one_of_two_networks_clears_both():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    net(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(net[1].parameters(), lr=0.03).zero_grad()

    assert [parameter.grad is None for parameter in net.parameters()] == [False, False, True, True]

    other = nn.Linear(2, 1)
    other(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD([*net.parameters(), *other.parameters()], lr=0.03).zero_grad()
    assert [parameter.grad for parameter in other.parameters()] == [None, None]


@claim("zero-grad-sets-gradients-to-zero")
def test_zero_grad_leaves_gradients_of_zero():
    """Superseded: since torch 2.0 it leaves no gradients, unless told otherwise."""
    net = nn.Linear(2, 1)
    net(torch.ones(1, 2)).sum().backward()

    net.zero_grad()

    assert net.weight.grad is not None
    assert net.weight.grad.tolist() == [[0.0, 0.0]]


@claim("zero-grad-sets-gradients-to-zero", truth=True)
def test_zero_grad_sets_the_gradients_to_none_and_on_request_to_zero():
    net = nn.Linear(2, 1)

    net(torch.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.weight.grad.tolist() == [[0.0, 0.0]]

    net.zero_grad()
    assert net.weight.grad is None


@claim("linear-regression-converges")
def test_three_epochs_find_the_parameters_that_made_the_data(capsys):
    features = torch.tensor(np.random.normal(0, 1, (1000, 2)), dtype=torch.float32)
    labels = 2 * features[:, 0] - 3.4 * features[:, 1] + 4.2
    labels += torch.tensor(np.random.normal(0, 0.01, 1000), dtype=torch.float32)
    order = np.random.permutation(1000).tolist()
    batches = DataLoader(TensorDataset(features, labels), batch_size=10, sampler=order)
    net = nn.Sequential(nn.Linear(2, 1))
    nn.init.normal_(net[0].weight, mean=0, std=0.01)
    nn.init.constant_(net[0].bias, val=0)
    loss, optimizer = nn.MSELoss(), torch.optim.SGD(net.parameters(), lr=0.03)

    for epoch in range(1, 4):
        for x, y in batches:
            error = loss(net(x), y.view(-1, 1))
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        print(f"epoch {epoch}, loss: {error.item():f}")

    assert float(capsys.readouterr().out.split()[-1]) < 1e-3  # ten errors of the noise of 0.01
    assert net[0].weight.tolist() == [pytest.approx([2, -3.4], abs=0.01)]
    assert net[0].bias.tolist() == pytest.approx([4.2], abs=0.01)


@claim("epoch-loss-weights-batches-by-size")
def test_a_last_mini_batch_of_one_counts_for_one_example():
    predicted, labels = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 1.0, 1.0, 6.0])
    batches = DataLoader(TensorDataset(predicted, labels), batch_size=2)

    losses = [(nn.MSELoss()(x, y).item(), len(y)) for x, y in batches]

    assert losses == [(1.0, 2), (1.0, 2), (36.0, 1)]
    assert nn.MSELoss()(predicted, labels).item() == 8.0
    assert losses[-1][0] == 36.0  # what the notes' loop prints
    assert sum(loss for loss, _ in losses) / len(losses) == 38 / 3
    assert sum(loss * size for loss, size in losses) / sum(size for _, size in losses) == 8.0
