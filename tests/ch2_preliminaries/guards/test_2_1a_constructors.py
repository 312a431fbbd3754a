"""2.1 Creating tensors: constructors, for every dtype, any sizes and any spelling."""

import itertools
import math

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, WRITABLE, agree, among, each, over, twins, whole
from populations.arrays import BOTH, REAL, array_of
from populations.comparing import accepted, untouched
from populations.initialisers import RELEASE
from populations.rounding import as_held
from populations.twins import NUMPY, SHAPES, Twin, pending

claim = pytest.mark.claim

KINDS = (torch.float32, torch.float16, torch.int64, torch.uint8, torch.bool)
SHORT = ((0,), (5,), (2, 3), (3, 0, 2), (2, 1, 3, 1, 2), (2, 1025))  # lists are read one by one


def tuples(data):
    return tuple(map(tuples, data)) if isinstance(data, list) else data


def rows(array):
    """Its rows as a list of arrays; of booleans as lists: torch before 2.9 may not read NumPy 2's one by one."""
    return array.tolist() if array.dtype == bool and RELEASE < (2, 9) else list(array)


NESTED = {"lists": lambda array: array.tolist(), "tuples": lambda array: tuples(array.tolist()), "arrays": rows}


def apart(data):
    """Each number in an array of its own."""
    return [*np.array(data)[:, None]]


@claim("tensor-constructor-takes-sizes", truth=True)
@over(twin=twins(FLOATS, ("contiguous",)))
def test_the_class_builds_memory_of_its_own_and_of_the_default_dtype_from_sizes_or_torch_size(twin):
    torch.set_default_dtype(twin.dtype)
    size = torch.Size(twin.shape)
    made = [torch.Tensor(*size or [size]), torch.Tensor(*np.array(size, int) if size else [size]), torch.Tensor(size)]

    for number, x in enumerate(made):
        assert (x.shape, x.dtype, x.is_contiguous()) == (size, twin.dtype, True)
        x.fill_(number)
    for number, x in enumerate(made):
        agree(x, np.full(twin.shape, number))
    assert torch.Tensor().shape == (0,)
    agree(torch.Tensor(range(4)), np.arange(4))


@claim("tensor-constructor-takes-sizes", truth=True)
@pytest.mark.cpu
@over(shape=among(*SHAPES))
def test_the_class_allocates_memory_and_writes_nothing_into_it(shape):
    with torch.autograd.profiler.profile() as profile:
        torch.Tensor(*shape or [3])
        torch.Tensor(torch.Size(shape))
        torch.ones(2)
    names = [event.name() for event in profile.kineto_results.events()]

    assert sum(name == "aten::fill_" for name in names) == 1  # of ones
    assert {name for name in names if name.startswith("aten::")} == {"aten::empty", "aten::ones", "aten::fill_"}


@claim("tensor-constructor-takes-sizes", truth=True)
@over(
    EVERY_MODE,
    twin=twins((*REAL, torch.bool), shapes=SHORT, values=("small", "fractions")),
    form=each(*NESTED, "an array"),
    default=among(*SINGLE_AND_DOUBLE),
)
def test_the_class_takes_any_sequence_for_data_of_the_default_dtype(twin, form, default):
    torch.set_default_dtype(default)
    array = twin.array() / 3 if twin.dtype == torch.float64 else twin.array()
    x = torch.Tensor(array if form == "an array" else NESTED[form](array))

    assert (x.dtype, x.numel()) == (default, array.size)
    agree(x.reshape(array.shape), array.astype(NUMPY[default]))  # lists without elements have no second dimension


@claim("tensor-constructor-takes-sizes", truth=True)
@pytest.mark.cpu
@over(twin=twins((*REAL, torch.bool), WRITABLE, ranks=(1, 5)), default=among(*SINGLE_AND_DOUBLE))
def test_the_class_shares_any_tensor_and_an_array_of_the_default_dtype_and_no_other(twin, default):
    torch.set_default_dtype(default)
    (tensor, _), (array, _) = twin, array_of(twin)
    for x in (torch.Tensor(array), torch.Tensor(tensor[...])):
        x.fill_(1)
        agree(x, np.ones(twin.shape))

    agree(torch.tensor(array), np.ones(twin.shape) if twin.dtype == default else twin.array())
    agree(tensor, np.ones(twin.shape))


