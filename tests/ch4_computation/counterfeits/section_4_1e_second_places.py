"""Counterfeits of 4.1: every second member, second names, second calls."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, leaves, wrap
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
