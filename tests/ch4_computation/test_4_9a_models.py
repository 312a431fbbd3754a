"""4.9 GPU computing: models

A model is where its parameters and buffers are. `to(device)` moves them all at once, in every submodule; unlike a
tensor's method of that name, which leaves the tensor alone and returns a copy, a module's changes the module and
returns it. Data does not follow by itself: each mini-batch has to be moved to the model's device before it goes in.
Then training is the same program on every device, and gives the same numbers up to rounding.
"""

import copy

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


def small_network():
    """A network with submodules in submodules, parameters and buffers, on the CPU."""
    hidden = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
    return nn.Sequential(hidden, nn.Linear(4, 2, bias=False)).cpu()


def tensors_of(model):
    """All that should move: four parameters, then a weight without bias, then three buffers of the normalisation."""
    return [*model.parameters(), *model.buffers()]


# ── model-moves-with-to ──


@claim("model-moves-with-to")
def test_to_moves_every_parameter_and_buffer(accelerator):
    model = small_network()
    before = [tensor.tolist() for tensor in tensors_of(model)]
    model.to(accelerator)
    assert [tensor.device.type for tensor in tensors_of(model)] == [accelerator.type] * 8
    assert [tensor.tolist() for tensor in tensors_of(model)] == before


@claim("model-moves-with-to")
def test_nothing_but_the_place_changes(accelerator):
    model = small_network().eval()
    model[1].requires_grad_(False)
    model.to(accelerator)
    assert [tensor.device.type for tensor in tensors_of(model)] == [accelerator.type] * 8
    assert [tensor.dtype for tensor in tensors_of(model)] == [torch.float32] * 7 + [torch.int64]  # a counter of batches
    assert [parameter.requires_grad for parameter in model.parameters()] == [True] * 4 + [False]
    assert [module.training for module in model.modules()] == [False] * 6


@claim("model-moves-with-to")
def test_containers_in_containers_move_with_all_they_hold(accelerator):
    numbers = nn.ParameterList([nn.Parameter(torch.ones(2, device="cpu"))])
    model = nn.ModuleList([nn.ModuleDict({"inner": nn.Sequential(nn.Linear(2, 1), numbers)})]).cpu()
    model.to(accelerator)
    assert [parameter.device.type for parameter in model.parameters()] == [accelerator.type] * 3


