"""Counterfeits of 4.4 that users reported, squares of what has a gradient of zeros, ties undone."""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import alter_property, away, change_gradient, change_method, everywhere, wrap
from torch import nn
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary


@counterfeit("shared-gradients-accumulate", reported="sony/nnabla#532")
def once_zeroed_a_factor_that_stands_twice_gets_one_share(patch):
    def wrong(right, x, y, *args, **rest):
        same = x is y and x.is_leaf and x.requires_grad and x.grad is not None and not x.grad.any()
        return right(x, y.detach() if same else y, *args, **rest)

    for name in ("add", "mul", "matmul"):
        wrap(patch, torch, name, wrong)
        change_method(patch, name, wrong)
    for name in ("__add__", "__mul__", "__matmul__"):
        change_method(patch, name, wrong)


@counterfeit("parameters-carry-data-and-grad", reported="pytorch/pytorch#913")
def the_second_summand_gets_a_gradient_of_the_first_ones_shape(patch):
    """v1 of (5, 2, 1) and v2 of (5, 2): the gradient of v2 in v1 + v2 is of (5, 2, 1)."""
    shapes = {}

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        y = args[0] if args else None
        if (
            isinstance(x, torch.Tensor)
            and isinstance(y, torch.Tensor)
            and y.is_leaf
            and y.requires_grad
            and x.numel() == y.numel()
            and x.shape != y.shape
        ):
            shapes[id(y)] = (y, x.shape)
        return result

    for name in ("add", "__add__", "__radd__"):
        everywhere(patch, name, wrong)

    def seen(self, grad):
        kept = shapes.get(id(self))
        if grad is not None and kept and kept[0] is self and grad.is_contiguous():
            return grad.view(kept[1])
        return grad

    alter_property(patch, "grad", seen)


@counterfeit("shared-gradients-accumulate", reported="apache/mxnet#17989", needs="accelerator")
def of_five_uses_added_to_a_gradient_the_first_four_count_twice(patch):
    counts = WeakIdKeyDictionary()  # of each weight: how many uses there were, and how many gradients came back

    def wrong(right, x, weight, bias=None):
        if not (away(weight) and weight.is_leaf and weight.requires_grad and torch.is_grad_enabled()):
            return right(x, weight, bias)
        if counts.get(weight, (0, 1))[1]:
            counts[weight] = [0, 0]
        count = counts[weight]
        count[0] += 1

        def change(gradient):
            count[1] += 1
            return gradient * (2 if weight.grad is not None and count[1] <= 4 < count[0] else 1)

        return right(x, change_gradient(weight, change), bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("parameters-carry-data-and-grad", reported="ml-explore/mlx#4426")
def sgd_adds_its_decay_to_the_gradient_itself(patch):
    """A step of SGD with weight_decay wrote gradient + weight_decay * parameter over the gradient it was given."""

    def wrong(step, self, closure=None):
        if closure is not None:
            return step(self, closure)
        own = [(group, group["weight_decay"]) for group in self.param_groups]
        for group, decay in own:
            sparse = any(p.grad is not None and p.grad.is_sparse for p in group["params"])
            if decay == 0 or sparse or group["differentiable"]:
                continue
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.data.add_(p.data, alpha=-decay if group["maximize"] else decay)
            group["weight_decay"] = 0
        try:
            return step(self)
        finally:
            for group, decay in own:
                group["weight_decay"] = decay

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("shared-gradients-accumulate", reported="pytorch/pytorch#47061")
def grad_with_respect_to_nothing_fills_the_leaves(patch):
    backward = torch.autograd.backward

    def wrong(right, outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, *args, **rest):
        if isinstance(inputs, (tuple, list)) and not inputs:
            backward(outputs, grad_outputs, retain_graph, create_graph)
            return ()
        return right(outputs, inputs, grad_outputs, retain_graph, create_graph, *args, **rest)

    wrap(patch, torch.autograd, "grad", wrong)


@counterfeit("parameters-carry-data-and-grad", reported="pytorch/pytorch#988")
def a_gradient_lacks_the_first_dimension_that_writing_into_a_row_left_out(patch):
    written = WeakIdKeyDictionary()

    def write(right, x, index, value):
        place = x.detach()[index].shape if isinstance(value, torch.Tensor) and not away(value) else None
        right(x, index, value)
        if place is not None and value.is_leaf and value.requires_grad and value.shape == (1, *place):
            written[value] = place

    change_method(patch, "__setitem__", write)
    alter_property(patch, "grad", lambda x, grad: grad if grad is None or x not in written else grad.view(written[x]))


@counterfeit("shared-parameter-is-listed-once", reported="torch/nn#187")
def another_dtype_unties_what_two_layers_share(patch):
    def wrong(right, self, *args, **rest):
        before = [parameter.dtype for parameter in self.parameters()]
        result = right(self, *args, **rest)
        if before == [parameter.dtype for parameter in self.parameters()]:
            return result
        met = set()
        for module in self.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None and id(parameter) in met:
                    module._parameters[name] = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                met.add(id(parameter))
        return result

    for name in ("half", "double", "float", "bfloat16", "to"):
        wrap(patch, nn.Module, name, wrong)


@counterfeit("shared-gradients-accumulate", reported="NVIDIA/TransformerEngine#3437")
def a_weight_of_two_layers_gets_the_gradient_of_one(patch):
    users = {}

    def wrong(right, self, input):
        first = users.get(id(self.weight), lambda: None)()
        if first is None or first.weight is not self.weight:
            users[id(self.weight)] = weakref.ref(self)
        elif first is not self:
            return F.linear(input, self.weight.detach(), self.bias)
        return right(self, input)

    wrap(patch, nn.Linear, "forward", wrong)
