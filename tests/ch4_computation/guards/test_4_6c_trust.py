"""4.6c Whole models and trust: classes that are not found, and pickles that call functions, spelled in every way."""

import contextlib
import copy
import pickle
import sys
import types
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from populations import EVERY_MODE, agree, among, in_turn, over
from populations.comparing import accepted
from populations.containers import ids
from populations.files import Way, filtered, ways
from populations.hostile import CALLS, SPELLINGS, hostile
from populations.modules import TREES, attribute, tree, trees
from torch import nn

claim = pytest.mark.claim

# Capitals do not count in torch 2.12, and do in 2.14.
TRUE = ("1", "true", "yes", "Y") if torch.__version__ >= (2, 14) else ("1", "true", "yes")


@claim("state-dict-holds-parameters-only")
@claim("state-dict-holds-parameters-only", truth=True)
@claim("state-dict-is-no-copy")
@over(EVERY_MODE, each=trees((torch.float32, torch.float64)), training=among(True, False))
def test_a_state_dict_holds_parameters_and_saved_buffers_of_any_tree_in_order_and_nothing_else(each, training):
    net, plan = each
    net.train(training)
    state, copied = net.state_dict(), copy.deepcopy(net).state_dict(prefix="copy.")
    kept, named, given = net.state_dict(keep_vars=True), net.state_dict(prefix="net."), {}
    assert net.state_dict(destination=given) is given

    assert list(state) == [member.name for member in plan.state]
    assert list(copied) == ["copy." + member.name for member in plan.state]
    assert ids(kept.values()) == [id(member.tensor) for member in plan.state]  # the model's own
    assert [list(each) for each in (kept, given, named)] == [list(state)] * 2 + [["net." + name for name in state]]
    for member in plan.state:
        entry = state[member.name]
        assert (entry.dtype, entry.device, entry.requires_grad) == (member.tensor.dtype, member.tensor.device, False)
        for one in (entry, given[member.name], named["net." + member.name]):
            assert one.data_ptr() == member.tensor.data_ptr()  # the model's memory, until it is saved
        agree(entry, member.array)
        agree(copied["copy." + member.name], member.array)
    net.register_buffer("late", torch.zeros(1))
    assert "late" in net.state_dict()


def settings(module):
    """The numbers and flags, of torch's classes and of one's own, that a module goes by: ``training`` is one."""
    return {name: value for name, value in vars(module).items() if type(value) in (bool, int, float)}


def hooks(module):
    """What runs before and after a module's forward."""
    return [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]


def names(module):
    """The names in a module's registers, those of None among them."""
    return [list(register) for register in (module._parameters, module._buffers, module._modules)]


def set_otherwise(module, *given):
    """Give a module settings that its class does not start with: one of one's own, too."""
    for name, value in settings(module).items():
        vars(module)[name] = value * 2 if type(value) is float else value or name == "inplace"
    module.rate, module.constant = 0.5, torch.ones(2)
    module.register_forward_hook(settings)
    module.register_forward_pre_hook(set_otherwise)
    module.register_module("empty", None)


def is_whole(loaded, net, plan):
    """Raise AssertionError unless ``loaded`` is a network like ``net``, which has what the plan says."""
    modules, others = (
        [(name, type(m), settings(m), hooks(m), m.constant.tolist(), names(m)) for name, m in each.named_modules()]
        for each in (net, loaded)
    )
    assert modules == others
    assert list(loaded.state_dict()) == [member.name for member in plan.state]
    for member in (*plan.parameters, *plan.buffers):
        agree(attribute(loaded, member.name), member.array)
        assert attribute(loaded, member.name).requires_grad == member.tensor.requires_grad


@claim("save-takes-many-kinds-of-objects")
@over(each=in_turn(trees(), among(True, False)))
def test_a_module_of_any_tree_comes_back_with_everything_in_it(each):
    (net, plan), training = each
    net.train(training).apply(set_otherwise)
    is_whole(Way("memory").round_trip(net, weights_only=False), net, plan)


@claim("whole-model-round-trips-with-plain-load", truth=True)
@over(each=trees(must=(*TREES[1:4], tree("Sequential", "Dropout", "ReLU in place"))), training=among(True, False))
def test_no_tree_of_modules_passes_the_filter_and_any_comes_back_without_it(each, training):
    net, plan = each
    net.train(training).apply(set_otherwise)
    with Way("memory").saved(net) as load:
        with filtered():
            load()
        is_whole(load(weights_only=False), net, plan)


