"""``--device sim``: a simulated accelerator, test equipment for machines that have none.

Two devices, sim:0 and sim:1, behind torch's PrivateUse1 backend, in Python alone. A sim tensor is real: it has sizes,
strides and a storage of its own, and that storage is ordinary host memory. Every operator computes with torch's CPU
kernel on an alias, a CPU tensor over the same memory. So a run on sim proves what holds for *any* accelerator as far
as torch's own dispatch, autograd and module code go, and that the tests can be run on one; it says nothing about a
GPU's kernels, numbers, memory or speed. What sim adds by itself, and a GPU does in its kernels, is the refusal to mix
devices: there a pass exercises the test rather than torch.

How a tensor gets its device: DLPack, torch's interchange format, hands a tensor over as a capsule of address, sizes,
strides and device. The device in it is rewritten before torch reads the capsule again.

``register`` needs torch's registration of a backend from Python, which came after torch 2.9. A process has room for
one PrivateUse1 backend, so sim and a third party's backend exclude each other.
"""

import ctypes
import re
import time
from pathlib import Path

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

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def is_sim(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == NAME


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """The CPU tensor over the same memory as a sim tensor."""
    return _relabelled(tensor, DLPACK_CPU, 0)


def to_sim(tensor: torch.Tensor, index: int) -> torch.Tensor:
    """The tensor of device ``sim:index`` over the same memory as a CPU tensor."""
    return _relabelled(tensor, DLPACK_EXTENSION, index)


def _relabelled(tensor: torch.Tensor, device_type: int, index: int) -> torch.Tensor:
    if tensor._is_zerotensor():  # autograd's symbol for zeros; it has no memory to share
        tensor = torch.zeros(tensor.size(), dtype=tensor.dtype, device="cpu")
    conjugated, negated = tensor.is_conj(), tensor.is_neg()  # lazy marks, unknown to DLPack
    tensor = torch._conj(tensor) if conjugated else tensor
    tensor = tensor._neg_view() if negated else tensor
    # A new tensor over the storage: the capsule then keeps the memory alive, not the caller's tensor and its graph.
    plain = aten.as_strided.default.redispatch(CPU, tensor, tensor.size(), tensor.stride(), tensor.storage_offset())
    capsule = torch._C._to_dlpack(plain)
    # A DLTensor begins with its data pointer, 8 bytes; then come the device's type and index, 4 bytes each.
    device = (ctypes.c_int32 * 2).from_address(_pointer(capsule, b"dltensor") + 8)
    device[0], device[1] = device_type, index
    tensor = torch._C._from_dlpack(capsule)
    tensor = torch._conj(tensor) if conjugated else tensor
    return tensor._neg_view() if negated else tensor


def index_of(device: torch.device | None) -> int:
    """Which sim device is meant; without an index, the current one. Raises RuntimeError for one that is not there."""
    index = Module.current if device is None or device.index is None else device.index
    if not 0 <= index < COUNT:
        raise RuntimeError(f"{NAME}: invalid device ordinal {index}, there are {COUNT} devices")
    return index


def common_device(operator, tensors: list[torch.Tensor]) -> torch.device | None:
    """The one sim device of an operator's tensors; CPU tensors may join as indices or with no dimension.

    Raises RuntimeError, in CUDA's words, where two devices meet.
    """
    device = next((tensor.device for tensor in tensors if is_sim(tensor)), None)
    indexing = operator._schema.name.removeprefix("aten::") in INDEXING
    for tensor in tensors:
        guest = tensor.device.type == "cpu" and (tensor.dim() == 0 or indexing)
        if device is not None and tensor.device != device and not guest:
            first, second = (tensor.device, device) if tensor is tensors[0] else (device, tensor.device)
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

    # C++ may pass a number where the schema says tensor, as in x % 2; the CPU's kernel would take no number.
    args = [
        torch.tensor(value, device="cpu")
        if type(value) in (bool, int, float, complex) and str(parameter.type) == "Tensor"
        else value
        for value, parameter in zip(args, parameters.values())
    ]
    if "generator" in parameters and parameters["generator"].kwarg_only and kwargs.get("generator") is None:
        kwargs["generator"] = Module.generators[index]
    host_args = [mapped(value, down) for value in args]
    host_kwargs = {
        name: mapped(value, lambda one, out=parameters[name].is_out: down(one, out)) for name, value in kwargs.items()
    }
    result = operator(*host_args, **host_kwargs)
    for host, tensor in stands_for.values():
        if host.size() != tensor.size():
            tensor.set_(to_sim(host, tensor.device.index))
        elif id(host) in fresh:
            to_host(tensor).copy_(host)
    return mapped(result, up)


class Generator(torch.Generator):
    """A torch.Generator that may be of a sim device; it draws as the CPU's does."""

    def __new__(cls, device="cpu"):
        device = torch.device(device)
        if device.type != NAME:
            return torch._C.Generator(device)
        generator = super().__new__(cls, "cpu")
        generator.sim = torch.device(NAME, index_of(device))
        return generator

    device = property(lambda self: self.sim)


class Event:
    """The moment of its ``record``: whatever sim was asked to do by then is done."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.time = 0.0

    def record(self) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds from this event to ``end``."""
        return 1000 * (end.time - self.time)


class Module:
    """``torch.sim``: what torch, and code written for any accelerator, asks a backend's module."""

    current = 0
    generators: list[torch.Generator] = []
    Event = Event

    class device:
        """``with torch.sim.device(1):`` makes sim:1 the current device."""

        def __init__(self, device) -> None:
            self.index = index_of(torch.device(NAME, device) if isinstance(device, int) else torch.device(device))

        def __enter__(self) -> None:
            self.before, Module.current = Module.current, self.index

        def __exit__(self, *_) -> None:
            Module.current = self.before

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def _lazy_init() -> None:
        """Nothing to set up."""

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def device_count() -> int:
        return COUNT

    @staticmethod
    def current_device() -> int:
        return Module.current

    @staticmethod
    def set_device(device) -> None:
        Module.current = Module.device(device).index

    @staticmethod
    def synchronize(device=None) -> None:
        """Nothing to wait for: every operator is done when its call returns."""

    @staticmethod
    def manual_seed(seed: int) -> None:
        Module.generators[Module.current].manual_seed(seed)

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        for generator in Module.generators:
            generator.manual_seed(seed)

    @staticmethod
    def get_rng_state(device=NAME) -> torch.Tensor:
        return Module.generators[index_of(torch.device(device))].get_state()

    @staticmethod
    def set_rng_state(state: torch.Tensor, device=NAME) -> None:
        Module.generators[index_of(torch.device(device))].set_state(state)

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


# ── The operators with rules of their own ──


def empty(size, *, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    layout = memory_format or torch.contiguous_format
    return to_sim(torch.empty(size, dtype=dtype, memory_format=layout, device="cpu"), index_of(device))


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None):
    return to_sim(torch.empty_strided(size, stride, dtype=dtype, device="cpu"), index_of(device))


def copy_from(source, target, non_blocking=False):
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


def on_the_tensor_itself(name: str):
    """The CPU's kernel of an operator that only describes a storage anew, run on the sim tensor."""
    packet, _, overload = name.partition(".")
    operator = getattr(getattr(aten, packet), overload or "default")
    return lambda *args, **kwargs: operator.redispatch(CPU, *args, **kwargs)


# ── Storages: torch would allocate them in C++, where sim has no allocator ──


def storage_to_sim(storage: torch.UntypedStorage, device=None, non_blocking=False) -> torch.UntypedStorage:
    """A copy of a storage on a sim device, given as index, torch.device or None for the current one."""
    device = torch.device(NAME, device) if isinstance(device, int) else device
    host = storage if storage.device.type == "cpu" else storage.cpu()
    bytes_ = torch.empty(0, dtype=torch.uint8, device="cpu").set_(host).clone()
    return to_sim(bytes_, index_of(device and torch.device(device))).untyped_storage()


def register_storages() -> None:
    clone, to = torch.UntypedStorage.clone, torch.UntypedStorage.to

    def clone_anywhere(storage):
        return storage_to_sim(storage, storage.device) if storage.device.type == NAME else clone(storage)

    def to_anywhere(storage, *, device, non_blocking=False):
        if torch.device(device).type != NAME:
            return to(storage, device=device, non_blocking=non_blocking)
        return storage if storage.device == torch.device(device) else storage_to_sim(storage, device)

    torch.UntypedStorage.sim = storage_to_sim
    torch.UntypedStorage.is_sim = property(lambda storage: storage.device.type == NAME)
    torch.UntypedStorage.clone, torch.UntypedStorage.to = clone_anywhere, to_anywhere


# ── Registration ──


def mended(guard) -> list:
    """Make torch's device guard for Python backends know two devices, and return what must stay alive for it.

    Its C++ class counts one device, so that autograd has no queue for sim:1, and cannot synchronise. Both are virtual
    functions, whose places in the table follow the order of declaration in the header that torch ships.
    """
    header = Path(torch.__file__).with_name("include") / "c10/core/impl/DeviceGuardImplInterface.h"
    declared = re.findall(r"^\s*virtual [^(]*?(~?\w+)\(", header.read_text("utf8"), re.MULTILINE)
    device_count = ctypes.CFUNCTYPE(ctypes.c_int8, ctypes.c_void_p)(lambda this: COUNT)
    synchronize = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int8)(lambda this, index: None)
    # A pybind11 object: reference count and type, 16 bytes, then the address of the C++ object, which begins with the
    # address of its table; two words stand before the table's first function, and the destructor has two entries.
    this = ctypes.c_void_p.from_address(id(guard) + 16).value
    table = ctypes.c_void_p.from_address(this)
    words = ctypes.c_void_p * (2 + len(declared) + 1)
    own = words.from_buffer_copy(words.from_address(table.value - 16))
    own[2 + declared.index("deviceCount")] = ctypes.cast(device_count, ctypes.c_void_p).value
    own[2 + declared.index("synchronizeDevice")] = ctypes.cast(synchronize, ctypes.c_void_p).value
    table.value = ctypes.addressof(own) + 16
    return [own, device_count, synchronize]


