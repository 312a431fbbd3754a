"""4.1c Containers: after any history beside Python's own lists and dicts."""

from collections import OrderedDict

import pytest
import torch
from hypothesis import strategies as st
from populations import Population, after_any_history, among, containers, over, whole
from populations.containers import Step, steps, told
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
@claim("sequential-chains-its-modules", truth=True)
@over(letters=among("a", "za", "bab", "zyxwvutsrqponm"), named=among("in an OrderedDict", "by add_module"))
def test_layers_named_in_words_run_in_the_order_given_and_none_is_inserted_among_them(letters, named):
    made = {letter: Step(letter) for letter in letters}
    twin = [made[letter] for letter in letters]
    # names in the reversed order of the alphabet
    entries = OrderedDict((f"{chr(122 - index)}{index}", module) for index, module in enumerate(twin))
    net = nn.Sequential(entries) if named == "in an OrderedDict" else nn.Sequential()
    for name, module in entries.items() if named == "by add_module" else ():
        net.add_module(name, module)

    containers.spells(nn.Sequential(net, Step("!"), net), [*twin, Step("!"), *twin])
    for place in (0, -1):
        with pytest.raises(KeyError):
            net.insert(place, Step("!"))
    assert list(net) == twin


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


@claim("sequential-chains-its-modules", "parameter-names-carry-the-layer-index", truth=True)
@over(length=whole(1, 12), start=among(0, 1, 2, 5), named=among("by index", "in words"))
def test_a_slice_keeps_the_names_of_the_whole_so_that_what_is_appended_may_replace_a_layer(length, start, named):
    names = [f"{124 - index:c}{index}" if named == "in words" else f"{index}" for index in range(length)]
    layers = OrderedDict(zip(names, steps(length)))
    part, kept = nn.Sequential(layers)[start:], dict(list(layers.items())[start:])

    assert told(part.named_children()) == told(kept.items())
    kept[f"{len(part)}"] = newcomer = Step("!")
    part.append(newcomer)
    assert told(part.named_children()) == told(kept.items())
    assert list(part.state_dict()) == [f"{name}.code" for name in kept]


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


@claim("moduledict-acts-like-a-dict")
def test_after_any_history_a_module_dict_is_like_a_dict():
    containers.edited_alike("ModuleDict")
    after_any_history(containers.history("ModuleDict"))


# Of no use as the name of an attribute, or the name of one that the class has
NO_KEYS = (1, 2.5, None, (1,), b"a", "", ".", "a.b", "items", "keys", "train", "forward", "half")


@claim("moduledict-acts-like-a-dict", "parameterdict-acts-like-a-dict", truth=True)
@over(
    added=among(
        *(("ModuleDict", key) for key in (*NO_KEYS, "training", "_modules")),
        *(("ParameterDict", key) for key in NO_KEYS),
    ),
    spelled=among("item", "update", "constructor"),
)
def test_a_key_that_can_be_no_attribute_is_refused_however_it_is_added(added, spelled):
    (kind, key), (value,) = added, containers.members(added[0], 1)
    container = containers.contained(kind, {"other": value})
    with pytest.raises(KeyError if isinstance(key, str) else TypeError):
        {
            "item": lambda: container.__setitem__(key, value),
            "update": lambda: container.update([(key, value)]),
            "constructor": lambda: containers.contained(kind, {key: value}),
        }[spelled]()
    assert len(container.state_dict()) == 1
    assert callable(container.items)
    assert container.training is True


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
