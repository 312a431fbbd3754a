"""Counterfeits of 4.1, first part: calls, registers and containers gone wrong."""

import copy
from collections import OrderedDict

import torch
from harness.counterfeits import counterfeit
from harness.forging import divert, wrap
from torch import nn
from torch.nn import BatchNorm1d, Conv2d, Linear, Module, ModuleDict, ModuleList, Sequential
from torch.nn import functional as F


def chain(modules, x):
    for module in modules:
        x = module(x)
    return x


# ── subclassing-module-defines-a-model ──


@counterfeit("subclassing-module-defines-a-model")
def a_call_runs_forward_twice(patch):
    wrap(patch, Module, "__call__", lambda call, *args, **kwargs: (call(*args, **kwargs), call(*args, **kwargs))[1])


@counterfeit("subclassing-module-defines-a-model")
def keyword_arguments_do_not_reach_forward(patch):
    wrap(patch, Module, "__call__", lambda call, *args, **kwargs: call(*args))


@counterfeit("subclassing-module-defines-a-model")
def positional_arguments_after_the_second_are_dropped(patch):
    wrap(patch, Module, "__call__", lambda call, self, *args, **kwargs: call(self, *args[:2], **kwargs))


@counterfeit("subclassing-module-defines-a-model")
def a_call_returns_a_copy_of_the_result(patch):
    wrap(patch, Module, "__call__", lambda call, *args, **kwargs: copy.copy(call(*args, **kwargs)))


@counterfeit("subclassing-module-defines-a-model")
def a_call_forgets_the_graph(patch):
    def wrong(call, *args, **kwargs):
        result = call(*args, **kwargs)
        return result.detach() if isinstance(result, torch.Tensor) else result

    wrap(patch, Module, "__call__", wrong)


@counterfeit("subclassing-module-defines-a-model")
def a_call_in_evaluation_mode_skips_forward(patch):
    divert(patch, Module, "__call__", lambda self, *x: not self.training and x, lambda self, x, *rest: x)


@counterfeit("subclassing-module-defines-a-model")
def a_second_call_repeats_the_first_answer_without_running_forward(patch):
    def wrong(call, self, *args, **kwargs):
        answers = vars(self).setdefault("answers", [])
        answers.append(answers[0] if answers else call(self, *args, **kwargs))
        return answers[0]

    wrap(patch, Module, "__call__", wrong)


@counterfeit("subclassing-module-defines-a-model")
def parameters_start_with_the_last_layer(patch):
    wrap(patch, Module, "parameters", lambda parameters, *args: reversed(list(parameters(*args))))


@counterfeit("subclassing-module-defines-a-model", "modulelist-has-no-forward")
def a_model_without_forward_returns_its_input(patch):
    patch.setattr(Module, "forward", lambda self, *x: x)


# ── super-init-comes-first ──


def accept_before_the_constructor(patch, kind):
    """Let attributes of this kind be assigned before Module.__init__ has run."""
    divert(
        patch,
        Module,
        "__setattr__",
        lambda self, name, value: isinstance(value, kind) and "_parameters" not in vars(self),
        object.__setattr__,
    )


@counterfeit("super-init-comes-first")
def parameters_may_come_before_super_init(patch):
    accept_before_the_constructor(patch, nn.Parameter)


@counterfeit("super-init-comes-first")
def layers_may_come_before_super_init(patch):
    accept_before_the_constructor(patch, Module)


@counterfeit("super-init-comes-first")
def layers_without_parameters_may_come_before_super_init(patch):
    accept_before_the_constructor(patch, nn.ReLU)


@counterfeit("super-init-comes-first")
def buffers_may_come_before_super_init(patch):
    divert(patch, Module, "register_buffer", lambda self, *rest: "_buffers" not in vars(self), lambda *args: None)


@counterfeit("super-init-comes-first")
def a_new_module_is_in_evaluation_mode(patch):
    wrap(patch, Module, "__init__", lambda init, self: (init(self), vars(self).update(training=False))[0])


def share_register(patch, name, shared):
    wrap(patch, Module, "__init__", lambda init, self: (init(self), vars(self).update({name: shared}))[0])


@counterfeit("super-init-comes-first")
def all_modules_share_one_register_of_parameters(patch):
    share_register(patch, "_parameters", {})


@counterfeit("super-init-comes-first")
def all_modules_share_one_register_of_buffers(patch):
    share_register(patch, "_buffers", {})


