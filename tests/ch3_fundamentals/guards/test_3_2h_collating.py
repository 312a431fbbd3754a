"""3.2 Mini-batches put together by a function of one's own, and examples that are not put together at all."""

import numpy as np
import pytest
import torch
from populations import ANY, agree, among, over, twins
from torch.utils.data import DataLoader, TensorDataset

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
