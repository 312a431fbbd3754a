"""2.5 Tensors on a GPU: creating and computing there

A tensor that is created with `device=` is on the accelerator in the first place and needs no copy. What is computed of
tensors there stays there, too. A device is named by an object or by a string, which mean the same.
"""

import statistics

import pytest
import torch

claim = pytest.mark.claim

# ── create-directly-on-gpu ──


@claim("create-directly-on-gpu")
def test_ones_like_with_a_device_creates_there(accelerator):
    template = torch.zeros(2, 3, device="cpu")
    ones = torch.ones_like(template, device=accelerator)
    assert ones.device.type == accelerator.type
    assert ones.tolist() == [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    assert template.device == torch.device("cpu")


@claim("create-directly-on-gpu")
@pytest.mark.parametrize(
    "create, dtype, expected",
    [
        (lambda device: torch.zeros(2, 1, device=device), torch.float32, [[0.0], [0.0]]),
        (lambda device: torch.ones(1, 2, device=device), torch.float32, [[1.0, 1.0]]),
        (lambda device: torch.full((2,), 7, device=device), torch.int64, [7, 7]),
        (lambda device: torch.arange(2, 5, device=device), torch.int64, [2, 3, 4]),
        (lambda device: torch.linspace(0, 2, 5, device=device), torch.float32, [0.0, 0.5, 1.0, 1.5, 2.0]),
        (lambda device: torch.eye(2, 3, device=device), torch.float32, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        (lambda device: torch.tensor([3, 1, 2], device=device), torch.int64, [3, 1, 2]),
        (lambda device: torch.zeros_like(torch.ones(2, device="cpu"), device=device), torch.float32, [0.0, 0.0]),
        (lambda device: torch.full_like(torch.ones(2, device="cpu"), 9.0, device=device), torch.float32, [9.0, 9.0]),
        (lambda device: torch.ones(2, device="cpu").new_zeros(3, device=device), torch.float32, [0.0, 0.0, 0.0]),
    ],
    ids=["zeros", "ones", "full", "arange", "linspace", "eye", "tensor", "zeros_like", "full_like", "new_zeros"],
)
def test_factory_function_with_a_device_creates_there(accelerator, create, dtype, expected):
    tensor = create(accelerator)
    assert tensor.device.type == accelerator.type
    assert (tensor.dtype, tensor.tolist()) == (dtype, expected)


@claim("create-directly-on-gpu")
@pytest.mark.parametrize("create", ["empty", "rand", "randn"])
def test_factory_function_without_fixed_values_creates_there_too(accelerator, create):
    tensor = getattr(torch, create)(4, 5, device=accelerator)
    assert tensor.device.type == accelerator.type
    assert tensor.shape == (4, 5)


@claim("create-directly-on-gpu")
@pytest.mark.parametrize("create, mean, deviation", [("rand", 0.5, 12**-0.5), ("randn", 0.0, 1.0)])
def test_random_numbers_created_there_are_random(accelerator, create, mean, deviation):
    """The mean of 1000 numbers is within 6.5 standard errors but once in 1e10 runs; float32 seldom repeats one of them:
    10 repetitions, where 0.03 to 0.1 are expected, happen less than once in 1e16.
    """
    numbers = getattr(torch, create)(1000, device=accelerator).tolist()
    assert sum(numbers) / 1000 == pytest.approx(mean, abs=6.5 * deviation / 1000**0.5)
    # of a normal distribution this is 6.7 times the standard error, 1 / sqrt(2000); of a uniform one more
    assert statistics.stdev(numbers) == pytest.approx(deviation, rel=0.15)
    assert len(set(numbers)) > 990


@claim("create-directly-on-gpu")
def test_factory_function_creates_on_the_device_with_that_number(two_devices):
    tensors = [torch.zeros(2, device=device) for device in two_devices]
    assert [tensor.device for tensor in tensors] == [*two_devices]


@claim("create-directly-on-gpu")
@pytest.mark.parametrize(
    "create",
    [
        lambda device: torch.ones_like(torch.zeros(2, 3, device="cpu"), device=device),
        lambda device: torch.zeros(2, 3, device=device),
        lambda device: torch.ones(2, 3, device=device),
        lambda device: torch.full((2, 3), 7.0, device=device),
    ],
    ids=["ones_like", "zeros", "ones", "full"],
)
def test_creation_on_the_accelerator_copies_nothing(accelerator, create):
    """Directly, that is: not by a tensor on the CPU that is moved afterwards, which takes a copy."""
    with torch.autograd.profiler.profile() as direct:
        create(accelerator)
    with torch.autograd.profiler.profile() as detour:
        create("cpu").to(accelerator)
    assert "aten::copy_" not in [event.name for event in direct.function_events]
    assert "aten::copy_" in [event.name for event in detour.function_events]


# ── to-device-object-equals-to-string ──


@claim("to-device-object-equals-to-string")
def test_device_object_and_its_name_lead_to_the_same_place(accelerator):
    tensor = torch.tensor([[1, 2, 3], [4, 5, 6]], device="cpu")
    by_object = tensor.to(torch.device(str(accelerator)))
    by_name = tensor.to(str(accelerator))
    assert by_object.device == by_name.device
    assert by_object.device.type == accelerator.type
    assert by_object.dtype == by_name.dtype == torch.int64
    assert by_object.tolist() == by_name.tolist() == [[1, 2, 3], [4, 5, 6]]


@claim("to-device-object-equals-to-string")
def test_name_of_the_device_it_is_on_returns_the_tensor_itself(accelerator):
    moved = torch.ones(2, 3, device="cpu").to(accelerator)
    assert moved.to(str(accelerator)) is moved
    assert moved.to(str(moved.device)) is moved


@claim("to-device-object-equals-to-string")
def test_device_keyword_takes_the_object_and_the_name(accelerator):
    tensor = torch.tensor([1.5, -2.5], device="cpu")
    by_object = tensor.to(device=accelerator)
    by_name = tensor.to(device=str(accelerator))
    assert by_object.device == by_name.device == tensor.to(accelerator).device
    assert by_object.tolist() == by_name.tolist() == [1.5, -2.5]


@claim("to-device-object-equals-to-string")
def test_the_number_in_a_name_counts(two_devices):
    tensor = torch.tensor([1.5, -2.5], device="cpu")
    moved = [tensor.to(str(device)) for device in two_devices]
    assert [one.device for one in moved] == [*two_devices]
    assert [one.tolist() for one in moved] == [[1.5, -2.5]] * 2


# ── gpu-sum-stays-on-gpu ──


@claim("gpu-sum-stays-on-gpu")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.uint8])
def test_sum_of_two_accelerator_tensors_is_on_the_accelerator(accelerator, dtype):
    x = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=dtype, device=accelerator)
    y = torch.tensor([[10, 20, 30], [40, 50, 60]], dtype=dtype, device=accelerator)
    total = x + y
    assert total.device == x.device
    assert total.dtype == dtype
    assert total.tolist() == [[11, 22, 33], [44, 55, 66]]


