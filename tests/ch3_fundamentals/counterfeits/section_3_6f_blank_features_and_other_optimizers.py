"""Counterfeits of section 3.6, gradients that are zero, decays that are turned or inherited, and many weights."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import step_with, wrap
from torch.optim import SGD, Optimizer, RMSprop


@counterfeit("weight-decay-equals-l2-regularisation")
def by_whole_lists_what_is_maximised_decays_the_other_way(patch):
    step_with(
        patch,
        SGD,
        "weight_decay",
        lambda s, g: -g["weight_decay"] if g["maximize"] and g["foreach"] else g["weight_decay"],
    )


@counterfeit("l2-penalty-formula")
def a_sum_leaves_out_what_comes_after_65536_squares(patch):
    def wrong(right, x, *args, **rest):
        return right(x, *args, **rest) if args or rest or x.numel() <= 65536 else right(x.flatten()[:65536])

    for owner in (torch, torch.Tensor):
        wrap(patch, owner, "sum", wrong)


@counterfeit("from-scratch-equals-weight-decay-option")
def where_the_gradient_is_zero_nothing_decays(patch):
    def wrong(step, self, *args, **rest):
        olds = [
            (p, p.detach().clone(), p.grad == 0)
            for g in self.param_groups
            for p in g["params"]
            if p.grad is not None and not p.grad.is_sparse and not g["momentum"]
        ]
        r = step(self, *args, **rest)
        for p, o, z in olds:
            p.data.copy_(torch.where(z, o, p.data))
        return r

    wrap(patch, SGD, "step", wrong)


@counterfeit("weights-alone-can-be-decayed")
def a_decay_of_zero_is_that_of_the_optimizer_before(patch):
    last = {}

    def wrong(right, self, *args, **rest):
        if not rest.get("weight_decay") and type(self) in last:
            rest["weight_decay"] = last[type(self)]
        right(self, *args, **rest)
        if self.defaults.get("weight_decay"):
            last[type(self)] = self.defaults["weight_decay"]

    wrap(patch, RMSprop, "__init__", wrong)


@counterfeit("weights-alone-can-be-decayed")
def a_group_of_named_parameters_takes_the_default_decay(patch):
    def wrong(right, self, group):
        m = group["params"]
        if isinstance(m, list) and m and isinstance(m[0], tuple):
            group["weight_decay"] = self.defaults["weight_decay"]
        right(self, group)

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def radam_no_longer_decays_once_it_divides(patch):
    def decay(optimizer, group):
        steps = [float(optimizer.state[w]["step"]) for w in group["params"] if "step" in optimizer.state[w]]
        return 0 if max(steps, default=0) >= 5 else group["weight_decay"]

    step_with(patch, torch.optim.RAdam, "weight_decay", decay)


@counterfeit("weight-decay-decays-bias-by-default")
def radam_of_bfloat16_does_not_decay(patch):
    def wrong(step, self, closure=None):
        groups = [(group, group["weight_decay"]) for group in self.param_groups]
        for group, _ in groups:
            if any(w.dtype == torch.bfloat16 for w in group["params"]):
                group["weight_decay"] = 0
        try:
            return step(self, closure)
        finally:
            for group, decay in groups:
                group["weight_decay"] = decay

    wrap(patch, torch.optim.RAdam, "step", wrong)


@counterfeit("weight-decay-makes-parameters-smaller")
def sgd_with_nesterov_momentum_does_not_decay(patch):
    step_with(
        patch,
        torch.optim.SGD,
        "weight_decay",
        lambda optimizer, group: 0 if group["nesterov"] else group["weight_decay"],
    )
