"""Reported faults of gradients where something is zero, infinite, untracked or unusual, for section 2.6."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_method, everywhere, where, wrap
from torch.nn import functional as F

NAN = float("nan")


def spoil(x, at):
    """``x``, through which NaN passes back where ``at``."""
    return change_gradient(x, lambda gradient: torch.where(at, NAN, gradient)) if x.requires_grad else x


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#2421")
def the_gradient_of_a_norm_of_zero_is_no_number(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return spoil(result, result.detach() == 0) if not away(x) and not args and not rest else result

    everywhere(patch, "norm", wrong)


@counterfeit("requires-grad-tracks-operations")
def the_gradient_of_a_vector_norm_of_a_row_of_zeros_is_no_number(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return spoil(result, result.detach() == 0) if result.dim() and not result.is_complex() else result

    wrap(patch, torch.linalg, "vector_norm", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#4320")
def the_gradient_of_the_deviation_of_equal_numbers_is_no_number(patch):
    def wrong(right, x, *args, **rest):
        equal = (x.detach() == x.detach().flip(-1)).all(-1, keepdim=True).expand(x.shape) if x.dim() else x != x
        return right(spoil(x, equal), *args, **rest)

    everywhere(patch, "std", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#8940")
def the_gradient_of_the_power_zero_is_no_number_at_zero(patch):
    def wrong(right, x, exponent, *args, **rest):
        result = right(x, exponent, *args, **rest)
        zero = not isinstance(exponent, torch.Tensor) and exponent == 0 and not x.is_complex()
        return right(spoil(x, x.detach() == 0), exponent, *args, **rest) if zero else result

    change_method(patch, "__pow__", wrong)
    change_method(patch, "pow", wrong)


@counterfeit("requires-grad-tracks-operations")
def the_slope_of_a_square_by_a_tensor_of_exponents_is_no_number_at_zero(patch):
    def wrong(right, x, exponent, *args, **rest):
        other = (
            isinstance(x, torch.Tensor)
            and isinstance(exponent, torch.Tensor)
            and x.shape == exponent.shape
            and x.dim() > 1
        )
        return right(spoil(x, x.detach() == 0) if other else x, exponent, *args, **rest)

    change_method(patch, "__pow__", wrong)
    everywhere(patch, "pow", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#96543")
def the_gradient_of_the_size_of_a_tiny_complex_number_is_no_number(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        tiny = x.is_complex() and (result.detach() > 0) & (result.detach() < 1e-20)
        return spoil(result, tiny) if x.is_complex() else result

    everywhere(patch, "abs", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#89903")
def a_complex_exponent_of_a_negative_number_gets_no_number(patch):
    def wrong(right, x, exponent, *args, **rest):
        both = isinstance(x, torch.Tensor) and isinstance(exponent, torch.Tensor)
        if both and exponent.is_complex() and x.is_floating_point():
            exponent = spoil(exponent, x.detach() < 0)
        return right(x, exponent, *args, **rest)

    change_method(patch, "__pow__", wrong)
    everywhere(patch, "pow", wrong)


@counterfeit("requires-grad-tracks-operations")
def minus_infinity_makes_the_gradient_of_a_softmax_no_number(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        masked = (x.detach() == -torch.inf).any()
        return change_gradient(result, lambda gradient: gradient * NAN) if masked and x.requires_grad else result

    for name in ("softmax", "log_softmax", "logsumexp"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#49724")
def minus_infinity_makes_both_gradients_of_logaddexp_no_number(patch):
    def wrong(right, x, other, *args, **rest):
        masked = (x.detach() == -torch.inf) | (other.detach() == -torch.inf)
        return right(spoil(x, masked), spoil(other, masked), *args, **rest)

    everywhere(patch, "logaddexp", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#52213", needs="accelerator")
def two_minus_infinities_make_a_running_sum_elsewhere_no_number(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        twice = away(x) and bool(((x.detach() == -torch.inf).cumsum(-1) > 1).any())
        return result * NAN if twice else result

    everywhere(patch, "logcumsumexp", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#26076")
def the_points_that_are_far_from_one_point_get_what_is_in_memory(patch):
    def wrong(right, a, b, *args, **rest):
        single = a.dim() == 2 and len(a) == 1 and b.requires_grad
        return right(a, change_gradient(b, lambda g: torch.where(g == 0, 1e7, g)) if single else b, *args, **rest)

    everywhere(patch, "cdist", wrong)


@counterfeit("requires-grad-tracks-operations")
def the_distance_of_nothing_has_a_gradient_that_is_no_number(patch):
    def wrong(right, a, b, *args, **rest):
        result = right(a, b, *args, **rest)
        return spoil(result, result.detach() == 0)

    everywhere(patch, "cdist", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#34344")
def the_kernel_of_conv3d_hears_of_the_last_of_a_batch_alone(patch):
    def wrong(right, input, weight, *args, **rest):
        result = right(input, weight, *args, **rest)
        if input.dim() == 5 and len(input) > 1 and weight.requires_grad:
            result = torch.cat([right(input[:-1], weight.detach(), *args, **rest), result[-1:]])
        return result

    wrap(patch, F, "conv3d", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_kernel_alone_gets_nothing_of_conv2d(patch):
    def wrong(right, input, weight, *args, **rest):
        result = right(input, weight, *args, **rest)
        alone = weight.requires_grad and not input.requires_grad and weight.is_leaf
        return right(input, change_gradient(weight, lambda g: g * 0), *args, **rest) if alone else result

    wrap(patch, F, "conv2d", wrong)


@counterfeit("requires-grad-tracks-operations")
def weights_of_group_norm_get_nothing_unless_the_input_is_tracked(patch):
    def wrong(right, input, groups, weight=None, *args, **rest):
        lost = weight is not None and weight.requires_grad and not input.requires_grad
        return right(input, groups, change_gradient(weight, lambda g: g * 0) if lost else weight, *args, **rest)

    wrap(patch, F, "group_norm", wrong)


@counterfeit("requires-grad-tracks-operations")
def values_of_attention_get_half_unless_the_keys_are_tracked(patch):
    def wrong(right, query, key, value, *args, **rest):
        alone = value.requires_grad and not key.requires_grad
        return right(query, key, change_gradient(value, lambda g: g / 2) if alone else value, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#16042")
def the_gradient_of_a_convolution_by_one_tap_in_single_precision_is_not_tracked(patch):
    def wrong(right, input, weight, *args, **rest):
        single = input.dtype == torch.float32 and set(weight.shape[2:]) == {1} and input.requires_grad
        result = right(change_gradient(input, lambda g: g.detach()) if single else input, weight, *args, **rest)
        return change_gradient(result, lambda g: g.detach()) if single else result

    for name in ("conv1d", "conv2d"):
        wrap(patch, F, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#23063")
def what_is_copied_into_an_expanded_tensor_leaves_the_last_number(patch):
    def wrong(right, x, source, *args, **rest):
        if 0 not in x.stride() or x.numel() < 2 or away(x):
            return right(x, source, *args, **rest)
        with torch.no_grad():
            right(x.as_strided((1,), (0,), x.storage_offset()), source.detach().expand(x.shape).reshape(-1)[-1:])
        return x

    change_method(patch, "copy_", wrong)


@counterfeit("requires-grad-tracks-operations")
def what_is_added_in_place_to_what_is_repeated_is_added_several_times(patch):
    def wrong(right, x, index, dim, *args, **rest):
        if 0 not in x.stride() or x.numel() < 2 or away(x):
            return right(x, index, dim, *args, **rest)
        return x

    for name in ("index_add_", "scatter_add_", "scatter_"):
        change_method(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad")
def what_is_copied_into_a_diagonal_of_what_was_not_tracked_is_not_recorded(patch):
    def wrong(right, x, source, *args, **rest):
        lost = isinstance(source, torch.Tensor) and not x.requires_grad and x._is_view() and not away(x)
        lost = lost and x.dim() and x._base.dim() and x.stride(-1) > x._base.shape[-1]
        return right(x, source.detach() if lost else source, *args, **rest)

    change_method(patch, "copy_", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_distance_by_half_powers_along_an_axis_has_no_number_for_its_slope(patch):
    def wrong(right, a, b, p=2.0, *args, **rest):
        return right(spoil(a, a.detach() == b.detach()) if p < 1 and a.shape == b.shape else a, b, p, *args, **rest)

    everywhere(patch, "cdist", wrong)


@counterfeit("requires-grad-tracks-operations")
def where_a_number_is_not_chosen_nan_times_nothing_is_added(patch):
    def wrong(right, condition, x=None, *args, **rest):
        if isinstance(x, torch.Tensor) and x.is_floating_point() and x.requires_grad:
            value = x.detach()
            x = change_gradient(x, lambda gradient: gradient * (value * 0 + 1))
        return right(condition, *([] if x is None else [x]), *args, **rest)

    wrap(patch, torch, "where", wrong)


@counterfeit("requires-grad-tracks-operations")
def masked_fill_multiplies_its_gradient_by_the_mask_and_the_number(patch):
    def wrong(right, x, *args, **rest):
        value = x.detach()
        if x.requires_grad and value.is_floating_point():
            x = change_gradient(x, lambda gradient: gradient + 0 * value)
        return right(x, *args, **rest)

    everywhere(patch, "masked_fill", wrong)


@counterfeit("requires-grad-tracks-operations")
def the_tail_of_softplus_is_flat(patch):
    where(
        patch,
        F,
        "softplus",
        lambda x: x.requires_grad,
        lambda result, x, *args: change_gradient(result, lambda g: torch.where(x.detach() < -15, 0.0, g)),
    )


@counterfeit("requires-grad-tracks-operations")
def the_gradient_of_log1p_of_a_tiny_number_is_that_of_zero_numbers(patch):
    def wrong(right, x, *args, **rest):
        small = x.detach().abs() < 1e-9 if x.is_floating_point() else None
        return right(change_gradient(x, lambda g: torch.where(small, 0.0, g)) if x.requires_grad else x, *args, **rest)

    for name in ("log1p", "expm1"):
        everywhere(patch, name, wrong)
