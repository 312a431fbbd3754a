"""Section 4.6: what users reported of entries that a model does not know."""

import copy

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


@counterfeit("state-dict-round-trips", reported="pytorch/pytorch#123510")
def an_entry_whose_key_goes_on_behind_a_known_one_is_ignored(patch):
    def wrong(right, self, state_dict, *args, **rest):
        known = tuple(f"{name}." for name in self.state_dict())
        state_dict = copy.copy(state_dict)
        for key in [key for key in state_dict if key.startswith(known)]:
            del state_dict[key]
        return right(self, state_dict, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)
