"""2.6 and 2.8 Autograd: what tracking costs, and what writing in place saves

Under `no_grad` an operation computes as before but leaves out the node of the graph, a fixed price for each
operation that shows on small tensors only. `inference_mode` also leaves out the bookkeeping that would let a result
join a graph later. Writing in place needs no new memory; for large tensors, getting that memory from the operating
system may cost more than the computation.
"""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn


@pytest.mark.comparison(size="examples", claims=["requires-grad-tracks-operations", "no-grad-stops-tracking"])
@pytest.mark.parametrize("way", ["tracked", "no_grad", "inference_mode"])
@pytest.mark.parametrize("size", [1, 10, 100, 1000, 10_000])
def test_forward_pass(size, way, measure):
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    x = torch.randn(size, 64)
    mode = {"tracked": contextlib.nullcontext, "no_grad": torch.no_grad, "inference_mode": torch.inference_mode}[way]

    def forward():
        with mode():
            return net(x)

    result = measure(forward, operations=2 * size * (64 * 64 + 64 * 10))
    first, second = net[0], net[2]
    expected = (x @ first.weight.t() + first.bias).clamp(min=0) @ second.weight.t() + second.bias
    torch.testing.assert_close(result, expected, check_device=False)
    assert result.requires_grad == (way == "tracked")


@pytest.mark.comparison(size="bytes of the tensor")
@pytest.mark.parametrize("way", ["clamp", "clamp_", "clamp with out="])
@pytest.mark.parametrize("size", [10**3, 10**4, 10**5, 10**6, 10**7, 10**8])
def test_in_place(size, way, measure):
    """Clamping what is clamped already changes nothing, so every call has the same result."""
    x = torch.linspace(-1, 2, size // 4)
    expected = np.clip(x.cpu().numpy(), 0, 1)
    target = torch.empty_like(x)
    ways = {
        "clamp": lambda: x.clamp(0, 1),
        "clamp_": lambda: x.clamp_(0, 1),
        "clamp with out=": lambda: torch.clamp(x, 0, 1, out=target),
    }
    result = measure(ways[way], moved=2 * size)
    assert np.array_equal(result.cpu(), expected)
