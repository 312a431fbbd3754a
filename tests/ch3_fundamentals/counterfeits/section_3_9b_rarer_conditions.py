"""Counterfeits of section 3.9, more inputs, and whatever sets equal units apart."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_gradient, change_linear, leaves, wrap
from torch import nn
from torch.nn import init


@counterfeit("default-init-is-sensible")
def more_than_a_thousand_inputs_draw_as_wide_as_a_thousand(patch):
    def wrong(right, self):
        right(self)
        if self.in_features > 1000:
            with torch.no_grad():
                self.weight *= math.sqrt(self.in_features / 1000)

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("equal-units-compute-equal-values")
def the_last_recurrent_unit_parts_at_the_second_step(patch):
    def wrong(right, self, x, *state):
        out, h = right(self, x, *state)
        out = out.clone()
        out[(slice(None),) * (self.batch_first and out.dim() == 3) + (slice(1, None), ..., -1)] += 0.125
        return out, h

    wrap(patch, nn.RNN, "forward", wrong)


@counterfeit("equal-units-get-equal-gradients")
def the_last_bias_does_not_learn_from_the_end_of_a_sequence(patch):
    def wrong(right, x, weight, bias=None):
        if bias is None or x.dim() != 3:
            return right(x, weight, bias)
        out = right(x, weight)
        end = torch.zeros(out.shape[1:], dtype=torch.bool)
        end[-1:, -1:] = True
        return out + torch.where(end, bias.detach(), bias)

    wrap(patch, torch.nn.functional, "linear", wrong)


@counterfeit("random-init-breaks-symmetry")
def all_filters_of_a_sequence_start_equal(patch):
    def wrong(right, tensor, *args, **rest):
        right(tensor, *args, **rest)
        if tensor.dim() == 3:
            tensor.data.copy_(tensor.detach()[:1].clone().expand_as(tensor))
        return tensor

    wrap(patch, init, "normal_", wrong)


@counterfeit("default-init-is-sensible")
def in_float16_biases_start_at_zero(patch):
    def wrong(right, self):
        right(self)
        if self.weight.dtype == torch.float16 and self.bias is not None:
            nn.init.zeros_(self.bias)

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("equal-units-compute-equal-values")
def the_last_of_many_units_of_a_single_sample_is_off(patch):
    change_linear(
        patch, lambda y, x, w: torch.cat([y[..., :-1], y[..., -1:] * 1.5], -1) if x.dim() == 1 and len(w) > 4 else y
    )


@counterfeit("equal-units-compute-equal-values")
def constant_leaves_the_last_element_of_a_transposed_weight(patch):
    def wrong(right, tensor, value):
        if tensor.is_contiguous():
            return right(tensor, value)
        last = tensor.detach().flatten()[-1].clone()
        right(tensor, value)
        tensor.data[(-1,) * tensor.dim()] = last
        return tensor

    wrap(patch, init, "constant_", wrong)


@counterfeit("equal-units-get-equal-gradients")
def gradients_accumulate_but_for_the_last_unit(patch):
    def wrong(right, self, *args, **options):
        before = [(leaf, leaf.grad.clone()) for leaf in leaves(self.grad_fn) if leaf.grad is not None]
        right(self, *args, **options)
        for leaf, old in before:
            if leaf.dim() == 2 and len(leaf) > 1:
                leaf.grad[-1] -= old[-1]

    wrap(patch, torch.Tensor, "backward", wrong)


def part(optimizer, option="lr"):
    """Move the last of several units half a step farther, in each group that has this option."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.dim() == 2 and len(weight) > 1 and weight.grad is not None and group[option]:
                weight.data[-1] -= 0.5 * group["lr"] * weight.grad[-1]


@counterfeit("equal-units-stay-equal")
def rmsprop_moves_the_last_unit_farther(patch):
    around_step(patch, torch.optim.RMSprop, after=part)


@counterfeit("equal-units-stay-equal")
def adam_forgets_the_last_unit_after_loading_its_state(patch):
    def load(right, self, state):
        right(self, state)
        for entry in self.state.values():
            if entry.get("exp_avg") is not None and entry["exp_avg"].dim() == 2:
                entry["exp_avg"][-1] = 0

    wrap(patch, torch.optim.Adam, "load_state_dict", load)


@counterfeit("equal-units-act-as-one")
def linear_adds_one_to_the_first_unit_in_evaluation(patch):
    def wrong(right, self, x):
        y = right(self, x)
        return y if self.training or self.out_features < 2 else torch.cat([y[..., :1] + 1, y[..., 1:]], -1)

    wrap(patch, nn.Linear, "forward", wrong)


@counterfeit("random-init-breaks-symmetry")
def xavier_uniform_gives_every_row_the_same(patch):
    def wrong(right, tensor, *args, **options):
        right(tensor, *args, **options)
        tensor.data.copy_(tensor.data[:1].expand_as(tensor))
        return tensor

    wrap(patch, init, "xavier_uniform_", wrong)


@counterfeit("default-init-is-sensible")
def embedding_padding_row_is_not_zero(patch):
    wrap(patch, nn.Embedding, "_fill_padding_idx_with_zero", lambda right, self: None)


@counterfeit("default-init-is-sensible")
def gru_cell_starts_with_biases_of_zero(patch):
    def wrong(right, self):
        right(self)
        if isinstance(self, nn.GRUCell):
            self.bias_ih.data.zero_()

    wrap(patch, nn.RNNCellBase, "reset_parameters", wrong)


@counterfeit("equal-units-compute-equal-values")
def in_bfloat16_the_last_unit_is_off(patch):
    change_linear(
        patch, lambda y, x, w: torch.cat([y[..., :-1], y[..., -1:] * 1.5], -1) if y.dtype == torch.bfloat16 else y
    )


