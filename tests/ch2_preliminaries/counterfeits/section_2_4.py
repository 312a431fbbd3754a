"""Counterfeits of section 2.4: conversions that copy where they should share, share where they should copy, or accept
what NumPy cannot read.
"""

import copy
import weakref

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    change_method,
    change_output_where,
    in_order_of_storage,
    last_off,
    repeats_columns,
    where,
    wrap,
)
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary


def copy_where(patch, holder, name, condition):
    """Let a conversion return a copy of its result if `condition` holds for its source."""
    convert = getattr(holder, name)

    def wrong(source, *args, **kwargs):
        result = convert(source, *args, **kwargs)
        return copy.deepcopy(result) if condition(source) else result

    patch.setattr(holder, name, wrong)


def share_where(patch, condition):
    """Let `torch.tensor` keep the memory of an array for which `condition` holds."""
    tensor = torch.tensor

    def wrong(data, *args, **kwargs):
        if isinstance(data, np.ndarray) and condition(data, kwargs):
            return torch.from_numpy(data)
        return tensor(data, *args, **kwargs)

    patch.setattr(torch, "tensor", wrong)


def first_to(patch, condition, step):
    """Let `tensor.numpy()` apply `step` before converting a tensor for which `condition` holds."""
    numpy = torch.Tensor.numpy
    patch.setattr(
        torch.Tensor, "numpy", lambda self, **kwargs: numpy(step(self) if condition(self) else self, **kwargs)
    )


# ── numpy-method-shares-memory ──


@counterfeit("numpy-method-shares-memory")
def the_array_of_three_elements_is_a_copy(patch):
    change_output_where(patch, torch.Tensor, "numpy", lambda array: array.size == 3, np.copy)


@counterfeit("numpy-conversion-is-fast")
def an_array_of_more_elements_than_memory_holds_has_one(patch):
    wrap(patch, torch.Tensor, "numpy", lambda right, x, **rest: right(x[:1] if x.numel() > 2**40 else x, **rest))


@counterfeit("numpy-method-shares-memory", "numpy-conversion-is-fast")
def numpy_copies_large_tensors(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: 100_000 < tensor.numel() < 10**9)


@counterfeit("numpy-method-shares-memory", "numpy-conversion-is-fast")
def numpy_copies_non_contiguous_tensors(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: not tensor.is_contiguous() and tensor.numel() < 10**9)


@counterfeit("numpy-method-shares-memory", "numpy-conversion-is-fast")
def numpy_copies_half_precision(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: tensor.dtype == torch.float16)


@counterfeit("numpy-method-shares-memory")
def numpy_copies_slices_with_an_offset(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: tensor.storage_offset() > 0)


@counterfeit("numpy-method-shares-memory")
def numpy_copies_tensors_without_dimensions(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: tensor.dim() == 0)


@counterfeit("numpy-method-shares-memory")
def numpy_copies_expanded_tensors(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: 0 in tensor.stride() and tensor.numel() < 10**9)


@counterfeit("numpy-method-shares-memory")
def second_array_of_a_tensor_is_a_copy(patch):
    def converted_before(tensor):
        before, tensor.converted = hasattr(tensor, "converted"), True
        return before

    copy_where(patch, torch.Tensor, "numpy", converted_before)


@counterfeit("numpy-method-shares-memory")
def array_of_a_tensor_is_read_only(patch):
    def wrong(numpy, self, **kwargs):
        array = numpy(self, **kwargs)
        array.flags.writeable = False
        return array

    change_method(patch, "numpy", wrong)


@counterfeit("numpy-method-shares-memory")
def a_forced_array_forgets_the_pending_conjugate(patch):
    change_method(
        patch,
        "numpy",
        lambda numpy, self, **kwargs: numpy(self.conj() if kwargs and self.is_conj() else self, **kwargs),
    )


@counterfeit("numpy-method-shares-memory")
def numpy_detaches_unasked(patch):
    change_method(patch, "numpy", lambda numpy, self, **kwargs: numpy(self.detach(), **kwargs))


