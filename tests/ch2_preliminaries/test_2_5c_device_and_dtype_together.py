"""2.5 Tensors on a GPU: device and dtype in one call

`to()` has a second use. Where a tensor is and how its elements are represented are both properties that a tensor
cannot change, so for either a new one is made, and `to(device, dtype)` changes both in one call. If there is nothing
to change, it makes nothing and returns the tensor itself.
"""

import pytest
import torch

claim = pytest.mark.claim

# ── to-changes-dtype-too ──


@claim("to-changes-dtype-too")
@pytest.mark.parametrize(
    "dtype, expected",
    [
        (torch.double, [[1.5, -2.5, 0.0], [3.0, 0.25, 7.75]]),
        (torch.half, [[1.5, -2.5, 0.0], [3.0, 0.25, 7.75]]),
        (torch.int32, [[1, -2, 0], [3, 0, 7]]),
        (torch.bool, [[True, True, False], [True, True, True]]),
        (torch.complex64, [[1.5, -2.5, 0.0], [3.0, 0.25, 7.75]]),
    ],
)
def test_to_with_device_and_dtype_converts_in_one_call(dtype, expected):
    """Conversion to integers cuts off the fraction, towards zero; to bool, whatever is not zero is True."""
    z = torch.tensor([[1.5, -2.5, 0.0], [3.0, 0.25, 7.75]])
    converted = z.to("cpu", dtype)
    assert (converted.device, converted.dtype) == (torch.device("cpu"), dtype)
    assert converted.tolist() == expected


@claim("to-changes-dtype-too")
def test_double_is_float64_and_holds_each_float32_exactly():
    third = torch.tensor([1 / 3], dtype=torch.float32)
    assert third.to("cpu", torch.double).dtype == torch.float64
    assert third.to("cpu", torch.double).item() == 11184811 / 2**25  # 1/3 rounded to the 24 bits of float32


@claim("to-changes-dtype-too")
def test_to_leaves_the_source_as_it_was():
    z = torch.tensor([1.5, 2.5])
    converted = z.to("cpu", torch.double)
    converted[0] = 9.0
    assert z.dtype == torch.float32
    assert z.tolist() == [1.5, 2.5]


@claim("to-changes-dtype-too")
@pytest.mark.cpu
def test_to_with_nothing_to_change_returns_the_tensor_itself():
    z = torch.tensor([1.5, 2.5])
    assert z.to("cpu", torch.float32) is z
    assert z.to("cpu", torch.float32, copy=True) is not z
    assert z.to("cpu", torch.double) is not z


@claim("to-changes-dtype-too")
def test_device_and_dtype_can_be_named_or_borrowed_from_another_tensor():
    z = torch.tensor([1.5, 2.5])
    other = torch.zeros(1, dtype=torch.double, device="cpu")
    for converted in (
        z.to(torch.device("cpu"), torch.double),
        z.to(device="cpu", dtype=torch.double),
        z.to(other),
    ):
        assert (converted.device, converted.dtype) == (torch.device("cpu"), torch.double)
        assert converted.tolist() == [1.5, 2.5]


@claim("to-changes-dtype-too")
def test_to_without_a_dtype_keeps_it():
    assert torch.tensor([1, 2], dtype=torch.int16).to("cpu").dtype == torch.int16


@claim("to-changes-dtype-too")
def test_double_holds_integers_up_to_2_to_the_53_exactly():
    z = torch.tensor([2**53 - 1, -(2**53) + 1])
    assert z.to("cpu", torch.double).tolist() == [2.0**53 - 1, -(2.0**53) + 1]
    assert z.to("cpu", torch.double).to("cpu", torch.int64).tolist() == [2**53 - 1, -(2**53) + 1]


@claim("to-changes-dtype-too")
def test_infinity_and_nan_survive_the_conversion():
    z = torch.tensor([float("inf"), float("-inf"), float("nan")])
    assert [str(value) for value in z.to("cpu", torch.double).tolist()] == ["inf", "-inf", "nan"]


@claim("to-changes-dtype-too")
def test_transposed_tensor_keeps_its_order():
    z = torch.tensor([[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]).t()
    assert z.to("cpu", torch.double).tolist() == [[1.5, 4.5], [2.5, 5.5], [3.5, 6.5]]


@claim("to-changes-dtype-too")
def test_large_tensor_is_converted_to_the_last_element():
    z = torch.arange(300 * 401, dtype=torch.int32).view(300, 401)
    converted = z.to("cpu", torch.double)
    assert converted.view(-1).tolist() == list(range(300 * 401))


@claim("to-changes-dtype-too")
def test_conversion_is_recorded_so_that_gradients_come_back():
    z = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    converted = z.to("cpu", torch.double)
    assert converted.requires_grad is True
    (converted**2).sum().backward()
    assert (z.grad.dtype, z.grad.tolist()) == (torch.float32, [2.0, 4.0, 6.0])


@claim("to-changes-dtype-too")
def test_to_brings_back_and_converts_in_one_call(accelerator):
    z = torch.tensor([[1.5, -2.5, 0.25], [3.0, 4.0, 7.75]], device=accelerator)
    converted = z.to("cpu", torch.double)
    assert (converted.device, converted.dtype) == (torch.device("cpu"), torch.float64)
    assert converted.tolist() == [[1.5, -2.5, 0.25], [3.0, 4.0, 7.75]]
    assert (z.device.type, z.dtype) == (accelerator.type, torch.float32)


@claim("to-changes-dtype-too")
def test_to_moves_there_and_converts_in_one_call(accelerator):
    z = torch.tensor([1.5, -2.5, 7.75], device="cpu")
    converted = z.to(accelerator, torch.int32)
    assert (converted.device.type, converted.dtype) == (accelerator.type, torch.int32)
    assert converted.tolist() == [1, -2, 7]
