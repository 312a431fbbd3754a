"""3.2 Mini-batches put together by functions and in orders of one's own, of examples of every kind, or not at all."""

import collections
import itertools
import math

import numpy as np
import pytest
import torch
from populations import ANY, agree, among, each, over, twins
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SubsetRandomSampler, TensorDataset
from torch.utils.data import WeightedRandomSampler as Weighted

claim = pytest.mark.claim


@claim("dataloader-yields-minibatches")
@over(
    twin=twins(ANY, shapes=((7, 3), (8,), (9, 2, 2), (1, 5))),
    batch_size=among(1, 2, 4, 20),
    drop_last=among(False, True),
)
def test_a_function_of_one_s_own_is_given_the_examples_of_each_mini_batch_in_order_and_its_result_is_handed_out(
    twin, batch_size, drop_last
):
    features, array = twin
    labels = torch.arange(len(array), device="cpu")
    given = TensorDataset(features, labels)

    def collate(examples):
        return [label.item() for _, label in examples], [numbers for numbers, _ in examples]

    batches = [*DataLoader(given, batch_size, drop_last=drop_last, collate_fn=collate)]
    rows = [[*range(start, min(start + batch_size, len(array)))] for start in range(0, len(array), batch_size)]
    assert [numbers for numbers, _ in batches] == [row for row in rows if len(row) == batch_size or not drop_last]
    for numbers, examples in batches:
        assert len(examples) == len(numbers)
        for example, number in zip(examples, numbers):
            agree(example, array[number])


@claim("dataloader-yields-minibatches")
@over(twin=twins(ANY, shapes=((7, 3), (9,), (1, 5))))
def test_without_a_batch_size_the_examples_come_one_by_one_as_they_are(twin):
    features, array = twin
    found = [*DataLoader(TensorDataset(features, torch.arange(len(array), device="cpu")), batch_size=None)]

    assert len(found) == len(array)
    for number, (example, label) in enumerate(found):
        assert (example.shape, label.item()) == (array.shape[1:], number)
        agree(example, np.asarray(array[number]))


ORDERS = {  # how a loader is told an order, a batch size, and whether a rest is left out
    "a list": lambda order, size, last: {"sampler": order, "batch_size": size, "drop_last": last},
    "an array": lambda order, size, last: {"sampler": np.array(order), "batch_size": size, "drop_last": last},
    "batches of a sampler": lambda order, size, last: {"batch_sampler": BatchSampler(order, size, last)},
    "lists": lambda order, size, last: {"batch_sampler": parts(order, size, last)},
}


def parts(order, size, last):
    """An order, cut into so many at a time; without the rest, if that is left out."""
    every = [order[start : start + size] for start in range(0, len(order), size)]
    return [part for part in every if len(part) == size or not last]


@claim("dataloader-yields-minibatches")
@over(
    twin=twins(ANY, shapes=((7, 3), (8,), (5, 1, 2))),
    how=each(*ORDERS),
    order=among([4, 0, 3, 1, 2], [2, 2, 0, 4], [1], [3, 2, 1, 0, 4, 3, 2, 1, 0]),
    size=among(1, 2, 4),
    last=among(False, True),
)
def test_examples_come_in_the_order_that_a_sampler_or_lists_of_one_s_own_tell_in_every_pass(
    twin, how, order, size, last
):
    features, array = twin
    loader = DataLoader(
        TensorDataset(features, torch.arange(len(array), device="cpu")), **ORDERS[how](order, size, last)
    )
    expected = parts(order, size, last)
    for _ in range(2):
        batches = [*loader]
        assert len(loader) == len(expected)
        assert [labels.tolist() for _, labels in batches] == expected
        for (found, _), chosen in zip(batches, expected):
            agree(found, array[chosen])


