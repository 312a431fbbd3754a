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


@counterfeit("parameter-is-a-tensor-subclass", reported=("pytorch/pytorch#12886", "pytorch/pytorch#315"))
def a_deep_copy_of_a_frozen_parameter_is_a_plain_tensor(patch):
    def wrong(copied, self, memo):
        return copied(self, memo) if self.requires_grad else self.data.clone()

    wrap(patch, nn.Parameter, "__deepcopy__", wrong)


@counterfeit("containers-subclass-module")
def freezing_a_network_passes_over_its_lists_and_dicts_of_parameters(patch):
    def wrong(freeze, self, wanted=True):
        for module in self.modules():
            for parameter in (
                [] if isinstance(module, nn.ParameterList | nn.ParameterDict) else module._parameters.values()
            ):
                if parameter is not None:
                    parameter.requires_grad_(wanted)
        return self

    wrap(patch, nn.Module, "requires_grad_", wrong)


@counterfeit("sequential-chains-its-modules")
def nothing_follows_a_module_that_puts_out_none(patch):
    def short(self, x):
        for module in self:
            x = None if x is None else module(x)
        return x

    patch.setattr(nn.Sequential, "forward", short)


@counterfeit("modulelist-acts-like-a-list")
def deleting_a_repeated_module_deletes_it_everywhere(patch):
    def wrong(delete, self, index):
        if isinstance(index, slice):
            return delete(self, index)
        goes, kept = self[index], list(self)
        delete(self, slice(None))
        return self.extend([each for each in kept if each is not goes])

    wrap(patch, nn.ModuleList, "__delitem__", wrong)
