"""4.6e State dicts: optimizers through files, trainings that go on, and layers that find out what they are given."""

import copy

import numpy as np
import pytest
import torch
from populations import FLOATS, agree, among, each, over, twins, whole
from populations.comparing import host
from populations.files import Way
from populations.initialisers import RELEASE
from torch import nn

claim = pytest.mark.claim


@claim("state-dict-round-trips", truth=True)
@over(kind=among("Adam", "Adagrad"), twin=twins(FLOATS, shapes=((),)))
def test_the_count_of_steps_is_taken_over_in_full_whatever_the_dtype_of_the_parameter(kind, twin):
    parameter = nn.Parameter(torch.ones(2, dtype=twin.dtype))
    optimizer, other = (getattr(torch.optim, kind)([parameter]) for _ in range(2))
    optimizer.state[parameter] = {name: torch.ones(2, dtype=twin.dtype) for name in ("exp_avg", "exp_avg_sq", "sum")}
    optimizer.state[parameter]["step"] = torch.tensor(2049.0, dtype=torch.float32)  # which no half precision holds

    other.load_state_dict(optimizer.state_dict())
    assert other.state[parameter]["step"].item() == 2049


@claim("state-dict-round-trips", truth=True)
@over(kept=among(("NAdam", "mu_product"), ("ASGD", "eta")), dtype=among(torch.float64, torch.bfloat16))
def test_a_number_that_an_optimizer_keeps_in_single_precision_takes_its_parameter_s_dtype_when_loaded(kept, dtype):
    (kind, name), parameter = kept, nn.Parameter(torch.ones(2, dtype=dtype))
    optimizer, other = (getattr(torch.optim, kind)([parameter]) for _ in range(2))
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()

    other.load_state_dict(optimizer.state_dict())
    assert (optimizer.state[parameter][name].dtype, other.state[parameter][name].dtype) == (torch.float32, dtype)


def values_in(state):
    """The values of all tensors in an optimizer's state dict, by the number of the parameter and their name."""
    held = {(number, name): value for number, of in state["state"].items() for name, value in of.items()}
    return {at: value.tolist() for at, value in held.items() if isinstance(value, torch.Tensor)}


DECAYED = ("Adagrad", "AdamW", "Adadelta", "Adamax", "NAdam", "RAdam")
MADE = {
    **{name: (name, {"weight_decay": 0.01}) for name in DECAYED},
    "SGD": ("SGD", {"momentum": 0.9, "weight_decay": 0.01}),
    "Adam": ("Adam", {"weight_decay": 0.01}),
    "Adam with the largest": ("Adam", {"amsgrad": True, "betas": (0.9, 0.1)}),  # which soon are not the last
    "AdamW with the largest": ("AdamW", {"amsgrad": True, "betas": (0.9, 0.1)}),
    "RMSprop": ("RMSprop", {"weight_decay": 0.01, "momentum": 0.9, "centered": True}),
    "NAdam": ("NAdam", {"betas": (0.5, 0.9), "momentum_decay": 0}),  # a product of quarters, which every dtype holds
    "Rprop": ("Rprop", {}),
    "ASGD": ("ASGD", {"lambd": 0.5}),  # a rate that falls at once
}


X = np.cos(np.arange(24.0)).reshape(6, 4)


class Training:
    """A small network and an optimizer of it, in one group or two; the second group may join ``later``, but for Adagrad
    before torch 2.12, which could not step it then.
    """

    def __init__(self, kind, split, dtype):
        self.net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.BatchNorm1d(3), nn.Linear(3, 1)).to(dtype)
        groups = [{"params": self.net[:2].parameters(), "lr": 0.03}, {"params": self.net[2:].parameters()}]
        name, options = MADE[kind]
        self.make = lambda groups: getattr(torch.optim, name)(groups, lr=0.05, **options)
        later = groups[1:] if split == "later" and (kind != "Adagrad" or RELEASE >= (2, 12)) else []
        self.optimizer = self.make(groups[: 2 - len(later)] if split else self.net.parameters())
        for group in later:
            self.optimizer.add_param_group(group)

    def go_on(self):
        """Take two steps; the first layer has no part in the one, so that its state stands behind the others'."""
        x = torch.tensor(X, dtype=self.net[0].weight.dtype)
        for frozen in (True, False):
            self.net[0].requires_grad_(not frozen)
            self.optimizer.zero_grad()
            (self.net(x) - x[:, :1]).square().mean().backward()
            self.optimizer.step()

    def reached(self):
        return [value.tolist() for value in self.net.state_dict().values()]


