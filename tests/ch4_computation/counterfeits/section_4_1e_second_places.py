"""Counterfeits of 4.1: every second member, second names, second calls."""

import re

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, leaves, run_levels, wrap
from torch import nn
from torch.nn import functional as F


@counterfeit("sequential-chains-its-modules", "brackets-reach-a-layer", "modulelist-acts-like-a-list")
def every_second_layer_is_the_first_half(patch):
    def wrong(right, layers, index):
        every_second = index == slice(None, None, 2)
        return right(layers, slice((len(layers) + 1) // 2) if every_second else index)

    for container in (nn.Sequential, nn.ModuleList):
        wrap(patch, container, "__getitem__", wrong)


@counterfeit("modulelist-registers-parameters")
def a_list_of_modules_is_registered_under_one_name_alone(patch):
    def wrong(right, net, name, value):
        held = net.__dict__.get("_modules", {}).values()
        if isinstance(value, nn.ModuleList) and any(value is module for module in held):
            net.__dict__[name] = value
        else:
            right(net, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("containers-subclass-module")
def the_mode_does_not_reach_a_layer_with_two_places(patch):
    def wrong(right, net, mode=True):
        net.training = mode
        children = [child for child in net._modules.values() if child is not None]
        for child in children:
            if sum(child is other for other in children) == 1:
                child.train(mode)
        return net

    wrap(patch, nn.Module, "train", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def statistics_that_average_all_batches_count_one_alone(patch):
    def wrong(right, norm, x):
        count = norm.num_batches_tracked
        if norm.momentum is None and count:
            count.zero_()
        return right(norm, x)

    wrap(patch, nn.BatchNorm1d, "forward", wrong)


@counterfeit("subclassing-module-defines-a-model")
def a_hooked_module_runs_forward_twice(patch):
    def wrong(right, self, *args, **rest):
        if self._forward_hooks:
            self.forward(*args, **rest)
        return right(self, *args, **rest)

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("containers-subclass-module")
def a_layer_within_that_is_in_the_mode_already_hands_it_on_to_none(patch):
    def wrong(right, self, mode=True):
        if not isinstance(mode, bool):
            return right(self, mode)
        self.training = mode
        for child in self.children():
            if child.training != mode:
                child.train(mode)
        return self

    wrap(patch, nn.Module, "train", wrong)


@counterfeit("containers-subclass-module")
def the_mode_is_set_without_a_layer_s_own_train(patch):
    def wrong(right, self, mode=True):
        if not isinstance(mode, bool):
            return right(self, mode)
        for module in self.modules():
            module.training = mode
        return self

    wrap(patch, nn.Module, "train", wrong)


@counterfeit("forward-may-use-python-control-flow")
def a_branch_that_was_taken_before_gets_zeros(patch):
    seen = []

    def wrong(right, y, *args, **rest):
        mine = [leaf for leaf in leaves(y.grad_fn) if isinstance(leaf, nn.Parameter)]
        right(y, *args, **rest)
        for p in seen:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        seen.extend(p for p in mine if all(p is not s for s in seen))

    change_method(patch, "backward", wrong)


@counterfeit("sequential-needs-matching-sizes")
def one_slope_of_a_prelu_is_for_all_channels(patch):
    def wrong(right, x, w):
        fits = w.numel() == 1 or (x.dim() > 1 and x.shape[1] == w.numel())
        return right(x, w if fits else w[:1])

    wrap(patch, F, "prelu", wrong)
    wrap(patch, torch, "prelu", wrong)


@counterfeit("subclassing-module-defines-a-model")
def what_is_named_and_none_does_not_reach_forward(patch):
    wrap(
        patch,
        nn.Module,
        "__call__",
        lambda right, self, *a, **k: right(self, *a, **{n: v for n, v in k.items() if v is not None}),
    )


@counterfeit("super-init-comes-first")
def register_module_makes_the_registers_itself(patch):
    def wrong(right, self, name, module):
        if "_modules" not in self.__dict__:
            self.__dict__["_modules"] = {}
            self.__dict__["_modules"][name] = module
            return
        right(self, name, module)

    wrap(patch, nn.Module, "register_module", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def of_a_member_with_two_keys_the_first_is_popped(patch):
    def wrong(right, self, key):
        member = self._modules.get(key)
        first = next((k for k, m in self._modules.items() if m is member), key)
        return right(self, first if key in self._modules else key)

    wrap(patch, nn.ModuleDict, "pop", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def reversed_gives_the_keys_from_the_last_on(patch):
    patch.setattr(nn.ModuleDict, "__reversed__", lambda self: reversed(self._modules), raising=False)


# ── what a blind reader planted ──


@counterfeit("super-init-comes-first")
def a_frozen_parameter_is_assigned_without_a_register(patch):
    def wrong(right, self, name, value):
        early = isinstance(value, nn.Parameter) and "_parameters" not in self.__dict__
        (object.__setattr__ if early and not value.requires_grad else right)(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("sequential-chains-its-modules")
def what_is_appended_after_state_dict_was_called_is_not_run(patch):
    def asked(right, self, *args, **rest):
        if isinstance(self, nn.Sequential):
            self.__dict__["known"] = len(self)
        return right(self, *args, **rest)

    wrap(patch, nn.Module, "state_dict", asked)
    run_levels(patch, lambda chain: list(chain)[: chain.__dict__.get("known", len(chain))])


@counterfeit("sequential-chains-its-modules")
def what_a_hook_puts_out_instead_is_not_passed_on(patch):
    run_levels(patch, apply=lambda level, x: (level(x), level.forward(x))[1] if level._forward_hooks else level(x))


@counterfeit("containers-subclass-module")
def half_rounds_by_way_of_bfloat16(patch):
    def wrong(self):
        return self._apply(lambda x: x.bfloat16().half() if x.is_floating_point() else x)

    patch.setattr(nn.Module, "half", wrong)


@counterfeit("containers-subclass-module")
def bfloat16_cuts_the_digits_off(patch):
    def cut(x):
        if x.dtype == torch.float32:
            x = (x.view(torch.int32) & -(2**16)).view(torch.float32)
        return x.bfloat16() if x.is_floating_point() else x

    patch.setattr(nn.Module, "bfloat16", lambda self: self._apply(cut))


def inherited(model):
    """Whether the parent of a model's class is not Module itself."""
    return nn.Module not in type(model).__bases__


@counterfeit("module-is-not-subscriptable")
def a_class_that_inherits_from_a_model_numbers_its_layers(patch):
    def wrong(self, index):
        if not inherited(self):
            raise TypeError(f"'{type(self).__name__}' object is not subscriptable")
        return list(self.children())[index]

    patch.setattr(nn.Module, "__getitem__", wrong, raising=False)


@counterfeit("module-is-not-subscriptable")
def a_class_that_inherits_from_a_model_has_no_such_key(patch):
    def wrong(self, index):
        raise (KeyError(index) if inherited(self) else TypeError("not subscriptable"))

    patch.setattr(nn.Module, "__getitem__", wrong, raising=False)


@counterfeit("control-flow-needs-item")
def one_number_that_stands_in_several_places_is_true_or_false(patch):
    def wrong(right, x):
        return right(x.flatten()[0] if x.numel() > 1 and not any(x.stride()) else x)

    change_method(patch, "__bool__", wrong)


@counterfeit("subclassing-is-more-flexible")
def a_chain_disregards_a_second_input_that_is_none(patch):
    def wrong(right, self, x, *more):
        return right(self, x, *(each for each in more if each is not None))

    wrap(patch, nn.Sequential, "forward", wrong)


@counterfeit("modulelist-registers-parameters", "moduledict-registers-parameters")
def buffers_of_truths_within_are_not_listed(patch):
    def wrong(right, self, *args, **rest):
        named = right(self, *args, **rest)
        return ((name, x) for name, x in named if x.dtype != torch.bool or "." not in name)

    wrap(patch, nn.Module, "named_buffers", wrong)


@counterfeit("brackets-reach-a-layer")
def from_the_back_layers_are_counted_by_the_alphabet(patch):
    def wrong(right, self, index):
        numbered = list(self._modules) == [f"{place}" for place in range(len(self))]
        if isinstance(index, slice) or index >= 0 or -index > len(self) or numbered:
            return right(self, index)
        return self._modules[sorted(self._modules)[index]]

    wrap(patch, nn.Sequential, "__getitem__", wrong)


@counterfeit("brackets-reach-a-layer")
def an_empty_chain_has_no_such_key(patch):
    def wrong(right, self, index):
        if not len(self) and not isinstance(index, slice):
            raise KeyError(index)
        return right(self, index)

    wrap(patch, nn.Sequential, "__getitem__", wrong)


@counterfeit("sequential-chains-its-modules")
def a_chain_disregards_an_input_by_name(patch):
    wrap(patch, nn.Sequential, "forward", lambda right, self, *args, **named: right(self, *(args or ["?"])))


def no_longer_a_buffer(patch, condition):
    """Let an attribute be plain once a buffer is assigned ``value`` where ``condition(buffer, value)``."""

    def wrong(right, self, name, value):
        buffers = vars(self).get("_buffers", {})
        if name not in buffers or not condition(buffers[name], value):
            return right(self, name, value)
        del buffers[name]
        object.__setattr__(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_buffer_that_is_assigned_another_dtype_is_one_no_longer(patch):
    def other(buffer, value):
        return isinstance(buffer, torch.Tensor) and isinstance(value, torch.Tensor) and buffer.dtype != value.dtype

    no_longer_a_buffer(patch, other)


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_buffer_that_was_none_for_a_while_is_one_no_longer(patch):
    no_longer_a_buffer(patch, lambda buffer, value: buffer is not None and value is None)


@counterfeit("modulelist-registers-parameters")
def a_list_of_modules_does_not_register_where_a_python_list_stood(patch):
    def wrong(right, self, name, value):
        stood = isinstance(value, nn.ModuleList) and type(vars(self).get(name)) is list
        (object.__setattr__ if stood else right)(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("containers-subclass-module")
def to_a_dtype_loses_the_gradients(patch):
    def wrong(right, self, *args, **rest):
        right(self, *args, **rest)
        for parameter in self.parameters() if isinstance(args[:1] and args[0], torch.dtype) else ():
            parameter.grad = None
        return self

    wrap(patch, nn.Module, "to", wrong)


@counterfeit("modulelist-acts-like-a-list")
def a_sum_of_lists_leaves_out_none(patch):
    def wrong(right, self, other):
        return right(self, [module for module in other if module is not None])

    wrap(patch, nn.ModuleList, "__add__", wrong)


@counterfeit("modulelist-registers-parameters")
def buffers_behind_the_tenth_member_are_not_found(patch):
    def wrong(right, self, *args, **rest):
        return ((name, buffer) for name, buffer in right(self, *args, **rest) if not re.search(r"\d\d", name))

    wrap(patch, nn.Module, "named_buffers", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def a_key_may_be_the_name_of_a_register_of_hooks(patch):
    def wrong(right, self, key, module):
        hooks = isinstance(key, str) and key.endswith("hooks")
        return self._modules.update({key: module}) if hooks else right(self, key, module)

    wrap(patch, nn.ModuleDict, "__setitem__", wrong)


@counterfeit("module-is-not-subscriptable")
def children_leave_out_a_layer_that_flattens(patch):
    wrap(patch, nn.Module, "children", lambda right, self: (m for m in right(self) if not isinstance(m, nn.Flatten)))


@counterfeit("moduledict-acts-like-a-dict")
def of_pairs_with_one_key_the_first_stays(patch):
    def wrong(right, self, modules):
        return right(self, dict([*modules][::-1]) if isinstance(modules, (list, tuple)) else modules)

    wrap(patch, nn.ModuleDict, "update", wrong)
