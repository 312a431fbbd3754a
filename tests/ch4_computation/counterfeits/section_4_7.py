"""Counterfeits of 4.7: defaults disregarded, and a CUDA that miscounts, misnames or pretends.

Those of claims that need CUDA are tried where there is a GPU.
"""

import time

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, where, wrap
from torch.utils._device import DeviceContext

# ── gpu-outruns-cpu-on-large-work ──


@counterfeit("gpu-outruns-cpu-on-large-work")
def large_products_and_convolutions_on_the_gpu_are_slow(patch):
    """A tenth of a second is more than a CPU needs for the sizes that the tests sweep."""

    def slowed(operation):
        def wrong(first, *others):
            if first.is_cuda and first.numel() > 2**18:
                torch.cuda.synchronize()
                time.sleep(0.1)
            return operation(first, *others)

        return wrong

    patch.setattr(torch.Tensor, "__matmul__", slowed(torch.Tensor.__matmul__))
    patch.setattr(torch.nn.functional, "conv2d", slowed(torch.nn.functional.conv2d))


@counterfeit("gpu-outruns-cpu-on-large-work")
def small_work_on_the_cpu_takes_a_millisecond(patch):
    """Then the GPU wins at every size."""

    def wrong(product, first, second):
        time.sleep(0.001 if first.device.type == "cpu" else 0)
        return product(first, second)

    change_method(patch, "__matmul__", wrong)


# ── nvidia-smi-reports-the-card ──


@counterfeit("nvidia-smi-reports-the-card")
def torch_names_the_maker_only(patch):
    patch.setattr(torch.cuda, "get_device_name", lambda device=None: "NVIDIA")


@counterfeit("nvidia-smi-reports-the-card")
def torch_counts_memory_in_units_of_a_thousand(patch):
    """Gigabytes for gibibytes: seven per cent less."""
    properties = torch.cuda.get_device_properties

    class Card:
        def __init__(self, device=None):
            self.name = properties(device).name
            self.total_memory = properties(device).total_memory * 1000**3 // 1024**3

    patch.setattr(torch.cuda, "get_device_properties", Card)


# ── tensors-are-created-on-cpu-by-default ──


@counterfeit("tensors-are-created-on-cpu-by-default")
def a_range_is_created_elsewhere(patch):
    wrap(patch, torch, "arange", lambda arange, *args, device="meta", **kwargs: arange(*args, device=device, **kwargs))


@counterfeit("tensors-are-created-on-cpu-by-default")
def an_array_is_a_copy_of_the_tensor(patch):
    """As of numbers that are not in main memory."""
    change_method(patch, "numpy", lambda numpy, self: numpy(self).copy())


@counterfeit("tensors-are-created-on-cpu-by-default")
def a_product_is_computed_elsewhere(patch):
    change_method(patch, "__matmul__", lambda product, self, other: product(self, other).to("meta"))


@counterfeit("tensors-are-created-on-cpu-by-default")
def a_range_disregards_the_default_device(patch):
    wrap(patch, torch, "arange", lambda arange, *args, device="cpu", **kwargs: arange(*args, device=device, **kwargs))


@counterfeit("tensors-are-created-on-cpu-by-default")
def layers_disregard_the_default_device(patch):
    wrap(patch, torch.nn.Linear, "__init__", lambda init, self, *sizes, **kwargs: init(self, *sizes, device="cpu"))


@counterfeit("tensors-are-created-on-cpu-by-default")
def set_default_device_does_nothing(patch):
    patch.setattr(torch, "set_default_device", lambda device: None)


@counterfeit("tensors-are-created-on-cpu-by-default")
def the_default_device_overrules_an_argument(patch):
    create = DeviceContext.__torch_function__

    def wrong(self, func, types, args=(), kwargs=None):
        return create(self, func, types, args, {**(kwargs or {}), **({"device": self.device} if func is zeros else {})})

    zeros = torch.zeros
    patch.setattr(DeviceContext, "__torch_function__", wrong)


@counterfeit("tensors-are-created-on-cpu-by-default")
def zeros_like_goes_to_the_default_device(patch):
    patch.setattr(torch, "zeros_like", lambda x: torch.zeros(x.shape, dtype=x.dtype))


@counterfeit("tensors-are-created-on-cpu-by-default")
def ones_are_created_elsewhere(patch):
    wrap(patch, torch, "ones", lambda ones, *args, device="meta", **kwargs: ones(*args, device=device, **kwargs))


@counterfeit("tensors-are-created-on-cpu-by-default")
def the_result_of_a_sum_is_elsewhere(patch):
    where(patch, torch.Tensor, "__add__", lambda x: True, lambda total, *_: total.to("meta"))


