"""2.2 Operations and shared data: view and reshape

A tensor is two things: a storage, which is a row of numbers in memory, and a description of how to read it, made of a
shape, a stride for each dimension (how many places in storage lie between neighbours) and an offset. An operation
that only changes the description returns a view: a new tensor object on the old storage, so that a write through
either is seen through both. Some shapes cannot be described by strides on the old storage; then `view` refuses, and
`reshape` silently copies.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

claim = pytest.mark.claim


def storage_address(x):
    return x.untyped_storage().data_ptr()


# Source and target shapes of few and of many elements: a view is a view whatever its size.
RESHAPINGS = [
    ((6,), (2, 3)),
    ((2, 3), (3, 2)),
    ((2, 3), (2, 3)),
    ((2, 3, 4), (4, -1)),
    ((2, 3), (3, 2, 1)),
    ((1, 1), ()),
    ((90, 110), (-1,)),
    ((160, 201), (201, 160)),
]

# ── view-shares-data ──


@claim("view-shares-data")
def test_a_write_through_the_view_reaches_the_source():
    x = torch.arange(6)
    view = x.view(2, 3)

    view[1, 0] = 100

    assert x.tolist() == [0, 1, 2, 100, 4, 5]


@claim("view-shares-data")
def test_a_write_through_the_source_reaches_the_view():
    x = torch.arange(6)
    view = x.view(2, 3)

    x[3] = 100

    assert view.tolist() == [[0, 1, 2], [100, 4, 5]]


@claim("view-shares-data")
@pytest.mark.parametrize("source, target", RESHAPINGS)
def test_a_view_of_any_size_has_the_storage_of_its_source(source, target):
    x = torch.zeros(source)
    view = x.view(target)

    assert storage_address(view) == storage_address(x)
    assert view.numel() == x.numel()
    view.fill_(1)
    assert x.min().item() == 1
    x.fill_(2)
    assert view.min().item() == 2


@claim("view-shares-data")
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.complex64])
def test_a_view_of_any_dtype_shares_its_data(dtype):
    x = torch.zeros(2, 3, dtype=dtype)
    view = x.view(3, 2)

    view[2, 0] = 1
    x[0, 1] = 1

    assert x.tolist() == [[0, 1, 0], [0, 1, 0]]
    assert view.tolist() == [[0, 1], [0, 0], [1, 0]]


@claim("view-shares-data")
@given(data=st.data(), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_every_shape_with_as_many_elements_is_a_view_of_a_contiguous_tensor(data, sizes):
    count = math.prod(sizes)
    target = data.draw(st.permutations([*sizes, 1]))
    place = data.draw(st.integers(0, count - 1))
    x = torch.arange(count).view(sizes)
    view = x.view(*target)

    assert view.shape == tuple(target)
    assert view.flatten().tolist() == list(range(count))
    expected = list(range(count))
    expected[place] = -1
    view.view(-1)[place] = -1
    assert x.flatten().tolist() == expected
    expected[place] = -2
    x.view(-1)[place] = -2
    assert view.flatten().tolist() == expected


@claim("view-shares-data")
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda t: t.fill_(7), id="fill_"),
        pytest.param(lambda t: t.copy_(torch.full(t.shape, 7)), id="copy_"),
        pytest.param(lambda t: t.sub_(t).add_(7), id="arithmetic"),
        pytest.param(lambda t: t.__setitem__(..., 7), id="assignment"),
        pytest.param(lambda t: t.__setitem__(t >= 0, 7), id="mask"),
        pytest.param(lambda t: torch.add(torch.full(t.shape, 3), 4, out=t), id="out"),
        pytest.param(lambda t: t.view(-1).fill_(7), id="view-of-a-view"),
        pytest.param(lambda t: t.t().fill_(7), id="transpose-of-a-view"),
    ],
)
def test_every_way_of_writing_reaches_the_other_tensor(write):
    x, y = torch.arange(6).view(3, 2), torch.arange(6).view(3, 2)

    write(x.view(2, 3))
    assert x.tolist() == [[7, 7], [7, 7], [7, 7]]

    view = y.view(2, 3)
    write(y)
    assert view.tolist() == [[7, 7, 7], [7, 7, 7]]


@claim("view-shares-data")
def test_a_view_of_a_non_contiguous_tensor_shares_its_data_where_strides_can_express_it():
    x = torch.arange(12).view(2, 6)
    columns = x.t()
    view = columns.view(3, 2, 2)

    view[2, 1, 0] = 100

    assert columns.is_contiguous() is False
    assert view.stride() == (2, 1, 6)
    assert x.tolist() == [[0, 1, 2, 3, 4, 100], [6, 7, 8, 9, 10, 11]]
    x[1, 0] = 200
    assert view[0, 0].tolist() == [0, 200]


@claim("view-shares-data")
def test_a_view_of_a_slice_writes_into_the_slice_only():
    x = torch.zeros(5, 4)
    x[1:4:2].view(2, 2, 2)[1, 0, 1] = 9

    assert x.tolist() == [[0, 0, 0, 0]] * 3 + [[0, 9, 0, 0], [0, 0, 0, 0]]


@claim("view-shares-data")
def test_a_view_as_another_dtype_shows_the_same_bits():
    x = torch.tensor([1.0, 2.0])
    bits = x.view(torch.int32)

    bits[1] = bits[0]

    assert bits.tolist() == [0x3F800000, 0x3F800000]
    assert x.tolist() == [1.0, 1.0]


@claim("view-shares-data")
def test_a_view_shares_the_data_of_a_tensor_that_requires_gradients():
    x = torch.zeros(2, 3, requires_grad=True)
    view = x.view(6)

    with torch.no_grad():
        view[4] = 5

    assert x.tolist() == [[0, 0, 0], [0, 5, 0]]


@claim("view-shares-data")
def test_the_result_of_arithmetic_does_not_share_data():
    x = torch.arange(6)
    result = (x + 0).view(2, 3)

    result[0, 0] = 100

    assert x.tolist() == [0, 1, 2, 3, 4, 5]
    assert storage_address(result) != storage_address(x)


@claim("view-shares-data")
@pytest.mark.parametrize("source, target", [((2, 3), (6,)), ((160, 201), (-1,)), ((2, 3, 4), (12, 2))])
def test_view_refuses_a_shape_that_needs_a_copy(source, target):
    x = torch.zeros(source).transpose(0, 1)

    with pytest.raises(RuntimeError, match="view size is not compatible with input tensor's size and stride"):
        x.view(target)


@claim("view-shares-data")
@pytest.mark.parametrize("shape", [(5,), (2, 2), (7, 1), (4, -1)])
def test_view_refuses_another_number_of_elements(shape):
    with pytest.raises(RuntimeError, match="is invalid for input of size 6"):
        torch.arange(6).view(shape)


# ── reshape-does-not-guarantee-a-copy ──


@claim("reshape-does-not-guarantee-a-copy")
@pytest.mark.parametrize("source, target", RESHAPINGS)
def test_reshape_of_a_contiguous_tensor_shares_its_data(source, target):
    x = torch.zeros(source)
    result = x.reshape(target)

    result.fill_(1)

    assert x.min().item() == 1
    assert storage_address(result) == storage_address(x)
    assert result.shape == torch.zeros(source).view(target).shape


@claim("reshape-does-not-guarantee-a-copy")
@pytest.mark.parametrize("source, target", [((2, 3), (6,)), ((90, 110), (-1,)), ((160, 201), (160, 201))])
def test_reshape_copies_what_no_strides_can_express(source, target):
    x = torch.zeros(source).t()
    result = x.reshape(target)

    result.fill_(1)
    assert x.max().item() == 0
    x.fill_(2)
    assert result.max().item() == 1
    assert storage_address(result) != storage_address(x)


@claim("reshape-does-not-guarantee-a-copy")
def test_reshape_gives_a_result_where_view_raises():
    x = torch.tensor([[1, 2, 3], [4, 5, 6]]).t()

    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.view(6)
    assert x.reshape(6).tolist() == [1, 4, 2, 5, 3, 6]
    assert x.reshape(2, -1).tolist() == [[1, 4, 2], [5, 3, 6]]


@claim("reshape-does-not-guarantee-a-copy")
def test_reshape_shares_the_data_of_a_non_contiguous_tensor_that_view_accepts():
    x = torch.arange(12).view(2, 6)
    result = x.t().reshape(3, 2, 2)

    result[2, 1, 0] = 100

    assert x[0].tolist() == [0, 1, 2, 3, 4, 100]


@claim("reshape-does-not-guarantee-a-copy")
def test_equal_values_and_shapes_may_be_shared_or_copied():
    """Only the strides of the sources differ."""
    rows = torch.tensor([[1, 2], [3, 4], [5, 6]])
    columns = torch.tensor([[1, 3, 5], [2, 4, 6]]).t()
    assert rows.tolist() == columns.tolist()

    rows.reshape(6)[0] = 100
    columns.reshape(6)[0] = 100

    assert rows[0, 0].item() == 100
    assert columns[0, 0].item() == 1
