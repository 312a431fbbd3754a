"""4.8 GPU computing: a table of operations with operands on two devices, in both orders, in place and with out=."""

import numpy as np
import pytest
import torch
from harness import capabilities
from populations import ANY, FLOATS, LAYOUTS, WRITABLE, agree, among, over, twins, untouched
from populations.comparing import host
from populations.mixing import INTO, OF_TWO, WRITES, current, host_twin, refused, spot
from populations.twins import NUMPY

claim = pytest.mark.claim

SHAPES = ((0,), (5,), (2, 3), (2, 3, 4, 5), (2, 1025))


def pairs(first, second, grad=False):
    """Two matrices of whole numbers, of float32, on two devices."""
    a = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=first, requires_grad=grad)
    return a, torch.tensor([[5.0, 6.0], [7.0, 8.0]], device=second, requires_grad=grad)


def places(two):
    """Where the two operands are: "cpu and gpu", and so on."""
    here, there, other = torch.device("cpu"), spot(), spot(second=True)
    return {"cpu, gpu": (here, there), "gpu, cpu": (there, here), "two": (there, other), "turned": (other, there)}[two]


# ── cpu-and-gpu-tensors-do-not-mix, different-gpus-do-not-mix ──


@claim("cpu-and-gpu-tensors-do-not-mix")
@over(operation=among(*OF_TWO), two=among("cpu, gpu", "gpu, cpu"))
def test_no_operation_takes_one_operand_from_the_cpu_and_one_from_the_gpu(accelerator, operation, two):
    first, second = places(two)
    a, b = pairs(first, second)

    with refused():
        OF_TWO[operation](a, b)
    # they differ in nothing but their place: together, on either side, they give the CPU's numbers
    expected = OF_TWO[operation](*pairs("cpu", "cpu")).numpy()
    for place in (first, second):
        together = OF_TWO[operation](a.to(place), b.to(place))
        assert together.device.type == place.type
        assert np.allclose(together.cpu().numpy(), expected, rtol=1e-5)  # 100 roundings of float32


@claim("different-gpus-do-not-mix")
@over(operation=among(*OF_TWO), two=among("two", "turned"), grad=among(False, True))
def test_no_operation_takes_operands_from_two_gpus(two_devices, operation, two, grad):
    first, second = places(two)
    a, b = pairs(first, second, grad)

    for place in (first, second):
        with current(place), refused():
            OF_TWO[operation](a, b)
    total = a.to(second) + b
    assert (total.device, total.tolist()) == (second, [[6, 8], [10, 12]])


@claim("cpu-and-gpu-tensors-do-not-mix")
@over(operation=among(*INTO), two=among("cpu, gpu", "gpu, cpu"))
def test_no_operation_writes_from_one_memory_into_the_other_and_a_refused_one_writes_nothing(
    accelerator, operation, two
):
    a, b = pairs(*places(two))
    with refused():
        INTO[operation](a, b)
    assert (a.tolist(), b.tolist()) == ([[1, 2], [3, 4]], [[5, 6], [7, 8]])


@claim("different-gpus-do-not-mix")
@over(operation=among(*INTO), two=among("two", "turned"))
def test_no_operation_writes_from_one_gpu_into_the_other(two_devices, operation, two):
    a, b = pairs(*places(two))
    with refused():
        INTO[operation](a, b)
    assert (a.tolist(), b.tolist()) == ([[1, 2], [3, 4]], [[5, 6], [7, 8]])


@claim("cpu-and-gpu-tensors-do-not-mix")
@over(twin=twins(ANY, shapes=((1,), (0,), (5,), (2, 3), (2, 3, 4, 5), (2, 1025))), two=among("here", "there"))
def test_no_dtype_layout_or_size_mixes(accelerator, twin, two):
    (here, array), (there, _) = host_twin(twin), twin
    pair = {"here": (here, there), "there": (there, here)}[two]

    with refused():
        torch.where(pair[0] == pair[0], *pair)
    with refused():
        torch.cat([each.view(1, *each.shape) for each in pair])
    with refused():
        pair[0] == pair[1]  # noqa: B015
    agree(here, array)
    agree(there, array)


