"""4.9 GPU computing: training at full size

The tests of section 4.9 train on a few hundred examples, so that they take no time anywhere. Here it is a hundred
thousand, for a GPU: sums run over so many terms, and in so many parallel parts, that a mistake which small data
forgives would show. The data is made up, so that it is known how well a model can do. (Softmax regression and a
perceptron on the whole of Fashion-MNIST are in section 3.4.) Any accelerator takes a step with more examples than two
bytes can count.
"""

import numpy as np
import pytest
import torch
from harness.measured import curve
from populations import agree, among, each, over
from populations.comparing import accepted
from populations.gradients import grad_of
from populations.journeys import spot
from populations.layers import relu
from torch import nn

claim = pytest.mark.claim

EXAMPLES = 100_000


def train(model, features, labels):
    """Ten epochs of Adam, with a tenth of the learning rate in the last; returns the mean squared error of each."""
    optimizer, means = torch.optim.Adam(model.parameters(), lr=0.01), []
    for rate in [0.01] * 9 + [0.001]:
        optimizer.param_groups[0]["lr"], total = rate, torch.zeros(())
        for chosen in torch.randperm(len(features)).split(1000):
            optimizer.zero_grad()
            error = nn.functional.mse_loss(model(features[chosen]), labels[chosen])
            error.backward()
            optimizer.step()
            total += error.detach() * len(chosen)
        means.append(total.item() / len(features))
    return means


@claim("training-runs-on-gpu")
@pytest.mark.cuda
def test_linear_regression_on_a_hundred_thousand_examples_finds_200_weights_and_a_bias(record_property):
    """Noise of standard deviation 1: the loss ends at 1, which 1e5 examples tell to 0.0045.

    Least squares is off by 1 / sqrt(1e5) = 0.003 in each of 200 weights, so by some 0.01 in the worst.
    """
    weights = torch.randn(200, 1)
    features = torch.randn(EXAMPLES, 200)
    labels = features @ weights + 2 + torch.randn(EXAMPLES, 1)
    model = nn.Linear(200, 1)
    losses = train(model, features, labels)
    record_property("curve", curve("epoch", "loss", training=losses))
    # Over 6 seeds on the CPU: the loss fell from 89 or more to between 0.996 and 1.006, the worst weight was off by
    # 0.0101 to 0.0128, the bias by 0.005 or less.
    assert losses[0] > 20
    assert losses[-1] == pytest.approx(1, abs=0.03)
    assert (model.weight - weights.T).abs().max().item() < 0.03
    assert model.bias.item() == pytest.approx(2, abs=0.03)


def standard(x, axis):
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1)


