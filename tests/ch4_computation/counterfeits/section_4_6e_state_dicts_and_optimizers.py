"""Counterfeits of 4.6: models and optimizers that are restored in part, and misfits that pass unnoticed."""

import contextlib
import copy

import torch
from harness.counterfeits import counterfeit
from harness.forging import parameters_of, wrap
from torch import nn
from torch.optim import Optimizer


def load_model_with(patch, change):
    """Makes `load_state_dict` load `change(module, state)`."""
    load = nn.Module.load_state_dict
    patch.setattr(
        nn.Module,
        "load_state_dict",
        lambda self, state, *args, **kwargs: load(self, change(self, state), *args, **kwargs),
    )


def load_optimizer_with(patch, change):
    """Makes an optimizer load what `change(state)` leaves of a copy of the state."""
    load = Optimizer.load_state_dict

    def wrong(self, state):
        changed = {
            "state": {key: dict(entry) for key, entry in state["state"].items()},
            "param_groups": [dict(group) for group in state["param_groups"]],
        }
        change(self, changed)
        return load(self, changed)

    patch.setattr(Optimizer, "load_state_dict", wrong)


# ── state-dict-round-trips: the model ──


@counterfeit("state-dict-round-trips")
def a_parameter_without_dimensions_takes_the_last_of_several_numbers(patch):
    def change(net, state):
        own = {key for key, value in net.state_dict().items() if getattr(value, "ndim", 1) == 0}
        return {key: value[-1] if key in own and value.ndim == 1 else value for key, value in state.items()}

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def buffers_keep_the_values_of_the_new_instance(patch):
    load_model_with(patch, lambda net, state: {**state, **{k: v for k, v in net.named_buffers() if k in state}})


@counterfeit("state-dict-round-trips")
def integer_buffers_are_not_restored(patch):
    def change(net, state):
        return {k: v if v.is_floating_point() else torch.zeros_like(v) for k, v in state.items()}

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def biases_are_not_restored(patch):
    def change(net, state):
        own = net.state_dict()
        return {k: own.get(k, v) if k.endswith("head.bias") else v for k, v in state.items()}

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def numbers_are_rounded_to_bfloat16(patch):
    def change(net, state):
        return {k: v.bfloat16().to(v.dtype) if v.is_floating_point() else v for k, v in state.items()}

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def the_loaded_tensors_take_the_place_of_the_parameters(patch):
    def wrong(load, self, state, *args, **kwargs):
        report = load(self, state, *args, **kwargs)
        if isinstance(self, nn.Linear):
            self.weight = nn.Parameter(state["weight"])
        return report

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def the_parameters_share_memory_with_what_was_loaded(patch):
    def wrong(load, self, state, *args, **kwargs):
        report = load(self, state, *args, **kwargs)
        for name, p in self.named_parameters():
            p.data = state.get(name, p.data)
        return report

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def loaded_parameters_are_frozen(patch):
    def wrong(load, self, *args, **kwargs):
        return load(self.requires_grad_(False), *args, **kwargs)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def loading_unties_shared_parameters(patch):
    def wrong(load, self, *args, **kwargs):
        seen = set()
        for parent in list(self.modules()):
            for name, layer in parent._modules.items():
                parent._modules[name] = copy.deepcopy(layer) if layer in seen else layer
                seen.add(layer)
        return load(self, *args, **kwargs)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def a_loaded_model_is_in_evaluation_mode(patch):
    wrap(patch, nn.Module, "load_state_dict", lambda load, self, *args, **kwargs: load(self.eval(), *args, **kwargs))


@counterfeit("state-dict-round-trips")
def numbers_change_the_dtype_of_the_parameters(patch):
    """A file in double precision makes a model of double precision."""

    def wrong(load, self, state, *args, **kwargs):
        if all(value.dtype == torch.float64 for value in state.values()):
            self.double()
        return load(self, state, *args, **kwargs)

    wrap(patch, nn.Module, "load_state_dict", wrong)


# ── state-dict-round-trips: what does not fit ──


@counterfeit("state-dict-round-trips")
def nobody_is_strict(patch):
    wrap(patch, nn.Module, "load_state_dict", lambda load, self, state, strict=True: load(self, state, False))


@counterfeit("state-dict-round-trips")
def a_missing_bias_is_passed_over(patch):
    def change(net, state):
        own = net.state_dict()
        return {**{k: v for k, v in own.items() if k.endswith("bias")}, **state}

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def unexpected_keys_are_passed_over(patch):
    load_model_with(patch, lambda net, state: {k: v for k, v in state.items() if k in net.state_dict()})


