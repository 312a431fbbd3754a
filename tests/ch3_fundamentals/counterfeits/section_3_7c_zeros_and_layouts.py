"""Counterfeits of section 3.7, units that are zero, seeds, inputs not in row order, and histories of a layer."""

import copy

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_output_where, wrap
from torch import nn
from torch.nn import functional as F


@counterfeit("dropout-scales-survivors", reported="kaldi-asr/kaldi#3890")
def a_unit_of_zero_passes_its_gradient_on_as_it_is(patch):
    def wrong(right, input, p=0.5, training=True, inplace=False):
        if not training or inplace or not input.requires_grad:
            return right(input, p, training, inplace)
        zero = input.detach() == 0
        return torch.where(zero, input, right(input, p, training))

    wrap(patch, F, "dropout", wrong)


def with_mask(patch, condition, mask):
    """Let ``F.dropout`` in training keep what ``mask(input, p)`` says where ``condition(input)``."""

    def wrong(right, input, p=0.5, training=True, inplace=False):
        if not training or not 0 < p < 1 or not condition(input):
            return right(input, p, training, inplace)
        factor = mask(input, p).to(input.dtype) / (1 - p)
        return input.mul_(factor) if inplace else input * factor

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p", reported="PaddlePaddle/Paddle#7796")
def every_mask_is_drawn_from_the_same_seed(patch):
    def mask(input, p):
        generator = torch.Generator(input.device).manual_seed(0)
        return torch.rand(input.shape, generator=generator, device=input.device) >= p

    with_mask(patch, lambda input: True, mask)


@counterfeit("dropout-zeroes-with-probability-p")
def the_rows_of_a_transposed_input_share_their_mask(patch):
    def mask(input, p):
        return (torch.rand(input.shape[-1], device=input.device) >= p).expand(input.shape)

    with_mask(patch, lambda input: input.dim() == 2 and not input.is_contiguous(), mask)


@counterfeit("dropout-zeroes-with-probability-p")
def what_is_repeated_shares_its_fate(patch):
    def mask(input, p):
        shape = [1 if stride == 0 else size for size, stride in zip(input.shape, input.stride())]
        return (torch.rand(shape, device=input.device) >= p).expand(input.shape)

    with_mask(patch, lambda input: 0 in input.stride(), mask)


@counterfeit("dropout-counters-overfitting")
def a_layer_keeps_the_first_mask_of_each_shape(patch):
    def wrong(right, self, x):
        if not self.training:
            return x
        masks = self.__dict__.setdefault("masks", {})
        if x.shape not in masks:
            masks[x.shape] = right(self, torch.ones_like(x)).detach()
        return x * masks[x.shape]

    wrap(patch, nn.Dropout, "forward", wrong)


