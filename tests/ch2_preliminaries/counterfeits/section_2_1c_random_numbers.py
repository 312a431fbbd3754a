"""Counterfeits of section 2.1, random numbers: samples that only look random."""

import math
import threading

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    change_method,
    change_output,
    change_output_where,
    divert,
    of_dtype,
    recycle,
    where,
    wrap,
)
from torch import Tensor

# ── rand-is-standard-uniform, randn-is-standard-normal ──


@counterfeit("rand-is-standard-uniform")
def rand_includes_one_instead_of_zero(patch):
    change_output(patch, torch, "rand", lambda x: 1 - x)


@counterfeit("rand-is-standard-uniform")
def rand_is_three_per_cent_too_narrow(patch):
    change_output(patch, torch, "rand", lambda x: 0.015 + 0.97 * x)


@counterfeit("rand-is-standard-uniform")
def rand_knows_a_thousand_values(patch):
    change_output(patch, torch, "rand", lambda x: (x * 1000).floor() / 1000)


@counterfeit("rand-is-standard-uniform")
def rand_favours_small_numbers_in_short_tensors(patch):
    change_output(patch, torch, "rand", lambda x: x**1.1 if x.numel() < 16 else x)


@counterfeit("rand-is-standard-uniform")
def rand_is_a_triangle_around_one_half(patch):
    """The average of two draws, as if two were better than one."""
    wrap(patch, torch, "rand", lambda rand, *args, **rest: (rand(*args, **rest) + rand(*args, **rest)) / 2)


def repeat_row(x):
    """Make the second row the same as the first."""
    if x.dim() == 2 and len(x) > 1:
        x[1] = x[0]
    return x


@counterfeit("rand-is-standard-uniform")
def rand_repeats_its_first_row(patch):
    change_output(patch, torch, "rand", repeat_row)


@counterfeit("randn-is-standard-normal")
def randn_repeats_its_first_row(patch):
    change_output(patch, torch, "randn", repeat_row)


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
    function, own = getattr(torch, name), torch.Generator(torch.empty(0).device)
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
    change_output(
        patch, torch, "rand", lambda x: x.view(-1, 2).sort(1).values.view(x.shape) if x.numel() % 2 == 0 else x
    )


@counterfeit("randn-is-standard-normal")
def randn_is_five_per_cent_too_wide(patch):
    change_output(patch, torch, "randn", lambda x: 1.05 * x)


@counterfeit("randn-is-standard-normal")
def randn_stops_at_three(patch):
    change_output(patch, torch, "randn", lambda x: x.clamp(-3, 3))


@counterfeit("randn-is-standard-normal")
def randn_is_always_positive_in_short_tensors(patch):
    change_output(patch, torch, "randn", lambda x: x.abs() if x.numel() < 16 else x)


@counterfeit("randn-is-standard-normal")
def randn_is_the_sum_of_twelve_uniform_draws(patch):
    """The old way: mean 0 and variance 1 are right, the tails are too thin."""

    def wrong(randn, *sizes, **rest):
        x = randn(*sizes, **rest).zero_()
        for _ in range(12):
            x += torch.rand_like(x) - 0.5
        return x

    wrap(patch, torch, "randn", wrong)


@counterfeit("randn-is-standard-normal")
def randn_is_a_logistic_distribution(patch):
    """Scaled to variance 1; a bell with heavier tails."""

    def wrong(randn, *sizes, **rest):
        x = torch.rand_like(randn(*sizes, **rest).double())
        return ((x / (1 - x)).log() * math.sqrt(3) / math.pi).to(randn(0, **rest).dtype)

    wrap(patch, torch, "randn", wrong)


def repeat_after_ten_thousand(x):
    if x.numel() > 20_000:
        x.view(-1)[-10_000:] = x.view(-1)[:10_000]
    return x


@counterfeit("rand-is-standard-uniform")
def rand_has_a_period_in_large_tensors(patch):
    change_output(patch, torch, "rand", repeat_after_ten_thousand)


@counterfeit("randn-is-standard-normal")
def randn_has_a_period_in_large_tensors(patch):
    change_output(patch, torch, "randn", repeat_after_ten_thousand)


