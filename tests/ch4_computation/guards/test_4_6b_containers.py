"""4.6b Containers in files: any nested object, every way to write and to read."""

import contextlib
import io
import pickle
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from populations import agree, among, over, whole
from populations.files import Way, archive, built, filtered, flat, layout_of, nested, pool, ways
from populations.modules import attribute, trees
from torch import nn

claim = pytest.mark.claim


# ── save-uses-pickle ──


class Point:
    """Pickle stores an instance as the name of its class and its attributes, so the class must have a findable name."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __getstate__(self):
        return {"x": self.x, "y": self.y, "written by": "__getstate__"}

    def __setstate__(self, state):
        self.__dict__.update(state, read_by="__setstate__", seen=str(state["y"]))


RESTRICTED = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6)  # whether weights_only=True is the default
SETTINGS = {"rate": 0.5, "layers": [4, (3, 2)], "name": "网络", "done": None, "more": [[1]] * 2}


@claim("save-uses-pickle")
@over(way=ways("older", "mmap"))
def test_load_reads_what_pickle_wrote_and_keeps_one_object_one(way):
    with way.holding(archive(pickle.dumps(SETTINGS, 2))) as load:
        for loaded in (load(), load(weights_only=True)):
            assert loaded == SETTINGS
            assert loaded["more"][0] is loaded["more"][1]


@claim("save-uses-pickle")
@over(way=ways())
def test_the_hooks_of_pickle_are_called(way):
    y = 2 if "older" in way.kind else torch.arange(3.0)  # of whose tensors the numbers follow behind the pickle
    first, second = way.round_trip([Point(1, y)] * 2, weights_only=False)
    for point in (first, way.round_trip(Point(1, y), weights_only=False)):
        assert vars(point) == {
            **{"x": 1, "y": point.y, "seen": str(y)},
            **{"written by": "__getstate__", "read_by": "__setstate__"},
        }
    assert first is second
    for tensor in (torch.ones(2), nn.Parameter(torch.ones(2))):  # which keep attributes of one's own, as any object
        tensor.note = ["kept"]
        assert vars(way.round_trip(tensor, weights_only=False)) == {"note": ["kept"]}


@claim("save-uses-pickle", truth=True)
@over(numbers=among((3,), (1000, 60_000), tuple(range(1, 13))))
def test_the_archive_holds_the_bytes_of_each_tensor_beside_a_pickle_of_their_descriptions(numbers):
    arrays = [np.arange(count, dtype=np.int32) for count in numbers]
    file = io.BytesIO()
    torch.save([torch.tensor(array) for array in arrays], file)
    with zipfile.ZipFile(file) as whole_file:
        assert sum("archive/data/" in name for name in whole_file.namelist()) == len(arrays)
        records = [whole_file.read(f"archive/data/{index}") for index in range(len(arrays))]
        pickled = whole_file.read("archive/data.pkl")

    assert records == [array.tobytes() for array in arrays]
    assert len(pickled) < 200 * len(arrays)


@claim("save-uses-pickle", truth=True)
@over(way=ways(), thing=among(range(3), len, {"deep": [Point(3, 4)]}))
def test_the_restricted_unpickler_builds_no_other_class_by_any_way(way, thing):
    with way.saved(thing) as load:
        with pytest.raises(pickle.UnpicklingError, match="Unsupported (class|global)|Weights only load failed"):
            load(weights_only=True)
        with filtered() if RESTRICTED else contextlib.nullcontext():
            load()
        assert type(load(weights_only=False)) is type(thing)


# ── save-takes-many-kinds-of-objects ──

PLAIN = (7, 2.5, True, None, "text", 2**70, [1, [2]], (1, (2,)), {"k": 1})
OTHERS = (b"bytes", 1 + 2j, {1, 2}, range(3), len, torch.float16, torch.Size([2, 3]), torch.device("cpu"), Point)
OTHERS += (Counter("aab"), OrderedDict(b=1, a=2))


@claim("save-takes-many-kinds-of-objects")
@over(thing=among(*PLAIN, *OTHERS), way=among(Way("memory"), Way("older Path")))
def test_an_object_comes_back_equal_and_of_the_same_type_inside_and_out(thing, way):
    outer, inner = way.round_trip([thing, {"inner": (thing,)}], weights_only=False)
    for loaded in (way.round_trip(thing, weights_only=False), outer, inner["inner"][0]):
        assert loaded == thing
        assert type(loaded) is type(thing)
        assert list(flat(loaded)) == list(flat(thing)) if isinstance(thing, list | tuple | dict) else True


@claim("save-takes-many-kinds-of-objects")
@over(each=trees(), training=among(True, False))
def test_a_module_of_any_tree_comes_back_with_everything_in_it(each, training):
    net, plan = each
    loaded = Way("memory").round_trip(net.train(training), weights_only=False)

    assert [(name, type(module)) for name, module in loaded.named_modules(remove_duplicate=False)] == [
        (name, type(module)) for name, module in net.named_modules(remove_duplicate=False)
    ]
    assert {module.training for module in loaded.modules()} == {training}
    assert list(loaded.state_dict()) == [member.name for member in plan.state]
    for member in (*plan.parameters, *plan.buffers):
        agree(attribute(loaded, member.name), member.array)
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in net.parameters()]


@claim("save-takes-many-kinds-of-objects", truth=True)
@over(
    kind=among("lambda", "local class", "generator"),
    place=among("alone", "in a list", "in a dict", "as an attribute"),
    way=among(Way("memory"), Way("older Path")),
)
def test_what_pickle_cannot_find_by_name_is_refused_wherever_it_stands(kind, place, way):
    class Local:
        pass

    thing = {"lambda": lambda x: x, "local class": Local(), "generator": (n for n in range(3))}[kind]
    holder = nn.Identity()
    holder.thing = thing
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        way.round_trip(
            {"alone": thing, "in a list": [thing], "in a dict": {"a": thing}, "as an attribute": holder}[place]
        )


@claim("save-takes-many-kinds-of-objects", truth=True)
@over(
    thing=among(np.float64(0.5), np.float32(0.5), np.int64(3), np.bool_(True), np.ones(2), np.zeros((0, 3))),
    place=among("alone", "a value", "a key"),
    way=among(Way("memory"), Way("older Path")),
)
def test_numbers_and_arrays_of_numpy_come_back_without_the_filter_alone(thing, place, way):
    hashable = isinstance(thing, np.generic)
    saved = {"alone": thing, "a value": {"a": thing}, "a key": {thing: 1} if hashable else [thing]}[place]
    with way.saved(saved) as load:
        with filtered():
            load(weights_only=True)
        loaded = load(weights_only=False)
    inner = loaded if place == "alone" else next(iter(loaded.values() if place == "a value" else loaded))
    assert type(inner) is type(thing)
    assert np.array_equal(inner, thing)


@claim("save-takes-many-kinds-of-objects", truth=True)
@over(thing=among(*PLAIN), way=among(Way("mmap"), Way("older Path")))
def test_plain_objects_come_back_under_weights_only(thing, way):
    loaded = way.round_trip([thing], weights_only=True)
    assert loaded == [thing]
    assert type(loaded[0]) is type(thing)


# ── list-of-tensors-round-trips, dict-of-tensors-round-trips ──


def comes_back_whole(recipe, way):
    tensors = pool()
    saved = list(flat(built(recipe, tensors)))
    loaded = list(flat(way.round_trip(built(recipe, tensors))))

    assert [path for path, _ in loaded] == [path for path, _ in saved]
    for (_, now), (_, then) in zip(loaded, saved):
        assert type(now) is type(then)
        if isinstance(then, torch.Tensor):
            assert layout_of(now) == layout_of(then)
            agree(now, np.asarray(then.tolist()).reshape(then.shape))
        else:
            assert now == then
    assert sharing(loaded) == sharing(saved)


def sharing(leaves):
    """For each tensor the first one that is the same object, and the first with the same memory."""
    tensors = [leaf for _, leaf in leaves if isinstance(leaf, torch.Tensor)]
    memories = [tensor.untyped_storage() for tensor in tensors]
    places = [each.data_ptr() if each.nbytes() else f"empty {id(t)}" for t, each in zip(tensors, memories)]
    return [(list(map(id, tensors)).index(id(each)), places.index(place)) for each, place in zip(tensors, places)]


@claim("list-of-tensors-round-trips")
@over(recipe=nested("list", "tuple"), way=ways())
def test_any_nested_list_comes_back_with_its_order_types_and_shared_memory(recipe, way):
    comes_back_whole(recipe, way)


@claim("dict-of-tensors-round-trips")
@over(recipe=nested("dict"), way=ways())
def test_any_nested_dict_comes_back_with_its_keys_order_types_and_shared_memory(recipe, way):
    comes_back_whole(recipe, way)


@claim("list-of-tensors-round-trips")
@over(size=whole(10, 10_000, 1000))
def test_the_file_holds_shared_memory_once_and_all_of_it(size):
    whole_memory = torch.arange(size)
    part, stored = whole_memory[:5], []
    for things in ([whole_memory, whole_memory, part, whole_memory.view(-1, 1)], [part], [part.clone()]):
        file = io.BytesIO()
        torch.save(things, file)
        with zipfile.ZipFile(file) as saved:
            stored.append([entry.file_size for entry in saved.infolist() if "archive/data/" in entry.filename])

    assert stored == [[size * 8], [size * 8], [40]]


@claim("list-of-tensors-round-trips", "dict-of-tensors-round-trips", truth=True)
@over(
    dtypes=among((torch.float32, torch.int32), (torch.int64, torch.float64), (torch.complex64, torch.float32)),
    nest=among("list", "dict", "deep"),
    way=among(Way("memory"), Way("older Path")),
)
def test_two_dtypes_of_one_memory_are_refused_together_and_saved_apart(dtypes, nest, way):
    one = torch.ones(4, dtype=dtypes[0])
    other = torch.view_as_real(one) if one.is_complex() else one.view(dtypes[1])
    things = {"list": [one, other], "dict": {"a": one, "b": other}, "deep": {"a": [one], "b": {"c": (other[1:],)}}}[
        nest
    ]

    with pytest.raises(RuntimeError, match="view the same data as different types"):
        way.round_trip(things)
    assert way.round_trip([one, other.clone()])[1].tolist() == other.tolist()


@claim("list-of-tensors-round-trips", truth=True)
@over(size=whole(1, 1000, 33), way=among(Way("memory"), Way("older Path")))
def test_memory_that_numpy_lent_twice_comes_back_as_two_memories(size, way):
    array = np.arange(size)
    tensor = torch.from_numpy(array)
    one, other, same = way.round_trip([tensor, torch.from_numpy(array), tensor.view(-1)])
    one += 1
    assert same.tolist() == list(range(1, size + 1))
    assert other.tolist() == list(range(size))


@claim("dict-of-tensors-round-trips", truth=True)
@over(
    key=among("a", 1, 2.5, ("b", 3), None, True, frozenset(), frozenset({1}), range(2)),
    way=among(Way("memory"), Way("older Path")),
)
def test_keys_that_the_filter_knows_come_back_and_others_do_not(key, way):
    unknown = isinstance(key, frozenset | range)
    with way.saved({key: 1}) as load:
        with filtered() if unknown else contextlib.nullcontext():
            assert list(load(weights_only=True)) == [key]
        assert list(load(weights_only=False)) == [key]
