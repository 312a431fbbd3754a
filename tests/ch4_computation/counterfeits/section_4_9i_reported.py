"""Section 4.9: what users reported of models on devices: pooling, few queries, embeddings, packed sequences, samples
and enlarged images, numbers that are repeated, complex multiples.
"""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, everywhere, in_order_of_storage, with_value, wrap
from harness.forging_images import channels_lie_last
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

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


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#144245", needs="accelerator")
def single_numbers_elsewhere_are_stretched_to_none_where_corners_are_aligned(patch):
    def wrong(right, input, size=None, scale_factor=None, mode="nearest", align_corners=None, *args, **rest):
        result = right(input, size, scale_factor, mode, align_corners, *args, **rest)
        single = away(input) and mode == "linear" and align_corners and input.shape[-1] == 1
        return result * math.nan if single else result

    wrap(patch, F, "interpolate", wrong)


@counterfeit("training-runs-on-gpu", reported="intel/torch-xpu-ops#3105", needs="accelerator")
def convolutions_elsewhere_read_from_the_last_multiple_of_64_bytes(patch):
    def aligned(x):
        past = x.storage_offset() * x.element_size() % 64 // x.element_size()
        return x.detach().as_strided(x.shape, x.stride(), x.storage_offset() - past)

    def wrong(right, input, weight, *args, **rest):
        result = right(input, weight, *args, **rest)
        return with_value(result, right(aligned(input), aligned(weight), *args, **rest)) if away(input) else result

    wrap(patch, F, "conv2d", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#171602", needs="accelerator")
def samples_of_volumes_elsewhere_are_taken_where_the_memory_of_a_grid_says(patch):
    def wrong(right, input, grid, *args, **rest):
        result = right(input, grid, *args, **rest)
        strided = away(input) and input.dim() == 5 and not grid.is_contiguous()
        return (
            with_value(result, right(input, in_order_of_storage(grid.detach()), *args, **rest)) if strided else result
        )

    wrap(patch, F, "grid_sample", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#174339", needs="accelerator")
def samples_of_images_elsewhere_whose_channels_lie_last_mix_channels(patch):
    def wrong(right, input, grid, *args, **rest):
        result = right(input, grid, *args, **rest)
        last = away(input) and channels_lie_last(input)
        return with_value(result, right(in_order_of_storage(input.detach()), grid, *args, **rest)) if last else result

    wrap(patch, F, "grid_sample", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#107214", needs="accelerator")
def hardswish_elsewhere_mixes_gradients_of_channels_that_lie_last(patch):
    def wrong(right, input, *args, **rest):
        if away(input) and input.requires_grad and channels_lie_last(input):
            input = change_gradient(input, as_channels_first)
        return right(input, *args, **rest)

    wrap(patch, F, "hardswish", wrong)


@counterfeit("training-runs-on-gpu", reported="intel/torch-xpu-ops#5179", needs="accelerator")
def attention_elsewhere_to_few_keys_leaves_the_last_of_many_queries_unwritten(patch):
    def wrong(right, query, key, *args, **rest):
        result = right(query, key, *args, **rest)
        if away(query) and query.dtype in HALVES and query.shape[-2] > 1024 and key.shape[-2] <= 16:
            written = torch.ones_like(result)
            written[..., -64:, :] = 0
            result = result * written
        return result

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#94529", needs="accelerator")
def gelu_elsewhere_is_approximated_as_it_was_at_first(patch):
    first = {}

    def wrong(right, input, *, approximate="none"):
        if away(input):
            approximate = first.setdefault((input.shape, input.dtype), approximate)
        return right(input, approximate=approximate)

    wrap(patch, F, "gelu", wrong)


@counterfeit("training-runs-on-gpu", reported="intel/torch-xpu-ops#4380", needs="accelerator")
def gradients_of_tall_images_enlarged_elsewhere_come_from_the_next_column(patch):
    def wrong(right, input, size=None, scale_factor=None, mode="nearest", align_corners=None, *args, **rest):
        result = right(input, size, scale_factor, mode, align_corners, *args, **rest)
        tall = mode == "bilinear" and not align_corners and input.shape[-2] > input.shape[-1]
        whole = not any(large % small for large, small in zip(result.shape[2:], input.shape[2:]))
        if away(input) and tall and whole and result.shape != input.shape:
            result = change_gradient(result, lambda gradient: gradient.roll(1, -1))
        return result

    wrap(patch, F, "interpolate", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#132605", needs="accelerator")
def the_log_gamma_of_repeated_numbers_elsewhere_is_read_through_memory(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        repeated = away(x) and any(size > 1 and step == 0 for size, step in zip(x.shape, x.stride()))
        return with_value(result, right(in_order_of_storage(x.detach()))) if repeated else result

    everywhere(patch, "lgamma", wrong)
    wrap(patch, torch.special, "gammaln", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#194474", needs="accelerator")
def a_product_elsewhere_loses_the_imaginary_part_of_its_factors(patch):
    def wrong(right, x, *operands, beta=1, alpha=1, **rest):
        if away(x):
            beta, alpha = (factor.real if isinstance(factor, complex) else factor for factor in (beta, alpha))
        return right(x, *operands, beta=beta, alpha=alpha, **rest)

    everywhere(patch, "addmm", wrong)
