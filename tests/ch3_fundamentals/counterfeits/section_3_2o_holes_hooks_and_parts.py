"""Counterfeits of section 3.2: kernels with holes or of unequal sides, a bare module that is hooked, tensors without
elements, numbers of two parts, and zeros that are written behind autograd's back.
"""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, wrap
from torch import nn
from torch.nn import functional as F
from torch.nn import init


@counterfeit("nn-builds-on-autograd")
def a_kernel_with_holes_passes_no_gradient_to_its_image(patch):
    def wrong(right, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        x = input if dilation in (1, (1, 1)) else change_gradient(input, torch.zeros_like)
        return right(x, weight, bias, stride, padding, dilation, groups)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("module-has-layers-and-forward")
def a_module_that_is_hooked_and_has_no_forward_lacks_an_attribute(patch):
    def wrong(right, self, *args, **rest):
        if self._forward_pre_hooks and type(self).forward is nn.Module.forward:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'forward'")
        return right(self, *args, **rest)

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("printing-shows-the-structure")
def an_oblong_kernel_is_shown_as_a_square(patch):
    def wrong(right, self):
        own, self.kernel_size = self.kernel_size, self.kernel_size[:1] * 2
        try:
            return right(self)
        finally:
            self.kernel_size = own

    wrap(patch, nn.Conv2d, "extra_repr", wrong)


@counterfeit("unsqueeze-out-of-range-raises")
def without_elements_every_place_is_in_range(patch):
    def wrong(right, input, dim):
        rank = input.dim()
        return right(input, dim if input.numel() else max(-rank - 1, min(dim, rank)))

    for owner in (torch, torch.Tensor):
        wrap(patch, owner, "unsqueeze", wrong)


@counterfeit("init-sets-weights-in-place")
def a_complex_number_is_drawn_on_the_real_axis(patch):
    def wrong(right, tensor, mean=0.0, std=1.0, **generator):
        if not tensor.is_complex():
            return right(tensor, mean, std, **generator)
        with torch.no_grad():
            return tensor.copy_(torch.normal(mean, std, tensor.shape))

    wrap(patch, init, "normal_", wrong)


@counterfeit("data-fill-equals-constant-init")
def autograd_does_not_see_a_constant_of_zero(patch):
    """The truth line's side."""

    def wrong(right, tensor, val):
        if val == 0:
            tensor.data.zero_()
            return tensor
        return right(tensor, val)

    wrap(patch, init, "constant_", wrong)
