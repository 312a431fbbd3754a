"""Counterfeits of 4.9, some of them reported: strides, layers of both directions, and more examples than 65,535."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, wrap
from torch import Tensor, nn
from torch.nn import functional as F

CONVOLUTIONS = ("conv1d", "conv2d")


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#82921", needs="accelerator")
def a_convolution_of_sequences_in_strides_takes_the_first_steps(patch):
    def wrong(right, input, weight, bias=None, stride=1, *args, **rest):
        output = right(input, weight, bias, stride, *args, **rest)
        strided = away(input) and stride not in (1, (1,))
        return right(input, weight, bias, 1, *args, **rest)[..., : output.shape[-1]] if strided else output

    wrap(patch, F, "conv1d", wrong)


@counterfeit("training-runs-on-gpu", needs="accelerator")
def a_convolution_of_images_in_oblong_strides_takes_the_first_pixels(patch):
    def wrong(right, input, weight, bias=None, stride=1, *args, **rest):
        output = right(input, weight, bias, stride, *args, **rest)
        oblong = away(input) and isinstance(stride, tuple) and len({*stride}) > 1
        height, width = output.shape[-2:]
        return right(input, weight, bias, 1, *args, **rest)[..., :height, :width] if oblong else output

    wrap(patch, F, "conv2d", wrong)


@counterfeit("training-runs-on-gpu", needs="accelerator")
def the_weight_of_a_transposed_convolution_in_strides_gets_its_gradient_turned(patch):
    def wrong(right, input, weight, bias=None, stride=1, *args, **rest):
        if away(input) and stride not in (1, (1,), (1, 1)):
            weight = change_gradient(weight, lambda gradient: gradient.flip(-1))
        return right(input, weight, bias, stride, *args, **rest)

    for name in ("conv_transpose1d", "conv_transpose2d"):
        wrap(patch, F, name, wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#94754", needs="accelerator")
def an_lstm_of_both_directions_takes_one_for_the_other(patch):
    """The report has other numbers, of which it does not tell how they come about."""

    def wrong(right, self, input, hx=None):
        output, state = right(self, input, hx)
        both = self.bidirectional and isinstance(input, Tensor) and away(input)
        return (torch.cat(output.chunk(2, -1)[::-1], -1) if both else output), state

    wrap(patch, nn.LSTM, "forward", wrong)


@counterfeit("training-runs-on-gpu", needs="accelerator")
def a_gru_of_several_layers_passes_half_of_the_gradient_back(patch):
    def wrong(right, self, input, hx=None):
        output, state = right(self, input, hx)
        several = self.num_layers > 1 and isinstance(input, Tensor) and away(input)
        return (change_gradient(output, lambda gradient: gradient / 2) if several else output), state

    wrap(patch, nn.GRU, "forward", wrong)


@counterfeit("training-runs-on-gpu", needs="accelerator")
def an_rnn_with_the_steps_first_gives_them_in_reverse(patch):
    def wrong(right, self, input, hx=None):
        output, state = right(self, input, hx)
        first = not self.batch_first and isinstance(input, Tensor) and away(input)
        return (output.flip(0) if first else output), state

    wrap(patch, nn.RNN, "forward", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#96225", needs="accelerator")
def the_weight_of_a_convolution_gets_no_gradient_from_65536_examples(patch):
    """The report has a wrong one, of which it does not tell how it comes about."""

    def wrong(right, input, weight, *args, **rest):
        many = away(input) and len(input) >= 2**16
        return right(input, change_gradient(weight, torch.zeros_like) if many else weight, *args, **rest)

    for name in CONVOLUTIONS:
        wrap(patch, F, name, wrong)


@counterfeit("training-runs-on-gpu", needs="accelerator")
def a_convolution_passes_nothing_back_to_the_65537th_example(patch):
    def first(gradient):
        return torch.cat([gradient[: 2**16], torch.zeros_like(gradient[2**16 :])])

    def wrong(right, input, *args, **rest):
        return right(change_gradient(input, first) if away(input) else input, *args, **rest)

    for name in CONVOLUTIONS:
        wrap(patch, F, name, wrong)


@counterfeit("training-runs-on-gpu", needs="accelerator")
def the_weight_of_a_linear_layer_hears_nothing_of_the_65536th_example(patch):
    def wrong(right, input, weight, bias=None):
        first, last = input[: 2**16 - 1], input[2**16 - 1 :]
        heard = not away(input) or not len(last)
        return (
            right(input, weight, bias)
            if heard
            else torch.cat([right(first, weight, bias), right(last, weight.detach(), bias)])
        )

    wrap(patch, F, "linear", wrong)
