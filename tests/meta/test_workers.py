"""A run with workers (pytest-xdist) says what a run without them says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MORE = """
import pytest
import torch
from hypothesis import given, strategies


@pytest.mark.claim("shapes")
@pytest.mark.parametrize("rows", [1, 2])
def test_a_shape_is_a_tuple(rows):
    assert torch.rand(rows).tolist() == []


@pytest.mark.claim("shapes")
@given(strategies.integers(0, 1000))
def test_a_number_is_small(number):
    assert number < 700


@pytest.mark.claim("shapes")
def test_on_a_gpu(accelerator):
    assert False
"""


def comparable(file):
    """The document without what may differ between two runs."""
    return file.read_text().partition(' "host": {')[0]


@pytest.fixture
def both(project, monkeypatch):
    """A run in which claims hold, are mistaken, break and are not tried: with two workers, and without."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)  # set where workers run this test too
    project.write("ch1_sample/test_1_2_other.py", MORE)
    alone = project.run("--verdicts=alone.json")
    workers = project.pytester.runpytest_subprocess("-n", "2", "--verdicts=workers.json")
    return alone, workers


def test_two_workers_find_what_one_process_finds(project, both):
    alone, workers = both
    assert alone.ret == workers.ret == pytest.ExitCode.TESTS_FAILED
    assert comparable(project.path / "alone.json") == comparable(project.path / "workers.json")
    # the same table and the same claims, sentences and commands under the failures, drawn numbers included
    assert table(workers) == table(alone)
    assert failures(workers) == failures(alone)
    # workers end in order, and none is started in the place of a crashed one
    workers.stdout.no_fnmatch_line("*crashed*")
    workers.stdout.no_fnmatch_line("*node down*")
    # together they take as many threads as one process
    host = json.loads((project.path / "workers.json").read_text())["host"]
    serial = json.loads((project.path / "alone.json").read_text())["host"]
    assert (host["workers"], serial["workers"]) == (2, 0)
    assert host["threads"] == max(1, serial["threads"] // 2)


def table(result):
    """The lines from the table to the end of what was not tried."""
    start = next(number for number, line in enumerate(result.outlines) if "seed 0 ==" in line)
    end = next(number for number, line in enumerate(result.outlines) if line.startswith("verdicts:"))
    return result.outlines[start:end]


def failures(result):
    """What the failures said: errors, claims, commands."""
    return sorted(line for line in result.outlines if line.startswith(("E  ", "shapes (", "It shapes", "repeat:")))


def test_a_usage_error_with_workers_is_the_one_without(project):
    project.write("ch1_sample/test_1_2_other.py", "def test_two():\n    assert True\n")
    alone = project.run()
    workers = project.pytester.runpytest_subprocess("-n", "2")
    assert alone.ret == workers.ret == pytest.ExitCode.USAGE_ERROR
    assert workers.errlines == alone.errlines
    assert workers.outlines == alone.outlines == []


HANDS_OUT = """
import sys, pytest

class Look:
    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self):
        pytest.exit(f"torch is imported: {'torch' in sys.modules}", 0)

pytest.main(["-n", "1"], plugins=[Look()])
"""


def test_a_process_that_only_hands_tests_out_imports_no_torch():
    ran = subprocess.run([sys.executable, "-c", HANDS_OUT], cwd=ROOT, capture_output=True, text=True)
    assert "torch is imported: False" in ran.stdout + ran.stderr
