"""3.2 Networks: what they print, hold, run and hand out, put together in every way."""

import copy
import inspect
import itertools
from collections import OrderedDict

import pytest
import torch
from populations import FLOATS, Population, among, each, over, whole
from populations.comparing import accepted
from populations.kinds import SHOWN
from populations.modules import SHARED, TREES, tree, trees
from torch import nn
from torch.nn.utils import parametrize

claim = pytest.mark.claim

ALIKE = ("Linear", *["Linear without bias"] * 2, "wide Linear", "Conv2d", "oblong Conv2d", "ReLU", "ReLU in place")
PRINTED = (
    tree("Sequential", *SHOWN, "ReLU", "Linear"),
    tree("Sequential", "Linear", tree("Own", "ReLU", tree("Sequential", "wide Linear", tree("Own", "Linear")))),
    tree("Own", tree("ModuleDict", *["Linear"] * 12), tree("ModuleList", "Linear", "wide Linear"), tree("Sequential")),
    tree("Own", tree("Own"), tree("Sequential")),
    tree("Own", tree("ModuleList", *["Linear", "wide Linear"] * 6), tree("Sequential", *["ReLU", "Linear"] * 6)),
    tree("Own", tree("ModuleList", *["Linear"] * 24), tree("ModuleList", *["Linear"] * 17, "ReLU", "ReLU")),
    tree("Own", tree("Own", tree("Own", tree("Own", tree("Own", tree("Own", "Linear")))))),
    tree("Sequential", "Linear", "again", "ReLU", tree("Own", "again", "tied", "again")),
    tree("Own", tree("ModuleList", *["Linear"] * 3, "ReLU", *[tree("Own", "ReLU")] * 2, tree("ModuleList", "Tanh"))),
    tree("Own", tree("ModuleList", *(tree("Own", kind) for kind in ("Linear", "Linear", "wide Linear", "ReLU")))),
    tree("Own", tree("ModuleList", *ALIKE), tree("ModuleList", *(tree("Own", kind) for kind in ALIKE))),
)


def lines_of(tree):
    """What printing a tree of these kinds shows: each child after its name in brackets, two spaces further in; equal
    neighbours in a list once, after their names and number.
    """
    if tree.kind in SHOWN or tree.kind in SHARED:
        return [SHOWN.get(tree.kind, SHOWN["Linear"])]
    inner, named = [], [*zip(tree.names(), map(lines_of, tree.children))]
    for _, alike in itertools.groupby(named, lambda part: part[tree.kind == "ModuleList" :]):
        (first, (head, *rest)), *_, (last, _) = (parts := [*alike]) * 2
        name = f"({first}-{last}): {len(parts)} x" if first != last else f"({first}):"
        inner += [f"  {name} {head}", *(f"  {line}" for line in rest)]
    return [f"{tree.kind}(", *inner, ")"] if inner else [f"{tree.kind}()"]


@claim("printing-shows-the-structure")
@over(tree=Population(PRINTED, trees(kinds=("Linear",)).more.filter(lambda tree: tree.kind != "ModuleList")))
def test_printing_shows_every_layer_at_any_depth_with_its_sizes(tree):
    module, _ = tree
    told = str(module)
    assert told.replace("affine=True, bias=True", "affine=True").splitlines() == lines_of(tree)  # newer ones say bias
    assert str(module.eval()) == told
    for name, child in [*module.named_children()]:
        setattr(module, name, child)  # stays at its place
    assert str(module) == told
    module.extra_repr = lambda: "rows=2\ncolumns=3"
    top = [f"{tree.kind}(", "  rows=2", "  columns=3"]
    assert str(module).splitlines() == [*top, *told.splitlines()[1:-1], ")"]
    for name in [*module._modules]:
        delattr(module, name)
    assert str(module).splitlines() == [*top, ")"]


@claim("printing-shows-the-structure")
@over(inputs=whole(1, 10**6, 784, 1234, 5678), outputs=whole(1, 10**6, 256, 1024))
def test_printing_shows_sizes_of_any_number_of_digits(inputs, outputs):
    net = nn.Sequential(nn.Linear(inputs, outputs, device="meta"), nn.Conv1d(inputs, outputs, 1, device="meta"))
    lines = str(net).splitlines()
    assert lines[1] == f"  (0): Linear(in_features={inputs}, out_features={outputs}, bias=True)"
    assert lines[2] == f"  (1): Conv1d({inputs}, {outputs}, kernel_size=(1,), stride=(1,))"
    late = nn.LazyLinear(outputs, device="meta")
    late(torch.empty(1, inputs, device="meta"))  # from which it has its width
    assert str(late) == f"Linear(in_features={inputs}, out_features={outputs}, bias=True)"


