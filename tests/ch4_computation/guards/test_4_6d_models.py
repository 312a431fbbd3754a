"""4.6d State dicts: trees of modules through files."""

import contextlib
import copy
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, LAYOUTS, WRITABLE, agree, among, in_turn, over, twins, untouched
from populations.comparing import accepted, host
from populations.files import OLDER, Way, new_path
from populations.initialisers import RELEASE
from populations.modules import attribute, holding, trees
from populations.rounding import as_held
from populations.twins import Twin
from torch import nn
from torch.nn.utils import parametrizations

claim = pytest.mark.claim


class Keeping(nn.Module):
    """A module that keeps something beside its parameters."""

    def __init__(self, kept, *children: nn.Module) -> None:
        super().__init__()
        self.kept, self.children_ = kept, nn.ModuleList(children)

    def get_extra_state(self):
        return self.kept

    def set_extra_state(self, state) -> None:
        self.kept = state


@claim("state-dict-round-trips")
@over(
    kept=among(({"count": 7}, 8, "text"), (0, False, ""), ({}, [], None), (torch.zeros(1), torch.zeros(0), 0.0)),
    way=among("at once", "from a file"),
    strict=among(True, False),
)
def test_the_extra_state_of_modules_is_restored_at_any_depth_whatever_it_is(kept, way, strict):
    saved, made = (
        nn.Sequential(Keeping(one, nn.Linear(2, 1), Keeping(two, Keeping(three))))
        for one, two, three in (kept, ("other",) * 3)
    )
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    state = saved.state_dict() if way == "at once" else torch.load(io.BytesIO(file.getvalue()))
    made.load_state_dict(state, strict=strict)
    restored = [module.kept for module in made.modules() if isinstance(module, Keeping)]
    assert [*map(repr, restored)] == [*map(repr, kept)]
    assert made[0].children_[0].weight.tolist() == saved[0].children_[0].weight.tolist()


@claim("state-dict-round-trips", "state-dict-is-no-copy")
@over(named=among(str, Path), older=among(False, True), sizes=among((2, 9), (9, 2), (3, 3)))
def test_a_state_that_is_saved_to_a_file_that_is_there_takes_the_place_of_what_it_held(named, older, sizes):
    nets = [nn.Linear(size, 1) for size in sizes]
    path = new_path("w.pt")
    for net in nets:
        torch.save(net.state_dict(), named(path), **{OLDER: not older})
    loaded = torch.load(named(path))
    assert {name: value.tolist() for name, value in loaded.items()} == {
        name: value.tolist() for name, value in nets[1].state_dict().items()
    }


MADE_OF_OTHERS = {
    f"{name} of {home.__name__}": lambda layer, home=home, name=name: getattr(home, name)(layer)
    for home in (parametrizations, nn.utils)
    for name in ("spectral_norm", "orthogonal", "weight_norm")
    if hasattr(home, name)
}


@claim("state-dict-round-trips")
@over(way=among(*MADE_OF_OTHERS), sizes=among((3, 2), (2, 3), (4, 4)), strict=among(True, False))
def test_a_layer_whose_weight_is_made_of_others_computes_the_same_when_it_is_restored(way, sizes, strict):
    nets = [nn.Sequential(nn.Sequential(MADE_OF_OTHERS[way](nn.Linear(*sizes))), nn.Tanh()) for _ in range(2)]
    x = torch.ones(2, sizes[0])
    saved, made = (net.eval() for net in nets)
    made.load_state_dict(saved.state_dict(), strict=strict)

    agree(made(x), host(saved(x)), 8)  # a device may add up products in another order each time
    assert {name: value.tolist() for name, value in made.state_dict().items()} == {
        name: value.tolist() for name, value in saved.state_dict().items()
    }
    assert {*accepted(made.load_state_dict, {}, strict=False).missing_keys} >= {*saved.state_dict()}
    agree(made(x), host(saved(x)), 8)