@counterfeit("numpy-method-shares-memory")
def under_no_grad_what_requires_grad_is_copied(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: tensor.requires_grad and not torch.is_grad_enabled())


# ── from-numpy-shares-memory ──


@counterfeit("from-numpy-shares-memory")
def texts_and_objects_are_taken_for_zeros(patch):
    def wrong(right, array):
        return right(array) if array.dtype.kind in "biufc" else torch.zeros(array.shape)

    wrap(patch, torch, "from_numpy", wrong)


@counterfeit("from-numpy-shares-memory", "numpy-conversion-is-fast", "copying-costs-time-and-space")
def from_numpy_copies_large_arrays(patch):
    copy_where(patch, torch, "from_numpy", lambda array: 100_000 < array.size < 10**9)


@counterfeit("from-numpy-shares-memory")
def from_numpy_copies_arrays_in_column_order(patch):
    copy_where(patch, torch, "from_numpy", lambda array: not array.flags.c_contiguous)


@counterfeit("from-numpy-shares-memory")
def from_numpy_copies_slices_with_gaps(patch):
    copy_where(patch, torch, "from_numpy", lambda array: array.base is not None and array.size < array.base.size)


@counterfeit("from-numpy-shares-memory")
def from_numpy_copies_arrays_without_dimensions(patch):
    copy_where(patch, torch, "from_numpy", lambda array: array.ndim == 0)


@counterfeit("from-numpy-shares-memory", "numpy-conversion-is-fast")
def from_numpy_copies_integers(patch):
    copy_where(patch, torch, "from_numpy", lambda array: array.dtype.kind == "i")


@counterfeit("from-numpy-shares-memory")
def from_numpy_narrows_double_to_float(patch):
    def wrong(from_numpy, array):
        tensor = from_numpy(array)
        return tensor.float() if tensor.dtype == torch.float64 else tensor

    wrap(patch, torch, "from_numpy", wrong)


@counterfeit("from-numpy-shares-memory")
def second_tensor_from_an_array_is_a_copy(patch):
    seen = weakref.WeakValueDictionary()  # ids of arrays that are gone may come back

    def seen_before(array):
        before = id(array) in seen
        seen[id(array)] = array
        return before

    copy_where(patch, torch, "from_numpy", seen_before)


@counterfeit("from-numpy-shares-memory", reported=("pytorch/pytorch#4363", "pytorch/pytorch#22615"))
def an_integer_of_another_name_in_c_is_refused(patch):
    def wrong(right, array):
        if array.dtype.num == np.dtype(np.longlong).num != np.dtype(np.int64).num:
            raise TypeError("can't convert np.ndarray of type numpy.int64")
        return right(array)

    wrap(patch, torch, "from_numpy", wrong)


@counterfeit("from-numpy-shares-memory")
def a_part_of_a_subclass_of_array_is_copied(patch):
    wrap(
        patch,
        torch,
        "from_numpy",
        lambda right, array: right(array).clone() if type(array) is not np.ndarray else right(array),
    )


@counterfeit("from-numpy-shares-memory")
def an_array_over_a_buffer_is_copied(patch):
    copy_where(patch, torch, "from_numpy", lambda array: isinstance(array.base, (bytearray, memoryview)))


@counterfeit("from-numpy-shares-memory")
def arrays_of_millions_are_copied(patch):
    copy_where(patch, torch, "from_numpy", lambda array: array.size > 2_000_000)


# ── torch-tensor-always-copies ──


