"""3.2 Linear regression in PyTorch: optimizers of every kind beside their rules in NumPy, over edits and new starts."""

import contextlib
import copy
import tracemalloc

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, Twin, among, each, optimizers, over, whole
from populations.optimizers import FURTHER_RECIPES, OPTIONS, RULES, WAYS, Recipe
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

claim = pytest.mark.claim

THREE = ("SGD", "Adam", "RMSprop")
LATER = ("Adagrad",) if torch.__version__ >= (2, 12) else ()  # before, it did not know what was added later
BODY, HEAD = Twin(torch.float32, (3, 33), "gappy"), Twin(torch.float32, (5,), "offset", seed=1)
FREE = Twin(torch.float32, (), seed=2)


@claim("optim-offers-sgd-adam-rmsprop", "sgd-step-subtracts-scaled-mean-gradient", "step-updates-parameters")
@claim("weight-decay-decays-bias-by-default")
@over(optimizer=optimizers(ways=WAYS[1:], turns=3).also(*FURTHER_RECIPES))  # by default it is one of these
def test_each_of_a_dozen_steps_follows_the_published_rule_in_every_dtype_and_implementation(optimizer):
    both = optimizer.on([BODY, FREE])

    for steps in (5, 7):
        for _ in range(steps):
            both.step()
        both.agree()
        both.move()


@claim("step-updates-parameters")
@over(adam=among(*(Recipe("Adam", (("lr", 0.5),), way, dtype) for way in WAYS for dtype in FLOATS)))
def test_adam_counts_more_steps_than_its_dtype_could(adam):
    """At a gradient of 1, by the rule; a dozen roundings of bfloat16 are 12 / 256."""
    parameter = torch.zeros(3, dtype=adam.dtype, requires_grad=True)
    optimizer, count, first, second, place = adam.new([parameter]), 0, 0.0, 0.0, 0.0
    for skipped in (0, 4096, 0):
        for state in optimizer.state.values():
            state["step"] += skipped
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        count, first, second = count + skipped + 1, 0.9 * first + 0.1, 0.999 * second + 0.001
        place -= 0.5 * first / (1 - 0.9**count) / (second / (1 - 0.999**count)) ** 0.5
    assert parameter.tolist() == pytest.approx([place] * 3, rel=12 / 256)


@claim("optim-offers-sgd-adam-rmsprop", "batch-size-and-lr-are-hyperparameters", "new-optimizer-loses-momentum")
@claim("step-updates-parameters")
@over(name=among(*THREE))
def test_what_no_option_says_is_the_published_default_also_after_a_hundred_steps(name):
    rate = (("lr", 0.001),) * (name == "SGD")  # which torch 2.0 demands
    both = Recipe(name, rate).on([Twin(torch.float32, (9,))])
    both.asked = 6  # the first gradient is zero, as every fourth one

    for steps in (2, 200):
        for _ in range(steps):
            both.step()
        both.agree()


@claim("optimizer-prints-its-options")
@claim("optimizer-prints-its-options", truth=True)
@over(EVERY_MODE, groups=among(1, 2, 12), rate=among(0.03, 1e-4, 0.123456789, 1), edited=among(0.015625, 1e-7))
def test_every_group_is_printed_with_all_its_own_options_in_full_as_they_are_now_and_no_others(groups, rate, edited):
    rates = [rate / (number + 1) for number in range(groups)]
    given = [{"params": nn.Linear(1, 1).parameters(), "lr": each, "momentum": each / 4} for each in rates]
    optimizer = torch.optim.SGD(given, lr=9.0, momentum=0.9, nesterov=True)
    momenta = [each / 4 for each in rates]
    assert f"lr: {rates[-1]}\n" in str(optimizer)
    optimizer.param_groups[-1].update(lr=edited, weight_decay=edited, dampening=edited)
    rates[-1], damped = edited, [0] * (groups - 1) + [edited]

    parts = str(optimizer).removesuffix("\n)").split("\nParameter Group ")
    assert parts[0].strip() == "SGD ("
    assert [part.splitlines()[0] for part in parts[1:]] == [str(number) for number in range(groups)]
    for part, group, own, momentum, damping in zip(parts[1:], optimizer.param_groups, rates, momenta, damped):
        shown = {line.strip() for line in part.splitlines()[1:] if line.strip()}
        assert shown == {f"{key}: {value}" for key, value in group.items() if key != "params"}
        assert {f"lr: {own}", f"momentum: {momentum}", f"dampening: {damping}", "nesterov: True"} <= shown
    again = torch.optim.SGD([{"params": group["params"]} for group in optimizer.param_groups], lr=1.0)
    again.load_state_dict(optimizer.state_dict())
    assert str(again) == str(copy.deepcopy(optimizer)) == str(optimizer)


