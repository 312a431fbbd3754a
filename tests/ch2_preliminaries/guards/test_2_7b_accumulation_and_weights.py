"""2.7 Backward: what passes add up, what weights weigh, and what a second pass needs."""

import contextlib
import inspect
import itertools

import numpy as np
import pytest
import torch
from populations import (
    EVERY_MODE,
    FLOATS,
    LAYOUTS,
    SINGLE_AND_DOUBLE,
    Twin,
    agree,
    among,
    each,
    in_turn,
    over,
    twins,
    whole,
)
from populations.comparing import accepted, host
from populations.gradients import OPERATION, WRITES, grad_of, weights_for
from populations.layers import COMPUTED
from populations.optimizers import RULES, WAYS, Recipe
from populations.places import in_a_thread
from populations.trials import FEW
from populations.twins import LEAVES, NUMPY
from torch.nn import functional as F

claim = pytest.mark.claim


@claim("gradients-accumulate", "weights-act-as-upstream-gradient")
@over(
    twin=twins((*SINGLE_AND_DOUBLE, torch.bfloat16, torch.complex64), grad=(True,), kinds=LEAVES),
    passes=among(1, 2, 3, 7),
)
def test_each_pass_adds_what_it_finds_to_the_same_tensor(twin, passes):
    tensor, array = twin
    x = torch.nn.Parameter(tensor) if passes == 2 else tensor
    x.grad, total = weights_for(x, seed=8) if passes == 3 else (None, np.zeros(array.shape))  # set by hand before any
    grads = []
    for k in range(1, passes + 1):
        y = x * (k % 3 - 1)
        w, weights = weights_for(y, LAYOUTS[k % 6], seed=k)
        (in_a_thread(y.backward, gradient=w) if k == 2 else y.backward(w))
        total = total + weights * (k % 3 - 1)
        agree(grad_of(x), total)
        grads.append(x.grad)
    assert len({id(grad) for grad in grads}) == 1
    assert x.grad.dtype == x.dtype
    (x * 1).backward(-x.grad.detach())  # to nothing
    agree(grad_of(x), total - total)
    agree(x, array)


@claim("gradients-accumulate")
@over(twin=FEW, tracked=among(*itertools.product((False, True), repeat=3)))
def test_passes_that_leave_a_graph_and_passes_that_leave_none_add_up(twin, tracked):
    x, array = twin
    for turn, create in enumerate(tracked, 1):
        (x * x * turn).sum().backward(create_graph=create)
        agree(grad_of(x), turn * (turn + 1) * array)
    assert x.grad.requires_grad is any(tracked)  # what one pass recorded stays


@claim("gradients-accumulate", "weights-act-as-upstream-gradient")
@over(dtype=among(*SINGLE_AND_DOUBLE), size=among(1, 9, 1025), unit=among(1, 1e-20, np.inf, 0), seed=whole(0, 2**32))
def test_sums_of_fractions_round_as_the_dtype_does_and_never_saturate(dtype, size, unit, seed):
    x = torch.zeros(size, dtype=dtype, requires_grad=True)
    terms = np.random.default_rng(seed).normal(60, 40, (5, size)).astype(NUMPY[dtype]) * NUMPY[dtype](unit)
    total = np.zeros_like(terms[0])
    for turn, term in enumerate(terms):
        (x * 1 if turn % 2 else x).backward(torch.tensor(term))
        total += term
    agree(grad_of(x), total)


@claim("gradients-accumulate")
@over(twin=FEW, clear=each("zero_", "data.zero_", "None", *LAYOUTS[:-1]))
def test_a_cleared_gradient_begins_anew_and_one_that_was_set_is_added_to(twin, clear):
    x, array = twin
    (x * 3).backward(torch.ones_like(x))
    grad = x.grad
    own, start = weights_for(x, clear, seed=6) if clear in LAYOUTS else (None, np.zeros(array.shape))
    {"zero_": lambda: x.grad.zero_(), "data.zero_": lambda: x.grad.data.zero_()}.get(
        clear, lambda: setattr(x, "grad", own)
    )()
    w, weights = weights_for(x, seed=5)
    x.backward(w)
    (x * 1).backward(w)

    agree(x.grad, start + 2 * weights)
    agree(grad, 2 * weights if "zero_" in clear else np.full(array.shape, 3))


@claim("gradients-accumulate")
@pytest.mark.cpu
@over(passes=among(1, 2, 5), before=among(0, 1, 2), after=among(0, 1), dtype=among(*SINGLE_AND_DOUBLE))
def test_sparse_gradients_are_added_to_each_other_and_to_those_that_are_not(passes, before, after, dtype):
    x, counts = torch.ones(4, 3, dtype=dtype, requires_grad=True), np.array([[1], [0], [2], [0]])
    for sparse in [False] * before + [True] * passes + [False] * after:
        (F.embedding(torch.tensor([2, 0, 2]), x, sparse=True) if sparse else x * 4).sum().backward()

    agree(grad_of(x).to_dense(), passes * counts.repeat(3, 1) + 4 * (before + after))


