"""4.6b Saving and loading: models, and whom to trust

A model can be stored in two ways. Its `state_dict()` is a dictionary of tensors, the parameters and the buffers; the
program supplies the class, and `load_state_dict` copies each entry into the tensor of the same name. Or the whole
module is stored, an object like any other: the file then holds the names of its classes, and the program that loads it
must have them.

To rebuild arbitrary objects means to call arbitrary functions, so a pickle from a stranger is a program from a
stranger. That is why `load` has by default, since torch 2.6, an unpickler that knows tensors and plain containers and
little else (`weights_only=True`). It is a filter, and filters have had holes: who wrote the file still matters.
"""

import copy
import os
import pickle
import zipfile

import pytest
import torch
from torch import nn

import __main__

claim = pytest.mark.claim


@claim("state-dict-holds-parameters-only")
def test_a_state_dict_holds_the_parameters_by_name():
    net = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2))
    net[0].weight, net[2].bias = nn.Parameter(torch.tensor([[1.0, 2.0]])), nn.Parameter(torch.tensor([3.0, 4.0]))

    state = net.state_dict()

    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert state["0.weight"].tolist() == [[1.0, 2.0]]
    assert state["2.bias"].tolist() == [3.0, 4.0]


@claim("state-dict-holds-parameters-only", truth=True)
def test_persistent_buffers_are_in_the_state_dict_too():
    net = nn.BatchNorm1d(2, momentum=0.5)  # a new running value is the mean of the old one and the batch's
    net.register_buffer("scratch", torch.ones(4), persistent=False)
    net.rate, net.table = 0.5, torch.ones(2)

    net(torch.tensor([[2.0, 10.0], [4.0, 30.0]]))

    state = net.state_dict()
    assert list(state) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert state["running_mean"].tolist() == [1.5, 10.0]  # (0 + 3) / 2, (0 + 20) / 2
    assert state["num_batches_tracked"].item() == 1


@claim("whole-model-round-trips-with-plain-load")
def test_plain_save_and_load_bring_a_whole_model_back(tmp_path):
    """Superseded: since torch 2.6 the default `load` refuses a file that names classes."""
    torch.save(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), tmp_path / "net.pt")

    try:
        loaded = torch.load(tmp_path / "net.pt")
    except pickle.UnpicklingError as refusal:
        loaded = refusal

    assert isinstance(loaded, nn.Sequential)
    assert [type(layer) for layer in loaded] == [nn.Linear, nn.Tanh]


@claim("whole-model-round-trips-with-plain-load", truth=True)
def test_a_whole_model_needs_weights_only_false_or_classes_declared_safe(tmp_path):
    net = nn.Linear(2, 1)
    net.weight = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    torch.save(net, tmp_path / "net.pt")

    with pytest.raises(pickle.UnpicklingError, match="Unsupported global: GLOBAL .*Linear"):
        torch.load(tmp_path / "net.pt")
    assert torch.load(tmp_path / "net.pt", weights_only=False).weight.tolist() == [[3.0, 4.0]]

    # A module keeps the names of its buffers that are not saved in a set.
    with torch.serialization.safe_globals([nn.Linear, set]):
        assert torch.load(tmp_path / "net.pt").weight.tolist() == [[3.0, 4.0]]
    torch.serialization.add_safe_globals([nn.Linear, set])  # for the rest of the process
    assert type(torch.load(tmp_path / "net.pt")) is nn.Linear


@claim("whole-model-needs-its-class")
def test_another_program_without_the_class_cannot_load_the_model(tmp_path, monkeypatch):
    class Net(nn.Module):
        pass

    Net.__module__, Net.__qualname__ = "__main__", "Net"  # as if a script had defined it
    monkeypatch.setattr(__main__, "Net", Net, raising=False)
    torch.save(Net(), tmp_path / "net.pt")
    assert type(torch.load(tmp_path / "net.pt", weights_only=False)) is Net

    monkeypatch.delattr(__main__, "Net")  # another script, without that class

    with pytest.raises(AttributeError, match="Can't get attribute 'Net'"):
        torch.load(tmp_path / "net.pt", weights_only=False)


@claim("untrusted-pickles-are-refused")
def test_a_pickle_runs_code_as_it_loads_and_the_default_load_refuses_it(tmp_path):
    class Payload:
        def __reduce__(self):  # tells pickle: to rebuild me, call this function
            return os.mkdir, (str(tmp_path / "trace"),)

    torch.save({"weight": torch.ones(2), "more": Payload()}, tmp_path / "net.pt")

    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(tmp_path / "net.pt")
    assert (tmp_path / "trace").exists() is False

    torch.load(tmp_path / "net.pt", weights_only=False)
    assert (tmp_path / "trace").exists() is True


@claim("untrusted-pickles-are-refused", truth=True)
def test_three_settings_switch_the_filter_off_and_nothing_makes_a_sandbox_of_it(tmp_path, monkeypatch):
    """A program cannot show the holes of a filter that it has not found. Two that others found, CVE-2025-32434 and
    CVE-2026-24747, let a crafted file run code under `weights_only=True`; torch 2.6 and 2.10 closed them.
    """

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trace"),)

    torch.save([Payload()], tmp_path / "net.pt")

    for options in ({"weights_only": False}, {"pickle_module": pickle}):
        torch.load(tmp_path / "net.pt", **options)
        (tmp_path / "trace").rmdir()  # it was made
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.load(tmp_path / "net.pt")
    assert (tmp_path / "trace").is_dir() is True