@claim("model-moves-with-to")
@pytest.mark.cuda
def test_a_shared_parameter_is_still_shared_afterwards():
    """The parameter stays the same object and is given other memory. A third party's device, for which torch cannot do
    that, gets new parameters, one for each place."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).cpu()
    weight = model[1].weight = model[0].weight
    model.cuda()
    assert model[0].weight is model[1].weight is weight
    assert weight.is_cuda is True


@claim("model-moves-with-to")
def test_to_moves_to_the_device_with_that_number(two_devices):
    for device in two_devices:
        assert [tensor.device for tensor in tensors_of(small_network().to(device))] == [device] * 8


@claim("model-moves-with-to")
def test_cpu_moves_every_parameter_and_buffer_back(accelerator):
    model = small_network()
    before = [tensor.tolist() for tensor in tensors_of(model)]
    model.to(accelerator).cpu()
    assert [tensor.device.type for tensor in tensors_of(model)] == ["cpu"] * 8
    assert [tensor.tolist() for tensor in tensors_of(model)] == before


@claim("model-moves-with-to")
@pytest.mark.cuda
def test_cuda_moves_to_the_gpu_with_that_index():
    for index in range(torch.cuda.device_count()):
        model = small_network().cuda(index)
        assert [tensor.device for tensor in tensors_of(model)] == [torch.device("cuda", index)] * 8


@claim("model-moves-with-to")
def test_a_module_moves_itself_and_a_tensor_makes_a_copy(accelerator):
    model, x = small_network(), torch.ones(3, device="cpu")
    assert model.to(accelerator) is model
    assert model.cpu() is model
    assert x.to(accelerator) is not x
    assert x.device.type == "cpu"


@claim("model-moves-with-to")
def test_gradients_move_with_their_parameters(accelerator):
    model = nn.Linear(2, 1, device="cpu")
    model(torch.tensor([[3.0, 4.0]], device="cpu")).sum().backward()
    model.to(accelerator)
    assert model.weight.grad.device == model.weight.device
    assert model.weight.grad.tolist() == [[3.0, 4.0]]


@claim("model-moves-with-to")
def test_a_tensor_that_is_no_parameter_or_buffer_stays_behind(accelerator):
    model = nn.Linear(3, 2, device="cpu")
    model.note = torch.ones(2, device="cpu")
    model.register_buffer("scratch", torch.ones(2, device="cpu"), persistent=False)
    model.to(accelerator)
    assert model.note.device.type == "cpu"
    assert model.scratch.device.type == accelerator.type


# ── parameter-device-tells-the-models-device ──


@claim("parameter-device-tells-the-models-device")
def test_the_first_parameter_tells_where_the_model_is(accelerator):
    model = small_network()
    assert next(model.parameters()).device.type == "cpu"
    model.to(accelerator)
    assert next(model.parameters()).device.type == accelerator.type


@claim("parameter-device-tells-the-models-device")
def test_data_moved_to_the_parameters_device_can_be_fed_to_the_model(accelerator):
    for model in (small_network(), small_network().to(accelerator)):
        device = next(model.parameters()).device
        output = model(torch.ones(5, 3, device="cpu").to(device))
        assert output.device == device
        assert output.shape == (5, 2)


@claim("parameter-device-tells-the-models-device")
def test_parameters_are_asked_because_a_module_has_no_device_itself(accelerator):
    model = small_network().to(accelerator)
    assert hasattr(model, "device") is False
    assert {parameter.device.type for parameter in model.parameters()} == {accelerator.type}


@claim("parameter-device-tells-the-models-device")
def test_a_model_may_be_in_two_places_so_one_parameter_tells_of_itself_only(accelerator):
    model = small_network()
    model[1].to(accelerator)
    assert [parameter.device.type for parameter in model.parameters()] == ["cpu"] * 4 + [accelerator.type]


# ── model-and-input-must-share-a-device ──

# Most layers say "Expected all tensors to be on the same device", convolutions that input type and weight type
# "should be the same"; MPS has sentences of its own.
MIXED = "(?i)same device|should be the same|on MPS device|on cpu"

every_layer = pytest.mark.parametrize(
    ("layer", "batch"),
    [
        pytest.param(lambda: nn.Linear(3, 2), lambda: torch.ones(5, 3, device="cpu"), id="Linear"),
        pytest.param(lambda: nn.Conv2d(1, 2, 3), lambda: torch.ones(5, 1, 4, 4, device="cpu"), id="Conv2d"),
        pytest.param(lambda: nn.Embedding(4, 2), lambda: torch.tensor([3, 0, 1], device="cpu"), id="Embedding"),
        pytest.param(small_network, lambda: torch.ones(5, 3, device="cpu"), id="network"),
    ],
)


@claim("model-and-input-must-share-a-device")
@every_layer
def test_a_model_on_the_gpu_refuses_input_on_the_cpu(accelerator, layer, batch):
    model = layer().to(accelerator)
    with pytest.raises(RuntimeError, match=MIXED):
        model(batch())
    with pytest.raises(RuntimeError, match=MIXED):
        model.eval()(batch())


@claim("model-and-input-must-share-a-device")
@every_layer
def test_a_model_on_the_cpu_refuses_input_on_the_gpu(accelerator, layer, batch):
    with pytest.raises(RuntimeError, match=MIXED):
        layer().cpu()(batch().to(accelerator))


@claim("model-and-input-must-share-a-device")
@every_layer
def test_a_model_on_one_gpu_refuses_input_on_another(two_devices, layer, batch):
    first, second = two_devices
    with pytest.raises(RuntimeError, match=MIXED):
        layer().to(first)(batch().to(second))


@claim("model-and-input-must-share-a-device")
@every_layer
def test_input_moved_to_the_model_is_accepted(accelerator, layer, batch):
    model = layer().to(accelerator)
    assert model(batch().to(accelerator)).device.type == accelerator.type


# ── training-runs-on-gpu ──


def linear_regression():
    """200 examples of y = 2 a - 3.4 b + 4.2, with noise of standard deviation 0.01."""
    features = torch.randn(200, 2, device="cpu")
    labels = features @ torch.tensor([[2.0], [-3.4]], device="cpu") + 4.2 + 0.01 * torch.randn(200, 1, device="cpu")
    return nn.Linear(2, 1), nn.MSELoss(), features, labels


def softmax_regression():
    """Three well separated clouds of 50 points each."""
    centres = torch.tensor([[0.0, 4.0], [4.0, -2.0], [-4.0, -2.0]], device="cpu")
    labels = torch.arange(150, device="cpu") % 3
    return nn.Linear(2, 3), nn.CrossEntropyLoss(), centres[labels] + 0.5 * torch.randn(150, 2, device="cpu"), labels


def perceptron():
    """The parabola on [-1, 1], which no straight line fits."""
    features = torch.linspace(-1, 1, 64, device="cpu").reshape(-1, 1)
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    return model, nn.MSELoss(), features, features**2


def train(model, loss, features, labels, *, steps):
    """Gradient descent with momentum on the whole data set; returns the loss before the first step and
    after the last.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        error = loss(model(features), labels)
        error.backward()
        optimizer.step()
        losses.append(error.detach())
    return losses[0].item(), loss(model(features), labels).item()


