"""4.1a Building models: subclassing Module and chaining modules

A model in PyTorch is an object of a class derived from `nn.Module`. Its constructor creates the layers, which are
modules themselves, and `forward` says how an output is computed from an input. The base class keeps a register of
every module and parameter that is assigned to it, so that whoever asks a model for its parameters, saves it or
converts it reaches the whole tree of modules below it.

Containers are modules that hold other modules. The simplest, `nn.Sequential`, runs them one after the other and so
needs no `forward` of our own. Sections 4.1b and 4.1c turn to the two that hold modules without running them,
section 4.1d to what only a class of one's own can do.
"""

import contextlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


class Perceptron(nn.Module):
    """Three inputs, two hidden units, one output."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(3, 2)
        self.output = nn.Linear(2, 1)

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


class Append(nn.Module):
    """Adds a letter at the end of a string, so that an output spells the modules it has passed."""

    def __init__(self, letter):
        super().__init__()
        self.letter = letter

    def forward(self, text):
        return text + self.letter


# ── subclassing-module-defines-a-model ──


@claim("subclassing-module-defines-a-model")
def test_calling_a_model_computes_what_forward_says():
    model = Perceptron()
    model.hidden.weight = nn.Parameter(torch.tensor([[1.0, 0.0, 1.0], [0.0, -1.0, 0.0]]))
    model.hidden.bias = nn.Parameter(torch.tensor([0.0, 1.0]))
    model.output.weight = nn.Parameter(torch.tensor([[2.0, 5.0]]))
    model.output.bias = nn.Parameter(torch.tensor([3.0]))
    # Hidden units of the first row: relu(1 + 3) = 4 and relu(-2 + 1) = 0.
    # Of the second row: relu(0) = 0 and relu(3 + 1) = 4.
    assert model(torch.tensor([[1.0, 2.0, 3.0], [0.0, -3.0, 0.0]])).tolist() == [[2 * 4 + 3], [5 * 4 + 3]]


@claim("subclassing-module-defines-a-model")
def test_a_call_runs_forward_once_with_its_arguments_and_hands_back_its_result():
    class Recorder(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = []

        def forward(self, *args, **kwargs):
            self.calls.append((args, kwargs))
            return self.calls

    model = Recorder()
    assert model(1, "two", three=3) is model.calls
    assert model.calls == [((1, "two"), {"three": 3})]


@claim("subclassing-module-defines-a-model")
def test_the_parameters_of_both_layers_are_the_parameters_of_the_model():
    model = Perceptron()
    parameters = list(model.parameters())
    assert [tuple(p.shape) for p in parameters] == [(2, 3), (2,), (1, 2), (1,)]
    assert parameters[0] is model.hidden.weight
    assert parameters[3] is model.output.bias


@claim("subclassing-module-defines-a-model")
def test_a_module_without_forward_cannot_be_called():
    class Unfinished(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        Unfinished()(torch.ones(3))


# ── super-init-comes-first ──


@claim("super-init-comes-first")
@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(3, 2), lambda: nn.Parameter(torch.ones(2))], ids=["layer", "parameter"]
)
def test_an_assignment_before_the_parent_constructor_is_refused(make):
    class TooEarly(nn.Module):
        def __init__(self):
            self.part = make()
            super().__init__()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        TooEarly()


@claim("super-init-comes-first")
def test_registering_a_buffer_before_the_parent_constructor_is_refused():
    class TooEarly(nn.Module):
        def __init__(self):
            self.register_buffer("mean", torch.zeros(2))
            super().__init__()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        TooEarly()


@claim("super-init-comes-first")
def test_the_parent_constructor_leaves_an_empty_module_in_training_mode():
    module = nn.Module()
    assert module.training is True
    assert list(module.parameters()) == list(module.buffers()) == list(module.children()) == []


@claim("super-init-comes-first")
def test_each_module_is_given_registers_of_its_own():
    first, second = nn.Module(), nn.Module()
    first.layer = nn.Linear(3, 2)
    first.register_buffer("mean", torch.zeros(2))
    assert list(first.state_dict()) == ["mean", "layer.weight", "layer.bias"]
    assert list(second.parameters()) == list(second.buffers()) == list(second.children()) == []


# ── module-constructor-takes-other-arguments ──


class PassesArgumentsOn(nn.Module):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)


@claim("module-constructor-takes-other-arguments")
def test_keyword_arguments_may_be_passed_on_to_the_parent_constructor():
    models = []
    with contextlib.suppress(TypeError):
        models.append(PassesArgumentsOn(params=1))
    assert len(models) == 1


@claim("module-constructor-takes-other-arguments", truth=True)
@pytest.mark.parametrize("arguments", [{"params": 1}, {"params": None}, {"size": 3, "params": {}}])
def test_the_parent_constructor_refuses_keyword_arguments(arguments):
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        PassesArgumentsOn(**arguments)


@claim("module-constructor-takes-other-arguments", truth=True)
def test_the_parent_constructor_refuses_positional_arguments():
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        nn.Module(1)


@claim("module-constructor-takes-other-arguments", truth=True)
def test_a_model_names_the_arguments_it_wants():
    class Named(nn.Module):
        def __init__(self, params, **kwargs):
            super().__init__(**kwargs)
            self.params = params

    assert Named(params=1).params == 1


# ── containers-subclass-module ──


@claim("containers-subclass-module")
@pytest.mark.parametrize("name", ["Sequential", "ModuleList", "ModuleDict"])
def test_a_container_is_a_module(name):
    container = getattr(nn, name)
    assert issubclass(container, nn.Module) is True
    assert container is not nn.Module


@claim("containers-subclass-module")
@pytest.mark.parametrize("container", [list, dict, tuple])
def test_a_python_container_is_no_module(container):
    assert issubclass(container, nn.Module) is False


@claim("containers-subclass-module")
def test_containers_nest_and_are_reached_from_the_outermost():
    inner = nn.Linear(3, 2)
    net = nn.Sequential(nn.ModuleDict({"branches": nn.ModuleList([nn.ReLU(), inner])}))
    assert [name for name, _ in net.named_parameters()] == ["0.branches.1.weight", "0.branches.1.bias"]
    net.half().eval()
    assert inner.weight.dtype == torch.float16
    assert inner.training is False


# ── sequential-chains-its-modules ──


@claim("sequential-chains-its-modules")
def test_each_module_receives_the_output_of_the_one_before_beyond_ten():
    """Their names are 0, 1, ... 11: in the order of the alphabet, 10 and 11 would come before 2."""
    assert nn.Sequential(*(Append(letter) for letter in "bcdefghijklm"))("a") == "abcdefghijklm"


@claim("sequential-chains-its-modules")
def test_a_module_given_twice_runs_twice():
    repeated = Append("b")
    assert nn.Sequential(repeated, Append("c"), repeated)("a") == "abcb"


@claim("sequential-chains-its-modules")
@given(st.text(alphabet="abc"))
def test_any_number_of_modules_runs_in_the_order_given(letters):
    assert nn.Sequential(*(Append(letter) for letter in letters))("") == letters


@claim("sequential-chains-its-modules")
def test_a_sequential_computes_what_its_layers_compute_by_hand():
    net = nn.Sequential(nn.Linear(3, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
    net[0].weight = nn.Parameter(torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, -1.0]]))
    net[2].weight = nn.Parameter(torch.tensor([[0.5, 7.0]]))
    net[2].bias = nn.Parameter(torch.tensor([4.0]))
    # [1, 1, 2] gives 9 and -3; ReLU leaves 9 and 0.
    assert net(torch.tensor([[1.0, 1.0, 2.0]])).tolist() == [[0.5 * 9 + 4]]


@claim("sequential-chains-its-modules")
def test_a_sequential_of_our_own_gives_the_same_output():
    class OwnSequential(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            for index, layer in enumerate(layers):
                self.add_module(str(index), layer)

        def forward(self, x):
            for layer in self.children():
                x = layer(x)
            return x

    layers = [nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 5)]
    x = torch.randn(6, 3)
    torch.testing.assert_close(nn.Sequential(*layers)(x), OwnSequential(*layers)(x), rtol=0, atol=0)


# ── sequential-needs-matching-sizes ──


@claim("sequential-needs-matching-sizes")
@pytest.mark.parametrize("puts_out, takes_in", [(3, 4), (4, 3), (1, 4), (4, 1)])
def test_a_mismatch_is_found_when_the_net_is_called(puts_out, takes_in):
    net = nn.Sequential(nn.Linear(2, puts_out), nn.ReLU(), nn.Linear(takes_in, 5))  # no complaint yet
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        net(torch.ones(6, 2))


@claim("sequential-needs-matching-sizes")
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_matching_sizes_run(takes_in, hidden, puts_out):
    net = nn.Sequential(nn.Linear(takes_in, hidden), nn.Linear(hidden, puts_out))
    assert tuple(net(torch.ones(7, takes_in)).shape) == (7, puts_out)


@claim("sequential-needs-matching-sizes")
def test_a_mismatch_of_channels_is_found_when_the_net_is_called():
    net = nn.Sequential(nn.Conv2d(1, 3, kernel_size=1), nn.Conv2d(4, 2, kernel_size=1))
    with pytest.raises(RuntimeError, match="to have 4 channels, but got 3 channels"):
        net(torch.ones(1, 1, 5, 5))
