"""Tools of counterfeits: the ways of making torch wrong that several sections need.

``patch`` is the ``pytest.MonkeyPatch`` that a counterfeit is given.
"""

import torch
from torch.nn import functional as F


def wrap(patch, owner, name, wrong):
    """Let ``owner.name(*args, **kwargs)`` be ``wrong(right, *args, **kwargs)``; ``right`` is the true function, whose
    documentation stays.

    Within a mode, as under a default device, torch calls a function of ``torch.nn.functional`` twice by its name, so
    that a change of its result is made twice: one that undoes itself, as a flip does, would not show.
    """
    right = getattr(owner, name)

    def forged(*args, **kwargs):
        return wrong(right, *args, **kwargs)

    forged.__doc__ = right.__doc__
    patch.setattr(owner, name, forged)


def change_result(patch, owner, name, change):
    """Let ``owner.name`` return ``change(result, *arguments)``."""
    wrap(patch, owner, name, lambda right, *args, **kwargs: change(right(*args, **kwargs), *args))


def change_output(patch, owner, name, change):
    """Let ``owner.name`` return ``change(output)``."""
    wrap(patch, owner, name, lambda right, *args, **rest: change(right(*args, **rest)))


def change_output_where(patch, owner, name, condition, change):
    """Let ``owner.name`` return ``change(output)`` where ``condition(output)``, elsewhere the true output."""
    change_output(patch, owner, name, lambda output: change(output) if condition(output) else output)


def recycle(patch, owner, name, condition=lambda output: True):
    """Let ``owner.name`` hand out the same object again for the same arguments, where ``condition(output)``."""
    made = {}

    def wrong(right, *args, **rest):
        key = str((args, rest))
        output = made[key] if key in made else right(*args, **rest)
        return made.setdefault(key, output) if condition(output) else output

    wrap(patch, owner, name, wrong)


def where(patch, owner, name, condition, change):
    """Let ``owner.name(x, ...)`` return ``change(result, x, ...)`` where ``condition(x)``, elsewhere the true result.

    The condition says the kind of fault: ``of_dtype``, ``beyond``, ``not_contiguous``, ``tracked``, ``calls_after``.
    """

    def wrong(right, *args, **kwargs):
        holds = condition(args[0] if args else None)  # asked first: the true function may change its argument in place
        result = right(*args, **kwargs)
        return change(result, *args) if holds else result

    wrap(patch, owner, name, wrong)


def of_dtype(*dtypes):
    """The condition that a tensor is of one of these dtypes."""
    return lambda x: x.dtype in dtypes


def beyond(count):
    """The condition that a tensor has more than ``count`` elements."""
    return lambda x: x.numel() > count


def not_contiguous(x):
    """The condition that a tensor's elements do not lie in row order."""
    return not x.is_contiguous()


def tracked(x):
    """The condition that a tensor requires gradients."""
    return x.requires_grad


def away(x):
    """The condition that something is a tensor on another device than the CPU."""
    return isinstance(x, torch.Tensor) and x.device.type not in ("cpu", "meta")


def repeats_columns(x):
    """The condition that a tensor's last dimension is one column, repeated without a copy."""
    return isinstance(x, torch.Tensor) and x.dim() > 1 and x.stride(-1) == 0 and x.shape[-1] > 1


def is_pending(x):
    """The condition that a tensor's numbers are conjugated or negated only when they are read."""
    return isinstance(x, torch.Tensor) and (x.is_conj() or x.is_neg())


def as_in_memory(x, *args):
    """The numbers of ``x`` as they lie in memory, without the conjugation and the sign that are pending."""
    x = torch._neg_view(x) if x.is_neg() else x
    return x.conj() if x.is_conj() else x


def calls_after(count):
    """The condition that there were ``count`` calls before: a fault that a first call does not show."""
    calls = iter(range(count))
    return lambda x: next(calls, None) is None


def from_the_second_call_on(patch, module_class, change):
    """Let each module of a class return ``change(result)`` but for its first call."""

    def wrong(forward, self, *args):
        result, first = forward(self, *args), "called" not in self.__dict__
        self.called = True
        return result if first else change(result)

    wrap(patch, module_class, "forward", wrong)


def run_levels(patch, levels=list, apply=lambda level, x: level(x)):
    """Let a Sequential run ``levels(sequential)`` one after the other, each of them by ``apply(level, input)``."""

    def forward(self, input):
        for level in levels(self):
            input = apply(level, input)
        return input

    patch.setattr(torch.nn.Sequential, "forward", forward)


def after_copying(patch, module_class, change):
    """Call ``change(module)`` of each module of a class that is copied or unpickled."""

    def wrong(right, self, state):
        right(self, state)
        if type(self) is module_class:
            change(self)

    wrap(patch, torch.nn.Module, "__setstate__", wrong)


def copied(result, *args):
    """A change: the same values in row order and in a storage of their own."""
    return torch.empty(result.shape, dtype=result.dtype).copy_(result)


def zero_the_next_element_too(patch):
    """Let ``tensor.zero_()`` write one element too many, where the storage has one behind the tensor's last."""

    def wrong(result, x):
        size = x.untyped_storage().nbytes() // x.element_size()
        end = x.storage_offset() + x.numel()
        if x.is_contiguous() and end < size:
            x.detach().as_strided((1,), (1,), end).fill_(0)
        return result

    where(patch, torch.Tensor, "zero_", lambda x: True, wrong)


