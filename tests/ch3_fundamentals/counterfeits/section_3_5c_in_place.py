"""Counterfeits of section 3.5, NaN, large arguments, activations in place, and modules that are called again."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, from_the_second_call_on, wrap
from torch import nn
from torch.nn import functional as F


def change_activation(patch, name, change):
    """Let an activation, by each of its names, return ``change(result, x)``."""

    def wrong(right, x, *rest, **named):
        return change(right(x, *rest, **named), x)

    change_method(patch, name, wrong)
    wrap(patch, torch, name, wrong)
    wrap(patch, F, name, wrong)


@counterfeit("tanh-formula", reported="pytorch/pytorch#172406")
def tanh_of_more_than_44_is_nan(patch):
    change_activation(patch, "tanh", lambda y, x: y.masked_fill(x > 44, math.nan))


@counterfeit("relu-formula", reported="pytorch/pytorch#94389")
def relu_in_place_leaves_what_a_convolution_made(patch):
    def marked(right, *args, **rest):
        y = right(*args, **rest)
        y.made_by_a_convolution = True
        return y

    def wrong(right, x, inplace=False):
        return x if inplace and hasattr(x, "made_by_a_convolution") else right(x, inplace)

    wrap(patch, F, "conv2d", marked)
    wrap(patch, F, "relu", wrong)


@counterfeit("relu-formula")
def relu_in_place_leaves_what_is_not_contiguous(patch):
    def wrong(right, x):
        return right(x) if x.is_contiguous() else x

    change_method(patch, "relu_", wrong)
    wrap(patch, torch, "relu_", wrong)


@counterfeit("tanh-formula")
def tanh_is_rounded_where_nothing_is_recorded(patch):
    change_activation(patch, "tanh", lambda y, x: y if torch.is_grad_enabled() else (y * 1024).round() / 1024)


@counterfeit("relu-formula")
def relu_in_place_does_nothing_the_second_time(patch):
    called = []

    def wrong(right, self, x):
        if self.inplace and self in called:
            return x
        called.append(self)
        return right(self, x)

    wrap(patch, nn.ReLU, "forward", wrong)


@counterfeit("sigmoid-formula")
def a_sigmoid_module_rounds_from_its_second_call_on(patch):
    from_the_second_call_on(patch, nn.Sigmoid, lambda y: (y * 1024).round() / 1024)


@counterfeit("tanh-formula")
def a_tanh_module_halves_its_gradient_from_its_second_call_on(patch):
    from_the_second_call_on(patch, nn.Tanh, lambda y: change_gradient(y, lambda g: g / 2))
