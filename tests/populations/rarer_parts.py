"""Rarer parts of networks, as functions of one matrix like those of ``parts``: attention of several heads with masks,
convolutions of what lies oddly, channels that lie last, recurrent layers of several levels, tables of words.
"""

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from populations.initialisers import RELEASE
from populations.parts import images, last, pairs, recurrent, shares


def heads(x):
    """A sample of two heads, four places and three numbers each, or two samples of one head."""
    return torch.stack([x, x.flip(0)])[None]


def shown(x, *shape):
    """A mask of truth of this shape, in which each row shows something: in a sample no two the same."""
    mask = torch.ones(2, 2, 4, 4, device=x.device).tril()
    mask[:, 1, :, :1], mask[1, :, :, 1:2] = 0, 1
    mask[..., -1] = torch.tensor([1.0, 0, 0, 1])
    return mask[tuple(slice(size) for size in shape)] > 0


MASKS = {
    "shared by all heads": (1, 1, 4, 4),
    "of each head": (1, 2, 4, 4),
    "shared by all places": (1, 1, 1, 4),
    "of each head, shared by all places": (1, 2, 1, 4),
}


def attending(x, batch_first=False, options=(), **given):
    """All that attention of two heads makes of the columns of ``x``, by weights that are constants."""
    layer = nn.MultiheadAttention(4, 2, batch_first=batch_first, **dict(options)).to(x).requires_grad_(False)
    numbers = {name: shares(each) - 0.5 for name, each in layer.named_parameters()}
    one = x.t()[None] if batch_first else x.t()[:, None]
    results = functional_call(layer, numbers, (one, one.sin(), one.cos()), given)
    return torch.cat([each.flatten() for each in results if each is not None])


def of_places(x, causal=False):
    """Which of three places each of them hears of; no place hears of nothing."""
    mask = torch.ones(3, 3, device=x.device).tril() if causal else torch.tensor([[1.0, 0, 1], [1, 1, 0], [0, 0, 1]])
    return mask.to(x.device) == 0  # True is left out


def transforming(x, kind, *rest, **options):
    """What a layer of a transformer makes of the columns of ``x``, by weights that are constants."""
    given = {"dim_feedforward": 5, "dropout": 0.0, "norm_first": options.pop("norm_first", False)}
    layer = getattr(nn, f"Transformer{kind}Layer")(4, 2, **given).to(x).requires_grad_(False)
    numbers = {name: shares(each) - 0.4 for name, each in layer.named_parameters()}
    return functional_call(layer, numbers, (x.t()[:, None], *(each.t()[:, None] for each in rest)), options)


def words(x):
    """Numbers of words, of which some come more often than others."""
    return torch.tensor([1, 0, 1, 3, 1, 3], device=x.device)


def means(x):
    """The means of 1,200 numbers, whose sums are more than half precision has."""
    many = (x + 60).repeat(1, 400).reshape(1, 4, 3, 10, 40)
    return [F.adaptive_avg_pool3d(many, 1)[0, :, 0], F.adaptive_avg_pool2d(many.flatten(2, 3), 1)[0], many.mean((3, 4))]


def begins(x, *places):
    return torch.tensor(places, device=x.device)


