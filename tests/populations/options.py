"""Functions of a matrix with each of their options, beside those of ``smooth`` and ``further``."""

import torch
from torch.nn import functional as F

from populations.further import flow, weighed
from populations.initialisers import RELEASE
from populations.operations import pattern
from populations.smooth import spots


def image(x):
    """Two channels: of four by five pixels, or of as many as a larger square has numbers."""
    if len(x) > 3:
        return x[:-1].reshape(2, len(x) // 2, -1)
    return x.flatten()[[0, 4, 2, 8, 5] * 8].view(2, 4, 5) * pattern(x.new_empty(2, 4, 5), 9)


def volume(x):
    return (image(x)[:, None] * pattern(x.new_empty(3, 1, 1), 3))[None]


def added_up(x, other):
    """All numbers of their product by each way there is to it: what comes back to it is one number, repeated."""
    ways = (x @ other, x.mm(other), torch.addmm(x, x, other), F.linear(x, other), x[None].bmm(other[None]))
    return sum(product.sum() for product in (*ways, torch.einsum("ij,jk->ik", x, other)))


def labels(x):
    """A class for each row: the first column, the third, the second, and again."""
    return torch.tensor([0, 2, 1] * (len(x) // 3), device=x.device)


def fixed(x):
    """Numbers from 1/8 to 7/8, whatever those of ``x`` are."""
    return pattern(x, 7) / 8


REDUCED = ("mean", "sum", "none")
ALONG = {
    **{
        f"{name}, {how}": lambda x, name=name, how=how: weighed(*getattr(torch, name)(x, 1, **how))
        for name in ("var_mean", "std_mean")
        for how in ({"unbiased": False}, {"unbiased": True, "keepdim": True}, {"correction": 0}, {"correction": 2})
        if RELEASE >= (2, 1) or how.get("correction") != 2
    },
    **{
        f"{name}, {how}": lambda x, name=name, how=how: getattr(x, name)(dim=0, **how)
        for name in ("std", "var")
        for how in ({"unbiased": False}, {"unbiased": True, "keepdim": True})
    },
    **{
        f"{name}, keepdim={keep}": lambda x, name=name, keep=keep: getattr(x, name)(dim=1, keepdim=keep) * x[:, 0]
        for name in ("sum", "mean", "amax", "amin", "logsumexp", "nansum", "prod")
        for keep in (False, True)
    },
    **{
        f"{name}, keepdim={keep}": lambda x, name=name, keep=keep: getattr(x, name)(1, keepdim=keep).values * x[:, 0]
        for name in ("max", "min", "median")
        for keep in (False, True)
    },
    **{
        f"sort, descending={down}, stable={stable}": lambda x, down=down, stable=stable: (
            x.sort(dim=1, descending=down, stable=stable)[0] if stable is not None else x.sort(1, down)[0] * x
        )
        for down in (False, True)
        for stable in (None, False, True)
    },
    "topk, smallest": lambda x: x.topk(2, dim=1, largest=False, sorted=True).values,
    "by argsort": lambda x: x.gather(0, x.argsort(dim=0, descending=True)) * x,
    "norm, keepdim": lambda x: x.norm(2, 1, keepdim=True) * x + torch.linalg.norm(x, 1, 0, keepdim=True),
    "vector_norm of both": lambda x: torch.linalg.vector_norm(x, 1.5, dim=(0, 1), keepdim=True) * x,
    "normalize": lambda x: F.normalize(x, p=1.0, dim=0) + F.normalize(x, p=3.0, dim=-1, eps=1e-3),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x.flip(1), dim=0, eps=1e-3),
    "pairwise_distance": lambda x: F.pairwise_distance(x, x.flip(1), p=1.5, eps=1e-3, keepdim=True),
    "softmax and others": lambda x: F.softmax(x, dim=0) + F.log_softmax(x, dim=-2) + F.softmin(x, dim=1),
    "softmax by a temperature": lambda x: torch.softmax(x / 0.5, -1) * x,
    "diagonals": lambda x: x.diagonal(offset=-1, dim1=1, dim2=0) * x[0, 0] + torch.diag_embed(x[0, :1], offset=1)[0],
    "flatten": lambda x: x[None, :, None].flatten(start_dim=1, end_dim=2) * x,
    "as_strided, with an offset": lambda x: x.as_strided((2, 2), (2, 1), storage_offset=2) ** 2,
    "cumsum by name": lambda x: torch.cumsum(x, dim=1) * torch.cumprod(x, dim=0),
    "repeat_interleave": lambda x: x.repeat_interleave(labels(x), dim=1, output_size=len(x)) ** 2,
    "repeat_interleave of all": lambda x: x.repeat_interleave(2) ** 2,
    "sub, alpha": lambda x: torch.sub(x, x.flip(0), alpha=0.5) * torch.rsub(x, x.flip(1), alpha=2),
    "add, alpha": lambda x: torch.add(x * x, x.t(), alpha=-1.5) + torch.add(1.5, x, alpha=2),
    "gather by name": lambda x: torch.gather(input=x, dim=1, index=spots(x)) ** 2,
}
OF_IMAGES = {
    **{
        f"conv{n}d, {padding}": lambda x, n=n, padding=padding: getattr(F, f"conv{n}d")(
            {1: image(x)[:, 0], 2: image(x), 3: volume(x)[0]}[n][None],
            x.flatten()[: 2**n * 2].view(1, 2, *[2] * n) if n < 3 else x.flatten().repeat(2)[:16].view(1, 2, 2, 2, 2),
            x[0, :1],
            padding=padding,
        )
        for n in (1, 2, 3)
        for padding in ("valid", "same", 1)
    },
    "conv2d, dilated and by strides": lambda x: F.conv2d(
        image(x)[None], x[:2, :2].reshape(2, 1, 1, 2), x[2, :2], stride=(2, 1), padding=(0, 1), dilation=2, groups=2
    ),
    # 16 by 17 taps over 21 by 27 pixels; / 64 keeps the sums of 272 products small
    "conv2d, a large kernel": lambda x: F.conv2d(
        x.repeat(7, 9)[None], torch.stack([x, x.t()]).repeat(1, 6, 6)[:, None, :16, :17] / 64, stride=(5, 10)
    ),
    **{
        f"conv{n}d by one tap": lambda x, n=n: getattr(F, f"conv{n}d")(
            {1: image(x)[:, 0], 2: image(x), 3: volume(x)[0]}[n][None] ** 2, x[:2, :2].reshape(2, 2, *[1] * n), x[2, :2]
        )
        for n in (1, 2, 3)
    },
    "conv_transpose2d": lambda x: F.conv_transpose2d(
        image(x)[None], x[:2, :2].reshape(2, 1, 2, 1), stride=2, padding=(1, 0), output_padding=(1, 0)
    ),
    **{
        f"max_pool{n}d, ceil_mode={up}": lambda x, n=n, up=up: getattr(F, f"max_pool{n}d")(
            {1: image(x)[:, 0], 2: image(x), 3: volume(x)[0]}[n][None] ** 2, kernel_size=2, ceil_mode=up
        )
        for n in (1, 2, 3)
        for up in (False, True)
    },
    **{
        f"avg_pool{n}d, ceil_mode={up}, padded={padded}": lambda x, n=n, up=up, padded=padded: getattr(
            F, f"avg_pool{n}d"
        )(
            {1: image(x)[:, :, 0], 2: image(x), 3: volume(x)[0]}[n][None] ** 2,
            *(3, 2, 1),
            ceil_mode=up,
            count_include_pad=padded,
        )
        for n in (1, 2, 3)
        for up in (False, True)
        for padded in (False, True)
    },
    "avg_pool, divided by a number": lambda x: F.avg_pool2d(image(x) ** 2, 2, divisor_override=3),
    "lp_pool2d": lambda x: F.lp_pool2d(image(x), 2, 2, ceil_mode=True),
    **{
        f"interpolate, {mode}, align_corners={corners}": lambda x, mode=mode, corners=corners: F.interpolate(
            volume(x)[:, :, 0] if mode[0] == "b" else volume(x) if mode[0] == "t" else image(x),
            size={"linear": 7, "trilinear": (2, 5, 3)}.get(mode, (7, 3)),
            mode=mode,
            align_corners=corners,
        )
        for mode in ("linear", "bilinear", "bicubic", "trilinear")
        for corners in (False, True)
    },
    "interpolate, rescaled": lambda x: F.interpolate(
        image(x)[None], scale_factor=1.7, mode="bilinear", recompute_scale_factor=True
    ),
    **{
        f"interpolate, {mode}, by fractions": lambda x, mode=mode, by=by: F.interpolate(
            volume(x) if len(by) == 3 else image(x)[None] if len(by) == 2 else image(x), scale_factor=by, mode=mode
        )
        for mode, by in (
            *(("linear", (1.7,)), ("trilinear", (1.4, 0.6, 1.7)), ("nearest", (1.7, 2.3))),
            *(("bilinear", (1.7, 0.7)), ("bicubic", (2.3, 1.7))),
        )
    },
    **{  # to half as many pixels either way
        f"interpolate, {mode}, by a half": lambda x, mode=mode: F.interpolate(
            image(x)[None], scale_factor=0.5, mode=mode
        )
        for mode in ("nearest", "nearest-exact", "area", "bilinear")
    },
    "interpolate, antialiased": lambda x: F.interpolate(image(x)[None], size=(2, 3), mode="bilinear", antialias=True),
    **{
        f"grid_sample, {mode}, {padding}": lambda x, mode=mode, padding=padding: F.grid_sample(
            (x * x)[None, None], flow(x), mode=mode, padding_mode=padding, align_corners=True
        )
        for mode in ("bilinear", "bicubic")
        for padding in ("border", "reflection")
    },
    "pixel_shuffle by name": lambda x: F.pixel_shuffle(image(x)[:, :2, :2].reshape(1, 8, 1, 1), upscale_factor=2),
}
OF_LOSSES = {
    **{
        f"nll_loss, {how}, weighed={weight}": lambda x, how=how, weight=weight: F.nll_loss(
            x.log_softmax(1), labels(x), fixed(x)[0] if weight else None, ignore_index=2, reduction=how
        )
        for how in REDUCED
        for weight in (False, True)
    },
    **{
        f"cross_entropy, {how}, label_smoothing={smooth}": lambda x, how=how, smooth=smooth: F.cross_entropy(
            x, labels(x) if smooth < 0.5 else F.normalize(fixed(x), p=1.0), label_smoothing=smooth, reduction=how
        )
        for how in REDUCED
        for smooth in (0.0, 0.1, 0.5)  # by 0.5, of probabilities
    },
    **{
        f"{name}, {how}": lambda x, name=name, how=how: getattr(F, name)(
            x.clamp(0.05, 0.95), x.t() * 0.97, reduction=how
        )
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss")
        for how in REDUCED
    },
    **{
        f"{name} of a column": lambda x, name=name: getattr(F, name)(
            (x * x).clamp(0.05, 0.95)[:, :1], fixed(x)[:, 1:2], reduction="none"
        )
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "soft_margin_loss")
    },
    **{
        f"{name} of single pixels": lambda x, name=name: getattr(F, name)(
            (x * x).clamp(0.05, 0.95)[:, :1, None], fixed(x)[:, 1:2, None], reduction="none"
        )
        for name in ("mse_loss", "smooth_l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
    },
    **{
        f"{name}, {how}": lambda x, name=name, how=how: getattr(F, name)(x, fixed(x), weight=fixed(x)[0], reduction=how)
        for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits", "multilabel_soft_margin_loss")
        for how in REDUCED
    },
    "with logits, pos_weight": lambda x: F.binary_cross_entropy_with_logits(x, fixed(x), pos_weight=pattern(x[0], 3)),
    "smooth_l1 and huber": lambda x: F.smooth_l1_loss(x, x.t() * 3, beta=0.37) + F.huber_loss(x, x.t() * 3, delta=0.37),
    "kl_div, log_target": lambda x: F.kl_div(x, x.flip(0), log_target=True, reduction="batchmean"),
    "poisson, full": lambda x: F.poisson_nll_loss(x, 3 * fixed(x), log_input=False, full=True, eps=1e-3),
    "gaussian, full": lambda x: F.gaussian_nll_loss(x, fixed(x), x[:, :1] * x[0, 0], full=True),
    **{
        f"of pairs, {how}": lambda x, how=how: (
            F.cosine_embedding_loss(x, x.flip(1), pattern(x[0], 2) * 2 - 3, 0.1, reduction=how)
            + F.margin_ranking_loss(x[0], x[1], pattern(x[0], 2) * 2 - 3, 0.7, reduction=how)
            + F.hinge_embedding_loss(x, pattern(x, 2) * 2 - 3, reduction=how).sum()
            + F.soft_margin_loss(x, pattern(x, 2) * 2 - 3, reduction=how).sum()
        )
        for how in REDUCED
    },
    **{
        f"triplets, {how}, swap={swap}": lambda x, how=how, swap=swap: F.triplet_margin_loss(
            x, x.flip(1), x.t(), margin=1.3, p=3, swap=swap, reduction=how
        )
        for how in REDUCED
        for swap in (False, True)
    },
    **{
        f"multi_margin_loss, {p}": lambda x, p=p: F.multi_margin_loss(
            x, labels(x), p=p, margin=0.37, weight=fixed(x)[1]
        )
        for p in (1, 2)
    },
    "multilabel_margin_loss": lambda x: F.multilabel_margin_loss(
        x, torch.tensor([[2, -1, 0], [1, 2, -1], [0, -1, -1]], device=x.device)
    ),
    **{
        f"ctc_loss, {how}": lambda x, how=how: F.ctc_loss(
            torch.stack([x, x.t(), x * x, x.flip(0)]).log_softmax(2),
            *(torch.tensor(each, device=x.device) for each in ([[1, 2], [2, 1], [1, 1]], [4, 3, 4], [2, 1, 2])),
            reduction=how,
            zero_infinity=True,
        )
        for how in REDUCED
    },
}
OF_NETWORKS = {
    "softplus": lambda x: F.softplus(x, beta=3, threshold=1.9),
    "shrunk by name": lambda x: F.hardshrink(x, lambd=0.35) + F.softshrink(x, lambd=0.37),
    "elu and others": lambda x: (
        F.elu(x - 0.45, alpha=0.3) + F.celu(x - 0.45, alpha=0.4) + F.gelu(x, approximate="tanh")
    ),
    "leaky by name": lambda x: F.leaky_relu(x - 0.45, negative_slope=0.2) + F.prelu(x - 0.6, weight=x[0]),
    "embedding without padding": lambda x: F.embedding(spots(x), x * x, padding_idx=None, max_norm=None),
    **{
        f"embedding_bag, {mode}": lambda x, mode=mode: F.embedding_bag(
            spots(x).flatten()[:7], x, torch.tensor([0, 2, 7], device=x.device), mode=mode, include_last_offset=True
        )
        for mode in ("sum", "mean", "max")
    },
    "embedding_bag, weighed": lambda x: F.embedding_bag(spots(x), x, mode="sum", per_sample_weights=x * x),
    "attention, causal": lambda x: F.scaled_dot_product_attention(x[None], x[None] ** 2, 3 * x[None], is_causal=True),
    "attention, masked": lambda x: F.scaled_dot_product_attention(
        x[None], x[None] ** 2, 3 * x[None], attn_mask=pattern(x, 2)[None] - 1.5, is_causal=False
    ),
    "bilinear, with a bias": lambda x: F.bilinear(x, x.flip(0), x.expand(2, -1, -1) ** 2, x[0, :2]),
    "sums of products": lambda x: x * added_up(x, x.t() / x.numel()),
    "linear of planes": lambda x: F.linear(x[None, None] ** 2, x[:2], x[2, :2]),
    "layer_norm, eps": lambda x: F.layer_norm(x, x.shape[1:], eps=0.1) + F.layer_norm(x, x.shape, x, x.t(), 0.01),
    "batch_norm, evaluated": lambda x: F.batch_norm(x, fixed(x)[0], fixed(x)[1], x[2], None, False, 0.3, 0.1),
}
# What the names begin with of functions that torch computes in single precision at least, or that need its digits.
IN_SINGLE = (
    *("avg_pool1d", "avg_pool3d", "interpolate, antialiased", "grid_sample, bicubic", "multi", "ctc_loss"),
    *("cosine_similarity", *(("smooth_l1",) if RELEASE < (2, 14) else ())),
)
OPTIONS = {
    f"{name}, with options": call for of in (ALONG, OF_IMAGES, OF_LOSSES, OF_NETWORKS) for name, call in of.items()
}
