"""Counterfeits of section 3.7 that users reported, masks that repeat."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch.nn import functional as F


@counterfeit("dropout-zeroes-with-probability-p", reported="pytorch/xla#1932")
def every_forward_pass_draws_the_same_numbers(patch):
    running = []

    def wrong(right, *args, **rest):
        if running:
            return right(*args, **rest)
        running.append(True)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            try:
                return right(*args, **rest)
            finally:
                running.clear()

    wrap(patch, torch.nn.Module, "__call__", wrong)
    wrap(patch, F, "dropout", wrong)
