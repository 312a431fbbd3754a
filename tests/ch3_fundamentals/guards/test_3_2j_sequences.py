"""3.2 Networks of sequences: labels that are told without their places, and attention with heads of every width."""

import itertools

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, HALVES, SINGLE_AND_DOUBLE, Twin, agree, among, each, over
from populations.comparing import accepted
from populations.gradients import weights_for
from populations.initialisers import RELEASE
from torch.nn import functional as F

claim = pytest.mark.claim

LAYOUTS = ("contiguous", "transposed", "gappy", "offset")
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
    sequences=each(*SEQUENCES),
    reduction=each("none", "mean", "sum"),
    dtype=each(*SINGLE_AND_DOUBLE),
    how=among(*zip(3 * LAYOUTS, 4 * (0, 1, 2), 6 * (False,) + 6 * (True,))),
)
def test_the_loss_of_labels_without_places_is_that_of_all_paths_that_spell_them(sequences, reduction, dtype, how):
    layout, blank, joined = how
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


def told(*shape, shown):
    """A mask of this shape, or a bias, in which no two heads or examples are alike, and each row shows something."""
    random = np.random.default_rng(0)
    numbers = random.random(shape) < 2 / 3 if shown else random.integers(-2, 3, shape) / 2
    if shown:
        numbers[..., 0] |= ~numbers.any(-1)
    of_heads = numbers.reshape(-1, shape[-2] * shape[-1])
    assert len({each.tobytes() for each in of_heads}) == len(of_heads)
    return numbers


# What each of ``n`` places may hear of ``m`` others: options of the function, and what is added to the scores.
HEARD = {
    "all": lambda b, h, n, m: ({}, np.zeros((n, m))),
    "what was before": lambda b, h, n, m: ({"is_causal": True}, np.where(np.tri(n, m) > 0, 0, -np.inf)),
    **{
        f"by a {what} {whose}": lambda b, h, n, m, sizes=sizes, what=what: (
            {"attn_mask": told(*sizes(b, h), n, m, shown=what == "mask")},
            None,
        )
        for what in ("mask", "bias")
        for whose, sizes in (
            ("for all", lambda b, h: ()),
            ("of each example", lambda b, h: (b, 1)),
            ("of each head", lambda b, h: (1, h)),
            ("of its own", lambda b, h: (b, h)),
        )
    },
}
# Examples, heads, places that hear, places that are heard, the width of a head.
HEADS = ((2, 3, 5, 5, 4), (1, 2, 9, 6, 64), (2, 2, 6, 33, 80), (1, 1, 65, 65, 8), (3, 1, 1, 7, 128))
# How queries, keys and values lie: "side by side" as a layer makes them, with the heads of each place together;
# "shared" by all heads, for which they are repeated without a copy.
LAID = (
    *(("contiguous",) * 3, ("side by side",) * 3, ("transposed",) * 3, ("gappy",) * 3),
    *(("contiguous", "contiguous", "side by side"), ("contiguous", "shared", "shared")),
)
CASES = [(sizes, how, 1) for n, sizes in enumerate(HEADS) for m, how in enumerate(LAID) if (2 * n + m) % 5 > 1]
CASES.append((HEADS[1], LAID[1], 256))  # products of larger numbers exceed what half precision holds


def heads(dtype, sizes, how, seed, change):
    """Quarters, changed, as (examples, heads, places, width), and the array of them."""
    b, h, n, w = sizes
    parts = {"side by side": (b, n, h, w), "shared": (b, 1, n, w)}
    twin = Twin(dtype, parts.get(how, sizes), "offset" if how in parts else how, "fractions", seed=seed)
    array = change(twin.array())
    x = twin.tensor(array)
    if how == "side by side":
        return x.transpose(1, 2), array.swapaxes(1, 2)
    return x.expand(sizes), np.broadcast_to(array, sizes)


@claim("nn-builds-on-autograd")
@pytest.mark.usefixtures("products_in_full")
@pytest.mark.skipif(RELEASE < (2, 7), reason=f"torch {torch.__version__} has attention of fewer kinds")
@over(
    EVERY_MODE,
    heard=each(*HEARD),
    case=among(*CASES),
    dtype=each(*SINGLE_AND_DOUBLE, *reversed(HALVES)),
)
def test_attention_is_the_mean_of_what_is_heard_by_the_softmax_of_the_scores(heard, case, dtype):
    """Eighths from -2 to 2 make scores of which most are between -3 and 3, so that shares differ much; in half
    precision both are rounded to its eps. Of larger numbers one alone is heard. What is heard has a mean of 1.
    """
    (b, h, n, m, w), laid, large = case
    changes = lambda a: a / 2 * large, lambda a: a / 2 * large, lambda a: a + 1
    (q, one), (k, two), (v, three) = (
        heads(dtype, (b, h, places, w), how, seed, change)
        for seed, (places, how, change) in enumerate(zip((n, m, m), laid, changes))
    )
    options, added = HEARD[heard](b, h, n, m)
    if "attn_mask" in options:
        mask = options["attn_mask"]
        added = np.where(mask, 0, -np.inf) if mask.dtype == bool else mask
        options = {"attn_mask": torch.from_numpy(mask).to(q.device, torch.bool if mask.dtype == bool else dtype)}
    scores = one.astype(float) @ two.swapaxes(-1, -2) / np.sqrt(w) + added
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    expected = shares / shares.sum(-1, keepdims=True) @ three
    found = F.scaled_dot_product_attention(q, k, v, **options)

    assert (found.shape, found.dtype, found.device) == (expected.shape, q.dtype, q.device)
    agree(found, expected, 16 if dtype in HALVES else 64, 5)
