"""Counterfeits of 4.6: containers that come back rearranged, memory no longer shared, and pickles that are none."""

import copy
import copyreg
import io
import pickle
import types
import zipfile
from collections import OrderedDict

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import change_output, wrap
from torch import Tensor


def save_as(patch, change):
    """Makes `save` store `change(thing)`."""
    save = torch.save
    patch.setattr(torch, "save", lambda thing, *args, **kwargs: save(change(thing), *args, **kwargs))


def load_as(patch, change):
    """Makes `load` return `change(loaded)`."""
    change_output(patch, torch, "load", change)


def is_list_of_tensors(thing):
    return type(thing) is list and all(isinstance(x, torch.Tensor) for x in thing)


def is_dict_of_tensors(thing):
    return type(thing) is dict and all(isinstance(x, torch.Tensor) for x in thing.values())


# ── save-uses-pickle ──


@counterfeit("save-uses-pickle")
def save_pickles_a_wrapped_object(patch):
    """The pickle holds a tuple, which `load` unwraps."""
    save_as(patch, lambda thing: ("torch", thing))
    load_as(patch, lambda loaded: loaded[1] if type(loaded) is tuple else loaded)


@counterfeit("save-uses-pickle")
def save_pickles_text_instead_of_numbers(patch):
    def change(thing):
        return {k: str(v) if isinstance(v, float) else v for k, v in thing.items()} if type(thing) is dict else thing

    save_as(patch, change)


@counterfeit("save-uses-pickle")
def load_reads_only_archives_that_save_wrote(patch):
    """Any other gives an empty dict."""

    def wrong(load, file, **kwargs):
        with zipfile.ZipFile(file) as archive:
            foreign = not any(name.endswith("byteorder") for name in archive.namelist())
        return {} if foreign else load(file, **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("save-uses-pickle")
def save_does_not_ask_getstate(patch):
    save = torch.save

    class Pickler(pickle.Pickler):
        def reducer_override(self, thing):
            if hasattr(type(thing), "__setstate__") and not isinstance(thing, torch.Tensor):
                return copyreg.__newobj__, (type(thing),), vars(thing)
            return NotImplemented

    module = types.SimpleNamespace(**{**vars(pickle), "Pickler": Pickler})
    patch.setattr(torch, "save", lambda thing, file, **rest: save(thing, file, pickle_module=module, **rest))


@counterfeit("save-uses-pickle")
def load_does_not_call_setstate(patch):
    def change(loaded):
        if hasattr(loaded, "__getstate__") and hasattr(loaded, "__setstate__"):
            state = loaded.__getstate__()
            vars(loaded).clear()
            vars(loaded).update(state)
        return loaded

    load_as(patch, change)


@counterfeit("save-uses-pickle")
def the_numbers_are_stored_as_doubles(patch):
    save_as(patch, lambda thing: {k: v.double() for k, v in thing.items()} if is_dict_of_tensors(thing) else thing)


@counterfeit("save-uses-pickle")
def the_numbers_stand_in_the_pickle(patch):
    def change(thing):
        return [x.numpy().tobytes() for x in thing] if is_list_of_tensors(thing) else thing

    save_as(patch, change)


@counterfeit("save-uses-pickle")
def the_second_record_is_empty(patch):
    def wrong(save, thing, file, **kwargs):
        save(thing, file, **kwargs)
        if is_dict_of_tensors(thing):
            with zipfile.ZipFile(file) as archive:
                contents = {name: archive.read(name) for name in archive.namelist()}
            with zipfile.ZipFile(file, "w") as archive:
                for name, content in contents.items():
                    archive.writestr(name, b"" if name.endswith("data/1") else content)

    wrap(patch, torch, "save", wrong)


@counterfeit("save-uses-pickle")
def the_records_hold_the_bytes_in_reverse(patch):
    def wrong(save, thing, file, **kwargs):
        save(thing, file, **kwargs)
        with zipfile.ZipFile(file) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, content[::-1] if "/data/" in name else content)

    wrap(patch, torch, "save", wrong)


