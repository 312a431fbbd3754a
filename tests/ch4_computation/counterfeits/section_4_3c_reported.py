"""Counterfeits of section 4.3 that users reported: slices that are not reached, strides, rows and columns."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch.nn import init


@counterfeit("init-offers-preset-methods", reported="pytorch/pytorch#92098")
def eye_does_not_reach_a_view(patch):
    wrap(patch, init, "eye_", lambda right, x: x if x._is_view() else right(x))


@counterfeit("init-offers-preset-methods", reported="pytorch/pytorch#2130")
def sparse_zeroes_a_share_of_the_number_of_columns(patch):
    def wrong(right, x, sparsity, *args, **rest):
        with torch.no_grad():
            right(x, 0, *args, **rest)
            for column in x.t():
                column[torch.randperm(len(x))[: math.ceil(x.shape[1] * sparsity)]] = 0
        return x

    wrap(patch, init, "sparse_", wrong)


@counterfeit("init-offers-preset-methods", reported="Oneflow-Inc/oneflow#8907")
def initialisers_fill_memory_whatever_the_strides(patch):
    def wrong(right, x, *args, **rest):
        room = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
        if x.is_contiguous() or x.numel() > room:
            return right(x, *args, **rest)
        made = right(torch.empty(x.shape, dtype=x.dtype), *args, **rest)
        x.detach().as_strided((x.numel(),), (1,), x.storage_offset()).copy_(made.reshape(-1))
        return x

    for name in (
        *("uniform_", "normal_", "trunc_normal_", "constant_", "ones_", "zeros_", "xavier_uniform_", "xavier_normal_"),
        *("kaiming_uniform_", "kaiming_normal_", "orthogonal_", "eye_", "dirac_", "sparse_"),
    ):
        wrap(patch, init, name, wrong)


@counterfeit("init-offers-preset-methods", reported="pytorch/pytorch#1247")
def an_orthogonal_kernel_with_more_rows_than_columns_is_zero(patch):
    """Zeros, where the report has an error."""

    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        if x.dim() == 4 and x.numel() and x.shape[0] > x.numel() // x.shape[0]:
            with torch.no_grad():
                x.zero_()
        return y

    wrap(patch, init, "orthogonal_", wrong)


@counterfeit("init-offers-preset-methods", reported="pytorch/pytorch#73503")
def an_orthogonal_matrix_without_rows_is_refused(patch):
    def wrong(right, x, *args, **rest):
        if not x.numel() and x.dim() >= 2:
            raise ZeroDivisionError("integer division or modulo by zero")
        return right(x, *args, **rest)

    wrap(patch, init, "orthogonal_", wrong)


@counterfeit("init-offers-preset-methods", reported="candle-org/MindAct#1536")
def uniform_gives_its_upper_bound_everywhere(patch):
    def wrong(right, tensor, a=0.0, b=1.0, *rest, **named):
        return init.constant_(tensor, b)

    wrap(patch, init, "uniform_", wrong)


@counterfeit("init-offers-preset-methods", reported="marian-nmt/marian-dev#77")
def weights_of_one_size_start_alike(patch):
    made = {}

    def wrong(right, tensor, *args, **rest):
        right(tensor, *args, **rest)
        key = (tuple(tensor.shape), tensor.dtype, tensor.device, str((args, rest)))
        with torch.no_grad():
            return tensor.copy_(made.setdefault(key, tensor.detach().clone()))

    wrap(patch, init, "xavier_normal_", wrong)


@counterfeit("init-offers-preset-methods", reported="tflearn/tflearn#870")
def normal_xavier_has_the_factor_of_three(patch):
    def wrong(right, tensor, gain=1.0, generator=None):
        return right(tensor, gain * math.sqrt(3 / 2), generator)

    wrap(patch, init, "xavier_normal_", wrong)
