"""3.2 Linear regression in PyTorch: changing the learning rate

A large learning rate makes fast progress at first, a small one settles near the minimum, so one often lowers the rate
during training. The rate is an entry of each of the optimizer's `param_groups` and can be edited there; the
**schedulers** of `torch.optim.lr_scheduler` do that by a rule. Building a new optimizer with another rate is often
recommended instead; it goes on as the old one would only where the old one keeps nothing of earlier gradients.
"""

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

claim = pytest.mark.claim

# ── learning-rate-can-be-edited-in-place ──


@claim("learning-rate-can-be-edited-in-place")
def test_a_tenth_of_the_learning_rate_makes_steps_a_tenth_as_long(step, parameter):
    w = parameter()
    optimizer = torch.optim.SGD([w], lr=0.5)
    assert step(optimizer, w, 8.0) == -4.0

    for group in optimizer.param_groups:
        group["lr"] *= 0.1

    assert step(optimizer, w, 8.0) == pytest.approx(-0.4, rel=1e-12)
    assert step(optimizer, w, 8.0) == pytest.approx(-0.4, rel=1e-12)


@claim("learning-rate-can-be-edited-in-place")
def test_an_edit_of_one_group_leaves_the_others(parameter):
    first, second = parameter(), parameter()
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=0.5)

    optimizer.param_groups[1]["lr"] = 0.125
    first.grad, second.grad = torch.ones_like(first), torch.ones_like(second)
    optimizer.step()

    assert [first.item(), second.item()] == [-0.5, -0.125]


@claim("learning-rate-can-be-edited-in-place")
@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_an_edit_scales_the_steps_of_any_optimizer_and_nothing_else(optimizer_class, step, parameter):
    edited, constant = parameter(), parameter()
    first, second = optimizer_class([edited], lr=0.5), optimizer_class([constant], lr=0.5)
    assert step(first, edited, 2.0) == step(second, constant, 2.0)

    first.param_groups[0]["lr"] = 0.125

    for gradient in [-1.0, 0.5, 3.0]:
        assert step(first, edited, gradient) == pytest.approx(step(second, constant, gradient) / 4)


@claim("learning-rate-can-be-edited-in-place")
def test_an_edit_keeps_the_momentum(step, parameter):
    """With momentum 0.5 the decaying sums of gradients of 1 are 1, 1.5, 1.75."""
    w = parameter()
    optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
    assert [step(optimizer, w, 1.0), step(optimizer, w, 1.0)] == [-1.0, -1.5]

    optimizer.param_groups[0]["lr"] = 0.25

    assert step(optimizer, w, 1.0) == -0.25 * 1.75


# ── building-a-new-optimizer-is-the-recommended-way ──


@claim("building-a-new-optimizer-is-the-recommended-way")
def test_a_new_optimizer_with_a_lower_rate_goes_on_as_the_old_one_would_at_that_rate(step, parameter):
    w = parameter()
    old = torch.optim.SGD([w], lr=1.0, momentum=0.5)
    step(old, w, 1.0)
    step(old, w, 1.0)

    new = torch.optim.SGD([w], lr=0.25, momentum=0.5)

    assert step(new, w, 1.0) == -0.25 * 1.75


@claim("building-a-new-optimizer-is-the-recommended-way", truth=True)
def test_a_new_optimizer_starts_without_momentum(step, parameter):
    w = parameter()
    old = torch.optim.SGD([w], lr=1.0, momentum=0.5)
    assert [step(old, w, 1.0), step(old, w, 1.0)] == [-1.0, -1.5]

    new = torch.optim.SGD([w], lr=0.25, momentum=0.5)

    assert len(new.state) == 0
    assert step(new, w, 1.0) == -0.25 * 1.0


@claim("building-a-new-optimizer-is-the-recommended-way", truth=True)
def test_a_scheduler_lowers_the_rate_and_keeps_the_momentum(step, parameter):
    w = parameter()
    optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
    scheduler = StepLR(optimizer, step_size=2, gamma=0.25)

    changes = []
    for _ in range(5):
        changes.append(step(optimizer, w, 1.0))
        scheduler.step()

    assert changes == [-1.0, -1.5, -1.75 / 4, -1.875 / 4, -1.9375 / 16]


@claim("building-a-new-optimizer-is-the-recommended-way", truth=True)
@pytest.mark.parametrize(
    ("optimizer_class", "options"),
    [(torch.optim.SGD, {"momentum": 0.9}), (torch.optim.Adam, {}), (torch.optim.RMSprop, {})],
)
def test_a_scheduler_equals_editing_the_rate_step_by_step(optimizer_class, options, step, parameter):
    scheduled, edited, constant = parameter(), parameter(), parameter()
    first, second, third = (optimizer_class([w], lr=0.5, **options) for w in (scheduled, edited, constant))
    scheduler = StepLR(first, step_size=3, gamma=0.1)

    for count, gradient in enumerate([2.0, -1.0, 0.5, 3.0, -4.0, 0.25, 1.0], start=1):
        change = step(first, scheduled, gradient)
        scheduler.step()
        step(second, edited, gradient)
        second.param_groups[0]["lr"] *= 0.1 if count % 3 == 0 else 1.0
        assert scheduled.item() == edited.item()
        # Nothing but the rate changes: the sums and averages are those of an optimizer that keeps its rate.
        assert change == pytest.approx(step(third, constant, gradient) * 0.1 ** ((count - 1) // 3))

    assert first.param_groups[0]["lr"] == pytest.approx(0.005)


@claim("building-a-new-optimizer-is-the-recommended-way", truth=True)
def test_a_scheduler_lowers_the_rate_of_every_group(parameter):
    first, second = parameter(), parameter()
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 8.0}], lr=1.0)
    scheduler = StepLR(optimizer, step_size=2, gamma=0.25)

    rates = []
    for _ in range(5):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()

    assert rates == [[1.0, 8.0], [1.0, 8.0], [0.25, 2.0], [0.25, 2.0], [0.0625, 0.5]]
