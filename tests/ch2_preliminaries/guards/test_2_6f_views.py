"""2.6 Autograd: what comes back through views of every kind, and what is written into them."""

from itertools import product

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over, twins
from populations.comparing import host
from populations.gradients import grad_of, weights_for
from populations.initialisers import RELEASE
from populations.looks import LOOKS, PARTED, REFUSED

claim = pytest.mark.claim
LAYERED = [*product((torch.complex64, torch.complex128), ("contiguous", "transposed", "gappy"))]
SHAPES = ((6,), (3, 4), (2, 3, 4), (2, 3, 4, 2), (4, 2, 1, 3, 2))
LEAVES = twins(SINGLE_AND_DOUBLE, WRITABLE, SHAPES, grad=(True,), kinds=("tensor",))
COPIED = twins(SINGLE_AND_DOUBLE, WRITABLE[:2], SHAPES, grad=(True,), kinds=("tensor",))  # for a copy in rows


def places(array):
    """The place of each element in row order."""
    return np.arange(array.size).reshape(array.shape)


@claim("requires-grad-tracks-operations", "backward-fills-grad", "grad-fn-is-the-creating-function")
@over(twin=LEAVES, look=each(*LOOKS))
def test_what_comes_back_through_a_view_of_a_leaf_lies_where_the_view_looked(twin, look):
    (x, array), (view, rule) = twin, LOOKS[look]
    seen = view(x)
    agree(seen, rule(array))
    # a row that is flattened is itself
    assert (seen.requires_grad, seen.is_leaf, seen.device) == (True, seen is x, x.device)
    assert (seen.grad_fn is None) == seen.is_leaf

    weights, factors = weights_for(seen)
    seen.backward(weights)
    agree(grad_of(x), np.bincount(rule(places(array)).ravel(), factors.ravel(), array.size).reshape(array.shape))


@claim("requires-grad-tracks-operations", "backward-fills-grad")
@over(twin=LEAVES, look=each(*PARTED))
def test_of_several_views_each_passes_back_to_its_own_part(twin, look):
    (x, array), (part, rule) = twin, PARTED[look]
    parts, expected = part(x), rule(places(array))
    assert len(parts) == len(expected)
    for turn, (seen, of) in enumerate(zip(parts, expected)):
        agree(seen, array.ravel()[of])
        scaled = seen * 2**turn  # each part itself is an operand
        agree(scaled, array.ravel()[of] * 2**turn)
        scaled.sum().backward(retain_graph=True)

    times = np.zeros(array.size)
    for turn, of in enumerate(expected):
        times[of.ravel()] += 2**turn
    agree(grad_of(x), times.reshape(array.shape))


@claim("requires-grad-tracks-operations", "backward-fills-grad")
@over(
    parts=among((slice(0, 2), slice(2, 4)), (slice(0, 3), slice(1, 4), slice(3, None)), (0, -1, 2), (slice(None),) * 3),
    dtype=among(*SINGLE_AND_DOUBLE),
    rows=each(False, True),
)
def test_every_one_of_several_writes_into_parts_of_one_result_is_recorded(parts, dtype, rows):
    x, array = Twin(dtype, (3, 5), grad=True)
    y, times = x * 1, np.ones((3, 5))
    for turn, part in enumerate(parts, 2):
        at = (part % 3 if isinstance(part, int) else part) if rows else (slice(None), part)
        y[at] = y[at] * turn
        times[at] *= turn
    agree(y, array * times)
    y.sum().backward()
    agree(grad_of(x), times)


INTO = {  # ways to write what is recorded into what was not
    "copy_": (lambda y, source: y.copy_(source), 0),
    "[...] =": (lambda y, source: y.__setitem__(..., source), 0),
    "add_": (lambda y, source: y.add_(source), 1),
    "+=": (lambda y, source: y.__iadd__(source), 1),
    "mul_": (lambda y, source: y.mul_(source), 0),
    "lerp_": (lambda y, source: y.lerp_(source, torch.ones_like(source)), 0),
    **{
        name: (lambda y, source: y.masked_scatter_(torch.ones_like(y, dtype=torch.bool), source), 0)
        for name in ["masked_scatter_"] * (RELEASE >= (2, 1))  # which wrote in another order
    },
}


