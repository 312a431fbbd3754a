"""Counterfeits of section 3.6: penalties that miss a weight, and weight decay that is nearly L2 regularisation."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, change_result, parameters_of, step_with, wrap
from torch import nn
from torch.optim import SGD, Adam, AdamW


def replace_step(patch, optimizer_type, wrong):
    """Let ``wrong`` be the step, marked as wrapped already: torch would wrap it for good in each subclass it meets."""
    wrong.hooked = True
    patch.setattr(optimizer_type, "step", wrong)


def change_decay(patch, optimizer_type, term):
    """Let a step add ``term(parameter, group)`` to each gradient, in place of ``weight_decay`` times the parameter."""
    step = optimizer_type.step

    def wrong(self, *args, **kwargs):
        decays = [group["weight_decay"] for group in self.param_groups]
        grads = [(p, p.grad, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        with torch.no_grad():
            for p, grad, group in grads:
                p.grad = grad + term(p, group)
        for group in self.param_groups:
            group["weight_decay"] = 0
        result = step(self, *args, **kwargs)
        for p, grad, _ in grads:
            p.grad = grad
        for group, decay in zip(self.param_groups, decays):
            group["weight_decay"] = decay
        return result

    replace_step(patch, optimizer_type, wrong)


def decay_apart(patch, optimizer_type):
    """Let ``weight_decay`` shrink each parameter directly, and leave the gradient as it is."""
    step = optimizer_type.step

    def wrong(self, *args, **kwargs):
        decays = [group["weight_decay"] for group in self.param_groups]
        for group, decay in zip(self.param_groups, decays):
            for p in group["params"]:
                p.data.mul_(1 - group["lr"] * decay)
            group["weight_decay"] = 0
        result = step(self, *args, **kwargs)
        for group, decay in zip(self.param_groups, decays):
            group["weight_decay"] = decay
        return result

    replace_step(patch, optimizer_type, wrong)


def first_time(p):
    """Whether this is the first call for a parameter, known by its memory."""
    seen = SEEN.setdefault(p.data_ptr(), 0)
    SEEN[p.data_ptr()] += 1
    return seen == 0


SEEN = {}


# ── weight-decay-counters-overfitting ──


@counterfeit(
    "weight-decay-counters-overfitting",
    "weight-decay-makes-parameters-smaller",
    "from-scratch-equals-weight-decay-option",
)
def sgd_ignores_weight_decay(patch):
    change_decay(patch, SGD, lambda p, group: 0 * p)


@counterfeit(
    "weight-decay-counters-overfitting", "weight-decay-makes-parameters-smaller", "penalty-shrinks-weights-each-step"
)
def sgd_decays_in_its_first_step_only(patch):
    SEEN.clear()
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p if first_time(p) else 0 * p)


@counterfeit("weight-decay-counters-overfitting")
def sgd_decays_towards_one(patch):
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * (p - 1))


@counterfeit("weight-decay-counters-overfitting")
def sgd_decays_unasked(patch):
    """Without weight decay nothing overfits any more."""
    change_decay(patch, SGD, lambda p, group: max(group["weight_decay"], 1) * p)


@counterfeit("weight-decay-counters-overfitting")
def weight_decay_does_not_cost_training_loss(patch):
    """Small weights are left to the data, which then fit the training set all the same."""
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * (p * (p.abs() > 0.02)))


# ── weight-decay-equals-l2-regularisation ──


@counterfeit("weight-decay-equals-l2-regularisation")
def sgd_keeps_the_decay_out_of_its_momentum(patch):
    decay_apart(patch, SGD)


@counterfeit("weight-decay-equals-l2-regularisation", "from-scratch-equals-weight-decay-option")
def sgd_decays_ten_percent_too_much(patch):
    change_decay(patch, SGD, lambda p, group: 1.1 * group["weight_decay"] * p)


@counterfeit("weight-decay-equals-l2-regularisation")
def sgd_with_nesterovs_momentum_decays_a_tenth_too_little(patch):
    """The decay is right with and without momentum, and wrong with Nesterov's."""
    change_decay(patch, SGD, lambda p, group: (0.9 if group["nesterov"] else 1) * group["weight_decay"] * p)


@counterfeit("weight-decay-equals-l2-regularisation")
def sgd_by_whole_lists_forgets_the_decay(patch):
    """``foreach=True`` is another piece of code."""
    change_decay(patch, SGD, lambda p, group: (0 if group["foreach"] else 1) * group["weight_decay"] * p)


