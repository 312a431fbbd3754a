"""Dropout in every form, masks to look at, and recurrent layers that drop what one hands to the next."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from populations.comparing import host
from populations.core import settled
from populations.layers import aged
from populations.twins import Twin

DROPOUT = {  # makes of p what is called, as often as one likes
    "module": lambda p: aged(nn.Dropout(p)),
    "module in place": lambda p: nn.Dropout(p, inplace=True),
    "function": lambda p: lambda x: F.dropout(x, p),
    "function in place": lambda p: settled(lambda x: F.dropout(x, p=p, training=True, inplace=True)),
}
# Layers that drop whole channels or keep the variance, with the rank of the images that they take
OTHERS = ((nn.Dropout1d, 3), (nn.Dropout2d, 4), (nn.Dropout3d, 5), (nn.AlphaDropout, 2), (nn.FeatureAlphaDropout, 3))
# Of up to five dimensions, of more than 65,536 units, many short ones; p far from and near its ends
MASKS = (
    *(((131_073,), 1, 0.0008, "function"), ((131_073,), 1, 0.998, "module"), ((131_073,), 1, 0.5, "module in place")),
    *(((181, 182), 1, 0.25, "function"), ((181, 182), 1, 0.75, "function in place"), ((400, 257), 1, 0.5, "module")),
    *(((4, 100, 50), 1, 0.5, "function"), ((8, 1, 64, 65), 1, 0.9, "module"), ((2, 3, 2, 5, 99), 1, 0.5, "module")),
    *(((20, 40), 30, 0.5, "module in place"), ((31,), 350, 0.3, "function"), ((5,), 1000, 0.1, "module")),
    *(((3, 5, 7), 100, 0.8, "function in place"), ((), 1000, 0.5, "function")),
    *(((65_537,), 1, 0.002, form) for form in ("function", "module", "function in place")),
)


def dropped(form, shape, calls, p, dtype=torch.float32, layout="contiguous"):
    """Which units are zero, in a row of events for each call; the units, 1/8 to 2048, alternate in sign and size."""
    order = np.arange(math.prod(shape)).reshape(shape)
    units = Twin(dtype, shape, layout), np.where(order % 4 == 0, -1, 1) * 2.0 ** (order % 15 - 3)
    once = Twin.tensor(*units)
    given = (Twin.tensor(*units) if form.endswith("in place") else once for _ in range(calls))
    drop = DROPOUT[form](p)
    return np.stack([host(drop(tensor)).reshape(-1) == 0 for tensor in given])


RECURRENT = ("RNN", "LSTM", "GRU")


def stacked(kind: str, p: float) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A recurrent network of two layers with dropout between them, and two networks of one layer each that share their
    parameters. Of a first step the second layer gives 0 for 0 and for nothing else.
    """
    net = getattr(nn, kind)(8, 8, 2, dropout=p)
    layers = [getattr(nn, kind)(8, 8) for _ in range(2)]
    for name, parameter in net.named_parameters():
        if name.endswith("_l1"):  # the last gate but one of an LSTM, the last of the others
            nn.init.zeros_(parameter)
            gates = parameter.view(-1, 8, *parameter.shape[1:])
            nn.init.eye_(gates[-2 if kind == "LSTM" else -1]) if name == "weight_ih_l1" else None
        setattr(layers[name.endswith("_l1")], name[:-1] + "0", parameter)
    return net, *layers
