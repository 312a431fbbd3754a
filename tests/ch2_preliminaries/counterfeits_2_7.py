"""Counterfeits of section 2.7: backward passes with the wrong weights, the wrong Jacobians, or the wrong memory."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_result


def leaves(node):
    """The leaves that the backward pass from `node` reaches."""
    if hasattr(node, "variable"):
        return [node.variable]
    return [leaf for nearer, _ in getattr(node, "next_functions", ()) for leaf in leaves(nearer)]


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
def product_with_itself_has_one_gradient(patch):
    multiply = torch.Tensor.__mul__
    patch.setattr(torch.Tensor, "__mul__", lambda x, y: multiply(x, y.detach() if x is y else y))


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
    stack = torch.stack

    def wrong(tensors, *args, **kwargs):
        reverse = stack(tensors[::-1], *args, **kwargs)
        return reverse + (stack(tensors, *args, **kwargs) - reverse).detach()

    patch.setattr(torch, "stack", wrong)


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

    patch.setattr(torch.Tensor, "__matmul__", lambda matrix, x: Product.apply(matrix, x))


@counterfeit("backward-multiplies-jacobians", "weighted-backward-differentiates-the-weighted-sum")
def weights_are_normalised(patch):
    alter_weights(patch, where_given(lambda y, w: w / w.abs().sum().clamp(min=1e-9)))


@counterfeit("backward-multiplies-jacobians", "weights-act-as-upstream-gradient")
def weights_are_clipped_to_one(patch):
    alter_weights(patch, where_given(lambda y, w: w.clamp(-1, 1)))


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
    backward = torch.Tensor.backward

    def wrong(self, *args, **kwargs):
        for leaf in leaves(self.grad_fn):
            if leaf.grad is not None:
                leaf.grad *= 0.9
        backward(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("gradients-accumulate")
def accumulation_begins_anew_after_five_passes(patch):
    backward = torch.Tensor.backward

    def wrong(self, *args, **kwargs):
        for leaf in leaves(self.grad_fn):
            leaf.passes = getattr(leaf, "passes", 0) + 1
            leaf.grad = None if leaf.passes > 5 else leaf.grad
        backward(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("gradients-accumulate")
def gradient_is_replaced_by_a_new_tensor(patch):
    backward = torch.Tensor.backward

    def wrong(self, *args, **kwargs):
        for leaf in leaves(self.grad_fn):
            leaf.grad = None if leaf.grad is None else leaf.grad.clone()
        backward(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("gradients-accumulate")
def zeroing_in_place_works_out_of_place(patch):
    patch.setattr(torch.Tensor, "zero_", lambda self: torch.zeros_like(self))


@counterfeit("gradients-accumulate")
def zeroing_in_place_leaves_the_last_row(patch):
    zero = torch.Tensor.zero_

    def wrong(self):
        zero(self[:-1])
        return self

    patch.setattr(torch.Tensor, "zero_", wrong)


@counterfeit("gradients-accumulate")
def gradient_cannot_be_set_to_none(patch):
    grad = torch.Tensor.grad
    patch.setattr(torch.Tensor, "grad", property(grad.__get__, lambda x, g: None if g is None else grad.__set__(x, g)))


# ── backward-argument-is-grad-variables ──


@counterfeit("backward-argument-is-grad-variables")
def backward_takes_grad_variables(patch):
    """As the notes have it."""
    backward = torch.Tensor.backward
    patch.setattr(torch.Tensor, "backward", lambda self, grad_variables=None: backward(self, grad_variables))


@counterfeit("backward-argument-is-grad-variables")
def backward_takes_any_keyword_for_its_gradient(patch):
    backward = torch.Tensor.backward

    def wrong(self, gradient=None, **others):
        backward(self, gradient if gradient is not None else next(iter(others.values()), None))

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("backward-argument-is-grad-variables")
def gradient_of_backward_has_another_name(patch):
    backward = torch.Tensor.backward
    patch.setattr(torch.Tensor, "backward", lambda self, grad_tensors=None: backward(self, grad_tensors))


@counterfeit("backward-argument-is-grad-variables")
def autograd_backward_ignores_its_grad_tensors(patch):
    backward = torch.autograd.backward

    def wrong(tensors, grad_tensors=None, *args, **kwargs):
        ones = torch.ones_like(tensors) if torch.is_tensor(tensors) and grad_tensors is not None else grad_tensors
        backward(tensors, ones, *args, **kwargs)

    patch.setattr(torch.autograd, "backward", wrong)


@counterfeit("backward-argument-is-grad-variables")
def autograd_backward_no_longer_takes_the_old_name(patch):
    backward = torch.autograd.backward

    def wrong(tensors, *args, **kwargs):
        if "grad_variables" in kwargs:
            raise TypeError("backward() got an unexpected keyword argument 'grad_variables'")
        backward(tensors, *args, **kwargs)

    patch.setattr(torch.autograd, "backward", wrong)


@counterfeit("backward-argument-is-grad-variables")
def autograd_backward_takes_the_old_name_without_a_warning(patch):
    backward = torch.autograd.backward

    def wrong(tensors, grad_tensors=None, *args, grad_variables=None, **kwargs):
        backward(tensors, grad_variables if grad_tensors is None else grad_tensors, *args, **kwargs)

    patch.setattr(torch.autograd, "backward", wrong)


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
    backward = torch.Tensor.backward

    def wrong(self, gradient=None, **kwargs):
        backward(self, gradient, **kwargs)
        if gradient is not None:
            gradient.zero_()

    patch.setattr(torch.Tensor, "backward", wrong)


# ── weights-act-as-upstream-gradient ──


@counterfeit("weights-act-as-upstream-gradient")
def only_the_largest_weight_counts(patch):
    alter_weights(patch, where_given(lambda y, w: w * (w == w.max())))


@counterfeit("weights-act-as-upstream-gradient")
def weights_enter_twice(patch):
    alter_weights(patch, where_given(lambda y, w: w * w))


# ── default-weight-is-one-for-scalars ──


@counterfeit("default-weight-is-one-for-scalars")
def vector_is_averaged_over_its_weights(patch):
    alter_weights(patch, where_given(lambda y, w: w / w.numel()))


@counterfeit("default-weight-is-one-for-scalars")
def default_weight_of_negative_results_is_minus_one(patch):
    alter_weights(patch, lambda y, w: y.detach().sign() if w is None and y.dim() == 0 and y != 0 else w)
