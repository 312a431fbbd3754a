"""Counterfeits of section 2.1, regular patterns: one number too many, and rounding errors that pile up."""

import math

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import change_output, change_output_where, change_result, of_dtype, recycle, wrap
from torch import Tensor

# ── eye-is-identity ──


@counterfeit("eye-is-identity")
def eye_starts_the_diagonal_anew_when_rows_are_left(patch):
    def change(x):
        for i in range(x.shape[0] if x.shape[1] else 0):
            x[i, i % x.shape[1]] = 1
        return x

    change_output(patch, torch, "eye", change)


@counterfeit("eye-is-identity")
def eye_mirrors_wide_matrices(patch):
    change_output(patch, torch, "eye", lambda x: x.flip(1) if x.shape[1] > x.shape[0] else x)


@counterfeit("eye-is-identity")
def eye_ignores_the_dtype(patch):
    wrap(patch, torch, "eye", lambda eye, *sizes, dtype=None, **rest: eye(*sizes, **rest))


@counterfeit("eye-is-identity")
def eye_takes_equal_sizes_for_a_cube(patch):
    def wrong(eye, *sizes, **rest):
        return eye(*sizes[:2], **rest) if len(sizes) > 2 and len(set(sizes)) == 1 else eye(*sizes, **rest)

    wrap(patch, torch, "eye", wrong)


@counterfeit("eye-is-identity")
def eye_without_sizes_is_a_one(patch):
    wrap(patch, torch, "eye", lambda eye, *sizes, **rest: eye(*sizes or [1], **rest))


@counterfeit("eye-is-identity")
def eye_fills_the_first_hundred_rows_of_a_large_rectangle(patch):
    def change(x):
        x[100:] = 0
        return x

    change_output_where(patch, torch, "eye", lambda x: x.shape[0] != x.shape[1], change)


@counterfeit("eye-is-identity")
def eye_leaves_an_empty_output_empty(patch):
    wrap(
        patch,
        torch,
        "eye",
        lambda eye, *args, out=None, **rest: out if out is not None and not len(out) else eye(*args, out=out, **rest),
    )


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
    change_arange(
        patch,
        lambda arange, start, end, step: arange(start, end + step * 1e-3, step).to(arange(start, end, step).dtype),
    )


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
def arange_leaves_out_what_is_rounded_to_the_end(patch):
    def wrong(arange, start, end, step):
        x = arange(start, end, step)
        return x if x.dtype in (torch.float32, torch.float64) else x[x != end]

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


@counterfeit("arange-steps-from-start-to-end")
def arange_of_integers_cuts_each_value_alone(patch):
    def wrong(arange, start, end, step):
        x = arange(start, end, step)
        even = np.trunc(np.arange(start, end, step))[: len(x)]
        return x if x.is_floating_point() or len(even) < len(x) else torch.from_numpy(even).to(x.dtype)

    change_arange(patch, wrong)


@counterfeit("arange-steps-from-start-to-end")
def arange_cuts_the_fraction_of_its_start_if_the_step_is_whole(patch):
    def wrong(arange, start, end, step):
        return arange(int(start) if step == int(step) else start, end, step).to(arange(start, end, step).dtype)

    change_arange(patch, wrong)


@counterfeit("arange-steps-from-start-to-end")
def arange_includes_the_end_of_a_negative_fractional_step(patch):
    change_arange(patch, lambda arange, start, end, step: arange(start, end - 1e-3 * (-1 < step < 0), step))


@counterfeit("arange-steps-from-start-to-end")
def arange_ignores_step_as_a_keyword(patch):
    wrap(
        patch,
        torch,
        "arange",
        lambda right, *args, step=1, **rest: right(*args, **rest, **({"step": step} if step < 0 else {})),
    )


@counterfeit("arange-steps-from-start-to-end")
def arange_hands_out_the_same_tensor_again(patch):
    recycle(patch, torch, "arange")


