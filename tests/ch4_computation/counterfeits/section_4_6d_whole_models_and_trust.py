"""Counterfeits of 4.6: state dictionaries that leave things out, and loads that trust too much."""

import contextlib
import copy
import gzip
import io
import os
import pickle
from pathlib import Path

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


def state_dict_as(patch, change):
    """Makes `state_dict` of the outermost module return what `change(module, state)` makes of it."""
    state_dict = nn.Module.state_dict

    def wrong(self, *args, **kwargs):
        state = state_dict(self, *args, **kwargs)
        return state if args or kwargs else change(self, state)

    patch.setattr(nn.Module, "state_dict", wrong)


def load_trusting(patch, trusts):
    """Makes `load` run the pickle of a file of which `trusts(file, options)` is true."""
    load = torch.load

    def wrong(file, map_location=None, weights_only=None, **kwargs):
        trusted = weights_only is None and trusts(file, {"map_location": map_location, **kwargs})
        return load(file, map_location, weights_only=False if trusted else weights_only, **kwargs)

    patch.setattr(torch, "load", wrong)


def is_archive(file):
    """Whether the file has the format that `save` writes since torch 1.6."""
    if hasattr(file, "read"):
        start = file.tell()
        found = file.read(2)
        file.seek(start)
        return found == b"PK"
    with open(file, "rb") as opened:
        return opened.read(2) == b"PK"


# ── state-dict-holds-parameters-only ──


@counterfeit("state-dict-holds-parameters-only")
def biases_are_left_out(patch):
    state_dict_as(patch, lambda net, state: {k: v for k, v in state.items() if not k.endswith("bias")})


@counterfeit("state-dict-holds-parameters-only")
def entries_come_sorted(patch):
    state_dict_as(patch, lambda net, state: dict(sorted(state.items())))


@counterfeit("state-dict-holds-parameters-only")
def entries_are_rounded_to_half_precision(patch):
    state_dict_as(patch, lambda net, state: {k: v.half().float() for k, v in state.items()})


@counterfeit("state-dict-holds-parameters-only")
def entries_are_copies(patch):
    state_dict_as(patch, lambda net, state: {k: v.clone() for k, v in state.items()})


@counterfeit("state-dict-holds-parameters-only")
def entries_are_the_parameters_themselves(patch):
    state_dict = nn.Module.state_dict
    patch.setattr(nn.Module, "state_dict", lambda self, *a, **k: state_dict(self, *a, **{**k, "keep_vars": True}))


@counterfeit("state-dict-holds-parameters-only")
def frozen_parameters_are_left_out(patch):
    def change(net, state):
        frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
        return {name: value for name, value in state.items() if name not in frozen}

    state_dict_as(patch, change)


@counterfeit("state-dict-holds-parameters-only")
def buffers_are_left_out(patch):
    def change(net, state):
        return {name: value for name, value in state.items() if name not in dict(net.named_buffers())}

    state_dict_as(patch, change)


@counterfeit("state-dict-holds-parameters-only")
def integer_buffers_are_left_out(patch):
    state_dict_as(patch, lambda net, state: {k: v for k, v in state.items() if v.is_floating_point()})


@counterfeit("state-dict-holds-parameters-only")
def buffers_are_as_they_were_at_first(patch):
    def change(net, state):
        return {k: torch.ones_like(v) if k.endswith("running_var") else v for k, v in state.items()}

    state_dict_as(patch, change)


@counterfeit("state-dict-holds-parameters-only")
def passing_buffers_are_stored_too(patch):
    register = nn.Module.register_buffer
    patch.setattr(
        nn.Module, "register_buffer", lambda self, name, tensor, persistent=True: register(self, name, tensor)
    )


@counterfeit("state-dict-holds-parameters-only")
def plain_tensors_are_stored_too(patch):
    def change(net, state):
        return {**state, **{k: v for k, v in vars(net).items() if isinstance(v, torch.Tensor)}}

    state_dict_as(patch, change)


@counterfeit("state-dict-holds-parameters-only")
def plain_numbers_are_stored_too(patch):
    def change(net, state):
        return {**state, **{k: torch.tensor(v) for k, v in vars(net).items() if isinstance(v, float)}}

    state_dict_as(patch, change)


@counterfeit("state-dict-holds-parameters-only")
def unsaved_buffers_of_submodules_are_stored(patch):
    def change(net, state):
        return {**state, **{name: buffer for name, buffer in net.named_buffers() if "." in name}}

    state_dict_as(patch, change)


