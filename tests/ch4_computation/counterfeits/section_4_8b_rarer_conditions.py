"""Counterfeits of 4.8: results, prints and copies that are wrong for one layout, offset, dtype or device."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    alter_property,
    away,
    change_method,
    change_output,
    change_result,
    divert,
    everywhere,
    in_order_of_storage,
    wrap,
)
from torch import Tensor


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#189563")
def a_copy_into_a_later_place_of_the_cpu_overwrites_what_it_reads(patch):
    def wrong(copy, x, y, *args, **rest):
        result = copy(x, y, *args, **rest)
        converts = away(y) and x.device.type == "cpu" and x.dtype != y.dtype and x.element_size() <= y.element_size()
        if converts and x.storage_offset() and y.numel() and y.is_contiguous():
            y.data.view(-1)[: max(1, len(y.data.view(-1)) // 2)] = 9
        return result

    change_method(patch, "copy_", wrong)


@counterfeit("create-on-device-equals-create-then-move", reported="pytorch/pytorch#85967")
def an_array_with_gaps_created_elsewhere_is_read_without_them(patch):
    def wrong(create, data, **rest):
        gaps = isinstance(data, np.ndarray) and not data.flags.c_contiguous and away(create(0, **rest))
        whole = data.base if gaps and data.base is not None else data
        return create(np.resize(whole.ravel(order="K"), data.shape) if gaps else data, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="torch-spyre/torch-spyre#3237")
def the_copy_of_a_second_slice_is_that_of_the_first(patch):
    first = {}

    def wrong(clone, x, *args, **rest):
        y = clone(x, *args, **rest)
        if away(x) and x._is_view():
            y = clone(first.setdefault((x.data_ptr() - x.storage_offset() * x.element_size(), x.shape, x.stride()), y))
        return y

    change_method(patch, "clone", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#42161", needs="two-devices")
def a_number_of_the_cpu_times_a_tensor_of_the_second_gpu_is_the_tensor(patch):
    def second(x, y):
        return x.device.type == "cpu" and x.dim() == 0 and away(y) and y.device.index == 1

    divert(patch, Tensor, "__mul__", second, lambda x, y: y.clone())


def change_print(patch, condition, change):
    """Let a tensor on the device print as ``change(x)``, a tensor there, where ``condition(x)``."""
    right = Tensor.__repr__

    def wrong(self, **rest):
        return right(change(self) if away(self) and condition(self) else self, **rest)

    patch.setattr(Tensor, "__repr__", wrong)


@counterfeit("gpu-tensor-prints-its-device", reported="pytorch/pytorch#85592")
def a_later_element_prints_as_the_first(patch):
    def later(x):
        return x.dim() == 0 and x.storage_offset() > 0 and x.dtype == torch.float32

    change_print(patch, later, lambda x: x.detach().as_strided((), (), 0).clone())


@counterfeit("gpu-tensor-prints-its-device", reported="tenstorrent/tt-metal#43215")
def rows_behind_the_first_print_as_zeros_where_the_middle_has_size_one(patch):
    def change(x):
        shown = x.detach().clone()
        shown[1:] = 0
        return shown

    change_print(patch, lambda x: x.dim() == 3 and x.shape[1] == 1 and x.dtype == torch.bfloat16, change)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#175187")
def a_sort_reads_its_numbers_in_the_order_of_memory(patch):
    def wrong(sort, x, *args, **rest):
        return sort(in_order_of_storage(x) if away(x) and not x.is_contiguous() else x, *args, **rest)

    for owner in (torch, Tensor):
        wrap(patch, owner, "sort", wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#87856")
def slices_of_one_tensor_are_stacked_as_the_first(patch):
    def wrong(stack, all, *args, **rest):
        offsets = {x.storage_offset() for x in all}
        one = all[0].numel() == 1 and len({x.untyped_storage().data_ptr() for x in all}) == 1
        return stack([all[0]] * len(all) if away(all[0]) and one and len(offsets) > 1 else all, *args, **rest)

    wrap(patch, torch, "stack", wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#80850")
def truth_values_are_stacked_as_false(patch):
    def wrong(stack, all, *args, **rest):
        y = stack(all, *args, **rest)
        return torch.zeros_like(y) if away(y) and y.dtype == torch.bool else y

    wrap(patch, torch, "stack", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#49531")
def a_matrix_of_the_gpu_times_one_of_the_cpu_is_computed(patch):
    def wrong(matmul, x, y):
        return matmul(x, y.to(x.device) if away(x) and y.device.type == "cpu" else y)

    change_method(patch, "__matmul__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def clamp_fetches_its_bounds(patch):
    def wrong(clamp, x, *bounds, **named):
        fetched = [each.to(x.device) if isinstance(each, Tensor) else each for each in (*bounds, *named.values())]
        return clamp(x, *fetched[: len(bounds)], **dict(zip(named, fetched[len(bounds) :])))

    for owner in (torch, Tensor):
        wrap(patch, owner, "clamp", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#108978")
def a_row_of_the_gpu_assigned_to_one_of_the_cpu_lands_in_the_first(patch):
    def wrong(assign, x, index, value):
        late = away(value) and x.device.type == "cpu" and isinstance(index, int) and x.storage_offset() and x._is_view()
        assign(x.as_strided(x.shape, x.stride(), 0) if late else x, 0 if late else index, value)

    wrap(patch, Tensor, "__setitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix", reported="pytorch/pytorch#149822")
def the_largest_numbers_are_written_into_the_memory_of_another_device(patch):
    def wrong(right, x, *args, out=None, **rest):
        if out is None or {each.device for each in out} == {x.device}:
            return right(x, *args, **rest) if out is None else right(x, *args, out=out, **rest)
        return tuple(each.copy_(result) for each, result in zip(out, right(x, *args, **rest)))

    wrap(patch, torch, "max", wrong)


def in_place(patch, name):
    """Let an operation in place write in the order of memory where a tensor of the device is not contiguous."""

    def wrong(right, x, *args, **rest):
        if not away(x) or x.is_contiguous() or x.numel() < 2:
            return right(x, *args, **rest)
        result = right(x.clone(memory_format=torch.contiguous_format), *args, **rest)
        at = torch.as_strided(
            x, (x.numel(),), (1,), min(x.storage_offset(), x.untyped_storage().nbytes() // x.element_size() - x.numel())
        )
        at.copy_(result.reshape(-1))
        return x

    change_method(patch, name, wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#94190")
def fill_writes_in_the_order_of_memory(patch):
    in_place(patch, "fill_")


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#131285")
def masked_fill_writes_in_the_order_of_memory(patch):
    in_place(patch, "masked_fill_")


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#124206")
def infinity_assigned_by_a_mask_is_the_largest_number(patch):
    def wrong(assign, x, index, value):
        mask = away(x) and isinstance(index, Tensor) and index.dtype == torch.bool and abs(value) == float("inf")
        assign(x, index, x.max() if mask else value)

    wrap(patch, Tensor, "__setitem__", wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#89353")
def channels_last_images_are_joined_in_the_order_of_memory(patch):
    def wrong(cat, all, *args, **rest):
        last = all[0].dim() == 4 and all[0].is_contiguous(memory_format=torch.channels_last)
        wrong = last and away(all[0]) and not all[0].is_contiguous()
        return cat([in_order_of_storage(x) for x in all] if wrong else all, *args, **rest)

    wrap(patch, torch, "cat", wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#90479")
def what_is_joined_with_an_empty_tensor_is_empty(patch):
    def wrong(cat, all, *args, **rest):
        return all[0].clone() if away(all[0]) and not all[0].numel() else cat(all, *args, **rest)

    wrap(patch, torch, "cat", wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="torch-spyre/torch-spyre#1760")
def a_single_column_that_is_joined_arrives_as_zeros(patch):
    def wrong(cat, all, dim=0, **rest):
        single = away(all[0]) and dim > 0
        return cat([x * 0 if single and x.shape[dim] == 1 else x for x in all], dim, **rest)

    wrap(patch, torch, "cat", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#33422")
def where_fetches_the_second_choice_to_a_condition_on_the_cpu(patch):
    def wrong(where, condition, x, y):
        here = isinstance(y, Tensor) and isinstance(x, Tensor) and x.device.type == "cpu" == condition.device.type
        return where(condition, x, y.cpu() if here else y)

    wrap(patch, torch, "where", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_number_of_the_cpu_divided_by_a_tensor_is_the_tensor_divided_by_it(patch):
    def number(x, y):
        return isinstance(x, Tensor) and x.device.type == "cpu" and x.dim() == 0 and away(y)

    divert(patch, Tensor, "__truediv__", number, lambda x, y: torch.div(y, x))


@counterfeit("cpu-tensor-prints-no-device")
def in_a_block_of_another_device_the_cpu_is_printed(patch):
    def wrong(right, x, **rest):
        text = right(x, **rest)
        return text[:-1] + ", device='cpu')" if torch.tensor(0).device != x.device else text

    wrap(patch, torch.Tensor, "__repr__", wrong)


@counterfeit("create-on-device-equals-create-then-move")
def with_a_device_whole_numbers_have_32_bits(patch):
    def wrong(right, data, *args, **rest):
        out = right(data, *args, **rest)
        moved = rest.get("device") is not None and rest.get("dtype") is None
        return out.int() if moved and out.dtype == torch.int64 and bool((out.cpu() < 2**31).all()) else out

    wrap(patch, torch, "tensor", wrong)


@counterfeit("gpu-results-stay-on-gpu")
def new_tensors_are_on_the_cpu(patch):
    change_method(patch, "new_zeros", lambda right, x, *args, **rest: right(x, *args, **rest).cpu())


@counterfeit("gpu-results-stay-on-gpu")
def a_gradient_comes_home(patch):
    change_output(patch, torch.autograd, "grad", lambda grads: tuple(g if g is None else g.cpu() for g in grads))


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def an_empty_tensor_is_taken_into_cat(patch):
    def wrong(right, tensors, *args, **rest):
        place = next((t.device for t in tensors if t.numel()), None)
        return right([t.to(place) if place and not t.numel() else t for t in tensors], *args, **rest)

    wrap(patch, torch, "cat", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_comparison_mixes(patch):
    change_method(patch, "__lt__", lambda right, x, y: right(x, torch.as_tensor(y).to(x.device)))


@counterfeit("cpu-tensor-prints-no-device")
def in_inference_mode_a_tensor_prints_its_device(patch):
    def wrong(right, x, **k):
        return right(x)[:-1] + ", device='cpu')" if torch.is_inference_mode_enabled() else right(x)

    wrap(patch, Tensor, "__repr__", wrong)


@counterfeit("gpu-results-stay-on-gpu")
def the_indices_of_kthvalue_are_on_the_cpu(patch):
    def wrong(right, *args, **rest):
        values, indices = right(*args, **rest)
        return torch.return_types.kthvalue((values, indices.cpu()))

    wrap(patch, torch, "kthvalue", wrong)
    wrap(patch, Tensor, "kthvalue", wrong)


@counterfeit("gpu-results-stay-on-gpu")
def counts_are_on_the_cpu(patch):
    for owner in (torch, Tensor):
        change_result(patch, owner, "bincount", lambda result, *args: result.cpu())


@counterfeit("gpu-results-stay-on-gpu")
def the_places_of_a_condition_are_on_the_cpu(patch):
    wrap(
        patch,
        torch,
        "where",
        lambda right, *args, **rest: (
            tuple(x.cpu() for x in right(*args)) if len(args) == 1 and not rest else right(*args, **rest)
        ),
    )


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_bias_on_the_cpu_is_added_by_addmm(patch):
    def wrong(right, bias, x, *args, **rest):
        return right(bias.to(x.device) if bias.dim() == 1 and away(x) else bias, x, *args, **rest)

    wrap(patch, torch, "addmm", wrong)


@counterfeit("gpu-results-stay-on-gpu")
def repeat_interleave_gives_a_cpu_tensor(patch):
    change_output(patch, torch, "repeat_interleave", lambda y: y.cpu())
    change_output(patch, Tensor, "repeat_interleave", lambda y: y.cpu())


@counterfeit("gpu-results-stay-on-gpu")
def a_standard_deviation_is_on_the_cpu(patch):
    change_output(patch, torch, "std", lambda y: y.cpu())
    change_output(patch, Tensor, "std", lambda y: y.cpu())


def across(patch, owner, name):
    def wrong(right, *args, **rest):
        homes = [x.device for x in args if away(x)]
        args = [x.to(homes[0]) if isinstance(x, Tensor) and homes else x for x in args]
        return right(*args, **rest)

    wrap(patch, owner, name, wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def isclose_compares_across(patch):
    across(patch, torch, "isclose")


@counterfeit("different-gpus-do-not-mix")
def distances_are_computed_across(patch):
    across(patch, torch, "cdist")


@counterfeit("create-on-device-equals-create-then-move")
def numbers_of_two_kinds_become_whole_there(patch):
    def wrong(create, data, **rest):
        mixed = isinstance(data, list | tuple) and {type(x) for x in data} == {int, float}
        there = rest.get("device") is not None and torch.device(rest["device"]).type != "cpu"
        return create([int(x) for x in data] if mixed and there else data, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("gpu-results-stay-on-gpu")
def the_gradient_of_a_number_is_on_the_cpu(patch):
    def wrong(x, gradient):
        return gradient.cpu() if gradient is not None and away(x) and x.dim() == 0 else gradient

    alter_property(patch, "grad", wrong)


@counterfeit("different-gpus-do-not-mix", needs="two-devices")
def what_a_slice_takes_from_another_gpu_in_another_dtype_loses_its_fractions(patch):
    def wrong(assign, x, at, value):
        crosses = isinstance(value, Tensor) and away(x) and away(value) and x.device != value.device
        return assign(x, at, value.to(torch.int64) if crosses and x.dtype != value.dtype else value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="intel/torch-xpu-ops#4396")
def a_mask_on_the_gpu_loses_what_it_selects_last(patch):
    def wrong(right, x, index):
        mask = isinstance(index, Tensor) and index.dtype == torch.bool and away(x)
        return right(x, index)[:-1] if mask else right(x, index)

    change_method(patch, "__getitem__", wrong)


@counterfeit("create-on-device-equals-create-then-move", reported="pytorch/pytorch#121685")
def truth_values_in_more_than_five_dimensions_are_all_true_elsewhere(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        return y.fill_(True) if x.dtype == torch.bool and x.dim() > 5 and away(y) and not away(x) else y

    change_method(patch, "to", wrong)


@counterfeit("gpu-results-stay-on-gpu", needs="two-devices")
def a_copy_of_what_is_on_the_second_device_is_on_the_first(patch):
    def wrong(right, x, memo):
        copied = right(x, memo)
        return copied.to(torch.device(x.device.type, 0)) if x.device.index == 1 else copied

    change_method(patch, "__deepcopy__", wrong)


@counterfeit("device-attribute-tells-where")
def the_device_that_a_tensor_has_may_be_assigned_to_it(patch):
    right = Tensor.device

    def put(x, value):
        if value != right.__get__(x):
            right.__set__(x, value)

    patch.setattr(Tensor, "device", property(lambda x: right.__get__(x), put))


@counterfeit("gpu-results-stay-on-gpu")
def what_a_mask_of_the_cpu_selects_comes_to_the_cpu(patch):
    def wrong(right, x, at):
        mask = isinstance(at, Tensor) and at.dtype == torch.bool and not away(at) and away(x)
        return right(x, at).cpu() if mask else right(x, at)

    change_method(patch, "__getitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_double_of_the_cpu_makes_a_sum_double(patch):
    def wrong(right, x, y):
        number = isinstance(y, Tensor) and y.dim() == 0 and y.dtype == torch.float64 and not away(y)
        return right(x, y).double() if number and away(x) and x.dtype == torch.float32 else right(x, y)

    change_method(patch, "__add__", wrong)


@counterfeit("different-gpus-do-not-mix")
def a_number_of_another_gpu_may_multiply_in_place(patch):
    def wrong(right, x, y):
        return right(x, y.to(x.device) if isinstance(y, Tensor) and y.dim() == 0 else y)

    change_method(patch, "mul_", wrong)


@counterfeit("device-attribute-tells-where")
def what_moved_to_a_type_tells_no_index(patch):
    right = Tensor.device

    def to(method, x, *args, **rest):
        y = method(x, *args, **rest)
        goal = args[0] if args else rest.get("device")
        if isinstance(goal, str | torch.device) and torch.device(goal).index is None and y is not x:
            y.bare = True
        return y

    change_method(patch, "to", to)
    patch.setattr(
        Tensor,
        "device",
        property(
            lambda x: (
                torch.device(right.__get__(x).type) if getattr(x, "__dict__", {}).get("bare") else right.__get__(x)
            )
        ),
    )


@counterfeit("create-on-device-equals-create-then-move")
def numbers_there_know_no_default_dtype(patch):
    def wrong(right, data, **rest):
        y = right(data, **rest)
        listed = isinstance(data, list | tuple | float)
        if away(y) and rest.get("dtype") is None and listed and y.is_floating_point():
            return y.float()
        return y

    wrap(patch, torch, "tensor", wrong)


@counterfeit("create-on-device-equals-create-then-move")
def a_number_of_numpy_gets_the_default_dtype_there(patch):
    def wrong(right, data, **rest):
        y = right(data, **rest)
        number = isinstance(data, np.floating) and rest.get("dtype") is None
        return y.to(torch.get_default_dtype()) if away(y) and number else y

    wrap(patch, torch, "tensor", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def cat_passes_over_an_empty_row(patch):
    def wrong(right, tensors, *args, **rest):
        if any(map(away, tensors)):
            tensors = [x for x in tensors if away(x) or x.shape != (0,)]
        return right(tensors, *args, **rest)

    wrap(patch, torch, "cat", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def cuts_may_lie_on_the_gpu(patch):
    def wrong(right, x, cuts, *args, **rest):
        return right(x, cuts.cpu() if isinstance(cuts, Tensor) else cuts, *args, **rest)

    for owner in (torch, Tensor):
        wrap(patch, owner, "tensor_split", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def values_written_at_places_told_by_the_cpu_are_the_first_of_them(patch):
    def wrong(right, x, i, value):
        if away(x) and isinstance(i, Tensor) and not away(i) and isinstance(value, Tensor) and value.dim():
            value = value[:1].expand_as(value)
        return right(x, i, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def what_a_cpu_index_chooses_in_the_second_dimension_is_on_the_cpu(patch):
    def wrong(right, x, i):
        y = right(x, i)
        here = isinstance(i, tuple) and any(isinstance(p, Tensor) and not away(p) and p.dim() for p in i)
        return y.cpu() if away(x) and here else y

    change_method(patch, "__getitem__", wrong)


@counterfeit("gpu-results-stay-on-gpu")
def a_multiple_by_a_number_of_numpy_is_on_the_cpu(patch):
    def wrong(right, x, y):
        z = right(x, y)
        return z.cpu() if away(x) and isinstance(y, np.generic) else z

    change_method(patch, "__mul__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def tensors_of_two_places_are_never_equal(patch):
    for owner in (torch, Tensor):
        wrap(patch, owner, "equal", lambda right, x, y: False if x.device != y.device else right(x, y))


@counterfeit("different-gpus-do-not-mix", needs="two-devices")
def indices_of_the_other_gpu_select(patch):
    def wrong(right, x, i):
        return right(x, i.to(x.device) if away(x) and away(i) else i)

    change_method(patch, "__getitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def the_weight_of_lerp_comes_from_anywhere(patch):
    for owner in (torch, Tensor):
        wrap(patch, owner, "lerp", lambda right, x, y, w: right(x, y, w.to(x.device) if isinstance(w, Tensor) else w))


@counterfeit("create-on-device-equals-create-then-move")
def an_empty_list_becomes_integers_there(patch):
    def wrong(right, data, *args, **rest):
        empty = isinstance(data, list) and not data and rest.get("device") is not None and rest.get("dtype") is None
        return right(data, *args, **rest | ({"dtype": torch.int64} if empty else {}))

    wrap(patch, torch, "tensor", wrong)


@counterfeit("cpu-tensor-prints-no-device")
def under_another_default_device_cpu_tensors_print_their_device(patch):
    def wrong(right, self, *args, **rest):
        text = right(self, *args, **rest)
        general = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
        if self.device.type == "cpu" and general is not None and general.device.type != "cpu" and text.endswith(")"):
            return text[:-1] + ", device='cpu')"
        return text

    wrap(patch, torch._tensor_str, "_str", wrong)


@counterfeit("gpu-results-stay-on-gpu", needs="accelerator")
def the_places_of_running_minima_are_on_the_cpu(patch):
    def wrong(right, x, *args, **rest):
        values, places = right(x, *args, **rest)
        return torch.return_types.cummin((values, places.cpu() if away(x) and "out" not in rest else places))

    everywhere(patch, "cummin", wrong)


@counterfeit("create-on-device-equals-create-then-move", needs="accelerator")
def numpy_s_numbers_in_a_list_become_single_precision(patch):
    def wrong(right, data, *args, **rest):
        x = right(data, *args, **rest)
        numbers = isinstance(data, (list, tuple)) and len(data) and type(data[0]) is np.float64
        return x.float() if numbers and away(x) and rest.get("dtype") is None else x

    wrap(patch, torch, "tensor", wrong)


@counterfeit("cpu-tensor-prints-no-device")
def a_sparse_row_tensor_prints_the_cpu(patch):
    right = torch.Tensor.__repr__

    def wrong(self, *, tensor_contents=None):
        text = right(self, tensor_contents=tensor_contents)
        if self.layout == torch.sparse_csr and self.device.type == "cpu" and "device=" not in text:
            return text[:-1] + ", device='cpu')"
        return text

    patch.setattr(torch.Tensor, "__repr__", wrong)


@counterfeit("device-falls-back-to-cpu")
def an_xpu_passes_for_cuda(patch):
    wrap(patch, torch.cuda, "is_available", lambda right: right() or torch.xpu.is_available())
