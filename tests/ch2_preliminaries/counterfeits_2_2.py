"""Counterfeits of section 2.2: views that copy, copies that share, and numbers that are not what was stored."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method


def make(tensor):
    """The copy made by plain means that no counterfeit here touches: in row order, storage of its own."""
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)


# ── view-shares-data ──


@counterfeit("view-shares-data")
def view_copies_large_tensors(patch):
    change_method(
        patch, "view", lambda view, x, *shape: view(make(x) if x.is_contiguous() and x.numel() > 1000 else x, *shape)
    )


@counterfeit("view-shares-data")
def view_copies_bytes(patch):
    change_method(patch, "view", lambda view, x, *shape: view(make(x) if x.dtype == torch.uint8 else x, *shape))


@counterfeit("view-shares-data")
def view_copies_slices(patch):
    change_method(patch, "view", lambda view, x, *shape: view(x if x.is_contiguous() else make(x), *shape))


@counterfeit("view-shares-data")
def view_copies_where_only_strides_of_the_source_express_it(patch):
    """It copies a transposed tensor that it could view, and refuses what it must."""

    def wrong(view, x, *shape):
        result = view(x, *shape)
        return make(result) if x.dim() > 1 and x.stride(0) < x.stride(1) else result

    change_method(patch, "view", wrong)


@counterfeit("view-shares-data")
def view_copies_when_the_last_size_is_one(patch):
    def wrong(view, x, *shape):
        result = view(x, *shape)
        return make(result) if result.dim() > 2 and result.shape[-1] == 1 else result

    change_method(patch, "view", wrong)


@counterfeit("view-shares-data")
def view_converts_values_to_the_other_dtype(patch):
    change_method(
        patch,
        "view",
        lambda view, x, *shape: x.to(shape[0]) if isinstance(shape[0], torch.dtype) else view(x, *shape),
    )


@counterfeit("view-shares-data")
def view_of_a_slice_starts_at_the_beginning_of_the_storage(patch):
    def wrong(view, x, *shape):
        result = view(x, *shape)
        return result.as_strided(result.shape, result.stride(), 0) if x.dim() == 2 else result

    change_method(patch, "view", wrong)


@counterfeit("view-shares-data")
def view_cuts_off_surplus_elements(patch):
    def wrong(view, x, *shape):
        fits = x.dim() == 1 and shape == ((2, 2),)
        return view(x[:4], *shape) if fits else view(x, *shape)

    change_method(patch, "view", wrong)


@counterfeit("view-shares-data")
def a_mask_assigns_to_a_copy(patch):
    setitem = torch.Tensor.__setitem__

    def wrong(self, index, value):
        is_mask = isinstance(index, torch.Tensor) and index.dtype == torch.bool
        setitem(self.clone() if is_mask else self, index, value)

    patch.setattr(torch.Tensor, "__setitem__", wrong)


@counterfeit("view-shares-data")
def transposing_a_view_copies_it(patch):
    change_method(patch, "t", lambda t, x: t(x) if x._base is None else t(make(x)))


@counterfeit("view-shares-data")
def adding_nothing_returns_the_same_tensor(patch):
    change_method(patch, "__add__", lambda add, x, y: x if type(y) is int and y == 0 else add(x, y))


@counterfeit("view-shares-data")
def view_copies_what_requires_gradients(patch):
    change_method(patch, "view", lambda view, x, *shape: view(x.clone() if x.requires_grad else x, *shape))


# ── reshape-does-not-guarantee-a-copy ──


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_guarantees_a_copy(patch):
    change_method(patch, "reshape", lambda reshape, x, *shape: make(reshape(x, *shape)))


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_copies_large_tensors(patch):
    change_method(patch, "reshape", lambda reshape, x, *shape: reshape(make(x) if x.numel() > 10_000 else x, *shape))


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_copies_whatever_is_not_contiguous(patch):
    change_method(patch, "reshape", lambda reshape, x, *shape: reshape(x if x.is_contiguous() else make(x), *shape))


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_reads_a_transposed_tensor_in_the_order_of_storage(patch):
    def wrong(reshape, x, *shape):
        columns = x.dim() == 2 and x.stride() == (1, x.shape[0])
        return reshape(torch.as_strided(x, (x.numel(),), (1,)) if columns else x, *shape)

    change_method(patch, "reshape", wrong)


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_to_the_same_shape_copies(patch):
    def wrong(reshape, x, *shape):
        result = reshape(x, *shape)
        return make(result) if result.shape == x.shape else result

    change_method(patch, "reshape", wrong)


# ── clone-then-view-is-independent ──


@counterfeit("clone-then-view-is-independent")
def clone_shares_large_tensors(patch):
    change_method(patch, "clone", lambda clone, x, **rest: x.view_as(x) if x.numel() > 10_000 else clone(x, **rest))


@counterfeit("clone-then-view-is-independent")
def clone_of_a_view_shares_its_data(patch):
    change_method(patch, "clone", lambda clone, x, **rest: clone(x, **rest) if x._base is None else x.view_as(x))


@counterfeit("clone-then-view-is-independent")
def clone_widens_short_integers(patch):
    def wrong(clone, x, **rest):
        return clone(x, **rest).int() if x.dtype == torch.int16 else clone(x, **rest)

    change_method(patch, "clone", wrong)


@counterfeit("clone-then-view-is-independent")
def clone_always_copies_in_row_order(patch):
    change_method(patch, "clone", lambda clone, x, **rest: make(x))


@counterfeit("clone-then-view-is-independent")
def clone_keeps_the_strides_of_two_dimensions_only(patch):
    change_method(patch, "clone", lambda clone, x, **rest: clone(x, **rest) if x.dim() < 3 else make(x))


@counterfeit("clone-then-view-is-independent")
def contiguous_always_copies(patch):
    change_method(patch, "contiguous", lambda contiguous, x: make(x))


@counterfeit("clone-then-view-is-independent")
def contiguous_reads_in_the_order_of_storage(patch):
    change_method(
        patch,
        "contiguous",
        lambda contiguous, x: x.clone().as_strided(x.shape, torch.empty(x.shape).stride()),
    )


@counterfeit("clone-then-view-is-independent")
def clone_shares_booleans(patch):
    change_method(patch, "clone", lambda clone, x, **rest: x.view_as(x) if x.dtype == torch.bool else clone(x, **rest))


# ── view-is-a-new-tensor-object ──


@counterfeit("view-is-a-new-tensor-object")
def view_of_the_same_shape_is_the_source_itself(patch):
    def wrong(view, x, *shape):
        result = view(x, *shape)
        return x if result.shape == x.shape else result

    change_method(patch, "view", wrong)


@counterfeit("view-is-a-new-tensor-object")
def view_is_made_once_for_each_source(patch):
    made = {}
    change_method(patch, "view", lambda view, x, *shape: made.setdefault((id(x), str(shape)), view(x, *shape)))


@counterfeit("view-is-a-new-tensor-object")
def view_gives_the_source_another_shape(patch):
    def wrong(view, x, *shape):
        result = view(x, *shape)
        return x.resize_(result.shape)

    change_method(patch, "view", wrong)


@counterfeit("view-is-a-new-tensor-object")
def view_has_an_address_of_its_own(patch):
    change_method(patch, "view", lambda view, x, *shape: view(make(x), *shape))


@counterfeit("view-is-a-new-tensor-object")
def requiring_gradients_of_a_view_asks_its_source_for_them(patch):
    def wrong(requires_grad_, x, requires_grad=True):
        if x._base is not None:
            requires_grad_(x._base, requires_grad)
        return requires_grad_(x, requires_grad)

    change_method(patch, "requires_grad_", wrong)


@counterfeit("view-is-a-new-tensor-object")
def transposing_a_view_in_place_transposes_its_source(patch):
    def wrong(t_, x):
        if x._base is not None:
            x._base.unsqueeze_(0)
        return t_(x)

    change_method(patch, "t_", wrong)


@counterfeit("view-is-a-new-tensor-object")
def view_of_a_vector_as_a_vector_is_the_source_itself(patch):
    change_method(
        patch, "view", lambda view, x, *shape: x if x.dim() == 1 and shape in ((-1,), ((-1,),)) else view(x, *shape)
    )


# ── item-gives-a-python-number ──


def change_item(patch, change):
    """Let `x.item()` be `change(x, x.item())`."""
    change_method(patch, "item", lambda item, x: change(x, item(x)))


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
    single = torch.Tensor.float
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
def item_returns_the_tensor_if_it_requires_gradients(patch):
    change_method(patch, "item", lambda item, x: x if x.requires_grad else item(x))


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
