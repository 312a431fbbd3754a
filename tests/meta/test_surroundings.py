"""What surrounds a run: what is missing or in the way is told in one line, and what can be put right is."""

import contextlib
import gc
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from harness import surroundings

ROOT = Path(__file__).parents[2]
STATEMENT = '@claim("c")\ndef test_statement():\n    assert {}\n'


def errors(result):
    """The lines that a run that never started wrote."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not result.outlines
    return [line for line in result.errlines if line]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PYTHON", (4, 0), "Python * is too old: at least 4.0 is needed"),
        ("PYTEST", (99, 1), "pytest * is too old: at least 99.1 is needed"),
        ("NEEDED", ("no_such_package",), "no_such_package is not installed in the environment of *"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, name, value, problem):
    monkeypatch.setattr(surroundings, name, value)
    (line,) = surroundings.missing()
    assert pytest.LineMatcher([line]).fnmatch_lines([problem]) is None


@pytest.mark.parametrize("package", ["torch", "numpy", "hypothesis"])
def test_a_package_that_is_missing_ends_the_run_in_two_lines(project, package):
    """An environment of pytest alone: what is looked for in the site's folder is not found."""
    hide = "import importlib.util as util\nfind = util.find_spec\n"
    hide += f"util.find_spec = lambda name, package=None: None if name == {package!r} else find(name, package)\n"
    (project.path / "sitecustomize.py").write_text(hide)
    result = subprocess.run(
        [sys.executable, "-m", "pytest"],
        capture_output=True,
        text=True,
        cwd=project.path,
        env=os.environ | {"PYTHONPATH": str(project.path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert (result.returncode, result.stdout) == (pytest.ExitCode.USAGE_ERROR, "")
    first, second, *rest = [line for line in result.stderr.splitlines() if line]
    assert first == f"ERROR: {package} is not installed in the environment of {sys.executable}"
    assert "pip install -r tests/requirements.txt" in second
    assert rest == []


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--runxfail"], "--runxfail: then a false statement that passes would count as refuted; leave it out"),
        (["-p", "no:skipping"], "-p no:skipping: then what must fail would count as failed; leave it out"),
        (["-p", "no:python"], "-p no:python: then no test would be found; leave it out"),
        *(([option], "no run is remembered here*") for option in ("--lf", "--ff", "--nf", "--sw", "--cache-show")),
    ],
    ids=str,
)
def test_an_option_that_changes_what_a_verdict_means_is_refused(project, arguments, problem):
    (error,) = errors(project.run(*arguments))
    pytest.LineMatcher([error]).fnmatch_lines([f"ERROR: {problem}"])


def test_a_process_for_each_test_is_refused(project):
    """As pytest-forked has it, of which only the option is here."""
    option = 'def pytest_addoption(parser):\n    parser.addoption("--forked", action="store_true")\n'
    project.pytester.makepyfile(forked=option)
    result = project.pytester.runpytest_subprocess("-p", "forked", "--forked")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --forked: *; leave it out, or use -n 1"])


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("numpy", "told"), [("1.26.4", False), ("2.0.0", True)])
def test_a_numpy_for_which_torch_was_not_built_is_told(project, monkeypatch, numpy, told):
    monkeypatch.setattr(surroundings, "installed", {"torch": "2.2.2+cpu", "numpy": numpy}.get)
    result = project.run()
    assert (result.ret == pytest.ExitCode.USAGE_ERROR) == told
    if told:
        (error,) = errors(result)
        why = "was built for NumPy 1 and finds no other, but NumPy 2.0.0 is there: install 'numpy<2'"
        assert error == f"ERROR: torch 2.2.2+cpu {why}"


def test_names_of_files_that_cannot_be_written_are_told(project, monkeypatch):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    (error,) = errors(project.run())
    assert error == "ERROR: file names are in ascii here, and some in tests are not: set PYTHONUTF8=1"


SETTINGS = """
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.set_grad_enabled(False)
torch.set_flush_denormal(True)
torch.set_printoptions(precision=1)
torch.set_float32_matmul_precision("medium")
torch.autograd.set_detect_anomaly(True)
torch.use_deterministic_algorithms(True)
"""
AS_IT_WAS = """\
    x = torch.ones(1, requires_grad=True)
    assert (x.dtype, str(x.device), (2 * x).requires_grad) == (torch.float32, "cpu", True)
    assert torch.tensor(1e-40) * 1 > 0
    assert "1.2346" in str(torch.tensor(1.23456))
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.is_anomaly_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in __import__("os").environ
"""


def test_what_an_environment_sets_for_torch_is_put_back_and_named(project, entry):
    """As an image of a container may set it, in its start-up file and by variables."""
    (project.path / "sitecustomize.py").write_text(f"import torch\n{SETTINGS}")
    project.only(entry("c"), f'@claim("c")\ndef test_statement():\n{AS_IT_WAS}')
    for arguments in ([], ["-n", "1"]):
        result = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            capture_output=True,
            text=True,
            cwd=project.path,
            env=os.environ | {"PYTHONPATH": str(project.path), "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"},
        )
        assert "1 passed" in result.stdout
        assert "set aside, as they change torch: TORCH_FORCE_WEIGHTS_ONLY_LOAD\n" in result.stdout


WATCH = """
import os, pathlib, sys

def watch(event, details):
    if event == "import" and details[0] == "numpy":
        with pathlib.Path("numpy").open("a") as file:
            file.write(os.environ.get("OPENBLAS_NUM_THREADS", "all") + "\\n")

sys.addaudithook(watch)
"""


