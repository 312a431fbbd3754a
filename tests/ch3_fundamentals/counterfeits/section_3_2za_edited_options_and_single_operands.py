"""Counterfeits of section 3.2: edited options, single operands of losses, weights that lie otherwise, large images."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, wrap
from torch import nn
from torch.nn import functional as F

HALVES = (torch.float16, torch.bfloat16)


def keep_first(patch, classes, name, when=lambda layer: True):
    """Let layers of these classes compute with the option ``name`` that they had at their first call."""

    def wrong(forward, self, *args, **rest):
        if not when(self):
            return forward(self, *args, **rest)
        first = self.__dict__.setdefault(f"first_{name}", getattr(self, name))
        now = getattr(self, name)
        self.__dict__[name] = first
        try:
            return forward(self, *args, **rest)
        finally:
            self.__dict__[name] = now

    for one in classes:
        wrap(patch, one, "forward", wrong)


BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)


@counterfeit("nn-builds-on-autograd")
def an_edited_eps_of_layer_norm_does_not_count(patch):
    keep_first(patch, (nn.LayerNorm, nn.GroupNorm), "eps")


@counterfeit("nn-builds-on-autograd")
def an_edited_momentum_of_batch_norm_does_not_count(patch):
    keep_first(patch, BATCH_NORMS, "momentum")


@counterfeit("nn-builds-on-autograd")
def an_edited_eps_of_batch_norm_counts_in_training_alone(patch):
    keep_first(patch, BATCH_NORMS, "eps", lambda layer: not layer.training)


@counterfeit("nn-builds-on-autograd")
def edited_strides_and_edges_of_a_convolution_do_not_count(patch):
    for name in ("stride", "padding"):
        keep_first(patch, (nn.Conv1d, nn.Conv2d, nn.Conv3d), name)


@counterfeit("nn-builds-on-autograd")
def an_edited_stride_of_a_pool_does_not_count(patch):
    keep_first(patch, (nn.MaxPool2d, nn.AvgPool2d), "stride")


@counterfeit("nn-builds-on-autograd")
def an_edited_slope_of_leaky_relu_does_not_count(patch):
    keep_first(patch, (nn.LeakyReLU,), "negative_slope")


@counterfeit("nn-builds-on-autograd")
def an_edited_threshold_does_not_count(patch):
    keep_first(patch, (nn.Threshold, nn.Softplus), "threshold")


@counterfeit("losses-are-modules")
def an_edited_margin_does_not_count(patch):
    keep_first(
        patch, (nn.MarginRankingLoss, nn.TripletMarginLoss, nn.HingeEmbeddingLoss, nn.CosineEmbeddingLoss), "margin"
    )


@counterfeit("nn-builds-on-autograd")
def an_edited_delta_does_not_count(patch):
    keep_first(patch, (nn.HuberLoss,), "delta")
    keep_first(patch, (nn.SmoothL1Loss,), "beta")


def operand(patch, name, place, change, when=lambda given, rest: True):
    """Let what comes back to the operand ``place`` of the loss ``name`` be ``change(gradient)``."""

    def wrong(right, *given, **rest):
        given = list(given)
        if len(given) > place and given[place].requires_grad and when(given, rest):
            given[place] = change_gradient(given[place], change)
        return right(*given, **rest)

    wrap(patch, F, name, wrong)


def nothing(gradient):
    return 0 * gradient


@counterfeit("nn-builds-on-autograd")
def unreduced_the_second_of_two_ranked_numbers_gets_what_the_first_does(patch):
    operand(patch, "margin_ranking_loss", 1, torch.neg, lambda given, rest: rest.get("reduction") == "none")


@counterfeit("nn-builds-on-autograd")
def summed_a_gaussian_s_variance_learns_nothing(patch):
    operand(patch, "gaussian_nll_loss", 2, nothing, lambda given, rest: rest.get("reduction") == "sum")


@counterfeit("nn-builds-on-autograd")
def summed_a_gaussian_s_target_gets_nothing(patch):
    operand(patch, "gaussian_nll_loss", 1, nothing, lambda given, rest: rest.get("reduction") == "sum")


@counterfeit("nn-builds-on-autograd")
def a_logarithm_of_the_target_gets_no_gradient_of_a_sum(patch):
    operand(patch, "kl_div", 1, nothing, lambda given, rest: rest.get("log_target") and rest.get("reduction") == "sum")


@counterfeit("nn-builds-on-autograd")
def a_poisson_target_gets_no_gradient_where_none_is_a_logarithm(patch):
    operand(patch, "poisson_nll_loss", 1, nothing, lambda given, rest: rest.get("log_input") is False)


@counterfeit("nn-builds-on-autograd")
def in_half_precision_the_negative_of_a_triplet_gets_the_other_sign(patch):
    operand(patch, "triplet_margin_loss", 2, torch.neg, lambda given, rest: given[0].dtype in HALVES)


@counterfeit("nn-builds-on-autograd")
def a_repeated_anchor_gets_what_comes_back_from_one_example(patch):
    def fewer(given, rest):
        return given[0].numel() < given[1].numel()

    operand(patch, "triplet_margin_loss", 0, lambda gradient: gradient / 2, fewer)
    operand(patch, "margin_ranking_loss", 0, lambda gradient: gradient / 2, fewer)
    operand(patch, "hinge_embedding_loss", 0, lambda gradient: gradient / 2, fewer)


def relaid_operand(patch, names, place, condition, change):
    def wrong(right, *given, **rest):
        given = list(given)
        if len(given) > place and given[place] is not None and condition(given[place]):
            given[place] = change(given[place])
        return right(*given, **rest)

    for name in names:
        wrap(patch, F, name, wrong)


TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def repeated(x):
    return any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape))


def expanded_and_shifted(x):
    return x + torch.arange(x.shape[0]).to(x).view(-1, *[1] * (x.dim() - 1)) * 0.25


@counterfeit("nn-builds-on-autograd")
def the_repeated_weights_of_a_transposed_convolution_rise(patch):
    relaid_operand(patch, TRANSPOSED, 1, repeated, expanded_and_shifted)


def first_65_536(patch, names):
    """Let no gradient come back through these functions past the number 65,536 of their operand."""

    def passed(gradient):
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        gradient.view(-1)[65_536:] = 0
        return gradient

    def wrong(right, x, *args, **rest):
        return right(change_gradient(x, passed) if x.requires_grad and x.numel() > 65_536 else x, *args, **rest)

    for name in names:
        wrap(patch, F, name, wrong)
