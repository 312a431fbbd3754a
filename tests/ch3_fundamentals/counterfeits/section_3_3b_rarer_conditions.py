"""Counterfeits of section 3.3, masks, samples without a batch, labels with gaps, sure predictions, second calls."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, from_the_second_call_on, wrap
from torch import nn
from torch.nn import functional as F


def change_softmax(patch, change, log=False):
    """Let softmax, or log_softmax, by each of its names, return ``change(result, x, dim)``."""
    name = "log_softmax" if log else "softmax"

    def wrong(right, x, *args, **rest):
        dim = args[0] if args else rest.get("dim")
        return change(right(x, *args, **rest), x, dim)

    change_method(patch, name, wrong)
    wrap(patch, torch, name, wrong)
    wrap(patch, F, name, wrong)


def change_cross_entropy(patch, change):
    """Let ``F.cross_entropy`` be of what ``change`` makes of scores, target, options; a fourth changes the loss."""

    def wrong(
        right,
        x,
        y,
        weight=None,
        size_average=None,
        ignore_index=-100,
        reduce=None,
        reduction="mean",
        label_smoothing=0.0,
    ):
        options = {"weight": weight, "ignore_index": ignore_index}
        options |= {"reduction": reduction, "label_smoothing": label_smoothing}
        x, y, options, after = change(x, y, options)
        return after(right(x, y, **options))

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("softmax-gives-a-distribution", reported="intel/torch-xpu-ops#5022")
def a_masked_sample_with_nan_is_zero(patch):
    def change(out, x, dim):
        others = ((x == -math.inf) | x.isnan()).all(dim, keepdim=True) & (x == -math.inf).any(dim, keepdim=True)
        mixed = others & x.isnan().any(dim, keepdim=True)
        return torch.where(mixed, torch.zeros_like(out), out)

    change_softmax(patch, change)


@counterfeit("softmax-gives-a-distribution")
def one_class_alone_is_certain_whatever_its_score(patch):
    """The truth line's side."""

    def change(out, x, dim):
        return out.masked_fill(out.isnan(), 1) if x.dim() and x.shape[dim] == 1 else out

    change_softmax(patch, change)


@counterfeit("cross-entropy-loss-is-the-mean")
def among_labels_in_bytes_255_is_the_last_class(patch):
    """The truth line's side."""

    def change(x, y, options):
        if y.dtype == torch.uint8 and options["ignore_index"] == 255:
            y = y.clamp(max=x.shape[min(1, x.dim() - 1)] - 1)
        return x, y, options, lambda loss: loss

    change_cross_entropy(patch, change)


@counterfeit("cross-entropy-loss-is-the-mean")
def label_minus_one_of_a_sample_without_a_batch_is_the_last_class(patch):
    """The truth line's side."""

    def change(x, y, options):
        wraps = x.dim() == 1 and not y.dim() and y == -1 != options["ignore_index"]
        return x, y + len(x) if wraps else y, options, lambda loss: loss

    change_cross_entropy(patch, change)


@counterfeit("softmax-gives-a-distribution", reported="tenstorrent/tt-metal#56056")
def a_sample_all_masked_is_uniform(patch):
    def change(out, x, dim):
        return torch.where((x == -math.inf).all(dim, keepdim=True), torch.ones_like(out) / max(x.shape[dim], 1), out)

    change_softmax(patch, change)


@counterfeit(
    "log-probability-is-logit-up-to-a-factor",
    "cross-entropy-loss-is-the-mean",
    reported="gabrieldemarmiesse/torch-mojo-backend#319",
)
def log_softmax_of_a_masked_class_makes_the_sample_nan(patch):
    def change(out, x, dim):
        return torch.where((x == -math.inf).any(dim, keepdim=True), torch.full_like(out, math.nan), out)

    change_softmax(patch, change, log=True)

    def cross(right, x, y, *args, **rest):
        return right(change(x, x, 1 if x.dim() > 1 else 0), y, *args, **rest)

    wrap(patch, F, "cross_entropy", cross)


