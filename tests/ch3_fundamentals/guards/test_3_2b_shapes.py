"""3.2 Linear regression in PyTorch: inputs and layers of every shape and layout."""

import itertools
import re
from functools import partial

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, LAYOUTS, SINGLE_AND_DOUBLE, Twin, agree, among, each, over, twins, whole
from populations.comparing import host
from populations.gradients import grad_of, weights_for
from populations.layers import LOSSY, OF_ONE_INPUT, correlated
from torch import nn

claim = pytest.mark.claim


def taken(module, x):
    """What ``module`` makes of ``x``, or None where it refuses it."""
    try:
        return module(x)
    except (RuntimeError, ValueError):
        return None


@claim("nn-only-takes-batches", truth=True)
@over(
    kind=among("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"),
    plain=among(True, False),
    layout=among("contiguous", "channels last"),
)
def test_convolutions_take_a_sample_without_a_batch_as_they_take_it_in_one(kind, plain, layout):
    """Small whole numbers, so that every sum is exact."""
    options = {} if plain else {"stride": 2, "padding": 1, "dilation": 2, "groups": 2, "bias": False}
    options |= {} if plain or "Transpose" in kind else {"padding_mode": "reflect"}
    convolution = getattr(nn, kind)(2, 4, kernel_size=3, **options).train(plain)
    for parameter in convolution.parameters():
        parameter.data, _ = Twin(torch.float32, tuple(parameter.shape))
    samples, _ = Twin(torch.float32, (3, 2, *[7, 6, 5][: int(kind[-2])]), layout, grad=True)
    singles, together = [taken(convolution, sample) for sample in samples], convolution(samples)
    assert all(single is not None for single in singles), f"{kind} refuses a single sample"
    agree(convolution(samples[-1]), host(singles[-1]))  # after a batch, too
    ways, known = (torch.stack(singles), together), (samples, *convolution.parameters())
    for alone, expected in (ways, *zip(*(torch.autograd.grad(way.sum(), known) for way in ways))):
        agree(alone, host(expected))


# Lines, images and volumes: of one channel and many, none, one, few and more than 32 in a batch.
VOLUMES = ((2, 3, 7), (2, 2, 4, 3, 3), (34, 2, 3, 3, 2))
IMAGES = ((2, 4, 5, 6), (1, 16, 3, 9), (3, 33, 4, 4), (0, 2, 3, 3), (1, 1, 2, 2), (3, 1, 4, 5))
MANY = [Twin(dtype, (34, 3, 4, 5), seed=seed) for seed, dtype in enumerate((*SINGLE_AND_DOUBLE, torch.float32))]


