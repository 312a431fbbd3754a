"""4.1c Containers: after any history beside Python's own lists and dicts."""

import contextlib
import operator
from collections import OrderedDict

import pytest
import torch
from hypothesis import strategies as st
from populations import Population, after_any_history, among, containers, over, whole
from populations.containers import KEYS, Step, steps
from torch import nn

claim = pytest.mark.claim
MODES = among("train", "eval")


# ── sequential-chains-its-modules, modulelist- and moduledict-acts-like, modulelist-has-no-order ──


@claim("modulelist-acts-like-a-list")
@claim("modulelist-has-no-order", truth=True)
def test_after_any_history_a_list_of_modules_is_like_a_list():
    containers.edited_alike("ModuleList")
    after_any_history(containers.history("ModuleList"))


@claim("sequential-chains-its-modules", "parameter-names-carry-the-layer-index", "brackets-reach-a-layer")
def test_after_any_history_a_sequential_is_like_a_list_and_runs_in_that_order():
    containers.edited_alike("Sequential")
    after_any_history(containers.history("Sequential"))


@claim("sequential-chains-its-modules")
@over(letters=among("", "a", "za", "bab", "zyxwvutsrqponm"), named=among("position", "order", "add_module"))
def test_a_sequential_runs_what_it_was_given_in_that_order_whatever_the_names(letters, named):
    made = {letter: Step(letter) for letter in letters}
    twin = [made[letter] for letter in letters]
    if named == "position":
        net = nn.Sequential(*twin)
    else:  # names in the reversed order of the alphabet
        entries = OrderedDict((f"{chr(122 - index)}{index}", module) for index, module in enumerate(twin))
        net = nn.Sequential(entries) if named == "order" else nn.Sequential()
        for name, module in entries.items() if named == "add_module" else ():
            net.add_module(name, module)

    containers.spells(net, twin)
    containers.spells(nn.Sequential(net, Step("!"), net), [*twin, Step("!"), *twin])


@claim("sequential-chains-its-modules")
@over(x=among(torch.ones(2, requires_grad=True) * 2, None, 0, "", (), (1, 2), {"a": 1}))
def test_a_module_takes_whatever_object_the_one_before_puts_out(x):
    class Pair(nn.Module):
        def forward(self, x):
            return x, [x]

    result = nn.Sequential(nn.Identity(), Pair(), nn.Identity())(x)
    assert type(result) is tuple
    assert result[0] is result[1][0] is x
    assert nn.Sequential(Pair(), Pair())(1) == ((1, [1]), [(1, [1])])


@claim("sequential-chains-its-modules", truth=True)
@over(length=whole(3, 12), start=whole(1, 2))
def test_appending_to_a_slice_that_starts_late_replaces_what_bears_the_next_number(length, start):
    twin = steps(length)
    part, newcomer = nn.Sequential(*twin)[start:], Step("!")
    part.append(newcomer)

    expected = dict(zip(range(start, length), twin[start:])) | {length - start: newcomer}
    assert list(part) == list(expected.values())
    assert list(nn.Sequential(*twin)[: length - start].append(newcomer)) == [*twin[: length - start], newcomer]


@claim("sequential-chains-its-modules", truth=True)
@over(length=whole(1, 12), place=among(0, -1))
def test_inserting_before_layers_named_in_words_raises_and_changes_nothing(length, place):
    entries = OrderedDict((f"layer{index}", module) for index, module in enumerate(steps(length)))
    net = nn.Sequential(entries)
    with pytest.raises(KeyError):
        net.insert(place, Step("!"))
    assert dict(net.named_children()) == entries


# ── sequential-needs-matching-sizes ──

SIZES = among(*((3, 4), (4, 3), (1, 4), (4, 1), (64, 65), (65, 64), (1025, 1024)))


