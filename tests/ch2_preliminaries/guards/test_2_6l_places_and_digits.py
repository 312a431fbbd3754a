"""2.6 Autograd: places that lie anywhere in memory, whole numbers to their last digit, and numbers next to others."""

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, HALVES, LAYOUTS, WRITABLE, Twin, agree, among, each, over, untouched
from populations.choices import WRITTEN
from populations.gradients import grad_of, weights_for
from populations.initialisers import RELEASE
from populations.twins import NUMPY
from torch.nn import functional as F

claim = pytest.mark.claim
WIDE = {torch.int64: 2**53, torch.int32: 2**24}  # from where floating numbers have no odd ones


def counts(a: np.ndarray, at: np.ndarray, start: np.ndarray) -> np.ndarray:
    """``start`` with the numbers of ``a`` added at places of its columns, row by row."""
    added = start.copy()
    np.add.at(added, (np.arange(len(a))[:, None], at), a)
    return added


# By places ``at`` in a matrix x, of x's shape and below the number of its columns, or by its first row of them.
BY_PLACES = {
    "gather": (lambda x, at: x.gather(1, at), lambda a, at: np.take_along_axis(a, at, 1)),
    "take_along_dim": (lambda x, at: torch.take_along_dim(x, at, 1), lambda a, at: np.take_along_axis(a, at, 1)),
    "take": (lambda x, at: torch.take(x, at), lambda a, at: np.take(a, at)),
    "index_select": (lambda x, at: x.index_select(1, at[0]), lambda a, at: a[:, at[0]]),
    "x[:, at]": (lambda x, at: x[:, at[0]], lambda a, at: a[:, at[0]]),
    "scatter_add": (lambda x, at: x.scatter_add(1, at, x), lambda a, at: counts(a, at, a)),
    "scatter_add_": (lambda x, at: torch.zeros_like(x).scatter_add_(1, at, x), lambda a, at: counts(a, at, 0 * a)),
    "index_add": (lambda x, at: x.index_add(1, at[0], x), lambda a, at: counts(a, np.tile(at[0], (len(a), 1)), a)),
    "index_put": (
        lambda x, at: x.index_put((torch.arange(len(x), device=x.device)[:, None], at), x, accumulate=True),
        lambda a, at: counts(a, at, a),
    ),
    "embedding": (lambda x, at: F.embedding(at % len(x), x), lambda a, at: a[at % len(a)]),
    "bucketize": (
        lambda x, at: x + torch.bucketize(at, torch.arange(1, 200, 3, device=x.device)).to(x),
        lambda a, at: a + np.searchsorted(np.arange(1, 200, 3), at).astype(a.dtype),
    ),
}
IN_32 = ("index_select", "embedding", "bucketize")  # that take such places, too


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    name=each(*BY_PLACES),
    columns=among(3, 70),
    layout=among(*LAYOUTS, "expanded columns", "a row of a table"),
    dtype=among(*(dtype for dtype in ANY if dtype != torch.bool)),
    of=among(np.int64, np.int32),
)
def test_places_may_lie_anywhere_in_memory_and_be_repeated_there(name, columns, layout, dtype, of):
    (apply, rule), laid = BY_PLACES[name], "contiguous" if layout == "a row of a table" else layout
    x, array = Twin(dtype, (4, columns), "contiguous", "small", seed=columns)
    at = np.random.default_rng(columns).permuted(np.tile(np.arange(columns), (4, 1)), axis=1)
    at[1:] = at[:1] if layout == "expanded" else at[1:]
    at[:, 1:] = at[:, :1] if layout == "expanded columns" else at[:, 1:]
    kind = torch.int32 if of is np.int32 and name in IN_32 else torch.int64
    places = Twin(kind, (4, columns), laid).tensor(at.astype(np.int32 if kind == torch.int32 else np.int64))
    table = torch.stack([0 * places, places], 1)
    found = apply(x, table[:, 1] if layout == "a row of a table" else places)

    assert (found.dtype, found.device) == (x.dtype, x.device)
    agree(found, rule(array, at))


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes", "augmented-assignment-writes-through")
@claim("view-shares-data")
@over(
    EVERY_MODE,
    name=each(*WRITTEN),
    shape=among((4, 5), (2, 9), (1031, 3)),
    of=among(*LAYOUTS, "expanded columns"),
    to=among(*WRITABLE),
    dtype=among(*ANY),
)
def test_a_source_that_is_written_to_places_may_lie_anywhere_and_repeat_its_elements(name, shape, of, to, dtype):
    dtype = torch.float32 if name == "scatter_reduce" and (dtype.is_complex or dtype == torch.bool) else dtype
    (y, b), (s, a) = Twin(dtype, shape, to), Twin(dtype, shape, of, seed=1)
    apply, rule = WRITTEN[name]
    shown, there = y[...], name.endswith(("_", "="))
    found = apply(y, s)
    agree(found, rule(b, a))
    assert (found is y) == there
    agree(shown, rule(b, a) if there else b)
    agree(s, a)
    untouched(y)


