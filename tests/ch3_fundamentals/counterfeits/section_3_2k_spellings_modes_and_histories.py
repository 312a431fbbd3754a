"""Counterfeits of section 3.2, modules in other modes, other spellings, what was replaced, added later or copied."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    around_step,
    change_method,
    change_output,
    parameters_of,
    step_with,
    wrap,
)
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop


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
    def wrong(right, self):
        modules = self._modules
        seen, once = set(), {}
        for name, m in modules.items():
            if id(m) not in seen:
                once[name] = m
            seen.add(id(m))
        self.__dict__["_modules"] = once
        try:
            return right(self)
        finally:
            self.__dict__["_modules"] = modules

    wrap(patch, nn.Module, "__repr__", wrong)


@counterfeit("sequential-keeps-order")
def a_layer_assigned_at_an_index_goes_last(patch):
    def wrong(right, self, index, module):
        key = self._get_item_by_idx(self._modules.keys(), index)
        del self._modules[key]
        self._modules[key] = module

    wrap(patch, nn.Sequential, "__setitem__", wrong)


@counterfeit("sequential-can-be-built-three-ways")
def add_module_of_a_known_name_keeps_the_old_one(patch):
    wrap(
        patch,
        nn.Module,
        "add_module",
        lambda right, self, name, module: None if name in self._modules else right(self, name, module),
    )


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
    wrap(
        patch,
        nn.init,
        "normal_",
        lambda right, t, mean=0.0, std=1.0, *a, **k: right(t, mean if std else 0.0, std, *a, **k),
    )


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


@counterfeit("learning-rate-can-be-edited-in-place")
def after_a_reload_the_rate_cannot_be_edited(patch):
    def reload(right, self, state):
        right(self, state)
        self.fixed = [g["lr"] for g in self.param_groups]

    wrap(patch, Optimizer, "load_state_dict", reload)
    for kind in (SGD, Adam, AdamW, RMSprop, Adagrad):
        step_with(
            patch,
            kind,
            "lr",
            lambda self, group: (
                self.fixed[[g is group for g in self.param_groups].index(True)]
                if hasattr(self, "fixed")
                else group["lr"]
            ),
        )


@counterfeit("learning-rate-can-be-edited-in-place")
def a_copy_of_the_optimizer_keeps_the_rate_of_its_making(patch):
    def restored(right, self, state):
        right(self, state)
        self.fixed = [g["lr"] for g in self.param_groups]

    wrap(patch, Optimizer, "__setstate__", restored)
    for kind in (SGD, RMSprop):
        step_with(
            patch,
            kind,
            "lr",
            lambda self, group: (
                self.fixed[[g is group for g in self.param_groups].index(True)]
                if hasattr(self, "fixed")
                else group["lr"]
            ),
        )


@counterfeit("new-optimizer-is-cheap")
def adam_makes_a_state_for_frozen_parameters(patch):
    def fill(self):
        for p in parameters_of(self):
            if p.grad is None:
                self.state[p].setdefault("exp_avg", torch.zeros_like(p))

    around_step(patch, Adam, after=fill)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def the_optimizer_leaves_groups_added_later(patch):
    def wrong(right, self, set_to_none=True):
        own = self.param_groups
        self.param_groups = own[: getattr(self, "first", len(own))]
        right(self, set_to_none)
        self.param_groups = own

    def built(right, self, *a, **k):
        right(self, *a, **k)
        self.first = len(self.param_groups)

    wrap(patch, Optimizer, "__init__", built)
    wrap(patch, Optimizer, "zero_grad", wrong)


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
