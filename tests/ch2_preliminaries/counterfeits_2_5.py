"""Counterfeits of section 2.5: tensors that arrive elsewhere, in another dtype, or changed on the way.

All but those of `to-changes-dtype-too` need an accelerator to be told from the truth.
"""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_result


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


# ── create-directly-on-gpu ──


@counterfeit("create-directly-on-gpu")
def ones_like_stays_on_the_device_of_its_template(patch):
    ones_like = torch.ones_like
    patch.setattr(torch, "ones_like", lambda x, device=None, **kwargs: ones_like(x, **kwargs))


@counterfeit("create-directly-on-gpu")
def ones_like_is_created_on_the_cpu_and_moved(patch):
    ones_like = torch.ones_like
    patch.setattr(torch, "ones_like", lambda x, device=None, **kwargs: ones_like(x, **kwargs).to(device or x.device))


@counterfeit("create-directly-on-gpu")
def random_numbers_stay_on_the_cpu(patch):
    rand = torch.rand
    patch.setattr(torch, "rand", lambda *shape, device=None, **kwargs: rand(*shape, device="cpu", **kwargs))


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


# ── to-device-object-equals-to-string ──


@counterfeit("to-device-object-equals-to-string")
def move_by_name_loses_the_dtype(patch):
    to = torch.Tensor.to

    def wrong(self, *args, **kwargs):
        right = to(self, *args, **kwargs)
        return right.float() if args and isinstance(args[0], str) else right

    patch.setattr(torch.Tensor, "to", wrong)


@counterfeit("to-device-object-equals-to-string")
def move_by_name_always_copies(patch):
    to = torch.Tensor.to

    def wrong(self, *args, **kwargs):
        right = to(self, *args, **kwargs)
        return right.clone() if right is self and args and isinstance(args[0], str) else right

    patch.setattr(torch.Tensor, "to", wrong)


@counterfeit("to-device-object-equals-to-string")
def device_keyword_is_ignored_for_a_name(patch):
    to = torch.Tensor.to

    def wrong(self, *args, **kwargs):
        named = isinstance(kwargs.get("device"), str)
        return to(self, *args, **{**kwargs, "device": self.device} if named else kwargs)

    patch.setattr(torch.Tensor, "to", wrong)


# ── gpu-sum-stays-on-gpu ──


def bring_sums_back(patch, condition):
    """Let sums for whose operands `condition` holds come back to the CPU."""
    add = torch.add

    def wrong(x, y):
        return add(x, y).cpu() if torch.is_tensor(y) and condition(x, y) else add(x, y)

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
    patch.setattr(torch.Tensor, "__add__", lambda x, y: add(x.float(), y.float()).to(x.dtype))


# ── to-changes-dtype-too ──


@counterfeit("to-changes-dtype-too")
def dtype_after_a_device_is_ignored(patch):
    to = torch.Tensor.to
    patch.setattr(torch.Tensor, "to", lambda self, *args, **kwargs: to(self, *args[:1], **kwargs))


@counterfeit("to-changes-dtype-too")
def dtype_after_a_device_object_is_ignored(patch):
    to = torch.Tensor.to

    def wrong(self, *args, **kwargs):
        return to(self, *(args[:1] if args and isinstance(args[0], torch.device) else args), **kwargs)

    patch.setattr(torch.Tensor, "to", wrong)


@counterfeit("to-changes-dtype-too")
def dtype_is_ignored_as_a_keyword(patch):
    to = torch.Tensor.to
    patch.setattr(torch.Tensor, "to", lambda self, *args, dtype=None, **kwargs: to(self, *args, **kwargs))


@counterfeit("to-changes-dtype-too")
def dtype_of_another_tensor_is_not_borrowed(patch):
    to = torch.Tensor.to

    def wrong(self, *args, **kwargs):
        return to(self, *[arg.device if torch.is_tensor(arg) else arg for arg in args], **kwargs)

    patch.setattr(torch.Tensor, "to", wrong)


@counterfeit("to-changes-dtype-too")
def device_alone_resets_the_dtype(patch):
    to = torch.Tensor.to

    def wrong(self, *args, **kwargs):
        alone = len(args) == 1 and isinstance(args[0], str) and not kwargs
        return to(self, *args, torch.get_default_dtype()) if alone else to(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "to", wrong)


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
    to = torch.Tensor.to
    patch.setattr(torch.Tensor, "to", lambda self, *args, copy=False, **kwargs: to(self, *args, **kwargs))