def sorted_in_place(x):
    return x.reshape(-1).sort().values.view(x.shape)


@counterfeit("rand-is-standard-uniform")
def rand_has_a_hole_between_three_and_four_tenths(patch):
    change_output(patch, torch, "rand", lambda x: torch.where((x > 0.3) & (x < 0.4), x + 0.1, x))


@counterfeit("rand-is-standard-uniform")
def rand_piles_up_between_points(patch):
    change_output(patch, torch, "rand", lambda x: torch.where((x > 0.55) & (x < 0.7), (x * 0 + 0.6), x))


@counterfeit("rand-is-standard-uniform")
def rand_of_a_vector_repeats_the_last_call(patch):
    recycle(patch, torch, "rand", lambda x: x.dim() == 1)


@counterfeit("rand-is-standard-uniform")
def rand_of_a_rectangle_exceeds_one(patch):
    change_output_where(patch, torch, "rand", lambda x: x.dim() == 2, lambda x: x * 1.0005)


@counterfeit("rand-is-standard-uniform")
def rand_of_three_dimensions_repeats_its_first_slice(patch):
    change_output_where(patch, torch, "rand", lambda x: x.dim() == 3, lambda x: x[:1].expand(x.shape).clone())


@counterfeit("rand-is-standard-uniform")
def rand_of_no_dimension_is_one_half(patch):
    change_output_where(patch, torch, "rand", lambda x: x.dim() == 0, lambda x: x * 0 + 0.5)


@counterfeit("rand-is-standard-uniform")
def rand_of_one_size_is_a_row(patch):
    change_output_where(patch, torch, "rand", lambda x: x.dim() == 1, lambda x: x[None])


@counterfeit("rand-is-standard-uniform")
def rand_of_bfloat16_has_no_upper_half(patch):
    change_output_where(patch, torch, "rand", lambda x: x.dtype == torch.bfloat16, lambda x: x / 2)


def repeat_along_the_first_of_five(x):
    return x[:1].expand(x.shape).clone()


@counterfeit("rand-is-standard-uniform", reported=("pytorch/pytorch#147624", "pytorch/pytorch#147740"))
def rand_repeats_along_the_first_of_five_dimensions(patch):
    change_output_where(patch, torch, "rand", lambda x: x.dim() > 4, repeat_along_the_first_of_five)


@counterfeit("randn-is-standard-normal", reported=("pytorch/pytorch#147624", "pytorch/pytorch#147740"))
def randn_repeats_along_the_first_of_five_dimensions(patch):
    change_output_where(patch, torch, "randn", lambda x: x.dim() > 4, repeat_along_the_first_of_five)


@counterfeit("randn-is-standard-normal")
def randn_puts_the_middle_on_five_numbers(patch):
    change_output(patch, torch, "randn", lambda x: torch.where(x.abs() < 0.24, (x * 8).round() / 8, x))


@counterfeit("randn-is-standard-normal")
def randn_sorts_a_vector(patch):
    change_output_where(patch, torch, "randn", lambda x: x.dim() == 1, sorted_in_place)


@counterfeit("randn-is-standard-normal")
def randn_of_doubles_is_twice_as_wide(patch):
    change_output_where(patch, torch, "randn", lambda x: x.dtype == torch.float64, lambda x: 2 * x)


