"""2.2 Operations and shared data: copies, identity and numbers

Where a view is not wanted, `clone` makes a copy in a storage of its own. A copy keeps the arrangement of the original
in memory, strides included, which matters when it is to be viewed in another shape. Two questions then remain. What
makes a view a tensor of its own, if not the data? Its identity as a Python object and its description. And how does
one number leave a tensor for good? By `item`, which hands out a plain Python number that no later write can reach.
"""

import math

import pytest
import torch

claim = pytest.mark.claim


def storage_address(x):
    return x.untyped_storage().data_ptr()


RESHAPINGS = [
    ((6,), (2, 3)),
    ((2, 3), (3, 2)),
    ((2, 3, 4), (4, -1)),
    ((1, 1), ()),
    ((90, 110), (-1,)),
    ((160, 201), (201, 160)),
]

# ── clone-then-view-is-independent ──


@claim("clone-then-view-is-independent")
@pytest.mark.parametrize("source, target", RESHAPINGS)
def test_writes_to_source_and_copy_never_reach_the_other(source, target):
    x = torch.zeros(source)
    copy = x.clone().view(target)

    copy.fill_(1)
    assert x.max().item() == 0
    x.fill_(2)
    assert copy.max().item() == 1
    assert storage_address(copy) != storage_address(x)


@claim("clone-then-view-is-independent")
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.float64, torch.complex64])
def test_the_copy_of_any_dtype_has_the_values_and_the_shape_asked_for(dtype):
    x = torch.tensor([[0, 1, 0], [0, 1, 1]], dtype=dtype)
    copy = x.clone().view(3, 2)

    x.fill_(0)

    assert copy.tolist() == [[0, 1], [0, 0], [1, 1]]
    assert copy.dtype == dtype


@claim("clone-then-view-is-independent")
def test_viewing_first_and_cloning_then_is_independent_too_but_view_alone_is_not():
    x = torch.arange(6)
    x.view(2, 3).clone().fill_(100)
    assert x.tolist() == [0, 1, 2, 3, 4, 5]

    x.view(2, 3).fill_(100)
    assert x.tolist() == [100] * 6


@claim("clone-then-view-is-independent", truth=True)
@pytest.mark.parametrize("shape", [(2, 3), (160, 201)])
def test_clone_keeps_the_strides_so_that_view_refuses(shape):
    x = torch.zeros(shape).t()
    copy = x.clone()

    assert copy.stride() == x.stride() == (1, shape[1])
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        copy.view(-1)


@claim("clone-then-view-is-independent", truth=True)
def test_clone_keeps_the_order_of_three_permuted_dimensions():
    x = torch.zeros(2, 3, 4).permute(2, 0, 1)
    copy = x.clone()

    assert copy.stride() == (1, 12, 4)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        copy.view(24)


@claim("clone-then-view-is-independent", truth=True)
@pytest.mark.parametrize(
    "copy_in_order",
    [
        pytest.param(lambda x: x.clone(memory_format=torch.contiguous_format), id="clone"),
        pytest.param(lambda x: x.contiguous(), id="contiguous"),
    ],
)
def test_a_copy_in_row_order_can_be_viewed_in_any_shape(copy_in_order):
    x = torch.tensor([[1, 2, 3], [4, 5, 6]])
    copy = copy_in_order(x.t()).view(6)

    copy[0] = 100

    assert copy.tolist() == [100, 4, 2, 5, 3, 6]
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]


@claim("clone-then-view-is-independent", truth=True)
def test_contiguous_copies_only_what_is_not_contiguous():
    """So `contiguous()` alone is no way to a true copy: here the source changes."""
    x = torch.arange(6)

    x.contiguous().view(2, 3)[0, 0] = 100

    assert x.tolist() == [100, 1, 2, 3, 4, 5]


# ── view-is-a-new-tensor-object ──


