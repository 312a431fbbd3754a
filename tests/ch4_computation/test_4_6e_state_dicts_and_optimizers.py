"""4.6 Saving and loading: restoring a model and going on with its training

The recommended way stores a model's `state_dict()` and loads it into a new instance of the same class: the program
supplies the structure, the file the numbers. `load_state_dict` copies every entry into the tensor of the same name
and, by default, is *strict*: a name that is missing, unknown or of the wrong shape is an error, never passed over. To
go on with an interrupted training as if nothing had happened one also stores the optimizer's state, since momentum
and Adam's running averages are part of what the next step depends on.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


class Classifier(nn.Module):
    """Rectangular layers, a normalisation with buffers, and a size chosen by the caller."""

    def __init__(self, hidden):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, hidden), nn.BatchNorm1d(hidden), nn.Tanh())
        self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        return self.head(self.body(x))


# ── state-dict-round-trips: the model ──


@claim("state-dict-round-trips")
def test_a_new_instance_gets_every_parameter_and_buffer_and_computes_the_same(tmp_path):
    net, new = Classifier(5), Classifier(5)
    net(torch.randn(8, 4))  # moves the running statistics away from their initial values
    assert torch.equal(new.head.weight, net.head.weight) is False

    torch.save(net.state_dict(), tmp_path / "net.pt")
    new.load_state_dict(torch.load(tmp_path / "net.pt"))

    assert list(new.state_dict()) == list(net.state_dict())
    for name, value in net.state_dict().items():
        assert torch.equal(new.state_dict()[name], value), name
    x = torch.randn(2, 4)
    assert torch.equal(new.eval()(x), net.eval()(x))


@claim("state-dict-round-trips")
def test_the_numbers_are_copied_into_the_parameters_that_are_there(tmp_path):
    """An optimizer made before the load goes on holding the right parameters."""
    net, new = nn.Linear(2, 1), nn.Linear(2, 1)
    weight = new.weight
    torch.save(net.state_dict(), tmp_path / "net.pt")
    state = torch.load(tmp_path / "net.pt")

    new.load_state_dict(state)
    state["weight"].zero_()

    assert new.weight is weight
    assert new.weight.tolist() == net.weight.tolist()
    assert new.weight.requires_grad is True


@claim("state-dict-round-trips")
def test_parameters_that_were_tied_are_tied_in_the_new_instance(tmp_path):
    def tied():
        linear = nn.Linear(2, 2)
        return nn.Sequential(linear, nn.Tanh(), linear)

    net, new = tied(), tied()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    new.load_state_dict(torch.load(tmp_path / "net.pt"))

    assert new[0].weight is new[2].weight
    assert new[2].weight.tolist() == net[0].weight.tolist()


@claim("state-dict-round-trips")
def test_the_new_instance_keeps_its_own_dtype_and_mode(tmp_path):
    net, new = nn.Linear(2, 1).double().eval(), nn.Linear(2, 1)
    nn.init.constant_(net.weight, 0.5)
    torch.save(net.state_dict(), tmp_path / "net.pt")

    new.load_state_dict(torch.load(tmp_path / "net.pt"))

    assert new.training is True
    assert new.weight.dtype == torch.float32
    assert new.weight.tolist() == [[0.5, 0.5]]


# ── state-dict-round-trips: what does not fit ──


@claim("state-dict-round-trips")
def test_a_missing_key_raises_runtime_error(tmp_path):
    torch.save({"weight": torch.ones(3, 2)}, tmp_path / "net.pt")

    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "bias"'):
        nn.Linear(2, 3).load_state_dict(torch.load(tmp_path / "net.pt"))


@claim("state-dict-round-trips")
def test_an_unexpected_key_raises_runtime_error(tmp_path):
    torch.save({"weight": torch.ones(3, 2), "bias": torch.ones(3), "bais": torch.ones(3)}, tmp_path / "net.pt")

    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "bais"'):
        nn.Linear(2, 3).load_state_dict(torch.load(tmp_path / "net.pt"))


@claim("state-dict-round-trips")
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("shape", [(2, 3), (3, 1), (6,), (1, 3, 2)], ids=str)
def test_a_wrong_shape_raises_runtime_error_strict_or_not(tmp_path, shape, strict):
    torch.save({"weight": torch.ones(shape), "bias": torch.ones(3)}, tmp_path / "net.pt")

    with pytest.raises(RuntimeError, match=r"size mismatch for weight: .* the shape in current model is .*\[3, 2\]"):
        nn.Linear(2, 3).load_state_dict(torch.load(tmp_path / "net.pt"), strict=strict)


@claim("state-dict-round-trips")
def test_a_file_of_a_wider_model_names_every_entry_that_does_not_fit(tmp_path):
    torch.save(Classifier(6).state_dict(), tmp_path / "net.pt")

    with pytest.raises(RuntimeError) as error:
        Classifier(5).load_state_dict(torch.load(tmp_path / "net.pt"))

    mismatched = [line.split()[3].rstrip(":") for line in str(error.value).splitlines() if "size mismatch" in line]
    assert mismatched == [
        "body.0.weight",
        "body.0.bias",
        "body.1.weight",
        "body.1.bias",
        "body.1.running_mean",
        "body.1.running_var",
        "head.weight",
    ]


@claim("state-dict-round-trips")
def test_without_strictness_what_fits_is_loaded_and_the_rest_is_reported(tmp_path):
    net = nn.Linear(2, 1)
    bias = net.bias.item()
    torch.save({"weight": torch.tensor([[3.0, 4.0]]), "extra": torch.ones(1)}, tmp_path / "net.pt")

    report = net.load_state_dict(torch.load(tmp_path / "net.pt"), strict=False)

    assert report.missing_keys == ["bias"]
    assert report.unexpected_keys == ["extra"]
    assert net.weight.tolist() == [[3.0, 4.0]]
    assert net.bias.item() == bias


# ── state-dict-round-trips: training goes on ──

OPTIMIZERS = {
    "SGD with momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.05),
}


def train(net, optimizer, x, y, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        (net(x) - y).square().mean().backward()
        optimizer.step()


@claim("state-dict-round-trips")
@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_interrupted_training_goes_on_exactly_as_an_uninterrupted_one(tmp_path, make_optimizer):
    x, y = torch.randn(6, 4), torch.randn(6, 3)
    net = Classifier(5)
    optimizer = make_optimizer(net.parameters())
    train(net, optimizer, x, y, steps=3)
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "halfway.pt")
    train(net, optimizer, x, y, steps=3)

    halfway = torch.load(tmp_path / "halfway.pt")
    resumed = Classifier(5)
    resumed.load_state_dict(halfway["net"])
    resumed_optimizer = make_optimizer(resumed.parameters())
    resumed_optimizer.load_state_dict(halfway["optimizer"])
    train(resumed, resumed_optimizer, x, y, steps=3)

    for name, value in net.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


@claim("state-dict-round-trips")
@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_without_the_optimizers_state_the_training_takes_another_course(tmp_path, make_optimizer):
    x, y = torch.randn(6, 4), torch.randn(6, 3)
    net = Classifier(5)
    optimizer = make_optimizer(net.parameters())
    train(net, optimizer, x, y, steps=3)
    torch.save(net.state_dict(), tmp_path / "halfway.pt")
    train(net, optimizer, x, y, steps=1)

    resumed = Classifier(5)
    resumed.load_state_dict(torch.load(tmp_path / "halfway.pt"))
    train(resumed, make_optimizer(resumed.parameters()), x, y, steps=1)

    assert torch.equal(resumed.head.weight, net.head.weight) is False


@claim("state-dict-round-trips")
def test_the_optimizers_settings_are_restored_with_its_state(tmp_path):
    net = nn.Linear(2, 1)
    groups = [{"params": [net.weight], "lr": 0.25}, {"params": [net.bias], "lr": 0.125}]
    torch.save(torch.optim.SGD(groups, lr=1.0, momentum=0.5).state_dict(), tmp_path / "optimizer.pt")

    optimizer = torch.optim.SGD([{"params": [net.weight]}, {"params": [net.bias]}], lr=0.001)
    optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt"))

    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.125]
    assert [group["momentum"] for group in optimizer.param_groups] == [0.5, 0.5]


@claim("state-dict-round-trips")
def test_the_state_of_an_optimizer_with_other_parameters_is_refused(tmp_path):
    torch.save(torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.25).state_dict(), tmp_path / "optimizer.pt")
    optimizer = torch.optim.SGD(nn.Linear(2, 1, bias=False).parameters(), lr=0.5)

    with pytest.raises(ValueError, match="parameter group that doesn't match the size"):
        optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt"))
