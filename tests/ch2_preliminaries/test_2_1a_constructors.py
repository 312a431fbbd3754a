"""2.1 Creating tensors: constructors

A tensor is an array of numbers of one type, its `dtype`, arranged along the dimensions that its `shape` lists. There
are two ways to ask for one: by its sizes, and then the elements are a constant or whatever the memory held, or by its
data, and then shape and dtype follow from the values. `torch.Tensor` (the class) mixes the two ways, `torch.tensor`
(the function) takes data only; one capital letter tells them apart.
"""

import numpy as np
import pytest
import torch

claim = pytest.mark.claim


def operators_run_by(action):
    """The names of the tensor operators that calling `action` runs."""
    with torch.autograd.profiler.profile() as profile:
        action()
    return [event.name() for event in profile.kineto_results.events() if event.name().startswith("aten::")]


# ── tensor-constructor-takes-sizes ──


@claim("tensor-constructor-takes-sizes")
@pytest.mark.parametrize("sizes", [(3,), (2, 5), (4, 1, 3), (2, 0), (1, 2, 3, 4, 5)])
def test_integer_arguments_of_the_class_are_sizes(sizes):
    x = torch.Tensor(*sizes)

    assert x.shape == sizes
    assert x.is_contiguous() is True


@claim("tensor-constructor-takes-sizes")
def test_the_class_without_arguments_builds_an_empty_vector():
    assert torch.Tensor().shape == (0,)


@claim("tensor-constructor-takes-sizes")
def test_two_constructed_tensors_do_not_share_memory():
    first, second = torch.Tensor(2, 3), torch.Tensor(2, 3)
    first.fill_(1)
    second.fill_(2)

    assert first.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert second.tolist() == [[2, 2, 2], [2, 2, 2]]


@claim("tensor-constructor-takes-sizes", truth=True)
@pytest.mark.cpu
def test_the_class_allocates_memory_and_writes_nothing_into_it():
    assert operators_run_by(lambda: torch.Tensor(2, 3)) == ["aten::empty"]
    assert "aten::fill_" in operators_run_by(lambda: torch.ones(2, 3))


@claim("tensor-constructor-takes-sizes", truth=True)
def test_the_class_has_the_default_float_type():
    assert torch.Tensor(2, 3).dtype == torch.float32
    assert torch.Tensor([1, 2]).dtype == torch.float32

    torch.set_default_dtype(torch.float64)

    assert torch.Tensor(2, 3).dtype == torch.float64
    assert torch.Tensor([1, 2]).dtype == torch.float64


@claim("tensor-constructor-takes-sizes", truth=True)
@pytest.mark.parametrize("data", [[2, 3], (2, 3), np.array([2, 3])], ids=["list", "tuple", "array"])
def test_the_class_takes_a_sequence_as_data(data):
    x = torch.Tensor(data)

    assert x.tolist() == [2.0, 3.0]
    assert x.dtype == torch.float32


@claim("tensor-constructor-takes-sizes", truth=True)
def test_the_class_takes_nested_lists_as_data():
    assert torch.Tensor([[1, 2, 3], [4, 5, 6]]).tolist() == [[1, 2, 3], [4, 5, 6]]


@claim("tensor-constructor-takes-sizes", truth=True)
def test_the_class_takes_torch_size_as_a_size():
    assert torch.Tensor(torch.Size([2, 3])).shape == (2, 3)


@claim("tensor-constructor-takes-sizes", truth=True)
@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(2, 3), (150, 200)])
def test_the_class_shares_the_memory_of_a_float32_array(shape):
    array = np.zeros(shape, dtype=np.float32)
    x = torch.Tensor(array)

    array[0, 1] = 5
    x[1, 0] = 7

    assert x[0, 1].item() == 5
    assert array[1, 0] == 7


@claim("tensor-constructor-takes-sizes", truth=True)
def test_the_class_copies_an_array_that_it_must_convert():
    array = np.array([1, 2], dtype=np.int64)
    x = torch.Tensor(array)

    array[0] = 5

    assert x.tolist() == [1, 2]


# ── tensor-function-takes-data ──


@claim("tensor-function-takes-data")
@pytest.mark.parametrize(
    "data, shape",
    [
        (7, ()),
        ([7], (1,)),
        ([], (0,)),
        ([1, 2, 3], (3,)),
        ([[1, 2], [3, 4], [5, 6]], (3, 2)),
        ([[[1, 2, 3]]], (1, 1, 3)),
    ],
)
def test_values_and_shape_follow_the_nesting_of_the_data(data, shape):
    x = torch.tensor(data)

    assert x.tolist() == data
    assert x.shape == shape
    assert x.shape == np.array(data).shape


