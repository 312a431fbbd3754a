"""Counterfeits of section 3.8: layers, products and gradients that do not shrink or stretch as they should."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_linear, run_levels, wrap
from torch import nn
from torch.nn import functional as F


def change_matmul(patch, change):
    """Let ``a @ b`` return ``change(product, a, b)``."""
    matmul = torch.Tensor.__matmul__
    patch.setattr(torch.Tensor, "__matmul__", lambda self, other: change(matmul(self, other), self, other))


# ── identity-network-is-a-matrix-product ──


@counterfeit("identity-network-is-a-matrix-product")
def linear_takes_square_weights_as_they_are(patch):
    """Transposed where it does not show in the shapes."""
    wrap(
        patch,
        F,
        "linear",
        lambda linear, input, weight, bias=None: linear(
            input, weight.T if weight.shape[0] == weight.shape[1] else weight, bias
        ),
    )


@counterfeit("identity-network-is-a-matrix-product")
def linear_without_a_bias_has_one_all_the_same(patch):
    change_linear(patch, lambda output, *_: output + 0.01)


@counterfeit("identity-network-is-a-matrix-product")
def sequential_runs_three_layers_backwards_where_it_can(patch):
    """Layers of equal widths are taken in the opposite order."""

    def turned(net):
        sizes = {tuple(layer.weight.shape) for layer in net if isinstance(layer, nn.Linear)}
        return reversed(list(net)) if len(sizes) == 1 and len(set(*sizes)) == 1 else net

    run_levels(patch, turned)


@counterfeit("identity-network-is-a-matrix-product", "scalar-chain-vanishes-and-explodes")
def sequential_runs_its_first_layer_twice_where_there_are_more_than_seven(patch):
    wrap(patch, nn.Sequential, "forward", lambda forward, self, x: forward(self, self[0](x) if len(self) > 7 else x))


@counterfeit("identity-network-is-a-matrix-product")
def identity_is_a_relu(patch):
    patch.setattr(nn.Identity, "forward", lambda self, x: x.clamp(min=0))


@counterfeit("identity-network-is-a-matrix-product")
def the_product_misses_the_last_term_of_wide_layers(patch):
    change_matmul(patch, lambda product, a, b: product - wide_term(a, b))


def wide_term(a, b):
    """What the last of six or more inner indices adds to a product."""
    return a[..., -1:] * b[-1:] if a.shape[-1] >= 6 else 0


@counterfeit("identity-network-is-a-matrix-product")
def the_product_is_rounded_to_float32(patch):
    change_matmul(patch, lambda product, *_: product.float().to(product.dtype))


# ── deep-products-vanish-or-explode ──


@counterfeit("deep-products-vanish-or-explode")
def linear_saturates_at_the_largest_number(patch):
    change_linear(patch, lambda output, *_: output.clamp(-torch.finfo(output.dtype).max, torch.finfo(output.dtype).max))


@counterfeit("deep-products-vanish-or-explode")
def linear_never_falls_below_the_smallest_number(patch):
    def change(output, *_):
        tiny = torch.finfo(output.dtype).tiny
        return torch.where(output.abs() < tiny, tiny * output.sign() + (output == 0) * tiny, output)

    change_linear(patch, change)


@counterfeit("deep-products-vanish-or-explode")
def infinity_loses_its_sign(patch):
    change_linear(patch, lambda output, *_: torch.where(output.isinf(), output.abs(), output))


@counterfeit("deep-products-vanish-or-explode")
def the_product_keeps_the_length_of_its_left_factor(patch):
    """As if each layer were normalised."""

    def change(product, a, b):
        return product * (a.square().sum() / product.square().sum()).sqrt()

    change_matmul(patch, change)


@counterfeit("deep-products-vanish-or-explode")
def the_product_is_a_tenth_too_large(patch):
    """What is stable explodes, by 1.1^50."""
    change_matmul(patch, lambda product, *_: 1.1 * product)


@counterfeit("deep-products-vanish-or-explode")
def float64_overflows_where_float32_does(patch):
    change_linear(patch, lambda output, *_: output.float().to(output.dtype))


@counterfeit("deep-products-vanish-or-explode")
def features_beyond_the_thirty_second_count_twice(patch):
    """As where a block's remainder is added a second time."""
    change_matmul(patch, lambda product, a, b: product + torch.matmul(a[..., 32:], b[..., 32:, :]))


