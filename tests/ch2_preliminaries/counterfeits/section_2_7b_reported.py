"""Counterfeits of section 2.7 that users reported, gradients that were set by hand."""

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