@claim("tensor-function-takes-data")
@pytest.mark.parametrize(
    "data, dtype",
    [
        (True, torch.bool),
        ([False, True], torch.bool),
        (np.array([False, True]), torch.bool),
        (3, torch.int64),
        ([True, 2], torch.int64),
        (0.5, torch.float32),
        ([1, 2.5], torch.float32),
        ([1, 2j], torch.complex64),
    ],
)
def test_dtype_follows_the_kind_of_the_values(data, dtype):
    x = torch.tensor(data)

    assert x.dtype == dtype
    assert x.tolist() == np.array(data).tolist()


@claim("tensor-function-takes-data")
def test_python_floats_take_the_default_float_type():
    torch.set_default_dtype(torch.float64)

    assert torch.tensor([0.1]).dtype == torch.float64
    assert torch.tensor([0.1]).item() == 0.1
    assert torch.tensor([1]).dtype == torch.int64


@claim("tensor-function-takes-data")
@pytest.mark.parametrize("name", ["uint8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64"])
def test_the_dtype_of_an_array_is_kept(name):
    x = torch.tensor(np.array([[1, 2, 3], [4, 5, 6]], dtype=name))

    assert x.dtype == getattr(torch, name)
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]


@claim("tensor-function-takes-data")
def test_a_dtype_can_be_asked_for():
    x = torch.tensor([1.75, -1.75], dtype=torch.int32)

    assert x.dtype == torch.int32
    assert x.tolist() == [1, -1]


@claim("tensor-function-takes-data")
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("shape", [(2, 3), (150, 200)])
def test_an_array_is_copied(dtype, shape):
    array = np.zeros(shape, dtype=dtype)
    x = torch.tensor(array)

    array[:] = 5
    assert x.count_nonzero().item() == 0

    x.fill_(7)
    assert array.max() == array.min() == 5


@claim("tensor-function-takes-data")
def test_a_list_is_copied():
    data = [1, 2, 3]
    x = torch.tensor(data)

    data[0] = 5

    assert x.tolist() == [1, 2, 3]


@claim("tensor-function-takes-data")
def test_a_transposed_or_sliced_array_keeps_its_logical_order():
    array = np.array([[1, 2, 3], [4, 5, 6]])

    assert torch.tensor(array.T).tolist() == [[1, 4], [2, 5], [3, 6]]
    assert torch.tensor(array[:, ::2]).tolist() == [[1, 3], [4, 6]]


@claim("tensor-function-takes-data")
@pytest.mark.parametrize("ragged", [[[1, 2], [3]], [[1], [2, 3]], [[[1, 2]], [[3]]]])
def test_ragged_data_is_refused(ragged):
    with pytest.raises(ValueError, match="expected sequence of length"):
        torch.tensor(ragged)


@claim("tensor-function-takes-data")
def test_the_function_does_not_take_sizes():
    with pytest.raises(TypeError, match="positional argument"):
        torch.tensor(2, 3)


# ── ones-fills-with-one, zeros-fills-with-zero ──

# By name, so that each test calls the function that torch has when the test runs.
CONSTANTS = [
    pytest.param("ones", 1, marks=claim("ones-fills-with-one"), id="ones"),
    pytest.param("zeros", 0, marks=claim("zeros-fills-with-zero"), id="zeros"),
]


@pytest.mark.parametrize("name, constant", CONSTANTS)
def test_every_element_of_a_rectangle_is_the_constant(name, constant):
    create = getattr(torch, name)
    x = create(2, 3)

    assert x.tolist() == [[constant] * 3] * 2
    assert x.dtype == torch.float32


@pytest.mark.parametrize("name, constant", CONSTANTS)
@pytest.mark.parametrize("sizes", [(), (1,), (7,), (5, 1), (2, 3, 4), (1, 2, 1, 3, 2), (3, 0), (181, 211)])
def test_every_element_is_the_constant_for_any_number_of_sizes(name, constant, sizes):
    create = getattr(torch, name)
    x = create(sizes)

    assert x.shape == sizes
    assert set(x.flatten().tolist()) == ({constant} if x.numel() else set())


@pytest.mark.parametrize("name, constant", CONSTANTS)
def test_sizes_may_be_arguments_or_one_sequence(name, constant):
    create = getattr(torch, name)
    assert create(2, 3).tolist() == create((2, 3)).tolist() == create([2, 3]).tolist() == [[constant] * 3] * 2


@pytest.mark.parametrize("name, constant", CONSTANTS)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.complex64])
def test_the_constant_has_the_dtype_asked_for(name, constant, dtype):
    create = getattr(torch, name)
    x = create(2, 3, dtype=dtype)

    assert x.dtype == dtype
    assert x.tolist() == [[constant] * 3] * 2


@pytest.mark.parametrize("name, constant", CONSTANTS)
def test_the_constant_can_be_written_over_without_changing_the_next_tensor(name, constant):
    create = getattr(torch, name)
    create(2, 3).fill_(5)

    assert create(2, 3).tolist() == [[constant] * 3] * 2


@pytest.mark.parametrize("name, constant", CONSTANTS)
def test_a_negative_size_is_refused(name, constant):
    create = getattr(torch, name)
    with pytest.raises(RuntimeError, match="negative"):
        create(2, -1)
