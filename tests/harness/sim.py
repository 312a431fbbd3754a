"""``--device sim``: a simulated accelerator, test equipment for machines that have none.

Two devices, sim:0 and sim:1, behind torch's PrivateUse1 backend, in Python alone. A sim tensor is real: it has sizes,
strides and a storage of its own, and that storage is ordinary host memory, where torch's CPU kernels compute
(harness.sim_operators). So a run on sim shows that the tests can be run on an accelerator, and proves what holds for
*any* of them as far as torch's own dispatch, autograd and module code go; it says nothing about a GPU's kernels,
numbers, memory or speed. What sim adds by itself, and a GPU does in its kernels, are its refusals (harness.sim_rules):
there a pass exercises the test rather than torch. With ``--sim-async`` it works through a queue (harness.sim_queue).

Not there: streams, pinned memory, autocast of its own, sparse, nested and quantised tensors, a storage that grows
(``resize_``), memory that the host cannot read, sim tensors in the worker processes of a DataLoader, storages made by
size alone (``UntypedStorage(8, device="sim")`` ends the process, as torch calls an allocator that no Python code can
give it).

``register`` needs torch's registration of a backend from Python: torch 2.9 lacks it, 2.10 has it, and 2.11 is the
oldest release on which the suite was run on sim. A process has room for one PrivateUse1 backend, so sim and a third
party's backend exclude each other.
"""

import ctypes
import functools
import re
import time
from pathlib import Path

import torch

from harness.sim_operators import OPERATORS, SETS, VIEWS, named, on_itself, run_on_host, to_sim
from harness.sim_queue import queue
from harness.sim_rules import COUNT, NAME, aten, current, index_of, state

OWN_STREAM = 1_000_003  # added to seeds, so that sim's random numbers are not the CPU's
THINGS = ("second-device", "events", "generator", "non-blocking")  # that sim can do without


class AnyGenerator(type(torch.Generator)):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, torch._C.Generator)


class Generator(torch.Generator, metaclass=AnyGenerator):
    """A torch.Generator that may be of a sim device. It draws by the CPU's method, but other numbers than the CPU does
    from the same seed, as every GPU does. Every generator is an instance.
    """

    def __new__(cls, device="cpu"):
        device = torch.device(device)
        if device.type != NAME:
            return torch._C.Generator(device)
        if "generator" in state.things:
            raise RuntimeError(f"{NAME}: there are no generators")
        generator = super().__new__(cls, "cpu")
        generator.sim = torch.device(NAME, index_of(device))
        state.own.add(generator._cdata)
        return generator.manual_seed(torch._C.Generator().initial_seed())

    def __del__(self, own=state.own) -> None:  # at the end of the process there is no ``state``
        own.discard(self._cdata)  # which another generator may get

    device = property(lambda self: self.sim)

    def manual_seed(self, seed: int) -> "Generator":
        self.seeded = seed
        super().manual_seed((seed + OWN_STREAM) % 2**63)
        return self

    def initial_seed(self) -> int:
        return self.seeded

    def seed(self) -> int:
        self.manual_seed(super().seed())
        return self.seeded


