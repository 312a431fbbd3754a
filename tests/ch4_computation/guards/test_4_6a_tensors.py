"""4.6a Tensors in files: any bits, any layout, every device to load to."""

import contextlib
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from populations import agree, among, each, over, twins, whole
from populations.files import Way, bits, layout_of, memory_of, savable_dtypes, ways
from populations.mixing import host_twin, spot
from populations.modules import trees
from torch import nn

claim = pytest.mark.claim
NO_DEVICE = ("no device",) if torch.__version__ >= (2, 3) else ()  # 2.1 asked for the module of a device first


# ── saved-model-moves-to-another-device ──

FEW = (torch.float32, torch.bfloat16, torch.int64)  # every dtype has a guard of its own, on bits
LOCATIONS = {
    "name": lambda here: "cpu",
    "device": lambda here: torch.device("cpu"),
    "dict": lambda here: {here: "cpu"},
    "function": lambda here: lambda storage, tag: storage,  # load hands it a storage on the CPU
}


@claim("saved-model-moves-to-another-device")
@over(twin=twins(FEW, grad=(False, True)), location=among(*LOCATIONS), way=ways("older"))
def test_a_tensor_of_any_layout_comes_to_the_cpu_by_every_form_of_map_location(twin, location, way):
    tensor, array = twin
    state = way.round_trip({"a": tensor, "b": [tensor.clone()]}, map_location=LOCATIONS[location](str(tensor.device)))

    assert state["a"].device.type == state["b"][0].device.type == "cpu"
    assert layout_of(state["a"]) == layout_of(tensor)
    agree(state["a"], array)
    agree(state["b"][0], array)


@claim("saved-model-moves-to-another-device")
@over(twin=twins(FEW), way=ways("older"))
def test_a_function_that_names_no_place_leaves_a_tensor_where_it_was_saved(twin, way):
    tensor, array = twin
    loaded = way.round_trip([tensor], map_location=lambda storage, tag: None)[0]

    assert (loaded.device, layout_of(loaded)) == (tensor.device, layout_of(tensor))
    agree(loaded, array)


@claim("saved-model-moves-to-another-device")
@over(twin=twins((torch.float32, torch.int16)), way=ways("mmap", "older"), filtered=among({}, {"weights_only": False}))
def test_the_meta_device_takes_shapes_strides_and_dtypes_without_the_numbers(twin, way, filtered):
    tensor, _ = twin
    loaded = way.round_trip([tensor], map_location="meta", **filtered)[0]

    assert loaded.device.type == "meta"
    assert layout_of(loaded) == layout_of(tensor)


@claim("saved-model-moves-to-another-device")
@over(twin=twins((torch.float32, torch.float16, torch.int64, torch.bool)), location=among("device", "dict", "name"))
def test_a_tensor_saved_on_the_cpu_comes_to_either_accelerator_with_its_layout(accelerator, twin, location):
    (tensor, array), goal = host_twin(twin), spot(twin.second)
    there = {"device": goal, "dict": {"cpu": str(goal)}, "name": str(goal)}[location]
    loaded = Way("memory").round_trip(tensor, map_location=there)

    assert (loaded.device, layout_of(loaded)) == (goal, layout_of(tensor))
    agree(loaded, array)


@claim("saved-model-moves-to-another-device")
@over(each=trees((torch.float32, torch.float64)), location=among("cpu", None))
def test_a_model_takes_loaded_parameters_to_its_own_device(each, location):
    _, plan = each
    more = 2.0**-12  # no number of half precision, with the whole ones beside it
    source = {name: x.detach() + more if x.is_floating_point() else x for name, x, *_ in plan.state}
    state = Way("memory").round_trip(source, map_location=location)
    target, into = each.but(seed=each.seed + 1)
    target.load_state_dict(state)

    for member, (_, tensor, array, _) in zip(into.state, plan.state):
        assert member.tensor.device == tensor.device
        agree(member.tensor, array + more if tensor.is_floating_point() else array)


@claim("saved-model-moves-to-another-device", truth=True)
@pytest.mark.cpu
@over(
    tag=among("cuda:99", "cuda:7", "mps:0"),
    older=among(False, True),
    location=among("cpu", "device", "dict", "function"),
)
def test_a_file_from_an_absent_device_is_opened_by_map_location_alone(tag, older, location):
    file, x = io.BytesIO(), torch.tensor([1.0, 2.0])
    torch.save({"x": x}, file, _use_new_zipfile_serialization=not older)
    text = b"X" + len(tag).to_bytes(4, "little") + tag.encode()  # in a pickle: X, the length in four bytes, the text
    content = file.getvalue().replace(b"X\3\0\0\0cpu", text) if older else retagged(file, text)
    chosen = {
        "cpu": "cpu",
        "device": torch.device("cpu"),
        "dict": {tag: "cpu"},
        "function": lambda storage, saved_on: storage,
    }[location]

    with Way("older memory").holding(content) as load:
        for nowhere in (None, tag, f"{tag[:-2]}1x", *NO_DEVICE):
            with pytest.raises(RuntimeError):
                load(map_location=nowhere)
        opened = None
        with contextlib.suppress(RuntimeError):
            opened = load(map_location=chosen)["x"].tolist()
        assert opened == [1.0, 2.0]


def retagged(file, text):
    changed = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"X\3\0\0\0cpu", text))
    return changed.getvalue()


# ── tensor-round-trips ──


@claim("tensor-round-trips")
@pytest.mark.cpu
@over(each=bits(savable_dtypes()), way=ways("older"))
def test_every_bit_of_every_dtype_and_layout_survives_every_way(each, way):
    tensor, stored = each
    loaded = way.round_trip(tensor)

    assert layout_of(loaded) == layout_of(tensor)
    assert memory_of(loaded) == stored
    assert type(loaded) is torch.Tensor


