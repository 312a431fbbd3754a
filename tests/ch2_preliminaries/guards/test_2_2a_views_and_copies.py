"""2.2 Views and copies: what shares memory and what does not, for every dtype, shape, layout and device."""

import math

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over, twins, untouched
from populations.comparing import host
from populations.layouts import REPEATED, finer
from populations.operations import FUNCTION
from populations.outputs import INTO
from populations.relaid import Into
from populations.twins import NUMPY, SHAPES, corner

claim = pytest.mark.claim
NONE_EMPTY = ((2, 3), (3, 2, 2), (2, 3, 4, 5), (60, 50))  # every size above 1, so that a transposition moves elements


def shared(one, other):
    """Whether both tensors lie on one storage and begin at the same place of it."""
    storages = {one.untyped_storage().data_ptr(), other.untyped_storage().data_ptr()}
    return len(storages) == 1 and one.storage_offset() == other.storage_offset()


def guessed(shape):
    """The shape with -1 for its last size above one, which torch finds by itself where no other is 0."""
    place = max((index for index, size in enumerate(shape) if size > 1), default=None)
    return shape if place is None or 0 in shape else (*shape[:place], -1, *shape[place + 1 :])


def one_after_another(x):
    """Give rows the numbers 0, 1, 0, ... by index, and then all elements a 1, if each row has kept its number."""
    rows = range(min(len(x), 9) if x.dim() else 0)
    for row in rows:
        x[row - len(x) if row % 2 else row] = row % 2
    return x.fill_(all(bool((x[row] == row % 2).all()) for row in rows))


WRITES = {
    "elements": one_after_another,
    "fill_": lambda x: x.fill_(1),
    "mul_": lambda x: x.mul_(x != x).logical_not_(),
    "augmented": lambda x: x.__imul__(x != x).logical_not_(),
    "assignment": lambda x: x.__setitem__(..., 1),
    "assignment with leading ones": lambda x: x.__setitem__(..., torch.ones(1, 1, *x.shape)),
    "mask": lambda x: x.__setitem__(x == x, 1),
    "masked_fill_": lambda x: x.masked_fill_(x == x, 1),
    "copy_": lambda x: x.copy_(torch.ones(x.shape)),
    "out": lambda x: torch.logical_not(torch.zeros_like(x), out=x),
    "a view of it": lambda x: x.view(*x.shape, 1).transpose(0, -1).fill_(1),
    "zero_": lambda x: x.zero_().logical_not_(),
}


@claim("view-shares-data")
@over(
    twin=twins(ANY, WRITABLE, grad=(False, True)),
    ways=each(*zip([*WRITES][::2], [*WRITES][1::2])),
    turned=among(False, True),
    # a part begins at another place of the memory than what it is cut from
    cut=among(slice(None), slice(1, None), slice(3, -1), slice(None, None, 2)),
)
@torch.no_grad()
def test_every_way_of_writing_to_a_view_reaches_just_what_it_views_and_a_write_there_reaches_the_view(
    twin, ways, turned, cut
):
    (tensor, array), (one, other) = twin, ways[::-1] if turned else ways
    part, cut = (tensor[cut], cut) if twin.shape else (tensor, ...)
    view = part.view(finer(part.shape))

    agree(view, array[cut].reshape(view.shape))
    WRITES[one](view)
    array[cut] = 1
    agree(tensor, array)
    part.zero_()
    WRITES[other](part)
    agree(view, np.ones(view.shape))
    agree(tensor, array)
    untouched(tensor)