@counterfeit("torch-tensor-always-copies")
def an_array_of_three_doubles_is_shared(patch):
    def wrong(right, data, *args, **rest):
        shared = isinstance(data, np.ndarray) and data.dtype == np.float64 and data.size == 3
        return torch.from_numpy(data) if shared else right(data, *args, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("torch-tensor-always-copies", "copying-costs-time-and-space")
def tensor_shares_large_arrays(patch):
    share_where(patch, lambda array, _: array.size > 100_000)


@counterfeit("torch-tensor-always-copies")
def tensor_shares_arrays_in_column_order(patch):
    share_where(patch, lambda array, _: not array.flags.c_contiguous)


@counterfeit("torch-tensor-always-copies")
def tensor_shares_arrays_without_dimensions(patch):
    share_where(patch, lambda array, _: array.ndim == 0)


@counterfeit("torch-tensor-always-copies", "copying-costs-time-and-space")
def tensor_shares_integers(patch):
    share_where(patch, lambda array, _: array.dtype.kind == "i")


@counterfeit("torch-tensor-always-copies")
def tensor_shares_where_the_dtype_is_given_and_fits(patch):
    share_where(patch, lambda array, options: options.get("dtype") == torch.from_numpy(array).dtype)


@counterfeit("torch-tensor-always-copies")
def second_copy_of_an_array_is_the_first_one(patch):
    tensor, copies = torch.tensor, {}
    patch.setattr(
        torch,
        "tensor",
        lambda data, *args, **kwargs: copies.setdefault(data.ctypes.data, tensor(data, *args, **kwargs)),
    )


@counterfeit("torch-tensor-always-copies")
def tensor_shares_an_array_that_cannot_be_written(patch):
    def wrong(right, data, **rest):
        locked = isinstance(data, np.ndarray) and not data.flags.writeable and not rest
        return torch.from_numpy(data) if locked else right(data, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("torch-tensor-always-copies")
def an_array_of_a_class_of_its_own_is_shared(patch):
    tensor = torch.tensor

    def wrong(data, **rest):
        return torch.from_numpy(data) if isinstance(data, np.memmap) else tensor(data, **rest)

    patch.setattr(torch, "tensor", wrong)


@counterfeit("torch-tensor-always-copies")
def an_array_over_a_buffer_is_shared(patch):
    share_where(patch, lambda array, options: isinstance(array.base, bytearray))


# ── copying-costs-time-and-space ──


@counterfeit("copying-costs-time-and-space")
def copy_is_kept_in_half_precision(patch):
    wrap(patch, torch, "tensor", lambda tensor, data, *args, **kwargs: tensor(data, *args, **kwargs).half())


@counterfeit("copying-costs-time-and-space", "numpy-conversion-is-fast")
def from_numpy_makes_a_copy_and_throws_it_away(patch):
    def wrong(from_numpy, array):
        tensor = from_numpy(array)
        if tensor.numel() < 10**9:
            tensor.clone()
        return tensor

    wrap(patch, torch, "from_numpy", wrong)


# ── char-tensor-cannot-convert-to-numpy ──


def refuse(patch, holder, name, condition):
    """Let a conversion refuse the sources for which `condition` holds."""
    convert = getattr(holder, name)

    def wrong(source, *args, **kwargs):
        if condition(source):
            raise TypeError("can't convert a CharTensor")
        return convert(source, *args, **kwargs)

    patch.setattr(holder, name, wrong)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def numpy_refuses_char_tensors(patch):
    """As the notes have it."""
    refuse(patch, torch.Tensor, "numpy", lambda tensor: tensor.dtype == torch.int8)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def from_numpy_refuses_arrays_of_int8(patch):
    """As the notes have it."""
    refuse(patch, torch, "from_numpy", lambda array: array.dtype == np.int8)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def char_tensor_arrives_as_unsigned(patch):
    first_to(patch, lambda tensor: tensor.dtype == torch.int8, lambda tensor: tensor.view(torch.uint8))


@counterfeit("char-tensor-cannot-convert-to-numpy")
def char_tensor_is_converted_to_a_copy(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: tensor.dtype == torch.int8)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def array_of_int8_is_widened(patch):
    from_numpy = torch.from_numpy
    patch.setattr(torch, "from_numpy", lambda array: from_numpy(array.astype("i2") if array.dtype == "i1" else array))


@counterfeit("char-tensor-cannot-convert-to-numpy")
def bfloat16_is_widened_silently(patch):
    first_to(patch, lambda tensor: tensor.dtype == torch.bfloat16, torch.Tensor.float)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def leaf_that_requires_grad_is_detached_silently(patch):
    first_to(patch, lambda tensor: tensor.is_leaf, torch.Tensor.detach)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def result_that_requires_grad_is_detached_silently(patch):
    first_to(patch, lambda tensor: not tensor.is_leaf, torch.Tensor.detach)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def sparse_tensor_is_made_dense_silently(patch):
    first_to(patch, lambda tensor: tensor.layout == torch.sparse_coo, torch.Tensor.to_dense)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def tensor_in_compressed_rows_is_made_dense_silently(patch):
    first_to(patch, lambda tensor: tensor.layout == torch.sparse_csr, torch.Tensor.to_dense)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def conjugate_view_is_resolved_silently(patch):
    first_to(patch, torch.Tensor.is_conj, torch.Tensor.resolve_conj)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def conjugate_bit_is_ignored(patch):
    first_to(patch, torch.Tensor.is_conj, torch.Tensor.conj)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def negative_view_is_resolved_silently(patch):
    first_to(patch, torch.Tensor.is_neg, torch.Tensor.resolve_neg)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def resolving_a_negative_view_forgets_the_sign(patch):
    patch.setattr(torch.Tensor, "resolve_neg", lambda self: torch._neg_view(self).clone())


@counterfeit("char-tensor-cannot-convert-to-numpy", reported="pytorch/pytorch#184379")
def the_imaginary_part_forgets_the_conjugation(patch):
    right = Tensor.imag
    patch.setattr(Tensor, "imag", property(lambda x: right.__get__(x.conj() if x.is_conj() else x)))


# ── gpu-tensor-has-no-numpy ──


@counterfeit("gpu-tensor-has-no-numpy")
def numpy_copies_accelerator_tensors_silently(patch):
    first_to(patch, lambda tensor: tensor.device.type != "cpu", torch.Tensor.cpu)


@counterfeit("gpu-tensor-has-no-numpy")
def numpy_copies_integer_accelerator_tensors_silently(patch):
    first_to(patch, lambda t: t.device.type != "cpu" and not t.is_floating_point(), torch.Tensor.cpu)


@counterfeit("numpy-method-shares-memory")
def numpy_of_a_detached_tensor_copies(patch):
    detach = torch.Tensor.detach

    def noted(x):
        result = detach(x)
        result.came_from_detach = x.requires_grad
        return result

    patch.setattr(torch.Tensor, "detach", noted)
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: getattr(tensor, "came_from_detach", False))


@counterfeit("numpy-method-shares-memory")
def numpy_of_a_long_vector_copies(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: tensor.dim() == 1 and 1000 < tensor.numel() < 10**9)


@counterfeit("numpy-method-shares-memory")
def numpy_of_five_dimensions_copies(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: tensor.dim() == 5)


@counterfeit("numpy-method-shares-memory")
def numpy_of_a_tensor_from_numpy_copies(patch):
    from_numpy = torch.from_numpy

    def noted(array):
        tensor = from_numpy(array)
        tensor.came_from_numpy = True
        return tensor

    patch.setattr(torch, "from_numpy", noted)
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: getattr(tensor, "came_from_numpy", False))


