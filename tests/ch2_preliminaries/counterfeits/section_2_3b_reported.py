"""Counterfeits of section 2.3 that users reported: assignments to columns, repeats in rows, views of one memory."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, divert, everywhere, in_order_of_storage, with_value, wrap
from torch import Tensor

SPELLINGS = {
    "add": ("add", "__add__"),
    "sub": ("sub", "__sub__"),
    "mul": ("mul", "__mul__"),
    "div": ("div", "__truediv__"),
}


def change_binary(patch, name, wrong):
    """Let ``x.name(y)`` be ``wrong(right, x, y)``, as a method, as a function and as an operator."""
    for spelling in SPELLINGS[name]:
        change_method(patch, spelling, wrong)
    wrap(patch, torch, name, wrong)


def change_right_operand(patch, name, change):
    """Let ``x.name(y)`` take ``change(x, y)`` in the place of ``y``, and ``change(y, x)`` in that of ``x``."""

    def wrong(right, x, y=None, *args, other=None, **rest):
        y = other if y is None else y
        if not isinstance(x, Tensor) or not isinstance(y, Tensor):
            return right(x, y, *args, **rest)
        return right(change(y, x), change(x, y), *args, **rest)

    change_binary(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/xla#514", needs="accelerator")
def what_is_assigned_to_every_second_column_is_lost(patch):
    def stepped(x, index, value):
        parts = index if isinstance(index, tuple) else (index,)
        return x.device.type != "cpu" and any(isinstance(part, slice) and (part.step or 1) != 1 for part in parts)

    divert(patch, Tensor, "__setitem__", stepped, lambda x, index, value: None)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/executorch#2653")
def a_number_for_each_row_reaches_the_first_of_every_four(patch):
    def reaching(x, y):
        single = x.dtype == y.dtype == torch.float32
        if not single or not x.dim() or not y.dim() or not y.shape[-1] == 1 < x.shape[-1]:
            return y
        return torch.where(torch.arange(x.shape[-1]) % 4 == 0, y, torch.zeros(()))

    for name in SPELLINGS:
        change_right_operand(patch, name, reaching)


@counterfeit("broadcasting-matches-shapes", reported="tenstorrent/tt-metal#15359")
def a_number_for_each_plane_reaches_its_first_element(patch):
    def reaching(x, y, neutral):
        planes = x.dim() == y.dim() == 4 and y.shape[2:] == (1, 1) and min(x.shape[2:]) > 1
        if not planes or x.dtype != y.dtype or y.dtype != torch.bfloat16:
            return y
        first = torch.zeros(x.shape[2:], dtype=torch.bool)
        first[0, 0] = True
        return torch.where(first, y, torch.full((), neutral, dtype=y.dtype))

    change_right_operand(patch, "add", lambda x, y: reaching(x, y, 0.0))
    change_right_operand(patch, "mul", lambda x, y: reaching(x, y, 1.0))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#79849")
def a_truth_value_is_added_to_a_number_with_what_lies_behind_it(patch):
    def wrong(right, x, y, *args, **rest):
        numbers = isinstance(x, Tensor) and isinstance(y, Tensor) and not x.dim() and not y.dim()
        added = numbers and {x.dtype, y.dtype} == {torch.int64, torch.bool}
        total = right(x, y, *args, **rest)
        return right(total, 1_006_567_424) if added else total

    change_binary(patch, "add", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/xla#4519")
def a_complex_tensor_divided_by_a_whole_number_is_real(patch):
    def wrong(right, x, y, *args, **rest):
        quotient = right(x, y, *args, **rest)
        return quotient.real if isinstance(x, Tensor) and x.is_complex() and type(y) is int else quotient

    change_binary(patch, "div", wrong)


@counterfeit("broadcasting-matches-shapes", reported="tenstorrent/tt-metal#55351")
def what_is_repeated_in_the_sixth_dimension_is_counted_on(patch):
    """And beyond its end there are zeros."""

    def counted(x, y):
        whole = torch.broadcast_shapes(x.shape, y.shape)
        shape = (1,) * (len(whole) - y.dim()) + tuple(y.shape)
        if len(whole) < 7 or not shape[-6] == 1 < whole[-6]:
            return y
        count, rows = torch.Size(whole[:-5]).numel(), y.reshape(-1, *shape[-5:])
        padding = torch.zeros(max(count - len(rows), 0), *shape[-5:], dtype=y.dtype)
        return torch.cat([rows, padding])[:count].reshape(*whole[:-5], *shape[-5:])

    for name in ("add", "sub", "mul"):
        change_right_operand(patch, name, counted)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#77750")
def comparisons_of_two_views_of_a_tensor_read_both_from_its_start(patch):
    def start(x):
        return x.as_strided(x.shape, x.stride(), x._base.storage_offset())

    def wrong(right, x, y, *rest, **options):
        views = isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) and x._base is not None
        if views and x._base is y._base:
            x, y = start(x), start(y)
        return right(x, y, *rest, **options)

    for name in ("le", "lt", "ge", "gt"):
        for owner, spelling in ((torch, name), (torch.Tensor, name), (torch.Tensor, f"__{name}__")):
            wrap(patch, owner, spelling, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#144190")
def bytes_are_shifted_to_the_right_as_if_they_had_a_sign(patch):
    def wrong(right, x, y):
        if x.dtype != torch.uint8 or (isinstance(y, Tensor) and y.dtype != torch.uint8):
            return right(x, y)
        return right(x.view(torch.int8), y.view(torch.int8) if isinstance(y, Tensor) else y).view(torch.uint8)

    change_method(patch, "__rshift__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="torch-spyre/torch-spyre#2803")
def every_second_row_from_the_second_on_is_added_from_the_first_on(patch):
    def change(x, other):
        leaps = x.dim() == 2 and x.stride(1) == 1 and x.stride(0) >= 2 * x.shape[1] > 0
        return x.as_strided(x.shape, x.stride(), 0) if leaps and x.storage_offset() == x.stride(0) // 2 else x

    change_right_operand(patch, "add", change)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#22273")
def a_fraction_beside_whole_numbers_is_cut_off(patch):
    def whole(x):
        return isinstance(x, Tensor) and not x.is_floating_point() and not x.is_complex() and x.dtype != torch.bool

    def cut(x, y):
        return int(y) if whole(x) and type(y) is float and np.isfinite(y) else y

    def wrong(right, x, y, *args, **rest):
        return right(x, cut(x, y), *args, **rest)

    for name in ("add", "sub", "mul"):
        wrap(
            patch,
            torch,
            name,
            lambda right, input, other, *a, **k: right(cut(other, input), cut(input, other), *a, **k),
        )
        change_method(patch, name, lambda right, x, other, *a, **k: right(x, cut(x, other), *a, **k))
    for name in ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__"):
        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#107694", needs="accelerator")
def a_mask_fills_a_transposed_tensor_in_the_order_of_memory(patch):
    def wrong(right, x, mask, value):
        n = x.numel()
        dense = n and sum((a - 1) * b for a, b in zip(x.shape, x.stride())) == n - 1
        if not away(x) or x.is_contiguous() or not dense or (isinstance(value, Tensor) and value.requires_grad):
            return right(x, mask, value)
        flat = mask.expand(x.shape).reshape(-1)
        right(x.detach().as_strided((n,), (1,)), flat, value)
        return x

    change_method(patch, "masked_fill_", wrong)


@counterfeit("broadcasting-matches-shapes", reported="microsoft/DirectML#347", needs="accelerator")
def whole_numbers_over_a_number_are_cut(patch):
    def wrong(right, *args, **rest):
        z, operands = right(*args, **rest), [*args, *rest.values()]
        whole = (
            isinstance(operands[0], Tensor) and away(operands[0]) and operands[0].dtype in (torch.int32, torch.int64)
        )
        number = type(operands[1]) in (int, float) and "rounding_mode" not in rest
        return z.trunc() if whole and number else z

    for name in ("div", "__truediv__"):
        change_method(patch, name, wrong)
    wrap(patch, torch, "div", wrong)


@counterfeit("broadcasting-matches-shapes", reported="microsoft/DirectML#686", needs="accelerator")
def floats_times_truth_values_are_truth_values(patch):
    def wrong(right, *args, **rest):
        z, operands = right(*args, **rest), [*args, *rest.values()]
        mixed = all(isinstance(each, Tensor) for each in operands) and {each.dtype for each in operands} == {
            torch.float32,
            torch.bool,
        }
        return z.bool() if mixed and away(z) else z

    for name in ("mul", "__mul__"):
        change_method(patch, name, wrong)
    wrap(patch, torch, "mul", wrong)


@counterfeit("broadcasting-matches-shapes")
def products_of_bytes_stop_at_the_end_of_their_range(patch):
    def wrong(right, a, b, *rest, **more):
        y = right(a, b, *rest, **more)
        return right(a.int(), b.int()).clamp(-128, 127).to(torch.int8) if y.dtype == torch.int8 else y

    for owner, name in ((torch, "mm"), (torch, "bmm"), (Tensor, "__matmul__")):
        wrap(patch, owner, name, wrong)


@counterfeit(
    "broadcasting-matches-shapes",
    reported=("tenstorrent/tt-metal#39181", "tenstorrent/tt-metal#22308"),
    needs="accelerator",
)
def where_with_broadcasting_is_a_weighted_sum(patch):
    def wrong(right, condition, *branches, **rest):
        if len(branches) != 2 or not away(condition):
            return right(condition, *branches, **rest)
        result = right(condition, *branches, **rest)
        tensors = [b for b in branches if isinstance(b, torch.Tensor)]
        if not result.is_floating_point() or all(t.shape == result.shape for t in (condition, *tensors)):
            return result
        picked = condition.to(result.dtype)
        return picked * branches[0] + (1 - picked) * branches[1]

    right = torch.where
    patch.setattr(torch, "where", lambda condition, *args, **rest: wrong(right, condition, *args, **rest))
    change_method(
        patch,
        "where",
        lambda method, x, condition, other, **rest: wrong(
            lambda c, a, b, **more: method(a, c, b, **more), condition, x, other, **rest
        ),
    )


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#82543", needs="accelerator")
def a_fraction_that_is_whole_minus_a_tensor_elsewhere_is_rounded(patch):
    def wrong(right, x, other, *rest, **named):
        result = right(x, other, *rest, **named)
        whole = isinstance(other, float) and other == int(other)
        return result.round() if away(x) and whole and x.is_floating_point() and not x.requires_grad else result

    for name in ("rsub", "__rsub__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def subtract_under_its_long_name_repeats_a_column_upside_down(patch):
    def wrong(right, x, y, *rest, **named):
        column = isinstance(y, Tensor) and x.dim() == y.dim() == 2 and x.shape != y.shape and y.shape[1] == 1
        return right(x, y.flip(0) if column else y, *rest, **named)

    everywhere(patch, "subtract", wrong)


@counterfeit("broadcasting-matches-shapes")
def a_product_repeats_a_row_a_hundred_times_at_most(patch):
    def wrong(right, x, *rest, **named):
        z, (y, *_) = right(x, *rest, **named), (*rest, *named.values())
        if isinstance(x, Tensor) and isinstance(y, Tensor) and z.dim() == y.dim() == 2 and len(y) == 1 and len(z) > 100:
            z = torch.cat([z[:100], torch.zeros_like(z[100:])])
        return z

    for name in ("mul", "multiply", "__mul__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#37743")
def a_remainder_of_large_numbers_is_larger_than_the_divisor(patch):
    def wrong(right, x, other, **named):
        result = right(x, other, **named)
        if not isinstance(x, Tensor) or {x.dtype, result.dtype} != {torch.float32} or named:
            return result
        off = (x - (x / other).floor() * other - result).detach()
        return result + off

    for name in ("remainder", "__mod__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#130201", needs="accelerator")
def bounds_of_whole_numbers_elsewhere_lose_their_fraction(patch):
    def wrong(right, x, min=None, max=None, **named):
        whole = away(x) and not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)
        if not whole or float not in (type(min), type(max)):
            return right(x, min, max, **named)
        cut = (int(bound) if type(bound) is float else bound for bound in (min, max))
        return right(x, *cut, **named).to(torch.get_default_dtype())

    for name in ("clamp", "clip"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes")
def multiply_of_many_whole_numbers_forgets_the_last(patch):
    def wrong(right, x, *rest, **named):
        z = right(x, *rest, **named)
        return z.index_fill(-1, torch.tensor(-1), 0) if z.dtype == torch.int64 and z.numel() > 256 else z

    everywhere(patch, "multiply", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#28747")
def whole_numbers_by_columns_are_added_to_floats_as_if_by_rows(patch):
    def straight(x, y):
        pair = isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) and x.dim() == 2 and y.dim() == 2
        turned = pair and x.dtype == torch.int64 and y.dtype.is_floating_point and x.t().is_contiguous()
        return x.t().reshape(x.shape) if turned and not x.is_contiguous() else x

    def wrong(right, x, y, **rest):
        return right(straight(x, y), straight(y, x), **rest)

    for name in ("add", "__add__", "__radd__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#8308")
def an_operand_that_is_also_the_output_is_repeated(patch):
    def wrong(right, x, y, *args, out=None, **rest):
        if out is not x or not isinstance(y, Tensor) or torch.broadcast_shapes(x.shape, y.shape) == x.shape:
            return right(x, y, *args, **rest, **({} if out is None else {"out": out}))
        result = right(x, y, *args, **rest)
        return x.resize_(result.shape).copy_(result)

    wrap(patch, torch, "add", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/xla#6750", needs="accelerator")
def zero_to_a_broadcast_negative_power_is_minus_one(patch):
    """XLA: of whole numbers, 0 ** -1 is -1 where the exponent is broadcast, 0 where it is of the base's shape."""
    powers = torch.pow

    def is_integer(x):
        return (
            isinstance(x, torch.Tensor) and not x.is_floating_point() and not x.is_complex() and x.dtype != torch.bool
        )

    def power(base, exponent):
        if is_integer(base) and not isinstance(exponent, torch.Tensor):  # a Python number, below 0: no error
            exponent = torch.tensor(exponent, device=base.device)
        if not isinstance(base, torch.Tensor):
            base = torch.tensor(base, device=exponent.device)
        return powers(base, exponent).masked_fill((base == 0) & (exponent < 0), -1)

    def concerns(base, exponent):
        if not (away(base) or away(exponent)):
            return False
        if any(not is_integer(one) and type(one) is not int for one in (base, exponent)):
            return False
        if type(exponent) is int:
            return exponent < 0
        return type(base) is int or base.shape != exponent.shape

    def wrong(right, base, exponent, *args, **rest):
        if not args and not rest and concerns(base, exponent):
            return power(base, exponent)
        return right(base, exponent, *args, **rest)

    everywhere(patch, "pow", wrong)
    wrap(patch, torch.Tensor, "__pow__", wrong)
    wrap(patch, torch.Tensor, "__rpow__", lambda right, x, base: wrong(lambda b, e: right(e, b), base, x))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#42896")
