"""How many processes share a run, and which device each of them has."""

import json
from types import SimpleNamespace

import pytest
from harness import devices, endurance


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
