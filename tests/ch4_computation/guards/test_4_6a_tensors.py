"""4.6a Tensors in files: any bits, any layout, every way to write and to read, every device to load to."""

import contextlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, Twin, agree, among, each, over, twins, whole
from populations.comparing import accepted
from populations.files import OLDER, Way, archive, bits, filtered, layout_of, memory_of, savable_dtypes, ways
from populations.journeys import CPU, current, host_twin, spot
from torch import nn
from torch.serialization import default_restore_location

claim = pytest.mark.claim
NO_DEVICE = ("no device",) if torch.__version__ >= (2, 3) else ()  # 2.1 asked for the module of a device first

KINDS = {
    "tensor": lambda x: x,
    "result": lambda x: x.view_as(x),
    "Parameter": lambda x: nn.Parameter(x, requires_grad=x.requires_grad),
}
# Forms of map_location for what was saved on the device ``here``, and where each leads to
LOCATIONS = {
    "none": lambda here: (None, here),
    "name": lambda here: ("cpu", CPU),
    "device": lambda here: (CPU, CPU),
    "dict": lambda here: ({"xpu:9": "meta", str(here): "cpu"}, CPU),
    # load hands it a storage on the CPU, and tells it from where
    "function": lambda here: (lambda storage, tag: storage if tag == str(here) else None, CPU),
    "function that names no place": lambda here: (lambda storage, tag: None, here),
    "name of the accelerator": lambda here: (str(spot()), spot()),
    "its type": lambda here: (spot().type, torch.empty(0, device=spot().type).device),
    "second accelerator": lambda here: (spot(second=True), spot(second=True)),
    "dict of others": lambda here: ({"xpu:9": "meta"}, here),
    "dict with the accelerator": lambda here: ({str(here): str(spot())}, spot()),
    "function that moves": lambda here: (lambda storage, tag: default_restore_location(storage, str(spot())), spot()),
}


@claim("tensor-round-trips", "saved-model-moves-to-another-device")
@over(
    EVERY_MODE,
    twin=twins((torch.float32, torch.bfloat16, torch.int64, torch.float64), grad=(False, True)),
    saved_on=among("the CPU", "the device"),
    kind=among(*KINDS),
    location=among(*LOCATIONS),
    way=ways("mmap"),
    options=among({}, {"weights_only": True}, {"weights_only": False}),
)
def test_values_layout_and_the_wish_for_a_gradient_come_back_by_every_way_to_every_device(
    twin, saved_on, kind, location, way, options
):
    tensor, array = host_twin(twin) if saved_on == "the CPU" else twin
    tensor = KINDS[kind](tensor)
    if tensor.is_leaf and tensor.requires_grad:
        tensor.grad = torch.ones_like(tensor)  # which stays behind
    with current(spot(twin.second)):
        location, goal = LOCATIONS[location](tensor.device)
        alone = accepted(way.round_trip, tensor, map_location=location, **options)
        _, second = way.round_trip([tensor.new_ones(2), tensor], map_location=location, **options)

    for loaded in (alone, second):
        assert (type(loaded), loaded.device) == (type(tensor), goal)
        assert (loaded.requires_grad, loaded.grad, loaded.is_leaf) == (tensor.requires_grad, None, True)
        assert layout_of(loaded) == layout_of(tensor)
        agree(loaded, array)


@claim("saved-model-moves-to-another-device")
@over(
    twin=twins((torch.float32, torch.int64)).rarely(*(Twin(torch.float32, (6, size)) for size in (50_001, 200_001))),
    form=each("name", "device", "dict", "function"),
    kind=each("mmap", "Path", "memory"),
    second=among(False, True),
)
def test_a_file_of_any_size_read_or_mapped_into_memory_is_loaded_to_the_named_device(
    accelerator, twin, form, kind, second
):
    (tensor, array), there = host_twin(twin), spot(second)
    location = {
        "name": str(there),
        "device": there,
        "dict": {"cpu": str(there)},
        "function": lambda storage, tag: default_restore_location(storage, str(there)),
    }[form]
    loaded = Way(kind).round_trip({"w": tensor}, map_location=location)["w"]
    assert (loaded.device, loaded.dtype) == (there, tensor.dtype)
    agree(loaded, array)


@claim("saved-model-moves-to-another-device")
@over(EVERY_MODE, twin=twins((torch.float32, torch.int16)), way=ways("mmap", "older"), filtered=among(True, False))
def test_the_meta_device_takes_shapes_strides_and_dtypes_without_the_numbers(twin, way, filtered):
    tensor, _ = twin
    for location in ("meta", {str(tensor.device): "meta"}):
        loaded = way.round_trip([tensor], map_location=location, weights_only=filtered)[0]
        assert (loaded.device.type, layout_of(loaded)) == ("meta", layout_of(tensor))