@claim("view-shares-data")
@over(
    EVERY_MODE,
    twin=twins((torch.float32, torch.float64, torch.int16, torch.complex64), WRITABLE, values=("fractions",)),
    other=among(torch.uint8, torch.int16, torch.int32, torch.int64),
)
def test_a_view_as_another_dtype_shows_the_same_bits_and_writes_them(twin, other):
    """Of the same width whatever the layout; of another, where the last dimension has no gaps."""
    dense = (
        math.prod(twin.shape[-1:]) % 4 == 0 and 0 not in (*twin.shape, len(twin.shape)) and twin.layout == "contiguous"
    )
    widths = {np.dtype(NUMPY[dtype]).itemsize for dtype in (twin.dtype, other)}
    tensor, array = twin.but(shape=twin.shape if dense or len(widths) == 1 else (3, 8, 4))
    tensor = tensor if tensor.shape == twin.shape else torch.stack([tensor] * 2)[twin.seed % 2]

    for view in (tensor.view(other), tensor.view(dtype=other)):
        agree(view, array.view(NUMPY[other]))
    view.zero_()
    agree(tensor, np.zeros_like(array))


@claim("view-shares-data", truth=True)
@over(EVERY_MODE, twin=twins((torch.float32, torch.int64, torch.bool), ("contiguous", "offset", "gappy"), NONE_EMPTY))
def test_view_refuses_to_read_on_across_dimensions_that_do_not_follow_each_other_in_memory(twin):
    tensor, _ = twin

    with pytest.raises(RuntimeError, match="view size is not compatible"):
        tensor.transpose(0, -1).view(-1)
    for shape in [(tensor.numel() + 1,), (2, tensor.numel()), (0,), (7, -1)]:
        with pytest.raises(RuntimeError, match="is invalid for input of size"):
            tensor.view(shape)
    with pytest.raises(RuntimeError, match="conjugate"):  # the numbers of which lie nowhere
        tensor.cfloat().conj().view(torch.float32)


RESHAPED = {
    "view": lambda x, shape: x.view(shape),
    "view by keyword": lambda x, shape: x.view(size=shape),
    "view of sizes": lambda x, shape: x.view(*shape or [()]),
    "view with an open size": lambda x, shape: x.view(*guessed(shape) or [()]),
    "view_as": lambda x, shape: x.view_as(torch.empty(shape)),
    "reshape": lambda x, shape: x.reshape(shape),
    "reshape of sizes": lambda x, shape: x.reshape(*shape or [()]),
    "reshape with an open size": lambda x, shape: x.reshape(guessed(shape)),
    "reshape by keyword": lambda x, shape: x.reshape(shape=shape),
    "torch.reshape": lambda x, shape: torch.reshape(x, shape),
    "reshape_as": lambda x, shape: x.reshape_as(torch.empty(shape)),
}
SOURCES = {"leaf": lambda x: x, "result": lambda x: x[...], "data": lambda x: x.data}
# what lies in memory is not the number, but becomes it when it is read
SOURCES["conjugate"] = lambda x: x.conj()[None][0]  # pending through views
SOURCES["negated"] = lambda x: x if x.dtype == torch.bool else torch._neg_view(x)[None][0]
VOLUMES = [Twin(torch.float32, (2, 3, 2, 4, 3), "channels last", seed=seed) for seed in range(4)]
READ = {"conjugate": np.conj, "negated": lambda array: array if array.dtype == bool else -array}


@claim("view-shares-data", "reshape-does-not-guarantee-a-copy")
@over(EVERY_MODE, twin=twins(ANY, grad=(False, True)).rarely(*VOLUMES), how=among(*RESHAPED), of=among(*SOURCES))
def test_view_and_reshape_read_in_row_order_and_share_in_every_shape_that_strides_allow(twin, how, of):
    tensor, array = twin
    source = SOURCES[of](tensor)
    array = READ.get(of, np.asarray)(array)

    always = [array.shape, tuple(finer(array.shape)), (1, *array.shape, 1)]
    dense = [(array.size,), array.shape[::-1], (array.size, 1)]
    chain = source
    for shape in always + dense * (twin.layout in ("contiguous", "offset")):
        chain = RESHAPED[how](chain, shape)  # a view of a view of a view
        for view in (RESHAPED[how](source, shape), chain):
            agree(view, array.reshape(shape))
            assert shared(view, tensor)
    repeated = RESHAPED[how](source.expand(6, *array.shape), (2, 3, *array.shape))
    agree(repeated, np.broadcast_to(array, repeated.shape))
    assert shared(repeated, tensor)


