"""2.5 Tensors on a GPU: what is created and added there, and dtypes changed on the way."""

import itertools

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, LAYOUTS, WRITABLE, Twin, agree, among, over, twins, untouched, whole
from populations.comparing import accepted
from populations.creators import CREATORS, PATTERNS
from populations.initialisers import RELEASE
from populations.journeys import CPU, Journey, current, finished, host_twin, spot
from populations.statistics import flat, look_independent_and_uniform, normal_levels
from populations.twins import pending

claim = pytest.mark.claim


@claim("create-directly-on-gpu")
@over(EVERY_MODE, twin=twins(ANY), create=among(*CREATORS))
def test_a_tensor_is_created_there_with_its_values_whatever_its_template_is(accelerator, twin, create):
    template, array = host_twin(twin)
    make, number = CREATORS[create]
    made = make(template, dtype=twin.dtype, device=spot(twin.second))
    with current(spot(twin.second)), CPU:  # whatever the default is
        alike = make(template, dtype=twin.dtype, device=spot().type)

    assert (made.device, alike.device, made.dtype) == (spot(twin.second), spot(twin.second), twin.dtype)
    agree(made, np.full_like(array, number))
    assert template.device == CPU
    asked = made.dtype.is_floating_point
    leaf = accepted(make, template, dtype=twin.dtype, device=spot(twin.second), requires_grad=asked)
    assert (leaf.device, leaf.is_leaf, leaf.requires_grad) == (made.device, True, asked)
    made.fill_(not number)  # which the next one does not see
    agree(make(template, dtype=twin.dtype, device=spot(twin.second)), np.full_like(array, number))


@claim("create-directly-on-gpu")
@over(twin=twins((torch.float32, torch.int64), ("contiguous",), ((), (2, 3), (257,))), create=among(*CREATORS))
def test_creating_there_takes_no_copy(accelerator, twin, create):
    template, _ = host_twin(twin)
    with torch.autograd.profiler.profile() as direct:
        CREATORS[create][0](template, dtype=twin.dtype, device=accelerator)
    assert "aten::copy_" not in [event.name for event in direct.function_events]


@claim("create-directly-on-gpu")
@over(end=whole(0, 200, 9, 65), second=among(False, True), create=among(*PATTERNS), dtype=among(None, torch.float64))
def test_patterns_created_there_are_those_created_anywhere(accelerator, end, second, create, dtype):
    made, expected = PATTERNS[create][0](end, device=spot(second), dtype=dtype), PATTERNS[create][1](end)

    assert (made.device, made.dtype) == (spot(second), dtype or (torch.float32, torch.int64)[expected.dtype == int])
    agree(made, expected)
    made.fill_(-1)
    agree(PATTERNS[create][0](end, device=spot(second), dtype=dtype), expected)  # once more, of its own


@claim("create-directly-on-gpu")
@over(
    create=among("rand", "randn", "rand_like", "randn_like"),
    second=among(False, True),
    sizes=among(4000, (4000,), [40, 100], torch.Size([8, 500])),
)
def test_random_numbers_created_there_are_random(accelerator, create, second, sizes):
    size = torch.empty(sizes, device="cpu") if "like" in create else sizes
    first, again = (getattr(torch, create)(size, device=spot(second)) for _ in range(2))

    assert first.device == again.device == spot(second)
    for drawn in (first, again):
        look_independent_and_uniform(flat(drawn) if "randn" not in create else normal_levels(flat(drawn)))
    assert first.tolist() != again.tolist()


SUMS = {
    "x + y": lambda x, y: x + y,
    "torch.add": lambda x, y: torch.add(x, y),
    "x.add": lambda x, y: x.add(y),
    "out": lambda x, y: torch.add(x, y, out=torch.empty(0, dtype=x.dtype, device=x.device)),
    "in place": lambda x, y: x.clone().add_(y),
    "transposed": lambda x, y: (x.transpose(0, -1) + y.transpose(0, -1)).transpose(0, -1) if x.dim() else x + y,
    "with what was moved": lambda x, y: x.cpu().to(y.device) + y,
    "with a row of 3": lambda x, y: x + y.new_full((1,) * x.dim(), 3),
    "of a 3 without dimensions": lambda x, y: y.new_full((), 3) + x,
    "with the number 3": lambda x, y: (x + 3).to(x.dtype),
}


ONES = [Twin(dtype, (1,), "offset", kind="view", values="small") for dtype in FLOATS for _ in SUMS]


