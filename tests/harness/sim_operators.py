"""What ``harness.sim`` computes: the memory of its tensors, and its operators.

A sim tensor and its alias, a CPU tensor, lie over the same memory. DLPack, torch's interchange format, makes the one of
the other: it hands a tensor over as a capsule of address, sizes, strides and device, and the device is rewritten before
torch reads the capsule again. Operators compute on the aliases with the CPU's kernels.
"""

import ctypes
import functools
import typing

import torch

from harness.sim_queue import queue
from harness.sim_rules import (
    NAME,
    aten,
    device_of,
    index_of,
    is_sim,
    name_of,
    refuse,
    refuse_missing,
    refuse_not_to_block,
    state,
)

DLPACK_CPU, DLPACK_EXTENSION = 1, 12  # kDLCPU and kDLExtDev in dlpack.h; the latter is PrivateUse1 to torch
CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)

# They make another view of a storage and read none of its values, so they are done on the sim tensor itself.
VIEWS = ("as_strided", "view", "_reshape_alias", "unfold", "view_as_real", "view_as_complex")
# The host needs what they found: a value, or how many there are.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "equal", "is_nonzero")
SETS = ("set_.source_Tensor", "set_.source_Storage", "set_.source_Storage_storage_offset")

_TwoNumbers = ctypes.c_int32 * 2
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


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
    # detached, the capsule keeps the memory alive whatever becomes of the caller's tensor, and not that one's graph
    capsule = torch._C._to_dlpack(tensor.detach())
    # A DLTensor begins with its data pointer, 8 bytes; then come the device's type and index, 4 bytes each.
    _TwoNumbers.from_address(_pointer(capsule, b"dltensor") + 8)[:] = device_type, index
    tensor = torch._C._from_dlpack(capsule)
    tensor = torch._conj(tensor) if conjugated else tensor
    return tensor._neg_view() if negated else tensor


class Parameter(typing.NamedTuple):
    """What must be known of an operator's parameter."""

    is_tensor: bool
    is_out: bool
    by_name: bool


class Signature(typing.NamedTuple):
    """What must be known of an operator."""

    parameters: dict[str, Parameter]
    writes: bool  # into an argument
    draws: bool  # with a generator


@functools.cache  # of some 600 operators, each called a thousand times
def signature_of(operator) -> Signature:
    schema = operator._schema
    parameters = {
        one.name: Parameter(str(one.type) == "Tensor", one.is_out, one.kwarg_only) for one in schema.arguments
    }
    return Signature(parameters, schema.is_mutable, "generator" in parameters and parameters["generator"].by_name)


