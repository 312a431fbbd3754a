"""4.6a Saving and loading: tensors and containers

`torch.save` writes an object to a file and `torch.load` brings it back, in this process or another, on this machine or
another. The file is a zip archive. In it lies a *pickle*, Python's own format for objects, which is a small program
that rebuilds them; the numbers of the tensors lie beside it, as plain bytes.

A *round trip* is exact if nothing differs afterwards: dtype, shape, strides, and every bit of every element. What was
shared before is shared after, for pickle writes each object once, however often it occurs, and so does `save` with the
memory of tensors. The file remembers the device of each tensor too; `map_location` names another.
"""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("saved-model-moves-to-another-device")
def test_parameters_saved_here_are_loaded_on_another_device(tmp_path):
    weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    torch.save({"weight": weight}, tmp_path / "net.pt")

    on_cpu = torch.load(tmp_path / "net.pt", map_location="cpu")
    elsewhere = torch.load(tmp_path / "net.pt", map_location="meta")  # a device of shapes without numbers

    assert on_cpu["weight"].device.type == "cpu"
    assert on_cpu["weight"].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert elsewhere["weight"].device.type == "meta"
    assert elsewhere["weight"].shape == (2, 3)


@claim("saved-model-moves-to-another-device", truth=True)
@pytest.mark.cpu
def test_a_file_from_an_absent_device_needs_map_location(tmp_path):
    file = tmp_path / "x.pt"
    torch.save(torch.tensor([1.0, 2.0]), file, _use_new_zipfile_serialization=False)  # one file, with no checksum
    assert torch.load(file).device.type == "cpu"  # where it was saved
    # The same file as a machine with a hundred GPUs would write it: in a pickle, a text has its length before it.
    file.write_bytes(file.read_bytes().replace(b"X\3\0\0\0cpu", b"X\7\0\0\0cuda:99"))

    with pytest.raises(RuntimeError, match="Attempting to deserialize object on (a )?CUDA device"):
        torch.load(file)
    for location in ("cpu", torch.device("cpu"), {"cuda:99": "cpu"}, lambda storage, saved_on: storage):
        loaded = torch.load(file, map_location=location)
        assert (loaded.device.type, loaded.tolist()) == ("cpu", [1.0, 2.0])


