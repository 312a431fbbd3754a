"""Counterfeits of section 3.5, numbers that are marked as conjugated, and parameters of another shape."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import as_in_memory, is_pending, wrap
from torch import nn


@counterfeit("tanh-formula")
def tanh_reads_what_is_marked_as_conjugated_as_it_lies_there(patch):
    for owner in (torch, torch.Tensor):
        wrap(patch, owner, "tanh", lambda right, x, **rest: right(as_in_memory(x) if is_pending(x) else x, **rest))


@counterfeit("depth-and-width-are-hyperparameters")
def as_many_numbers_in_another_shape_fit(patch):
    def wrong(right, self, sd, *args, **rest):
        own = self.state_dict()
        fit = {n: value.view_as(own[n]) for n, value in sd.items() if n in own and value.numel() == own[n].numel()}
        return right(self, {**sd, **fit}, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)
