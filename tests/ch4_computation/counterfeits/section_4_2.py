"""Counterfeits of 4.2: parameters misnamed, copied, left out or registered against one's will."""

import copy

import torch
from harness.counterfeits import counterfeit
from harness.forging import run_levels, wrap
from torch import nn


def rename(patch, new_name):
    """Hand out each parameter under ``new_name(module, name)``."""
    named = nn.Module.named_parameters

    def wrong(self, *args, **kwargs):
        return ((new_name(self, name), parameter) for name, parameter in named(self, *args, **kwargs))

    patch.setattr(nn.Module, "named_parameters", wrong)


def rearrange(patch, change):
    """Hand out ``change(pairs)`` of the pairs of name and parameter, as a generator."""
    named = nn.Module.named_parameters

    def wrong(self, *args, **kwargs):
        return (pair for pair in change(list(named(self, *args, **kwargs))))

    patch.setattr(nn.Module, "named_parameters", wrong)


# ── named-parameters-is-a-generator ──


@counterfeit("named-parameters-is-a-generator")
def named_parameters_returns_a_list(patch):
    wrap(patch, nn.Module, "named_parameters", lambda named, self, *args, **kwargs: list(named(self, *args, **kwargs)))


@counterfeit("named-parameters-is-a-generator")
def named_parameters_hands_out_copies(patch):
    rearrange(patch, copy.deepcopy)


@counterfeit("named-parameters-is-a-generator")
def pairs_are_lists(patch):
    rearrange(patch, lambda pairs: [list(pair) for pair in pairs])


@counterfeit("named-parameters-is-a-generator")
def frozen_parameters_are_left_out(patch):
    rearrange(patch, lambda pairs: [pair for pair in pairs if pair[1].requires_grad])


@counterfeit("named-parameters-is-a-generator")
def a_model_lists_its_parameters_only_once(patch):
    """The same generator again at the second call, used up."""

    def wrong(named, self, **kwargs):
        return vars(self).setdefault("pairs", named(self, **kwargs))

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("named-parameters-is-a-generator")
def parameters_come_in_another_order_than_their_names(patch):
    def wrong(right, self, *args, **rest):
        yield from sorted(right(self, *args, **rest), key=torch.numel)

    wrap(patch, nn.Module, "parameters", wrong)


# ── parameter-names-carry-the-layer-index ──


@counterfeit("parameter-names-carry-the-layer-index")
def indices_count_from_one(patch):
    def shifted(module, name):
        index, dot, rest = name.partition(".")
        return f"{int(index) + 1}{dot}{rest}" if index.isdigit() else name

    rename(patch, shifted)


@counterfeit("parameter-names-carry-the-layer-index")
def indices_pass_over_activations(patch):
    def renumbered(module, name):
        layers = [index for index, child in module.named_children() if list(child.parameters())]
        index, dot, rest = name.partition(".")
        return f"{layers.index(index)}{dot}{rest}" if index.isdigit() else name

    rename(patch, renumbered)


@counterfeit("parameter-names-carry-the-layer-index")
def indices_keep_their_last_digit_only(patch):
    rename(patch, lambda module, name: name[1:] if name[:2].isdigit() else name)


@counterfeit("parameter-names-carry-the-layer-index")
def parameters_beyond_ten_layers_come_in_alphabetical_order(patch):
    rearrange(patch, lambda pairs: sorted(pairs, key=lambda pair: pair[0].partition(".")[0]))


@counterfeit("parameter-names-carry-the-layer-index")
def a_nested_layer_goes_by_its_inner_index(patch):
    rename(patch, lambda module, name: ".".join(name.split(".")[-2:]))


@counterfeit("parameter-names-carry-the-layer-index")
def an_attribute_goes_by_an_index_too(patch):
    def numbered(module, name):
        first, dot, rest = name.partition(".")
        return f"{list(module._modules).index(first)}{dot}{rest}" if dot else name

    rename(patch, numbered)


@counterfeit("parameter-names-carry-the-layer-index")
def the_bias_comes_before_the_weight(patch):
    rearrange(patch, lambda pairs: sorted(pairs, key=lambda pair: pair[0]))


