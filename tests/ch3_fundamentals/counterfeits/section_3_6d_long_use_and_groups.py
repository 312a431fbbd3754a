"""Counterfeits of section 3.6, optimizers that are old or have loaded a state, and groups that do not decay."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import step_with, wrap
from torch import optim


@counterfeit(
    "from-scratch-equals-weight-decay-option",
    "penalty-shrinks-weights-each-step",
    "weight-decay-equals-l2-regularisation",
)
def sgd_forgets_to_decay_after_a_hundred_steps(patch):
    def decay(self, group):
        self.taken = getattr(self, "taken", 0) + 1
        return group["weight_decay"] if self.taken <= 100 else 0

    step_with(patch, optim.SGD, "weight_decay", decay)


@counterfeit("penalty-shrinks-weights-each-step")
def sgd_loses_its_decay_where_a_state_is_loaded(patch):
    def wrong(right, self, state):
        right(self, state)
        for group in self.param_groups:
            group["weight_decay"] = 0

    wrap(patch, optim.SGD, "load_state_dict", wrong)


@counterfeit("weights-alone-can-be-decayed", "weight-decay-decays-bias-by-default")
def a_group_s_decay_of_zero_counts_as_not_given(patch):
    def wrong(right, self, group):
        given = {name: value for name, value in group.items() if name != "weight_decay" or value != 0}
        return right(self, given)

    wrap(patch, torch.optim.Optimizer, "add_param_group", wrong)
