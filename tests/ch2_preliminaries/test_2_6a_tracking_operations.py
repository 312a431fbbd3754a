"""2.6 Autograd: what is tracked, and how tracking is stopped

Autograd computes derivatives of ordinary code by keeping a record of it. A tensor with `requires_grad=True` starts
the record: every operation on it, and on whatever is computed from it, is written down together with the rule for its
derivative. `backward()` then reads the record from the end to the beginning and applies the chain rule, and each
tensor where the record began, a *leaf*, finds its gradient in `.grad`. Two ways lead out of the record: `detach()`
for one tensor, `torch.no_grad()` for a block of code.
"""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

claim = pytest.mark.claim

# ── requires-grad-tracks-operations ──


@claim("requires-grad-tracks-operations")
def test_result_of_a_tracked_operation_requires_grad_too():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (2 * x + 1).exp().sum()
    assert y.requires_grad is True
    assert y.grad_fn is not None


@claim("requires-grad-tracks-operations")
def test_one_tracked_operand_is_enough():
    tracked, plain = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0)
    assert (tracked * plain).requires_grad is True
    assert (plain - tracked).requires_grad is True
    assert (plain * plain).requires_grad is False


@claim("requires-grad-tracks-operations")
def test_chain_rule_differentiates_a_composition():
    """y = (3x + 1)² at x = 2: outer derivative 2 · 7, inner derivative 3."""
    x = torch.tensor(2.0, requires_grad=True)
    y = (3 * x + 1) ** 2
    y.backward()
    assert y.item() == 49.0
    assert x.grad.item() == 42.0


@claim("requires-grad-tracks-operations")
@pytest.mark.parametrize(
    "operation, derivative",
    [
        ("exp", math.exp),
        ("log", lambda x: 1 / x),
        ("sin", math.cos),
        ("cos", lambda x: -math.sin(x)),
        ("sqrt", lambda x: 0.5 / math.sqrt(x)),
        ("tanh", lambda x: 1 / math.cosh(x) ** 2),
        ("sigmoid", lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2),
        ("reciprocal", lambda x: -1 / x**2),
        ("neg", lambda x: -1.0),
    ],
)
def test_each_operation_is_recorded_with_its_derivative(operation, derivative):
    x = torch.tensor([0.5, 1.5, 2.5], requires_grad=True)
    y = getattr(torch, operation)(x)
    assert y.requires_grad is True
    y.sum().backward()
    # float32 carries seven digits; each formula loses at most one of them.
    assert x.grad.tolist() == pytest.approx([derivative(0.5), derivative(1.5), derivative(2.5)], rel=1e-5)


