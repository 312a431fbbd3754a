"""4.9 GPU computing: models of every kind that move, refuse and learn, on the first device and on the second."""

import copy

import numpy as np
import pytest
import torch
from populations import among, over, whole
from populations.comparing import host
from populations.mixing import CPU, refused, spot
from torch import nn

claim = pytest.mark.claim


def network():
    """Submodules in submodules, a weight that is frozen, and buffers, one of whole numbers and one not saved."""
    hidden = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
    net = nn.Sequential(hidden, nn.Linear(4, 2, bias=False))
    net[1].requires_grad_(False)
    net.register_buffer("scratch", torch.ones(2), persistent=False)
    return net


MODELS = {
    "network": network,
    "linear": lambda: nn.Linear(3, 4),
    "list": lambda: nn.ModuleList([nn.Linear(2, 1), nn.ParameterList([nn.Parameter(torch.randn(2))])]),
    "dict": lambda: nn.ModuleDict(
        {"inner": nn.Sequential(nn.Linear(2, 1)), "p": nn.ParameterDict({"a": torch.ones(3)})}
    ),
    "embedding": lambda: nn.Embedding(300, 5),
    "convolution": lambda: nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last),
    "recurrent": lambda: nn.GRU(3, 4),
    "half": lambda: nn.Linear(3, 2, dtype=torch.bfloat16),
    "empty": lambda: nn.Sequential(nn.ReLU()),
}
# ways to take a model to a device
MOVES = {
    "to(device)": lambda net, device: net.to(device),
    "to(name)": lambda net, device: net.to(str(device)),
    "to(device=)": lambda net, device: net.to(device=device),
    "to(tensor)": lambda net, device: net.to(torch.empty(0, dtype=torch.bfloat16, device=device).to(dtype(net))),
    "by its parts": lambda net, device: ([child.to(device) for child in net.children()], net.to(device))[1],
}


def dtype(net):
    return next((parameter.dtype for parameter in net.parameters()), torch.float32)


def told(net):
    """All that a model holds, by name: dtype, whether a gradient is wanted, values and gradient, and its mode."""
    held = [*net.named_parameters(), *net.named_buffers()]
    return [
        (name, x.dtype, x.requires_grad, host(x).tolist(), None if x.grad is None else host(x.grad).tolist())
        for name, x in held
    ] + [(name, module.training) for name, module in net.named_modules()]


def devices_of(net):
    tensors = [*net.parameters(), *net.buffers()]
    return {x.device for x in tensors} | {x.grad.device for x in tensors if x.grad is not None}


# ── model-moves-with-to ──


@claim("model-moves-with-to")
@over(model=among(*MODELS), move=among(*MOVES), second=among(False, True))
def test_all_that_is_registered_moves_there_and_back_and_nothing_but_the_place_changes(
    accelerator, model, move, second
):
    with torch.device("cpu"):
        net = MODELS[model]().train(mode=second)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 3.0) if parameter.requires_grad else None
    before = told(net)

    assert MOVES[move](net, spot(second)) is net
    assert devices_of(net) <= {spot(second)}
    assert told(net) == before
    assert net.cpu() is net
    assert devices_of(net) <= {CPU}
    assert told(net) == before


@claim("model-moves-with-to")
@pytest.mark.cuda
@over(model=among(*MODELS))
def test_cuda_moves_to_the_gpu_with_that_index(model):
    for index in range(torch.cuda.device_count()):
        net = MODELS[model]().cpu()
        before = told(net)
        assert devices_of(net.cuda(index)) <= {torch.device("cuda", index)}
        assert told(net) == before


@claim("model-moves-with-to")
@pytest.mark.cuda
def test_a_parameter_that_moves_to_cuda_stays_the_same_object():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).cpu()
    weight = net[1].weight = net[0].weight
    net.cuda()
    assert net[0].weight is net[1].weight is weight
    assert weight.is_cuda


@claim("model-moves-with-to", truth=True)
@over(move=among("to(device)", "to(name)", "to(device=)"), second=among(False, True))
def test_weights_stay_tied_exactly_where_the_parameter_objects_are_kept(accelerator, move, second):
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)).cpu()
    weight = net[1].weight = net[0].weight
    values = weight.tolist()
    MOVES[move](net, spot(second))

    assert (net[1].weight is net[0].weight) == (net[0].weight is weight)
    assert net[0].weight.tolist() == net[1].weight.tolist() == values


@claim("model-moves-with-to", truth=True)
@over(model=among("network", "linear", "list"), move=among("to(device)", "to(name)", "to(device=)"))
def test_a_tensor_that_is_not_registered_stays_behind(accelerator, model, move):
    net = MODELS[model]().cpu()
    net.note = torch.ones(2, device="cpu")
    net.notes = [torch.ones(2, device="cpu", requires_grad=True)]
    MOVES[move](net, spot())

    assert (net.note.device, net.notes[0].device) == (CPU, CPU)


