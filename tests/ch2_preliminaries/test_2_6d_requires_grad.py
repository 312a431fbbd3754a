"""2.6 Autograd: the example of the notes, and the flag that starts it

A small worked example goes through this part of the notes: a 2 × 2 tensor of ones, an addition, a square, a mean.
Every node of it can be read from the printed tensors. The flag `requires_grad` decides whether such a record is kept
at all: it is off unless asked for, it passes from operands to results, and `requires_grad_()` turns it on for a
tensor that exists already, from then on.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim

# ── add-node-is-named-add-backward ──


@claim("add-node-is-named-add-backward")
def test_node_of_an_addition_is_called_add_backward():
    y = torch.ones(2, 2, requires_grad=True) + 2
    assert y.grad_fn.name() == "AddBackward"


@claim("add-node-is-named-add-backward")
def test_printed_node_of_an_addition_is_add_backward():
    y = torch.ones(2, 2, requires_grad=True) + 2
    assert "<AddBackward>" in repr(y)


@claim("add-node-is-named-add-backward", truth=True)
@pytest.mark.parametrize(
    "add",
    [lambda x: x + 2, lambda x: 2 + x, lambda x: x + x, lambda x: torch.add(x, 2), lambda x: (x * 1).add_(2)],
    ids=["number on the right", "number on the left", "two tensors", "torch.add", "in place"],
)
def test_node_of_an_addition_is_called_add_backward_0(add):
    y = add(torch.ones(2, 2, requires_grad=True))
    assert y.grad_fn.name() == "AddBackward0"
    assert type(y.grad_fn).__name__ == "AddBackward0"


@claim("add-node-is-named-add-backward", truth=True)
def test_printed_tensor_and_node_show_add_backward_0():
    y = torch.ones(2, 2, requires_grad=True) + 2
    assert repr(y).endswith(", grad_fn=<AddBackward0>)")
    assert repr(y.grad_fn).startswith("<AddBackward0 object at 0x")


# ── quadratic-mean-example ──


@claim("quadratic-mean-example")
def test_elements_and_mean_are_27():
    """3 · (1 + 2)² = 27."""
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    z = y * y * 3
    assert y.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert z.tolist() == [[27.0, 27.0], [27.0, 27.0]]
    assert z.mean().item() == 27.0
    assert z.mean().shape == ()


@claim("quadratic-mean-example")
def test_each_element_becomes_3_times_the_square_of_x_plus_2():
    """3 · 2², 3 · 3², 3 · 4², 3 · 5²; their mean is 162 / 4."""
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0]], requires_grad=True)
    z = 3 * (x + 2) ** 2
    assert z.tolist() == [[12.0, 27.0], [48.0, 75.0]]
    assert z.mean().item() == 40.5


# ── requires-grad-defaults-to-false ──


@claim("requires-grad-defaults-to-false")
@pytest.mark.parametrize(
    "create",
    [
        lambda: torch.tensor([1.0, 2.0]),
        lambda: torch.randn(2, 2),
        lambda: torch.rand(2),
        lambda: torch.zeros(2, 3),
        lambda: torch.ones(2, dtype=torch.float64),
        lambda: torch.empty(2),
        lambda: torch.full((2,), 0.5),
        lambda: torch.arange(3.0),
        lambda: torch.linspace(0, 1, 3),
        lambda: torch.eye(2),
    ],
    ids=["tensor", "randn", "rand", "zeros", "ones", "empty", "full", "arange", "linspace", "eye"],
)
def test_created_tensor_does_not_require_grad_by_default(create):
    assert create().requires_grad is False


@claim("requires-grad-defaults-to-false")
@pytest.mark.parametrize("create", ["zeros_like", "ones_like", "empty_like", "rand_like", "randn_like"])
def test_tensor_made_like_another_does_not_inherit_requires_grad(create):
    template = torch.ones(2, 3, requires_grad=True)
    assert getattr(torch, create)(template).requires_grad is False


@claim("requires-grad-defaults-to-false")
def test_new_tensor_of_another_does_not_inherit_requires_grad():
    template = torch.ones(2, 3, requires_grad=True)
    assert template.new_zeros(2).requires_grad is False
    assert template.new_tensor([1.0, 2.0]).requires_grad is False


@claim("requires-grad-defaults-to-false")
@pytest.mark.cpu
def test_tensor_from_numpy_does_not_require_grad():
    assert torch.from_numpy(np.array([1.0, 2.0])).requires_grad is False


@claim("requires-grad-defaults-to-false")
def test_result_in_the_example_of_the_notes_does_not_require_grad():
    a = torch.randn(2, 2)
    a = (a * 3) / (a - 1)
    assert a.requires_grad is False


@claim("requires-grad-defaults-to-false")
@pytest.mark.parametrize(
    "operation",
    [lambda x: x.exp(), lambda x: x @ x, lambda x: x.double(), lambda x: x[0], lambda x: x.mean(), lambda x: x.clone()],
    ids=["exp", "matrix product", "double", "index", "mean", "clone"],
)
def test_result_of_untracked_operands_does_not_require_grad(operation):
    assert operation(torch.ones(2, 2)).requires_grad is False


@claim("requires-grad-defaults-to-false")
@given(st.lists(st.booleans(), min_size=1, max_size=5))
def test_result_requires_grad_exactly_if_some_operand_does(flags):
    operands = [torch.tensor(1.5, requires_grad=flag) for flag in flags]
    assert torch.stack(operands).prod().requires_grad is any(flags)


@claim("requires-grad-defaults-to-false")
def test_parameter_of_a_module_is_the_exception_that_asks_for_it():
    assert nn.Parameter(torch.zeros(2)).requires_grad is True
    assert [parameter.requires_grad for parameter in nn.Linear(3, 2).parameters()] == [True, True]


# ── requires-grad-can-be-set-in-place ──


@claim("requires-grad-can-be-set-in-place")
def test_requires_grad_in_place_returns_the_same_object():
    a = torch.tensor([[1.0, 2.0, 3.0]])
    address = a.data_ptr()
    assert a.requires_grad_(True) is a
    assert a.requires_grad is True
    assert a.tolist() == [[1.0, 2.0, 3.0]]
    assert a.data_ptr() == address


@claim("requires-grad-can-be-set-in-place")
def test_operations_afterwards_are_tracked():
    """b = Σ a², so db/da = 2a."""
    a = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    a.requires_grad_(True)
    b = (a * a).sum()
    assert b.grad_fn.name() == "SumBackward0"
    b.backward()
    assert a.grad.tolist() == [[2.0, 4.0], [6.0, 8.0]]


@claim("requires-grad-can-be-set-in-place")
def test_operations_before_stay_untracked():
    a = torch.tensor([1.0, 2.0])
    before = a * 3
    a.requires_grad_()
    (before * a).sum().backward()
    assert before.requires_grad is False
    assert a.grad.tolist() == [3.0, 6.0]  # 6.0 and 12.0, had the first product been tracked


@claim("requires-grad-can-be-set-in-place")
def test_leaf_can_be_switched_off_and_on_again():
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    assert a.requires_grad_().requires_grad is True
    assert a.requires_grad_(False) is a
    assert a.requires_grad_(False).requires_grad is False
    assert (a.requires_grad, (a * 3).requires_grad) == (False, False)
    assert a.requires_grad_().requires_grad is True


@claim("requires-grad-can-be-set-in-place")
def test_attribute_can_be_assigned_as_well():
    a = torch.tensor([1.0, 2.0])
    a.requires_grad = True
    assert (a * 3).requires_grad is True
    a.requires_grad = False
    assert (a * 3).requires_grad is False


@claim("requires-grad-can-be-set-in-place")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64])
def test_floating_point_and_complex_tensors_can_require_grad(dtype):
    assert torch.ones(2, dtype=dtype).requires_grad_().requires_grad is True


@claim("requires-grad-can-be-set-in-place")
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_integer_tensor_cannot_require_grad(dtype):
    a = torch.ones(2, dtype=dtype)
    with pytest.raises(RuntimeError, match="only Tensors of floating point"):
        a.requires_grad_()
    assert a.requires_grad is False


@claim("requires-grad-can-be-set-in-place")
def test_non_leaf_cannot_be_switched_off():
    y = torch.tensor([1.0, 2.0], requires_grad=True) * 3
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        y.requires_grad_(False)
    assert y.requires_grad is True
