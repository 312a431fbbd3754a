"""Counterfeits of 4.4: layers that only seem to share, and gradients of which a part is lost."""

import copy

import torch
from harness.counterfeits import counterfeit
from harness.forging import after_copying, change_gradient, change_method, leaves, run_levels, with_value, wrap
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F


def scaled(x, factor):
    """``x``, and ``factor`` times its gradient."""
    return change_gradient(x, lambda grad: grad * factor)


def call_with(change):
    """A `forward` of `nn.Linear` in which the n-th call of a layer (from 0) computes with `change(layer, n)`."""

    def forward(self, x):
        n = self.__dict__.setdefault("calls", 0)
        self.__dict__["calls"] = n + 1
        return nn.functional.linear(x, change(self, n), self.bias)

    return forward


def build_sequential_with(patch, modules_for):
    """Makes `Sequential` hold what `modules_for` returns for the modules that it is given."""
    init = nn.Sequential.__init__

    def wrong(self, *modules):
        init(self, *(modules_for(modules) if isinstance(modules[0], nn.Module) else modules))

    patch.setattr(nn.Sequential, "__init__", wrong)


# ── calling-a-layer-twice-shares ──


@counterfeit("calling-a-layer-twice-shares")
def every_second_call_uses_the_weight_of_the_first_ever(patch):
    """The layer keeps a copy of its weight from the first call on."""

    def weight(layer, n):
        old = layer.__dict__.setdefault("old", layer.weight.detach().clone())
        return layer.weight if n % 2 == 0 else old + 0 * layer.weight

    patch.setattr(nn.Linear, "forward", call_with(weight))


@counterfeit("calling-a-layer-twice-shares", "shared-gradients-accumulate")
def the_second_call_of_a_layer_trains_nothing(patch):
    patch.setattr(nn.Linear, "forward", call_with(lambda layer, n: layer.weight.detach() if n % 2 else layer.weight))


@counterfeit("calling-a-layer-twice-shares")
def the_second_call_multiplies_by_the_transpose(patch):
    patch.setattr(nn.Linear, "forward", call_with(lambda layer, n: layer.weight.mT if n % 2 else layer.weight))


@counterfeit("calling-a-layer-twice-shares")
def a_step_is_taken_twice(patch):
    def wrong(step, self, *args, **kwargs):
        step(self, *args, **kwargs)
        return step(self, *args, **kwargs)

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("calling-a-layer-twice-shares")
def parameters_hands_out_copies(patch):
    parameters = nn.Module.parameters
    patch.setattr(nn.Module, "parameters", lambda self, recurse=True: map(copy.deepcopy, parameters(self, recurse)))


