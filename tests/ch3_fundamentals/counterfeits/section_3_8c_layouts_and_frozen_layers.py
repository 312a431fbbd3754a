"""Counterfeits of section 3.8, inputs that are expanded and layers that are frozen."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_linear, change_method, everywhere, wrap
from torch.nn import functional as F


@counterfeit("identity-network-is-a-matrix-product")
def linear_reads_an_expanded_input_as_zeros(patch):
    wrap(patch, F, "linear", lambda right, x, *rest: right(x * 0 if x.dim() > 1 and 0 in x.stride() else x, *rest))


@counterfeit("deep-gradients-vanish-or-explode")
def no_gradient_passes_a_frozen_layer(patch):
    def wrong(right, x, weight, bias=None):
        return right(x if weight.requires_grad else change_gradient(x, lambda g: g * 0), weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("deep-gradients-vanish-or-explode")
def weights_learn_from_the_first_256_samples_alone(patch):
    def wrong(right, x, weight, bias=None):
        if x.dim() != 2:
            return right(x, weight, bias)
        return torch.cat([right(x[:256], weight, bias), right(x[256:], weight.detach(), bias)])

    wrap(patch, F, "linear", wrong)


@counterfeit("identity-network-is-a-matrix-product")
def nan_spoils_the_block_of_sixteen_rows(patch):
    def change(output, x, weight):
        if x.dim() != 2 or len(x) < 16:
            return output
        spoilt = x[: len(x) // 16 * 16].isnan().any(1).view(-1, 16).any(1).repeat_interleave(16)
        spoilt = torch.cat([spoilt, spoilt.new_zeros(len(x) % 16)])
        return output.masked_fill(spoilt[:, None], math.nan)

    change_linear(patch, change)


@counterfeit("identity-network-is-a-matrix-product")
def in_a_product_nan_spoils_the_block_of_sixteen_rows(patch):
    def ch(right, x, w):
        o = right(x, w)
        if x.dim() != 2 or w.dim() != 2 or len(x) < 16 or not x.is_floating_point():
            return o
        s = x[: len(x) // 16 * 16].isnan().any(1).view(-1, 16).any(1).repeat_interleave(16)
        return o.masked_fill(torch.cat([s, s.new_zeros(len(x) % 16)])[:, None], math.nan)

    for owner, n in ((torch, "matmul"), (torch.Tensor, "matmul"), (torch.Tensor, "__matmul__")):
        wrap(patch, owner, n, ch)


@counterfeit("deep-products-vanish-or-explode")
def products_of_stacks_of_matrices_stay_within_a_thousand(patch):
    def wrong(right, x, other, **rest):
        result = right(x, other, **rest)
        return result.clamp(-1000, 1000) if x.dim() == other.dim() == 3 and result.is_floating_point() else result

    for name in ("matmul", "bmm"):
        everywhere(patch, name, wrong)
    change_method(patch, "__matmul__", wrong)
