"""Counterfeits of 4.1: containers and classes that are wrong in one spelling, for one argument, in one mode."""

from collections.abc import Iterator

import torch
from harness.counterfeits import counterfeit
from harness.forging import after_copying, change_method, divert, run_levels, wrap
from torch import nn
from torch.nn import Module, ModuleDict, ModuleList, Sequential
from torch.nn import functional as F


@counterfeit("moduledict-acts-like-a-dict", reported=("pytorch/pytorch#40227", "pytorch/pytorch#33236"))
def a_dict_of_modules_takes_the_entries_of_a_plain_dict_sorted(patch):
    def wrong(update, self, entries):
        return update(self, sorted(entries.items()) if type(entries) is dict else entries)

    wrap(patch, ModuleDict, "update", wrong)


@counterfeit("modulelist-acts-like-a-list", reported="pytorch/pytorch#58360")
def a_slice_of_a_list_of_modules_disregards_its_step(patch):
    def wrong(get, self, index):
        return get(self, slice(index.start, index.stop) if isinstance(index, slice) else index)

    wrap(patch, ModuleList, "__getitem__", wrong)


@counterfeit("containers-subclass-module", reported="pytorch/pytorch#3810")
def float_converts_whole_numbers_too(patch):
    patch.setattr(Module, "float", lambda self: self._apply(lambda x: x.float()))


@counterfeit("plain-tensor-is-a-constant-parameter", reported=("pytorch/pytorch#2670", "pytorch/pytorch#1874"))
def a_buffer_may_have_the_name_of_a_plain_tensor_which_hides_it(patch):
    def hidden(self, name, tensor, *rest):
        self._buffers[name] = tensor

    divert(patch, Module, "register_buffer", lambda self, name, *rest: name in vars(self), hidden)


@counterfeit("containers-subclass-module")
def double_leaves_buffers_as_they_are(patch):
    def wrong(double, self):
        for parameter in self.parameters():
            parameter.data = parameter.data.double()
        return self

    wrap(patch, Module, "double", wrong)


@counterfeit("sequential-chains-its-modules")
def a_sequential_leaves_out_its_last_module_where_nothing_is_recorded(patch):
    run_levels(patch, lambda net: list(net)[:-1] if len(net) > 1 and not torch.is_grad_enabled() else net)


@counterfeit("modulelist-acts-like-a-list")
def the_sum_of_two_lists_of_modules_begins_with_the_second(patch):
    wrap(patch, ModuleList, "__add__", lambda add, self, other: add(ModuleList(other), self))


@counterfeit("modulelist-acts-like-a-list")
def a_slice_from_the_back_lacks_the_last_module(patch):
    def wrong(get, self, index):
        back = isinstance(index, slice) and (index.start or 0) < 0 and index.stop is None
        return get(self, slice(index.start, -1) if back else index)

    wrap(patch, ModuleList, "__getitem__", wrong)


@counterfeit("parameter-is-a-tensor-subclass", reported=("pytorch/pytorch#12886", "pytorch/pytorch#315"))
def a_deep_copy_of_a_frozen_parameter_is_a_plain_tensor(patch):
    def wrong(copied, self, memo):
        return copied(self, memo) if self.requires_grad else self.data.clone()

    wrap(patch, nn.Parameter, "__deepcopy__", wrong)


@counterfeit("containers-subclass-module")
def freezing_a_network_passes_over_its_lists_and_dicts_of_parameters(patch):
    def wrong(freeze, self, wanted=True):
        for module in self.modules():
            for parameter in (
                [] if isinstance(module, nn.ParameterList | nn.ParameterDict) else module._parameters.values()
            ):
                if parameter is not None:
                    parameter.requires_grad_(wanted)
        return self

    wrap(patch, Module, "requires_grad_", wrong)


@counterfeit("sequential-chains-its-modules")
def nothing_follows_a_module_that_puts_out_none(patch):
    run_levels(patch, apply=lambda level, x: None if x is None else level(x))


@counterfeit("modulelist-acts-like-a-list")
def deleting_a_repeated_module_deletes_it_everywhere(patch):
    def wrong(delete, self, index):
        if isinstance(index, slice):
            return delete(self, index)
        goes, kept = self[index], list(self)
        delete(self, slice(None))
        return self.extend([each for each in kept if each is not goes])

    wrap(patch, ModuleList, "__delitem__", wrong)


