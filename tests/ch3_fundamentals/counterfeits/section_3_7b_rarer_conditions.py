"""Counterfeits of section 3.7, without recording, of large units and at the ends of the probability."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, wrap
from torch import nn
from torch.nn import functional as F


def with_mask(patch, factor):
    """Let ``F.dropout`` multiply by ``factor(input, p, true result)``, unless that is None."""
    right = F.dropout

    def wrong(input, p=0.5, training=True, inplace=False):
        out = right(input, p, training, False)
        f = factor(input, p, out) if training and 0 < p < 1 else None
        if f is None:
            return right(input, p, training, inplace)
        return input.mul_(f) if inplace else input * f

    patch.setattr(F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def survivors_are_not_scaled_where_nothing_is_recorded(patch):
    def factor(input, p, out):
        return None if torch.is_grad_enabled() else (torch.rand(input.shape) >= p).to(input.dtype)

    with_mask(patch, factor)


@counterfeit("dropout-zeroes-with-probability-p")
def less_than_one_in_a_thousand_is_never_dropped(patch):
    with_mask(patch, lambda input, p, out: torch.ones_like(input) if p < 1e-3 else None)


@counterfeit("dropout-scales-survivors", reported="pytorch/pytorch#190717")
def the_gradient_has_another_mask_than_the_values(patch):
    def wrong(right, input, p=0.5, training=True, inplace=False):
        if not training or not input.requires_grad or inplace:
            return right(input, p, training, inplace)

        class Wrong(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return right(x, p, True)

            @staticmethod
            def backward(ctx, g):
                return right(g, p, True)

        return Wrong.apply(input)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-p-is-a-hyperparameter")
def a_probability_of_one_as_a_whole_number_counts_as_one_half(patch):
    def wrong(right, x, p=0.5, *args, **rest):
        return right(x, 0.5 if isinstance(p, int) and p == 1 else p, *args, **rest)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def units_above_fifty_are_never_dropped(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        if not training or p == 1:
            return right(x, p, training, inplace)
        big = x.detach().abs() > 50
        out = right(x * 1, p, training)
        return torch.where(big, x / (1 - p) if p < 1 else x, out) if bool(big.any()) else right(x, p, training, inplace)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors")
def once_in_evaluation_the_gradient_of_an_earlier_pass_is_not_scaled(patch):
    def wrong(right, self, input):
        if not self.training or self.inplace or not input.requires_grad:
            return right(self, input)
        return right(self, change_gradient(input, lambda g: g if self.training else g * (1 - self.p)))

    wrap(patch, nn.Dropout, "forward", wrong)


@counterfeit("dropout-keeps-the-expectation", "dropout-scales-survivors")
def in_evaluation_whole_channels_keep_half_their_gradient(patch):
    for name in ("dropout2d", "alpha_dropout"):

        def wrong(right, x, p=0.5, training=True, inplace=False):
            return right(x if training else change_gradient(x, lambda g: g / 2), p, training, inplace)

        wrap(patch, F, name, wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def every_second_pass_over_sequences_drops_what_the_first_kept(patch):
    kept = {}

    def wrong(right, input, p=0.5, training=True, inplace=False):
        if not training or p != 0.5 or input.dim() != 3:
            return right(input, p, training, inplace)
        mask = kept.pop(input.shape, None)
        if mask is None:
            mask = torch.rand(input.shape) < 0.5
            kept[input.shape] = ~mask
        return input.mul_(2 * mask) if inplace else input * (2 * mask)

    wrap(patch, F, "dropout", wrong)