# ── scalar-chain-vanishes-and-explodes ──


@counterfeit("scalar-chain-vanishes-and-explodes")
def sequential_stops_after_29_layers(patch):
    run_levels(patch, lambda net: list(net)[:29])


@counterfeit("scalar-chain-vanishes-and-explodes")
def constant_is_off_by_a_thousandth(patch):
    wrap(patch, nn.init, "constant_", lambda constant_, tensor, val: constant_(tensor, 1.001 * val))


@counterfeit("scalar-chain-vanishes-and-explodes")
def linear_computes_in_bfloat16(patch):
    """The exponent is kept and the digits are lost."""
    change_linear(patch, lambda output, *_: output.bfloat16().to(output.dtype))


@counterfeit("scalar-chain-vanishes-and-explodes")
def large_outputs_are_clipped(patch):
    change_linear(patch, lambda output, *_: output.clamp(-1e22, 1e22))


@counterfeit("scalar-chain-vanishes-and-explodes")
def small_outputs_are_flushed_to_zero(patch):
    change_linear(patch, lambda output, *_: torch.where(output.abs() < 1e-20, 0 * output, output))


@counterfeit("scalar-chain-vanishes-and-explodes")
def a_batch_takes_the_output_of_its_first_example(patch):
    change_linear(patch, lambda output, *_: output[:1].expand_as(output))


# ── deep-gradients-vanish-or-explode ──


@counterfeit("deep-gradients-vanish-or-explode")
def gradients_are_clipped_at_a_million(patch):
    change_linear(patch, lambda output, *_: change_gradient(output, lambda grad: grad.clamp(-1e6, 1e6)))


@counterfeit("deep-gradients-vanish-or-explode")
def gradients_do_not_underflow(patch):
    def change(grad):
        tiny = torch.finfo(grad.dtype).tiny
        return torch.where(grad.abs() < tiny, torch.full_like(grad, tiny), grad)

    change_linear(patch, lambda output, *_: change_gradient(output, change))


@counterfeit("deep-gradients-vanish-or-explode")
def gradients_pass_a_product_unscaled(patch):
    """The forward pass still vanishes and explodes."""

    def change(product, a, b):
        return product.detach() + a - a.detach() if a.shape == product.shape else product

    change_matmul(patch, change)


@counterfeit("deep-gradients-vanish-or-explode")
def gradients_of_a_product_are_a_hundredth_too_small(patch):
    change_matmul(patch, lambda product, *_: change_gradient(product, lambda grad: 0.99 * grad))


@counterfeit("deep-gradients-vanish-or-explode")
def sigmoid_layers_pass_gradients_straight_through(patch):
    patch.setattr(nn.Sigmoid, "forward", lambda self, x: torch.sigmoid(x).detach() + x - x.detach())


@counterfeit("deep-gradients-vanish-or-explode")
def sigmoid_layers_have_four_times_their_slope(patch):
    """A slope of up to 1, as that of tanh: gradients do not vanish as fast."""
    patch.setattr(nn.Sigmoid, "forward", lambda self, x: change_gradient(torch.sigmoid(x), lambda grad: 4 * grad))


@counterfeit("deep-gradients-vanish-or-explode")
def the_slope_of_sigmoid_never_falls_below_a_tenth(patch):
    def wrong(sigmoid, x):
        y = sigmoid(x)
        return y.detach() + (y * (1 - y)).detach().clamp(min=0.1) * (x - x.detach())

    wrap(patch, torch, "sigmoid", wrong)


@counterfeit("deep-gradients-vanish-or-explode")
def the_gradient_of_a_weight_is_that_of_its_input(patch):
    """Off by one factor: 30 weights where 29 are right."""
    wrap(
        patch,
        F,
        "linear",
        lambda linear, input, weight, bias=None: linear(
            input, change_gradient(weight, lambda grad: grad * weight.detach()), bias
        ),
    )
