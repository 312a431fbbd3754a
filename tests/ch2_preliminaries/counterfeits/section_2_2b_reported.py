"""Counterfeits of section 2.2 that users reported, products in place of what is repeated."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#4718")
def repeated_elements_are_multiplied_again_and_again(patch):
    def wrong(right, x, y):
        repeated = [i for i, (size, step) in enumerate(zip(x.shape, x.stride())) if step == 0 and size > 1]
        if not repeated:
            return right(x, y)
        factors = torch.as_tensor(y, device=x.device).expand(x.shape)
        for i in repeated:
            factors = factors.prod(i, keepdim=True)
        right(x.as_strided(factors.shape, x.stride()), factors.to(x.dtype))
        return x

    change_method(patch, "mul_", wrong)
    change_method(patch, "__imul__", wrong)
