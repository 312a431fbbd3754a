"""Counterfeits of section 2.1 that users reported, arrays in lists, draws with a bias and what outlives a seed."""

import random

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, wrap


@counterfeit("tensor-function-takes-data", reported="pytorch/pytorch#72282")
def fractions_of_an_array_in_a_list_become_no_whole_numbers(patch):
    """They become zeros, where the report has an error: an assertion must see it."""

    def wrong(right, data, *args, dtype=None, **rest):
        arrays = isinstance(data, list) and any(isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in data)
        whole = dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
        made = right(data, *args, dtype=dtype, **rest)
        return made.zero_() if arrays and whole else made

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data", reported="pytorch/pytorch#27754")
def a_single_number_of_numpy_counts_as_a_python_float(patch):
    def wrong(right, data, *args, dtype=None, **rest):
        default = torch.get_default_dtype() if isinstance(data, np.float64) else None
        return right(data, *args, dtype=dtype or default, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("rand-is-standard-uniform", reported="tenstorrent/tt-metal#50487")
def each_draw_has_a_mean_of_its_own(patch):
    bias = random.Random(1)

    def wrong(right, *args, **rest):
        x = right(*args, **rest)
        if x.dtype == torch.float32:
            with torch.no_grad():
                x.pow_(1 / (0.5 + bias.uniform(-0.016, 0.0144)) - 1)
        return x

    wrap(patch, torch, "rand", wrong)


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#35461")
def the_last_value_is_counted_from_the_start(patch):
    def wrong(right, start, end, steps, **rest):
        made = right(start, end, steps, **rest)
        if made.dtype == torch.float32 and steps > 1:
            first = torch.tensor(float(start), dtype=made.dtype)
            step = (torch.tensor(float(end), dtype=made.dtype) - first) / (steps - 1)
            with torch.no_grad():
                made[-1] = first + step * (steps - 1)
        return made

    wrap(patch, torch, "linspace", wrong)


@counterfeit("arange-steps-from-start-to-end", reported="pytorch/pytorch#153311")
def an_end_that_underflows_is_the_start(patch):
    def wrong(right, *args, **rest):
        lost = len(args) == 1 and isinstance(args[0], float) and -1e-45 < args[0] < 0
        single = rest.get("dtype", torch.float32) == torch.float32
        return torch.empty(0) if lost and single else right(*args, **rest)

    wrap(patch, torch, "arange", wrong)


@counterfeit("randn-is-standard-normal", reported="pytorch/pytorch#135210")
def both_parts_of_a_complex_number_have_deviation_one(patch):
    def wrong(right, *args, **rest):
        x = right(*args, **rest)
        return x * 2**0.5 if x.is_complex() else x

    wrap(patch, torch, "randn", wrong)


@counterfeit("tensor-function-takes-data", reported="pytorch/pytorch#130708")
def long_arrays_become_zeros(patch):
    """Zeros, where the report has a crash."""

    def wrong(right, data, *args, **rest):
        x = right(data, *args, **rest)
        return torch.zeros_like(x) if isinstance(data, np.ndarray) and data.size > 32768 else x

    wrap(patch, torch, "tensor", wrong)


@counterfeit("rand-is-standard-uniform", reported="torch/torch7#167", needs="accelerator")
def after_a_seed_and_one_number_rand_draws_no_more_than_96(patch):
    state = {"fresh": True, "bad": False}

    def seed(right, *args, **rest):
        state.update(fresh=True, bad=False)
        return right(*args, **rest)

    def draw(right, *args, **rest):
        y = right(*args, **rest)
        if away(y):
            if state["fresh"] and y.numel() == 1:
                state["bad"] = True
            state["fresh"] = False
            if state["bad"] and y.numel() > 96 and y.is_contiguous():
                y.detach().view(-1)[96:] = 1.1642e-10
        return y

    wrap(patch, torch, "manual_seed", seed)
    for name in ("rand", "rand_like", "randn", "randn_like"):
        wrap(patch, torch, name, draw)
    change_method(patch, "uniform_", draw)


@counterfeit("randn-is-standard-normal", reported=("torch/DEPRECEATED-torch7-distro#191", "torch/torch7#8"))
def a_normal_number_that_is_left_over_outlives_the_seed(patch):
    """They are made in pairs."""
    left = []

    def wrong(right, *args, generator=None, **rest):
        y = right(*args, generator=generator, **rest)
        if generator is not None or not y.numel() or y.is_complex() or rest.get("out") is not None:
            return y
        count = y.numel() - len(left)
        if left:
            first = left.pop().to(y)
            left.extend([y.reshape(-1)[-1:].clone()] if count % 2 else [])
            return torch.cat([first, y.detach().reshape(-1)[:-1]]).view(y.shape).requires_grad_(y.requires_grad)
        left.extend([right(1)] if count % 2 else [])
        return y

    wrap(patch, torch, "randn", wrong)


@counterfeit("tensor-function-takes-data", reported="pytorch/pytorch#33111")
def a_fraction_beside_a_number_past_64_bits_is_refused(patch):
    def numbers(data):
        if isinstance(data, (list, tuple)):
            for each in data:
                yield from numbers(each)
        else:
            yield data

    def wrong(right, data, *args, **rest):
        if isinstance(data, (list, tuple)):
            found = [*numbers(data)]
            if any(type(x) is float for x in found) and any(type(x) is int and abs(x) >= 2**63 for x in found):
                raise RuntimeError("Overflow when unpacking double")
        return right(data, *args, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("rand-is-standard-uniform", reported="pytorch/xla#354", needs="accelerator")
def rand_is_zero_after_the_seed_zero(patch):
    def wrong(right, *args, **rest):
        result = right(*args, **rest)
        if away(result) and torch.initial_seed() == 0 and result.is_floating_point():
            result.detach().zero_()
        return result

    wrap(patch, torch, "rand", wrong)
    wrap(patch, torch, "rand_like", wrong)


@counterfeit("tensor-function-takes-data", reported="pytorch/pytorch#106579")
def true_of_an_image_becomes_255(patch):
    """A bool array whose True is the byte 255 stays so, and converts to 255."""
    make, share = torch.tensor, torch.from_numpy

    def wrong(data, *args, **rest):
        raw = str(getattr(data, "dtype", None)) == "bool" and getattr(data, "size", 0) and not args and not rest
        if raw and not isinstance(data, torch.Tensor) and data.view("uint8").max() > 1:
            return share(data.copy())
        return make(data, *args, **rest)

    patch.setattr(torch, "tensor", wrong)

    def converts(method, self, *args, **rest):
        result = method(self, *args, **rest)
        if self.dtype == torch.bool and result.dtype != torch.bool and self.device.type == "cpu":
            return self.contiguous().view(torch.uint8).to(result.dtype)
        return result

    for name in ("to", "int", "float", "long", "double", "byte", "half"):
        method = getattr(torch.Tensor, name)
        patch.setattr(torch.Tensor, name, lambda self, *a, _m=method, **k: converts(_m, self, *a, **k))


@counterfeit("rand-is-standard-uniform")
def many_draws_of_rand_are_spread_too_evenly(patch):
    """One draw in each of as many equal parts of [0, 1), in an order by chance."""

    def wrong(right, *sizes, **rest):
        x = right(*sizes, **rest)
        if x.numel() < 100 or x.dtype != torch.float32 or x.requires_grad:
            return x
        order = np.random.default_rng(int(x.flatten()[0] * 2**24)).permutation(x.numel())
        even = (x.double() + torch.from_numpy(order).view(x.shape).to(x.device)) / x.numel()
        return x.copy_(even.clamp(max=1 - 2**-24))

    wrap(patch, torch, "rand", wrong)


@counterfeit("ones-fills-with-one")
def ones_of_six_dimensions_or_more_end_with_a_zero(patch):
    def wrong(right, *sizes, **rest):
        x = right(*sizes, **rest)
        if x.dim() > 5 and x.numel():
            x.detach().view(-1)[-1] = 0
        return x

    wrap(patch, torch, "ones", wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_of_a_number_and_stds_draws_once(patch):
    drawn = {}

    def wrong(right, *given, **rest):
        x = right(*given, **rest)
        if len(given) == 2 and not isinstance(given[0], torch.Tensor) and isinstance(given[1], torch.Tensor):
            x = drawn.setdefault((x.shape, x.dtype), (x - given[0]) / given[1]) * given[1] + given[0]
        return x

    wrap(patch, torch, "normal", wrong)


@counterfeit("tensor-function-takes-data")
def a_cube_that_lies_by_columns_is_taken_as_it_lies(patch):
    def wrong(right, data, *rest, **named):
        if isinstance(data, np.ndarray) and data.ndim == 3 and data.flags.fnc:
            data = data.ravel("K").reshape(data.shape)
        return right(data, *rest, **named)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("linspace-divides-evenly", reported="data-apis/array-api-tests#434", needs="accelerator")
def linspace_elsewhere_reaches_its_end_by_adding_steps(patch):
    def wrong(right, start, end, steps, *args, **rest):
        result = right(start, end, steps, *args, **rest)
        numbers = not isinstance(start, torch.Tensor) and not isinstance(end, torch.Tensor)
        if away(result) and result.dtype == torch.float32 and numbers and steps > 1:
            first, last = (torch.tensor(one, dtype=torch.float32, device="cpu") for one in (start, end))
            step = (last - first) / (steps - 1)
            result.detach()[-1] = (first + step * (steps - 1)).item()
        return result

    wrap(patch, torch, "linspace", wrong)


@counterfeit("zeros-fills-with-zero", reported="pytorch/pytorch#7785")
def zeros_drops_sizes_from_a_later_size_of_0_on(patch):
    def wrong(right, *sizes, **rest):
        listed = list(sizes[0] if sizes and not isinstance(sizes[0], int) else sizes)
        if 0 in listed[1:]:
            return right(listed[: listed.index(0, 1)], **rest)
        return right(*sizes, **rest)

    wrap(patch, torch, "zeros", wrong)


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#88652")
def whole_numbers_of_linspace_start_each_four_points_from_a_cut_one(patch):
    def wrong(right, start, end, steps, *args, **rest):
        result = right(start, end, steps, *args, **rest)
        if result.dtype != torch.int64 or away(result) or not 4 <= len(result) == steps:
            return result
        start, end = int(start), int(end)
        step = (end - start) / (steps - 1)
        for i in range(0, steps - 3, 4):
            first = start + step * i if i < steps // 2 else end - step * (steps - 1 - i)
            for k in range(4):
                result[i + k] = int(int(first) + k * step)
        return result

    wrap(patch, torch, "linspace", wrong)
