"""4.1a Modules and containers: trees of every kind, what a module must come with, lists and dicts beside Python's."""

import itertools
from collections import OrderedDict

import pytest
import torch
from populations import EVERY_MODE, Twin, agree, among, containers, over, whole
from populations.changes import CONVERSIONS, conversions
from populations.comparing import host
from populations.containers import Step, steps, told
from populations.kinds import LINKS, WITH_PARAMETERS
from populations.modules import TREES, attribute, handed_out, layers, tree, trees
from populations.rounding import as_held
from torch import nn

claim = pytest.mark.claim
ARGUMENTS = among(((), {}), ((1,), {}), ((1, None, [5]), {}), ((), {"x": 1, "y": None}), (((1, 2),), {"self_": 3}))
MODES = among("train", "eval")


@claim("subclassing-module-defines-a-model")
@over(given=ARGUMENTS, mode=MODES, recording=among(*EVERY_MODE), hook=among("forward_pre", "forward", "state_dict_pre"))
def test_every_call_runs_forward_once_with_all_its_arguments_and_hands_back_its_result(given, mode, recording, hook):
    class Recorder(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.result = [], torch.ones(2, requires_grad=True) * 2

        def forward(self, *args, **kwargs):
            self.calls.append((args, kwargs))
            return self.result

    net = getattr(Recorder(), mode)()
    args, kwargs = given
    getattr(net, f"register_{hook}_hook")(lambda *seen: None)

    with recording():
        assert net(*args, **kwargs) is net(*args, **kwargs) is net.result
    assert (net.calls, net.result.requires_grad) == ([given, given], True)


@claim("subclassing-module-defines-a-model", "modulelist-has-no-forward", "moduledict-has-no-forward")
@over(EVERY_MODE, length=among(0, 1, 2, 11), arguments=among(("text",), (), (0,), ("west", "text"), ({},)), mode=MODES)
def test_no_module_without_forward_can_be_called_nor_runs_any_of_what_it_holds(length, arguments, mode):
    class Unfinished(nn.Module):
        pass

    named = dict(zip(containers.KEYS, containers.steps(length)))
    for module in (Unfinished(), nn.ModuleList(named.values()), nn.ModuleDict(named)):
        with pytest.raises(NotImplementedError, match="forward"):
            getattr(module, mode)()(*arguments)


ENTERED = {
    "layer": lambda module: setattr(module, "named", nn.Linear(3, 2)),
    "layer without parameters": lambda module: setattr(module, "named", nn.ReLU()),
    "ModuleList": lambda module: setattr(module, "named", nn.ModuleList()),
    "ParameterDict": lambda module: setattr(module, "named", nn.ParameterDict()),
    "parameter": lambda module: setattr(module, "named", nn.Parameter(torch.ones(2))),
    "frozen parameter": lambda module: setattr(module, "named", nn.Parameter(torch.ones(2), requires_grad=False)),
    "frozen one": lambda module: module.register_parameter("named", nn.Parameter(torch.ones(()), requires_grad=False)),
    "buffer": lambda module: module.register_buffer("named", torch.ones(2)),
    "unsaved buffer": lambda module: module.register_buffer("named", torch.ones(2), persistent=False),
    "no buffer yet": lambda module: module.register_buffer("named", None),
    "no parameter": lambda module: module.register_parameter("named", None),
    "register_module": lambda module: module.register_module("named", nn.Identity()),
    "add_module": lambda module: module.add_module("named", nn.ModuleDict()),
}


@claim("super-init-comes-first", "parameter-list-is-a-module-member")
@over(kind=among(*ENTERED))
def test_what_is_registered_comes_after_super_init_into_registers_of_the_module_s_own(kind):
    class TooEarly(nn.Module):
        def __init__(self):
            self.plain, self.constant = [nn.ReLU()], torch.ones(2)
            ENTERED[kind](self)
            super().__init__()

    with pytest.raises(AttributeError):
        TooEarly()
    first, second = nn.Module(), nn.Module()
    ENTERED[kind](first)
    held = [[*module._parameters, *module._buffers, *module._modules] for module in (first, second)]
    assert [len(each) > 0 for each in held] == [first.training, not second.training] == [True, False]
    state = list(first.state_dict())
    second.register_buffer("named", torch.ones(2))
    assert (list(first.state_dict()), list(second.state_dict())) == (state, ["named"])  # whether or not both save it


@claim("module-constructor-takes-other-arguments", truth=True)
@over(
    args=among((1,), (None,), ("x", 2)),
    named=among("params", "name", "size", "training", "forward", "device", "self_", "_modules"),
    value=among(None, {}, 1, True),
)
def test_the_parent_constructor_refuses_every_argument_even_one_named_as_an_attribute(args, named, value):
    class PassesOn(nn.Module):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    for make in (nn.Module, PassesOn):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            make(**{named: value})
        with pytest.raises(TypeError):
            make(*args)


CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
NESTS = [
    tree(a, tree(b, tree(c, tree(a, tree(b, "ParameterDict", "ParameterList", "Own", "Linear")))))
    for a, b, c in itertools.product(CONTAINERS, repeat=3)
] + [tree("Sequential", "Linear", "ReLU", "again")]


@claim("containers-subclass-module")
@over(outer=among(*CONTAINERS, "Own"), inner=among(*CONTAINERS, "Own"))
def test_another_order_of_memory_reaches_every_image_layer_within(outer, inner):
    net, plan = tree(outer, tree(inner, "Linear", "Conv2d", "BatchNorm2d"), "ConvTranspose2d")
    assert net.to(memory_format=torch.channels_last) is net
    for name, parameter in net.named_parameters():
        assert parameter.dim() != 4 or parameter.is_contiguous(memory_format=torch.channels_last), name
    for member in (*plan.parameters, *plan.buffers):
        agree(member.tensor, member.array)


@claim("containers-subclass-module", "modulelist-registers-parameters", "moduledict-registers-parameters")
@claim("model-can-serve-as-layer")
@over(each=trees(must=(*NESTS, *TREES)), conversion=conversions())
def test_whatever_is_done_to_the_outermost_reaches_every_layer_of_a_network_within(each, conversion):
    (inner, plan), (convert, dtype) = each, conversion
    net, modules = nn.Sequential(nn.ReLU(), nn.Sequential(inner)), {}
    for path, module in plan.modules:
        modules.setdefault(id(module), f"1.0.{path}".rstrip("."))

    assert told(net.named_modules())[3:] == [(path, module) for module, path in modules.items()]
    for found, members in ((net.named_parameters(), plan.once()), (net.named_buffers(), plan.buffers)):
        assert told(found) == [(f"1.0.{member.name}", id(member.tensor)) for member in members]
    assert list(net.state_dict()) == [f"1.0.{member.name}" for member in plan.state]
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    net.zero_grad()
    assert {parameter.grad for parameter in net.parameters()} <= {None}
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    held = [member for member in (*plan.once(), *plan.buffers) if member.tensor.numel()]
    for member in held:
        if member.tensor.is_floating_point():
            member.tensor.detach().div_(3)  # to what no dtype holds
    assert CONVERSIONS[convert][0](net).eval().requires_grad_(False) is net
    found = {(x.dtype, getattr(x.grad, "dtype", None), x.requires_grad) for x in (*net.parameters(), *handed_out(net))}
    assert found <= {(dtype, dtype, False)}
    for member in held:
        kind = dtype if member.array.dtype.kind == "f" else member.tensor.dtype
        now = attribute(inner, member.name)
        assert now.dtype == kind
        agree(now, as_held(as_held(member.array / 3, each.dtype), dtype) if kind == dtype else member.array)
    assert {module.training for _, module in plan.modules} == {False}
    seen, net.training, net[1].training = [], True, True  # of these alone
    net.train().apply(seen.append)
    assert {*map(id, seen)} >= {*modules}
    assert {(module.training, getattr(module, "told", True)) for module in seen} == {(True, True)}


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
    assert ([parameter.dtype for parameter in layer.parameters()], layer.training) == (before, True)


@claim("modulelist-registers-parameters", "moduledict-registers-parameters")
@over(
    edit=among(*((kind, edit) for kind in ("ModuleList", "ModuleDict") for edit in containers.edits(kind))),
    used=among(False, True),
    length=among(3, 0, 11),
    mode=MODES,
)
def test_what_joins_a_container_later_belongs_to_the_network_at_once_and_what_leaves_does_not(edit, used, length, mode):
    (kind, edit), net, members = edit, getattr(nn.Module(), mode)(), containers.steps(length)
    named = kind == "ModuleDict"
    twin = dict(zip(containers.KEYS[5:], members)) if named else members
    net.layers = containers.contained(kind, dict(zip("pq", containers.steps(2, "p"))) if named else [Step("p")])
    net.once_more, net.thrice = None, [Step("l")]
    net.layers = containers.contained(kind, twin)  # instead of the other, with all that it held
    containers.edited(edit, net.layers, twin, "a" if named else 1, containers.fresh(kind, twin, used))

    held = [(name, step) for name, step in (twin.items() if named else enumerate(twin)) if step is not None]
    assert list(net.state_dict()) == [f"layers.{name}.code" for name, _ in held]
    assert [id(parameter) for parameter in net.parameters()] == list(dict.fromkeys(id(step.code) for _, step in held))
    assert [id(module) for module in net.modules()][2:] == list(dict.fromkeys(id(step) for _, step in held))
    assert {*map(id, net.buffers())} == {id(step.mark) for _, step in held}
    net.once_more = net.thrice = net.layers
    places = ("layers", "once_more", "thrice")
    assert list(net.state_dict()) == [f"{place}.{name}.code" for place in places for name, _ in held]


@claim("modulelist-acts-like-a-list")
@claim("modulelist-has-no-order", truth=True)
def test_after_any_history_a_list_of_modules_is_like_a_list():
    containers.edited_alike("ModuleList")


@claim("sequential-chains-its-modules", "parameter-names-carry-the-layer-index", "brackets-reach-a-layer")
@claim("same-instance-in-sequential-shares", "sequential-keeps-order")
def test_after_any_history_a_sequential_is_like_a_list_and_runs_in_that_order():
    containers.edited_alike("Sequential")


@claim("sequential-chains-its-modules", "subclassing-module-defines-a-model")
@over(x=among(torch.ones(2, requires_grad=True) * 2, None, 0, "", (), (1, 2), {"a": 1}, torch.Size([1, 2])))
def test_a_module_takes_whatever_object_the_one_before_puts_out(x):
    class Pair(nn.Module):
        def forward(self, x):
            return (x, [x]) if self.training else x[0]

    hooked = nn.Identity()  # whose hooks make the same pair
    hooked.register_forward_pre_hook(lambda module, given: ([*given],))
    hooked.register_forward_hook(lambda module, given, output: (*output, output))
    for pair in (Pair(), hooked):
        result = nn.Sequential(nn.Identity(), pair, nn.Identity())(x)
        assert type(result) is tuple
        assert result[0] is result[1][0] is x
    assert nn.Sequential(Pair().eval(), nn.Identity())([x]) is nn.Sequential(nn.Identity())(input=x) is x
    assert nn.Sequential(Pair(), Pair())(1) == ((1, [1]), [(1, [1])])


@claim("sequential-chains-its-modules")
@over(EVERY_MODE, name=among(*LINKS), dimensions=among(1, 2))
def test_every_layer_is_given_the_numbers_that_the_one_before_puts_out_however_they_came_about(name, dimensions):
    first, (x, _) = LINKS[name](dimensions), Twin(torch.float32, (2, 2, *[4] * dimensions), values="fractions")
    between = first(x.clone())
    numbers, largest = between.tolist(), between.abs().max().item()
    for make in LINKS.values():
        second = make(dimensions)
        expected = host(second(torch.tensor(numbers)))  # the same numbers in new memory
        # a sum over all of a channel, in another order; a normalisation divides by what is larger than an eighth
        agree(nn.Sequential(first, second)(x.clone()), expected, between.numel(), 8 * largest)


@claim("sequential-chains-its-modules", "brackets-reach-a-layer")
@claim("sequential-chains-its-modules", "parameter-names-carry-the-layer-index", truth=True)
@over(
    length=whole(1, 12),
    part=among(*itertools.starmap(slice, containers.SLICES), slice(1, None), slice(5, None)),
    named=among("by index", "in words"),
)
def test_a_slice_keeps_the_names_of_the_whole_so_that_what_is_appended_may_replace_a_layer(length, part, named):
    names = [f"{124 - index:c}{index}" if named == "in words" else f"{index}" for index in range(length)]
    layers = OrderedDict(zip(names, steps(length)))
    net = nn.Sequential(layers)
    containers.spells(net, list(layers.values()))
    part, kept = net[part], dict(list(layers.items())[part])

    assert told(part.named_children()) == told(kept.items())
    for size in (0, len(part)):  # by place, from either end, whatever their names
        assert [part[index - size] for index in range(len(part))] == list(kept.values())
    assert told(part[1:].named_children()) == told(list(kept.items())[1:])
    kept[f"{len(part)}"] = newcomer = Step("!")
    part.append(newcomer)
    assert told(part.named_children()) == told(kept.items())
    assert list(part.state_dict()) == [f"{name}.code" for name in kept]


@claim("moduledict-acts-like-a-dict")
def test_after_any_history_a_module_dict_is_like_a_dict():
    containers.edited_alike("ModuleDict")


# Of no use as the name of an attribute, or the name of one that the class has
NO_KEYS = (1, 2.5, None, (1,), b"a", "", ".", "a.b", "items", "keys", "train", "forward", "half")


@claim("moduledict-acts-like-a-dict", "parameterdict-acts-like-a-dict", truth=True)
@over(
    added=among(
        *(("ModuleDict", key) for key in (*NO_KEYS, *vars(nn.ModuleDict()))),
        *(("ParameterDict", key) for key in NO_KEYS),
    )
)
def test_a_key_that_can_be_no_attribute_is_refused_however_it_is_added(added):
    (kind, key), (value,) = added, containers.members(added[0], 1)
    container = containers.contained(kind, {"other": value})
    for add in (
        lambda: container.__setitem__(key, value),
        lambda: container.update([(key, value)]),
        lambda: containers.contained(kind, {key: value}),
    ):
        with pytest.raises(KeyError if isinstance(key, str) else TypeError):
            add()
    assert (len(container.state_dict()), callable(container.items), container.training) == (1, True, True)
