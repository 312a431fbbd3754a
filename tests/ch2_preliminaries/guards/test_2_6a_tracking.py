"""2.6 Autograd: what is recorded and differentiated, for operations, shapes, layouts and dtypes."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, LAYOUTS, Twin, agree, among, each, over, twins, untouched
from populations.along import SLOPED
from populations.along import TRIALS as ALONG
from populations.comparing import accepted, host
from populations.core import settled
from populations.elements import TRIALS as ELEMENTS
from populations.functions import COMPLEX
from populations.gradients import UNTRACKED, WEIGHTED, grad_of, nonzero, rises, weights_for
from populations.operations import OPERATIONS
from populations.slopes import FUNCTIONS, SLOPES, TWICE
from populations.smooth import EACH
from populations.trials import FEW, LINEAR, MULTIPLIED, TRACKABLE, TRIALS
from populations.twins import LEAVES

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


@claim("requires-grad-tracks-operations", "grad-fn-is-the-creating-function", "created-tensors-are-leaves")
@claim("weighted-backward-differentiates-the-weighted-sum", "weights-act-as-upstream-gradient")
@claim("tensors-and-functions-form-a-dag", "backward-argument-is-grad-variables", truth=True)
@claim("default-weight-is-one-for-scalars", truth=True)
@over(each=TRIALS, layout=among(*LAYOUTS), way=among(*WEIGHTED))
def test_every_operation_is_recorded_with_its_derivative_and_every_weight_counts_at_its_place(each, layout, way):
    operation, (x, array) = each
    result = operation.apply(x)

    assert (result.requires_grad, result.is_leaf) == (True, False)
    agree(result, host(operation.apply(x.detach())), operation.roundings, operation.scale)
    assert isinstance(result.grad_fn, torch.autograd.graph.Node)
    assert not isinstance(result.grad_fn, torch.autograd.Function)
    weights, factors = weights_for(result, layout, seed=2)
    WEIGHTED[way](result, weights.requires_grad_(layout == "offset"))  # which makes no difference
    agree(grad_of(x), operation.pull(array.astype(np.float64), factors), operation.roundings, operation.scale)
    agree(weights, factors)


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes")
@over(each=MULTIPLIED)
def test_a_recorded_operation_has_the_value_that_its_slope_makes_of_the_operand(each):
    """By Euler's theorem: of degree n, n times the value is the slope times the operand."""
    operation, (x, array) = each
    result = operation.apply(x)
    _, factors = weights_for(result, seed=2)
    terms = array * operation.pull(array.astype(np.float64), factors.astype(np.float64))
    bound = operation.roundings * torch.finfo(result.dtype).eps * np.abs(terms).sum()
    assert abs(operation.degree * np.vdot(factors, host(result).astype(np.float64)) - terms.sum()) <= bound


@claim("requires-grad-tracks-operations", "backward-fills-grad")
@over(operation=LINEAR, twin=twins(COMPLEX, shapes=((7,), (2, 3, 4, 5), (2, 2049)), grad=(True,), kinds=LEAVES))
def test_a_linear_operation_of_complex_numbers_passes_both_parts_back(operation, twin):
    x, array = twin
    result = operation.apply(x)
    agree(result, host(operation.apply(x.detach())))
    weights, w = weights_for(result)
    result.backward(weights)
    real, imaginary = (operation.pull(*parts) for parts in ((array.real, w.real), (array.imag, w.imag)))
    agree(grad_of(x), real + 1j * imaginary, operation.roundings + 4)  # a power of 2 may be one of complex numbers


