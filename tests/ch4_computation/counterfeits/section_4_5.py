"""Counterfeits of 4.5: layers of our own that are overlooked, and containers that are not quite lists and dicts."""

import copy
from collections import OrderedDict

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import after_copying, change_gradient, change_method, change_result, run_levels, with_value, wrap
from torch import nn


def assign_with(patch, change):
    """Makes a module assign `change(module, name, value)` instead of the value."""
    assign = nn.Module.__setattr__
    patch.setattr(nn.Module, "__setattr__", lambda self, name, value: assign(self, name, change(self, name, value)))


def is_plain(value):
    """Whether `value` is a tensor that is no parameter."""
    return isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter)


# ── model-can-serve-as-layer ──


@counterfeit("model-can-serve-as-layer")
def an_inner_sequential_skips_its_last_layer(patch):
    run_levels(patch, apply=lambda level, x: (level[:-1] if isinstance(level, nn.Sequential) else level)(x))


@counterfeit("model-can-serve-as-layer")
def an_inner_sequential_is_flattened(patch):
    """Its layers stand in the outer one directly, so the names lose a level."""

    def wrong(init, self, *modules):
        init(self, *[layer for m in modules for layer in (m if isinstance(m, nn.Sequential) else [m])])

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("model-can-serve-as-layer")
def only_direct_children_are_asked_for_parameters(patch):
    def wrong(named, self, *args, **kwargs):
        return (pair for pair in named(self, *args, **kwargs) if pair[0].count(".") < 2)

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("model-can-serve-as-layer")
def no_gradient_gets_back_into_an_inner_network(patch):
    def apply(level, x):
        return x + 0 * level(x) + (level(x) - x).detach() if isinstance(level, nn.Sequential) else level(x)

    run_levels(patch, apply=apply)


@counterfeit("model-can-serve-as-layer")
def eval_stops_at_the_first_level(patch):
    def wrong(self):
        for module in (self, *self.children()):
            module.training = False
        return self

    patch.setattr(nn.Module, "eval", wrong)


@counterfeit("model-can-serve-as-layer")
def a_conversion_stops_at_the_first_level(patch):
    def wrong(self):
        for module in (self, *self.children()):
            for p in module.parameters(recurse=False):
                p.data = p.data.half()
        return self

    patch.setattr(nn.Module, "half", wrong)


@counterfeit("model-can-serve-as-layer")
def state_dict_stops_at_the_second_level(patch):
    def wrong(state_dict, self, *args, prefix="", **kwargs):
        state = state_dict(self, *args, prefix=prefix, **kwargs)
        for name in [name for name in state if name.count(".") > 1]:
            del state[name]
        return state

    wrap(patch, nn.Module, "state_dict", wrong)


# ── layer-without-parameters ──


@counterfeit("layer-without-parameters")
def mean_divides_by_one_less(patch):
    patch.setattr(torch.Tensor, "mean", lambda self: self.sum() / max(self.numel() - 1, 1))


@counterfeit("layer-without-parameters")
def mean_looks_at_the_first_five_elements_only(patch):
    change_method(patch, "mean", lambda mean, self: mean(self.flatten()[: 5 if self.numel() > 5 else None]))


@counterfeit("layer-without-parameters")
def mean_is_taken_row_by_row(patch):
    patch.setattr(torch.Tensor, "mean", lambda self: self.sum(-1, keepdim=True) / self.shape[-1])


@counterfeit("layer-without-parameters")
def mean_is_rounded_to_a_whole_number(patch):
    change_method(patch, "mean", lambda mean, self: mean(self).round())


@counterfeit("layer-without-parameters")
def mean_is_single_precision(patch):
    change_method(patch, "mean", lambda mean, self: mean(self.float()))


@counterfeit("layer-without-parameters")
def a_difference_is_written_over_its_first_operand(patch):
    patch.setattr(torch.Tensor, "__sub__", lambda self, other: self.sub_(other))


@counterfeit("layer-without-parameters")
def every_module_has_a_parameter_of_its_own(patch):
    def wrong(init, self, *args, **kwargs):
        init(self, *args, **kwargs)
        if not isinstance(self, nn.Sequential):
            self.register_parameter("gain", nn.Parameter(torch.ones(())))

    wrap(patch, nn.Module, "__init__", wrong)