@claim("state-dict-round-trips")
@over(EVERY_MODE, each=in_turn(trees((torch.float32, torch.float64)), among(Way("mmap"), Way("older memory"))))
def test_a_new_instance_of_any_tree_gets_every_value_into_the_tensors_that_it_has(each):
    tree, way = each
    (net, plan), (new, into) = tree, tree.but(seed=tree.seed + 1)
    for parameter in new.train(tree.second).parameters():
        parameter.grad = torch.ones_like(parameter)
    flags = [parameter.requires_grad for parameter in new.parameters()]

    state = way.round_trip(net.state_dict())
    for name in list(state)[::2]:
        state.move_to_end(name)  # in another order than the tree's
    report = new.load_state_dict(state if way.kind == "mmap" else dict(state))  # with the versions of layers or without
    for value in state.values():
        value.zero_()  # what was loaded is a copy

    assert (list(report.missing_keys), list(report.unexpected_keys)) == ([], [])
    for member, source in zip(into.state, plan.state, strict=True):
        agree(member.tensor, source.array)
        assert attribute(new, member.name) is member.tensor
    for member in (each for each in into.buffers if not each.saved):
        agree(member.tensor, member.array)
    assert all(parameter.grad is not None and parameter.grad.all() for parameter in new.parameters())
    assert [parameter.requires_grad for parameter in new.parameters()] == flags
    new.load_state_dict(state, **({"assign": True} if RELEASE >= (2, 1) else {}))
    assert {module.training for module in new.modules()} == {tree.second}


@claim("state-dict-round-trips", truth=True)
def test_before_torch_2_10_a_number_takes_the_first_of_several_and_before_2_4_a_key_below_a_parameter_is_ignored():
    number = nn.ParameterList([torch.tensor(1.0)])
    with pytest.raises(RuntimeError, match="mismatch") if RELEASE >= (2, 10) else contextlib.nullcontext():
        number.load_state_dict({"0": torch.tensor([5.0, 6.0])})
    assert number[0].item() == (1 if RELEASE >= (2, 10) else 5)
    with pytest.raises(RuntimeError, match="Unexpected key") if RELEASE >= (2, 4) else contextlib.nullcontext():
        number.load_state_dict({"0": torch.tensor(7.0), "0.more": torch.ones(1)})


# What is said of a misfit, and what stands in a state dict for the entry ``x`` of this name.
MISFITS = [
    ("Missing key", lambda name, x: {}),
    ("Unexpected key", lambda name, x: {name: x, f"{name}s": x}),
    ("size mismatch", lambda name, x: {name: torch.ones(1, *x.shape[:-1], 99)}),
    ("size mismatch", lambda name, x: {name: x.flatten() if x.dim() > 1 else x.reshape(1, -1)}),
    ("size mismatch", lambda name, x: {name: x[..., None] if x.dim() else x[None, None]}),
    ("size mismatch", lambda name, x: {name: x[:1] if x.dim() and len(x) > 1 else x[None, None]}),
    ("size mismatch", lambda name, x: {name: x[..., :1] if x.dim() and x.shape[-1] > 1 else x[None, None]}),
]
MISFITS += [("Unexpected key", lambda name, x: {name: x, f"{name}.more": x})] if RELEASE >= (2, 4) else []
MISFITS += [("size mismatch", lambda name, x: {name: torch.ones(x.numel() + 1)})] if RELEASE >= (2, 10) else []