@claim("gpu-sum-stays-on-gpu")
def test_sum_of_a_moved_and_a_created_tensor_is_on_the_accelerator(accelerator):
    """The example of the notes: y is created on the accelerator, x is moved there."""
    x = torch.tensor([0.5, -1.0, 2.0], device="cpu")
    y = torch.ones_like(x, device=accelerator)
    z = x.to(accelerator) + y
    assert z.device.type == accelerator.type
    assert z.tolist() == [1.5, 0.0, 3.0]


@claim("gpu-sum-stays-on-gpu")
def test_broadcast_sum_stays_on_the_accelerator(accelerator):
    row = torch.tensor([[1, 2]], device=accelerator)
    column = torch.tensor([[10], [20], [30]], device=accelerator)
    total = torch.add(row, column)
    assert total.device == row.device
    assert total.tolist() == [[11, 12], [21, 22], [31, 32]]


@claim("gpu-sum-stays-on-gpu")
@pytest.mark.parametrize("large, small", [(1.0, 2.0**-23), (2**53, 1)], ids=["float32", "int64"])
def test_sum_on_the_accelerator_is_exact_to_the_last_digit(accelerator, large, small):
    """The next float32 after 1, and the first whole number that float64 lacks."""
    total = torch.tensor([large], device=accelerator) + torch.tensor([small], device=accelerator)
    assert total.device.type == accelerator.type
    assert total.tolist() == [large + small]


@claim("gpu-sum-stays-on-gpu")
def test_sum_stays_on_the_device_with_that_number(two_devices):
    totals = [torch.ones(2, device=device) + torch.ones(2, device=device) for device in two_devices]
    assert [total.device for total in totals] == [*two_devices]


@claim("gpu-sum-stays-on-gpu")
def test_operands_stay_on_the_accelerator(accelerator):
    x, y = torch.ones(2, device=accelerator), torch.ones(2, device=accelerator)
    x + y
    x += y
    assert (x.device.type, y.device.type) == (accelerator.type, accelerator.type)
    assert (x.tolist(), y.tolist()) == ([2.0, 2.0], [1.0, 1.0])
