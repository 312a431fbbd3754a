"""Counterfeits of section 3.8, the smallest gradients."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, wrap
from torch.nn import functional as F


@counterfeit("deep-gradients-vanish-or-explode")
def gradients_below_1e_30_are_zero(patch):
    def flush(g):
        return torch.where(g.abs() < 1e-30, torch.zeros_like(g), g)

    wrap(patch, F, "linear", lambda right, x, w, b=None: change_gradient(right(x, w, b), flush))
    change_method(patch, "__matmul__", lambda right, x, y: change_gradient(right(x, y), flush))
