"""4.3 Initialising parameters by hand: functions of our own, and writing under no_grad or through data."""

import numpy as np
import pytest
import torch
from populations import FLOATS, WRITABLE, agree, among, over, twins, untouched
from populations.comparing import host
from populations.initialisers import Filling
from populations.statistics import occur_as_often
from populations.twins import FEW
from torch import nn
from torch.nn import init

claim = pytest.mark.claim


CUSTOM = (
    Filling("uniform_", shape=(120, 300)),
    Filling("uniform_", shape=(15, 80, 5, 5), dtype=torch.float64, layout="channels last", second=True),
    Filling("uniform_", shape=(181, 181), layout="transposed", dtype=torch.bfloat16),
    Filling("uniform_", shape=(36_001,), layout="gappy", dtype=torch.float16),
)


@claim("custom-init-can-be-written")
@over(filling=among(*CUSTOM))
def test_a_custom_initialiser_keeps_what_is_large_and_zeroes_the_other_half(filling):
    parameter = nn.Parameter(filling.blank())
    with torch.no_grad():
        parameter.uniform_(-10, 10)
        parameter * 0  # written nowhere
        parameter *= (parameter.abs() >= 5).to(filling.dtype)

    untouched(parameter)
    values = host(parameter).astype(np.float64).ravel()
    kept = values[values != 0]
    assert np.all((np.abs(kept) >= 5) & (np.abs(kept) <= 10))
    # what a dtype rounds to 5 in size is kept: half a unit of it, on either side, of the 20 that are drawn from
    occur_as_often(np.stack([values < 0, values > 0], 1), 1 / 4, cases=2, grain=torch.finfo(filling.dtype).eps)
    Filling("uniform_", (("a", 0), ("b", 1)), kept.shape, filling.dtype).follow(kept / 10 - 0.5 * np.sign(kept) + 0.5)
    assert (parameter.is_leaf, parameter.requires_grad, parameter.grad_fn) == (True, True, None)


DATA = {  # ways to make all elements 5 through data
    "fill_": lambda w: w.data.fill_(5),
    "add_": lambda w: w.data.mul_(0).add_(5),
    "index": lambda w: w.data.__setitem__(..., 5),
    "view": lambda w: w.data.unsqueeze(0).fill_(5),
    "init": lambda w: init.constant_(w.data, 5),
}
NOTICED = {
    "no_grad": lambda w: torch.no_grad()(w.fill_)(5),
    "detach": lambda w: w.detach().fill_(5),
    "init": lambda w: init.constant_(w, 5),
    "copy": lambda w: torch.no_grad()(w.copy_)(torch.full_like(w, 5)),
}


@claim("writing-data-sets-parameters-without-grad")
@claim("writing-data-sets-parameters-without-grad", truth=True)
@over(twin=twins(FLOATS, WRITABLE, FEW), write=among(*DATA))
def test_a_write_to_data_goes_unnoticed_and_changes_what_is_computed_from_the_value_afterwards(twin, write):
    tensor, array = twin
    w, version = nn.Parameter(tensor), tensor._version
    (w * w).sum().backward()
    y, z = w * w, w * 7
    assert (w.data.requires_grad, w.data.grad_fn, w.data.data_ptr()) == (False, None, w.data_ptr())
    DATA[write](w)
    assert w._version == version

    agree(w.grad, 2 * array)  # that of before stays
    agree(y, array * array)
    # made of the value at backward; of no value; of the new value
    for result, gradient in ((y, 10), (z, 7), (w * w + w, 11)):
        w.grad = None
        result.sum().backward()
        agree(w.grad, np.full_like(array, gradient))
    assert (w.is_leaf, w.requires_grad, w.grad_fn) == (True, True, None)
    untouched(w)
    w.data = replacement = torch.zeros_like(tensor)
    assert w.data_ptr() == w.data.data_ptr() == replacement.data_ptr()


@claim("writing-data-sets-parameters-without-grad", truth=True)
@over(twin=twins(FLOATS, WRITABLE, FEW), write=among(*NOTICED))
def test_every_other_write_between_forward_and_backward_is_noticed(twin, write):
    tensor, _ = twin
    w = nn.Parameter(tensor)
    y = (w * w).sum()
    NOTICED[write](w)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@claim("writing-data-sets-parameters-without-grad", truth=True)
@over(outputs=among(1, 3, 65), batch=among(1, 2))
def test_the_gradient_of_a_layer_s_input_is_made_of_the_weights_written(outputs, batch):
    layer, x = nn.Linear(3, outputs), torch.ones(batch, 3, requires_grad=True)
    y = layer(x).sum()
    layer.weight.data.copy_(torch.arange(3.0).expand(outputs, 3))
    y.backward()

    agree(x.grad, np.broadcast_to(np.arange(3) * outputs, (batch, 3)))
    agree(layer.weight.grad, np.full((outputs, 3), batch))