RARER_PARTS = {
    **{
        f"attention to what a mask shows, {how}": lambda x, shape=shape: F.scaled_dot_product_attention(
            heads(x), heads(x).sin(), 3 * heads(x), shown(x, *shape)
        )
        for how, shape in MASKS.items()
    },
    **{
        f"attention by a bias, {how}": lambda x, shape=shape: F.scaled_dot_product_attention(
            heads(x), heads(x).sin(), 3 * heads(x), shown(x, *shape).to(x) * x[1, 1]
        )
        for how, shape in MASKS.items()
    },
    "attention of samples, each with a mask": lambda x: F.scaled_dot_product_attention(
        heads(x).movedim(1, 0), heads(x).movedim(1, 0).sin(), heads(x).movedim(1, 0), shown(x, 2, 1, 4, 4)
    ),
    "attention to narrower values": lambda x: F.scaled_dot_product_attention(
        heads(x), heads(x).sin(), heads(x)[..., :2]
    ),
    "attention to wider values": lambda x: F.scaled_dot_product_attention(
        heads(x)[..., :2], heads(x)[..., 1:], heads(x)
    ),
    "attention of fewer places": lambda x: F.scaled_dot_product_attention(
        heads(x)[:, :, 1:3], heads(x).sin(), heads(x)
    ),
    "attention to fewer places": lambda x: F.scaled_dot_product_attention(
        heads(x), heads(x)[:, :, :3].sin(), heads(x)[:, :, 1:]
    ),
    "attention of many places to few": lambda x: F.scaled_dot_product_attention(
        heads(x).repeat(1, 1, 300, 1), heads(x).sin(), heads(x)
    )[:, :, ::109],
    "attention of places that lie before heads": lambda x: F.scaled_dot_product_attention(
        *(each.reshape(1, 4, 2, 3).transpose(1, 2) for each in (heads(x), heads(x).sin(), heads(x).cos()))
    ),
    # a layer of several heads
    "heads": lambda x: attending(x),
    "heads without their shares": lambda x: attending(x, need_weights=False),
    "heads and the shares of each": lambda x: attending(x, True, average_attn_weights=False),
    "heads by a mask of truth": lambda x: attending(x, attn_mask=of_places(x)),
    "heads by a mask of truth, without their shares": lambda x: attending(
        x, True, attn_mask=of_places(x), need_weights=False
    ),
    "heads by a mask of numbers": lambda x: attending(x, attn_mask=of_places(x).to(x) * -2),
    "heads by a mask for each": lambda x: attending(
        x, attn_mask=torch.stack([of_places(x), of_places(x, True)]), need_weights=False
    ),
    "heads of what was before": lambda x: attending(
        x, attn_mask=of_places(x, True), is_causal=True, need_weights=False
    ),
    "heads that leave a place out": lambda x: attending(x, key_padding_mask=of_places(x)[1:2]),
    "heads that leave a place out, without their shares": lambda x: attending(
        x, True, key_padding_mask=of_places(x)[:1], need_weights=False
    ),
    "heads by two masks": lambda x: attending(
        x, key_padding_mask=of_places(x)[1:2], attn_mask=of_places(x, True), need_weights=False
    ),
    "heads beside a learnt place": lambda x: attending(x, options={"add_bias_kv": True, "add_zero_attn": True}),
    "heads without biases": lambda x: attending(x, options={"bias": False}),
    # a transformer
    "an encoder by a mask": lambda x: transforming(x, "Encoder", src_mask=of_places(x)),
    "an encoder that normalises first": lambda x: transforming(x, "Encoder", norm_first=True),
    "a decoder": lambda x: transforming(x, "Decoder", x.sin()),
    "a decoder of what was before": lambda x: transforming(x, "Decoder", x.sin(), tgt_mask=of_places(x, True)),
    "a decoder that leaves out of its memory": lambda x: transforming(
        x, "Decoder", x.sin(), tgt_mask=of_places(x), memory_mask=of_places(x, True), norm_first=True
    ),
    # losses of several heads
    "numbers in a stack": lambda x: torch.stack([(row - at).square().mean() for at, row in enumerate(x)]),
    "numbers in a row": lambda x: torch.cat([(row.sin() * at).sum()[None] for at, row in enumerate(x, 1)]),
    # convolutions of what lies oddly
    "conv1d of each channel of a single step": lambda x: F.conv1d(
        x[:2, None].transpose(1, 2), x[1:, :2, None].transpose(1, 2), x[0], padding=1, groups=3
    ),
    "conv2d of each channel of a single pixel": lambda x: F.conv2d(
        x[:2, None, None].permute(0, 3, 1, 2), x[1:, :2, None, None].movedim(1, -1), x[0], padding=1, groups=3
    ),
    **{
        f"conv{n}d by one number repeated": lambda x, n=n: getattr(F, f"conv{n}d")(
            images(x, n), x[:2, :1].reshape(2, 1, *[1] * n).expand(2, 4, 2, *[1] * (n - 1)), x[0, :1].expand(2)
        )
        for n in (1, 2, 3)
    },
    **{
        f"conv_transpose{n}d by one number repeated": lambda x, n=n: getattr(F, f"conv_transpose{n}d")(
            images(x, n), x[:, :1].reshape(4, 1, *[1] * n).expand(4, 2, 2, *[1] * (n - 1)), x[0, :1].expand(2), stride=2
        )
        for n in (1, 2, 3)
    },
    "linear by one number repeated": lambda x: F.linear(x, x[:2, :1].expand(2, 3), x[0, :1].expand(2)),
    **{
        f"conv{n}d of one number repeated": lambda x, n=n: getattr(F, f"conv{n}d")(
            x[:, :1].reshape(1, 4, 1, *[1] * (n - 1)).expand(1, 4, 3, *[1] * (n - 1)),
            x[:2, :2].reshape(1, 4, 1, *[1] * (n - 1)).expand(1, 4, 2, *[1] * (n - 1)),
        )
        for n in (1, 2, 3)
    },
    **{
        f"conv_transpose{n}d in strides with holes": lambda x, n=n: getattr(F, f"conv_transpose{n}d")(
            images(x, n), x[:, :2].reshape(4, 1, 2, *[1] * (n - 1)), x[0, :1], stride=2, padding=0, dilation=3
        )
        for n in (1, 2, 3)
    },
    "convolutions of equal sizes, without holes and with": lambda x: torch.cat(
        [
            getattr(F, f"conv{n}d")(images(x, n), pairs(x, n, 2), stride=2, dilation=holes, groups=2).flatten()
            for n in (1, 2, 3)
            for holes in (1, 2)
        ]
    ),
    "means of more than a thousand": lambda x: torch.cat([each.flatten() for each in means(x)]),
    # channels that lie last
    "group_norm, channels last": lambda x: F.group_norm(last(x, 1, 4, 1, 3), 2, x[:, 0], x[:, 1]),
    "group_norm of volumes, channels last": lambda x: F.group_norm(last(x, 1, 4, 1, 1, 3), 2, x[:, 0], x[:, 1]),
    "group_norm of samples, channels last": lambda x: F.group_norm(last(x, 3, 2, 1, 2), 1, x[0, :2], x[1, :2]),
    "batch_norm of volumes, channels last": lambda x: F.batch_norm(
        last(x, 2, 2, 1, 1, 3), None, None, x[0, :2], x[1, :2], True
    ),
    "batch_norm in evaluation, channels last": lambda x: F.batch_norm(
        last(x, 2, 2, 1, 3), x.new_ones(2), x.new_full((2,), 2.0), x[0, :2], x[1, :2]
    ),
    "instance_norm of volumes, channels last": lambda x: F.instance_norm(last(x, 1, 2, 1, 2, 3)),
    "conv3d, channels last": lambda x: F.conv3d(last(x, 1, 2, 1, 3, 2), last(x, 2, 2, 1, 3, 1), x[0, :2], padding=1),
    "conv_transpose3d, channels last": lambda x: F.conv_transpose3d(
        last(x, 1, 2, 1, 2, 3), last(x, 2, 2, 1, 1, 3), x[0, :2], stride=2
    ),
    "conv2d of each channel, channels last": lambda x: F.conv2d(
        last(x, 1, 4, 1, 3), last(x[:, :2], 4, 1, 1, 2), x[:, 2], groups=4
    ),
    "prelu, channels last": lambda x: F.prelu(last(x, 1, 2, 2, 3), x[0, :2]),
    "softmax over channels that lie last": lambda x: F.softmax(last(x, 1, 4, 1, 3), 1),
    "log_softmax over channels that lie last": lambda x: F.log_softmax(last(x, 1, 4, 1, 3), 1),
    "local_response_norm, channels last": lambda x: F.local_response_norm(last(x, 1, 4, 1, 3), 3),
    "interpolate of volumes, channels last": lambda x: F.interpolate(
        last(x, 1, 2, 1, 2, 3), (2, 3, 4), mode="trilinear"
    ),
    "a tall image, twice as large": lambda x: F.interpolate(x[None, None], scale_factor=2, mode="bilinear"),
    "a wide image, twice as large": lambda x: F.interpolate(x.t()[None, None], scale_factor=2, mode="bilinear"),
    "adaptive_avg_pool3d, channels last": lambda x: F.adaptive_avg_pool3d(last(x, 1, 2, 1, 2, 3), (1, 2, 2)),
    "volumes to a point, whose channels are last then": lambda x: (
        F.interpolate(x.reshape(1, 2, 1, 2, 3), (1, 1, 1), mode="trilinear")
        + F.adaptive_avg_pool3d(x.reshape(1, 2, 1, 2, 3), 1)
    ).movedim(1, -1),
    "a bias of channels that lie last": lambda x: last(x, 1, 4, 1, 3) * x[:, 0].view(4, 1, 1) + x[:, 1].view(4, 1, 1),
    "cross_entropy of images, channels last": lambda x: F.cross_entropy(
        last(x, 1, 4, 1, 3), torch.tensor([[[0, 3, 1]]], device=x.device), shares(x[:, 0]), reduction="sum"
    ),
    # tables of words
    "bags that begin at places": lambda x: F.embedding_bag(words(x), x, begins(x, 0, 2, 3), mode="sum"),
    "bags with the last place": lambda x: F.embedding_bag(
        words(x), x, begins(x, 0, 2, 6), mode="mean", include_last_offset=True
    ),
    "an empty bag": lambda x: F.embedding_bag(words(x), x, begins(x, 0, 2, 2, 3), mode="mean"),
    "the largest of a bag": lambda x: F.embedding_bag(words(x).view(2, 3), x, mode="max"),
    "weighted bags": lambda x: F.embedding_bag(
        words(x), x, begins(x, 0, 4), mode="sum", per_sample_weights=x[:2].flatten()
    ),
}
# What is derived once alone, or of which the gradient is another than the slope.
RARER_ONCE = {
    **{
        f"{kind} of {levels} layers in {ways}": lambda x, kind=kind, ways=ways, levels=levels: stacked(
            x, kind, ways, levels
        )
        for kind in ("RNN", "LSTM", "GRU")
        for levels, ways in ((3, 1), (2, 2))
    },
    "LSTM that projects": lambda x: stacked(x, "LSTM", 1, 2, proj_size=1),
    **{
        f"the last state of {kind}": lambda x, kind=kind: recurrent(x, kind, 2, False)[-4:]
        for kind in ("RNN", "LSTM", "GRU")
    },
    "embedding divided by how often a word comes": lambda x: F.embedding(words(x), x, scale_grad_by_freq=True),
    **{
        f"bags divided by how often a word comes, {mode}": lambda x, mode=mode: F.embedding_bag(
            words(x), x, begins(x, 0, 2), mode=mode, scale_grad_by_freq=True
        )
        for mode in ("sum", "mean")
    },
    "bags with padding": lambda x: F.embedding_bag(words(x), x, begins(x, 0, 2), mode="mean", padding_idx=1),
}


