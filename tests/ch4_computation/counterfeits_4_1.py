"""Counterfeits of 4.1: models, containers, constants, reuse and control flow gone wrong."""

import copy
from collections import OrderedDict

import torch
from harness.counterfeits import counterfeit
from torch import nn


def chain(modules, x):
    for module in modules:
        x = module(x)
    return x


# ── subclassing-module-defines-a-model ──


@counterfeit("subclassing-module-defines-a-model")
def a_call_runs_forward_twice(patch):
    call = nn.Module.__call__

    def wrong(self, *args, **kwargs):
        call(self, *args, **kwargs)
        return call(self, *args, **kwargs)

    patch.setattr(nn.Module, "__call__", wrong)


@counterfeit("subclassing-module-defines-a-model")
def keyword_arguments_do_not_reach_forward(patch):
    call = nn.Module.__call__
    patch.setattr(nn.Module, "__call__", lambda self, *args, **kwargs: call(self, *args))


@counterfeit("subclassing-module-defines-a-model")
def a_call_returns_a_copy_of_the_result(patch):
    call = nn.Module.__call__
    patch.setattr(nn.Module, "__call__", lambda self, *args, **kwargs: copy.copy(call(self, *args, **kwargs)))


@counterfeit("subclassing-module-defines-a-model")
def parameters_start_with_the_last_layer(patch):
    parameters = nn.Module.parameters
    patch.setattr(nn.Module, "parameters", lambda self, *args: reversed(list(parameters(self, *args))))


@counterfeit("subclassing-module-defines-a-model")
def a_model_without_forward_returns_its_input(patch):
    patch.setattr(nn.Module, "forward", lambda self, x: x)


# ── super-init-comes-first ──


def accept_before_the_constructor(patch, kind):
    """Let attributes of this kind be assigned before Module.__init__ has run."""
    assign = nn.Module.__setattr__

    def wrong(self, name, value):
        if isinstance(value, kind) and "_parameters" not in vars(self):
            object.__setattr__(self, name, value)
        else:
            assign(self, name, value)

    patch.setattr(nn.Module, "__setattr__", wrong)


@counterfeit("super-init-comes-first")
def parameters_may_come_before_super_init(patch):
    accept_before_the_constructor(patch, nn.Parameter)


@counterfeit("super-init-comes-first")
def layers_may_come_before_super_init(patch):
    accept_before_the_constructor(patch, nn.Module)


@counterfeit("super-init-comes-first")
def buffers_may_come_before_super_init(patch):
    register = nn.Module.register_buffer

    def wrong(self, name, tensor, persistent=True):
        if "_buffers" in vars(self):
            register(self, name, tensor, persistent)

    patch.setattr(nn.Module, "register_buffer", wrong)


