"""Counterfeits of 4.1 that users reported: orders of plain dicts, and levels that are not reached."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


@counterfeit("moduledict-acts-like-a-dict", reported=("pytorch/pytorch#40765", "pytorch/pytorch#40905"))
def the_keys_of_a_plain_dict_of_modules_are_sorted(patch):
    def wrong(right, self, modules):
        return right(self, dict(sorted(modules.items())) if type(modules) is dict else modules)

    wrap(patch, nn.ModuleDict, "update", wrong)


@counterfeit("parameters-carry-data-and-grad", "containers-subclass-module", reported="dotnet/TorchSharp#1084")
def zero_grad_reaches_a_module_s_own_parameters_alone(patch):
    def wrong(right, self, set_to_none=True):
        for parameter in self.parameters(recurse=False):
            parameter.grad = None

    wrap(patch, nn.Module, "zero_grad", wrong)
