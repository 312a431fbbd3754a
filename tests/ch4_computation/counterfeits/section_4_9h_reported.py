"""Section 4.9: what users reported of models on devices: attention with masks, options of rarer layers, and the order
in which gradients come.
"""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, in_order_of_storage, with_value, wrap, wrap_operand
from harness.forging_images import channels_lie_last
from torch import nn
from torch.nn import functional as F

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


def in_order_of_memory(slope):
    """What a kernel reads that takes ``slope`` for one in row order."""
    return slope if slope.is_contiguous() else in_order_of_storage(slope)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#619", needs="accelerator")
def recurrent_layers_read_the_gradient_that_comes_in_order_of_memory(patch):
    def wrong(right, x, *args, **rest):
        results = right(x, *args, **rest)
        if not away(x) or not results[0].requires_grad:
            return results
        return tuple(change_gradient(result, in_order_of_memory) for result in results)

    for name in ("rnn_tanh", "rnn_relu", "gru", "lstm"):
        wrap(patch, torch._VF, name, wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/xla#1017", needs="accelerator")
def convolution_of_equal_sizes_goes_back_by_the_dilation_of_the_first(patch):
    first = {}

    def wrong(right, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        result = right(x, weight, bias, stride, padding, dilation, groups)
        if not away(x) or not x.requires_grad or x.dim() != 4 or isinstance(padding, str):
            return result
        old = first.setdefault((x.shape, weight.shape, result.shape, str((stride, padding, groups))), dilation)
        if old == dilation:
            return result
        seen, held = [], weight.detach()

        def note(gradient):
            seen[:] = [gradient]
            return gradient

        def back(gradient):
            return torch.nn.grad.conv2d_input(x.shape, held, seen[0], stride, padding, old, groups)

        return change_gradient(right(change_gradient(x, back), weight, bias, stride, padding, dilation, groups), note)

    wrap_operand(patch, F, "conv2d", wrong)
    wrap_operand(patch, torch, "conv2d", wrong)


@counterfeit("training-runs-on-gpu", reported="ROCm/MIOpen#104", needs="accelerator")
def batch_norm_of_rows_goes_back_without_the_scale_in_one_term(patch):
    def wrong(right, x, weight, bias, mean, var, training, momentum, eps, *args):
        if not away(x) or x.dim() != 2 or not training or weight is None or not x.requires_grad:
            return right(x, weight, bias, mean, var, training, momentum, eps, *args)
        seen, scale = [], ((1 - weight) * (x.var(0, correction=0) + eps).rsqrt()).detach()

        def note(gradient):
            seen[:] = [gradient]
            return gradient

        back = change_gradient(x, lambda gradient: gradient + seen[0] * scale)
        return change_gradient(right(back, weight, bias, mean, var, training, momentum, eps, *args), note)

    wrap(patch, torch, "batch_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#113642", needs="accelerator")
def trilinear_slopes_of_single_points_come_back_with_channels_last(patch):
    def wrong(right, input, *args, **rest):
        if not away(input) or not input.requires_grad:
            return right(input, *args, **rest)
        seen = []

        def note(gradient):
            seen[:] = [gradient.is_contiguous() and gradient.stride(-1) == gradient.shape[1] > 1]
            return gradient

        def lay(gradient):
            return gradient.movedim(1, -1).reshape(gradient.shape) if seen == [True] else gradient

        return change_gradient(right(change_gradient(input, lay), *args, **rest), note)

    wrap(patch, torch._C._nn, "upsample_trilinear3d", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#52719", needs="accelerator")
def the_mean_of_a_volume_of_halves_is_summed_in_halves(patch):
    def wrong(right, input, output_size):
        result = right(input, output_size)
        if not away(input) or input.dtype != torch.float16 or set(result.shape[-3:]) != {1} or not input.numel():
            return result
        numbers = input.detach().cpu().numpy().reshape(*input.shape[:-3], -1)
        total = np.add.accumulate(numbers, -1, np.float16)[..., -1] / np.float16(numbers.shape[-1])
        return with_value(result, torch.tensor(total, device=result.device).reshape(result.shape))

    wrap(patch, torch._C._nn, "adaptive_avg_pool3d", wrong)
