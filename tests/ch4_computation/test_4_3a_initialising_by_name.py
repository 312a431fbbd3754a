"""4.3a Initialising parameters: chosen by name, in place, unrecorded

Every layer gives its parameters first values when it is built. To start from others, one walks through
`named_parameters()`, picks parameters by their names and hands each to a function of `torch.nn.init`, whose name
ends in an underscore because it writes into the tensor it is given.

A parameter requires a gradient and is a *leaf* of the graph: no operation made it. Autograd forbids to write into
such a leaf in place while it records. The initialisers therefore write under `no_grad`, and the parameter remains
the leaf that it was.
"""

import pytest
import torch
from torch import nn
from torch.nn import init

claim = pytest.mark.claim


@pytest.fixture
def net():
    """Two linear layers with weights large enough to measure: 36 000 and 30 000 elements."""
    return nn.Sequential(nn.Linear(300, 120), nn.ReLU(), nn.Linear(120, 250))


# ── init-normal-over-weights ──


@claim("init-normal-over-weights")
@pytest.mark.parametrize("layer", [0, 2])
def test_weights_chosen_by_name_become_normal(net, layer):
    for name, parameter in net.named_parameters():
        if "weight" in name:
            init.normal_(parameter, mean=0, std=0.01)
    weight = net[layer].weight.detach()
    # n is at least 30 000. The standard errors are 0.01 / sqrt(n) of the mean, 0.01 / sqrt(2 n) of the standard
    # deviation and sqrt(0.6827 * 0.3173 / n) of the share. Each bound is 6.5 of them or more (false alarm below 1e-10)
    # and far below an error of 10 %.
    assert weight.mean().item() == pytest.approx(0, abs=6.5 * 0.01 / 30_000**0.5)
    assert weight.std().item() == pytest.approx(0.01, rel=0.03)
    # A uniform distribution of the same deviation has 0.577 of its values within one deviation of the mean.
    assert (weight.abs() < 0.01).float().mean().item() == pytest.approx(0.6827, abs=0.02)
    # 0.27 % lie beyond three deviations: none of 30 000 does with probability 0.9973**30_000, below 1e-35.
    assert weight.abs().max().item() > 0.03


@claim("init-normal-over-weights")
def test_each_weight_is_drawn_for_itself(net):
    for name, parameter in net.named_parameters():
        if "weight" in name:
            parameter.data.fill_(float("nan"))  # so that an element left out would show
            init.normal_(parameter, mean=0, std=0.01)
    assert [parameter.isnan().any().item() for parameter in net.parameters()] == [False] * 4
    # float32 lets a few of 36 000 draws coincide, some tens at most; a repeated row or column would leave half.
    assert net[0].weight.unique().numel() > 0.9 * 36_000
    assert torch.equal(net[0].weight.flatten()[:30_000], net[2].weight.flatten()) is False


@claim("init-normal-over-weights")
def test_biases_keep_their_values_while_weights_change(net):
    before = {name: parameter.tolist() for name, parameter in net.named_parameters()}
    for name, parameter in net.named_parameters():
        if "weight" in name:
            init.normal_(parameter, mean=0, std=0.01)
    after = {name: parameter.tolist() for name, parameter in net.named_parameters()}
    assert [name for name in before if after[name] == before[name]] == ["0.bias", "2.bias"]


# ── init-constant-over-biases ──


@claim("init-constant-over-biases")
@pytest.mark.parametrize("value", [0, 0.25, -3])
def test_biases_chosen_by_name_become_constant(net, value):
    for name, parameter in net.named_parameters():
        if "bias" in name:
            init.constant_(parameter, val=value)
    assert net[0].bias.tolist() == [value] * 120
    assert net[2].bias.tolist() == [value] * 250


