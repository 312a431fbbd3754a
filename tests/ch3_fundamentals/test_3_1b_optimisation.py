"""3.1 Linear regression: finding the best parameters

For linear regression with squared loss the best parameters can be written down: with the features as the rows of a
matrix $X$, one of them constantly 1 for the bias, they solve the **normal equations** $X^T X w = X^T y$. Almost every
other model has no such formula. There an algorithm starts anywhere and improves the parameters step by step: mini-batch
stochastic gradient descent (SGD) draws a few examples at random, takes the gradient of their mean loss, and moves each
parameter against it by the **learning rate** times the gradient. How many examples and how large a rate are choices of
ours, **hyperparameters**: training does not find them.
"""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from harness.measured import curve
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

claim = pytest.mark.claim


# ── linear-regression-has-closed-form ──


@claim("linear-regression-has-closed-form")
def test_the_normal_equations_give_the_line_of_best_fit():
    """Through (0, 1), (1, 3), (2, 4): slope 3/2 and, as the line passes through the means, intercept 8/3 - 3/2."""
    x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([1.0, 3.0, 4.0], dtype=torch.float64)

    best = torch.linalg.solve(x.T @ x, x.T @ y)

    # float64 rounds at 1e-16, and so small a system loses few digits more.
    assert best.tolist() == pytest.approx([3 / 2, 7 / 6], rel=1e-12)
    assert torch.linalg.lstsq(x, y[:, None]).solution.flatten().tolist() == pytest.approx([3 / 2, 7 / 6], rel=1e-12)


