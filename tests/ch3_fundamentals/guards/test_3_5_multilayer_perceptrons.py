"""3.5 Multilayer perceptrons and activations, for arguments of every size and networks of many depths and widths."""

import functools
import inspect
import itertools
from collections import OrderedDict

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, HALVES, LAYOUTS, SINGLE_AND_DOUBLE, agree, among, over, settled, twins
from populations.comparing import host
from populations.layers import ACTIVATIONS, BENDS, COMPUTED, arguments, passes, perceptron, relu, sigmoid, tanh, twice
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim
RELEASE = tuple(map(int, torch.__version__.split(".")[:2]))

# from the input to the output: one to seven hidden layers, of one unit, of few, past a power of two
WIDTHS = among(
    (3, 1, 2), (4, 6, 5, 3), (2, 9, 1), (5, 33, 4), (3, 257, 2), (3, 8, 8, 8, 2), (7, 3, 4, 5, 4, 3, 2, 6, 1)
)


def recorded(name):
    """The ways of calling an activation that gradients pass; those in place work on a copy, one of them on a view."""
    module, function, in_place = ACTIVATIONS[name][0], getattr(torch, name), getattr(torch, f"{name}_")

    def on_a_view(x):
        view = x[..., None].expand(*x.shape, 2).clone(memory_format=torch.contiguous_format)[..., 1]
        getattr(view, f"{name}_")()
        return view

    ways = [settled(function), lambda x: twice(module(), x), getattr(torch.Tensor, name), getattr(F, name), on_a_view]
    ways += [lambda x: in_place(x.clone()), *([torch.special.expit] if name == "sigmoid" else [])]
    return [*ways, lambda x: twice(nn.ReLU(inplace=True), x.clone())] if name == "relu" else ways


def spellings(name):
    """All ways of calling an activation: in inference mode too, and where there is one into a tensor that is given."""

    def into(x, wider=False, gaps=False):
        dtype = torch.float32 if wider and x.dtype in HALVES else x.dtype
        out = torch.full_like(x, 77, dtype=dtype, requires_grad=False)
        x, out = (torch.stack([each.detach()] * 2, -1)[..., 1] if gaps else each for each in (x, out))
        with torch.no_grad():
            getattr(torch, name)(x, out=out)
        return out.to(x.dtype)

    ways = [*recorded(name), torch.inference_mode()(lambda x: twice(ACTIVATIONS[name][0](), x))]
    outputs = [into, functools.partial(into, wider=True), functools.partial(into, gaps=True)]
    return ways if name == "relu" else [*ways, *outputs]


def network(widths, activation, dtype=torch.float32, built="flat", bias=True):
    """A perceptron of new layers: one after another, in blocks, each hidden one with its activation, or all of them
    with the same activation; given together, by names whose order is another, or appended one by one.
    """
    *hidden, last = [nn.Linear(*sizes, bias, dtype=dtype) for sizes in itertools.pairwise(widths)]
    same = activation()
    blocks = [nn.Sequential(layer, same if built == "same" else activation()) for layer in hidden]
    parts = [*blocks, nn.Sequential(last)] if built == "blocks" else [*itertools.chain(*blocks), last]
    if built == "appended":
        return functools.reduce(nn.Sequential.append, parts, nn.Sequential())
    if built == "named":
        return nn.Sequential(OrderedDict((str(99 - place), part) for place, part in enumerate(parts)))
    return nn.Sequential(*parts)


def arrays(net):
    """Weight and bias of each of its layers, for the oracle: 0 for the bias of those that have none."""
    of = [(layer.weight, layer.bias) for layer in net.modules() if isinstance(layer, nn.Linear)]
    return [[0.0 if each is None else host(each).astype(np.float64) for each in pair] for pair in of]


