""".ci/matrix: which releases it tries with what, which documents it makes again, and what it says of a mistake.

It installs nothing here: a stand-in runs in the place of each command.
"""

import importlib.util
import json
import subprocess
import sys
from fnmatch import fnmatch
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/matrix"


@pytest.fixture
def matrix(monkeypatch, tmp_path):
    """The script as a module, for a project of its own in which 2.14.1 is the newest torch."""
    loader = SourceFileLoader("matrix", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("matrix", loader))
    monkeypatch.setitem(sys.modules, "matrix", module)  # where its dataclass looks for itself
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "docs/results")
    monkeypatch.setattr(module, "newest", lambda: "2.14.1")
    module.RESULTS.mkdir(parents=True)
    return module


@pytest.fixture
def document(stored):
    """Makes the text of a verdict document of one claim."""

    def text(torch, device="cpu", verdict="holds", counterfeits=(), **head):
        claim = {"id": "adds", "verdict": verdict, "counterfeits": list(counterfeits)}
        return json.dumps(stored([claim], torch, device, **head))

    return text


@pytest.fixture
def commands(matrix, document, monkeypatch):
    """The commands that the script runs, on a disk with room for them. ``torch``, ``verdict`` and ``code`` say what
    pytest finds, ``pip`` how pip fails.
    """
    found = SimpleNamespace(ran=[], torch="2.5.1+cu124", verdict="holds", code=0, pip="", interrupted="", text=None)

    def run(command, **options):
        command = [str(word) for word in command]
        found.ran.append(command)
        if "pytest" not in command:
            return subprocess.CompletedProcess(command, bool(found.pip and "pip" in command), "", found.pip)
        file = next(word.partition("=")[2] for word in command if word.startswith("--verdicts="))
        text = document(found.torch, verdict=found.verdict, interrupted=found.interrupted)
        if found.text != "":
            Path(file).write_text(found.text or text)
        return subprocess.CompletedProcess(command, found.code)

    monkeypatch.setattr(matrix.subprocess, "run", run)
    monkeypatch.setattr(matrix.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e12))
    return found


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.0.1", ["torch==2.0.1", "torchvision>=0.15", "numpy<2"]),
        ("2.2.2", ["torch==2.2.2", "torchvision>=0.15", "numpy<2"]),
        ("2.3.0", ["torch==2.3.0", "torchvision>=0.15"]),
        ("2.15.0", ["torch==2.15.0", "torchvision>=0.15"]),
    ],
)
def test_pip_finds_the_torchvision_of_a_release_and_those_before_2_3_numpy_1(matrix, version, expected):
    assert matrix.requirements(version) == expected


def test_help_tells_what_is_written_and_the_exit_codes():
    told = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True).stdout
    assert "docs/results/torch-VERSION-DEVICE.json" in told
    assert "exit codes: 0 every verdict agrees with the register; 1 " in told


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["2.5"], "'2.5' is neither a release such as 2.5.1 nor newest"),
        (["2.5.1", "1.13.1"], "'1.13.1' is neither a release such as 2.5.1 nor newest"),
        (["--keep", "no/such", "2.5.1"], "--keep: there is no folder 'no/such'"),
    ],
)
def test_a_mistake_in_the_command_is_told_in_one_line(arguments, problem):
    ran = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr, ran.stdout) == (2, f"matrix: error: {problem}\n", "")


def test_a_dry_run_says_what_would_be_installed_and_written_and_does_nothing(matrix, commands, capsys):
    assert matrix.main(["--dry-run", "2.5.1", "newest", "2.5.1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "torch==2.5.1 torchvision>=0.15 -> docs/results/torch-2.5.1-cpu.json",
        "torch==2.14.1 torchvision>=0.15 -> docs/results/torch-2.14.1-cpu.json",
    ]
    assert commands.ran == []


@pytest.fixture
def results(matrix, document):
    """Stored documents: 2.0.1 and 2.14.1 on the CPU, the second with counterfeits, 2.14.1 on sim and on a GPU."""
    caught = [{"name": "sums_are_differences", "outcome": "caught", "detail": "test_adds"}]
    for torch, device, counterfeits in (
        ("2.14.1", "cpu", caught),
        ("2.0.1", "cpu", []),
        ("2.14.1", "sim", []),
        ("2.14.1", "cuda:1", []),
    ):
        file = matrix.RESULTS / f"torch-{torch}-{device.replace(':', '-')}.json"
        file.write_text(document(f"{torch}+cu130", device, counterfeits=counterfeits))
    (matrix.RESULTS / "benchmarks-cpu.json").write_text("{}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [("2.0.1", "cpu", False), ("2.14.1", "cpu", True), ("2.14.1", "sim", False)]),
        (["--device", "sim"], [("2.14.1", "sim", False)]),
        (["--device", "cuda:1"], [("2.14.1", "cuda:1", False)]),
        (["newest"], [("2.14.1", "cpu", False)]),
        (["--counterfeits", "2.5.1"], [("2.5.1", "cpu", True)]),
    ],
)
@pytest.mark.usefixtures("results")
def test_without_a_version_each_stored_document_is_made_again_as_it_was(matrix, arguments, expected):
    found = matrix.jobs(matrix.parse(arguments))
    assert [(job.version, job.device, job.counterfeits) for job in found] == expected