# Layers that print all of the options that they are given here, hardly one of which is the default.
CALLS = (
    *("Linear(7, 5, bias=False)", "Bilinear(2, 3, 4, bias=False)", "Embedding(5, 3, 1, 2.5, 1.0, True)", "PReLU(3)"),
    *("Embedding(5, 3, sparse=True)", "EmbeddingBag(5, 3, mode='sum')", "CELU(0.5, True)", "ELU(0.5, True)"),
    *("Conv1d(4, 6, 3, 2, 1, 2, 2, False)", "Conv2d(4, 8, (3, 2), (2, 1), (1, 2), (1, 2), 4)", "Conv3d(1, 2, 2, 3)"),
    *("ConvTranspose1d(4, 6, 3, 3, 1, 2, 2, False, 2)", "ConvTranspose2d(4, 2, (3, 2), (2, 3), (1, 0), (1, 2), 2)"),
    *("MaxPool1d(3, 2, 1, 2, ceil_mode=True)", "MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2))", "MaxPool3d(3, 1)"),
    *("AvgPool1d(3, 2, 1)", "AvgPool2d((3, 2), (1, 2), (1, 0))", "LPPool2d(3.0, 2, 3, True)", "Unfold(3, 2, 1, 2)"),
    *("AdaptiveAvgPool1d(5)", "AdaptiveAvgPool2d((3, None))", "AdaptiveMaxPool2d((3, 4))", "Fold((4, 5), 2, 1, 1, 2)"),
    *("BatchNorm1d(4, 0.25, 0.5, False, False)", "BatchNorm2d(3, momentum=None)", "InstanceNorm2d(3, 0.25, 0.5, True)"),
    *("GroupNorm(2, 4, 0.25, False)", "LayerNorm((2, 3), 0.25, False)", "LocalResponseNorm(3, 0.5, 0.25, 2.0)"),
    *("RNN(2, 3, 2, bias=False, batch_first=True)", "LSTM(2, 3, 2, False, True, 0.5, True)", "LSTM(2, 3, proj_size=1)"),
    *("GRU(2, 3, bidirectional=True)", "RNNCell(2, 3, False)", "LSTMCell(2, 3, False)", "Dropout(0.25, True)"),
    "Dropout2d(0.75)",
    *("AlphaDropout(0.25)", "LeakyReLU(0.5, True)", "Hardtanh(-2.0, 3.0, True)", "Softplus(2.0, 9.0)", "ReLU(True)"),
    *("Threshold(0.5, 7.0, True)", "RReLU(0.25, 0.5, True)", "Hardshrink(0.25)", "Softshrink(0.25)", "GLU(1)"),
    *("GELU('tanh')", "Softmax(1)", "LogSoftmax(0)", "Softmin(1)", "SELU(True)", "SiLU(True)", "ReLU6(True)"),
    *("ZeroPad2d((1, 2, 3, 4))", "ConstantPad1d((1, 2), 3.5)", "ReflectionPad2d(2)", "ReplicationPad1d((2, 1))"),
    *("PixelShuffle(2)", "PixelUnshuffle(3)", "ChannelShuffle(2)", "Flatten(2, 3)", "Unflatten(1, (2, 3))"),
    *("Upsample(scale_factor=2.0, mode='bilinear')", "Upsample((4, 5))", "Upsample(scale_factor=(2.0, 3.0))"),
)


@claim("printing-shows-the-structure")
@over(call=each(*CALLS))
def test_these_layers_print_as_calls_that_make_others_with_the_same_options(call):
    layer = eval(call, vars(nn).copy())
    again = eval(str(layer), vars(nn).copy())

    assert str(again) == str(layer)
    assert str(nn.Sequential(layer)) == f"Sequential(\n  (0): {layer}\n)"
    options, told = ({name: value for name, value in vars(of).items() if name[0] != "_"} for of in (layer, again))
    assert told == options
    assert [*again.state_dict()] == [*layer.state_dict()]
    told = str(layer).partition("(")[2][:-1]
    for name, _ in [*layer.named_parameters()][:1]:  # which is computed then, and the layer is of another class
        parametrize.register_parametrization(layer, name, nn.Identity())
    assert told in str(layer)


@claim("module-is-layer-or-network")
@over(tree=trees())
def test_what_is_done_to_a_network_is_done_to_every_module_in_it_and_a_new_one_replaces_the_old(tree):
    net, plan = tree
    inner, visited = {id(module): module for _, module in plan.modules}, []

    assert [id(module) for module in net.modules()] == [*inner]
    assert [name for name, _ in net.named_parameters()] == [member.name for member in plan.once()]
    net.apply(lambda module: visited.append(id(module)))
    assert {*visited} == {*inner}
    for mode in (False, True):
        assert net.train(mode) is net
        assert {module.training for module in inner.values()} == {mode}
    assert {parameter.dtype for parameter in net.to(torch.bfloat16).parameters()} <= {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in net.requires_grad_(False).parameters())
    for name in [*net._modules]:  # of a module that comes twice, both names
        new = nn.Linear(1, 1)
        setattr(net, name, new)
        assert getattr(net, name) is dict(net.named_children())[name] is new
        delattr(net, name)
        assert name not in dict(net.named_children())
    net.plain = [nn.Linear(1, 1)]
    assert [*net.children()] == []


