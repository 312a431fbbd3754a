"""2.5 Tensors on a GPU: moving

Every tensor lives on one device, in that device's own memory: its `device` says where. An accelerator (a GPU by CUDA or
ROCm, Apple's MPS, Intel's XPU, or a device that a third party adds) computes on its own tensors and leaves the results
where they are. Nothing crosses over by itself: `to()` copies a tensor to another device. What the notes show with
"cuda" is tried here on whichever accelerator the run names.
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
