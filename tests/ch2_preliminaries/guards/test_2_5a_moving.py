"""2.5 Tensors on a GPU: copies of every dtype and layout by every route, bit for bit."""

import struct
import warnings

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, WRITABLE, agree, among, each, over, twins, untouched, whole
from populations.comparing import accepted
from populations.journeys import COPIES, CPU, current, finished, host_twin, journeys, spot

claim = pytest.mark.claim


@claim("to-moves-between-cpu-and-gpu")
@over(EVERY_MODE, journey=journeys(twins(ANY), lazy=(torch.complex64, torch.float32)))
def test_a_copy_has_the_values_the_dtype_and_the_place_whatever_the_layout_and_the_route(accelerator, journey):
    source, array, copied = journey
    copy = accepted(copied, source)

    assert (copy.device, copy.dtype, copy.requires_grad) == (journey.target(), source.dtype, False)
    agree(copy, array)
    agree(source, array)


SHOWN = {  # views that show elements several times, or not at all
    "windows": lambda x: x.unfold(-1, 3, 1),
    "windows in steps of two": lambda x: x.unfold(-1, 5, 2),
    "repeated": lambda x: x[None].expand(3, *x.shape),
    "repeated rows of windows": lambda x: x.unfold(-1, 3, 1)[:, None].expand(-1, 2, -1),
    "the beginning of a row": lambda x: x.view(3, 4).clone()[2:, :2],
    "a block": lambda x: x.view(3, 4).clone()[1:, 1:3],
    "rows of a batch": lambda x: x.view(2, 3, 2).clone()[1:, 1:],
}


@claim("to-moves-between-cpu-and-gpu")
@over(EVERY_MODE, view=each(*SHOWN), way=among(*COPIES), dtype=among(torch.float32, torch.int16, torch.bool))
def test_a_copy_of_a_view_has_each_element_as_often_as_this_shows_it(accelerator, view, way, dtype):
    here = (torch.arange(12, device="cpu") % 7).to(dtype)
    expected = SHOWN[view](here).tolist()
    for x, place in ((here, spot()), (here.to(spot()), spot(second=True))):
        copy = COPIES[way](SHOWN[view](x), place)
        assert (copy.device, copy.tolist(), SHOWN[view](x).cpu().tolist()) == (place, expected, expected)


@claim("to-moves-between-cpu-and-gpu", truth=True)
@over(EVERY_MODE, journey=journeys(twins((torch.float32, torch.int64, torch.bool), WRITABLE)))
def test_no_write_to_a_copy_reaches_its_source_nor_the_other_way_round(accelerator, journey):
    source, array, copied = journey
    copy = copied(source)

    copy.zero_()
    agree(source, array)
    agree(copied(source), array)  # nor the next copy
    untouched(source)
    source.fill_(1)
    agree(copy, np.zeros_like(array))
    agree(copied(source), np.ones_like(array))  # the next copy has the values of its own moment


BITS = {
    torch.float32: ("f", [1 / 3, 2.0**-126, 2.0**-149, 3.4028234663852886e38, -0.0, float("-inf"), float("nan")]),
    torch.float64: ("d", [1 / 3, 2.0**-1074, 1.7976931348623157e308, -0.0, float("inf"), float("nan")]),
    torch.float16: ("e", [1 / 3, 2.0**-24, 65504.0, -0.0, float("inf"), float("nan")]),
    torch.int64: ("q", [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1]),
    torch.int32: ("i", [-(2**31), 2**24 + 1, 2**31 - 1]),
    torch.int16: ("h", [-(2**15), 2**15 - 1]),
    torch.uint8: ("B", [0, 127, 128, 255]),
}


@claim("to-moves-between-cpu-and-gpu")
@over(EVERY_MODE, twin=twins(tuple(BITS), ("contiguous",), ((1,),)), way=among("to(device)", "to(name)", "copy_"))
def test_every_bit_survives_the_way_there_and_back(accelerator, twin, way):
    """0.0 equals -0.0 and NaN equals nothing, so that only the bits tell."""
    letter, numbers = BITS[twin.dtype]
    bits = list(struct.pack(f"{len(numbers)}{letter}", *numbers))
    sent = torch.frombuffer(bytearray(bits), dtype=twin.dtype)

    back = COPIES[way](COPIES[way](sent, spot()), CPU)
    assert back.view(torch.uint8).tolist() == bits


