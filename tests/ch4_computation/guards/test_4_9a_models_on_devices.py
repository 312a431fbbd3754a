"""4.9 GPU computing: models of every kind that move, refuse and learn, on the first device and on the second."""

import copy
import math

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, LAYOUTS, SINGLE_AND_DOUBLE, WRITABLE, Twin, among, each, over, twins, whole
from populations.comparing import host
from populations.initialisers import RELEASE
from populations.journeys import CPU, current, host_twin, spot
from populations.kinds import LAYERS, ROW
from populations.mixing import refused
from populations.modules import TREES, Tree, handed_out, holding, trees
from populations.tasks import OPTIMIZERS, RECURRENT, TASKS, steps
from populations.twins import ANY, FEW
from torch import nn

claim = pytest.mark.claim

MODELS = trees(FLOATS)
# ways to take a model to a device
MOVES = {
    "to(device)": lambda net, device: net.to(device),
    "to(name)": lambda net, device: net.to(str(device)),
    "to(device=)": lambda net, device: net.to(device=device),
    "to(device, dtype)": lambda net, device: net.to(device, dtype(net)),
    "to(tensor)": lambda net, device: net.to(torch.empty(0, dtype=torch.bfloat16, device=device).to(dtype(net))),
    "to(non_blocking=True)": lambda net, device: net.to(device, non_blocking=True),
    "to(type)": lambda net, device: current(device)(net.to)(device.type),
    "by its parts": lambda net, device: ([child.to(device) for child in net.children()], net.to(device))[1],
}


def dtype(net):
    return next((each.dtype for each in net.parameters() if each.is_floating_point()), torch.float32)


def told(net):
    """All that a model holds, by name: the looks of parameters, buffers and gradients, and its mode."""
    torch.empty(0, device=spot()).tolist()  # what reads a value waits for the copies that did not block
    modes = [(name, module.training) for name, module in net.named_modules()]
    return modes + [
        (name, *looks(x), None if x.grad is None else looks(x.grad))
        for name, x in (*net.named_parameters(), *net.named_buffers())
    ]


def looks(x):
    """Dtype, the strides of a copy (its own, unless there are gaps), whether a gradient is wanted, and values."""
    return x.dtype, torch.empty_like(x).stride(), x.requires_grad, host(x).tolist()


def devices_of(net):
    tensors = [*net.parameters(), *net.buffers(), *handed_out(net)]
    return {x.device for x in tensors} | {x.grad.device for x in tensors if x.grad is not None}


def goes_and_comes_back(net, move, goal):
    """Raise AssertionError unless a model moves to ``goal``, to the other device of its type, and back unchanged, and
    what is not registered stays behind.
    """
    net.note, net.notes = torch.ones(2, device="cpu"), [torch.ones(2, device="cpu", requires_grad=True)]
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    before = told(net)

    for go, place in ((move, goal), (move, spot(second=goal == spot())), (lambda net, _: net.cpu(), CPU)):
        assert go(net, place) is net
        assert devices_of(net) <= {place}
        assert told(net) == before
        assert (net.note.device, net.notes[0].device) == (CPU, CPU)


@claim("model-moves-with-to", "parameter-device-tells-the-models-device")
@claim("model-moves-with-to", truth=True)
@over(EVERY_MODE, model=MODELS, move=among(*MOVES))
def test_all_that_is_registered_moves_there_and_back_and_nothing_but_the_place_changes(accelerator, model, move):
    net = next(iter(model)).train(mode=model.second)
    made, moved = told(net), told(net.cpu())
    assert [each for each in made if each not in moved] == []  # tied ones may come apart, into more
    goes_and_comes_back(net, MOVES[move], spot(model.second))


