"""Reported faults, and others like them, of attention, sequences, bags, alignments and pools, for section 3.2."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    away,
    change_gradient,
    change_method,
    everywhere,
    in_order_of_storage,
    with_value,
    wrap,
    wrap_operand,
)
from torch import nn
from torch.nn import functional as F


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#106630")
def without_a_record_attention_in_evaluation_hears_what_the_mask_hides(patch):
    def wrong(right, self, *args, attn_mask=None, **rest):
        hidden = attn_mask if self.training or torch.is_grad_enabled() else None
        return right(self, *args, attn_mask=hidden, **rest)

    wrap(patch, nn.MultiheadAttention, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#92554")
def padding_that_numbers_tell_is_heard_by_attention(patch):
    def wrong(right, self, *args, key_padding_mask=None, **rest):
        told = key_padding_mask is not None and key_padding_mask.is_floating_point()
        return right(self, *args, key_padding_mask=None if told else key_padding_mask, **rest)

    wrap(patch, nn.MultiheadAttention, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#86120")
def in_evaluation_an_encoder_takes_its_padding_for_its_words(patch):
    def wrong(right, self, x, mask=None, src_key_padding_mask=None, **rest):
        turned = src_key_padding_mask is not None and not self.training and src_key_padding_mask.dtype == torch.bool
        return right(self, x, mask, ~src_key_padding_mask if turned else src_key_padding_mask, **rest)

    wrap(patch, nn.TransformerEncoder, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#137887")
def a_bias_for_the_words_counts_twice_in_the_shares_of_attention(patch):
    def wrong(right, self, *args, key_padding_mask=None, **rest):
        told = key_padding_mask is not None and key_padding_mask.is_floating_point()
        return right(self, *args, key_padding_mask=2 * key_padding_mask if told else key_padding_mask, **rest)

    wrap(patch, nn.MultiheadAttention, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def a_decoder_s_memory_is_heard_through_the_mask_of_its_own_words(patch):
    def wrong(right, self, target, memory, tgt_mask=None, memory_mask=None, *rest, **named):
        return right(self, target, memory, tgt_mask, tgt_mask if memory_mask is None else memory_mask, *rest, **named)

    wrap(patch, nn.TransformerDecoderLayer, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#147539")
def a_gru_in_both_ways_ends_with_its_state_forwards_twice(patch):
    def wrong(right, self, *args):
        output, state = right(self, *args)
        return output, torch.stack([state[0], state[0], *state[2:]]) if self.bidirectional else state

    wrap(patch, nn.GRU, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#3662")
def backwards_a_network_begins_with_the_padding_of_shorter_sequences(patch):
    def wrong(right, self, x, *state):
        if not (isinstance(x, nn.utils.rnn.PackedSequence) and self.bidirectional):
            return right(self, x, *state)
        padded, lengths = nn.utils.rnn.pad_packed_sequence(x, self.batch_first)
        output, after = right(self, padded, *state)
        return nn.utils.rnn.pack_padded_sequence(output, lengths, self.batch_first, False), after

    wrap(patch, nn.LSTM, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def what_an_lstm_projects_is_not_its_last_state(patch):
    def wrong(right, self, *args):
        output, (h, c) = right(self, *args)
        return output, (h / 2 if self.proj_size else h, c)

    wrap(patch, nn.LSTM, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#76885")
def the_last_of_several_bags_whose_end_is_told_is_counted_twice(patch):
    def wrong(right, self, input, offsets=None, *rest, **named):
        result = right(self, input, offsets, *rest, **named)
        twice = self.include_last_offset and offsets is not None and len(result) > 1
        return torch.cat([result[:-1], 2 * result[-1:]]) if twice else result

    wrap(patch, nn.EmbeddingBag, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def the_mean_of_a_bag_counts_the_padding_that_it_leaves_out(patch):
    def wrong(right, input, weight, offsets=None, *rest, **named):
        if offsets is None or named.get("padding_idx", rest[7] if len(rest) > 7 else None) is None:
            return right(input, weight, offsets, *rest, **named)
        sizes = (torch.cat([offsets[1:], offsets.new_tensor([len(input)])]) - offsets).clamp(min=1)
        mean = (rest[3] if len(rest) > 3 else named.get("mode", "mean")) == "mean"
        if not mean:
            return right(input, weight, offsets, *rest, **named)
        padding = named.get("padding_idx", rest[7] if len(rest) > 7 else None)
        return right(input, weight, offsets, mode="sum", padding_idx=padding) / sizes[:, None]

    wrap(patch, F, "embedding_bag", wrong)


@counterfeit("nn-builds-on-autograd")
def an_empty_bag_is_given_what_the_next_one_holds(patch):
    def wrong(right, self, input, offsets=None, *rest, **named):
        result = right(self, input, offsets, *rest, **named)
        if offsets is None or len(offsets) < 3:
            return result
        empty = (offsets[1:] == offsets[:-1]).nonzero().flatten()
        empty = empty[empty + 1 < len(result)]
        return result.index_copy(0, empty, result[empty + 1])

    wrap(patch, nn.EmbeddingBag, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#25057")
def in_a_batch_each_utterance_lasts_as_long_as_the_longest(patch):
    def wrong(right, scores, targets, lengths, *rest, **named):
        longest = torch.full_like(torch.as_tensor(lengths), len(scores))
        return right(scores, targets, longest, *rest, **named)

    wrap(patch, F, "ctc_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#18215")
def what_is_empty_has_no_slope_in_a_loss_of_alignments(patch):
    def wrong(right, scores, targets, lengths, sizes, *rest, **named):
        keep = (torch.as_tensor(sizes) > 0).to(scores)[None, :, None]
        return right(change_gradient(scores, lambda slope: slope * keep), targets, lengths, sizes, *rest, **named)

    wrap(patch, F, "ctc_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#14401")
def the_slope_of_a_mean_of_alignments_is_not_divided_by_their_lengths(patch):
    def wrong(right, scores, targets, lengths, sizes, blank=0, reduction="mean", *rest, **named):
        if reduction == "mean":
            many = torch.as_tensor(sizes).clamp(min=1).to(scores)[None, :, None]
            scores = change_gradient(scores, lambda slope: slope * many)
        return right(scores, targets, lengths, sizes, blank, reduction, *rest, **named)

    wrap(patch, F, "ctc_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#45357")
def a_pool_up_to_the_end_has_a_window_beyond_the_image(patch):
    def wrong(right, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        result = right(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        size, step = (each if isinstance(each, (tuple, list)) else (each, each) for each in (kernel_size, stride))
        if not ceil_mode or return_indices or size[0] > 1 or not step[0] or (input.shape[-2] - 1) % step[0] == 0:
            return result
        return torch.cat([result, torch.full_like(result[..., -1:, :], -torch.inf)], -2)

    wrap(patch, F, "max_pool2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#9986")
def unless_told_an_average_leaves_the_padding_out(patch):
    def wrong(right, input, kernel_size, *args, **rest):
        told = len(args) > 3 or "count_include_pad" in rest
        return right(input, kernel_size, *args, **({} if told else {"count_include_pad": False}), **rest)

    wrap(patch, F, "avg_pool2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="apple/coremltools#2772")
def an_average_up_to_the_end_divides_by_what_lies_beyond_the_image(patch):
    def wrong(right, input, kernel_size, *args, ceil_mode=False, divisor_override=None, **rest):
        if ceil_mode and rest.get("count_include_pad", True) and divisor_override is None:
            sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
            divisor_override = sides[0] * sides[1]
        return right(input, kernel_size, *args, ceil_mode=ceil_mode, divisor_override=divisor_override, **rest)

    def by_place(right, input, kernel_size, stride=None, padding=0, *more, **rest):
        names = ("ceil_mode", "count_include_pad", "divisor_override")
        return wrong(right, input, kernel_size, stride, padding, **dict(zip(names, more)), **rest)

    wrap(patch, F, "avg_pool2d", by_place)


@counterfeit("nn-builds-on-autograd")
def a_line_between_corners_is_one_between_the_middles_of_the_outermost(patch):
    def wrong(right, input, size=None, scale_factor=None, mode="nearest", align_corners=None, *rest, **named):
        aligned = False if align_corners and mode in ("linear", "trilinear") else align_corners
        return right(input, size, scale_factor, mode, aligned, *rest, **named)

    wrap(patch, F, "interpolate", wrong)


@counterfeit("nn-builds-on-autograd")
def a_picture_is_made_smaller_as_if_nothing_lay_between(patch):
    wrap(patch, F, "interpolate", lambda right, *args, antialias=False, **named: right(*args, **named))


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#29712")
def a_convolution_whose_border_reflects_has_one_of_zeros(patch):
    def wrong(right, self, input):
        if self.padding_mode not in ("reflect", "replicate"):
            return right(self, input)
        return F.conv1d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    wrap(patch, nn.Conv1d, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="ROCm/MIOpen#2024", needs="accelerator")
def the_scale_of_large_odd_planes_gets_a_part_of_its_gradient(patch):
    def wrong(right, x, running_mean, running_var, weight=None, bias=None, training=False, *args, **rest):
        plane = x.shape[2] * x.shape[3] if away(x) and x.dim() == 4 else 0
        if training and weight is not None and weight.requires_grad and plane > 1024 and plane % 2:
            weight = change_gradient(weight, lambda gradient: gradient / len(x))
        return right(x, running_mean, running_var, weight, bias, training, *args, **rest)

    wrap_operand(patch, F, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="tracel-ai/burn#4966", needs="accelerator")
def a_product_of_five_hundred_rows_is_zero(patch):
    def wrong(right, *operands, **rest):
        result = right(*operands, **rest)
        tall = away(result) and result.is_floating_point() and result.dim() > 1 and result.shape[-2] >= 500
        return with_value(result, torch.zeros_like(result)) if tall else result

    for name in ("mm", "matmul", "addmm", "bmm"):
        everywhere(patch, name, wrong)
    change_method(patch, "__matmul__", wrong)
    wrap(patch, F, "linear", wrong)


@counterfeit("nn-builds-on-autograd", reported="huggingface/candle#3893", needs="accelerator")
def filters_that_are_not_in_row_order_are_read_as_they_lie(patch):
    def wrong(right, x, weight, *args, **rest):
        misread = away(weight) and not weight.is_contiguous()
        return right(x, in_order_of_storage(weight) if misread else weight, *args, **rest)

    wrap_operand(patch, F, "conv2d", wrong)
    wrap_operand(patch, torch, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/executorch#22333", needs="accelerator")
def four_rows_of_a_large_table_are_read_from_the_first_of_them(patch):
    def wrong(right, index, weight, *args, **rest):
        result = right(index, weight, *args, **rest)
        if not away(weight) or len(weight) <= 16384 or not index.dim() or not index.numel():
            return result
        table, width = weight.detach().reshape(-1), weight.shape[1]
        row = torch.arange(index.shape[-1], device=index.device)
        first = index.long().index_select(-1, row - row % 4) * width + row % 4
        places = first.unsqueeze(-1) + torch.arange(width, device=index.device)
        return with_value(result, table.take(places.clamp(max=table.numel() - 1)))

    wrap_operand(patch, F, "embedding", wrong)
