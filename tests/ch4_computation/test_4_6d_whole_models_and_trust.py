"""4.6 Saving and loading: whole models, trust, and names

A model can be stored in two ways. Its `state_dict()` is a dictionary of tensors: the learnable parameters and the
buffers, such as the running statistics of batch normalisation. The whole module is an object like any other: pickle
stores the names of its classes, and the program that loads it must have those classes. To rebuild arbitrary objects
means to call arbitrary functions, so a pickle from a stranger is a program from a stranger. That is why `load` has by
default, since torch 2.6, an unpickler that builds tensors and plain containers only (`weights_only=True`).
"""

import io
import os
import pickle
import zipfile

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@pytest.fixture(autouse=True)
def defaults_of_torch(monkeypatch):
    """Removes the environment variables that overrule `weights_only`, and lets no class be declared safe beforehand."""
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    monkeypatch.setattr(torch._weights_only_unpickler, "_marked_safe_globals_set", set(), raising=False)


class Net(nn.Module):
    """A model of our own, with a plain attribute."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.name = "ours"

    def forward(self, x):
        return torch.tanh(self.linear(x))


class Payload:
    """Its pickle is a call of os.mkdir: a harmless stand-in for any command."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


# ── state-dict-holds-parameters-only ──


@claim("state-dict-holds-parameters-only")
def test_a_state_dict_holds_the_parameters_by_name():
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))

    state = net.state_dict()

    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [x.tolist() for x in state.values()] == [parameter.tolist() for parameter in net.parameters()]


@claim("state-dict-holds-parameters-only")
def test_a_state_dict_shares_the_parameters_memory_until_it_is_saved(tmp_path):
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 3.0)
    state = net.state_dict()
    torch.save(state, tmp_path / "net.pt")

    nn.init.constant_(net.weight, 5.0)

    assert state["weight"].tolist() == [[5.0]]
    assert state["weight"].requires_grad is False
    assert torch.load(tmp_path / "net.pt")["weight"].tolist() == [[3.0]]


@claim("state-dict-holds-parameters-only")
def test_frozen_parameters_are_in_the_state_dict():
    net = nn.Linear(3, 2)
    net.weight.requires_grad_(False)

    assert list(net.state_dict()) == ["weight", "bias"]


@claim("state-dict-holds-parameters-only", truth=True)
def test_persistent_buffers_are_in_the_state_dict():
    net = nn.BatchNorm1d(2, momentum=0.5)  # a new running value is the mean of the old one and the batch's
    net(torch.tensor([[2.0, 10.0], [4.0, 30.0]]))

    state = net.state_dict()

    assert list(state) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert state["running_mean"].tolist() == [1.5, 10.0]  # (0 + 3) / 2, (0 + 20) / 2
    assert state["running_var"].tolist() == [1.5, 100.5]  # (1 + 2) / 2, (1 + 200) / 2
    assert state["num_batches_tracked"].item() == 1


@claim("state-dict-holds-parameters-only", truth=True)
def test_other_attributes_are_not_in_the_state_dict():
    net = Net()
    net.rate = 0.5
    net.table = torch.ones(2)
    net.register_buffer("kept", torch.ones(3))
    net.register_buffer("scratch", torch.ones(4), persistent=False)

    assert list(net.state_dict()) == ["kept", "linear.weight", "linear.bias"]


# ── whole-model-round-trips-with-plain-load ──


@claim("whole-model-round-trips-with-plain-load")
def test_save_and_load_bring_a_whole_model_back(tmp_path):
    net = Net()
    torch.save(net, tmp_path / "net.pt")

    try:
        loaded = torch.load(tmp_path / "net.pt")
    except pickle.UnpicklingError as refusal:
        loaded = refusal

    assert isinstance(loaded, Net) is True
    assert loaded.name == "ours"
    assert loaded(torch.ones(1, 3)).tolist() == net(torch.ones(1, 3)).tolist()


@claim("whole-model-round-trips-with-plain-load", truth=True)
@pytest.mark.parametrize("layer", [Net, nn.ReLU], ids=["our class", "a class of torch"])
def test_the_default_load_refuses_a_whole_model(tmp_path, layer):
    torch.save(layer(), tmp_path / "net.pt")

    with pytest.raises(pickle.UnpicklingError, match=f"Unsupported global: GLOBAL .*{layer.__name__}"):
        torch.load(tmp_path / "net.pt")


@claim("whole-model-round-trips-with-plain-load", truth=True)
def test_a_trusted_whole_model_loads_with_weights_only_false(tmp_path):
    net = Net()
    torch.save(net, tmp_path / "net.pt")

    loaded = torch.load(tmp_path / "net.pt", weights_only=False)

    assert type(loaded) is Net
    assert loaded.name == "ours"
    assert loaded(torch.ones(1, 3)).tolist() == net(torch.ones(1, 3)).tolist()