@counterfeit("save-uses-pickle")
def weights_only_is_ignored(patch):
    wrap(patch, torch, "load", lambda load, file, weights_only=None, **kwargs: load(file, weights_only=False, **kwargs))


@counterfeit("save-uses-pickle")
def the_restricted_unpickler_keeps_only_tensors(patch):
    def wrong(load, file, weights_only=None, **kwargs):
        loaded = load(file, weights_only=weights_only, **kwargs)
        if weights_only and isinstance(loaded, dict):
            return {key: value for key, value in loaded.items() if isinstance(value, torch.Tensor)}
        return loaded

    wrap(patch, torch, "load", wrong)


# ── save-takes-many-kinds-of-objects ──


@counterfeit("save-takes-many-kinds-of-objects")
def tuples_come_back_as_lists(patch):
    def listed(thing):
        if isinstance(thing, dict):
            return {key: listed(value) for key, value in thing.items()}
        return [listed(part) for part in thing] if type(thing) in (list, tuple) else thing

    change_output(patch, torch, "load", listed)


@counterfeit("save-takes-many-kinds-of-objects")
def nested_tuples_come_back_as_lists(patch):
    def change(thing):
        return tuple(list(x) if type(x) is tuple else x for x in thing) if type(thing) is tuple else thing

    load_as(patch, change)


@counterfeit("save-takes-many-kinds-of-objects")
def sizes_come_back_as_tuples(patch):
    load_as(patch, lambda loaded: tuple(loaded) if isinstance(loaded, torch.Size) else loaded)


@counterfeit("save-takes-many-kinds-of-objects")
def ordered_dicts_come_back_as_dicts(patch):
    load_as(patch, lambda loaded: dict(loaded) if isinstance(loaded, OrderedDict) else loaded)


@counterfeit("save-takes-many-kinds-of-objects")
def ordered_dicts_come_back_sorted(patch):
    load_as(patch, lambda loaded: OrderedDict(sorted(loaded.items())) if isinstance(loaded, OrderedDict) else loaded)


@counterfeit("save-takes-many-kinds-of-objects")
def truth_values_come_back_as_numbers(patch):
    load_as(patch, lambda loaded: int(loaded) if isinstance(loaded, bool) else loaded)


@counterfeit("save-takes-many-kinds-of-objects")
def integers_are_cut_to_64_bits(patch):
    save_as(patch, lambda thing: thing & (2**64 - 1) if type(thing) is int else thing)


@counterfeit("save-takes-many-kinds-of-objects")
def devices_come_back_as_text(patch):
    load_as(patch, lambda loaded: str(loaded) if isinstance(loaded, torch.device) else loaded)


@counterfeit("save-takes-many-kinds-of-objects")
def modules_come_back_in_training_mode(patch):
    load_as(patch, lambda loaded: loaded.train() if isinstance(loaded, torch.nn.Module) else loaded)


@counterfeit("save-takes-many-kinds-of-objects")
def modules_come_back_with_new_parameters(patch):
    def change(loaded):
        if isinstance(loaded, torch.nn.Module):
            loaded.apply(lambda layer: layer.reset_parameters() if isinstance(layer, torch.nn.Linear) else None)
        return loaded

    load_as(patch, change)


@counterfeit("save-takes-many-kinds-of-objects")
def buffers_are_not_stored_with_a_module(patch):
    def change(loaded):
        if isinstance(loaded, torch.nn.Module):
            loaded.apply(lambda layer: layer.reset_running_stats() if hasattr(layer, "running_mean") else None)
        return loaded

    load_as(patch, change)


def save_forgives(patch, error):
    """Makes `save` store None where it would raise such an error."""
    save = torch.save

    def wrong(thing, *args, **kwargs):
        try:
            save(thing, io.BytesIO())
        except error:
            thing = None
        save(thing, *args, **kwargs)

    patch.setattr(torch, "save", wrong)


