"""What ``harness.sim`` computes: the memory of its tensors, and its operators.

A sim tensor and its alias, a CPU tensor, lie over the same memory. DLPack, torch's interchange format, makes the one of
the other: it hands a tensor over as a capsule of address, sizes, strides and device, and the device is rewritten before
torch reads the capsule again. Operators compute on the aliases with the CPU's kernels.
"""

import ctypes
from types import SimpleNamespace

import torch

NAME, COUNT = "sim", 2
DLPACK_CPU, DLPACK_EXTENSION = 1, 12  # kDLCPU and kDLExtDev in dlpack.h; the latter is PrivateUse1 to torch
CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
aten = torch.ops.aten

# As on CUDA: an index may stay on the CPU, whatever it indexes.
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}

# They make another view of a storage and read none of its values, so they are done on the sim tensor itself.
VIEWS = ("as_strided", "view", "_reshape_alias", "unfold", "view_as_real", "view_as_complex")
SETS = ("set_.source_Tensor", "set_.source_Storage", "set_.source_Storage_storage_offset")

# The current device's index, each device's random numbers, how many devices there are, and what sim does without:
# dtypes, operators ("abs", "add.Tensor") and the other things that harness.capabilities asks for.
state = SimpleNamespace(current=0, generators=[], count=COUNT, dtypes=frozenset(), operators=frozenset(), things=())

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def device_of(tensor: torch.Tensor) -> torch.device:
    """The device as torch keeps it: a counterfeit may have planted another answer in ``torch.Tensor.device``."""
    return torch._C.TensorBase.device.__get__(tensor)


def is_sim(value: object) -> bool:
    return isinstance(value, torch.Tensor) and device_of(value).type == NAME


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """The CPU tensor over the same memory as a sim tensor."""
    return _relabelled(tensor, DLPACK_CPU, 0)


def to_sim(tensor: torch.Tensor, index: int) -> torch.Tensor:
    """The tensor of device ``sim:index`` over the same memory as a CPU tensor.

    Raises TypeError, as MPS does, for a dtype that sim does without.
    """
    if state.dtypes and tensor.dtype in state.dtypes:
        raise TypeError(f"cannot hold {tensor.dtype} on {NAME}: this device knows no such numbers")
    return _relabelled(tensor, DLPACK_EXTENSION, index)


def _relabelled(tensor: torch.Tensor, device_type: int, index: int) -> torch.Tensor:
    if tensor._is_zerotensor():  # autograd's symbol for zeros; it has no memory to share
        tensor = torch.zeros(tensor.size(), dtype=tensor.dtype, device="cpu")
    conjugated, negated = tensor.is_conj(), tensor.is_neg()  # lazy marks, unknown to DLPack
    tensor = torch._conj(tensor) if conjugated else tensor
    tensor = tensor._neg_view() if negated else tensor
    capsule = torch._C._to_dlpack(tensor.detach())  # keeps the memory alive, not the caller's tensor and its graph
    # A DLTensor begins with its data pointer, 8 bytes; then come the device's type and index, 4 bytes each.
    device = (ctypes.c_int32 * 2).from_address(_pointer(capsule, b"dltensor") + 8)
    device[0], device[1] = device_type, index
    tensor = torch._C._from_dlpack(capsule)
    tensor = torch._conj(tensor) if conjugated else tensor
    return tensor._neg_view() if negated else tensor


def index_of(device: torch.device | None) -> int:
    """Which sim device is meant; without an index, the current one. Raises RuntimeError for one that is not there."""
    index = state.current if device is None or device.index is None else device.index
    if not 0 <= index < state.count:
        raise RuntimeError(f"{NAME}: invalid device ordinal {index}, there are {state.count} devices")
    return index


def refuse_missing(operator, tensors: list[torch.Tensor]) -> None:
    """Raise, in words of sim's own as most backends do, for an operator that sim does without."""
    name = operator._schema.name.removeprefix("aten::")
    if state.operators & {name, name.removesuffix("_"), f"{name}.{operator._overloadname}"}:
        dtype = next((f" of {tensor.dtype}" for tensor in tensors), "")
        raise RuntimeError(f"{NAME}: no kernel is built for {name}{dtype}".replace("torch.", ""))


def common_device(operator, tensors: list[torch.Tensor]) -> torch.device | None:
    """The one sim device of an operator's tensors; CPU tensors may join as indices or with no dimension.

    Raises RuntimeError, in CUDA's words, where two devices meet.
    """
    device = next((device_of(tensor) for tensor in tensors if is_sim(tensor)), None)
    indexing = operator._schema.name.removeprefix("aten::") in INDEXING
    for tensor in tensors:
        own = device_of(tensor)
        guest = own.type == "cpu" and (tensor.dim() == 0 or indexing)
        if device is not None and own != device and not guest:
            first, second = (own, device) if tensor is tensors[0] else (device, own)
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {first} and {second}!"
            )
    return device


