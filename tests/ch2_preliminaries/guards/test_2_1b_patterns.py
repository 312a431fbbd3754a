"""2.1 Creating tensors: regular patterns, for every dtype, any sizes and any spelling."""

import math

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, WRITABLE, Twin, among, each, over, twins, whole
from populations.comparing import agree, host, untouched
from populations.rounding import as_held

claim = pytest.mark.claim

EYED = FLOATS if torch.__version__ >= (2, 3) else FLOATS[:3]  # 2.1 has no eye of bfloat16 on the CPU yet, 2.3 has
KINDS = (*EYED, *(dtype for dtype in ANY if dtype not in FLOATS))
TABLES = ((0, 3), (3, 0), (1, 1), (2, 1), (5, 3), (3, 7), (6, 2), (4, 4), (149, 199), (201, 150))


@claim("eye-is-identity")
@over(EVERY_MODE, twin=twins(KINDS, WRITABLE, TABLES))
def test_only_elements_of_equal_indices_are_one(twin):
    (rows, columns), (output, _) = twin.shape, twin
    results = [
        torch.eye(rows, columns, dtype=twin.dtype),
        torch.eye(n=rows, m=columns, dtype=twin.dtype),
        torch.eye(rows, columns, out=output),
        torch.eye(rows, columns, out=torch.empty(0, dtype=twin.dtype)),
    ]

    for x in results:
        agree(x, (np.arange(rows)[:, None] == np.arange(columns)).astype(int))
        assert x.dtype == twin.dtype
    untouched(output)
    agree(torch.eye(rows), np.identity(rows))


@claim("eye-is-identity", truth=True)
@over(EVERY_MODE, sizes=among((), (2, 3, 4), (3, 3, 3), (1, 1, 1), (2, 2, 2, 2), ((2, 3),)))
def test_eye_refuses_any_other_number_of_sizes(sizes):
    with pytest.raises(TypeError):
        torch.eye(*sizes)


STEPS = {
    "positions": lambda start, end, step, **rest: torch.arange(start, end, step, **rest),
    "keyword": lambda start, end, step, **rest: torch.arange(start, end, step=step, **rest),
    "keywords": lambda start, end, step, **rest: torch.arange(start=start, end=end, step=step, **rest),
    "out": lambda start, end, step, dtype=torch.int64: torch.arange(
        start, end, step, out=gappy(max(0, math.ceil((end - start) / step)), dtype)
    ),
}


def gappy(count, dtype):
    """An output with gaps between its ``count`` elements."""
    return next(iter(Twin(dtype, (count,), "gappy")))


@claim("arange-steps-from-start-to-end", truth=True)
@over(
    EVERY_MODE,
    start=whole(-50, 50, 0, 7, 2**24, -(2**53) - 1),
    distance=whole(0, 99, 1, 6),
    step=whole(1, 50, 2, 3),
    unit=among(1, -1, 1_449_629_115_440_469),  # past 2**53, where doubles hold even numbers only
)
def test_whole_numbers_are_those_of_python_s_range_and_an_end_between_them_makes_them_floating(
    start, distance, step, unit
):
    numbers = start, start + distance * unit, step * unit
    for given in (numbers, numbers, [*map(torch.tensor, numbers)], (start, start + distance), (distance,)):
        x = torch.arange(*given)
        assert (x.tolist(), x.dtype) == (list(range(*given)), torch.int64)
        x.fill_(7)  # the next call gets memory of its own
    agree(torch.arange(distance + 0.5), np.arange(distance + 1))
    assert torch.arange(distance + 0.5).dtype == torch.float32


