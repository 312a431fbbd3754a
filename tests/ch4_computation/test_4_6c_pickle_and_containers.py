"""4.6 Saving and loading: pickle and containers

*Pickle* is Python's own format for objects: a small program that rebuilds them. `torch.save` pickles whatever it is
given and lays the numbers of the tensors aside, so that they are copied as plain bytes; pickle and numbers go into
one zip archive. What pickle can store, `save` can store: tensors, containers of anything, modules, instances of
classes that can be found by name. Pickle writes each object once, however often it occurs, and so does `save` with
the memory of tensors: what was shared before is shared after.
"""

import pickle
import struct
import zipfile
from collections import OrderedDict

import pytest
import torch
from torch import nn

claim = pytest.mark.claim

UNPICKLABLE = (AttributeError, pickle.PicklingError)  # the former up to Python 3.13


class Point:
    """Pickle stores an instance as the name of its class and its attributes, so the class must have a findable name."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __getstate__(self):
        return {"x": self.x, "y": self.y, "written by": "__getstate__"}

    def __setstate__(self, state):
        self.__dict__.update(state, read_by="__setstate__")


# ── save-uses-pickle ──


@claim("save-uses-pickle")
def test_pickle_reads_what_save_wrote(tmp_path):
    settings = {"rate": 0.5, "layers": [4, (3, 2)], "name": "网络", "done": None}

    torch.save(settings, tmp_path / "settings.pt")
    with zipfile.ZipFile(tmp_path / "settings.pt") as archive:
        read_by_pickle = pickle.loads(archive.read("settings/data.pkl"))

    assert read_by_pickle == settings


@claim("save-uses-pickle")
def test_load_reads_what_pickle_wrote(tmp_path):
    settings = {"rate": 0.5, "layers": [4, (3, 2)], "name": "网络", "done": None}
    with zipfile.ZipFile(tmp_path / "settings.pt", "w") as archive:
        archive.writestr("settings/data.pkl", pickle.dumps(settings, protocol=2))
        archive.writestr("settings/version", "3\n")

    assert torch.load(tmp_path / "settings.pt") == settings


@claim("save-uses-pickle")
def test_the_hooks_of_pickle_are_called(tmp_path):
    torch.save(Point(1, 2), tmp_path / "point.pt")

    loaded = torch.load(tmp_path / "point.pt", weights_only=False)

    assert vars(loaded) == {"x": 1, "y": 2, "written by": "__getstate__", "read_by": "__setstate__"}


@claim("save-uses-pickle", truth=True)
def test_the_file_is_a_zip_archive_with_a_pickle_and_the_numbers_beside_it(tmp_path):
    torch.save({"a": torch.tensor([1.0, 2.5, -3.0]), "b": torch.tensor([7, 8])}, tmp_path / "ab.pt")

    with zipfile.ZipFile(tmp_path / "ab.pt") as archive:
        names = set(archive.namelist())
        first, second = archive.read("ab/data/0"), archive.read("ab/data/1")

    assert {"ab/data.pkl", "ab/data/0", "ab/data/1"} <= names
    assert first == struct.pack("=3f", 1.0, 2.5, -3.0)
    assert second == struct.pack("=2q", 7, 8)


@claim("save-uses-pickle", truth=True)
def test_the_size_of_the_pickle_does_not_depend_on_the_number_of_elements(tmp_path):
    sizes = []
    for elements in (1_000, 60_000):
        torch.save(torch.zeros(elements), tmp_path / "x.pt")
        with zipfile.ZipFile(tmp_path / "x.pt") as archive:
            sizes.append(archive.getinfo("x/data.pkl").file_size)

    assert abs(sizes[1] - sizes[0]) <= 8  # the same program, with larger numbers in it
    assert max(sizes) < 1_000


@claim("save-uses-pickle", truth=True)
def test_the_restricted_unpickler_builds_tensors_and_containers_but_no_other_class(tmp_path):
    torch.save({"a": torch.tensor([1.0]), "b": [2, "three"]}, tmp_path / "plain.pt")
    torch.save(Point(1, 2), tmp_path / "point.pt")

    plain = torch.load(tmp_path / "plain.pt", weights_only=True)

    assert list(plain) == ["a", "b"]
    assert plain["a"].tolist() == [1.0]
    assert plain["b"] == [2, "three"]
    with pytest.raises(pickle.UnpicklingError, match=r"Unsupported (class|global).*Point"):
        torch.load(tmp_path / "point.pt", weights_only=True)


# ── save-takes-many-kinds-of-objects ──

OBJECTS = [7, 2.5, True, None, "text", b"bytes", 1 + 2j, 2**70, [1, [2]], (1, (2,)), {"k": 1}, {1, 2}, range(3), len]
OBJECTS += [torch.float16, torch.Size([2, 3]), torch.device("cpu"), Point, OrderedDict(b=1, a=2)]


@claim("save-takes-many-kinds-of-objects")
@pytest.mark.parametrize("thing", OBJECTS, ids=repr)
def test_an_object_comes_back_equal_and_of_the_same_type(tmp_path, thing):
    torch.save(thing, tmp_path / "thing.pt")

    loaded = torch.load(tmp_path / "thing.pt", weights_only=False)

    assert loaded == thing
    assert type(loaded) is type(thing)


@claim("save-takes-many-kinds-of-objects")
def test_a_module_comes_back_and_computes_the_same(tmp_path):
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.BatchNorm1d(2))
    net(torch.randn(8, 3))  # moves the running statistics, which are buffers
    net.eval()
    x = torch.tensor([[1.0, -2.0, 0.5]])

    torch.save(net, tmp_path / "net.pt")
    loaded = torch.load(tmp_path / "net.pt", weights_only=False)

    assert [type(layer) for layer in loaded] == [nn.Linear, nn.Tanh, nn.BatchNorm1d]
    assert loaded.training is False
    assert loaded(x).tolist() == net(x).tolist()


@claim("save-takes-many-kinds-of-objects", truth=True)
def test_a_lambda_is_refused(tmp_path):
    with pytest.raises(UNPICKLABLE, match="local object .*lambda"):
        torch.save(lambda x: x, tmp_path / "x.pt")


@claim("save-takes-many-kinds-of-objects", truth=True)
def test_an_instance_of_a_local_class_is_refused(tmp_path):
    class Local(nn.Module):
        pass

    with pytest.raises(UNPICKLABLE, match="local object .*Local"):
        torch.save(Local(), tmp_path / "x.pt")


@claim("save-takes-many-kinds-of-objects", truth=True)
def test_a_generator_raises_type_error_even_inside_a_container(tmp_path):
    with pytest.raises(TypeError, match="cannot pickle 'generator' object"):
        torch.save({"numbers": (n for n in range(3))}, tmp_path / "x.pt")


# ── list-of-tensors-round-trips ──


@claim("list-of-tensors-round-trips")
def test_a_list_of_tensors_keeps_order_shapes_and_dtypes(tmp_path):
    tensors = [torch.ones(3), torch.zeros(2, 1, dtype=torch.int16), torch.tensor(True), torch.empty(0)]

    torch.save(tensors, tmp_path / "list.pt")
    loaded = torch.load(tmp_path / "list.pt")

    assert type(loaded) is list
    assert [x.tolist() for x in loaded] == [[1.0, 1.0, 1.0], [[0], [0]], True, []]
    assert [x.dtype for x in loaded] == [torch.float32, torch.int16, torch.bool, torch.float32]


@claim("list-of-tensors-round-trips")
def test_lists_and_tuples_nest(tmp_path):
    torch.save([(torch.tensor([1.0]),), [], [2, (torch.tensor([3.0, 4.0]),)]], tmp_path / "list.pt")

    loaded = torch.load(tmp_path / "list.pt")

    assert [len(part) for part in loaded] == [1, 0, 2]
    (first,), empty, (number, inner) = loaded
    assert first.tolist() == [1.0]
    assert empty == []
    assert number == 2
    assert type(inner) is tuple
    assert inner[0].tolist() == [3.0, 4.0]


@claim("list-of-tensors-round-trips")
def test_tensors_that_shared_memory_do_so_again(tmp_path):
    whole = torch.arange(6)
    torch.save([whole, whole[2:4], whole.view(2, 3), [(whole[1:3],)]], tmp_path / "list.pt")

    loaded, part, table, [(nested,)] = torch.load(tmp_path / "list.pt")
    part[0] = 20

    assert loaded.tolist() == [0, 1, 20, 3, 4, 5]
    assert nested.tolist() == [1, 20]
    assert table.tolist() == [[0, 1, 20], [3, 4, 5]]
    assert whole.tolist() == [0, 1, 2, 3, 4, 5]


@claim("list-of-tensors-round-trips")
def test_tensors_that_were_only_equal_stay_apart(tmp_path):
    torch.save([torch.ones(2), torch.ones(2)], tmp_path / "list.pt")

    first, second = torch.load(tmp_path / "list.pt")
    first[0] = 5

    assert second.tolist() == [1.0, 1.0]


@claim("list-of-tensors-round-trips")
def test_the_file_holds_shared_memory_once(tmp_path):
    whole = torch.arange(1000)
    torch.save([whole, whole, whole[:10], whole.view(20, 50)], tmp_path / "list.pt")

    with zipfile.ZipFile(tmp_path / "list.pt") as archive:
        stored = [entry.file_size for entry in archive.infolist() if entry.filename.startswith("list/data/")]

    assert stored == [1000 * 8]


@claim("list-of-tensors-round-trips")
def test_a_saved_view_brings_all_of_its_memory_unless_it_is_cloned(tmp_path):
    whole = torch.arange(10_000)

    torch.save([whole[:10]], tmp_path / "view.pt")
    torch.save([whole[:10].clone()], tmp_path / "clone.pt")

    assert (tmp_path / "view.pt").stat().st_size > 10_000 * 8
    assert (tmp_path / "clone.pt").stat().st_size < 10_000


# ── dict-of-tensors-round-trips ──


@claim("dict-of-tensors-round-trips")
def test_a_dict_of_tensors_keeps_keys_order_and_values(tmp_path):
    tensors = {"y": torch.zeros(4), "x": torch.ones(3), 7: torch.tensor([[1, 2]]), ("a", 1): torch.tensor(2.5)}

    torch.save(tensors, tmp_path / "dict.pt")
    loaded = torch.load(tmp_path / "dict.pt")

    assert type(loaded) is dict
    assert list(loaded) == ["y", "x", 7, ("a", 1)]
    assert [x.tolist() for x in loaded.values()] == [[0.0] * 4, [1.0] * 3, [[1, 2]], 2.5]
    assert [x.dtype for x in loaded.values()] == [x.dtype for x in tensors.values()]


@claim("dict-of-tensors-round-trips")
def test_a_dict_may_mix_tensors_with_plain_values_and_other_dicts(tmp_path):
    torch.save({"epoch": 3, "best": {"loss": 0.25, "w": torch.tensor([1.0, 2.0])}}, tmp_path / "dict.pt")

    loaded = torch.load(tmp_path / "dict.pt")

    assert loaded["epoch"] == 3
    assert type(loaded["epoch"]) is int
    assert loaded["best"]["loss"] == 0.25
    assert loaded["best"]["w"].tolist() == [1.0, 2.0]


@claim("dict-of-tensors-round-trips")
def test_two_keys_for_one_tensor_lead_to_one_tensor_again(tmp_path):
    x = torch.tensor([1.0, 2.0])
    torch.save({"first": x, "second": x, "third": x.clone()}, tmp_path / "dict.pt")
    torch.save({"first": x, "inner": {"second": x}}, tmp_path / "nested.pt")

    loaded, nested = torch.load(tmp_path / "dict.pt"), torch.load(tmp_path / "nested.pt")
    loaded["first"][0] = 9.0
    nested["first"][0] = 8.0

    assert loaded["second"].tolist() == [9.0, 2.0]
    assert loaded["third"].tolist() == [1.0, 2.0]
    assert nested["inner"]["second"].tolist() == [8.0, 2.0]
