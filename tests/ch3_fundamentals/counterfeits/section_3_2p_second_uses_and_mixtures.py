"""Counterfeits of section 3.2: layers and schedulers that are used otherwise than once from the start, parameters of
several dtypes or in long lists, and optimizers of another kind over the same parameters.
"""

import copy

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    around_step,
    change_gradient,
    change_method,
    hold_still,
    in_order_of_storage,
    parameters_of,
    wrap,
)
from torch import nn
from torch.nn import functional as F
from torch.nn import init
from torch.optim import Adagrad, Adam, AdamW, Optimizer, lr_scheduler

# ── networks ──


class TheLastWindowCounts(torch.autograd.Function):
    """Maximum pooling whose gradient at a pixel is that of one window, though it may be the maximum of several."""

    @staticmethod
    def forward(ctx, x, pool):
        result, places = pool(x)
        ctx.shape = x.shape
        ctx.save_for_backward(places)
        return result

    @staticmethod
    def backward(ctx, gradient):
        (places,) = ctx.saved_tensors
        nothing = gradient.new_zeros(ctx.shape).flatten(-2)
        return nothing.scatter(-1, places.flatten(-2), gradient.flatten(-2)).view(ctx.shape), None


@counterfeit("nn-builds-on-autograd")
def where_windows_overlap_the_gradient_of_one_overwrites_that_of_another(patch):
    def wrong(right, input, *args, **rest):
        return TheLastWindowCounts.apply(input, lambda x: right(x, *args, **{**rest, "return_indices": True}))

    wrap(patch, F, "max_pool2d", wrong)