def follow(name, tensor, x, turn, slope, bend, value_roundings=0, slope_roundings=0, scale=1.0):
    """Raise AssertionError unless an activation, in every second way to call it from ``turn`` on, has its formula's
    value everywhere in a tensor of ``x``, and that ``slope``, for a gradient of twos in another layout, which is 0 for
    an argument of NaN, and unless the slope has its own derivatives: by the twos it is the slope, by x ``bend``.
    """
    expected = ACTIVATIONS[name][1](x)
    for way in spellings(name)[turn::2]:
        agree(way(tensor), expected, value_roundings)
        agree(tensor, x)

    back = tuple(reversed(range(x.ndim)))
    twos = (2 * (tensor.detach() == tensor)).to(tensor.dtype).permute(back).contiguous().permute(back).requires_grad_()
    first, second = 2 * (x == x) * slope, ((x == x) / 2 * slope, (x == x) * bend)
    for way in recorded(name)[turn::2]:
        (gradient,) = torch.autograd.grad(way(tensor.requires_grad_()), tensor, twos, create_graph=True)
        agree(gradient, first, slope_roundings, 2 * scale)
        gradient = gradient + 0 * (twos + tensor)  # of no elements it is a function of nothing
        for again, expected in zip(torch.autograd.grad(gradient, (twos, tensor), twos.detach()), second):
            agree(again / 4, expected, 2 * slope_roundings, scale)


@claim("stacked-linear-layers-collapse")
@over(widths=WIDTHS, dtype=among(*SINGLE_AND_DOUBLE, torch.bfloat16), bias=among(True, False))
def test_layers_without_activations_equal_the_one_layer_that_their_product_makes(widths, dtype, bias):
    net = network(widths, nn.Identity, dtype, bias=bias)
    weight, bias = np.eye(widths[0]), np.zeros(widths[0])
    most, offset = np.eye(widths[0]), np.zeros(widths[0])  # what they would be if nothing cancelled
    for w, b in arrays(net):
        weight, bias, most, offset = w @ weight, w @ bias + b, np.abs(w) @ most, np.abs(w) @ offset + np.abs(b)
    # many and large: none is cut off
    inputs = torch.tensor(999 * (np.arange(3 * widths[0]).reshape(3, -1) - 5), dtype=dtype)

    x = host(inputs).astype(np.float64)
    for outputs in passes(net, inputs):
        agree(outputs, x @ weight.T + bias, 2 * sum(widths), np.abs(x) @ most.T + offset)


@claim("relu-formula")
@claim("nonlinearity-breaks-the-collapse")
@over(twin=arguments(grad=(False, True)), turn=among(0, 1))
def test_relu_is_the_larger_of_zero_and_x_and_nan_for_nan_and_its_slope_one_above_zero_and_zero_elsewhere(twin, turn):
    tensor, x = twin
    follow("relu", tensor, x, turn, x > 0, 0)


LAYERS = among((nn.Linear, 6, 64), (nn.Conv2d, 3, 64, 2), (nn.BatchNorm1d, 4), (nn.Dropout, 0.5), (nn.Softshrink, 0.1))


@claim("relu-formula")
@claim("nonlinearity-breaks-the-collapse")
@over(layer=LAYERS, recorded=among(True, False))
def test_relu_in_place_bends_what_another_layer_made_where_it_lies(layer, recorded):
    kind, *given = layer
    with torch.set_grad_enabled(recorded):
        h = kind(*given)(torch.tensor(np.sin(np.arange(-36, 36)).reshape(3, 4, 6), dtype=torch.float32))
        before = host(h).copy()
        assert nn.ReLU(inplace=True)(h).data_ptr() == h.data_ptr()

    agree(h, relu(before))
    assert before.min() < 0  # 64 outputs of one sign have a probability of 2^-63


@claim("nonlinearity-breaks-the-collapse")
@over(EVERY_MODE, name=among(*BENDS), dtype=among(*SINGLE_AND_DOUBLE))
def test_thirteen_more_activations_follow_their_formulas(name, dtype):
    """Of one or two functions, each within 8 roundings, and as many for what stands around them."""
    x = np.arange(-40, 41).reshape(9, 9) / 4
    module, *given, formula = BENDS[name]
    ways = [{}, {"inplace": True}] if "inplace" in inspect.signature(module).parameters else [{}]
    for way, lies in itertools.product(ways, ("by rows", "by columns")):
        tensor = torch.tensor(x, dtype=dtype) if lies == "by rows" else torch.tensor(x.T.copy(), dtype=dtype).t()
        agree(twice(module(*given, **way).to(dtype), tensor), formula(x), 24, 1)


