"""Counterfeits of section 2.3: quotients of narrow whole numbers, and single numbers of another dtype."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import everywhere, in_order_of_storage, repeats_columns
from torch import Tensor

QUOTIENTS = {
    "divided": ("__truediv__", "true_divide", "divide", "div"),
    "down": ("__floordiv__", "floor_divide"),
    "remains": ("__mod__", "remainder"),
    "sign kept": ("fmod",),
}


def misread(patch, names, dtype, condition, change, side=1):
    """Let these functions read the divisor, or by ``side`` 0 what is divided, of ``dtype`` as ``change`` says."""

    def wrong(right, *operands, **rest):
        x = operands[side] if len(operands) > side else None
        if isinstance(x, Tensor) and x.dtype == dtype and x.dim() > 1 and condition(x):
            operands = [change(x) if place == side else one for place, one in enumerate(operands)]
        return right(*operands, **rest)

    for name in names:
        everywhere(patch, name, wrong)


def by_columns(x):
    return x.dim() == 2 and min(x.shape) > 1 and x.stride(0) == 1 and x.stride(1) > 1


def with_gaps(x):
    return x.dim() > 0 and x.stride(-1) == 2


@counterfeit("broadcasting-matches-shapes")
def int16_leaves_what_repeated_columns_other_than_the_first_would(patch):
    misread(patch, QUOTIENTS["remains"], torch.int16, repeats_columns, lambda y: y + (torch.arange(y.shape[-1]) > 0))


@counterfeit("broadcasting-matches-shapes")
def int8_is_divided_down_by_what_lies_by_columns_as_if_by_rows(patch):
    misread(patch, QUOTIENTS["down"], torch.int8, by_columns, in_order_of_storage)


@counterfeit("broadcasting-matches-shapes")
def int32_is_cut_by_what_lies_between_the_divisors(patch):
    def wrong(right, x, y, *, rounding_mode=None, **rest):
        cut = rounding_mode == "trunc" and isinstance(y, Tensor) and y.dtype == torch.int32 and with_gaps(y)
        return right(x, in_order_of_storage(y) if cut else y, rounding_mode=rounding_mode, **rest)

    for name in ("div", "divide"):
        everywhere(patch, name, wrong)


def beside(x, *others):
    """Those of ``others`` that have no dimension and another dtype than ``x``, which has dimensions."""
    single = [y for y in others if isinstance(y, Tensor) and not y.dim() and y.dtype not in (x.dtype, torch.bool)]
    return single if x.dim() else []


@counterfeit("broadcasting-matches-shapes")
def a_single_factor_of_double_precision_makes_the_sum_double(patch):
    def wrong(right, x, *others, **rest):
        result = right(x, *others, **rest)
        return result.double() if "out" not in rest and beside(x, *others) else result

    everywhere(patch, "addcmul", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_single_divisor_of_another_dtype_loses_its_fraction(patch):
    def wrong(right, x, y, z, **rest):
        return right(x, y, z.trunc() if beside(x, z) else z, **rest)

    everywhere(patch, "addcdiv", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_bound_without_dimensions_of_another_dtype_loses_its_fraction(patch):
    def wrong(right, x, *bounds, **rest):
        bounds = [bound.trunc() if beside(x, bound) else bound for bound in bounds]
        return right(x, *bounds, **{name: one.trunc() if beside(x, one) else one for name, one in rest.items()})

    for name in ("clamp", "clip"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def a_single_weight_of_another_dtype_is_rounded_to_half_precision(patch):
    def wrong(right, x, end, weight, **rest):
        return right(x, end, weight.bfloat16().to(weight) if beside(x, weight) else weight, **rest)

    everywhere(patch, "lerp", wrong)
