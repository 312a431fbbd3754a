"""4.1d Building models: what a class of one's own can do

`forward` is an ordinary Python method. Autograd records the operations on tensors as they happen, so a model may do
anything that Python can: take several inputs, add an input to an output, compute with constants, loop, choose
between branches. None of this fits into an `nn.Sequential`, in which each module is run once, on the output of the
one before.

A constant can be kept in two ways. A plain tensor is an attribute like any other, of which the module knows
nothing. A *buffer* is a tensor registered with `register_buffer`: it is no parameter and is not trained, yet it is
saved and moved with the module.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim

# ── subclassing-is-more-flexible ──


class Flexible(nn.Module):
    """A constant, a layer used twice, a loop and a branch on the size of what was computed."""

    def __init__(self):
        super().__init__()
        self.mixing = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
        self.linear = nn.Linear(2, 2)
        self.linear.weight = nn.Parameter(torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
        self.linear.bias = nn.Parameter(torch.tensor([0.0, -1.0]))

    def forward(self, x):
        x = self.linear(torch.relu(self.linear(x) @ self.mixing + 1))
        while x.norm() > 1:
            x = x / 2
        if x.norm() < 0.8:
            x = x * 10
        return x.sum()


@claim("subclassing-is-more-flexible")
@pytest.mark.parametrize(
    "x, expected",
    [
        # (1, 2) -> (3, 3) -> mixed (7, 4) -> (11, 7), of norm 13.04; four halvings leave 0.815, which is not below 0.8.
        pytest.param([1.0, 2.0], (11 + 7) / 16, id="loop, no branch"),
        # (-4, 1) -> (-3, 1) -> mixed (3, -2), ReLU (3, 0) -> (3, -1), of norm 3.16; two halvings leave 0.79.
        pytest.param([-4.0, 1.0], (3 - 1) / 4 * 10, id="loop and branch"),
        # (-0.5, 0) -> (-0.5, -1) -> mixed (-1, 0.5), ReLU (0, 0.5) -> (0.5, 0), of norm 0.5.
        pytest.param([-0.5, 0.0], (0.5 + 0) * 10, id="branch, no loop"),
    ],
)
def test_a_class_of_its_own_computes_what_the_same_steps_give_by_hand(x, expected):
    assert Flexible()(torch.tensor([x])).item() == expected


@claim("subclassing-is-more-flexible")
def test_a_model_may_take_several_inputs_and_give_several_outputs():
    class SumAndDifference(nn.Module):
        def forward(self, x, y):
            return x + y, x - y

    total, difference = SumAndDifference()(torch.tensor([5.0, 1.0]), torch.tensor([3.0, 4.0]))
    assert total.tolist() == [8.0, 5.0]
    assert difference.tolist() == [2.0, -3.0]


@claim("subclassing-is-more-flexible")
def test_a_sequential_takes_one_input():
    with pytest.raises(TypeError, match="positional arguments"):
        nn.Sequential(nn.ReLU())(torch.ones(2), torch.ones(2))


@claim("subclassing-is-more-flexible")
def test_a_model_may_add_its_input_to_the_output_of_its_layers():
    class Residual(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            self.inner = nn.Sequential(*layers)

        def forward(self, x):
            return x + self.inner(x)

    x = torch.tensor([-2.0, 0.0, 3.0])
    assert Residual(nn.ReLU())(x).tolist() == [-2.0, 0.0, 6.0]
    assert nn.Sequential(nn.ReLU())(x).tolist() == [0.0, 0.0, 3.0]


# ── plain-tensor-is-a-constant-parameter ──


class Scaled(nn.Module):
    """A linear layer whose outputs are multiplied by a plain tensor and moved by a buffer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.factors = torch.tensor([2.0, -3.0])
        self.register_buffer("offsets", torch.tensor([5.0, 7.0]))

    def forward(self, x):
        return self.linear(x) * self.factors + self.offsets


def train(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.tensor([[1.0, -2.0, 0.5], [3.0, 5.0, -1.0]])).sum().backward()
        optimizer.step()


@claim("plain-tensor-is-a-constant-parameter")
def test_training_leaves_a_plain_tensor_as_it_was():
    model = Scaled()
    bias = model.linear.bias.tolist()
    train(model)
    assert model.factors.tolist() == [2.0, -3.0]
    assert model.linear.bias.tolist() != bias


@claim("plain-tensor-is-a-constant-parameter")
def test_the_model_computes_with_a_plain_tensor_but_gives_it_no_gradient():
    model = Scaled()
    model(torch.zeros(4, 3)).sum().backward()
    assert model.linear.bias.grad.tolist() == [4 * 2.0, 4 * -3.0]
    assert model.factors.requires_grad is False
    assert model.factors.grad is None


@claim("plain-tensor-is-a-constant-parameter")
def test_a_plain_tensor_is_no_parameter():
    assert [name for name, _ in Scaled().named_parameters()] == ["linear.weight", "linear.bias"]


@claim("plain-tensor-is-a-constant-parameter", truth=True)
def test_a_state_dict_holds_buffers_but_no_plain_tensors():
    assert sorted(Scaled().state_dict()) == ["linear.bias", "linear.weight", "offsets"]


@claim("plain-tensor-is-a-constant-parameter", truth=True)
def test_loading_a_state_restores_a_buffer_but_not_a_plain_tensor():
    saved, fresh = Scaled(), Scaled()
    saved.factors.fill_(8)
    saved.offsets.fill_(9)
    fresh.load_state_dict(saved.state_dict())
    assert fresh.factors.tolist() == [2.0, -3.0]
    assert fresh.offsets.tolist() == [9.0, 9.0]


@claim("plain-tensor-is-a-constant-parameter", truth=True)
def test_to_converts_a_buffer_but_not_a_plain_tensor():
    model = Scaled().to(torch.float16)
    assert model.linear.weight.dtype == model.offsets.dtype == torch.float16
    assert model.factors.dtype == torch.float32


@claim("plain-tensor-is-a-constant-parameter", truth=True)
def test_to_moves_a_buffer_but_not_a_plain_tensor():
    model = Scaled()
    home = model.factors.device
    model.to("meta")  # stands for any other device
    assert model.linear.weight.device == model.offsets.device == torch.device("meta")
    assert model.factors.device == home


@claim("plain-tensor-is-a-constant-parameter", truth=True)
def test_a_buffer_is_a_constant_too():
    model = Scaled()
    train(model)
    assert model.offsets.tolist() == [5.0, 7.0]
    assert [name for name, _ in model.named_buffers()] == ["offsets"]
    assert [tuple(parameter.shape) for parameter in model.parameters()] == [(2, 3), (2,)]
