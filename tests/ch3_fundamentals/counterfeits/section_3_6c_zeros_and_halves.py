"""Counterfeits of section 3.6, norms of zeros, of halves and over several dimensions."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, step_with, wrap
from torch import nn
from torch.optim import Adam


def change_norm(patch, change):
    """Let the norm, as method and function, be ``change(right, x, dim)`` of any L2 norm."""

    def wrong(right, x, p="fro", dim=None, *rest, **named):
        return change(lambda x: right(x, p, dim, *rest, **named), x, dim)

    change_method(patch, "norm", wrong)
    wrap(patch, torch, "norm", wrong)


@counterfeit("norm-is-the-l2-norm", reported="pytorch/pytorch#37323")
def the_gradient_of_a_norm_of_zeros_over_several_dimensions_is_nan(patch):
    def change(right, x, dim):
        several = isinstance(dim, (tuple, list)) and len(dim) > 1 and x.requires_grad
        return right(change_gradient(x, lambda g: g.masked_fill(x.detach() == 0, math.nan)) if several else x)

    change_norm(patch, change)


@counterfeit("norm-is-the-l2-norm", reported="jax-ml/jax#40819")
def the_squares_of_halves_are_added_up_in_float32_but_rounded_before_the_root(patch):
    def change(right, x, dim):
        if x.dtype != torch.float16:
            return right(x)
        squares = x.float().square()
        return (squares.sum() if dim is None else squares.sum(dim)).to(x.dtype).sqrt()

    change_norm(patch, change)


@counterfeit("norm-is-the-l2-norm")
def the_norm_over_two_dimensions_adds_up_norms(patch):
    def change(right, x, dim):
        several = isinstance(dim, (tuple, list)) and len(dim) == 2
        return x.square().sum(dim[0], keepdim=True).sqrt().sum(dim) if several else right(x)

    change_norm(patch, change)


@counterfeit("weight-decay-equals-l2-regularisation", reported="flagos-ai/FlagGems#4988")
def fused_adam_decays_as_adamw_does(patch):
    step_with(
        patch, Adam, "decoupled_weight_decay", lambda optimizer, g: g.get("fused") or g.get("decoupled_weight_decay")
    )


@counterfeit("weight-names-end-in-weight")
def the_weight_of_a_prelu_is_called_slope(patch):
    def wrong(init, self, *args, **rest):
        init(self, *args, **rest)
        self._parameters["slope"] = self._parameters.pop("weight")

    wrap(patch, nn.PReLU, "__init__", wrong)
    patch.setattr(nn.PReLU, "weight", property(lambda self: self.slope), raising=False)
