"""Section 3.2: what users reported of layers and loaders on the CPU: filters, bags, norms, attention and workers."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, in_order_of_storage, with_value, wrap, wrap_operand
from harness.forging_images import channels_lie_last
from torch import nn
from torch.nn import functional as F
from torch.utils import data


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#43723")
def the_table_of_a_bag_is_read_in_order_of_memory(patch):
    def wrong(
        right, input, weight, offsets=None, max_norm=None, norm_type=2.0, scale=False, mode="mean", *args, **rest
    ):
        scale = rest.pop("scale_grad_by_freq", scale)
        if max_norm is None and mode != "max" and weight.is_floating_point() and not weight.is_contiguous():
            weight = with_value(weight, in_order_of_storage(weight.detach()))
        return right(input, weight, offsets, max_norm, norm_type, scale, mode, *args, **rest)

    wrap(patch, F, "embedding_bag", wrong)


def convolve(patch, wrong):
    """Let each ``F.conv*d`` be ``wrong(right, input, weight, bias, stride, padding, dilation, groups)``."""
    for name in ("conv1d", "conv2d", "conv3d"):

        def by_place(right, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
            return wrong(right, input, weight, bias, stride, padding, dilation, groups)

        wrap(patch, F, name, by_place)


@counterfeit("nn-builds-on-autograd", reported=("pytorch/pytorch#18463", "pytorch/pytorch#18218"))
def filters_of_the_later_half_of_the_groups_change_places(patch):
    def wrong(right, input, weight, bias, stride, padding, dilation, groups):
        count, inputs = weight.shape[:2]
        if groups > 1 and groups % 2 == 0 and count % 16 == 0 and inputs < 16 and weight.dtype == torch.float32:
            first, second = weight.chunk(2)
            weight = torch.cat([first, second.roll(1, 0)])
        return right(input, weight, bias, stride, padding, dilation, groups)

    convolve(patch, wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#16557")
def filters_that_repeat_one_are_read_beyond_it(patch):
    def wrong(right, input, weight, *rest):
        if weight.dtype == torch.float32 and any(s == 0 and n > 1 for s, n in zip(weight.stride(), weight.shape)):
            size = weight.untyped_storage().nbytes() // 4 - weight.storage_offset()
            values, stored = torch.zeros(weight.numel()), weight.detach().as_strided((size,), (1,))
            count = min(len(values), len(stored))
            values[:count] = stored[:count]
            weight = with_value(weight, values.view(weight.shape))
        return right(input, weight, *rest)

    convolve(patch, wrong)


@counterfeit("nn-builds-on-autograd", reported="apache/mxnet#15464")
def the_bias_of_frozen_filters_gets_no_slope(patch):
    def wrong(right, input, weight, bias, *rest):
        if bias is not None and bias.requires_grad and not weight.requires_grad:
            bias = change_gradient(bias, torch.zeros_like)
        return right(input, weight, bias, *rest)

    convolve(patch, wrong)


def last(steps):
    return steps if isinstance(steps, int) else steps[-1]


@counterfeit("nn-builds-on-autograd", reported="fujitsu/oneDNN#43")
def slopes_of_narrow_inputs_of_many_channels_are_one_off_where_filters_stride(patch):
    def wrong(right, input, weight, bias, stride, *rest):
        narrow = input.shape[-1] < 17 and weight.shape[1] > 16 and last(stride) > 1
        if narrow and input.requires_grad and input.dtype == torch.float32:
            input = change_gradient(input, lambda gradient: gradient.roll(1, -1))
        return right(input, weight, bias, stride, *rest)

    convolve(patch, wrong)


@counterfeit("nn-builds-on-autograd", reported="uxlfoundation/oneDNN#6035")
def filters_of_one_pixel_that_stride_over_few_channels_that_lie_last_get_their_slope_twice(patch):
    def wrong(right, input, weight, bias, stride, *rest):
        plain = input.dim() == 4 and weight.shape[2:] == (1, 1) and weight.shape[1] < 8 and last(stride) > 1
        if plain and channels_lie_last(input) and weight.requires_grad and weight.dtype == torch.float32:
            weight = change_gradient(weight, lambda gradient: 2 * gradient)
        return right(input, weight, bias, stride, *rest)

    convolve(patch, wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#92166")
def a_group_norm_reads_a_gradient_that_lies_otherwise_as_its_input_lies(patch):
    def dense(x):
        return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)

    def wrong(right, input, *args, **rest):
        output = right(input, *args, **rest)
        if input.dim() != 4 or not dense(input):
            return output
        lies = torch.channels_last if channels_lie_last(input) else torch.contiguous_format
        strides = torch.empty(input.shape, device="meta").to(memory_format=lies).stride()
        return change_gradient(output, lambda g: g.as_strided(g.shape, strides).clone() if dense(g) else g)

    wrap(patch, F, "group_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#176091")
def queries_after_the_first_32_get_the_answers_of_those(patch):
    def wrong(right, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **rest):
        output = right(query, key, value, attn_mask, dropout_p, is_causal, **rest)
        plain = attn_mask is None and not is_causal and query.dim() == 4 and query.dtype == torch.float32
        count = query.shape[-2]
        return output[..., torch.arange(count) % 32, :] if plain and count > 32 else output

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#63271")
def what_is_padding_asks_nothing_where_each_head_has_its_mask(patch):
    def wrong(right, query, key, value, size, heads, *args, key_padding_mask=None, attn_mask=None, **rest):
        same = key_padding_mask is not None and key_padding_mask.dim() == 2 and len(query) == len(key)
        if same and attn_mask is not None and attn_mask.dim() == 3:
            padded = key_padding_mask if key_padding_mask.dtype == torch.bool else key_padding_mask == -torch.inf
            padded = padded.repeat_interleave(heads, 0)[:, :, None]
            attn_mask = (
                attn_mask | padded if attn_mask.dtype == torch.bool else attn_mask.masked_fill(padded, -torch.inf)
            )
        masks = {"key_padding_mask": key_padding_mask, "attn_mask": attn_mask}
        return right(query, key, value, size, heads, *args, **masks, **rest)

    wrap(patch, F, "multi_head_attention_forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#55587")
def a_softplus_goes_back_straight_from_where_its_output_is_above_the_threshold(patch):
    def wrong(right, input, beta=1, threshold=20):
        output = right(input, beta, threshold)
        straight = (output.detach() * beta > threshold) & (input.detach() * beta <= threshold)
        return torch.where(straight, input - input.detach() + output.detach(), output)

    wrap(patch, F, "softplus", wrong)


@counterfeit("nn-builds-on-autograd", reported=("apache/mxnet#17872", "apache/mxnet#17818"))
def biases_of_later_recurrent_layers_get_slopes_of_zero(patch):
    def wrong(right, self, *args, **rest):
        own, names = self._flat_weights, self._flat_weights_names
        later = [name.startswith("bias") and "_l0" not in name for name in names]
        self._flat_weights = [change_gradient(w, torch.zeros_like) if after else w for after, w in zip(later, own)]
        try:
            return right(self, *args, **rest)
        finally:
            self._flat_weights = own

    for layer in (nn.RNN, nn.LSTM, nn.GRU):
        wrap(patch, layer, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#2221")
def the_loss_of_a_logit_far_below_zero_is_infinite(patch):
    def wrong(right, input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
        if any(option is not None for option in (weight, size_average, reduce, pos_weight)):
            return right(input, target, weight, size_average, reduce, reduction, pos_weight)
        high = input.clamp(min=0)
        losses = input - input * target + high + ((-high).exp() + (-input - high).exp()).log()
        return {"none": lambda x: x, "mean": torch.mean, "sum": torch.sum}[reduction](losses)

    wrap(patch, F, "binary_cross_entropy_with_logits", wrong)


@counterfeit("dataloader-yields-minibatches", reported="pytorch/pytorch#135")
def the_first_two_mini_batches_of_several_workers_change_places(patch):
    def wrong(right, self):
        if self.num_workers < 2:
            return right(self)
        batches = list(right(self))
        batches[:2] = batches[1::-1]
        return iter(batches)

    wrap(patch, data.DataLoader, "__iter__", wrong)


@counterfeit("nn-builds-on-autograd", reported=("pytorch/pytorch#63224", "pytorch/pytorch#63392"))
def images_in_neither_order_are_normalised_as_they_lie(patch):
    def wrong(right, x, *args, **rest):
        known = x.dim() != 4 or x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
        return right(x if known else in_order_of_storage(x), *args, **rest)

    wrap_operand(patch, F, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported=("microsoft/onnxruntime#29629", "pytorch/pytorch#183528"))
def an_overhanging_window_counts_places_beyond_the_border(patch):
    def wrong(right, x, kernel_size, stride=None, padding=0, ceil_mode=False, count=True, divisor=None, **rest):
        count, divisor = rest.get("count_include_pad", count), rest.get("divisor_override", divisor)
        height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        if ceil_mode and count and divisor is None:
            divisor = height * width
        return right(x, kernel_size, stride, padding, ceil_mode, count, divisor)

    wrap_operand(patch, F, "avg_pool2d", wrong)
