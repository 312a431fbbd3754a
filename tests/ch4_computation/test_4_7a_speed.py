"""4.7 Devices: when a GPU is faster

A GPU has thousands of small arithmetic units where a CPU has a few large ones, so it wins when there is enough
independent work to occupy them: a product of large matrices, a training step of a wide network, a convolution over
a batch of images. Two costs stand against it. Every operation is a *kernel* that the CPU must launch, which takes
some microseconds however small the tensors are; and data in main memory must first be copied to the GPU. Each test
therefore sweeps a size, compares the *median* of repeated calls, waits for the device before it reads a clock, and
checks that both devices computed the same numbers: a fast wrong answer is worth nothing.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def matrix_product(size, device):
    """The product of two size x size matrices."""
    torch.manual_seed(0)
    a, b = torch.randn(2, size, size, device=CPU).to(device)
    return lambda: a @ b


def perceptron_step(size, device):
    """One step of training a perceptron with `size` inputs and hidden units on 256 examples; returns the loss."""
    torch.manual_seed(0)
    features, labels = (
        torch.randn(256, size, device=CPU).to(device),
        torch.arange(256, device=CPU).remainder(10).to(device),
    )
    layers = nn.Linear(size, size, device=CPU), nn.ReLU(), nn.Linear(size, 10, device=CPU)
    model = nn.Sequential(*layers).to(device)

    def step():
        loss = nn.functional.cross_entropy(model(features), labels)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients):
                parameter -= 0.1 * gradient
        return loss.detach()

    return step


def convolution(size, device):
    """A 3x3 convolution from 16 to 16 channels over 16 images of size x size pixels."""
    torch.manual_seed(0)
    images = torch.randn(16, 16, size, size, device=CPU).to(device)
    filters = torch.randn(16, 16, 3, 3, device=CPU).to(device)
    return lambda: nn.functional.conv2d(images, filters)


def assert_same_result(on_gpu, on_cpu):
    """Equal within 1 % of the result's spread.

    A GPU may round the factors of a convolution to TF32, whose ten bits of fraction make a relative error of at most
    2**-11 each. Over many products such errors average out: a sum is off by some 5e-4 of the spread of all sums,
    and by about five times as much in the worst of a million elements.
    """
    actual, expected = on_gpu(), on_cpu()
    assert actual.device.type == GPU.type
    spread = expected.abs().max().item() if expected.dim() == 0 else expected.std().item()
    torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=0.01 * spread)


def crossover(ratio):
    """The smallest size from which the GPU wins at every size measured; None if it loses at the largest."""
    winning = None
    for size in sorted(ratio, reverse=True):
        if ratio[size] <= 1:
            break
        winning = size
    return winning


@claim("gpu-outruns-cpu-on-large-work")
@pytest.mark.cuda
@pytest.mark.parametrize(
    ("prepare", "sizes"),
    [
        (matrix_product, (16, 64, 256, 1024)),
        (perceptron_step, (16, 64, 256, 1024)),
        (convolution, (8, 16, 32, 64, 128)),
    ],
)
def test_the_gpu_is_faster_at_the_largest_size(prepare, sizes, median_seconds, record_property):
    ratio = {}
    for size in sizes:
        on_cpu, on_gpu = prepare(size, CPU), prepare(size, GPU)
        assert_same_result(on_gpu, on_cpu)
        assert_same_result(on_gpu, on_cpu)  # the second training step starts from what the first one wrote
        ratio[size] = median_seconds(on_cpu, CPU) / median_seconds(on_gpu, GPU)
    record_property("cpu_time_over_gpu_time", {size: round(times, 3) for size, times in ratio.items()})
    record_property("gpu_wins_from_size", crossover(ratio))
    record_property("cpu_threads", torch.get_num_threads())
    assert ratio[max(sizes)] > 1


@claim("gpu-outruns-cpu-on-large-work", truth=True)
@pytest.mark.cuda
def test_launching_a_kernel_costs_more_than_a_tiny_product(median_seconds, record_property):
    """The matrices are on the GPU already: 512 multiplications are simply less work than one launch."""
    on_cpu, on_gpu = matrix_product(8, CPU), matrix_product(8, GPU)
    assert_same_result(on_gpu, on_cpu)
    ratio = median_seconds(on_cpu, CPU) / median_seconds(on_gpu, GPU)
    record_property("cpu_time_over_gpu_time", round(ratio, 3))
    assert ratio < 1


@claim("gpu-outruns-cpu-on-large-work", truth=True)
@pytest.mark.cuda
def test_moving_small_data_costs_more_than_computing_with_it(median_seconds, record_property):
    """The images start and the result ends in main memory, so the GPU pays for two copies as well."""
    images, filters = torch.randn(2, 16, 8, 8, device=CPU), torch.randn(16, 16, 3, 3, device=CPU)

    def on_cpu():
        return nn.functional.conv2d(images, filters)

    def there_and_back():
        return nn.functional.conv2d(images.to(GPU), filters.to(GPU)).to(CPU)

    tolerance = 0.01 * on_cpu().std().item()  # as in assert_same_result
    torch.testing.assert_close(there_and_back(), on_cpu(), rtol=0, atol=tolerance)
    ratio = median_seconds(on_cpu, CPU) / median_seconds(there_and_back, GPU)
    record_property("cpu_time_over_gpu_time", round(ratio, 3))
    assert ratio < 1