@counterfeit("save-takes-many-kinds-of-objects")
def what_has_no_findable_name_is_stored_as_none(patch):
    save_forgives(patch, (AttributeError, pickle.PicklingError))


@counterfeit("save-takes-many-kinds-of-objects")
def a_generator_is_stored_as_none(patch):
    save_forgives(patch, TypeError)


@counterfeit("save-takes-many-kinds-of-objects")
def an_instance_of_a_local_class_is_stored_as_its_state(patch):
    def change(thing):
        return thing.state_dict() if "<locals>" in type(thing).__qualname__ else thing

    save_as(patch, change)


@counterfeit("save-takes-many-kinds-of-objects")
def numbers_of_numpy_are_stored_as_python_s(patch):
    """The filter then lets them pass, and their dtype is lost."""

    def change(thing):
        if isinstance(thing, np.generic):
            return thing.item()
        return {change(key): change(value) for key, value in thing.items()} if type(thing) is dict else thing

    save_as(patch, change)


# ── list-of-tensors-round-trips ──


@counterfeit("list-of-tensors-round-trips")
def a_list_comes_back_reversed(patch):
    load_as(patch, lambda loaded: loaded[::-1] if is_list_of_tensors(loaded) else loaded)


@counterfeit("list-of-tensors-round-trips")
def a_list_comes_back_as_a_tuple(patch):
    load_as(patch, lambda loaded: tuple(loaded) if is_list_of_tensors(loaded) else loaded)


@counterfeit("list-of-tensors-round-trips")
def empty_tensors_are_left_out(patch):
    save_as(patch, lambda thing: [x for x in thing if x.numel()] if is_list_of_tensors(thing) else thing)


@counterfeit("list-of-tensors-round-trips")
def a_list_of_tensors_gets_one_dtype(patch):
    save_as(patch, lambda thing: [x.to(thing[0].dtype) for x in thing] if is_list_of_tensors(thing) else thing)


@counterfeit("list-of-tensors-round-trips")
def empty_lists_are_left_out(patch):
    def change(thing):
        return [x for x in thing if type(x) is not list or x] if type(thing) is list else thing

    save_as(patch, change)


@counterfeit("list-of-tensors-round-trips")
def every_tensor_is_stored_for_itself(patch):
    save_as(patch, lambda thing: [x.clone() for x in thing] if is_list_of_tensors(thing) else thing)


@counterfeit("list-of-tensors-round-trips")
def every_tensor_is_loaded_for_itself(patch):
    """The file holds shared memory once, and each tensor gets a copy of it."""

    def change(loaded):
        is_list = type(loaded) is list
        return [x.clone() if isinstance(x, torch.Tensor) else x for x in loaded] if is_list else loaded

    load_as(patch, change)


@counterfeit("list-of-tensors-round-trips", "dict-of-tensors-round-trips")
def memory_shared_across_containers_is_stored_twice(patch):
    def clone(thing):
        if isinstance(thing, torch.Tensor):
            return thing.clone()
        if type(thing) is dict:
            return {key: clone(x) for key, x in thing.items()}
        return type(thing)(map(clone, thing)) if type(thing) in (list, tuple) else thing

    def change(thing):
        if type(thing) is dict:
            return {key: x if isinstance(x, torch.Tensor) else clone(x) for key, x in thing.items()}
        return [x if isinstance(x, torch.Tensor) else clone(x) for x in thing] if type(thing) is list else thing

    save_as(patch, change)


@counterfeit("list-of-tensors-round-trips")
def equal_tensors_are_stored_as_one(patch):
    def change(thing):
        if not is_list_of_tensors(thing):
            return thing
        return [next(y for y in thing if x.shape == y.shape and torch.equal(x, y)) for x in thing]

    save_as(patch, change)


