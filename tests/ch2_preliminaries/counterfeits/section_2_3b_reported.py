"""Counterfeits of section 2.3 that users reported, assignments to columns."""

from harness.counterfeits import counterfeit
from harness.forging import divert
from torch import Tensor


@counterfeit("broadcasting-matches-shapes", reported="pytorch/xla#514", needs="accelerator")
def what_is_assigned_to_every_second_column_is_lost(patch):
    def stepped(x, index, value):
        parts = index if isinstance(index, tuple) else (index,)
        return x.device.type != "cpu" and any(isinstance(part, slice) and (part.step or 1) != 1 for part in parts)

    divert(patch, Tensor, "__setitem__", stepped, lambda x, index, value: None)
