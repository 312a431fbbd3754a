"""4.1c Building models: dicts of modules

`nn.ModuleDict` is to `dict` what `nn.ModuleList` is to `list`: it holds modules under names, registers them all,
and leaves it to the `forward` around it which entry runs when. It suits networks that choose among layers, such as
an activation given by its name. The names become part of the names of the parameters, and an entry is an attribute
as well.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


class Network(nn.Module):
    """Keeps its layers in whatever container it is given, and has a head of its own."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.head = nn.Linear(2, 1)


HEAD = ["head.weight", "head.bias"]

# ── moduledict-acts-like-a-dict ──


@claim("moduledict-acts-like-a-dict")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda layers, new: layers.__setitem__("output", new), id="add"),
        pytest.param(lambda layers, new: layers.__setitem__("hidden", new), id="replace"),
        pytest.param(lambda layers, new: layers.update({"output": new, "act": layers["hidden"]}), id="update"),
        pytest.param(lambda layers, new: layers.__delitem__("hidden"), id="delete"),
        pytest.param(lambda layers, new: layers.pop("act"), id="pop"),
        pytest.param(lambda layers, new: layers.clear(), id="clear"),
    ],
)
def test_an_edit_leaves_the_entries_that_it_leaves_in_a_dict(edit):
    layers = {"hidden": nn.Linear(3, 4), "act": nn.ReLU()}
    modules = nn.ModuleDict(layers)
    new = nn.Linear(4, 2)
    edit(modules, new)
    edit(layers, new)
    assert list(modules.items()) == list(layers.items())
    assert len(modules) == len(layers)


@claim("moduledict-acts-like-a-dict")
def test_an_entry_is_reached_by_key_and_as_an_attribute():
    hidden, output = nn.Linear(3, 4), nn.Linear(4, 2)
    modules = nn.ModuleDict({"hidden": hidden})
    modules["output"] = output
    assert modules["hidden"] is modules.hidden is hidden
    assert modules["output"] is modules.output is output


@claim("moduledict-acts-like-a-dict")
@given(st.lists(st.integers(0, 99), unique=True))
def test_keys_are_kept_in_the_order_of_their_insertion(numbers):
    entries = {f"layer{number}": nn.Identity() for number in numbers}
    modules = nn.ModuleDict(entries)
    assert list(modules) == list(modules.keys()) == list(entries)
    assert list(modules.values()) == list(entries.values())


@claim("moduledict-acts-like-a-dict")
def test_pop_hands_back_the_module_that_it_removes():
    hidden, act = nn.Linear(3, 4), nn.ReLU()
    modules = nn.ModuleDict({"hidden": hidden, "act": act})
    assert modules.pop("hidden") is hidden
    assert list(modules.items()) == [("act", act)]


@claim("moduledict-acts-like-a-dict")
def test_a_key_is_present_or_missing():
    modules = nn.ModuleDict({"hidden": nn.Linear(3, 4)})
    assert "hidden" in modules
    assert "output" not in modules
    assert "train" not in modules  # an attribute, but no entry
    with pytest.raises(KeyError, match="output"):
        modules["output"]


@claim("moduledict-acts-like-a-dict")
def test_a_key_that_names_a_method_is_refused():
    """A difference from a dict: an entry must be free to be an attribute."""
    with pytest.raises(KeyError, match="attribute 'train' already exists"):
        nn.ModuleDict({"train": nn.ReLU()})


# ── moduledict-has-no-forward ──


@claim("moduledict-has-no-forward")
@pytest.mark.parametrize("names", ["", "a", "abc"])
def test_calling_a_module_dict_is_not_implemented(names):
    modules = nn.ModuleDict({name: nn.Linear(2, 2) for name in names})
    with pytest.raises(NotImplementedError, match="forward"):
        modules(torch.zeros(1, 2))


# ── moduledict-registers-parameters ──


@claim("moduledict-registers-parameters")
def test_the_layers_of_a_module_dict_belong_to_the_network():
    net = Network(nn.ModuleDict({"wide": nn.Linear(2, 3), "narrow": nn.Linear(3, 2)}))
    names = ["layers.wide.weight", "layers.wide.bias", "layers.narrow.weight", "layers.narrow.bias", *HEAD]
    assert [name for name, _ in net.named_parameters()] == names
    assert list(net.state_dict()) == names
    assert {parameter.dtype for parameter in net.to(torch.float16).layers.parameters()} == {torch.float16}


@claim("moduledict-registers-parameters")
def test_the_layers_of_a_python_dict_do_not_belong_to_the_network():
    net = Network({"wide": nn.Linear(2, 3), "narrow": nn.Linear(3, 2)})
    assert [name for name, _ in net.named_parameters()] == HEAD
    assert list(net.state_dict()) == HEAD
    net.to(torch.float16)
    assert [layer.weight.dtype for layer in net.layers.values()] == [torch.float32, torch.float32]


@claim("moduledict-registers-parameters")
def test_entries_that_join_later_belong_to_the_network_too():
    net = Network(nn.ModuleDict())
    net.layers["first"] = nn.Linear(1, 1, bias=False)
    net.layers.update({"second": nn.Linear(2, 2, bias=False), "third": nn.Linear(3, 3, bias=False)})
    net.layers["first"] = nn.Linear(4, 4, bias=False)
    assert [parameter.shape[0] for parameter in net.layers.parameters()] == [4, 2, 3]
    assert list(net.state_dict()) == ["layers.first.weight", "layers.second.weight", "layers.third.weight", *HEAD]


@claim("moduledict-registers-parameters")
def test_an_optimizer_trains_the_layers_of_a_module_dict():
    first, last = nn.Linear(2, 3), nn.Linear(3, 2)
    net = Network(nn.ModuleDict({"first": first, "last": last}))
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    net.head(last(first(torch.tensor([[1.0, -2.0], [3.0, 5.0]])))).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    unchanged = [name for name, parameter in net.named_parameters() if torch.equal(parameter, before[name])]
    assert unchanged == []
    assert len(before) == 6
