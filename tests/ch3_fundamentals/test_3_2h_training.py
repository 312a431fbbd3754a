"""3.2 Linear regression in PyTorch: training

The training loop repeats four lines for each mini-batch: compute the loss, clear the gradients of the previous batch,
run `backward()`, and let the optimizer `step()`. The gradients must be cleared since `backward()` adds to them. The
average over the mini-batch comes from the loss, not from the optimizer. After three epochs the network has found the
parameters that made the data, but for the noise.
"""

import numpy as np
import pytest
import torch
from harness.measured import curve
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

claim = pytest.mark.claim


# ── step-updates-parameters ──


@claim("step-updates-parameters")
@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_a_step_moves_every_element_against_its_gradient_and_in_place(optimizer_class):
    net = nn.Linear(3, 2)
    parameters, before = [net.weight, net.bias], [net.weight.tolist(), net.bias.tolist()]
    memory = [parameter.data_ptr() for parameter in parameters]

    net.weight.grad = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
    net.bias.grad = torch.tensor([-7.0, 8.0])
    optimizer_class(net.parameters(), lr=0.01).step()

    change_of_weight = (net.weight - torch.tensor(before[0])).sign().tolist()
    change_of_bias = (net.bias - torch.tensor(before[1])).sign().tolist()
    assert change_of_weight == [[-1.0, 1.0, -1.0], [1.0, -1.0, 1.0]]
    assert change_of_bias == [1.0, -1.0]
    assert (net.weight is parameters[0], net.bias is parameters[1]) == (True, True)
    assert [parameter.data_ptr() for parameter in parameters] == memory


@claim("step-updates-parameters")
@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_a_parameter_without_a_gradient_stays(optimizer_class):
    used, unused = nn.Linear(2, 1), nn.Linear(2, 1)
    before = [used.weight.tolist(), unused.weight.tolist(), unused.bias.tolist()]
    optimizer = optimizer_class([*used.parameters(), *unused.parameters()], lr=0.01)

    used(torch.tensor([[1.0, 2.0]])).sum().backward()
    optimizer.step()

    assert used.weight.tolist() != before[0]
    assert [unused.weight.tolist(), unused.bias.tolist()] == before[1:]


@claim("step-updates-parameters")
def test_a_step_leaves_the_gradient_so_that_further_steps_use_it_again():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.5)
    w.grad = torch.tensor([4.0, -2.0])

    values = []
    for _ in range(4):
        optimizer.step()
        values.append(w.tolist())

    assert values == [[-1.0, 3.0], [-3.0, 4.0], [-5.0, 5.0], [-7.0, 6.0]]
    assert w.grad.tolist() == [4.0, -2.0]


# ── step-is-given-the-batch-size ──


@claim("step-is-given-the-batch-size")
def test_a_step_averages_the_summed_gradients_of_the_samples():
    """Errors 1, 2 and 3 of the prediction 0: the summed gradient is -12, its average over the batch -4."""
    w = torch.tensor(0.0, requires_grad=True)

    nn.MSELoss(reduction="sum")(w.expand(3), torch.tensor([1.0, 2.0, 3.0])).backward()
    torch.optim.SGD([w], lr=0.5).step()

    assert w.item() == 0.5 * 4


@claim("step-is-given-the-batch-size", truth=True)
def test_a_step_takes_no_batch_size():
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.5)

    with pytest.raises(TypeError, match="unexpected keyword argument 'batch_size'"):
        optimizer.step(batch_size=3)


@claim("step-is-given-the-batch-size", truth=True)
@pytest.mark.parametrize(("reduction", "gradient"), [("mean", -4.0), ("sum", -12.0)])
def test_the_loss_decides_whether_gradients_are_averaged_or_summed(reduction, gradient):
    w = torch.tensor(0.0, requires_grad=True)

    nn.MSELoss(reduction=reduction)(w.expand(3), torch.tensor([1.0, 2.0, 3.0])).backward()
    torch.optim.SGD([w], lr=0.5).step()

    assert w.grad.item() == gradient
    assert w.item() == -0.5 * gradient


@claim("step-is-given-the-batch-size", truth=True)
@pytest.mark.parametrize(("batch", "outputs"), [(5, 1), (4, 3), (1, 2)])
def test_the_summed_loss_has_a_gradient_batch_size_times_outputs_as_large(batch, outputs):
    net = nn.Linear(2, outputs)
    x, y = torch.randn(batch, 2), torch.randn(batch, outputs)

    (mean,) = torch.autograd.grad(nn.MSELoss(reduction="mean")(net(x), y), net.weight)
    (total,) = torch.autograd.grad(nn.MSELoss(reduction="sum")(net(x), y), net.weight)

    torch.testing.assert_close(total, batch * outputs * mean)


# ── optimizer-zero-grad-equals-net-zero-grad ──


def backward(*nets):
    for net in nets:
        net(torch.ones(1, 2)).sum().backward()
    return [parameter for net in nets for parameter in net.parameters()]


@claim("optimizer-zero-grad-equals-net-zero-grad")
@pytest.mark.parametrize(
    "clear", [lambda net, optimizer: net.zero_grad(), lambda net, optimizer: optimizer.zero_grad()]
)
def test_either_clears_all_gradients_of_a_network_that_the_optimizer_holds_whole(clear):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03)
    parameters = backward(net)
    assert [parameter.grad is None for parameter in parameters] == [False] * 4
    net[0].weight.requires_grad_(False)  # frozen since: its gradient is cleared all the same

    clear(net, optimizer)

    assert [parameter.grad for parameter in parameters] == [None] * 4
    backward(net)  # nothing is left to add to: the gradient of the last bias is 1 again, not 2
    assert parameters[-1].grad.tolist() == [1.0]


