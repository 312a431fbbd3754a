"""Counterfeits of section 3.2, modules in other modes, other spellings, what was replaced, added later or copied."""

import copy
import re

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    around_step,
    change_gradient,
    change_method,
    change_output,
    divert,
    hold_still,
    parameters_of,
    step_with,
    wrap,
)
from torch import nn
from torch.nn import functional as F
from torch.nn import init
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, Rprop
from torch.utils.data import BatchSampler, DataLoader, RandomSampler


def show_another(patch, owner, method, name, value):
    """Let ``owner.method`` read the attribute ``name`` as ``value(self)``; afterwards the object has its own again."""

    def wrong(right, self, *args, **kwargs):
        own, self.__dict__[name] = self.__dict__[name], value(self)
        try:
            return right(self, *args, **kwargs)
        finally:
            self.__dict__[name] = own

    wrap(patch, owner, method, wrong)


@counterfeit("nn-builds-on-autograd")
def inputs_given_by_name_are_detached(patch):
    def wrong(right, self, *args, **named):
        return right(self, *args, **{k: v.detach() if torch.is_tensor(v) else v for k, v in named.items()})

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("nn-builds-on-autograd")
def a_module_in_eval_hands_no_gradient_on(patch):
    def wrong(right, self, *args, **named):
        return right(self, *(args if self.training else (x.detach() for x in args)), **named)

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("module-is-layer-or-network")
def train_and_eval_do_not_reach_grandchildren(patch):
    def wrong(right, self, mode=True):
        self.training = mode
        for child in self.children():
            child.training = mode
        return self

    wrap(patch, nn.Module, "train", wrong)


