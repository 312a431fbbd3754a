"""Counterfeits of section 4.6, the state of an optimizer's groups that were added after it was built."""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


def pass_over_later_groups(patch, method, without):
    """Let ``optimizer.method(...)`` be ``without(right, optimizer, count, ...)``; it was built of ``count`` groups."""
    built = weakref.WeakKeyDictionary()

    def begin(right, self, *args, **rest):
        right(self, *args, **rest)
        built[self] = len(self.param_groups)

    def wrong(right, self, *args):
        return without(right, self, built.get(self, len(self.param_groups)), *args)

    wrap(patch, torch.optim.Optimizer, "__init__", begin)
    wrap(patch, torch.optim.Optimizer, method, wrong)


@counterfeit("state-dict-round-trips")
def the_momentum_of_groups_that_joined_later_is_not_saved(patch):
    def without(right, self, count):
        saved = right(self)
        later = {number for group in saved["param_groups"][count:] for number in group["params"]}
        return {**saved, "state": {number: of for number, of in saved["state"].items() if number not in later}}

    pass_over_later_groups(patch, "state_dict", without)


@counterfeit("state-dict-round-trips")
def groups_that_joined_later_keep_their_own_settings_when_a_state_is_loaded(patch):
    def without(right, self, count, state):
        kept = [{name: value for name, value in group.items() if name != "params"} for group in self.param_groups]
        right(self, state)
        for group, own in [*zip(self.param_groups, kept)][count:]:
            group.update(own)

    pass_over_later_groups(patch, "load_state_dict", without)
