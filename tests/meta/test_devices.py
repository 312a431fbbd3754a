"""--device, the device fixtures, the needs of claims, and the devices of workers."""

import json
from types import SimpleNamespace

import pytest
import torch
from harness import backends, devices, sim


@pytest.fixture(autouse=True)
def cpu_only(monkeypatch):
    """A machine without an accelerator, wherever this runs."""

    def absent(device):
        raise RuntimeError("none of these")

    monkeypatch.setattr(backends, "count_of", lambda kind: 0)
    monkeypatch.setattr(backends, "probe", absent)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cdua", "torch knows no device 'cdua'; here are: cpu"),
        ("xpu", "'xpu' is not on this machine: RuntimeError: none of these; here are: cpu"),
        ("hpu", "'hpu' is not on this machine: RuntimeError: none of these; here are: cpu"),
        ("meta", "meta tensors hold no values, so no claim can be tried on them"),
        ("", "torch knows no device ''; here are: cpu"),
    ],
)
def test_a_device_that_is_not_there_ends_the_run_with_those_that_are(project, name, message):
    result = project.run(f"--device={name}", "-n0")  # with workers, a process without these patches is asked
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines == [f"ERROR: --device: {message}", ""]
    assert not result.outlines


def test_the_devices_that_are_there_are_listed_with_their_numbers(project, monkeypatch):
    monkeypatch.setattr(backends, "count_of", lambda kind: 2 if kind == "xpu" else 0)
    result = project.run("--device=hpu:2", "-n0")
    assert result.errlines[0] == (
        "ERROR: --device: 'hpu:2' is not on this machine: RuntimeError: none of these; here are: cpu, xpu, xpu:0, xpu:1"
    )


@pytest.mark.parametrize("kind", ["hpu", "mtia", "xla", "vulkan"])
def test_any_device_on_which_torch_can_make_a_tensor_is_accepted(monkeypatch, kind):
    """No list of names decides. A module without device_count(), or no module at all, has one."""
    monkeypatch.undo()
    monkeypatch.setattr(backends, "probe", lambda device: None)
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)  # some of these have no seed to set
    monkeypatch.setattr(torch, kind, SimpleNamespace(), raising=False)
    backends.make_current(kind)
    assert backends.count_of(kind) == 1


@pytest.mark.parametrize(
    ("module", "count"),
    [
        (SimpleNamespace(device_count=lambda: 3), 3),
        (SimpleNamespace(device_count=lambda: 3, is_available=lambda: False), 0),
        (SimpleNamespace(is_available=lambda: True), 0),  # and torch can make no tensor there
    ],
)
def test_a_module_that_counts_is_believed_and_torch_is_asked_otherwise(monkeypatch, module, count):
    def absent(device):
        raise NotImplementedError("Could not run 'aten::empty.memory_format'")

    monkeypatch.undo()
    monkeypatch.setattr(backends, "probe", absent)
    monkeypatch.setattr(torch, "hpu", module, raising=False)
    assert backends.count_of("hpu") == count


def test_a_device_that_brings_back_other_numbers_is_not_there(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor + 1)
    with pytest.raises(ValueError, match=r"\[1.0, -2.0\] came back from cpu as \[2.0, -1.0\]"):
        backends.probe(torch.device("cpu"))


def test_the_device_under_test_is_the_default_and_a_cpu_mark_turns_it_off(project, entry, monkeypatch):
    # the one other device that every machine has is meta, which neither computes nor draws numbers
    monkeypatch.setattr(backends, "make_current", lambda name: None)
    monkeypatch.setattr(torch, "manual_seed", torch.default_generator.manual_seed)
    module = (
        '@claim("c")\ndef test_device(device):\n    assert torch.ones(1).device == device == torch.device("meta")\n'
        '@claim("c")\n@pytest.mark.cpu\ndef test_cpu():\n'
        '    assert torch.ones(1).device == torch.device("cpu")\n'
    )
    project.only(entry("c"), module)
    result = project.run("--device=meta", "-n0")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["* on meta, seed 0 *"])


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("def test_one(accelerator):", "needs an accelerator; name one with --device"),
        ("def test_one(two_devices):", "needs an accelerator; name one with --device"),
        ("@pytest.mark.cuda\ndef test_one():", "needs a CUDA GPU; name it with --device cuda"),
    ],
)
def test_a_test_that_needs_more_than_a_cpu_is_not_tried(project, entry, test, reason):
    project.only(entry("c"), f'@claim("c")\n{test}\n    assert False\n')
    result = project.run()
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["not tried:", f"  1 claim: {reason}"])


@pytest.mark.parametrize("need", ["accelerator", "cuda", "two-devices"])
def test_a_claim_that_needs_more_than_a_cpu_is_not_tried(project, entry, need):
    project.only(entry("c", needs=need), '@claim("c")\ndef test_one():\n    assert False\n')
    project.run().stdout.fnmatch_lines(["not tried:", f"  1 claim: {devices.REASONS[need]}"])


