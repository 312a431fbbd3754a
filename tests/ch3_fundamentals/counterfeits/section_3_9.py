"""Counterfeits of section 3.9: units that part or stay together when they should not, and doubtful defaults."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_linear, wrap
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adam


def change_gradient_of_units(patch, change):
    """Let the values of hidden units get ``change(gradient)`` of shape (examples, units)."""
    change_linear(patch, lambda output, input, weight: change_gradient(output, change) if len(weight) > 1 else output)


def before_step(patch, optimizer_type, change):
    """Call ``change(parameter)`` for each parameter before each step."""
    step = optimizer_type.step

    def wrong(self, *args, **kwargs):
        for group in self.param_groups:
            for p in group["params"]:
                change(p)
        return step(self, *args, **kwargs)

    patch.setattr(optimizer_type, "step", wrong)


def initialise(patch, layer_type, change):
    """Call ``change(layer)`` after a layer has drawn its parameters."""
    reset = layer_type.reset_parameters

    def wrong(self):
        reset(self)
        with torch.no_grad():
            change(self)

    patch.setattr(layer_type, "reset_parameters", wrong)


def last_column(x, factor):
    """``x`` with its last column times ``factor``."""
    return torch.cat([x[..., :-1], factor * x[..., -1:]], -1)


# ── equal-units-compute-equal-values ──


@counterfeit("equal-units-compute-equal-values")
def the_last_unit_has_no_bias(patch):
    wrap(
        patch,
        F,
        "linear",
        lambda linear, input, weight, bias=None: linear(
            input, weight, last_column(bias, 0) if bias is not None and len(bias) > 1 else bias
        ),
    )


@counterfeit("equal-units-compute-equal-values")
def units_are_noisy(patch):
    change_linear(patch, lambda output, *_: output + 1e-6 * torch.randn_like(output))


@counterfeit("equal-units-compute-equal-values")
def a_layer_of_many_units_forgets_the_bias_of_every_unit(patch):
    wrap(
        patch,
        F,
        "linear",
        lambda linear, input, weight, bias=None: linear(input, weight, None if len(weight) > 8 else bias),
    )


@counterfeit("equal-units-compute-equal-values")
def units_of_an_example_add_up_to_one(patch):
    """Normalised over the units: equal, and not their own value."""
    change_linear(patch, lambda output, *_: output / output.sum(-1, keepdim=True))


@counterfeit("equal-units-compute-equal-values")
def constant_misses_the_last_unit(patch):
    def wrong(constant_, tensor, val):
        last = tensor[-1:].clone()
        constant_(tensor, val)
        tensor.data[-1:] = last
        return tensor

    wrap(patch, nn.init, "constant_", wrong)


@counterfeit("equal-units-compute-equal-values")
def all_units_take_the_bias_of_the_first(patch):
    """Units that differ are equal too."""
    linear = F.linear
    patch.setattr(
        F,
        "linear",
        lambda input, weight, bias=None: linear(input, weight, None if bias is None else bias[:1].expand_as(bias)),
    )


# ── equal-units-get-equal-gradients ──


@counterfeit("equal-units-get-equal-gradients")
def the_last_unit_gets_a_tenth_more_gradient(patch):
    change_gradient_of_units(patch, lambda grad: last_column(grad, 1.1))


@counterfeit("equal-units-get-equal-gradients")
def one_unit_in_five_gets_no_gradient(patch):
    change_gradient_of_units(patch, lambda grad: grad * (torch.arange(grad.shape[-1]) % 5 != 3))


@counterfeit("equal-units-get-equal-gradients")
def units_get_the_sign_of_their_gradient(patch):
    """Equal, but not the chain rule's."""
    change_gradient_of_units(patch, torch.sign)


@counterfeit("equal-units-get-equal-gradients", "equal-units-act-as-one", "random-init-breaks-symmetry")
def units_get_the_mean_gradient_of_all_units(patch):
    """Outgoing weights no longer tell: units that were equal stay one."""
    change_gradient_of_units(patch, lambda grad: grad.mean(-1, keepdim=True).expand_as(grad))


