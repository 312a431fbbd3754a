"""Counterfeits of section 3.5, derivatives of derivatives, samples that are not the first dimension, loading."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, in_order_of_storage, wrap
from torch import nn
from torch.nn import functional as F


def differentiate_wrongly(patch, name, slope):
    """Let an activation, by each of its names, have the derivative ``slope(x)``, and what that says for its own."""

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x)
            return y.clone()

        @staticmethod
        def backward(ctx, gradient):
            return slope(gradient, *ctx.saved_tensors), None

    def wrong(right, x, *rest, **named):
        recorded = x.requires_grad and torch.is_grad_enabled() and not named
        return Wrong.apply(x, right(x.detach())) if recorded else right(x, *rest, **named)

    change_method(patch, name, wrong)
    wrap(patch, torch, name, wrong)
    wrap(patch, F, name, wrong)


@counterfeit("relu-formula")
def the_derivative_of_relu_has_no_derivative(patch):
    differentiate_wrongly(patch, "relu", lambda gradient, x: torch.where(x > 0, gradient, 0).detach())


@counterfeit("sigmoid-formula")
def the_second_derivative_of_sigmoid_has_the_wrong_sign(patch):
    def slope(gradient, x):
        return gradient * change_gradient(torch.ops.aten.sigmoid(x) * torch.ops.aten.sigmoid(-x), torch.neg)

    differentiate_wrongly(patch, "sigmoid", slope)


@counterfeit("tanh-formula")
def the_second_derivative_of_tanh_is_halved(patch):
    def slope(gradient, x):
        return gradient * change_gradient(1 - torch.ops.aten.tanh(x) ** 2, lambda g: g / 2)

    differentiate_wrongly(patch, "tanh", slope)


@counterfeit("stacked-linear-layers-collapse")
def linear_reads_batches_of_batches_in_order_of_storage(patch):
    def wrong(right, x, weight, bias=None):
        x = in_order_of_storage(x) if x.dim() == 3 and not x.is_contiguous() else x
        return right(x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("depth-and-width-are-hyperparameters")
def loading_by_assignment_compares_no_shapes(patch):
    def wrong(right, self, state, strict=True, assign=False):
        for name, parameter in [*self.named_parameters()] if assign else ():
            if name in state and state[name].shape != parameter.shape:
                owner, _, last = name.rpartition(".")
                setattr(self.get_submodule(owner), last, nn.Parameter(state[name].clone()))
        return right(self, state, strict, **({"assign": True} if assign else {}))

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("depth-and-width-are-hyperparameters")
def keys_that_a_plain_dict_lacks_are_passed_over(patch):
    def wrong(right, self, state, *args, **named):
        return right(self, {**self.state_dict(), **state} if type(state) is dict else state, *args, **named)

    wrap(patch, nn.Module, "load_state_dict", wrong)
