"""A crash, a hang, a late error or a dead device costs one test; what was found before it is kept."""

import json
import signal
import subprocess
import sys
import time

import pytest
from harness import backends, sim

needs_sim = pytest.mark.skipif(bool(sim.refusal()), reason=str(sim.refusal()))


def verdicts(project):
    """The claims of the document by id."""
    claims = json.loads((project.path / "v.json").read_text("utf8"))["claims"]
    return {claim["id"]: (claim["verdict"], claim["reason"]) for claim in claims}


# ── Crashes ──

CRASHES = """
import os


@claim("crashes")
@pytest.mark.parametrize("number", range(6))
def test_crash(number):
    os.abort()


@claim("stands")
def test_after_it():
    assert torch.ones(2).tolist() == [1.0, 1.0]
"""


def test_any_number_of_crashes_is_survived(project, entry):
    """xdist alone gives up at the fifth for one worker."""
    project.only(entry("crashes") + entry("stands"), CRASHES)
    result = project.pytester.runpytest_subprocess("-n", "1", "--verdicts=v.json")
    result.assert_outcomes(passed=1, failed=6)
    assert verdicts(project) == {
        "crashes": ("broken", "ended its process: a crash, on cpu"),
        "stands": ("holds", ""),
    }


@needs_sim
def test_a_crash_is_charged_to_its_test_on_its_device_which_the_next_worker_takes_over(project, entry):
    places = (
        "import os, pathlib\n\n\n"
        '@claim("c")\n@pytest.mark.parametrize("number", range(6))\n'
        "def test_one(number, device, worker_id):\n"
        '    pathlib.Path(f"{worker_id} {device}").touch()\n'
        "    os.abort()\n"
    )
    project.only(entry("c"), places)
    result = project.pytester.runpytest_subprocess("-n", "2", "--device=sim")
    used = {tuple(file.name.split()) for file in project.path.glob("gw* sim*")}
    assert {device for _, device in used} == {"sim:0", "sim:1"}
    assert {("gw0", "sim:0"), ("gw1", "sim:1")} < used
    result.stdout.fnmatch_lines(["*::test_one*: ended its process: a crash, on sim:[01]"])


# ── Hangs ──

LIMIT = 2  # seconds: on a busy machine the setup of a process's first test, which imports, takes some tenths of one

HANG = """
import time


@claim("hangs")
def test_hang():
    for _ in range(600):
        {wait}


@claim("stands")
def test_after_it():
    assert torch.ones(2).tolist() == [1.0, 1.0]
"""


def test_a_test_past_its_limit_fails_and_the_run_goes_on(project, entry):
    project.only(entry("hangs") + entry("stands"), HANG.format(wait="time.sleep(0.1)"))
    result = project.run(f"--limit={LIMIT}", "--verdicts=v.json")
    result.assert_outcomes(passed=1, failed=1)
    assert verdicts(project)["hangs"] == ("broken", f"harness.endurance.TookTooLong: did not end within {LIMIT} s")
    assert verdicts(project)["stands"] == ("holds", "")


def test_a_hang_that_heeds_no_signal_ends_its_worker_alone(project, entry):
    """As a kernel's does: here the thread that runs the test is blocked, and with it Python's own handlers."""
    blocked = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); time.sleep(60)"
    module = HANG.format(wait=blocked).replace("import time", "import signal, time")
    project.only(entry("hangs") + entry("stands"), module)
    (project.path / "conftest.py").write_text(
        'from harness import endurance\nendurance.GRACE = 0.3\npytest_plugins = ["harness.plugin"]\n'
    )
    result = project.pytester.runpytest_subprocess("-n1", f"--limit={LIMIT}", "--verdicts=v.json")
    result.assert_outcomes(passed=1, failed=1)
    assert verdicts(project)["hangs"] == ("broken", f"did not end within {LIMIT} s, on cpu")
    assert verdicts(project)["stands"] == ("holds", "")


# ── Late errors, and a device that is dead ──