@claim("requires-grad-tracks-operations", "backward-fills-grad", "weighted-backward-differentiates-the-weighted-sum")
@over(
    operation=among(*(each for each in OPERATIONS if each.name != "tensor ** x")),  # NaN where the base is 0
    dtype=among(torch.float32, torch.float64),
)
def test_a_gradient_is_tracked_where_one_asks_and_has_derivatives_itself(operation, dtype):
    """By the operand it has a symmetric matrix: times v, the change of the gradient along v, here a difference."""
    zeros = np.array([[0, 0, 1], [2, 0, -1.0]])
    moved = zeros if operation.name == "prod" else Twin(torch.float64, (2, 3), values=operation.values).array() + 1 / 8
    x = torch.tensor(moved, dtype=dtype, requires_grad=True)
    result = operation.apply(x)
    (weights, factors), (_, others) = weights_for(result), weights_for(result, seed=2)
    along, v = weights_for(x, seed=1)
    (gradient,) = torch.autograd.grad(result, x, weights.requires_grad_(), create_graph=True)
    assert (x.grad, weights.grad) == (None, None)
    result.backward(weights, create_graph=True, inputs=[x])
    gradient, x.grad = (gradient + x.grad) / 2, None  # two ways to ask for it
    ((gradient * along).sum() + 0 * x.sum()).backward()

    step = 2.0**-14  # whose square times third derivatives, and 2^-52 over it, stay below 1e-6 of the largest number
    found = (operation.pull(moved + step * v, factors) - operation.pull(moved - step * v, factors)) / (2 * step)
    np.testing.assert_allclose(host(grad_of(x)), found, rtol=1e-4, atol=1e-4 * max(1, np.abs(found).max()))
    # what v becomes on the way forth, against what weights do on the way back
    forth = (host(grad_of(weights)) * others).sum()
    np.testing.assert_allclose(forth, (v * operation.pull(moved, others)).sum(), rtol=1e-4, atol=1e-4 * np.abs(v).sum())


@claim("requires-grad-tracks-operations", "created-tensors-are-leaves", truth=True)
@over(twin=twins(TRACKABLE, shapes=((), (2, 3), (3, 0, 2), (2, 3, 4, 5), (2, 1025))), operation=among(*UNTRACKED))
def test_what_gives_no_real_numbers_or_uses_the_shape_alone_is_not_tracked(twin, operation):
    x, _ = twin.but(grad=True)
    result = UNTRACKED[operation](x)

    assert (result.requires_grad, result.grad_fn, result.is_leaf) == (False, None, True)
    assert x.requires_grad


