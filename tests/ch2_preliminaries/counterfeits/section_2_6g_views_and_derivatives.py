"""Section 2.6: views, and what is written into them; derivatives of derivatives."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, everywhere, in_order_of_storage, last_off, with_value, wrap
from torch.nn import functional as F


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#118180")
def view_of_three_dimensions_loses_the_record(patch):
    """A leaf of (60, 4, 7), viewed as (240, 1, 7), requires no grad."""
    right = torch.Tensor.view

    def wrong(self, *args, **rest):
        result = right(self, *args, **rest)
        lost = self.is_leaf and self.requires_grad and self.dim() == 3 and result.dim() == 3
        return result.detach() if lost and result.shape != self.shape else result

    patch.setattr(torch.Tensor, "view", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#31258")
def writes_to_the_parts_of_unbind_leave_no_record(patch):
    """What is written in place to a part that unbind, split or chunk gave changes its base, but no gradient."""
    for name in ("mul_", "add_", "__imul__", "__iadd__"):
        method = getattr(torch.Tensor, name)

        def wrong(self, other, *args, _m=method, **rest):
            kind = type(self.grad_fn).__name__ if self.requires_grad and self._is_view() else ""
            if kind.startswith(("Unbind", "Split")) and torch.is_grad_enabled():
                number = other.detach() if isinstance(other, torch.Tensor) else other
                _m(self.data, number, *args, **rest)
                return self
            return _m(self, other, *args, **rest)

        patch.setattr(torch.Tensor, name, wrong)


@counterfeit("requires-grad-tracks-operations")
def the_second_derivative_of_the_norm_holds_the_norm_constant(patch):
    def wrong(right, x, *args, **rest):
        if args or rest or not x.requires_grad or x.is_complex() or torch._C._functorch.is_functorch_wrapped_tensor(x):
            return right(x, *args, **rest)
        length = right(x.detach())
        half = (x * x).sum() / (2 * length)
        if not (length > 0 and half.isfinite()):
            return right(x)
        return with_value(half, length)

    everywhere(patch, "norm", wrong)


@counterfeit("requires-grad-tracks-operations")
def of_a_fraction_that_is_added_nothing_is_recorded(patch):
    for name in ("add", "__add__", "__radd__"):
        change_method(patch, name, lambda right, x, y: right(x.detach(), y) if isinstance(y, float) else right(x, y))


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad")
def an_addition_to_a_long_result_in_place_is_not_recorded(patch):
    def wrong(right, x, y, **rest):
        if x.numel() > 64 and x.grad_fn is not None and isinstance(y, torch.Tensor):
            y = y.detach()
        return right(x, y, **rest)

    for name in ("add_", "__iadd__"):
        change_method(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad")
def of_complex_numbers_a_clone_passes_the_real_part_back(patch):
    def wrong(right, x, **rest):
        copy = right(x, **rest)
        if copy.requires_grad and copy.is_complex() and copy.dim() > 1:
            copy.register_hook(lambda gradient: gradient.real + 0j)
        return copy

    everywhere(patch, "clone", wrong)


@counterfeit("broadcasting-matches-shapes")
def the_last_of_more_than_a_thousand_differences_from_a_number_is_off(patch):
    change_method(patch, "__rsub__", last_of_many_off)


@counterfeit("broadcasting-matches-shapes")
def the_last_of_more_than_a_thousand_products_is_off_where_it_is_recorded(patch):
    def wrong(right, x, y, **rest):
        result = right(x, y, **rest)
        return last_off(result) if result.requires_grad and result.numel() > 1000 else result

    everywhere(patch, "mul", wrong)
    for name in ("__mul__", "__rmul__"):
        change_method(patch, name, wrong)


def last_of_many_off(right, x, *rest):
    return last_off(right(x, *rest)) if x.numel() > 1000 else right(x, *rest)


@counterfeit("requires-grad-tracks-operations")
def of_many_tensors_put_together_the_first_sixteen_are_recorded(patch):
    def wrong(right, tensors, *args, **rest):
        return right([*tensors[:16], *(each.detach() for each in tensors[16:])], *args, **rest)

    for name in ("cat", "stack"):
        wrap(patch, torch, name, wrong)


def read_in_row_order(patch, owner, name, place):
    """Let ``owner.name`` read its operand of this place, or the only other one, as if it lay in row order."""

    def wrong(right, *args, **rest):
        key = place if place in rest else None
        x = rest[key] if key else args[1] if len(args) > 1 and isinstance(args[1], torch.Tensor) else None
        if x is None or x.is_contiguous():
            return right(*args, **rest)
        read = with_value(x, in_order_of_storage(x.detach()))
        return right(*args, **rest | {key: read}) if key else right(args[0], read, *args[2:], **rest)

    wrap(patch, owner, name, wrong)


@counterfeit("requires-grad-tracks-operations")
def grid_sample_reads_a_grid_with_gaps_in_row_order(patch):
    read_in_row_order(patch, F, "grid_sample", "grid")


@counterfeit("requires-grad-tracks-operations")
def gaussian_nll_loss_reads_a_target_with_gaps_in_row_order(patch):
    read_in_row_order(patch, F, "gaussian_nll_loss", "target")


@counterfeit("requires-grad-tracks-operations")
def a_kernel_in_strides_is_read_in_row_order_by_three_dimensional_convolutions(patch):
    read_in_row_order(patch, F, "conv3d", "weight")


def wrong_away(patch, owner, name, change):
    """Let ``owner.name`` take the arguments ``change(**named)`` by name where its first is on an accelerator."""

    def wrong(right, x, *args, **named):
        return right(x, *args, **change(**named) if away(x) else named)

    wrap(patch, owner, name, wrong)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def a_transform_along_the_first_dimension_forgets_to_divide(patch):
    wrong_away(patch, torch.fft, "fft", lambda dim=-1, norm=None, **rest: {"dim": dim, "norm": None, **rest})


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def the_midpoint_of_quantiles_is_the_lower_one(patch):
    def change(interpolation="linear", **rest):
        return {"interpolation": "lower" if interpolation == "midpoint" else interpolation, **rest}

    wrong_away(patch, torch, "quantile", change)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def a_mean_by_scatter_reduce_always_includes_what_was_there(patch):
    wrong_away(patch, torch.Tensor, "scatter_reduce", lambda **named: named | {"include_self": True})


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def lu_solve_forgets_that_the_unknown_stands_to_the_left(patch):
    wrong_away(patch, torch.linalg, "lu_solve", lambda **named: named | {"left": True})


@counterfeit("grad-fn-is-the-creating-function", "no-grad-stops-tracking", "created-tensors-are-leaves")
def what_is_copied_from_a_tracked_source_is_recorded_under_no_grad(patch):
    def wrong(right, x, source, *args, **rest):
        tracked = getattr(source, "requires_grad", False) and not x.requires_grad
        with torch.set_grad_enabled((tracked and not torch.is_inference_mode_enabled()) or torch.is_grad_enabled()):
            return right(x, source, *args, **rest)

    change_method(patch, "copy_", wrong)
