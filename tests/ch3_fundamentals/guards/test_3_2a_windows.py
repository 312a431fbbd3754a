"""3.2 Networks: windows of any geometry, and functions of each element, with their gradients."""

import itertools
import math

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, in_turn, over, twins, whole
from populations.comparing import accepted, host
from populations.elements import NUMBERS
from populations.functions import FLOATING
from populations.gradients import grad_of, rises, weights_for
from populations.initialisers import RELEASE
from populations.layers import LOSSY
from populations.losses import OF_PAIRS
from populations.parts import ACTIVE, MATRIX
from populations.twins import HALVES
from populations.windows import MANY, SOME_CHANNELS, WIDE, WINDOWS
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")
# An old Hardswish, as was seen up to 2.2, has another slope at 3 for eight numbers at a time.
CONSISTENT = [name for name in ACTIVE if name != "Hardswish" or RELEASE >= (2, 7)]


@claim("nn-builds-on-autograd")
@over(window=among(*WINDOWS, *WIDE, *MANY, *SOME_CHANNELS))
def test_convolutions_pools_and_interpolations_of_any_geometry_have_their_formula_s_values(window):
    x, array, apply, rule = window
    agree(accepted(apply, x), rule(array), window.roundings(), scale=8)


@claim("nn-builds-on-autograd")
@over(
    window=among(
        *(window.with_grad() for window in (*WINDOWS, *MANY, *SOME_CHANNELS) if window.dtype in SINGLE_AND_DOUBLE)
    )
)
def test_what_comes_back_through_windows_of_any_geometry_is_what_their_formula_changes(window):
    """Maxima of numbers that differ by 1 are linear near them, so that differences are exact."""
    x, array, apply, rule = window
    result = apply(x)
    (weights, factors), (_, v) = weights_for(result), weights_for(x, seed=1)
    accepted(result.backward, weights)

    terms, found = rises(x, array, rule, factors, v, step=2.0**-5)
    assert abs(terms.sum() - found) <= 1e-5 * np.abs(terms).sum() * (window.roundings() > 0)


EDGES = {
    1: ((1, 0), (0, 2), (2, 1)),
    2: ((1, 0, 0, 0), (0, 2, 1, 0), (1, 1, 1, 1), (0, 0, 2, 1)),
    3: ((1, 0, 0, 2, 1, 1),),
}
BORDERS = {"circular": {"mode": "wrap"}, "reflect": {"mode": "reflect"}, "replicate": {"mode": "edge"}}
BORDERS |= {"constant": {"constant_values": 5}}


@claim("nn-builds-on-autograd")
@over(
    x=twins(
        SINGLE_AND_DOUBLE,
        shapes=((1, 2, 3), (2, 1, 4, 3), (2, 2, 3, 3, 4), (3, 2, 67), (2, 1, 9, 65)),
        values="small",
        grad=(True,),
    ),
    border=each(*BORDERS),
    turn=whole(0, 3, 1, 2),
)
def test_a_border_continues_what_is_within_and_passes_back_to_where_it_comes_from(x, border, turn):
    """So it does around the images of a convolution, of one pixel and weight 1, as wide on either side."""
    (tensor, array), n = x, len(x.shape) - 2
    edges = EDGES[n][turn % len(EDGES[n])]
    pads = [(0, 0), (0, 0), *zip(edges[-2::-2], edges[::-2])]
    value = {"value": 5.0} if border == "constant" else {}
    result = accepted(F.pad, tensor, edges, border, **value)
    agree(result, np.pad(array, pads, **BORDERS[border]))

    weights, factors = weights_for(result)
    result.backward(weights)
    places = np.arange(array.size).reshape(array.shape)
    back = np.pad(places, pads, **BORDERS[border] if not value else {"constant_values": array.size})
    agree(grad_of(tensor), np.bincount(back.ravel(), factors.ravel(), array.size + 1)[:-1].reshape(array.shape))

    mode, own = ("zeros", {}) if value else (border, BORDERS[border])
    pixel = getattr(nn, f"Conv{n}d")(
        array.shape[1], array.shape[1], 1, 1, edges[-2::-2], 1, array.shape[1], False, mode
    )
    pixel.to(tensor).weight.data.fill_(1)
    around = np.pad(array, [(0, 0), (0, 0), *zip(edges[-2::-2], edges[-2::-2])], **own)
    for _ in range(2):
        agree(pixel(tensor.detach()), around)


