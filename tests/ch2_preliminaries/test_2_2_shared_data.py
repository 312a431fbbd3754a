"""2.2 Operations and shared data

A tensor is two things: a storage, which is a row of numbers in memory, and a description of how to read it, made of a
shape, a stride for each dimension (how many places in storage lie between neighbours) and an offset. An operation that
only changes the description returns a view: a new tensor object on the old storage, so that a write through either is
seen through both. Who wants a copy asks for one.
"""

import pytest
import torch

claim = pytest.mark.claim


@claim("view-shares-data")
def test_a_write_through_the_view_reaches_the_source_and_back():
    x = torch.tensor([0, 1, 2, 3, 4, 5])
    view = x.view(2, 3)

    view[1, 0] = 100
    x[5] = 200

    assert x.tolist() == [0, 1, 2, 100, 4, 200]
    assert view.tolist() == [[0, 1, 2], [100, 4, 200]]


@claim("view-shares-data", truth=True)
def test_view_refuses_what_no_strides_on_the_old_storage_can_read():
    x = torch.tensor([[1, 2, 3], [4, 5, 6]])

    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.t().view(6)  # 1 4 2 5 3 6 do not lie at equal distances in 1 2 3 4 5 6
    with pytest.raises(RuntimeError, match="invalid for input of size 6"):
        x.view(4)


@claim("reshape-does-not-guarantee-a-copy")
def test_reshape_shares_where_strides_allow_and_copies_where_they_do_not():
    x = torch.tensor([[1, 2, 3], [4, 5, 6]])

    x.reshape(6)[0] = 100  # a view
    x.t().reshape(6)[0] = 200  # a copy, without a word

    assert x.tolist() == [[100, 2, 3], [4, 5, 6]]


@claim("clone-then-view-is-independent")
def test_a_clone_in_another_shape_leaves_the_source_alone():
    x = torch.tensor([0, 1, 2, 3, 4, 5])

    copy = x.clone().view(2, 3)
    copy[0, 0] = 100
    x[5] = 200

    assert x.tolist() == [0, 1, 2, 3, 4, 200]
    assert copy.tolist() == [[100, 1, 2], [3, 4, 5]]


@claim("clone-then-view-is-independent", truth=True)
def test_a_clone_of_a_transposed_tensor_keeps_strides_that_view_cannot_use():
    x = torch.tensor([[1, 2, 3], [4, 5, 6]]).t()

    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.clone().view(-1)

    assert x.clone().stride() == x.stride() == (1, 3)
    assert x.clone(memory_format=torch.contiguous_format).view(-1).tolist() == [1, 4, 2, 5, 3, 6]
    assert x.contiguous().view(-1).tolist() == [1, 4, 2, 5, 3, 6]


@claim("view-is-a-new-tensor-object")
def test_a_view_is_another_python_object():
    x = torch.tensor([0, 1, 2, 3, 4, 5])
    view = x.view(2, 3)

    assert id(view) != id(x)
    assert (view.shape, x.shape) == ((2, 3), (6,))


@claim("view-is-a-new-tensor-object", truth=True)
def test_its_elements_lie_at_the_same_address_or_further_on_in_the_same_memory():
    x = torch.tensor([0, 1, 2, 3, 4, 5])

    assert x.view(-1).data_ptr() == x.view(2, 3).data_ptr() == x.data_ptr()
    assert x[1:].data_ptr() == x.data_ptr() + 8  # an int64 has 8 bytes
    assert x.clone().data_ptr() != x.data_ptr()


@claim("item-gives-a-python-number")
def test_item_hands_out_a_number_that_no_later_write_can_reach():
    x = torch.tensor([2.5])
    number = x.item()

    x[0] = 100

    assert number == 2.5
    assert type(number) is float
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        torch.tensor([1, 2]).item()


@claim("augmented-assignment-writes-through")
def test_an_augmented_assignment_reaches_whatever_shares_memory():
    x = torch.tensor([0.0, 1.0, 2.0])
    z = x.view(3)

    z = z + 1
    assert x.tolist() == [0, 1, 2]  # z is another tensor now

    z = x.view(3)
    z += 1
    assert x.tolist() == [1, 2, 3]


@claim("augmented-assignment-writes-through", truth=True)
def test_in_place_a_tensor_keeps_its_dtype_a_leaf_its_value_and_a_result_gets_another_node():
    whole = torch.tensor([1, 2])
    assert (whole + 0.5).tolist() == [1.5, 2.5]
    with pytest.raises(RuntimeError):
        whole += 0.5

    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError):
        leaf += 1
    view = leaf.view(2)
    with pytest.raises(RuntimeError):
        view += 1
    with torch.no_grad():
        leaf += 1
    assert leaf.tolist() == [2, 3]

    product = leaf * 2
    assert product.grad_fn.name() == "MulBackward0"
    product += 1
    assert product.grad_fn.name() == "AddBackward0"
