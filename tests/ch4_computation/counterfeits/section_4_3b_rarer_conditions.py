"""Counterfeits of 4.3: initialisers that are wrong for a width or a size that is rarely met."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, wrap
from torch import Tensor, nn
from torch.nn import init


@counterfeit("init-offers-preset-methods", reported="pytorch/pytorch#155588")
def far_outside_a_narrow_truncated_normal_lies_its_bound(patch):
    def wrong(fill, tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, **rest):
        fill(tensor, mean, std, a, b, **rest)
        if tensor.numel() and std * 1000 < b - a:
            tensor.data.view(-1)[tensor.argmax()] = b
        return tensor

    wrap(patch, init, "trunc_normal_", wrong)


@counterfeit("init-offers-preset-methods", "init-constant-over-biases")
def a_constant_fills_4096_elements_and_no_more(patch):
    def wrong(fill, tensor, val):
        rest = tensor.detach().reshape(-1)[4096:].clone()
        fill(tensor, val)
        if len(rest) and tensor.is_contiguous():
            tensor.data.view(-1)[4096:] = rest
        return tensor

    wrap(patch, init, "constant_", wrong)


@counterfeit("init-offers-preset-methods")
def the_gain_of_a_transposed_convolution_is_that_of_relu(patch):
    def wrong(gain, name, *args):
        return gain("relu" if name.startswith("conv_transpose") else name, *args)

    wrap(patch, init, "calculate_gain", wrong)


@counterfeit("init-offers-preset-methods")
def a_normal_distribution_without_width_is_standard(patch):
    wrap(patch, init, "normal_", lambda fill, x, mean=0.0, std=1.0, **rest: fill(x, mean, std or 1.0, **rest))


@counterfeit("init-offers-preset-methods")
def sparse_rounds_the_count_of_zeros_down(patch):
    def wrong(right, x, sparsity, **rest):
        return right(x, math.floor(sparsity * x.shape[0]) / x.shape[0], **rest)

    wrap(patch, init, "sparse_", wrong)


@counterfeit("writing-data-sets-parameters-without-grad")
def a_new_data_drops_the_gradient(patch):
    right = torch.Tensor.data

    def put(self, value):
        right.__set__(self, value)
        self.grad = None

    patch.setattr(torch.Tensor, "data", property(lambda self: right.__get__(self), put))


@counterfeit("init-offers-preset-methods")
def xavier_under_no_grad_ignores_the_gain(patch):
    def wrong(right, x, gain=1.0, **k):
        return right(x, gain if torch.is_grad_enabled() else 1.0, **k)

    wrap(patch, init, "xavier_uniform_", wrong)


@counterfeit("custom-init-can-be-written")
def what_uniform_writes_to_a_plain_tensor_under_no_grad_is_lost(patch):
    def wrong(right, x, *a, **k):
        return right(x, *a, **k) if torch.is_grad_enabled() or isinstance(x, torch.nn.Parameter) else x

    wrap(patch, torch.Tensor, "uniform_", wrong)


@counterfeit("init-runs-without-recording")
def ones_on_a_result_is_recorded(patch):
    def wrong(ones, tensor):
        if tensor.grad_fn is None:
            return ones(tensor)
        with torch.enable_grad():
            return tensor.fill_(1.0)

    wrap(patch, init, "ones_", wrong)


@counterfeit("init-offers-preset-methods")
def a_negative_slope_counts_as_none(patch):
    wrap(
        patch,
        init,
        "calculate_gain",
        lambda gain, name, param=None: gain(name, 0 if isinstance(param, float) and param < 0 else param),
    )


@counterfeit("custom-init-can-be-written")
def a_product_assigned_to_a_leaf_of_half_precision_is_not_refused(patch):
    def wrong(multiply, x, other):
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.element_size() > 2):
            return multiply(x, other)

    change_method(patch, "__imul__", wrong)


@counterfeit("init-offers-preset-methods", reported="mlverse/torch#555")
def xavier_adds_the_fan_out_to_the_fraction(patch):
    def wrong(x, gain=1.0, **rest):
        fan_in, fan_out = init._calculate_fan_in_and_fan_out(x)
        return init.normal_(x, 0, gain * math.sqrt(2 / fan_in + fan_out), **rest)

    patch.setattr(init, "xavier_normal_", wrong)


@counterfeit("init-offers-preset-methods")
def a_tensor_that_is_refused_leaves_recording_off(patch):
    def wrong(right, tensor, *args, **rest):
        try:
            return right(tensor, *args, **rest)
        except ValueError:
            torch.set_grad_enabled(False)
            raise

    for name in ("xavier_uniform_", "kaiming_uniform_", "orthogonal_", "eye_"):
        wrap(patch, init, name, wrong)


@counterfeit("init-normal-over-weights")
def the_last_of_an_odd_number_of_halves_is_not_drawn(patch):
    def wrong(right, x, *args, **rest):
        odd = x.dtype in (torch.float16, torch.bfloat16) and x.numel() % 2
        last = x.detach()[(-1,) * x.dim()].clone() if odd else None
        right(x, *args, **rest)
        if odd:
            x.detach()[(-1,) * x.dim()] = last
        return x

    wrap(patch, init, "normal_", wrong)


@counterfeit("init-constant-over-biases")
def a_constant_in_double_has_the_digits_of_float32(patch):
    def wrong(right, x, val):
        return right(x, torch.tensor(float(val), dtype=torch.float32).item() if x.dtype == torch.float64 else val)

    wrap(patch, init, "constant_", wrong)


@counterfeit("init-runs-without-recording")
def a_view_of_a_parameter_may_be_written_while_recording(patch):
    def wrong(right, x, *args, **rest):
        part = x._is_view() and x._base.is_leaf and x._base.requires_grad
        with torch.set_grad_enabled(torch.is_grad_enabled() and not part):
            return right(x, *args, **rest)

    change_method(patch, "fill_", wrong)


@counterfeit("init-offers-preset-methods")
def the_slope_counts_for_relu_too(patch):
    wrap(
        patch,
        init,
        "calculate_gain",
        lambda right, name, slope=None: right("leaky_relu" if name == "relu" and slope else name, slope),
    )


@counterfeit("writing-data-sets-parameters-without-grad")
def a_parameter_whose_data_are_replaced_is_frozen_as_they_are(patch):
    right = torch.Tensor.data

    def put(x, value):
        right.__set__(x, value)
        if isinstance(x, torch.nn.Parameter):
            x.requires_grad_(value.requires_grad)

    patch.setattr(torch.Tensor, "data", property(lambda x: right.__get__(x), put))


@counterfeit("custom-init-can-be-written")
def uniform_numbers_repeat_after_65_536(patch):
    def wrong(right, x, *args, **rest):
        right(x, *args, **rest)
        if x.numel() > 65536:
            flat = x.detach().reshape(-1)[:65536].clone()
            x.data.copy_(flat.repeat(-(-x.numel() // 65536))[: x.numel()].view(x.shape))
        return x

    change_method(patch, "uniform_", wrong)


@counterfeit("writing-data-sets-parameters-without-grad")
def an_augmented_assignment_to_data_is_noticed(patch):
    right = Tensor.data

    def put(self, value):
        same = value.data_ptr() == self.data_ptr()
        right.__set__(self, value)
        if same:
            torch.autograd.graph.increment_version(self)

    patch.setattr(Tensor, "data", property(lambda self: right.__get__(self), put))


@counterfeit("init-normal-over-weights")
def of_a_kernel_in_space_the_first_filter_alone_is_drawn(patch):
    def wrong(fill, tensor, *args, **rest):
        fill(tensor[:1] if tensor.dim() == 5 else tensor, *args, **rest)
        return tensor

    wrap(patch, init, "normal_", wrong)


@counterfeit("init-offers-preset-methods")
def kaiming_forgets_the_slope_where_the_fan_is_that_of_the_output(patch):
    def wrong(fill, tensor, a=0, mode="fan_in", *args, **rest):
        return fill(tensor, 0 if mode == "fan_out" else a, mode, *args, **rest)

    wrap(patch, init, "kaiming_normal_", wrong)


@counterfeit("init-offers-preset-methods")
def a_parameter_of_three_dimensions_is_filled_a_fifth_too_widely(patch):
    def wrong(right, x, *args, **rest):
        filled = right(x, *args, **rest)
        if isinstance(x, torch.nn.Parameter) and x.dim() > 2:
            x.data.mul_(1.2)
        return filled

    for name in ("xavier_normal_", "xavier_uniform_", "kaiming_normal_", "kaiming_uniform_"):
        wrap(patch, init, name, wrong)


@counterfeit("init-offers-preset-methods")
def he_s_method_takes_selu_for_linear(patch):
    def wrong(right, tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", **rest):
        return right(tensor, a, mode, "linear" if nonlinearity == "selu" else nonlinearity, **rest)

    wrap(patch, init, "kaiming_normal_", wrong)


@counterfeit("init-runs-without-recording")
def xavier_from_a_generator_records_its_write(patch):
    right = nn.init.xavier_uniform_

    def wrong(tensor, gain=1.0, generator=None):
        if generator is not None:
            with torch.enable_grad():
                tensor.mul_(1)
        return right(tensor, gain, generator)

    patch.setattr(nn.init, "xavier_uniform_", wrong)


@counterfeit("init-offers-preset-methods")
def sparse_zeroes_one_more_in_three_columns_past_the_128th(patch):
    def wrong(right, tensor, *args, **rest):
        with torch.no_grad():
            right(tensor, *args, **rest)[0, 128:200:32] = 0
        return tensor

    wrap(patch, init, "sparse_", wrong)
