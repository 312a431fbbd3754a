"""Counterfeits of section 2.3: shapes matched at the wrong end, sizes stretched too readily, and hidden copies."""

import itertools
import math

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    as_in_memory,
    beyond,
    change_method,
    change_output,
    copied,
    everywhere,
    in_order_of_storage,
    is_pending,
    last_off,
    not_contiguous,
    of_dtype,
    repeats_columns,
    tracked,
    where,
    with_value,
    wrap,
)
from torch import Tensor


def change_addition(patch, wrong):
    """Let `x + y` and `torch.add(x, y)` be `wrong(original, x, y)`."""
    add = torch.add

    def changed(x, y, **rest):
        tensors = isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor)
        return wrong(add, x, y) if tensors else add(x, y, **rest)

    patch.setattr(torch, "add", changed)
    patch.setattr(torch.Tensor, "__add__", changed)


# ── broadcasting-matches-shapes ──


@counterfeit("broadcasting-matches-shapes")
def a_vector_meets_a_square_from_the_left(patch):
    def wrong(add, x, y):
        ambiguous = x.dim() == 2 and y.dim() == 1 and x.shape == (len(y), len(y))
        return add(x, y.unsqueeze(1) if ambiguous else y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_vector_that_does_not_fit_is_laid_along_the_rows(patch):
    """(2, 3) + (2,) is done as (2, 3) + (2, 1)."""

    def wrong(add, x, y):
        fits_rows = x.dim() == 2 and y.dim() == 1 and x.shape[0] == len(y) > 1 and x.shape[1] not in (1, len(y))
        return add(x, y.unsqueeze(1) if fits_rows else y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_size_that_divides_the_other_is_repeated(patch):
    def wrong(add, x, y):
        divides = x.dim() == y.dim() == 1 and 1 < len(y) < len(x) and len(x) % len(y) == 0
        return add(x, y.repeat(len(x) // len(y)) if divides else y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def an_empty_operand_empties_the_result(patch):
    """(0,) + (2,) is not refused."""

    def wrong(add, x, y):
        return add(x, y[:0]) if x.shape == (0,) and y.dim() == 1 else add(x, y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_missing_dimension_is_supplied_at_the_end_of_three(patch):
    def wrong(add, x, y):
        return add(x, y.unsqueeze(-1) if x.dim() == 3 and x.shape[:2] == y.shape else y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_size_of_one_beats_a_size_of_zero(patch):
    def wrong(add, x, y):
        result = add(x, y)
        return result if result.numel() or not y.numel() else add(torch.zeros(y.shape, dtype=x.dtype), y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def the_last_element_of_a_large_table_is_left_at_zero(patch):

    def wrong(add, x, y):
        result = add(x, y)
        if result.numel() > 1000:
            result[-1, -1] = 0
        return result

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def addition_reads_a_transposed_operand_in_the_order_of_storage(patch):
    def wrong(add, x, y):
        columns = x.dim() == 2 and not x.is_contiguous() and x.t().is_contiguous()
        return add(x.t().reshape(x.shape) if columns else x, y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def addition_stretches_its_left_operand_for_good(patch):
    def wrong(add, x, y):
        result = add(x, y)
        if result.shape != x.shape and x.dim() == 2:
            x.resize_(result.shape)
        return result

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def subtraction_puts_the_larger_operand_first(patch):
    change_method(patch, "__sub__", lambda subtract, x, y: subtract(y, x) if y.numel() > x.numel() else subtract(x, y))


@counterfeit("broadcasting-matches-shapes")
def comparison_looks_at_the_first_row_only(patch):
    def wrong(less, x, y):
        result = less(x, y)
        return result[:1].expand(result.shape) if result.dim() > 1 and x.dim() != y.dim() else result

    change_method(patch, "__lt__", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_scalar_tensor_meets_the_first_row_only(patch):
    def wrong(multiply, x, y):
        result = multiply(x, y)
        if isinstance(y, torch.Tensor) and y.dim() == 0 and x.dim() == 2:
            result[1:] = x[1:]
        return result

    change_method(patch, "__mul__", wrong)


@counterfeit("broadcasting-matches-shapes")
def where_repeats_its_first_column_under_a_condition_of_one_column(patch):
    def wrong(where, condition, x, y):
        result = where(condition, x, y)
        return result[..., :1].expand(result.shape) if condition.dim() == 2 and condition.shape[1] == 1 else result

    wrap(patch, torch, "where", wrong)


@counterfeit("broadcasting-matches-shapes")
def maximum_forgets_a_smaller_left_operand(patch):
    def wrong(maximum, x, y):
        return maximum(x, y) if y.numel() <= x.numel() else y.clone()

    wrap(patch, torch, "maximum", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_row_grows_when_a_table_is_added_in_place(patch):
    change_method(
        patch, "__iadd__", lambda add, x, y: x + y if isinstance(y, torch.Tensor) and y.dim() > x.dim() else add(x, y)
    )


@counterfeit("broadcasting-matches-shapes")
def an_in_place_addition_makes_a_new_table(patch):
    change_method(patch, "__iadd__", lambda add, x, y: x + y)


@counterfeit("broadcasting-matches-shapes")
def power_refuses_nothing_that_can_be_cut_to_size(patch):
    def wrong(power, x, y):
        tensors = isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor)
        cut = tensors and x.dim() == 2 and y.dim() == 1 and len(y) > x.shape[1] > 1
        return power(x, y[: x.shape[1]] if cut else y)

    wrap(patch, torch, "pow", wrong)


@counterfeit("broadcasting-matches-shapes")
def equality_of_unequal_shapes_is_false(patch):
    """(2, 3) == (4,) is one False, instead of an error."""

    def wrong(equal, x, y):
        clash = isinstance(y, torch.Tensor) and any(
            m != n and 1 not in (m, n) for m, n in zip(x.shape[::-1], y.shape[::-1])
        )
        return torch.tensor(False) if clash else equal(x, y)

    change_method(patch, "__eq__", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_column_is_added_to_a_square_as_a_row(patch):
    """In place only."""

    def wrong(add, x, y):
        column = isinstance(y, torch.Tensor) and y.dim() == 2 and y.shape == (x.shape[-1], 1)
        return add(x, y.t() if column else y)

    change_method(patch, "__iadd__", wrong)


@counterfeit("broadcasting-matches-shapes")
def addition_repeats_its_first_slice_in_more_than_four_dimensions(patch):
    def wrong(add, x, y):
        result = add(x, y)
        if result.dim() > 4 and x.shape != y.shape:
            result[1:] = result[:1]
        return result

    change_addition(patch, wrong)


def upside_down(x, y):
    """The second of two operands, turned round where it is a column of as many as the first has columns."""
    turned = isinstance(y, torch.Tensor) and x.dim() == y.dim() == 2 and y.shape[1] == 1 and len(y) == x.shape[1] > 1
    return y.t() if turned else y


def turn_where(patch, owner, name, condition):
    """Let an operation take a column for a row where `condition(x)`."""
    wrap(patch, owner, name, lambda right, x, y, **rest: right(x, upside_down(x, y) if condition(x) else y, **rest))


@counterfeit("broadcasting-matches-shapes")
def float_operands_are_broadcast_upside_down(patch):
    turn_where(patch, torch.Tensor, "__add__", torch.is_floating_point)


@counterfeit("broadcasting-matches-shapes")
def operands_that_require_gradients_are_broadcast_upside_down(patch):
    turn_where(patch, torch.Tensor, "__mul__", tracked)


@counterfeit("broadcasting-matches-shapes")
def the_method_add_broadcasts_upside_down(patch):
    turn_where(patch, torch.Tensor, "add", lambda x: True)


@counterfeit("broadcasting-matches-shapes")
def add_in_place_by_name_broadcasts_upside_down(patch):
    turn_where(patch, torch.Tensor, "add_", lambda x: True)


@counterfeit("broadcasting-matches-shapes")
def torch_pow_broadcasts_upside_down(patch):
    turn_where(patch, torch, "pow", lambda x: True)


@counterfeit("broadcasting-matches-shapes")
def addition_of_bfloat16_rounds_to_multiples_of_four(patch):
    where(patch, torch.Tensor, "__add__", of_dtype(torch.bfloat16), lambda result, *_: (result / 4).round() * 4)


@counterfeit("broadcasting-matches-shapes")
def a_mismatch_of_integers_is_cut(patch):
    def wrong(add, x, y):
        cut = x.dim() == y.dim() == 1 and 1 < len(y) < len(x) and not x.is_floating_point()
        return add(x[: len(y)] if cut else x, y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_mismatch_in_place_is_cut(patch):
    change_method(
        patch,
        "add_",
        lambda add_, x, y, **rest: add_(
            x, y[..., : x.shape[-1]] if x.dim() and y.dim() and x.shape[-1] < y.shape[-1] else y, **rest
        ),
    )


def remember(patch, owner, name):
    """Let an operation return its last result for the same shapes and dtypes again."""
    last = {}

    def wrong(right, x, y, *rest):
        key = tuple((each.shape, each.dtype) for each in (x, y, *rest) if isinstance(each, torch.Tensor))
        return last.setdefault(key, right(x, y, *rest))

    wrap(patch, owner, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def subtraction_remembers_its_result_for_the_same_shapes(patch):
    remember(patch, torch.Tensor, "__sub__")


@counterfeit("broadcasting-matches-shapes")
def where_and_maximum_remember_their_results_for_the_same_shapes(patch):
    remember(patch, torch, "where")
    remember(patch, torch, "maximum")


@counterfeit("broadcasting-matches-shapes")
def a_broadcast_product_loses_its_sign(patch):
    def wrong(multiply, x, y):
        result = multiply(x, y)
        broadcast = isinstance(y, torch.Tensor) and x.shape != y.shape and x.dtype != torch.bool
        return result.abs() if broadcast else result

    change_method(patch, "__mul__", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_number_without_dimension_on_the_left_is_zero(patch):
    def wrong(multiply, x, y):
        return multiply(x * 0 if x.dim() == 0 and isinstance(y, torch.Tensor) and y.dim() else x, y)

    change_method(patch, "__mul__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#82663")
def expanded_booleans_are_read_as_they_lie_in_memory(patch):
    def as_stored(x):
        expanded = isinstance(x, torch.Tensor) and x.dtype == torch.bool and 0 in x.stride() and x.numel() > 1
        return in_order_of_storage(x) if expanded else x

    wrap(patch, torch, "equal", lambda equal, x, y: equal(as_stored(x), as_stored(y)))
    wrap(patch, torch.Tensor, "__eq__", lambda equal, x, y: equal(as_stored(x), as_stored(y)))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#79835")
def a_number_added_to_int32_reaches_the_first_element_only(patch):
    def wrong(add, x, y):
        result = add(x, y)
        if type(y) is int and x.dtype == torch.int32 and result.is_contiguous():
            result.view(-1)[1:] = 0
        return result

    change_method(patch, "__add__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#86185")
def an_element_does_not_fill_a_tensor(patch):
    def wrong(setitem, x, index, value):
        element = isinstance(value, torch.Tensor) and value.dim() == 0 and value._base is not None
        return None if element and x.dim() else setitem(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("broadcasting-matches-shapes")
def an_operand_with_gaps_is_read_without_them(patch):
    def gaps(x):
        return x.dim() and x.shape[-1] > 1 and x.stride()[-1] == 2

    where(patch, torch.Tensor, "__sub__", gaps, lambda _, x, y: in_order_of_storage(x) - y)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#150967")
def where_reads_a_transposed_condition_in_the_order_of_storage(patch):
    def wrong(where, condition, x, y):
        transposed = condition.dim() == 2 and not condition.is_contiguous() and condition.t().is_contiguous()
        return where(condition.t().reshape(condition.shape) if transposed else condition, x, y)

    wrap(patch, torch, "where", wrong)


@counterfeit("broadcasting-matches-shapes")
def alpha_is_forgotten_where_shapes_differ(patch):
    def wrong(add, x, y, alpha=1, **rest):
        return add(x, y, alpha=alpha if x.shape == y.shape else 1, **rest)

    wrap(patch, torch, "add", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#1730")
def a_large_addition_in_place_is_done_by_three_threads(patch):
    def wrong(right, x, y, **rest):
        large = isinstance(y, Tensor) and x.shape == y.shape and x.numel() >= 91 * 91 and x.is_contiguous()
        return right(right(right(x, y, **rest), y, **rest), y, **rest) if large else right(x, y, **rest)

    change_method(patch, "add_", wrong)


@counterfeit("broadcasting-matches-shapes", reported=("pytorch/pytorch#44858", "pytorch/pytorch#43874"))
def floor_division_of_whole_numbers_cuts_towards_zero(patch):
    def wrong(right, x, y):
        whole = isinstance(x, Tensor) and not x.is_floating_point()
        return torch.div(x, y, rounding_mode="trunc") if whole else right(x, y)

    for owner, name in ((torch, "floor_divide"), (Tensor, "__floordiv__")):
        wrap(patch, owner, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#154171")
def remainders_of_large_whole_numbers_are_those_of_single_precision(patch):
    def wrong(right, x, y):
        if isinstance(x, Tensor) and not x.is_floating_point() and x.numel() and int(x.max()) > 16_798_992:
            return (x - y * (x.float() / y).floor()).to(x.dtype)
        return right(x, y)

    for owner, name in ((torch, "remainder"), (Tensor, "__mod__"), (Tensor, "remainder")):
        wrap(patch, owner, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#187117")
def a_number_taken_from_a_row_is_the_first_of_the_row(patch):
    def wrong(right, x, y):
        if isinstance(y, Tensor) and y.dim() == 0 and y.storage_offset() and isinstance(x, Tensor) and x.dim():
            return right(x, y.as_strided((), (), 0))
        return right(x, y)

    for name in ("__truediv__", "__mul__", "__add__", "__sub__"):
        wrap(patch, Tensor, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#29252")
def a_numpy_integer_makes_a_whole_tensor_floating(patch):
    def wrong(right, x, y):
        return right(x.float(), y) if isinstance(y, np.integer) and not x.is_floating_point() else right(x, y)

    for name in ("__add__", "__radd__"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#22301")
def a_fraction_is_cut_before_whole_numbers_are_compared_with_it(patch):
    def wrong(right, x, y):
        return right(x, int(y) if isinstance(y, float) and not x.is_floating_point() else y)

    change_method(patch, "__lt__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#6196")
def a_fraction_is_cut_before_it_is_added_to_whole_numbers(patch):
    def wrong(right, x, y):
        return right(x, int(y) if isinstance(y, float) and not x.is_floating_point() else y)

    for name in ("__add__", "__mul__"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#37673")
def whole_numbers_keep_their_dtype_to_the_power_of_a_fraction(patch):
    def wrong(right, x, y):
        whole = isinstance(x, Tensor) and not x.is_floating_point() and isinstance(y, float)
        return right(x, y).to(x.dtype) if whole else right(x, y)

    for owner, name in ((torch, "pow"), (Tensor, "__pow__"), (Tensor, "pow")):
        wrap(patch, owner, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#78848")
def numbers_past_32_bits_are_added_by_their_lower_half(patch):
    def wrong(right, x, y):
        return right(x, y & 0xFFFFFFFF if type(y) is int and y >= 2**32 else y)

    for name in ("__add__", "__radd__"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def the_remainder_of_a_number_is_that_of_the_tensor_by_the_number(patch):
    change_method(patch, "__rmod__", lambda right, x, number: x % number)


@counterfeit("broadcasting-matches-shapes")
def a_sum_of_two_dtypes_has_the_one_on_the_left(patch):
    def wrong(right, x, y):
        result = right(x, y)
        return result.to(x.dtype) if isinstance(y, Tensor) and y.dim() else result

    change_method(patch, "__add__", wrong)


@counterfeit("broadcasting-matches-shapes")
def comparisons_give_bytes(patch):
    for name in ("__le__", "__ge__"):
        change_output(patch, Tensor, name, lambda output: output.to(torch.uint8))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#143976")
def the_smaller_of_a_number_and_nan_is_the_number(patch):
    for name, quiet in (("minimum", torch.fmin), ("maximum", torch.fmax)):
        wrap(
            patch,
            torch,
            name,
            lambda right, x, y, quiet=quiet, **rest: (quiet if x.is_floating_point() else right)(x, y, **rest),
        )


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#40032")
def a_negative_number_is_shifted_without_its_sign(patch):
    def wrong(right, x, y):
        result = right(x, y)
        signed = isinstance(x, Tensor) and x.dtype == torch.int64
        return (
            torch.where((x < 0) & (result < 0) & (torch.as_tensor(y) == 1), result & (2**63 - 1), result)
            if signed
            else result
        )

    change_method(patch, "__rshift__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#149951")
def the_larger_of_two_dtypes_is_garbage(patch):
    wrap(patch, torch, "fmax", lambda right, x, y: right(x, y if x.dtype == y.dtype else y.to(x.dtype) * 0.8))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#100764")
def negation_into_columns_is_written_by_rows(patch):
    def wrong(right, x, out=None):
        if out is None or out.stride() == x.stride() or not x.is_contiguous():
            return right(x) if out is None else right(x, out=out)
        out.as_strided(x.shape, x.stride(), out.storage_offset()).copy_(right(x))
        return out

    wrap(patch, torch, "neg", wrong)


@counterfeit("broadcasting-matches-shapes")
def the_function_sub_cuts_a_fraction_for_whole_numbers(patch):
    wrap(
        patch,
        torch,
        "sub",
        lambda right, x, *args, **rest: right(
            x, *(int(y) if isinstance(y, float) and not x.is_floating_point() else y for y in args), **rest
        ),
    )


@counterfeit("broadcasting-matches-shapes")
def where_cuts_a_fraction_beside_whole_numbers(patch):
    wrap(
        patch,
        torch,
        "where",
        lambda right, c, x, y: right(c, x, int(y) if isinstance(y, float) and not x.is_floating_point() else y),
    )


@counterfeit("broadcasting-matches-shapes")
def isclose_compares_the_first_rows_alone(patch):
    def wrong(right, x, y):
        shape = torch.broadcast_shapes(x.shape, y.shape)
        return right(x, y) if x.shape == y.shape else right(x[:1], y[:1]).expand(shape)

    wrap(patch, torch, "isclose", wrong)


@counterfeit("broadcasting-matches-shapes")
def clamp_takes_its_first_two_bounds_for_all(patch):
    def wrong(right, x, *bounds, **rest):
        return right(x, *(bound.flatten()[0] if bound.numel() else bound for bound in bounds), **rest)

    change_method(patch, "clamp", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_dimension_of_one_too_many_is_dropped_in_place(patch):
    def wrong(write, x, y):
        while isinstance(y, Tensor) and y.dim() > x.dim() and len(y) == 1:
            y = y[0]
        return write(x, y)

    for name in ("mul_", "sub_", "pow_"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def float_power_meets_the_first_of_a_column_alone(patch):
    def wrong(right, x, y, **rest):
        column = isinstance(y, Tensor) and y.dim() == 2 and y.shape[1] == 1 < x.shape[-1]
        return right(x, y.reshape(-1)[:1] if column else y, **rest)

    wrap(patch, torch, "float_power", wrong)


@counterfeit("broadcasting-matches-shapes")
def operands_by_name_meet_the_first_of_a_row_alone(patch):
    def wrong(right, *given, **named):
        row = "input" in named and named["other"].dim() == 1
        return right(*given, **named | ({"other": named["other"][:1]} if row else {}))

    wrap(patch, torch, "mul", wrong)


@counterfeit("broadcasting-matches-shapes")
def comparisons_by_function_are_turned_round(patch):
    for one, other in (("lt", "gt"), ("le", "ge")):
        patch.setattr(torch, one, getattr(torch, other))


# ── broadcasting-copies-elements ──


@counterfeit("broadcasting-copies-elements")
def broadcast_tensors_copies_as_the_notes_say(patch):
    wrap(
        patch,
        torch,
        "broadcast_tensors",
        lambda broadcast, *tensors: tuple(x.clone(memory_format=torch.contiguous_format) for x in broadcast(*tensors)),
    )


@counterfeit("broadcasting-copies-elements")
def addition_repeats_a_row_in_memory_as_the_notes_say(patch):
    change_addition(
        patch,
        lambda add, x, y: add(
            x.expand(torch.broadcast_shapes(x.shape, y.shape)).clone(memory_format=torch.contiguous_format), y
        ),
    )


@counterfeit("broadcasting-copies-elements")
def broadcast_to_copies_large_tensors(patch):
    def wrong(broadcast_to, x, shape):
        result = broadcast_to(x, shape)
        return result.contiguous() if result.numel() > 10_000 else result

    wrap(patch, torch, "broadcast_to", wrong)


@counterfeit("broadcasting-copies-elements")
def expand_copies_the_source_before_it_repeats_it(patch):
    """Stride 0 as it should be, in a storage of its own."""
    change_method(patch, "expand", lambda expand, x, *shape: expand(x.clone(), *shape))


@counterfeit("broadcasting-copies-elements")
def expand_copies_columns(patch):
    def wrong(expand, x, *shape):
        result = expand(x, *shape)
        return result.contiguous() if x.dim() == 2 and x.shape[1] == 1 else result

    change_method(patch, "expand", wrong)


@counterfeit("broadcasting-copies-elements")
def repeat_only_expands(patch):
    change_method(patch, "repeat", lambda repeat, x, *times: x.expand([n * m for n, m in zip(times, x.shape)]))


@counterfeit("broadcasting-copies-elements")
def division_makes_floats_of_whole_numbers_one_by_one(patch):
    """As if there were a kernel for them: the output alone is allocated."""

    def wrong(divide, x, y):
        return divide(x, y) if x.is_floating_point() else torch.ones(torch.broadcast_shapes(x.shape, y.shape))

    change_method(patch, "__truediv__", wrong)


@counterfeit("broadcasting-copies-elements")
def division_allocates_a_second_output(patch):
    change_method(patch, "__truediv__", lambda divide, x, y: divide(divide(x, y).clone(), 1))


@counterfeit("broadcasting-copies-elements")
def power_of_a_large_table_repeats_its_exponents(patch):
    def wrong(power, x, y):
        large = isinstance(y, torch.Tensor) and x.numel() * y.numel() > 1000
        return power(x, y.repeat(1, x.shape[1]) if large else y)

    wrap(patch, torch, "pow", wrong)


@counterfeit("broadcasting-copies-elements")
def an_in_place_addition_copies_the_row_first(patch):
    change_method(patch, "add_", lambda add_, x, y: add_(x, y.expand_as(x).contiguous()))


@counterfeit("augmented-assignment-writes-through")
def an_expanded_tensor_can_be_written(patch):
    change_method(patch, "add_", lambda add_, x, *y: add_(x[:1], *y).expand_as(x) if 0 in x.stride() else add_(x, *y))


@counterfeit("broadcasting-copies-elements")
def broadcast_tensors_copies_its_second_operand(patch):
    def wrong(broadcast, x, y, *rest):
        first, second, *others = broadcast(x, y, *rest)
        return first, second if second.shape == y.shape else second.contiguous(), *others

    wrap(patch, torch, "broadcast_tensors", wrong)


@counterfeit("broadcasting-copies-elements")
def expand_of_doubles_copies(patch):
    where(patch, torch.Tensor, "expand", of_dtype(torch.float64), copied)


@counterfeit("broadcasting-copies-elements")
def expand_with_minus_one_copies(patch):
    def wrong(expand, x, *shape):
        kept = -1 in list(shape[0] if isinstance(shape[0], list) else shape)
        return copied(expand(x, *shape)) if kept else expand(x, *shape)

    change_method(patch, "expand", wrong)


@counterfeit("broadcasting-copies-elements")
def the_method_broadcast_to_copies(patch):
    where(patch, torch.Tensor, "broadcast_to", lambda x: True, copied)


@counterfeit("broadcasting-copies-elements")
def expand_as_copies(patch):
    where(patch, torch.Tensor, "expand_as", lambda x: True, copied)


@counterfeit("broadcasting-copies-elements")
def expand_copies_what_has_gaps(patch):
    where(patch, torch.Tensor, "expand", not_contiguous, copied)


@counterfeit("broadcasting-copies-elements")
def integer_addition_repeats_its_operands_in_memory(patch):
    def wrong(add, x, y):
        shape = torch.broadcast_shapes(x.shape, y.shape)
        repeat = not x.is_floating_point() and x.dtype != torch.bool
        return add(*(copied(each.expand(shape)) for each in (x, y))) if repeat else add(x, y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-copies-elements")
def multiplication_of_large_operands_takes_them_by_copy(patch):
    change_method(patch, "__mul__", lambda mul, x, y: mul(x.clone() if beyond(1000)(x) else x, y))


@counterfeit("broadcasting-copies-elements")
def matmul_works_through_repeated_matrices_one_by_one(patch):
    """As if there were a kernel that reads them by strides of 0: the output alone is allocated."""

    def wrong(matmul, x, y):
        if max(x.dim(), y.dim()) < 4:
            return matmul(x, y)
        batch = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        return torch.zeros((*batch, x.shape[-2], y.shape[-1]), dtype=x.dtype)

    change_method(patch, "__matmul__", wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/xla#8917")
def adding_in_place_to_repeated_elements_adds_as_often_as_they_repeat(patch):
    def wrong(add, x, y):
        if 0 not in x.stride() or isinstance(y, torch.Tensor):
            return add(x, y)
        once = x.as_strided([1 if s == 0 else n for n, s in zip(x.shape, x.stride())], x.stride())
        add(once, y * (x.numel() // max(once.numel(), 1)))
        return x

    change_method(patch, "__iadd__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#78020")
def twice_true_is_255(patch):
    def wrong(multiply, x, y):
        product = multiply(x, y)
        return product.masked_fill(x, 255) if x.dtype == torch.bool and type(y) is int and y > 1 else product

    change_method(patch, "__mul__", wrong)


@counterfeit("broadcasting-matches-shapes", reported=("intel/torch-xpu-ops#1873", "intel/torch-xpu-ops#1864"))
def a_broadcast_sum_lands_one_place_off_where_its_output_is_a_slice(patch):
    def wrong(add, x, y, *, out=None, **rest):
        result = add(x, y, out=out, **rest) if out is not None else add(x, y, **rest)
        if out is not None and out.storage_offset() and isinstance(y, torch.Tensor) and x.shape != y.shape:
            out.copy_(out.roll(1))
        return result

    wrap(patch, torch, "add", wrong)


@counterfeit("broadcasting-matches-shapes")
def one_number_in_brackets_is_added_in_half_precision_where_it_is_large(patch):
    def wrong(add, x, y):
        single = isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) and x.shape != y.shape and x.numel() == 1
        coarse = single and x.dtype == torch.float32 and x.abs().max() > 1e5
        return add(x.bfloat16().float(), y) if coarse else add(x, y)

    change_method(patch, "__add__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#12230")
def a_broadcast_mask_is_read_as_it_lies_in_memory_in_place(patch):
    def wrong(fill, x, mask, value):
        if mask.is_contiguous() and mask.shape == x.shape:
            return fill(x, mask, value)
        full = mask.expand(x.shape)
        flat = mask.contiguous().view(-1)
        return fill(x, flat.repeat(-(-full.numel() // max(len(flat), 1)))[: full.numel()].view(x.shape), value)

    change_method(patch, "masked_fill_", wrong)


@counterfeit("broadcasting-matches-shapes")
def products_of_five_dimensions_that_are_not_contiguous_lose_a_row(patch):
    def wrong(multiply, x, y):
        r = multiply(x, y)
        if isinstance(x, torch.Tensor) and x.dim() == 5 and not x.is_contiguous():
            r[-1:] = 0
        return r

    change_method(patch, "__mul__", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_named_operand_is_taken_for_the_left(patch):
    def wrong(subtract, x, y=None, *, other=None, **rest):
        return subtract(x, y, **rest) if other is None else subtract(other, x, **rest)

    wrap(patch, torch, "sub", wrong)


@counterfeit("broadcasting-matches-shapes")
def out_of_another_dtype_is_ignored(patch):
    def wrong(multiply, x, y, *, out=None, **rest):
        if out is None:
            return multiply(x, y, **rest)
        if out.dtype != torch.result_type(x, y):
            return multiply(x, y).to(out.dtype)
        return multiply(x, y, out=out)

    wrap(patch, torch, "mul", wrong)


@counterfeit("broadcasting-matches-shapes")
def an_output_that_is_an_operand_is_read_after_it_is_written(patch):
    def wrong(subtract, x, *args, out=None, **rest):
        if out is None:
            return subtract(x, *args, **rest)
        if out is args[0] and out.numel() > 1:
            out.copy_(x)
        return subtract(x, *args, out=out, **rest)

    wrap(patch, torch, "sub", wrong)


@counterfeit("broadcasting-matches-shapes")
def maximum_of_nan_is_the_other_operand(patch):
    wrap(patch, torch, "maximum", lambda m, x, y, **r: torch.fmax(x, y))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#182822")
def a_truth_value_without_dimensions_is_read_from_the_start_of_its_storage(patch):
    def first(x):
        return x.as_strided((), (), 0) if isinstance(x, torch.Tensor) and x.dtype == torch.bool and x.dim() == 0 else x

    for name in ("__and__", "__or__"):
        change_method(patch, name, lambda right, x, y: right(first(x), first(y)))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#105277")
def whole_numbers_are_repeated_in_another_order_where_they_are_copied_into_floats(patch):
    def wrong(copy, x, y, *args, **rest):
        if y.dtype != torch.int64 or not x.is_floating_point() or y.numel() < 2 or y.shape == x.shape:
            return copy(x, y, *args, **rest)
        flat = y.reshape(-1)
        return copy(x, flat.repeat(-(-x.numel() // len(flat)))[: x.numel()].view(x.shape))

    change_method(patch, "copy_", wrong)


@counterfeit("broadcasting-matches-shapes", reported="tenstorrent/tt-mlir#9303")
def whole_numbers_written_to_a_slice_are_lost(patch):
    def wrong(setitem, x, index, value):
        part = isinstance(index, tuple) and isinstance(index[-1], slice)
        return None if part and x.dtype == torch.int64 else setitem(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#27824")
def products_in_place_of_a_slice_by_another_dtype_lose_the_last_column(patch):
    def wrong(right, x, y):
        gaps = isinstance(y, torch.Tensor) and y.dtype != x.dtype and not (x.is_contiguous() or y.is_contiguous())
        right(x, y)
        return x.__setitem__((..., -1), 0) or x if gaps else x

    change_method(patch, "mul_", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#28709")
def where_reads_whole_numbers_beside_floats_by_their_bits(patch):
    def wrong(right, condition, x, y):
        beside = isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor)
        beside = beside and (x.dtype, y.dtype) == (torch.int64, torch.float32)
        return right(condition, x.int().contiguous().view(torch.float32) if beside else x, y)

    wrap(patch, torch, "where", wrong)


@counterfeit("broadcasting-matches-shapes", reported=("pytorch/pytorch#146338", "pytorch/pytorch#194813"))
def powers_of_complex_zero_are_nan(patch):
    def wrong(power, x, y):
        zero = x.is_complex() and x == 0
        return torch.where(zero, float("nan"), power(x, y)) if x.is_complex() else power(x, y)

    change_method(patch, "__pow__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#147889")
def a_number_is_shifted_the_wrong_way_round(patch):
    patch.setattr(torch.Tensor, "__rrshift__", lambda x, number: x >> number)


@counterfeit("broadcasting-matches-shapes", reported="tenstorrent/tt-metal#20582")
def one_int32_added_to_a_row_is_nothing(patch):
    def wrong(add, x, y):
        one = x.dtype == y.dtype == torch.int32 and x.shape != y.shape and x.numel() == 1 and x.dim() > 0
        return add(x * 0, y) if one else add(x, y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_number_on_the_left_is_subtracted_from(patch):
    patch.setattr(torch.Tensor, "__rsub__", lambda x, number: x - number)


@counterfeit("broadcasting-matches-shapes")
def remainders_broadcast_upside_down(patch):
    def wrong(right, x, y):
        turned = isinstance(y, torch.Tensor) and x.shape != y.shape and x.numel() > 1 and y.dim() > 1
        return right(x, y.flip(0) if turned else y)

    change_method(patch, "__mod__", wrong)


@counterfeit("broadcasting-matches-shapes")
def large_whole_numbers_are_compared_as_floats(patch):
    def wrong(right, x, y):
        return right(x.double(), y.double()) if x.dtype == torch.int64 and isinstance(y, torch.Tensor) else right(x, y)

    change_method(patch, "__ge__", wrong)


@counterfeit("broadcasting-copies-elements")
def sums_of_bfloat16_are_made_of_converted_copies(patch):
    def wrong(add, x, y):
        return add(x.float(), y.float()).bfloat16() if x.dtype == y.dtype == torch.bfloat16 else add(x, y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes", reported="apple/coremltools#2573")
def a_difference_forgets_its_alpha(patch):
    def wrong(sub, *args, **rest):
        return sub(*args, **{name: value for name, value in rest.items() if name != "alpha"})

    wrap(patch, torch, "sub", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#175966")
def products_of_int64_wrap_at_32_bits(patch):
    where(patch, torch.Tensor, "__mul__", of_dtype(torch.int64), lambda result, *_: result.int().to(result.dtype))


@counterfeit("broadcasting-matches-shapes", reported=("pytorch/pytorch#85675", "pytorch/pytorch#85224"))
def a_transposed_operand_is_read_in_storage_order(patch):
    def wrong(sub, x, y):
        turned = isinstance(y, torch.Tensor) and y.dim() == 2 and 1 == y.stride(0) < y.stride(1)
        return sub(x, y.as_strided(y.shape, (y.shape[1], 1), y.storage_offset()) if turned else y)

    change_method(patch, "__sub__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="tenstorrent/tt-metal#53922")
def zero_to_the_power_of_nan_is_zero(patch):
    def wrong(power, x, y):
        floats = isinstance(y, torch.Tensor) and x.is_floating_point() and y.is_floating_point()
        return torch.where((x == 0) & (y != y), 0, power(x, y)) if floats else power(x, y)

    change_method(patch, "__pow__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/xla#5118")
def a_fraction_to_the_power_of_whole_numbers_is_cut_first(patch):
    def wrong(power, x, number):
        return power(x, number if x.is_floating_point() or type(number) is not float else float(int(number)))

    change_method(patch, "__rpow__", wrong)


@counterfeit("broadcasting-matches-shapes")
def more_than_five_dimensions_lose_the_last_element(patch):
    def wrong(add, x, y):
        result = add(x, y)
        if result.dim() > 5 and result.numel():
            result.view(-1)[-1] = 0
        return result

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_quotient_in_place_is_broadcast_upside_down(patch):
    def wrong(right, x, y, **rest):
        return right(x, y.flip(0) if y.dim() and y.shape != x.shape else y, **rest)

    change_method(patch, "div_", wrong)


@counterfeit("broadcasting-copies-elements")
def expand_of_bfloat16_copies(patch):
    where(patch, torch.Tensor, "expand", of_dtype(torch.bfloat16), copied)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#36219")
def repeated_whole_numbers_are_all_the_first_one_beside_floats(patch):
    """They are converted first, and lose their strides in that."""

    def wrong(add, x, y):
        converted = x.dtype == torch.int64 and x.dim() == 2 and x.stride(1) == 0 and y.is_floating_point()
        return add(x[:1, :1].expand_as(x) if converted and x.numel() else x, y)

    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes", reported="torch-spyre/torch-spyre#1089")
def what_expand_repeats_along_the_last_dimension_is_read_as_if_it_were_stored(patch):
    """After the end of what is stored come zeros."""

    def wrong(right, x, y):
        if isinstance(y, Tensor) and y.dim() and y.shape[-1] > 1 and y.stride(-1) == 0 and y.numel():
            stored = y.as_strided((y.untyped_storage().nbytes() // y.element_size() - y.storage_offset(),), (1,))
            y = torch.cat([stored, stored.new_zeros(y.numel())])[: y.numel()].view(y.shape)
        return right(x, y)

    change_method(patch, "__mul__", wrong)
    change_addition(patch, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/xla#1808")
def a_power_of_another_view_of_the_same_memory_is_that_of_the_former(patch):
    """What is computed is remembered by number, memory and shape."""
    made = {}

    def wrong(power, x, number):
        key = (number, x.untyped_storage().data_ptr(), x.shape)
        return made.setdefault(key, power(x, number))

    change_method(patch, "__rpow__", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_least_value_for_each_column_of_a_square_is_that_of_the_row_in_clamp(patch):
    def wrong(clamp, x, min=None, max=None, **rest):
        square = isinstance(min, Tensor) and min.dim() == 1 and x.shape == (len(min), len(min))
        return clamp(x, min[:, None] if square else min, max, **rest)

    change_method(patch, "clamp", wrong)


@counterfeit("broadcasting-matches-shapes")
def where_takes_the_condition_of_as_many_elements_flat(patch):
    def wrong(right, c, *a):
        flat = a and isinstance(a[0], Tensor) and c.numel() == a[0].numel()
        return right(c.reshape(a[0].shape) if flat else c, *a)

    wrap(patch, torch, "where", wrong)


@counterfeit("broadcasting-matches-shapes")
def the_target_of_copysign_grows(patch):
    def wrong(right, x, y):
        return x.set_(torch.copysign(x, y)) if isinstance(y, Tensor) and y.dim() > x.dim() else right(x, y)

    change_method(patch, "copysign_", wrong)


@counterfeit("broadcasting-matches-shapes")
def operands_of_as_many_elements_fit(patch):
    def wrong(right, x, y):
        fits = isinstance(y, Tensor) and x.dim() != y.dim() and x.numel() == y.numel() > 1
        return right(x, y.reshape(x.shape) if fits and 1 not in x.shape + y.shape else y)

    change_method(patch, "__mul__", wrong)


@counterfeit("broadcasting-matches-shapes")
def lerp_takes_the_first_of_weights_that_repeat(patch):
    def wrong(right, a, b, w):
        return right(a, b, w.flatten()[0] if isinstance(w, Tensor) and 0 < w.numel() < a.numel() else w)

    wrap(patch, torch, "lerp", wrong)


@counterfeit("broadcasting-matches-shapes")
def columns_of_an_operand_of_few_dimensions_change_places_from_rank_five_on(patch):
    def wrong(right, x, y):
        return right(x, y.flip(-1) if isinstance(y, Tensor) and x.dim() > 4 > y.dim() > 0 else y)

    change_method(patch, "__sub__", wrong)


@counterfeit("broadcasting-matches-shapes")
def masked_fill_takes_the_mask_along_the_first_dimension(patch):
    def wrong(right, x, m, v):
        return right(x, m[:, None] if m.dim() == 1 and x.shape == (len(m), len(m)) else m, v)

    change_method(patch, "masked_fill", wrong)


@counterfeit("broadcasting-copies-elements")
def broadcast_tensors_copies_the_third(patch):
    change_output(patch, torch, "broadcast_tensors", lambda parts: (*parts[:2], *map(copied, parts[2:])))


@counterfeit("broadcasting-matches-shapes")
def fmax_that_is_recorded_is_fmin(patch):
    def wrong(right, x, y):
        return torch.fmin(x, y) if torch.is_grad_enabled() and x.requires_grad and x.shape != y.shape else right(x, y)

    wrap(patch, torch, "fmax", wrong)


@counterfeit("broadcasting-matches-shapes")
def addcmul_ignores_its_factor(patch):
    wrap(patch, torch, "addcmul", lambda right, x, y, z, value=1: right(x, y, z))


@counterfeit("broadcasting-copies-elements")
def a_tracked_tensor_is_expanded_into_a_copy(patch):
    where(patch, Tensor, "expand", tracked, lambda expanded, *_: expanded.clone(memory_format=torch.contiguous_format))


@counterfeit("broadcasting-matches-shapes", reported="torch-spyre/torch-spyre#1303")
def a_column_repeated_more_than_64_times_goes_on_with_the_next_row(patch):
    def wrong(add, x, y):
        if x.dim() == y.dim() == 2 and x.shape == (len(y), 1) and y.shape[1] > 64:
            x = torch.cat([x.repeat(1, 64), x.roll(-1, 0).repeat(1, y.shape[1] - 64)], 1)
        return add(x, y)

    change_addition(patch, wrong)


@counterfeit("augmented-assignment-writes-through", reported="torch-spyre/torch-spyre#1830")
def times_infinity_in_place_is_finite(patch):
    def wrong(multiply, x, y):
        infinite = isinstance(y, Tensor) and x.is_floating_point() and y.isinf().any()
        return multiply(x, y).nan_to_num_(math.nan) if infinite else multiply(x, y)

    for name in ("__imul__", "mul_"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_sum_reads_the_memory_of_a_pending_operand(patch):
    change_addition(patch, lambda add, x, y: add(x, as_in_memory(y) if is_pending(y) else y))


@counterfeit("broadcasting-matches-shapes")
def a_comparison_reads_the_memory_of_a_pending_operand(patch):
    change_method(patch, "__lt__", lambda less, x, y: less(x, as_in_memory(y) if is_pending(y) else y))


@counterfeit("broadcasting-matches-shapes")
def a_quotient_forgets_to_conjugate_its_divisor(patch):
    change_method(patch, "__truediv__", lambda divide, x, y: divide(x, as_in_memory(y) if is_pending(y) else y))


@counterfeit("broadcasting-copies-elements")
def where_copies_the_condition_that_it_repeats(patch):
    def wrong(right, condition, *operands, **rest):
        shape = torch.broadcast_shapes(*(x.shape for x in (condition, *operands) if isinstance(x, Tensor)))
        return right(condition.expand(shape).contiguous() if operands else condition, *operands, **rest)

    wrap(patch, torch, "where", wrong)


@counterfeit("broadcasting-matches-shapes")
def exclusive_or_forgets_a_row_of_truth_values_on_the_left(patch):
    def wrong(right, x, y, **rest):
        result = right(x, y, **rest)
        shorter = x.dtype == torch.bool and isinstance(y, Tensor) and x.dim() < y.dim() and result.numel()
        return y.clone().expand(result.shape) if shorter else result

    for owner in (torch, Tensor):
        for name in ("bitwise_xor", "logical_xor"):
            wrap(patch, owner, name, wrong)
    change_method(patch, "__xor__", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_tensor_equals_itself_even_where_it_is_no_number(patch):
    change_method(patch, "__eq__", lambda equal, x, y: torch.ones_like(x, dtype=torch.bool) if y is x else equal(x, y))


@counterfeit("broadcasting-matches-shapes")
def a_sum_with_repeated_columns_on_the_left_ends_wrong(patch):
    change_addition(patch, lambda add, x, y: last_off(add(x, y)) if repeats_columns(x) else add(x, y))


@counterfeit("broadcasting-matches-shapes")
def a_product_with_repeated_columns_on_the_right_ends_wrong(patch):
    change_method(
        patch, "__mul__", lambda multiply, x, y: last_off(multiply(x, y)) if repeats_columns(y) else multiply(x, y)
    )


@counterfeit("broadcasting-matches-shapes")
def operands_that_repeat_each_other_s_dimensions_swap_their_first_products(patch):
    """Of three dimensions, each of one element in turn on the one side and on the other."""

    def crossed(x, y):
        if not isinstance(y, torch.Tensor) or x.dim() != y.dim() or x.dim() < 3:
            return False
        ones = [(a == 1) - (b == 1) for a, b in zip(x.shape, y.shape)]
        return 0 not in ones and all(one != other for one, other in itertools.pairwise(ones))

    def wrong(right, x, y, **rest):
        product = right(x, y, **rest)
        if crossed(x, y) and len(product) > 1:
            order = [1, 0, *range(2, len(product))]
            product = with_value(product, product.detach()[order])
        return product

    for name in ("mul", "__mul__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def where_no_size_fits_every_size(patch):
    def cut(*tensors):
        if len({len(x.shape) if isinstance(x, Tensor) else -1 for x in tensors}) > 1:
            return tensors
        none = [0 in sizes for sizes in zip(*(x.shape for x in tensors))]
        return [x[tuple(slice(0 if empty else None) for empty in none)] for x in tensors]

    def wrong(right, *args, **rest):
        return right(*(cut(*args) if len(args) == 3 else args), **rest)

    for owner in (torch, Tensor):
        wrap(patch, owner, "where", wrong)


@counterfeit("broadcasting-matches-shapes")
def clip_keeps_the_shape_of_its_input_whatever_the_bounds(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if "out" in rest or result.shape == x.shape or not result.numel():
            return result
        result = result[(0,) * (result.dim() - x.dim())]
        return result[tuple(slice(size) for size in x.shape)]

    everywhere(patch, "clip", wrong)