LATE = """
import pytest
import torch


class Late:
    pending = None

    @classmethod
    def synchronize(cls):
        error = cls.pending
        cls.pending = error if {stays} else None
        if error:
            raise RuntimeError(error)


@pytest.fixture(autouse=True, scope="session")
def late():
    torch.sim.synchronize = Late.synchronize
    torch.sim.late = Late
"""

QUEUED = """
@claim("faulty")
def test_queues_a_fault():
    if torch.ones(1).device.type == "sim":  # and not where it is run again on the CPU
        torch.sim.late.pending = "device-side assert triggered"


@claim("innocent")
@pytest.mark.cpu
def test_numpy():
    assert torch.ones(2).numpy().tolist() == [1.0, 1.0]


@claim("last")
def test_on_the_device():
    assert torch.ones(2).tolist() == [1.0, 1.0]
"""


@needs_sim
@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_a_late_error_is_charged_where_it_arose(project, entry, workers):
    project.only(entry("faulty") + entry("innocent") + entry("last"), QUEUED)
    (project.path / "tests/conftest.py").write_text(LATE.format(stays=False))
    project.pytester.runpytest_subprocess("--device=sim", "--verdicts=v.json", workers)
    found = verdicts(project)
    assert found["faulty"] == ("refused", "RuntimeError: device-side assert triggered")
    assert found["innocent"] == found["last"] == ("holds", "")


@needs_sim
@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_a_dead_device_ends_the_run_and_what_was_not_reached_says_so(project, entry, workers):
    project.only(entry("faulty") + entry("innocent") + entry("last"), QUEUED)
    (project.path / "tests/conftest.py").write_text(LATE.format(stays=True))
    result = project.pytester.runpytest_subprocess("--device=sim", "--verdicts=v.json", workers)
    assert result.ret != 0
    dead = "sim:?0? no longer works: RuntimeError: device-side assert triggered"
    result.stdout.re_match_lines([f".*{dead}; the last test that used it is .*::test_queues_a_fault"])
    found = verdicts(project)
    assert found["faulty"][0] == "broken"
    assert found["faulty"][1].startswith("RuntimeError: device-side assert triggered; sim")
    assert found["last"][0] == "not tried"
    assert found["last"][1].startswith("not reached: sim")


# ── SIGTERM ──

SLOW = """
import pathlib
import time


@claim("first")
def test_first():
    assert torch.ones(2).tolist() == [1.0, 1.0]


@claim("second")
def test_second():
    pathlib.Path("running").touch()
    time.sleep(60)
"""


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_a_document_survives_sigterm(project, entry, workers):
    project.only(entry("first") + entry("second"), SLOW)
    command = [sys.executable, "-m", "pytest", "--verdicts=v.json", workers]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):  # a minute, should the machine be busy
        if (project.path / "running").exists():
            break
        time.sleep(0.1)
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 128 + signal.SIGTERM
    assert verdicts(project)["first"] == ("holds", "")
    assert verdicts(project)["second"][0] == "not tried"
    assert "SIGTERM" in json.loads((project.path / "v.json").read_text("utf8"))["interrupted"]


# ── A device that cannot even be asked ──


@pytest.mark.parametrize(
    ("code", "seconds", "message"),
    [
        ("import os; os.abort()", 300, "'toy' ended the process that asked for it: SIGABRT"),
        ("import time; time.sleep(60)", 2, "'toy' did not answer within 2 s"),
        ("import os; os._exit(3)", 300, "'toy' ended the process that asked for it: exit code 3"),
    ],
)
def test_a_backend_that_crashes_or_hangs_on_import_is_a_usage_error(project, monkeypatch, code, seconds, message):
    (project.path / "toy_ending.py").write_text(code)
    monkeypatch.syspath_prepend(str(project.path))
    with pytest.raises(pytest.UsageError) as error:
        backends.in_another_process(seconds, "toy", "toy_ending", None, False)
    pytest.LineMatcher([str(error.value)]).fnmatch_lines([f"--device: {message}"])
