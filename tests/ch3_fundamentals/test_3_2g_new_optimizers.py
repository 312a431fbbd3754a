"""3.2 Linear regression in PyTorch: what a new optimizer costs

Building an optimizer is cheap, however large the network: it computes nothing and allocates no tensor. But a new one
starts without **state**: the sums and averages of earlier gradients, on which momentum, Adam and RMSprop live, are
lost.
"""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

claim = pytest.mark.claim

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
def test_a_new_optimizer_has_no_state_and_takes_another_step(optimizer_class, options, state, step, parameter):
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
def test_a_new_plain_sgd_takes_the_same_step_as_it_has_no_state_to_lose(step, parameter):
    w = parameter()
    old = torch.optim.SGD([w], lr=0.5)
    assert [step(old, w, 2.0), step(old, w, -1.0)] == [-1.0, 0.5]

    new = torch.optim.SGD([w], lr=0.5)

    assert step(new, w, 3.0) == -1.5


@claim("new-optimizer-loses-momentum")
def test_a_new_adam_makes_a_converged_parameter_oscillate(step):
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
def test_the_old_adam_keeps_a_converged_parameter_where_it_is(step):
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    old = torch.optim.Adam([w], lr=0.1)

    for _ in range(200):
        step(old, w, w.item())
    path = []
    for _ in range(10):
        step(old, w, w.item())
        path.append(abs(w.item()))

    assert max(path) < 1e-4