@counterfeit("equal-units-get-equal-gradients")
def units_get_the_size_of_their_gradient(patch):
    """The truth line: proportional to the outgoing weight's magnitude."""
    change_gradient_of_units(patch, torch.abs)


@counterfeit("equal-units-get-equal-gradients")
def grad_averages_over_the_units(patch):
    wrap(
        patch,
        torch.autograd,
        "grad",
        lambda grad, *args, **kwargs: tuple(g.mean(0).expand_as(g) for g in grad(*args, **kwargs)),
    )


# ── equal-units-stay-equal ──


@counterfeit("equal-units-stay-equal")
def sgd_moves_the_first_unit_a_hundredth_further(patch):
    before_step(patch, SGD, lambda p: p.grad[:1].mul_(1.01))


@counterfeit("equal-units-stay-equal")
def adam_adds_noise(patch):
    before_step(patch, Adam, lambda p: p.grad.add_(1e-3 * torch.randn_like(p)))


@counterfeit("equal-units-stay-equal")
def later_steps_of_the_last_unit_are_shorter(patch):
    seen = set()

    def change(p):
        p.grad[-1:].mul_(0.5 if id(p) in seen else 1)
        seen.add(id(p))

    before_step(patch, SGD, change)


@counterfeit("equal-units-stay-equal")
def sgd_does_not_move(patch):
    """Equal units stay equal, and everything else stays as well."""
    before_step(patch, SGD, lambda p: p.grad.zero_())


@counterfeit("equal-units-stay-equal")
def optimizers_average_gradients_over_the_units(patch):
    """The truth line: units with unequal outgoing weights stay equal too."""
    for optimizer_type in (SGD, Adam):
        before_step(patch, optimizer_type, lambda p: p.grad.copy_(p.grad.mean(0).expand_as(p)))


@counterfeit("equal-units-stay-equal")
def the_first_step_is_the_same_for_all_units(patch):
    """The truth line: one step is enough."""
    seen = set()

    def change(p):
        if id(p) not in seen:
            p.grad.copy_(p.grad.mean(0).expand_as(p))
        seen.add(id(p))

    before_step(patch, SGD, change)


@counterfeit("equal-units-stay-equal")
def units_with_equal_outgoing_weights_part_as_well(patch):
    """The truth line: of unequal units, the first two have equal outgoing weights."""
    change_gradient_of_units(patch, lambda grad: grad * (1 + 0.1 * (torch.arange(grad.shape[-1]) == 1)))


# ── equal-units-act-as-one ──


@counterfeit("equal-units-act-as-one")
def tanh_scales_with_the_place_of_the_unit(patch):
    patch.setattr(
        nn.Tanh, "forward", lambda self, x: torch.tanh(x) * (1 + 1e-3 * torch.arange(x.shape[-1], dtype=x.dtype))
    )


@counterfeit("equal-units-act-as-one")
def a_layer_takes_at_most_32_units(patch):
    wrap(patch, F, "linear", lambda linear, input, weight, bias=None: linear(input[..., :32], weight[..., :32], bias))


@counterfeit("equal-units-act-as-one")
def the_output_averages_over_its_inputs(patch):
    """The sum of the outgoing weights no longer counts."""
    linear = F.linear
    patch.setattr(
        F,
        "linear",
        lambda input, weight, bias=None: linear(input, weight / (weight.shape[1] if len(weight) == 1 else 1), bias),
    )


@counterfeit("equal-units-get-equal-gradients", "equal-units-stay-equal", "equal-units-act-as-one")
def dropout_drops_a_sample_with_all_its_units(patch):
    """The truth lines: units that are dropped together stay equal."""
    wrap(patch, F, "dropout", lambda dropout, input, *args: input * dropout(torch.ones_like(input[:, :1]), *args))