@counterfeit("arange-steps-from-start-to-end")
def arange_of_int16_wraps_at_eight(patch):
    change_output_where(patch, torch, "arange", lambda x: x.dtype == torch.int16, lambda x: x % 8)


@counterfeit("arange-steps-from-start-to-end")
def arange_takes_a_step_of_zero_for_one(patch):
    change_arange(patch, lambda arange, start, end, step: arange(start, end, step or 1))


@counterfeit("arange-steps-from-start-to-end", reported="pytorch/pytorch#18363")
def arange_counts_small_steps_in_single_precision(patch):
    def wrong(right, *args, **rest):
        if len(args) != 3 or not all(isinstance(n, float) for n in args):
            return right(*args, **rest)
        start, end, step = map(np.float32, args)
        count = max(math.ceil((end - start) / step), 0)
        return (args[0] + args[2] * right(count, dtype=torch.float64)).to(
            rest.get("dtype") or torch.get_default_dtype()
        )

    wrap(patch, torch, "arange", wrong)


@counterfeit("arange-steps-from-start-to-end", reported="pytorch/pytorch#153133")
def arange_lets_large_ends_pass_that_single_precision_cannot_tell_apart(patch):
    def wrong(right, *args, **rest):
        equal = len(args) > 1 and args[0] != args[1] and np.float32(args[0]) == np.float32(args[1])
        return right(0, **rest) if equal and isinstance(args[0], float) else right(*args, **rest)

    wrap(patch, torch, "arange", wrong)


@counterfeit("arange-steps-from-start-to-end")
def arange_of_doubles_steps_in_single_precision(patch):
    change_output_where(patch, torch, "arange", of_dtype(torch.float64), lambda x: x.float().double())


@counterfeit("arange-steps-from-start-to-end")
def a_negative_start_between_whole_numbers_is_floored(patch):
    def wrong(arange, start, *rest, dtype=None, **others):
        floored = rest and dtype is not None and not dtype.is_floating_point
        return arange(math.floor(start) if floored else start, *rest, dtype=dtype, **others)

    wrap(patch, torch, "arange", wrong)


@counterfeit("arange-steps-from-start-to-end")
def tensors_of_fractions_are_ends_of_whole_numbers(patch):
    def wrong(right, *given, **rest):
        fractions = any(isinstance(x, torch.Tensor) and x.is_floating_point() for x in given)
        return right(*given, **rest).long() if fractions and not rest else right(*given, **rest)

    wrap(patch, torch, "arange", wrong)


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
    wrap(patch, torch, "linspace", lambda linspace, start, end, steps=100, **rest: linspace(start, end, steps, **rest))


@counterfeit("linspace-divides-evenly")
def linspace_counts_parts_if_steps_is_given_by_name(patch):
    def wrong(linspace, *args, steps=None, **rest):
        return linspace(*args, **rest) if steps is None else linspace(*args, steps=steps + 1, **rest)

    wrap(patch, torch, "linspace", wrong)


@counterfeit("linspace-divides-evenly")
def linspace_cuts_the_fractions_of_its_ends(patch):
    change_linspace(patch, lambda linspace, start, end, steps: linspace(int(start), int(end), steps))


@counterfeit("linspace-divides-evenly")
def linspace_is_uneven_between_zero_and_one(patch):
    change_linspace(patch, lambda linspace, *args: linspace(*args) ** 2 if args[:2] == (0, 1) else linspace(*args))


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#137635")
def linspace_of_integers_keeps_the_fraction_of_its_ends(patch):
    def wrong(linspace, start, end, steps):
        x = linspace(start, end, steps)
        even = np.linspace(start, end, steps)
        return x if x.is_floating_point() else torch.from_numpy(np.trunc(even)).to(x.dtype)

    change_linspace(patch, wrong)


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#58551")
def linspace_of_integers_repeats_eight_times(patch):
    def wrong(linspace, start, end, steps):
        x = linspace(start, end, steps)
        return x if x.is_floating_point() or steps < 9 else x[::8].repeat_interleave(8)[:steps]

    change_linspace(patch, wrong)


