"""Counterfeits of 3.5: layers, activations and perceptrons, each wrong in one way."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    beyond,
    change_gradient,
    divert,
    in_order_of_storage,
    not_contiguous,
    of_dtype,
    run_levels,
    where,
    wrap,
)
from torch import nn
from torch.nn import functional as F


def replace_function(patch, name, wrong):
    """`wrong(function, x)` in the place of torch.relu, torch.sigmoid or torch.tanh and of the method."""
    function = getattr(torch.Tensor, name)

    def replaced(x, out=None):
        result = wrong(function, x)
        return result if out is None else out.copy_(result)

    for place in (torch, torch.Tensor):
        patch.setattr(place, name, replaced)


def replace_slope(patch, name, slope):
    """The function's values are right, its derivative is `slope(x)`."""
    replace_function(patch, name, lambda function, x: function(x).detach() + slope(x.detach()) * (x - x.detach()))


# ── stacked-linear-layers-collapse ──


@counterfeit("stacked-linear-layers-collapse")
def linear_bends_large_values_a_little(patch):
    wrap(patch, F, "linear", lambda linear, *args: linear(*args) - 0.001 * F.relu(linear(*args) - 1))


@counterfeit("stacked-linear-layers-collapse")
def sequential_leaves_out_the_layers_after_the_fourth(patch):
    run_levels(patch, lambda net: [*net][:4])


@counterfeit("stacked-linear-layers-collapse")
def bias_of_a_narrow_layer_is_forgotten(patch):
    wrap(patch, F, "linear", lambda linear, x, weight, bias: linear(x, weight, bias if len(bias) > 1 else None))


@counterfeit("stacked-linear-layers-collapse")
def input_slips_past_narrow_hidden_layers(patch):
    """A shortcut that adds a tenth of the input to the output, where it fits."""

    def wrong(self, x):
        first = x
        for layer in self:
            x = layer(x)
        return x + 0.1 * first[..., : x.shape[-1]] if first.shape[-1] > x.shape[-1] > 1 else x

    patch.setattr(nn.Sequential, "forward", wrong)


# ── nonlinearity-breaks-the-collapse ──


@counterfeit("nonlinearity-breaks-the-collapse", "module-is-layer-or-network", "identity-network-is-a-matrix-product")
def relu_module_is_the_identity(patch):
    patch.setattr(nn.ReLU, "forward", lambda self, x: x)


@counterfeit("nonlinearity-breaks-the-collapse")
def sigmoid_module_is_a_straight_line(patch):
    """Its tangent at zero."""
    patch.setattr(nn.Sigmoid, "forward", lambda self, x: 0.5 + x / 4)


@counterfeit("nonlinearity-breaks-the-collapse")
def tanh_module_hardly_bends(patch):
    patch.setattr(nn.Tanh, "forward", lambda self, x: x + 1e-3 * torch.tanh(x))


@counterfeit("nonlinearity-breaks-the-collapse")
def tanh_sees_the_mean_of_the_sample_too(patch):
    patch.setattr(nn.Tanh, "forward", lambda self, x: torch.tanh(x - 0.01 * x.mean(dim=-1, keepdim=True)))


@counterfeit("nonlinearity-breaks-the-collapse")
def relu_misses_the_last_unit(patch):
    patch.setattr(nn.ReLU, "forward", lambda self, x: torch.cat([F.relu(x[..., :-1]), x[..., -1:]], dim=-1))


@counterfeit("nonlinearity-breaks-the-collapse")
def sequential_skips_activations(patch):
    run_levels(patch, lambda net: [layer for layer in net if isinstance(layer, nn.Linear)])


@counterfeit("nonlinearity-breaks-the-collapse")
def bends_cannot_cancel(patch):
    replace_function(patch, "relu", lambda relu, x: relu(x) + 0.001 * x * x)


# ── relu-formula ──