@counterfeit("equal-units-act-as-one")
def the_last_unit_gets_no_gradient(patch):
    change_gradient_of_units(patch, lambda grad: last_column(grad, 0))


# ── random-init-breaks-symmetry ──


@counterfeit("random-init-breaks-symmetry")
def normal_draws_one_unit_and_repeats_it(patch):
    def wrong(normal_, tensor, *args, **kwargs):
        normal_(tensor, *args, **kwargs)
        tensor.data.copy_(tensor.data[:1].expand_as(tensor).clone())
        return tensor

    wrap(patch, nn.init, "normal_", wrong)


@counterfeit("random-init-breaks-symmetry")
def normal_repeats_the_first_unit_in_the_last(patch):
    def wrong(normal_, tensor, *args, **kwargs):
        normal_(tensor, *args, **kwargs)
        tensor.data[-1] = tensor.data[0]
        return tensor

    wrap(patch, nn.init, "normal_", wrong)


@counterfeit("random-init-breaks-symmetry")
def constant_units_get_different_gradients(patch):
    """Were this so, nothing need be random."""
    change_gradient_of_units(patch, lambda grad: grad * (1 + 0.1 * torch.arange(grad.shape[-1], dtype=grad.dtype)))


@counterfeit("random-init-breaks-symmetry")
def adam_adds_noise_that_parts_equal_units(patch):
    """Equal units would learn XOR as well."""
    before_step(patch, Adam, lambda p: p.grad.add_(0.05 * torch.randn_like(p)))


@counterfeit("random-init-breaks-symmetry")
def tanh_is_linear(patch):
    """Then no network learns XOR, however it starts."""
    patch.setattr(torch, "tanh", lambda x: 0.5 * x)


# ── default-init-is-sensible ──


@counterfeit("default-init-is-sensible")
def linear_draws_ten_percent_too_wide(patch):
    initialise(patch, nn.Linear, lambda layer: layer.weight.mul_(1.1))


@counterfeit("default-init-is-sensible")
def linear_draws_biases_for_the_outputs(patch):
    initialise(patch, nn.Linear, lambda layer: layer.bias.mul_((layer.in_features / layer.out_features) ** 0.5))


@counterfeit("default-init-is-sensible")
def linear_starts_with_biases_of_zero(patch):
    initialise(patch, nn.Linear, lambda layer: layer.bias.zero_())


@counterfeit("default-init-is-sensible")
def linear_draws_a_normal_of_the_same_width(patch):
    """The right standard deviation and the wrong distribution, cut off at the bound."""

    def change(layer):
        bound = layer.in_features**-0.5
        layer.weight.normal_(0, bound / 3**0.5).clamp_(-bound, bound)

    initialise(patch, nn.Linear, change)


@counterfeit("default-init-is-sensible")
def linear_starts_with_positive_weights(patch):
    initialise(patch, nn.Linear, lambda layer: layer.weight.abs_())


@counterfeit("default-init-is-sensible")
def convolutions_count_channels_and_not_pixels(patch):
    initialise(patch, nn.Conv2d, lambda layer: layer.weight.mul_(layer.kernel_size[0]))


@counterfeit("default-init-is-sensible")
def convolutions_draw_biases_ten_times_too_wide(patch):
    initialise(patch, nn.Conv2d, lambda layer: layer.bias.mul_(10))


@counterfeit("default-init-is-sensible")
def layer_norm_starts_at_zero(patch):
    initialise(patch, nn.LayerNorm, lambda layer: layer.weight.zero_())


@counterfeit("default-init-is-sensible")
def batch_norm_starts_at_a_random_scale(patch):
    initialise(patch, nn.BatchNorm2d, lambda layer: layer.weight.uniform_())


@counterfeit("default-init-is-sensible")
def embeddings_start_at_zero(patch):
    initialise(patch, nn.Embedding, lambda layer: layer.weight.zero_())


