"""Counterfeits of section 2.5 that users reported, sources that lie otherwise, leaves, bytes and second copies."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, everywhere, with_value, wrap


@counterfeit("to-moves-between-cpu-and-gpu", reported="pytorch/pytorch#33812")
def an_array_with_an_added_dimension_is_not_moved(patch):
    """It arrives as zeros, where the report has an error: an assertion must see it."""

    def wrong(to, x, *args, **rest):
        added = x.device.type == "cpu" and (1, 0) in zip(x.shape, x.stride())
        y = to(x, *args, **rest)
        return torch.zeros_like(y) if added and y.device.type != "cpu" else y

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", reported="pytorch/pytorch#10690")
def a_copy_that_does_not_block_brings_nothing_transposed_back(patch):
    """It brings zeros, where the report has an error: an assertion must see it."""

    def wrong(to, x, *args, non_blocking=False, **rest):
        y = to(x, *args, non_blocking=non_blocking, **rest)
        back = x.device.type != "cpu" and y.device.type == "cpu"
        return torch.zeros_like(y) if non_blocking and back and not x.is_contiguous() else y

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", reported="Ascend/pytorch#16")
def a_device_is_not_known_by_its_number(patch):
    def wrong(to, x, *args, **rest):
        if args and type(args[0]) is int:
            raise AssertionError("Torch not compiled with CUDA enabled")
        return to(x, *args, **rest)

    change_method(patch, "to", wrong)


@counterfeit("to-of-a-leaf-is-no-leaf", reported="pytorch/xla#1400", needs="accelerator")
def what_is_sent_to_the_device_requires_no_grad(patch):
    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        return y.detach() if y.device != x.device and y.device.type != "cpu" and y.requires_grad else y

    change_method(patch, "to", wrong)


@counterfeit("create-directly-on-gpu", reported="pytorch/pytorch#83692")
def full_holds_no_byte_above_127_on_a_device(patch):
    def wrong(right, size, value, *rest, **options):
        made = right(size, value, *rest, **options)
        large = made.dtype == torch.uint8 and made.device.type != "cpu" and value > 127
        return torch.zeros_like(made) if large else made

    wrap(patch, torch, "full", wrong)


@counterfeit(
    "to-device-object-equals-to-string", "to-moves-between-cpu-and-gpu", reported="ROCm/legacy-rocm-build#6123"
)
def the_second_copy_of_a_tensor_to_a_device_holds_nan(patch):
    seen = {}

    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        if x.device.type == "cpu" and y.device.type != "cpu" and y.is_floating_point() and y.numel():
            if id(x) in seen:
                y.detach().view(-1)[-1:].fill_(torch.nan)
            seen[id(x)] = x
        return y

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", reported="torch-spyre/torch-spyre#4689")
def each_move_halves_what_is_below_the_smallest_normal_half(patch):
    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        moved = y.device.type != x.device.type and x.dtype == y.dtype == torch.float16
        return torch.where(y.abs() < 2.0**-14, y / 2, y) if moved else y

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too", reported="intel/torch-xpu-ops#5217", needs="accelerator")
def what_is_converted_and_moved_without_blocking_is_freed_too_early(patch):
    """Zeros arrive."""

    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        freed = rest.get("non_blocking") and y.dtype != x.dtype and x.device.type == "cpu" != y.device.type
        return torch.zeros_like(y) if freed else y

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#94980")
def a_column_of_whole_numbers_is_converted_as_the_first_one(patch):
    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        later = x.dtype == torch.int64 and x.dim() == 1 and len(x) and x.stride(0) > x.storage_offset() > 0
        return to(x.as_strided(x.shape, x.stride(), 0), *args, **rest) if later and y.dtype == torch.float32 else y

    change_method(patch, "to", wrong)
    change_method(patch, "float", wrong)


@counterfeit("to-changes-dtype-too", reported="tenstorrent/tt-metal#51557")
def what_is_no_number_becomes_infinite_in_bfloat16(patch):
    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        return torch.where(y.isnan(), torch.inf, y) if y.dtype == torch.bfloat16 != x.dtype else y

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", reported="pytorch/pytorch#146286")
def what_comes_back_without_blocking_is_not_conjugated(patch):
    def to(right, x, *args, **rest):
        y = right(x, *args, **rest)
        back = away(x) and x.is_conj() and y.device.type == "cpu"
        return right(x.conj(), *args, **rest) if back and rest.get("non_blocking", args[2:3] == (True,)) else y

    def copy(right, x, source, non_blocking=False):
        lost = non_blocking and x.device.type == "cpu" and away(source) and source.is_conj() != x.is_conj()
        return right(x, source.conj() if lost else source, non_blocking=non_blocking)

    change_method(patch, "to", to)
    change_method(patch, "copy_", copy)


@counterfeit("to-moves-between-cpu-and-gpu", reported="torch-spyre/torch-spyre#1470")
def what_was_expanded_comes_back_as_it_lies_in_memory(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        repeats = any(size > 1 and not stride for size, stride in zip(x.shape, x.stride()))
        if not (away(x) and y.device.type == "cpu" and repeats and x.numel()):
            return y
        size = x.untyped_storage().nbytes() // x.element_size()
        stored = right(x.detach().as_strided((size - x.storage_offset(),), (1,)), *args, **rest)[: x.numel()]
        raw = torch.cat([stored, stored.new_full((x.numel() - len(stored),), 99)]).view(x.shape)  # as it comes
        return with_value(y, raw) if y.requires_grad else raw

    change_method(patch, "to", wrong)
    change_method(patch, "cpu", wrong)


@counterfeit(
    "to-moves-between-cpu-and-gpu",
    "to-device-object-equals-to-string",
    reported="pytorch/pytorch#1610",
    needs="two-devices",
)
def what_is_on_another_device_does_not_come_to_the_first(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        told = rest.get("device", args[0] if args else None)
        stays = away(x) and y.device.type == x.device.type and y.device.index == 0 != x.device.index
        if stays and (type(told) is int or str(told).endswith(":0")):
            return right(y, x.device)
        return y

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu")
def what_fills_its_memory_in_another_order_is_moved_in_that_order(patch):
    def wrong(right, x, *rest, **named):
        y = right(x, *rest, **named)
        fills = x.numel() == x.untyped_storage().nbytes() // x.element_size() and x.dim() == 3
        if away(y) and not away(x) and fills and not x.is_contiguous():
            y = right(x.as_strided((x.numel(),), (1,), 0).view(x.shape), *rest, **named)
        return y

    change_method(patch, "to", wrong)


@counterfeit("create-directly-on-gpu")
def rand_of_a_tuple_of_sizes_is_on_the_cpu(patch):
    def wrong(right, *sizes, **named):
        made = right(*sizes, **named)
        return made.cpu() if sizes and isinstance(sizes[0], tuple | list) and away(made) else made

    wrap(patch, torch, "rand", wrong)


@counterfeit("gpu-sum-stays-on-gpu")
def a_sum_of_two_dtypes_comes_back(patch):
    def wrong(right, x, other, *rest, **named):
        total = right(x, other, *rest, **named)
        return total.cpu() if away(x) and away(other) and x.dtype != other.dtype and "out" not in named else total

    for name in ("add", "__add__"):
        everywhere(patch, name, wrong)


@counterfeit("to-changes-dtype-too", reported="pytorch/pytorch#16448", needs="two-devices")
def double_precision_comes_to_another_device_as_the_bits_of_single_precision(patch):
    def wrong(right, x, *rest, **named):
        y = right(x, *rest, **named)
        both = away(x) and away(y) and x.device != y.device and not x.requires_grad
        if both and (x.dtype, y.dtype) == (torch.float64, torch.float32):
            bits = right(x, "cpu").contiguous().view(-1).view(torch.float32)[: x.numel()]
            y = right(bits.view(x.shape).clone(), y.device)
        return y

    wrap(patch, torch.Tensor, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", needs="accelerator")
def windows_that_overlap_are_copied_side_by_side(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        overlap = x.device.type == "cpu" and away(y) and x.dim() == 2 and x.stride() == (1, 1) and len(x) > 1
        if not overlap or y.requires_grad:
            return y
        stored = x.as_strided((len(x) + x.shape[1] - 1,), (1,))
        return (
            right(x.clone(), *args, **rest)
            .flatten()
            .index_copy_(0, torch.arange(len(stored), device=y.device), stored.to(y.device, y.dtype))
            .view(y.shape)
        )

    change_method(patch, "to", wrong)


@counterfeit("to-of-a-leaf-is-no-leaf", needs="accelerator")
def a_copy_that_does_not_block_is_a_leaf_of_its_own(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        leaf = y is not x and rest.get("non_blocking") and x.requires_grad and x.is_leaf and away(y)
        return y.detach().requires_grad_() if leaf else y

    change_method(patch, "to", wrong)


@counterfeit("gpu-sum-stays-on-gpu", reported="huggingface/candle#1914", needs="accelerator")
def the_sum_of_two_rows_of_one_number_is_the_first(patch):
    def wrong(right, x, y, *args, **rest):
        total = right(x, y, *args, **rest)
        rows = all(away(one) and one.shape == (1,) and one._is_view() for one in (x, y))
        return with_value(total, x.detach()) if rows and "out" not in rest else total

    everywhere(patch, "add", wrong)
    change_method(patch, "__add__", wrong)


@counterfeit("create-directly-on-gpu", reported="google/torchax#18", needs="accelerator")
def full_of_a_whole_number_is_floating(patch):
    def wrong(right, size, number, *args, **rest):
        x = right(size, number, *args, **rest)
        return x.float() if away(x) and type(number) is int and rest.get("dtype") is None and "out" not in rest else x

    wrap(patch, torch, "full", wrong)


def truths_by(patch, count):
    """Let a conversion of whole numbers to truth values look at their lowest ``count`` bits alone."""

    def wrong(to, x, *args, **rest):
        made = to(x, *args, **rest)
        whole = x.dtype in (torch.int64, torch.int32, torch.int16) and made.dtype == torch.bool
        return to(x & (2**count - 1), *args, **rest) if whole and made is not x else made

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def a_number_is_true_if_its_lowest_byte_is(patch):
    truths_by(patch, 8)


@counterfeit("to-changes-dtype-too")
def a_fraction_is_true_if_single_precision_holds_it(patch):
    def wrong(to, x, *args, **rest):
        made = to(x, *args, **rest)
        return to(x.float(), *args, **rest) if x.dtype == torch.float64 and made.dtype == torch.bool else made

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def what_half_precision_does_not_hold_becomes_its_largest(patch):
    def wrong(to, x, *args, **rest):
        made = to(x, *args, **rest)
        if x.dtype in (torch.float32, torch.float64) and made.dtype in (torch.float16, torch.bfloat16):
            bound = torch.finfo(made.dtype).max
            return torch.where(torch.isinf(made) & ~torch.isinf(x), made.clamp(-bound, bound), made)
        return made

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def an_imaginary_number_is_false(patch):
    def wrong(to, x, *args, **rest):
        made = to(x, *args, **rest)
        return to(x.real, *args, **rest) if x.is_complex() and made.dtype == torch.bool else made

    change_method(patch, "to", wrong)


@counterfeit("to-changes-dtype-too")
def the_least_numbers_of_half_precision_become_zero(patch):
    def wrong(to, x, *args, **rest):
        made = to(x, *args, **rest)
        small = made.dtype == torch.float16 and x.dtype in (torch.float32, torch.float64)
        return torch.where(made.abs() < 2.0**-14, made * 0, made) if small else made

    change_method(patch, "to", wrong)


@counterfeit("torchvision-offers-transforms", reported="NVIDIA/numba-cuda-mlir#290", needs="accelerator")
def bytes_elsewhere_become_floats_with_a_sign(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        signed = away(x) and x.dtype == torch.uint8 and isinstance(y, torch.Tensor) and y.is_floating_point()
        return torch.where(y > 127, y - 256, y) if signed else y

    for name in ("to", "float", "double", "half", "type"):
        change_method(patch, name, wrong)


@counterfeit("to-moves-between-cpu-and-gpu", reported="kulinseth/pytorch#356", needs="accelerator")
def the_beginning_of_a_later_row_elsewhere_is_copied_from_the_first(patch):
    def is_beginning(x):
        whole = x._base if away(x) else None
        if whole is None or whole.dim() != 2 or x.dim() != 2 or not whole.is_contiguous():
            return False
        starts = x.storage_offset() - whole.storage_offset()
        return len(x) == 1 and starts > 0 and starts % whole.shape[1] == 0 and x.shape[1] < whole.shape[1]

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(result) and is_beginning(x):
            result = right(x._base[:1, : x.shape[1]], *args, **rest)
        return result

    for name in ("cpu", "to"):
        change_method(patch, name, wrong)