@claim("arange-steps-from-start-to-end")
@over(
    EVERY_MODE,
    twin=twins((*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8), ("contiguous",), ((5,),)),
    steps=among(*STEPS),
    step=among(1, 2, -3, 0.5, -0.25),
    count=among(0, 1, 9, 33),
    start=among(0, 3, 0.5, -0.75),
)
def test_the_kth_element_is_start_plus_k_steps_in_every_spelling_and_dtype(twin, steps, step, count, start):
    step, start = (step, start) if twin.dtype.is_floating_point else (math.ceil(step) or -1, math.ceil(start))
    start -= min(step * count, 0) * (twin.dtype == torch.uint8)  # bytes go down from above zero
    end, expected = start + step * count, start + step * np.arange(count)
    x = STEPS[steps](start, end, step, dtype=twin.dtype)

    agree(x, expected, roundings=twin.dtype == torch.bfloat16)  # quarters up to 100 are exact but in bfloat16
    untouched(x if steps == "out" else gappy(1, twin.dtype))
    assert x.dtype == twin.dtype
    for given in ([start, end, step], [*map(torch.tensor, (start, end, step))]):
        agree(torch.arange(*given), expected)
        assert torch.arange(*given).dtype == (torch.float32 if isinstance(end, float) else torch.int64)


@claim("arange-steps-from-start-to-end")
@over(step=among(0.1, 0.3, -0.7, 1e-3), count=among(1, 1000, 70_001), dtype=among(*SINGLE_AND_DOUBLE))
def test_rounding_errors_of_a_fractional_step_do_not_pile_up(step, count, dtype):
    x = torch.arange(0, (count - 0.5) * step, step, dtype=dtype)

    agree(x, step * np.arange(count), roundings=2)  # of the step and of the product
    agree(torch.arange(7, 7 + 3 * count, 3), 7 + 3 * np.arange(count))


ENDS = among(
    *(((0.1, 0.5, 0.05), torch.float32), ((-4, 4, 0.01), torch.float32), ((1, 1.3, 0.1), torch.float32)),
    *(((0.6, 0.9, 0.1), torch.float32), ((0, 1, 0.1), torch.float32), ((2, -1, -0.3), torch.float32)),
    # where the dtype holds even numbers only: of 258 and 260, the one with the even last bit is nearest to 259
    *(((258, 260, 1), torch.bfloat16), ((2050, 2052, 1), torch.float16), ((2**24 + 2, 2**24 + 4, 1), torch.float32)),
)


@claim("arange-steps-from-start-to-end", truth=True)
@pytest.mark.cpu
@over(case=ENDS)
def test_values_are_as_many_as_steps_fit_by_double_precision_and_then_rounded_even_to_the_end(case):
    (start, end, step), dtype = case
    points = start + step * np.arange(math.ceil((end - start) / step))

    x = torch.arange(start, end, step, dtype=dtype)
    agree(x, as_held(points, dtype), roundings=3 * isinstance(step, float), scale=4)  # of the numbers up to 4


@claim("arange-steps-from-start-to-end", truth=True)
@over(dtype=among(torch.int64, torch.int32, torch.int16), step=among(1.5, 2.25, 3.75), start=among(0.75, 5.5, -2.75))
def test_a_dtype_of_whole_numbers_cuts_start_and_step(dtype, step, start):
    x = torch.arange(start, 30, step, dtype=dtype)
    agree(x[:5], int(start) + int(step) * np.arange(5))


@claim("arange-steps-from-start-to-end", truth=True)
@over(
    EVERY_MODE,
    numbers=among(
        *((5, 1, 1), (1, 5, -1), (0.5, 0.0, 0.25), (2.0**24 + 1, 2.0**24, 1.0)),
        *((0, 5, 0), (0, 0.5, 0.0), (3, 3, 0), (0.5, 0.5, 0.0)),
        *((-3,), (-0.5,), (2, 1)),  # the step is 1 where none is named
        *((-3e-50,), (0.0, 2e-200, -1.0)),  # an end that is 0 in single precision
    ),
)
def test_a_step_that_does_not_lead_to_the_end_is_refused(numbers):
    with pytest.raises(RuntimeError, match="step"):
        torch.arange(*numbers)