@counterfeit("relu-formula", "nonlinearity-breaks-the-collapse")
def relu_leaks(patch):
    replace_function(patch, "relu", lambda relu, x: torch.where(x < 0, (0.01 * x).to(x.dtype), x))


@counterfeit("relu-formula")
def relu_stops_at_six(patch):
    replace_function(patch, "relu", lambda relu, x: relu(x).clamp(max=6))


@counterfeit("relu-formula")
def relu_turns_nan_into_zero(patch):
    replace_function(patch, "relu", lambda relu, x: torch.where(x > 0, x, torch.zeros_like(x)))


@counterfeit("relu-formula")
def relu_returns_floats_for_integers(patch):
    replace_function(patch, "relu", lambda relu, x: relu(x) if x.is_floating_point() else relu(x).float())


@counterfeit("relu-formula")
def relu_writes_into_its_input(patch):
    relu_ = torch.relu_
    replace_function(patch, "relu", lambda relu, x: relu(x) if x.requires_grad else relu_(x))


@counterfeit("relu-formula")
def relu_module_ignores_its_function(patch):
    """It is softplus with a steep bend: right to six digits away from zero."""
    patch.setattr(nn.ReLU, "forward", lambda self, x: F.softplus(x.double(), beta=20).to(x.dtype))


@counterfeit("relu-formula")
def relu_has_slope_one_at_zero(patch):
    replace_slope(patch, "relu", lambda x: (x >= 0).to(x.dtype))


@counterfeit("relu-formula")
def relu_has_a_slope_just_left_of_zero(patch):
    replace_slope(patch, "relu", lambda x: (x > -1e-5).to(x.dtype) * (x != 0))


@counterfeit("relu-formula")
def relu_of_a_long_vector_skips_the_last(patch):
    def wrong(relu, x):
        return torch.cat([relu(x[:16]), x[16:]]) if x.dim() == 1 and x.dtype == torch.float64 else relu(x)

    replace_function(patch, "relu", wrong)


@counterfeit("relu-formula")
def relu_reads_what_is_not_contiguous_in_the_order_of_storage(patch):
    where(patch, torch, "relu", not_contiguous, lambda _, x: torch.relu(in_order_of_storage(x)))


@counterfeit("relu-formula")
def relu_in_place_reaches_only_what_is_contiguous(patch):
    divert(patch, torch, "relu_", not_contiguous, lambda x: x)


@counterfeit("relu-formula")
def relu_of_bfloat16_keeps_negative_numbers_above_minus_one_eighth(patch):
    where(patch, torch.Tensor, "relu", of_dtype(torch.bfloat16), lambda result, x: result + x.clamp(-0.125, 0))


@counterfeit("relu-formula")
def relu_flushes_numbers_below_a_millionth(patch):
    where(patch, F, "relu", of_dtype(torch.float32), lambda result, x, *rest: result * ~(result < 1e-6))


@counterfeit("relu-formula", "nonlinearity-breaks-the-collapse")
def relu_skips_what_lies_beyond_65536(patch):
    def wrong(result, x):
        return torch.cat([result.view(-1)[:65536], x.reshape(-1)[65536:]]).view(x.shape)

    where(patch, torch, "relu", beyond(65536), wrong)


@counterfeit("relu-formula")
def relu_layers_pass_every_gradient(patch):
    patch.setattr(nn.ReLU, "forward", lambda self, x: torch.relu(x).detach() + x - x.detach())


# ── sigmoid-formula ──


@counterfeit("sigmoid-formula")
def sigmoid_of_infinity_is_nan(patch):
    replace_function(patch, "sigmoid", lambda sigmoid, x: sigmoid(x) + (x - x) * 0)


@counterfeit("sigmoid-formula")
def sigmoid_of_double_is_a_little_off_near_two(patch):
    where(
        *(patch, torch, "sigmoid", of_dtype(torch.float64)),
        lambda result, x: torch.where((x - 2).abs() < 0.3, result * (1 + 1e-12), result),
    )