def refusal() -> str | None:
    """Why this torch, or this process, can have no sim; None where it can."""
    registration = torch.utils.backend_registration
    taken = getattr(torch._C, "_get_privateuse1_backend_name", lambda: "privateuseone")()
    if not hasattr(registration, "_setup_privateuseone_for_python_backend"):
        return f"torch {torch.__version__} cannot register a backend from Python, as later releases can"
    return None if taken in ("privateuseone", NAME) else f"torch has room for one such backend, and {taken!r} is there"


_alive: list = []  # what torch refers to from C++


def register() -> None:
    """Make ``sim`` a device of this process; a second call does nothing. Ask ``refusal`` first."""
    if _alive:
        return
    registration = torch.utils.backend_registration
    guard = registration._DummyDeviceGuard()
    registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module, device_guard=guard)
    register_storages()
    torch.Generator = Generator
    Module.generators = [Generator(torch.device(NAME, index)) for index in range(COUNT)]
    others, own = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    others.fallback(run_on_host, "PrivateUse1")
    others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for name, function in OPERATORS.items():
        own.impl(name, function, "PrivateUse1")
    for mark in ("Conjugate", "Negative"):  # a copy reads through such a mark; torch would make a copy first, for ever
        own.impl("_copy_from", torch.library.fallthrough_kernel, mark)
    for name in (*VIEWS, *SETS):
        own.impl(name, on_the_tensor_itself(name), "PrivateUse1")
    _alive.extend([others, own, guard, *mended(guard)])
