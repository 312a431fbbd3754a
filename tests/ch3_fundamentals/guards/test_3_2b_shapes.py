"""3.2 Linear regression in PyTorch: inputs and layers of every shape and layout."""

import re

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, over, twins
from populations.comparing import host
from populations.layers import LOSSY
from torch import nn

claim = pytest.mark.claim

WIDE = (*SINGLE_AND_DOUBLE, torch.bfloat16)  # float16 has no matrix products on the CPU of older releases


# ── nn-only-takes-batches ──

LEADING = ((), (1,), (0,), (4,), (4, 5), (2, 3, 4), (2, 1, 2, 1), (257,), (65538, 1))


@claim("nn-only-takes-batches", truth=True)
@over(x=twins(WIDE, shapes=[*((*leading, 3) for leading in LEADING), (1025,), (2, 2, 1025)]))
def test_linear_maps_the_last_dimension_whatever_stands_before_it(x):
    """The halves add up in float32, where sums of small whole numbers are exact, and round once, and with the bias."""
    features = x.shape[-1]
    (weight, w), (offset, b) = (
        Twin(x.dtype, (2, features), "transposed", second=x.second),
        Twin(x.dtype, (2,), second=x.second),
    )
    tensor, array = x
    product = array.astype(np.float64) @ w.T.astype(np.float64)
    size = np.abs(array).astype(np.float64) @ np.abs(w.T) + 8
    for bias in (True, False):
        linear = nn.Linear(features, 2, bias=bias, dtype=x.dtype)
        linear.weight = nn.Parameter(weight)
        linear.bias = nn.Parameter(offset) if bias else None
        agree(linear(tensor), product + b * bias, roundings=5, scale=size)


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
)
def test_convolutions_take_a_sample_without_a_batch_as_they_take_it_in_one(kind, plain):
    """Small whole numbers, so that every sum is exact."""
    options = {} if plain else {"stride": 2, "padding": 1, "dilation": 2, "groups": 2, "bias": False}
    convolution = getattr(nn, kind)(2, 4, kernel_size=3, **options)
    for parameter in convolution.parameters():
        parameter.data, _ = Twin(torch.float32, tuple(parameter.shape))
    samples, _ = Twin(torch.float32, (3, 2, *[7, 6, 5][: int(kind[-2])]))

    batch = host(convolution(samples))
    for sample, expected in zip(samples, batch):
        single = taken(convolution, sample)
        assert single is not None, f"{kind} refuses a single sample"
        agree(single, expected)