def in_order_of_storage(x):
    """A tensor of ``x``'s shape with the numbers of its storage from its start on, as if ``x`` lay in row order.

    After the end of the storage comes its beginning.
    """
    stored = x.as_strided((x.untyped_storage().nbytes() // x.element_size(),), (1,), 0)
    return stored.roll(-x.storage_offset()).repeat(-(-x.numel() // max(len(stored), 1)))[: x.numel()].view(x.shape)


def with_value(result, value):
    """A tensor of another value, or values, that keeps the record of ``result``."""
    return result + (torch.as_tensor(value, dtype=result.dtype, device=result.device) - result).detach()


def last_off(result, *args):
    """A change: the same values, but one more for the last element."""
    values = result.detach().clone(memory_format=torch.contiguous_format)
    values.view(-1)[-1:] += 1
    return with_value(result, values)


def divert(patch, owner, name, condition, change):
    """Let ``owner.name(*args)`` be ``change(*args)`` where ``condition(*args)``, without the true function's doing."""
    wrap(patch, owner, name, lambda right, *args, **rest: change(*args) if condition(*args) else right(*args, **rest))


def change_method(patch, name, wrong):
    """Let ``tensor.name(*args)`` be ``wrong(method, tensor, *args)``.

    Where ``__getitem__`` was false once, tensors without dimensions pass for sequences until the process ends, and
    ``torch.tensor([torch.ones(())])`` raises TypeError: no test may rely on that.
    """
    wrap(patch, torch.Tensor, name, wrong)


def wrap_operand(patch, owner, name, wrong):
    """Let ``owner.name`` be ``wrong(right, x, *args, **kwargs)``, whether x was given by its place or as ``input``."""

    def by_place(right, *args, **rest):
        operands = args if args or "input" not in rest else (rest.pop("input"),)
        return wrong(right, *operands, **rest)

    wrap(patch, owner, name, by_place)


def everywhere(patch, name, wrong):
    """``wrap_operand`` for the function of torch and, likewise, for the method, whichever there are."""
    if hasattr(torch, name):
        wrap_operand(patch, torch, name, wrong)
    if hasattr(torch.Tensor, name):
        change_method(patch, name, wrong)


def alter_property(patch, name, wrong):
    """Let the attribute ``name`` of a tensor read as ``wrong(tensor, right value)``."""
    right = getattr(torch.Tensor, name)
    patch.setattr(
        torch.Tensor,
        name,
        property(lambda self: wrong(self, right.__get__(self)), lambda self, value: right.__set__(self, value)),
    )


def stop_tracking(patch, owner, name, condition=lambda *operands: True):
    """Leave ``owner.name`` out of the record of gradients where ``condition(*operands)``."""
    change_result(patch, owner, name, lambda result, *operands: result.detach() if condition(*operands) else result)


def leaves(node):
    """The leaves that the backward pass from ``node`` (a ``grad_fn`` or None) reaches."""
    if hasattr(node, "variable"):
        return [node.variable]
    return [leaf for nearer, _ in getattr(node, "next_functions", ()) for leaf in leaves(nearer)]


def change_linear(patch, change):
    """Let ``F.linear`` return ``change(output, input, weight)``."""
    wrap(patch, F, "linear", lambda right, input, weight, bias=None: change(right(input, weight, bias), input, weight))


class ChangedGradient(torch.autograd.Function):
    """A copy of the first argument; backward gives the second one the gradient to change."""

    @staticmethod
    def forward(ctx, x, change):
        ctx.change = change
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return ctx.change(gradient), None


def change_gradient(x, change):
    """A tensor equal to ``x`` through which the gradient passes as ``change(gradient)``."""
    return ChangedGradient.apply(x, change)


def around_step(patch, optimizer_class, before=lambda optimizer: None, after=lambda optimizer: None):
    """Call ``before(optimizer)`` and ``after(optimizer)`` around each step."""

    def wrong(step, self, *args, **kwargs):
        before(self)
        result = step(self, *args, **kwargs)
        after(self)
        return result

    wrap(patch, optimizer_class, "step", wrong)


def hold_still(patch, optimizer_class, held):
    """Let a step leave the values of the parameters ``held(optimizer)`` as they are."""

    def wrong(step, self, *args, **kwargs):
        values = [(parameter, parameter.detach().clone()) for parameter in held(self)]
        result = step(self, *args, **kwargs)
        for parameter, value in values:
            parameter.data.copy_(value)
        return result

    wrap(patch, optimizer_class, "step", wrong)


def step_with(patch, optimizer_class, option, value):
    """Let a step read a group's ``option`` as ``value(optimizer, group)``; afterwards the group has its own again."""

    def wrong(step, self, *args, **kwargs):
        own = [(group, group[option], value(self, group)) for group in self.param_groups]
        for group, _, other in own:
            group[option] = other
        result = step(self, *args, **kwargs)
        for group, right, _ in own:
            group[option] = right
        return result

    wrap(patch, optimizer_class, "step", wrong)


def parameters_of(optimizer):
    """All parameters of an optimizer, whatever their group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