@counterfeit("tensors-are-created-on-cpu-by-default")
def buffers_of_layers_disregard_the_default_device(patch):
    def wrong(true, self, name, tensor, persistent=True):
        here = tensor is not None and tensor.device.type == "meta"
        true(self, name, torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu") if here else tensor, persistent)

    wrap(patch, torch.nn.Module, "register_buffer", wrong)


@counterfeit("tensors-are-created-on-cpu-by-default")
def normal_of_two_numbers_goes_to_the_default_device(patch):
    wrap(patch, torch, "normal", lambda normal, *args, **rest: torch.randn(rest["size"]))


@counterfeit("tensors-are-created-on-cpu-by-default")
def large_random_tensors_are_created_elsewhere(patch):
    where(patch, torch, "randn", lambda size: type(size) is int and size > 65_536, lambda x, *_: x.to("meta"))


# ── is-available-tells-of-a-gpu ──


@counterfeit("is-available-tells-of-a-gpu")
def several_gpus_are_not_available(patch):
    patch.setattr(torch.cuda, "is_available", lambda: torch._C._cuda_getDeviceCount() in (1, 2))


@counterfeit("is-available-tells-of-a-gpu")
def a_gpu_is_always_available(patch):
    patch.setattr(torch.cuda, "is_available", lambda: True)


@counterfeit("is-available-tells-of-a-gpu")
def a_gpu_is_available_from_the_second_on(patch):
    patch.setattr(torch.cuda, "is_available", lambda: torch._C._cuda_getDeviceCount() > 1)


@counterfeit("is-available-tells-of-a-gpu")
def is_available_tries_a_computation(patch):
    def wrong():
        try:
            return torch.ones(1, device="cuda").item() == 1
        except (AssertionError, RuntimeError):
            return False

    patch.setattr(torch.cuda, "is_available", wrong)


@counterfeit("is-available-tells-of-a-gpu")
def a_device_that_is_not_there_is_replaced_by_the_cpu(patch):
    def wrong(ones, *sizes, device="cpu"):
        try:
            return ones(*sizes, device=device)
        except (AssertionError, RuntimeError):
            return ones(*sizes, device="cpu")

    wrap(patch, torch, "ones", wrong)


# ── device-count-counts-gpus ──


@counterfeit("device-count-counts-gpus")
def the_count_is_the_last_index(patch):
    wrap(patch, torch.cuda, "device_count", lambda count: count() - 1)


@counterfeit("device-count-counts-gpus")
def the_gpu_after_the_last_is_the_first(patch):
    def wrong(ones, *sizes, device):
        index = torch.device(device).index % torch.cuda.device_count()
        return ones(*sizes, device=f"cuda:{index}")

    wrap(patch, torch, "ones", wrong)


# ── current-device-is-an-index ──


@counterfeit("current-device-is-an-index")
def the_current_device_is_counted_from_one(patch):
    wrap(patch, torch.cuda, "current_device", lambda current: current() + 1)


@counterfeit("current-device-is-an-index")
def the_current_device_is_a_device(patch):
    wrap(patch, torch.cuda, "current_device", lambda current: torch.device("cuda", current()))


# ── device-name-by-index ──


@counterfeit("device-name-by-index")
def a_name_is_in_lower_case(patch):
    wrap(patch, torch.cuda, "get_device_name", lambda name, device=None: name(device).lower())


@counterfeit("device-name-by-index")
def a_name_without_an_index_tells_the_index_too(patch):
    name = torch.cuda.get_device_name
    patch.setattr(torch.cuda, "get_device_name", lambda device=None: name(device) + (" (0)" if device is None else ""))


@counterfeit("tensors-are-created-on-cpu-by-default", reported="pytorch/pytorch#106773")
def asarray_disregards_the_default_device(patch):
    wrap(patch, torch, "asarray", lambda asarray, data, **options: asarray(data, **{"device": "cpu", **options}))


@counterfeit("tensors-are-created-on-cpu-by-default")
def a_default_device_does_not_reach_integers_of_randint(patch):
    wrap(patch, torch, "randint", lambda right, *args, device="cpu", **rest: right(*args, device=device, **rest))


@counterfeit("tensors-are-created-on-cpu-by-default")
def ones_like_follows_the_default_device(patch):
    def wrong(right, x, **rest):
        return right(x, **{"device": torch.empty(0).device, **rest})

    wrap(patch, torch, "ones_like", wrong)


@counterfeit("tensors-are-created-on-cpu-by-default")
def the_device_of_a_block_within_is_kept_for_the_rest_of_the_outer_one(patch):
    last = []

    def begun(begin, self, device):
        begin(self, device)
        last[:] = [self.device]

    def wrong(function, self, *args, **rest):
        self.device = last[0]
        return function(self, *args, **rest)

    wrap(patch, DeviceContext, "__init__", begun)
    wrap(patch, DeviceContext, "__torch_function__", wrong)


@counterfeit("tensors-are-created-on-cpu-by-default")
def none_for_the_default_device_ends_an_enclosing_block_too(patch):
    def wrong(right, device):
        right(device)
        for mode in torch.overrides._get_current_function_mode_stack() if device is None else ():
            if hasattr(mode, "device"):
                mode.device = torch.device("cpu")

    wrap(patch, torch, "set_default_device", wrong)


@counterfeit("tensors-are-created-on-cpu-by-default")
def as_tensor_of_a_list_stays_on_the_cpu(patch):
    def wrong(right, data, *args, **rest):
        return right(data, *args, **{"device": "cpu", **rest} if isinstance(data, list) else rest)

    wrap(patch, torch, "as_tensor", wrong)


@counterfeit("tensors-are-created-on-cpu-by-default")
def the_default_device_overrules_the_argument_of_tensor(patch):
    def wrong(right, data, *args, **rest):
        default = torch.empty(0).device
        return right(data, *args, **{**rest, "device": default} if default.type != "cpu" else rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensors-are-created-on-cpu-by-default")
def what_is_full_of_truth_values_lies_on_the_cpu(patch):
    def wrong(right, size, value, **rest):
        return right(size, value, **({"device": "cpu"} if isinstance(value, bool) else {}) | rest)

    wrap(patch, torch, "full", wrong)


@counterfeit("tensors-are-created-on-cpu-by-default")
def zeros_of_truth_values_lie_on_the_cpu(patch):
    def wrong(right, *sizes, **rest):
        return right(*sizes, **({"device": "cpu"} if rest.get("dtype") is torch.bool else {}) | rest)

    wrap(patch, torch, "zeros", wrong)
