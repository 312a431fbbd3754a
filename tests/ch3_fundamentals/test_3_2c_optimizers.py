"""3.2 Linear regression in PyTorch: optimizers

An **optimizer** refers to parameters, in one or more **parameter groups** with options of their own, and changes them
by their gradients at each `step()`. Plain SGD subtracts the learning rate times the gradient. SGD with momentum keeps a
decaying sum of the gradients so far; Adam keeps running means of the gradients and of their squares, RMSprop of the
squares. These sums and means are the optimizer's **state**. A large learning rate makes fast progress at first, a small
one settles near the minimum, so that one often lowers it on the way: by editing the group, or by a **scheduler**.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("optim-offers-sgd-adam-rmsprop")
def test_each_takes_its_first_two_steps_by_its_own_rule():
    moved = {}
    for name, options in {"SGD": {}, "Adam": {"betas": (0.5, 0.5)}, "RMSprop": {"alpha": 0.75}}.items():
        w = torch.tensor([0.0], requires_grad=True)
        optimizer = getattr(torch.optim, name)([w], lr=1.0, **options)
        for gradient in (4.0, 4.0):
            w.grad = torch.tensor([gradient])
            optimizer.step()
            moved.setdefault(name, []).append(round(w.item(), 4))

    assert moved["SGD"] == [-4.0, -8.0]  # by the gradient
    assert moved["Adam"] == [-1.0, -2.0]  # by its mean over the root of the mean of its square: 4 / 4
    assert moved["RMSprop"] == [-2.0, -3.5119]  # 4 over the root of 16 / 4, then of 16 (1/4 + 3/16): 2.6458


@claim("optimizer-prints-its-options")
def test_printing_shows_one_group_with_the_five_options(capsys):
    print(torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.03))

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["SGD (", "Parameter Group 0", ")"]
    five = ["dampening: 0", "lr: 0.03", "momentum: 0", "nesterov: False", "weight_decay: 0"]
    assert [line.strip() for line in lines if line.strip() in five] == five


@claim("optimizer-prints-its-options", truth=True)
def test_every_group_is_shown_with_more_than_five_options():
    groups = [{"params": nn.Linear(2, 1).parameters()}, {"params": nn.Linear(1, 1).parameters(), "lr": 0.5}]

    lines = str(torch.optim.SGD(groups, lr=0.25)).splitlines()
    shown = {line.partition(":")[0].strip() for line in lines if ":" in line}

    assert [line for line in lines if line.startswith("Parameter")] == ["Parameter Group 0", "Parameter Group 1"]
    assert [line.strip() for line in lines if " lr:" in line] == ["lr: 0.25", "lr: 0.5"]
    assert {"dampening", "lr", "momentum", "nesterov", "weight_decay"} <= shown
    assert {"differentiable", "foreach", "maximize"} <= shown
    assert ("fused" in shown) == (torch.__version__ >= (2, 3))

    scheduled = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.25)
    torch.optim.lr_scheduler.StepLR(scheduled, step_size=1)
    assert "    initial_lr: 0.25" in str(scheduled).splitlines()


@claim("parameter-groups-have-own-learning-rates")
def test_a_group_without_a_learning_rate_takes_the_default():
    body, head = nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(body.weight, 1)
    nn.init.constant_(head.weight, 1)

    optimizer = torch.optim.SGD([{"params": body.parameters()}, {"params": head.parameters(), "lr": 0.25}], lr=0.5)
    body.weight.grad, head.weight.grad = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0]])
    optimizer.step()

    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25]
    assert body.weight.tolist() == [[1 - 0.5 * 1, 1 - 0.5 * 2]]
    assert head.weight.tolist() == [[1 - 0.25 * 1]]


@claim("learning-rate-can-be-edited-in-place")
def test_a_quarter_of_the_learning_rate_makes_steps_a_quarter_as_long():
    w = torch.tensor([0.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.5)
    w.grad = torch.tensor([8.0])

    optimizer.step()
    for group in optimizer.param_groups:
        group["lr"] *= 0.25
    before = w.item()
    optimizer.step()

    assert before == -0.5 * 8
    assert w.item() - before == -0.125 * 8


@claim("building-a-new-optimizer-is-the-recommended-way")
def test_torch_offers_no_other_way_to_change_the_rate():
    """Superseded: since 0.2 there is `torch.optim.lr_scheduler`, which keeps the optimizer and its state."""
    assert "lr_scheduler" not in dir(torch.optim)


@claim("building-a-new-optimizer-is-the-recommended-way", truth=True)
def test_a_scheduler_and_an_edit_keep_the_momentum_that_a_new_optimizer_drops():
    moves = {}
    for way in ("scheduler", "edit", "new"):
        w = torch.tensor([0.0], requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.25)
        w.grad = torch.tensor([1.0])
        optimizer.step()
        if way == "scheduler":
            scheduler.step()
        elif way == "edit":
            optimizer.param_groups[0]["lr"] *= 0.25
        else:
            optimizer = torch.optim.SGD([w], lr=0.25, momentum=0.5)
        before = w.item()
        optimizer.step()
        moves[way] = w.item() - before

    # the decaying sum of two gradients of 1 is 1.5
    assert moves == {"scheduler": -0.25 * 1.5, "edit": -0.25 * 1.5, "new": -0.25 * 1.0}


@claim("new-optimizer-is-cheap")
def test_a_new_optimizer_holds_references_to_the_parameters_and_nothing_else():
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

    assert all(held is own for held, own in zip(optimizer.param_groups[0]["params"], net.parameters(), strict=True))
    assert optimizer.state_dict()["state"] == {}


@claim("new-optimizer-is-cheap", truth=True)
def test_adagrad_allocates_when_it_is_built_and_adam_at_its_first_step_twice_the_parameters():
    w = torch.ones(1000, requires_grad=True)
    w.grad = torch.ones(1000)

    adagrad, adam = torch.optim.Adagrad([w]), torch.optim.Adam([w])
    when_built = [sum(value.numel() for value in each.state[w].values() if value.dim()) for each in (adagrad, adam)]
    adam.step()
    after_a_step = sum(value.numel() for value in adam.state[w].values() if value.dim())

    assert when_built == [1000, 0]
    assert after_a_step == 2 * 1000


@claim("new-optimizer-loses-momentum")
def test_a_new_adam_kicks_a_parameter_that_had_come_to_rest():
    w = torch.tensor([1.0], requires_grad=True)
    old = torch.optim.Adam([w], lr=0.1)
    for _ in range(200):
        w.grad = w.detach().clone()  # the gradient of w * w / 2, which is least at 0
        old.step()
    assert abs(w.item()) < 1e-4

    new, path = torch.optim.Adam([w], lr=0.1), []
    for _ in range(20):
        w.grad = w.detach().clone()
        new.step()
        path.append(w.item())
    # Adam's first step is as long as the learning rate, however small the gradient: 0.1 away, and across 0 and back
    assert max(path) > 0.04 and min(path) < -0.04