@claim("tensor-round-trips")
def test_a_saved_tensor_is_loaded_again_with_its_smallest_difference(tmp_path):
    x = torch.tensor([1.0, -0.0, float("inf"), 1.0000001])

    torch.save(x, tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt")

    assert loaded.tolist() == [1.0, 0.0, float("inf"), 1.0000001192092896]
    assert str(loaded[1].item()) == "-0.0"
    assert (loaded.dtype, loaded.device) == (torch.float32, x.device)


@claim("tensor-round-trips", truth=True)
def test_what_comes_back_with_a_tensor_and_what_does_not(tmp_path):
    leaf = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    leaf.grad = torch.ones(2, 3)
    product = leaf.t() * 10

    torch.save([leaf, product, torch.zeros(1000)[:1]], tmp_path / "x.pt")
    loaded, result, view = torch.load(tmp_path / "x.pt")

    assert (loaded.requires_grad, loaded.grad) == (True, None)
    assert (result.requires_grad, result.grad_fn) == (True, None)
    assert (result.shape, result.stride()) == ((3, 2), (1, 3))
    assert view.untyped_storage().nbytes() == 1000 * 4
    with pytest.raises(KeyError, match="is not recognized"):
        torch.save(torch.empty(2, dtype=getattr(torch, "uint4", torch.complex32), device="cpu"), tmp_path / "y.pt")


@claim("save-uses-pickle")
def test_pickle_reads_what_save_wrote(tmp_path):
    settings = {"rate": 0.5, "layers": [4, (3, 2)], "name": "网络", "done": None}

    torch.save(settings, tmp_path / "settings.pt")
    with zipfile.ZipFile(tmp_path / "settings.pt") as archive:
        read_by_pickle = pickle.loads(archive.read("settings/data.pkl"))

    assert read_by_pickle == settings
    assert torch.load(tmp_path / "settings.pt") == settings


@claim("save-uses-pickle", truth=True)
def test_the_numbers_lie_beside_the_pickle_and_load_has_an_unpickler_of_its_own(tmp_path):
    torch.save({"a": torch.tensor([7, 8], dtype=torch.int16), "b": torch.tensor([1.0])}, tmp_path / "ab.pt")
    torch.save(range(3), tmp_path / "range.pt")

    with zipfile.ZipFile(tmp_path / "ab.pt") as archive:
        assert {"ab/data.pkl", "ab/data/0", "ab/data/1"} <= set(archive.namelist())
        assert archive.read("ab/data/1") in (b"\0\0\x80?", b"?\x80\0\0")
        assert archive.read("ab/data/0") in (b"\7\0\10\0", b"\0\7\0\10")  # as this machine orders its bytes
    with pytest.raises(pickle.UnpicklingError, match="Unsupported (class|global).*range"):
        torch.load(tmp_path / "range.pt", weights_only=True)  # the default since torch 2.6
    assert torch.load(tmp_path / "range.pt", weights_only=False) == range(3)


@claim("save-takes-many-kinds-of-objects")
def test_a_module_a_tensor_and_a_dict_come_back_from_one_file(tmp_path):
    net = nn.Sequential(nn.Linear(2, 1), nn.Tanh())
    net[0].weight, net[0].bias = nn.Parameter(torch.tensor([[1.0, 2.0]])), nn.Parameter(torch.tensor([0.5]))

    torch.save({"net": net, "x": torch.tensor([3, 4]), "names": ("a", "b"), "epoch": 5}, tmp_path / "all.pt")
    loaded = torch.load(tmp_path / "all.pt", weights_only=False)

    assert list(loaded) == ["net", "x", "names", "epoch"]
    assert [type(layer) for layer in loaded["net"]] == [nn.Linear, nn.Tanh]
    assert loaded["net"][0].weight.tolist() == [[1.0, 2.0]]
    assert loaded["x"].tolist() == [3, 4]
    assert (loaded["names"], loaded["epoch"]) == (("a", "b"), 5)


@claim("save-takes-many-kinds-of-objects", truth=True)
def test_what_pickle_cannot_find_by_name_is_refused(tmp_path):
    class Local(nn.Module):
        pass

    unpicklable = (AttributeError, pickle.PicklingError)  # the former up to Python 3.13
    for thing in (lambda x: x, Local()):
        with pytest.raises(unpicklable, match="local object"):
            torch.save(thing, tmp_path / "x.pt")
    with pytest.raises(TypeError, match="cannot pickle 'generator' object"):
        torch.save({"numbers": (n for n in range(3))}, tmp_path / "x.pt")

    torch.save(range(3), tmp_path / "range.pt")
    torch.save({"a": [1, "two", None, (3.0,)]}, tmp_path / "plain.pt")
    torch.save({"loss": np.float64(0.5)}, tmp_path / "loss.pt")  # float(loss) would do
    with pytest.raises(pickle.UnpicklingError, match="numpy"):
        torch.load(tmp_path / "loss.pt", weights_only=True)
    with pytest.raises(pickle.UnpicklingError, match="range"):
        torch.load(tmp_path / "range.pt", weights_only=True)  # the default since torch 2.6
    assert torch.load(tmp_path / "plain.pt", weights_only=True) == {"a": [1, "two", None, (3.0,)]}


@claim("list-of-tensors-round-trips")
def test_two_tensors_of_one_memory_are_that_again(tmp_path, capsys):
    x, y = torch.ones(3), torch.zeros(4)
    torch.save([x, y, x[1:]], tmp_path / "xy.pt")

    loaded = torch.load(tmp_path / "xy.pt", map_location="cpu")
    print(loaded)
    assert capsys.readouterr().out == "[tensor([1., 1., 1.]), tensor([0., 0., 0., 0.]), tensor([1., 1.])]\n"

    loaded[0][2] = 5
    assert loaded[2].tolist() == [1.0, 5.0]
    assert x.tolist() == [1.0, 1.0, 1.0]


@claim("list-of-tensors-round-trips", truth=True)
def test_one_memory_seen_as_two_dtypes_cannot_be_saved(tmp_path):
    x = torch.ones(3)

    with pytest.raises(RuntimeError, match="view the same data as different types"):
        torch.save([x, x.view(torch.int32)], tmp_path / "x.pt")
    torch.save([x, x.view(torch.int32).clone()], tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt")[1].tolist() == [0x3F800000] * 3  # the bits of 1.0

    array = np.array([1.0, 2.0])
    torch.save([torch.from_numpy(array), torch.from_numpy(array)], tmp_path / "twice.pt")
    one, other = torch.load(tmp_path / "twice.pt")
    one[0] = 9.0
    assert (one.tolist(), other.tolist()) == ([9.0, 2.0], [1.0, 2.0])


@claim("dict-of-tensors-round-trips")
def test_a_dict_comes_back_with_its_keys_in_order(tmp_path, capsys):
    torch.save({"y": torch.zeros(4), "x": torch.ones(3), 7: torch.tensor([1, 2])}, tmp_path / "xy.pt")

    loaded = torch.load(tmp_path / "xy.pt", map_location="cpu")
    print(loaded)

    assert capsys.readouterr().out == (
        "{'y': tensor([0., 0., 0., 0.]), 'x': tensor([1., 1., 1.]), 7: tensor([1, 2])}\n"
    )
    assert type(loaded) is dict


@claim("dict-of-tensors-round-trips", truth=True)
def test_keys_must_be_known_and_one_memory_must_have_one_dtype(tmp_path):
    torch.save({"a": torch.tensor(1.0), 2.5: torch.tensor(2.0), ("b", 3): torch.tensor(3.0)}, tmp_path / "known.pt")
    torch.save({frozenset({1, 2}): torch.tensor(4.0)}, tmp_path / "unknown.pt")

    # weights_only=True is the default since torch 2.6
    assert list(torch.load(tmp_path / "known.pt", weights_only=True)) == ["a", 2.5, ("b", 3)]
    with pytest.raises(pickle.UnpicklingError, match="frozenset"):
        torch.load(tmp_path / "unknown.pt", weights_only=True)
    assert list(torch.load(tmp_path / "unknown.pt", weights_only=False)) == [frozenset({1, 2})]

    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        torch.save({"x": x, "bits": x.view(torch.int32)}, tmp_path / "x.pt")
