"""3.2 Networks: the loss of a sequence whose labels are told without their places."""

import itertools

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, Twin, agree, among, each, over
from populations.comparing import accepted
from populations.gradients import weights_for
from torch.nn import functional as F

claim = pytest.mark.claim

# For each sequence its steps and its labels, the first or second of those that are no blank.
SEQUENCES = (
    ((4, (0,)),),
    ((3, (0, 1)), (4, (1, 1))),
    ((4, ()), (2, (1,)), (3, (0, 1, 0))),
    ((1, (0,)), (4, (1,)), (3, ()), (4, (0, 1, 1))),
)


def spelled(chances, labels, blank):
    """The probability of all paths that give these labels, when what follows itself counts once and blanks do not; and
    the share of it that goes through each class at each step.
    """
    through = np.zeros(chances.shape)
    for path in itertools.product(range(chances.shape[1]), repeat=len(chances)):
        if [each for each, _ in itertools.groupby(path) if each != blank] == labels:
            through[np.arange(len(path)), path] += chances[np.arange(len(path)), path].prod()
    return through[0].sum(), through / through[0].sum()


@claim("nn-builds-on-autograd")
@over(
    sequences=among(*SEQUENCES),
    reduction=each("none", "mean", "sum"),
    dtype=each(*SINGLE_AND_DOUBLE),
    blank=among(0, 1, 2),
    layout=among("contiguous", "transposed", "gappy", "offset"),
    joined=among(False, True),
)
def test_the_loss_of_labels_without_places_is_that_of_all_paths_that_spell_them(
    sequences, reduction, dtype, blank, layout, joined
):
    x, array = Twin(dtype, (4, len(sequences), 3), layout, "fractions", grad=True)
    chances = np.exp(array.astype(float)) / np.exp(array.astype(float)).sum(2, keepdims=True)
    steps = [each for each, _ in sequences]
    labels = [[(0, 1, 2)[blank - 2 + each] for each in told] for _, told in sequences]  # no blank is among them
    sizes = [*map(len, labels)]
    padded = [told + [(blank + 1) % 3] * (max(sizes) - len(told)) for told in labels]
    targets = torch.tensor([*itertools.chain(*labels)] if joined else padded, device=x.device)
    loss = accepted(F.ctc_loss, x.log_softmax(2), targets, tuple(steps), tuple(sizes), blank, reduction)
    weights, factors = weights_for(loss)
    loss.backward(weights)

    total, through = zip(*(spelled(chances[:end, n], labels[n], blank) for n, end in enumerate(steps)))
    each_one, shares = -np.log(total), np.maximum(sizes, 1)
    values = {"none": each_one, "mean": (each_one / shares).mean(), "sum": each_one.sum()}[reduction]
    slopes = {"none": factors, "mean": factors / shares / len(steps), "sum": factors * np.ones(len(steps))}[reduction]
    expected = np.zeros(array.shape)
    for n, end in enumerate(steps):
        expected[:end, n] = (chances[:end, n] - through[n]) * slopes[n]
    agree(loss, np.asarray(values), 32, 1)
    # exponentials of differences of logarithms that are of the size of the losses, as are their roundings
    agree(x.grad, expected, 32 * max(1, each_one.max()), np.abs(slopes).max())


@claim("nn-builds-on-autograd")
@over(case=among((3, torch.float64), (130, torch.float32), (1025, torch.float32)))
def test_where_each_step_has_a_label_one_path_alone_spells_them_however_many_they_are(case):
    count, dtype = case
    x, array = Twin(dtype, (count, 1, 3), values="fractions", grad=True)
    labels, places = 1 + np.arange(count) % 2, np.arange(count)
    targets = torch.from_numpy(labels)[None].to(x.device)
    loss = F.ctc_loss(x.log_softmax(2), targets, (count,), (count,), reduction="sum")
    loss.backward()

    chances = np.exp(array.astype(float)) / np.exp(array.astype(float)).sum(2, keepdims=True)
    expected = -np.log(chances[places, 0, labels]).sum()
    agree(loss, expected, 32 + count)  # it adds up one step after the other
    chances[places, 0, labels] -= 1
    agree(x.grad, chances, 32 * max(1, expected), 1)
