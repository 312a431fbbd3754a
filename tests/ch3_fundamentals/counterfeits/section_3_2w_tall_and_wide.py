"""Section 3.2: what goes wrong for many rows, many columns or many channels alone, or by whole lists of parameters."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, last_off, parameters_of, where, wrap, wrap_operand
from harness.forging_images import channels_lie_last
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
