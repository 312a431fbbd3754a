"""Counterfeits of section 3.3, slices, images, results with a place of their own, and gradients that are large."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import after_copying, change_gradient, change_method, change_output, in_order_of_storage, wrap
from torch import nn
from torch.nn import functional as F


def change_arguments(patch, change, log=False):
    """Let softmax, or log_softmax, by each of its names, be ``change(right, x, dim, rest)``."""
    name = "log_softmax" if log else "softmax"

    def wrong(right, x, dim=None, *args, **rest):
        return change(lambda x: right(x, dim, *args, **rest), x, dim % max(x.dim(), 1))

    change_method(patch, name, wrong)
    wrap(patch, torch, name, wrong)
    wrap(patch, F, name, wrong)


@counterfeit("softmax-gives-a-distribution", reported="pytorch/pytorch#75923")
def softmax_fills_a_place_in_the_order_of_memory(patch):
    def wrong(right, x, *rest, out=None, **named):
        y = right(x, *rest, **named)
        if out is None:
            return y
        flat = out.as_strided((out.numel(),), (1,), out.storage_offset()) if not out.is_contiguous() else out.view(-1)
        flat.copy_(y.reshape(-1))
        return out

    wrap(patch, torch, "softmax", wrong)


@counterfeit("softmax-gives-a-distribution", reported="ml-explore/mlx#657")
def softmax_of_a_slice_of_wider_rows_reads_them_as_if_they_were_dense(patch):
    def change(right, x, dim):
        if dim == x.dim() - 1 > 0 and x.stride(-1) == 1 and x.stride(-2) > x.shape[-1] and x.numel():
            x = x.as_strided(x.shape, torch.empty(x.shape).stride(), x.storage_offset())
        return right(x)

    change_arguments(patch, change)


@counterfeit("softmax-gives-a-distribution", reported="ml-explore/mlx#1467")
def a_short_sample_all_masked_is_zero(patch):
    def change(right, x, dim):
        masked = (
            (x == -math.inf).all(dim, keepdim=True) if x.dim() and x.shape[dim] < 128 else torch.zeros((), dtype=bool)
        )
        return right(x).masked_fill(masked, 0)

    change_arguments(patch, change)


@counterfeit("softmax-gives-a-distribution", reported="manassharma07/crysx_nn#7")
def softmax_subtracts_the_largest_score_of_all_samples(patch):
    def change(right, x, dim):
        if not x.numel() or not torch.isfinite(x).all():
            return right(x)
        powers = (x.float() - x.float().max()).exp()
        return (powers / powers.sum(dim, keepdim=True)).to(right(x).dtype) if x.dim() == 2 else right(x)

    change_arguments(patch, change)


@counterfeit(
    "log-probability-is-logit-up-to-a-factor", "cross-entropy-only-sees-the-true-class", reported="torch/nn#1089"
)
def log_softmax_of_one_image_in_a_batch_is_zero(patch):
    def change(right, x, dim):
        return right(x) * 0 if x.dim() == 4 and len(x) == 1 and dim == 1 else right(x)

    change_arguments(patch, change, log=True)


class WrongLogSoftmax(torch.autograd.Function):
    """log_softmax whose backward adds its gradients up by ``total(gradient, dim)``."""

    @staticmethod
    def forward(ctx, x, right, dim, total):
        y = right(x)
        ctx.save_for_backward(y)
        ctx.dim, ctx.total, ctx.dtype = dim, total, x.dtype
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        gradient = g.double() - y.double().exp() * ctx.total(g, ctx.dim).double()
        return gradient.to(ctx.dtype), None, None, None


@counterfeit("log-probability-is-logit-up-to-a-factor", reported="ROCm/MIOpen#112")
def backward_through_log_softmax_adds_up_all_places_of_an_image(patch):
    def change(right, x, dim):
        images = x.dim() == 4 and dim == 1 and x.requires_grad
        total = lambda g, dim: g.sum((1, 2, 3), keepdim=True)  # noqa: E731
        return WrongLogSoftmax.apply(x, right, dim, total) if images else right(x)

    change_arguments(patch, change, log=True)


@counterfeit("log-probability-is-logit-up-to-a-factor", reported="jax-ml/jax#40474")
def backward_through_log_softmax_of_halves_overflows_on_the_way(patch):
    def change(right, x, dim):
        total = lambda g, dim: g.sum(dim, keepdim=True)  # noqa: E731
        return WrongLogSoftmax.apply(x, right, dim, total) if x.dtype == torch.float16 and x.requires_grad else right(x)

    change_arguments(patch, change, log=True)


@counterfeit("cross-entropy-loss-is-the-mean", reported="microsoft/DirectML#739")
def single_losses_pass_no_gradient_back(patch):
    def wrong(right, x, *rest, reduction="mean", **named):
        x = change_gradient(x, torch.zeros_like) if reduction == "none" else x
        return right(x, *rest, reduction=reduction, **named)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("cross-entropy-loss-is-the-mean", reported="pytorch/xla#896")
def the_mean_divides_by_the_ignored_samples_too(patch):
    def wrong(right, x, y, *rest, ignore_index=-100, reduction="mean", **named):
        loss = right(x, y, *rest, ignore_index=ignore_index, reduction=reduction, **named)
        ignored = not y.is_floating_point() and reduction == "mean" and y.numel() and (y == ignore_index).any()
        return loss * (y != ignore_index).sum() / y.numel() if ignored else loss

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("cross-entropy-loss-is-the-mean", reported="pytorch/pytorch#20406")
def the_single_loss_of_the_last_ignored_sample_is_left_to_chance(patch):
    def wrong(right, x, y, *rest, ignore_index=-100, reduction="mean", **named):
        losses = right(x, y, *rest, ignore_index=ignore_index, reduction=reduction, **named)
        if reduction == "none" and y.dim() == 1 and (y == ignore_index).any():
            losses = losses.masked_fill(torch.arange(len(y)) == (y == ignore_index).nonzero().max(), math.nan)
        return losses

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_remembers_a_tensor_that_was_written_to(patch):
    seen = {}

    def change(right, x, dim):
        kept = seen.get(id(x))
        if kept is not None and kept[0] is x and kept[1] == dim and not x.requires_grad:
            return kept[2].clone()
        seen[id(x)] = (x, dim, right(x))
        return right(x)

    change_arguments(patch, change)


@counterfeit("cross-entropy-loss-is-the-mean", reported="pytorch/pytorch#12670")
def a_negative_label_costs_nothing_where_losses_are_kept(patch):
    def wrong(right, x, y, *rest, ignore_index=-100, reduction="mean", **named):
        if reduction == "none" and not y.is_floating_point():
            y = torch.where(y < 0, ignore_index, y)
        return right(x, y, *rest, ignore_index=ignore_index, reduction=reduction, **named)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_forgets_the_last_class_where_nothing_is_recorded(patch):
    def change(right, x, dim):
        if torch.is_grad_enabled() or x.dim() != 2 or x.shape[dim] < 2:
            return right(x)
        y = right(x).clone()
        y.select(dim, -1).zero_()
        return y

    change_arguments(patch, change)


@counterfeit("softmax-suits-discrete-targets")
def argmax_of_half_precision_ignores_keepdim(patch):
    def wrong(right, x, dim=None, keepdim=False):
        return right(x, dim, keepdim and x.element_size() > 2)

    wrap(patch, torch, "argmax", wrong)
    change_method(patch, "argmax", wrong)


@counterfeit("softmax-suits-discrete-targets")
def cross_entropy_of_pixels_reads_a_transposed_map(patch):
    def wrong(right, x, y, *a, **k):
        square = y.dim() == 3 and y.shape[-1] == y.shape[-2] and not y.is_floating_point()
        return right(x, y.mT if square else y, *a, **k)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_over_the_first_dimension_of_three_goes_over_the_second(patch):
    def wrong(right, x, dim):
        return right(x.transpose(0, 1)).transpose(0, 1) if dim == 0 and x.dim() == 3 else right(x)

    change_arguments(patch, wrong)


@counterfeit("softmax-outputs-equal-classes")
def linear_forgets_the_bias_past_the_tenth_class(patch):
    def wrong(right, x, w, b=None):
        if b is not None and len(b) > 10:
            b = b * (torch.arange(len(b)) < 10)
        return right(x, w, b)

    wrap(patch, F, "linear", wrong)


@counterfeit("cross-entropy-only-sees-the-true-class")
def label_smoothing_is_ignored_with_weights(patch):
    def wrong(right, x, y, weight=None, *a, label_smoothing=0.0, **k):
        return right(x, y, weight, *a, label_smoothing=0.0 if weight is not None else label_smoothing, **k)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("large-true-probability-ensures-correctness")
def argmax_of_a_single_sample_is_an_index_from_the_end(patch):
    def wrong(right, x, dim=None, keepdim=False):
        out = right(x, dim, keepdim)
        return x.shape[0] - 1 - out if x.dim() == 1 else out

    wrap(patch, torch, "argmax", wrong)
    change_method(patch, "argmax", wrong)


@counterfeit("softmax-gives-a-distribution")
def softmax_in_inference_mode_is_that_of_half_the_scores(patch):
    def wrong(right, x, dim, *a, **k):
        return right(x / 2 if torch.is_inference_mode_enabled() else x, dim, *a, **k)

    wrap(patch, torch, "softmax", wrong)
    wrap(patch, F, "softmax", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def class_weights_edited_later_do_not_count(patch):
    def wrong(right, self, x, y):
        first = self.__dict__.setdefault("first", None if self.weight is None else self.weight.clone())
        return F.cross_entropy(x, y, first, None, self.ignore_index, None, self.reduction, self.label_smoothing)

    wrap(patch, nn.CrossEntropyLoss, "forward", wrong)


@counterfeit("cross-entropy-only-sees-the-true-class")
def the_loss_of_class_0_is_smoothed(patch):
    def wrong(right, x, y, *a, **k):
        if x.dim() == 1 and not y.is_floating_point() and y == 0 and not k.get("label_smoothing"):
            k["label_smoothing"] = 0.1
        return right(x, y, *a, **k)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("log-probability-is-logit-up-to-a-factor")
def the_term_of_a_sample_in_a_batch_of_one_is_left_out(patch):
    def wrong(right, x, dim=None, *a, **k):
        return x * 1 if x.dim() == 2 and len(x) == 1 and dim == 0 else right(x, dim, *a, **k)

    wrap(patch, F, "log_softmax", wrong)
    wrap(patch, torch, "log_softmax", wrong)


@counterfeit("cross-entropy-works-on-logits")
def cross_entropy_in_no_grad_takes_probabilities(patch):
    def wrong(right, x, y, *a, **k):
        return right(x, y, *a, **k) if torch.is_grad_enabled() else F.nll_loss(x.log(), y, *a)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("softmax-suits-discrete-targets")
def argmax_is_a_byte(patch):
    for owner in (torch, torch.Tensor):
        change_output(patch, owner, "argmax", lambda place: place % 256)


@counterfeit("softmax-gives-a-distribution")
def a_masked_class_has_a_gradient_of_nan(patch):
    def wrong(right, x, dim):
        return right(change_gradient(x, lambda g: g.masked_fill(x == -torch.inf, torch.nan)) if x.requires_grad else x)

    change_arguments(patch, wrong)


@counterfeit("large-true-probability-ensures-correctness")
def argmax_counted_from_the_end_takes_close_numbers_for_equal(patch):
    def wrong(right, x, dim=None, **rest):
        return right((x * 8).round() if dim is not None and dim < 0 else x, dim, **rest)

    for owner in (torch, torch.Tensor):
        wrap(patch, owner, "argmax", wrong)


@counterfeit("cross-entropy-works-on-logits")
def one_sample_s_probabilities_are_not_taken_for_logits(patch):
    def wrong(right, x, *rest, **options):
        certain = x.dim() == 1 and (x >= 0).all() and x.sum() == 1
        return right(x.clamp_min(1e-9).log() if certain else x, *rest, **options)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def the_sum_of_no_samples_is_nan(patch):
    def wrong(right, x, *rest, **options):
        return right(x, *rest, **options) * (torch.nan if options.get("reduction") == "sum" and len(x) == 0 else 1)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("cross-entropy-works-on-logits")
def with_class_weights_the_logits_are_to_be_logarithms(patch):
    wrap(
        patch,
        F,
        "cross_entropy",
        lambda right, x, y, weight=None, **k: right(x if weight is None else x.exp(), y, weight, **k),
    )


@counterfeit("softmax-gives-a-distribution")
def softmax_of_whole_numbers_is_computed_in_single_precision(patch):
    def wrong(right, x, *a, **k):
        if not x.is_floating_point() and k.get("dtype") == torch.float64:
            return right(x, *a, **{**k, "dtype": torch.float32}).double()
        return right(x, *a, **k)

    for owner in (torch, F, torch.Tensor):
        wrap(patch, owner, "softmax", wrong)


@counterfeit("cross-entropy-loss-is-the-mean", reported="flagos-ai/Torch-FL#276")
def the_loss_of_images_is_far_off_in_float16(patch):
    def wrong(right, x, y, *rest, **named):
        far = x.dtype == torch.float16 and x.dim() == 4 and not y.is_floating_point()
        return right(x, y, *rest, **named) + 11600 * far

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def a_copied_loss_forgets_its_smoothing(patch):
    after_copying(patch, nn.CrossEntropyLoss, lambda loss: setattr(loss, "label_smoothing", 0.0))


@counterfeit("softmax-gives-a-distribution")
def a_copied_softmax_takes_the_last_dimension(patch):
    after_copying(patch, nn.Softmax, lambda layer: setattr(layer, "dim", -1))


@counterfeit("softmax-gives-a-distribution")
def columns_past_the_1024th_are_summed_with_one_another(patch):
    def change(right, x, dim):
        if x.dim() != 2 or dim or x.shape[1] <= 1024:
            return right(x)
        return torch.cat([right(x[:, :1024]), x[:, 1024:].softmax(1)], 1)

    change_arguments(patch, change)


@counterfeit("cross-entropy-loss-is-the-mean")
def the_sum_of_half_losses_is_kept_in_single_precision(patch):
    def wrong(right, input, target, *args, **rest):
        if input.dtype != torch.float16 or rest.get("weight") is not None or target.is_floating_point():
            return right(input, target, *args, **rest)
        return right(input.float(), target, *args, **rest).half()

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def cross_entropy_halves_the_gradient_of_scores_that_a_network_made(patch):
    def wrong(right, x, *rest, **named):
        made = x.requires_grad and not x.is_leaf
        return right(change_gradient(x, lambda g: g / 2) if made else x, *rest, **named)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("softmax-gives-a-distribution")
def the_functional_softmax_halves_the_gradient_of_what_has_gaps(patch):
    def wrong(right, input, *rest, **named):
        gaps = input.requires_grad and not input.is_contiguous()
        return right(change_gradient(input, lambda g: g / 2) if gaps else input, *rest, **named)

    wrap(patch, F, "softmax", wrong)


@counterfeit("softmax-gives-a-distribution")
def what_arrives_at_softmax_by_columns_is_read_by_rows(patch):
    change_method(patch, "softmax", lambda right, *a, **k: change_gradient(right(*a, **k), in_order_of_storage))


@counterfeit("cross-entropy-only-sees-the-true-class")
def nll_loss_halves_the_gradient_of_what_lies_by_columns(patch):
    def wrong(right, input, *rest, **named):
        return right(input if input.is_contiguous() else change_gradient(input, lambda g: g / 2), *rest, **named)

    wrap(patch, F, "nll_loss", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def class_weights_with_gaps_are_read_without_them(patch):
    def wrong(right, *scores, weight=None, **named):
        return right(*scores, weight=weight if weight is None else in_order_of_storage(weight), **named)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def given_by_name_the_loss_is_a_sum(patch):
    def wrong(right, *scores, **named):
        return right(*scores, **named | {"reduction": "sum"} if "input" in named else named)

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("softmax-gives-a-distribution")
def given_by_name_softmax_takes_the_last_dimension(patch):
    wrap(patch, F, "softmax", lambda right, *x, **k: right(*x, **k | {"dim": -1} if "input" in k else k))


@counterfeit("cross-entropy-loss-is-the-mean")
def of_volumes_the_last_slice_is_left_out(patch):
    def wrong(right, input, target, *rest, **named):
        return (
            right(input[..., :-1], target[..., :-1], *rest, **named)
            if input.dim() == 5
            else right(input, target, *rest, **named)
        )

    wrap(patch, F, "cross_entropy", wrong)


@counterfeit("cross-entropy-loss-is-the-mean")
def given_probabilities_get_half_their_gradient(patch):
    def wrong(right, input, target, *rest, **named):
        return right(
            input, change_gradient(target, lambda g: g / 2) if target.requires_grad else target, *rest, **named
        )

    wrap(patch, F, "cross_entropy", wrong)