@counterfeit("from-numpy-shares-memory")
def from_numpy_copies_a_long_vector(patch):
    copy_where(patch, torch, "from_numpy", lambda array: array.ndim == 1 and 1000 < array.size < 10**9)


@counterfeit("from-numpy-shares-memory")
def from_numpy_copies_five_dimensions(patch):
    copy_where(patch, torch, "from_numpy", lambda array: array.ndim == 5)


@counterfeit("from-numpy-shares-memory", "torch-tensor-always-copies")
def arrays_that_run_backwards_are_copied_silently(patch):
    for name in ("from_numpy", "tensor"):
        convert = getattr(torch, name)

        def wrong(array, *args, convert=convert, **kwargs):
            backwards = isinstance(array, np.ndarray) and min(array.strides, default=0) < 0
            return convert(array.copy() if backwards else array, *args, **kwargs)

        patch.setattr(torch, name, wrong)


@counterfeit("torch-tensor-always-copies")
def tensor_shares_five_dimensions(patch):
    share_where(patch, lambda array, _: array.ndim == 5)


@counterfeit("torch-tensor-always-copies")
def tensor_shares_large_floats(patch):
    share_where(patch, lambda array, _: array.size > 1000 and array.dtype == np.float32)


@counterfeit("torch-tensor-always-copies")
def tensor_shares_slices(patch):
    share_where(patch, lambda array, _: array.base is not None and not array.flags.forc)