@claim("to-moves-between-cpu-and-gpu")
@over(size=whole(1, 70_000, 1000, 65_537), repeats=among(1, 100))
def test_a_copy_that_does_not_block_needs_no_source_that_outlives_it(accelerator, size, repeats):
    """No two of them are alike: what comes to lie where a source was is not what that held."""
    copies = [(torch.arange(size // repeats, device="cpu") + n).to(spot(), non_blocking=True) for n in range(repeats)]
    for n, copy in enumerate(copies):
        agree(finished(copy, copy), np.arange(size // repeats) + n)


@claim("to-moves-between-cpu-and-gpu", truth=True)
@over(EVERY_MODE, twin=twins(ANY), way=among("to(device)", "to(name)", "to(device=)", "to(name, dtype)"))
def test_a_move_to_where_it_is_gives_the_tensor_itself_unless_a_copy_is_asked_for(accelerator, twin, way):
    tensor, array = twin
    with current(tensor.device):
        assert tensor.to(tensor.device.type) is tensor
    for x in (tensor, host_twin(twin)[0]):
        assert COPIES[way](x, x.device) is x
        for copy in (x.to(device=x.device, copy=True), x.to(str(x.device), x.dtype, copy=True)):
            assert copy.data_ptr() != x.data_ptr() or not x.numel()
            agree(copy, array)
        assert x.to(torch.empty(0, dtype=torch.bool, device=x.device)).dtype == torch.bool


@claim("to-moves-between-cpu-and-gpu", "to-device-object-equals-to-string")
@over(at=among(0, 1), to=among(0, 1), way=among("to(device)", "to(name)", "to(device=)"))
def test_the_number_of_a_device_counts_whatever_device_is_current_and_without_one_the_current(two_devices, at, to, way):
    x = torch.tensor([1.5, -2.5], device="cpu")
    for goal, place in ((two_devices[to], two_devices[to]), (torch.device(two_devices[0].type), two_devices[at])):
        with current(two_devices[at]):
            moved = COPIES[way](x, goal)

        assert (moved.device, moved.tolist()) == (place, [1.5, -2.5])


@claim("to-device-object-equals-to-string")
@over(EVERY_MODE, journey=journeys(twins(ANY, grad=(False, True))), keyword=among(False, True))
def test_an_object_and_its_name_give_equal_tensors(accelerator, journey, keyword):
    (source, array, _), target = journey, journey.target()
    made = [source.to(device=one) if keyword else source.to(one) for one in (target, str(target))]

    for moved in made:
        assert (moved.device, moved.dtype, moved.stride()) == (target, source.dtype, made[0].stride())
        assert moved.requires_grad is (source.requires_grad and torch.is_grad_enabled())
        agree(moved, array)
        for one in (target, str(target), moved.device, str(moved.device)):
            assert moved.to(one) is moved
            assert moved.to(one, copy=True) is not moved


@claim("to-of-a-leaf-is-no-leaf", "to-moves-between-cpu-and-gpu")
@over(journey=journeys(twins(FLOATS, grad=(True,), kinds=("tensor", "parameter"))))
def test_a_moved_copy_of_a_leaf_has_a_creator_and_gets_no_gradient(accelerator, journey):
    x, array, copied = journey
    moved = copied(x.requires_grad_())
    there = moved.detach().requires_grad_()

    assert (x.is_leaf, moved.is_leaf, moved.grad_fn is None, there.is_leaf) == (True, False, False, True)
    (moved * 2 + there * 3).sum().backward()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reading it warns, as 2.6 shows
        assert moved.grad is None
    assert x.grad.device == x.device
    agree(x.grad, np.full_like(array, 2))
    agree(there.grad, np.full_like(array, 3))

    asked = copied(x)
    asked.retain_grad()
    (asked * 5).sum().backward()
    agree(asked.grad, np.full_like(array, 5))
    agree(x.grad, np.full_like(array, 7))
    with torch.no_grad():
        assert (copied(x).is_leaf, copied(x).requires_grad) == (True, False)
