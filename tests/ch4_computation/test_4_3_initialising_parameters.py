"""4.3 Initialising parameters

Every layer draws first values when it is built. To start from others, one walks through `named_parameters()`, picks by
name, and hands each choice to a function of `torch.nn.init`, whose name ends in an underscore because it writes into
the tensor that it is given. A parameter is a leaf that requires a gradient, and while autograd records it lets nobody
overwrite such a leaf: the initialisers therefore write under `no_grad`. An older way around autograd, `param.data`,
writes to the same memory and leaves no trace at all, which is convenient before the forward pass and a trap after it.
"""

import pytest
import torch
from torch import nn
from torch.nn import init

claim = pytest.mark.claim


@claim("init-normal-over-weights")
@pytest.mark.start_values("normal_")
def test_weights_become_normal_numbers_and_biases_stay():
    net = nn.Sequential(nn.Linear(100, 200), nn.ReLU(), nn.Linear(200, 1))
    biases = net[0].bias.tolist()

    for name, param in net.named_parameters():
        if "weight" in name:
            init.normal_(param, mean=0, std=0.01)

    # of 20,000 numbers, mean and deviation are off by 0.00007 and 0.5 % as a rule; the bounds allow seven times that
    assert net[0].weight.mean().item() == pytest.approx(0, abs=0.0005)
    assert net[0].weight.std().item() == pytest.approx(0.01, rel=0.035)
    assert net[0].bias.tolist() == biases


@claim("init-constant-over-biases")
def test_biases_become_zero_and_weights_stay(capsys):
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    weights = net[0].weight.tolist()

    for name, param in net.named_parameters():
        if "bias" in name:
            init.constant_(param, val=0)
            print(name, param.tolist())

    assert capsys.readouterr().out.splitlines() == ["0.bias [0.0, 0.0, 0.0]", "2.bias [0.0]"]
    assert net[0].weight.tolist() == weights


@claim("init-runs-without-recording")
@pytest.mark.start_values("normal_")
def test_an_initialised_parameter_is_the_leaf_that_it_was():
    weight = nn.Parameter(torch.ones(2, 3))

    init.normal_(weight)

    assert (weight.is_leaf, weight.requires_grad, weight.grad_fn) == (True, True, None)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place operation"):
        weight.normal_()


@claim("init-offers-preset-methods")
@pytest.mark.start_values
def test_constants_matrices_and_distributions_are_filled_in_by_formula():
    assert init.constant_(torch.empty(2), 0.5).tolist() == [0.5, 0.5]
    assert init.eye_(torch.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]

    turn = init.orthogonal_(torch.empty(2, 2))
    assert (turn @ turn.T).flatten().tolist() == pytest.approx([1, 0, 0, 1], abs=1e-6)

    weight = init.xavier_normal_(torch.empty(120, 300))  # 300 inputs, 120 outputs: deviation sqrt(2 / 420) = 0.069
    assert weight.std().item() == pytest.approx(0.069007, rel=0.03)  # 36,000 numbers: off by 0.4 % as a rule


@claim("init-offers-preset-methods", truth=True)
@pytest.mark.start_values
def test_initialisers_refuse_tensors_that_their_formula_does_not_fit():
    with pytest.raises(ValueError, match="Fan in and fan out can not be computed"):
        init.xavier_normal_(torch.empty(5))
    with pytest.raises(ValueError, match="2 dimensions"):
        init.eye_(torch.empty(2, 2, 2))
    with pytest.raises(ValueError, match="3, 4, or 5 dimensions"):
        init.dirac_(torch.empty(2, 2))
    with pytest.raises(ValueError, match="2 or more dimensions"):
        init.orthogonal_(torch.empty(5))
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        init.orthogonal_(torch.empty(4, 3, 2, 2).to(memory_format=torch.channels_last))


@claim("custom-init-can-be-written")
def test_a_custom_initialiser_writes_in_place_under_no_grad():
    def init_weight_(tensor):
        with torch.no_grad():
            tensor.uniform_(-10, 10)
            tensor *= (tensor.abs() >= 5).float()

    weight = nn.Linear(100, 10).weight
    init_weight_(weight)

    size = weight.detach().cpu().abs()
    assert ((size == 0) | ((size >= 5) & (size <= 10))).all().item()
    assert 300 < (size == 0).sum().item() < 700  # of 1,000: 500, give or take 16
    with pytest.raises(RuntimeError, match="leaf Variable"):
        weight.uniform_(-10, 10)


@claim("writing-data-sets-parameters-without-grad")
def test_a_write_to_data_changes_the_parameter_and_no_gradient():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    (w * w).sum().backward()

    w.data[0] = 5.0

    assert w.tolist() == [5, 4]
    assert w.grad.tolist() == [6, 8]  # of the old values, as before
    assert (w.is_leaf, w.grad_fn) == (True, None)


@claim("writing-data-sets-parameters-without-grad", truth=True)
def test_a_write_between_forward_and_backward_makes_the_gradient_wrong_in_silence():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))

    y = (w * w).sum()
    w.data[0] = 5.0
    y.backward()
    assert w.grad.tolist() == [10, 8]  # of the sum computed before, 6 and 8 are right

    y = (w * w).sum()
    init.constant_(w, 5.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()  # every other write is noticed
