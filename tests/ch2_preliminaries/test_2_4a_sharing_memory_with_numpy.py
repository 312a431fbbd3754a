"""2.4 Tensors and NumPy arrays: one block of memory, two views of it

A tensor on the CPU and a NumPy array are the same kind of thing: a block of memory, with a shape, strides and a dtype
that tell how to read it. So one can be put on the memory of the other without touching a single element:
`tensor.numpy()` makes an array, `torch.from_numpy(array)` a tensor. From then on a write through either of the two is
seen through both, whatever the dtype, the shape or the strides.
"""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

claim = pytest.mark.claim
pytestmark = pytest.mark.cpu  # NumPy's memory is main memory

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64"]
DTYPES += ["float16", "float32", "float64", "complex64", "complex128"]

# An array of 0 to 4 dimensions, its axes in any order: up to 81 elements, rarely contiguous.
arrays = st.lists(st.integers(1, 3), max_size=4).flatmap(
    lambda shape: st.permutations(range(len(shape))).map(
        lambda axes: np.arange(np.prod(shape, dtype=int)).reshape(shape).transpose(axes)
    )
)


# ── numpy-method-shares-memory ──


@claim("numpy-method-shares-memory")
def test_numpy_array_starts_at_the_address_of_the_tensor():
    tensor = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    array = tensor.numpy()
    assert array.ctypes.data == tensor.data_ptr()
    assert array.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@claim("numpy-method-shares-memory")
def test_array_shows_a_write_to_its_tensor():
    tensor = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    array = tensor.numpy()
    tensor[1, 2] = 60.0
    assert array.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 60.0]]
    tensor += 1
    assert array.tolist() == [[2.0, 3.0, 4.0], [5.0, 6.0, 61.0]]


@claim("numpy-method-shares-memory")
def test_tensor_shows_a_write_to_its_array():
    tensor = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    array = tensor.numpy()
    assert array.flags.writeable is True
    array[0, 1] = 20.0
    assert tensor.tolist() == [[1.0, 20.0, 3.0], [4.0, 5.0, 6.0]]
    array *= 2
    assert tensor.tolist() == [[2.0, 40.0, 6.0], [8.0, 10.0, 12.0]]


@claim("numpy-method-shares-memory")
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_array_has_the_dtype_and_memory_of_the_tensor(dtype):
    tensor = torch.tensor([0, 1, 1]).to(getattr(torch, dtype))
    array = tensor.numpy()
    array[0] = 1
    assert array.dtype == np.dtype(dtype)
    assert tensor.tolist() == [1, 1, 1]


