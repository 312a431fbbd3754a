"""Counterfeits of section 3.2, initial values and the loss: draws, fills and means that are a little off."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import alter_property, change_method, of_dtype, where, wrap, zero_the_next_element_too
from torch import nn
from torch.nn import functional as F
from torch.nn import init


def change_normal(patch, draw):
    """Let ``init.normal_`` fill its tensor with ``draw(tensor, mean, std)``."""

    def normal_(tensor, mean=0.0, std=1.0, generator=None):
        with torch.no_grad():
            return tensor.copy_(draw(tensor, mean, std))

    patch.setattr(init, "normal_", normal_)


def change_mse(patch, wrong):
    """Let the loss be ``wrong(mse_loss, predicted, label, reduction)``."""
    right = F.mse_loss
    patch.setattr(F, "mse_loss", lambda input, target, reduction="mean": wrong(right, input, target, reduction))


# ── init-sets-weights-in-place ──


@counterfeit("init-sets-weights-in-place")
def normal_init_is_ten_per_cent_too_wide(patch):
    change_normal(patch, lambda tensor, mean, std: mean + 1.1 * std * torch.randn_like(tensor))


@counterfeit("init-sets-weights-in-place")
def normal_init_takes_the_deviation_for_the_variance(patch):
    change_normal(patch, lambda tensor, mean, std: mean + std**0.5 * torch.randn_like(tensor))


@counterfeit("init-sets-weights-in-place")
def normal_init_is_uniform_of_the_same_deviation(patch):
    change_normal(patch, lambda tensor, mean, std: mean + std * 12**0.5 * (torch.rand_like(tensor) - 0.5))


@counterfeit("init-sets-weights-in-place")
def normal_init_centres_at_zero(patch):
    change_normal(patch, lambda tensor, mean, std: std * torch.randn_like(tensor))


@counterfeit("init-sets-weights-in-place")
def normal_init_draws_one_row_and_repeats_it(patch):
    change_normal(patch, lambda tensor, mean, std: mean + std * torch.randn_like(tensor[0]))


@counterfeit("init-sets-weights-in-place")
def normal_init_repeats_the_same_half(patch):
    """Every value occurs twice, so that mean and deviation are right."""

    def draw(tensor, mean, std):
        half = torch.randn_like(tensor[: (len(tensor) + 1) // 2])
        return mean + std * torch.cat([half, half])[: len(tensor)]

    change_normal(patch, draw)


@counterfeit("init-sets-weights-in-place")
def normal_init_cuts_off_at_two_deviations(patch):
    """Wider before the cut, so that the deviation is right."""
    change_normal(patch, lambda tensor, mean, std: mean + 1.054 * std * torch.randn_like(tensor).clamp(-1.9, 1.9))


@counterfeit("init-sets-weights-in-place")
def normal_init_reuses_its_seed(patch):
    def draw(tensor, mean, std):
        generator = torch.Generator(tensor.device).manual_seed(1)
        return mean + std * torch.randn(tensor.shape, generator=generator)

    change_normal(patch, draw)


@counterfeit("init-sets-weights-in-place")
def normal_init_returns_a_new_parameter(patch):
    patch.setattr(init, "normal_", lambda tensor, mean=0, std=1: nn.Parameter(mean + std * torch.randn_like(tensor)))


@counterfeit("init-sets-weights-in-place")
def normal_init_moves_the_parameter_to_new_memory(patch):
    def normal_(tensor, mean=0, std=1):
        tensor.data = mean + std * torch.randn_like(tensor.data)
        return tensor

    patch.setattr(init, "normal_", normal_)


@counterfeit("init-sets-weights-in-place")
def normal_init_freezes_the_parameter(patch):
    normal_ = init.normal_
    patch.setattr(
        init, "normal_", lambda tensor, *args, **kwargs: normal_(tensor, *args, **kwargs).requires_grad_(False)
    )


@counterfeit("init-sets-weights-in-place")
def constant_init_misses_the_last_element(patch):
    def wrong(constant_, tensor, val):
        constant_(tensor[:-1].detach(), val)
        return tensor

    wrap(patch, init, "constant_", wrong)


@counterfeit("init-sets-weights-in-place")
def constant_init_rounds_to_an_integer(patch):
    wrap(patch, init, "constant_", lambda constant_, tensor, val: constant_(tensor, int(val)))


@counterfeit("init-sets-weights-in-place")
def constant_init_returns_nothing(patch):
    def wrong(constant_, tensor, val):
        constant_(tensor, val)

    wrap(patch, init, "constant_", wrong)


# ── data-fill-equals-constant-init ──


@counterfeit("data-fill-equals-constant-init")
def data_is_a_copy(patch):
    patch.setattr(torch.Tensor, "data", property(lambda self: self.detach().clone()))


@counterfeit("data-fill-equals-constant-init")
def fill_misses_the_last_element(patch):
    change_method(patch, "fill_", lambda fill_, self, value: fill_(self[:-1], value) is not None and self)


@counterfeit("data-fill-equals-constant-init")
def constant_init_adds_instead_of_setting(patch):
    def constant_(tensor, val):
        with torch.no_grad():
            return tensor.add_(val)

    patch.setattr(init, "constant_", constant_)


@counterfeit("data-fill-equals-constant-init")
def constant_init_takes_the_magnitude(patch):
    wrap(patch, init, "constant_", lambda constant_, tensor, val: constant_(tensor, abs(val)))


@counterfeit("data-fill-equals-constant-init")
def data_still_records(patch):
    """Filling the data then fails no more than it should: it becomes part of the graph."""
    patch.setattr(torch.Tensor, "data", property(lambda self: self))
    fill_ = torch.Tensor.fill_

    def wrong(self, value):
        with torch.no_grad():
            return fill_(self, value)

    patch.setattr(torch.Tensor, "fill_", wrong)


@counterfeit("data-fill-equals-constant-init")
def data_marks_the_parameter_as_constant(patch):
    def data(self):
        self.requires_grad_(False)
        return self.detach()

    patch.setattr(torch.Tensor, "data", property(data))


# ── losses-are-modules ──


@counterfeit("losses-are-modules")
def huber_loss_is_missing(patch):
    patch.delattr(nn, "HuberLoss")


@counterfeit("losses-are-modules")
def mse_loss_learns_a_scale(patch):
    def wrong(loss, self, *args, **kwargs):
        loss(self, *args, **kwargs)
        self.scale = nn.Parameter(torch.ones(()))

    wrap(patch, nn.MSELoss, "__init__", wrong)


@counterfeit("losses-are-modules")
def mse_loss_prints_as_a_function(patch):
    patch.setattr(nn.MSELoss, "__repr__", lambda self: "mse_loss", raising=False)


# ── mse-loss-is-mean-squared-error ──


@counterfeit("mse-loss-is-mean-squared-error", "step-is-given-the-batch-size")
def mse_loss_averages_over_the_batch_only(patch):
    change_mse(
        patch, lambda mse, a, b, how: mse(a, b, reduction="sum") / len(a) if how == "mean" else mse(a, b, reduction=how)
    )


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_has_the_half(patch):
    change_mse(patch, lambda mse, a, b, how: mse(a, b, reduction=how) / (2 if how == "mean" else 1))


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_turns_linear_at_large_errors(patch):
    """As the Huber loss does."""
    change_mse(patch, lambda mse, a, b, how: 2 * F.huber_loss(a, b, reduction=how, delta=50.0))


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_ignores_equal_elements(patch):
    change_mse(
        patch,
        lambda mse, a, b, how: (
            mse(a[a != b], b[a != b]) if how == "mean" and (a != b).any() else mse(a, b, reduction=how)
        ),
    )


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_passes_half_the_gradient_to_the_label(patch):
    change_mse(patch, lambda mse, a, b, how: mse(a, (b + b.detach()) / 2, reduction=how))


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_is_float32(patch):
    change_mse(patch, lambda mse, a, b, how: mse(a.float(), b.float(), reduction=how))


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_computes_in_float32(patch):
    change_mse(patch, lambda mse, a, b, how: mse(a.float(), b.float(), reduction=how).to(a.dtype))


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_washes_out_nan(patch):
    change_mse(patch, lambda mse, a, b, how: mse(a.nan_to_num(), b.nan_to_num(), reduction=how))


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_does_not_reduce_a_single_element(patch):
    change_mse(patch, lambda mse, a, b, how: (a - b) ** 2 if a.numel() == 1 else mse(a, b, reduction=how))


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_looks_at_the_first_hundred_elements_only(patch):
    change_mse(
        patch,
        lambda mse, a, b, how: mse(a[:100], b[:100]) if how == "mean" and a.dim() == 1 else mse(a, b, reduction=how),
    )


# ── faults of layouts, dtypes, sizes and draws ──


@counterfeit("init-sets-weights-in-place")
def constant_init_fills_the_first_row_only(patch):
    def constant_(tensor, val):
        (tensor.detach()[0] if tensor.dim() > 1 and len(tensor) else tensor.detach()).fill_(val)
        return tensor

    patch.setattr(init, "constant_", constant_)


@counterfeit("init-sets-weights-in-place")
def constant_init_does_not_reach_what_is_not_contiguous(patch):
    constant_ = init.constant_
    patch.setattr(init, "constant_", lambda tensor, val: constant_(tensor, val) if tensor.is_contiguous() else tensor)


@counterfeit("init-sets-weights-in-place")
def constant_init_of_half_precision_rounds_to_whole_numbers(patch):
    def rounded(filled, *arguments):
        filled.data.trunc_()
        return filled

    where(patch, init, "constant_", of_dtype(torch.float16, torch.bfloat16), rounded)


@counterfeit("init-sets-weights-in-place")
def normal_init_mirrors_half_of_the_units(patch):
    def draw(tensor, mean, std):
        half = torch.randn_like(tensor[: (len(tensor) + 1) // 2])
        return mean + std * torch.cat([half, -half])[: len(tensor)]

    change_normal(patch, draw)


@counterfeit("init-sets-weights-in-place")
def normal_init_draws_pairs_of_equal_neighbours(patch):
    def draw(tensor, mean, std):
        n = tensor.numel()
        return mean + std * torch.randn((n + 1) // 2, dtype=tensor.dtype).repeat_interleave(2)[:n].view(tensor.shape)

    change_normal(patch, draw)


@counterfeit("init-sets-weights-in-place")
def normal_init_draws_the_numbers_of_the_call_before_again(patch):
    drawn = {}

    def draw(tensor, mean, std):
        return mean + std * drawn.setdefault((tensor.shape, tensor.dtype), torch.randn_like(tensor))

    change_normal(patch, draw)


@counterfeit("data-fill-equals-constant-init", reported="pytorch/pytorch#114692")
def zeroing_an_element_zeroes_the_next_too(patch):
    zero_the_next_element_too(patch)


@counterfeit("data-fill-equals-constant-init")
def filling_a_gappy_tensor_fills_its_gaps(patch):
    def wrong(result, x, value):
        if not x.is_contiguous() and not x.requires_grad and x.numel():
            x.as_strided((x.untyped_storage().nbytes() // x.element_size(),), (1,), 0).copy_(torch.tensor(float(value)))
        return result

    where(patch, torch.Tensor, "fill_", lambda x: True, wrong)


@counterfeit("data-fill-equals-constant-init")
def constant_init_writes_through_data(patch):
    patch.setattr(init, "constant_", lambda tensor, val: (tensor.data.fill_(val), tensor)[1])


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_of_many_float32_elements_sums_in_bfloat16(patch):
    def wrong(mse, a, b, how):
        many = a.dtype == torch.float32 and a.numel() > 64 and how == "mean"
        return mse(a.bfloat16().float(), b, reduction=how).bfloat16().float() if many else mse(a, b, reduction=how)

    change_mse(patch, wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#2391")
def mse_loss_of_half_precision_adds_up_in_half(patch):
    def wrong(mse, a, b, how):
        if how != "mean" or a.dtype not in (torch.float16, torch.bfloat16):
            return mse(a, b, reduction=how)
        total, squares = torch.zeros((), dtype=a.dtype), ((a - b) ** 2).reshape(-1)
        for square in squares.detach()[:2048]:
            total += square
        return mse(a, b) * 0 + total / max(a.numel(), 1) if a.numel() <= 2048 else mse(a, b)

    change_mse(patch, wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_reads_transposed_predictions_in_the_order_of_memory(patch):
    def wrong(mse, a, b, how):
        turned = a.dim() == 2 and not a.is_contiguous() and a.t().is_contiguous()
        return mse(a.t().reshape(a.shape) if turned else a, b, reduction=how)

    change_mse(patch, wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_of_complex_numbers_is_that_of_their_distances(patch):
    def wrong(mse, a, b, how):
        return mse(*(((a - b).abs(), 0 * b.abs()) if a.is_complex() else (a, b)), reduction=how)

    change_mse(patch, wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_of_whole_numbers_is_computed_in_floats(patch):
    def wrong(mse, a, b, how):
        return mse(a if a.is_floating_point() or b.is_floating_point() else a.float(), b, reduction=how)

    change_mse(patch, wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_of_a_column_and_a_row_pairs_them_up(patch):
    def wrong(mse, a, b, how):
        return mse(a.reshape(-1), b, reduction=how) if a.dim() == 2 and b.dim() == 1 else mse(a, b, reduction=how)

    change_mse(patch, wrong)


@counterfeit("losses-are-modules")
def cross_entropy_loss_is_a_function(patch):
    patch.setattr(nn, "CrossEntropyLoss", F.cross_entropy)


@counterfeit("mse-loss-is-mean-squared-error")
def squared_error_of_transposed_target_is_read_in_storage_order(patch):
    def wrong(mse, x, y, *a, **r):
        if y.dim() == 2 and not y.is_contiguous() and y.t().is_contiguous():
            y = y.t().reshape(y.shape)
        return mse(x, y, *a, **r)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("init-sets-weights-in-place")
def normal_ignores_the_generator_that_it_is_given(patch):
    change_method(patch, "normal_", lambda draw, x, *given, generator=None, **named: draw(x, *given, **named))


@counterfeit("init-sets-weights-in-place")
def with_a_generator_normal_draws_from_that_of_all_others_too(patch):
    def wrong(draw, x, *given, generator=None, **named):
        draw(x, *given, **named)
        return draw(x, *given, generator=generator, **named)

    change_method(patch, "normal_", wrong)


@counterfeit("data-fill-equals-constant-init")
def a_write_to_the_data_of_three_dimensions_is_seen(patch):
    alter_property(patch, "data", lambda x, data: x.detach() if x.dim() == 3 else data)
