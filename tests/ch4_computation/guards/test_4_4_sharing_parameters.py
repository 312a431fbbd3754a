"""4.4 Sharing parameters, for layers of every kind, in every way of sharing, in every precision."""

import contextlib
import copy
import itertools
from collections import OrderedDict

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over, twins
from populations.changes import CHANGES, COPYING
from populations.comparing import host
from populations.gradients import grad_of
from populations.kinds import WITH_PARAMETERS
from populations.modules import layers
from torch import autograd, nn
from torch.nn import functional as F

claim = pytest.mark.claim

MULTIPLIED = (*SINGLE_AND_DOUBLE, torch.bfloat16)  # torch 2.0 multiplies no float16 matrices on the CPU


class Repeats(nn.Module):
    """Calls one layer several times."""

    def __init__(self, layer, uses):
        super().__init__()
        self.layer, self.uses = layer, uses

    def forward(self, x):
        for _ in range(self.uses):
            x = self.layer(x)
        return x


# Networks that run a layer ``uses`` times.
WAYS = {
    "called": Repeats,
    "listed": lambda layer, uses: nn.Sequential(*[layer] * uses),
    "named": lambda layer, uses: nn.Sequential(OrderedDict((f"n{-place}", layer) for place in range(uses))),
    "nested": lambda layer, uses: nn.Sequential(layer, *[nn.Sequential(nn.Sequential(layer))] * (uses - 1)),
    "tied": lambda layer, uses: nn.Sequential(layer, *(tied_to(layer) for _ in range(uses - 1))),
}


# Ways back from a result to the leaves that it was made of.
BACK = {
    "to all": lambda y, leaves, **rest: y.backward(**rest),
    "to those named": lambda y, leaves, **rest: y.backward(inputs=leaves, **rest),
    "by a function": lambda y, leaves, **rest: autograd.backward(y, **rest),
    "by a function, to those named": lambda y, leaves, **rest: autograd.backward([y], inputs=tuple(leaves), **rest),
}


def tied_to(layer):
    """Another layer with the parameters of ``layer``."""
    other = nn.Linear(*layer.weight.shape[::-1], bias=layer.bias is not None)
    other.weight, other.bias = layer.weight, layer.bias
    return other


def repeated(x, weight, bias, uses):
    """The output of ``uses`` linear layers of one weight and bias, and the gradients of its sum, by NumPy."""
    inputs = [x]
    for _ in range(uses):
        inputs.append(inputs[-1] @ weight.T + bias)
    output, gradient = inputs.pop(), np.ones_like(inputs[-1] @ weight.T)
    by_weight, by_bias = 0, 0
    for before in reversed(inputs):
        by_weight, by_bias = by_weight + gradient.T @ before, by_bias + gradient.sum(0)
        gradient = gradient @ weight
    return output, by_weight, by_bias


@claim("calling-a-layer-twice-shares", "same-instance-in-sequential-shares", "shared-gradients-accumulate")
@over(
    twin=twins(MULTIPLIED, ("contiguous", "transposed"), ((1, 1), (2, 2))),
    way=among(*WAYS),
    uses=among(2, 1, 3, 4),
    back=among(*BACK),
)
def test_every_use_computes_with_the_one_weight_and_adds_to_its_one_gradient(twin, way, uses, back):
    tensor, array = twin
    weight, bias = np.sign(array), np.sign(array[0])  # sums of at most 2 * (8 + 4 * 3 + 2 * 7 + 15) = 98: exact
    x = np.sign(array + 1)
    layer, given = nn.Linear(*array.shape, dtype=tensor.dtype).to(tensor.device), tensor.add(1).sign()
    layer(given)  # with another weight
    layer.weight, layer.bias = nn.Parameter(tensor.sign()), nn.Parameter(tensor[0].sign())
    net = WAYS[way](layer, uses).to(tensor.device)
    output, by_weight, by_bias = repeated(x, weight, bias, uses)

    BACK[back](net(given).sum(), [layer.weight, layer.bias])
    for mode in EVERY_MODE:
        agree(mode()(lambda: net(given))(), output)
    agree(grad_of(layer.weight), by_weight)
    agree(grad_of(layer.bias), by_bias)
    assert [id(parameter) for parameter in net.parameters()] == [id(layer.weight), id(layer.bias)]
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    agree(layer.weight, weight - by_weight)  # moved once, not once for each use
    net(given)  # with the numbers that are written over now
    layer.weight.data.zero_()
    for mode in EVERY_MODE:
        agree(mode()(lambda: net(given))(), np.broadcast_to(bias - by_bias, output.shape))
    assert len({layer.weight.data_ptr() for layer in [nn.Linear(2, 2), nn.Linear(2, 2)]}) == 2  # of one shape, yet two


