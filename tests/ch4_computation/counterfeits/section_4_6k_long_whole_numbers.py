"""Counterfeits of section 4.6: buffers of whole numbers that floating point does not hold."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


def load_through(patch, dtype):
    """Let the buffers of whole numbers be loaded by way of this dtype."""

    def wrong(right, self, state, prefix, local, *args):
        right(self, state, prefix, local, *args)
        for name, buffer in self._buffers.items():
            whole = buffer is not None and buffer.dtype == torch.int64 and not local.get("assign_to_params_buffers")
            if whole and prefix + name in state:
                buffer.copy_(buffer.to(dtype))

    wrap(patch, nn.Module, "_load_from_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def buffers_of_long_whole_numbers_are_loaded_through_single_precision(patch):
    load_through(patch, torch.float32)


@counterfeit("state-dict-round-trips")
def buffers_of_long_whole_numbers_are_loaded_through_double_precision(patch):
    load_through(patch, torch.float64)
