"""2.8 Autograd: interrupting gradients

A gradient can be kept from passing, on purpose or by accident. On purpose: a branch that is computed under
`torch.no_grad()` enters the rest of the graph as a constant. By accident: `x.data` gives a second tensor on the memory of x that
autograd knows nothing of. Writing to it changes x without a trace, which is harmless where the derivative does not use the
overwritten value and silently wrong where it does. `x.detach()` shares the memory as well, but its writes are
counted, and backward refuses to go on.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim

# ── no-grad-result-has-no-grad-fn ──


@claim("no-grad-result-has-no-grad-fn")
@pytest.mark.parametrize("value", [1.0, 2.0])
def test_only_the_branch_under_no_grad_has_no_record(value):
    x = torch.tensor(value, requires_grad=True)
    y1 = x**2
    with torch.no_grad():
        y2 = x**3
    y3 = y1 + y2
    assert (y1.requires_grad, y2.requires_grad, y3.requires_grad) == (True, False, True)
    assert (y2 + y1).requires_grad is True
    assert y2.grad_fn is None
    assert (y1.grad_fn.name(), y3.grad_fn.name()) == ("PowBackward0", "AddBackward0")
    assert (y1.item(), y2.item(), y3.item()) == (value**2, value**3, value**2 + value**3)


@claim("no-grad-result-has-no-grad-fn")
@pytest.mark.parametrize("shape", [(3,), (2, 3), (300, 401)])
def test_branch_of_any_shape_under_no_grad_has_no_record(shape):
    x = torch.full(shape, 2.0, requires_grad=True)
    with torch.no_grad():
        y2 = x**3
    assert (y2.requires_grad, y2.grad_fn, (x**2 + y2).requires_grad) == (False, None, True)


@claim("no-grad-result-has-no-grad-fn")
def test_sum_has_a_way_back_to_the_tracked_branch_only():
    x = torch.tensor(1.0, requires_grad=True)
    y1 = x**2
    with torch.no_grad():
        y2 = x**3
    (to_y1, _), (to_y2, _) = (y1 + y2).grad_fn.next_functions
    assert to_y1 is y1.grad_fn
    assert to_y2 is None


# ── sum-node-is-named-th-add-backward ──


@claim("sum-node-is-named-th-add-backward")
def test_printed_sum_shows_th_add_backward():
    x = torch.tensor(1.0, requires_grad=True)
    assert "grad_fn=<ThAddBackward>" in repr(x**2 + x**3)


@claim("sum-node-is-named-th-add-backward", truth=True)
def test_printed_sum_shows_add_backward_0():
    x = torch.tensor(1.0, requires_grad=True)
    y = x**2 + x**3
    assert y.grad_fn.name() == "AddBackward0"
    assert "grad_fn=<AddBackward0>" in repr(y)


# ── no-grad-branch-adds-no-gradient ──


@claim("no-grad-branch-adds-no-gradient")
def test_gradient_at_1_is_2():
    x = torch.tensor(1.0, requires_grad=True)
    y1 = x**2
    with torch.no_grad():
        y2 = x**3
    (y1 + y2).backward()
    assert x.grad.item() == 2.0


@claim("no-grad-branch-adds-no-gradient")
@given(st.integers(-100, 100))
def test_gradient_at_any_x_is_2x(value):
    x = torch.tensor(float(value), requires_grad=True)
    with torch.no_grad():
        y2 = x**3
    (x**2 + y2).backward()
    assert x.grad.item() == 2 * value


@claim("no-grad-branch-adds-no-gradient")
@pytest.mark.parametrize("shape", [(3,), (2, 3), (300, 401)])
def test_gradient_of_a_tensor_of_any_shape_is_2x(shape):
    x = torch.full(shape, 3.0, requires_grad=True)
    with torch.no_grad():
        y2 = x**3
    (x**2 + y2).sum().backward()
    assert (x.grad.min().item(), x.grad.max().item()) == (6.0, 6.0)


@claim("no-grad-branch-adds-no-gradient")
def test_several_branches_under_no_grad_add_nothing():
    x = torch.tensor(3.0, requires_grad=True)
    with torch.no_grad():
        y2 = x**3
    with torch.no_grad():
        y3 = x**4
    (y3 + x**2 + y2).backward()
    assert x.grad.item() == 6.0


@claim("no-grad-branch-adds-no-gradient")
def test_both_branches_contribute_without_no_grad():
    """2x + 3x² at x = 2."""
    x = torch.tensor(2.0, requires_grad=True)
    (x**2 + x**3).backward()
    assert x.grad.item() == 16.0


@claim("no-grad-branch-adds-no-gradient")
def test_branch_under_no_grad_has_no_backward_of_its_own():
    x = torch.tensor(1.0, requires_grad=True)
    with torch.no_grad():
        y2 = x**3
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        y2.backward()
    assert x.grad is None


# ── data-is-outside-the-graph ──


@claim("data-is-outside-the-graph")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("make", [lambda x: x, lambda x: x * 3, nn.Parameter], ids=["leaf", "non-leaf", "parameter"])
def test_data_has_the_values_and_no_record(make, dtype):
    x = make(torch.tensor([[1.0, 2.0, 3.0]], dtype=dtype, requires_grad=True))
    assert type(x.data) is torch.Tensor
    assert (x.data.requires_grad, x.data.grad_fn, x.data.is_leaf) == (False, None, True)
    assert (x.data.dtype, x.data.tolist()) == (x.dtype, x.tolist())
    assert x.requires_grad is True


@claim("data-is-outside-the-graph")
def test_data_follows_the_values_of_x():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    before = x.data
    with torch.no_grad():
        x += 10
    assert before.tolist() == x.data.tolist() == [11.0, 12.0]


@claim("data-is-outside-the-graph")
def test_operations_on_data_are_not_tracked():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    assert (x.data * 3).requires_grad is False
    (x * x.data).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0]  # x.data counts as a constant: x, not 2x


# ── data-writes-are-not-recorded ──


@claim("data-writes-are-not-recorded")
def test_write_to_data_changes_the_value_and_not_the_gradient():
    x = torch.ones(1, requires_grad=True)
    y = 2 * x
    x.data *= 100
    y.backward()
    assert x.tolist() == [100.0]
    assert (x.requires_grad, x.is_leaf) == (True, True)
    assert x.grad.tolist() == [2.0]


@claim("data-writes-are-not-recorded")
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (300, 401)])
def test_data_lies_in_the_memory_of_x(shape):
    """So that a method in place, which assigns nothing to `x.data`, changes x as well."""
    x = torch.ones(shape, requires_grad=True)
    x.data.mul_(100)
    assert x.data.data_ptr() == x.data_ptr()
    assert (x.min().item(), x.max().item()) == (100.0, 100.0)


@claim("data-writes-are-not-recorded")
def test_write_to_one_element_of_data_changes_that_element():
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    y = 2 * x
    x.data[1, 2] = 600.0
    y.sum().backward()
    assert x.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 600.0]]
    assert x.grad.tolist() == [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]


@claim("data-writes-are-not-recorded")
@pytest.mark.parametrize(
    "operation, derivative",
    [
        (lambda x: x + 5, 1.0),
        (lambda x: -7 * x, -7.0),
        (lambda x: x.exp(), math.exp(2)),
        (lambda x: x.sqrt(), 0.5 / math.sqrt(2)),
    ],
    ids=["add", "multiply", "exp", "sqrt"],
)
def test_write_is_harmless_where_the_derivative_does_not_use_the_input(operation, derivative):
    """exp and sqrt keep their result for the derivative, and that has not been overwritten."""
    x = torch.tensor(2.0, requires_grad=True)
    y = operation(x)
    x.data *= 100
    y.backward()
    assert x.item() == 200.0
    assert x.grad.item() == pytest.approx(derivative, rel=1e-5)  # float32


@claim("data-writes-are-not-recorded", truth=True)
def test_write_is_counted_through_detach_and_not_through_data():
    """The count of writes is what backward compares with that of the time when x was saved."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    x.data.mul_(100)
    assert x._version == 0
    x.detach().mul_(100)
    assert x._version == 1


@claim("data-writes-are-not-recorded", truth=True)
def test_write_silently_falsifies_the_gradient_of_a_square():
    """x² keeps x. The gradient at 3 is 6; computed from the overwritten 300 it is 600."""
    x = torch.tensor(3.0, requires_grad=True)
    y = x**2
    x.data *= 100
    y.backward()
    assert y.item() == 9.0
    assert x.grad.item() == 600.0


@claim("data-writes-are-not-recorded", truth=True)
def test_overwritten_result_falsifies_the_gradient_of_exp():
    x = torch.tensor(0.0, requires_grad=True)
    y = torch.exp(x)
    y.data *= 100
    y.backward()
    assert x.grad.item() == 100.0  # exp'(0) = 1


@claim("data-writes-are-not-recorded", truth=True)
@pytest.mark.parametrize(
    "operation", [lambda x: x**2, lambda x: x * x, lambda x: x.sin()], ids=["square", "product", "sin"]
)
def test_write_through_detach_is_caught(operation):
    x = torch.tensor(3.0, requires_grad=True)
    y = operation(x)
    x.detach().mul_(100)
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        y.backward()
    assert x.grad is None
