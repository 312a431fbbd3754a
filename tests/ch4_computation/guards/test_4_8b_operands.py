"""4.8 GPU computing: a table of operations with operands on two devices, in both orders, in place and with out=."""

import itertools
import operator

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, LAYOUTS, WHOLE, WRITABLE, Twin, agree, among, each, over, twins
from populations.comparing import accepted, host, untouched
from populations.journeys import CPU, WRITES, current, host_twin, spot
from populations.mixing import INTO, OF_TWO, refused
from populations.twins import FEW, NUMPY

claim = pytest.mark.claim

SHAPES = ((0,), (5,), (2, 3), (2, 3, 4, 5), (2, 1025))
WITH_ONE = among("a + b", "a * b", "a > b", "torch.maximum", "mul_")
HALF_HERE, BOTH_THERE = each("cpu, gpu", "gpu, cpu"), each("two", "turned")


def places(two):
    """Where the two operands are."""
    there, other = spot(), spot(second=True)
    return {"cpu, gpu": (CPU, there), "gpu, cpu": (there, CPU), "two": (there, other), "turned": (other, there)}[two]


def pairs(first, second, grad=False):
    """Two matrices of whole numbers, of float32, on two devices."""
    a = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=first, requires_grad=grad)
    return a, torch.tensor([[5.0, 6.0], [7.0, 8.0]], device=second, requires_grad=grad)


@claim("cpu-and-gpu-tensors-do-not-mix")
@over(EVERY_MODE, operation=among(*OF_TWO), two=HALF_HERE)
def test_no_operation_takes_one_operand_from_the_cpu_and_one_from_the_gpu(accelerator, operation, two):
    first, second = places(two)
    a, b = pairs(first, second)

    with refused():
        OF_TWO[operation](a, b)
    # they differ in nothing but their place: together, on either side, they give the CPU's numbers
    expected = OF_TWO[operation](*pairs(CPU, CPU)).numpy()
    for place in (first, second):
        together = OF_TWO[operation](a.to(place), b.to(place))
        assert together.device.type == place.type
        assert np.allclose(together.cpu().numpy(), expected, rtol=1e-5)  # 100 roundings of float32


@claim("different-gpus-do-not-mix")
@over(EVERY_MODE, operation=among(*OF_TWO), two=BOTH_THERE, grad=among(False, True))
def test_no_operation_takes_operands_from_two_gpus(two_devices, operation, two, grad):
    first, second = places(two)
    a, b = pairs(first, second, grad)
    for place in (first, second):
        with current(place), refused():
            OF_TWO[operation](a, b)
    together = OF_TWO[operation](a.detach().to(second), b.detach())
    assert together.device == second
    agree(together, OF_TWO[operation](*pairs(CPU, CPU)), 100)


def writes_nothing(operation, two):
    """Raise AssertionError unless an operation that would write from one place into the other leaves both alone."""
    a, b = pairs(*places(two))
    with refused():
        INTO[operation](a, b)
    assert (a.tolist(), b.tolist()) == ([[1, 2], [3, 4]], [[5, 6], [7, 8]])


@claim("cpu-and-gpu-tensors-do-not-mix")
@over(operation=among(*INTO), two=HALF_HERE)
def test_no_operation_writes_from_one_memory_into_the_other(accelerator, operation, two):
    writes_nothing(operation, two)


@claim("different-gpus-do-not-mix")
@over(operation=among(*INTO), two=BOTH_THERE)
def test_no_operation_writes_from_one_gpu_into_the_other(two_devices, operation, two):
    writes_nothing(operation, two)


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

