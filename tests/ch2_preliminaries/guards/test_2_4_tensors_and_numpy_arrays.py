"""2.4 Tensors and NumPy arrays: what shares memory, what copies, what converts, and at what cost."""

import tracemalloc

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over, twins
from populations.arrays import APART, BOTH, LARGE, REAL, UNSIGNED, array_of, bytes_allocated
from populations.comparing import accepted
from populations.layouts import REPEATED

claim = pytest.mark.claim


def renewed(x):
    """A tensor that has shared its memory and was given another."""
    tensor = x.clone()
    tensor.numpy()
    tensor.data = x.clone()
    return tensor


def of_pairs(x, second):
    """The same numbers, each beside another: one part of complex ones, where those have such parts."""
    if x.dtype in SINGLE_AND_DOUBLE:
        return torch.complex(-x, x).imag if second else torch.complex(x, -x).real
    return torch.stack([x, x], -1)[..., int(second)]


WAYS = {
    "tensor": lambda x: x,
    "first of pairs": lambda x: of_pairs(x, second=False),
    "second of pairs": lambda x: of_pairs(x, second=True),
    "given new data": renewed,
    "detached": lambda x: x.clone().requires_grad_(x.is_floating_point()).detach(),
    "from an array": lambda x: torch.from_numpy(x.clone().numpy()),
    "parameter's data": lambda x: torch.nn.Parameter(x.clone(), requires_grad=False).data,
}


@claim("numpy-method-shares-memory")
@pytest.mark.cpu
@over(EVERY_MODE, twin=twins(BOTH, shapes=LARGE).rarely(*APART), way=among(*WAYS))
def test_an_array_has_the_address_strides_and_dtype_of_its_tensor_and_writes_to_it(twin, way):
    tensor, values = twin
    tensor = WAYS[way](tensor)
    array, second = tensor.numpy(), tensor.numpy(force=True)

    assert np.array_equal(array, values)
    assert (array.dtype, array.shape) == (values.dtype, tuple(tensor.shape))
    for view in (array, second):
        assert not values.size or view.ctypes.data == tensor.data_ptr()
        assert not values.size or view.strides == tuple(stride * values.itemsize for stride in tensor.stride())
        assert view.flags.writeable
    array[...] = 1
    agree(tensor, np.ones_like(values))


@claim("numpy-method-shares-memory", truth=True)
@pytest.mark.cpu
@over(twin=twins((torch.float32, torch.float64, torch.float16, torch.complex64), WRITABLE, grad=(True,)))
def test_forced_a_tensor_that_requires_grad_is_shared_and_one_with_a_pending_conjugate_copied(twin):
    tensor, values = twin
    for refused in (tensor, tensor * 1, tensor.detach().cfloat().conj()):
        with pytest.raises(RuntimeError):
            refused.numpy()
    with pytest.raises(TypeError):
        tensor.detach().bfloat16().numpy() if twin.dtype.is_floating_point else tensor.detach().to_sparse().numpy()

    for array in (tensor.numpy(force=True), torch.no_grad()(tensor.numpy)()):
        assert np.array_equal(array, values)
        assert not values.size or array.ctypes.data == tensor.data_ptr()
    conjugate, expected = tensor.detach().cfloat().conj(), values.astype(np.complex64).conj()
    copy = conjugate.numpy(force=True)
    assert np.array_equal(copy, expected)
    copy[...] = 7
    agree(conjugate, expected)


