"""3.2 Linear regression in PyTorch: the data

The rest of section 3.2 builds linear regression from PyTorch's parts. Its data set is synthetic: we choose the
parameters, compute the labels from random features, add a little noise, and see later whether training finds the
parameters again. A `TensorDataset` pairs each row of the features with its label; a `DataLoader` cuts the pairs into
**mini-batches**, in order or shuffled. One pass over the whole data set is an **epoch**.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

claim = pytest.mark.claim


# ── synthetic-regression-data ──


def make_data(examples):
    features = torch.tensor(np.random.normal(0, 1, (examples, 2)), dtype=torch.float32)
    noise = torch.tensor(np.random.normal(0, 0.01, examples), dtype=torch.float32)
    return features, 2 * features[:, 0] - 3.4 * features[:, 1] + 4.2 + noise


@claim("synthetic-regression-data")
def test_the_data_set_has_1000_float32_examples_of_two_features():
    features, labels = make_data(1000)

    assert (features.shape, labels.shape) == ((1000, 2), (1000,))
    assert (features.dtype, labels.dtype) == (torch.float32, torch.float32)
    assert features.unique().numel() > 1900  # of 2000: all 24 bits are used; half precision would leave far fewer


@claim("synthetic-regression-data")
def test_the_features_are_standard_normal():
    """With n = 20000, 6.5 standard errors: 1 / sqrt(n) for a mean, 1 / sqrt(2 n) for a standard deviation."""
    features, _ = make_data(20000)

    assert features.mean(dim=0).tolist() == pytest.approx([0, 0], abs=0.046)
    assert features.std(dim=0).tolist() == pytest.approx([1, 1], abs=0.033)
    within_one = (features.abs() < 1).float().mean(dim=0)  # 68.3 % of a normal, 57.7 % of a uniform distribution
    assert within_one.tolist() == pytest.approx([0.6827, 0.6827], abs=0.0214)  # 6.5 sqrt(0.6827 * 0.3173 / n)


@claim("synthetic-regression-data")
def test_the_labels_are_the_weighted_sum_plus_noise_of_deviation_a_hundredth():
    """With n = 20000, 6.5 standard errors: 0.01 / sqrt(n) for a mean, 0.01 / sqrt(2 n) for a standard deviation."""
    features, labels = make_data(20000)
    x = features.cpu().numpy().astype("float64")

    noise = labels.cpu().numpy() - (2 * x[:, 0] - 3.4 * x[:, 1] + 4.2)

    assert noise.mean() == pytest.approx(0, abs=0.01 * 0.046)
    assert noise.std() == pytest.approx(0.01, abs=0.01 * 0.033)
    assert (x.T @ noise / 20000).tolist() == pytest.approx([0, 0], abs=0.01 * 0.046)  # independent of the features


# ── dataloader-yields-minibatches ──


@claim("dataloader-yields-minibatches")
def test_a_mini_batch_holds_ten_examples_with_their_labels():
    features, labels = torch.arange(2000.0).reshape(1000, 2), torch.arange(1000.0) / 8

    batches = list(DataLoader(TensorDataset(features, labels), batch_size=10))

    assert len(batches) == 100
    assert all(x.shape == (10, 2) and y.shape == (10,) for x, y in batches) is True
    x, y = batches[3]
    assert x.tolist() == [[2.0 * i, 2.0 * i + 1] for i in range(30, 40)]
    assert y.tolist() == [i / 8 for i in range(30, 40)]


@claim("dataloader-yields-minibatches")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_mini_batches_keep_the_dtype(dtype):
    data = TensorDataset(torch.ones(4, 3, dtype=dtype), torch.zeros(4, dtype=torch.int32))

    x, y = next(iter(DataLoader(data, batch_size=3)))

    assert (x.dtype, y.dtype) == (dtype, torch.int32)


@claim("dataloader-yields-minibatches")
@given(examples=st.integers(1, 40), batch_size=st.integers(1, 12))
@example(examples=3, batch_size=10)
def test_the_last_batch_is_smaller_where_the_size_does_not_divide(examples, batch_size):
    data = TensorDataset(torch.arange(examples), -torch.arange(examples))
    loader = DataLoader(data, batch_size)

    batches = list(loader)

    assert [i for x, _ in batches for i in x.tolist()] == list(range(examples))
    assert [-i for _, y in batches for i in y.tolist()] == list(range(examples))
    assert [len(x) for x, _ in batches[:-1]] == [batch_size] * (math.ceil(examples / batch_size) - 1)
    assert len(loader) == len(batches)


@claim("dataloader-yields-minibatches")
def test_features_and_labels_must_be_equally_many():
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(torch.ones(10, 2), torch.ones(9))


@claim("dataloader-yields-minibatches")
def test_a_second_pass_yields_the_same_mini_batches():
    loader = DataLoader(TensorDataset(torch.arange(7)), batch_size=3)

    first, second = ([x.tolist() for (x,) in loader] for _ in range(2))

    assert first == second == [[0, 1, 2], [3, 4, 5], [6]]


# ── dataloader-shuffle-visits-each-example-once ──


@claim("dataloader-shuffle-visits-each-example-once")
def test_each_epoch_is_a_new_permutation_of_the_data_set(generator):
    """The chance that an order of 103 examples is sorted, or that of another epoch, is 1 in 103!."""
    loader = DataLoader(TensorDataset(torch.arange(103)), batch_size=10, shuffle=True, generator=generator)

    orders = [tuple(i for (x,) in loader for i in x.tolist()) for _ in range(4)]

    assert [sorted(order) for order in orders] == [list(range(103))] * 4
    assert len({*orders, tuple(range(103))}) == 5


@claim("dataloader-shuffle-visits-each-example-once")
def test_the_order_is_no_regular_walk_through_the_data_set(generator):
    """Few orders go on by one of ten distances: under 103**11 * 10**103 of 103!, a share below 1e-35."""
    loader = DataLoader(TensorDataset(torch.arange(103)), batch_size=10, shuffle=True, generator=generator)

    order = [i for (x,) in loader for i in x.tolist()]

    assert len({(later - earlier) % 103 for earlier, later in pairwise(order)}) > 10


@claim("dataloader-shuffle-visits-each-example-once")
def test_the_first_batch_is_drawn_from_the_whole_data_set(generator):
    """Hoeffding: 35 more or fewer than 50 of 100 are from the first half with probability under 5e-11."""
    loader = DataLoader(TensorDataset(torch.arange(1000)), batch_size=100, shuffle=True, generator=generator)

    (batch,) = next(iter(loader))

    assert (batch < 500).sum().item() == pytest.approx(50, abs=35)


@claim("dataloader-shuffle-visits-each-example-once")
def test_shuffling_puts_different_examples_together_in_each_epoch(generator):
    """It shuffles the examples, not ready-made batches: the chance that one batch recurs is under 1e-10."""
    loader = DataLoader(TensorDataset(torch.arange(100)), batch_size=10, shuffle=True, generator=generator)

    first, second = ({frozenset(x.tolist()) for (x,) in loader} for _ in range(2))

    assert first & second == set()


@claim("dataloader-shuffle-visits-each-example-once")
def test_shuffling_keeps_each_label_with_its_features(generator):
    features = torch.arange(50.0)
    data = TensorDataset(features.reshape(25, 2), 10 * features[::2])

    batches = list(DataLoader(data, batch_size=4, shuffle=True, generator=generator))

    assert [len(y) for _, y in batches] == [4] * 6 + [1]
    for x, y in batches:
        assert y.tolist() == (10 * x[:, 0]).tolist()
        assert (x[:, 1] - x[:, 0]).tolist() == [1.0] * len(x)


@claim("dataloader-shuffle-visits-each-example-once")
def test_the_order_is_random_only_with_shuffle_and_repeats_with_the_generator_s_seed(generator, device):
    data = TensorDataset(torch.arange(100))
    again = torch.Generator(device).manual_seed(generator.initial_seed())

    def order(**options):
        return [i for (x,) in DataLoader(data, batch_size=8, **options) for i in x.tolist()]

    assert order() == list(range(100))
    assert order(shuffle=True, generator=generator) == order(shuffle=True, generator=again)
