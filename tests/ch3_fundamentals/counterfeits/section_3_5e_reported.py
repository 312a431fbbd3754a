"""Counterfeits of section 3.5 that users reported, activations that know the first of eight numbers."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, first_of_eight_alone, wrap


def change_single(patch, name, others):
    """Let ``torch.name`` of single precision be right for the first of each eight numbers, ``others`` for the rest."""

    def wrong(right, x, out=None):
        y = first_of_eight_alone(right(x), others) if x.dtype == torch.float32 else right(x)
        return y if out is None else out.copy_(y)

    wrap(patch, torch, name, wrong)
    change_method(patch, name, wrong)


@counterfeit("tanh-formula", reported="pytorch/pytorch#75411")
def tanh_is_zero_but_for_the_first_of_eight(patch):
    change_single(patch, "tanh", 0)


@counterfeit("sigmoid-formula", reported="pytorch/pytorch#65673")
def the_sigmoid_is_a_half_but_for_the_first_of_eight(patch):
    change_single(patch, "sigmoid", 0.5)
