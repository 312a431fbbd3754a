"""3.4 torchvision: data sets, from files of which every pixel is known

torchvision brings computer vision to PyTorch, and its `datasets` read the well-known collections of images. A *data
set* answers `len(dataset)` and `dataset[i]`, an image with its label, which is all that a `DataLoader` needs to make
mini-batches. Fashion-MNIST, made of pictures of clothes, comes as four files in the *IDX* format: a header (the
element type, the number of dimensions and their sizes, big-endian) and then the bytes. The tests write small files of
that format themselves, so that every pixel is known; the real ones are the subject of the end of this section.
"""

import struct

import numpy as np
import pytest
import torch

pytest.importorskip("torchvision")
from PIL import Image
from torchvision import datasets, transforms

claim = pytest.mark.claim
pytestmark = pytest.mark.cpu  # data sets read files into main memory, whatever the default device

LABELS = {"train": [3, 0, 9, 1, 7, 2, 8], "t10k": [5, 4, 6]}
UNSIGNED_BYTE, INT = 0x08, 0x0C


def images_of(split):
    """One 28x28 image per label; no two images are alike, nor two neighbouring pixels.

    Values repeat after 256 pixels, since 37 is odd. An image has 784 = 3 * 256 + 16 of them, so training image k starts
    at the 16 k-th value and test image k at the one numbered 50 + 16 k, which is no multiple of 16.
    """
    count = len(LABELS[split])
    first = 0 if split == "train" else 50
    return ((first + np.arange(count * 28 * 28)) * 37 % 256).astype(np.uint8).reshape(count, 28, 28)


