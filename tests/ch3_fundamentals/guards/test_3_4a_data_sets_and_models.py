"""3.4 torchvision's data sets, from files of which every pixel is known, and its models; the real Fashion-MNIST."""

import string
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.measured import curve
from populations import agree, among, normal, over
from populations.comparing import host
from populations.images import FILES, LENGTHS, fashion_mnist_in, written
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

claim = pytest.mark.claim


@claim("torchvision-offers-datasets")
@pytest.mark.cpu
@over(name=among("FashionMNIST", "MNIST", "CIFAR10", "ImageNet", "CocoDetection", "VOCSegmentation", "ImageFolder"))
def test_common_collections_are_classes_of_data_sets(name):
    datasets = pytest.importorskip("torchvision.datasets")
    assert name in datasets.__all__
    assert issubclass(getattr(datasets, name), Dataset)


@claim("torchvision-offers-datasets")
@pytest.mark.cpu
@over(split=among("byclass", "bymerge", "balanced", "letters", "digits", "mnist"))
def test_the_classes_of_handwriting_are_listed_digits_first_and_then_letters_in_their_order(split):
    digits, letters = [*string.digits], [*string.digits, *string.ascii_uppercase]
    merged = [*letters, *"abdefghnqrt"]  # those that do not look like their capitals
    names = {"byclass": [*letters, *string.ascii_lowercase], "bymerge": merged, "balanced": merged}
    names |= {"letters": ["N/A", *string.ascii_lowercase], "digits": digits, "mnist": digits}
    assert pytest.importorskip("torchvision.datasets").EMNIST.classes_split_dict[split] == names[split]


