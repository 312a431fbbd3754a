"""2.6 Autograd: blocks without a record that do not simply begin and end, one inside the other."""

from itertools import product

import pytest
import torch
from populations import EVERY_MODE, agree, among, each, over
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