@claim("same-instance-in-sequential-shares")
@over(layer=layers(kinds=WITH_PARAMETERS), change=among(*CHANGES))
def test_the_places_of_a_layer_stay_one_object_whatever_is_done_to_the_network(layer, change):
    module, plan = layer
    before = nn.Sequential(module, nn.Tanh(), module).append(module)
    net = CHANGES[change](before)

    assert len(net) == 4
    assert net[0] is net[2] is net[3]
    assert (net[0] is module) == (change not in COPYING)
    for name, parameter in list(net[0].named_parameters()):
        parameter.detach().zero_()
        assert not dict(net[3].named_parameters())[name].any()
    for member in plan.parameters if change in COPYING else ():  # a copy shares within itself alone
        agree(member.tensor, member.array)


@claim("parameters-carry-data-and-grad")
@over(
    twin=twins((*FLOATS, torch.complex64), WRITABLE).rarely(*(Twin(torch.float32, (1,) * rank) for rank in range(2, 6)))
)
def test_data_is_the_memory_and_grad_is_filled_once_with_a_derivative_in_memory_of_its_own(twin):
    tensor, array = twin
    weight, one, other = (nn.Parameter(each) for each in (tensor, tensor.clone(), tensor.clone()))
    agree(weight.data, array)
    assert (weight.data.data_ptr(), weight.data.requires_grad) == (weight.data_ptr(), False)

    factor = 3 if tensor.is_complex() else weight  # the gradient of a product of complex numbers is conjugated
    y = weight * factor + (one + other)
    assert weight.grad is one.grad is other.grad is None
    y.backward(torch.ones_like(y))
    agree(weight.grad, np.full_like(array, 3) if tensor.is_complex() else 2 * array)
    assert weight.grad is weight.grad
    assert (weight.grad.dtype, weight.grad.device) == (weight.dtype, weight.device)
    one.grad.zero_()
    other.data = other.detach() * 2  # of which the gradient knows nothing
    assert other.grad is not None
    agree(one.grad, np.zeros_like(array))
    agree(other.grad, np.ones_like(array))
    weight.data.zero_()
    agree(tensor, np.zeros_like(array))


@claim("parameters-carry-data-and-grad")
@over(layer=layers(FLOATS, WITH_PARAMETERS))
def test_each_parameter_that_backward_reaches_has_a_gradient_of_its_shape_and_no_other_has_one(layer):
    module, plan = layer
    members = plan.once()
    half = members[::2]
    for member in members:
        member.tensor.requires_grad_(member in half)
    sum(member.tensor.sum() for member in members).backward()

    for member in members:
        assert (member.tensor.grad is None) == (member not in half)
    for member in half:
        agree(member.tensor.grad, np.ones_like(member.array))
        member.tensor.requires_grad_(member is half[-1])  # what is frozen by now is cleared too
    assert {parameter.grad for parameter in copy.deepcopy(module).parameters()} == {None}  # which no backward reached
    first, *rest = module.parameters()
    by_optimizer = torch.optim.SGD([{"params": [first]}, {"params": rest}], lr=1.0).zero_grad
    for clear in (mode()(clear) for mode in EVERY_MODE for clear in (module.zero_grad, by_optimizer)):
        clear()
        assert all(member.tensor.grad is None for member in members)
        for member in members:
            member.tensor.grad = torch.ones_like(member.tensor)