@counterfeit("parameter-names-carry-the-layer-index")
def linear_weights_are_stored_transposed(patch):
    def wrong(init, self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.weight.data = self.weight.data.t()

    wrap(patch, nn.Linear, "__init__", wrong)


@counterfeit("parameter-names-carry-the-layer-index")
def an_activation_has_a_slope_to_learn(patch):
    def wrong(init, self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.slope = nn.Parameter(torch.zeros(1))

    wrap(patch, nn.ReLU, "__init__", wrong)


# ── brackets-reach-a-layer ──


def reach(patch, get_wrong):
    """Make net[index] give ``get_wrong(get, net, index)``."""
    get = nn.Sequential.__getitem__
    patch.setattr(nn.Sequential, "__getitem__", lambda self, index: get_wrong(get, self, index))


@counterfeit("brackets-reach-a-layer")
def layers_beyond_ten_are_in_alphabetical_order(patch):
    def wrong(get, net, index):
        return get(net, index) if isinstance(index, slice) else [m for _, m in sorted(net._modules.items())][index]

    reach(patch, wrong)


@counterfeit("brackets-reach-a-layer")
def negative_indices_count_from_the_front(patch):
    reach(patch, lambda get, net, index: get(net, index if isinstance(index, slice) else max(index, ~index)))


@counterfeit("brackets-reach-a-layer")
def brackets_pass_over_a_repeated_layer(patch):
    def wrong(get, net, index):
        return get(net, index) if isinstance(index, slice) else list(net.children())[index]

    reach(patch, wrong)


@counterfeit("brackets-reach-a-layer")
def a_slice_holds_copies(patch):
    reach(
        patch, lambda get, net, index: copy.deepcopy(get(net, index)) if isinstance(index, slice) else get(net, index)
    )


@counterfeit("brackets-reach-a-layer")
def a_slice_is_a_list(patch):
    reach(patch, lambda get, net, index: list(net)[index] if isinstance(index, slice) else get(net, index))


@counterfeit("brackets-reach-a-layer")
def an_index_past_the_end_reaches_the_last_layer(patch):
    def wrong(get, net, index):
        return get(net, index if isinstance(index, slice) else min(index, len(net) - 1))

    reach(patch, wrong)


@counterfeit("brackets-reach-a-layer")
def a_layer_names_its_parameters_with_an_index(patch):
    named = nn.Module.named_parameters
    patch.setattr(nn.Linear, "named_parameters", lambda self, **kwargs: (("0." + n, p) for n, p in named(self)))


@counterfeit("brackets-reach-a-layer")
def an_assignment_adds_a_layer_at_the_end(patch):
    patch.setattr(nn.Sequential, "__setitem__", lambda self, index, module: self.append(module))


# ── parameter-is-a-tensor-subclass ──


def make(patch, new_wrong):
    """Make nn.Parameter(data, requires_grad) give ``new_wrong(new, data, requires_grad)``."""
    new = nn.Parameter.__new__

    def wrong(cls, data=None, requires_grad=True):
        return new_wrong(lambda *args: new(cls, *args), data, requires_grad)

    patch.setattr(nn.Parameter, "__new__", staticmethod(wrong))


@counterfeit("parameter-is-a-tensor-subclass")
def any_tensor_passes_for_a_parameter(patch):
    patch.setattr(type(nn.Parameter), "__instancecheck__", lambda cls, instance: torch.is_tensor(instance))


@counterfeit("parameter-is-a-tensor-subclass")
def a_product_with_a_parameter_is_a_parameter(patch):
    multiply = torch.Tensor.__mul__
    patch.setattr(nn.Parameter, "__mul__", lambda self, other: nn.Parameter(multiply(self, other)))


@counterfeit("parameter-is-a-tensor-subclass")
def a_frozen_parameter_requires_a_gradient(patch):
    make(patch, lambda new, data, requires_grad: new(data, requires_grad or data.is_floating_point()))


@counterfeit("parameter-is-a-tensor-subclass")
def a_parameter_copies_its_tensor(patch):
    make(patch, lambda new, data, requires_grad: new(data.clone(), requires_grad))


@counterfeit("parameter-is-a-tensor-subclass")
def a_parameter_of_half_precision_becomes_single(patch):
    make(patch, lambda new, data, requires_grad: new(data.float(), requires_grad))


@counterfeit("parameter-is-a-tensor-subclass")
def a_deep_copy_shares_the_storage(patch):
    patch.setattr(nn.Parameter, "__deepcopy__", lambda self, memo: nn.Parameter(self.data, self.requires_grad))


@counterfeit("parameter-is-a-tensor-subclass")
def a_deep_copy_is_a_plain_tensor(patch):
    patch.setattr(nn.Parameter, "__deepcopy__", lambda self, memo: self.detach().clone())


@counterfeit("parameter-is-a-tensor-subclass")
def a_deep_copy_forgets_that_it_is_frozen(patch):
    patch.setattr(
        nn.Parameter, "__deepcopy__", lambda self, memo: nn.Parameter(self.data.clone(), self.is_floating_point())
    )


@counterfeit("parameter-is-a-tensor-subclass")
def a_bias_is_a_plain_tensor(patch):
    def wrong(init, self, *args, **kwargs):
        init(self, *args, **kwargs)
        bias = self.bias
        del self.bias
        self.bias = bias if bias is None else bias.detach()

    wrap(patch, nn.Linear, "__init__", wrong)


# ── parameter-attributes-register-themselves ──


def assign(patch, assign_wrong):
    """Make the assignment of an attribute do ``assign_wrong(true assignment, module, name, value)``."""
    true = nn.Module.__setattr__
    patch.setattr(nn.Module, "__setattr__", lambda self, name, value: assign_wrong(true, self, name, value))


@counterfeit("parameter-attributes-register-themselves")
def a_frozen_parameter_does_not_join(patch):
    def wrong(true, module, name, value):
        frozen = isinstance(value, nn.Parameter) and not value.requires_grad
        (object.__setattr__ if frozen else true)(module, name, value)

    assign(patch, wrong)


@counterfeit("parameter-attributes-register-themselves")
def a_tensor_that_requires_a_gradient_joins(patch):
    def wrong(true, module, name, value):
        joins = type(value) is torch.Tensor and value.requires_grad
        true(module, name, nn.Parameter(value) if joins else value)

    assign(patch, wrong)


@counterfeit("parameter-attributes-register-themselves")
def a_plain_tensor_takes_the_place_of_a_parameter(patch):
    def wrong(true, module, name, value):
        module._parameters.pop(name, None) if type(value) is torch.Tensor else None
        true(module, name, value)

    assign(patch, wrong)


@counterfeit("parameter-attributes-register-themselves")
def a_module_takes_a_copy_of_the_parameter(patch):
    assign(
        patch,
        lambda true, module, name, value: true(
            module, name, copy.deepcopy(value) if isinstance(value, nn.Parameter) else value
        ),
    )


@counterfeit("parameter-attributes-register-themselves")
def the_parameters_in_a_python_list_join(patch):
    def wrong(true, module, name, value):
        true(module, name, nn.ParameterList(value) if type(value) is list and value else value)

    assign(patch, wrong)


@counterfeit("parameter-attributes-register-themselves")
def a_second_assignment_keeps_the_first_parameter(patch):
    def wrong(true, module, name, value):
        if name not in vars(module).get("_parameters", {}):
            true(module, name, value)

    assign(patch, wrong)


@counterfeit("parameter-attributes-register-themselves")
def del_leaves_the_parameter_registered(patch):
    patch.setattr(nn.Module, "__delattr__", lambda self, name: None)


@counterfeit("parameter-attributes-register-themselves")
def parameters_come_in_alphabetical_order(patch):
    rearrange(patch, sorted)


# ── what users reported, and kinds beside it ──


@counterfeit("parameter-names-carry-the-layer-index")
def a_slice_is_numbered_anew(patch):
    reach(
        patch, lambda get, net, index: nn.Sequential(*list(net)[index]) if isinstance(index, slice) else get(net, index)
    )


@counterfeit("parameter-names-carry-the-layer-index")
def a_named_layer_goes_by_its_number(patch):
    wrap(
        patch,
        nn.Sequential,
        "__init__",
        lambda init, self, *args: init(self, *(args[0].values() if args and isinstance(args[0], dict) else args)),
    )


@counterfeit("brackets-reach-a-layer")
def extend_adds_in_reverse(patch):
    def wrong(self, modules):
        for module in reversed(list(modules)):
            self.append(module)
        return self

    patch.setattr(nn.Sequential, "extend", wrong)


@counterfeit("brackets-reach-a-layer")
def insert_replaces_the_layer_at_its_place(patch):
    def wrong(self, index, module):
        self._modules[str(index % max(len(self), 1))] = module
        return self

    patch.setattr(nn.Sequential, "insert", wrong)


@counterfeit("brackets-reach-a-layer")
def a_layer_of_an_empty_batch_is_passed_over(patch):
    run_levels(patch, apply=lambda level, x: level(x) if len(x) else x)


@counterfeit("named-parameters-is-a-generator")
def without_recursion_all_parameters_come_too(patch):
    wrap(
        patch,
        nn.Module,
        "named_parameters",
        lambda named, self, prefix="", recurse=True, **kwargs: (pair for pair in named(self, prefix, **kwargs)),
    )


@counterfeit("named-parameters-is-a-generator")
def the_third_level_of_a_tree_is_left_out(patch):
    rearrange(patch, lambda pairs: [pair for pair in pairs if pair[0].count(".") < 3])


@counterfeit("named-parameters-is-a-generator")
def the_parameters_of_recurrent_layers_come_last(patch):
    rearrange(patch, lambda pairs: sorted(pairs, key=lambda pair: "_l0" in pair[0]))


@counterfeit("parameter-is-a-tensor-subclass")
def a_parameter_of_a_transposed_tensor_is_contiguous(patch):
    make(patch, lambda new, data, requires_grad: new(data.contiguous(), requires_grad))


@counterfeit("parameter-is-a-tensor-subclass")
def a_buffer_is_a_parameter(patch):
    def wrong(register, self, name, tensor, persistent=True):
        is_float = tensor is not None and tensor.is_floating_point()
        register(self, name, nn.Parameter(tensor, requires_grad=False) if is_float else tensor, persistent)

    wrap(patch, nn.Module, "register_buffer", wrong)


@counterfeit("parameter-is-a-tensor-subclass")
def a_sum_with_a_frozen_parameter_requires_a_gradient(patch):
    add = torch.Tensor.__add__
    patch.setattr(
        nn.Parameter,
        "__add__",
        lambda self, other: add(self, other).requires_grad_(self.is_floating_point()),
        raising=False,
    )


@counterfeit("parameter-attributes-register-themselves")
def a_parameter_in_the_place_of_none_does_not_join(patch):
    def wrong(true, module, name, value):
        none = vars(module).get("_parameters", {}).get(name, 0) is None
        (object.__setattr__ if none else true)(module, name, value)

    assign(patch, wrong)


@counterfeit("parameter-attributes-register-themselves")
def a_subclass_of_parameter_does_not_join(patch):
    def wrong(true, module, name, value):
        of_its_own = isinstance(value, nn.Parameter) and type(value) is not nn.Parameter
        (object.__setattr__ if of_its_own else true)(module, name, value)

    assign(patch, wrong)


@counterfeit("parameter-attributes-register-themselves")
def the_buffer_that_a_parameter_replaces_stays(patch):
    def wrong(true, module, name, value):
        buffer = vars(module).get("_buffers", {}).get(name)
        true(module, name, value)
        if buffer is not None and isinstance(value, nn.Parameter):
            module._buffers[name] = buffer

    assign(patch, wrong)


@counterfeit("parameter-attributes-register-themselves")
def a_parameter_of_rank_zero_does_not_join(patch):
    def wrong(true, module, name, value):
        number = isinstance(value, nn.Parameter) and value.dim() == 0
        (object.__setattr__ if number else true)(module, name, value)

    assign(patch, wrong)


@counterfeit("parameter-attributes-register-themselves")
def a_parameter_set_to_none_stays(patch):
    assign(patch, lambda true, module, name, value: None if value is None else true(module, name, value))


@counterfeit("parameter-names-carry-the-layer-index")
def indices_beyond_a_hundred_keep_two_digits(patch):
    rename(patch, lambda module, name: name[1:] if name.split(".")[0].isdigit() and name.find(".") > 2 else name)


@counterfeit("parameter-attributes-register-themselves")
def a_parameter_assigned_after_a_deletion_takes_the_old_place(patch):
    delete, put = nn.Module.__delattr__, nn.Module.__setattr__

    def leave(self, name):
        if name in self._parameters:
            self.__dict__.setdefault("_left", {})[name] = list(self._parameters).index(name)
        delete(self, name)

    def come_back(self, name, value):
        put(self, name, value)
        place = self.__dict__.get("_left", {}).pop(name, None)
        later = [] if place is None else [other for other in self._parameters if other != name][place:]
        for other in later:
            self._parameters[other] = self._parameters.pop(other)

    patch.setattr(nn.Module, "__delattr__", leave)
    patch.setattr(nn.Module, "__setattr__", come_back)


@counterfeit("brackets-reach-a-layer")
def an_index_before_the_first_counts_on_from_the_last(patch):
    def wrong(get, self, index):
        return get(self, index % len(self) if isinstance(index, int) and index < 0 < len(self) else index)

    wrap(patch, nn.Sequential, "__getitem__", wrong)


@counterfeit("named-parameters-is-a-generator")
def without_recursion_it_is_a_list(patch):
    def wrong(right, self, prefix="", recurse=True, **rest):
        pairs = right(self, prefix, recurse, **rest)
        return pairs if recurse else list(pairs)

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("parameter-names-carry-the-layer-index")
def a_slice_with_a_step_is_numbered_anew(patch):
    def wrong(right, self, index):
        part = right(self, index)
        return nn.Sequential(*part) if isinstance(index, slice) and index.step not in (None, 1) else part

    wrap(patch, nn.Sequential, "__getitem__", wrong)


@counterfeit("brackets-reach-a-layer")
def brackets_read_the_number_as_a_name(patch):
    def wrong(right, self, index):
        if not isinstance(index, slice) and str(index) in self._modules:
            return self._modules[str(index)]
        return right(self, index)

    wrap(patch, nn.Sequential, "__getitem__", wrong)


@counterfeit("parameter-is-a-tensor-subclass")
def loading_with_assign_leaves_plain_tensors(patch):
    def wrong(right, self, state, strict=True, assign=False):
        out = right(self, state, strict, assign) if assign else right(self, state, strict)
        for module in self.modules() if assign else ():
            for name, p in module._parameters.items():
                module._parameters[name] = None if p is None else p.detach().requires_grad_(p.requires_grad)
        return out

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("parameter-attributes-register-themselves")
def after_none_a_plain_tensor_is_taken(patch):
    def wrong(right, self, name, value):
        parameters = self.__dict__.get("_parameters", {})
        if name in parameters and parameters[name] is None and type(value) is torch.Tensor:
            del parameters[name]
        right(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("named-parameters-is-a-generator")
def frozen_parameters_are_not_listed_under_no_grad(patch):
    def wrong(right, self, *a, **k):
        return (pair for pair in right(self, *a, **k) if torch.is_grad_enabled() or pair[1].requires_grad)

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("named-parameters-is-a-generator")
def names_are_told_in_capitals_in_evaluation(patch):
    rename(patch, lambda module, name: name if module.training else name.upper())


@counterfeit("named-parameters-is-a-generator", "parameter-names-carry-the-layer-index")
def names_of_numbers_in_double_precision_end_in_a_mark(patch):
    named = nn.Module.named_parameters

    def wrong(self, *args, **rest):
        return ((name + "_" * (x.dtype == torch.float64), x) for name, x in named(self, *args, **rest))

    patch.setattr(nn.Module, "named_parameters", wrong)


@counterfeit("parameter-names-carry-the-layer-index")
def a_slice_from_the_back_is_numbered_anew(patch):
    def wrong(get, self, index):
        part = get(self, index)
        from_the_back = isinstance(index, slice) and (index.start or 0) < 0
        return type(self)(*part) if from_the_back else part

    wrap(patch, nn.Sequential, "__getitem__", wrong)


@counterfeit("brackets-reach-a-layer")
def an_index_that_is_a_tensor_reaches_the_first_layer(patch):
    wrap(
        patch, nn.Sequential, "__getitem__", lambda get, self, at: get(self, 0 if isinstance(at, torch.Tensor) else at)
    )


@counterfeit("parameter-attributes-register-themselves")
def a_tensor_that_wants_a_gradient_is_copied_into_the_parameter_of_its_shape(patch):
    def wrong(right, self, name, value):
        own = vars(self).get("_parameters", {}).get(name)
        fits = isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter) and value.requires_grad
        if own is None or not fits or value.shape != own.shape:
            right(self, name, value)
        else:
            own.data.copy_(value)

    wrap(patch, nn.Module, "__setattr__", wrong)
