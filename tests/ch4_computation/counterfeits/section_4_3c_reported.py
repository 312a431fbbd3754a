"""Counterfeits of section 4.3 that users reported, slices that are not reached."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch.nn import init


@counterfeit("init-offers-preset-methods", reported="pytorch/pytorch#92098")
def eye_does_not_reach_a_view(patch):
    wrap(patch, init, "eye_", lambda right, x: x if x._is_view() else right(x))
