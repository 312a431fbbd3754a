"""2.6 Autograd: leaving the record by detach() and no_grad()

Not every computation should be differentiated. `detach()` returns a tensor that stands on the same data but outside
the record: to autograd it is a constant. `torch.no_grad()` switches recording off for a block of code, whatever the
tensors in it ask for, and so saves the memory and the time that the record costs: the way to evaluate a model.
Neither changes `requires_grad` of the tensors that were there before.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim

# ── detach-stops-tracking ──


@claim("detach-stops-tracking")
def test_detached_tensor_has_no_record():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for detached in (x.detach(), (x * 3).detach()):
        assert detached.requires_grad is False
        assert detached.grad_fn is None
        assert detached.is_leaf is True


@claim("detach-stops-tracking")
def test_operations_on_a_detached_tensor_are_not_tracked():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x.detach() * 3).exp().sum()
    assert y.requires_grad is False
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        y.backward()
    assert x.grad is None


@claim("detach-stops-tracking")
def test_detached_factor_counts_as_a_constant():
    """x · x has the derivative 2x = 6; with one factor detached it is c · x with c = 3."""
    x = torch.tensor(3.0, requires_grad=True)
    (x * x.detach()).backward()
    assert x.grad.item() == 3.0


@claim("detach-stops-tracking")
@given(st.integers(0, 4), st.integers(0, 4), st.sampled_from([-2.0, -1.0, 0.5, 3.0]))
def test_detached_power_passes_no_gradient(tracked, detached, value):
    """The derivative of x^m · c with c = x^n held constant is m · x^(m-1) · x^n."""
    x = torch.tensor(value, requires_grad=True)
    (x**tracked * x.detach() ** detached).backward()
    # Powers need not be rounded correctly: float32 carries seven digits, six are asked for.
    assert x.grad.item() == pytest.approx(tracked * value ** (tracked - 1) * value**detached, rel=1e-6)


@claim("detach-stops-tracking")
def test_no_gradient_passes_a_detached_tensor_in_the_middle():
    x = torch.tensor(3.0, requires_grad=True)
    y = (x**2).detach().requires_grad_()
    (5 * y).backward()
    assert y.grad.item() == 5.0
    assert x.grad is None


@claim("detach-stops-tracking")
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (300, 401)])
def test_detached_tensor_shares_the_data(shape):
    x = torch.zeros(shape, requires_grad=True)
    detached = x.detach()
    assert detached.requires_grad is False
    detached.fill_(7.0)
    assert detached.data_ptr() == x.data_ptr()
    assert (x.min().item(), x.max().item()) == (7.0, 7.0)


@claim("detach-stops-tracking", truth=True)
def test_original_stays_tracked_after_detach():
    """Forgetting to use what detach() returns is a common slip: nothing has changed."""
    x = torch.tensor(3.0, requires_grad=True)
    y = x**2
    y.detach()
    x.detach()
    assert (x.requires_grad, y.requires_grad) == (True, True)
    assert y.grad_fn is not None
    y.backward()
    assert x.grad.item() == 6.0


@claim("detach-stops-tracking", truth=True)
def test_detach_returns_another_tensor():
    y = torch.tensor([1.0, 2.0], requires_grad=True) * 3
    assert y.detach() is not y
    assert y.detach().tolist() == [3.0, 6.0]


@claim("detach-stops-tracking", truth=True)
def test_detach_in_place_turns_the_tensor_itself_into_a_leaf():
    x = torch.tensor(3.0, requires_grad=True)
    y = x**2
    assert y.detach_() is y
    assert (y.requires_grad, y.grad_fn, y.is_leaf) == (False, None, True)
    assert y.item() == 9.0


@claim("detach-stops-tracking", truth=True)
def test_detach_in_place_switches_a_leaf_off():
    x = torch.tensor(3.0, requires_grad=True)
    assert x.detach_() is x
    assert (x.requires_grad, (x**2).requires_grad) == (False, False)


@claim("detach-stops-tracking", truth=True)
def test_what_was_computed_before_detach_in_place_stays_tracked():
    x = torch.tensor(3.0, requires_grad=True)
    y = 2 * x
    before = 5 * y
    y.detach_()
    after = 5 * y
    before.backward()
    assert x.grad.item() == 10.0
    assert after.requires_grad is False


# ── no-grad-stops-tracking ──


@claim("no-grad-stops-tracking")
def test_output_under_no_grad_has_no_record_though_the_parameters_require_grad():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        output = model(torch.ones(5, 3))
    assert output.requires_grad is False
    assert output.grad_fn is None
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, True, True, True]


@claim("no-grad-stops-tracking")
def test_model_gives_the_same_output_under_no_grad():
    model = nn.Linear(3, 2)
    inputs = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
    with torch.no_grad():
        evaluated = model(inputs)
    assert evaluated.tolist() == model(inputs).tolist()


@claim("no-grad-stops-tracking")
def test_loss_under_no_grad_cannot_be_differentiated():
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.no_grad():
        loss = (weight**2).sum()
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        loss.backward()
    assert weight.grad is None


@claim("no-grad-stops-tracking")
def test_tracking_resumes_after_the_block():
    x = torch.tensor(3.0, requires_grad=True)
    with torch.no_grad():
        assert torch.is_grad_enabled() is False
        assert (x**2).requires_grad is False
    assert torch.is_grad_enabled() is True
    (x**2).backward()
    assert x.grad.item() == 6.0


@claim("no-grad-stops-tracking")
def test_tracking_resumes_after_an_exception():
    x = torch.tensor(3.0, requires_grad=True)
    with pytest.raises(ZeroDivisionError), torch.no_grad():
        assert (x**2).requires_grad is False
        raise ZeroDivisionError
    assert (x**2).requires_grad is True


@claim("no-grad-stops-tracking")
def test_inner_block_leaves_the_outer_one_in_force():
    x = torch.tensor(3.0, requires_grad=True)
    with torch.no_grad():
        with torch.no_grad():
            pass
        assert (x**2).requires_grad is False
        with torch.enable_grad():
            assert (x**2).requires_grad is True
        assert (x**2).requires_grad is False


@claim("no-grad-stops-tracking")
def test_decorated_function_is_not_tracked():
    @torch.no_grad()
    def evaluate(x):
        return x**2

    x = torch.tensor(3.0, requires_grad=True)
    assert evaluate(x).requires_grad is False
    assert (x**2).requires_grad is True
    assert evaluate(x).requires_grad is False


@claim("no-grad-stops-tracking")
def test_parameters_can_be_updated_in_place_under_no_grad():
    """Tracked, the same update of a leaf is an error: it would overwrite a value that the record needs."""
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.no_grad():
        weight -= torch.tensor([0.5, 0.5])
    assert weight.tolist() == [0.5, 1.5]
    assert (weight.requires_grad, weight.is_leaf) == (True, True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        weight -= torch.tensor([0.5, 0.5])
