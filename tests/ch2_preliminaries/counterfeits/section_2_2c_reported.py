"""Counterfeits of section 2.2 that users reported, outputs with gaps, parts behind masks and writes of truth values."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, everywhere, wrap
from torch import Tensor


def in_one_piece(patch, name, condition=lambda out: True):
    """Let ``torch.name`` fill its output as if that lay in one piece, from its first element on."""

    def wrong(right, *args, out=None, **rest):
        if out is None:
            return right(*args, out=out, **rest)
        for part in (out,) if isinstance(out, Tensor) else out:
            made = right(*args, **rest)
            made = made if isinstance(made, Tensor) else made[[part is each for each in out].index(True)]
            if part.is_contiguous() or part.shape != made.shape or not condition(part):
                part.resize_(made.shape).copy_(made)
            else:
                room = part.untyped_storage().nbytes() // part.element_size() - part.storage_offset()
                flat = made.reshape(-1)[:room].to(part.dtype)
                part.as_strided(flat.shape, (1,), part.storage_offset()).copy_(flat)
        return out

    wrap(patch, torch, name, wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#60492")
def places_that_are_searched_fill_an_output_as_if_it_had_no_gaps(patch):
    in_one_piece(patch, "searchsorted")


@counterfeit("view-shares-data")
def buckets_fill_an_output_as_if_it_had_no_gaps(patch):
    in_one_piece(patch, "bucketize")


@counterfeit("view-shares-data", reported="pytorch/pytorch#62940")
def the_largest_fill_outputs_as_if_these_had_no_gaps(patch):
    in_one_piece(patch, "topk")


@counterfeit("view-shares-data", reported="pytorch/pytorch#45721")
def the_kth_smallest_fill_outputs_as_if_these_had_no_gaps(patch):
    in_one_piece(patch, "kthvalue")


@counterfeit("view-shares-data")
def places_of_a_sort_fill_an_output_as_if_it_had_no_gaps(patch):
    in_one_piece(patch, "sort", lambda out: out.dtype == torch.int64)


@counterfeit("view-shares-data")
def whole_numbers_add_up_in_an_output_as_if_it_had_no_gaps(patch):
    in_one_piece(patch, "add", lambda out: out.dtype == torch.int64)


@counterfeit("view-shares-data")
def bits_fill_an_output_as_if_it_had_no_gaps(patch):
    in_one_piece(patch, "bitwise_xor")


@counterfeit("view-shares-data")
def medians_fill_outputs_as_if_these_had_no_gaps(patch):
    in_one_piece(patch, "median")


@counterfeit("view-shares-data")
def logarithms_of_sums_fill_an_output_as_if_it_had_no_gaps(patch):
    in_one_piece(patch, "logaddexp")


@counterfeit("view-shares-data")
def rows_of_a_largest_norm_fill_an_output_as_if_it_had_no_gaps(patch):
    in_one_piece(patch, "renorm")


@counterfeit("view-shares-data")
def products_of_blocks_fill_an_output_as_if_it_had_no_gaps(patch):
    in_one_piece(patch, "kron")


@counterfeit("view-shares-data")
def running_maxima_fill_outputs_as_if_these_had_no_gaps(patch):
    in_one_piece(patch, "cummax")


@counterfeit("broadcasting-matches-shapes", "augmented-assignment-writes-through", reported="pytorch/pytorch#158413")
def a_number_for_rows_of_a_mask_with_a_slice_reaches_all_columns(patch):
    def wrong(right, x, index, value):
        parts = index if isinstance(index, tuple) else (index,)
        masked = len(parts) == 2 and isinstance(parts[0], Tensor) and parts[0].dtype == torch.bool
        if masked and parts[0].dim() == 1 and isinstance(parts[1], slice) and x.dim() == 2:
            index = parts[0], slice(None)
            value = value if not isinstance(value, Tensor) or value.dim() < 2 else value[:, :1]
        return right(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("broadcasting-matches-shapes")
def what_a_mask_with_a_slice_chooses_begins_with_the_first_column(patch):
    def wrong(right, x, index):
        parts = index if isinstance(index, tuple) else (index,)
        masked = len(parts) == 2 and isinstance(parts[0], Tensor) and parts[0].dtype == torch.bool
        if masked and parts[0].dim() == 1 and isinstance(parts[1], slice) and x.dim() == 2:
            return right(right(x, parts[0]), (slice(None), slice(0, len(range(*parts[1].indices(x.shape[1]))))))
        return right(x, index)

    change_method(patch, "__getitem__", wrong)


@counterfeit("augmented-assignment-writes-through", reported="microsoft/DirectML#737")
def truth_values_that_multiply_in_place_count_as_one(patch):
    def wrong(right, x, y, *args, **rest):
        truths = isinstance(y, Tensor) and y.dtype == torch.bool and x.dtype != torch.bool
        return right(x, torch.ones_like(y) if truths else y, *args, **rest)

    for name in ("mul_", "__imul__"):
        change_method(patch, name, wrong)


@counterfeit("augmented-assignment-writes-through")
def truth_values_that_are_added_in_place_are_lost(patch):
    def wrong(right, x, y, *args, **rest):
        truths = isinstance(y, Tensor) and y.dtype == torch.bool and x.dtype != torch.bool
        return right(x, torch.zeros_like(y) if truths else y, *args, **rest)

    for name in ("add_", "__iadd__"):
        change_method(patch, name, wrong)


@counterfeit("augmented-assignment-writes-through")
def a_value_does_not_scale_a_product_that_is_added_in_place(patch):
    change_method(patch, "addcmul_", lambda right, x, *factors, value=1, **rest: right(x, *factors))


@counterfeit("augmented-assignment-writes-through")
def a_value_does_not_scale_a_quotient_that_is_added_in_place(patch):
    change_method(patch, "addcdiv_", lambda right, x, *parts, value=1, **rest: right(x, *parts))


@counterfeit("augmented-assignment-writes-through")
def bounds_that_are_tensors_bound_in_place_from_below_alone(patch):
    def wrong(right, x, min=None, max=None):
        return right(x, min, None if isinstance(max, Tensor) and min is not None else max)

    for name in ("clamp_", "clip_"):
        change_method(patch, name, wrong)


@counterfeit("augmented-assignment-writes-through")
def weights_that_are_a_tensor_weigh_in_place_by_their_first(patch):
    def wrong(right, x, end, weight):
        each = isinstance(weight, Tensor) and weight.dim() > 0 and weight.numel() > 0
        return right(x, end, weight.reshape(-1)[0].item() if each else weight)

    change_method(patch, "lerp_", wrong)


@counterfeit("augmented-assignment-writes-through")
def a_shift_in_place_is_by_one(patch):
    for name in ("__ilshift__", "__irshift__", "bitwise_left_shift_", "bitwise_right_shift_"):
        change_method(patch, name, lambda right, x, y: right(x, y * 0 + 1))


@counterfeit("augmented-assignment-writes-through")
def a_power_in_place_is_a_square(patch):
    for name in ("__ipow__", "pow_"):
        change_method(patch, name, lambda right, x, y: right(x, 2 if isinstance(y, Tensor) else y))


@counterfeit("augmented-assignment-writes-through")
def a_remainder_in_place_has_the_sign_of_the_number(patch):
    for name in ("__imod__", "remainder_"):
        change_method(patch, name, lambda right, x, y: x.fmod_(y) if isinstance(y, Tensor) else right(x, y))


@counterfeit("augmented-assignment-writes-through")
def a_floor_division_in_place_cuts(patch):
    for name in ("__ifloordiv__", "floor_divide_"):
        change_method(
            patch,
            name,
            lambda right, x, y: x.div_(y, rounding_mode="trunc") if isinstance(y, Tensor) else right(x, y),
        )


@counterfeit("augmented-assignment-writes-through")
def bits_in_place_are_those_of_either(patch):
    for name in ("__iand__", "bitwise_and_", "__ixor__", "bitwise_xor_"):
        change_method(patch, name, lambda right, x, y: x.bitwise_or_(y) if isinstance(y, Tensor) else right(x, y))


@counterfeit("view-shares-data", needs="accelerator")
def a_write_of_another_dtype_through_columns_is_lost_on_a_device(patch):
    def wrong(right, x, other, *args, **rest):
        lost = away(x) and isinstance(other, Tensor) and other.dtype != x.dtype and not x.is_contiguous()
        return x if lost else right(x, other, *args, **rest)

    change_method(patch, "copy_", wrong)


@counterfeit("reshape-does-not-guarantee-a-copy")
def a_part_of_a_repeated_tensor_is_copied_in_the_order_of_storage(patch):
    def wrong(right, x, *sizes, **rest):
        made = right(x, *sizes, **rest)
        part = x.dim() == 2 and 0 in x.stride() and x.storage_offset() and x.numel()
        return made.flip(0) if part and made.dim() == 1 else made

    everywhere(patch, "reshape", wrong)


@counterfeit("view-shares-data", reported="MooreThreads/torch_musa#51", needs="accelerator")
def addmm_into_an_out_leaves_zeros(patch):
    def wrong(right, *args, out=None, **rest):
        result = right(*args, **rest) if out is None else right(*args, out=out, **rest)
        return result.zero_() if out is not None and away(out) else result

    wrap(patch, torch, "addmm", wrong)
