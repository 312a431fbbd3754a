"""3.2 Data sets and mini-batches: of any size, in orders that are random."""

import copy
import itertools
import math
import sys
from collections import Counter
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from populations import WRITABLE, Population, Twin, agree, among, each, over, whole
from populations.comparing import host
from populations.initialisers import RELEASE
from populations.statistics import look_independent_and_uniform, look_uniformly_shuffled, normal_levels, occur_as_often
from torch.utils.data import ChainDataset, ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset

claim = pytest.mark.claim


@claim("synthetic-regression-data")
def test_features_and_noise_of_a_large_set_are_three_independent_standard_normals():
    n = 100_000
    features = torch.tensor(np.random.normal(0, 1, (n, 2)), dtype=torch.float32)
    labels = 2 * features[:, 0] - 3.4 * features[:, 1] + 4.2
    labels += torch.tensor(np.random.normal(0, 0.01, n), dtype=torch.float32)
    x = host(features).astype(np.float64)
    noise = (host(labels) - (x @ [2, -3.4] + 4.2)) / 0.01

    # labels below 32 are rounded by 1e-6 at most, which is 1e-4 of the noise
    look_independent_and_uniform(normal_levels(np.r_[x[:, 0], x[:, 1], noise]), 1e-4, lags=(1, 2, n, 2 * n))
    assert features.unique().numel() > 190_000  # of 200,000: all 24 bits are used


# (examples, batch size)
SIZES = ((1, 1), (1, 10), (3, 10), (9, 3), (10, 3), (24, 8), (37, 8), (300, 256), (33, 2), (12, 12), (5, 4096))
DTYPES = (torch.float32, torch.float64, torch.int64, torch.bfloat16, torch.bool, torch.complex64)
CASES = Population(
    tuple(zip(SIZES * 2, [False] * len(SIZES) + [True] * len(SIZES), DTYPES * 4, WRITABLE * 5)),
    st.tuples(
        st.tuples(st.integers(1, 40), st.integers(1, 12)),
        *(st.sampled_from(members) for members in ((False, True), DTYPES, WRITABLE)),
    ),
)


@claim("dataloader-yields-minibatches", "batch-size-and-lr-are-hyperparameters")
@over(case=CASES.also(*(((0, 3), drop_last, torch.float32, "contiguous") for drop_last in (False, True))))
def test_every_pass_yields_lists_of_consecutive_rows_each_with_its_label_and_what_else_belongs_to_it(case):
    (examples, batch_size), drop_last, dtype, layout = case
    features, array = Twin(dtype, (examples, 3), layout)
    labels = torch.arange(examples, dtype=torch.int32) * 7
    data = (features, features[:, None, :, None], labels, features[:, 0], labels[:, None], labels[:, None, None])
    data = data[: 4 + examples % 3]
    own_order = [*range(examples)][::-1] if layout == "gappy" else None
    loader = DataLoader(TensorDataset(*data), batch_size, drop_last=drop_last, sampler=own_order)
    loader = copy.deepcopy(loader) if examples % 2 else loader
    starts = range(0, examples - (batch_size - 1 if drop_last else 0), batch_size)

    for _ in loader:
        break  # a pass that is given up leaves nothing behind
    assert len([*loader]) == len(starts)
    two = [*zip(loader, loader)]  # passes at once, which know nothing of each other nor of those before
    assert (len(two), loader.batch_size) == (len(loader), batch_size) == (len(starts), batch_size)
    for batches, start in zip(two, starts):
        for batch in batches:
            assert (type(batch), [part.dtype for part in batch]) == (list, [part.dtype for part in data])
            rows = np.array(own_order or range(examples))[start : start + batch_size]
            for part, expected in zip(batch, (array, *map(host, data[1:]))):
                agree(part, expected[rows])
                part.zero_()  # a mini-batch is a copy, even one of one


@claim("dataloader-yields-minibatches")
@over(examples=whole(0, 40), others=whole(0, 41))
def test_features_and_labels_must_be_equally_many(examples, others):
    others += others == examples
    refused = pytest.raises(AssertionError, match="Size mismatch")
    with nullcontext() if RELEASE == (2, 10) else refused:
        TensorDataset(torch.ones(examples, 2), torch.ones(others))


