"""What may be done to a module after which it is still whole: conversions, copies, loading, freezing."""

import copy
import pickle
from collections.abc import Callable

import torch
from torch import nn

from populations import places
from populations.core import Population, among
from populations.initialisers import RELEASE

# Ways to convert a module, and the dtype that its floating-point tensors then have.
CONVERSIONS: dict[str, tuple[Callable[[nn.Module], nn.Module], torch.dtype]] = {
    "half": (lambda module: module.half(), torch.float16),
    "float": (lambda module: module.float(), torch.float32),
    "double": (lambda module: module.double(), torch.float64),
    "bfloat16": (lambda module: module.bfloat16(), torch.bfloat16),
    "to(dtype)": (lambda module: module.to(torch.float16), torch.float16),
    "to(dtype=)": (lambda module: module.to(dtype=torch.bfloat16), torch.bfloat16),
    "to(tensor)": (lambda module: module.to(places.normal(1).to(torch.float16)), torch.float16),
}


def conversions() -> Population:
    """Names in CONVERSIONS, each with the dtype that it makes, which the device may lack."""
    return among(*((name, dtype) for name, (_, dtype) in CONVERSIONS.items()))


# What may be done to a network; its layers are then the same objects, but for the ways of COPYING.
COPYING: dict[str, Callable[[nn.Module], nn.Module]] = {
    "copy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
}
CHANGES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "none": lambda net: net,
    "there and back": lambda net: net.to(torch.float16).to(torch.float32),
    "half": lambda net: net.half(),
    "eval": lambda net: net.eval(),
    "freeze": lambda net: net.requires_grad_(False),
    "load": lambda net: (net.load_state_dict(copy.deepcopy(net.state_dict())), net)[1],
    **COPYING,
}
if RELEASE >= (2, 1):  # before which there is no assign=
    CHANGES["assign"] = lambda net: (net.load_state_dict(copy.deepcopy(net.state_dict()), assign=True), net)[1]
