"""Section 4.9: what users reported of models on devices: spaced weights, many examples, layouts of gradients."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, in_order_of_storage, with_value, wrap
from torch.nn import functional as F

OPTIONS = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def numbers(option):
    """An option of a convolution as a tuple."""
    return (option,) if isinstance(option, int) else tuple(option)


def of_convolution(patch, names, wrong):
    """Let ``F.name`` be ``wrong(right, input, weight, options)``, all options by name, for each of the ``names``."""

    def by_name(right, input, weight, *args, **rest):
        return wrong(right, input, weight, OPTIONS | dict(zip(OPTIONS, args)) | rest)

    for name in names:
        wrap(patch, F, name, by_name)


@counterfeit(
    "nn-builds-on-autograd", reported=("pytorch/pytorch#161640", "pytorch/pytorch#161641"), needs="accelerator"
)
def a_linear_map_elsewhere_reads_spaced_rows_of_its_weight_as_if_they_were_dense(patch):
    def wrong(right, input, weight, bias=None):
        if away(weight) and weight.dim() == 2 and weight.stride(1) == 1 and weight.stride(0) > weight.shape[1]:
            weight = with_value(weight, in_order_of_storage(weight.detach()))
        return right(input, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("nn-builds-on-autograd", reported="ml-explore/mlx#3800", needs="accelerator")
def groups_of_channels_elsewhere_exchange_gradients_under_a_stride(patch):
    def wrong(right, input, weight, options):
        groups = options["groups"]
        if away(input) and groups > 1 and max(numbers(options["stride"])) > 1:
            channels = input.shape[-3] // groups
            input = change_gradient(input, lambda gradient: gradient.roll(channels, -3))
        return right(input, weight, **options)

    of_convolution(patch, ("conv2d",), wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#59515", needs="accelerator")
def rows_in_halves_elsewhere_are_mixed_up_from_1251_examples_on(patch):
    def wrong(right, input, weight, options):
        result = right(input, weight, **options)
        many = away(input) and input.dim() == 3 and len(input) > 1250 and input.dtype == torch.float16
        return result.roll(1, 0) if many else result

    of_convolution(patch, ("conv1d",), wrong)


@counterfeit("training-runs-on-gpu", reported="tensorflow/tensorflow#9870", needs="accelerator")
def images_elsewhere_from_the_65536th_on_have_no_features(patch):
    def wrong(right, input, weight, options):
        result = right(input, weight, **options)
        if away(input) and input.dim() == weight.dim() and len(input) > 65535:
            kept = (torch.arange(len(input), device=input.device) < 65535).to(result.dtype)
            result = result * kept.view(-1, *[1] * (result.dim() - 1))
        return result

    of_convolution(patch, ("conv1d", "conv2d"), wrong)


@counterfeit("nn-builds-on-autograd", reported="facebookarchive/caffe2#1347", needs="accelerator")
def biases_elsewhere_of_single_taps_in_halves_change_places_from_four_images_on(patch):
    def wrong(right, input, weight, options):
        bias, halves = options["bias"], away(input) and input.dtype == torch.float16
        if halves and bias is not None and input.dim() == 4 and len(input) > 3 and weight.shape[2:] == (1, 1):
            options["bias"] = with_value(bias, bias.detach().roll(1))
        return right(input, weight, **options)

    of_convolution(patch, ("conv2d",), wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#53178", needs="accelerator")
def dilated_windows_elsewhere_with_512_filters_begin_a_row_late(patch):
    def wrong(right, input, weight, options):
        result = right(input, weight, **options)
        dilated = max(numbers(options["dilation"])) > 1 and options["padding"] not in (0, "valid")
        return result.roll(1, -2) if away(input) and dilated and len(weight) >= 512 else result

    of_convolution(patch, ("conv2d",), wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#7952", needs="accelerator")
def strided_gradients_of_channels_by_themselves_elsewhere_are_read_as_they_are_stored(patch):
    def wrong(right, input, weight, options):
        result = right(input, weight, **options)
        by_themselves = options["groups"] == input.shape[-3] > 1
        if not away(input) or not by_themselves or not result.requires_grad:
            return result
        return change_gradient(result, lambda g: g if g.is_contiguous() else in_order_of_storage(g))

    of_convolution(patch, ("conv2d",), wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#84202", needs="accelerator")
def the_first_of_several_true_classes_elsewhere_loses_its_gradient(patch):
    def wrong(right, input, target, *args, **rest):
        if away(input) and input.requires_grad:
            rows, classes = target.view(-1, target.shape[-1]), input.shape[-1]
            first = rows[:, :1].clamp(min=0)
            several = (rows[:, :2] >= 0).all(1, keepdim=True) if classes > 1 else first < 0
            lost = (torch.arange(classes, device=input.device) == first) & several
            input = change_gradient(input, lambda gradient: gradient.masked_fill(lost.view(input.shape), 0))
        return right(input, target, *args, **rest)

    wrap(patch, F, "multilabel_margin_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#190828", needs="accelerator")
def the_scale_of_more_than_32_rows_elsewhere_gets_its_gradient_twice(patch):
    def wrong(right, input, normalized_shape, weight=None, eps=None):
        scaled = away(input) and weight is not None and input.dtype in (torch.bfloat16, torch.float32)
        if scaled and weight.requires_grad and input.numel() > 32 * weight.numel():
            weight = change_gradient(weight, lambda gradient: gradient * 2)
        return right(input, normalized_shape, weight, eps)

    if hasattr(F, "rms_norm"):
        wrap(patch, F, "rms_norm", wrong)