@claim("linear-regression-has-closed-form")
def test_at_the_analytical_solution_the_gradient_of_the_loss_is_zero():
    x, y = torch.randn(40, 3, dtype=torch.float64), torch.randn(40, dtype=torch.float64)
    w = torch.linalg.solve(x.T @ x, x.T @ y).requires_grad_()

    ((x @ w - y) ** 2 / 2).mean().backward()

    # Zero but for rounding, 1e-16 in float64, over sums of 40 terms.
    torch.testing.assert_close(w.grad, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


@claim("linear-regression-has-closed-form")
def test_gradient_descent_converges_to_the_analytical_solution():
    x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([1.0, 3.0, 4.0], dtype=torch.float64)
    w = torch.randn(2, dtype=torch.float64)

    for _ in range(150):
        w -= 0.8 * x.T @ (x @ w - y) / 3  # the curvatures are 2.39 and 0.28: errors shrink by 0.91 and 0.78 a step

    assert w.tolist() == pytest.approx([3 / 2, 7 / 6], abs=1e-4)  # 0.91**150 is below 1e-6


@claim("linear-regression-has-closed-form", truth=True)
def test_dependent_features_leave_many_minimisers():
    """The second feature is twice the first, so that weights (5, 0), (1, 2) and (-1, 3) predict the same."""
    x = torch.tensor([[1.0, 2.0], [2.0, 4.0], [-3.0, -6.0]])

    predictions = x @ torch.tensor([[5.0, 1.0, -1.0], [0.0, 2.0, 3.0]])

    assert predictions.tolist() == [[5.0] * 3, [10.0] * 3, [-15.0] * 3]
    assert torch.linalg.matrix_rank(x).item() == 1
    assert torch.linalg.pinv(x).matmul(predictions[:, 0]).tolist() == pytest.approx([1.0, 2.0], rel=1e-5)  # float32


@claim("linear-regression-has-closed-form", truth=True)
def test_with_fewer_examples_than_features_the_normal_equations_are_singular():
    few = torch.randn(5, 20, dtype=torch.float64)
    assert torch.linalg.matrix_rank(few.T @ few).item() == 5

    x, y = torch.tensor([[1.0, 1.0]]), torch.tensor([6.0])
    with pytest.raises(torch.linalg.LinAlgError, match="singular"):
        torch.linalg.solve(x.T @ x, x.T @ y)


@claim("linear-regression-has-closed-form", truth=True)
def test_with_fewer_examples_than_features_the_pseudoinverse_gives_the_smallest_minimiser():
    """2 w1 + w2 - 2 w3 = 9 is a plane; its point nearest to the origin is 9 / 9 of its normal (2, 1, -2)."""
    x, y = torch.tensor([[2.0, 1.0, -2.0]], dtype=torch.float64), torch.tensor([9.0], dtype=torch.float64)

    smallest = torch.linalg.pinv(x) @ y

    assert smallest.tolist() == pytest.approx([2.0, 1.0, -2.0], rel=1e-12)  # float64


@pytest.mark.cpu  # elsewhere lstsq has no driver for deficient rank
@claim("linear-regression-has-closed-form", truth=True)
def test_with_fewer_examples_than_features_lstsq_gives_the_smallest_minimiser():
    x, y = torch.tensor([[2.0, 1.0, -2.0]], dtype=torch.float64), torch.tensor([[9.0]], dtype=torch.float64)

    smallest = torch.linalg.lstsq(x, y).solution

    assert smallest.flatten().tolist() == pytest.approx([2.0, 1.0, -2.0], rel=1e-12)  # float64


# ── numerical-solution-approaches-optimum ──


@claim("numerical-solution-approaches-optimum")
def test_iterations_lower_a_loss_that_no_formula_minimises(record_property):
    """The chance of passing an exam after some hours of study, by logistic regression: no formula gives its optimum."""
    hours = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    passed = torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    far_off = torch.tensor([-2.0, 2.0], dtype=torch.float64)  # the optimum is near (1.2, -0.6)
    w = (far_off * torch.rand(2, dtype=torch.float64)).requires_grad_()
    optimizer = torch.optim.SGD([w], lr=1.0)  # the curvature is at most 0.82, so that no step overshoots

    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.BCEWithLogitsLoss()(w[0] * hours + w[1], passed)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    record_property("curve", curve("step", "loss", training=losses))
    assert all(later < earlier for earlier, later in pairwise(losses)) is True
    # The least loss on a fine grid of slopes and intercepts, by NumPy, is 0.413. From any start that may be drawn the
    # steps end within 1e-5 of it.
    slope, intercept = np.meshgrid(np.linspace(1.1, 1.3, 41), np.linspace(-0.7, -0.5, 41))
    margin = (slope[..., None] * hours.tolist() + intercept[..., None]) * (2 * passed.cpu().numpy() - 1)
    assert losses[-1] == pytest.approx(np.log1p(np.exp(-margin)).mean(axis=-1).min(), abs=1e-4)
    assert losses[-1] > 0.4


# ── sgd-step-can-lower-the-loss ──


@claim("sgd-step-can-lower-the-loss")
def test_each_full_batch_step_lowers_the_loss_from_a_random_start():
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.01)  # far below 2/L: the curvature L of such data is about 2

    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = ((x @ w - y) ** 2 / 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert all(later < earlier for earlier, later in pairwise(losses)) is True


@claim("sgd-step-can-lower-the-loss", truth=True)
@pytest.mark.parametrize(("rate", "ratio"), [(0.9, 0.64), (1.1, 1.44)], ids=["below 2/L", "above 2/L"])
def test_the_loss_falls_below_the_critical_learning_rate_and_grows_above_it(rate, ratio):
    """With features 1, 2, 3 the curvature L is 14/3. A step at r * 2/L multiplies the error of w by 1 - 2 r."""
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    w = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=rate * 2 / (14 / 3))

    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = ((x * w - 2 * x) ** 2 / 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses == pytest.approx([21 * ratio**step for step in range(10)], rel=1e-9)


@claim("sgd-step-can-lower-the-loss", truth=True)
@given(lr=st.floats(1e-6, 1e6))
def test_a_mini_batch_step_may_raise_the_loss_of_the_whole_set_at_any_rate(lr):
    """Labels 0 and 4 are best predicted by 2. From 1, the example labelled 0 pulls away from that."""
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0.0, 4.0], dtype=torch.float64)
    before = ((w - labels) ** 2 / 2).mean().item()

    ((w - labels[0]) ** 2 / 2).backward()
    torch.optim.SGD([w], lr=lr).step()

    assert ((w - labels) ** 2 / 2).mean().item() > before


# ── minibatch-is-uniform-random-sample ──


@claim("minibatch-is-uniform-random-sample")
def test_every_mini_batch_has_the_fixed_number_of_distinct_examples(generator):
    loader = DataLoader(TensorDataset(torch.arange(60)), batch_size=6, shuffle=True, generator=generator)

    sizes = [len(set(batch.tolist())) for (batch,) in loader]

    assert sizes == [6] * 10


