"""2.4 Tensors and NumPy arrays

A tensor on the CPU and a NumPy array are the same kind of thing: a block of memory, with a shape, strides and a dtype
that tell how to read it. So one can be put on the memory of the other without touching an element, and a write through
either is seen through both. Who wants two objects that know nothing of each other makes a copy, and pays for it. What
NumPy cannot read as it lies in memory does not convert, and each such tensor has a way out.
"""

import numpy as np
import pytest
import torch

claim = pytest.mark.claim


@claim("numpy-method-shares-memory")
@pytest.mark.cpu
def test_a_write_to_a_tensor_or_its_array_shows_in_both():
    tensor = torch.tensor([1.5, 2.5, 3.5])
    array = tensor.numpy()

    tensor[0] = 10
    array[1] = 20

    assert tensor.tolist() == array.tolist() == [10, 20, 3.5]


@claim("numpy-method-shares-memory", truth=True)
@pytest.mark.cpu
def test_what_numpy_cannot_read_as_it_lies_is_refused_or_on_request_copied():
    conjugate, tracked = torch.tensor([1 + 2j]).conj(), torch.tensor([1.5], requires_grad=True)

    with pytest.raises(TypeError):
        torch.tensor([1.5], dtype=torch.bfloat16).numpy()
    for tensor in (conjugate, tracked):
        with pytest.raises(RuntimeError):
            tensor.numpy()

    array = conjugate.numpy(force=True)
    array[0] = 100
    assert conjugate.tolist() == [1 - 2j]  # a copy shares nothing
    tracked.numpy(force=True)[0] = 100
    assert tracked.tolist() == [100]


@claim("from-numpy-shares-memory")
@pytest.mark.cpu
def test_a_write_to_an_array_or_its_tensor_shows_in_both():
    array = np.array([1.5, 2.5, 3.5])
    tensor = torch.from_numpy(array)

    array += 1
    tensor[2] = 30

    assert array.tolist() == tensor.tolist() == [2.5, 3.5, 30]
    array = array + 1  # another array under the old name
    assert tensor.tolist() == [2.5, 3.5, 30]


@claim("from-numpy-shares-memory", truth=True)
@pytest.mark.cpu
def test_an_array_that_runs_backwards_or_holds_text_makes_no_tensor():
    array = np.array([1.5, 2.5, 3.5])

    with pytest.raises(ValueError):
        torch.from_numpy(array[::-1])
    with pytest.raises(TypeError):
        torch.from_numpy(np.array(["one", "two"]))
    assert torch.from_numpy(array[::-1].copy()).tolist() == [3.5, 2.5, 1.5]


@claim("numpy-conversion-is-fast")
@pytest.mark.cpu
def test_a_tensor_larger_than_any_memory_converts():
    """One number, repeated by a stride of 0, poses as 4 petabytes: whoever copied it would fail or never end."""
    tensor = torch.zeros(1).expand(10**15)
    array = tensor.numpy()

    assert array.nbytes == 4 * 10**15
    assert torch.from_numpy(array).numel() == 10**15


@claim("torch-tensor-always-copies")
@pytest.mark.cpu
def test_a_tensor_made_by_the_function_and_its_array_change_independently():
    array = np.array([1.5, 2.5, 3.5])
    tensor = torch.tensor(array)

    array[0] = 10
    tensor[1] = 20

    assert tensor.tolist() == [1.5, 20, 3.5]
    assert array.tolist() == [10, 2.5, 3.5]


@claim("torch-tensor-always-copies", truth=True)
@pytest.mark.cpu
def test_the_function_copies_what_it_takes_and_takes_nothing_that_runs_backwards():
    array = np.array([1.5, 2.5, 3.5])
    tensor = torch.tensor(array, dtype=torch.float64)  # a dtype that fits saves no copy
    array[:] = 0
    assert tensor.tolist() == [1.5, 2.5, 3.5]

    with pytest.raises(ValueError):
        torch.tensor(array[::-1])


@claim("copying-costs-time-and-space")
@pytest.mark.cpu
def test_a_copy_is_a_second_block_of_memory():
    array = np.zeros(1000)
    copied, shared = torch.tensor(array), torch.from_numpy(array)

    assert shared.data_ptr() == array.ctypes.data
    assert copied.data_ptr() != array.ctypes.data
    assert copied.untyped_storage().nbytes() == array.nbytes == 8000  # each of which had to be written


@claim("char-tensor-cannot-convert-to-numpy")
@pytest.mark.cpu
def test_a_char_tensor_is_refused():
    """Superseded: it converts like every other dtype that NumPy has, since torch 1.1."""
    tensor = torch.tensor([-128, 0, 127], dtype=torch.int8)
    with pytest.raises(TypeError):
        tensor.numpy()


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
def test_what_numpy_cannot_read_as_it_lies_has_a_way_out():
    assert torch.tensor([-128, 0, 127], dtype=torch.int8).numpy().tolist() == [-128, 0, 127]
    tracked = torch.tensor([1.5, 2.5], requires_grad=True)
    refused = {
        torch.tensor([1.5, 2.5], dtype=torch.bfloat16): torch.Tensor.float,
        torch.tensor([1.5, 2.5]).to_sparse(): torch.Tensor.to_dense,
        tracked: torch.Tensor.detach,
        torch.tensor([0 - 1.5j, 0 - 2.5j]).conj(): lambda x: x.resolve_conj().imag,
        torch.tensor([0 + 1.5j, 0 + 2.5j]).conj().imag: lambda x: -x.resolve_neg(),
    }

    for tensor, way_out in refused.items():
        with pytest.raises((TypeError, RuntimeError)):
            tensor.numpy()
        assert way_out(tensor).numpy().tolist() == [1.5, 2.5]
    with torch.no_grad():
        assert tracked.numpy().tolist() == [1.5, 2.5]


@claim("gpu-tensor-has-no-numpy")
def test_an_accelerator_s_tensor_is_copied_to_the_cpu_first(accelerator):
    tensor = torch.tensor([1.5, 2.5], device=accelerator)

    with pytest.raises(TypeError):
        tensor.numpy()
    for array in (tensor.cpu().numpy(), tensor.numpy(force=True)):
        array[0] = 10
        assert array.tolist() == [10, 2.5]
        assert tensor.tolist() == [1.5, 2.5]  # a copy shares nothing
