"""Matrices (out, side) by which one dimension of an image is taken to another size."""

import numpy as np


def bins(out: int, side: int) -> np.ndarray:
    """The i-th mean is of the elements from i side / out, rounded down, to (i + 1) side / out, rounded up."""
    matrix = np.zeros((out, side))
    for i in range(out):
        start, stop = i * side // out, -(-(i + 1) * side // out)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


def nearest(out: int, side: int) -> np.ndarray:
    return np.eye(side)[np.arange(out) * side // out]


def nearest_exact(out: int, side: int) -> np.ndarray:
    return np.eye(side)[((np.arange(out) + 0.5) * side / out).astype(int)]


def linear(out: int, side: int) -> np.ndarray:
    """Between the two elements beside (i + 1/2) side / out - 1/2, which is no less than 0."""
    at = np.maximum((np.arange(out) + 0.5) * side / out - 0.5, 0)
    low = np.minimum(at.astype(int), side - 1)
    high, share = np.minimum(low + 1, side - 1), (at - low)[:, None]
    return np.eye(side)[low] * (1 - share) + np.eye(side)[high] * share


def corners(out: int, side: int) -> np.ndarray:
    """Between the two elements beside i (side - 1) / (out - 1)."""
    at = np.arange(out) * ((side - 1) / max(out - 1, 1))
    low = np.minimum(at.astype(int), side - 1)
    high, share = np.minimum(low + 1, side - 1), (at - low)[:, None]
    return np.eye(side)[low] * (1 - share) + np.eye(side)[high] * share


def smoothed(out: int, side: int) -> np.ndarray:
    """Of all elements around (i + 1/2) side / out, the less the further, up to as far as the next is from that."""
    wide = max(side / out, 1)
    far = np.abs(np.arange(side) + 0.5 - (np.arange(out)[:, None] + 0.5) * side / out) / wide
    shares = np.maximum(1 - far, 0)
    return shares / shares.sum(1, keepdims=True)


def cubic(out: int, side: int) -> np.ndarray:
    """Of the four elements around (i + 1/2) side / out - 1/2, the outermost standing for what lies beyond, by the
    convolution of R. Keys (1981) with the slope -3/4.
    """
    matrix, at = np.zeros((out, side)), (np.arange(out) + 0.5) * side / out - 0.5
    for place in range(-1, 3):
        each = np.floor(at).astype(int) + place
        far = np.abs(at - each)
        near, rest = (1.25 * far - 2.25) * far**2 + 1, ((-0.75 * far + 3.75) * far - 6) * far + 3
        np.add.at(matrix, (np.arange(out), np.clip(each, 0, side - 1)), np.where(far <= 1, near, rest))
    return matrix