@claim("nn-builds-on-autograd")
@claim("nn-only-takes-batches", truth=True)
@over(
    EVERY_MODE,
    x=twins(LOSSY, shapes=(*IMAGES, *VOLUMES), values="small").rarely(*MANY),
    how=each(
        *(((1, 1, 1), {}), ((2, 2, 2), {"stride": 2, "padding": 1}), ((2, 3, 2), {"dilation": 2, "padding": 3})),
        *(((2, 3, 2), {}), ((9, 1, 1), {"groups": 0}), ((2, 4, 3), {"padding": "same"})),
    ),
    first=among(0, 1),
    laid=among("contiguous", *LAYOUTS),  # whose last repeats one filter
)
def test_a_convolution_adds_up_its_windows_whatever_the_layout_of_images_and_weight_and_cuts_of_them(
    x, how, first, laid
):
    """Whole numbers whose sums are exact in float32, in which the halves add up, and then round once, or twice where
    the sum is kept in two parts, and once more with the bias. No group stands for one of each channel.
    """
    (kernel, options), places, roundings = how, x.shape[2:], 0 if x.dtype in SINGLE_AND_DOUBLE else 4
    convolve = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}[len(places)]
    first = min(first, x.shape[1] - 1)  # all of the channels or, where there are several, all but the first, as views
    groups = (x.shape[1] - first) ** ("groups" in options)
    shape = (3 * groups, (x.shape[1] - first) // groups + first, *map(min, kernel, places))
    of_weight, cut = x.but(shape=shape, seed=x.seed + 1, layout=laid), slice(first, None)
    more = 1 + 2.0**-30 * (x.dtype == torch.float64)  # digits than float32 has
    (images, a), w, (bias, b) = x, of_weight.array() * more, x.but(shape=shape[:1], seed=x.seed + 1)
    given = options | {"groups": groups}
    expected = correlated(a[:, cut], w[:, cut], **given) + b.reshape(-1, *[1] * len(places))

    weight = of_weight.tensor(w)[:, cut]
    agree(convolve(images[:, cut], weight, bias, **given), expected, roundings, np.abs(expected) + 8)
    for sample, single in zip(images[:1, cut], expected):
        agree(convolve(sample, weight, bias, **given), single, roundings, np.abs(single) + 8)


@claim("nn-builds-on-autograd")
@over(channels=whole(1, 8, *range(2, 8)), n=each(1, 2), dtype=among(*SINGLE_AND_DOUBLE))
def test_no_number_of_channels_groups_and_outputs_is_an_exception(channels, n, dtype):
    x, a = Twin(dtype, (2, channels, 5, 4)[: n + 2])
    convolve = {1: nn.functional.conv1d, 2: nn.functional.conv2d}[n]
    for groups, times in itertools.product(range(1, channels + 1), (1, 2, 4)):
        if channels % groups == 0:
            weight, w = Twin(dtype, (times * channels, channels // groups, *[2] * n), seed=times)
            agree(convolve(x, weight, groups=groups), correlated(a, w, groups=groups))


@claim("nn-builds-on-autograd")
@over(
    n=each(1, 2, 3),
    channels=among((40, 33), (3, 70), (130, 5)),
    dtype=among(*SINGLE_AND_DOUBLE),
    layout=among("contiguous", "channels last", "transposed"),
    stride=among(1, 2),
)
def test_a_convolution_of_many_channels_is_recorded_with_its_sums_of_products_and_their_slopes(
    n, channels, dtype, layout, stride
):
    """What comes back to the images a transposed one of the same weights makes, too."""
    into, out = channels
    made = {"layout": layout, "second": into == 3, "grad": True}
    forth = getattr(nn, f"Conv{n}d")(into, out, 2, stride)
    back = getattr(nn, f"ConvTranspose{n}d")(out, into, 2, stride, bias=False)
    shapes = (2, into, 4, 2 + stride, 2)[: n + 2], (out, into, *[2] * n), (out,)
    (x, a), (weight, w), (bias, b) = (
        Twin(dtype, shape, seed=seed, kind=kind, **made)
        for seed, (shape, kind) in enumerate(zip(shapes, ("tensor", "parameter", "parameter")))
    )
    forth.weight, forth.bias, back.weight = weight, bias, weight
    expected = correlated(a, w, stride) + b.reshape(-1, *[1] * n)
    for mode in EVERY_MODE[1:]:
        agree(mode()(forth.eval())(x), expected)
    result = forth.train()(x)
    agree(result, expected)
    upstream, factors = weights_for(result)
    result.backward(upstream)

    (_, v), (_, u) = weights_for(x, seed=3), weights_for(weight, seed=4)
    for found in (grad_of(x), back(upstream), torch.inference_mode()(back)(upstream)):
        assert np.vdot(host(found), v) == np.vdot(correlated(v, w, stride), factors)
    assert np.vdot(host(grad_of(weight)), u) == np.vdot(correlated(a, u, stride), factors)
    agree(grad_of(bias), factors.sum((0, *range(2, n + 2))))


@claim("linear-model-is-weighted-sum", "softmax-outputs-equal-classes")
@claim("nn-only-takes-batches", truth=True)
@over(channels=among(1, 33, 257, 65537), form=each(*OF_ONE_INPUT))
def test_a_linear_layer_and_a_convolution_have_as_many_outputs_as_asked_for(channels, form):
    (weight, w), (x, a) = Twin(torch.float32, (channels, 1, 1)), Twin(torch.float32, (1, 2), values="positive", seed=1)
    bias, b = Twin(torch.float32, (channels,), seed=2)
    agree(OF_ONE_INPUT[form](x, weight, bias), w[..., 0] * a + b[:, None])


@claim("nn-only-takes-batches", truth=True)
@over(EVERY_MODE, dimensions=among(1, 2, 3), training=among(True, False), affine=among(True, False))
def test_batch_normalisation_insists_on_a_batch_in_training_and_out_of_it(dimensions, training, affine):
    normalise = getattr(nn, f"BatchNorm{dimensions}d")(3, affine=affine).train(training)
    shape = (3, 4, 5, 6)[: dimensions + 1] if dimensions > 1 else (3,)

    assert normalise(torch.ones(2, *shape)).shape == (2, *shape)
    with pytest.raises(ValueError, match="expected .*D input"):
        normalise(torch.ones(shape))


# ── unsqueeze and squeeze ──

UNITS = (
    *((), (1,), (1, 1), (1, 3, 2, 2), (1, 5, 3), (7, 1, 3), (1, 0, 1), (3, 1, 0), (2, 1, 4, 1)),
    *((1, 1, 1, 1, 1, 2), (1, 2, 1, 3, 1), (3, 1025), (65537,)),
)


def spelled(tensor, name, place, **dim):
    """The ways of calling a method that makes a view: three without a record, and three with one where there is one."""
    views = [mode()(getattr(tensor.detach(), name))(*dim.values()) for mode in EVERY_MODE[1:]]
    bare = tensor.detach(), tensor.detach()
    assert bare[0].shape == bare[1].shape == tensor.shape  # which is another when it was changed in place
    views += getattr(bare[0], f"{name}_")(**dim), getattr(bare[1], f"{name}_")(*dim.values())
    views += getattr(tensor, name)(**dim), getattr(torch, name)(tensor, **dim), getattr(tensor, name)(place)
    assert [view.requires_grad for view in views] == [False] * 4 + [tensor.requires_grad] * 3
    return views


def agree_both_ways(tensor, array, views, expected):
    """Raise AssertionError unless ``views`` of ``tensor`` are all ``expected``, and pass their values back to it."""
    for view in views:
        agree(view, expected)
        assert view.data_ptr() == tensor.data_ptr()
        for leaf in [tensor] * view.requires_grad:
            agree(torch.autograd.grad(view * 1, leaf, view.detach())[0], array)


@claim("unsqueeze-inserts-a-dimension", "unsqueeze-makes-a-batch-of-one")
@over(twin=twins(ANY, shapes=UNITS, ranks=(0, 6), grad=(False, True)), turn=among(0, 1, 2))
def test_a_dimension_of_size_one_goes_in_at_every_place_and_nothing_is_copied(twin, turn):
    tensor, array = twin
    shape, rank = tensor.shape, tensor.dim()

    for d in range(-rank - 1, rank + 1):
        views = spelled(tensor, "unsqueeze", d, dim=d)[(turn + d) % 3 :: 3]
        agree_both_ways(tensor, array, views, np.expand_dims(array, d))
        for view in views:
            assert sorted([*view.stride()][: d % (rank + 1)]) == sorted([*tensor.stride()][: d % (rank + 1)])
    assert tensor.shape == shape


@claim("squeeze-removes-unit-dimensions", "squeeze-one-dimension")
@over(twin=twins(ANY, shapes=UNITS, ranks=(0, 6), grad=(False, True)), turn=among(0, 1, 2))
def test_all_dimensions_of_size_one_go_or_a_given_one_if_it_is_and_nothing_is_copied(twin, turn):
    tensor, array = twin
    shape, rank = tensor.shape, max(tensor.dim(), 1)

    for number, d in enumerate((None, *range(-rank, rank)), turn):
        expected = np.squeeze(array, d) if d is None or (array.ndim and shape[d] == 1) else array
        several, dim = (tuple(range(array.ndim)), {}) if d is None else ((d,), {"dim": d})
        agree_both_ways(tensor, array, spelled(tensor, "squeeze", several, **dim)[number % 3 :: 3], expected)
    assert tensor.shape == shape


@claim("unsqueeze-out-of-range-raises", "squeeze-one-dimension")
@over(
    EVERY_MODE,
    twin=twins(ANY, shapes=((), (2,), (1, 5, 3), (2, 3, 4, 5), (1, 0, 3)), grad=(False, True)),
    far=among(0, 1, 100),
)
def test_every_place_out_of_range_is_an_index_error_that_names_the_range(twin, far):
    (tensor, _), rank = twin, len(twin.shape)
    bare = tensor.detach()  # a leaf may not be changed in place
    inserting = [(rank + 1, way) for way in (tensor.unsqueeze, bare.unsqueeze_, partial(torch.unsqueeze, tensor))]
    removing = [(max(rank, 1), way) for way in (tensor.squeeze, bare.squeeze_, partial(torch.squeeze, tensor))]
    for places, way in (*inserting, *removing):
        for d in (places + far, -places - 1 - far):
            with pytest.raises(IndexError, match=re.escape(f"[{-places}, {places - 1}], but got {d}")):
                way(d)
    assert tensor.shape == bare.shape == twin.shape


@claim("unsqueeze-inserts-a-dimension")
@pytest.mark.cpu
@over(shape=among((5,), (2, 3), (2, 3, 4)), dtype=among(torch.float32, torch.int64))
def test_a_dimension_goes_into_a_sparse_tensor_at_the_same_places(shape, dtype):
    tensor, array = Twin(dtype, shape)
    for d in range(-len(shape) - 1, len(shape) + 1):
        for inserted in (tensor.to_sparse().unsqueeze(d), torch.unsqueeze(tensor.to_sparse(), d)):
            agree(inserted.to_dense(), np.expand_dims(array, d))