@claim("backward-argument-is-grad-variables", truth=True)
@over(name=among("grad_variables", "grad_tensors", "weights", "grad"))
def test_the_method_takes_weights_by_position_or_as_gradient_only(name):
    assert "gradient" in inspect.signature(torch.Tensor.backward).parameters
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError):
        (x * x).backward(**{name: torch.tensor([1.0, 10.0])})
    assert x.grad is None
    (x * x).backward(gradient=torch.tensor([1.0, 10.0]))
    agree(x.grad, [2, 40])
    for count, options in enumerate(({}, {"retain_graph": True}, {"create_graph": False}, {"inputs": [x]}), 2):
        with pytest.warns(match="grad_variables.*deprecated"):
            torch.autograd.backward(x * x, grad_variables=torch.tensor([1.0, 10.0]), **options)
        agree(x.grad, [2 * count, 40 * count])


@claim("weighted-backward-differentiates-the-weighted-sum")
@over(twin=twins(SINGLE_AND_DOUBLE, grad=(True,)), other=among(*SINGLE_AND_DOUBLE))
def test_weights_count_with_all_the_digits_that_both_precisions_have(twin, other):
    x, array = twin
    w = np.random.default_rng(5).uniform(-1e6, 1e6, array.shape).astype(NUMPY[other])
    (x * 2).backward(torch.tensor(w, device=x.device))
    agree(x.grad, 2 * w.astype(NUMPY[twin.dtype]))
    x.grad = None
    x.backward(torch.tensor(w, device=x.device))  # of a leaf itself
    agree(x.grad, w.astype(NUMPY[twin.dtype]))


@claim("weighted-backward-differentiates-the-weighted-sum", "scalar-backward-needs-no-argument", truth=True)
@over(
    shapes=among(
        *(((3,), shape) for shape in ((), (1,), (2,), (4,), (1, 3), (3, 1))),
        *(((2, 3), (3, 2)), ((2, 3), (6,)), ((1,), ()), ((), (1,)), ((1, 1), (1,)), ((1, 1), ())),
    ),
    dtype=among("float32", "bfloat16"),
)
def test_weights_of_another_shape_are_refused(shapes, dtype):
    x = torch.ones(shapes[0], dtype=getattr(torch, dtype), requires_grad=True)
    with pytest.raises(RuntimeError):
        (x * x).backward(torch.ones(shapes[1], dtype=x.dtype))
    assert x.grad is None


KEPT = {  # by way of what, and whether the gradient comes to lie in the memory of the weights
    "view": (True, lambda x: x.view(-1)),
    "flatten": (True, lambda x: x[None].flatten()),
    "unsqueeze": (True, lambda x: x.unsqueeze(-1)),
    "[None]": (True, lambda x: x[None]),
    "a product": (False, lambda x: x * 1),
    "a view of a product": (False, lambda x: (x * 1).view(-1)),
}


@claim("gradients-accumulate")
@claim("weighted-backward-differentiates-the-weighted-sum", truth=True)
@over(dtype=among(*FLOATS), shape=among((5,), (2, 3), (4, 1, 9)), second=among(False, True), by=each(*KEPT))
def test_what_is_added_to_a_gradient_that_came_through_a_reshaping_view_is_added_to_the_weights_too(
    dtype, shape, second, by
):
    (x, _), (kept, apply) = Twin(dtype, shape, grad=True, second=second), KEPT[by]
    weights, factors = weights_for(apply(x))
    for turn in (1, 2):
        apply(x).backward(weights)
        agree(x.grad.reshape(-1), turn * factors.reshape(-1))
    agree(weights, factors * (1 + kept))


@claim("weighted-backward-differentiates-the-weighted-sum", truth=True)
@over(twin=twins(SINGLE_AND_DOUBLE, grad=(True,)), path=among("the leaf itself", "a result", "a view"))
def test_weights_that_depend_on_x_count_as_constants(twin, path):
    x, array = twin
    w = {"the leaf itself": x, "a result": x * 2, "a view": x[...]}[path]
    (x * 4).backward(w)
    agree(x.grad, array * (8 if path == "a result" else 4))


NEED_INPUT = ("torch.sin", "x.cos()", "torch.log", "x.log()", "x * x", "x ** 2", "x @ x", "abs")
NEED_OUTPUT = ("torch.exp", "x.exp()", "torch.tanh", "x.sigmoid()", "torch.sqrt", "torch.reciprocal", "relu")