@claim("tensor-function-takes-data")
@over(EVERY_MODE, twin=twins(KINDS, shapes=SHORT, values=("small", "fractions")), form=among(*NESTED))
def test_values_and_shape_follow_the_nesting_of_the_data(twin, form):
    x, array = torch.tensor(NESTED[form](twin.array())), twin.array()

    agree(x, array.tolist())
    assert x.requires_grad is False
    agree(torch.tensor(range(array.size)), np.arange(array.size))


@claim("tensor-function-takes-data")
@over(EVERY_MODE, twin=twins(BOTH, grad=(False, True)))
def test_the_values_of_an_array_are_copied_in_its_logical_order_whatever_its_layout(twin):
    array, _ = array_of(twin)
    x = torch.tensor(array, requires_grad=twin.grad and array.dtype.kind in "fc")

    assert x.dtype == twin.dtype
    agree(torch.tensor(array), twin.array())  # without any option
    array[...] = 1
    again, late = torch.tensor(x), torch.tensor(pending(x))
    x.data[...] = 1
    agree(again, twin.array())
    agree(late, twin.array())


@claim("tensor-function-takes-data")
@over(
    number=among(
        *((True, torch.bool), (3, torch.int64), (-1, torch.int64), (2**63 - 1, torch.int64), (2**53 + 1, torch.int64)),
        *((0.5, torch.float32), (-0.0, torch.float32), (math.inf, torch.float32), (math.nan, torch.float32)),
        *((1 - 2j, torch.complex64), (np.float64(0.1), torch.float64), (np.int16(-7), torch.int16)),
    ),
    depth=among(0, 1, 3),
)
def test_a_number_at_any_depth_keeps_its_kind_and_its_value(number, depth):
    value, dtype = number
    data = value
    for _ in range(depth):
        data = [data]

    listed = torch.tensor([torch.tensor(value, dtype=dtype)]).view((1,) * depth)
    beside = torch.tensor([True, value])[1].view((1,) * depth)
    alone = torch.scalar_tensor(value, dtype=dtype).view((1,) * depth)
    for x in (torch.tensor(data), torch.tensor(data, dtype=dtype), listed, beside, alone):
        assert (x.shape, x.dtype) == ((1,) * depth, dtype)
        assert repr(x.item()) == repr(value.item() if isinstance(value, np.generic) else value)


@claim("tensor-function-takes-data")
@over(EVERY_MODE, dtype=among(*(each for each in ANY if each != torch.uint8)), form=among(list, tuple, np.array, apart))
def test_a_dtype_that_is_asked_for_is_made_of_the_numbers_as_numpy_makes_it(dtype, form):
    """Whole numbers are cut from fractions, what is not zero is true, and other digits are rounded to the nearest."""
    data = [1.75, -1.75, 0.25, -100.5, 0.0, 0.1, -1 / 3, 2 / 3, 2.7]

    agree(torch.tensor(form(data), dtype=dtype).flatten(), as_held(np.array(data), dtype))


