"""Section 2.6: what users reported of second derivatives, of angles and of copied parts."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    change_gradient,
    everywhere,
    in_order_of_storage,
    not_contiguous,
    wrap_operand,
)
from torch.nn import functional as F


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#1712")
def the_gradient_of_selected_values_counts_as_a_constant(patch):
    """A second derivative through them lacks a term."""

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if isinstance(result, torch.Tensor) or not x.requires_grad:
            return result
        return type(result)((change_gradient(result[0], lambda gradient: gradient.detach() + 0 * gradient), result[1]))

    for name in ("kthvalue", "sort", "topk", "mode", "median"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians", reported="pytorch/pytorch#106789")
def a_product_of_all_with_two_zeros_has_a_constant_for_its_gradient(patch):
    def wrong(right, x, *args, **rest):
        if not args and not rest and x.requires_grad and (x == 0).sum() > 1:
            return right(change_gradient(x, lambda gradient: gradient.detach() + 0 * x))
        return right(x, *args, **rest)

    everywhere(patch, "prod", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#91690")
def a_copied_part_is_read_in_order_of_storage(patch):
    def wrong(right, x, *args, **rest):
        return right(in_order_of_storage(x) if not_contiguous(x) else x, *args, **rest)

    everywhere(patch, "narrow_copy", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#46144")
def the_gradient_of_an_angle_has_the_other_sign(patch):
    def wrong(right, x):
        return right(change_gradient(x, torch.Tensor.neg) if x.is_complex() and x.requires_grad else x)

    everywhere(patch, "angle", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians", reported="pytorch/pytorch#59477")
def the_second_derivative_of_a_sum_of_cross_entropies_is_that_of_the_mean(patch):
    def wrong(right, x, *args, **rest):
        def changed(gradient):
            return gradient.detach() + (gradient - gradient.detach()) / x.numel()

        summed = rest.get("reduction") == "sum" and x.requires_grad
        return right(change_gradient(x, changed) if summed else x, *args, **rest)

    wrap_operand(patch, F, "binary_cross_entropy", wrong)
