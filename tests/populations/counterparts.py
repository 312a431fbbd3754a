"""Layers and losses, and beside each the function that it is: of the same input, with its parameters and options."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from populations.parts import ACTIVE, LAST


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


class Shown(nn.Module):
    """A module that hands out what ``of(module, *inputs)`` gives, with its parameters."""

    def __init__(self, module: nn.Module, of: Callable) -> None:
        super().__init__()
        self.module, self.of = module, of

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.of(self.module, *inputs)


BIASED = (nn.Linear, nn.Bilinear, nn.LayerNorm, nn.modules.conv._ConvNd)


def without_biases(module: nn.Module) -> Iterator[nn.Module]:
    """A copy, without biases, of a layer or recurrent network of its own parameters, that can do without."""
    layer = module.module if isinstance(module, Shown) else module
    recurrent = isinstance(layer, nn.RNNBase)
    if recurrent or (isinstance(layer, BIASED) and layer._parameters.keys() == {"weight", "bias"}):
        copied = copy.deepcopy(module)
        layer = copied.module if isinstance(copied, Shown) else copied
        layer.bias = False if recurrent else None
        if recurrent:
            layer._flat_weights = [weight for weight in layer._flat_weights if weight.dim() > 1]
        yield copied


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
            roundings=32 if layer.endswith("Norm") else 8,  # a norm multiplies those of differences
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
    **{name: bend(name, -1) for name in LAST},
    **{
        f"{name} {reduction}": loss(name, function, reduction, target)
        for losses, target in ((OF_PAIRS, torch.cos), (OF_LABELS, labels))
        for name, function in losses.items()
        for reduction in ("none", "mean", "sum")
    },
}