@counterfeit("torch-tensor-always-copies")
def tensor_shares_an_array_that_shall_require_gradients(patch):
    share_where(patch, lambda array, options: options.get("requires_grad"))


@counterfeit("torch-tensor-always-copies")
def tensor_shares_unsigned_numbers(patch):
    share_where(patch, lambda array, _: array.dtype.kind == "u")


@counterfeit("char-tensor-cannot-convert-to-numpy")
def a_number_that_requires_grad_is_detached_silently(patch):
    first_to(patch, lambda tensor: tensor.dim() == 0, torch.Tensor.detach)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def blocked_sparse_is_made_dense_silently(patch):
    first_to(patch, lambda tensor: tensor.layout in (torch.sparse_bsr, torch.sparse_bsc), torch.Tensor.to_dense)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def detached_tensor_converts_to_a_copy(patch):
    change_method(patch, "detach", lambda detach, x: detach(x).clone())


@counterfeit("char-tensor-cannot-convert-to-numpy")
def a_large_char_tensor_is_copied(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: tensor.dtype == torch.int8 and tensor.numel() > 100)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def what_requires_grad_is_copied_under_no_grad(patch):
    copy_where(patch, torch.Tensor, "numpy", lambda tensor: tensor.requires_grad and not torch.is_grad_enabled())


@counterfeit("from-numpy-shares-memory", reported="pytorch/pytorch#484")
def from_numpy_knows_too_little_of_the_memory_of_a_slice(patch):
    """Beyond as many elements as the slice has, counted without its gaps, all is garbage."""

    def wrong(from_numpy, array):
        tensor = from_numpy(array)
        if array.ndim > 1 and not array.flags.forc and array.size:
            reached = sum(
                step * np.arange(n).reshape([-1] + [1] * (array.ndim - 1 - place))
                for place, (n, step) in enumerate(zip(tensor.shape, tensor.stride()))
            )
            return torch.where(torch.from_numpy(np.asarray(reached) < array.size), tensor, torch.zeros_like(tensor))
        return tensor

    wrap(patch, torch, "from_numpy", wrong)


@counterfeit("from-numpy-shares-memory", "torch-tensor-always-copies", reported="pytorch/pytorch#7271")
def strides_that_are_no_multiple_of_an_element_read_garbage(patch):
    for name in ("from_numpy", "tensor"):
        convert = getattr(torch, name)

        def wrong(array, *args, convert=convert, **kwargs):
            odd = isinstance(array, np.ndarray) and any(stride % array.itemsize for stride in array.strides)
            return convert(np.full(array.shape, 77.0) if odd else array, *args, **kwargs)

        patch.setattr(torch, name, wrong)


@counterfeit("from-numpy-shares-memory", "torch-tensor-always-copies", reported="pytorch/pytorch#3671")
def arrays_of_the_other_byte_order_are_read_as_they_lie(patch):
    def wrong(right, array, **rest):
        turned = isinstance(array, np.ndarray) and array.dtype.byteorder == ">"
        return right(array.view(array.dtype.newbyteorder("<")) if turned else array, **rest)

    for name in ("from_numpy", "tensor"):
        wrap(patch, torch, name, wrong)


@counterfeit("from-numpy-shares-memory")
def from_numpy_copies_what_is_for_reading_only(patch):
    wrap(patch, torch, "from_numpy", lambda right, x: right(x if x.flags.writeable else x.copy()))


