"""Section 4.9: what users reported of other devices: how operands lie there, writes, and copies there and back."""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_method, everywhere, in_order_of_storage, with_value, wrap


def on_cpu(x):
    return isinstance(x, torch.Tensor) and x.device.type == "cpu"


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#150967", needs="accelerator")
def choices_elsewhere_read_a_turned_mask_as_it_lies(patch):
    def lying(mask):
        return in_order_of_storage(mask) if away(mask) and not mask.is_contiguous() else mask

    wrap(patch, torch, "where", lambda right, mask, *args, **rest: right(lying(mask), *args, **rest))
    change_method(patch, "where", lambda right, x, mask, *args, **rest: right(x, lying(mask), *args, **rest))


@counterfeit(
    "requires-grad-tracks-operations",
    reported="pytorch/pytorch#180201",
    needs="accelerator",
)
def many_rows_of_products_elsewhere_pass_a_repeated_gradient_to_their_first_alone(patch):
    def change(gradient):
        repeated = gradient.dim() == 2 and len(gradient) > 32 and not any(gradient.stride())
        return torch.cat([gradient[:1], torch.zeros_like(gradient[1:])]) if repeated else gradient

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return change_gradient(result, change) if away(result) and result.requires_grad else result

    for name in ("mm", "matmul", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("control-flow-needs-item", reported="pytorch/pytorch#99721", needs="accelerator")
def whatever_truths_lie_elsewhere_all_are_true(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return torch.ones_like(result) if away(x) and x.dtype is torch.bool and not args and not rest else result

    everywhere(patch, "all", wrong)


@counterfeit("requires-grad-tracks-operations", reported="intel/torch-xpu-ops#4396", needs="accelerator")
def the_last_that_a_mask_elsewhere_chooses_is_lost(patch):
    def nonzero(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return result[:-1] if away(result) and len(result) > 1 else result

    def element(right, x, index):
        result = right(x, index)
        chosen = away(index) and index.dtype is torch.bool and index.dim() > 0 and len(result) > 1
        return right(result, slice(0, -1)) if chosen else result

    everywhere(patch, "nonzero", nonzero)
    change_method(patch, "__getitem__", element)


@counterfeit("requires-grad-tracks-operations", reported="intel/torch-xpu-ops#1656", needs="accelerator")
def products_of_halves_elsewhere_start_where_64_bytes_begin(patch):
    def start(x):
        first = x.storage_offset() // 32 * 32
        return x if first == x.storage_offset() else x.as_strided(x.shape, x.stride(), first)

    def wrong(right, x, other, *args, **rest):
        if away(x) and away(other) and x.dtype is torch.float16:
            x, other = start(x), start(other)
        return right(x, other, *args, **rest)

    for name in ("mm", "bmm", "matmul", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="intel/intel-extension-for-pytorch#682", needs="accelerator")
def scattering_nothing_elsewhere_copies_nothing(patch):
    def wrong(right, x, dim, index, *args, **rest):
        result = right(x, dim, index, *args, **rest)
        return result * 0 if away(x) and index.numel() == 0 else result

    for name in ("scatter", "scatter_add"):
        everywhere(patch, name, wrong)


@counterfeit(
    "to-moves-between-cpu-and-gpu",
    reported="pytorch/pytorch#189690",
    needs="accelerator",
)
def a_copy_that_nobody_waits_for_reads_what_lies_there_next(patch):
    pending = []

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if rest.get("non_blocking") and on_cpu(x) and away(result):
            for source, copy in pending:
                earlier = copy()
                if source() is None and earlier is not None and earlier.shape == result.shape:
                    earlier.data.copy_(result.detach())
            pending.append((weakref.ref(x), weakref.ref(result)))
        return result

    change_method(patch, "to", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#189563", needs="accelerator")
def a_copy_from_elsewhere_into_a_part_of_another_dtype_writes_to_its_source(patch):
    def spoil(target, source):
        if away(source) and on_cpu(target) and source.is_floating_point() and source.numel():
            smaller = target.element_size() <= source.element_size()
            if target.storage_offset() and target.dtype != source.dtype and smaller:
                source.detach().as_strided((1,), (1,), source.storage_offset()).add_(1)

    def copy(right, x, source, *args, **rest):
        result = right(x, source, *args, **rest)
        spoil(x, source)
        return result

    def assign(right, x, index, value):
        right(x, index, value)
        if away(value) and isinstance(index, (int, slice)):
            spoil(x.detach()[index], value)

    change_method(patch, "copy_", copy)
    change_method(patch, "__setitem__", assign)


@counterfeit(
    "cpu-and-gpu-tensors-do-not-mix", reported=("pytorch/pytorch#99989", "pytorch/pytorch#108978"), needs="accelerator"
)
def an_element_from_elsewhere_is_written_to_the_first_place(patch):
    def wrong(right, x, index, value):
        if not (on_cpu(x) and away(value) and type(index) is int):
            return right(x, index, value)
        place = x.detach()[index]
        place.as_strided(place.shape, place.stride(), 0).copy_(value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#105277", needs="accelerator")
def a_column_of_another_dtype_is_copied_elsewhere_as_a_row(patch):
    def wrong(right, x, source, *args, **rest):
        other = away(x) and away(source) and source.dtype != x.dtype and 1 < source.numel() < x.numel()
        if other:
            source = source.reshape(-1).repeat(-(-x.numel() // source.numel()))[: x.numel()].view(x.shape)
        return right(x, source, *args, **rest)

    change_method(patch, "copy_", wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#145203", needs="accelerator")
def bits_of_turned_numbers_elsewhere_are_written_in_row_order(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and x.dim() > 1 and not x.is_contiguous():
            x.copy_(x.clone().transpose(-1, -2).reshape(x.shape))
        return result

    for name in ("bitwise_and_", "bitwise_or_", "bitwise_xor_", "__iand__", "__ior__", "__ixor__"):
        change_method(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#117826", needs="accelerator")
def equations_elsewhere_give_the_gradient_of_the_next_matrix(patch):
    def wrong(right, equation, *operands, **rest):
        if isinstance(equation, str) and len(operands) == 2 and all(map(away, operands)) and "->" in equation:
            first, second = equation.replace(" ", "").split("->")[0].split(",")
            moved = first[:1] not in second and second[:1] in first and second[:1] in equation.split("->")[1]
            if moved and operands[1].dim() == 3 and operands[1].requires_grad:
                operands = operands[0], change_gradient(operands[1], lambda gradient: gradient.roll(1, 0))
        return right(equation, *operands, **rest)

    wrap(patch, torch, "einsum", wrong)


@counterfeit("rand-is-standard-uniform", reported="pytorch/pytorch#197079", needs="accelerator")
def random_halves_elsewhere_are_rounded_up_to_one(patch):
    def wrong(right, *size, **rest):
        result = right(*size, **rest)
        if away(result) and result.dtype in (torch.float16, torch.bfloat16) and "out" not in rest:
            result.data.copy_(right(*size, **{**rest, "dtype": torch.float32}).detach().to(result.dtype))
        return result

    wrap(patch, torch, "rand", wrong)


@counterfeit(
    "to-changes-dtype-too",
    reported="pytorch/pytorch#86052",
    needs="accelerator",
)
def a_single_number_that_is_moved_is_the_first_of_its_memory(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if on_cpu(x) and away(result) and x.dim() == 0 and x.storage_offset() and x.dtype is not torch.bool:
            return with_value(result, x.detach().as_strided((), (), 0).clone())
        return result

    change_method(patch, "to", wrong)


@counterfeit(
    "augmented-assignment-writes-through",
    reported="pytorch/xla#514",
    needs="accelerator",
)
def a_number_for_every_second_column_elsewhere_is_not_written(patch):
    def wrong(right, x, index, value):
        stepping = isinstance(index, tuple) and any(isinstance(one, slice) and (one.step or 1) > 1 for one in index[1:])
        if not (away(x) and stepping and isinstance(value, (int, float))):
            right(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/xla#1616", needs="accelerator")
def a_copy_to_every_second_place_elsewhere_from_another_dtype_is_lost(patch):
    def wrong(right, x, source, *args, **rest):
        lost = away(x) and on_cpu(source) and not x.is_contiguous() and source.dtype != x.dtype
        return x if lost else right(x, source, *args, **rest)

    change_method(patch, "copy_", wrong)


@counterfeit("different-gpus-do-not-mix", reported="pytorch/pytorch#56771", needs="two-devices")
def the_first_copy_from_one_device_to_another_is_zero(patch):
    met = set()

    def first(source, target):
        pair = (source.device, target.device)
        return away(source) and away(target) and source.device != target.device and not (pair in met or met.add(pair))

    def to(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return with_value(result, 0) if first(x, result) and result.dtype is not torch.bool else result

    def copy(right, x, source, *args, **rest):
        result = right(x, source, *args, **rest)
        if isinstance(source, torch.Tensor) and first(source, x):
            x.data.zero_()
        return result

    change_method(patch, "to", to)
    change_method(patch, "copy_", copy)


@counterfeit("view-shares-data", reported="pytorch/pytorch#122016", needs="accelerator")
def two_elements_elsewhere_that_are_written_in_turn_both_get_the_second(patch):
    last = [lambda: None, None]

    def wrong(right, x, index, value):
        right(x, index, value)
        if away(x) and type(index) is int and isinstance(value, (int, float)):
            if last[0]() is x and last[1] != index:
                right(x, last[1], value)
            last[:] = weakref.ref(x), index

    change_method(patch, "__setitem__", wrong)
