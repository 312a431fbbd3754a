"""4.4 Sharing parameters: the gradient of a shared parameter

A parameter carries two tensors: its values, in `data`, and, from the first backward pass on, the derivative of the loss
by those values, in `grad`. A shared parameter has only one `grad` for all its uses, and by the chain rule for several
variables the derivative is the sum of what each use contributes. For two factors of one weight, $y = w \\cdot w
\\cdot x$, that is $wx + wx = 2wx$. The backward pass forms this sum by adding every contribution to the same tensor.
"""

import copy

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


def scalar_layer(weight):
    """A linear layer that multiplies by one number."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, weight)
    return layer


# ── parameters-carry-data-and-grad ──


@claim("parameters-carry-data-and-grad")
def test_data_is_the_memory_that_holds_the_values():
    weight = nn.Parameter(torch.tensor([[1.0, 2.0, 3.0]]))

    weight.data[0, 2] = 30.0

    assert weight.tolist() == [[1.0, 2.0, 30.0]]
    assert weight.data.tolist() == [[1.0, 2.0, 30.0]]
    assert weight.data.data_ptr() == weight.data_ptr()
    assert weight.data.requires_grad is False


@claim("parameters-carry-data-and-grad")
def test_grad_is_none_before_the_first_backward():
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))

    net(torch.ones(2, 4)).sum()  # a forward pass alone leaves no gradient either

    assert [parameter.grad for parameter in net.parameters()] == [None] * 4


@claim("parameters-carry-data-and-grad")
def test_backward_fills_grad_with_the_derivative():
    linear = nn.Linear(3, 2)
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])

    (linear(x) * torch.tensor([10.0, 100.0])).sum().backward()

    assert linear.weight.grad.tolist() == [[50.0, 70.0, 100.0], [500.0, 700.0, 1000.0]]  # the sum of both examples
    assert linear.bias.grad.tolist() == [20.0, 200.0]


@claim("parameters-carry-data-and-grad")
def test_grad_stays_until_it_is_cleared():
    layer = scalar_layer(3.0)

    layer(torch.full((1, 1), 5.0)).sum().backward()

    assert [layer.weight.grad.tolist() for _ in range(2)] == [[[5.0]]] * 2
    layer.zero_grad()
    assert layer.weight.grad is None


@claim("parameters-carry-data-and-grad")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_grad_has_the_shape_dtype_and_device_of_its_parameter(dtype):
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)).to(dtype)

    net(torch.ones(2, 4, dtype=dtype)).sum().backward()

    for parameter in net.parameters():
        assert parameter.grad.shape == parameter.shape
        assert parameter.grad.dtype == dtype
        assert parameter.grad.device == parameter.device


@claim("parameters-carry-data-and-grad")
def test_a_parameter_that_took_no_part_keeps_no_gradient():
    used, unused = scalar_layer(3.0), scalar_layer(4.0)

    used(torch.ones(1, 1)).sum().backward()

    assert used.weight.grad.tolist() == [[1.0]]
    assert unused.weight.grad is None


# ── shared-gradients-accumulate ──


@claim("shared-gradients-accumulate")
def test_two_shared_weights_of_three_have_gradient_six():
    linear = scalar_layer(3.0)
    net = nn.Sequential(linear, linear)

    output = net(torch.ones(1, 1))  # y = w * w * x
    output.sum().backward()

    assert output.item() == 9.0
    assert linear.weight.grad.item() == 6.0  # 3 from the first use and 3 from the second


@claim("shared-gradients-accumulate")
@given(weight=st.integers(-9, 9), x=st.integers(-9, 9), uses=st.integers(1, 4))
@example(weight=2, x=3, uses=4)
def test_a_weight_used_n_times_has_n_contributions(weight, x, uses):
    linear = scalar_layer(float(weight))
    net = nn.Sequential(*[linear] * uses)

    net(torch.full((1, 1), float(x))).sum().backward()

    # y = x * w**n has the derivative n * x * w**(n - 1); small integers are exact in float32
    assert linear.weight.grad.item() == uses * x * weight ** (uses - 1)


@claim("shared-gradients-accumulate")
def test_the_shared_gradient_is_the_sum_of_what_unshared_copies_would_get():
    shared = nn.Linear(3, 3).double()
    first, second = copy.deepcopy(shared), copy.deepcopy(shared)
    x = torch.randn(5, 3, dtype=torch.float64)

    nn.Sequential(shared, nn.Tanh(), shared)(x).square().sum().backward()
    nn.Sequential(first, nn.Tanh(), second)(x).square().sum().backward()

    torch.testing.assert_close(shared.weight.grad, first.weight.grad + second.weight.grad)
    torch.testing.assert_close(shared.bias.grad, first.bias.grad + second.bias.grad)
    assert torch.equal(first.weight.grad, second.weight.grad) is False  # each use has its own share


@claim("shared-gradients-accumulate")
def test_uses_in_parallel_branches_add_up_too():
    linear = scalar_layer(3.0)

    difference = linear(torch.full((1, 1), 10.0)) - linear(torch.full((1, 1), 4.0))
    difference.sum().backward()

    assert linear.weight.grad.item() == 6.0  # 10 - 4


@claim("shared-gradients-accumulate")
def test_two_kinds_of_layers_may_feed_one_gradient():
    """A language model: the embedding of a word and the scores of all words use one matrix."""
    embedding, output = nn.Embedding(2, 1), nn.Linear(1, 2, bias=False)
    output.weight = embedding.weight
    with torch.no_grad():
        embedding.weight.copy_(torch.tensor([[3.0], [5.0]]))

    output(embedding(torch.tensor([1]))).sum().backward()  # w1 (w0 + w1)

    assert embedding.weight.grad.tolist() == [[5.0], [13.0]]  # w1, and w0 + 2 w1


@claim("shared-gradients-accumulate")
def test_a_weight_and_its_transpose_feed_one_gradient():
    """A tied autoencoder: encode with W, decode with W transposed."""
    encoder = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        encoder.weight.copy_(torch.tensor([[1.0, 2.0]]))
    x = torch.tensor([[3.0, 5.0]])

    nn.functional.linear(encoder(x), encoder.weight.t()).sum().backward()

    # The sum is (w1 x1 + w2 x2)(w1 + w2) = 13 * 3. Its derivative by w1 is x1 * 3 + 13, by w2 it is x2 * 3 + 13.
    assert encoder.weight.grad.tolist() == [[22.0, 28.0]]
