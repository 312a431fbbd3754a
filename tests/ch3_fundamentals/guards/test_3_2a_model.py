"""3.2 Networks: of any depth and width, put together in every way."""

import inspect
from collections import OrderedDict

import numpy as np
import pytest
import torch
from populations import FLOATS, SINGLE_AND_DOUBLE, WRITABLE, Population, Twin, agree, among, each, over, twins, whole
from populations.gradients import grad_of
from populations.layers import ACTIVATIONS, COMPUTED, summed
from populations.modules import SHARED, TREES, Tree, tree, trees
from torch import nn

claim = pytest.mark.claim


# Before torch 2.5 the CPU normalised no float16, or with statistics of float32 alone.
NORMALISED = COMPUTED if COMPUTED == FLOATS else SINGLE_AND_DOUBLE


@claim("nn-builds-on-autograd")
@over(
    activation=among(*ACTIVATIONS),
    sizes=among((9, 3), (65, 33)),
    twin=twins(SINGLE_AND_DOUBLE, WRITABLE, [(3, 3)], values=("fractions",)),
)
def test_every_gradient_follows_the_chain_rule_through_two_layers(activation, sizes, twin):
    """Every product of the chain is of at most hidden + examples terms, each off by a few roundings of its size."""
    module, act, slope = ACTIVATIONS[activation]
    hidden, examples = sizes
    shapes = {"x": (examples, 3), "v": (hidden, 3), "w": (2, hidden), "out": (examples, 2), "b": (hidden,)}
    (x, x_), (v, v_), (w, w_), (out, out_), (b, b_) = (
        twin.but(shape=shape, grad=True, seed=seed) for seed, shape in enumerate(shapes.values())
    )
    net = nn.Sequential(nn.Linear(3, hidden), module(), nn.Linear(hidden, 2, bias=False))
    for layer, name, values in ((net[0], "weight", v), (net[0], "bias", b), (net[2], "weight", w)):
        setattr(layer, name, nn.Parameter(values.detach()))

    with torch.no_grad():
        assert net(x).grad_fn is None
    (net(x) * out.detach()).sum().backward()
    assert all(each.grad is not None for each in (x, *net.parameters()))
    x_, v_, w_, out_, b_ = (np.asarray(array, np.float64) for array in (x_, v_, w_, out_, b_))
    z = x_ @ v_.T + b_
    back, size = out_ @ w_ * slope(act(z)), np.abs(out_) @ np.abs(w_)
    roundings = 2 * (hidden + examples + 20)
    agree(net[2].weight.grad, out_.T @ act(z), roundings, np.abs(out_).T @ (np.abs(x_) @ np.abs(v_).T + 5))
    agree(net[0].bias.grad, back.sum(0), roundings, size.sum(0) * 8)
    agree(net[0].weight.grad, back.T @ x_, roundings, size.T @ np.abs(x_) * 8)
    agree(x.grad, back @ v_, roundings, size @ np.abs(v_) * 8)


# Before torch 2.14 the CPU added the gradients of bfloat16 up in parts that it rounded.
SUMMED = (*SINGLE_AND_DOUBLE, torch.bfloat16) if torch.__version__ >= (2, 14) else SINGLE_AND_DOUBLE


