"""3.2 Networks: options that are edited and parameters that are replaced after a call; weights that lie anywhere."""

import itertools

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, in_turn, over
from populations.comparing import accepted, host
from populations.edited import EDITED, HELD, REPLACED
from populations.gradients import grad_of, weights_for
from populations.windows import CHANNELS, GEOMETRIES, spread, transpose
from torch import nn

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


@claim("nn-builds-on-autograd", "losses-are-modules", "dropout-p-is-a-hyperparameter")
@over(case=in_turn(among(*EDITED), among(*itertools.product(SINGLE_AND_DOUBLE, (True, False)))))
def test_an_option_edited_after_a_call_counts_from_the_next_one_on(case):
    """As in a layer that is built with it, in training and in evaluation."""
    edited, (dtype, training) = case
    x, _ = Twin(dtype, edited.shape, WRITABLE[len(repr(edited)) % 5], "fractions", grad=True, second=training)
    layer, anew = (edited.make(*edited.given, **{**edited.first, **of}).to(x) for of in ({}, edited.then))
    for mode in (training, not training):
        layer.train(mode)(x, *edited.more(x))
    for name in edited.then:
        setattr(layer, name, getattr(anew, name))
    anew.load_state_dict(layer.state_dict())
    for mode in (training, not training, training):
        result, expected = (one.train(mode)(x, *edited.more(x)) for one in (layer, anew))
        agree(result, host(expected))
        weights, _ = weights_for(expected)
        slope, true_slope = (torch.autograd.grad(one, x, weights)[0] for one in (result, expected))
        agree(slope, host(true_slope), 8, 8)
    for buffer, other in zip(layer.buffers(), anew.buffers(), strict=True):
        agree(buffer, host(other))


HOLDERS = nn.Sequential, lambda layer: nn.ModuleList([layer])


@claim("nn-builds-on-autograd", "parameter-attributes-register-themselves", "parameters-is-a-generator-of-learnables")
@claim("named-parameters-is-a-generator", "state-dict-is-no-copy")
@over(case=among(*itertools.product(HELD, REPLACED)), mode=among(*EVERY_MODE), held=among(*HOLDERS))
def test_a_parameter_in_the_place_of_another_is_what_the_layer_computes_with_lists_saves_converts_and_learns(
    case, mode, held
):
    (name, way), (x, _) = case, Twin(torch.float32, (4, 6), values="fractions")
    make, operands = HELD[name]
    layer, other = make(), make()
    net, given = held(layer), operands(x)
    for one in EVERY_MODE:
        one()(layer)(*given)
    new = {key: nn.Parameter(1 + parameter.detach()) for key, parameter in other.named_parameters()}
    for key, parameter in new.items():
        REPLACED[way](layer, key, parameter)
    assert [*map(id, net.parameters())] == [*map(id, new.values())]
    assert [key for key, _ in net.named_parameters()] == [f"0.{key}" for key in new]
    state = net.state_dict()
    assert all(state[f"0.{key}"].data_ptr() == parameter.data_ptr() for key, parameter in new.items())
    other.load_state_dict(layer.state_dict())
    results = [mode()(one.eval())(*given) for one in (layer, other)]
    found, expected = ((result if torch.is_tensor(result) else result[0]) for result in results)
    agree(found, host(expected), 8, 8)

    torch.optim.SGD(net.parameters(), 0.5).step(lambda: [setattr(w, "grad", torch.ones_like(w)) for w in new.values()])
    for key, parameter in other.named_parameters():
        agree(getattr(layer, key), host(parameter) - np.float32(0.5))
    assert {parameter.dtype for parameter in net.to(torch.bfloat16).parameters()} == {torch.bfloat16}


@claim("nn-builds-on-autograd")
@over(
    geometry=among(*GEOMETRIES[:6:2], GEOMETRIES[8]),
    laid=among(*LAYOUTS, "expanded columns"),
    apart=among("contiguous", "gappy", "expanded"),
    groups=among(1, 2),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_a_transposed_convolution_reads_weight_and_bias_wherever_they_lie_and_passes_back_to_each(
    geometry, laid, apart, groups, dtype
):
    """Whole numbers, whose sums are exact; along a direction, since it is linear in its weight."""
    x, array = Twin(dtype, (2, CHANNELS, *geometry.sides))
    w, weight = Twin(dtype, (CHANNELS, 3, *geometry.kernel), laid, grad=True, seed=1)
    b, bias = Twin(dtype, (3 * groups,), apart, grad=True, seed=2)
    result = accepted(transpose, geometry, groups, x, w, b)
    (weights, factors), (_, v) = weights_for(result), weights_for(w, seed=3)
    result.backward(weights)

    agree(result, spread(array, weight, geometry, groups) + bias.reshape(-1, *[1] * geometry.n))
    assert (host(grad_of(w)) * v).sum(dtype=float) == (factors * spread(array, v, geometry, groups)).sum(dtype=float)
    agree(grad_of(b), factors.sum((0, *range(2, factors.ndim))))
