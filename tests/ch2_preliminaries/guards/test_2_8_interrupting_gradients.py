"""2.8 Autograd: interrupting gradients, for every operation and for tensors of every dtype, shape and layout."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over, twins, untouched
from populations.comparing import accepted
from populations.gradients import OPERATION, SOURCES, weights_for
from populations.initialisers import RELEASE
from populations.operations import MORE, OPERATIONS
from populations.trials import ONCE_EACH
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

USES_INPUT = ("x ** 2", "x * x", "torch.sin", "x.sin()", "x.cos()", "torch.log", "abs")
USES_RESULT_OR_NOTHING = ("-x", "number - x", "x + x", "torch.exp", "x.exp()", "torch.sqrt", "x.sqrt()", "torch.tanh")

ORDERS = {"left": lambda a, b: a + b, "right": lambda a, b: b + a, "torch.add": lambda a, b: torch.add(a, b)}


@claim("no-grad-result-has-no-grad-fn", "no-grad-branch-adds-no-gradient")
@over(twin=twins(SINGLE_AND_DOUBLE, grad=(True,)), order=each(*ORDERS))
def test_a_sum_has_a_way_back_to_its_tracked_branch_only_and_its_gradient(twin, order):
    x, array = twin
    y1 = x**2
    cube = {"left": lambda base: base**3, "right": lambda base: base.pow(3)}.get(order, lambda base: torch.pow(base, 3))
    before = cube(x)
    with torch.no_grad():
        y2 = cube(x)
    decorate = torch.no_grad if RELEASE >= (2, 1) and order == "right" else torch.no_grad()
    assert (before.requires_grad, decorate(cube)(base=x).grad_fn, cube(x).requires_grad) == (True, None, True)
    y3 = ORDERS[order](y1, y2)

    assert (y1.requires_grad, y2.requires_grad, y3.requires_grad) == (True, False, True)
    assert y2.grad_fn is None
    ways = [way for way, _ in y3.grad_fn.next_functions]
    assert sorted(ways, key=lambda way: way is None) == [y1.grad_fn, None]
    agree(y1, array**2)
    agree(y2, array**3)
    y3.backward(torch.ones_like(y3))
    agree(x.grad, 2 * array)
    (x**2 + x**3).backward(torch.ones_like(x))  # both count, added to what is there
    agree(x.grad, 2 * array + 2 * array + 3 * array**2)


@claim("no-grad-branch-adds-no-gradient")
@over(trial=ONCE_EACH, branches=among(1, 2, 3))
def test_no_branch_under_no_grad_adds_to_the_gradient_whatever_it_computes(trial, branches):
    operation, twin = trial
    x, array = twin
    total = (x**2).sum()
    for _ in range(branches):
        with torch.no_grad():
            alone = torch.no_grad()(operation.apply)(x).sum()  # a block within, after which this one goes on
            branch = operation.apply(x)
        assert branch.grad_fn is None
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            alone.backward()
        total = alone + total
    total.backward()

    agree(x.grad, 2 * array.astype(np.float64))


def places(x):
    """Each row by its number or by a slice, in turn; all at once where they are many or none."""
    return [slice(row, row + 1) if row % 2 else row for row in range(len(x))] if x.dim() and len(x) < 300 else [...]


WRITES = {
    "method": lambda x: x.data.mul_(2),
    "augmented": lambda x: setattr(x, "data", x.data.__imul__(2)),
    "copy_": lambda x: x.data.copy_(x.data * 2),
    "elements": lambda x: [x.data.__setitem__(place, x.data[place] * 2) for place in places(x)],
    "view": lambda x: x.data.view(*x.shape, 1).mul_(2),
    "new": lambda x: setattr(x, "data", x.data * 2),
}


@claim("data-writes-are-not-recorded")
@over(
    twin=twins((*SINGLE_AND_DOUBLE, torch.bfloat16), WRITABLE, values=("positive",), grad=(True,)),
    write=each(*WRITES),
    made=among("leaf", "parameter", "view"),
    name=among(*USES_RESULT_OR_NOTHING),
)
def test_a_write_to_data_reaches_x_and_leaves_gradients_that_do_not_use_it_alone(twin, write, made, name):
    operation, (tensor, array) = OPERATION[name], twin
    x = SOURCES[made](tensor)
    count, y, earlier = x._version, operation.apply(x), x.data
    WRITES[write](x)

    agree(x, 2 * array.reshape(x.shape))
    agree(earlier, (1 if write == "new" else 2) * array.reshape(x.shape))
    assert (x.requires_grad, x._version) == (True, count)
    untouched(tensor)
    y.backward(torch.ones_like(y))
    pulled = operation.pull(array.astype(np.float64), np.ones(array.shape))
    agree((x if x.is_leaf else tensor).grad, pulled, operation.roundings, operation.scale)


@claim("data-writes-are-not-recorded", "in-place-write-spoils-backward", truth=True)
@over(name=among(*USES_INPUT), of=among("leaf", "result", "view"), mode=among(*EVERY_MODE))
def test_a_gradient_that_uses_x_is_that_at_the_value_written_to_data_and_one_through_detach_is_caught(name, of, mode):
    operation = OPERATION[name]
    leaf, array = Twin(torch.float32, (2, 3), values="positive", grad=True)
    x = SOURCES[of](leaf)
    y = operation.apply(x)
    x.data.mul_(-3)
    assert x._version == 0
    y.backward(torch.ones_like(y), retain_graph=True)
    agree(leaf.grad, operation.pull(-3.0 * array, np.ones(array.shape)), operation.roundings, 1)

    leaf.grad = None
    with mode():
        x.detach().mul_(2)
    assert x._version == 1
    agree(x, -6 * array.reshape(x.shape))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward(torch.ones_like(y))
    assert leaf.grad is None


@claim("data-writes-are-not-recorded", truth=True)
@over(name=among("torch.exp", "x.exp()", "torch.sqrt", "torch.tanh"))
def test_an_overwritten_result_falsifies_the_gradient_where_that_is_used(name):
    x, _ = Twin(torch.float32, (2, 3), values="positive", grad=True)
    y = OPERATION[name].apply(x)
    y.data.fill_(0.5)
    y.backward(torch.ones_like(y))

    agree(x.grad, np.full((2, 3), {"torch.sqrt": 1, "torch.tanh": 0.75}.get(name, 0.5)), roundings=2)


# Their derivative needs the operand, and before torch 2.2 that of this mean kept it as well.
KEPT = ("abs", "gather", *(["mean(dim=0)"] if RELEASE < (2, 2) else []))
FREE = [each for each in (*OPERATIONS, *MORE) if each.degree == 1 and each.name not in KEPT]


@claim("in-place-write-spoils-backward", "requires-grad-tracks-operations")
@over(operation=among(*FREE), mode=each(*EVERY_MODE[:2]))
def test_what_no_derivative_needs_may_be_written_and_every_gradient_is_as_before(operation, mode):
    x, array = Twin(torch.float32, (2, 3), values=operation.values, grad=True)
    y = x * 1
    result = operation.apply(y)
    with mode():
        y += 5
    weights, factors = weights_for(result)
    accepted(result.backward, weights)
    agree(x.grad, operation.pull(array.astype(np.float64), factors), operation.roundings, operation.scale)


@claim("in-place-write-spoils-backward", truth=True)
@over(EVERY_MODE[:2], dtype=among(*SINGLE_AND_DOUBLE), of=each(F.embedding, F.embedding_bag))
def test_a_look_up_that_shortens_rows_is_a_write_to_the_table(dtype, of):
    table = torch.full((3, 4), 2.0, dtype=dtype, requires_grad=True)  # rows of length 4
    with torch.enable_grad():
        product = (table * table).sum()
    found = of(torch.tensor([[1, 0]]), table, max_norm=1.0)
    short = 2 / (4 + 1e-7)  # torch adds this, lest it divide by zero
    agree(table, np.array([[short], [short], [2]]) * np.ones(4), roundings=4)
    agree(found, np.full(found.shape, short), roundings=4)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()
    assert table.grad is None


OVERWRITING = {  # what replaces its operand, and whose derivative is computed from the result
    **{name: lambda x, name=name: getattr(x, name)() for name in ("relu_", "sigmoid_", "tanh_", "exp_", "sqrt_")},
    "F.relu": lambda x: F.relu(x, inplace=True),
    "ReLU": nn.ReLU(inplace=True),
    "ELU": nn.ELU(inplace=True),
}


@claim("in-place-write-spoils-backward")
@over(name=each(*OVERWRITING), mode=among(*EVERY_MODE[:2]))
def test_a_write_to_the_result_of_an_operation_in_place_is_found_too(name, mode):
    x = torch.full((3,), 0.5, requires_grad=True)
    y = OVERWRITING[name](x * 1)
    with mode():
        y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    assert x.grad is None
