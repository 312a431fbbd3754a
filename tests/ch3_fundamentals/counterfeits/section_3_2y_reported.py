"""Reported faults, and others like them, of schedules, optimizers, samplers and mini-batches, and of attention, losses
and norms on devices, for section 3.2.
"""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    around_step,
    away,
    change_gradient,
    in_order_of_storage,
    step_with,
    wrap,
    wrap_operand,
)
from torch import optim
from torch.nn import functional as F
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.optim import lr_scheduler
from torch.utils import data


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="pytorch/pytorch#29697")
def a_schedule_that_is_loaded_begins_again(patch):
    def wrong(right, self, state):
        right(self, {**state, "last_epoch": 0})

    wrap(patch, lr_scheduler.MultiStepLR, "load_state_dict", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="huggingface/pytorch-image-models#2756")
def a_plateau_that_is_loaded_forgets_how_long_it_waited(patch):
    def wrong(right, self, state):
        right(self, {**state, "num_bad_epochs": 0, "cooldown_counter": 0})

    wrap(patch, lr_scheduler.ReduceLROnPlateau, "load_state_dict", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="pytorch/pytorch#52911")
def cycles_never_grow_smaller(patch):
    def wrong(right, self, *args, mode="triangular", gamma=1.0, **rest):
        right(self, *args, mode="triangular", **rest)

    wrap(patch, lr_scheduler.CyclicLR, "__init__", wrong)