@counterfeit("sigmoid-formula")
def the_slope_of_the_sigmoid_is_wrong_for_negative_arguments(patch):
    sigmoid = torch.sigmoid
    replace_slope(patch, "sigmoid", lambda x: sigmoid(x) * (1 - sigmoid(x.abs())))


@counterfeit("sigmoid-formula")
def the_formula_computed_by_hand_does_not_overflow(patch):
    patch.setattr(torch, "exp", lambda x: torch.Tensor.exp(x.clamp(max=88)))


@counterfeit("sigmoid-formula")
def sigmoid_is_made_of_straight_lines(patch):
    replace_function(patch, "sigmoid", lambda sigmoid, x: (0.5 + x / 4).clamp(0, 1))


@counterfeit("sigmoid-formula")
def sigmoid_follows_the_formula_even_in_its_gradient(patch):
    """Which is NaN where the exponential overflows."""
    replace_function(patch, "sigmoid", lambda sigmoid, x: 1 / (1 + torch.exp(-x)))


@counterfeit("sigmoid-formula")
def sigmoid_never_gets_quite_to_zero(patch):
    replace_function(patch, "sigmoid", lambda sigmoid, x: sigmoid(x).clamp(min=1e-12))


@counterfeit("sigmoid-formula")
def sigmoid_loses_the_left_tail_s_digits(patch):
    """1 - sigmoid(-x) is right by algebra, and zero by rounding."""
    replace_function(patch, "sigmoid", lambda sigmoid, x: 1 - sigmoid(-x))


@counterfeit("sigmoid-formula")
def sigmoid_module_computes_in_half_precision(patch):
    sigmoid = torch.sigmoid
    patch.setattr(nn.Sigmoid, "forward", lambda self, x: sigmoid(x.bfloat16()).to(x.dtype))


@counterfeit("sigmoid-formula")
def sigmoid_computes_in_single_precision(patch):
    replace_function(patch, "sigmoid", lambda sigmoid, x: sigmoid(x.float()).to(x.dtype))


@counterfeit("sigmoid-formula")
def sigmoid_s_slope_is_ten_per_cent_too_steep(patch):
    sigmoid = torch.sigmoid
    replace_slope(patch, "sigmoid", lambda x: 1.1 * sigmoid(x) * (1 - sigmoid(x)))


# ── tanh-formula ──


@counterfeit("tanh-formula")
def tanh_follows_the_formula_and_overflows(patch):
    replace_function(patch, "tanh", lambda tanh, x: (1 - torch.exp(-2 * x)) / (1 + torch.exp(-2 * x)))


@counterfeit("tanh-formula")
def tanh_never_gets_quite_to_minus_one(patch):
    replace_function(patch, "tanh", lambda tanh, x: tanh(x) if x.is_complex() else tanh(x).clamp(min=-1 + 1e-7))


@counterfeit("tanh-formula")
def tanh_is_scaled_as_some_nets_have_it(patch):
    """1.7159 tanh(2x / 3), LeCun's."""
    replace_function(patch, "tanh", lambda tanh, x: 1.7159 * tanh(2 / 3 * x))


@counterfeit("tanh-formula")
def tanh_computes_in_single_precision(patch):
    replace_function(patch, "tanh", lambda tanh, x: tanh(x.float()).to(x.dtype))


@counterfeit("tanh-formula")
def the_exponential_of_a_tiny_number_is_not_rounded_to_one(patch):
    wrap(patch, torch, "exp", lambda exp, x: exp(x) + 1e-7 * ((x != 0) & (x.abs() < 1e-7)))


@counterfeit("tanh-formula")
def tanh_of_tiny_numbers_is_zero(patch):
    replace_function(patch, "tanh", lambda tanh, x: tanh(x) * (x.abs() > 1e-15))


