"""3.6 Weight decay: the option of the optimizers

Written from scratch, weight decay is a term in the loss. In PyTorch it is an option of the optimizer: `weight_decay`
adds lambda * p to the gradient of every parameter p that the optimizer holds, without a word about whether p is a
weight or a bias. To spare the biases one hands the two kinds to two optimizers, or to two parameter groups of one
optimizer, and tells them apart by name. The two forms agree only where the loss is averaged, and halved, alike.
"""

import itertools

import pytest
import torch
from torch import nn

claim = pytest.mark.claim

X = [[1.0, -2.0], [0.5, 1.5], [2.0, 0.0], [-1.0, 0.5], [3.0, 1.0], [0.0, -1.0]]
Y = [1.0, -2.0, 0.5, 3.0, -1.0, 2.0]
W, B = [2.0, -3.0], 5.0


def half_squared_loss(x, w, b, y):
    """One loss per sample, as the version from scratch has it."""
    return (x @ w + b - y) ** 2 / 2


def train_from_scratch(lambd, batch_size, penalty_per_sample=True):
    """Three epochs over six samples in fixed order, learning rate 0.1. Returns w1, w2, b."""
    x, y = torch.tensor(X), torch.tensor(Y)
    w, b = torch.tensor(W, requires_grad=True), torch.tensor(B, requires_grad=True)
    for _, start in itertools.product(range(3), range(0, 6, batch_size)):
        batch = slice(start, start + batch_size)
        losses, penalty = half_squared_loss(x[batch], w, b, y[batch]), lambd * (w**2).sum() / 2
        total = (losses + penalty).sum() if penalty_per_sample else losses.sum() + penalty
        total.backward()
        with torch.no_grad():
            for p in (w, b):
                p -= 0.1 * p.grad / batch_size
                p.grad.zero_()
    return torch.stack([*w.detach(), b.detach()])


def train_by_option(lambd, batch_size, bias_decay=0.0, loss_of=lambda losses: losses.mean()):
    """The same training with SGD and its option, starting from the same parameters. Returns w1, w2, b."""
    x, y = torch.tensor(X), torch.tensor(Y)
    w, b = torch.tensor(W, requires_grad=True), torch.tensor(B, requires_grad=True)
    groups = [{"params": [w], "weight_decay": lambd}, {"params": [b], "weight_decay": bias_decay}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    for _, start in itertools.product(range(3), range(0, 6, batch_size)):
        batch = slice(start, start + batch_size)
        optimizer.zero_grad()
        loss_of(half_squared_loss(x[batch], w, b, y[batch])).backward()
        optimizer.step()
    return torch.stack([*w.detach(), b.detach()])


def distance(one, other):
    return (one - other).abs().max().item()


# ── from-scratch-equals-weight-decay-option ──


@claim("from-scratch-equals-weight-decay-option")
@claim("from-scratch-equals-weight-decay-option", truth=True)
@pytest.mark.parametrize("batch_size", [1, 2, 3, 6])
def test_both_trainings_end_in_the_same_parameters(batch_size):
    by_hand, by_option = train_from_scratch(0.7, batch_size), train_by_option(0.7, batch_size)
    torch.testing.assert_close(by_hand, by_option, rtol=1e-4, atol=1e-5)  # float32: the two round differently
    assert distance(by_hand, train_from_scratch(0.0, batch_size)) > 0.1  # the penalty had its effect


@claim("from-scratch-equals-weight-decay-option", truth=True)
def test_a_penalty_added_once_per_batch_decays_by_the_batch_size_less():
    once_per_batch = train_from_scratch(0.6, 3, penalty_per_sample=False)
    torch.testing.assert_close(once_per_batch, train_by_option(0.6 / 3, 3), rtol=1e-4, atol=1e-5)
    assert distance(once_per_batch, train_by_option(0.6, 3)) > 0.1


@claim("from-scratch-equals-weight-decay-option", truth=True)
def test_a_loss_that_is_not_halved_does_not_match():
    by_mean_squared_error = train_by_option(0.7, 3, loss_of=lambda losses: (2 * losses).mean())
    assert distance(train_from_scratch(0.7, 3), by_mean_squared_error) > 0.1


@claim("from-scratch-equals-weight-decay-option", truth=True)
def test_a_loss_that_is_summed_does_not_match():
    assert distance(train_from_scratch(0.7, 3), train_by_option(0.7, 3, loss_of=lambda losses: losses.sum())) > 0.1


@claim("from-scratch-equals-weight-decay-option", truth=True)
def test_a_decayed_bias_does_not_match():
    assert distance(train_from_scratch(0.7, 3), train_by_option(0.7, 3, bias_decay=0.7)) > 0.1


@claim("from-scratch-equals-weight-decay-option", truth=True)
def test_a_batch_size_that_leaves_a_remainder_does_not_match():
    """Of six samples in batches of four, the last batch has two: divided by four, its step is half as long."""
    assert distance(train_from_scratch(0.7, 4), train_by_option(0.7, 4)) > 0.1


# ── weight-decay-decays-bias-by-default ──


def parameters_with_zero_gradients(module):
    """Fills parameters with random values, so that every element counts, and gradients with zeros; returns copies.

    Zero gradients leave the decay alone to move the parameters: with a learning rate of 0.5 and a `weight_decay` of
    0.25, a step of SGD multiplies them by 1 - 0.5 * 0.25 = 0.875.
    """
    for p in module.parameters():
        nn.init.normal_(p)
        p.grad = torch.zeros_like(p)
    return {name: p.detach().clone() for name, p in module.named_parameters()}


@claim("weight-decay-decays-bias-by-default")
def test_weight_and_bias_decay_by_the_same_factor_in_each_step():
    net = nn.Linear(3, 2)
    before = parameters_with_zero_gradients(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, weight_decay=0.25)
    for steps in (1, 2):
        optimizer.step()
        torch.testing.assert_close(net.weight.detach(), before["weight"] * 0.875**steps)
        torch.testing.assert_close(net.bias.detach(), before["bias"] * 0.875**steps)


@claim("weight-decay-decays-bias-by-default")
def test_every_parameter_of_every_layer_decays():
    net = nn.Sequential(nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), nn.ReLU(), nn.Sequential(nn.Linear(4, 5)), nn.PReLU())
    before = parameters_with_zero_gradients(net)
    torch.optim.SGD(net.parameters(), lr=0.5, weight_decay=0.25).step()
    assert list(before) == ["0.weight", "0.bias", "1.weight", "1.bias", "3.0.weight", "3.0.bias", "4.weight"]
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.detach(), before[name] * 0.875)