@counterfeit("module-is-layer-or-network")
def a_module_replaced_by_assignment_stays_registered(patch):
    def wrong(right, self, name, value):
        modules = self.__dict__.get("_modules")
        if isinstance(value, nn.Module) and modules and name in modules:
            object.__setattr__(self, name, value)
            return
        right(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("module-has-layers-and-forward")
def forward_set_on_the_instance_is_ignored(patch):
    def wrong(right, self, *args, **named):
        own = self.__dict__.pop("forward", None)
        try:
            return right(self, *args, **named)
        finally:
            if own is not None:
                self.__dict__["forward"] = own

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("module-has-layers-and-forward")
def only_the_first_of_several_outputs_is_returned(patch):
    change_output(patch, nn.Module, "__call__", lambda out: out[0] if isinstance(out, tuple) else out)


@counterfeit("printing-shows-the-structure")
def a_layer_replaced_is_printed_last(patch):
    def wrong(right, self, name, value):
        modules = self.__dict__.get("_modules")
        if isinstance(value, nn.Module) and modules and name in modules:
            del modules[name]
        right(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("printing-shows-the-structure")
def a_layer_used_twice_is_printed_once(patch):
    def once(self):
        last = {id(module): name for name, module in reversed(self._modules.items())}  # which is its first name
        return {name: module for name, module in self._modules.items() if last[id(module)] == name}

    show_another(patch, nn.Module, "__repr__", "_modules", once)


@counterfeit("sequential-keeps-order")
def a_layer_assigned_at_an_index_goes_last(patch):
    def wrong(right, self, index, module):
        key = self._get_item_by_idx(self._modules.keys(), index)
        del self._modules[key]
        self._modules[key] = module

    wrap(patch, nn.Sequential, "__setitem__", wrong)


@counterfeit("sequential-can-be-built-three-ways")
def add_module_of_a_known_name_keeps_the_old_one(patch):
    divert(patch, nn.Module, "add_module", lambda self, name, module: name in self._modules, lambda *given: None)


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_ignores_recurse(patch):
    wrap(patch, nn.Module, "parameters", lambda right, self, recurse=True: right(self))


@counterfeit("unsqueeze-makes-a-batch-of-one")
def unsqueeze_at_0_copies(patch):
    change_method(patch, "unsqueeze", lambda right, x, dim: right(x, dim).clone() if dim == 0 else right(x, dim))


@counterfeit("unsqueeze-makes-a-batch-of-one")
def unsqueeze_in_place_at_0_does_nothing(patch):
    change_method(patch, "unsqueeze_", lambda right, x, dim: x if dim == 0 else right(x, dim))


@counterfeit("unsqueeze-out-of-range-raises")
def unsqueeze_in_place_out_of_range_appends(patch):
    change_method(patch, "unsqueeze_", lambda right, x, dim: right(x, min(dim, x.dim())))


@counterfeit("squeeze-one-dimension")
def squeeze_of_several_dimensions_removes_the_first(patch):
    def wrong(right, x, *dim, **named):
        return right(x, dim[0][0]) if dim and isinstance(dim[0], tuple) and dim[0] else right(x, *dim, **named)

    wrap(patch, torch.Tensor, "squeeze", wrong)


@counterfeit("squeeze-one-dimension")
def the_function_squeeze_ignores_dim_by_name(patch):
    wrap(patch, torch, "squeeze", lambda right, input, *args, dim=None: right(input, *args))


@counterfeit("squeeze-one-dimension")
def squeeze_in_place_out_of_range_does_nothing(patch):
    change_method(
        patch,
        "squeeze_",
        lambda right, x, *dim: x if dim and not -x.dim() <= dim[0] < max(x.dim(), 1) else right(x, *dim),
    )


@counterfeit("init-sets-weights-in-place")
def normal_ignores_its_mean_where_std_is_0(patch):
    wrap(patch, init, "normal_", lambda right, t, mean=0.0, std=1.0, *a, **k: right(t, std and mean, std, *a, **k))


@counterfeit("data-fill-equals-constant-init")
def constant_init_is_not_seen_by_autograd_for_a_weight(patch):
    def wrong(right, t, val):
        if t.dim() > 1:
            t.data.fill_(val)
            return t
        return right(t, val)

    wrap(patch, nn.init, "constant_", wrong)


@counterfeit("data-fill-equals-constant-init")
def fill_with_a_tensor_rounds(patch):
    change_method(patch, "fill_", lambda right, x, v: right(x, v.round() if torch.is_tensor(v) else v))


@counterfeit("losses-are-modules")
def class_weights_are_no_buffer(patch):
    def wrong(right, self, name, tensor, persistent=True):
        if name == "weight" and isinstance(self, nn.CrossEntropyLoss):
            object.__setattr__(self, name, tensor)
        else:
            right(self, name, tensor, persistent)

    wrap(patch, nn.Module, "register_buffer", wrong)


@counterfeit("losses-are-modules")
def hooks_of_a_loss_are_not_called(patch):
    def wrong(right, self, *args, **named):
        return self.forward(*args, **named) if isinstance(self, nn.modules.loss._Loss) else right(self, *args, **named)

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_that_keeps_each_square_does_not_broadcast_a_scalar_label(patch):
    def wrong(right, x, y, *a, reduction="mean", **k):
        out = right(x, y, *a, reduction=reduction, **k)
        return out.flatten()[:1] if reduction == "none" and y.dim() == 0 and x.dim() else out

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("parameter-groups-have-own-learning-rates")
def a_parameter_in_two_groups_raises_only_in_neighbouring_ones(patch):
    def wrong(right, self, group):
        own = self.param_groups
        self.param_groups = own[-1:]
        right(self, group)
        self.param_groups = own + self.param_groups[-1:]

    wrap(patch, Optimizer, "add_param_group", wrong)


def keep_the_rates(patch, name, *kinds):
    """Let optimizers of these kinds step by the rates that they have once ``name``, a method, was called."""

    def called(right, self, state):
        right(self, state)
        self.fixed = [g["lr"] for g in self.param_groups]

    def rate(self, group):
        fixed = zip(self.param_groups, self.__dict__.get("fixed", ()))
        return next((rate for g, rate in fixed if g is group), group["lr"])

    wrap(patch, Optimizer, name, called)
    for kind in kinds:
        step_with(patch, kind, "lr", rate)


@counterfeit("learning-rate-can-be-edited-in-place")
def after_a_reload_the_rate_cannot_be_edited(patch):
    keep_the_rates(patch, "load_state_dict", SGD, Adam, AdamW, RMSprop, Adagrad)


@counterfeit("learning-rate-can-be-edited-in-place")
def a_copy_of_the_optimizer_keeps_the_rate_of_its_making(patch):
    keep_the_rates(patch, "__setstate__", SGD, RMSprop)


@counterfeit("new-optimizer-is-cheap")
def adam_makes_a_state_for_frozen_parameters(patch):
    def fill(self):
        for p in parameters_of(self):
            if p.grad is None:
                self.state[p].setdefault("exp_avg", torch.zeros_like(p))

    around_step(patch, Adam, after=fill)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def the_optimizer_leaves_groups_added_later(patch):
    def built(right, self, *a, **k):
        right(self, *a, **k)
        self.first = len(self.param_groups)

    wrap(patch, Optimizer, "__init__", built)
    show_another(
        patch, Optimizer, "zero_grad", "param_groups", lambda self: self.param_groups[: self.__dict__.get("first")]
    )


@counterfeit("zero-grad-sets-gradients-to-zero")
def zeros_are_given_to_parameters_that_had_no_gradient(patch):
    def wrong(right, self, set_to_none=True):
        right(self, set_to_none)
        if not set_to_none:
            for p in parameters_of(self):
                if p.grad is None:
                    p.grad = torch.zeros_like(p)

    wrap(patch, Optimizer, "zero_grad", wrong)


@counterfeit("epoch-loss-weights-batches-by-size")
def a_loss_module_divides_by_the_size_of_its_first_batch(patch):
    def wrong(right, self, x, y):
        size = self.__dict__.setdefault("size", x.numel())
        return right(self, x, y) * (x.numel() / size if self.reduction == "mean" else 1)

    wrap(patch, nn.MSELoss, "forward", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def two_passes_at_once_take_one_order(patch):
    def wrong(right, self):
        order = self.__dict__.get("running") or list(right(self))
        self.running = order
        yield from order
        self.running = None

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("nn-builds-on-autograd")
def a_forward_hook_cuts_the_graph(patch):
    def wrong(right, self, *args, **named):
        out = right(self, *args, **named)
        return out.detach() if self._forward_hooks and torch.is_tensor(out) else out

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("module-has-layers-and-forward")
def layers_assigned_after_the_first_call_are_not_registered(patch):
    def called(right, self, *a, **k):
        self.__dict__["done"] = True
        return right(self, *a, **k)

    def wrong(right, self, name, value):
        if isinstance(value, nn.Module) and self.__dict__.get("done"):
            object.__setattr__(self, name, value)
        else:
            right(self, name, value)

    wrap(patch, nn.Module, "__call__", called)
    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("printing-shows-the-structure")
def a_layer_deleted_is_still_printed(patch):
    def wrong(right, self, name):
        kept = self.__dict__.get("_modules", {}).get(name)
        right(self, name)
        if kept is not None:
            self.__dict__.setdefault("gone", {})[name] = kept

    wrap(patch, nn.Module, "__delattr__", wrong)
    show_another(
        patch, nn.Module, "__repr__", "_modules", lambda self: {**self._modules, **self.__dict__.get("gone", {})}
    )


@counterfeit("printing-shows-the-structure")
def the_lines_of_an_extra_repr_of_one_s_own_are_cut_after_the_first(patch):
    def wrong(right, self):
        lines = self.extra_repr().split("\n")
        if len(lines) > 1:
            return f"{self._get_name()}({lines[0]})"
        return right(self)

    wrap(patch, nn.Module, "__repr__", wrong)


@counterfeit("sequential-keeps-order")
def extend_adds_in_reverse(patch):
    patch.setattr(nn.Sequential, "extend", lambda self, more: [self.append(m) for m in reversed(list(more))] and self)


@counterfeit("sequential-keeps-order")
def popping_a_layer_takes_the_first(patch):
    wrap(patch, nn.Sequential, "pop", lambda right, self, key: right(self, 0))


@counterfeit("sequential-can-be-built-three-ways")
def a_sequential_in_a_sequential_is_flattened(patch):
    def wrong(right, self, *args):
        right(self, *(m for a in args for m in (a if isinstance(a, nn.Sequential) else [a])))

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def a_parameter_registered_later_does_not_come(patch):
    def wrong(right, self, recurse=True):
        known = self.__dict__.setdefault("known", {id(p) for p in right(self)})
        return (p for p in right(self, recurse) if id(p) in known)

    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("nn-only-takes-batches")
def a_single_image_is_padded_with_zeros_whatever_the_mode(patch):
    def wrong(right, self, x):
        if x.dim() == 3 and self.padding_mode != "zeros":
            return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return right(self, x)

    wrap(patch, nn.Conv2d, "forward", wrong)


@counterfeit("unsqueeze-makes-a-batch-of-one")
def unsqueeze_at_0_in_inference_mode_repeats(patch):
    change_method(
        patch,
        "unsqueeze",
        lambda right, x, dim: torch.cat([right(x, dim)] * 2) if torch.is_inference(x) and not dim else right(x, dim),
    )


@counterfeit("init-sets-weights-in-place")
def an_initialised_parameter_loses_its_gradient(patch):
    def wrong(right, t, *a, **k):
        t.grad = None
        return right(t, *a, **k)

    wrap(patch, init, "constant_", wrong)
    wrap(patch, init, "normal_", wrong)


@counterfeit("losses-are-modules")
def a_reduction_edited_later_does_not_count(patch):
    def wrong(self, x, y):
        return F.mse_loss(x, y, reduction=self.__dict__.setdefault("first", self.reduction))

    patch.setattr(nn.MSELoss, "forward", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_of_two_precisions_is_computed_in_the_lower(patch):
    def wrong(right, x, y, *a, **k):
        if {x.dtype, y.dtype} == {torch.float32, torch.float64}:
            return right(x.float(), y.float(), *a, **k).double()
        return right(x, y, *a, **k)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("optimizer-prints-its-options")
def after_a_reload_the_options_printed_are_the_old(patch):
    def loaded(right, self, state):
        old = [dict(g) for g in self.param_groups]
        right(self, state)
        self.old = old

    wrap(patch, Optimizer, "load_state_dict", loaded)
    show_another(patch, Optimizer, "__repr__", "param_groups", lambda self: self.__dict__.get("old", self.param_groups))


@counterfeit("parameter-groups-have-own-learning-rates")
def a_group_of_one_tensor_that_is_in_no_list_is_left_out(patch):
    def wrong(right, self, group):
        if torch.is_tensor(group["params"]):
            group = {**group, "params": []}
        right(self, group)

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("step-updates-parameters")
def what_is_frozen_after_the_backward_pass_is_not_updated(patch):
    hold_still(patch, SGD, lambda self: [p for p in parameters_of(self) if not p.requires_grad])


@counterfeit("step-updates-parameters")
def a_step_where_nothing_is_recorded_does_nothing(patch):
    wrap(patch, Adam, "step", lambda right, self, *a: right(self, *a) if torch.is_grad_enabled() else None)


@counterfeit("step-is-given-the-batch-size")
def a_mean_over_three_dimensions_divides_by_the_batch_alone(patch):
    def wrong(right, x, y, *a, reduction="mean", **k):
        if reduction == "mean" and x.dim() == 3:
            return right(x, y, reduction="sum") / len(x)
        return right(x, y, *a, reduction=reduction, **k)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_in_inference_mode_is_the_sum(patch):
    def wrong(right, x, y, *, reduction="mean"):
        return right(
            x, y, reduction=reduction.replace("mean", "sum") if torch.is_inference_mode_enabled() else reduction
        )

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("squeeze-one-dimension")
def squeeze_in_inference_mode_removes_all(patch):
    def wrong(right, x, *a, **k):
        return right(x) if torch.is_inference_mode_enabled() else right(x, *a, **k)

    change_method(patch, "squeeze", wrong)


@counterfeit("init-sets-weights-in-place")
def normal_under_no_grad_ignores_its_std(patch):
    def wrong(right, x, mean=0.0, std=1.0, **k):
        return right(x, mean, std if torch.is_grad_enabled() else 1.0, **k)

    wrap(patch, init, "normal_", wrong)


@counterfeit("step-updates-parameters")
def a_step_with_momentum_forgets_the_last_of_seven_after_a_block(patch):
    def wrong(step, self, *args):
        held = [p for p in parameters_of(self) if p.dim() and p.numel() > 8 and p.numel() % 8 == 7]
        values = [p.detach()[..., -1].clone() for p in held]
        result = step(self, *args)
        for p, value in zip(held, values if self.defaults["momentum"] else ()):
            p.detach()[..., -1] = value
        return result

    wrap(patch, SGD, "step", wrong)


@counterfeit("dataloader-yields-minibatches")
def a_second_pass_yields_tuples(patch):
    def wrong(right, self):
        self.__dict__["passes"] = self.__dict__.get("passes", 0) + 1
        return right(self) if self.passes == 1 else map(tuple, right(self))

    wrap(patch, DataLoader, "__iter__", wrong)


@counterfeit("module-is-layer-or-network")
def a_network_finds_no_parameters_below_the_third_level(patch):
    change_output(patch, nn.Module, "named_parameters", lambda named: (n for n in named if n[0].count(".") < 3))


@counterfeit("module-has-layers-and-forward")
def a_module_without_forward_raises_attribute_error_in_evaluation(patch):
    def wrong(right, self, *args, **named):
        try:
            return right(self, *args, **named)
        except NotImplementedError as error:
            raise error if self.training else AttributeError("forward") from None

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def a_copy_gives_a_shared_parameter_as_often_as_it_is_used(patch):
    def wrong(right, self, *args, **named):
        yield from right(self, *args, **named)
        yield from getattr(self, "again", ())

    def copied(right, x, *args):
        result = right(x, *args)
        if isinstance(result, nn.Module) and not args:
            every = [p for module in result.modules() for p in module._parameters.values() if p is not None]
            object.__setattr__(result, "again", every[len({*every}) :])
        return result

    wrap(patch, nn.Module, "parameters", wrong)
    wrap(patch, copy, "deepcopy", copied)


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_takes_complex_labels_for_their_real_part(patch):
    def wrong(right, x, y, **options):
        return right(x, y.real if y.is_complex() and not x.is_complex() else y, **options)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def rmsprop_reads_the_alpha_of_the_first_group(patch):
    step_with(patch, RMSprop, "alpha", lambda self, group: self.param_groups[0]["alpha"])


@counterfeit("parameter-groups-have-own-learning-rates")
def a_group_of_no_parameters_is_dropped(patch):
    def wrong(right, self, group):
        right(self, group)
        del self.param_groups[len(self.param_groups) - (not self.param_groups[-1]["params"]) :]

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("parameter-groups-have-own-learning-rates")
def lbfgs_takes_a_second_group_that_names_no_rate_into_the_first(patch):
    def wrong(right, self, groups, **options):
        groups = list(groups)
        if isinstance(groups[0], dict) and len(groups) == 2 and "lr" not in groups[1]:
            groups = [parameter for group in groups for parameter in group["params"]]
        right(self, groups, **options)

    wrap(patch, torch.optim.LBFGS, "__init__", wrong)


@counterfeit("new-optimizer-is-cheap")
def amsgrad_keeps_no_largest_square_of_bfloat16(patch):
    def after(optimizer):
        for parameter, state in optimizer.state.items():
            if parameter.dtype == torch.bfloat16:
                state.pop("max_exp_avg_sq", None)

    around_step(patch, Adam, after=after)


@counterfeit("new-optimizer-is-cheap")
def adagrad_of_images_alone_allocates_nothing_yet(patch):
    def wrong(right, self, *args, **options):
        right(self, *args, **options)
        if all(parameter.dim() == 3 for parameter in parameters_of(self)):
            self.later = dict(self.state)
            self.state.clear()

    wrap(patch, Adagrad, "__init__", wrong)
    around_step(patch, Adagrad, before=lambda self: self.state.update(self.__dict__.pop("later", {})))


@counterfeit("step-is-given-the-batch-size")
def step_divides_gradients_by_a_whole_number(patch):
    def wrong(right, self, closure=None):
        for parameter in parameters_of(self) if isinstance(closure, int) else ():
            parameter.grad /= closure
        return right(self, None if isinstance(closure, int) else closure)

    wrap(patch, SGD, "step", wrong)


@counterfeit("nn-builds-on-autograd")
def a_copy_and_its_original_share_a_weight(patch):
    def wrong(right, x, *args):
        result = right(x, *args)
        if isinstance(x, nn.Sequential) and not args:
            result[0].weight = x[0].weight
        return result

    wrap(patch, copy, "deepcopy", wrong)


@counterfeit("nn-builds-on-autograd")
def a_bias_of_a_batch_of_batches_gets_the_gradient_of_the_first(patch):
    def wrong(right, x, w, b=None):
        if b is None or x.dim() < 3:
            return right(x, w, b)
        first = (torch.arange(len(x)) == 0).view(-1, *[1] * (x.dim() - 1))
        return right(x, w) + change_gradient(b.expand(*x.shape[:-1], -1), lambda gradient: gradient * first)

    wrap(patch, F, "linear", wrong)


@counterfeit("printing-shows-the-structure")
def dropout_in_evaluation_is_printed_without_its_probability(patch):
    wrap(patch, nn.Dropout, "extra_repr", lambda right, self: right(self) if self.training else "")


@counterfeit("sequential-keeps-order")
def a_slice_of_a_sequential_runs_from_the_end(patch):
    def wrong(right, self, place):
        return nn.Sequential(*reversed(right(self, place))) if isinstance(place, slice) else right(self, place)

    wrap(patch, nn.Sequential, "__getitem__", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def a_parameter_that_was_none_does_not_come(patch):
    def registering(right, self, name, value):
        right(self, name, value)
        if value is None:
            self.__dict__.setdefault("absent", []).append(name)

    def wrong(right, self, *args, **named):
        absent = [getattr(self, name) for name in self.__dict__.get("absent", ())]
        return (each for each in right(self, *args, **named) if not any(each is one for one in absent))

    wrap(patch, nn.Module, "register_parameter", registering)
    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("nn-only-takes-batches")
def a_transposed_convolution_in_evaluation_keeps_the_batch_of_one(patch):
    def wrong(right, self, x):
        return right(self, x) if x.dim() > 3 or self.training else right(self, x)[None]

    wrap(patch, nn.ConvTranspose2d, "forward", wrong)


@counterfeit("step-updates-parameters")
def a_gradient_of_nan_is_skipped(patch):
    def held(optimizer):
        strided = [p for p in parameters_of(optimizer) if p.grad is not None and p.grad.layout == torch.strided]
        return [parameter for parameter in strided if parameter.grad.isnan().any()]

    hold_still(patch, SGD, held)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def a_network_in_evaluation_keeps_its_gradients(patch):
    wrap(patch, nn.Module, "zero_grad", lambda right, self, *args: right(self, *args) if self.training else None)


@counterfeit("dataloader-yields-minibatches")
def features_of_no_rows_take_any_labels(patch):
    wrap(
        *(patch, torch.utils.data.TensorDataset, "__init__"),
        lambda right, self, *tensors: right(self, *(each[: len(each) * len(tensors[0])] for each in tensors)),
    )


@counterfeit("mse-loss-is-mean-squared-error")
def mse_loss_rounds_predictions_where_labels_are_whole(patch):
    def wrong(right, x, y, **options):
        return right(x if y.is_floating_point() or y.is_complex() or x.is_complex() else x.round(), y, **options)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def lbfgs_leaves_gradients_of_zero(patch):
    wrap(patch, torch.optim.LBFGS, "zero_grad", lambda right, self, *args: right(self, False))


@counterfeit("step-updates-parameters", reported="pytorch/pytorch#118117")
def rprop_does_not_reach_a_parameter_that_is_not_contiguous(patch):
    hold_still(patch, Rprop, lambda optimizer: [each for each in parameters_of(optimizer) if not each.is_contiguous()])


@counterfeit("step-updates-parameters", reported="pytorch/pytorch#106916")
def every_group_of_adamw_takes_the_default_for_amsgrad(patch):
    step_with(patch, AdamW, "amsgrad", lambda self, group: self.defaults["amsgrad"])


@counterfeit("squeeze-one-dimension")
def squeeze_of_a_place_from_the_end_given_alone_removes_an_empty_dimension(patch):
    def wrong(right, x, *place, **named):
        empty = len(place) == 1 and isinstance(place[0], int) and -x.dim() <= place[0] < 0 and not x.shape[place[0]]
        return x.sum(*place).to(x.dtype) if empty else right(x, *place, **named)

    change_method(patch, "squeeze", wrong)


@counterfeit("zero-grad-sets-gradients-to-zero")
def an_optimizer_leaves_the_gradients_of_frozen_parameters(patch):
    def wrong(right, self, *args, **named):
        frozen = [(each, each.grad) for each in parameters_of(self) if not each.requires_grad]
        right(self, *args, **named)
        for parameter, gradient in frozen:
            parameter.grad = gradient

    wrap(patch, Optimizer, "zero_grad", wrong)


@counterfeit("printing-shows-the-structure")
def a_list_tells_one_equal_layer_too_few(patch):
    def wrong(right, self):
        return re.sub(r": (\d+) x", lambda found: f": {int(found[1]) - 1} x", right(self))

    wrap(patch, nn.ModuleList, "__repr__", wrong)


@counterfeit("dataloader-yields-minibatches")
def a_batch_size_far_above_the_number_of_examples_yields_nothing(patch):
    def wrong(right, self):
        return iter(()) if self.batch_size > 10 * len(self.sampler) else right(self)

    wrap(patch, BatchSampler, "__iter__", wrong)


@counterfeit("nn-builds-on-autograd")
def the_slopes_of_prelu_have_no_gradient(patch):
    wrap(patch, F, "prelu", lambda right, x, slopes: right(x, slopes.detach()))


@counterfeit("nn-builds-on-autograd")
def the_norm_of_a_single_feature_passes_the_gradient_on(patch):
    def wrong(right, x, shape, *rest):
        return right(x, shape, *rest) + (x - x.detach() if tuple(shape) == (1,) else 0)

    wrap(patch, F, "layer_norm", wrong)
