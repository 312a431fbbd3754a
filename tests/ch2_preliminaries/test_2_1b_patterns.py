"""2.1 Creating tensors: regular patterns

`eye` writes an identity matrix; `arange` and `linspace` write evenly spaced numbers. The last two differ in what they
are told: `arange` gets the distance between neighbours and finds out how many numbers fit, `linspace` gets the number
of points and finds out their distance. `arange` leaves its end out, as Python's `range` does; `linspace` keeps both
ends.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

claim = pytest.mark.claim

integers = st.integers(-50, 50)

# ── eye-is-identity ──


@claim("eye-is-identity")
def test_one_size_makes_a_square_identity_matrix():
    assert torch.eye(3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@claim("eye-is-identity")
def test_more_columns_than_rows_leave_zero_columns():
    assert torch.eye(2, 4).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]


@claim("eye-is-identity")
def test_more_rows_than_columns_leave_zero_rows():
    assert torch.eye(4, 2).tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]


@claim("eye-is-identity")
@given(rows=st.integers(0, 12), columns=st.integers(0, 12))
def test_only_elements_of_equal_indices_are_one(rows, columns):
    x = torch.eye(rows, columns)

    assert x.shape == (rows, columns)
    assert x.tolist() == [[1 if i == j else 0 for j in range(columns)] for i in range(rows)]


@claim("eye-is-identity")
def test_a_large_identity_matrix_has_one_one_per_row():
    assert torch.eye(150).tolist() == [[0] * i + [1] + [0] * (149 - i) for i in range(150)]


@claim("eye-is-identity")
def test_multiplying_by_a_square_eye_changes_nothing():
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    assert (torch.eye(2) @ x).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert (x @ torch.eye(3)).tolist() == [[1, 2, 3], [4, 5, 6]]


@claim("eye-is-identity")
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float16, torch.complex64])
def test_eye_has_the_dtype_asked_for(dtype):
    x = torch.eye(2, 3, dtype=dtype)

    assert x.dtype == dtype
    assert x.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert torch.eye(2).dtype == torch.float32


@claim("eye-is-identity", truth=True)
@pytest.mark.parametrize("sizes", [(2, 3, 4), (3, 3, 3), (1, 1, 1), (2, 2, 2, 2)])
def test_eye_refuses_more_than_two_sizes(sizes):
    with pytest.raises(TypeError, match="invalid combination of arguments"):
        torch.eye(*sizes)


# ── arange-steps-from-start-to-end ──


@claim("arange-steps-from-start-to-end")
def test_neighbours_differ_by_the_step():
    x = torch.arange(2, 10, 3)

    assert x.tolist() == [2, 5, 8]
    assert x.dtype == torch.int64


@claim("arange-steps-from-start-to-end")
def test_a_negative_step_runs_downwards():
    assert torch.arange(10, 2, -3).tolist() == [10, 7, 4]
    assert torch.arange(2, -3, -1).tolist() == [2, 1, 0, -1, -2]


@claim("arange-steps-from-start-to-end")
def test_a_step_of_one_and_a_start_of_zero_are_the_defaults():
    assert torch.arange(3, 6).tolist() == [3, 4, 5]
    assert torch.arange(4).tolist() == [0, 1, 2, 3]


@claim("arange-steps-from-start-to-end")
def test_a_fractional_argument_makes_the_result_floating():
    x = torch.arange(-1, 1, 0.5)

    assert x.tolist() == [-1.0, -0.5, 0.0, 0.5]
    assert x.dtype == torch.float32


@claim("arange-steps-from-start-to-end")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float16, torch.float64])
def test_arange_has_the_dtype_asked_for(dtype):
    x = torch.arange(1, 8, 2, dtype=dtype)

    assert x.dtype == dtype
    assert x.tolist() == [1, 3, 5, 7]


@claim("arange-steps-from-start-to-end")
@given(start=integers, count=st.integers(0, 40), step=integers.filter(bool))
def test_the_kth_element_is_start_plus_k_steps(start, count, step):
    x = torch.arange(start, start + count * step, step)

    assert x.tolist() == [start + k * step for k in range(count)]


@claim("arange-steps-from-start-to-end")
def test_a_long_range_reaches_its_last_element():
    assert torch.arange(7, 70_000, 3).tolist() == list(range(7, 70_000, 3))


@claim("arange-steps-from-start-to-end")
def test_the_rounding_errors_of_a_fractional_step_do_not_pile_up():
    x = torch.arange(0, 1000, 0.1)

    # float32 rounds at 6e-8; 10,000 additions of 0.1 would be off by 1e-4.
    torch.testing.assert_close(x.tolist(), [k / 10 for k in range(10_000)], rtol=1e-6, atol=0)


@claim("arange-steps-from-start-to-end", truth=True)
def test_the_end_is_excluded():
    assert torch.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert torch.arange(1, 8, 2).tolist() == [1, 3, 5, 7]


@claim("arange-steps-from-start-to-end", truth=True)
def test_the_end_is_excluded_for_a_negative_step_too():
    assert torch.arange(7, 1, -2).tolist() == [7, 5, 3]
    assert torch.arange(7, 0, -2).tolist() == [7, 5, 3, 1]


@claim("arange-steps-from-start-to-end", truth=True)
@given(start=integers, distance=st.integers(0, 99), step=st.integers(1, 50), sign=st.sampled_from([1, -1]))
def test_arange_is_the_half_open_interval_of_python_range(start, distance, step, sign):
    end = start + sign * distance

    assert torch.arange(start, end, sign * step).tolist() == list(range(start, end, sign * step))


@claim("arange-steps-from-start-to-end", truth=True)
def test_a_start_equal_to_the_end_gives_no_element():
    assert torch.arange(3, 3).tolist() == []
    assert torch.arange(3, 3, -1).tolist() == []


@claim("arange-steps-from-start-to-end", truth=True)
@pytest.mark.parametrize("start, end, step", [(5, 1, 1), (1, 5, -1), (0.5, 0.0, 0.25)])
def test_a_step_that_leads_away_from_the_end_is_refused(start, end, step):
    with pytest.raises(RuntimeError, match="inconsistent with step sign"):
        torch.arange(start, end, step)


@claim("arange-steps-from-start-to-end", truth=True)
def test_a_fractional_step_may_round_onto_the_end():
    """In binary, 1.3 - 1 is a little more than 3 times 0.1, so a fourth element still fits before the end."""
    assert math.ceil((1.3 - 1) / 0.1) == 4

    x = torch.arange(1, 1.3, 0.1)

    torch.testing.assert_close(x, torch.tensor([1.0, 1.1, 1.2, 1.3]))


@claim("arange-steps-from-start-to-end", truth=True)
def test_a_fractional_step_that_binary_expresses_exactly_excludes_the_end():
    assert torch.arange(1, 1.75, 0.25).tolist() == [1.0, 1.25, 1.5]


# ── linspace-divides-evenly ──


@claim("linspace-divides-evenly")
def test_five_steps_make_five_parts():
    x = torch.linspace(0, 10, 5)

    assert len(x.diff()) == 5


@claim("linspace-divides-evenly")
def test_each_of_five_parts_is_a_fifth_of_the_distance():
    x = torch.linspace(0, 10, 5)

    assert (x[1] - x[0]).item() == 2.0


@claim("linspace-divides-evenly", truth=True)
def test_steps_counts_the_points():
    x = torch.linspace(0, 10, 5)

    assert x.tolist() == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert x.dtype == torch.float32


@claim("linspace-divides-evenly", truth=True)
def test_the_points_may_run_downwards():
    assert torch.linspace(6, -2, 5).tolist() == [6, 4, 2, 0, -2]


@claim("linspace-divides-evenly", truth=True)
@given(start=integers, end=integers, steps=st.integers(2, 60))
def test_both_ends_bound_steps_minus_one_equal_parts(start, end, steps):
    x = torch.linspace(start, end, steps, dtype=torch.float64)

    part = (end - start) / (steps - 1)
    # float64 rounds at 1e-16, so the few roundings of numbers up to 50 stay far within 1e-12.
    torch.testing.assert_close(x.tolist(), [start + k * part for k in range(steps)], rtol=1e-12, atol=1e-12)
    assert x[0].item() == start
    assert x[-1].item() == end


@claim("linspace-divides-evenly", truth=True)
def test_many_points_still_end_at_the_end():
    x = torch.linspace(1, 5001, 5001)

    assert x.tolist() == list(range(1, 5002))


@claim("linspace-divides-evenly", truth=True)
def test_one_step_gives_the_start_alone():
    assert torch.linspace(3, 8, 1).tolist() == [3.0]


@claim("linspace-divides-evenly", truth=True)
def test_no_step_gives_no_point():
    assert torch.linspace(3, 8, 0).tolist() == []


@claim("linspace-divides-evenly", truth=True)
@pytest.mark.parametrize(
    "start, end, points", [(0, 10, [0, 3, 6, 10]), (-5, 5, [-5, -1, 1, 5]), (10, 0, [10, 6, 3, 0])]
)
def test_an_integer_dtype_drops_the_fractions(start, end, points):
    """Between 0 and 10 the two inner points are 10/3 and 20/3; between -5 and 5 they are -5/3 and 5/3."""
    x = torch.linspace(start, end, 4, dtype=torch.int64)

    assert x.dtype == torch.int64
    assert x.tolist() == points


@claim("linspace-divides-evenly", truth=True)
def test_the_number_of_points_must_be_given():
    with pytest.raises(TypeError, match="linspace"):
        torch.linspace(0, 10)