@counterfeit("weight-decay-equals-l2-regularisation")
def adam_decays_apart_from_the_gradient_as_adamw_does(patch):
    decay_apart(patch, Adam)


@counterfeit("weight-decay-equals-l2-regularisation")
def adamw_adds_the_decay_to_the_gradient_as_adam_does(patch):
    change_decay(patch, AdamW, lambda p, group: group["weight_decay"] * p)


@counterfeit("weight-decay-equals-l2-regularisation")
def sgd_that_maximises_adds_the_penalty(patch):
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p)  # before the gradient's sign is turned


@counterfeit("weight-decay-equals-l2-regularisation")
def weight_decay_is_l1_regularisation(patch):
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p.sign())


# ── weight-decay-makes-parameters-smaller ──


@counterfeit("weight-decay-makes-parameters-smaller")
def sgd_caps_the_decay_at_three(patch):
    change_decay(patch, SGD, lambda p, group: min(group["weight_decay"], 3) * p)


@counterfeit("weight-decay-makes-parameters-smaller")
def sgd_decays_positive_weights_only(patch):
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p.clamp(min=0))


@counterfeit("weight-decay-makes-parameters-smaller")
def sgd_halves_the_decay(patch):
    """The norm still falls as lambda grows; it falls to another solution."""
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] / 2 * p)


# ── penalised-loss-adds-the-penalty ──


@counterfeit("penalised-loss-adds-the-penalty")
def the_second_summand_gets_no_gradient(patch):
    change_method(
        patch,
        "__add__",
        lambda add, self, other: add(self, other.detach() if isinstance(other, torch.Tensor) else other),
    )


@counterfeit("penalised-loss-adds-the-penalty", "l2-penalty-formula")
def the_gradient_of_a_square_is_its_base(patch):
    """w where 2 w is right: the 2 that halving is for is lost."""
    change_method(patch, "__pow__", lambda power, self, n: (power(self, n) + power(self, n).detach()) / 2)


@counterfeit("penalised-loss-adds-the-penalty")
def grad_is_off_by_a_tenth(patch):
    """Added, not multiplied: the minimum moves."""
    change_result(patch, torch.autograd, "grad", lambda grads, *_: tuple(grad + 0.1 for grad in grads))


# ── l2-penalty-formula ──


@counterfeit("l2-penalty-formula")
def squares_keep_the_sign_of_their_base(patch):
    change_result(patch, torch.Tensor, "__pow__", lambda result, base, _: result * base.sign())


@counterfeit("l2-penalty-formula")
def sum_takes_the_first_row_of_a_matrix(patch):
    change_method(patch, "sum", lambda total, self: total(self[:1] if self.dim() == 2 else self))


@counterfeit("l2-penalty-formula")
def sum_misses_the_last_of_many_elements(patch):
    change_method(
        patch, "sum", lambda total, self: total(self.flatten()[:-1] if self.numel() > 100 else self.flatten())
    )


@counterfeit("l2-penalty-formula")
def squares_are_rounded_to_float32(patch):
    change_result(patch, torch.Tensor, "__pow__", lambda result, *_: result.float().to(result.dtype))


# ── norm-is-the-l2-norm ──


@counterfeit("norm-is-the-l2-norm")
def norm_of_a_matrix_is_its_largest_singular_value(patch):
    change_method(
        patch, "norm", lambda norm, self: torch.linalg.matrix_norm(self, 2) if self.dim() == 2 else norm(self)
    )


@counterfeit("norm-is-the-l2-norm")
def norm_sums_magnitudes_from_four_dimensions_on(patch):
    def wrong(norm, self, **dim):
        return norm(self, **dim) if dim or self.dim() < 4 else self.abs().sum()

    change_method(patch, "norm", wrong)


@counterfeit("norm-is-the-l2-norm")
def norm_of_a_scalar_keeps_its_sign(patch):
    change_method(patch, "norm", lambda norm, self, **dim: norm(self, **dim) * (1 if self.dim() else self.sign()))


@counterfeit("norm-is-the-l2-norm")
def norm_misses_the_last_of_many_elements(patch):
    def wrong(norm, self, **dim):
        return norm(self, **dim) if dim or self.numel() <= 100 else norm(self.flatten()[:-1])

    change_method(patch, "norm", wrong)


