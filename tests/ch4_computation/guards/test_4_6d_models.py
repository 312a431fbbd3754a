"""4.6d State dicts: trees of modules and optimizers through files."""

import contextlib
import copy

import numpy as np
import pytest
import torch
from populations import ANY, FLOATS, WRITABLE, agree, among, over, twins, untouched, whole
from populations.files import Way
from populations.initialisers import RELEASE
from populations.modules import attribute, holding, trees
from populations.rounding import as_held
from torch import nn

claim = pytest.mark.claim


# ── state-dict-round-trips ──

# Before torch 2.4 an unknown key below a parameter's is passed over.
MISFITS = ["missing", "extra", "wider", "reshaped", "broadcast"]
MISFITS += ["below"] * (RELEASE >= (2, 4)) + ["longer"] * (RELEASE >= (2, 10))


@claim("state-dict-round-trips")
@over(each=trees((torch.float32, torch.float64)), way=among(*map(Way, ("memory", "mmap", "older Path"))))
def test_a_new_instance_of_any_tree_gets_every_value_into_the_tensors_that_it_has(each, way):
    net, plan = each
    new, into = each.but(seed=each.seed + 1)
    new.eval()
    flags = [parameter.requires_grad for parameter in new.parameters()]

    state = way.round_trip(net.state_dict())
    for name in list(state)[::2]:
        state.move_to_end(name)  # in another order than the tree's
    for parameter in new.parameters():
        parameter.grad = torch.ones_like(parameter)
    report = new.load_state_dict(state)
    for value in state.values():
        value.zero_()  # what was loaded is a copy

    assert (list(report.missing_keys), list(report.unexpected_keys)) == ([], [])
    for member, source in zip(into.state, plan.state, strict=True):
        agree(member.tensor, source.array)
        assert attribute(new, member.name) is member.tensor
    assert all(parameter.grad is not None and parameter.grad.all() for parameter in new.parameters())
    assert [parameter.requires_grad for parameter in new.parameters()] == flags
    assert {module.training for module in new.modules()} == {False}
    for member in (each for each in into.buffers if not each.saved):
        agree(member.tensor, member.array)


@claim("state-dict-round-trips", truth=True)
def test_before_torch_2_10_a_parameter_without_dimensions_takes_the_first_of_several_numbers():
    number = nn.ParameterList([torch.tensor(1.0)])
    with pytest.raises(RuntimeError, match="mismatch") if RELEASE >= (2, 10) else contextlib.nullcontext():
        number.load_state_dict({"0": torch.tensor([5.0, 6.0])})
    assert number[0].item() == (1 if RELEASE >= (2, 10) else 5)


@claim("state-dict-round-trips", truth=True)
@over(each=trees(), change=among(*MISFITS))
def test_no_entry_may_be_missing_unknown_or_misshapen_wherever_in_the_tree(each, change):
    net, plan = each
    names = list(dict.fromkeys(member.name for member in plan.state))
    special = [name for name in names if name.endswith(("gate", "across"))]
    for name in sorted({*names[:1], *names[len(names) // 2 :][:1], *names[-1:], *special[:2]}):
        state = net.state_dict()  # with the versions of its modules
        shape, count = tuple(state[name].shape), state[name].numel()
        last = max((index for index, size in enumerate(shape) if size != 1), default=0)
        unknown = {"extra": f"{name}s", "below": f"{name}.more"}
        added = {
            **dict.fromkeys(["extra", "below"], torch.ones(1)),
            "wider": torch.ones(1, *shape[:-1], 99),
            "reshaped": torch.ones(count, 1, 1),
            "broadcast": torch.ones([1, 1, 1] if count == 1 else [*shape[:last], 1, *shape[last + 1 :]]),
            "longer": torch.ones(count + 1),
        }
        state.pop(name) if change == "missing" else state.update({unknown.get(change, name): added[change]})
        words = "Missing key" if change == "missing" else "Unexpected key" if change in unknown else "size mismatch for"
        fits = change == "missing" or change in unknown

        with pytest.raises(RuntimeError, match=f"{words}.*{name}"):
            net.load_state_dict(state)
        with contextlib.nullcontext() if fits else pytest.raises(RuntimeError, match=words):
            report = net.load_state_dict(state, strict=False)
            assert [*report.missing_keys, *report.unexpected_keys] == [unknown.get(change, name)]
        for member in plan.state if fits else ():
            agree(member.tensor, member.array)


@claim("state-dict-round-trips", truth=True)
@over(inputs=whole(1, 1025, 7), outputs=among(1, 33))
def test_a_lazy_layer_takes_parameters_of_any_shape_once(inputs, outputs):
    lazy, given = nn.LazyLinear(outputs), nn.Linear(inputs, outputs)
    lazy.load_state_dict(given.state_dict())
    agree(lazy.weight, np.array(given.weight.tolist()))
    with pytest.raises(RuntimeError, match="size mismatch"):
        lazy.load_state_dict(nn.Linear(inputs + 1, outputs).state_dict())


@claim("state-dict-round-trips", truth=True)
def test_every_misfit_is_named_and_what_is_given_is_loaded_without_strictness():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)).state_dict())
    misfits = [line.split()[3].rstrip(":") for line in str(error.value).splitlines() if "size mismatch" in line]
    assert misfits == ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]

    net[1].num_batches_tracked.fill_(5)  # which a plain dict may lack; before torch 2.2 it is set to zero then
    net.load_state_dict({k: v for k, v in net.state_dict().items() if k != "1.num_batches_tracked"})
    assert net[1].num_batches_tracked.item() == (5 if RELEASE >= (2, 2) else 0)
    linear = nn.Linear(2, 1)
    nn.init.constant_(linear.bias, 0.25)
    linear.load_state_dict({"weight": torch.tensor([[3.0, 4.0]])}, strict=False)
    assert (linear.weight.tolist(), linear.bias.tolist()) == ([[3.0, 4.0]], [0.25])