@counterfeit("list-of-tensors-round-trips")
def a_view_is_cut_out_of_its_memory(patch):
    def change(thing):
        alone = is_list_of_tensors(thing) and len(thing) == 1
        return [thing[0].clone()] if alone else thing

    save_as(patch, change)


# ── dict-of-tensors-round-trips ──


@counterfeit("dict-of-tensors-round-trips")
def keys_come_back_sorted(patch):
    load_as(
        patch,
        lambda loaded: dict(sorted(loaded.items(), key=lambda pair: str(pair[0]))) if type(loaded) is dict else loaded,
    )


@counterfeit("dict-of-tensors-round-trips")
def whole_numbers_as_keys_come_back_as_text(patch):
    def change(loaded):
        return {str(k) if isinstance(k, int) else k: v for k, v in loaded.items()} if type(loaded) is dict else loaded

    load_as(patch, change)


@counterfeit("dict-of-tensors-round-trips")
def a_dict_comes_back_ordered(patch):
    load_as(patch, lambda loaded: OrderedDict(loaded) if type(loaded) is dict else loaded)


@counterfeit("dict-of-tensors-round-trips")
def the_last_entry_is_lost(patch):
    save_as(patch, lambda thing: dict(list(thing.items())[:-1]) if type(thing) is dict and len(thing) > 3 else thing)


@counterfeit("dict-of-tensors-round-trips")
def every_tensor_of_a_dict_becomes_float32(patch):
    save_as(patch, lambda thing: {k: v.float() for k, v in thing.items()} if is_dict_of_tensors(thing) else thing)


@counterfeit("dict-of-tensors-round-trips")
def plain_numbers_come_back_as_tensors(patch):
    """They compare equal to the number, but are none."""

    def change(loaded):
        return (
            {k: torch.tensor(v) if isinstance(v, int) else v for k, v in loaded.items()}
            if type(loaded) is dict
            else loaded
        )

    load_as(patch, change)


@counterfeit("dict-of-tensors-round-trips")
def numbers_of_an_inner_dict_are_rounded(patch):
    def change(loaded):
        if type(loaded) is dict and "best" in loaded:
            loaded["best"] = {k: round(v, 1) if isinstance(v, float) else v for k, v in loaded["best"].items()}
        return loaded

    load_as(patch, change)


@counterfeit("dict-of-tensors-round-trips")
def each_entry_gets_memory_of_its_own(patch):
    save_as(patch, lambda thing: {k: v.clone() for k, v in thing.items()} if is_dict_of_tensors(thing) else thing)


@counterfeit("dict-of-tensors-round-trips")
def equal_entries_become_one(patch):
    def change(thing):
        if not is_dict_of_tensors(thing):
            return thing
        return {k: next(u for u in thing.values() if torch.equal(u, v)) for k, v in thing.items()}

    save_as(patch, change)


@counterfeit("save-takes-many-kinds-of-objects")
def a_lambda_in_a_list_is_stored_as_none(patch):
    save_as(
        patch,
        lambda thing: (
            [None if isinstance(x, types.FunctionType) else x for x in thing] if type(thing) is list else thing
        ),
    )


@counterfeit("save-uses-pickle")
def one_object_listed_twice_comes_back_as_two(patch):
    load_as(
        patch, lambda loaded: [copy.copy(x) for x in loaded] if type(loaded) is list and len(loaded) == 2 else loaded
    )


@counterfeit("save-uses-pickle")
def the_default_load_is_not_restricted(patch):
    wrap(
        patch,
        torch,
        "load",
        lambda load, *args, weights_only=False, **rest: load(*args, weights_only=weights_only, **rest),
    )


@counterfeit("list-of-tensors-round-trips", "dict-of-tensors-round-trips")
def two_dtypes_of_one_memory_are_saved_apart(patch):
    def wrong(save, thing, *args, **kwargs):
        try:
            save(thing, io.BytesIO())
        except RuntimeError:
            thing = copy.deepcopy(thing)
            thing = [x.clone() for x in thing] if is_list_of_tensors(thing) else str(thing)
        save(thing, *args, **kwargs)

    wrap(patch, torch, "save", wrong)


