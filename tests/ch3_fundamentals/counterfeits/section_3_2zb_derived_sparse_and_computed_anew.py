"""Counterfeits of section 3.2: layers whose weight is computed, sparse gradients, layers that are computed anew in
backward.
"""

import torch
import torch.utils.checkpoint
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


@counterfeit("printing-shows-the-structure")
def a_layer_whose_weight_is_normalised_prints_no_sizes(patch):
    for kind in (nn.Linear, nn.modules.conv._ConvNd):
        wrap(patch, kind, "extra_repr", lambda right, self: "" if hasattr(self, "parametrizations") else right(self))


@counterfeit("nn-builds-on-autograd")
def what_is_computed_again_in_backward_learns_only_where_its_input_is_tracked(patch):
    def wrong(right, function, *args, **rest):
        with torch.set_grad_enabled(any(isinstance(x, torch.Tensor) and x.requires_grad for x in args)):
            return right(function, *args, **rest)

    wrap(patch, torch.utils.checkpoint, "checkpoint", wrong)


@counterfeit("zero-grad-sets-gradients-to-zero")
def sparse_gradients_are_not_filled_with_zeros(patch):
    def wrong(right, self, set_to_none=True):
        kept = [(p, p.grad) for group in self.param_groups for p in group["params"]]
        kept = [(p, g) for p, g in kept if g is not None and g.is_sparse and not set_to_none]
        for p, _ in kept:
            p.grad = None
        right(self, set_to_none)
        for p, g in kept:
            p.grad = g

    wrap(patch, torch.optim.Optimizer, "zero_grad", wrong)
