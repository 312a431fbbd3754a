"""3.6 Weight decay: the L2 penalty

The L2 norm of a weight tensor is its length: the square root of the sum of its squared elements. The L2 penalty is
half the square of that norm, times a constant lambda that says how much small weights are worth. Halving is a
convenience: the gradient of the penalty is then simply lambda * w, and a step of gradient descent reads

    w <- w - lr * (g + lambda * w) = (1 - lr * lambda) * w - lr * g

with g the gradient of the loss alone: first the weights shrink, then they follow the data.
"""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

claim = pytest.mark.claim


def l2_penalty(w):
    return (w**2).sum() / 2


# ── penalised-loss-adds-the-penalty ──


@claim("penalised-loss-adds-the-penalty")
def test_the_gradient_of_the_sum_is_the_plain_gradient_plus_lambda_w():
    w = torch.tensor([2.0, -3.0, 0.5], requires_grad=True)
    x, y, lambd = torch.tensor([1.0, 0.0, 4.0]), 1.0, 0.5
    loss = (x @ w - y) ** 2 / 2 + lambd * (w**2).sum() / 2
    loss.backward()
    # the plain gradient is (x . w - y) x = (4 - 1) * (1, 0, 4)
    assert w.grad.tolist() == [3 * 1 + 0.5 * 2, 3 * 0 - 0.5 * 3, 3 * 4 + 0.5 * 0.5]


@claim("penalised-loss-adds-the-penalty")
def test_the_sum_has_its_minimum_between_the_data_and_zero():
    """(w - 6)^2 / 2 + 2 w^2 / 2 is least at w = 6 / (1 + 2); the loss alone is least at 6."""
    w = torch.tensor(5.0, requires_grad=True)
    for _ in range(60):
        (slope,) = torch.autograd.grad((w - 6) ** 2 / 2 + 2 * w**2 / 2, w)
        w = (w - 0.2 * slope).detach().requires_grad_()
    assert w.item() == pytest.approx(2.0)


# ── l2-penalty-formula ──


@claim("l2-penalty-formula")
def test_l2_penalty_is_half_the_sum_of_squares():
    assert l2_penalty(torch.tensor([[3.0, -4.0, 1.0], [0.0, 2.0, -6.0]])).item() == (9 + 16 + 1 + 0 + 4 + 36) / 2


@claim("l2-penalty-formula")
@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=70))
@example(list(range(-99, 101)))  # longer than any list that the strategy makes
def test_l2_penalty_counts_every_weight(values):
    w = torch.tensor(values, dtype=torch.float64)
    assert l2_penalty(w).item() == sum(value * value for value in values) / 2


@claim("l2-penalty-formula")
def test_the_halved_penalty_has_the_weights_themselves_as_its_gradient():
    """Times lambda, here 0.5, as in the loss."""
    w = torch.tensor([[3.0, -4.0], [0.0, 2.0], [-0.5, 7.0]], requires_grad=True)
    (0.5 * l2_penalty(w)).backward()
    assert w.grad.tolist() == [[1.5, -2.0], [0.0, 1.0], [-0.25, 3.5]]


# ── norm-is-the-l2-norm ──


@claim("norm-is-the-l2-norm")
def test_norm_of_a_vector_is_its_length():
    assert torch.tensor([2.0, -3.0, 6.0]).norm().item() == 7.0


@claim("norm-is-the-l2-norm")
@pytest.mark.parametrize(
    "shape", [(), (1,), (24,), (24, 1), (4, 6), (6, 4), (2, 3, 4), (3, 2, 2, 2), (15, 20)], ids=str
)
def test_norm_takes_all_elements_of_any_shape(shape):
    """Of a matrix too: the default is the Frobenius norm, not the spectral norm (the largest singular value)."""
    w = torch.arange(-2.0, math.prod(shape) - 2).reshape(shape)
    expected = math.sqrt(sum(value**2 for value in range(-2, w.numel() - 2)))
    assert w.norm().shape == ()
    assert w.norm().item() == pytest.approx(expected)


@claim("norm-is-the-l2-norm")
@given(st.lists(st.floats(-100, 100), max_size=70))
def test_norm_is_the_root_of_the_sum_of_squares(values):
    w = torch.tensor(values, dtype=torch.float64)
    assert w.norm().item() == pytest.approx(math.sqrt(math.fsum(value**2 for value in values)), abs=1e-12)


@claim("norm-is-the-l2-norm")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_norm_keeps_the_dtype_and_reads_through_strides(dtype):
    w = torch.tensor([[1.0, 9.0, 2.0], [4.0, 9.0, 10.0]], dtype=dtype)[:, ::2].T
    assert w.norm().dtype == dtype
    assert w.norm().item() == 11.0


