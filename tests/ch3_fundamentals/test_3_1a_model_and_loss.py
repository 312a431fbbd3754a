"""3.1 Linear regression: the model and its loss

Linear regression predicts a number, such as the price of a house, as a weighted sum of a few features plus a bias. It
is the smallest model in which every part of deep learning shows: a **model** with parameters (weights and bias), a
**loss** that says how wrong its predictions are on average over the examples, and an optimisation algorithm that
changes the parameters so that the loss falls. The first two are the subject of this page; what training looks for is
the lowest point of the mean loss, seen as a function of the parameters.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


# ── regression-outputs-are-continuous ──


@claim("regression-outputs-are-continuous")
def test_halving_an_input_change_halves_the_change_of_a_regression_output():
    price = nn.Linear(1, 1)
    price.load_state_dict({"weight": torch.tensor([[-3.0]]), "bias": torch.tensor([2.0])})

    outputs = price(torch.tensor([[0.5], [0.75], [0.625], [0.5625], [-1000.0]]))

    # Changes by -0.75, -0.375 and -0.1875; and no bounds, such as 0 and 1 for a probability.
    assert outputs.flatten().tolist() == [0.5, -0.25, 0.125, 0.3125, 3002.0]
    assert outputs.is_floating_point() is True


@claim("regression-outputs-are-continuous")
def test_a_predicted_class_stays_the_same_until_another_score_overtakes_it():
    """The scores change continuously; the class, the position of the largest, jumps at -1/4 and at 1/4."""
    scores = nn.Linear(1, 3)
    scores.load_state_dict({"weight": torch.tensor([[-1.0], [0.0], [1.0]]), "bias": torch.tensor([0.0, 0.25, 0.0])})

    inputs = torch.tensor([[-3.0], [-0.3], [-0.2501], [-0.2499], [0.1], [0.2499], [0.2501], [0.3], [3.0]])
    predicted = scores(inputs).argmax(dim=1)

    assert predicted.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert predicted.dtype == torch.int64


# ── linear-model-is-weighted-sum ──


@claim("linear-model-is-weighted-sum")
@pytest.mark.parametrize(
    ("houses", "bias", "prices"),
    [
        ([[1.0, 2.0]], -4.25, [[2.0 - 7.0 - 4.25]]),
        ([[1.0, 2.0], [-3.0, 0.5]], 4.25, [[2.0 - 7.0 + 4.25], [-6.0 - 1.75 + 4.25]]),
    ],
    ids=["one house", "two houses"],
)
def test_a_house_is_priced_by_its_weighted_features_plus_the_bias(houses, bias, prices):
    price = nn.Linear(2, 1)
    price.load_state_dict({"weight": torch.tensor([[2.0, -3.5]]), "bias": torch.tensor([bias])})

    predicted = price(torch.tensor(houses))

    assert predicted.tolist() == prices


@claim("linear-model-is-weighted-sum")
def test_every_one_of_a_thousand_houses_is_priced_by_its_own_features():
    features, weights = np.arange(7000).reshape(1000, 7), np.array([2, 0, -3, 1, 5, -1, 4])
    price = nn.Linear(7, 1)
    price.load_state_dict({"weight": torch.tensor(weights[None]).float(), "bias": torch.tensor([0.5])})

    predicted = price(torch.tensor(features).float())

    assert predicted.flatten().tolist() == (features @ weights + 0.5).tolist()


@claim("linear-model-is-weighted-sum")
@given(examples=st.integers(0, 5), features=st.integers(1, 6), bias=st.integers(-9, 9), data=st.data())
def test_the_formula_holds_for_any_number_of_examples_and_features(examples, features, bias, data):
    row = st.lists(st.integers(-9, 9), min_size=features, max_size=features)
    w = data.draw(row)
    x = data.draw(st.lists(row, min_size=examples, max_size=examples))
    model = nn.Linear(features, 1, dtype=torch.float64)
    model.load_state_dict({"weight": torch.tensor([w]), "bias": torch.tensor([bias])})

    predicted = model(torch.tensor(x, dtype=torch.float64).reshape(examples, features))

    assert predicted.tolist() == [[sum(xj * wj for xj, wj in zip(xi, w)) + bias] for xi in x]


# ── squared-loss-is-half-squared-error ──


@claim("squared-loss-is-half-squared-error")
def test_the_loss_is_the_mean_of_half_the_squared_errors():
    predicted = torch.tensor([2.0, 4.0, 7.0, 5.0], requires_grad=True)
    label = torch.tensor([1.0, 6.0, 4.0, 5.0])

    loss_of_each = (predicted - label) ** 2 / 2
    loss_of_each.mean().backward()

    assert loss_of_each.tolist() == [0.5, 2.0, 4.5, 0.0]
    assert loss_of_each.mean().item() == 7 / 4
    assert predicted.grad.tolist() == [1 / 4, -2 / 4, 3 / 4, 0.0]  # the half makes the gradient the error over n


@claim("squared-loss-is-half-squared-error", truth=True)
def test_mse_loss_and_its_gradient_are_twice_as_large():
    predicted = torch.tensor([2.0, 4.0, 7.0, 5.0], requires_grad=True)
    label = torch.tensor([1.0, 6.0, 4.0, 5.0])

    loss = nn.MSELoss()(predicted, label)
    loss.backward()

    assert loss.item() == 2 * 7 / 4
    assert predicted.grad.tolist() == [2 / 4, -4 / 4, 6 / 4, 0.0]
    assert nn.MSELoss(reduction="none")(predicted, label).tolist() == [1.0, 4.0, 9.0, 0.0]


# ── training-minimises-mean-loss ──


@claim("training-minimises-mean-loss")
def test_training_ends_at_the_minimum_of_the_mean_loss():
    """The constant with the least mean squared error is the labels' mean, 3: neither their median 1 nor their middle
    4.
    """
    labels = torch.tensor([0.0, 1.0, 8.0])
    constant = torch.tensor(-5.0, requires_grad=True)
    optimizer = torch.optim.SGD([constant], lr=0.25)

    for _ in range(30):  # each step halves the distance to the minimum
        optimizer.zero_grad()
        nn.MSELoss()(constant.expand(3), labels).backward()
        optimizer.step()

    assert constant.item() == pytest.approx(3.0, abs=1e-5)  # 8 / 2**30, and float32 rounding


@claim("training-minimises-mean-loss")
def test_at_the_minimum_the_gradient_vanishes_and_any_change_raises_the_loss():
    features, labels = torch.randn(30, 3, dtype=torch.float64), torch.randn(30, dtype=torch.float64)
    best = np.linalg.lstsq(features.cpu().numpy(), labels.cpu().numpy(), rcond=None)[0]
    weights = torch.tensor(best, requires_grad=True)
    least = ((features @ weights - labels) ** 2 / 2).mean()
    least.backward()
    # Zero but for rounding: sums of 30 terms of float64, which rounds at 1e-16.
    torch.testing.assert_close(weights.grad, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)

    changes = torch.randn(100, 3, dtype=torch.float64)
    losses = ((features @ (weights + changes).T - labels[:, None]) ** 2 / 2).mean(dim=0)

    assert (losses > least).all().item() is True
    # The loss is a bowl: its rise is half the mean square by which the predictions change.
    torch.testing.assert_close(losses - least, ((features @ changes.T) ** 2 / 2).mean(dim=0))
