"""Counterfeits of 4.1: every second member, second names, second calls."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


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
