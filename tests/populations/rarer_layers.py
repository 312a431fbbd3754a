"""Layers that fewer networks have, and beside each what it is; and losses that hand their options on."""

import torch
from torch import nn
from torch.nn import functional as F

from populations.counterparts import IMAGES, Counterpart, Shown, weights
from populations.initialisers import RELEASE
from populations.losses import WITH_OPTIONS
from populations.parametrised import PARAMETRISED


def cell(m, mode: str, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The next states of a recurrent cell of three numbers: of the input's and the state's parts, gate by gate."""
    of_x, of_h = F.linear(x, m.weight_ih, m.bias_ih), F.linear(h, m.weight_hh, m.bias_hh)
    if mode.startswith("RNN"):
        return torch.tanh(of_x + of_h), c
    if mode.startswith("GRU"):
        reset, update = ((of_x + of_h).sigmoid().split(3, 1))[:2]
        new = torch.tanh(of_x.split(3, 1)[2] + reset * of_h.split(3, 1)[2])
        return update * h + (1 - update) * new, c
    take, keep, new, show = (of_x + of_h).split(3, 1)
    c = keep.sigmoid() * c + take.sigmoid() * new.tanh()
    return show.sigmoid() * torch.tanh(c), c


def states(x: torch.Tensor) -> tuple:
    """A state of three numbers, and another, for each row."""
    first = (torch.arange(3 * len(x), device="cpu") % 7 / 8 - 0.375).view(-1, 3).to(x)
    return first, first.flip(1)


def bags(x: torch.Tensor) -> torch.Tensor:
    """Three of four words for each row."""
    return (torch.arange(3 * len(x), device="cpu") % 4).view(-1, 3).to(x.device)


def distinct() -> torch.Tensor:
    """Four words of five numbers, no two of which are alike in any dtype, lest several be the largest of a bag."""
    return (torch.arange(20.0, device="cpu") * 7 % 20 / 8 - 1).view(4, 5)


def of_windows(x: torch.Tensor, n: int) -> list[torch.Tensor]:
    """The elements at each place of windows of two, in each of the last ``n`` dimensions, that do not overlap."""
    for dim in range(-n, 0):
        x = x.narrow(dim, 0, x.shape[dim] // 2 * 2).unflatten(dim, (-1, 2)).movedim(dim, 0)
    return [*x.flatten(0, n - 1)]


def beside(x: torch.Tensor) -> torch.Tensor:
    """What the squares in the channels before and after add up to."""
    wide = F.pad(x * x, (0, 0, 0, 0, 1, 1))
    return wide[:, :-2] + wide[:, 2:]


def padded(layer: str, mode: str, *more) -> dict[str, Counterpart]:
    """Padding layers in one to three dimensions, by other widths at each end."""
    return {
        f"{layer}{n}d": Counterpart(
            lambda n=n: getattr(nn, f"{layer}{n}d")((1, 2, 0, 1, 2, 1)[: 2 * n], *more),
            lambda m, x, n=n: F.pad(x, (1, 2, 0, 1, 2, 1)[: 2 * n], mode, *more),
            IMAGES[: n + 1],
        )
        for n in (1, 2, 3)
    }


RARER = {
    **padded("ConstantPad", "constant", 2.5),
    **padded("ZeroPad", "constant"),
    **padded("ReflectionPad", "reflect"),
    **padded("ReplicationPad", "replicate"),
    **padded("CircularPad", "circular"),
    **{
        f"LPPool{n}d": Counterpart(  # of nothing but zeros it has no slope
            lambda n=n: Shown(getattr(nn, f"LPPool{n}d")(2, 2), lambda m, x: m(x * x + 1)),
            lambda m, x, n=n: sum(part**2 for part in of_windows(x * x + 1, n)).sqrt(),
            IMAGES[: n + 1],
        )
        for n in (1, 2)
    },
    "ChannelShuffle": Counterpart(lambda: nn.ChannelShuffle(2), lambda m, x: x[:, [0, 2, 1, 3]], IMAGES[:3]),
    "PixelUnshuffle": Counterpart(
        lambda: nn.PixelUnshuffle(2),
        lambda m, x: torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 2).flatten(1, 2),
        (4, 6, 4),
    ),
    "LocalResponseNorm": Counterpart(
        lambda: nn.LocalResponseNorm(3, 0.5, 0.75, 2.0),
        lambda m, x: x / (2 + 0.5 * (x * x + beside(x)) / 3) ** 0.75,
        IMAGES[:3],
    ),
    "UpsamplingBilinear2d": Counterpart(
        lambda: nn.UpsamplingBilinear2d(scale_factor=2),
        lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        IMAGES[:3],
    ),
    "UpsamplingNearest2d": Counterpart(
        lambda: nn.UpsamplingNearest2d((7, 9)), lambda m, x: F.interpolate(x, (7, 9)), IMAGES[:3]
    ),
    **{
        name: Counterpart(
            lambda name=name, given=given: getattr(nn, name)(**given),
            of,
            (3, 5),
            lambda x: (x.detach().cos(),),
            roundings=64,  # roots and powers may be off by some
        )
        for name, given, of in (
            (
                *("CosineSimilarity", {"dim": 2}),
                lambda m, x, y: (x * y).sum(2) / ((x * x).sum(2) * (y * y).sum(2)).sqrt(),
            ),
            (
                *("PairwiseDistance", {"p": 3.0, "keepdim": True}),
                lambda m, x, y: ((x - y + 1e-6).abs() ** 3).sum(2, keepdim=True) ** (1 / 3),
            ),
        )
    },
    **{
        name: Counterpart(
            lambda name=name: Shown(
                getattr(nn, name)(5, 3),
                lambda m, x, h, c: m(x, (h, c))[0] if isinstance(m, nn.LSTMCell) else m(x, h),
            ),
            lambda m, x, h, c, name=name: cell(m.module, name, x, h, c)[0],
            (5,),
            states,
            True,
            roundings=32,  # of gates, each of a dozen terms
        )
        for name in ("RNNCell", "GRUCell", "LSTMCell")
    },
    **{
        f"EmbeddingBag, {mode}": Counterpart(
            lambda mode=mode: Shown(
                nn.EmbeddingBag.from_pretrained(distinct(), False, mode=mode), lambda m, x: x + m(bags(x))
            ),
            lambda m, x, mode=mode: x + getattr(m.module.weight[bags(x)], f"a{mode}" if mode == "max" else mode)(1),
            (5,),
            fixed=True,
        )
        for mode in ("sum", "mean", "max")
    },
    "EmbeddingBag, weighted": Counterpart(
        lambda: Shown(
            nn.EmbeddingBag(4, 5, mode="sum"), lambda m, x: x + m(bags(x), per_sample_weights=x[:, :3].contiguous())
        ),
        lambda m, x: x + (m.module.weight[bags(x)] * x[:, :3, None]).sum(1),
        (5,),
        fixed=True,
    ),
    # of one weight
    "Linear of one": Counterpart(lambda: nn.Linear(1, 1), lambda m, x: x * m.weight + m.bias, (1,), fixed=True),
    "Conv1d of one": Counterpart(
        lambda: nn.Conv1d(1, 1, 1), lambda m, x: x * m.weight + m.bias[:, None], (1, 5), fixed=True
    ),
    "BatchNorm1d of one": Counterpart(
        lambda: nn.BatchNorm1d(1, track_running_stats=False),
        lambda m, x: F.batch_norm(x, None, None, *weights(m), True),
        (1, 5),
    ),
    "RMSNorm": Counterpart(
        lambda: nn.RMSNorm(7, 1e-3),
        lambda m, x: x * ((x * x).mean(-1, keepdim=True) + 1e-3).rsqrt() * m.weight,
        (3, 7),
        fixed=True,
        roundings=32,  # in half precision the formula rounds at each step
    ),
    **{
        f"{name}, with options": Counterpart(
            lambda name=name, options=options: Shown(
                getattr(nn, name)(**options), lambda m, x, *others: m(x.sigmoid(), *others)
            ),
            lambda m, x, *others, function=function, options=options: getattr(F, function)(
                x.sigmoid(), *others, **options
            ),
            (5,),
            targets,
            roundings=64,
        )
        for name, function, options, targets in WITH_OPTIONS
    },
    **PARAMETRISED,
}
LATE = ("ChannelShuffle", "EmbeddingBag, weighted")
# Those that this torch has, with a derivative.
RARER = {
    name: layer
    for name, layer in RARER.items()
    if hasattr(nn, name.split()[0].strip(",")) and (name not in LATE or RELEASE >= (2, 7))
}
