"""Counterfeits of section 2.7 that users reported, gradients that were set by hand and factors that were written to."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, leaves, wrap, wrap_operand
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary


@counterfeit("gradients-accumulate", reported="Oneflow-Inc/oneflow#8575")
def the_first_pass_replaces_a_gradient_that_was_set_by_hand(patch):
    grad, by_hand, seen = Tensor.grad, WeakIdKeyDictionary(), WeakIdKeyDictionary()

    def write(x, value):
        if value is not None and x not in seen:
            by_hand[x] = True
        grad.__set__(x, value)

    def wrong(right, result, *args, **rest):
        for leaf in leaves(result.grad_fn):
            if by_hand.pop(leaf, False):
                grad.__set__(leaf, None)
            seen[leaf] = True
        return right(result, *args, **rest)

    patch.setattr(Tensor, "grad", property(grad.__get__, write, grad.__delete__))
    change_method(patch, "backward", wrong)


@counterfeit("in-place-write-spoils-backward", reported="pytorch/pytorch#20612")
def writes_to_whole_numbers_are_not_counted(patch):
    def wrong(right, x, *args, **rest):
        if x.is_floating_point() or x.is_complex() or x.is_inference():
            return right(x, *args, **rest)
        with torch.autograd._unsafe_preserve_version_counter(x):
            return right(x, *args, **rest)

    for name in ("add_", "sub_", "mul_", "zero_", "fill_", "copy_", "__setitem__", "__iadd__", "__isub__", "__imul__"):
        change_method(patch, name, wrong)


@counterfeit("scalar-backward-needs-no-argument", reported="pytorch/pytorch#1813")
def the_mean_along_the_only_dimension_passes_no_gradient(patch):
    """It passes NaN, where the report has an error: an assertion must see it."""

    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        along = x.dim() == 1 and y.dim() == 0 and (args or "dim" in rest)
        return change_gradient(y, lambda gradient: gradient * torch.nan) if along and y.requires_grad else y

    change_method(patch, "mean", wrong)
    change_method(patch, "sum", wrong)


@counterfeit("backward-multiplies-jacobians", reported="pytorch/pytorch#182952")
def what_is_below_the_smallest_normal_half_is_lost_on_the_way_back_through_a_product(patch):
    def flush(gradient):
        return torch.where(gradient.abs() < 2.0**-14, 0 * gradient, gradient)

    def wrong(right, *args, **rest):
        y = right(*args, **rest)
        return change_gradient(y, flush) if y.dtype == torch.float16 and y.requires_grad else y

    change_method(patch, "__matmul__", wrong)
    for owner, name in ((torch, "mm"), (torch, "matmul"), (F, "linear")):
        wrap(patch, owner, name, wrong)


@counterfeit("second-backward-needs-a-retained-graph")
def a_graph_of_twelve_steps_or_more_is_never_freed(patch):
    def depth(node):
        return 1 + depth(node.next_functions[0][0]) if node is not None and node.next_functions else 0

    def wrong(right, tensors, grad_tensors=None, retain_graph=None, *rest, **named):
        of = tensors if isinstance(tensors, Tensor) else tensors[0]
        return right(tensors, grad_tensors, retain_graph or depth(of.grad_fn) >= 12, *rest, **named)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("gradients-accumulate")
def gradients_that_cancel_leave_the_old_one(patch):
    def wrong(right, tensors, *rest, **named):
        several = [tensors] if isinstance(tensors, Tensor) else tensors
        found = {leaf for tensor in several for leaf in leaves(tensor.grad_fn) if leaf.grad is not None}
        before = [(leaf, leaf.grad.clone()) for leaf in found if not leaf.grad.is_sparse]
        right(tensors, *rest, **named)
        for leaf, old in before:
            if leaf.numel() and not leaf.grad.any():
                leaf.grad.detach().copy_(old)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("gradients-accumulate")
def gradients_of_double_precision_add_up_in_single(patch):
    def wrong(right, tensors, *rest, **named):
        several = [tensors] if isinstance(tensors, Tensor) else tensors
        had = [leaf for tensor in several for leaf in leaves(tensor.grad_fn) if leaf.grad is not None]
        right(tensors, *rest, **named)
        for leaf in had:
            if leaf.grad.dtype == torch.float64 and not leaf.grad.requires_grad:
                leaf.grad.copy_(leaf.grad.float())

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("gradients-accumulate", reported="apache/mxnet#18499")
def a_batch_norm_writes_over_the_gradients_of_its_weights(patch):
    def renewed(weight):
        if weight is None or not weight.is_leaf or not weight.requires_grad:
            return weight
        return change_gradient(weight, lambda new: new if weight.grad is None else new - weight.grad)

    def wrong(right, x, mean, variance, weight=None, bias=None, *rest, **named):
        return right(x, mean, variance, renewed(weight), renewed(bias), *rest, **named)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("gradients-accumulate", reported="torch/nn#792")
def a_second_pass_through_a_layer_of_one_weight_subtracts(patch):
    def by_turns(weight):
        if weight is None or not weight.is_leaf or not weight.requires_grad:
            return weight
        return change_gradient(weight, lambda new: new if weight.grad is None or not weight.grad.any() else -new)

    def wrong(right, x, weight, bias=None):
        return right(x, by_turns(weight), by_turns(bias)) if weight.numel() == 1 else right(x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("backward-multiplies-jacobians", "requires-grad-tracks-operations", reported="torch/nn#832")
def log_softmax_reads_a_gradient_with_gaps_as_if_it_had_none(patch):
    def as_it_lies(g):
        size = g.untyped_storage().nbytes() // g.element_size()
        if g.is_contiguous() or 0 in g.stride() or g.storage_offset() + g.numel() > size:
            return g
        return g.as_strided(g.shape, torch.empty(g.shape, device="meta").stride(), g.storage_offset())

    def wrong(right, *rest, **named):
        y = right(*rest, **named)
        return change_gradient(y, as_it_lies) if y.requires_grad and y.dim() == 2 else y

    for owner in (torch, Tensor, F):
        wrap(patch, owner, "log_softmax", wrong)


@counterfeit("gradients-accumulate")
def a_gradient_with_a_graph_is_replaced_by_the_next_one_without(patch):
    def wrong(right, tensors, *rest, **named):
        for root in [tensors] if isinstance(tensors, Tensor) else tensors:
            for leaf in leaves(root.grad_fn):
                if leaf.grad is not None and leaf.grad.requires_grad and not named.get("create_graph"):
                    leaf.grad = None
        return right(tensors, *rest, **named)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("weighted-backward-differentiates-the-weighted-sum", reported="apache/mxnet#8494")
def a_leaf_that_is_weighted_itself_gets_zero(patch):
    def wrong(right, y, gradient=None, *args, **rest):
        if not y.is_leaf or not y.requires_grad or gradient is None:
            return right(y, gradient, *args, **rest)
        y.grad = torch.zeros_like(y) if y.grad is None else y.grad
        return None

    change_method(patch, "backward", wrong)


@counterfeit("in-place-write-spoils-backward", reported="pytorch/pytorch#14571")
def renormalising_an_embedding_is_not_counted_as_a_write(patch):
    """embedding_renorm_, by which Embedding(max_norm=...) writes, did not raise the version of the weight."""

    def wrong(right, weight, *args, **rest):
        right(weight.data, *args, **rest)
        return weight

    wrap(patch, torch, "embedding_renorm_", wrong)


@counterfeit("in-place-write-spoils-backward", reported="pytorch/pytorch#5687")
def write_to_the_result_of_an_in_place_relu_is_not_noticed(patch):
    relu_ = torch.Tensor.relu_

    class Relu(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            relu_(x)
            ctx.mark_dirty(x)
            ctx.result = x.detach()
            return x

        @staticmethod
        def backward(ctx, gradient):
            return gradient * (ctx.result > 0)

    def wrong(right, x):
        return Relu.apply(x) if x.requires_grad and torch.is_grad_enabled() else right(x)

    wrap_operand(patch, torch, "relu_", wrong)
    wrap(patch, torch.Tensor, "relu_", wrong)
    wrap(patch, F, "relu_", wrong)


@counterfeit("scalar-backward-needs-no-argument", reported="pytorch/pytorch#92750")
def backward_of_a_complex_number_takes_1_for_its_argument(patch):
    def wrong(right, x, gradient=None, *args, **rest):
        if gradient is None and x.is_complex() and x.numel() == 1:
            gradient = torch.ones_like(x)
        return right(x, gradient, *args, **rest)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def a_leaf_that_a_pass_does_not_reach_gets_zeros(patch):
    """Of those that one operation met with a tracked operand, whichever of its results counts."""
    seen = WeakIdKeyDictionary()

    def tracked(right, x, *args, **rest):
        if x.is_leaf and x.requires_grad:
            seen[x] = True
        return right(x, *args, **rest)

    def wrong(right, result, *args, **rest):
        right(result, *args, **rest)
        for leaf in [*seen]:
            if leaf.grad is None and leaf.requires_grad:
                leaf.grad = torch.zeros_like(leaf)

    for name in ("__mul__", "__add__"):
        change_method(patch, name, tracked)
    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def a_pass_to_chosen_leaves_reaches_all(patch):
    def wrong(right, result, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        return right(result, gradient, retain_graph, create_graph)

    change_method(patch, "backward", wrong)


@counterfeit("gradients-accumulate")
def asking_for_a_gradient_adds_it_too(patch):
    def wrong(right, outputs, inputs, *args, **rest):
        found = right(outputs, inputs, *args, **rest)
        for x, gradient in zip([inputs] if isinstance(inputs, Tensor) else inputs, found):
            if x.is_leaf and gradient is not None:
                x.grad = gradient.detach() if x.grad is None else x.grad + gradient.detach()
        return found

    wrap(patch, torch.autograd, "grad", wrong)