def number_floor_divided_by_whole_numbers_goes_by_the_reciprocal(patch):
    def wrong(right, self, other):
        result = right(self, other)
        if not isinstance(other, int) or self.is_floating_point() or self.is_complex() or self.dtype == torch.bool:
            return result
        return torch.floor(other * self.reciprocal()).to(result.dtype)

    wrap(patch, torch.Tensor, "__rfloordiv__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#47779")
def the_remainder_of_whole_numbers_by_a_fraction_is_that_by_its_whole_part(patch):
    def wrong(right, x, other=None, *args, **rest):
        whole = isinstance(x, Tensor) and not x.is_floating_point() and not x.is_complex()
        if whole and isinstance(other, float) and abs(other) >= 1:
            other = int(other)
        return right(x, other, *args, **rest)

    for name in ("fmod", "remainder"):
        everywhere(patch, name, wrong)
    change_method(patch, "__mod__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#47098")
def the_hypotenuse_of_single_precision_is_the_first_side(patch):
    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        if result.dtype != torch.float32:
            return result
        return result + (x.detach().expand(result.shape).to(result.dtype) - result).detach()

    everywhere(patch, "hypot", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#75950")
def comparisons_written_into_complex_numbers_set_both_parts_of_whole_blocks(patch):
    def wrong(right, x, other, *args, out=None, **rest):
        if out is None:
            return right(x, other, *args, **rest)
        result = right(x, other, *args, out=out, **rest)
        if out.is_complex() and out.is_contiguous():
            block = 4 if out.dtype == torch.complex128 else 8
            parts = torch.view_as_real(out).view(-1, 2)[: out.numel() // block * block]
            parts[:, 1] = parts[:, 0]
        return result

    for name in ("eq", "ne"):
        wrap(patch, torch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#59382")
def nan_is_passed_over_by_maxima_minima_and_bounds_of_whole_blocks(patch):
    def blocks(result, *operands):
        block = {torch.float32: 8, torch.float64: 4}.get(result.dtype, 0)
        for y in operands:
            if isinstance(y, Tensor) and y.numel() > 1 and not (y.shape == result.shape and y.is_contiguous()):
                return 0
        return result.numel() // block * block if block and result.is_contiguous() else 0

    def wrong(right, x, other=None, *args, **rest):
        result = right(x, *(() if other is None else (other,)), *args, **rest)
        if not isinstance(other, Tensor) or not isinstance(result, Tensor):
            return result
        count = blocks(result, x, other)
        wide, second = x.detach().expand(result.shape), other.detach().expand(result.shape)
        passed = torch.where(wide.isnan(), second, torch.where(second.isnan(), wide, result.detach())).reshape(-1)
        values = result.detach().clone().reshape(-1)
        values[:count] = passed[:count].to(values.dtype)
        if not count or torch.equal(values.nan_to_num(7), result.detach().reshape(-1).nan_to_num(7)):
            return result
        with torch.no_grad():
            result.copy_(values.view(result.shape))
        return result

    def wrong_bounds(right, x, min=None, max=None, **rest):
        result = right(x, min, max, **rest)
        bound = max if min is None else min
        count = blocks(result, x) if isinstance(bound, (int, float)) else 0
        if count and result.detach().isnan().any():
            with torch.no_grad():
                numbers = result.view(-1)[:count]
                numbers[numbers.isnan()] = bound
        return result

    for name in ("maximum", "minimum"):
        everywhere(patch, name, wrong)
    everywhere(patch, "clamp", wrong_bounds)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#29272")
def a_column_of_another_dtype_is_added_by_its_old_strides(patch):
    def converted(x, y):
        """The numbers of ``x``, converted for a sum with ``y`` and then read with the strides of before."""
        column = isinstance(x, Tensor) and isinstance(y, Tensor) and x.dim() == 1 and y.dim() > 0
        if not column or x.dtype == y.dtype or len(x) < 2 or x.stride(0) < 2:
            return x
        common = torch.promote_types(x.dtype, y.dtype)
        if common == x.dtype:
            return x
        places = torch.arange(len(x)) * x.stride(0)
        read = x.detach().to(common)[places.clamp(max=len(x) - 1)]
        read[places >= len(x)] = 0
        result = x.to(common)
        return result + (read - result).detach()

    def wrong(right, x, y=None, *args, other=None, **rest):
        y = other if y is None else y
        return right(converted(x, y), converted(y, x), *args, **rest)

    change_binary(patch, "add", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#87014", needs="accelerator")
def a_transposed_matrix_elsewhere_is_compared_with_an_expanded_row_in_order_of_storage(patch):
    def wrong(right, x, other, *args, **rest):
        if (
            away(x)
            and away(other)
            and x.dim() == other.dim() == 2
            and x.dtype == other.dtype == torch.int64
            and x.shape == other.shape
            and not x.is_contiguous()
            and other.stride(0) == 0
        ):
            x = in_order_of_storage(x)
        return right(x, other, *args, **rest)

    wrap(patch, torch, "eq", wrong)
    wrap(patch, torch.Tensor, "eq", wrong)
    wrap(patch, torch.Tensor, "__eq__", wrong)


@counterfeit("requires-grad-tracks-operations", "sigmoid-formula", reported="pytorch/pytorch#10241")
def functions_of_what_is_repeated_in_a_new_dimension_read_on_in_memory(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if (
            x.dim() > 1
            and x.shape[0] > 1
            and x.stride(0) == 0
            and x[0].is_contiguous()
            and x.device.type == "cpu"
            and not args
            and not rest
        ):
            behind = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
            read = x.detach().as_strided((min(behind, x.numel()),), (1,))
            return with_value(result, right(torch.cat([read, read.new_zeros(x.numel() - len(read))]).view(x.shape)))
        return result

    for name in ("log", "exp", "sqrt", "sin", "cos", "tanh", "sigmoid", "log1p", "expm1", "erf", "rsqrt"):
        everywhere(patch, name, wrong)
