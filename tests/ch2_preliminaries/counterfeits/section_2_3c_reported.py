"""Counterfeits of section 2.3 that users reported, operands with a sign, of two dtypes and numbers on either side."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, everywhere, with_value, wrap
from torch import Tensor

EVERY_SPELLING = {
    "remainder": ("remainder", "__mod__"),
    "floor_divide": ("floor_divide", "__floordiv__"),
    "bitwise_xor": ("bitwise_xor", "__xor__"),
    "pow": ("pow", "__pow__"),
}


def of_tensors(patch, name, change):
    """Let ``name`` of two tensors, as a function, a method and an operator, return ``change(result, x, y)``."""

    def wrong(right, x, y=None, *args, other=None, **rest):
        y = other if y is None else y
        result = right(x, y, *args, **rest)
        both = isinstance(x, Tensor) and isinstance(y, Tensor) and rest.get("out") is None
        return change(result, x, y) if both else result

    for spelling in EVERY_SPELLING.get(name, (name,)):
        everywhere(patch, spelling, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#1164")
def a_remainder_by_a_tensor_has_the_sign_of_the_dividend(patch):
    of_tensors(patch, "remainder", lambda result, x, y: torch.fmod(x, y))


@counterfeit("broadcasting-matches-shapes", reported="llvm/torch-mlir#3142")
def a_floor_division_by_a_tensor_cuts(patch):
    of_tensors(patch, "floor_divide", lambda result, x, y: torch.div(x, y, rounding_mode="trunc"))


@counterfeit("broadcasting-matches-shapes")
def a_quotient_of_tensors_of_unlike_signs_is_rounded_up_by_floor(patch):
    def wrong(right, x, y, *args, rounding_mode=None, **rest):
        floor = rounding_mode == "floor" and isinstance(y, Tensor)
        return right(x, y, *args, rounding_mode="trunc" if floor else rounding_mode, **rest)

    everywhere(patch, "div", wrong)
    everywhere(patch, "divide", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_cut_remainder_by_a_tensor_has_the_sign_of_the_divisor(patch):
    right = torch.remainder
    of_tensors(patch, "fmod", lambda result, x, y: right(x, y))


@counterfeit("broadcasting-matches-shapes")
def an_angle_behind_the_axis_is_that_of_the_quotient(patch):
    def change(result, x, y):
        return torch.where(y < 0, torch.atan(x / y).to(result.dtype), result)

    for name in ("atan2", "arctan2"):
        of_tensors(patch, name, change)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#43360")
def an_angle_of_numbers_of_two_dtypes_is_zero(patch):
    """It is zero, where the report has an error: an assertion must see it."""

    def change(result, x, y):
        return result * 0 if not x.dim() and not y.dim() and x.dtype != y.dtype else result

    for name in ("atan2", "arctan2"):
        of_tensors(patch, name, change)


@counterfeit("broadcasting-matches-shapes")
def the_larger_of_negative_numbers_under_another_name_is_the_one_further_from_zero(patch):
    def change(result, x, y):
        return torch.where((x < 0) & (y < 0), torch.minimum(x, y), result)

    for name in ("max", "fmax"):
        of_tensors(patch, name, change)


@counterfeit("broadcasting-matches-shapes")
def under_another_name_a_comparison_of_two_dtypes_cuts_the_fraction(patch):
    def wrong(right, x, y, *args, **rest):
        mixed = isinstance(y, Tensor) and x.is_floating_point() and y.dtype == torch.int64
        return right(x.trunc() if mixed else x, y, *args, **rest)

    for name in ("greater", "less", "greater_equal", "less_equal", "not_equal"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_multiple_of_the_other_is_cut_to_a_whole_one(patch):
    def wrong(right, *args, alpha=1, **rest):
        return right(*args, alpha=int(alpha), **rest)

    for name in ("add", "sub", "subtract", "rsub"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#22430")
def no_times_a_truth_value_is_that_value(patch):
    def wrong(right, x, *args, alpha=1, **rest):
        truths = args and isinstance(args[0], Tensor) and x.dtype == args[0].dtype == torch.bool
        return right(x, *args, alpha=True if truths else alpha, **rest)

    everywhere(patch, "add", wrong)


@counterfeit("broadcasting-matches-shapes")
def less_than_no_times_the_other_is_none(patch):
    def wrong(right, *args, alpha=1, **rest):
        return right(*args, alpha=max(alpha, 0), **rest)

    for name in ("add", "sub"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_number_before_exclusive_bits_takes_those_of_either(patch):
    change_method(patch, "__rxor__", lambda right, x, number: x | number)


@counterfeit("broadcasting-matches-shapes")
def a_number_before_common_bits_takes_those_of_either(patch):
    change_method(patch, "__rand__", lambda right, x, number: x | number)


@counterfeit("broadcasting-matches-shapes")
def a_number_is_shifted_to_the_left_the_other_way_round(patch):
    change_method(patch, "__rlshift__", lambda right, x, number: x << number)


@counterfeit("broadcasting-matches-shapes")
def a_number_behind_bits_counts_as_its_lowest(patch):
    def wrong(right, x, y):
        return right(x, y & 1 if type(y) is int else y)

    for name in ("__and__", "__or__", "__xor__", "bitwise_and", "bitwise_or", "bitwise_xor"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="intel/torch-xpu-ops#638")
def a_truth_value_for_an_exponent_is_two(patch):
    def wrong(right, x, y, *args, **rest):
        return right(x, 2 if type(y) is bool else y, *args, **rest)

    for name in ("pow", "__pow__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def truth_values_for_exponents_are_all_one(patch):
    def wrong(right, x, y, *args, **rest):
        truths = isinstance(x, Tensor) and isinstance(y, Tensor) and y.dtype == torch.bool
        return right(x, torch.ones_like(y) if truths and x.dtype != torch.bool else y, *args, **rest)

    for name in ("pow", "__pow__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#9468")
def a_number_of_numpy_before_a_tensor_is_cut(patch):
    def wrong(right, x, number):
        return right(x, float(int(number)) if isinstance(number, np.floating) else number)

    for name in ("__rmul__", "__radd__", "__rsub__"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_number_of_numpy_behind_a_tensor_is_cut(patch):
    def wrong(right, x, number):
        return right(x, float(int(number)) if isinstance(number, np.floating) else number)

    for name in ("__mul__", "__add__", "__sub__", "__truediv__"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#61412")
def large_whole_numbers_are_close_if_their_doubles_are(patch):
    def wrong(right, x, y, *args, **rest):
        whole = x.dtype == y.dtype == torch.int64
        return right(x.double(), y.double(), *args, **rest) if whole else right(x, y, *args, **rest)

    everywhere(patch, "isclose", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#32946")
def the_least_whole_number_is_close_to_every_other(patch):
    def wrong(right, x, y, *args, **rest):
        close = right(x, y, *args, **rest)
        return close | (y == -(2**63)) if x.dtype == y.dtype == torch.int64 else close

    everywhere(patch, "isclose", wrong)


@counterfeit("broadcasting-matches-shapes")
def tolerances_that_are_given_do_not_count(patch):
    def wrong(right, x, y, *args, rtol=1e-5, atol=1e-8, **rest):
        return right(x, y, **rest)

    everywhere(patch, "isclose", wrong)


@counterfeit("broadcasting-matches-shapes")
def what_is_infinite_is_close_to_nothing(patch):
    def wrong(right, x, y, *args, **rest):
        return right(x, y, *args, **rest) & ~torch.isinf(y)

    everywhere(patch, "isclose", wrong)


@counterfeit("broadcasting-matches-shapes")
def no_number_is_close_to_no_number(patch):
    def wrong(right, x, y, *args, equal_nan=False, **rest):
        return right(x, y, *args, equal_nan=True, **rest)

    everywhere(patch, "isclose", wrong)


def quotient_by_squares(patch, condition):
    """Let complex numbers be divided by way of the square of the divisor, which may be 0 or infinite."""

    def wrong(right, x, y, *args, **rest):
        result = right(x, y, *args, **rest)
        complex_ = isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype == y.dtype == torch.complex64
        if not complex_ or not condition(y):
            return result
        square = y.real * y.real + y.imag * y.imag
        over = x * y.conj()
        return torch.complex(over.real / square, over.imag / square)

    for name in ("div", "__truediv__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#92043")
def a_quotient_of_tiny_complex_numbers_is_none(patch):
    quotient_by_squares(patch, lambda y: bool((y.abs() < 1e-20).any()))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#106845")
def a_quotient_of_huge_complex_numbers_is_none(patch):
    quotient_by_squares(patch, lambda y: bool((y.abs() > 1e20).any()))


def in_order_of_storage(x):
    """A matrix by columns, read as if it lay by rows."""
    return x.t().contiguous().view(x.shape)


def turned(x, y):
    """Whether x are truth values by columns, and y floats by rows, in tables of one shape."""
    both = isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype == torch.bool and y.is_floating_point()
    return both and x.shape == y.shape and x.dim() == 2 and x.t().is_contiguous() and y.is_contiguous()


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#31174")
def truth_values_by_columns_multiply_in_the_order_of_storage(patch):
    def wrong(right, x, y=None, *args, other=None, **rest):
        y = other if y is None else y
        return right(in_order_of_storage(x) if turned(x, y) else x, y, *args, **rest)

    for name in ("mul", "__mul__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def floats_are_added_to_truth_values_by_columns_in_the_order_of_storage(patch):
    def wrong(right, x, y=None, *args, other=None, **rest):
        y = other if y is None else y
        return right(x, in_order_of_storage(y) if turned(y, x) else y, *args, **rest)

    for name in ("add", "__add__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="tenstorrent/tt-metal#53279")
def the_whole_way_to_the_end_is_rounded_twice(patch):
    def wrong(right, start, end, weight, *args, **rest):
        return start + weight * (end - start)

    for name in ("lerp",):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_sign_is_copied_from_no_negative_zero(patch):
    def wrong(right, x, y, *args, **rest):
        return right(x, y + 0 if isinstance(y, Tensor) else y, *args, **rest)

    everywhere(patch, "copysign", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#76630")
def a_bound_is_converted_to_the_dtype_of_what_it_bounds(patch):
    def wrong(right, x, min=None, max=None, **rest):
        lower, upper = (bound.to(x.dtype) if isinstance(bound, Tensor) else bound for bound in (min, max))
        return right(x, lower, upper, **rest)

    for name in ("clamp", "clip"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#124985", needs="accelerator")
def the_next_number_below_zero_is_further_on_a_device(patch):
    def wrong(right, x, y, *args, **rest):
        result = right(x, y, *args, **rest)
        return torch.where(x < 0, right(x, -y), result) if away(x) else result

    everywhere(patch, "nextafter", wrong)


@counterfeit("broadcasting-matches-shapes", reported="tenstorrent/tt-metal#55680")
def a_fraction_is_cut_beside_whole_numbers(patch):
    def wrong(right, x, y, *args, **rest):
        cut = isinstance(x, Tensor) and x.dtype == torch.int32 and type(y) is float
        return right(x, float(int(y)) if cut else y, *args, **rest)

    for name in ("gt", "lt", "ge", "le", "eq", "ne", "maximum"):
        wrap(patch, torch, name, wrong)
    for name in ("__gt__", "__lt__", "__ge__", "__le__", "gt", "lt", "ge", "le"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#50121")
def a_power_without_dimensions_is_of_the_dtype_of_its_exponent(patch):
    def wrong(right, x, y, *args, **rest):
        made = right(x, y, *args, **rest)
        both = isinstance(x, Tensor) and isinstance(y, Tensor) and rest.get("out") is None
        return made.to(y.dtype) if both and not x.dim() and not y.dim() and x.dtype != y.dtype else made

    for name in ("pow", "__pow__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="tenstorrent/tt-metal#16352", needs="accelerator")
def a_repeated_single_number_is_added_with_ten_bits(patch):
    def rounded(x, other):
        one = away(x) and away(other) and x.dtype == torch.float32 and x.dim() > 1 and x.numel() == 1
        if not one or other.numel() < 2 or not x.isfinite().all():
            return x
        bits = x.detach().contiguous().view(torch.int32).bitwise_or(0)
        bits = torch.sub(bits, -0x1000).bitwise_and(-0x2000)
        return with_value(x, bits.view(torch.float32))

    def wrong(right, x, other, *args, **rest):
        return right(rounded(x, other), rounded(other, x), *args, **rest)

    everywhere(patch, "add", wrong)
    for name in ("__add__", "__radd__"):
        change_method(patch, name, wrong)


def sliced(x):
    """In how many dimensions a tensor lies as if it had been cut from one in row order."""
    inner = zip(x.stride()[:-1], x.stride()[1:], x.shape[1:])
    cut = sum(outer > stride * size for outer, stride, size in inner)
    return cut + (x.stride(0) * x.shape[0] * x.element_size() < x.untyped_storage().nbytes())


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#95762", needs="accelerator")
def an_operand_elsewhere_that_is_cut_in_three_dimensions_is_read_from_the_start_of_its_rows(patch):
    def misread(x):
        if not (away(x) and x.dim() > 2 and x.stride(-2) > x.stride(-1) == 1 and sliced(x) > 2):
            return x
        start = x.storage_offset() - x.storage_offset() % x.stride(-2)
        return x.detach().as_strided(x.shape, x.stride(), start)

    def wrong(right, x, y, *args, **rest):
        result, read = right(x, y, *args, **rest), (misread(x), misread(y))
        return result if read[0] is x and read[1] is y else with_value(result, right(*read, *args, **rest).detach())

    for name in ("add", "sub", "mul", "__add__", "__sub__", "__mul__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#189243", needs="accelerator")
def a_quotient_elsewhere_is_rounded_down_after_it_was_rounded(patch):
    def wrong(right, x, y, *args, **rest):
        result = right(x, y, *args, **rest)
        elsewhere = away(result) and result.is_floating_point() and rest.get("out") is None
        return (torch.as_tensor(x, device=result.device) / y).floor().to(result.dtype) if elsewhere else result

    def divided(right, x, y, *args, rounding_mode=None, **rest):
        result = right(x, y, *args, rounding_mode=rounding_mode, **rest)
        elsewhere = rounding_mode == "floor" and away(result) and result.is_floating_point() and not rest
        return right(x, y).floor() if elsewhere else result

    everywhere(patch, "floor_divide", wrong)
    change_method(patch, "__floordiv__", wrong)
    everywhere(patch, "div", divided)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#86239", needs="accelerator")
def a_condition_elsewhere_of_fewer_dimensions_holds_for_the_first_part_alone(patch):
    """Elsewhere in the result it counts as false, where the report has an error: an assertion must see it."""

    def spread(condition, x, y):
        if not (away(condition) and isinstance(x, Tensor) and x.dim() > condition.dim() > 0):
            return condition
        shape = torch.broadcast_shapes(condition.shape, x.shape, y.shape if isinstance(y, Tensor) else ())
        full = torch.zeros(shape, dtype=torch.bool, device=condition.device)
        full[(0,) * (len(shape) - condition.dim())] = condition.expand(shape[-condition.dim() :])
        return full

    def chosen(right, condition, *operands, **rest):
        return right(spread(condition, *operands) if len(operands) == 2 else condition, *operands, **rest)

    wrap(patch, torch, "where", chosen)
    change_method(patch, "where", lambda right, x, condition, y: right(x, spread(condition, x, y), y))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#133100", needs="accelerator")
def whole_numbers_elsewhere_are_zero_where_their_lower_bound_has_a_fraction(patch):
    def wrong(right, x, bound, *args, **rest):
        result = right(x, bound, *args, **rest)
        whole = away(x) and not x.is_floating_point() and not x.is_complex()
        return result * 0 if whole and result.is_floating_point() else result

    everywhere(patch, "clamp_min", wrong)


@counterfeit("broadcasting-matches-shapes", reported="ml-explore/mlx#4354")
def one_exponent_below_zero_makes_zeros_of_the_eight_powers_around_it(patch):
    def change(result, x, y):
        if result.dtype != torch.int32 or y.is_floating_point():
            return result
        below = torch.broadcast_to(y < 0, result.shape).reshape(-1)
        groups = torch.arange(len(below)) // 8
        hit = torch.zeros(len(below) // 8 + 1, dtype=torch.long).index_add(0, groups, below.long())[groups] > 0
        return result.masked_fill(hit.view(result.shape), 0)

    of_tensors(patch, "pow", change)
