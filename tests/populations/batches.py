"""Layers that take examples one by one, each with the shape of an example, and batches of equal examples.

What such a layer makes of an example does not depend on what stands beside it: the batch's size and layout change
nothing. Layers are made with random parameters, and are to be put in evaluation.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from populations.initialisers import RELEASE
from populations.twins import SINGLE_AND_DOUBLE, Twin


def first(layer: nn.Module) -> nn.Module:
    """The layer, of whose results only the first is handed out."""
    layer.register_forward_hook(lambda module, given, results: results[0])
    return layer


def begun(layer: nn.Module) -> nn.Module:
    """The recurrent layer, that begins with the same state for every example, with another in each of its layers."""

    def state(module, given):
        numbers = torch.linspace(-1, 1, module.num_layers * module.hidden_size).to(given[0])
        numbers = numbers.view(module.num_layers, 1, -1).expand(-1, len(given[0]), -1).contiguous()
        return (*given, (numbers, -numbers) if isinstance(module, nn.LSTM) else numbers)

    layer.register_forward_pre_hook(state)
    return first(layer)


PLACES = {1: (6,), 2: (4, 6), 3: (3, 4, 6)}
RECURRENT = ("RNN", "LSTM", "GRU")
LAYERS = {
    **{
        f"{kind}{n}d, {told}": (lambda n=n, kind=kind, options=options: getattr(nn, f"{kind}{n}d")(**options), (4, *at))
        for kind, told, options in (
            ("MaxPool", "by 2", {"kernel_size": 2}),
            ("MaxPool", "padded", {"kernel_size": 3, "stride": 1, "padding": 1}),
            ("AvgPool", "by 2", {"kernel_size": 2}),
            ("AvgPool", "padded", {"kernel_size": 3, "stride": 1, "padding": 1}),
            ("AdaptiveAvgPool", "to 2", {"output_size": 2}),
            ("AdaptiveMaxPool", "to 2", {"output_size": 2}),
            ("Conv", "of 3", {"in_channels": 4, "out_channels": 3, "kernel_size": 3, "padding": 1}),
            ("Conv", "of groups", {"in_channels": 4, "out_channels": 4, "kernel_size": 2, "groups": 2, "stride": 2}),
            ("ConvTranspose", "of 2", {"in_channels": 4, "out_channels": 3, "kernel_size": 2, "stride": 2}),
            ("InstanceNorm", "learnt", {"num_features": 4, "affine": True}),
            ("BatchNorm", "learnt", {"num_features": 4}),
            ("ReflectionPad", "by 1", {"padding": 1}),
            ("ReplicationPad", "by 1", {"padding": 1}),
            ("ConstantPad", "by 1", {"padding": 1, "value": 0.5}),
        )
        for n, at in PLACES.items()
        if (kind, n) != ("ReflectionPad", 3) or RELEASE >= (2, 1)
    },
    **{
        f"Upsample, {mode}": (lambda mode=mode: nn.Upsample(scale_factor=2, mode=mode), (4, *at))
        for mode, at in (("nearest", PLACES[2]), ("linear", PLACES[1]), ("bilinear", PLACES[2]), ("bicubic", PLACES[2]))
    },
    **{
        f"{kind} of {of}": (lambda kind=kind: getattr(nn, kind)(), shape)
        for kind in ("ReLU", "GELU", "SiLU", "Sigmoid", "Tanh", "PReLU", "Softplus", "ELU", "Hardswish", "LeakyReLU")
        for of, shape in (("rows", (7,)), ("images", (3, 2, 5)))
    },
    **{
        f"{kind} along {dim}": (lambda kind=kind, dim=dim: getattr(nn, kind)(dim), (3, 5))
        for kind in ("Softmax", "LogSoftmax")
        for dim in (1, -1)
    },
    "Linear": (lambda: nn.Linear(5, 3), (5,)),
    "Linear of rows": (lambda: nn.Linear(5, 3), (4, 5)),
    "LayerNorm": (lambda: nn.LayerNorm(6), (3, 6)),
    "LayerNorm of images": (lambda: nn.LayerNorm((4, 2, 3)), (4, 2, 3)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (4, 2, 3)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), (5, 2, 3)),
    "Flatten": (nn.Flatten, (4, 2, 3)),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), (4, 2, 3)),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), (2, 2, 4)),
    "Unfold": (lambda: nn.Unfold(2), (2, 3, 3)),
    "Fold": (lambda: nn.Fold((3, 3), 2), (8, 4)),
    "Dropout": (nn.Dropout, (4, 3)),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (3, 4)),
    **{
        f"{kind}{told}": (
            lambda kind=kind, options=options, out=out: out(getattr(nn, kind)(3, 2, batch_first=True, **options)),
            (4, 3),
        )
        for kind in RECURRENT
        for told, out, options in (
            ("", first, {}),
            (" in two directions", first, {"bidirectional": True}),
            (" of two layers with a state", begun, {"num_layers": 2}),
        )
    },
    **{f"Conv{n}d of 1": (lambda n=n: getattr(nn, f"Conv{n}d")(4, 3, 1), (4, *at)) for n, at in PLACES.items()},
}
FEW = 3  # different examples
NO_HALF = ("AvgPool3d", "LocalResponseNorm")  # of which the CPU has no kernels in half precision
CASES = {  # how many places, or None for more than 65,536 numbers, and how they lie: if expanded, all in one place
    torch.float32: (
        *((None, "contiguous"), (0, "contiguous"), (1, "gappy"), (7, "transposed"), (6, "offset")),
        *((11, "gappy"), (8, "batch second"), (9, "channels last"), (7, "expanded")),
    ),
    torch.float64: ((None, "gappy"), (9, "transposed")),
    torch.float16: ((65, "gappy"), (7, "channels last"), (5, "expanded")),
    torch.bfloat16: ((65, "transposed"), (6, "batch second")),
}
TRIALS = tuple(
    (name, dtype)
    for name in LAYERS
    for dtype in CASES
    if dtype in SINGLE_AND_DOUBLE or (RELEASE >= (2, 7) and not name.startswith(NO_HALF))
)
# Which add up over the examples, or over their steps: more than 65,536 of them, too.
MANY = {"LayerNorm": 2**16 + 1, "LayerNorm of images": 2**16 + 1, "GroupNorm": 2**16 + 1}
MANY |= dict.fromkeys(RECURRENT, 2**14 + 1)
# Which have kernels of their own for many examples in half precision.
MANY_HALVES = ("Conv", "Linear", "MaxPool", "AvgPool", "LayerNorm")
# True torch, on the CPU: they refuse a batch of nothing, or there is no way back to one.
NOT_OF_NOTHING = ("InstanceNorm", "PixelShuffle", "PixelUnshuffle")


def examples_of(name: str, dtype: torch.dtype) -> np.ndarray:
    """FEW examples for the layer of this name; no number is a corner of an activation."""
    return Twin(dtype, (FEW, *LAYERS[name][1]), values="fractions").array() + 1 / 16


def batches(name: str, dtype: torch.dtype) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """Leaves in which these examples take turns, each with the example's number at each place."""
    examples = examples_of(name, dtype)
    many = [(MANY[name], "contiguous")] if name in MANY and dtype == torch.float32 else []
    many += [(None, "contiguous")] * (dtype == torch.float16 and name.startswith(MANY_HALVES))
    for count, layout in (*CASES[dtype], *many):
        if count != 0 or not name.startswith(NOT_OF_NOTHING):
            turns = np.arange(2**16 // examples[0].size + 1 if count is None else count) % FEW
            turns *= layout != "expanded"
            leaf = Twin(dtype, (len(turns), *examples.shape[1:]), layout, grad=True)
            yield leaf.tensor(examples[turns]), turns
