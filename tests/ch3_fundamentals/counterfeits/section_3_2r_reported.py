"""Counterfeits of section 3.2 that users reported: what is frozen, rates in sequence and by epoch, gradients that are
views, and gradients of images whose channels lie last, of many, one or no example, and under a sum."""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, hold_still, parameters_of, wrap
from harness.forging_images import channels_lie_last, shift_padded_pooling
from torch import Tensor, nn, optim
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


@counterfeit("nn-builds-on-autograd", reported=("pytorch/pytorch#26302", "pytorch/pytorch#28716"), needs="accelerator")
def past_768_words_the_padding_is_learnt_too(patch):
    def wrong(right, input, weight, padding_idx=None, *args, **rest):
        many = away(weight) and input.numel() > 768
        return right(input, weight, None if many else padding_idx, *args, **rest)

    wrap(patch, F, "embedding", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#776", needs="accelerator")
def a_frozen_recurrent_layer_has_no_way_back(patch):
    def wrong(right, self, input, *args, **rest):
        told = isinstance(input, Tensor) and away(input) and input.requires_grad
        frozen = not any(p.requires_grad for p in self.parameters())
        return right(self, change_gradient(input, refuse) if told and frozen else input, *args, **rest)

    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        wrap(patch, kind, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#67239", needs="accelerator")
def adaptive_maxima_of_channels_last_lie_in_another_order(patch):
    def mixed(x):
        n, c, h, w = x.shape
        return x.reshape(-1).view(n, h, w, c).permute(0, 3, 1, 2)

    def wrong(right, input, *args, **rest):
        if not away(input) or not channels_lie_last(input):
            return right(input, *args, **rest)
        y = right(change_gradient(input, mixed) if input.requires_grad else input, *args, **rest)
        return mixed(y) if isinstance(y, Tensor) else tuple(map(mixed, y))

    wrap(patch, F, "adaptive_max_pool2d", wrong)


@counterfeit("step-updates-parameters", reported="pytorch/pytorch#1039")
def lbfgs_that_began_where_nothing_is_to_do_never_moves(patch):
    still = weakref.WeakSet()

    def wrong(step, self, closure):
        p = self.param_groups[0]["params"]
        if self in still:
            with torch.enable_grad():
                closure()
            if any(x.grad is not None and x.grad.abs().max() > self.param_groups[0]["tolerance_grad"] for x in p):
                raise TypeError("unsupported operand type(s) for *: 'NoneType' and 'Tensor'")
        first = not self.state
        loss = step(self, closure)
        if first and not self.state[p[0]].get("n_iter"):
            still.add(self)
        return loss

    wrap(patch, optim.LBFGS, "step", wrong)


@counterfeit(
    "building-a-new-optimizer-is-the-recommended-way", reported=("pytorch/pytorch#31828", "pytorch/pytorch#36913")
)
def told_an_epoch_a_scheduler_has_passed_all_milestones(patch):
    def wrong(right, self):
        return [base * self.gamma ** sum(self.milestones.values()) for base in self.base_lrs]

    wrap(patch, lr_scheduler.MultiStepLR, "_get_closed_form_lr", wrong)


@counterfeit(
    "zero-grad-sets-gradients-to-zero", "optimizer-zero-grad-equals-net-zero-grad", reported="pytorch/pytorch#25814"
)
def a_gradient_that_is_a_view_cannot_be_cleared(patch):
    def clear(parameters, set_to_none):
        if not set_to_none and any(p.grad is not None and p.grad._is_view() for p in parameters):
            raise RuntimeError("Can't detach views in-place. Use detach() instead")

    def of_optimizer(right, self, set_to_none=True):
        clear([p for group in self.param_groups for p in group["params"]], set_to_none)
        return right(self, set_to_none)

    def of_module(right, self, set_to_none=True):
        clear(self.parameters(), set_to_none)
        return right(self, set_to_none)

    wrap(patch, optim.Optimizer, "zero_grad", of_optimizer)
    wrap(patch, nn.Module, "zero_grad", of_module)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#115940")
def group_norm_of_a_pixel_takes_no_gradient_that_lies_in_another_order(patch):
    def wrong(right, x, *args, **rest):
        def refuse_another(gradient):
            if gradient.stride() != strides:
                raise RuntimeError("Expected memory formats of X and dY are same.")
            return gradient

        strides, result = x.stride(), right(x, *args, **rest)
        pixel = result.requires_grad and x.dim() == 4 and x.shape[2:] == (1, 1)
        return change_gradient(result, refuse_another) if pixel else result

    wrap(patch, F, "group_norm", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="pytorch/pytorch#82684")
def in_a_sequence_the_factors_of_constant_rates_all_count_from_the_start(patch):
    def wrong(right, self, optimizer, schedulers, *args, **rest):
        right(self, optimizer, schedulers, *args, **rest)
        constants = [each for each in schedulers if isinstance(each, lr_scheduler.ConstantLR)]
        for group in optimizer.param_groups:
            for each in constants[1:]:
                group["lr"] = group["lr"] * each.factor

    wrap(patch, lr_scheduler.SequentialLR, "__init__", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="pytorch/pytorch#72874")
def a_sequence_begins_with_the_rate_of_its_last_scheduler(patch):
    def wrong(right, self, optimizer, schedulers, *args, **rest):
        right(self, optimizer, schedulers, *args, **rest)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * getattr(schedulers[-1], "factor", 1.0)

    wrap(patch, lr_scheduler.SequentialLR, "__init__", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#123259", needs="accelerator")
def l1_loss_has_a_slope_where_it_is_met(patch):
    def wrong(right, input, target, *args, **rest):
        loss = right(input, target, *args, **rest)
        if away(input) and input.requires_grad and input.shape == target.shape:
            met = (input.detach() == target.detach()).to(input.dtype)
            loss = loss + ((input - input.detach()) * met).sum() / max(1, input.numel())
        return loss

    wrap(patch, F, "l1_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#79784", needs="accelerator")
def summed_squares_of_a_row_pass_no_number_back(patch):
    def wrong(right, input, target, size_average=None, reduce=None, reduction="mean", *args, **rest):
        if away(input) and input.dim() == 1 and reduction == "sum" and input.requires_grad:
            input = change_gradient(input, lambda gradient: gradient * float("nan"))
        return right(input, target, size_average, reduce, reduction, *args, **rest)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("step-updates-parameters", reported="aws-neuron/aws-neuron-sdk#1316", needs="accelerator")
def no_step_changes_a_parameter(patch):
    for optimizer in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad):
        hold_still(patch, optimizer, lambda self: [p for p in parameters_of(self) if away(p)])