@claim("whole-model-round-trips-with-plain-load", truth=True)
@over(declared=among("safe_globals", "add_safe_globals"), which=among("all", "set alone", "another class"))
def test_all_classes_of_a_model_must_be_declared_safe_and_the_manager_takes_its_word_back(declared, which):
    net, way = nn.Linear(3, 2), Way("memory")
    classes = {"all": [nn.Linear, set], "set alone": [set], "another class": [nn.ReLU, set]}[which]
    torch.serialization.add_safe_globals([nn.Tanh])  # before the manager, which leaves it in force
    if declared == "safe_globals":
        declaring = torch.serialization.safe_globals(classes)
    else:
        torch.serialization.add_safe_globals(classes)
        declaring = contextlib.ExitStack()
        declaring.callback(torch.serialization.clear_safe_globals)
    with contextlib.suppress(ZeroDivisionError), declaring:
        try:
            found = [way.round_trip(net).weight.tolist() for _ in range(2)]
        except pickle.UnpicklingError:
            found = None
        raise ZeroDivisionError  # it takes its word back after an error, too
    assert found == ([net.weight.tolist()] * 2 if which == "all" else None)
    kept = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    assert kept == ([nn.Tanh] if declared == "safe_globals" else [])
    for module, by in ((net, way), (nn.ReLU(), way), (net, Way("older memory"))):
        with filtered():
            by.round_trip(module)


@claim("whole-model-needs-its-class")
@over(
    missing=among("class", "module", "nothing"),
    place=among("root", "inside", "in a dict"),
    way=among(*map(Way, ("memory", "mmap", "older Path"))),
    name=among("nets_of_ours", "torch.nets_of_ours"),
)
def test_a_model_loads_where_every_class_is_found_by_its_name_and_nowhere_else(missing, place, way, name):
    library = sys.modules[name] = types.ModuleType(name)
    exec("from torch import nn\n\n\nclass Net(nn.Module):\n    pass\n", vars(library))
    net, holder = library.Net(), nn.Identity()
    holder.inner = net
    thing = {"root": net, "inside": holder, "in a dict": {"net": [net]}}[place]

    with way.saved(thing) as load:
        if missing == "class":
            del library.Net
        if missing == "module":
            del sys.modules[name]
        try:
            found = type(load(weights_only=False))
        except (AttributeError, ModuleNotFoundError) as refusal:
            found = type(refusal)
        sys.modules.pop(name, None)
    assert found is {"class": AttributeError, "module": ModuleNotFoundError}.get(missing, type(thing))


@claim("untrusted-pickles-are-refused")
@over(
    call=among(*CALLS),
    spelled=among(*SPELLINGS),
    way=ways(),
    options=among(
        {},
        {"map_location": "cpu"},
        {"map_location": lambda storage, tag: storage},
        {"weights_only": None},
        {"encoding": "latin1"},
    ),
)
def test_no_call_is_made_however_it_is_spelled_and_whichever_way_it_is_read(tmp_path, call, spelled, way, options):
    trace = tmp_path / "trace"
    with way.holding(hostile(call, spelled, str(trace), "older" in way.kind)) as load:
        assert loaded(load, options).startswith("Weights only load failed")
        assert trace.exists() is False

        loaded(load, {"weights_only": False})  # the control: to load it is to run it
        assert trace.exists() is True
        (trace.rmdir if trace.is_dir() else trace.unlink)()
        with filtered():  # a file that was trusted once is not trusted again
            load()
        assert trace.exists() is False


def loaded(load, options):
    """What the filter says to a file, or else "loaded"."""
    try:
        with contextlib.suppress(RuntimeError):  # what ends a load that ran a file with nothing else in it
            load(**options)
    except pickle.UnpicklingError as refusal:
        return str(refusal)
    return "loaded"


@claim("untrusted-pickles-are-refused", truth=True)
@over(call=among(*CALLS), off=among("weights_only", "pickle_module", *TRUE), way=ways("mmap"))
def test_where_the_filter_is_off_every_call_is_made(tmp_path, call, off, way):
    trace = tmp_path / "trace"
    options = {"weights_only": {"weights_only": False}, "pickle_module": {"pickle_module": pickle}}.get(off, {})
    with pytest.MonkeyPatch.context() as patch:
        if not options:
            patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", off)
        patch.setattr(warnings, "warn", lambda *args, **kwargs: None)  # of the variable, at every call
        with way.holding(hostile(call, "protocol 2", str(trace), "older" in way.kind)) as load:
            loaded(load, options)
    assert trace.exists() is True
    (trace.rmdir if trace.is_dir() else trace.unlink)()


@claim("model-files-are-named-pt-or-pth", truth=True)
@over(
    suffix=among(".pth", ".bin", ".txt", ".zip", ".gz", ".pkl", ".tar", ".PT", ""),
    stem=among("net", "a.b"),
    spelled=among(str, Path),
)
def test_no_suffix_changes_what_is_written_and_a_renamed_file_is_read_as_before(tmp_path, stem, suffix, spelled):
    suffix = suffix or ".pt" * ("." in stem)  # without a suffix, what follows the last dot is one
    file, usual = tmp_path / f"{stem}{suffix}", tmp_path / f"{stem}.pt"
    torch.save({"weight": torch.tensor([1.0, 2.0, 3.0])}, str(usual))
    torch.save({"weight": torch.tensor([1.0, 2.0, 3.0])}, spelled(file))

    assert file.exists()
    assert file.read_bytes() == usual.read_bytes()
    assert accepted(torch.load, spelled(file))["weight"].tolist() == [1.0, 2.0, 3.0]
    assert torch.load(file.rename(tmp_path / "other.gz"))["weight"].tolist() == [1.0, 2.0, 3.0]
    with zipfile.ZipFile(tmp_path / "other.gz") as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {stem}