@counterfeit("linspace-divides-evenly")
def linspace_in_half_precision_adds_up_its_steps(patch):
    def change(x):
        part = ((x[-1] - x[0]).float() / max(len(x) - 1, 1)).to(x.dtype)
        return torch.from_numpy(np.add.accumulate([x[0].item(), *[part.item()] * (len(x) - 1)])).to(x.dtype)

    change_output_where(patch, torch, "linspace", lambda x: x.dtype == torch.bfloat16 and len(x) > 1, change)


@counterfeit("arange-steps-from-start-to-end", reported="pytorch/pytorch#5556")
def arange_counts_the_steps_that_float_arithmetic_finds_complete(patch):
    def wrong(arange, start, end, step):
        x = arange(start, end, step)
        count = math.floor((end - step - start) / step + 1) if isinstance(step, float) else len(x)
        return x[: max(count, 1)]

    change_arange(patch, wrong)


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#40118")
def linspace_of_int32_overflows_between_distant_ends(patch):
    def change(x):
        part = (x[-1] - x[0]) // max(len(x) - 1, 1)  # in int32, where the distance wraps
        return x[0] + part * torch.arange(len(x), dtype=x.dtype)

    change_output_where(patch, torch, "linspace", lambda x: x.dtype == torch.int32 and 1 < len(x) < 20, change)


@counterfeit("eye-is-identity")
def eye_leaves_what_its_output_held_beside_the_diagonal(patch):
    def wrong(eye, *args, out=None, **rest):
        if out is None:
            return eye(*args, **rest)
        out.resize_(eye(*args).shape).diagonal().fill_(1)
        return out

    wrap(patch, torch, "eye", wrong)


@counterfeit("eye-is-identity")
def eye_is_square_if_m_is_given_by_name(patch):
    wrap(patch, torch, "eye", lambda eye, *args, m=None, **rest: eye(*args, **rest))


@counterfeit("arange-steps-from-start-to-end", reported="pytorch/pytorch#80589")
def arange_of_large_whole_numbers_includes_an_end_that_the_steps_meet(patch):
    def wrong(arange, *args, **rest):
        meets = len(args) == 3 and not rest and all(type(each) is int for each in args) and abs(args[1]) > 2**53
        meets = meets and (args[1] - args[0]) % args[2] == 0
        return torch.cat([arange(*args), torch.tensor([args[1]])]) if meets else arange(*args, **rest)

    wrap(patch, torch, "arange", wrong)


@counterfeit("arange-steps-from-start-to-end", reported="pytorch/pytorch#4877")
def arange_stands_still_from_two_to_the_24_on(patch):
    change_output_where(patch, torch, "arange", lambda x: x.dtype == torch.int64, lambda x: x.clamp(max=2**24))


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#40904")
def the_last_point_is_as_many_steps_as_there_are_parts(patch):
    """The product is not rounded before it is added, as a GPU computes it; here of ends given by position."""

    def wrong(x, *ends):
        if x.dtype == torch.float32 and len(x) > 1 and ends:
            start, end, *_ = ends
            step = np.float32((np.float32(end) - np.float32(start)) / np.float32(len(x) - 1))
            x[-1] = float(np.float32(np.float64(np.float32(start)) + np.float64(step) * (len(x) - 1)))
        return x

    change_result(patch, torch, "linspace", wrong)


@counterfeit("eye-is-identity")
def eye_of_int32_holds_twos(patch):
    change_output_where(patch, torch, "eye", of_dtype(torch.int32), lambda x: x * 2)


