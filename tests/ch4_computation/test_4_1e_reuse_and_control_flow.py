"""4.1e Building models: reuse and control flow

A layer may be called several times in one `forward`. All uses *share* its parameters, and by the chain rule the
gradient of a shared parameter is the sum of what each use contributes.

Python's `for`, `while` and `if` may depend on the values of tensors. The graph is built anew at every call, of the
operations that were carried out: each turn of a loop adds its own, and a branch that was not taken adds none. A
condition needs one truth value; a comparison of tensors gives one value per element, so it serves as a condition if
there is a single element.
"""

import operator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim

# ── reusing-a-layer-shares-its-parameters ──


@claim("reusing-a-layer-shares-its-parameters")
def test_the_gradient_of_a_layer_used_twice_is_the_sum_over_both_uses():
    layer = nn.Linear(1, 1)
    layer.weight, layer.bias = nn.Parameter(torch.tensor([[3.0]])), nn.Parameter(torch.tensor([2.0]))
    y = layer(layer(torch.tensor([5.0])))
    y.sum().backward()
    # h = 3 * 5 + 2 = 17 and y = 3 h + 2. The second use adds dy/dw = h and dy/db = 1, the first 3 * 5 and 3.
    assert y.tolist() == [53.0]
    assert layer.weight.grad.tolist() == [[17.0 + 15.0]]
    assert layer.bias.grad.tolist() == [1.0 + 3.0]


@claim("reusing-a-layer-shares-its-parameters")
@pytest.mark.parametrize("uses", [1, 2, 3, 5])
def test_a_layer_used_n_times_multiplies_by_the_nth_power_of_its_weight(uses):
    layer = nn.Linear(1, 1, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[3.0]]))
    y = torch.tensor([7.0])
    for _ in range(uses):
        y = layer(y)
    y.sum().backward()
    assert y.tolist() == [7.0 * 3**uses]
    assert layer.weight.grad.tolist() == [[7.0 * uses * 3 ** (uses - 1)]]


@claim("reusing-a-layer-shares-its-parameters")
def test_one_layer_used_twice_equals_two_layers_of_the_same_values():
    shared, first, second = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
    first.load_state_dict(shared.state_dict())
    second.load_state_dict(shared.state_dict())
    x = torch.randn(4, 3)
    reused, tied = shared(torch.tanh(shared(x))), second(torch.tanh(first(x)))
    torch.testing.assert_close(reused, tied, rtol=0, atol=0)
    reused.sum().backward()
    tied.sum().backward()
    torch.testing.assert_close(shared.weight.grad, first.weight.grad + second.weight.grad)
    torch.testing.assert_close(shared.bias.grad, first.bias.grad + second.bias.grad)


@claim("reusing-a-layer-shares-its-parameters")
def test_a_change_of_the_layer_shows_in_both_uses():
    layer = nn.Linear(1, 1)
    net = nn.Sequential(layer, layer)
    layer.weight, layer.bias = nn.Parameter(torch.tensor([[10.0]])), nn.Parameter(torch.tensor([4.0]))
    assert net(torch.tensor([5.0])).tolist() == [(5.0 * 10 + 4) * 10 + 4]
    assert [parameter.item() for parameter in net.parameters()] == [10.0, 4.0]  # counted once


@claim("reusing-a-layer-shares-its-parameters")
def test_two_layers_share_nothing():
    net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    kept = net[1].weight.item()
    nn.init.constant_(net[0].weight, 10.0)
    assert net[1].weight.item() == kept
    assert len(list(net.parameters())) == 4


# ── forward-may-use-python-control-flow ──


class Halving(nn.Module):
    def forward(self, x):
        while x > 1:
            x = x / 2
        return x


@claim("forward-may-use-python-control-flow")
@pytest.mark.parametrize("start, turns", [(1.0, 0), (2.0, 1), (5.0, 3), (100.0, 7)])
def test_the_input_decides_how_often_a_loop_turns(start, turns):
    x = torch.tensor(start, requires_grad=True)
    y = Halving()(x)
    y.backward()
    assert y.item() == start / 2**turns
    assert x.grad.item() == 1 / 2**turns


@claim("forward-may-use-python-control-flow")
@given(st.integers(1, 2**20))
def test_the_gradient_counts_the_turns_for_any_input(start):
    turns = (start - 1).bit_length()  # the least k with start <= 2**k
    x = torch.tensor(float(start), requires_grad=True)
    Halving()(x).backward()
    assert x.grad.item() == 0.5**turns


@claim("forward-may-use-python-control-flow")
def test_only_the_branch_that_was_taken_receives_a_gradient():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.positive, self.negative = nn.Linear(2, 1), nn.Linear(2, 1)

        def forward(self, x):
            return self.positive(x) if x.sum() > 0 else self.negative(x)

    model = Branching()
    model(torch.tensor([4.0, -1.0])).sum().backward()
    assert model.positive.weight.grad.tolist() == [[4.0, -1.0]]
    assert model.negative.weight.grad is None
    model(torch.tensor([-5.0, 2.0])).sum().backward()
    assert model.positive.weight.grad.tolist() == [[4.0, -1.0]]
    assert model.negative.weight.grad.tolist() == [[-5.0, 2.0]]


@claim("forward-may-use-python-control-flow")
def test_an_argument_may_say_how_deep_a_model_is():
    class Repeated(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = nn.Linear(1, 1, bias=False)
            nn.init.constant_(self.step.weight, 3.0)

        def forward(self, x, depth):
            for _ in range(depth):
                x = self.step(x)
            return x

    model = Repeated()
    assert [model(torch.tensor([2.0]), depth).item() for depth in (0, 1, 4)] == [2.0, 6.0, 162.0]


# ── control-flow-needs-item ──


@claim("control-flow-needs-item")
def test_a_loop_on_a_tensor_without_item_fails():
    x = torch.tensor(3.0)
    with pytest.raises(RuntimeError):
        while x > 1:
            x = x / 2


@claim("control-flow-needs-item", truth=True)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_comparison_of_one_element_steers_a_loop(shape):
    x = torch.full(shape, 3.0)
    while x > 1:
        x = x / 2
    assert x.item() == 0.75


@claim("control-flow-needs-item", truth=True)
@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge])
@pytest.mark.parametrize("a, b", [(1, 2), (2, 2), (2, 1)])
def test_every_comparison_of_one_element_takes_the_branch_that_numbers_take(compare, a, b):
    taken = "then" if compare(torch.tensor(float(a)), float(b)) else "else"
    assert taken == ("then" if compare(a, b) else "else")


@claim("control-flow-needs-item", truth=True)
@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, -2.0], [-1.0, -2.0], [[3.0], [4.0]], [[1.0, 2.0, 3.0]]])
def test_a_comparison_of_more_elements_is_ambiguous_even_where_they_agree(values):
    comparison = torch.tensor(values) > 0
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        bool(comparison)


@claim("control-flow-needs-item", truth=True)
def test_any_and_all_make_one_element_of_many():
    positive = torch.tensor([1.0, -2.0, 3.0]) > 0
    assert ("then" if positive.any() else "else") == "then"
    assert ("then" if positive.all() else "else") == "else"
