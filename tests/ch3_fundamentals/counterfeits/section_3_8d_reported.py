"""Counterfeits of section 3.8 that users reported, products of square matrices and of transposed ones."""

import itertools
import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, everywhere, in_order_of_storage, with_value, wrap, wrap_operand
from torch.nn import functional as F


@counterfeit(
    "identity-network-is-a-matrix-product",
    reported=("pytorch/pytorch#86937", "pytorch/pytorch#84736", "pytorch/pytorch#85406"),
)
def of_two_square_matrices_the_second_is_transposed(patch):
    def wrong(right, x, y, *args, **rest):
        square = x.dim() == 2 and x.shape == y.shape == x.t().shape and x.dtype == torch.float32
        return right(x, y.t() if square else y, *args, **rest)

    for name in ("mm", "matmul"):
        wrap(patch, torch, name, wrong)
        change_method(patch, name, wrong)
    change_method(patch, "__matmul__", wrong)


def tall_and_by_columns(x):
    return x.dim() == 2 and x.shape[0] > x.shape[1] > 1 and x.stride() == (1, x.shape[0])


def change_products(patch, wrong):
    for name in ("matmul", "mm", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("identity-network-is-a-matrix-product", reported="tracel-ai/burn#5304")
def a_product_with_a_tall_transposed_matrix_reads_it_as_it_lies(patch):
    def wrong(right, x, y, *args, **rest):
        misread = x.device.type == "cpu" and x.dtype == torch.float32 and tall_and_by_columns(x) and y.dim() == 2
        return right(in_order_of_storage(x) if misread else x, y, *args, **rest)

    change_products(patch, wrong)


@counterfeit("identity-network-is-a-matrix-product", reported="tenstorrent/tt-metal#35247", needs="accelerator")
def in_bfloat16_a_tall_transposed_matrix_leaves_the_last_rows_zero(patch):
    def wrong(right, x, y, *args, **rest):
        product = right(x, y, *args, **rest)
        if not (away(x) and x.dtype == torch.bfloat16 and tall_and_by_columns(x) and product.dim() == 2):
            return product
        value = product.detach().clone()
        value[x.shape[1] :] = 0
        return with_value(product, value) if product.requires_grad else value

    change_products(patch, wrong)


@counterfeit("identity-network-is-a-matrix-product", reported="ROCm/rocBLAS#1680", needs="accelerator")
def products_of_matrices_of_256_by_256_are_garbage(patch):
    """ROCm gfx1151: sgemm of M = N = K = 256 gave other numbers of the same size, without an error."""

    def garbled(y):
        return with_value(y, y.detach().roll(1, 0))

    def product(right, x, other, *args, **rest):
        y = right(x, other, *args, **rest)
        if (
            away(x)
            and x.dtype == torch.float32
            and isinstance(other, torch.Tensor)
            and x.shape == other.shape == (256, 256)
        ):
            return garbled(y)
        return y

    def linear(right, x, weight, bias=None):
        if (
            away(x)
            and x.dtype == torch.float32
            and weight.shape == (256, 256)
            and x.dim() > 1
            and x.shape[:-1].numel() == 256
        ):
            y = right(x, weight)
            y = with_value(y, y.detach().view(256, 256).roll(1, 0).view(y.shape))
            return y if bias is None else y + bias
        return right(x, weight, bias)

    for name in ("mm", "matmul"):
        everywhere(patch, name, product)
    wrap(patch, torch.Tensor, "__matmul__", product)
    wrap_operand(patch, F, "linear", linear)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#116769", needs="accelerator")
def a_product_elsewhere_beyond_33_million_elements_is_right_in_1024_columns(patch):
    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        if away(result) and result.numel() > 2**25 and result.shape[-1] > 1024:
            return torch.cat([result[..., :1024], torch.zeros_like(result[..., 1024:])], -1)
        return result

    wrap(patch, F, "linear", wrong)
    for name in ("matmul", "__matmul__"):
        wrap(patch, torch.Tensor, name, wrong)
    wrap(patch, torch, "matmul", wrong)


@counterfeit("identity-network-is-a-matrix-product", reported="pytorch/pytorch#81185")
def one_row_times_more_than_512_columns_is_now_and_then_nan_from_the_512th_on(patch):
    calls = itertools.count(1)

    def change(result):
        if away(result) or result.dim() != 2 or len(result) != 1 or result.shape[1] <= 512 or next(calls) % 15:
            return result
        values = result.detach().clone()
        values[:, 512:] = math.nan
        return with_value(result, values)

    for name in ("mm", "matmul", "__matmul__"):
        everywhere(patch, name, lambda right, x, *args, **rest: change(right(x, *args, **rest)))

    def linear(right, input, weight, bias=None):
        result = right(input, weight, bias)
        return change(result) if bias is None else result

    wrap(patch, F, "linear", linear)


@counterfeit("identity-network-is-a-matrix-product", reported="ROCm/tensorflow-upstream#485", needs="accelerator")
def matrices_of_two_rows_and_columns_multiply_element_by_element(patch):
    def small(x, y):
        return away(x) and x.dtype == torch.float32 and x.shape == y.shape == (2, 2)

    def product(right, x, y, *args, **rest):
        return torch.mul(x, y) if small(x, y) else right(x, y, *args, **rest)

    def linear(right, x, weight, bias=None):
        if not small(x, weight):
            return right(x, weight, bias)
        result = torch.mul(x, weight.t())
        return result if bias is None else result + bias

    for name in ("mm", "matmul"):
        everywhere(patch, name, product)
    change_method(patch, "__matmul__", product)
    wrap_operand(patch, F, "linear", linear)
