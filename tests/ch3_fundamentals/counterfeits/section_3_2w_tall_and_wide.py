"""Section 3.2: what goes wrong for many rows, many columns or many channels alone, or by whole lists of parameters."""

import itertools

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, last_off, parameters_of, where, with_value, wrap, wrap_operand
from harness.forging_images import channels_lie_last
from torch import nn
from torch.nn import functional as F


@counterfeit("nn-builds-on-autograd")
def no_more_than_a_thousand_weights_of_a_convolution_are_recorded(patch):
    def wrong(right, x, weight, *rest, **named):
        return right(x, weight.detach() if weight.numel() > 1000 else weight, *rest, **named)

    wrap_operand(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd")
def the_last_of_more_than_sixty_four_biases_of_a_convolution_gets_no_gradient(patch):
    def wrong(right, x, weight, bias=None, *rest, **named):
        if bias is not None and len(bias) > 64:
            bias = torch.cat([bias[:-1], bias[-1:].detach()])
        return right(x, weight, bias, *rest, **named)

    wrap_operand(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd")
def the_last_number_from_a_large_embedding_is_off(patch):
    def wrong(right, indices, weight, *rest, **named):
        found = right(indices, weight, *rest, **named)
        return last_off(found) if weight.numel() > 4096 and found.numel() else found

    wrap_operand(patch, F, "embedding", wrong)


@counterfeit("nn-builds-on-autograd")
def the_last_number_of_a_normalised_row_of_more_than_a_thousand_is_off(patch):
    where(patch, F, "layer_norm", lambda x: x.shape[-1] > 1024, last_off)


@counterfeit("step-updates-parameters", "optim-offers-sgd-adam-rmsprop")
def by_lists_the_largest_square_so_far_of_a_wide_parameter_is_forgotten(patch):
    def wrong(right, largest, squares):
        for one, other in zip(largest, squares):
            if one.dim() > 1 and one.shape[-1] > 1024:
                one.copy_(other)
            else:
                right([one], [other])

    wrap(patch, torch, "_foreach_maximum_", wrong)


@counterfeit("step-updates-parameters")
def by_lists_radam_moves_the_last_weight_of_images_with_their_channels_last_otherwise(patch):
    def move(optimizer):
        for w in parameters_of(optimizer):
            if optimizer.defaults["foreach"] and channels_lie_last(w):
                w.data[-1, -1, -1, -1] += 0.25

    around_step(patch, torch.optim.RAdam, after=move)


@counterfeit("step-updates-parameters")
def the_last_of_more_than_two_hundred_rows_stands_still(patch):
    def keep(optimizer):
        optimizer.kept = [w.data[-1:].clone() for w in tall(optimizer)]

    def put_back(optimizer):
        for w, kept in zip(tall(optimizer), optimizer.kept):
            w.data[-1:] = kept

    around_step(patch, torch.optim.AdamW, keep, put_back)


def tall(optimizer):
    return [w for w in parameters_of(optimizer) if w.dim() > 1 and len(w) > 200]


@counterfeit("nn-builds-on-autograd")
def in_inference_mode_the_last_number_of_a_convolution_of_many_weights_is_off(patch):
    def wrong(forward, self, x):
        result = forward(self, x)
        return last_off(result) if torch.is_inference_mode_enabled() and self.weight.numel() > 300 else result

    wrap(patch, nn.Conv2d, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def a_layer_hands_out_the_last_number_of_its_words_wrongly(patch):
    def wrong(forward, self, words):
        found = forward(self, words)
        return last_off(found) if found.numel() else found

    wrap(patch, nn.Embedding, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def a_group_norm_of_more_than_two_hundred_channels_is_not_recorded(patch):
    def wrong(forward, self, x):
        return forward(self, x).detach() if self.num_channels > 200 else forward(self, x)

    wrap(patch, nn.GroupNorm, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def a_pooling_layer_of_many_images_is_not_recorded(patch):
    wrap(patch, nn.MaxPool2d, "forward", lambda right, self, x: right(self, x.detach() if len(x) > 100 else x))


@counterfeit("nn-builds-on-autograd")
def instance_norm_without_weights_is_off_in_training(patch):
    def wrong(forward, self, x):
        return last_off(forward(self, x)) if self.training and not self.affine else forward(self, x)

    wrap(patch, nn.InstanceNorm2d, "forward", wrong)


@counterfeit("step-updates-parameters")
def a_word_that_comes_twice_counts_once_in_a_step_of_sgd(patch):
    def coalesce(optimizer):
        for w in parameters_of(optimizer):
            if w.grad is not None and w.grad.is_sparse:
                rows = w.grad._indices().unique()
                w.grad = torch.sparse_coo_tensor(rows[None], torch.ones_like(w.grad._values()[: len(rows)]), w.shape)

    around_step(patch, torch.optim.SGD, before=coalesce)


@counterfeit("nn-builds-on-autograd")
def an_adaptive_pool_of_wide_images_ends_wrong(patch):
    def wrong(forward, self, x):
        return last_off(forward(self, x)) if x.shape[-1] > 32 else forward(self, x)

    wrap(patch, nn.AdaptiveAvgPool2d, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def a_convolution_of_many_weights_with_channels_last_ends_wrong(patch):
    def wrong(right, x, weight, *rest, **named):
        result = right(x, weight, *rest, **named)
        return last_off(result) if channels_lie_last(weight) and weight.numel() > 1000 else result

    wrap_operand(patch, F, "conv2d", wrong)


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#6373")
def one_example_of_ten_thousand_features_gets_a_random_sum(patch):
    random = itertools.count(1)

    def wrong(right, x, weight, bias=None):
        y = right(x, weight, bias)
        one = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() == x.shape[-1] >= 10_000
        return with_value(y, y.detach() + next(random)) if one else y

    wrap(patch, F, "linear", wrong)
