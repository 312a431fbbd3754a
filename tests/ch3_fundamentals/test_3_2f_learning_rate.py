"""3.2 Linear regression in PyTorch: changing the learning rate

A large learning rate makes fast progress at first, a small one settles near the minimum, so one often lowers the rate
during training. The rate is an entry of each of the optimizer's `param_groups` and can be edited there; the
**schedulers** of `torch.optim.lr_scheduler` do that by a rule. One can also build a new optimizer with another rate.
That costs next to nothing, but the new one starts without **state**: the sums and averages of earlier gradients, which
momentum, Adam and RMSprop live on, are lost.
"""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils._python_dispatch import TorchDispatchMode

claim = pytest.mark.claim


def step(optimizer, w, gradient):
    """Take a step at a given gradient and return the change of the parameter."""
    before = w.item()
    w.grad = torch.tensor(gradient, dtype=torch.float64)
    optimizer.step()
    return w.item() - before


def parameter():
    return torch.tensor(0.0, dtype=torch.float64, requires_grad=True)


# ── learning-rate-can-be-edited-in-place ──


@claim("learning-rate-can-be-edited-in-place")
def test_a_tenth_of_the_learning_rate_makes_steps_a_tenth_as_long():
    w = parameter()
    optimizer = torch.optim.SGD([w], lr=0.5)
    assert step(optimizer, w, 8.0) == -4.0

    for group in optimizer.param_groups:
        group["lr"] *= 0.1

    assert step(optimizer, w, 8.0) == pytest.approx(-0.4, rel=1e-12)
    assert step(optimizer, w, 8.0) == pytest.approx(-0.4, rel=1e-12)


@claim("learning-rate-can-be-edited-in-place")
def test_an_edit_of_one_group_leaves_the_others():
    first, second = parameter(), parameter()
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=0.5)

    optimizer.param_groups[1]["lr"] = 0.125
    first.grad, second.grad = torch.ones_like(first), torch.ones_like(second)
    optimizer.step()

    assert [first.item(), second.item()] == [-0.5, -0.125]


@claim("learning-rate-can-be-edited-in-place")
@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_an_edit_scales_the_steps_of_any_optimizer_and_nothing_else(optimizer_class):
    edited, constant = parameter(), parameter()
    first, second = optimizer_class([edited], lr=0.5), optimizer_class([constant], lr=0.5)
    assert step(first, edited, 2.0) == step(second, constant, 2.0)

    first.param_groups[0]["lr"] = 0.125

    for gradient in [-1.0, 0.5, 3.0]:
        assert step(first, edited, gradient) == pytest.approx(step(second, constant, gradient) / 4)


@claim("learning-rate-can-be-edited-in-place")
def test_an_edit_keeps_the_momentum():
    """With momentum 0.5 the decaying sums of gradients of 1 are 1, 1.5, 1.75."""
    w = parameter()
    optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
    assert [step(optimizer, w, 1.0), step(optimizer, w, 1.0)] == [-1.0, -1.5]

    optimizer.param_groups[0]["lr"] = 0.25

    assert step(optimizer, w, 1.0) == -0.25 * 1.75


# ── building-a-new-optimizer-is-the-recommended-way ──


@claim("building-a-new-optimizer-is-the-recommended-way")
def test_a_new_optimizer_with_a_lower_rate_goes_on_as_the_old_one_would_at_that_rate():
    w = parameter()
    old = torch.optim.SGD([w], lr=1.0, momentum=0.5)
    step(old, w, 1.0)
    step(old, w, 1.0)

    new = torch.optim.SGD([w], lr=0.25, momentum=0.5)

    assert step(new, w, 1.0) == -0.25 * 1.75


@claim("building-a-new-optimizer-is-the-recommended-way", truth=True)
def test_a_new_optimizer_starts_without_momentum():
    w = parameter()
    old = torch.optim.SGD([w], lr=1.0, momentum=0.5)
    assert [step(old, w, 1.0), step(old, w, 1.0)] == [-1.0, -1.5]

    new = torch.optim.SGD([w], lr=0.25, momentum=0.5)

    assert len(new.state) == 0
    assert step(new, w, 1.0) == -0.25 * 1.0


@claim("building-a-new-optimizer-is-the-recommended-way", truth=True)
def test_a_scheduler_lowers_the_rate_and_keeps_the_momentum():
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
def test_a_scheduler_equals_editing_the_rate_step_by_step(optimizer_class, options):
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
def test_a_scheduler_lowers_the_rate_of_every_group():
    first, second = parameter(), parameter()
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 8.0}], lr=1.0)
    scheduler = StepLR(optimizer, step_size=2, gamma=0.25)

    rates = []
    for _ in range(5):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()

    assert rates == [[1.0, 8.0], [1.0, 8.0], [0.25, 2.0], [0.25, 2.0], [0.0625, 0.5]]


# ── new-optimizer-is-cheap ──