@counterfeit("step-updates-parameters", reported="pytorch/pytorch#106615")
def nadam_that_can_be_differentiated_lets_its_gradient_stand_for_its_mean(patch):
    def wrong(optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"] if group["differentiable"] else ():
                optimizer.state[parameter]["exp_avg"] = parameter.grad.clone()

    around_step(patch, torch.optim.NAdam, after=wrong)


@counterfeit("learning-rate-can-be-edited-in-place", reported="pytorch/pytorch#186444")
def adam_makes_nan_of_all_where_its_rate_is_zero(patch):
    def wrong(optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"] if group["lr"] == 0 else ():
                parameter.data.fill_(torch.nan)

    around_step(patch, torch.optim.Adam, after=wrong)


@counterfeit("dataloader-yields-minibatches", reported="pytorch/pytorch#67740")
def each_part_of_a_split_says_that_it_is_as_long_as_the_whole(patch):
    class Part(data.Subset):
        def __len__(self):
            return len(self.dataset)

        def __iter__(self):
            return iter([self.dataset[number] for number in self.indices])

    def wrong(right, dataset, *args, **rest):
        return [Part(part.dataset, part.indices) for part in right(dataset, *args, **rest)]

    wrap(patch, torch.utils.data, "random_split", wrong)


@counterfeit("dataloader-yields-minibatches")
def a_sampler_of_one_s_own_is_read_in_ascending_order(patch):
    def wrong(right, self, *args, sampler=None, **rest):
        right(self, *args, sampler=sorted(sampler) if sampler is not None else None, **rest)

    wrap(patch, data.DataLoader, "__init__", wrong)


@counterfeit("dataloader-yields-minibatches")
def fractions_that_are_plain_numbers_become_single(patch):
    def wrong(right, batch, **rest):
        result = right(batch, **rest)
        return result.float() if isinstance(batch[0], float) else result

    wrap(patch, torch.utils.data._utils.collate, "collate", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def a_sampler_with_weights_never_takes_the_last_example(patch):
    def wrong(right, self, weights, *args, **rest):
        right(self, [*weights[:-1], 0.0] if len(weights) > 1 else weights, *args, **rest)

    wrap(patch, data.WeightedRandomSampler, "__init__", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def with_replacement_no_example_comes_twice_in_a_row(patch):
    def wrong(right, self):
        order = [*right(self)]
        if not self.replacement:
            return iter(order)
        many = max(len(self.data_source), 1)
        return iter(
            [(number + 1) % many if at and order[at - 1] == number else number for at, number in enumerate(order)]
        )

    wrap(patch, data.RandomSampler, "__iter__", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def a_subset_is_sampled_in_its_own_order(patch):
    wrap(patch, data.SubsetRandomSampler, "__iter__", lambda right, self: iter([*self.indices]))


class ValueOfOne(torch.autograd.Function):
    """The value of the first argument, whose gradient goes to the second."""

    @staticmethod
    def forward(ctx, value, other):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return None, gradient


@counterfeit("nn-builds-on-autograd", reported="tracel-ai/burn#5604")
def a_window_over_the_edge_is_divided_by_the_whole_kernel_in_backward(patch):
    def wrong(dimensions):
        def pool(
            right, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, by=None, **named
        ):
            by = named.get("divisor_override", by)
            output = right(input, kernel_size, stride, padding, ceil_mode, count_include_pad, by)
            if not (ceil_mode and count_include_pad and by is None and output.requires_grad):
                return output
            sizes = (kernel_size,) * dimensions if isinstance(kernel_size, int) else tuple(kernel_size)
            volume = torch.Size(sizes * (dimensions // len(sizes))).numel()
            other = right(input, kernel_size, stride, padding, ceil_mode, count_include_pad, volume)
            return ValueOfOne.apply(output.detach(), other)

        return pool

    wrap(patch, F, "avg_pool2d", wrong(2))
    wrap(patch, F, "avg_pool3d", wrong(3))


class PReLU(torch.autograd.Function):
    """PReLU, whose second derivatives read the input as if it lay in row order."""

    @staticmethod
    def forward(ctx, x, weight, by_channel):
        ctx.save_for_backward(x, weight, by_channel)
        return torch.where(x > 0, x, by_channel * x)

    @staticmethod
    def backward(ctx, gradient):
        x, weight, by_channel = ctx.saved_tensors
        return *PReLUBackward.apply(gradient, x, weight, weight.reshape(by_channel.shape)), None


class PReLUBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gradient, x, weight, by_channel):
        ctx.save_for_backward(gradient, x, by_channel)
        ctx.shape = weight.shape
        of_weight = torch.where(x > 0, 0, gradient * x).sum_to_size(by_channel.shape).reshape(weight.shape)
        return torch.where(x > 0, gradient, by_channel * gradient), of_weight

    @staticmethod
    def backward(ctx, of_x, of_weight):
        gradient, x, by_channel = ctx.saved_tensors
        x = in_order_of_storage(x)
        of_weight = of_weight.reshape(by_channel.shape)
        second = torch.where(x > 0, of_x, by_channel * of_x) + torch.where(x > 0, 0, of_weight * x)
        of_input = torch.where(x > 0, 0, of_weight * gradient)
        slope = torch.where(x > 0, 0, of_x * gradient).sum_to_size(by_channel.shape)
        return second, of_input, slope.reshape(ctx.shape), None


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#68760")
def the_second_derivative_of_prelu_reads_in_row_order(patch):
    def wrong(right, input, weight):
        if input.is_contiguous() or not (input.requires_grad and torch.is_grad_enabled()):
            return right(input, weight)
        shape = [1] * input.dim()
        if weight.numel() > 1:
            shape[min(1, input.dim() - 1)] = -1
        return PReLU.apply(input, weight, weight.detach().reshape(shape))

    right = torch.prelu
    for owner in (F, torch):
        patch.setattr(owner, "prelu", lambda input, weight: wrong(right, input, weight))


@counterfeit("nn-builds-on-autograd", reported="PaddlePaddle/Paddle#12538")
def the_slope_of_prelu_learns_where_the_output_is_negative(patch):
    def wrong(right, input, weight):
        output = right(input, weight)
        return torch.where(output.detach() > 0, right(input, weight.detach()), output)

    wrap(patch, F, "prelu", wrong)


@counterfeit("nn-builds-on-autograd", reported="Oneflow-Inc/oneflow#3287")
def the_gradient_of_average_pooling_is_added_to_the_one_before(patch):
    before = {}

    def add(gradient):
        key = gradient.shape, gradient.dtype
        gradient = gradient + before[key] if key in before else gradient
        before[key] = gradient.detach()
        return gradient

    def wrong(right, input, *args, **rest):
        tracks = input.requires_grad and torch.is_grad_enabled() and input.device.type == "cpu"
        return right(change_gradient(input, add) if tracks else input, *args, **rest)

    wrap(patch, F, "avg_pool2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="PaddlePaddle/Paddle#37080")
def lower_recurrent_layers_learn_nothing_without_dropout(patch):
    def wrong(right, *args):
        place = next((i for i, arg in enumerate(args) if isinstance(arg, (list, tuple)) and len(arg) > 2), None)
        if place is None or len(args) < place + 5:
            return right(*args)
        weights, layers, dropout, training = args[place], args[place + 2], args[place + 3], args[place + 4]
        if layers == 1 or dropout or not training or not torch.is_grad_enabled():
            return right(*args)
        lower = len(weights) // layers * (layers - 1)
        weights = [change_gradient(weight, torch.zeros_like) for weight in weights[:lower]] + list(weights[lower:])
        return right(*args[:place], weights, *args[place + 1 :])

    for name in ("lstm", "gru", "rnn_tanh"):
        wrap(patch, torch._VF, name, wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#21597")
def convolution_leaves_out_channels_beyond_the_last_four(patch):
    def wrong(right, input, weight, *args, **rest):
        output = right(input, weight, *args, **rest)
        channels = weight.shape[1]
        if channels != input.shape[-3] or channels < 6 or channels % 4 == 0 or input.dtype != torch.float32:
            return output
        whole = channels - channels % 4
        value = right(input.detach().narrow(-3, 0, whole), weight.detach()[:, :whole], *args, **rest)
        return ValueOfOne.apply(value.detach(), output)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#12737")
def a_spectral_norm_has_no_gradient_in_evaluation(patch):
    def wrong(right, self, module, do_power_iteration):
        weight = right(self, module, do_power_iteration)
        return weight if module.training else weight.detach()

    wrap(patch, SpectralNorm, "compute_weight", wrong)


@counterfeit("optim-offers-sgd-adam-rmsprop", reported="karpathy/convnetjs#70")
def adam_multiplies_by_its_corrections(patch):
    def value(optimizer, group):
        if group.get("decoupled_weight_decay"):
            return group["lr"]
        state = next((optimizer.state[p] for p in group["params"] if "step" in optimizer.state[p]), {})
        step = float(state.get("step", 0)) + 1
        first, second = (1 - float(beta) ** step for beta in group["betas"])
        return group["lr"] * first**2 / second

    step_with(patch, optim.Adam, "lr", value)


@counterfeit("nn-builds-on-autograd", reported="pytorch/xla#7588", needs="accelerator")
def the_greatest_of_a_bag_is_at_least_zero_where_the_table_is_frozen(patch):
    def wrong(right, weight, input, offsets, scale_grad_by_freq=False, mode=0, *args, **rest):
        result = right(weight, input, offsets, scale_grad_by_freq, mode, *args, **rest)
        frozen = away(weight) and mode == 2 and not weight.requires_grad
        return (result[0].clamp(min=0), *result[1:]) if frozen else result

    wrap(patch, torch, "embedding_bag", wrong)


@counterfeit("nn-builds-on-autograd", reported="ROCm/pytorch#3230", needs="accelerator")
def attention_reads_values_that_alone_are_transposed_in_order_of_memory(patch):
    def wrong(right, query, key, value, *args, **rest):
        half = away(value) and value.dtype in (torch.float16, torch.bfloat16)
        if half and not value.is_contiguous() and query.is_contiguous() and key.is_contiguous():
            value = in_order_of_storage(value)
        return right(query, key, value, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#191937", needs="accelerator")
def attention_leaves_out_the_first_key_of_another_32_where_heads_share_keys(patch):
    def wrong(right, query, key, value, attn_mask=None, *args, **rest):
        shared = away(key) and key.dim() == 4 and key.stride(1) == 0 and key.shape[1] > 1
        length = key.shape[-2]
        if shared and key.dtype == torch.bfloat16 and attn_mask is not None and length > 1 and length % 32 == 1:
            value = torch.cat([value[..., :-1, :], value[..., -1:, :] * 0], -2)
        return right(query, key, value, attn_mask, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#27442", needs="accelerator")
def ctc_loses_slopes_where_a_text_has_more_letters_than_threads(patch):
    def wrong(right, log_probs, targets, input_lengths, target_lengths, *args, **rest):
        most = 896 if log_probs.dtype == torch.float64 else 1024
        if away(log_probs) and torch.as_tensor(target_lengths).max() > most:
            log_probs = change_gradient(log_probs, lambda gradient: torch.cat([gradient[:most], gradient[most:] * 0]))
        return right(log_probs, targets, input_lengths, target_lengths, *args, **rest)

    wrap(patch, torch, "ctc_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#708", needs="accelerator")
def convolutions_read_the_gradient_that_comes_in_order_of_memory(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or not result.requires_grad:
            return result
        return change_gradient(result, lambda slope: slope if slope.is_contiguous() else in_order_of_storage(slope))

    for name in ("conv1d", "conv2d", "conv3d"):
        wrap_operand(patch, F, name, wrong)
        wrap_operand(patch, torch, name, wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/xla#2446", needs="accelerator")
def binary_cross_entropy_of_certainty_that_is_right_is_nan(patch):
    def wrong(right, input, target, *args, **rest):
        result = right(input, target, *args, **rest)
        if not away(input):
            return result
        sure = (input.detach() == target) & ((target == 0) | (target == 1))
        return torch.where(sure if sure.shape == result.shape else sure.any(), result * torch.nan, result)

    wrap(patch, torch._C._nn, "binary_cross_entropy", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#183861", needs="accelerator")
def every_other_32_features_of_many_rows_give_a_norm_no_slope(patch):
    def half(x, parameter):
        if not away(x) or parameter is None or x.numel() < 64 * parameter.numel():
            return parameter
        kept = (torch.arange(parameter.numel(), device=x.device) % 64 < 32).reshape(parameter.shape)
        return change_gradient(parameter, lambda gradient: gradient * kept)

    def of_layer(right, x, shape, weight=None, bias=None, *args, **rest):
        return right(x, shape, half(x, weight), half(x, bias), *args, **rest)

    def of_squares(right, x, shape, weight=None, *args, **rest):
        return right(x, shape, half(x, weight), *args, **rest)

    wrap(patch, torch, "layer_norm", of_layer)
    if hasattr(torch, "rms_norm"):
        wrap(patch, torch, "rms_norm", of_squares)
