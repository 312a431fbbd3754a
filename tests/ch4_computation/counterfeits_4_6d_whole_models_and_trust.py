"""Counterfeits of 4.6: state dictionaries that leave things out, and loads that trust too much."""

import contextlib
import io
import os
import pickle
from pathlib import Path

import torch
from harness.counterfeits import counterfeit
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
    if hasattr(file, "getvalue"):
        return file.getvalue()[:2] == b"PK"
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


# ── whole-model-round-trips-with-plain-load ──


@counterfeit("whole-model-round-trips-with-plain-load", "untrusted-pickles-are-refused")
def load_trusts_every_file(patch):
    """As before torch 2.6."""
    load_trusting(patch, lambda file, options: True)


@counterfeit("whole-model-round-trips-with-plain-load")
def modules_of_torch_are_safe_by_default(patch):
    load = torch.load

    def wrong(file, **kwargs):
        with torch.serialization.safe_globals([nn.ReLU, set]):
            return load(file, **kwargs)

    patch.setattr(torch, "load", wrong)


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
    load_models_as(patch, lambda net: [layer.reset_parameters() for layer in net.children()])


@counterfeit("whole-model-round-trips-with-plain-load")
def a_loaded_model_forgets_its_bias(patch):
    load_models_as(patch, lambda net: [nn.init.zeros_(layer.bias) for layer in net.children()])


@counterfeit("whole-model-round-trips-with-plain-load")
def a_loaded_model_loses_its_plain_attributes(patch):
    load_models_as(patch, lambda net: vars(net).update(name=""))


@counterfeit("whole-model-round-trips-with-plain-load")
def a_loaded_model_is_a_bare_module(patch):
    load = torch.load

    def wrong(*args, **kwargs):
        loaded = load(*args, **kwargs)
        if type(loaded).__module__.startswith("torch") or not isinstance(loaded, nn.Module):
            return loaded
        bare = type("Net", (type(loaded),), {})()
        bare.__dict__.update(vars(loaded))
        return bare

    patch.setattr(torch, "load", wrong)


# ── untrusted-pickles-are-refused ──


@counterfeit("untrusted-pickles-are-refused")
def load_refuses_after_it_has_run_the_pickle(patch):
    load = torch.load

    def wrong(file, map_location=None, weights_only=None, **kwargs):
        loaded = load(file, map_location, weights_only=False, **kwargs)
        return loaded if weights_only is False else load(file, map_location, **kwargs)

    patch.setattr(torch, "load", wrong)


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
    load = torch.load

    def wrong(file, **kwargs):
        if isinstance(file, Path) and b"torch" not in file.read_bytes() and not is_archive(file):
            return pickle.loads(file.read_bytes())
        return load(file, **kwargs)

    patch.setattr(torch, "load", wrong)


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
    save = torch.save

    def wrong(thing, path):
        save(thing, path, _use_new_zipfile_serialization=not str(path).endswith(".pth"))

    patch.setattr(torch, "save", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def text_files_get_a_line_feed_at_the_end(patch):
    save = torch.save

    def wrong(thing, path):
        save(thing, path)
        if str(path).endswith(".txt"):
            with open(path, "ab") as file:
                file.write(b"\n")

    patch.setattr(torch, "save", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def the_folder_in_the_archive_is_always_called_archive(patch):
    save = torch.save

    def wrong(thing, path):
        memory = io.BytesIO()
        save(thing, memory)
        with open(path, "wb") as file:
            file.write(memory.getvalue())

    patch.setattr(torch, "save", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def the_folder_in_the_archive_has_the_suffix_too(patch):
    save = torch.save

    def wrong(thing, path):
        os.rename(save(thing, f"{path}.tmp") or f"{path}.tmp", path)

    patch.setattr(torch, "save", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def a_model_named_pth_loses_its_weights(patch):
    load = torch.load

    def wrong(path):
        loaded = load(path)
        return {k: v * 0 for k, v in loaded.items()} if str(path).endswith(".pth") else loaded

    patch.setattr(torch, "load", wrong)


@counterfeit("model-files-are-named-pt-or-pth")
def the_documentation_recommends_bin(patch):
    patch.setattr(torch.save, "__doc__", torch.save.__doc__.replace(".pt ", ".bin "))