@claim("tensor-function-takes-data")
@over(EVERY_MODE, dtype=each(*REAL), form=among(list, tuple, np.array))
def test_numbers_from_one_end_of_a_dtype_that_is_asked_for_to_the_other_are_taken_as_numpy_takes_them(dtype, form):
    limits = (torch.finfo if dtype.is_floating_point else torch.iinfo)(dtype)
    data = [limits.min, limits.max, limits.max // 2, 0, 1, limits.max - 1]

    agree(torch.tensor(form(data), dtype=dtype), as_held(np.array(data), dtype))


@claim("tensor-function-takes-data")
@over(cut=among(slice(None), slice(1, None), slice(None, None, 2)))
def test_every_byte_but_zero_of_an_array_of_truth_values_is_true_and_counts_one(cut):
    x = torch.tensor(np.frombuffer(b"\xff\x00\x01\x02\x80", bool)[cut])
    truths = np.array([1, 0, 1, 1, 1])[cut]
    for dtype in (torch.bool, torch.uint8, torch.int64, torch.float32):
        agree(x.to(dtype), truths)
    agree(x.sum(), truths.sum())


@claim("tensor-function-takes-data", truth=True)
@over(default=among(*FLOATS), data=among([0.5], [[0.5, 1]], (1.5, 2.5), 0.5, [], [[]], [0.5, 2**70], (-(10**21), 0.5)))
def test_python_floats_take_the_default_dtype(default, data):
    """And so do whole numbers beside them, of whatever size."""
    torch.set_default_dtype(default)
    x = accepted(torch.tensor, data)

    assert x.dtype == default
    agree(x, as_held(np.array(data, float), default))
    assert torch.tensor(np.array(data, float), device="cpu").dtype == torch.float64  # an array keeps its own


@claim("tensor-function-takes-data")
@over(kinds=among(*(row for count in (2, 3, 4) for row in itertools.permutations((True, 2, -0.5, 1 - 2j), count))))
def test_numbers_of_several_kinds_in_lists_meet_in_the_highest_whichever_comes_first(kinds):
    """Truth values are the lowest, whole numbers come next, then fractions, and complex numbers are the highest."""
    highest = max(map(type, kinds), key=(bool, int, float, complex).index)
    dtype = {int: torch.int64, float: torch.float32, complex: torch.complex64}[highest]
    rows = [[*kinds], [*kinds[::-1]]]
    for data in (*rows, kinds, rows, tuples(rows), [[[number]] for number in kinds]):
        x = torch.tensor(data)
        agree(x, np.array(data))
        assert x.dtype == dtype


REFUSED = among("text", torch.ones(2), torch.ones(2, 3), torch.ones(0), [[1, 2], [3]], [[1], [2, 3]], [(1, 2), ()])


@claim("tensor-function-takes-data", truth=True)
@over(EVERY_MODE, element=REFUSED, depth=whole(1, 3), form=among(list, tuple))
def test_lists_of_texts_of_tensors_or_of_rows_of_different_lengths_are_refused(element, depth, form):
    data = element
    for _ in range(depth):
        data = form([data, data])
    with pytest.raises(ValueError):
        torch.tensor(data)


@claim("tensor-function-takes-data", truth=True)
@over(EVERY_MODE, data=among((2, 3), (1, 1), (5, 2, 3), ([[1, 2], 3],), ([1, [2]],), ([[[1], 2]],)))
def test_neither_sizes_nor_numbers_beside_rows_are_taken(data):
    with pytest.raises(TypeError):
        torch.tensor(*data)


CREATE = {
    "sizes": lambda create, twin: create(*twin.shape or [()], dtype=twin.dtype),
    "sequence": lambda create, twin: create(twin.shape, dtype=twin.dtype),
    "list": lambda create, twin: create(list(twin.shape), dtype=twin.dtype),
    "keyword": lambda create, twin: create(size=twin.shape, dtype=twin.dtype),
    "out": lambda create, twin: create(twin.shape, out=next(iter(twin))),
    "out with gaps": lambda create, twin: create(twin.shape, out=next(iter(twin.but(layout="gappy")))),
    "out that grows": lambda create, twin: create(twin.shape, out=torch.empty(0, dtype=twin.dtype)),
}


@claim("ones-fills-with-one", "zeros-fills-with-zero")
@over(
    EVERY_MODE,
    name=among("ones", "zeros"),
    twin=twins(ANY, WRITABLE).rarely(*(Twin(dtype, (1, 1, 2, 1, 1, 2, 3)) for dtype in FLOATS)),
    spelled=among(*CREATE),
)
def test_every_element_is_the_constant_in_every_call(name, twin, spelled):
    create = getattr(torch, name)
    x, plain = CREATE[spelled](create, twin), create(twin.shape)
    expected = np.full(twin.shape, 1 if name == "ones" else 0)

    for made, dtype in ((x, twin.dtype), (plain, torch.float32)):
        agree(made, expected)
        assert made.dtype == dtype
        untouched(made)
        made.fill_(0 if name == "ones" else 1)
    agree(CREATE[spelled](create, twin), expected)
    agree(create(twin.shape), expected)


@claim("ones-fills-with-one", "zeros-fills-with-zero")
@over(EVERY_MODE, name=among("ones", "zeros"), sizes=among((-1,), (2, -1), (-2, -3), (-3, 0), (0, 2, -5)))
def test_a_negative_size_is_refused(name, sizes):
    for given in (sizes, [sizes], [list(sizes)]):
        with pytest.raises(RuntimeError):
            getattr(torch, name)(*given)
