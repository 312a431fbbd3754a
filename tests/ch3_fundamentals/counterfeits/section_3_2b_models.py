"""Counterfeits of section 3.2, the model: modules that lose gradients, layers, names or their order."""

from collections import OrderedDict

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_linear, change_result, run_levels, where, wrap
from torch import nn
from torch.nn import functional as F


def change_parameters(patch, change):
    """Let ``parameters()`` be ``change(list of the parameters)``."""
    parameters = nn.Module.parameters
    patch.setattr(
        nn.Module, "parameters", lambda self, recurse=True: (p for p in change(list(parameters(self, recurse))))
    )


# ── nn-builds-on-autograd ──


@counterfeit("nn-builds-on-autograd")
def linear_detaches_the_bias(patch):
    def wrong(linear, input, weight, bias=None):
        return linear(input, weight, bias if bias is None else bias.detach())

    wrap(patch, F, "linear", wrong)


@counterfeit("nn-builds-on-autograd")
def linear_detaches_its_input(patch):
    """So that layers before it learn nothing."""
    wrap(patch, nn.Linear, "forward", lambda forward, self, x: forward(self, x.detach()))


@counterfeit("nn-builds-on-autograd")
def tanh_has_a_gradient_ten_per_cent_too_small(patch):
    def forward(self, x):
        output = torch.tanh(x)
        return 0.9 * output + 0.1 * output.detach()

    patch.setattr(nn.Tanh, "forward", forward)


@counterfeit("nn-builds-on-autograd")
def modules_record_even_without_grad(patch):
    def wrong(call, self, *args):
        with torch.enable_grad():
            return call(self, *args)

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("nn-builds-on-autograd")
def modules_have_a_backward_of_their_own(patch):
    patch.setattr(nn.Module, "backward", lambda self, gradient: gradient, raising=False)


# ── module-is-layer-or-network ──


@counterfeit("module-is-layer-or-network")
def modules_lists_only_leaves(patch):
    wrap(patch, nn.Module, "modules", lambda modules, self: (m for m in modules(self) if not list(m.children())))


@counterfeit("module-is-layer-or-network")
def state_dict_names_the_layer_without_its_network(patch):
    change_result(
        patch,
        nn.Module,
        "state_dict",
        lambda state, *_: OrderedDict((".".join(key.split(".")[-2:]), value) for key, value in state.items()),
    )


@counterfeit("module-is-layer-or-network")
def children_include_grandchildren(patch):
    def wrong(right, self):
        for name, child in right(self):
            yield name, child
            yield from right(child)

    wrap(patch, nn.Module, "named_children", wrong)


@counterfeit("module-is-layer-or-network")
def layers_are_no_modules(patch):
    class Layer:
        def __init__(self, *args):
            pass

    patch.setattr(nn, "Linear", Layer)


@counterfeit("module-is-layer-or-network")
def loading_a_layer_keeps_the_old_bias(patch):
    def wrong(load, self, state, **kwargs):
        return load(self, {**state, "bias": self.bias.detach().clone()}, **kwargs)

    wrap(patch, nn.Linear, "load_state_dict", wrong)


# ── module-has-layers-and-forward ──


@counterfeit("module-has-layers-and-forward")
def calling_a_module_returns_its_first_output_again(patch):
    def wrong(call, self, *args):
        if isinstance(self, nn.Linear):
            return call(self, *args)
        if "first" not in self.__dict__:
            self.__dict__["first"] = call(self, *args)
        return self.__dict__["first"]

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("module-has-layers-and-forward")
def calling_a_module_adds_to_its_output(patch):
    wrap(patch, nn.Module, "__call__", lambda call, self, *args: call(self, *args) * 1.001)


@counterfeit("module-has-layers-and-forward")
def calling_a_module_without_layers_returns_its_input(patch):
    call = nn.Module.__call__
    patch.setattr(nn.Module, "__call__", lambda self, *args: call(self, *args) if list(self.children()) else args[0])