# What a tensor x and a number n may have to do with each other, in torch and in NumPy.
ARITHMETIC = (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.mod, operator.gt)
OF_A_NUMBER = [(form, form) for form in ARITHMETIC]
OF_A_NUMBER += [
    *((reverse, reverse) for reverse in (lambda x, n: n + x, lambda x, n: n - x, lambda x, n: n * x)),
    (lambda x, n: n / (x * 0 + 4), lambda x, n: n / (x * 0 + 4)),
    (torch.add, np.add),
    (torch.maximum, np.maximum),
    (lambda x, n: torch.where(x > 2, x, n), lambda x, n: np.where(x > 2, x, n)),
    (lambda x, n: x.clone().mul_(n), np.multiply),
    (lambda x, n: torch.mul(x, n, out=torch.empty_like(x)), np.multiply),
    (lambda x, n: x.clone().fill_(n), np.full_like),
    *(
        (lambda x, n, name=name: getattr(torch, name)(x, n), getattr(np, name))
        for name in ("copysign", "fmax", "fmin", "minimum", "fmod", "remainder", "not_equal", "less_equal")
    ),
]


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(
    twin=twins(FLOATS, LAYOUTS, SHAPES[1:], values="small"),
    form=among(*itertools.product(OF_A_NUMBER, (False, True))),
    of=each("number", "element", "sum", "double"),
)
def test_a_zero_dimensional_cpu_tensor_mixes_as_a_python_number_would(accelerator, twin, form, of):
    ((compute, rule), second), numbers = form, torch.tensor([[1.0, 2.0]], device="cpu")
    x, array = twin.but(second=second)
    made = {"number": torch.tensor(2.0, device="cpu"), "element": numbers[0, 1], "sum": numbers.sum() - 1}
    two = made.get(of, numbers[0, 1].double())
    result = accepted(compute, x, two)
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
@over(shape=among((1,), (1, 1)), order=among(False, True), operation=WITH_ONE)
def test_one_element_is_no_number_and_a_number_of_the_gpu_does_not_come(accelerator, shape, order, operation):
    ways = [
        (torch.ones(2, device=spot()), torch.ones(shape, device="cpu")),
        (torch.ones(2, device="cpu"), torch.tensor(2.0, device=spot())),
    ]
    for pair in ways:
        with refused():
            {**OF_TWO, **INTO}[operation](*(pair[::-1] if order else pair))


@claim("different-gpus-do-not-mix", truth=True)
@over(shape=among((), (1,)), order=among(False, True), operation=WITH_ONE)
def test_not_even_a_single_number_crosses_between_gpus(two_devices, shape, order, operation):
    pair = torch.ones(2, device=two_devices[0]), torch.ones(shape, device=two_devices[1])
    with refused():
        pair[0][pair[1].view(1).long()]
    with refused():
        {**OF_TWO, **INTO}[operation](*(pair[::-1] if order else pair))


def crossed(way, into, array, source):
    """Write ``source`` into the tensor ``into``, and see that it has its values there and nothing else is written, not
    into the source either, and that a column which crosses the same way fills each column of a square.
    """
    before = host(source).copy()
    WRITES[way](into, source)
    agree(into, array)
    untouched(into)
    agree(source, before)
    square = torch.tensor(3 * [3 * [0]], dtype=into.dtype, device=into.device)
    WRITES[way](square, torch.tensor([[1], [0], [1]], dtype=source.dtype, device=source.device))
    agree(square, np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1]]))


def both_ways(way, twin, other):
    """Raise AssertionError unless a write crosses from the CPU to the device under test, and back."""
    array = other.array().astype(NUMPY[twin.dtype])
    crossed(way, twin.tensor(twin.array()), array, host_twin(other)[0])
    crossed(way, host_twin(twin)[0], array, other.tensor(other.array()))