@pytest.mark.usefixtures("results")
def test_without_a_version_the_newest_release_is_added(matrix, monkeypatch):
    monkeypatch.setattr(matrix, "newest", lambda: "2.15.0")
    found = matrix.jobs(matrix.parse([]))
    assert [(job.version, job.device) for job in found][-1] == ("2.15.0", "cpu")
    assert len(found) == 4


def test_a_stored_file_that_is_no_document_is_told_in_one_line(matrix, capsys):
    file = matrix.RESULTS / "torch-2.5.1-cpu.json"
    file.write_text("{}")
    assert matrix.main([]) == 1
    assert capsys.readouterr().err == (
        f"matrix: error: {file}: not a verdict document: it has no 'schema'; delete it, or name its VERSION\n"
    )


def test_a_release_is_installed_tried_and_deleted(matrix, commands):
    assert matrix.main(["--counterfeits", "--device", "cuda:1", "2.5.1"]) == 0
    venv, pip, pytest_ = commands.ran
    folder = Path(venv[-1])
    assert venv[1:3] == ["-m", "venv"]
    assert pip[:4] == [*pytest_[:2], "pip", "install"] == [str(folder / "bin/python"), "-m", "pip", "install"]
    assert pip[6:] == ["torch==2.5.1", "torchvision>=0.15", "-r", str(matrix.ROOT / "requirements.txt")]
    assert {"--device=cuda:1", "--counterfeits"} <= set(pytest_)
    assert [file.name for file in matrix.RESULTS.iterdir()] == ["torch-2.5.1-cuda-1.json"]
    assert not folder.exists()


def test_a_kept_environment_lies_in_the_folder_that_is_named(matrix, commands, tmp_path):
    assert matrix.main(["--keep", str(tmp_path), "2.5.1"]) == 0
    assert commands.ran[0][-1] == str(tmp_path / "torch-2.5.1")


def test_a_broken_claim_is_stored_and_ends_the_script_with_exit_code_1(matrix, commands, capsys):
    commands.verdict, commands.code = "broken", 1
    assert matrix.main(["2.5.1"]) == 1
    assert json.loads((matrix.RESULTS / "torch-2.5.1-cpu.json").read_text())["totals"] == {"broken": 1}
    assert capsys.readouterr().err == "matrix: error: torch 2.5.1 on cpu: broken: adds\n"


@pytest.mark.parametrize(
    ("finds", "problem"),
    [
        ({"code": 2}, "torch 2.5.1 on cpu: pytest ended with exit code 2, for the reason above"),
        ({"torch": "2.14.1"}, "torch 2.5.1 on cpu: the environment has torch 2.14.1; is PYTHONPATH set?"),
        (
            {"interrupted": "stopping after 1 failures"},
            "torch 2.5.1 on cpu: pytest ended early: stopping after 1 failures",
        ),
        ({"text": ""}, "torch 2.5.1 on cpu: pytest tried nothing"),
        ({"text": "[]"}, "torch 2.5.1 on cpu: *: not a verdict document: it has no 'schema'"),
        ({"pip": "WARNING: x\nERROR: No such release\n"}, "torch 2.5.1: pip: No such release"),
    ],
    ids=["a crash", "another torch", "an interrupted run", "nothing tried", "no document", "a failed installation"],
)
def test_what_is_no_run_of_that_release_leaves_the_older_document(matrix, commands, capsys, finds, problem):
    file = matrix.RESULTS / "torch-2.5.1-cpu.json"
    file.write_text("older")
    vars(commands).update(finds)
    assert matrix.main(["2.5.1"]) == 1
    assert fnmatch(capsys.readouterr().err, f"matrix: error: {problem}\n")
    assert file.read_text() == "older"
    assert list(matrix.RESULTS.iterdir()) == [file]


def test_one_release_that_fails_does_not_stop_the_others(matrix, commands, capsys):
    assert matrix.main(["2.6.0", "2.5.1"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert [file.name for file in matrix.RESULTS.iterdir()] == ["torch-2.5.1-cpu.json"]


def test_a_full_disk_is_told_before_anything_is_installed(matrix, commands, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(matrix.shutil, "disk_usage", lambda folder: SimpleNamespace(free=3e9))
    assert matrix.main(["--keep", str(tmp_path), "2.5.1"]) == 1
    assert capsys.readouterr().err == (
        f"matrix: error: torch 2.5.1: {tmp_path} has 3 GB left, and 12 are needed; name a roomier one with --keep\n"
    )
    assert commands.ran == []
