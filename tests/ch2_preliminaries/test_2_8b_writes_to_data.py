"""2.8 Autograd: writes that leave no trace

A gradient can go wrong by accident. `x.data` gives a second tensor on the memory of x that autograd knows nothing of.
Writing to it changes x without a trace, which is harmless where the derivative does not use the overwritten value and
silently wrong where it does. `x.detach()` shares the memory as well, but its writes are counted, and backward refuses
to go on.
"""

import math

import pytest
import torch
from torch import nn

claim = pytest.mark.claim

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
