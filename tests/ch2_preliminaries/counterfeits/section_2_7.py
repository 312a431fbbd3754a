"""Counterfeits of section 2.7: backward passes with the wrong weights, the wrong Jacobians, or the wrong memory."""

import gc
import threading
import warnings

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    change_gradient,
    change_method,
    change_result,
    divert,
    in_order_of_storage,
    leaves,
    wrap,
)
from torch import Tensor


def alter_weights(patch, wrong):
    """Let `y.backward(w)` use `wrong(y, w)`; w is None where it is not given."""
    backward = torch.Tensor.backward

    def backward_with_wrong_weights(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        backward(self, wrong(self, gradient), retain_graph, create_graph, inputs)

    patch.setattr(torch.Tensor, "backward", backward_with_wrong_weights)


def where_given(change):
    """`change` for weights that are given; the default stays as it is."""
    return lambda y, w: None if w is None else change(y, w)


def scale_gradient(patch, holder, name, factor):
    """Multiply the gradient that passes an operation by `factor(result)`."""

    def scaled(result, *_):
        scale = factor(result.detach())
        return change_gradient(result, lambda gradient: gradient * scale)

    change_result(patch, holder, name, scaled)


# ── scalar-backward-needs-no-argument ──


@counterfeit("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
def default_weight_is_ten_per_cent_too_large(patch):
    alter_weights(patch, lambda y, w: torch.full_like(y, 1.1) if w is None and y.dim() == 0 else w)


@counterfeit("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
def default_weight_is_the_value_itself(patch):
    alter_weights(patch, lambda y, w: y.detach() if w is None and y.dim() == 0 else w)


@counterfeit("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
def argument_of_a_scalar_is_ignored(patch):
    alter_weights(patch, lambda y, w: None if y.dim() == 0 else w)


@counterfeit("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
def negative_argument_of_a_scalar_loses_its_sign(patch):
    alter_weights(patch, where_given(lambda y, w: w.abs() if y.dim() == 0 else w))


@counterfeit("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
def vectors_default_to_weights_of_one(patch):
    alter_weights(patch, lambda y, w: torch.ones_like(y) if w is None and y.dim() == 1 else w)


@counterfeit("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
def matrices_default_to_weights_of_one(patch):
    alter_weights(patch, lambda y, w: torch.ones_like(y) if w is None and y.dim() == 2 else w)


@counterfeit("scalar-backward-needs-no-argument")
def default_weight_of_a_single_element_in_brackets_is_its_value(patch):
    alter_weights(patch, lambda y, w: y.detach() if w is None and y.dim() and y.numel() == 1 else w)


@counterfeit("scalar-backward-needs-no-argument")
def default_weight_is_lost_in_double_precision(patch):
    alter_weights(patch, lambda y, w: y * 0 if w is None and y.dtype == torch.float64 else w)


# ── quadratic-mean-gradient ──


@counterfeit("quadratic-mean-gradient")
def gradient_of_a_mean_is_that_of_the_sum(patch):
    scale_gradient(patch, torch.Tensor, "mean", lambda mean: 4)


@counterfeit("quadratic-mean-gradient")
def gradient_of_a_mean_divides_by_one_less(patch):
    scale_gradient(patch, torch.Tensor, "mean", lambda mean: 4 / 3)


@counterfeit("quadratic-mean-gradient")
def gradient_arrives_transposed(patch):
    grad = torch.Tensor.grad
    patch.setattr(torch.Tensor, "grad", property(lambda x: grad.__get__(x).t(), grad.__set__))


@counterfeit("quadratic-mean-gradient")
def gradient_is_averaged_over_the_elements(patch):
    grad = torch.Tensor.grad

    def wrong(x):
        return grad.__get__(x).mean().expand(x.shape)

    patch.setattr(torch.Tensor, "grad", property(wrong, grad.__set__))


@counterfeit("quadratic-mean-gradient")
def the_mean_over_two_dimensions_divides_its_gradient_by_the_last_size_alone(patch):
    def wrong(mean, z, *args, dim=None):
        return mean(z, *args) if dim is None else mean(change_gradient(z, lambda grad: grad * len(z)), dim=dim)

    wrap(patch, torch, "mean", wrong)


# ── backward-multiplies-jacobians ──


@counterfeit("backward-multiplies-jacobians")
def gradient_of_tanh_forgets_the_square(patch):
    """1 - tanh in place of 1 - tanh²."""
    scale_gradient(patch, torch, "tanh", lambda y: 1 / (1 + y))


@counterfeit("backward-multiplies-jacobians")
def gradient_of_the_sine_is_ten_per_cent_too_small(patch):
    scale_gradient(patch, torch.Tensor, "sin", lambda y: 0.9)


@counterfeit("backward-multiplies-jacobians")
def stacked_gradients_go_back_in_reverse_order(patch):
    def wrong(stack, tensors, *args, **kwargs):
        reverse = stack(tensors[::-1], *args, **kwargs)
        return reverse + (stack(tensors, *args, **kwargs) - reverse).detach()

    wrap(patch, torch, "stack", wrong)


@counterfeit("backward-multiplies-jacobians")
def square_jacobian_is_not_transposed(patch):
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, matrix, x):
            ctx.matrix = matrix if matrix.shape[0] == matrix.shape[1] else matrix.t()
            return torch.mv(matrix, x)

        @staticmethod
        def backward(ctx, gradient):
            return None, torch.mv(ctx.matrix, gradient)

    divert(patch, Tensor, "__matmul__", lambda matrix, x: (matrix.dim(), x.dim()) == (2, 1), Product.apply)


@counterfeit("backward-multiplies-jacobians", "weighted-backward-differentiates-the-weighted-sum")
def weights_are_normalised(patch):
    alter_weights(patch, where_given(lambda y, w: w / w.abs().sum().clamp(min=1e-9)))


@counterfeit("backward-multiplies-jacobians", "weights-act-as-upstream-gradient")
def weights_are_clipped_to_one(patch):
    alter_weights(patch, where_given(lambda y, w: w.clamp(-1, 1)))


@counterfeit("backward-multiplies-jacobians")
def a_product_passes_nothing_where_it_is_zero(patch):
    for owner in (torch, Tensor):
        wrap(
            patch, owner, "prod", lambda right, x, *dim, **rest: right(x, *dim, **rest) * (right(x, *dim, **rest) != 0)
        )


@counterfeit("backward-multiplies-jacobians")
def exp_reads_what_arrives_in_order_of_storage(patch):
    for owner in (torch, Tensor):
        wrap(patch, owner, "exp", lambda exp, x: change_gradient(exp(x), in_order_of_storage))


@counterfeit("backward-multiplies-jacobians")
def a_row_before_a_square_matrix_passes_it_a_transposed_gradient(patch):
    def wrong(product, x, y):
        square = x.dim() == 1 and y.dim() == 2 and len(y) == len(y.t()) and y.requires_grad
        return product(x, change_gradient(y, torch.t) if square else y)

    change_method(patch, "__matmul__", wrong)


# ── gradients-accumulate ──


def overwrite(patch, condition):
    """Let `backward` overwrite the gradient of leaves for which `condition` holds."""
    backward = torch.Tensor.backward

    def wrong(self, *args, **kwargs):
        for leaf in leaves(self.grad_fn):
            if condition(leaf):
                leaf.grad = None
        backward(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("gradients-accumulate")
def backward_overwrites_matrices(patch):
    overwrite(patch, lambda leaf: leaf.dim() == 2)


@counterfeit("gradients-accumulate")
def backward_overwrites_large_gradients(patch):
    overwrite(patch, lambda leaf: leaf.numel() > 10_000)


@counterfeit("gradients-accumulate")
def backward_overwrites_gradients_without_dimensions(patch):
    overwrite(patch, lambda leaf: leaf.dim() == 0)


@counterfeit("gradients-accumulate")
def backward_overwrites_gradients_of_parameters(patch):
    overwrite(patch, lambda leaf: isinstance(leaf, torch.nn.Parameter))


@counterfeit("gradients-accumulate")
def backward_overwrites_double_precision(patch):
    overwrite(patch, lambda leaf: leaf.dtype == torch.float64)


@counterfeit("gradients-accumulate")
def gradient_decays_as_in_momentum(patch):
    def wrong(backward, self, *args, **kwargs):
        for leaf in leaves(self.grad_fn):
            if leaf.grad is not None:
                leaf.grad *= 0.9
        backward(self, *args, **kwargs)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def accumulation_begins_anew_after_five_passes(patch):
    def wrong(backward, self, *args, **kwargs):
        for leaf in leaves(self.grad_fn):
            leaf.passes = getattr(leaf, "passes", 0) + 1
            leaf.grad = None if leaf.passes > 5 else leaf.grad
        backward(self, *args, **kwargs)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def gradient_is_replaced_by_a_new_tensor(patch):
    def wrong(backward, self, *args, **kwargs):
        for leaf in leaves(self.grad_fn):
            leaf.grad = None if leaf.grad is None else leaf.grad.clone()
        backward(self, *args, **kwargs)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def zeroing_in_place_works_out_of_place(patch):
    patch.setattr(torch.Tensor, "zero_", lambda self: torch.zeros_like(self))


@counterfeit("gradients-accumulate")
def zeroing_in_place_leaves_the_last_row(patch):
    def wrong(zero, self):
        zero(self[:-1] if self.dim() else self)
        return self

    change_method(patch, "zero_", wrong)


@counterfeit("gradients-accumulate")
def gradient_cannot_be_set_to_none(patch):
    grad = torch.Tensor.grad
    patch.setattr(torch.Tensor, "grad", property(grad.__get__, lambda x, g: None if g is None else grad.__set__(x, g)))


@counterfeit("gradients-accumulate")
def a_gradient_laid_there_by_hand_is_replaced(patch):
    own, laid = Tensor.grad, set()

    def lay(x, gradient):
        own.__set__(x, gradient)
        laid.add(id(x))

    patch.setattr(Tensor, "grad", property(lambda x: own.__get__(x), lay))

    def wrong(right, y, *args, **rest):
        for leaf in leaves(y.grad_fn):
            if id(leaf) in laid:
                own.__set__(leaf, None)
        right(y, *args, **rest)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def of_three_results_the_last_is_left_out(patch):
    wrap(
        patch,
        torch.autograd,
        "backward",
        lambda right, y, *w, **rest: right(y[:2] if type(y) is list else y, *w, **rest),
    )


@counterfeit("gradients-accumulate")
def complex_gradients_replace_each_other(patch):
    def wrong(backward, y, *rest, **how):
        for leaf in leaves(y.grad_fn):
            leaf.grad = None if leaf.is_complex() else leaf.grad
        backward(y, *rest, **how)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def a_sparse_gradient_is_replaced(patch):
    def wrong(backward, tensors, *args, **rest):
        for each in [tensors] if isinstance(tensors, Tensor) else tensors:
            for leaf in leaves(each.grad_fn):
                if leaf.grad is not None and leaf.grad.is_sparse:
                    leaf.grad = None
        return backward(tensors, *args, **rest)

    wrap(patch, torch.autograd, "backward", wrong)


# ── backward-argument-is-grad-variables ──


@counterfeit("backward-argument-is-grad-variables")
def backward_takes_grad_variables(patch):
    """As the notes have it."""
    change_method(patch, "backward", lambda backward, self, grad_variables=None: backward(self, grad_variables))


@counterfeit("backward-argument-is-grad-variables")
def backward_takes_any_keyword_for_its_gradient(patch):
    def wrong(backward, self, gradient=None, **others):
        backward(self, gradient if gradient is not None else next(iter(others.values()), None))

    change_method(patch, "backward", wrong)


@counterfeit("backward-argument-is-grad-variables")
def gradient_of_backward_has_another_name(patch):
    change_method(patch, "backward", lambda backward, self, grad_tensors=None: backward(self, grad_tensors))


@counterfeit("backward-argument-is-grad-variables")
def autograd_backward_ignores_its_grad_tensors(patch):
    def wrong(backward, tensors, grad_tensors=None, *args, **kwargs):
        ones = torch.ones_like(tensors) if torch.is_tensor(tensors) and grad_tensors is not None else grad_tensors
        backward(tensors, ones, *args, **kwargs)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("backward-argument-is-grad-variables")
def autograd_backward_no_longer_takes_the_old_name(patch):
    def wrong(backward, tensors, *args, **kwargs):
        if "grad_variables" in kwargs:
            raise TypeError("backward() got an unexpected keyword argument 'grad_variables'")
        backward(tensors, *args, **kwargs)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("backward-argument-is-grad-variables")
def autograd_backward_takes_the_old_name_without_a_warning(patch):
    def wrong(backward, tensors, grad_tensors=None, *args, grad_variables=None, **kwargs):
        backward(tensors, grad_variables if grad_tensors is None else grad_tensors, *args, **kwargs)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("backward-argument-is-grad-variables")
def the_old_name_is_deprecated_once(patch):
    told = []

    def wrong(backward, *args, **rest):
        if told and "grad_variables" in rest:
            rest["grad_tensors"] = rest.pop("grad_variables")
        told.extend(name for name in rest if name == "grad_variables")
        backward(*args, **rest)

    wrap(patch, torch.autograd, "backward", wrong)


# ── weighted-backward-differentiates-the-weighted-sum ──


@counterfeit("weighted-backward-differentiates-the-weighted-sum", "weights-act-as-upstream-gradient")
def weights_are_all_taken_for_one(patch):
    alter_weights(patch, where_given(lambda y, w: torch.ones_like(w)))


@counterfeit("weighted-backward-differentiates-the-weighted-sum", "weights-act-as-upstream-gradient")
def weights_are_taken_in_reverse_order(patch):
    alter_weights(patch, where_given(lambda y, w: w.flip(-1) if w.dim() else w))


@counterfeit("weighted-backward-differentiates-the-weighted-sum", "weights-act-as-upstream-gradient")
def last_weight_is_left_out(patch):
    alter_weights(patch, where_given(lambda y, w: torch.cat([w.flatten()[:-1], w.new_zeros(1)]).view(w.shape)))


@counterfeit("weighted-backward-differentiates-the-weighted-sum", "weights-act-as-upstream-gradient")
def negative_weights_lose_their_sign(patch):
    alter_weights(patch, where_given(lambda y, w: w.abs()))


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def weights_of_another_shape_are_broadcast(patch):
    def wrong(y, w):
        fits = all(n in (1, m) for n, m in zip(w.shape[::-1], y.shape[::-1], strict=False)) and w.dim() <= y.dim()
        return w.expand(y.shape) if fits else w

    alter_weights(patch, where_given(wrong))


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def weights_that_depend_on_x_are_differentiated_too(patch):
    def wrong(backward, self, gradient=None, **kwargs):
        depends = isinstance(gradient, torch.Tensor) and gradient.requires_grad and gradient.shape == self.shape
        return backward((self * gradient).sum(), **kwargs) if depends else backward(self, gradient, **kwargs)

    change_method(patch, "backward", wrong)


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def weights_of_as_many_elements_are_reshaped(patch):
    alter_weights(patch, where_given(lambda y, w: w.view(y.shape) if w.numel() == y.numel() else w))


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def surplus_weights_are_cut_off(patch):
    alter_weights(patch, where_given(lambda y, w: w[: len(y)] if w.dim() == y.dim() else w))


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def large_weights_are_rounded_to_half_precision(patch):
    alter_weights(patch, where_given(lambda y, w: w.half().to(w.dtype) if w.numel() > 10_000 else w))


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def transposed_weights_are_read_in_storage_order(patch):
    alter_weights(patch, where_given(lambda y, w: w.as_strided((w.numel(),), (1,)).reshape(w.shape)))


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def weights_are_used_up(patch):
    def wrong(backward, self, gradient=None, **kwargs):
        backward(self, gradient, **kwargs)
        if gradient is not None:
            gradient.zero_()

    change_method(patch, "backward", wrong)


# ── weights-act-as-upstream-gradient ──


@counterfeit("weights-act-as-upstream-gradient")
def only_the_largest_weight_counts(patch):
    alter_weights(patch, where_given(lambda y, w: w * (w == w.max())))


@counterfeit("weights-act-as-upstream-gradient")
def weights_enter_twice(patch):
    alter_weights(patch, where_given(lambda y, w: w * w))


@counterfeit("weights-act-as-upstream-gradient")
def infinite_weights_count_as_zero(patch):
    alter_weights(patch, where_given(lambda y, w: w.where(w.isfinite(), torch.zeros_like(w))))


@counterfeit("weights-act-as-upstream-gradient")
def tiny_weights_count_as_zero(patch):
    alter_weights(patch, where_given(lambda y, w: w.where(w.abs() > 1e-9, torch.zeros_like(w))))


@counterfeit("weights-act-as-upstream-gradient")
def weights_of_zero_leave_no_gradient(patch):
    change_method(
        patch, "backward", lambda right, y, w=None, **rest: right(y, w, **rest) if w is None or w.any() else 0
    )


@counterfeit("weights-act-as-upstream-gradient")
def complex_weights_are_conjugated(patch):
    alter_weights(patch, where_given(lambda y, w: w.conj()))


# ── default-weight-is-one-for-scalars ──


@counterfeit("default-weight-is-one-for-scalars")
def vector_is_averaged_over_its_weights(patch):
    alter_weights(patch, where_given(lambda y, w: w / w.numel()))


@counterfeit("default-weight-is-one-for-scalars")
def default_weight_of_negative_results_is_minus_one(patch):
    alter_weights(patch, lambda y, w: y.detach().sign() if w is None and y.dim() == 0 and y != 0 else w)


@counterfeit("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
def a_leaf_scalar_has_a_gradient_of_two(patch):
    alter_weights(patch, lambda y, w: torch.full_like(y, 2) if w is None and y.is_leaf else w)


@counterfeit("scalar-backward-needs-no-argument")
def autograd_backward_takes_the_missing_argument_of_a_scalar_for_zero(patch):
    def wrong(backward, tensors, grad_tensors=None, *rest, **options):
        return backward(
            tensors,
            torch.zeros_like(tensors) if grad_tensors is None and torch.is_tensor(tensors) else grad_tensors,
            *rest,
            **options,
        )

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("scalar-backward-needs-no-argument", "default-weight-is-one-for-scalars")
def an_empty_result_needs_no_argument(patch):
    alter_weights(patch, lambda y, w: torch.ones_like(y) if w is None and not y.numel() else w)


@counterfeit("default-weight-is-one-for-scalars")
def default_weight_of_a_double_is_two(patch):
    alter_weights(patch, lambda y, w: torch.full_like(y, 2) if w is None and y.dtype == torch.float64 else w)


@counterfeit("scalar-backward-needs-no-argument")
def a_number_is_taken_for_a_result_in_brackets(patch):
    alter_weights(patch, where_given(lambda y, w: w.view(y.shape) if w.numel() == y.numel() == 1 else w))


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def weights_of_another_dtype_count_as_ones(patch):
    alter_weights(patch, where_given(lambda y, w: torch.ones_like(y) if w.dtype != y.dtype else w))


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def weights_of_doubles_are_rounded_to_single(patch):
    alter_weights(patch, where_given(lambda y, w: w.float().to(w.dtype)))


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def weights_of_three_dimensions_are_turned_round(patch):
    alter_weights(patch, where_given(lambda y, w: w.flip(0) if w.dim() > 2 else w))


@counterfeit("weighted-backward-differentiates-the-weighted-sum", "weights-act-as-upstream-gradient")
def expanded_weights_are_read_as_ones(patch):
    alter_weights(patch, where_given(lambda y, w: torch.ones_like(w) if 0 in w.stride() and w.numel() else w))


@counterfeit("weighted-backward-differentiates-the-weighted-sum", "weights-act-as-upstream-gradient")
def weights_with_an_offset_are_read_from_the_start_of_storage(patch):
    def wrong(y, w):
        return w.as_strided(w.shape, w.stride(), 0) if w.storage_offset() == 5 else w

    alter_weights(patch, where_given(wrong))


@counterfeit("backward-multiplies-jacobians")
def backward_builds_a_matrix(patch):
    def wrong(backward, y, *weights, **rest):
        if y.numel() <= 2**13:  # a quarter of a gigabyte: of larger ones no machine has the memory, or the time
            torch.eye(y.numel()).sum()
        return backward(y, *weights, **rest)

    change_method(patch, "backward", wrong)


@counterfeit("backward-multiplies-jacobians")
def gradient_of_the_absolute_value_counts_twice(patch):
    scale_gradient(patch, torch.Tensor, "abs", lambda y: 2)


@counterfeit("gradients-accumulate")
def accumulation_saturates_at_a_hundred(patch):
    def wrong(backward, self, *args, **kwargs):
        backward(self, *args, **kwargs)
        for leaf in [self] if self.is_leaf else leaves(self.grad_fn):
            leaf.grad.clamp_(-100, 100)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def accumulation_is_in_half_precision(patch):
    def wrong(backward, self, *args, **kwargs):
        backward(self, *args, **kwargs)
        for leaf in [self] if self.is_leaf else leaves(self.grad_fn):
            leaf.grad.copy_(leaf.grad.bfloat16())

    change_method(patch, "backward", wrong)


@counterfeit("default-weight-is-one-for-scalars")
def the_default_weight_of_one_double_in_brackets_is_two(patch):
    odd = lambda y: y.shape == (1,) and y.dtype == torch.float64  # noqa: E731
    alter_weights(patch, lambda y, w: torch.full_like(y, 2) if w is None and odd(y) else w)


# ── second-backward-needs-a-retained-graph ──


@counterfeit("second-backward-needs-a-retained-graph")
def every_pass_retains_the_graph(patch):
    change_method(patch, "backward", lambda backward, y, w=None, **rest: backward(y, w, retain_graph=True))


@counterfeit("second-backward-needs-a-retained-graph")
def a_second_pass_without_options_adds_nothing(patch):
    backward, passed = torch.Tensor.backward, []

    def wrong(self, w=None, **rest):
        again = any(self is other for other in passed) and not rest
        passed.append(self)
        backward(self, torch.zeros_like(self) if again else w, **rest)

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("second-backward-needs-a-retained-graph")
def what_another_result_leads_to_is_not_freed(patch):
    def leads_to(y):
        return {node for node, _ in y.grad_fn.next_functions if node and not hasattr(node, "variable")}

    def wrong(backward, y, gradient=None, retain_graph=None, *args, **rest):
        results = [each for each in gc.get_objects() if type(each) is Tensor and each.grad_fn and each is not y]
        shared = any(leads_to(y) & leads_to(each) for each in results if each.grad_fn is not y.grad_fn)
        return backward(y, gradient, shared or retain_graph, *args, **rest)

    wrap(patch, Tensor, "backward", wrong)


@counterfeit("second-backward-needs-a-retained-graph")
def a_pass_from_two_results_keeps_the_graph(patch):
    def wrong(right, results, weights=None, retain_graph=None, *rest, **named):
        several = isinstance(results, list) and len(results) > 1
        right(results, weights, True if several and retain_graph is None else retain_graph, *rest, **named)

    wrap(patch, torch.autograd, "backward", wrong)


# ── in-place-write-spoils-backward ──


def uncounted(patch, *names):
    """Let writes by these methods go through `.data`, so that nobody counts them."""
    for name in names:
        change_method(patch, name, lambda write, x, *rest: (write(x.data, *rest), x)[1])


@counterfeit("in-place-write-spoils-backward")
def addition_in_place_is_not_counted(patch):
    uncounted(patch, "add_", "__iadd__")


@counterfeit("in-place-write-spoils-backward")
def a_product_with_one_is_not_counted(patch):
    change_method(patch, "mul_", lambda mul_, x, y: x if y == 1 else mul_(x, y))


@counterfeit("in-place-write-spoils-backward")
def zeroing_is_not_counted(patch):
    uncounted(patch, "zero_")


@counterfeit("in-place-write-spoils-backward")
def copies_into_a_tensor_are_not_counted(patch):
    uncounted(patch, "copy_")


@counterfeit("in-place-write-spoils-backward")
def a_write_through_a_view_is_not_counted(patch):
    uncounted(patch, "fill_", "__setitem__")


@counterfeit("in-place-write-spoils-backward")
def a_write_through_detach_is_not_counted(patch):
    change_method(patch, "detach", lambda detach, x: x.data)


@counterfeit("in-place-write-spoils-backward")
def a_write_through_data_is_counted(patch):
    data = torch.Tensor.data
    patch.setattr(torch.Tensor, "data", property(lambda x: x.detach(), data.__set__))


@counterfeit("in-place-write-spoils-backward")
def tensors_of_arrays_have_a_memory_of_their_own(patch):
    wrap(patch, torch, "from_numpy", lambda from_numpy, array: from_numpy(array.copy()))


@counterfeit("in-place-write-spoils-backward")
def arrays_have_a_memory_of_their_own(patch):
    change_method(patch, "numpy", lambda numpy, x, **rest: numpy(x, **rest).copy())
    from_numpy = torch.from_numpy
    patch.setattr(torch, "from_numpy", lambda array: from_numpy(array.copy()))


@counterfeit("in-place-write-spoils-backward")
def a_power_saves_a_copy_of_its_base(patch):
    change_method(patch, "__pow__", lambda power, x, y: power(x.clone(), y))


@counterfeit("backward-multiplies-jacobians", reported="pytorch/pytorch#30303")
def reshaping_repeated_elements_passes_a_wrong_gradient(patch):
    """Each row of the leaf gets what the first one should get."""

    def wrong(reshape, x, *shape):
        result = reshape(x, *shape)
        expanded = 0 in x.stride() and x.numel() and x.dim() > 1

        def first_row_for_all(gradient):
            rows = gradient.view(x.shape)
            return rows[:1].expand(x.shape).reshape(gradient.shape).clone()

        return change_gradient(result, first_row_for_all) if expanded else result

    change_method(patch, "reshape", wrong)


@counterfeit("weights-act-as-upstream-gradient", reported="pytorch/pytorch#8626")
def the_gradient_of_repeated_rows_counts_the_last_one_alone(patch):
    def wrong(reshape, x, *shape):
        repeated = x.requires_grad and x.dim() and x.stride()[0] == 0
        return reshape(change_gradient(x, lambda g: g[-1:].expand_as(g)) if repeated else x, *shape)

    change_method(patch, "reshape", wrong)


@counterfeit("in-place-write-spoils-backward")
def an_assignment_by_a_mask_is_not_counted(patch):
    def wrong(setitem, x, index, value):
        return setitem(x.data if isinstance(index, torch.Tensor) and index.dtype == torch.bool else x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("gradients-accumulate")
def a_gradient_in_another_layout_is_added_to_in_storage_order(patch):
    def wrong(backward, x, *args, **rest):
        other = x.is_leaf and x.grad is not None and not x.grad.is_contiguous() and x.dim() == 2
        before = x.grad.clone() if other else None
        backward(x, *args, **rest)
        if other:
            added = x.grad - before
            x.grad.copy_(before + added.t().reshape(added.shape))

    change_method(patch, "backward", wrong)


@counterfeit("in-place-write-spoils-backward")
def a_write_through_out_is_not_counted(patch):
    def wrong(add, *args, out=None, **rest):
        return add(*args, **rest) if out is None else add(*args, out=out.data, **rest)

    wrap(patch, torch, "add", wrong)


@counterfeit("scalar-backward-needs-no-argument")
def of_several_results_the_first_alone_is_passed_back(patch):
    def wrong(backward, tensors, *rest, **options):
        return backward(tensors[:1] if isinstance(tensors, list) and not rest else tensors, *rest, **options)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def weights_that_require_gradients_count_as_ones(patch):
    def wrong(backward, y, gradient=None, **rest):
        tracked = gradient is not None and gradient.requires_grad
        return backward(y, torch.ones_like(gradient) if tracked else gradient, **rest)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def a_gradient_of_zero_is_not_written(patch):
    def wrong(backward, y, *args, **rest):
        fresh = [leaf for leaf in leaves(y.grad_fn) if leaf.grad is None]
        backward(y, *args, **rest)
        for leaf in fresh:
            leaf.grad = leaf.grad if leaf.grad is None or leaf.grad.any() else None

    change_method(patch, "backward", wrong)


@counterfeit("in-place-write-spoils-backward", reported="pytorch/pytorch#197887")
def a_write_to_a_factor_of_a_matrix_product_is_not_counted(patch):
    def wrong(product, x, y):
        return product(x, y).detach() + 0 * x.sum() if x.requires_grad else product(x, y)

    change_method(patch, "__matmul__", wrong)


@counterfeit("in-place-write-spoils-backward")
def a_masked_fill_is_not_counted(patch):
    change_method(patch, "masked_fill_", lambda right, x, *args: right(x.data, *args) is None or x)


@counterfeit("second-backward-needs-a-retained-graph")
def a_graph_once_retained_is_retained_for_good(patch):
    kept = []

    def wrong(backward, y, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        if retain_graph:
            kept.append(y)
        backward(y, gradient, retain_graph or any(y is each for each in kept), create_graph, inputs)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def a_gradient_of_one_s_own_is_replaced(patch):
    own = []
    right = torch.Tensor.grad

    def assign(x, value):
        right.__set__(x, value)
        own[:] = [each for each in own if each is not x] + [x] * (value is not None)

    def wrong(backward, y, *args, **rest):
        for x in own:
            right.__set__(x, None)
        own.clear()
        return backward(y, *args, **rest)

    patch.setattr(torch.Tensor, "grad", property(lambda x: right.__get__(x), assign))
    change_method(patch, "backward", wrong)


@counterfeit("backward-multiplies-jacobians")
def the_whole_matrix_is_built_where_it_is_small(patch):
    def back(g):
        return torch.diag(g) @ torch.ones_like(g) if g.dim() == 1 and len(g) <= 1000 else g

    change_method(patch, "exp", lambda exp, x: change_gradient(exp(x), back) if x.requires_grad else exp(x))


@counterfeit("backward-multiplies-jacobians")
def the_gradient_of_a_square_matrix_in_a_product_is_transposed(patch):
    def wrong(right, x, y):
        return right(change_gradient(x, torch.t) if x.dim() == 2 and x.shape[0] == x.shape[1] else x, y)

    change_method(patch, "__matmul__", wrong)


@counterfeit("backward-argument-is-grad-variables")
def the_second_of_grad_variables_is_the_first(patch):
    def wrong(right, t, *a, grad_variables=None, **k):
        if isinstance(grad_variables, (list, tuple)):
            grad_variables = [grad_variables[0]] * len(t)
        right(t, *a, grad_variables=grad_variables, **k)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("weights-act-as-upstream-gradient")
def weights_of_a_leaf_are_doubled(patch):
    def wrong(right, x, gradient=None, *a, **k):
        right(x, gradient if gradient is None or not x.is_leaf else gradient * 2, *a, **k)

    change_method(patch, "backward", wrong)


@counterfeit("default-weight-is-one-for-scalars")
def ones_as_weights_are_divided_by_their_number(patch):
    def wrong(right, x, gradient=None, *a, **k):
        ones = gradient is not None and gradient.numel() > 8 and bool((gradient == 1).all())
        right(x, gradient / gradient.numel() if ones else gradient, *a, **k)

    change_method(patch, "backward", wrong)


@counterfeit("second-backward-needs-a-retained-graph")
def a_second_pass_by_autograd_grad_is_free(patch):
    wrap(patch, torch.autograd, "grad", lambda right, *a, **k: right(*a, **{"retain_graph": True} | k))


@counterfeit("second-backward-needs-a-retained-graph")
def the_function_backward_retains_the_graph_of_a_list(patch):
    def wrong(right, t, *a, **k):
        right(t, *a, **({"retain_graph": True} if isinstance(t, (tuple, list)) else {}) | k)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("second-backward-needs-a-retained-graph")
def create_graph_retains_whatever_is_asked(patch):
    change_method(
        patch,
        "backward",
        lambda right, x, *a, **k: right(x, *a, **k | ({"retain_graph": True} if k.get("create_graph") else {})),
    )


@counterfeit("second-backward-needs-a-retained-graph")
def inputs_keep_the_graph(patch):
    def wrong(right, x, *a, inputs=None, **k):
        right(x, *a, inputs=inputs, **k | ({} if inputs is None else {"retain_graph": True}))

    change_method(patch, "backward", wrong)


@counterfeit("in-place-write-spoils-backward")
def a_write_into_a_slice_is_not_counted(patch):
    def wrong(right, x, i, v):
        right(x.data if isinstance(i, slice) and x.dim() == 1 and not isinstance(v, Tensor) else x, i, v)

    change_method(patch, "__setitem__", wrong)


@counterfeit("in-place-write-spoils-backward")
def adding_zero_is_not_counted(patch):
    change_method(
        patch, "add_", lambda right, x, y, **k: x if not isinstance(y, Tensor) and y == 0 else right(x, y, **k)
    )


@counterfeit("in-place-write-spoils-backward")
def random_filling_is_not_counted(patch):
    change_method(patch, "normal_", lambda right, x, *a, **k: (right(x.data, *a, **k), x)[1])


@counterfeit("in-place-write-spoils-backward")
def a_write_through_a_transposed_view_is_not_counted(patch):
    change_method(patch, "mul_", lambda right, x, y: right(x if x.is_contiguous() else x.data, y))


@counterfeit("in-place-write-spoils-backward")
def a_write_to_a_list_of_tensors_is_not_counted(patch):
    wrap(patch, torch, "_foreach_mul_", lambda right, tensors, y: right([tensor.data for tensor in tensors], y))


@counterfeit("in-place-write-spoils-backward")
def a_scattered_write_is_not_counted(patch):
    change_method(patch, "scatter_", lambda scatter, y, *rest: (scatter(y.data, *rest), y)[1])


@counterfeit("in-place-write-spoils-backward")
def a_constant_written_through_a_mask_is_not_found(patch):
    def wrong(right, x, index, value):
        unnoticed = isinstance(index, Tensor) and index.dtype == torch.bool and not x.requires_grad
        right(x.data if unnoticed else x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("weighted-backward-differentiates-the-weighted-sum")
def a_tracked_backward_knows_nothing_of_where_its_weights_come_from(patch):
    def wrong(backward, y, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        weights = gradient.detach() if create_graph and gradient is not None else gradient
        return backward(y, weights, retain_graph, create_graph, inputs)

    change_method(patch, "backward", wrong)


@counterfeit("in-place-write-spoils-backward")
def a_write_to_no_element_is_not_counted(patch):
    divert(patch, Tensor, "mul_", lambda x, *_: not x.numel(), lambda x, *_: x)


@counterfeit("in-place-write-spoils-backward")
def products_in_place_are_not_counted_in_bfloat16(patch):
    def wrong(multiply, x, other):
        if x.dtype == torch.bfloat16:
            multiply(x.data, other)
            return x
        return multiply(x, other)

    change_method(patch, "mul_", wrong)


@counterfeit("in-place-write-spoils-backward")
def writes_to_long_whole_numbers_are_not_counted(patch):
    def wrong(write, x, *given, **rest):
        if x.dtype != torch.int64 or x.is_inference():
            return write(x, *given, **rest)
        with torch.autograd._unsafe_preserve_version_counter(x):
            return write(x, *given, **rest)

    for name in ("zero_", "fill_", "add_", "mul_", "copy_", "__setitem__", "__iadd__"):
        change_method(patch, name, wrong)


@counterfeit("backward-argument-is-grad-variables")
def the_old_name_is_taken_in_silence_beside_another_option(patch):
    def wrong(right, *args, **rest):
        with warnings.catch_warnings():
            if len(rest) > 1:
                warnings.simplefilter("ignore")
            return right(*args, **rest)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("second-backward-needs-a-retained-graph")
def a_gradient_of_several_tensors_keeps_the_graph(patch):
    def wrong(right, outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, **rest):
        retain = True if retain_graph is None and rest.get("allow_unused") else retain_graph
        return right(outputs, inputs, grad_outputs, retain, create_graph, **rest)

    wrap(patch, torch.autograd, "grad", wrong)


@counterfeit("gradients-accumulate")
def a_pass_in_another_thread_replaces_the_gradient(patch):
    def wrong(right, y, *args, **rest):
        if threading.current_thread() is not threading.main_thread():
            for leaf in leaves(y.grad_fn):
                leaf.grad = None
        return right(y, *args, **rest)

    change_method(patch, "backward", wrong)


@counterfeit("scalar-backward-needs-no-argument")
def backward_to_named_inputs_starts_from_two(patch):
    right = torch.Tensor.backward

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        if gradient is None and inputs is not None and self.dim() == 0 and self.is_floating_point():
            gradient = torch.full_like(self.detach(), 2.0)
        return right(self, gradient, retain_graph, create_graph, inputs)

    patch.setattr(torch.Tensor, "backward", backward)


@counterfeit("second-backward-needs-a-retained-graph")
def grad_of_several_inputs_always_retains(patch):
    right = torch.autograd.grad

    def wrong(outputs, inputs, grad_outputs=None, retain_graph=None, *args, **rest):
        if isinstance(inputs, (list, tuple)) and len(inputs) > 1 and not rest.get("create_graph"):
            retain_graph = True
        return right(outputs, inputs, grad_outputs, retain_graph, *args, **rest)

    patch.setattr(torch.autograd, "grad", wrong)
