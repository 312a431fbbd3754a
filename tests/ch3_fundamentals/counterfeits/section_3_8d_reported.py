"""Counterfeits of section 3.8 that users reported, products of square matrices."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, wrap


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