@counterfeit("super-init-comes-first")
def all_modules_share_the_set_of_unsaved_buffers(patch):
    share_register(patch, "_non_persistent_buffers_set", set())


# ── module-constructor-takes-other-arguments ──


@counterfeit("module-constructor-takes-other-arguments")
def the_constructor_keeps_keyword_arguments_as_attributes(patch):
    wrap(patch, Module, "__init__", lambda init, self, **rest: (init(self), vars(self).update(rest))[0])


@counterfeit("module-constructor-takes-other-arguments")
def the_constructor_ignores_positional_arguments(patch):
    wrap(patch, Module, "__init__", lambda init, self, *args, **kwargs: init(self, **kwargs))


@counterfeit("module-constructor-takes-other-arguments")
def the_constructor_ignores_arguments_that_are_none(patch):
    def wrong(init, *args, **kwargs):
        init(*args, **{name: value for name, value in kwargs.items() if value is not None})

    wrap(patch, Module, "__init__", wrong)


@counterfeit("module-constructor-takes-other-arguments")
def the_constructor_takes_the_names_of_its_attributes(patch):
    wrap(patch, Module, "__init__", lambda init, *args, training=True, **rest: init(*args, **rest))


# ── containers-subclass-module ──


@counterfeit("containers-subclass-module")
def a_module_list_is_a_python_list(patch):
    patch.setattr(nn, "ModuleList", list)


@counterfeit("containers-subclass-module", "modulelist-registers-parameters")
def conversions_stop_at_a_nested_list(patch):
    patch.setattr(ModuleList, "_apply", lambda self, *args, **kwargs: self)


@counterfeit("containers-subclass-module")
def a_list_does_not_convert_a_sequential_within_it(patch):
    apply, inside = Module._apply, []

    def wrong(self, *args, **kwargs):
        if isinstance(self, Sequential) and inside:
            return self
        inside.extend([1] * isinstance(self, ModuleList))
        try:
            return apply(self, *args, **kwargs)
        finally:
            inside[:] = inside[1:] if isinstance(self, ModuleList) else inside

    patch.setattr(Module, "_apply", wrong)


@counterfeit("containers-subclass-module")
def eval_stops_at_a_nested_dict(patch):
    patch.setattr(ModuleDict, "train", lambda self, mode=True: self)


@counterfeit("containers-subclass-module")
def clearing_gradients_stops_at_containers(patch):
    def wrong(self, set_to_none=True):
        for parameter in [*self._parameters.values(), *(p for m in self.children() for p in m._parameters.values())]:
            if parameter is not None:
                parameter.grad = None

    patch.setattr(Module, "zero_grad", wrong)


@counterfeit("containers-subclass-module")
def freezing_stops_at_a_sequential(patch):
    divert(patch, Module, "requires_grad_", lambda self, *x: isinstance(self, Sequential), lambda s, *x: s)


@counterfeit("containers-subclass-module")
def apply_leaves_out_the_containers_themselves(patch):
    containers = (Sequential, ModuleList, ModuleDict)
    wrap(
        patch,
        Module,
        "apply",
        lambda apply, self, fn: apply(self, lambda module: None if isinstance(module, containers) else fn(module)),
    )


# ── sequential-chains-its-modules ──


@counterfeit("sequential-chains-its-modules")
def a_sequential_of_three_leaves_out_its_last(patch):
    wrap(patch, nn.Sequential, "forward", lambda right, self, x: right(self[:2] if len(self) == 3 else self, x))


@counterfeit("sequential-chains-its-modules")
def sequential_runs_the_last_module_first(patch):
    patch.setattr(Sequential, "forward", lambda self, x: chain(reversed(list(self)), x))


@counterfeit("sequential-chains-its-modules")
def sequential_leaves_out_the_last_of_many(patch):
    patch.setattr(Sequential, "forward", lambda self, x: chain(list(self)[: max(3, len(self) - 1)], x))


@counterfeit("sequential-chains-its-modules")
def sequential_runs_in_alphabetical_order_of_names(patch):
    """The same up to ten modules; then 10 comes before 2."""
    patch.setattr(Sequential, "forward", lambda self, x: chain([m for _, m in sorted(self.named_children())], x))


