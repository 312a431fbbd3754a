"""Counterfeits of section 4.4: gradients of copies, and of uses in another precision."""

from harness.counterfeits import counterfeit
from harness.forging import change_method, wrap
from torch import nn


@counterfeit("parameters-carry-data-and-grad")
def a_deep_copy_holds_the_gradient_of_the_original(patch):
    def wrong(right, self, memo):
        result = right(self, memo)
        result.grad = self.grad
        return result

    wrap(patch, nn.Parameter, "__deepcopy__", wrong)


@counterfeit("shared-gradients-accumulate")
def a_use_in_half_precision_does_not_count(patch):
    def wrong(right, self, *args, **rest):
        result = right(self, *args, **rest)
        narrower = isinstance(self, nn.Parameter) and result.element_size() < self.element_size()
        return result.detach() if narrower else result

    for name in ("half", "bfloat16", "to"):
        change_method(patch, name, wrong)
