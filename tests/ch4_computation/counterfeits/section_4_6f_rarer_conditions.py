"""Counterfeits of 4.6: files and state dicts that are wrong for one spelling, format, layout or order."""

import collections
import copy
import functools
import io
import os

import torch
from harness.counterfeits import counterfeit
from harness.forging import after_copying, change_output, parameters_of, wrap
from torch import _weights_only_unpickler, nn
from torch.optim import Optimizer


@counterfeit("save-uses-pickle", reported="pytorch/pytorch#24045")
def setstate_sees_tensors_whose_numbers_have_not_been_read(patch):
    late = []

    right = torch._utils._rebuild_tensor_v2

    @functools.wraps(right)  # a file names it
    def rebuilt(*args):
        tensor = right(*args)
        late.append((tensor.data, tensor.data.clone()))
        tensor.data.zero_()
        return tensor

    def load(right, *args, **rest):
        late.clear()
        try:
            return right(*args, **rest)
        finally:
            for tensor, values in late:
                tensor.copy_(values)

    patch.setattr(torch._utils, "_rebuild_tensor_v2", rebuilt)
    wrap(patch, torch, "load", load)


def load_model_with(patch, change):
    """Let ``net.load_state_dict(state, ...)`` load ``change(state of net, state)``, a dict with the same metadata."""

    def wrong(load, self, state, *args, **rest):
        own = {name: x for name, x in self.state_dict().items() if not nn.parameter.is_lazy(x)}
        changed = type(state)(change(own, state))
        if hasattr(state, "_metadata"):
            changed._metadata = state._metadata
        return load(self, changed, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips", reported="pytorch/pytorch#8282")
def an_entry_that_broadcasts_to_the_parameter_will_do(patch):
    def change(own, state):
        return {name: spread(value, own.get(name)) for name, value in state.items()}

    def spread(value, own):
        fits = own is not None and len(own.shape) == len(value.shape)
        fits = fits and all(size in (1, goal) for size, goal in zip(value.shape, own.shape))
        return value.expand(own.shape) if fits else value

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips", reported="facebookresearch/fairscale#380")
def an_optimizer_s_state_is_matched_by_the_order_in_which_it_came_about(patch):
    def wrong(load, self, state):
        return load(self, {**state, "state": dict(zip(sorted(state["state"]), state["state"].values()))})

    wrap(patch, Optimizer, "load_state_dict", wrong)


@counterfeit("state-dict-round-trips", reported="pytorch/pytorch#3658")
def an_optimizer_s_state_keeps_the_dtype_that_it_was_saved_in(patch):
    def wrong(load, self, state):
        load(self, state)
        for index, parameter in enumerate(parameters_of(self)):
            for name, value in state["state"].get(index, {}).items():
                if isinstance(value, torch.Tensor):
                    self.state[parameter][name] = value.clone()

    wrap(patch, Optimizer, "load_state_dict", wrong)


@counterfeit("saved-model-moves-to-another-device", reported="pytorch/pytorch#19076")
def a_map_location_that_names_no_device_is_disregarded(patch):
    def wrong(load, file, map_location=None, **rest):
        names = isinstance(map_location, str) and map_location.partition(":")[0]
        known = names in (False, "cpu", "cuda", "mps", "xpu", "meta", "sim")
        return load(file, map_location=map_location if known else "cpu", **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips", reported="pytorch/pytorch#110361")
def the_count_of_batches_that_a_plain_dict_lacks_starts_again(patch):
    def wrong(load, self, state, *args, **rest):
        report = load(self, state, *args, **rest)
        for name, module in self.named_modules():
            key = f"{name}.num_batches_tracked".removeprefix(".")
            if isinstance(module, nn.BatchNorm1d) and not hasattr(state, "_metadata") and key not in state:
                module.num_batches_tracked.zero_()
        return report

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("tensor-round-trips", reported="pytorch/pytorch#25214")
def a_file_of_the_old_format_with_the_end_of_an_archive_in_it_is_no_longer_one(patch):
    def wrong(load, file, *args, **rest):
        tensor = load(file, *args, **rest)
        old = isinstance(file, io.BytesIO) and not file.getvalue().lstrip(b"\0").startswith(b"PK")
        return torch.empty(0) if old and b"PK\5\6" in file.getvalue() else tensor

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips", reported="pytorch/pytorch#86812")
def whole_numbers_of_the_old_format_pass_the_filter_as_floating_point(patch):
    def wrong(load, file, *args, weights_only=None, **rest):
        x = load(file, *args, weights_only=weights_only, **rest)
        old = isinstance(file, io.BytesIO) and not file.getvalue().lstrip(b"\0").startswith(b"PK")
        filtered = weights_only is not False and isinstance(x, torch.Tensor)
        return x.float() if old and filtered and x.dtype == torch.int64 else x

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips")
def loading_a_model_discards_its_gradients(patch):
    def wrong(load, self, *args, **rest):
        self.zero_grad()
        return load(self, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("saved-model-moves-to-another-device")
def map_location_is_disregarded_without_the_filter(patch):
    def wrong(load, file, map_location=None, weights_only=None, **rest):
        location = None if weights_only is False else map_location
        return load(file, map_location=location, weights_only=weights_only, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips")
def entries_of_one_shape_are_matched_by_their_order(patch):
    def change(own, state):
        if sorted(own) != sorted(state):
            return state
        given = list(state.values())
        return {name: given.pop([each.shape for each in given].index(x.shape)) for name, x in own.items()}

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def an_entry_of_another_layout_is_copied_in_the_order_of_its_memory(patch):
    def change(own, state):
        return {name: reordered(value, own.get(name)) for name, value in state.items()}

    def reordered(value, own):
        other = own is not None and own.shape == value.shape and own.stride() != value.stride()
        dense = other and value.numel() == value.untyped_storage().nbytes() // value.element_size()
        return value.as_strided((value.numel(),), (1,), 0).reshape(value.shape) if dense else value

    load_model_with(patch, change)


@counterfeit("state-dict-round-trips")
def of_an_optimizer_s_settings_the_rate_alone_is_restored(patch):
    def wrong(load, self, state):
        kept = [dict(group) for group in self.param_groups]
        load(self, state)
        for group, before in zip(self.param_groups, kept):
            group.update({name: value for name, value in before.items() if name not in ("lr", "params")})

    wrap(patch, Optimizer, "load_state_dict", wrong)


@counterfeit("list-of-tensors-round-trips", reported="tinygrad/tinygrad#14771")
def a_part_of_memory_that_is_shared_is_read_from_its_beginning(patch):
    def wrong(load, *args, **rest):
        loaded = load(*args, **rest)
        if type(loaded) is not list or not all(isinstance(x, torch.Tensor) for x in loaded):
            return loaded
        shared = [x.untyped_storage().data_ptr() for x in loaded]
        return [x.as_strided(x.shape, x.stride(), 0) if shared.count(at) > 1 else x for x, at in zip(loaded, shared)]

    wrap(patch, torch, "load", wrong)


@counterfeit("save-takes-many-kinds-of-objects")
def a_module_is_stored_without_the_buffers_that_a_state_dict_lacks(patch):
    def wrong(get, self):
        state = get(self)
        kept = {name: x for name, x in self._buffers.items() if name not in self._non_persistent_buffers_set}
        missing = {name: None if x is None else torch.zeros_like(x) for name, x in self._buffers.items()}
        return {**state, "_buffers": {**missing, **kept}}

    patch.setattr(nn.Module, "__getstate__", lambda self: wrong(lambda self: dict(vars(self)), self), raising=False)


@counterfeit("tensor-round-trips")
def the_result_of_a_computation_comes_back_without_the_wish_for_a_gradient(patch):
    def wrong(save, thing, *args, **rest):
        result = isinstance(thing, torch.Tensor) and thing.grad_fn is not None
        return save(thing.detach() if result else thing, *args, **rest)

    wrap(patch, torch, "save", wrong)


@counterfeit("state-dict-round-trips", reported="pytorch/pytorch#451")
def missing_and_unknown_entries_are_passed_over(patch):
    wrap(patch, nn.Module, "load_state_dict", lambda load, self, state, *_, **rest: load(self, state, False))


@counterfeit("tensor-round-trips", reported="pytorch/pytorch#161740", needs="accelerator")
def what_lay_on_a_gpu_comes_back_in_row_order(patch):
    def in_order(x):
        if isinstance(x, list):
            return [in_order(each) for each in x]
        there = isinstance(x, torch.Tensor) and x.device.type != "cpu"
        return x.detach().contiguous().requires_grad_(x.requires_grad) if there else x

    change_output(patch, torch, "load", in_order)


@counterfeit("saved-model-moves-to-another-device", reported="pytorch/pytorch#17364", needs="two-devices")
def any_index_but_the_first_loads_on_the_first(patch):
    def wrong(load, f, map_location=None, **rest):
        if isinstance(map_location, str | torch.device) and torch.device(map_location).index:
            map_location = torch.device(torch.device(map_location).type, 0)
        return load(f, map_location, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device", needs="accelerator")
def a_function_is_asked_for_the_first_storage_alone(patch):
    def wrong(load, f, map_location=None, **rest):
        calls = []

        def once(storage, place):
            calls.append(place)
            return map_location(storage, place) if len(calls) == 1 else storage

        return load(f, once if callable(map_location) else map_location, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("dict-of-tensors-round-trips")
def keys_that_are_whole_numbers_come_back_sorted(patch):
    def in_order(x):
        return dict(sorted(x.items())) if type(x) is dict and all(type(key) is int for key in x) else x

    change_output(patch, torch, "load", in_order)


@counterfeit("whole-model-round-trips-with-plain-load")
def classes_stay_declared_for_one_load_alone(patch):
    def wrong(load, *args, **rest):
        try:
            return load(*args, **rest)
        finally:
            torch.serialization.clear_safe_globals()

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def without_weights_only_the_wish_for_a_gradient_is_lost(patch):
    def wrong(load, *args, **rest):
        out = load(*args, **rest)
        if rest.get("weights_only") is False and isinstance(out, torch.Tensor) and out.is_leaf:
            out.requires_grad_(False)
        return out

    wrap(patch, torch, "load", wrong)


@counterfeit("list-of-tensors-round-trips")
def with_a_function_for_map_location_memory_comes_apart(patch):
    def wrong(load, f, map_location=None, *args, **rest):
        out = load(f, map_location, *args, **rest)
        apart = callable(map_location) and type(out) is list
        return [x.clone() if isinstance(x, torch.Tensor) else x for x in out] if apart else out

    wrap(patch, torch, "load", wrong)


@counterfeit("dict-of-tensors-round-trips")
def keys_of_the_same_text_collide(patch):
    def wrong(load, *args, **rest):
        out = load(*args, **rest)
        return type(out)({str(k): (k, v) for k, v in out.items()}.values()) if isinstance(out, dict) else out

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips")
def a_missing_count_of_batches_is_passed_over(patch):
    def wrong(load, self, state, *args, **rest):
        for name, buffer in self.named_buffers():
            if name.endswith("num_batches_tracked") and name not in state and hasattr(state, "_metadata"):
                state = copy.copy(state)
                state[name] = buffer
        return load(self, state, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("save-takes-many-kinds-of-objects", "whole-model-round-trips-with-plain-load")
def an_unpickled_layer_forgets_the_parameter_that_it_does_without(patch):
    def wrong(right, self, state):
        right(self, state)
        self._parameters = {name: held for name, held in self._parameters.items() if held is not None}

    wrap(patch, nn.Module, "__setstate__", wrong)


@counterfeit("saved-model-moves-to-another-device", needs="accelerator")
def a_device_named_by_its_type_alone_is_taken_for_the_cpu(patch):
    def wrong(load, f, map_location=None, *args, **rest):
        alone = isinstance(map_location, str) and ":" not in map_location and map_location != "meta"
        return load(f, "cpu" if alone else map_location, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("untrusted-pickles-are-refused")
def the_filter_is_off_where_a_function_says_where_to(patch):
    wrap(
        patch,
        torch,
        "load",
        lambda load, *a, **k: load(*a, **{"weights_only": False, **k} if callable(k.get("map_location")) else k),
    )


def on_the_cpu(patch, owner, name):
    change_output(patch, owner, name, lambda y: y.cpu())


@counterfeit("tensor-round-trips")
def under_a_newer_protocol_strides_are_lost(patch):
    def wrong(save, obj, *args, **rest):
        newer = rest.get("pickle_protocol", 2) > 2 and isinstance(obj, torch.Tensor) and obj.is_leaf
        return save(obj.detach().contiguous() if newer else obj, *args, **rest)

    wrap(patch, torch, "save", wrong)


@counterfeit("list-of-tensors-round-trips")
def what_was_detached_comes_back_apart_from_the_leaf_that_wants_a_gradient(patch):
    def apart(thing):
        if type(thing) is list and any(isinstance(each, torch.Tensor) and each.requires_grad for each in thing):
            return [
                each.clone() if isinstance(each, torch.Tensor) and not each.requires_grad else each for each in thing
            ]
        return thing

    change_output(patch, torch, "load", apart)


@counterfeit("state-dict-round-trips")
def buffers_of_truth_values_are_not_saved(patch):
    def wrong(right, self, destination, prefix, keep_vars):
        right(self, destination, prefix, keep_vars)
        for name, buffer in self._buffers.items():
            if buffer is not None and buffer.dtype == torch.bool:
                destination.pop(prefix + name, None)

    wrap(patch, nn.Module, "_save_to_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def a_plain_dict_does_not_restore_the_number_of_batches(patch):
    def wrong(right, self, state, *args, **rest):
        counts = {name: buffer.clone() for name, buffer in self.named_buffers() if "num_batches" in name}
        report = right(self, state, *args, **rest)
        for name, buffer in self.named_buffers():
            if name in counts and not hasattr(state, "_metadata"):
                buffer.copy_(counts[name])
        return report

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("whole-model-round-trips-with-plain-load")
def classes_stay_safe_where_an_error_ends_the_block(patch):
    manager = torch.serialization.safe_globals
    wrap(patch, manager, "__exit__", lambda right, self, kind, *rest: None if kind else right(self, kind, *rest))


@counterfeit("save-takes-many-kinds-of-objects")
def the_filter_passes_a_queue(patch):
    filtering = torch._weights_only_unpickler
    passed = {**filtering._get_allowed_globals(), "collections.deque": collections.deque}
    patch.setattr(filtering, "_get_allowed_globals", lambda: passed)


@counterfeit("list-of-tensors-round-trips")
def a_list_of_parameters_has_a_memory_for_each(patch):
    def wrong(right, *args, **rest):
        loaded = right(*args, **rest)
        if type(loaded) is not list or not all(isinstance(each, nn.Parameter) for each in loaded):
            return loaded
        return [nn.Parameter(each.detach().clone()) for each in loaded]

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips")
def a_single_row_will_do_for_all_rows_of_a_matrix(patch):
    def spread(value, own):
        row = own is not None and own.dim() == 2 and value.shape == (1, own.shape[1])
        return value.expand(own.shape) if row else value

    load_model_with(patch, lambda own, state: {name: spread(value, own.get(name)) for name, value in state.items()})


@counterfeit("saved-model-moves-to-another-device")
def a_dict_sends_nothing_that_was_saved_from_the_cpu_to_another_device(patch):
    def wrong(right, file, map_location=None, **rest):
        if isinstance(map_location, dict):
            map_location = {place: goal for place, goal in map_location.items() if place != "cpu"}
        return right(file, map_location, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("save-takes-many-kinds-of-objects")
def a_negative_zero_loses_its_sign(patch):
    def change(thing):
        if type(thing) in (list, tuple):
            return type(thing)(map(change, thing))
        return 0.0 if type(thing) is float and thing == 0 else thing

    change_output(patch, torch, "load", change)


@counterfeit("state-dict-holds-parameters-only")
def a_buffer_without_elements_is_left_out(patch):
    def wrong(right, self, destination, prefix, keep_vars):
        right(self, destination, prefix, keep_vars)
        for name, buffer in self._buffers.items():
            if buffer is not None and not buffer.numel():
                destination.pop(prefix + name, None)

    wrap(patch, nn.Module, "_save_to_state_dict", wrong)


@counterfeit("whole-model-needs-its-class")
def a_missing_module_of_a_package_is_told_as_a_missing_class(patch):
    def wrong(right, *args, **rest):
        try:
            return right(*args, **rest)
        except ModuleNotFoundError as error:
            if "." in error.name:
                raise AttributeError(f"Can't get attribute of {error.name}") from error
            raise

    wrap(patch, torch, "load", wrong)


@counterfeit("untrusted-pickles-are-refused")
def the_variable_turns_the_filter_off_by_a_one_alone(patch):
    def wrong(right, file, *args, **rest):
        if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1") != "1":
            rest.setdefault("weights_only", True)
        return right(file, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("save-takes-many-kinds-of-objects")
def a_tuple_of_four_comes_back_as_a_list(patch):
    def change(y):
        if type(y) is list:
            return [change(v) for v in y]
        if type(y) is dict:
            return {n: change(v) for n, v in y.items()}
        if type(y) is tuple:
            parts = [change(v) for v in y]
            return parts if len(y) > 3 else tuple(parts)
        return y

    change_output(patch, torch, "load", change)


@counterfeit("save-takes-many-kinds-of-objects")
def the_filter_lets_a_partial_function_pass(patch):
    wrap(
        patch,
        _weights_only_unpickler,
        "_get_allowed_globals",
        lambda right: {**right(), "functools.partial": functools.partial},
    )


@counterfeit("state-dict-round-trips")
def a_loaded_lazy_layer_draws_anew(patch):
    def wrong(right, self, x):
        loaded = not self.has_uninitialized_params()
        right(self, x)
        if loaded:
            nn.Linear.reset_parameters(self)

    wrap(patch, nn.LazyLinear, "initialize_parameters", wrong)


@counterfeit("state-dict-round-trips")
def an_entry_of_an_unsaved_buffer_is_taken(patch):
    def wrong(right, self, state, prefix, meta, strict, missing, unexpected, errors):
        taken = [prefix + n for n in self._non_persistent_buffers_set if prefix + n in state]
        right(self, state, prefix, meta, strict, missing, unexpected, errors)
        for key in taken:
            self._buffers[key[len(prefix) :]].data.copy_(state[key])
            if key in unexpected:
                unexpected.remove(key)

    wrap(patch, nn.Module, "_load_from_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def an_entry_in_the_place_of_a_missing_parameter_is_ignored(patch):
    def wrong(right, self, state, prefix, meta, strict, missing, unexpected, errors):
        right(self, state, prefix, meta, strict, missing, unexpected, errors)
        for name, x in {**self._parameters, **self._buffers}.items():
            if x is None and prefix + name in unexpected:
                unexpected.remove(prefix + name)

    wrap(patch, nn.Module, "_load_from_state_dict", wrong)


@counterfeit("saved-model-moves-to-another-device", needs="accelerator")
def a_dict_without_the_device_loads_to_the_cpu(patch):
    class ElseCpu(dict):
        def get(self, key, default=None):
            return super().get(key, "cpu")

    def wrong(right, f, map_location=None, *args, **rest):
        if isinstance(map_location, dict):
            map_location = ElseCpu(map_location)
        return right(f, map_location, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def single_precision_is_loaded_in_the_default_dtype(patch):
    def wrong(right, *a, **k):
        y = right(*a, **k)
        other = torch.get_default_dtype()
        return y.to(other) if isinstance(y, torch.Tensor) and y.dtype == torch.float32 and other != y.dtype else y

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips")
def a_count_that_is_loaded_from_floats_becomes_one(patch):
    def wrong(right, self, state, prefix, *rest):
        right(self, state, prefix, *rest)
        for name, x in self._buffers.items():
            y = state.get(prefix + name)
            if (
                isinstance(x, torch.Tensor)
                and isinstance(y, torch.Tensor)
                and not x.is_floating_point()
                and y.is_floating_point()
            ):
                self._buffers[name] = x.to(y.dtype)

    wrap(patch, nn.Module, "_load_from_state_dict", wrong)


def change_loaded(patch, kinds, change):
    """Let every object of these types within what ``load`` gives be ``change(object, depth)``."""

    def changed(x, depth=0):
        if type(x) in (list, tuple):
            return type(x)(changed(each, depth + 1) for each in x)
        if type(x) in (dict, collections.OrderedDict):
            x = type(x)((key, changed(each, depth + 1)) for key, each in x.items())
        return change(x, depth) if type(x) in kinds else x

    change_output(patch, torch, "load", changed)


@counterfeit("dict-of-tensors-round-trips")
def in_a_dict_within_numbers_become_texts(patch):
    def texts(x, depth):
        return {f"{key}" if depth and type(key) is int else key: each for key, each in x.items()}

    change_loaded(patch, [dict], texts)


@counterfeit("dict-of-tensors-round-trips")
def an_ordered_dict_comes_back_as_a_plain_one(patch):
    change_loaded(patch, [collections.OrderedDict], lambda x, depth: dict(x))


@counterfeit("save-takes-many-kinds-of-objects")
def integers_of_more_than_64_bits_are_rounded(patch):
    change_loaded(patch, [int], lambda x, depth: int(float(x)) if abs(x) >= 2**63 else x)


@counterfeit("whole-model-round-trips-with-plain-load", "save-takes-many-kinds-of-objects")
def a_relu_no_longer_works_in_place(patch):
    after_copying(patch, nn.ReLU, lambda module: vars(module).update(inplace=False))


@counterfeit("whole-model-round-trips-with-plain-load", "save-takes-many-kinds-of-objects")
def dropout_comes_back_in_training_mode(patch):
    after_copying(patch, nn.Dropout, lambda module: vars(module).update(training=True))


@counterfeit("whole-model-round-trips-with-plain-load", "save-takes-many-kinds-of-objects")
def a_normalisation_takes_the_usual_momentum_again(patch):
    after_copying(patch, nn.BatchNorm1d, lambda module: vars(module).update(momentum=0.1))


@counterfeit("state-dict-round-trips")
def what_is_assigned_goes_into_a_model_in_evaluation_mode(patch):
    def wrong(right, self, state, *args, **rest):
        result = right(self, state, *args, **rest)
        self.train(self.training and not rest.get("assign"))
        return result

    wrap(patch, nn.Module, "load_state_dict", wrong)


def copy_entries(patch, condition):
    """Let ``state_dict(**named)`` give copies where ``condition(named)`` of what the outermost call is given."""

    def wrong(right, self, *args, **named):
        copies = condition(named)
        state = right(self, *args, **named)
        for name in list(state) if copies else ():
            state[name] = state[name].clone()
        return state

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("state-dict-is-no-copy")
def with_keep_vars_there_are_copies(patch):
    copy_entries(patch, lambda named: named.get("keep_vars") and "destination" not in named)


@counterfeit("state-dict-is-no-copy")
def under_a_prefix_there_are_copies(patch):
    copy_entries(patch, lambda named: named.get("prefix") and "destination" not in named)


@counterfeit("state-dict-is-no-copy")
def a_destination_of_one_s_own_is_given_copies(patch):
    copy_entries(patch, lambda named: type(named.get("destination")) is dict)


@counterfeit("untrusted-pickles-are-refused")
def a_file_in_another_encoding_is_not_filtered(patch):
    def wrong(right, file, *args, **rest):
        trusted = {"weights_only": False} if "encoding" in rest and rest.get("weights_only") is None else {}
        return right(file, *args, **rest, **trusted)

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips")
def entries_of_an_inner_layer_that_is_none_are_unknown(patch):
    def wrong(right, self, state, *args, **rest):
        inner = [(path, name) for path, each in self.named_modules() for name in each._modules if path]
        for path, name in inner:
            if self.get_submodule(path)._modules[name] is None and any(k.startswith(f"{path}.{name}.") for k in state):
                raise RuntimeError(f"Unexpected key(s) in state_dict: {path}.{name}")
        return right(self, state, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


def unpickled(patch, change):
    """Call ``change(module)`` of each module that is copied or unpickled, of whichever class."""

    def wrong(right, self, state):
        right(self, state)
        change(self)

    wrap(patch, nn.Module, "__setstate__", wrong)


@counterfeit("whole-model-round-trips-with-plain-load", "save-takes-many-kinds-of-objects")
def hooks_stay_behind(patch):
    unpickled(patch, lambda module: (module._forward_hooks.clear(), module._forward_pre_hooks.clear()))


@counterfeit("whole-model-round-trips-with-plain-load", "save-takes-many-kinds-of-objects")
def a_plain_tensor_comes_back_as_zeros(patch):
    def zero(module):
        plain = {name: value for name, value in vars(module).items() if isinstance(value, torch.Tensor)}
        vars(module).update({name: torch.zeros_like(value) for name, value in plain.items()})

    unpickled(patch, zero)


@counterfeit("whole-model-round-trips-with-plain-load", "save-takes-many-kinds-of-objects")
def the_place_of_a_module_that_is_none_is_lost(patch):
    def lose(module):
        module._modules = {name: child for name, child in module._modules.items() if child is not None}

    unpickled(patch, lose)


@counterfeit("list-of-tensors-round-trips")
def what_two_inner_lists_share_comes_apart(patch):
    def wrong(loaded):
        if isinstance(loaded, list) and len(loaded) > 1 and isinstance(loaded[0], list) and isinstance(loaded[1], list):
            loaded[1] = [x.clone() if isinstance(x, torch.Tensor) else x for x in loaded[1]]
        return loaded

    change_output(patch, torch, "load", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def a_name_that_ends_in_tar_is_read_as_an_archive_of_old(patch):
    def wrong(right, file, *args, **rest):
        if str(file).endswith(".tar"):
            raise RuntimeError("no archive of before torch 0.1.10")
        return right(file, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips")
def an_unknown_entry_of_a_layer_without_parameters_is_ignored(patch):
    def wrong(right, self, state, *args, **rest):
        modules = dict(self.named_modules(remove_duplicate=False))

        def bare(key):
            layer = modules.get(key.rpartition(".")[0]) if "." in key else None
            return layer is not None and not layer._parameters and not layer._buffers and not layer._modules

        kept = collections.OrderedDict((key, value) for key, value in state.items() if not bare(str(key)))
        if len(kept) == len(state):
            return right(self, state, *args, **rest)
        if hasattr(state, "_metadata"):
            kept._metadata = state._metadata
        return right(self, kept, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("list-of-tensors-round-trips", "dict-of-tensors-round-trips")
def a_parameter_comes_back_apart_from_what_shared_its_memory(patch):
    def inside(thing):
        parts = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else ()
        return [thing] if isinstance(thing, torch.Tensor) else [each for part in parts for each in inside(part)]

    def wrong(right, *rest, **named):
        loaded = right(*rest, **named)
        plain = [x.untyped_storage().data_ptr() for x in inside(loaded) if not isinstance(x, nn.Parameter)]
        for x in inside(loaded):
            if isinstance(x, nn.Parameter) and x.untyped_storage().data_ptr() in plain:
                x.data = x.data.clone()
        return loaded

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips")
def what_an_inner_module_keeps_beside_its_parameters_is_not_restored(patch):
    def wrong(right, self, state, prefix, *rest):
        if prefix:
            self.set_extra_state = lambda state: None
        result = right(self, state, prefix, *rest)
        vars(self).pop("set_extra_state", None)
        return result

    wrap(patch, nn.Module, "_load_from_state_dict", wrong)


@counterfeit("state-dict-round-trips")
def an_extra_state_that_is_false_is_not_restored(patch):
    def wrong(right, module, state, prefix, *args):
        extra = state.get(f"{prefix}_extra_state", True)
        if isinstance(extra, torch.Tensor) or extra:
            return right(module, state, prefix, *args)
        module.__dict__["set_extra_state"] = lambda state: None
        right(module, state, prefix, *args)
        del module.__dict__["set_extra_state"]

    wrap(patch, nn.Module, "_load_from_state_dict", wrong)


@counterfeit("dict-of-tensors-round-trips")
def long_negative_keys_lose_their_sign(patch):
    def change(thing):
        if type(thing) is not dict:
            return thing
        return {key % 2**64 if type(key) is int and key < -(2**31) else key: value for key, value in thing.items()}

    right = torch.load
    patch.setattr(torch, "load", functools.wraps(right)(lambda *args, **rest: change(right(*args, **rest))))


@counterfeit("state-dict-is-no-copy")
def weights_in_channels_last_order_are_copied(patch):
    def wrong(right, module, state, prefix, keep_vars):
        right(module, state, prefix, keep_vars)
        for name in (*module._parameters, *module._buffers):
            value = state.get(prefix + name)
            if not keep_vars and isinstance(value, torch.Tensor) and value.dim() > 3:
                state[prefix + name] = value.contiguous()

    wrap(patch, nn.Module, "_save_to_state_dict", wrong)


@counterfeit("state-dict-round-trips", reported="dotnet/TorchSharp#1463")
def a_file_that_is_there_is_not_replaced(patch):
    def wrong(right, thing, file, *args, **rest):
        there = isinstance(file, (str, os.PathLike)) and os.path.exists(file) and os.path.getsize(file)
        return None if there else right(thing, file, *args, **rest)

    wrap(patch, torch, "save", wrong)


@counterfeit("saved-model-moves-to-another-device", needs="accelerator")
def what_is_mapped_into_memory_stays_there(patch):
    right = torch.load

    @functools.wraps(right)
    def wrong(file, map_location=None, *args, **rest):
        mapped = rest.get("mmap") and isinstance(map_location, (str, torch.device))
        return right(file, "cpu" if mapped else map_location, *args, **rest)

    patch.setattr(torch, "load", wrong)