@counterfeit("sequential-chains-its-modules")
def sequential_runs_a_repeated_module_once(patch):
    patch.setattr(Sequential, "forward", lambda self, x: chain(self.children(), x))


@counterfeit("sequential-chains-its-modules")
def sequential_runs_its_last_module_twice_in_evaluation_mode(patch):
    patch.setattr(Sequential, "forward", lambda self, x: chain([*self, *(() if self.training else list(self)[-1:])], x))


@counterfeit("sequential-chains-its-modules")
def sequential_passes_on_the_first_of_a_pair_alone(patch):
    def wrong(self, x):
        for module in self:
            x = module(x[0] if isinstance(x, tuple) else x)
        return x

    patch.setattr(Sequential, "forward", wrong)


@counterfeit("sequential-chains-its-modules")
def extend_adds_in_reverse(patch):
    wrap(patch, Sequential, "extend", lambda extend, self, modules: extend(self, list(modules)[::-1]))


@counterfeit("sequential-chains-its-modules")
def named_modules_are_chained_in_alphabetical_order(patch):
    def wrong(init, self, *args):
        named = len(args) == 1 and isinstance(args[0], OrderedDict)
        init(self, *([OrderedDict(sorted(args[0].items()))] if named else args))

    wrap(patch, Sequential, "__init__", wrong)


@counterfeit(
    "sequential-chains-its-modules",
    "parameter-names-carry-the-layer-index",
    "brackets-reach-a-layer",
    reported="pytorch/pytorch#77067",
)
def sequential_keeps_a_gap_after_del(patch):
    def wrong(delete, self, index):
        if isinstance(index, slice):
            return delete(self, index)
        del self._modules[list(self._modules)[index]]

    wrap(patch, Sequential, "__delitem__", wrong)


@counterfeit("sequential-chains-its-modules")
def appending_to_a_slice_finds_a_free_name(patch):
    def wrong(append, self, module):
        names = [int(name) for name in self._modules if name.isdigit()]
        self.add_module(str(max([*names, -1]) + 1), module)
        return self

    wrap(patch, Sequential, "append", wrong)


@counterfeit("sequential-chains-its-modules")
def insert_goes_by_position_whatever_the_names(patch):
    def wrong(insert, self, index, module):
        layers = list(self)
        layers.insert(index, module)
        self._modules = {str(place): layer for place, layer in enumerate(layers)}
        return self

    wrap(patch, Sequential, "insert", wrong)


# ── sequential-needs-matching-sizes ──


