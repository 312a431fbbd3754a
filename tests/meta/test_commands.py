"""The commands in workflows and documentation: options that exist, actions that are pinned, and the script that gates
an upgrade, with a stand-in for Python.
"""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TO_COPY = [ROOT / "docs/ci/github.yml", ROOT / "docs/ci/gitlab.yml"]
PAGES = [ROOT / "docs/ci.md", ROOT / "docs/backend.md"]


def commands(path):
    """The command lines in a workflow's steps, or in a page's blocks of shell code."""
    text = path.read_text("utf8")
    if path.suffix == ".yml":
        return re.findall(r"^\s+(?:- )?run: (.+)$", text, re.MULTILINE)
    return [
        line
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        for line in block.split("\n")
    ]


def pytest_arguments(path):
    """The arguments of each pytest command."""
    lines = (re.sub(r"\$\{\{.*?\}\}", "0", line) for line in commands(path))
    words = (shlex.split(line) for line in lines)
    return [line[1:] for line in words if line and Path(line[0]).name == "pytest"]


RUNNING = [path for path in [*WORKFLOWS, *PAGES] if path.name != "site.yml"]  # which builds from stored runs alone


@pytest.mark.parametrize("path", RUNNING, ids=lambda path: path.name)
def test_every_pytest_command_has_options_that_exist(path, pytestconfig):
    """As pytest itself reads them, so that misspelt values, too, are noticed."""
    found = pytest_arguments(path)
    assert found
    for arguments in found:
        known, unknown = pytestconfig._parser.parse_known_and_unknown_args(arguments)
        assert unknown == [], arguments
        assert [folder for folder in known.file_or_dir if not (ROOT / folder).exists()] == []


def test_a_misspelt_option_is_noticed(pytestconfig):
    _, unknown = pytestconfig._parser.parse_known_and_unknown_args(["--device", "cuda", "--requires=cuda", "--verdict"])
    assert unknown != []


def test_the_workflows_run_what_they_are_for():
    run = {path.name: [" ".join(arguments) for arguments in pytest_arguments(path)] for path in WORKFLOWS}
    assert list(run) == ["cpu.yml", "gpu.yml", "site.yml"]
    assert run["gpu.yml"][0].startswith("--device cuda --require cuda")
    assert run["gpu.yml"][1].startswith("-m cuda --device cuda --require cuda -n 0")
    assert ".ci/run" in commands(WORKFLOWS[0])
    assert "sphinx-build -W -n docs site" in commands(WORKFLOWS[2])
    assert (ROOT / ".ci/run").stat().st_mode & 0o111  # may be executed


@pytest.mark.parametrize("path", [*WORKFLOWS, TO_COPY[0]], ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_with_its_release_beside_it(path):
    used = re.findall(r"uses: (.+)", path.read_text("utf8"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []


def test_the_page_shows_the_files_to_copy_as_they_are():
    shown = re.findall(r"^```\{literalinclude\} (.+)$", (ROOT / "docs/ci.md").read_text("utf8"), re.MULTILINE)
    assert [ROOT / "docs" / file for file in shown] == TO_COPY


@pytest.mark.parametrize("path", [*TO_COPY, ROOT / "docs/ci.md"], ids=lambda path: path.name)
def test_every_upgrade_is_tried_with_options_that_exist(path, pytestconfig):
    lines = re.findall(r"suite/\.ci/upgrade (.+)", path.read_text("utf8"))
    assert lines
    for line in lines:
        _old, _new, *options = shlex.split(line)
        known, unknown = pytestconfig._parser.parse_known_and_unknown_args(options)
        assert (unknown, known.file_or_dir) == ([], [])


PYTHON = """\
#!/usr/bin/env bash
# stands in for Python: makes an "environment" of itself, notes what pip and pytest are asked, writes what pytest would
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip") echo "$(basename "$(dirname "$(dirname "$0")")") pip ${*:3}" >> "$LOG" ;;
    "-m pytest") echo "$(basename "$(dirname "$(dirname "$0")")") pytest ${*:3}" >> "$LOG"
        for word in "$@"; do case $word in --verdicts=*) echo '{}' > "${word#*=}" ;; esac; done
        case $0 in */old/*) exit "${OLD_CODE:-0}" ;; *) exit "${NEW_CODE:-0}" ;; esac ;;
esac
"""


@pytest.fixture
def upgrade(tmp_path):
    """Runs ``.ci/upgrade`` in a folder of its own; returns the exit code and what was asked of Python."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(PYTHON)
    (tmp_path / "bin/python3").chmod(0o755)

    def run(*arguments, **variables):
        log = tmp_path / "log"
        environment = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "LOG": str(log)} | variables
        ran = subprocess.run([ROOT / ".ci/upgrade", *arguments], cwd=tmp_path, env=environment, capture_output=True)
        return ran.returncode, log.read_text().splitlines() if log.exists() else []

    run.folder = tmp_path
    return run


def test_an_upgrade_judges_both_torches_and_compares_them(upgrade):
    code, asked = upgrade("torch==2.0.1 numpy<2", "torch==2.5.1 torchvision", "--device", "cuda")
    assert code == 0
    out = upgrade.folder / "upgrade"
    suite = f"-r {ROOT}/tests/requirements.txt"
    against = f"--against={out}/old.json --changes={out}/changes.md --changes={out}/changes.json"
    written = f"--verdicts={out}/new.json {against} --report={out}/report.html --junitxml={out}/junit.xml"
    assert asked == [
        f"old pip install --quiet torch==2.0.1 numpy<2 {suite}",
        f"old pytest --quiet --expect torch==2.0.1 --verdicts={out}/old.json --device cuda",
        f"new pip install --quiet torch==2.5.1 torchvision {suite}",
        f"new pytest --quiet --expect torch==2.5.1 {written} --device cuda",
    ]


@pytest.mark.parametrize(
    ("codes", "expected", "runs"),
    [({"OLD_CODE": "1"}, 0, 2), ({"OLD_CODE": "4"}, 4, 1), ({"NEW_CODE": "1"}, 1, 2), ({"NEW_CODE": "4"}, 4, 2)],
    ids=["the old one is broken", "the old one cannot run", "the new one is broken", "the new one cannot run"],
)
def test_an_upgrade_ends_as_the_run_on_the_new_torch_does(upgrade, codes, expected, runs):
    code, asked = upgrade("torch==2.0.1", "torch==2.5.1", **codes)
    assert (code, sum(" pytest " in line for line in asked)) == (expected, runs)


def test_an_upgrade_from_a_document_runs_the_new_torch_alone(upgrade):
    (upgrade.folder / "last.json").write_text(json.dumps({"of": "the last release"}))
    code, asked = upgrade("last.json", "torch==2.5.1")
    assert (code, [line for line in asked if line.startswith("old")]) == (0, [])
    assert json.loads((upgrade.folder / "upgrade/old.json").read_text()) == {"of": "the last release"}


def test_an_upgrade_without_its_arguments_says_how_it_is_used(upgrade):
    assert upgrade("torch==2.5.1") == (4, [])