SPACES = {
    "tensors": lambda start, end, steps, dtype: torch.linspace(
        *torch.tensor([start, end], dtype=dtype), steps, dtype=dtype
    ),
    "a tensor": lambda start, end, steps, dtype: torch.linspace(
        torch.tensor(start, dtype=dtype), end, steps, dtype=dtype
    ),
    "positions": lambda start, end, steps, dtype: torch.linspace(start, end, steps, dtype=dtype),
    "keywords": lambda start, end, steps, dtype: torch.linspace(end=end, steps=steps, start=start, dtype=dtype),
    "out": lambda start, end, steps, dtype: torch.linspace(start, end, steps, out=gappy(steps, dtype)),
    "complex": lambda start, end, steps, dtype: torch.linspace(
        end + 1j * start, start + 1j * end, steps, dtype=torch.promote_types(dtype, torch.complex64)
    ).imag.to(dtype),
}
MOST = {torch.float16: 5003}  # of more points between 0.4 and 0 the distance is no normal number


@claim("linspace-divides-evenly", truth=True)
@over(
    EVERY_MODE,
    twin=twins(FLOATS, ("contiguous",), ((5,),)),
    ends=each((0, 10), (6, -2), (0.5, 1.5), (0, 1), (-50, 50), (3, 3), (1, 5003), (0.4, 0), (-2.3, 100.3)),
    steps=among(0, 1, 2, 5, 62, 64, 204, 257, 20_011),
    spelled=among(*SPACES),
)
def test_points_are_steps_in_number_and_divide_the_interval_evenly_ends_included(twin, ends, steps, spelled):
    (start, end), steps = ends, min(steps, MOST.get(twin.dtype, steps))
    points = np.arange(steps) / max(steps - 1, 1) * (end - start) + start
    x = SPACES[spelled](start, end, steps, twin.dtype)

    # roundings of an end, of the distance, of the part, of the product and of the sum
    agree(x, points, roundings=5, scale=abs(start) + abs(end))
    agree(x[:: max(steps - 1, 1)], as_held(points[:: max(steps - 1, 1)], twin.dtype))
    assert x.dtype == twin.dtype
    with pytest.raises(TypeError):
        torch.linspace(start=start, end=end)


@claim("linspace-divides-evenly", truth=True)
@over(ends=among((-(2**31) + 1, 2**31 - 1), (-(10**9), 2**31 - 1), (2**31 - 1, -(2**31))), steps=among(2, 10, 65_538))
def test_the_widest_interval_of_whole_numbers_is_divided_evenly_too(ends, steps):
    start, end = ends
    points = start + (end - start) * np.arange(steps) / (steps - 1)

    # cut, and computed with parts of a float32, whose error of half a unit grows with each of the points
    off = np.abs(host(torch.linspace(start, end, steps, dtype=torch.int32)) - points)
    assert off.max() <= 1 + steps * abs(end - start) * 2**-24


