"""4.1b Building models: lists of modules

`nn.ModuleList` holds modules without running them. It is used like Python's `list` and has no `forward`: the module
around it decides which entries run, how often and in which order.

Why not use a plain list? Because a module registers only what it recognises: parameters, buffers and modules. A
plain list is none of these, so the layers in it belong to nobody: `parameters()` does not list them, an optimizer
does not train them, `state_dict` does not save them and `to()` does not convert them, all without an error. A
`ModuleList` is a module, and is registered with all that it holds.
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

# ── modulelist-acts-like-a-list ──


@claim("modulelist-acts-like-a-list")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda layers, new: layers.append(new), id="append"),
        pytest.param(lambda layers, new: layers.extend([new, layers[0]]), id="extend"),
        pytest.param(lambda layers, new: layers.insert(0, new), id="insert first"),
        pytest.param(lambda layers, new: layers.insert(2, new), id="insert"),
        pytest.param(lambda layers, new: layers.insert(3, new), id="insert last"),
        pytest.param(lambda layers, new: layers.__setitem__(1, new), id="replace"),
        pytest.param(lambda layers, new: layers.__delitem__(0), id="delete"),
        pytest.param(lambda layers, new: layers.pop(1), id="pop"),
    ],
)
def test_an_edit_leaves_the_modules_that_it_leaves_in_a_list(edit):
    layers = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)]
    modules = nn.ModuleList(layers)
    new = nn.Tanh()
    edit(modules, new)
    edit(layers, new)
    assert list(modules) == layers
    assert len(modules) == len(layers)


@claim("modulelist-acts-like-a-list")
def test_indices_count_from_the_front_and_from_the_back():
    first, second, third = layers = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)]
    modules = nn.ModuleList(layers)
    assert modules[0] is first
    assert modules[1] is modules[-2] is second
    assert modules[2] is modules[-1] is third


@claim("modulelist-acts-like-a-list")
def test_the_last_module_is_the_one_appended_last():
    modules = nn.ModuleList([nn.Linear(3, 4), nn.ReLU()])
    appended = nn.Linear(4, 2)
    modules.append(appended)
    assert modules[-1] is appended


@claim("modulelist-acts-like-a-list")
def test_pop_hands_back_the_module_that_it_removes():
    first, second, third = layers = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)]
    modules = nn.ModuleList(layers)
    assert modules.pop(1) is second
    assert list(modules) == [first, third]


@claim("modulelist-acts-like-a-list")
@pytest.mark.parametrize("index", [3, -4])
def test_an_index_past_either_end_is_an_error(index):
    with pytest.raises(IndexError, match="out of range"):
        nn.ModuleList([nn.ReLU(), nn.Tanh(), nn.Sigmoid()])[index]


@claim("modulelist-acts-like-a-list")
@given(st.slices(6))
def test_any_slice_is_a_module_list_of_what_a_list_would_give(part):
    layers = [nn.Identity() for _ in range(6)]
    taken = nn.ModuleList(layers)[part]
    assert isinstance(taken, nn.ModuleList)
    assert list(taken) == layers[part]


@claim("modulelist-acts-like-a-list")
def test_a_slice_even_of_everything_is_a_list_of_its_own():
    modules = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    modules[:].append(nn.Sigmoid())
    assert len(modules) == 2


# ── modulelist-has-no-forward ──


@claim("modulelist-has-no-forward")
@pytest.mark.parametrize("number", [0, 1, 3])
def test_calling_a_module_list_is_not_implemented(number):
    modules = nn.ModuleList(nn.Linear(2, 2) for _ in range(number))
    with pytest.raises(NotImplementedError, match="forward"):
        modules(torch.zeros(1, 2))


@claim("modulelist-has-no-forward")
def test_the_sizes_of_stored_modules_need_not_match():
    modules = nn.ModuleList([nn.Linear(2, 3), nn.Linear(5, 1)])
    assert tuple(modules[0](torch.zeros(4, 2)).shape) == (4, 3)
    assert tuple(modules[1](torch.zeros(4, 5)).shape) == (4, 1)


# ── modulelist-has-no-order ──


@claim("modulelist-has-no-order")
def test_lists_of_the_same_modules_in_another_order_are_alike():
    wide, narrow = nn.Linear(2, 3), nn.Linear(3, 1)
    there, back = nn.ModuleList([wide, narrow]), nn.ModuleList([narrow, wide])
    assert {key: tuple(value.shape) for key, value in there.state_dict().items()} == {
        key: tuple(value.shape) for key, value in back.state_dict().items()
    }


@claim("modulelist-has-no-order", truth=True)
def test_iteration_names_and_keys_follow_the_list_beyond_ten_modules():
    layers = [nn.Linear(1, size, bias=False) for size in range(1, 13)]
    modules = nn.ModuleList(layers)
    assert list(modules) == layers
    assert list(modules.named_children()) == [(str(i), layer) for i, layer in enumerate(layers)]
    # In the order of the list, not of the alphabet, which would put 10 before 2.
    assert {key: value.shape[0] for key, value in modules.state_dict().items()} == {
        f"{i}.weight": i + 1 for i in range(12)
    }
    assert list(modules.state_dict()) == [f"{i}.weight" for i in range(12)]


@claim("modulelist-has-no-order", truth=True)
def test_an_insertion_renumbers_the_modules_behind_it():
    first, last, new = nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(3, 3)
    modules = nn.ModuleList([first, last])
    modules.insert(1, new)
    assert list(modules.named_children()) == [("0", first), ("1", new), ("2", last)]


@claim("modulelist-has-no-order", truth=True)
def test_forward_may_run_a_module_list_in_another_order():
    class LastToFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 1), nn.Linear(3, 4), nn.Linear(2, 3)])

        def forward(self, x):
            for layer in reversed(self.layers):
                x = layer(x)
            return x

    assert tuple(LastToFirst()(torch.ones(5, 2)).shape) == (5, 1)


# ── modulelist-registers-parameters ──


@claim("modulelist-registers-parameters")
def test_the_layers_of_a_module_list_belong_to_the_network():
    net = Network(nn.ModuleList([nn.Linear(2, 3), nn.Linear(3, 2)]))
    names = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", *HEAD]
    assert [name for name, _ in net.named_parameters()] == names
    assert list(net.state_dict()) == names
    assert {parameter.dtype for parameter in net.to(torch.float16).layers.parameters()} == {torch.float16}


@claim("modulelist-registers-parameters")
def test_the_layers_of_a_python_list_do_not_belong_to_the_network():
    net = Network([nn.Linear(2, 3), nn.Linear(3, 2)])
    assert [name for name, _ in net.named_parameters()] == HEAD
    assert list(net.state_dict()) == HEAD
    net.to(torch.float16)
    assert [layer.weight.dtype for layer in net.layers] == [torch.float32, torch.float32]


@claim("modulelist-registers-parameters")
def test_modules_that_join_later_belong_to_the_network_too():
    net = Network(nn.ModuleList())
    net.layers.append(nn.Linear(1, 1, bias=False))
    net.layers.extend([nn.Linear(2, 2, bias=False), nn.Linear(3, 3, bias=False)])
    net.layers.insert(0, nn.Linear(4, 4, bias=False))
    net.layers[1] = nn.Linear(5, 5, bias=False)
    assert [parameter.shape[0] for parameter in net.layers.parameters()] == [4, 5, 2, 3]
    assert [name for name, _ in net.named_parameters()] == [f"layers.{i}.weight" for i in range(4)] + HEAD


@claim("modulelist-registers-parameters")
def test_an_optimizer_trains_the_layers_of_a_module_list():
    first, last = nn.Linear(2, 3), nn.Linear(3, 2)
    net = Network(nn.ModuleList([first, last]))
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    net.head(last(first(torch.tensor([[1.0, -2.0], [3.0, 5.0]])))).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    unchanged = [name for name, parameter in net.named_parameters() if torch.equal(parameter, before[name])]
    assert unchanged == []
    assert len(before) == 6


@claim("modulelist-registers-parameters")
def test_an_optimizer_misses_the_layers_of_a_python_list():
    first, last = nn.Linear(2, 3), nn.Linear(3, 2)
    net = Network([first, last])
    before = first.weight.tolist(), last.bias.tolist(), net.head.bias.tolist()
    net.head(last(first(torch.tensor([[1.0, -2.0], [3.0, 5.0]])))).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    assert (first.weight.tolist(), last.bias.tolist()) == before[:2]
    assert tuple(first.weight.grad.shape) == (3, 2)  # in vain
    assert net.head.bias.tolist() != before[2]
