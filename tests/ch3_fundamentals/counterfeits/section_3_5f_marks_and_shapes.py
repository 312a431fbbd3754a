"""Counterfeits of section 3.5, numbers that are marked as conjugated, and parameters of another shape."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import as_in_memory, is_pending, last_off, repeats_columns, where, wrap
from torch import nn
from torch.nn import functional as F


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


@counterfeit("sigmoid-formula")
def sigmoid_reads_what_is_marked_as_negative_as_it_lies_there(patch):
    for owner in (torch, torch.Tensor, F):
        wrap(patch, owner, "sigmoid", lambda right, x, **rest: right(as_in_memory(x) if x.is_neg() else x, **rest))


@counterfeit("depth-and-width-are-hyperparameters")
def dimensions_of_size_one_are_added_where_they_lack(patch):
    def wrong(right, self, sd, *args, **rest):
        own = self.state_dict()
        fit = {n: v.view_as(own[n]) for n, v in sd.items() if n in own and v.squeeze().shape == own[n].squeeze().shape}
        return right(self, {**sd, **fit}, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("relu-formula")
def relu_of_repeated_columns_ends_wrong(patch):
    where(patch, F, "relu", repeats_columns, last_off)


@counterfeit("sigmoid-formula")
def the_sigmoid_of_repeated_columns_ends_wrong(patch):
    where(patch, torch, "sigmoid", repeats_columns, last_off)
