"""3.6 Weight decay

A model with many inputs and few examples can fit its training set perfectly and still predict badly: it overfits. L2
regularisation adds a penalty to the loss, lambda times half the sum of the squared weights, so that a large weight has
to earn its keep. The gradient of that penalty is lambda * w, and a step of gradient descent reads

    w <- w - lr * (g + lambda * w) = (1 - lr * lambda) * w - lr * g

with g the gradient of the loss alone: first the weights shrink, then they follow the data. Hence the name, and hence
the option `weight_decay` of PyTorch's optimizers, which decays every parameter that it is given, biases included.
"""

import numpy as np
import pytest
import torch
from harness.measured import curve
from torch import nn

claim = pytest.mark.claim


@claim("weight-decay-counters-overfitting")
def test_with_200_weights_for_20_examples_decay_costs_training_loss_and_saves_test_loss(record_property):
    def normal(*shape):
        return torch.tensor(np.random.standard_normal(shape), dtype=torch.float32)

    inputs = {"training": normal(20, 200), "test": normal(100, 200)}
    labels = {part: 0.01 * x.sum(1) + 0.01 * normal(len(x)) for part, x in inputs.items()}
    start, losses = normal(200), {}

    for lambd in (0, 3):
        w = start.clone().requires_grad_()
        optimizer = torch.optim.SGD([w], lr=0.05, weight_decay=lambd)
        for _ in range(60):
            loss = {part: ((x @ w - labels[part]) ** 2 / 2).mean() for part, x in inputs.items()}
            for part in inputs:
                losses.setdefault(f"{part}_decayed" if lambd else part, []).append(loss[part].item())
            optimizer.zero_grad()
            loss["training"].backward()
            optimizer.step()

    record_property("curve", curve("step", "loss", **losses))
    assert losses["training"][-1] < 1e-6 < 1e-5 < losses["training_decayed"][-1]  # it fits all but perfectly without
    assert losses["test"][-1] > 10  # 180 directions that no example tells of keep their start: 180 / 2 is expected
    assert losses["test_decayed"][-1] < losses["test"][-1] / 10


@claim("weight-decay-counters-overfitting", truth=True)
def test_too_large_a_lambda_underfits():
    x = torch.tensor([1.0, -1.0])
    w = torch.tensor(2.0, requires_grad=True)  # fits y = 2x exactly
    optimizer = torch.optim.SGD([w], lr=0.25, weight_decay=3)
    assert ((w * x - 2 * x) ** 2 / 2).mean().item() == 0.0

    for _ in range(3):
        optimizer.zero_grad()
        ((w * x - 2 * x) ** 2 / 2).mean().backward()  # gradient w - 2, with the penalty's 4w - 2
        optimizer.step()

    assert w.item() == 0.5
    assert ((w * x - 2 * x) ** 2 / 2).mean().item() == 1.125  # on these and on any other examples


@claim("weight-decay-equals-l2-regularisation")
def test_a_step_with_the_option_is_a_step_of_the_penalised_loss():
    by_option, by_penalty = (torch.tensor([2.0, -3.0], requires_grad=True) for _ in range(2))

    (by_option * torch.tensor([1.0, 4.0])).sum().backward()
    torch.optim.SGD([by_option], lr=0.5, weight_decay=0.25).step()
    ((by_penalty * torch.tensor([1.0, 4.0])).sum() + 0.25 / 2 * (by_penalty**2).sum()).backward()
    torch.optim.SGD([by_penalty], lr=0.5).step()

    # 2 - 0.5 * (1 + 0.25 * 2) and -3 - 0.5 * (4 - 0.25 * 3)
    assert by_option.tolist() == by_penalty.tolist() == [1.25, -4.625]


@claim("weight-decay-equals-l2-regularisation", truth=True)
def test_sgd_and_adam_add_lambda_w_to_the_gradient_and_adamw_shrinks_the_weight_apart():
    after = []
    for name, options in (("SGD", {}), ("SGD", {"maximize": True}), ("Adam", {}), ("AdamW", {})):
        w = torch.tensor([2.0], requires_grad=True)
        w.grad = torch.tensor([-1.0])
        getattr(torch.optim, name)([w], lr=0.1, weight_decay=3, **options).step()
        after.append(w.item())

    assert after[:2] == pytest.approx([2 - 0.1 * (-1 + 3 * 2), 2 + 0.1 * (-1 - 3 * 2)])  # down, and up a penalised hill
    assert after[2] == pytest.approx(2 - 0.1)  # Adam's first step is lr times the sign of -1 + 3 * 2
    assert after[3] == pytest.approx(2 * (1 - 0.1 * 3) + 0.1)  # lr times the sign of -1, and the weight shrunk