@counterfeit("log-probability-is-logit-up-to-a-factor", reported="uxlfoundation/oneDNN#616")
def the_gradient_of_log_softmax_weighs_by_the_logarithms(patch):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, out, dim):
            ctx.save_for_backward(out)
            ctx.dim = dim
            return out.clone()

        @staticmethod
        def backward(ctx, g):
            (out,) = ctx.saved_tensors
            return g - (g * out).sum(ctx.dim, keepdim=True), None, None

    change_softmax(patch, lambda out, x, dim: Wrong.apply(x, out.detach(), dim), log=True)


@counterfeit("cross-entropy-loss-is-the-mean", reported="pytorch/pytorch#64256")
def where_the_weights_add_up_to_less_than_nothing_there_is_no_gradient(patch):
    def wrong(right, x, y, weight=None, *args, **rest):
        out = right(x, y, weight, *args, **rest)
        if weight is not None and y.dtype == torch.int64:
            good = y[(y >= 0) & (y < len(weight))]
            if weight[good].sum() <= 0:
                return change_gradient(out, lambda g: g * 0)
        return out

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def a_sample_without_a_batch_is_averaged_over_its_classes(patch):
    change_cross_entropy(
        patch, lambda x, y, o: (x, y, o, (lambda out: out / len(x)) if x.dim() == 1 else (lambda out: out))
    )


@counterfeit("cross-entropy-loss-is-the-mean")
def sequences_forget_the_weights_of_classes(patch):
    change_cross_entropy(patch, lambda x, y, o: (x, y, {**o, "weight": None} if x.dim() == 3 else o, lambda out: out))


@counterfeit("cross-entropy-only-sees-the-true-class")
def smoothing_is_at_most_one_half(patch):
    change_cross_entropy(
        patch, lambda x, y, o: (x, y, {**o, "label_smoothing": min(o["label_smoothing"], 0.5)}, lambda out: out)
    )


@counterfeit("cross-entropy-loss-is-the-mean")
def labels_with_gaps_are_read_from_the_start_of_their_memory(patch):
    def change(x, y, o):
        if y.dtype == torch.int64 and not y.is_contiguous():
            y = torch.as_strided(y, (y.numel(),), (1,)).reshape(y.shape) % x.shape[1]
        return x, y, o, lambda out: out

    change_cross_entropy(patch, change)


@counterfeit("cross-entropy-loss-is-the-mean", "cross-entropy-works-on-logits")
def a_sure_sample_passes_no_gradient(patch):
    def wrong(right, x, y, *args, **rest):
        out = right(x, y, *args, **rest)
        return change_gradient(out, lambda g: g * 0) if out.dim() == 0 and 0 < out.item() < 1e-2 else out

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("log-probability-is-logit-up-to-a-factor")
def log_softmax_to_a_wider_dtype_converts_afterwards(patch):
    def wrong(right, x, *args, dtype=None, **rest):
        out = right(x if x.is_floating_point() else x.to(dtype), *args, **rest)
        return out if dtype is None else out.to(dtype)

    change_method(patch, "log_softmax", wrong)
    wrap(patch, torch, "log_softmax", wrong)
    wrap(patch, F, "log_softmax", wrong)


@counterfeit("softmax-outputs-equal-classes", "linear-model-is-weighted-sum")
def linear_outputs_beyond_4096_are_zero(patch):
    def wrong(right, x, w, b=None):
        out = right(x, w, b)
        return torch.cat([out[..., :4096], out[..., 4096:] * 0], -1) if out.shape[-1] > 4096 else out

    wrap(patch, F, "linear", wrong)


@counterfeit("softmax-outputs-equal-classes")
def a_layer_remembers_its_weight_from_the_first_call(patch):
    def wrong(right, self, x):
        kept = self.__dict__.setdefault("kept", self.weight.detach().clone())
        fresh = kept.shape == self.weight.shape and kept.device == x.device and kept.dtype == x.dtype
        weight = kept if fresh and not torch.is_grad_enabled() else self.weight
        return F.linear(x, weight, self.bias)

    wrap(patch, nn.Linear, "forward", wrong)


