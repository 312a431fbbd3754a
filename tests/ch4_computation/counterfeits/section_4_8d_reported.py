"""Section 4.8: what users reported of copies between devices: single places, rows given to a matrix."""

from harness.counterfeits import counterfeit
from harness.forging import away, change_method
from torch import Tensor


def lies_within(part, whole):
    """Whether a tensor is a view of another."""
    return part.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#123836", needs="accelerator")
def a_number_from_elsewhere_given_to_a_place_on_the_cpu_goes_to_the_first(patch):
    def wrong(right, x, index, value):
        if away(value) and not away(x) and value.numel() == 1:
            part = x[index]
            if part.numel() == 1 and lies_within(part, x):
                part.as_strided(part.shape, part.stride(), 0).copy_(value.reshape(part.shape))
                return
        right(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix", reported="pytorch/pytorch#95272", needs="accelerator")
def a_row_of_the_cpu_given_to_a_matrix_elsewhere_fills_its_first_row(patch):
    copy = Tensor.copy_

    def first(x, source):
        while x.dim() > source.dim():
            x = x[0]
        return x

    def comes_short(x, source):
        a_row = isinstance(source, Tensor) and source.device.type == "cpu" and source.dim() > 0
        return away(x) and a_row and source.dim() < x.dim()

    def wrong(right, x, source, *args, **rest):
        if comes_short(x, source):
            right(first(x, source), source, *args, **rest)
            return x
        return right(x, source, *args, **rest)

    def assigned(right, x, index, value):
        part = x[index] if away(x) else None
        if part is not None and comes_short(part, value) and lies_within(part, x):
            copy(first(part, value), value)
            return
        right(x, index, value)

    change_method(patch, "copy_", wrong)
    change_method(patch, "__setitem__", assigned)