# ── what crosses all the same ──

OF_A_NUMBER = {
    "x + n": (lambda x, n: x + n, lambda x, n: x + n),
    "n + x": (lambda x, n: n + x, lambda x, n: x + n),
    "x - n": (lambda x, n: x - n, lambda x, n: x - n),
    "n - x": (lambda x, n: n - x, lambda x, n: n - x),
    "x * n": (lambda x, n: x * n, lambda x, n: x * n),
    "n * x": (lambda x, n: n * x, lambda x, n: x * n),
    "x / n": (lambda x, n: x / n, lambda x, n: x / n),
    "n / x": (lambda x, n: n / (x * 0 + 4), lambda x, n: n / (x * 0 + 4)),
    "x ** n": (lambda x, n: x**n, lambda x, n: x**n),
    "x % n": (lambda x, n: x % n, lambda x, n: x % n),
    "torch.add": (lambda x, n: torch.add(x, n), lambda x, n: x + n),
    "maximum": (lambda x, n: torch.maximum(x, n), lambda x, n: np.maximum(x, n)),
    "x > n": (lambda x, n: x > n, lambda x, n: x > n),
    "where": (lambda x, n: torch.where(x > 2, x, n), lambda x, n: np.where(x > 2, x, n)),
    "mul_": (lambda x, n: x.clone().mul_(n), lambda x, n: x * n),
    "out": (lambda x, n: torch.mul(x, n, out=torch.empty_like(x)), lambda x, n: x * n),
    "fill_": (lambda x, n: x.clone().fill_(n), lambda x, n: np.full_like(x, n)),
}


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(twin=twins(FLOATS, LAYOUTS, SHAPES), form=among(*OF_A_NUMBER), of=among("number", "element", "sum"))
def test_a_zero_dimensional_cpu_tensor_mixes_as_a_python_number_would(accelerator, twin, form, of):
    x, array = twin
    two = {
        "number": torch.tensor(2.0, device="cpu"),
        "element": torch.tensor([[1.0, 2.0]], device="cpu")[0, 1],
        "sum": torch.tensor([1.0, 1.0], device="cpu").sum(),
    }[of]
    compute, rule = OF_A_NUMBER[form]
    result = compute(x, two)

    assert result.device == x.device
    assert result.dtype in (x.dtype, torch.bool)  # the number does not widen it
    agree(result, rule(array, array.dtype.type(2)))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(twin=twins(FLOATS, LAYOUTS, SHAPES, grad=(True,)))
def test_the_gradient_of_a_number_from_the_cpu_comes_back_to_the_cpu(accelerator, twin):
    x, array = twin.but(grad=True, values="positive", shape=twin.shape[:1])
    weight = torch.tensor(2.0, dtype=twin.dtype, device="cpu", requires_grad=True)

    (x * weight).sum().backward()
    assert weight.grad is not None
    assert (weight.grad.device.type, x.grad.device) == ("cpu", x.device)
    agree(weight.grad, array.sum())
    agree(x.grad, np.full_like(array, 2))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(shape=among((1,), (1, 1)), order=among(False, True), operation=among("a + b", "a * b", "a > b", "torch.maximum"))
def test_one_element_is_no_number_and_a_number_of_the_gpu_does_not_come(accelerator, shape, order, operation):
    ways = [
        (torch.ones(2, device=spot()), torch.ones(shape, device="cpu")),
        (torch.ones(2, device="cpu"), torch.tensor(2.0, device=spot())),
    ]
    for pair in ways:
        with refused():
            OF_TWO[operation](*(pair[::-1] if order else pair))


@claim("different-gpus-do-not-mix", truth=True)
@over(shape=among((), (1,)), order=among(False, True), operation=among("a + b", "a * b", "a > b", "torch.maximum"))
def test_not_even_a_single_number_crosses_between_gpus(two_devices, shape, order, operation):
    pair = torch.ones(2, device=two_devices[0]), torch.ones(shape, device=two_devices[1])
    with refused():
        OF_TWO[operation](*(pair[::-1] if order else pair))


