"""Tensors that go from one memory to another: places, ways to copy, and ways to write.

A route names where a copy begins and ends: "there", from the CPU to the device under test; "back", from that or
the other one of its type to the CPU; "across", between the two, either way.
"""

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from harness import capabilities
from hypothesis import strategies as st

from populations.core import Population, rounds
from populations.layouts import arranged
from populations.places import place
from populations.twins import Twin, differentiable, pending

CPU = torch.device("cpu")
TENSOR = getattr(torch._C, "TensorBase", None) or torch._C._TensorBase  # the latter before torch 2.1


def spot(second: bool = False) -> torch.device:
    """Where the device under test, or the second of its type, puts its tensors: with its number, "cuda:0"."""
    # as torch keeps it: a counterfeit may have planted another ``torch.Tensor.device``
    return TENSOR.device.__get__(torch.empty(0, device=place(second)))


def host_twin(twin: Twin) -> tuple[torch.Tensor, np.ndarray]:
    """The twin's tensor on the CPU, in its layout, and the array of the same values.

    Its elements may begin anywhere in its storage, though it is no view to autograd: as what ``torch.load`` makes.
    """
    array = twin.array()
    buffer, strides, offset = arranged(array, twin.layout)
    stored = torch.tensor(buffer, dtype=twin.dtype, device="cpu").as_strided(array.shape, strides, offset)
    return stored.detach().requires_grad_(twin.grad and differentiable(twin.dtype)), array


# Ways to copy a tensor to a device: all of them make another tensor of the same values there.
COPIES: dict[str, Callable] = {
    "to(device)": lambda x, device: x.to(device),
    "to(name)": lambda x, device: x.to(str(device)),
    "to(device=)": lambda x, device: x.to(device=device),
    "to(type)": lambda x, device: current(device)(x.to)(device.type),
    "to(number)": lambda x, device: x.to(number_of(device)),
    "to(name, dtype)": lambda x, device: x.to(str(device), x.dtype),
    "to(other)": lambda x, device: x.to(torch.empty(0, dtype=x.dtype, device=device)),
    "to(copy=True)": lambda x, device: x.to(device, copy=True),
    "to(non_blocking=True)": lambda x, device: finished(x.to(device, non_blocking=True), x),
    "copy_": lambda x, device: torch.empty(x.shape, dtype=x.dtype, device=device).copy_(x),
    "copy_(non_blocking=True)": lambda x, device: finished(
        torch.empty(x.shape, dtype=x.dtype, device=device).copy_(x, non_blocking=True), x
    ),
}


def finished(copy: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """``copy``, when the devices of both have done what they were asked to: nothing else makes it safe to read."""
    for device in {copy.device, source.device} - {CPU}:
        getattr(getattr(torch, device.type), "synchronize", lambda device: None)(device)
    return copy


def number_of(device: torch.device) -> int | torch.device:
    """The number by which the device is known, or itself where torch takes numbers for those of another kind."""
    return device.index if device.index is not None and torch.device(device.index) == device else device


@dataclass(frozen=True)
class Journey:
    """A recipe: ``source, array, copy = journey`` makes a tensor, its values, and a function that copies a tensor of
    that place to where the route ends, in one of the ways of COPIES.
    """

    twin: Twin
    route: str = "there"  # or "back", or "across"
    way: str = "to(device)"
    lazy: bool = False  # the tensor is a pending one

    def __iter__(self) -> Iterator:
        tensor, array = host_twin(self.twin) if self.route == "there" else self.twin
        tensor = pending(tensor) if self.lazy else tensor
        yield from (tensor, array, lambda source: COPIES[self.way](source, self.target()))

    def target(self) -> torch.device:
        return {"there": spot, "back": lambda: CPU, "across": lambda: spot(not self.twin.second)}[self.route]()

    def lacking(self) -> str | None:
        if self.route == "across" and spot() == spot(second=True):
            return capabilities.lack("second-device") or "there is no second device"
        waits = "non_blocking" in self.way  # for which a device may have no pinned memory
        if waits and self.route == "back" and self.lazy and spot().type == "cuda":
            return "CUDA leaves out the conjugation"  # pytorch#146286
        return self.twin.lacking() or (capabilities.lack("non-blocking") if waits else None)


def journeys(of: Population, *ways: str, lazy: tuple[torch.dtype, ...] = ()) -> Population:
    """Journeys of all twins of a population, in turn by each route and in each of the ``ways`` (all COPIES if none),
    and of a pending tensor of each of the dtypes ``lazy``, on either device.
    """
    ways = ways or tuple(COPIES)
    routes = ("there", "back", "across")
    # mixed after the first round, so that none goes in step with a layout, nor a route with a shape
    mixed = [*ways, *rounds(ways, len(of.must), random.Random(9))]
    along = [*routes, *rounds(routes, len(of.must), random.Random(5))]
    must = [Journey(*each) for each in zip(of.must, along, mixed)]
    # each way by each route at least once, with the longest tensor of the first dtype
    longest = max((twin for twin in of.must if twin.dtype == of.must[0].dtype), key=lambda twin: math.prod(twin.shape))
    must += [Journey(longest, route, way) for route in routes for way in ways]
    pending_ones = [Twin(one, (3, 33), second=second) for one in lazy for second in (False, True)]
    must += [Journey(twin, route, way, True) for twin in pending_ones for route in routes for way in ways]
    rarer = tuple(Journey(twin, routes[turn % 3], ways[turn % len(ways)]) for turn, twin in enumerate(of.rarer))
    more = st.builds(Journey, of.more, st.sampled_from(routes), st.sampled_from(ways))
    return Population(tuple(must), more, rarer=rarer)


# Ways to write a tensor of one place into a tensor of another: documented to cross devices.
WRITES: dict[str, Callable] = {
    "copy_": lambda target, source: target.copy_(source),
    "copy_(non_blocking=True)": lambda target, source: finished(target.copy_(source, non_blocking=True), source),
    "x[...] = y": lambda target, source: target.__setitem__(..., source),
    "x[:] = y": lambda target, source: target.view(1, *target.shape).__setitem__(slice(None), source),
    "x[:, :] = y": lambda target, source: target.view(1, 1, *target.shape).__setitem__((slice(None),) * 2, source),
    "x.data.copy_": lambda target, source: target.data.copy_(source),
}


@contextmanager
def current(device: torch.device) -> Iterator[None]:
    """Make ``device`` the one that is meant where a number is left out, unless it is the only one of its type."""
    several = device != CPU and spot() != spot(second=True)
    with getattr(torch, device.type).device(device.index) if several else nullcontext():
        yield