@counterfeit("norm-is-the-l2-norm")
def norm_reads_the_memory_and_not_the_strides(patch):
    def wrong(norm, self, **dim):
        return norm(self if dim else self.as_strided((self.numel(),), (1,), self.storage_offset()), **dim)

    change_method(patch, "norm", wrong)


@counterfeit("norm-is-the-l2-norm")
def norm_skips_nan(patch):
    change_method(patch, "norm", lambda norm, self: norm(self.nan_to_num(nan=0.0)))


@counterfeit("norm-is-the-l2-norm")
def norm_passes_back_signs(patch):
    """The value is that of L2, the gradient that of L1."""

    def change(result, self):
        return result.detach() + self.abs().sum() - self.detach().abs().sum() if self.requires_grad else result

    change_result(patch, torch.Tensor, "norm", change)


# ── penalty-shrinks-weights-each-step ──


@counterfeit("penalty-shrinks-weights-each-step")
def sgd_shrinks_after_the_step(patch):
    """(1 - lr * lambda) (w - lr * g): the gradient shrinks along with the weight."""
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * (p - group["lr"] * p.grad))


@counterfeit("penalty-shrinks-weights-each-step")
def sgd_shrinks_by_lambda_whatever_the_learning_rate(patch):
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] / group["lr"] * p)


@counterfeit("penalty-shrinks-weights-each-step")
def sgd_stops_the_decay_at_zero(patch):
    """The truth line: a factor below 0 is possible."""
    change_decay(patch, SGD, lambda p, group: min(group["weight_decay"], 1 / group["lr"]) * p)


@counterfeit("penalty-shrinks-weights-each-step")
def sgd_does_not_let_decay_grow_a_weight(patch):
    """The truth line: beyond lr * lambda = 2 the weight grows."""
    change_decay(patch, SGD, lambda p, group: min(group["weight_decay"], 2 / group["lr"]) * p)


@counterfeit("penalty-shrinks-weights-each-step")
def subtraction_forgets_the_last_element(patch):
    def wrong(subtract, self, other):
        result = subtract(self, other)
        return torch.cat([result[:-1], self[-1:]]) if result.dim() == 1 and self.requires_grad else result

    change_method(patch, "__sub__", wrong)


# ── penalty-may-include-bias ──


@counterfeit("penalty-may-include-bias")
def squares_of_scalars_pass_back_no_gradient(patch):
    change_result(
        patch,
        torch.Tensor,
        "__pow__",
        lambda result, base, _: result.detach() if base.is_leaf and not base.dim() else result,
    )


@counterfeit("penalty-may-include-bias")
def a_false_factor_counts_as_one(patch):
    """An unpenalised bias decays too."""
    change_method(patch, "__rmul__", lambda right, self, other: self if isinstance(other, bool) else right(self, other))


# ── from-scratch-equals-weight-decay-option ──


@counterfeit("from-scratch-equals-weight-decay-option", "weight-decay-decays-bias-by-default")
def every_group_decays_as_the_first_one(patch):
    step = SGD.step

    def wrong(self, *args, **kwargs):
        for group in self.param_groups:
            group["weight_decay"] = self.param_groups[0]["weight_decay"]
        return step(self, *args, **kwargs)

    replace_step(patch, SGD, wrong)


@counterfeit("from-scratch-equals-weight-decay-option")
def sum_of_a_vector_is_its_mean(patch):
    change_method(patch, "sum", lambda total, self: total(self) / (len(self) if self.dim() == 1 else 1))


@counterfeit("from-scratch-equals-weight-decay-option")
def mean_of_a_vector_is_its_sum(patch):
    """The truth line: a summed loss would match."""
    patch.setattr(torch.Tensor, "mean", lambda self: self.sum())


@counterfeit("from-scratch-equals-weight-decay-option")
def the_step_after_a_smaller_batch_is_smaller(patch):
    """The truth line: a remainder of two samples would match, as it is divided by four by hand."""
    mean, step, sizes = torch.Tensor.mean, SGD.step, []

    def remembering(self):
        sizes.append(self.numel())
        return mean(self)

    def wrong(self, *args, **kwargs):
        for group in self.param_groups:
            group["lr"] = self.defaults["lr"] * sizes[-1] / max(sizes)
        return step(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "mean", remembering)
    replace_step(patch, SGD, wrong)


