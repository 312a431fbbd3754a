"""4.1a Modules and containers: trees of every kind, and containers after any history, beside Python's own."""

import contextlib
import itertools
import operator
from collections import OrderedDict

import pytest
import torch
from hypothesis import strategies as st
from populations import Population, after_any_history, among, containers, over, whole
from populations.containers import DICT_EDITS, KEYS, LIST_EDITS, Step, edited, like_a_dict, like_a_list, listed, steps
from populations.modules import WITH_PARAMETERS, layers, tree
from torch import nn

claim = pytest.mark.claim

ARGUMENTS = among(
    *(((), {}), ((1,), {}), ((1, "two", 3.0, None, [5]), {}), ((), {"x": 1, "mode": "two"}), (((1, 2),), {"self_": 3}))
)
MODES = among("train", "eval")

# ── subclassing-module-defines-a-model ──


@claim("subclassing-module-defines-a-model")
@over(arguments=ARGUMENTS, mode=MODES, grad=among(True, False))
def test_every_call_runs_forward_once_with_all_its_arguments_and_hands_back_its_result(arguments, mode, grad):
    class Recorder(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.result = [], torch.ones(2, requires_grad=True) * 2

        def forward(self, *args, **kwargs):
            self.calls.append((args, kwargs))
            return self.result

    net = getattr(Recorder(), mode)()
    args, kwargs = arguments

    with torch.set_grad_enabled(grad):
        assert net(*args, **kwargs) is net(*args, **kwargs) is net.result
    assert net.calls == [arguments, arguments]
    assert net.result.requires_grad is True


@claim("subclassing-module-defines-a-model")
@over(inputs=whole(0, 3), mode=MODES)
def test_no_model_without_forward_can_be_called(inputs, mode):
    class Unfinished(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        getattr(Unfinished(), mode)()(*[torch.ones(2)] * inputs)


# ── super-init-comes-first ──


@claim("super-init-comes-first")
@over(
    kind=among(
        "Linear", "ReLU", "Sequential", "Parameter", "frozen Parameter", "buffer", "unsaved buffer", "add_module"
    ),
    named=among("first", "weight", "a"),
)
def test_nothing_that_is_registered_may_come_before_super_init(kind, named):
    enter = {
        "Linear": lambda self: setattr(self, named, nn.Linear(3, 2)),
        "ReLU": lambda self: setattr(self, named, nn.ReLU()),
        "Sequential": lambda self: setattr(self, named, nn.Sequential()),
        "Parameter": lambda self: setattr(self, named, nn.Parameter(torch.ones(2))),
        "frozen Parameter": lambda self: setattr(self, named, nn.Parameter(torch.ones(2), requires_grad=False)),
        "buffer": lambda self: self.register_buffer(named, torch.ones(2)),
        "unsaved buffer": lambda self: self.register_buffer(named, torch.ones(2), persistent=False),
        "add_module": lambda self: self.add_module(named, nn.ReLU()),
    }[kind]

    class TooEarly(nn.Module):
        def __init__(self):
            self.plain, self.constant = [nn.ReLU()], torch.ones(2)
            enter(self)
            super().__init__()

    class InTime(nn.Module):
        def __init__(self):
            super().__init__()
            enter(self)

    with pytest.raises(AttributeError):
        TooEarly()
    assert len([*InTime().parameters(), *InTime().buffers(), *InTime().children()]) > 0


@claim("super-init-comes-first")
def test_every_module_has_registers_of_its_own_and_starts_in_training_mode():
    first, second = nn.Module(), nn.Module()
    first.layer, first.weight = nn.ReLU(), nn.Parameter(torch.ones(2))
    first.register_buffer("saved", torch.ones(2))
    first.register_buffer("unsaved", torch.ones(2), persistent=False)

    assert list(second.parameters()) == list(second.buffers()) == list(second.children()) == []
    second.register_buffer("unsaved", torch.ones(2))
    assert list(second.state_dict()) == ["unsaved"]
    assert list(first.state_dict()) == ["weight", "saved"]
    assert (first.training, second.training) == (True, True)


# ── module-constructor-takes-other-arguments ──


@claim("module-constructor-takes-other-arguments", truth=True)
@over(
    arguments=among(
        ((), {"params": None}), ((), {"size": 3, "params": {}}), ((1,), {}), ((None,), {"params": 1}), (("x", 2), {})
    ),
    named=among("training", "forward", "device", "self_", "_modules"),
)
def test_the_parent_constructor_refuses_every_argument_even_one_named_as_an_attribute(arguments, named):
    class PassesOn(nn.Module):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    for make in (nn.Module, PassesOn):
        with pytest.raises(TypeError):
            make(*arguments[0], **arguments[1])
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            make(**{named: True})


# ── containers-subclass-module, modulelist- and moduledict-registers-parameters ──

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
NESTS = among(*(tree(a, tree(b, tree(c, "Own", "Linear"))) for a, b, c in itertools.product(CONTAINERS, repeat=3)))


@claim("containers-subclass-module", "modulelist-registers-parameters", "moduledict-registers-parameters")
@over(nest=NESTS)
def test_whatever_is_done_to_the_outermost_reaches_a_layer_below_three_containers(nest):
    net, plan = nest
    leaf = plan.modules[-2][1]
    assert all(isinstance(module, nn.Module) for _, module in plan.modules)

    assert [name for name, _ in net.named_modules()] == [name for name, _ in plan.modules]
    assert [name for name, _ in net.named_parameters()] == [member.name for member in plan.parameters]
    assert [name for name, _ in net.named_buffers()] == [member.name for member in plan.buffers]
    assert list(net.state_dict()) == [member.name for member in plan.state]
    leaf.scale.grad = torch.ones_like(leaf.scale)
    net.zero_grad()
    assert leaf.scale.grad is None
    net.to(torch.float16).eval().requires_grad_(False)
    assert [leaf.scale.dtype, leaf.shift.dtype, leaf.passing.dtype] == [torch.float16, torch.float16, torch.int64]
    assert (leaf.training, leaf.scale.requires_grad) == (False, False)
    seen = []
    net.train().apply(seen.append)
    assert leaf.training is True
    assert sorted(map(id, seen)) == sorted(id(module) for _, module in plan.modules)


@claim("modulelist-registers-parameters", "moduledict-registers-parameters")
@over(each=layers(kinds=WITH_PARAMETERS), plain=among(list, tuple, set, dict))
def test_no_layer_in_a_plain_container_belongs_to_the_network(each, plain):
    layer, _ = each
    net = nn.Module()
    net.layers = {"only": layer} if plain is dict else plain([layer])
    before = [parameter.dtype for parameter in layer.parameters()]

    net.to(torch.float16).eval()
    assert type(net.layers) is plain
    assert [*net.parameters(), *net.buffers(), *net.children(), *net.state_dict()] == []
    assert [parameter.dtype for parameter in layer.parameters()] == before
    assert layer.training is True


@claim("modulelist-registers-parameters", "moduledict-registers-parameters")
@over(edit=among(*LIST_EDITS, *DICT_EDITS), used=among(False, True))
def test_what_joins_a_container_later_belongs_to_the_network_at_once_and_what_leaves_does_not(edit, used):
    net, twin = nn.Module(), steps(3)
    if edit in LIST_EDITS:
        net.layers = nn.ModuleList(twin)
        edited(LIST_EDITS[edit], [net.layers], twin, 1, [*twin[-1:], *steps(2, "x")] if used else steps(3, "A"))
        entries = list(enumerate(twin))
    else:
        entries = dict(zip(KEYS, twin))
        net.layers = nn.ModuleDict(entries)
        edited(DICT_EDITS[edit], [net.layers], entries, "a", steps(3, "A"))
        entries = list(entries.items())

    assert list(net.state_dict()) == [f"layers.{name}.code" for name, _ in entries]
    codes = {id(step.code): step.code for _, step in entries}
    assert [id(parameter) for parameter in net.parameters()] == list(codes)
    assert [id(module) for module in net.modules()][2:] == list({id(step): step for _, step in entries})


# ── sequential-chains-its-modules, modulelist-acts-like-a-list, modulelist-has-no-order ──


@claim("modulelist-acts-like-a-list", "sequential-chains-its-modules")
@claim("modulelist-has-no-order", truth=True)
@over(edit=among(*LIST_EDITS), kind=among("ModuleList", "Sequential"))
def test_every_edit_leaves_a_container_as_it_leaves_a_list_and_the_next_module_joins_at_the_end(edit, kind):
    for length, used in ((0, False), (3, True), (11, False)):
        twin = steps(length)
        container = listed(kind, twin)
        edited(
            LIST_EDITS[edit], [container], twin, length // 2, [*twin[-1:], *steps(2, "x")] if used else steps(3, "A")
        )
        like_a_list(container, twin)
        edited(LIST_EDITS["append"], [container], twin, 0, steps(1, "m"))
        like_a_list(container, twin)
        if kind == "Sequential":
            containers.spells(container, twin)


@claim("modulelist-acts-like-a-list", "sequential-chains-its-modules")
@claim("modulelist-has-no-order", truth=True)
def test_after_any_history_a_list_of_modules_is_like_a_list():
    after_any_history(containers.ListHistory)


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
def test_a_module_takes_whatever_object_the_one_before_puts_out():
    class Pair(nn.Module):
        def forward(self, x):
            return x, [x]

    x = torch.ones(2, requires_grad=True) * 2
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
@over(edit=among(*DICT_EDITS), key=among(*KEYS), length=among(0, 2, 11))
def test_every_edit_leaves_a_module_dict_as_it_leaves_a_dict(edit, key, length):
    twin = dict(zip(KEYS, steps(length)))
    container = nn.ModuleDict(twin)
    like_a_dict(container, twin)
    for used in (False, True):
        new = [*list(twin.values())[-1:], *steps(3, "x")] if used else steps(3, "A")
        edited(DICT_EDITS[edit], [container], twin, key, new)
        like_a_dict(container, twin)


@claim("moduledict-acts-like-a-dict")
def test_after_any_history_a_module_dict_is_like_a_dict():
    after_any_history(containers.DictHistory)


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
