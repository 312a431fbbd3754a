"""Modes in which results lie otherwise: a function of functions meets strides at its every step, and ``out`` too."""

import functools
from collections.abc import Callable

import torch
from torch.overrides import TorchFunctionMode

from populations.layouts import FOREIGN, laid


def memories(given) -> set[int]:
    """Where the tensors among ``given`` lie, of lists and tuples those within."""
    if isinstance(given, torch.Tensor):
        return {given.untyped_storage().data_ptr()}
    return set().union(*map(memories, given)) if isinstance(given, (tuple, list)) else set()


def part(like: torch.Tensor, layout: str) -> torch.Tensor:
    """Part of a row of foreign numbers, with shape and dtype of ``like``, which lies as ``layout`` says; what begins
    later, of several such: as ``y[1]`` lies.
    """
    if layout == "offset" and like.dim() > 1 and 1 not in like.shape:
        return torch.full((3, *like.shape), FOREIGN, dtype=like.dtype, device="cpu").to(like.device)[1]
    count, strides, offset = laid(tuple(like.shape), layout)
    row = torch.full((count,), FOREIGN, dtype=like.dtype, device="cpu").to(like.device)  # in one go, not two
    return row.as_strided(like.shape, strides, offset)


class Relaid(TorchFunctionMode):
    """Within it every result with a memory of its own lies as ``layout`` says, among foreign numbers; recorded
    it is no view of these, so that what comes back goes on as it lies. Views, and what is written in place, stay so.
    """

    def __init__(self, layout: str):
        super().__init__()
        self.layout = layout

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, (tuple, list)):
            return type(result)([self.anew(each, args, kwargs) for each in result])
        return self.anew(result, args, kwargs)

    def anew(self, result, args, kwargs):
        """A tensor in no memory of what was given, laid anew; whatever else it is, as it is."""
        if type(result) is not torch.Tensor or memories(result) <= memories([*args, *(kwargs or {}).values()]):
            return result
        laid_anew = part(result, self.layout)
        return (laid_anew.detach() if result.requires_grad else laid_anew).copy_(result)


def relaid(function: Callable, layout: str) -> Callable:
    """``function`` in which every step's result lies as ``layout`` says; as it is where that is "contiguous"."""

    @functools.wraps(function)
    def within(*args):
        with Relaid(layout):
            return function(*args)

    return function if layout == "contiguous" else within


# Where each function with a documented ``out`` is at home, to be looked up there when it is called; and the operators,
# by their methods' names. Those of torch.nn.functional have none.
HOMES = {
    function: (home, name)
    for home in (torch.special, torch.fft, torch.linalg, torch)
    for name, function in vars(home).items()
    if callable(function) and not name.startswith("_")
}
OPERATORS = {f"__{of}__": name for of, name in (("truediv", "div"), ("mod", "remainder"), ("floordiv", "floor_divide"))}
OPERATORS |= {
    f"__{name}__": name for name in ("add", "sub", "mul", "pow", "matmul", "eq", "ne", "lt", "le", "gt", "ge")
}


class Into(TorchFunctionMode):
    """Within it whatever takes ``out`` computes into a part of a row of foreign numbers, which lies as ``layout`` says;
    its result is a view of that; ``parts`` are all of these. Raises AssertionError where something else is returned.
    """

    def __init__(self, layout: str):
        super().__init__()
        self.layout, self.parts = layout, []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = {key: given for key, given in (kwargs or {}).items() if key != "out" or given is not None}
        name = getattr(func, "__name__", "")
        result = func(*args, **kwargs)
        several = type(result) if isinstance(result, tuple) else None
        home, name = HOMES.get(func, (torch, OPERATORS.get(name, name)))
        tensors = result if several else [result]
        if "out" in kwargs or not hasattr(home, name) or {type(each) for each in tensors} != {torch.Tensor}:
            return result
        parts = [part(each, self.layout) for each in tensors]
        seen = [each[...] for each in parts]  # from the source, whatever becomes of what is given
        try:
            returned = getattr(home, name)(*args, **kwargs, out=tuple(parts) if several else parts[0])
        except TypeError:  # it takes no ``out``, or not for these arguments
            return result
        returned = returned or parts if several else [returned]  # of unbind_copy nothing
        assert all(one is other for one, other in zip(returned, parts)), name
        self.parts += seen
        return several(seen) if several else seen[0]
