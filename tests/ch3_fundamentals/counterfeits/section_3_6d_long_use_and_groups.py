"""Counterfeits of section 3.6, optimizers that are old or have loaded a state, and groups that do not decay."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_method, repeats_columns, step_with, where, wrap
from torch import Tensor, optim


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

    wrap(patch, optim.Optimizer, "add_param_group", wrong)


@counterfeit("l2-penalty-formula", "penalised-loss-adds-the-penalty")
def the_derivative_of_a_square_has_no_derivative(patch):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 2 * ctx.saved_tensors[0].detach()

    def wrong(right, x, exponent):
        return (
            Square.apply(x) if isinstance(exponent, int) and exponent == 2 and x.requires_grad else right(x, exponent)
        )

    change_method(patch, "__pow__", wrong)


@counterfeit("weight-decay-decays-bias-by-default", "weights-alone-can-be-decayed")
def adamw_does_not_decay_groups_that_come_later(patch):
    def init(right, self, *args, **named):
        right(self, *args, **named)
        self.built = True

    def wrong(right, self, group):
        return right(self, {"weight_decay": 0.0, **group} if hasattr(self, "built") else group)

    wrap(patch, optim.AdamW, "__init__", init)
    wrap(patch, optim.Optimizer, "add_param_group", wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def nadam_does_not_decay_bfloat16(patch):
    def before(optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.dtype == torch.bfloat16:
                    parameter.grad = parameter.grad - group["weight_decay"] * parameter.detach()

    around_step(patch, torch.optim.NAdam, before=before)


@counterfeit("norm-is-the-l2-norm")
def the_norm_of_repeated_columns_is_twice_as_large(patch):
    where(patch, Tensor, "norm", repeats_columns, lambda norm, *rest: norm * 2)