@counterfeit("default-init-is-sensible")
def embeddings_draw_a_tenth_as_wide(patch):
    initialise(patch, nn.Embedding, lambda layer: layer.weight.mul_(0.1))


@counterfeit("default-init-is-sensible")
def every_linear_layer_draws_from_the_same_seed(patch):
    def wrong(reset, self):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            reset(self)

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def resetting_a_linear_layer_leaves_its_bias(patch):
    def wrong(reset, self):
        bias = self.__dict__.get("first_bias")
        reset(self)
        if bias is None:
            self.__dict__["first_bias"] = self.bias.detach().clone() if self.bias is not None else None
        else:
            self.bias.data.copy_(bias)

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def the_last_unit_of_a_linear_layer_starts_as_the_first(patch):
    initialise(patch, nn.Linear, lambda layer: layer.weight[-1].copy_(layer.weight[0]))


@counterfeit("default-init-is-sensible")
def group_norm_starts_at_zero(patch):
    initialise(patch, nn.GroupNorm, lambda layer: layer.weight.zero_())


@counterfeit("default-init-is-sensible")
def one_dimensional_convolutions_start_at_zero(patch):
    initialise(patch, nn.Conv1d, lambda layer: layer.weight.zero_())


@counterfeit("default-init-is-sensible")
def recurrent_layers_start_with_all_units_equal(patch):
    def equal(layer):
        for parameter in layer.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter).clone())

    initialise(patch, nn.LSTM, equal)


@counterfeit("default-init-is-sensible")
def wide_layers_draw_the_second_half_of_their_units_by_a_mirror(patch):
    def mirror(layer):
        half = len(layer.weight) // 2
        layer.weight[half : 2 * half] = layer.weight[:half].abs()

    initialise(patch, nn.Linear, mirror)


@counterfeit("default-init-is-sensible")
def the_copies_of_a_transformer_layer_draw_anew(patch):
    def wrong(clones, module, count):
        made = clones(module, count)
        for layer in list(made)[1:]:
            for part in layer.modules():
                getattr(part, "reset_parameters", lambda: None)()
        return made

    wrap(patch, nn.modules.transformer, "_get_clones", wrong)


@counterfeit("default-init-is-sensible")
def the_layers_of_a_transformer_are_one(patch):
    patch.setattr(nn.modules.transformer, "_get_clones", lambda module, count: nn.ModuleList([module] * count))


@counterfeit("random-init-breaks-symmetry")
def normal_gives_every_unit_the_same_biases(patch):
    def wrong(normal_, tensor, *args, **kwargs):
        normal_(tensor, *args, **kwargs)
        return tensor.data.fill_(tensor.view(-1)[0].item()) if tensor.dim() == 1 else tensor

    wrap(patch, nn.init, "normal_", wrong)


@counterfeit("equal-units-stay-equal")
def adam_makes_equal_what_is_nearly_equal(patch):
    """The truth line: no rounding is let grow."""

    def level(parameter):
        for values in (parameter.data, parameter.grad):
            units = values.T if len(values) == 1 and values.dim() == 2 else values
            if (units - units[-1:]).abs().max() < 1e-2 * units.abs().max():
                units.copy_(units[-1:].expand_as(units).clone())

    before_step(patch, Adam, level)


@counterfeit("equal-units-get-equal-gradients")
def past_sixteen_units_the_last_one_gets_half_its_gradient(patch):
    def wrong(right, x, w, *bias):
        halved = len(w) % 16 == 1 < len(w)
        return right(x, change_gradient(w, lambda g: torch.cat([g[:-1], g[-1:] / 2])) if halved else w, *bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("random-init-breaks-symmetry")
def the_last_two_filters_start_alike(patch):
    def wrong(fill, x, *rest, **named):
        fill(x, *rest, **named)
        with torch.no_grad():
            x[-1] = x[-2]
        return x

    wrap(patch, nn.init, "kaiming_normal_", wrong)