@counterfeit("super-init-comes-first")
def a_new_module_is_in_evaluation_mode(patch):
    init = nn.Module.__init__

    def wrong(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.training = False

    patch.setattr(nn.Module, "__init__", wrong)


def share_register(patch, name):
    init, shared = nn.Module.__init__, {}

    def wrong(self, *args, **kwargs):
        init(self, *args, **kwargs)
        vars(self)[name] = shared

    patch.setattr(nn.Module, "__init__", wrong)


@counterfeit("super-init-comes-first")
def all_modules_share_one_register_of_parameters(patch):
    share_register(patch, "_parameters")


@counterfeit("super-init-comes-first")
def all_modules_share_one_register_of_buffers(patch):
    share_register(patch, "_buffers")


# ── module-constructor-takes-other-arguments ──


@counterfeit("module-constructor-takes-other-arguments")
def the_constructor_keeps_keyword_arguments_as_attributes(patch):
    init = nn.Module.__init__

    def wrong(self, **kwargs):
        init(self)
        vars(self).update(kwargs)

    patch.setattr(nn.Module, "__init__", wrong)


@counterfeit("module-constructor-takes-other-arguments")
def the_constructor_ignores_positional_arguments(patch):
    init = nn.Module.__init__
    patch.setattr(nn.Module, "__init__", lambda self, *args, **kwargs: init(self, **kwargs))


@counterfeit("module-constructor-takes-other-arguments")
def the_constructor_ignores_arguments_that_are_none(patch):
    init = nn.Module.__init__

    def wrong(self, *args, **kwargs):
        init(self, *args, **{name: value for name, value in kwargs.items() if value is not None})

    patch.setattr(nn.Module, "__init__", wrong)


# ── containers-subclass-module ──


@counterfeit("containers-subclass-module")
def a_module_list_is_a_python_list(patch):
    patch.setattr(nn, "ModuleList", list)


@counterfeit("containers-subclass-module", "modulelist-registers-parameters")
def conversions_stop_at_a_nested_list(patch):
    patch.setattr(nn.ModuleList, "_apply", lambda self, *args, **kwargs: self)


@counterfeit("containers-subclass-module")
def eval_stops_at_a_nested_dict(patch):
    patch.setattr(nn.ModuleDict, "train", lambda self, mode=True: self)


# ── sequential-chains-its-modules ──


@counterfeit("sequential-chains-its-modules")
def sequential_runs_the_last_module_first(patch):
    patch.setattr(nn.Sequential, "forward", lambda self, x: chain(reversed(list(self)), x))


@counterfeit("sequential-chains-its-modules")
def sequential_leaves_out_the_last_of_many(patch):
    patch.setattr(nn.Sequential, "forward", lambda self, x: chain(list(self)[: max(3, len(self) - 1)], x))


@counterfeit("sequential-chains-its-modules")
def sequential_runs_in_alphabetical_order_of_names(patch):
    """The same up to ten modules; then 10 comes before 2."""
    patch.setattr(nn.Sequential, "forward", lambda self, x: chain([m for _, m in sorted(self.named_children())], x))


@counterfeit("sequential-chains-its-modules")
def sequential_runs_a_repeated_module_once(patch):
    patch.setattr(nn.Sequential, "forward", lambda self, x: chain(self.children(), x))


# ── sequential-needs-matching-sizes ──


@counterfeit("sequential-needs-matching-sizes")
def a_linear_layer_ignores_surplus_features(patch):
    forward = nn.Linear.forward
    patch.setattr(nn.Linear, "forward", lambda self, x: forward(self, x[..., : self.in_features]))


@counterfeit("sequential-needs-matching-sizes")
def a_linear_layer_repeats_a_single_feature(patch):
    forward = nn.Linear.forward

    def wrong(self, x):
        return forward(self, x.expand(*x.shape[:-1], self.in_features) if x.shape[-1] == 1 else x)

    patch.setattr(nn.Linear, "forward", wrong)


@counterfeit("sequential-needs-matching-sizes")
def a_convolution_takes_missing_channels_as_zero(patch):
    forward = nn.Conv2d.forward

    def wrong(self, x):
        missing = max(0, self.in_channels - x.shape[1])
        return forward(self, nn.functional.pad(x, (0, 0, 0, 0, 0, missing)))

    patch.setattr(nn.Conv2d, "forward", wrong)


# ── modulelist-acts-like-a-list ──


@counterfeit("modulelist-acts-like-a-list")
def insert_overwrites_the_module_in_its_place(patch):
    def wrong(self, index, module):
        self._modules[str(index)] = module

    patch.setattr(nn.ModuleList, "insert", wrong)


@counterfeit("modulelist-acts-like-a-list")
def extend_appends_the_first_only(patch):
    patch.setattr(nn.ModuleList, "extend", lambda self, modules: self.append(next(iter(modules))))


@counterfeit("modulelist-acts-like-a-list")
def the_length_counts_a_repeated_module_once(patch):
    patch.setattr(nn.ModuleList, "__len__", lambda self: len(set(self._modules.values())))


@counterfeit("modulelist-acts-like-a-list")
def negative_indices_wrap_around(patch):
    get = nn.ModuleList.__getitem__

    def wrong(self, index):
        return get(self, index % len(self) if isinstance(index, int) and index < 0 else index)

    patch.setattr(nn.ModuleList, "__getitem__", wrong)


@counterfeit("modulelist-acts-like-a-list")
def pop_removes_one_module_and_returns_the_last(patch):
    pop = nn.ModuleList.pop

    def wrong(self, index=-1):
        last = self[-1]
        pop(self, index)
        return last

    patch.setattr(nn.ModuleList, "pop", wrong)


@counterfeit("modulelist-acts-like-a-list")
def slices_ignore_a_negative_step(patch):
    get = nn.ModuleList.__getitem__

    def wrong(self, index):
        backwards = isinstance(index, slice) and (index.step or 1) < 0
        return get(self, slice(index.start, index.stop) if backwards else index)

    patch.setattr(nn.ModuleList, "__getitem__", wrong)


@counterfeit("modulelist-acts-like-a-list")
def slices_are_python_lists(patch):
    get = nn.ModuleList.__getitem__

    def wrong(self, index):
        return list(self)[index] if isinstance(index, slice) else get(self, index)

    patch.setattr(nn.ModuleList, "__getitem__", wrong)


@counterfeit("modulelist-acts-like-a-list")
def the_slice_of_everything_is_the_list_itself(patch):
    get = nn.ModuleList.__getitem__
    patch.setattr(nn.ModuleList, "__getitem__", lambda self, index: self if index == slice(None) else get(self, index))


# ── modulelist-has-no-forward ──


@counterfeit("modulelist-has-no-forward")
def a_module_list_runs_like_a_sequential(patch):
    patch.setattr(nn.ModuleList, "forward", lambda self, x: chain(self, x))


@counterfeit("modulelist-has-no-forward")
def an_empty_module_list_returns_its_input(patch):
    forward = nn.ModuleList.forward
    patch.setattr(nn.ModuleList, "forward", lambda self, *x: forward(self, *x) if len(self) else x)


# ── modulelist-has-no-order ──


@counterfeit("modulelist-has-no-order")
def a_module_list_sorts_its_modules_by_size(patch):
    init = nn.ModuleList.__init__

    def wrong(self, modules=()):
        init(self, sorted(modules, key=lambda module: sum(p.numel() for p in module.parameters())))

    patch.setattr(nn.ModuleList, "__init__", wrong)


@counterfeit("modulelist-has-no-order")
def state_dict_keys_are_in_alphabetical_order(patch):
    state_dict = nn.ModuleList.state_dict
    patch.setattr(
        nn.ModuleList, "state_dict", lambda self, **kwargs: OrderedDict(sorted(state_dict(self, **kwargs).items()))
    )


@counterfeit("modulelist-has-no-order")
def an_insertion_keeps_the_old_names(patch):
    def wrong(self, index, module):
        entries = list(self._modules.items())
        entries.insert(index, (str(len(entries)), module))
        self._modules = dict(entries)

    patch.setattr(nn.ModuleList, "insert", wrong)


# ── modulelist-registers-parameters ──


@counterfeit("modulelist-registers-parameters")
def a_state_dict_leaves_out_module_lists(patch):
    patch.setattr(nn.ModuleList, "state_dict", lambda self, *args, **kwargs: kwargs.get("destination", {}))


@counterfeit("modulelist-registers-parameters")
def an_appended_module_stays_unregistered(patch):
    def wrong(self, module):
        self.unregistered = [module]
        return self

    patch.setattr(nn.ModuleList, "append", wrong)


def register_plain(patch, plain, container):
    """Turn Python containers that are assigned to a module into modules."""
    assign = nn.Module.__setattr__

    def wrong(self, name, value):
        assign(self, name, container(value) if type(value) is plain and value else value)

    patch.setattr(nn.Module, "__setattr__", wrong)


@counterfeit("modulelist-registers-parameters")
def the_layers_in_a_python_list_are_registered(patch):
    register_plain(patch, list, nn.ModuleList)


@counterfeit("modulelist-registers-parameters")
def training_leaves_out_the_first_layer_of_a_list(patch):
    parameters = nn.Module.parameters

    def wrong(self, recurse=True):
        return (p for p in parameters(self, recurse) if not hasattr(self, "layers") or p is not self.layers[0].weight)

    patch.setattr(nn.Module, "parameters", wrong)


# ── moduledict-acts-like-a-dict ──


@counterfeit("moduledict-acts-like-a-dict")
def an_attribute_is_a_copy_of_the_entry(patch):
    get = nn.Module.__getattr__
    patch.setattr(nn.ModuleDict, "__getattr__", lambda self, name: copy.deepcopy(get(self, name)))


@counterfeit("moduledict-acts-like-a-dict")
def update_keeps_the_entries_that_are_there(patch):
    update = nn.ModuleDict.update

    def wrong(self, modules):
        update(self, {key: module for key, module in modules.items() if key not in self})

    patch.setattr(nn.ModuleDict, "update", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def replacing_an_entry_moves_it_to_the_end(patch):
    put = nn.ModuleDict.__setitem__

    def wrong(self, key, module):
        self._modules.pop(key, None)
        put(self, key, module)

    patch.setattr(nn.ModuleDict, "__setitem__", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def keys_are_in_alphabetical_order(patch):
    patch.setattr(nn.ModuleDict, "keys", lambda self: sorted(self._modules))


@counterfeit("moduledict-acts-like-a-dict")
def pop_keeps_the_entry(patch):
    patch.setattr(nn.ModuleDict, "pop", lambda self, key: self[key])


@counterfeit("moduledict-acts-like-a-dict")
def every_attribute_counts_as_a_key(patch):
    patch.setattr(nn.ModuleDict, "__contains__", lambda self, key: hasattr(self, key))


@counterfeit("moduledict-acts-like-a-dict")
def a_missing_key_gives_none(patch):
    patch.setattr(nn.ModuleDict, "__getitem__", lambda self, key: self._modules.get(key))


@counterfeit("moduledict-acts-like-a-dict")
def an_entry_may_hide_a_method(patch):
    patch.setattr(nn.ModuleDict, "add_module", lambda self, name, module: self._modules.update({name: module}))


# ── moduledict-has-no-forward ──


@counterfeit("moduledict-has-no-forward")
def a_module_dict_runs_like_a_sequential(patch):
    patch.setattr(nn.ModuleDict, "forward", lambda self, x: chain(self.values(), x), raising=False)


@counterfeit("moduledict-has-no-forward")
def a_module_dict_of_one_entry_runs_it(patch):
    forward = nn.ModuleDict.forward

    def wrong(self, *x):
        return chain(self.values(), *x) if len(self) == 1 else forward(self, *x)

    patch.setattr(nn.ModuleDict, "forward", wrong)


# ── moduledict-registers-parameters ──


@counterfeit("moduledict-registers-parameters")
def a_state_dict_leaves_out_module_dicts(patch):
    patch.setattr(nn.ModuleDict, "state_dict", lambda self, *args, **kwargs: kwargs.get("destination", {}))


@counterfeit("moduledict-registers-parameters")
def to_does_not_reach_into_module_dicts(patch):
    patch.setattr(nn.ModuleDict, "_apply", lambda self, *args, **kwargs: self)


@counterfeit("moduledict-registers-parameters")
def update_registers_the_first_entry_only(patch):
    update = nn.ModuleDict.update
    patch.setattr(nn.ModuleDict, "update", lambda self, modules: update(self, dict(list(modules.items())[:1])))


@counterfeit("moduledict-registers-parameters")
def the_layers_in_a_python_dict_are_registered(patch):
    register_plain(patch, dict, nn.ModuleDict)


# ── subclassing-is-more-flexible ──


@counterfeit("subclassing-is-more-flexible")
def a_sequential_ignores_further_inputs(patch):
    patch.setattr(nn.Sequential, "forward", lambda self, x, *ignored: chain(self, x))


@counterfeit("subclassing-is-more-flexible")
def relu_overwrites_its_input(patch):
    """A skip connection then adds what the layers left of the input."""
    patch.setattr(nn.ReLU, "forward", lambda self, x: x.relu_())


@counterfeit("subclassing-is-more-flexible")
def the_second_output_is_the_first_again(patch):
    call = nn.Module.__call__

    def wrong(self, *args):
        outputs = call(self, *args)
        return (outputs[0], outputs[0]) if isinstance(outputs, tuple) else outputs

    patch.setattr(nn.Module, "__call__", wrong)


@counterfeit("subclassing-is-more-flexible")
def a_layer_forgets_its_bias_when_it_is_used_again(patch):
    def wrong(self, x):
        bias = None if hasattr(self, "used") else self.bias
        self.used = True
        return nn.functional.linear(x, self.weight, bias)

    patch.setattr(nn.Linear, "forward", wrong)


# ── plain-tensor-is-a-constant-parameter ──


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_plain_tensor_becomes_a_parameter(patch):
    assign = nn.Module.__setattr__

    def wrong(self, name, value):
        assign(self, name, nn.Parameter(value) if type(value) is torch.Tensor else value)

    patch.setattr(nn.Module, "__setattr__", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_plain_tensor_becomes_a_buffer(patch):
    assign = nn.Module.__setattr__

    def wrong(self, name, value):
        if type(value) is torch.Tensor:
            self.register_buffer(name, value)
        else:
            assign(self, name, value)

    patch.setattr(nn.Module, "__setattr__", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def to_converts_plain_tensors(patch):
    apply = nn.Module._apply

    def wrong(self, fn, *args, **kwargs):
        vars(self).update({name: fn(value) for name, value in vars(self).items() if isinstance(value, torch.Tensor)})
        return apply(self, fn, *args, **kwargs)

    patch.setattr(nn.Module, "_apply", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def to_leaves_buffers_behind(patch):
    apply = nn.Module._apply

    def wrong(self, *args, **kwargs):
        buffers = dict(self._buffers)
        apply(self, *args, **kwargs)
        self._buffers.update(buffers)
        return self

    patch.setattr(nn.Module, "_apply", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def buffers_are_not_saved(patch):
    register = nn.Module.register_buffer
    patch.setattr(nn.Module, "register_buffer", lambda self, name, tensor: register(self, name, tensor, False))


@counterfeit("plain-tensor-is-a-constant-parameter")
def parameters_lists_buffers_too(patch):
    parameters = nn.Module.parameters
    patch.setattr(nn.Module, "parameters", lambda self: iter([*parameters(self), *self.buffers()]))


# ── reusing-a-layer-shares-its-parameters ──


@counterfeit("reusing-a-layer-shares-its-parameters")
def only_the_first_use_of_a_layer_adds_to_its_gradient(patch):
    def wrong(self, x):
        bias = self.bias if self.bias is None or not x.requires_grad else self.bias.detach()
        return nn.functional.linear(x, self.weight.detach() if x.requires_grad else self.weight, bias)

    patch.setattr(nn.Linear, "forward", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def a_sequential_copies_a_module_that_is_repeated(patch):
    init = nn.Sequential.__init__

    def wrong(self, *modules):
        init(self, *(copy.deepcopy(m) if m in modules[:i] else m for i, m in enumerate(modules)))

    patch.setattr(nn.Sequential, "__init__", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def layers_of_one_size_share_their_weight(patch):
    init, weights = nn.Linear.__init__, {}

    def wrong(self, *sizes, **kwargs):
        init(self, *sizes, **kwargs)
        self.weight = weights.setdefault(sizes, self.weight)

    patch.setattr(nn.Linear, "__init__", wrong)


# ── forward-may-use-python-control-flow ──


@counterfeit("forward-may-use-python-control-flow")
def large_values_are_divided_behind_autograds_back(patch):
    divide = torch.Tensor.__truediv__

    def wrong(self, other):
        return self + (divide(self, other) - self).detach() if self > 64 else divide(self, other)

    patch.setattr(torch.Tensor, "__truediv__", wrong)


@counterfeit("forward-may-use-python-control-flow")
def greater_than_includes_equality(patch):
    patch.setattr(torch.Tensor, "__gt__", torch.Tensor.__ge__)


@counterfeit("forward-may-use-python-control-flow")
def the_branch_not_taken_has_a_gradient_of_zero(patch):
    init = nn.Linear.__init__

    def wrong(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.weight.grad = torch.zeros_like(self.weight)

    patch.setattr(nn.Linear, "__init__", wrong)


@counterfeit("forward-may-use-python-control-flow")
def a_model_repeats_its_first_answer(patch):
    call = nn.Module.__call__

    def wrong(self, *args):
        return vars(self).setdefault("answer", call(self, *args))

    patch.setattr(nn.Module, "__call__", wrong)


# ── control-flow-needs-item ──


@counterfeit("control-flow-needs-item")
def every_tensor_is_ambiguous_as_a_condition(patch):
    def wrong(self):
        raise RuntimeError("Boolean value of Tensor is ambiguous")

    patch.setattr(torch.Tensor, "__bool__", wrong)


@counterfeit("control-flow-needs-item")
def elements_that_agree_make_a_condition(patch):
    true = torch.Tensor.__bool__

    def wrong(self):
        return true(self.flatten()[0] if self.unique().numel() == 1 else self)

    patch.setattr(torch.Tensor, "__bool__", wrong)


@counterfeit("control-flow-needs-item")
def at_most_means_below(patch):
    patch.setattr(torch.Tensor, "__le__", torch.Tensor.__lt__)


@counterfeit("control-flow-needs-item")
def all_means_any(patch):
    patch.setattr(torch.Tensor, "all", torch.Tensor.any)