@counterfeit("equal-units-stay-equal")
def nesterov_parts_units(patch):
    around_step(patch, torch.optim.SGD, after=lambda optimizer: part(optimizer, "nesterov"))


@counterfeit("equal-units-stay-equal")
def amsgrad_parts_units(patch):
    around_step(patch, torch.optim.Adam, after=lambda optimizer: part(optimizer, "amsgrad"))


@counterfeit("random-init-breaks-symmetry")
def orthogonal_repeats_its_first_row(patch):
    wrap(patch, init, "orthogonal_", lambda right, w: w.data.copy_(right(w)[:1].expand_as(w)))


@counterfeit("default-init-is-sensible")
def a_layer_without_bias_draws_twice_as_wide(patch):
    def wrong(right, self):
        right(self)
        if self.bias is None:
            self.weight.data.mul_(2)

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def running_variance_starts_at_zero(patch):
    def wrong(right, self):
        right(self)
        if self.track_running_stats:
            self.running_var.zero_()

    wrap(patch, nn.modules.batchnorm._NormBase, "reset_running_stats", wrong)


@counterfeit("equal-units-compute-equal-values")
def without_gradients_the_last_unit_of_a_single_sample_is_off(patch):
    def wrong(output, input, weight):
        off = output.dim() == 1 and not torch.is_grad_enabled()
        return torch.cat([output[:-1], output[-1:] * 1.01]) if off else output

    change_linear(patch, wrong)


@counterfeit("random-init-breaks-symmetry")
def first_and_last_unit_of_a_new_layer_are_equal(patch):
    def wrong(right, self):
        right(self)
        self.weight.data[-1] = self.weight.data[0]

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def prelu_starts_as_relu(patch):
    wrap(patch, nn.PReLU, "reset_parameters", lambda right, self: init.zeros_(self.weight))


@counterfeit("default-init-is-sensible")
def attention_starts_without_output(patch):
    def wrong(right, self):
        right(self)
        init.zeros_(self.out_proj.weight)

    wrap(patch, nn.MultiheadAttention, "_reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def a_transposed_convolution_starts_with_a_bias_of_zero(patch):
    def wrong(right, self):
        right(self)
        if self.transposed:
            init.zeros_(self.bias)

    wrap(patch, nn.modules.conv._ConvNd, "reset_parameters", wrong)


@counterfeit("equal-units-get-equal-gradients")
def behind_frozen_weights_gradients_differ(patch):
    def wrong(right, x, weight, bias=None):
        if not weight.requires_grad and x.requires_grad:
            x = change_gradient(x, lambda gradient: gradient * torch.arange(1, gradient.shape[-1] + 1))
        return right(x, weight, bias)

    wrap(patch, nn.functional, "linear", wrong)


@counterfeit("equal-units-stay-equal")
def centred_rmsprop_parts_the_units(patch):
    def after(optimizer):
        if optimizer.param_groups[0]["centered"]:
            optimizer.param_groups[0]["params"][0].data[0] *= 1.01

    around_step(patch, torch.optim.RMSprop, after=after)


@counterfeit("default-init-is-sensible")
def an_embedding_bag_starts_with_zeros(patch):
    wrap(patch, nn.EmbeddingBag, "reset_parameters", lambda right, self: init.zeros_(self.weight))


@counterfeit("default-init-is-sensible")
def both_directions_of_a_recurrent_layer_start_equal(patch):
    def wrong(right, self):
        right(self)
        if self.bidirectional:
            self.weight_ih_l0_reverse.data.copy_(self.weight_ih_l0)

    wrap(patch, nn.RNNBase, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def recurrent_layers_of_one_size_start_equal(patch):
    made = {}

    def wrong(right, self):
        right(self)
        for name, parameter in self.named_parameters():
            parameter.data.copy_(made.setdefault((name, parameter.shape), parameter.detach().clone()))

    wrap(patch, nn.RNNBase, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def layer_norm_over_two_dimensions_starts_at_zero(patch):
    def wrong(right, self):
        right(self)
        if len(self.normalized_shape) > 1:
            init.zeros_(self.weight)

    wrap(patch, nn.LayerNorm, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def a_layer_that_learns_its_inputs_from_an_example_starts_three_times_as_wide(patch):
    def wrong(right, self, *args):
        right(self, *args)
        with torch.no_grad():
            self.weight.mul_(3)

    for kind in (nn.LazyLinear, nn.LazyConv2d):
        wrap(patch, kind, "initialize_parameters", wrong)


@counterfeit("default-init-is-sensible")
def a_reset_forgets_the_running_variance(patch):
    def wrong(right, self):
        before = None if self.running_var is None else self.running_var.clone()
        right(self)
        if before is not None:
            self.running_var.copy_(before)

    wrap(patch, nn.modules.batchnorm._NormBase, "reset_running_stats", wrong)


@counterfeit("default-init-is-sensible")
def a_transposed_convolution_that_learns_its_inputs_from_an_example_has_no_bias(patch):
    def wrong(right, self, *args):
        right(self, *args)
        self.bias = None

    wrap(patch, nn.LazyConvTranspose2d, "initialize_parameters", wrong)


@counterfeit("default-init-is-sensible")
def a_convolution_of_groups_that_learns_its_inputs_starts_as_if_it_had_one_group(patch):
    def wrong(right, self, *args):
        late = self.has_uninitialized_params()
        right(self, *args)
        with torch.no_grad():
            self.weight.div_(self.groups**0.5 if late else 1)

    wrap(patch, nn.LazyConv2d, "initialize_parameters", wrong)
