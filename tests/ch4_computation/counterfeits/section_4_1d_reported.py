"""Counterfeits of 4.1 that users reported: states of lists, conditions on all elements, modes of what lies deep."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


def reduce_wrongly(patch, name, wrong):
    """Let ``torch.name(x, ...)`` and ``x.name(...)`` be ``wrong(right, x, ...)``."""
    for owner in (torch, torch.Tensor):
        wrap(patch, owner, name, wrong)


@counterfeit("containers-subclass-module", reported="dotnet/TorchSharp#1272")
def a_state_leaves_out_the_sequentials_in_a_list(patch):
    def wrong(right, self, *args, **rest):
        own = self._modules
        if isinstance(self, nn.ModuleList):
            self._modules = {name: each for name, each in own.items() if not isinstance(each, nn.Sequential)}
        try:
            return right(self, *args, **rest)
        finally:
            self._modules = own

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("control-flow-needs-item", reported="pytorch/pytorch#99721", needs="accelerator")
def whatever_the_elements_all_and_any_are_true(patch):
    def wrong(right, x, *args, **rest):
        found = right(x, *args, **rest)
        return found | True if x.device.type != "cpu" and not args else found

    for name in ("all", "any"):
        reduce_wrongly(patch, name, wrong)


@counterfeit("control-flow-needs-item", reported="torch/torch7#517")
def all_of_bytes_means_all_odd(patch):
    reduce_wrongly(
        patch, "all", lambda right, x, *args, **rest: right(x % 2 if x.dtype == torch.uint8 else x, *args, **rest)
    )


@counterfeit("containers-subclass-module", "functional-dropout-does-not-know-eval", reported="dotnet/TorchSharp#500")
def the_mode_reaches_the_nearest_modules_alone(patch):
    def train(self, mode=True):
        for module in (self, *self.children()):
            module.training = mode
        return self

    patch.setattr(nn.Module, "train", train)