@claim("state-dict-round-trips")
@over(saved=twins(FLOATS, shapes=((),)), into=twins(FLOATS, shapes=((),)))
def test_a_model_of_another_dtype_gets_each_value_rounded_once_to_its_own(saved, into):
    numbers = 1 / np.arange(3.0, 36).reshape(3, 11)  # most of whose digits end in no dtype
    source, target = (nn.Linear(11, 3, bias=False, dtype=each.dtype) for each in (saved, into))
    source.weight.data.copy_(torch.tensor(numbers, device="cpu").to(saved.dtype))
    target.load_state_dict(source.state_dict())

    assert target.weight.dtype == into.dtype
    agree(target.weight, as_held(as_held(numbers, saved.dtype), into.dtype))


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
@over(kind=among("SGD", "Adam", "Adagrad"), way=among(Way("Path"), Way("older memory")), split=among(False, True))
def test_a_training_goes_on_exactly_with_the_optimizer_s_state_and_otherwise_without(kind, way, split):
    make = getattr(torch.optim, kind)
    momentum = {"momentum": 0.9} if kind == "SGD" else {}

    def start():
        net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.BatchNorm1d(3), nn.Linear(3, 1))
        with torch.no_grad():
            for number, parameter in enumerate(net.parameters()):
                parameter.copy_(torch.arange(1.0, parameter.numel() + 1).view(parameter.shape).sin() / (number + 1))
        groups = [{"params": list(net[:2].parameters()), "lr": 0.03}, {"params": list(net[2:].parameters())}]
        return net, make(groups if split else net.parameters(), lr=0.05, weight_decay=0.01, **momentum)

    def train(net, optimizer):
        x = torch.arange(24.0).view(6, 4).cos()
        for later in (False, True, True):
            optimizer.zero_grad()
            (net(x) - x[:, :1]).square().mean().backward()
            net[0].requires_grad_(later).zero_grad(set_to_none=not later)  # its state comes about behind the others'
            optimizer.step()

    net, optimizer = start()
    train(net, optimizer)
    halfway = way.round_trip({"net": net.state_dict(), "optimizer": optimizer.state_dict()})
    (resumed, other), (forgetful, blank) = start(), start()
    for group in other.param_groups:  # settings are restored too
        group.update({key: 9.0 for key, value in group.items() if type(value) in (bool, float, tuple)})
    resumed.load_state_dict(halfway["net"])
    other.load_state_dict(halfway["optimizer"])
    loaded, saved = other.state_dict(), halfway["optimizer"]
    assert loaded["param_groups"] == saved["param_groups"]
    assert all(values_in(loaded["state"][number]) == values_in(state) for number, state in saved["state"].items())
    forgetful.load_state_dict(halfway["net"])
    for each in ((net, optimizer), (resumed, other), (forgetful, blank)):
        train(*each)

    for name, value in net.state_dict().items():
        assert resumed.state_dict()[name].tolist() == value.tolist(), name
    assert forgetful[0].weight.tolist() != net[0].weight.tolist()
    with pytest.raises(ValueError, match="parameter group"):
        make(nn.Linear(1, 1, bias=False).parameters(), lr=1.0).load_state_dict(halfway["optimizer"])


OPTIMIZERS = among("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")


