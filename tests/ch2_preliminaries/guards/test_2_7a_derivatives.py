"""2.7 Backward: the derivative of every operation and of chains of them, for every dtype, shape and layout."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from populations import FLOATS, LAYOUTS, SINGLE_AND_DOUBLE, Twin, agree, among, each, over, twins
from populations.comparing import host
from populations.gradients import bytes_allocated_by, weights_for
from populations.operations import EXACT, FUNCTIONS
from populations.trials import ONCE_EACH, TRACKABLE

claim = pytest.mark.claim
REFUSES_COMPLEX = torch.__version__ >= (2, 1)  # before, its argument was 1, as for a real one

ONCE = {
    "default": lambda y, x: y.backward(),
    "one": lambda y, x: y.backward(torch.ones_like(y)),
    "keyword": lambda y, x: y.backward(gradient=torch.ones_like(y)),
    "none": lambda y, x: y.backward(None),
    "function": lambda y, x: torch.autograd.backward(y),
    "list": lambda y, x: torch.autograd.backward([y], [torch.ones_like(y)]),
    "two results": lambda y, x: torch.autograd.backward([3 * y, -2 * y]),
    "a weight that requires gradients": lambda y, x: y.backward(torch.ones_like(y, requires_grad=True)),
    "inputs in a list": lambda y, x: y.backward(inputs=[x]),
    "one input, graph retained": lambda y, x: torch.autograd.backward(y, inputs=x, retain_graph=True),
}


@claim("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
@over(trial=ONCE_EACH, backward=among(*ONCE), shape=among((), (1,), (1, 1)))
def test_one_result_gets_the_derivative_with_and_without_the_argument_in_every_spelling(trial, backward, shape):
    operation, twin = trial
    x, array = twin
    y = operation.apply(x)
    w, weights = weights_for(y, seed=len(backward))
    ONCE[backward]((y * w).sum().view(shape), x)

    agree(x.grad, operation.pull(array.astype(np.float64), weights), operation.roundings, operation.scale)


@claim("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
@over(
    dtype=each(torch.float32, torch.float64, torch.bfloat16),
    shape=each((), (1,), (1, 1)),
    factor=among(1, -2, 0.5, 0),
    start=among(3, -1, 0),
)
def test_another_argument_scales_the_derivative_whatever_the_value(dtype, shape, factor, start):
    x = torch.full(shape, start, dtype=dtype, requires_grad=True)
    (x * x - x).backward(torch.full(shape, factor, dtype=dtype))
    agree(x.grad, np.full(shape, factor * (2 * start - 1)))

    x.grad = None
    (x * x - x).backward()
    agree(x.grad, np.full(shape, 2 * start - 1))
    x.backward()  # a leaf is a result too: its derivative by itself
    agree(x.grad, np.full(shape, 2 * start))
    for _ in range(2):  # no step of this way back computes: it hands on the weight that nobody gave
        x.grad = None
        x.squeeze().backward()
        agree(x.grad, np.ones(shape))
        x.grad.fill_(7)


@claim("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars", truth=True)
@over(twin=twins(FLOATS, shapes=((2,), (3, 1), (2, 3), (2, 1, 2), (0,), (1, 0), (257,)), grad=(True,)))
def test_any_other_number_of_elements_needs_the_argument(twin):
    x, _ = twin
    with pytest.raises(RuntimeError):
        (x * 2).backward()
    assert x.grad is None
    (x * 2).backward(torch.ones_like(x))
    agree(x.grad, np.full(twin.shape, 2))


@claim("scalar-backward-needs-no-argument", truth=True)
@over(value=among(1 + 2j, -3j, 0.5 + 0j), dtype=among("complex64", "complex128"))
def test_a_complex_scalar_needs_an_argument_since_torch_2_1(value, dtype):
    x = torch.tensor(value, dtype=getattr(torch, dtype), device="cpu", requires_grad=True)
    with pytest.raises(RuntimeError, match="real scalar outputs") if REFUSES_COMPLEX else nullcontext():
        (3 * x).backward()
    with pytest.raises(RuntimeError, match="same dtype"):
        (3 * x).backward(torch.tensor(1.0, device="cpu"))

    x.grad = None
    (3 * x).backward(torch.ones_like(x))
    assert x.grad.item() == 3


# bfloat16() and half() round what passes back, too; after sum() no dimension is left
FIRST = [operation for operation in EXACT if operation.name not in ("bfloat16()", "half()", "sum()")]


@claim("backward-multiplies-jacobians")
@over(first=among(*FIRST), second=among(*2 * (*EXACT, *FUNCTIONS)), layout=among(*LAYOUTS))
def test_the_gradient_through_two_operations_is_pulled_through_one_after_the_other(first, second, layout):
    x, array = Twin(torch.float32, (3, 4), layout, values="positive", grad=True)
    y = first.apply(x)
    signs = np.where(host(y) < 0, -1.0, 1.0)
    between = host(y).astype(np.float64) * signs + 1  # positive, for the logarithm
    z = second.apply(y * torch.tensor(signs, device="cpu").to(y) + 1)
    w, upstream = weights_for(z, layout, seed=1)
    z.backward(w)

    pulled = second.pull(between, upstream) * signs
    largest = 16 * np.abs(pulled).max(initial=8)  # of all on the way: the first operation multiplies by 16 at most
    agree(x.grad, first.pull(array.astype(np.float64), pulled), 24 + first.roundings + second.roundings, largest)


PRODUCTS = {
    **{"@": lambda a, b: a @ b, "matmul": lambda a, b: a.matmul(b), "mm": lambda a, b: torch.mm(a, b)},
    "by rows": lambda a, b: torch.stack([row @ b for row in (*a, a.sum(0))])[:-1],
    "by columns": lambda a, b: torch.stack([a @ column for column in b.t()], 1),
}


@claim("backward-multiplies-jacobians")
@over(
    twin=twins(TRACKABLE, shapes=((3, 3), (2, 4), (5, 1), (0, 3)), grad=(True,), values="small"),
    spelled=each(*PRODUCTS),
    weight=among(1, 2.0**-20),  # with it a half is below the smallest normal one
)
def test_each_factor_of_a_product_of_matrices_gets_what_arrives_times_the_other_transposed(twin, spelled, weight):
    x, a = twin
    y, b = twin.but(shape=(twin.shape[1], 3), layout="contiguous", seed=twin.seed + 1)
    product = PRODUCTS[spelled](x, y)
    w, weights = weights_for(product, twin.layout, seed=2)
    product.backward(w * weight)

    agree(x.grad, weights @ b.T * weight)
    agree(y.grad, a.T @ weights * weight)


@claim("backward-multiplies-jacobians", truth=True)
@pytest.mark.cpu
@over(operation=among(*FUNCTIONS, *(each for each in EXACT if each.name in ("x * x", "x * tensor", "relu", "cat"))))
def test_no_pass_allocates_more_than_a_few_rows_of_the_matrix(operation):
    for n in (3000, 300):
        y = operation.apply(torch.ones(n, requires_grad=True))
        w = torch.ones_like(y)
        assert bytes_allocated_by(lambda y=y, w=w: y.backward(w)) < 20 * 4 * n


ASIDE = {  # passes that reach x alone, of a result of x and of another leaf beside it
    "of a result of x": lambda x, other: (x * 3).sum().backward(),
    "to chosen inputs": lambda x, other: (x * 3 + other).sum().backward(inputs=[x]),
    "a function's, to one": lambda x, other: torch.autograd.backward((x * 3 - other).sum(), inputs=(x,)),
    "where the other is detached": lambda x, other: (x * 3 * other.detach() ** 0).sum().backward(),
    "asked for": lambda x, other: x.backward(torch.autograd.grad((x * 3 + other * 2).sum(), x)[0]),
    "asked for, of both": lambda x, other: x.backward(torch.autograd.grad((x * 3 + other).sum(), [other, x])[1]),
    "where the other is never chosen": lambda x, other: torch.where(x == x, x * 3, other.detach()).sum().backward(),
}


@claim("gradients-accumulate", "backward-fills-grad")
@over(way=each(*ASIDE), twin=twins(SINGLE_AND_DOUBLE, grad=(True,), kinds=("tensor", "parameter")), passed=each(0, 1))
def test_a_pass_leaves_every_leaf_that_it_does_not_reach_as_it_is(way, twin, passed):
    (x, numbers), (other, array) = twin, twin.but(seed=1)
    unused = (other * x).sum()
    for _ in range(passed):
        (other * 5).sum().backward()
    kept = other.grad
    ASIDE[way](x, other)

    agree(x.grad, np.full(twin.shape, 3))
    assert other.grad is kept
    if passed:
        agree(kept, np.full(twin.shape, 5))
    else:
        assert kept is None
    agree(other, array)
    for gradient, expected in zip(torch.autograd.grad(unused, (other, x)), (numbers, array), strict=True):
        agree(gradient, expected)  # its record is left as it was, too