def crossed(way, into, array, source):
    """Write ``source`` into the tensor ``into``, and see that it has its values there and nothing else is written, not
    into the source either, and that a column which crosses the same way fills each column of a square.
    """
    before = host(source).copy()
    WRITES[way](into, source)
    agree(into, array)
    untouched(into)
    agree(source, before)
    square = torch.zeros(3, 3, dtype=into.dtype, device=into.device)
    WRITES[way](square, torch.tensor([[1], [0], [1]], dtype=source.dtype, device=source.device))
    agree(square, np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1]]))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(twin=twins(ANY, WRITABLE), layout=among(*LAYOUTS), way=among(*WRITES))
def test_copies_into_any_layout_cross_both_ways(accelerator, twin, layout, way):
    other = twin.but(layout=layout, seed=twin.seed + 1)
    crossed(way, twin.tensor(twin.array()), other.array(), host_twin(other)[0])
    crossed(way, host_twin(twin)[0], other.array(), other.tensor(other.array()))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(
    twin=twins((*FLOATS, torch.int64, torch.uint8), WRITABLE, values=("positive",)),
    source=among(*FLOATS, torch.int64, torch.uint8, torch.bool),
    way=among(*WRITES),
)
def test_copies_into_another_dtype_cross_both_ways(accelerator, twin, source, way):
    other = twin.but(dtype=source, seed=twin.seed + 1)
    crossed(way, twin.tensor(twin.array()), other.array(), host_twin(other)[0])
    crossed(way, host_twin(twin)[0], other.array(), other.tensor(other.array()))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(twin=twins(FLOATS, WRITABLE, ranks=(1, 5)), way=among(*WRITES))
def test_a_number_or_a_row_of_the_cpu_fills_a_tensor_there(accelerator, twin, way):
    x, array = twin
    four = torch.tensor([3.0, 4.0], device="cpu")[1]
    crossed(way, x, np.full_like(array, 4), four)
    crossed(way, x, np.full_like(array, 3), torch.full(array.shape[-1:], 3.0, dtype=torch.float64, device="cpu"))
    here, there = host_twin(twin.but(shape=(2, 3, 5)))[0], twin.but(shape=(2, 3, 5), seed=twin.seed + 1)
    for into, numbers in ((here, there.tensor(there.array())), (there.tensor(there.array()), here.clone())):
        expected = host(numbers)
        for index in range(3):
            into[0][index], into[1, index] = numbers[0, index], numbers[1, index]
        for index in range(5):
            into[1][2][index] = numbers[1, 1, index]
        expected[1, 2] = expected[1, 1]
        agree(into, expected)
        untouched(into)


@claim("different-gpus-do-not-mix", truth=True)
@over(
    twin=twins(ANY, WRITABLE, values=("positive",)),
    layout=among(*LAYOUTS),
    way=among(*WRITES),
    source=among(None, torch.float16, torch.bool),
)
def test_copies_into_any_layout_and_dtype_cross_from_gpu_to_gpu(two_devices, twin, layout, way, source):
    dtype = source if source and capabilities.has("float16") else twin.dtype
    other = twin.but(layout=layout, dtype=dtype, seed=twin.seed + 1, second=not twin.second)
    crossed(way, twin.tensor(twin.array()), other.array().astype(NUMPY[twin.dtype]), other.tensor(other.array()))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(twin=twins(ANY, LAYOUTS, ((5,), (2, 3), (2, 3, 4, 5), (2, 1025))))
def test_indices_and_masks_of_the_cpu_select_from_a_tensor_there_and_write_to_it(accelerator, twin):
    x, array = twin
    rows, mask = torch.tensor([1, 0, -1], device="cpu"), torch.from_numpy(array != array.flat[0])

    for chosen, expected in ((x[rows], array[[1, 0, -1]]), (x[mask], array[array != array.flat[0]])):
        assert chosen.device == x.device
        agree(chosen, expected)
    copy = x.clone()
    copy[rows[:1]] = 0
    copy[mask] = 1
    expected = array.copy()
    expected[1] = 0
    expected[array != array.flat[0]] = 1
    agree(copy, expected)