class OperatorCalls(TorchDispatchMode):
    """Counts the tensor operations that torch runs while it is entered."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


@claim("new-optimizer-is-cheap")
@pytest.mark.parametrize(
    ("optimizer_class", "options"),
    [
        (torch.optim.SGD, {}),
        (torch.optim.SGD, {"momentum": 0.9}),
        (torch.optim.Adam, {}),
        (torch.optim.AdamW, {}),
        (torch.optim.RMSprop, {"momentum": 0.9}),
    ],
)
def test_building_an_optimizer_runs_no_tensor_operation(optimizer_class, options):
    """So it also allocates no tensor. A step of the same network runs some."""
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    with OperatorCalls() as building:
        optimizer = optimizer_class(net.parameters(), lr=0.03, **options)
    net(torch.ones(1, 64)).sum().backward()
    with OperatorCalls() as stepping:
        optimizer.step()

    assert building.count == 0
    assert stepping.count > 0


@claim("new-optimizer-is-cheap")
@pytest.mark.parametrize("size", [100, 1_000, 10_000, 100_000, 1_000_000])
def test_building_an_optimizer_costs_the_same_for_parameters_of_any_size(size):
    """The first step of Adam starts with its state, as large as the parameter twice over; building makes nothing."""
    w = torch.ones(size, requires_grad=True)
    w.grad = torch.ones(size)

    with OperatorCalls() as building:
        optimizer = torch.optim.Adam([w])
    built = sum(value.numel() for value in optimizer.state[w].values())
    optimizer.step()
    # Adam's count of steps, which has no dimension, is left out.
    after_a_step = sum(value.numel() for value in optimizer.state[w].values() if value.dim() > 0)

    assert building.count == 0
    assert (built, after_a_step) == (0, 2 * size)


@claim("new-optimizer-is-cheap")
def test_adam_allocates_its_state_at_the_first_step_and_none_when_built():
    """Two running means for each parameter: twice the parameters' own memory."""
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(net.parameters())
    assert optimizer.state_dict()["state"] == {}

    net(torch.ones(1, 64)).sum().backward()
    optimizer.step()

    # Adam's counts of steps, which have no dimension, are left out.
    elements = sum(value.numel() for state in optimizer.state.values() for value in state.values() if value.dim() > 0)
    assert elements == 2 * (64 * 32 + 32 + 32 * 10 + 10)


@claim("new-optimizer-is-cheap")
def test_plain_sgd_allocates_no_state_at_all():
    net = nn.Linear(64, 32)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03)

    net(torch.ones(1, 64)).sum().backward()
    optimizer.step()

    assert [value for state in optimizer.state.values() for value in state.values() if value is not None] == []


# ── new-optimizer-loses-momentum ──


@claim("new-optimizer-loses-momentum")
@pytest.mark.parametrize(
    ("optimizer_class", "options", "state"),
    [
        (torch.optim.SGD, {"momentum": 0.9}, {"momentum_buffer"}),
        (torch.optim.Adam, {}, {"step", "exp_avg", "exp_avg_sq"}),
        (torch.optim.RMSprop, {}, {"step", "square_avg"}),
    ],
)
def test_a_new_optimizer_has_no_state_and_takes_another_step(optimizer_class, options, state):
    rebuilt, kept = parameter(), parameter()
    old, undisturbed = (optimizer_class([w], lr=0.5, **options) for w in (rebuilt, kept))
    for gradient in [2.0, -1.0, 0.5]:
        assert step(old, rebuilt, gradient) == step(undisturbed, kept, gradient)
    assert set(old.state[rebuilt]) >= state

    new = optimizer_class([rebuilt], lr=0.5, **options)

    assert len(new.state) == 0
    # The steps are -0.5 and -1.05 with SGD, -0.5 and -0.24 with Adam, -5.0 and -2.0 with RMSprop.
    assert abs(step(new, rebuilt, 1.0) - step(undisturbed, kept, 1.0)) > 0.05


@claim("new-optimizer-loses-momentum")
def test_a_new_plain_sgd_takes_the_same_step_as_it_has_no_state_to_lose():
    w = parameter()
    old = torch.optim.SGD([w], lr=0.5)
    assert [step(old, w, 2.0), step(old, w, -1.0)] == [-1.0, 0.5]

    new = torch.optim.SGD([w], lr=0.5)

    assert step(new, w, 3.0) == -1.5


@claim("new-optimizer-loses-momentum")
def test_a_new_adam_makes_a_converged_parameter_oscillate():
    """Without memory, the first step of Adam is the learning rate long, however small the gradient is."""
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    old = torch.optim.Adam([w], lr=0.1)
    for _ in range(200):
        step(old, w, w.item())  # w is the gradient of w**2 / 2
    converged = abs(w.item())

    new = torch.optim.Adam([w], lr=0.1)
    path = []
    for _ in range(10):
        step(new, w, w.item())
        path.append(w.item())

    assert converged < 1e-4
    # The path starts at 0.1, the learning rate, swings to -0.08 and back to 0.05.
    assert max(path) > 0.03
    assert min(path) < -0.03


@claim("new-optimizer-loses-momentum")
def test_the_old_adam_keeps_a_converged_parameter_where_it_is():
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    old = torch.optim.Adam([w], lr=0.1)

    for _ in range(200):
        step(old, w, w.item())
    path = []
    for _ in range(10):
        step(old, w, w.item())
        path.append(abs(w.item()))

    assert max(path) < 1e-4
