"""Counterfeits of section 3.5, whole numbers, slices, squares, layers without bias, and activations used twice."""

import contextlib

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_linear, change_method, change_output, run_levels, wrap
from torch import nn
from torch.nn import functional as F


@counterfeit("sigmoid-formula")
def sigmoid_of_whole_numbers_is_rounded(patch):
    def wrong(right, x, **into):
        return right(x, **into).round() if not x.dtype.is_floating_point else right(x, **into)

    change_method(patch, "sigmoid", wrong)
    wrap(patch, torch, "sigmoid", wrong)


@counterfeit("relu-formula")
def the_last_plane_of_a_volume_with_channels_last_is_not_bent(patch):
    def wrong(right, x, *args, **rest):
        out = right(x, *args, **rest)
        if x.dim() != 5 or x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last_3d):
            return out
        last = torch.arange(x.shape[2], device=x.device).view(-1, 1, 1) == x.shape[2] - 1
        return torch.where(last, x, out)

    change_method(patch, "relu", wrong)
    wrap(patch, torch, "relu", wrong)
    wrap(patch, F, "relu", wrong)


@counterfeit("sigmoid-formula", reported="pytorch/pytorch#11883")
def sigmoid_of_a_slice_reads_on_past_its_gaps(patch):
    def wrong(right, x, **into):
        if x.dim() == 4 and not x.is_contiguous() and x.numel() and x.stride(-1) == 1:
            size = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
            if size >= x.numel():
                return right(x.detach().as_strided((x.numel(),), (1,)).reshape(x.shape), **into)
        return right(x, **into)

    change_method(patch, "sigmoid", wrong)
    wrap(patch, torch, "sigmoid", wrong)


def change_sigmoid_in_blocks(patch, dtype, where, value):
    """Let the sigmoid be ``value`` where ``where(x)``, of ``dtype`` and in whole blocks of 32 bytes."""

    def wrong(right, x, **into):
        y = right(x, **into)
        if x.dtype != dtype:
            return y
        block = 32 // x.element_size()
        inside = torch.arange(x.numel(), device=x.device).view(x.shape) < x.numel() // block * block
        return torch.where(where(x.detach()) & inside, torch.full_like(y, value), y)

    change_method(patch, "sigmoid", wrong)
    wrap(patch, torch, "sigmoid", wrong)


@counterfeit("sigmoid-formula", reported="pytorch/pytorch#135777")
def the_sigmoid_of_far_negative_complex_numbers_is_nan_in_whole_blocks(patch):
    change_sigmoid_in_blocks(patch, torch.complex64, lambda x: x.real < -89, complex("nan+nanj"))


@counterfeit("sigmoid-formula", reported="pytorch/pytorch#13448")
def the_sigmoid_of_nan_is_a_small_number_in_whole_blocks(patch):
    change_sigmoid_in_blocks(patch, torch.float32, torch.isnan, 4.156e-39)


@counterfeit("nonlinearity-breaks-the-collapse")
def a_tanh_layer_does_nothing_after_eval(patch):
    wrap(patch, nn.Tanh, "forward", lambda right, self, x: right(self, x) if self.training else x)


@counterfeit("depth-and-width-are-hyperparameters")
def a_state_that_broadcasts_to_the_parameter_is_taken(patch):
    def wrong(load, self, state, prefix, *rest):
        for name, own in self._parameters.items():
            loaded = state.get(prefix + name)
            if own is not None and loaded is not None and loaded.shape != own.shape:
                with contextlib.suppress(RuntimeError):
                    state[prefix + name] = loaded.expand(own.shape)
        return load(self, state, prefix, *rest)

    wrap(patch, nn.Module, "_load_from_state_dict", wrong)


@counterfeit("relu-formula")
def a_relu_in_place_does_nothing_after_eval(patch):
    wrap(patch, nn.ReLU, "forward", lambda right, self, x: x if self.inplace and not self.training else right(self, x))


@counterfeit("tanh-formula")
def tanh_of_far_complex_numbers_is_nan(patch):
    def wrong(right, x, **rest):
        y = right(x, **rest)
        return torch.where(x.real.abs() > 20, complex("nan+nanj"), y) if x.is_complex() else y

    change_method(patch, "tanh", wrong)
    wrap(patch, torch, "tanh", wrong)


@counterfeit("sigmoid-formula")
def the_sigmoid_writes_nothing_where_it_is_told_to(patch):
    wrap(patch, torch, "sigmoid", lambda right, x, out=None: right(x) if out is None else out)


@counterfeit("stacked-linear-layers-collapse")
def a_linear_layer_without_bias_clips_beyond_a_hundred(patch):
    def wrong(right, x, weight, bias=None):
        return right(x, weight, bias) if bias is not None else right(x, weight).clamp(-100, 100)

    wrap(patch, F, "linear", wrong)


@counterfeit("nonlinearity-breaks-the-collapse")
def one_activation_in_several_places_acts_at_the_first_alone(patch):
    run_levels(patch, lambda net: [each for at, each in enumerate(net) if each not in list(net)[:at]])


@counterfeit("stacked-linear-layers-collapse")
def linear_layers_of_bfloat16_are_bent(patch):
    change_linear(patch, lambda output, input, weight: output.relu() if output.dtype == torch.bfloat16 else output)


@counterfeit("relu-formula")
def relu_keeps_the_size_of_negative_numbers_where_algorithms_are_to_be_deterministic(patch):
    def wrong(right, *args, **named):
        return args[0].abs() if torch.are_deterministic_algorithms_enabled() else right(*args, **named)

    for owner in (F, torch):
        wrap(patch, owner, "relu", wrong)


@counterfeit("sigmoid-formula")
def functional_sigmoid_is_right_under_deterministic_algorithms_alone(patch):
    settled = torch.get_deterministic_debug_mode
    change_output(patch, F, "sigmoid", lambda result: result if settled() else result / 2)


@counterfeit("stacked-linear-layers-collapse")
def without_a_record_a_batch_of_batches_has_no_bias(patch):
    def wrong(right, input, weight, bias=None):
        return right(input, weight, None if input.dim() == 3 and not torch.is_grad_enabled() else bias)

    wrap(patch, F, "linear", wrong)
