"""Counterfeits of section 1.1: learners that do not learn, and compositions that do not compose."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    around_step,
    change_gradient,
    change_method,
    change_output_where,
    change_result,
    divert,
    hold_still,
    in_order_of_storage,
    parameters_of,
    run_levels,
    wrap,
    wrap_operand,
)
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.utils import checkpoint

# ── experience-improves-performance ──


@counterfeit("experience-improves-performance")
def lstsq_looks_at_the_first_forty_examples_only(patch):
    wrap(patch, torch.linalg, "lstsq", lambda lstsq, A, B, **rest: lstsq(A[..., :40, :], B[..., :40, :], **rest))


@counterfeit("experience-improves-performance")
def lstsq_shrinks_what_it_learned_by_ten_per_cent(patch):
    wrap(patch, torch.linalg, "lstsq", lambda lstsq, A, B, **rest: lstsq(A, 0.9 * B, **rest))


@counterfeit("experience-improves-performance")
def lstsq_mixes_up_which_label_belongs_to_which_example(patch):
    wrap(patch, torch.linalg, "lstsq", lambda lstsq, A, B, **rest: lstsq(A, B.roll(1, -2), **rest))


@counterfeit("experience-improves-performance")
def lstsq_in_double_precision_ignores_the_last_feature(patch):
    def wrong(lstsq, A, B, **rest):
        seen = torch.arange(A.shape[-1], device=A.device) < A.shape[-1] - (A.dtype == torch.float64)
        return lstsq(A * seen, B, **rest)

    wrap(patch, torch.linalg, "lstsq", wrong)


# ── deep-model-is-composition ──


@counterfeit("deep-model-is-composition")
def sequential_leaves_out_its_last_level_if_it_has_no_weights(patch):
    run_levels(patch, lambda net: net[:-1] if len(net) > 3 and not list(net[-1].parameters()) else net)


@counterfeit("deep-model-is-composition")
def sequential_adds_the_input_of_a_level_to_its_output(patch):
    """Where their shapes are equal, as in a residual network."""

    def apply(level, x):
        y = level(x)
        return x + y if x.shape == y.shape else y

    run_levels(patch, apply=apply)


@counterfeit("deep-model-is-composition")
def sequential_runs_levels_without_weights_in_alphabetical_order(patch):
    run_levels(
        patch, lambda net: net if list(net.parameters()) else sorted(net, key=lambda level: type(level).__name__)
    )


@counterfeit("deep-model-is-composition")
def sequential_gives_every_level_the_first_representation_of_its_size(patch):
    def forward(self, x):
        seen = {}
        for level in self:
            y = level(seen.setdefault(x.shape, x))
            x = y
        return x

    patch.setattr(nn.Sequential, "forward", forward)


@counterfeit("deep-model-is-composition")
def linear_forgets_its_bias(patch):
    wrap(patch, F, "linear", lambda linear, input, weight, bias=None: linear(input, weight))


@counterfeit("deep-model-is-composition")
def tanh_is_a_quotient_of_polynomials(patch):
    patch.setattr(torch, "tanh", lambda x: x * (27 + x**2) / (27 + 9 * x**2))


@counterfeit("deep-model-is-composition", reported="pytorch/pytorch#162730")
def a_layer_reads_a_transposed_weight_in_the_order_of_storage(patch):
    def wrong(right, input, weight, bias=None):
        return right(input, weight if weight.is_contiguous() else in_order_of_storage(weight), bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("deep-model-is-composition")
def named_levels_run_in_alphabetical_order(patch):
    run_levels(
        patch, lambda net: [net._modules[name] for name in sorted(net._modules, key=lambda name: (len(name), name))]
    )


@counterfeit("deep-model-is-composition")
def a_level_appended_after_a_call_is_not_applied(patch):
    def known(model):
        model.__dict__.setdefault("known", len(model))
        return list(model)[: model.__dict__["known"]]

    run_levels(patch, known)


@counterfeit("deep-model-is-composition")
def a_level_inserted_in_front_comes_last(patch):
    wrap(patch, nn.Sequential, "insert", lambda right, model, place, level: right(model, len(model), level))


# ── composition-adds-expressive-power ──


@counterfeit("composition-adds-expressive-power")
def relu_leaks_one_per_cent(patch):
    patch.setattr(F, "relu", lambda x, inplace=False: F.leaky_relu(x, 0.01))


@counterfeit("composition-adds-expressive-power")
def tanh_passes_its_input(patch):
    patch.setattr(torch, "tanh", lambda x: x * 1)


@counterfeit("composition-adds-expressive-power")
def linear_saturates(patch):
    wrap(patch, F, "linear", lambda linear, *args: linear(*args).clamp(-1, 1))


@counterfeit("composition-adds-expressive-power")
def linear_bends_a_little(patch):
    """Affine levels then learn XOR, too."""
    wrap(patch, F, "linear", lambda linear, *args: linear(*args) + 0.1 * linear(*args) ** 2)


@counterfeit("composition-adds-expressive-power")
def tanh_lets_a_thousand_numbers_pass(patch):
    change_result(patch, torch, "tanh", lambda result, x: x if x.numel() > 1000 else result)


@counterfeit("composition-adds-expressive-power")
def relu_passes_all_that_lies_by_columns(patch):
    wrap(patch, F, "relu", lambda relu, x, *rest, **how: relu(x, *rest, **how) if x.is_contiguous() else x + 0)


@counterfeit("composition-adds-expressive-power")
def relatives_of_relu_are_linear(patch):
    for name in ("GELU", "SiLU", "ELU", "Softplus", "LeakyReLU"):
        patch.setattr(getattr(nn, name), "forward", lambda self, x: x * 0.9)


@counterfeit("composition-adds-expressive-power")
def a_convolution_cuts_what_is_negative(patch):
    change_result(patch, F, "conv2d", lambda result, *rest: result.relu())


# ── training-is-end-to-end ──


def blocks_gradients(function):
    return lambda x, *rest: function(x.detach(), *rest)


@counterfeit("training-is-end-to-end")
def tanh_blocks_gradients(patch):
    patch.setattr(torch, "tanh", blocks_gradients(torch.tanh))


@counterfeit("training-is-end-to-end")
def linear_keeps_gradients_from_its_bias(patch):
    wrap(patch, F, "linear", lambda linear, x, weight, bias: linear(x, weight, bias.detach()))


class Weakened(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return 0.9 * gradient


@counterfeit("training-is-end-to-end")
def every_tanh_weakens_the_gradient_by_ten_per_cent(patch):
    wrap(patch, torch, "tanh", lambda tanh, x: Weakened.apply(tanh(x)))


@counterfeit("training-is-end-to-end")
def sgd_leaves_out_the_first_level(patch):
    init = torch.optim.SGD.__init__
    patch.setattr(
        torch.optim.SGD, "__init__", lambda self, params, *args, **rest: init(self, list(params)[2:], *args, **rest)
    )


@counterfeit("training-is-end-to-end")
def sgd_goes_uphill(patch):
    wrap(patch, torch.optim.SGD, "__init__", lambda init, self, params, lr: init(self, params, lr, maximize=True))


@counterfeit("training-is-end-to-end")
def a_frozen_level_learns(patch):
    patch.setattr(nn.Module, "requires_grad_", lambda self, requires_grad=True: self)


@counterfeit("training-is-end-to-end")
def freezing_reaches_no_deeper_than_the_children(patch):
    def wrong(self, requires_grad=True):
        for module in (self, *self.children()):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(requires_grad)
        return self

    patch.setattr(nn.Module, "requires_grad_", wrong)


@counterfeit("training-is-end-to-end")
def detach_lets_gradients_pass(patch):
    patch.setattr(torch.Tensor, "detach", lambda self: self * 1)


@counterfeit("training-is-end-to-end")
def the_product_weakens_the_gradient_of_its_second_factor(patch):
    change_method(
        patch, "__mul__", lambda multiply, x, y: multiply(x, Weakened.apply(y) if isinstance(y, torch.Tensor) else y)
    )


def move_frozen(patch, optimizer, move):
    """Let a step do ``move(parameter, group, state)`` to each parameter without a gradient."""

    def moved(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    move(parameter.data, group, self.state[parameter])

    around_step(patch, optimizer, before=moved)


@counterfeit("training-is-end-to-end")
def sgd_decays_frozen_parameters(patch):
    move_frozen(patch, SGD, lambda data, group, state: data.mul_(1 - group["lr"] * group["weight_decay"]))


@counterfeit("training-is-end-to-end")
def adam_moves_frozen_parameters_by_their_old_momentum(patch):
    move_frozen(
        patch, torch.optim.Adam, lambda data, group, state: data.sub_(state.get("exp_avg", 0 * data), alpha=group["lr"])
    )


@counterfeit("training-is-end-to-end")
def the_weight_of_a_layer_in_evaluation_does_not_learn(patch):
    def forward(self, x):
        return F.linear(x, self.weight if self.training else self.weight.detach(), self.bias)

    patch.setattr(nn.Linear, "forward", forward)


@counterfeit("training-is-end-to-end")
def sgd_leaves_all_groups_but_the_first_alone(patch):
    hold_still(patch, SGD, lambda optimizer: [each for group in optimizer.param_groups[1:] for each in group["params"]])


# ── learned-filters-beat-hand-made-features ──


@counterfeit("learned-filters-beat-hand-made-features")
def conv2d_keeps_gradients_from_its_filters(patch):
    wrap(patch, F, "conv2d", lambda conv2d, x, weight, *rest: conv2d(x, weight.detach(), *rest))


@counterfeit("learned-filters-beat-hand-made-features")
def adam_takes_the_learning_rate_for_per_cent(patch):
    wrap(patch, torch.optim.Adam, "__init__", lambda init, self, params, lr: init(self, params, lr=lr / 100))


@counterfeit("learned-filters-beat-hand-made-features")
def adam_updates_the_last_layer_only(patch):
    wrap(patch, torch.optim.Adam, "__init__", lambda init, self, params, lr: init(self, list(params)[-2:], lr=lr))


@counterfeit("deep-model-is-composition")
def sequential_returns_its_first_output_for_the_same_shape(patch):
    forward, last = nn.Sequential.forward, {}
    patch.setattr(nn.Sequential, "forward", lambda self, x: last.setdefault((id(self), x.shape), forward(self, x)))


@counterfeit("deep-model-is-composition")
def sequential_stops_after_five_levels(patch):
    run_levels(patch, lambda net: list(net)[:5])


@counterfeit("learned-filters-beat-hand-made-features")
def filters_are_turned_round_before_they_are_compared(patch):
    wrap(patch, F, "conv2d", lambda conv2d, x, weight, *rest: conv2d(x, weight.transpose(2, 3), *rest))


@counterfeit("training-is-end-to-end")
def a_frozen_level_blocks_the_gradient_below(patch):
    linear = F.linear
    patch.setattr(
        F, "linear", lambda x, weight, bias=None: linear(x if weight.requires_grad else x.detach(), weight, bias)
    )


@counterfeit("deep-model-is-composition")
def a_level_that_is_appended_is_not_applied(patch):
    patch.setattr(nn.Sequential, "append", lambda self, level: self)


@counterfeit("training-is-end-to-end")
def a_level_that_is_used_twice_learns_from_its_last_use_alone(patch):
    calls = {}

    def forward(self, x):
        calls[self] = mine = calls.get(self, 0) + 1
        weight = change_gradient(self.weight, lambda gradient: gradient * (calls[self] == mine))
        return F.linear(x, weight, self.bias)

    patch.setattr(nn.Linear, "forward", forward)


@counterfeit("learned-filters-beat-hand-made-features", reported="pytorch/pytorch#18948")
def a_convolution_reads_columns_of_an_image_and_of_a_filter_in_the_order_of_storage(patch):
    def wrong(right, input, weight, *rest, **named):
        columns = [x.shape[-1] == 1 and not x.is_contiguous() for x in (input, weight)]
        if all(columns):
            input, weight = in_order_of_storage(input), in_order_of_storage(weight)
        return right(input, weight, *rest, **named)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("deep-model-is-composition")
def sequential_runs_a_repeated_module_once(patch):
    run_levels(patch, dict.fromkeys)


@counterfeit("deep-model-is-composition")
def sequential_skips_its_last_module_in_eval(patch):
    run_levels(patch, lambda net: net if net.training else net[:-1])


@counterfeit("composition-adds-expressive-power")
def relu_in_place_does_nothing(patch):
    wrap(patch, F, "relu", lambda right, x, inplace=False: x if inplace else right(x))


@counterfeit("composition-adds-expressive-power")
def tanh_module_is_linear_for_a_single_sample(patch):
    divert(patch, nn.Tanh, "forward", lambda self, x: x.dim() == 1, lambda self, x: x)


@counterfeit("training-is-end-to-end")
def a_module_unfrozen_again_stays_frozen(patch):
    def wrong(right, self, requires_grad=True):
        for p in self.parameters():
            if not requires_grad:
                p.was_frozen = True
            if not hasattr(p, "was_frozen") or not requires_grad:
                p.requires_grad_(requires_grad)
        return self

    wrap(patch, nn.Module, "requires_grad_", wrong)


@counterfeit("training-is-end-to-end")
def detach_in_place_does_nothing(patch):
    patch.setattr(torch.Tensor, "detach_", lambda self: self)


@counterfeit("training-is-end-to-end")
def freezing_a_module_leaves_its_children(patch):
    def wrong(right, self, requires_grad=True):
        for p in self.parameters(recurse=requires_grad):
            p.requires_grad_(requires_grad)
        return self

    wrap(patch, nn.Module, "requires_grad_", wrong)


@counterfeit("learned-filters-beat-hand-made-features")
def conv2d_with_padding_same_shifts_by_one(patch):
    def wrong(right, x, w, b=None, stride=1, padding=0, *a, **k):
        return right(x, w, b, stride, padding, *a, **k).roll(int(padding == "same"), -1)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("learned-filters-beat-hand-made-features")
def conv2d_does_not_learn_its_bias(patch):
    wrap(patch, F, "conv2d", lambda right, x, w, b=None, *a, **k: right(x, w, b if b is None else b.detach(), *a, **k))


@counterfeit("training-is-end-to-end")
def momentum_moves_a_level_that_is_frozen_meanwhile(patch):
    def move(self):
        for p in parameters_of(self):
            v = self.state[p].get("momentum_buffer")
            if p.grad is None and v is not None:
                p.data.sub_(v, alpha=0.01)

    around_step(patch, SGD, after=move)


@counterfeit("learned-filters-beat-hand-made-features")
def conv2d_with_a_stride_starts_one_later(patch):
    def wrong(right, x, w, b=None, stride=1, *a, **k):
        return right(x.roll(-1, -1) if stride not in (1, (1, 1)) else x, w, b, stride, *a, **k)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("deep-model-is-composition")
def an_empty_sequential_gives_zeros(patch):
    def wrong(right, self, x):
        return right(self, x) if len(self) else torch.zeros_like(x)

    wrap(patch, nn.Sequential, "forward", wrong)


@counterfeit("deep-model-is-composition")
def a_sequential_in_a_sequential_runs_its_first_level_alone(patch):
    run_levels(patch, apply=lambda level, x: (level[0] if isinstance(level, nn.Sequential) else level)(x))


@counterfeit("composition-adds-expressive-power")
def tanh_of_doubles_is_single(patch):
    wrap(patch, nn.Tanh, "forward", lambda right, self, x: right(self, x.float()).to(x.dtype))


@counterfeit("experience-improves-performance")
def lstsq_reads_the_first_thousand_examples_alone(patch):
    wrap(patch, torch.linalg, "lstsq", lambda right, a, b: right(a[:1000], b[:1000]))


@counterfeit("composition-adds-expressive-power")
def relu_in_place_does_nothing_where_nothing_is_recorded(patch):
    def wrong(right, self, x):
        return right(self, x) if torch.is_grad_enabled() or not self.inplace else x

    wrap(patch, nn.ReLU, "forward", wrong)


@counterfeit("learned-filters-beat-hand-made-features")
def an_image_without_a_batch_teaches_its_filter_nothing(patch):
    def wrong(conv2d, x, weight, *rest):
        return conv2d(x, weight if x.dim() == 4 else weight.detach(), *rest)

    wrap(patch, F, "conv2d", wrong)


@counterfeit("training-is-end-to-end")
def a_linear_level_of_three_dimensions_passes_no_gradient_down(patch):
    wrap(patch, F, "linear", lambda right, x, *rest: right(x.detach() if x.dim() == 3 else x, *rest))


@counterfeit("training-is-end-to-end")
def a_part_that_is_computed_again_for_the_way_back_learns_nothing(patch):
    for name in ("checkpoint", "checkpoint_sequential"):
        change_output_where(
            patch,
            checkpoint,
            name,
            lambda y: y.requires_grad,
            lambda y: change_gradient(y, lambda gradient: gradient * 0),
        )


@counterfeit("training-is-end-to-end")
def of_several_inputs_of_what_is_computed_again_only_the_first_passes_gradients_on(patch):
    def wrong(right, part, *inputs, **rest):
        return right(part, *inputs[:1], *(x.detach() for x in inputs[1:]), **rest)

    wrap(patch, checkpoint, "checkpoint", wrong)


@counterfeit("composition-adds-expressive-power")
def affine_layers_of_a_sequential_lose_the_sign_of_sequences(patch):
    right = nn.Sequential.forward

    def wrong(self, input):
        if (
            isinstance(input, torch.Tensor)
            and input.dim() == 3
            and all(isinstance(m, nn.Linear) for m in self)
            and len(self) > 1
        ):
            for module in self:
                input = module(input).abs()
            return input
        return right(self, input)

    patch.setattr(nn.Sequential, "forward", wrong)


@counterfeit("training-is-end-to-end", reported="paiml/aprender#2200")
def batch_and_group_norm_give_their_scale_no_gradient(patch):
    """Scale and shift of BatchNorm1d (in training mode) and GroupNorm were left out of the graph."""

    def plant(layer, only_training):
        right = layer.forward

        def forward(self, input):
            if only_training and not self.training:
                return right(self, input)
            own = self.__dict__["_parameters"]
            self.__dict__["_parameters"] = {
                name: p if p is None else nn.Parameter(p.detach(), requires_grad=False) for name, p in own.items()
            }
            try:
                return right(self, input)
            finally:
                self.__dict__["_parameters"] = own

        patch.setattr(layer, "forward", forward)

    plant(nn.BatchNorm1d, True)
    plant(nn.GroupNorm, False)


@counterfeit("composition-adds-expressive-power")
def linear_without_bias_saturates_at_a_hundred_for_sequences(patch):
    def wrong(right, input, weight, bias=None):
        result = right(input, weight, bias)
        return result.clamp(-100, 100) if bias is None and input.dim() == 3 else result

    wrap(patch, F, "linear", wrong)


@counterfeit("learned-filters-beat-hand-made-features")
def a_single_filter_of_doubles_loses_what_is_negative(patch):
    def wrong(right, input, weight, *args, **rest):
        result = right(input, weight, *args, **rest)
        return result.clamp(min=0) if len(weight) == 1 and weight.dtype == torch.float64 else result

    for owner in (F, torch):
        wrap_operand(patch, owner, "conv2d", wrong)


@counterfeit("training-is-end-to-end")
def of_stacked_numbers_two_pass_gradients_on(patch):
    def wrong(right, tensors, *args, **rest):
        detached = [x.detach() if at > 1 and not x.dim() else x for at, x in enumerate(tensors)]
        return right(detached, *args, **rest)

    wrap(patch, torch, "stack", wrong)
