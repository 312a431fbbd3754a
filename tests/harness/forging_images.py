"""Tools of counterfeits of what is done to images; see ``harness.forging``."""

import torch
from torch.nn import functional as F

from harness.forging import away, change_gradient, wrap


def channels_lie_last(x):
    """The condition that a tensor is of images whose channels lie last in memory."""
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def shift_padded_pooling(patch):
    """Let the gradient of average pooling with padding, of images elsewhere whose channels lie last, miss its place by
    the padding.
    """

    def wrong(right, input, kernel_size, stride=None, padding=0, *args, **rest):
        shift = (padding, padding) if isinstance(padding, int) else tuple(padding)
        if away(input) and any(shift) and input.requires_grad and channels_lie_last(input):
            input = change_gradient(input, lambda gradient: gradient.roll(shift, (2, 3)))
        return right(input, kernel_size, stride, padding, *args, **rest)

    wrap(patch, F, "avg_pool2d", wrong)
