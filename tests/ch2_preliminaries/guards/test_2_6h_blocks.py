"""2.6 Autograd: blocks without a record, one inside the other or switched off, and functions of one's own."""

from itertools import product

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, SINGLE_AND_DOUBLE, agree, among, each, over
from populations.comparing import accepted

claim = pytest.mark.claim


@claim("no-grad-stops-tracking", truth=True)
@over(EVERY_MODE[:1], mode=each(torch.no_grad, lambda: torch.set_grad_enabled(False)), close=each(False, True))
def test_of_two_blocks_the_one_that_began_first_may_end_first_and_each_leaves_what_it_found(mode, close):
    w = torch.ones(2, requires_grad=True)

    def block():
        with mode():
            yield
            yield (w * 2).requires_grad

    first, second = block(), block()
    next(first), next(second)
    first.close() if close else list(first)
    try:
        assert next(second)  # tracked, though inside
    finally:
        second.close()
    assert not torch.is_grad_enabled()  # though outside; the mode around the guard puts that right


@claim("no-grad-stops-tracking", truth=True)
@over(EVERY_MODE[:1], method=each(False, True))
def test_a_decorated_coroutine_function_is_tracked(method):
    w = torch.ones(2, requires_grad=True)

    @torch.no_grad()
    async def double(*self):
        return w * 2

    coroutine = type("Own", (), {"double": double})().double() if method else double()
    with pytest.raises(StopIteration) as returned:
        coroutine.send(None)
    assert returned.value.value.requires_grad


WITHIN = {  # passes of their own, from a loss to a leaf
    "grad": lambda loss, x: torch.autograd.grad(loss, x),
    "grad, tracked": lambda loss, x: torch.autograd.grad(loss, x, create_graph=True),
    "backward": lambda loss, x: loss.backward(),
}


@claim("no-grad-stops-tracking", "requires-grad-tracks-operations")
@over(within=each(*WITHIN), by=each("function", "hook"), recording=each(True, False))
def test_a_pass_within_a_pass_leaves_the_mode_that_it_finds(within, by, recording):
    seen = []

    def pass_back(gradient):
        leaf = torch.ones(2, requires_grad=True)
        for mode in (True, False, True):
            loss = torch.enable_grad()(lambda: (leaf * leaf).sum())()
            with torch.set_grad_enabled(mode):
                WITHIN[within](loss, leaf)
                seen.append(torch.is_grad_enabled() is mode)
        return gradient * 1

    class Same(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: x.clone())
        backward = staticmethod(lambda ctx, gradient: pass_back(gradient))

    x = torch.ones(2, requires_grad=True)
    y = Same.apply(x) if by == "function" else x * 1
    if by == "hook":
        y.register_hook(pass_back)
    total = y.sum()
    with torch.set_grad_enabled(recording):
        accepted(total.backward)
        assert torch.is_grad_enabled() is recording
    assert seen == [True] * 3
    agree(x.grad, [1, 1])


@claim("tensors-and-functions-form-a-dag", "requires-grad-tracks-operations")
@over(
    join=each("cat", "concat", "stack", "hstack", "vstack", "block_diag"),
    tracked=among(*product((True, False), repeat=3)),
)
def test_what_is_joined_leads_to_the_node_of_each_tracked_part_and_for_a_constant_to_none(join, tracked):
    parts = [torch.full((1, 2), 1.0 + turn, requires_grad=flag) for turn, flag in enumerate(tracked)]
    parts = [part * 1 for part in parts]
    of = getattr(torch, join)
    result = of(*parts) if join == "block_diag" else of(parts)

    assert result.requires_grad == any(tracked)
    nodes = [node for node, _ in result.grad_fn.next_functions] if any(tracked) else [None] * 3
    assert nodes == [part.grad_fn for part in parts]


@claim("requires-grad-tracks-operations", "no-grad-stops-tracking")
@over(spelled=each(lambda flag: torch.inference_mode(flag), lambda flag: torch.inference_mode(mode=flag)))
def test_inference_mode_of_false_is_off_as_a_block_and_as_a_decorator(spelled):
    w = torch.ones(2, requires_grad=True)
    for flag in (True, False, True, False):
        with spelled(flag):
            within = w * 2
        for result in (within, spelled(flag)(lambda: w * 2)()):
            assert (result.is_inference(), result.requires_grad) == (flag, not flag)


class Exponential(torch.autograd.Function):
    """Keeps its result."""

    @staticmethod
    def forward(ctx, x):
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, gradient):
        (result,) = ctx.saved_tensors
        return gradient * result


