"""2.4 Tensors that copy an array, and arrays that do not convert: every dtype that both have."""

import numpy as np
import pytest
import torch
from populations import LAYOUTS, WRITABLE, agree, among, over, twins
from populations.arrays import BOTH, LARGE, REAL, array_of, takes

claim = pytest.mark.claim


# ── torch-tensor-always-copies ──


@claim("torch-tensor-always-copies", "copying-costs-time-and-space")
@pytest.mark.cpu
@over(twin=twins(BOTH, shapes=LARGE), options=among("none", "dtype", "requires_grad", "device", "all", "locked"))
def test_every_call_makes_another_copy_whatever_the_layout(twin, options):
    array, _ = array_of(twin)
    array.flags.writeable = options != "locked"
    every = {"dtype": twin.dtype, "device": "cpu", "requires_grad": twin.dtype.is_floating_point}
    given = {"none": {}, "all": every}.get(options) or {name: every[name] for name in every if name == options}
    first, second = torch.tensor(array, **given).detach(), torch.tensor(array, **given).detach()

    assert first.untyped_storage().nbytes() == array.size * array.itemsize
    array.flags.writeable = True
    array[...] = 1
    agree(first, twin.array())
    second.fill_(0)
    agree(first, twin.array())
    assert np.array_equal(array, np.ones_like(array))


# ── char-tensor-cannot-convert-to-numpy ──


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@over(twin=twins(BOTH))
def test_every_dtype_that_numpy_has_survives_the_round_trip_and_shares(twin):
    tensor, values = twin
    array = tensor.numpy()
    assert takes(array)
    back = torch.from_numpy(array)

    assert array.dtype == values.dtype
    agree(back, values)
    assert not values.size or back.data_ptr() == tensor.data_ptr()


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@over(missing=among(("bfloat16", "float32"), ("complex32", "complex64")), shape=among((), (2,), (2, 1, 3)))
def test_a_dtype_that_numpy_lacks_converts_by_way_of_a_wider_one(missing, shape):
    tensor = torch.full(shape, 1.5).to(getattr(torch, missing[0]))
    with pytest.raises(TypeError):
        tensor.numpy()
    assert np.array_equal(tensor.to(getattr(torch, missing[1])).numpy(), np.full(shape, 1.5))


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@over(twin=twins((torch.float32, torch.float64, torch.float16, torch.complex64), WRITABLE), of=among("leaf", "result"))
def test_a_tensor_that_requires_grad_is_detached_first_or_read_under_no_grad(twin, of):
    tensor, values = twin.but(grad=True)
    tensor = tensor * 1 if of == "result" else tensor
    with pytest.raises(RuntimeError):
        tensor.numpy()
    for array in (tensor.detach().numpy(), torch.no_grad()(tensor.numpy)()):
        assert np.array_equal(array, values)
        assert not values.size or array.ctypes.data == tensor.data_ptr()


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state")
@over(
    layout=among("sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"), dtype=among("float32", "int64")
)
def test_a_sparse_tensor_is_made_dense_first(layout, dtype):
    dense = torch.tensor([[0, 2, 0, 1], [3, 0, 0, 0]], dtype=getattr(torch, dtype))
    blocks = {"blocksize": (1, 2)} if layout in ("sparse_bsr", "sparse_bsc") else {}
    tensor = dense.to_sparse(layout=getattr(torch, layout), **blocks)
    with pytest.raises(TypeError):
        tensor.numpy()
    assert tensor.to_dense().numpy().tolist() == [[0, 2, 0, 1], [3, 0, 0, 0]]


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@over(twin=twins((torch.complex64, torch.complex128), WRITABLE, ((2,), (2, 3), (3, 1, 2))))
def test_conjugate_and_negative_views_are_resolved_first(twin):
    tensor, values = twin
    with pytest.raises(RuntimeError):
        tensor.conj().numpy()
    assert np.array_equal(tensor.conj().resolve_conj().numpy(), values.conj())
    with pytest.raises(RuntimeError):
        tensor.conj().imag.numpy()
    assert np.array_equal(tensor.conj().imag.resolve_neg().numpy(), -values.imag)


# ── gpu-tensor-has-no-numpy ──


@claim("gpu-tensor-has-no-numpy")
@over(twin=twins(REAL, LAYOUTS, ((), (0,), (2, 3), (2, 1025))))
def test_numpy_refuses_what_is_not_in_main_memory_and_gets_a_copy_that_is(accelerator, twin):
    tensor, values = twin
    for convert in (lambda: tensor.numpy(), lambda: np.asarray(tensor)):
        with pytest.raises(TypeError):
            convert()
    for array in (tensor.cpu().numpy(), tensor.numpy(force=True)):
        assert np.array_equal(array, values)
        array[...] = 1
        agree(tensor, values)
