"""4.9 GPU computing: models

A model is where its parameters and buffers are. `to(device)` moves them all at once, in every submodule; unlike a
tensor's method of that name, which leaves the tensor alone and returns a copy, a module's changes the module and
returns it. Data does not follow by itself: each mini-batch has to be moved to the model's device before it goes in.
"""

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