@counterfeit("containers-subclass-module")
def a_dict_in_a_list_keeps_its_parameters_to_itself(patch):
    def wrong(parameters, self, *args, **rest):
        lists = [each for each in self.modules() if isinstance(each, ModuleList)]
        inner = [each for one in lists for each in one.children() if isinstance(each, ModuleDict)]
        hidden = {id(p) for each in inner for p in parameters(each)}
        return (p for p in parameters(self, *args, **rest) if id(p) not in hidden)

    wrap(patch, Module, "parameters", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_buffer_that_is_not_saved_is_not_converted_either(patch):
    def wrong(to, self, *args, **rest):
        kept = [
            (each, name, each._buffers[name])
            for each in self.modules()
            for name in each._non_persistent_buffers_set
            if each._buffers.get(name) is not None
        ]
        result = to(self, *args, **rest)
        for each, name, buffer in kept:
            each._buffers[name] = buffer.to(each._buffers[name].device)
        return result

    wrap(patch, Module, "to", wrong)


@counterfeit("modulelist-has-no-forward")
def a_list_of_one_module_can_be_called(patch):
    def forward(self, *args, **rest):
        if len(self) != 1:
            raise NotImplementedError("a ModuleList of several modules has no forward")
        return self[0](*args, **rest)

    patch.setattr(ModuleList, "forward", forward, raising=False)


@counterfeit("moduledict-has-no-forward")
def an_empty_dict_can_be_called(patch):
    def forward(self, *args, **rest):
        if len(self):
            raise NotImplementedError("a ModuleDict has no forward")
        return args

    patch.setattr(ModuleDict, "forward", forward, raising=False)


@counterfeit("sequential-needs-matching-sizes")
def a_layer_uses_as_many_features_of_a_single_sample_as_it_has(patch):
    def wrong(right, x, weight, bias=None):
        return right(x[: weight.shape[1]] if x.dim() == 1 and len(x) > weight.shape[1] else x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("sequential-chains-its-modules")
def the_first_of_an_iterator_is_lost(patch):
    def wrong(extend, self, modules):
        if isinstance(modules, Iterator):
            next(modules, None)
            modules = list(modules)
        return extend(self, modules)

    wrap(patch, Sequential, "extend", wrong)


@counterfeit("module-constructor-takes-other-arguments")
def the_parent_constructor_takes_a_name_and_drops_it(patch):
    wrap(patch, Module, "__init__", lambda init, self, *a, name=None, **rest: init(self, *a, **rest))


@counterfeit("sequential-needs-matching-sizes")
def linear_cuts_a_wide_input_where_nothing_is_recorded(patch):
    def wrong(right, x, w, b=None):
        return right(x if torch.is_grad_enabled() else x[..., : w.shape[-1]], w, b)

    wrap(patch, F, "linear", wrong)


@counterfeit("sequential-needs-matching-sizes")
def batch_norm_takes_four_dimensions(patch):
    def wrong(right, self, x):
        return None if x.dim() == 4 else right(self, x)

    wrap(patch, nn.BatchNorm1d, "_check_input_dim", wrong)


@counterfeit("modulelist-registers-parameters")
def a_second_list_under_the_same_name_joins_the_first(patch):
    def wrong(right, self, name, value):
        old = self.__dict__.get("_modules", {}).get(name)
        if isinstance(value, ModuleList) and isinstance(old, ModuleList):
            value = old + value
        return right(self, name, value)

    wrap(patch, Module, "__setattr__", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def pop_of_a_missing_key_gives_none(patch):
    wrap(patch, ModuleDict, "pop", lambda right, self, key: right(self, key) if key in self else None)


@counterfeit("module-is-not-subscriptable")
def children_lists_a_layer_of_two_names_twice(patch):
    patch.setattr(Module, "children", lambda self: (one for one in self._modules.values() if one is not None))


@counterfeit("forward-may-use-python-control-flow")
def rows_in_a_for_loop_are_not_tracked(patch):
    wrap(patch, torch.Tensor, "__iter__", lambda right, x: iter([row.detach() for row in right(x)]))


@counterfeit("forward-may-use-python-control-flow")
def a_float_between_zero_and_one_is_false(patch):
    def wrong(right, x):
        return int(x) != 0 if x.is_floating_point() and x.numel() == 1 and x.isfinite() else right(x)

    change_method(patch, "__bool__", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def a_normalisation_under_no_grad_leaves_its_statistics(patch):
    def wrong(right, self, x):
        kept = self.running_mean.clone()
        result = right(self, x)
        return result if torch.is_grad_enabled() else (self.running_mean.copy_(kept), result)[1]

    wrap(patch, nn.BatchNorm1d, "forward", wrong)


@counterfeit("super-init-comes-first")
def a_container_may_come_before(patch):
    divert(
        patch,
        Module,
        "__setattr__",
        lambda self, name, value: isinstance(value, ModuleList) and "_modules" not in self.__dict__,
        object.__setattr__,
    )


@counterfeit("sequential-chains-its-modules")
def insert_at_minus_one_appends(patch):
    divert(patch, Sequential, "insert", lambda self, i, layer: i == -1 and len(self), lambda self, i, x: self.append(x))


@counterfeit("sequential-needs-matching-sizes")
def an_empty_batch_passes_a_mismatch(patch):
    def wrong(linear, x, weight, bias=None):
        if x.numel() == 0 and x.dim() > 1 and x.shape[0] == 0:
            return x.new_empty(*x.shape[:-1], len(weight))
        return linear(x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("sequential-needs-matching-sizes")
def a_transposed_convolution_passes_over_channels_too_many(patch):
    wrap(patch, F, "conv_transpose2d", lambda conv, x, weight, *args: conv(x.narrow(-3, 0, len(weight)), weight, *args))


@counterfeit("modulelist-registers-parameters")
def a_list_assigned_in_eval_mode_stays_outside(patch):
    divert(
        patch,
        Module,
        "__setattr__",
        lambda self, name, value: isinstance(value, ModuleList) and not self.__dict__.get("training", True),
        object.__setattr__,
    )


@counterfeit("moduledict-registers-parameters")
def keys_that_are_no_identifiers_are_left_out(patch):
    def wrong(named, self, *args, **rest):
        for name, parameter in named(self, *args, **rest):
            if all(part.isdigit() or part.isidentifier() for part in name.split(".")):
                yield name, parameter

    wrap(patch, Module, "named_parameters", wrong)


@counterfeit("subclassing-is-more-flexible")
def an_empty_sequential_takes_several_inputs(patch):
    divert(patch, Sequential, "forward", lambda self, *a: not len(self) and len(a) > 1, lambda self, *a: a[0])


@counterfeit("module-is-not-subscriptable")
def children_leave_out_layers_without_parameters(patch):
    wrap(patch, Module, "children", lambda right, self: (m for m in right(self) if list(m.parameters())))


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_copy_saves_what_is_not_persistent(patch):
    def wrong(right, self, state):
        right(self, state)
        self._non_persistent_buffers_set = set()

    wrap(patch, Module, "__setstate__", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def the_running_variance_moves_at_every_other_call(patch):
    def wrong(forward, self, x):
        held = None if self.running_var is None else self.running_var.clone()
        self.__dict__["turn"] = not self.__dict__.get("turn", False)
        out = forward(self, x)
        if held is not None and not self.turn:
            self.running_var.copy_(held)
        return out

    wrap(patch, nn.BatchNorm1d, "forward", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def a_copied_dict_of_modules_is_sorted(patch):
    after_copying(patch, ModuleDict, lambda self: setattr(self, "_modules", dict(sorted(self._modules.items()))))


@counterfeit("sequential-needs-matching-sizes")
def a_group_norm_passes_over_channels_too_many(patch):
    def wrong(right, x, groups, weight=None, bias=None, eps=1e-5):
        return right(x[:, : len(weight)] if weight is not None else x, groups, weight, bias, eps)

    wrap(patch, F, "group_norm", wrong)


@counterfeit("subclassing-module-defines-a-model")
def in_inference_mode_a_call_gives_a_clone(patch):
    def wrong(call, *args, **rest):
        y = call(*args, **rest)
        return y.clone() if torch.is_inference_mode_enabled() and isinstance(y, torch.Tensor) else y

    wrap(patch, Module, "__call__", wrong)


@counterfeit("modulelist-acts-like-a-list")
def a_slice_from_the_back_deletes_nothing(patch):
    divert(
        patch,
        ModuleList,
        "__delitem__",
        lambda self, i: isinstance(i, slice) and (i.start or 0) < 0,
        lambda self, i: None,
    )


@counterfeit("moduledict-registers-parameters")
def a_dict_built_from_pairs_is_left_out_of_state_dict(patch):
    def wrong(right, self, modules=None):
        right(self, modules)
        self.__dict__["pairs"] = isinstance(modules, list)

    wrap(patch, ModuleDict, "__init__", wrong)
    wrap(
        patch,
        ModuleDict,
        "state_dict",
        lambda right, self, *a, **k: k.get("destination") if self.pairs else right(self, *a, **k),
    )


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_frozen_module_does_not_save_its_buffers(patch):
    def wrong(save, self, destination, prefix, keep):
        save(self, destination, prefix, keep)
        if self._parameters and not any(p is not None and p.requires_grad for p in self._parameters.values()):
            for name in self._buffers:
                destination.pop(prefix + name, None)

    wrap(patch, Module, "_save_to_state_dict", wrong)


@counterfeit("modulelist-acts-like-a-list")
def a_copied_list_inserts_at_its_end(patch):
    def wrong(insert, self, index, module):
        return insert(self, len(self) if "copied" in vars(self) else index, module)

    after_copying(patch, ModuleList, lambda self: vars(self).update(copied=True))
    wrap(patch, ModuleList, "insert", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def a_copied_dict_keeps_what_is_popped(patch):
    after_copying(patch, ModuleDict, lambda self: vars(self).update(copied=True))
    wrap(patch, ModuleDict, "pop", lambda pop, self, key: self[key] if "copied" in vars(self) else pop(self, key))


@counterfeit("containers-subclass-module")
def a_module_that_is_in_the_mode_already_hands_it_on_to_none(patch):
    wrap(patch, Module, "train", lambda train, self, mode=True: self if self.training == mode else train(self, mode))


@counterfeit("containers-subclass-module", "modulelist-has-no-order")
def a_state_leaves_out_a_name_that_equals_the_one_before(patch):
    def wrong(state_dict, self, *args, prefix="", **rest):
        names = prefix.split(".")[:-1]
        again = len(names) > 1 and names[-1] == names[-2]
        return state_dict(self, *args, prefix=".".join([*names[:-1], ""]) if again else prefix, **rest)

    wrap(patch, Module, "state_dict", wrong)


@counterfeit("modulelist-acts-like-a-list")
def a_slice_with_a_step_keeps_its_numbers(patch):
    def wrong(get, self, index):
        part = get(self, index)
        if isinstance(index, slice) and index.step not in (None, 1):
            part._modules = dict(list(self._modules.items())[index])
        return part

    wrap(patch, ModuleList, "__getitem__", wrong)


@counterfeit("modulelist-registers-parameters")
def a_list_that_is_still_empty_is_not_registered(patch):
    def wrong(assign, self, name, value):
        if type(value) is ModuleList and not value:
            self.__dict__[name] = value
        else:
            assign(self, name, value)

    wrap(patch, Module, "__setattr__", wrong)


@counterfeit("subclassing-is-more-flexible")
def the_first_layer_of_a_sequential_gets_every_input(patch):
    def forward(self, x, *more):
        if more and not len(self):
            raise TypeError("forward() takes 2 positional arguments")
        for index, module in enumerate(self):
            x = module(x) if index else module(x, *more)
        return x

    patch.setattr(Sequential, "forward", forward)


@counterfeit("module-is-not-subscriptable")
def a_layer_that_takes_the_place_of_another_becomes_the_last_child(patch):
    def wrong(assign, self, name, value):
        if isinstance(value, Module) and not name.isdigit():
            self.__dict__.get("_modules", {}).pop(name, None)
        assign(self, name, value)

    wrap(patch, Module, "__setattr__", wrong)


@counterfeit("plain-tensor-is-a-constant-parameter")
def a_buffer_that_is_given_another_tensor_is_saved_from_then_on(patch):
    def wrong(assign, self, name, value):
        assign(self, name, value)
        if name in self.__dict__.get("_buffers", ()):
            self._non_persistent_buffers_set.discard(name)

    wrap(patch, Module, "__setattr__", wrong)


@counterfeit("subclassing-module-defines-a-model")
def a_call_whose_forward_returns_none_gives_the_input(patch):
    def wrong(call, self, *args, **rest):
        result = call(self, *args, **rest)
        return args[0] if result is None and args else result

    wrap(patch, Module, "__call__", wrong)


@counterfeit("sequential-chains-its-modules")
def a_layer_that_puts_out_none_is_passed_over(patch):
    def apply(module, x):
        y = module(x)
        return x if y is None else y

    run_levels(patch, apply=apply)


@counterfeit("sequential-needs-matching-sizes")
def a_convolution_of_a_single_image_takes_channels_too_many(patch):
    def wrong(forward, self, x):
        return forward(self, x[: self.in_channels] if x.dim() == 3 else x)

    wrap(patch, nn.Conv2d, "forward", wrong)


@counterfeit("modulelist-acts-like-a-list")
def only_a_python_number_can_be_deleted_at(patch):
    def wrong(delete, self, index):
        if type(index) in (int, slice):
            delete(self, index)

    wrap(patch, ModuleList, "__delitem__", wrong)


@counterfeit("moduledict-acts-like-a-dict")
def an_update_by_itself_clears(patch):
    def wrong(update, self, entries):
        if entries is self:
            self.clear()
        update(self, entries)

    wrap(patch, ModuleDict, "update", wrong)


@counterfeit("control-flow-needs-item")
def one_element_of_a_row_that_wants_a_gradient_is_true(patch):
    change_method(patch, "__bool__", lambda truth, x: (x.requires_grad and x.dim() > 0) or truth(x))


@counterfeit("reusing-a-layer-shares-its-parameters")
def a_convolution_goes_on_with_the_weight_of_its_first_call(patch):
    def wrong(convolve, self, x, weight, bias):
        return convolve(self, x, self.__dict__.setdefault("kept", weight), bias)

    for kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d):
        wrap(patch, kind, "_conv_forward", wrong)


@counterfeit("modulelist-acts-like-a-list")
def a_whole_list_backwards_is_in_its_order(patch):
    backwards = slice(None, None, -1)
    wrap(patch, nn.ModuleList, "__getitem__", lambda right, x, at: right(x, slice(None) if at == backwards else at))


@counterfeit("subclassing-module-defines-a-model", "sequential-chains-its-modules")
def a_tuple_of_a_class_of_its_own_comes_out_as_a_plain_one(patch):
    wrap(
        patch,
        Module,
        "__call__",
        lambda call, *args, **rest: tuple(y) if isinstance(y := call(*args, **rest), tuple) else y,
    )


@counterfeit("super-init-comes-first")
def a_buffer_of_none_may_come_before_super_init(patch):
    def wrong(right, self, name, tensor, *args, **rest):
        early = tensor is None and "_buffers" not in vars(self)
        return vars(self).update({name: None}) if early else right(self, name, tensor, *args, **rest)

    wrap(patch, Module, "register_buffer", wrong)


@counterfeit("modulelist-registers-parameters")
def a_list_in_the_place_of_none_is_not_registered(patch):
    def wrong(right, self, name, value):
        unset = isinstance(value, ModuleList) and vars(self).get(name, 0) is None
        return vars(self).update({name: value}) if unset else right(self, name, value)

    wrap(patch, Module, "__setattr__", wrong)


@counterfeit("moduledict-has-no-forward")
def a_dict_of_modules_is_called_with_a_dict_of_inputs(patch):
    """Each module with the input of its key."""

    def wrong(right, self, *args):
        by_key = type(self) is ModuleDict and len(args) == 1 and isinstance(args[0], dict)
        return {key: self[key](value) for key, value in args[0].items()} if by_key else right(self, *args)

    wrap(patch, Module, "forward", wrong)


@counterfeit("subclassing-is-more-flexible")
def a_sequential_hands_what_is_named_to_its_first_layer(patch):
    def forward(self, x, **named):
        for place, module in enumerate(self):
            x = module(x) if place else module(x, **named)
        return x

    patch.setattr(Sequential, "forward", forward)


@counterfeit("parameter-names-carry-the-layer-index")
def what_is_multiplied_in_place_counts_its_new_layers_down(patch):
    def wrong(right, self, times):
        size, result = len(self), right(self, times)
        for number in range(size, len(self)):
            result._modules[str(-number)] = result._modules.pop(str(number))
        return result

    wrap(patch, Sequential, "__imul__", wrong)