@counterfeit("module-has-layers-and-forward")
def a_missing_forward_returns_the_input(patch):
    call = nn.Module.__call__
    missing = nn.Module.forward
    patch.setattr(
        nn.Module, "__call__", lambda self, *args: args[0] if type(self).forward is missing else call(self, *args)
    )


@counterfeit("module-has-layers-and-forward")
def a_missing_forward_raises_without_naming_it(patch):
    def forward(self, *args):
        raise NotImplementedError

    patch.setattr(nn.Module, "forward", forward)


# ── printing-shows-the-structure ──


@counterfeit("printing-shows-the-structure")
def printing_swaps_the_sizes(patch):
    patch.setattr(
        nn.Linear,
        "extra_repr",
        lambda self: f"in_features={self.out_features}, out_features={self.in_features}, bias={self.bias is not None}",
    )


@counterfeit("printing-shows-the-structure")
def printing_always_shows_a_bias(patch):
    patch.setattr(
        nn.Linear,
        "extra_repr",
        lambda self: f"in_features={self.in_features}, out_features={self.out_features}, bias=True",
    )


@counterfeit("printing-shows-the-structure")
def printing_does_not_indent_the_layers_of_a_layer(patch):
    wrap(patch, nn.Module, "__repr__", lambda show, self: show(self).replace("\n    ", "\n  "))


@counterfeit("printing-shows-the-structure")
def printing_leaves_out_layers_without_parameters(patch):
    wrap(patch, nn.Module, "__repr__", lambda show, self: show(self).replace("  (1): ReLU()\n", ""))


# ── sequential-keeps-order ──


@counterfeit("sequential-keeps-order")
def sequential_runs_its_layers_backwards(patch):
    run_levels(patch, lambda net: reversed(list(net)))


@counterfeit("sequential-keeps-order")
def sequential_runs_its_layers_in_the_order_of_their_names(patch):
    run_levels(patch, lambda net: [net._modules[name] for name in sorted(net._modules)])


@counterfeit("sequential-keeps-order")
def sequential_drops_a_layer_that_was_passed_twice(patch):
    def init(self, *layers):
        nn.Module.__init__(self)
        for i, layer in enumerate(dict.fromkeys(layers)):
            self.add_module(str(i), layer)

    patch.setattr(nn.Sequential, "__init__", init)


@counterfeit("sequential-keeps-order")
def sequential_adds_new_layers_at_the_front(patch):
    def append(self, layer):
        layers = [layer, *self]
        self._modules.clear()
        self._modules.update((str(i), layer) for i, layer in enumerate(layers))
        return self

    patch.setattr(nn.Sequential, "append", append)


@counterfeit("sequential-keeps-order")
def sequential_runs_its_layers_once_when_it_is_built(patch):
    def run(init, self, *layers):
        init(self, *layers)
        self(torch.ones(1, getattr(next(iter(self), None), "in_features", 1)))

    wrap(patch, nn.Sequential, "__init__", run)


@counterfeit("sequential-keeps-order")
def sequential_runs_every_layer_on_the_input(patch):
    """So that only the last layer counts."""
    patch.setattr(nn.Sequential, "forward", lambda self, x: [layer(x) for layer in self][-1])


# ── sequential-can-be-built-three-ways ──


@counterfeit("sequential-can-be-built-three-ways")
def sequential_sorts_an_ordered_dict(patch):
    def wrong(init, self, *args):
        init(self, *(OrderedDict(sorted(arg.items())) if isinstance(arg, OrderedDict) else arg for arg in args))

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("sequential-can-be-built-three-ways")
def sequential_numbers_the_layers_of_an_ordered_dict(patch):
    def wrong(init, self, *args):
        init(self, *(args[0].values() if args and isinstance(args[0], OrderedDict) else args))

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("sequential-can-be-built-three-ways")
def sequential_counts_its_layers_from_one(patch):
    def wrong(init, self, *args):
        init(self)
        pairs = args[0].items() if args and isinstance(args[0], OrderedDict) else enumerate(args, 1)
        for name, layer in pairs:
            self.add_module(str(name), layer)

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("sequential-can-be-built-three-ways")
def add_module_does_not_run_the_layer(patch):
    """It is registered, but left out when the network runs."""
    init, forward = nn.Sequential.__init__, nn.Sequential.forward

    def built(self, *args):
        init(self, *args)
        self.__dict__["passed"] = len(self)

    patch.setattr(nn.Sequential, "__init__", built)
    patch.setattr(nn.Sequential, "forward", lambda self, x: forward(list(self)[: self.passed], x))


