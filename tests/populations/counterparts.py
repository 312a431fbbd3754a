"""Layers and losses, and beside each the function that it is: of the same input, with its parameters and options."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from populations.initialisers import RELEASE
from populations.parts import ACTIVE, SHARES


@dataclass(frozen=True)
class Counterpart:
    """``make()`` is the module, ``function(module, x, *more(x))`` what ``module(x, *more(x))`` should give, within
    ``roundings`` of the largest number, as a device may add up in another order each time; ``sizes`` are those of an
    example in ``x``, the last of which may be any other unless it is ``fixed``.
    """

    make: Callable
    function: Callable
    sizes: tuple[int, ...]
    more: Callable = lambda x: ()
    fixed: bool = False
    roundings: int = 8

    def shape(self, batch: int, times: int) -> tuple[int, ...]:
        """Of ``x``: with so many examples, the last dimension so many times as long."""
        return (batch, *self.sizes[:-1], self.sizes[-1] * (1 if self.fixed else times))


IMAGES = (4, 6, 5, 4)  # four channels of up to three dimensions


def weights(m: nn.Module) -> tuple:
    return m.weight, m.bias


def of_images(layer: str, options: tuple, function: str, rest: Callable, **named) -> dict[str, Counterpart]:
    """For one, two and three dimensions: the layer of these options, and the function of x and ``rest(layer)``."""
    return {
        " ".join([f"{layer}{n}d", *named]): Counterpart(
            lambda n=n: getattr(nn, f"{layer}{n}d")(*options, **named),
            lambda m, x, n=n: getattr(F, function.format(n))(x, *rest(m)),
            IMAGES[: n + 1],
        )
        for n in (1, 2, 3)
    }


def circular(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(F.pad(x, (1, 1, 1, 1), "circular"), *weights(m))


SPELLED = {"LogSigmoid": "logsigmoid", "LeakyReLU": "leaky_relu", "LogSoftmax": "log_softmax"}
OF_PAIRS = {
    **{"MSELoss": "mse_loss", "L1Loss": "l1_loss", "SmoothL1Loss": "smooth_l1_loss", "HuberLoss": "huber_loss"},
    **{"BCEWithLogitsLoss": "binary_cross_entropy_with_logits", "PoissonNLLLoss": "poisson_nll_loss"},
    **{"SoftMarginLoss": "soft_margin_loss", "KLDivLoss": "kl_div"},
}
OF_LABELS = {"CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll_loss", "MultiMarginLoss": "multi_margin_loss"}


def bend(name: str, *given) -> Counterpart:
    """An activation of this class; its function is looked up whenever it is called, as a false one may stand there."""
    function = SPELLED.get(name, name.lower())
    return Counterpart(lambda: getattr(nn, name)(*given), lambda m, x: getattr(F, function)(x, *given), (3, 5))


def loss(name: str, function: str, reduction: str, target: Callable) -> Counterpart:
    return Counterpart(
        lambda: getattr(nn, name)(reduction=reduction),
        lambda m, x, y: getattr(F, function)(x, y, reduction=reduction),
        (5,),
        lambda x: (target(x.detach()),),
    )


def labels(x: torch.Tensor) -> torch.Tensor:
    return (torch.arange(len(x), device="cpu") % x.shape[1]).to(x.device)


COUNTERPARTS = {
    "Linear": Counterpart(lambda: nn.Linear(7, 5), lambda m, x: F.linear(x, *weights(m)), (3, 7), fixed=True),
    "Linear without bias": Counterpart(
        lambda: nn.Linear(7, 5, bias=False), lambda m, x: F.linear(x, m.weight), (2, 1, 2, 1, 7), fixed=True
    ),
    "Bilinear": Counterpart(
        lambda: nn.Bilinear(4, 4, 3),
        lambda m, x, y: F.bilinear(x, y, *weights(m)),
        (4,),
        lambda x: (x.detach().cos(),),
        True,
    ),
    **of_images("Conv", (4, 6, 3, 2, 1, 1, 2), "conv{}d", lambda m: (*weights(m), 2, 1, 1, 2)),
    **of_images("ConvTranspose", (4, 6, 3, 2, 1, 1, 2), "conv_transpose{}d", lambda m: (*weights(m), 2, 1, 1, 2)),
    **of_images("MaxPool", (2, 2, 1), "max_pool{}d", lambda m: (2, 2, 1)),
    **of_images("AvgPool", (2, 2, 1), "avg_pool{}d", lambda m: (2, 2, 1)),
    **of_images("AdaptiveAvgPool", (3,), "adaptive_avg_pool{}d", lambda m: (3,)),
    **of_images("AdaptiveMaxPool", (3,), "adaptive_max_pool{}d", lambda m: (3,)),
    **of_images(
        *("BatchNorm", (4,), "batch_norm", lambda m: (None, None, *weights(m), True)), track_running_stats=False
    ),
    **of_images("InstanceNorm", (4,), "instance_norm", lambda m: ()),
    **of_images("InstanceNorm", (4,), "instance_norm", lambda m: (None, None, *weights(m)), affine=True),
    "Conv2d, circular": Counterpart(
        lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), circular, IMAGES[:3]
    ),
    "GroupNorm": Counterpart(lambda: nn.GroupNorm(2, 4), lambda m, x: F.group_norm(x, 2, *weights(m)), IMAGES[:2]),
    "LayerNorm": Counterpart(
        lambda: nn.LayerNorm(7), lambda m, x: F.layer_norm(x, (7,), *weights(m)), (3, 7), fixed=True
    ),
    "PReLU": Counterpart(lambda: nn.PReLU(4), lambda m, x: F.prelu(x, m.weight), IMAGES[:2]),
    "PixelShuffle": Counterpart(lambda: nn.PixelShuffle(2), lambda m, x: F.pixel_shuffle(x, 2), IMAGES[:3]),
    "Upsample": Counterpart(
        lambda: nn.Upsample(scale_factor=2), lambda m, x: F.interpolate(x, scale_factor=2), IMAGES[:3]
    ),
    "GLU": Counterpart(lambda: nn.GLU(), lambda m, x: F.glu(x), (3, 4)),
    "Flatten": Counterpart(lambda: nn.Flatten(), lambda m, x: x.flatten(1), IMAGES),
    "Unflatten": Counterpart(lambda: nn.Unflatten(1, (2, 2)), lambda m, x: x.unflatten(1, (2, 2)), IMAGES[:2]),
    "Identity": Counterpart(lambda: nn.Identity(), lambda m, x: x[...], IMAGES[:2]),
    "Softmax2d": Counterpart(lambda: nn.Softmax2d(), lambda m, x: F.softmax(x, -3), IMAGES[:3]),
    **{name: bend(name) for name in ACTIVE if name != "PReLU"},
    **{name: bend(name, -1) for name in SHARES},
    **{
        f"{name} {reduction}": loss(name, function, reduction, target)
        for losses, target in ((OF_PAIRS, torch.cos), (OF_LABELS, labels))
        for name, function in losses.items()
        for reduction in ("none", "mean", "sum")
    },
}


def cell(m: nn.Module, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
    """The next state of a recurrent cell of three numbers: of the input's and the state's parts, gate by gate."""
    of_x, of_h = F.linear(x, m.weight_ih, m.bias_ih), F.linear(h, m.weight_hh, m.bias_hh)
    if isinstance(m, nn.RNNCell):
        return torch.tanh(of_x + of_h)
    if isinstance(m, nn.GRUCell):
        reset, update = ((of_x + of_h).sigmoid().split(3, 1))[:2]
        new = torch.tanh(of_x.split(3, 1)[2] + reset * of_h.split(3, 1)[2])
        return update * h + (1 - update) * new
    take, keep, new, show = (of_x + of_h).split(3, 1)
    return show.sigmoid() * torch.tanh(keep.sigmoid() * c + take.sigmoid() * new.tanh())


class Shown(nn.Module):
    """A module that hands out what ``of(module, *inputs)`` gives, with its parameters."""

    def __init__(self, module: nn.Module, of: Callable) -> None:
        super().__init__()
        self.module, self.of = module, of

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.of(self.module, *inputs)


def called(module: nn.Module, sizes: tuple[int, ...]) -> nn.Module:
    """The module after a call, in which it finds its width."""
    module(torch.zeros(1, *sizes))
    return module


def states(x: torch.Tensor) -> tuple:
    """A state of three numbers, and another, for each row."""
    first = (torch.arange(3 * len(x), device="cpu") % 7 / 8 - 0.375).view(-1, 3).to(x)
    return first, first.flip(1)


def encoded(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What a layer of an encoder is, whose norms come after, of attention in two heads of two numbers."""
    queries, keys, values = (
        part.unflatten(2, (2, 2)).transpose(1, 2)
        for part in F.linear(x, m.self_attn.in_proj_weight, m.self_attn.in_proj_bias).split(4, 2)
    )
    shares = (queries @ keys.transpose(2, 3) / 2**0.5).softmax(3)
    met = m.norm1(x + F.linear((shares @ values).transpose(1, 2).flatten(2), *weights(m.self_attn.out_proj)))
    return m.norm2(met + F.linear(F.relu(F.linear(met, *weights(m.linear1))), *weights(m.linear2)))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 5, 0.0, batch_first=True)
    for norm in (layer.norm1, layer.norm2):
        nn.init.uniform_(norm.weight, 0.5, 2)
    return layer


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


