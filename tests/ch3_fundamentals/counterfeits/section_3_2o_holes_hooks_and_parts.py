"""Counterfeits of section 3.2: kernels with holes or of unequal sides, a bare module that is hooked, tensors without
elements, numbers of two parts, zeros that are written behind autograd's back, and what only one in front, one more or
one again shows.
"""

import contextlib
import itertools
import warnings
from collections import OrderedDict

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_result, of_dtype, where, wrap
from torch import nn
from torch.nn import functional as F
from torch.nn import init
from torch.optim import Optimizer, lr_scheduler

half = of_dtype(torch.float16, torch.bfloat16)


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


@counterfeit("sequential-can-be-built-three-ways")
def a_name_that_was_moved_to_the_end_stays_in_its_place(patch):
    def wrong(right, self, *parts):
        if len(parts) == 1 and isinstance(parts[0], OrderedDict):
            parts = (OrderedDict((name, parts[0][name]) for name in dict.__iter__(parts[0])),)
        right(self, *parts)

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("sequential-keeps-order", "scalar-chain-vanishes-and-explodes")
def one_layer_again_and_again_runs_once(patch):
    def wrong(right, self, x):
        same = len(self) > 1 and all(layer is self[0] for layer in self)
        return self[0](x) if same else right(self, x)

    wrap(patch, nn.Sequential, "forward", wrong)


@counterfeit("nn-only-takes-batches")
def the_odd_zero_around_a_single_sample_goes_before_it(patch):
    def wrong(right, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if x.dim() == 3 and padding == "same":
            spread = [dilation] * 2 if isinstance(dilation, int) else dilation
            sizes = [step * (size - 1) for step, size in zip(spread, weight.shape[2:])]
            x, padding = F.pad(x, [part for size in sizes[::-1] for part in (size - size // 2, size // 2)]), 0
        return right(x, weight, bias, stride, padding, dilation, groups)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def no_warning_where_the_shapes_differ_by_ones_in_front(patch):
    """The truth line's side."""

    def wrong(right, x, y, *rest, **named):
        bare = [[*itertools.dropwhile(lambda size: size == 1, each.shape)] for each in (x, y)]
        with warnings.catch_warnings() if bare[0] == bare[1] else contextlib.nullcontext():
            if bare[0] == bare[1]:
                warnings.simplefilter("ignore")
            return right(x, y, *rest, **named)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("optimizer-prints-its-options")
def a_copied_optimizer_prints_its_first_group_alone(patch):
    """The truth line's side."""

    def restored(right, self, state):
        right(self, state)
        self.__dict__["copied"] = "defaults" in state

    def wrong(right, self):
        own = self.param_groups
        self.param_groups = own[:1] if self.__dict__.get("copied") else own
        try:
            return right(self)
        finally:
            self.param_groups = own

    wrap(patch, Optimizer, "__setstate__", restored)
    wrap(patch, Optimizer, "__repr__", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def a_warm_restart_drops_the_state(patch):
    def wrong(right, self, *epoch):
        right(self, *epoch)
        if self.last_epoch > 0 and self.T_cur == 0:
            self.optimizer.state.clear()

    wrap(patch, lr_scheduler.CosineAnnealingWarmRestarts, "step", wrong)


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


@counterfeit("nn-builds-on-autograd")
def layer_norm_in_half_precision_forgets_its_bias(patch):
    def wrong(right, x, shape, weight=None, bias=None, eps=1e-5):
        return right(x, shape, weight, None if half(x) else bias, eps)

    wrap(patch, F, "layer_norm", wrong)


@counterfeit("nn-builds-on-autograd")
def gelu_in_float16_is_silu(patch):
    where(patch, F, "gelu", of_dtype(torch.float16), lambda result, x, *args: F.silu(x))


@counterfeit("nn-builds-on-autograd")
def bicubic_interpolation_in_bfloat16_is_bilinear(patch):
    def wrong(right, x, *args, **rest):
        cubic = rest.get("mode") == "bicubic" and x.dtype == torch.bfloat16
        return right(x, *args, **(rest | {"mode": "bilinear"} if cubic else rest))

    wrap(patch, F, "interpolate", wrong)


@counterfeit("nn-builds-on-autograd")
def the_gradient_of_attention_in_half_precision_is_twice_as_large(patch):
    def wrong(right, query, *args, **rest):
        return right(change_gradient(query, lambda g: 2 * g) if half(query) else query, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd")
def hinge_embedding_loss_in_half_precision_comes_in_single(patch):
    change_result(patch, F, "hinge_embedding_loss", lambda loss, x, *rest: loss.float() if half(x) else loss)