class Event:
    """The moment of its ``record``."""

    def __init__(self, enable_timing: bool = False) -> None:
        if "events" in state.things:
            raise RuntimeError(f"{NAME}: there are no events")
        self.time = 0.0

    def record(self) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        """Wait for what was begun: nothing, unless there is a queue."""
        queue.empty()

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds from this event to ``end``."""
        return 1000 * (end.time - self.time)


class Module:
    """``torch.sim``: what torch, and code written for any accelerator, asks a backend's module."""

    Event = Event

    class device:
        """``with torch.sim.device(1):`` makes sim:1 the current device."""

        def __init__(self, device) -> None:
            self.index = index_of(torch.device(NAME, device) if isinstance(device, int) else torch.device(device))

        def __enter__(self) -> None:
            self.before, current.index = current.index, self.index

        def __exit__(self, *_) -> None:
            current.index = self.before

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        return state.count

    def current_device(self) -> int:
        return current.index

    def set_device(self, device) -> None:
        current.index = self.device(device).index

    def synchronize(self, device=None) -> None:
        """Wait for what was begun: nothing, unless there is a queue."""
        queue.empty()

    def manual_seed_all(self, seed: int) -> None:
        for generator in state.generators:
            generator.manual_seed(seed)

    def get_rng_state(self, device=NAME) -> torch.Tensor:
        return state.generators[index_of(torch.device(device))].get_state()

    def set_rng_state(self, new_state: torch.Tensor, device=NAME) -> None:
        state.generators[index_of(torch.device(device))].set_state(new_state)


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

    Its C++ class counts one device, so that autograd has no queue for sim:1, knows no current one, and cannot
    synchronise. To exchange streams it calls Python, which ends the process where autograd is on its way out of an
    error in a hook. All of these are virtual functions, whose places in the table follow the order of declaration in
    the header that torch ships.
    """
    header = Path(torch.__file__).with_name("include") / "c10/core/impl/DeviceGuardImplInterface.h"
    declared = re.findall(r"^\s*virtual [^(]*?(~?\w+)\(", header.read_text("utf8"), re.MULTILINE)
    # A c10::Device is two bytes, type and index, and so is passed as one number of 16 bits.
    functions = {
        "deviceCount": ctypes.CFUNCTYPE(ctypes.c_int8, ctypes.c_void_p)(lambda this: COUNT),
        "synchronizeDevice": ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int8)(lambda this, index: queue.work()),
        "getDevice": ctypes.CFUNCTYPE(ctypes.c_int16, ctypes.c_void_p)(lambda this: current.index << 8 | PRIVATE_USE),
        "setDevice": ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int16)(
            lambda this, device: setattr(current, "index", max(0, device >> 8))
        ),
    }
    # A pybind11 object: reference count and type, 16 bytes, then the address of the C++ object, which begins with the
    # address of its table; two words stand before the table's first function, and the destructor has two entries.
    this = ctypes.c_void_p.from_address(id(guard) + 16).value
    table = ctypes.c_void_p.from_address(this)
    words = ctypes.c_void_p * (2 + len(declared) + 1)
    own = words.from_buffer_copy(words.from_address(table.value - 16))
    # torch's setDevice does nothing, and nothing is what there is to exchange: no stream that torch gets back is used
    own[2 + declared.index("exchangeStream")] = own[2 + declared.index("setDevice")]
    for name, function in functions.items():
        own[2 + declared.index(name)] = ctypes.cast(function, ctypes.c_void_p).value
    table.value = ctypes.addressof(own) + 16
    return [own, functions]


_alive: list = []  # what torch refers to from C++


PRIVATE_USE = 20  # c10::DeviceType::PrivateUse1


def refusal() -> str | None:
    """Why this torch, or this process, can have no sim; None where it can."""
    registration = torch.utils.backend_registration
    taken = getattr(torch._C, "_get_privateuse1_backend_name", lambda: "privateuseone")()
    if not hasattr(registration, "_setup_privateuseone_for_python_backend"):
        return f"torch {torch.__version__} cannot register a backend from Python, as later releases can"
    free = taken == "privateuseone" or (taken == NAME and _alive)
    return None if free else f"torch has room for one such backend, and {taken!r} is there"


def do_without(names: list[str]) -> str | None:
    """Let sim lack dtypes ("float64"), operators ("aten::abs", "aten::add.Tensor") and other things, and have the rest.

    Returns what is wrong with a name, or None.
    """
    dtypes = frozenset(getattr(torch, name, None) for name in names) - {None}
    operators = [name.removeprefix("aten::") for name in names if name.startswith("aten::")]
    things = [name for name in names if name in THINGS]
    for name in names:
        known = isinstance(getattr(torch, name, None), torch.dtype) or name in things
        if not known and not (name.startswith("aten::") and hasattr(aten, name[6:].partition(".")[0])):
            return f"{name!r} is no dtype, no operator such as aten::abs, and none of {', '.join(THINGS)}"
    state.dtypes, state.operators, state.things = dtypes, frozenset(operators), things
    state.count = 1 if "second-device" in things else COUNT
    return None


def register() -> None:
    """Make ``sim`` a device of this process; a second call does nothing. Ask ``refusal`` first."""
    if _alive:
        return
    registration = torch.utils.backend_registration
    guard = registration._DummyDeviceGuard()
    registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module(), device_guard=guard)
    register_storages()
    torch.Generator = Generator
    state.generators = [Generator(torch.device(NAME, index)) for index in range(COUNT)]
    others, own = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    others.fallback(run_on_host, "PrivateUse1")
    others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for name, function in OPERATORS.items():
        own.impl(name, function, "PrivateUse1")
    # Operators that torch would compose of an allocation and an out= variant: in one go they take half the time.
    for name in torch._C._dispatch_get_registrations_for_dispatch_key("CompositeExplicitAutogradNonFunctional"):
        own.impl(name, functools.partial(run_on_host, named(name)), "PrivateUse1")
    # torch composes this one of views, which no backend's channels-last images have
    own.impl("native_group_norm", functools.partial(run_on_host, aten.native_group_norm.default), "PrivateUse1")
    for mark in ("Conjugate", "Negative"):  # a copy reads through such a mark; torch would make a copy first, for ever
        own.impl("_copy_from", torch.library.fallthrough_kernel, mark)
    for name in (*VIEWS, *SETS):
        own.impl(name, on_itself(name), "PrivateUse1")
    _alive.extend([others, own, guard, *mended(guard)])