@claim("weight-decay-decays-bias-by-default")
@pytest.mark.parametrize("kind", ["Adam", "AdamW", "RMSprop", "Adagrad", "Adamax", "NAdam", "RAdam"])
def test_other_optimizers_decay_biases_too(kind):
    net = nn.Linear(3, 2)
    before = parameters_with_zero_gradients(net)
    getattr(torch.optim, kind)(net.parameters(), lr=0.01, weight_decay=0.25).step()
    for name, p in net.named_parameters():
        assert torch.all((p - before[name]) * before[name] < 0).item() is True  # each element moved towards zero


@claim("weight-decay-decays-bias-by-default")
def test_sgd_decays_nothing_unless_told_to():
    net = nn.Linear(3, 2)
    before = parameters_with_zero_gradients(net)
    torch.optim.SGD(net.parameters(), lr=0.5).step()
    assert torch.equal(net.weight, before["weight"]) is True
    assert torch.equal(net.bias, before["bias"]) is True


@claim("weight-decay-decays-bias-by-default")
def test_a_parameter_without_a_gradient_does_not_decay():
    net = nn.Linear(3, 2)
    before = parameters_with_zero_gradients(net)
    net.bias.grad = None
    torch.optim.SGD(net.parameters(), lr=0.5, weight_decay=0.25).step()
    torch.testing.assert_close(net.weight.detach(), before["weight"] * 0.875)
    assert torch.equal(net.bias, before["bias"]) is True


@claim("weight-decay-decays-bias-by-default")
def test_a_parameter_that_the_optimizer_does_not_hold_does_not_decay():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    before = parameters_with_zero_gradients(net)
    torch.optim.SGD(net[0].parameters(), lr=0.5, weight_decay=0.25).step()
    torch.testing.assert_close(net[0].weight.detach(), before["0.weight"] * 0.875)
    assert torch.equal(net[1].weight, before["1.weight"]) is True


# ── weight-names-end-in-weight ──


@claim("weight-names-end-in-weight")
@pytest.mark.parametrize(
    "layer_type, sizes",
    [
        (nn.Linear, (3, 2)),
        (nn.Conv1d, (3, 2, 1)),
        (nn.Conv2d, (3, 2, 1)),
        (nn.Conv3d, (3, 2, 1)),
        (nn.ConvTranspose2d, (3, 2, 1)),
        (nn.Bilinear, (3, 2, 4)),
    ],
)
def test_layers_name_their_parameters_weight_and_bias(layer_type, sizes):
    assert [name for name, _ in layer_type(*sizes).named_parameters()] == ["weight", "bias"]


@claim("weight-names-end-in-weight")
def test_in_a_network_the_names_still_end_in_weight():
    net = nn.Sequential(nn.Embedding(9, 4), nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nn.Linear(3, 1, bias=False))
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "1.0.weight", "1.0.bias", "2.weight"]