@claim("weight-decay-makes-parameters-smaller")
def test_the_larger_lambda_the_smaller_the_trained_weights():
    norms = []
    for lambd in (0, 1, 3):
        w = torch.tensor([10.0, 10.0], requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.4, weight_decay=lambd)
        for _ in range(30):
            optimizer.zero_grad()
            ((w - torch.tensor([3.0, 4.0])) ** 2 / 2).sum().backward()
            optimizer.step()
        norms.append(w.norm().item())

    assert norms == pytest.approx([5, 5 / 2, 5 / 4], rel=1e-5)  # the minimum lies at (3, 4) / (1 + lambda)


@claim("weight-decay-makes-parameters-smaller", truth=True)
def test_beyond_a_certain_lambda_the_weights_grow_in_every_step():
    w = torch.tensor(0.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.5, weight_decay=5)
    distances = []

    for _ in range(4):
        optimizer.zero_grad()
        ((w - 6) ** 2 / 2).backward()  # curvature 1; with the penalty the minimum is at 6 / (1 + 5) = 1
        optimizer.step()
        distances.append(abs(w.item() - 1))

    assert distances == [2, 4, 8, 16]


@claim("penalised-loss-adds-the-penalty")
def test_the_gradient_of_the_sum_is_the_plain_gradient_plus_lambda_w():
    w = torch.tensor([2.0, -3.0, 0.5], requires_grad=True)
    x, y, lambd = torch.tensor([1.0, 0.0, 4.0]), 1.0, 0.5

    loss = (x @ w - y) ** 2 / 2 + lambd * (w**2).sum() / 2
    (gradient,) = torch.autograd.grad(loss, w)

    # the plain gradient is (x . w - y) x = (4 - 1) * (1, 0, 4)
    assert gradient.tolist() == [3 * 1 + 0.5 * 2, 3 * 0 - 0.5 * 3, 3 * 4 + 0.5 * 0.5]


@claim("l2-penalty-formula")
def test_the_penalty_is_half_the_sum_of_the_squares_of_all_weights():
    def l2_penalty(w):
        return (w**2).sum() / 2

    w = torch.tensor([[3.0, -4.0, 1.0], [0.0, 2.0, -6.0]], requires_grad=True)
    l2_penalty(w).backward()

    assert l2_penalty(w).item() == (9 + 16 + 1 + 0 + 4 + 36) / 2
    assert w.grad.tolist() == w.tolist()  # what the half is for


@claim("norm-is-the-l2-norm")
def test_the_norm_of_a_vector_or_matrix_is_the_root_of_the_sum_of_its_squares():
    assert torch.tensor([2.0, -3.0, 6.0]).norm().item() == 7
    assert torch.tensor([[1.0, 4.0], [8.0, 0.0]]).norm().item() == 9  # of a matrix, too, the length of all elements


@claim("norm-is-the-l2-norm", truth=True)
def test_squares_that_leave_the_range_make_it_infinite_or_zero():
    assert torch.tensor([3e30, 4e30]).norm().item() == float("inf")  # 9e60 is beyond float32's 3.4e38
    assert torch.tensor([3e-30, 4e-30]).norm().item() == 0
    with pytest.raises(RuntimeError, match="floating point"):
        torch.tensor([3, 4]).norm()


@claim("penalty-shrinks-weights-each-step")
def test_a_penalised_step_shrinks_first_and_then_follows_the_plain_gradient():
    w = torch.tensor([2.0, -4.0], requires_grad=True)
    x, y, lr, lambd = torch.tensor([1.0, 3.0]), 2.0, 0.25, 0.5

    ((x @ w - y) ** 2 / 2 + lambd * (w**2).sum() / 2).backward()
    stepped = (w - lr * w.grad).tolist()

    shrunk = [0.875 * 2, 0.875 * -4]  # by 1 - 0.25 * 0.5
    assert stepped == [shrunk[0] - lr * -12 * 1, shrunk[1] - lr * -12 * 3]  # x . w - y = 2 - 12 - 2 = -12


@claim("penalty-shrinks-weights-each-step", truth=True)
def test_the_factor_is_one_minus_lr_lambda_even_where_it_overshoots():
    after = {}
    for lr, lambd in ((0.5, 1.0), (0.5, 2.0), (0.5, 3.0), (1.0, 3.0)):
        w = torch.tensor([2.0], requires_grad=True)
        w.grad = torch.tensor([4.0])
        torch.optim.SGD([w], lr=lr, weight_decay=lambd).step()
        after[lr * lambd] = w.item() + lr * 4

    assert after == {0.5: 0.5 * 2, 1: 0, 1.5: -0.5 * 2, 3: -2 * 2}  # beyond 1 it changes sign, beyond 2 it grows


@claim("penalty-may-include-bias")
def test_a_penalised_bias_decays_and_another_does_not():
    steps = {}
    for penalise_bias in (False, True):
        w, b = torch.tensor([2.0, 1.0], requires_grad=True), torch.tensor(6.0, requires_grad=True)
        penalty = (w**2).sum() / 2 + penalise_bias * (b**2).sum() / 2
        loss = (torch.tensor([3.0, 1.0]) @ w + b - 4) ** 2 / 2  # the residual, 9, is the gradient of b
        (loss + 0.5 * penalty).backward()
        steps[penalise_bias] = (b - 0.5 * b.grad).item()

    assert steps == {False: 6 - 0.5 * 9, True: 0.75 * 6 - 0.5 * 9}  # 0.75 is 1 - 0.5 * 0.5