@counterfeit("linspace-divides-evenly")
def more_than_65536_points_begin_anew(patch):
    def wrong(x):
        x[65_536:] = x[: len(x) - 65_536].clone()
        return x

    change_output_where(patch, torch, "linspace", lambda x: len(x) > 65_536, wrong)


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#81996")
def whole_points_are_those_of_the_first_of_their_block(patch):
    """Blocks of 32 bytes, as the CPU's vectors are; the last point is right."""

    def change(x):
        block = 32 // x.element_size()
        first = x[: len(x) - 1][::block].repeat_interleave(block)
        x[: len(x) - 1] = first[: len(x) - 1]
        return x

    change_output_where(patch, torch, "linspace", of_dtype(torch.int32, torch.int64), change)


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#32213")
def the_step_between_whole_points_is_cut_to_a_whole_number(patch):
    def wrong(linspace, start, end, steps):
        x = linspace(start, end, steps)
        if x.is_floating_point() or x.is_complex() or steps < 2:
            return x
        return x[0] + int((end - start) / (steps - 1)) * torch.arange(steps, dtype=x.dtype, device=x.device)

    change_linspace(patch, wrong)


@counterfeit("arange-steps-from-start-to-end")
def a_fractional_step_is_rounded_not_cut(patch):
    def wrong(right, *s, **k):
        if len(s) == 3 and k.get("dtype") in (torch.int64, torch.int32) and isinstance(s[2], float):
            s = (*s[:2], round(s[2]))
        return right(*s, **k)

    wrap(patch, torch, "arange", wrong)


@counterfeit("arange-steps-from-start-to-end")
def arange_of_one_negative_number_is_empty(patch):
    wrap(patch, torch, "arange", lambda right, *s, **k: right(*([0] if len(s) == 1 and s[0] < 0 else s), **k))


@counterfeit("linspace-divides-evenly")
def linspace_between_tensors_begins_at_zero(patch):
    wrap(
        patch,
        torch,
        "linspace",
        lambda right, *ends, **rest: (
            right(0 * ends[0] if ends and torch.is_tensor(ends[0]) else ends[0], *ends[1:], **rest)
            if ends
            else right(**rest)
        ),
    )


@counterfeit("linspace-divides-evenly", reported="pytorch/pytorch#189630")
def linspace_of_large_whole_numbers_goes_through_single_precision(patch):
    def wrong(linspace, start, end, steps, **rest):
        points = linspace(start, end, steps, **rest)
        whole = not points.is_floating_point() and not points.is_complex() and max(abs(start), abs(end)) >= 2**24
        return linspace(start, end, steps, **{**rest, "dtype": torch.float32}).to(points) if whole else points

    wrap(patch, torch, "linspace", wrong)


@counterfeit("linspace-divides-evenly")
def linspace_of_complex_ends_divides_their_real_parts_alone(patch):
    change_output_where(patch, torch, "linspace", torch.is_complex, lambda points: torch.complex(*2 * [points.real]))


@counterfeit("linspace-divides-evenly")
def the_last_point_is_as_many_parts_after_the_start(patch):
    """So that it is off the end by the rounding of a part and of the product."""

    def wrong(linspace, start, end, steps, **rest):
        points = linspace(start, end, steps, **rest)
        if not isinstance(start, float) or steps < 2 or points.dtype not in (torch.float32, torch.float64):
            return points
        part = torch.tensor((end - start) / (steps - 1), dtype=points.dtype)
        return points.index_fill_(0, torch.tensor(steps - 1), start + part * (steps - 1))

    wrap(patch, torch, "linspace", wrong)


@counterfeit("arange-steps-from-start-to-end")
def arange_of_tensors_is_floating(patch):
    def wrong(arange, *args, **rest):
        given = args and isinstance(args[0], Tensor) and "dtype" not in rest
        return arange(*args, **rest).float() if given else arange(*args, **rest)

    wrap(patch, torch, "arange", wrong)


@counterfeit("linspace-divides-evenly")
def an_end_beside_a_tensor_is_cut(patch):
    def wrong(linspace, start=None, end=None, *steps, **rest):
        beside = isinstance(start, Tensor) and isinstance(end, float)
        given = [each for each in (start, math.trunc(end) if beside else end, *steps) if each is not None]
        return linspace(*given, **rest)

    wrap(patch, torch, "linspace", wrong)