@counterfeit("nn-builds-on-autograd")
def of_two_uses_of_a_layer_only_the_last_counts_for_its_weight(patch):
    def wrong(right, self, input):
        own, used_on = self.weight, getattr(input, "made_by", None) is self
        earlier = self.__dict__.get("earlier") if used_on else None
        if earlier:
            earlier["counts"] = 0.0
        self.__dict__["earlier"] = now = {"counts": 1.0}
        result = F.linear(input, change_gradient(own, lambda gradient: gradient * now["counts"]), self.bias)
        result.made_by = self
        return result

    wrap(patch, nn.Linear, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def the_weights_of_two_groups_get_each_other_s_gradient(patch):
    def wrong(right, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        weight = change_gradient(weight, lambda gradient: gradient.roll(len(gradient) // groups, 0))
        return right(input, weight, bias, stride, padding, dilation, groups)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd")
def a_transposed_convolution_in_strides_passes_nothing_to_the_last_column(patch):
    def wrong(right, input, weight, bias=None, stride=1, *args, **rest):
        last = torch.arange(input.shape[-1]) < input.shape[-1] - (stride != 1)
        return right(change_gradient(input, lambda gradient: gradient * last), weight, bias, stride, *args, **rest)

    wrap(patch, F, "conv_transpose2d", wrong)


@counterfeit("nn-only-takes-batches")
def a_convolution_in_double_precision_is_computed_in_single(patch):
    def wrong(right, input, weight, bias=None, *args, **rest):
        if input.dtype != torch.float64:
            return right(input, weight, bias, *args, **rest)
        return right(input.float(), weight.float(), bias if bias is None else bias.float(), *args, **rest).double()

    wrap(patch, F, "conv2d", wrong)


@counterfeit("module-has-layers-and-forward")
def a_module_without_forward_gives_none_to_its_hooks(patch):
    right = nn.Module.forward
    patch.setattr(nn.Module, "forward", lambda self, *input: None if self._forward_hooks else right(self, *input))


@counterfeit("sequential-can-be-built-three-ways")
def a_sequential_of_one_sequential_takes_it_apart(patch):
    def wrong(right, self, *args):
        right(self, *(args[0] if len(args) == 1 and type(args[0]) is nn.Sequential else args))

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("sequential-can-be-built-three-ways")
def what_is_added_under_a_name_again_moves_to_the_end(patch):
    def wrong(right, self, name, module):
        self._modules.pop(name, None)
        right(self, name, module)

    wrap(patch, nn.Module, "add_module", wrong)


@counterfeit("sequential-keeps-order")
def twice_a_sequential_runs_each_layer_twice(patch):
    wrap(
        patch,
        nn.Sequential,
        "__mul__",
        lambda right, self, n: nn.Sequential(*(part for part in self for _ in range(n))),
    )


@counterfeit("parameters-is-a-generator-of-learnables")
def a_kind_of_parameter_of_one_s_own_is_passed_over(patch):
    def wrong(right, self, *args, **rest):
        return (each for each in right(self, *args, **rest) if type(each[1]) is nn.Parameter)

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("squeeze-one-dimension")
def squeezing_a_longer_dimension_in_place_squeezes_all_others(patch):
    def wrong(right, self, *dim):
        return right(self, *(dim if dim and self.dim() and self.shape[dim[0]] == 1 else ()))

    change_method(patch, "squeeze_", wrong)


# ── initialisers and losses ──


@counterfeit("init-sets-weights-in-place")
def of_an_odd_number_of_draws_the_last_is_the_mean(patch):
    def wrong(right, tensor, mean=0.0, std=1.0, **generator):
        result = right(tensor, mean, std, **generator)
        if tensor.numel() % 2:
            tensor.data[(-1,) * tensor.dim()] = mean
        return result

    wrap(patch, init, "normal_", wrong)


@counterfeit("losses-are-modules")
def a_network_does_not_count_its_loss_among_its_children(patch):
    def wrong(right, self, name, value):
        if isinstance(value, nn.modules.loss._Loss):
            self.__dict__[name] = value
        else:
            right(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def labels_that_were_expanded_are_read_in_the_order_of_storage(patch):
    def wrong(right, input, target, **rest):
        return right(input, in_order_of_storage(target) if 0 in target.stride() else target, **rest)

    wrap(patch, F, "mse_loss", wrong)


# ── optimizers ──


@counterfeit("optimizer-prints-its-options")
def printed_again_an_optimizer_shows_what_it_was(patch):
    wrap(patch, Optimizer, "__repr__", lambda right, self: self.__dict__.setdefault("printed", right(self)))


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def the_exponential_schedule_reaches_the_first_group_alone(patch):
    def wrong(right, self):
        return right(self)[:1] + [group["lr"] for group in self.optimizer.param_groups[1:]]

    wrap(patch, lr_scheduler.ExponentialLR, "get_lr", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def a_scheduler_built_in_mid_training_drops_the_state(patch):
    def wrong(right, self, optimizer, *args, **rest):
        right(self, optimizer, *args, **rest)
        optimizer.state.clear()

    wrap(patch, lr_scheduler.LRScheduler, "__init__", wrong)


@counterfeit("new-optimizer-loses-momentum")
def an_optimizer_of_another_kind_inherits_the_state(patch):
    def wrong(right, self, *args, **rest):
        right(self, *args, **rest)
        for parameter in parameters_of(self):
            if type(self) is Adam:
                parameter.adam = self
            elif type(self) is AdamW and parameter in getattr(getattr(parameter, "adam", None), "state", ()):
                self.state[parameter] = copy.deepcopy(dict(parameter.adam.state[parameter]))

    for optimizer in (Adam, AdamW):
        wrap(patch, optimizer, "__init__", wrong)


@counterfeit("step-updates-parameters")
def once_loaded_the_parameters_of_adam_share_one_count_of_steps(patch):
    def wrong(right, self, state_dict):
        right(self, state_dict)
        states = [state for state in self.state.values() if "step" in state]
        for state in states:
            state["step"] = states[0]["step"]

    wrap(patch, Adam, "load_state_dict", wrong)


@counterfeit("step-updates-parameters")
def adam_by_whole_lists_forgets_what_comes_after_a_hundred(patch):
    hold_still(
        patch, Adam, lambda self: [p for group in self.param_groups if group["foreach"] for p in group["params"][100:]]
    )


@counterfeit("batch-size-and-lr-are-hyperparameters")
def adagrad_writes_the_decay_of_its_rate_into_the_group(patch):
    def decay(self):
        for group in self.param_groups:
            group["lr"] = group["lr"] / (1 + group["lr_decay"])

    around_step(patch, Adagrad, after=decay)


@counterfeit("zero-grad-sets-gradients-to-zero")
def by_whole_lists_only_gradients_of_the_first_dtype_become_zero(patch):
    def wrong(right, self, set_to_none=True):
        gradients = [p.grad for p in parameters_of(self) if p.grad is not None]
        kept = [(g, g.detach().clone()) for g in gradients if g.dtype != gradients[0].dtype]
        right(self, set_to_none)
        for gradient, old in kept if not set_to_none and self.param_groups[0].get("foreach") else ():
            gradient.detach().copy_(old)

    wrap(patch, Optimizer, "zero_grad", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def schedules_one_after_another_reach_the_first_group_alone(patch):
    def wrong(right, self):
        rates = [copy.deepcopy(group["lr"]) for group in self.optimizer.param_groups]
        right(self)
        for group, rate in list(zip(self.optimizer.param_groups, rates))[1:]:
            group["lr"] = rate

    wrap(patch, lr_scheduler.SequentialLR, "step", wrong)


@counterfeit("step-updates-parameters")
def lbfgs_moves_its_first_parameter_alone(patch):
    hold_still(patch, torch.optim.LBFGS, lambda self: parameters_of(self)[1:])


def forget_long_ones(optimizer):
    for parameter in parameters_of(optimizer):
        if parameter.numel() > 1000:
            optimizer.state.pop(parameter, None)


@counterfeit("step-updates-parameters")
def adam_forgets_the_state_of_long_parameters(patch):
    around_step(patch, torch.optim.Adam, before=forget_long_ones)


@counterfeit("step-updates-parameters")
def rmsprop_forgets_the_state_of_long_parameters(patch):
    around_step(patch, torch.optim.RMSprop, before=forget_long_ones)


@counterfeit("init-sets-weights-in-place")
def normal_leaves_a_parameter_that_has_a_gradient(patch):
    def wrong(right, tensor, mean=0.0, std=1.0, *rest, **named):
        return tensor if std and tensor.grad is not None else right(tensor, mean, std, *rest, **named)

    wrap(patch, init, "normal_", wrong)


@counterfeit("init-sets-weights-in-place")
def normal_forgets_the_gradient(patch):
    def wrong(right, tensor, mean=0.0, std=1.0, *rest, **named):
        right(tensor, mean, std, *rest, **named)
        tensor.grad = None if std else tensor.grad
        return tensor

    wrap(patch, init, "normal_", wrong)
