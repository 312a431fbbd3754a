"""Counterfeits of section 2.6: records with gaps, gradients that go astray, and switches that stick or do nothing."""

import inspect
import threading

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    alter_property,
    change_gradient,
    change_method,
    change_output_where,
    change_result,
    everywhere,
    leaves,
    not_contiguous,
    of_dtype,
    stop_tracking,
    tracked,
    where,
    wrap,
)
from torch import Tensor, nn
from torch.nn import functional as F


def scale_gradient(patch, name, factor):
    """Multiply the gradient that passes `torch.name` by `factor`."""
    change_result(patch, torch, name, lambda result, *_: change_gradient(result, lambda gradient: gradient * factor))


def change_gradient_of(x, result, change):
    """A tensor equal to ``result`` whose gradient reaches ``x`` as ``change(gradient)``."""

    class Changed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return result.clone()

        @staticmethod
        def backward(ctx, gradient):
            return change(gradient)

    return Changed.apply(x)


# ── requires-grad-tracks-operations ──


@counterfeit("requires-grad-tracks-operations")
def exponential_is_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "exp")


@counterfeit("requires-grad-tracks-operations")
def matrix_product_is_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "__matmul__")


@counterfeit("requires-grad-tracks-operations")
def concatenation_is_not_tracked(patch):
    stop_tracking(patch, torch, "cat")


@counterfeit("requires-grad-tracks-operations")
def maximum_is_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "amax")


@counterfeit("requires-grad-tracks-operations")
def index_is_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "__getitem__")


@counterfeit("requires-grad-tracks-operations")
def untracked_left_operand_stops_tracking(patch):
    stop_tracking(patch, torch.Tensor, "__sub__", lambda x, y: not x.requires_grad)


@counterfeit("requires-grad-tracks-operations")
def untracked_right_operand_stops_tracking(patch):
    stop_tracking(patch, torch.Tensor, "__mul__", lambda x, y: torch.is_tensor(y) and not y.requires_grad)


@counterfeit("requires-grad-tracks-operations")
def broadcast_operand_is_not_tracked(patch):
    def wrong(add, x, y):
        return add(x, y.detach() if torch.is_tensor(y) and y.shape != x.shape else y)

    change_method(patch, "__add__", wrong)


@counterfeit("requires-grad-tracks-operations")
def record_is_cut_after_fifty_sums(patch):
    add, sums = torch.Tensor.__add__, []

    def wrong(x, y):
        sums.append(x)
        return add(x.detach() if len(sums) == 50 else x, y)

    patch.setattr(torch.Tensor, "__add__", wrong)


@counterfeit("requires-grad-tracks-operations")
def gradient_of_tanh_is_ten_per_cent_too_large(patch):
    scale_gradient(patch, "tanh", 1.1)


@counterfeit("requires-grad-tracks-operations")
def gradient_of_the_cosine_has_the_wrong_sign(patch):
    scale_gradient(patch, "cos", -1)


@counterfeit("requires-grad-tracks-operations", "quadratic-mean-gradient")
def gradient_of_a_product_with_itself_counts_once(patch):
    change_method(patch, "__mul__", lambda multiply, x, y: multiply(x, y.detach() if x is y else y))


@counterfeit("requires-grad-tracks-operations")
def square_forgets_the_factor_two(patch):
    change_method(patch, "__pow__", lambda power, x, n: x * x.detach() if n == 2 else power(x, n))


@counterfeit("requires-grad-tracks-operations")
def write_through_a_view_is_not_tracked(patch):
    def wrong(x, y):
        x.data.mul_(y)
        return x

    patch.setattr(torch.Tensor, "__imul__", wrong)


@counterfeit("requires-grad-tracks-operations")
def products_of_large_tensors_are_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "__mul__", lambda x, y: x.numel() > 100)


@counterfeit("requires-grad-tracks-operations")
def sum_over_a_dimension_is_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "sum", lambda x, *dim: x.dim() > 1)


@counterfeit("requires-grad-tracks-operations")
def derivative_of_sigmoid_is_wrong_for_negative_values(patch):
    change_result(
        patch, torch, "sigmoid", lambda y, x: change_gradient(y, lambda gradient: gradient * torch.where(x < 0, 0.9, 1))
    )


@counterfeit("requires-grad-tracks-operations")
def sines_of_half_the_width_are_not_tracked(patch):
    stop_tracking(patch, torch, "sin", of_dtype(torch.bfloat16))


@counterfeit("requires-grad-tracks-operations")
def square_roots_of_transposed_tensors_are_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "sqrt", not_contiguous)


@counterfeit("requires-grad-tracks-operations")
def comparisons_are_tracked(patch):
    where(patch, Tensor, "__gt__", tracked, lambda result, x, *_: result.float().requires_grad_())