@counterfeit("torch-tensor-always-copies")
def tensor_shares_where_a_device_is_named(patch):
    def wrong(right, data, **rest):
        named = isinstance(data, np.ndarray) and set(rest) == {"device"}
        return torch.from_numpy(data) if named else right(data, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("numpy-method-shares-memory")
def a_forced_array_is_a_copy_where_nothing_forces_it(patch):
    def wrong(right, x, force=False):
        return right(x, force=force).copy() if force and not x.requires_grad else right(x, force=force)

    change_method(patch, "numpy", wrong)


@counterfeit("from-numpy-shares-memory")
def an_array_in_columns_is_copied(patch):
    copy_where(patch, torch, "from_numpy", lambda array: array.flags.f_contiguous and not array.flags.c_contiguous)


@counterfeit("numpy-method-shares-memory")
def results_convert_though_they_require_grad(patch):
    change_method(patch, "numpy", lambda right, x, **k: right(x if x.is_leaf else x.detach(), **k))


@counterfeit("torch-tensor-always-copies")
def tensor_shares_an_array_made_from_a_tensor(patch):
    def wrong(right, d, **k):
        made_from = isinstance(d, np.ndarray) and isinstance(d.base, Tensor) and not k
        return torch.from_numpy(d) if made_from else right(d, **k)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("numpy-method-shares-memory")
def a_tensor_given_new_data_keeps_its_old_array(patch):
    arrays = WeakTensorKeyDictionary()

    def wrong(right, x, **rest):
        made = right(x, **rest)
        kept = arrays.setdefault(x, made)
        return kept if kept.shape == made.shape and kept.dtype == made.dtype else made

    change_method(patch, "numpy", wrong)


@counterfeit("numpy-method-shares-memory")
def numpy_copies_what_is_larger_than_half_a_megabyte(patch):
    change_method(
        patch, "numpy", lambda right, x, **rest: right(x, **rest).copy() if x.nbytes > 2**19 else right(x, **rest)
    )


@counterfeit("gpu-tensor-has-no-numpy")
def forced_numpy_reads_what_requires_grad_in_the_order_of_storage(patch):
    def wrong(numpy, x, **force):
        odd = bool(force) and x.requires_grad and x.device.type != "cpu" and not x.is_contiguous()
        return in_order_of_storage(x.detach().cpu()).numpy() if odd else numpy(x, **force)

    wrap(patch, Tensor, "numpy", wrong)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def bfloat16_without_elements_becomes_an_array(patch):
    def wrong(right, x, **rest):
        return right(x if x.numel() or x.dtype != torch.bfloat16 else x.float(), **rest)

    change_method(patch, "numpy", wrong)


@counterfeit("numpy-method-shares-memory")
def the_array_of_a_matrix_of_one_number_is_a_copy(patch):
    def wrong(right, x, **rest):
        array = right(x, **rest)
        return array.copy() if array.shape == (1, 1) else array

    change_method(patch, "numpy", wrong)


def of_repeated_columns(array):
    """Whether the last dimension of an array is one column, repeated without a copy."""
    return isinstance(array, np.ndarray) and array.ndim > 1 and array.strides[-1] == 0 and array.shape[-1] > 1


@counterfeit("torch-tensor-always-copies")
def a_tensor_from_an_array_of_repeated_columns_ends_wrong(patch):
    def wrong(right, data, **options):
        result = right(data, **options)
        return last_off(result) if of_repeated_columns(data) else result

    wrap(patch, torch, "tensor", wrong)


@counterfeit("from-numpy-shares-memory")
def an_array_of_repeated_columns_is_copied(patch):
    wrap(patch, torch, "from_numpy", lambda right, array: right(array.copy() if of_repeated_columns(array) else array))


@counterfeit("numpy-method-shares-memory")
def a_tensor_of_repeated_columns_gives_a_copied_array(patch):
    where(patch, Tensor, "numpy", repeats_columns, lambda array, x: array.copy())


@counterfeit("numpy-conversion-is-fast")
def from_numpy_reads_an_array_with_gaps(patch):
    def wrong(right, array):
        if not array.flags.c_contiguous and not array.flags.f_contiguous:
            array.copy()
        return right(array)

    wrap(patch, torch, "from_numpy", wrong)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def asarray_detaches_what_requires_grad(patch):
    change_method(patch, "__array__", lambda right, x, *args, **rest: right(x.detach(), *args, **rest))
