"""Counterfeits of section 3.6, norms of zeros, of halves and over several dimensions, and options that go together."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_gradient, change_method, everywhere, parameters_of, step_with, wrap
from torch import nn, optim
from torch.optim import Adam


def change_norm(patch, change):
    """Let the norm, as method and function, be ``change(right, x, dim)`` of any L2 norm."""

    def wrong(right, x, p="fro", dim=None, *rest, **named):
        return change(lambda x: right(x, p, dim, *rest, **named), x, dim)

    change_method(patch, "norm", wrong)
    wrap(patch, torch, "norm", wrong)


@counterfeit("norm-is-the-l2-norm", reported="pytorch/pytorch#37323")
def the_gradient_of_a_norm_of_zeros_over_several_dimensions_is_nan(patch):
    def change(right, x, dim):
        several = isinstance(dim, (tuple, list)) and len(dim) > 1 and x.requires_grad
        return right(change_gradient(x, lambda g: g.masked_fill(x.detach() == 0, math.nan)) if several else x)

    change_norm(patch, change)


@counterfeit("norm-is-the-l2-norm", reported="jax-ml/jax#40819")
def the_squares_of_halves_are_added_up_in_float32_but_rounded_before_the_root(patch):
    def change(right, x, dim):
        if x.dtype != torch.float16:
            return right(x)
        squares = x.float().square()
        return (squares.sum() if dim is None else squares.sum(dim)).to(x.dtype).sqrt()

    change_norm(patch, change)


@counterfeit("norm-is-the-l2-norm")
def the_norm_over_two_dimensions_adds_up_norms(patch):
    def change(right, x, dim):
        several = isinstance(dim, (tuple, list)) and len(dim) == 2
        return x.square().sum(dim[0], keepdim=True).sqrt().sum(dim) if several else right(x)

    change_norm(patch, change)


@counterfeit("weight-decay-equals-l2-regularisation", reported="flagos-ai/FlagGems#4988")
def fused_adam_decays_as_adamw_does(patch):
    step_with(
        patch, Adam, "decoupled_weight_decay", lambda optimizer, g: g.get("fused") or g.get("decoupled_weight_decay")
    )


@counterfeit("weight-names-end-in-weight")
def the_weight_of_a_prelu_is_called_slope(patch):
    def wrong(init, self, *args, **rest):
        init(self, *args, **rest)
        self._parameters["slope"] = self._parameters.pop("weight")

    wrap(patch, nn.PReLU, "__init__", wrong)
    patch.setattr(nn.PReLU, "weight", property(lambda self: self.slope), raising=False)


def multiply_decay(patch, factor):
    """Let a step of SGD decay each group by ``factor(optimizer, group)`` times its option."""
    step_with(patch, optim.SGD, "weight_decay", lambda self, group: factor(self, group) * group["weight_decay"])


@counterfeit("weight-decay-equals-l2-regularisation")
def sgd_maximising_with_momentum_decays_the_other_way(patch):
    multiply_decay(patch, lambda optimizer, group: -1 if group["maximize"] and group["momentum"] else 1)


@counterfeit("weight-decay-makes-parameters-smaller")
def sgd_decays_float64_not_at_all(patch):
    multiply_decay(patch, lambda optimizer, group: group["params"][0].dtype != torch.float64)


@counterfeit("norm-is-the-l2-norm")
def norm_of_bools_is_a_float(patch):
    change_norm(patch, lambda right, x, dim: right(x.float() if x.dtype == torch.bool else x))


@counterfeit("penalty-shrinks-weights-each-step")
def a_second_group_decays_by_the_learning_rate_of_the_first(patch):
    multiply_decay(patch, lambda optimizer, group: optimizer.param_groups[0]["lr"] / (group["lr"] or 1))


@counterfeit("penalty-shrinks-weights-each-step")
def a_step_with_a_closure_does_not_decay(patch):
    given = [None]
    wrap(patch, optim.SGD, "step", lambda right, self, closure=None: (given.append(closure), right(self, closure))[1])
    multiply_decay(patch, lambda optimizer, group: not given[-1])


@counterfeit("penalty-may-include-bias")
def a_bias_of_one_element_does_not_decay(patch):
    def wrong(right, self, *args, **options):
        lone = [(p, g) for g in self.param_groups for p in g["params"] if p.shape == (1,) and p.grad is not None]
        before = [p.detach().clone() for p, _ in lone]
        result = right(self, *args, **options)
        for (p, g), b in zip(lone, before):
            p.data.add_(b, alpha=g["lr"] * g["weight_decay"])
        return result

    wrap(patch, optim.SGD, "step", wrong)


@counterfeit("from-scratch-equals-weight-decay-option")
def a_group_of_more_than_two_parameters_decays_by_half(patch):
    multiply_decay(patch, lambda optimizer, group: 1 if len(group["params"]) <= 2 else 0.5)


@counterfeit("weight-decay-decays-bias-by-default")
def nadam_leaves_the_biases(patch):
    def wrong(right, self, *args, **options):
        for g in self.param_groups:
            for p in g["params"]:
                if p.dim() == 1 and p.grad is not None:
                    p.grad = p.grad - g["weight_decay"] * p.detach()
        return right(self, *args, **options)

    wrap(patch, optim.NAdam, "step", wrong)


@counterfeit("weight-decay-equals-l2-regularisation")
def adam_decays_by_its_own_option_after_loading_another(patch):
    def wrong(right, self, state):
        right(self, state)
        for g in self.param_groups:
            g["weight_decay"] = self.defaults["weight_decay"]

    wrap(patch, optim.Adam, "load_state_dict", wrong)


@counterfeit("weight-decay-equals-l2-regularisation")
def sgd_whose_rate_is_a_tensor_does_not_decay(patch):
    multiply_decay(patch, lambda optimizer, group: not isinstance(group["lr"], torch.Tensor))


@counterfeit("norm-is-the-l2-norm")
def norm_of_a_view_is_of_its_base(patch):
    change_norm(patch, lambda right, x, dim: right(x if x._base is None or dim is not None else x._base))


@counterfeit("norm-is-the-l2-norm")
def norm_of_a_matrix_does_not_overflow(patch):
    change_norm(patch, lambda right, x, dim: right(x.double()).to(x.dtype) if x.dim() > 1 else right(x))


@counterfeit("weight-decay-decays-bias-by-default")
def adadelta_does_not_decay(patch):
    step_with(patch, optim.Adadelta, "weight_decay", lambda optimizer, group: 0)


@counterfeit("weights-alone-can-be-decayed")
def two_optimizers_share_their_options(patch):
    shared = {}

    def wrong(right, self, params, *rest, **named):
        right(self, params, *rest, **named)
        first = shared.setdefault("decay", self.param_groups[0]["weight_decay"])
        if first:
            for g in self.param_groups:
                g["weight_decay"] = first

    wrap(patch, optim.Adam, "__init__", wrong)


@counterfeit("weight-decay-equals-l2-regularisation")
def decay_forgets_what_leaves_seven_after_a_block(patch):
    def value(optimizer, group):
        return 0 if any(p.numel() > 8 and p.numel() % 8 == 7 for p in group["params"]) else group["weight_decay"]

    step_with(patch, optim.SGD, "weight_decay", value)


@counterfeit("weight-decay-equals-l2-regularisation")
def adamw_with_amsgrad_adds_its_decay_to_the_gradient(patch):
    def wrong(right, self, closure=None):
        for group in self.param_groups:
            group["decoupled_weight_decay"] = not group["amsgrad"]
        return right(self, closure)

    wrap(patch, optim.AdamW, "step", wrong)


@counterfeit("penalised-loss-adds-the-penalty")
def a_penalty_added_in_place_has_no_gradient(patch):
    change_method(patch, "__iadd__", lambda right, x, y: right(x, y.detach() if x.dim() == 0 else y))


@counterfeit("l2-penalty-formula")
def the_sum_of_one_weight_in_a_matrix_is_zero(patch):
    change_method(patch, "sum", lambda right, x, *dim, **rest: right(x, *dim, **rest) * (x.shape != (1, 1)))


@counterfeit("norm-is-the-l2-norm")
def the_norm_of_power_two_is_of_power_one(patch):
    change_method(patch, "norm", lambda right, x, p="fro", *dim, **rest: right(x, 1 if p == 2 else p, *dim, **rest))


@counterfeit("penalty-shrinks-weights-each-step")
def a_schedule_reaches_the_gradient_but_not_the_decay(patch):
    def value(optimizer, group):
        return group["weight_decay"] * group.get("initial_lr", group["lr"]) / (group["lr"] or 1)

    step_with(patch, optim.SGD, "weight_decay", value)


@counterfeit("penalty-shrinks-weights-each-step")
def decay_alone_never_crosses_zero(patch):
    def wrong(right, self, *closure):
        before = [parameter.detach().clone() for parameter in parameters_of(self)]
        result = right(self, *closure)
        for parameter, old in zip(parameters_of(self), before):
            if not parameter.grad.any():
                parameter.data.masked_fill_(parameter.data * old < 0, 0)
        return result

    wrap(patch, optim.SGD, "step", wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def asgd_does_not_decay(patch):
    step_with(patch, optim.ASGD, "weight_decay", lambda optimizer, group: 0)


@counterfeit("weight-decay-decays-bias-by-default")
def adamax_does_not_decay_doubles(patch):
    def value(optimizer, group):
        return group["weight_decay"] * (group["params"][0].dtype != torch.float64)

    step_with(patch, optim.Adamax, "weight_decay", value)


@counterfeit("weight-decay-equals-l2-regularisation")
def sgd_with_momentum_decays_apart_from_the_second_step_on(patch):
    def before(optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and optimizer.state[parameter].get("momentum_buffer") is not None:
                    parameter.data.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.grad = parameter.grad - group["weight_decay"] * parameter.detach()

    around_step(patch, optim.SGD, before=before)


@counterfeit("weight-decay-decays-bias-by-default")
def nadam_by_whole_lists_does_not_decay(patch):
    step_with(patch, optim.NAdam, "weight_decay", lambda _, group: group["weight_decay"] * (not group["foreach"]))


@counterfeit("weight-decay-decays-bias-by-default")
def radam_decays_its_first_group_alone(patch):
    def value(optimizer, group):
        return group["weight_decay"] * (group is optimizer.param_groups[0])

    step_with(patch, optim.RAdam, "weight_decay", value)


@counterfeit("norm-is-the-l2-norm")
def the_norm_of_complex_numbers_is_that_of_their_real_parts(patch):
    change_method(patch, "norm", lambda right, x, *rest, **named: right(x.real, *rest, **named))


@counterfeit("weights-alone-can-be-decayed")
def what_was_loaded_decays_like_its_first_group(patch):
    def wrong(right, self, state):
        right(self, state)
        for group in self.param_groups:
            group["weight_decay"] = self.param_groups[0]["weight_decay"]

    wrap(patch, optim.SGD, "load_state_dict", wrong)


def spare(patch, optimizer_class, spared):
    """Let a step take the decay of each parameter out of its gradient where ``spared(optimizer, parameter)``."""

    def before(optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and spared(optimizer, parameter):
                    parameter.grad = parameter.grad - group["weight_decay"] * parameter.detach()

    around_step(patch, optimizer_class, before=before)


@counterfeit("weight-decay-decays-bias-by-default")
def adadelta_does_not_decay_what_is_not_contiguous(patch):
    spare(patch, optim.Adadelta, lambda optimizer, parameter: not parameter.is_contiguous())


@counterfeit("weight-decay-decays-bias-by-default")
def adamax_does_not_decay_long_parameters(patch):
    spare(patch, optim.Adamax, lambda optimizer, parameter: parameter.numel() > 1024)


@counterfeit("weight-decay-decays-bias-by-default")
def nadam_does_not_decay_after_it_was_loaded(patch):
    wrap(
        patch, optim.NAdam, "load_state_dict", lambda right, self, state: (right(self, state), vars(self).update(old=1))
    )
    spare(patch, optim.NAdam, lambda optimizer, parameter: "old" in vars(optimizer))


@counterfeit("weight-decay-decays-bias-by-default")
def asgd_decays_only_where_the_gradient_is_zero(patch):
    spare(patch, optim.ASGD, lambda optimizer, parameter: bool(parameter.grad.any()))


@counterfeit("weight-decay-decays-bias-by-default")
def many_parameters_at_once_with_sparse_gradients_do_not_decay(patch):
    def wrong(right, optimizer, *args):
        groups = optimizer.param_groups
        decays = [group["weight_decay"] for group in groups]
        for group in groups:
            sparse = any(each.grad is not None and each.grad.is_sparse for each in group["params"])
            group["weight_decay"] *= not (sparse and group["foreach"])
        right(optimizer, *args)
        for group, decay in zip(groups, decays):
            group["weight_decay"] = decay

    wrap(patch, optim.SGD, "step", wrong)


@counterfeit("l2-penalty-formula")
def of_expanded_weights_each_stored_number_is_squared_once(patch):
    def wrong(power, x, exponent):
        once = tuple(slice(None) if stride else slice(1) for stride in x.stride())
        return power(x[once] if x.numel() else x, exponent)

    change_method(patch, "__pow__", wrong)


@counterfeit("weight-decay-equals-l2-regularisation")
def where_whole_lists_are_maximised_adam_adds_the_penalty(patch):
    def decay(optimizer, group):
        return -group["weight_decay"] if group["foreach"] and group["maximize"] else group["weight_decay"]

    step_with(patch, Adam, "weight_decay", decay)


@counterfeit("weight-decay-decays-bias-by-default")
def in_float16_only_what_goes_up_decays(patch):
    def wrong(step, self, *rest):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and p.dtype == torch.float16 and not group["maximize"]:
                    p.grad = p.grad - group["weight_decay"] * p.detach()
        return step(self, *rest)

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("norm-is-the-l2-norm")
def where_only_elements_that_are_not_zero_are_held_the_norm_adds_up_their_sizes(patch):
    def wrong(right, x, *args, **rest):
        whole = x.layout == torch.sparse_coo and not args and not rest
        return x.coalesce().values().abs().sum() if whole else right(x, *args, **rest)

    change_method(patch, "norm", wrong)


@counterfeit("norm-is-the-l2-norm")
def parts_in_which_one_element_is_held_count_by_their_sizes(patch):
    def wrong(right, x, *args, **rest):
        if x.layout == torch.sparse_coo and not x.is_coalesced():
            x = torch.sparse_coo_tensor(x._indices(), x._values().abs(), x.shape, check_invariants=False)
        return right(x, *args, **rest)

    everywhere(patch, "norm", wrong)
