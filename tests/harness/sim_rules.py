"""What ``harness.sim`` refuses, as a GPU does in its kernels: others' tensors and generators, and integer matrices.

Torch's CPU kernels, which compute for sim, would take all of them. So the refusals are sim's own, in CUDA's words, and
a test that expects them exercises itself rather than torch.
"""

import functools
import threading
from types import SimpleNamespace

import torch

NAME, COUNT = "sim", 2
aten = torch.ops.aten

# How many devices there are, each device's random numbers, the addresses of all generators of sim, and what sim does
# without: dtypes, operators ("abs", "add.Tensor") and the other things that harness.capabilities asks for.
state = SimpleNamespace(generators=[], own=set(), count=COUNT, dtypes=frozenset(), operators=frozenset(), things=())


class Current(threading.local):
    """The index of the current device, which each thread has for itself."""

    index = 0


current = Current()

# An index may stay on the CPU where what it indexes is on sim, but not the other way round.
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}

# Beside the operators that torch calls pointwise, these take a tensor without dimensions from the CPU as a number.
NUMBERS = {"masked_fill", "fill", "index_fill", "isclose", "rsub", "copy", "lift_fresh", "set_data", "is_same_size"}
NO_NUMBERS = {"equal"}  # called pointwise, but asks for one device

INTEGER_MATRICES = {"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "vdot", "addbmm", "addr"}
INTEGERS = {torch.uint8: "Byte", torch.int8: "Char", torch.int16: "Short", torch.int32: "Int", torch.int64: "Long"}


# The device as torch keeps it: a counterfeit may have planted another answer in ``torch.Tensor.device``.
device_of = torch.Tensor.__base__.device.__get__


def is_sim(value: object) -> bool:
    return isinstance(value, torch.Tensor) and device_of(value).type == NAME


def index_of(device: torch.device | None) -> int:
    """Which sim device is meant; without an index, the current one. Raises RuntimeError for one that is not there."""
    index = current.index if device is None or device.index is None else device.index
    if not 0 <= index < state.count:
        raise RuntimeError(f"{NAME}: invalid device ordinal {index}, there are {state.count} devices")
    return index


@functools.cache  # torch makes a schema's names anew whenever it is asked
def name_of(operator) -> str:
    return operator._schema.name.removeprefix("aten::")


def refuse(operator, args: tuple, kwargs: dict, tensors: list[torch.Tensor]) -> torch.device | None:
    """The one sim device of an operator's tensors, None if they have none. Raises what sim refuses."""
    devices = [*map(device_of, tensors)]
    device = next((one for one in devices if one.type == NAME), None)
    if device is not None and devices.count(device) < len(devices):
        others = [tensor for tensor in tensors if device_of(tensor) != device]
        refuse_others(operator, args, kwargs, device, others)
    if state.operators:
        refuse_missing(operator, tensors)
    if device is not None and name_of(operator).removesuffix("_") in INTEGER_MATRICES:
        refuse_integer_matrices(operator, tensors)
    if kwargs:
        refuse_generator(kwargs.get("generator"))
    return device


def refuse_others(operator, args: tuple, kwargs: dict, device: torch.device, others: list[torch.Tensor]) -> None:
    """Raise RuntimeError for each of ``others``, tensors on other devices, that the operator may not take."""
    name = name_of(operator)
    if name in INDEXING:
        indices = [index for index in args[1] if index is not None]
        if not is_sim(args[0]) and any(map(is_sim, indices)):
            here = device_of(args[0])
            raise RuntimeError(
                f"indices should be either on {here} or on the same device as the indexed tensor ({here})"
            )
        guests = [*indices, *(value for value in args[2:3] if value.dim() == 0)] if is_sim(args[0]) else []
    else:
        parameters = operator._schema.arguments
        given = [*zip(parameters, args), *((one, kwargs[one.name]) for one in parameters if one.name in kwargs)]
        written = [value for one, value in given if one.alias_info is not None and one.alias_info.is_write]
        numbers = [tensor for tensor in others if tensor.dim() == 0 and not any(tensor is one for one in written)]
        guests = numbers if takes_numbers(name) else []
    for tensor in others:
        own = device_of(tensor)
        if own.type != "cpu" or not any(tensor is guest for guest in guests):
            first, second = (own, device) if tensor is args[0] else (device, own)
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {first} and {second}!"
            )


@functools.cache
def takes_numbers(name: str) -> bool:
    """Whether an operator takes a CPU tensor without dimensions for a number, beside tensors of an accelerator."""
    plain = name.removesuffix("_")
    if plain in NO_NUMBERS:
        return False
    packets = [getattr(aten, one) for one in {name, plain} if hasattr(aten, one)]
    tags = {tag for packet in packets for one in packet.overloads() for tag in getattr(packet, one).tags}
    return torch.Tag.pointwise in tags or plain in NUMBERS or plain.startswith(("_foreach_", "_fused_"))


def refuse_missing(operator, tensors: list[torch.Tensor]) -> None:
    """Raise, in words of sim's own as most backends do, for an operator that sim does without."""
    name = name_of(operator)
    if state.operators & {name, name.removesuffix("_"), f"{name}.{operator._overloadname}"}:
        dtype = next((f" of {tensor.dtype}" for tensor in tensors), "")
        raise RuntimeError(f"{NAME}: no kernel is built for {name}{dtype}".replace("torch.", ""))


def refuse_integer_matrices(operator, tensors: list[torch.Tensor]) -> None:
    if tensors[0].dtype in INTEGERS:
        kind = INTEGERS[tensors[0].dtype]
        raise NotImplementedError(f"\"{name_of(operator)}_{NAME}\" not implemented for '{kind}'")


def refuse_generator(generator: torch.Generator | None) -> None:
    if generator is not None and generator._cdata not in state.own:  # C++ hands over another object for the same one
        raise RuntimeError(f"Expected a '{NAME}' device type for generator but found '{generator.device.type}'")


def refuse_not_to_block() -> None:
    if "non-blocking" in state.things:
        raise RuntimeError(f"{NAME}: every copy blocks")