@counterfeit("sequential-needs-matching-sizes")
def missing_features_count_as_zero(patch):
    def wrong(right, x, weight, bias=None):
        return right(F.pad(x, (0, weight.shape[1] - x.shape[-1])), weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("sequential-needs-matching-sizes")
def a_linear_layer_ignores_surplus_features(patch):
    wrap(patch, Linear, "forward", lambda forward, self, x: forward(self, x[..., : self.in_features]))


@counterfeit("sequential-needs-matching-sizes")
def a_linear_layer_ignores_surplus_features_in_evaluation_mode(patch):
    wrap(
        patch,
        Linear,
        "forward",
        lambda forward, self, x: forward(self, x if self.training else x[..., : self.in_features]),
    )


@counterfeit("sequential-needs-matching-sizes")
def a_single_example_may_have_surplus_features(patch):
    wrap(patch, Linear, "forward", lambda forward, self, x: forward(self, x[: self.in_features] if x.dim() == 1 else x))


@counterfeit("sequential-needs-matching-sizes")
def a_linear_layer_repeats_a_single_feature(patch):
    def wrong(forward, self, x):
        return forward(self, x.expand(*x.shape[:-1], self.in_features) if x.shape[-1] == 1 else x)

    wrap(patch, Linear, "forward", wrong)


@counterfeit("sequential-needs-matching-sizes")
def a_wide_linear_layer_pads_one_missing_feature(patch):
    def wrong(forward, self, x):
        missing = self.in_features - x.shape[-1]
        return forward(self, nn.functional.pad(x, (0, 1)) if missing == 1 and self.in_features > 64 else x)

    wrap(patch, Linear, "forward", wrong)


@counterfeit("sequential-needs-matching-sizes")
def a_convolution_takes_missing_channels_as_zero(patch):
    def wrong(forward, self, x):
        return forward(self, nn.functional.pad(x, (0, 0, 0, 0, 0, max(0, self.in_channels - x.shape[1]))))

    wrap(patch, Conv2d, "forward", wrong)


@counterfeit("sequential-needs-matching-sizes")
def surplus_channels_are_ignored(patch):
    wrap(patch, Conv2d, "forward", lambda forward, self, x: forward(self, x[:, : self.in_channels]))


@counterfeit("sequential-needs-matching-sizes")
def a_normalisation_takes_any_number_of_features(patch):
    def wrong(forward, self, x):
        fits = x.shape[1] == self.num_features
        return forward(self, x) if fits else (x - x.mean(0)) / (x.var(0, unbiased=False) + self.eps).sqrt()

    wrap(patch, BatchNorm1d, "forward", wrong)


@counterfeit("sequential-needs-matching-sizes")
def a_normalisation_takes_any_number_of_dimensions(patch):
    for owner in (BatchNorm1d, nn.BatchNorm2d):
        patch.setattr(owner, "_check_input_dim", lambda self, x: None)


# ── modulelist-acts-like-a-list ──


@counterfeit("modulelist-acts-like-a-list")
def insert_overwrites_the_module_in_its_place(patch):
    patch.setattr(ModuleList, "insert", lambda self, index, module: self._modules.update({str(index): module}))


@counterfeit("modulelist-acts-like-a-list")
def insert_leaves_the_last_module_unreachable_by_its_index(patch):
    def wrong(insert, self, index, module):
        insert(self, index, module)
        if 0 < index < len(self) - 1:
            self._modules["last"] = self._modules.pop(str(len(self) - 1))

    wrap(patch, ModuleList, "insert", wrong)


@counterfeit("modulelist-acts-like-a-list")
def insert_counts_from_the_back_as_a_list_does(patch):
    wrap(
        patch,
        ModuleList,
        "insert",
        lambda insert, self, index, module: insert(self, max(0, index + len(self)) if index < 0 else index, module),
    )


@counterfeit("modulelist-acts-like-a-list", "modulelist-has-no-order")
def deleting_a_module_leaves_a_gap_in_the_names(patch):
    def wrong(self, index):
        for name in list(self._modules)[index if isinstance(index, slice) else slice(index, index + 1 or None)]:
            del self._modules[name]

    patch.setattr(ModuleList, "__delitem__", wrong)


@counterfeit("modulelist-acts-like-a-list")
def deleting_a_slice_deletes_its_first_module_only(patch):
    def wrong(delete, self, index):
        for module in range(len(self))[index][:1] if isinstance(index, slice) else [index]:
            delete(self, module)

    wrap(patch, ModuleList, "__delitem__", wrong)


@counterfeit("modulelist-acts-like-a-list")
def extend_appends_the_first_only(patch):
    patch.setattr(ModuleList, "extend", lambda self, modules: self.append(next(iter(modules))))


@counterfeit("modulelist-acts-like-a-list")
def extend_passes_over_generators(patch):
    def wrong(extend, self, modules):
        return extend(self, modules) if hasattr(modules, "__len__") else self

    wrap(patch, ModuleList, "extend", wrong)


@counterfeit("modulelist-acts-like-a-list")
def extending_by_plus_returns_another_list(patch):
    patch.setattr(ModuleList, "__iadd__", lambda self, modules: self + modules)


@counterfeit("modulelist-acts-like-a-list")
def the_length_counts_a_repeated_module_once(patch):
    patch.setattr(ModuleList, "__len__", lambda self: len(set(self._modules.values())))


@counterfeit("modulelist-acts-like-a-list")
def iteration_stops_at_ten(patch):
    patch.setattr(ModuleList, "__iter__", lambda self: iter(list(self._modules.values())[:10]))


@counterfeit("modulelist-acts-like-a-list")
def negative_indices_wrap_around(patch):
    wrap(
        patch,
        ModuleList,
        "__getitem__",
        lambda get, self, index: get(self, index % len(self) if isinstance(index, int) and index < 0 else index),
    )


@counterfeit("modulelist-acts-like-a-list")
def pop_removes_one_module_and_returns_the_last(patch):
    wrap(patch, ModuleList, "pop", lambda pop, self, index=-1: (self[-1], pop(self, index))[0])


@counterfeit("modulelist-acts-like-a-list")
def slices_ignore_a_negative_step(patch):
    def wrong(get, self, index):
        backwards = isinstance(index, slice) and (index.step or 1) < 0
        return get(self, slice(index.start, index.stop) if backwards else index)

    wrap(patch, ModuleList, "__getitem__", wrong)


@counterfeit("modulelist-acts-like-a-list")
def slices_are_python_lists(patch):
    divert(
        patch,
        ModuleList,
        "__getitem__",
        lambda self, index: isinstance(index, slice),
        lambda self, index: list(self._modules.values())[index],
    )


@counterfeit("modulelist-acts-like-a-list")
def the_slice_of_everything_is_the_list_itself(patch):
    divert(patch, ModuleList, "__getitem__", lambda self, index: index == slice(None), lambda self, index: self)


@counterfeit("modulelist-acts-like-a-list")
def any_object_may_be_a_member(patch):
    wrap(patch, Module, "add_module", lambda add, self, name, module: self._modules.update({name: module}))


# ── modulelist-has-no-forward ──


@counterfeit("modulelist-has-no-forward")
def a_module_list_runs_like_a_sequential(patch):
    patch.setattr(ModuleList, "forward", chain)


@counterfeit("modulelist-has-no-forward")
def an_empty_module_list_returns_its_input(patch):
    divert(patch, ModuleList, "forward", lambda self, *x: not len(self), lambda self, *x: x)


@counterfeit("modulelist-has-no-forward")
def calling_a_list_without_input_gives_its_modules(patch):
    divert(patch, ModuleList, "forward", lambda self, *x: not x, list)


# ── modulelist-has-no-order ──


@counterfeit("modulelist-has-no-order")
def a_list_in_reverse_leaves_out_its_first(patch):
    patch.setattr(
        nn.ModuleList, "__reversed__", lambda self: iter([self[i] for i in range(len(self) - 1, 0, -1)]), raising=False
    )


@counterfeit("modulelist-has-no-order")
def a_module_list_sorts_its_modules_by_size(patch):
    def wrong(init, self, modules=()):
        init(self, sorted(modules, key=lambda module: sum(p.numel() for p in module.parameters())))

    wrap(patch, ModuleList, "__init__", wrong)


@counterfeit("modulelist-has-no-order")
def state_dict_keys_are_in_alphabetical_order(patch):
    def wrong(state_dict, self, **kwargs):
        return OrderedDict(sorted(state_dict(self, **kwargs).items()))

    wrap(patch, ModuleList, "state_dict", wrong)


@counterfeit("modulelist-has-no-order")
def an_insertion_keeps_the_old_names(patch):
    def wrong(self, index, module):
        entries = list(self._modules.items())
        entries.insert(index, (str(len(entries)), module))
        self._modules = dict(entries)

    patch.setattr(ModuleList, "insert", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def every_module_runs_once_and_then_returns_its_input(patch):
    wrap(
        patch,
        Module,
        "__call__",
        lambda call, self, *x: (
            x[0] if vars(self).setdefault("turns", []) else (self.turns.append(1), call(self, *x))[1]
        ),
    )


# ── modulelist-registers-parameters ──


@counterfeit("modulelist-registers-parameters")
def a_state_dict_leaves_out_module_lists(patch):
    patch.setattr(ModuleList, "state_dict", lambda self, *args, **kwargs: kwargs.get("destination", {}))


@counterfeit("modulelist-registers-parameters")
def an_appended_module_stays_unregistered(patch):
    patch.setattr(ModuleList, "append", lambda self, module: (self, vars(self).update(unregistered=[module]))[0])


def register_plain(patch, plain, container):
    """Turn Python containers of anything but numbers that are assigned to a module into modules."""

    def wrong(assign, self, name, value):
        layers = type(value) is plain and value and not isinstance(next(iter(value)), int)
        assign(self, name, container(value) if layers else value)

    wrap(patch, Module, "__setattr__", wrong)


@counterfeit("modulelist-registers-parameters")
def the_layers_in_a_python_list_are_registered(patch):
    register_plain(patch, list, ModuleList)


@counterfeit("modulelist-registers-parameters")
def the_layers_in_a_tuple_are_registered(patch):
    register_plain(patch, tuple, ModuleList)


@counterfeit("modulelist-registers-parameters")
def training_leaves_out_the_first_layer_of_a_list(patch):
    def wrong(parameters, self, *args, **kwargs):
        layers = list(vars(self).get("_modules", {}).get("layers", nn.Module()).children())[:1]
        first = [parameter for layer in layers for parameter in layer.parameters()]
        return (p for p in parameters(self, *args, **kwargs) if not any(p is each for each in first))

    wrap(patch, Module, "parameters", wrong)


@counterfeit("modulelist-registers-parameters", "containers-subclass-module")
def modules_leaves_out_those_in_a_list(patch):
    wrap(
        patch,
        ModuleList,
        "named_modules",
        lambda walk, self, memo=None, prefix="", *rest, **kwargs: iter([(prefix, self)]),
    )


def forget_buffers_below(patch, container):
    def wrong(buffers, self, prefix="", recurse=True, **kwargs):
        found = buffers(self, prefix, recurse, **kwargs)
        inside = {
            id(buffer)
            for m in self.modules()
            if type(m) is container
            for c in m.children()
            for buffer in c._buffers.values()
        }
        return ((name, buffer) for name, buffer in found if id(buffer) not in inside)

    wrap(patch, Module, "named_buffers", wrong)


@counterfeit("modulelist-registers-parameters")
def the_buffers_of_a_lists_modules_belong_to_nobody(patch):
    forget_buffers_below(patch, ModuleList)


# ── moduledict-acts-like-a-dict ──


@counterfeit("moduledict-acts-like-a-dict")
def an_attribute_is_a_copy_of_the_entry(patch):
    get = Module.__getattr__
    patch.setattr(ModuleDict, "__getattr__", lambda self, name: copy.deepcopy(get(self, name)))


@counterfeit("moduledict-acts-like-a-dict")
def an_attribute_goes_on_giving_the_entry_that_was_replaced(patch):
    get, first = Module.__getattr__, {}

    def wrong(self, name):
        return first.setdefault((id(self), name), get(self, name))

    patch.setattr(ModuleDict, "__getattr__", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def update_keeps_the_entries_that_are_there(patch):
    wrap(
        patch,
        ModuleDict,
        "update",
        lambda update, self, modules: update(self, {k: m for k, m in dict(modules).items() if k not in self}),
    )


@counterfeit("moduledict-acts-like-a-dict")
def update_from_pairs_keeps_the_first_only(patch):
    wrap(
        patch,
        ModuleDict,
        "update",
        lambda update, self, modules: update(self, modules[:1] if isinstance(modules, list) else modules),
    )


@counterfeit("moduledict-acts-like-a-dict")
def replacing_an_entry_moves_it_to_the_end(patch):
    wrap(
        patch,
        ModuleDict,
        "__setitem__",
        lambda put, self, key, module: (self._modules.pop(key, None), put(self, key, module))[1],
    )


@counterfeit("moduledict-acts-like-a-dict")
def keys_are_in_alphabetical_order(patch):
    patch.setattr(ModuleDict, "keys", lambda self: sorted(self._modules))


@counterfeit("moduledict-acts-like-a-dict")
def keys_of_a_module_dict_are_kept_in_lower_case(patch):
    wrap(patch, ModuleDict, "__setitem__", lambda put, self, key, module: put(self, key.lower(), module))


@counterfeit("moduledict-acts-like-a-dict")
def pop_keeps_the_entry(patch):
    patch.setattr(ModuleDict, "pop", lambda self, key: self[key])


@counterfeit("moduledict-acts-like-a-dict")
def every_attribute_counts_as_a_key(patch):
    patch.setattr(ModuleDict, "__contains__", lambda self, key: hasattr(self, key))


@counterfeit("moduledict-acts-like-a-dict")
def a_missing_key_gives_none(patch):
    patch.setattr(ModuleDict, "__getitem__", lambda self, key: self._modules.get(key))


@counterfeit("moduledict-acts-like-a-dict")
def an_entry_may_hide_a_method(patch):
    patch.setattr(ModuleDict, "add_module", lambda self, name, module: self._modules.update({name: module}))


@counterfeit("moduledict-acts-like-a-dict")
def a_key_may_hold_a_dot(patch):
    divert(
        patch,
        ModuleDict,
        "add_module",
        lambda self, name, module: isinstance(name, str) and "." in name,
        lambda self, name, module: self._modules.update({name: module}),
    )


# ── moduledict-has-no-forward ──


@counterfeit("moduledict-has-no-forward")
def a_module_dict_runs_like_a_sequential(patch):
    patch.setattr(ModuleDict, "forward", lambda self, x: chain(self.values(), x), raising=False)


@counterfeit("moduledict-has-no-forward")
def a_module_dict_of_one_entry_runs_it(patch):
    divert(patch, ModuleDict, "forward", lambda self, *x: len(self) == 1, lambda self, *x: chain(self.values(), *x))


@counterfeit("moduledict-has-no-forward")
def calling_a_dict_with_a_key_runs_that_entry(patch):
    divert(
        patch,
        ModuleDict,
        "forward",
        lambda self, *x: bool(x) and isinstance(x[0], str) and x[0] in self,
        lambda self, key, *x: self[key](*x or ""),
    )


# ── moduledict-registers-parameters ──


@counterfeit("moduledict-registers-parameters")
def a_state_dict_leaves_out_module_dicts(patch):
    patch.setattr(ModuleDict, "state_dict", lambda self, *args, **kwargs: kwargs.get("destination", {}))


@counterfeit("moduledict-registers-parameters")
def to_does_not_reach_into_module_dicts(patch):
    patch.setattr(ModuleDict, "_apply", lambda self, *args, **kwargs: self)


@counterfeit("moduledict-registers-parameters")
def update_registers_the_first_entry_only(patch):
    wrap(patch, ModuleDict, "update", lambda update, self, modules: update(self, dict(list(dict(modules).items())[:1])))


@counterfeit("moduledict-registers-parameters")
def the_layers_in_a_python_dict_are_registered(patch):
    register_plain(patch, dict, ModuleDict)


@counterfeit("moduledict-registers-parameters")
def the_buffers_of_a_dicts_modules_belong_to_nobody(patch):
    forget_buffers_below(patch, ModuleDict)


# ── module-is-not-subscriptable ──


@counterfeit("module-is-not-subscriptable")
def a_module_is_indexed_by_the_order_of_its_layers(patch):
    patch.setattr(Module, "__getitem__", lambda self, index: list(self.children())[index], raising=False)


@counterfeit("module-is-not-subscriptable")
def a_module_is_indexed_by_the_names_of_its_layers(patch):
    def wrong(self, name):
        if name in self._modules:
            return self._modules[name]
        raise TypeError(f"{type(self).__name__!r} object is not subscriptable")

    patch.setattr(Module, "__getitem__", wrong, raising=False)


@counterfeit("module-is-not-subscriptable")
def a_linear_layer_is_indexed_like_its_weight(patch):
    patch.setattr(Linear, "__getitem__", lambda self, index: self.weight[index], raising=False)


@counterfeit("modulelist-acts-like-a-list", reported="pytorch/pytorch#13102")
def a_module_assigned_from_the_end_gets_a_negative_name(patch):
    wrap(
        patch,
        nn.ModuleList,
        "__setitem__",
        lambda assign, self, i, module: (
            nn.Module.__setattr__(self, str(i), module) if isinstance(i, int) and i < 0 else assign(self, i, module)
        ),
    )


@counterfeit("moduledict-acts-like-a-dict")
def entries_of_none_are_left_out_of_the_length(patch):
    patch.setattr(ModuleDict, "__len__", lambda self: sum(module is not None for module in self._modules.values()))


@counterfeit("sequential-chains-its-modules", "brackets-reach-a-layer")
def insert_from_the_back_appends(patch):
    wrap(patch, Sequential, "insert", lambda insert, self, at, new: insert(self, len(self) if at < 0 else at, new))


@counterfeit("containers-subclass-module", "model-can-serve-as-layer")
def evaluation_stops_at_the_fourth_level(patch):
    def train(self, mode=True, depth=0):
        self.training = mode
        for child in self.children() if depth < 3 else ():
            train(child, mode, depth + 1)
        return self

    patch.setattr(Module, "train", train)


@counterfeit("moduledict-acts-like-a-dict")
def update_from_a_generator_adds_the_first_pair_only(patch):
    def wrong(update, self, modules):
        return update(self, modules if hasattr(modules, "__len__") else [next(iter(modules))])

    wrap(patch, ModuleDict, "update", wrong)


@counterfeit("modulelist-acts-like-a-list")
def a_slice_deleted_backwards_deletes_nothing(patch):
    def wrong(delete, self, index):
        return None if isinstance(index, slice) and (index.step or 1) < 0 else delete(self, index)

    wrap(patch, ModuleList, "__delitem__", wrong)