@counterfeit("state-dict-round-trips")
def numbers_are_reshaped_to_fit(patch):
    def change(net, state):
        own = net.state_dict()
        fits = {k: k in own and own[k].numel() == v.numel() for k, v in state.items()}
        return {k: v.reshape(own[k].shape) if fits[k] else v for k, v in state.items()}

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def numbers_are_broadcast_to_fit(patch):
    def change(net, state):
        own = net.state_dict()
        return {k: v.expand_as(own[k]) if k in own and v.shape == (3, 1) else v for k, v in state.items()}

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def without_strictness_wrong_shapes_are_left_out(patch):
    def wrong(load, self, state, strict=True):
        own = self.state_dict()
        fitting = {k: v for k, v in state.items() if k not in own or own[k].shape == v.shape}
        return load(self, state if strict else fitting, strict)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def only_the_first_misfit_is_reported(patch):
    def wrong(load, self, *args, **kwargs):
        try:
            return load(self, *args, **kwargs)
        except RuntimeError as error:
            raise RuntimeError("\n".join(str(error).splitlines()[:2])) from None

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def without_strictness_nothing_is_reported(patch):
    def wrong(load, self, *args, **kwargs):
        report = load(self, *args, **kwargs)
        return type(report)([], [])

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def without_strictness_missing_entries_become_zero(patch):
    def wrong(load, self, *args, **kwargs):
        report = load(self, *args, **kwargs)
        for name in report.missing_keys:
            nn.init.zeros_(self.get_parameter(name))
        return report

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def a_dict_of_two_entries_is_loaded_twice_as_large(patch):
    load_model_with(patch, lambda net, state: {k: v * 2 if len(state) == 2 else v for k, v in state.items()})


# ── state-dict-round-trips: training goes on ──


def forget(*names):
    """A change of an optimizer's state that sets some of its tensors to zero."""

    def change(optimizer, state):
        for entry in state["state"].values():
            entry.update({name: torch.zeros_like(entry[name]) for name in names if name in entry})

    return change


@counterfeit("state-dict-round-trips")
def momentum_is_not_restored(patch):
    load_optimizer_with(patch, forget("momentum_buffer"))


@counterfeit("state-dict-round-trips")
def adam_starts_counting_its_steps_again(patch):
    load_optimizer_with(patch, forget("step"))


@counterfeit("state-dict-round-trips")
def adam_forgets_its_second_moments(patch):
    load_optimizer_with(patch, forget("exp_avg_sq"))


@counterfeit("state-dict-round-trips")
def the_state_of_the_last_parameter_is_lost(patch):
    def change(optimizer, state):
        for entry in list(state["state"].values())[-1:]:
            entry.update({k: torch.zeros_like(v) for k, v in entry.items() if isinstance(v, torch.Tensor) and v.dim()})

    load_optimizer_with(patch, change)


@counterfeit("state-dict-round-trips")
def settings_are_kept_from_the_new_optimizer(patch):
    def change(optimizer, state):
        for saved, own in zip(state["param_groups"], optimizer.param_groups):
            saved.update({name: value for name, value in own.items() if name != "params"})

    load_optimizer_with(patch, change)


@counterfeit("state-dict-round-trips")
def the_learning_rate_is_kept_from_the_new_optimizer(patch):
    def change(optimizer, state):
        state["param_groups"][0]["lr"] = optimizer.param_groups[0]["lr"]

    load_optimizer_with(patch, change)


@counterfeit("state-dict-round-trips")
def every_group_gets_the_settings_of_the_first(patch):
    def change(optimizer, state):
        first = state["param_groups"][0]
        for group in state["param_groups"]:
            group.update({name: value for name, value in first.items() if name != "params"})

    load_optimizer_with(patch, change)


