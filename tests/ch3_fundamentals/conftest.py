"""What several sections of chapter 3 share."""

import pytest
import torch


@pytest.fixture
def generator(device):
    """A random number generator on the device under test, seeded from the test's own seed.

    A shuffling `DataLoader` draws its order on torch's default device, so it needs a generator of that device.
    """
    return torch.Generator(device).manual_seed(torch.initial_seed())
