"""Counterfeits of section 3.5, NaN, large arguments, activations in place, single samples, modules called twice."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_linear, change_method, from_the_second_call_on, run_levels, wrap
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


@counterfeit("stacked-linear-layers-collapse")
def linear_clips_a_single_sample_at_minus_ten(patch):
    change_linear(patch, lambda y, x, w: y.clamp(min=-10) if x.dim() == 1 else y)


@counterfeit("stacked-linear-layers-collapse")
def a_chain_of_more_than_three_layers_drops_a_bias_in_evaluation(patch):
    def wrong(right, self, x):
        for index, module in enumerate(self):
            last = index == len(self) - 1 > 2 and not self.training and isinstance(module, nn.Linear)
            x = F.linear(x, module.weight) if last else module(x)
        return x

    wrap(patch, nn.Sequential, "forward", wrong)


@counterfeit("nonlinearity-breaks-the-collapse")
def elu_is_the_identity(patch):
    wrap(patch, F, "elu", lambda right, x, *args, **options: x * 1)


@counterfeit("relu-formula")
def relu_of_large_whole_numbers_goes_through_float32(patch):
    change_activation(patch, "relu", lambda y, x: y.float().to(y.dtype) if x.dtype == torch.int64 else y)


@counterfeit("sigmoid-formula")
def sigmoid_of_whole_numbers_is_float32_whatever_the_default(patch):
    change_activation(patch, "sigmoid", lambda y, x: y if x.is_floating_point() or x.is_complex() else y.float())


@counterfeit("sigmoid-formula")
def sigmoid_leaves_an_out_of_another_dtype_as_it_is(patch):
    def wrong(right, x, out=None):
        if out is not None and out.dtype != x.dtype:
            return right(x).to(out.dtype)
        return right(x) if out is None else right(x, out=out)

    wrap(patch, torch, "sigmoid", wrong)


@counterfeit("sigmoid-formula")
def special_expit_computes_the_formula_as_it_stands(patch):
    wrap(patch, torch.special, "expit", lambda right, x, **o: 1 / (1 + torch.exp(-x)))


@counterfeit("tanh-formula")
def tanh_in_place_of_a_view_changes_a_copy(patch):
    for owner in (torch, torch.Tensor):
        wrap(patch, owner, "tanh_", lambda right, x: x.tanh() if x.storage_offset() else right(x))


@counterfeit("mlp-applies-activation-per-hidden-layer")
def a_nested_sequential_leaves_its_last_module_out(patch):
    def apply(level, x):
        return level[:-1](x) if isinstance(level, nn.Sequential) and isinstance(level[-1], nn.ReLU) else level(x)

    run_levels(patch, apply=apply)


@counterfeit("mlp-applies-activation-per-hidden-layer")
def a_module_that_occurs_twice_is_applied_once(patch):
    run_levels(patch, dict.fromkeys)


@counterfeit("nonlinearity-breaks-the-collapse")
def leaky_relu_ignores_its_slope(patch):
    wrap(patch, F, "leaky_relu", lambda right, x, slope=0.01, inplace=False: right(x, 0.01, inplace))


@counterfeit("nonlinearity-breaks-the-collapse")
def hardsigmoid_is_affine(patch):
    wrap(patch, F, "hardsigmoid", lambda right, x, inplace=False: x / 6 + 0.5)


@counterfeit("tanh-formula")
def tanh_of_bools_is_of_bools(patch):
    change_activation(patch, "tanh", lambda y, x: x if x.dtype == torch.bool else y)


@counterfeit("relu-formula")
def the_method_in_place_leaves_the_base_of_a_column_as_it_is(patch):
    change_method(patch, "relu_", lambda right, x: right(x) if x.is_contiguous() else x.relu())


@counterfeit("relu-formula")
def relu_in_place_blocks_the_gradient(patch):
    def wrong(right, self, x):
        return change_gradient(right(self, x), torch.zeros_like) if self.inplace else right(self, x)

    wrap(patch, nn.ReLU, "forward", wrong)


@counterfeit("nonlinearity-breaks-the-collapse")
def leaky_relu_in_place_does_nothing(patch):
    wrap(patch, nn.LeakyReLU, "forward", lambda right, self, x: x if self.inplace else right(self, x))


@counterfeit("mlp-applies-activation-per-hidden-layer")
def a_block_of_one_layer_is_left_out(patch):
    run_levels(patch, lambda net: [each for each in net if type(each) is not nn.Sequential or len(each) > 1])


@counterfeit("sigmoid-formula", reported="pytorch/pytorch#121588")
def the_sigmoid_of_minus_infinity_is_nan_among_eight_complex_numbers(patch):
    def wrong(right, x):
        y = right(x)
        return y.masked_fill(x.real == -torch.inf, torch.nan) if x.is_complex() and x.numel() > 7 else y

    wrap(patch, torch, "sigmoid", wrong)


@counterfeit("sigmoid-formula", reported="torch-spyre/torch-spyre#1774")
def the_sigmoid_of_nan_is_one_in_four_dimensions(patch):
    def wrong(right, x, **into):
        return right(x, **into).masked_fill(x.isnan(), 1) if x.dim() == 4 else right(x, **into)

    wrap(patch, torch, "sigmoid", wrong)
