"""Counterfeits of 4.1: containers and classes that are wrong in one spelling, for one argument, in one mode."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import divert, wrap
from torch import nn


@counterfeit("moduledict-acts-like-a-dict", reported=("pytorch/pytorch#40227", "pytorch/pytorch#33236"))
def a_dict_of_modules_takes_the_entries_of_a_plain_dict_sorted(patch):
    def wrong(update, self, entries):
        return update(self, sorted(entries.items()) if type(entries) is dict else entries)

    wrap(patch, nn.ModuleDict, "update", wrong)


@counterfeit("modulelist-acts-like-a-list", reported="pytorch/pytorch#58360")
def a_slice_of_a_list_of_modules_disregards_its_step(patch):
    def wrong(get, self, index):
        return get(self, slice(index.start, index.stop) if isinstance(index, slice) else index)

    wrap(patch, nn.ModuleList, "__getitem__", wrong)


@counterfeit("containers-subclass-module", reported="pytorch/pytorch#3810")
def float_converts_whole_numbers_too(patch):
    patch.setattr(nn.Module, "float", lambda self: self._apply(lambda x: x.float()))


@counterfeit("plain-tensor-is-a-constant-parameter", reported=("pytorch/pytorch#2670", "pytorch/pytorch#1874"))
def a_buffer_may_have_the_name_of_a_plain_tensor_which_hides_it(patch):
    def hidden(self, name, tensor, *rest):
        self._buffers[name] = tensor

    divert(patch, nn.Module, "register_buffer", lambda self, name, *rest: name in vars(self), hidden)


@counterfeit("containers-subclass-module")
def double_leaves_buffers_as_they_are(patch):
    def wrong(double, self):
        for parameter in self.parameters():
            parameter.data = parameter.data.double()
        return self

    wrap(patch, nn.Module, "double", wrong)


@counterfeit("sequential-chains-its-modules")
def a_sequential_leaves_out_its_last_module_where_nothing_is_recorded(patch):
    def short(self, x):
        for module in list(self)[:-1]:
            x = module(x)
        return x

    divert(patch, nn.Sequential, "forward", lambda self, x: len(self) > 1 and not torch.is_grad_enabled(), short)


@counterfeit("modulelist-acts-like-a-list")
def the_sum_of_two_lists_of_modules_begins_with_the_second(patch):
    wrap(patch, nn.ModuleList, "__add__", lambda add, self, other: add(nn.ModuleList(other), self))


@counterfeit("modulelist-acts-like-a-list")
def a_slice_from_the_back_lacks_the_last_module(patch):
    def wrong(get, self, index):
        back = isinstance(index, slice) and (index.start or 0) < 0 and index.stop is None
        return get(self, slice(index.start, -1) if back else index)

    wrap(patch, nn.ModuleList, "__getitem__", wrong)
