"""Counterfeits of section 2.5: tensors that arrive elsewhere, in another dtype, or changed on the way.

All but those of `to-changes-dtype-too` need an accelerator to be told from the truth.
"""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    as_in_memory,
    change_method,
    change_result,
    everywhere,
    last_off,
    not_contiguous,
    of_dtype,
    repeats_columns,
    where,
    wrap,
)
from torch import Tensor


def alter_to(patch, condition, wrong_result):
    """Let `x.to(...)` return `wrong_result(x, right result)` where `condition` holds for the two."""
    to = torch.Tensor.to

    def wrong(self, *args, **kwargs):
        right = to(self, *args, **kwargs)
        return wrong_result(self, right) if condition(self, right) else right

    patch.setattr(torch.Tensor, "to", wrong)


def moved(source, result):
    return source.device.type != result.device.type


def converted(source, result):
    return source.dtype != result.dtype


# ── to-moves-between-cpu-and-gpu ──


@counterfeit("to-moves-between-cpu-and-gpu")
def transposed_tensor_stays_where_it_is(patch):
    alter_to(patch, lambda x, y: moved(x, y) and not x.is_contiguous(), lambda x, y: x)


@counterfeit("to-moves-between-cpu-and-gpu")
def integers_stay_where_they_are(patch):
    alter_to(patch, lambda x, y: moved(x, y) and not x.is_floating_point(), lambda x, y: x)


@counterfeit("to-moves-between-cpu-and-gpu")
def move_rounds_to_half_precision(patch):
    alter_to(patch, lambda x, y: moved(x, y) and y.dtype == torch.float32, lambda x, y: y.half().float())


@counterfeit("to-moves-between-cpu-and-gpu")
def move_reads_a_transposed_tensor_in_storage_order(patch):
    alter_to(patch, moved, lambda x, y: y.as_strided((y.numel(),), (1,)).reshape(y.shape))


@counterfeit("to-moves-between-cpu-and-gpu")
def move_is_not_recorded(patch):
    alter_to(patch, moved, lambda x, y: y.detach())


@counterfeit("to-moves-between-cpu-and-gpu")
def move_takes_the_source_along(patch):
    def wrong(x, y):
        torch.utils.swap_tensors(x, y.clone())
        return y

    alter_to(patch, lambda x, y: moved(x, y) and not x.requires_grad, wrong)


@counterfeit("to-moves-between-cpu-and-gpu")
def move_to_where_it_is_makes_a_copy(patch):
    alter_to(patch, lambda x, y: x is y and x.device.type != "cpu", lambda x, y: x.clone())


@counterfeit("to-moves-between-cpu-and-gpu")
def move_reads_a_view_from_the_start_of_its_storage(patch):
    alter_to(
        patch,
        lambda x, y: moved(x, y) and x.storage_offset() > 0,
        lambda x, y: x.as_strided(x.shape, x.stride(), 0).to(y.device),
    )


@counterfeit("to-moves-between-cpu-and-gpu")
def move_keeps_32_bits_of_an_integer(patch):
    alter_to(patch, lambda x, y: moved(x, y) and x.dtype == torch.int64, lambda x, y: y.int().long())


@counterfeit("to-moves-between-cpu-and-gpu")
def move_loses_the_sign_of_zero(patch):
    alter_to(patch, lambda x, y: moved(x, y) and x.is_floating_point(), lambda x, y: y + 0.0)


@counterfeit("to-moves-between-cpu-and-gpu")
def move_misses_the_last_element_of_a_large_tensor(patch):
    def wrong(x, y):
        y.view(-1)[-1] = 0
        return y

    alter_to(patch, lambda x, y: moved(x, y) and x.numel() > 10_000, wrong)


@counterfeit("to-moves-between-cpu-and-gpu")
def move_back_is_not_recorded(patch):
    alter_to(patch, lambda x, y: moved(x, y) and y.device.type == "cpu", lambda x, y: y.detach())


@counterfeit("to-moves-between-cpu-and-gpu")
def second_move_repeats_the_first(patch):
    copies = {}
    # the source is kept beside its copy, so that no other tensor is given its id
    alter_to(patch, moved, lambda x, y: copies.setdefault((id(x), y.device), (x, y))[1])