# The shape of what is padded, and by how much at the beginning and end of its last dimensions, the last one first.
LONG = (
    *(((1, 1, 70_001), (3, 2)), ((1, 2, 65_537), (1, 4)), ((65_537, 1, 3), (2, 1)), ((1, 65_539, 3), (1, 2))),
    *(((3, 2, 5, 6), (2, 1, 0, 3)), ((65_537, 1, 2, 2), (1, 1, 1, 0)), ((1, 65_538, 2, 2), (1, 1, 1, 1))),
    ((1, 2, 3, 4, 5), (2, 1, 1, 0, 1, 2)),
)


@claim("nn-builds-on-autograd")
@over(border=each(*BORDERS), case=in_turn(among(*LONG), among("transposed", "offset")))
def test_padding_hands_back_to_each_number_the_sum_of_the_gradients_of_its_copies(border, case):
    ((shape, pad), layout), value = case, {"value": 5.0} if border == "constant" else {}
    x, array = Twin(torch.float32, shape, layout, grad=True, second=layout == "offset")
    edges = [(0, 0)] * (array.ndim - len(pad) // 2) + [*zip(pad[::2], pad[1::2])][::-1]
    found = F.pad(x, pad, border, **value)
    agree(found, np.pad(array, edges, **BORDERS[border]))
    weights, factors = weights_for(found)
    (slope,) = torch.autograd.grad(found, x, weights)

    places = np.arange(array.size).reshape(shape)
    origin = np.pad(places, edges, **BORDERS[border] if not value else {"constant_values": array.size}).ravel()
    agree(slope, np.bincount(origin, factors.ravel(), array.size + 1)[:-1].reshape(shape))


@claim("nn-builds-on-autograd")
@over(
    x=twins(SINGLE_AND_DOUBLE, shapes=((2, 1), (1, 2), (3,), (2, 3, 1), (2, 1, 4, 3)), values="small"),
    edges=among((1, 1), (0, 2, 1, 0), (1, 1, 1, 1), (-1, 2), (1, 0, -1, 1), (0, 1, 1, 2, 2, 0)),
)
def test_padding_surrounds_what_there_is_or_cuts_it_off(x, edges):
    (tensor, array), edges = x, edges[: 2 * len(x.shape)]
    around = [*[(0, 0)] * array.ndim, *zip(edges[-2::-2], edges[::-2])][-array.ndim :]
    cut = tuple(slice(max(0, -low), size - max(0, -high)) for (low, high), size in zip(around, array.shape))
    wider = [(max(0, low), max(0, high)) for low, high in around]
    agree(F.pad(tensor, edges, value=5.0), np.pad(array[cut], wider, constant_values=5))


@claim("nn-builds-on-autograd")
@over(
    weight=twins(SINGLE_AND_DOUBLE, WRITABLE, ((5, 3), (70, 2), (4, 1)), values="small").rarely(
        *(Twin(dtype, shape) for dtype in FLOATING for shape in ((700, 100), (4, 1031)))
    ),
    indices=among([2, 0, 2, 1], [[3, 3], [1, 0]], [1], [], [n * n % 4 for n in range(300)] + [3, 2]),
    most=among(None, 2.0, 5.0, 100.0),
)
def test_an_embedding_scales_the_rows_that_it_hands_out_down_to_the_largest_norm(weight, indices, most):
    rows, array = weight
    given = torch.tensor(indices, dtype=torch.int64, device=rows.device)
    used, norms = np.isin(np.arange(len(array)), indices), np.sqrt((array.astype(np.float64) ** 2).sum(1))
    held = array * np.where(used & (norms > (most or np.inf)), (most or 1) / (norms + 1e-7), 1)[:, None]

    result = F.embedding(given, rows, max_norm=most)
    layer = nn.Embedding.from_pretrained(rows, max_norm=most)
    for found in (result, layer(given), torch.inference_mode()(layer.eval())(given)):
        agree(found, held[np.array(indices, int)], 8)
    agree(rows, held, 8)
    agree(given, np.array(indices))


@claim("nn-builds-on-autograd")
@over(name=among(*CONSISTENT), dtype=each(*SINGLE_AND_DOUBLE))
def test_an_activation_makes_of_every_number_among_many_what_it_makes_of_it_alone_and_so_on_the_way_back(name, dtype):
    """But for the gradient of what is no number, and for GELU of infinity: on the CPU those depend on their place."""
    layer, close = getattr(nn, name)().to(dtype), {"rtol": 1e-5, "atol": 16 * torch.finfo(dtype).eps}  # 1 + erf cancels
    numbers = [number for number in NUMBERS if abs(number) != math.inf or name != "GELU"]
    with torch.no_grad():
        many = layer(torch.tensor(numbers * 3, dtype=dtype))
        alone = [layer(torch.tensor([number], dtype=dtype)) for number in numbers]
    np.testing.assert_allclose(host(many), np.concatenate([*map(host, alone)] * 3), **close)

    numbers = [number for number in numbers if number == number]
    inputs = [torch.tensor(each, dtype=dtype, requires_grad=True) for each in (numbers * 3, *([n] for n in numbers))]
    many, *alone = (host(torch.autograd.grad(layer(x).sum(), x)[0]) for x in inputs)
    np.testing.assert_allclose(many, np.concatenate(alone * 3), **close)


BY_TANH = {"GELU by tanh": lambda: nn.GELU(approximate="tanh")}
HALVES_TOO = [*SINGLE_AND_DOUBLE, *(dtype for dtype in FLOATING if dtype in HALVES)]


@claim("nn-builds-on-autograd")
@over(name=among(*CONSISTENT, *BY_TANH), dtype=each(*HALVES_TOO))
def test_an_activation_has_in_every_dtype_the_value_and_slope_of_double_precision_however_large_the_number(name, dtype):
    """To within eight roundings of the largest on the way: 1 + erf and 1 + tanh cancel."""
    made = [BY_TANH[name]() if name in BY_TANH else getattr(nn, name)() for _ in range(2)]
    numbers = [number for number in NUMBERS if abs(number) < 200]  # no infinity, and nothing whose cube is one
    x = torch.tensor(numbers * 3, dtype=dtype, requires_grad=True)
    wide = torch.tensor(numbers * 3, dtype=torch.float64, device="cpu", requires_grad=True)
    here, there = made[0].to(x)(x), made[1].to(wide)(wide)
    close = {"rtol": 8 * torch.finfo(dtype).eps, "atol": 16 * torch.finfo(dtype).eps}
    np.testing.assert_allclose(host(here), host(there), **close)
    for result in (here, there):
        result.sum().backward()
    np.testing.assert_allclose(host(grad_of(x)), host(grad_of(wide)), **close)


IN_PLACE = {
    **dict.fromkeys(("ReLU", "ReLU6", "Hardtanh", "ELU", "SELU", "CELU", "SiLU", "Mish", "Hardswish"), ()),
    **{"Hardsigmoid": (), "RReLU": (), "LeakyReLU": (0.25,), "Threshold": (0.5, 7.0), "Dropout": (0.0,)},
}


@claim("nn-builds-on-autograd")
@over(name=each(*IN_PLACE), layout=among(*WRITABLE), dtype=among(*SINGLE_AND_DOUBLE))
def test_an_activation_in_place_gives_and_passes_back_what_it_does_elsewhere(name, layout, dtype):
    made, passed = [], []
    for inplace in (False, True):
        x = Twin(dtype, (4, 3), layout, grad=True).tensor(np.array(MATRIX))
        result = getattr(nn, name)(*IN_PLACE[name], inplace=inplace).eval()(x * 2)
        result.backward(weights_for(result)[0])
        made.append(host(result))
        passed.append(host(grad_of(x)))
    for aside, in_place in (made, passed):  # where it was written over, the slope comes from the result
        np.testing.assert_allclose(in_place, aside, rtol=1e-5, atol=1e-6)


# Each of four channels, of all channels together or in two groups, each of all samples: the axes of (6, 4, 3, 5).
STANDARDISING = {
    "batch_norm": (lambda x, eps: F.batch_norm(x, None, None, training=True, eps=eps), (6, 4, 15), (0, 2)),
    "instance_norm": (lambda x, eps: F.instance_norm(x, eps=eps), (24, 15), 1),
    "layer_norm": (lambda x, eps: F.layer_norm(x, (4, 3, 5), eps=eps), (6, 60), 1),
    "layer_norm of rows": (lambda x, eps: F.layer_norm(x, (5,), eps=eps), (72, 5), 1),
    # torch 2.0 ends the process where the channels lie last
    "group_norm": (lambda x, eps: F.group_norm(x if RELEASE >= (2, 2) else x.contiguous(), 2, eps=eps), (12, 30), 1),
}


@claim("nn-builds-on-autograd")
@over(
    name=each(*STANDARDISING),
    case=among(*((power, eps) for power in (0, -10, -33, -45, 12) for eps in (1e-5, 1e-12))),
    layout=among("contiguous", "channels last", "transposed"),
    dtype=each(*SINGLE_AND_DOUBLE),
)
def test_without_weights_a_normalisation_divides_by_the_root_of_variance_and_eps_however_small_they_are(
    name, case, layout, dtype
):
    """Its numbers, and back to them what is orthogonal to the mean and to the numbers: within a hundred roundings."""
    (norm, shape, axes), (power, eps) = STANDARDISING[name], case
    x, array = Twin(dtype, (6, 4, 3, 5), layout, values="fractions", grad=True)
    x, array = x.detach().mul_(2.0**power).requires_grad_(), array.astype(np.float64).reshape(shape) * 2.0**power
    deviation = np.sqrt(array.var(axes, keepdims=True) + eps)
    standard = (array - array.mean(axes, keepdims=True)) / deviation

    result = norm(x, eps)
    agree(result, standard.reshape(x.shape), 100, np.abs(standard).max())
    weights, factors = weights_for(result)
    result.backward(weights)
    factors = factors.astype(np.float64).reshape(shape)
    share = (factors * standard).mean(axes, keepdims=True)
    back = (factors - factors.mean(axes, keepdims=True) - standard * share) / deviation
    agree(grad_of(x), back.reshape(x.shape), 100, np.abs(factors / deviation).max())


@claim("nn-builds-on-autograd")
@over(
    case=among(
        *(
            case
            for case in itertools.product(OF_PAIRS, ("none", "mean", "sum"), LOSSY, [None])
            if case[::2] != ("cosine_embedding_loss", torch.float16)  # which cannot hold the product of two squares
        ),
        *itertools.product(OF_PAIRS, ("mean", "sum"), SINGLE_AND_DOUBLE[:1], [(1031,)]),  # each adds up many
    ),
    layout=among(*WRITABLE),
    shape=among((7,), (3, 5), (2, 3, 4), (1,), (33, 9), (1031,), (1, 2, 1), (2, 3, 2, 2)).rarely((300, 2)),
    grads=among((True, True), (True, False), (False, True)),
)
def test_a_loss_of_pairs_is_its_formula_s_for_each_or_their_mean_or_sum(case, layout, shape, grads):
    (_, reduction, dtype, long), (compute, rule) = case, OF_PAIRS[case[0]]
    shape = long or shape
    reduced = {"none": np.asarray, "mean": np.mean, "sum": np.sum}[reduction]
    pair = [
        Twin(dtype, shape, layout, *each) for each in (("fractions", False, grads[0]), ("quarters", False, grads[1]))
    ]
    (x, t), arrays = zip(*([tensor, array.astype(np.float64)] for tensor, array in pair))
    result, losses = compute(x, t, reduction=reduction), rule(*arrays)
    for found in (result, compute(x.detach(), t.detach(), reduction=reduction)):
        agree(found, reduced(losses), 64 + 2 * losses.size, np.abs(losses).max(initial=1))

    weights, factors = weights_for(result)
    accepted((result + 0 * (x.sum() + t.sum())).backward, weights)
    # eight roundings in half precision, of parts up to eight, as the logarithm and the input of kl_div are
    close = (
        8 * max(1e-5, 4 * torch.finfo(dtype).eps) * np.abs(factors).max() / (x.numel() if reduction == "mean" else 1)
    )
    for place in np.flatnonzero(grads):
        leaf, (_, v) = (x, t)[place], weights_for(x, seed=1)
        terms, found = rises(
            leaf,
            arrays[place],
            lambda moved, place=place: reduced(rule(*(*arrays[:place], moved, *arrays[place + 1 :]))),
            *(factors, v, 2.0**-18),
        )
        assert abs(terms.sum() - found) <= close * np.abs(v).sum() + 1e-5 * np.abs(terms).sum()