@claim("linspace-divides-evenly", truth=True)
@pytest.mark.cpu
@over(case=among((65_520, 1, 0.5), (65_520, -8, -4), (65_521, 1, 1), (70_001, -8, -8), (5_001, 0.0004, 0.00025)))
def test_half_precision_divides_evenly_by_up_to_65520_points_into_no_tiny_parts_and_since_torch_2_15_always(case):
    """0.0004 / 5,000 is one and a third of the smallest float16, and is rounded to one; 1 / 65,519 is 256 of them."""
    points, end, middle_before = case
    middle = torch.linspace(0, end, points, dtype=torch.float16)[points // 2].item()
    assert middle == pytest.approx(end / 2 if torch.__version__ >= (2, 15) else middle_before, rel=5e-3)


@claim("linspace-divides-evenly", truth=True)
@over(
    twin=twins((torch.int64, torch.int32, torch.int16, torch.int8), ("contiguous",), ((5,),)),
    ends=among((0, 10), (-5, 5), (10, 0), (-12, 4), (4.6, -2), (-100, 100), (0.5, 1.5), (-3, -60)),
    steps=among(4, 7, 20, 33, 401),
)
def test_whole_numbers_are_cut_from_even_points_between_ends_that_are_cut_first(twin, ends, steps):
    start, end = (math.trunc(each) for each in ends)
    above = start * (steps - 1) + (end - start) * np.arange(steps)  # the points times steps - 1: exact
    cut = np.sign(above) * (np.abs(above) // (steps - 1))
    x = torch.linspace(*ends, steps, dtype=twin.dtype)

    exact = cut * (steps - 1) == above
    off = np.abs(np.array(x.tolist()) - cut)
    assert (off <= exact).all(), f"{x.tolist()} instead of {cut.tolist()}"  # a whole point may come out one off
    assert (x.dtype, x[0].item(), x[-1].item()) == (twin.dtype, start, end)


@claim("linspace-divides-evenly", truth=True)
@over(
    steps=among(5, 4096, 4097, 65_537),
    part=among(1, -2, 0.5, 2.0**-12),
    start=among(0, 1, -7),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_points_are_exact_where_nothing_rounds(steps, part, start, dtype):
    """On the CPU: elsewhere the part of the way that leads to a point may be rounded first, and the product then."""
    end = start + part * (steps - 1)
    x = torch.linspace(start, end, steps, dtype=dtype)
    agree(x, start + part * np.arange(steps), 2 * (x.device.type != "cpu"), max(abs(start), abs(end)))


@claim("arange-steps-from-start-to-end")
@claim("linspace-divides-evenly", truth=True)
@pytest.mark.cpu
@over(
    shape=among((1, 12), (12, 1), (3, 4), (2, 3, 2)),
    layout=among(*WRITABLE),
    create=among("arange", "linspace"),
    dtype=among(*SINGLE_AND_DOUBLE, torch.int64, torch.uint8),
)
def test_an_output_of_as_many_elements_keeps_its_shape_and_is_filled_in_row_order(shape, layout, create, dtype):
    output, _ = Twin(dtype, shape, layout)
    assert getattr(torch, create)(0, *{"arange": [12], "linspace": [11, 12]}[create], out=output) is output
    agree(output, np.arange(12).reshape(shape))
    untouched(output)


WITHOUT_A_DTYPE = {
    "ones": (lambda: torch.ones(2, 3), np.ones((2, 3))),
    "zeros": (lambda: torch.zeros((3,)), np.zeros(3)),
    "eye": (lambda: torch.eye(2, 3), np.eye(2, 3)),
    "arange to a fraction": (lambda: torch.arange(2.5), np.arange(3)),
    "arange by a fraction": (lambda: torch.arange(0, 2, 0.25), np.arange(8) / 4),
    "linspace": (lambda: torch.linspace(0, 2, 5), np.arange(5) / 2),
    "full": (lambda: torch.full((2,), 0.5), np.full(2, 0.5)),
    "normal": (lambda: torch.normal(0.5, 0.0, (3,)), np.full(3, 0.5)),
    "uniform numbers": (lambda: torch.rand(9) * 0, np.zeros(9)),
    "normal numbers": (lambda: torch.randn(3, 3) * 0, np.zeros((3, 3))),
}


@claim("ones-fills-with-one", "zeros-fills-with-zero", "eye-is-identity", "normal-takes-mean-and-std")
@claim("arange-steps-from-start-to-end", "rand-is-standard-uniform", "randn-is-standard-normal")
@claim("linspace-divides-evenly", truth=True)
@over(EVERY_MODE, name=each(*WITHOUT_A_DTYPE), default=each(*EYED))
def test_floating_numbers_made_without_a_dtype_are_of_the_default_one(name, default):
    torch.set_default_dtype(default)
    (make, expected), whole_numbers = WITHOUT_A_DTYPE[name], torch.arange(3)
    made = make()

    assert (made.dtype, whole_numbers.dtype) == (default, torch.int64)
    agree(made, expected)