@claim("model-files-are-named-pt-or-pth")
def test_models_are_saved_under_either_suffix(tmp_path):
    torch.save({"weight": torch.tensor([1.0, 2.0])}, tmp_path / "net.pt")
    torch.save({"weight": torch.tensor([3.0, 4.0])}, tmp_path / "net.pth")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.pt", "net.pth"]
    assert torch.load(tmp_path / "net.pt")["weight"].tolist() == [1.0, 2.0]
    assert torch.load(tmp_path / "net.pth")["weight"].tolist() == [3.0, 4.0]
    assert "convention is to save tensors using .pt file extension" in " ".join(torch.save.__doc__.split())


@claim("model-files-are-named-pt-or-pth", truth=True)
def test_the_suffix_changes_nothing_and_the_stem_names_the_folder_in_the_archive(tmp_path):
    state = {"weight": torch.tensor([1.0, 2.0, 3.0])}
    for name in ("net.pt", "net.pth", "net.txt", "net"):
        torch.save(state, tmp_path / name)

    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1
    (tmp_path / "net.txt").rename(tmp_path / "other.gz")
    assert torch.load(tmp_path / "other.gz")["weight"].tolist() == [1.0, 2.0, 3.0]
    with zipfile.ZipFile(tmp_path / "other.gz") as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"net"}


@claim("state-dict-round-trips")
def test_a_new_instance_computes_what_the_saved_one_did(tmp_path):
    class Net(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(2, hidden), nn.BatchNorm1d(hidden))
            self.head = nn.Linear(hidden, 1)

        def forward(self, x):
            return self.head(self.body(x))

    net, x = Net(hidden=3), torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    net(x)  # moves the running statistics
    torch.save(net.state_dict(), tmp_path / "net.pt")

    restored = Net(hidden=3)
    assert restored.eval()(x).tolist() != net.eval()(x).tolist()
    restored.load_state_dict(torch.load(tmp_path / "net.pt"))

    assert restored.eval()(x).tolist() == net.eval()(x).tolist()


@claim("state-dict-round-trips", truth=True)
def test_what_is_not_in_the_dict_is_not_restored_and_what_does_not_fit_is_refused(tmp_path):
    net, new = nn.Linear(2, 1).double().eval(), nn.Linear(2, 1)
    net.plain, new.plain = torch.tensor([1.0]), torch.tensor([2.0])  # as the random weight of the notes' FancyMLP
    torch.save(net.state_dict(), tmp_path / "net.pt")
    state = torch.load(tmp_path / "net.pt")

    new.load_state_dict(state)
    assert (new.plain.tolist(), new.training, new.weight.dtype) == ([2.0], True, torch.float32)

    one, column = torch.ones(1), torch.ones(2, 1)
    for wrong in ({"weight": state["weight"]}, {**state, "bais": one}, {**state, "weight": column}):
        with pytest.raises(RuntimeError, match=r'Missing key\(s\).*"bias"|Unexpected key\(s\).*"bais"|size mismatch'):
            new.load_state_dict(wrong)
    scalar = nn.Module()
    scalar.scale = nn.Parameter(torch.tensor(2.0))
    scalar.load_state_dict({"scale": torch.tensor([5.0])})
    assert scalar.scale.tolist() == 5.0
    nn.BatchNorm1d(1, affine=False).load_state_dict({"running_mean": one, "running_var": one})
    nn.ModuleList([None]).load_state_dict({"0.weight": one})


@claim("state-dict-is-no-copy")
def test_the_best_state_so_far_must_be_copied_to_be_kept():
    net = nn.Linear(2, 1, bias=False)
    nn.init.constant_(net.weight, 1.0)
    best, kept = net.state_dict(), copy.deepcopy(net.state_dict())

    net(torch.tensor([3.0, 4.0])).backward()
    torch.optim.SGD(net.parameters(), lr=0.5).step()

    assert net.weight.tolist() == [[-0.5, -1.0]]  # 1 - 0.5 * 3, 1 - 0.5 * 4
    assert best["weight"].tolist() == [[-0.5, -1.0]]  # it went along
    assert kept["weight"].tolist() == [[1.0, 1.0]]


@claim("assign-unties-shared-parameters")
def test_assigned_entries_of_a_tied_parameter_are_two_parameters():
    def tied():
        net = nn.ModuleDict({"a": nn.Linear(1, 1, bias=False), "b": nn.Linear(1, 1, bias=False)})
        net["b"].weight = net["a"].weight
        return net

    state, assigned = tied().state_dict(), tied()
    assert "assign" in assigned.load_state_dict.__annotations__
    assigned.load_state_dict(state, assign=True)
    assert assigned["a"].weight is not assigned["b"].weight
    assert assigned["a"].weight.data_ptr() == assigned["b"].weight.data_ptr()
    assert len(list(assigned.parameters())) == 2
    assigned.to(torch.float16)
    assert assigned["a"].weight.data_ptr() != assigned["b"].weight.data_ptr()

    again, copied = tied(), tied()
    again.load_state_dict(state)  # the dict remembers
    copied.load_state_dict(tied().state_dict())
    assert again["a"].weight is not again["b"].weight
    assert copied["a"].weight is copied["b"].weight
