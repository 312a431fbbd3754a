"""Tensors in two places: copies from one memory to another, and operations whose operands are on two devices.

A route names where a copy begins and ends: "there", from the CPU to the device under test; "back", from that or
the other one of its type to the CPU; "across", between the two, either way.
"""

import copy
import math
import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from harness import capabilities
from harness.refusals import means_missing
from hypothesis import strategies as st
from torch.nn import functional as F

from populations.core import Population, rounds
from populations.places import place
from populations.twins import Twin, arranged, differentiable, pending

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
        # to the CPU it makes pinned memory, which a device may not have
        waits = self.route == "back" and "non_blocking" in self.way
        if waits and self.lazy and spot().type == "cuda":
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


# ── Operations of two operands ──

ALIKE = ("atan2", "hypot", "copysign", "fmax", "fmin", "heaviside", "logaddexp", "nextafter", "xlogy", "remainder")
ALIKE += ("inner", "kron", "cdist", "isclose", "mm", "fmod", "logical_and")
LOSSES = ("l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss")
LOSSES += ("cosine_similarity", "pairwise_distance")


def named(owner, name: str) -> Callable:
    """The operation ``owner.name(a, b)``, looked up at each call."""
    return lambda a, b: getattr(owner, name)(a, b)


# For operands a and b of shape (2, 2), of whole numbers from 1 to 8.
OF_TWO: dict[str, Callable] = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a // b": lambda a, b: a // b,
    "a ** b": lambda a, b: a**b,
    "a % b": lambda a, b: a % b,
    "a > b": lambda a, b: a > b,
    "a < b": lambda a, b: a < b,
    "a >= b": lambda a, b: a >= b,
    "a <= b": lambda a, b: a <= b,
    "a == b": lambda a, b: a == b,
    "a != b": lambda a, b: a != b,
    "a @ b": lambda a, b: a @ b,
    "torch.add": lambda a, b: torch.add(a, b),
    "torch.mul": lambda a, b: torch.mul(a, b),
    "torch.sub, alpha": lambda a, b: torch.sub(a, b, alpha=2),
    "torch.maximum": lambda a, b: torch.maximum(a, b),
    "integers": lambda a, b: a.long() * b.long(),
    "of two dtypes": lambda a, b: a * b.int(),
    "transposes": lambda a, b: a.t() * b.t(),
    "by a row": lambda a, b: a * b[0],
    "by a row in front": lambda a, b: a[0] * b,
    "by an expanded row": lambda a, b: a * b[0].expand(2, 2),
    "by one element": lambda a, b: a * b[:1, :1],
    "mv": lambda a, b: torch.mv(a, b[0]),
    "tensordot": lambda a, b: torch.tensordot(a, b),
    "einsum": lambda a, b: torch.einsum("ij,jk", a, b),
    "dot": lambda a, b: torch.dot(a[0], b[1]),
    "bmm": lambda a, b: torch.bmm(a[None], b[None]),
    "addmm": lambda a, b: torch.addmm(a, b, b),
    "last of addmm": lambda a, b: torch.addmm(a, a, b),
    "row of addmm": lambda a, b: torch.addmm(b[0], a, a),
    "row of addmv": lambda a, b: torch.addmv(b[0], a, a[0]),
    "baddbmm": lambda a, b: torch.baddbmm(b[None], a[None], a[None]),
    "statistics of batch norm": lambda a, b: F.batch_norm(a, b[0], b[1]),
    "searchsorted": lambda a, b: torch.searchsorted(a[0], b[0]),
    "cross": lambda a, b: torch.linalg.cross(a[:, [0, 1, 1]], b[:, [0, 1, 1]]),
    "outer": lambda a, b: torch.outer(a[0], b[1]),
    "where": lambda a, b: torch.where(a > 2, a, b),
    "equal": lambda a, b: torch.full_like(a, torch.equal(a, b)),
    "condition of where": lambda a, b: torch.where(a > 2, b, b),
    "cat": lambda a, b: torch.cat([a, b]),
    "cat with nothing": lambda a, b: torch.cat([a, b[:0]]),
    "cat with a row of nothing": lambda a, b: torch.cat([a, b[0, :0]]),
    "stack": lambda a, b: torch.stack([a, b]),
    "clamp": lambda a, b: torch.clamp(a, b),
    "clamp(max=)": lambda a, b: a.clamp(max=b),
    "upper end of clamp": lambda a, b: torch.clamp(a, a - 1, b),
    "masked_fill": lambda a, b: a.masked_fill(b > 6, 0),
    "scatter": lambda a, b: torch.scatter(a, 1, b.long() % 2, 9),
    "take_along_dim": lambda a, b: torch.take_along_dim(a, b.long() % 2, 1),
    "lerp": lambda a, b: torch.lerp(a, b, 0.5),
    "weight of lerp": lambda a, b: torch.lerp(a, a + 1, b),
    "addcmul": lambda a, b: torch.addcmul(a, a, b),
    "addcdiv": lambda a, b: torch.addcdiv(a, a, b),
    "gather": lambda a, b: torch.gather(a, 1, b.long() % 2),
    "index_select": lambda a, b: torch.index_select(a, 0, b[0].long() % 2),
    "linear": lambda a, b: F.linear(a, b),
    "bias of linear": lambda a, b: F.linear(a, a, b[0]),
    "convolution": lambda a, b: F.conv1d(a[None], b[:, :, None]),
    "layer norm": lambda a, b: F.layer_norm(a, (2,), b[0]),
    "embedding": lambda a, b: F.embedding(b.long() % 2, a),
    "mse_loss": lambda a, b: F.mse_loss(a, b),
    "binary cross_entropy": lambda a, b: F.binary_cross_entropy_with_logits(a, b),
    "cross_entropy": lambda a, b: F.cross_entropy(a, b[0].long() % 2),
    **{name: named(torch, name) for name in ALIKE},
    **{name: named(F, name) for name in LOSSES},
    "weights of cross_entropy": lambda a, b: F.cross_entropy(a, a[0].long() % 2, b[0]),
}
# They write into a, or into what out= names: a refusal must leave that as it was.
INTO: dict[str, Callable] = {
    "a += b": lambda a, b: a.__iadd__(b),
    "add_": lambda a, b: a.add_(b),
    "mul_": lambda a, b: a.mul_(b),
    "sub_ of a row": lambda a, b: a.sub_(b[0]),
    "add_ on a view": lambda a, b: a.t().add_(b),
    "addmm_": lambda a, b: a.addmm_(b, b),
    "addcmul_": lambda a, b: a.addcmul_(b, b),
    "where_ by mask": lambda a, b: a.masked_scatter_(torch.ones_like(a, dtype=torch.bool), b),
    "index_copy_": lambda a, b: a.index_copy_(0, torch.tensor([0, 1], device=a.device), b),
    "places of index_copy_": lambda a, b: a.index_copy_(0, b[0].long() % 2, a + 1),
    "index_add_": lambda a, b: a.index_add_(0, torch.tensor([0, 1], device=a.device), b),
    "out= of stack": lambda a, b: torch.stack([b[0], b[1]], out=a),
    "out= of add": lambda a, b: torch.add(b, b, out=a),
    "out= of sum": lambda a, b: torch.sum(b, 0, out=a[0]),
    "out= of max": lambda a, b: torch.max(b, 0, out=(a[0], torch.empty(2, dtype=torch.int64, device=a.device))),
    "out= of mm": lambda a, b: torch.mm(b, b, out=a),
    "out= of cat": lambda a, b: torch.cat([b[:1], b[1:]], out=a),
}

