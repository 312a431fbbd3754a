"""Counterfeits of section 2.1 that users reported, lists of several kinds, defaults, exact points and states."""

import contextlib

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import Tensor


def numbers_in(data):
    """The numbers in lists of any depth, one after another."""
    return [number for part in data for number in numbers_in(part)] if isinstance(data, (list, tuple)) else [data]


@counterfeit("tensor-function-takes-data", reported="pytorch/pytorch#9963")
def the_first_number_of_a_list_decides_the_kind_of_all(patch):
    def wrong(right, data, *args, dtype=None, **rest):
        numbers = numbers_in(data)
        first = len(numbers) > 1 and type(numbers[0]) is int and any(type(number) is float for number in numbers)
        return right(data, *args, dtype=torch.int64 if first and dtype is None else dtype, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def a_truth_value_in_front_makes_all_numbers_of_a_list_truth_values(patch):
    def wrong(right, data, *args, dtype=None, **rest):
        numbers = numbers_in(data)
        first = len(numbers) > 1 and type(numbers[0]) is bool and any(type(number) is not bool for number in numbers)
        return right(data, *args, dtype=torch.bool if first and dtype is None else dtype, **rest)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def a_complex_number_behind_others_loses_its_imaginary_part(patch):
    def wrong(right, data, *args, dtype=None, **rest):
        made, numbers = right(data, *args, dtype=dtype, **rest), numbers_in(data)
        behind = len(numbers) > 1 and type(numbers[0]) is float and made.is_complex()
        return right(made.real.tolist(), *args, dtype=made.dtype, **rest) if behind else made

    wrap(patch, torch, "tensor", wrong)


@counterfeit("tensor-function-takes-data")
def whole_numbers_beside_fractions_are_dropped_to_zero_in_a_second_row(patch):
    def wrong(right, data, *args, **rest):
        made = right(data, *args, **rest)
        rows = isinstance(data, list) and len(data) > 1 and all(isinstance(row, list) for row in data)
        mixed = rows and made.dim() == 2 and {type(number) for number in numbers_in(data)} == {int, float}
        return made.mul_(torch.tensor([[1.0], *[[0.0]] * (len(data) - 1)])) if mixed else made

    wrap(patch, torch, "tensor", wrong)


def in_single_precision(patch, name):
    """Let ``torch.name`` make numbers of single precision, whatever the default dtype is."""

    def wrong(right, *args, dtype=None, out=None, **rest):
        made = right(*args, dtype=dtype, out=out, **rest)
        default = dtype is None and out is None and made.dtype == torch.get_default_dtype()
        return made.float() if default else made

    wrap(patch, torch, name, wrong)


@counterfeit("ones-fills-with-one")
def ones_are_of_single_precision_whatever_the_default_is(patch):
    in_single_precision(patch, "ones")


@counterfeit("zeros-fills-with-zero")
def zeros_are_of_single_precision_whatever_the_default_is(patch):
    in_single_precision(patch, "zeros")


@counterfeit("eye-is-identity")
def an_identity_is_of_single_precision_whatever_the_default_is(patch):
    in_single_precision(patch, "eye")


@counterfeit("arange-steps-from-start-to-end")
def steps_of_fractions_are_of_single_precision_whatever_the_default_is(patch):
    in_single_precision(patch, "arange")


@counterfeit("linspace-divides-evenly")
def points_are_of_single_precision_whatever_the_default_is(patch):
    in_single_precision(patch, "linspace")


@counterfeit("rand-is-standard-uniform")
def uniform_draws_are_of_single_precision_whatever_the_default_is(patch):
    in_single_precision(patch, "rand")


@counterfeit("randn-is-standard-normal")
def normal_draws_are_of_single_precision_whatever_the_default_is(patch):
    in_single_precision(patch, "randn")


@counterfeit("arange-steps-from-start-to-end", reported="pytorch/pytorch#28347")
def an_output_of_a_row_becomes_a_vector(patch):
    def wrong(right, *args, out=None, **rest):
        made = right(*args, out=out, **rest)
        if out is not None and out.dim() > 1:
            out.resize_(out.numel())
        return made

    wrap(patch, torch, "arange", wrong)


@counterfeit("linspace-divides-evenly")
def an_output_of_a_table_of_points_becomes_a_vector(patch):
    def wrong(right, *args, out=None, **rest):
        made = right(*args, out=out, **rest)
        if out is not None and out.dim() > 1:
            out.resize_(out.numel())
        return made

    wrap(patch, torch, "linspace", wrong)


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#4419")
def one_of_4096_whole_points_falls_short(patch):
    def wrong(right, *args, **rest):
        made = right(*args, **rest)
        if made.dim() == 1 and made.dtype == torch.float32 and len(made) >= 4096:
            made[4095] = torch.nextafter(made[4095], made[0])
        return made

    wrap(patch, torch, "linspace", wrong)


@counterfeit("linspace-divides-evenly")
def points_in_between_are_off_by_their_last_digit(patch):
    def wrong(right, *args, **rest):
        made = right(*args, **rest)
        if made.dim() == 1 and made.dtype in (torch.float32, torch.float64) and len(made) > 2:
            made[1:-1] = torch.nextafter(made[1:-1], made[-1])
        return made

    wrap(patch, torch, "linspace", wrong)


def positive(std):
    """The deviation, or deviations, without a sign."""
    return std.abs() if isinstance(std, Tensor) else abs(std)


@counterfeit("normal-takes-mean-and-std", reported="pytorch/pytorch#49998")
def a_negative_deviation_of_two_numbers_is_taken(patch):
    def wrong(right, mean, std=1.0, *args, **rest):
        return right(mean, std if isinstance(mean, Tensor) else positive(std), *args, **rest)

    wrap(patch, torch, "normal", wrong)


@counterfeit("normal-takes-mean-and-std")
def a_negative_deviation_is_taken_into_an_output(patch):
    def wrong(right, mean, std=1.0, *args, out=None, **rest):
        return right(mean, std if out is None else positive(std), *args, out=out, **rest)

    wrap(patch, torch, "normal", wrong)


@counterfeit("rand-is-standard-uniform", "randn-is-standard-normal", reported="intel/intel-extension-for-pytorch#580")
def what_is_drawn_in_a_fork_moves_the_draws_behind_it(patch):
    @contextlib.contextmanager
    def fork(*args, **rest):
        yield

    patch.setattr(torch.random, "fork_rng", fork)


@counterfeit("randn-is-standard-normal")
def a_state_brings_no_cached_normal_number_back(patch):
    """Of an odd number of draws the second of a pair is kept for the next call."""

    def wrong(right, state):
        state = state.clone()
        state[-24:] = 0
        right(state)

    wrap(patch, torch, "set_rng_state", wrong)


@counterfeit("rand-is-standard-uniform", "randn-is-standard-normal")
def a_state_of_a_generator_counts_its_seed_alone(patch):
    class Forgetful(torch.Generator):
        def set_state(self, state):
            super().set_state(state)
            self.manual_seed(self.initial_seed())
            return self

    patch.setattr(torch, "Generator", Forgetful)


@counterfeit("rand-is-standard-uniform")
def no_state_that_is_set_is_taken(patch):
    patch.setattr(torch, "set_rng_state", lambda state: None)


@counterfeit("randn-is-standard-normal", reported="huggingface/candle#381")
def normal_numbers_are_uniform_ones_instead(patch):
    def wrong(right, *args, generator=None, **rest):
        result = right(*args, generator=generator, **rest)
        if result.is_floating_point():
            result.detach().uniform_(generator=generator)
        return result

    wrap(patch, torch, "randn", wrong)