@claim("norm-is-the-l2-norm")
def test_the_gradient_of_norm_is_the_unit_vector():
    w = torch.tensor([2.0, -3.0, 6.0], requires_grad=True)
    w.norm().backward()
    assert w.grad.tolist() == pytest.approx([2 / 7, -3 / 7, 6 / 7])


@claim("norm-is-the-l2-norm")
def test_norm_hides_neither_nan_nor_infinity():
    assert math.isnan(torch.tensor([3.0, math.nan, 4.0]).norm().item()) is True
    assert torch.tensor([3.0, -math.inf, 4.0]).norm().item() == math.inf


# ── penalty-shrinks-weights-each-step ──


@claim("penalty-shrinks-weights-each-step")
def test_a_penalised_step_shrinks_first_and_then_follows_the_plain_gradient():
    w = torch.tensor([2.0, -4.0], requires_grad=True)
    x, y, lr, lambd = torch.tensor([1.0, 3.0]), 2.0, 0.25, 0.5
    ((x @ w - y) ** 2 / 2 + lambd * l2_penalty(w)).backward()
    plain_gradient = [-12 * 1.0, -12 * 3.0]  # x . w - y = 2 - 12 - 2 = -12
    stepped = (w - lr * w.grad).tolist()
    assert stepped == [(1 - lr * lambd) * start - lr * g for start, g in zip([2.0, -4.0], plain_gradient)]


@claim("penalty-shrinks-weights-each-step")
@given(w=st.floats(-100, 100), g=st.floats(-100, 100), lr=st.floats(0.001, 1), lambd=st.floats(0.001, 0.99))
def test_the_option_shrinks_first_and_then_follows_the_gradient(w, g, lr, lambd):
    weight = torch.tensor([w], dtype=torch.float64, requires_grad=True)
    weight.grad = torch.tensor([g], dtype=torch.float64)
    torch.optim.SGD([weight], lr=lr, weight_decay=lambd).step()
    assert weight.item() == pytest.approx((1 - lr * lambd) * w - lr * g, rel=1e-9, abs=1e-9)


@claim("penalty-shrinks-weights-each-step")
def test_without_a_gradient_weights_decay_geometrically():
    w = torch.tensor([32.0, -64.0, 0.0], requires_grad=True)
    w.grad = torch.zeros(3)
    optimizer, path = torch.optim.SGD([w], lr=0.5, weight_decay=0.5), []
    for _ in range(3):
        optimizer.step()
        path.append(w.tolist())
    assert path == [[24.0, -48.0, 0.0], [18.0, -36.0, 0.0], [13.5, -27.0, 0.0]]  # each three quarters of the last


@claim("penalty-shrinks-weights-each-step", truth=True)
@pytest.mark.parametrize("lr, lambd, factor", [(0.5, 1.0, 0.5), (0.5, 2.0, 0.0), (0.5, 3.0, -0.5), (1.0, 3.0, -2.0)])
def test_the_factor_is_one_minus_lr_lambda_even_where_it_overshoots(lr, lambd, factor):
    w = torch.tensor([2.0, -8.0], requires_grad=True)
    w.grad = torch.zeros(2)
    torch.optim.SGD([w], lr=lr, weight_decay=lambd).step()
    assert w.tolist() == [factor * 2.0, factor * -8.0]


@claim("penalty-shrinks-weights-each-step", truth=True)
def test_a_product_above_two_makes_the_weights_grow_without_bound():
    w = torch.tensor([1.0], requires_grad=True)
    w.grad = torch.zeros(1)
    optimizer = torch.optim.SGD([w], lr=1.0, weight_decay=3.0)
    for _ in range(10):
        optimizer.step()
    assert w.item() == (-2) ** 10


# ── penalty-may-include-bias ──


@claim("penalty-may-include-bias")
@pytest.mark.parametrize("penalise_bias, stepped", [(True, 0.75 * 6 - 0.5 * 9), (False, 6 - 0.5 * 9)])
def test_a_penalised_bias_decays_and_an_unpenalised_one_does_not(penalise_bias, stepped):
    """Learning rate and lambda are both 0.5, so a step first multiplies what is penalised by 1 - 0.5 * 0.5 = 0.75."""
    w, b = torch.tensor([2.0, 1.0], requires_grad=True), torch.tensor(6.0, requires_grad=True)
    loss = (torch.tensor([3.0, 1.0]) @ w + b - 4) ** 2 / 2  # the residual, 9, is the gradient of b
    penalty = l2_penalty(w) + penalise_bias * l2_penalty(b)
    (loss + 0.5 * penalty).backward()
    assert (b - 0.5 * b.grad).item() == stepped
    assert (w - 0.5 * w.grad).tolist() == [0.75 * 2 - 0.5 * 9 * 3, 0.75 * 1 - 0.5 * 9 * 1]
