"""2.7 Autograd: the argument of backward

A tensor y of several elements has no single gradient: its derivative with respect to x is a matrix. `y.backward(w)`
therefore takes one number per element of y and computes the gradient of the weighted sum Σ y·w. There are two ways to
read w: as the weights of y's components, or as the gradient ∂l/∂y that has come back from some later loss l, for
which the chain rule gives the same formula. A scalar y has one element, and the weight 1 yields its ordinary
derivative.
"""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

claim = pytest.mark.claim
numbers = st.integers(-8, 8).map(float)  # whole, so that float32 sums and products of them are exact

# ── backward-argument-is-grad-variables ──


@claim("backward-argument-is-grad-variables")
def test_backward_has_a_parameter_named_grad_variables():
    assert "grad_variables" in inspect.signature(torch.Tensor.backward).parameters


@claim("backward-argument-is-grad-variables", truth=True)
def test_tensor_backward_calls_it_gradient():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    assert "gradient" in inspect.signature(torch.Tensor.backward).parameters
    (x**2).backward(gradient=torch.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]


@claim("backward-argument-is-grad-variables", truth=True)
def test_tensor_backward_refuses_the_other_name():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'grad_variables'"):
        (x**2).backward(grad_variables=torch.tensor([1.0, 10.0]))
    assert x.grad is None


@claim("backward-argument-is-grad-variables", truth=True)
def test_autograd_backward_calls_it_grad_tensors():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    torch.autograd.backward(x**2, grad_tensors=torch.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]


@claim("backward-argument-is-grad-variables", truth=True)
def test_autograd_backward_still_takes_the_old_name_and_warns():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.warns((UserWarning, FutureWarning), match="grad_variables.* is deprecated"):
        torch.autograd.backward(x**2, grad_variables=torch.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]


# ── weighted-backward-differentiates-the-weighted-sum ──


@claim("weighted-backward-differentiates-the-weighted-sum")
def test_weighted_backward_equals_the_backward_of_the_weighted_sum():
    """y = x²: the gradient of Σ w x² is 2 w x."""
    w = torch.tensor([[1.0, -2.0, 0.0], [0.5, 3.0, 10.0]])
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    (x**2).backward(w)
    by_weights, x.grad = x.grad, None
    (x**2 * w).sum().backward()
    assert by_weights.tolist() == x.grad.tolist() == [[2.0, -8.0, 0.0], [4.0, 30.0, 120.0]]


@claim("weighted-backward-differentiates-the-weighted-sum")
def test_weights_are_matched_by_index_and_not_by_storage_order():
    w = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).t()
    x = torch.ones(3, 2, requires_grad=True)
    (10 * x).backward(w)
    assert x.grad.tolist() == [[10.0, 40.0], [20.0, 50.0], [30.0, 60.0]]


@claim("weighted-backward-differentiates-the-weighted-sum")
def test_each_of_many_weights_counts_in_full():
    w = torch.arange(300.0 * 401).view(300, 401)  # whole numbers far below 2^24, so float32 is exact
    x = torch.ones(300, 401, requires_grad=True)
    (3 * x).backward(w)
    assert x.grad.flatten().tolist() == [3.0 * n for n in range(300 * 401)]


@claim("weighted-backward-differentiates-the-weighted-sum")
@given(st.lists(numbers, min_size=6, max_size=6), st.lists(numbers, min_size=2, max_size=2))
def test_weighted_backward_of_any_linear_function_mixes_the_rows_of_its_matrix(matrix, w):
    """y = A x: the gradient of Σ w y is wᵀ A, whatever x is."""
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = (torch.tensor(matrix).view(2, 3) * x).sum(dim=1)
    y.backward(torch.tensor(w))
    assert x.grad.tolist() == [w[0] * matrix[column] + w[1] * matrix[3 + column] for column in range(3)]


@claim("weighted-backward-differentiates-the-weighted-sum")
@pytest.mark.parametrize("shape", [(2,), (4,), (1,), (1, 3), (3, 1), ()])
def test_weights_of_another_shape_are_refused(shape):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x**2).backward(torch.ones(shape))
    assert x.grad is None


# ── weights-act-as-upstream-gradient ──


