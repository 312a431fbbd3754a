"""The commands in workflows and documentation: options that exist, actions that are pinned."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
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


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_with_its_release_beside_it(path):
    used = re.findall(r"uses: (.+)", path.read_text("utf8"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []
