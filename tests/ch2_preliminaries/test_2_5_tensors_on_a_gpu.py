"""2.5 Tensors on a GPU

Every tensor lies on one device, in that device's own memory: its `device` says where. An accelerator (a GPU by CUDA or
ROCm, Apple's MPS, Intel's XPU, or a device that a third party adds) computes on its own tensors and leaves the results
where they are. Nothing crosses over by itself. What the notes show with "cuda" is tried here on whichever accelerator
the run names.
"""

import pytest
import torch

claim = pytest.mark.claim


@claim("to-moves-between-cpu-and-gpu")
def test_to_goes_to_the_accelerator_and_back(accelerator):
    x = torch.tensor([1.5, -2.0, 3.0], device="cpu")

    there = x.to(accelerator)
    back = there.to("cpu")

    assert (there.device.type, back.device.type) == (accelerator.type, "cpu")
    assert there.tolist() == back.tolist() == [1.5, -2, 3]


@claim("to-moves-between-cpu-and-gpu", truth=True)
def test_to_leaves_the_tensor_where_it_was_and_copies_nothing_that_is_there(accelerator):
    x = torch.tensor([1.0, 2.0], device="cpu")

    x.to(accelerator)  # without "x =": to no purpose
    assert x.device.type == "cpu"

    there = x.to(accelerator)
    there[0] = 10
    assert x.tolist() == [1, 2]
    assert there.to(accelerator) is there
    assert there.to(accelerator, copy=True) is not there
    assert there.to(accelerator, torch.int32) is not there


@claim("create-directly-on-gpu")
def test_ones_like_with_a_device_creates_there(accelerator):
    x = torch.tensor([[1.0, 2.0, 3.0]], device="cpu")

    with torch.autograd.profiler.profile() as recorded:
        y = torch.ones_like(x, device=accelerator)

    assert y.device.type == accelerator.type
    assert y.tolist() == [[1, 1, 1]]
    assert "aten::copy_" not in [event.name for event in recorded.function_events]


@claim("to-device-object-equals-to-string")
def test_a_device_and_its_name_lead_to_the_same_place(accelerator):
    x = torch.tensor([1, 2, 3], device="cpu")

    by_object, by_name = x.to(torch.device(accelerator.type)), x.to(accelerator.type)

    assert by_object.device == by_name.device
    assert by_object.tolist() == by_name.tolist() == [1, 2, 3]


@claim("gpu-sum-stays-on-gpu")
def test_what_is_added_on_the_accelerator_stays_there(accelerator):
    x = torch.tensor([0.5, -1.0, 2.0], device="cpu")
    y = torch.ones_like(x, device=accelerator)

    z = x.to(accelerator) + y

    assert z.device == y.device
    assert z.tolist() == [1.5, 0, 3]


@claim("to-changes-dtype-too")
def test_to_changes_device_and_dtype_in_one_call():
    z = torch.tensor([1.5, -2.5])

    converted = z.to("cpu", torch.double)

    assert (converted.device.type, converted.dtype) == ("cpu", torch.float64)
    assert converted.tolist() == [1.5, -2.5]
    assert z.dtype == torch.float32


@claim("to-of-a-leaf-is-no-leaf")
def test_the_gradient_is_the_original_s_and_not_the_moved_copy_s(accelerator):
    x = torch.tensor([1.0, 2.0], device="cpu", requires_grad=True)
    moved = x.to(accelerator)
    there = torch.tensor([1.0, 2.0], device=accelerator, requires_grad=True)

    (moved * there).sum().backward()

    assert (x.is_leaf, moved.is_leaf, there.is_leaf) == (True, False, True)
    assert x.grad.tolist() == [1, 2]
    assert there.grad.tolist() == [1, 2]
    with pytest.warns(UserWarning, match="not a leaf Tensor"):
        assert moved.grad is None
    with torch.no_grad():
        assert x.to(accelerator).is_leaf  # but cut off from x
