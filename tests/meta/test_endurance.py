"""A crash, a hang, a late error or a dead device costs one test; what was found before it is kept."""

import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from harness import backends, devices, endurance, sim

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


def worker(number):
    return SimpleNamespace(gateway=SimpleNamespace(id=f"gw{number}"), workerinput={"workercount": 2})


@pytest.mark.parametrize(
    ("asked", "count", "expected"),
    [
        ("cuda", 2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
        ("cuda", 3, ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]),
        ("cuda", 1, ["cuda"] * 4),
        ("cuda:1", 0, ["cuda:1"] * 4),
        ("cpu", 0, ["cpu"] * 4),
    ],
)
def test_each_worker_has_a_device_of_its_own_unless_one_is_named(asked, count, expected):
    config = SimpleNamespace(getoption={"device": asked}.get, stash={devices.COUNT: count})
    places = endurance.Places(config)
    workers = [worker(number) for number in range(4)]
    for one in workers:
        places.pytest_configure_node(one)
    assert [one.workerinput["device"] for one in workers] == expected
    given = [SimpleNamespace(getoption={"device": asked}.get, workerinput=one.workerinput) for one in workers]
    assert [devices.under_test(one) for one in given] == expected


def test_the_worker_that_replaces_another_takes_over_its_device():
    places = endurance.Places(SimpleNamespace(getoption={"device": "cuda"}.get, stash={devices.COUNT: 3}))
    for number in range(3):
        places.pytest_configure_node(worker(number))
    places.pytest_testnodedown(worker(1))
    places.pytest_configure_node(one := worker(3))
    assert one.workerinput["device"] == "cuda:1"


# ── One worker for a backend ──


@pytest.mark.parametrize(
    ("device", "given", "idle", "expected"),
    [
        *(("cuda", None, False, 1), ("cuda", 0, False, 0), ("cuda", 4, False, 4), ("cuda", None, True, None)),
        *(("cpu", None, False, None), ("sim", None, False, None)),
    ],
)
def test_a_backend_has_one_worker_unless_told_otherwise(device, given, idle, expected):
    config = run_of(device=device, numprocesses=given, collectonly=idle)
    endurance.pytest_cmdline_main(config)
    assert (config.option.numprocesses, config.option.maxworkerrestart) == (expected, "1000000")


def run_of(source="TESTPATHS", plugins=(), workers="1", **options):
    """A configuration of pytest, of which ``endurance`` asks no more: a run without options but these."""
    told = {"device": "cpu", "numprocesses": None, "dist": "no", "tx": [], "maxworkerrestart": None, "capture": "fd"}
    told["maxprocesses"] = None
    unset = ("usepdb", "collectonly", "keyword", "markexpr", "claim", "pages", "trace", "setupshow", "detective")
    return SimpleNamespace(
        option=SimpleNamespace(**dict.fromkeys(unset) | told | options),
        pluginmanager=SimpleNamespace(has_plugin=lambda name: True),
        args_source=pytest.Config.ArgsSource[source],
        invocation_params=SimpleNamespace(plugins=plugins),
        getini={"workers": workers}.get,
    )


# ── Several processes for a whole run ──


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        *(({}, ("auto", 4)), ({"workers": "1"}, (None, None)), ({"device": "sim"}, ("auto", 4))),
        *(({"maxprocesses": 3}, ("auto", 3)), ({"numprocesses": 0}, (0, None)), ({"dist": "each"}, (None, None))),
        *(({"usepdb": True}, (None, None)), ({"source": "ARGS"}, (None, None)), ({"claim": ["adds"]}, (None, None))),
        *(({"keyword": "shape"}, (None, None)), ({"pages": True}, (None, None)), ({"capture": "no"}, (None, None))),
        *(({"detective": True}, (None, None)), ({"plugins": ["an object"]}, (None, None))),
        ({"device": "cuda"}, (1, None)),
    ],
    ids=str,
)
def test_a_whole_run_is_shared_by_as_many_processes_as_there_are_cores_up_to_four(monkeypatch, run, expected):
    monkeypatch.setattr(endurance, "sys", SimpleNamespace(modules={}))
    config = run_of(**{"workers": "4"} | run)
    endurance.pytest_cmdline_main(config)
    assert (config.option.numprocesses, config.option.maxprocesses) == expected


def test_a_torch_that_the_process_has_already_is_judged_there(monkeypatch):
    """What was changed in it, another process would not have."""
    monkeypatch.setattr(endurance, "sys", SimpleNamespace(modules={"torch": object()}))
    config = run_of(workers="4")
    endurance.pytest_cmdline_main(config)
    assert config.option.numprocesses is None


def test_several_processes_say_what_one_says(project, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)  # of the run that this test is of
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "2")
    configuration = project.pytester.path / "pytest.ini"
    configuration.write_text(f"{configuration.read_text()}workers = 2\n")
    shared = project.pytester.runpytest_subprocess("-v", "--verdicts=shared.json")
    alone = project.pytester.runpytest_subprocess("-v", "-n", "0", "--verdicts=alone.json")
    assert shared.parseoutcomes() == alone.parseoutcomes()
    documents = [json.loads((project.pytester.path / f"{name}.json").read_text()) for name in ("shared", "alone")]
    assert [document["host"]["workers"] for document in documents] == [2, 0]
    assert documents[0]["claims"] == documents[1]["claims"]


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
