"""Counterfeits of 4.9 that users reported, what is frozen, slices, padding and sequences."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, with_value, wrap, wrap_operand
from harness.forging_images import shift_padded_pooling
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence


@counterfeit("model-moves-with-to", reported="mlverse/torch#491", needs="accelerator")
def what_was_frozen_thaws_as_it_moves(patch):
    def wrong(to, self, *args, **rest):
        result = to(self, *args, **rest)
        for parameter in self.parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.requires_grad_(True)
        return result

    wrap(patch, nn.Module, "to", wrong)


@counterfeit("training-runs-on-gpu", reported=("pytorch/pytorch#133520", "pytorch/pytorch#133610"))
def a_slice_of_a_batch_is_normalised_from_the_start_of_its_memory(patch):
    def wrong(right, x, *args, **rest):
        later = x.device.type != "cpu" and x.storage_offset() and x.is_contiguous()
        return right(x.as_strided(x.shape, x.stride(), 0) if later else x, *args, **rest)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#131750")
def a_slice_is_layer_normalised_from_the_start_of_its_memory(patch):
    def wrong(right, input, *args, **rest):
        later = away(input) and input.storage_offset() and input.is_contiguous()
        return right(input.as_strided(input.shape, input.stride(), 0) if later else input, *args, **rest)

    wrap(patch, F, "layer_norm", wrong)
    wrap(patch, torch, "layer_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#80306")
def an_lstm_with_the_batch_first_gives_it_second(patch):
    def wrong(right, self, input, hx=None):
        output, state = right(self, input, hx)
        turned = self.batch_first and away(input) and input.dim() == 3
        return (output.transpose(0, 1) if turned else output), state

    wrap(patch, nn.LSTM, "forward", wrong)


@counterfeit("training-runs-on-gpu", reported=("pytorch/pytorch#188344", "pytorch/pytorch#107201"), needs="accelerator")
def average_pooling_with_padding_of_channels_last_shifts_its_gradient(patch):
    shift_padded_pooling(patch)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#95118", needs="accelerator")
def an_lstm_confuses_the_sequences_that_are_packed_together(patch):
    def wrong(right, self, input, hx=None):
        output, state = right(self, input, hx)
        if isinstance(input, PackedSequence) and away(input.data) and input.batch_sizes[0] > 1:
            output = output._replace(data=output.data.flip(0))
        return output, state

    wrap(patch, nn.LSTM, "forward", wrong)


@counterfeit("training-runs-on-gpu", reported="ROCm/rocm-libraries#4998", needs="accelerator")
def grouped_convolutions_compute_the_first_group_only(patch):
    """ROCm gfx12, Winograd Fury, float16, 3x3, stride 1: with 2, 4, 8 groups 49, 74, 86 % of the numbers were wrong."""

    def wrong(right, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        y = right(input, weight, bias, stride, padding, dilation, groups)
        if (
            away(input)
            and input.dtype == torch.float16
            and groups > 1
            and weight.shape[-2:] == (3, 3)
            and {str(each) for each in (stride, dilation)} <= {"1", "(1, 1)", "[1, 1]"}
        ):
            values = y.detach().clone()
            values.narrow(-3, y.shape[-3] // groups, y.shape[-3] - y.shape[-3] // groups).zero_()
            return with_value(y, values)
        return y

    for owner in (F, torch):
        wrap(patch, owner, "conv2d", wrong)


@counterfeit("training-runs-on-gpu", reported=("ROCm/pytorch#657", "ROCm/MIOpen#248"), needs="accelerator")
def batch_norm_of_a_constant_feature_is_nan(patch):
    def wrong(right, x, weight, bias, mean, var, training, *args):
        result = right(x, weight, bias, mean, var, training, *args)
        if not (away(x) and training and x.dim() == 2):
            return result
        constant = (x.detach() == x.detach()[:1]).all(0)
        return torch.where(constant, result * float("nan"), result) if constant.any() else result

    wrap_operand(patch, torch, "batch_norm", wrong)