@claim("weight-names-end-in-weight", truth=True)
@pytest.mark.parametrize("layer_type", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_weights_end_in_the_number_of_their_layer(layer_type):
    names = [name for name, _ in layer_type(3, 2, num_layers=2).named_parameters()]
    assert [name for name in names if name.startswith("weight")] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "weight_ih_l1",
        "weight_hh_l1",
    ]
    assert [name for name in names if name.endswith("weight")] == []


@claim("weight-names-end-in-weight", truth=True)
@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.LayerNorm(3)], ids=lambda m: type(m).__name__
)
def test_the_scale_of_a_normalisation_layer_is_a_one_dimensional_weight(layer):
    assert {name: list(p.shape) for name, p in layer.named_parameters()} == {"weight": [3], "bias": [3]}


# ── weights-alone-can-be-decayed ──


def with_gradients(net):
    """Puts 1, 2, 3 ... over the parameters' elements and a gradient of 0.5 in each.

    With a learning rate of 0.5, a step of SGD subtracts 0.25 from k; with a `weight_decay` of 0.25 it makes k into
    (1 - 0.5 * 0.25) * k - 0.25 = 0.875 * k - 0.25.
    """
    for p in net.parameters():
        p.data = torch.arange(1.0, p.numel() + 1).reshape(p.shape)
        p.grad = torch.full_like(p, 0.5)
    return net


@claim("weights-alone-can-be-decayed")
def test_two_optimizers_decay_the_weights_alone():
    net = with_gradients(nn.Linear(3, 2))
    decaying = torch.optim.SGD([net.weight], lr=0.5, weight_decay=0.25)
    plain = torch.optim.SGD([net.bias], lr=0.5)
    decaying.step()
    assert net.weight.tolist() == [[0.875 * k - 0.25 for k in row] for row in ([1, 2, 3], [4, 5, 6])]
    assert net.bias.tolist() == [1.0, 2.0]  # each optimizer steps its own parameters only
    plain.step()
    assert net.weight.tolist() == [[0.875 * k - 0.25 for k in row] for row in ([1, 2, 3], [4, 5, 6])]
    assert net.bias.tolist() == [1 - 0.25, 2 - 0.25]


@claim("weights-alone-can-be-decayed")
@pytest.mark.parametrize("optimizer_type", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_two_groups_of_one_optimizer_do_as_two_optimizers(optimizer_type):
    grouped, separate = with_gradients(nn.Linear(3, 2)), with_gradients(nn.Linear(3, 2))
    groups = [{"params": [grouped.weight], "weight_decay": 0.25}, {"params": [grouped.bias]}]
    together = optimizer_type(groups, lr=0.5, weight_decay=0)
    decaying = optimizer_type([separate.weight], lr=0.5, weight_decay=0.25)
    plain = optimizer_type([separate.bias], lr=0.5, weight_decay=0)
    for optimizer in (together, decaying, plain, together, decaying, plain):
        optimizer.step()
    assert grouped.weight.tolist() == separate.weight.tolist()
    assert grouped.bias.tolist() == separate.bias.tolist()


@claim("weights-alone-can-be-decayed")
def test_a_group_added_later_keeps_its_own_decay():
    net = with_gradients(nn.Linear(3, 2))
    optimizer = torch.optim.SGD([net.bias], lr=0.5, momentum=0.9)
    optimizer.step()
    optimizer.add_param_group({"params": [net.weight], "weight_decay": 0.25})
    optimizer.step()
    assert net.weight.tolist() == [[0.875 * k - 0.25 for k in row] for row in ([1, 2, 3], [4, 5, 6])]
    torch.testing.assert_close(net.bias.detach(), torch.tensor([1.0, 2.0]) - 0.25 - 0.25 * 1.9)  # momentum, no decay


@claim("weights-alone-can-be-decayed")
def test_names_sort_the_parameters_of_a_network_into_two_groups():
    net = with_gradients(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))
    weights = [p for name, p in net.named_parameters() if name.endswith("weight")]
    biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
    torch.optim.SGD([{"params": weights, "weight_decay": 0.25}, {"params": biases}], lr=0.5).step()
    assert net[0].weight.tolist() == [[0.875 * k - 0.25 for k in row] for row in ([1, 2], [3, 4], [5, 6])]
    assert net[2].weight.tolist() == [[0.875 * k - 0.25 for k in (1, 2, 3)]]
    assert net[0].bias.tolist() == [1 - 0.25, 2 - 0.25, 3 - 0.25]
    assert net[2].bias.tolist() == [1 - 0.25]
