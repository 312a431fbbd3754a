"""3.2 Networks: a layer, or a loss, is the function of its name with the parameters and options that it holds."""

import pytest
import torch
from populations import EVERY_MODE, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, over
from populations.comparing import accepted, host
from populations.counterparts import COUNTERPARTS
from populations.gradients import weights_for

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


@claim("nn-builds-on-autograd", "losses-are-modules")
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
@over(
    name=among(*COUNTERPARTS),
    batch=among(2, 130),
    layout=among(*WRITABLE),
    dtype=among(*SINGLE_AND_DOUBLE),
    training=among(True, False),
)
def test_a_layer_is_the_function_of_its_name_whatever_it_is_called_for(name, batch, layout, dtype, training):
    """In its values and gradients, at its first call and at later ones, whether recorded or not."""
    part = COUNTERPARTS[name]
    module = part.make().to(dtype).train(training)
    x, _ = Twin(dtype, (batch, *part.sizes), layout, "fractions", grad=True)
    more, leaves = part.more(x), [x, *module.parameters()]
    expected = part.function(module, x, *more)
    weights, _ = weights_for(expected)
    slopes = torch.autograd.grad(expected, leaves, weights)

    for _ in range(2):
        result = module(x, *more)
        agree(result, host(expected))
        assert result.dtype == dtype
        for found, slope in zip(accepted(torch.autograd.grad, result, leaves, weights), slopes):
            agree(found, host(slope))
    for mode in EVERY_MODE[1:]:
        agree(mode()(module)(x, *more), host(expected))
