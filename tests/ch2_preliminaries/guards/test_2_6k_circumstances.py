"""2.6 Autograd: whichever operands are tracked, whatever goes on around and however one asks, the gradient is one."""

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, Twin, agree, among, each, over
from populations.comparing import accepted, host
from populations.gradients import grad_of, weights_for
from populations.initialisers import RELEASE
from populations.operations import OPERATIONS
from populations.places import in_a_thread
from populations.several import CHOICES, TOGETHER
from torch.autograd import graph
from torch.utils import checkpoint

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


def fractions(shape, seed):
    """Numbers from 1/16 to 15/16 of which neighbours differ, and no two operands are alike."""
    return ((np.arange(np.prod(shape, dtype=int)) * (7 + 2 * seed) + 3 * seed) % 15 + 1).reshape(shape) / 16


@claim("requires-grad-tracks-operations", "backward-fills-grad", "tensors-and-functions-form-a-dag")
@claim("nn-builds-on-autograd")
@over(choice=among(*CHOICES), dtype=each(*SINGLE_AND_DOUBLE))
def test_whichever_operands_are_tracked_these_get_their_slope_and_the_others_nothing(choice, dtype):
    name, tracked = choice
    sizes, function = TOGETHER[name]
    arrays = [fractions(shape, seed) for seed, shape in enumerate(sizes)]
    operands = [Twin(dtype, array.shape).tensor(array.astype(np.float32)) for array in arrays]
    for place in tracked:
        operands[place].requires_grad_()
    result = function(*operands)
    weights, factors = weights_for(result)
    accepted(result.backward, weights)

    assert [x.grad is not None for x in operands] == [place in tracked for place in range(len(sizes))]
    step, directions = 2.0**-18, [fractions(shape, 3 + seed) - 0.5 for seed, shape in enumerate(sizes)]
    for place in tracked:
        ends = [
            host(
                function(
                    *(
                        torch.from_numpy(array + way * v * (turn == place))
                        for turn, (array, v) in enumerate(zip(arrays, directions, strict=True))
                    )
                )
            )
            for way in (step, -step)
        ]
        terms, found = host(grad_of(operands[place])) * directions[place], (ends[0] - ends[1]) * factors / (2 * step)
        assert abs(terms.sum() - found.sum()) <= 1e-5 * max(1, np.abs(terms).sum(), np.abs(found).sum())


def beside(context):
    """Apply and pass back within the context that ``context()`` makes."""

    def within(apply, x, weights):
        with context():
            result = apply(x)
            result.backward(weights)
        return result

    return within


def saved(context):
    """Apply within the context that ``context()`` makes, and pass back after it."""

    def within(apply, x, weights):
        with context():
            result = apply(x)
        result.backward(weights)
        return result

    return within


def passed_back_in_a_thread(apply, x, weights):
    result = apply(x)
    in_a_thread(result.backward, gradient=weights)
    return result


def within_a_pass(apply, x, weights):
    results = []
    other = torch.ones(2, requires_grad=True)
    made = other * 2

    def hook(gradient):
        with torch.enable_grad():
            results.append(apply(x))
        results[0].backward(weights)

    made.register_hook(hook)
    made.sum().backward()
    return results[0]


AROUND = {
    "anomaly detection": beside(torch.autograd.detect_anomaly),
    "one thread": beside(lambda: torch.autograd.set_multithreading_enabled(False)),
    "a profiler": beside(torch.autograd.profiler.profile),
    "copies saved": saved(lambda: graph.saved_tensors_hooks(lambda x: x.clone(), lambda x: x)),
    "arrays saved": saved(
        lambda: graph.saved_tensors_hooks(
            lambda x: (x.device, x.detach().cpu().clone()), lambda kept: kept[1].to(kept[0])
        )
    ),
    "save_on_cpu": saved(graph.save_on_cpu),
    "a thread": lambda apply, x, weights: in_a_thread(
        lambda: (lambda result: result.backward(weights) or result)(torch.enable_grad()(apply)(x))
    ),
    "a thread for the pass": passed_back_in_a_thread,
    "another pass": within_a_pass,
}
SLOW = ("anomaly detection", "a profiler")  # each tried with one in four
CASES = [(each, around) for around in AROUND for each in OPERATIONS[:: 4 if around in SLOW else 1]]


@claim("requires-grad-tracks-operations", "backward-fills-grad", "weights-act-as-upstream-gradient")
@over(case=among(*CASES), dtype=among(*SINGLE_AND_DOUBLE))
def test_whatever_goes_on_around_it_a_gradient_is_the_same(case, dtype):
    operation, around = case
    x, array = Twin(dtype, (2, 3), values=operation.values, grad=True)
    weights, factors = weights_for(operation.apply(x.detach()))
    result = accepted(AROUND[around], operation.apply, x, weights)

    agree(result, host(operation.apply(x.detach())), operation.roundings, operation.scale)
    agree(grad_of(x), operation.pull(array.astype(np.float64), factors), operation.roundings, operation.scale)


