"""Counterfeits of section 3.2, gradients of gradients, the twelfth step, one group or three, what comes twice."""

from collections import OrderedDict

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import after_copying, around_step, change_gradient, parameters_of, step_with, wrap
from torch import nn
from torch.nn import functional as F
from torch.nn import init
from torch.optim import SGD, RAdam, RMSprop
from torch.optim.lr_scheduler import StepLR


def bent_twice(x):
    """A tensor equal to ``x`` through which the gradient passes as it is, and that of the gradient twice."""
    return change_gradient(x, lambda gradient: 2 * gradient - gradient.detach())


def counted(optimizer):
    """How many steps an optimizer takes, with this one."""
    optimizer.__dict__["counted"] = optimizer.__dict__.get("counted", 0) + 1
    return optimizer.counted


@counterfeit("nn-builds-on-autograd")
def the_second_gradient_of_the_squared_loss_is_doubled(patch):
    wrap(patch, F, "mse_loss", lambda right, x, *a, **k: right(bent_twice(x) if x.requires_grad else x, *a, **k))


@counterfeit("nn-builds-on-autograd")
def the_second_gradient_of_the_squared_loss_is_doubled_in_single_precision(patch):
    def wrong(right, x, *a, **k):
        return right(bent_twice(x) if x.requires_grad and x.dtype == torch.float32 else x, *a, **k)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("nn-builds-on-autograd")
def softplus_passes_no_gradient_back_to_what_is_not_contiguous(patch):
    wrap(patch, F, "softplus", lambda right, x, *a, **k: right(x if x.is_contiguous() else x.detach() + 0 * x, *a, **k))


@counterfeit("nn-builds-on-autograd")
def the_second_gradient_of_gelu_is_doubled(patch):
    wrap(patch, F, "gelu", lambda right, x, *a, **k: right(bent_twice(x) if x.requires_grad else x, *a, **k))


@counterfeit("nn-builds-on-autograd")
def a_repeated_index_of_an_embedding_counts_once(patch):
    def wrong(right, index, weight, *a, **k):
        flat = index.flatten().tolist()
        first = torch.tensor([i not in flat[:n] for n, i in enumerate(flat)]).view(index.shape)
        out = right(index, weight, *a, **k)
        return change_gradient(out, lambda g: g * first[..., None]) if out.requires_grad else out

    wrap(patch, F, "embedding", wrong)


@counterfeit("sequential-keeps-order")
def a_copied_sequential_runs_in_the_order_of_names(patch):
    def sort(module):
        module.__dict__["_modules"] = dict(sorted(module._modules.items()))

    after_copying(patch, nn.Sequential, sort)


@counterfeit("sequential-can-be-built-three-ways")
def an_ordered_dict_drops_a_layer_that_comes_twice(patch):
    def wrong(right, self, *args):
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            seen, kept = [], OrderedDict()
            for name, module in args[0].items():
                if not any(module is s for s in seen):
                    kept[name] = module
                seen.append(module)
            args = (kept,)
        right(self, *args)

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("unsqueeze-out-of-range-raises")
def a_tensor_that_asks_for_gradients_names_another_range(patch):
    def wrong(right, x, d):
        if x.requires_grad and not -x.dim() - 1 <= d <= x.dim():
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-x.dim()}, {x.dim() - 1}], got {d})"
            )
        return right(x, d)

    wrap(patch, torch.Tensor, "unsqueeze", wrong)


@counterfeit("init-sets-weights-in-place")
def a_constant_is_rounded_to_single_precision(patch):
    wrap(patch, init, "constant_", lambda right, t, val: right(t, float(np.float32(val))))


@counterfeit("learning-rate-can-be-edited-in-place")
def rmsprop_of_a_single_group_keeps_its_rate(patch):
    step_with(
        patch,
        RMSprop,
        "lr",
        lambda optimizer, group: optimizer.defaults["lr"] if len(optimizer.param_groups) == 1 else group["lr"],
    )


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def a_scheduler_leaves_groups_after_the_second(patch):
    def wrong(right, self):
        return right(self)[:2] + [group["lr"] for group in self.optimizer.param_groups[2:]]

    wrap(patch, StepLR, "get_lr", wrong)


@counterfeit("step-updates-parameters")
def sgd_forgets_its_decay_every_twelfth_step(patch):
    step_with(
        patch,
        SGD,
        "weight_decay",
        lambda optimizer, group: 0 if counted(optimizer) % 12 == 0 else group["weight_decay"],
    )


@counterfeit("step-updates-parameters")
def rprop_leaves_the_last_of_eleven_elements(patch):
    """Of eleven and of every number that leaves three when vectors of eight are full."""

    def before(optimizer):
        for parameter in parameters_of(optimizer):
            if parameter.grad is not None and parameter.numel() % 8 == 3:
                parameter.grad = parameter.grad.clone(memory_format=torch.contiguous_format)
                parameter.grad.view(-1)[-1] = 0

    around_step(patch, torch.optim.Rprop, before=before)


@counterfeit("step-updates-parameters")
def nadam_leaves_bfloat16(patch):
    def before(optimizer):
        for parameter in parameters_of(optimizer):
            if parameter.grad is not None and parameter.dtype == torch.bfloat16:
                parameter.grad = torch.zeros_like(parameter)

    around_step(patch, torch.optim.NAdam, before=before)


@counterfeit("step-updates-parameters")
def rprop_leaves_its_second_parameter_after_the_first_step(patch):
    def before(optimizer):
        for parameter in list(parameters_of(optimizer))[1:2]:
            if parameter.grad is not None and optimizer.state.get(parameter):
                parameter.grad = torch.zeros_like(parameter)

    around_step(patch, torch.optim.Rprop, before=before)


@counterfeit("step-updates-parameters", reported="pytorch/pytorch#22628")
def the_epsilon_of_adam_is_corrected_with_the_squares(patch):
    def scaled(optimizer, group):
        made = [float(optimizer.state[p]["step"]) for p in group["params"] if "step" in optimizer.state.get(p, {})]
        return group["eps"] / (1 - float(group["betas"][1]) ** (1 + max(made, default=0))) ** 0.5

    for kind in {torch.optim.Adam, torch.optim.AdamW}:
        if "step" in vars(kind):  # AdamW may inherit that of Adam
            step_with(patch, kind, "eps", scaled)


@counterfeit("step-updates-parameters")
def radam_decays_from_its_second_step_on(patch):
    step_with(patch, RAdam, "weight_decay", lambda optimizer, group: group["weight_decay"] if optimizer.state else 0)