@claim("requires-grad-tracks-operations", "backward-fills-grad", "created-tensors-are-leaves")
@over(twin=COPIED, look=each(*(name for name in LOOKS if name not in REFUSED)), way=among(*INTO))
def test_what_is_written_into_a_view_of_what_was_not_tracked_is_recorded(twin, look, way):
    (x, array), (view, rule), (write, more) = twin, LOOKS[look], INTO[way]
    y = torch.ones(twin.shape, dtype=x.dtype, device=x.device)
    write(view(y), view((x * 2).contiguous()))

    reached = np.isin(places(array), rule(places(array)))
    agree(y, np.where(reached, 2 * array + more, 1))
    assert y.requires_grad
    weights, factors = weights_for(y)
    y.backward(weights)
    agree(grad_of(x), np.where(reached, 2, 0) * factors)


@claim("requires-grad-tracks-operations", "backward-fills-grad", "grad-fn-is-the-creating-function")
@over(
    twin=COPIED,
    look=each(*(name for name in LOOKS if name not in REFUSED)),
    by=among("itself", "the base", "another view", "a view of it"),
)
def test_a_view_passes_back_through_what_was_written_after_it_was_taken(twin, look, by):
    (x, array), (view, rule) = twin, LOOKS[look]
    y = (x * 2).contiguous()
    seen, other, looked = view(y), y.view(-1), rule(places(array))
    assert seen.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()
    before = seen.grad_fn
    {"itself": seen, "the base": y, "another view": other, "a view of it": other[None]}[by].mul_(3)

    times = np.where(np.isin(places(array), looked) | (by != "itself"), 6, 2)
    agree(seen, rule(array * times))
    agree(y, array * times)
    assert seen.grad_fn is not before
    (weights, factors), (others, beside) = weights_for(seen), weights_for(y, seed=1)
    torch.autograd.backward([seen, y], [weights, others])
    back = np.bincount(looked.ravel(), factors.ravel(), array.size).reshape(array.shape)
    agree(grad_of(x), times * (back + beside))


EVERYWHERE = {  # writes to all elements, or to the first row
    "mul_": lambda y: y.mul_(3),
    "add_": lambda y: y.add_(1),
    "copy_": lambda y: y.copy_(torch.ones(y.shape)),
    "[...] =": lambda y: y.__setitem__(..., torch.ones(y.shape)),
    "exp_": lambda y: y.exp_(),
    "clamp_": lambda y: y.clamp_(0, 1),
    "pow_": lambda y: y.pow_(2),
    "relu_": lambda y: y.relu_(),
    "uniform_": lambda y: y.uniform_(),
    "normal_": lambda y: y.normal_(),
    "lerp_": lambda y: y.lerp_(torch.ones(y.shape).to(y), 0.5),
    "addcmul_": lambda y: y.addcmul_(torch.ones(y.shape).to(y), torch.ones(y.shape).to(y)),
    "cumsum_": lambda y: y.cumsum_(0),
    "masked_scatter_": lambda y: y.masked_scatter_(y > 0, torch.ones(y.shape).to(y)),
    "index_add_": lambda y: y.index_add_(0, torch.tensor([0]).to(y.device), torch.ones(y[:1].shape).to(y)),
    "index_copy_": lambda y: y.index_copy_(0, torch.tensor([0]).to(y.device), torch.ones(y[:1].shape).to(y)),
    "scatter_": lambda y: y.scatter_(0, torch.zeros(y[:1].shape).long().to(y.device), 5.0),
    "scatter_add_": lambda y: y.scatter_add_(
        0, torch.zeros(y[:1].shape).long().to(y.device), torch.ones(y[:1].shape).to(y)
    ),
    **({"foreach": lambda y: torch._foreach_mul_([y], 3)} if RELEASE >= (2, 2) else {}),  # 2.0 does not refuse it
}