@claim("nn-builds-on-autograd")
@over(
    sizes=among(((8, 32_776), 1), ((65_537, 3), 2), ((2, 999, 2), 1), ((2,), 65_537)),
    upstream=twins(SUMMED, ("contiguous", "expanded"), shapes=((),)),
)
def test_a_batch_of_another_size_has_gradients_of_its_own(sizes, upstream):
    """Small whole numbers, so that every sum is exact, or is rounded when it is: in bfloat16, which adds up in float32.

    A convolution of one pixel does the same to a row of pixels.
    """
    dtype, (batches, outputs) = upstream.dtype, sizes
    net, row = nn.Linear(3, outputs, dtype=dtype), nn.Conv2d(3, outputs, 1, dtype=dtype)
    weight, w = Twin(dtype, (outputs, 3))
    net.weight, row.weight = nn.Parameter(weight), nn.Parameter(weight.detach()[..., None, None].clone())
    for batch in batches:
        x, x_ = Twin(dtype, (batch, 3), grad=True, seed=batch)
        out, out_ = upstream.but(shape=(batch, outputs), second=False, seed=batch + 1)
        both = (net, x, out), (row, x.T[None, ..., None], out.T[None, ..., None])
        for layer, given, weighed in both[: 1 + (batch < 1000)]:
            x.grad = layer.weight.grad = layer.bias.grad = None
            layer.train(batch % 2 > 0)  # and its input is given by its name
            (layer(input=given) if batch % 2 else layer(given)).backward(weighed)

            agree(grad_of(layer.weight).view(outputs, 3), out_.T.astype(np.float64) @ x_, dtype == torch.bfloat16)
            agree(layer.bias.grad, out_.sum(0, dtype=np.float64), dtype == torch.bfloat16)
            agree(grad_of(x), out_.astype(np.float64) @ w, dtype == torch.bfloat16)


