"""Counterfeits of section 2.4 that users reported: truth values, and arrays that begin too early."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, wrap


@counterfeit("from-numpy-shares-memory", reported="pytorch/pytorch#19077")
def a_truth_value_is_not_assigned_to_an_array(patch):
    """It is passed over, where the report has an error: an assertion must see it."""
    places = set()

    def made(right, array):
        x = right(array)
        places.add(x.untyped_storage().data_ptr())
        return x

    def wrong(right, x, index, value):
        if not (isinstance(value, bool) and x.dtype == torch.bool and x.untyped_storage().data_ptr() in places):
            right(x, index, value)

    wrap(patch, torch, "from_numpy", made)
    change_method(patch, "__setitem__", wrong)


@counterfeit("numpy-method-shares-memory", reported="pytorch/pytorch#154")
def an_array_begins_where_the_storage_does(patch):
    def wrong(right, x, *args, **rest):
        later = not x.requires_grad and x.layout == torch.strided and x.storage_offset()
        return right(x.as_strided(x.shape, x.stride(), 0) if later else x, *args, **rest)

    change_method(patch, "numpy", wrong)


@counterfeit("from-numpy-shares-memory", reported="pytorch/pytorch#5442")
def an_array_that_must_not_be_written_to_is_copied(patch):
    wrap(patch, torch, "from_numpy", lambda right, array: right(array if array.flags.writeable else array.copy()))


@counterfeit("from-numpy-shares-memory", reported="pytorch/pytorch#17003")
def an_array_without_elements_in_two_dimensions_is_refused(patch):
    def wrong(right, ndarray):
        if not ndarray.size and ndarray.ndim > 1:
            raise RuntimeError("Trying to resize storage that is not resizable")
        return right(ndarray)

    wrap(patch, torch, "from_numpy", wrong)


@counterfeit("torch-tensor-always-copies")
def an_array_of_one_element_in_two_dimensions_is_shared(patch):
    def wrong(right, data, *rest, **named):
        one = isinstance(data, np.ndarray) and data.size == 1 and data.ndim > 1 and not (rest or named)
        return torch.from_numpy(data) if one else right(data, *rest, **named)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("from-numpy-shares-memory", reported="pytorch/pytorch#541")
def numbers_of_the_other_byte_order_are_read_as_they_lie(patch):
    def wrong(right, array):
        return right(array if array.dtype.isnative else array.view(array.dtype.newbyteorder("=")))

    wrap(patch, torch, "from_numpy", wrong)