@claim("tensor-round-trips")
@pytest.mark.cpu
@over(each=bits(savable_dtypes(older=True)), way=each(Way("mmap"), Way("older memory")))
def test_every_bit_of_every_dtype_and_layout_is_where_it_was_in_a_file_that_is_mapped_or_of_the_old_format(each, way):
    tensor, stored = each
    loaded = way.round_trip(tensor)

    assert layout_of(loaded) == layout_of(tensor)
    assert memory_of(loaded) == stored


@claim("tensor-round-trips", "saved-model-moves-to-another-device")
@over(
    twin=twins((*FEW, torch.float64), grad=(False, True)), way=ways("mmap"), kind=among("tensor", "result", "Parameter")
)
def test_values_layout_device_and_the_wish_for_a_gradient_come_back_by_every_way(twin, way, kind):
    tensor, array = twin
    if kind == "Parameter":
        tensor = nn.Parameter(tensor, requires_grad=tensor.requires_grad)
    tensor = tensor.view_as(tensor) if kind == "result" else tensor
    loaded = way.round_trip(tensor)

    assert type(loaded) is type(tensor)
    assert loaded.device == tensor.device
    assert (loaded.requires_grad, loaded.grad, loaded.is_leaf) == (tensor.requires_grad, None, True)
    assert layout_of(loaded) == layout_of(tensor)
    agree(loaded, array)


@claim("tensor-round-trips")
@over(twin=twins((torch.complex64,)), part=among("conj", "imag", "real", "neg"))
def test_a_conjugate_and_a_negative_that_were_never_computed_keep_their_values(twin, part):
    tensor, array = twin
    lazy = {"conj": tensor.conj(), "imag": tensor.conj().imag, "real": tensor.real, "neg": tensor.imag.conj()}[part]
    expected = {"conj": array.conj(), "imag": -array.imag, "real": array.real, "neg": array.imag}[part]

    agree(Way("memory").round_trip(lazy), expected)


@claim("tensor-round-trips")
@pytest.mark.cpu
@over(layout=among("sparse_coo", "sparse_csr"), size=whole(1, 9))
def test_a_sparse_tensor_stays_sparse(layout, size):
    dense = torch.eye(size, device="cpu") * 3
    loaded = Way("memory").round_trip(dense.to_sparse() if layout == "sparse_coo" else dense.to_sparse_csr())

    assert loaded.layout == getattr(torch, layout)
    agree(loaded.to_dense(), np.eye(size) * 3)


@claim("tensor-round-trips")
@pytest.mark.cpu
def test_sixteen_megabytes_are_written_to_the_last_element(tmp_path):
    size = 2**24 + 3  # past what float32 can count, and no multiple of any buffer's size
    x = torch.zeros(size, dtype=torch.uint8)
    x[0], x[size // 2], x[-1] = 1, 2, 3
    torch.save(x, tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt")

    assert size <= (tmp_path / "x.pt").stat().st_size <= size + 10_000
    assert [loaded[0].item(), loaded[size // 2].item(), loaded[-1].item()] == [1, 2, 3]
    assert torch.count_nonzero(loaded).item() == 3


@claim("tensor-round-trips")
@over(name=among("x.pt", "two words.pt", "权重.pt", "poids à 100%.pt", "no_suffix"), kind=among("text", "Path"))
def test_a_file_has_the_name_it_was_given_and_holds_what_was_saved_last(tmp_path, name, kind):
    for old in tmp_path.iterdir():
        old.unlink()
    file = str(tmp_path / name) if kind == "text" else tmp_path / name
    torch.save(torch.arange(2000), file)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    x = torch.tensor([1, 2, 3])
    torch.save(x, file)
    x[0] = 10
    first = torch.load(file)
    first[1] = 20

    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).stat().st_size < 2000 * 8
    assert (x.tolist(), first.tolist(), torch.load(file).tolist()) == ([10, 2, 3], [1, 20, 3], [1, 2, 3])


@claim("tensor-round-trips", truth=True)
def test_what_cannot_be_written_or_read_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"as it was")
    for folder in ("missing", "file"):
        with pytest.raises(RuntimeError, match="Parent directory .*does not exist"):
            torch.save(torch.ones(2), tmp_path / folder / "x.pt")
    with open(tmp_path / "file", "rb") as file, pytest.raises(io.UnsupportedOperation, match="write"):
        torch.save(torch.ones(2), file)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"as it was")]

    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        torch.load(tmp_path / "missing.pt")
    memory = io.BytesIO()
    torch.save(torch.ones(2), memory)
    with pytest.raises(EOFError):  # not rewound
        torch.load(memory)


@claim("tensor-round-trips", truth=True)
@over(
    content=among(b"x,y\n1,2\n", b'{"x": [1, 2]}', bytes(64), b"", "truncated by 1", "truncated by 300", "another zip"),
)
def test_no_file_that_is_not_whole_or_not_of_this_kind_is_read(content):
    file = io.BytesIO()
    torch.save(torch.arange(100_000, device="cpu"), file)
    if content == "another zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as other:
            other.writestr("letter.txt", "Dear reader")
    whole_file = file.getvalue()
    cut = {"truncated by 1": whole_file[:-1], "truncated by 300": whole_file[:-300], "another zip": whole_file}
    error, words = (RuntimeError, "archive") if content in cut else (pickle.UnpicklingError, "Weights only load failed")
    error, words = (EOFError, "") if content == b"" else (error, words)

    with Way("Path").holding(cut.get(content, content)) as load, pytest.raises(error, match=words):
        load(weights_only=True)
