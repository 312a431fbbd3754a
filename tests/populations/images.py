"""Image data sets whose every pixel is known, as files in the format of Fashion-MNIST."""

import struct
import tempfile
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st

from populations.core import Population
from populations.twins import Twin

FILES = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
# How many images for training and for the test: one, fewer and more than a class each, past a batch and a byte.
LENGTHS = Population(((7, 3), (1, 1), (1, 12), (33, 2), (257, 10)), st.tuples(st.integers(1, 40), st.integers(1, 40)))
# Images of numbers and of bytes as they are decoded.
DECODED = [Twin(dtype, (3, 5, 4), "pixels", values="distinct") for dtype in (torch.float32, torch.uint8)]


def written(path, array, element=0x08):
    """``array`` as a file in the IDX format: element type (0x08 for bytes), number of dimensions, sizes, elements."""
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, element, array.ndim, *array.shape) + array.tobytes())


def fashion_mnist_in(folder, lengths):
    """A new Fashion-MNIST below ``folder``: its root, and the images and labels of either part.

    No two images are alike, nor two neighbouring pixels, nor an image and its transpose; every class has its turn.
    Beside it lies an MNIST, of files of the same names.
    """
    root = Path(tempfile.mkdtemp(dir=folder))
    raw = root / "FashionMNIST" / "raw"
    digits = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    digits.mkdir(parents=True)
    images = (np.arange(sum(lengths) * 784) * 37 // 3 % 256).astype(np.uint8).reshape(-1, 28, 28)
    labels = (np.arange(sum(lengths)) * 7 % 10).astype(np.uint8)
    parts = {}
    for part, chosen in (("train", slice(lengths[0])), ("t10k", slice(lengths[0], None))):
        written(raw / f"{part}-images-idx3-ubyte", images[chosen])
        written(raw / f"{part}-labels-idx1-ubyte", labels[chosen])
        written(digits / f"{part}-images-idx3-ubyte", np.zeros((1, 28, 28), np.uint8))
        written(digits / f"{part}-labels-idx1-ubyte", np.zeros(1, np.uint8))
        parts[part == "train"] = images[chosen], labels[chosen]
    return root, parts
