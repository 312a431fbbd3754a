"""3.7 Dropout: scaling the survivors

If units were only dropped, the layer after them would see less in training than in evaluation. Inverted dropout makes
up for it at once: what survives is divided by 1 - p, so that each unit keeps its expectation,

    E[h'] = p * 0 + (1 - p) * h / (1 - p) = h

and nothing remains to be done in evaluation. The probability p is a hyperparameter, chosen and not learned, and a
dropout layer has no parameters: it can stand behind any activation without changing what an optimizer sees.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

FORMS = [
    pytest.param(lambda x, p: nn.Dropout(p)(x), id="nn.Dropout"),
    pytest.param(lambda x, p: nn.Dropout(p, inplace=True)(x.clone()), id="nn.Dropout in place"),
    pytest.param(lambda x, p: F.dropout(x, p), id="functional.dropout"),
]


# ── dropout-scales-survivors ──


@claim("dropout-scales-survivors")
@pytest.mark.parametrize("dropout", FORMS)
@pytest.mark.parametrize("p, factor", [(0.5, 2), (0.75, 4), (0.875, 8)])
def test_survivors_are_multiplied_exactly(dropout, p, factor):
    """Where 1 / (1 - p) is a power of two no digit is lost."""
    x = torch.randn(40, 50)
    y = dropout(x, p)
    assert torch.equal(y, torch.where(y == 0, torch.zeros(40, 50), factor * x)) is True


@claim("dropout-scales-survivors")
@pytest.mark.parametrize("dropout", FORMS)
@pytest.mark.parametrize("p", [0.1, 0.3, 0.6, 0.9])
def test_survivors_are_divided_by_one_minus_p(dropout, p):
    x = torch.randn(40, 50, dtype=torch.float64)
    y = dropout(x, p)
    # torch multiplies by 1 / (1 - p), which is rounded first; 1e-6 lets a device keep that factor in float32
    torch.testing.assert_close(y, torch.where(y == 0, torch.zeros_like(x), x / (1 - p)), rtol=1e-6, atol=0)


@claim("dropout-scales-survivors")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_dropout_keeps_dtype_and_shape(dtype):
    y = nn.Dropout(0.5)(torch.full((3, 5, 70), 1.5, dtype=dtype))
    assert y.dtype == dtype
    assert list(y.shape) == [3, 5, 70]
    assert set(y.flatten().tolist()) == {0.0, 3.0}  # all 1050 alike: probability 2^-1049


@claim("dropout-scales-survivors")
@pytest.mark.parametrize("dropout", FORMS)
def test_gradients_carry_the_same_mask_and_scale(dropout):
    x = torch.randn(40, 50, requires_grad=True)
    upstream = torch.randn(40, 50)
    y = dropout(x, 0.75)
    y.backward(upstream)
    assert torch.equal(x.grad, torch.where(y == 0, torch.zeros(40, 50), 4 * upstream)) is True


@claim("dropout-scales-survivors")
def test_each_pass_has_its_own_mask_for_its_own_gradient():
    layer, x = nn.Dropout(0.5), torch.ones(40, 50, requires_grad=True)
    first, second = layer(x), layer(x)
    (grad_of_second,) = torch.autograd.grad(second.sum(), x)
    (grad_of_first,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(grad_of_first, first) is True  # x is all ones: value and gradient are both mask / (1 - p)
    assert torch.equal(grad_of_second, second) is True
    assert torch.equal(first, second) is False


@claim("dropout-scales-survivors")
def test_nothing_is_scaled_in_evaluation():
    layer, x = nn.Dropout(0.75).eval(), torch.tensor([1.5, -2.0, 7.0], requires_grad=True)
    y = layer(x)
    y.backward(torch.tensor([1.0, 2.0, 3.0]))
    assert y.tolist() == [1.5, -2.0, 7.0]
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


# ── dropout-p-is-a-hyperparameter ──


@claim("dropout-p-is-a-hyperparameter")
def test_dropout_has_neither_parameters_nor_state():
    layer = nn.Dropout(0.3)
    assert list(layer.parameters()) == []
    assert list(layer.buffers()) == []
    assert list(layer.state_dict()) == []


@claim("dropout-p-is-a-hyperparameter")
def test_p_is_a_plain_number_with_a_default_of_one_half():
    assert (nn.Dropout().p, nn.Dropout(0.3).p) == (0.5, 0.3)
    assert set(F.dropout(torch.ones(1000)).tolist()) == {0.0, 2.0}  # the default of the functional form too


@claim("dropout-p-is-a-hyperparameter")
def test_p_can_be_set_between_two_passes():
    layer, x = nn.Dropout(0.5), torch.ones(1000)
    assert set(layer(x).tolist()) == {0.0, 2.0}
    layer.p = 0.75
    assert set(layer(x).tolist()) == {0.0, 4.0}


@claim("dropout-p-is-a-hyperparameter")
def test_passes_and_gradients_leave_p_as_it_was_chosen():
    layer, x = nn.Dropout(0.75), torch.ones(1000, requires_grad=True)
    for _ in range(3):
        y = layer(x)
        y.sum().backward()
        assert set(y.tolist()) == {0.0, 4.0}
        assert layer.p == 0.75


@claim("dropout-p-is-a-hyperparameter")
@pytest.mark.parametrize("dropout", FORMS)
def test_p_of_zero_is_the_identity_in_training_too(dropout):
    x = torch.randn(30, 40)
    assert torch.equal(dropout(x, 0.0), x) is True


@claim("dropout-p-is-a-hyperparameter")
@pytest.mark.parametrize("dropout", FORMS)
def test_p_of_one_drops_every_unit_and_its_gradient(dropout):
    """Not a division by 1 - 1: values and gradients are 0, not NaN."""
    x = torch.randn(30, 40, requires_grad=True)
    y = dropout(x, 1.0)
    y.sum().backward()
    assert torch.equal(y, torch.zeros(30, 40)) is True
    assert torch.equal(x.grad, torch.zeros(30, 40)) is True


@claim("dropout-p-is-a-hyperparameter")
@pytest.mark.parametrize("p", [-0.1, 1.1, -1, 2, float("inf")])
def test_p_outside_zero_to_one_is_refused(p):
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
        nn.Dropout(p)
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
        F.dropout(torch.ones(3), p)


# ── dropout-keeps-the-expectation ──


@claim("dropout-keeps-the-expectation")
@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.8])
def test_the_mean_over_many_masks_is_the_input(p):
    """A unit h has standard deviation |h| sqrt(p / (1 - p)); 6.5 standard errors over 40 000 masks are at most 6.5 %
    of h, and a false alarm has probability 4 * 8e-11."""
    h, masks = torch.tensor([1.0, -2.0, 0.5, 30.0], dtype=torch.float64), 40_000
    mean = nn.Dropout(p)(h.expand(masks, 4)).mean(0)
    bound = 6.5 * (p / (1 - p) / masks) ** 0.5
    torch.testing.assert_close(mean / h, torch.ones(4, dtype=torch.float64), rtol=0, atol=bound)


@claim("dropout-keeps-the-expectation")
@pytest.mark.parametrize("dropout", FORMS)
def test_every_form_keeps_the_expectation(dropout):
    """Twice the input or nothing, 40 000 times: 6.5 standard errors are 0.033, false alarm 8e-11."""
    assert dropout(torch.ones(40_000), 0.5).mean().item() == pytest.approx(1, abs=6.5 / 40_000**0.5)


@claim("dropout-keeps-the-expectation")
def test_the_next_linear_layer_sees_in_the_mean_what_it_sees_in_evaluation():
    """The output 2 * h1' - h2' has variance 4 * 9 + 25 = 61 at p = 1/2; 6.5 standard errors of 40 000 masks."""
    net, h = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 1)).double(), torch.tensor([[3.0, 5.0]], dtype=torch.float64)
    net[1].weight.data.copy_(torch.tensor([[2.0, -1.0]]))
    net[1].bias.data.fill_(4.0)
    mean_in_training = net(h.expand(40_000, 2)).mean().item()
    assert net.eval()(h).item() == 2 * 3 - 5 + 4
    assert mean_in_training == pytest.approx(2 * 3 - 5 + 4, abs=6.5 * (61 / 40_000) ** 0.5)


# ── dropout-layers-sit-between-linear-layers ──


@pytest.fixture
def perceptron():
    """784 inputs, two hidden layers of 256 and 128 units with dropout 0.2 and 0.5, ten outputs."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


