"""Counterfeits of section 2.7 that users reported, gradients that were set by hand and factors that were written to."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, leaves
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary


@counterfeit("gradients-accumulate", reported="Oneflow-Inc/oneflow#8575")
def the_first_pass_replaces_a_gradient_that_was_set_by_hand(patch):
    grad, by_hand, seen = Tensor.grad, WeakIdKeyDictionary(), WeakIdKeyDictionary()

    def write(x, value):
        if value is not None and x not in seen:
            by_hand[x] = True
        grad.__set__(x, value)

    def wrong(right, result, *args, **rest):
        for leaf in leaves(result.grad_fn):
            if by_hand.pop(leaf, False):
                grad.__set__(leaf, None)
            seen[leaf] = True
        return right(result, *args, **rest)

    patch.setattr(Tensor, "grad", property(grad.__get__, write, grad.__delete__))
    change_method(patch, "backward", wrong)


@counterfeit("in-place-write-spoils-backward", reported="pytorch/pytorch#20612")
def writes_to_whole_numbers_are_not_counted(patch):
    def wrong(right, x, *args, **rest):
        if x.is_floating_point() or x.is_complex() or x.is_inference():
            return right(x, *args, **rest)
        with torch.autograd._unsafe_preserve_version_counter(x):
            return right(x, *args, **rest)

    for name in ("add_", "sub_", "mul_", "zero_", "fill_", "copy_", "__setitem__", "__iadd__", "__isub__", "__imul__"):
        change_method(patch, name, wrong)
