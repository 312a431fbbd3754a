"""Tools of counterfeits: the ways of making torch wrong that several sections need.

``patch`` is the ``pytest.MonkeyPatch`` that a counterfeit is given.
"""

import torch
from torch.nn import functional as F


def change_result(patch, owner, name, change):
    """Let ``owner.name`` return ``change(result, *arguments)``."""
    right = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: change(right(*args, **kwargs), *args))


def change_method(patch, name, wrong):
    """Let ``tensor.name(*args)`` be ``wrong(method, tensor, *args)``."""
    method = getattr(torch.Tensor, name)
    patch.setattr(torch.Tensor, name, lambda self, *args, **rest: wrong(method, self, *args, **rest))


def change_linear(patch, change):
    """Let ``F.linear`` return ``change(output, input, weight)``."""
    linear = F.linear
    patch.setattr(F, "linear", lambda input, weight, bias=None: change(linear(input, weight, bias), input, weight))


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


def around_step(patch, optimizer_class, before=None, after=None):
    """Call ``before(optimizer)`` and ``after(optimizer)`` around each step."""
    step = optimizer_class.step

    def wrong(self, *args, **kwargs):
        if before:
            before(self)
        result = step(self, *args, **kwargs)
        if after:
            after(self)
        return result

    patch.setattr(optimizer_class, "step", wrong)


def parameters_of(optimizer):
    """All parameters of an optimizer, whatever their group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
