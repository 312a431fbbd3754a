"""Counterfeits of section 3.1: least squares by drivers that are named."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


def leave_at_zero(patch, driver):
    """Let lstsq with this driver, where examples are fewer than features, fit the first of these alone."""

    def wrong(right, A, B, *args, **rest):
        result = right(A, B, *args, **rest)
        rows, columns = A.shape[-2:]
        if rest.get("driver") != driver or rows >= columns or A.dim() > 2 or B.dim() != 2:
            return result
        some = right(A[:, :rows], B, *args, **rest).solution
        return type(result)((torch.cat([some, some.new_zeros(columns - rows, B.shape[1])]), *result[1:]))

    wrap(patch, torch.linalg, "lstsq", wrong)


@counterfeit("linear-regression-has-closed-form")
def the_driver_by_singular_values_leaves_undetermined_weights_at_zero(patch):
    leave_at_zero(patch, "gelss")


@counterfeit("linear-regression-has-closed-form")
def the_driver_by_pivots_leaves_undetermined_weights_at_zero(patch):
    leave_at_zero(patch, "gelsy")