@claim("torchvision-offers-datasets")
@pytest.mark.cpu
@over(lengths=LENGTHS, train=among(True, False))
def test_every_item_is_the_image_and_the_label_of_its_place_in_the_files_of_its_part_at_every_look(
    tmp_path, lengths, train
):
    datasets = pytest.importorskip("torchvision.datasets")
    root, parts = fashion_mnist_in(tmp_path, lengths)
    images, labels = parts[train]
    dataset = datasets.FashionMNIST(str(root), train=train)

    assert (len(dataset), dataset.data.dtype, dataset.targets.dtype) == (len(images), torch.uint8, torch.int64)
    agree(dataset.data, images)
    agree(dataset.targets, labels)
    for place in [0, len(images) - 1, len(images) // 2, 0, 0, -1, -len(images)]:
        image, label = dataset[place]
        assert (np.array(image).tolist(), image.mode, label) == (images[place].tolist(), "L", labels[place])
    clothes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
    assert dataset.classes == clothes
    assert dataset.class_to_idx == {name: number for number, name in enumerate(clothes)}


@claim("torchvision-offers-datasets")
@pytest.mark.cpu
@over(lengths=LENGTHS, loaded=among((True, 1), (False, 3), (True, 64)))
def test_transforms_are_applied_once_to_each_image_and_label_and_a_loader_stacks_them_all_in_their_order(
    tmp_path, lengths, loaded
):
    train, batch = loaded
    vision = pytest.importorskip("torchvision")
    root, parts = fashion_mnist_in(tmp_path, lengths)
    images, labels = parts[train]
    dataset = vision.datasets.FashionMNIST(
        str(root), train=train, transform=vision.transforms.ToTensor(), target_transform=lambda label: 2 * label + 100
    )
    batches = list(DataLoader(dataset, batch_size=batch))

    assert [len(each) for each, _ in batches] == [len(images[i : i + batch]) for i in range(0, len(images), batch)]
    agree(torch.cat([each for each, _ in batches]), images[:, None] / 255, 1)
    agree(torch.cat([each for _, each in batches]), 2 * labels.astype(int) + 100)


def shortened(raw, part, what):
    path = raw / f"{part}-{what}-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def damaged(raw, part, array, element=0x08, what="images-idx3"):
    written(raw / f"{part}-{what}-ubyte", array, element)


WRONG = "invalid for input of size|x should "
DAMAGES = {
    **{f"no {name}": (RuntimeError, "not found", lambda raw, _, name=name: (raw / name).unlink()) for name in FILES},
    "short images": (RuntimeError, WRONG, lambda raw, part: shortened(raw, part, "images-idx3")),
    "short labels": (RuntimeError, WRONG, lambda raw, part: shortened(raw, part, "labels-idx1")),
    "labels for images": (ValueError, WRONG, lambda raw, part: damaged(raw, part, np.zeros(7, "u1"))),
    "long labels": (TypeError, WRONG, lambda raw, part: damaged(raw, part, np.zeros(7, ">i4"), 0x0C, "labels-idx1")),
    "labels in rows": (
        ValueError,
        WRONG,
        lambda raw, part: damaged(raw, part, np.zeros((7, 1), "u1"), 8, "labels-idx1"),
    ),
    "long images": (TypeError, WRONG, lambda raw, part: damaged(raw, part, np.zeros((7, 28, 28), ">i4"), 0x0C)),
    "unknown numbers": (KeyError, None, lambda raw, part: damaged(raw, part, np.zeros((7, 28, 28), "u1"), 0x0A)),
    "a fourth dimension": (AssertionError, None, lambda raw, part: damaged(raw, part, np.zeros((7, 1, 28, 28), "u1"))),
}


@claim("torchvision-offers-datasets")
@pytest.mark.cpu
@over(damage=among(*DAMAGES), train=among(True, False))
def test_a_damaged_file_is_refused_and_so_is_any_missing_one_and_nothing_is_downloaded(tmp_path, damage, train):
    datasets = pytest.importorskip("torchvision.datasets")
    root, _ = fashion_mnist_in(tmp_path, (7, 7))
    error, message, do = DAMAGES[damage]
    raw = root / "FashionMNIST" / "raw"
    do(raw, "train" if train else "t10k")
    there = [*raw.iterdir()]

    with pytest.raises((RuntimeError, ValueError, TypeError, KeyError, AssertionError), match=message) as refused:
        datasets.FashionMNIST(str(root), train=train)
    assert refused.type is error
    assert [*raw.iterdir()] == there


@claim("torchvision-offers-datasets")
@pytest.mark.cpu
@over(folders=among(("shoe", "bag"), ("a",), ("b", "a", "10", "9", "B")), count=among(1, 3))
def test_folders_of_images_are_classes_in_the_order_of_their_names(tmp_path, folders, count):
    datasets = pytest.importorskip("torchvision.datasets")
    image, root = pytest.importorskip("PIL.Image"), Path(tempfile.mkdtemp(dir=tmp_path))
    for number, folder in enumerate(folders):
        (root / folder).mkdir()
        for copy in range(count):
            below = root / folder / ("below" * (copy > 0))  # a folder's own come first
            below.mkdir(exist_ok=True)
            image.new("RGB", (3, 2), (10 * number + copy, 0, 0)).save(below / f"{copy}.{'png' if copy else 'PNG'}")
    dataset = datasets.ImageFolder(str(root), transform=lambda item: 2 * item.getpixel((2, 1))[0])

    names = sorted(folders)
    expected = [(2 * (10 * folders.index(name) + copy), names.index(name)) for name in names for copy in range(count)]
    assert (dataset.classes, [dataset[i] for i in range(len(dataset))]) == (names, expected)


# Layers with weights (their number is in the name), activations (a residual block's second layer shares one; VGG and
# AlexNet have none behind the last), parameters and the features before the last layer as the papers and torchvision's
# pages give them, and the name of the weights.
ARCHITECTURES = {
    "alexnet": (8, 7, 61_100_840, 4096, "AlexNet_Weights"),
    "vgg11": (11, 10, 132_863_336, 4096, "VGG11_Weights"),
    "vgg11_bn": (11, 10, 132_868_840, 4096, "VGG11_BN_Weights"),
    "vgg13": (13, 12, 133_047_848, 4096, "VGG13_Weights"),
    "vgg13_bn": (13, 12, 133_053_736, 4096, "VGG13_BN_Weights"),
    "vgg16": (16, 15, 138_357_544, 4096, "VGG16_Weights"),
    "vgg16_bn": (16, 15, 138_365_992, 4096, "VGG16_BN_Weights"),
    "vgg19": (19, 18, 143_667_240, 4096, "VGG19_Weights"),
    "vgg19_bn": (19, 18, 143_678_248, 4096, "VGG19_BN_Weights"),
    "resnet18": (18, 9, 11_689_512, 512, "ResNet18_Weights"),
    "resnet34": (34, 17, 21_797_672, 512, "ResNet34_Weights"),
    "resnet50": (50, 17, 25_557_032, 2048, "ResNet50_Weights"),
    "squeezenet1_1": (26, 26, 1_235_496, 512, "SqueezeNet1_1_Weights"),
}


@claim("torchvision-offers-models")
@over(name=among(*ARCHITECTURES))
def test_an_architecture_has_the_layers_of_its_name_the_known_parameters_and_as_many_outputs_as_asked_for(
    monkeypatch, name
):
    models = pytest.importorskip("torchvision.models")
    depth, activations, count, features, weights = ARCHITECTURES[name]
    build, default = getattr(models, name), getattr(models, weights).DEFAULT
    for draw in ("normal_", "kaiming_normal_", "kaiming_uniform_"):
        monkeypatch.setattr(nn.init, draw, lambda tensor, *rest, **options: tensor)
    with torch.device("meta"):  # shapes without data: a hundred million parameters cost nothing
        nets = build(num_classes=7), models.get_model(name, num_classes=7), build(num_classes=7)
    net, named, _ = nets

    assert len({each for net in nets for each in net.parameters()}) == 3 * len([*net.parameters()])
    assert str(named) == str(net)
    assert [each.shape for each in named.parameters()] == [each.shape for each in net.parameters()]
    modules = [module for path, module in net.named_modules() if "downsample" not in path]  # ResNet's shortcuts
    assert net.eval()(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 7)
    assert sum(isinstance(module, (nn.Conv2d, nn.Linear)) for module in modules) == depth
    assert sum(isinstance(module, nn.ReLU) for module in modules) == activations
    assert sum(parameter.numel() for parameter in net.parameters()) + (1000 - 7) * (features + 1) == count
    assert (default.meta["num_params"], len(default.meta["categories"])) == (count, 1000)
    assert default.url.startswith("https://")
    assert f"/{name}-" in default.url


@claim("torchvision-offers-models")
@over(height=among(33, 64), width=among(33, 48))
@torch.no_grad()
def test_a_small_architecture_gives_every_image_of_any_size_finite_scores_of_its_own(height, width):
    models = pytest.importorskip("torchvision.models")
    net = models.squeezenet1_1(num_classes=64).eval()  # it ends in ReLU: all scores are 0 once in 2^64 draws of weights
    images = normal(2, 3, height, width)
    scores = net(images)

    assert scores.shape == (2, 64)
    assert np.isfinite(host(scores)).all()
    assert scores[0].tolist() != scores[1].tolist()


@claim("torchvision-offers-models")
@pytest.mark.cpu  # weights are read from a file
def test_weights_come_from_the_file_of_an_earlier_download_and_without_them_parameters_are_random(
    tmp_path, monkeypatch
):
    models = pytest.importorskip("torchvision.models")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = models.SqueezeNet1_1_Weights.DEFAULT
    trained, other = models.squeezenet1_1().state_dict(), models.squeezenet1_1(weights=None).state_dict()

    assert [*tmp_path.iterdir()] == []
    assert not torch.equal(trained["features.0.weight"], other["features.0.weight"])
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    trained = {name: value + 1 for name, value in trained.items()}  # biases begin at 0
    torch.save(trained, tmp_path / "hub" / "checkpoints" / weights.url.rpartition("/")[2])
    for spelled in (weights, "DEFAULT", weights.name):
        for net in (models.squeezenet1_1(weights=spelled), models.get_model("squeezenet1_1", weights=spelled)):
            same = {name: torch.equal(value, trained[name]) for name, value in net.state_dict().items()}
            assert same == dict.fromkeys(trained, True)


@claim("torchvision-offers-models")
@pytest.mark.cpu
@over(shade=among(0, 255, 51), sizes=among((257, 300), (230, 301)))
def test_weights_bring_the_preparation_of_their_images(shade, sizes):
    models = pytest.importorskip("torchvision.models")
    prepared = models.ResNet18_Weights.DEFAULT.transforms()(torch.full((3, *sizes), shade, dtype=torch.uint8))

    mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])  # of ImageNet's red, green and blue
    expected = np.broadcast_to(((shade / 255 - mean) / deviation)[:, None, None], (3, 224, 224))
    agree(prepared, expected, 6, 1 / 0.224)  # three constants, a quotient, a difference, a quotient