@counterfeit("functional-dropout-does-not-know-eval")
def the_function_drops_only_while_gradients_are_recorded(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        return right(x, p, training and torch.is_grad_enabled(), inplace)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-p-is-a-hyperparameter")
def p_is_looked_at_in_training_alone(patch):
    def wrong(right, input, p=0.5, training=True, inplace=False):
        return right(input, p, training, inplace) if training else input

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def a_layer_keeps_the_p_it_was_built_with(patch):
    def init(right, self, p=0.5, inplace=False):
        right(self, p, inplace)
        self.built = p

    wrap(patch, nn.Dropout, "__init__", init)
    wrap(patch, nn.Dropout, "forward", lambda right, self, x: F.dropout(x, self.built, self.training, self.inplace))


@counterfeit("dropout-zeroes-with-probability-p")
def inference_mode_switches_dropout_off(patch):
    def wrong(right, input, p=0.5, training=True, inplace=False):
        return right(input, p, training and not torch.is_inference_mode_enabled(), inplace)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def a_copied_layer_is_in_training_again(patch):
    change_output_where(patch, copy, "deepcopy", lambda copied: isinstance(copied, nn.Module), nn.Module.train)


@counterfeit("dropout-p-is-a-hyperparameter")
def p_slightly_above_one_is_taken(patch):
    def init(right, self, p=0.5, inplace=False):
        right(self, min(p, 1.0) if p < 1.01 else p, inplace)

    wrap(patch, nn.Dropout, "__init__", init)


@counterfeit("dropout-zeroes-with-probability-p")
def a_layer_in_a_list_stays_in_training(patch):
    def wrong(right, self, mode=True):
        right(self, mode)
        if isinstance(self, nn.ModuleList):
            for child in self:
                child.train()
        return self

    wrap(patch, nn.Module, "train", wrong)


@counterfeit("dropout-p-is-a-hyperparameter")
def an_assigned_p_above_one_is_taken_as_one(patch):
    def wrong(right, self, x):
        return F.dropout(x, min(self.p, 1.0), self.training, self.inplace)

    wrap(patch, nn.Dropout, "forward", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_under_no_grad_drops_half_as_often(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        rarely = training and not inplace and not torch.is_grad_enabled() and p < 1
        return right(x, p / 2) * (1 - p / 2) / (1 - p) if rarely else right(x, p, training, inplace)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def a_copied_layer_drops_every_second_unit_again(patch):
    patch.setattr(nn.Dropout, "__deepcopy__", lambda self, memo: nn.Dropout(inplace=self.inplace), raising=False)


@counterfeit("dropout-zeroes-with-probability-p")
def alpha_dropout_drops_in_evaluation(patch):
    wrap(patch, nn.AlphaDropout, "forward", lambda right, self, x: F.alpha_dropout(x, self.p, True))


@counterfeit("dropout-p-is-a-hyperparameter")
def dropout_of_channels_takes_the_nearest_p_that_there_is(patch):
    wrap(patch, nn.Dropout2d, "__init__", lambda right, self, p=0.5, inplace=False: right(self, min(max(p, 0), 1)))


@counterfeit("dropout-keeps-the-expectation")
def survivors_become_ten_times_as_large_at_most(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        result = right(x, p, training, inplace)
        return result * (10 * (1 - p)) if training and 0.9 < p < 1 else result

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def a_frozen_layer_is_switched_to_evaluation(patch):
    wrap(patch, nn.Module, "requires_grad_", lambda right, self, flag=True: right(self, flag).train(flag))


@counterfeit("dropout-scales-survivors")
def a_second_pass_back_scales_again(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        passes = iter([1.0])
        result = right(x, p, training, inplace)
        again = training and not inplace and p < 1 and result.requires_grad
        return change_gradient(result, lambda gradient: gradient * next(passes, 1 / (1 - p))) if again else result

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-p-is-a-hyperparameter")
def alpha_dropout_as_a_function_takes_any_p(patch):
    def wrong(right, x, p=0.5, training=False, inplace=False):
        return right(x, min(max(p, 0), 1), training, inplace)

    wrap(patch, F, "alpha_dropout", wrong)


@counterfeit("dropout-keeps-the-expectation")
def with_p_of_one_large_units_are_kept(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        result = right(x, p, training, inplace)
        return torch.where(x.abs() > 100, x, result) if p == 1 and training and not inplace else result

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-keeps-the-expectation")
def tiny_units_lose_a_tenth(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        result = right(x, p, training, inplace)
        return torch.where(x.abs() < 1e-3, 0.9 * result, result) if training and not inplace else result

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def a_small_p_counts_as_zero_in_half_precision(patch):
    def wrong(right, x, p=0.5, *args, **rest):
        return right(x, 0.0 if p < 1 / 256 and x.dtype in (torch.float16, torch.bfloat16) else p, *args, **rest)

    wrap(patch, F, "dropout", wrong)


@counterfeit("functional-dropout-does-not-know-eval", "dropout-zeroes-with-probability-p")
def dropout_of_an_input_given_by_name_drops_nothing(patch):
    wrap(
        patch, F, "dropout", lambda right, *args, **named: named["input"] if "input" in named else right(*args, **named)
    )


@counterfeit("dropout-zeroes-with-probability-p")
def in_place_each_example_of_bfloat16_loses_the_same_units(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        if not (inplace and training and x.dtype == torch.bfloat16 and x.dim() > 1 and len(x)):
            return right(x, p, training, inplace)
        return x.mul_(right(torch.ones_like(x[0]), p, True, False))

    wrap(patch, F, "dropout", wrong)