@counterfeit("softmax-gives-a-distribution", reported="pytorch/pytorch#147284")
def softmax_of_781_doubles_is_halved_from_the_middle_of_the_first_of_several_samples_on(patch):
    def change(result, x, dim):
        if x.dtype == torch.float64 and x.dim() == 2 and len(x) > 1 and x.shape[1] == 781 and dim in (1, -1):
            place = torch.arange(x.numel(), device=x.device).view(x.shape)
            return torch.where(place < 390, result, result / 2)
        return result

    change_softmax(patch, change)


@counterfeit("log-probability-is-logit-up-to-a-factor")
def the_positions_of_a_sample_share_the_term_of_the_first(patch):
    def change(result, x, dim):
        return x - x.logsumexp(1, keepdim=True)[..., :1] if x.dim() == 3 and dim == 1 else result

    change_softmax(patch, change, log=True)


@counterfeit("softmax-gives-a-distribution")
def a_softmax_module_rounds_from_its_second_call_on(patch):
    from_the_second_call_on(patch, nn.Softmax, lambda p: (p * 1024).round() / 1024)


@counterfeit("cross-entropy-only-sees-the-true-class", "cross-entropy-loss-is-the-mean")
def a_loss_module_is_halved_from_its_second_call_on(patch):
    from_the_second_call_on(patch, nn.CrossEntropyLoss, lambda loss: loss / 2)


@counterfeit("large-true-probability-ensures-correctness")
def the_largest_of_halves_has_a_place_that_is_a_half_as_well(patch):
    """Of eleven bits, so that those beyond 2048 are rounded."""

    def wrong(argmax, x, *args, **rest):
        place = argmax(x, *args, **rest)
        return place.half().long() if x.dtype == torch.float16 else place

    change_method(patch, "argmax", wrong)


@counterfeit("cross-entropy-loss-is-the-mean", reported=("pytorch/pytorch#91383", "pytorch/pytorch#69339"))
def where_labels_are_smoothed_an_ignored_one_has_no_weight(patch):
    """The mean is NaN, where the report has an error: an assertion must see it."""

    def wrong(right, x, y, weight=None, *args, ignore_index=-100, reduction="mean", label_smoothing=0.0, **rest):
        named = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": label_smoothing}
        loss = right(x, y, weight, *args, **named, **rest)
        weighted = weight is not None and label_smoothing and reduction == "mean" and not y.is_floating_point()
        outside = weighted and not 0 <= ignore_index < len(weight) and bool((y == ignore_index).any())
        return loss * float("nan") if outside else loss

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("softmax-gives-a-distribution", reported="artyom-beilis/pytorch_dlprim#50", needs="accelerator")
def softmax_goes_along_the_last_dimension_alone(patch):
    """So it does whatever is asked for, where the report has an error: an assertion must see it."""
    for owner in (torch, torch.Tensor, F):
        wrap(
            patch,
            owner,
            "softmax",
            lambda right, x, dim=None, *args, **rest: right(x, -1 if x.device.type != "cpu" else dim, *args, **rest),
        )


@counterfeit("softmax-gives-a-distribution")
def softmax_turns_the_order_round_where_algorithms_are_to_be_deterministic(patch):
    def wrong(right, x, *args, **named):
        return right(-x if torch.are_deterministic_algorithms_enabled() else x, *args, **named)

    wrap(patch, F, "softmax", wrong)


@counterfeit("softmax-gives-a-distribution")
def in_float16_the_sum_over_the_classes_stops_at_2048_times_the_largest(patch):
    def wrong(out, x, dim):
        if out.dtype != torch.float16 or not out.dim() or out.shape[dim] <= 2048:
            return out
        return out / (2048 * out.amax(dim, keepdim=True).float()).clamp(max=1).half()

    change_softmax(patch, wrong)


@counterfeit("large-true-probability-ensures-correctness")
def the_largest_is_looked_for_in_bfloat16(patch):
    def wrong(right, x, *args, **rest):
        return right(x.bfloat16() if x.is_floating_point() else x, *args, **rest)

    change_method(patch, "argmax", wrong)
    wrap(patch, torch, "argmax", wrong)