@claim("init-constant-over-biases")
def test_weights_keep_their_values_while_biases_change(net):
    before = {name: parameter.tolist() for name, parameter in net.named_parameters()}
    for name, parameter in net.named_parameters():
        if "bias" in name:
            init.constant_(parameter, val=0)
    after = {name: parameter.tolist() for name, parameter in net.named_parameters()}
    assert [name for name in before if after[name] == before[name]] == ["0.weight", "2.weight"]


@claim("init-constant-over-biases")
def test_a_layer_without_bias_is_passed_over():
    net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 1))
    for name, parameter in net.named_parameters():
        if "bias" in name:
            init.constant_(parameter, val=7)
    assert net[0].bias is None
    assert net[1].bias.tolist() == [7.0]


# ── init-runs-without-recording ──

INITIALISERS = [
    pytest.param(lambda w: init.uniform_(w), id="uniform_"),
    pytest.param(lambda w: init.normal_(w), id="normal_"),
    pytest.param(lambda w: init.trunc_normal_(w), id="trunc_normal_"),
    pytest.param(lambda w: init.constant_(w, 3), id="constant_"),
    pytest.param(lambda w: init.ones_(w), id="ones_"),
    pytest.param(lambda w: init.zeros_(w), id="zeros_"),
    pytest.param(lambda w: init.eye_(w), id="eye_"),
    pytest.param(lambda w: init.xavier_uniform_(w), id="xavier_uniform_"),
    pytest.param(lambda w: init.xavier_normal_(w), id="xavier_normal_"),
    pytest.param(lambda w: init.kaiming_uniform_(w), id="kaiming_uniform_"),
    pytest.param(lambda w: init.kaiming_normal_(w), id="kaiming_normal_"),
    pytest.param(lambda w: init.orthogonal_(w), id="orthogonal_"),
    pytest.param(lambda w: init.sparse_(w, sparsity=0.5), id="sparse_"),
]


@claim("init-runs-without-recording")
@pytest.mark.parametrize("initialise", INITIALISERS)
def test_an_initialised_parameter_is_the_same_leaf_as_before(initialise):
    parameter = nn.Parameter(torch.full((3, 5), float("nan")))
    assert initialise(parameter) is parameter
    assert parameter.is_leaf is True
    assert parameter.grad_fn is None
    assert parameter.requires_grad is True


@claim("init-runs-without-recording")
@pytest.mark.parametrize("initialise", INITIALISERS)
def test_an_initialiser_writes_every_element_in_place(initialise):
    parameter = nn.Parameter(torch.full((3, 5), float("nan")))
    storage = parameter.data_ptr()
    initialise(parameter)
    assert parameter.isnan().any().item() is False
    assert parameter.data_ptr() == storage


@claim("init-runs-without-recording")
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda w: w.normal_(0, 0.01), id="normal_"),
        pytest.param(lambda w: w.uniform_(-1, 1), id="uniform_"),
        pytest.param(lambda w: w.fill_(3), id="fill_"),
        pytest.param(lambda w: w.zero_(), id="zero_"),
    ],
)
def test_the_same_write_is_refused_while_autograd_records(write):
    parameter = nn.Parameter(torch.ones(3, 5))
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place operation"):
        write(parameter)
    assert parameter.tolist() == [[1.0] * 5] * 3


@claim("init-runs-without-recording")
@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("initialise", INITIALISERS)
def test_an_initialiser_leaves_the_grad_mode_as_it_was(initialise, recording):
    with torch.set_grad_enabled(recording):
        initialise(nn.Parameter(torch.ones(3, 5)))
        assert torch.is_grad_enabled() is recording


@claim("init-runs-without-recording")
def test_gradients_are_those_of_the_values_written():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    init.constant_(w, 5)
    (w * w).sum().backward()
    assert w.grad.tolist() == [10.0, 10.0]


@claim("init-runs-without-recording")
def test_a_write_between_forward_and_backward_is_noticed_though_not_recorded():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    y = (w * w).sum()
    init.constant_(w, 5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