@claim("parameter-groups-have-own-learning-rates", "sgd-step-subtracts-scaled-mean-gradient")
@claim("optim-offers-sgd-adam-rmsprop", "step-updates-parameters")
@over(optimizer=optimizers(*THREE, "AdamW", *LATER, dtypes=SINGLE_AND_DOUBLE), old=each(False, True))
def test_each_group_steps_by_its_own_rate_and_options_also_one_that_was_added_later_and_beside_an_empty_one(
    optimizer, old
):
    other = {**OPTIONS[optimizer.name][1], "lr": 0.75}
    other.pop("initial_accumulator_value", None)  # which no group of Adagrad's has of its own
    both = optimizer.on(([BODY], {"lr": 0.015625}), [HEAD], ([FREE, BODY.but(seed=5)], other))
    torch.set_default_dtype(torch.bfloat16 if old and torch.__version__ >= (2, 3) else torch.float32)

    both.step()
    both.skip(256 * old)  # where a count in the default dtype, as before torch 2.3, would stop
    both.edit(0, lr=0.25)
    both.add([])
    both.add(([HEAD.but(seed=3)], {"lr": 0.5}))
    both.add([BODY.but(seed=4)])
    for _ in range(2):
        both.step()
    both.agree()
    default = dict(optimizer.options)["lr"]
    assert [group["lr"] for group in both.optimizer.param_groups] == [0.25, default, 0.75, default, 0.5, default]


@claim("parameter-groups-have-own-learning-rates")
@over(name=among(*RULES))
def test_a_parameter_belongs_to_one_group_only(name):
    net = nn.Linear(2, 1)
    groups = [{"params": net.parameters()}, {"params": [torch.zeros(1)]}]
    optimizer = getattr(torch.optim, name)(groups, lr=0.5)

    for again in ({"params": [net.bias], "lr": 0.25}, {"params": net.bias}):
        for add in (lambda again: type(optimizer)([*groups, again], lr=0.5), optimizer.add_param_group):
            with pytest.raises(ValueError, match="more than one parameter group"):
                add(again)
    assert len(optimizer.param_groups) == 2


@claim("parameter-groups-have-own-learning-rates", "batch-size-and-lr-are-hyperparameters")
@claim("weights-alone-can-be-decayed")
@over(name=among(*RULES))
def test_the_dictionaries_of_the_groups_hand_the_rate_of_one_optimizer_on_to_the_next(name):
    net = nn.Linear(2, 1)
    groups = [{"params": [net.weight]}, {"params": net.bias, "lr": 0.25}]

    for default in (0.0, 0.125):
        optimizer = getattr(torch.optim, name)(groups, lr=default)
        assert [group["lr"] for group in optimizer.param_groups] == [group.get("lr") for group in groups] == [0.0, 0.25]
        assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]
    fresh = getattr(torch.optim, name)([{"params": [net.weight]}], lr=0.125)
    assert fresh.param_groups[0]["lr"] == 0.125
    pairs = ([*net.named_parameters()][at : at + 1] for at in (0, 1))  # since torch 2.6 they may have names
    named = [{"params": pair if torch.__version__ >= (2, 6) else [pair[0][1]]} for pair in pairs]
    fresh = getattr(torch.optim, name)(
        [{**named[0], "lr": 0.5, "weight_decay": 0.25}, named[1]], lr=0.125, weight_decay=0
    )
    for _ in range(2):
        assert [(group["lr"], group["weight_decay"]) for group in fresh.param_groups] == [(0.5, 0.25), (0.125, 0)]
        fresh.load_state_dict(fresh.state_dict())  # of no step


@claim("parameter-groups-have-own-learning-rates")
@over(count=whole(1, 3))
def test_lbfgs_takes_one_group_and_refuses_several(count):
    groups = [{"params": nn.Linear(2, 1).parameters(), **rate} for rate in ({"lr": 0.25}, {}, {"lr": 0.5})[:count]]

    with contextlib.nullcontext() if count == 1 else pytest.raises(ValueError, match="parameter groups"):
        assert torch.optim.LBFGS(groups).param_groups[0]["lr"] == 0.25