WRITTEN = twins(ANY, WRITABLE, FEW, values=("quarters",)).also(Twin(torch.float32, (65_537,), values="quarters"))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(EVERY_MODE, twin=WRITTEN, layout=among(*LAYOUTS), way=among(*WRITES))
def test_copies_into_the_same_or_another_layout_cross_both_ways(accelerator, twin, layout, way):
    for source in (twin.layout, layout):
        both_ways(way, twin, twin.but(layout=source, seed=twin.seed + 1))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(
    EVERY_MODE,
    dtypes=among(*itertools.product((*FLOATS, torch.int64, torch.uint8), (*FLOATS, *WHOLE, torch.bool))),
    layout=among(*WRITABLE),
    way=each("copy_", "x[...] = y", "x.data.copy_"),
)
def test_copies_into_another_dtype_cross_both_ways(accelerator, dtypes, layout, way):
    into, source = (Twin(dtype, (2, 3), layout, "quarters", seed=number) for number, dtype in enumerate(dtypes))
    both_ways(way, into, source)
    for (x, array), place in ((host_twin(source), spot()), (source, CPU)):  # at once to another place and dtype
        like = torch.empty(0, dtype=into.dtype, device=place)
        for copied in (x.to(place, into.dtype), x.to(like), x.to(dtype=into.dtype, device=place), x.type(like.type())):
            assert (copied.dtype, copied.device) == (into.dtype, place)
            agree(copied, array.astype(NUMPY[into.dtype]))


@claim("different-gpus-do-not-mix", truth=True)
@over(
    EVERY_MODE, twin=WRITTEN, layout=among(*LAYOUTS), way=among(*WRITES), source=among(None, torch.float16, torch.bool)
)
def test_copies_into_any_layout_and_dtype_cross_from_gpu_to_gpu(two_devices, twin, layout, way, source):
    other = twin.but(layout=layout, dtype=source or twin.dtype, seed=twin.seed + 1, second=not twin.second)
    array = other.array().astype(NUMPY[twin.dtype])
    crossed(way, twin.tensor(twin.array()), array, other.tensor(other.array()))


@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(twin=twins(FLOATS, WRITABLE, ((2, 3, 5),)))
def test_rows_and_numbers_assigned_one_by_one_cross_both_ways(accelerator, twin):
    (here, _), (there, _) = host_twin(twin), twin.but(seed=twin.seed + 1)
    for into, numbers in ((here, there.clone()), (there, here.clone())):
        for index in range(3):
            into[0][index], into[1, index] = numbers[0, index], numbers[1, index]
        for index in range(5):
            into[1][2][index] = numbers[1, 1, index]
        expected = host(numbers)
        expected[1, 2] = expected[1, 1]
        agree(into, expected)
        for source in (numbers, into.clone()):  # alone in a row, from the other place and from the same
            into[0][1][1], expected[0, 1, 1] = source[1, 0, 0], expected[1, 0, 0]
            into[0][1][3].copy_(source[1, 0, 2])
            expected[0, 1, 3] = expected[1, 0, 2]
            agree(into, expected)
        rows = host(numbers)
        into[0] = numbers[1, 2]
        into[1].copy_(numbers[0, 1])  # a row becomes each row of a matrix
        agree(into, np.array([3 * [rows[1, 2]], 3 * [rows[0, 1]]]))
        untouched(into)


@claim("gpu-results-stay-on-gpu")
@claim("cpu-and-gpu-tensors-do-not-mix", truth=True)
@over(twin=twins(ANY, LAYOUTS, ((5,), (2, 3), (9, 3, 4, 5), (2, 1025))))
def test_indices_and_masks_of_the_cpu_select_from_a_tensor_there_and_write_to_it(accelerator, twin):
    x, array = twin
    places = np.array([1, 0, -1]), array != array.flat[0]
    for here, chosen in zip(
        (*map(torch.from_numpy, places), *places, places[0].tolist()), (*places, *places, places[0])
    ):
        for selected, numbers in ((x[here], array[chosen]), (x[None][:, here], array[None][:, chosen])):
            assert selected.device == x.device
            agree(selected, numbers)
    copy, before = x.clone(), array.copy()
    for chosen, number in zip(places, (0, 1)):
        copy[torch.from_numpy(chosen)] = number
        array[chosen] = number
    copy[torch.tensor([1, 0], device="cpu")], array[[1, 0]] = x[-2:], before[-2:]
    agree(copy, array)
    with refused():
        torch.tensor_split(x, torch.tensor([1], device=x.device))