@claim("numpy-method-shares-memory")
@given(arrays)
@example(np.array(0))
def test_tensor_of_any_shape_and_strides_shares_with_its_array(source):
    tensor = torch.tensor(source).as_strided(source.shape, [stride // source.itemsize for stride in source.strides])
    array = tensor.numpy()
    assert (array.shape, array.strides) == (source.shape, source.strides)
    array[...] += 100
    assert tensor.tolist() == array.tolist()
    tensor -= 300
    assert array.min() == -200  # the least element was 0: plus 100, minus 300


@claim("numpy-method-shares-memory")
def test_large_tensor_shares_its_last_element_too():
    tensor = torch.zeros(1000, 1001)
    array = tensor.numpy()
    tensor[-1, -1] = 7.0
    assert array[-1, -1] == 7.0


@claim("numpy-method-shares-memory")
def test_array_of_a_slice_writes_into_the_whole_tensor():
    tensor = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
    tensor[1:, ::2].numpy()[...] = 0
    assert tensor.tolist() == [[1, 2, 3, 4], [0, 6, 0, 8], [0, 10, 0, 12]]


@claim("numpy-method-shares-memory")
def test_array_of_an_expanded_tensor_shows_a_write_in_each_row():
    tensor = torch.tensor([1.0, 2.0, 3.0])
    array = tensor.expand(2, 3).numpy()
    tensor[1] = 20.0
    assert array.tolist() == [[1.0, 20.0, 3.0], [1.0, 20.0, 3.0]]


@claim("numpy-method-shares-memory")
def test_all_arrays_of_a_tensor_share_its_memory():
    tensor = torch.tensor([1.0, 2.0, 3.0])
    first, second = tensor.numpy(), tensor.numpy()
    first[0] = 10.0
    second[1] = 20.0
    assert tensor.tolist() == first.tolist() == second.tolist() == [10.0, 20.0, 3.0]


@claim("numpy-method-shares-memory")
def test_clone_has_memory_of_its_own():
    """The counter-example: a copy made before the conversion no longer follows."""
    tensor = torch.tensor([1.0, 2.0, 3.0])
    array = tensor.clone().numpy()
    tensor[0] = 10.0
    assert array.tolist() == [1.0, 2.0, 3.0]


# ── from-numpy-shares-memory ──


@claim("from-numpy-shares-memory")
def test_tensor_from_numpy_starts_at_the_address_of_the_array():
    array = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    tensor = torch.from_numpy(array)
    assert tensor.data_ptr() == array.ctypes.data
    assert tensor.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@claim("from-numpy-shares-memory")
def test_tensor_shows_a_write_to_the_array_it_came_from():
    array = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    tensor = torch.from_numpy(array)
    array[1, 0] = 40.0
    assert tensor.tolist() == [[1.0, 2.0, 3.0], [40.0, 5.0, 6.0]]


@claim("from-numpy-shares-memory")
def test_array_shows_a_write_to_the_tensor_made_from_it():
    array = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    tensor = torch.from_numpy(array)
    tensor.mul_(10)
    assert array.tolist() == [[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]]


@claim("from-numpy-shares-memory")
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_from_numpy_has_the_dtype_and_memory_of_the_array(dtype):
    """float64, NumPy's default, stays float64: another dtype could not be read from the same bytes."""
    array = np.array([0, 1, 1]).astype(dtype)
    tensor = torch.from_numpy(array)
    tensor[0] = 1
    assert tensor.dtype == getattr(torch, dtype)
    assert array.tolist() == [1, 1, 1]


@claim("from-numpy-shares-memory")
@given(arrays)
def test_array_of_any_shape_and_strides_shares_with_its_tensor(array):
    tensor = torch.from_numpy(array)
    assert tensor.shape == array.shape
    tensor += 100
    assert array.tolist() == tensor.tolist()
    array[...] -= 300
    assert tensor.min().item() == -200  # the least element was 0: plus 100, minus 300


@claim("from-numpy-shares-memory")
def test_array_without_dimensions_shares_too():
    array = np.array(7)
    torch.from_numpy(array).fill_(8)
    assert array.item() == 8


@claim("from-numpy-shares-memory")
def test_large_array_shares_its_last_element_too():
    array = np.zeros((1000, 1001), dtype=np.float32)
    tensor = torch.from_numpy(array)
    array[-1, -1] = 7.0
    assert tensor[-1, -1].item() == 7.0


@claim("from-numpy-shares-memory")
def test_tensor_from_a_slice_writes_into_the_whole_array():
    array = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
    torch.from_numpy(array[1:, ::2]).fill_(0)
    assert array.tolist() == [[1, 2, 3, 4], [0, 6, 0, 8], [0, 10, 0, 12]]


@claim("from-numpy-shares-memory")
def test_all_tensors_from_an_array_share_its_memory():
    array = np.array([1.0, 2.0, 3.0])
    first, second = torch.from_numpy(array), torch.from_numpy(array)
    first[0] = 10.0
    second[1] = 20.0
    assert array.tolist() == first.tolist() == second.tolist() == [10.0, 20.0, 3.0]


@claim("from-numpy-shares-memory")
def test_new_array_under_an_old_name_is_not_shared():
    """`array + 1` is another array: only writes into the shared memory are seen."""
    array = np.array([1, 2, 3])
    tensor = torch.from_numpy(array)
    array = array + 1
    assert (array.tolist(), tensor.tolist()) == ([2, 3, 4], [1, 2, 3])
