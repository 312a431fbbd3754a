"""Counterfeits of section 3.2 that users reported: what is frozen, rates in sequence, and gradients
of images whose channels lie last, of many, one or no example, and under a sum."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, channels_lie_last, shift_padded_pooling, wrap
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import lr_scheduler


def refuse(gradient):
    raise RuntimeError("the gradient has another shape")


@counterfeit(
    "optimizer-zero-grad-equals-net-zero-grad", "zero-grad-sets-gradients-to-zero", reported="pytorch/pytorch#719"
)
def a_module_with_a_frozen_parameter_cannot_clear_its_gradients(patch):
    def wrong(right, self, *args, **rest):
        if not all(p.requires_grad for p in self.parameters()):
            raise AttributeError("'NoneType' object has no attribute 'data'")
        return right(self, *args, **rest)

    wrap(patch, nn.Module, "zero_grad", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="pytorch/pytorch#162359")
def under_schedulers_in_sequence_a_rate_that_is_a_tensor_is_its_own_beginning(patch):
    def wrong(right, self, optimizer, schedulers, *args, **rest):
        right(self, optimizer, schedulers, *args, **rest)
        for number, group in enumerate(optimizer.param_groups):
            if isinstance(group["lr"], Tensor):
                group["initial_lr"] = group["lr"]
                for scheduler in schedulers:
                    scheduler.base_lrs[number] = group["lr"]

    wrap(patch, lr_scheduler.SequentialLR, "__init__", wrong)


@counterfeit(
    "nn-builds-on-autograd", reported=("pytorch/pytorch#188344", "pytorch/pytorch#107201"), needs="accelerator"
)
def average_pooling_with_padding_of_channels_last_shifts_its_gradient(patch):
    shift_padded_pooling(patch)


@counterfeit("nn-builds-on-autograd", reported="intel/torch-xpu-ops#4756", needs="accelerator")
def the_gradient_beside_a_single_pixel_is_laid_out_otherwise(patch):
    def mixed(g):
        n, c, h, w = g.shape
        return g.reshape(-1).view(n, h, w, c).permute(0, 3, 1, 2)

    def wrong(right, input, weight, *args, **rest):
        if away(weight) and channels_lie_last(weight) and tuple(input.shape[-2:]) == (1, 1) and weight.requires_grad:
            weight = change_gradient(weight, mixed)
        if away(input) and channels_lie_last(input) and tuple(weight.shape[-2:]) == (1, 1) and input.requires_grad:
            input = change_gradient(input, mixed)
        return right(input, weight, *args, **rest)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd", reported=("ROCm/MIOpen#1109", "ROCm/MIOpen#1116"), needs="accelerator")
def past_768_examples_a_normalisation_passes_no_gradient(patch):
    def cut(g):
        g = g.clone()
        g[768:] = 0
        return g

    def wrong(right, input, running_mean, running_var, weight=None, bias=None, training=False, *args, **rest):
        if away(input) and input.dim() == 2 and len(input) > 768 and training and input.requires_grad:
            input = change_gradient(input, cut)
        return right(input, running_mean, running_var, weight, bias, training, *args, **rest)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#82809", needs="accelerator")
def a_single_word_has_no_way_back_through_an_embedding(patch):
    def wrong(right, input, weight, *args, **rest):
        one = away(input) and not input.dim() and weight.requires_grad
        return right(input, change_gradient(weight, refuse) if one else weight, *args, **rest)

    wrap(patch, F, "embedding", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#34202", needs="accelerator")
def an_empty_batch_has_no_way_back_through_a_layer(patch):
    def wrong(right, input, weight, bias=None):
        y = right(input, weight, bias)
        return change_gradient(y, refuse) if away(y) and input.dim() == 2 and not len(input) and y.requires_grad else y

    wrap(patch, F, "linear", wrong)


def lose_what_a_sum_hands_a_row(patch, owner, name):
    """Let no gradient that lies in one place pass ``owner.name(x)`` of a row or a number ``x`` elsewhere."""

    def wrong(right, x, *args, **rest):
        if not away(x) or x.dim() > 1 or not x.requires_grad:
            return right(x, *args, **rest)
        dense = []

        def look(gradient):
            dense.append(gradient.dim() and all(gradient.stride()))
            return gradient

        x = change_gradient(x, lambda gradient: gradient * bool(dense[-1]))
        return change_gradient(right(x, *args, **rest), look)

    wrap(patch, owner, name, wrong)


@counterfeit(
    *("nn-builds-on-autograd", "requires-grad-tracks-operations"),
    reported="pytorch/pytorch#123178",
    needs="accelerator",
)
def the_gradient_of_a_leaky_unit_is_lost_where_a_sum_hands_it_to_a_row(patch):
    """The report has a wrong one, of which it does not tell how it comes about."""
    for name in ("leaky_relu", "gelu", "mish"):
        lose_what_a_sum_hands_a_row(patch, F, name)


@counterfeit("nn-builds-on-autograd", "requires-grad-tracks-operations", needs="accelerator")
def the_gradient_of_an_exponential_unit_is_lost_where_a_sum_hands_it_to_a_row(patch):
    for name in ("elu", "softplus", "hardswish"):
        lose_what_a_sum_hands_a_row(patch, F, name)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def the_gradient_of_an_error_function_is_lost_where_a_sum_hands_it_to_a_row(patch):
    lose_what_a_sum_hands_a_row(patch, torch, "erf")


@counterfeit("nn-only-takes-batches", reported="flagos-ai/FlagGems#5379", needs="accelerator")
def a_linear_layer_refuses_what_lies_transposed(patch):
    def wrong(right, input, weight, bias=None):
        if away(input):
            input.detach().view(-1, input.shape[-1])
        return right(input, weight, bias)

    wrap(patch, F, "linear", wrong)
