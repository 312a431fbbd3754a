"""Verdict documents as files: where they are written, when the older one stays, and what is read back."""

import copy
import json
import os
import tempfile
import threading
from pathlib import Path

import pytest
from harness import documents

pytestmark = pytest.mark.usefixtures("bare")

NAME = "v" * 250
FAILING = 'import pytest\n\n\n@pytest.mark.claim("shapes")\ndef test_a_shape_is_a_list():\n    assert () == []\n'
STOPPING = FAILING.replace("assert () == []", "{}")


def write(project, *arguments):
    """Run the project and return the text of the document."""
    project.run("--verdicts=v.json", *arguments)
    return (project.path / "v.json").read_text("utf8")


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("tests", "'tests' is a folder"),
        ("", "'.' is a folder"),
        ("no/such/v.json", "'no/such/v.json' lies in a folder that does not exist"),
    ],
)
def test_a_file_that_cannot_be_is_reported_before_anything_runs(project, file, problem):
    result = project.run(f"--verdicts={file}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines == [f"ERROR: --verdicts: {problem}; name a file in an existing folder", ""]
    assert not result.outlines


@pytest.mark.parametrize("file", [f"{NAME}{NAME}.json", "/proc/v.json"])
def test_a_file_that_cannot_be_written_is_reported_before_anything_runs(project, file):
    result = project.run(f"--verdicts={file}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (error,) = [line for line in result.errlines if line]
    assert error.startswith(f"ERROR: --verdicts: {file!r} cannot be written: ")


def test_a_document_leaves_no_other_file_and_replaces_an_older_one(project):
    (project.path / "v.json").write_text("old")
    before = set(os.listdir(project.path))
    assert json.loads(write(project))["schema"] == documents.SCHEMA
    assert set(os.listdir(project.path)) - before <= {"__pycache__"}


def test_the_older_document_stays_when_the_run_never_starts(project):
    (project.path / "v.json").write_text("old")
    project.write("ch1_sample/test_1_2_other.py", "def test_two(): assert True\n")
    assert project.run("--verdicts=v.json").ret == pytest.ExitCode.USAGE_ERROR
    assert (project.path / "v.json").read_text() == "old"


def test_a_long_name_is_no_hindrance(project):
    assert project.run(f"--verdicts={NAME}.json").ret == 0
    assert documents.read(project.path / f"{NAME}.json")["totals"]["holds"] == 2


def test_a_link_stays_one_and_what_it_names_is_written(project):
    (project.path / "store").mkdir()
    (project.path / "v.json").symlink_to("store/real.json")
    for _ in range(2):
        write(project)
        assert (project.path / "v.json").is_symlink()
        assert documents.read(project.path / "store/real.json")["interrupted"] == ""
    assert os.listdir(project.path / "store") == ["real.json"]


def test_what_is_no_regular_file_is_written_to_and_never_replaced(project):
    pipe = project.path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text("utf8")))
    reader.start()
    assert project.run(f"--verdicts={pipe}").ret == 0
    reader.join()
    assert json.loads(received[0])["totals"]["holds"] == 2
    assert pipe.is_fifo()
    (project.path / "null").symlink_to("/dev/null")
    assert project.run("--verdicts=null").ret == 0
    assert not (project.path / "null").is_file()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs Linux' folder of files in memory")
def test_a_document_in_shared_memory_is_replaced_though_the_folder_is_below_dev():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for text in ("older and longer", "newer"):
            documents.replace(f"{folder}/v.json", text)
        assert Path(folder, "v.json").read_text("utf8") == "newer"


def test_a_full_disk_is_told_in_one_line_after_the_table(project):
    """/dev/full takes nothing, and says that the disk is full."""
    (project.path / "v.json").symlink_to("/dev/full")
    result = project.run("--verdicts=v.json")
    assert result.ret == 6
    result.stdout.fnmatch_lines(
        ["claims        3     3", "verdicts: v.json cannot be written: No space left on device"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert "".join(result.errlines) == ""


def test_a_disk_that_is_full_by_the_end_leaves_the_older_document(project, monkeypatch):
    (project.path / "v.json").write_text("old")

    def full(path, *rest):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(documents.Path, "write_text", full)
    assert project.run("--verdicts=v.json").ret == 6
    monkeypatch.undo()
    assert (project.path / "v.json").read_text() == "old"
    assert not list(project.path.glob(".verdicts*"))


def test_a_broken_claim_counts_for_more_than_a_document_that_cannot_be_written(project):
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    (project.path / "v.json").symlink_to("/dev/full")
    assert project.run("--verdicts=v.json").ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "nothing"],
        ["-m", "nothing"],
        ["--setup-plan"],
        ["--setup-only"],
        ["--fixtures"],
        ["--collect-only"],
        ["no/such/path"],
        ["tests/ch1_sample/test_1_1_sample.py::test_no_such"],
    ],
    ids=" ".join,
)
def test_a_run_that_tried_nothing_leaves_the_older_document(project, arguments):
    (project.path / "v.json").write_text("old")
    project.run("--verdicts=v.json", *arguments)
    assert (project.path / "v.json").read_text() == "old"


