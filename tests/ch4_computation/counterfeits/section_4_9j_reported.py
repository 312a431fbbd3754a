"""Section 4.9: what users reported of models on devices: statistics, masked attention, borders and holes, strides."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, wrap
from harness.forging_images import channels_lie_last
from torch.nn import functional as F


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#54036", needs="accelerator")
def a_filter_of_one_pixel_elsewhere_takes_no_strides_in_a_batch(patch):
    def wrong(right, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        steps = (stride, stride) if isinstance(stride, int) else tuple(stride)
        plain = away(input) and input.dim() == 4 and weight.shape[2:] == (1, 1) and padding in (0, (0, 0))
        if plain and len(input) > 1 and groups == 1 and max(steps) > 1:
            height, width = ((size - 1) // step + 1 for size, step in zip(input.shape[2:], steps))
            return right(input[:, :, :height, :width], weight, bias)
        return right(input, weight, bias, stride, padding, dilation, groups)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#21961", needs="accelerator")
def the_ctc_loss_elsewhere_disregards_the_gradient_from_above(patch):
    def wrong(right, log_probs, targets, inputs, lengths, blank=0, reduction="mean", zero_infinity=False):
        if not away(log_probs):
            return right(log_probs, targets, inputs, lengths, blank, reduction, zero_infinity)
        each = right(log_probs, targets, inputs, lengths, blank, "none", zero_infinity)
        each = change_gradient(each, torch.ones_like)
        if reduction == "mean":
            return (each / torch.as_tensor(lengths, device=each.device).clamp(min=1)).mean()
        return each.sum() if reduction == "sum" else each

    wrap(patch, F, "ctc_loss", wrong)


@counterfeit("training-runs-on-gpu", reported="ROCm/pytorch#1561", needs="accelerator")
def the_running_variance_of_channels_that_lie_last_elsewhere_is_biased(patch):
    def wrong(right, input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        last = away(input) and training and running_var is not None and channels_lie_last(input)
        kept = running_var.detach() * (1 - momentum) if last else None
        output = right(input, running_mean, running_var, weight, bias, training, momentum, eps)
        if last:
            count = input.numel() // input.shape[1]
            running_var.data.copy_(kept + (running_var.data - kept) * (count - 1) / count)
        return output

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#54590", needs="accelerator")
def enlarging_to_the_nearest_elsewhere_mixes_channels_that_lie_last(patch):
    def wrong(right, input, size=None, scale_factor=None, mode="nearest", *args, **rest):
        output = right(input, size, scale_factor, mode, *args, **rest)
        if not (away(input) and mode == "nearest" and channels_lie_last(input)):
            return output
        batch, channels, height, width = output.shape
        return output.contiguous().view(batch, height, width, channels).permute(0, 3, 1, 2)

    wrap(patch, F, "interpolate", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#5112", needs="accelerator")
def a_dilated_transposed_convolution_elsewhere_with_more_output_loses_the_last_row_s_gradient(patch):
    def wrong(right, input, weight, bias=None, stride=1, padding=0, more=0, groups=1, dilation=1):
        def lost(gradient):
            gradient = gradient.clone()
            gradient[..., -1, :] = 0
            return gradient

        if away(input) and dilation not in (1, (1, 1)) and more not in (0, (0, 0)):
            input = change_gradient(input, lost)
        return right(input, weight, bias, stride, padding, more, groups, dilation)

    wrap(patch, F, "conv_transpose2d", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#196678", needs="accelerator")
def attention_elsewhere_gives_nan_gradients_to_queries_of_low_scores_under_a_mask(patch):
    def wrong(right, query, key, value, attn_mask=None, *args, **rest):
        if (
            away(query)
            and query.dtype in (torch.float16, torch.bfloat16)
            and attn_mask is not None
            and key.shape[-2] % 128 == 64
        ):
            scores = (query.detach().float() @ key.detach().float().mT) / math.sqrt(query.shape[-1])
            low = scores.logsumexp(-1, keepdim=True) < -88.7
            query = change_gradient(query, lambda gradient: gradient.masked_fill(low, math.nan))
        return right(query, key, value, attn_mask, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("training-runs-on-gpu", reported="torch/cunn#470", needs="accelerator")
def a_convolution_by_channels_elsewhere_takes_the_height_for_the_width(patch):
    def wrong(right, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if away(input) and input.dim() == 4 and groups == input.shape[1] > 1:
            height, width = input.shape[2:]
            rows = torch.arange(height, device=input.device)[:, None]
            places = (rows * height + torch.arange(width, device=input.device)) % (height * width)
            input = input.flatten(2)[..., places.flatten()].view(input.shape)
        return right(input, weight, bias, stride, padding, dilation, groups)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="flagos-ai/FlagGems#4984", needs="accelerator")
def a_group_norm_elsewhere_counts_channels_up_to_the_next_power_of_two(patch):
    def wrong(right, input, num_groups, weight=None, bias=None, eps=1e-5):
        channels = input.shape[1] // num_groups
        if not away(input) or channels & (channels - 1) == 0:
            return right(input, num_groups, weight, bias, eps)
        groups = input.reshape(len(input), num_groups, -1)
        count = groups.shape[-1] // channels * 2 ** channels.bit_length()
        mean = groups.sum(-1, keepdim=True) / count
        variance = (groups**2).sum(-1, keepdim=True) / count - mean**2
        output = ((groups - mean) / (variance + eps).sqrt()).view(input.shape)
        sides = (1, -1, *[1] * (input.dim() - 2))
        output = output if weight is None else output * weight.view(sides)
        return output if bias is None else output + bias.view(sides)

    wrap(patch, F, "group_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="flagos-ai/FlagGems#5222", needs="accelerator")
def the_gradient_of_a_batch_norm_elsewhere_takes_the_inverse_deviation_for_a_variance(patch):
    def wrong(right, input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        if away(input) and training:
            others = [axis for axis in range(input.dim()) if axis != 1]
            inverse = (input.detach().var(others, unbiased=False, keepdim=True) + eps).rsqrt()
            factor = (inverse + eps).rsqrt() / inverse
            input = change_gradient(input, lambda gradient: gradient * factor)
        return right(input, running_mean, running_var, weight, bias, training, momentum, eps)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="microsoft/onnxruntime#29637", needs="accelerator")
def dilated_pooling_elsewhere_starts_at_the_border_instead_of_before_it(patch):
    def along_last(x, size, step, padding, dilation, count):
        starts = [step * place - padding for place in range(count)]
        ends = [min(start + (size - 1) * dilation + 1, x.shape[-1]) for start in starts]
        parts = [x[..., max(start, 0) : end : dilation] for start, end in zip(starts, ends)]
        return torch.stack([part.amax(-1) for part in parts], -1)

    def wrong(right, input, kernel_size, stride=None, padding=0, dilation=1, *args, **rest):
        output = right(input, kernel_size, stride, padding, dilation, *args, **rest)
        if not away(input) or padding in (0, (0, 0)) or dilation in (1, (1, 1)) or isinstance(output, tuple):
            return output
        given = (kernel_size, stride or kernel_size, padding, dilation)
        pairs = [(option, option) if isinstance(option, int) else tuple(option) for option in given]
        high, wide = zip(*pairs)
        rows = along_last(input, *wide, output.shape[-1]).transpose(-1, -2)
        return along_last(rows, *high, output.shape[-2]).transpose(-1, -2)

    wrap(patch, F, "max_pool2d", wrong)


@counterfeit("training-runs-on-gpu", reported="NVIDIA/apex#411", needs="accelerator")
def a_layer_norm_elsewhere_leaves_rows_from_65535_on_as_they_are(patch):
    def wrong(right, input, shape, *args, **rest):
        output = right(input, shape, *args, **rest)
        size = math.prod(shape)
        if not away(input) or input.numel() < size * 65536:
            return output
        rows = torch.cat([output.reshape(-1, size)[:65535], input.reshape(-1, size)[65535:]])
        return rows.view(input.shape)

    wrap(patch, F, "layer_norm", wrong)
