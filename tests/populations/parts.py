"""What networks are made of, as functions of one matrix: layers, activations and losses, by modules and functions.

The matrix stands for input, weight and bias alike, so that the gradient of each of them counts. None of its elements is
next to a corner of a function. Apart stands what torch derives only once, or an old one, or a GPU.
"""

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from populations.themselves import OF_ITSELF

MATRIX = ((0.3, -0.8, 2.2), (-1.6, 0.7, -2.7), (0.1, 1.3, -0.4), (3.4, -0.2, 0.9))
ALONG = ((0.5, 1.0, -0.75), (-0.25, 0.625, 1.0), (0.875, -0.5, 0.375), (-1.0, 0.75, 0.25))  # a direction
ACTIVE = (
    *("CELU", "ELU", "GELU", "Hardshrink", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish", "PReLU", "ReLU"),
    *("ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink"),
)
FORMS = {"a row": lambda x: x.flatten(), "a number": lambda x: x[1, 0], "a volume": lambda x: x.reshape(1, 2, 2, 1, 3)}
LAST = dict.fromkeys(("Softmax", "LogSoftmax", "Softmin"), (-1,))  # the dimension along which these are taken
OF_TWO = ("mse_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss", "binary_cross_entropy_with_logits")


def shares(x):
    """Numbers between 0 and 1 in the shape of ``x``."""
    return torch.linspace(0.125, 0.875, x.numel()).view(x.shape).to(x)


def images(x, dimensions):
    """``x`` as an image of four channels, in so many dimensions."""
    return x[None].reshape(1, 4, 3, *[1] * (dimensions - 1))


def kernel(x, dimensions, ways=1):
    """Some of ``x`` as the weight of a convolution of four channels, in this many ways."""
    return x[:2, :2].reshape(1, 4, *[1] * dimensions) if ways == 1 else x[:, :1].reshape(4, 1, *[1] * dimensions)


def pairs(x, dimensions, outputs):
    """Some of ``x`` as the weight of a convolution, of two pixels in a column, from four channels or to four, or from
    two to two.
    """
    return x[:, :2].reshape(outputs, 4 // outputs, 2, *[1] * (dimensions - 1))


def last(x, *shape):
    """``x`` as an image, or a volume, of several channels whose channels lie last in memory."""
    order = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    return x.reshape(shape).contiguous(memory_format=order)


def masks(x):
    """The options of attention that say how much each of four places hears of the others."""
    low = torch.ones(4, 4, device=x.device).tril()
    return {
        "to all": {},
        "to what was before": {"is_causal": True},
        "to what a mask shows": {"attn_mask": low.flip(0) > 0},
        "by a bias": {"attn_mask": low.to(x) * x[:, :1]},
    }


def used_twice(x):
    """What a layer makes of what it makes of ``x``; weight and bias are some of ``x`` as well."""
    layer = nn.Linear(3, 3)
    del layer.weight, layer.bias
    layer.weight, layer.bias = x[:3], x[0]
    return layer(layer(x))


def recurrent(x, kind, ways, frozen, state=()):
    """All that a recurrent layer in one or two ways makes of ``x``, by weights that are constants or some of ``x``;
    with a ``state`` for each of two layers, where one is given.
    """
    layer = getattr(nn, kind)(3, 2, 1 + bool(state), bidirectional=ways == 2).to(x).requires_grad_(False)
    numbers = {name: shares(each) - 0.5 for name, each in layer.named_parameters()}
    if not frozen:
        numbers = {
            name: each * x.flatten()[: len(each), None][:, 0 if each.dim() < 2 else slice(None)]
            for name, each in numbers.items()
        }
    output, state = functional_call(layer, numbers, (x, *state))
    return torch.cat([each.flatten() for each in (output, *(state if isinstance(state, tuple) else [state]))])


PARTS = {
    **{name: lambda x, name=name: getattr(nn, name)(*LAST.get(name, ())).to(x)(x) for name in (*ACTIVE, *LAST)},
    **{
        f"{name} of {form}": lambda x, name=name, shown=shown: getattr(nn, name)(*LAST.get(name, ())).to(x)(shown(x))
        for name in (*ACTIVE, *LAST)
        for form, shown in FORMS.items()
    },
    "Softplus, flat, of a volume": lambda x: nn.Softplus(0.25)(FORMS["a volume"](x)),
    "GLU": lambda x: nn.GLU(0)(x),
    **{
        f"attention {how}": lambda x, how=how: F.scaled_dot_product_attention(
            x[None], x[None].sin(), 3 * x, **masks(x)[how]
        )
        for how in ("to all", "to what was before", "to what a mask shows", "by a bias")
    },
    **{
        f"embedding_bag {mode}": lambda x, mode=mode: F.embedding_bag(
            torch.tensor([[0, 1, 1], [3, 0, 3]], device=x.device), x, mode=mode
        )
        for mode in ("mean", "sum")
    },
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    # losses
    **{name: lambda x, name=name: getattr(F, name)(x, shares(x)) for name in OF_TWO},
    **{
        f"{name} of a row, {how}": lambda x, name=name, how=how: getattr(F, name)(x[1], shares(x)[1], reduction=how)
        for name in OF_TWO
        for how in ("sum", "none")
    },
    "l1_loss": lambda x: F.l1_loss(x, shares(x)) + F.l1_loss(x[0], x[1], reduction="sum"),
    "l1_loss at its target": lambda x: F.l1_loss(x, x.detach().clone()) + 0 * x.sum(),  # where it has no slope
    "hinge_embedding_loss": lambda x: F.hinge_embedding_loss(x, shares(x).round() * 2 - 1),
    "margin_ranking_loss": lambda x: F.margin_ranking_loss(x[0], x[1], x.new_ones(3), margin=0.5),
    "MSELoss of two": lambda x: nn.MSELoss(reduction="sum")(x[0], x[1]),
    "BCELoss": lambda x: nn.BCELoss()(x.sigmoid(), shares(x)),
    "KLDivLoss": lambda x: nn.KLDivLoss(reduction="batchmean")(x, shares(x)),
    "GaussianNLLLoss": lambda x: nn.GaussianNLLLoss()(x, shares(x), x * x + 1),
    "SoftMarginLoss": lambda x: nn.SoftMarginLoss()(x, shares(x).round() * 2 - 1),
    "MultiLabelSoftMarginLoss": lambda x: nn.MultiLabelSoftMarginLoss()(x, shares(x).round()),
    "CosineEmbeddingLoss": lambda x: nn.CosineEmbeddingLoss()(x[:2], x[2:], x.new_ones(2)),
    "TripletMarginLoss": lambda x: nn.TripletMarginLoss()(x[:1], x[1:2], x[2:3]),
    "CrossEntropyLoss": lambda x: nn.CrossEntropyLoss()(x, torch.tensor([0, 2, 1, 1]).to(x.device)),
    "CrossEntropyLoss, smoothed": lambda x: nn.CrossEntropyLoss(torch.tensor([1, 0.5, 2]).to(x), label_smoothing=0.25)(
        x, torch.tensor([0, 2, 1, 1]).to(x.device)
    ),
    "CrossEntropyLoss of shares": lambda x: nn.CrossEntropyLoss()(x, shares(x)),
    # layers
    "linear": lambda x: F.linear(x, x, x[:, 0]),
    "linear of no rows": lambda x: F.linear(x[:0], x, x[:, 0]),
    "linear of no features": lambda x: F.linear(x[:, :0], x[:3, :0], x[0]),
    "prelu": lambda x: F.prelu(x, x[0]),
    "rrelu in evaluation": lambda x: F.rrelu(x, 0.25, 0.5),
    "a layer used twice": used_twice,
    "two linear": lambda x: F.linear(F.linear(x, x[:2], x[:2, 0]).tanh(), x[:3, 1:]),
    "bilinear": lambda x: F.bilinear(x, x[:, :2], x[:2].reshape(1, 3, 2), x[0, :1]),
    **OF_ITSELF,
    "embedding": lambda x: F.embedding(torch.tensor([[1, 0, 1], [3, 1, 1]]).to(x.device), x),
    "embedding of one word": lambda x: F.embedding(torch.tensor(1).to(x.device), x),
    **{f"conv{n}d": lambda x, n=n: getattr(F, f"conv{n}d")(images(x, n), kernel(x, n), x[0, :1]) for n in (1, 2, 3)},
    **{
        f"conv{n}d with holes": lambda x, n=n: getattr(F, f"conv{n}d")(images(x, n), pairs(x, n, 1), dilation=2)
        for n in (1, 2, 3)
    },
    "conv2d with a rest": lambda x: F.conv2d(x.reshape(1, 1, 3, 4), x[1:].reshape(1, 1, 3, 3), None, 2, 1),
    **{
        f"conv{n}d of two groups": lambda x, n=n: getattr(F, f"conv{n}d")(
            images(x, n), pairs(x, n, 2), x[0, :2], stride=3, padding=(1, *[0] * (n - 1)), groups=2
        )
        for n in (1, 2, 3)
    },
    **{
        f"conv_transpose{n}d of two groups in strides": lambda x, n=n: getattr(F, f"conv_transpose{n}d")(
            images(x, n), pairs(x, n, 4), x[0, :2], stride=2, groups=2
        )
        for n in (1, 2, 3)
    },
    "conv2d of three by three in two groups": lambda x: F.conv2d(
        x.reshape(1, 2, 2, 3), torch.stack([x[:3], x[1:]])[:, None], x[0, :2], padding=1, groups=2
    ),
    **{
        f"conv{n}d of each channel by itself": lambda x, n=n: getattr(F, f"conv{n}d")(
            images(x, n), kernel(x, n, 4), x[:, 0], stride=2, padding=(1, *[0] * (n - 1)), groups=4
        )
        for n in (1, 2, 3)
    },
    **{
        f"conv_transpose{n}d": lambda x, n=n: getattr(F, f"conv_transpose{n}d")(images(x, n), kernel(x, n, 4), x[0, :1])
        for n in (1, 2, 3)
    },
    **{
        f"conv_transpose{n}d in strides": lambda x, n=n: getattr(F, f"conv_transpose{n}d")(
            images(x, n), kernel(x, n, 4), x[0, :1], stride=2
        )
        for n in (1, 2, 3)
    },
    "conv_transpose2d in oblong strides": lambda x: F.conv_transpose2d(
        x.reshape(1, 2, 2, 3), x.reshape(2, 1, 3, 2), x[0, :1], (3, 2), (1, 0), (1, 0), 1, (1, 2)
    ),
    **{
        f"conv_transpose{n}d with holes": lambda x, n=n: getattr(F, f"conv_transpose{n}d")(
            images(x, n), pairs(x, n, 4), dilation=2
        )
        for n in (1, 2, 3)
    },
    "batch_norm": lambda x: F.batch_norm(x, None, None, x[0], x[1], training=True),
    "batch_norm in evaluation": lambda x: F.batch_norm(x, x.new_ones(3), x.new_full((3,), 2.0), x[0], x[1]),
    "batch_norm without weights": lambda x: F.batch_norm(x, None, None, training=True),
    "batch_norm of images without weights": lambda x: F.batch_norm(x.reshape(2, 2, 1, 3), None, None, training=True),
    "layer_norm without weights": lambda x: F.layer_norm(x, (3,)),
    "group_norm without weights": lambda x: F.group_norm(x.reshape(2, 2, 1, 3), 1),
    "layer_norm": lambda x: F.layer_norm(x, (3,), x[0], x[1]),
    "group_norm": lambda x: F.group_norm(x[None], 2, x[:, 0], x[:, 1]),
    "instance_norm": lambda x: F.instance_norm(x[None]),
    "layer_norm of one feature": lambda x: F.layer_norm(x[..., None], (1,), x[0, :1], x[1, :1]),
    "local_response_norm": lambda x: F.local_response_norm(x[None], 3),
    "normalize": lambda x: F.normalize(x),
    "cosine_similarity": lambda x: F.cosine_similarity(x[:2], x[2:]),
    "pairwise_distance": lambda x: F.pairwise_distance(x[:2], x[2:]),
    **{
        f"{kind}_pool{n}d": lambda x, n=n, kind=kind: getattr(F, f"{kind}_pool{n}d")(
            x.reshape(1, 1, *[1] * (n - 1), 12), (*[1] * (n - 1), 2)
        )
        for kind in ("max", "avg")
        for n in (1, 2, 3)
    },
    **{  # in windows that overlap each other and the border
        f"{kind}_pool{n}d, overlapping": lambda x, n=n, kind=kind: getattr(F, f"{kind}_pool{n}d")(
            x.reshape(1, 1, *[1] * (n - 1), 12), (*[1] * (n - 1), 3), stride=1, padding=(*[0] * (n - 1), 1)
        )
        for kind in ("max", "avg")
        for n in (1, 2, 3)
    },
    # of images and volumes whose channels lie last, with a weight that lies likewise
    **{
        f"{kind}_pool{n}d, channels last": lambda x, n=n, kind=kind: getattr(F, f"{kind}_pool{n}d")(
            last(x, 1, 2, *[1] * (n - 2), 2, 3), (*[1] * (n - 2), 2, 2), 1, (*[0] * (n - 2), 1, 1)
        )
        for kind in ("max", "avg")
        for n in (2, 3)
    },
    "conv2d, channels last": lambda x: F.conv2d(last(x, 1, 2, 3, 2), last(x, 2, 2, 3, 1), x[0, :2], padding=1),
    "conv_transpose2d, channels last": lambda x: F.conv_transpose2d(last(x, 1, 2, 2, 3), last(x, 2, 2, 1, 3), x[0, :2]),
    "conv2d of a pixel, channels last": lambda x: F.conv2d(last(x[:1, :2], 1, 2, 1, 1), last(x, 2, 2, 3, 1), padding=1),
    "conv2d by a pixel, channels last": lambda x: F.conv2d(last(x, 1, 2, 2, 3), last(x[:2, :2], 2, 2, 1, 1)),
    "batch_norm, channels last": lambda x: F.batch_norm(last(x, 2, 2, 1, 3), None, None, x[0, :2], x[1, :2], True),
    "pad, channels last": lambda x: F.pad(last(x, 1, 2, 2, 3), (1, 2, 1, 0), mode="replicate"),
    "pixel_shuffle, channels last": lambda x: F.pixel_shuffle(last(x, 1, 4, 1, 3), 2),
    "adaptive_avg_pool2d, channels last": lambda x: F.adaptive_avg_pool2d(last(x, 1, 2, 2, 3), (2, 2)),
    "adaptive_max_pool2d, channels last": lambda x: F.adaptive_max_pool2d(last(x, 1, 2, 2, 3), (2, 2)),
    "adaptive_max_pool3d, channels last": lambda x: F.adaptive_max_pool3d(last(x, 1, 2, 1, 2, 3), (1, 2, 2)),
    **{
        f"interpolate, {how}, channels last": lambda x, how=how: F.interpolate(last(x, 1, 2, 2, 3), (5, 4), mode=how)
        for how in ("nearest", "bilinear", "bicubic", "area")
    },
    "pad by reflection, channels last": lambda x: F.pad(last(x, 1, 2, 2, 3), (1, 2, 1, 0), mode="reflect"),
    "unfold, channels last": lambda x: F.unfold(last(x, 1, 2, 2, 3), 2),
    "instance_norm, channels last": lambda x: F.instance_norm(last(x, 1, 2, 2, 3)),
    "linear by constants": lambda x: F.linear(x, shares(x[:2].detach())),
    "conv2d by constants": lambda x: F.conv2d(x[None, None], shares(x[None, None, :2, :2].detach())),
    "batch_norm by constants": lambda x: F.batch_norm(x, None, None, *shares(x[:2].detach()), training=True),
    "layer_norm by constants": lambda x: F.layer_norm(x, (3,), *shares(x[:2].detach())),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x[None], 2),
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x[None], 2),
    **{f"interpolate, {how}": lambda x, how=how: F.interpolate(x[None], 5, mode=how) for how in ("nearest", "linear")},
    **{
        f"pad, {how}": lambda x, how=how: F.pad(x[None], (1, 2), mode=how)
        for how in ("reflect", "replicate", "circular")
    },
    **{
        f"interpolate, {how}": lambda x, how=how: F.interpolate(x[None, None], (5, 4), mode=how)
        for how in ("bilinear", "bicubic", "area")
    },
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x[None], (2, 2)),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x[None], (2, 2)),
    "fold": lambda x: F.fold(x.reshape(1, 4, 3), (2, 4), 2),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.reshape(1, 4, 1, 3), 2),
    "unfold": lambda x: F.unfold(x[None, None], 2),
    **{  # in windows of several sizes
        f"adaptive_{kind}_pool{n}d of a row": lambda x, n=n, kind=kind: getattr(F, f"adaptive_{kind}_pool{n}d")(
            x.reshape(1, 1, *[1] * (n - 1), 12), (*[1] * (n - 1), 5)
        )
        for kind in ("max", "avg")
        for n in (1, 2, 3)
    },
    "falling below zero": lambda x: nn.ELU(-1.3)(x) + nn.CELU(-0.7)(x) + nn.LeakyReLU(-0.3)(x) + F.prelu(x, -x[0]),
    "with other corners": lambda x: (
        nn.LeakyReLU(1.7)(x) + nn.Hardtanh(-2, 0.5)(x) + nn.Softplus(3, 1)(x) + nn.Threshold(0.25, -3)(x)
    ),
}
DERIVED_ONCE = {
    "Hardsigmoid": lambda x: nn.Hardsigmoid()(x),
    "ctc_loss": lambda x: F.ctc_loss(
        x[:, None].log_softmax(-1), torch.tensor([[2, 1]], device=x.device), torch.tensor([4]), torch.tensor([2])
    ),
    "grid_sample, channels last": lambda x: F.grid_sample(
        last(x, 1, 2, 2, 3), x[:2, :2].sin()[None, None], align_corners=False
    ),
    **{
        f"{how} {kind} of {ways}": lambda x, kind=kind, ways=ways, how=how: recurrent(x, kind, ways, how == "frozen")
        for kind in ("RNN", "LSTM", "GRU")
        for ways, how in ((2, "learnt"), (1, "frozen"))
    },
    **{
        f"{kind} of two layers with a state": lambda x, kind=kind: recurrent(
            x, kind, 1, False, [(x[:2, :2], x[2:, :2]) if kind == "LSTM" else x[:2, :2]]
        )
        for kind in ("RNN", "LSTM", "GRU")
    },
}

# The CPU has no such kernels in half precision, or not in an old release; and one feature is normalised by 316 times
# differences that cancel.
NO_HALF = ("avg_pool3d", "ctc_loss", "smooth_l1_loss", "layer_norm of one feature")
IN_HALF = {name: part for name, part in (PARTS | DERIVED_ONCE).items() if not name.startswith(NO_HALF)}
