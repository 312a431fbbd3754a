"""2.5 Tensors on a GPU

Every tensor lives on one device, in that device's own memory: its `device` says where. An accelerator (a GPU by CUDA or
ROCm, Apple's MPS, Intel's XPU, or a device that a third party adds) computes on its own tensors and leaves the results
where they are. Nothing crosses over by itself: `to()` copies a tensor to another device, `device=` creates it there in
the first place. What the notes show with "cuda" is tried here on whichever accelerator the run names.
"""

import pytest
import torch

claim = pytest.mark.claim

# ── to-moves-between-cpu-and-gpu ──


@claim("to-moves-between-cpu-and-gpu")
def test_to_puts_a_tensor_on_the_accelerator(accelerator):
    tensor = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device="cpu")
    moved = tensor.to(accelerator)
    assert moved.device.type == accelerator.type
    assert moved.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@claim("to-moves-between-cpu-and-gpu")
def test_to_brings_a_tensor_back_to_the_cpu(accelerator):
    tensor = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device=accelerator)
    returned = tensor.to("cpu")
    assert returned.device == torch.device("cpu")
    assert returned.numpy().tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@claim("to-moves-between-cpu-and-gpu")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool])
def test_values_and_dtype_survive_the_round_trip(accelerator, dtype):
    tensor = torch.tensor([[0, 1, 1, 2], [3, 5, 8, 13], [21, 34, 55, 89]], device="cpu").to(dtype)
    moved = tensor.to(accelerator)
    returned = moved.to("cpu")
    assert (moved.device.type, moved.dtype) == (accelerator.type, dtype)
    assert (returned.device.type, returned.dtype) == ("cpu", dtype)
    assert returned.tolist() == tensor.tolist()


@claim("to-moves-between-cpu-and-gpu")
def test_float32_survives_the_round_trip_bit_for_bit(accelerator):
    """A third has no finite expansion; then the smallest normal number, the largest, and what is no ordinary number.

    The bits are compared, because 0.0 equals -0.0 and NaN equals nothing.
    """
    tensor = torch.tensor([1 / 3, 2.0**-126, 3.4028234663852886e38, -0.0, float("-inf"), float("nan")], device="cpu")
    returned = tensor.to(accelerator).to("cpu")
    assert returned.view(torch.int32).tolist() == tensor.view(torch.int32).tolist()


@claim("to-moves-between-cpu-and-gpu")
def test_int64_survives_the_round_trip_from_the_lowest_number_to_the_highest(accelerator):
    tensor = torch.tensor([-(2**63), -1, 0, 2**53 + 1, 2**63 - 1], device="cpu")
    assert tensor.to(accelerator).to("cpu").tolist() == [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1]


@claim("to-moves-between-cpu-and-gpu")
def test_large_tensor_arrives_to_the_last_element(accelerator):
    tensor = torch.arange(300 * 401, dtype=torch.int32, device="cpu").view(300, 401)
    assert tensor.to(accelerator).to("cpu").view(-1).tolist() == list(range(300 * 401))


@claim("to-moves-between-cpu-and-gpu")
def test_transposed_tensor_keeps_its_order_on_the_way(accelerator):
    tensor = torch.tensor([[1, 2, 3], [4, 5, 6]], device="cpu").t()
    moved = tensor.to(accelerator)
    returned = moved.to("cpu")
    assert (moved.device.type, returned.device.type) == (accelerator.type, "cpu")
    assert moved.tolist() == returned.tolist() == [[1, 4], [2, 5], [3, 6]]


