"""2.2 Objects, elements and assignment: every dtype, shape, layout and device."""

import math
import operator
from itertools import product

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, WHOLE, WRITABLE, Twin, agree, among, each, over, twins, untouched
from populations.arrays import OTHER, UNSIGNED
from populations.comparing import accepted
from populations.layouts import finer
from populations.looks import AS_BEFORE, AS_BEFORE_ALONG
from populations.twins import LEAVES, NUMPY, corner, pending
from torch import nn

claim = pytest.mark.claim


@claim("view-is-a-new-tensor-object")
@claim("view-is-a-new-tensor-object", truth=True)
@over(EVERY_MODE, twin=twins(ANY, grad=(False, True)), of=among("tensor", "parameter"))
def test_every_call_of_view_makes_another_object_even_in_the_same_shape(twin, of):
    """But before torch 2.6 that in the dtype that it has, of a tensor made in inference mode."""
    tensor, array = twin
    source = nn.Parameter(tensor, requires_grad=tensor.requires_grad) if of == "parameter" else tensor
    flat = [source.view(-1)] if source.is_contiguous() and array.size else [source.view(array.shape)]
    looks = (*AS_BEFORE, *(AS_BEFORE_ALONG if array.ndim else ()))
    views = [source.view(array.shape), source.view(finer(array.shape)), *flat, *(look(source) for look in looks)]

    assert len({id(each) for each in (source, *views)}) == len(views) + 1
    again = source.view(source.dtype) is source, source.view(dtype=source.dtype) is source
    assert again == (torch.is_inference_mode_enabled() and torch.__version__ < (2, 6),) * 2
    agree(source, array)


@claim("view-is-a-new-tensor-object")
@over(EVERY_MODE, twin=twins(ANY, ("contiguous", "offset"), ranks=(1, 5)))
def test_shape_strides_and_flags_are_the_views_own(twin):
    tensor, array = twin
    before = (tensor.shape, tensor.stride(), tensor.requires_grad)
    view = tensor.view(1, array.size)

    view.t_()
    view.requires_grad_(view.is_floating_point())
    view.label = "a view"
    assert (tuple(view.shape), view.requires_grad) == ((array.size, 1), tensor.is_floating_point())
    assert (tensor.shape, tensor.stride(), tensor.requires_grad) == before
    assert not hasattr(tensor, "label")


@claim("view-is-a-new-tensor-object", truth=True)
@over(EVERY_MODE, twin=twins(ANY))
def test_the_first_element_of_a_view_has_the_address_of_its_source_s_and_that_of_a_slice_follows(twin):
    tensor, array = twin
    assert tensor.view(*array.shape, 1).data_ptr() == tensor.data_ptr()
    for dimension, size in enumerate(array.shape):
        if array.size and size > 1:
            rest = tensor.narrow(dimension, 1, size - 1)
            assert rest.data_ptr() == tensor.data_ptr() + tensor.stride(dimension) * tensor.element_size()


NUMBERS = among(
    *((value, dtype) for dtype in (torch.float64, torch.float32) for value in (0.5, 3.0, -0.0, math.inf, -math.inf)),
    *((value, dtype) for dtype in (torch.float16, torch.bfloat16) for value in (0.625, -2.0, -0.0, math.nan, 2.0**-20)),
    (13421773 / 2**27, torch.float32),  # the nearest to 0.1
    *((value, torch.float64) for value in (0.1, 1e6 + 0.1, 1e300, math.nan)),
    *((value, torch.int64) for value in (7, -(2**63), 2**63 - 1, 2**53 + 1)),
    *((2 ** (8 * width) - 1, getattr(torch, name)) for width, name in zip((1, 2, 4, 8), UNSIGNED)),
    *((2**31 - 1, torch.int32), (-300, torch.int16), (-7, torch.int8), (200, torch.uint8)),
    *((True, torch.bool), (False, torch.bool), (1 - 2j, torch.complex64), (3 + 0j, torch.complex128)),
)
NO_OPPOSITES = (torch.bool, *(getattr(torch, name) for name in UNSIGNED[1:]))


