"""3.4 torchvision: models

`torchvision.models` holds the architectures that made history in image classification, written as ordinary modules.
Each can be built untrained, or with *pretrained weights*: parameters found by long training on the 1000 classes of
ImageNet, which are downloaded once and kept. Networks of a hundred million parameters are built here on the *meta*
device, where tensors have shapes but no data; the answer to how many outputs there are needs no more.
"""

import pytest
import torch
from torch import nn

pytest.importorskip("torchvision")
from torchvision import models

claim = pytest.mark.claim

NAMES = ["alexnet", "vgg16", "resnet18", "squeezenet1_1"]


def blueprint(name, **options):
    """The architecture on the meta device: shapes without data, built in no time."""
    with torch.device("meta"):
        return getattr(models, name)(**options)


# ── torchvision-offers-models ──


@claim("torchvision-offers-models")
@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_classes_can_be_chosen(name):
    images = torch.empty(2, 3, 224, 224, device="meta")
    assert blueprint(name, num_classes=7)(images).shape == (2, 7)


@claim("torchvision-offers-models")
@pytest.mark.parametrize(
    ("name", "depth"), [("alexnet", 8), ("vgg11", 11), ("vgg16", 16), ("vgg19", 19), ("resnet18", 18), ("resnet34", 34)]
)
def test_the_number_in_a_name_counts_the_layers_with_weights(name, depth):
    """Convolutions and fully connected layers; ResNet's shortcuts, named downsample, are not counted."""
    layers = [
        module_name
        for module_name, module in blueprint(name).named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and "downsample" not in module_name
    ]
    assert len(layers) == depth


@claim("torchvision-offers-models")
@pytest.mark.parametrize(("name", "count"), [("alexnet", 61_100_840), ("vgg16", 138_357_544), ("resnet18", 11_689_512)])
def test_an_architecture_has_its_documented_number_of_parameters(name, count):
    assert sum(parameter.numel() for parameter in blueprint(name).parameters()) == count


@claim("torchvision-offers-models")
def test_a_small_architecture_classifies_real_tensors():
    net = models.squeezenet1_1().eval()
    with torch.no_grad():
        scores = net(torch.rand(2, 3, 64, 48))
    assert scores.shape == (2, 1000)
    assert scores.isfinite().all().item() is True
    assert scores[0].tolist() != scores[1].tolist()


@claim("torchvision-offers-models")
@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("alexnet", "AlexNet_Weights"),
        ("vgg16", "VGG16_Weights"),
        ("resnet18", "ResNet18_Weights"),
        ("squeezenet1_1", "SqueezeNet1_1_Weights"),
    ],
)
def test_pretrained_weights_are_named_with_their_address_and_classes(name, weights):
    default = getattr(models, weights).DEFAULT
    assert default.url.startswith("https://") is True
    assert f"/{name}-" in default.url
    assert len(default.meta["categories"]) == 1000
    assert default.meta["categories"][0] == "tench"
    assert default.meta["num_params"] == sum(parameter.numel() for parameter in blueprint(name).parameters())


@claim("torchvision-offers-models")
@pytest.mark.cpu  # weights are written to a file and read back
def test_weights_that_were_downloaded_before_are_loaded_from_their_file(tmp_path, monkeypatch):
    """A file where torch keeps downloads stands in for the download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = models.SqueezeNet1_1_Weights.DEFAULT
    trained = models.squeezenet1_1().state_dict()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(trained, folder / weights.url.rpartition("/")[2])
    loaded = models.squeezenet1_1(weights=weights).state_dict()
    assert list(loaded) == list(trained)
    assert [name for name in trained if not torch.equal(loaded[name], trained[name])] == []


@claim("torchvision-offers-models")
@pytest.mark.cpu
def test_without_weights_nothing_is_downloaded_and_the_parameters_are_random(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    one, other = models.squeezenet1_1(), models.squeezenet1_1(weights=None)
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(one.features[0].weight, other.features[0].weight) is False


@claim("torchvision-offers-models")
@pytest.mark.cpu
def test_each_set_of_weights_brings_the_preparation_of_its_images():
    """Resized and cropped to 224x224, and normalised per channel: black becomes -mean / standard deviation."""
    prepare = models.ResNet18_Weights.DEFAULT.transforms()
    prepared = prepare(torch.zeros(3, 300, 500, dtype=torch.uint8))
    assert prepared.shape == (3, 224, 224)
    black = torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])  # of ImageNet's red, green and blue
    torch.testing.assert_close(prepared[:, 100, 7], black)  # any pixel: all were black


@claim("torchvision-offers-models")
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "vgg16", "resnet18", "squeezenet1_1"])
def test_activations_stand_between_the_layers(name):
    """All but the last of the layers with weights have one, but for the second of a residual block, which shares it."""
    modules = [type(module) for module in blueprint(name).modules()]
    wanted = {"alexnet": 7, "vgg11": 10, "vgg16": 15, "resnet18": 9, "squeezenet1_1": 26}
    assert modules.count(nn.ReLU) == wanted[name]