def trained(net, rate, images, labels, epochs):
    """Train with Adam, batches of 256, the last epoch with a tenth of the rate; the mean training loss by epoch."""
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=rate), []
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = rate if epoch < epochs - 1 else rate / 10
        total = torch.zeros(())
        for chosen in torch.tensor(np.random.permutation(len(images)), device=images.device).split(256):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(chosen)
        losses.append(total.item() / len(images))
    return losses


def pixels_and_labels(root, device, train):
    """A part of the data set in the device's memory: 784 pixels between 0 and 1 an image, and the labels."""
    part = pytest.importorskip("torchvision.datasets").FashionMNIST(str(root), train=train)
    return (part.data.flatten(1) / 255).to(device), part.targets.to(device)


@claim("softmax-regression-learns-fashion-mnist")
@over(train=among(True, False))
def test_either_part_holds_ten_balanced_classes_of_bytes_and_begins_with_the_well_known_articles(fashion_mnist, train):
    dataset = pytest.importorskip("torchvision.datasets").FashionMNIST(str(fashion_mnist), train=train)
    per_class = 6000 if train else 1000

    assert (tuple(dataset.data.shape), dataset.data.dtype) == ((10 * per_class, 28, 28), torch.uint8)
    assert (dataset.data.min().item(), dataset.data.max().item()) == (0, 255)
    assert torch.bincount(dataset.targets).tolist() == [per_class] * 10
    first = ["Ankle boot", "T-shirt/top", "T-shirt/top"] if train else ["Ankle boot", "Pullover", "Trouser"]
    assert [dataset.classes[dataset[i][1]] for i in range(3)] == first


