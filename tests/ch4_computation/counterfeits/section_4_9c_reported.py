"""Counterfeits of 4.9 that users reported, what is frozen, slices, padding and sequences."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, wrap
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