@claim("gpu-sum-stays-on-gpu")
@over(EVERY_MODE, twin=twins(ANY, values="small").rarely(*ONES), form=among(*SUMS))
def test_every_element_of_a_sum_is_right_and_on_the_device_of_the_operands(accelerator, twin, form):
    (x, array), (y, other) = twin, twin.but(seed=twin.seed + 1, layout="contiguous")
    total = SUMS[form](x, y)

    assert (total.device, total.dtype) == (x.device, x.dtype)
    agree(total, array + (array.dtype.type(3) if "3" in form else other))
    assert (x.device, y.device) == (total.device, total.device)
    nothing = torch.zeros_like(x, dtype=torch.int32)  # of another dtype
    scaled = torch.add(x, nothing, alpha=2), x.add(nothing, alpha=3)
    for mixed in (x + nothing, torch.add(nothing, x), x.add(nothing), *scaled):
        assert mixed.device == x.device
        agree(mixed, array)
    far = torch.full(x.shape, 2**40, device=x.device)  # past the digits of single precision
    agree(SUMS[form](far, far + 1), np.full(array.shape, 2**40 + (3 if "3" in form else 2**40 + 1)))


REAL = [dtype for dtype in ANY if not dtype.is_complex]
SIZES = ((5,), (2, 3), (2, 1025), (), (2, 3, 4, 5), (65_537,))
# A journey and the dtype to change to on it: every real dtype to every other, and to complex numbers. Of positive
# numbers: what a negative one is unsigned, nobody promises.
CONVERSIONS = among(
    *(
        (
            Journey(
                Twin(source, SIZES[turn % 6], WRITABLE[turn // 6 % 5], "positive", turn % 5 == 0, seed=turn),
                "back" if turn % 3 else "there",
            ),
            to,
        )
        for turn, (source, to) in enumerate(itertools.permutations(REAL, 2))
    ),
    *((Journey(Twin(source, (2, 3), seed=1)), torch.complex64) for source in REAL),
).rarely(
    *(
        (Journey(Twin(source, shape, layout, "positive"), "there" if turn % 2 else "back"), to)
        for shape, layout in (((2, 33), "expanded columns"), ((2, 3, 4), "batch second"))
        for turn, (source, to) in enumerate(zip(REAL, (*REAL[1:], REAL[0])))
    ),
    *(
        (Journey(Twin(source, (3, 67), WRITABLE[turn % 5], "positive", turn % 2 == 0, seed=turn), "across"), to)
        for turn, (source, to) in enumerate(itertools.permutations(REAL, 2))
    ),
)


def parted(z, device, dtype):
    """Memory for numbers like those of ``z`` that begins after another tensor's, to which an offset leads."""
    return torch.zeros(z.numel() + 2, dtype=dtype, device=device)[2:].view(z.shape)


SPELLED = {
    "positions": lambda z, device, dtype: z.to(device, dtype),
    "name": lambda z, device, dtype: z.to(str(device), dtype),
    "keywords": lambda z, device, dtype: z.to(device=device, dtype=dtype),
    "mixed": lambda z, device, dtype: z.to(device, dtype=dtype),
    "borrowed": lambda z, device, dtype: z.to(torch.zeros(1, dtype=dtype, device=device)),
    "borrowed of one number": lambda z, device, dtype: z.to(torch.zeros((), dtype=dtype, device=device)),
    "copy": lambda z, device, dtype: z.to(device, dtype, copy=True),
    "in a format": lambda z, device, dtype: z.to(device, dtype, memory_format=torch.preserve_format),
    "four positions": lambda z, device, dtype: z.to(device, dtype, False, True),
    "not blocking": lambda z, device, dtype: finished(z.to(device, dtype, non_blocking=True), z),
}


@claim("to-changes-dtype-too")
@over(EVERY_MODE, conversion=CONVERSIONS, spelled=among(*SPELLED))
def test_to_changes_place_and_dtype_of_any_tensor_and_leaves_the_source(conversion, spelled):
    journey, target = conversion
    (z, array, _), device = journey, journey.target()
    others = (lambda z, *to: parted(z, *to).copy_(z), lambda z, *to: pending(z).to(*to))
    for convert in (SPELLED[spelled], *others, SPELLED[spelled]):
        converted = convert(z, device, target)
        assert (converted.device, converted.dtype) == (device, target)
        agree(converted, array.astype(bool) if target == torch.bool else array)
        assert {z.dtype, z.to(device).dtype, z.to(str(device)).dtype} == {journey.twin.dtype}
        converted.fill_(0)
        agree(z, array)
        untouched(z)


@claim("to-changes-dtype-too")
@pytest.mark.cpu
@over(target=among(*ANY))
def test_a_truth_value_of_any_byte_but_zero_counts_as_one(target):
    z = torch.from_numpy(np.frombuffer(bytearray(range(256)), bool))

    agree(z.to("cpu", target), np.arange(256) > 0)


HELD = {  # by which dtypes the least and the largest number of a whole one are held exactly
    torch.uint8: (torch.int16, torch.int32, torch.int64, *FLOATS),
    torch.int8: (torch.int16, torch.int32, torch.int64, *FLOATS),
    torch.int16: (torch.int32, torch.int64, torch.float32, torch.float64),
    torch.int32: (torch.int64, torch.float64),
}


@claim("to-changes-dtype-too")
@over(EVERY_MODE, twin=twins(FLOATS, LAYOUTS, values=("fractions",)), target=among(*HELD, torch.int64))
def test_a_conversion_to_whole_numbers_cuts_off_the_fraction(twin, target):
    z, array = twin
    if target == torch.uint8:  # of positive numbers, up to 254.5 where the dtype holds such fractions
        z, array = (abs(each) * (1 if twin.dtype == torch.bfloat16 else 63) + 2.5 for each in (z, array))
    agree(z.to("cpu", target), np.trunc(array).astype(np.int64))
    agree(z.to("cpu", torch.bool), array != 0)
    agree(z.to("cpu", torch.complex64), array.astype(np.complex64))


ROUNDED = among(
    (torch.float32, torch.float64, 1 / 3, 11184811 / 2**25),  # float32's third, all 24 bits of it
    (torch.float64, torch.float32, 1 / 3, 11184811 / 2**25),
    (torch.float64, torch.float32, 1 + 2**-24 + 2**-40, 1 + 2**-23),  # by way of float16 it would be 1
    (torch.int64, torch.float64, 2**53 - 1, 2.0**53 - 1),
    (torch.int64, torch.float32, 4097, 4097.0),
    (torch.int64, torch.float32, 2**24 + 1, 2.0**24),  # to the even one of its neighbours
    (torch.float64, torch.int64, 2.0**53 - 1, 2**53 - 1),
    (torch.float32, torch.int8, 120.5, 120),
    (torch.float32, torch.int8, -127.5, -127),
    (torch.float32, torch.uint8, 254.75, 254),
    (torch.float32, torch.float16, 2049.0, 2048.0),
    (torch.float32, torch.bfloat16, 257.0, 256.0),
    (torch.float32, torch.bfloat16, 1 + 2**-8 + 2**-9, 1 + 2**-7),
    *(
        (source, target, number, number)  # what is infinite or no number stays that, and 0 keeps its sign
        for source, target in itertools.permutations(FLOATS, 2)
        for number in (float("inf"), -float("inf"), float("nan"), -0.0)
    ),
    (torch.float64, torch.float32, 1e300, float("inf")),
    (torch.float16, torch.float32, 2.0**-24, 2.0**-24),
    *((source, torch.bool, number, True) for source in FLOATS for number in (float("nan"), 2.0**-24)),
    (torch.float64, torch.float32, 2.0**-140, 2.0**-140),
    *((source, torch.bool, 256, True) for source in (torch.int16, torch.int32, torch.int64)),  # whose lowest byte is 0
    *((torch.int64, torch.bool, number, True) for number in (2**32, -(2**63))),
    *((torch.float64, torch.bool, number, True) for number in (2.0**-160, 1e300)),
    # whether the real part is 0 was all that counted before torch 2.7
    *(
        (torch.complex64, torch.bool, number, bool(number))
        for number in (2**-140 + 0j, 0j, *[2j] * (RELEASE >= (2, 7)))
    ),
    *((source, torch.float16, 65519.0, 65504.0) for source in (torch.float32, torch.float64, torch.int32)),
    *((source, torch.float16, -65520.0, -float("inf")) for source in (torch.float32, torch.float64, torch.int32)),
    (torch.float32, torch.bfloat16, 3.4e38, float("inf")),
    *((torch.float32, torch.float16, number, number) for number in (2.0**-24, 3 * 2.0**-24, -1023 * 2.0**-24)),
    (torch.float32, torch.float16, 2.0**-26, 0.0),
    (torch.float32, torch.bfloat16, 2.0**-133, 2.0**-133),
    *(
        (source, target, number, float(number) if target.is_floating_point else number)
        for source, targets in HELD.items()
        for target in targets
        for number in (torch.iinfo(source).min, torch.iinfo(source).max)
    ),
)


@claim("to-changes-dtype-too")
@pytest.mark.cpu
@over(EVERY_MODE, case=ROUNDED, size=among(1, 9, 1025))
def test_a_conversion_keeps_what_the_new_dtype_can_hold_and_rounds_once(case, size):
    source, target, number, expected = case
    converted = torch.full((size,), number, dtype=source).to("cpu", target)
    assert {repr(value) for value in converted.tolist()} == {repr(expected)}


@claim("to-changes-dtype-too")
@over(twin=twins((torch.float32, torch.float16, torch.bfloat16), grad=(True,)))
def test_a_conversion_is_recorded_so_that_gradients_come_back_in_the_dtype_of_the_source(twin):
    z, array = twin.but(grad=True)
    converted = z.to("cpu", torch.double)

    assert (converted.requires_grad, converted.dtype) == (True, torch.float64)
    (converted * 3).sum().backward()
    assert (z.grad.dtype, z.grad.device) == (z.dtype, z.device)
    agree(z.grad, np.full_like(array, 3))


@claim("to-changes-dtype-too")
@pytest.mark.cpu
@over(EVERY_MODE, twin=twins(ANY))
def test_nothing_is_copied_where_nothing_changes_unless_one_asks(twin):
    z, array = twin
    assert z.to("cpu", z.dtype) is z
    copy = z.to("cpu", z.dtype, copy=True)
    assert copy is not z
    agree(copy, array)
    agree(pending(z).to("cpu", torch.complex128), array.astype(complex))
