"""2.4 Tensors that copy an array, and arrays that do not convert: every dtype that both have."""

import numpy as np
import pytest
import torch
from populations import LAYOUTS, SINGLE_AND_DOUBLE, WRITABLE, agree, among, over, twins
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


# What NumPy cannot read as it lies: the error, how it is made of a plain tensor, and what leads back to that.
UNREAD = {
    "bfloat16": (TypeError, lambda x: x.bfloat16(), lambda x: x.float()),
    "complex32": (TypeError, lambda x: x.to(torch.complex32), lambda x: x.cfloat()),
    "sparse coo": (TypeError, lambda x: x.to_sparse(), lambda x: x.to_dense()),
    "sparse csr": (TypeError, lambda x: x.to_sparse_csr(), lambda x: x.to_dense()),
    "sparse csc": (TypeError, lambda x: x.to_sparse_csc(), lambda x: x.to_dense()),
    "sparse bsr": (TypeError, lambda x: x.to_sparse_bsr((1, 1)), lambda x: x.to_dense()),
    "sparse bsc": (TypeError, lambda x: x.to_sparse_bsc((1, 1)), lambda x: x.to_dense()),
    "conjugate": (RuntimeError, lambda x: torch.complex(x, -x).conj(), lambda x: x.resolve_conj().imag),
    "negative": (RuntimeError, lambda x: torch.complex(x, -x).conj().imag, lambda x: x.resolve_neg()),
}


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental", "ignore:Sparse .* tensor support is in beta")
@over(twin=twins(SINGLE_AND_DOUBLE, WRITABLE, ((2, 3), (3, 8), (1, 4))), kind=among(*UNREAD))
def test_what_numpy_cannot_read_as_it_lies_is_refused_until_it_is_resolved(twin, kind):
    tensor, values = twin
    error, make, resolve = UNREAD[kind]
    with pytest.raises(error):
        make(tensor).numpy()
    assert np.array_equal(resolve(make(tensor)).numpy(), values)


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
