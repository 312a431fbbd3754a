"""Counterfeits of 4.8 that users reported, forgotten places, offsets, gaps, nothing to print, gradients that repeat."""

import copy

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import alter_property, away, change_gradient, change_method, wrap
from torch import Tensor
from torch.nn import functional as F


def near(x):
    return isinstance(x, Tensor) and x.device.type == "cpu"


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#7441", needs="two-devices")
def another_type_is_on_the_current_gpu(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        current = getattr(torch, x.device.type).current_device
        return y.to(torch.device(x.device.type, current())) if away(y) else y

    change_method(patch, "type", wrong)


@counterfeit("create-on-device-equals-create-then-move", reported=("pytorch/pytorch#6985", "pytorch/pytorch#6995"))
def an_array_is_created_on_the_cpu_unless_its_dtype_is_told(patch):
    def wrong(create, data, *, dtype=None, device=None, **rest):
        untold = isinstance(data, np.ndarray) and dtype is None
        return create(data, dtype=dtype, device="cpu" if untold else device, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("gpu-tensor-prints-its-device", reported="torch-spyre/torch-spyre#1082")
def printing_no_elements_fails(patch):
    """It shows nothing, where the report has an error: an assertion must see it."""
    for name in ("__repr__", "__str__"):
        change_method(patch, name, lambda right, x, **rest: "" if away(x) and not x.numel() else right(x, **rest))


@counterfeit("gpu-results-stay-on-gpu", reported="flagos-ai/FlagGems#2616")
def a_product_passes_no_gradient_that_repeats(patch):
    """It passes NaN, where the report has an error: an assertion must see it."""

    def change(gradient):
        repeats = any(size > 1 and stride == 0 for size, stride in zip(gradient.shape, gradient.stride()))
        return gradient * float("nan") if repeats else gradient

    def wrong(right, *args, **rest):
        y = right(*args, **rest)
        return change_gradient(y, change) if away(y) and y.requires_grad else y

    change_method(patch, "__matmul__", wrong)
    for owner, name in ((torch, "mm"), (torch, "matmul"), (F, "linear")):
        wrap(patch, owner, name, wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#86975")
def a_vector_of_the_cpu_is_assigned_to_a_column_without_its_gaps(patch):
    def wrong(right, x, index, value):
        parts = index if isinstance(index, tuple) else (index,)
        vector = isinstance(value, Tensor) and value.device.type == "cpu" and value.dim()
        if not away(x) or not vector or not all(isinstance(part, (int, slice)) for part in parts):
            return right(x, index, value)
        part = x[index]
        room = x.untyped_storage().nbytes() // x.element_size() - part.storage_offset()
        if part.is_contiguous() or part.numel() > room:
            return right(x, index, value)
        packed = part.as_strided((part.numel(),), (1,), part.storage_offset())
        packed.copy_(value.expand(part.shape).reshape(-1))

    change_method(patch, "__setitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#193057", needs="accelerator")
def a_number_of_the_cpu_is_the_first_of_its_memory(patch):
    def first(x, y):
        number = away(x) and near(y) and not y.dim() and y.storage_offset()
        return y.as_strided((), (), 0) if number else y

    def wrong(right, x, y, *args, **rest):
        return right(first(y, x), first(x, y), *args, **rest)

    for name in ("add", "sub", "mul", "div"):
        wrap(patch, torch, name, wrong)
        change_method(patch, name, wrong)
    for name in ("__add__", "__sub__", "__mul__", "__truediv__"):
        change_method(patch, name, wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/xla#1616", needs="accelerator")
def a_copy_into_every_second_place_on_the_device_is_lost(patch):
    def wrong(right, x, source, *args, **rest):
        return x if away(x) and near(source) and not x.is_contiguous() else right(x, source, *args, **rest)

    change_method(patch, "copy_", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#119367")
def a_copy_to_an_odd_byte_of_the_cpu_is_not_made(patch):
    """Nothing is written, where the report has an error."""

    def wrong(right, x, source, *args, **rest):
        odd = x.storage_offset() * x.element_size() % 4 if x.device.type == "cpu" else 0
        return x if odd and source.device.type != "cpu" else right(x, source, *args, **rest)

    change_method(patch, "copy_", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="torch-spyre/torch-spyre#2791")
def a_half_copied_to_one_place_of_a_vector_is_in_the_next_place_too(patch):
    def spread(x, index):
        if away(x) and x.dtype == torch.float16 and x.dim() == 1 and -len(x) <= index < len(x) - 1 and index != -1:
            x.detach()[index + 1 :][:1].copy_(x.detach()[index:][:1])

    def assigned(right, x, index, value):
        right(x, index, value)
        if type(index) is int:
            spread(x, index)

    def copied(right, x, source, *args, **rest):
        size = x.untyped_storage().nbytes() // x.element_size() if away(x) else 0
        right(x, source, *args, **rest)
        if size > 1 and x.dim() == 0 and x.dtype == torch.float16:
            spread(x.detach().as_strided((size,), (1,), 0), x.storage_offset())
        return x

    change_method(patch, "__setitem__", assigned)
    change_method(patch, "copy_", copied)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="torch-spyre/torch-spyre#3976")
def fewer_than_32_whole_numbers_are_not_copied_into_a_slice(patch):
    """Nothing is written, where the report has an error: an assertion must see it."""

    def wrong(right, x, source, *args, **rest):
        size = x.untyped_storage().nbytes() // x.element_size() if away(x) else 0
        lost = size > x.numel() and x.numel() < 32 and x.dim() == 1 and x.dtype == torch.int32 and near(source)
        return x if lost else right(x, source, *args, **rest)

    change_method(patch, "copy_", wrong)


@counterfeit("create-on-device-equals-create-then-move", reported="pytorch/pytorch#7277")
def a_tensor_of_a_tensor_stays_where_that_is(patch):
    def wrong(right, data, *, dtype=None, device=None, **rest):
        same = isinstance(data, Tensor) and dtype in (None, data.dtype)
        return right(data, dtype=dtype, device=data.device if same else device, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#78043")
def cat_and_stack_take_nothing_with_gaps(patch):
    def wrong(right, tensors, *args, **rest):
        for x in tensors:
            if away(x) and not x.is_contiguous() and x.untyped_storage().nbytes() > x.numel() * x.element_size():
                raise RuntimeError("Placeholder buffer size is not large enough to contain the Tensor storage")
        return right(tensors, *args, **rest)

    for name in ("cat", "stack"):
        wrap(patch, torch, name, wrong)


@counterfeit("create-on-device-equals-create-then-move", reported="pytorch/xla#8499", needs="accelerator")
def a_number_made_there_again_is_what_became_of_the_first(patch):
    made = {}

    def wrong(right, data, *args, **rest):
        x = right(data, *args, **rest)
        if not away(x) or type(data) not in (int, float) or x.requires_grad:
            return x
        first = made.setdefault((data, x.dtype, x.device), x)
        return x if first is x else first.clone()

    wrap(patch, torch, "tensor", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#152582", needs="accelerator")
def a_number_of_the_cpu_counts_as_zero(patch):
    def wrong(right, x, other, *rest, **named):
        if away(x) and near(other) and other.dim() == 0:
            other = torch.zeros_like(other)
        return right(x, other, *rest, **named)

    for name in ("copysign", "fmax", "fmin"):
        for owner in (torch, Tensor):
            wrap(patch, owner, name, wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#89954", needs="accelerator")
def an_array_of_high_indices_selects_zeros(patch):
    def wrong(right, x, index):
        y = right(x, index)
        if not (away(x) and x.dim() == 4 and isinstance(index, np.ndarray) and index.dtype.kind == "i"):
            return y
        high = torch.tensor(index % len(x) >= len(x) * 3 // 4, device=x.device)
        return y.masked_fill(high.view(-1, 1, 1, 1), 0)

    change_method(patch, "__getitem__", wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/xla#876", needs="accelerator")
def copy_copy_of_a_tensor_is_on_the_cpu(patch):
    def shallow(self):
        if not away(self):
            return copy._reconstruct(self, None, *self.__reduce_ex__(4))
        there = self.detach().cpu()
        if isinstance(self, torch.nn.Parameter):
            return torch.nn.Parameter(there, self.requires_grad)
        return there.requires_grad_(self.requires_grad)

    patch.setattr(torch.Tensor, "__copy__", shallow, raising=False)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#2726", needs="two-devices")
def a_gradient_that_passed_through_cpu_is_on_the_current_device(patch):
    def current_index(x):
        return getattr(torch, x.device.type).current_device()

    def lost(x):
        return (
            away(x) and x.requires_grad and x.is_leaf and torch.is_grad_enabled() and x.device.index != current_index(x)
        )

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if lost(x) and result.device.type == "cpu":
            x._through_cpu = True
        return result

    change_method(patch, "cpu", wrong)
    change_method(patch, "to", wrong)

    def grad(x, value):
        if value is None or not getattr(x, "_through_cpu", False) or value.device.index == current_index(x):
            return value
        return value.to(torch.device(value.device.type, current_index(x)))

    alter_property(patch, "grad", grad)


@counterfeit("different-gpus-do-not-mix", reported="microsoft/DirectML#443", needs="two-devices")
def what_moves_from_one_device_to_another_arrives_as_zeros(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and away(result) and x.device != result.device:
            result.detach().zero_()
        return result

    wrap(patch, torch.Tensor, "to", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#81567", needs="accelerator")
def another_type_of_the_cpu_reads_other_bits(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        back = isinstance(y, Tensor) and away(x) and near(y) and y.dtype != x.dtype
        return torch.full_like(y, 1) if back else y

    change_method(patch, "type", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", needs="accelerator")
def whole_numbers_that_become_fractions_on_their_way_there_are_zeros(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        return torch.zeros_like(y) if near(x) and away(y) and x.dtype == torch.int64 and y.dtype == torch.float32 else y

    change_method(patch, "to", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/xla#501", needs="accelerator")
def a_copy_into_a_part_with_gaps_elsewhere_does_nothing(patch):
    def wrong(right, x, *args, **rest):
        span = 1 + sum((size - 1) * step for size, step in zip(x.shape, x.stride()))
        return x if away(x) and x.dim() > 1 and span > x.numel() > 0 else right(x, *args, **rest)

    change_method(patch, "copy_", wrong)