@claim("from-numpy-shares-memory")
@pytest.mark.cpu
@over(EVERY_MODE, twin=twins(BOTH, shapes=LARGE).rarely(*APART), locked=among(False, True))
def test_a_tensor_has_the_address_strides_and_dtype_of_its_array_and_follows_it(twin, locked):
    array, _ = array_of(twin)
    array.flags.writeable = not locked
    tensor, again = (accepted(torch.from_numpy, array) for _ in range(2))
    other = torch.from_numpy(array.view(np.memmap))  # of a class of its own

    agree(tensor, twin.array())
    assert tensor.dtype == twin.dtype
    for view in (tensor, again, other):
        assert not array.size or view.data_ptr() == array.ctypes.data
        assert not array.size or view.stride() == tuple(stride // array.itemsize for stride in array.strides)
    array.flags.writeable = True
    array[...] = 1
    agree(tensor, np.ones_like(array))


OWNERS = {
    "NumPy": np.zeros,
    "a buffer": lambda size, name: np.frombuffer(memoryview(np.zeros(size, name)), name),
    "records": lambda size, name: np.zeros(size, [("other", name), ("own", name)])["own"],
}


@claim("from-numpy-shares-memory", "numpy-method-shares-memory")
@pytest.mark.cpu
@over(
    name=among(*UNSIGNED, "longlong", "long", "intc", "short", "byte", "bool", "double", "csingle"),
    size=among(1, 9, 5000, 3_000_017),  # zeros that nobody reads take no time
    owner=each(*OWNERS),
)
def test_unsigned_numbers_and_those_of_c_s_names_are_shared_too(name, size, owner):
    array = OWNERS[owner](size, name)
    tensor = accepted(torch.from_numpy, array)
    array[-1], seven = 100, array.dtype.type(7)  # or true
    tensor[0] = seven.item()

    assert (tensor.dtype, tensor[-1].item(), array[0]) == (getattr(torch, array.dtype.name), array[-1].item(), seven)
    assert tensor.numpy().ctypes.data == tensor.data_ptr() == array.ctypes.data


UNREADABLE = {
    "backwards": lambda array: array[::-1],
    "last dimension backwards": lambda array: array[..., ::-1],
    "in records": lambda array: np.rec.fromarrays([array.astype("i1"), array], names="flag,value")["value"],
    "of the other byte order": lambda array: array.astype(array.dtype.newbyteorder()),
}


@claim("from-numpy-shares-memory", truth=True)
@claim("torch-tensor-always-copies", "tensor-function-takes-data", truth=True)
@pytest.mark.cpu
@over(
    EVERY_MODE,
    twin=twins((torch.float32, torch.float64, torch.int64), ("contiguous",), ((3,), (2, 3), (2, 3, 4))),
    how=among(*UNREADABLE),
)
def test_memory_that_torch_cannot_read_as_it_lies_is_refused_until_numpy_has_copied(twin, how):
    array = UNREADABLE[how](twin.array())
    for convert in (torch.from_numpy, torch.tensor):
        with pytest.raises(ValueError):
            convert(array)
        agree(convert(array.astype(twin.array().dtype, order="C")), array)


OBJECTS, RECORDS = np.array([1, 2.5], object), np.zeros(2, [("a", "f")])


@claim("from-numpy-shares-memory", "tensor-function-takes-data", truth=True)
@pytest.mark.cpu
@over(EVERY_MODE, array=among(OBJECTS, RECORDS, *map(np.array, (["a", "b"], [None, 1], [b"a"], ["2020-01-01"]))))
def test_dtypes_that_torch_lacks_are_refused(array):
    for convert in (torch.from_numpy, torch.tensor):
        with pytest.raises(TypeError):
            convert(array)


@claim("numpy-conversion-is-fast", "copying-costs-time-and-space")
@pytest.mark.cpu
@over(dtype=among(*BOTH))
def test_sharing_allocates_no_data_and_copying_the_size_of_the_array(dtype):
    layouts = ("contiguous", "gappy", "transposed", "expanded")
    recipes = [Twin(dtype, shape, layout) for shape in ((), (3, 33), (100_001,)) for layout in layouts]
    pairs = [(twin.tensor(twin.array()), array_of(twin)[0]) for twin in recipes]

    size = sum(array.size * array.itemsize for _, array in pairs)
    assert bytes_allocated(lambda: [(x.numpy(), torch.from_numpy(a), torch.tensor(a)) for x, a in pairs]) == size
    tracemalloc.start()  # which tells of NumPy's memory, kept or not
    try:
        shared = [(x.numpy(), torch.from_numpy(a)) for x, a in pairs]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 100_001  # bytes, as many as the smallest of the large ones has
    assert len(shared) == len(pairs)


@claim("torch-tensor-always-copies", "copying-costs-time-and-space")
@pytest.mark.cpu
@over(
    EVERY_MODE,
    twin=twins(BOTH, shapes=LARGE).rarely(*(Twin(torch.float32, shape) for shape in ((1, 1), (1,), ())), *APART),
    options=among(
        "none", "dtype", "requires_grad", "device", "all", "locked", "of a tensor", "of a class", "of a buffer"
    ),
)
def test_every_call_makes_another_copy_whatever_the_layout(twin, options):
    (tensor, _), (array, memory) = twin, array_of(twin)
    if options == "of a buffer":
        start = array.ctypes.data - memory.ctypes.data
        array = np.ndarray(array.shape, array.dtype, bytearray(memory.tobytes()), start, array.strides)
    array = tensor.numpy() if options == "of a tensor" and twin.layout not in REPEATED else array
    array = array.view(np.memmap) if options == "of a class" else array
    if options == "locked":
        array.flags.writeable = False
    every = {"dtype": twin.dtype, "device": "cpu", "requires_grad": twin.dtype.is_floating_point}
    given = every if options == "all" else {name: every[name] for name in every if name == options}
    first, second = torch.tensor(array, **given).detach(), torch.tensor(array, **given).detach()

    assert first.untyped_storage().nbytes() == array.size * array.itemsize
    if options == "locked":
        array.flags.writeable = True
    array[...] = 1
    agree(first, twin.array())
    second.fill_(0)
    agree(first, twin.array())
    assert np.array_equal(array, np.ones_like(array))


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@over(EVERY_MODE, twin=twins(BOTH).rarely(*APART))
def test_every_dtype_that_numpy_has_survives_the_round_trip_and_shares(twin):
    tensor, values = twin
    array = tensor.numpy()
    back = accepted(torch.from_numpy, array)

    assert array.dtype == values.dtype
    agree(back, values)
    assert not values.size or back.data_ptr() == tensor.data_ptr()


# What NumPy cannot read as it lies: the error, how it is made of a plain tensor, and what leads back to that.
UNREAD = {
    "bfloat16": (TypeError, lambda x: x.bfloat16(), lambda x: x.float()),
    "complex32": (TypeError, lambda x: x.to(torch.complex32), lambda x: x.cfloat()),
    **{
        name: (TypeError, lambda x, name=name: x.to(getattr(torch, name)), lambda x: x.float())
        for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
        if hasattr(torch, name)
    },
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
@over(
    EVERY_MODE, twin=twins(SINGLE_AND_DOUBLE, WRITABLE, ((2, 3), (3, 8), (1, 4)), values="small"), kind=among(*UNREAD)
)
def test_what_numpy_cannot_read_as_it_lies_is_refused_until_it_is_resolved(twin, kind):
    (tensor, values), (error, make, resolve) = twin, UNREAD[kind]
    for several in (tensor, tensor[:0]):
        with pytest.raises(error):
            make(several).numpy()
        with pytest.raises(error):
            np.asarray(make(several))
    assert np.array_equal(resolve(make(tensor)).numpy(), values)


@claim("char-tensor-cannot-convert-to-numpy", truth=True)
@pytest.mark.cpu
@over(twin=twins((torch.float32, torch.float64, torch.float16, torch.complex64), WRITABLE), of=among("leaf", "result"))
def test_a_tensor_that_requires_grad_is_detached_first_or_read_under_no_grad(twin, of):
    tensor, values = twin.but(grad=True)
    tensor = tensor * 1 if of == "result" else tensor
    for read in (tensor.numpy, lambda: np.asarray(tensor), lambda: np.array(tensor)):
        with pytest.raises(RuntimeError):
            read()
    for array in (tensor.detach().numpy(), torch.no_grad()(tensor.numpy)()):
        assert np.array_equal(array, values)
        assert not values.size or array.ctypes.data == tensor.data_ptr()


TO_NUMPY = {
    "numpy()": lambda x: x.numpy(),
    "np.array": lambda x: np.array(x),
    "np.array of a dtype": lambda x: np.array(x, dtype=np.float32),
    "np.asarray": lambda x: np.asarray(x),
    "np.asarray of a dtype": lambda x: np.asarray(x, np.float64),
}


@claim("gpu-tensor-has-no-numpy")
@over(EVERY_MODE, twin=twins(REAL, LAYOUTS, ((), (0,), (2, 3), (2, 1025)), grad=(False, True)), way=each(*TO_NUMPY))
def test_numpy_refuses_what_is_not_in_main_memory_and_gets_a_copy_that_is(accelerator, twin, way):
    tensor, values = twin
    with pytest.raises(TypeError):
        TO_NUMPY[way](tensor)
    for array in (TO_NUMPY[way](tensor.detach().cpu()), tensor.numpy(force=True)):
        assert np.array_equal(array, values)
        array[...] = 1
        agree(tensor, values)