# ── parameter-device-tells-the-models-device ──


@claim("parameter-device-tells-the-models-device")
@over(model=among(*list(MODELS)[:-1]), place=among("cpu", "first", "second"))
def test_every_parameter_tells_where_the_model_is(accelerator, model, place):
    goal = {"cpu": CPU, "first": spot(), "second": spot(second=True)}[place]
    net = MODELS[model]().to(goal)
    assert [parameter.device for parameter in net.parameters()] == [goal] * len(list(net.parameters()))


@claim("parameter-device-tells-the-models-device", truth=True)
@over(part=whole(0, 4), second=among(False, True))
def test_each_parameter_of_a_divided_model_tells_of_its_own_part(accelerator, part, second):
    net = nn.Sequential(*[nn.Linear(2, 2, bias=False) for _ in range(5)]).cpu()
    net[part].to(spot(second))

    expected = [spot(second) if index == part else CPU for index in range(5)]
    assert [parameter.device for parameter in net.parameters()] == expected
    assert not hasattr(net, "device")


# ── model-and-input-must-share-a-device ──

LAYERS = {
    "Linear": (lambda: nn.Linear(3, 2), (5, 3)),
    "a single example": (lambda: nn.Linear(3, 2), (3,)),
    "no bias": (lambda: nn.Linear(3, 2, bias=False), (5, 3)),
    "Conv2d": (lambda: nn.Conv2d(1, 2, 3), (5, 1, 4, 4)),
    "Conv1d": (lambda: nn.Conv1d(1, 2, 3), (5, 1, 4)),
    "LayerNorm": (lambda: nn.LayerNorm(3), (5, 3)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), (5, 3)),
    "PReLU": (lambda: nn.PReLU(3), (5, 3)),
    "Bilinear": (lambda: nn.Bilinear(3, 3, 2), (5, 3)),
    "network": (network, (5, 3)),
}


def call(net, x):
    return net(x, x) if isinstance(net, nn.Bilinear) else net(x)


@claim("model-and-input-must-share-a-device")
@over(layer=among(*LAYERS), two=among("model", "input", "both"), training=among(True, False))
def test_no_model_takes_input_from_another_device(accelerator, layer, two, training):
    make, shape = LAYERS[layer]
    here, there = {"model": (spot(), CPU), "input": (CPU, spot()), "both": (spot(), CPU)}[two]
    net, x = make().to(here).train(training), torch.ones(shape, device=there)

    with refused():
        call(net, x)
    assert call(net, x.to(here)).device == here


@claim("model-and-input-must-share-a-device")
@over(layer=among(*LAYERS), turned=among(False, True))
def test_no_model_takes_input_from_another_gpu(two_devices, layer, turned):
    make, shape = LAYERS[layer]
    here, there = two_devices[::-1] if turned else two_devices
    with refused():
        call(make().to(here), torch.ones(shape, device=there))


@claim("model-and-input-must-share-a-device")
@over(place=among("model", "input"), count=among(1, 3))
def test_an_embedding_refuses_indices_from_another_device(accelerator, place, count):
    here, there = (spot(), CPU) if place == "model" else (CPU, spot())
    indices = torch.arange(count, device="cpu").to(there)
    with refused():
        nn.Embedding(4, 2).to(here)(indices)


@claim("model-and-input-must-share-a-device", truth=True)
@over(layer=among(nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Softmax(-1), nn.MaxPool1d(2), nn.Identity()))
def test_a_layer_without_parameters_takes_input_from_anywhere(accelerator, layer):
    for place in (CPU, spot(), spot(second=True)):
        assert layer.to(accelerator)(torch.ones(2, 4, device=place)).device == place


# ── training-runs-on-gpu ──

LOSSES = {"squares": nn.MSELoss, "classes": nn.CrossEntropyLoss}
TASKS = {
    "linear": (lambda: nn.Linear(3, 2), "squares"),
    "softmax": (lambda: nn.Linear(3, 5), "classes"),
    "perceptron": (lambda: nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2)), "squares"),
    "normalised": (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sigmoid(), nn.Linear(4, 5)), "classes"),
    "transposed": (lambda: transposing(nn.Linear(3, 2)), "squares"),
}
OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, eps=1e-4),
    "for-loop": lambda parameters: torch.optim.Adam(parameters, lr=0.01, eps=1e-4, foreach=False),
}


def transposing(net):
    """The layer with a weight that is not contiguous."""
    net.weight = nn.Parameter(net.weight.detach().t().contiguous().t())
    return net