def test_numpy_is_imported_when_its_products_have_one_thread_alone(project):
    """Which it reads once. Where all cores are busy, a product in two threads took up to ten seconds."""
    (project.path / "sitecustomize.py").write_text(WATCH)
    environment = os.environ | {"PYTHONPATH": str(project.path)}
    environment.pop("OPENBLAS_NUM_THREADS", None)
    for arguments in ([], ["-n", "1"]):
        subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=project.path, env=environment)
    assert Path(project.path, "numpy").read_text() == "1\n1\n"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("torch==2.5.1", None),
        ("torch==2.5.1+cu124", None),
        ("torch==2.5.*", None),
        ("torchvision==0.20.1", None),
        ("torch==2.5.2", "--expect torch==2.5.2: torch 2.5.1+cu124 is in the environment of *"),
        ("torch==2.5.1+cpu", "--expect torch==2.5.1+cpu: torch 2.5.1+cu124 is in the environment of *"),
        ("torch==2.*.1", "--expect torch==2.*.1: torch 2.5.1+cu124 is in the environment of *"),
        ("torch==2.5", "--expect torch==2.5: torch 2.5.1+cu124 is in the environment of *"),
        ("python==2.7.*", "--expect python==2.7.[*]: python 3.* is in the environment of *"),
        ("numpy==2.0.0", "--expect numpy==2.0.0: numpy is not installed in the environment of *"),
        ("torch", "--expect: 'torch' is not of the form NAME==VERSION, with NAME one of torch, torchvision, numpy, *"),
        ("torch>=2.5", "--expect: 'torch>=2.5' is not of the form NAME==VERSION, *"),
        ("scipy==1.0", "--expect: 'scipy==1.0' is not of the form NAME==VERSION, *"),
    ],
)
def test_another_torch_than_the_expected_one_ends_the_run(project, monkeypatch, wanted, problem):
    monkeypatch.setattr(surroundings, "installed", {"torch": "2.5.1+cu124", "torchvision": "0.20.1"}.get)
    result = project.run(f"--expect={wanted}", "--expect=torch==2.5.1")
    if problem is None:
        assert result.ret == 0
    else:
        (error,) = errors(result)
        pytest.LineMatcher([error]).fnmatch_lines([f"ERROR: {problem}"])


def test_what_the_suite_runs_on_brings_nothing_that_it_judges():
    """Neither by name nor as what one of its packages needs: so installing it leaves torch, torchvision and NumPy."""
    lines = (ROOT / "tests/requirements.txt").read_text("utf8").splitlines()
    waiting = [re.match(r"[\w-]+", line)[0] for line in lines if not line.startswith("#")]
    assert "pytest" in waiting
    brought = set()
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in brought:
            continue
        brought.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):  # for another system or Python
            needed = [line for line in metadata.requires(name) or () if "extra ==" not in line]
            waiting += [re.match(r"[\w.-]+", line)[0] for line in needed]
    assert "pluggy" in brought
    assert brought & {"torch", "torchvision", "numpy"} == set()
    assert "-r tests/requirements.txt" in (ROOT / "requirements.txt").read_text("utf8").splitlines()


@pytest.mark.usefixtures("bare")
def test_the_first_line_says_what_is_judged(project):
    first = project.run().outlines[0]
    assert first.startswith(f"torch {torch.__version__}, torchvision ")
    assert first.endswith(", on cpu")


def test_a_run_says_nothing_of_benchmarks_that_it_does_not_take(project):
    project.run().stdout.no_fnmatch_line("benchmark: *")


@pytest.mark.usefixtures("bare")
def test_a_folder_without_claims_says_where_they_are(project, monkeypatch):
    folder = project.path / "docs"
    folder.mkdir()
    monkeypatch.chdir(folder)
    result = project.run()
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines([f"no claim is tried in this folder; run pytest in {project.path}"])


@pytest.mark.usefixtures("bare")
def test_one_claim_runs_no_test_of_anything_else(project):
    project.write("meta/test_meta.py", "def test_machinery():\n    assert False\n")
    project.run("--claim=adds", ".").assert_outcomes(passed=1, deselected=2)


@pytest.mark.usefixtures("bare")
def test_a_folder_that_is_to_be_ignored_is(project):
    result = project.run("--ignore=tests/ch1_sample")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", ["claims", "cases", "counterfeit", "aside"])
def test_a_test_may_not_record_under_a_name_of_the_harness(project, entry, name):
    record = (
        f'@claim("c")\ndef test_c(record_property):\n    record_property({name!r}, "not applicable")\n    assert True\n'
    )
    project.only(entry("c"), record)
    result = project.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"record_property({name!r}, ...) takes another name: this one is the harness' own"])


@pytest.mark.usefixtures("bare")
def test_a_second_interruption_ends_in_one_line(project, entry):
    project.only(entry("c"), STATEMENT.format("__import__('os').kill(__import__('os').getpid(), 2)"))
    conftest = project.path / "tests/conftest.py"
    conftest.write_text("def pytest_sessionfinish():\n    raise KeyboardInterrupt\n")
    result = project.pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert [line for line in result.errlines if line] == ["interrupted again: no verdicts"]


@pytest.mark.usefixtures("bare")
def test_what_the_harness_froze_is_collected_again_in_the_end(project):
    """Else C++ libraries say at the end of the process that their objects leak."""
    project.run()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("bare")
def test_a_backend_that_ends_the_process_as_it_is_imported_is_told(project):
    (project.path / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    project.pytester.syspathinsert()
    (error,) = errors(project.run("--device-module=leaving"))
    assert error == "ERROR: --device-module: 'leaving' cannot be imported: SystemExit: 3"