@claim("sequential-needs-matching-sizes")
@over(sizes=SIZES, kind=among("Linear", "single example", "Conv1d", "Conv2d", "BatchNorm1d", "LayerNorm"), mode=MODES)
def test_a_size_that_does_not_fit_is_an_error_at_the_call_alone(sizes, kind, mode):
    puts_out, takes_in = sizes
    if kind in ("Conv1d", "Conv2d"):
        layer, x = getattr(nn, kind), torch.ones(2, 1, *[4] * int(kind[4]))
        first, second = layer(1, puts_out, 1), lambda size: layer(size, 2, 1)
    else:
        first, x = nn.Linear(2, puts_out), torch.ones(*([] if kind == "single example" else [6]), 2)
        second = {"BatchNorm1d": nn.BatchNorm1d, "LayerNorm": nn.LayerNorm}.get(kind, lambda size: nn.Linear(size, 5))

    net, fits = (getattr(nn.Sequential(first, nn.ReLU(), second(size)), mode)() for size in (takes_in, puts_out))
    with pytest.raises(RuntimeError):
        net(x)
    assert fits(x).shape[:-1] == x.shape[:-1] or kind.startswith("Conv")


# ── modulelist- and moduledict-acts-like ──


@claim("modulelist-acts-like-a-list", truth=True)
@over(length=whole(1, 11), kind=among("ModuleList", "list"))
def test_what_a_module_list_refuses_a_list_of_any_length_takes(length, kind):
    refused = (
        (TypeError, lambda x: x.pop()),
        (TypeError, lambda x: x.__setitem__(slice(0, 1), [Step("!")])),
        (TypeError, lambda x: x.append("text")),
        (TypeError, lambda x: x.extend([1, 2])),
        (TypeError, lambda x: x.__setitem__(0, nn.ReLU)),
        (KeyError, lambda x: x.insert(-1, Step("!"))),
        (KeyError, lambda x: (x.insert(len(x) + 1, Step("!")), x[-1])),
        *((AttributeError, operator.attrgetter(name)) for name in ("remove", "index", "count", "sort", "reverse")),
    )
    for error, use in refused:
        with pytest.raises(error) if kind == "ModuleList" else contextlib.nullcontext():
            use(nn.ModuleList(steps(length)) if kind == "ModuleList" else steps(length))


@claim("moduledict-acts-like-a-dict")
def test_after_any_history_a_module_dict_is_like_a_dict():
    containers.edited_alike("ModuleDict")
    after_any_history(containers.history("ModuleDict"))


@claim("moduledict-acts-like-a-dict", truth=True)
@over(
    key=among(1, 2.5, None, (1,), b"a", "", ".", "a.b", "items", "keys", "train", "training", "forward", "_modules"),
    spelled=among("item", "update", "constructor"),
)
def test_a_key_that_can_be_no_attribute_is_refused_however_it_is_added(key, spelled):
    net = nn.ModuleDict({"other": nn.ReLU()})
    with pytest.raises((TypeError, KeyError)):
        {
            "item": lambda: net.__setitem__(key, nn.ReLU()),
            "update": lambda: net.update({key: nn.ReLU()}),
            "constructor": lambda: nn.ModuleDict({key: nn.ReLU()}),
        }[spelled]()
    assert list(net) == ["other"]
    assert callable(net.items) and net.training is True


# ── modulelist-has-no-forward, moduledict-has-no-forward ──


@claim("modulelist-has-no-forward", "moduledict-has-no-forward")
@over(length=among(0, 1, 2, 11), arguments=among(("text",), ("west", "text"), (), (0,)), mode=MODES)
def test_no_way_of_calling_a_list_or_dict_of_modules_runs_any_of_it(length, arguments, mode):
    for container in (nn.ModuleList(steps(length)), nn.ModuleDict(dict(zip(KEYS, steps(length))))):
        with pytest.raises(NotImplementedError, match="forward"):
            getattr(container, mode)()(*arguments)


# ── modulelist-has-no-order ──


@claim("modulelist-has-no-order")
@over(visits=Population(((0, 1, 2), (2, 1, 0), (1, 1), ()), st.lists(st.integers(0, 2), max_size=6)))
def test_forward_runs_what_it_likes_as_often_and_in_the_order_it_likes(visits):
    class Chooses(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(steps(3))

        def forward(self, text):
            for index in visits:
                text = self.layers[index](text)
            return text

    assert Chooses()("") == "".join("abc"[index] for index in visits)