every_task = pytest.mark.parametrize("task", [linear_regression, softmax_regression, perceptron])


@claim("training-runs-on-gpu")
@every_task
def test_the_first_step_gives_the_cpus_parameters(accelerator, task):
    """The same program on both devices. Gradients are means of at most 200 terms of magnitude 10 or less, so float32
    sums in another order differ by less than 200 * 10 * 2**-24 = 1.2e-4, and the step takes a tenth of that."""
    model, loss, features, labels = task()
    model.cpu()
    start = [parameter.tolist() for parameter in model.parameters()]
    twin = copy.deepcopy(model).to(accelerator)
    train(model, loss, features, labels, steps=1)
    train(twin, loss, features.to(accelerator), labels.to(accelerator), steps=1)
    assert [parameter.tolist() for parameter in model.parameters()] != start
    for ours, theirs in zip(twin.parameters(), model.parameters()):
        assert ours.device.type == accelerator.type
        torch.testing.assert_close(ours.detach().cpu(), theirs.detach(), rtol=0, atol=1.2e-5)


@claim("training-runs-on-gpu")
@every_task
def test_ten_steps_stay_beside_the_cpus(accelerator, task):
    """Momentum counts from the second step on. It carries each step's difference, at most 1.2e-5 as above, into the
    later ones, 1 / (1 - 0.9) = 10 times in all: after ten steps 1.2e-3 at most."""
    model, loss, features, labels = task()
    model.cpu()
    twin = copy.deepcopy(model).to(accelerator)
    train(model, loss, features, labels, steps=10)
    train(twin, loss, features.to(accelerator), labels.to(accelerator), steps=10)
    for ours, theirs in zip(twin.parameters(), model.parameters()):
        torch.testing.assert_close(ours.detach().cpu(), theirs.detach(), rtol=0, atol=1.2e-3)


@claim("training-runs-on-gpu")
def test_linear_regression_finds_the_true_parameters(accelerator):
    """The loss ends at the noise's variance, 1e-4; each parameter is off by some 0.01 / sqrt(200) = 7e-4."""
    model, loss, features, labels = linear_regression()
    model.to(accelerator)
    train(model, loss, features.to(accelerator), labels.to(accelerator), steps=150)
    assert model.weight.tolist()[0] == pytest.approx([2.0, -3.4], abs=0.01)
    assert model.bias.item() == pytest.approx(4.2, abs=0.01)


@claim("training-runs-on-gpu")
def test_softmax_regression_separates_the_classes(accelerator):
    """Centres are 7.2 or 8 apart and clouds spread by 0.5: a border halfway is seven standard deviations from each."""
    model, loss, features, labels = softmax_regression()
    model.to(accelerator)
    features, labels = features.to(accelerator), labels.to(accelerator)
    first, last = train(model, loss, features, labels, steps=50)
    accuracy = (model(features).argmax(dim=1) == labels).float().mean().item()
    assert last < first / 4
    assert accuracy > 0.98


@claim("training-runs-on-gpu")
def test_a_perceptron_fits_what_no_line_can(accelerator):
    """The best line has the mean squared error of the parabola's own variance, 4/45 = 0.089."""
    model, loss, features, labels = perceptron()
    model.to(accelerator)
    first, last = train(model, loss, features.to(accelerator), labels.to(accelerator), steps=150)
    assert last < first
    assert last < 0.01
