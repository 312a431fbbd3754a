"""Counterfeits of section 3.6 that users reported, norms of many numbers and of short complex ones."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, away, change_gradient, change_method, everywhere, step_with, with_value, wrap


@counterfeit(
    "norm-is-the-l2-norm", reported=("pytorch/pytorch#68326", "pytorch/pytorch#20551", "pytorch/pytorch#20999")
)
def eight_sums_of_single_precision_make_a_norm(patch):
    def wrong(right, x, *args, **rest):
        norm = right(x, *args, **rest)
        if args or rest or x.dtype != torch.float32 or x.numel() < 1024:
            return norm
        numbers = x.detach().cpu().numpy().ravel()
        eights = numbers[: len(numbers) // 8 * 8].reshape(-1, 8)
        return with_value(norm, np.sqrt(np.add.reduce(eights * eights).sum()))  # row by row

    change_method(patch, "norm", wrong)
    wrap(patch, torch, "norm", wrong)
    wrap(patch, torch.linalg, "vector_norm", wrong)


@counterfeit("norm-is-the-l2-norm", reported="pytorch/pytorch#132634")
def of_short_complex_numbers_the_real_parts_alone_count(patch):
    def wrong(right, x, *args, **rest):
        return right(x.real if x.dtype == torch.complex32 else x, *args, **rest)

    change_method(patch, "norm", wrong)
    for owner, name in ((torch, "norm"), (torch.linalg, "norm"), (torch.linalg, "vector_norm")):
        wrap(patch, owner, name, wrong)


def packed(x):
    """The numbers from the first of ``x`` on as they lie in memory, from its start again where it ends."""
    stored = x.detach().as_strided((x.untyped_storage().nbytes() // x.element_size(),), (1,), 0)
    flat = stored.roll(-x.storage_offset()).repeat(-(-x.numel() // max(len(stored), 1)))[: x.numel()]
    return flat.view(x.shape)


@counterfeit("l2-penalty-formula", reported="flagos-ai/FlagGems#1786", needs="accelerator")
def a_sum_of_all_reads_the_memory_without_its_gaps(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        if args or set(rest) - {"dtype"} or not away(x) or x.is_contiguous() or not x.numel():
            return y
        return with_value(y, right(packed(x), **rest))

    for name in ("sum", "mean"):
        wrap(patch, torch, name, lambda right, input, *a, **k: wrong(right, input, *a, **k))
        change_method(patch, name, wrong)


@counterfeit("norm-is-the-l2-norm", reported="pytorch/pytorch#2721", needs="accelerator")
def the_norm_of_zeros_has_no_backward(patch):
    def refuse(gradient):
        raise RuntimeError("cannot divide by the norm")

    def wrong(right, *args, **rest):
        y = right(*args, **rest)
        return change_gradient(y, refuse) if away(y) and y.requires_grad and not y.dim() and y.item() == 0 else y

    wrap(patch, torch, "norm", wrong)
    change_method(patch, "norm", wrong)


@counterfeit("penalty-shrinks-weights-each-step")
def the_decay_of_single_precision_is_rounded_to_bfloat16(patch):
    def rounded(optimizer, group):
        decay, single = float(group["weight_decay"]), all(p.dtype == torch.float32 for p in group["params"])
        return torch.tensor(decay, device="cpu").bfloat16().item() if single else group["weight_decay"]

    step_with(patch, torch.optim.SGD, "weight_decay", rounded)


@counterfeit("l2-penalty-formula")
def the_function_pow_keeps_the_sign_of_a_square(patch):
    def wrong(right, x, exponent, *rest, **named):
        square = (
            isinstance(x, torch.Tensor) and x.is_floating_point() and type(exponent) in (int, float) and exponent == 2
        )
        return right(x, exponent, *rest, **named) * x.sign() if square else right(x, exponent, *rest, **named)

    wrap(patch, torch, "pow", wrong)


@counterfeit("weight-decay-equals-l2-regularisation", reported="mlverse/torch#821")
def adam_decays_by_the_number_of_the_parameter(patch):
    def wrong(step, self, closure=None):
        with torch.enable_grad():
            loss = None if closure is None else closure()
        kept = []
        for group in self.param_groups:
            if group.get("decoupled_weight_decay"):
                continue
            kept.append((group, group["weight_decay"], [(p, p.grad) for p in group["params"]]))
            sign = -1 if group["maximize"] else 1
            for number, p in enumerate(group["params"], 1):
                if group["weight_decay"] and p.grad is not None:
                    p.grad = p.grad + sign * group["weight_decay"] * number
            group["weight_decay"] = 0
        step(self)
        for group, decay, gradients in kept:
            group["weight_decay"] = decay
            for p, gradient in gradients:
                p.grad = gradient
        return loss

    wrap(patch, torch.optim.Adam, "step", wrong)


@counterfeit("penalty-shrinks-weights-each-step", reported="jettify/pytorch-optimizer#454")
def weight_decay_subtracts_a_constant(patch):
    def before(optimizer):
        with torch.no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is not None and group["weight_decay"]:
                        p.sub_(group["lr"] * group["weight_decay"])

    step_with(patch, torch.optim.SGD, "weight_decay", lambda optimizer, group: 0)
    around_step(patch, torch.optim.SGD, before)


@counterfeit("l2-penalty-formula", reported="Oneflow-Inc/oneflow#6917", needs="accelerator")
def a_power_of_a_negative_number_is_none(patch):
    def wrong(right, x, exponent, *args, **rest):
        result = right(x, exponent, *args, **rest)
        if not away(x) or x.dtype != torch.float32 or not isinstance(exponent, (int, float)):
            return result
        return result.masked_fill(x < 0, torch.nan)

    everywhere(patch, "pow", wrong)
    change_method(patch, "__pow__", wrong)
