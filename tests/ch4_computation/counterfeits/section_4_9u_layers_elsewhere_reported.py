"""Section 4.9: what users reported of layers on other devices: their numbers, their gradients and a step."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, hold_still, parameters_of, with_value, wrap
from harness.forging_images import channels_lie_last
from torch import nn
from torch.nn import functional as F


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#131736", needs="accelerator")
def activations_of_turned_numbers_elsewhere_are_zero(patch):
    def wrong(right, x, *args, **rest):
        turned = away(x) and x.dim() > 1 and not x.is_contiguous()
        result = right(x, *args, **rest)
        return with_value(result, 0.0) if turned else result

    for name in ("softplus", "selu", "prelu", "threshold"):
        wrap(patch, F, name, wrong)


@counterfeit(
    "nn-builds-on-autograd",
    reported="pytorch/pytorch#161640",
    needs="accelerator",
)
def layers_elsewhere_read_the_rows_that_a_slice_of_a_weight_skips(patch):
    def wrong(right, x, weight, bias=None):
        if away(weight) and weight.dim() == 2 and weight.stride(1) == 1 and weight.stride(0) > weight.shape[1]:
            weight = weight.as_strided(weight.shape, (weight.shape[1], 1), weight.storage_offset())
        return right(x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#153022", needs="two-devices")
def convolutions_on_a_device_that_is_not_current_give_no_numbers(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and x.device.index != torch.get_device_module(x.device).current_device():
            return result * float("nan")
        return result

    for name in ("conv1d", "conv2d", "conv3d"):
        wrap(patch, F, name, wrong)


@counterfeit("nn-only-takes-batches", reported="pytorch/pytorch#189495", needs="accelerator")
def batches_beyond_65536_elsewhere_are_written_over_the_first(patch):
    def wrong(right, x, weight, bias=None):
        result = right(x, weight, bias)
        if away(x) and bias is not None and x.dim() > 2 and x.is_contiguous() and x.shape[-3] > 2**16:
            values, more = result.detach().clone(), min(x.shape[-3] - 2**16, 2**16)
            values[..., :more, :, :] = values[..., 2**16 : 2**16 + more, :, :]
            values[..., 2**16 :, :, :] = 0
            return with_value(result, values)
        return result

    wrap(patch, F, "linear", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#188438", needs="accelerator")
def sequences_of_one_step_and_few_features_elsewhere_get_no_bias(patch):
    def wrong(right, x, weight, bias=None):
        short = away(x) and x.dim() == 3 and x.shape[1] == 1 and x.shape[2] <= 4 and len(x) > 32
        return right(x, weight, None if short else bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#28716", needs="accelerator")
def the_padding_of_long_texts_elsewhere_gets_a_gradient(patch):
    def wrong(right, input, weight, padding_idx=None, *args, **rest):
        long = away(weight) and input.numel() > 768
        return right(input, weight, None if long else padding_idx, *args, **rest)

    wrap(patch, F, "embedding", wrong)


@counterfeit("step-updates-parameters", reported="pytorch/pytorch#118117", needs="accelerator")
def rprop_leaves_turned_parameters_elsewhere_as_they_are(patch):
    hold_still(
        patch,
        torch.optim.Rprop,
        lambda optimizer: [one for one in parameters_of(optimizer) if away(one) and not one.is_contiguous()],
    )


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#80306", needs="accelerator")
def what_a_batch_first_lstm_elsewhere_puts_out_is_time_first(patch):
    def wrong(right, self, *args, **rest):
        output, state = right(self, *args, **rest)
        turned = self.batch_first and away(output) and output.dim() == 3
        return output.transpose(0, 1) if turned else output, state

    wrap(patch, nn.LSTM, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#94754", needs="accelerator")
def the_second_direction_of_an_lstm_elsewhere_reads_forwards(patch):
    def wrong(right, self, input, *args, **rest):
        output, state = right(self, input, *args, **rest)
        if not self.bidirectional or self.num_layers > 1 or not away(input):
            return output, state
        time, half = int(self.batch_first and input.dim() == 3), output.shape[-1] // 2
        other = right(self, input.flip(time), *args, **rest)[0].flip(time)
        return torch.cat([output[..., :half], other[..., half:]], -1), state

    wrap(patch, nn.LSTM, "forward", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#62594", needs="accelerator")
def halves_whose_channels_lie_last_elsewhere_are_normalised_to_other_places(patch):
    def wrong(right, input, mean, var, weight=None, bias=None, training=False, *args, **rest):
        result = right(input, mean, var, weight, bias, training, *args, **rest)
        if away(input) and input.dtype is torch.float16 and not training and channels_lie_last(input):
            return result.permute(0, 2, 3, 1).reshape(result.shape)
        return result

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#102968", needs="accelerator")
def large_filters_elsewhere_that_move_by_more_than_one_are_turned_round(patch):
    def wrong(right, x, weight, bias=None, stride=1, *args, **rest):
        if away(x) and weight.shape[-1] >= 16 and stride not in (1, (1, 1), [1, 1]):
            weight = weight.flip(-1)
        return right(x, weight, bias, stride, *args, **rest)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("dropout-zeroes-with-probability-p", reported="pytorch/pytorch#10584", needs="accelerator")
def dropping_goes_on_elsewhere_in_evaluation(patch):
    def wrong(right, input, p=0.5, training=True, *args, **rest):
        return right(input, p, training or away(input), *args, **rest)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors", reported="pytorch/pytorch#47176", needs="accelerator")
def survivors_of_images_with_gaps_elsewhere_change_places(patch):
    def wrong(right, input, p=0.5, training=True, *args, **rest):
        gaps = away(input) and input.dim() == 4 and input.stride(1) == 1 and input.shape[1] > 1
        if gaps and training and not channels_lie_last(input) and not input.is_contiguous():
            input = input.permute(0, 2, 3, 1).reshape(input.shape)
        return right(input, p, training, *args, **rest)

    wrap(patch, F, "dropout", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#4500", needs="accelerator")
def a_filter_elsewhere_that_repeats_one_number_counts_it_once(patch):
    def wrong(right, input, weight, *args, **rest):
        if away(weight) and weight.shape[-1] > 1 and weight.stride(-1) == 0:
            first = torch.arange(weight.shape[-1], device=weight.device) == 0
            weight = weight * first.to(weight.dtype)
        return right(input, weight, *args, **rest)

    wrap(patch, F, "conv1d", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#38985", needs="accelerator")
def what_is_made_smaller_elsewhere_passes_its_gradient_to_the_last_of_each_block(patch):
    def wrong(right, input, size=None, scale_factor=None, mode="nearest", *args, **rest):
        smaller = isinstance(scale_factor, float) and scale_factor < 1 and mode == "nearest"
        if smaller and away(input) and input.dim() == 4 and input.requires_grad:
            by = round(1 / scale_factor) - 1
            input = change_gradient(input, lambda gradient: gradient.roll((by, by), (2, 3)))
        return right(input, size, scale_factor, mode, *args, **rest)

    wrap(patch, F, "interpolate", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#175189", needs="accelerator")
def the_scale_of_channels_that_lie_last_elsewhere_gets_seven_times_its_gradient(patch):
    def wrong(right, input, mean, var, weight=None, *args, **rest):
        if away(input) and channels_lie_last(input) and weight is not None and weight.requires_grad:
            weight = change_gradient(weight, lambda gradient: 7 * gradient)
        return right(input, mean, var, weight, *args, **rest)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#183825", needs="accelerator")
def the_scale_of_a_first_layer_norm_elsewhere_gets_half_as_much_again(patch):
    def wrong(right, input, shape, weight=None, bias=None, *args, **rest):
        if away(input) and not input.requires_grad:
            weight, bias = (
                change_gradient(one, lambda gradient: 1.5 * gradient) if one is not None and one.requires_grad else one
                for one in (weight, bias)
            )
        return right(input, shape, weight, bias, *args, **rest)

    wrap(patch, F, "layer_norm", wrong)