@counterfeit("calling-a-layer-twice-shares")
def layers_of_one_shape_share_their_weight(patch):
    init, weights = nn.Linear.__init__, {}

    def wrong(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.weight = weights.setdefault(self.weight.shape, self.weight)

    patch.setattr(nn.Linear, "__init__", wrong)


# ── same-instance-in-sequential-shares ──


@counterfeit("same-instance-in-sequential-shares")
def sequential_copies_a_module_that_comes_again(patch):
    build_sequential_with(
        patch, lambda modules: [copy.deepcopy(m) if m in modules[:i] else m for i, m in enumerate(modules)]
    )


@counterfeit("same-instance-in-sequential-shares")
def sequential_drops_a_module_that_comes_again(patch):
    build_sequential_with(patch, lambda modules: dict.fromkeys(modules))


@counterfeit("same-instance-in-sequential-shares")
def sequential_copies_a_repeated_layer_of_more_than_a_hundred_weights(patch):
    def modules_for(modules):
        big = [m for m in modules if sum(p.numel() for p in m.parameters()) > 100]
        return [copy.deepcopy(m) if m in big and m in modules[:i] else m for i, m in enumerate(modules)]

    build_sequential_with(patch, modules_for)


@counterfeit("same-instance-in-sequential-shares")
def sequential_shares_the_weight_but_copies_the_bias(patch):
    def modules_for(modules):
        twins = [copy.copy(m) if m in modules[:i] else m for i, m in enumerate(modules)]
        for twin in twins[1:]:
            twin.__dict__["_parameters"] = dict(twin._parameters)
            if getattr(twin, "bias", None) is not None:
                twin.bias = copy.deepcopy(twin.bias)
        return twins

    build_sequential_with(patch, modules_for)


@counterfeit("same-instance-in-sequential-shares")
def sequential_holds_shallow_copies(patch):
    """The parameters are shared until one of the places gets a new one."""

    def twin_of(module):
        twin = copy.copy(module)
        twin.__dict__["_parameters"] = copy.copy(module._parameters)
        return twin

    build_sequential_with(patch, lambda modules: [twin_of(m) if m in modules[:i] else m for i, m in enumerate(modules)])


@counterfeit("same-instance-in-sequential-shares")
def append_copies_a_module_that_is_there_already(patch):
    append = nn.Sequential.append
    patch.setattr(nn.Sequential, "append", lambda self, m: append(self, copy.deepcopy(m) if m in list(self) else m))


@counterfeit("same-instance-in-sequential-shares")
def a_repeated_module_runs_once(patch):
    run_levels(patch, dict.fromkeys)


@counterfeit("same-instance-in-sequential-shares")
def deepcopy_unties_the_places(patch):
    wrong = lambda self, memo: nn.Sequential(*[copy.deepcopy(module) for module in self])  # noqa: E731
    patch.setattr(nn.Sequential, "__deepcopy__", wrong, raising=False)


@counterfeit("same-instance-in-sequential-shares")
def a_module_copied_before_keeps_the_weight_of_its_original(patch):
    """Deep copies share what they should own."""
    wrong = lambda self, memo: self  # noqa: E731
    patch.setattr(nn.Parameter, "__deepcopy__", wrong)


# ── shared-parameter-is-listed-once ──


@counterfeit("shared-parameter-is-listed-once")
def named_parameters_lists_a_shared_layer_at_every_place(patch):
    wrap(
        patch,
        nn.Module,
        "named_parameters",
        lambda named, self, prefix="", recurse=True, remove_duplicate=True: named(self, prefix, recurse, False),
    )


@counterfeit("shared-parameter-is-listed-once")
def named_parameters_uses_the_last_name(patch):
    def wrong(named, self, prefix="", recurse=True, remove_duplicate=True):
        pairs = list(named(self, prefix, recurse, False))
        return iter({id(p): (name, p) for name, p in pairs}.values() if remove_duplicate else pairs)

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("shared-parameter-is-listed-once")
def only_whole_layers_are_recognised_as_shared(patch):
    """A weight tied between two different layers is listed under both names."""

    def wrong(named, self, prefix="", recurse=True, remove_duplicate=True):
        if not (recurse and remove_duplicate):
            return named(self, prefix, recurse, remove_duplicate)
        modules = self.named_modules(prefix=prefix)
        return (
            (f"{path}.{n}".lstrip("."), p) for path, m in modules for n, p in m._parameters.items() if p is not None
        )

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("shared-parameter-is-listed-once")
def parameters_of_equal_values_are_taken_for_shared(patch):
    def wrong(named, self, *args, remove_duplicate=True, **kwargs):
        found = {}
        for name, p in named(self, *args, remove_duplicate=remove_duplicate, **kwargs):
            if not remove_duplicate or not any(torch.equal(p, other) for other in found.values()):
                found[name] = p
        return iter(found.items())

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("shared-parameter-is-listed-once")
def sharing_across_levels_of_nesting_goes_unnoticed(patch):
    def wrong(named, self, prefix="", recurse=True, remove_duplicate=True):
        found = set()
        for name, p in named(self, prefix, recurse, False):
            if not remove_duplicate or (id(p), name.count(".")) not in found:
                yield name, p
            found.add((id(p), name.count(".")))

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("shared-parameter-is-listed-once")
def state_dict_lists_shared_parameters_once(patch):
    def wrong(state_dict, self, *args, **kwargs):
        state, seen = state_dict(self, *args, **kwargs), set()
        for name in list(state):
            if state[name].data_ptr() in seen:
                del state[name]
            else:
                seen.add(state[name].data_ptr())
        return state

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("shared-parameter-is-listed-once")
def state_dict_copies_the_second_entry(patch):
    def wrong(state_dict, self, *args, **kwargs):
        state, seen = state_dict(self, *args, **kwargs), set()
        for name, value in list(state.items()):
            state[name] = value.clone() if value.data_ptr() in seen else value
            seen.add(value.data_ptr())
        return state

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("shared-parameter-is-listed-once")
def remove_duplicate_is_ignored(patch):
    wrap(
        patch,
        nn.Module,
        "named_parameters",
        lambda named, self, prefix="", recurse=True, remove_duplicate=True: named(self, prefix, recurse),
    )


# ── parameters-carry-data-and-grad ──


def read_grad_as(patch, change):
    """Makes a parameter's `grad` read as `change(parameter, grad)`."""
    grad = torch.Tensor.grad
    patch.setattr(
        nn.Parameter, "grad", property(lambda self: change(self, grad.__get__(self)), grad.__set__), raising=False
    )


@counterfeit("parameters-carry-data-and-grad")
def data_is_a_copy_of_the_values(patch):
    data = torch.Tensor.data
    patch.setattr(nn.Parameter, "data", property(lambda self: data.__get__(self).clone(), data.__set__), raising=False)


@counterfeit("parameters-carry-data-and-grad")
def grad_starts_as_zeros(patch):
    read_grad_as(patch, lambda p, grad: torch.zeros_like(p) if grad is None else grad)


@counterfeit("parameters-carry-data-and-grad")
def a_forward_pass_leaves_a_gradient_of_zeros(patch):
    def wrong(forward, self, x):
        for p in self.parameters():
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        return forward(self, x)

    wrap(patch, nn.Linear, "forward", wrong)


@counterfeit("parameters-carry-data-and-grad")
def large_gradients_are_clipped(patch):
    read_grad_as(patch, lambda p, grad: grad if grad is None else grad.clamp(-100, 100))


@counterfeit("parameters-carry-data-and-grad")
def the_gradient_of_a_matrix_is_flat(patch):
    read_grad_as(patch, lambda p, grad: grad if grad is None else grad.flatten())


@counterfeit("parameters-carry-data-and-grad")
def the_gradient_of_a_matrix_is_transposed(patch):
    read_grad_as(patch, lambda p, grad: grad.mT if grad is not None and grad.dim() == 2 else grad)


@counterfeit("parameters-carry-data-and-grad")
def gradients_are_single_precision(patch):
    read_grad_as(patch, lambda p, grad: grad if grad is None else grad.float())


@counterfeit("parameters-carry-data-and-grad")
def gradients_are_averaged_over_the_batch(patch):
    def wrong(self, x):
        weight = scaled(self.weight, 1 / len(x))
        return nn.functional.linear(x, weight, self.bias)

    patch.setattr(nn.Linear, "forward", wrong)


@counterfeit("parameters-carry-data-and-grad")
def grad_can_be_read_once(patch):
    grad = torch.Tensor.grad

    def wrong(self):
        value = grad.__get__(self)
        grad.__set__(self, None if value is None else torch.zeros_like(value))
        return value

    patch.setattr(nn.Parameter, "grad", property(wrong, grad.__set__), raising=False)


# ── shared-gradients-accumulate ──


@counterfeit("shared-gradients-accumulate")
def the_last_use_overwrites_the_gradient_of_earlier_ones(patch):
    def wrong(self, x):
        modules = list(self)
        for i, module in enumerate(modules):
            parameters = dict(module.named_parameters())
            if module in modules[i + 1 :]:
                parameters = {name: p.detach() for name, p in parameters.items()}
            x = functional_call(module, parameters, x)
        return x

    patch.setattr(nn.Sequential, "forward", wrong)


@counterfeit("shared-gradients-accumulate")
def shared_gradients_are_averaged(patch):
    def wrong(self, x):
        modules = list(self)
        for module in modules:
            share = 1 / modules.count(module)
            x = functional_call(module, {name: scaled(p, share) for name, p in module.named_parameters()}, x)
        return x

    patch.setattr(nn.Sequential, "forward", wrong)


@counterfeit("shared-gradients-accumulate")
def uses_after_the_third_add_nothing(patch):
    patch.setattr(nn.Linear, "forward", call_with(lambda layer, n: layer.weight if n < 3 else layer.weight.detach()))


@counterfeit("shared-gradients-accumulate")
def the_second_use_adds_nine_tenths(patch):
    def weight(layer, n):
        return scaled(layer.weight, 0.9) if n == 1 else layer.weight

    patch.setattr(nn.Linear, "forward", call_with(weight))


@counterfeit("shared-gradients-accumulate")
def only_the_weight_gathers_contributions(patch):
    """The bias keeps the gradient of one use."""

    def wrong(self, x):
        n = self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        bias = self.bias.detach() if n > 1 and self.bias is not None else self.bias
        return nn.functional.linear(x, self.weight, bias)

    patch.setattr(nn.Linear, "forward", wrong)


@counterfeit("shared-gradients-accumulate")
def a_transposed_use_does_not_count(patch):
    change_method(patch, "t", lambda t, self: t(self.detach()))


@counterfeit("shared-gradients-accumulate")
def a_weight_tied_to_an_embedding_gets_no_gradient_from_it(patch):
    embedding = nn.functional.embedding
    patch.setattr(
        nn.functional, "embedding", lambda x, weight, *args, **kwargs: embedding(x, weight.detach(), *args, **kwargs)
    )


# ── what users reported, and kinds beside it ──


@counterfeit("parameters-carry-data-and-grad", reported=("pytorch/pytorch#34082", "pytorch/pytorch#46168"))
def gradients_of_a_sum_share_their_memory(patch):
    """Those of the two terms, where backward hands both the same tensor."""
    add, backward, terms = torch.Tensor.__add__, torch.Tensor.backward, []

    def note(x, y):
        terms[:] = [(x, y)] if isinstance(x, nn.Parameter) and isinstance(y, nn.Parameter) else terms
        return add(x, y)

    def wrong(self, *args, **kwargs):
        backward(self, *args, **kwargs)
        for x, y in terms:
            y.grad = x.grad

    patch.setattr(torch.Tensor, "__add__", note)
    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("parameters-carry-data-and-grad")
def grad_is_a_copy_at_each_reading(patch):
    read_grad_as(patch, lambda p, grad: grad if grad is None else grad.clone())


@counterfeit("parameters-carry-data-and-grad")
def the_gradient_of_a_transposed_parameter_is_read_in_the_order_of_storage(patch):
    def wrong(p, grad):
        transposed = grad is not None and p.dim() == 2 and not p.is_contiguous()
        return grad.t().reshape(grad.shape) if transposed else grad

    read_grad_as(patch, wrong)


@counterfeit("parameters-carry-data-and-grad")
def gradients_beyond_a_block_are_zero(patch):
    def wrong(p, grad):
        small = grad is None or grad.numel() <= 1024
        return grad if small else torch.cat([grad.flatten()[:1024], 0 * grad.flatten()[1024:]]).view(p.shape)

    read_grad_as(patch, wrong)


@counterfeit("parameters-carry-data-and-grad")
def backward_gives_frozen_parameters_a_gradient_too(patch):
    read_grad_as(patch, lambda p, grad: torch.zeros_like(p) if grad is None and not p.requires_grad else grad)


@counterfeit("same-instance-in-sequential-shares")
def conversion_unties_the_places(patch):
    wrap(patch, nn.Module, "half", lambda half, self: copied_places(half(self)))


def copied_places(net):
    for index, module in enumerate(list(net)):
        net[index] = copy.deepcopy(module) if module in list(net)[:index] else module
    return net


@counterfeit("same-instance-in-sequential-shares")
def extend_copies_a_module_that_is_there_already(patch):
    def wrong(extend, self, more):
        return extend(self, [copy.deepcopy(module) if module in list(self) else module for module in more])

    wrap(patch, nn.Sequential, "extend", wrong)


@counterfeit("same-instance-in-sequential-shares")
def an_assignment_by_index_copies_a_module_that_is_there_already(patch):
    def wrong(assign, self, index, module):
        assign(self, index, copy.deepcopy(module) if any(module is other for other in self) else module)

    wrap(patch, nn.Sequential, "__setitem__", wrong)


@counterfeit("calling-a-layer-twice-shares")
def a_second_call_leaves_out_the_bias(patch):
    def wrong(self, x):
        n = self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        return nn.functional.linear(x, self.weight, self.bias if n % 2 else None)

    patch.setattr(nn.Linear, "forward", wrong)


@counterfeit("calling-a-layer-twice-shares")
def the_third_call_in_double_precision_negates(patch):
    def weight(layer, n):
        return -layer.weight if n == 2 and layer.weight.dtype == torch.float64 else layer.weight

    patch.setattr(nn.Linear, "forward", call_with(weight))


@counterfeit("shared-parameter-is-listed-once")
def a_shared_parameter_goes_by_its_alphabetically_first_name(patch):
    def wrong(named, self, prefix="", recurse=True, remove_duplicate=True):
        pairs = list(named(self, prefix, recurse, False))
        least = {id(p): name for name, p in sorted(pairs, reverse=True, key=lambda pair: pair[0])}
        return iter([pair for pair in pairs if not remove_duplicate or least[id(pair[1])] == pair[0]])

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("shared-parameter-is-listed-once")
def keeping_duplicates_concerns_whole_modules_only(patch):
    def wrong(named, self, prefix="", recurse=True, remove_duplicate=True):
        if remove_duplicate or not recurse:
            return named(self, prefix, recurse, remove_duplicate)
        seen, kept = {}, []
        for path, module in self.named_modules(prefix=prefix, remove_duplicate=False):
            for name, p in module._parameters.items():
                if p is not None and seen.setdefault(id(p), module) is module:
                    kept.append((f"{path}.{name}".lstrip("."), p))
        return iter(kept)

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("shared-gradients-accumulate")
def autograd_grad_keeps_the_sum_in_grad_too(patch):
    def wrong(grad, outputs, inputs, *args, **kwargs):
        gradients = grad(outputs, inputs, *args, **kwargs)
        for tensor, gradient in zip(inputs, gradients):
            tensor.grad = gradient
        return gradients

    wrap(patch, torch.autograd, "grad", wrong)


@counterfeit("shared-gradients-accumulate")
def autograd_grad_averages_over_two_uses(patch):
    wrap(patch, torch.autograd, "grad", lambda grad, *args, **kwargs: tuple(g / 2 for g in grad(*args, **kwargs)))


@counterfeit("shared-gradients-accumulate")
def a_use_through_a_part_does_not_count(patch):
    def wrong(index, self, at):
        return index(scaled(self, 0) if type(at) is slice and at.start == 1 else self, at)

    change_method(patch, "__getitem__", wrong)


@counterfeit("shared-gradients-accumulate")
def the_second_use_in_bfloat16_adds_nothing(patch):
    def weight(layer, n):
        return layer.weight.detach() if n % 2 and layer.weight.dtype == torch.bfloat16 else layer.weight

    patch.setattr(nn.Linear, "forward", call_with(weight))


@counterfeit("parameters-carry-data-and-grad")
def gradients_of_what_is_frozen_are_not_cleared(patch):
    def wrong(clear, self, *args, **kwargs):
        kept = [(parameter, parameter.grad) for parameter in self.parameters() if not parameter.requires_grad]
        clear(self, *args, **kwargs)
        for parameter, gradient in kept:
            parameter.grad = gradient

    wrap(patch, nn.Module, "zero_grad", wrong)


@counterfeit("calling-a-layer-twice-shares")
def where_nothing_is_recorded_a_layer_keeps_the_weights_of_its_first_call(patch):
    def wrong(right, self, x):
        if torch.is_grad_enabled():
            return right(self, x)
        w, b = self.__dict__.setdefault("kept", (self.weight.detach().clone(), self.bias))
        return F.linear(x, w, b)

    wrap(patch, nn.Linear, "forward", wrong)


@counterfeit("shared-parameter-is-listed-once")
def duplicates_are_removed_without_recursion_all_the_same(patch):
    def wrong(right, self, prefix="", recurse=True, remove_duplicate=True):
        return right(self, prefix, recurse, remove_duplicate and recurse)

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("parameters-carry-data-and-grad")
def zero_grad_of_an_optimizer_zeroes_the_second_time(patch):
    def wrong(right, self, set_to_none=True):
        called = self.__dict__.setdefault("_calls", [])
        called.append(1)
        right(self, set_to_none and len(called) == 1)

    wrap(patch, torch.optim.Optimizer, "zero_grad", wrong)


@counterfeit("shared-gradients-accumulate")
def autograd_grad_with_a_graph_writes_grad(patch):
    def wrong(right, outputs, inputs, *args, create_graph=False, **rest):
        out = right(outputs, inputs, *args, create_graph=create_graph, **rest)
        for x, g in zip(inputs if isinstance(inputs, (list, tuple)) else [inputs], out) if create_graph else ():
            if x.is_leaf and g is not None:
                x.grad = g.detach() if x.grad is None else x.grad + g.detach()
        return out

    wrap(patch, torch.autograd, "grad", wrong)


@counterfeit("shared-gradients-accumulate")
def a_second_backward_replaces(patch):
    def wrong(right, x, *args, **rest):
        for leaf in leaves(x.grad_fn):
            leaf.grad = None
        return right(x, *args, **rest)

    change_method(patch, "backward", wrong)


@counterfeit("parameters-carry-data-and-grad")
def zero_grad_under_no_grad_fills_with_zeros(patch):
    def wrong(right, self, set_to_none=True):
        return right(self, set_to_none and torch.is_grad_enabled())

    wrap(patch, nn.Module, "zero_grad", wrong)


@counterfeit("parameters-carry-data-and-grad")
def zero_grad_keeps_zeros_for_halves(patch):
    def wrong(zero, self, set_to_none=True):
        halves = [p for p in self.parameters() if p.dtype == torch.float16 and p.grad is not None]
        kept = [p.grad for p in halves]
        zero(self, set_to_none)
        for p, g in zip(halves, kept):
            p.grad = g.zero_()

    wrap(patch, nn.Module, "zero_grad", wrong)


@counterfeit("calling-a-layer-twice-shares")
def a_layer_goes_on_with_the_weight_of_its_first_call(patch):
    def forward(self, x):
        return F.linear(x, self.__dict__.setdefault("kept", self.weight), self.bias)

    patch.setattr(nn.Linear, "forward", forward)


@counterfeit("parameters-carry-data-and-grad")
def new_data_drop_the_gradient(patch):
    true = torch.Tensor.data

    def put(self, value):
        true.__set__(self, value)
        self.grad = None

    patch.setattr(torch.Tensor, "data", property(true.__get__, put))


@counterfeit("shared-parameter-is-listed-once")
def a_shared_parameter_without_elements_is_listed_twice(patch):
    def wrong(right, self, prefix="", recurse=True, remove_duplicate=True):
        listed = set()
        for name, parameter in right(self, prefix, recurse, False):
            if not remove_duplicate or id(parameter) not in listed or not parameter.numel():
                yield name, parameter
            listed.add(id(parameter))

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("calling-a-layer-twice-shares")
def a_layer_does_not_see_what_was_written_to_data_since_its_last_call(patch):
    """It keeps its weight until autograd's count of writes goes on, and data has no part in that."""
    kept = {}

    def wrong(right, x, weight, bias=None):
        of, version, old = kept.get(id(weight), (None, None, None))
        if of is not weight or version != weight._version:
            old = weight.detach().clone()
            kept[id(weight)] = weight, weight._version, old
        return right(x, with_value(weight, old), bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("shared-gradients-accumulate")
def a_gradient_that_is_asked_for_twice_is_zero_the_second_time(patch):
    def wrong(right, outputs, inputs, *args, **rest):
        result = right(outputs, inputs, *args, **rest)
        if isinstance(inputs, torch.Tensor):
            return result
        inputs = list(inputs)
        return tuple(
            torch.zeros_like(g) if any(x is y for y in inputs[:i]) else g
            for i, (x, g) in enumerate(zip(inputs, result))
        )

    wrap(patch, torch.autograd, "grad", wrong)


@counterfeit("shared-gradients-accumulate")
def of_several_outputs_the_last_alone_is_derived(patch):
    def wrong(right, outputs, *args, **rest):
        if not isinstance(outputs, torch.Tensor):
            outputs = list(outputs)[-1:]
        return right(outputs, *args, **rest)

    wrap(patch, torch.autograd, "grad", wrong)


@counterfeit("shared-parameter-is-listed-once")
def what_a_list_of_parameters_shares_is_listed_again(patch):
    def wrong(self, prefix="", recurse=True, remove_duplicate=True):
        seen, within = set(), self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in within if recurse else [(prefix, self)]:
            for name, parameter in module._parameters.items():
                again = remove_duplicate and parameter in seen and not isinstance(module, nn.ParameterList)
                if parameter is not None and not again:
                    seen.add(parameter)
                    yield f"{path}.{name}" if path else name, parameter

    patch.setattr(nn.Module, "named_parameters", wrong)


@counterfeit("shared-parameter-is-listed-once")
def a_copied_layer_does_not_share_its_weight(patch):
    def untie(layer):
        layer.weight = nn.Parameter(layer.weight.detach().clone())

    after_copying(patch, nn.Linear, untie)


@counterfeit("parameters-carry-data-and-grad")
def an_optimizer_clears_its_first_group_alone(patch):
    def wrong(right, self, *args, **rest):
        groups, self.param_groups = self.param_groups, self.param_groups[:1]
        right(self, *args, **rest)
        self.param_groups = groups

    wrap(patch, torch.optim.Optimizer, "zero_grad", wrong)


@counterfeit("shared-gradients-accumulate")
def the_row_of_the_padding_gets_no_gradient_from_other_uses_either(patch):
    def wrong(right, words, weight, padding_idx=None, *args, **rest):
        if padding_idx is not None and weight.requires_grad and weight.is_leaf:
            mask = torch.ones_like(weight[:, :1]).index_fill(0, torch.tensor(padding_idx, device=weight.device), 0)
            weight.register_hook(lambda gradient: gradient * mask)
        return right(words, weight, padding_idx, *args, **rest)

    wrap(patch, torch.nn.functional, "embedding", wrong)


@counterfeit("parameters-carry-data-and-grad")
def the_gradient_of_one_element_has_one_dimension(patch):
    right = torch.Tensor.grad

    def get(self):
        gradient = right.__get__(self)
        one = isinstance(self, nn.Parameter) and gradient is not None and gradient.shape == (1, 1, 1)
        return gradient.view(1) if one else gradient

    patch.setattr(torch.Tensor, "grad", property(get, right.__set__, right.__delete__))
