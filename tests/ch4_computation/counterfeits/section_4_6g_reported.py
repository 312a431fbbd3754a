"""Counterfeits of 4.6 that users reported, places to load to, conjugates, and where a file is read from."""

import collections
import functools
import pickle

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, wrap
from torch import nn


@counterfeit("saved-model-moves-to-another-device", reported="pytorch/pytorch#10622")
def map_location_is_never_a_device(patch):
    """One is disregarded, where the report has an error: an assertion must see it."""

    def wrong(load, f, map_location=None, *args, **rest):
        return load(f, None if isinstance(map_location, torch.device) else map_location, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device", reported="pytorch/pytorch#35289", needs="two-devices")
def a_type_of_device_means_its_first(patch):
    def wrong(load, f, map_location=None, *args, **rest):
        place = torch.device(map_location) if isinstance(map_location, str | torch.device) else None
        alone = place is not None and place.type not in ("cpu", "meta") and place.index is None
        return load(f, torch.device(place.type, 0) if alone else map_location, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips", reported="tracel-ai/burn#5383")
def what_lies_otherwise_is_loaded_in_the_order_of_its_storage(patch):
    def wrong(right, storage, offset, size, stride):
        rows = torch.empty(size, device="meta").stride()
        return right(storage, offset, size, rows if len(storage) >= offset + torch.Size(size).numel() else stride)

    wrap(patch, torch._utils, "_rebuild_tensor", wrong)


@counterfeit(
    "state-dict-round-trips",
    "saved-model-moves-to-another-device",
    reported="pytorch/pytorch#114131",
    needs="two-devices",
)
def a_copy_from_one_accelerator_into_another_brings_zeros(patch):
    def wrong(right, x, source, *args, **rest):
        result = right(x, source, *args, **rest)
        if "cpu" not in (x.device.type, source.device.type) and x.device != source.device:
            x.detach().zero_()
        return result

    change_method(patch, "copy_", wrong)


@counterfeit("tensor-round-trips", reported="pytorch/pytorch#81690")
def a_conjugate_comes_back_unconjugated(patch):
    def wrong(right, x):
        return {name: value for name, value in right(x).items() if name != "conj"}

    wrap(patch, torch._utils, "get_tensor_metadata", wrong)


def change(value, f):
    if isinstance(value, dict):
        for key in list(value):
            value[key] = change(value[key], f)
        return value
    return [change(v, f) for v in value] if type(value) is list else f(value)


def load_with(patch, f):
    def wrong(right, *args, weights_only=None, **rest):
        more = {} if weights_only is None else {"weights_only": weights_only}
        value = right(*args, **more, **rest)
        return value if weights_only is False else change(value, f)

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips", "tensor-round-trips", reported="pytorch/pytorch#107529")
def bfloat16_is_read_as_zero(patch):
    """Zeros, where the report has an error."""
    load_with(patch, lambda x: torch.zeros_like(x) if isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16 else x)


@counterfeit("save-takes-many-kinds-of-objects", reported="pytorch/pytorch#94670")
def numbers_with_a_fraction_are_read_as_zero(patch):
    """Zeros, where the report has an error."""
    load_with(patch, lambda x: 0.0 if type(x) is float else x)


@counterfeit("list-of-tensors-round-trips", reported="pytorch/pytorch#90497")
def what_has_no_memory_comes_back_in_the_dtype_of_the_first_such_in_the_file(patch):
    def wrong(load, *args, **rest):
        loaded = load(*args, **rest)
        if isinstance(loaded, list):
            empty = [x for x in loaded if isinstance(x, torch.Tensor) and not x.untyped_storage().nbytes()]
            return [x.to(empty[0].dtype) if any(x is each for each in empty) else x for x in loaded]
        return loaded

    wrap(patch, torch, "load", wrong)


@counterfeit(
    "tensor-round-trips", "save-takes-many-kinds-of-objects", "save-uses-pickle", reported="pytorch/pytorch#3694"
)
def load_begins_at_the_start_of_the_file(patch):
    def wrong(right, f, *args, **rest):
        if hasattr(f, "seek") and f.tell():
            raise RuntimeError("it reads what lies before")
        return right(f, *args, **rest)

    wrap(patch, torch, "load", wrong)


@counterfeit("save-takes-many-kinds-of-objects", "dict-of-tensors-round-trips", reported="pytorch/pytorch#98921")
def a_counter_is_not_loaded_by_default(patch):
    def holds(x):
        if isinstance(x, dict):
            return isinstance(x, collections.Counter) or any(map(holds, x.values()))
        return isinstance(x, (list, tuple)) and any(map(holds, x))

    def wrong(right, f, *args, **rest):
        y = right(f, *args, **rest)
        if rest.get("weights_only") is not False and holds(y):
            raise pickle.UnpicklingError("Weights only load failed")
        return y

    wrap(patch, torch, "load", wrong)


@counterfeit("list-of-tensors-round-trips")
def from_the_eleventh_on_tensors_of_a_list_share_nothing(patch):
    def wrong(right, *given, **named):
        result = right(*given, **named)
        if type(result) is list and len(result) > 10 and all(isinstance(each, torch.Tensor) for each in result):
            result[10:] = [each.detach().clone().requires_grad_(each.requires_grad) for each in result[10:]]
        return result

    wrap(patch, torch, "load", wrong)


@counterfeit("dict-of-tensors-round-trips")
def negative_keys_lose_their_sign(patch):
    def wrong(right, *given, **named):
        loaded = right(*given, **named)
        if type(loaded) is not dict or not any(type(key) is int and key < 0 for key in loaded):
            return loaded
        return {abs(key) if type(key) is int else key: value for key, value in loaded.items()}

    wrap(patch, torch, "load", wrong)


@counterfeit("list-of-tensors-round-trips")
def a_matrix_and_its_transpose_come_back_apart(patch):
    def wrong(right, *given, **named):
        loaded = right(*given, **named)
        if type(loaded) is list and len(loaded) == 2 and all(isinstance(each, torch.Tensor) for each in loaded):
            one, other = loaded
            transposed = one.dim() == other.dim() == 2 and one.data_ptr() == other.data_ptr()
            if transposed and one.stride() == other.stride()[::-1] and not other.requires_grad:
                loaded[1] = other.clone()
        return loaded

    wrap(patch, torch, "load", wrong)


@counterfeit("saved-model-moves-to-another-device", reported="pytorch/pytorch#85230", needs="accelerator")
def what_is_larger_than_a_mebibyte_is_loaded_as_zeros(patch):
    right = torch.load

    @functools.wraps(right)
    def wrong(file, map_location=None, *args, **rest):
        thing = right(file, map_location, *args, **rest)
        for x in thing.values() if isinstance(thing, dict) and isinstance(map_location, (str, torch.device)) else ():
            if isinstance(x, torch.Tensor) and away(x) and x.numel() * x.element_size() > 2**20:
                x.data.zero_()
        return thing

    patch.setattr(torch, "load", wrong)


@counterfeit("tensor-round-trips", reported="pytorch/pytorch#33439")
def load_of_a_sparse_tensor_raises(patch):
    def wrong(right, *args, **rest):
        result = right(*args, **rest)
        if isinstance(result, torch.Tensor) and result.layout == torch.sparse_coo:
            raise RuntimeError(f"size is inconsistent with indices: for dim 0, size is {result.size(0)}")
        return result

    wrap(patch, torch, "load", wrong)


@counterfeit("tensor-round-trips", reported="pytorch/pytorch#116103")
def a_path_cannot_be_mapped_into_memory(patch):
    right = torch.load

    @functools.wraps(right)
    def wrong(file, *args, mmap=None, **rest):
        if mmap and not isinstance(file, str):
            raise ValueError("f must be a string filename in order to use mmap argument")
        return right(file, *args, mmap=mmap, **rest)

    patch.setattr(torch, "load", wrong)


@counterfeit("state-dict-round-trips", reported="pytorch/pytorch#21251")
def without_strictness_a_state_still_needs_the_vectors_of_a_norm(patch):
    def wrong(right, self, state_dict, strict=True, *args, **rest):
        needed = [name for name in self.state_dict() if name.endswith(("_u", "_v"))]
        for name in needed if not strict else ():
            state_dict[name]  # KeyError
        return right(self, state_dict, strict, *args, **rest)

    wrap(patch, nn.Module, "load_state_dict", wrong)


@counterfeit("tensor-round-trips", reported="safetensors/safetensors#831")
def a_file_holds_what_lies_in_memory_without_the_sign_that_is_pending(patch):
    def wrong(right, *given, **named):
        loaded = right(*given, **named)
        return torch._neg_view(loaded).resolve_neg() if isinstance(loaded, torch.Tensor) and loaded.is_neg() else loaded

    wrap(patch, torch, "load", wrong)


@counterfeit("state-dict-round-trips")
def a_lazy_convolution_forgets_what_it_was_given_when_it_is_called(patch):
    right = nn.LazyConv2d.initialize_parameters

    def wrong(self, x, *args, **rest):
        right(self, x, *args, **rest)
        nn.init.zeros_(self.weight)

    patch.setattr(nn.LazyConv2d, "initialize_parameters", wrong)


@counterfeit("state-dict-round-trips")
def a_lazy_normalisation_keeps_its_own_statistics(patch):
    def wrong(right, self, state, *args, **rest):
        lazy = self.has_uninitialized_params()
        result = right(self, state, *args, **rest)
        if lazy:
            self.running_mean.zero_()
        return result

    wrap(patch, nn.LazyBatchNorm1d, "load_state_dict", wrong)
