"""4.7 The CPU and an accelerator: the same work, over sizes

An accelerator needs microseconds to launch any work at all and then does much of it at once, so that the two lines
cross. Name the accelerator with --device; without one, only the CPU's line is drawn. The product of matrices is the
classic cubic: eight times the time for twice the side. How close it comes to what the processor can do is told by
NumPy's product, which calls a library made for that processor.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

CPU = pytest.param("cpu", marks=pytest.mark.cpu)
CLAIMS = ["gpu-outruns-cpu-on-large-work"]


@pytest.fixture(autouse=True)
def not_tried_without_an_accelerator(way, request):
    if "accelerator" in way:
        request.getfixturevalue("accelerator")


def numbers(*shape):
    """Standard normal numbers as an array, and as a tensor on the device that the test runs on."""
    array = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return array, torch.tensor(array)


def assert_same(result, expected):
    """Equal within 1 % of the spread: accelerators may round the factors of a sum to ten bits (TF32), whose errors
    largely cancel.
    """
    np.testing.assert_allclose(torch.as_tensor(result).cpu(), expected, rtol=0, atol=0.01 * expected.std())


@pytest.mark.comparison(size="side of the matrices", claims=CLAIMS)
@pytest.mark.parametrize("way", [CPU, "accelerator", pytest.param("numpy", marks=pytest.mark.cpu)])
@pytest.mark.parametrize("size", [16, 32, 64, 128, 256, 512, 1024])
def test_matrix_product(size, way, measure):
    array, matrix = numbers(size, size)
    product = measure(lambda: array @ array if way == "numpy" else matrix @ matrix, operations=2 * size**3)
    assert_same(product, array.astype(np.float64) @ array)


@pytest.mark.comparison(size="inputs and hidden units", claims=[*CLAIMS, "training-runs-on-gpu"])
@pytest.mark.parametrize("way", [CPU, "accelerator"])
@pytest.mark.parametrize("size", [16, 64, 256, 1024])
def test_perceptron_step(size, way, measure):
    """The gradients of a squared loss on 256 examples, forward and backward."""
    x, features = numbers(256, size)
    v, hidden = numbers(size, size)
    w, output = numbers(size, 1)
    hidden.requires_grad_()
    output.requires_grad_()

    def step():
        loss = (F.relu(features @ hidden) @ output).square().mean() / 2
        return torch.autograd.grad(loss, [hidden, output])

    of_hidden, of_output = measure(step, operations=2 * 256 * size * (2 * size + 3))
    x, v, w = x.astype(np.float64), v.astype(np.float64), w.astype(np.float64)
    active = np.maximum(x @ v, 0)
    error = active @ w / 256
    assert_same(of_hidden, x.T @ (error @ w.T * (active > 0)))
    assert_same(of_output, active.T @ error)


@pytest.mark.comparison(size="pixels of an image's side", claims=CLAIMS)
@pytest.mark.parametrize("way", [CPU, "accelerator"])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_convolution(size, way, measure):
    """Sixteen images of sixteen channels, with sixteen filters of 3x3."""
    images, tensor = numbers(16, 16, size, size)
    filters, kernel = numbers(16, 16, 3, 3)
    result = measure(lambda: F.conv2d(tensor, kernel), operations=2 * 16**3 * 9 * (size - 2) ** 2)
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(2, 3))
    assert_same(result, np.einsum("nchwij,fcij->nfhw", windows, filters, optimize=True))


@pytest.mark.comparison(size="bytes moved", claims=["to-moves-between-cpu-and-gpu"])
@pytest.mark.parametrize("way", [CPU, "to the accelerator", "from the accelerator"])
@pytest.mark.parametrize("size", [10**3, 10**4, 10**5, 10**6, 10**7, 10**8])
def test_transfer(size, way, measure, device):
    """Beside a copy within the CPU's memory."""
    source, target = {
        "cpu": ("cpu", "cpu"),
        "to the accelerator": ("cpu", device),
        "from the accelerator": (device, "cpu"),
    }[way]
    array, tensor = numbers(size // 4)
    tensor = tensor.to(source)
    moved = measure(lambda: tensor.to(target, copy=True), moved=2 * size)
    assert np.array_equal(moved.cpu(), array)
