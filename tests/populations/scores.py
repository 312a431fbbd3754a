"""The scores and labels on which softmax and the cross entropy are tried."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from hypothesis import strategies as st

from populations.core import Population
from populations.entropy import log_softmax, one_hot
from populations.layers import COMPUTED, summed
from populations.layouts import arranged, once
from populations.twins import KINDS, LAYOUTS, RARER, Twin

# ── scores: what softmax and the losses are given ──

# Shapes and the dimension of the classes in them: one, two, one past powers of two, any dimension, many rows, none.
CLASSES = (
    *(((1,), 0), ((2,), 0), ((15,), -1), ((257,), 0), ((65537,), 0)),
    *(((1, 2), 1), ((3, 257), 1), ((1025, 2), 0), ((200, 3), 1), ((2, 511), -1), ((5, 5), 0), ((3, 3), 1)),
    *(((2049, 3), 1), ((4, 3, 2), 1), ((2, 3, 4, 5), 1), ((2, 3, 2, 1, 9), -1), ((3, 4, 2), -2), ((0, 3), 1)),
    *(((2, 4, 3, 5), -2), ((1, 3, 4, 2), 1), ((5, 1), 1), ((3, 2, 4), 0), ((2, 3, 3, 4), -4), ((1, 3), 0)),
    *(((2, 1, 3), 1), ((4, 1037), 0)),
)
LONG = 1025  # more than so many classes or samples cost a millisecond: each such shape is met once, and not drawn
# How far off the far scores lie: whole numbers beside it are exact in the dtype, and its exponential is not finite.
FAR = {torch.float64: 1e15, torch.float32: 1e7, torch.float16: 1e3, torch.bfloat16: 1e2, torch.int64: 1e7}


@dataclass(frozen=True, repr=False)
class Scores(Twin):
    """A twin with classes along ``dim``. Further kinds of ``values``: "far", small whole numbers plus or minus FAR;
    "farther", 128 times small ones, 20,096 from zero; "apart", small ones, but every other score is -640, so that its
    exponential is 0 in float32; "masked", small ones, but those of classes 2, 5, 8, ... are minus infinity; "certain",
    1 for the first class and 0 for all others, which are probabilities as well.
    """

    dim: int = 0

    def array(self) -> np.ndarray:
        array = super().array()
        if self.values == "far":
            return array + np.asarray(FAR[self.dtype] * (-1) ** self.seed, array.dtype)
        if self.values == "farther":  # 128 divides 20,096, which bfloat16 holds
            return array * np.asarray(128, array.dtype) + np.asarray(20_096 * (-1) ** self.seed, array.dtype)
        if self.values == "certain":
            return (np.indices(array.shape)[self.dim] == 0).astype(array.dtype)
        if self.values in ("apart", "masked"):
            places = np.indices(array.shape)
            off = places.sum(0) % 2 if self.values == "apart" else places[self.dim] % 3 == 2
            array = np.where(off, np.asarray(-640 if self.values == "apart" else -np.inf, array.dtype), array)
            first = tuple(slice(size) for size in once(array.shape, self.layout))  # a layout may repeat these alone
            return np.ascontiguousarray(np.broadcast_to(array[first], array.shape))
        return array


def scores(
    dtypes: Sequence[torch.dtype] = COMPUTED,
    layouts: Sequence[str] = LAYOUTS,
    values: Sequence[str] = ("fractions", "far"),
    grad: Sequence[bool] = (False,),
) -> Population:
    """Scores of each of CLASSES, in turn of each dtype, layout and kind of values; drawn are other combinations.

    The halves have at most LONG classes: over more, a bound of theirs would say little.
    """
    met, must = dict.fromkeys(CLASSES), []
    for turn in range(max(2, len(dtypes))):  # a small shape meets each dtype, each with another layout; a long one one
        for index, (shape, dim) in enumerate(met):
            if (turn and shape[dim] > LONG) or (turn > 1 and np.prod(shape) > 128):
                continue
            dtype = dtypes[(index + turn) % len(dtypes)]
            if dtype in (torch.float16, torch.bfloat16) and shape[dim] > LONG:
                dtype = torch.float32
            must.append(
                Scores(
                    *(dtype, shape, layouts[(index + 2 * turn) % len(layouts)]),
                    values[(index + turn + index // len(dtypes)) % len(values)],
                    *(index % 2 == 1, grad[(index + turn) % len(grad)], index + turn, KINDS[index % len(KINDS)], dim),
                )
            )
    kinds = product(RARER if "expanded" in layouts else (), dtypes)
    rarer = [Scores(dtype, (3, 4, 33), layout, values[0], seed=5, dim=1) for layout, dtype in kinds]
    beyond = dtypes if "far" in values else ()
    must += [Scores(dtype, (2, 4, 3, 5), values="farther", seed=seed, dim=-2) for dtype in beyond for seed in (2, 3)]
    must += [Scores(dtype, (3, 257), values="far", seed=seed, dim=1) for dtype in beyond for seed in (2, 3)]
    small = [(shape, dim) for shape, dim in CLASSES if shape[dim] <= LONG]
    return Population(
        tuple(must),
        st.builds(
            lambda dtype, where, *rest, seed, kind: Scores(
                dtype, where[0], *rest, grad[seed % len(grad)], seed, kind, where[1]
            ),
            *(st.sampled_from(list(members)) for members in (dtypes, small, layouts, values)),
            st.booleans(),
            seed=st.integers(0, 2**32 - 1),
            kind=st.sampled_from(KINDS),
        ),
        rarer=tuple(rarer),
    )


# ── samples with labels: what the cross entropy is given ──


@dataclass(frozen=True)
class Labelled:
    """A recipe: ``scores, target, options, arrays = labelled`` for a cross entropy, and the arrays of its oracle.

    ``target`` says which: "indices", "probabilities", "one-hot" (as probabilities). ``weighted`` gives each class a
    weight of its own, all below 0 for every third seed, ``ignored`` labels every third sample with an index that is to
    be left out; "classes" is the first past the last class. No label names a masked class. ``arrays`` are the keywords
    of ``cross_entropy`` in ``populations.entropy``.
    """

    of: Scores
    target: str = "indices"
    weighted: bool = False
    ignored: int | str | None = None
    smoothing: float = 0.0
    reduction: str = "mean"

    def lacking(self) -> str | None:
        return self.of.lacking()

    def __iter__(self) -> Iterator:
        scores, array = self.of
        random = np.random.default_rng(self.of.seed + 1)
        classes = array.shape[self.of.dim]
        labels = np.asarray(random.integers(0, classes, np.delete(array.shape, self.of.dim)))
        # the last label is the first class, the last one, or any
        labels.reshape(-1)[-1:] = (0, classes - 1, labels.flat[-1:])[self.of.seed % 3]
        labels -= (labels % 3 == 2) & (self.of.values == "masked")
        options: dict = {"reduction": self.reduction, "label_smoothing": self.smoothing}
        arrays = {"scores": array, "target": labels, **options}
        if self.target == "probabilities":  # in 64ths, exact in every dtype; they need not add up to one
            arrays["target"] = random.integers(0, 64, array.shape, endpoint=True) / 64
        elif self.target == "one-hot":
            arrays["target"] = one_hot(labels, classes)
        elif self.ignored is not None:
            ignored = classes if self.ignored == "classes" else self.ignored
            options["ignore_index"] = arrays["ignore_index"] = ignored
            labels.reshape(-1)[1::3] = ignored
        buffer, strides, offset = arranged(np.asarray(arrays["target"]), LAYOUTS[self.of.seed % 4])
        dtype = torch.int64 if labels is arrays["target"] else scores.dtype
        target = torch.tensor(buffer, dtype=dtype, device="cpu").to(scores.device)
        if self.weighted:
            arrays["weight"] = random.integers(1, 8, classes, endpoint=True) / (4 if self.of.seed % 3 else -4)
            step = 1 + self.of.seed % 2  # with gaps or without
            weight = torch.tensor(np.repeat(arrays["weight"], step), dtype=scores.dtype, device="cpu")
            options["weight"] = weight.to(scores.device)[::step]
        yield scores
        yield target.as_strided(arrays["target"].shape, strides, offset)
        yield options
        yield arrays

    def in_bytes(self, target: torch.Tensor) -> torch.Tensor:
        """Labels as bytes where torch takes such: of no images, none below 0 or above 255, no weights and smoothing."""
        narrow = target if target.dim() > 1 or (self.weighted and self.smoothing) else target.byte()
        return narrow if self.target == "indices" and torch.equal(narrow.to(target), target) else target

    def roundings(self) -> float:
        """Of a loss, beside ``scale``: logarithm and exponential 4 each, then the sums over classes and samples."""
        classes = self.of.shape[self.of.dim]
        of_samples = 1 if self.reduction == "none" else math.prod(self.of.shape) // classes
        return 10 + summed(self.of.dtype, 2 * classes + of_samples)

    def scale(self, arrays: dict) -> float:
        """The size of the largest number on the way to the loss: a log probability, or the sum over all samples."""
        logs = np.abs(log_softmax(arrays["scores"], self.of.dim)) * np.abs(arrays.get("weight", 1)).max(initial=1)
        classes = logs.shape[self.of.dim]
        most = logs.max(initial=1, where=np.isfinite(logs)) * (classes if self.target == "probabilities" else 1)
        return float(most * (logs.size // classes if self.reduction == "sum" else 1))


# (samples, classes, ...): one and thousands, many classes, sequences, images; one sample without a batch
SAMPLES = (
    *((1, 2), (33, 10), (5, 1), (4, 257), (10,), (2, 1025), (70, 3), (4099, 2), (2, 65537), (3, 4, 2, 5), (2, 3, 7)),
    *((1, 3, 2, 5), (2, 3, 4, 4), (2, 3, 2, 3, 2), (5, 256)),
)


def labelled(
    dtypes: Sequence[torch.dtype] = COMPUTED,
    targets: Sequence[str] = ("indices",),
    weighted: Sequence[bool] = (False,),
    ignored: Sequence[int | str | None] = (None,),
    smoothing: Sequence[float] = (0.0,),
    reductions: Sequence[str] = ("mean",),
    values: Sequence[str] = ("fractions", "far"),
    grad: Sequence[bool] = (False, True),
    samples: Sequence[tuple[int, ...]] = (*SAMPLES, (0, 3)),
) -> Population:
    """Labelled scores of ``samples``, by default none too, in turn of each dtype and option; of images and of a table
    those far above and below zero in each dtype. Drawn are others.
    """
    must = []
    for turn in range(3):
        for index, shape in enumerate(samples):
            if turn and max(shape) > LONG:
                continue
            dtype = dtypes[(index + turn) % len(dtypes)]
            if dtype in (torch.float16, torch.bfloat16) and max(shape) > LONG:
                dtype = torch.float32
            n, m = index + turn, index + 2 * turn + index // 3  # two ways of going round, so that options mix
            of = Scores(
                *(dtype, shape, LAYOUTS[m % 5], values[n % len(values)], index % 2 == 1, grad[m % len(grad)], n),
                dim=min(1, len(shape) - 1),
            )
            weigh = weighted[(m + turn) % len(weighted)]  # in another turn the same shape otherwise
            smooth = smoothing[(n + m) % len(smoothing)]  # not with the weights
            rest = ignored[n % len(ignored)], smooth, reductions[n % len(reductions)]
            must.append(Labelled(of, targets[n % len(targets)], weigh, *rest))
    for shape in ((33, 10), *[shape for shape in samples if len(shape) == 4][-1:]) if "far" in values else ():
        images = (Scores(dtype, shape, values="far", seed=seed, dim=1) for dtype in dtypes for seed in (2, 3))
        must += [Labelled(of, targets[0], reduction=reductions[0]) for of in images]
    for n, (weigh, left) in enumerate(product(weighted, ignored)):  # side by side with the targets these miss some
        of = Scores(dtypes[n % len(dtypes)], (33, 10), values=values[0], seed=n, dim=1)
        must.append(Labelled(of, targets[0], weigh, left, smoothing[n // 2 % len(smoothing)], reductions[0]))
    rarer: list = []
    # one sample for all, one for all its places, and what lies with the classes or the samples last
    for rank, layout in ((2, "expanded"), (3, "expanded columns"), (3, "batch second")):
        for shape in [shape for shape in samples if len(shape) == rank and min(shape) > 1][:1]:
            repeated = (Scores(dtype, shape, layout, values[0], seed=rank, dim=1) for dtype in dtypes)
            rarer += [Labelled(of, targets[0], reduction=reductions[0]) for of in repeated]
    usual = [shape for shape in samples if max(shape) <= LONG]
    of = st.builds(
        lambda *of, seed: Scores(*of, grad=grad[seed % len(grad)], seed=seed, dim=min(1, len(of[1]) - 1)),
        *(st.sampled_from(list(kinds)) for kinds in (dtypes, usual, LAYOUTS[:5], values)),
        seed=st.integers(0, 2**32 - 1),
    )
    kinds = (targets, weighted, ignored, smoothing, reductions)
    more = st.builds(Labelled, of, *(st.sampled_from(list(each)) for each in kinds))
    return Population(tuple(must), more, rarer=tuple(rarer))
