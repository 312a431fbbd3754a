"""4.9 GPU computing: models

A model is where its parameters and buffers are. `to(device)` moves them all at once, in every submodule; unlike a
tensor's method of that name, which leaves the tensor alone and returns a copy, a module's changes the module and
returns it. Data does not follow by itself: each mini-batch is moved to the model's device before it goes in. The rest
of the training loop is the same on every device.
"""

import pytest
import torch

claim = pytest.mark.claim


@claim("model-moves-with-to")
def test_a_model_moves_with_all_its_layers_and_back(accelerator):
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1)).cpu()
    assert {parameter.device.type for parameter in net.parameters()} == {"cpu"}

    net.to(accelerator)
    assert {parameter.device.type for parameter in net.parameters()} == {accelerator.type}

    net.cpu()
    assert {parameter.device.type for parameter in net.parameters()} == {"cpu"}


@claim("model-moves-with-to", truth=True)
def test_the_module_itself_moves_and_a_plain_tensor_stays_behind(accelerator):
    net = torch.nn.BatchNorm1d(2).cpu()
    net.note = torch.ones(2, device="cpu")

    moved = net.to(accelerator)

    assert moved is net
    assert net.weight.device.type == net.running_mean.device.type == accelerator.type
    assert net.note.device.type == "cpu"


@claim("parameter-device-tells-the-models-device")
def test_the_first_parameter_tells_where_the_model_is(accelerator):
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)).to(accelerator)

    assert next(net.parameters()).device.type == accelerator.type


@claim("parameter-device-tells-the-models-device", truth=True)
def test_a_parameter_tells_of_itself_alone(accelerator):
    net = torch.nn.Sequential(torch.nn.Linear(3, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).cpu()
    net[1].to(accelerator)

    assert [parameter.device.type for parameter in net.parameters()] == ["cpu", accelerator.type]
    assert not hasattr(net, "device")
    assert list(torch.nn.ReLU().parameters()) == []


@claim("model-and-input-must-share-a-device")
def test_input_that_was_not_moved_is_an_error(accelerator):
    net = torch.nn.Linear(3, 2).to(accelerator)
    x = torch.ones(5, 3, device="cpu")

    with pytest.raises(RuntimeError):
        net(x)
    assert net(x.to(accelerator)).shape == (5, 2)


@claim("model-and-input-must-share-a-device", truth=True)
def test_what_meets_no_parameter_or_is_a_number_is_accepted(accelerator):
    class Scale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))

        def forward(self, x):
            return x * self.weight

    net = Scale().to(accelerator)
    with pytest.raises(RuntimeError):
        net(torch.tensor([3.0, 3.0], device="cpu"))
    assert net(torch.tensor(3.0, device="cpu")).tolist() == [3, 6]
    assert torch.nn.ReLU().to(accelerator)(torch.tensor([-1.0, 1.0], device="cpu")).device.type == "cpu"


@claim("training-runs-on-gpu")
def test_a_line_is_learned_on_the_accelerator(accelerator):
    features = torch.tensor([[0.0], [1.0], [2.0], [3.0]], device="cpu")
    labels = 2 * features + 1
    net = torch.nn.Linear(1, 1).to(accelerator)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    for _ in range(300):
        x, y = features.to(accelerator), labels.to(accelerator)
        loss = torch.nn.functional.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert net.weight.device.type == accelerator.type
    assert net.weight.item() == pytest.approx(2, abs=0.01)
    assert net.bias.item() == pytest.approx(1, abs=0.01)


@claim("optimizer-keeps-the-parameters-it-was-given")
def test_an_optimizer_does_not_see_a_parameter_that_came_later():
    net = torch.nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    old = net.weight
    net.weight = torch.nn.Parameter(torch.tensor([[1.0, 1.0]]))

    net(torch.tensor([[3.0, 4.0]])).sum().backward()
    optimizer.step()

    assert net.weight.grad.tolist() == [[3, 4]]
    assert net.weight.tolist() == [[1, 1]]  # nothing learned
    assert optimizer.param_groups[0]["params"][0] is old