def test_a_claim_is_tried_without_its_test_for_a_gpu_and_the_end_counts_that(project, entry):
    """As with full-size training: the claim's other tests decide, and the one that stands aside is listed."""
    module = '@claim("c")\ndef test_small():\n    assert True\n\n@claim("c")\n@pytest.mark.cuda\ndef test_full():\n'
    project.only(entry("c"), f"{module}    assert False\n")
    result = project.run("--verdicts=v.json")
    result.stdout.fnmatch_lines(
        ["not tried:", "  1 claim tried, but without 1 test: needs a CUDA GPU; name it with --device", "  cuda"]
    )
    claim = json.loads((project.path / "v.json").read_text())["claims"][0]
    assert claim["verdict"] == "holds"
    assert [test["outcome"] for test in claim["tests"]] == ["not tried", "passed"]


@pytest.mark.parametrize(("mark", "chosen"), [("cuda", ["test_full", "test_gpu"]), ("not cuda", ["test_small"])])
def test_the_cuda_mark_selects_the_tests_for_a_gpu(project, entry, mark, chosen):
    """Those that carry it, and those of claims that need CUDA."""
    module = (
        '@claim("c")\ndef test_small():\n    assert True\n\n@claim("c")\n@pytest.mark.cuda\ndef test_full():\n'
        '    assert True\n\n@claim("gpu")\ndef test_gpu():\n    assert True\n'
    )
    project.only(entry("c") + entry("gpu", needs="cuda"), module)
    listed = project.run("--collect-only", "-q", "-m", mark).outlines
    assert [line.rpartition("::")[2] for line in listed if "::" in line] == chosen


@pytest.mark.parametrize("need", ["cuda", "accelerator", "two-devices"])
def test_require_turns_not_tried_into_failure(project, entry, need):
    project.only(entry("c", needs=need), '@claim("c")\ndef test_one():\n    assert True\n')
    result = project.run(f"--require={need}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"--require {need}: {devices.REASONS[need]}"])


def test_a_device_that_is_listed_and_does_not_work_is_a_usage_error(project, monkeypatch):
    """A driver counts it, but torch cannot use it: here, as torch has no such GPU."""
    monkeypatch.setattr(backends, "count_of", lambda kind: 100 if kind == "cuda" else 0)
    result = project.run("--device=cuda:99", "-n0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == result.errlines[:1]
    result.stderr.fnmatch_lines(["ERROR: --device: 'cuda:99' is there but does not work: *"])


# ── Workers ──


PLACES = """
from pathlib import Path


@claim("c")
@pytest.mark.parametrize("number", range(8))
def test_place(device, number, two_devices, worker_id):
    here = torch.ones(1).device
    current = torch.ones(1, device=device.type).device
    both = [str(one) for one in two_devices]
    Path(worker_id).write_text(f"{device} {here} {current} {both} {torch.get_num_threads()}")
    assert True
"""


@pytest.mark.skipif(bool(sim.refusal()), reason=str(sim.refusal()))
def test_two_workers_try_two_devices_with_one_thread_each(project, entry):
    """Default device, current device and fixture agree; a test that needs two devices has both in either worker."""
    project.only(entry("c"), PLACES)
    workers = project.pytester.runpytest_subprocess("-n", "2", "--device=sim", "--verdicts=v.json")
    workers.assert_outcomes(passed=8)
    noted = {name: (project.path / name).read_text() for name in ("gw0", "gw1")}
    assert noted == {
        "gw0": "sim:0 sim:0 sim:0 ['sim:0', 'sim:1'] 1",
        "gw1": "sim:1 sim:1 sim:1 ['sim:0', 'sim:1'] 1",
    }
    document = json.loads((project.path / "v.json").read_text())
    assert (document["device"], document["simulated"], document["host"]["threads"]) == ("sim", True, 1)


@pytest.mark.skipif(bool(sim.refusal()), reason=str(sim.refusal()))
def test_a_failure_in_a_worker_is_repeated_on_that_workers_device(project, entry):
    project.only(
        entry("c"), '@claim("c")\n@pytest.mark.parametrize("n", range(8))\ndef test_one(n):\n    assert False\n'
    )
    failures = project.pytester.runpytest_subprocess("-n", "2", "--device=sim", "--tb=short")
    repeats = {line.rpartition(" ")[2] for line in failures.outlines if line.startswith("repeat: ")}
    assert repeats == {"--device=sim:0", "--device=sim:1"}


def test_a_torch_that_cannot_have_the_simulated_accelerator_refuses_it(project, monkeypatch):
    monkeypatch.setattr("harness.sim.refusal", lambda: "the reason")
    result = project.run("--device=sim")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == "ERROR: --device: no simulated accelerator here: the reason"