@claim("parameters-carry-data-and-grad")
@over(
    shapes=among(*(((1, 5), (5,)), ((5, 1), (5,)), ((5,), (1, 1, 5)), ((2, 3), (3,)), ((), (1, 1)), ((4, 1), (1, 4)))),
    name=among("add", "mul", "sub", "maximum"),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_the_gradient_has_the_shape_of_its_parameter_beside_an_operand_of_any_other_shape(shapes, name, dtype):
    one, other = (nn.Parameter(torch.full(shape, 2.0 + turn, dtype=dtype)) for turn, shape in enumerate(shapes))
    result = getattr(torch, name)(one, other)
    result.sum().backward()

    slopes = {"add": (1, 1), "mul": (3, 2), "sub": (1, -1), "maximum": (0, 1)}[name]
    for parameter, slope in zip((one, other), slopes):
        agree(parameter.grad, np.full(parameter.shape, slope * result.numel() / parameter.numel()))


# What each of two calls is given: of a row of whole numbers, in the order of a layer's kinds.
CALLED = {
    **dict.fromkeys(("Linear", "wide Linear", "LayerNorm", "GroupNorm", "BatchNorm1d", "PReLU"), lambda row: (row,)),
    **dict.fromkeys(("RNN", "LSTM", "GRU"), lambda row: (row[:, None],)),
    **dict.fromkeys(("Conv2d", "ConvTranspose2d", "BatchNorm2d"), lambda row: (row[..., None, None],)),
    "Bilinear": lambda row: (row[:, :2], row[:, 1:4]),
    "Embedding": lambda row: (row[:, :4].long() + 2,),
    "MultiheadAttention": lambda row: (row[:, None],) * 3,
}


@claim("shared-gradients-accumulate", "reusing-a-layer-shares-its-parameters")
@over(
    layer=layers(SINGLE_AND_DOUBLE, tuple(CALLED)),
    again=among(False, True),
    training=among(False, True),
    back=among(*BACK),
)
def test_two_calls_give_a_layer_of_any_kind_the_gradients_of_two_layers_with_its_values(layer, again, training, back):
    """Of inputs of their own or ``again`` of one; a layer alone, and so their sum, rounds some hundred times."""
    once, one, other = (next(iter(layer)).train(training) for _ in range(3))
    leaves = [*once.parameters(), *one.parameters(), *other.parameters()]
    for parameter in leaves:
        parameter.requires_grad_().data /= 16
    size = 33 if layer.kind == "wide Linear" else 4
    rows = [np.resize(numbers, (3, size)) for numbers in ((1, -2, 0, 2, -1), (2, 0, -1))]
    x, y = (torch.tensor(row, dtype=layer.dtype, device=next(once.parameters()).device) for row in rows)
    given = [CALLED[layer.kind](each) for each in (x, x if again else y)]
    calls = [called(*values) for called, values in zip((once, once, one, other), given * 2)]
    outputs = [made[0] if isinstance(made, tuple) else made for made in calls]
    BACK[back](sum((turn % 2 + 1) * (output * output).sum() for turn, output in enumerate(outputs)), leaves)

    for output, apart in zip(outputs[:2], outputs[2:]):
        agree(output, host(apart), 100, np.abs(host(apart)).max())
    for parameter, first, second in zip(once.parameters(), one.parameters(), other.parameters()):
        by_both = np.abs(host(first.grad)) + np.abs(host(second.grad))
        agree(grad_of(parameter), host(first.grad) + host(second.grad), 100, by_both.max())


@claim("shared-gradients-accumulate", "calling-a-layer-twice-shares")
@over(uses=among(2, 5, 9, 70), before=each(None, 0, 3), dtype=among(*SINGLE_AND_DOUBLE))
def test_many_uses_of_one_layer_add_to_whatever_gradient_there_is(uses, before, dtype):
    layer, rows = nn.Linear(2, 1, dtype=dtype), torch.arange(2.0 * uses, dtype=dtype).view(uses, 2)
    layer.weight.grad = None if before is None else torch.full_like(layer.weight, before)
    for passes in (1, 2):
        sum(layer(row) for row in rows).backward()
        agree(grad_of(layer.weight), np.array([[uses * (uses - 1), uses * uses]]) * passes + (before or 0))


# A number computed by several uses of a weight of shape (3, 2), and its derivative by NumPy.
USES = {
    "branches": (
        lambda w, x: (F.linear(x, w) * 10 - F.linear(x + 1, w) * 4).sum(),
        lambda w, x: np.ones((3, 1)) * (10 * x - 4 * (x + 1)).sum(0),
    ),
    "squared": (lambda w, x: (w * w).sum(), lambda w, x: 2 * w),
    "transposed": (
        lambda w, x: F.linear(F.linear(x, w), w.t()).sum(),
        lambda w, x: (x @ w.T).sum(0)[:, None] + w.sum(1)[:, None] * x.sum(0),
    ),
    "embedding": (
        lambda w, x: F.linear(F.embedding(torch.tensor([1], device=w.device), w), w).sum(),
        lambda w, x: w[1] + np.array([[0], [1], [0]]) * w.sum(0),
    ),
    "embedding with padding": (
        lambda w, x: F.linear(F.embedding(torch.tensor([1], device=w.device), w, 0), w).sum(),
        lambda w, x: w[1] + np.array([[0], [1], [0]]) * w.sum(0),
    ),
    "other precisions": (
        lambda w, x: (
            (w.half() + w.bfloat16() * 2 + w.to(torch.float16) * 4 + w.type(torch.bfloat16) * 8).sum()
            + F.linear(x.bfloat16(), w.bfloat16()).to(w).sum()
            + (w * 16).sum()
        ),
        lambda w, x: 31 + np.ones((3, 1)) * x.sum(0),
    ),
    "views": (
        lambda w, x: (w.view(-1)[:4] * w[1:].reshape(-1)).sum(),
        lambda w, x: (np.append(w.ravel()[2:], [0, 0]) + np.append([0, 0], w.ravel()[:4])).reshape(3, 2),
    ),
}


@claim("shared-gradients-accumulate")
@claim("shared-gradients-accumulate", truth=True)
@over(twin=twins(MULTIPLIED, ("contiguous",), ((3, 2),)), use=among(*USES), start=among(None, 0))
def test_uses_of_any_kinds_feed_one_gradient_which_autograd_grad_returns_and_writes_nowhere(twin, use, start):
    (tensor, array), (compute, derivative) = twin, USES[use]
    weight, x = nn.Parameter(tensor.sign()), np.array([[1.0, -1.0], [2.0, 3.0]], array.dtype)
    weight.grad = zeros = None if start is None else torch.zeros_like(weight)
    y = compute(weight, torch.tensor(x.tolist(), dtype=tensor.dtype, device=tensor.device))

    expected = derivative(np.sign(array), x)
    for graph, (times, outputs), inputs in itertools.product(
        (False, True), ((1, y), (2, [y, y])), ([weight], [weight] * 2)
    ):
        for gradient in autograd.grad(outputs, inputs, retain_graph=True, create_graph=graph):
            agree(gradient, times * expected)
        assert weight.grad is zeros
    with contextlib.suppress(RuntimeError, ValueError):  # torch refuses to derive with respect to nothing
        autograd.grad(y, [], torch.ones_like(y), retain_graph=True)
    assert weight.grad is zeros
    for back in BACK.values():
        weight.grad = None if start is None else torch.zeros_like(weight)
        for passes in (1, 2):
            back(y, [weight], retain_graph=True)
            agree(weight.grad, passes * expected)
