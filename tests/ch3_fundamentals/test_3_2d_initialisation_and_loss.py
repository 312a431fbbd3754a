"""3.2 Linear regression in PyTorch: initial values and the loss

A new layer comes with random parameters. The functions of `torch.nn.init` overwrite them **in place**, which their
names show by an underscore at the end: the parameter stays the same tensor, so that the network and an optimizer that
hold it see the new values, and autograd records nothing. The **loss** that training minimises is a module too: a layer
without parameters that takes predictions and labels and returns one number.
"""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import init

claim = pytest.mark.claim


# ── init-sets-weights-in-place ──


@claim("init-sets-weights-in-place")
def test_normal_init_draws_weights_of_the_given_deviation():
    """n = 60000 weights, bounds of 6.5 standard errors: 0.01 / sqrt(n) for the mean, 0.01 / sqrt(2 n) for the
    deviation.
    """
    weight = nn.Linear(300, 200).weight

    init.normal_(weight, mean=0, std=0.01)

    assert weight.mean().item() == pytest.approx(0, abs=0.00027)
    assert weight.std().item() == pytest.approx(0.01, abs=0.00019)
    within_one = (weight.abs() < 0.01).double().mean().item()  # 57.7 % if they were uniform
    assert within_one == pytest.approx(0.6827, abs=0.0124)  # 6.5 sqrt(0.6827 * 0.3173 / n)
    assert weight.detach().std(dim=0).min().item() > 0.005  # 200 draws in every column: none left out
    assert weight.detach().std(dim=1).min().item() > 0.005
    assert weight.unique().numel() > 50000  # few of 60000 draws are equal by chance


@claim("init-sets-weights-in-place")
def test_normal_init_draws_anew_each_time():
    first, second = nn.Linear(4, 3).weight, nn.Linear(4, 3).weight

    init.normal_(first, mean=0, std=0.01)
    init.normal_(second, mean=0, std=0.01)

    assert first.tolist() != second.tolist()


@claim("init-sets-weights-in-place")
def test_normal_init_uses_the_mean_that_it_is_given():
    weight = nn.Linear(300, 200).weight

    init.normal_(weight, mean=-3, std=0.5)

    assert weight.mean().item() == pytest.approx(-3, abs=0.0133)  # 6.5 * 0.5 / sqrt(60000)
    assert weight.std().item() == pytest.approx(0.5, abs=0.0094)


@claim("init-sets-weights-in-place")
@pytest.mark.parametrize("value", [0, 1.5])
def test_constant_init_sets_every_element(value):
    bias = nn.Linear(2, 7).bias

    init.constant_(bias, val=value)

    assert bias.tolist() == [value] * 7


@claim("init-sets-weights-in-place")
@pytest.mark.parametrize("initialise", [lambda w: init.normal_(w, mean=0, std=0.01), lambda w: init.constant_(w, 3.0)])
def test_the_parameter_stays_the_same_tensor_and_nothing_is_recorded(initialise):
    net = nn.Sequential(nn.Linear(4, 3))
    weight, memory, before = net[0].weight, net[0].weight.data_ptr(), net[0].weight.tolist()

    returned = initialise(weight)

    assert returned is net[0].weight is weight
    assert weight.data_ptr() == memory
    assert weight.tolist() != before
    assert (weight.is_leaf, weight.requires_grad, weight.grad_fn) == (True, True, None)


# ── data-fill-equals-constant-init ──


@claim("data-fill-equals-constant-init")
@pytest.mark.parametrize("value", [0, -2.5])
def test_filling_the_data_equals_constant_init(value):
    filled, initialised = nn.Linear(2, 7).bias, nn.Linear(2, 7).bias
    memory = filled.data_ptr()

    filled.data.fill_(value)
    init.constant_(initialised, value)

    assert filled.tolist() == initialised.tolist() == [value] * 7
    assert filled.data_ptr() == memory
    assert (filled.is_leaf, filled.requires_grad, filled.grad_fn) == (True, True, None)


@claim("data-fill-equals-constant-init")
def test_filling_the_parameter_itself_is_an_error():
    """Hence `.data`, or `init`, which turns recording off."""
    bias = nn.Linear(2, 7).bias

    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        bias.fill_(0)


