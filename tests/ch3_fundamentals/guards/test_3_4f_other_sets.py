"""3.4 Data sets of torchvision that are written like Fashion-MNIST, and one of moving digits."""

import string
import tempfile
from pathlib import Path

import numpy as np
import pytest
from populations import among, each, over
from populations.images import written

claim = pytest.mark.claim
pytestmark = pytest.mark.cpu  # files and PIL images live in main memory

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS = [f"{number} - {word}" for number, word in enumerate(WORDS)]
SYLLABLES = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
SETS = {  # how each is asked for, the folder and the names of its files, and its classes
    "MNIST": ({}, "MNIST", ("train", "t10k"), "{}-{}-ubyte", DIGITS),
    "KMNIST": ({}, "KMNIST", ("train", "t10k"), "{}-{}-ubyte", SYLLABLES),
    **{
        f"EMNIST, {split}": ({"split": split}, "EMNIST", ("train", "test"), f"emnist-{split}-{{}}-{{}}-ubyte", classes)
        for split, classes in (
            ("byclass", sorted(string.digits + string.ascii_letters)),
            ("digits", [*string.digits]),
            ("mnist", [*string.digits]),
        )
    },
}


def numbers_of(number, train, count):
    """The images and labels of a part of a set, in one of them more than ``count``."""
    many = count + (not train)
    images = ((np.arange(many * 784) * 37 + 11 * number + (not train)) % 251).astype(np.uint8)
    return images.reshape(-1, 28, 28), ((np.arange(many) * 7 + number) % 10).astype(np.uint8)


def in_files(root, count):
    """The folder of both parts of all sets, which are written there once."""
    for number, (_, place, both, pattern, _) in enumerate([] if root.exists() else SETS.values()):
        raw = root / place / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for train, part in zip((True, False), both):
            for kind, numbers in zip(("images-idx3", "labels-idx1"), numbers_of(number, train, count)):
                written(raw / pattern.format(part, kind), numbers)
    return root


@claim("torchvision-offers-datasets")
@over(name=each(*SETS), train=each(True, False), count=among(1, 7, 12))
def test_each_part_has_the_images_and_labels_of_its_own_files_and_the_classes_of_its_set(tmp_path, name, train, count):
    datasets = pytest.importorskip("torchvision.datasets")
    options, folder, _, _, classes = SETS[name]
    root = in_files(tmp_path / str(count), count)
    dataset = getattr(datasets, folder)(str(root), train=train, **options)
    images, labels = numbers_of([*SETS].index(name), train, count)

    assert [*dataset.classes] == classes
    assert len(dataset) == len(labels)
    for number, (picture, label) in enumerate(dataset[n] for n in range(len(labels))):
        assert (np.array(picture).tolist(), label) == (images[number].tolist(), labels[number])


@claim("torchvision-offers-datasets")
@over(split=each(None, "train", "test"), first=among(10, 3), count=among(1, 4))
def test_moving_digits_come_in_all_twenty_frames_or_in_the_first_or_last_ones(tmp_path, split, first, count):
    datasets = pytest.importorskip("torchvision.datasets")
    root = Path(tempfile.mkdtemp(dir=tmp_path))
    frames = (np.arange(20 * count * 64 * 64) * 37 % 251).astype(np.uint8).reshape(20, count, 64, 64)
    (root / "MovingMNIST").mkdir()
    np.save(root / "MovingMNIST" / "mnist_test_seq.npy", frames)
    dataset = datasets.MovingMNIST(str(root), split=split, split_ratio=first)

    shown = frames[{None: slice(None), "train": slice(first), "test": slice(first, None)}[split]]
    assert len(dataset) == count
    for number in range(count):
        assert np.array_equal(dataset[number].numpy(), shown[:, number, None])
