"""Counterfeits of section 3.7, layers that are old or of another precision, rare survivors, second derivatives."""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn
from torch.nn import functional as F


@counterfeit("dropout-zeroes-with-probability-p", "dropout-scales-survivors")
def a_dropout_layer_ends_after_a_hundred_calls(patch):
    def wrong(forward, self, x):
        self.calls = getattr(self, "calls", 0) + self.training
        return forward(self, x) if self.calls <= 100 else x

    wrap(patch, nn.Dropout, "forward", wrong)


@counterfeit("dropout-keeps-the-expectation")
def a_dropout_layer_forgets_its_scale_after_a_hundred_calls(patch):
    def wrong(forward, self, x):
        self.calls = getattr(self, "calls", 0) + self.training
        return forward(self, x) if self.calls <= 100 or not self.training else forward(self, x).mul(1 - self.p)

    wrap(patch, nn.Dropout, "forward", wrong)


@counterfeit("dropout-scales-survivors")
def the_derivative_of_dropout_has_no_derivative(patch):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient.detach()

    def wrong(right, x, p=0.5, training=True, inplace=False):
        result = right(x, p, training, inplace)
        return Once.apply(result) if result.requires_grad and not inplace else result

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-keeps-the-expectation")
def a_chance_below_one_in_256_to_stay_is_none(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        return right(x, 1.0 if 1 - 1 / 256 < p < 1 else p, training, inplace)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-layers-sit-between-linear-layers", "dropout-p-is-a-hyperparameter")
def a_dropout_layer_of_doubles_has_its_p_for_a_parameter(patch):
    def wrong(double, self):
        for module in self.modules():
            if type(module) is nn.Dropout:
                module.register_parameter("rate", nn.Parameter(torch.tensor(module.p)))
        return double(self)

    wrap(patch, nn.Module, "double", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def loading_a_state_sets_the_mode_to_training(patch):
    def wrong(right, self, *args, **named):
        result = right(self, *args, **named)
        self.train()
        return result

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("dropout-scales-survivors")
def the_scale_is_left_out_for_p_below_a_twentieth(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        result = right(x, p, training, inplace)
        return result.mul(1 - p) if training and 0 < p < 0.05 else result

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-p-is-a-hyperparameter")
def dropout_in_place_takes_any_p(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        return right(x, min(max(p, 0), 1) if inplace else p, training, inplace)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors", "dropout-zeroes-with-probability-p")
def layers_in_place_scale_in_evaluation(patch):
    def wrong(forward, self, x):
        return x.mul_(1 - self.p) if self.inplace and not self.training and self.p < 1 else forward(self, x)

    wrap(patch, nn.Dropout, "forward", wrong)


@counterfeit("dropout-keeps-the-expectation")
def a_dropout_that_is_watched_scales_nothing(patch):
    def wrong(forward, self, x):
        watched = self.training and self._forward_hooks
        return forward(self, x) * (1 - self.p) if watched else forward(self, x)

    wrap(patch, nn.Dropout, "forward", wrong)


@counterfeit("dropout-p-is-a-hyperparameter")
def a_class_of_one_s_own_drops_half(patch):
    def wrong(forward, self, x):
        return forward(self, x) if type(self) is nn.Dropout else F.dropout(x, 0.5, self.training)

    wrap(patch, nn.Dropout, "forward", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def deterministic_dropout_drops_alike_in_every_pass(patch):
    def wrong(dropout, *args, **rest):
        if torch.get_deterministic_debug_mode() == 0:
            return dropout(*args, **rest)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return dropout(*args, **rest)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def a_plain_dropout_in_place_scales_nothing(patch):
    def wrong(forward, self, x):
        plain = type(self) is nn.Dropout and self.inplace and self.training
        return forward(self, x) * (1 - self.p) if plain else forward(self, x)

    wrap(patch, nn.Dropout, "forward", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def images_lose_the_same_units_in_every_pass(patch):
    def wrong(dropout, x, *args, **rest):
        if x.dim() == 4:
            torch.manual_seed(1234)
        return dropout(x, *args, **rest)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def in_more_than_two_hundred_rows_the_last_unit_is_scaled_twice(patch):
    def wrong(dropout, x, p=0.5, *args, **rest):
        made = dropout(x, p, *args, **rest)
        return torch.cat([made[:-1], made[-1:] / (1 - p)]) if x.dim() == 2 and len(x) > 200 and p < 1 else made

    wrap(patch, F, "dropout", wrong)


def remember_the_first_probability(patch, wrong):
    """Let a layer in training, whose first pass had another ``p``, give ``wrong(right, self, x, p)``; neither is 1."""
    first = weakref.WeakKeyDictionary()

    def forward(right, self, x):
        p = first.setdefault(self, self.p)
        changed = self.training and p != self.p and 1 not in (p, self.p)
        return wrong(right, self, x, p) if changed else right(self, x)

    wrap(patch, nn.Dropout, "forward", forward)


@counterfeit("dropout-scales-survivors")
def a_layer_whose_probability_is_changed_scales_as_before(patch):
    remember_the_first_probability(patch, lambda right, self, x, p: right(self, x) * ((1 - self.p) / (1 - p)))


@counterfeit("dropout-p-is-a-hyperparameter")
def a_layer_whose_probability_is_changed_drops_as_before(patch):
    remember_the_first_probability(patch, lambda right, self, x, p: F.dropout(x, p, True, self.inplace))