@counterfeit("tanh-formula")
def tanh_s_slope_is_one_minus_its_size(patch):
    tanh = torch.tanh
    replace_slope(patch, "tanh", lambda x: 1 - tanh(x).abs())


@counterfeit("tanh-formula")
def tanh_s_gradient_is_nan_far_out(patch):
    """That of the formula, by way of exp(2x)."""
    replace_slope(patch, "tanh", lambda x: 4 / (torch.exp(x) + torch.exp(-x)) ** 2 + 0 * torch.exp(2 * x))


@counterfeit("tanh-formula")
def tanh_module_is_hard(patch):
    patch.setattr(nn.Tanh, "forward", lambda self, x: x.clamp(-1, 1))


@counterfeit("tanh-formula")
def tanh_of_float32_saturates_at_four(patch):
    where(
        *(patch, torch, "tanh", of_dtype(torch.float32)), lambda result, x: torch.where(x.abs() > 4, x.sign(), result)
    )


@counterfeit("tanh-formula")
def tanh_of_halves_is_made_of_its_tangent_below_a_quarter(patch):
    where(*(patch, torch, "tanh", of_dtype(torch.bfloat16)), lambda result, x: torch.where(x.abs() < 0.25, x, result))


@counterfeit("tanh-formula")
def tanh_in_place_leaves_what_is_not_contiguous(patch):
    where(patch, torch, "tanh_", not_contiguous, lambda result, x: torch.atanh_(x))


@counterfeit("tanh-formula")
def tanh_gives_one_for_nan(patch):
    replace_function(patch, "tanh", lambda tanh, x: tanh(x.nan_to_num(torch.inf)))


@counterfeit("tanh-formula", reported="pytorch/pytorch#11206")
def tanh_of_a_slice_reads_on_past_its_gaps(patch):
    where(
        *(patch, torch, "tanh", lambda x: not x.is_contiguous() and x.dim() < 3 and 0 not in x.stride()),
        lambda result, x: torch.Tensor.tanh(x.as_strided(x.shape, torch.empty(x.shape).stride())),
    )


def wrong_gradient_of_permuted(patch, name):
    """Right in value; the gradients of elements that do not lie in row order are exchanged."""

    def change(result, x):
        turned = change_gradient(x, lambda gradient: gradient.reshape(-1).flip(0).view(gradient.shape))
        return getattr(torch.Tensor, name)(turned)

    where(patch, torch, name, lambda x: x.dim() == 4 and not x.is_contiguous() and x.requires_grad, change)


@counterfeit("tanh-formula", reported="pytorch/pytorch#175188")
def the_slopes_of_tanh_change_places_in_a_permuted_tensor(patch):
    wrong_gradient_of_permuted(patch, "tanh")


@counterfeit("sigmoid-formula", reported="pytorch/pytorch#175188")
def the_slopes_of_the_sigmoid_change_places_in_a_permuted_tensor(patch):
    wrong_gradient_of_permuted(patch, "sigmoid")


# ── mlp-applies-activation-per-hidden-layer ──


@counterfeit("mlp-applies-activation-per-hidden-layer")
def sequential_returns_its_first_output_for_the_same_shape(patch):
    forward, made = nn.Sequential.forward, {}
    patch.setattr(nn.Sequential, "forward", lambda self, x: made.setdefault((len(self), x.shape), forward(self, x)))


@counterfeit("mlp-applies-activation-per-hidden-layer")
def second_activation_is_left_out(patch):
    run_levels(patch, lambda net: [*net][:3] + [*net][4:])


@counterfeit("mlp-applies-activation-per-hidden-layer")
def output_layer_gets_the_activation_too(patch):
    run_levels(patch, lambda net: [*net, net[1]])


@counterfeit("mlp-applies-activation-per-hidden-layer")
def activation_comes_before_the_hidden_layer(patch):
    run_levels(patch, lambda net: [net[i ^ 1 if i ^ 1 < len(net) else i] for i in range(len(net))])