def steps(net, make_optimizer, loss, features, labels, count):
    optimizer = make_optimizer(net.parameters())
    for _ in range(count):
        optimizer.zero_grad()
        loss(net(features), labels).backward()
        optimizer.step()
    return net


@claim("training-runs-on-gpu")
@over(task=among(*TASKS), optimizer=among(*OPTIMIZERS), batch=among(2, 64, 257), count=among(1, 3))
def test_steps_from_the_same_parameters_lead_to_the_same_up_to_rounding(accelerator, task, optimizer, batch, count):
    """A gradient is a mean of at most 257 terms of magnitude 10 or less: in another order of addition it is off by
    less than 257 · 10 · 2⁻²⁴ = 1.6e-4. SGD takes a tenth of that. Adam divides by √v + 1e-4 and takes a hundredth: the
    error of a gradient grows a hundredfold at most where that is small. With what three steps carry on: 1e-3.
    """
    make, kind = TASKS[task]
    random = np.random.default_rng(batch)
    features = torch.from_numpy(random.standard_normal((batch, 3)).astype(np.float32))
    targets = {
        "squares": torch.from_numpy(random.standard_normal((batch, 2)).astype(np.float32)),
        "classes": torch.from_numpy(random.integers(0, 5, batch)),
    }[kind]
    with torch.device("cpu"):
        net = make()
    start, twin, loss = told(net), copy.deepcopy(net).to(spot()), LOSSES[kind]()

    steps(net, OPTIMIZERS[optimizer], loss, features, targets, count)
    steps(twin, OPTIMIZERS[optimizer], loss, features.to(spot()), targets.to(spot()), count)

    assert told(net) != start
    for ours, theirs in zip(twin.parameters(), net.parameters()):
        assert ours.device == spot()
        assert np.abs(host(ours) - host(theirs)).max() < 1e-3


@claim("training-runs-on-gpu")
def test_linear_regression_finds_the_true_parameters(accelerator):
    """The loss ends at the noise's variance, 1e-4; each parameter is off by some 0.01 / sqrt(200) = 7e-4."""
    random = np.random.default_rng(1)
    features = random.standard_normal((200, 2))
    labels = features @ [[2.0], [-3.4]] + 4.2 + 0.01 * random.standard_normal((200, 1))
    data = [torch.from_numpy(array.astype(np.float32)).to(spot()) for array in (features, labels)]
    net = steps(nn.Linear(2, 1).to(spot()), OPTIMIZERS["SGD"], nn.MSELoss(), *data, 150)

    assert net.weight.tolist()[0] == pytest.approx([2.0, -3.4], abs=0.01)
    assert net.bias.item() == pytest.approx(4.2, abs=0.01)


# ── optimizer-keeps-the-parameters-it-was-given ──

REPLACED = {
    "parameter": lambda net: setattr(net[0], "weight", nn.Parameter(net[0].weight.detach().clone())),
    "layer": lambda net: net.__setitem__(0, copy.deepcopy(net[0])),
    "deletion": lambda net: (delattr(net[0], "weight"), setattr(net[0], "weight", nn.Parameter(torch.ones(2, 3))))[1],
}


@claim("optimizer-keeps-the-parameters-it-was-given")
@over(replace=among(*REPLACED), optimizer=among(*OPTIMIZERS), count=among(1, 3))
def test_what_was_replaced_does_not_learn_and_a_new_optimizer_does(replace, optimizer, count):
    net, x = nn.Sequential(nn.Linear(3, 2, bias=False)), torch.tensor([[1.0, -2.0, 3.0]])
    made = OPTIMIZERS[optimizer](net.parameters())
    old = net[0].weight
    REPLACED[replace](net)
    before, kept = net[0].weight.tolist(), old.tolist()

    for _ in range(count):
        net(x).sum().backward()
        made.step()
    assert (net[0].weight.tolist(), old.tolist()) == (before, kept)
    assert made.param_groups[0]["params"][0] is old

    OPTIMIZERS[optimizer](net.parameters()).step()
    assert net[0].weight.tolist() != before


@claim("optimizer-keeps-the-parameters-it-was-given")
@over(move=among("to(device)", "to(name)", "to(device=)"), optimizer=among(*OPTIMIZERS))
def test_an_optimizer_built_before_a_move_trains_the_model_exactly_where_its_parameters_are_kept(
    accelerator, move, optimizer
):
    net = nn.Linear(3, 2, bias=False).cpu()
    made, old = OPTIMIZERS[optimizer](net.parameters()), net.weight
    MOVES[move](net, spot())
    before = net.weight.tolist()

    net(torch.ones(4, 3, device=spot())).sum().backward()
    made.step()
    assert (net.weight.tolist() != before) == (net.weight is old)