# ── losses-are-modules ──


@claim("losses-are-modules")
def test_every_loss_class_of_nn_is_a_module():
    losses = [name for name in dir(nn) if name.endswith("Loss")]

    assert {"L1Loss", "MSELoss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss", "NLLLoss", "CrossEntropyLoss"} <= {
        *losses
    }
    assert [name for name in losses if not issubclass(getattr(nn, name), nn.Module)] == []


@claim("losses-are-modules")
def test_a_loss_is_a_layer_without_parameters():
    """Printed, held by a network and called like any other, with two inputs."""
    net = nn.ModuleDict({"layer": nn.Linear(2, 1), "loss": nn.MSELoss()})

    assert str(net["loss"]) == "MSELoss()"
    assert list(net["loss"].parameters()) == []
    assert net["loss"](torch.tensor([1.0, 5.0]), torch.tensor([2.0, 2.0])).item() == (1 + 9) / 2


# ── mse-loss-is-mean-squared-error ──


@claim("mse-loss-is-mean-squared-error")
def test_the_loss_is_the_mean_over_all_elements():
    predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    label = torch.tensor([[1.0, 0.0], [6.0, 3.0], [5.0, 10.0]])

    loss = nn.MSELoss()(predicted, label)

    assert loss.shape == ()
    assert loss.item() == (0 + 4 + 9 + 1 + 0 + 16) / 6


@claim("mse-loss-is-mean-squared-error")
def test_the_reduction_chooses_mean_sum_or_none():
    predicted, label = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.0, 4.0, 3.0, 1.0])

    assert nn.MSELoss(reduction="mean")(predicted, label).item() == 14 / 4
    assert nn.MSELoss(reduction="sum")(predicted, label).item() == 14.0
    assert nn.MSELoss(reduction="none")(predicted, label).tolist() == [1.0, 4.0, 0.0, 9.0]


@claim("mse-loss-is-mean-squared-error")
def test_the_gradient_is_twice_the_error_over_the_number_of_elements():
    predicted = torch.tensor([[1.0], [2.0], [3.0], [4.0]], requires_grad=True)
    label = torch.tensor([[0.0], [4.0], [3.0], [1.0]], requires_grad=True)

    nn.MSELoss()(predicted, label).backward()

    assert predicted.grad.flatten().tolist() == [2 / 4, -4 / 4, 0.0, 6 / 4]
    assert label.grad.flatten().tolist() == [-2 / 4, 4 / 4, 0.0, -6 / 4]


@claim("mse-loss-is-mean-squared-error")
@given(pairs=st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 2), min_size=1, max_size=20))
@example(pairs=[(3.0, -1.0)])
@example(pairs=[(float(i), 0.0) for i in range(1000)])
def test_the_loss_equals_numpy_s_mean_of_squares(pairs):
    predicted, label = np.array(pairs).T

    loss = nn.MSELoss()(torch.tensor(predicted), torch.tensor(label))

    assert (loss.dtype, loss.shape) == (torch.float64, ())
    assert loss.item() == pytest.approx(np.mean((predicted - label) ** 2), rel=1e-12)


@claim("mse-loss-is-mean-squared-error")
@pytest.mark.parametrize("pair", [(float("nan"), 2.0), (2.0, float("nan"))], ids=["prediction", "label"])
def test_one_nan_makes_the_loss_nan(pair):
    predicted, label = torch.tensor([[1.0, 3.0], pair]).T

    assert nn.MSELoss()(predicted, label).isnan().item() is True


@claim("mse-loss-is-mean-squared-error")
def test_predictions_in_a_column_need_labels_in_a_column():
    """Otherwise they broadcast: every prediction meets every label. Hence `y.view(-1, 1)` in the training loop."""
    predicted, label = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1.0, 2.0, 4.0])

    assert nn.MSELoss()(predicted, label.view(-1, 1)).item() == 0.0
    with pytest.warns(UserWarning, match="target size"):
        loss = nn.MSELoss()(predicted, label)
    assert loss.item() == pytest.approx(2 * (1 + 4 + 9) / 9)
