"""What several sections of chapter 3 share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import devices
from harness.fashion_mnist import BrokenDataSet, find, lay_out


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