@claim("to-moves-between-cpu-and-gpu")
@pytest.mark.parametrize(
    "view, expected",
    [
        (lambda x: x[1:], [[5, 6, 7, 8], [9, 10, 11, 12]]),
        (lambda x: x[::2, 1::2], [[2, 4], [10, 12]]),
        (lambda x: x[:, 2], [3, 7, 11]),
        (lambda x: x[1, 1], 6),
        (lambda x: x[3:], []),
        (lambda x: x[:1, :3].expand(2, 3), [[1, 2, 3], [1, 2, 3]]),
    ],
    ids=["rows", "every second", "column", "number", "nothing", "repeated row"],
)
def test_a_view_moves_its_own_elements_and_leaves_its_base_alone(accelerator, view, expected):
    base = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]], device="cpu")
    moved = view(base).to(accelerator)
    assert moved.device.type == accelerator.type
    assert (moved.shape, moved.tolist()) == (view(base).shape, expected)
    moved.fill_(0)
    assert base.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


@claim("to-moves-between-cpu-and-gpu")
def test_source_tensor_stays_where_it_was(accelerator):
    """`to` returns a tensor and leaves its own alone: `x.to(device)` without `x =` moves nothing."""
    tensor = torch.tensor([1.0, 2.0, 3.0], device="cpu")
    moved = tensor.to(accelerator)
    moved += 1
    assert moved.requires_grad is False
    assert tensor.device == torch.device("cpu")
    assert tensor.tolist() == [1.0, 2.0, 3.0]
    assert moved.tolist() == [2.0, 3.0, 4.0]


@claim("to-moves-between-cpu-and-gpu")
def test_what_comes_back_to_the_cpu_is_a_copy_too(accelerator):
    tensor = torch.tensor([1.0, 2.0, 3.0], device=accelerator)
    returned = tensor.to("cpu")
    returned += 1
    assert tensor.tolist() == [1.0, 2.0, 3.0]
    assert returned.tolist() == [2.0, 3.0, 4.0]


@claim("to-moves-between-cpu-and-gpu")
def test_each_move_copies_the_values_of_its_moment(accelerator):
    tensor = torch.tensor([1.0, 2.0, 3.0], device="cpu")
    first = tensor.to(accelerator)
    tensor[0] = 10.0
    assert tensor.to(accelerator).tolist() == [10.0, 2.0, 3.0]
    assert first.tolist() == [1.0, 2.0, 3.0]


@claim("to-moves-between-cpu-and-gpu")
def test_to_goes_to_the_device_with_that_number(two_devices):
    tensor = torch.tensor([1.0, 2.0, 3.0], device="cpu")
    moved = [tensor.to(device) for device in two_devices]
    assert [one.device for one in moved] == [*two_devices]
    assert [one.tolist() for one in moved] == [[1.0, 2.0, 3.0]] * 2


@claim("to-moves-between-cpu-and-gpu")
def test_move_to_the_accelerator_it_is_on_returns_the_tensor_itself(accelerator):
    tensor = torch.ones(2, 3, device=accelerator)
    assert tensor.to(accelerator) is tensor


@claim("to-moves-between-cpu-and-gpu")
def test_move_from_cpu_to_cpu_returns_the_tensor_itself(accelerator):
    tensor = torch.ones(2, 3, device="cpu")
    assert tensor.to("cpu") is tensor


@claim("to-moves-between-cpu-and-gpu")
def test_move_is_recorded_so_that_gradients_come_back(accelerator):
    tensor = torch.tensor([1.0, 2.0, 3.0], device="cpu", requires_grad=True)
    moved = tensor.to(accelerator)
    assert moved.requires_grad is True
    (moved**2).sum().backward()
    assert tensor.grad.device == torch.device("cpu")
    assert tensor.grad.tolist() == [2.0, 4.0, 6.0]


@claim("to-moves-between-cpu-and-gpu")
def test_move_back_is_recorded_so_that_gradients_go_to_the_accelerator(accelerator):
    tensor = torch.tensor([1.0, 2.0, 3.0], device=accelerator, requires_grad=True)
    returned = tensor.to("cpu")
    assert returned.requires_grad is True
    (returned**2).sum().backward()
    assert tensor.grad.device == tensor.device
    assert tensor.grad.tolist() == [2.0, 4.0, 6.0]


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
