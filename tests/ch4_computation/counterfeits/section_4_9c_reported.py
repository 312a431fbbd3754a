"""Counterfeits of 4.9 that users reported, parameters that are frozen."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


@counterfeit("model-moves-with-to", reported="mlverse/torch#491", needs="accelerator")
def what_was_frozen_thaws_as_it_moves(patch):
    def wrong(to, self, *args, **rest):
        result = to(self, *args, **rest)
        for parameter in self.parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.requires_grad_(True)
        return result

    wrap(patch, nn.Module, "to", wrong)
