"""Counterfeits of section 2.6 that users reported, gradients from nothing."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method
from torch import Tensor


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#15223")
def no_gradient_comes_through_an_inserted_dimension_from_nothing(patch):
    """None arrives, where the report has an error: an assertion must see it."""

    def wrong(add, x, y):
        z = add(x, y)
        inserted = [each for each in (x, y) if isinstance(each, Tensor) and each.grad_fn and each.numel()]
        lost = not z.numel() and any("squeeze" in each.grad_fn.name().lower() for each in inserted)
        return z.detach() if lost else z

    change_method(patch, "__add__", wrong)


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#9145")
def the_gradient_of_one_of_several_copies_goes_to_all(patch):
    def wrong(right, x, index):
        copies = x.dim() and x.stride(0) == 0 and len(x) > 1
        if type(index) is int and copies and x.requires_grad and torch.is_grad_enabled():
            x = change_gradient(x, lambda gradient: gradient.sum(0, keepdim=True).expand_as(gradient))
        return right(x, index)

    change_method(patch, "__getitem__", wrong)