@claim("relu-formula", "sigmoid-formula", "tanh-formula")
@over(
    twin=twins((torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8), LAYOUTS),
    default=among(*SINGLE_AND_DOUBLE),
)
def test_relu_of_whole_numbers_is_of_their_dtype_and_of_the_others_the_default(twin, default):
    torch.set_default_dtype(default)
    tensor, array = twin
    ends = torch.iinfo(tensor.dtype)
    for way in spellings("relu")[twin.seed % 4 :: 4]:
        assert way(torch.tensor([ends.min, ends.max - 1, 1], dtype=tensor.dtype)).tolist() == [0, ends.max - 1, 1]

    least = torch.full((33,), ends.min, dtype=tensor.dtype)  # of signed ones, which has no opposite
    for name, dtype in (("relu", tensor.dtype), ("sigmoid", default), ("tanh", default)):
        formula = ACTIVATIONS[name][1]
        for way in spellings(name)[:2]:
            result = way(tensor)
            agree(result, formula(array.astype(np.float64)), 8 * (name != "relu"))
            assert result.dtype == dtype
        agree(spellings(name)[twin.seed % 4](least), formula(np.full(33, float(ends.min))), 8)
    agree(torch.sigmoid(tensor > 2), sigmoid((array > 2) * 1.0), 8)
    agree(torch.tanh(tensor > 2), tanh((array > 2) * 1.0), 8)


@claim("sigmoid-formula")
@claim("sigmoid-formula", truth=True)
@claim("nonlinearity-breaks-the-collapse")
@over(twin=arguments(grad=(False, True)), turn=among(0, 1))
def test_the_sigmoid_follows_its_formula_with_all_digits_in_either_tail_and_so_does_its_slope(twin, turn):
    """An exponential (4 roundings), a sum, a quotient, the oracle's own; of the slope 1 - s is off by one of 1."""
    tensor, array = twin
    x = array.astype(np.float64)
    slope = sigmoid(x) * sigmoid(-x)
    follow("sigmoid", tensor, x, turn, slope, slope * (sigmoid(-x) - sigmoid(x)), 8, 10, sigmoid(x))


@claim("sigmoid-formula", truth=True)
@over(dtype=among(*COMPUTED), count=among(1, 33))
def test_at_minus_twelve_the_formula_gives_zero_where_its_exponential_overflows_and_the_function_never(dtype, count):
    x, value = torch.full((count,), -12.0, dtype=dtype), 1 / (1 + np.exp(12.0))  # exp(12) is 162755, past float16
    for way in spellings("sigmoid"):
        agree(way(x), np.full(count, value), 8)
        assert {*np.round(host(way(x)) * 1e6)} == {6}  # below the smallest normal number of float16
    agree(1 / (1 + torch.exp(-x)), np.full(count, 0.0 if dtype == torch.float16 else value), 8)


@claim("sigmoid-formula", "tanh-formula")
@over(dtype=among(torch.complex64, torch.complex128), count=among(1, 3, 8, 33))
def test_of_complex_numbers_either_function_follows_its_formula_and_ends_where_it_does(dtype, count):
    far, *ends = (7742, -np.inf, np.inf) if RELEASE >= (2, 9) else (30,)
    x = np.resize([-far, far, -2 + 1j, 1.5 - 2j, -30 + 0.5j, 30 + 1j, -1, *ends], count).astype(complex)
    small = np.exp(np.where(x.real < 0, x, -x))

    tensor, s = torch.tensor(x, dtype=dtype), np.where(x.real < 0, small, 1) / (1 + small)
    h = np.where(x.real < 0, -1, 1) * (1 - small**2) / (1 + small**2)
    for given, of in ((tensor, lambda y: y), (tensor.conj(), np.conj)):  # which is only marked
        agree(torch.sigmoid(given), of(s), 16)
        agree(torch.tanh(given), of(h), 16)
    agree(torch.sigmoid(tensor.conj().imag), sigmoid(-x.imag), 8)  # of real ones that are marked as negative
    agree(torch.tanh(tensor.conj().imag), tanh(-x.imag), 8)
    agree(torch.relu(tensor.conj().imag), relu(-x.imag))


@claim("sigmoid-formula", truth=True)
@pytest.mark.cpu
@over(dtype=among(torch.complex64, torch.complex128), imaginary=among(0.0, 1.0))
def test_of_complex_numbers_the_function_suffers_as_the_formula_does(dtype, imaginary):
    x = torch.full((33,), complex(-1000, imaginary), dtype=dtype)
    suffers = imaginary != 0 or RELEASE < (2, 7)
    assert torch.sigmoid(x).isnan().any() == suffers  # before 2.7 those that fill a vector
    assert (1 / (1 + torch.exp(-x))).isnan().all() == suffers


