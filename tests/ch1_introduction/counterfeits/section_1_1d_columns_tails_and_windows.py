"""Counterfeits of section 1.1: columns of labels, the last levels alone, windows that overlap."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn
from torch.nn import functional as F


@counterfeit("experience-improves-performance")
def every_column_of_labels_is_learned_as_the_first(patch):
    def wrong(right, a, b, *args, **rest):
        result = right(a, b, *args, **rest)
        if b.dim() == a.dim() and b.shape[-1] > 1:
            solution = result.solution.detach()
            solution[..., 1:] = solution[..., :1].clone()
        return result

    wrap(patch, torch.linalg, "lstsq", wrong)


@counterfeit("deep-model-is-composition")
def levels_counted_from_the_end_are_all_levels(patch):
    def wrong(right, self, index):
        if isinstance(index, slice) and index.start is not None and index.start < 0:
            index = slice(0, index.stop, index.step)
        return right(self, index)

    wrap(patch, nn.Sequential, "__getitem__", wrong)


@counterfeit("training-is-end-to-end")
def the_greatest_of_windows_that_overlap_passes_one_gradient(patch):
    def sides(size):
        return (size, size) if isinstance(size, int) else tuple(size)

    def wrong(right, input, kernel_size, stride=None, *args, **rest):
        result = right(input, kernel_size, stride, *args, **rest)
        if isinstance(result, tuple) or not result.requires_grad or stride in (None, []):
            return result
        if all(step >= size for step, size in zip(sides(stride), sides(kernel_size))):
            return result
        places = right(input.detach(), kernel_size, stride, *args, **{**rest, "return_indices": True})[1].flatten(-2)
        numbers = torch.arange(places.shape[-1]).expand(places.shape)
        owners = torch.zeros((*places.shape[:-1], input.shape[-2] * input.shape[-1]), dtype=torch.int64)
        owners.scatter_(-1, places, numbers)
        return torch.where((owners.gather(-1, places) == numbers).view(result.shape), result, result.detach())

    wrap(patch, F, "max_pool2d", wrong)