@claim("requires-grad-tracks-operations")
@pytest.mark.parametrize(
    "operation, gradient",
    [
        (lambda x: x @ torch.tensor([[100.0], [10.0], [1.0]]), [[100.0, 10.0, 1.0], [100.0, 10.0, 1.0]]),
        (lambda x: torch.zeros(4, 2, 3) + x, [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]),
        (lambda x: torch.cat([x, 3 * x]), [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]),
        (lambda x: x.mean(dim=0), [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]),
        (lambda x: x.max(), [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        (lambda x: x.t()[0], [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        (lambda x: x.reshape(6)[1:4], [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]),
        (lambda x: torch.where(x > 2, x, 5 * x), [[5.0, 5.0, 1.0], [1.0, 1.0, 1.0]]),
        (lambda x: torch.relu(x - 3), [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]),
    ],
    ids=["matrix product", "broadcast", "cat", "mean", "max", "transpose", "slice", "where", "relu"],
)
def test_operations_that_mix_or_choose_elements_are_recorded(operation, gradient):
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    y = operation(x)
    assert y.requires_grad is True
    y.sum().backward()
    assert x.grad.tolist() == gradient


# Functions with their derivatives, both bounded on the whole line, so that chains of them stay in range.
FUNCTIONS = [
    (lambda x: torch.sin(x), math.sin, math.cos),
    (lambda x: torch.tanh(x), math.tanh, lambda x: 1 / math.cosh(x) ** 2),
    (lambda x: 2 * x - 1, lambda x: 2 * x - 1, lambda x: 2.0),
    (lambda x: 1 / (1 + x * x), lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
]


@claim("requires-grad-tracks-operations")
@given(st.lists(st.sampled_from(FUNCTIONS), min_size=1, max_size=5), st.floats(-2, 2))
@example(FUNCTIONS, 0.5)
def test_gradient_of_any_chain_is_the_product_of_its_derivatives(chain, start):
    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    y, value, slope = x, start, 1.0
    for tracked, function, derivative in chain:
        y, slope, value = tracked(y), slope * derivative(value), function(value)
    y.backward()
    # Rounding is amplified by the slopes along the chain: up to 2 each, so 32 in all.
    assert x.grad.item() == pytest.approx(slope, rel=1e-9, abs=1e-12)


@claim("requires-grad-tracks-operations")
def test_views_and_in_place_operations_are_tracked_too():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    y = x * 1
    y.view(2, 2)[1] *= 10
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 10.0, 10.0]


@claim("requires-grad-tracks-operations")
def test_record_is_as_long_as_the_computation():
    x = torch.tensor(2.0, requires_grad=True)
    y = torch.tensor(0.0)
    for _ in range(200):
        y = y + x
    y.backward()
    assert x.grad.item() == 200.0


# ── backward-fills-grad ──


@claim("backward-fills-grad")
def test_grad_is_none_until_backward_fills_it():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x**2).sum()
    assert x.grad is None
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


@claim("backward-fills-grad")
def test_one_backward_computes_the_gradients_of_all_leaves():
    """y = Σ a·b + c: dy/da = b, dy/db = a, dy/dc = 1, each in the shape of its leaf."""
    a = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    b = torch.tensor([[4.0, 5.0, 6.0]], requires_grad=True)
    c = torch.tensor(7.0, requires_grad=True)
    ((a * b).sum() + c).backward()
    assert all(leaf.grad is not None for leaf in (a, b, c))
    assert a.grad.tolist() == [[4.0, 5.0, 6.0]]
    assert b.grad.tolist() == [[1.0, 2.0, 3.0]]
    assert c.grad.item() == 1.0


@claim("backward-fills-grad")
def test_gradients_of_all_paths_to_a_leaf_accumulate():
    """y = x³ + 5x: one path brings 3x², the other 5."""
    x = torch.tensor(2.0, requires_grad=True)
    (x**3 + 5 * x).backward()
    assert x.grad.item() == 17.0


@claim("backward-fills-grad")
def test_gradients_of_successive_backwards_accumulate():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x**2).sum().backward()
    (3 * x).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]


@claim("backward-fills-grad")
def test_leaf_that_took_no_part_is_left_alone():
    x, bystander = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    (x**2).backward()
    assert x.grad.item() == 4.0
    assert bystander.grad is None


@claim("backward-fills-grad")
def test_gradient_has_the_shape_and_dtype_of_its_leaf():
    x = torch.ones(2, 3, dtype=torch.float16, requires_grad=True)
    (x.float() * 2).sum().backward()
    assert (x.grad.shape, x.grad.dtype) == (x.shape, torch.float16)


@claim("backward-fills-grad", truth=True)
def test_non_leaf_keeps_no_grad():
    """Reading it anyway gives None and a warning that says so."""
    x = torch.tensor(3.0, requires_grad=True)
    y = x**2
    result = 2 * y
    result.backward()
    for non_leaf in (y, result):
        with pytest.warns(UserWarning, match="not a leaf Tensor"):
            assert non_leaf.grad is None
    assert x.grad.item() == 12.0


@claim("backward-fills-grad", truth=True)
def test_retain_grad_makes_a_non_leaf_keep_its_gradient():
    """z = 2y², y = 5x at x = 3: dz/dy = 4y = 60, dz/dx = 5 · 60."""
    x = torch.tensor(3.0, requires_grad=True)
    y = 5 * x
    y.retain_grad()
    (2 * y**2).backward()
    assert y.grad is not None
    assert (y.grad.item(), x.grad.item()) == (60.0, 300.0)


@claim("backward-fills-grad", truth=True)
def test_backward_fills_a_non_leaf_that_inputs_names_and_nothing_else():
    x = torch.tensor(3.0, requires_grad=True)
    y = 5 * x
    (2 * y**2).backward(inputs=[y])
    assert y.grad.item() == 60.0
    assert x.grad is None


@claim("backward-fills-grad", truth=True)
def test_tensor_that_does_not_require_grad_gets_none():
    x, constant = torch.tensor(3.0, requires_grad=True), torch.tensor(4.0)
    (x * constant).backward()
    assert x.grad.item() == 4.0
    assert constant.grad is None
