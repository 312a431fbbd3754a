"""Layers of every kind, and what each holds: names and shapes by hand, which are the oracle."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

ROW = (2, 4)  # what most layers take and give: two examples of four features
IMAGES = (2, 4, 3, 3)


class Own(nn.Module):
    """A module of one's own: parameters of several layouts, two of them with two names, buffers that came about in
    several ways, a plain tensor, and two Nones.

    ``forward`` runs its submodules in the order of their assignment, those in a list or dict one after another, then
    multiplies by ``scale`` and adds ``shift``.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(4, dtype=dtype))
        self.register_parameter("absent", None)
        self.gate = nn.Parameter(torch.empty((), dtype=dtype))
        self.across = nn.Parameter(torch.empty(2, 3, dtype=dtype).t())
        self.none = nn.Parameter(torch.empty(0, 3, dtype=dtype))
        self.another, self.void = self.gate, self.none
        self.register_buffer("shift", torch.empty(4, dtype=dtype))
        self.register_buffer("passing", torch.empty(3, dtype=torch.int64), persistent=False)
        self.register_buffer("nothing", None)
        for name, persistent in (("later", False), ("saved", True), ("anew", False)):
            self.register_buffer(name, None, persistent=persistent)
        self.later, self.saved = torch.empty(2, dtype=dtype), torch.empty(2, 2, dtype=dtype)
        self.register_buffer("anew", torch.empty(1, dtype=dtype))
        self.register_buffer("mask", torch.empty(3, dtype=torch.bool))
        self.plain = torch.empty(4, dtype=dtype)
        self.told = None

    def train(self, mode: bool = True) -> "Own":
        self.told = mode  # what a method of one's own does beside what it overrides
        return super().train(mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for child in self.children():
            several = {nn.ModuleList: iter, nn.ModuleDict: lambda entries: entries.values()}.get(type(child))
            for module in several(child) if several else [child]:
                x = module(x)
        return x * self.scale + self.shift


class Turned(nn.Module):
    """The same images, their channels last in memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)


@dataclass(frozen=True)
class Layer:
    """How to make a layer of a dtype, and what it then holds: shapes by name, in the order of registration.

    ``takes`` is the shape of an input that it maps to one of the same shape, or None where it does not.
    """

    make: Callable[[torch.dtype], nn.Module]
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    buffers: dict[str, tuple[int, ...]] = field(default_factory=dict)
    takes: tuple[int, ...] | None = ROW
    inner: tuple[str, ...] = ()  # the names of its submodules


def _of(
    name: str, *arguments, takes: tuple[int, ...] | None = ROW, buffers: dict | None = None, inner=(), **parameters
):
    """The layer ``nn.name(*arguments)``."""
    return Layer(lambda dtype: getattr(nn, name)(*arguments, dtype=dtype), parameters, buffers or {}, takes, inner)


def _plain(name: str, *arguments, takes: tuple[int, ...] | None = ROW) -> Layer:
    """The layer ``nn.name(*arguments)``, which holds nothing and so knows no dtype."""
    return Layer(lambda dtype: getattr(nn, name)(*arguments), takes=takes)


def _cells(gates: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    weights = {"weight_ih_l0": (gates * 3, 4), "weight_hh_l0": (gates * 3, 3)}
    return weights | ({"bias_ih_l0": (gates * 3,), "bias_hh_l0": (gates * 3,)} if bias else {})


STATISTICS = {"running_mean": (4,), "running_var": (4,), "num_batches_tracked": ()}
LAYERS = {
    "Linear": _of("Linear", 4, 4, weight=(4, 4), bias=(4,)),
    "Linear without bias": _of("Linear", 4, 4, False, weight=(4, 4)),
    "wide Linear": _of("Linear", 33, 65, takes=None, weight=(65, 33), bias=(65,)),
    "Bilinear": _of("Bilinear", 2, 3, 4, takes=None, weight=(4, 2, 3), bias=(4,)),
    "Embedding": _of("Embedding", 5, 4, takes=None, weight=(5, 4)),
    "Conv1d": _of("Conv1d", 4, 4, 3, 1, 1, takes=(2, 4, 5), weight=(4, 4, 3), bias=(4,)),
    "Conv2d": _of("Conv2d", 4, 4, 3, 1, 1, takes=IMAGES, weight=(4, 4, 3, 3), bias=(4,)),
    "oblong Conv2d": _of("Conv2d", 4, 4, (1, 3), (2, 1), (0, 1), (1, 2), takes=None, weight=(4, 4, 1, 3), bias=(4,)),
    "Conv3d": _of("Conv3d", 4, 4, 1, 1, 0, 1, 1, False, takes=(1, 4, 2, 2, 2), weight=(4, 4, 1, 1, 1)),
    "ConvTranspose2d": _of("ConvTranspose2d", 4, 4, 1, takes=IMAGES, weight=(4, 4, 1, 1), bias=(4,)),
    "BatchNorm1d": _of("BatchNorm1d", 4, buffers=STATISTICS, weight=(4,), bias=(4,)),
    "BatchNorm2d": _of("BatchNorm2d", 4, takes=IMAGES, buffers=STATISTICS, weight=(4,), bias=(4,)),
    "BatchNorm without scale": _of("BatchNorm1d", 4, 1e-5, 0.1, False, buffers=STATISTICS),
    "LayerNorm": _of("LayerNorm", 4, weight=(4,), bias=(4,)),
    "GroupNorm": _of("GroupNorm", 2, 4, weight=(4,), bias=(4,)),
    "PReLU": _of("PReLU", weight=(1,)),
    "RNN": _of("RNN", 4, 3, takes=None, **_cells(1)),
    "LSTM": _of("LSTM", 4, 3, takes=None, **_cells(4)),
    "GRU": _of("GRU", 4, 3, 1, False, takes=None, **_cells(3, bias=False)),
    "MultiheadAttention": _of(
        *("MultiheadAttention", 4, 2),
        takes=None,
        inner=("out_proj",),
        **{"in_proj_weight": (12, 4), "in_proj_bias": (12,), "out_proj.weight": (4, 4), "out_proj.bias": (4,)},
    ),
    "ParameterList": Layer(
        lambda dtype: nn.ParameterList(nn.Parameter(torch.empty(size, dtype=dtype)) for size in (3, 1)),
        {"0": (3,), "1": (1,)},
        takes=None,
    ),
    "ParameterDict": Layer(
        lambda dtype: nn.ParameterDict([(key, nn.Parameter(torch.empty(2, dtype=dtype))) for key in ("west", "east")]),
        {"west": (2,), "east": (2,)},
        takes=None,
    ),
    "Own": Layer(
        Own,
        {"scale": (4,), "gate": (), "across": (3, 2), "none": (0, 3), "another": (), "void": (0, 3)},
        {"shift": (4,), "passing": (3,), "later": (2,), "saved": (2, 2), "anew": (1,), "mask": (3,)},
    ),
    **{name: _plain(name) for name in ("ReLU", "Tanh", "Flatten", "Identity")},
    "ReLU in place": _plain("ReLU", True),
    "Dropout": _plain("Dropout", 0.5, takes=None),  # of one's own eval() only
}
WITH_PARAMETERS = tuple(kind for kind, layer in LAYERS.items() if layer.parameters)
UNSAVED = ("passing", "later")
NO_FLOATS = {"passing": torch.int64, "num_batches_tracked": torch.int64, "mask": torch.bool}  # buffers of fixed dtype

# Layers that take sequences (of one dimension) or images (of two) of two channels, and give some of two.
LINKS = {
    **{name: lambda n, name=name: getattr(nn, f"{name}{n}d")(2, 2, 2, 2) for name in ("Conv", "ConvTranspose")},
    "Conv of a pixel": lambda n: getattr(nn, f"Conv{n}d")(2, 2, 1),
    **{name: lambda n, name=name: getattr(nn, f"{name}{n}d")(2) for name in ("BatchNorm", "InstanceNorm")},
    **{name: lambda n, name=name: getattr(nn, f"{name}{n}d")(2, 1) for name in ("MaxPool", "AvgPool")},
    "Upsample": lambda n: nn.Upsample(scale_factor=2),
    "ReflectionPad": lambda n: getattr(nn, f"ReflectionPad{n}d")(1),
    "GroupNorm": lambda n: nn.GroupNorm(1, 2),
    "ReLU in place": lambda n: nn.ReLU(inplace=True),
    "PReLU": lambda n: nn.PReLU(),
    "channels last": lambda n: Turned(),
}

# What printing some layers shows
SHOWN = {
    "Linear": "Linear(in_features=4, out_features=4, bias=True)",
    "Linear without bias": "Linear(in_features=4, out_features=4, bias=False)",
    "wide Linear": "Linear(in_features=33, out_features=65, bias=True)",
    "Conv2d": "Conv2d(4, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
    "oblong Conv2d": "Conv2d(4, 4, kernel_size=(1, 3), stride=(2, 1), padding=(0, 1), dilation=(1, 2))",
    "Conv1d": "Conv1d(4, 4, kernel_size=(3,), stride=(1,), padding=(1,))",
    "Embedding": "Embedding(5, 4)",
    "PReLU": "PReLU(num_parameters=1)",
    "BatchNorm1d": "BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)",
    "GroupNorm": "GroupNorm(2, 4, eps=1e-05, affine=True)",
    "LayerNorm": "LayerNorm((4,), eps=1e-05, elementwise_affine=True)",
    "LSTM": "LSTM(4, 3)",
    "ReLU": "ReLU()",
    "ReLU in place": "ReLU(inplace=True)",
    "Dropout": "Dropout(p=0.5, inplace=False)",
}
