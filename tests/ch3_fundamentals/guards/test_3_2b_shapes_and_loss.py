"""3.2 Linear regression in PyTorch: inputs of every shape, parameters of every layout, losses of any size."""

import math
import re
from statistics import NormalDist

import numpy as np
import pytest
import torch
from populations import FLOATS, HALVES, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, over, twins, untouched
from populations.comparing import host
from populations.pairs import SHAPES, pairs
from torch import nn
from torch.nn import init

claim = pytest.mark.claim

FULL = (torch.float32, torch.bfloat16)
WIDE = (*SINGLE_AND_DOUBLE, torch.bfloat16)  # float16 has no matrix products on the CPU of older releases
LOSSY = (*SINGLE_AND_DOUBLE, *HALVES) if torch.__version__ >= (2, 14) else SINGLE_AND_DOUBLE  # nor halves losses


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


# ── init-sets-weights-in-place and data-fill-equals-constant-init ──


FILLED = ((), (0,), (5,), (3, 33), (2, 3, 4, 5), (1025,))


@claim("init-sets-weights-in-place")
@pytest.mark.start_values
@over(twin=twins(SINGLE_AND_DOUBLE, WRITABLE, shapes=((300, 50), (15, 1, 10, 10, 10), (70_013,)), grad=(True,)))
def test_normal_draws_independent_numbers_of_the_given_mean_and_deviation_in_place(twin):
    """Moments within 6.5 standard errors; frequencies below each of 99 quantiles within 3.3 / sqrt(n), which is
    exceeded with probability 2 exp(-2 * 3.3**2) < 1e-9 (Massart 1990).
    """
    tensor, _ = twin
    place, strides, n = tensor.data_ptr(), tensor.stride(), tensor.numel()
    mean, std = ((0, 0.01), (-3, 0.5), (0, 50))[twin.seed % 3]

    draws = []
    for _ in range(2):
        assert init.normal_(tensor, mean=mean, std=std) is tensor
        draws.append((host(tensor).astype(np.float64) - mean) / std)
    assert (tensor.data_ptr(), tensor.stride(), tensor.is_leaf, tensor.requires_grad) == (place, strides, True, True)
    untouched(tensor)
    bound, (first, z) = 6.5 / math.sqrt(n), (draw.ravel() for draw in draws)
    assert abs(z.mean()) < bound and abs((z**2).mean() - 1) < bound * math.sqrt(2)
    assert abs((z**3).mean()) < bound * math.sqrt(15)
    for other in (first, np.roll(z, 1), np.roll(z, n // 2), np.roll(z, 50), np.roll(z, 1000), np.roll(z, 65_536)):
        assert abs((z * other).mean()) < bound
    assert abs((z * z[::-1]).mean()) < bound * math.sqrt(2)  # every pair comes twice
    below = np.searchsorted(np.sort(z), [NormalDist().inv_cdf(k / 100) for k in range(1, 100)]) / n
    assert np.abs(below - np.arange(1, 100) / 100).max() < 3.3 / math.sqrt(n)
    assert np.abs(z).max() > 3  # of 15,000 numbers none is so far out once in 10**17 times


@claim("init-sets-weights-in-place", "data-fill-equals-constant-init")
@over(
    twin=twins(FLOATS, WRITABLE, FILLED, grad=(True,)),
    value=among(0, 1.5, -(2.0**15), -math.inf, math.nan),
    spelled=among("constant_", "fill_"),
)
def test_constant_and_filling_the_data_set_every_element_in_place_even_nan_and_none_beside_them(twin, value, spelled):
    tensor, array = twin
    place, before = tensor.data_ptr(), tensor.data[-1:] if array.ndim else tensor.data
    before.copy_(torch.full_like(before, math.nan))

    if spelled == "constant_":
        assert init.constant_(tensor, val=value) is tensor
    else:
        tensor.data.fill_(value)
    agree(tensor, np.full_like(array, value))
    untouched(tensor)
    assert (tensor.data_ptr(), tensor.is_leaf, tensor.requires_grad, tensor.grad_fn) == (place, True, True, None)


@claim("data-fill-equals-constant-init")
@over(twin=twins(FULL, WRITABLE, shapes=((5,), (2, 3), (257,)), grad=(True,)), spelled=among("fill_", "zero_"))
def test_filling_one_element_of_the_data_leaves_all_others(twin, spelled):
    tensor, array = twin

    {"fill_": lambda x: x.fill_(0), "zero_": lambda x: x.zero_()}[spelled](tensor.data[1])
    array[1] = 0
    agree(tensor, array)
    untouched(tensor)


# ── losses-are-modules and mse-loss-is-mean-squared-error ──

LOSSES = (
    *("BCELoss", "BCEWithLogitsLoss", "CTCLoss", "CosineEmbeddingLoss", "CrossEntropyLoss", "GaussianNLLLoss"),
    *("HingeEmbeddingLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "MarginRankingLoss", "MultiLabelMarginLoss"),
    *("MultiLabelSoftMarginLoss", "MultiMarginLoss", "NLLLoss", "PoissonNLLLoss", "SmoothL1Loss", "SoftMarginLoss"),
    *("TripletMarginLoss", "TripletMarginWithDistanceLoss"),
)


@claim("losses-are-modules")
def test_every_loss_is_a_module_that_a_network_holds_and_prints_and_learns_nothing():
    assert {name for name in dir(nn) if name.endswith("Loss")} >= {*LOSSES}
    for name in sorted(name for name in dir(nn) if name.endswith("Loss")):
        assert isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module), name
    for name in LOSSES:
        loss = getattr(nn, name)()
        assert not list(loss.parameters())
        assert str(nn.Sequential(loss)).startswith(f"Sequential(\n  (0): {name}(")


@claim("mse-loss-is-mean-squared-error")
@over(twin=twins(LOSSY, WRITABLE, ((), (0,), (5,), (3, 33), (2, 3, 4, 5), (2, 1025), (65537,))))
def test_the_loss_and_its_gradients_are_the_mean_of_squares_and_twice_the_error_over_the_number(twin):
    """Every square and sum is a whole number below 2**24 and exact; the mean rounds once, or twice in bfloat16."""
    (leaf, x), (label, y) = twin, twin.but(seed=twin.seed + 1, layout="contiguous")
    power = 2.0 ** ((twin.seed % 3 - 1) * (2 if twin.dtype in HALVES else 12))  # small errors and large ones
    predicted, label = leaf.detach().mul_(power).requires_grad_(), label.detach().mul_(power).requires_grad_()
    n, error = max(x.size, 1), (x.astype(np.float64) - y) * power

    loss = nn.MSELoss()(predicted, label)
    loss.backward()
    assert (loss.dtype, loss.shape) == (twin.dtype, ())
    agree(loss, (error**2).sum() / n if x.size else np.nan, roundings=3)
    agree(predicted.grad, 2 * error / n, roundings=4)
    agree(label.grad, -2 * error / n, roundings=4)


@claim("mse-loss-is-mean-squared-error", truth=True)
@over(twin=twins(LOSSY, shapes=((), (1,), (0,), (5,), (3, 33), (257,))))
def test_the_reduction_chooses_between_the_sum_and_every_square(twin):
    (predicted, x), (label, y) = twin, twin.but(seed=twin.seed + 1, layout=WRITABLE[twin.seed % 5])
    squares = (x.astype(np.float64) - y) ** 2

    agree(nn.MSELoss(reduction="sum")(predicted, label), squares.sum(), roundings=2)
    agree(nn.MSELoss(reduction="none")(predicted, label), squares)


@pytest.mark.cpu
@claim("mse-loss-is-mean-squared-error", truth=True)
@over(dtype=among("uint8", "int8", "int16", "int32", "int64"), shape=among((), (3,), (2, 33)))
def test_whole_numbers_on_both_sides_have_no_mean_square_and_on_one_side_they_do(dtype, shape):
    label = torch.full(shape, 3, dtype=getattr(torch, dtype))
    with pytest.raises(RuntimeError):
        nn.MSELoss()(label, label)
    assert nn.MSELoss()(torch.ones(shape), label).item() == nn.MSELoss()(label, torch.ones(shape)).item() == 4


@claim("mse-loss-is-mean-squared-error")
@over(
    twin=twins(SINGLE_AND_DOUBLE, shapes=((2,), (9,), (3, 33), (1025,))),
    of=among(0, 1),
    value=among(math.nan, math.inf),
)
def test_one_nan_or_infinity_on_either_side_is_never_washed_out(twin, of, value):
    pair = [twin.tensor(twin.array()), twin.but(seed=twin.seed + 1, layout="contiguous").tensor(twin.array() + 1)]
    pair[of][(-1,) * len(twin.shape)] = value

    agree(nn.MSELoss()(*pair), value)


@claim("mse-loss-is-mean-squared-error", truth=True)
@over(
    pair=pairs(SINGLE_AND_DOUBLE, shapes=(*SHAPES, ((5, 1), (5,)), ((2, 1), (2, 1, 1, 1)), ((3,), ())), grad=(True,)),
    reduction=among("mean", "sum", "none"),
)
def test_other_shapes_broadcast_to_all_pairs_with_a_warning_whatever_the_reduction(pair, reduction):
    predicted, x, label, y = pair
    squares = np.square(np.subtract(x, y, dtype=np.float64))

    with pytest.warns(UserWarning, match="target size"):
        loss = nn.MSELoss(reduction=reduction)(predicted, label)
    mean = squares.sum() / squares.size if squares.size else np.nan
    agree(loss, {"mean": mean, "sum": squares.sum(), "none": squares}[reduction], roundings=3)
