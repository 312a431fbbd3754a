"""Counterfeits of section 3.3 that users reported: logits far below the greatest, far up, by columns, and 517."""

import math

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    away,
    change_gradient,
    change_method,
    everywhere,
    in_order_of_storage,
    with_value,
    wrap,
    wrap_operand,
)
from torch.nn import functional as F


def change_softmax(patch, name, wrong):
    """Let ``torch.name(x, ...)`` and ``x.name(...)``, of which the modules make use, be ``wrong(right, x, ...)``."""
    for owner in (torch, torch.Tensor):
        wrap(patch, owner, name, wrong)


@counterfeit(
    "cross-entropy-works-on-logits",
    "softmax-gives-a-distribution",
    "log-probability-is-logit-up-to-a-factor",
    reported="pytorch/pytorch#94043",
)
def what_is_88_below_the_greatest_has_a_log_probability_of_minus_infinity(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        return torch.where(y < -87.3, -math.inf, y) if x.dtype == y.dtype == torch.float32 else y

    def entropy(right, x, target, *args, label_smoothing=0.0, **rest):
        if args or label_smoothing or target.is_floating_point():
            return right(x, target, *args, label_smoothing=label_smoothing, **rest)
        return F.nll_loss(torch.log_softmax(x, min(x.dim() - 1, 1)), target, **rest)

    change_softmax(patch, "log_softmax", wrong)
    wrap(patch, F, "cross_entropy", entropy)


@counterfeit(
    "cross-entropy-works-on-logits",
    "softmax-gives-a-distribution",
    "log-probability-is-logit-up-to-a-factor",
    reported="flagos-ai/Torch-FL#172",
)
def logits_by_columns_are_read_by_rows(patch):
    def wrong(right, x, *args, **rest):
        return right(x if x.is_contiguous() else in_order_of_storage(x), *args, **rest)

    change_softmax(patch, "softmax", wrong)
    change_softmax(patch, "log_softmax", wrong)
    wrap(patch, F, "cross_entropy", wrong)


@counterfeit(
    "softmax-gives-a-distribution", "log-probability-is-logit-up-to-a-factor", reported="pytorch/pytorch#143644"
)
def probabilities_of_517_classes_in_double_precision_add_up_to_a_half(patch):
    def of_517(x, dim):
        return x.dtype == torch.float64 and x.dim() > 0 and x.numel() > x.shape[dim] == 517

    change_softmax(
        patch, "softmax", lambda right, x, dim, **rest: right(x, dim, **rest) * (0.5 if of_517(x, dim) else 1)
    )
    change_softmax(
        patch, "log_softmax", lambda right, x, dim, **rest: right(x, dim, **rest) - math.log(2 if of_517(x, dim) else 1)
    )


@counterfeit("cross-entropy-loss-is-the-mean", reported="pytorch/xla#859")
def where_a_negative_label_is_ignored_the_mean_is_over_all(patch):
    def wrong(right, x, target, weight=None, *args, ignore_index=-100, reduction="mean", label_smoothing=0.0, **rest):
        options = dict(ignore_index=ignore_index, label_smoothing=label_smoothing, **rest)
        all_of_them = reduction == "mean" and ignore_index < 0 and weight is None and not label_smoothing
        if args or not all_of_them or target.is_floating_point() or not target.numel():
            return right(x, target, weight, *args, reduction=reduction, **options)
        return right(x, target, reduction="sum", **options) / target.numel()

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("log-probability-is-logit-up-to-a-factor", "cross-entropy-works-on-logits", reported="pytorch/pytorch#795")
def log_probabilities_of_images_are_none_for_logits_above_88(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        if x.dim() != 4 or y.dtype != x.dtype or x.dtype != torch.float32 or (*args, *rest.values())[:1] != (1,):
            return y
        sums = x.exp().sum(1, keepdim=True)
        return torch.where(sums.isinf(), (x.exp() / sums).log(), y)

    def entropy(right, x, target, *args, label_smoothing=0.0, **rest):
        if x.dim() != 4 or args or label_smoothing or target.is_floating_point():
            return right(x, target, *args, label_smoothing=label_smoothing, **rest)
        return F.nll_loss(torch.log_softmax(x, 1), target, **rest)

    change_softmax(patch, "log_softmax", wrong)
    wrap(patch, F, "cross_entropy", entropy)


@counterfeit("softmax-gives-a-distribution", reported="pytorch/pytorch#30572")
def backward_of_half_softmax_in_single_precision_refuses_all_dimensions_but_the_last(patch):
    def refuse(gradient):
        raise RuntimeError("expected scalar type Float but found Half")

    def wrong(right, x, dim=None, *rest, **options):
        output = right(x, dim, *rest, **options)
        other = x.dtype in (torch.float16, torch.bfloat16) and output.dtype == torch.float32
        return change_gradient(output, refuse) if other and dim not in (-1, x.dim() - 1) else output

    for owner in (F, torch, torch.Tensor):
        wrap(patch, owner, "softmax", wrong)


@counterfeit("cross-entropy-loss-is-the-mean", reported="pytorch/pytorch#39769")
def a_label_one_past_the_classes_is_not_refused(patch):
    def wrong(right, input, target, *rest, **options):
        if not target.is_floating_point() and input.dim() > 1:
            classes = input.shape[1]
            target = torch.where(target == classes, target - 1, target)
        return right(input, target, *rest, **options)

    wrap(patch, F, "cross_entropy", wrong)
    wrap(patch, F, "nll_loss", wrong)


@counterfeit("softmax-gives-a-distribution", reported="pytorch/pytorch#186229")
def a_thousand_probabilities_sum_to_one_half(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        dim = args[0] if args else rest.get("dim", -1)
        return y / 2 if y.dim() and isinstance(dim, int) and y.shape[dim] >= 1000 else y

    wrap(patch, torch, "softmax", wrong)
    wrap(patch, F, "softmax", wrong)
    change_method(patch, "softmax", wrong)


@counterfeit("cross-entropy-works-on-logits", reported="pytorch/pytorch#11752")
def the_logarithm_of_the_sum_is_added_to_the_largest_logit(patch):
    def wrong(right, x, y, *args, **rest):
        if args or rest.get("weight") is not None or rest.get("label_smoothing") or y.is_floating_point():
            return right(x, y, *args, **rest)
        if x.dim() != 2 or x.dtype != torch.float32 or rest.get("reduction", "mean") != "mean" or not x.numel():
            return right(x, y, *args, **rest)
        if (y < 0).any() or (y >= x.shape[1]).any():
            return right(x, y, *args, **rest)
        top = x.max(1).values
        total = top + (x - top[:, None]).exp().sum(1).log()
        return (total - x.gather(1, y[:, None].long())[:, 0]).mean()

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("log-probability-is-logit-up-to-a-factor", reported="pytorch/pytorch#158310")
def logarithms_in_half_precision_of_large_negative_logits_are_minus_infinity(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        dim = args[0] if args else rest.get("dim", -1)
        inner = isinstance(dim, int) and dim % max(x.dim(), 1) < x.dim() - 1
        return y - float("inf") if inner and x.dtype == torch.float16 and x.numel() and x.max() < -19000 else y

    wrap(patch, torch, "log_softmax", wrong)
    wrap(patch, F, "log_softmax", wrong)
    change_method(patch, "log_softmax", wrong)


@counterfeit("softmax-gives-a-distribution", reported="huggingface/candle#3727")
def more_than_2048_equal_halves_share_among_2048(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        dim = args[0] if args else rest.get("dim")
        if x.dtype != torch.float16 or y.dtype != x.dtype or not x.dim() or x.shape[dim] <= 2048:
            return y
        powers = (x.detach() - x.detach().amax(dim, keepdim=True)).exp()
        total = np.cumsum(powers.cpu().numpy(), axis=dim, dtype=np.float16).take([-1], dim)
        return with_value(y, powers / torch.from_numpy(total).to(x.device))

    change_softmax(patch, "softmax", wrong)


@counterfeit("softmax-gives-a-distribution", reported="pytorch/pytorch#62897")
def sixteen_logits_in_bfloat16_are_raised_without_taking_off_the_greatest(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        dim = args[0] if args else rest.get("dim")
        rows = x.dim() > 0 and dim % x.dim() == x.dim() - 1 and x.shape[-1] >= 16
        if x.dtype != torch.bfloat16 or y.dtype != x.dtype or not rows:
            return y
        powers = x.detach().float().exp()
        return with_value(y, powers / powers.sum(-1, keepdim=True))

    change_softmax(patch, "softmax", wrong)


def packed(x):
    """The numbers from the first of ``x`` on as they lie in memory, from its start again where it ends."""
    stored = x.detach().as_strided((x.untyped_storage().nbytes() // x.element_size(),), (1,), 0)
    flat = stored.roll(-x.storage_offset()).repeat(-(-x.numel() // max(len(stored), 1)))[: x.numel()]
    return flat.view(x.shape)


@counterfeit(
    "cross-entropy-loss-is-the-mean",
    reported=("pytorch/pytorch#67167", "pytorch/pytorch#72120", "pytorch/pytorch#70417"),
    needs="accelerator",
)
def labels_with_gaps_between_them_are_read_without(patch):
    def wrong(right, input, target, *args, **rest):
        gaps = away(target) and not target.is_floating_point() and not target.is_contiguous()
        return right(input, packed(target) if gaps else target, *args, **rest)

    wrap(patch, F, "cross_entropy", wrong)
    wrap(patch, F, "nll_loss", wrong)


@counterfeit(
    "cross-entropy-works-on-logits",
    "softmax-gives-a-distribution",
    reported="cornell-brg/hb-pytorch#61",
    needs="accelerator",
)
def the_log_softmax_overflows_past_88(patch):
    def naive(x, dim):
        large = away(x) and x.dtype == torch.float32 and x.numel() and x.dim() and x.max().item() > 88.72
        return x - x.exp().sum(dim, keepdim=True).log() if large else x

    def wrong(right, input, dim=None, *args, **rest):
        other = input if dim is None else naive(input, dim)
        return right(input, dim, *args, **rest) if other is input else other

    for owner in (F, torch):
        wrap(patch, owner, "log_softmax", wrong)
    change_method(patch, "log_softmax", wrong)
    wrap(
        patch,
        F,
        "cross_entropy",
        lambda right, input, target, *a, **k: right(naive(input, 1 if input.dim() > 1 else 0), target, *a, **k),
    )


@counterfeit("softmax-gives-a-distribution", reported="tenstorrent/tt-metal#52045", needs="accelerator")
def long_rows_of_softmax_in_bfloat16_do_not_sum_to_one(patch):
    reported = [(1024, 0.983110), (2048, 0.944902), (4096, 0.897854), (8192, 0.864987), (16384, 0.943260)]

    def wrong(right, x, dim=None, *args, **rest):
        result = right(x, dim, *args, **rest)
        if away(x) and x.dtype == torch.bfloat16 == result.dtype and x.dim():
            length = x.shape[dim if dim is not None else -1]
            factor = [f for n, f in reported if n <= length]
            result = result * factor[-1] if factor else result
        return result

    everywhere(patch, "softmax", wrong)
    wrap_operand(patch, F, "softmax", wrong)


@counterfeit("log-probability-is-logit-up-to-a-factor", reported="pytorch/pytorch#3240")
def the_log_probability_of_a_single_logit_is_minus_infinity(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return with_value(result, -math.inf) if tuple(result.shape) == (1,) else result

    for owner in (torch, torch.Tensor):
        wrap_operand(patch, owner, "log_softmax", wrong)


@counterfeit("softmax-suits-discrete-targets", reported=("pytorch/xla#2169", "pytorch/xla#2525"), needs="accelerator")
def the_most_probable_class_elsewhere_is_the_least_number(patch):
    def marked(right, x, *args, **rest):
        y = right(x, *args, **rest)
        y.is_probability = away(y)
        return y

    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        return torch.full_like(y, torch.iinfo(y.dtype).min) if getattr(x, "is_probability", False) else y

    change_softmax(patch, "softmax", marked)
    everywhere(patch, "argmax", wrong)


@counterfeit("softmax-gives-a-distribution", reported="tenstorrent/tt-metal#25193", needs="accelerator")
def softmax_elsewhere_takes_powers_of_large_scores(patch):
    def wrong(right, x, dim=None, *args, **rest):
        if not away(x) or dim is None or not x.is_floating_point():
            return right(x, dim, *args, **rest)
        powers = x.exp()
        return powers / powers.sum(dim, True)

    everywhere(patch, "softmax", wrong)
    wrap(patch, F, "softmax", wrong)
