"""Counterfeits of 4.1, second part: constants, reuse and control flow gone wrong."""

import copy

import torch
from harness.counterfeits import counterfeit
from harness.forging import calls_after, change_method, wrap
from torch import nn
from torch.nn import BatchNorm1d, Conv2d, Linear, Module, Sequential
from torch.nn import functional as F

# ── subclassing-is-more-flexible ──


@counterfeit("subclassing-is-more-flexible")
def a_sequential_ignores_further_inputs(patch):
    wrap(patch, Sequential, "forward", lambda forward, self, x, *ignored: forward(self, x))


@counterfeit("subclassing-is-more-flexible")
def relu_overwrites_its_input(patch):
    """A skip connection then adds what the layers left of the input."""
    patch.setattr(nn.ReLU, "forward", lambda self, x: x.relu_())


@counterfeit("subclassing-is-more-flexible")
def the_second_output_is_the_first_again(patch):
    def wrong(call, self, *args, **rest):
        outputs = call(self, *args, **rest)
        return outputs[:1] * len(outputs) if isinstance(outputs, tuple) else outputs

    wrap(patch, Module, "__call__", wrong)


# ── plain-tensor-is-a-constant-parameter ──


def change_plain(patch, kind, change):
    """Let plain tensors of this kind that are assigned to a module be ``change(module, name, value)``."""

    def wrong(assign, self, name, value):
        if type(value) is torch.Tensor and name not in vars(self).get("_buffers", ()) and kind(value):
            change(assign, self, name, value)
        else:
            assign(self, name, value)

    wrap(patch, Module, "__setattr__", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_plain_tensor_becomes_a_parameter(patch):
    change_plain(
        patch, torch.is_floating_point, lambda assign, self, name, value: assign(self, name, nn.Parameter(value))
    )


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_plain_tensor_becomes_a_buffer(patch):
    change_plain(patch, lambda x: True, lambda assign, self, name, value: self.register_buffer(name, value))


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_plain_tensor_of_whole_numbers_is_saved(patch):
    change_plain(
        patch, lambda x: x.dtype == torch.int64, lambda assign, self, name, value: self.register_buffer(name, value)
    )


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_plain_tensor_is_copied_when_it_is_assigned(patch):
    change_plain(patch, lambda x: True, lambda assign, self, name, value: assign(self, name, value.clone()))


@counterfeit("plain-tensor-is-a-constant-parameter")
def weight_decay_shrinks_plain_tensors(patch):
    step = torch.optim.SGD.step
    plain = []
    wrap(
        patch,
        Module,
        "__setattr__",
        lambda assign, self, name, value: (plain.append(value), assign(self, name, value))[1],
    )

    def wrong(self, *args):
        step(self, *args)
        for value in plain:
            if type(value) is torch.Tensor and value.is_floating_point() and self.param_groups[0]["weight_decay"]:
                value.data = value * 0.5

    patch.setattr(torch.optim.SGD, "step", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def to_converts_plain_tensors(patch):
    def wrong(apply, self, fn, *args, **kwargs):
        vars(self).update({name: fn(value) for name, value in vars(self).items() if isinstance(value, torch.Tensor)})
        return apply(self, fn, *args, **kwargs)

    wrap(patch, Module, "_apply", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def to_leaves_buffers_behind(patch):
    def wrong(apply, self, *args, **kwargs):
        buffers = dict(self._buffers)
        apply(self, *args, **kwargs)
        self._buffers.update(buffers)
        return self

    wrap(patch, Module, "_apply", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def the_buffers_of_submodules_stay_behind(patch):
    depth = []

    def wrong(apply, self, *args, **kwargs):
        buffers = dict(self._buffers) if depth else {}
        depth.append(self)
        apply(self, *args, **kwargs)
        depth.pop()
        self._buffers.update(buffers)
        return self

    wrap(patch, Module, "_apply", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def buffers_are_not_saved(patch):
    wrap(
        patch,
        Module,
        "register_buffer",
        lambda register, self, name, x, persistent=True: register(self, name, x, False),
    )


@counterfeit("plain-tensor-is-a-constant-parameter")
def unsaved_buffers_are_saved_all_the_same(patch):
    wrap(patch, Module, "register_buffer", lambda register, self, name, x, persistent=True: register(self, name, x))


@counterfeit("plain-tensor-is-a-constant-parameter")
def the_buffers_of_submodules_are_not_saved(patch):
    def wrong(save, self, destination, prefix, keep_vars):
        save(self, destination, prefix, keep_vars)
        for name in self._buffers if prefix else ():
            destination.pop(prefix + name, None)

    wrap(patch, Module, "_save_to_state_dict", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def parameters_lists_buffers_too(patch):
    wrap(patch, Module, "parameters", lambda parameters, self, *rest: iter([*parameters(self), *self.buffers()]))


# ── reusing-a-layer-shares-its-parameters ──


@counterfeit("reusing-a-layer-shares-its-parameters")
def only_the_first_use_of_a_layer_adds_to_its_gradient(patch):
    def wrong(self, x):
        bias = self.bias if self.bias is None or not x.requires_grad else self.bias.detach()
        return F.linear(x, self.weight.detach() if x.requires_grad else self.weight, bias)

    patch.setattr(Linear, "forward", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def a_convolutions_second_use_trains_nothing(patch):
    def wrong(forward, self, x, weight, bias):
        detached = x.requires_grad
        return forward(
            self, x, weight.detach() if detached else weight, bias.detach() if detached and bias is not None else bias
        )

    wrap(patch, Conv2d, "_conv_forward", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters", "subclassing-is-more-flexible")
def the_second_call_leaves_out_the_bias(patch):
    def wrong(forward, self, x):
        second = vars(self).setdefault("calls", calls_after(1))(x)
        return F.linear(x, self.weight) if second else forward(self, x)

    wrap(patch, Linear, "forward", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def a_sequential_copies_a_module_that_is_repeated(patch):
    def wrong(init, self, *modules):
        init(self, *(copy.deepcopy(m) if m in modules[:i] else m for i, m in enumerate(modules)))

    wrap(patch, Sequential, "__init__", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def layers_of_one_size_share_their_weight(patch):
    weights = {}

    def wrong(init, self, *sizes, **kwargs):
        init(self, *sizes, **kwargs)
        self.weight = weights.setdefault((sizes, self.weight.dtype), self.weight)

    wrap(patch, Linear, "__init__", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def a_normalisation_moves_its_statistics_at_every_second_call(patch):
    def wrong(forward, self, x):
        self.calls = vars(self).get("calls", 0) + 1
        kept = self.running_mean.clone()
        result = forward(self, x)
        if self.calls % 2 == 0:
            self.running_mean.copy_(kept)
        return result

    wrap(patch, BatchNorm1d, "forward", wrong)


# ── forward-may-use-python-control-flow ──


@counterfeit("forward-may-use-python-control-flow")
def large_values_are_divided_behind_autograds_back(patch):
    def wrong(divide, self, other):
        return self + (divide(self, other) - self).detach() if self > 64 else divide(self, other)

    change_method(patch, "__truediv__", wrong)


@counterfeit("forward-may-use-python-control-flow")
def greater_than_includes_equality(patch):
    patch.setattr(torch.Tensor, "__gt__", torch.Tensor.__ge__)


@counterfeit("forward-may-use-python-control-flow")
def the_branch_not_taken_has_a_gradient_of_zero(patch):
    def wrong(init, self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.weight.grad = torch.zeros_like(self.weight)

    wrap(patch, Linear, "__init__", wrong)


@counterfeit("forward-may-use-python-control-flow")
def a_model_repeats_its_first_answer(patch):
    wrap(patch, Module, "__call__", lambda call, self, *args: vars(self).setdefault("answer", call(self, *args)))


@counterfeit("forward-may-use-python-control-flow")
def parameters_in_a_loop_of_given_depth_are_trained_by_the_last_turn_only(patch):
    patch.setattr(Linear, "forward", lambda self, x: F.linear(x.detach(), self.weight, self.bias))


# ── control-flow-needs-item ──


@counterfeit("control-flow-needs-item")
def every_tensor_is_ambiguous_as_a_condition(patch):
    def wrong(self):
        raise RuntimeError("Boolean value of Tensor is ambiguous")

    patch.setattr(torch.Tensor, "__bool__", wrong)


@counterfeit("control-flow-needs-item")
def elements_that_agree_make_a_condition(patch):
    wrap(patch, torch.Tensor, "__bool__", lambda true, x: true(x.flatten()[0] if x.unique().numel() == 1 else x))


@counterfeit("control-flow-needs-item")
def no_elements_make_a_false_condition(patch):
    wrap(patch, torch.Tensor, "__bool__", lambda true, x: true(x) if x.numel() else False)


@counterfeit("control-flow-needs-item")
def a_condition_of_three_dimensions_is_always_true(patch):
    wrap(patch, torch.Tensor, "__bool__", lambda true, x: true(x) or x.dim() == 3)


@counterfeit("control-flow-needs-item")
def at_most_means_below(patch):
    patch.setattr(torch.Tensor, "__le__", torch.Tensor.__lt__)


@counterfeit("control-flow-needs-item")
def all_means_any(patch):
    patch.setattr(torch.Tensor, "all", torch.Tensor.any)


@counterfeit("reusing-a-layer-shares-its-parameters")
def a_normalisation_of_bfloat16_keeps_its_statistics_as_they_are(patch):
    def wrong(norm, x, mean, variance, *args):
        return (
            norm(x, mean.clone(), variance.clone(), *args)
            if x.dtype == torch.bfloat16
            else norm(x, mean, variance, *args)
        )

    wrap(patch, F, "batch_norm", wrong)


@counterfeit(
    "plain-tensor-is-a-constant-parameter", "state-dict-holds-parameters-only", reported="pytorch/pytorch#2851"
)
def what_is_assigned_to_a_buffer_of_none_is_no_buffer(patch):
    def wrong(assign, self, name, value):
        empty = torch.is_tensor(value) and vars(self).get("_buffers", {}).get(name, value) is None
        (object.__setattr__ if empty else assign)(self, name, value)

    wrap(patch, Module, "__setattr__", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter", "state-dict-holds-parameters-only")
def a_buffer_registered_anew_stays_unsaved(patch):
    def wrong(register, self, name, tensor, persistent=True):
        register(self, name, tensor, persistent and name not in self._non_persistent_buffers_set)

    wrap(patch, Module, "register_buffer", wrong)
