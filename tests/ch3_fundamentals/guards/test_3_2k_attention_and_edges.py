"""3.2 Networks: attention with heads of every width, and what is laid around images and sequences however long."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, HALVES, SINGLE_AND_DOUBLE, Twin, agree, among, each, over
from populations.gradients import weights_for
from populations.initialisers import RELEASE
from torch.nn import functional as F

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


def told(*shape, shown):
    """A mask of this shape, or a bias, in which no two heads or examples are alike, and each row shows something."""
    random = np.random.default_rng(0)
    numbers = random.random(shape) < 2 / 3 if shown else random.integers(-2, 3, shape) / 2
    if shown:
        numbers[..., 0] |= ~numbers.any(-1)
    of_heads = numbers.reshape(-1, shape[-2] * shape[-1])
    assert len(np.unique(of_heads, axis=0)) == len(of_heads)
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
CASES = [(sizes, how) for n, sizes in enumerate(HEADS) for m, how in enumerate(LAID) if (2 * n + m) % 5 > 1]


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
@pytest.mark.skipif(RELEASE < (2, 7), reason=f"torch {torch.__version__} has attention of fewer kinds")
@over(
    EVERY_MODE,
    heard=each(*HEARD),
    case=among(*CASES),
    dtype=each(*SINGLE_AND_DOUBLE, *reversed(HALVES)),
)
def test_attention_is_the_mean_of_what_is_heard_by_the_softmax_of_the_scores(heard, case, dtype):
    """Eighths from -2 to 2 make scores of which most are between -3 and 3, so that shares differ much; in half
    precision both are rounded to its eps. What is heard has a mean of 1.
    """
    (b, h, n, m, w), laid = case
    changes = lambda a: a / 2, lambda a: a / 2, lambda a: a + 1
    (q, one), (k, two), (v, three) = (
        heads(dtype, (b, h, places, w), how, seed, change)
        for seed, (places, how, change) in enumerate(zip((n, m, m), laid, changes))
    )
    options, added = HEARD[heard](b, h, n, m)
    if "attn_mask" in options:
        mask = options["attn_mask"]
        added = np.where(mask, 0, -np.inf) if mask.dtype == bool else mask
        options = {"attn_mask": torch.from_numpy(mask).to(q.device, torch.bool if mask.dtype == bool else dtype)}
    scores = (one @ two.swapaxes(-1, -2)).astype(float) / np.sqrt(w) + added
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    expected = shares / shares.sum(-1, keepdims=True) @ three
    found = F.scaled_dot_product_attention(q, k, v, **options)

    assert (found.shape, found.dtype, found.device) == (expected.shape, q.dtype, q.device)
    agree(found, expected, 16 if dtype in HALVES else 64, 5)


MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "constant": "constant"}
# The shape of what is padded, and by how much at the beginning and end of its last dimensions, the last one first.
LONG = (
    ((1, 1, 70_001), (3, 2)),
    ((1, 2, 65_537), (1, 4)),
    ((65_537, 1, 3), (2, 1)),
    ((1, 65_539, 3), (1, 2)),
    ((3, 2, 5, 6), (2, 1, 0, 3)),
    ((65_537, 1, 2, 2), (1, 1, 1, 0)),
    ((1, 65_538, 2, 2), (1, 1, 1, 1)),
    ((1, 2, 3, 4, 5), (2, 1, 1, 0, 1, 2)),
)


@claim("nn-builds-on-autograd")
@over(mode=each(*MODES), case=among(*LONG), layout=among("transposed", "offset"))
def test_padding_hands_back_to_each_number_the_sum_of_the_gradients_of_its_copies(mode, case, layout):
    shape, pad = case
    x, array = Twin(torch.float32, shape, layout, grad=True, second=layout == "offset")
    edges = [(0, 0)] * (array.ndim - len(pad) // 2) + [*zip(pad[::2], pad[1::2])][::-1]
    options = {"constant_values": 3} if mode == "constant" else {}
    number = {"value": 3.0} if mode == "constant" else {}
    found = F.pad(x, pad, mode, **number)
    agree(found, np.pad(array, edges, MODES[mode], **options))
    weights, factors = weights_for(found)
    (slope,) = torch.autograd.grad(found, x, weights)

    options = {"constant_values": array.size} if mode == "constant" else {}
    origin = np.pad(np.arange(array.size).reshape(array.shape), edges, MODES[mode], **options).ravel()
    sums = np.bincount(origin, factors.ravel(), array.size + 1)[: array.size]
    agree(slope, sums.reshape(array.shape))
