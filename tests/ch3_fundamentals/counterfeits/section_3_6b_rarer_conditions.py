"""Counterfeits of section 3.6, several dtypes, edits, and norms of many or steep elements."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_gradient, change_method, step_with, wrap
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop


@counterfeit("norm-is-the-l2-norm", reported="pytorch/pytorch#15602")
def norm_counts_parts_again_where_threads_share_the_work(patch):
    def wrong(right, x, *args, **rest):
        if args or rest or x.numel() < 32768 or not x.is_contiguous():
            return right(x, *args, **rest)
        half = x.reshape(-1)[: x.numel() // 2]
        return (right(x) ** 2 + right(half) ** 2).sqrt()

    change_method(patch, "norm", wrong)
    wrap(patch, torch, "norm", wrong)


@counterfeit(
    "weight-decay-equals-l2-regularisation", "optim-offers-sgd-adam-rmsprop", reported="flagos-ai/FlagGems#4989"
)
def fused_adam_decays_apart(patch):
    def wrong(step, self, closure=None):
        kept = [(g, g["weight_decay"]) for g in self.param_groups if g.get("fused") and type(self) is Adam]
        for g, decay in kept:
            for p in g["params"]:
                if p.grad is not None:
                    p.data.mul_(1 - g["lr"] * decay)
            g["weight_decay"] = 0
        result = step(self, closure)
        for g, decay in kept:
            g["weight_decay"] = decay
        return result

    wrap(patch, Adam, "step", wrong)


@counterfeit("norm-is-the-l2-norm")
def norm_skips_elements_below_a_thousandth_of_the_largest(patch):
    def wrong(right, x, *args, **rest):
        if x.numel() and x.is_floating_point():
            x = x * (x.abs() >= x.abs().max() / 1000)
        return right(x, *args, **rest)

    change_method(patch, "norm", wrong)


@counterfeit("weight-decay-decays-bias-by-default", reported="huggingface/pytorch-image-models#2750")
def decay_by_whole_lists_comes_once_for_each_dtype(patch):
    """Of AdamW here, whose decay is decoupled as that of the report."""

    def wrong(step, self, closure=None):
        for g in self.param_groups:
            held = [p for p in g["params"] if p.grad is not None]
            if g.get("foreach"):
                for _ in range(len({p.dtype for p in held}) - 1):
                    for p in held:
                        p.data.mul_(1 - g["lr"] * g["weight_decay"])
        return step(self, closure)

    wrap(patch, AdamW, "step", wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def an_edited_decay_has_no_effect(patch):
    for kind in (SGD, Adam, AdamW, RMSprop, Adagrad):
        step_with(patch, kind, "weight_decay", lambda self, group: group.setdefault("_first", group["weight_decay"]))


@counterfeit("weight-decay-equals-l2-regularisation")
def of_complex_numbers_the_real_part_alone_decays(patch):
    """The truth line's side."""
    kept = []

    def before(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.is_complex() and p.grad is not None:
                    kept.append((p, p.grad))
                    decay = 1j * group["weight_decay"] * p.detach().imag
                    p.grad = p.grad + decay if group["maximize"] else p.grad - decay

    def after(self):
        while kept:
            p, p.grad = kept.pop()

    around_step(patch, SGD, before, after)


@counterfeit("norm-is-the-l2-norm")
def a_norm_counts_a_hundred_thousand_elements(patch):
    def wrong(right, x, *args, **rest):
        return (
            right(x.reshape(-1)[:100_000], *args, **rest)
            if x.numel() > 100_000 and not args
            else right(x, *args, **rest)
        )

    change_method(patch, "norm", wrong)
    wrap(patch, torch, "norm", wrong)


@counterfeit("penalty-shrinks-weights-each-step")
def steps_that_can_be_differentiated_do_not_decay(patch):
    step_with(patch, SGD, "weight_decay", lambda self, group: 0 if group["differentiable"] else group["weight_decay"])


@counterfeit("l2-penalty-formula")
def a_sum_in_float16_stops_at_2048_times_its_largest_term(patch):
    def wrong(right, x, *args, **rest):
        out = right(x, *args, **rest)
        if x.dtype != torch.float16 or args or rest or not x.numel():
            return out
        most = 2048 * x.detach().abs().max().float()
        return out.float().clamp(-most, most).to(out.dtype)

    change_method(patch, "sum", wrong)


@counterfeit("norm-is-the-l2-norm")
def the_norm_of_zeros_has_the_gradient_nan(patch):
    def wrong(norm, x, *given, **named):
        return norm(
            change_gradient(x, lambda g: g if x.any() else g * torch.nan) if x.requires_grad else x, *given, **named
        )

    change_method(patch, "norm", wrong)
