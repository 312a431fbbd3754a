"""2.6 Autograd: leaving the record by detach() and no_grad(), for every operation, way in and way out."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from populations import EVERY_MODE, FLOATS, WRITABLE, Population, Twin, agree, among, each, normal, over, twins, whole
from populations.gradients import SOURCES, TAKEN, WRITES, grad_of
from populations.initialisers import RELEASE
from populations.layouts import REPEATED
from populations.trials import FEW, ONCE_EACH, TRACKABLE
from torch import nn

claim = pytest.mark.claim

DETACHED = {"method": lambda x: x.detach(), "function": lambda x: torch.detach(x), "data": lambda x: x.data}
PARAMETERS = [Twin(torch.float32, shape, kind="parameter", grad=True) for shape in ((), (0,), ()) for _ in range(3)]
DOUBLE = [Twin(torch.complex128, shape, grad=True) for shape in ((), (3,), (2, 3))]
EXPANDED, COLUMNS = ([Twin(dtype, (2, 3), layout, grad=True) for dtype in FLOATS] for layout in REPEATED)


@claim("detach-stops-tracking", "data-is-outside-the-graph", "data-writes-are-not-recorded")
@over(
    twin=twins((*FLOATS, torch.complex64), WRITABLE, grad=(True,)).also(*PARAMETERS).rarely(*DOUBLE),
    of=among(*SOURCES),
    leave=among(*DETACHED),
    grad=among(False, True),
)
def test_a_detached_tensor_shares_the_data_and_nothing_of_the_record(twin, of, leave, grad):
    x, array = twin
    source = SOURCES[of](x)
    with torch.set_grad_enabled(grad):
        detached = DETACHED[leave](source)

    assert (detached.requires_grad, detached.grad_fn, detached.is_leaf) == (False, None, True)
    assert (type(detached), detached.dtype, detached.stride()) == (torch.Tensor, source.dtype, source.stride())
    agree(detached, (array.conj() if of == "conjugate" else array).reshape(source.shape))
    assert detached.data_ptr() == source.data_ptr()
    assert not (detached * 2).sum().requires_grad
    assert source.requires_grad
    with torch.inference_mode():
        assert source.detach() is not source
    detached[...] = 1
    with torch.no_grad():
        agree(source + 0, np.ones(source.shape))
    x.data = torch.full_like(DETACHED[leave](x), 2)
    agree(DETACHED[leave](x), np.full(x.shape, 2))


@claim("detach-stops-tracking")
@over(twin=FEW.also(*EXPANDED).rarely(*COLUMNS), of=among(*SOURCES), leave=each(*DETACHED))
def test_a_record_that_begins_at_a_detached_tensor_ends_there_and_the_original_goes_on(twin, of, leave):
    x, array = twin.but(grad=True)
    source = SOURCES[of](x)
    y = DETACHED[leave](source).requires_grad_()
    assert (y.data_ptr(), y.stride()) == (source.data_ptr(), source.stride())
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        (source.detach() * 3).sum().backward()

    (y * 3).sum().backward()
    agree(grad_of(y), np.full(source.shape, 3))
    leaf = source if of in ("parameter", "switched on") else x
    assert (leaf.grad, source.requires_grad, source.is_leaf) == (None, True, source is leaf)
    (source * 6).sum().backward()
    agree(grad_of(leaf), np.full_like(array, 6))
    agree(y.grad, np.full(source.shape, 3))


@claim("detach-stops-tracking", truth=True)
@over(
    EVERY_MODE[:2],
    twin=FEW,
    of=among("leaf", "result", "parameter"),
    spelled=among("method", "function"),
    kept=each(False, True),
)
def test_detach_in_place_takes_the_tensor_itself_out_of_the_record_and_refuses_a_view(twin, of, spelled, kept):
    x, array = twin
    y = SOURCES[of](x)
    if kept and y.requires_grad:
        y.retain_grad()

    assert (y.detach_() if spelled == "method" else torch.detach_(y)) is y
    assert (y.requires_grad, y.grad_fn, y.is_leaf, (y * 2).requires_grad) == (False, None, True, False)
    agree(y, array)
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        x.view(*x.shape, 1).detach_()


def inside(function, mode):
    with mode():
        return function()


def before_an_error(function, mode, error=ZeroDivisionError):
    with pytest.raises(error), mode():
        result = function()
        raise error
    return result


def decorated(function, mode):
    call = (mode if torch.__version__ >= (2, 1) else mode())(lambda called: called())
    assert call(torch.is_grad_enabled) is (mode is torch.enable_grad)
    return call(function)


def generated(function, mode):
    @mode()
    def generate():
        yield torch.is_grad_enabled()
        yield function()

    outside, steps = torch.is_grad_enabled(), generate()
    assert (next(steps), torch.is_grad_enabled()) == (mode is torch.enable_grad, outside)
    return next(steps)


def recursive(function, mode):
    @mode()
    def again(left):
        result = again(left - 1) if left else function()
        assert torch.is_grad_enabled() is (mode is torch.enable_grad)
        return result

    return again(2)


def a_second_time(function, mode):
    block = mode()
    with block:
        pass
    with block:
        return function()


WAYS = {
    "with": inside,
    "a second time": a_second_time,
    "error": before_an_error,
    "end of an iteration": functools.partial(before_an_error, error=StopIteration),
    "exit": functools.partial(before_an_error, error=SystemExit),
    "decorator": decorated,
    "generator": generated,
    "recursive": recursive,
}
MODES = {True: torch.enable_grad, False: torch.no_grad}


@claim("grad-fn-is-the-creating-function", truth=True)
@over(
    twin=twins(TRACKABLE, ("contiguous", "transposed"), ((2, 3), (5, 1)), grad=(True,)),
    write=among(*WRITES),
    part=among(..., 0, slice(1, None), [1, 0]),
)
def test_a_write_in_place_under_no_grad_leaves_no_node_behind_but_one_that_is_tracked_does(twin, write, part):
    x, array = twin
    y = x * 2
    before = y.grad_fn
    with torch.no_grad():
        WRITES[write](y)
    assert y.grad_fn is before
    y.sum().backward()
    agree(grad_of(x), np.full_like(array, 2))
    y[part] = x[part]
    assert y.grad_fn is not before


@claim("no-grad-stops-tracking")
@claim("created-tensors-are-leaves", "grad-fn-is-the-creating-function", truth=True)
@over(
    twin=twins((torch.float32,), ("contiguous", "transposed"), ((2, 3), (5, 1)), grad=(True,)),
    write=each(*TAKEN),
    mode=among(*EVERY_MODE[1:]),
    made=among(False, True),
)
def test_what_takes_tracked_numbers_without_a_record_is_not_tracked_either(twin, write, mode, made):
    x, _ = twin
    source, y = (x * 2 if made else x), torch.ones(x.shape, device=x.device)
    with mode():
        TAKEN[write](y, source)
    assert (y.requires_grad, y.grad_fn, y.is_leaf) == (False, None, True)
    assert source.requires_grad


@claim("no-grad-stops-tracking")
@claim("created-tensors-are-leaves", "grad-fn-is-the-creating-function", truth=True)
@over(each=ONCE_EACH, way=among(*WAYS))
def test_no_operation_leaves_a_record_and_each_gives_the_same_values(each, way):
    operation, (x, _) = each
    result = WAYS[way](lambda: operation.apply(x), torch.no_grad)

    assert (result.grad_fn, result.is_leaf, x.requires_grad) == (None, True, True)
    assert result.requires_grad is result._is_view()  # a view shows the flag of what it is a view of
    tracked = operation.apply(x)
    assert tracked.requires_grad
    agree(result, tracked.detach().cpu().double().numpy())
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        torch.no_grad()(result.clone)().backward(result)


RESUMED = {
    "send": (lambda steps, turn: steps.send(turn), lambda turn: turn),
    "throw": (lambda steps, turn: steps.throw(ZeroDivisionError()), lambda turn: "thrown"),
    "next": (lambda steps, turn: next(steps), lambda turn: None),
}


@claim("no-grad-stops-tracking")
@over(mode=each(True, False), by=each(*RESUMED), outside=among(True, False), brackets=among(True, False))
def test_a_decorated_generator_goes_on_in_its_mode_however_it_is_resumed(mode, by, outside, brackets):
    seen = []

    @(MODES[mode]() if brackets or RELEASE < (2, 1) else MODES[mode])
    def generate():
        for _ in range(3):
            try:
                seen.append(((yield torch.is_grad_enabled()), torch.is_grad_enabled()))
            except ZeroDivisionError:
                seen.append(("thrown", torch.is_grad_enabled()))

    resume, received = RESUMED[by]
    with torch.set_grad_enabled(outside):
        steps = generate()
        told = [next(steps), resume(steps, 1), resume(steps, 2), torch.is_grad_enabled()]
    assert told == [mode, mode, mode, outside]
    assert seen == [(received(turn), mode) for turn in (1, 2)]


MODELS = {
    "linear": lambda: nn.Linear(6, 4),
    "layers": lambda: nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.LayerNorm(3), nn.Linear(3, 1)),
    "convolution": lambda: nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten()),
    "images": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 2, 2, bias=False), nn.BatchNorm2d(2)
    ).eval(),
    "evaluation": lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2)).eval(),
}


@claim("no-grad-stops-tracking")
@over(model=among(*MODELS), batch=whole(1, 70), way=among(*WAYS))
def test_a_model_gives_the_output_it_gives_otherwise_and_its_parameters_keep_their_flags(model, batch, way):
    net, inputs = MODELS[model](), normal(batch, 6)
    next(net.parameters()).requires_grad_(False)
    flags = [parameter.requires_grad for parameter in net.parameters()]
    evaluated = WAYS[way](lambda: net(inputs), torch.no_grad)

    assert (evaluated.requires_grad, evaluated.grad_fn) == (False, None)
    assert [parameter.requires_grad for parameter in net.parameters()] == flags
    # the sums of up to 6 products and a normalisation may be added up in another order when nothing is recorded
    agree(evaluated, net(inputs).detach().cpu().numpy(), roundings=32, scale=4)
    assert net(inputs).requires_grad


PROGRAMS = Population(
    (
        *(((False, outer), (False, inner)) for outer in WAYS for inner in WAYS),
        *(((False, "with"), (True, way), (False, way), (True, "error")) for way in WAYS),
    ),
    st.lists(st.tuples(st.booleans(), st.sampled_from(list(WAYS))), min_size=1, max_size=6).map(tuple),
)


@claim("no-grad-stops-tracking")
@over(program=PROGRAMS)
def test_however_blocks_and_functions_are_nested_the_innermost_decides_and_leaving_restores(program):
    x = torch.ones(2, requires_grad=True)
    seen = []

    def go(depth):
        tracks = program[depth - 1][0] if depth else True
        seen.append(((x * 2).requires_grad, torch.is_grad_enabled()) == (tracks, tracks))
        if depth < len(program):
            mode, way = program[depth]
            WAYS[way](lambda: go(depth + 1), MODES[mode])
            seen.append(((x * 2).requires_grad, torch.is_grad_enabled()) == (tracks, tracks))

    go(0)
    assert all(seen)
    assert len(seen) == 2 * len(program) + 1


@claim("no-grad-stops-tracking", "requires-grad-tracks-operations")
@pytest.mark.skipif(RELEASE < (2, 2), reason="before torch 2.2 set_grad_enabled, decorating, switched: pytorch#113298")
def test_decorating_a_function_switches_nothing_off_around_it():
    for mode in (torch.no_grad, torch.inference_mode, functools.partial(torch.set_grad_enabled, False)):
        decorated = mode()(torch.is_grad_enabled)
        assert torch.is_grad_enabled()
        assert not decorated()
        assert torch.is_grad_enabled()
