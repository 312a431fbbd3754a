"""2.8 Autograd: a branch that passes no gradient

A gradient can be kept from passing on purpose: a branch that is computed under `torch.no_grad()` enters the rest of
the graph as a constant. Its value counts in the result, its derivative does not, and the node of the sum has a way back
to the tracked branch only.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