@claim("item-gives-a-python-number")
@over(EVERY_MODE, dtype=among(*(dtype for dtype in ANY if dtype != torch.bool)), times=among(1, 3))
def test_item_gives_the_same_number_however_often_it_is_asked_after_a_sum_in_place(dtype, times):
    total, one = torch.tensor(5, dtype=dtype), torch.tensor(2, dtype=dtype)
    for turn in range(1, times + 1):
        total += one
        assert [total.item() for _ in range(3)] == [5 + 2 * turn] * 3


@claim("item-gives-a-python-number")
@over(
    EVERY_MODE,
    number=NUMBERS,
    dimensions=among(0, 1, 4, 5),
    of=each("tensor", "parameter", "element", "result", "pending"),
)
def test_item_gives_every_number_back_in_the_type_of_its_dtype(number, dimensions, of):
    value, dtype = number
    one = torch.tensor(value, dtype=dtype, device="cpu").view([1] * dimensions).to(torch.empty(0).device)
    tracked = one.clone().requires_grad_(one.is_floating_point() or one.is_complex())
    result = tracked.clone()
    before = (result.requires_grad, result.grad_fn)
    ways = {
        "tensor": lambda: one.item(),
        "parameter": lambda: nn.Parameter(one, requires_grad=tracked.requires_grad).item(),
        "element": lambda: torch.stack([torch.zeros_like(one), one])[1].item(),
        "result": lambda: result.item(),
        "pending": lambda: (one if dtype in NO_OPPOSITES else pending(one)).item(),
    }
    item = accepted(ways[of])
    assert (type(item), repr(item)) == (type(value), repr(value))
    assert (result.requires_grad, result.grad_fn) == before  # the record goes on


@claim("item-gives-a-python-number")
@over(EVERY_MODE, twin=twins(ANY))
def test_item_reads_the_element_that_a_tensor_of_any_layout_shows(twin):
    tensor, array = twin
    places = [tuple(place) for place in np.argwhere(np.ones_like(array, bool))[-3:]]

    assert [tensor[place].item() for place in places] == [array[place].item() for place in places]
    for lone in (lambda x: x[None], lambda x: x.as_strided((1, 1), (0, 0))):  # of one element, however it is read
        assert [lone(tensor[place]).item() for place in places] == [array[place].item() for place in places]
    cuts = [(*place[:-1], slice(place[-1], place[-1] + 1)) for place in ((0, *place) for place in places)]
    assert [tensor[None][cut].item() for cut in cuts] == [array[place].item() for place in places]


@claim("item-gives-a-python-number")
@over(EVERY_MODE, twin=twins(ANY, shapes=((0,), (2,), (1, 2), (3, 4), (2, 0))))
def test_item_refuses_any_other_number_of_elements(twin):
    tensor, _ = twin
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        tensor.item()


BITS = (*WHOLE, torch.int16, torch.int8, torch.bool)
AUGMENTED = {  # the operator, in place, and the dtypes for which it is exact
    "+": (operator.add, operator.iadd, (*FLOATS, *WHOLE, torch.complex64)),
    "-": (operator.sub, operator.isub, (*FLOATS, *WHOLE, torch.complex64)),
    "*": (operator.mul, operator.imul, (*FLOATS, *WHOLE, torch.complex64)),
    "**": (operator.pow, operator.ipow, (*FLOATS, *WHOLE)),
    "/": (operator.truediv, operator.itruediv, (*FLOATS, torch.complex64)),
    "//": (operator.floordiv, operator.ifloordiv, (*FLOATS, *WHOLE)),
    "%": (operator.mod, operator.imod, (*FLOATS, *WHOLE)),
    "&": (operator.and_, operator.iand, BITS),
    "|": (operator.or_, operator.ior, BITS),
    "^": (operator.xor, operator.ixor, BITS),
    "<<": (operator.lshift, operator.ilshift, WHOLE),
    ">>": (operator.rshift, operator.irshift, WHOLE),
}
ARITHMETIC = ("+", "-", "*", "**", "/")
BY = (
    *("a number", "a neutral number", "a tensor", "a tracked one", "a pending one", "of another dtype", "itself"),
    *("a truth value", "the same object"),
)
SEVEN_OVER = Twin(torch.float32, (3, 5), "offset")  # beside the full vectors of eight
SCALARS = [Twin(dtype, (), kind=kind) for dtype in WHOLE for kind in ("tensor", "view")]
NO_DIMENSIONS = (Twin(torch.float32, (), "offset", seed=1), Twin(torch.float32, (), kind="parameter", seed=2))
NEUTRAL = {"+": 0, "-": 0, "|": 0, "^": 0, "<<": 0, ">>": 0, "*": 1, "**": 1, "/": 1, "//": 1}  # what changes nothing