def test_a_run_that_tried_nothing_says_that_no_document_was_written(project):
    result = project.run("--verdicts=v.json", "-k", "nothing")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["verdicts: nothing was tried, so v.json was not written"])
    assert not (project.path / "v.json").exists()


def test_a_module_that_cannot_be_imported_leaves_the_older_document_and_is_the_reason_in_a_new_one(project):
    (project.path / "v.json").write_text("old")
    project.write("ch1_sample/test_1_2_other.py", f"{FAILING}raise RuntimeError('no luck')\n")
    assert project.run("--verdicts=v.json").ret == pytest.ExitCode.INTERRUPTED
    assert (project.path / "v.json").read_text() == "old"
    claims = json.loads(write(project, "--continue-on-collection-errors"))["claims"]
    assert [claim["reason"] for claim in claims] == ["", "", "RuntimeError: no luck"]


@pytest.mark.parametrize(
    ("statement", "arguments", "reason"),
    [
        ("raise KeyboardInterrupt", [], "interrupted"),
        ("pytest.exit('enough')", [], "Exit: enough"),
        ("pytest.exit('enough', returncode=0)", [], "Exit: enough"),
        ("assert () == []", ["-x"], "stopping after 1 failures"),
        ("assert () == []", ["--maxfail=1"], "stopping after 1 failures"),
    ],
)
def test_a_document_of_a_run_that_ended_early_says_so(project, statement, arguments, reason):
    project.write("ch1_sample/test_1_2_other.py", STOPPING.format(statement))
    text = write(project, *arguments)
    assert json.loads(text)["interrupted"].endswith(reason)


@pytest.fixture
def whole(stored):
    """A document of two claims."""
    tests = [{"test": "tests/ch1/test_1.py::test_a"}]
    return stored([{"id": "adds", "tests": tests}, {"id": "divides", "verdict": "not tried", "reason": "why"}])


def change(document, place, value):
    """A copy of the document with one field set, or deleted by ``...``; ``place`` is as "claims 0 id"."""
    changed = copy.deepcopy(document)
    *path, last = [int(part) if part.isdigit() else part for part in place.split()]
    at = changed
    for part in path:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return changed


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("schema", ..., "it has no 'schema'"),
        ("torch", ..., "it lacks 'torch'"),
        ("torch", None, "torch cannot be null"),
        ("simulated", "no", 'simulated cannot be "no"'),
        ("seed", "0", 'seed cannot be "0"'),
        ("claims", None, "claims is no list"),
        ("claims", [], "it has no claims"),
        ("claims 0", None, "claims[0] is no object"),
        ("claims 0 verdict", ..., "claims[0] lacks 'verdict'"),
        ("claims 0 verdict", "true", 'claims[0].verdict cannot be "true"'),
        ("claims 0 registered", "broken", 'claims[0].registered cannot be "broken"'),
        ("claims 0 tests", {}, "claims[0].tests is no list"),
        ("claims 0 tests 0 outcome", ..., "claims[0].tests[0] lacks 'outcome'"),
        ("claims 0 tests 0 truth", 1, "claims[0].tests[0].truth cannot be 1"),
        ("claims 0 tests 0 cases", [3], "claims[0].tests[0].cases[0] cannot be 3"),
        ("claims 0 counterfeits", [{"name": "n"}], "claims[0].counterfeits[0] lacks 'outcome'"),
        ("claims 1 id", "adds", "claim 'adds' stands there twice"),
        ("totals holds", 7, "its totals are not those of its claims"),
    ],
)
def test_a_document_that_does_not_fit_is_told_in_one_line(whole, tmp_path, place, value, problem):
    file = tmp_path / "v.json"
    file.write_text(json.dumps(change(whole, place, value)))
    with pytest.raises(documents.Mistake) as raised:
        documents.read(file)
    assert str(raised.value) == f"{file}: not a verdict document: {problem}"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"schema": 2', "\ufeff{}"])
def test_a_file_that_is_no_document_is_told_in_one_line(tmp_path, text):
    file = tmp_path / "v.json"
    file.write_text(text, "utf8")
    with pytest.raises(documents.Mistake, match=r"^.*/v\.json: not a verdict document: [^\n]*$"):
        documents.read(file)


def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path):
    (tmp_path / "link.json").symlink_to("nowhere")
    for file, problem in [("link.json", "No such file or directory"), (".", "Is a directory")]:
        with pytest.raises(documents.Mistake, match=f"cannot be read: {problem}$"):
            documents.read(tmp_path / file)
    (tmp_path / "v.json").write_bytes(b'{"schema": "\xff"}')
    with pytest.raises(documents.Mistake, match="not a verdict document: 'utf-8' codec"):
        documents.read(tmp_path / "v.json")


def test_what_is_written_is_read_back(whole, tmp_path):
    whole["measured"] = {"tests/a.py::test_ü[x]": {"curve": {"x": "epoch", "lines": {"training": [1.5, None]}}}}
    documents.write(tmp_path / "v.json", whole)
    assert documents.read(tmp_path / "v.json") == whole
