"""Section 4.9: what users reported of models on devices: divisors, causal masks, large scores, corners, statistics."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, wrap
from torch.nn import functional as F


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#91519", needs="accelerator")
def average_pooling_elsewhere_disregards_the_divisor_it_is_given(patch):
    def wrong(right, input, *args, **rest):
        if away(input):
            args = args[:5]
            rest.pop("divisor_override", None)
        return right(input, *args, **rest)

    wrap(patch, F, "avg_pool2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="ml-explore/mlx#2835", needs="accelerator")
def a_causal_mask_elsewhere_is_aligned_at_its_lower_right_corner(patch):
    def wrong(right, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **rest):
        rows, columns = query.shape[-2], key.shape[-2]
        if away(query) and is_causal and rows != columns:
            attn_mask = torch.ones(rows, columns, dtype=torch.bool, device=query.device).tril(columns - rows)
            is_causal = False
        return right(query, key, value, attn_mask, dropout_p, is_causal, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#160841", needs="accelerator")
def attention_in_halves_elsewhere_overflows_at_large_scores(patch):
    def wrong(right, query, key, value, *args, **rest):
        result = right(query, key, value, *args, **rest)
        if away(query) and query.dtype == torch.float16 and query.shape[:-2] == key.shape[:-2]:
            scores = query.detach() @ key.detach().transpose(-1, -2)
            result = result.masked_fill(scores.isinf().any(-1, keepdim=True), float("nan"))
        return result

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("training-runs-on-gpu", reported="tenstorrent/tt-metal#53204", needs="accelerator")
def the_gradient_of_a_layer_norm_elsewhere_loses_its_mean_twice(patch):
    def wrong(right, input, normalized_shape, weight=None, bias=None, eps=1e-5):
        result = right(input, normalized_shape, weight, bias, eps)
        if away(input) and input.requires_grad:
            along = tuple(range(-len(tuple(normalized_shape)), 0))
            scale = (input.detach().var(along, correction=0, keepdim=True) + eps).rsqrt()
            mean = input.mean(along, keepdim=True) * scale
            result = result + (mean.detach() - mean) * (1 if weight is None else weight.detach())
        return result

    wrap(patch, F, "layer_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="tenstorrent/tt-forge-onnx#2829", needs="accelerator")
def enlarging_bilinearly_elsewhere_does_not_align_corners(patch):
    def wrong(right, input, size=None, scale_factor=None, mode="nearest", align_corners=None, *args, **rest):
        if away(input) and mode == "bilinear":
            align_corners = False
        return right(input, size, scale_factor, mode, align_corners, *args, **rest)

    wrap(patch, F, "interpolate", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#96982", needs="accelerator")
def a_filter_of_65536_taps_elsewhere_gives_zeros(patch):
    def wrong(right, input, weight, *args, **rest):
        result = right(input, weight, *args, **rest)
        return result * 0 if away(input) and weight.shape[-1] >= 2**16 else result

    wrap(patch, F, "conv1d", wrong)


@counterfeit("training-runs-on-gpu", reported="microsoft/DirectML#362", needs="accelerator")
def the_running_statistics_of_images_elsewhere_stay_as_they_began(patch):
    def wrong(right, input, running_mean, running_var, weight=None, bias=None, training=False, *args, **rest):
        if away(input) and training and running_mean is not None and input.dim() == 4:
            running_mean, running_var = running_mean.clone(), running_var.clone()
        return right(input, running_mean, running_var, weight, bias, training, *args, **rest)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#94871", needs="accelerator")
def a_transposed_convolution_elsewhere_with_more_output_gets_no_gradient_from_its_last_row(patch):
    def without_the_last_row(gradient):
        gradient = gradient.clone()
        gradient[..., -1, :] = 0
        return gradient

    def wrong(right, input, weight, bias=None, stride=1, padding=0, output_padding=0, *args, **rest):
        result = right(input, weight, bias, stride, padding, output_padding, *args, **rest)
        more = any(output_padding) if isinstance(output_padding, tuple) else output_padding
        return change_gradient(result, without_the_last_row) if away(input) and more else result

    wrap(patch, F, "conv_transpose2d", wrong)
