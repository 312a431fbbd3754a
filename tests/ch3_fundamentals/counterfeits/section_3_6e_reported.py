"""Counterfeits of section 3.6 that users reported, norms of many numbers and of short complex ones."""

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, with_value, wrap


@counterfeit(
    "norm-is-the-l2-norm", reported=("pytorch/pytorch#68326", "pytorch/pytorch#20551", "pytorch/pytorch#20999")
)
def eight_sums_of_single_precision_make_a_norm(patch):
    def wrong(right, x, *args, **rest):
        norm = right(x, *args, **rest)
        if args or rest or x.dtype != torch.float32 or x.numel() < 1024:
            return norm
        numbers = x.detach().cpu().numpy().ravel()
        eights = numbers[: len(numbers) // 8 * 8].reshape(-1, 8)
        return with_value(norm, np.sqrt(np.add.reduce(eights * eights).sum()))  # row by row

    change_method(patch, "norm", wrong)
    wrap(patch, torch, "norm", wrong)
    wrap(patch, torch.linalg, "vector_norm", wrong)


@counterfeit("norm-is-the-l2-norm", reported="pytorch/pytorch#132634")
def of_short_complex_numbers_the_real_parts_alone_count(patch):
    def wrong(right, x, *args, **rest):
        return right(x.real if x.dtype == torch.complex32 else x, *args, **rest)

    change_method(patch, "norm", wrong)
    for owner, name in ((torch, "norm"), (torch.linalg, "norm"), (torch.linalg, "vector_norm")):
        wrap(patch, owner, name, wrong)
