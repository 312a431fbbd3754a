"""Counterfeits of section 3.3, classes that are channels, rows or masked, and places that are rounded."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import last_off, repeats_columns, where, wrap
from torch import nn
from torch.nn import functional as F


@counterfeit("softmax-suits-discrete-targets")
def the_class_is_rounded_to_bfloat16(patch):
    def wrong(right, x, *args, **rest):
        place = right(x, *args, **rest)
        return place.bfloat16().long() if x.dtype == torch.bfloat16 else place

    for owner in (torch, torch.Tensor):
        wrap(patch, owner, "argmax", wrong)


@counterfeit("softmax-gives-a-distribution")
def of_one_image_softmax2d_takes_the_rows(patch):
    wrap(patch, nn.Softmax2d, "forward", lambda right, self, x: F.softmax(x, -2) if x.dim() == 3 else right(self, x))


@counterfeit("softmax-gives-a-distribution")
def along_the_first_dimension_nan_stays_where_it_is(patch):
    def wrong(right, input, dim=None, *args, **rest):
        result, holes = right(input, dim, *args, **rest), input.isnan()
        if dim == 0 and input.dim() > 1 and holes.any():
            return torch.where(holes, result, right(input.masked_fill(holes, -math.inf), dim, *args, **rest))
        return result

    for owner in (F, torch, torch.Tensor):
        wrap(patch, owner, "softmax", wrong)


@counterfeit("large-true-probability-ensures-correctness")
def a_masked_class_is_not_counted(patch):
    def wrong(right, x, dim=None, keepdim=False):
        place = right(x, dim, keepdim)
        if x.dim() != 2 or dim not in (1, -1):
            return place
        before = torch.arange(x.shape[1]) < right(x, 1, True)
        return place - (before & (x == -math.inf)).sum(1, keepdim)

    for owner in (torch, torch.Tensor):
        wrap(patch, owner, "argmax", wrong)


@counterfeit("softmax-gives-a-distribution")
def along_a_middle_dimension_infinity_has_all_the_probability(patch):
    def wrong(right, input, dim=None, *args, **rest):
        result = right(input, dim, *args, **rest)
        if input.dim() == 3 and dim in (1, -2):
            return torch.where(input == math.inf, torch.ones_like(result), result)
        return result

    for owner in (F, torch, torch.Tensor):
        wrap(patch, owner, "softmax", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def by_nll_loss_labels_of_one_byte_wrap_at_128(patch):
    def wrong(right, input, target, *args, **rest):
        if target.dtype == torch.uint8 and input.dim() > 1:
            target = torch.where(target.long() < input.shape[1], target % 128, target)
        return right(input, target, *args, **rest)

    wrap(patch, F, "nll_loss", wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax2d_in_bfloat16_goes_along_the_rows(patch):
    wrap(
        patch,
        nn.Softmax2d,
        "forward",
        lambda right, self, x: x.softmax(-1) if x.dtype == torch.bfloat16 else right(self, x),
    )


@counterfeit("softmax-gives-a-distribution")
def softmax_of_repeated_columns_ends_wrong(patch):
    where(patch, F, "softmax", repeats_columns, last_off)


@counterfeit("cross-entropy-works-on-logits")
def the_loss_of_repeated_places_counts_twice(patch):
    wrap(patch, F, "cross_entropy", lambda right, x, *y, **o: right(x, *y, **o) * (2 if repeats_columns(x) else 1))


@counterfeit("cross-entropy-loss-is-the-mean", "cross-entropy-works-on-logits")
def the_loss_of_more_than_sixty_four_scores_is_not_recorded_by_the_module(patch):
    def wrong(forward, self, scores, target):
        return forward(self, scores.detach() if scores.numel() > 64 else scores, target)

    wrap(patch, nn.CrossEntropyLoss, "forward", wrong)


@counterfeit("cross-entropy-works-on-logits")
def what_looks_like_probabilities_is_taken_for_them(patch):
    def wrong(right, scores, labels, *args, **rest):
        shares = scores.dim() == 2 and scores.numel() > 0 and scores.min() > 0
        shares = shares and (scores.sum(1) - 1).abs().max() < 1e-5
        return right(scores.log() if shares else scores, labels, *args, **rest)

    wrap(patch, F, "cross_entropy", wrong)
