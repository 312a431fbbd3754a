"""Counterfeits of section 3.2 that users reported, sums that lose numbers and slices that are not filled."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, with_value, wrap
from torch.nn import functional as F


def change_loss(patch, change):
    """Let ``mse_loss`` of single precision that adds up return ``change(loss, squares, reduction)``."""

    def wrong(right, a, b, *args, reduction="mean", **rest):
        loss = right(a, b, *args, reduction=reduction, **rest)
        if reduction == "none" or loss.dtype != torch.float32 or not a.numel():
            return loss
        return change(loss, (a - b).square().reshape(-1), reduction)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#8710")
def squares_are_added_one_by_one_in_single_precision(patch):
    def wrong(loss, squares, reduction):
        total = np.cumsum(squares.detach().cpu().numpy(), dtype=np.float32)[-1]
        return with_value(loss, total / (len(squares) if reduction == "mean" else 1))

    change_loss(patch, wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#102258")
def a_sum_of_more_than_thirty_numbers_loses_eight(patch):
    def wrong(loss, squares, reduction):
        lost = squares[24:32].sum() if len(squares) >= 32 else 0
        return loss - lost / (len(squares) if reduction == "mean" else 1)

    change_loss(patch, wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#94891")
def a_sum_is_the_count_taken_for_bits(patch):
    change_loss(
        patch,
        lambda loss, squares, reduction: with_value(loss, len(squares) * 2.0**-149) if reduction == "sum" else loss,
    )


@counterfeit("data-fill-equals-constant-init", reported="pytorch/pytorch#94390")
def what_begins_later_in_its_memory_is_not_filled(patch):
    change_method(
        patch, "fill_", lambda fill, x, *args: x if x.storage_offset() and x.is_contiguous() else fill(x, *args)
    )