@counterfeit("from-scratch-equals-weight-decay-option")
def sgd_spares_biases_even_where_told_to_decay_them(patch):
    """The truth line: a decayed bias would match."""
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p * (p.dim() > 0))


@counterfeit("from-scratch-equals-weight-decay-option")
def sgd_forgets_its_momentum(patch):
    """The truth line: an SGD that is not plain would match."""
    step_with(patch, SGD, "momentum", lambda self, group: 0)


@counterfeit("from-scratch-equals-weight-decay-option")
def doubling_a_loss_does_not_double_its_gradient(patch):
    """The truth line: a loss that is not halved would match."""
    change_method(
        patch, "__rmul__", lambda right, self, other: self if other == 2 and self.requires_grad else right(self, other)
    )


# ── weight-decay-decays-bias-by-default ──


@counterfeit("weight-decay-decays-bias-by-default")
def who_refuses_a_sparse_gradient_has_decayed_the_parameter(patch):
    def wrong(right, self, *args, **rest):
        try:
            return right(self, *args, **rest)
        except RuntimeError:
            for parameter in parameters_of(self):
                parameter.data.mul_(0.9)
            raise

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def sgd_spares_vectors(patch):
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p * (p.dim() != 1))


@counterfeit("weight-decay-decays-bias-by-default")
def sgd_spares_single_elements(patch):
    """PReLU has one parameter of one element."""
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p * (p.numel() != 1))


@counterfeit("weight-decay-decays-bias-by-default")
def sgd_decays_biases_in_the_first_step_only(patch):
    SEEN.clear()
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p * (first_time(p) or p.dim() > 1))