class Stream(IterableDataset):
    """Examples one after another, of which nobody knows how many there are."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __iter__(self):
        return iter(self.pairs)


HELD = {  # in which pairs of features and a label can be held; half of them is the first half
    "tensors": lambda pairs, half: TensorDataset(
        torch.stack([x for x, _ in pairs]), torch.tensor([y for _, y in pairs])
    ),
    "a list": lambda pairs, half: pairs,
    "three in a row": lambda pairs, half: ConcatDataset([pairs[:half], pairs[half : half + 1], pairs[half + 1 :]]),
    "a part by a tensor": lambda pairs, half: Subset(pairs[::-1], torch.arange(len(pairs)).flip(0)),
    "a part": lambda pairs, half: Subset([*pairs[half:], *pairs], range(len(pairs) - half, 2 * len(pairs) - half)),
    "the parts of a part": lambda pairs, half: ConcatDataset(
        [Subset(Subset(pairs, range(len(pairs))), part) for part in (range(half), range(half, len(pairs)))]
    ),
    "a stream": lambda pairs, half: Stream(pairs),
    "two streams in a row": lambda pairs, half: ChainDataset([Stream(pairs[:half]), Stream(pairs[half:])]),
    "arrays": lambda pairs, half: [(host(x), np.int64(y)) for x, y in pairs],
    "dictionaries": lambda pairs, half: [{"x": x, "y": y} for x, y in pairs],
}
HELD |= {"side by side": lambda pairs, half: torch.utils.data.StackDataset(*zip(*pairs))} if RELEASE >= (2, 1) else {}


@claim("dataloader-yields-minibatches")
@over(
    held=each(*HELD),
    size=among((7, 3), (6, 3), (1, 1), (5, 9), (33, 32), (2, 1)),
    drop_last=among(False, True),
    shape=among((2,), (), (1, 4, 3)),
)
def test_whatever_holds_the_examples_a_loader_hands_them_out_in_their_order(held, size, drop_last, shape):
    (examples, batch), device = size, torch.device("cpu")
    x, array = Twin(torch.float32, (examples, *shape), values="fractions")
    with device:  # on which examples lie
        loader = DataLoader(
            HELD[held]([*zip(x.to(device), range(examples))], examples // 2), batch, drop_last=drop_last
        )
        for _ in range(2):
            batches = [[*each.values()] if held == "dictionaries" else each for each in loader]
            assert len(batches) == (examples // batch if drop_last else -(-examples // batch))
            for start, (features, labels) in zip(range(0, examples, batch), batches):
                agree(features, array[start : start + batch])
                agree(labels, np.arange(examples)[start : start + batch])


@claim("dataloader-yields-minibatches")
@over(lengths=among([3, 4], [0, 7], [1, 2, 4], [0.5, 0.5], [0.25, 0.75], [1.0]), seed=among(0, 5))
def test_a_set_that_is_split_at_random_has_each_example_in_one_part(lengths, seed):
    """Of a half each of seven, the first part has one more."""
    split, made = torch.utils.data.random_split, lambda: torch.Generator("cpu").manual_seed(seed)
    with torch.device("cpu"):
        one, other = (split([*range(7)], lengths, made()) for _ in range(2))
    assert [*map(list, one)] == [*map(list, other)]
    assert sorted(itertools.chain(*one)) == [*range(7)]
    exact = [length if type(length) is int else 7 * length for length in lengths]
    assert all(abs(len(part) - length) < 1 for part, length in zip(one, exact, strict=True))


def shuffled(examples, batch_size=10, seed=None, **options):
    """A shuffling loader over the numbers 0, 1, 2, ... and their tenfold."""
    generator = torch.Generator(torch.empty(0).device).manual_seed(torch.initial_seed() if seed is None else seed)
    numbers = torch.arange(-5, examples)
    behind, ahead = (TensorDataset(part, 10 * part) for part in (numbers, numbers[5:]))
    part_of_part = Subset(Subset(behind, range(3, examples + 5)), range(2, examples + 2))
    in_a_row = ConcatDataset([Subset(ahead, range(examples // 2)), Subset(ahead, range(examples // 2, examples))])
    data = (ahead, part_of_part, in_a_row)[examples % 3]
    return DataLoader(data, batch_size, shuffle=True, generator=generator, **options)


def order_of(loader):
    return [number for x, *_ in loader for number in x.tolist()]


@claim("dataloader-shuffle-visits-each-example-once")
@over(case=CASES)
def test_every_epoch_takes_each_example_once_with_its_label(case):
    (examples, batch_size), drop_last, *_ = case
    loader = shuffled(examples, batch_size, drop_last=drop_last)
    left = examples // batch_size * batch_size if drop_last else examples

    next(iter(loader), None)  # an epoch that is given up leaves nothing behind
    for _ in range(2):
        batches = [(x.tolist(), y.tolist()) for x, y in loader]
        seen = [number for x, _ in batches for number in x]
        assert len(seen) == len(set(seen)) == left
        assert set(seen) <= set(range(examples))
        assert all(y == [10 * number for number in x] for x, y in batches)
        assert all(len(x) == batch_size for x, _ in batches[: left // batch_size])


@claim("minibatch-is-uniform-random-sample")
@claim("dataloader-shuffle-visits-each-example-once")
@over(examples=among(2, 5, 9))
def test_every_example_is_equally_likely_at_every_place(examples):
    batches = shuffled(examples, 2).batch_sampler
    orders = np.array([[*itertools.chain(*batches)] for _ in range(5000)])

    look_uniformly_shuffled(orders)


@claim("dataloader-shuffle-visits-each-example-once")
@over(drop_last=among(False, True))
def test_every_order_of_three_examples_is_as_likely_and_so_is_who_is_left_out(drop_last):
    for data, about in (([], "num_samples"), (ChainDataset([]), "IterableDataset")):
        with pytest.raises(ValueError, match=about):
            DataLoader(data, 2, shuffle=True, drop_last=drop_last)
    loader = shuffled(3, 2, drop_last=drop_last)
    drawn = [tuple(itertools.chain(*loader.batch_sampler)) for _ in range(800)]

    orders = [*itertools.permutations(range(3), len(drawn[0]))]
    occur_as_often(np.array([[order == each for each in orders] for order in drawn]), 1 / len(orders), len(orders))
    assert set(drawn) <= set(orders)


@claim("minibatch-is-uniform-random-sample")
@claim("dataloader-shuffle-visits-each-example-once")
def test_long_orders_their_inverses_and_what_leads_from_one_epoch_to_the_next_keep_no_neighbours_together():
    """Of a random order of 2500: rises have mean 1249.5 and deviation 14.4; the number of pairs that stay neighbours,
    and of pairs at any one distance, are Poisson of mean 2 and 1, above 25 and 18 once in 10**12 times.
    """
    loader = shuffled(2500, 256)
    first, second = np.array(order_of(loader)), np.array(order_of(loader))

    assert sorted(first) == sorted(second) == [*range(2500)]
    for order in (first, second, np.argsort(first), np.argsort(first)[second]):
        assert abs(np.corrcoef(order, np.arange(2500))[0, 1]) < 6.5 / math.sqrt(2500)
        assert abs((np.diff(order) > 0).sum() - 1249.5) < 100
        assert (np.abs(np.diff(order)) == 1).sum() < 25
        assert max(Counter(np.diff(order) % 2500).values()) < 18
        assert max(Counter((order - np.arange(2500)) % 2500).values()) < 18
        for parts in (2, 3, 8):  # neighbours of any two kinds are as frequent, by what is left and by the size
            for kinds in (order % parts, order * parts // 2500):
                frequent = np.bincount(kinds[1:] * parts + kinds[:-1], minlength=parts**2) - 2499 / parts**2
                assert np.abs(frequent).max() < 8.5 * math.sqrt(2499 / parts**2)  # deviations: once in 10**12 times
    many = [*itertools.chain(*shuffled(70_001, 4096).batch_sampler)]
    assert sorted(many) == [*range(70_001)]


@claim("dataloader-shuffle-visits-each-example-once")
@claim("minibatch-is-uniform-random-sample")
@over(seed=whole(0, 2**31, 1))
def test_no_order_comes_again_in_later_epochs_nor_in_new_loaders_but_with_the_seed(seed):
    loader, data = shuffled(60, seed=seed), TensorDataset(torch.arange(60, device="cpu"))
    with torch.device("cpu"):  # where a loader without a generator draws
        orders = [order_of(DataLoader(data, 10, shuffle=True)) for _ in range(6)]
        orders += [order_of(way(DataLoader(data, 10, shuffle=True))) for way in (copy.copy, copy.deepcopy) * 2]
        torch.manual_seed(torch.initial_seed())
        again = order_of(DataLoader(data, 10, shuffle=True))
        torch.manual_seed(torch.initial_seed())
        assert order_of(DataLoader(data, 10, shuffle=True)) == again
        assert order_of(DataLoader(data, 10)) == [*range(60)]

    orders += [order_of(loader), order_of(shuffled(60, seed=seed + 1))]
    assert orders[-2] == order_of(shuffled(60, seed=seed))
    at_once = zip(*((one.tolist(), other.tolist()) for (one, _), (other, _) in zip(loader, loader)))
    orders += map(order_of, [shuffled(60, 60, seed + 2)] * 2)  # whose epochs are one mini-batch
    orders += [*map(order_of, [loader] * 6), *([*itertools.chain(*batches)] for batches in at_once)]
    assert len({tuple(range(60)), *map(tuple, orders)}) == 23
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(60))}


@claim("dataloader-shuffle-visits-each-example-once")
@over(size=whole(1, 40, 9), more=whole(1, 9), batch=among(1, 4, 64))
def test_an_epoch_has_exactly_the_examples_that_are_in_the_data_when_it_begins(size, more, batch):
    data = [*range(size)]
    with torch.device("cpu"):  # on which the loader shuffles
        loader = DataLoader(data, batch, shuffle=True)
    for change in (lambda: None, lambda: data.extend(range(size, size + more)), lambda: data.pop()):
        change()
        with torch.device("cpu"):
            assert sorted(number for numbers in loader for number in numbers.tolist()) == data


FORKED = {"num_workers": 2, "multiprocessing_context": "fork"}


def epochs_of(count, shuffle, drop_last, **processes):
    """The mini-batches of so many epochs of one loader, of 23 numbers and their labels, which are equal."""
    torch.manual_seed(7)
    with torch.device("cpu"):  # as a child of this process can read them
        loader = DataLoader(TensorDataset(*[torch.arange(23)] * 2), 3, shuffle, drop_last=drop_last, **processes)
        return [[[part.tolist() for part in batch] for batch in loader] for _ in range(count)]


@claim("dataloader-yields-minibatches", "dataloader-shuffle-visits-each-example-once")
@pytest.mark.skipif(sys.platform != "linux", reason="forking is safe on Linux alone; elsewhere processes import anew")
@over(options=among((False, True), (True, False)))
def test_processes_that_read_for_the_loader_change_neither_the_mini_batches_nor_their_order(options):
    """In two epochs, of which each has an order of its own if they are shuffled."""
    drop_last, shuffle = options
    alone, forked = (epochs_of(2, shuffle, drop_last, **processes) for processes in ({}, FORKED))
    assert alone == forked
    assert (alone[0] == alone[1]) is not shuffle
    assert len(forked[0]) == 8 - drop_last


@claim("dataloader-yields-minibatches", "dataloader-shuffle-visits-each-example-once")
@pytest.mark.skipif(sys.platform != "linux", reason="forking is safe on Linux alone; elsewhere processes import anew")
@over(options=among((False, False), (True, True)))
def test_processes_that_stay_give_each_example_at_most_once_in_every_epoch(options):
    drop_last, shuffle = options
    epochs = epochs_of(3, shuffle, drop_last, **FORKED, persistent_workers=True)
    orders = [[n for numbers, _ in batches for n in numbers] for batches in epochs]

    assert {len(order) for order in orders} == {21 if drop_last else 23}
    assert all(len({*order}) == len(order) and {*order} <= {*range(23)} for order in orders)
    assert len({*map(tuple, orders)}) == (3 if shuffle else 1)
    assert all(numbers == labels for batches in epochs for numbers, labels in batches)