@counterfeit("state-dict-round-trips")
def an_optimizer_is_loaded_however_many_parameters_it_has(patch):
    """Groups of another size are passed over."""

    def wrong(load, self, state):
        with contextlib.suppress(ValueError):
            load(self, state)

    wrap(patch, Optimizer, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def momentum_makes_no_difference(patch):
    """So an optimizer has no state that would need to be stored."""
    init = torch.optim.SGD.__init__
    patch.setattr(
        torch.optim.SGD, "__init__", lambda self, params, **kwargs: init(self, params, **{**kwargs, "momentum": 0})
    )


@counterfeit("state-dict-round-trips")
def loading_unfreezes_parameters(patch):
    wrap(
        patch,
        nn.Module,
        "load_state_dict",
        lambda load, self, *args, **rest: (load(self, *args, **rest), self.requires_grad_())[0],
    )


def pass_over(patch, which):
    """Makes ``load_state_dict`` pass over the missing keys of which ``which(module, key)``."""

    def wrong(load, self, state, strict=True, **rest):
        own = self.state_dict()
        given = {**{key: value for key, value in own.items() if which(self, key)}, **state} if strict else state
        return load(self, given, strict, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def missing_buffers_are_passed_over(patch):
    pass_over(patch, lambda net, key: key in dict(net.named_buffers()))


@counterfeit("state-dict-round-trips")
def missing_keys_below_a_submodule_are_passed_over(patch):
    pass_over(patch, lambda net, key: key.count(".") > 1)


@counterfeit("state-dict-round-trips")
def the_members_of_a_parameter_list_are_not_restored(patch):
    patch.setattr(nn.ParameterList, "_load_from_state_dict", lambda self, *args: None, raising=False)


@counterfeit("state-dict-round-trips")
def a_number_takes_any_single_element_but_keeps_its_own(patch):
    def change(net, state):
        own = net.state_dict()
        return {
            key: own[key] if key in own and own[key].dim() == 0 and value.dim() else value
            for key, value in state.items()
        }

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def a_loaded_optimizer_state_is_a_copy(patch):
    """As before torch 2.1."""
    wrap(patch, Optimizer, "load_state_dict", lambda load, self, state: load(self, copy.deepcopy(state)))


# ── state-dict-is-no-copy ──


def copying(patch, kind, which):
    """Makes `state_dict()` of ``kind`` copy the tensors for which ``which`` holds."""
    state_dict = kind.state_dict

    def copied(value):
        if isinstance(value, dict):
            return type(value)((key, copied(each)) for key, each in value.items())
        return value.clone() if isinstance(value, torch.Tensor) and which(value) else value

    patch.setattr(kind, "state_dict", lambda self, *args, **kwargs: copied(state_dict(self, *args, **kwargs)))


@counterfeit("state-dict-is-no-copy")
def a_state_dict_is_a_copy(patch):
    copying(patch, nn.Module, lambda value: True)


@counterfeit("state-dict-is-no-copy")
def the_counters_in_a_state_dict_are_copies(patch):
    copying(patch, nn.Module, lambda value: not value.is_floating_point())


@counterfeit("state-dict-is-no-copy")
def what_is_not_contiguous_is_a_copy_in_a_state_dict(patch):
    copying(patch, nn.Module, lambda value: not value.is_contiguous())


@counterfeit("state-dict-is-no-copy")
def an_optimizer_s_state_dict_is_a_copy(patch):
    copying(patch, Optimizer, lambda value: True)


@counterfeit("state-dict-is-no-copy")
def a_copy_of_a_state_dict_shares_memory(patch):
    patch.setattr(copy, "deepcopy", lambda value, memo=None: copy.copy(value))


# ── assign-unties-shared-parameters ──


@counterfeit("assign-unties-shared-parameters", reported="pytorch/pytorch#121157")
def assigned_parameters_forget_that_they_are_frozen(patch):
    def wrong(load, self, state, *args, assign=False):
        report = load(self, state, *args, **({"assign": True} if assign else {}))
        return (report, self.requires_grad_() if assign else None)[0]

    put_load(patch, wrong)


def put_load(patch, wrong):
    """Put ``wrong(load, module, state, ...)`` in the place of ``load_state_dict``, with its annotations."""
    right = nn.Module.load_state_dict
    wrap(patch, nn.Module, "load_state_dict", wrong)
    nn.Module.load_state_dict.__annotations__.update(right.__annotations__)


@counterfeit("assign-unties-shared-parameters")
def assigning_keeps_parameters_tied(patch):
    def wrong(load, self, state, *args, **rest):
        tied = [name for name, parameter in self.named_parameters(remove_duplicate=False)]
        first = {
            id(parameter): name for name, parameter in reversed(list(self.named_parameters(remove_duplicate=False)))
        }
        names = {name: first[id(self.get_parameter(name))] for name in tied}
        report = load(self, state, *args, **rest)
        for name, original in names.items():
            if name != original:
                parent, _, attribute = name.rpartition(".")
                setattr(self.get_submodule(parent), attribute, self.get_parameter(original))
        return report

    put_load(patch, wrong)


@counterfeit("assign-unties-shared-parameters")
def assigned_parameters_get_memory_of_their_own(patch):
    def wrong(load, self, state, *args, assign=False):
        return load(self, {k: v.clone() for k, v in state.items()} if assign else state, *args, assign=assign)

    put_load(patch, wrong)


@counterfeit("assign-unties-shared-parameters")
def the_dict_forgets_that_it_was_assigned(patch):
    def wrong(load, self, state, *args, assign=False):
        return load(self, copy.deepcopy(dict(state)) if not assign else state, *args, assign=assign)

    put_load(patch, wrong)


@counterfeit("assign-unties-shared-parameters")
def plain_loading_unties_too(patch):
    put_load(patch, lambda load, self, state, *args, assign=False: load(self, state, *args, assign=True))


@counterfeit("state-dict-round-trips", reported=("pytorch/pytorch#74424", "pytorch/pytorch#75214"))
def the_count_of_steps_is_loaded_in_the_dtype_of_the_parameter(patch):
    def wrong(load, self, state_dict):
        load(self, state_dict)
        for p in parameters_of(self):
            if "step" in self.state.get(p, {}):
                self.state[p]["step"] = self.state[p]["step"].to(p.dtype)

    wrap(patch, torch.optim.Optimizer, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def a_lazy_layer_takes_thousand_inputs_at_most(patch):
    def wrong(load, self, state_dict, *args, **rest):
        lazy = isinstance(self, nn.LazyLinear)
        return load(self, {k: v[:, :1000] if lazy and v.dim() > 1 else v for k, v in state_dict.items()}, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def values_loaded_into_doubles_pass_through_single_precision(patch):
    def wrong(load, self, state_dict, *args, **rest):
        for p in self.parameters():
            if p.dtype == torch.float64:
                state_dict = {k: v.float() if v.is_floating_point() else v for k, v in state_dict.items()}
        return load(self, state_dict, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-holds-parameters-only")
def a_buffer_that_is_set_later_is_saved_though_it_was_not_to_be(patch):
    def wrong(register, self, name, tensor, persistent=True):
        return register(self, name, tensor, persistent or tensor is None)

    wrap(patch, nn.Module, "register_buffer", wrong)


@counterfeit("state-dict-round-trips")
def bfloat16_loaded_into_single_precision_loses_its_last_number(patch):
    def wrong(copy_, x, y, *args, **rest):
        copy_(x, y, *args, **rest)
        if y.dtype == torch.bfloat16 and x.dtype == torch.float32 and x.numel() > 1:
            x.data.view(-1)[-1] = 0
        return x

    wrap(patch, torch.Tensor, "copy_", wrong)


def restore_with(patch, change):
    """Makes a module restore each parameter from ``change(parameter, loaded)``."""

    def wrong(load, self, state, prefix, *rest):
        for name, own in self._parameters.items():
            loaded = state.get(prefix + name)
            if own is not None and isinstance(loaded, torch.Tensor):
                state[prefix + name] = change(own, loaded)
        return load(self, state, prefix, *rest)

    wrap(patch, nn.Module, "_load_from_state_dict", wrong)


@counterfeit("state-dict-round-trips", reported="pytorch/pytorch#165873")
def a_number_takes_the_first_of_many(patch):
    restore_with(patch, lambda own, loaded: loaded[0] if (own.dim(), loaded.dim()) == (0, 1) else loaded)


@counterfeit("state-dict-round-trips")
def complex_parameters_are_restored_without_imaginary_part(patch):
    restore_with(patch, lambda own, loaded: loaded.real.to(loaded.dtype) if loaded.is_complex() else loaded)


@counterfeit("state-dict-round-trips")
def what_is_transposed_is_restored_in_the_order_of_memory(patch):
    restore_with(
        patch,
        lambda own, loaded: (
            loaded.reshape(own.shape[::-1]).t() if own.dim() == 2 and not own.is_contiguous() else loaded
        ),
    )


@counterfeit("state-dict-round-trips", reported="pytorch/pytorch#123510")
def an_unknown_key_below_a_parameter_is_passed_over(patch):
    def known(net, state):
        names = net.state_dict().keys()
        odd = [key for key in state if key not in names and any(key.startswith(f"{name}.") for name in names)]
        return {key: value for key, value in state.items() if key not in odd} if odd else state

    load_model_with(patch, known)


@counterfeit("state-dict-round-trips")
def the_lengths_of_a_normalised_weight_are_not_restored(patch):
    def wrong(right, self, state, *args, **rest):
        kept = [(name, p, p.detach().clone()) for name, p in self.named_parameters() if name.endswith("original0")]
        result = right(self, state, *args, **rest)
        for _, parameter, before in kept:
            parameter.data.copy_(before)
        return result

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def adamw_and_rmsprop_take_over_nothing(patch):
    def wrong(right, self, state):
        right(self, state)
        if type(self).__name__ in ("AdamW", "RMSprop"):
            self.state.clear()

    wrap(patch, Optimizer, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def the_largest_squares_so_far_are_restored_as_the_last(patch):
    def wrong(right, self, state):
        right(self, state)
        for own in self.state.values():
            if "max_exp_avg_sq" in own:
                own["max_exp_avg_sq"] = own["exp_avg_sq"].clone()

    wrap(patch, Optimizer, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def the_state_of_double_precision_is_restored_in_single(patch):
    def wrong(right, self, state):
        right(self, state)
        for own in self.state.values():
            for name, value in own.items():
                if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
                    own[name] = value.float().double()

    wrap(patch, Optimizer, "load_state_dict", wrong)
