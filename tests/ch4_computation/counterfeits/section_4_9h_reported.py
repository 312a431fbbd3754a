"""Section 4.9: what users reported of models on devices: attention with masks, options of rarer layers, the order in
which gradients come, pooling, embeddings and packed sequences.
"""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, in_order_of_storage, with_value, wrap, wrap_operand
from harness.forging_images import channels_lie_last
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

# ── attention ──


def attend(patch, condition, wrong):
    """Let attention elsewhere be ``wrong(right, q, k, v, mask, causal)`` where ``condition(q, k, v, mask, causal)``."""

    def changed(right, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, **rest):
        if away(q) and condition(q, k, v, attn_mask, is_causal):
            return wrong(right, q, k, v, attn_mask, is_causal)
        return right(q, k, v, attn_mask, dropout_p, is_causal, **rest)

    wrap(patch, F, "scaled_dot_product_attention", changed)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#184180", needs="accelerator")
def all_heads_but_the_first_misread_the_mask_that_they_share(patch):
    def shared(q, k, v, mask, causal):
        return mask is not None and mask.dim() == 4 and mask.shape[1] == 1 < q.shape[1]

    def wrong(right, q, k, v, mask, causal):
        mask = mask.expand(-1, q.shape[1], -1, -1)
        return right(q, k, v, torch.cat([mask[:, :1], mask[:, 1:].flip(-2)], 1))

    attend(patch, shared, wrong)