UNDERIVED = {
    **{name: lambda x, name=name: getattr(x * 1, name)() for name in ("asinh_", "atanh_")},
    **{"//": lambda x: x // 2, "floor_divide": lambda x: torch.floor_divide(2, x)},
    **{name: lambda x, name=name: getattr(torch, name)(x, x) for name in ("heaviside", "igamma", "igammac")},
}


@claim("requires-grad-tracks-operations", truth=True)
@over(operation=each(*UNDERIVED))
def test_backward_through_a_tracked_operation_without_a_derivative_is_refused(operation):
    x = torch.tensor([[0.5, 0.25]], requires_grad=True)
    y = UNDERIVED[operation](x)
    assert y.requires_grad
    with pytest.raises(RuntimeError, match="derivative for .* is not implemented"):
        y.sum().backward()
    assert x.grad is None


@claim("requires-grad-tracks-operations", truth=True)
@pytest.mark.cpu
@over(exponent=among(-3, -1, 0, 2), dtype=among("int32", "int64"))
def test_from_torch_2_11_to_2_13_no_gradient_passes_ldexp_by_a_negative_whole_exponent(exponent, dtype):
    x = torch.ones(3, requires_grad=True)
    torch.ldexp(x, torch.full((3,), exponent, dtype=getattr(torch, dtype))).sum().backward()

    lost = exponent < 0 and (2, 11) <= torch.__version__ < (2, 14)  # tried from 2.10.0 to 2.15.0
    assert grad_of(x).tolist() == [0 if lost else 2.0**exponent] * 3


PASSES = {
    "method": lambda y, leaves: y.backward(),
    "function": lambda y, leaves: torch.autograd.backward(y),
    "graph kept": lambda y, leaves: y.backward(retain_graph=True),
    "tracked": lambda y, leaves: y.backward(create_graph=True),
    "under no_grad": lambda y, leaves: torch.no_grad()(y.backward)(),
    "for these leaves": lambda y, leaves: y.backward(inputs=leaves),
    "for a tuple of them": lambda y, leaves: y.backward(inputs=tuple(leaves)),
    "three results": lambda y, leaves: torch.autograd.backward([2 * y, -2 * y, y]),
    "one result twice": lambda y, leaves: torch.autograd.backward([y / 2] * 2),
}


@claim("backward-fills-grad", "gradients-accumulate")
@over(twin=twins(FLOATS, grad=(True,), values=("fractions",)), leaves=among(1, 2, 12), way=among(*PASSES))
def test_every_leaf_that_took_part_gets_its_own_gradient_and_later_ones_are_added(twin, leaves, way):
    """The derivative of the sum of all w · x with respect to x is w; the leaves differ in shape."""
    shapes = [twin.shape, twin.shape[1:], *((index, 3) for index in range(10))][:leaves]
    pairs = [twin.but(seed=twin.seed + index, shape=shape, grad=True) for index, shape in enumerate(shapes)]
    made = [
        (*pair, *weights_for(torch.empty(pair.shape, dtype=pair.dtype), seed=index)) for index, pair in enumerate(pairs)
    ]
    bystander = torch.ones(3, requires_grad=True)
    frozen = torch.ones(2)

    assert [x.grad for x, *_ in made] == [None] * leaves
    for _ in range(2):
        total = sum((x * (w.to(x.device) / 4)).sum().to(bystander.device, torch.float32) for x, _, w, _ in made)
        PASSES[way](total + frozen.sum(), [x for x, *_ in made])
    for x, _, _, factors in made:
        agree(grad_of(x), 2 * factors / 4)
        assert (x.grad.dtype, x.grad.device, x.grad.requires_grad) == (x.dtype, x.device, False)
    assert (bystander.grad, frozen.grad) == (None, None)
    total = made[0][0].sum().to(bystander.device, torch.float32) + bystander.sum()
    apart = torch.ones(3, requires_grad=True)
    total.backward(inputs=bystander)  # of the named leaves alone, and of those that took part
    total.backward(inputs=[bystander, bystander, apart])
    assert apart.grad is None
    agree(grad_of(bystander), np.full(3, 2))
    agree(grad_of(made[0][0]), 2 * made[0][3] / 4)


@claim("backward-fills-grad", "gradients-accumulate")
@over(twin=FEW, spelled=among("+", "add", "sub"), elsewhere=among(False, True))
def test_two_leaves_of_a_sum_have_gradients_in_memory_of_their_own(twin, spelled, elsewhere):
    (x, array), (y, _) = twin.but(grad=True), twin.but(grad=True, seed=twin.seed + 1)
    total = {"+": lambda: x + y, "add": lambda: torch.add(x, y), "sub": lambda: x - -y}[spelled]()
    (total + 3 * x if elsewhere else total).sum().backward()

    agree(grad_of(x), np.full_like(array, 1 + 3 * elsewhere))
    agree(grad_of(y), np.ones_like(array))
    x.grad.zero_()
    agree(grad_of(y), np.ones_like(array))


@claim("backward-fills-grad", truth=True)
@over(twin=FEW, ask=among("nobody", "retain_grad", "inputs"), written=among(None, "before", "after"))
def test_a_result_keeps_its_gradient_only_where_one_asks(twin, ask, written):
    x, array = twin.but(grad=True)
    y = x + 0 if written else x * 2
    if written == "before":
        y.mul_(2)
    if ask == "retain_grad":
        for tensor in (y, y, x):  # once more and of a leaf, which adds nothing
            tensor.retain_grad()
    if written == "after":  # the gradient is that of what the result is now
        y.mul_(2)

    square = x**2
    total = (y * 3).sum() + 0 * square.sum()
    total.backward(inputs=[y] if ask == "inputs" else None)
    assert (square.grad, total.grad) == (None, None)
    for grad, number in zip((y.grad, x.grad), {"nobody": [None, 6], "retain_grad": [3, 6], "inputs": [3, None]}[ask]):
        assert (grad is None) == (number is None)
        agree(torch.empty(0) if grad is None else grad, np.empty(0) if grad is None else np.full_like(array, number))


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes")
@over(EVERY_MODE, trial=among(*ELEMENTS))
def test_a_function_of_each_element_has_numpy_s_value_for_numbers_of_every_kind(trial):
    x, expected = trial
    result = trial.result(x)

    assert (result is x, result.dtype, result.device) == (trial.way == "in place", trial.dtype(), x.device)
    agree(result, expected, trial.element.roundings)
    untouched(x)


@claim("requires-grad-tracks-operations", "created-tensors-are-leaves", truth=True)
@over(EVERY_MODE, trial=ALONG)
def test_a_function_along_any_dimensions_has_numpy_s_numbers_and_of_what_is_not_tracked_no_record(trial):
    x, array = trial
    result = accepted(trial.result, x)

    assert (result.dtype, result.device) == (trial.dtype(), x.device)
    assert (result.requires_grad, result.grad_fn) == (False, None)
    expected = trial.expected(array)
    agree(result, expected, trial.rounds(), np.abs(expected, dtype=float).max(initial=1))


@claim("requires-grad-tracks-operations", "backward-fills-grad", "weighted-backward-differentiates-the-weighted-sum")
@over(trial=SLOPED)
def test_a_function_along_any_dimensions_is_recorded_with_its_slope_which_is_exact_where_no_step_rounds(trial):
    """A function that only adds or chooses is linear near numbers that differ by 1, so that differences are exact."""
    x, array = trial
    result = accepted(trial.result, x)
    unrecorded = host(trial.result(x.detach()))
    agree(result, unrecorded, trial.rounds(), np.abs(unrecorded).max(initial=0))
    (weights, factors), v = weights_for(result), nonzero(Twin(x.dtype, array.shape, seed=1))
    accepted(result.backward, weights)

    step = 2.0**-18 if trial.rounds() else 2.0**-5  # of the former, 2^-52 over it stays below 1e-9 of the number
    terms, found = rises(x, array, trial.expected, factors, v, step)
    close = max(1e-5, 2 * torch.finfo(x.dtype).eps) * bool(trial.rounds())  # four roundings of what is added
    size = max(np.abs(each).sum(dtype=np.float64) for each in (terms, factors))
    assert abs(terms.sum() - found) <= close * size


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians", "created-tensors-are-leaves")
@claim("tensors-and-functions-form-a-dag", "backward-fills-grad")
@over(trial=among(*SLOPES))
def test_every_function_is_recorded_with_its_slope(trial):
    """Its values, and differences of them for its slope, are what the CPU has in double precision."""
    (function, x, point), plain = trial, FUNCTIONS[trial.name]
    call = settled(accepted) if trial.settled else accepted
    result = call(function, x)
    assert (result.requires_grad, result.is_leaf) == (True, False)
    here = host(plain(trial.at(point.reshape(-1, 3)[:3])))
    expected = np.resize(here, x.shape) if trial.name in EACH else here  # of all copies, or of the only one
    eps = torch.finfo(x.dtype).eps
    close = max(1e-5, 4 * eps)  # eight roundings in half precision, of a function of functions; others have more digits
    for values in (result, call(trial.mode()(function), x.detach())):
        agree(values, expected, 2 * close / torch.finfo(values.dtype).eps, np.abs(here).max(initial=1))
    (weights, factors), v = weights_for(result, trial.layout), nonzero(Twin(torch.float64, point.shape, seed=1))
    for arriving in (weights.clone(), *(weights.new_full((), alike).expand(result.shape) for alike in trial.alike)):
        call(result.backward, arriving, retain_graph=True)
    step = 2.0**-18  # whose square times third derivatives, and 2^-52 over it, stay below 1e-7 of the largest number
    ahead, behind = (host(plain(trial.at(point + way * v))) for way in (step, -step))
    terms, found = host(grad_of(x)) * v, ((ahead - behind) * (factors + sum(trial.alike))).sum() / (2 * step)
    assert abs(terms.sum() - found) <= max(1e-5, 2 * eps) * max(1, np.abs(terms).sum())  # four roundings


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians")
@over(trial=among(*TWICE))
def test_the_gradient_of_every_function_is_recorded_with_its_own_slope(trial):
    """Along one direction, against differences of the gradient, which the guard before this one holds."""
    function, x, point = trial
    result = function(x)
    (weights, factors), (along, v) = weights_for(result, trial.layout), weights_for(x, seed=1)
    (gradient,) = torch.autograd.grad(result, x, weights, create_graph=True)
    (second,) = accepted(torch.autograd.grad, gradient + 0 * x, x, along)

    step, ends = 2.0**-18, []  # whose square times fourth derivatives, and 2^-52 over it, stay below 1e-6
    for way in (step, -step):
        there = trial.at(point + way * v).requires_grad_()
        made = FUNCTIONS[trial.name](there)
        ends.append(host(torch.autograd.grad(made, there, torch.from_numpy(factors).to(made))[0]))
    found = (ends[0] - ends[1]) / (2 * step)
    agree(second, found, 2e-4 / torch.finfo(second.dtype).eps, np.abs(found).max(initial=1))
