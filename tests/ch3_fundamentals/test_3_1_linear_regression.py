"""3.1 Linear regression: model, loss, optimisation

Linear regression predicts a number, such as the price of a house, as a weighted sum of a few features plus a bias. It
is the smallest model in which every part of deep learning shows: a **model** with parameters, a **loss** that says how
wrong its predictions are on average, and an algorithm that changes the parameters so that the loss falls. For this
model a formula gives the best parameters, the **normal equations** $X^T X w = X^T y$. Almost every other model has
none: there **mini-batch stochastic gradient descent** draws a few examples at random, takes the gradient of their mean
loss, and moves each parameter against it by the **learning rate** times the gradient.
"""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

claim = pytest.mark.claim


@claim("regression-outputs-are-continuous")
def test_a_small_change_moves_a_regression_output_a_little_and_a_predicted_class_not_at_all_or_to_another():
    price, scores = nn.Linear(1, 1), nn.Linear(1, 2)
    price.load_state_dict({"weight": torch.tensor([[-3.0]]), "bias": torch.tensor([2.0])})
    scores.load_state_dict({"weight": torch.tensor([[-1.0], [1.0]]), "bias": torch.tensor([0.0, 0.0])})
    inputs = torch.tensor([[-1000.125], [-0.5], [-0.0625], [0.0625], [0.75]])

    assert price(inputs).flatten().tolist() == [3002.375, 3.5, 2.1875, 1.8125, -0.25]
    assert scores(inputs).argmax(dim=1).tolist() == [0, 0, 0, 1, 1]  # the place of the largest score
    assert scores(inputs).argmax(dim=1).dtype == torch.int64


@claim("linear-model-is-weighted-sum")
def test_two_houses_are_priced_by_their_weighted_features_plus_the_bias():
    price = nn.Linear(2, 1)
    price.load_state_dict({"weight": torch.tensor([[2.0, -3.5]]), "bias": torch.tensor([-4.25])})

    prices = price(torch.tensor([[1.0, 2.0], [-3.0, 0.5]]))

    assert prices.tolist() == [[2.0 - 7.0 - 4.25], [-6.0 - 1.75 - 4.25]]


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
    assert nn.MSELoss(reduction="none")(predicted, label).tolist() == [1.0, 4.0, 9.0, 0.0]
    assert predicted.grad.tolist() == [2 / 4, -4 / 4, 6 / 4, 0.0]


@claim("training-minimises-mean-loss")
def test_the_best_constant_is_the_mean_of_the_labels():
    labels = torch.tensor([0.0, 1.0, 8.0])  # their mean is 3, their median 1, their middle 4
    constant = torch.tensor(-5.0, requires_grad=True)
    optimizer = torch.optim.SGD([constant], lr=0.25)

    for _ in range(30):  # each step halves the distance
        optimizer.zero_grad()
        nn.MSELoss()(constant.expand(3), labels).backward()
        optimizer.step()

    assert constant.item() == pytest.approx(3.0, abs=1e-5)  # 8 / 2**30, and the roundings of float32


@claim("linear-regression-has-closed-form")
def test_the_normal_equations_give_the_line_of_best_fit():
    x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])  # the constant feature carries the bias
    y = torch.tensor([1.0, 3.0, 4.0])

    best = torch.linalg.solve(x.T @ x, x.T @ y)

    # through (0, 1), (1, 3), (2, 4): slope 3/2 and, as the line passes through the means, intercept 8/3 - 3/2
    assert best.tolist() == pytest.approx([3 / 2, 7 / 6], rel=1e-5)  # float32


@claim("linear-regression-has-closed-form", truth=True)
def test_one_example_of_two_features_leaves_many_minimisers():
    x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([50.0])

    assert [(x @ torch.tensor(w)).item() for w in ([6.0, 8.0], [10.0, 5.0], [-2.0, 14.0])] == [50.0, 50.0, 50.0]
    with pytest.raises(torch.linalg.LinAlgError, match="singular"):
        torch.linalg.solve(x.T @ x, x.T @ y)
    assert (torch.linalg.pinv(x) @ y).tolist() == pytest.approx([6.0, 8.0], rel=1e-5)  # the nearest to the origin


@claim("numerical-solution-approaches-optimum")
def test_every_step_lowers_a_loss_that_no_formula_minimises():
    hours = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0])  # of study, and whether the exam was passed
    passed = torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    w = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0)

    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.BCEWithLogitsLoss()(w[0] * hours + w[1], passed)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(0.6931, abs=1e-4)  # log 2, as every chance is 1/2
    assert losses[-1] == pytest.approx(0.4131, abs=1e-3)  # the least is 0.4130, by a fine grid of slopes and intercepts


