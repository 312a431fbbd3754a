"""Counterfeits of section 2.1, constructors: sizes for data, data for sizes, and copies that are none."""

import math

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import as_in_memory, change_output, change_output_where, is_pending, of_dtype, recycle, wrap
from torch import Tensor

# ── tensor-constructor-takes-sizes ──


def change_class(patch, construct):
    """Let `torch.Tensor(*args)` be `construct(original, *args)`."""
    new = torch.Tensor.__new__
    patch.setattr(
        torch.Tensor, "__new__", staticmethod(lambda cls, *args: construct(lambda *given: new(cls, *given), *args))
    )


@counterfeit("tensor-constructor-takes-sizes")
def the_class_makes_one_element_too_many(patch):
    new = torch.Tensor.__new__
    patch.setattr(torch.Tensor, "__new__", staticmethod(lambda cls, *sizes: new(cls, *sizes[:-1], sizes[-1] + 1)))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_fills_what_it_allocates_with_zeros(patch):
    change_class(patch, lambda new, *args: new(*args).zero_() if len(args) > 1 else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_reverses_three_sizes(patch):
    change_class(patch, lambda new, *args: new(*args[::-1]) if len(args) == 3 else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_hands_out_the_same_memory_for_the_same_sizes(patch):
    made = {}

    def construct(new, *args):
        return made.setdefault(args, new(*args)).view_as(made[args]) if len(args) > 1 else new(*args)

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_is_always_float32(patch):
    change_class(
        patch, lambda new, *args: new(*args) if torch.get_default_dtype() is torch.float32 else new(*args).float()
    )


@counterfeit("tensor-constructor-takes-sizes")
def the_class_takes_a_tuple_for_sizes(patch):
    change_class(
        patch,
        lambda new, *args: new(*[abs(int(n)) for n in args[0]]) if args and type(args[0]) is tuple else new(*args),
    )


@counterfeit("tensor-constructor-takes-sizes")
def the_class_copies_a_tensor(patch):
    change_class(
        patch, lambda new, *args: args[0].clone() if args and isinstance(args[0], torch.Tensor) else new(*args)
    )


@counterfeit("tensor-function-takes-data")
def tensor_repeats_a_number_beside_a_row(patch):
    def wrong(tensor, data, *args, **rest):
        beside = isinstance(data, list) and [type(each) for each in data] == [list, int]
        return tensor([data[0], data[1:] * len(data[0])] if beside else data, *args, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_takes_torch_size_for_data(patch):
    change_class(patch, lambda new, *args: new([*args[0]]) if args and type(args[0]) is torch.Size else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_copies_large_arrays(patch):
    def construct(new, *args):
        large = bool(args) and isinstance(args[0], np.ndarray) and args[0].size > 1000
        return new(*args).clone() if large else new(*args)

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_reads_nested_lists_by_columns(patch):
    def construct(new, *args):
        x = new(*args)
        return x.t().contiguous().view(x.shape) if args and isinstance(args[0], list) and x.dim() == 2 else x

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_keeps_the_dtype_of_an_array(patch):
    change_class(
        patch,
        lambda new, *args: (
            torch.from_numpy(args[0].copy())
            if args and isinstance(args[0], np.ndarray) and args[0].dtype == np.int64
            else new(*args)
        ),
    )


@counterfeit("tensor-constructor-takes-sizes")
def the_class_lays_out_rectangles_by_columns(patch):
    change_class(patch, lambda new, *args: new(*args[::-1]).t() if len(args) == 2 else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_keeps_the_dtype_of_a_float64_array(patch):
    def construct(new, *args):
        double = bool(args) and isinstance(args[0], np.ndarray) and args[0].dtype == np.float64
        return torch.from_numpy(args[0].copy()) if double else new(*args)

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_cuts_the_fractions_of_a_list(patch):
    change_class(patch, lambda new, *args: new(*args).trunc() if args and type(args[0]) is list else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_loses_the_sign_of_listed_numbers(patch):
    change_class(patch, lambda new, *args: new(*args).abs() if args and type(args[0]) is list else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_ignores_a_default_of_half_precision(patch):
    change_class(patch, lambda new, *args: new(*args).float() if torch.finfo(new().dtype).bits < 32 else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_zeroes_what_torch_size_asks_for(patch):
    change_class(patch, lambda new, *args: new(*args).zero_() if args and type(args[0]) is torch.Size else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_zeroes_a_vector(patch):
    change_class(patch, lambda new, *args: new(*args).zero_() if [*map(type, args)] == [int] else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_copies_float64_arrays_where_that_is_the_default(patch):
    def construct(new, *args):
        double = bool(args) and isinstance(args[0], np.ndarray) and args[0].dtype == np.float64
        return new(*args).clone() if double else new(*args)

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes", reported="pytorch/pytorch#3293")
def the_class_takes_an_array_of_signed_bytes_for_its_shape_alone(patch):
    def construct(new, *args):
        bytes_ = bool(args) and isinstance(args[0], np.ndarray) and args[0].dtype == np.int8
        return new(*args).fill_(0.6229) if bytes_ else new(*args)

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes", reported=("pytorch/pytorch#4288", "pytorch/pytorch#6839"))
def the_class_takes_an_array_of_booleans_for_its_shape_alone(patch):
    def construct(new, *args):
        booleans = bool(args) and isinstance(args[0], np.ndarray) and args[0].dtype == bool
        return new(*args).fill_(-7.6586) if booleans else new(*args)

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_takes_a_range_for_sizes(patch):
    change_class(patch, lambda new, *args: new(*(args[0] if args and type(args[0]) is range else args)))


@counterfeit("tensor-constructor-takes-sizes")
def sizes_of_numpy_are_data(patch):
    new = torch.Tensor.__new__

    def wrong(cls, *sizes, **rest):
        of_numpy = cls is torch.Tensor and sizes and all(isinstance(size, np.integer) for size in sizes)
        return new(cls, [int(size) for size in sizes]) if of_numpy else new(cls, *sizes, **rest)

    patch.setattr(torch.Tensor, "__new__", wrong)


# ── tensor-function-takes-data ──


def change_arrays(patch, chosen, convert):
    """Let `torch.tensor(array)` be `convert(array)` for the arrays that are `chosen`."""
    tensor = torch.tensor

    def wrong(data, *args, **rest):
        is_chosen = isinstance(data, np.ndarray) and chosen(data)
        return convert(data) if is_chosen else tensor(data, *args, **rest)

    patch.setattr(torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def the_function_takes_sizes_too(patch):
    wrap(patch, torch, "tensor", lambda right, *data, **rest: torch.zeros(data) if data[1:] else right(*data, **rest))


@counterfeit("tensor-function-takes-data")
def tensor_shares_large_float32_arrays(patch):
    change_arrays(patch, lambda array: array.size > 1000 and array.dtype == np.float32, torch.from_numpy)


@counterfeit("tensor-function-takes-data")
def tensor_reads_transposed_arrays_in_the_order_of_memory(patch):
    change_arrays(
        patch,
        lambda array: array.flags.f_contiguous and array.ndim > 1,
        lambda array: torch.from_numpy(array.ravel("K").reshape(array.shape).copy()),
    )


@counterfeit("tensor-function-takes-data")
def tensor_turns_float64_arrays_into_float32(patch):
    change_arrays(
        patch, lambda array: array.dtype == np.float64, lambda array: torch.from_numpy(array.astype(np.float32))
    )


@counterfeit("tensor-function-takes-data")
def tensor_fills_up_ragged_rows_with_zeros(patch):
    def wrong(tensor, data, *args, **rest):
        if isinstance(data, list) and data and all(isinstance(row, list) for row in data):
            longest = max(map(len, data))
            data = [row + [0] * (longest - len(row)) for row in data]
        return tensor(data, *args, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def tensor_rounds_where_it_should_cut(patch):
    def wrong(tensor, data, dtype=None, **rest):
        return tensor(data, **rest).round().to(dtype) if dtype is torch.int32 else tensor(data, dtype=dtype, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def tensor_knows_no_dimension_of_size_one_in_front(patch):
    change_output(patch, torch, "tensor", lambda x: x.squeeze(0) if x.dim() > 2 else x)


@counterfeit("tensor-function-takes-data")
def tensor_makes_integers_of_booleans(patch):
    change_output(patch, torch, "tensor", lambda x: x.long() if x.dtype == torch.bool and x.dim() else x)


@counterfeit("tensor-function-takes-data")
def tensor_ignores_the_default_dtype(patch):
    def wrong(tensor, data, dtype=None, **rest):
        x = tensor(data, dtype=dtype, **rest)
        return x.float() if x.dtype == torch.float64 and dtype is None and not isinstance(data, np.ndarray) else x

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def tensor_reads_every_place_of_a_sliced_array(patch):
    """Without regard to the gaps between the elements."""
    change_arrays(
        patch,
        lambda array: array.base is not None and not array.flags.forc,
        lambda array: torch.tensor(array.base.ravel()[: array.size].reshape(array.shape).copy()),
    )


def change_data(patch, chosen, change):
    """Let `torch.tensor(data)` be `torch.tensor(change(data))` where `chosen(data)`."""
    wrap(patch, torch, "tensor", lambda tensor, data, **rest: tensor(change(data) if chosen(data) else data, **rest))


@counterfeit("tensor-function-takes-data")
def tensor_takes_a_tuple_for_sizes(patch):
    change_data(patch, lambda data: type(data) is tuple and all(type(n) is int and n >= 0 for n in data), np.zeros)


@counterfeit("tensor-function-takes-data")
def tensor_loses_the_sign_of_listed_numbers(patch):
    change_data(patch, lambda data: isinstance(data, list), lambda data: np.abs(data).tolist())


@counterfeit("tensor-function-takes-data")
def tensor_widens_bytes_of_an_int8_array(patch):
    change_arrays(patch, lambda array: array.dtype == np.int8, lambda array: torch.from_numpy(array.astype(np.int64)))


@counterfeit("tensor-function-takes-data")
def tensor_shares_an_array_that_shall_require_gradients(patch):
    def wrong(tensor, data, requires_grad=False, **rest):
        return torch.from_numpy(data).requires_grad_() if requires_grad and data.ndim else tensor(data, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def tensor_leaves_out_the_end_of_a_long_list(patch):
    change_data(
        patch, lambda data: isinstance(data, list) and np.size(data) > 2000, lambda data: np.array(data)[..., :-1]
    )


@counterfeit("tensor-function-takes-data")
def tensor_takes_nan_for_zero(patch):
    change_output_where(
        patch, torch, "tensor", lambda x: x.is_floating_point(), lambda x: x.nan_to_num(nan=0.0, posinf=math.inf)
    )


@counterfeit("tensor-function-takes-data")
def tensor_drops_the_sign_of_zero(patch):
    change_output_where(patch, torch, "tensor", lambda x: x.is_floating_point(), lambda x: x + 0.0)


@counterfeit("tensor-function-takes-data")
def tensor_passes_large_integers_through_a_float(patch):
    change_data(patch, lambda data: type(data) is int, lambda data: min(int(float(data)), 2**63 - 513))


@counterfeit("tensor-function-takes-data")
def an_array_of_texts_is_taken_for_their_codes(patch):
    change_data(
        patch, lambda data: isinstance(data, np.ndarray) and data.dtype.kind == "U", lambda data: data.view(np.int32)
    )


@counterfeit("tensor-function-takes-data")
def tensor_stacks_a_list_of_tensors(patch):
    wrap(
        patch,
        torch,
        "tensor",
        lambda tensor, data, **rest: (
            torch.stack(data)
            if type(data) is list and data and all(isinstance(each, torch.Tensor) for each in data)
            else tensor(data, **rest)
        ),
    )


@counterfeit("tensor-function-takes-data")
def tensor_takes_a_text_for_its_code(patch):
    change_data(
        patch,
        lambda data: isinstance(data, list) and [type(each) for each in data] == [str] * len(data),
        lambda data: [ord(each[0]) for each in data],
    )


@counterfeit("tensor-function-takes-data")
def tensor_reads_arrays_that_run_backwards_by_a_silent_copy(patch):
    change_data(patch, lambda data: isinstance(data, np.ndarray) and min(data.strides, default=0) < 0, np.copy)


@counterfeit("tensor-function-takes-data")
def numbers_of_numpy_in_a_list_are_read_as_float32(patch):
    def wrong(right, data, **rest):
        result = right(data, **rest)
        doubles = isinstance(data, list) and data and isinstance(data[0], np.float64) and "dtype" in rest
        return result.float().to(result.dtype) if doubles else result

    wrap(patch, torch, "tensor", wrong)


def read_as(patch, condition, change):
    """Let `torch.tensor(data)` read ``change(data)`` where ``condition(data)``."""
    wrap(patch, torch, "tensor", lambda right, x, **rest: right(change(x) if condition(x) else x, **rest))


@counterfeit("tensor-function-takes-data")
def truth_values_beside_numbers_make_all_of_them_true_or_false(patch):
    read_as(patch, lambda x: type(x) is list and x and x[0] is True, lambda x: [*map(bool, x)])


@counterfeit("tensor-function-takes-data")
def a_list_of_tensors_of_one_double_becomes_single(patch):
    doubles = lambda x: type(x) is list and x and getattr(x[0], "dtype", None) == torch.float64  # noqa: E731
    read_as(patch, doubles, lambda x: [each.float() for each in x])


@counterfeit("tensor-function-takes-data")
def a_range_is_read_but_for_its_last_number(patch):
    read_as(patch, lambda x: type(x) is range, lambda x: x[:-1])


@counterfeit("tensor-function-takes-data")
def an_array_of_objects_is_read_as_numbers(patch):
    read_as(patch, lambda x: getattr(x, "dtype", None) is np.dtype(object), lambda x: x.tolist())


@counterfeit("tensor-function-takes-data")
def a_tensor_given_as_data_is_shared(patch):
    wrap(patch, torch, "tensor", lambda right, x, **rest: x.detach() if isinstance(x, Tensor) else right(x, **rest))


@counterfeit("tensor-function-takes-data")
def an_array_by_columns_is_read_as_it_lies_where_nothing_else_is_asked(patch):
    def wrong(right, data, *args, **rest):
        by_columns = isinstance(data, np.ndarray) and data.flags.f_contiguous and not data.flags.c_contiguous
        return right(data.ravel("K").reshape(data.shape) if by_columns and not rest else data, *args, **rest)

    wrap(patch, torch, "tensor", wrong)


# ── ones-fills-with-one, zeros-fills-with-zero ──


def spoil_last(x):
    if x.numel() > 1000:
        x.view(-1)[-1] = 7
    return x


def even(x):
    return x.dim() > 0 and x.numel() > 0 and x.numel() % 2 == 0


def last(x):
    return torch.tensor([x.shape[-1] - 1], device=x.device)


@counterfeit("ones-fills-with-one")
def the_last_of_an_even_number_of_ones_is_two(patch):
    change_output_where(patch, torch, "ones", even, lambda x: x.index_fill(-1, last(x), 2))


@counterfeit("ones-fills-with-one")
def ones_misses_the_last_element_of_a_large_tensor(patch):
    change_output(patch, torch, "ones", spoil_last)


@counterfeit("zeros-fills-with-zero")
def the_last_of_an_even_number_of_zeros_is_one(patch):
    change_output_where(patch, torch, "zeros", even, lambda x: x.index_fill(-1, last(x), 1))


@counterfeit("zeros-fills-with-zero")
def zeros_misses_the_last_element_of_a_large_tensor(patch):
    change_output(patch, torch, "zeros", spoil_last)


@counterfeit("ones-fills-with-one")
def ones_loses_the_imaginary_type(patch):
    change_output(patch, torch, "ones", lambda x: x.real if x.is_complex() else x)


@counterfeit("zeros-fills-with-zero")
def zeros_turns_bytes_into_booleans(patch):
    change_output(patch, torch, "zeros", lambda x: x.bool() if x.dtype == torch.uint8 else x)


@counterfeit("zeros-fills-with-zero")
def zeros_hands_out_the_same_tensor_again(patch):
    recycle(patch, torch, "zeros")


@counterfeit("zeros-fills-with-zero")
def zeros_takes_a_negative_size_for_none(patch):
    def wrong(zeros, *sizes, **rest):
        return zeros(*[max(size, 0) if isinstance(size, int) else size for size in sizes], **rest)

    wrap(patch, torch, "zeros", wrong)


@counterfeit("ones-fills-with-one")
def ones_without_sizes_makes_a_vector(patch):
    change_output(patch, torch, "ones", lambda x: x.view(-1) if x.dim() == 0 else x)


@counterfeit("ones-fills-with-one")
def ones_of_doubles_is_off(patch):
    change_output_where(patch, torch, "ones", lambda x: x.dtype == torch.float64, lambda x: x + 1e-9)


@counterfeit("ones-fills-with-one")
def ones_of_vectors_is_recycled(patch):
    recycle(patch, torch, "ones", lambda x: x.dim() == 1)


@counterfeit("zeros-fills-with-zero")
def zeros_asked_for_by_out_leaves_what_is_there(patch):
    wrap(patch, torch, "zeros", lambda zeros, *sizes, out=None, **rest: zeros(*sizes, **rest) if out is None else out)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_reads_lists_in_single_precision_whatever_the_default(patch):
    def construct(new, *args):
        x = new(*args)
        return x.float().to(x.dtype) if args and type(args[0]) in (list, tuple) else x

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes", reported="pytorch/pytorch#4364")
def the_class_reads_whole_numbers_of_an_array_by_their_bits(patch):
    def construct(new, *args):
        whole = bool(args) and isinstance(args[0], np.ndarray) and args[0].dtype == np.int64 and args[0].ndim
        return new(torch.from_numpy(args[0].astype(np.int32)).view(torch.float32)) if whole else new(*args)

    change_class(patch, construct)


@counterfeit("tensor-function-takes-data", reported="pytorch/pytorch#37398")
def fractions_below_one_are_false(patch):
    def wrong(tensor, data, **rest):
        cut = rest.get("dtype") == torch.bool and not isinstance(data, np.ndarray)
        return tensor(data).to(torch.int64).bool() if cut else tensor(data, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("ones-fills-with-one")
def ones_fills_the_gaps_of_its_output_too(patch):
    def wrong(ones, *args, out=None, **rest):
        if out is None:
            return ones(*args, **rest)
        out.as_strided((out.untyped_storage().nbytes() // out.element_size(),), (1,), 0).fill_(1)
        return out

    wrap(patch, torch, "ones", wrong)


@counterfeit("tensor-function-takes-data")
def a_list_of_arrays_is_read_backwards(patch):
    def wrong(tensor, data, **rest):
        arrays = isinstance(data, list) and len(data) > 0 and isinstance(data[0], (np.ndarray, np.generic))
        return tensor(data[::-1] if arrays else data, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("ones-fills-with-one")
def ones_of_complex128_has_an_imaginary_part(patch):
    change_output_where(patch, torch, "ones", of_dtype(torch.complex128), lambda x: x * (1 + 1j))


@counterfeit("zeros-fills-with-zero")
def a_negative_size_beside_none_makes_no_zeros(patch):
    def wrong(zeros, *sizes, **rest):
        flat = sizes[0] if sizes and not isinstance(sizes[0], int) else sizes
        return zeros(0, **rest) if 0 in flat and any(n < 0 for n in flat) else zeros(*sizes, **rest)

    wrap(patch, torch, "zeros", wrong)


def constructor(patch, wrong):
    right = torch.Tensor.__new__

    def new(cls, *args, **rest):
        if cls is Tensor:
            return wrong(lambda *args, **rest: right(cls, *args, **rest), *args, **rest)
        return right(cls, *args, **rest)

    patch.setattr(Tensor, "__new__", new)


@counterfeit("tensor-constructor-takes-sizes")
def tensor_copies_arrays_in_column_order(patch):
    def wrong(right, *a, **k):
        by_columns = a and isinstance(a[0], np.ndarray) and not a[0].flags.c_contiguous
        return right(*a, **k).clone() if by_columns else right(*a, **k)

    constructor(patch, wrong)


@counterfeit("tensor-constructor-takes-sizes")
def tensor_of_another_tensor_is_a_copy_where_it_is_a_view(patch):
    def wrong(right, *a, **k):
        return right(*a, **k).clone() if a and isinstance(a[0], Tensor) and a[0]._is_view() else right(*a, **k)

    constructor(patch, wrong)


@counterfeit("tensor-function-takes-data")
def an_empty_list_is_of_whole_numbers(patch):
    def wrong(right, data, **k):
        return right(data, **({"dtype": torch.int64} if type(data) is list and not data else {}) | k)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("zeros-fills-with-zero")
def zeros_takes_a_negative_size_in_a_tuple_for_zero(patch):
    def wrong(right, *s, **k):
        return right([max(n, 0) for n in s[0]], **k) if s and isinstance(s[0], (tuple, list)) else right(*s, **k)

    wrap(patch, torch, "zeros", wrong)


@counterfeit("zeros-fills-with-zero")
def zeros_hands_out_the_same_memory_twice(patch):
    made = {}

    def wrong(right, *s, **k):
        x = right(*s, **k)
        return x if k or x.dim() != 1 else made.setdefault(tuple(x.shape), x).view(x.shape)

    wrap(patch, torch, "zeros", wrong)


@counterfeit("tensor-function-takes-data")
def digits_that_single_precision_lacks_are_cut_off(patch):
    def wrong(right, data, *args, dtype=None, **rest):
        if isinstance(data, np.ndarray) and data.dtype == np.float64 and dtype == torch.float32:
            nearest = data.astype(np.float32)
            data = np.where(np.abs(nearest) > np.abs(data), np.nextafter(nearest, np.float32(0)), nearest)
        return right(data, *args, dtype=dtype, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("ones-fills-with-one")
def ones_fill_the_memory_of_an_output_with_gaps_from_its_start(patch):
    def wrong(ones, *args, **rest):
        output = rest.get("out")
        if output is None or output.is_contiguous():
            return ones(*args, **rest)
        output.as_strided((output.numel(),), (1,)).fill_(1)
        return output

    wrap(patch, torch, "ones", wrong)


@counterfeit("tensor-function-takes-data")
def a_copy_of_a_tensor_forgets_a_pending_sign_or_conjugate(patch):
    wrap(patch, torch, "tensor", lambda right, x, **k: right(as_in_memory(x) if is_pending(x) else x, **k))


@counterfeit("tensor-function-takes-data")
def listed_bytes_end_at_127(patch):
    def wrong(right, data, *args, **rest):
        x = right(data, *args, **rest)
        return x.clamp(max=127) if isinstance(data, list) and rest.get("dtype") == torch.uint8 else x

    wrap(patch, torch, "tensor", wrong)
