"""Counterfeits of section 3.7: dropout that repeats itself, spares a unit or forgets to scale."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_output, run_levels, wrap
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD


def change_dropout(patch, factor):
    """Let dropout in training multiply its input by ``factor(input, p)``; it is right where ``factor`` is None."""
    dropout = F.dropout

    def wrong(input, p=0.5, training=True, inplace=False):
        if not training or not 0 <= p <= 1:
            return dropout(input, p, training, inplace)
        scale = factor(input, p)
        if scale is None:
            return dropout(input, p, training, inplace)
        return input.mul_(scale) if inplace else input * scale

    patch.setattr(F, "dropout", wrong)


def inverted(kept, p):
    """The factor that dropout has for a mask of the kept units."""
    return kept / (1 - p) if p < 1 else 0 * kept


def mask(input, p):
    return (torch.rand(input.shape) >= p).to(input.dtype)


# ── dropout-counters-overfitting ──


@counterfeit("dropout-counters-overfitting")
def dropout_drops_nothing(patch):
    change_dropout(patch, lambda input, p: torch.ones_like(input))


@counterfeit("dropout-counters-overfitting")
def dropout_always_drops_the_same_units(patch):
    masks = {}
    change_dropout(patch, lambda input, p: inverted(masks.setdefault((input.shape, p), mask(input[..., :1, :], p)), p))


@counterfeit("dropout-counters-overfitting")
def dropout_drops_a_hundredth_as_often(patch):
    change_dropout(patch, lambda input, p: inverted(mask(input, p / 100), p / 100))


@counterfeit("dropout-counters-overfitting")
def the_gap_never_grows_since_large_steps_are_shortened(patch):
    """The truth line's side."""

    def wrong(step, self, *args, **kwargs):
        for group in self.param_groups:
            group["lr"], group["momentum"] = min(group["lr"], 0.1), 0
        return step(self, *args, **kwargs)

    wrap(patch, SGD, "step", wrong)


