"""3.2 Networks: a layer, or a loss, is the function of its name with the parameters and options that it holds."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, HALVES, WRITABLE, Twin, agree, among, each, over
from populations.comparing import accepted, host
from populations.counterparts import COUNTERPARTS, NO_HALVES
from populations.gradients import weights_for
from populations.initialisers import RELEASE

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


# How many examples, and how many times as many columns; the dtype, of which the CPU has fewer before torch 2.7.
KINDS = [((2, 1), torch.float64), ((130, 1), torch.float32), ((2, 10), torch.float32)]
KINDS += [((3, 1), torch.bfloat16)] * (RELEASE >= (2, 7))


@claim("nn-builds-on-autograd", "losses-are-modules")
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
@over(
    name=among(*COUNTERPARTS),
    kind=each(*KINDS),
    layout=among(*WRITABLE),
    training=among(True, False),
    frozen=among(False, True),
)
def test_a_layer_is_the_function_of_its_name_whatever_it_is_called_for(name, kind, layout, training, frozen):
    """In its values and gradients, at its first call and at later ones, whether recorded or not; but for some roundings
    of the largest, as a device may add up in another order each time.
    """

    def close(found, expected):
        agree(found, host(expected), 8, np.abs(host(expected)).max(initial=0))

    part, (size, dtype) = COUNTERPARTS[name], kind
    dtype = torch.float32 if dtype in HALVES and name in NO_HALVES else dtype
    x, _ = Twin(dtype, part.shape(*size), layout, "fractions", second=size[0] == 130, grad=True)
    module = part.make().to(x).train(training).requires_grad_(not frozen)
    more, leaves = part.more(x), [x, *(w for w in module.parameters() if w.requires_grad)]
    expected = part.function(module, x, *more)
    weights, _ = weights_for(expected)
    slopes = torch.autograd.grad(expected, leaves, weights)

    for _ in range(2):
        result = module(x, *more)
        close(result, expected)
        assert result.dtype == dtype
        for found, slope in zip(accepted(torch.autograd.grad, result, leaves, weights), slopes):
            close(found, slope)
    for mode in EVERY_MODE[1:]:
        close(mode()(module)(x, *more), expected)