@claim("numerical-solution-approaches-optimum", truth=True)
def test_two_starts_end_in_two_minima_a_level_one_in_itself_and_a_large_rate_in_none():
    ends = {}
    for start, rate in ((-2.0, 0.05), (2.0, 0.05), (0.0, 0.05), (-2.0, 1.0)):
        w = torch.tensor(start, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=rate)
        for _ in range(60):
            optimizer.zero_grad()
            ((w * w - 1) ** 2).backward()
            optimizer.step()
        ends[start, rate] = w.item()

    assert (ends[-2.0, 0.05], ends[2.0, 0.05]) == pytest.approx((-1, 1), abs=1e-3)
    assert ends[0.0, 0.05] == 0  # the top between the two, where the slope is 0
    assert not abs(ends[-2.0, 1.0]) < 1e6


@claim("sgd-step-can-lower-the-loss")
def test_the_loss_falls_with_every_step():
    x = torch.tensor([1.0, 2.0, 3.0])
    w = torch.tensor(5.0, requires_grad=True)  # the best weight for the labels 2 x is 2
    optimizer = torch.optim.SGD([w], lr=3 / 28)

    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = ((w * x - 2 * x) ** 2 / 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses == pytest.approx([21, 21 / 4, 21 / 16, 21 / 64], rel=1e-5)  # each step halves the error of w


@claim("sgd-step-can-lower-the-loss", truth=True)
def test_a_rate_above_two_over_the_curvature_and_a_mini_batch_can_raise_the_loss():
    x = torch.tensor([1.0, 2.0, 3.0])  # the curvature L of the loss is the mean of their squares, 14/3
    losses = []
    for rate in (0.9 * 2 / (14 / 3), 1.1 * 2 / (14 / 3)):
        w = torch.tensor(5.0, requires_grad=True)
        ((w * x - 2 * x) ** 2 / 2).mean().backward()
        torch.optim.SGD([w], lr=rate).step()
        losses.append(((w * x - 2 * x) ** 2 / 2).mean().item())
    assert losses == pytest.approx([21 * 0.8**2, 21 * 1.2**2], rel=1e-5)

    labels, w = torch.tensor([0.0, 4.0]), torch.tensor(1.0, requires_grad=True)  # the best w is 2
    ((w - labels[0]) ** 2 / 2).backward()  # a mini-batch of the first example
    torch.optim.SGD([w], lr=0.001).step()
    assert ((w - labels) ** 2 / 2).mean().item() > (1 + 9) / 4


@claim("minibatch-is-uniform-random-sample")
def test_each_of_four_examples_is_in_half_of_the_mini_batches_of_two(device):
    generator = torch.Generator(device).manual_seed(torch.initial_seed())
    loader = DataLoader(TensorDataset(torch.arange(4)), batch_size=2, shuffle=True, generator=generator)

    drawn = [0, 0, 0, 0]
    for _ in range(1000):
        batch = next(iter(loader.batch_sampler))  # the numbers of the examples of the first mini-batch
        assert len(set(batch)) == 2
        for example in batch:
            drawn[example] += 1

    # the standard deviation is 16; 6.5 of them are exceeded once in 10**10 times
    assert drawn == pytest.approx([500, 500, 500, 500], abs=103)


@claim("minibatch-is-uniform-random-sample", truth=True)
def test_a_loader_shuffles_on_request_without_replacement_and_ends_with_a_smaller_batch(device):
    data = TensorDataset(torch.arange(5))
    generator = torch.Generator(device).manual_seed(torch.initial_seed())

    in_order = [x.tolist() for (x,) in DataLoader(data, batch_size=2)]
    shuffled = [x.tolist() for (x,) in DataLoader(data, batch_size=2, shuffle=True, generator=generator)]

    assert in_order == [[0, 1], [2, 3], [4]]
    assert [len(batch) for batch in shuffled] == [2, 2, 1]
    assert sorted(example for batch in shuffled for example in batch) == [0, 1, 2, 3, 4]


@claim("sgd-step-subtracts-scaled-mean-gradient")
def test_one_step_worked_by_hand():
    model = nn.Linear(1, 1)
    model.load_state_dict({"weight": torch.tensor([[1.0]]), "bias": torch.tensor([0.0])})
    x, y = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]])

    ((model(x) - y) ** 2 / 2).mean().backward()  # errors 1 and 2: mean gradient (1 * 1 + 2 * 3) / 2 and (1 + 2) / 2
    torch.optim.SGD(model.parameters(), lr=0.5).step()

    assert model.weight.item() == 1.0 - 0.5 * 3.5
    assert model.bias.item() == 0.0 - 0.5 * 1.5


@claim("batch-size-and-lr-are-hyperparameters")
def test_an_epoch_changes_the_parameters_but_neither_batch_size_nor_learning_rate():
    x, y = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]]), torch.tensor([[3.0], [5.0], [7.0], [9.0], [11.0]])
    model, loader = nn.Linear(1, 1), DataLoader(TensorDataset(x, y), batch_size=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    before = [model.weight.item(), model.bias.item()]

    for features, labels in loader:
        optimizer.zero_grad()
        nn.MSELoss()(model(features), labels).backward()
        optimizer.step()

    assert [name for name, _ in model.named_parameters()] == ["weight", "bias"]
    assert model.weight.item() != before[0] and model.bias.item() != before[1]
    assert (loader.batch_size, optimizer.param_groups[0]["lr"]) == (2, 0.03)