def stepped(name):
    """An optimizer of this kind that has made one step, with a momentum if it is given one."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = getattr(torch.optim, name)([parameter], lr=0.5, **({"momentum": 0.5} if name == "SGD" else {}))
    parameter.grad = torch.ones(3)
    optimizer.step()
    return optimizer


def values_in(state):
    return {key: value.tolist() for key, value in state.items() if isinstance(value, torch.Tensor)}


@claim("state-dict-round-trips", truth=True)
@over(name=OPTIMIZERS)
def test_an_optimizer_that_loads_another_s_state_shares_it_and_one_that_loads_a_copy_does_not(name):
    """Since torch 2.1; in 2.0 load_state_dict copied. Of pytorch#196083."""
    first, sharing, apart = stepped(name), stepped(name), stepped(name)
    sharing.load_state_dict(first.state_dict())
    apart.load_state_dict(copy.deepcopy(first.state_dict()))
    before = values_in(first.state_dict()["state"][0])

    apart.step()
    assert values_in(first.state_dict()["state"][0]) == before
    sharing.step()
    assert (values_in(first.state_dict()["state"][0]) != before) == (RELEASE >= (2, 1))


# ── state-dict-is-no-copy ──


@claim("state-dict-is-no-copy")
@over(each=trees(), copied=among(False, True))
def test_every_entry_of_the_dict_lies_in_the_memory_of_the_tree_s_tensor_and_of_a_copy_none(each, copied):
    net, plan = each
    state = copy.deepcopy(net.state_dict()) if copied else net.state_dict()

    for member in plan.state:
        before = state[member.name].tolist()
        assert (state[member.name].data_ptr() == member.tensor.data_ptr()) is not copied or not member.tensor.numel()
        with torch.no_grad():
            member.tensor.fill_(1)
        assert state[member.name].tolist() == (before if copied else member.tensor.tolist())


@claim("state-dict-is-no-copy", "state-dict-round-trips")
@over(twin=twins(ANY), layout=among(*WRITABLE))
def test_what_is_held_of_any_dtype_layout_and_size_is_restored_in_its_memory_and_written_through_its_entry(
    twin, layout
):
    into = twin.but(seed=twin.seed + 9, layout=layout)
    (net, arrays), (new, others) = holding(twin), holding(into)
    new.load_state_dict(Way("memory").round_trip(net.state_dict()))

    entries, strides = new.state_dict(), next(iter(into)).stride()
    assert list(entries) == [name for name in arrays if name != "unsaved"]
    for name, entry in entries.items():
        agree(entry, arrays[name])
        untouched(entry)
        assert (entry.requires_grad, entry.stride(), entry.dtype) == (False, strides, twin.dtype)
        entry.fill_(1)
        agree(attribute(new, name), np.ones_like(arrays[name]))
    agree(new.unsaved, others["unsaved"])


@claim("state-dict-is-no-copy")
@over(name=OPTIMIZERS, copied=among(False, True))
def test_the_state_of_an_optimizer_goes_on_in_its_dict_and_stands_still_in_a_copy(name, copied):
    optimizer = stepped(name)
    state = (copy.deepcopy if copied else dict)(optimizer.state_dict()["state"][0])
    before = values_in(state)

    optimizer.step()
    assert before
    assert all((value == before[key]) is copied for key, value in values_in(state).items())


# ── assign-unties-shared-parameters ──

FROZEN = (False, True)[: 1 + (RELEASE >= (2, 3))]  # torch 2.1 and 2.2 forget it with assign=True


@claim("assign-unties-shared-parameters")
@over(
    shape=among((2, 2), (33, 65)),
    way=among(Way("memory"), Way("mmap")),
    frozen=among(*FROZEN),
    other=among(torch.float64, torch.float16),
)
def test_assigned_parameters_lie_on_the_loaded_memory_untied_and_frozen_as_before(shape, way, frozen, other):
    assert "assign" in nn.Module.load_state_dict.__annotations__

    def tied():
        net = nn.Sequential(nn.Linear(*shape[::-1], bias=False), nn.Linear(*shape[::-1], bias=False))
        net[1].weight = net[0].weight
        return net.requires_grad_(not frozen)

    state, net = way.round_trip(tied().state_dict()), tied()
    net.load_state_dict(state, assign=True)
    assert net[0].weight is not net[1].weight
    assert {each.weight.data_ptr() for each in net} == {value.data_ptr() for value in state.values()}
    assert len({value.data_ptr() for value in state.values()}) == 1
    assert [each.weight.requires_grad for each in net] == [not frozen] * 2
    assert len({each.weight.data_ptr() for each in net.to(other)}) == 2

    again, copied = tied(), tied()
    again.load_state_dict(state)  # the dict remembers
    assert again[0].weight is not again[1].weight
    copied.load_state_dict(tied().state_dict())
    assert copied[0].weight is copied[1].weight