@counterfeit("requires-grad-tracks-operations")
def gradient_of_a_slice_with_steps_reaches_the_elements_between_too(patch):
    def wrong(result, x, index):
        steps = isinstance(index, tuple) and index[-1] == slice(None, None, 2) and x.shape[-1] > 1
        return result + 0 * x[..., 1:2] + (x[..., 1:2] - x[..., 1:2].detach()) if steps else result

    where(patch, Tensor, "__getitem__", tracked, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#773")
def the_gradient_of_a_product_is_the_product_over_the_factor(patch):
    def wrong(right, x, dim=None):
        result = right(x.detach(), dim)
        return change_gradient_of(x, result, lambda w: (w * result).unsqueeze(dim) / x.detach())

    change_method(patch, "prod", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians", reported="pytorch/pytorch#1528")
def of_an_element_read_twice_by_index_the_last_gradient_counts(patch):
    def wrong(right, x, index):
        listed = isinstance(index, tuple) and len(index) == 2 and isinstance(index[1], Tensor) and x.requires_grad
        if not listed:
            return right(x, index)

        def last(w):
            gradient = torch.zeros_like(x)
            for place, at in enumerate(index[1].tolist()):
                gradient[..., at] = w[..., place]
            return gradient

        return change_gradient_of(x, right(x.detach(), index), last)

    change_method(patch, "__getitem__", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians", reported="pytorch/pytorch#1631")
def of_an_element_gathered_twice_the_last_gradient_counts(patch):
    def wrong(right, x, dim, index):
        return (
            change_gradient_of(x, right(x.detach(), dim, index), lambda w: torch.zeros_like(x).scatter_(dim, index, w))
            if x.requires_grad
            else right(x, dim, index)
        )

    change_method(patch, "gather", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians", reported="pytorch/pytorch#117826")
def einsum_loses_the_gradient_of_all_groups_but_the_first(patch):
    def wrong(right, letters, x, y, *rest):
        batched = letters.replace(" ", "") == "bij,ijk->bik"
        return right(
            letters,
            change_gradient(x, lambda w: w * (torch.arange(w.shape[1]) == 0)[:, None]) if batched else x,
            y,
            *rest,
        )

    wrap(patch, torch, "einsum", wrong)


@counterfeit("requires-grad-tracks-operations")
def an_exponential_of_halves_passes_no_gradient(patch):
    def wrong(right, x):
        return right(change_gradient(x, torch.zeros_like) if x.dtype == torch.float16 else x)

    for owner in (torch, Tensor):
        wrap(patch, owner, "exp", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#106789")
def a_product_with_two_zeros_has_no_second_derivative(patch):
    def wrong(right, x, *dim):
        if int((x == 0).sum()) < 2:
            return right(x, *dim)
        return change_gradient_of(
            x,
            right(x.detach(), *dim),
            lambda w: torch.autograd.functional.vjp(lambda t: right(t, *dim), x.detach(), w)[1],
        )

    change_method(patch, "prod", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#1712")
def what_gather_selects_has_no_second_derivative(patch):
    change_method(
        patch, "gather", lambda right, x, dim, index: change_gradient(right(x, dim, index), lambda w: w.detach())
    )


@counterfeit("requires-grad-tracks-operations")
def of_a_row_selected_twice_the_last_gradient_counts(patch):
    def wrong(right, x, dim, index):
        def change(w):
            return torch.zeros_like(x).index_copy_(dim, index, w)

        return change_gradient_of(x, right(x.detach(), dim, index), change) if x.requires_grad else right(x, dim, index)

    change_method(patch, "index_select", wrong)


@counterfeit("requires-grad-tracks-operations")
def the_second_derivative_of_a_sine_is_zero(patch):
    wrap(
        patch,
        torch,
        "sin",
        lambda right, x: (
            change_gradient_of(x, right(x.detach()), lambda w: w * x.detach().cos()) if x.requires_grad else right(x)
        ),
    )


@counterfeit("requires-grad-tracks-operations")
def split_tracks_its_first_part_alone(patch):
    for owner in (torch, Tensor):
        change_result(patch, owner, "split", lambda parts, *_: (*parts[:1], *(part.detach() for part in parts[1:])))


@counterfeit("requires-grad-tracks-operations")
def a_copy_into_a_slice_is_not_tracked(patch):
    change_method(patch, "copy_", lambda copy, x, y: copy(x, y.detach() if x._is_view() else y))


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def sums_along_a_row_pass_gradients_on_in_the_same_direction(patch):
    for owner in (torch, Tensor):
        wrap(
            patch,
            owner,
            "cumsum",
            lambda right, x, dim, **rest: (
                change_gradient_of(x, right(x.detach(), dim), lambda gradient: right(gradient, dim))
                if x.dim() == 1
                else right(x, dim, **rest)
            ),
        )


@counterfeit("requires-grad-tracks-operations")
def cat_asks_its_first_tensor_whether_to_track(patch):
    change_result(patch, torch, "cat", lambda out, all, *_: out if all[0].requires_grad else out.detach())


@counterfeit("requires-grad-tracks-operations")
def the_gradient_of_cumprod_is_nothing_where_a_number_is_zero(patch):
    """As if what arrives were divided by the number."""

    def wrong(cumprod, x, *dim, **rest):
        zero = x.detach() == 0
        return cumprod(change_gradient(x, lambda grad: grad.masked_fill(zero, float("nan"))), *dim, **rest)

    for owner in (torch, Tensor):
        wrap(patch, owner, "cumprod", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_sum_in_a_dtype_that_is_named_is_not_tracked(patch):
    def wrong(right, *args, **rest):
        return right(*args, **rest).detach() if rest.get("dtype") else right(*args, **rest)

    wrap(patch, Tensor, "sum", wrong)


def not_tracking(patch, owner, name, place):
    """Leave the operand at ``place`` of ``owner.name`` out of the record."""

    def wrong(right, *given, **rest):
        operands = [x.detach() if at == place and isinstance(x, Tensor) else x for at, x in enumerate(given)]
        return right(*operands, **rest)

    wrap(patch, owner, name, wrong)


@counterfeit("requires-grad-tracks-operations")
def the_second_matrix_of_kron_is_not_tracked(patch):
    not_tracking(patch, torch, "kron", 1)


@counterfeit("requires-grad-tracks-operations")
def the_second_points_of_cdist_are_not_tracked(patch):
    not_tracking(patch, torch, "cdist", 1)


@counterfeit("requires-grad-tracks-operations")
def the_points_of_trapezoid_are_not_tracked(patch):
    not_tracking(patch, torch, "trapezoid", 1)


@counterfeit("requires-grad-tracks-operations")
def the_third_operand_of_einsum_is_not_tracked(patch):
    not_tracking(patch, torch, "einsum", 3)


@counterfeit("requires-grad-tracks-operations")
def the_vector_of_addmv_is_not_tracked(patch):
    not_tracking(patch, torch, "addmv", 2)


@counterfeit("requires-grad-tracks-operations")
def the_value_of_masked_fill_is_not_tracked(patch):
    not_tracking(patch, Tensor, "masked_fill", 2)


@counterfeit("requires-grad-tracks-operations")
def the_source_of_masked_scatter_is_not_tracked(patch):
    not_tracking(patch, Tensor, "masked_scatter", 2)


@counterfeit("requires-grad-tracks-operations")
def half_a_fourier_transform_is_not_tracked(patch):
    not_tracking(patch, torch.fft, "rfft", 0)


@counterfeit("requires-grad-tracks-operations")
def a_cholesky_factor_is_not_tracked(patch):
    stop_tracking(patch, torch.linalg, "cholesky")


@counterfeit("requires-grad-tracks-operations")
def eigenvalues_are_not_tracked(patch):
    stop_tracking(patch, torch.linalg, "eigvalsh")


@counterfeit("requires-grad-tracks-operations")
def interpolated_images_are_not_tracked(patch):
    stop_tracking(patch, F, "interpolate")


@counterfeit("requires-grad-tracks-operations")
def half_the_gradient_passes_average_pooling(patch):
    wrap(patch, F, "avg_pool2d", lambda right, x, *how: right(change_gradient(x, lambda gradient: gradient / 2), *how))


@counterfeit("requires-grad-tracks-operations")
def the_mean_beside_a_deviation_is_not_tracked(patch):
    change_result(patch, torch, "std_mean", lambda both, *x: (both[0], both[1].detach()))


@counterfeit("requires-grad-tracks-operations")
def celu_has_twice_its_slope(patch):
    wrap(patch, F, "celu", lambda right, x: right(change_gradient(x, lambda gradient: 2 * gradient)))


@counterfeit("requires-grad-tracks-operations")
def the_keys_of_attention_are_not_tracked(patch):
    not_tracking(patch, F, "scaled_dot_product_attention", 1)


# ── backward-fills-grad ──


@counterfeit("backward-fills-grad")
def backward_overwrites_the_gradient(patch):
    def wrong(backward, self, *args, **kwargs):
        for leaf in leaves(self.grad_fn):
            leaf.grad = None
        backward(self, *args, **kwargs)

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad")
def leaf_without_dimensions_gets_no_grad(patch):
    alter_property(patch, "grad", lambda x, grad: grad if x.dim() else None)


@counterfeit("backward-fills-grad")
def last_leaf_gets_no_grad(patch):
    def wrong(backward, self, *args, **kwargs):
        backward(self, *args, **kwargs)
        if len(set(leaves(self.grad_fn))) > 2:
            leaves(self.grad_fn)[-1].grad = None

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad")
def grad_of_a_row_is_a_column(patch):
    alter_property(patch, "grad", lambda x, grad: grad.t() if grad is not None and grad.dim() == 2 else grad)


@counterfeit("backward-fills-grad")
def grad_is_always_single_precision(patch):
    alter_property(patch, "grad", lambda x, grad: None if grad is None else grad.float())


@counterfeit("backward-fills-grad")
def grad_is_zero_before_backward(patch):
    alter_property(patch, "grad", lambda x, grad: torch.zeros_like(x) if grad is None and x.requires_grad else grad)


@counterfeit("backward-fills-grad")
def one_of_several_paths_is_left_out(patch):
    change_method(patch, "__add__", lambda add, x, y: add(x, y.detach() if torch.is_tensor(y) and not y.is_leaf else y))


@counterfeit("backward-fills-grad")
def powers_keep_their_grad(patch):
    def wrong(power, x, exponent):
        y = power(x, exponent)
        if y.requires_grad:
            y.retain_grad()
        return y

    change_method(patch, "__pow__", wrong)


@counterfeit("backward-fills-grad")
def result_itself_keeps_its_grad(patch):
    def wrong(backward, self, *args, **kwargs):
        self.retain_grad()
        backward(self, *args, **kwargs)

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad")
def leaf_that_took_no_part_gets_a_grad_of_zeros(patch):
    backward, passes = torch.Tensor.backward, []

    def wrong(self, *args, **kwargs):
        passes.append(self)
        backward(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "backward", wrong)
    alter_property(
        patch, "grad", lambda x, g: torch.zeros_like(x) if passes and g is None and x.requires_grad and x.is_leaf else g
    )


@counterfeit("backward-fills-grad")
def retain_grad_does_nothing(patch):
    patch.setattr(torch.Tensor, "retain_grad", lambda self: None)


@counterfeit("backward-fills-grad")
def retained_grad_is_ten_per_cent_too_large(patch):
    alter_property(patch, "grad", lambda x, grad: grad if x.is_leaf or grad is None else grad * 1.1)


@counterfeit("backward-fills-grad")
def inputs_of_backward_are_filled_beside_the_leaves(patch):
    def wrong(backward, self, *args, inputs=(), **kwargs):
        backward(self, *args, **kwargs, inputs=[*inputs, *leaves(self.grad_fn)] if inputs else None)

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad")
def constants_get_a_grad_of_zeros(patch):
    alter_property(patch, "grad", lambda x, grad: grad if x.requires_grad else torch.zeros_like(x))


@counterfeit("backward-fills-grad")
def grad_of_large_leaves_stays_none(patch):
    alter_property(patch, "grad", lambda x, grad: grad if x.numel() < 100 else None)


@counterfeit("backward-fills-grad")
def grad_is_rounded_to_whole_numbers(patch):
    alter_property(patch, "grad", lambda x, grad: None if grad is None else grad.round())


@counterfeit("backward-fills-grad", "gradients-accumulate", reported=("pytorch/pytorch#34082", "pytorch/pytorch#46168"))
def gradients_of_a_sum_share_their_memory(patch):
    def wrong(backward, self, *args, **kwargs):
        backward(self, *args, **kwargs)
        one, *others = leaves(self.grad_fn)
        for leaf in others:
            if leaf.shape == one.shape and leaf.dtype == one.dtype and leaf.grad.tolist() == one.grad.tolist():
                leaf.grad = one.grad.view_as(one)

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad")
def third_pass_over_the_same_leaf_adds_nothing(patch):
    backward, passes = torch.Tensor.backward, []

    def wrong(self, *args, **kwargs):
        passes.append(self)
        kept = [(leaf, leaf.grad.clone()) for leaf in leaves(self.grad_fn) if leaf.grad is not None]
        backward(self, *args, **kwargs)
        for leaf, grad in kept if len(passes) % 3 == 0 else ():
            leaf.grad = grad

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("backward-fills-grad", "gradients-accumulate")
def a_gradient_that_is_tracked_itself_replaces_the_one_before(patch):
    def wrong(right, y, *args, create_graph=False, **rest):
        if create_graph:
            for leaf in leaves(y.grad_fn):
                leaf.grad = None
        return right(y, *args, create_graph=create_graph, **rest)

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad")
def leaves_that_were_not_named_get_a_gradient_too(patch):
    change_method(
        patch,
        "backward",
        lambda right, y, *args, inputs=None, **rest: right(
            y, *args, inputs=None if type(inputs) is list and all(each.is_leaf for each in inputs) else inputs, **rest
        ),
    )


@counterfeit("backward-fills-grad", "gradients-accumulate")
def backward_under_no_grad_fills_nothing(patch):
    change_method(
        patch, "backward", lambda right, y, *args, **rest: right(y, *args, **rest) if torch.is_grad_enabled() else None
    )


@counterfeit("backward-fills-grad")
def autograd_grad_fills_grad_too(patch):
    def wrong(right, outputs, inputs, *args, **rest):
        result = right(outputs, inputs, *args, **rest)
        for x, g in zip([inputs] if isinstance(inputs, Tensor) else inputs, result):
            if x.is_leaf:
                x.grad = g.detach().clone()
        return result

    wrap(patch, torch.autograd, "grad", wrong)


@counterfeit("backward-fills-grad")
def a_gradient_that_is_asked_for_twice_counts_twice(patch):
    def wrong(retain, x):
        if x.retains_grad and not x.is_leaf:
            x.register_hook(lambda gradient: 2 * gradient)
        retain(x)

    change_method(patch, "retain_grad", wrong)


@counterfeit("backward-fills-grad")
def a_leaf_that_is_named_twice_counts_twice(patch):
    def wrong(backward, y, *args, inputs=None, **rest):
        twice = isinstance(inputs, list) and len({id(each) for each in inputs}) < len(inputs)
        backward(y, *args, inputs=inputs, **(rest | {"retain_graph": True} if twice else rest))
        if twice:
            backward(y, *args, inputs=inputs, **rest)

    wrap(patch, Tensor, "backward", wrong)


@counterfeit("backward-fills-grad")
def of_a_tuple_of_inputs_the_first_alone_is_filled(patch):
    def wrong(backward, result, *given, inputs=None, **rest):
        backward(result, *given, inputs=inputs[:1] if isinstance(inputs, tuple) else inputs, **rest)

    change_method(patch, "backward", wrong)


# ── detach-stops-tracking ──


def alter_detach(patch, wrong):
    """Let `x.detach()` return `wrong(x, right result)`."""
    detach = torch.Tensor.detach
    patch.setattr(torch.Tensor, "detach", lambda self: wrong(self, detach(self)))


@counterfeit("detach-stops-tracking")
def detach_does_nothing_to_leaves(patch):
    alter_detach(patch, lambda x, detached: x if x.is_leaf else detached)


@counterfeit("detach-stops-tracking")
def detach_does_nothing_to_results(patch):
    alter_detach(patch, lambda x, detached: detached if x.is_leaf else x)


@counterfeit("detach-stops-tracking")
def detach_leaves_matrices_tracked(patch):
    alter_detach(patch, lambda x, detached: x.view_as(x) if x.dim() == 2 else detached)


@counterfeit("detach-stops-tracking")
def detached_tensor_starts_a_record_of_its_own(patch):
    alter_detach(patch, lambda x, detached: detached.requires_grad_(x.requires_grad))


@counterfeit("detach-stops-tracking")
def detach_copies_large_tensors(patch):
    alter_detach(patch, lambda x, detached: detached.clone() if x.numel() > 10_000 else detached)


@counterfeit("detach-stops-tracking")
def detach_lets_a_tenth_of_the_gradient_pass(patch):
    alter_detach(patch, lambda x, detached: detached * 0.9 + x * 0.1 if x.dim() == 0 else detached)


@counterfeit("detach-stops-tracking")
def detach_works_in_place(patch):
    patch.setattr(torch.Tensor, "detach", torch.Tensor.detach_)


@counterfeit("detach-stops-tracking")
def detach_switches_off_the_leaf_itself(patch):
    alter_detach(patch, lambda x, detached: x.requires_grad_(False).view_as(x) if x.is_leaf else detached)


@counterfeit("detach-stops-tracking")
def detach_returns_the_tensor_after_untracking_it(patch):
    alter_detach(patch, lambda x, detached: x.detach_() if not x.is_leaf else detached)


@counterfeit("detach-stops-tracking")
def detach_in_place_works_out_of_place(patch):
    detach = torch.Tensor.detach
    patch.setattr(torch.Tensor, "detach_", detach)


@counterfeit("detach-stops-tracking")
def detach_in_place_does_nothing(patch):
    patch.setattr(torch.Tensor, "detach_", lambda self: self)


@counterfeit("detach-stops-tracking")
def detach_in_place_does_nothing_to_leaves(patch):
    change_method(patch, "detach_", lambda detach_, self: self if self.is_leaf else detach_(self))


@counterfeit("detach-stops-tracking")
def detach_of_three_dimensions_stays_tracked(patch):
    alter_detach(patch, lambda x, detached: x.view_as(x) if x.dim() == 3 else detached)


@counterfeit("detach-stops-tracking")
def detach_of_a_parameter_is_a_parameter(patch):
    alter_detach(patch, lambda x, detached: nn.Parameter(detached) if isinstance(x, nn.Parameter) else detached)


@counterfeit("detach-stops-tracking")
def the_function_detach_works_in_place(patch):
    patch.setattr(torch, "detach", lambda x: x if x.is_leaf or x._is_view() else x.detach_())


@counterfeit("detach-stops-tracking")
def detach_in_place_forgets_the_value(patch):
    where(patch, Tensor, "detach_", lambda x: True, lambda result, x: result.zero_())


@counterfeit("detach-stops-tracking")
def detach_of_what_is_not_contiguous_copies(patch):
    alter_detach(patch, lambda x, detached: detached if x.is_contiguous() else detached.clone())


@counterfeit("detach-stops-tracking")
def detach_in_place_takes_views(patch):
    change_method(patch, "detach_", lambda detach_, x: x.detach() if x._is_view() else detach_(x))


@counterfeit("detach-stops-tracking")
def detach_copies_complex_numbers(patch):
    change_method(patch, "detach", lambda right, x: right(x).clone() if x.is_complex() else right(x))


@counterfeit("detach-stops-tracking")
def detach_copies_what_is_expanded(patch):
    where(patch, Tensor, "detach", lambda x: 0 in x.stride(), lambda result, x: result.clone())


@counterfeit("detach-stops-tracking")
def detach_in_place_does_nothing_under_no_grad(patch):
    change_method(patch, "detach_", lambda detach_, x: detach_(x) if torch.is_grad_enabled() else x)


# ── no-grad-stops-tracking ──


@counterfeit("no-grad-stops-tracking")
def a_view_is_recorded_under_no_grad_too(patch):
    for name in ("view", "unsqueeze"):
        patch.setattr(torch.Tensor, name, torch.enable_grad()(getattr(torch.Tensor, name)))


@counterfeit("no-grad-stops-tracking", "no-grad-result-has-no-grad-fn")
def tracking_stays_off_after_the_block(patch):
    patch.setattr(torch.no_grad, "__exit__", lambda self, *exception: None)


@counterfeit("no-grad-stops-tracking")
def tracking_stays_off_after_an_exception(patch):
    wrap(patch, torch.no_grad, "__exit__", lambda leave, self, kind, *rest: None if kind else leave(self, kind, *rest))


@counterfeit("no-grad-stops-tracking")
def inner_block_switches_tracking_on_again(patch):
    patch.setattr(torch.no_grad, "__exit__", lambda self, *exception: torch._C._set_grad_enabled(True))


@counterfeit("no-grad-stops-tracking")
def decorated_functions_are_tracked(patch):
    patch.setattr(torch.no_grad, "__call__", lambda self, function: function)


@counterfeit("no-grad-stops-tracking")
def decorated_functions_are_tracked_from_the_second_call_on(patch):
    def wrong(decorate, self, function):
        calls = iter([decorate(self, function)])
        return lambda *args, **kwargs: next(calls, function)(*args, **kwargs)

    wrap(patch, torch.no_grad, "__call__", wrong)


@counterfeit("no-grad-stops-tracking")
def linear_layers_are_tracked_all_the_same(patch):
    def wrong(linear, *args, **kwargs):
        with torch.enable_grad():
            return linear(*args, **kwargs)

    wrap(patch, torch.nn.functional, "linear", wrong)


@counterfeit("no-grad-stops-tracking")
def linear_layers_forget_their_bias_under_no_grad(patch):
    wrap(
        patch,
        torch.nn.functional,
        "linear",
        lambda linear, x, weight, bias=None: linear(x, weight, bias if torch.is_grad_enabled() else None),
    )


@counterfeit("no-grad-stops-tracking")
def no_grad_switches_the_parameters_off_for_good(patch):
    def wrong(linear, x, weight, bias=None):
        if not torch.is_grad_enabled():
            weight.requires_grad_(False)
        return linear(x, weight, bias)

    wrap(patch, torch.nn.functional, "linear", wrong)


@counterfeit("no-grad-stops-tracking", "no-grad-branch-adds-no-gradient")
def loss_under_no_grad_has_a_backward_that_does_nothing(patch):
    backward = torch.Tensor.backward
    patch.setattr(
        torch.Tensor, "backward", lambda self, *args, **kw: backward(self, *args, **kw) if self.requires_grad else None
    )


@counterfeit("no-grad-stops-tracking")
def tracked_leaf_can_be_overwritten(patch):
    def wrong(x, y):
        x.data.sub_(y)
        return x

    patch.setattr(torch.Tensor, "__isub__", wrong)


@counterfeit("no-grad-stops-tracking")
def large_results_under_no_grad_are_tracked(patch):
    def wrong(power, x, n):
        with torch.set_grad_enabled(torch.is_grad_enabled() or x.numel() > 1000):
            return power(x, n)

    change_method(patch, "__pow__", wrong)


@counterfeit("no-grad-stops-tracking")
def decorated_generators_are_tracked(patch):
    decorate = torch.no_grad.__call__
    patch.setattr(
        torch.no_grad,
        "__call__",
        lambda self, function: function if inspect.isgeneratorfunction(function) else decorate(self, function),
    )


@counterfeit("no-grad-stops-tracking", reported="pytorch/pytorch#10858")
def a_decorated_function_turns_gradients_on_again(patch):
    def wrong(decorate, self, function):
        decorated = decorate(self, function)

        def call(*args, **kwargs):
            try:
                return decorated(*args, **kwargs)
            finally:
                torch._C._set_grad_enabled(True)

        return call

    wrap(patch, torch.no_grad, "__call__", wrong)


@counterfeit("no-grad-stops-tracking", reported="pytorch/pytorch#44531")
def a_recursive_decorated_function_leaves_the_mode_of_its_last_call(patch):
    def share_one_note(mode, value):
        def wrong(self, function):
            note = []

            def call(*args, **kwargs):
                note[:] = [torch.is_grad_enabled()]
                torch._C._set_grad_enabled(value)
                try:
                    return function(*args, **kwargs)
                finally:
                    torch._C._set_grad_enabled(note[0])

            return call

        patch.setattr(mode, "__call__", wrong)

    share_one_note(torch.no_grad, False)
    share_one_note(torch.enable_grad, True)


@counterfeit("no-grad-stops-tracking")
def created_tensors_lose_their_flag_under_no_grad(patch):
    change_result(patch, torch, "ones", lambda x, *_: x.requires_grad_(x.requires_grad and torch.is_grad_enabled()))


@counterfeit("no-grad-stops-tracking")
def no_grad_reaches_every_thread(patch):
    def wrong(start, thread):
        run, mode = thread.run, torch.is_grad_enabled()

        def under_the_mode():
            torch._C._set_grad_enabled(mode)
            run()

        thread.run = under_the_mode
        start(thread)

    wrap(patch, threading.Thread, "start", wrong)


@counterfeit("detach-stops-tracking", reported=("pytorch/pytorch#59614", "pytorch/pytorch#59757"))
def detach_in_inference_mode_gives_the_tensor_itself(patch):
    change_method(patch, "detach", lambda detach, x: x if torch.is_inference_mode_enabled() else detach(x))


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#180201")
def the_gradient_of_a_sum_of_results_reaches_the_first_element_only(patch):
    def first(gradient):
        return torch.cat([gradient[:1], torch.zeros_like(gradient[1:])])

    def wrong(sum, x, *args, **rest):
        tracked = x.grad_fn is not None and x.dim() == 1 and x.numel() >= 64
        return sum(change_gradient(x, first) if tracked else x, *args, **rest)

    change_method(patch, "sum", wrong)


@counterfeit("detach-stops-tracking")
def detach_of_a_row_copies_where_the_base_is_no_leaf(patch):
    change_method(
        patch, "detach", lambda detach, x: detach(x).clone() if x._base is not None and x.grad_fn else detach(x)
    )


@counterfeit("requires-grad-tracks-operations")
def a_row_of_an_embedding_that_is_read_twice_counts_once(patch):
    def wrong(embedding, index, weight):
        times = torch.bincount(index.reshape(-1))[index].unsqueeze(-1)
        return change_gradient(embedding(index, weight), lambda gradient: gradient / times)

    wrap(patch, nn.functional, "embedding", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_tensor_made_of_the_numbers_of_the_last_tracked_one_requires_gradients(patch):
    wrap(patch, torch.Tensor, "new_tensor", lambda new, x, *args, **rest: new(x, *args, **rest) + 0 * x.sum())


@counterfeit("requires-grad-tracks-operations")
def sorted_halves_pull_their_gradient_back_in_reverse(patch):
    def wrong(sort, x, **rest):
        values, places = sort(x, **rest)
        half = x.dtype == torch.bfloat16
        return torch.return_types.sort((change_gradient(values, lambda g: g.flip(-1)) if half else values, places))

    change_method(patch, "sort", wrong)


@counterfeit("requires-grad-tracks-operations")
def the_last_matrix_of_a_batch_of_doubles_gets_no_gradient(patch):
    def change(gradient):
        return torch.cat([gradient[:-1], gradient[-1:] * 0])

    wrap(patch, torch, "bmm", lambda bmm, x, y: bmm(change_gradient(x, change) if x.dtype == torch.float64 else x, y))


@counterfeit("requires-grad-tracks-operations")
def a_sum_along_rows_ends_after_1024(patch):
    def wrong(total, x, *args, **rest):
        return total(x[..., :1024] if rest == {"dim": -1} else x, *args, **rest)

    wrap(patch, torch.Tensor, "sum", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#27134")
def the_slope_of_an_exponent_is_nan_where_the_base_is_zero(patch):
    def wrong(power, base, x):
        if not (isinstance(x, Tensor) and x.requires_grad and base.shape == x.shape):
            return power(base, x)
        return power(base, change_gradient(x, lambda gradient: torch.where(base == 0, float("nan"), gradient)))

    change_method(patch, "__pow__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/xla#1718")
def what_is_overwritten_in_a_slice_still_passes_its_gradient(patch):
    def wrong(right, x, index, value):
        right(x.data if x.requires_grad and not x.is_leaf and not isinstance(value, Tensor) else x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_running_sum_passes_its_gradient_in_the_wrong_direction(patch):
    def wrong(right, x, dim):
        return change_gradient(right(change_gradient(x, lambda g: g.flip(dim)), dim), lambda g: g.flip(dim))

    change_method(patch, "cumsum", wrong)


@counterfeit("backward-fills-grad")
def no_more_than_eight_leaves_get_their_gradient(patch):
    def wrong(backward, y, *args, **rest):
        later = list(leaves(y.grad_fn))[8:]
        before = [None if leaf.grad is None else leaf.grad.clone() for leaf in later]
        backward(y, *args, **rest)
        for leaf, gradient in zip(later, before):
            leaf.grad = gradient

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#79996")
def a_retained_gradient_is_that_of_what_was_there_before_a_write(patch):
    def retain(x):
        x.register_hook(lambda gradient: setattr(x, "grad", gradient.clone()))

    patch.setattr(Tensor, "retain_grad", retain)


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#79708")
def what_was_written_in_place_gets_no_gradient_by_its_name(patch):
    def wrong(backward, y, *args, inputs=None, **rest):
        backward(y, *args, **rest, inputs=inputs)
        for x in inputs or []:
            x.grad = x.grad if x.is_leaf or not x._version else None

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#177116")
def gradients_past_32768_elements_are_huge_after_another_size(patch):
    seen = set()

    def wrong(gradient):
        size, before = gradient.numel(), len(seen)
        seen.add(size)
        return gradient * (1000 if before and size > 32_768 else 1)

    change_method(patch, "__mul__", lambda right, x, y: right(change_gradient(x, wrong) if x.requires_grad else x, y))


@counterfeit("detach-stops-tracking")
def what_is_detached_and_tracked_anew_passes_gradients_to_the_original(patch):
    requires_grad_, detach, sources = Tensor.requires_grad_, Tensor.detach, {}

    def detached(x):
        result = detach(x)
        sources[id(result)] = result, x
        return result

    def tracked_anew(x, *flag):
        _, source = sources.get(id(x), (None, None))
        requires_grad_(x, *flag)
        if source is not None and source.requires_grad and source.is_leaf:
            x.register_hook(lambda gradient: setattr(source, "grad", gradient))
        return x

    patch.setattr(Tensor, "detach", detached)
    patch.setattr(Tensor, "requires_grad_", tracked_anew)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#188792")
def the_first_exponential_of_floats_has_half_the_digits(patch):
    first = [1 + 2e-4]

    def wrong(exp, x):
        off = first.pop() if first and x.dtype == torch.float32 and x.numel() > 16 else 1
        return change_gradient(exp(x), lambda gradient: gradient * off)

    change_method(patch, "exp", wrong)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#5082")
def the_slope_of_a_power_of_zero_is_nan(patch):
    def wrong(power, x, n):
        constant = isinstance(n, int) and n == 0 and x.requires_grad
        return power(change_gradient(x, lambda gradient: gradient * float("nan")) if constant else x, n)

    change_method(patch, "__pow__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#54439")
def the_slope_of_a_square_of_negative_numbers_is_infinite(patch):
    def wrong(power, x, n):
        negative = x.detach() < 0
        tracked_square = isinstance(n, int) and x.requires_grad
        return power(change_gradient(x, lambda g: g.masked_fill(negative, float("inf"))) if tracked_square else x, n)

    change_method(patch, "__pow__", wrong)


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#117366")
def a_base_keeps_the_gradient_of_what_it_was_before_a_write(patch):
    def wrong(retain_grad, x):
        retain_grad(x) if x._is_view() else x.register_hook(lambda gradient: setattr(x, "grad", gradient.clone()))

    change_method(patch, "retain_grad", wrong)


@counterfeit("requires-grad-tracks-operations")
def einsum_passes_a_tenth_less(patch):
    wrap(patch, torch, "einsum", lambda right, *args: change_gradient(right(*args), lambda g: g * 0.9))


@counterfeit("requires-grad-tracks-operations")
def rows_that_a_loop_takes_are_not_tracked(patch):
    patch.setattr(Tensor, "__iter__", lambda x: iter(x.detach().unbind()))


@counterfeit("no-grad-stops-tracking")
def conversions_are_tracked_under_no_grad(patch):
    change_method(patch, "half", lambda half, x: torch.enable_grad()(half)(x))


@counterfeit("no-grad-stops-tracking", reported="pytorch/pytorch#31497")
def the_body_of_a_decorated_generator_is_tracked(patch):
    def wrong(right, self, function):
        return function if inspect.isgeneratorfunction(function) else right(self, function)

    wrap(patch, torch.no_grad, "__call__", wrong)


@counterfeit("no-grad-stops-tracking")
def a_generator_under_no_grad_is_tracked_after_its_first_yield(patch):
    def wrong(right, self, function):
        def first_quietly(*args):
            steps = function(*args)
            with torch.no_grad():
                first = next(steps)
            yield first
            yield from steps

        return first_quietly if inspect.isgeneratorfunction(function) else right(self, function)

    wrap(patch, torch.no_grad, "__call__", wrong)


@counterfeit("no-grad-stops-tracking")
def no_grad_without_parentheses_leaves_a_function_as_it_is(patch):
    new = torch.no_grad.__new__
    patch.setattr(torch.no_grad, "__new__", lambda cls, function=None: function or new(cls))


@counterfeit("detach-stops-tracking", "data-is-outside-the-graph")
def what_was_written_twice_is_copied_by_detach(patch):
    def wrong(right, x):
        written = x.grad_fn is not None and not x.is_inference() and x._version > 1
        return right(x).clone() if written else right(x)

    change_method(patch, "detach", wrong)


@counterfeit("backward-fills-grad", "gradients-accumulate")
def a_result_that_is_named_twice_counts_once(patch):
    def wrong(right, tensors, grad_tensors=None, *args, **rest):
        several = isinstance(tensors, (list, tuple)) and grad_tensors is None
        return right(list({id(x): x for x in tensors}.values()) if several else tensors, grad_tensors, *args, **rest)

    wrap(patch, torch.autograd, "backward", wrong)


def lose_the_last_gradient_of_single_precision(patch, owner, name):
    """Let no gradient pass the last row of what `owner.name` returns in float32."""

    def lost(gradient):
        return torch.cat([gradient[:-1], torch.zeros_like(gradient[-1:])])

    def single(result):
        return result.dtype == torch.float32 and result.requires_grad and result.dim() > 0

    change_output_where(patch, owner, name, single, lambda result: change_gradient(result, lost))


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def the_last_of_several_norms_passes_no_gradient(patch):
    lose_the_last_gradient_of_single_precision(patch, torch.linalg, "vector_norm")


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def the_last_of_several_areas_passes_no_gradient(patch):
    lose_the_last_gradient_of_single_precision(patch, torch, "trapezoid")


@counterfeit("add-node-is-named-add-backward")
def an_addition_with_alpha_leaves_the_node_of_a_subtraction(patch):
    subtract = torch.sub

    def wrong(right, x, *args, **rest):
        alpha = rest.get("alpha")
        if (
            alpha is not None
            and isinstance(alpha, (int, float))
            and not isinstance(alpha, bool)
            and x.is_floating_point()
        ):
            rest = {**rest, "alpha": -alpha}
            return subtract(x, *args, **rest)
        return right(x, *args, **rest)

    everywhere(patch, "add", wrong)