def mapped(value, function):
    """``value`` with ``function`` applied to it, or to the items of the list or tuple that it is."""
    return type(value)(function(item) for item in value) if type(value) in (list, tuple) else function(value)


def run_on_host(operator, *args, **kwargs):
    """Every operator that has no rule of its own: compute by the CPU's kernel on the same memory.

    Results that are one of the arguments, as in-place operators return, are that sim tensor again. An argument that
    the kernel resized, which only memory of its own lets it, is given the new memory afterwards.
    """
    tensors: list[torch.Tensor] = []
    for value in (*args, *kwargs.values()):
        mapped(value, lambda one: tensors.append(one) if isinstance(one, torch.Tensor) else None)
    device = common_device(operator, tensors)
    if state.operators:
        refuse_missing(operator, tensors)
    index = device.index if device is not None and kwargs.get("device") is None else index_of(kwargs.get("device"))
    parameters = {parameter.name: parameter for parameter in operator._schema.arguments}
    stands_for: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # id of a host tensor: itself, its sim tensor
    fresh = set()  # those of them that have memory of their own

    def down(value, out=False):
        if isinstance(value, torch.device):
            return torch.device("cpu")
        if not is_sim(value):
            return value
        if out or not value.numel():
            host = torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="cpu")
            host = host.resize_(0) if out else host
            fresh.add(id(host))
        else:
            host = to_host(value)
        stands_for[id(host)] = host, value
        return host

    def up(value):
        if not isinstance(value, torch.Tensor):
            return value
        return stands_for[id(value)][1] if id(value) in stands_for else to_sim(value, index)

    # C++ may pass a number where the schema says tensor, as in x % 2; the CPU's kernel would take no number. As a
    # tensor it must not promote the others: beside float16 it is of float16, beside float64 it has all its digits.
    args = [
        torch.tensor(value, dtype=torch.result_type(tensors[0], value) if tensors else None, device="cpu")
        if type(value) in (bool, int, float, complex) and str(parameter.type) == "Tensor"
        else value
        for value, parameter in zip(args, parameters.values())
    ]
    if "generator" in parameters and parameters["generator"].kwarg_only and kwargs.get("generator") is None:
        kwargs["generator"] = state.generators[index]
    host_args = [mapped(value, down) for value in args]
    host_kwargs = {
        name: mapped(value, lambda one, out=parameters[name].is_out: down(one, out)) for name, value in kwargs.items()
    }
    result = operator(*host_args, **host_kwargs)
    for host, tensor in stands_for.values():
        if host.size() != tensor.size():
            tensor.set_(to_sim(host, device_of(tensor).index))
        elif id(host) in fresh:
            to_host(tensor).copy_(host)
    return mapped(result, up)


# ── The operators with rules of their own ──


def empty(size, *, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    layout = memory_format or torch.contiguous_format
    return to_sim(torch.empty(size, dtype=dtype, memory_format=layout, device="cpu"), index_of(device))


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None):
    return to_sim(torch.empty_strided(size, stride, dtype=dtype, device="cpu"), index_of(device))


def copy_from(source, target, non_blocking=False):
    if non_blocking and "non-blocking" in state.things:
        raise RuntimeError(f"{NAME}: every copy blocks")
    (to_host(target) if is_sim(target) else target).copy_(to_host(source) if is_sim(source) else source)
    return target


def copy_from_and_resize(source, target):
    return copy_from(source, target.resize_(source.size()))


def native_dropout(x, p, train):
    """On an accelerator dropout is one operator, which returns the mask too; the CPU's has no generator to choose."""
    keep = 1 - p if train else 1.0
    mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(keep)
    return x * mask * (1 / keep if keep else 0.0), mask


def convolution(*args):
    return run_on_host(aten.convolution.default, *args)


def convolution_backward(gradient, x, weight, stride, padding, dilation, transposed, output_padding, groups, mask):
    bias = [weight.size(1) * groups if transposed else weight.size(0)] if mask[2] else None
    settings = (stride, padding, dilation, transposed, output_padding, groups, mask)
    return run_on_host(aten.convolution_backward.default, gradient, x, weight, bias, *settings)


OPERATORS = {
    "empty.memory_format": empty,
    "empty_strided": empty_strided,
    "_copy_from": copy_from,
    "_copy_from_and_resize": copy_from_and_resize,
    "native_dropout": native_dropout,
    "convolution_overrideable": convolution,
    "convolution_backward_overrideable": convolution_backward,
}


def named(name: str):
    """The operator of a name such as "aten::add.Tensor" or "view"."""
    packet, _, overload = name.removeprefix("aten::").partition(".")
    return getattr(getattr(aten, packet), overload or "default")


def on_itself(name: str):
    """The CPU's kernel of an operator that only describes a storage anew, run on the sim tensor."""
    return lambda *args, **kwargs: named(name).redispatch(CPU, *args, **kwargs)
