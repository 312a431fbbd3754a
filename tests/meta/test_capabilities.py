"""What the device under test has: asked once, printed, stored, and heeded by tests and populations."""

import json

import pytest
import torch
from harness import backends, capabilities, sim

needs_sim = pytest.mark.skipif(bool(sim.refusal()), reason=str(sim.refusal()))


@pytest.fixture
def device(monkeypatch):
    """A function that puts a made-up device under test, which lacks some things."""

    def put(*missing):
        found = capabilities.Capabilities("mps:0", dict.fromkeys(missing, "TypeError: no"))
        monkeypatch.setattr(capabilities, "_current", [found])

    return put


def test_the_cpu_has_every_dtype_and_a_generator():
    found = capabilities.of("cpu")
    assert [name for name in (*capabilities.DTYPES, "generator", "non-blocking") if not found.has(name)] == []
    assert not found.has("second-device")


def test_a_dtype_is_asked_for_by_itself_or_by_name(device):
    device("float64")
    assert (capabilities.has(torch.float64), capabilities.has("float64")) == (False, False)
    assert (capabilities.has(torch.float32), capabilities.has("float32")) == (True, True)


def test_the_reason_names_the_device_and_the_dtype(device):
    device("float64")
    assert capabilities.lack(torch.float64) == "mps has no float64"
    assert capabilities.lack(torch.float32) is None


def test_of_the_dtypes_wanted_those_that_are_there_are_drawn(device):
    device("float64", "complex128")
    assert capabilities.dtypes(torch.float64, torch.int8, torch.float32) == (torch.int8, torch.float32)
    assert len(capabilities.dtypes()) == len(capabilities.DTYPES) - 2


def test_a_name_that_nobody_asked_a_device_for_is_an_error(device):
    device()
    with pytest.raises(KeyError, match="nobody asked a device for 'float46'"):
        capabilities.has("float46")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda tensor, *_, **__: tensor.mul(2), "came back as"),
        (lambda tensor, *_, **__: tensor.logical_not(), "came back as"),
    ],
)
def test_numbers_that_come_back_changed_are_not_there(monkeypatch, fault, message):
    monkeypatch.setattr(torch.Tensor, "cpu", fault)
    with pytest.raises(ValueError, match=message):
        capabilities.carries("float32", "cpu")


def test_capabilities_are_printed_and_nothing_runs(project):
    result = project.run("--capabilities")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["what cpu has", "float32 * yes", "second-device * no: ValueError: there are 0"])
    assert not [line for line in result.outlines if "passed" in line]


MODULE = """
from harness import capabilities


@claim("c")
@pytest.mark.needs_dtype("float64")
def test_marked():
    assert torch.ones(1, dtype=torch.float64).dtype == torch.float64


@claim("c")
@pytest.mark.cpu
@pytest.mark.needs_dtype("float64")
def test_on_the_cpu():
    assert torch.ones(1, dtype=torch.float64).dtype == torch.float64


@claim("c")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameter(dtype):
    assert torch.ones(1, dtype=dtype).dtype == dtype


@claim("c")
def test_in_its_body():
    capabilities.need(torch.float32, "float64")
    assert False


@claim("c")
def test_drawn():
    assert capabilities.dtypes(torch.float32, torch.float64) == (torch.float32,)


@claim("d")
@pytest.mark.needs_dtype("float64")
def test_nothing_else():
    assert False
"""


@needs_sim
def test_what_needs_a_missing_dtype_stands_aside(project, entry):
    """In a process of its own, as sim stays; the rest runs, and a test of the CPU has all that the CPU has."""
    project.only(entry("c") + entry("d"), MODULE)
    run = project.pytester.runpytest_subprocess
    result = run("--device=sim", "--sim-lacks=float64", "--verdicts=v.json", "-p", "no:xdist")
    result.assert_outcomes(passed=3, skipped=4)
    result.stdout.fnmatch_lines(["not tried:", "  1 claim: sim has no float64"])
    document = json.loads((project.path / "v.json").read_text())
    assert [claim["verdict"] for claim in document["claims"]] == ["holds", "not tried"]
    assert document["claims"][1]["reason"] == "sim has no float64"
    assert document["capabilities"]["float32"] is True
    assert document["capabilities"]["float64"].startswith("TypeError: cannot hold torch.float64 on sim")
    required = run("--device=sim", "--sim-lacks=float64", "--require=operators", "-p", "no:xdist")
    assert required.ret == pytest.ExitCode.TESTS_FAILED
    required.stdout.fnmatch_lines(["--require operators: sim has no float64"])


@needs_sim
def test_what_sim_lacks_is_printed(project):
    lacks = "float64,bfloat16,second-device,events,generator,non-blocking"
    result = project.pytester.runpytest_subprocess("--device=sim", f"--sim-lacks={lacks}", "--capabilities")
    assert [line.split()[0] for line in result.outlines if " no: " in line] == lacks.split(",")


@needs_sim
def test_an_operator_that_sim_lacks_is_refused_in_its_own_words(project, entry):
    body = '@claim("c")\ndef test_one():\n    assert torch.ones(1).mul(2).abs_() == 2\n'
    project.only(entry("c"), body)
    result = project.pytester.runpytest_subprocess("--device=sim", "--sim-lacks=aten::abs", "-p", "no:xdist")
    result.stdout.fnmatch_lines(["*sim: no kernel is built for abs of float32*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sim-lacks=float64"], "goes with --device sim only"),
        (
            ["--device=sim", "--sim-lacks=float46"],
            "'float46' is no dtype, no operator such as *",
        ),
        (["--device=sim", "--sim-lacks=aten::abz"], "'aten::abz' is no dtype, *"),
    ],
)
@needs_sim
def test_sim_lacks_only_what_there_is(project, arguments, message):
    result = project.pytester.runpytest_subprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --sim-lacks: {message}"])


def test_devices_wait_only_for_what_has_a_queue():
    assert backends.synchronize(torch.device("cpu")) is None
    assert backends.synchronize(torch.device("meta")) is None


def test_an_error_is_about_what_the_device_lacks_if_it_repeats_its_words_or_names_a_dtype_of_these():
    device = capabilities.Capabilities(
        "npu:1", {"non-blocking": "RuntimeError: copies block", "float64": "TypeError: no"}
    )

    assert device.named_in("RuntimeError: copies block") == "npu has no non-blocking"
    assert device.named_in("ValueError: float64 is too wide") == "npu has no float64"
    assert device.named_in("RuntimeError: copies block now and then") is None
    assert device.named_in("ValueError: no non-blocking float32") is None
