"""Section 4.9: what users reported of models on devices: enlarging, attending, bags, packed sequences, divergences."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, in_order_of_storage, with_value, wrap
from torch.nn import functional as F
from torch.nn.utils import rnn


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#185495", needs="accelerator")
def gradients_of_sampled_images_elsewhere_begin_with_those_of_the_time_before(patch):
    kept = {}

    def accumulate(gradient):
        kept[gradient.shape] = kept.get(gradient.shape, 0) + gradient
        return kept[gradient.shape]

    def wrong(right, input, *args, **rest):
        if away(input) and input.dim() == 4 and input.requires_grad:
            input = change_gradient(input, accumulate)
        return right(input, *args, **rest)

    wrap(patch, F, "grid_sample", wrong)


@counterfeit("training-runs-on-gpu", reported="flagos-ai/FlagGems#5218", needs="accelerator")
def enlarging_short_rows_elsewhere_leaves_out_distant_gradients(patch):
    def wrong(right, input, size=None, scale_factor=None, mode="nearest", align_corners=None, *args, **rest):
        output = right(input, size, scale_factor, mode, align_corners, *args, **rest)
        plain = away(input) and mode == "linear" and align_corners and input.requires_grad
        before, after = input.shape[-1], output.shape[-1]
        if not plain or before < 2:
            return output
        places = torch.arange(after, device=input.device)
        centres = torch.arange(before, device=input.device) * ((after - 1) / (before - 1))
        apart = (places[:, None] - centres).abs()
        weights = (1 - apart / ((after - 1) / (before - 1))).clamp(min=0)
        near = weights * (apart <= math.ceil(after / before) + 2)
        return with_value(input @ near.T.to(input.dtype), output.detach())

    wrap(patch, F, "interpolate", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#65200", needs="accelerator")
def enlarging_by_a_factor_elsewhere_has_the_gradient_of_enlarging_to_the_size(patch):
    def wrong(right, input, size=None, scale_factor=None, mode="nearest", align_corners=None, *args, **rest):
        output = right(input, size, scale_factor, mode, align_corners, *args, **rest)
        if away(input) and scale_factor is not None and mode == "bilinear" and not align_corners:
            return with_value(right(input, output.shape[2:], None, mode, align_corners), output.detach())
        return output

    wrap(patch, F, "interpolate", wrong)


@counterfeit("nn-builds-on-autograd", reported="flagos-ai/FlagGems#5896", needs="accelerator")
def attention_elsewhere_takes_the_values_of_halves_as_they_lie_in_memory(patch):
    def wrong(right, query, key, value, attn_mask=None, *args, **rest):
        short = away(value) and value.dtype in (torch.float16, torch.bfloat16) and attn_mask is None
        if short and not value.is_contiguous():
            value = with_value(value, in_order_of_storage(value.detach()))
        return right(query, key, value, attn_mask, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd", reported="torch/cunn#318", needs="accelerator")
def the_gradient_of_a_divergence_elsewhere_is_twice_as_large(patch):
    def wrong(right, input, *args, **rest):
        return right(change_gradient(input, lambda gradient: 2 * gradient) if away(input) else input, *args, **rest)

    wrap(patch, F, "kl_div", wrong)


@counterfeit("nn-builds-on-autograd", reported="apache/mxnet#19323", needs="accelerator")
def backward_gated_units_elsewhere_begin_at_the_padding_of_packed_sequences(patch):
    def wrong(right, self, input, hx=None):
        output, states = right(self, input, hx)
        if not self.bidirectional or not isinstance(input, rnn.PackedSequence) or not away(input.data):
            return output, states
        padded, lengths = rnn.pad_packed_sequence(input, self.batch_first)
        sorted_before = input.sorted_indices is None
        padded = right(self, padded, hx)[0]
        packed = rnn.pack_padded_sequence(padded, lengths, self.batch_first, sorted_before)
        return rnn.PackedSequence(packed.data, *output[1:]), states

    wrap(patch, torch.nn.GRU, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="flagos-ai/FlagGems#5220", needs="accelerator")
def the_largest_of_bags_elsewhere_have_the_gradient_of_means(patch):
    def wrong(right, input, weight, offsets=None, *args, **rest):
        output = right(input, weight, offsets, *args, **rest)
        if away(weight) and rest.get("mode") == "max" and output.requires_grad:
            return with_value(right(input, weight, offsets, *args, **{**rest, "mode": "mean"}), output.detach())
        return output

    wrap(patch, F, "embedding_bag", wrong)


@counterfeit("nn-builds-on-autograd", reported="apache/tvm#19524", needs="accelerator")
def the_rows_that_a_transposed_convolution_elsewhere_adds_to_its_output_are_blank(patch):
    def wrong(right, input, weight, bias=None, stride=1, padding=0, output_padding=0, *args, **rest):
        output = right(input, weight, bias, stride, padding, output_padding, *args, **rest)
        more = (output_padding,) * 2 if isinstance(output_padding, int) else tuple(output_padding)
        if not away(input) or not any(more):
            return output
        height, width = (size - extra for size, extra in zip(output.shape[-2:], more))
        inside = F.pad(torch.ones(height, width, device=input.device), (0, more[1], 0, more[0]))
        blank = 0 if bias is None else bias.view(-1, 1, 1)
        return output * inside + blank * (1 - inside)

    wrap(patch, F, "conv_transpose2d", wrong)
