"""4.1a Modules: trees of every kind, and classes that are built in the wrong order."""

import itertools

import pytest
import torch
from populations import among, containers, over, whole
from populations.kinds import WITH_PARAMETERS
from populations.modules import CONVERSIONS, conversions, layers, tree
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


ENTERED = {
    "Linear": lambda self, named: setattr(self, named, nn.Linear(3, 2)),
    "ReLU": lambda self, named: setattr(self, named, nn.ReLU()),
    "Sequential": lambda self, named: setattr(self, named, nn.Sequential()),
    "Parameter": lambda self, named: setattr(self, named, nn.Parameter(torch.ones(2))),
    "frozen Parameter": lambda self, named: setattr(self, named, nn.Parameter(torch.ones(2), requires_grad=False)),
    "buffer": lambda self, named: self.register_buffer(named, torch.ones(2)),
    "unsaved buffer": lambda self, named: self.register_buffer(named, torch.ones(2), persistent=False),
    "add_module": lambda self, named: self.add_module(named, nn.ReLU()),
}


@claim("super-init-comes-first")
@over(kind=among(*ENTERED), named=among("first", "weight", "a"))
def test_nothing_that_is_registered_may_come_before_super_init(kind, named):
    class TooEarly(nn.Module):
        def __init__(self):
            self.plain, self.constant = [nn.ReLU()], torch.ones(2)
            ENTERED[kind](self, named)
            super().__init__()

    class InTime(nn.Module):
        def __init__(self):
            super().__init__()
            ENTERED[kind](self, named)

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
NESTS = among(
    *(
        tree(a, tree(b, tree(c, tree(a, tree(b, "ParameterDict", "ParameterList", "Own", "Linear")))))
        for a, b, c in itertools.product(CONTAINERS, repeat=3)
    )
)


@claim("containers-subclass-module", "modulelist-registers-parameters", "moduledict-registers-parameters")
@over(nest=NESTS, conversion=conversions())
def test_whatever_is_done_to_the_outermost_reaches_a_layer_below_five_containers(nest, conversion):
    (net, plan), (convert, dtype) = nest, conversion
    leaf = plan.modules[-2][1]
    assert all(isinstance(module, nn.Module) for _, module in plan.modules)

    assert [name for name, _ in net.named_modules()] == [name for name, _ in plan.modules]
    assert [name for name, _ in net.named_parameters()] == [member.name for member in plan.parameters]
    assert [name for name, _ in net.named_buffers()] == [member.name for member in plan.buffers]
    assert list(net.state_dict()) == [member.name for member in plan.state]
    leaf.scale.grad = torch.ones_like(leaf.scale)
    net.zero_grad()
    assert leaf.scale.grad is None
    assert CONVERSIONS[convert][0](net).eval().requires_grad_(False) is net
    assert [leaf.scale.dtype, leaf.shift.dtype, leaf.passing.dtype] == [dtype, dtype, torch.int64]
    assert {(parameter.dtype, parameter.requires_grad) for parameter in net.parameters()} == {(dtype, False)}
    assert {module.training for module in net.modules()} == {False}
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
@over(
    edit=among(*((kind, edit) for kind in ("ModuleList", "ModuleDict") for edit in containers.edits(kind))),
    used=among(False, True),
)
def test_what_joins_a_container_later_belongs_to_the_network_at_once_and_what_leaves_does_not(edit, used):
    (kind, edit), net, members = edit, nn.Module(), containers.steps(3)
    named = kind == "ModuleDict"
    twin = dict(zip(containers.KEYS, members)) if named else members
    net.layers = containers.contained(kind, twin)
    containers.edited(edit, net.layers, twin, "a" if named else 1, containers.fresh(kind, twin, used))

    held = [(name, step) for name, step in (twin.items() if named else enumerate(twin)) if step is not None]
    assert list(net.state_dict()) == [f"layers.{name}.code" for name, _ in held]
    assert [id(parameter) for parameter in net.parameters()] == list(dict.fromkeys(id(step.code) for _, step in held))
    assert [id(module) for module in net.modules()][2:] == list(dict.fromkeys(id(step) for _, step in held))