@claim("view-is-a-new-tensor-object")
@pytest.mark.parametrize("source, target", [((6,), (2, 3)), ((6,), (-1,)), ((2, 3), (2, 3)), ((160, 201), (-1,))])
def test_source_and_view_differ_in_id_but_not_in_address(source, target):
    x = torch.zeros(source)
    view = x.view(target)

    assert view is not x
    assert id(view) != id(x)
    assert view.data_ptr() == x.data_ptr()


@claim("view-is-a-new-tensor-object")
def test_each_call_of_view_makes_another_object():
    x = torch.arange(6)
    first, second = x.view(2, 3), x.view(2, 3)

    assert len({id(x), id(first), id(second)}) == 3
    assert x.data_ptr() == first.data_ptr() == second.data_ptr()


@claim("view-is-a-new-tensor-object")
def test_assignment_makes_no_new_object():
    x = torch.arange(6)
    same = x

    assert id(same) == id(x)


@claim("view-is-a-new-tensor-object")
def test_shape_and_strides_are_the_views_own():
    x = torch.arange(6)
    view = x.view(2, 3)

    assert (view.shape, view.stride()) == ((2, 3), (3, 1))
    view.t_()
    assert (view.shape, view.stride()) == ((3, 2), (1, 3))
    assert (x.shape, x.stride()) == ((6,), (1,))


@claim("view-is-a-new-tensor-object")
def test_other_attributes_are_the_views_own():
    x = torch.zeros(6)
    view = x.view(2, 3).requires_grad_()
    view.label = "a view"

    assert view.requires_grad is True
    assert x.requires_grad is False
    assert hasattr(x, "label") is False


# ── item-gives-a-python-number ──


@claim("item-gives-a-python-number")
@pytest.mark.parametrize(
    "value, dtype, kind",
    [
        (0.625, torch.float16, float),
        (-0.625, torch.bfloat16, float),
        (2.5, torch.float32, float),
        (3.0, torch.float32, float),
        (0.1, torch.float64, float),
        (200, torch.uint8, int),
        (-7, torch.int8, int),
        (-300, torch.int16, int),
        (2**31 - 1, torch.int32, int),
        (2**63 - 1, torch.int64, int),
        (True, torch.bool, bool),
        (False, torch.bool, bool),
        (1 - 2j, torch.complex64, complex),
    ],
)
def test_the_dtype_decides_the_kind_of_number(value, dtype, kind):
    number = torch.tensor(value, dtype=dtype).item()

    assert type(number) is kind
    assert number == value


@claim("item-gives-a-python-number")
def test_item_shows_the_rounding_of_float32():
    """The float32 nearest to 0.1 is 13421773 / 2^27."""
    assert torch.tensor(0.1).item() == 13421773 / 2**27


@claim("item-gives-a-python-number")
def test_item_keeps_infinity_and_nan():
    assert torch.tensor(math.inf).item() == math.inf
    assert torch.tensor(-math.inf).item() == -math.inf
    assert math.isnan(torch.tensor(math.nan).item()) is True


@claim("item-gives-a-python-number")
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_item_keeps_the_sign_of_zero(zero):
    assert math.copysign(1, torch.tensor(zero).item()) == math.copysign(1, zero)


@claim("item-gives-a-python-number")
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1, 1)])
def test_item_takes_one_element_in_any_number_of_dimensions(shape):
    assert torch.full(shape, 7).item() == 7


@claim("item-gives-a-python-number")
@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 1, 1), (3, 4), (0,), (2, 0)])
def test_item_refuses_another_number_of_elements(shape):
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        torch.zeros(shape).item()


@claim("item-gives-a-python-number")
def test_item_reads_the_element_that_a_view_shows():
    x = torch.tensor([[1, 2, 3], [4, 5, 6]])

    assert x.t()[2, 1].item() == 6
    assert x[1, 0].item() == 4


@claim("item-gives-a-python-number")
def test_the_number_is_cut_off_from_the_tensor():
    x = torch.tensor(2.0, requires_grad=True)
    number = x.item()

    with torch.no_grad():
        x.fill_(3)

    assert type(number) is float
    assert number == 2.0