@claim("model-moves-with-to")
@over(
    twin=twins(ANY, LAYOUTS, FEW).also(Twin(torch.float32, (65_537,))),
    move=among(*list(MOVES)[:3], "to(non_blocking=True)"),
)
def test_what_is_held_of_any_dtype_and_layout_moves_with_its_values(accelerator, twin, move):
    with torch.device("cpu"):
        net, _ = holding(twin, host_twin)
    if twin.layout in WRITABLE:  # as most models that move; what is repeated in memory takes no numbers
        net.load_state_dict(copy.deepcopy(net.state_dict()))
    goes_and_comes_back(net, MOVES[move], spot(twin.second))


@claim("model-moves-with-to")
@pytest.mark.cuda
@over(model=MODELS)
def test_cuda_moves_to_the_gpu_with_that_index(model):
    for index in range(torch.cuda.device_count()):
        net = next(iter(model)).cpu()
        parameters = list(net.parameters())
        goes_and_comes_back(net, lambda net, goal: net.cuda(goal.index), torch.device("cuda", index))
        assert list(map(id, net.parameters())) == list(map(id, parameters))  # the same objects, wherever they were


@claim("model-moves-with-to", truth=True)
@over(move=among("to(device)", "to(name)", "to(device=)"), second=among(False, True))
def test_weights_stay_tied_exactly_where_the_parameter_objects_are_kept(accelerator, move, second):
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)).cpu()
    weight = net[1].weight = net[0].weight
    values = weight.tolist()
    MOVES[move](net, spot(second))
    assert (net[1].weight is net[0].weight) == (net[0].weight is weight)
    assert net[0].weight.tolist() == net[1].weight.tolist() == values


@claim("parameter-device-tells-the-models-device", truth=True)
@over(part=whole(0, 4), second=among(False, True))
def test_each_parameter_of_a_divided_model_tells_of_its_own_part(accelerator, part, second):
    net = nn.Sequential(*[nn.Linear(2, 2, bias=False) for _ in range(5)]).cpu()
    net[part].to(spot(second))
    assert [x.device for x in net.parameters()] == [spot(second) if index == part else CPU for index in range(5)]
    assert not hasattr(net, "device")


# What layers and networks take: the shapes of their inputs.
TAKING = {
    **{Tree(kind): (of.takes,) for kind, of in LAYERS.items() if of.takes and (of.parameters or of.buffers)},
    Tree("wide Linear"): ((2, 33),),
    Tree("Linear", seed=1): ((4,),),  # a single example
    **{Tree("Linear without bias", seed=n): (shape,) for n, shape in enumerate(((1, 4), (1, 0, 4)), 1)},
    Tree("Bilinear"): ((2, 2), (2, 3)),
    **{Tree("Embedding", seed=n): ((words,),) for n, words in enumerate((3, 1))},
    **{Tree(kind): ((2, 5, 4),) for kind in RECURRENT},
    **{Tree(kind, seed=1): ((2, 5, 4), (1, 5, 3)) for kind in ("RNN", "GRU")},  # with a first state
    Tree("MultiheadAttention"): ((2, 1, 4),) * 3,
    **{each: (ROW,) for each in TREES if each.children and each.takes()},
}


def given(model, place):
    """What a model takes, on the device ``place``."""
    dtype = torch.int64 if model.kind == "Embedding" else torch.float32
    return [torch.ones(shape, dtype=dtype, device=place) for shape in TAKING[model]]


@claim("model-and-input-must-share-a-device")
@over(model=among(*TAKING), two=each("model", "input", "both"), training=each(True, False))
def test_no_model_takes_input_from_another_device(accelerator, model, two, training):
    here, there = (CPU, spot()) if two == "input" else (spot(), CPU)
    net, xs = next(iter(model)).to(here).train(training), given(model, here)

    assert net(*xs)[0].device == here  # of the first result, or of its first row
    for elsewhere in range(len(xs)):
        with refused():
            net(*(x.to(there) if index >= elsewhere else x for index, x in enumerate(xs)))