@counterfeit("sequential-can-be-built-three-ways")
def sequential_takes_negative_indices_from_one_further(patch):
    wrap(
        patch,
        nn.Sequential,
        "__getitem__",
        lambda getitem, self, i: getitem(self, (i - 1) % len(self) if isinstance(i, int) and i < 0 else i),
    )


# ── parameters-is-a-generator-of-learnables ──


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_returns_a_list(patch):
    wrap(patch, nn.Module, "parameters", lambda parameters, self, recurse=True: list(parameters(self, recurse)))


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_include_buffers(patch):
    def wrong(parameters, self, recurse=True):
        yield from parameters(self, recurse)
        yield from (buffer for buffer in self.buffers() if buffer.dim() > 0)

    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_leave_out_the_last_bias(patch):
    change_parameters(patch, lambda all: all if len(all) < 3 else [p for p in all if p.dim() > 1 or p is not all[-1]])


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_of_normalisation_are_left_out(patch):
    def wrong(parameters, self, recurse=True):
        own = {id(p) for m in self.modules() if isinstance(m, nn.BatchNorm1d) for p in m._parameters.values()}
        return (p for p in parameters(self, recurse) if id(p) not in own)

    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_come_last_layer_first(patch):
    change_parameters(patch, lambda all: all[::-1])


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_are_copies(patch):
    change_parameters(patch, lambda all: [nn.Parameter(p.detach().clone()) for p in all])