# Over 8 and 6 seeds on the CPU: training loss from 0.3712 to 0.3718 and from 0.1840 to 0.1885, test loss from 0.4336 to
# 0.4350 and from 0.3024 to 0.3076, accuracy from 0.847 to 0.849 and from 0.890 to 0.895. Adam makes the same training
# of other roundings, so the bounds lie further from these than they from one another by a factor of five or more.
MODELS = {
    "softmax": (lambda: nn.Linear(784, 10), 0.002, (0.3715, 0.003), (0.4343, 0.007), 0.84),
    "perceptron": (
        lambda: nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)),
        *(0.001, (0.186, 0.022), (0.305, 0.026), 0.87),
    ),
}


@claim("softmax-regression-learns-fashion-mnist")
@pytest.mark.cuda
@pytest.mark.parametrize("model", MODELS)
def test_twenty_epochs_end_where_they_ended_on_the_cpu(fashion_mnist, device, record_property, model):
    build, rate, training_loss, test_loss, least = MODELS[model]
    net = build()
    losses = trained(net, rate, *pixels_and_labels(fashion_mnist, device, True), epochs=20)
    record_property("curve", curve("epoch", "loss", training=losses))
    images, labels = pixels_and_labels(fashion_mnist, device, False)
    outputs = net(images).detach()

    assert losses[-1] == pytest.approx(training_loss[0], abs=training_loss[1])
    assert F.cross_entropy(outputs, labels).item() == pytest.approx(test_loss[0], abs=test_loss[1])
    assert (outputs.argmax(dim=1) == labels).float().mean().item() > least
