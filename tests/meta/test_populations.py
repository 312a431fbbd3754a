"""Populations: every condition that they name is met in every run, and what differs from the oracle is noticed."""

import numpy as np
import pytest
import torch
from harness import capabilities
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable, UnsatisfiedAssumption
from populations import (
    ANY,
    EVERY_MODE,
    FLOATS,
    LAYOUTS,
    WRITABLE,
    Twin,
    agree,
    among,
    each,
    over,
    twins,
    untouched,
    whole,
)
from populations.core import nothing_left, rows, turn
from populations.twins import KINDS, RARER, TALL
from torch.utils._python_dispatch import TorchDispatchMode


class Inputs(TorchDispatchMode):
    """Notes the tensors that kernels are called with."""

    def __init__(self):
        super().__init__()
        self.met = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.met += [argument for argument in args if isinstance(argument, torch.Tensor)]
        return function(*args, **(kwargs or {}))


CONDITIONS = {
    "rank 0": lambda x: x.dim() == 0,
    "rank 5": lambda x: x.dim() == 5,
    "empty": lambda x: x.numel() == 0,
    "past 2**16 elements": lambda x: x.numel() > 2**16,
    "one past a power of two": lambda x: x.numel() in (257, 65537),
    **{f"{rest} elements beside eights": lambda x, rest=rest: x.numel() % 8 == rest for rest in range(8)},
    "with gaps": lambda x: x.dim() == 1 and x.stride(0) == 2,
    "transposed": lambda x: x.dim() == 2 and 1 < x.shape[0] == x.stride(1),
    "channels last": lambda x: (
        x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    ),
    "an offset": lambda x: x.storage_offset() > 0,
    "expanded": lambda x: x.dim() > 0 and x.stride(0) == 0 and x.shape[0] > 1,
    "an offset in what is no view": lambda x: x.storage_offset() > 0 and not x._is_view(),
    "a square matrix": lambda x: x.dim() == 2 and x.shape[0] == x.shape[1] > 1,
    "a tall matrix": lambda x: x.dim() == 2 and x.shape[0] > 8 * x.shape[1] > 8,
    "a wide matrix": lambda x: x.dim() == 2 and x.shape[1] > 8 * x.shape[0] > 8,
    **{
        f"{told} of {dtype}": lambda x, dtype=dtype, asked=asked: x.dtype == dtype and bool(asked(abs(x)).any())
        for dtype in FLOATS
        for told, asked in (("tiny numbers", lambda x: (x > 0) & (x < 2**-8)), ("large ones", lambda x: x > 2000))
    },
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_kernels_meet_every_condition_of_the_layout_in_every_run(condition):
    with Inputs() as inputs:
        for twin in twins().must:
            tensor, _ = twin
            tensor.abs()
    assert any(map(CONDITIONS[condition], inputs.met))


@pytest.mark.parametrize("dtype", ANY, ids=str)
def test_every_dtype_is_met_in_every_layout_and_in_every_shape(dtype):
    of_dtype = [twin for twin in twins(ANY).must if twin.dtype == dtype]
    assert {twin.layout for twin in of_dtype} == set(LAYOUTS)
    rarer = [twin for twin in twins(ANY).rarer if twin.dtype == dtype]
    assert {twin.layout for twin in rarer if twin.shape != TALL} == set(RARER)
    assert TALL in [twin.shape for twin in rarer]
    assert {twin.shape for twin in of_dtype} | {(1, 1)} == {twin.shape for twin in twins().must}  # of the first alone


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_numbers_of_either_kind_are_met_in_every_layout(dtype):
    of_dtype = [(twin.values, twin.layout) for twin in twins().must if twin.dtype == dtype]
    assert set(of_dtype) == {(values, layout) for values in ("small", "wide") for layout in LAYOUTS}


def test_both_devices_and_both_answers_about_gradients_are_met_with_every_dtype():
    for dtype in FLOATS:
        met = {(twin.second, twin.grad) for twin in twins(grad=(False, True)).must if twin.dtype == dtype}
        assert met == {(False, False), (False, True), (True, False), (True, True)}


@pytest.mark.parametrize("layout", [*LAYOUTS, *RARER])
@pytest.mark.parametrize("values", ["small", "positive", "distinct", "fractions", "quarters"])
def test_tensor_and_array_agree_whatever_the_recipe(layout, values):
    for dtype in ANY:
        tensor, array = Twin(dtype, (2, 3, 4, 5), layout, values=values, seed=1)
        assert tensor.dtype == dtype
        agree(tensor, array)


def test_what_is_drawn_is_printed_as_it_is_written():
    twin = Twin(torch.float16, (2, 3), "gappy", grad=True, seed=5)
    assert repr(twin) == "Twin(torch.float16, (2, 3), 'gappy', grad=True, seed=5)"
    assert eval(repr(twin)) == twin


@pytest.mark.parametrize(
    "actual, expected, told",
    [
        (torch.tensor([1.0, 2.0]), [1, 3], "2.0) instead of np.int64(3) at [1]; 1 of 2 differ: float32 of shape (2,)"),
        (torch.tensor([float("nan")]), [1], "1 of 1 differ"),
        (torch.tensor(True), [True], "shape () instead of (1,)"),
        (torch.ones(2, 3).t(), np.zeros((3, 2)), "strides (1, 3), offset 0, on cpu"),
    ],
)
def test_a_value_or_a_shape_that_differs_is_told(actual, expected, told):
    with pytest.raises(AssertionError) as caught:
        agree(actual, expected)
    assert told in str(caught.value)


def test_nan_agrees_with_nan_and_roundings_are_counted():
    agree(torch.tensor([float("nan"), float("inf")]), [np.nan, np.inf])
    one_off = torch.tensor(1 + 2**-23)
    agree(one_off, 1.0, roundings=2)
    with pytest.raises(AssertionError):
        agree(one_off, 1.0, roundings=1)
    agree(one_off, 1.0, roundings=1, scale=2)


def test_a_write_beside_the_elements_is_noticed():
    for layout in WRITABLE[1:4:2]:
        tensor, _ = Twin(torch.int64, (2, 3), layout)
        tensor.zero_()
        untouched(tensor)
        tensor.as_strided((1,), (1,), 0).zero_()
        with pytest.raises(AssertionError, match="written beside its elements"):
            untouched(tensor)


def test_a_guard_meets_every_member_that_must_be_met_and_then_draws():
    met = []

    @over(number=whole(1, 100, 50), letter=among("a", "b"))
    def guard(number, letter):
        met.append((number, letter))

    guard()
    assert met[:6] == [(number, letter) for number in (1, 100, 50) for letter in "ab"]
    assert len(met) > 6


def test_a_guard_that_met_all_there_is_draws_nothing_and_one_that_met_nothing_fails():
    met = []

    @over(sign=among("+", "-"), letter=each("a", "b"))
    def guard(sign, letter):
        met.append(sign + letter)

    @over(number=among(1, 2))
    def vacuous(number):
        raise UnsatisfiedAssumption

    guard()
    assert met == ["+a", "+b", "-a", "-b"]
    with pytest.raises(Unsatisfiable):
        vacuous()


@pytest.mark.parametrize("modes", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("beside", [1, 2, 3, 9, 14, 24, 54])
def test_each_member_of_what_is_always_met_and_what_comes_every_nth_row_meets_all_modes(modes, beside):
    of_row = [[turn(row * beside + place, beside, modes) for place in range(beside)] for row in range(modes**2)]

    for place in range(beside):
        assert {row[place] for row in of_row[:modes]} == {*range(modes)}
        assert {row[place] for row in of_row[::modes]} == {*range(modes)}


def test_each_member_of_what_is_always_met_meets_every_combination_of_the_others():
    met = []

    @over(number=whole(1, 100), letter=among("a", "b"), operation=each("+", "-"))
    def guard(number, letter, operation):
        met.append((number, letter, operation))

    guard()
    assert met[:8] == [(number, letter, operation) for number in (1, 100) for letter in "ab" for operation in "+-"]


def test_combinations_take_turns_at_being_recorded_and_each_kind_of_tensor_meets_every_mode():
    met = []

    @over(EVERY_MODE, twin=twins((torch.float32,)))
    def guard(twin):
        tensor, _ = twin
        kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "tensor"
        met.append((kind, torch.is_grad_enabled(), torch.is_inference_mode_enabled()))

    guard()
    modes = ((True, False), (False, False), (False, True))
    assert {*met} == {(kind, *mode) for kind in ("tensor", "parameter") for mode in modes}


def test_every_kind_of_tensor_is_met_and_what_asks_for_gradients_keeps_its_own():
    made = {twin.kind: next(iter(twin)) for twin in twins(grad=(True,)).must}
    assert [made[kind].is_leaf for kind in KINDS] == [True, False, True]
    for tensor in made.values():
        (tensor * 3).sum().backward()
        agree(tensor.grad, np.full(tensor.shape, 3))


def test_where_combinations_are_many_each_member_meets_many_of_the_other():
    combined = rows({"one": tuple(range(40)), "other": tuple("abcdef")})
    assert {row["one"] for row in combined} == set(range(40))
    for letter in "abcdef":
        assert len({row["one"] for row in combined if row["other"] == letter}) >= 6


def test_what_the_device_lacks_is_left_out_and_named_where_nothing_is_left(monkeypatch):
    monkeypatch.setattr(capabilities, "lack", lambda thing: "mps has no float64" if "float64" in str(thing) else None)
    met = []

    @over(twin=twins((torch.float32, torch.float64)))
    def either(twin):
        met.append(twin.dtype)

    @over(twin=twins((torch.float64,)), seed=st.integers())
    def doubles(twin, seed):
        pass

    either()
    assert set(met) == {torch.float32}
    assert nothing_left(either) is None
    for alone in (twins((torch.float64,)), among(torch.float64), among("float64")):
        assert nothing_left(over(member=alone)(lambda member: None)) == "mps has no float64"


def test_rarer_members_come_once_and_last_and_change_no_other_combination():
    @over(a=among(1, 2, 3), b=among("x", "y"))
    def without(a, b):
        pass

    @over(a=among(1, 2, 3).rarely(8, 9), b=among("x", "y"))
    def with_them(a, b):
        pass

    assert with_them.combined == [*without.combined, {"a": 8, "b": "x"}, {"a": 9, "b": "y"}]