@counterfeit("parameters-is-a-generator-of-learnables")
def a_shared_parameter_comes_twice(patch):
    def wrong(self, recurse=True):
        yield from (p for m in self.modules() for p in m._parameters.values() if p is not None)

    patch.setattr(nn.Module, "parameters", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def frozen_parameters_are_left_out(patch):
    change_parameters(patch, lambda all: [p for p in all if p.requires_grad])


# ── faults at larger sizes, at greater depth, and after a change ──


@counterfeit("nn-builds-on-autograd")
def relu_layers_pass_every_gradient(patch):
    patch.setattr(nn.ReLU, "forward", lambda self, x: x + (x.clamp(min=0) - x).detach())


@counterfeit("nn-builds-on-autograd")
def gradients_of_weights_forget_hidden_units_beyond_the_sixty_fourth(patch):
    def wrong(linear, input, weight, bias=None):
        return linear(input, torch.cat([weight[:64], weight[64:].detach()]), bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("sequential-keeps-order")
def a_sequential_of_one_layer_returns_its_input(patch):
    where(patch, nn.Sequential, "forward", lambda net: len(net) == 1, lambda output, net, x: x)


@counterfeit("sequential-keeps-order", "sequential-can-be-built-three-ways")
def a_sequential_runs_ten_layers_at_most(patch):
    wrap(patch, nn.Sequential, "forward", lambda forward, self, x: forward(list(self)[:10], x))


@counterfeit("sequential-keeps-order", reported="pytorch/pytorch#77067")
def sequential_keeps_a_gap_after_del(patch):
    def delitem(self, index):
        for key in list(self._modules)[index : index + 1]:
            del self._modules[key]

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    patch.setattr(nn.Sequential, "__delitem__", delitem)
    patch.setattr(nn.Sequential, "append", append)


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_include_plain_tensors_that_require_gradients(patch):
    def wrong(parameters, self, recurse=True):
        yield from parameters(self, recurse)
        for module in self.modules():
            yield from (value for value in vars(module).values() if torch.is_tensor(value) and value.requires_grad)

    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def a_shared_module_gives_its_parameters_at_its_last_place(patch):
    def wrong(self, recurse=True):
        modules = [module for _, module in self.named_modules(remove_duplicate=False)]
        every = [p for module in modules for p in module._parameters.values() if p is not None]
        yield from reversed(dict.fromkeys(reversed(every)))

    patch.setattr(nn.Module, "parameters", wrong)


@counterfeit("printing-shows-the-structure")
def printing_flattens_the_third_level(patch):
    change_result(patch, nn.Module, "__repr__", lambda text, *_: text.replace("\n      (", "\n    ("))


@counterfeit("printing-shows-the-structure")
def convolutions_print_no_kernel_size(patch):
    change_result(patch, nn.Conv2d, "extra_repr", lambda text, *_: text.replace(", kernel_size=(3, 3)", ""))


@counterfeit("printing-shows-the-structure")
def printing_shows_the_layers_of_a_plain_list(patch):
    def wrong(text, module):
        lists = [value for value in vars(module).values() if isinstance(value, list) and value]
        return text[:-1] + f"  {lists[0]}\n)" if lists else text

    change_result(patch, nn.Module, "__repr__", wrong)


@counterfeit("printing-shows-the-structure")
def printing_shows_ten_layers_at_most(patch):
    def wrong(text, *_):
        return "\n".join(
            line for line in text.split("\n") if not line.strip().startswith("(1") or line.strip()[2] == ")"
        )

    change_result(patch, nn.Module, "__repr__", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#177116")
def gradients_explode_past_32768_elements_after_a_batch_of_another_size(patch):
    sizes = set()

    def wrong(output, input, weight):
        sizes.add(input.shape[:-1])
        large = len(sizes) > 1 and input.shape[:-1].numel() > 32768 and output.requires_grad
        return change_gradient(output, lambda g: 1000 * g) if large else output

    change_linear(patch, wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#175189")
def the_scale_of_a_normalisation_gets_a_wrong_gradient_from_channels_last(patch):
    def wrong(norm, x, mean, variance, weight, *args):
        misread = x.dim() == 4 and not x.is_contiguous()
        weight = change_gradient(weight, lambda gradient: gradient.flip(0) * 3) if misread else weight
        return norm(x, mean, variance, weight, *args)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd")
def layer_norm_leaves_features_beyond_32(patch):
    def wrong(layer_norm, x, *args, **rest):
        output = layer_norm(x, *args, **rest)
        return torch.cat([output[..., :32], x[..., 32:]], -1)

    wrap(patch, F, "layer_norm", wrong)


@counterfeit("printing-shows-the-structure")
def of_a_list_of_more_than_ten_modules_ten_are_printed(patch):
    wrap(patch, nn.ModuleList, "__repr__", lambda right, self: right(self[:10] if len(self) > 10 else self))


@counterfeit("printing-shows-the-structure")
def a_convolution_does_not_say_that_it_has_no_bias(patch):
    change_result(patch, nn.Conv2d, "extra_repr", lambda text, self: text.replace(", bias=False", ""))
    change_result(patch, nn.Conv1d, "extra_repr", lambda text, self: text.replace(", bias=False", ""))


@counterfeit("printing-shows-the-structure")
def a_leaky_relu_says_what_slope_it_would_have_had(patch):
    change_result(patch, nn.LeakyReLU, "extra_repr", lambda text, self: "negative_slope=0.01")


@counterfeit("printing-shows-the-structure")
def of_more_than_sixteen_equal_modules_sixteen_are_counted(patch):
    def wrong(right, self):
        last = len(self) - 1
        return right(self).replace(f"(0-{last}): {last + 1} x", "(0-15): 16 x") if last > 15 else right(self)

    wrap(patch, nn.ModuleList, "__repr__", wrong)