@claim("state-dict-round-trips", truth=True)
@over(EVERY_MODE, tree=trees())
def test_no_entry_may_be_missing_unknown_or_misshapen_wherever_in_the_tree(tree):
    net, plan = tree
    net.train(tree.second)
    names = [member.name for member in plan.state]
    ends = {name.rpartition(".")[2]: name for name in names}  # numbers, and a transposed matrix
    special = [ends[end] for end in ("gate", "across", "num_batches_tracked") if end in ends]
    chosen = {*names[:1], *names[len(names) // 2 :][:1], *names[-1:], *special}
    for words, misfit in MISFITS:
        several = net.state_dict()  # with the versions of its modules
        for name in chosen:
            state = net.state_dict()
            state.update(misfit(name, state.pop(name)))
            with pytest.raises(RuntimeError, match=f"{words}.*{name}"):
                net.load_state_dict(state)
            several.update(misfit(name, several.pop(name)))
        with pytest.raises(RuntimeError, match=words) if "size" in words and chosen else contextlib.nullcontext():
            missing, unexpected = map(set, net.load_state_dict(several, strict=False))
            assert (missing, unexpected) == ({*names} - {*several}, {*several} - {*names})
    for path, _ in [*net.named_modules()][1:]:
        with pytest.raises(RuntimeError, match=f"Unexpected key.*{path}.unknown"):
            net.load_state_dict({**net.state_dict(), f"{path}.unknown": torch.ones(3)})
    for name in [name for name in names if name.endswith("shift")][:1]:  # beside it, what is not saved and what is None
        for other in ("passing", "plain", "absent", "nothing"):
            with pytest.raises(RuntimeError, match=f"Unexpected key.*{other}"):
                net.load_state_dict({**net.state_dict(), name.replace("shift", other): torch.ones(3)})
    for member in plan.state:
        agree(member.tensor, member.array)


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
    net.load_state_dict({name: value.half() for name, value in net.state_dict().items()})
    assert {value.dtype for value in net.state_dict().values()} == {torch.float32, torch.int64}
    nn.init.constant_(net[0].bias, 0.25)
    net.load_state_dict({"0.weight": torch.full((3, 2), 4.0)}, strict=False)
    assert (net[0].weight.tolist(), net[0].bias.tolist()) == ([[4, 4]] * 3, [0.25] * 3)
    whole, state = nn.Sequential(net), copy.deepcopy(nn.Sequential(net).state_dict())
    for place, name in ((net, "1"), (whole, "0")):  # where there is nothing, entries are ignored
        place.register_module(name, None)
        accepted(whole.load_state_dict, state)


@claim("state-dict-round-trips", "saved-model-moves-to-another-device")
@over(saved=twins(FLOATS, shapes=((),)), into=twins(FLOATS, shapes=((),)), location=among("cpu", None))
def test_a_model_of_another_dtype_gets_each_value_rounded_once_to_its_own(saved, into, location):
    numbers = 1 / np.arange(3.0, 36).reshape(3, 11)  # most of whose digits end in no dtype
    source, target = (nn.Linear(11, 3, False, next(iter(each)).device, each.dtype) for each in (saved, into))
    source.weight.data.copy_(torch.tensor(numbers, device="cpu").to(saved.dtype))
    place = target.weight.device
    target.load_state_dict(Way("memory").round_trip(source.state_dict(), map_location=location))

    assert (target.weight.dtype, target.weight.device) == (into.dtype, place)
    agree(target.weight, as_held(as_held(numbers, saved.dtype), into.dtype))


SINGLES = [Twin(torch.float32, shape, "channels last") for shape in ((), (3, 0, 2), (2, 3, 2, 2), (257,), (65_537,))]
IMAGES = [
    Twin(torch.float32, shape) for shape in ((2, 3, 4, 5), (3, 2, 2, 2), (2, 4, 3, 3), (4, 3, 2, 5), (2, 2, 5, 3))
]
MATRICES = twins(ANY, [layout for layout in LAYOUTS if layout != "transposed"], ((2, 3),))  # as channels last are


@claim("state-dict-is-no-copy", "state-dict-round-trips", "state-dict-holds-parameters-only")
@over(EVERY_MODE, twin=MATRICES.also(*SINGLES, Twin(torch.float16, (257,))).rarely(*IMAGES), layout=among(*WRITABLE))
def test_what_is_held_of_any_dtype_layout_and_size_is_restored_in_its_memory_and_written_through_its_entry(
    twin, layout
):
    into = twin.but(seed=twin.seed + 9, layout=layout)
    (net, arrays), (new, others) = holding(twin), holding(into)
    assert list(net.state_dict()) == [name for name in arrays if name != "unsaved"]
    new.load_state_dict(Way("memory").round_trip(net.state_dict()))

    entries, strides = new.state_dict(), next(iter(into)).stride()
    kept = copy.deepcopy(entries)
    for name, entry in entries.items():
        agree(entry, arrays[name])
        untouched(entry)
        assert (entry.requires_grad, entry.stride(), entry.dtype) == (False, strides, twin.dtype)
        entry.fill_(1)
        agree(attribute(new, name), np.ones_like(arrays[name]))
        agree(kept[name], arrays[name])
    agree(new.unsaved, others["unsaved"])


@claim("assign-unties-shared-parameters")
@over(
    shape=among((2, 2), (33, 65)),
    way=among(Way("memory"), Way("mmap")),
    frozen=among(False, True),
    other=among(torch.float64, torch.float16),
)
def test_assigned_parameters_lie_on_the_loaded_memory_untied_and_frozen_as_before_or_until_torch_2_3_not(
    shape, way, frozen, other
):
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
    assert [each.weight.requires_grad for each in net] == [not frozen or RELEASE < (2, 3)] * 2
    assert len({each.weight.data_ptr() for each in net.to(other)}) == 2

    again, copied = tied(), tied()
    again.load_state_dict(state)  # the dict remembers
    copied.load_state_dict(tied().state_dict())
    assert [net[0].weight is net[1].weight for net in (again, copied)] == [False, True]