# ── Operations of one operand ──

# Each with what NumPy makes of the same numbers, which are all different and not negative.
RESULTS = {
    "number - x": (lambda x: 1 - x, lambda array: 1 - array),
    "x * NumPy's number": (lambda x: x * np.float32(2), lambda array: array * 2),
    "x > 3": (lambda x: x > 3, lambda array: array > 3),
    "nonzero": (lambda x: (x > 3).nonzero(), lambda array: np.argwhere(array > 3)),
    "mask": (lambda x: x[x > 3], lambda array: array[array > 3]),
    "row": (lambda x: x[-1], lambda array: array[-1]),
    "chosen": (lambda x: x[[1, 0]], lambda array: array[[1, 0]]),
    "half": (lambda x: x.half(), lambda array: array),
    "copied": (lambda x: copy.deepcopy(x), lambda array: array),
    "pickled": (lambda x: pickle.loads(pickle.dumps(x)), lambda array: array),
    "int": (lambda x: x.int(), lambda array: array),
    "any": (lambda x: (x > 3).any(), lambda array: (array > 3).any()),
    "softmax": (
        lambda x: (1000 * x.float()).softmax(-1).round(),
        lambda array: (array == array.max(-1, keepdims=True)) * 1.0,
    ),
    "zeros_like": (lambda x: torch.zeros_like(x), lambda array: np.zeros_like(array)),
    "one_hot": (lambda x: F.one_hot(x.long(), 64), lambda array: np.eye(64)[array.astype(int)]),
    "clone": (lambda x: x.clone(), lambda array: array),
    "cat": (lambda x: torch.cat([x[1:], x[:1]]), lambda array: np.roll(array, -1, 0)),
    "cat with nothing": (lambda x: torch.cat([x[:0], x]), lambda array: array),
    "cat of columns": (
        lambda x: torch.cat([x, x[..., :1]], x.dim() - 1),
        lambda array: np.append(array, array[..., :1], -1),
    ),
    "stack": (lambda x: torch.stack([x[:1], x[-1:]], -1), lambda array: np.stack([array[:1], array[-1:]], -1)),
    "stack of truths": (lambda x: torch.stack([x > 3, x < 3]), lambda array: np.stack([array > 3, array < 3])),
}
# Ways to write into a tensor, and what the array of its numbers is then.
IN_PLACE: dict[str, tuple[Callable, Callable]] = {
    "mul_ and add_": (lambda x: x.mul_(2).add_(1), lambda array: array * 2 + 1),
    "fill_": (lambda x: x.fill_(3), lambda array: np.full_like(array, 3)),
    "zero_": (lambda x: x.zero_(), lambda array: np.zeros_like(array)),
    "clamp_": (lambda x: x.clamp_(-2, 5), lambda array: np.clip(array, -2, 5)),
    "masked_fill_": (lambda x: x.masked_fill_(x > 2, 9), lambda array: np.where(array > 2, 9, array)),
    "by a mask": (lambda x: x.__setitem__(x > 2, -math.inf), lambda array: np.where(array > 2, -math.inf, array)),
    "part": (lambda x: x[..., 1:].fill_(-1), lambda array: np.where(np.arange(array.shape[-1]) > 0, -1, array)),
    "sign_": (lambda x: x.sign_(), np.sign),
}


@contextmanager
def refused(kind: type[Exception] = RuntimeError) -> Iterator[None]:
    """The operation raises an error of this kind, and not because it is missing: the words are each device's own."""
    try:
        yield
    except kind as error:
        if means_missing(error):
            raise
    else:
        raise AssertionError(f"it is not refused: no {kind.__name__}")
