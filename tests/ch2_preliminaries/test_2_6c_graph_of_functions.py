"""2.6 Autograd: the graph of tensors and functions

The record is a graph. Each tracked operation leaves a node, a *Function* that can compute the derivative of that
operation; `grad_fn` of the result refers to it, and `next_functions` of a node lead to the nodes that made its
operands. Where an operand is a leaf that requires grad, the path ends in an AccumulateGrad node, which adds to the
leaf's `.grad`; where it is a constant, in None. Results come after their operands, so no path ever returns to where it
was: the graph is directed and acyclic.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


def paths(node):
    """All paths from `node` to the ends of the graph, each a list of nodes."""
    following = [nearer for nearer, _ in node.next_functions if nearer is not None]
    return [[node, *path] for nearer in following for path in paths(nearer)] or [[node]]


# ── tensors-and-functions-form-a-dag ──


@claim("tensors-and-functions-form-a-dag")
def test_graph_holds_every_operation_from_the_result_to_the_leaves():
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    b = torch.tensor([3.0, 4.0], requires_grad=True)
    result = ((a * b).exp() + a).sum()
    assert [[node.name().split("::")[-1] for node in path] for path in paths(result.grad_fn)] == [
        ["SumBackward0", "AddBackward0", "ExpBackward0", "MulBackward0", "AccumulateGrad"],
        ["SumBackward0", "AddBackward0", "ExpBackward0", "MulBackward0", "AccumulateGrad"],
        ["SumBackward0", "AddBackward0", "AccumulateGrad"],
    ]


@claim("tensors-and-functions-form-a-dag")
def test_paths_end_in_the_leaves_that_they_accumulate_into():
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    b = torch.tensor([3.0, 4.0], requires_grad=True)
    through_a, through_b, directly = paths(((a * b).exp() + a).grad_fn)
    assert through_a[-1].variable is a
    assert through_b[-1].variable is b
    assert directly[-1].variable is a


@claim("tensors-and-functions-form-a-dag")
def test_operands_are_linked_in_their_order():
    x = torch.tensor(2.0, requires_grad=True)
    left, right = x.exp(), x.sin()
    difference = left - right
    assert [node for node, _ in difference.grad_fn.next_functions] == [left.grad_fn, right.grad_fn]


@claim("tensors-and-functions-form-a-dag")
def test_two_uses_of_one_result_lead_to_one_node():
    """A graph and not a tree: both branches meet again in the node of y."""
    x = torch.tensor(2.0, requires_grad=True)
    y = 3 * x
    by_sin, by_cos = paths((y.sin() * y.cos()).grad_fn)
    assert by_sin[1] is not by_cos[1]
    assert by_sin[2] is by_cos[2] is y.grad_fn


@claim("tensors-and-functions-form-a-dag")
def test_constant_operand_has_no_node():
    x, constant = torch.tensor(2.0, requires_grad=True), torch.tensor(5.0)
    (to_x, _), (to_constant, _) = (x * constant).grad_fn.next_functions
    assert to_x.variable is x
    assert to_constant is None


# Each step adds or multiplies two of the tensors that are there already: (which operation, which two).
programs = st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6)


@claim("tensors-and-functions-form-a-dag")
@given(programs)
def test_graph_of_any_program_is_acyclic_and_complete(program):
    tensors = [torch.tensor(float(n), requires_grad=True) for n in (1, 2)]
    needed = [{0}, {1}]  # of each tensor: itself and those that it was computed from, by number
    for add, i, j in program:
        i, j = i % len(tensors), j % len(tensors)
        needed.append({len(tensors)} | needed[i] | needed[j])
        tensors.append(tensors[i] + tensors[j] if add else tensors[i] * tensors[j])
    found = paths(tensors[-1].grad_fn)
    nodes = {node for path in found for node in path}
    assert all(len(set(path)) == len(path) for path in found)  # acyclic: no path meets a node twice
    assert len(nodes) == len(needed[-1])  # complete: one node for each tensor that took part
    assert {tensor.grad_fn for tensor in tensors[2:]} & nodes == {tensors[n].grad_fn for n in needed[-1] if n > 1}
    assert all(path[-1].variable.is_leaf for path in found)


# ── grad-fn-is-the-creating-function ──


@claim("grad-fn-is-the-creating-function")
def test_grad_fn_in_the_example_of_the_notes():
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    z = y * y * 3
    assert x.grad_fn is None
    assert y.grad_fn.name() == "AddBackward0"
    assert z.grad_fn.name() == "MulBackward0"
    assert z.mean().grad_fn.name() == "MeanBackward0"
    assert (x * x).sum().grad_fn.name() == "SumBackward0"


@claim("grad-fn-is-the-creating-function")
@pytest.mark.parametrize(
    "operation, name",
    [
        (lambda x: x - 1, "SubBackward0"),
        (lambda x: x / 2, "DivBackward0"),
        (lambda x: x**2, "PowBackward0"),
        (lambda x: -x, "NegBackward0"),
        (lambda x: x @ x, "MmBackward0"),
        (lambda x: torch.exp(x), "ExpBackward0"),
        (lambda x: torch.clone(x), "CloneBackward0"),
        (lambda x: x.view(4), "ViewBackward0"),
        (lambda x: x[0], "SelectBackward0"),
        (lambda x: x.t(), "TBackward0"),
        (lambda x: torch.relu(x), "ReluBackward0"),
        (lambda x: torch.cat([x, x]), "CatBackward0"),
    ],
)
def test_grad_fn_names_the_operation(operation, name):
    y = operation(torch.ones(2, 2, requires_grad=True))
    assert y.grad_fn is not None
    assert y.grad_fn.name() == name


@claim("grad-fn-is-the-creating-function")
def test_grad_fn_stays_the_same_object_and_each_operation_has_its_own():
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    assert y.grad_fn is y.grad_fn
    assert y.grad_fn is not (x + 2).grad_fn


@claim("grad-fn-is-the-creating-function")
def test_in_place_operation_becomes_the_creator():
    y = torch.ones(2, 2, requires_grad=True) + 2
    added = y.grad_fn
    y.mul_(3)
    assert y.grad_fn.name() == "MulBackward0"
    assert y.grad_fn.next_functions[0][0] is added


@claim("grad-fn-is-the-creating-function")
@pytest.mark.parametrize("requires_grad", [True, False])
def test_tensor_that_no_operation_created_has_no_grad_fn(requires_grad):
    assert torch.ones(2, 3, requires_grad=requires_grad).grad_fn is None
    assert torch.tensor([1.0, 2.0], requires_grad=requires_grad).grad_fn is None
    assert nn.Parameter(torch.zeros(2), requires_grad=requires_grad).grad_fn is None


# ── created-tensors-are-leaves ──


@claim("created-tensors-are-leaves")
@pytest.mark.parametrize(
    "create",
    [
        lambda: torch.ones(2, 2, requires_grad=True),
        lambda: torch.tensor([1.0, 2.0], requires_grad=True),
        lambda: torch.arange(3.0, requires_grad=True),
        lambda: torch.linspace(0, 1, 3, requires_grad=True),
        lambda: torch.zeros(2, 3, requires_grad=True),
        lambda: torch.full((2,), 0.5, requires_grad=True),
        lambda: torch.eye(2, requires_grad=True),
        lambda: torch.rand(2, requires_grad=True),
        lambda: torch.randn(2, requires_grad=True),
        lambda: torch.ones_like(torch.zeros(2), requires_grad=True),
        lambda: torch.zeros(2).requires_grad_(),
        lambda: nn.Parameter(torch.zeros(2)),
    ],
    ids=[
        "ones",
        "tensor",
        "arange",
        "linspace",
        "zeros",
        "full",
        "eye",
        "rand",
        "randn",
        "ones_like",
        "requires_grad_",
        "Parameter",
    ],
)
def test_created_tensor_is_a_leaf_without_grad_fn(create):
    x = create()
    assert x.requires_grad is True
    assert x.is_leaf is True
    assert x.grad_fn is None


@claim("created-tensors-are-leaves")
@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x + 2,
        lambda x: x[0],
        lambda x: x.view(4),
        lambda x: x.clone(),
        lambda x: x.double(),
        lambda x: x.mean(),
    ],
    ids=["add", "index", "view", "clone", "double", "mean"],
)
def test_result_of_a_tracked_operation_is_not_a_leaf(operation):
    """A conversion counts as an operation: `torch.ones(2, requires_grad=True).double()` is no leaf, gets no .grad."""
    y = operation(torch.ones(2, 2, requires_grad=True))
    assert y.requires_grad is True
    assert y.is_leaf is False
    assert y.grad_fn is not None


@claim("created-tensors-are-leaves", truth=True)
def test_result_that_does_not_require_grad_is_a_leaf_by_convention():
    a = torch.tensor([1.0, 2.0])
    b = (a * 3 + 1).exp().sum()
    assert (b.is_leaf, b.requires_grad, b.grad_fn) == (True, False, None)


@claim("created-tensors-are-leaves", truth=True)
@pytest.mark.parametrize(
    "operation",
    [lambda x: x[0], lambda x: x.view(4), lambda x: x.t(), lambda x: x.clone(), lambda x: x.double()],
    ids=["index", "view", "transpose", "clone", "double"],
)
def test_view_or_copy_that_does_not_require_grad_is_a_leaf_by_convention(operation):
    y = operation(torch.ones(2, 2))
    assert (y.is_leaf, y.requires_grad, y.grad_fn) == (True, False, None)


@claim("created-tensors-are-leaves", truth=True)
def test_result_under_no_grad_is_a_leaf_by_convention():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.no_grad():
        inside = x * 3
    assert (inside.is_leaf, (x * 3).is_leaf) == (True, False)


@claim("created-tensors-are-leaves", truth=True)
def test_comparison_and_rounding_to_integers_give_leaves_by_convention():
    """Integers and truth values have no derivative, so these results cannot require grad."""
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    assert ((x > 0).is_leaf, x.argmax().is_leaf, x.long().is_leaf) == (True, True, True)