@claim("saved-model-moves-to-another-device", truth=True)
@pytest.mark.cpu
@over(tag=among("cuda:99", "cuda:7", "mps:0"), older=among(False, True), location=among(*list(LOCATIONS)[1:5]))
def test_a_file_from_an_absent_device_is_opened_by_map_location_alone(tag, older, location):
    file = io.BytesIO()
    torch.save([torch.tensor(0), torch.tensor([1.0, 2.0])], file, **{OLDER: not older})
    content = retagged(file.getvalue(), tag) if older else rezipped(file, tag)

    with Way("older memory").holding(content) as load:
        for nowhere in (None, tag, f"{tag[:-2]}1x", *NO_DEVICE):
            with pytest.raises(RuntimeError):
                load(map_location=nowhere)
        opened = None
        with contextlib.suppress(RuntimeError):
            opened = [x.tolist() for x in load(map_location=LOCATIONS[location](tag)[0])]
        assert opened == [0, [1.0, 2.0]]


def retagged(pickled, tag):
    """The pickle with another device for the CPU: a text is X, its length in four bytes, and its letters."""
    return pickled.replace(b"X\3\0\0\0cpu", b"X" + len(tag).to_bytes(4, "little") + tag.encode())


def rezipped(file, tag):
    changed = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            target.writestr(name, retagged(source.read(name), tag))
    return changed.getvalue()


IN_OLD_FILES = savable_dtypes(older=True)


@claim("tensor-round-trips")
@pytest.mark.cpu
@over(EVERY_MODE, each=bits(savable_dtypes()))
def test_every_bit_of_every_dtype_and_layout_survives_in_a_file_of_either_format(each):
    tensor, stored = each
    torch.set_default_dtype(torch.float64)  # a file tells its own
    newer = "memory" if Way("mmap").lacking() else "mmap"
    unfiltered = {"weights_only": False}
    tried = (newer, {}), (newer, {"protocol": 5, **unfiltered}), ("older memory", {}), ("older memory", unfiltered)
    for kind, options in tried[: 4 if each.dtype in IN_OLD_FILES else 2]:
        loaded = Way(kind).round_trip(tensor, **options)

        assert layout_of(loaded) == layout_of(tensor)
        assert memory_of(loaded) == stored
        assert type(loaded) is torch.Tensor


@claim("tensor-round-trips", "save-uses-pickle", truth=True)
@pytest.mark.cpu
@over(EVERY_MODE, thing=among(torch.ones(3), [torch.ones(3)]), protocol=among(2, 3, 4, 5), way=ways())
def test_what_was_saved_by_protocol_4_or_above_passes_no_filter_and_comes_back_without_it(thing, protocol, way):
    with way.saved(thing, protocol) as load:
        assert [x.tolist() for x in accepted(load, weights_only=False)] == [x.tolist() for x in thing]
        with filtered() if protocol >= 4 else contextlib.nullcontext():
            assert [x.tolist() for x in load(weights_only=True)] == [x.tolist() for x in thing]


@claim("tensor-round-trips")
@over(EVERY_MODE, twin=twins((torch.complex64,)), part=among("conj", "imag", "real", "neg"))
def test_a_conjugate_and_a_negative_that_were_never_computed_keep_their_values(twin, part):
    tensor, array = twin
    lazy = {"conj": tensor.conj(), "imag": tensor.conj().imag, "real": tensor.real, "neg": tensor.imag.conj()}[part]
    expected = {"conj": array.conj(), "imag": -array.imag, "real": array.real, "neg": array.imag}[part]

    agree(Way("memory").round_trip(lazy), expected)


@claim("tensor-round-trips")
@pytest.mark.cpu
@over(layout=among("sparse_coo", "sparse_csr"), size=whole(1, 9))
def test_a_sparse_tensor_stays_sparse(layout, size):
    dense = torch.eye(size) * 3
    sparse = dense.to_sparse() if layout == "sparse_coo" else dense.to_sparse_csr()
    loaded = accepted(Way("memory").round_trip, sparse)

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
@over(name=among("x.pt", "two words.pt", "权重.pt", "poids à 100%.pt", "no_suffix"), kind=among(str, Path))
def test_a_file_has_the_name_it_was_given_and_holds_what_was_saved_last(tmp_path, name, kind):
    for old in tmp_path.iterdir():
        old.unlink()
    file, x = kind(tmp_path / name), torch.tensor([1, 2, 3])
    for saved in (torch.arange(2000), x):
        torch.save(saved, file)
        assert [path.name for path in tmp_path.iterdir()] == [name]
    x[0] = 10
    first = torch.load(file)
    first[1] = 20

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


def of_letters():
    """A zip archive with a text in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as other:
        other.writestr("letter.txt", "Dear reader")
    return file.getvalue()


WHOLE = archive(pickle.dumps([1, 2] * 200, 2))
UNREADABLE = [(text, pickle.UnpicklingError) for text in (b"x,y\n1,2\n", b'{"x": [1, 2]}', bytes(64))]
UNREADABLE += [(b"", EOFError), *((cut, RuntimeError) for cut in (WHOLE[:-1], WHOLE[:-300], of_letters()))]


@claim("tensor-round-trips", truth=True)
@over(file=among(*UNREADABLE))
def test_no_file_that_is_not_whole_or_not_of_this_kind_is_read(file):
    content, error = file
    with Way("Path").holding(content) as load, pytest.raises(error):
        load(weights_only=True)
