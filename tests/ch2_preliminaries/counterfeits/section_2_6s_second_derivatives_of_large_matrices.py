"""Counterfeits of section 2.6: second derivatives of matrices that are larger, or lie otherwise, than usual ones."""

from harness.counterfeits import counterfeit
from harness.forging import change_gradient, everywhere, wrap_operand
from torch.nn import functional as F


def once_alone(patch, names, condition, owner=None):
    """Let the gradients of these functions count as constants where ``condition(x)``."""

    def wrong(right, x, *args, **rest):
        def constant(gradient):
            return gradient.detach() + 0 * gradient

        return right(change_gradient(x, constant) if x.requires_grad and condition(x) else x, *args, **rest)

    for name in names:
        everywhere(patch, name, wrong) if owner is None else wrap_operand(patch, owner, name, wrong)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def the_slope_of_shares_in_rows_past_a_vector_is_a_constant(patch):
    once_alone(patch, ("softmax", "log_softmax"), lambda x: x.dim() == 2 and x.shape[-1] > 4)
    once_alone(patch, ("softmax", "log_softmax"), lambda x: x.dim() == 2 and x.shape[-1] > 4, F)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def the_slope_of_a_norm_of_what_lies_by_columns_past_a_vector_is_a_constant(patch):
    once_alone(
        patch, ("norm", "logsumexp", "std", "var"), lambda x: x.dim() == 2 and x.shape[0] > 4 and not x.is_contiguous()
    )