@claim("weights-act-as-upstream-gradient")
def test_unit_weights_select_a_component():
    """y = (x0 x1, x0 + 4 x1) at (2, 3): the rows of the derivative are (3, 2) and (1, 4)."""
    rows = []
    for w in ([1.0, 0.0], [0.0, 1.0], [10.0, -100.0]):
        x = torch.tensor([2.0, 3.0], requires_grad=True)
        torch.stack([x[0] * x[1], x[0] + 4 * x[1]]).backward(torch.tensor(w))
        rows.append(x.grad.tolist())
    assert rows == [[3.0, 2.0], [1.0, 4.0], [-70.0, -380.0]]


@claim("weights-act-as-upstream-gradient")
@given(st.lists(numbers, min_size=3, max_size=3))
def test_gradient_of_a_later_loss_is_what_its_derivative_passes_on(values):
    """y = x², l = Σ y² / 2: with dl/dy = y as the argument, x gets dl/dx = 2 x³, as from l itself."""
    x = torch.tensor(values, requires_grad=True)
    y = x * x
    y.backward(torch.tensor([value**2 for value in values]))
    passed_on, x.grad = x.grad, None
    y = x * x
    ((y * y).sum() / 2).backward()
    assert passed_on.tolist() == x.grad.tolist() == [2 * value**3 for value in values]


@claim("weights-act-as-upstream-gradient")
def test_backward_can_be_cut_in_two_at_y():
    """The later half leaves dl/dy in y's stand-in; the earlier half takes it from there."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.stack([x[0] * x[1], x[0] + x[1], x[1] ** 2])
    stand_in = y.detach().requires_grad_()
    (stand_in**2).sum().backward()
    y.backward(stand_in.grad)
    assert stand_in.grad.tolist() == [4.0, 6.0, 8.0]
    assert x.grad.tolist() == [4.0 * 2 + 6.0, 4.0 * 1 + 6.0 + 8.0 * 4]


# ── default-weight-is-one-for-scalars ──


@claim("default-weight-is-one-for-scalars")
@given(st.floats(-2, 2, width=32))
def test_default_gives_the_derivative_of_a_scalar(value):
    """Checked against a central difference of the same function in double precision."""

    def function(x):
        return x * math.sin(x) - math.exp(x)

    x = torch.tensor(value, requires_grad=True)
    (x * x.sin() - x.exp()).backward()
    # The difference quotient is exact to 1e-9 here, float32 to 1e-6 of terms below 10.
    quotient = (function(value + 1e-5) - function(value - 1e-5)) / 2e-5
    assert x.grad.item() == pytest.approx(quotient, rel=1e-5, abs=1e-5)


@claim("default-weight-is-one-for-scalars")
def test_weight_of_one_is_the_default_and_others_scale():
    gradients = []
    for arguments in ((), (torch.tensor(1.0),), (torch.tensor(2.0),), (torch.tensor(-0.5),)):
        x = torch.tensor(3.0, requires_grad=True)
        (x**2).backward(*arguments)
        gradients.append(x.grad.item())
    assert gradients == [6.0, 6.0, 12.0, -3.0]


@claim("default-weight-is-one-for-scalars")
@pytest.mark.parametrize("shape", [(2,), (3, 1), (2, 3), (2, 1, 2)])
def test_tensor_of_several_elements_has_no_default_weight(shape):
    x = torch.ones(shape, requires_grad=True)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (x**2).backward()


@claim("default-weight-is-one-for-scalars")
@pytest.mark.parametrize(
    "w, expected", [([1.0, 1.0], [4.0, 6.0]), ([1.0, -1.0], [-2.0, -2.0]), ([0.0, 5.0], [15.0, 20.0])]
)
def test_gradient_of_a_vector_depends_on_the_weights(w, expected):
    """y = (x0 + 2 x1, 3 x0 + 4 x1): no w can return all four derivatives, not even ones."""
    x = torch.tensor([5.0, 6.0], requires_grad=True)
    torch.stack([x[0] + 2 * x[1], 3 * x[0] + 4 * x[1]]).backward(torch.tensor(w))
    assert x.grad.tolist() == expected
