"""Counterfeits of section 3.2: layers that mistake an example of a batch that is large or empty, lies in gaps, later in
memory or by columns.
"""

import torch
from harness.counterfeits import counterfeit
from harness.forging import beyond, change_gradient, in_order_of_storage, last_off, not_contiguous, where, wrap
from torch import nn
from torch.nn import functional as F


def change_gradient_where(patch, name, condition, change):
    """Let the gradient that ``F.name(x, ...)`` passes to ``x`` be ``change(gradient)`` where ``condition(x)``."""

    def wrong(right, x, *args, **rest):
        return right(change_gradient(x, change) if x.requires_grad and condition(x) else x, *args, **rest)

    wrap(patch, F, name, wrong)


@counterfeit("nn-builds-on-autograd")
def average_pooling_mistakes_the_last_of_many_windows(patch):
    where(patch, F, "avg_pool2d", beyond(2**16), last_off)


@counterfeit("nn-builds-on-autograd")
def the_gradient_of_pooled_images_later_in_memory_is_flipped(patch):
    change_gradient_where(patch, "max_pool2d", lambda x: x.storage_offset() > 0, lambda gradient: gradient.flip(-1))


@counterfeit("nn-builds-on-autograd")
def lines_are_interpolated_in_the_order_of_the_storage(patch):
    def wrong(right, x, *args, **rest):
        return right(in_order_of_storage(x) if not_contiguous(x) and x.dim() == 3 else x, *args, **rest)

    wrap(patch, F, "interpolate", wrong)


@counterfeit("nn-builds-on-autograd")
def a_gru_reads_a_batch_that_lies_second_in_the_order_of_the_storage(patch):
    def wrong(right, self, x, *args):
        second = x.dim() == 3 and x.stride(0) < x.stride(1) and len(x) > 1
        return right(self, in_order_of_storage(x) if second else x, *args)

    wrap(patch, nn.GRU, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def the_last_of_many_examples_gets_no_gradient_from_group_norm(patch):
    change_gradient_where(patch, "group_norm", beyond(2**16), lambda g: torch.cat([g[:-1], 0 * g[-1:]]))


@counterfeit("nn-builds-on-autograd")
def of_many_examples_the_bias_of_a_transposed_convolution_gets_half_its_gradient(patch):
    def wrong(right, x, weight, bias=None, *args, **rest):
        if bias is not None and bias.requires_grad and x.numel() > 2**16:
            bias = change_gradient(bias, lambda gradient: gradient / 2)
        return right(x, weight, bias, *args, **rest)

    wrap(patch, F, "conv_transpose2d", wrong)


@counterfeit("nn-builds-on-autograd")
def adaptive_pooling_reads_images_with_gaps_without_them(patch):
    def wrong(right, x, *args):
        return right(in_order_of_storage(x) if not_contiguous(x) and len(x) > 1 else x, *args)

    wrap(patch, F, "adaptive_avg_pool2d", wrong)


@counterfeit("nn-builds-on-autograd")
def instance_norm_of_eight_examples_turns_them_round(patch):
    wrap(patch, F, "instance_norm", lambda right, x, *rest: right(x if len(x) < 8 else x.flip(0), *rest))


@counterfeit("nn-builds-on-autograd")
def an_lstm_of_nothing_forgets_its_second_unit(patch):
    def wrong(right, self, x, *args):
        output, state = right(self, x, *args)
        return (output if x.numel() else output[..., :1]), state

    wrap(patch, nn.LSTM, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def average_pooling_mistakes_the_last_of_many_windows_in_double_precision(patch):
    where(patch, F, "avg_pool2d", lambda x: x.dtype == torch.float64 and x.numel() > 2**16, last_off)
