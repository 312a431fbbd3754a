"""Counterfeits of 3.3: softmax and cross entropy, each wrong in one way."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    change_gradient,
    change_method,
    change_result,
    in_order_of_storage,
    not_contiguous,
    of_dtype,
    where,
    wrap,
)
from torch import nn
from torch.nn import functional as F


def replace_softmax(patch, wrong):
    """`wrong(softmax, tensor, dim)` in the place of the function, the method and the module."""
    softmax = torch.Tensor.softmax
    for place in (torch, torch.Tensor):
        patch.setattr(place, "softmax", lambda tensor, dim, **options: wrong(softmax, tensor, dim))


def replace_cross_entropy(patch, wrong):
    """`wrong(cross_entropy, logits, target, **options)` in the place of the function and the module."""
    cross_entropy = F.cross_entropy
    patch.setattr(F, "cross_entropy", lambda logits, target, **options: wrong(cross_entropy, logits, target, **options))


# ── softmax-suits-discrete-targets ──


@counterfeit("softmax-suits-discrete-targets", "large-true-probability-ensures-correctness")
def argmax_misses_the_last_class(patch):
    change_method(patch, "argmax", lambda argmax, self, dim: argmax(self.narrow(dim, 0, self.shape[dim] - 1), dim))


@counterfeit("softmax-suits-discrete-targets")
def argmax_returns_the_class_as_a_floating_point_number(patch):
    change_method(patch, "argmax", lambda argmax, self, *args, **options: argmax(self, *args, **options).float())


@counterfeit("softmax-suits-discrete-targets")
def training_takes_the_last_class_for_the_one_before(patch):
    def wrong(cross_entropy, logits, target, **options):
        return cross_entropy(logits, target.clamp(max=logits.shape[1] - 2), **options)

    replace_cross_entropy(patch, wrong)


# ── softmax-gives-a-distribution ──


@counterfeit("softmax-gives-a-distribution")
def softmax_overflows_for_large_logits(patch):
    replace_softmax(patch, lambda softmax, tensor, dim: tensor.exp() / tensor.exp().sum(dim, keepdim=True))


@counterfeit("softmax-gives-a-distribution")
def softmax_adds_a_little_to_the_sum_it_divides_by(patch):
    def wrong(softmax, tensor, dim):
        weights = (tensor - tensor.amax(dim, keepdim=True)).exp()
        return weights / (weights.sum(dim, keepdim=True) + 1e-8)

    replace_softmax(patch, wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_rounds_small_probabilities_to_zero(patch):
    replace_softmax(patch, lambda softmax, tensor, dim: F.threshold(softmax(tensor, dim), 1e-12, 0.0))


@counterfeit("softmax-gives-a-distribution")
def softmax_of_a_square_matrix_goes_along_its_columns(patch):
    def wrong(softmax, tensor, dim):
        square = tensor.dim() == 2 and tensor.shape[0] == tensor.shape[1]
        return softmax(tensor, 0 if square else dim)

    replace_softmax(patch, wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_module_ignores_its_dimension(patch):
    patch.setattr(nn.Softmax, "forward", lambda self, tensor: tensor.softmax(dim=0))


@counterfeit("softmax-gives-a-distribution")
def the_last_of_three_classes_gets_what_the_others_leave_of_one(patch):
    def wrong(softmax, tensor, dim):
        p = softmax(tensor, dim)
        return torch.cat([p[:2], 1 - p[:2].sum(0, keepdim=True)]) if p.shape == (3,) and p.isfinite().all() else p

    replace_softmax(patch, wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_is_ten_per_cent_too_sharp(patch):
    replace_softmax(patch, lambda softmax, tensor, dim: softmax(1.1 * tensor, dim))


@counterfeit("softmax-gives-a-distribution")
def softmax_computes_in_single_precision(patch):
    replace_softmax(patch, lambda softmax, tensor, dim: softmax(tensor.float(), dim).to(tensor.dtype))


def first_eight(x, dim):
    return x.narrow(dim, 0, min(8, x.shape[dim]))


@counterfeit("softmax-gives-a-distribution")
def softmax_normalises_over_eight_classes_only(patch):
    replace_softmax(patch, lambda softmax, x, dim: (x - first_eight(x, dim).logsumexp(dim, keepdim=True)).exp())


@counterfeit("softmax-gives-a-distribution", reported="intel/torch-xpu-ops#4772")
def softmax_is_garbage_just_past_a_power_of_two(patch):
    def wrong(softmax, x, dim):
        n = x.shape[dim] if x.dtype == torch.float32 else 0
        return softmax(x, dim).flip(dim) if 256 < n <= 384 or 512 < n <= 896 or n > 1024 else softmax(x, dim)

    replace_softmax(patch, wrong)


@counterfeit("softmax-gives-a-distribution", reported="pytorch/pytorch#2391")
def half_precision_adds_its_exponentials_up_in_half(patch):
    def wrong(softmax, x, dim):
        weights = (x - x.amax(dim, keepdim=True)).exp()
        return weights / sum(weights.unbind(dim)).unsqueeze(dim) if x.dtype == torch.bfloat16 else softmax(x, dim)

    replace_softmax(patch, wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_of_a_large_matrix_goes_by_blocks_of_rows(patch):
    def wrong(softmax, x, dim):
        large = x.dim() == 2 and len(x) > 128
        return torch.cat([softmax(part, 0) for part in x.split(128)]) if large and dim == 1 else softmax(x, dim)

    replace_softmax(patch, wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_of_one_sample_alone_gives_ones(patch):
    def wrong(softmax, x, dim):
        return softmax(x, 0 if x.dim() == 2 and len(x) == 1 else dim)

    replace_softmax(patch, wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_reads_what_is_not_contiguous_in_the_order_of_storage(patch):
    where(patch, torch, "softmax", not_contiguous, lambda _, x, dim: torch.softmax(in_order_of_storage(x), dim))


@counterfeit("softmax-gives-a-distribution")
def functional_softmax_goes_along_the_first_dimension_if_given_the_last_from_behind(patch):
    wrap(patch, F, "softmax", lambda softmax, x, dim, **options: softmax(x, 0 if dim == -1 else dim, **options))


@counterfeit("softmax-gives-a-distribution")
def softmax_gives_zero_for_nan(patch):
    change_result(patch, torch, "softmax", lambda result, *rest: result.nan_to_num(0))


@counterfeit("softmax-gives-a-distribution")
def nan_spreads_to_the_other_samples(patch):
    change_result(patch, torch, "softmax", lambda result, *rest: result + 0 * result.sum())


@counterfeit("softmax-gives-a-distribution")
def minus_infinity_makes_nan(patch):
    change_result(patch, torch, "softmax", lambda result, x, *rest: result + 0 * x.clamp(max=0))


@counterfeit("softmax-gives-a-distribution")
def the_gradient_of_softmax_leaves_the_common_divisor_out(patch):
    def wrong(softmax, x, dim):
        right = softmax(x, dim)
        return right.detach() * (1 + x - x.detach()) if x.requires_grad else right

    replace_softmax(patch, wrong)


# ── softmax-outputs-equal-classes ──


@counterfeit("softmax-outputs-equal-classes", reported="pytorch/pytorch#189495")
def linear_wraps_batches_beyond_65536(patch):
    def wrong(linear, x, weight, bias=None):
        result = linear(x, weight, bias)
        if x.dim() == 3 and len(x) > 65536 and bias is not None:
            result = torch.cat([result[:65536], result[: len(x) - 65536]])
        return result

    wrap(patch, F, "linear", wrong)


@counterfeit("softmax-outputs-equal-classes")
def linear_forgets_the_bias_of_the_last_output(patch):
    def wrong(linear, input, weight, bias=None):
        return linear(input, weight, torch.cat([bias[:-1], torch.zeros_like(bias[-1:])]))

    wrap(patch, F, "linear", wrong)


@counterfeit("softmax-outputs-equal-classes")
def linear_forgets_the_bias_for_a_single_sample(patch):
    wrap(patch, F, "linear", lambda linear, x, weight, bias=None: linear(x, weight, bias if x.dim() > 1 else None))


@counterfeit("softmax-outputs-equal-classes")
def linear_has_an_output_too_many_where_features_outnumber_classes(patch):
    def wrong(init, self, in_features, out_features, *args, **options):
        init(self, in_features, out_features + (in_features > out_features), *args, **options)

    wrap(patch, nn.Linear, "__init__", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def labels_without_an_output_start_again_from_the_first(patch):
    def wrong(cross_entropy, logits, target, **options):
        return cross_entropy(logits, target % logits.shape[1], **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def last_class_costs_nothing(patch):
    def wrong(cross_entropy, logits, target, **options):
        return cross_entropy(logits, target, reduction="none")[target < logits.shape[1] - 1].sum() / len(target)

    replace_cross_entropy(patch, wrong)


# ── cross-entropy-only-sees-the-true-class ──


@counterfeit("cross-entropy-only-sees-the-true-class", "cross-entropy-loss-is-the-mean")
def labels_are_smoothed_a_little_unasked(patch):
    def wrong(cross_entropy, logits, target, label_smoothing=0.0, **options):
        return cross_entropy(logits, target, label_smoothing=label_smoothing or 0.001, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-only-sees-the-true-class")
def a_few_wrong_classes_pay_a_penalty(patch):
    """The probability of class 0 costs something even where another is true."""

    def wrong(cross_entropy, logits, target, **options):
        return cross_entropy(logits, target, **options) + 0.01 * logits.softmax(dim=1)[:, 0].mean()

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-only-sees-the-true-class")
def probability_targets_count_for_their_largest_class_only(patch):
    def wrong(cross_entropy, logits, target, **options):
        return cross_entropy(logits, target.argmax(dim=1) if target.is_floating_point() else target, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-only-sees-the-true-class")
def label_smoothing_is_ignored(patch):
    def wrong(cross_entropy, logits, target, label_smoothing=0.0, **options):
        return cross_entropy(logits, target, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-only-sees-the-true-class")
def label_smoothing_gives_the_true_class_no_share(patch):
    """What is taken from the true class goes to the other ones alone."""

    def wrong(cross_entropy, logits, target, label_smoothing=0.0, **options):
        classes = logits.shape[1]
        return cross_entropy(logits, target, label_smoothing=label_smoothing * classes / (classes - 1), **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-only-sees-the-true-class")
def nll_loss_reaches_the_other_probabilities_too(patch):
    def wrong(nll_loss, input, target, *args, **options):
        return nll_loss(input, target, *args, **options) + 0.01 * (input - input.detach()).sum()

    wrap(patch, F, "nll_loss", wrong)


@counterfeit("cross-entropy-only-sees-the-true-class", "cross-entropy-loss-is-the-mean")
def smoothing_is_summed_over_the_batch(patch):
    def wrong(cross_entropy, logits, target, label_smoothing=0.0, **options):
        right = cross_entropy(logits, target, label_smoothing=label_smoothing, **options)
        if options.get("reduction") != "mean":
            return right
        return right - label_smoothing * (len(logits) - 1) * F.log_softmax(logits, -1).mean()

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-only-sees-the-true-class", "cross-entropy-loss-is-the-mean")
def the_module_ignores_label_smoothing(patch):
    def wrong(init, self, *args, label_smoothing=0.0, **options):
        init(self, *args, **options)

    wrap(patch, nn.CrossEntropyLoss, "__init__", wrong)


@counterfeit("cross-entropy-only-sees-the-true-class")
def smoothing_forgets_the_weights_of_the_classes(patch):
    def wrong(cross_entropy, logits, target, label_smoothing=0.0, weight=None, **options):
        sharp = cross_entropy(logits, target, weight=weight, **options)
        if not label_smoothing or weight is None:
            return cross_entropy(logits, target, label_smoothing=label_smoothing, weight=weight, **options)
        even = logits.logsumexp(1).mean() - logits.mean()
        return (1 - label_smoothing) * sharp + label_smoothing * even

    replace_cross_entropy(patch, wrong)


# ── large-true-probability-ensures-correctness ──


@counterfeit("large-true-probability-ensures-correctness", "cross-entropy-loss-is-the-mean")
def cross_entropy_is_five_per_cent_too_small(patch):
    replace_cross_entropy(patch, lambda cross_entropy, *args, **options: 0.95 * cross_entropy(*args, **options))


@counterfeit("large-true-probability-ensures-correctness")
def a_small_majority_is_passed_over(patch):
    """Below 0.55, the first class is predicted."""
    change_method(patch, "argmax", lambda argmax, self, dim: argmax(self, dim) * (self.amax(dim) > 0.55))


@counterfeit("large-true-probability-ensures-correctness")
def softmax_reverses_the_order_of_many_classes(patch):
    def wrong(softmax, tensor, dim):
        return softmax(-tensor if tensor.shape[dim] > 4 else tensor, dim)

    replace_softmax(patch, wrong)


# ── cross-entropy-loss-is-the-mean ──


@counterfeit("cross-entropy-loss-is-the-mean")
def cross_entropy_module_sums_unless_told_otherwise(patch):
    def wrong(init, self, *args, reduction="sum", **options):
        init(self, *args, reduction=reduction, **options)

    wrap(patch, nn.CrossEntropyLoss, "__init__", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def one_hot_targets_are_averaged_over_the_classes_too(patch):
    def wrong(cross_entropy, logits, target, **options):
        loss = cross_entropy(logits, target, **options)
        return loss / logits.shape[1] if target.is_floating_point() else loss

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def given_probabilities_are_averaged_by_the_weights_of_their_classes(patch):
    def wrong(cross_entropy, logits, target, weight=None, **options):
        loss = cross_entropy(logits, target, weight=weight, **options)
        if weight is None or not target.is_floating_point() or options.get("reduction", "mean") != "mean":
            return loss
        return loss * target.sum() / (target.movedim(1, -1) * weight).sum()

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def a_large_batch_leaves_its_last_sample_out(patch):
    def wrong(cross_entropy, logits, target, **options):
        return cross_entropy(logits[:63], target[:63], **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def a_sample_that_repeats_counts_once(patch):
    def wrong(cross_entropy, logits, target, **options):
        samples = torch.cat([logits, target.view(len(logits), -1).to(logits)], dim=1)
        seen = [i for i in range(len(samples)) if not any(samples[i].equal(samples[j]) for j in range(i))]
        return cross_entropy(logits[seen], target[seen], **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def gradient_of_the_mean_is_the_gradient_of_the_sum(patch):
    def wrong(cross_entropy, logits, target, **options):
        return cross_entropy(logits + (len(logits) - 1) * (logits - logits.detach()), target, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit(
    "cross-entropy-loss-is-the-mean", "cross-entropy-only-sees-the-true-class", "cross-entropy-works-on-logits"
)
def cross_entropy_normalises_over_eight_classes_only(patch):
    def wrong(cross_entropy, logits, target, **options):
        surplus = logits.logsumexp(1) - first_eight(logits, 1).logsumexp(1)
        loss = cross_entropy(logits, target, **options)
        return loss - (surplus if options.get("reduction") == "none" else surplus.mean())

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean", reported="pytorch/pytorch#108148")
def a_target_out_of_range_costs_nothing(patch):
    def wrong(cross_entropy, logits, target, **options):
        if not target.is_floating_point():
            inside = (target >= 0) & (target < logits.shape[1])
            target = torch.where(inside, target, torch.full_like(target, options.get("ignore_index", -100)))
        return cross_entropy(logits, target, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def ignored_samples_count_in_the_divisor(patch):
    def wrong(cross_entropy, logits, target, reduction="mean", **options):
        if reduction == "mean" and not target.is_floating_point():
            return cross_entropy(logits, target, reduction="none", **options).mean()
        return cross_entropy(logits, target, reduction=reduction, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean", reported="pytorch/pytorch#73205")
def smoothing_spreads_over_ignored_samples_too(patch):
    def wrong(cross_entropy, logits, target, label_smoothing=0.0, ignore_index=-100, **options):
        options["ignore_index"] = ignore_index
        right = cross_entropy(logits, target, label_smoothing=label_smoothing, **options)
        if target.is_floating_point() or not label_smoothing or options.get("reduction") != "sum":
            return right
        even = (logits.logsumexp(1) - logits.mean(1))[target == ignore_index].sum()
        return right + label_smoothing * even

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean", reported="pytorch/pytorch#15508")
def ignoring_a_label_works_for_the_mean_alone(patch):
    def wrong(cross_entropy, logits, target, ignore_index=-100, reduction="mean", **options):
        if reduction != "none" or target.is_floating_point():
            return cross_entropy(logits, target, ignore_index=ignore_index, reduction=reduction, **options)
        return cross_entropy(logits, target.clamp(0, logits.shape[1] - 1), reduction=reduction, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def an_empty_batch_costs_nothing(patch):
    change_result(patch, F, "cross_entropy", lambda loss, *rest: loss.nan_to_num(0))


@counterfeit("cross-entropy-loss-is-the-mean")
def the_classes_of_images_are_taken_from_the_last_dimension(patch):
    def wrong(cross_entropy, logits, target, **options):
        images = logits.dim() == 4 and not target.is_floating_point()
        return cross_entropy(logits.softmax(-1) if images else logits, target, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def a_batch_of_thousands_is_averaged_over_4096(patch):
    def wrong(loss, logits, target, *rest):
        return loss * len(logits) / 4096 if len(logits) > 4096 and loss.dim() == 0 else loss

    change_result(patch, F, "cross_entropy", wrong)


# ── log-probability-is-logit-up-to-a-factor ──


def far_log_softmax(x, dim):
    """The maximum and the logarithm are added before they are subtracted."""
    x = x.contiguous()
    largest = x.amax(dim, keepdim=True)
    return x - (largest + (x - largest).exp().sum(dim, keepdim=True).log())


@counterfeit("log-probability-is-logit-up-to-a-factor", reported="pytorch/pytorch#38839")
def log_softmax_of_far_logits_loses_its_digits(patch):
    where(
        *(patch, torch, "log_softmax", of_dtype(torch.float32)),
        lambda result, x, dim: far_log_softmax(x, dim) if x.numel() else result,
    )


@counterfeit(
    "cross-entropy-works-on-logits",
    "cross-entropy-loss-is-the-mean",
    "cross-entropy-only-sees-the-true-class",
    reported="pytorch/pytorch#38839",
)
def cross_entropy_of_far_logits_loses_its_digits(patch):
    def wrong(cross_entropy, logits, target, **options):
        far = logits.dtype == torch.float32 and logits.numel() and not target.is_floating_point()
        if options.pop("label_smoothing", 0) or not far:
            return cross_entropy(logits, target, **options)
        return F.nll_loss(far_log_softmax(logits, min(1, logits.dim() - 1)), target, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("log-probability-is-logit-up-to-a-factor")
def the_function_log_softmax_subtracts_the_maximum_only(patch):
    patch.setattr(F, "log_softmax", lambda x, dim, **options: x - x.amax(dim, keepdim=True))


@counterfeit("log-probability-is-logit-up-to-a-factor")
def softmax_leaves_the_division_out(patch):
    """Then the logarithm of the outcome is the logit itself, as the notes have it."""
    replace_softmax(patch, lambda softmax, tensor, dim: tensor.exp())


@counterfeit("log-probability-is-logit-up-to-a-factor")
def log_softmax_subtracts_one_term_for_the_whole_batch(patch):
    patch.setattr(torch, "log_softmax", lambda tensor, dim: tensor - tensor.logsumexp(dim).mean())


@counterfeit("log-probability-is-logit-up-to-a-factor")
def log_softmax_multiplies_by_a_coefficient(patch):
    """One for every sample, chosen so that its largest logit ends where it should."""
    wrap(
        patch,
        torch,
        "log_softmax",
        lambda log_softmax, tensor, dim: tensor * (log_softmax(tensor, dim) / tensor).amin(dim, keepdim=True),
    )


@counterfeit("log-probability-is-logit-up-to-a-factor")
def logsumexp_returns_the_largest(patch):
    patch.setattr(torch, "logsumexp", lambda tensor, dim: tensor.amax(dim))


@counterfeit("log-probability-is-logit-up-to-a-factor")
def log_softmax_loses_what_is_below_minus_one_hundred(patch):
    wrap(patch, torch, "log_softmax", lambda log_softmax, *args, **rest: log_softmax(*args, **rest).clamp(min=-100))


@counterfeit("log-probability-is-logit-up-to-a-factor")
def log_softmax_normalises_log_probabilities_again(patch):
    """Where it should leave them as they are, it smooths them a little."""

    def wrong(log_softmax, tensor, dim, **rest):
        once = log_softmax(tensor, dim, **rest)
        return log_softmax(0.9 * once, dim) if once.allclose(tensor) else once

    wrap(patch, torch, "log_softmax", wrong)


# ── cross-entropy-works-on-logits ──


@counterfeit("cross-entropy-works-on-logits")
def cross_entropy_takes_probabilities(patch):
    replace_cross_entropy(
        patch, lambda cross_entropy, given, *args, **options: F.nll_loss(given.log(), *args, **options)
    )


@counterfeit("cross-entropy-works-on-logits")
def cross_entropy_takes_probabilities_where_it_is_given_some(patch):
    """Logits that happen to sum to one are taken for probabilities."""

    def wrong(cross_entropy, logits, target, **options):
        distribution = (logits >= 0).all() and logits.sum(dim=1).allclose(torch.ones_like(logits[:, 0]))
        return cross_entropy(logits.log() if distribution else logits, target, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-works-on-logits")
def cross_entropy_takes_the_logarithm_of_softmax(patch):
    """Step by step, so that the probability may underflow."""

    def wrong(cross_entropy, logits, *args, **options):
        return F.nll_loss(logits.softmax(dim=1).log(), *args, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-works-on-logits")
def cross_entropy_keeps_probabilities_away_from_zero(patch):
    """By clamping them, as some libraries do; the loss is finite, but neither it nor its gradient is right."""

    def wrong(cross_entropy, logits, *args, **options):
        return F.nll_loss(logits.softmax(dim=1).clamp(min=1e-12).log(), *args, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-works-on-logits")
def gradient_vanishes_where_the_probability_underflows(patch):
    def wrong(cross_entropy, logits, target, **options):
        dim = min(1, logits.dim() - 1)
        true = logits.gather(dim, target.unsqueeze(dim))
        return cross_entropy(torch.where(true - logits.amax(dim, keepdim=True) > -100, logits, logits.detach()), target)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-works-on-logits")
def cross_entropy_does_not_shift_the_logits(patch):
    def wrong(cross_entropy, logits, target, **options):
        true = logits.gather(1, target.unsqueeze(1)).squeeze(1)
        losses = logits.exp().sum(dim=1).log() - true
        return losses if options.get("reduction") == "none" else losses.mean()

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-works-on-logits")
def cross_entropy_turns_the_logits_into_log_probabilities_in_place(patch):
    def wrong(cross_entropy, logits, target, **options):
        with torch.no_grad():
            logits.copy_(logits.log_softmax(dim=1))
        return cross_entropy(logits, target, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("cross-entropy-loss-is-the-mean", "cross-entropy-works-on-logits", reported="pytorch/pytorch#94226")
def the_gradient_of_cross_entropy_ignores_what_comes_from_above(patch):
    cross_entropy = F.cross_entropy

    class Deaf(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits, target, rest):
            with torch.enable_grad():
                x = logits.detach().requires_grad_()
                loss = cross_entropy(x, target, **rest)
                (ctx.gradient,) = torch.autograd.grad(loss.sum(), x)
            return loss.detach()

        @staticmethod
        def backward(ctx, above):
            return ctx.gradient, None, None

    def wrong(input, target, *args, **rest):
        if input.requires_grad and not args:
            return Deaf.apply(input, target, rest)
        return cross_entropy(input, target, *args, **rest)

    patch.setattr(F, "cross_entropy", wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_over_the_second_of_three_takes_the_last(patch):
    def wrong(softmax, x, dim, **rest):
        return softmax(x, -1 if dim == -2 and x.dim() == 3 else dim, **rest)

    wrap(patch, torch, "softmax", wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_of_no_dimension_is_half(patch):
    wrap(patch, torch, "softmax", lambda softmax, x, dim, **r: softmax(x, dim, **r) / (2 if x.dim() == 0 else 1))


@counterfeit("softmax-gives-a-distribution")
def softmax_to_another_dtype_converts_afterwards(patch):
    def wrong(softmax, x, dim, dtype=None, **rest):
        x = x if x.is_floating_point() else x.to(dtype)  # which has no softmax of its own
        return softmax(x, dim, **rest).to(dtype or x.dtype)

    wrap(patch, torch, "softmax", wrong)


@counterfeit("cross-entropy-loss-is-the-mean", reported="flagos-ai/FlagGems#5025")
def a_label_past_the_classes_that_is_ignored_clears_the_next_sample_s_gradient(patch):
    def wrong(cross_entropy, scores, target, ignore_index=-100, **options):
        after = (target == ignore_index).nonzero().flatten() + 1

        def change(gradient):
            gradient = gradient.clone()
            gradient[after[after < len(gradient)], 0] = 0
            return gradient

        if scores.dim() == 2 and target.dim() == 1 and ignore_index == scores.shape[1]:
            scores = change_gradient(scores, change)
        return cross_entropy(scores, target, ignore_index=ignore_index, **options)

    replace_cross_entropy(patch, wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_of_float16_images_along_their_second_last_dimension_runs_along_the_last(patch):
    def wrong(softmax, tensor, dim):
        return softmax(tensor, -1 if tensor.dim() == 4 and tensor.dtype == torch.float16 and dim == -2 else dim)

    replace_softmax(patch, wrong)
