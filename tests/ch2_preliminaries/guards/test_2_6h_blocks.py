"""2.6 Autograd: blocks without a record that do not simply begin and end, one inside the other."""

import pytest
import torch
from populations import EVERY_MODE, each, over

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