PASSES = {
    "method": lambda y, w, x, **rest: y.backward(w, **rest),
    "inputs": lambda y, w, x, **rest: y.backward(w, inputs=[x], **rest),
    "function": lambda y, w, x, **rest: torch.autograd.backward([y], [w], **rest),
    "two results": lambda y, w, x, **rest: torch.autograd.backward([y, y], [2 * w, -w], **rest),
    "grad": lambda y, w, x, **rest: x.backward(torch.autograd.grad(y, x, w, **rest)[0].detach()),
    "grad, of others too": lambda y, w, x, **rest: x.backward(
        torch.autograd.grad(y, [torch.ones(1).requires_grad_(), x], w, allow_unused=True, **rest)[1].detach()
    ),
}
FRACTIONS = ("div_", "uniform_", "normal_")  # which whole numbers do not take
LAST = ({}, {"retain_graph": False}, {"retain_graph": False, "create_graph": True})


@claim("second-backward-needs-a-retained-graph")
@over(
    name=among(*NEED_INPUT, *NEED_OUTPUT),
    twin=twins(SINGLE_AND_DOUBLE, shapes=((5,), (2, 3), (2, 1025)), grad=(True,), kinds=LEAVES),
    way=among(*PASSES),
    last=among(*LAST),
    further=each(False, True),
)
def test_another_pass_is_refused_unless_the_one_before_retained_the_graph(name, twin, way, last, further):
    operation = OPERATION[name]
    x, array = twin.but(values="positive")
    saved = operation.apply(x)
    y, beside = saved * 1 if further else saved, saved * 2  # two results that lead to what was saved
    w, weights = weights_for(y)
    for kept in ("retain_graph", "create_graph", "retain_graph"):
        accepted(PASSES[way], y, w, x, **{kept: True})
    accepted(PASSES[way], y, w, x, **last)

    expected = 4 * operation.pull(array.astype(np.float64), weights)
    agree(x.grad, expected, operation.roundings + 4, 4 * operation.scale)
    for again in PASSES.values():
        with pytest.raises(RuntimeError):
            again(y, w, x)
    for other in (beside, y * 2):  # by another way into the same graph
        with pytest.raises(RuntimeError):
            torch.autograd.grad(other.sum(), x)
    agree(x.grad, expected, operation.roundings + 4, 4 * operation.scale)


@claim("second-backward-needs-a-retained-graph")
@over(steps=whole(1, 100, 12), way=among(*PASSES))
def test_a_graph_of_any_depth_is_freed_by_a_pass(steps, way):
    x = y = torch.ones(3, requires_grad=True)
    for _ in range(steps):
        y = y * y
    PASSES[way](y, torch.ones(3), x)
    with pytest.raises(RuntimeError):
        PASSES[way](y, torch.ones(3), x)


@claim("in-place-write-spoils-backward")
@claim("grad-fn-is-the-creating-function", "data-writes-are-not-recorded", truth=True)
@over(
    names=in_turn(among(*NEED_INPUT), among(*NEED_OUTPUT)),
    write=among(*WRITES),
    of=each(0, 1),
    mode=each(*EVERY_MODE[:2]),
    detached=each(False, True),
    twin=twins(COMPUTED, ("contiguous", "gappy"), ((2, 3), (9, 2), (2, 1025)), grad=(True,)),
)
def test_a_write_to_an_operand_or_a_result_that_backward_needs_is_found(names, write, of, mode, detached, twin):
    (x, _), name = twin.but(values="positive"), names[of]
    y = x * 1
    z = OPERATION[name].apply(y)
    factors = [torch.ones_like(x)]  # saved, and not tracked
    factors += [factors[0].int(), factors[0].long()] * (write not in FRACTIONS)
    losses = [z.sum(), *((x * factor).sum() for factor in factors)]
    with mode():
        for saved in (y if name in NEED_INPUT else z, *factors):
            WRITES[write](saved.detach() if detached else saved)
    for spoilt in losses:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            spoilt.backward()
    assert x.grad is None


@pytest.mark.cpu
@claim("in-place-write-spoils-backward", truth=True)
@over(size=whole(1, 9), first=among("the array", "the tensor"), through=among(np.asarray, torch.from_numpy))
def test_a_write_through_a_shared_array_is_not_found_and_changes_the_gradient(size, first, through):
    array = np.ones(size, np.float32)
    x = torch.ones(size, requires_grad=True)
    y = torch.from_numpy(array) if first == "the array" else torch.ones(size)
    array = array if first == "the array" else y.numpy()
    z = x * y
    through(array)[:] = 5
    z.sum().backward()

    agree(x.grad, np.full(size, 5))


@claim("in-place-write-spoils-backward", truth=True)
@over(recipe=among(*(Recipe(name, (("lr", 0.5),), way) for name in RULES for way in WAYS)))
def test_a_fused_step_is_not_noticed_and_changes_the_gradient_and_any_other_step_is_an_error(recipe):
    w = torch.ones(3, requires_grad=True)
    optimizer, loss = recipe.new([w]), (w * w).sum()
    w.grad = torch.ones(3)
    optimizer.step()
    with contextlib.nullcontext() if recipe.way == "fused" else pytest.raises(RuntimeError, match="inplace operation"):
        loss.backward()
    agree(w.grad, 1 + 2 * host(w) * (recipe.way == "fused"), 2)
