"""4.3b By hand: what is chosen by its name, functions of our own, and writing under no_grad or through data."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, WRITABLE, agree, among, over, twins, untouched
from populations.comparing import host
from populations.initialisers import Filling
from populations.modules import trees
from populations.statistics import occur_as_often
from populations.tasks import transposing
from populations.twins import FEW, LEAVES
from torch import nn
from torch.nn import init

claim = pytest.mark.claim


def chosen(module, part):
    return [parameter for name, parameter in module.named_parameters() if part in name]


NETS = {  # of 60,000 weights or a little more
    "perceptron": lambda: nn.Sequential(nn.Linear(150, 240), nn.ReLU(), nn.Linear(240, 100)),
    "convolutions": lambda: nn.Sequential(nn.Conv1d(20, 60, 15), nn.Conv2d(40, 25, 5), nn.Conv3d(10, 30, 4)),
    "features first": lambda: transposing(nn.Linear(250, 240)),
    "recurrent": lambda: nn.ModuleDict({"lstm": nn.LSTM(70, 70), "words": nn.Embedding(320, 70)}),
}


@claim("init-normal-over-weights")
@pytest.mark.start_values("normal_")
@over(net=among(*zip(NETS, (0.01, 2.0, 2.0, 0.01))))
def test_all_weights_of_a_network_are_independent_draws_from_one_normal_distribution(net):
    module, std = NETS[net[0]](), net[1]
    biases = [bias.tolist() for bias in chosen(module, "bias")]
    for weight in chosen(module, "weight"):
        init.normal_(weight, mean=0, std=std)

    draws = [host(weight).astype(np.float64) for weight in chosen(module, "weight")]
    Filling("normal_", (("std", std),), (240, 150)).follow(*draws)
    assert [bias.tolist() for bias in chosen(module, "bias")] == biases


@claim("init-normal-over-weights", "init-constant-over-biases")
@pytest.mark.start_values("normal_")
@over(EVERY_MODE, tree=trees(FLOATS), part=among("weight", "bias"), value=among(0, 0.25, -3))
def test_what_is_chosen_by_its_name_is_filled_whole_and_nothing_else_changes(tree, part, value):
    module, plan = tree
    for parameter in chosen(module, part):
        init.normal_(parameter, mean=100, std=0.01) if part == "weight" else init.constant_(parameter, val=value)

    filled = {id(member.tensor) for member in plan.once() if part in member.name}
    assert [id(parameter) for parameter in module.parameters()] == [id(member.tensor) for member in plan.once()]
    for member in plan.parameters:
        law = {"weight": (100, 1), "bias": (value, 0)}[part] if id(member.tensor) in filled else (member.array, 0)
        assert np.all(np.abs(host(member.tensor) - law[0]) <= law[1])


WRITES = {
    "normal_": lambda w: w.normal_(0, 0.01),
    "uniform_": lambda w: w.uniform_(-1, 1),
    "fill_": lambda w: w.fill_(3),
    "zero_": lambda w: w.zero_(),
    "mul_": lambda w: w.mul_(w.abs() >= 5),
    "*=": lambda w: w.__imul__(w.abs() >= 5),
    "copy_": lambda w: w.copy_(torch.zeros_like(w)),
    "index": lambda w: w.__setitem__(..., 3),
    "view": lambda w: w[...].fill_(3),
}


@claim("init-runs-without-recording", "custom-init-can-be-written")
@over(twin=twins(layouts=WRITABLE, shapes=FEW, grad=(True,), kinds=LEAVES), write=among(*WRITES))
def test_the_same_writes_are_refused_while_autograd_records_and_done_under_no_grad(twin, write):
    tensor, array = twin
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        WRITES[write](tensor)
    agree(tensor, array)
    version = tensor._version
    with torch.no_grad():
        WRITES[write](tensor)
    untouched(tensor)
    assert (tensor._version > version, tensor.is_leaf, tensor.requires_grad) == (True, True, True)


CUSTOM = (
    Filling("uniform_", shape=(120, 300)),
    Filling("uniform_", shape=(15, 80, 5, 5), dtype=torch.float64, layout="channels last", second=True),
    Filling("uniform_", shape=(181, 181), layout="transposed", dtype=torch.bfloat16),
    Filling("uniform_", shape=(512, 256)),  # twice as many as 16 bits count
    Filling("uniform_", shape=(36_001,), layout="gappy", dtype=torch.float16),
)


@claim("custom-init-can-be-written")
@over(filling=among(*CUSTOM))
def test_a_custom_initialiser_keeps_what_is_large_and_zeroes_the_other_half(filling):
    parameter = nn.Parameter(filling.blank())
    with torch.no_grad():
        parameter.uniform_(-10, 10)
        parameter * 0  # written nowhere
        parameter *= (parameter.abs() >= 5).to(filling.dtype)

    untouched(parameter)
    values = host(parameter).astype(np.float64).ravel()
    kept = values[values != 0]
    assert np.all((np.abs(kept) >= 5) & (np.abs(kept) <= 10))
    # what a dtype rounds to 5 in size is kept: half a unit of it, on either side, of the 20 that are drawn from
    occur_as_often(np.stack([values < 0, values > 0], 1), 1 / 4, cases=2, grain=torch.finfo(filling.dtype).eps)
    Filling("uniform_", (("a", 0), ("b", 1)), kept.shape, filling.dtype).follow(kept / 10 - 0.5 * np.sign(kept) + 0.5)
    assert (parameter.is_leaf, parameter.requires_grad, parameter.grad_fn) == (True, True, None)


DATA = {  # ways to make all elements 5 through data
    "fill_": lambda w: w.data.fill_(5),
    "add_": lambda w: w.data.mul_(0).add_(5),
    "index": lambda w: w.data.__setitem__(..., 5),
    "+=": lambda w: setattr(w, "data", w.data.mul_(0).__iadd__(5)),
    "view": lambda w: w.data.unsqueeze(0).fill_(5),
    "init": lambda w: init.constant_(w.data, 5),
}
NOTICED = {
    "no_grad": lambda w: torch.no_grad()(w.fill_)(5),
    "detach": lambda w: w.detach().fill_(5),
    "init": lambda w: init.constant_(w, 5),
    "init of its numbers": lambda w: init.normal_(w.detach()[...], 5),
    "init of a part": lambda w: init.constant_(w[...], 0),
    "copy": lambda w: torch.no_grad()(w.copy_)(torch.full_like(w, 5)),
}


@claim("writing-data-sets-parameters-without-grad")
@claim("writing-data-sets-parameters-without-grad", "data-fill-equals-constant-init", truth=True)
@over(twin=twins(FLOATS, WRITABLE, FEW, values="small"), write=among(*DATA))
def test_a_write_to_data_goes_unnoticed_and_changes_what_is_computed_from_the_value_afterwards(twin, write):
    tensor, array = twin
    w, version = nn.Parameter(tensor), tensor._version
    (w * w).sum().backward()
    y, z = w * w, w * 7
    assert (w.data.requires_grad, w.data.grad_fn, w.data.data_ptr()) == (False, None, w.data_ptr())
    DATA[write](w)
    assert w._version == version

    agree(w.grad, 2 * array)  # that of before stays
    agree(y, array * array)
    # made of the value at backward; of no value; of the new value
    for result, gradient in ((y, 10), (z, 7), (w * w + w, 11)):
        w.grad = None
        result.sum().backward()
        agree(w.grad, np.full_like(array, gradient))
    assert (w.is_leaf, w.requires_grad, w.grad_fn) == (True, True, None)
    untouched(w)
    w.data = replacement = torch.zeros_like(tensor)
    assert (w.requires_grad, w.grad is None) == (True, False)
    agree(w.grad, np.full_like(array, 11))
    assert w.data_ptr() == w.data.data_ptr() == replacement.data_ptr()


@claim("writing-data-sets-parameters-without-grad", "data-fill-equals-constant-init", truth=True)
@over(twin=twins(FLOATS, WRITABLE, FEW), write=among(*NOTICED), frozen=among(False, True))
def test_every_other_write_between_forward_and_backward_is_noticed(twin, write, frozen):
    tensor, _ = twin
    w = nn.Parameter(tensor)
    y = (w * w).sum()
    NOTICED[write](w.requires_grad_(not frozen))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@claim("writing-data-sets-parameters-without-grad", truth=True)
@over(outputs=among(1, 3, 65), batch=among(1, 2))
def test_the_gradient_of_a_layer_s_input_is_made_of_the_weights_written(outputs, batch):
    layer, x = nn.Linear(3, outputs), torch.ones(batch, 3, requires_grad=True)
    y = layer(x).sum()
    layer.weight.data.copy_(torch.arange(3.0).expand(outputs, 3))
    y.backward()

    agree(x.grad, np.broadcast_to(np.arange(3) * outputs, (batch, 3)))
    agree(layer.weight.grad, np.full((outputs, 3), batch))