class Cube(torch.autograd.Function):
    """Keeps its operand."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 3 * x**2


class Written(torch.autograd.Function):
    """Returns a view of what it has made and written to: the first two elements, plus 2."""

    @staticmethod
    def forward(ctx, x):
        view = x.clone()[:2]
        view += 2
        return view

    @staticmethod
    def backward(ctx, gradient):
        return torch.cat([gradient, 0 * gradient[:1]])


KEEPING = {Exponential: (np.exp, np.exp, np.exp), Cube: (lambda x: x**3, lambda x: 3 * x**2, lambda x: 6 * x)}


@claim("tensors-and-functions-form-a-dag", "requires-grad-tracks-operations")
@over(function=each(*KEEPING), dtype=among(*SINGLE_AND_DOUBLE))
def test_what_a_function_of_one_s_own_keeps_serves_every_pass_and_the_passes_through_these(function, dtype):
    x = torch.tensor([0.5, -1.0, 2.0], dtype=dtype, requires_grad=True)
    y = function.apply(x)
    value, slope, bend = (rule(np.array([0.5, -1.0, 2.0])) for rule in KEEPING[function])
    agree(y, value, 8)
    for _ in range(3):
        (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        assert first.requires_grad
        (second,) = torch.autograd.grad(first.sum(), x, retain_graph=True)
        agree(first, slope, 8)
        agree(second, bend, 8)


@claim("grad-fn-is-the-creating-function", "requires-grad-tracks-operations", "tensors-and-functions-form-a-dag")
@over(dtype=among(*SINGLE_AND_DOUBLE))
def test_a_view_that_a_function_of_one_s_own_has_written_to_comes_from_that_function(dtype):
    x = torch.tensor([1.0, 2.0, 3.0], dtype=dtype, requires_grad=True)
    y = Written.apply(x)
    assert (y.grad_fn.name(), y.requires_grad) == ("WrittenBackward", True)
    (y * torch.tensor([5.0, 7.0], dtype=dtype)).sum().backward()

    agree(y, np.array([3.0, 4.0]))
    agree(x.grad, np.array([5.0, 7.0, 0.0]))


TOLD = []  # what it is told when it passes back


class Several(torch.autograd.Function):
    """Of two operands and a number the product, times the number, the largest number, without a slope, and the sum."""

    @staticmethod
    def forward(ctx, x, number, y, zeros):
        largest = x.detach().amax(-1)
        ctx.save_for_backward(x, y)
        ctx.number = number
        ctx.mark_non_differentiable(largest)
        ctx.set_materialize_grads(zeros)
        return x * y * number, largest, x + y

    @staticmethod
    def backward(ctx, of_product, of_largest, of_sum):
        x, y = ctx.saved_tensors
        TOLD.append((ctx.needs_input_grad, of_product, of_sum))
        first, second = (torch.zeros_like(x) if each is None else each for each in (of_product, of_sum))
        return first * y * ctx.number + second, None, first * x * ctx.number + second, None


class Added(torch.autograd.Function):
    """Adds the second operand, times 3, to a part of the first one, which it writes to."""

    @staticmethod
    def forward(ctx, x, part, y):
        ctx.part = part
        x[part] += 3 * y.detach()
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None, 3 * gradient[ctx.part]


@claim("tensors-and-functions-form-a-dag", "requires-grad-tracks-operations", "backward-fills-grad")
@over(
    tracked=each((True, True), (True, False), (False, True)),
    used=among((True, True), (True, False), (False, True)),
    zeros=among(True, False),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_a_function_of_one_s_own_is_told_what_is_asked_for_and_what_arrives(tracked, used, zeros, dtype):
    x, y = (
        torch.tensor(numbers, dtype=dtype, requires_grad=flag)
        for numbers, flag in zip(([1.0, -2, 3], [5.0, 4, -1]), tracked, strict=True)
    )
    product, largest, total = Several.apply(x, 2, y, zeros)
    assert (product.requires_grad, largest.requires_grad, total.requires_grad) == (True, False, True)
    assert largest.grad_fn is None
    assert product.grad_fn is total.grad_fn
    agree(product, [10, -16, -6])
    agree(largest, 3)
    agree(total, [6, 2, 2])
    TOLD.clear()
    (7 * product if used[0] else 3 * total).sum().backward(retain_graph=True)
    (torch.cat([each for each, use in zip((product, total), used, strict=True) if use]) * 1).sum().backward()

    reached = (used[0], not used[0]), used
    for (needs, *arrived), through, times in zip(TOLD, reached, ((7, 3), (1, 1)), strict=True):
        assert needs == (tracked[0], False, tracked[1], False)
        assert [gradient is not None for gradient in arrived] == [use or zeros for use in through]
        for gradient, use, factor in zip(arrived, through, times, strict=True):
            agree(torch.zeros(3) if gradient is None else gradient, np.full(3, factor * use))
    first, second = (7, 0) if used[0] else (0, 3)
    first, second = first + used[0], second + used[1]
    for leaf, flag, other in zip((x, y), tracked, ([5, 4, -1], [1, -2, 3]), strict=True):
        assert (leaf.grad is not None) == flag
        agree(leaf.grad if flag else torch.zeros(3), np.array(other) * 2 * first * flag + second * flag)


@claim("tensors-and-functions-form-a-dag", "backward-fills-grad", "grad-fn-is-the-creating-function")
@over(
    of=each("result", "constant", "view"),
    part=among(slice(1, 2), slice(None), [0, 2]),
    tracked=each(True, False),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_a_function_of_one_s_own_that_writes_to_an_operand_passes_back_to_each(of, part, tracked, dtype):
    leaf = torch.tensor([1.0, -2, 3], dtype=dtype, requires_grad=tracked and of != "constant")
    y = torch.tensor([[5.0, 4, -1]], dtype=dtype)[0][part].requires_grad_()
    x = {"result": leaf * 2, "constant": leaf * 2, "view": (leaf * 2)[...]}[of]
    count = x._version
    z = Added.apply(x, part, y)

    added = np.zeros(3)
    added[part] = 3 * np.array([5.0, 4, -1])[part]
    assert z is x
    assert x._version > count
    assert z.requires_grad
    agree(z, np.array([2.0, -4, 6]) + added)
    (z * torch.tensor([1.0, 10, 100], dtype=dtype)).sum().backward()
    agree(y.grad, 3 * np.array([1, 10, 100])[part])
    agree(leaf.grad if leaf.requires_grad else torch.tensor([2.0, 20, 200]), [2, 20, 200])
