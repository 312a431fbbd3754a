"""Counterfeits of section 4.4: backward passes to the leaves that are named."""

from harness.counterfeits import counterfeit
from harness.forging import change_method, leaves, wrap
from torch import Tensor, autograd


@counterfeit("shared-gradients-accumulate")
def backward_into_named_inputs_averages_over_the_uses(patch):
    def wrong(right, x, *args, **rest):
        named = rest.get("inputs") or ()
        named = [named] if isinstance(named, Tensor) else list(named)
        reached = leaves(x.grad_fn)
        uses = [(y, sum(y is leaf for leaf in reached)) for y in named if y.grad is None]
        right(x, *args, **rest)
        for y, count in uses:
            if count > 1 and y.grad is not None:
                y.grad = y.grad / count

    change_method(patch, "backward", wrong)


@counterfeit("shared-gradients-accumulate")
def the_function_forgets_what_named_inputs_had(patch):
    def wrong(right, tensors, *args, **rest):
        for y in rest.get("inputs") or ():
            y.grad = None
        right(tensors, *args, **rest)

    wrap(patch, autograd, "backward", wrong)