@counterfeit("layer-without-parameters")
def a_layer_without_parameters_stores_its_mode(patch):
    def wrong(state_dict, self, *args, **kwargs):
        state = state_dict(self, *args, **kwargs)
        return state or {**state, "training": torch.tensor(self.training)}

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("layer-without-parameters")
def sequential_runs_only_layers_that_have_parameters(patch):
    run_levels(patch, lambda net: [layer for layer in net if list(layer.parameters())])


# ── parameter-list-is-a-module-member ──


@counterfeit("parameter-list-is-a-module-member")
def all_modules_keep_their_parameters_in_one_dictionary(patch):
    init, shared = nn.Module.__init__, {}

    def wrong(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.__dict__["_parameters"] = shared

    patch.setattr(nn.Module, "__init__", wrong)


@counterfeit("parameter-list-is-a-module-member", "layer-with-parameters-uses-parameter")
def plain_tensors_that_require_a_gradient_become_parameters(patch):
    def change(module, name, value):
        return nn.Parameter(value.detach()) if is_plain(value) and value.requires_grad else value

    assign_with(patch, change)


@counterfeit("parameter-list-is-a-module-member")
def assigned_parameters_go_to_the_front(patch):
    def wrong(assign, self, name, value):
        earlier = dict(self.__dict__.get("_parameters", {}))
        assign(self, name, value)
        if isinstance(value, nn.Parameter):
            for key in earlier:
                self._parameters[key] = self._parameters.pop(key)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("parameter-list-is-a-module-member")
def a_deleted_parameter_leaves_an_empty_entry(patch):
    def wrong(delete, self, name):
        if name in self._parameters:
            self._parameters[name] = None
        else:
            delete(self, name)

    wrap(patch, nn.Module, "__delattr__", wrong)


@counterfeit("parameter-list-is-a-module-member")
def parameters_are_taken_before_the_module_is_initialised(patch):
    def wrong(assign, self, name, value):
        ready = "_parameters" in self.__dict__
        (assign if ready or not isinstance(value, nn.Parameter) else object.__setattr__)(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("parameter-list-is-a-module-member")
def a_container_lists_its_childrens_parameters_as_its_own(patch):
    def wrong(init, self, *modules):
        init(self, *modules)
        for module in modules:
            self._parameters.update(module._parameters)

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("parameter-list-is-a-module-member")
def a_parameter_assigned_again_is_listed_under_its_old_value(patch):
    def wrong(assign, self, name, value):
        if name in self.__dict__.get("_parameters", {}):
            self.__dict__[name] = value
        else:
            assign(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


# ── layer-with-parameters-uses-parameter ──


@counterfeit("layer-with-parameters-uses-parameter")
def parameters_passes_over_vectors(patch):
    named = nn.Module.named_parameters
    patch.setattr(
        nn.Module, "named_parameters", lambda self, *a, **k: ((n, p) for n, p in named(self, *a, **k) if p.dim() > 1)
    )


@counterfeit("layer-with-parameters-uses-parameter")
def plain_tensors_are_converted_with_the_layer(patch):
    def wrong(convert, self, fn, *args, **kwargs):
        self.__dict__.update({name: fn(value) for name, value in vars(self).items() if is_plain(value)})
        return convert(self, fn, *args, **kwargs)

    wrap(patch, nn.Module, "_apply", wrong)


@counterfeit("layer-with-parameters-uses-parameter")
def plain_tensors_are_stored_with_the_layer(patch):
    def wrong(state_dict, self, *args, **kwargs):
        state = state_dict(self, *args, **kwargs)
        state.update({name: value for name, value in vars(self).items() if is_plain(value)})
        return state

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("layer-with-parameters-uses-parameter")
def the_optimizer_moves_ten_per_cent_further(patch):
    init = torch.optim.SGD.__init__
    patch.setattr(
        torch.optim.SGD, "__init__", lambda self, params, lr, **kwargs: init(self, params, lr * 1.1, **kwargs)
    )


@counterfeit("layer-with-parameters-uses-parameter")
def the_optimizer_finds_the_plain_tensors_of_the_graph(patch):
    """It trains every leaf that a layer keeps."""

    def wrong(parameters, self, recurse=True):
        yield from parameters(self, recurse)
        yield from (value for value in vars(self).values() if is_plain(value))

    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("layer-with-parameters-uses-parameter")
def a_parameter_does_not_ask_for_a_gradient(patch):
    assign_with(patch, lambda module, name, v: v.requires_grad_(False) if isinstance(v, nn.Parameter) else v)


# ── parameterlist-is-indexable-and-grows ──


@counterfeit("parameterlist-is-indexable-and-grows")
def append_puts_the_member_in_front(patch):
    def wrong(append, self, value):
        append(self, value)
        members = list(self._parameters.values())
        self._parameters.update(zip(list(self._parameters), members[-1:] + members[:-1]))
        return self

    wrap(patch, nn.ParameterList, "append", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def extend_leaves_out_the_last_member(patch):
    def wrong(extend, self, values):
        values = list(values)
        return extend(self, values[:-1] if len(self) else values)

    wrap(patch, nn.ParameterList, "extend", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def extend_adds_in_reverse(patch):
    def wrong(extend, self, values):
        return extend(self, list(values)[:: -1 if len(self) else 1])

    wrap(patch, nn.ParameterList, "extend", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def append_leaves_a_plain_tensor_plain(patch):
    def wrong(self, value):
        super(nn.ParameterList, self).__setattr__(str(len(self)), value)
        self._size += 1
        return self

    patch.setattr(nn.ParameterList, "append", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def an_index_past_the_end_starts_again(patch):
    get = nn.ParameterList.__getitem__

    def wrong(self, i):
        return get(self, i if isinstance(i, slice) else i % len(self))

    patch.setattr(nn.ParameterList, "__getitem__", wrong)
    patch.setattr(nn.ParameterList, "__iter__", lambda self: (get(self, i) for i in range(len(self))))


@counterfeit("parameterlist-is-indexable-and-grows")
def negative_indices_are_off_by_one(patch):
    get = nn.ParameterList.__getitem__
    patch.setattr(nn.ParameterList, "__getitem__", lambda self, i: get(self, max(i - 1, -len(self)) if i == -1 else i))


@counterfeit("parameterlist-is-indexable-and-grows")
def an_index_below_minus_the_length_is_taken(patch):
    wrap(
        patch,
        nn.ParameterList,
        "__getitem__",
        lambda get, self, i: get(self, i if isinstance(i, slice) or i >= 0 else i % len(self)),
    )


@counterfeit("parameterlist-is-indexable-and-grows")
def a_slice_holds_copies(patch):
    def wrong(get, self, i):
        return type(self)(p.detach().clone() for p in get(self, i)) if isinstance(i, slice) else get(self, i)

    wrap(patch, nn.ParameterList, "__getitem__", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def an_assigned_member_keeps_its_old_value(patch):
    def wrong(assign, self, i, value):
        if str(i) not in self._parameters:
            assign(self, i, value)

    wrap(patch, nn.ParameterList, "__setitem__", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def assigning_to_a_negative_index_changes_the_first_member(patch):
    wrap(patch, nn.ParameterList, "__setitem__", lambda assign, self, i, value: assign(self, max(i, 0), value))


@counterfeit("parameterlist-is-indexable-and-grows")
def members_are_iterated_in_the_order_of_their_names(patch):
    """ "10" comes before "2"."""
    wrong = lambda self: iter([self[int(name)] for name in sorted(map(str, range(len(self))))])  # noqa: E731
    patch.setattr(nn.ParameterList, "__iter__", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def iteration_runs_backwards(patch):
    patch.setattr(nn.ParameterList, "__iter__", lambda self: (self[i] for i in reversed(range(len(self)))))


@counterfeit("parameterlist-is-indexable-and-grows")
def appended_members_are_not_registered(patch):
    def wrong(self, value):
        self.__dict__[str(len(self))] = value
        self._size += 1
        return self

    patch.setattr(nn.ParameterList, "append", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def python_lists_are_searched_for_parameters(patch):
    def change(module, name, value):
        return nn.ParameterList(value) if type(value) is list and isinstance(value[0], nn.Parameter) else value

    assign_with(patch, change)


# ── parameterlist-prints-tensor-types, parameterdict-prints-tensor-types ──


def print_members(patch, container, describe):
    """Makes `container` print each member as `describe` says."""

    def lines(self):
        members = self.items() if isinstance(self, nn.ParameterDict) else enumerate(self)
        return "\n".join(f"  ({key}): Parameter containing: [{describe(p)}]" for key, p in members)

    patch.setattr(container, "extra_repr", lines)


def size(p):
    return "x".join(map(str, p.shape))


@counterfeit("parameterlist-prints-tensor-types")
def a_list_prints_the_tensor_type(patch):
    """As the notes have it."""
    print_members(patch, nn.ParameterList, lambda p: f"{p.data.type()} of size {size(p)}")


@counterfeit("parameterlist-prints-tensor-types")
def a_list_prints_float32_for_every_dtype(patch):
    print_members(patch, nn.ParameterList, lambda p: f"torch.float32 of size {size(p)}")


@counterfeit("parameterlist-prints-tensor-types")
def a_list_prints_the_size_as_a_tuple(patch):
    print_members(patch, nn.ParameterList, lambda p: f"{p.dtype} of size {tuple(p.shape)}")


@counterfeit("parameterlist-prints-tensor-types", "parameterdict-prints-tensor-types")
def a_dict_prints_the_dtype(patch):
    print_members(patch, nn.ParameterDict, lambda p: f"{p.dtype} of size {size(p)}")


@counterfeit("parameterdict-prints-tensor-types")
def a_dict_prints_float_tensor_for_every_dtype(patch):
    print_members(patch, nn.ParameterDict, lambda p: f"torch.FloatTensor of size {size(p)}")


@counterfeit("parameterdict-prints-tensor-types")
def a_dict_prints_only_two_sizes(patch):
    print_members(patch, nn.ParameterDict, lambda p: f"{p.data.type()} of size {'x'.join(map(str, p.shape[:2]))}")


@counterfeit("parameterdict-prints-tensor-types")
def a_dict_prints_its_first_member_only(patch):
    wrap(patch, nn.ParameterDict, "extra_repr", lambda extra_repr, self: extra_repr(self).partition("\n")[0])


# ── parameterdict-acts-like-a-dict ──


@counterfeit("parameterdict-acts-like-a-dict")
def update_adds_nothing(patch):
    patch.setattr(nn.ParameterDict, "update", lambda self, *args: None)


@counterfeit("parameterdict-acts-like-a-dict")
def keys_come_sorted(patch):
    wrap(patch, nn.ParameterDict, "keys", lambda keys, self: sorted(keys(self)))


@counterfeit("parameterdict-acts-like-a-dict")
def items_come_sorted(patch):
    wrap(patch, nn.ParameterDict, "items", lambda items, self: sorted(items(self), key=lambda pair: pair[0]))


@counterfeit("parameterdict-acts-like-a-dict")
def values_are_copies(patch):
    values = nn.ParameterDict.values
    patch.setattr(nn.ParameterDict, "values", lambda self: [nn.Parameter(p.detach().clone()) for p in values(self)])


@counterfeit("parameterdict-acts-like-a-dict")
def update_keeps_members_that_are_there(patch):
    update = nn.ParameterDict.update
    patch.setattr(
        nn.ParameterDict, "update", lambda self, new: update(self, [(k, v) for k, v in new.items() if k not in self])
    )


@counterfeit("parameterdict-acts-like-a-dict")
def update_moves_a_replaced_member_to_the_end(patch):
    def wrong(update, self, new):
        pairs = list(new.items() if hasattr(new, "items") else new)
        for key, _ in pairs:
            if key in self:
                del self[key]
        update(self, pairs)

    wrap(patch, nn.ParameterDict, "update", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def get_returns_the_first_member_by_default(patch):
    patch.setattr(
        nn.ParameterDict, "get", lambda self, key, default=None: self[key if key in self else next(iter(self))]
    )


@counterfeit("parameterdict-acts-like-a-dict")
def every_attribute_counts_as_a_key(patch):
    patch.setattr(nn.ParameterDict, "__contains__", lambda self, key: hasattr(self, key))


@counterfeit("parameterdict-acts-like-a-dict")
def a_popped_member_stays_registered(patch):
    patch.setattr(nn.ParameterDict, "pop", lambda self, key: self._keys.pop(key) or self._parameters[key])


@counterfeit("parameterdict-acts-like-a-dict")
def pop_ignores_its_key_and_takes_the_last(patch):
    wrap(patch, nn.ParameterDict, "pop", lambda pop, self, key: pop(self, list(self)[-1]))


@counterfeit("parameterdict-acts-like-a-dict", "parameterdict-selects-by-key")
def keys_are_read_in_lower_case(patch):
    get, put = nn.ParameterDict.__getitem__, nn.ParameterDict.__setitem__
    patch.setattr(nn.ParameterDict, "__getitem__", lambda self, key: get(self, key.lower()))
    patch.setattr(
        nn.ParameterDict,
        "__setitem__",
        lambda self, key, value: put(self, key.lower() if isinstance(key, str) else key, value),
    )


@counterfeit("parameterdict-acts-like-a-dict")
def other_keys_are_turned_into_strings(patch):
    wrap(patch, nn.ParameterDict, "__setitem__", lambda put, self, key, value: put(self, str(key), value))


@counterfeit("parameterdict-acts-like-a-dict")
def whole_numbers_will_do_as_keys(patch):
    wrap(
        patch,
        nn.ParameterDict,
        "__setitem__",
        lambda put, self, key, value: put(self, str(key) if isinstance(key, int) else key, value),
    )


@counterfeit("parameterdict-acts-like-a-dict")
def a_missing_key_that_names_a_method_raises_as_others_do(patch):
    def wrong(get, self, key):
        return get(self, key) if key in self else get(self, f"no {key}")

    wrap(patch, nn.ParameterDict, "__getitem__", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def a_missing_key_reads_as_none(patch):
    wrap(patch, nn.ParameterDict, "__getitem__", lambda get, self, key: get(self, key) if key in self else None)


@counterfeit("parameterdict-acts-like-a-dict")
def a_key_may_hide_a_method_of_conversion(patch):
    """`half`, `float`, `double` and their like."""

    def wrong(put, self, key, value):
        if key in ("half", "float", "double"):
            self._parameters[key] = value
        else:
            put(self, key, value)

    wrap(patch, nn.ParameterDict, "__setitem__", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def update_leaves_plain_tensors_plain(patch):
    def wrong(update, self, new):
        update(self, new)
        for key, value in dict(new).items():
            if is_plain(value) and self._parameters.pop(key, None) is not None:
                object.__setattr__(self, key, value)

    wrap(patch, nn.ParameterDict, "update", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def a_plain_tensor_is_copied_on_its_way_in(patch):
    wrap(
        patch,
        nn.ParameterDict,
        "__setitem__",
        lambda put, self, key, value: put(self, key, value.clone() if is_plain(value) else value),
    )


@counterfeit("parameterdict-acts-like-a-dict")
def pairs_are_sorted_like_the_keys_of_a_dict(patch):
    wrap(patch, nn.ParameterDict, "update", lambda update, self, new: update(self, sorted(dict(new).items())))


# ── parameterdict-selects-by-key ──


@counterfeit("parameterdict-selects-by-key")
def every_key_selects_the_first_member(patch):
    wrap(patch, nn.ParameterDict, "__getitem__", lambda get, self, key: get(self, next(iter(self))))


@counterfeit("parameterdict-selects-by-key")
def the_first_key_looked_up_is_the_answer_for_good(patch):
    get = nn.ParameterDict.__getitem__
    patch.setattr(
        nn.ParameterDict, "__getitem__", lambda self, key: get(self, self.__dict__.setdefault("_chosen", key))
    )


@counterfeit("parameterdict-selects-by-key")
def a_key_finds_a_member_that_begins_so(patch):
    wrap(
        patch,
        nn.ParameterDict,
        "__getitem__",
        lambda get, self, key: get(self, next(name for name in sorted(self, reverse=True) if name.startswith(key))),
    )


@counterfeit("parameterdict-selects-by-key")
def members_that_were_not_chosen_get_a_gradient_of_zeros(patch):
    backward = torch.Tensor.backward
    get = nn.ParameterDict.__getitem__
    seen = []

    def wrong(self, *args, **kwargs):
        backward(self, *args, **kwargs)
        for p in [p for params in seen for p in params._parameters.values() if p.grad is None]:
            p.grad = torch.zeros_like(p)

    patch.setattr(nn.ParameterDict, "__getitem__", lambda self, key: seen.append(self) or get(self, key))
    patch.setattr(torch.Tensor, "backward", wrong)


# ── matmul-node-is-named-mm-backward ──


@counterfeit("matmul-node-is-named-mm-backward")
def nodes_are_printed_without_a_number(patch):
    """As before torch 1.10."""
    change_method(patch, "__repr__", lambda show, self, **kwargs: show(self, **kwargs).replace("Backward0", "Backward"))


@counterfeit("matmul-node-is-named-mm-backward")
def nodes_are_numbered_from_one(patch):
    change_method(
        patch, "__repr__", lambda show, self, **kwargs: show(self, **kwargs).replace("Backward0", "Backward1")
    )


@counterfeit("matmul-node-is-named-mm-backward")
def mm_is_computed_as_a_batch_of_one(patch):
    patch.setattr(torch, "mm", lambda a, b: torch.bmm(a[None], b[None])[0])


# ── kinds that nobody had tried ──


@counterfeit("parameter-list-is-a-module-member")
def an_entry_written_into_the_register_is_not_listed(patch):
    named = torch.nn.Module.named_parameters
    patch.setattr(
        torch.nn.Module,
        "named_parameters",
        lambda self, *args, **kwargs: ((n, p) for n, p in named(self, *args, **kwargs) if not n.endswith("extra")),
    )


@counterfeit("parameterlist-is-indexable-and-grows")
def extend_with_another_parameter_list_copies(patch):
    def wrong(extend, self, values):
        another = isinstance(values, nn.ParameterList)
        return extend(self, [nn.Parameter(p.detach().clone()) for p in values] if another else values)

    wrap(patch, nn.ParameterList, "extend", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def other_objects_become_tensors(patch):
    """The truth line: a number would be a parameter."""
    assign = nn.ParameterList.__setitem__

    def wrong(self, index, value):
        assign(self, index, torch.tensor(float(value)) if type(value) is int else value)

    patch.setattr(nn.ParameterList, "__setitem__", wrong)
    patch.setattr(nn.ParameterList, "append", lambda self, value: extended(self, value))


def extended(params, value):
    params._size += 1
    params[len(params) - 1] = value
    return params


@counterfeit("parameterdict-acts-like-a-dict")
def an_ordered_dict_is_sorted_like_a_plain_one(patch):
    def wrong(update, self, values):
        return update(self, dict(values) if isinstance(values, OrderedDict) else values)

    wrap(patch, nn.ParameterDict, "update", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def another_parameter_dict_is_sorted_like_a_plain_one(patch):
    def wrong(update, self, values):
        return update(self, dict(values.items()) if isinstance(values, nn.ParameterDict) else values)

    wrap(patch, nn.ParameterDict, "update", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def update_from_a_plain_dict_keeps_its_order(patch):
    def wrong(update, self, values):
        return update(self, list(values.items()) if type(values) is dict and len(self) == 0 else values)

    wrap(patch, nn.ParameterDict, "update", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def the_name_of_the_mode_is_no_key(patch):
    """The truth line: it is taken."""
    wrap(
        patch,
        nn.ParameterDict,
        "__setitem__",
        lambda assign, self, key, value: None if key == "training" else assign(self, key, value),
    )


@counterfeit("parameterlist-is-indexable-and-grows", "parameterdict-acts-like-a-dict")
def tensors_of_whole_numbers_are_kept_as_they_are(patch):
    for owner in (nn.ParameterList, nn.ParameterDict):
        assign = owner.__setitem__

        def wrong(self, key, value, assign=assign):
            real = not isinstance(value, torch.Tensor) or value.is_floating_point() or value.is_complex()
            assign(self, key, value if real else nn.Parameter(value, requires_grad=False))

        patch.setattr(owner, "__setitem__", wrong)
    patch.setattr(nn.ParameterList, "append", lambda self, value: extended(self, value))
    patch.setattr(nn.ParameterList, "extend", lambda self, values: [extended(self, value) for value in values] and self)


@counterfeit("parameterdict-acts-like-a-dict")
def a_number_under_a_key_that_is_no_name_is_dropped(patch):
    def wrong(assign, self, key, value):
        if type(value) is not int or key.isalnum():
            assign(self, key, value)

    wrap(patch, nn.ParameterDict, "__setitem__", wrong)


@counterfeit("layer-without-parameters")
def a_mean_of_doubles_is_halved(patch):
    change_result(patch, torch.Tensor, "mean", lambda result, x, *_: result / 2 if x.dtype == torch.float64 else result)


@counterfeit("model-can-serve-as-layer")
def freezing_stops_at_the_third_level(patch):
    def wrong(self, requires_grad=True):
        for name, parameter in self.named_parameters():
            if name.count(".") < 4:
                parameter.requires_grad_(requires_grad)
        return self

    patch.setattr(nn.Module, "requires_grad_", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def an_assignment_by_index_beyond_ten_goes_to_the_last_digit(patch):
    def wrong(assign, self, index, value):
        known = isinstance(index, int) and hasattr(self, str(index))
        assign(self, index % 10 if known and index >= 10 else index, value)

    wrap(patch, nn.ParameterList, "__setitem__", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def clear_leaves_the_parameters_registered(patch):
    patch.setattr(nn.ParameterDict, "clear", lambda self: setattr(self, "_keys", {}))


@counterfeit("parameterdict-acts-like-a-dict")
def the_union_is_the_left_one(patch):
    patch.setattr(nn.ParameterDict, "__or__", lambda self, other: (self.update(other), self)[1])


@counterfeit("parameterlist-is-indexable-and-grows")
def a_list_added_to_itself_stays_as_it_was(patch):
    wrap(patch, nn.ParameterList, "__iadd__", lambda add, self, values: self if values is self else add(self, values))


@counterfeit("parameterlist-prints-tensor-types", "parameterdict-prints-tensor-types")
def members_beyond_ten_are_not_printed(patch):
    for container in (nn.ParameterList, nn.ParameterDict):
        wrap(patch, container, "extra_repr", lambda right, self: "\n".join(right(self).split("\n")[:10]))


@counterfeit("layer-without-parameters")
def a_module_without_parameters_has_an_empty_one(patch):
    def wrong(right, self, *args, **rest):
        found = list(right(self, *args, **rest))
        return iter(found or ([("empty", nn.Parameter(torch.empty(0)))] if self._buffers else []))

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("layer-with-parameters-uses-parameter")
def a_buffer_that_wants_a_gradient_is_seen(patch):
    def wrong(right, self, *args, **rest):
        yield from right(self, *args, **rest)
        for name, value in self.named_buffers():
            if value.requires_grad:
                yield name, value

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def a_frozen_parameter_is_thawed_as_it_joins(patch):
    def wrong(right, self, index, value):
        return right(self, index, value.requires_grad_() if isinstance(value, nn.Parameter) else value)

    wrap(patch, nn.ParameterList, "__setitem__", wrong)


@counterfeit("parameterlist-prints-tensor-types")
def a_frozen_member_prints_as_a_tensor(patch):
    def wrong(right, self):
        lines = right(self).split("\n")
        frozen = [isinstance(p, nn.Parameter) and not p.requires_grad for p in self]
        return "\n".join(
            line.replace("Parameter containing", "Tensor containing") if cold else line
            for line, cold in zip(lines, frozen)
        )

    wrap(patch, nn.ParameterList, "extra_repr", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def an_entry_of_none_takes_the_default(patch):
    def wrong(right, self, key, default=None):
        if key in self and self[key] is None:
            self[key] = default
        return right(self, key, default)

    wrap(patch, nn.ParameterDict, "setdefault", wrong)


@counterfeit("parameterdict-acts-like-a-dict")
def a_plain_dict_keeps_its_order_in_update(patch):
    def wrong(right, self, other):
        return right(self, OrderedDict(other) if type(other) is dict and len(self) else other)

    wrap(patch, nn.ParameterDict, "update", wrong)


@counterfeit("parameterdict-selects-by-key")
def a_key_read_once_gives_its_first_parameter(patch):
    def wrong(right, self, key):
        return self.__dict__.setdefault("_read", {}).setdefault(key, right(self, key))

    wrap(patch, nn.ParameterDict, "__getitem__", wrong)


@counterfeit("matmul-node-is-named-mm-backward")
def a_product_of_a_transposed_matrix_is_an_addmm(patch):
    def wrong(right, x, y):
        plain = x.is_contiguous() and y.is_contiguous()
        return right(x, y) if plain else torch.addmm(x.new_zeros(x.shape[0], y.shape[1]), x, y)

    wrap(patch, torch, "mm", wrong)


@counterfeit("model-can-serve-as-layer")
def no_gradient_passes_through_a_sequential_within_another(patch):
    run_levels(
        patch,
        apply=lambda level, x: level(change_gradient(x, torch.zeros_like) if isinstance(level, nn.Sequential) else x),
    )


@counterfeit("layer-with-parameters-uses-parameter")
def a_buffer_that_wants_a_gradient_is_among_the_parameters(patch):
    def wrong(right, self, recurse=True):
        yield from right(self, recurse)
        yield from (b for b in self.buffers(recurse) if b.requires_grad)

    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def a_tensor_set_at_a_negative_index_stays_plain(patch):
    def wrong(right, self, i, value):
        right(self, i, value)
        if i < 0 and isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
            name = str(i + len(self))
            del self._parameters[name]
            object.__setattr__(self, name, value)

    wrap(patch, nn.ParameterList, "__setitem__", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def a_copied_list_forgets_its_length(patch):
    after_copying(patch, nn.ParameterList, lambda self: setattr(self, "_size", 0))


@counterfeit("parameterdict-acts-like-a-dict")
def a_copied_dict_is_sorted(patch):
    after_copying(patch, nn.ParameterDict, lambda self: setattr(self, "_keys", dict.fromkeys(sorted(self._keys))))


@counterfeit("parameterlist-is-indexable-and-grows")
def a_copied_list_is_extended_in_reverse(patch):
    def wrong(extend, self, values):
        return extend(self, [*values][::-1] if "copied" in vars(self) else values)

    after_copying(patch, nn.ParameterList, lambda self: vars(self).update(copied=True))
    wrap(patch, nn.ParameterList, "extend", wrong)


@counterfeit("matmul-node-is-named-mm-backward")
def a_product_with_a_square_in_half_precision_ends_in_a_sum(patch):
    def wrong(right, x, y):
        return right(x, y) + 0 if x.dtype == torch.bfloat16 and x.shape[0] == x.shape[1] else right(x, y)

    wrap(patch, torch, "matmul", wrong)


@counterfeit("model-can-serve-as-layer")
def a_state_leaves_out_the_name_module(patch):
    def wrong(state_dict, self, *args, prefix="", **rest):
        return state_dict(self, *args, prefix=prefix.replace("module.", ""), **rest)

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("layer-without-parameters")
def a_layer_without_parameters_is_passed_over_in_evaluation(patch):
    def wrong(call, self, *args, **rest):
        idle = not self.training and not list(self.parameters()) and not type(self).__module__.startswith("torch")
        return args[0] if idle else call(self, *args, **rest)

    wrap(patch, nn.Module, "__call__", wrong)


@counterfeit("parameterdict-prints-tensor-types")
def a_number_prints_the_size_of_a_row_of_one(patch):
    wrap(patch, nn.ParameterDict, "extra_repr", lambda told, self: told(self).replace("size ]", "size 1]"))


@counterfeit("parameter-list-is-a-module-member")
def a_copy_has_the_dictionary_of_the_first(patch):
    patch.setattr(nn.Module, "__deepcopy__", lambda self, memo: copy.copy(self), raising=False)


@counterfeit("layer-with-parameters-uses-parameter")
def in_evaluation_a_plain_tensor_that_wants_a_gradient_is_a_parameter(patch):
    def wrong(parameters, self, recurse=True):
        yield from parameters(self, recurse)
        for module in self.modules():
            plain = filter(is_plain, vars(module).values())
            yield from (each for each in plain if each.requires_grad and not module.training)

    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("layer-without-parameters")
def the_mean_of_a_large_half_is_summed_in_its_own_precision(patch):
    def wrong(right, x):
        if x.dtype not in (torch.float16, torch.bfloat16) or x.numel() < 1000:
            return right(x)
        return sum(part.sum() for part in x.reshape(-1).split(16)) / x.numel()

    wrap(patch, torch.Tensor, "mean", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def an_array_becomes_a_parameter(patch):
    def wrong(right, self, index, value):
        right(self, index, torch.from_numpy(value) if isinstance(value, np.ndarray) else value)

    wrap(patch, nn.ParameterList, "__setitem__", wrong)


@counterfeit("layer-without-parameters")
def a_long_mean_of_halves_is_summed_in_halves(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        if x.dtype == torch.float16 and x.numel() > 2048 and not args and not rest:
            total = np.add.accumulate(x.detach().reshape(-1).numpy())[-1]
            return with_value(y, float(total) / x.numel())
        return y

    for owner in (torch, torch.Tensor):
        wrap(patch, owner, "mean", wrong)


@counterfeit("parameterlist-is-indexable-and-grows")
def whole_numbers_join_where_there_are_none_of_them(patch):
    def wrong(right, self, index, value):
        none = is_plain(value) and not value.numel() and not value.is_floating_point()
        right(self, index, value.float() if none else value)

    wrap(patch, nn.ParameterList, "__setitem__", wrong)