def run_on_host(operator, *args, **kwargs):
    """Every operator that has no rule of its own: compute by the CPU's kernel on the same memory.

    Results that are one of the arguments, as in-place operators return, are that sim tensor again. An argument that
    the kernel resized, which only memory of its own lets it, is given the new memory afterwards, and one that it
    transposed in place its new strides.
    """
    tensors = []
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, torch.Tensor):
            tensors.append(value)
        elif type(value) in (list, tuple):
            tensors += [one for one in value if isinstance(one, torch.Tensor)]
    device = refuse(operator, args, kwargs, tensors)
    if queue.on:
        queue.empty() if name_of(operator) in WAITING else queue.before(tensors)
    index = device.index if device is not None and kwargs.get("device") is None else index_of(kwargs.get("device"))
    parameters, writes, draws = signature_of(operator)
    stands_for: dict[int, tuple[torch.Tensor, torch.Tensor, tuple]] = {}  # id of a host tensor: it, its sim tensor, ...
    fresh = set()  # those of them that have memory of their own

    def down(value, out=False):
        if type(value) in (list, tuple):
            return type(value)([down(one, out) for one in value])
        if not isinstance(value, torch.Tensor):
            return torch.device("cpu") if isinstance(value, torch.device) else value
        if device_of(value).type != NAME:
            return value
        if writes and (out or not value.numel()):
            host = torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="cpu")
            host = host.resize_(0) if out else host
            fresh.add(id(host))
        else:
            host = _relabelled(value, DLPACK_CPU, 0)
        stands_for[id(host)] = host, value, host.stride() if writes else ()  # ... and its strides before
        return host

    def up(value):
        if isinstance(value, torch.Tensor):
            return stands_for[id(value)][1] if id(value) in stands_for else to_sim(value, index)
        return type(value)([up(one) for one in value]) if type(value) in (list, tuple) else value

    def number(value):
        """As C++ may pass it where the schema says tensor, as in x % 2; the CPU's kernel would take no number. As a
        tensor it must not promote the others: beside float16 it is of float16, beside float64 it has all its digits.
        """
        return torch.tensor(value, dtype=torch.result_type(tensors[0], value) if tensors else None, device="cpu")

    if draws and kwargs.get("generator") is None:
        kwargs["generator"] = state.generators[index]
    host_args = [
        number(value) if type(value) in (bool, int, float, complex) and parameter.is_tensor else down(value)
        for value, parameter in zip(args, parameters.values())
    ]
    host_kwargs = {name: down(value, parameters[name].is_out) for name, value in kwargs.items()}
    result = queue.run(operator, name_of(operator), host_args, host_kwargs)
    for host, tensor, strides in stands_for.values() if writes else ():
        outputs = (kwargs[name] for name in kwargs if parameters[name].is_out)
        both = any(tensor is one for one in outputs) and any(tensor is one for one in args)
        if both and host.size() != tensor.size():  # a kernel resizes no tensor that it also reads
            sizes = [*tensor.size()], [*host.size()]
            raise RuntimeError("output with shape {} doesn't match the broadcast shape {}".format(*sizes))
        if host.size() != tensor.size() or (host.stride() != strides and id(host) not in fresh):
            tensor.set_(to_sim(host, device_of(tensor).index))
        elif id(host) in fresh:
            to_host(tensor).copy_(host)
    return up(result)


# ── The operators with rules of their own ──


def empty(size, *, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    layout = memory_format or torch.contiguous_format
    return to_sim(torch.empty(size, dtype=dtype, memory_format=layout, device="cpu"), index_of(device))


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None):
    return to_sim(torch.empty_strided(size, stride, dtype=dtype, device="cpu"), index_of(device))


def copy_from(source, target, non_blocking=False):
    if non_blocking:
        refuse_not_to_block()
    refuse_missing(aten.copy_.default, [target, source])
    hosts = [to_host(one) if is_sim(one) else one for one in (source, target)]
    if queue.on and is_sim(source) != is_sim(target):
        if non_blocking:
            queue.before([source, target])
            queue.copy(*hosts, from_device=is_sim(source))
            return target
        queue.empty()
    elif queue.on:
        queue.before([source, target])
    hosts[1].copy_(hosts[0])
    return target


def copy_from_and_resize(source, target):
    return copy_from(source, target.resize_(source.size()))


composed = functools.partial(aten._to_copy.default._op_dk, torch._C.DispatchKey.CompositeExplicitAutograd)


def to_copy(x, *, device=None, non_blocking=False, **rest):
    """A copy on ``device``, or where x is, of another dtype or layout if so. With a queue it is as torch composes it,
    but for a non-blocking copy to the CPU, for which torch asks for pinned memory that sim has not.
    """
    if non_blocking:
        refuse_not_to_block()
    if not queue.on:
        refuse_missing(aten.copy_.default, [x])
        device = device or device_of(x)
        there = composed(to_host(x) if is_sim(x) else x, **rest)
        return to_sim(there, index_of(device)) if device.type == NAME else there
    if device is None or device.type != "cpu" or not non_blocking:
        return composed(x, device=device, non_blocking=non_blocking, **rest)
    queue.before([x])
    there = composed(to_host(x), **rest)
    queue.copy(there, there, from_device=True)
    return there


