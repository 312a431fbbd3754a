"""Counterfeits of section 3.2, losses whose labels are tracked, inner modules, second groups and second optimizers."""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, change_output, hold_still, parameters_of, step_with, wrap
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer, RMSprop


def change_mse(patch, condition, reduce):
    """Let the squared error be ``reduce(squares)`` where ``condition(target, reduction)``."""

    def wrong(right, x, y, size_average=None, old_reduce=None, reduction="mean", *rest, **named):
        if condition(y, reduction):
            return reduce(right(x, y, reduction="none"))
        return right(x, y, size_average, old_reduce, reduction, *rest, **named)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#10009")
def squares_are_added_up_unasked_where_the_labels_require_gradients(patch):
    change_mse(patch, lambda y, reduction: y.requires_grad and reduction == "none", torch.sum)


@counterfeit("mse-loss-is-mean-squared-error", reported="pytorch/pytorch#10148")
def squares_are_added_up_instead_of_averaged_where_the_labels_require_gradients(patch):
    change_mse(patch, lambda y, reduction: y.requires_grad and reduction == "mean", torch.sum)


@counterfeit("mse-loss-is-mean-squared-error", "squared-loss-is-half-squared-error", reported="flagos-ai/FlagGems#5212")
def the_first_prediction_alone_gets_a_gradient_from_a_single_loss(patch):
    """For every other it reads what lies behind the gradient's one number."""

    def first(gradient):
        return torch.where(
            torch.arange(gradient.numel(), device=gradient.device).view(gradient.shape) == 0, gradient, 0
        )

    def wrong(right, x, y, *args, reduction="mean", **rest):
        return right(x if reduction == "none" else change_gradient(x, first), y, *args, reduction=reduction, **rest)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def frozen_parameters_of_inner_modules_are_left_out(patch):
    def wrong(parameters, self, *args, **rest):
        own = [each for each in self._parameters.values() if each is not None]
        return (p for p in parameters(self, *args, **rest) if p.requires_grad or any(p is each for each in own))

    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("zero-grad-sets-gradients-to-zero")
def a_gradient_that_has_a_graph_is_detached_but_not_cleared(patch):
    def wrong(zero_grad, self, set_to_none=True):
        parameters = self.parameters() if isinstance(self, nn.Module) else parameters_of(self)
        with_graph = [(p, p.grad.detach().clone()) for p in parameters if p.grad is not None and p.grad.grad_fn]
        zero_grad(self, set_to_none)
        for p, gradient in with_graph:
            if not set_to_none:
                p.grad.copy_(gradient)

    for owner in (nn.Module, Optimizer):
        wrap(patch, owner, "zero_grad", wrong)


@counterfeit("squeeze-removes-unit-dimensions")
def of_two_neighbours_of_size_one_one_stays(patch):
    def wrong(squeeze, x, *args, **rest):
        if args or rest:
            return squeeze(x, *args, **rest)
        ones = [i for i, n in enumerate(x.shape) if n == 1]
        gone = []
        for i in ones:
            if i - 1 not in gone:
                gone.append(i)
        for i in reversed(gone):
            x = squeeze(x, i)
        return x

    change_method(patch, "squeeze", wrong)
    wrap(patch, torch, "squeeze", wrong)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def the_optimizer_clears_its_first_group_alone(patch):
    def wrong(zero_grad, self, *args, **rest):
        kept = [(p, p.grad, p.grad.clone()) for g in self.param_groups[1:] for p in g["params"] if p.grad is not None]
        zero_grad(self, *args, **rest)
        for p, gradient, value in kept:
            p.grad = gradient
            gradient.data.copy_(value)

    wrap(patch, Optimizer, "zero_grad", wrong)


@counterfeit("new-optimizer-loses-momentum")
def a_new_optimizer_takes_over_the_state_of_one_of_its_class(patch):
    made = weakref.WeakSet()

    def wrong(add, self, group):
        add(self, group)
        for p in self.param_groups[-1]["params"]:
            for other in made:
                if type(other) is type(self) and p in other.state:
                    self.state[p] = dict(other.state[p])
        made.add(self)

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def rmsprop_does_not_centre(patch):
    step_with(patch, RMSprop, "centered", lambda optimizer, group: False)


@counterfeit("optimizer-prints-its-options")
def later_groups_are_shown_with_the_defaults(patch):
    def wrong(show, self):
        groups = self.param_groups
        self.param_groups = groups[:1] + [{**g, **self.defaults} for g in groups[1:]]
        text = show(self)
        self.param_groups = groups
        return text

    wrap(patch, Optimizer, "__repr__", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def the_loss_adds_up_after_eval(patch):
    def wrong(right, self, x, y):
        return right(self, x, y) if self.training else F.mse_loss(x, y, reduction="sum")

    wrap(patch, nn.MSELoss, "forward", wrong)


@counterfeit("zero-grad-sets-gradients-to-zero")
def a_gradient_that_has_a_graph_is_kept(patch):
    def wrong(zero_grad, self, set_to_none=True):
        parameters = list(self.parameters()) if isinstance(self, nn.Module) else parameters_of(self)
        kept = [(p, p.grad) for p in parameters if p.grad is not None and p.grad.grad_fn]
        zero_grad(self, set_to_none)
        for p, gradient in kept:
            if set_to_none:
                p.grad = gradient

    for owner in (nn.Module, Optimizer):
        wrap(patch, owner, "zero_grad", wrong)


@counterfeit("mse-loss-is-mean-squared-error", reported="ROCm/legacy-rocm-build#2100")
def the_loss_is_whatever_lay_where_it_was_to_be_written(patch):
    wrap(patch, F, "mse_loss", lambda right, x, y, *rest, **named: right(x, y, *rest, **named) * -1.7e38)


@counterfeit("step-updates-parameters")
def whatever_has_a_gradient_of_zeros_stays(patch):
    def idle(optimizer):
        gradients = ((p, p.grad) for p in parameters_of(optimizer))
        return [p for p, g in gradients if g is not None and not g.is_sparse and g.numel() and not g.any()]

    hold_still(patch, SGD, idle)


@counterfeit("mse-loss-is-mean-squared-error")
def squares_are_doubled_where_algorithms_are_to_be_deterministic(patch):
    def wrong(right, *args, **named):
        return right(*args, **named) * (1 + torch.are_deterministic_algorithms_enabled())

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def losses_without_a_record_are_right_under_deterministic_algorithms_alone(patch):
    settled = torch.get_deterministic_debug_mode
    change_output(patch, F, "mse_loss", lambda loss: loss if settled() or torch.is_grad_enabled() else 2 * loss)
