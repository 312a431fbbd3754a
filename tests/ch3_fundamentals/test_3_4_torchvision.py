"""3.4 torchvision and Fashion-MNIST

torchvision brings computer vision to PyTorch, in four parts that follow the course of a project: data sets to learn
from, models to start with, transforms to prepare the images, and utilities to look at the results. In tensors the
channels come first (channel, row, column), in PIL images and NumPy arrays last. Fashion-MNIST is 70000 pictures of
clothes, 28 by 28 grey pixels each, in ten classes, made to replace the handwritten digits of MNIST, which had become
too easy. Its paper (Xiao, Rasul and Vollgraf, arXiv:1708.07747, table 3) gives logistic regression about 84 % test
accuracy and a perceptron with one hidden layer of 100 units about 87 %.
"""

import struct

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim


@claim("torchvision-offers-datasets")
@pytest.mark.cpu
def test_fashion_mnist_is_a_data_set_of_images_with_labels(tmp_path):
    torchvision = pytest.importorskip("torchvision")
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):  # small files in its format: header, sizes, bytes
        images = struct.pack(">4I", 0x803, 2, 28, 28) + bytes(range(224)) * 7
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 2) + bytes([9, 0]))

    dataset = torchvision.datasets.FashionMNIST(tmp_path, transform=torchvision.transforms.ToTensor())

    assert len(dataset) == 2
    image, label = dataset[0]
    assert (image.shape, dataset.classes[label]) == ((1, 28, 28), "Ankle boot")
    assert image[0, 1, :3].tolist() == pytest.approx([28 / 255, 29 / 255, 30 / 255])


@claim("torchvision-offers-models")
def test_three_architectures_give_a_thousand_scores_to_an_image():
    models = pytest.importorskip("torchvision").models
    images = torch.empty(2, 3, 224, 224, device="meta")  # shapes without data

    for build in (models.alexnet, models.vgg16, models.resnet18):
        with torch.device("meta"):
            net = build()
        assert net(images).shape == (2, 1000)

    pretrained = models.ResNet18_Weights.DEFAULT
    assert pretrained.meta["categories"][:2] == ["tench", "goldfish"]
    assert pretrained.meta["num_params"] == sum(parameter.numel() for parameter in net.parameters()) == 11_689_512


@claim("torchvision-offers-transforms")
@pytest.mark.cpu
def test_crop_the_middle_and_rotate_by_a_quarter_turn():
    transforms = pytest.importorskip("torchvision").transforms
    image = torch.tensor([[[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0], [0.0, 0.0, 0.0, 0.0]]])

    cropped = transforms.CenterCrop(2)(image)
    turned = transforms.RandomRotation((90, 90))(cropped)  # by an angle between 90 and 90 degrees, to the left

    assert cropped.tolist() == [[[5, 6], [9, 10]]]
    assert turned.tolist() == [[[6, 10], [5, 9]]]


@claim("torchvision-offers-transforms", truth=True)
@pytest.mark.cpu
def test_smoothed_to_one_column_every_row_is_what_the_first_should_be():
    transforms = pytest.importorskip("torchvision").transforms
    image = torch.tensor([[[0.0, 2.0], [10.0, 12.0]]])  # the means of its rows are 1 and 11

    narrower = transforms.Resize((2, 1), antialias=True)(image)
    longer = transforms.Resize((4, 2), antialias=True)(image)
    both = transforms.Resize((4, 1), antialias=True)(image)

    assert narrower.tolist() == [[[1], [11]]]
    assert longer.tolist() == [[[0, 2], [2.5, 4.5], [7.5, 9.5], [10, 12]]]
    assert both.tolist() == [[[1], [1], [1], [1]]]  # and not 1, 3.5, 8.5 and 11


@claim("torchvision-offers-utils")
@pytest.mark.cpu
def test_two_images_in_a_grid_with_a_border():
    utils = pytest.importorskip("torchvision").utils
    images = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]])  # two grey images of one row and two columns

    grid = utils.make_grid(images, nrow=2, padding=1)

    assert grid.shape == (3, 3, 7)  # grey becomes red, green and blue alike
    assert grid[0].tolist() == [[0] * 7, [0, 1, 2, 0, 3, 4, 0], [0] * 7]


@claim("softmax-regression-learns-fashion-mnist")
def test_five_epochs_pass_82_and_85_percent(fashion_mnist, device):
    datasets, accuracy = pytest.importorskip("torchvision").datasets, []
    parts = [datasets.FashionMNIST(fashion_mnist, train=train) for train in (True, False)]
    (x, y), (test_x, test_y) = [((part.data.flatten(1) / 255).to(device), part.targets.to(device)) for part in parts]
    perceptron = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))

    for net in (nn.Linear(784, 10), perceptron):
        optimizer = torch.optim.Adam(net.parameters(), lr=0.002)
        for epoch in range(5):
            optimizer.param_groups[0]["lr"] = 0.002 if epoch < 4 else 0.0002  # smaller steps at the end
            for batch in torch.tensor(np.random.permutation(60000)).split(256):
                optimizer.zero_grad()
                F.cross_entropy(net(x[batch]), y[batch]).backward()
                optimizer.step()
        accuracy.append((net(test_x).argmax(dim=1).cpu() == test_y.cpu()).float().mean().item())

    assert accuracy[0] > 0.82
    assert accuracy[1] > 0.85
