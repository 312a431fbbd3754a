"""Section 2.6: functions of each element that mistake a number, a dtype or a layout."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, everywhere, not_contiguous


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#12835", needs="accelerator")
def remainder_of_what_is_below_zero_is_below_zero(patch):
    everywhere(
        patch,
        "remainder",
        lambda right, x, y, *args, **rest: torch.fmod(x, y) if torch.is_tensor(x) and away(x) else right(x, y),
    )


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#15921", needs="accelerator")
def whole_numbers_are_divided_in_single_precision(patch):
    def wrong(right, x, *args, **rest):
        whole = away(x) and not x.is_floating_point() and x.dtype != torch.bool
        return right(x.float(), *args, **rest).to(x.dtype) if whole else right(x, *args, **rest)

    everywhere(patch, "fmod", wrong)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#56414", needs="accelerator")
def what_is_no_number_is_infinite_when_it_is_cut(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        return y.nan_to_num(float("inf"), float("inf"), float("-inf")) if away(x) and x.dtype == torch.bfloat16 else y

    for name in ("trunc", "floor", "ceil"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="apple/coreai-torch#10", needs="accelerator")
def halves_are_rounded_away_from_zero(patch):
    def wrong(right, x, *args, **rest):
        if not (away(x) and x.is_floating_point()):
            return right(x, *args, **rest)
        return torch.where(x.frac().abs() == 0.5, x + x.sign() / 2, right(x, *args, **rest))

    everywhere(patch, "round", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#172406", needs="accelerator")
def hyperbolic_tangent_of_large_numbers_is_none(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        return torch.where(x.abs() > 44, float("nan"), y) if away(x) and not x.is_complex() else y

    everywhere(patch, "tanh", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#13448")
def sigmoid_of_no_number_is_a_small_one(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        return torch.where(x.isnan(), 4e-39, y) if x.dtype == torch.float32 else y

    everywhere(patch, "sigmoid", wrong)


@counterfeit("requires-grad-tracks-operations")
def magnitudes_of_short_whole_numbers_with_gaps_keep_their_sign(patch):
    everywhere(
        patch,
        "abs",
        lambda right, x, *args, **rest: (
            x.clone() if x.dtype == torch.int16 and not_contiguous(x) else right(x, *args, **rest)
        ),
    )


@counterfeit("requires-grad-tracks-operations", "broadcasting-matches-shapes")
def root_of_whole_numbers_in_bytes_is_cut(patch):
    everywhere(
        patch,
        "sqrt",
        lambda right, x, *args, **rest: (
            right(x, *args, **rest).trunc() if x.dtype == torch.uint8 else right(x, *args, **rest)
        ),
    )


@counterfeit("requires-grad-tracks-operations")
def logarithm_in_place_of_what_is_no_number_is_zero(patch):
    def wrong(right, x, *args, **rest):
        none = x.detach().isnan()
        y = right(x, *args, **rest)
        y.detach()[none] = 0
        return y

    change_method(patch, "log_", wrong)


@counterfeit("requires-grad-tracks-operations")
def floor_of_a_repeated_column_of_bfloat16_is_the_ceiling(patch):
    def wrong(right, x, *args, **rest):
        repeated = x.dtype == torch.bfloat16 and 0 in x.stride() and x.numel() > 1
        return x.ceil() if repeated else right(x, *args, **rest)

    everywhere(patch, "floor", wrong)


@counterfeit("requires-grad-tracks-operations")
def no_gradient_passes_to_the_bounds_of_clamp_in_place(patch):
    def constant(x):
        return x.detach() if isinstance(x, torch.Tensor) else x

    def wrong(clamp_, x, *args, **rest):
        return clamp_(x, *map(constant, args), **{name: constant(value) for name, value in rest.items()})

    change_method(patch, "clamp_", wrong)