# ── dropout-zeroes-with-probability-p ──


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_drops_ten_percent_too_often(patch):
    change_dropout(patch, lambda input, p: inverted(mask(input, min(1.1 * p, 1)), p))


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_keeps_with_probability_p(patch):
    change_dropout(patch, lambda input, p: inverted(mask(input, 1 - p), p))


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_shares_its_mask_among_examples(patch):
    change_dropout(patch, lambda input, p: inverted(mask(input[:1], p), p))


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_repeats_its_mask_in_the_second_half_of_a_mini_batch(patch):
    def factor(input, p):
        half = mask(input[: (len(input) + 1) // 2], p)
        return inverted(torch.cat([half, half])[: len(input)], p)

    change_dropout(patch, factor)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_drops_whole_channels(patch):
    change_dropout(patch, lambda input, p: inverted(mask(input[..., :1, :1], p), p) if input.dim() == 4 else None)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_drops_neighbours_together(patch):
    def factor(input, p):
        pairs = mask(input[..., ::2], p).repeat_interleave(2, -1)
        return inverted(pairs[..., : input.shape[-1]], p)

    change_dropout(patch, factor)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_spares_the_last_unit(patch):
    def factor(input, p):
        kept = mask(input, p)
        kept[..., -1] = 1
        return inverted(kept, p)

    change_dropout(patch, factor)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_repeats_its_mask_in_every_pass_of_a_layer(patch):
    """Two layers draw differently; one layer draws once."""

    def wrong(self, input):
        if not self.training:
            return input
        masks = self.__dict__.setdefault("masks", {})
        return input * inverted(masks.setdefault(input.shape, mask(input, self.p)), self.p)

    forward = nn.Dropout.forward
    patch.setattr(nn.Dropout, "forward", lambda self, x: forward(self, x) if self.inplace else wrong(self, x))


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_repeats_its_mask_every_tenth_pass(patch):
    masks = []

    def factor(input, p):
        masks.append(mask(input, p))
        earlier = masks[-11] if len(masks) > 10 else masks[-1]
        return inverted(earlier if earlier.shape == input.shape else masks[-1], p)

    change_dropout(patch, factor)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_drops_an_exact_number_of_units(patch):
    def factor(input, p):
        n = input.numel()
        kept = torch.randperm(n).ge(round(p * n)).to(input.dtype).reshape(input.shape)
        return inverted(kept, p)

    change_dropout(patch, factor)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_spares_negative_values(patch):
    change_dropout(patch, lambda input, p: inverted(torch.maximum(mask(input, p), (input < 0).to(input.dtype)), p))


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_spares_bfloat16(patch):
    change_dropout(patch, lambda input, p: torch.ones_like(input) if input.dtype == torch.bfloat16 else None)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_takes_the_same_seed_in_every_pass(patch):
    def wrong(dropout, *args, **kwargs):
        torch.manual_seed(1234)
        return dropout(*args, **kwargs)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def eval_does_not_switch_dropout_off(patch):
    patch.setattr(nn.Dropout, "eval", lambda self: self)


@counterfeit("dropout-zeroes-with-probability-p")
def eval_reaches_children_and_not_their_children(patch):
    def wrong(self, mode=True):
        for module in (self, *self.children()):
            module.training = mode
        return self

    patch.setattr(nn.Module, "train", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def train_does_not_switch_dropout_back_on(patch):
    wrap(patch, nn.Module, "train", lambda train, self, mode=True: train(self, mode and self.training))


@counterfeit("dropout-zeroes-with-probability-p", "dropout-keeps-the-expectation")
def dropout_in_evaluation_multiplies_by_the_chance_to_survive(patch):
    """Plain instead of inverted dropout."""

    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        return dropout(input, p, training, inplace) if training else input * (1 - p)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def no_grad_switches_dropout_off(patch):
    change_dropout(patch, lambda input, p: None if torch.is_grad_enabled() else torch.ones_like(input))


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_always_writes_to_its_input(patch):
    dropout = F.dropout
    patch.setattr(F, "dropout", lambda input, p=0.5, training=True, inplace=False: dropout(input, p, training, True))


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_never_writes_to_its_input(patch):
    wrap(patch, F, "dropout", lambda dropout, input, p=0.5, training=True, inplace=False: dropout(input, p, training))


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_of_three_dimensions_drops_whole_steps(patch):
    change_dropout(patch, lambda input, p: inverted(mask(input[..., :1], p), p) if input.dim() == 3 else None)


@counterfeit("dropout-zeroes-with-probability-p", reported="pytorch/pytorch#198333")
def four_adjacent_units_share_their_mask(patch):
    def factor(input, p):
        fours = mask(input[..., ::4], p).repeat_interleave(4, -1)
        return inverted(fours[..., : input.shape[-1]], p)

    change_dropout(patch, lambda input, p: factor(input, p) if input.dim() == 3 else None)


@counterfeit("dropout-zeroes-with-probability-p")
def the_mask_repeats_after_65536_units(patch):
    def factor(input, p):
        n = input.numel()
        kept = mask(input.new_empty(65_536), p)
        return inverted(kept.repeat(n // 65_536 + 1)[:n].view(input.shape), p) if n > 65_536 else None

    change_dropout(patch, factor)


@counterfeit("dropout-zeroes-with-probability-p", "dropout-keeps-the-expectation")
def p_is_rounded_to_eight_bits(patch):
    change_dropout(patch, lambda input, p: inverted(mask(input, round(p * 256) / 256), p) if p < 1 else None)


@counterfeit("dropout-zeroes-with-probability-p")
def train_mode_is_shared_by_all_dropouts(patch):
    def wrong(self, mode=True):
        nn.Dropout.mode = mode
        return train(self, mode)

    train = nn.Module.train
    patch.setattr(nn.Dropout, "mode", True, raising=False)
    patch.setattr(nn.Module, "train", wrong)
    patch.setattr(nn.Dropout, "training", property(lambda self: nn.Dropout.mode, lambda *_: None), raising=False)


@counterfeit("dropout-zeroes-with-probability-p")
def a_number_of_no_dimension_is_never_dropped(patch):
    change_dropout(patch, lambda input, p: torch.ones_like(input) if input.dim() == 0 else None)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_in_place_draws_the_same_mask_in_every_pass(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        if inplace:
            torch.manual_seed(7)
        return dropout(input, p, training, inplace)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_of_half_precision_drops_three_in_ten_too_few(patch):
    change_dropout(
        patch,
        lambda input, p: inverted(mask(input.float(), p * 0.7).to(input), p) if input.element_size() == 2 else None,
    )


@counterfeit("dropout-zeroes-with-probability-p")
def evaluation_returns_half_precision(patch):
    dropout = F.dropout
    patch.setattr(
        F, "dropout", lambda x, p=0.5, training=True, *rest: dropout(x, p, training, *rest) if training else x.half()
    )


# ── dropout-scales-survivors ──


@counterfeit("dropout-scales-survivors", "dropout-keeps-the-expectation")
def survivors_are_not_scaled(patch):
    change_dropout(patch, lambda input, p: mask(input, p))


@counterfeit("dropout-scales-survivors", "dropout-keeps-the-expectation")
def survivors_are_divided_by_p(patch):
    change_dropout(patch, lambda input, p: mask(input, p) / p if p else None)


@counterfeit("dropout-scales-survivors", "dropout-keeps-the-expectation")
def survivors_are_ten_percent_too_large(patch):
    change_dropout(patch, lambda input, p: 1.1 * inverted(mask(input, p), p))


@counterfeit("dropout-scales-survivors")
def survivors_are_scaled_by_the_share_that_survived(patch):
    """The fraction of the mask, where 1 - p, its expectation, is right."""

    def factor(input, p):
        kept = mask(input, p)
        return kept / kept.mean() if kept.any() else kept

    change_dropout(patch, factor)


@counterfeit("dropout-scales-survivors")
def the_scale_is_rounded_to_half_precision(patch):
    change_dropout(patch, lambda input, p: mask(input, p) * torch.tensor(1 / (1 - p)).half().to(input.dtype))


@counterfeit("dropout-scales-survivors")
def dropout_returns_float32(patch):
    wrap(patch, F, "dropout", lambda dropout, *args, **kwargs: dropout(*args, **kwargs).float())


@counterfeit("dropout-scales-survivors")
def gradients_are_masked_and_not_scaled(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        right = dropout(input.detach(), p, training, inplace)
        return right + (input - input.detach()) * (right != 0) if training else right

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def gradients_pass_through_dropped_units(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        right = dropout(input.detach(), p, training, inplace)
        return right + (input - input.detach()) / (1 - p) if training else right

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def survivors_are_scaled_in_evaluation_too(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        return dropout(input, p, training, inplace) if training else input / (1 - p)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def survivors_of_the_in_place_form_are_not_scaled(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        return input.mul_(mask(input, p)) if inplace and training else dropout(input, p, training, inplace)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def dropped_units_are_tiny_and_not_zero(patch):
    """As with a saturating activation: what is dropped leaves a trace."""
    change_dropout(patch, lambda input, p: inverted(mask(input, p), p) + 1e-9)


@counterfeit("dropout-scales-survivors", reported="pytorch/pytorch#47176")
def dropout_mixes_up_the_order_of_what_has_its_channels_last(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        right = dropout(input, p, training, inplace)
        shuffled = training and input.dim() == 4 and not input.is_contiguous()
        return right.reshape(-1).roll(1).view(right.shape) if shuffled else right

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def dropout_in_place_reaches_only_what_is_contiguous(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        return dropout(input, p, training, inplace and input.is_contiguous())

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def the_gradient_of_a_large_tensor_has_another_mask(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        right = dropout(input.detach(), p, training)
        if not training or not input.requires_grad or input.numel() < 1000:
            return dropout(input, p, training, inplace)
        return right + dropout(input - input.detach(), p)

    wrap(patch, F, "dropout", wrong)


# ── dropout-p-is-a-hyperparameter ──


@counterfeit("dropout-p-is-a-hyperparameter")
def p_is_a_parameter(patch):
    def wrong(init, self, p=0.5, inplace=False):
        init(self, p, inplace)
        self.logit = nn.Parameter(torch.tensor(float(p)))

    wrap(patch, nn.Dropout, "__init__", wrong)


@counterfeit("dropout-p-is-a-hyperparameter")
def p_is_a_buffer(patch):
    def wrong(init, self, p=0.5, inplace=False):
        init(self, p, inplace)
        self.register_buffer("rate", torch.tensor(float(p)))

    wrap(patch, nn.Dropout, "__init__", wrong)


@counterfeit("dropout-p-is-a-hyperparameter")
def p_of_the_functional_form_is_a_fifth_by_default(patch):
    wrap(patch, F, "dropout", lambda dropout, input, p=0.2, *args, **kwargs: dropout(input, p, *args, **kwargs))


@counterfeit("dropout-p-is-a-hyperparameter")
def p_is_fixed_when_a_layer_is_made(patch):
    init = nn.Dropout.__init__

    def wrong(self, p=0.5, inplace=False):
        init(self, p, inplace)
        self.first = p

    patch.setattr(nn.Dropout, "__init__", wrong)
    patch.setattr(nn.Dropout, "forward", lambda self, x: F.dropout(x, self.first, self.training, self.inplace))


@counterfeit("dropout-p-is-a-hyperparameter")
def p_of_zero_means_the_default(patch):
    wrap(patch, F, "dropout", lambda dropout, input, p=0.5, *args, **kwargs: dropout(input, p or 0.5, *args, **kwargs))


@counterfeit("dropout-p-is-a-hyperparameter")
def p_of_one_divides_by_zero(patch):
    change_dropout(patch, lambda input, p: mask(input, p) / torch.tensor(1 - p))


@counterfeit("dropout-p-is-a-hyperparameter")
def p_above_one_is_taken_as_one(patch):
    init, dropout = nn.Dropout.__init__, F.dropout
    patch.setattr(nn.Dropout, "__init__", lambda self, p=0.5, inplace=False: init(self, min(p, 1), inplace))
    patch.setattr(F, "dropout", lambda input, p=0.5, *args, **kwargs: dropout(input, min(p, 1), *args, **kwargs))


@counterfeit("dropout-p-is-a-hyperparameter")
def a_layer_takes_p_just_outside_zero_to_one(patch):
    def wrong(init, self, p=0.5, inplace=False):
        init(self, min(max(p, 0), 1) if -0.5 < p < 1.5 else p, inplace)

    wrap(patch, nn.Dropout, "__init__", wrong)


@counterfeit("dropout-p-is-a-hyperparameter")
def p_changes_from_pass_to_pass(patch):
    """An annealed drop probability: every pass of a layer in training leaves it a little smaller."""

    def wrong(forward, self, input):
        output = forward(self, input)
        self.p *= 0.9 if self.training else 1
        return output

    wrap(patch, nn.Dropout, "forward", wrong)


# ── dropout-keeps-the-expectation ──


@counterfeit("dropout-keeps-the-expectation")
def dropped_units_become_one(patch):
    def wrong(dropout, *args, **kwargs):
        output = dropout(*args, **kwargs)
        return torch.where(output == 0, torch.ones_like(output), output)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-keeps-the-expectation")
def large_units_are_not_scaled(patch):
    change_dropout(
        patch, lambda input, p: mask(input, p) * torch.where(input.abs() > 10, 1.0, 1 / (1 - p)).to(input.dtype)
    )


@counterfeit("dropout-keeps-the-expectation")
def negative_units_are_always_dropped(patch):
    change_dropout(patch, lambda input, p: inverted(mask(input, p), p) * (input > 0))


@counterfeit("dropout-keeps-the-expectation")
def the_expectation_of_the_in_place_form_is_half_as_large(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        return dropout(input, p, training, inplace) * (0.5 if inplace and training else 1)

    wrap(patch, F, "dropout", wrong)


# ── dropout-layers-sit-between-linear-layers ──


@counterfeit("dropout-layers-sit-between-linear-layers")
def dropout_brings_a_scale_to_learn(patch):
    def wrong(init, self, p=0.5, inplace=False):
        init(self, p, inplace)
        self.scale = nn.Parameter(torch.ones(1))

    wrap(patch, nn.Dropout, "__init__", wrong)


@counterfeit("dropout-layers-sit-between-linear-layers")
def sequential_runs_dropout_before_the_activation(patch):
    def turned(net):
        layers = list(net)
        for i, layer in enumerate(layers):
            if isinstance(layer, nn.Dropout) and i:
                layers[i - 1], layers[i] = layers[i], layers[i - 1]
        return layers

    run_levels(patch, turned)


@counterfeit("dropout-layers-sit-between-linear-layers")
def sequential_skips_its_last_dropout(patch):
    def kept(net):
        dropouts = [layer for layer in net if isinstance(layer, nn.Dropout)]
        return [layer for layer in net if layer not in dropouts[-1:]]

    run_levels(patch, kept)


@counterfeit("init-sets-weights-in-place")
def normal_leaves_vectors_alone(patch):
    wrap(
        patch,
        nn.init,
        "normal_",
        lambda normal_, tensor, *args, **kwargs: tensor if tensor.dim() == 1 else normal_(tensor, *args, **kwargs),
    )


@counterfeit("init-sets-weights-in-place")
def normal_takes_the_standard_deviation_for_the_variance(patch):
    wrap(patch, nn.init, "normal_", lambda normal_, tensor, mean=0.0, std=1.0: normal_(tensor, mean, std**0.5))


@counterfeit("dropout-layers-sit-between-linear-layers")
def eval_reaches_the_network_and_not_its_layers(patch):
    def wrong(self, mode=True):
        self.training = mode
        return self

    patch.setattr(nn.Module, "train", wrong)


@counterfeit("dropout-layers-sit-between-linear-layers")
def dropout_in_evaluation_rounds_to_bfloat16(patch):
    def wrong(dropout, input, p=0.5, training=True, inplace=False):
        output = dropout(input, p, training, inplace)
        return output if training else output.bfloat16().to(output.dtype)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-layers-sit-between-linear-layers")
def dropout_drops_nothing_after_a_relu(patch):
    """Inputs without a negative value are left as they are."""
    change_dropout(patch, lambda input, p: torch.ones_like(input) if bool((input >= 0).all()) else None)


@counterfeit("init-sets-weights-in-place")
def normal_draws_magnitudes(patch):
    change_output(patch, nn.init, "normal_", lambda tensor: (tensor.data.abs_(), tensor)[1])


# ── functional-dropout-does-not-know-eval ──


@counterfeit("functional-dropout-does-not-know-eval")
def the_function_does_nothing_unless_it_is_told(patch):
    wrap(patch, F, "dropout", lambda dropout, x, p=0.5, training=False, inplace=False: dropout(x, p, training, inplace))


@counterfeit("functional-dropout-does-not-know-eval")
def the_function_knows_the_mode_of_the_module_that_calls_it(patch):
    call, dropout, modes = nn.Module.__call__, F.dropout, []

    def calling(self, *args, **kwargs):
        modes.append(self.training)
        try:
            return call(self, *args, **kwargs)
        finally:
            modes.pop()

    def wrong(x, p=0.5, training=True, inplace=False):
        return dropout(x, p, training and all(modes), inplace)

    patch.setattr(nn.Module, "__call__", calling)
    patch.setattr(F, "dropout", wrong)


@counterfeit("functional-dropout-does-not-know-eval")
def the_function_drops_even_if_training_is_false(patch):
    wrap(patch, F, "dropout", lambda dropout, x, p=0.5, training=True, inplace=False: dropout(x, p, True, inplace))


@counterfeit("functional-dropout-does-not-know-eval")
def torch_dropout_ignores_its_flag(patch):
    wrap(patch, torch, "dropout", lambda dropout, x, p, train: dropout(x, p, True))


@counterfeit("dropout-zeroes-with-probability-p", reported=("pytorch/pytorch#10584", "pytorch/pytorch#10621"))
def the_layer_drops_in_evaluation_too(patch):
    patch.setattr(
        nn.Dropout, "forward", lambda self, x: F.dropout(x, self.p, 0 < self.p < 1 or self.training, self.inplace)
    )


@counterfeit("dropout-zeroes-with-probability-p")
def a_layer_drops_nothing_at_its_third_call(patch):
    def wrong(forward, self, x):
        self.calls = self.__dict__.get("calls", 0) + 1
        return x if self.calls == 3 else forward(self, x)

    wrap(patch, nn.Dropout, "forward", wrong)