@claim("optimizer-zero-grad-equals-net-zero-grad", truth=True)
def test_an_optimizer_of_a_part_clears_that_part_only():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(net[1].parameters(), lr=0.03)
    parameters = backward(net)

    optimizer.zero_grad()
    assert [parameter.grad is None for parameter in parameters] == [False, False, True, True]

    net.zero_grad()
    assert [parameter.grad is None for parameter in parameters] == [True] * 4


@claim("optimizer-zero-grad-equals-net-zero-grad", truth=True)
def test_an_optimizer_of_two_networks_clears_both():
    first, second = nn.Linear(2, 1), nn.Linear(2, 3)
    optimizer = torch.optim.SGD([{"params": first.parameters()}, {"params": second.parameters()}], lr=0.03)
    parameters = backward(first, second)

    first.zero_grad()
    assert [parameter.grad is None for parameter in parameters] == [True, True, False, False]

    optimizer.zero_grad()
    assert [parameter.grad is None for parameter in parameters] == [True] * 4


# ── zero-grad-sets-gradients-to-zero ──


@claim("zero-grad-sets-gradients-to-zero")
@pytest.mark.parametrize("owner", [lambda net: net, lambda net: torch.optim.SGD(net.parameters(), lr=0.03)])
def test_zero_grad_leaves_gradients_of_zero(owner):
    net = nn.Linear(2, 1)
    backward(net)

    owner(net).zero_grad()

    assert isinstance(net.weight.grad, torch.Tensor) is True
    assert net.weight.grad.tolist() == [[0.0, 0.0]]


@claim("zero-grad-sets-gradients-to-zero", truth=True)
@pytest.mark.parametrize("owner", [lambda net: net, lambda net: torch.optim.SGD(net.parameters(), lr=0.03)])
def test_zero_grad_sets_the_gradients_to_none(owner):
    net = nn.Linear(2, 1)
    parameters = backward(net)

    owner(net).zero_grad()

    assert [parameter.grad for parameter in parameters] == [None, None]


@claim("zero-grad-sets-gradients-to-zero", truth=True)
@pytest.mark.parametrize("owner", [lambda net: net, lambda net: torch.optim.SGD(net.parameters(), lr=0.03)])
def test_on_request_zero_grad_fills_the_gradients_with_zeros(owner):
    net = nn.Linear(2, 1)
    gradient = backward(net)[0].grad
    gradient[0, 1] = float("inf")  # 0 times infinity would be NaN

    owner(net).zero_grad(set_to_none=False)

    assert [parameter.grad.tolist() for parameter in net.parameters()] == [[[0.0, 0.0]], [0.0]]
    assert net.weight.grad.data_ptr() == gradient.data_ptr()


# ── linear-regression-converges ──


@pytest.fixture(scope="module")
def training(device):
    """The network of section 3.2, trained for three epochs, with the loss over the whole set and of the last batch."""
    features = torch.tensor(np.random.normal(0, 1, (1000, 2)), dtype=torch.float32)
    noise = torch.tensor(np.random.normal(0, 0.01, 1000), dtype=torch.float32)
    labels = 2 * features[:, 0] - 3.4 * features[:, 1] + 4.2 + noise
    generator = torch.Generator(device).manual_seed(torch.initial_seed())
    batches = DataLoader(TensorDataset(features, labels), batch_size=10, shuffle=True, generator=generator)

    net = nn.Sequential(nn.Linear(2, 1))
    nn.init.normal_(net[0].weight, mean=0, std=0.01)
    nn.init.constant_(net[0].bias, val=0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03)
    loss = nn.MSELoss()

    of_set, of_last_batch = [], []
    for _ in range(3):
        for x, y in batches:
            error = loss(net(x), y.view(-1, 1))
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        of_last_batch.append(error.item())
        of_set.append(loss(net(features), labels.view(-1, 1)).item())
    return net[0], of_set, of_last_batch


@claim("linear-regression-converges")
def test_one_epoch_brings_the_loss_below_a_thousandth(training):
    """Before training it is about 2**2 + 3.4**2 + 4.2**2 = 33."""
    _, of_set, _ = training

    assert of_set[0] < 1e-3


@claim("linear-regression-converges")
def test_three_epochs_bring_the_loss_to_the_order_of_the_noise(training, record_property):
    """No model does better than the noise, whose variance is 1e-4; over 1000 examples it is known to 4.5 %, a ninth of
    the bound.
    """
    _, of_set, of_last_batch = training
    record_property("curve", curve("epoch", "loss", whole_set=of_set, last_batch=of_last_batch))

    assert of_set[2] == pytest.approx(1e-4, rel=0.4)
    # Ten errors of the noise alone have a mean square above 1e-3 once in 1e16 batches.
    assert max(of_last_batch[1:]) < 1e-3


@claim("linear-regression-converges")
def test_training_recovers_the_parameters_that_made_the_data(training):
    layer, _, _ = training

    # Noise of 0.01 and steps at this rate leave the parameters a standard deviation of 0.0006 off.
    assert layer.weight.flatten().tolist() == pytest.approx([2, -3.4], abs=0.01)
    assert layer.bias.tolist() == pytest.approx([4.2], abs=0.01)