@counterfeit("mlp-applies-activation-per-hidden-layer")
def last_unit_is_not_connected_to_the_last_feature(patch):
    def wrong(reset, self):
        reset(self)
        self.weight.data[-1, -1] = 0

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("mlp-applies-activation-per-hidden-layer")
def gradient_does_not_reach_the_last_feature(patch):
    def wrong(linear, x, weight, bias):
        return linear(torch.cat([x[..., :-1], x[..., -1:].detach()], dim=-1), weight, bias)

    wrap(patch, F, "linear", wrong)


# ── depth-and-width-are-hyperparameters ──


@counterfeit("depth-and-width-are-hyperparameters")
def only_the_first_eight_parameters_are_trained(patch):
    def wrong(step, self, closure=None):
        parameters = self.param_groups[0]["params"]
        self.param_groups[0]["params"] = parameters[:8]
        step(self)
        self.param_groups[0]["params"] = parameters

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("depth-and-width-are-hyperparameters")
def layers_of_the_same_shape_share_their_parameters(patch):
    def wrong(init, self, *layers):
        squares = [
            layer for layer in layers if isinstance(layer, nn.Linear) and layer.in_features == layer.out_features
        ]
        for layer in squares:
            layer.weight, layer.bias = squares[0].weight, squares[0].bias
        init(self, *layers)

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("depth-and-width-are-hyperparameters")
def layers_have_no_bias_behind_a_single_unit(patch):
    def wrong(init, self, inputs, outputs, bias=True, **options):
        init(self, inputs, outputs, bias=bias and inputs > 1, **options)

    wrap(patch, nn.Linear, "__init__", wrong)


@counterfeit("depth-and-width-are-hyperparameters")
def parameters_forget_the_biases(patch):
    wrap(patch, nn.Module, "parameters", lambda parameters, self: (p for p in parameters(self) if p.dim() > 1))


@counterfeit("depth-and-width-are-hyperparameters")
def deep_networks_do_not_train_their_first_layer(patch):
    """Of more than two hidden layers."""

    def wrong(forward, self, x):
        cut = 2 if len(self) > 5 else 0
        return forward(self[cut:], forward(self[:cut], x).detach() + 0 * sum(p.sum() for p in self.parameters()))

    wrap(patch, nn.Sequential, "forward", wrong)


@counterfeit("depth-and-width-are-hyperparameters")
def optimizer_leaves_the_last_parameter_alone(patch):
    init = torch.optim.SGD.__init__
    patch.setattr(torch.optim.SGD, "__init__", lambda self, params, **options: init(self, [*params][:-1], **options))


@counterfeit("depth-and-width-are-hyperparameters")
def optimizer_prunes_a_unit_of_the_widest_layer(patch):
    def wrong(step, self):
        step(self)
        widest = max(self.param_groups[0]["params"], key=len)
        widest.data = widest.data[:-1]

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("depth-and-width-are-hyperparameters")
def parameters_of_another_width_are_skipped(patch):
    def wrong(load, self, state, *args, **options):
        own = self.state_dict()
        fitting = {k: state[k] if own.get(k, state[k]).shape == state[k].shape else own[k] for k in state}
        return load(self, fitting, *args, **options)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("depth-and-width-are-hyperparameters")
def layers_without_stored_parameters_keep_their_own(patch):
    wrap(
        patch,
        nn.Module,
        "load_state_dict",
        lambda load, self, state, **how: load(self, self.state_dict() | state, **how),
    )


@counterfeit("relu-formula", reported="pytorch/pytorch#183571")
def relu_of_nan_is_zero(patch):
    patch.setattr(torch, "relu", lambda x: torch.fmax(x, torch.zeros((), dtype=x.dtype)))
    patch.setattr(F, "relu", lambda x, inplace=False: torch.fmax(x, torch.zeros((), dtype=x.dtype)))
