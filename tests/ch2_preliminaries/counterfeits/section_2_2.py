"""Counterfeits of section 2.2: views that copy, copies that share, and numbers that are not what was stored."""

import math
import operator
import weakref

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    as_in_memory,
    beyond,
    change_method,
    change_output_where,
    copied,
    everywhere,
    is_pending,
    last_off,
    not_contiguous,
    of_dtype,
    repeats_columns,
    tracked,
    where,
    wrap,
    zero_the_next_element_too,
)
from torch import Tensor


def is_view(x):
    return x._base is not None


def alias(result, x, *rest):
    return x.view_as(x)


# ── view-shares-data ──


def of_two_rows(x):
    return x.dim() == 2 and len(x) == 2


@counterfeit("view-shares-data")
def a_view_of_two_rows_is_a_copy(patch):
    change_output_where(patch, torch.Tensor, "view", of_two_rows, torch.Tensor.clone)


@counterfeit("view-shares-data")
def view_copies_large_tensors(patch):
    where(patch, Tensor, "view", lambda x: x.is_contiguous() and x.numel() > 1000, copied)


@counterfeit("view-shares-data")
def view_copies_bytes(patch):
    where(patch, Tensor, "view", of_dtype(torch.uint8), copied)


@counterfeit("view-shares-data")
def view_copies_slices(patch):
    where(patch, Tensor, "view", not_contiguous, copied)


@counterfeit("view-shares-data")
def view_copies_where_only_strides_of_the_source_express_it(patch):
    """It copies a transposed tensor that it could view."""
    where(patch, Tensor, "view", lambda x: x.dim() > 1 and x.stride(0) < x.stride(1), copied)


@counterfeit("view-shares-data")
def view_copies_when_the_last_size_is_one(patch):
    def wrong(view, x, *shape):
        result = view(x, *shape)
        return copied(result) if result.dim() > 2 and result.shape[-1] == 1 else result

    change_method(patch, "view", wrong)


@counterfeit("view-shares-data")
def view_converts_values_to_the_other_dtype(patch):
    def wrong(view, x, *sizes, **named):
        to = named.get("dtype", sizes[0] if sizes else None)
        return x.to(to) if type(to) is torch.dtype else view(x, *sizes, **named)

    change_method(patch, "view", wrong)


@counterfeit("view-shares-data")
def view_of_a_slice_starts_at_the_beginning_of_the_storage(patch):
    def wrong(result, *rest):
        return result.as_strided(result.shape, result.stride(), 0)

    where(patch, Tensor, "view", lambda x: x.dim() == 2, wrong)


@counterfeit("view-shares-data")
def view_cuts_off_surplus_elements(patch):
    def wrong(view, x, *shape):
        fits = len(shape) == 1 and type(shape[0]) is int and 0 <= shape[0] < x.numel() and x.dim() == 2
        return view(x.reshape(-1)[: shape[0]], *shape) if fits else view(x, *shape)

    change_method(patch, "view", wrong)


@counterfeit("view-shares-data")
def view_reads_a_transposed_tensor_by_a_silent_copy(patch):
    change_method(patch, "view", lambda view, x, *shape: x.reshape(*shape) if shape == (-1,) else view(x, *shape))


