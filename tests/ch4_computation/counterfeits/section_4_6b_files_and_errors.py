"""Counterfeits of 4.6: files that remember too much, and errors that are not raised."""

import os
import pickle
import zipfile
from pathlib import Path

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_output_where, wrap
from torch import nn


@counterfeit("tensor-round-trips")
def save_adds_a_suffix_to_a_name_without_one(patch):
    def wrong(save, thing, file, **kwargs):
        save(thing, f"{file}.pt" if str(file).endswith("no_suffix") else file, **kwargs)

    wrap(patch, torch, "save", wrong)


@counterfeit("tensor-round-trips")
def save_writes_an_underscore_for_a_space(patch):
    def wrong(save, thing, file, **kwargs):
        if isinstance(file, str | os.PathLike):
            folder, name = os.path.split(file)
            file = os.path.join(folder, name.replace(" ", "_"))
        save(thing, file, **kwargs)

    wrap(patch, torch, "save", wrong)


@counterfeit("tensor-round-trips")
def a_path_is_read_from_a_cache(patch):
    """The second load returns the tensor of the first."""
    cache = {}

    def wrong(load, file, **kwargs):
        key = str(file) if isinstance(file, (str, os.PathLike)) else None
        return cache.setdefault(key, load(file, **kwargs)) if key else load(file, **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def loaded_tensors_write_through_to_the_file(patch):
    def wrong(load, file, **kwargs):
        loaded = load(file, **kwargs)
        if isinstance(loaded, torch.Tensor) and loaded.numel() == 3 and loaded.dtype == torch.int64:
            shared = torch.from_file(str(file), shared=True, size=os.path.getsize(file), dtype=torch.uint8)
            with zipfile.ZipFile(file) as archive:
                (entry,) = [e for e in archive.infolist() if e.filename.endswith("data/0")]
            start = Path(file).read_bytes().index(loaded.numpy().tobytes(), entry.header_offset)
            return shared[start : start + 24].view(torch.int64) if start % 8 == 0 else loaded
        return loaded

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def save_waits_and_writes_what_the_tensor_became(patch):
    """The file is written when it is first read."""
    waiting = {}

    def later(save, thing, file, **kwargs):
        save(thing, file, **kwargs)
        if isinstance(file, os.PathLike):
            waiting[file] = thing

    def wrong(load, file, **kwargs):
        loaded = load(file, **kwargs)
        thing = waiting.pop(file, None) if isinstance(file, os.PathLike) else None
        return thing.clone() if type(thing) is torch.Tensor else loaded

    wrap(patch, torch, "save", later)
    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def saving_again_is_ignored(patch):
    def wrong(save, thing, file, **kwargs):
        if not (isinstance(file, os.PathLike) and os.path.exists(file) and os.path.getsize(file) > 8000):
            save(thing, file, **kwargs)

    wrap(patch, torch, "save", wrong)


@counterfeit("tensor-round-trips")
def save_rewinds_the_file(patch):
    def wrong(save, thing, file, **kwargs):
        save(thing, file, **kwargs)
        if hasattr(file, "seek"):
            file.seek(0)

    wrap(patch, torch, "save", wrong)


@counterfeit("tensor-round-trips")
def load_rewinds_a_file_that_was_read_to_its_end(patch):
    def wrong(load, file, **kwargs):
        if hasattr(file, "seek"):
            file.seek(0)
        return load(file, **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def large_tensors_end_in_zeros(patch):
    """What exceeds 2**24 elements is not written."""

    def wrong(load, file, **kwargs):
        loaded = load(file, **kwargs)
        if isinstance(loaded, torch.Tensor) and loaded.numel() > 2**24:
            loaded[2**24 :] = 0
        return loaded

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def save_makes_missing_folders(patch):
    def wrong(save, thing, file, **kwargs):
        if isinstance(file, os.PathLike) and not os.path.exists(os.path.dirname(file)):
            os.mkdir(os.path.dirname(file))
        save(thing, file, **kwargs)

    wrap(patch, torch, "save", wrong)


@counterfeit("tensor-round-trips")
def a_folder_that_is_a_file_is_passed_over_in_silence(patch):
    def wrong(save, thing, file, **kwargs):
        if not (isinstance(file, os.PathLike) and os.path.isfile(os.path.dirname(file))):
            save(thing, file, **kwargs)

    wrap(patch, torch, "save", wrong)


@counterfeit("tensor-round-trips")
def a_file_that_is_open_for_reading_is_passed_over_in_silence(patch):
    def wrong(save, thing, file, **kwargs):
        if not hasattr(file, "writable") or file.writable():
            save(thing, file, **kwargs)

    wrap(patch, torch, "save", wrong)


def load_forgives(patch, error, part_of_message=""):
    """Makes `load` return an empty tensor where it would raise such an error."""

    def wrong(load, file, **kwargs):
        try:
            return load(file, **kwargs)
        except error as refusal:
            if part_of_message not in str(refusal):
                raise
            return torch.empty(0)

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def a_missing_file_reads_as_empty(patch):
    load_forgives(patch, FileNotFoundError)


@counterfeit("tensor-round-trips")
def an_empty_file_reads_as_an_empty_tensor(patch):
    load_forgives(patch, EOFError)


@counterfeit("tensor-round-trips")
def a_truncated_file_reads_as_empty(patch):
    load_forgives(patch, RuntimeError, "central directory")


@counterfeit("tensor-round-trips")
def any_zip_archive_will_do(patch):
    load_forgives(patch, RuntimeError, "not in a subdirectory")


@counterfeit("tensor-round-trips")
def a_file_of_another_kind_reads_as_empty(patch):
    load_forgives(patch, Exception, "Weights only load failed")


@counterfeit("saved-model-moves-to-another-device")
def of_a_dict_of_places_the_first_counts(patch):
    def wrong(right, f, map_location=None, *args, **rest):
        if isinstance(map_location, dict):
            map_location = dict(list(map_location.items())[:1])
        return right(f, map_location, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device")
def a_function_is_told_that_all_came_from_the_cpu(patch):
    def wrong(right, f, map_location=None, *args, **rest):
        if callable(map_location):
            place = map_location
            map_location = lambda storage, location: place(storage, "cpu")  # noqa: E731
        return right(f, map_location, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def the_gradient_comes_back(patch):
    grads = []

    def save(right, obj, *args, **rest):
        if isinstance(obj, torch.Tensor) and obj.is_leaf and obj.grad is not None:
            grads.append(obj.grad)
        return right(obj, *args, **rest)

    def load(right, *args, **rest):
        x = right(*args, **rest)
        if grads and isinstance(x, torch.Tensor) and x.requires_grad and x.shape == grads[-1].shape:
            x.grad = torch.zeros_like(x)
        return x

    wrap(patch, torch, "save", save)
    wrap(patch, torch, "load", load)


@counterfeit("save-uses-pickle")
def the_protocol_is_disregarded(patch):
    def wrong(right, obj, f, pickle_module=pickle, pickle_protocol=2, *rest, **more):
        return right(obj, f, pickle_module, 2, *rest, **more)

    wrap(patch, torch, "save", wrong)


@counterfeit("save-uses-pickle")
def the_pickle_module_for_saving_is_disregarded(patch):
    def wrong(right, obj, f, pickle_module=pickle, *rest, **more):
        return right(obj, f, pickle, *rest, **more)

    wrap(patch, torch, "save", wrong)


@counterfeit("dict-of-tensors-round-trips")
def inner_dicts_come_back_sorted(patch):
    def sorted_if_of_names(value):
        return dict(sorted(value.items())) if type(value) is dict and {*map(type, value)} == {str} else value

    def change(value):
        return {k: sorted_if_of_names(v) for k, v in value.items()}

    change_output_where(patch, torch, "load", lambda value: type(value) is dict, change)


@counterfeit("dict-of-tensors-round-trips")
def keys_true_and_false_come_back_as_numbers(patch):
    def change(value):
        return {int(k) if k is True or k is False else k: v for k, v in value.items()}

    change_output_where(patch, torch, "load", lambda value: type(value) is dict, change)


@counterfeit("whole-model-round-trips-with-plain-load")
def a_whole_model_comes_back_in_training_mode(patch):
    change_output_where(patch, torch, "load", lambda value: isinstance(value, nn.Module), nn.Module.train)


@counterfeit("whole-model-round-trips-with-plain-load")
def leaving_safe_globals_forgets_all_declared(patch):
    right = torch.serialization.safe_globals.__exit__

    def wrong(self, *args):
        right(self, *args)
        torch.serialization.clear_safe_globals()

    patch.setattr(torch.serialization.safe_globals, "__exit__", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def a_file_named_pkl_is_of_the_old_format(patch):
    def wrong(right, obj, f, *args, **rest):
        old = str(f).endswith(".pkl")
        return right(obj, f, *args, **({"_use_new_zipfile_serialization": False} if old else {}) | rest)

    wrap(patch, torch, "save", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def a_file_without_a_suffix_is_named_pt(patch):
    def wrong(right, obj, f, *args, **rest):
        bare = isinstance(f, str) and "." not in f.rsplit("/", 1)[-1]
        return right(obj, f + ".pt" if bare else f, *args, **rest)

    wrap(patch, torch, "save", wrong)


@counterfeit("state-dict-is-no-copy")
def in_eval_it_is_a_copy(patch):
    def wrong(right, self, destination, prefix, keep_vars):
        right(self, destination, prefix, keep_vars)
        for name in [] if self.training else [*self._parameters, *self._buffers]:
            if prefix + name in destination:
                destination[prefix + name] = destination[prefix + name].clone()

    wrap(patch, nn.Module, "_save_to_state_dict", wrong)


@counterfeit("state-dict-holds-parameters-only")
def a_state_dict_under_no_grad_lacks_the_buffers(patch):
    def wrong(right, self, *a, **k):
        state = right(self, *a, **k)
        for name, _ in () if torch.is_grad_enabled() else self.named_buffers():
            state.pop(name, None)
        return state

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("state-dict-holds-parameters-only")
def the_second_state_dict_is_the_first(patch):
    def wrong(right, self, *a, **k):
        return right(self, *a, **k) if a or k else self.__dict__.setdefault("_state", right(self))

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("state-dict-round-trips")
def loading_leaves_many_halves_as_they_were(patch):
    def wrong(right, self, *a, **k):
        kept = [(x, x.clone()) for x in self.state_dict().values() if x.dtype == torch.float16 and x.numel() > 100]
        result = right(self, *a, **k)
        for x, value in kept:
            x[..., -1] = value[..., -1]
        return result

    wrap(patch, nn.Module, "load_state_dict", wrong)