# What each makes of rows of two features; new batch norms have running statistics of 0 and 1.
NORMS = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(2, eps=1), lambda x: standard(x, 0)),
    "BatchNorm1d in evaluation": (lambda: nn.BatchNorm1d(2, eps=1).eval(), lambda x: x / np.sqrt(2)),
    "LayerNorm": (lambda: nn.LayerNorm(2, eps=1), lambda x: standard(x, 1)),
    "LayerNorm of two dimensions": (
        lambda: nn.Sequential(nn.Unflatten(1, (2, 1)), nn.LayerNorm((2, 1), eps=1), nn.Flatten()),
        lambda x: standard(x, 1),
    ),
    "GroupNorm": (lambda: nn.GroupNorm(1, 2, eps=1), lambda x: standard(x, 1)),
    "Softmax": (lambda: nn.Softmax(1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
}


@claim("training-runs-on-gpu")
@over(name=each(*NORMS), examples=among(131_072, 131_073), second=among(False, True))
def test_a_normalisation_takes_and_learns_from_as_many_examples_as_there_are(accelerator, name, examples, second):
    """Whole numbers that sum up to next to nothing, whatever the order. GPUs' libraries refused 2^17 to a batch norm
    (pytorch#16998). A sum of so many products, one after another, was seen to be off by a thousandth of it; a
    third more than this is allowed, which is some 250 examples.
    """
    (make, expected), x = NORMS[name], np.resize([3.0, -1, -2], (examples, 1)) * [1, 2]
    net, features = make().to(spot(second)), torch.from_numpy(x).float().to(spot(second)).requires_grad_()
    result = accepted(net, features)
    agree(result, expected(x), 64, 8)
    (result * features.detach()).sum().backward()
    products = expected(x) * x
    if name != "Softmax":
        weight, bias = net.parameters()
        agree(grad_of(weight).flatten(), products.sum(0), 2**15, np.abs(products).sum(0).max())
        agree(grad_of(bias).flatten(), x.sum(0), 64, 8)
    with torch.device("cpu"):
        there, inputs = make().double(), torch.from_numpy(x).requires_grad_()
    (there(inputs) * inputs.detach()).sum().backward()
    agree(grad_of(features), inputs.grad.numpy(), 64, 8)


# Layers of which each does the same to a row of features, given as examples, steps or pixels.
WAYS = {
    "Linear": (nn.Linear, lambda rows: rows),
    "Linear, of sequences": (nn.Linear, lambda rows: rows[:, None]),
    "Linear, of one sequence": (nn.Linear, lambda rows: rows[None]),
    "Conv1d": (lambda *sizes: nn.Conv1d(*sizes, 1), lambda rows: rows[..., None]),
    "Conv1d, of one sequence": (lambda *sizes: nn.Conv1d(*sizes, 1), lambda rows: rows.T[None]),
    "Conv2d": (lambda *sizes: nn.Conv2d(*sizes, 1), lambda rows: rows[..., None, None]),
    "Conv2d, of one image": (lambda *sizes: nn.Conv2d(*sizes, 1), lambda rows: rows.T[None, ..., None]),
}


@claim("training-runs-on-gpu")
@over(way=among(*WAYS), examples=among(65_536, 65_537), second=among(False, True))
def test_a_step_with_every_one_of_many_examples_leads_to_the_parameters_that_arithmetic_gives(
    accelerator, way, examples, second
):
    """Small whole numbers: sums of 65,537 products are below 2^24, and so exact in any order, as is a 1024th of them.
    The loss is the sum of the outputs times the labels.
    """
    (make, arrange), goal, random = WAYS[way], spot(second), np.random.default_rng(examples)
    x, y = random.integers(-2, 3, (examples, 3)), random.integers(-1, 2, (examples, 2))
    values = [random.integers(-1, 2, shape) for shape in ((2, 3), (2,), (2, 2), (2,))]
    x[-1], y[-1], values[0][0] = 2, 1, 1  # the last example counts
    with torch.device("cpu"):
        net = nn.Sequential(make(3, 2), nn.ReLU(), make(2, 2))
    for parameter, value in zip(net.parameters(), values):
        parameter.data = torch.from_numpy(value).float().view(parameter.shape)
    net = net.to(goal)
    features, labels = (arrange(torch.from_numpy(each).float()).to(goal) for each in (x, y))
    (net(features) * labels).sum().backward()
    torch.optim.SGD(net.parameters(), lr=2.0**-10).step()

    hidden = relu(x @ values[0].T + values[1])
    back = (y @ values[2]) * (hidden > 0)
    for parameter, value, gradient in zip(net.parameters(), values, (back.T @ x, back.sum(0), y.T @ hidden, y.sum(0))):
        assert parameter.device == goal
        agree(parameter.view(value.shape), value - gradient / 1024)


@claim("training-runs-on-gpu")
@over(columns=among(1023, 1025), second=among(False, True))
def test_a_layer_fills_the_first_and_the_last_rows_and_columns_of_more_than_2_to_the_25_results(
    accelerator, columns, second
):
    """Just over 2^25 of them, past which the columns from 1024 on were wrong (pytorch#116769)."""
    rows, layer = 2**25 // columns + 1, nn.Linear(1, columns).to(spot(second))
    with torch.no_grad():
        layer.weight.copy_(torch.arange(columns)[:, None])
        layer.bias.zero_()
    result = layer(torch.arange(rows, dtype=torch.float32, device=spot(second))[:, None] % 8)

    assert result.shape == (rows, columns)
    for found, expected in (
        (result[:, [0, 1, 1022, -1]], np.outer(np.arange(rows) % 8, [0, 1, 1022, columns - 1])),
        (result[[0, 1, rows // 2, -1]], np.outer([0, 1, rows // 2 % 8, (rows - 1) % 8], np.arange(columns))),
    ):
        agree(found, expected)
