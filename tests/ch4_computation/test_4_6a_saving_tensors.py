"""4.6 Saving and loading: tensors

`torch.save` writes a tensor to a file and `torch.load` brings it back, in this process or another, on this machine or
another. A *round trip* is exact if nothing differs afterwards: dtype, shape, strides, the flag that asks for a
gradient, and every bit of every element, so that the tests compare bits where two different numbers could pass as
equal (zero and minus zero) and one number as different from itself (NaN). The file also remembers the *device* of
each tensor, and `load` puts the tensor back there; `map_location` names another place.
"""

import io
import pickle
import warnings
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


def storable_dtypes():
    """The dtypes of which this release of torch can pickle a tensor.

    Left out are the quantized dtypes, of which `torch.empty` makes no tensor that could be stored, the integers of less
    than a byte, and in older releases complex32 and the wide unsigned integers: their storages have no name in a file.
    """
    found = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bfloat16, torch.float16}
    found |= {torch.float32, torch.float64, torch.complex64, torch.complex128}
    for dtype in {value for value in vars(torch).values() if isinstance(value, torch.dtype)} - found:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some of the rarer dtypes call themselves experimental
                pickle.dumps(torch.empty(0, dtype=dtype))
        except (KeyError, RuntimeError):
            continue
        found.add(dtype)
    return sorted(found, key=str)