@claim("dropout-layers-sit-between-linear-layers")
def test_each_dropout_receives_the_activations_of_a_hidden_layer(perceptron):
    seen = []

    class Recording(nn.Dropout):
        def forward(self, x):
            seen.append((x, super().forward(x)))
            return seen[-1][1]

    perceptron[3], perceptron[6] = Recording(0.2), Recording(0.5)
    out = perceptron(torch.rand(5, 1, 28, 28))
    assert list(out.shape) == [5, 10]
    assert [list(before.shape) for before, _ in seen] == [[5, 256], [5, 128]]
    for (before, after), p in zip(seen, (0.2, 0.5)):
        assert before.ge(0).all().item() is True  # a ReLU came first
        torch.testing.assert_close(after, torch.where(after == 0, torch.zeros_like(after), before / (1 - p)))
        assert torch.all((after == 0) == (before == 0)).item() is False


@claim("dropout-layers-sit-between-linear-layers")
def test_the_parameters_are_those_of_the_linear_layers(perceptron):
    assert {name: list(p.shape) for name, p in perceptron.named_parameters()} == {
        "1.weight": [256, 784],
        "1.bias": [256],
        "4.weight": [128, 256],
        "4.bias": [128],
        "7.weight": [10, 128],
        "7.bias": [10],
    }


@claim("dropout-layers-sit-between-linear-layers")
def test_init_normal_reaches_all_parameters_in_one_loop(perceptron):
    for p in perceptron.parameters():
        nn.init.normal_(p, mean=0, std=0.01)
    # of n normal values: 6.5 standard errors of the mean and of the standard deviation (1 % of it, 23 % for biases)
    for kind, n in (("weight", 234_752), ("bias", 394)):
        values = torch.cat([p.detach().flatten() for name, p in perceptron.named_parameters() if kind in name]).double()
        assert len(values) == n
        assert values.mean().item() == pytest.approx(0, abs=6.5 * 0.01 / n**0.5)
        assert values.std().item() == pytest.approx(0.01, rel=6.5 / (2 * n) ** 0.5)


@claim("dropout-layers-sit-between-linear-layers")
def test_the_network_is_random_in_training_and_fixed_in_evaluation(perceptron):
    images = torch.rand(5, 1, 28, 28)
    assert torch.equal(perceptron(images), perceptron(images)) is False
    perceptron.eval()
    assert torch.equal(perceptron(images), perceptron(images)) is True


@claim("dropout-layers-sit-between-linear-layers")
def test_in_evaluation_the_network_is_the_one_without_its_dropout_layers(perceptron):
    images = torch.rand(5, 1, 28, 28)
    without = nn.Sequential(*(layer for layer in perceptron if not isinstance(layer, nn.Dropout)))
    assert len(without) == 6
    torch.testing.assert_close(perceptron.eval()(images), without(images), rtol=0, atol=0)