@claim("learning-rate-can-be-edited-in-place", "sgd-step-subtracts-scaled-mean-gradient")
@over(optimizer=optimizers(turn=1, tensors=(False, True)), groups=among(1, 2))
def test_an_edit_up_or_down_counts_from_the_next_step_on_and_changes_nothing_else(optimizer, groups):
    both = optimizer.on(*([BODY], [HEAD])[:groups])

    both.step()
    for group, rate in ((0, np.float64(2.0**-15)), (-1, 0.0), (0, 1), (-1, 0.5)):  # of several types
        both.edit(group, lr=rate)
        both.step()
    both.agree()
    both.reload()
    for rate in (0.125, np.float64(2.0)):  # of a reloaded one, and then of its copy
        both.edit(0, lr=rate)
        both.step()
        both.agree()
        copied = copy.deepcopy((both.tensors, both.optimizer))
        both.optimizer.step()  # which the copies do not feel
        both.tensors, both.optimizer = copied


class OperatorCalls(TorchDispatchMode):
    """Counts the tensor operations that torch runs while it is entered."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


@claim("new-optimizer-is-cheap")
@over(optimizer=optimizers("SGD", "Adam", "AdamW", "RMSprop"))
def test_building_an_optimizer_runs_no_operation_and_allocates_no_memory_of_the_parameters_size(optimizer):
    tensors = [tensor for tensor, _ in (Twin(optimizer.dtype, shape, grad=True) for shape in ((65537,), (257, 256)))]
    optimizer.new(tensors)  # what a first use imports

    tracemalloc.start()
    with OperatorCalls() as building:
        optimizer.new(tensors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert building.count == 0
    assert peak < 65537  # a byte for each element; the optimizer itself takes some 5,000


@claim("new-optimizer-is-cheap", truth=True)
@over(
    optimizer=optimizers("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", turns=4),
    shapes=each(((3, 33), (5,)), ((2, 3, 2), (1, 5, 1)), ((), ())),
)
def test_the_state_comes_with_the_first_step_or_for_adagrad_at_once(optimizer, shapes):
    """In tensors as large as the parameter: two means for Adam, a third with amsgrad; one mean square for RMSprop, one
    more if centred and one with momentum, which is all that SGD keeps; one sum for Adagrad.
    """
    options = dict(optimizer.options)
    more = bool(options.get("momentum")) + bool(options.get("amsgrad")) + bool(options.get("centered"))
    kept = {"SGD": 0, "Adam": 2, "AdamW": 2, "RMSprop": 1, "Adagrad": 1}[optimizer.name] + more
    both = optimizer.on([Twin(torch.float32, shape) for shape in shapes])

    def counts():
        states = [{**both.optimizer.state[tensor], "step": None}.values() for tensor in both.tensors]
        return [[value.shape for value in state if value is not None] for state in states]

    at_once = int(optimizer.name == "Adagrad")
    assert counts() == [[shape] * at_once for shape in shapes]
    both.step(without=(1,))  # and only for what has a gradient
    assert counts() == [[shapes[0]] * kept, [shapes[1]] * at_once]


@claim("new-optimizer-is-cheap", truth=True)
@over(name=among(*RULES))
def test_each_optimizer_steps_what_was_added_later_but_for_adagrad_before_torch_2_12(name):
    w, later = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = getattr(torch.optim, name)([w], lr=0.25)
    optimizer.add_param_group({"params": [later], "lr": 0.5})
    later.grad, lost = torch.ones(2), name == "Adagrad" and torch.__version__ < (2, 12)
    with pytest.raises(KeyError) if lost else contextlib.nullcontext():
        optimizer.step()
    assert (later == 1).tolist() == [lost] * 2


@claim("new-optimizer-loses-momentum", "step-updates-parameters")
@over(optimizer=optimizers(*THREE, dtypes=SINGLE_AND_DOUBLE))
def test_a_new_optimizer_begins_its_rule_anew_and_a_reloaded_one_goes_on(optimizer):
    both = optimizer.on([HEAD, Twin(torch.float32, (2, 3, 2, 2), "channels last", seed=3)])
    for _ in range(3):
        both.step()

    both.skip(1000)
    both.reload()
    both.step()
    both.agree()
    groups = both.optimizer.param_groups  # of which one can be built as well
    anew = [(optimizer.name, groups), *((name, None) for name in (optimizer.name, "AdamW", "Adam", "Adagrad"))]
    for name, given in anew:
        both.renew(name, given)
        assert len(both.optimizer.state) == (len(both.tensors) if name == "Adagrad" else 0)  # which fills it at once
        both.step()
        both.step()
        both.agree()
        both.renew(name, both.optimizer.param_groups)  # those of one that has stepped
        both.reload()  # of a state without a step
        both.step()
        both.agree()