@claim("requires-grad-tracks-operations", truth=True)
@over(twin=LEAVES, look=each(*REFUSED), write=among(*EVERYWHERE))
def test_a_write_to_one_of_several_views_or_to_what_is_repeated_is_refused(twin, look, write):
    (x, _), (view, _) = twin, (LOOKS | PARTED)[look]
    seen = view((x * 2).contiguous())
    one = seen[-1] if look in PARTED else seen
    for written in (one, one[None], one.view_as(one), *([one[..., :1]] if look in PARTED and one.dim() else [])):
        with pytest.raises(RuntimeError, match="single memory location|is being modified inplace"):
            EVERYWHERE[write if written.dim() else "mul_"](written)


@claim("requires-grad-tracks-operations", "parameters-carry-data-and-grad", "backward-fills-grad")
@over(
    shape=among((3,), (1, 3), (1, 1, 3), (1,), (1, 1), ()),
    place=each(1, (1,), (1, ...), (slice(1, 2), slice(None)), ([1],)),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_what_is_written_into_a_row_gets_a_gradient_of_its_own_shape_whatever_is_repeated_or_left_out(
    shape, place, dtype
):
    p = torch.full(shape, 2.0, dtype=dtype, requires_grad=True)
    y = torch.zeros(2, 3, dtype=dtype)
    y[place] = p
    (y * torch.arange(6, dtype=dtype).view(2, 3)).sum().backward()

    agree(y, np.array([[0, 0, 0], [2, 2, 2]]))
    assert p.grad.shape == shape
    agree(p.grad, np.reshape([3, 4, 5] if 3 in shape else [12], shape))


OF_PENDING = {  # what looks at elements, or at parts of them, or adds them up, and a product
    "sum_to_size": lambda z: z.sum_to_size([1, 3]),
    "sum_to_size of a tuple": lambda z: z.sum_to_size((2, 1)),
    "sum": lambda z: z.sum(0),
    "mean": lambda z: z.mean(),
    "cumsum": lambda z: z.cumsum(1),
    "flip": lambda z: z.flip(0),
    "view": lambda z: z.view(1, 2, 3),
    "t": lambda z: z.t(),
    "expand": lambda z: z.expand(2, 2, 3),
    "roll": lambda z: z.roll(1),
    "[rows]": lambda z: z[[1, 0, 1]],
    "[part]": lambda z: z[:, 1:],
    "cat": lambda z: torch.cat([z, 2 * z]),
    "clone": lambda z: z.clone(),
    "resolved": lambda z: z.resolve_conj().resolve_neg(),
    "product": lambda z: z @ z.t(),
    "reshape": lambda z: z.t().reshape(6),
    "gather": lambda z: z.gather(1, torch.tensor([[0, 2], [1, 1]]).to(z.device)),
    **{name: lambda z, name=name: getattr(z, name) for name in ("real", "imag", "H")},
    "abs": lambda z: z.abs(),
    "angle": lambda z: z.angle(),
    "view_as_real": lambda z: torch.view_as_real(z * 1),
}


@claim("requires-grad-tracks-operations", "backward-fills-grad")
@over(
    name=each(*OF_PENDING),
    read=each((torch.conj, torch.conj_physical), (torch._neg_view, torch.neg)),
    kind=among(*LAYERED),
)
def test_what_is_conjugated_or_negated_only_when_it_is_read_passes_back_as_if_it_had_been_before(name, read, kind):
    (dtype, layout), results, slopes = kind, [], []
    for way in read:
        x, _ = Twin(dtype, (2, 3), layout, grad=True)
        result = OF_PENDING[name](way(x))
        weights, _ = weights_for(result)
        result.backward(weights)
        results.append(result), slopes.append(x.grad)
    for found, expected in (results, slopes):
        agree(found, host(expected), 4, np.abs(host(expected)).max(initial=0))