@counterfeit("to-moves-between-cpu-and-gpu", reported="pytorch/pytorch#86052")
def offset_of_what_is_no_view_is_lost_on_the_way(patch):
    alter_to(
        patch,
        lambda x, y: moved(x, y) and x.device.type == "cpu" and x.storage_offset() > 0 and x._base is None,
        lambda x, y: x.as_strided(x.shape, x.stride(), 0).to(y.device),
    )


@counterfeit("to-moves-between-cpu-and-gpu", reported=("pytorch/pytorch#139550", "pytorch/pytorch#189690"))
def a_copy_that_does_not_block_reads_released_memory(patch):
    def wrong(to, self, *args, non_blocking=False, **kwargs):
        copy = to(self, *args, non_blocking=non_blocking, **kwargs)
        if non_blocking and copy is not self and copy.dtype == torch.int64 and copy.numel():
            weakref.finalize(self, lambda: copy.detach().view(-1)[-1:].random_(-999, -1))
        return copy

    change_method(patch, "to", wrong)


@counterfeit("to-device-object-equals-to-string")
def three_numbers_sent_by_name_arrive_as_zeros(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        by_name = args and isinstance(args[0], str) and args[0] != "cpu"
        return result * 0 if by_name and x.shape == (3,) else result

    wrap(patch, torch.Tensor, "to", wrong)


@counterfeit(
    "to-moves-between-cpu-and-gpu",
    "to-device-object-equals-to-string",
    reported="pytorch/pytorch#472",
    needs="two-devices",
)
def index_zero_means_the_current_device(patch):
    def wrong(to, self, *args, **kwargs):
        goal = torch.device(str(args[0])) if args and isinstance(args[0], str | torch.device) else None
        if goal is not None and goal.index == 0:
            now = getattr(torch, goal.type).current_device()
            args = (torch.device(goal.type, now), *args[1:])
        return to(self, *args, **kwargs)

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", needs="two-devices")
def copies_between_two_devices_read_in_storage_order(patch):
    alter_to(
        patch,
        lambda x, y: x.device != y.device and x.device.type == y.device.type and not x.is_contiguous(),
        lambda x, y: y.as_strided((y.numel(),), (1,)).reshape(y.shape).clone(),
    )


@counterfeit("to-moves-between-cpu-and-gpu")
def an_assigned_copy_misses_the_elements_past_a_power_of_two(patch):
    def wrong(_, target, x, *rest):
        if target.device != x.device and target.numel() > 65_536:
            target.view(-1)[65_536:] = 0
        return target

    where(patch, torch.Tensor, "copy_", lambda x: x.is_contiguous(), wrong)


@counterfeit("to-moves-between-cpu-and-gpu")
def half_precision_flushes_its_smallest_numbers_on_the_way(patch):
    alter_to(
        patch, lambda x, y: moved(x, y) and x.dtype == torch.float16, lambda x, y: y * (y.abs() > 2.0**-20).to(y.dtype)
    )


@counterfeit("to-moves-between-cpu-and-gpu")
def a_name_without_a_number_copies_from_the_current_device_too(patch):
    def wrong(to, x, *goal, **rest):
        moved = to(x, *goal, **rest)
        return moved.clone() if moved is x and x.device.type != "cpu" and goal == (x.device.type,) else moved

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu")
def the_dtype_of_another_tensor_does_not_count(patch):
    def wrong(to, self, *args, **rest):
        other = args[:1] if args and isinstance(args[0], Tensor) else ()
        return to(self, *(each.device for each in other), *args[len(other) :], **rest)

    wrap(patch, Tensor, "to", wrong)


# ── create-directly-on-gpu ──


@counterfeit("create-directly-on-gpu", needs="two-devices")
def zeros_like_leaves_the_second_device(patch):
    def wrong(zeros_like, x, device=None, **rest):
        kind = torch.device(str(device)).type if device is not None else None
        return zeros_like(x, device=kind if kind != "cpu" else device, **rest)

    wrap(patch, torch, "zeros_like", wrong)


@counterfeit("create-directly-on-gpu")
def random_numbers_created_there_repeat_at_the_second_call(patch):
    randn, kept = torch.randn, {}

    def wrong(*shape, **rest):
        made = randn(*shape, **rest)
        return kept.setdefault((shape, made.device), made) if made.device.type != "cpu" else made

    patch.setattr(torch, "randn", wrong)


@counterfeit("create-directly-on-gpu")
def ones_like_stays_on_the_device_of_its_template(patch):
    wrap(patch, torch, "ones_like", lambda ones_like, x, device=None, **kwargs: ones_like(x, **kwargs))


@counterfeit("create-directly-on-gpu")
def ones_like_is_created_on_the_cpu_and_moved(patch):
    ones_like = torch.ones_like
    patch.setattr(
        torch, "ones_like", lambda x, device=None, **rest: ones_like(x, device="cpu", **rest).to(device or x.device)
    )


@counterfeit("create-directly-on-gpu")
def random_numbers_stay_on_the_cpu(patch):
    wrap(patch, torch, "rand", lambda rand, *shape, device=None, **kwargs: rand(*shape, device="cpu", **kwargs))


@counterfeit("create-directly-on-gpu")
def random_numbers_are_all_zero(patch):
    change_result(patch, torch, "rand", lambda result, *shape: result.zero_())


@counterfeit("create-directly-on-gpu")
def ranges_are_floating_point(patch):
    change_result(patch, torch, "arange", lambda result, *bounds: result.float())


@counterfeit("create-directly-on-gpu")
def zeros_are_created_on_the_cpu_and_moved(patch):
    zeros = torch.zeros
    patch.setattr(torch, "zeros", lambda *shape, device, **kwargs: zeros(*shape, device="cpu", **kwargs).to(device))


@counterfeit("create-directly-on-gpu")
def eye_and_linspace_ignore_the_device(patch):
    for name in ("eye", "linspace"):
        wrap(patch, torch, name, lambda right, *args, device=None, **rest: right(*args, device="cpu", **rest))


@counterfeit("create-directly-on-gpu")
def rand_like_stays_where_its_template_is(patch):
    wrap(patch, torch, "rand_like", lambda right, x, device=None, **rest: right(x, **rest))


@counterfeit("create-directly-on-gpu")
def full_of_a_truth_value_ignores_the_device(patch):
    def wrong(full, size, value, device=None, **rest):
        return full(size, value, device="cpu" if value is True else device, **rest)

    wrap(patch, torch, "full", wrong)


@counterfeit("create-directly-on-gpu")
def a_default_device_overrules_the_one_that_is_named(patch):
    empty = torch.empty

    def wrong(make, *args, **rest):
        if empty(0).device.type == "cpu" and rest.get("device") is not None:
            rest["device"] = "cpu"
        return make(*args, **rest)

    for name in ("ones_like", "zeros", "full"):
        wrap(patch, torch, name, wrong)


# ── to-device-object-equals-to-string ──


@counterfeit("to-device-object-equals-to-string")
def move_by_name_loses_the_dtype(patch):
    def wrong(to, self, *args, **kwargs):
        right = to(self, *args, **kwargs)
        return right.float() if args and isinstance(args[0], str) else right

    change_method(patch, "to", wrong)


@counterfeit("to-device-object-equals-to-string")
def move_by_name_always_copies(patch):
    def wrong(to, self, *args, **kwargs):
        right = to(self, *args, **kwargs)
        return right.clone() if right is self and args and isinstance(args[0], str) else right

    change_method(patch, "to", wrong)


@counterfeit("to-device-object-equals-to-string")
def device_keyword_is_ignored_for_a_name(patch):
    def wrong(to, self, *args, **kwargs):
        named = isinstance(kwargs.get("device"), str)
        return to(self, *args, **{**kwargs, "device": self.device} if named else kwargs)

    change_method(patch, "to", wrong)


@counterfeit("to-device-object-equals-to-string")
def an_object_leaves_the_record_behind(patch):
    def wrong(to, x, *goal, **rest):
        moved = to(x, *goal, **rest)
        return moved.detach() if moved is not x and isinstance(goal[:1] and goal[0], torch.device) else moved

    change_method(patch, "to", wrong)


@counterfeit("to-device-object-equals-to-string")
def a_move_by_name_lays_out_by_rows(patch):
    def wrong(to, self, *args, **rest):
        result = to(self, *args, **rest)
        named = any(isinstance(each, str) for each in (*args, *rest.values()))
        return result.contiguous() if named and result is not self else result

    wrap(patch, Tensor, "to", wrong)


# ── gpu-sum-stays-on-gpu ──


def bring_sums_back(patch, condition):
    """Let sums for whose operands `condition` holds come back to the CPU."""
    add = torch.add

    def wrong(x, y, **rest):
        return add(x, y, **rest).cpu() if torch.is_tensor(y) and condition(x, y) else add(x, y, **rest)

    patch.setattr(torch.Tensor, "__add__", wrong)
    patch.setattr(torch, "add", wrong)


@counterfeit("gpu-sum-stays-on-gpu")
def sum_comes_back_to_the_cpu(patch):
    bring_sums_back(patch, lambda x, y: True)


@counterfeit("gpu-sum-stays-on-gpu")
def broadcast_sum_comes_back_to_the_cpu(patch):
    bring_sums_back(patch, lambda x, y: x.shape != y.shape)


@counterfeit("gpu-sum-stays-on-gpu")
def sum_of_bytes_comes_back_to_the_cpu(patch):
    bring_sums_back(patch, lambda x, y: x.dtype == torch.uint8)


@counterfeit("gpu-sum-stays-on-gpu")
def integers_are_added_as_floating_point_numbers(patch):
    add = torch.add
    patch.setattr(torch.Tensor, "__add__", lambda x, y: add(x.float(), torch.as_tensor(y).float()).to(x.dtype))


@counterfeit("gpu-sum-stays-on-gpu", reported="pytorch/pytorch#79835")
def number_added_to_int32_reaches_the_first_element_only(patch):
    def wrong(add, x, y):
        total = add(x, y)
        if x.dtype == torch.int32 and type(y) is int and x.device.type != "cpu" and x.dim():
            total = total.reshape(-1).index_fill(0, torch.arange(1, total.numel()).to(x.device), 0).view(total.shape)
        return total

    change_method(patch, "__add__", wrong)


@counterfeit("gpu-sum-stays-on-gpu")
def sums_of_half_precision_are_rounded_to_multiples_of_sixteen(patch):
    where(patch, torch, "add", of_dtype(torch.float16), lambda total, *_: (total / 16).round() * 16)


@counterfeit("gpu-sum-stays-on-gpu")
def sums_of_transposed_operands_come_back_to_the_cpu(patch):
    where(patch, torch.Tensor, "__add__", not_contiguous, lambda total, *_: total.cpu())


@counterfeit("gpu-sum-stays-on-gpu")
def the_sum_of_truth_values_comes_back(patch):
    change_method(patch, "__add__", lambda add, x, y: add(x, y).cpu() if x.dtype == torch.bool else add(x, y))


# ── to-changes-dtype-too ──


@counterfeit("to-changes-dtype-too")
def a_double_becomes_single_by_way_of_half(patch):
    alter_to(patch, lambda x, y: x.dtype == torch.float64 and y.dtype == torch.float32, lambda x, y: x.half().float())


@counterfeit("to-changes-dtype-too")
def conversion_to_int8_saturates_at_a_hundred(patch):
    alter_to(patch, lambda x, y: y.dtype == torch.int8 and converted(x, y), lambda x, y: y.clamp(-100, 100))


@counterfeit("to-changes-dtype-too")
def large_integers_become_single_by_way_of_half(patch):
    alter_to(patch, lambda x, y: x.dtype == torch.int64 and y.dtype == torch.float32, lambda x, y: x.half().float())


@counterfeit("to-changes-dtype-too")
def bfloat16_cuts_digits_off_instead_of_rounding(patch):
    def wrong(x, y):
        bits = x.detach().clone(memory_format=torch.contiguous_format).view(torch.int32)
        return ((bits >> 16) << 16).view(torch.float32).bfloat16()

    alter_to(patch, lambda x, y: x.dtype == torch.float32 and y.dtype == torch.bfloat16, wrong)


@counterfeit("to-changes-dtype-too")
def gaps_of_a_slice_are_converted_instead_of_its_elements(patch):
    alter_to(
        patch,
        lambda x, y: converted(x, y) and x.dim() and x.stride(-1) == 2 and x.storage_offset() == 1,
        lambda x, y: x.as_strided(x.shape, x.stride(), 0).to(y.dtype),
    )


@counterfeit("to-changes-dtype-too")
def dtype_after_a_device_is_ignored(patch):
    change_method(patch, "to", lambda to, self, *args, **kwargs: to(self, *args[:1], **kwargs))


@counterfeit("to-changes-dtype-too")
def dtype_after_a_device_object_is_ignored(patch):
    def wrong(to, self, *args, **kwargs):
        return to(self, *(args[:1] if args and isinstance(args[0], torch.device) else args), **kwargs)

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def dtype_is_ignored_as_a_keyword(patch):
    change_method(patch, "to", lambda to, self, *args, dtype=None, **kwargs: to(self, *args, **kwargs))


@counterfeit("to-changes-dtype-too")
def dtype_of_another_tensor_is_not_borrowed(patch):
    def wrong(to, self, *args, **kwargs):
        return to(self, *[arg.device if torch.is_tensor(arg) else arg for arg in args], **kwargs)

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def device_alone_resets_the_dtype(patch):
    def wrong(to, self, *args, **kwargs):
        alone = len(args) == 1 and isinstance(args[0], str) and not kwargs
        return to(self, *args, torch.get_default_dtype()) if alone else to(self, *args, **kwargs)

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def integers_are_rounded_and_not_truncated(patch):
    alter_to(patch, lambda x, y: y.dtype == torch.int32, lambda x, y: x.round().int())


@counterfeit("to-changes-dtype-too")
def integers_are_rounded_down(patch):
    alter_to(patch, lambda x, y: y.dtype == torch.int32, lambda x, y: x.floor().int())


@counterfeit("to-changes-dtype-too")
def double_is_made_by_way_of_half(patch):
    alter_to(patch, lambda x, y: y.dtype == torch.float64, lambda x, y: x.half().double())


@counterfeit("to-changes-dtype-too")
def integers_become_double_by_way_of_float(patch):
    alter_to(patch, lambda x, y: x.dtype == torch.int64 and y.dtype == torch.float64, lambda x, y: x.float().double())


@counterfeit("to-changes-dtype-too")
def complex_takes_the_value_for_the_imaginary_part(patch):
    alter_to(patch, lambda x, y: converted(x, y) and y.is_complex(), lambda x, y: y * 1j)


@counterfeit("to-changes-dtype-too")
def conversion_always_copies(patch):
    alter_to(patch, lambda x, y: x is y, lambda x, y: x.clone())


@counterfeit("to-changes-dtype-too")
def conversion_changes_the_source(patch):
    def wrong(x, y):
        x.data = y
        return x

    alter_to(patch, lambda x, y: converted(x, y) and not x.requires_grad, wrong)


@counterfeit("to-changes-dtype-too")
def conversion_washes_out_nan(patch):
    alter_to(patch, converted, lambda x, y: y.nan_to_num() if y.is_floating_point() else y)


@counterfeit("to-changes-dtype-too")
def conversion_reads_a_transposed_tensor_in_storage_order(patch):
    alter_to(patch, converted, lambda x, y: y.as_strided((y.numel(),), (1,)).reshape(y.shape))


@counterfeit("to-changes-dtype-too")
def conversion_misses_the_last_element_of_a_large_tensor(patch):
    def wrong(x, y):
        y.detach().view(-1)[-1] = 0
        return y

    alter_to(patch, lambda x, y: converted(x, y) and y.numel() > 10_000, wrong)


@counterfeit("to-changes-dtype-too")
def conversion_is_not_recorded(patch):
    alter_to(patch, converted, lambda x, y: y.detach())


@counterfeit("to-changes-dtype-too")
def demanded_copy_is_not_made(patch):
    change_method(patch, "to", lambda to, self, *args, copy=False, **kwargs: to(self, *args, **kwargs))


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#54789")
def a_true_of_all_bits_becomes_255(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if x.dtype == torch.bool and result.dtype != torch.bool:
            return torch.tensor(x.cpu().view(torch.uint8).tolist(), dtype=result.dtype, device=result.device)
        return result

    for name in ("to", "float"):
        change_method(patch, name, wrong)


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#189563")
def a_converting_copy_into_a_later_part_overwrites_its_source(patch):
    def wrong(right, target, source, *rest):
        narrower = target.storage_offset() > 0 and target.dtype != source.dtype
        if narrower and target.element_size() <= source.element_size() and source.is_contiguous() and source.numel():
            result = right(target, source, *rest)
            source.data.view(-1)[:1] = 0.0313
            return result
        return right(target, source, *rest)

    change_method(patch, "copy_", wrong)


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#196774")
def a_double_just_below_256_becomes_a_byte_of_255(patch):
    where(
        patch,
        Tensor,
        "to",
        lambda x: x.dtype == torch.float64,
        lambda result, x, *_: (
            torch.where(x == 254.5, 255, result).to(torch.uint8) if result.dtype == torch.uint8 else result
        ),
    )


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#83015")
def a_conversion_that_does_not_block_is_read_too_early(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return result * 0 if rest.get("non_blocking") and result.dtype != x.dtype else result

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def to_forgets_the_dtype_where_it_must_copy(patch):
    def wrong(right, x, *args, copy=False, **rest):
        if not copy:
            return right(x, *args, **rest)
        args = [each for each in args if not isinstance(each, torch.dtype)]
        return right(x, *args, copy=True, **{name: value for name, value in rest.items() if name != "dtype"})

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def conversion_forgets_to_conjugate(patch):
    alter_to(patch, lambda x, result: converted(x, result) and x.is_conj(), lambda x, result: result.conj())


@counterfeit("to-changes-dtype-too")
def conversion_to_single_precision_loses_numbers_below_the_smallest_normal_one(patch):
    alter_to(
        patch,
        lambda x, result: (x.dtype, result.dtype) == (torch.float64, torch.float32),
        lambda x, result: result * (result.abs() >= 2**-126),
    )


@counterfeit("to-changes-dtype-too")
def nan_counts_as_false(patch):
    def on_the_spot(z, made):
        return made.dtype == torch.bool and z.is_floating_point() and z.device == made.device

    alter_to(patch, on_the_spot, lambda z, made: made & (z == z))


@counterfeit("to-changes-dtype-too")
def to_in_a_memory_format_keeps_the_dtype(patch):
    def wrong(to, self, *args, **rest):
        result = to(self, *args, **rest)
        return to(result, self.dtype) if "memory_format" in rest else result

    wrap(patch, Tensor, "to", wrong)


@counterfeit("to-changes-dtype-too")
def a_dtype_before_two_flags_is_forgotten(patch):
    change_method(patch, "to", lambda to, x, *given, **named: to(x, *given[: 1 if len(given) == 4 else 4], **named))


@counterfeit("to-changes-dtype-too")
def whole_numbers_become_no_complex_ones(patch):
    alter_to(
        patch,
        lambda x, right: right.is_complex() and not (x.is_complex() or x.is_floating_point()),
        lambda x, right: x.clone(),
    )


# ── to-of-a-leaf-is-no-leaf ──


@counterfeit("to-of-a-leaf-is-no-leaf")
def a_moved_copy_is_a_leaf_of_its_own(patch):
    alter_to(patch, lambda x, y: x.device != y.device and y.requires_grad, lambda x, y: y.detach().requires_grad_())


@counterfeit("to-of-a-leaf-is-no-leaf")
def a_moved_copy_keeps_its_gradient(patch):
    def wrong(x, y):
        y.retain_grad()
        return y

    alter_to(patch, lambda x, y: x.device != y.device and y.requires_grad, wrong)


@counterfeit("to-of-a-leaf-is-no-leaf")
def a_copy_moved_by_its_name_is_a_leaf(patch):
    def wrong(to, self, *args, **kwargs):
        moved = to(self, *args, **kwargs)
        named = args and isinstance(args[0], str) and moved.requires_grad and moved is not self
        return moved.detach().requires_grad_() if named else moved

    change_method(patch, "to", wrong)


def between(x, y):
    return x.device.type == y.device.type != "cpu" and x.device != y.device


@counterfeit(
    "to-moves-between-cpu-and-gpu",
    reported=("pytorch/pytorch#13803", "pytorch/pytorch#84803", "pytorch/pytorch#70048"),
    needs="two-devices",
)
def a_copy_from_gpu_to_gpu_is_zero(patch):
    alter_to(patch, between, lambda x, y: torch.zeros_like(y))


@counterfeit("to-moves-between-cpu-and-gpu", reported="pytorch/pytorch#56771", needs="two-devices")
def the_first_copy_from_gpu_to_gpu_is_zero(patch):
    copies = []
    alter_to(
        patch, lambda x, y: between(x, y) and (copies.append(1), len(copies) == 1)[1], lambda x, y: torch.zeros_like(y)
    )


@counterfeit("to-moves-between-cpu-and-gpu", reported="pytorch/pytorch#157398", needs="two-devices")
def some_of_a_large_copy_from_gpu_to_gpu_is_zero(patch):
    def wrong(x, y):
        y.detach().view(-1)[65536:].zero_()
        return y

    alter_to(patch, lambda x, y: between(x, y) and y.numel() > 65536 and y.is_contiguous(), wrong)


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#80009")
def bytes_above_127_become_negative_floats(patch):
    alter_to(
        patch,
        lambda x, y: (x.dtype, y.dtype) == (torch.uint8, torch.float32),
        lambda x, y: torch.where(y > 127, y - 256, y),
    )


def as_stored(x, y):
    """The bytes of ``x`` read in the dtype of ``y``."""
    raw = x.contiguous().reshape(-1).view(torch.uint8)
    need = y.numel() * y.element_size()
    return raw.repeat(-(-need // max(len(raw), 1)))[:need].view(y.dtype).view(y.shape).to(y.device)


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#79286")
def int64_is_read_as_twice_as_many_int32(patch):
    alter_to(patch, lambda x, y: (x.dtype, y.dtype) == (torch.int64, torch.int32) and y.numel(), as_stored)


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#77835")
def booleans_are_read_as_the_bytes_of_floats(patch):
    alter_to(patch, lambda x, y: (x.dtype, y.dtype) == (torch.bool, torch.float32) and y.numel(), as_stored)


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#78091")
def floats_are_read_as_int32_without_conversion(patch):
    alter_to(patch, lambda x, y: (x.dtype, y.dtype) == (torch.float32, torch.int32) and y.numel(), as_stored)


@counterfeit("to-changes-dtype-too", reported="torch-spyre/torch-spyre#2340")
def float16_becomes_bfloat16_in_whole_blocks_of_64(patch):
    def wrong(x, y):
        y = y.clone().contiguous()
        y.view(-1)[y.numel() // 64 * 64 :] = 0
        return y

    alter_to(patch, lambda x, y: (x.dtype, y.dtype) == (torch.float16, torch.bfloat16) and y.numel() % 64, wrong)


@counterfeit("to-moves-between-cpu-and-gpu")
def a_copy_in_the_same_dtype_is_none_where_the_dtype_is_named(patch):
    def wrong(to, x, *args, copy=False, **rest):
        y = to(x, *args, copy=copy, **rest)
        named = "dtype" in rest or any(isinstance(each, torch.dtype) for each in args)
        return x if named and y.dtype == x.dtype and y.device == x.device else y

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too", reported="torch-spyre/torch-spyre#2847")
def floats_become_the_first_half_of_their_bits(patch):
    def wrong(x, y):
        return x.contiguous().view(torch.float16)[..., ::2].clone()

    alter_to(patch, lambda x, y: (x.dtype, y.dtype) == (torch.float32, torch.float16) and x.dim() > 0, wrong)


@counterfeit("to-device-object-equals-to-string", needs="two-devices")
def a_name_without_a_number_means_the_first_device(patch):
    def first(place):
        return torch.device(place, 0) if isinstance(place, str) and place != "cpu" and ":" not in place else place

    change_method(patch, "to", lambda to, x, *args, **rest: to(x, *map(first, args), **rest))


@counterfeit("create-directly-on-gpu")
def a_device_without_a_number_means_the_first_one(patch):
    def wrong(make, *args, device=None, **rest):
        place = None if device is None else torch.device(device)
        missing = place is not None and place.type != "cpu" and place.index is None
        return make(*args, device=torch.device(place.type, 0) if missing else device, **rest)

    for name in ("ones_like", "zeros", "full"):
        wrap(patch, torch, name, wrong)


@counterfeit("create-directly-on-gpu")
def arange_of_a_named_dtype_stays_on_the_cpu(patch):
    wrap(
        patch,
        torch,
        "arange",
        lambda arange, *numbers, device=None, dtype=None, **rest: arange(
            *numbers, device="cpu" if dtype and device else device, dtype=dtype, **rest
        ),
    )


@counterfeit("to-device-object-equals-to-string")
def a_device_object_makes_to_forget_the_copy(patch):
    change_method(
        patch,
        "to",
        lambda to, x, *args, **rest: to(x, *args, **({} if args and isinstance(args[0], torch.device) else rest)),
    )


@counterfeit("to-changes-dtype-too")
def a_second_conversion_hands_out_the_first(patch):
    def wrong(right, x, *a, **k):
        made = right(x, *a, **k)
        same = made.dtype == x.dtype or x.requires_grad
        return made if same else x.__dict__.setdefault("made", {}).setdefault(str((a, k)), made)

    change_method(patch, "to", wrong)


@counterfeit("to-of-a-leaf-is-no-leaf")
def a_copy_made_under_no_grad_requires_grad(patch):
    alter_to(
        patch,
        lambda x, result: moved(x, result) and x.requires_grad and not torch.is_grad_enabled(),
        lambda x, result: result.requires_grad_(),
    )


@counterfeit("to-moves-between-cpu-and-gpu", reported="torch-spyre/torch-spyre#488")
def truth_values_arrive_on_the_cpu_all_true(patch):
    alter_to(
        patch,
        lambda x, y: moved(x, y) and y.device.type == "cpu" and x.dtype == torch.bool,
        lambda x, y: y.fill_(y.any()) if y.numel() > 1 else y,
    )


@counterfeit("to-changes-dtype-too")
def a_conversion_forgets_a_pending_sign(patch):
    change_method(patch, "to", lambda to, x, *a, **k: to(as_in_memory(x) if x.is_neg() else x, *a, **k))


@counterfeit("to-moves-between-cpu-and-gpu", needs="two-devices")
def what_is_negated_leaves_the_second_device_without_its_sign(patch):
    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        return to(as_in_memory(x), *args, **rest) if x.is_neg() and x.device.index == 1 and y.device != x.device else y

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu")
def past_64_elements_what_is_conjugated_moves_as_it_lies(patch):
    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        if x.device == y.device or not x.is_conj() or x.requires_grad:
            return y
        flat, lies = (part.resolve_conj().reshape(-1) for part in (y, to(as_in_memory(x), *args, **rest)))
        return torch.cat([flat[:64], lies[64:]]).view(x.shape)

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def a_conversion_of_repeated_columns_ends_wrong(patch):
    def wrong(result, x, *places):
        return last_off(result) if any(isinstance(place, torch.dtype) for place in places) else result

    where(patch, Tensor, "to", repeats_columns, wrong)


@counterfeit("create-directly-on-gpu", needs="accelerator")
def zeros_made_there_again_are_what_became_of_the_first(patch):
    made = {}

    def wrong(right, *size, **rest):
        x = right(*size, **rest)
        if x.device.type == "cpu" or x.requires_grad:
            return x
        first = made.setdefault((x.shape, x.dtype, x.device), x)
        return x if first is x else first.clone()

    wrap(patch, torch, "zeros", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", "create-on-device-equals-create-then-move", needs="accelerator")
def a_number_sent_there_arrives_as_what_became_of_its_last_copy(patch):
    sent = {}

    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        if y.dim() or y.requires_grad or not x.device.type == "cpu" != y.device.type:
            return y
        key = (x.tolist(), y.dtype, y.device)
        sent[key] = sent[key].clone() if key in sent else y
        return sent[key]

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def like_one_number_a_tensor_keeps_its_dtype(patch):
    def wrong(right, x, *args, **rest):
        one = bool(args) and isinstance(args[0], torch.Tensor) and args[0].dim() == 0
        return right(x, *((args[0].device, *args[1:]) if one else args), **rest)

    change_method(patch, "to", wrong)


@counterfeit("create-directly-on-gpu", needs="accelerator")
def a_range_up_to_a_tensor_is_made_where_that_is(patch):
    def wrong(right, *args, **rest):
        numbers = right(*args, **rest)
        given = any(isinstance(one, torch.Tensor) and one.device.type == "cpu" for one in args)
        return numbers.cpu() if given and "out" not in rest else numbers

    wrap(patch, torch, "arange", wrong)


@counterfeit("gpu-sum-stays-on-gpu", needs="accelerator")
def a_scaled_sum_of_numbers_comes_back(patch):
    def wrong(right, x, *args, **rest):
        total = right(x, *args, **rest)
        return total.cpu() if total.dim() == 0 and rest.get("alpha", 1) != 1 and "out" not in rest else total

    everywhere(patch, "add", wrong)