# Layers that fewer networks have.
RARER = {
    **padded("ConstantPad", "constant", 2.5),
    **padded("ZeroPad", "constant"),
    **padded("ReflectionPad", "reflect"),
    **padded("ReplicationPad", "replicate"),
    **padded("CircularPad", "circular"),
    **{
        f"LPPool{n}d": Counterpart(
            lambda n=n: getattr(nn, f"LPPool{n}d")(2, 2),
            lambda m, x, n=n: getattr(F, f"lp_pool{n}d")(x, 2, 2),
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
        lambda: nn.LocalResponseNorm(3, 0.5), lambda m, x: F.local_response_norm(x, 3, 0.5), IMAGES[:3]
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
            lambda m, x, y, call=call, given=given: getattr(F, call)(x, y, **given),
            (3, 5),
            lambda x: (x.detach().cos(),),
        )
        for name, call, given in (
            ("CosineSimilarity", "cosine_similarity", {"dim": 2}),
            ("PairwiseDistance", "pairwise_distance", {"p": 3.0, "keepdim": True}),
        )
    },
    **{
        f"{name} of an unknown width": Counterpart(
            lambda name=name, given=given, sizes=sizes: called(getattr(nn, f"Lazy{name}")(*given), sizes),
            lambda m, x, call=call: getattr(F, call)(x, *weights(m)),
            sizes,
            fixed=name == "Linear",
        )
        for name, given, call, sizes in (
            ("Linear", (5,), "linear", (3, 7)),
            ("Conv1d", (5, 3), "conv1d", IMAGES[:2]),
            ("Conv2d", (5, 3), "conv2d", IMAGES[:3]),
            ("ConvTranspose2d", (5, 3), "conv_transpose2d", IMAGES[:3]),
        )
    },
    **{
        name: Counterpart(
            lambda name=name: Shown(
                getattr(nn, name)(5, 3),
                lambda m, x, h, c: m(x, (h, c))[0] if isinstance(m, nn.LSTMCell) else m(x, h),
            ),
            lambda m, x, h, c: cell(m.module, x, h, c),
            (5,),
            states,
            True,
        )
        for name in ("RNNCell", "GRUCell", "LSTMCell")
    },
    "RMSNorm": Counterpart(
        lambda: nn.RMSNorm(7, 1e-3), lambda m, x: F.rms_norm(x, (7,), m.weight, 1e-3), (3, 7), fixed=True
    ),
    # of a dozen steps, two of which divide by a deviation
    "TransformerEncoderLayer": Counterpart(encoder, encoded, (3, 4), fixed=True, roundings=256),
}
# Those that torch has, and has a derivative of.
RARER = {
    name: layer
    for name, layer in RARER.items()
    if hasattr(nn, name.split()[0]) and (name != "ChannelShuffle" or RELEASE >= (2, 7))
}
# Of which the CPU has none in half precision, up to torch 2.15, or whose steps round in it.
NO_HALVES = [
    name
    for name in COUNTERPARTS | RARER
    if name.startswith(("AvgPool3d", "MultiMarginLoss", "Transformer", "LPPool", "Cosine", "Pairwise", "LocalR"))
    or name.endswith("Cell")
]
