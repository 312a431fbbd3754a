"""Softmax and the cross entropy: their formulas, written out in NumPy and in float64."""

import numpy as np


def softmax(scores: np.ndarray, dim: int) -> np.ndarray:
    """exp(o_i - max) / sum_j exp(o_j - max): far scores leave the exponentials between 0 and 1."""
    scores = scores.astype(np.float64)
    powers = np.exp(scores - scores.max(dim, keepdims=True, initial=-np.inf))
    return powers / powers.sum(dim, keepdims=True)


def log_softmax(scores: np.ndarray, dim: int) -> np.ndarray:
    """o_i - max - log sum_j exp(o_j - max), the logarithm of ``softmax`` where that is 0 too."""
    scores = scores.astype(np.float64)
    shifted = scores - scores.max(dim, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(dim, keepdims=True))


def by_name(name: str, scores: np.ndarray, dim: int) -> tuple[np.ndarray, float]:
    """``softmax`` or ``log_softmax``, and the size of the largest number on the way to it."""
    logs = log_softmax(scores, dim)
    return (softmax(scores, dim), 0) if name == "softmax" else (logs, np.abs(logs).max(initial=1))


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """The distributions (samples, classes, ...) that give all to the class in ``labels`` (samples, ...), or to one."""
    return np.moveaxis(labels[..., None] == np.arange(classes), -1, min(1, labels.ndim)).astype(np.float64)


def cross_entropy(
    scores, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
) -> np.ndarray | float:
    """The cross entropy of ``scores`` (samples, classes, ...), or (classes) of one sample without a batch, as torch's
    documentation of CrossEntropyLoss defines it.

    ``target`` holds class indices (samples, ...) or probabilities in the shape of ``scores``. Smoothing moves that
    share of each target to all classes alike; ``weight`` counts each class's term so often; samples labelled
    ``ignore_index`` are left out. The mean divides by the weights of the labels, by the number of samples where the
    targets are probabilities; it is NaN where nothing is left to divide by.
    """
    shares, counted, divisor = _shares(scores, target, weight, ignore_index, label_smoothing)
    axis = min(1, scores.ndim - 1)
    with np.errstate(invalid="ignore"):  # a masked class without a share costs nothing
        losses = -np.where(shares, shares * log_softmax(scores, axis), 0).sum(axis) * counted
    if reduction == "none":
        return losses
    with np.errstate(invalid="ignore"):
        return losses.sum() if reduction == "sum" else losses.sum() / divisor.sum()


def cross_entropy_gradient(
    scores, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The derivative by ``scores`` of ``cross_entropy``, of its losses' sum where the reduction is "none", and the size
    of the largest number on the way to it.

    That of -sum_c q_c log p_c is p sum_c q_c - q, with q the weighted shares and p the softmax of the scores.
    """
    shares, counted, divisor = _shares(scores, target, weight, ignore_index, label_smoothing)
    axis = min(1, scores.ndim - 1)
    part = shares * np.expand_dims(counted, axis) / (divisor.sum() if reduction == "mean" else 1)
    size = part.sum(axis, keepdims=True)
    return np.exp(log_softmax(scores, axis)) * size - part, np.abs(part).sum(axis, keepdims=True)


def _shares(scores, target, weight, ignore_index, label_smoothing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weighted share of each class in a sample's target, which samples count, and what a mean divides by."""
    axis = min(1, scores.ndim - 1)
    classes = scores.shape[axis]
    weights = np.ones(classes) if weight is None else weight.astype(np.float64)
    counted = np.ones(np.delete(scores.shape, axis), bool)
    divisor = counted.astype(np.float64)
    if target.shape != scores.shape:
        counted = np.asarray(target != ignore_index)
        label = np.where(counted, target, 0)
        divisor = weights[label] * counted
        target = one_hot(label, classes)
    target = target * (1 - label_smoothing) + label_smoothing / classes
    by_class = weights.reshape(-1, *[1] * (scores.ndim - 1 - axis))
    return by_class * target, counted, divisor
