"""4.3c Initialising parameters: an initialiser of one's own, and writing to data

An initialiser that `torch.nn.init` lacks takes a few lines: under `no_grad`, write into the tensor in place.

`param.data` is an older way around autograd: a tensor that shares the parameter's storage and has no part in the
graph. Writing to it is allowed at any time, and unlike a write under `no_grad` it leaves no trace: the *version
counter*, by which autograd notices that a value it saved for the backward pass was overwritten, does not move.
Before a forward pass that is harmless. Between forward and backward it gives wrong gradients without a word.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import init

claim = pytest.mark.claim


def keep_large_(tensor):
    """Uniform on [-10, 10], but 0 where the size is below 5."""
    with torch.no_grad():
        tensor.uniform_(-10, 10)
        return tensor.mul_(tensor.abs() >= 5)


# ── custom-init-can-be-written ──


@claim("custom-init-can-be-written")
def test_every_value_is_zero_or_between_5_and_10_in_size():
    size = keep_large_(nn.Linear(300, 120).weight).detach().abs()
    kept = size[size != 0]
    # Each of 36 000 draws falls within 0.02 of size 5 (or 10) with probability 0.002; none does with one below 1e-30.
    assert 5 <= kept.min().item() < 5.02
    assert 9.98 < kept.max().item() <= 10
    # Uniform on [5, 10]: mean 7.5, standard deviation 1.44, standard error below 0.0111 for the 17 000 values or more
    # that are kept; the bound is 6.7 of them.
    assert kept.mean().item() == pytest.approx(7.5, abs=0.075)


@claim("custom-init-can-be-written")
def test_half_of_the_values_are_zero_and_a_quarter_is_on_either_side():
    weight = keep_large_(nn.Linear(300, 120).weight)
    # Shares of n = 36 000: standard errors 0.0026 and 0.0023, so the bound is at least 7.5 of them.
    assert (weight == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (weight > 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (weight < 0).float().mean().item() == pytest.approx(0.25, abs=0.02)


@claim("custom-init-can-be-written")
def test_a_custom_initialiser_is_used_like_the_presets_on_weights_chosen_by_name():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 6))
    biases = net[0].bias.tolist(), net[2].bias.tolist()
    for name, parameter in net.named_parameters():
        if "weight" in name:
            assert keep_large_(parameter) is parameter
    for layer in (net[0], net[2]):
        # The layers' own initialisation stays below 1 / sqrt(3) in size.
        assert ((layer.weight == 0) | (layer.weight.abs() >= 5)).all().item() is True
        assert (layer.weight.is_leaf, layer.weight.requires_grad, layer.weight.grad_fn) == (True, True, None)
    assert (net[0].bias.tolist(), net[2].bias.tolist()) == biases


@claim("custom-init-can-be-written")
def test_the_writes_of_a_custom_initialiser_are_refused_without_no_grad():
    parameter = nn.Parameter(torch.ones(2, 3))
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place operation"):
        parameter.mul_(parameter.abs() >= 5)


@claim("custom-init-can-be-written")
def test_an_initialiser_that_does_not_write_in_place_changes_nothing():
    def forgets_to_write(tensor):
        with torch.no_grad():
            tensor = tensor * 0

    parameter = nn.Parameter(torch.tensor([1.0, 2.0]))
    forgets_to_write(parameter)
    assert parameter.tolist() == [1.0, 2.0]


# ── writing-data-sets-parameters-without-grad ──


@claim("writing-data-sets-parameters-without-grad")
def test_writing_to_data_changes_the_parameter_and_leaves_it_a_leaf():
    parameter = nn.Parameter(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    parameter.data[1] *= 10
    parameter.data[0, 2] = -7
    assert parameter.tolist() == [[1.0, 2.0, -7.0], [40.0, 50.0, 60.0]]
    assert (parameter.is_leaf, parameter.requires_grad, parameter.grad_fn) == (True, True, None)


@claim("writing-data-sets-parameters-without-grad")
def test_a_gradient_that_is_there_already_stays():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    (w * w).sum().backward()
    w.data.fill_(5)
    assert w.grad.tolist() == [6.0, 8.0]


@claim("writing-data-sets-parameters-without-grad")
def test_a_write_before_the_forward_pass_gives_the_gradient_of_the_new_value():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    w.data.add_(10)
    (w * w).sum().backward()
    assert w.grad.tolist() == [26.0, 28.0]


@claim("writing-data-sets-parameters-without-grad")
def test_data_may_be_replaced_as_a_whole():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    same, replacement = w, torch.tensor([7.0, -1.0])
    w.data = replacement
    assert same.tolist() == [7.0, -1.0]
    assert same.data_ptr() == replacement.data_ptr()  # not a copy of the numbers
    (w * w).sum().backward()
    assert w.grad.tolist() == [14.0, -2.0]


@claim("writing-data-sets-parameters-without-grad")
def test_a_gradient_that_does_not_use_the_value_is_unaffected_even_before_backward():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    y = (w * torch.tensor([2.0, 7.0])).sum()
    w.data.fill_(100)
    y.backward()
    assert w.grad.tolist() == [2.0, 7.0]


@claim("writing-data-sets-parameters-without-grad", truth=True)
def test_data_shares_the_storage_but_has_no_part_in_the_graph():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    assert w.data.data_ptr() == w.data_ptr()
    assert (w.data.requires_grad, w.data.grad_fn) == (False, None)
    assert (w.data * 2).requires_grad is False


@claim("writing-data-sets-parameters-without-grad", truth=True)
def test_a_write_to_data_does_not_move_the_version_counter():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    before = w._version
    w.data.fill_(5)
    assert w._version == before
    w.detach().fill_(6)
    assert w._version == before + 1


@claim("writing-data-sets-parameters-without-grad", truth=True)
def test_a_write_between_forward_and_backward_changes_the_gradient_in_silence():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    y = (w * w).sum()
    w.data[0] = 5.0
    y.backward()
    assert w.grad.tolist() == [10.0, 8.0]  # of the sum computed before, 6 and 8 are right


@claim("writing-data-sets-parameters-without-grad", truth=True)
@given(st.integers(-100, 100), st.integers(-100, 100))
def test_the_gradient_is_that_of_any_value_written(old, new):
    w = nn.Parameter(torch.tensor(float(old)))
    y = w * w
    w.data.fill_(new)
    y.backward()
    assert y.item() == old**2
    assert w.grad.item() == 2 * new


@claim("writing-data-sets-parameters-without-grad", truth=True)
def test_the_gradient_of_a_layers_input_is_wrong_and_that_of_its_weight_is_right():
    layer = nn.Linear(3, 1)
    layer.weight.data = torch.tensor([[1.0, 2.0, 3.0]])
    x = torch.tensor([[4.0, 5.0, 6.0]], requires_grad=True)
    y = layer(x).sum()
    layer.weight.data.mul_(10)
    y.backward()
    assert x.grad.tolist() == [[10.0, 20.0, 30.0]]
    assert layer.weight.grad.tolist() == [[4.0, 5.0, 6.0]]


def write_under_no_grad(w):
    with torch.no_grad():
        w.fill_(5)


@claim("writing-data-sets-parameters-without-grad", truth=True)
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(write_under_no_grad, id="no_grad"),
        pytest.param(lambda w: w.detach().fill_(5), id="detach"),
        pytest.param(lambda w: init.constant_(w, 5), id="init"),
    ],
)
def test_every_other_way_of_writing_is_noticed(write):
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    y = (w * w).sum()
    write(w)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
