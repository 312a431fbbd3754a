"""4.6b Containers in files: any object, any nested list or dict, every way to write and to read."""

import contextlib
import functools
import io
import pickle
import types
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Hashable
from datetime import date
from fractions import Fraction

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, agree, among, each, over, whole
from populations.comparing import accepted
from populations.files import BY_DEFAULT, Way, archive, built, filtered, flat, layout_of, nested, pool, ways
from populations.initialisers import RELEASE
from torch import nn

claim = pytest.mark.claim
PLACES = {
    "alone": lambda thing: thing,
    "in a list": lambda thing: [thing],
    "deep inside": lambda thing: {"inner": (1, [thing])},
    "as a key": lambda thing: {thing: 1} if isinstance(thing, Hashable) else [thing],
}


class Point:
    """Pickle stores an instance as the name of its class and its attributes, so the class must have a findable name."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __getstate__(self):
        return {"x": self.x, "y": self.y, "written by": "__getstate__"}

    def __setstate__(self, state):
        self.__dict__.update(state, read_by="__setstate__", seen=str(state["y"]))


@claim("save-uses-pickle")
@over(way=ways("older", "mmap"))
def test_load_reads_what_pickle_wrote_and_keeps_one_object_one(way):
    settings = {"rate": 0.5, "layers": [4, (3, 2)], "name": "网络", "done": None, "more": [[1]] * 2}
    with way.holding(archive(pickle.dumps(settings, 2))) as load:
        for loaded in (load(), load(weights_only=True)):
            assert loaded == settings
            assert loaded["more"][0] is loaded["more"][1]


@claim("save-uses-pickle")
@over(way=ways())
def test_the_hooks_of_pickle_are_called(way):
    y = 2 if "older" in way.kind else torch.arange(3.0)  # of whose tensors the numbers follow behind the pickle
    first, second = way.round_trip([Point(1, y)] * 2, weights_only=False)
    for point in (first, way.round_trip(Point(1, y), weights_only=False)):
        met = {"written by": "__getstate__", "read_by": "__setstate__"}
        assert vars(point) == {"x": 1, "y": point.y, "seen": str(y), **met}
    assert first is second
    for tensor in (torch.ones(2), nn.Parameter(torch.ones(2))):  # which keep attributes of one's own, as any object
        tensor.note = ["kept"]
        assert vars(way.round_trip(tensor, weights_only=False)) == {"note": ["kept"]}


def records(*things, **options):
    """What is in the archive that ``save`` makes of ``things``: the pickle, and the bytes of each memory."""
    file = io.BytesIO()
    torch.save(list(things), file, **options)
    with zipfile.ZipFile(file) as saved:
        memories = [saved.read(name) for name in saved.namelist() if "archive/data/" in name]
        return saved.read("archive/data.pkl"), memories


@claim("save-uses-pickle", truth=True)
@over(numbers=among((3,), (1000, 60_000), tuple(range(1, 13))), protocol=among(2, 3, 4, 5))
def test_the_archive_holds_the_bytes_of_each_tensor_beside_a_pickle_of_their_descriptions(numbers, protocol):
    arrays, made = [np.arange(count, dtype=np.int32) for count in numbers], []

    class Pickler(pickle.Pickler):
        def __init__(self, *args, **rest):
            made.append(super().__init__(*args, **rest))

    module = types.SimpleNamespace(**{**vars(pickle), "Pickler": Pickler})
    pickled, memories = records(*map(torch.tensor, arrays), pickle_module=module, pickle_protocol=protocol)

    assert len(made) == 1  # the pickler that was named
    assert pickled[:2] == bytes([0x80, protocol])
    assert sorted(memories) == sorted(array.tobytes() for array in arrays)
    assert len(pickled) < 200 * len(arrays)


PLAIN = (7, 2.5, -0.0, True, None, "text", 3**50, [1, [2]], (1, (2,)), {"k": 1})
PLAIN += ((0.5, -300, 70_000, "四", -(2**40)), {number: [f"{number}"] * 2 for number in range(1002)})
FOREIGN = (range(3), len, {"deep": [Point]}, frozenset({1}), np.float64(0.5), np.float32(0.5), np.int64(3))
FOREIGN += (np.bool_(True), np.ones(2), np.zeros((0, 3)))
FOREIGN += (functools.partial(OrderedDict), deque(), defaultdict(int), Fraction(1, 3), date(2024, 1, 2))
OTHERS = (b"bytes", 1 + 2j, {1, 2}, torch.float16, torch.Size([2, 3]), torch.device("cpu"), Counter("aab"))
OTHERS += (OrderedDict(b=1, a=2),)
PASSED = PLAIN + (OTHERS if RELEASE >= (2, 14) else ())  # torch 2.0 refuses several of the others


@claim("save-takes-many-kinds-of-objects")
@over(
    EVERY_MODE, thing=among(*PLAIN, *FOREIGN, *OTHERS), place=each(*PLACES), way=among(Way("memory"), Way("older Path"))
)
def test_an_object_comes_back_equal_and_of_the_same_type_wherever_it_stands(thing, place, way):
    saved = PLACES[place](thing)
    loaded = way.round_trip(saved, weights_only=False)

    assert (type(loaded), repr(loaded)) == (type(saved), repr(saved))  # which tells the types within, and their order


@claim("save-uses-pickle", "save-takes-many-kinds-of-objects", "dict-of-tensors-round-trips", truth=True)
@over(
    thing=among(*((thing, True) for thing in PASSED), *((thing, False) for thing in FOREIGN)),
    place=each(*PLACES),
    way=ways(),
)
def test_the_filter_passes_plain_objects_and_refuses_all_others_wherever_they_stand(thing, place, way):
    (thing, plain), saved = thing, PLACES[place](thing[0])
    with way.saved(saved) as load:
        for options in ({"weights_only": True}, BY_DEFAULT):
            with contextlib.nullcontext() if plain else filtered():
                assert repr(accepted(load, **options) if plain else load(**options)) == repr(saved)


@claim("save-takes-many-kinds-of-objects", truth=True)
@over(
    kind=among("lambda", "local class", "generator"),
    place=among(*PLACES, "as an attribute"),
    way=among(Way("memory"), Way("older Path")),
)
def test_what_pickle_cannot_find_by_name_is_refused_wherever_it_stands(kind, place, way):
    class Local:
        pass

    thing, holder = {"lambda": lambda x: x, "local class": Local(), "generator": (n for n in "ab")}[kind], nn.Identity()
    holder.thing = thing
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        way.round_trip(PLACES.get(place, lambda thing: holder)(thing))


def sharing(leaves):
    """For each tensor the first one that is the same object, and the first with the same memory."""
    tensors = [leaf for _, leaf in leaves if isinstance(leaf, torch.Tensor)]
    memories = [tensor.untyped_storage() for tensor in tensors]
    places = [each.data_ptr() if each.nbytes() else f"empty {id(t)}" for t, each in zip(tensors, memories)]
    return [(list(map(id, tensors)).index(id(each)), places.index(place)) for each, place in zip(tensors, places)]


@claim("list-of-tensors-round-trips", "dict-of-tensors-round-trips")
@over(
    EVERY_MODE,
    recipe=nested("list", "tuple", "dict", "ordered"),
    way=ways(),
    location=among(None, "cpu", torch.device("cpu"), {"cpu": "cpu"}, lambda storage, tag: storage),
)
def test_any_nested_list_or_dict_comes_back_with_its_keys_order_types_and_shared_memory(recipe, way, location):
    thing = built(recipe, pool())
    saved, loaded = list(flat(thing)), list(flat(way.round_trip(thing, map_location=location)))

    assert [path for path, _ in loaded] == [path for path, _ in saved]
    for (_, now), (_, then) in zip(loaded, saved):
        assert type(now) is type(then)
        if isinstance(then, torch.Tensor):
            assert layout_of(now) == layout_of(then)
            agree(now, np.asarray(then.tolist()).reshape(then.shape))
        else:
            assert now == then
    assert sharing(loaded) == sharing(saved)


@claim("list-of-tensors-round-trips")
@over(size=whole(10, 10_000, 1000))
def test_the_file_holds_shared_memory_once_and_all_of_it(size):
    all_of_it = torch.arange(size)
    part = all_of_it[:5]
    for things in ((all_of_it, all_of_it, part, all_of_it.view(-1, 1)), (part,)):
        assert list(map(len, records(*things)[1])) == [8 * size]
    assert list(map(len, records(part.clone())[1])) == [40]


@claim("list-of-tensors-round-trips", "dict-of-tensors-round-trips", truth=True)
@over(
    dtypes=among((torch.float32, torch.int32), (torch.int64, torch.float64), (torch.complex64, torch.float32)),
    nest=among(
        lambda one, other: [one, other],
        lambda one, other: {"a": one, "b": other},
        lambda one, other: {"a": [one], "b": {"c": (other[1:],)}},
    ),
    way=among(Way("memory"), Way("older Path")),
)
def test_two_dtypes_of_one_memory_are_refused_together_and_saved_apart(dtypes, nest, way):
    one = torch.ones(4, dtype=dtypes[0])
    other = torch.view_as_real(one) if one.is_complex() else one.view(dtypes[1])

    with pytest.raises(RuntimeError, match="view the same data as different types"):
        way.round_trip(nest(one, other))
    assert way.round_trip([one, other.clone()])[1].tolist() == other.tolist()
