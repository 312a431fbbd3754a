"""4.6c Whole models and trust: classes that are not found, and pickles that call functions, spelled in every way."""

import contextlib
import copy
import pickle
import sys
import types
import warnings
import zipfile

import pytest
import torch
from populations import agree, among, over
from populations.files import CALLS, SPELLINGS, Way, filtered, hostile, ways
from populations.modules import TREES, trees
from torch import nn

claim = pytest.mark.claim


# ── state-dict-holds-parameters-only ──


@claim("state-dict-holds-parameters-only")
@claim("state-dict-holds-parameters-only", truth=True)
@over(each=trees((torch.float32, torch.float64)))
def test_a_state_dict_holds_parameters_and_saved_buffers_of_any_tree_in_order_and_nothing_else(each):
    net, plan = each
    state = net.state_dict()

    assert list(state) == [member.name for member in plan.state]
    for member in plan.state:
        assert (state[member.name].dtype, state[member.name].device) == (member.tensor.dtype, member.tensor.device)
        assert state[member.name].requires_grad is False
        assert state[member.name].data_ptr() == member.tensor.data_ptr()  # the model's memory, until it is saved
        agree(state[member.name], member.array)
    named = copy.deepcopy(net).state_dict(prefix="copy.")
    assert list(named) == ["copy." + member.name for member in plan.state]
    for member in plan.state:
        agree(named["copy." + member.name], member.array)


# ── whole-model-round-trips-with-plain-load ──


@claim("whole-model-round-trips-with-plain-load", truth=True)
@over(each=trees(must=TREES[2:4]), way=among(Way("memory"), Way("older Path")))
def test_no_tree_of_modules_passes_the_filter_and_any_comes_back_without_it(each, way):
    net, plan = each
    for module in net.modules():
        module.rate, module.words = 0.5, ["a"]

    with filtered():
        way.round_trip(net)
    loaded = way.round_trip(net, weights_only=False)
    assert type(loaded) is type(net)
    assert [(module.rate, module.words) for module in loaded.modules()] == [(0.5, ["a"])] * len(list(net.modules()))
    assert list(loaded.state_dict()) == [member.name for member in plan.state]
    for member in plan.state:
        agree(loaded.state_dict()[member.name], member.array)


@claim("whole-model-round-trips-with-plain-load", truth=True)
@over(declared=among("safe_globals", "add_safe_globals"), which=among("all", "set alone", "another class"))
def test_all_classes_of_a_model_must_be_declared_safe_and_the_manager_takes_its_word_back(declared, which):
    way, net = Way("memory"), nn.Linear(3, 2)
    classes = {"all": [nn.Linear, set], "set alone": [set], "another class": [nn.ReLU, set]}
    add = torch.serialization.add_safe_globals if declared == "add_safe_globals" else lambda classes: None
    with torch.serialization.safe_globals(classes[which]) if declared == "safe_globals" else contextlib.nullcontext():
        add(classes[which])
        try:
            found = way.round_trip(net).weight.tolist()
        except pickle.UnpicklingError:
            found = None
        assert found == (net.weight.tolist() if which == "all" else None)

    if declared == "add_safe_globals":
        torch.serialization.clear_safe_globals()
    for module in (net, nn.ReLU()):
        with filtered():
            way.round_trip(module)


# ── whole-model-needs-its-class ──


@claim("whole-model-needs-its-class")
@over(
    missing=among("class", "module", "nothing"),
    place=among("root", "inside", "in a dict"),
    way=among(*map(Way, ("memory", "mmap", "older Path"))),
)
def test_a_model_loads_where_every_class_is_found_by_its_name_and_nowhere_else(missing, place, way):
    library = types.ModuleType("nets_of_ours")
    sys.modules["nets_of_ours"] = library
    exec("from torch import nn\n\n\nclass Net(nn.Module):\n    pass\n", vars(library))
    net = library.Net()
    thing = {"root": net, "inside": nn.Sequential(nn.ReLU(), net), "in a dict": {"net": [net]}}[place]
    error = {"class": AttributeError, "module": ModuleNotFoundError, "nothing": None}[missing]

    with way.written(
        lambda file: torch.save(thing, file, _use_new_zipfile_serialization="older" not in way.kind)
    ) as load:
        if missing == "class":
            del library.Net
        if missing == "module":
            del sys.modules["nets_of_ours"]
        try:
            raised = type(load(weights_only=False)) is not type(thing)
        except (AttributeError, ModuleNotFoundError) as refusal:
            raised = type(refusal)
        sys.modules.pop("nets_of_ours", None)
    assert raised is (error or False)


