"""3.7 Dropout

While a network trains, dropout sets each hidden unit to zero with probability $p$. Which units go is drawn by chance,
for every example and in every forward pass, so that no unit can rely on another being there. What survives is divided
by $1 - p$ at once, which keeps its expectation, $p \\cdot 0 + (1 - p) \\cdot h / (1 - p) = h$: that is *inverted*
dropout, and nothing remains to be done in evaluation. A module has two modes, switched by `train()` and `eval()`, and
dropout acts in the first alone. It has no parameters, and $p$ is chosen, not learned.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim


@claim("dropout-counters-overfitting")
def test_the_gap_between_test_and_training_loss_narrows():
    """A fifth of the labels is wrong."""
    data, rule = np.random.randn(300, 20), np.random.randn(20, 1)
    x = torch.tensor(data, dtype=torch.float32)
    y = torch.tensor((data @ rule > 0) ^ (np.random.rand(300, 1) < 0.2), dtype=torch.float32)
    gap = {}
    for p in (0.0, 0.5):
        first, second = nn.Sequential(nn.Linear(20, 64), nn.ReLU()), nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        net = nn.Sequential(first, nn.Dropout(p), second, nn.Dropout(p), nn.Linear(64, 1))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
        for _ in range(20):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(net(x[:100]), y[:100]).backward()
            optimizer.step()
        net.eval()
        losses = [F.binary_cross_entropy_with_logits(net(x[part]), y[part]) for part in (slice(100), slice(100, 300))]
        gap[p] = (losses[1] - losses[0]).item()

    assert gap[0.0] > 0  # it overfits
    assert gap[0.5] < 0.75 * gap[0.0]  # at most 0.4 times as large in each of 300 trials


@claim("dropout-counters-overfitting", truth=True)
def test_with_one_small_layer_and_large_steps_the_gap_grows():
    data, rule = np.random.randn(330, 20), np.random.randn(20, 1)
    x = torch.tensor(data, dtype=torch.float32)
    y = torch.tensor((data @ rule > 0) ^ (np.random.rand(330, 1) < 0.2), dtype=torch.float32)
    gap = {}
    for p in (0.0, 0.5):
        net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(p), nn.Linear(64, 1))
        optimizer = torch.optim.SGD(net.parameters(), lr=1.5, momentum=0.9)
        for _ in range(40):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(net(x[:30]), y[:30]).backward()
            optimizer.step()
        net.eval()
        losses = [F.binary_cross_entropy_with_logits(net(x[part]), y[part]) for part in (slice(30), slice(30, 330))]
        gap[p] = (losses[1] - losses[0]).item()

    assert gap[0.5] > 2 * gap[0.0]  # at least 9 times as large in each of 1,200 trials


@claim("dropout-zeroes-with-probability-p")
def test_a_quarter_of_the_units_is_zero_and_others_in_each_pass():
    layer, units = nn.Dropout(0.25), torch.ones(400, 500)

    first, second = layer(units).cpu() == 0, layer(units).cpu() == 0

    # of 200,000 draws the fraction is off by 0.007 less than once in 1e11 times
    assert first.float().mean().item() == pytest.approx(0.25, abs=0.007)
    assert (first & second).float().mean().item() == pytest.approx(0.25 * 0.25, abs=0.007)
    assert (first[:, 1:] & first[:, :-1]).float().mean().item() == pytest.approx(0.25 * 0.25, abs=0.007)


@claim("dropout-zeroes-with-probability-p", truth=True)
def test_after_eval_dropout_is_the_identity():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    units = torch.ones(1000)

    net.eval()
    assert net[1](units).tolist() == units.tolist()
    with torch.no_grad():  # switches recording off, not dropout
        net.train()
        assert 0 in net[1](units).tolist()


@claim("dropout-scales-survivors")
def test_survivors_of_three_quarters_are_four_times_as_large():
    units = torch.tensor([1.0, 2.0, -3.0]).repeat(1000)

    outputs = nn.Dropout(0.75)(units).view(1000, 3)

    assert set(outputs[:, 0].tolist()) == {0, 4}
    assert set(outputs[:, 1].tolist()) == {0, 8}
    assert set(outputs[:, 2].tolist()) == {0, -12}


@claim("dropout-scales-survivors", truth=True)
def test_in_evaluation_nothing_is_scaled():
    units = torch.tensor([1.0, 2.0, -3.0], requires_grad=True)

    outputs = nn.Dropout(0.75).eval()(units)
    outputs.backward(torch.tensor([1.0, 10.0, 100.0]))

    assert outputs.tolist() == [1, 2, -3]
    assert units.grad.tolist() == [1, 10, 100]


@claim("dropout-p-is-a-hyperparameter")
def test_p_is_a_number_that_no_optimizer_sees():
    layer, units = nn.Dropout(), torch.ones(1000)
    assert layer.p == 0.5
    assert list(layer.parameters()) == list(layer.state_dict()) == []

    layer.p = 0.75
    assert set(layer(units).tolist()) == {0, 4}
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
        nn.Dropout(1.5)


@claim("dropout-keeps-the-expectation")
def test_the_mean_over_many_masks_is_the_input():
    units = torch.tensor([3.0, -2.0, 0.5])

    mean = nn.Dropout(0.5)(units.expand(100_000, 3)).mean(0)

    # twice the unit or nothing: a mean of 100,000 is off by 2.5 % of it less than once in 1e13 times
    assert mean.tolist() == pytest.approx([3, -2, 0.5], rel=0.025)


@claim("dropout-keeps-the-expectation", truth=True)
def test_with_p_of_one_nothing_is_left():
    units = torch.tensor([3.0, -2.0, 0.5], requires_grad=True)

    outputs = nn.Dropout(1.0)(units)
    outputs.sum().backward()

    assert outputs.tolist() == [0, 0, 0]
    assert units.grad.tolist() == [0, 0, 0]


@claim("dropout-layers-sit-between-linear-layers")
def test_a_perceptron_with_dropout_after_the_activation_of_each_hidden_layer():
    net = nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(128, 10),
    )
    for parameter in net.parameters():
        nn.init.normal_(parameter, mean=0, std=0.01)
    images = torch.ones(5, 1, 28, 28)

    names = ["1.weight", "1.bias", "4.weight", "4.bias", "7.weight", "7.bias"]  # the linear layers', and no others
    assert [name for name, _ in net.named_parameters()] == names
    assert net(images).shape == (5, 10)
    assert net(images).tolist() != net(images).tolist()
    net.eval()
    assert net(images).tolist() == net(images).tolist()


@claim("functional-dropout-does-not-know-eval")
def test_f_dropout_in_forward_drops_after_eval_unless_it_is_told():
    class Forgetful(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5)

    class Told(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5, training=self.training)

    units = torch.ones(1000)

    assert 0 in Forgetful().eval()(units).tolist()
    assert Told().eval()(units).tolist() == units.tolist()
    assert 0 in Told()(units).tolist()