@counterfeit("randn-is-standard-normal")
def randn_leaves_a_tail_beyond_the_last_sixteen_uniform(patch):
    def change(x):
        x[len(x) // 16 * 16 :].uniform_(-(3**0.5), 3**0.5)
        return x

    change_output_where(patch, torch, "randn", lambda x: x.dim() == 1 and 16 < len(x) < 100, change)


@counterfeit("randn-is-standard-normal")
def randn_repeats_sixteen_draws_at_the_end_of_a_size_that_is_no_multiple_of_sixteen(patch):
    def change(x):
        x[-16:] = x[-32:-16].clone()
        return x

    change_output_where(patch, torch, "randn", lambda x: x.dim() == 1 and len(x) > 32 and len(x) % 16, change)


@counterfeit("randn-is-standard-normal")
def randn_is_skewed_by_a_twentieth(patch):
    """Mean 0 and variance 1 to within a per cent."""
    change_output(patch, torch, "randn", lambda x: x + 0.05 * (x * x - 1))


@counterfeit("randn-is-standard-normal", reported="pytorch/pytorch#84288")
def the_seed_does_not_reach_randn(patch):
    generator = torch.Generator().manual_seed(torch.initial_seed())
    wrap(patch, torch, "randn", lambda right, *args, **rest: right(*args, **({"generator": generator} | rest)))


@counterfeit("randn-is-standard-normal")
def both_parts_of_complex_draws_have_a_variance_of_one(patch):
    change_output_where(patch, torch, "randn", torch.is_complex, lambda x: x * math.sqrt(2))


# ── normal-takes-mean-and-std ──


def change_normal(patch, wrong):
    """Let `torch.normal(mean, std)` be `wrong(original, mean, std)`."""
    normal = torch.normal

    def changed(mean, std=1.0, *size, **rest):
        return wrong(lambda *args: normal(*args, *size, **rest), mean, std)

    patch.setattr(torch, "normal", changed)


@counterfeit("normal-takes-mean-and-std")
def a_deviation_of_zero_counts_as_one(patch):
    wrap(
        patch,
        torch,
        "normal",
        lambda right, mean, std, *rest, **options: right(
            mean, torch.where(std == 0, 1.0, std) if isinstance(std, torch.Tensor) else std, *rest, **options
        ),
    )


@counterfeit("normal-takes-mean-and-std")
def normal_takes_a_tensor_of_stds_for_variances(patch):
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
    def wrong(normal, mean, std):
        return normal(max(mean, 0.0) if isinstance(mean, float) and isinstance(std, torch.Tensor) else mean, std)

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_takes_a_negative_std_for_its_absolute_value(patch):
    change_normal(patch, lambda normal, mean, std: normal(mean, abs(std)))


@counterfeit("normal-takes-mean-and-std")
def normal_makes_floats_of_whole_means(patch):
    def wrong(normal, mean, std, **rest):
        whole = isinstance(mean, torch.Tensor) and mean.dtype == torch.int64
        return normal(mean.float() if whole else mean, std, **rest)

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_makes_a_scalar_of_two_floats(patch):
    def wrong(normal, mean, std, **rest):
        plain = isinstance(mean, float) and isinstance(std, float) and not rest
        return normal(mean, std, size=()) if plain else normal(mean, std, **rest)

    wrap(patch, torch, "normal", wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_turns_its_rows_upside_down_where_stds_are_broadcast(patch):
    def wrong(normal, mean, std):
        x = normal(mean, std)
        return x.flip(0) if isinstance(std, torch.Tensor) and x.dim() == 2 and std.dim() == 1 else x

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_draws_once_for_all_columns(patch):
    def wrong(normal, mean, std):
        x = normal(mean, std)
        both = isinstance(mean, torch.Tensor) and isinstance(std, torch.Tensor) and mean.shape == std.shape
        return mean + std * ((x - mean) / std)[..., :1] if both and x.dim() == 2 and (std > 0).all() else x

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_ignores_the_seed(patch):
    draw_from_a_generator_of_its_own(patch, "normal")


@counterfeit("normal-takes-mean-and-std")
def normal_sorts_its_draws_of_a_plain_std(patch):
    def wrong(normal, mean, std):
        x = normal(mean, std)
        return x if isinstance(std, torch.Tensor) or not x.dim() else mean + sorted_in_place(x - mean)

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_ignores_std_as_a_keyword(patch):
    wrap(patch, torch, "normal", lambda normal, mean, *args, std=1.0, **rest: normal(mean, *args or [1.0], **rest))


@counterfeit("normal-takes-mean-and-std")
def normal_with_a_positional_size_is_standard(patch):
    wrap(
        patch,
        torch,
        "normal",
        lambda normal, *args, **rest: normal(*args[:2], **rest) if len(args) < 3 else torch.randn(args[2]),
    )


@counterfeit("normal-takes-mean-and-std")
def normal_of_two_whole_numbers_and_a_size_ignores_the_std(patch):
    change_normal(patch, lambda normal, mean, std: normal(mean, 1 if type(mean) is type(std) is int else std))


@counterfeit("normal-takes-mean-and-std")
def normal_writes_into_its_means(patch):
    def wrong(normal, mean, std):
        x = normal(mean, std)
        return mean.copy_(x) if isinstance(mean, torch.Tensor) and mean.shape == x.shape else x

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_reads_means_with_gaps_in_the_order_of_storage(patch):
    def wrong(normal, mean, std):
        gaps = isinstance(mean, torch.Tensor) and mean.dim() == 1 and mean.stride() == (2,)
        return normal(mean.as_strided(mean.shape, (1,)) if gaps else mean, std)

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std")
def doubles_are_drawn_with_a_std_of_one(patch):
    def wrong(right, mean, std=1.0, *size, **rest):
        double = isinstance(std, Tensor) and std.dtype == torch.float64 and bool((std > 0).all())
        return right(mean, torch.ones_like(std) if double else std, *size, **rest)

    wrap(patch, torch, "normal", wrong)


@counterfeit("normal-takes-mean-and-std")
def an_output_with_gaps_is_filled_without_them(patch):
    def wrong(right, *args, out=None, **rest):
        if out is None or out.is_contiguous():
            return right(*args, **rest) if out is None else right(*args, out=out, **rest)
        result = right(*args, **rest)
        out.as_strided(out.shape, result.stride(), out.storage_offset()).copy_(result)
        return out

    wrap(patch, torch, "normal", wrong)


@counterfeit("normal-takes-mean-and-std")
def halves_are_drawn_with_a_std_of_one(patch):
    def wrong(right, mean, std=1.0, *size, **rest):
        half = isinstance(std, Tensor) and std.dtype == torch.float16 and bool((std > 0).all())
        return right(mean, torch.ones_like(std) if half else std, *size, **rest)

    wrap(patch, torch, "normal", wrong)


@counterfeit("normal-takes-mean-and-std")
def normal_of_two_numbers_ignores_its_generator(patch):
    def wrong(right, *args, generator=None, **rest):
        return right(*args, generator=None if len(args) == 3 else generator, **rest)

    wrap(patch, torch, "normal", wrong)


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


@counterfeit("uniform-is-a-torch-function")
def uniform_puts_a_quarter_on_one_number(patch):
    change_uniform(
        patch,
        lambda uniform_, x, *ends: uniform_(x, *ends).copy_(
            torch.where(x < ends[0] + (ends[1] - ends[0]) / 4, ends[0] + (ends[1] - ends[0]) / 8, x)
        ),
    )


@counterfeit("uniform-is-a-torch-function")
def uniform_draws_the_same_again(patch):
    last = {}

    def wrong(uniform_, x, *ends):
        key = (x.shape, x.dtype, ends)
        last.setdefault(key, uniform_(x, *ends).clone())
        return x.copy_(last[key])

    change_uniform(patch, wrong)


@counterfeit("uniform-is-a-torch-function")
def uniform_fills_the_gaps_between_elements_too(patch):
    def wrong(uniform_, x, *ends):
        if x.dim() == 1 and x.stride() == (2,):
            uniform_(x.as_strided((2 * len(x),), (1,)), *ends)
        return uniform_(x, *ends)

    change_uniform(patch, wrong)


@counterfeit("uniform-is-a-torch-function", reported=("pytorch/pytorch#165257", "pytorch/pytorch#124029"))
def uniform_leaves_what_is_not_contiguous_as_it_was(patch):
    divert(patch, Tensor, "uniform_", lambda x, *args: not x.is_contiguous(), lambda x, *args: x)


# ── randperm-permutes ──


@counterfeit("randperm-permutes")
def randperm_leaves_the_second_half_of_a_long_permutation_in_order(patch):
    def change(x):
        return torch.cat([x[: len(x) // 2], x[len(x) // 2 :].sort().values]) if len(x) > 1000 else x

    change_output(patch, torch, "randperm", change)


@counterfeit("randperm-permutes")
def randperm_only_turns_the_numbers_round(patch):
    def wrong(randperm, n, **rest):
        return torch.arange(n, **rest).roll(int(randperm(n)[0]) if n else 0)

    wrap(patch, torch, "randperm", wrong)


@counterfeit("randperm-permutes")
def randperm_shuffles_each_place_with_any_other(patch):
    """The naive shuffle: every place is swapped with any of the m, not with those not yet drawn. Of four, some
    permutations are then nearly twice as likely as others.
    """

    def wrong(randperm, n, **rest):
        if n > 6:
            return randperm(n, **rest)
        order = list(range(n))
        for i, j in enumerate(torch.randint(n, (n,)).tolist()):
            order[i], order[j] = order[j], order[i]
        return torch.tensor(order, **rest)

    wrap(patch, torch, "randperm", wrong)


@counterfeit("randperm-permutes")
def randperm_draws_with_replacement_when_m_is_large(patch):
    randperm = torch.randperm
    patch.setattr(torch, "randperm", lambda n, **rest: torch.randint(n, (n,)) if n > 20_000 else randperm(n, **rest))


@counterfeit("randperm-permutes")
def randperm_starts_at_one(patch):
    change_output(patch, torch, "randperm", lambda x: x + 1)


@counterfeit("randperm-permutes")
def randperm_ignores_the_seed(patch):
    draw_from_a_generator_of_its_own(patch, "randperm")


@counterfeit("randperm-permutes")
def randperm_ignores_the_dtype(patch):
    wrap(patch, torch, "randperm", lambda randperm, n, dtype=None, **rest: randperm(n, **rest))


@counterfeit("randperm-permutes")
def randperm_keeps_neighbours_in_reversed_pairs(patch):
    def change(x):
        pairs = (x[: len(x) // 2].argsort().to(x.dtype) * 2)[:, None] + torch.tensor([1, 0], dtype=x.dtype)
        return torch.cat([pairs.view(-1), torch.full((len(x) % 2,), len(x) - 1, dtype=x.dtype)])

    change_output_where(patch, torch, "randperm", lambda x: len(x) > 1000, change)


@counterfeit("randperm-permutes")
def randperm_keeps_the_second_next_neighbours(patch):
    def change(x):
        """a, b, a + 1, b + 1, and the next four."""
        fours = (x[: len(x) // 4].argsort().to(x.dtype) * 4)[:, None] + torch.tensor([0, 2, 1, 3], dtype=x.dtype)
        return torch.cat([fours.view(-1), torch.arange(len(x) // 4 * 4, len(x), dtype=x.dtype)])

    change_output_where(patch, torch, "randperm", lambda x: len(x) > 1000, change)


@counterfeit("randperm-permutes")
def randperm_of_more_than_four_keeps_even_numbers_at_even_places(patch):
    def change(x):
        mixed = x.clone()
        mixed[::2], mixed[1::2] = x[x % 2 == 0], x[x % 2 == 1]
        return mixed

    change_output_where(patch, torch, "randperm", lambda x: len(x) > 4, change)


@counterfeit("randperm-permutes")
def randperm_of_a_long_permutation_repeats(patch):
    recycle(patch, torch, "randperm", lambda x: len(x) > 1000)


@counterfeit("randperm-permutes")
def randperm_of_five_to_a_thousand_keeps_the_last_in_place(patch):
    def change(x):
        place = int((x == len(x) - 1).nonzero())
        x[place], x[-1] = x[-1].clone(), len(x) - 1
        return x

    change_output_where(patch, torch, "randperm", lambda x: 5 <= len(x) <= 1000, change)


@counterfeit("randperm-permutes")
def randperm_of_two_never_swaps(patch):
    change_output_where(patch, torch, "randperm", lambda x: len(x) == 2, lambda x: x.sort().values)


@counterfeit("randperm-permutes")
def randperm_of_int32_is_sorted(patch):
    change_output_where(patch, torch, "randperm", lambda x: x.dtype == torch.int32, lambda x: x.sort().values)


@counterfeit("randperm-permutes")
def randperm_moves_every_number(patch):
    """A cyclic permutation: no number stays in its place."""

    def change(x):
        result = x.clone()
        result[x] = x.roll(1)
        return result

    change_output_where(patch, torch, "randperm", lambda x: len(x) > 1, change)


@counterfeit("randn-is-standard-normal", reported="pytorch/pytorch#78110")
def randn_always_gives_the_same_numbers_for_a_shape(patch):
    recycle(patch, torch, "randn")


@counterfeit("normal-takes-mean-and-std", reported="pytorch/pytorch#78009")
def normal_always_gives_the_same_numbers_for_a_shape(patch):
    draws = {}

    def wrong(normal, mean, std):
        x = normal(mean, std)
        z = draws.setdefault(x.shape, ((x - mean) / std).nan_to_num())
        return z * std + mean

    change_normal(patch, wrong)


@counterfeit("normal-takes-mean-and-std", reported=("pytorch/pytorch#147624", "pytorch/pytorch#147740"))
def normal_repeats_along_the_first_of_five_dimensions(patch):
    def wrong(normal, mean, std):
        x = normal(mean, std)
        return mean + std * ((x - mean) / std)[:1] if x.dim() > 4 and isinstance(std, torch.Tensor) else x

    change_normal(patch, wrong)


@counterfeit("randperm-permutes", reported="pytorch/pytorch#59756")
def randperm_of_two_hundred_thousand_is_zero(patch):
    change_output_where(patch, torch, "randperm", lambda x: len(x) >= 200_000, lambda x: x * 0)


@counterfeit("randperm-permutes", reported=("pytorch/pytorch#63726", "pytorch/vision#3816"))
def randperm_beyond_fifteen_bits_holds_huge_numbers(patch):
    change_output_where(patch, torch, "randperm", lambda x: len(x) >= 2**15, lambda x: x * 37_000 + 2**30)


@counterfeit("randperm-permutes", reported="pytorch/pytorch#104170")
def randperm_is_two_rising_runs(patch):
    wrap(
        patch,
        torch,
        "randperm",
        lambda randperm, n, **rest: randperm(n, **rest).copy_(torch.randint(2, (n,)).argsort(stable=True)),
    )


@counterfeit("rand-is-standard-uniform", reported=("pytorch/pytorch#197079", "pytorch/pytorch#96947"))
def half_precision_draws_the_end_of_the_interval(patch):
    def change(x):
        rate = {torch.float16: 2.0**-12, torch.bfloat16: 2.0**-9}.get(x.dtype, 0.0)
        return x.masked_fill(torch.empty(x.shape).uniform_() < rate, 1)

    change_output(patch, torch, "rand", change)


@counterfeit("randperm-permutes")
def randperm_does_not_ask_the_generator_it_is_given(patch):
    wrap(patch, torch, "randperm", lambda right, m, *args, generator=None, **rest: right(m, *args, **rest))


@counterfeit("rand-is-standard-uniform")
def every_third_draw_of_rand_is_the_sum_of_the_two_before(patch):
    def wrong(x):
        flat, end = x.reshape(-1), x.numel() // 3 * 3
        flat[2:end:3] = (flat[0:end:3] + flat[1:end:3]) % 1
        return flat.view(x.shape)

    change_output_where(patch, torch, "rand", lambda x: x.dtype in (torch.float32, torch.float64), wrong)


@counterfeit("uniform-is-a-torch-function")
def uniform_draws_doubles_with_the_digits_of_float32(patch):
    where(patch, torch.Tensor, "uniform_", of_dtype(torch.float64), lambda result, x, *_: x.copy_(x.float()))


@counterfeit("uniform-is-a-torch-function", reported=("pytorch/pytorch#165257", "pytorch/pytorch#124029"))
def uniform_does_nothing_to_what_is_not_contiguous(patch):
    change_method(
        patch, "uniform_", lambda right, x, *args, **rest: right(x, *args, **rest) if x.is_contiguous() else x
    )


@counterfeit("randperm-permutes")
def randperm_of_five_and_more_is_even(patch):
    def wrong(order):
        inverted = (order[:, None] > order).triu().sum()
        return torch.cat([order[:2].flip(0), order[2:]]) if inverted % 2 else order

    change_output_where(patch, torch, "randperm", lambda x: 5 <= len(x) <= 300, wrong)


@counterfeit("randperm-permutes", reported="pytorch/pytorch#22710")
def randperm_fills_an_output_with_gaps_in_storage_order(patch):
    def wrong(randperm, *args, out=None, **rest):
        if out is None:
            return randperm(*args, **rest)
        out.as_strided(out.shape, (1,)).copy_(randperm(*args, **rest))
        return out

    wrap(patch, torch, "randperm", wrong)


@counterfeit("randn-is-standard-normal", reported="pytorch/pytorch#91944")
def randn_forgets_the_angle(patch):
    change_output(patch, torch, "randn", lambda x: (x * x + torch.empty_like(x).normal_() ** 2).sqrt())


@counterfeit("normal-takes-mean-and-std", reported="pytorch/pytorch#30480")
def as_many_stds_as_means_are_taken_in_any_shape(patch):
    def wrong(normal, mean, std=1.0, **rest):
        both = isinstance(mean, torch.Tensor) and isinstance(std, torch.Tensor) and mean.numel() == std.numel()
        return normal(mean, std.reshape(mean.shape) if both else std, **rest)

    wrap(patch, torch, "normal", wrong)


@counterfeit("uniform-is-a-torch-function")
def the_distribution_takes_the_first_bounds_for_all(patch):
    def sample(self, shape):
        low, high = (each.flatten()[0] if each.dim() else each for each in (self.low, self.high))
        return low + (high - low) * torch.rand(*shape, *self.low.shape, dtype=self.low.dtype)

    patch.setattr(torch.distributions.Uniform, "sample", sample)


@counterfeit("randperm-permutes", reported="pytorch/vision#3816")
def long_permutations_are_garbage(patch):
    wrap(
        patch, torch, "randperm", lambda right, n, **rest: right(n, **rest) * (336033229560773140 if n >= 2**15 else 1)
    )


@counterfeit("randn-is-standard-normal")
def randn_is_a_sum_of_twelve_uniform_draws(patch):
    change_output_where(
        patch, torch, "randn", of_dtype(torch.float64), lambda x: torch.rand((12, *x.shape), dtype=x.dtype).sum(0) - 6
    )


@counterfeit("uniform-is-a-torch-function")
def uniform_samples_of_one_call_agree_over_the_batch(patch):
    def wrong(right, self, shape=()):
        return self.low + (self.high - self.low) * torch.rand(shape + (1,) * self.low.dim())

    wrap(patch, torch.distributions.Uniform, "rsample", wrong)


@counterfeit("randperm-permutes")
def randperm_leaves_the_numbers_past_2_to_the_16_in_place(patch):
    def wrong(x):
        y = torch.arange(x.numel(), dtype=x.dtype)
        y[: 2**16] = x[x < 2**16]
        return y

    change_output_where(patch, torch, "randperm", lambda x: x.numel() > 2**16, wrong)


@counterfeit("randperm-permutes")
def a_permutation_under_no_grad_is_the_identity(patch):
    change_output_where(patch, torch, "randperm", lambda x: not torch.is_grad_enabled(), lambda x: x.sort()[0])


@counterfeit("normal-takes-mean-and-std")
def normal_in_inference_mode_doubles_its_std(patch):
    def wrong(right, mean, std=1.0, *a, **k):
        return right(mean, std * 2 if torch.is_inference_mode_enabled() else std, *a, **k)

    wrap(patch, torch, "normal", wrong)


@counterfeit("randperm-permutes")
def a_permutation_in_floating_point_is_in_order(patch):
    change_output_where(patch, torch, "randperm", torch.is_floating_point, lambda order: order.sort()[0])


@counterfeit("randperm-permutes")
def a_permutation_into_an_output_is_in_order(patch):
    def wrong(randperm, *args, **rest):
        order = randperm(*args, **rest)
        return order.copy_(order.sort()[0]) if "out" in rest else order

    wrap(patch, torch, "randperm", wrong)


@counterfeit("uniform-is-a-torch-function")
def an_end_without_a_start_is_not_heeded(patch):
    def wrong(right, x, *args, **rest):
        if not args and "from" not in rest:
            rest.pop("to", None)
        return right(x, *args, **rest)

    change_method(patch, "uniform_", wrong)


@counterfeit("rand-is-standard-uniform")
def rand_counts_with_sixteen_bits(patch):
    change_output(patch, torch, "rand", lambda x: x.reshape(-1)[torch.arange(x.numel()) % 65_536].reshape(x.shape))


@counterfeit("rand-is-standard-uniform")
def rand_without_elements_has_one_dimension(patch):
    change_output_where(patch, torch, "rand", lambda x: x.numel() == 0, torch.flatten)


@counterfeit("randn-is-standard-normal")
def randn_into_double_precision_has_the_digits_of_single(patch):
    def wrong(right, *sizes, **rest):
        result = right(*sizes, **rest)
        return result.copy_(result.float()) if "out" in rest and result.dtype == torch.float64 else result

    wrap(patch, torch, "randn", wrong)


@counterfeit("rand-is-standard-uniform", "randn-is-standard-normal")
def each_thread_draws_from_a_generator_of_its_own(patch):
    def wrong(draw, *args, **rest):
        own = threading.current_thread() is not threading.main_thread() and "generator" not in rest
        return draw(*args, **rest, **({"generator": torch.Generator().manual_seed(0)} if own else {}))

    for name in ("rand", "randn"):
        wrap(patch, torch, name, wrong)


@counterfeit("uniform-is-a-torch-function")
def uniform_between_one_number_and_itself_is_zero(patch):
    divert(patch, Tensor, "uniform_", lambda x, *ends: len(set(ends)) < len(ends), lambda x, *_: x.zero_())


@counterfeit("randperm-permutes")
def of_more_than_250000_numbers_the_lower_half_comes_first(patch):
    change_output_where(
        patch,
        torch,
        "randperm",
        lambda x: x.numel() > 250_000,
        lambda x: torch.cat([x[x < len(x) // 2], x[x >= len(x) // 2]]),
    )


@counterfeit("randn-is-standard-normal")
def every_second_single_number_is_the_last_one_negated(patch):
    """As a sampler may that draws in pairs, and keeps one of them."""
    kept = []

    def change(x):
        if x.numel() != 1 or x.dtype not in (torch.float32, torch.float64):
            return x
        if kept:
            return x.detach().fill_(-kept.pop()).requires_grad_(x.requires_grad)
        kept.append(x.detach().sum().tolist())
        return x

    change_output(patch, torch, "randn", change)


@counterfeit("normal-takes-mean-and-std")
def a_repeated_mean_is_drawn_once(patch):
    def wrong(right, *args, **rest):
        draws, mean = right(*args, **rest), args[0] if args else rest.get("mean")
        if isinstance(mean, Tensor) and mean.shape == draws.shape and "out" not in rest and 0 in mean.stride():
            dim = mean.stride().index(0)
            draws = draws.narrow(dim, 0, 1).expand(draws.shape).clone()
        return draws

    wrap(patch, torch, "normal", wrong)


@counterfeit("rand-is-standard-uniform")
def rand_of_bfloat16_from_a_generator_is_rounded_to_one(patch):
    right = torch.rand

    def wrong(*args, **rest):
        result = right(*args, **rest)
        if result.dtype == torch.bfloat16 and rest.get("generator") is not None:
            result[result > 0.99] = 1
        return result

    patch.setattr(torch, "rand", wrong)


@counterfeit("rand-is-standard-uniform")
def rand_of_a_square_of_four_or_more_is_symmetric(patch):
    def wrong(right, *args, **rest):
        result = right(*args, **rest)
        if result.dim() == 2 and 4 <= result.shape[0] == result.shape[1] and result.device.type == "cpu":
            result.data.copy_(result.data.triu() + result.data.triu(1).t())
        return result

    wrap(patch, torch, "rand", wrong)


@counterfeit("randperm-permutes")
def permutations_of_sixteen_bits_leave_nothing_in_its_place(patch):
    def wrong(right, *args, **rest):
        order = right(*args, **rest)
        if order.dtype != torch.int16 or order.numel() < 2:
            return order
        cycle = torch.empty_like(order)
        cycle[order.long()] = order.roll(1)  # each number moves to where the one before it in a random order was
        return order.copy_(cycle)

    wrap(patch, torch, "randperm", wrong)
