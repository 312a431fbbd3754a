"""2.6 Autograd: what is chosen by indices, written there, and multiplied, with its values and its slope."""

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over, twins, untouched
from populations.choices import DEEP, LARGE, MASKED, PLACES, PRODUCTS, SIZES, of_arrays, on
from populations.comparing import host
from populations.core import settled
from populations.functions import COMPLEX, FLOATING, WHOLE
from populations.gradients import grad_of, weights_for
from populations.grids import GRIDS
from populations.twins import LAYOUTS, LEAVES, pending

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")
SHAPES = ((3, 4, 5), (3, 4), (3, 4, 2, 2))


def index_of(place, x, twin):
    """The place's index in a tensor, in layouts that take turns, and in an array: of its first dimensions where it has
    not enough.
    """
    name = place if x.dim() > 2 or place not in DEEP else "pairs"
    return PLACES[name](on(x.device, WRITABLE[twin.seed % len(WRITABLE)])), PLACES[name](of_arrays)


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes")
@over(EVERY_MODE, place=each(*PLACES), twin=twins(ANY, LAYOUTS, SHAPES, kinds=("tensor",)))
def test_an_index_chooses_the_elements_that_it_chooses_of_an_array(place, twin):
    x, array = twin
    here, there = index_of(place, x, twin)

    chosen = x[here]
    agree(chosen, array[there])
    assert (chosen.dtype, chosen.device) == (x.dtype, x.device)


@claim("requires-grad-tracks-operations", "backward-fills-grad")
@over(place=each(*PLACES), twin=twins(SINGLE_AND_DOUBLE, LAYOUTS, SHAPES, grad=(True,), kinds=LEAVES))
def test_every_element_gets_as_its_gradient_the_sum_over_the_places_where_it_was_chosen(place, twin):
    x, array = twin
    here, there = index_of(place, x, twin)
    chosen = x[here]
    agree(chosen, array[there])
    chosen.backward(torch.ones_like(chosen))

    times = np.zeros_like(array)
    np.add.at(times, there, 1)
    agree(grad_of(x), times)


@claim("broadcasting-matches-shapes", "augmented-assignment-writes-through")
@over(EVERY_MODE, place=each(*PLACES), twin=twins(ANY, WRITABLE, SHAPES, kinds=("tensor",)))
def test_an_index_writes_what_is_repeated_there_and_nothing_elsewhere(place, twin):
    x, array = twin
    here, there = index_of(place, x, twin)
    one, before = np.ones(array[there].shape[-1:], array.dtype), array.copy()

    kept = x[here].clone()
    written = (0, kept), (x.new_ones(one.shape), x.new_empty(kept.shape).copy_(kept))
    for number, (others, again) in enumerate(written):  # again as it lay, and in row order
        x[here] = others
        array[there] = number * one
        agree(x, array)
        x[here] = again
        agree(x, before)
    untouched(x)


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes")
@over(EVERY_MODE, grid=among(*GRIDS))
def test_a_function_of_two_numbers_has_numpy_s_value_for_every_number_beside_every_other(grid):
    x, y, expected = grid
    result = grid.result(x, y)

    assert (result is x, result.device) == (grid.way == "in place", x.device)
    assert result.dtype == (torch.bool if grid.binary.truth else x.dtype)
    agree(result, expected, grid.binary.roundings)
    untouched(x)


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    name=each(*MASKED),
    twin=twins(ANY, WRITABLE, (*SHAPES, (2,), (1, 2)), kinds=("tensor",)),
    of=among("every element", "rows", "the last dimension"),
    share=among(0.5, 0.7, 1.0, 0.0),
)
def test_a_mask_is_repeated_to_choose_and_to_write_and_what_is_written_comes_in_row_order(name, twin, of, share):
    (x, array), (apply, rule) = twin, MASKED[name]
    shape = {"rows": (len(array), *[1] * (array.ndim - 1)), "the last dimension": array.shape[-1:]}
    mask = np.random.default_rng(twin.seed).random(shape.get(of, array.shape)) < share

    apply = settled(apply) if twin.seed % 2 else apply
    found = apply(x, torch.tensor(mask, device=x.device))
    agree(found, rule(array, mask))
    assert found.device == x.device
    untouched(x)


