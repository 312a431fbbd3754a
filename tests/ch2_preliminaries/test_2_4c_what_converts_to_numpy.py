"""2.4 Tensors and NumPy arrays: which tensors convert

An array can stand on a tensor's memory only if NumPy can read that memory as it lies there. NumPy must know the dtype,
the elements must be stored one by one at regular strides (dense, not sparse), what is stored must be the value itself
(not its conjugate or its negative, which torch may leave to be computed on reading), and the memory must be the
CPU's. A tensor that requires grad is refused for another reason: NumPy's writes would escape autograd. Each refusal
names the way out, and each way out is one method.
"""

import numpy as np
import pytest
import torch

claim = pytest.mark.claim

# ── char-tensor-cannot-convert-to-numpy ──


@claim("char-tensor-cannot-convert-to-numpy")
@pytest.mark.cpu
def test_char_tensor_is_refused_by_numpy():
    tensor = torch.tensor([-128, 0, 127], dtype=torch.int8)
    with pytest.raises(TypeError):
        tensor.numpy()


@claim("char-tensor-cannot-convert-to-numpy")
@pytest.mark.cpu
def test_array_of_int8_is_refused_by_from_numpy():
    array = np.array([-128, 0, 127], dtype=np.int8)
    with pytest.raises(TypeError):
        torch.from_numpy(array)


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
def test_char_tensor_converts_to_an_array_of_int8():
    tensor = torch.tensor([[-128, 0, 127], [1, 2, 3]], dtype=torch.int8)
    array = tensor.numpy()
    array[1, 0] = -1
    assert tensor.type() == "torch.CharTensor"
    assert array.dtype == np.int8
    assert tensor.tolist() == [[-128, 0, 127], [-1, 2, 3]]


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
def test_array_of_int8_converts_to_a_char_tensor():
    array = np.array([[-128, 0, 127], [1, 2, 3]], dtype=np.int8)
    tensor = torch.from_numpy(array)
    tensor[0, 1] = 5
    assert tensor.type() == "torch.CharTensor"
    assert array.tolist() == [[-128, 5, 127], [1, 2, 3]]


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64"]
)
def test_dtypes_that_numpy_has_survive_the_round_trip(dtype):
    tensor = torch.tensor([[0, 1, 1], [1, 0, 0]]).to(getattr(torch, dtype))
    array = tensor.numpy()
    returned = torch.from_numpy(array)
    assert (array.dtype, returned.dtype) == (np.dtype(dtype), tensor.dtype)
    assert array.tolist() == returned.tolist() == [[0, 1, 1], [1, 0, 0]]


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize(
    "missing, name, wider", [("bfloat16", "BFloat16", "float32"), ("complex32", "ComplexHalf", "complex64")]
)
def test_dtype_that_numpy_lacks_converts_by_way_of_a_wider_one(missing, name, wider):
    tensor = torch.tensor([1.5, -2.0]).to(getattr(torch, missing))
    with pytest.raises(TypeError, match=f"unsupported ScalarType {name}"):
        tensor.numpy()
    assert tensor.to(getattr(torch, wider)).numpy().tolist() == [1.5, -2.0]


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
def test_tensor_that_requires_grad_is_detached_first():
    tensor = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
        tensor.numpy()
    assert tensor.detach().numpy().tolist() == [1.0, 2.0]


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
def test_tensor_computed_from_one_that_requires_grad_is_detached_first():
    tensor = torch.tensor([1.0, 2.0], requires_grad=True) * 3
    with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
        tensor.numpy()
    assert tensor.detach().numpy().tolist() == [3.0, 6.0]


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_sparse_tensor_is_made_dense_first(layout):
    tensor = torch.tensor([[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]]).to_sparse(layout=layout)
    with pytest.raises(TypeError, match=r"can't convert Sparse.* layout tensor to numpy"):
        tensor.numpy()
    assert tensor.to_dense().numpy().tolist() == [[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]]


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
def test_conjugate_view_is_resolved_first():
    """conj() of a complex tensor sets a bit and leaves the memory alone: what lies there is not the value."""
    tensor = torch.tensor([1 + 2j, 3 - 4j]).conj()
    with pytest.raises(RuntimeError, match="conjugate bit"):
        tensor.numpy()
    assert tensor.resolve_conj().numpy().tolist() == [1 - 2j, 3 + 4j]


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
def test_negative_view_is_resolved_first():
    """The imaginary part of a conjugate view is the stored imaginary part with a pending minus sign."""
    tensor = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    with pytest.raises(RuntimeError, match="negative bit"):
        tensor.numpy()
    assert tensor.resolve_neg().numpy().tolist() == [-2.0, 4.0]


# ── gpu-tensor-has-no-numpy ──


@claim("gpu-tensor-has-no-numpy")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.uint8, torch.bool])
def test_accelerator_tensor_is_refused_by_numpy(accelerator, dtype):
    tensor = torch.ones(2, 3, dtype=dtype, device=accelerator)
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu\(\) to copy the tensor to host memory first"):
        tensor.numpy()


@claim("gpu-tensor-has-no-numpy")
@pytest.mark.parametrize(
    "view",
    [lambda x: x[0, 0], lambda x: x[:0], lambda x: x.t()],
    ids=["number", "nothing", "transpose"],
)
def test_no_shape_of_an_accelerator_tensor_is_converted(accelerator, view):
    tensor = view(torch.ones(2, 3, device=accelerator))
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu\(\)"):
        tensor.numpy()


@claim("gpu-tensor-has-no-numpy")
def test_accelerator_tensor_is_not_converted_behind_the_scenes(accelerator):
    """NumPy's own conversion asks the tensor, and gets the same refusal."""
    tensor = torch.ones(2, 3, device=accelerator)
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu\(\)"):
        np.asarray(tensor)


@claim("gpu-tensor-has-no-numpy")
def test_accelerator_tensor_converts_after_a_copy_to_the_cpu(accelerator):
    tensor = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device=accelerator)
    array = tensor.cpu().numpy()
    assert array.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@claim("gpu-tensor-has-no-numpy")
def test_array_made_by_way_of_the_cpu_is_not_shared_with_the_accelerator(accelerator):
    tensor = torch.tensor([1.0, 2.0, 3.0], device=accelerator)
    tensor.cpu().numpy()[:] = 0.0
    assert tensor.tolist() == [1.0, 2.0, 3.0]