@pytest.fixture
def recomputed_on_the_cpu(monkeypatch):
    """Lest a checkpoint ask another device for its autocast."""
    if RELEASE >= (2, 1):
        monkeypatch.setattr(checkpoint.DefaultDeviceType, "get_device_type", staticmethod(lambda: "cpu"))


@claim("requires-grad-tracks-operations", "backward-fills-grad", "nn-builds-on-autograd")
@pytest.mark.cpu
@pytest.mark.usefixtures("recomputed_on_the_cpu")
@over(operation=among(*OPERATIONS), written=among(False, True), dtype=among(*SINGLE_AND_DOUBLE))
def test_what_is_computed_anew_for_the_pass_has_the_same_gradient(operation, written, dtype):
    """Of an argument or of what the function has of its own, as a layer has its parameters."""
    x, array = Twin(dtype, (2, 3), values=operation.values, grad=True)
    calls, needed, own = [], [], written == (dtype == torch.float64)

    def call(x=x):
        calls.append(x)
        return operation.apply(x).clone()[...].mul_(1) if written else operation.apply(x)

    result = checkpoint.checkpoint(call, *[x][own:], use_reentrant=False, preserve_rng_state=False)
    weights, factors = weights_for(result)
    accepted(result.backward, weights)
    assert len(calls) in (1, 2)
    with graph.saved_tensors_hooks(lambda kept: kept, lambda kept: needed.append(kept) or kept):
        call(x.detach().requires_grad_()).backward(weights)
    assert (len(calls) == 3) == bool(needed)  # one of these just now: anew is computed what a pass asks for

    agree(result, host(operation.apply(x.detach())), operation.roundings, operation.scale)
    agree(grad_of(x), operation.pull(array.astype(np.float64), factors), operation.roundings, operation.scale)


def jacobian(apply, x, w):
    """The weights times the matrix that jacobian() makes."""
    matrix = torch.autograd.functional.jacobian(apply, x)
    return torch.tensordot(w.to(matrix.dtype), matrix, w.dim())


def grad(apply, x, w, **rest):
    return torch.autograd.grad(apply(x), x, w, **rest)[0]


def unused(apply, x, w, **rest):
    other = torch.ones(2, requires_grad=True)
    first, last = torch.autograd.grad(apply(x), [other, x], w, allow_unused=True, **rest)
    assert (first is not None) == rest.get("materialize_grads", False)
    if first is not None:
        agree(first, np.zeros(2))
    return last


def tracked(apply, x, w):
    """By weights that are tracked themselves, as the gradient of a straight line is by nothing else."""
    found = grad(apply, x, w.requires_grad_(), create_graph=True)
    assert found.requires_grad
    return found


ASKED = {
    "grad": grad,
    "by name": lambda apply, x, w: torch.autograd.grad(outputs=[apply(x)], inputs=[x], grad_outputs=[w])[0],
    "for a result as well": lambda apply, x, w: (lambda y: torch.autograd.grad(apply(y), (y, x), (w,))[1])(x * 1),
    "of two": lambda apply, x, w: torch.autograd.grad([apply(x), apply(x)], [x], [2 * w, -w])[0],
    "of the weighted sum": lambda apply, x, w: torch.autograd.grad((apply(x) * w).sum(), x)[0],
    "tracked": tracked,
    "under no_grad": lambda apply, x, w: (lambda y: torch.no_grad()(torch.autograd.grad)(y, x, w)[0])(apply(x)),
    "beside what is unused": unused,
    **({"with zeros": lambda *all: unused(*all, materialize_grads=True)} if RELEASE >= (2, 1) else {}),
    "functional.vjp": lambda apply, x, w: torch.autograd.functional.vjp(apply, x, w)[1],
    "jacobian": jacobian,
}
FULL = [each for each in OPERATIONS if "nothing" not in each.name]  # of no result jacobian() makes no matrix


@claim("backward-multiplies-jacobians", "weights-act-as-upstream-gradient", "requires-grad-tracks-operations")
@over(operation=among(*FULL), asked=each(*ASKED), dtype=among(*SINGLE_AND_DOUBLE))
def test_however_one_asks_for_it_a_gradient_is_the_same_and_is_left_nowhere_else(operation, asked, dtype):
    x, array = Twin(dtype, (2, 3), values=operation.values, grad=True)
    weights, factors = weights_for(operation.apply(x.detach()))
    found = accepted(ASKED[asked], operation.apply, x, weights)

    agree(found, operation.pull(array.astype(np.float64), factors), operation.roundings + 1, operation.scale)
    assert x.grad is None


