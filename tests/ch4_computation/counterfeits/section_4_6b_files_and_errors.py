"""Counterfeits of 4.6: files that remember too much, and errors that are not raised."""

import os
import zipfile
from pathlib import Path

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


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