@claim("minibatch-is-uniform-random-sample")
@pytest.mark.parametrize("position", [0, 1], ids=["first batch", "second batch"])
def test_every_example_and_every_pair_is_equally_likely_to_be_drawn(position, generator):
    """Hoeffding: each of 5 frequencies is off by 0.035 or more with probability 2 exp(-2 * 10000 * 0.035**2) = 5e-11.
    Chernoff: each of 20 pairs, of frequency 0.05, is off by 0.02 with probability 1e-16.
    """
    batches = DataLoader(range(5), batch_size=2, shuffle=True, generator=generator).batch_sampler

    draws = torch.tensor([list(batches)[position] for _ in range(10000)])

    frequencies = draws.flatten().bincount(minlength=5) / 10000
    assert frequencies.tolist() == pytest.approx([2 / 5] * 5, abs=0.035)
    of_pairs = (5 * draws[:, 0] + draws[:, 1]).bincount(minlength=25).reshape(5, 5) / 10000
    assert of_pairs.flatten().tolist() == pytest.approx([(a != b) / 20 for a in range(5) for b in range(5)], abs=0.02)


@claim("minibatch-is-uniform-random-sample")
def test_mini_batch_gradients_average_to_the_gradient_of_the_whole_set():
    """So the gradient of a mini-batch drawn uniformly is right on average: here over all 10 pairs of 5 examples."""
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)

    def gradient(batch):
        return torch.autograd.grad(nn.MSELoss()(x[batch] @ w, y[batch]), w)[0]

    of_pairs = torch.stack([gradient(list(pair)) for pair in combinations(range(5), 2)])

    assert len(of_pairs) == 10
    torch.testing.assert_close(of_pairs.mean(dim=0), gradient([0, 1, 2, 3, 4]))


# ── sgd-step-subtracts-scaled-mean-gradient ──


@claim("sgd-step-subtracts-scaled-mean-gradient")
def test_one_step_worked_by_hand():
    """Weight 1 and bias 0 predict 1 and 3 where the labels are 0 and 1: errors 1 and 2, mean gradient (3.5, 1.5)."""
    model = nn.Linear(1, 1)
    model.load_state_dict({"weight": torch.tensor([[1.0]]), "bias": torch.tensor([0.0])})

    ((model(torch.tensor([[1.0], [3.0]])) - torch.tensor([[0.0], [1.0]])) ** 2 / 2).mean().backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()

    assert [model.weight.item(), model.bias.item()] == [1.0 - 0.5 * 3.5, 0.0 - 0.5 * 1.5]


@claim("sgd-step-subtracts-scaled-mean-gradient")
@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_sgd_equals_the_hand_written_update_over_several_steps(batch_size):
    model = nn.Linear(2, 1, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    w, b = np.array(model.weight.tolist()), np.array(model.bias.tolist())

    for _ in range(4):
        x, y = torch.randn(batch_size, 2, dtype=torch.float64), torch.randn(batch_size, 1, dtype=torch.float64)
        optimizer.zero_grad()
        ((model(x) - y) ** 2 / 2).mean().backward()
        optimizer.step()
        error = x.cpu().numpy() @ w.T + b - y.cpu().numpy()
        w -= 0.05 * error.T @ x.cpu().numpy() / batch_size
        b -= 0.05 * error.sum(axis=0) / batch_size

    # float64 rounds at 1e-16; abs is for a parameter that happens to be near zero.
    assert model.weight.flatten().tolist() == pytest.approx(w.flatten().tolist(), rel=1e-9, abs=1e-12)
    assert model.bias.tolist() == pytest.approx(b.tolist(), rel=1e-9, abs=1e-12)


# ── batch-size-and-lr-are-hyperparameters ──


@claim("batch-size-and-lr-are-hyperparameters")
def test_training_changes_the_parameters_but_neither_batch_size_nor_learning_rate(generator):
    data = TensorDataset(torch.randn(50, 2), torch.randn(50, 1))
    loader = DataLoader(data, batch_size=7, shuffle=True, generator=generator)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    before = [parameter.tolist() for parameter in model.parameters()]

    for x, y in loader:
        optimizer.zero_grad()
        nn.MSELoss()(model(x), y).backward()
        optimizer.step()

    assert [name for name, _ in model.named_parameters()] == ["weight", "bias"]
    assert [parameter.tolist() == old for parameter, old in zip(model.parameters(), before)] == [False, False]
    assert (loader.batch_size, optimizer.param_groups[0]["lr"]) == (7, 0.03)
