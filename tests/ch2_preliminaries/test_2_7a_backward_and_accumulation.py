"""2.7 Autograd: backward

For a chain of functions the derivative is the product of the Jacobian matrices of its links. `backward()` computes
this product from the result towards the leaves, one vector times one matrix at a time, and never builds the matrices.
The vector it starts with is 1 for a scalar, which is why a scalar needs no argument. What arrives at a leaf is added
to its `.grad`: that serves gradients that come in several parts, and asks for a reset before an independent one.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim

# ── scalar-backward-needs-no-argument ──


@claim("scalar-backward-needs-no-argument")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_scalar_gives_the_same_gradient_with_and_without_the_argument(dtype):
    gradients = []
    for arguments in ((), (torch.tensor(1.0, dtype=dtype),)):
        x = torch.tensor([1.0, 2.0, 3.0], dtype=dtype, requires_grad=True)
        (x**3).sum().backward(*arguments)
        gradients.append(x.grad.tolist())
    assert gradients == [[3.0, 12.0, 27.0], [3.0, 12.0, 27.0]]


@claim("scalar-backward-needs-no-argument")
def test_another_argument_scales_the_gradient():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x**3).sum().backward(torch.tensor(-2.0))
    assert x.grad.tolist() == [-6.0, -24.0, -54.0]


@claim("scalar-backward-needs-no-argument")
@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_single_element_in_brackets_counts_as_a_scalar(shape):
    x = torch.full(shape, 3.0, requires_grad=True)
    (x**2).backward()
    assert x.grad.flatten().tolist() == [6.0]


@claim("scalar-backward-needs-no-argument")
@pytest.mark.parametrize("shape", [(2,), (3,), (2, 3), (1, 2)])
def test_result_that_is_no_scalar_needs_the_argument(shape):
    x = torch.ones(shape, requires_grad=True)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (x**2).backward()
    assert x.grad is None


# ── quadratic-mean-gradient ──


@claim("quadratic-mean-gradient")
def test_gradient_of_the_mean_is_4_5():
    """out = ¼ Σ 3 (x + 2)², so d out / dx = 3 (x + 2) / 2 = 4.5 at x = 1."""
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    (y * y * 3).mean().backward()
    assert x.grad.tolist() == [[4.5, 4.5], [4.5, 4.5]]


@claim("quadratic-mean-gradient")
def test_gradient_of_the_mean_is_three_halves_of_x_plus_2():
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0]], requires_grad=True)
    y = x + 2
    (y * y * 3).mean().backward()
    assert x.grad.tolist() == [[3.0, 4.5], [6.0, 7.5]]


# ── backward-multiplies-jacobians ──


@claim("backward-multiplies-jacobians")
@pytest.mark.parametrize("weights", [[1.0, 0.0], [0.0, 1.0], [2.0, -3.0]])
def test_gradient_is_the_product_of_explicit_jacobians(weights):
    """f(x) = (x0 x1, x1 x2, sin x0, x2²) from R³ to R⁴, g(y) = (y0 y1, y2 + exp y3) from R⁴ to R²."""
    x = torch.tensor([0.5, -1.5, 0.25], dtype=torch.float64, requires_grad=True)
    y = torch.stack([x[0] * x[1], x[1] * x[2], x[0].sin(), x[2] ** 2])
    z = torch.stack([y[0] * y[1], y[2] + y[3].exp()])
    z.backward(torch.tensor(weights, dtype=torch.float64))

    a, b, c = 0.5, -1.5, 0.25
    jacobian_f = np.array([[b, a, 0], [0, c, b], [np.cos(a), 0, 0], [0, 0, 2 * c]])
    jacobian_g = np.array([[b * c, a * b, 0, 0], [0, 0, 1, np.exp(c**2)]])
    # float64 rounds at 1e-16; sums of a few products stay far within 1e-12.
    assert x.grad.tolist() == pytest.approx((np.array(weights) @ jacobian_g @ jacobian_f).tolist(), rel=1e-12)


@claim("backward-multiplies-jacobians")
@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
@example([3, 3, 2, 4], 0)
def test_gradient_of_any_chain_of_layers_is_the_product_of_their_jacobians(widths, seed):
    """The Jacobian of tanh(A x) is diag(1 - tanh²) A."""
    random = np.random.default_rng(seed)
    start = random.uniform(-1, 1, widths[0])
    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    y, value, product = x, start, np.eye(widths[0])
    for inputs, outputs in pairwise(widths):
        matrix = random.uniform(-1, 1, (outputs, inputs))
        y = torch.tanh(torch.tensor(matrix) @ y)
        value = np.tanh(matrix @ value)
        product = np.diag(1 - value**2) @ matrix @ product
    weights = random.uniform(-1, 1, widths[-1])
    y.backward(torch.tensor(weights))
    # float64 again; abs is for gradients near zero, the small difference of larger terms.
    assert x.grad.tolist() == pytest.approx((weights @ product).tolist(), rel=1e-9, abs=1e-12)


# ── gradients-accumulate ──


@claim("gradients-accumulate")
def test_second_backward_adds_to_the_first_in_the_example_of_the_notes():
    x = torch.ones(2, 2, requires_grad=True)
    (3 * (x + 2) ** 2).mean().backward()
    assert x.grad.tolist() == [[4.5, 4.5], [4.5, 4.5]]
    x.sum().backward()
    assert x.grad.tolist() == [[5.5, 5.5], [5.5, 5.5]]


@claim("gradients-accumulate")
def test_backward_after_clearing_gives_the_plain_gradient():
    x = torch.ones(2, 2, requires_grad=True)
    (3 * (x + 2) ** 2).mean().backward()
    x.grad.data.zero_()
    assert x.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    x.sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


@claim("gradients-accumulate")
@given(st.integers(1, 10))
@example(10)
def test_n_passes_give_n_times_the_gradient(n):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for _ in range(n):
        (x**2).sum().backward()
    assert x.grad.tolist() == [2.0 * n, 4.0 * n, 6.0 * n]


@claim("gradients-accumulate")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (300, 401)])
def test_gradient_of_any_shape_and_dtype_accumulates(shape, dtype):
    x = torch.ones(shape, dtype=dtype, requires_grad=True)
    (2 * x).backward(torch.ones_like(x))
    (3 * x).backward(torch.ones_like(x))
    assert torch.equal(x.grad, torch.full(shape, 5.0, dtype=dtype))


@claim("gradients-accumulate")
def test_gradients_of_parameters_accumulate():
    """Weight and bias: the gradients of w · x + b are x and 1."""
    layer = nn.Linear(2, 1)
    for _ in range(3):
        layer(torch.tensor([[10.0, 20.0]])).backward()
    assert layer.weight.grad.tolist() == [[30.0, 60.0]]
    assert layer.bias.grad.tolist() == [3.0]


@claim("gradients-accumulate")
def test_zeroing_in_place_keeps_the_tensor_of_the_gradient():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x**2).sum().backward()
    grad = x.grad
    grad.zero_()
    (5 * x).sum().backward()
    assert x.grad is grad
    assert grad.tolist() == [5.0, 5.0]


@claim("gradients-accumulate")
def test_setting_the_gradient_to_none_clears_it_too():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x**2).sum().backward()
    x.grad = None
    (5 * x).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