@claim("from-scratch-equals-weight-decay-option")
def test_training_from_scratch_and_by_the_option_end_in_the_same_parameters():
    batches = torch.tensor([[[1.0, 2.0], [1.0, 0.0]], [[-1.0, 3.0], [2.0, 1.0]]])  # of two examples: features, labels
    lr, lambd, batch_size = 0.25, 0.5, 2
    w, b = torch.tensor(2.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    for X, y in batches:
        loss = (w * X + b - y) ** 2 / 2 + lambd * (w**2).sum() / 2  # the penalty in every sample's loss
        loss.sum().backward()
        for param in (w, b):
            param.data -= lr * param.grad / batch_size
            param.grad.zero_()

    w2, b2 = torch.tensor(2.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([{"params": [w2], "weight_decay": lambd}, {"params": [b2]}], lr=lr)
    for X, y in batches:
        optimizer.zero_grad()
        ((w2 * X + b2 - y) ** 2 / 2).mean().backward()
        optimizer.step()
    assert (w2.item(), b2.item()) == (w.item(), b.item()) != (2, 1)


@claim("from-scratch-equals-weight-decay-option", truth=True)
def test_a_penalty_once_per_batch_or_a_loss_that_is_not_halved_takes_another_step():
    x, y, lambd = torch.tensor([1.0, -1.0]), torch.tensor([0.0, 0.0]), 0.5
    gradients = {}
    for how in ("from scratch", "once", "not halved"):
        w = torch.tensor([4.0], requires_grad=True)
        losses, penalty = (x * w - y) ** 2 / 2, lambd * (w**2).sum() / 2
        total = {"from scratch": losses + penalty, "once": losses + penalty / 2, "not halved": 2 * losses + penalty}
        (total[how].sum() / 2).backward()
        gradients[how] = w.grad.item()

    assert gradients == {"from scratch": 4 + 0.5 * 4, "once": 4 + 0.25 * 4, "not halved": 8 + 0.5 * 4}


@claim("weight-decay-decays-bias-by-default")
def test_the_option_decays_weights_and_biases_alike():
    linear, spared, unused = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)
    for param in (*linear.parameters(), *spared.parameters(), *unused.parameters()):
        nn.init.constant_(param, 8.0)
    optimizer = torch.optim.SGD([*linear.parameters(), *unused.parameters()], lr=0.5, weight_decay=0.25)
    optimizer.add_param_group({"params": spared.parameters(), "weight_decay": 0})

    (0 * spared(linear(torch.ones(1, 1)))).sum().backward()  # gradients of 0: the decay alone moves
    optimizer.step()

    assert (linear.weight.item(), linear.bias.item()) == (7, 7)  # 8 * (1 - 0.5 * 0.25)
    assert unused.bias.item() == 8  # without a gradient there is no decay
    assert (spared.weight.item(), spared.bias.item()) == (8, 8)  # its group has a decay of its own, of 0


@claim("weight-names-end-in-weight")
def test_names_in_a_network_end_in_weight_or_bias():
    net = nn.Sequential(nn.Embedding(9, 4), nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nn.Linear(3, 1, bias=False))

    assert [name for name, _ in net.named_parameters()] == ["0.weight", "1.0.weight", "1.0.bias", "2.weight"]


@claim("weight-names-end-in-weight", truth=True)
def test_recurrent_weights_end_in_a_number_and_the_scale_of_a_batch_norm_is_called_weight():
    assert [name for name, _ in nn.LSTM(3, 2, bias=False).named_parameters()] == ["weight_ih_l0", "weight_hh_l0"]
    assert {name: list(p.shape) for name, p in nn.BatchNorm1d(3).named_parameters()} == {"weight": [3], "bias": [3]}


@claim("weights-alone-can-be-decayed")
def test_two_optimizers_decay_the_weights_and_spare_the_bias():
    net = nn.Linear(2, 1)
    nn.init.constant_(net.weight, 8.0)
    nn.init.constant_(net.bias, 8.0)
    optimizer_w = torch.optim.SGD(params=[net.weight], lr=0.5, weight_decay=0.25)
    optimizer_b = torch.optim.SGD(params=[net.bias], lr=0.5)

    loss = net(torch.tensor([[1.0, 2.0]])).mean()
    optimizer_w.zero_grad()
    optimizer_b.zero_grad()
    loss.backward()
    optimizer_w.step()
    assert net.weight.tolist() == [[0.875 * 8 - 0.5 * 1, 0.875 * 8 - 0.5 * 2]]
    assert net.bias.item() == 8  # each optimizer steps its own parameters only
    optimizer_b.step()
    assert net.bias.item() == 8 - 0.5 * 1
