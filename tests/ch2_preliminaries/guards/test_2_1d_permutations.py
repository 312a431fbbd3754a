"""2.1 Creating tensors: random permutations, of any length and dtype.

The bounds are those of populations.statistics: crossed by right samplers less than once in 1e12 comparisons.
"""

import math
from itertools import cycle, permutations, product

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, Twin, among, over, untouched
from populations.comparing import accepted, host
from populations.statistics import look_mixed, look_uniformly_shuffled, occur_as_often

claim = pytest.mark.claim

SIZES = (
    *product((0, 1, 2, 3, 15, 33, 257, 2049, 32_768), (torch.int64, torch.int32, torch.int16)),
    *((256, torch.uint8), (128, torch.int8)),  # as many numbers as a dtype counts from 0 on
    *((32_769, torch.int32), (101_796, torch.int64), (200_000, torch.int32)),  # more than 15 bits can count
    (300_000, torch.int64),  # and more than 18
)


@claim("randperm-permutes")
@over(EVERY_MODE, size=among(*SIZES))
def test_each_number_below_m_occurs_exactly_once(size):
    m, dtype = size
    output, _ = Twin(dtype, (m,), "gappy")
    given = ((m,), {"dtype": dtype}), ((), {"n": m, "dtype": dtype}), ((m,), {"out": output})
    for x in (accepted(torch.randperm, *place, **named) for place, named in given):
        assert (x.shape, x.dtype) == ((m,), dtype)
        assert np.array_equal(np.sort(host(x)), np.arange(m))
    untouched(output)
    assert torch.randperm(m).dtype == torch.int64


def shuffled(count, own, m, **named):
    """``count`` permutations, by the common generator or by one of their own."""
    seeded = torch.Generator(torch.empty(0).device).manual_seed(torch.initial_seed())
    generator = {"generator": seeded} if own else {}
    return torch.stack([torch.randperm(m, **named, **generator) for _ in range(count)])


@claim("randperm-permutes")
@over(
    kind=among(  # each length and each dtype meets both
        *zip(product((torch.int64, torch.int32, torch.int16, torch.float32), (2, 3, 5, 6, 10)), cycle((False, True)))
    )
)
def test_each_number_comes_equally_often_to_each_place(kind):
    (dtype, m), own = kind
    look_uniformly_shuffled(host(shuffled(1000, own, m, dtype=dtype)))


@claim("randperm-permutes")
@over(m=among(12, 65, 258, 2049), own=among(False, True))
def test_some_number_of_a_long_permutation_keeps_its_place_as_often_as_chance_has_it(m, own):
    """No number is where a given permutation has it with a probability of 1/e, up to 1/m!, which is below 1e-8."""
    orders, kept = host(shuffled(200, own, m)), np.arange(m)
    places = kept, np.roll(kept, 1), np.roll(kept, -1), kept[::-1]
    found = np.stack([(orders == place).any(1) for place in places], axis=1)
    occur_as_often(found, 1 - math.exp(-1), cases=len(places), grain=1e-8)


@claim("randperm-permutes")
def test_all_permutations_of_four_are_equally_likely():
    """Swapping each place with any other, the usual mistake, makes some a third too frequent: 20,000 draws show it."""
    orders = host(torch.stack([torch.randperm(4) for _ in range(20_000)])) @ [64, 16, 4, 1]
    codes = np.array(list(permutations(range(4)))) @ [64, 16, 4, 1]

    occur_as_often(orders[:, None] == codes, 1 / 24, cases=24)


@claim("randperm-permutes")
@over(EVERY_MODE, size=among(*(size for size in SIZES if size[0] > 30_000)))
def test_a_long_permutation_forgets_the_order(size):
    """Of fewer numbers than 15 bits count, and of more than 16 do."""
    m, dtype = size
    look_mixed(torch.randperm(m, dtype=dtype).cpu().numpy().astype(np.int64))