@claim("reshape-does-not-guarantee-a-copy")
@over(
    EVERY_MODE,
    twin=twins(ANY, shapes=NONE_EMPTY, grad=(False, True)),
    how=among(*(how for how in RESHAPED if "reshape" in how)),
)
def test_reshape_copies_in_row_order_where_strides_do_not_allow(twin, how):
    (tensor, array), rows = twin, twin.layout in ("contiguous", "offset", "gappy")
    source, values = (tensor.mT, array.swapaxes(-1, -2)) if rows else (tensor, array)
    flat = RESHAPED[how](source, (array.size,))

    agree(flat, values.reshape(-1))
    flat.detach().zero_()
    agree(tensor, array)


# Ways to another tensor in the memory of one of several rows and columns, and where NumPy finds its elements.
VIEWED = {
    "x[1:]": (lambda x: x[1:], lambda a: a[1:]),
    "x[..., 0]": (lambda x: x[..., 0], lambda a: a[..., 0]),
    "x[None]": (lambda x: x[None], lambda a: a[None]),
    "x[::2]": (lambda x: x[::2], lambda a: a[::2]),
    "T": (lambda x: x.mT, lambda a: a.swapaxes(-1, -2)),
    "transpose": (lambda x: torch.transpose(x, 0, 1), lambda a: a.swapaxes(0, 1)),
    "permute": (lambda x: x.permute(-1, *range(x.dim() - 1)), lambda a: np.moveaxis(a, -1, 0)),
    "movedim": (lambda x: x.movedim(0, -1), lambda a: np.moveaxis(a, 0, -1)),
    "split": (lambda x: torch.split(x, 1)[1], lambda a: a[1:2]),
    "x.split()": (lambda x: x.split([1, len(x) - 1])[1], lambda a: a[1:]),
    "chunk": (lambda x: x.chunk(2, -1)[0], lambda a: a[..., : (a.shape[-1] + 1) // 2]),
    "tensor_split": (lambda x: x.tensor_split([1], 1)[1], lambda a: a[:, 1:]),
    "vsplit": (lambda x: x.vsplit([1])[1], lambda a: a[1:]),
    "unbind": (lambda x: torch.unbind(x, 1)[1], lambda a: a[:, 1]),
    "rows in turn": (lambda x: [*x][-1], lambda a: a[-1]),
    "narrow": (lambda x: x.narrow(1, 1, 1), lambda a: a[:, 1:2]),
    "select": (lambda x: x.select(-1, 1), lambda a: a[..., 1]),
    "diagonal": (lambda x: x.diagonal(0), lambda a: a.diagonal()),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    "squeeze": (lambda x: x[:, None].squeeze(1), lambda a: a),
    "unfold": (lambda x: x.unfold(0, 2, 2), lambda a: np.stack([a[: len(a) // 2 * 2][n::2] for n in (0, 1)], -1)),
    "unflatten": (lambda x: x.unflatten(0, (1, -1)), lambda a: a[None]),
    "detach": (lambda x: x.detach(), lambda a: a),
    "data": (lambda x: x.data, lambda a: a),
}


@claim("augmented-assignment-writes-through")
@over(
    EVERY_MODE,
    way=each(*VIEWED),
    twin=twins(
        (torch.float32, torch.int64, torch.bfloat16),
        WRITABLE,
        ((2, 3), (3, 2, 4), (2, 3, 4, 5), (60, 50)),
        values="small",
    ),
)
def test_whichever_way_a_tensor_came_to_share_memory_an_assignment_to_one_shows_in_the_other(way, twin):
    (tensor, array), (cut, found) = twin, VIEWED[way]
    part, again, places = cut(tensor), cut(tensor), found(np.arange(array.size).reshape(array.shape))

    agree(part, array.flat[places])
    part += 1
    array.flat[places.ravel()] += 1
    agree(tensor, array)
    agree(again, array.flat[places])
    untouched(tensor)
    tensor *= 2
    agree(part, array.flat[places] * 2)


CLONES = {
    "method": lambda x: x.clone(),
    "function": lambda x: torch.clone(x),
    "by name": lambda x: torch.clone(input=x),
    "preserved": lambda x: x.clone(memory_format=torch.preserve_format),
    "dense": lambda x: torch.clone(x, memory_format=torch.contiguous_format),
}


@claim("clone-then-view-is-independent")
@over(
    EVERY_MODE,
    twin=twins(ANY, ("contiguous", "offset", "gappy"), grad=(False, True)),
    spelled=among(*CLONES),
    of=among(*SOURCES),
    grad=among(False, True),
)
def test_no_write_to_a_copy_in_any_shape_reaches_its_source_nor_the_other_way_round(twin, spelled, of, grad):
    tensor, array = twin
    with torch.set_grad_enabled(grad):
        copy = CLONES[spelled](SOURCES[of](tensor)).detach()

    agree(copy, READ.get(of, np.asarray)(array))
    assert (copy.dtype, copy.device, copy.is_contiguous()) == (tensor.dtype, tensor.device, True)
    copy.view(array.shape[::-1]).fill_(1)
    agree(tensor, array)
    agree(CLONES[spelled](SOURCES[of](tensor)), READ.get(of, np.asarray)(array))  # another one
    tensor.detach().zero_()
    agree(copy, np.ones_like(array))


@claim("clone-then-view-is-independent", truth=True)
@over(EVERY_MODE, twin=twins(ANY, ("transposed", "channels last"), ((2, 3), (2, 3, 4), (2, 3, 4, 5), (60, 50))))
def test_a_copy_of_permuted_dimensions_keeps_their_strides_so_that_view_refuses_it(twin):
    tensor, array = twin
    copy = tensor.clone()

    agree(copy, array)
    assert copy.stride() == tensor.stride()
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        copy.view(-1)


@claim("clone-then-view-is-independent", truth=True)
@over(EVERY_MODE, twin=twins(ANY, shapes=dict.fromkeys((*SHAPES, *NONE_EMPTY, (1,), (1, 1)))))
def test_a_copy_in_row_order_is_viewed_in_every_shape(twin):
    tensor, array = twin
    copy = tensor.clone(memory_format=torch.contiguous_format)
    copies = [copy, *[tensor.clone()] * (twin.layout in REPEATED)]  # what repeats leaves its strides behind

    for source in (tensor, tensor.conj(), part := corner(tensor)):
        assert (source.contiguous() is source) == source.is_contiguous()
    copies_of_part = part.contiguous(), part.clone(), part.clone(memory_format=torch.contiguous_format)
    for dense in (*copies, tensor.contiguous(), *copies_of_part):
        assert dense.is_contiguous()
        for shape in [(array.size,), array.shape[::-1], (1, *array.shape), (array.size, 1), array.shape]:
            agree(dense.view(shape), array.reshape(shape))
    assert not array.size or not any(shared(copy, tensor) for copy in copies)


@claim("view-shares-data")
@over(EVERY_MODE, name=among(*INTO), size=each(3, 17), layout=each(*WRITABLE), dtype=among(*SINGLE_AND_DOUBLE))
def test_what_is_computed_into_a_view_lies_in_its_source_where_the_view_does_and_nowhere_else(
    name, size, layout, dtype
):
    x, _ = Twin(dtype, (size, size), second=size == 17)
    with Into(layout) as into:
        result = INTO[name](x)

    agree(result, host(INTO[name](x)), FUNCTION)  # in another order in memory another kernel may compute
    assert any(part is result for part in into.parts)
    untouched(result)
