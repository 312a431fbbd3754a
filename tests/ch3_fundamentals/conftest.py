"""What several sections of chapter 3 share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import devices
from harness.fashion_mnist import BrokenDataSet, find, lay_out


@pytest.fixture
def generator(device):
    """A random number generator on the device under test, seeded from the test's own seed.

    A shuffling `DataLoader` draws its order on torch's default device, so it needs a generator of that device.
    """
    import torch  # here, so that a process that only hands tests out to workers need not import it

    return torch.Generator(device).manual_seed(torch.initial_seed())


@pytest.fixture
def parameter():
    """Makes parameters: ``parameter()`` is a leaf that requires a gradient, zero, of no dimension and float64."""
    import torch

    return lambda: torch.tensor(0.0, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def step():
    """``step(optimizer, w, gradient)`` takes a step at that gradient and returns the change of ``w``.

    Gradient and change are numbers; ``w`` is a parameter of one element, in float64.
    """
    import torch

    def change(optimizer, w, gradient):
        before = w.item()
        w.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        return w.item() - before

    return change


@pytest.fixture(scope="session")
def fashion_mnist(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of an intact Fashion-MNIST, to be read with torchvision.datasets.FashionMNIST(root).

    Zalando's 60000 training and 10000 test images, 28x28 pixels of one byte, in ten classes, from the folder named by
    --fashion-mnist or from the usual places (harness/fashion_mnist.py). Where there is no data set the test is not
    tried; a broken one is an error.
    """
    problem = ""
    folder = tmp_path_factory.mktemp("fashion-mnist")
    try:
        found = find(request.config.getoption("--fashion-mnist"))
        if isinstance(found, str):
            devices.stand_aside("fashion-mnist", found, request.config)
        root = lay_out(found, folder)
    except BrokenDataSet as error:
        problem = str(error)
    if problem:
        pytest.fail(problem, pytrace=False)  # outside of the except block, so that the line stands alone
    yield root
    shutil.rmtree(folder)  # 50 MB