def correlated(x, w):
    """What a convolution without padding makes of images x (n, c, h, v) and a weight (outputs, c, k, l), by NumPy."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), w.shape[2:], axis=(2, 3))
    return np.einsum("nchvkl,ockl->nohv", windows, w.astype(np.float64))


@claim("nn-only-takes-batches", truth=True)
@over(
    x=twins(LOSSY, shapes=((2, 4, 5, 6), (1, 16, 3, 9), (3, 33, 4, 4), (0, 2, 3, 3), (1, 1, 2, 2))),
    layout=among(*WRITABLE),
    kernel=among((1, 1), (2, 3), (2, 2)),
)
def test_a_convolution_adds_up_its_windows_whatever_the_layout_of_images_and_weight_and_cuts_of_them(x, layout, kernel):
    """Whole numbers whose sums are exact in float32, in which the halves add up, and then round once, or twice where
    the sum is kept in two parts.
    """
    kernel = min(kernel, x.shape[2:])
    for first in range(min(2, x.shape[1])):  # all of the channels or all but the first, as views
        (images, a), (weight, w) = x, x.but(shape=(3, x.shape[1], *kernel), layout=layout, seed=x.seed + 1)
        cut = slice(first, None)
        y = nn.functional.conv2d(images[:, cut], weight[:, cut])
        expected = correlated(a[:, cut], w[:, cut])

        agree(y, expected, roundings=0 if x.dtype in SINGLE_AND_DOUBLE else 3, scale=np.abs(expected))
        for sample, single in zip(images[:, cut], expected):
            agree(nn.functional.conv2d(sample, weight[:, cut]), single, 0 if x.dtype in SINGLE_AND_DOUBLE else 3)


@claim("linear-model-is-weighted-sum", "softmax-outputs-equal-classes")
@claim("nn-only-takes-batches", truth=True)
@over(channels=among(257, 65537))
def test_a_linear_layer_and_a_convolution_have_as_many_outputs_as_asked_for(channels):
    (weight, w), (x, a) = Twin(torch.float32, (channels, 1, 1)), Twin(torch.float32, (1, 2), values="positive", seed=1)
    agree(nn.functional.conv1d(x[None], weight), (w[..., 0] * a)[None])
    agree(nn.functional.conv2d(x[None], weight[..., None]), (w[..., 0] * a)[:, None])
    agree(nn.functional.linear(x.T, weight[..., 0]), a.T * w[..., 0].T)


@claim("nn-only-takes-batches", truth=True)
@over(dimensions=among(1, 2, 3), training=among(True, False), affine=among(True, False))
def test_batch_normalisation_insists_on_a_batch_in_training_and_out_of_it(dimensions, training, affine):
    normalise = getattr(nn, f"BatchNorm{dimensions}d")(3, affine=affine).train(training)
    shape = (3, 4, 5, 6)[: dimensions + 1] if dimensions > 1 else (3,)

    assert normalise(torch.ones(2, *shape)).shape == (2, *shape)
    with pytest.raises(ValueError, match="expected .*D input"):
        normalise(torch.ones(shape))


# ── unsqueeze and squeeze ──

KINDS = (torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64)
UNITS = ((), (1,), (1, 1), (1, 5, 3), (5, 1, 3), (1, 0, 1), (1, 1, 1, 1, 1, 2), (1, 2, 1, 1, 3, 1), (2, 1025), (65537,))


@claim("unsqueeze-makes-a-batch-of-one")
@over(sample=twins(WIDE, shapes=((3,), (33,), (1025,), (3, 5, 4), (3, 1, 1))))
def test_what_a_layer_makes_of_the_batch_of_one_is_what_it_makes_of_the_sample(sample):
    """A weight of ones adds the elements up: small whole numbers, whose sum rounds once in bfloat16."""
    tensor, array = sample
    batch, linear = tensor.unsqueeze(0), nn.Linear(sample.shape[-1], 1, bias=False, dtype=sample.dtype)
    linear.weight = nn.Parameter(tensor.new_ones(1, sample.shape[-1]))

    agree(batch, array[None])
    total = array.sum(-1, dtype=np.float64)[None, ..., None]
    agree(linear(batch), total, roundings=1, scale=np.abs(array).sum(dtype=np.float64))


@claim("unsqueeze-inserts-a-dimension")
@over(twin=twins(KINDS, shapes=UNITS, ranks=(0, 6), grad=(False, True)))
def test_a_dimension_of_size_one_goes_in_at_every_place_and_nothing_is_copied(twin):
    tensor, array = twin
    shape, rank = tensor.shape, tensor.dim()

    for d in range(-rank - 1, rank + 1):
        assert tensor.unsqueeze(dim=d).requires_grad == tensor.requires_grad
        for view in (tensor.unsqueeze(dim=d), torch.unsqueeze(tensor, d), tensor.detach().unsqueeze_(d)):
            agree(view, np.expand_dims(array, d))
            assert view.data_ptr() == tensor.data_ptr()
            assert sorted([*view.stride()][: d % (rank + 1)]) == sorted([*tensor.stride()][: d % (rank + 1)])
    assert tensor.shape == shape


@claim("unsqueeze-out-of-range-raises")
@over(twin=twins((torch.float32, torch.int64), shapes=((), (2,), (1, 5, 3), (2, 3, 4, 5))), beyond=among(1, 2, 100))
def test_every_place_out_of_range_is_an_index_error_that_names_the_range(twin, beyond):
    tensor, rank = twin.tensor(twin.array()), len(twin.shape)

    for d in (rank + beyond, -rank - 1 - beyond):
        for insert in (tensor.unsqueeze, lambda d: torch.unsqueeze(tensor, d)):
            with pytest.raises(IndexError, match=re.escape(f"[{-rank - 1}, {rank}], but got {d}")):
                insert(d)


@claim("squeeze-removes-unit-dimensions", "squeeze-one-dimension")
@over(twin=twins(KINDS, shapes=UNITS, ranks=(0, 6), grad=(False, True)))
def test_all_dimensions_of_size_one_go_or_a_given_one_if_it_is_and_nothing_is_copied(twin):
    tensor, array = twin
    shape, rank = tensor.shape, max(tensor.dim(), 1)

    views = [(np.squeeze(array), tensor.squeeze(), torch.squeeze(tensor), tensor.detach().squeeze_())]
    for d in range(-rank, rank):
        expected = np.squeeze(array, d) if array.ndim and shape[d] == 1 else array
        views.append((expected, tensor.squeeze(dim=d), torch.squeeze(tensor, d), tensor.detach().squeeze_(d)))
    for expected, *spelled in views:
        assert [view.requires_grad for view in spelled] == [tensor.requires_grad] * 2 + [False]
        for view in spelled:
            agree(view, expected)
            assert view.data_ptr() == tensor.data_ptr()
    assert tensor.shape == shape


@claim("squeeze-one-dimension")
@over(twin=twins((torch.float32, torch.int64), shapes=((), (2,), (1, 5, 3), (2, 3, 4, 5))), beyond=among(0, 1, 100))
def test_a_place_out_of_range_is_an_index_error_that_names_the_range_of_the_dimensions_there_are(twin, beyond):
    rank = max(len(twin.shape), 1)
    for d in (rank + beyond, -rank - 1 - beyond):
        with pytest.raises(IndexError, match=re.escape(f"[{-rank}, {rank - 1}], but got {d}")):
            twin.tensor(twin.array()).squeeze(d)