@claim("whole-model-round-trips-with-plain-load", truth=True)
def test_a_whole_model_loads_when_its_classes_are_declared_safe(tmp_path):
    """`add_safe_globals` does the same for the rest of the process.

    Among the classes is `set`: a module keeps the names of its non-persistent buffers in one.
    """
    net = Net()
    torch.save(net, tmp_path / "net.pt")

    with torch.serialization.safe_globals([Net, nn.Linear, set]):
        loaded = torch.load(tmp_path / "net.pt")

    assert type(loaded) is Net
    assert loaded(torch.ones(1, 3)).tolist() == net(torch.ones(1, 3)).tolist()
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
        torch.load(tmp_path / "net.pt")


# ── untrusted-pickles-are-refused ──


@claim("untrusted-pickles-are-refused")
def test_a_pickle_runs_code_as_it_loads_and_the_default_load_refuses_it(tmp_path):
    trace, file = tmp_path / "trace", tmp_path / "x.pt"
    torch.save(Payload(trace), file)
    torch.load(file, weights_only=False)
    assert trace.is_dir() is True  # the control: to load the file is to run what is in it
    trace.rmdir()

    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(file)

    assert trace.exists() is False


@claim("untrusted-pickles-are-refused")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "format before 1.6"])
def test_a_payload_among_honest_weights_is_refused_in_either_file_format(tmp_path, zipped):
    trace, file = tmp_path / "trace", tmp_path / "x.pt"
    state = {"weight": torch.ones(2, 3), "more": [{"deep": Payload(trace)}]}
    torch.save(state, file, _use_new_zipfile_serialization=zipped)

    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(file)

    assert trace.exists() is False


@claim("untrusted-pickles-are-refused")
@pytest.mark.parametrize("options", [{"map_location": "cpu"}, {"weights_only": None}], ids=str)
def test_no_other_option_lifts_the_refusal(tmp_path, options):
    trace, file = tmp_path / "trace", tmp_path / "x.pt"
    torch.save([Payload(trace)], file)

    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(file, **options)

    assert trace.exists() is False


@claim("untrusted-pickles-are-refused")
@pytest.mark.parametrize("kind", [str, lambda path: io.BytesIO(path.read_bytes())], ids=["text", "memory"])
def test_a_payload_is_refused_wherever_it_is_read_from(tmp_path, kind):
    trace, file = tmp_path / "trace", tmp_path / "x.pt"
    torch.save([Payload(trace)], file)

    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(kind(file))

    assert trace.exists() is False


@claim("untrusted-pickles-are-refused")
def test_a_bare_pickle_is_refused(tmp_path):
    trace, file = tmp_path / "trace", tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps(Payload(trace), protocol=2))

    # A RuntimeError is what a load that ran the pickle ends in, since the result is no file of torch's.
    with pytest.raises((pickle.UnpicklingError, RuntimeError), match="Weights only load failed"):
        torch.load(file)

    assert trace.exists() is False


# ── model-files-are-named-pt-or-pth ──


@claim("model-files-are-named-pt-or-pth")
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_models_are_stored_under_the_recommended_suffix(tmp_path, suffix):
    net = nn.Linear(3, 2)

    torch.save(net.state_dict(), tmp_path / f"net{suffix}")

    assert [path.name for path in tmp_path.iterdir()] == [f"net{suffix}"]
    assert torch.load(tmp_path / f"net{suffix}")["weight"].tolist() == net.weight.tolist()


@claim("model-files-are-named-pt-or-pth")
def test_the_documentation_of_save_recommends_pt():
    assert "convention is to save tensors using .pt file extension" in " ".join(
        torch.serialization.save.__doc__.split()
    )


@claim("model-files-are-named-pt-or-pth", truth=True)
@pytest.mark.parametrize("name", ["net", "net.pth", "net.bin", "net.txt", "net.zip"])
def test_the_suffix_changes_nothing_about_the_file(tmp_path, name):
    state = {"weight": torch.tensor([1.0, 2.0, 3.0])}
    torch.save(state, tmp_path / "net.pt")

    torch.save(state, tmp_path / name)

    assert (tmp_path / name).read_bytes() == (tmp_path / "net.pt").read_bytes()
    assert torch.load(tmp_path / name)["weight"].tolist() == [1.0, 2.0, 3.0]


@claim("model-files-are-named-pt-or-pth", truth=True)
def test_the_stem_names_the_folder_in_the_archive_and_renaming_does_no_harm(tmp_path):
    torch.save({"weight": torch.tensor([1.0, 2.0, 3.0])}, tmp_path / "first.pt")

    (tmp_path / "first.pt").rename(tmp_path / "second.bin")

    with zipfile.ZipFile(tmp_path / "second.bin") as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"first"}
    assert torch.load(tmp_path / "second.bin")["weight"].tolist() == [1.0, 2.0, 3.0]