# ── untrusted-pickles-are-refused ──


@claim("untrusted-pickles-are-refused")
@over(
    call=among(*CALLS),
    spelled=among(*SPELLINGS),
    way=ways(),
    options=among({}, {"map_location": "cpu"}, {"weights_only": None}),
)
def test_no_call_is_made_however_it_is_spelled_and_whichever_way_it_is_read(tmp_path, call, spelled, way, options):
    trace = tmp_path / "trace"
    with way.holding(hostile(call, spelled, str(trace), "older" in way.kind)) as load:
        outcome = "loaded"
        with contextlib.suppress(RuntimeError):  # what ends a load that ran a file with nothing else in it
            try:
                load(**options)
            except pickle.UnpicklingError as refusal:
                outcome = str(refusal)
        assert outcome.startswith("Weights only load failed")
        assert trace.exists() is False

        with contextlib.suppress(RuntimeError):  # of a file that holds nothing else
            load(weights_only=False)  # the control: to load it is to run it
        assert trace.exists() is True
        (trace.rmdir if trace.is_dir() else trace.unlink)()
        with pytest.raises(
            pickle.UnpicklingError, match="Weights only load failed"
        ):  # a file that was trusted once is not trusted again
            load()
        assert trace.exists() is False


def run(load, options):
    with contextlib.suppress(pickle.UnpicklingError):
        load(**options)


@claim("untrusted-pickles-are-refused", truth=True)
@over(call=among(*CALLS), off=among("weights_only", "pickle_module", "variable"), way=ways("mmap"))
def test_where_the_filter_is_off_every_call_is_made(tmp_path, call, off, way):
    trace = tmp_path / "trace"
    options = {"weights_only": {"weights_only": False}, "pickle_module": {"pickle_module": pickle}}.get(off, {})
    with pytest.MonkeyPatch.context() as patch:
        if off == "variable":
            patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        patch.setattr(warnings, "warn", lambda *args, **kwargs: None)  # of the variable, at every call
        with way.holding(hostile(call, "protocol 2", str(trace), "older" in way.kind)) as load:
            run(load, options)
    assert trace.exists() is True
    (trace.rmdir if trace.is_dir() else trace.unlink)()


# ── model-files-are-named-pt-or-pth ──


@claim("model-files-are-named-pt-or-pth", truth=True)
@over(stem=among("net", "a.b"), suffix=among("", ".pt", ".pth", ".bin", ".txt", ".zip", ".gz", ".PT"))
def test_no_suffix_changes_what_is_written_and_a_renamed_file_is_read_as_before(tmp_path, stem, suffix):
    state = {"weight": torch.tensor([1.0, 2.0, 3.0])}
    torch.save(state, tmp_path / f"{stem}.pt")
    if suffix or "." not in stem:  # without a suffix, what follows the last dot is one
        torch.save(state, tmp_path / f"{stem}{suffix}")
    file = tmp_path / (f"{stem}{suffix}" if suffix or "." not in stem else f"{stem}.pt")

    assert file.read_bytes() == (tmp_path / f"{stem}.pt").read_bytes()
    file.rename(tmp_path / "other.gz")
    assert torch.load(tmp_path / "other.gz")["weight"].tolist() == [1.0, 2.0, 3.0]
    with zipfile.ZipFile(tmp_path / "other.gz") as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {stem}
    for path in tmp_path.iterdir():
        path.unlink()
