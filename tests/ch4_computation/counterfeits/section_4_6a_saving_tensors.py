"""Counterfeits of 4.6: tensors that come back from a file not quite as they were, or not where they were wanted."""

import contextlib
import io

import torch
from harness.counterfeits import counterfeit
from harness.forging import calls_after, wrap


def save_with(patch, change):
    """Makes `save` store `change(tensor)` for every tensor, alone or in a list or dict."""
    save = torch.save

    def changed(value):
        if isinstance(value, torch.Tensor):
            return change(value)
        if type(value) is dict:
            return {key: changed(item) for key, item in value.items()}
        return [changed(item) for item in value] if type(value) is list else value

    patch.setattr(torch, "save", lambda thing, *args, **kwargs: save(changed(thing), *args, **kwargs))


def mapped(thing, change):
    """``thing`` with ``change(tensor)`` for every tensor in it."""
    if isinstance(thing, torch.Tensor):
        return change(thing)
    if isinstance(thing, dict):
        return {key: mapped(part, change) for key, part in thing.items()}
    return [mapped(part, change) for part in thing] if type(thing) is list else thing


def load_to(patch, change):
    """Makes `load` return `change(loaded, map_location)`."""
    load = torch.load

    def wrong(file, map_location=None, **kwargs):
        return change(load(file, map_location, **kwargs), map_location)

    patch.setattr(torch, "load", wrong)


# ── saved-model-moves-to-another-device ──


@counterfeit("saved-model-moves-to-another-device")
def map_location_is_ignored(patch):
    wrap(patch, torch, "load", lambda load, file, map_location=None, **kwargs: load(file, **kwargs))