def batch_norm(shape):
    return (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[len(shape) - 2](4)


# The layer for inputs of a shape (samples, four channels, ...), the shape in which it takes their elements, and the
# axes of that over which it averages.
NORMALISATIONS = {
    "BatchNorm": (batch_norm, lambda shape: (shape, (0, *range(2, len(shape))))),
    "in evaluation": (lambda shape: batch_norm(shape).eval(), lambda shape: (shape, ())),
    "GroupNorm": (lambda shape: nn.GroupNorm(1, 4), lambda shape: ((shape[0], -1), 1)),
    "GroupNorm in two": (lambda shape: nn.GroupNorm(2, 4), lambda shape: ((shape[0], 2, -1), 2)),
    "LayerNorm": (lambda shape: nn.LayerNorm(shape[1:]), lambda shape: ((shape[0], -1), 1)),
    "LayerNorm of rows": (lambda shape: nn.LayerNorm(shape[-1:]), lambda shape: ((-1, shape[-1]), 1)),
}
IMAGES = ((4, 4, 5, 2), (3, 4, 2, 3), (2, 4, 1, 129), (5, 4), (1027, 4), (2, 4, 3, 2, 2), (3, 4, 7))
NORMED = tuple(  # dtypes and layouts go round; every other round needs no gradient of the input
    Twin(
        NORMALISED[(i + turn) % len(NORMALISED)],
        shape,
        WRITABLE[(2 * i + turn) % 5],
        "fractions",
        i % 2 > 0,
        turn != 1,
        i,
    )
    for turn in range(3)
    for i, shape in enumerate(IMAGES)
)


@claim("nn-builds-on-autograd")
@over(
    x=Population(NORMED, twins(NORMALISED, WRITABLE, IMAGES, values=("fractions",), grad=(True, False)).more),
    name=each(*NORMALISATIONS),
)
def test_output_and_gradients_of_a_normalisation_are_its_formula_s_whatever_the_layout(x, name):
    """Beside some roundings of the dtype, sums in float32 of 40 numbers, or as many as there are of a channel. With its
    mean moved up, and so the running one, an input gives the same.
    """
    (tensor, array), (make, averaging) = x, NORMALISATIONS[name]
    norm, (shape, axes) = make(x.shape).to(tensor), averaging(x.shape)
    roundings = 4 + 2 * summed(x.dtype, max(40, array.size // 4))
    (scale, s), (upstream, g) = (x.but(shape=norm.weight.shape, values="positive", grad=False), x.but(seed=x.seed + 1))
    norm.weight.data.copy_(scale)
    by_channel = (4, *[1] * (len(x.shape) - 2)) if "Layer" not in name else s.shape
    own = tuple(axis for axis in range(-len(x.shape), 0) if axis < -len(by_channel) or by_channel[axis] == 1)
    array, g = array.astype(np.float64).reshape(shape), g.astype(np.float64)
    s = s.astype(np.float64).reshape(by_channel)
    mean, variance = (array.mean(axes, keepdims=True), array.var(axes, keepdims=True)) if axes else (0.0, 1.0)
    standard, back = (array - mean) / np.sqrt(variance + 1e-5), (g * s).reshape(shape)
    if axes:
        back = back - back.mean(axes, keepdims=True) - standard * (back * standard).mean(axes, keepdims=True)
    back, standard = (back / np.sqrt(variance + 1e-5)).reshape(x.shape), standard.reshape(x.shape)
    inverse = np.broadcast_to((variance + 1e-5) ** -0.5, array.shape).reshape(x.shape)

    # until 2.12 at least, GroupNorm of images channels last whose gradient nobody wants ends the process on the CPU
    tensor.requires_grad_(x.grad or ("Group" in name and torch.__version__ < (2, 14)))
    output = norm(tensor)
    agree(output, standard * s, roundings, scale=32 * np.maximum(inverse, 1))
    leaves = [norm.weight, norm.bias, tensor][: 2 + tensor.requires_grad]
    gradients = torch.autograd.grad(output, leaves, upstream.detach())
    agree(gradients[0], (g * standard).sum(own).reshape(norm.weight.shape), roundings, np.abs(g * 4).sum())
    agree(gradients[1], g.sum(own).reshape(norm.weight.shape), roundings, np.abs(g).sum())
    for gradient in gradients[2:]:
        agree(gradient, back, roundings, 64 * np.maximum(inverse, 1))
    # beside it quarters are exact; elsewhere than on the CPU LayerNorm may compute in the halves themselves
    up = 2048.0 if x.dtype in SINGLE_AND_DOUBLE else 16.0 * (tensor.device.type == "cpu")
    # of channels last the CPU's GroupNorm, until 2.15 at least, subtracts the squares of large means
    order = torch.contiguous_format if "Group" in name else torch.preserve_format
    for running in [buffer for name, buffer in norm.named_buffers() if name == "running_mean"]:
        running.fill_(up)
    agree(norm((tensor.detach() + up).clone(memory_format=order)), standard * s, 2 * roundings, (up + 4) * s * inverse)


SHOWN = {
    "Linear": "Linear(in_features=4, out_features=4, bias=True)",
    "Linear without bias": "Linear(in_features=4, out_features=4, bias=False)",
    "wide Linear": "Linear(in_features=33, out_features=65, bias=True)",
    "Conv2d": "Conv2d(4, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
    "Conv1d": "Conv1d(4, 4, kernel_size=(3,), stride=(1,), padding=(1,))",
    "Embedding": "Embedding(5, 4)",
    "PReLU": "PReLU(num_parameters=1)",
    "BatchNorm1d": "BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)",
    "GroupNorm": "GroupNorm(2, 4, eps=1e-05, affine=True)",
    "LayerNorm": "LayerNorm((4,), eps=1e-05, elementwise_affine=True)",
    "LSTM": "LSTM(4, 3)",
    "ReLU": "ReLU()",
    "Dropout": "Dropout(p=0.5, inplace=False)",
}
PRINTED = (
    tree("Sequential", *SHOWN, "ReLU", "Linear"),
    tree("Sequential", "Linear", tree("Own", "ReLU", tree("Sequential", "wide Linear", tree("Own", "Linear")))),
    tree("Own", tree("ModuleDict", *["Linear"] * 12), tree("Sequential"), tree("Own")),
    tree("Own", tree("Own", tree("Own", tree("Own", tree("Own", tree("Own", "Linear")))))),
    tree("Sequential", "Linear", "again", "ReLU", tree("Own", "again", "tied", "again")),
)


def lines_of(tree):
    """What printing a tree of these kinds shows: each child after its name in brackets, two spaces further in."""
    if tree.kind in SHOWN or tree.kind in SHARED:
        return [SHOWN.get(tree.kind, SHOWN["Linear"])]
    inner = []
    for name, child in zip(tree.names(), tree.children):
        head, *rest = lines_of(child)
        inner += [f"  ({name}): {head}", *(f"  {line}" for line in rest)]
    return [f"{tree.kind}(", *inner, ")"] if inner else [f"{tree.kind}()"]


@claim("printing-shows-the-structure")
@over(tree=Population(PRINTED, trees(kinds=("Linear",)).more.filter(lambda tree: not lists_within(tree))))
def test_printing_shows_every_layer_at_any_depth_with_its_sizes(tree):
    module, _ = tree
    told = str(module).replace("affine=True, bias=True", "affine=True")  # of newer normalisations
    assert told.splitlines() == lines_of(tree)
    told = str(module)
    for name, child in [*module.named_children()]:
        setattr(module, name, child)  # stays at its place
    assert str(module) == told


def lists_within(tree: Tree) -> bool:
    """Whether a tree has a ModuleList, which newer releases print in short."""
    return tree.kind == "ModuleList" or any(map(lists_within, tree.children))


@claim("module-is-layer-or-network")
@over(tree=trees())
def test_what_is_done_to_a_network_is_done_to_every_module_in_it_and_a_new_one_replaces_the_old(tree):
    net, plan = tree
    inner, visited = {id(module): module for _, module in plan.modules}, []

    assert [id(module) for module in net.modules()] == [*inner]
    net.apply(lambda module: visited.append(id(module)))
    assert {*visited} == {*inner}
    for mode in (False, True):
        assert net.train(mode) is net
        assert {module.training for module in inner.values()} == {mode}
    for name in [name for name, _ in net.named_children()]:
        new = nn.Linear(1, 1)
        setattr(net, name, new)
        assert getattr(net, name) is dict(net.named_children())[name] is new
        delattr(net, name)
        assert name not in dict(net.named_children())


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
    for mode in (True, False):
        assert net.train(mode)(1) is net(1, 2) is net(1, y=2, z=4) is result
    assert taken == [(net, 1, None, 3), (net, 1, 2, 3), (net, 1, 2, 4)] * 2


class Then(nn.Module):
    """10 x + digit: what was done first stands in front."""

    def __init__(self, digit):
        super().__init__()
        self.digit = digit

    def forward(self, x):
        return 10 * x + self.digit


def run(digits):
    return int("".join(map(str, [0, *digits])))


@claim("sequential-keeps-order")
@over(count=whole(0, 14, 1, 11), gone=whole(0, 13, 1), twice=among(False, True))
def test_layers_run_in_order_also_after_some_are_taken_out_and_appended(count, gone, twice):
    digits = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7][:count]
    made = {digit: Then(digit) for digit in digits}
    parts = [made[digit] if twice else Then(digit) for digit in digits]
    net, x = nn.Sequential(*parts), torch.tensor(0)
    assert net(x).item() == run(digits)
    assert [id(part) for part in net] == list(map(id, parts))

    for at in {gone % count} if count else ():
        del net[at]
        del parts[at]
    for digit in (6, 7):
        parts.append(Then(digit))
        net.append(parts[-1])
    for at in (-1, gone % len(parts)):
        net[at] = parts[at] = Then(8 + at % 2)
    assert [id(part) for part in net] == list(map(id, parts))
    assert [name for name, _ in net._modules.items()] == [str(number) for number in range(len(parts))]
    assert net(x).item() == run(part.digit for part in parts)


@claim("sequential-can-be-built-three-ways")
@over(count=whole(1, 12, 2), names=among("zyxwvutsrqponm", "bacdefghijkl", "ABab01cdefgh"))
def test_the_three_ways_run_the_same_layers_which_brackets_reach_by_their_place(count, names):
    parts = [Then(digit % 10) for digit in range(1, count + 1)]
    added = nn.Sequential()
    added.add_module(names[0], Then(0))  # which the next one of this name replaces
    for name, part in zip(names, parts):
        added.add_module(name, part)
    ordered = nn.Sequential(OrderedDict(zip(names, parts)))

    for net, keys in ((nn.Sequential(*parts), map(str, range(count))), (added, names), (ordered, names)):
        assert [name for name, _ in net.named_children()] == list(keys)[:count]
        assert net(torch.tensor(0)).item() == run(part.digit for part in parts)
        assert len(net) == count
        assert all(net[place] is parts[place] for place in range(-count, count))


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
    own = [id(member.tensor) for member in plan.once() if "." not in member.name]
    assert [id(parameter) for parameter in module.parameters(recurse=False)] == own
