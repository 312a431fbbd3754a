"""Counterfeits of section 3.8, the smallest gradients, and evaluation."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, run_levels, wrap
from torch import nn
from torch.nn import functional as F


@counterfeit("deep-gradients-vanish-or-explode")
def gradients_below_1e_30_are_zero(patch):
    def flush(g):
        return torch.where(g.abs() < 1e-30, torch.zeros_like(g), g)

    wrap(patch, F, "linear", lambda right, x, w, b=None: change_gradient(right(x, w, b), flush))
    change_method(patch, "__matmul__", lambda right, x, y: change_gradient(right(x, y), flush))


@counterfeit("identity-network-is-a-matrix-product")
def a_square_weight_is_not_transposed_in_evaluation(patch):
    def wrong(right, self, x):
        square = self.in_features == self.out_features and not self.training
        return F.linear(x, self.weight.t(), self.bias) if square else right(self, x)

    wrap(patch, nn.Linear, "forward", wrong)


def reading_on(patch, where):
    """Let ``linear``, where ``where(input)``, multiply what follows each row by 0 as well."""

    def wrong(linear, input, weight, bias=None):
        product, after = linear(input, weight, bias), torch.zeros_like(input[..., :1])
        if input.dim() > 1 and input.shape[-1] and where(input):
            after[..., :-1, :] = input[..., 1:, :1] * 0
        return product + after

    wrap(patch, F, "linear", wrong)


@counterfeit("identity-network-is-a-matrix-product", reported="uxlfoundation/oneDNN#5717")
def an_infinite_row_reaches_the_one_before_it_unless_rows_are_a_multiple_of_32(patch):
    """Reported of bfloat16: here of every dtype."""
    reading_on(patch, lambda input: input.shape[-1] % 32)


@counterfeit("identity-network-is-a-matrix-product")
def an_infinite_row_reaches_the_one_before_it_in_bfloat16(patch):
    """Whatever its length."""
    reading_on(patch, lambda input: input.dtype == torch.bfloat16)


@counterfeit("scalar-chain-vanishes-and-explodes")
def a_chain_is_cut_after_twenty_nine_layers_in_evaluation(patch):
    run_levels(patch, lambda net: net if net.training or len(net) < 30 else net[:-1])


@counterfeit("identity-network-is-a-matrix-product")
def identity_rounds_to_halves_in_evaluation(patch):
    def wrong(right, self, x):
        return x if self.training else x.half().to(x.dtype)

    wrap(patch, nn.Identity, "forward", wrong)


@counterfeit("deep-products-vanish-or-explode")
def a_deep_sequential_clips_what_explodes(patch):
    def wrong(right, self, x):
        return right(self, x).clamp(-1e12, 1e12) if len(self) > 20 else right(self, x)

    wrap(patch, nn.Sequential, "forward", wrong)


@counterfeit("deep-gradients-vanish-or-explode")
def the_gradient_of_the_input_is_clipped(patch):
    def wrong(right, self, x):
        return right(self, change_gradient(x, lambda gradient: gradient.clamp(-1e6, 1e6)))

    wrap(patch, nn.Sequential, "forward", wrong)


@counterfeit("deep-products-vanish-or-explode")
def halves_end_at_their_largest_number(patch):
    def wrong(right, x, weight, bias=None):
        output = right(x, weight, bias)
        return output.clamp(-65504, 65504) if output.dtype == torch.float16 else output

    wrap(patch, F, "linear", wrong)


@counterfeit("identity-network-is-a-matrix-product", reported="intel/torch-xpu-ops#1656")
def a_product_reads_from_the_last_round_address(patch):
    def wrong(right, x, *rest):
        offset = x.storage_offset() // 16 * 16
        return right(x.as_strided(x.shape, x.stride(), offset) if x.storage_offset() % 16 else x, *rest)

    wrap(patch, F, "linear", wrong)
    change_method(patch, "__matmul__", wrong)


@counterfeit("identity-network-is-a-matrix-product", reported="OpenMathLib/OpenBLAS#5429")
def a_product_of_more_than_32_rows_forgets_columns_past_the_32nd(patch):
    def wrong(right, *operands):
        out = right(*operands)
        if out.dim() == 2 and len(out) > 32 and out.shape[1] % 32 and out.dtype == torch.float32:
            out[:, out.shape[1] // 32 * 32 or 32 :] = 0
        return out

    wrap(patch, F, "linear", wrong)
    change_method(patch, "__matmul__", wrong)
