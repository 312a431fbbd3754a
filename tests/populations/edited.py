"""Layers with options that can be edited after a call, and layers whose parameters can be replaced."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from populations.losses import labels, near

IMAGES, MATRIX = (2, 4, 7, 6), (4, 6)


@dataclass(frozen=True)
class Edited:
    """``make(*given, **first)`` is edited to what it is of the options ``then``; it takes x of ``shape``, of numbers
    from -4 to 4, and ``more(x)``.
    """

    make: type
    given: tuple
    first: dict
    then: dict
    shape: tuple[int, ...] = MATRIX
    more: Callable = field(default=lambda x: ())

    def __repr__(self) -> str:
        return f"<{self.make.__name__}: {', '.join(self.then)}>"


def signed(x):
    return labels(x + 2)


# Each option with a value before and another after, of which every one makes a difference.
EDITED = (
    *(Edited(make, (4,), {}, {"eps": 2.0}, IMAGES) for make in (nn.BatchNorm2d, nn.InstanceNorm2d)),
    *(Edited(nn.BatchNorm1d, (6,), {}, then) for then in ({"momentum": 0.75}, {"momentum": None}, {"eps": 2.0})),
    Edited(nn.LayerNorm, (6,), {}, {"eps": 2.0}),
    Edited(nn.GroupNorm, (2, 4), {}, {"eps": 2.0}, IMAGES),
    Edited(nn.GroupNorm, (), {"num_channels": 4, "num_groups": 2}, {"num_groups": 4}, IMAGES),
    *(Edited(nn.Conv2d, (4, 4, 2), {}, then, IMAGES) for then in ({"stride": 2}, {"padding": 1}, {"dilation": 2})),
    Edited(nn.Conv1d, (4, 4, 2), {"padding": 1}, {"padding": 0, "stride": 3}, IMAGES[:3]),
    Edited(nn.ConvTranspose2d, (4, 4, 2), {}, {"stride": 2, "padding": 1}, IMAGES),
    *(
        Edited(make, (), {"kernel_size": 2}, then, IMAGES)
        for make in (nn.MaxPool2d, nn.AvgPool2d)
        for then in ({"stride": 1}, {"padding": 1}, {"kernel_size": 3, "stride": 3}, {"stride": 5, "ceil_mode": True})
    ),
    Edited(nn.AdaptiveAvgPool2d, (), {"output_size": 2}, {"output_size": 3}, IMAGES),
    Edited(nn.Upsample, (), {"scale_factor": 2.0}, {"scale_factor": 3.0}, IMAGES),
    Edited(nn.LocalResponseNorm, (2,), {}, {"alpha": 0.5, "beta": 0.25, "k": 2.0}, IMAGES),
    Edited(nn.LeakyReLU, (), {}, {"negative_slope": 0.5}),
    Edited(nn.ELU, (), {}, {"alpha": 0.5}),
    Edited(nn.CELU, (), {}, {"alpha": 0.5}),
    Edited(nn.Softplus, (), {}, {"beta": 2.0}),
    Edited(nn.Softplus, (), {}, {"threshold": 1.0}),
    Edited(nn.Threshold, (), {"threshold": 0.5, "value": 3.0}, {"threshold": -0.5, "value": 7.0}),
    Edited(nn.Hardtanh, (), {}, {"min_val": -2.0, "max_val": 0.5}),
    Edited(nn.Softshrink, (), {}, {"lambd": 1.5}),
    Edited(nn.Hardshrink, (), {}, {"lambd": 1.5}),
    Edited(nn.GELU, (), {}, {"approximate": "tanh"}),
    Edited(nn.Softmax, (), {"dim": 0}, {"dim": 1}),
    Edited(nn.LogSoftmax, (), {"dim": 0}, {"dim": 1}),
    Edited(nn.GLU, (), {"dim": 0}, {"dim": 1}),
    Edited(nn.Flatten, (), {}, {"start_dim": 2}, IMAGES),
    Edited(nn.Dropout, (), {"p": 0.0}, {"p": 1.0}),
    Edited(nn.Dropout, (), {"p": 0.5}, {"p": 0.0}),
    # losses
    Edited(nn.HuberLoss, (), {}, {"delta": 0.25}, more=lambda x: (near(x),)),
    Edited(nn.SmoothL1Loss, (), {}, {"beta": 0.25}, more=lambda x: (near(x),)),
    Edited(nn.MSELoss, (), {}, {"reduction": "none"}, more=lambda x: (near(x),)),
    Edited(nn.PoissonNLLLoss, (), {}, {"full": True}, more=lambda x: (near(x) + 1,)),
    Edited(nn.GaussianNLLLoss, (), {}, {"full": True, "eps": 0.5}, more=lambda x: (near(x), near(x.cos()))),
    Edited(nn.KLDivLoss, (), {"reduction": "sum"}, {"log_target": True}, more=lambda x: (near(x),)),
    Edited(nn.MarginRankingLoss, (), {}, {"margin": 0.75}, more=lambda x: (near(x), signed(x))),
    Edited(nn.HingeEmbeddingLoss, (), {}, {"margin": 2.5}, more=lambda x: (signed(x),)),
    Edited(nn.CosineEmbeddingLoss, (), {}, {"margin": -0.75}, more=lambda x: (near(x), signed(x[:, 0]))),
    Edited(nn.TripletMarginLoss, (), {}, {"margin": 3.0, "p": 3.0}, more=lambda x: (near(x), near(x.cos()))),
)

# Layers with parameters, and what they take of a matrix of six columns, or of four rows of words.
HELD = {
    "Linear": (lambda: nn.Linear(6, 3), lambda x: (x,)),
    "Bilinear": (lambda: nn.Bilinear(6, 6, 3), lambda x: (x, x.cos())),
    "Conv1d": (lambda: nn.Conv1d(4, 3, 2), lambda x: (x[None],)),
    "Conv2d": (lambda: nn.Conv2d(4, 3, 2), lambda x: (x.reshape(1, 4, 3, 2),)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 3, 2), lambda x: (x.reshape(1, 4, 3, 2),)),
    "Embedding": (lambda: nn.Embedding(5, 3), lambda x: (torch.arange(4, device=x.device),)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(5, 3), lambda x: (torch.arange(4, device=x.device)[None],)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(6), lambda x: (x,)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), lambda x: (x.reshape(1, 4, 3, 2),)),
    "LayerNorm": (lambda: nn.LayerNorm(6), lambda x: (x,)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), lambda x: (x.reshape(1, 4, 3, 2),)),
    "PReLU": (lambda: nn.PReLU(6), lambda x: (x,)),
    **{
        f"{name} of {layers}": (lambda name=name, layers=layers: getattr(nn, name)(6, 3, layers), lambda x: (x,))
        for name in ("LSTM", "GRU", "RNN")
        for layers in (1, 2)
    },
    "LSTMCell": (lambda: nn.LSTMCell(6, 3), lambda x: (x,)),
}
# Ways to put another parameter in the place of one.
REPLACED = {
    "assigned": setattr,
    "registered": lambda layer, name, parameter: layer.register_parameter(name, parameter),
    "deleted and set anew": lambda layer, name, parameter: (delattr(layer, name), setattr(layer, name, parameter)),
}