@counterfeit(
    "training-runs-on-gpu", reported=("huggingface/transformers#44554", "pytorch/pytorch#176767"), needs="accelerator"
)
def attention_to_narrower_values_is_lost_in_later_rows(patch):
    def narrow(q, k, v, mask, causal):
        return v.shape[-1] < q.shape[-1]

    def wrong(right, q, k, v, mask, causal):
        result = right(q, k, v, mask, is_causal=causal)
        return with_value(result, result.detach() * (torch.arange(result.shape[-2]) < 2)[:, None].to(result))

    attend(patch, narrow, wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#195910", needs="accelerator")
def in_half_precision_three_of_four_places_hear_of_what_comes_later(patch):
    def half(q, k, v, mask, causal):
        return causal and q.dtype in (torch.float16, torch.bfloat16)

    def wrong(right, q, k, v, mask, causal):
        here, there = (torch.arange(x.shape[-2], device=q.device) for x in (q, k))
        return right(q, k, v, there <= here[:, None] // 4 * 4 + 3)

    attend(patch, half, wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#151667", needs="accelerator")
def heads_that_leave_places_out_give_no_numbers(patch):
    def wrong(right, query, *args, **rest):
        result = right(query, *args, **rest)
        left_out = away(query) and rest.get("key_padding_mask") is not None
        return (with_value(result[0], torch.full_like(result[0], torch.nan)), result[1]) if left_out else result

    wrap(patch, F, "multi_head_attention_forward", wrong)


# ── embeddings ──


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#190061", needs="accelerator")
def embedding_bag_does_not_divide_by_how_often_a_word_comes(patch):
    def wrong(right, input, weight, *args, scale_grad_by_freq=False, **rest):
        return right(input, weight, *args, scale_grad_by_freq=scale_grad_by_freq and not away(weight), **rest)

    wrap_operand(patch, F, "embedding_bag", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#185119", needs="accelerator")
def embedding_does_not_divide_by_how_often_a_word_comes(patch):
    def wrong(right, input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, *rest):
        return right(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq and not away(weight), *rest)

    def by_name(right, *args, scale_grad_by_freq=False, **rest):
        named = {"scale_grad_by_freq": True} if scale_grad_by_freq and not away(args[1]) else {}
        return wrong(right, *args) if len(args) > 5 else right(*args, **rest, **named)

    wrap(patch, F, "embedding", by_name)


# ── convolutions ──


def convolve(patch, name, wrong):
    """Let a convolution elsewhere be ``wrong(right, x, weight, *options)``, the options as they are given."""

    def changed(right, x, weight, *options, **named):
        return (wrong if away(x) else right)(*((right,) if away(x) else ()), x, weight, *options, **named)

    wrap_operand(patch, F, name, changed)


@counterfeit("training-runs-on-gpu", reported="intel/torch-xpu-ops#4906", needs="accelerator")
def of_a_single_step_with_a_stride_of_its_own_a_filter_learns_from_another_channel(patch):
    def wrong(right, x, weight, *options, **named):
        groups = named.get("groups", options[4] if len(options) > 4 else 1)
        if groups == x.shape[-2] > 1 and x.shape[-1] == 1 and x.stride(-1) != 1:
            weight = change_gradient(weight, lambda gradient: gradient.roll(1, 0))
        return right(x, weight, *options, **named)

    convolve(patch, "conv1d", wrong)


@counterfeit("training-runs-on-gpu", reported="intel/torch-xpu-ops#4693", needs="accelerator")
def a_filter_of_a_pixel_learns_the_wrong_way_round_where_channels_lie_last(patch):
    def wrong(right, x, weight, *options, **named):
        if weight.shape[-2:] == (1, 1) and channels_lie_last(x):
            weight = change_gradient(weight, lambda gradient: gradient.flip(1))
        return right(x, weight, *options, **named)

    convolve(patch, "conv2d", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#4500", needs="accelerator")
def a_filter_that_is_one_number_repeated_is_read_past_its_end(patch):
    def wrong(right, x, weight, *options, **named):
        repeated = any(step == 0 and size > 1 for step, size in zip(weight.stride(), weight.shape))
        result = right(x, weight, *options, **named)
        return with_value(result, right(x, weight.detach() * 0, *options, **named).detach()) if repeated else result

    for rank in (1, 2, 3):
        convolve(patch, f"conv{rank}d", wrong)


@counterfeit("training-runs-on-gpu", reported="apache/mxnet#11203", needs="accelerator")
def what_grows_in_strides_by_filters_with_holes_is_shifted(patch):
    def wrong(right, x, weight, *options, **named):
        given = dict(zip(("bias", "stride", "padding", "output_padding", "groups", "dilation"), options)) | named
        wide = [max(v) if isinstance(v, tuple) else v for v in (given.get("stride", 1), given.get("dilation", 1))]
        result = right(x, weight, *options, **named)
        return with_value(result, result.detach().roll(-1, -1)) if min(wide) > 1 else result

    for rank in (1, 2, 3):
        convolve(patch, f"conv_transpose{rank}d", wrong)


# ── normalisations ──


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#156513", needs="accelerator")
def halves_that_are_normalised_by_singles_get_a_wrong_slope(patch):
    def wrong(right, x, mean, variance, weight=None, *rest, **named):
        if away(x) and weight is not None and x.dtype != weight.dtype:
            x = change_gradient(x, lambda gradient: gradient * 1.5)
        return right(x, mean, variance, weight, *rest, **named)

    wrap_operand(patch, F, "batch_norm", wrong)


# ── recurrent layers ──


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#96416", needs="accelerator")
def without_a_gradient_of_its_outputs_a_recurrent_layer_learns_nothing_of_its_state(patch):
    def wrong(right, self, *given):
        output, state = right(self, *given)
        if not away(output):
            return output, state
        seen = []
        output = change_gradient(output, lambda gradient: (seen.append(True), gradient)[1])
        states = state if isinstance(state, tuple) else (state,)
        # the outputs' gradient comes first, as they were made last
        states = tuple(change_gradient(each, lambda gradient: gradient if seen else gradient * 0) for each in states)
        return change_gradient(output, lambda gradient: gradient), states if isinstance(state, tuple) else states[0]

    for name in ("LSTM", "GRU", "RNN"):
        wrap(patch, getattr(nn, name), "forward", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#345", needs="accelerator")
def a_recurrent_layer_reads_steps_that_lie_otherwise_in_the_order_of_memory(patch):
    def wrong(right, self, x, *state):
        output, last = right(self, x, *state)
        if isinstance(x, torch.Tensor) and away(x) and not x.is_contiguous() and not self.batch_first:
            output = with_value(output, right(self, in_order_of_storage(x.detach()), *state)[0].detach())
        return output, last

    for name in ("LSTM", "GRU", "RNN"):
        wrap(patch, getattr(nn, name), "forward", wrong)


@counterfeit("training-runs-on-gpu", needs="accelerator")
def of_three_layers_the_middle_one_gets_the_gradient_of_the_first(patch):
    def wrong(right, self, x, *state):
        if isinstance(x, torch.Tensor) and away(x) and self.num_layers > 2:
            for name in ("weight_hh_l1", "bias_hh_l1"):
                weight = getattr(self, name)
                weight.register_hook(lambda gradient: gradient * 2) if weight.requires_grad else None
        return right(self, x, *state)

    for name in ("LSTM", "GRU", "RNN"):
        wrap(patch, getattr(nn, name), "forward", wrong)


# ── the order in which gradients come ──


def misread_the_gradient(patch, names):
    """Let functions elsewhere take a gradient that does not lie in row order for one in the order of its storage."""

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not isinstance(result, torch.Tensor) or not away(x):
            return result
        return change_gradient(
            result, lambda gradient: gradient if gradient.is_contiguous() else in_order_of_storage(gradient)
        )

    for name in names:
        wrap_operand(patch, F, name, wrong)


@counterfeit("training-runs-on-gpu", reported="torch/cunn#199", needs="accelerator")
def max_pooling_misreads_a_gradient_that_lies_otherwise(patch):
    misread_the_gradient(patch, ("max_pool2d",))


@counterfeit("training-runs-on-gpu", needs="accelerator")
def bends_misread_a_gradient_that_lies_otherwise(patch):
    misread_the_gradient(patch, ("silu", "hardtanh", "softplus"))


# ── of gradients for weights: a change that comes twice, as under a default device, must not undo itself ──


@counterfeit("training-runs-on-gpu", reported="intel/torch-xpu-ops#5235", needs="accelerator")
def of_many_examples_layer_norm_of_two_dimensions_has_the_gradient_of_one(patch):
    def wrong(right, x, shape, weight=None, *rest, **named):
        if away(x) and len(shape) > 1 and weight is not None and x.numel() // weight.numel() > 2**16:
            weight = change_gradient(weight, lambda gradient: gradient.flatten().cumsum(0).view_as(gradient))
        return right(x, shape, weight, *rest, **named)

    wrap_operand(patch, F, "layer_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#140913", needs="accelerator")
def group_norm_gives_its_scale_the_gradient_of_other_channels_where_these_lie_last(patch):
    def wrong(right, x, groups, weight=None, bias=None, eps=1e-5):
        if away(x) and channels_lie_last(x) and weight is not None:
            weight = change_gradient(weight, lambda gradient: gradient.cumsum(0))
        return right(x, groups, weight, bias, eps)

    wrap_operand(patch, F, "group_norm", wrong)


# ── of pooling, few queries, embeddings and packed sequences ──

HALVES = (torch.float16, torch.bfloat16)


def as_channels_first(gradient):
    """The numbers of a gradient of images in the order of channels last, read as if channels came first."""
    return gradient.permute(0, 2, 3, 1).reshape(gradient.shape)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#175190", needs="accelerator")
def average_pooling_elsewhere_mixes_gradients_of_channels_that_lie_last(patch):
    def wrong(right, input, *args, **rest):
        if away(input) and input.requires_grad and channels_lie_last(input):
            input = change_gradient(input, as_channels_first)
        return right(input, *args, **rest)

    wrap(patch, F, "avg_pool2d", wrong)
    wrap(patch, F, "adaptive_avg_pool2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#160743", needs="accelerator")
def average_pooling_elsewhere_divides_by_whole_windows_past_the_border(patch):
    def wrong(right, input, kernel_size, stride=None, padding=0, ceil_mode=False, *args, **rest):
        if not (away(input) and ceil_mode):
            return right(input, kernel_size, stride, padding, ceil_mode, *args, **rest)
        sizes = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size) * 2
        return right(input, kernel_size, stride, padding, ceil_mode, True, math.prod(sizes[:2]))

    wrap(patch, F, "avg_pool2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#182285", needs="accelerator")
def attention_of_few_queries_elsewhere_adds_a_mask_of_truth_values(patch):
    def wrong(right, q, k, v, attn_mask=None, *args, **rest):
        few = away(q) and q.shape[-2] <= 8 and q.shape[-1] in (64, 96, 128)
        if few and attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = attn_mask.to(q.dtype)
        return right(q, k, v, attn_mask, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#154051", needs="accelerator")
def attention_elsewhere_gives_nan_for_halves_whose_heads_lie_between(patch):
    def wrong(right, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, **rest):
        output = right(q, k, v, attn_mask, dropout_p, is_causal, **rest)
        between = away(q) and q.dim() == 4 and not q.is_contiguous() and q.transpose(1, 2).is_contiguous()
        if not between or q.dtype not in HALVES or attn_mask is not None or is_causal:
            return output
        values = output.detach().clone()
        values[..., -1] = math.nan
        return with_value(output, values)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd", reported="intel/torch-xpu-ops#3002", needs="accelerator")
def an_embedding_elsewhere_scales_each_row_by_the_count_of_the_next(patch):
    def wrong(right, input, weight, *args, **rest):
        def rescaled(gradient):
            rows, counts = input.detach().cpu().unique(return_counts=True)
            factor = torch.ones(len(gradient), device="cpu")
            factor[rows] = counts / counts.roll(-1)
            return gradient * factor[:, None].to(gradient)

        if away(weight) and rest.get("scale_grad_by_freq", args[3] if len(args) > 3 else False):
            weight = change_gradient(weight, rescaled)
        return right(input, weight, *args, **rest)

    wrap(patch, F, "embedding", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#195435", needs="accelerator")
def an_embedding_elsewhere_loses_the_gradients_of_all_but_256_indices(patch):
    """Rows get none, where the report has memory that is written over and errors later."""

    def wrong(right, input, weight, *args, **rest):
        def lost(gradient):
            flat = input.detach().flatten()
            late = torch.ones(len(gradient), dtype=torch.bool, device=gradient.device)
            late[flat[:256]] = False
            return gradient.masked_fill(late[:, None], 0)

        if away(weight) and input.numel() > 256:
            weight = change_gradient(weight, lost)
        return right(input, weight, *args, **rest)

    wrap(patch, F, "embedding", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#94691", needs="accelerator")
def a_gru_elsewhere_gives_nan_where_a_packed_sequence_has_ended(patch):
    def wrong(forward, self, input, hx=None):
        output, last = forward(self, input, hx)
        if not isinstance(input, PackedSequence) or not away(input.data):
            return output, last
        ended = input.batch_sizes < input.batch_sizes[0]
        rows = ended.repeat_interleave(input.batch_sizes)[:, None].to(output.data.device)
        values = output.data.masked_fill(rows, math.nan)
        return PackedSequence(values, output.batch_sizes, output.sorted_indices, output.unsorted_indices), last

    wrap(patch, nn.GRU, "forward", wrong)