@claim("state-dict-round-trips", truth=True)
@over(kind=each(*MADE), how=among((False, torch.float32), ("at once", torch.float64), ("later", torch.float32)))
def test_a_training_goes_on_exactly_with_the_optimizer_s_state_and_otherwise_without(kind, how):
    split, dtype = how
    way = Way("older memory" if split else "Path")
    first, resumed, forgetful = (Training(kind, split, dtype) for _ in range(3))
    for number, parameter in enumerate(first.net.parameters(), 1):  # the others begin where it will have got
        start = np.sin(np.arange(1.0, parameter.numel() + 1)) / number
        parameter.data.copy_(torch.tensor(start, dtype=dtype, device="cpu").view(parameter.shape))
    first.go_on()
    net, state = way.round_trip([first.net.state_dict(), first.optimizer.state_dict()])
    for group in resumed.optimizer.param_groups:  # settings are restored too
        group.update({key: 9.0 for key, value in group.items() if type(value) in (bool, float, tuple)})
    resumed.net.load_state_dict(net)
    forgetful.net.load_state_dict(net)
    resumed.optimizer.load_state_dict(state)
    loaded = resumed.optimizer.state_dict()
    assert loaded["param_groups"] == state["param_groups"]
    assert values_in(loaded) == values_in(state)

    for training in (first, resumed, forgetful):
        training.go_on()
    assert resumed.reached() == first.reached()
    assert forgetful.reached() != first.reached()
    with pytest.raises(ValueError, match="parameter group"):
        first.make([nn.Parameter(torch.ones(1, dtype=dtype))]).load_state_dict(state)


def stepped(name):
    """An optimizer of this kind that has made one step, with a momentum if it is given one."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = getattr(torch.optim, name)([parameter], lr=0.5, **({"momentum": 0.5} if name == "SGD" else {}))
    parameter.grad = torch.ones(3)
    optimizer.step()
    return optimizer


@claim("state-dict-is-no-copy")
@claim("state-dict-round-trips", truth=True)
@over(name=among("SGD", "Adam", "AdamW", "RMSprop", "Adagrad"))
def test_the_state_of_an_optimizer_goes_on_in_its_dict_and_in_who_loads_it_but_in_no_copy(name):
    """Who loads it shares it since torch 2.1; in 2.0 load_state_dict copied. Of pytorch#196083."""
    first, sharing, apart = stepped(name), stepped(name), stepped(name)
    state = first.state_dict()
    kept, before = copy.deepcopy(state), values_in(state)
    sharing.load_state_dict(state)
    apart.load_state_dict(copy.deepcopy(state))

    apart.step()
    assert before
    assert values_in(state) == before
    sharing.step()
    assert (values_in(state) != before) == (RELEASE >= (2, 1))
    last = values_in(state)
    first.step()
    assert not any(value == last[key] for key, value in values_in(state).items())
    assert values_in(kept) == before


# Layers that find their inputs in an example: their other arguments, and the sizes of their input after the channels.
# (An instance normalisation that has taken its parameters from a dict refuses to be called, up to torch 2.15.)
LAZY = {
    "Linear": ((3,), None),
    **{f"{kind}{n}d": ((3, 2), (3,) * n) for n in (1, 2, 3) for kind in ("Conv", "ConvTranspose")},
    **{f"BatchNorm{n}d": ((), (3,) * n) for n in (1, 2, 3)},
}


@claim("state-dict-round-trips", truth=True)
@over(inputs=whole(1, 1025, 7), name=each(*LAZY), at_once=among(True, False))
def test_a_lazy_layer_of_any_kind_takes_parameters_of_any_shape_once_and_keeps_them(inputs, name, at_once):
    rest, sizes = LAZY[name]
    lazy, given, wider = (
        getattr(nn, kind)(*some, *rest).eval()
        for kind, some in ((f"Lazy{name}", ()), (name, (inputs,)), (name, (inputs + 1,)))
    )
    for number, value in enumerate(given.state_dict().values(), 1):
        value.copy_(torch.linspace(1, 2, value.numel()).view(value.shape) * number)
    x = torch.ones(2, inputs, *sizes or ())
    lazy.load_state_dict(given.state_dict() if at_once else Way("memory").round_trip(given.state_dict()))
    agree(lazy(x), host(given(x)), 8)
    for key, value in given.state_dict().items():
        agree(lazy.state_dict()[key], host(value))
    with pytest.raises(RuntimeError, match="size mismatch"):
        lazy.load_state_dict(wider.state_dict())
