"""The simulated accelerator with a queue, as a GPU has one. Collected only under --device sim."""

import pytest
import torch
from harness import sim
from torch import nn

FIRST = torch.device("sim:0")


@pytest.fixture
def queued(monkeypatch):
    """As with --sim-async."""
    monkeypatch.setattr(sim.queue, "on", True)
    yield
    sim.queue.error = ""
    sim.queue.work()


def test_a_copy_to_the_cpu_is_rubbish_until_somebody_waits(queued):
    x = torch.tensor([1.0, 2.0], device=FIRST)
    back = x.to("cpu", non_blocking=True)
    x.zero_()  # later in the queue
    assert back.isnan().all()
    torch.sim.synchronize()
    assert back.tolist() == [1, 2]


def test_a_copy_to_the_device_reads_its_source_late(queued):
    source = torch.tensor([1, 2], device="cpu")
    there = source.to(FIRST, non_blocking=True)
    source.zero_()
    assert (there + 1).tolist() == [1, 1]


@pytest.mark.parametrize("wait", [lambda x: torch.sim.synchronize(), lambda x: x.cpu(), lambda x: x.sum().item()])
def test_who_waits_has_the_values(queued, wait):
    source = torch.tensor([1, 2], device="cpu")
    there = source.to(FIRST, non_blocking=True)
    wait(there)
    source.zero_()
    assert there.tolist() == [1, 2]


def test_an_event_waits(queued):
    back = torch.tensor([True, False], device=FIRST).to("cpu", non_blocking=True)
    event = torch.sim.Event()
    event.record()
    event.synchronize()
    assert back.tolist() == [True, False]


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x[torch.tensor([5], device=FIRST)],
        lambda x: x.index_select(0, torch.tensor([5], device=FIRST)),
        lambda x: x.gather(0, torch.tensor([5], device=FIRST)),
        lambda x: nn.functional.embedding(torch.tensor([5], device=FIRST), x[:, None]),
        lambda x: nn.functional.nll_loss(x[None], torch.tensor([5], device=FIRST)),
    ],
)
def test_an_index_out_of_range_is_told_late(queued, operation):
    result = operation(torch.tensor([1.0, 2.0, 3.0], device=FIRST))
    assert result.device == FIRST
    with pytest.raises(RuntimeError, match="sim: device-side assert triggered: "):
        torch.sim.synchronize()
    torch.sim.synchronize()


def test_what_the_form_alone_tells_is_refused_at_once(queued):
    x = torch.ones(2, 3, device=FIRST)
    with pytest.raises(RuntimeError, match="must match the size"):
        x + torch.ones(2, 2, device=FIRST)
    with pytest.raises(IndexError, match="Dimension out of range"):
        x.index_select(7, torch.tensor([0], device=FIRST))