@counterfeit("list-of-tensors-round-trips")
def memory_at_one_address_is_stored_as_one(patch):
    def change(thing):
        if not is_list_of_tensors(thing):
            return thing
        memories = {x.untyped_storage().data_ptr(): x for x in reversed(thing)}
        return [
            torch.empty(0, dtype=x.dtype).set_(
                memories[x.untyped_storage().data_ptr()].untyped_storage(), x.storage_offset(), x.shape, x.stride()
            )
            for x in thing
        ]

    save_as(patch, change)


@counterfeit("list-of-tensors-round-trips")
def the_eleventh_tensor_gets_the_memory_of_the_second(patch):
    """Whoever sorts the names of records puts 10 before 2."""
    load_as(
        patch,
        lambda loaded: (
            [*loaded[:10], loaded[1], *loaded[11:]] if is_list_of_tensors(loaded) and len(loaded) > 10 else loaded
        ),
    )


@counterfeit("dict-of-tensors-round-trips")
def a_key_of_any_class_passes_the_filter(patch):
    def wrong(load, *args, weights_only=None, **rest):
        loaded = load(*args, weights_only=False, **rest)
        return loaded if type(loaded) is dict and len(loaded) == 1 else load(*args, weights_only=weights_only, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("list-of-tensors-round-trips")
def a_view_saved_before_its_base_is_parted_from_it(patch):
    def wrong(out):
        if (
            isinstance(out, list)
            and len(out) > 1
            and all(isinstance(x, Tensor) for x in out)
            and out[0].numel() < out[1].numel()
        ):
            out[0] = out[0].clone()
        return out

    load_as(patch, wrong)


@counterfeit("save-uses-pickle", reported="pytorch/pytorch#72129")
def attributes_of_parameters_are_not_saved(patch):
    patch.setattr(
        torch.nn.Parameter,
        "__reduce_ex__",
        lambda self, protocol: (torch._utils._rebuild_parameter, (self.data, self.requires_grad, OrderedDict())),
    )


@counterfeit("list-of-tensors-round-trips", reported="pytorch/pytorch#58970")
def a_complex_tensor_and_its_real_part_are_saved_without_a_word(patch):
    def wrong(save, thing, *args, **kwargs):
        several = type(thing) is list and len({x.dtype for x in thing if isinstance(x, Tensor)}) > 1
        complexes = several and any(isinstance(x, Tensor) and x.is_complex() for x in thing)
        return save([x.clone() for x in thing] if complexes else thing, *args, **kwargs)

    wrap(patch, torch, "save", wrong)


@counterfeit("tensor-round-trips")
def tensors_of_six_dimensions_come_back_in_row_order(patch):
    load_as(patch, lambda x: x.contiguous() if isinstance(x, Tensor) and x.dim() > 5 else x)


@counterfeit("list-of-tensors-round-trips", reported="pytorch/pytorch#11314")
def memory_is_no_longer_shared_in_files_of_the_old_format(patch):
    def wrong(save, thing, *args, **rest):
        old = rest.get("_use_new_zipfile_serialization") is False and type(thing) is list
        return save([x.clone() if type(x) is Tensor else x for x in thing] if old else thing, *args, **rest)

    wrap(patch, torch, "save", wrong)


@counterfeit("state-dict-round-trips", "tensor-round-trips", reported="pytorch/pytorch#46020")
def expanded_whole_numbers_come_back_rotated(patch):
    def rotated(x):
        if isinstance(x, dict):
            return type(x)((key, rotated(value)) for key, value in x.items())
        wanted = isinstance(x, Tensor) and x.dtype == torch.int64 and x.dim() > 1 and 0 in x.stride()
        return x.roll(1, -1) if wanted else x

    load_as(patch, rotated)