def cases(sizes, dtypes):
    """A dtype, the sizes, and the layouts of two factors."""
    return [
        (dtype, size, LAYOUTS[(turn + index) % 6], LAYOUTS[(turn + 2 * index + 1) % 6])
        for turn, size in enumerate(sizes)
        for index, dtype in enumerate(dtypes)
    ]


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    form=each(*PRODUCTS),
    case=among(*cases(SIZES, FLOATING), *cases(LARGE, SINGLE_AND_DOUBLE), *cases(SIZES[-2:], COMPLEX)),
)
def test_a_product_has_the_sums_of_products_of_rows_and_columns_whatever_its_form(form, case):
    (shapes, compute, expect), (dtype, sizes, *layouts) = PRODUCTS[form], case
    twins_of = [
        Twin(dtype, shape, layout, second=sizes[0] % 2 == 1, seed=seed)
        for seed, (shape, layout) in enumerate(zip(shapes(*sizes), layouts))
    ]
    # 61 times 7 takes nine binary digits, one more than bfloat16 has; sums of 65 such products, fewer than float32 has
    times = 61 if dtype in (*SINGLE_AND_DOUBLE, *COMPLEX) and sizes not in LARGE else 1
    one, two = (twin.array() * times for twin in twins_of)
    a, b = (twin.tensor(array) for twin, array in zip(twins_of, (one, two)))
    result = compute(a, b)

    assert (result.dtype, result.device) == (dtype, a.device)
    wide = (np.complex128 if dtype in COMPLEX else np.float64) if times > 1 else one.dtype
    agree(result, expect(one.astype(wide), two.astype(wide)), 1)


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    form=each(*PRODUCTS),
    sizes=among(*SIZES),
    dtype=among(*SINGLE_AND_DOUBLE, *COMPLEX),
    lazy=among((True, False), (False, True), (True, True)),
)
def test_factors_that_are_conjugated_or_negated_when_they_are_read_are_multiplied_as_they_read(
    form, sizes, dtype, lazy
):
    shapes, compute, expect = PRODUCTS[form]
    (a, one), (b, two) = (Twin(dtype, shape, seed=seed) for seed, shape in enumerate(shapes(*sizes)))
    a, b = (pending(x) if waits else x for x, waits in zip((a, b), lazy))
    agree(compute(a, b), expect(one, two), 1)


@claim("requires-grad-tracks-operations")
@over(sizes=among((16, 32_767, 16), (17, 4_099, 65)), how=among("bmm", "matmul"), dtype=each(*SINGLE_AND_DOUBLE))
def test_a_long_sum_of_products_in_each_of_a_batch_ends_where_it_does(sizes, how, dtype):
    n, k, m = sizes
    second = (n == 16) == (how == "bmm")
    (a, one), (b, two) = (Twin(dtype, shape, second=second, seed=k % 3) for shape in ((2, n, k), (2, k, m)))
    agree(getattr(torch, how)(a, b), np.matmul(one, two), 1)  # all sums are below 2 ** 24


@pytest.mark.cpu
@claim("broadcasting-matches-shapes")
@over(form=each(*PRODUCTS), case=among(*cases((*SIZES[-2:], (3, 0, 2)), WHOLE)))
def test_products_of_whole_numbers_stay_in_their_dtype_and_count_on_from_its_other_end(form, case):
    """On the CPU, and as NumPy's do; many other devices have none."""
    (shapes, compute, expect), (dtype, sizes, *layouts) = PRODUCTS[form], case
    (a, one), (b, two) = (Twin(dtype, *each, seed=seed) for seed, each in enumerate(zip(shapes(*sizes), layouts)))
    result = compute(a, b)

    assert result.dtype == dtype
    agree(result, expect(one, two))


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians")
@over(
    form=each(*(form for form in PRODUCTS if "add" not in form)),
    sizes=among(*SIZES),
    layout=among(*LAYOUTS),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_each_factor_of_a_product_of_any_form_has_what_the_other_multiplies_for_its_slope(form, sizes, layout, dtype):
    shapes, compute, expect = PRODUCTS[form]
    (a, one), (b, two) = (Twin(dtype, shape, layout, grad=True, seed=seed) for seed, shape in enumerate(shapes(*sizes)))
    result = compute(a, b)
    agree(result, expect(one, two))
    weights, factors = weights_for(result, layout)
    result.backward(weights)

    # it is linear in either: what changes along v is the product of v with the other
    (_, v), (_, w) = weights_for(a, seed=3), weights_for(b, seed=4)
    assert (host(grad_of(a)) * v).sum() == (expect(v, two) * factors).sum()
    assert (host(grad_of(b)) * w).sum() == (expect(one, w) * factors).sum()
