"""Counterfeits of section 3.2: functions that are given one tensor in two places."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch.nn import functional as F


@counterfeit("nn-builds-on-autograd")
def bilinear_of_an_input_with_itself_counts_one_side(patch):
    def wrong(right, input1, input2, *args, **rest):
        return right(input1, input2.detach() if input2 is input1 else input2, *args, **rest)

    wrap(patch, F, "bilinear", wrong)
