"""2.8 Autograd: interrupting gradients

A gradient can be kept from passing on purpose. A branch that is computed under `torch.no_grad()` enters the rest of the
graph as a constant: its value counts in the result, its derivative does not. And a gradient can go wrong by accident.
`x.data` is a second tensor on the memory of x that autograd knows nothing of: a write to it is harmless where the
derivative does not use the overwritten value, and silently falsifies it where it does.
"""

import pytest
import torch

claim = pytest.mark.claim


@claim("no-grad-result-has-no-grad-fn")
def test_only_the_branch_under_no_grad_has_no_record():
    x = torch.tensor(1.0, requires_grad=True)
    y1 = x**2
    with torch.no_grad():
        y2 = x**3
    y3 = y1 + y2
    print(y1, y1.requires_grad)
    print(y2, y2.requires_grad)

    assert (x.requires_grad, y1.requires_grad, y2.requires_grad, y3.requires_grad) == (True, True, False, True)
    assert y2.grad_fn is None
    assert y3.grad_fn is not None
    assert (y1.item(), y2.item(), y3.item()) == (1, 1, 2)


@claim("sum-node-is-named-th-add-backward")
def test_a_printed_sum_shows_th_add_backward():
    """Superseded: it is AddBackward0, in every release from 1.0 on."""
    x = torch.empty(0, requires_grad=True)  # of no elements, so that there is nothing else to print
    print(x**2 + x**3)

    assert "grad_fn=<ThAddBackward>" in repr(x**2 + x**3)


@claim("sum-node-is-named-th-add-backward", truth=True)
def test_a_printed_sum_shows_add_backward_0():
    x = torch.empty(0, requires_grad=True)  # of no elements, so that there is nothing else to print
    assert "grad_fn=<AddBackward0>" in repr(x**2 + x**3)


@claim("no-grad-branch-adds-no-gradient")
def test_the_gradient_at_one_is_two():
    x = torch.tensor(1.0, requires_grad=True)
    y1 = x**2
    with torch.no_grad():
        y2 = x**3
    y3 = y1 + y2

    y3.backward()
    print(x.grad)
    assert x.grad.item() == 2


@claim("no-grad-branch-adds-no-gradient", truth=True)
def test_the_formula_has_a_derivative_of_five_there():
    """A difference quotient of a cubic has an error of h², which is 2^-20 for h = 2^-10."""
    h = 2**-10
    above, below = ((1 + step) ** 2 + (1 + step) ** 3 for step in (h, -h))
    assert (above - below) / (2 * h) == 5 + h**2

    x = torch.tensor(1.0, requires_grad=True)
    (x**2 + x**3).backward()  # without no_grad autograd says so too
    assert x.grad.item() == 5


@claim("data-is-outside-the-graph")
def test_data_has_the_values_of_x_and_no_record():
    x = torch.tensor([1.0, 2.0], requires_grad=True)

    assert x.data.tolist() == [1, 2]
    assert x.data.requires_grad is False
    assert (x.data * 3).grad_fn is None
    assert x.requires_grad is True


@claim("data-writes-are-not-recorded")
def test_a_write_to_data_changes_the_value_and_not_the_gradient():
    x = torch.ones(1, requires_grad=True)
    y = 2 * x

    x.data *= 100
    y.backward()
    print(x)
    print(x.grad)

    assert x.tolist() == [100]
    assert x.grad.tolist() == [2]


@claim("data-writes-are-not-recorded", truth=True)
def test_the_gradient_of_a_square_is_computed_from_the_overwritten_value():
    x = torch.tensor(3.0, requires_grad=True)
    (x**2).backward()
    assert x.grad.item() == 6

    x.grad = None
    y = x**2
    x.data *= 100
    y.backward()
    assert x.grad.item() == 600

    y = x**2
    x.detach().mul_(100)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
