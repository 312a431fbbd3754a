"""Counterfeits of section 2.7: the weight that `backward()` takes where none is given."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


@counterfeit("scalar-backward-needs-no-argument")
def the_default_weight_is_one_tensor_that_every_pass_hands_on(patch):
    kept = {}

    def wrong(right, outputs, weights, *args, **rest):
        made = right(outputs, weights, *args, **rest)
        return tuple(
            kept.setdefault((weight.dtype, weight.device), weight) if given is None and weight.shape == () else weight
            for given, weight in zip(weights, made)
        )

    wrap(patch, torch.autograd, "_make_grads", wrong)
