"""Counterfeits of section 3.2: parts of data sets in random order, printed neighbours that are alike but for an option,
learning rates that are numbers of other types.
"""

import re

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import step_with, wrap
from torch import nn
from torch.utils.data import ConcatDataset, Subset

EDITED = (torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adagrad)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def a_shuffled_part_of_a_data_set_forgets_its_indices(patch):
    def wrong(right, self, indices):
        if list(indices) == sorted(indices):
            return right(self, indices)
        return [self.dataset[index] for index in indices]

    wrap(patch, Subset, "__getitems__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def data_sets_in_a_row_read_out_of_order_begin_with_the_first_each_time(patch):
    last = {}

    def wrong(right, self, index):
        backwards = index < last.get(id(self), -1)
        last[id(self)] = index
        return right(self, index % self.cumulative_sizes[0] if backwards and self.cumulative_sizes[0] else index)

    wrap(patch, ConcatDataset, "__getitem__", wrong)


def print_as_one(patch, option):
    """Let a ModuleList print neighbours that differ in no more than this option as if they were equal."""

    def told(module):
        return re.sub(option, "", repr(module))

    def wrong(right, self):
        own, shown, last = self._modules, {}, None
        for name, module in own.items():
            last = last if last is not None and told(last) == told(module) else module
            shown[name] = last
        self.__dict__["_modules"] = shown
        text = right(self)
        self.__dict__["_modules"] = own
        return text

    wrap(patch, nn.ModuleList, "__repr__", wrong)


@counterfeit("printing-shows-the-structure")
def a_list_prints_neighbours_that_differ_in_their_bias_as_equal(patch):
    print_as_one(patch, r"bias=\w+")


@counterfeit("printing-shows-the-structure")
def a_list_prints_activations_in_place_as_their_neighbours(patch):
    print_as_one(patch, "inplace=True")


@counterfeit("printing-shows-the-structure")
def a_list_prints_convolutions_of_as_many_channels_as_equal(patch):
    print_as_one(patch, r", kernel_size=[^\n]*(?=\))")


def pass_over(patch, kind):
    """Let a step take the default rate where the group's is a number of this type."""
    for optimizer in EDITED:
        step_with(
            patch,
            optimizer,
            "lr",
            lambda self, group: self.defaults["lr"] if isinstance(group["lr"], kind) else group["lr"],
        )


@counterfeit("learning-rate-can-be-edited-in-place")
def a_learning_rate_from_numpy_is_passed_over(patch):
    pass_over(patch, np.generic)


@counterfeit("learning-rate-can-be-edited-in-place")
def a_learning_rate_edited_to_a_whole_number_is_passed_over(patch):
    pass_over(patch, int)