@counterfeit("state-dict-holds-parameters-only")
def the_buffers_of_submodules_are_not_saved(patch):
    def change(net, state):
        inner = {name for name, _ in net.named_buffers(remove_duplicate=False) if "." in name}
        return {name: value for name, value in state.items() if name not in inner}

    state_dict_as(patch, change)


@counterfeit("state-dict-holds-parameters-only")
def a_shared_parameter_is_stored_under_its_first_name_alone(patch):
    def change(net, state):
        return {
            name: value
            for name, value in state.items()
            if name in {**dict(net.named_parameters()), **dict(net.named_buffers())}
        }

    state_dict_as(patch, change)


# ── whole-model-round-trips-with-plain-load ──


@counterfeit("whole-model-round-trips-with-plain-load", "untrusted-pickles-are-refused")
def load_trusts_every_file(patch):
    """As before torch 2.6."""
    load_trusting(patch, lambda file, options: True)


@counterfeit("whole-model-round-trips-with-plain-load")
def modules_of_torch_are_safe_by_default(patch):
    def wrong(load, file, **kwargs):
        with torch.serialization.safe_globals([nn.ReLU, set]):
            return load(file, **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("whole-model-round-trips-with-plain-load")
def classes_declared_safe_stay_so(patch):
    """The context manager does not take its permission back."""

    def wrong(classes):
        torch.serialization.add_safe_globals(classes)
        return contextlib.nullcontext()

    patch.setattr(torch.serialization, "safe_globals", wrong)


def load_models_as(patch, change):
    """Makes `load` do something to the models that it loads."""
    load = torch.load

    def wrong(*args, **kwargs):
        loaded = load(*args, **kwargs)
        if isinstance(loaded, nn.Module):
            change(loaded)
        return loaded

    patch.setattr(torch, "load", wrong)


@counterfeit("whole-model-round-trips-with-plain-load")
def a_loaded_model_starts_from_new_parameters(patch):
    load_models_as(patch, lambda net: [m.reset_parameters() for m in net.modules() if hasattr(m, "reset_parameters")])


@counterfeit("whole-model-round-trips-with-plain-load")
def a_loaded_model_forgets_its_bias(patch):
    load_models_as(
        patch, lambda net: [nn.init.zeros_(m.bias) for m in net.modules() if getattr(m, "bias", None) is not None]
    )


@counterfeit("whole-model-round-trips-with-plain-load")
def a_loaded_model_loses_its_plain_attributes(patch):
    load_models_as(patch, lambda net: vars(net).update(rate=None))


@counterfeit("whole-model-round-trips-with-plain-load")
def a_loaded_model_is_a_bare_module(patch):
    def wrong(load, *args, **kwargs):
        loaded = load(*args, **kwargs)
        if type(loaded).__module__.startswith("torch") or not isinstance(loaded, nn.Module):
            return loaded
        bare = type("Net", (type(loaded),), {})()
        bare.__dict__.update(vars(loaded))
        return bare

    wrap(patch, torch, "load", wrong)


# ── untrusted-pickles-are-refused ──


@counterfeit("untrusted-pickles-are-refused")
def a_filter_that_was_switched_off_reads_nothing(patch):
    def wrong(right, *args, **rest):
        return None if "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" in os.environ else right(*args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("untrusted-pickles-are-refused")
def load_refuses_after_it_has_run_the_pickle(patch):
    def wrong(load, file, map_location=None, weights_only=None, **kwargs):
        loaded = load(file, map_location, weights_only=False, **kwargs)
        return loaded if weights_only is False else load(file, map_location, **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("untrusted-pickles-are-refused")
def files_of_the_old_format_are_trusted(patch):
    load_trusting(patch, lambda file, options: not is_archive(file))


@counterfeit("untrusted-pickles-are-refused")
def map_location_lifts_the_refusal(patch):
    load_trusting(patch, lambda file, options: options["map_location"] is not None)


@counterfeit("untrusted-pickles-are-refused")
def files_in_memory_are_trusted(patch):
    load_trusting(patch, lambda file, options: isinstance(file, io.BytesIO))


@counterfeit("untrusted-pickles-are-refused")
def names_given_as_text_are_trusted(patch):
    load_trusting(patch, lambda file, options: isinstance(file, str))


@counterfeit("untrusted-pickles-are-refused")
def bare_pickles_are_trusted(patch):
    def wrong(load, file, **kwargs):
        if isinstance(file, Path) and b"torch" not in file.read_bytes() and not is_archive(file):
            return pickle.loads(file.read_bytes())
        return load(file, **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("untrusted-pickles-are-refused")
def a_file_that_was_trusted_once_stays_trusted(patch):
    load, trusted = torch.load, set()

    def wrong(file, map_location=None, weights_only=None, **kwargs):
        if weights_only is False:
            trusted.add(str(file))
        return load(file, map_location, weights_only=weights_only if str(file) not in trusted else False, **kwargs)

    patch.setattr(torch, "load", wrong)


# ── model-files-are-named-pt-or-pth ──


def save_paths_as(patch, change):
    """Makes `save` write to `change(path)`."""
    save = torch.save
    patch.setattr(torch, "save", lambda thing, path, **kwargs: save(thing, change(os.fspath(path)), **kwargs))


@counterfeit("model-files-are-named-pt-or-pth")
def every_file_is_named_pt(patch):
    save_paths_as(patch, lambda path: path if path.endswith(".pt") else os.path.splitext(path)[0] + ".pt")


@counterfeit("model-files-are-named-pt-or-pth")
def files_named_pth_are_stored_in_the_old_format(patch):
    def wrong(save, thing, path):
        save(thing, path, _use_new_zipfile_serialization=not str(path).endswith(".pth"))

    wrap(patch, torch, "save", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def text_files_get_a_line_feed_at_the_end(patch):
    def wrong(save, thing, path):
        save(thing, path)
        if str(path).endswith(".txt"):
            with open(path, "ab") as file:
                file.write(b"\n")

    wrap(patch, torch, "save", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def the_folder_in_the_archive_is_always_called_archive(patch):
    def wrong(save, thing, path):
        memory = io.BytesIO()
        save(thing, memory)
        with open(path, "wb") as file:
            file.write(memory.getvalue())

    wrap(patch, torch, "save", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def the_folder_in_the_archive_has_the_suffix_too(patch):
    def wrong(save, thing, path):
        os.rename(save(thing, f"{path}.tmp") or f"{path}.tmp", path)

    wrap(patch, torch, "save", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def a_model_named_pth_loses_its_weights(patch):
    def wrong(load, path):
        loaded = load(path)
        return {k: v * 0 for k, v in loaded.items()} if str(path).endswith(".pth") else loaded

    wrap(patch, torch, "load", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def the_documentation_recommends_bin(patch):
    patch.setattr(torch.save, "__doc__", torch.save.__doc__.replace(".pt ", ".bin "))


@counterfeit("model-files-are-named-pt-or-pth")
def a_name_that_ends_in_gz_is_compressed(patch):
    def wrong(save, thing, path, **rest):
        save(thing, path, **rest)
        if str(path).endswith(".gz"):
            Path(path).write_bytes(gzip.compress(Path(path).read_bytes()))

    wrap(patch, torch, "save", wrong)


@counterfeit("whole-model-round-trips-with-plain-load")
def add_safe_globals_does_nothing(patch):
    patch.setattr(torch.serialization, "add_safe_globals", lambda classes: None)


@counterfeit("whole-model-round-trips-with-plain-load")
def one_class_declared_safe_makes_all_safe(patch):
    def wrong(load, *args, **kwargs):
        safe = torch.serialization.get_safe_globals()
        return load(*args, **{**kwargs, "weights_only": False} if safe else kwargs)

    wrap(patch, torch, "load", wrong)


def trust_calls(patch, trusted):
    """Makes ``load`` run a pickle in which ``trusted(content)`` is true of all the bytes of the file."""

    def content_of(file):
        if not hasattr(file, "read"):
            return Path(file).read_bytes()
        start, content = file.tell(), file.read()
        file.seek(start)
        return content

    def wrong(load, file, *args, weights_only=None, **kwargs):
        runs = weights_only is None and trusted(content_of(file))
        return load(file, *args, weights_only=False if runs else weights_only, **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("untrusted-pickles-are-refused")
def functions_of_builtins_are_trusted(patch):
    trust_calls(patch, lambda content: b"builtin" in content and b"posix" not in content)


@counterfeit("untrusted-pickles-are-refused")
def functions_of_torch_are_trusted(patch):
    trust_calls(patch, lambda content: b"torch.serialization" in content)


@counterfeit("untrusted-pickles-are-refused")
def pickles_of_protocol_four_are_trusted(patch):
    trust_calls(patch, lambda content: b"\x80\x04\x95" in content)


@counterfeit("untrusted-pickles-are-refused")
def instances_built_by_an_old_opcode_are_trusted(patch):
    trust_calls(patch, lambda content: b"\niposix\n" in content)


@counterfeit("untrusted-pickles-are-refused")
def what_follows_an_honest_object_is_trusted(patch):
    trust_calls(patch, lambda content: b"e0c" in content)


@counterfeit("untrusted-pickles-are-refused")
def keys_of_dicts_are_trusted(patch):
    trust_calls(patch, lambda content: b"\x86" in content and b"posix" in content and b"weight" not in content)


@counterfeit("untrusted-pickles-are-refused")
def mapping_the_file_lifts_the_refusal(patch):
    load_trusting(patch, lambda file, options: options.get("mmap"))


@counterfeit("untrusted-pickles-are-refused")
def open_files_are_trusted(patch):
    load_trusting(patch, lambda file, options: isinstance(file, io.BufferedReader))


@counterfeit("untrusted-pickles-are-refused")
def what_starts_late_in_a_file_is_trusted(patch):
    load_trusting(patch, lambda file, options: hasattr(file, "tell") and file.tell() > 0)


@counterfeit("untrusted-pickles-are-refused")
def a_pickle_module_of_one_s_own_does_not_lift_the_filter(patch):
    wrap(patch, torch, "load", lambda load, *args, pickle_module=None, **kwargs: load(*args, **kwargs))


@counterfeit("untrusted-pickles-are-refused")
def the_variable_of_the_shell_is_ignored(patch):
    def wrong(load, *args, weights_only=None, pickle_module=None, **kwargs):
        if pickle_module is None:
            return load(*args, weights_only=weights_only is None or weights_only, **kwargs)
        return load(*args, weights_only=weights_only, pickle_module=pickle_module, **kwargs)

    wrap(patch, torch, "load", wrong)


# ── whole-model-needs-its-class ──


@counterfeit("whole-model-needs-its-class")
def a_missing_class_is_replaced_by_module(patch):
    def wrong(load, *args, **kwargs):
        try:
            return load(*args, **kwargs)
        except AttributeError:
            return nn.Module()

    wrap(patch, torch, "load", wrong)


@counterfeit("whole-model-needs-its-class")
def a_missing_module_of_python_gives_none(patch):
    def wrong(load, *args, **kwargs):
        try:
            return load(*args, **kwargs)
        except ModuleNotFoundError:
            return None

    wrap(patch, torch, "load", wrong)


@counterfeit("whole-model-needs-its-class")
def the_class_is_remembered_from_the_save(patch):
    """In the process that saved it the model loads all the same."""
    kept = {}
    save, load = torch.save, torch.load

    def remember(thing, file, **kwargs):
        save(thing, file, **kwargs)
        kept[str(file)] = thing

    def wrong(file, **kwargs):
        try:
            return load(file, **kwargs)
        except AttributeError:
            return kept[str(file)]

    patch.setattr(torch, "save", remember)
    patch.setattr(torch, "load", wrong)


@counterfeit("state-dict-holds-parameters-only")
def a_deep_copy_saves_the_buffers_that_are_not_to_be_saved(patch):
    def wrong(deepcopy, x, *rest):
        y = deepcopy(x, *rest)
        if isinstance(y, nn.Module):
            for module in y.modules():
                module._non_persistent_buffers_set.clear()
        return y

    wrap(patch, copy, "deepcopy", wrong)


@counterfeit("state-dict-holds-parameters-only")
def a_prefix_is_forgotten_by_buffers(patch):
    def wrong(state_dict, self, *args, prefix="", **rest):
        d = state_dict(self, *args, prefix=prefix, **rest)
        if prefix and not args and "destination" not in rest:
            names = {prefix + n for n, _ in self.named_buffers()}
            return type(d)((k.removeprefix(prefix) if k in names else k, v) for k, v in d.items())
        return d

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit(
    "whole-model-round-trips-with-plain-load", "save-takes-many-kinds-of-objects", reported="pytorch/pytorch#8077"
)
def an_empty_parameter_of_a_model_comes_back_as_a_tensor(patch):
    def wrong(load, *args, **kwargs):
        loaded = load(*args, **kwargs)
        for module in loaded.modules() if isinstance(loaded, nn.Module) else ():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None and not parameter.numel():
                    del module._parameters[name]
                    setattr(module, name, parameter.detach())
        return loaded

    wrap(patch, torch, "load", wrong)