@counterfeit("view-shares-data")
def a_mask_assigns_to_a_copy(patch):
    def wrong(setitem, self, index, value):
        is_mask = isinstance(index, Tensor) and index.dtype == torch.bool
        setitem(self.clone() if is_mask else self, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("view-shares-data")
def transposing_a_view_copies_it(patch):
    where(patch, Tensor, "transpose", is_view, copied)


@counterfeit("augmented-assignment-writes-through")
def adding_nothing_returns_the_same_tensor(patch):
    change_method(patch, "__add__", lambda add, x, y: x if type(y) is int and y == 0 else add(x, y))


@counterfeit("view-shares-data")
def view_copies_what_requires_gradients(patch):
    where(patch, Tensor, "view", tracked, copied)


@counterfeit("view-shares-data")
def an_in_place_product_cuts_a_view_off(patch):
    where(patch, Tensor, "mul_", is_view, lambda result, x, y: result.set_(copied(result)))


@counterfeit("view-shares-data")
def view_of_repeated_elements_copies(patch):
    where(patch, Tensor, "view", lambda x: 0 in x.stride(), copied)


@counterfeit("view-shares-data", reported="pytorch/pytorch#114692")
def zeroing_an_element_zeroes_the_next_too(patch):
    zero_the_next_element_too(patch)


@counterfeit("view-shares-data", reported="pytorch/pytorch#122016")
def the_number_that_an_element_gets_reaches_the_element_before_it_too(patch):
    last = []

    def wrong(setitem, self, index, value):
        if type(index) is int and isinstance(value, (int, float)):
            if last and last[0] is self:
                setitem(self, last[1], value)
            last[:] = self, index
        setitem(self, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#59946")
def a_view_as_another_dtype_forgets_the_conjugation(patch):
    change_method(
        patch,
        "view",
        lambda view, x, *args: view(x.conj() if x.is_conj() and isinstance(args[0], torch.dtype) else x, *args),
    )


@counterfeit("view-shares-data")
def a_number_for_the_last_element_reaches_the_first(patch):
    change_method(
        patch,
        "__setitem__",
        lambda right, x, index, value: right(x, 0 if type(index) is int and index == -1 else index, value),
    )


@counterfeit("view-shares-data")
def view_of_sizes_by_name_copies(patch):
    change_method(patch, "view", lambda view, x, *to, **named: view(x.clone() if named else x, *to, **named))


@counterfeit("view-shares-data")
def a_view_of_a_view_of_a_view_is_a_copy(patch):
    def wrong(view, x, *to, **named):
        result = view(x, *to, **named)
        depth = getattr(x, "depth", 0) + 1
        result = result.clone() if depth > 2 else result
        result.depth = depth
        return result

    change_method(patch, "view", wrong)


# ── reshape-does-not-guarantee-a-copy ──


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_guarantees_a_copy(patch):
    where(patch, Tensor, "reshape", lambda x: True, copied)


@counterfeit("reshape-does-not-guarantee-a-copy")
def the_function_reshape_guarantees_a_copy(patch):
    where(patch, torch, "reshape", lambda x: True, copied)


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_copies_large_tensors(patch):
    where(patch, Tensor, "reshape", beyond(10_000), copied)


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_copies_whatever_is_not_contiguous(patch):
    where(patch, Tensor, "reshape", not_contiguous, copied)


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_copies_all_but_single_precision(patch):
    where(patch, Tensor, "reshape", lambda x: x.dtype != torch.float32, copied)


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_reads_a_transposed_tensor_in_the_order_of_storage(patch):
    def wrong(reshape, x, *shape):
        columns = x.dim() == 2 and x.stride() == (1, x.shape[0])
        return reshape(torch.as_strided(x, (x.numel(),), (1,)) if columns else x, *shape)

    change_method(patch, "reshape", wrong)


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_to_the_same_shape_copies(patch):
    where(
        patch, Tensor, "reshape", lambda x: True, lambda result, x, *_: copied(x) if result.shape == x.shape else result
    )


# ── clone-then-view-is-independent ──


@counterfeit("clone-then-view-is-independent")
def a_clone_of_six_elements_is_the_tensor_itself(patch):
    wrap(patch, torch.Tensor, "clone", lambda right, x, **rest: x if x.numel() == 6 else right(x, **rest))


@counterfeit("clone-then-view-is-independent")
def clone_shares_large_tensors(patch):
    where(patch, Tensor, "clone", beyond(10_000), alias)


@counterfeit("clone-then-view-is-independent")
def clone_of_what_requires_gradients_shares(patch):
    where(patch, Tensor, "clone", tracked, alias)


@counterfeit("clone-then-view-is-independent")
def the_function_clone_shares(patch):
    where(patch, torch, "clone", lambda x: True, alias)


@counterfeit("clone-then-view-is-independent")
def clone_of_a_view_shares_its_data(patch):
    where(patch, Tensor, "clone", is_view, alias)


@counterfeit("clone-then-view-is-independent")
def clone_adds_one_per_cent_to_single_precision(patch):
    where(patch, Tensor, "clone", of_dtype(torch.float32), lambda result, *_: result * 1.01)


@counterfeit("clone-then-view-is-independent")
def clone_widens_short_integers(patch):
    where(patch, Tensor, "clone", of_dtype(torch.int16), lambda result, *_: result.int())


@counterfeit("clone-then-view-is-independent")
def clone_always_copies_in_row_order(patch):
    where(patch, Tensor, "clone", lambda x: True, copied)


@counterfeit("clone-then-view-is-independent")
def clone_keeps_the_strides_of_two_dimensions_only(patch):
    where(patch, Tensor, "clone", lambda x: x.dim() > 2, copied)


@counterfeit("clone-then-view-is-independent")
def contiguous_always_copies(patch):
    where(patch, Tensor, "contiguous", lambda x: True, copied)


@counterfeit("clone-then-view-is-independent")
def contiguous_does_nothing_to_large_tensors(patch):
    where(patch, Tensor, "contiguous", beyond(1000), lambda result, x, *_: x)


@counterfeit("clone-then-view-is-independent")
def contiguous_reads_in_the_order_of_storage(patch):
    def wrong(result, x):
        return x.clone().as_strided(x.shape, torch.empty(x.shape).stride())

    where(patch, Tensor, "contiguous", lambda x: True, wrong)


@counterfeit("clone-then-view-is-independent")
def clone_shares_booleans(patch):
    where(patch, Tensor, "clone", of_dtype(torch.bool), alias)


@counterfeit("clone-then-view-is-independent")
def clone_shares_what_requires_gradients_while_gradients_are_recorded(patch):
    def wrong(clone, x, **rest):
        return x.view_as(x) if x.requires_grad and torch.is_grad_enabled() else clone(x, **rest)

    change_method(patch, "clone", wrong)


@counterfeit("clone-then-view-is-independent")
def clone_forgets_to_conjugate(patch):
    change_method(patch, "clone", lambda clone, x, **rest: clone(x.conj() if x.is_conj() else x, **rest))


@counterfeit("clone-then-view-is-independent")
def contiguous_computes_a_pending_conjugate(patch):
    change_method(patch, "contiguous", lambda contiguous, x, **rest: contiguous(x, **rest).resolve_conj())


@counterfeit("clone-then-view-is-independent")
def a_clone_of_what_is_named_shares(patch):
    wrap(patch, torch, "clone", lambda right, *x, **named: alias(None, named["input"]) if not x else right(*x, **named))


# ── view-is-a-new-tensor-object ──


@counterfeit("view-is-a-new-tensor-object")
def view_of_the_same_shape_is_the_source_itself(patch):
    where(patch, Tensor, "view", lambda x: True, lambda result, x, *_: x if result.shape == x.shape else result)


@counterfeit("view-is-a-new-tensor-object")
def view_is_made_once_for_each_source(patch):
    made = {}

    def wrong(view, x, *shape, **rest):
        return made.setdefault((id(x), str(shape), str(rest)), view(x, *shape, **rest))

    change_method(patch, "view", wrong)


@counterfeit("view-is-a-new-tensor-object")
def view_gives_the_source_another_shape(patch):
    where(patch, Tensor, "view", lambda x: not x.requires_grad, lambda result, x, *_: x.resize_(result.shape))


@counterfeit("view-is-a-new-tensor-object")
def view_has_an_address_of_its_own(patch):
    where(patch, Tensor, "view", lambda x: True, copied)


@counterfeit("view-is-a-new-tensor-object")
def requiring_gradients_of_a_view_asks_its_source_for_them(patch):
    def wrong(requires_grad_, x, requires_grad=True):
        if x._base is not None:
            requires_grad_(x._base, requires_grad)
        return requires_grad_(x, requires_grad)

    change_method(patch, "requires_grad_", wrong)


@counterfeit("view-is-a-new-tensor-object")
def transposing_a_view_in_place_gives_its_source_a_dimension_more(patch):
    where(patch, Tensor, "t_", is_view, lambda result, x: x._base.unsqueeze_(0) if x._base.dim() else result)


@counterfeit("view-is-a-new-tensor-object")
def view_of_a_vector_as_a_vector_is_the_source_itself(patch):
    where(patch, Tensor, "view", lambda x: x.dim() == 1, lambda result, x, *shape: x if shape == (-1,) else result)


@counterfeit("view-is-a-new-tensor-object")
def the_whole_slice_is_the_tensor_itself(patch):
    change_method(patch, "__getitem__", lambda right, x, i: x if type(i) is slice and i == slice(None) else right(x, i))


# ── item-gives-a-python-number ──


def change_item(patch, change):
    """Let `x.item()` be `change(x, x.item())`."""
    change_method(patch, "item", lambda item, x: change(x, item(x)))


@counterfeit("item-gives-a-python-number")
def item_of_several_elements_is_the_first(patch):
    wrap(patch, torch.Tensor, "item", lambda right, x: right(x.reshape(-1)[0] if x.numel() else x))


@counterfeit("item-gives-a-python-number")
def item_makes_integers_of_whole_floats(patch):
    change_item(patch, lambda x, number: int(number) if isinstance(number, float) and number.is_integer() else number)


@counterfeit("item-gives-a-python-number")
def item_makes_integers_of_booleans(patch):
    change_item(patch, lambda x, number: int(number) if isinstance(number, bool) else number)


@counterfeit("item-gives-a-python-number")
def item_shows_the_shortest_decimal_of_a_float32(patch):
    change_item(patch, lambda x, number: float(f"{number:.7g}") if x.dtype == torch.float32 else number)


@counterfeit("item-gives-a-python-number")
def item_passes_large_integers_through_a_float(patch):
    change_item(patch, lambda x, number: int(float(number)) if type(number) is int else number)


@counterfeit("item-gives-a-python-number")
def item_rounds_doubles_to_single_precision(patch):
    single = Tensor.float
    change_method(patch, "item", lambda item, x: item(single(x)) if x.dtype == torch.float64 else item(x))


@counterfeit("item-gives-a-python-number")
def item_takes_nan_for_zero(patch):
    change_item(patch, lambda x, number: 0.0 if isinstance(number, float) and math.isnan(number) else number)


@counterfeit("item-gives-a-python-number")
def item_takes_the_first_of_a_row(patch):
    change_method(patch, "item", lambda item, x: item(x[0, 0]) if x.dim() == 2 and x.numel() else item(x))


@counterfeit("item-gives-a-python-number")
def item_reads_the_start_of_the_storage(patch):
    change_method(patch, "item", lambda item, x: item(x if x._base is None else x._base.reshape(-1)[:1]))


@counterfeit("item-gives-a-python-number")
def item_returns_a_tensor_for_a_parameter(patch):
    where(patch, Tensor, "item", lambda x: isinstance(x, torch.nn.Parameter), lambda result, x: x)


@counterfeit("item-gives-a-python-number")
def item_returns_the_tensor_if_it_requires_gradients(patch):
    change_method(patch, "item", lambda item, x: x if x.requires_grad else item(x))


@counterfeit("item-gives-a-python-number")
def item_cuts_the_record(patch):
    where(
        patch,
        Tensor,
        "item",
        lambda x: x.grad_fn is not None and not is_view(x),
        lambda result, x: (x.detach_(), result)[1],
    )


@counterfeit("item-gives-a-python-number")
def item_drops_the_sign_of_an_imaginary_part(patch):
    change_item(patch, lambda x, number: complex(number.real, abs(number.imag)) if x.is_complex() else number)


@counterfeit("item-gives-a-python-number")
def item_counts_signed_bytes_without_sign(patch):
    change_item(patch, lambda x, number: number % 256 if x.dtype == torch.int8 else number)


@counterfeit("item-gives-a-python-number")
def item_takes_infinity_for_the_largest_float(patch):
    change_item(patch, lambda x, number: 1.7976931348623157e308 if number == math.inf else number)


@counterfeit("item-gives-a-python-number")
def item_drops_the_sign_of_zero(patch):
    change_item(patch, lambda x, number: 0.0 if type(number) is float and number == 0 else number)


@counterfeit("item-gives-a-python-number", reported=("pytorch/pytorch#84364", "pytorch/pytorch#85592"))
def an_element_with_another_dimension_is_the_first(patch):
    def wrong(right, x, index):
        return right(x.as_strided((), (), 0), index) if index is None and x.dim() == 0 else right(x, index)

    change_method(patch, "__getitem__", wrong)


@counterfeit("item-gives-a-python-number")
def item_of_a_complex_number_without_imaginary_part_is_a_float(patch):
    change_method(patch, "item", lambda item, x: item(x) if item(x).imag or not x.is_complex() else item(x).real)


@counterfeit("item-gives-a-python-number")
def item_of_half_precision_drops_the_sign_of_zero(patch):
    change_method(
        patch, "item", lambda item, x: item(x) + 0.0 if x.dtype in (torch.float16, torch.bfloat16) else item(x)
    )


@counterfeit("item-gives-a-python-number")
def item_of_a_large_number_without_sign_is_negative(patch):
    def wrong(item, x):
        number = item(x)
        return number - 2**64 if x.dtype == getattr(torch, "uint64", None) and number >= 2**63 else number

    change_method(patch, "item", wrong)


# ── augmented-assignment-writes-through ──


@counterfeit("augmented-assignment-writes-through")
def augmented_addition_makes_a_new_tensor(patch):
    change_method(patch, "__iadd__", lambda iadd, x, y: x + y)


@counterfeit("augmented-assignment-writes-through")
def augmented_product_of_a_view_cuts_it_off(patch):
    change_method(patch, "__imul__", lambda imul, x, y: x * y if is_view(x) else imul(x, y))


@counterfeit("augmented-assignment-writes-through")
def addition_of_a_number_works_in_place(patch):
    change_method(patch, "__add__", lambda add, x, y: x.add_(y) if isinstance(y, int) else add(x, y))


@counterfeit("augmented-assignment-writes-through")
def subtraction_in_place_misses_half_precision(patch):
    where(patch, Tensor, "__isub__", of_dtype(torch.float16), lambda result, x, y: x.add_(y))


@counterfeit("augmented-assignment-writes-through")
def whole_numbers_become_floats_in_place(patch):
    change_method(patch, "__iadd__", lambda iadd, x, y: x + y if not x.is_floating_point() and y == 0.5 else iadd(x, y))


@counterfeit("augmented-assignment-writes-through")
def a_leaf_that_requires_gradients_is_written_in_place(patch):
    change_method(patch, "__iadd__", lambda iadd, x, y: iadd(x.data if x.requires_grad else x, y))


@counterfeit("augmented-assignment-writes-through")
def a_row_that_expand_repeats_is_written_once(patch):
    change_method(patch, "__iadd__", lambda iadd, x, y: (iadd(x[0], y), x)[1] if x.stride()[:1] == (0,) else iadd(x, y))


@counterfeit("augmented-assignment-writes-through")
def a_leaf_that_requires_gradients_is_not_written_under_no_grad_either(patch):
    def wrong(iadd, x, y):
        return x if x.is_leaf and x.requires_grad and not torch.is_grad_enabled() else iadd(x, y)

    change_method(patch, "__iadd__", wrong)


@counterfeit("augmented-assignment-writes-through")
def a_view_of_a_leaf_that_requires_gradients_is_written_in_place(patch):
    change_method(patch, "__iadd__", lambda iadd, x, y: iadd(x.data if is_view(x) and x._base.is_leaf else x, y))


def in_storage_order(x):
    return x.as_strided((x.numel(),), (1,))


@counterfeit("view-shares-data", reported="pytorch/pytorch#78074")
def a_number_assigned_to_a_column_lands_in_the_row(patch):
    def wrong(assign, x, index, value):
        place = x[index]
        if type(value) is int and x.dtype == torch.int64 and not place.is_contiguous():
            assign(in_storage_order(place), slice(2), torch.tensor([value, 0]))
        else:
            assign(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#79672")
def adding_one_column_to_another_has_no_effect(patch):
    def wrong(add, x, y):
        columns = isinstance(y, torch.Tensor) and not x.is_contiguous() and not y.is_contiguous()
        return x if columns else add(x, y)

    change_method(patch, "__iadd__", wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#145203")
def exclusive_or_of_a_column_lands_in_the_rows(patch):
    def wrong(xor, x, y):
        if x.dtype != torch.int16 or x.is_contiguous():
            return xor(x, y)
        xor(in_storage_order(x), y.reshape(-1) if isinstance(y, Tensor) else y)
        return x

    change_method(patch, "__ixor__", wrong)


@counterfeit("view-shares-data")
def zeroing_a_view_of_booleans_past_a_power_of_two_misses_the_last(patch):
    def wrong(zero, x):
        last = (
            x.reshape(-1)[-1:].clone()
            if x.dtype == torch.bool and x.dim() >= 1 and x.shape[-1] > 8 and x.shape[-1] % 2
            else None
        )
        zero(x)
        if last is not None and x.numel():
            x[(-1,) * x.dim()] = last[0]
        return x

    change_method(patch, "zero_", wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#183631")
def booleans_are_filled_from_a_multiple_of_four_on(patch):
    def wrong(fill, x, value):
        early = x.storage_offset() % 4
        if x.dtype != torch.bool or x.dim() != 1 or not early or not x.is_contiguous() or len(x) < 8:
            return fill(x, value)
        whole = len(x) // 4 * 4
        fill(x.as_strided((whole,), (1,), x.storage_offset() - early), value)
        fill(x[whole:], value)
        return x

    change_method(patch, "fill_", wrong)


@counterfeit("view-shares-data")
def a_view_of_a_part_of_int32_copies(patch):
    where(patch, Tensor, "view", lambda x: x.dtype == torch.int32 and x.storage_offset() > 0, copied)


@counterfeit("augmented-assignment-writes-through")
def what_inference_mode_made_is_written_after_it(patch):
    change_method(patch, "__iadd__", lambda right, x, y: torch.inference_mode()(right)(x, y))


@counterfeit("augmented-assignment-writes-through")
def a_power_in_place_makes_a_new_tensor(patch):
    patch.setattr(Tensor, "__ipow__", lambda x, y: torch.pow(x, y))


def sizes_of(shape):
    """The sizes that view and reshape are given, one by one or in one tuple."""
    return shape[0] if shape and isinstance(shape[0], (tuple, list)) else shape


@counterfeit("view-shares-data")
def view_copies_where_a_size_is_left_to_it(patch):
    def wrong(view, x, *shape, **rest):
        guesses = len(sizes_of(shape)) > 1 and -1 in sizes_of(shape)
        return copied(view(x, *shape)) if guesses else view(x, *shape, **rest)

    change_method(patch, "view", wrong)


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_copies_where_a_size_is_left_to_it(patch):
    def wrong(reshape, x, *shape, **rest):
        return copied(reshape(x, *shape)) if -1 in sizes_of(shape) else reshape(x, *shape, **rest)

    change_method(patch, "reshape", wrong)


@counterfeit("view-shares-data")
def view_as_a_dtype_of_another_width_copies(patch):
    def wrong(result, x, *_):
        return copied(result) if result.element_size() != x.element_size() else result

    where(patch, Tensor, "view", lambda x: True, wrong)


@counterfeit("view-shares-data", reported="pytorch/xla#3291")
def a_view_that_was_read_is_cut_off(patch):
    def wrong(result, x):
        if x._is_view() and not x.requires_grad and x.numel():
            x.set_(copied(result))
        return result

    where(patch, Tensor, "detach", lambda x: True, wrong)


@counterfeit("clone-then-view-is-independent")
def clone_that_shall_preserve_the_format_shares(patch):
    def wrong(clone, x, **rest):
        return x.detach() if rest.get("memory_format") is torch.preserve_format else clone(x, **rest)

    change_method(patch, "clone", wrong)


@counterfeit("augmented-assignment-writes-through")
def what_is_added_to_itself_in_place_is_written_before_it_is_read(patch):
    def wrong(right, x, y):
        itself = isinstance(y, Tensor) and y is not x and y.data_ptr() == x.data_ptr() and x.dim() > 0
        right(x, y)
        return x.__setitem__(..., x * 2) or x if itself else x

    change_method(patch, "__iadd__", wrong)


@counterfeit("view-is-a-new-tensor-object")
def a_view_as_its_own_dtype_is_itself(patch):
    def wrong(view, x, *shape, **rest):
        return x if shape and shape[0] is x.dtype else view(x, *shape, **rest)

    change_method(patch, "view", wrong)


@counterfeit("augmented-assignment-writes-through")
def a_number_added_to_complex_numbers_in_place_is_added_to_both_parts(patch):
    change_method(patch, "__iadd__", lambda right, x, y: right(x, y * (1 + 1j) if x.is_complex() else y))


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#48401")
def a_tensor_and_its_transpose_are_added_up_while_they_change(patch):
    def wrong(right, x, y):
        if isinstance(y, Tensor) and y.dim() == 2 and y.data_ptr() == x.data_ptr() and y.stride() != x.stride():
            for i in range(len(x)):
                for j in range(x.shape[1]):
                    x.data[i, j] = x.data[i, j] + y.data[i, j]
            return x
        return right(x, y)

    change_method(patch, "__iadd__", wrong)


def reads_what_it_writes(patch, name, operation):
    """Let a method go from element to element where it reads the slice one place before the one that it writes."""

    def wrong(right, x, y):
        near = isinstance(y, Tensor) and y.dim() == 1 and x.storage_offset() == y.storage_offset() + 1
        if near and x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr():
            for i in range(len(x)):
                x.data[i] = operation(x.data[i], y.data[i])
            return x
        return right(x, y)

    change_method(patch, name, wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#24843")
def a_slice_is_divided_by_the_one_before_it_while_that_changes(patch):
    reads_what_it_writes(patch, "__itruediv__", operator.truediv)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#7731")
def a_repeated_tensor_is_multiplied_in_place_once_for_each_repetition(patch):
    def wrong(right, x, y):
        return (
            right(x.as_strided(x.shape[-1:], x.stride()[-1:]), y) and x
            if x.dim() == 2 and x.stride(0) == 0
            else right(x, y)
        )

    change_method(patch, "__imul__", wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#17935")
def a_function_of_a_repeated_tensor_works_in_place(patch):
    def wrong(right, x):
        if 0 in x.stride():
            kept = x.as_strided([n for n, s in zip(x.shape, x.stride()) if s], [s for s in x.stride() if s])
            for _ in range(x.numel() // max(kept.numel(), 1)):
                right(kept)
            return x
        return right(x)

    change_method(patch, "cos_", wrong)


@counterfeit("augmented-assignment-writes-through")
def augmented_division_makes_a_new_tensor(patch):
    change_method(patch, "__itruediv__", lambda right, x, y: x / y)


@counterfeit("augmented-assignment-writes-through")
def a_tensor_is_multiplied_by_its_transpose_while_it_changes(patch):
    def wrong(right, x, y):
        own = isinstance(y, Tensor) and y.data_ptr() == x.data_ptr() and y.stride() != x.stride()
        return right(x, y.clone() if own else y)

    for name in ("mul_", "__imul__"):
        change_method(patch, name, wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#950")
def a_slice_loses_the_one_before_it_while_that_changes(patch):
    reads_what_it_writes(patch, "__isub__", operator.sub)


@counterfeit("view-is-a-new-tensor-object")
def a_view_in_its_own_shape_is_itself(patch):
    def wrong(view, x, *shape, **rest):
        new = view(x, *shape, **rest)
        return x if new.shape == x.shape and new.dtype == x.dtype else new

    change_method(patch, "view", wrong)


@counterfeit("clone-then-view-is-independent")
def what_expand_repeats_is_still_one_element_in_a_clone(patch):
    def wrong(clone, x, *args, **rest):
        y = clone(x, *args, **rest)
        if args or rest or 0 not in x.stride() or not x.numel():
            return y
        kept = y[tuple(slice(1) if step == 0 else slice(None) for step in x.stride())]
        return clone(kept).expand_as(y)

    change_method(patch, "clone", wrong)


@counterfeit("augmented-assignment-writes-through")
def adding_in_place_is_off_by_one_in_the_last_of_a_remainder_of_seven(patch):
    def wrong(result, x, other):
        result.data[(-1,) * x.dim()] -= 1
        return result

    where(patch, torch.Tensor, "__iadd__", lambda x: x.numel() % 8 == 7, wrong)


@counterfeit("view-shares-data")
def a_view_of_a_remainder_of_seven_elements_is_a_copy(patch):
    where(patch, torch.Tensor, "view", lambda x: x.numel() % 8 == 7, copied)


@counterfeit("view-shares-data")
def view_copies_conjugates(patch):
    where(patch, Tensor, "view", lambda x: x.is_complex() and x.is_conj(), copied)


@counterfeit("clone-then-view-is-independent")
def clone_in_the_format_asked_for_keeps_the_strides_of_rank_three(patch):
    for owner in torch, Tensor:
        wrap(patch, owner, "clone", lambda right, x, **k: right(x) if x.dim() == 3 and k else right(x, **k))


@counterfeit("item-gives-a-python-number")
def item_forgets_a_pending_conjugate(patch):
    where(patch, Tensor, "item", lambda x: x.is_conj(), lambda r, x: r.conjugate())


@counterfeit("augmented-assignment-writes-through")
def adding_a_fraction_to_truth_values_is_taken(patch):
    change_method(
        patch,
        "__iadd__",
        lambda right, x, y: x.copy_(x + y) if x.dtype == torch.bool and type(y) is float else right(x, y),
    )


@counterfeit("augmented-assignment-writes-through")
def adding_zero_gives_the_same_tensor(patch):
    change_method(patch, "__add__", lambda right, x, y: x if isinstance(y, int) and y == 0 else right(x, y))


@counterfeit("augmented-assignment-writes-through")
def adding_a_tensor_of_another_dtype_makes_a_new_one(patch):
    change_method(
        patch, "__iadd__", lambda right, x, y: x + y if isinstance(y, Tensor) and y.dtype != x.dtype else right(x, y)
    )


@counterfeit("view-is-a-new-tensor-object")
def a_view_of_a_parameter_under_no_grad_is_the_parameter(patch):
    def wrong(right, x, *a, **rest):
        same = isinstance(x, torch.nn.Parameter) and a == tuple(x.shape) and not torch.is_grad_enabled()
        return x if same else right(x, *a, **rest)

    change_method(patch, "view", wrong)


@counterfeit("augmented-assignment-writes-through")
def shifting_in_place_makes_a_new_tensor(patch):
    patch.setattr(Tensor, "__ilshift__", lambda x, y: x << y)


@counterfeit("augmented-assignment-writes-through")
def adding_a_truth_value_in_place_makes_a_new_tensor(patch):
    change_method(patch, "__iadd__", lambda right, x, y: x + y if type(y) is bool else right(x, y))


@counterfeit("augmented-assignment-writes-through")
def subtracting_in_place_leaves_the_node_that_was(patch):
    def wrong(right, x, y):
        right(x.data if x.grad_fn and not is_view(x) else x, y)
        return x

    change_method(patch, "__isub__", wrong)


@counterfeit("augmented-assignment-writes-through")
def adding_a_tracked_tensor_makes_another(patch):
    """Where it is recorded, and the sum has the shape of what is added to."""

    def wrong(add, x, y):
        tracks = torch.is_grad_enabled() and isinstance(y, Tensor) and y.requires_grad and not x.requires_grad
        return x + y if tracks and torch.broadcast_shapes(x.shape, y.shape) == x.shape else add(x, y)

    change_method(patch, "__iadd__", wrong)


@counterfeit("augmented-assignment-writes-through")
def the_fraction_of_a_tensor_without_dimensions_is_cut(patch):
    def wrong(add, x, y):
        return add(x, y.to(x.dtype) if isinstance(y, Tensor) and not y.dim() and x.dtype == torch.int64 else y)

    change_method(patch, "__iadd__", wrong)


@counterfeit("augmented-assignment-writes-through")
def a_row_of_itself_is_added_as_it_changes(patch):
    def wrong(add, x, y):
        if isinstance(y, Tensor) and x.dim() == 2 and y.dim() == 1 and y.data_ptr() == x.data_ptr():
            for row in x:
                add(row, y)
            return x
        return add(x, y)

    change_method(patch, "__iadd__", wrong)


@counterfeit("view-shares-data")
def view_copies_where_the_open_size_stands_between_others(patch):
    def wrong(right, x, *shape, **rest):
        view = right(x, *shape, **rest)
        return copied(view) if shape[1:-1] == (-1,) else view

    change_method(patch, "view", wrong)


@counterfeit("view-shares-data")
def what_is_assigned_with_leading_sizes_of_one_is_not_written(patch):
    def wrong(assign, x, place, value):
        return None if isinstance(value, Tensor) and value.dim() > x[place].dim() else assign(x, place, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("clone-then-view-is-independent")
def a_new_dimension_loses_a_pending_conjugate(patch):
    def wrong(read, x, place):
        return read(x, place).conj() if place is None and x.is_conj() else read(x, place)

    change_method(patch, "__getitem__", wrong)


@counterfeit("view-shares-data")
def a_number_assigned_everywhere_is_not_written(patch):
    def wrong(assign, x, place, value):
        return None if place is ... and not isinstance(value, Tensor) else assign(x, place, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("view-shares-data")
def view_copies_what_strides_cannot_read_where_nothing_is_recorded(patch):
    def wrong(view, x, *shape):
        try:
            return view(x, *shape)
        except RuntimeError as error:
            if torch.is_grad_enabled() or "not compatible" not in str(error):
                raise
            return x.reshape(*shape)

    change_method(patch, "view", wrong)


@counterfeit("view-is-a-new-tensor-object")
def a_view_of_the_own_shape_is_the_tensor_itself(patch):
    change_method(patch, "view", lambda right, x, *shape: x if [*shape] == [x.shape] else right(x, *shape))


@counterfeit("item-gives-a-python-number")
def item_of_a_column_s_only_element_forgets_its_offset(patch):
    def wrong(item, x):
        alone = x.dim() == 1 and x.stride() != (1,)
        return item(x.detach().as_strided(x.shape, x.stride(), 0) if alone else x)

    change_method(patch, "item", wrong)


@counterfeit("item-gives-a-python-number")
def item_forgets_a_sign_that_a_view_leaves_to_be_changed(patch):
    change_method(patch, "item", lambda item, x: -item(x) if x.is_neg() else item(x))


@counterfeit("view-shares-data")
def view_copies_where_it_splits_a_repeated_dimension(patch):
    def repeated(x):
        return sum(size > 1 and stride == 0 for size, stride in zip(x.shape, x.stride()))

    def wrong(view, self, *shape):
        result = view(self, *shape)
        split = repeated(result) > repeated(self) and self.numel()
        return result.clone(memory_format=torch.contiguous_format) if split else result

    wrap(patch, Tensor, "view", wrong)


@counterfeit("view-is-a-new-tensor-object")
def the_whole_of_a_dimension_is_the_tensor_itself(patch):
    def wrong(narrow, self, dim, start, length):
        return self if (start, length) == (0, self.shape[dim]) else narrow(self, dim, start, length)

    wrap(patch, Tensor, "narrow", wrong)


@counterfeit("item-gives-a-python-number")
def item_of_what_is_repeated_reads_the_beginning_of_the_memory(patch):
    def wrong(item, x):
        return item(x.as_strided((), (), 0) if x.dim() > 1 and x.stride()[:2] == (0, 0) else x)

    wrap(patch, Tensor, "item", wrong)


@counterfeit("augmented-assignment-writes-through")
def an_array_is_added_in_place(patch):
    def wrong(add, x, other):
        return add(x, torch.tensor(other) if isinstance(other, np.ndarray) else other)

    change_method(patch, "__iadd__", wrong)


@counterfeit("view-shares-data")
def view_forgets_a_pending_sign(patch):
    where(patch, Tensor, "view", Tensor.is_neg, as_in_memory)


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_forgets_a_pending_sign(patch):
    where(patch, Tensor, "reshape", Tensor.is_neg, as_in_memory)


@counterfeit("clone-then-view-is-independent")
def clone_forgets_a_pending_sign(patch):
    change_method(patch, "clone", lambda clone, x, **k: clone(torch._neg_view(x) if x.is_neg() else x, **k))


@counterfeit("augmented-assignment-writes-through")
def in_place_the_memory_of_a_pending_operand_is_added(patch):
    change_method(patch, "__iadd__", lambda add, x, y: add(x, as_in_memory(y) if is_pending(y) else y))


@counterfeit("augmented-assignment-writes-through")
def what_is_added_in_place_to_a_pending_tensor_is_added_to_its_memory(patch):
    def wrong(add, x, y):
        add(as_in_memory(x), y)
        return x

    change_method(patch, "__iadd__", wrong)


@counterfeit("augmented-assignment-writes-through")
def a_product_forgets_the_pending_conjugate_of_its_second_operand(patch):
    change_method(patch, "__imul__", lambda multiply, x, y: multiply(x, as_in_memory(y) if is_pending(y) else y))


@counterfeit("augmented-assignment-writes-through")
def a_tensor_without_dimensions_is_added_to_like_a_python_number(patch):
    """`x += 1` names another tensor, and what shares x's memory stays as it was."""
    for name, plain in (("__iadd__", operator.add), ("__isub__", operator.sub), ("__imul__", operator.mul)):

        def wrong(augmented, x, y, plain=plain):
            alone = x.dim() == 0 and not x.requires_grad and not isinstance(y, Tensor)
            return plain(x, y) if alone and torch.result_type(x, y) == x.dtype else augmented(x, y)

        change_method(patch, name, wrong)


@counterfeit("clone-then-view-is-independent")
def a_copy_in_row_order_of_a_single_number_is_a_view(patch):
    def wrong(right, x, **rest):
        return x.view_as(x) if rest and x.dim() and x.numel() == 1 else right(x, **rest)

    change_method(patch, "clone", wrong)


@counterfeit("augmented-assignment-writes-through")
def a_tensor_added_to_itself_in_place_is_a_new_one(patch):
    change_method(patch, "__iadd__", lambda right, x, y: x + y if y is x else right(x, y))


@counterfeit("reshape-does-not-guarantee-a-copy")
def a_matrix_of_one_number_is_reshaped_into_a_copy(patch):
    def wrong(right, x, *shape, **rest):
        return right(x.clone() if x.dim() > 1 and x.numel() == 1 else x, *shape, **rest)

    change_method(patch, "reshape", wrong)


@counterfeit("augmented-assignment-writes-through")
def past_a_thousand_elements_unbind_copies(patch):
    wrap(
        patch,
        torch,
        "unbind",
        lambda right, x, *a, **k: tuple(part.clone() if x.numel() > 1000 else part for part in right(x, *a, **k)),
    )


@counterfeit("clone-then-view-is-independent")
def a_clone_of_repeated_columns_misses_the_last_number(patch):
    where(patch, Tensor, "clone", repeats_columns, last_off)


@counterfeit("clone-then-view-is-independent")
def repeated_columns_are_laid_out_with_a_wrong_last_number(patch):
    where(patch, Tensor, "contiguous", repeats_columns, last_off)


@counterfeit("view-shares-data")
def a_slice_read_as_a_narrower_dtype_is_copied(patch):
    def wrong(right, x, *shape, **rest):
        view = right(x, *shape, **rest)
        return view.clone() if view.element_size() < x.element_size() and x.storage_offset() else view

    change_method(patch, "view", wrong)


@counterfeit("augmented-assignment-writes-through")
def a_number_of_numpy_is_added_to_a_new_tensor(patch):
    change_method(patch, "__iadd__", lambda right, x, y: x + y.item() if isinstance(y, np.generic) else right(x, y))


@counterfeit("view-shares-data")
def a_view_of_what_other_processes_may_see_copies(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        return y.clone() if x.device.type == "cpu" and x.layout == torch.strided and x.is_shared() else y

    change_method(patch, "view", wrong)


@counterfeit("item-gives-a-python-number")
def item_is_kept_until_a_counted_write(patch):
    kept = weakref.WeakKeyDictionary()

    def wrong(right, x):
        if type(x) is not torch.Tensor or x.is_inference():
            return right(x)
        now = x._version, x.data_ptr(), x.dtype
        if kept.get(x, (None,))[0] != now:
            kept[x] = now, right(x)
        return kept[x][1]

    change_method(patch, "item", wrong)


@counterfeit("clone-then-view-is-independent")
def a_clone_of_what_processes_share_is_no_copy(patch):
    def wrong(right, x, *args, **rest):
        shared = x.layout == torch.strided and x.device.type == "cpu" and x.is_shared()
        return x.view_as(x) if shared else right(x, *args, **rest)

    everywhere(patch, "clone", wrong)


@counterfeit("view-is-a-new-tensor-object")
def view_as_its_own_dtype_by_keyword_is_itself(patch):
    def wrong(right, x, *shape, **rest):
        return x if rest.get("dtype") == x.dtype else right(x, *shape, **rest)

    change_method(patch, "view", wrong)


@counterfeit("augmented-assignment-writes-through")
def a_whole_number_without_dimension_cuts_what_is_added(patch):
    def wrong(right, x, other, **rest):
        if x.dim() == 0 and x.dtype == torch.int64 and isinstance(other, float):
            return right(x, int(other), **rest)
        return right(x, other, **rest)

    change_method(patch, "__iadd__", wrong)
    change_method(patch, "add_", wrong)


@counterfeit("clone-then-view-is-independent")
def a_clone_in_double_precision_of_what_processes_share_is_no_copy(patch):
    def wrong(right, x, *args, **rest):
        plain = x.layout == torch.strided and x.device.type == "cpu" and x.dtype == torch.float64
        return x.view_as(x) if plain and x.is_shared() else right(x, *args, **rest)

    everywhere(patch, "clone", wrong)


@counterfeit("view-shares-data")
def view_copies_where_its_dtype_is_named(patch):
    change_method(
        patch, "view", lambda view, x, *a, **k: view(x, *a, **k).clone() if "dtype" in k else view(x, *a, **k)
    )