HOOKED = {  # tensors, and what of their gradient comes to the leaf
    "leaf": (lambda x: x, lambda g: g),
    "result": (lambda x: x * 2, lambda g: 2 * g),
    "written": (lambda x: (x * 1).mul_(3), lambda g: 3 * g),
    "a row": (lambda x: x[1], lambda g: np.stack([0 * g, g, 0 * g])),
    "a row of a result": (lambda x: (2 * x)[1], lambda g: np.stack([0 * g, 2 * g, 0 * g])),
    "an element": (lambda x: x[1, 2], lambda g: g * (np.arange(12).reshape(3, 4) == 6)),
    "chosen rows": (lambda x: x[[2, 0]], lambda g: np.stack([g[1], 0 * g[0], g[0]])),
    "transposed": (lambda x: x.t(), lambda g: g.T),
    "one of several": (lambda x: x.unbind()[2], lambda g: np.stack([0 * g, 0 * g, g])),
    "a sum": (lambda x: x.sum(), lambda g: g * np.ones((3, 4))),
}


@claim("weights-act-as-upstream-gradient", "backward-fills-grad", "gradients-accumulate")
@over(of=each(*HOOKED), dtype=among(*SINGLE_AND_DOUBLE))
def test_a_hook_is_told_what_arrives_and_what_it_returns_goes_on_until_it_is_removed(of, dtype):
    x, _ = Twin(dtype, (3, 4), grad=True)
    make, pull = HOOKED[of]
    y, told = make(x), []
    first = y.register_hook(lambda gradient: told.append(gradient))
    doubled = y.register_hook(lambda gradient: gradient * 2)
    y.register_hook(lambda gradient: told.append(gradient))
    weights, factors = weights_for(y)
    (y * 1 + 0).backward(weights, retain_graph=True)
    agree(grad_of(x), pull(2 * factors))
    doubled.remove()
    (y * 3).backward(weights, retain_graph=True)
    agree(x.grad, pull(5 * factors))
    first.remove()
    (y * 1).backward(weights)

    agree(x.grad, pull(6 * factors))
    for gradient, times in zip(told, (1, 2, 3, 3, 1), strict=True):  # which later passes leave as they were
        agree(gradient, times * factors)


MIXED = {  # functions of two operands, and what each multiplies what arrives by
    "*": (lambda x, y: x * y, lambda a, b: (b, a)),
    "mul": (lambda x, y: torch.mul(y, x), lambda a, b: (b, a)),
    "+": (lambda x, y: x + y, lambda a, b: (0 * a + 1, 0 * b + 1)),
    "add": (lambda x, y: torch.add(x, y, alpha=2), lambda a, b: (0 * a + 1, 0 * b + 2)),
    "-": (lambda x, y: x - y, lambda a, b: (0 * a + 1, 0 * b - 1)),
    "/": (lambda x, y: x / y, lambda a, b: (1 / b, -a / b**2)),
    "addcmul": (lambda x, y: torch.addcmul(x, y, y, value=1), lambda a, b: (0 * a + 1, 2 * b)),
    "stack": (lambda x, y: torch.stack([x, y]).sum(0), lambda a, b: (0 * a + 1, 0 * b + 1)),
}
PAIRS = [(torch.float32, torch.float64), (torch.bfloat16, torch.float32), (torch.float32, torch.complex64)]
PAIRS += [(torch.float64, torch.complex128), (torch.float16, torch.float32), (torch.float32, torch.complex128)]


@claim("backward-fills-grad", "requires-grad-tracks-operations", "backward-multiplies-jacobians")
@over(name=each(*MIXED), pair=among(*PAIRS), first=each(True, False))
def test_of_two_dtypes_each_operand_gets_a_gradient_of_its_own(name, pair, first):
    """Of a real operand it is the real part."""
    function, slopes = MIXED[name]
    dtypes = pair if first else pair[::-1]
    x, y = (
        torch.tensor(numbers, dtype=dtype) for numbers, dtype in zip(([1.5, -2, 4], [0.5, 8, -4]), dtypes, strict=True)
    )
    x, y = (each * (1 + 0.5j) if each.is_complex() else each for each in (x, y))
    x.requires_grad_(), y.requires_grad_()
    result = function(x, y)
    assert result.dtype == pair[1]
    weights = torch.tensor([1, -2, 0.5], dtype=pair[1]) * (1 - 2j if pair[1].is_complex else 1)
    result.backward(weights)

    for leaf, slope in zip((x, y), slopes(host(x).astype(complex), host(y).astype(complex)), strict=True):
        expected = host(weights) * slope.conj()
        assert leaf.grad.dtype == leaf.dtype
        # of complex numbers two quotients, of which the second one's parts are rounded, and a product
        roundings = 8 * pair[1].is_complex
        agree(leaf.grad, expected if leaf.is_complex() else expected.real, roundings, np.abs(expected).max())