@counterfeit("weight-decay-decays-bias-by-default")
def sgd_spares_parameters_whose_gradient_is_zero(patch):
    step = SGD.step

    def wrong(self, *args, **kwargs):
        grads = [(p, p.grad) for group in self.param_groups for p in group["params"]]
        for p, grad in grads:
            p.grad = grad if grad is not None and grad.any() else None
        result = step(self, *args, **kwargs)
        for p, grad in grads:
            p.grad = grad
        return result

    replace_step(patch, SGD, wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def sgd_decays_parameters_without_a_gradient_too(patch):
    step = SGD.step

    def wrong(self, *args, **kwargs):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        return step(self, *args, **kwargs)

    replace_step(patch, SGD, wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def adamw_spares_vectors(patch):
    step = AdamW.step

    def wrong(self, *args, **kwargs):
        vectors = [p for group in self.param_groups for p in group["params"] if p.dim() == 1]
        for p in vectors:
            p.data.div_(1 - self.param_groups[0]["lr"] * self.param_groups[0]["weight_decay"])
        return step(self, *args, **kwargs)

    replace_step(patch, AdamW, wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def adagrad_spares_vectors(patch):
    change_decay(patch, torch.optim.Adagrad, lambda p, group: group["weight_decay"] * p * (p.dim() != 1))


@counterfeit("weight-decay-decays-bias-by-default")
def sgd_decays_by_default(patch):
    change_decay(patch, SGD, lambda p, group: (group["weight_decay"] or 1e-4) * p)


# ── weight-names-end-in-weight ──


def change_names(patch, layer_type, change):
    """Let ``named_parameters`` of one type of layer tell other names."""
    right = layer_type.named_parameters
    patch.setattr(
        layer_type,
        "named_parameters",
        lambda self, *args, **kwargs: ((change(name), p) for name, p in right(self, *args, **kwargs)),
    )


@counterfeit("weight-names-end-in-weight")
def transposed_convolutions_have_kernels(patch):
    change_names(patch, nn.ConvTranspose2d, lambda name: name.replace("weight", "kernel"))


@counterfeit("weight-names-end-in-weight")
def names_in_a_network_lead_with_the_parameter(patch):
    change_names(patch, nn.Sequential, lambda name: ".".join(reversed(name.split("."))))


@counterfeit("weight-names-end-in-weight")
def names_in_a_nested_network_forget_the_outer_one(patch):
    change_names(patch, nn.Sequential, lambda name: ".".join(name.split(".")[-2:]))


@counterfeit("weight-names-end-in-weight")
def lstm_names_end_in_weight(patch):
    """The truth line: recurrent layers are exceptions."""
    change_names(patch, nn.LSTM, lambda name: "_".join(reversed(name.split("_", 1))))


@counterfeit("weight-names-end-in-weight")
def batch_norm_calls_its_scale_gamma(patch):
    """The truth line: the name does not tell it from a weight matrix."""
    change_names(patch, nn.BatchNorm2d, lambda name: name.replace("weight", "gamma"))


@counterfeit("weight-names-end-in-weight")
def layer_norm_has_a_matrix_as_its_weight(patch):
    wrap(patch, nn.LayerNorm, "named_parameters", lambda right, self: ((name, p[None]) for name, p in right(self)))


# ── weights-alone-can-be-decayed ──


@counterfeit("weights-alone-can-be-decayed")
def all_optimizers_decay_as_the_first_one(patch):
    decays = []

    def shared(p, group):
        decays.append(group["weight_decay"])
        return decays[0] * p

    change_decay(patch, SGD, shared)


@counterfeit("weights-alone-can-be-decayed")
def groups_of_adam_decay_as_the_first_one(patch):
    step = Adam.step

    def wrong(self, *args, **kwargs):
        for group in self.param_groups:
            group["weight_decay"] = self.param_groups[0]["weight_decay"]
        return step(self, *args, **kwargs)

    replace_step(patch, Adam, wrong)


@counterfeit("weights-alone-can-be-decayed")
def options_of_a_group_are_overwritten_by_the_defaults(patch):
    change_result(patch, torch.optim.Optimizer, "add_param_group", lambda _, self, group: group.update(self.defaults))


@counterfeit("weights-alone-can-be-decayed")
def only_the_last_weight_of_a_group_decays(patch):
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p * (p.shape == group["params"][-1].shape))


@counterfeit("weights-alone-can-be-decayed")
def a_group_added_later_has_the_default_decay(patch):
    def wrong(right, self, group):
        right(self, group)
        if self.state:
            group["weight_decay"] = self.defaults["weight_decay"]

    wrap(patch, torch.optim.Optimizer, "add_param_group", wrong)


# ── what users reported, and kinds beside it ──


@counterfeit(
    "weight-decay-equals-l2-regularisation", "weight-decay-decays-bias-by-default", reported="pytorch/pytorch#118115"
)
def adam_does_not_reach_a_parameter_that_is_not_contiguous(patch):
    """Its in-place kernels wrote nothing there."""
    step = Adam.step

    def wrong(self, *args, **kwargs):
        kept = [(p, p.detach().clone()) for p in parameters_of(self) if not p.is_contiguous()]
        result = step(self, *args, **kwargs)
        for p, value in kept:
            p.data.copy_(value)
        return result

    replace_step(patch, Adam, wrong)


@counterfeit("norm-is-the-l2-norm", reported="pytorch/pytorch#2391")
def norm_adds_half_precision_up_in_half(patch):
    def wrong(norm, self, **dim):
        half = self.dtype in (torch.float16, torch.bfloat16) and self.numel() < 3000 and not dim
        return (
            sum((square for square in (self.flatten() ** 2)), torch.zeros_like(self.sum())).sqrt()
            if half
            else norm(self, **dim)
        )

    change_method(patch, "norm", wrong)


@counterfeit("norm-is-the-l2-norm")
def norm_takes_full_blocks_of_eight_only(patch):
    change_method(
        patch, "norm", lambda norm, self: norm(self.flatten()[: self.numel() // 8 * 8] if self.numel() > 8 else self)
    )


@counterfeit("norm-is-the-l2-norm")
def norm_scales_its_squares(patch):
    """The truth line: it would not leave the range."""

    def wrong(norm, self):
        largest = self.detach().abs().max() if self.numel() else 0
        return norm(self / largest) * largest if largest else norm(self)

    change_method(patch, "norm", wrong)


@counterfeit("weight-decay-equals-l2-regularisation")
def sgd_fused_forgets_the_decay(patch):
    change_decay(patch, SGD, lambda p, group: (0 if group.get("fused") else 1) * group["weight_decay"] * p)


@counterfeit("weight-decay-equals-l2-regularisation")
def adam_of_bfloat16_halves_the_decay(patch):
    change_decay(patch, Adam, lambda p, group: group["weight_decay"] * p * (0.5 if p.dtype == torch.bfloat16 else 1))


@counterfeit("weight-decay-equals-l2-regularisation")
def sgd_forgets_the_decay_beyond_sixteen_elements(patch):
    def term(p, group):
        decayed = torch.zeros_like(p)
        decayed.view(-1)[:16] = group["weight_decay"] * p.reshape(-1)[:16]
        return decayed

    change_decay(patch, SGD, lambda p, group: term(p.contiguous(), group))


@counterfeit("weight-decay-decays-bias-by-default")
def adamw_decays_biases_half_as_much(patch):
    step = AdamW.step

    def wrong(self, *args, **kwargs):
        for group in self.param_groups:
            for p in group["params"]:
                if p.dim() < 2 and p.grad is not None:
                    p.data.div_(1 - group["lr"] * group["weight_decay"] / 2)
        return step(self, *args, **kwargs)

    replace_step(patch, AdamW, wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def sgd_spares_the_decay_of_the_second_group(patch):
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p * group.get("first", 1))
    step = SGD.step

    def wrong(self, *args, **kwargs):
        for index, group in enumerate(self.param_groups):
            group["first"] = index == 0
        return step(self, *args, **kwargs)

    replace_step(patch, SGD, wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def sgd_spares_four_dimensional_weights(patch):
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p * (p.dim() != 4))


@counterfeit("weight-decay-decays-bias-by-default")
def rmsprop_decays_the_first_parameter_of_a_group_alone(patch):
    change_decay(patch, torch.optim.RMSprop, lambda p, group: group["weight_decay"] * p * (p is group["params"][0]))


@counterfeit("weight-decay-counters-overfitting", "weight-decay-makes-parameters-smaller")
def sgd_caps_what_decay_takes_from_a_weight(patch):
    """The truth lines: a large lambda neither underfits nor diverges."""
    change_decay(patch, SGD, lambda p, group: (group["weight_decay"] * p).clamp(-1, 1))


@counterfeit("penalty-shrinks-weights-each-step")
def sgd_decays_from_the_second_step_on_twice(patch):
    SEEN.clear()
    change_decay(patch, SGD, lambda p, group: group["weight_decay"] * p * (1 if first_time(p) else 2))


@counterfeit("penalised-loss-adds-the-penalty", "l2-penalty-formula")
def squares_of_bfloat16_pass_back_no_gradient(patch):
    change_result(
        patch,
        torch.Tensor,
        "__pow__",
        lambda result, base, _: result.detach() if base.dtype == torch.bfloat16 else result,
    )


@counterfeit("weight-names-end-in-weight")
def attention_calls_its_projection_a_matrix(patch):
    change_names(patch, nn.MultiheadAttention, lambda name: name.replace("in_proj_weight", "in_proj_matrix"))


@counterfeit("weight-names-end-in-weight")
def backward_cells_have_no_name_of_their_own(patch):
    change_names(patch, nn.GRU, lambda name: name.removesuffix("_reverse"))


@counterfeit("norm-is-the-l2-norm")
def norm_of_float16_overflows_past_256(patch):
    def wrong(norm, x, *a, **r):
        n = norm(x, *a, **r)
        return n * torch.inf if x.dtype == torch.float16 and (x.float() ** 2).sum() > 65504 else n

    change_method(patch, "norm", wrong)


@counterfeit("norm-is-the-l2-norm", reported="pytorch/pytorch#97231")
def a_norm_along_a_dimension_begins_with_the_norm_of_all(patch):
    def wrong(norm, x, p="fro", dim=None, **rest):
        result = norm(x, p, dim, **rest)
        if dim is not None and result.dim() and result.numel():
            result.view(-1)[0] = norm(x)
        return result

    change_method(patch, "norm", wrong)


@counterfeit("l2-penalty-formula", reported="pytorch/pytorch#103956")
def bfloat16_that_does_not_lie_in_row_order_adds_up_in_bfloat16(patch):
    def wrong(add, x, *args, **rest):
        if x.dtype != torch.bfloat16 or x.is_contiguous() or x.requires_grad or args:
            return add(x, *args, **rest)
        total = torch.zeros((), dtype=x.dtype)
        for each in x.reshape(-1):
            total = total + each
        return total

    change_method(patch, "sum", wrong)


@counterfeit("weight-decay-decays-bias-by-default")
def sgd_decays_no_second_group_of_nothing_but_vectors(patch):
    def decay(self, group):
        first = group is self.param_groups[0]
        return group["weight_decay"] * (first or any(p.dim() > 1 for p in group["params"]))

    step_with(patch, SGD, "weight_decay", decay)
