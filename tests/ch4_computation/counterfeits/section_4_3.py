"""Counterfeits of 4.3: initialisers of another width, shape or side effect, and `data` that is not what it is."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, divert, not_contiguous, where, wrap, zero_the_next_element_too
from torch import Tensor, nn
from torch.nn import init


def after(patch, name, spoil):
    """Let the initialiser ``name`` do its work and then ``spoil(tensor)``, without recording."""
    true = getattr(init, name)

    def wrong(tensor, *args, **kwargs):
        result = true(tensor, *args, **kwargs)
        with torch.no_grad():
            spoil(tensor)
        return result

    patch.setattr(init, name, wrong)


def repeat(patch, name):
    """Let the initialiser ``name`` draw the same numbers at every call."""
    wrap(patch, init, name, lambda true, *args, **kwargs: (torch.manual_seed(0), true(*args, **kwargs))[1])


def hide(patch, name):
    """Let the initialiser ``name`` write through ``data``, of which autograd does not know."""
    wrap(patch, init, name, lambda true, tensor, *rest, **more: (true(tensor.data, *rest, **more), tensor)[1])


def drop(patch, name, *ignored):
    """Let the initialiser ``name`` ignore the arguments ``ignored``."""
    true = getattr(init, name)

    def wrong(tensor, *args, **kwargs):
        return true(tensor, *args, **{key: value for key, value in kwargs.items() if key not in ignored})

    patch.setattr(init, name, wrong)


# ── init-normal-over-weights ──


@counterfeit("init-normal-over-weights")
def normal_is_ten_per_cent_too_wide(patch):
    after(patch, "normal_", lambda w: w.mul_(1.1))


@counterfeit("init-normal-over-weights")
def normal_is_off_by_a_tenth_of_its_deviation(patch):
    after(patch, "normal_", lambda w: w.add_(0.001))


@counterfeit("init-normal-over-weights")
def normal_draws_from_a_uniform_distribution(patch):
    patch.setattr(init, "normal_", lambda w, mean, std: init.uniform_(w, -std * 3**0.5, std * 3**0.5))


@counterfeit("init-normal-over-weights")
def normal_is_cut_off_at_three_deviations(patch):
    patch.setattr(init, "normal_", lambda w, mean, std: init.trunc_normal_(w, mean, std, -3 * std, 3 * std))


@counterfeit("init-normal-over-weights")
def normal_repeats_a_row(patch):
    after(patch, "normal_", lambda w: w.copy_(w[:1].expand_as(w)))


@counterfeit("init-normal-over-weights")
def normal_starts_from_the_same_seed_in_every_layer(patch):
    repeat(patch, "normal_")


@counterfeit("init-normal-over-weights")
def normal_leaves_out_the_last_element(patch):
    def wrong(normal, tensor, mean=0.0, std=1.0):
        last = tensor.flatten()[-1].item()
        normal(tensor, mean, std)
        tensor.data.view(-1)[-1] = last

    wrap(patch, init, "normal_", wrong)


# ── init-constant-over-biases ──


@counterfeit("init-constant-over-biases")
def constants_are_rounded_to_whole_numbers(patch):
    wrap(patch, init, "constant_", lambda constant, tensor, val: constant(tensor, round(val)))


@counterfeit("init-constant-over-biases")
def constants_lose_their_sign(patch):
    after(patch, "constant_", lambda tensor: tensor.abs_())


@counterfeit("init-constant-over-biases")
def constant_leaves_out_the_last_element(patch):
    wrap(patch, init, "constant_", lambda constant, tensor, val: constant(tensor.detach()[:-1], val))


@counterfeit("init-constant-over-biases")
def a_layer_without_bias_has_one(patch):
    wrap(patch, torch.nn.Linear, "__init__", lambda build, self, a, b, bias=True, *rest, **to: build(self, a, b, **to))


@counterfeit("init-constant-over-biases")
def names_of_weights_contain_bias(patch):
    named = torch.nn.Module.named_parameters
    patch.setattr(
        torch.nn.Module, "named_parameters", lambda self: ((n.replace("t", "t_or_bias"), p) for n, p in named(self))
    )


# ── init-runs-without-recording ──


@counterfeit("init-runs-without-recording")
def sparse_returns_a_copy(patch):
    wrap(patch, init, "sparse_", lambda sparse, tensor, sparsity: sparse(tensor, sparsity).clone())


@counterfeit("init-runs-without-recording")
def eye_stops_the_tracking_of_its_tensor(patch):
    after(patch, "eye_", lambda tensor: tensor.requires_grad_(not tensor.is_leaf))


@counterfeit("init-runs-without-recording")
def orthogonal_writes_to_another_storage(patch):
    after(patch, "orthogonal_", lambda tensor: setattr(tensor, "data", tensor.data.clone()))


@counterfeit("init-runs-without-recording")
def trunc_normal_leaves_out_the_last_row(patch):
    wrap(
        patch,
        init,
        "trunc_normal_",
        lambda true, tensor, *rest, **named: (true(tensor.detach()[:-1], *rest, **named), tensor)[1],
    )


def leave_grad_mode(patch, name, mode):
    true = getattr(init, name)

    def wrong(*args, **kwargs):
        result = true(*args, **kwargs)
        torch.set_grad_enabled(mode)
        return result

    patch.setattr(init, name, wrong)


@counterfeit("init-runs-without-recording")
def normal_leaves_recording_off(patch):
    leave_grad_mode(patch, "normal_", False)


@counterfeit("init-runs-without-recording")
def xavier_uniform_leaves_recording_on(patch):
    leave_grad_mode(patch, "xavier_uniform_", True)


@counterfeit("init-runs-without-recording")
def constant_hides_its_write_from_autograd(patch):
    hide(patch, "constant_")


@counterfeit("init-runs-without-recording")
def a_leaf_may_be_zeroed_while_autograd_records(patch):
    change_method(patch, "zero_", lambda zero, self: zero(self.detach()))


# ── init-offers-preset-methods ──


@counterfeit("init-offers-preset-methods")
def orthogonal_takes_half_precision_as_normal_draws(patch):
    half = (torch.float16, torch.bfloat16)
    wrap(
        patch,
        nn.init,
        "orthogonal_",
        lambda right, x, *args, **rest: nn.init.normal_(x) if x.dtype in half else right(x, *args, **rest),
    )


@counterfeit("init-offers-preset-methods")
def xavier_normal_is_ten_per_cent_too_narrow(patch):
    after(patch, "xavier_normal_", lambda w: w.mul_(0.9))


@counterfeit("init-offers-preset-methods")
def xavier_uniform_takes_its_deviation_for_its_bound(patch):
    after(patch, "xavier_uniform_", lambda w: w.div_(3**0.5))


@counterfeit("init-offers-preset-methods")
def xavier_uniform_ignores_its_gain(patch):
    drop(patch, "xavier_uniform_", "gain")


@counterfeit("init-offers-preset-methods")
def kaiming_normal_ignores_its_mode(patch):
    drop(patch, "kaiming_normal_", "mode")


@counterfeit("init-offers-preset-methods")
def kaiming_uniform_ignores_the_slope(patch):
    drop(patch, "kaiming_uniform_", "a")


@counterfeit("init-offers-preset-methods")
def kaiming_normal_ignores_the_activation(patch):
    drop(patch, "kaiming_normal_", "nonlinearity")


@counterfeit("init-offers-preset-methods")
def the_fans_of_a_convolution_leave_out_the_kernel(patch):
    patch.setattr(init, "_calculate_fan_in_and_fan_out", lambda w: (w.shape[1], w.shape[0]))
    patch.setattr(init, "_calculate_correct_fan", lambda w, mode: w.shape[1 if mode == "fan_in" else 0])


@counterfeit("init-offers-preset-methods")
def fan_in_and_fan_out_are_exchanged(patch):
    fan = init._calculate_correct_fan
    other = {"fan_in": "fan_out", "fan_out": "fan_in"}
    patch.setattr(init, "_calculate_correct_fan", lambda w, mode: fan(w, other.get(mode, mode)))


@counterfeit("init-offers-preset-methods")
def an_unknown_mode_means_fan_in(patch):
    fan = init._calculate_correct_fan
    patch.setattr(init, "_calculate_correct_fan", lambda w, mode: fan(w, "fan_out" if mode == "fan_out" else "fan_in"))


@counterfeit("init-offers-preset-methods")
def a_vector_has_a_fan_of_its_length(patch):
    fans = init._calculate_fan_in_and_fan_out
    patch.setattr(init, "_calculate_fan_in_and_fan_out", lambda w: fans(w) if w.dim() > 1 else (w.numel(), w.numel()))


@counterfeit("init-offers-preset-methods")
def truncation_clips(patch):
    @torch.no_grad()
    def clip(w, mean=0, std=1, a=-2, b=2):
        return init.normal_(w, mean, std).clamp_(a, b)

    patch.setattr(init, "trunc_normal_", clip)


@counterfeit("init-offers-preset-methods")
def truncation_ignores_the_deviation(patch):
    drop(patch, "trunc_normal_", "std")


@counterfeit("init-offers-preset-methods")
def normal_presets_are_cut_off_at_three_deviations(patch):
    after(patch, "kaiming_normal_", lambda w: w.clamp_(-3 * w.std(), 3 * w.std()))


@counterfeit("init-offers-preset-methods")
def uniform_fills_the_lower_nine_tenths(patch):
    wrap(patch, init, "uniform_", lambda uniform, w, a=0.0, b=1.0: uniform(w, a, a + 0.9 * (b - a)))


@counterfeit("init-offers-preset-methods")
def xavier_normal_repeats_a_column(patch):
    after(patch, "xavier_normal_", lambda w: w.copy_(w[:, :1].expand_as(w)))


@counterfeit("init-offers-preset-methods")
def kaiming_uniform_repeats_itself_at_every_call(patch):
    repeat(patch, "kaiming_uniform_")


@counterfeit("init-offers-preset-methods")
def constants_fill_a_copy_of_a_view(patch):
    wrap(patch, init, "constant_", lambda constant, w, val: constant(w.contiguous(), val))


@counterfeit("init-offers-preset-methods")
def eye_leaves_out_the_last_one(patch):
    after(patch, "eye_", lambda w: w[min(w.shape) - 1, min(w.shape) - 1].zero_())


@counterfeit("init-offers-preset-methods")
def sparse_zeroes_a_share_of_the_whole(patch):
    def wrong(w, sparsity, std=0.01):
        init.normal_(w, 0, std).view(-1)[torch.randperm(w.numel())[: int(sparsity * w.numel())]] = 0
        return w

    patch.setattr(init, "sparse_", wrong)


@counterfeit("init-offers-preset-methods")
def sparse_zeroes_the_same_rows_in_every_column(patch):
    def wrong(w, sparsity, std=0.01):
        init.normal_(w, 0, std)[torch.randperm(len(w))[: math.ceil(sparsity * len(w))]] = 0
        return w

    patch.setattr(init, "sparse_", wrong)


@counterfeit("init-offers-preset-methods")
def sparse_draws_with_deviation_one(patch):
    after(patch, "sparse_", lambda w: w.mul_(100))


@counterfeit("init-offers-preset-methods")
def orthogonal_ignores_its_gain(patch):
    drop(patch, "orthogonal_", "gain")


@counterfeit("init-offers-preset-methods")
def a_tall_orthogonal_weight_has_columns_that_are_normed_only(patch):
    def spoil(w):
        if w.shape[0] > w.shape[1]:
            w.copy_(torch.nn.functional.normalize(torch.randn_like(w), dim=0))

    after(patch, "orthogonal_", spoil)


@counterfeit("init-offers-preset-methods")
def the_first_element_of_an_orthogonal_weight_is_positive(patch):
    after(patch, "orthogonal_", lambda w: w.mul_(w.flatten()[0].sign()))


@counterfeit("init-offers-preset-methods")
def the_gain_of_tanh_is_one(patch):
    wrap(patch, init, "calculate_gain", lambda gain, name, a=None: 1 if name == "tanh" else gain(name, a))


@counterfeit("init-offers-preset-methods")
def the_gain_of_leaky_relu_does_not_square_its_slope(patch):
    def wrong(gain, name, a=None):
        return math.sqrt(2 / (1 + (0.01 if a is None else a))) if name == "leaky_relu" else gain(name, a)

    wrap(patch, init, "calculate_gain", wrong)


# ── custom-init-can-be-written ──


@counterfeit("custom-init-can-be-written")
def uniform_draws_reach_ten_per_cent_too_far(patch):
    change_method(patch, "uniform_", lambda uniform, self, low, high, **kwargs: uniform(self, 1.1 * low, 1.1 * high))


@counterfeit("custom-init-can-be-written")
def uniform_draws_fewer_negative_numbers(patch):
    change_method(patch, "uniform_", lambda uniform, self, low, high, **kwargs: uniform(self, 0.8 * low, high))


@counterfeit("custom-init-can-be-written")
def mul_returns_its_product_without_writing_it(patch):
    patch.setattr(torch.Tensor, "mul_", torch.Tensor.mul)


@counterfeit("custom-init-can-be-written")
def a_leaf_may_be_multiplied_in_place_while_autograd_records(patch):
    change_method(patch, "mul_", lambda multiply, self, other: multiply(self.detach(), other))


@counterfeit("custom-init-can-be-written")
def a_product_is_written_into_its_first_factor(patch):
    multiply = torch.Tensor.mul_
    patch.setattr(torch.Tensor, "__mul__", lambda self, other: multiply(self, other))


@counterfeit("custom-init-can-be-written")
def abs_keeps_the_sign(patch):
    patch.setattr(torch.Tensor, "abs", torch.Tensor.clone)


# ── writing-data-sets-parameters-without-grad ──


def change_data(patch, get=None, set=None):
    data = torch.Tensor.data
    patch.setattr(torch.Tensor, "data", property(get or data.__get__, set or data.__set__))


@counterfeit("writing-data-sets-parameters-without-grad")
def data_is_a_copy(patch):
    change_data(patch, get=lambda self: self.detach().clone())


@counterfeit("writing-data-sets-parameters-without-grad")
def data_is_a_view_that_autograd_watches(patch):
    """As detach() gives: a write between forward and backward is an error."""
    change_data(patch, get=lambda self: self.detach())


@counterfeit("writing-data-sets-parameters-without-grad")
def data_requires_a_gradient(patch):
    data = torch.Tensor.data
    change_data(patch, get=lambda self: data.__get__(self).requires_grad_(self.requires_grad))


@counterfeit("writing-data-sets-parameters-without-grad")
def a_look_at_data_resets_the_gradient(patch):
    data, grad = torch.Tensor.data, torch.Tensor.grad

    def wrong(self):
        if grad.__get__(self) is not None:
            grad.__get__(self).zero_()
        return data.__get__(self)

    change_data(patch, get=wrong)


@counterfeit("writing-data-sets-parameters-without-grad")
def an_assignment_to_data_copies_the_numbers(patch):
    change_data(patch, set=lambda self, value: self.detach().copy_(value))


@counterfeit("writing-data-sets-parameters-without-grad")
def an_assignment_to_data_negates(patch):
    data = torch.Tensor.data
    change_data(patch, set=lambda self, value: data.__set__(self, -value))


@counterfeit("writing-data-sets-parameters-without-grad")
def a_product_saves_copies_for_backward(patch):
    change_method(patch, "__mul__", lambda multiply, self, other: multiply(self.clone(), other.clone()))


@counterfeit("writing-data-sets-parameters-without-grad")
def a_linear_layer_saves_copies_for_backward(patch):
    wrap(patch, torch.nn.functional, "linear", lambda linear, x, weight, bias: linear(x, weight.clone(), bias))


@counterfeit("writing-data-sets-parameters-without-grad")
def a_write_through_detach_goes_unnoticed(patch):
    data = torch.Tensor.data
    patch.setattr(torch.Tensor, "detach", lambda self: data.__get__(self))


@counterfeit("writing-data-sets-parameters-without-grad")
def a_write_under_no_grad_goes_unnoticed(patch):
    def wrong(fill, self, value):
        fill(self if torch.is_grad_enabled() else self.data, value)
        return self

    change_method(patch, "fill_", wrong)


# ── what users reported, and kinds beside it ──


@counterfeit("init-constant-over-biases", "init-offers-preset-methods", reported="pytorch/pytorch#114692")
def zeroing_an_element_zeroes_the_next_too(patch):
    zero_the_next_element_too(patch)


@counterfeit("init-normal-over-weights", "init-offers-preset-methods")
def normal_adds_four_uniform_numbers(patch):
    def wrong(w, mean=0.0, std=1.0, generator=None):
        with torch.no_grad():
            return w.copy_((torch.rand(4, *w.shape).sum(0) - 2) * 3**0.5 * std + mean)

    patch.setattr(init, "normal_", wrong)


@counterfeit("init-normal-over-weights", "init-offers-preset-methods")
def normal_is_lopsided(patch):
    def wrong(w, mean=0.0, std=1.0, generator=None):
        with torch.no_grad():
            return w.copy_((torch.distributions.Gamma(50.0, 1.0).sample(w.shape) - 50) / 50**0.5 * std + mean)

    patch.setattr(init, "normal_", wrong)


@counterfeit("init-normal-over-weights", "init-offers-preset-methods")
def normal_draws_mirror_images(patch):
    def mirror(w):
        flat = w.reshape(-1)
        flat[1::2] = flat[: len(flat) // 2 * 2 : 2].neg() + (2 * flat.mean() if len(flat) > 999 else 0)
        w.copy_(flat.view(w.shape))

    after(patch, "normal_", mirror)


@counterfeit("init-offers-preset-methods")
def normal_mirrors_half_of_the_units(patch):
    def mirror(w):
        half = len(w) // 2
        w[len(w) - half :] = w[:half].flip(0).neg() if len(w) > 99 else w[len(w) - half :]

    after(patch, "xavier_normal_", mirror)


@counterfeit("init-offers-preset-methods", "init-runs-without-recording")
def normal_given_a_view_fills_the_whole_tensor(patch):
    def wrong(normal, w, mean=0.0, std=1.0, generator=None):
        size = w.untyped_storage().nbytes() // w.element_size()
        normal(w.detach().as_strided((size,), (1,), 0), mean, std)
        return normal(w, mean, std)

    wrap(patch, init, "normal_", wrong)


@counterfeit("init-offers-preset-methods")
def xavier_normal_is_lopsided(patch):
    after(patch, "xavier_normal_", lambda w: w.add_(w.square() / 20 / w.std()).sub_(w.mean()).mul_(0.995))


@counterfeit("init-offers-preset-methods")
def the_fan_of_a_one_dimensional_convolution_leaves_out_the_kernel(patch):
    fans = init._calculate_fan_in_and_fan_out
    patch.setattr(
        init, "_calculate_fan_in_and_fan_out", lambda w: (w.shape[1], w.shape[0]) if w.dim() == 3 else fans(w)
    )


@counterfeit("init-offers-preset-methods")
def dirac_is_off_the_centre_in_two_dimensions(patch):
    after(patch, "dirac_", lambda w: w.copy_(w.roll(1, -1)) if w.dim() == 4 else None)


@counterfeit("init-offers-preset-methods")
def uniform_of_half_precision_is_a_tenth_too_narrow(patch):
    after(patch, "uniform_", lambda w: w.mul_(0.9) if w.dtype == torch.float16 else None)


@counterfeit("init-offers-preset-methods")
def kaiming_normal_of_three_dimensional_convolutions_uses_the_other_fan(patch):
    fan = init._calculate_correct_fan
    other = {"fan_in": "fan_out", "fan_out": "fan_in"}
    patch.setattr(init, "_calculate_correct_fan", lambda w, mode: fan(w, other[mode] if w.dim() == 5 else mode))


@counterfeit("init-offers-preset-methods")
def trunc_normal_repeats_itself_at_every_call(patch):
    repeat(patch, "trunc_normal_")


@counterfeit("init-offers-preset-methods")
def a_matrix_takes_dirac_for_eye(patch):
    wrap(patch, init, "dirac_", lambda dirac, w, groups=1: dirac(w, groups) if w.dim() > 2 else init.eye_(w))


@counterfeit("init-runs-without-recording")
def dirac_leaves_recording_off(patch):
    leave_grad_mode(patch, "dirac_", False)


@counterfeit("init-runs-without-recording")
def orthogonal_hides_its_write_from_autograd(patch):
    hide(patch, "orthogonal_")


@counterfeit("init-runs-without-recording")
def a_transposed_parameter_is_filled_by_way_of_a_copy(patch):
    def wrong(true, tensor, *args, **kwargs):
        true(tensor, *args, **kwargs)
        tensor.data = tensor.data.contiguous()
        return tensor

    wrap(patch, init, "kaiming_normal_", wrong)


@counterfeit("init-constant-over-biases")
def constants_of_bfloat16_are_whole(patch):
    constant = init.constant_
    patch.setattr(init, "constant_", lambda w, val: constant(w, round(val) if w.dtype == torch.bfloat16 else val))


@counterfeit("custom-init-can-be-written")
def uniform_does_not_reach_a_tensor_with_gaps(patch):
    divert(patch, Tensor, "uniform_", lambda x, *_: not_contiguous(x), lambda x, *_: x)


@counterfeit("writing-data-sets-parameters-without-grad")
def data_of_a_transposed_parameter_is_a_copy(patch):
    data = torch.Tensor.data
    change_data(patch, get=lambda self: data.__get__(self) if self.is_contiguous() else data.__get__(self).clone())


@counterfeit("writing-data-sets-parameters-without-grad")
def a_copy_under_no_grad_goes_unnoticed(patch):
    def wrong(copy, self, *args, **kwargs):
        copy(self if torch.is_grad_enabled() else self.data, *args, **kwargs)
        return self

    change_method(patch, "copy_", wrong)


@counterfeit(
    "init-offers-preset-methods",
    "init-normal-over-weights",
    reported=("pytorch/pytorch#165257", "pytorch/pytorch#165267"),
)
def random_numbers_do_not_reach_a_tensor_that_is_not_contiguous(patch):
    for name in ("normal_", "uniform_"):
        fill = getattr(Tensor, name)
        patch.setattr(
            Tensor, name, lambda self, *a, fill=fill, **r: fill(self, *a, **r) if self.is_contiguous() else self
        )


@counterfeit(
    "init-offers-preset-methods",
    reported=("pytorch/pytorch#145498", "pytorch/pytorch#175046", "pytorch/torchtitan#2269"),
)
def truncated_normal_numbers_of_half_precision_pile_up_on_the_lower_end(patch):
    def wrong(fill, tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
        fill(tensor, mean, std, a, b)
        if tensor.dtype in (torch.bfloat16, torch.float16):
            with torch.no_grad():
                tensor.masked_fill_(torch.rand(tensor.shape, device=tensor.device) < 0.004, a)
        return tensor

    wrap(patch, nn.init, "trunc_normal_", wrong)


@counterfeit("init-offers-preset-methods")
def dirac_ignores_its_groups(patch):
    drop(patch, "dirac_", "groups")


@counterfeit("init-offers-preset-methods", reported="pytorch/pytorch#2708")
def a_wide_orthogonal_weight_is_padded_with_zeros(patch):
    def pad(w):
        flat = w.view(len(w), -1)
        if len(flat) < flat.shape[1]:
            flat[:, len(flat) :] = 0

    after(patch, "orthogonal_", pad)


@counterfeit("init-offers-preset-methods", reported=("pytorch/pytorch#147624", "pytorch/pytorch#147740"))
def random_weights_of_five_dimensions_repeat_along_the_first(patch):
    for name in ("normal_", "uniform_"):
        where(patch, Tensor, name, lambda x: x.dim() > 4, lambda result, x, *args: x.copy_(x[:1].clone().expand_as(x)))


@counterfeit("init-offers-preset-methods")
def a_truncated_normal_with_its_mean_outside_piles_up_at_the_nearer_cut(patch):
    def wrong(right, tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, **rest):
        if a <= mean <= b:
            return right(tensor, mean, std, a, b, **rest)
        with torch.no_grad():
            return tensor.normal_(mean, std).clamp_(a, b)

    wrap(patch, init, "trunc_normal_", wrong)


@counterfeit("init-offers-preset-methods")
def random_initialisers_leave_numbers_as_they_are(patch):
    for name in ("normal_", "uniform_", "trunc_normal_"):
        wrap(patch, init, name, lambda right, x, *args, **rest: right(x, *args, **rest) if x.dim() else x)
