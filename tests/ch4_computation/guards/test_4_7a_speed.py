"""4.7 GPU computing: when a GPU is faster

A GPU has thousands of small arithmetic units where a CPU has a few large ones, so it wins when there is enough
independent work to occupy them: a product of large matrices, a training step of a wide network, a convolution over
a batch of images. Two costs stand against it. Every operation is a *kernel* that the CPU must launch, which takes
some microseconds however small the tensors are; and data in main memory must first be copied to the GPU. Each test
therefore sweeps a size, gives the CPU all its cores, lets the GPU itself note the times (harness/timing.py), and checks
that both devices computed the same numbers: a fast wrong answer is worth nothing.
"""

import os
import time

import pytest
import torch
from harness.measured import rounded
from harness.timing import crossover, seconds_per_call
from torch import nn

claim = pytest.mark.claim

CPU = torch.device("cpu")


@pytest.fixture
def all_cores():
    """Lets torch use every core that this process may use; returns how many. (Tests otherwise run on one.)"""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(count)
    return count


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
    assert (actual.device.type, expected.device.type) == ("cuda", "cpu")
    spread = expected.abs().max().item() if expected.dim() == 0 else expected.std().item()
    torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=0.01 * spread)


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
def test_the_gpu_is_faster_at_the_largest_size(accelerator, all_cores, prepare, sizes, record_property):
    ratio = {}
    for size in sizes:
        on_cpu, on_gpu = prepare(size, CPU), prepare(size, accelerator)
        assert_same_result(on_gpu, on_cpu)
        assert_same_result(on_gpu, on_cpu)  # the second training step starts from what the first one wrote
        ratio[size] = seconds_per_call(on_cpu, CPU) / seconds_per_call(on_gpu, accelerator)
    record_property("crossover", crossover(ratio))
    record_property("cpu_time_over_gpu_time", {str(size): rounded(times) for size, times in ratio.items()})
    record_property("cpu_threads", all_cores)
    assert ratio[max(sizes)] > 1


@claim("gpu-outruns-cpu-on-large-work", truth=True)
@pytest.mark.cuda
def test_moving_small_data_costs_more_than_computing_with_it(accelerator, all_cores, record_property):
    """The matrices start and the product ends in main memory, so the GPU pays for three copies as well."""
    a, b = torch.randn(2, 32, 32, device=CPU)

    def on_cpu():
        return a @ b

    def there_and_back():
        return (a.to(accelerator) @ b.to(accelerator)).to(CPU)

    torch.testing.assert_close(there_and_back(), on_cpu(), rtol=0, atol=0.01 * on_cpu().std().item())
    ratio = seconds_per_call(on_cpu, CPU) / seconds_per_call(there_and_back, accelerator)
    record_property("cpu_time_over_gpu_time", {"32": rounded(ratio)})
    assert ratio < 1


@claim("gpu-outruns-cpu-on-large-work", truth=True)
@pytest.mark.cuda
def test_a_clock_read_without_waiting_sees_the_launch_alone(accelerator, record_property):
    """A product of 4096 x 4096 matrices takes 137e9 operations: a millisecond or more on any GPU of today.

    Launching it takes microseconds. Who reads the clock then would find the GPU, and any other, a hundred times faster
    than it is.
    """
    work = matrix_product(4096, accelerator)
    true = seconds_per_call(work, accelerator)
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    without_waiting = time.perf_counter() - start
    torch.cuda.synchronize()
    with_waiting = time.perf_counter() - start
    record_property("seconds", {"true": rounded(true), "without waiting": rounded(without_waiting)})
    assert without_waiting < true / 2 < with_waiting