def change_device_tag(path, tag):
    """Makes a saved file say that its tensors were on the device `tag`."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            if name.endswith("data.pkl"):  # in a pickle a short text is: X, its length in four bytes, the text
                content = content.replace(b"X\x03\0\0\0cpu", b"X" + len(tag).to_bytes(4, "little") + tag.encode())
            archive.writestr(name, content)


# ── saved-model-moves-to-another-device ──


@claim("saved-model-moves-to-another-device")
@pytest.mark.parametrize(
    "location",
    ["cpu", torch.device("cpu"), lambda storage, tag: storage],  # load hands the function a storage on the CPU
    ids=["name", "device", "function"],
)
def test_stored_parameters_can_be_loaded_onto_the_cpu(tmp_path, location):
    net = nn.Linear(3, 2)
    torch.save(net.state_dict(), tmp_path / "net.pt")

    state = torch.load(tmp_path / "net.pt", map_location=location)

    assert [state[name].device.type for name in ("weight", "bias")] == ["cpu", "cpu"]
    assert state["weight"].tolist() == net.weight.tolist()
    assert state["bias"].tolist() == net.bias.tolist()


@claim("saved-model-moves-to-another-device")
def test_the_meta_device_takes_shapes_and_dtypes_without_the_numbers(tmp_path):
    torch.save({"a": torch.ones(2, 3).t(), "b": torch.ones(4, dtype=torch.int16)}, tmp_path / "x.pt")

    state = torch.load(tmp_path / "x.pt", map_location="meta")

    assert [state["a"].device.type, state["b"].device.type] == ["meta", "meta"]
    assert [state["a"].shape, state["b"].shape] == [(3, 2), (4,)]
    assert [state["a"].dtype, state["b"].dtype] == [torch.float32, torch.int16]
    assert state["a"].stride() == (1, 3)


@claim("saved-model-moves-to-another-device")
def test_a_model_takes_parameters_from_another_device(tmp_path):
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    torch.save(source.state_dict(), tmp_path / "net.pt")

    target.load_state_dict(torch.load(tmp_path / "net.pt", map_location="cpu"))

    assert target.weight.device == source.weight.device  # wherever the test runs: the values are copied there
    assert target.weight.tolist() == source.weight.tolist()


@claim("saved-model-moves-to-another-device")
def test_parameters_saved_on_the_cpu_can_be_loaded_onto_an_accelerator(tmp_path, accelerator):
    weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device="cpu")
    torch.save(weight, tmp_path / "weight.pt")

    loaded = torch.load(tmp_path / "weight.pt", map_location=accelerator)

    assert loaded.device.type == accelerator.type
    assert (loaded @ torch.ones(3, device=accelerator)).tolist() == [6.0, 15.0]


@claim("saved-model-moves-to-another-device")
def test_a_tensor_comes_back_to_the_accelerator_it_was_saved_from(tmp_path, accelerator):
    torch.save(torch.tensor([1.0, 2.0], device=accelerator), tmp_path / "x.pt")

    loaded = torch.load(tmp_path / "x.pt")

    assert loaded.device.type == accelerator.type
    assert loaded.tolist() == [1.0, 2.0]


@claim("saved-model-moves-to-another-device", truth=True)
@pytest.mark.cpu
def test_a_file_from_an_absent_device_cannot_be_loaded_as_it_is(tmp_path):
    """No machine has a hundred GPUs; one without any reports the same error."""
    torch.save(torch.tensor([1.0, 2.0]), tmp_path / "x.pt")
    change_device_tag(tmp_path / "x.pt", "cuda:99")

    with pytest.raises(RuntimeError, match="Attempting to deserialize object on (a )?CUDA device"):
        torch.load(tmp_path / "x.pt")


@claim("saved-model-moves-to-another-device", truth=True)
@pytest.mark.cpu
@pytest.mark.parametrize("location", ["cpu", {"cuda:99": "cpu"}], ids=["name", "from-to"])
def test_map_location_opens_a_file_from_an_absent_device(tmp_path, location):
    torch.save(torch.tensor([1.0, 2.0]), tmp_path / "x.pt")
    change_device_tag(tmp_path / "x.pt", "cuda:99")

    loaded = torch.load(tmp_path / "x.pt", map_location=location)

    assert loaded.device.type == "cpu"
    assert loaded.tolist() == [1.0, 2.0]


# ── tensor-round-trips ──


@claim("tensor-round-trips")
def test_a_saved_tensor_is_loaded_again(tmp_path):
    x = torch.tensor([[1.5, -2.0, 3.25], [4.0, 5.0, 6.0]])

    torch.save(x, tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt")

    assert loaded.tolist() == [[1.5, -2.0, 3.25], [4.0, 5.0, 6.0]]
    assert loaded.dtype == torch.float32
    assert loaded.device == x.device
    assert loaded.data_ptr() != x.data_ptr()


@claim("tensor-round-trips")
@pytest.mark.cpu
@pytest.mark.parametrize("dtype", storable_dtypes(), ids=str)
def test_every_bit_of_every_dtype_survives(tmp_path, dtype):
    raw = torch.arange(240, dtype=torch.uint8).reshape(3, 80)  # a row is 80 elements of one byte or 5 of sixteen
    x = raw.view(dtype)

    torch.save(x, tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt")

    assert loaded.dtype == dtype
    assert loaded.shape == (3, 80 // x.element_size())
    assert loaded.view(torch.uint8).tolist() == [list(range(80)), list(range(80, 160)), list(range(160, 240))]


SPECIAL_BITS = {
    "inf": 0x7F800000,
    "minus inf": 0xFF800000 - 2**32,  # the same 32 bits as a signed integer
    "minus zero": 0x80000000 - 2**32,
    "smallest subnormal": 0x00000001,
    "NaN": 0x7FC00000,
    "negative NaN": 0xFFC00000 - 2**32,
    "NaN with a payload": 0x7FC12345,
    "signalling NaN": 0x7F800001,
}


@claim("tensor-round-trips")
@pytest.mark.parametrize("bits", SPECIAL_BITS.values(), ids=SPECIAL_BITS)
def test_special_float_values_survive_bit_for_bit(tmp_path, bits):
    x = torch.tensor([0x3F800000, bits], dtype=torch.int32).view(torch.float32)  # beside a one

    torch.save(x, tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt")

    assert loaded.dtype == torch.float32
    assert loaded.view(torch.int32).tolist() == [0x3F800000, bits]


@claim("tensor-round-trips")
@given(bits=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=40))
def test_any_float32_values_survive_bit_for_bit(bits):
    x = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    file = io.BytesIO()

    torch.save(x, file)
    file.seek(0)

    assert torch.load(file).view(torch.int32).tolist() == bits


VIEWS = {
    "transposed": (lambda x: x.t(), (4, 3), (1, 4), 0),
    "column": (lambda x: x[:, 2], (3,), (4,), 2),
    "inner block": (lambda x: x[1:, 1:3], (2, 2), (4, 1), 5),
    "every second column": (lambda x: x[:, ::2], (3, 2), (4, 2), 0),
    "permuted": (lambda x: x.view(3, 2, 2).permute(2, 0, 1), (2, 3, 2), (1, 4, 2), 0),
    "expanded": (lambda x: x[1].expand(5, 4), (5, 4), (0, 1), 4),
}


@claim("tensor-round-trips")
@pytest.mark.parametrize("view, shape, stride, offset", VIEWS.values(), ids=VIEWS)
def test_views_keep_their_elements_and_strides(tmp_path, view, shape, stride, offset):
    x = view(torch.arange(12).reshape(3, 4))

    torch.save(x, tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt")

    assert loaded.tolist() == x.tolist()
    assert (loaded.shape, loaded.stride(), loaded.storage_offset()) == (shape, stride, offset)


@claim("tensor-round-trips")
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 4), (1, 1)], ids=str)
def test_empty_and_zero_dimensional_tensors_keep_their_shape(tmp_path, shape):
    torch.save(torch.full(shape, 7.0, dtype=torch.float64), tmp_path / "x.pt")

    loaded = torch.load(tmp_path / "x.pt")

    assert loaded.shape == shape
    assert loaded.dtype == torch.float64
    assert loaded.sum().item() == 7.0 * loaded.numel()


@claim("tensor-round-trips")
def test_a_conjugate_and_a_negative_that_were_never_computed_keep_their_values(tmp_path):
    """Torch only marks such a tensor as conjugated or negated; the memory holds the original numbers."""
    conjugate = torch.tensor([1 + 2j, 3 - 4j]).conj()
    torch.save(conjugate, tmp_path / "conjugate.pt")
    torch.save(conjugate.imag, tmp_path / "imaginary.pt")

    assert torch.load(tmp_path / "conjugate.pt").tolist() == [1 - 2j, 3 + 4j]
    assert torch.load(tmp_path / "imaginary.pt").tolist() == [-2.0, 4.0]


@claim("tensor-round-trips")
def test_a_parameter_comes_back_as_a_parameter(tmp_path):
    torch.save(nn.Parameter(torch.tensor([1.0, 2.0])), tmp_path / "x.pt")

    loaded = torch.load(tmp_path / "x.pt")

    assert type(loaded) is nn.Parameter
    assert loaded.tolist() == [1.0, 2.0]


@claim("tensor-round-trips")
@pytest.mark.parametrize("requires_grad", [False, True])
def test_requires_grad_is_saved_but_neither_the_gradient_nor_the_graph(tmp_path, requires_grad):
    leaf = torch.tensor([1.0, 2.0], requires_grad=requires_grad)
    leaf.grad = torch.tensor([3.0, 4.0])

    torch.save([leaf, leaf * 10], tmp_path / "x.pt")
    loaded, product = torch.load(tmp_path / "x.pt")

    assert loaded.requires_grad is requires_grad
    assert loaded.grad is None
    assert product.tolist() == [10.0, 20.0]
    assert product.is_leaf is True