def write_idx(path, array, element=UNSIGNED_BYTE):
    header = struct.pack(f">HBB{array.ndim}I", 0, element, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture
def root(tmp_path):
    """A folder in which torchvision finds a Fashion-MNIST of seven training and three test images."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for split, labels in LABELS.items():
        write_idx(raw / f"{split}-images-idx3-ubyte", images_of(split))
        write_idx(raw / f"{split}-labels-idx1-ubyte", np.array(labels, dtype=np.uint8))
    return tmp_path


# ── torchvision-offers-datasets ──


@claim("torchvision-offers-datasets")
@pytest.mark.parametrize("name", ["FashionMNIST", "MNIST", "CIFAR10", "ImageNet", "CocoDetection", "VOCSegmentation"])
def test_common_collections_are_data_sets(name):
    assert name in datasets.__all__
    assert issubclass(getattr(datasets, name), torch.utils.data.Dataset) is True


@claim("torchvision-offers-datasets")
@pytest.mark.parametrize(("train", "split"), [(True, "train"), (False, "t10k")])
def test_training_and_test_set_are_read_from_their_own_files(root, train, split):
    dataset = datasets.FashionMNIST(str(root), train=train)
    assert len(dataset) == len(LABELS[split])
    assert dataset.data.dtype == torch.uint8
    assert dataset.data.tolist() == images_of(split).tolist()
    assert dataset.targets.dtype == torch.int64
    assert dataset.targets.tolist() == LABELS[split]


@claim("torchvision-offers-datasets")
def test_an_item_is_an_image_of_28_by_28_pixels_with_its_label(root):
    dataset = datasets.FashionMNIST(str(root))
    for index, label in enumerate(LABELS["train"]):
        image, target = dataset[index]
        assert (image.size, image.mode) == ((28, 28), "L")
        assert np.array(image).tolist() == images_of("train")[index].tolist()
        assert target == label


@claim("torchvision-offers-datasets")
def test_each_of_the_ten_classes_has_a_name(root):
    dataset = datasets.FashionMNIST(str(root))
    tops = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
    assert dataset.classes == [*tops, "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
    assert dataset.class_to_idx["Ankle boot"] == 9
    assert sorted(dataset.class_to_idx.values()) == list(range(10))


@claim("torchvision-offers-datasets")
def test_a_transform_is_applied_to_every_image_and_to_no_label(root):
    dataset = datasets.FashionMNIST(str(root), transform=transforms.ToTensor())
    images, labels = zip(*(dataset[i] for i in range(7)))
    assert images[0].shape == (1, 28, 28)
    expected = torch.tensor(images_of("train") / 255, dtype=torch.float32).unsqueeze(1)
    torch.testing.assert_close(torch.stack(images), expected)
    assert list(labels) == LABELS["train"]


@claim("torchvision-offers-datasets")
def test_a_target_transform_is_applied_to_every_label_and_to_no_image(root):
    dataset = datasets.FashionMNIST(str(root), train=False, target_transform=lambda label: 100 + label)
    assert [label for _, label in (dataset[i] for i in range(3))] == [105, 104, 106]
    assert np.array(dataset[2][0]).tolist() == images_of("t10k")[2].tolist()


@claim("torchvision-offers-datasets")
def test_a_data_loader_makes_mini_batches_of_a_data_set(root):
    dataset = datasets.FashionMNIST(str(root), transform=transforms.ToTensor())
    batches = list(torch.utils.data.DataLoader(dataset, batch_size=3))
    assert [tuple(images.shape) for images, _ in batches] == [(3, 1, 28, 28), (3, 1, 28, 28), (1, 1, 28, 28)]
    assert [labels.tolist() for _, labels in batches] == [[3, 0, 9], [1, 7, 2], [8]]
    expected = torch.tensor(images_of("train")[3:6] / 255, dtype=torch.float32)
    torch.testing.assert_close(batches[1][0][:, 0], expected)


@claim("torchvision-offers-datasets")
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("missing", ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"])
def test_a_missing_file_is_reported(root, missing, train):
    """Without any of the four, neither part is found, and nothing is downloaded unless asked for."""
    (root / "FashionMNIST" / "raw" / f"{missing}-ubyte").unlink()
    with pytest.raises(RuntimeError, match="Dataset not found"):
        datasets.FashionMNIST(str(root), train=train)
    assert len(list((root / "FashionMNIST" / "raw").iterdir())) == 3


@claim("torchvision-offers-datasets")
@pytest.mark.parametrize("part", ["images-idx3", "labels-idx1"])
@pytest.mark.parametrize("lost", [1, 5])
def test_a_truncated_file_is_refused(root, part, lost):
    path = root / "FashionMNIST" / "raw" / f"train-{part}-ubyte"
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(RuntimeError, match=r"shape '\[7.*\]' is invalid for input of size"):
        datasets.FashionMNIST(str(root))


@claim("torchvision-offers-datasets")
def test_labels_in_the_place_of_images_are_refused(root):
    raw = root / "FashionMNIST" / "raw"
    (raw / "train-labels-idx1-ubyte").replace(raw / "train-images-idx3-ubyte")
    write_idx(raw / "train-labels-idx1-ubyte", np.array(LABELS["train"], dtype=np.uint8))
    with pytest.raises(ValueError, match="x should have 3 dimension instead of 1"):
        datasets.FashionMNIST(str(root))


@claim("torchvision-offers-datasets")
def test_elements_that_are_no_bytes_are_refused(root):
    path = root / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte"
    write_idx(path, np.array(LABELS["train"], dtype=">i4"), element=INT)
    with pytest.raises(TypeError, match="x should be of dtype torch.uint8 instead of torch.int32"):
        datasets.FashionMNIST(str(root))


@claim("torchvision-offers-datasets")
def test_a_folder_of_images_sorted_into_classes_is_a_data_set_too(tmp_path):
    """`ImageFolder` takes the names of the folders, in alphabetical order, for the classes."""
    for name, shade in [("shoe/b.png", 20), ("bag/a.png", 10), ("shoe/a.png", 30)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (3, 2), (shade, 0, 0)).save(tmp_path / name)
    assert [item for item, _ in datasets.ImageFolder(str(tmp_path), transform=lambda _: 5)] == [5, 5, 5]
    dataset = datasets.ImageFolder(str(tmp_path))
    assert dataset.classes == ["bag", "shoe"]
    assert [(image.getpixel((2, 1)), label) for image, label in dataset] == [
        ((10, 0, 0), 0),
        ((30, 0, 0), 1),
        ((20, 0, 0), 1),
    ]
