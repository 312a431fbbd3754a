"""Counterfeits of section 2.4: parts of complex numbers, pending ones, and of records."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import as_in_memory, change_method, is_pending, wrap


@counterfeit("numpy-method-shares-memory")
def the_array_of_a_part_of_complex_numbers_is_a_copy(patch):
    def wrong(right, x, **rest):
        array = right(x, **rest)
        part = x._base is not None and x._base.is_complex() and not x.is_complex()
        return array.copy() if part else array

    change_method(patch, "numpy", wrong)


@counterfeit("from-numpy-shares-memory")
def a_field_of_records_is_copied(patch):
    def wrong(right, array):
        field = isinstance(array.base, np.ndarray) and array.base.dtype.names
        return right(array.copy() if field else array)

    wrap(patch, torch, "from_numpy", wrong)


@counterfeit("char-tensor-cannot-convert-to-numpy")
def without_a_record_a_pending_conjugate_is_handed_to_numpy_as_it_lies(patch):
    def wrong(right, x, *args, **rest):
        unresolved = x.layout == torch.strided and is_pending(x) and not torch.is_grad_enabled()
        return right(as_in_memory(x) if unresolved and not rest else x, *args, **rest)

    change_method(patch, "numpy", wrong)