@claim("module-has-layers-and-forward")
@over(given=among("in its class", "in a base", "to the instance"), returns=among("tensor", "pair", "dict", "nothing"))
def test_a_call_hands_its_arguments_to_forward_wherever_that_was_given_and_returns_what_it_returns(given, returns):
    result = {"tensor": torch.ones(2), "pair": (torch.ones(1), 5), "dict": {"a": torch.ones(1)}, "nothing": None}
    result, taken = result[returns], []

    def forward(self, x, y=None, *, z=3):
        taken.append((self, x, y, z))
        return result

    in_class = (lambda self, *args, **named: "hidden") if given == "to the instance" else forward
    kind = type("Given", (nn.Module,), {"forward": in_class})
    net = (type("Heir", (kind,), {}) if given == "in a base" else kind)()
    if in_class is not forward:
        net.forward = lambda *args, **named: forward(net, *args, **named)
    bare = nn.Module()
    for mode in (True, False, True):
        assert net.train(mode)(1) is net(1, 2) is net(1, y=2, z=4) is result
        with pytest.raises(Exception, match="forward") as refused:
            bare.train(mode)(1)
        assert refused.type is NotImplementedError
        (bare.register_forward_hook if mode else bare.register_forward_pre_hook)(lambda *told: None)
    assert taken == [(net, 1, None, 3), (net, 1, 2, 3), (net, 1, 2, 4)] * 3
    net.later = nn.Linear(1, 1)
    assert [*net.children()] == [net.later]


class Then(nn.Module):
    """10 x + digit: what was done first stands in front."""

    def __init__(self, digit):
        super().__init__()
        self.digit = digit

    def forward(self, x):
        return 10 * x + self.digit


def run(digits):
    return int("".join(map(str, [0, *digits])))


@claim("sequential-can-be-built-three-ways")
@over(count=whole(1, 12, 2), names=among("zyxwvutsrqponm", "bacdefghijkl", "ABab01cdefgh"))
def test_the_three_ways_run_the_same_layers_which_brackets_reach_by_their_place(count, names):
    parts = [Then(digit % 10) for digit in range(1, count + 1)]
    parts[-1] = parts[0]  # one that comes twice
    added = nn.Sequential()
    added.add_module(names[0], Then(0))  # which the next one of this name replaces
    for name, part in zip(names, parts):
        added.add_module(name, part)
    added.add_module(names[0], parts[0])  # which stays in its place
    ordered = accepted(nn.Sequential, type("Own", (OrderedDict,), {})(zip(names, parts)))
    moved = OrderedDict(reversed([*zip(names, parts)]))
    for name in names[:count]:
        moved.move_to_end(name)
    moved = nn.Sequential(moved)

    built = (nn.Sequential(*parts), map(str, range(count))), (added, names), (ordered, names), (moved, names)
    for net, keys in built:
        assert [*net._modules] == list(keys)[:count]
        assert net(torch.tensor(0)).item() == run(part.digit for part in parts)
        assert len(net) == count
        assert all(net[place] is parts[place] for place in range(-count, count))
        assert [*nn.Sequential(net, added)] == [*nn.Sequential(net), *nn.Sequential(added)] == [net, added]


@claim("parameters-is-a-generator-of-learnables")
@claim("parameters-is-a-generator-of-learnables", truth=True)
@over(tree=trees(FLOATS, must=TREES[1:6]))
def test_every_learnable_tensor_itself_comes_once_at_its_first_place_and_frozen_ones_too(tree):
    module, plan = tree
    parameters = module.parameters()

    assert inspect.isgenerator(parameters)
    parameters = [*parameters]
    assert all(isinstance(parameter, nn.Parameter) for parameter in parameters)
    assert [id(parameter) for parameter in parameters] == [id(member.tensor) for member in plan.once()]
    assert len([*copy.deepcopy(module).parameters()]) == len(parameters)
    own = [id(member.tensor) for member in plan.once() if "." not in member.name]
    assert [id(parameter) for parameter in module.parameters(recurse=False)] == own
    module.register_parameter("late", None)
    module.late, module.later = nn.Parameter(torch.ones(1)), type("Own", (nn.Parameter,), {})(torch.ones(1))
    module.register_buffer("traced", torch.ones(1, requires_grad=True))
    for name in ("part", "other_part", "empty", "other_empty"):  # of one memory, or of none
        setattr(module, name, nn.Parameter(module.late.detach()["empty" in name :]))
    more = [id(getattr(module, name)) for name in ("late", "later", "part", "other_part", "empty", "other_empty")]
    expected = [*own, *more, *map(id, parameters[len(own) :])]
    assert [id(parameter) for parameter in module.parameters()] == expected
    held = [(level, name) for level in module.modules() for name, one in level._parameters.items() if one is not None]
    for level, name in held[len(own) + len(more) :]:  # replaced at any depth
        setattr(level, name, nn.Parameter(getattr(level, name).detach()))
    now = dict.fromkeys(id(getattr(level, name)) for level, name in held)
    assert [id(parameter) for parameter in module.parameters()] == [*now]