@claim("model-and-input-must-share-a-device")
@over(model=among(*TAKING), turned=among(False, True))
def test_no_model_takes_input_from_another_gpu(two_devices, model, turned):
    here, there = two_devices[::-1] if turned else two_devices
    with refused():
        next(iter(model)).to(here)(*given(model, there))


@claim("model-and-input-must-share-a-device")
@over(model=among(*map(Tree, ("Linear", "PReLU", "Embedding")), *(each for each in TAKING if each.children)))
def test_not_even_a_batch_of_nothing_is_taken_from_another_device(accelerator, model):
    for here, there in ((CPU, spot()), (spot(), CPU)):
        net, (x,) = next(iter(model)).to(here), given(model, here)
        assert len(net(x[:0])) == 0
        with refused():
            net(x[:0].to(there))


@claim("model-and-input-must-share-a-device", truth=True)
@over(name=among("Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "BatchNorm1d", "BatchNorm2d"))
def test_a_convolution_or_normalisation_of_the_cpu_takes_a_batch_of_nothing_from_anywhere(accelerator, name):
    net = next(iter(Tree(name))).to(CPU).eval()
    for place in (CPU, spot(), spot(second=True)):
        made = net(given(Tree(name), place)[0][:0])
        assert (len(made), made.device) == (0, place)


@claim("model-and-input-must-share-a-device", truth=True)
@over(layer=among(nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Softmax(-1), nn.MaxPool1d(2), nn.Identity()))
def test_a_layer_without_parameters_takes_input_from_anywhere(accelerator, layer):
    for place in (CPU, spot(), spot(second=True)):
        assert layer.to(accelerator)(torch.ones(2, 4, device=place)).device == place


# Every task with every optimizer, its features in turn a tensor by themselves and cut from a longer table.
TRAINED = among(*((task, name, (n + m) % 2 == 0) for n, task in enumerate(TASKS) for m, name in enumerate(OPTIMIZERS)))


@claim("training-runs-on-gpu")
@over(
    trained=TRAINED,
    batch=among(2, 64, 257),
    often=among((1, 1), (3, 1), (2, 2)),
    dtype=among(*SINGLE_AND_DOUBLE),
    second=among(False, True),
)
def test_steps_from_the_same_parameters_lead_to_the_same_up_to_rounding(
    accelerator, products_in_full, trained, batch, often, dtype, second
):
    """A gradient is a mean of at most 257 terms of magnitude 10 or less: in another order of addition it is off by
    less than 257 · 10 · eps / 2, in float32 1.6e-4. SGD takes a tenth of that. Adam divides by √v + 1e-4 and takes a
    hundredth: the error of a gradient grows a hundredfold at most where that is small. With what three steps carry on,
    or two with two gradients each: 1e-3, or as many eps. TF32 is coarser.
    """
    task, optimizer, cut = trained
    (make, kind, places), goal = TASKS[task], spot(second)
    random, batch = np.random.default_rng(batch), -(-batch // math.prod(places))  # no more terms than 257
    features = torch.from_numpy(random.standard_normal((batch, *places, 3))).to(dtype)
    features = features.movedim(-1, 1) if len(places) == 2 else features  # images are channels last
    targets = {
        nn.MSELoss: torch.from_numpy(random.standard_normal((batch, *places, 2))).to(dtype),
        nn.CrossEntropyLoss: torch.from_numpy(random.integers(0, 5, batch)),
    }[kind]
    with torch.device("cpu"):
        net = make().to(dtype)
    twin, loss = copy.deepcopy(net).to(goal), kind()
    there = torch.cat([features[:1] + 7, features]).to(goal)[1:] if cut else features.to(goal)  # of a longer table
    start = [each.tolist() for each in net.parameters()]
    expected = steps(net, OPTIMIZERS[optimizer], loss, features, targets, *often)
    result = steps(twin, OPTIMIZERS[optimizer], loss, there, targets.to(goal), *often)

    assert result.shape == expected.shape
    assert [each.tolist() for each in net.parameters()] != start
    for ours, theirs in zip(twin.state_dict().values(), net.state_dict().values()):  # its statistics, too
        assert ours.device == goal
        assert np.abs(host(ours) - host(theirs)).max() < 1e-3 * torch.finfo(dtype).eps / 2**-23


ASSIGNS = RELEASE >= (2, 1)  # what load_state_dict learned then
REPLACED = {
    "parameter": lambda net: setattr(net[0], "weight", nn.Parameter(net[0].weight.detach().clone())),
    "layer": lambda net: net.__setitem__(0, copy.deepcopy(net[0])),
    **({"assigning": lambda net: net.load_state_dict(copy.deepcopy(net.state_dict()), assign=True)} if ASSIGNS else {}),
    "deletion": lambda net: (delattr(net[0], "weight"), setattr(net[0], "weight", nn.Parameter(torch.ones(2, 3))))[1],
}


@claim("optimizer-keeps-the-parameters-it-was-given")
@over(replace=among(*REPLACED), optimizer=among(*OPTIMIZERS), others=among(0, 1))
def test_what_was_replaced_does_not_learn_and_a_new_optimizer_does(replace, optimizer, others):
    net, x = nn.Sequential(nn.Linear(3, 2, bias=False)), torch.tensor([[1.0, -2.0, 3.0]])
    several = [nn.Parameter(torch.ones(1)) for _ in range(others)]  # "momentum" makes a group of each
    made, old = OPTIMIZERS[optimizer]([*several, *net.parameters()]), net[0].weight
    REPLACED[replace](net)
    before, kept = net[0].weight.tolist(), old.tolist()

    for _ in range(3):
        net(x).sum().backward()
        made.step()
        assert (net[0].weight.tolist(), old.tolist()) == (before, kept)
    old.grad = torch.ones_like(old)
    made.step()
    assert made.param_groups[-1]["params"][-1] is old
    assert (net[0].weight.tolist(), old.tolist() == kept) == (before, False)

    OPTIMIZERS[optimizer](net.parameters()).step()
    assert net[0].weight.tolist() != before


@claim("optimizer-keeps-the-parameters-it-was-given")
@over(optimizer=among(*OPTIMIZERS), before=among(0, 2), again=among("its own state", "another's", "a copy"))
def test_when_a_state_was_loaded_the_same_objects_go_on_learning(optimizer, before, again):
    net, x = nn.Linear(3, 2), torch.tensor([[1.0, -2.0, 3.0]])
    made, other = OPTIMIZERS[optimizer](net.parameters()), OPTIMIZERS[optimizer](nn.Linear(3, 2).parameters())
    for _ in range(before):
        net(x).sum().backward()
        made.step()
    made.load_state_dict({"its own state": made, "another's": other, "a copy": copy.deepcopy(made)}[again].state_dict())
    old = [parameter.tolist() for parameter in net.parameters()]
    net(x).sum().backward()
    made.step()
    assert [id(one) for group in made.param_groups for one in group["params"]] == [*map(id, net.parameters())]
    assert all(parameter.tolist() != one for parameter, one in zip(net.parameters(), old))


@claim("optimizer-keeps-the-parameters-it-was-given")
@over(optimizer=among(*OPTIMIZERS), frozen=among("when it is given", "in between"))
def test_what_was_frozen_for_a_while_learns_as_soon_as_it_has_a_gradient(optimizer, frozen):
    net, x = nn.Linear(3, 2, bias=False), torch.tensor([[1.0, -2.0, 3.0]])
    net.requires_grad_(frozen == "in between")
    made = OPTIMIZERS[optimizer](net.parameters())
    for wanted in (False, True):
        before = net.requires_grad_(wanted).weight.tolist()
        made.zero_grad()
        net(x).sum().backward() if wanted else made.step()
        made.step()
        assert (net.weight.tolist() != before) == wanted
    assert made.param_groups[0]["params"][0] is net.weight