@claim("augmented-assignment-writes-through")
@over(
    EVERY_MODE,
    # each meets several sizes, in layouts that lie between and around foreign numbers or by columns
    trial=among(
        *((sign, dtype, by) for sign, (*_, dtypes) in AUGMENTED.items() for dtype in dtypes for by in BY)
    ).rarely(
        *product("+-*", (torch.int16, torch.int8, torch.complex128), BY[:3]),
        *product("+-*", (torch.float32, torch.float64, torch.int64), ("a number of NumPy",)),
    ),
    twin=twins((torch.float32,), ("gappy", "transposed", "offset"), ranks=(2, 5), values="small").also(
        SEVEN_OVER, *NO_DIMENSIONS
    ),
)
def test_augmented_operators_write_through_and_plain_ones_make_a_new_tensor(trial, twin):
    (sign, dtype, by), (plain, augmented, _) = trial, AUGMENTED[trial[0]]
    tensor, array = twin.but(dtype=dtype)
    view = tensor.view(finer(array.shape))
    positive = ("**", "/", "//", "%", "<<", ">>")  # not by 0, nor to a negative power
    by = "a tensor" if by in ("itself", "the same object") and sign in positive else by
    by = "a number" if (by, sign) == ("a truth value", "-") else by  # which torch does not subtract
    twos = np.arange(array.size).reshape(array.shape) % 2 + 1  # and ones, by which quotients and powers are exact
    alike, neutral = torch.tensor(twos.reshape(view.shape)).to(view), NEUTRAL.get(sign, 2)
    other = OTHER.get(dtype, torch.float32)
    operand, numbers = {
        "a number": lambda: (True if dtype == torch.bool else 2, 2),
        "a truth value": lambda: (True, 1),
        "a number of NumPy": lambda: (array.dtype.type(2), 2),
        "a neutral number": lambda: (bool(neutral) if dtype == torch.bool else neutral, neutral),
        "a tensor": lambda: (alike, twos),
        "a tracked one": lambda: (alike.requires_grad_(dtype not in BITS), twos),
        "a pending one": lambda: (pending(alike), twos),
        "of another dtype": lambda: (corner(alike.to(other)), twos),
        "itself": lambda: (view.view(view.shape), array),
        "the same object": lambda: (view, array),
    }[by]()
    expected = plain(array, np.asarray(numbers).astype(array.dtype))

    made = plain(view, operand)
    wide = NUMPY[made.dtype]
    agree(made.reshape(array.shape), plain(array.astype(wide), np.asarray(numbers).astype(wide)))
    made.zero_()
    agree(tensor, array)
    assert augmented(view, operand) is view
    agree(tensor, expected)
    untouched(tensor)


@claim("augmented-assignment-writes-through")
@over(EVERY_MODE, twin=twins((*FLOATS, torch.int64, torch.complex64), WRITABLE, values="small"), sign=among("+", "*"))
def test_through_a_conjugated_or_negated_view_the_memory_gets_what_the_view_then_shows(twin, sign):
    (tensor, array), (plain, augmented, _) = twin, AUGMENTED[sign]
    view, read = (tensor.conj(), np.conj) if tensor.is_complex() else (torch._neg_view(tensor), np.negative)

    assert augmented(view, 3) is view
    agree(tensor, read(plain(read(array), np.asarray(3, array.dtype))))
    untouched(tensor)


@claim("augmented-assignment-writes-through", truth=True)
@claim("no-grad-stops-tracking")
@over(twin=twins((*FLOATS, *WHOLE, torch.bool), WRITABLE, grad=(True,)).also(*SCALARS), sign=each(*ARITHMETIC))
def test_in_place_neither_dtype_nor_leaf_changes(twin, sign):
    tensor, array = twin
    sign = "+" if (twin.dtype, sign) == (torch.bool, "-") else sign  # nothing subtracts truth values
    for written in (tensor, tensor.view(finer(array.shape))):
        for half in (0.5, torch.tensor(0.5), torch.full(written.shape, 0.5)):
            with pytest.raises(RuntimeError):  # a leaf that requires grad, or whole numbers that would need fractions
                AUGMENTED[sign][1](written, half)
    agree(tensor, array)


