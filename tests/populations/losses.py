"""Losses of pairs of elements, by torch and by their formulas; and losses with options that are no defaults."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from populations.counterparts import labels as classes


def near_or_far(a, t):
    """Half the square of a distance below 1, and beyond that the distance less a half."""
    distance = np.abs(a - t)
    return np.where(distance < 1, distance**2 / 2, distance - 0.5)


def of_counts(a, t):
    return np.exp(a) - t * a


def stirling(t):
    """Of log t! about its value, for t above 1."""
    return np.where(t > 1, t * np.log(t) - t + np.log(2 * np.pi * t) / 2, 0)


def labels(t):
    """1, and -1 for what is less than a number between two quarters: by torch, of the same dtype, or by NumPy."""
    return (t > 1.9).to(t) * 2 - 1 if isinstance(t, torch.Tensor) else (t > 1.9) * 2 - 1


def rows(x):
    """``x`` as a matrix of its rows."""
    return x.reshape(-1, x.shape[-1])


def distance(a, b):
    return np.sqrt(((a - b + 1e-6) ** 2).sum(-1))


def cosine(a, b):
    return (a * b).sum(-1) / np.sqrt(((a * a).sum(-1) + 1e-12) * ((b * b).sum(-1) + 1e-12))


def named(name: str) -> Callable:
    """The loss of this name, which is looked up whenever it is called: a false one may stand in its place."""
    return lambda x, t, **how: getattr(F, name)(x, t, **how)


# Of numbers a from -4 to 4 and targets t from 1/4 to 8, in quarters, where none has a corner.
OF_PAIRS: dict[str, tuple[Callable, Callable]] = {
    "l1_loss": (named("l1_loss"), lambda a, t: np.abs(a - t)),
    "mse_loss": (named("mse_loss"), lambda a, t: (a - t) ** 2),
    "smooth_l1_loss": (named("smooth_l1_loss"), near_or_far),
    "huber_loss": (named("huber_loss"), near_or_far),
    "poisson_nll_loss": (named("poisson_nll_loss"), of_counts),
    "poisson_nll_loss, full": (
        lambda x, t, **how: F.poisson_nll_loss(x, t + 0.125, full=True, **how),
        lambda a, t: of_counts(a, t + 0.125) + stirling(t + 0.125),
    ),
    "poisson_nll_loss of no logarithm": (
        lambda x, t, **how: F.poisson_nll_loss(x + 5, t, log_input=False, **how),
        lambda a, t: a + 5 - t * np.log(a + 5 + 1e-8),
    ),
    "binary_cross_entropy_with_logits": (
        lambda x, t, **how: F.binary_cross_entropy_with_logits(x, t / 8, **how),
        lambda a, t: np.maximum(a, 0) - a * t / 8 + np.log1p(np.exp(-np.abs(a))),
    ),
    "binary_cross_entropy": (
        lambda x, t, **how: F.binary_cross_entropy(x / 10 + 0.5, t / 8, **how),
        lambda a, t: -t / 8 * np.log(a / 10 + 0.5) - (1 - t / 8) * np.log(0.5 - a / 10),
    ),
    "kl_div": (named("kl_div"), lambda a, t: t * (np.log(t) - a)),
    "kl_div of logarithms": (
        lambda x, t, **how: F.kl_div(x, t / 4, log_target=True, **how),
        lambda a, t: np.exp(t / 4) * (t / 4 - a),
    ),
    "gaussian_nll_loss": (
        lambda x, t, **how: F.gaussian_nll_loss(x, t + 1, t, **how),
        lambda a, t: (np.log(t) + (a - t - 1) ** 2 / t) / 2,
    ),
    "gaussian_nll_loss, full": (
        lambda x, t, **how: F.gaussian_nll_loss(x, t + 1, t, full=True, **how),
        lambda a, t: (np.log(t) + (a - t - 1) ** 2 / t + np.log(2 * np.pi)) / 2,
    ),
    "hinge_embedding_loss": (
        lambda x, t, **how: F.hinge_embedding_loss(x, labels(t), 1.125, **how),
        lambda a, t: np.where(labels(t) > 0, a, np.maximum(0, 1.125 - a)),
    ),
    "soft_margin_loss": (
        lambda x, t, **how: F.soft_margin_loss(x, labels(t), **how),
        lambda a, t: np.log1p(np.exp(-labels(t) * a)),
    ),
    "margin_ranking_loss": (
        lambda x, t, **how: F.margin_ranking_loss(x, t, labels(t), margin=0.375, **how),
        lambda a, t: np.maximum(0, 0.375 - labels(t) * (a - t)),
    ),
    # with the first column repeated
    "margin_ranking_loss of a column": (
        lambda x, t, **how: F.margin_ranking_loss(x[..., :1], t, labels(t), margin=0.375, **how),
        lambda a, t: np.maximum(0, 0.375 - labels(t) * (a[..., :1] - t)),
    ),
    "poisson_nll_loss of a column": (
        lambda x, t, **how: F.poisson_nll_loss(x, t[..., :1], **how),
        lambda a, t: of_counts(a, t[..., :1]),
    ),
    "gaussian_nll_loss of a column": (
        lambda x, t, **how: F.gaussian_nll_loss(x, x * 2, t[..., :1], **how),
        lambda a, t: (np.log(t[..., :1]) + a**2 / t[..., :1]) / 2,
    ),
    # of rows
    "cosine_embedding_loss": (
        lambda x, t, **how: F.cosine_embedding_loss(rows(x + 5), rows(t), labels(rows(t)[:, 0]), 0.375, **how),
        lambda a, t: np.where(
            labels(rows(t)[:, 0]) > 0,
            1 - cosine(rows(a + 5), rows(t)),
            np.maximum(0, cosine(rows(a + 5), rows(t)) - 0.375),
        ),
    ),
    "triplet_margin_loss": (
        lambda x, t, **how: F.triplet_margin_loss(rows(t), rows(x - 5), rows(x + 9), margin=3.0, **how),
        lambda a, t: np.maximum(0, distance(rows(t), rows(a - 5)) - distance(rows(t), rows(a + 9)) + 3),
    ),
    "triplet_margin_loss of one anchor": (
        lambda x, t, **how: F.triplet_margin_loss(rows(t)[:1], rows(x - 5), rows(x + 9), margin=3.0, **how),
        lambda a, t: np.maximum(0, distance(rows(t)[:1], rows(a - 5)) - distance(rows(t)[:1], rows(a + 9)) + 3),
    ),
}


def near(x: torch.Tensor) -> torch.Tensor:
    """Numbers from 1/4 to 3/4."""
    return (x.detach().cos() + 2) / 4


def signs(x: torch.Tensor) -> torch.Tensor:
    """1 and -1 in turn, in the shape of ``x``."""
    return (1 - torch.arange(x.numel(), device="cpu") % 2 * 2).view(x.shape).to(x)


# Of numbers between 0 and 1: the loss, the function to which it hands on its options, these, and the targets.
WITH_OPTIONS = (
    ("PoissonNLLLoss", "poisson_nll_loss", {"log_input": False, "full": True, "eps": 0.25}, lambda x: (near(x) + 1,)),
    (
        *("GaussianNLLLoss", "gaussian_nll_loss", {"full": True, "eps": 0.5, "reduction": "sum"}),
        lambda x: (near(x), near(x.cos())),
    ),
    ("KLDivLoss", "kl_div", {"log_target": True, "reduction": "batchmean"}, lambda x: (near(x).log(),)),
    ("BCELoss", "binary_cross_entropy", {"reduction": "sum"}, lambda x: (near(x),)),
    ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits", {"reduction": "sum"}, lambda x: (near(x),)),
    ("HuberLoss", "huber_loss", {"delta": 0.125, "reduction": "sum"}, lambda x: (near(x),)),
    ("SmoothL1Loss", "smooth_l1_loss", {"beta": 0.125, "reduction": "sum"}, lambda x: (near(x),)),
    ("HingeEmbeddingLoss", "hinge_embedding_loss", {"margin": 0.625}, lambda x: (signs(x),)),
    ("MarginRankingLoss", "margin_ranking_loss", {"margin": 0.25}, lambda x: (near(x), signs(x))),
    (
        *("CosineEmbeddingLoss", "cosine_embedding_loss", {"margin": 0.25, "reduction": "sum"}),
        lambda x: (near(x), signs(x[:, 0])),
    ),
    ("MultiMarginLoss", "multi_margin_loss", {"p": 2, "margin": 0.5}, lambda x: (classes(x),)),
    (
        *("TripletMarginLoss", "triplet_margin_loss", {"margin": 2.0, "p": 3.0, "eps": 0.25, "swap": True}),
        lambda x: (near(x), near(x.cos())),
    ),
    ("CrossEntropyLoss", "cross_entropy", {"ignore_index": 1, "label_smoothing": 0.25}, lambda x: (classes(x),)),
    ("NLLLoss", "nll_loss", {"ignore_index": 1, "reduction": "sum"}, lambda x: (classes(x),)),
)