def stacked(x, kind, ways, levels, **options):
    """The outputs and the last states of a recurrent layer of several levels, by some of ``x``."""
    layer = getattr(nn, kind)(3, 2, levels, bidirectional=ways == 2, **options).to(x).requires_grad_(False)
    numbers = {
        name: (shares(each) - 0.5) * x[turn % 4, turn % 3] for turn, (name, each) in enumerate(layer.named_parameters())
    }
    output, state = functional_call(layer, numbers, (x[:, None],))
    return torch.cat([each.flatten() for each in (output, *(state if isinstance(state, tuple) else [state]))])


def single(x):
    """``x``, but in single precision where it is of half."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


# Halves that are normalised by singles.
MIXED = {
    "batch_norm by singles": lambda x: F.batch_norm(x, None, None, single(x[0]), single(x[1]), True),
    "batch_norm of images by singles": lambda x: F.batch_norm(
        x.reshape(2, 2, 1, 3), None, None, single(x[0, :2]), single(x[1, :2]), True
    ),
    "batch_norm in evaluation by singles": lambda x: F.batch_norm(
        x, single(x.new_ones(3)), single(x.new_full((3,), 2.0)), single(x[0]), single(x[1])
    ),
}


# What passes a result on as it is, so that its gradient comes back in row order, with gaps, or by columns.
LYING = {
    "in row order": lambda y: y,
    "with gaps": lambda y: torch.stack([y, y.detach()], -1)[..., 0],
    "by columns": lambda y: y.transpose(0, -1).contiguous() if y.dim() > 1 else y,
}
# The release from which the CPU reads gradients by columns as they lie: before, it read beside them, or refused them.
BY_COLUMNS_SINCE = {
    **dict.fromkeys(("GELU", "GELU of a volume"), (2, 2)),
    **dict.fromkeys(("group_norm, channels last", "group_norm of volumes, channels last"), (2, 7)),
}


def lying(name: str) -> list:
    """What passes a result of this part on, in each way in which this torch takes its gradient back."""
    return [lie for how, lie in LYING.items() if how != "by columns" or BY_COLUMNS_SINCE.get(name, (2, 0)) <= RELEASE]