Pair = collections.namedtuple("Pair", ("number", "word"))
EXAMPLES = {  # what an example is, of a number, and a batch of them
    "fractions": (lambda n: n / 10, lambda a: torch.tensor(a / 10, dtype=torch.float64)),
    "whole numbers": (lambda n: 2**40 + n, lambda a: torch.tensor((2**40 + a).tolist())),
    "truths": (lambda n: n % 2 > 0, lambda a: torch.tensor(a % 2 > 0)),
    "words": (str, lambda a: [*map(str, a)]),
    "bytes": (lambda n: bytes([n]), lambda a: [bytes([n]) for n in a]),
    "numbers of half precision": (np.float16, lambda a: torch.tensor(a, dtype=torch.float16)),
    "arrays": (
        lambda n: np.array([[n, 2]], np.int16),
        lambda a: torch.tensor([[[n, 2]] for n in a], dtype=torch.int16),
    ),
    "arrays by columns": (
        lambda n: np.array([[n, 2, 3], [4, 5, n]], np.float32, order="F")[:, ::2],
        lambda a: torch.tensor([[[n, 3], [4, n]] for n in a], dtype=torch.float32),
    ),
    "pairs": (lambda n: (n / 10, str(n)), lambda a: [torch.tensor(a / 10), [*map(str, a)]]),
    "pairs with names": (lambda n: Pair(n, [n / 4]), lambda a: Pair(torch.tensor(a.tolist()), [torch.tensor(a / 4)])),
    "words for numbers": (
        lambda n: {"one": n, "more": {"two": [n / 2, n]}},
        lambda a: {"one": torch.tensor(a.tolist()), "more": {"two": [torch.tensor(a / 2), torch.tensor(a.tolist())]}},
    ),
}


def plain(thing):
    """Numbers and dtypes of all that a batch holds, by its names and places."""
    if isinstance(thing, torch.Tensor):
        return thing.dtype, thing.tolist()
    if isinstance(thing, dict):
        return {name: plain(each) for name, each in thing.items()}
    named = getattr(thing, "_fields", "a list or a tuple")
    return (named, *map(plain, thing)) if isinstance(thing, (list, tuple)) else thing


@claim("dataloader-yields-minibatches")
@over(kind=each(*EXAMPLES), size=among(1, 2, 3, 5))
def test_a_batch_holds_what_its_examples_hold_in_the_same_dtypes_and_order(kind, size):
    """As a batch of pairs of tensors is a pair of tensors, [X, y], one of other examples is of their parts."""
    example, batch = EXAMPLES[kind]
    with torch.device("cpu"):  # on which examples lie
        batches = [*DataLoader([example(n) for n in range(5)], size)]
        expected = [batch(np.arange(start, min(start + size, 5))) for start in range(0, 5, size)]
    assert [*map(plain, batches)] == [*map(plain, expected)]


DRAWN = {  # samplers of many examples, each drawn by itself, and their chances
    "with replacement": (lambda many: RandomSampler(range(5), True, many), [1 / 5] * 5),
    "of equal weights": (lambda many: Weighted([2.0] * 4, many), [1 / 4] * 4),
    "of several weights": (lambda many: Weighted([1, 0, 3, 4], many), [1 / 8, 0, 3 / 8, 1 / 2]),
}


def far(times, chance):
    """Bernstein: from its mean, how often out of so many something comes is that far with probability below 8e-11."""
    return 8 + math.sqrt(64 + 48 * times * chance * (1 - chance))


@claim("minibatch-is-uniform-random-sample")
@over(name=each(*DRAWN))
def test_examples_that_are_drawn_with_replacement_come_by_their_chances_whatever_came_before(name):
    """What is uniform is drawn so too where examples may come again; other weights are other chances."""
    make, chances = DRAWN[name]
    with torch.device("cpu"):
        drawn = [*make(4000)]
    pairs = collections.Counter(zip(drawn[::2], drawn[1::2]))

    assert len(drawn) == 4000
    for number, chance in enumerate(chances):
        assert abs(drawn.count(number) - 4000 * chance) < (far(4000, chance) if chance else 1)
    for (one, first), (other, second) in itertools.product(enumerate(chances), repeat=2):
        assert abs(pairs[one, other] - 2000 * first * second) < far(2000, first * second)
    same = sum(chance**2 for chance in chances)
    assert abs(sum(pairs[number, number] for number in range(len(chances))) - 2000 * same) < far(2000, same)


@claim("minibatch-is-uniform-random-sample")
@over(chosen=among([3, 1, 4], [0, 2], [7, 7, 5]))
def test_sampled_examples_each_come_once_and_in_every_order(chosen):
    with torch.device("cpu"):
        drawn = collections.Counter(tuple(SubsetRandomSampler(chosen)) for _ in range(2000))
    orders = collections.Counter(itertools.permutations(chosen))  # of what is there twice, some are the same
    assert {*drawn} == {*orders}
    for order, ways in orders.items():
        assert abs(drawn[order] - 2000 * ways / orders.total()) < far(2000, ways / orders.total())
