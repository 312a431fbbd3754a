"""Counterfeits of 1.1 that users reported: convolutions of rarer forms, and parts that are computed again by chance."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, wrap, wrap_operand
from torch.nn import functional as F
from torch.utils import checkpoint


def convolve(patch, ranks, wrong):
    """Let the convolutions of these dimensions be ``wrong(right, x, weight, bias, stride, padding, dilation, groups)``,
    where each option is one number.
    """
    for rank in ranks:

        def changed(right, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
            options = [each[0] if isinstance(each, tuple) else each for each in (stride, padding, dilation)]
            if isinstance(options[1], str):
                return right(x, weight, bias, stride, padding, dilation, groups)
            return wrong(right, x, weight, bias, *options, groups)

        wrap_operand(patch, F, f"conv{rank}d", changed)


@counterfeit(
    "learned-filters-beat-hand-made-features",
    reported=("f-dangel/backpack#30", "flagos-ai/FlagGems#1576", "ml-explore/mlx#993"),
)
def where_a_stride_leaves_columns_over_the_gradient_below_is_shifted(patch):
    def wrong(right, x, weight, bias, stride, padding, dilation, groups):
        left = (x.shape[-1] + 2 * padding - dilation * (weight.shape[-1] - 1) - 1) % stride
        x = change_gradient(x, lambda gradient: gradient.roll(1, -1)) if left else x
        return right(x, weight, bias, stride, padding, dilation, groups)

    convolve(patch, (1, 2, 3), wrong)


@counterfeit("learned-filters-beat-hand-made-features", reported="pytorch/pytorch#50042")
def filters_of_one_channel_each_miss_the_last_windows_of_a_stride(patch):
    def wrong(right, x, weight, bias, stride, padding, dilation, groups):
        if groups > 1 and stride > 1 and padding:
            weight = change_gradient(
                weight, lambda gradient: gradient * (torch.arange(gradient.shape[-2]) < 2)[:, None]
            )
        return right(x, weight, bias, stride, padding, dilation, groups)

    convolve(patch, (2,), wrong)


@counterfeit("learned-filters-beat-hand-made-features", reported="pytorch/pytorch#21597")
def of_six_channels_a_filter_sees_the_first_four(patch):
    def wrong(right, x, weight, bias, stride, padding, dilation, groups):
        whole = x.shape[-3] // 4 * 4
        if groups == 1 and 0 < whole < x.shape[-3]:
            x = x * (torch.arange(x.shape[-3]) < whole)[:, None, None].to(x)
        return right(x, weight, bias, stride, padding, dilation, groups)

    convolve(patch, (2,), wrong)


@counterfeit("learned-filters-beat-hand-made-features", reported="pytorch/pytorch#15140")
def filters_of_sequences_are_read_across_each_other(patch):
    def wrong(right, x, weight, bias, stride, padding, dilation, groups):
        mixed = weight.movedim(0, -1).reshape(weight.shape)
        return right(x, mixed, bias, stride, padding, dilation, groups)

    convolve(patch, (1,), wrong)


@counterfeit("learned-filters-beat-hand-made-features")
def filters_of_volumes_with_holes_forget_the_last_window(patch):
    def wrong(right, x, weight, bias, stride, padding, dilation, groups):
        if dilation > 1:
            weight = change_gradient(weight, lambda gradient: gradient.flip(-1))
        return right(x, weight, bias, stride, padding, dilation, groups)

    convolve(patch, (3,), wrong)


@counterfeit("training-is-end-to-end", reported="deeplearning4j/deeplearning4j#364")
def of_a_single_example_a_bias_learns_nothing(patch):
    def wrong(right, x, weight, bias=None):
        alone = x.dim() == 2 and len(x) == 1 and bias is not None
        return right(x, weight, bias.detach() if alone else bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("training-is-end-to-end", reported="mlpack/mlpack#3679")
def a_bias_learns_from_the_first_example_alone(patch):
    def wrong(right, x, weight, bias=None):
        if bias is None or x.dim() != 2:
            return right(x, weight, bias)
        return right(x, weight) + torch.cat([bias[None], bias.detach().expand(len(x) - 1, -1)])[: len(x)]

    wrap(patch, F, "linear", wrong)


@counterfeit(
    "training-is-end-to-end",
    reported=(
        "openai/guided-diffusion#167",
        "ankanbhunia/PIDM#66",
        "allenai/OLMo-core#828",
        "pytorch/pytorch#194478",
    ),
)
def what_is_computed_again_drops_other_numbers(patch):
    def wrong(right, part, *inputs, **rest):
        return right(part, *inputs, **{**rest, "preserve_rng_state": False})

    wrap(patch, checkpoint, "checkpoint", wrong)


@counterfeit("training-is-end-to-end", reported="pytorch/pytorch#193671")
def what_is_kept_elsewhere_for_the_way_back_is_the_noise_from_before(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        if not (training and x.requires_grad and torch._C._autograd._top_saved_tensors_default_hooks(True)):
            return right(x, p, training, inplace)
        result = right(x, p, training, inplace)
        return x * torch.zeros_like(x) + result.detach()

    wrap(patch, F, "dropout", wrong)