def native_dropout(x, p, train):
    """On an accelerator dropout is one operator, which returns the mask too; the CPU's has no generator to choose."""
    keep = 1 - p if train else 1.0
    mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(keep)
    return x * mask * (1 / keep if keep else 0.0), mask


def lstm_cell(of_input, of_hidden, state, input_bias=None, hidden_bias=None):
    """An LSTM's step from its products with both weights, which is one operator on an accelerator; the third result is
    what the backward pass needs. The CPU has no such kernel.
    """
    summed = sum(bias for bias in (input_bias, hidden_bias) if bias is not None) + of_input + of_hidden
    inner, forget, fresh, outer = summed.chunk(4, 1)
    inner, forget, fresh, outer = inner.sigmoid(), forget.sigmoid(), fresh.tanh(), outer.sigmoid()
    following = forget * state + inner * fresh
    return outer * following.tanh(), following, torch.cat([inner, forget, fresh, outer], 1)


def lstm_cell_backward(by_output, by_state, state, following, gates, has_bias):
    (inner, forget, fresh, outer), squashed = gates.chunk(4, 1), following.tanh()
    by_output, by_state = (torch.zeros_like(state) if by is None else by for by in (by_output, by_state))
    by_state = by_state + by_output * outer * (1 - squashed * squashed)
    by_inner, by_forget = by_state * fresh * inner * (1 - inner), by_state * state * forget * (1 - forget)
    by_fresh, by_outer = by_state * inner * (1 - fresh * fresh), by_output * squashed * outer * (1 - outer)
    by_gates = torch.cat([by_inner, by_forget, by_fresh, by_outer], 1)
    return by_gates, by_state * forget, by_gates.sum(0)


def gru_cell(of_input, of_hidden, hidden, input_bias=None, hidden_bias=None):
    """A GRU's step, likewise."""
    if input_bias is not None:
        of_input, of_hidden = of_input + input_bias, of_hidden + hidden_bias
    (reset, keep, fresh), (also_reset, also_keep, past) = of_input.chunk(3, 1), of_hidden.chunk(3, 1)
    reset, keep = (reset + also_reset).sigmoid(), (keep + also_keep).sigmoid()
    fresh = (fresh + reset * past).tanh()
    return fresh + keep * (hidden - fresh), torch.cat([reset, keep, fresh, hidden, past], 1)


def gru_cell_backward(by_output, held, has_bias):
    reset, keep, fresh, hidden, past = held.chunk(5, 1)
    by_fresh = by_output * (1 - keep) * (1 - fresh * fresh)
    by_reset, by_keep = by_fresh * past * reset * (1 - reset), by_output * (hidden - fresh) * keep * (1 - keep)
    of_input, of_hidden = (torch.cat([by_reset, by_keep, last], 1) for last in (by_fresh, by_fresh * reset))
    return of_input, of_hidden, by_output * keep, of_input.sum(0), of_hidden.sum(0)


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
    "_to_copy": to_copy,
    "native_dropout": native_dropout,
    "_thnn_fused_lstm_cell": lstm_cell,
    "_thnn_fused_lstm_cell_backward_impl": lstm_cell_backward,
    "_thnn_fused_gru_cell": gru_cell,
    "_thnn_fused_gru_cell_backward": gru_cell_backward,
    "convolution_overrideable": convolution,
    "convolution_backward_overrideable": convolution_backward,
}


def named(name: str):
    """The operator of a name such as "aten::add.Tensor" or "view"."""
    packet, _, overload = name.removeprefix("aten::").partition(".")
    return getattr(getattr(aten, packet), overload or "default")


def on_itself(name: str):
    """The CPU's kernel of an operator that only describes a storage anew, run on the sim tensor."""
    return functools.partial(named(name).redispatch, CPU)
