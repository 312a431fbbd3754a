"""4.6 Saving and loading: parameters or the whole model, in memory or in a file

A state dict and a pickled model hold the same tensors; what differs is the code that must be found and called on
loading, and whether `load` may refuse it (`weights_only=False` trusts the file). The file system's share depends on
the machine: what was just written is read back from the operating system's cache, not from the disk.
"""

import io

import pytest
import torch
from torch import nn


@pytest.mark.comparison(
    size="bytes of the parameters",
    claims=["state-dict-round-trips", "whole-model-round-trips-with-plain-load", "state-dict-holds-parameters-only"],
)
@pytest.mark.parametrize("way", ["state_dict, memory", "model, memory", "state_dict, file", "model, file"])
@pytest.mark.parametrize("size", [10**4, 10**5, 10**6, 10**7])
def test_save_and_load(size, way, measure, tmp_path):
    width = round((size / 4) ** 0.5)
    net = nn.Linear(width, width, bias=False)
    whole, on_disk = way.startswith("model"), way.endswith("file")

    def save_and_load():
        place = tmp_path / "model.pt" if on_disk else io.BytesIO()
        torch.save(net if whole else net.state_dict(), place)
        if not on_disk:
            place.seek(0)
        if whole:
            return torch.load(place, weights_only=False)
        other = nn.Linear(width, width, bias=False)
        other.load_state_dict(torch.load(place, weights_only=True))
        return other

    loaded = measure(save_and_load, moved=4 * width * width * 2)
    assert torch.equal(loaded.weight, net.weight)