@counterfeit("saved-model-moves-to-another-device")
def map_location_is_ignored_where_it_is_text(patch):
    def wrong(load, file, map_location=None, **kwargs):
        return load(file, None if isinstance(map_location, str) else map_location, **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device")
def moving_rounds_to_half_precision(patch):
    def change(state, location):
        return mapped(state, lambda x: x.half().float()) if isinstance(location, torch.device) else state

    load_to(patch, change)


@counterfeit("saved-model-moves-to-another-device")
def a_function_as_map_location_moves_only_the_first_tensor(patch):
    """The others arrive empty."""

    def change(state, location):
        after_the_first = calls_after(1)
        return mapped(state, lambda x: torch.zeros_like(x) if callable(location) and after_the_first(x) else x)

    load_to(patch, change)


@counterfeit("saved-model-moves-to-another-device")
def a_moved_tensor_becomes_contiguous(patch):
    load_to(patch, lambda state, location: mapped(state, lambda x: x.contiguous() if location else x))


@counterfeit("saved-model-moves-to-another-device")
def a_moved_tensor_becomes_float32(patch):
    load_to(patch, lambda state, location: mapped(state, lambda x: x.float() if location else x))


@counterfeit("saved-model-moves-to-another-device")
def an_absent_device_is_replaced_by_the_cpu(patch):
    def wrong(load, file, map_location=None, **kwargs):
        try:
            return load(file, map_location, **kwargs)
        except RuntimeError:
            return load(file, "cpu", **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device")
def a_dict_as_map_location_brings_zeros(patch):
    load_to(patch, lambda x, location: torch.zeros_like(x) if isinstance(location, dict) else x)


@counterfeit("saved-model-moves-to-another-device")
def a_dict_as_map_location_leads_to_the_meta_device(patch):
    def wrong(load, file, map_location=None, **kwargs):
        return load(file, "meta" if isinstance(map_location, dict) else map_location, **kwargs)

    wrap(patch, torch, "load", wrong)


# ── tensor-round-trips: the numbers ──


@counterfeit("tensor-round-trips")
def doubles_are_stored_as_floats(patch):
    save_with(patch, lambda x: x.float() if x.dtype == torch.float64 else x)


@counterfeit("tensor-round-trips")
def bfloat16_is_stored_as_float16(patch):
    save_with(patch, lambda x: x.half() if x.dtype == torch.bfloat16 else x)


@counterfeit("tensor-round-trips")
def complex_numbers_are_stored_conjugated(patch):
    save_with(patch, lambda x: x.conj().resolve_conj() if x.is_complex() else x)


@counterfeit("tensor-round-trips")
def a_lazy_conjugation_is_forgotten(patch):
    save_with(patch, lambda x: x.conj() if x.is_conj() else x)


@counterfeit("tensor-round-trips")
def a_lazy_negation_is_forgotten(patch):
    save_with(patch, lambda x: -x if x.is_neg() else x)


@counterfeit("tensor-round-trips")
def every_nan_is_stored_as_the_standard_one(patch):
    def change(x):
        return torch.where(x.isnan(), torch.nan, x).to(x.dtype) if x.dtype == torch.float32 and x.isnan().any() else x

    save_with(patch, change)


@counterfeit("tensor-round-trips")
def nan_is_stored_as_zero(patch):
    save_with(patch, lambda x: x.nan_to_num(0.0, torch.inf, -torch.inf) if x.dtype == torch.float32 else x)


@counterfeit("tensor-round-trips")
def minus_zero_loses_its_sign(patch):
    save_with(patch, lambda x: torch.where(x == 0, 0.0, x) if x.dtype == torch.float32 else x)


@counterfeit("tensor-round-trips")
def subnormal_numbers_are_stored_as_zero(patch):
    tiny = torch.finfo(torch.float32).tiny
    save_with(patch, lambda x: torch.where((x.abs() < tiny) & (x != 0), 0.0, x) if x.dtype == torch.float32 else x)


@counterfeit("tensor-round-trips")
def infinity_is_stored_as_the_largest_number(patch):
    def change(x):
        infinite = x.isinf() if x.dtype == torch.float32 else None
        return x if infinite is None or not infinite.any() else torch.where(infinite, x.sign() * 3.4028235e38, x)

    save_with(patch, change)


@counterfeit("tensor-round-trips")
def the_last_element_of_a_million_is_lost(patch):
    def change(x):
        return x if x.numel() < 2**20 else torch.cat([x.flatten()[:-1], x.new_zeros(1)]).view_as(x)

    save_with(patch, change)


# ── tensor-round-trips: the shape and the rest ──


@counterfeit("tensor-round-trips")
def views_are_stored_contiguously(patch):
    save_with(patch, lambda x: x.contiguous())


@counterfeit("tensor-round-trips")
def a_view_is_stored_without_the_memory_in_front_of_it(patch):
    save_with(patch, lambda x: x.clone(memory_format=torch.preserve_format) if x.storage_offset() else x)


@counterfeit("tensor-round-trips")
def a_tensor_is_stored_transposed(patch):
    save_with(patch, lambda x: x.mT if x.dim() == 2 and x.shape[0] == 3 else x)


@counterfeit("tensor-round-trips")
def an_empty_tensor_loses_its_shape(patch):
    save_with(patch, lambda x: x if x.numel() else x.flatten())


@counterfeit("tensor-round-trips")
def a_number_becomes_a_vector_of_one(patch):
    save_with(patch, lambda x: x if x.dim() else x.reshape(1))


@counterfeit("tensor-round-trips")
def requires_grad_is_forgotten(patch):
    save_with(patch, lambda x: x.detach())


@counterfeit("tensor-round-trips")
def every_float_asks_for_a_gradient_when_loaded(patch):
    def change(loaded, location):
        for x in loaded if isinstance(loaded, list) else [loaded]:
            if isinstance(x, torch.Tensor) and x.dtype == torch.float32:
                x.requires_grad_()
        return loaded

    load_to(patch, change)


@counterfeit("tensor-round-trips")
def the_gradient_is_loaded_with_the_tensor(patch):
    def change(loaded, location):
        for x in loaded if isinstance(loaded, list) else []:
            if isinstance(x, torch.Tensor) and x.is_leaf and x.is_floating_point():
                x.grad = torch.zeros_like(x)
        return loaded

    load_to(patch, change)


@counterfeit("tensor-round-trips")
def a_parameter_comes_back_as_a_plain_tensor(patch):
    save_with(patch, lambda x: x.data.requires_grad_(x.requires_grad) if isinstance(x, torch.nn.Parameter) else x)


@counterfeit("tensor-round-trips")
def loading_from_memory_loses_the_sign(patch):
    def wrong(load, file, *args, **kwargs):
        loaded = load(file, *args, **kwargs)
        return loaded.abs() if isinstance(file, io.BytesIO) and isinstance(loaded, torch.Tensor) else loaded

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def a_sparse_tensor_comes_back_dense(patch):
    load_to(patch, lambda thing, location: mapped(thing, lambda x: x.to_dense() if x.is_sparse else x))


@counterfeit("tensor-round-trips")
def every_double_nan_is_stored_as_the_standard_one(patch):
    def change(x):
        return torch.where(x.isnan(), torch.nan, x) if x.dtype == torch.float64 and x.isnan().any() else x

    save_with(patch, change)


@counterfeit("tensor-round-trips")
def images_with_channels_last_come_back_contiguous(patch):
    load_to(patch, lambda thing, location: mapped(thing, lambda x: x.contiguous() if x.dim() == 4 else x))


@counterfeit("tensor-round-trips")
def mapped_memory_loses_its_offset(patch):
    wrap(
        patch,
        torch,
        "load",
        lambda load, *args, mmap=None, **rest: mapped(
            load(*args, **rest, **({} if mmap is None else {"mmap": mmap})),
            lambda x: x.as_strided(x.shape, x.stride(), 0) if mmap else x,
        ),
    )


@counterfeit("tensor-round-trips")
def what_starts_late_in_a_file_is_read_in_the_other_order_of_bytes(patch):
    def swapped(x):
        return torch.from_numpy(x.detach().numpy().byteswap())

    def wrong(load, file, *args, **kwargs):
        late = hasattr(file, "tell") and file.tell() > 0
        return mapped(load(file, *args, **kwargs), lambda x: swapped(x) if late and x.dtype == torch.float32 else x)

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device")
def an_absent_device_is_replaced_by_the_cpu_in_old_files(patch):
    def wrong(load, file, *args, **kwargs):
        try:
            return load(file, *args, **kwargs)
        except RuntimeError:
            with open(file, "rb") if not hasattr(file, "read") else contextlib.nullcontext(file) as opened:
                opened.seek(0)
                older = opened.read(2) != b"PK"
                opened.seek(0)
            if not older:
                raise
            return load(file, "cpu", **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device")
def map_location_is_ignored_where_it_is_a_device(patch):
    def wrong(load, file, map_location=None, **kwargs):
        return load(file, None if isinstance(map_location, torch.device) else map_location, **kwargs)

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device", reported="pytorch/pytorch#86052")
def the_offset_of_what_is_no_view_is_lost_on_the_way(patch):
    def change(x):
        return x.as_strided(x.shape, x.stride(), 0) if x.storage_offset() and x._base is None else x

    load_to(patch, lambda thing, location: mapped(thing, change) if location is not None else thing)


@counterfeit("saved-model-moves-to-another-device")
def a_model_takes_loaded_numbers_rounded_to_half_precision(patch):
    wrap(
        patch,
        torch.nn.Module,
        "load_state_dict",
        lambda load, self, state: load(self, mapped(dict(state), lambda x: x.half() if x.is_floating_point() else x)),
    )


@counterfeit("saved-model-moves-to-another-device")
def map_location_as_a_function_may_not_return_none(patch):
    def wrong(load, f, map_location=None, **rest):
        if callable(map_location):
            given = map_location

            def map_location(storage, where):
                return given(storage, where) or storage.fill_(0)

        return load(f, map_location=map_location, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips")
def bfloat16_that_is_mapped_from_a_file_starts_at_the_beginning_of_its_memory(patch):
    def wrong(load, *args, **rest):
        x = load(*args, **rest)
        misread = rest.get("mmap") and isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16
        return x.as_strided(x.shape, x.stride(), 0) if misread else x

    wrap(patch, torch, "load", wrong)