@claim("tanh-formula")
@claim("tanh-formula", truth=True)
@claim("nonlinearity-breaks-the-collapse")
@over(twin=arguments(grad=(False, True)), turn=among(0, 1))
def test_tanh_follows_its_formula_with_all_digits_within_one_and_its_slope_is_one_minus_its_square(twin, turn):
    tensor, array = twin
    x = array.astype(np.float64)
    h = tanh(x)
    follow("tanh", tensor, x, turn, 1 - h**2, -2 * h * (1 - h**2), 8, 10)
    assert not np.any(np.abs(host(torch.tanh(tensor))) > 1)


@claim("nonlinearity-breaks-the-collapse")
@claim("mlp-applies-activation-per-hidden-layer")
@over(widths=WIDTHS, activation=among(*ACTIVATIONS), built=among("flat", "blocks", "same", "named", "appended"))
def test_every_hidden_layer_but_not_the_output_is_followed_by_the_activation(widths, activation, built):
    module, formula, _ = ACTIVATIONS[activation]
    net = network(widths, module, built=built)
    layers = arrays(net)
    inputs = torch.tensor(np.arange(6 * widths[0]).reshape(2, 3, -1) / 4 - 2, dtype=torch.float32)

    # no slope is above 1, so that errors grow like the network of absolute values
    most = perceptron(np.abs(host(inputs)), [(np.abs(w), np.abs(b)) for w, b in layers], lambda x: x + 1)
    agree(net(inputs), perceptron(host(inputs), layers, formula), 8 * len(layers) + 2 * sum(widths), most)


@claim("mlp-applies-activation-per-hidden-layer")
@over(sizes=among((4, 3), (1, 1), (9, 2), (33, 17), (784, 10)))
def test_every_unit_is_connected_to_every_feature_by_a_weight_of_its_own(sizes):
    layer = nn.Linear(*sizes, dtype=torch.float64)  # a float32 weight is exactly 0 once in 2**24 draws
    inputs = torch.ones(sizes[0], dtype=torch.float64, requires_grad=True)
    rows = [torch.autograd.grad(output, inputs, retain_graph=True)[0] for output in layer(inputs)]

    agree(torch.stack(rows), host(layer.weight))
    assert len(np.unique(host(layer.weight))) == sizes[0] * sizes[1]
    assert np.all(host(layer.weight) != 0)


@claim("depth-and-width-are-hyperparameters")
@over(widths=WIDTHS, optimizer=among(torch.optim.SGD, torch.optim.Adam))
def test_training_changes_the_values_of_any_choice_and_never_their_number(widths, optimizer):
    net = network(widths, nn.Tanh)
    shapes = [shape for sizes in itertools.pairwise(widths) for shape in (sizes[::-1], sizes[1:])]
    assert [tuple(parameter.shape) for parameter in net.parameters()] == shapes

    inputs = torch.tensor(np.cos(np.arange(4 * widths[0])).reshape(4, -1), dtype=torch.float32)
    steps, before = optimizer(net.parameters(), lr=1e-3), [host(parameter).copy() for parameter in net.parameters()]
    for _ in range(3):
        steps.zero_grad()
        net(inputs).square().sum().backward()
        steps.step()

    assert [tuple(parameter.shape) for parameter in net.parameters()] == shapes
    assert all(np.any(host(parameter) != old) for parameter, old in zip(net.parameters(), before))


@claim("depth-and-width-are-hyperparameters")
@over(
    widths=among((3, 4, 5), (3, 6, 5), (3, 5, 4), (3, 5, 5, 5), (3, 5), (3, 1, 5), (3, 5, 1), (1, 5, 5)),
    how=among({}, {"assign": True} if RELEASE >= (2, 1) else {"strict": True}),
)
def test_parameters_of_one_choice_raise_a_runtime_error_in_another(widths, how):
    """Those that broadcasting would fit, too, and as many numbers in another shape."""
    nets = network((3, 5, 5), nn.Tanh), network(widths, nn.Tanh)
    alike = nn.Linear(2, 3, False), nn.Linear(3, 2, False), nn.Linear(6, 1, False), nn.Conv1d(6, 1, 1, bias=False)

    for kind, one, other in ((dict, *nets), (OrderedDict, *nets[::-1]), *zip([dict] * 4, alike, alike[1:] + alike[:1])):
        for training in (True, False):
            with pytest.raises(RuntimeError, match="size mismatch|Missing key|Unexpected key"):
                other.train(training).load_state_dict(kind(one.state_dict()), **how)
