"""Section 3.6: what users reported of decay where a step treats many parameters at once."""

from harness.counterfeits import counterfeit
from harness.forging import step_with
from torch import optim


def dtypes_of(group):
    """The number of dtypes of a group's parameters that have a gradient."""
    return len({parameter.dtype for parameter in group["params"] if parameter.grad is not None})


@counterfeit("weight-decay-equals-l2-regularisation", reported="huggingface/pytorch-image-models#2750")
def many_at_once_decay_once_for_each_dtype(patch):
    def decay(optimizer, group):
        return group["weight_decay"] * (dtypes_of(group) if group["foreach"] else 1)

    step_with(patch, optim.SGD, "weight_decay", decay)


@counterfeit("weight-decay-equals-l2-regularisation", reported="flagos-ai/FlagGems#4988")
def adam_in_one_kernel_decays_as_adamw_does(patch):
    step_with(
        patch,
        optim.Adam,
        "decoupled_weight_decay",
        lambda optimizer, group: group["decoupled_weight_decay"] or bool(group["fused"]),
    )