PIECES = {  # of the last dimension, by a number
    "split": (lambda x, n: x.split(n, -1), lambda a, n: [a[..., at : at + n] for at in range(0, a.shape[-1], n)]),
    "split in two": (lambda x, n: torch.split(x, [n, x.shape[-1] - n], -1), lambda a, n: np.split(a, [n], -1)),
    "chunk": (
        lambda x, n: x.chunk(n, -1),
        lambda a, n: np.split(a, range(-(-a.shape[-1] // n), a.shape[-1], -(-a.shape[-1] // n)), -1),
    ),
    "tensor_split": (lambda x, n: torch.tensor_split(x, n, -1), lambda a, n: np.array_split(a, n, -1)),
    "narrow": (lambda x, n: [x.narrow(-1, n, x.shape[-1] - n)], lambda a, n: [a[..., n:]]),
    "slices": (
        lambda x, n: [x[..., n:], x[..., :-n], x[..., ::n]],
        lambda a, n: [a[..., n:], a[..., :-n], a[..., ::n]],
    ),
    "unbind": (lambda x, n: x.unbind(-1)[n:], lambda a, n: [*np.moveaxis(a, -1, 0)[n:]]),
}


@claim("requires-grad-tracks-operations")
@over(
    EVERY_MODE,
    name=each(*PIECES),
    shape=among((3, 70), (128, 100), (65, 257), (2, 70, 66)),
    n=among(2, 3, 33, 50),
    layout=among(*WRITABLE),
    dtype=among(torch.float32, torch.int64, torch.bfloat16),
)
def test_what_is_wide_is_cut_where_it_should_be(name, shape, n, layout, dtype):
    x, array = Twin(dtype, shape, layout)
    cut, rule = PIECES[name]
    found, expected = cut(x, n), rule(array, n)

    assert [*map(tuple, (part.shape for part in found))] == [part.shape for part in expected]
    for part, numbers in zip(found, expected):
        agree(part, numbers)


OF_MANY = {  # rows, or what is chosen in each of them
    "embedding": (0, lambda x, at: F.embedding(at, x)),
    "index_select": (0, lambda x, at: x.index_select(0, at.flatten()).view(*at.shape, -1)),
    "x[at]": (0, lambda x, at: x[at]),
    "gather": (0, lambda x, at: x.gather(0, at.view(-1, 1).expand(-1, x.shape[1])).view(*at.shape, -1)),
    "x[:, at]": (1, lambda x, at: x[:, at]),
    "x[:, at, :]": (1, lambda x, at: x[:, at, :]),
    "index_select in each": (1, lambda x, at: torch.index_select(x, 1, at.flatten()).view(len(x), *at.shape, -1)),
    "take_along_dim in each": (1, lambda x, at: x.take_along_dim(at.view(1, -1, 1), 1).view(len(x), *at.shape, -1)),
}


@claim("requires-grad-tracks-operations", "backward-multiplies-jacobians", "nn-builds-on-autograd")
@over(
    name=each(*OF_MANY),
    rows=among((300, "transposed", torch.float64), (513, "gappy", torch.float32), (16_387, "offset", torch.float32)),
)
def test_what_is_chosen_of_many_rows_or_in_each_of_them_comes_from_its_place_and_passes_back_there(name, rows):
    dim, choose = OF_MANY[name]
    count, layout, dtype = rows
    x, array = Twin(dtype, (count, 3) if dim == 0 else (count, 5, 2), layout, grad=True)
    at = np.arange(12).reshape(3, 4) * 7919 % array.shape[dim]
    result = choose(x, torch.from_numpy(at).to(x.device))
    weights, factors = weights_for(result)
    result.backward(weights)

    agree(result, np.take(array, at, dim))
    back = np.zeros(array.shape)
    np.add.at(back, (at,) if dim == 0 else (slice(None), at), factors)
    agree(grad_of(x), back)


# Along the last dimension of whole numbers, each of which is there once: in torch and in NumPy.
ORDERED = {
    "sort": (lambda x: torch.sort(x).values, np.sort),
    "argsort": (lambda x: x.argsort(), np.argsort),
    "topk": (lambda x: x.topk(3).values, lambda a: -np.sort(-a)[..., :3]),
    "kthvalue": (lambda x: x.kthvalue(2).values, lambda a: np.sort(a)[..., 1]),
    "median": (lambda x: x.median(-1).values, lambda a: np.sort(a)[..., (a.shape[-1] - 1) // 2]),
    "max": (lambda x: x.max(-1).values, lambda a: a.max(-1)),
    "max of all": (lambda x: torch.max(x), np.max),
    "min of all": (lambda x: x.min(), np.min),
    "amax": (lambda x: torch.amax(x, -1), lambda a: a.max(-1)),
    "amin": (lambda x: torch.amin(x, -1), lambda a: a.min(-1)),
    "aminmax": (lambda x: torch.stack(torch.aminmax(x)), lambda a: np.array([a.min(), a.max()])),
    "argmax": (lambda x: x.argmax(-1), lambda a: a.argmax(-1)),
    "argmin": (lambda x: torch.argmin(x, -1), lambda a: a.argmin(-1)),
    "cummax": (lambda x: torch.cummax(x, -1).values, lambda a: np.maximum.accumulate(a, -1)),
    "cummin": (lambda x: torch.cummin(x, -1).values, lambda a: np.minimum.accumulate(a, -1)),
    "unique": (lambda x: torch.unique(x), np.unique),
    "unique, its places": (
        lambda x: torch.unique(x, return_inverse=True)[1],
        lambda a: np.searchsorted(np.unique(a), a),
    ),
    "unique_consecutive": (lambda x: torch.unique_consecutive(x[0]), lambda a: a[0]),
    "searchsorted": (lambda x: torch.searchsorted(x[0].sort().values, x), lambda a: np.searchsorted(np.sort(a[0]), a)),
    "isin": (lambda x: torch.isin(x, x[0, :3]), lambda a: np.isin(a, a[0, :3])),
    "==": (lambda x: x == x.flip(0), lambda a: a == a[::-1]),
    "!=": (lambda x: torch.ne(x, x[0, 0]), lambda a: a != a[0, 0]),
    "<": (lambda x: x < x.flip(-1), lambda a: a < a[..., ::-1]),
    "clamp": (lambda x: torch.clamp(x, min=x[0, :1]), lambda a: np.maximum(a, a[0, :1])),
    "maximum": (lambda x: torch.maximum(x, x.flip(0)), lambda a: np.maximum(a, a[::-1])),
    "where": (lambda x: torch.where(x > x.flip(0), x, -x), lambda a: np.where(a > a[::-1], a, -a)),
    "abs": (lambda x: torch.abs(-x), np.abs),
    "sign": (lambda x: (x - x[:, :1]).sign(), lambda a: np.sign(a - a[:, :1])),
    "%": (lambda x: x % 7, lambda a: a % 7),
    "//": (lambda x: x // 1, lambda a: a // 1),
    "diff": (lambda x: x.diff(), np.diff),
    "sum of differences": (lambda x: (x - x.flip(-1)).abs().sum(), lambda a: abs(a - a[..., ::-1]).sum()),
    "masked_fill": (lambda x: x.masked_fill(x > x[0, 0], -1), lambda a: np.where(a > a[0, 0], -1, a)),
    "cat": (lambda x: torch.cat([x, x.flip(0)]), lambda a: np.concatenate([a, a[::-1]])),
    "+ a number": (lambda x: 2**26 + x + 1, lambda a: a + 1 + 2**26),
}


@claim("requires-grad-tracks-operations", "broadcasting-matches-shapes")
@over(EVERY_MODE, name=each(*ORDERED), dtype=each(*WIDE), layout=among(*LAYOUTS[:-1]), columns=among(9, 130))
def test_whole_numbers_are_told_apart_and_kept_to_their_last_digit(name, dtype, layout, columns):
    apply, rule = ORDERED[name]
    order = np.random.default_rng(columns).permuted(np.tile(np.arange(columns), (3, 1)), axis=1)
    array = (order + WIDE[dtype] + columns * np.arange(3)[:, None]).astype(NUMPY[dtype])
    agree(apply(Twin(dtype, array.shape, layout).tensor(array)), rule(array))


@claim("requires-grad-tracks-operations")
@over(
    name=each("stack", "cat"),
    dtype=each(*HALVES, torch.float32),
    dim=among(0, 1, -1),
    count=among(130, 257),
    layout=among("contiguous", "transposed"),
)
def test_however_many_parts_are_joined_they_and_their_gradients_keep_their_order(name, dtype, dim, count, layout):
    x, array = Twin(dtype, (count, 2, 3), layout, "fractions", grad=True)
    joined = getattr(torch, name)(x.unbind(), dim)
    weights, factors = weights_for(joined)
    joined.backward(weights)

    agree(joined, {"stack": np.stack, "cat": np.concatenate}[name]([*array], dim))
    back = np.split(factors, count, dim)  # each a part, where stacked with a dimension more
    agree(grad_of(x), np.reshape(back, array.shape))


@claim("broadcasting-matches-shapes")
@over(EVERY_MODE, number=among(2**31, 2**32 + 5, -(2**33) - 1, 2**53 + 1, 2**62), layout=among(*LAYOUTS))
def test_a_number_of_more_than_32_digits_counts_with_all_of_them_beside_long_ones(number, layout):
    x, array = Twin(torch.int64, (3, 5), layout)
    for found in (x + number, number + x, torch.add(x, number), x.clone().add_(number), x - -number):
        agree(found, array + number)
    agree((x + number) == number, array == 0)
    agree(torch.where(x > 0, x, number), np.where(array > 0, array, number))
    agree(torch.full_like(x, number), np.full_like(array, number))
    agree(x.masked_fill(x > 0, number), np.where(array > 0, number, array))


SUMMED = {  # in logarithms, from the first number on
    "logcumsumexp": (lambda x: torch.logcumsumexp(x, -1), lambda a: np.logaddexp.accumulate(a, -1)),
    "logsumexp": (lambda x: torch.logsumexp(x, -1), lambda a: np.logaddexp.reduce(a, -1)),
    "logaddexp": (lambda x: torch.logaddexp(x, x.flip(-1)), lambda a: np.logaddexp(a, a[..., ::-1])),
}


@claim("requires-grad-tracks-operations")
@over(
    EVERY_MODE,
    name=each(*SUMMED),
    nothing=among((0,), (1, 2), (0, 1, 2, 3), (4,), ()),
    dtype=among(torch.float32, torch.float64),
    layout=among(*LAYOUTS[:-1]),
)
def test_the_logarithm_of_nothing_adds_nothing_wherever_it_stands(name, nothing, dtype, layout):
    apply, rule = SUMMED[name]
    array = np.array([[1.0, 2.0, 0.5, -1.0, 3.0]] * 2)
    array[0, list(nothing)] = -np.inf
    agree(apply(Twin(dtype, array.shape, layout).tensor(array)), rule(array), 16, 4)


@claim("requires-grad-tracks-operations")
@pytest.mark.skipif(RELEASE < (2, 2), reason=f"torch {torch.__version__} has it of fewer dtypes")
@over(EVERY_MODE, dtype=each(torch.float32, torch.float64, torch.bfloat16), layout=among(*LAYOUTS))
def test_the_number_next_to_a_power_of_two_is_one_unit_of_its_last_place_away(dtype, layout):
    twin, eps = Twin(dtype, (3, 7), layout, "positive"), torch.finfo(dtype).eps
    array = 2.0 ** twin.array().astype(np.float64)
    x, opposite, nothing = (twin.tensor((each * array).astype(NUMPY[dtype])) for each in (1, -1, 0))
    agree(torch.nextafter(x, x + x), array * (1 + eps))
    agree(torch.nextafter(x, nothing), array * (1 - eps / 2))
    agree(torch.nextafter(opposite, nothing), -array * (1 - eps / 2))