@pytest.mark.cpu
@claim("augmented-assignment-writes-through", truth=True)
@over(twin=twins((torch.float32, torch.float64), WRITABLE, ranks=(1, 5)), sign=among("+", "-", "*"))
def test_with_an_array_on_the_right_the_result_is_a_new_tensor(twin, sign):
    (tensor, array), (plain, augmented, _) = twin, AUGMENTED[sign]
    result = augmented(tensor, array)

    assert (type(result), result is tensor) == (torch.Tensor, False)
    agree(result, plain(array, array))
    agree(tensor, array)


OVERLAPPING = {
    "repeated": lambda x: (x[:1].expand(3, 3), 2),
    "a column of it": lambda x: (x[:, :1].expand(3, 3), 3),
    "inference": lambda x: (torch.inference_mode()(x.clone)(), 2),
    "transposed": lambda x: (x, x.t()),
    "a row of it": lambda x: (x, x[0]),
    "shifted": lambda x: (x.view(-1)[1:], x.view(-1)[:-1]),
}
INTO = {
    **{sign: augmented for sign, (_, augmented, _) in AUGMENTED.items() if sign[0] not in "&|^<>"},
    "add_": lambda z, other: z.add_(other),
    "cos_": lambda z, other: z.cos_() if isinstance(other, int) else torch.cos(other, out=z),
    "copy_": lambda z, other: z.copy_(torch.ones_like(z) if isinstance(other, int) else other),
}


@pytest.mark.cpu
@claim("augmented-assignment-writes-through", truth=True)
@over(size=among(2, 3, 4), dtype=among(*WHOLE, *FLOATS))
def test_rows_that_are_cut_are_added_in_place_to_their_transpose_and_to_their_column_without_an_error(size, dtype):
    """Row by row, so that below the diagonal what has already changed is added."""
    z = torch.arange(25, dtype=dtype).view(5, 5)[:size, :size]
    before = z.double().numpy().copy()
    above = np.triu(before + before.T)

    z += z.t()
    agree(z, above + np.tril(before + above.T, -1))
    column = z[:, :1].double().numpy().copy()
    z += z[:, :1]
    agree(z[:, :1], 2 * column)  # and the others' numbers depend on the processor


@pytest.mark.cpu
@claim("augmented-assignment-writes-through", truth=True)
@over(overlap=each(*OVERLAPPING), into=among(*INTO), dtype=among("float32", "float64"))
def test_what_one_memory_holds_twice_or_inference_mode_made_is_not_written_in_place(overlap, into, dtype):
    x = torch.arange(1, 10, dtype=getattr(torch, dtype)).view(3, 3)
    z, other = OVERLAPPING[overlap](x)
    with pytest.raises(RuntimeError, match="single memory location|outside InferenceMode"):
        INTO[into](z, other)
    agree(x, np.arange(1, 10).reshape(3, 3))


@claim("augmented-assignment-writes-through", truth=True)
@claim("no-grad-stops-tracking")
@over(twin=twins(FLOATS, WRITABLE, grad=(True,), kinds=LEAVES, values="small"), sign=among(*ARITHMETIC))
def test_a_leaf_is_written_under_no_grad_and_stays_one(twin, sign):
    (leaf, array), (plain, augmented, _) = twin, AUGMENTED[sign]
    view, result = leaf.view(finer(array.shape)), leaf.clone()
    assert augmented(result, 2) is result
    assert result.grad_fn.name() == plain(leaf, 2).grad_fn.name()
    with torch.no_grad():
        augmented(leaf, 2)
        for method in (leaf.add_, leaf.sub_):
            method(leaf, alpha=0)  # nothing
    agree(view.reshape(array.shape), plain(array, np.array(2, array.dtype)))
    assert (leaf.is_leaf, leaf.requires_grad, leaf.grad_fn) == (True, True, None)
