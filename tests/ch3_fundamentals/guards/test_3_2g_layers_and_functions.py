"""3.2 Networks: a layer, or a loss, is the function of its name with the parameters and options that it holds."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, HALVES, WRITABLE, Twin, agree, among, each, over
from populations.comparing import accepted, host
from populations.counterparts import COUNTERPARTS, Counterpart
from populations.gradients import weights_for
from populations.initialisers import RELEASE
from populations.rarer_layers import NO_HALVES, RARER, Shown
from torch import nn

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


# How many examples, and how many times as many columns; the dtype, of which the CPU has fewer before torch 2.7.
KINDS = [((2, 1), torch.float64), ((130, 1), torch.float32), ((2, 10), torch.float32)]
KINDS += [((3, 1), torch.bfloat16)] * (RELEASE >= (2, 7))


@claim("nn-builds-on-autograd", "losses-are-modules", "gradients-accumulate")
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss", "ignore:grad and param do not obey")
@over(
    name=among(*COUNTERPARTS).rarely(*RARER, *reversed(RARER)),  # each in training and in evaluation
    kind=each(*KINDS),
    layout=among(*WRITABLE),
    training=among(True, False),
    frozen=among(False, True),
)
def test_a_layer_is_the_function_of_its_name_whatever_it_is_called_for(name, kind, layout, training, frozen):
    """In its values and gradients, at its first call and at later ones, whether recorded or not."""

    def close(found, expected):
        rounds = max(part.roundings, 64 if size[0] > 100 else 0)  # sums over so many examples may cancel
        agree(found, host(expected), rounds, np.abs(host(expected)).max(initial=0))

    part, (size, dtype) = (COUNTERPARTS | RARER)[name], kind
    layout = WRITABLE[(WRITABLE.index(layout) + KINDS.index(kind)) % len(WRITABLE)]  # another for each kind
    dtype = torch.float32 if dtype in HALVES and name in NO_HALVES else dtype
    x, _ = Twin(dtype, part.shape(*size), layout, "fractions", second=KINDS.index(kind) % 2 == 1, grad=True)
    # through recurrent layers cuDNN passes back in training alone
    trained = training or (name.endswith("of three layers") and x.device.type != "cpu")
    module = part.make().to(x).train(trained).requires_grad_(not frozen)
    more, leaves = part.more(x), [x, *(w for w in module.parameters() if w.requires_grad)]
    expected = part.function(module, x, *more)
    weights, _ = weights_for(expected, layout)
    slopes = torch.autograd.grad(expected, leaves, weights)

    for _ in range(2):
        result = module(x, *more)
        close(result, expected)
        assert result.dtype == dtype
        for found, slope in zip(accepted(torch.autograd.grad, result, leaves, weights), slopes):
            close(found, slope)
    for mode in EVERY_MODE[1:]:
        close(mode()(module)(x, *more), expected)
    for _ in range(2):  # a second gradient is added to the first
        accepted(module(x, *more).backward, weights.clone())  # in which a gradient that is a view may come to lie
    for leaf, slope in zip(leaves, slopes):
        close(leaf.grad / 2, slope)


# And a layer of another kind, so that something is left where a device has no batch norm.
NORMS = {name: part for name, part in COUNTERPARTS.items() if name.startswith("BatchNorm")} | {
    "Linear, converted": Counterpart(
        lambda: Shown(nn.Linear(7, 5), lambda m, x: m(x.float()).to(x.dtype)), lambda m, x: m(x), (7,), fixed=True
    )
}


@claim("nn-builds-on-autograd")
@over(
    name=each(*NORMS),
    dtype=among(*HALVES if RELEASE >= (2, 7) else [torch.bfloat16]),  # the CPU had no other
    size=among((3, 1), (130, 1), (2, 10)),
    layout=among(*WRITABLE),
    second=among(False, True),
)
def test_a_batch_norm_in_single_precision_gives_inputs_in_half_precision_the_same_values_and_slopes(
    name, dtype, size, layout, second
):
    """As the same layer gives them in single precision, which the guard before this one holds: the value and the slope
    of the input, which are rounded to its dtype, to two roundings of the largest; those of the parameters to two of
    each of the numbers that they add up, none of which is far above its weight.
    """
    part = NORMS[name]
    x, array = Twin(dtype, part.shape(*size), layout, "fractions", second=second, grad=True)
    module = part.make().to(x.device)
    in_full = torch.from_numpy(array.astype(np.float32)).to(x.device).requires_grad_()
    expected, result = module(in_full), accepted(module, x)
    weights = weights_for(expected)[0] / 256  # so that no sum of them is past what float16 holds
    leaves = [*module.parameters()]
    slopes = torch.autograd.grad(expected, [in_full, *leaves], weights)
    found = accepted(torch.autograd.grad, result, [x, *leaves], weights.to(result.dtype))

    assert (result.dtype, found[0].dtype) == (dtype, dtype)
    added = np.abs(host(weights)).sum() / len(leaves[0])  # in a channel
    largest = [*(2 * np.abs(host(of)).max() for of in (expected, slopes[0])), 2 * added, 2 * added]
    for one, other, most in zip((result, *found), (expected, *slopes), largest):
        atol = torch.finfo(dtype).eps * most
        np.testing.assert_allclose(host(one).astype(float), host(other), rtol=0, atol=atol)
