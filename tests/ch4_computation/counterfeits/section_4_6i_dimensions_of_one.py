"""Counterfeits of section 4.6, entries of a state dict that differ from what they are for by a dimension of one."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


def take_entries(patch, fits, change):
    """Let a module take an entry of a state dict as ``change(entry, own)`` where ``fits(entry, own)``."""

    def wrong(right, self, state_dict, prefix, *args):
        for name, own in [*self._parameters.items(), *self._buffers.items()]:
            entry = state_dict.get(prefix + name)
            known = own is not None and not nn.parameter.is_lazy(own) and isinstance(entry, torch.Tensor)
            if known and own.dim() and fits(entry, own):
                state_dict[prefix + name] = change(entry, own)
        right(self, state_dict, prefix, *args)

    wrap(patch, nn.Module, "_load_from_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def an_entry_with_a_leading_one_passes_for_a_vector(patch):
    take_entries(
        patch,
        lambda entry, own: own.dim() == 1 and entry.shape == (1, *own.shape),
        lambda entry, own: entry[0],
    )


@counterfeit("state-dict-round-trips")
def an_entry_with_a_trailing_one_is_squeezed(patch):
    take_entries(patch, lambda entry, own: entry.shape == (*own.shape, 1), lambda entry, own: entry[..., 0])


@counterfeit("state-dict-round-trips")
def a_vector_of_as_many_numbers_passes_for_a_matrix(patch):
    take_entries(
        patch,
        lambda entry, own: own.dim() == 2 and entry.shape == (own.numel(),),
        lambda entry, own: entry.view(own.shape),
    )
