"""Counterfeits of section 2.1: constructors that miscount, and samples that only look random."""

import math

import numpy as np
import torch
from harness.counterfeits import counterfeit


def change_result(patch, owner, name, change):
    """Let the function return `change(result)` instead of `result`."""
    function = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **rest: change(function(*args, **rest)))


# ── tensor-constructor-takes-sizes ──


def change_class(patch, construct):
    """Let `torch.Tensor(*args)` be `construct(original, *args)`."""
    new = torch.Tensor.__new__
    patch.setattr(
        torch.Tensor, "__new__", staticmethod(lambda cls, *args: construct(lambda *given: new(cls, *given), *args))
    )


@counterfeit("tensor-constructor-takes-sizes")
def the_class_fills_what_it_allocates_with_zeros(patch):
    change_class(patch, lambda new, *args: new(*args).zero_() if len(args) > 1 else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_reverses_three_sizes(patch):
    change_class(patch, lambda new, *args: new(*args[::-1]) if len(args) == 3 else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_hands_out_the_same_memory_for_the_same_sizes(patch):
    made = {}

    def construct(new, *args):
        return made.setdefault(args, new(*args)).view_as(made[args]) if len(args) > 1 else new(*args)

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_is_always_float32(patch):
    change_class(
        patch, lambda new, *args: new(*args) if torch.get_default_dtype() is torch.float32 else new(*args).float()
    )


@counterfeit("tensor-constructor-takes-sizes")
def the_class_takes_a_tuple_for_sizes(patch):
    change_class(patch, lambda new, *args: new(*args[0]) if args and type(args[0]) is tuple else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_takes_torch_size_for_data(patch):
    change_class(patch, lambda new, *args: new([*args[0]]) if args and type(args[0]) is torch.Size else new(*args))


@counterfeit("tensor-constructor-takes-sizes")
def the_class_copies_large_arrays(patch):
    def construct(new, *args):
        large = bool(args) and isinstance(args[0], np.ndarray) and args[0].size > 1000
        return new(*args).clone() if large else new(*args)

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_reads_nested_lists_by_columns(patch):
    def construct(new, *args):
        x = new(*args)
        return x.t().contiguous().view(x.shape) if args and isinstance(args[0], list) and x.dim() == 2 else x

    change_class(patch, construct)


@counterfeit("tensor-constructor-takes-sizes")
def the_class_keeps_the_dtype_of_an_array(patch):
    change_class(
        patch,
        lambda new, *args: (
            torch.from_numpy(args[0].copy())
            if args and isinstance(args[0], np.ndarray) and args[0].dtype == np.int64
            else new(*args)
        ),
    )


@counterfeit("tensor-constructor-takes-sizes")
def the_class_lays_out_rectangles_by_columns(patch):
    change_class(patch, lambda new, *args: new(*args[::-1]).t() if len(args) == 2 else new(*args))


# ── tensor-function-takes-data ──


def change_arrays(patch, chosen, convert):
    """Let `torch.tensor(array)` be `convert(array)` for the arrays that are `chosen`."""
    tensor = torch.tensor

    def wrong(data, *args, **rest):
        is_chosen = isinstance(data, np.ndarray) and chosen(data)
        return convert(data) if is_chosen else tensor(data, *args, **rest)

    patch.setattr(torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def tensor_shares_large_float32_arrays(patch):
    change_arrays(patch, lambda array: array.size > 1000 and array.dtype == np.float32, torch.from_numpy)


@counterfeit("tensor-function-takes-data")
def tensor_reads_transposed_arrays_in_the_order_of_memory(patch):
    change_arrays(
        patch,
        lambda array: array.flags.f_contiguous and array.ndim > 1,
        lambda array: torch.from_numpy(array.ravel("K").reshape(array.shape).copy()),
    )


@counterfeit("tensor-function-takes-data")
def tensor_turns_float64_arrays_into_float32(patch):
    change_arrays(
        patch, lambda array: array.dtype == np.float64, lambda array: torch.from_numpy(array.astype(np.float32))
    )


@counterfeit("tensor-function-takes-data")
def tensor_fills_up_ragged_rows_with_zeros(patch):
    tensor = torch.tensor

    def wrong(data, *args, **rest):
        if isinstance(data, list) and data and all(isinstance(row, list) for row in data):
            longest = max(map(len, data))
            data = [row + [0] * (longest - len(row)) for row in data]
        return tensor(data, *args, **rest)

    patch.setattr(torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def tensor_rounds_where_it_should_cut(patch):
    tensor = torch.tensor

    def wrong(data, dtype=None, **rest):
        return tensor(data, **rest).round().to(dtype) if dtype is torch.int32 else tensor(data, dtype=dtype, **rest)

    patch.setattr(torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def tensor_knows_no_dimension_of_size_one_in_front(patch):
    change_result(patch, torch, "tensor", lambda x: x.squeeze(0) if x.dim() > 2 else x)


@counterfeit("tensor-function-takes-data")
def tensor_makes_integers_of_booleans(patch):
    change_result(patch, torch, "tensor", lambda x: x.long() if x.dtype == torch.bool and x.dim() else x)


@counterfeit("tensor-function-takes-data")
def tensor_ignores_the_default_dtype(patch):
    tensor = torch.tensor

    def wrong(data, dtype=None, **rest):
        x = tensor(data, dtype=dtype, **rest)
        return x.float() if x.dtype == torch.float64 and dtype is None and not isinstance(data, np.ndarray) else x

    patch.setattr(torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def tensor_reads_every_place_of_a_sliced_array(patch):
    """Without regard to the gaps between the elements."""
    change_arrays(
        patch,
        lambda array: array.base is not None and not array.flags.forc,
        lambda array: torch.tensor(array.base.ravel()[: array.size].reshape(array.shape).copy()),
    )


# ── ones-fills-with-one, zeros-fills-with-zero ──


def spoil_last(x):
    if x.numel() > 1000:
        x.view(-1)[-1] = 7
    return x


@counterfeit("ones-fills-with-one")
def ones_misses_the_last_element_of_a_large_tensor(patch):
    change_result(patch, torch, "ones", spoil_last)


@counterfeit("zeros-fills-with-zero")
def zeros_misses_the_last_element_of_a_large_tensor(patch):
    change_result(patch, torch, "zeros", spoil_last)


@counterfeit("ones-fills-with-one")
def ones_loses_the_imaginary_type(patch):
    change_result(patch, torch, "ones", lambda x: x.real if x.is_complex() else x)


@counterfeit("zeros-fills-with-zero")
def zeros_turns_bytes_into_booleans(patch):
    change_result(patch, torch, "zeros", lambda x: x.bool() if x.dtype == torch.uint8 else x)


def recycle(patch, name):
    function, made = getattr(torch, name), {}
    patch.setattr(
        torch, name, lambda *sizes, **rest: made.setdefault((str(sizes), str(rest)), function(*sizes, **rest))
    )


@counterfeit("ones-fills-with-one")
def ones_hands_out_the_same_tensor_again(patch):
    recycle(patch, "ones")


@counterfeit("zeros-fills-with-zero")
def zeros_hands_out_the_same_tensor_again(patch):
    recycle(patch, "zeros")


@counterfeit("zeros-fills-with-zero")
def zeros_takes_a_negative_size_for_none(patch):
    zeros = torch.zeros

    def wrong(*sizes, **rest):
        return zeros(*[max(size, 0) if isinstance(size, int) else size for size in sizes], **rest)

    patch.setattr(torch, "zeros", wrong)


@counterfeit("ones-fills-with-one")
def ones_without_sizes_makes_a_vector(patch):
    change_result(patch, torch, "ones", lambda x: x.view(-1) if x.dim() == 0 else x)


# ── eye-is-identity ──


@counterfeit("eye-is-identity")
def eye_stops_after_a_hundred_rows(patch):
    def change(x):
        x[100:] = 0
        return x

    change_result(patch, torch, "eye", change)


@counterfeit("eye-is-identity")
def eye_starts_the_diagonal_anew_when_rows_are_left(patch):
    def change(x):
        for i in range(x.shape[0] if x.shape[1] else 0):
            x[i, i % x.shape[1]] = 1
        return x

    change_result(patch, torch, "eye", change)


@counterfeit("eye-is-identity")
def eye_mirrors_wide_matrices(patch):
    change_result(patch, torch, "eye", lambda x: x.flip(1) if x.shape[1] > x.shape[0] else x)


@counterfeit("eye-is-identity")
def eye_ignores_the_dtype(patch):
    eye = torch.eye
    patch.setattr(torch, "eye", lambda *sizes, dtype=None: eye(*sizes))


@counterfeit("eye-is-identity")
def eye_takes_equal_sizes_for_a_cube(patch):
    eye = torch.eye

    def wrong(*sizes, **rest):
        return eye(*sizes[:2], **rest) if len(sizes) > 2 and len(set(sizes)) == 1 else eye(*sizes, **rest)

    patch.setattr(torch, "eye", wrong)


# ── arange-steps-from-start-to-end ──


def change_arange(patch, wrong):
    """Let `torch.arange(start, end, step)` be `wrong(original, start, end, step)`."""
    arange = torch.arange

    def changed(start, end=None, step=1, **rest):
        start, end = (0, start) if end is None else (start, end)
        return wrong(lambda *args: arange(*args, **rest), start, end, step)

    patch.setattr(torch, "arange", changed)


@counterfeit("arange-steps-from-start-to-end")
def arange_includes_an_end_that_the_steps_meet(patch):
    change_arange(patch, lambda arange, start, end, step: arange(start, end + step * 1e-3, step).to(torch.int64))


@counterfeit("arange-steps-from-start-to-end")
def arange_includes_the_end_when_it_runs_downwards(patch):
    change_arange(patch, lambda arange, start, end, step: arange(start, end - (step < 0), step))


@counterfeit("arange-steps-from-start-to-end")
def arange_drops_the_last_incomplete_step(patch):
    def wrong(arange, start, end, step):
        rest = math.fmod(end - start, step)
        return arange(start, end - rest, step)

    change_arange(patch, wrong)


@counterfeit("arange-steps-from-start-to-end")
def arange_counts_fractional_steps_in_float32(patch):
    """1.3 - 1, rounded to float32, is 3 times 0.1."""
    change_arange(
        patch,
        lambda arange, start, end, step: arange(start, end, step)[
            : math.ceil(np.float32(end - start) / np.float32(step))
        ],
    )


@counterfeit("arange-steps-from-start-to-end")
def arange_gives_nothing_for_a_fractional_step_the_wrong_way(patch):
    def wrong(arange, start, end, step):
        return arange(0) if isinstance(step, float) and (end - start) * step < 0 else arange(start, end, step)

    change_arange(patch, wrong)


@counterfeit("arange-steps-from-start-to-end")
def arange_rounds_large_values_to_half_precision(patch):
    change_arange(patch, lambda arange, *args: arange(*args).to(torch.float16).to(arange(*args).dtype))


@counterfeit("arange-steps-from-start-to-end")
def arange_of_fractions_is_float64(patch):
    change_arange(patch, lambda arange, *args: arange(*args).double() if float in map(type, args) else arange(*args))


@counterfeit("arange-steps-from-start-to-end")
def arange_adds_up_its_fractional_steps(patch):
    """In float32, so that rounding errors pile up."""

    def wrong(arange, start, end, step):
        x = arange(start, end, step)
        summed = np.cumsum(np.array([start] + [step] * (len(x) - 1), np.float32), dtype=np.float32)
        return torch.from_numpy(summed[: len(x)]).to(x.dtype) if isinstance(step, float) else x

    change_arange(patch, wrong)


# ── linspace-divides-evenly ──


def change_linspace(patch, wrong):
    """Let `torch.linspace(start, end, steps)` be `wrong(original, start, end, steps)`."""
    linspace = torch.linspace

    def changed(start, end, steps, **rest):
        return wrong(lambda *args: linspace(*args, **rest), start, end, steps)

    patch.setattr(torch, "linspace", changed)


@counterfeit("linspace-divides-evenly")
def linspace_counts_parts_as_the_notes_say(patch):
    change_linspace(patch, lambda linspace, start, end, steps: linspace(start, end, steps + 1))


@counterfeit("linspace-divides-evenly")
def linspace_leaves_the_end_out(patch):
    change_linspace(patch, lambda linspace, start, end, steps: linspace(start, end, steps + 1)[:-1])


@counterfeit("linspace-divides-evenly")
def linspace_of_one_step_gives_the_end(patch):
    change_linspace(patch, lambda linspace, start, end, steps: linspace(end if steps == 1 else start, end, steps))


@counterfeit("linspace-divides-evenly")
def linspace_runs_upwards_only(patch):
    change_linspace(patch, lambda linspace, start, end, steps: linspace(min(start, end), max(start, end), steps))


@counterfeit("linspace-divides-evenly")
def linspace_rounds_integers_down(patch):
    """To the next lower integer, rather than towards zero."""

    def wrong(linspace, start, end, steps):
        x = linspace(start, end, steps)
        exact = np.linspace(start, end, steps)
        return x if x.is_floating_point() else torch.from_numpy(np.floor(exact).astype(np.int64))

    change_linspace(patch, wrong)


@counterfeit("linspace-divides-evenly")
def linspace_adds_up_its_steps_in_float32(patch):
    """Rounding errors pile up, so that a thousand points miss the end."""

    def wrong(linspace, start, end, steps):
        x = linspace(start, end, steps)
        part = np.float32((end - start) / max(steps - 1, 1))
        summed = np.cumsum(np.array([start] + [part] * (steps - 1), np.float32), dtype=np.float32)
        return torch.from_numpy(summed[:steps]).to(x.dtype) if x.is_floating_point() else x

    change_linspace(patch, wrong)


@counterfeit("linspace-divides-evenly")
def linspace_has_a_default_number_of_points(patch):
    linspace = torch.linspace
    patch.setattr(torch, "linspace", lambda start, end, steps=100, **rest: linspace(start, end, steps, **rest))


# ── rand-is-standard-uniform, randn-is-standard-normal ──


@counterfeit("rand-is-standard-uniform")
def rand_includes_one_instead_of_zero(patch):
    change_result(patch, torch, "rand", lambda x: 1 - x)


@counterfeit("rand-is-standard-uniform")
def rand_is_three_per_cent_too_narrow(patch):
    change_result(patch, torch, "rand", lambda x: 0.015 + 0.97 * x)


@counterfeit("rand-is-standard-uniform")
def rand_knows_a_thousand_values(patch):
    change_result(patch, torch, "rand", lambda x: (x * 1000).floor() / 1000)


@counterfeit("rand-is-standard-uniform")
def rand_favours_small_numbers_in_short_tensors(patch):
    change_result(patch, torch, "rand", lambda x: x**1.1 if x.numel() < 16 else x)


@counterfeit("rand-is-standard-uniform")
def rand_is_a_triangle_around_one_half(patch):
    """The average of two draws, as if two were better than one."""
    rand = torch.rand
    patch.setattr(torch, "rand", lambda *args, **rest: (rand(*args, **rest) + rand(*args, **rest)) / 2)


def repeat_row(x):
    """Make the second row the same as the first."""
    if x.dim() == 2 and len(x) > 1:
        x[1] = x[0]
    return x


@counterfeit("rand-is-standard-uniform")
def rand_repeats_its_first_row(patch):
    change_result(patch, torch, "rand", repeat_row)


@counterfeit("randn-is-standard-normal")
def randn_repeats_its_first_row(patch):
    change_result(patch, torch, "randn", repeat_row)


def mirror_every_second_call(patch, name, mirror):
    """Antithetic draws: every second call returns the mirror image of the one before."""
    function, last = getattr(torch, name), {}

    def wrong(*sizes, **rest):
        key = (str(sizes), str(rest))
        if key in last:
            return mirror(last.pop(key))
        last[key] = function(*sizes, **rest)
        return last[key].clone()

    patch.setattr(torch, name, wrong)


@counterfeit("rand-is-standard-uniform")
def rand_mirrors_every_second_call(patch):
    mirror_every_second_call(patch, "rand", lambda x: 1 - x)


@counterfeit("randn-is-standard-normal")
def randn_mirrors_every_second_call(patch):
    mirror_every_second_call(patch, "randn", lambda x: -x)


def draw_from_a_generator_of_its_own(patch, name):
    function, own = getattr(torch, name), torch.Generator()
    patch.setattr(torch, name, lambda *sizes, **rest: function(*sizes, generator=own, **rest))


@counterfeit("rand-is-standard-uniform")
def rand_ignores_the_seed(patch):
    draw_from_a_generator_of_its_own(patch, "rand")


@counterfeit("randn-is-standard-normal")
def randn_ignores_the_seed(patch):
    draw_from_a_generator_of_its_own(patch, "randn")


@counterfeit("rand-is-standard-uniform")
def rand_correlates_neighbours_in_storage(patch):
    """Sorts every pair: the distribution of all draws stays uniform."""
    change_result(
        patch, torch, "rand", lambda x: x.view(-1, 2).sort(1).values.view(x.shape) if x.numel() % 2 == 0 else x
    )


@counterfeit("randn-is-standard-normal")
def randn_is_five_per_cent_too_wide(patch):
    change_result(patch, torch, "randn", lambda x: 1.05 * x)


@counterfeit("randn-is-standard-normal")
def randn_stops_at_three(patch):
    change_result(patch, torch, "randn", lambda x: x.clamp(-3, 3))


@counterfeit("randn-is-standard-normal")
def randn_is_always_positive_in_short_tensors(patch):
    change_result(patch, torch, "randn", lambda x: x.abs() if x.numel() < 16 else x)


@counterfeit("randn-is-standard-normal")
def randn_is_the_sum_of_twelve_uniform_draws(patch):
    """The old way: mean 0 and variance 1 are right, the tails are too thin."""
    randn = torch.randn

    def wrong(*sizes, **rest):
        x = randn(*sizes, **rest).zero_()
        for _ in range(12):
            x += torch.rand_like(x) - 0.5
        return x

    patch.setattr(torch, "randn", wrong)


@counterfeit("randn-is-standard-normal")
def randn_is_a_logistic_distribution(patch):
    """Scaled to variance 1; a bell with heavier tails."""
    randn = torch.randn

    def wrong(*sizes, **rest):
        x = torch.rand_like(randn(*sizes, **rest).double())
        return ((x / (1 - x)).log() * math.sqrt(3) / math.pi).to(randn(0, **rest).dtype)

    patch.setattr(torch, "randn", wrong)


def repeat_after_ten_thousand(x):
    if x.numel() > 20_000:
        x.view(-1)[-10_000:] = x.view(-1)[:10_000]
    return x


@counterfeit("rand-is-standard-uniform")
def rand_has_a_period_in_large_tensors(patch):
    change_result(patch, torch, "rand", repeat_after_ten_thousand)


@counterfeit("randn-is-standard-normal")
def randn_has_a_period_in_large_tensors(patch):
    change_result(patch, torch, "randn", repeat_after_ten_thousand)


# ── normal-takes-mean-and-std ──


def change_normal(patch, wrong):
    """Let `torch.normal(mean, std)` be `wrong(original, mean, std)`."""
    normal = torch.normal

    def changed(mean, std=1.0, **rest):
        return wrong(lambda *args: normal(*args, **rest), mean, std)

    patch.setattr(torch, "normal", changed)


@counterfeit("normal-takes-mean-and-std")
def normal_takes_the_variance_for_the_std(patch):
    change_normal(patch, lambda normal, mean, std: normal(mean, std**0.5 if isinstance(std, torch.Tensor) else std))


@counterfeit("normal-takes-mean-and-std")
def normal_adds_ten_per_cent_to_a_plain_std(patch):
    change_normal(patch, lambda normal, mean, std: normal(mean, std * 1.1 if isinstance(std, float) else std))


@counterfeit("normal-takes-mean-and-std")
def normal_uses_the_first_std_for_all_means(patch):
    def wrong(normal, mean, std):
        both = isinstance(mean, torch.Tensor) and isinstance(std, torch.Tensor)
        return normal(mean, std[..., :1].expand(std.shape) if both and std.dim() else std)

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_forgets_a_negative_mean_beside_a_tensor_of_stds(patch):
    change_normal(patch, lambda normal, mean, std: normal(max(mean, 0.0) if isinstance(mean, float) else mean, std))


@counterfeit("normal-takes-mean-and-std")
def normal_takes_a_negative_std_for_its_absolute_value(patch):
    change_normal(patch, lambda normal, mean, std: normal(mean, abs(std)))


@counterfeit("normal-takes-mean-and-std")
def normal_makes_a_scalar_of_two_floats(patch):
    normal = torch.normal

    def wrong(mean, std, **rest):
        plain = isinstance(mean, float) and isinstance(std, float) and not rest
        return normal(mean, std, size=()) if plain else normal(mean, std, **rest)

    patch.setattr(torch, "normal", wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_swaps_the_broadcast_dimensions_of_means(patch):
    def wrong(normal, mean, std):
        x = normal(mean, std)
        return x.flip(0) if isinstance(std, torch.Tensor) and x.dim() == 2 and std.dim() == 1 else x

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_draws_once_for_all_columns(patch):
    def wrong(normal, mean, std):
        x = normal(mean, std)
        both = isinstance(mean, torch.Tensor) and isinstance(std, torch.Tensor) and mean.shape == std.shape
        return mean + std * ((x - mean) / std)[..., :1] if both and x.dim() == 2 and std.min() > 0 else x

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_ignores_the_seed(patch):
    draw_from_a_generator_of_its_own(patch, "normal")


# ── uniform-is-a-torch-function ──


@counterfeit("uniform-is-a-torch-function")
def torch_has_a_function_uniform(patch):
    patch.setattr(torch, "uniform", lambda low, high: torch.rand(()) * (high - low) + low, raising=False)


def change_uniform(patch, wrong):
    """Let `x.uniform_(low, high)` be `wrong(original, x, low, high)`."""
    uniform_ = torch.Tensor.uniform_
    patch.setattr(torch.Tensor, "uniform_", lambda self, low=0, high=1, **rest: wrong(uniform_, self, low, high))


@counterfeit("uniform-is-a-torch-function")
def uniform_returns_a_new_tensor(patch):
    change_uniform(patch, lambda uniform_, x, low, high: uniform_(x.clone(), low, high))


@counterfeit("uniform-is-a-torch-function")
def uniform_fills_the_rest_of_the_storage_as_well(patch):
    def wrong(uniform_, x, low, high):
        uniform_(x if x._base is None else x._base, low, high)
        return x

    change_uniform(patch, wrong)


@counterfeit("uniform-is-a-torch-function")
def uniform_ends_one_per_cent_early(patch):
    change_uniform(patch, lambda uniform_, x, low, high: uniform_(x, low, high - 0.01 * (high - low)))


@counterfeit("uniform-is-a-torch-function")
def uniform_swaps_ends_in_the_wrong_order(patch):
    change_uniform(patch, lambda uniform_, x, low, high: uniform_(x, min(low, high), max(low, high)))


@counterfeit("uniform-is-a-torch-function")
def the_uniform_distribution_is_centred_on_its_lower_end(patch):
    sample = torch.distributions.Uniform.sample
    patch.setattr(
        torch.distributions.Uniform, "sample", lambda self, *size: sample(self, *size) - (self.high - self.low) / 2
    )


@counterfeit("uniform-is-a-torch-function")
def uniform_draws_once_for_all_rows(patch):
    def wrong(uniform_, x, low, high):
        return x.copy_(uniform_(x[:1].clone(), low, high)) if x.dim() == 2 else uniform_(x, low, high)

    change_uniform(patch, wrong)


# ── randperm-permutes ──


@counterfeit("randperm-permutes")
def randperm_leaves_the_second_half_of_a_long_permutation_in_order(patch):
    def change(x):
        return torch.cat([x[: len(x) // 2], x[len(x) // 2 :].sort().values]) if len(x) > 1000 else x

    change_result(patch, torch, "randperm", change)


@counterfeit("randperm-permutes")
def randperm_only_turns_the_numbers_round(patch):
    randperm = torch.randperm

    def wrong(m, **rest):
        return torch.arange(m, **rest).roll(int(randperm(m)[0]) if m else 0)

    patch.setattr(torch, "randperm", wrong)


@counterfeit("randperm-permutes")
def randperm_shuffles_each_place_with_any_other(patch):
    """The naive shuffle: every place is swapped with any of the m, not with those not yet drawn. For m = 4 some
    permutations are then nearly twice as likely as others.
    """
    randperm = torch.randperm

    def wrong(m, **rest):
        if m != 4:
            return randperm(m, **rest)
        order = list(range(m))
        for i, j in enumerate(torch.randint(m, (m,)).tolist()):
            order[i], order[j] = order[j], order[i]
        return torch.tensor(order)

    patch.setattr(torch, "randperm", wrong)


@counterfeit("randperm-permutes")
def randperm_draws_with_replacement_when_m_is_large(patch):
    randperm = torch.randperm
    patch.setattr(torch, "randperm", lambda m, **rest: torch.randint(m, (m,)) if m > 20_000 else randperm(m, **rest))


@counterfeit("randperm-permutes")
def randperm_starts_at_one(patch):
    change_result(patch, torch, "randperm", lambda x: x + 1)


@counterfeit("randperm-permutes")
def randperm_ignores_the_seed(patch):
    draw_from_a_generator_of_its_own(patch, "randperm")


@counterfeit("randperm-permutes")
def randperm_ignores_the_dtype(patch):
    randperm = torch.randperm
    patch.setattr(torch, "randperm", lambda m, dtype=None: randperm(m))
