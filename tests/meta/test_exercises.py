"""Exercises: each fails until it is solved, and passes then; nothing that a learner wrote is lost."""

import dataclasses
import doctest
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import exercises, gate, learning, specification

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages(request):
    """The exercises of all pages on this torch."""
    import torch

    return exercises.of_pages(specification.of(request.config), torch.__version__)


@pytest.fixture
def run(pytester, monkeypatch):
    """pytest as a learner runs it on a folder; returns what it prints."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file is edited within a second, at the same length

    def run(folder, *options):
        result = pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", f"--rootdir={folder}", *options, folder)
        return "\n".join(result.outlines) + "\n"

    return run


@pytest.fixture
def write(tmp_path, request):
    """Writes files of exercises, with a function for each variant of a source; returns how many functions these are."""

    def write(pages, variants):
        (tmp_path / "conftest.py").write_text(Path(learning.__file__).read_text("utf8"), "utf8")
        for module, made in pages.items():
            functions = [
                (
                    lesson,
                    dataclasses.replace(one, source=source.replace(f"def {one.name}(", f"def {one.name}_{number}(")),
                )
                for lesson, one in made
                for number, source in enumerate(variants(one))
            ]
            text = exercises.page(ROOT / module, functions, specification.of(request.config))
            (tmp_path / Path(module).name).write_text(text, "utf8")
        return sum(len(variants(one)) for made in pages.values() for _, one in made)

    return write


def filled(one, *values):
    """The source of an exercise with ``values`` in place of the first blanks."""
    text = one.source
    for value in values:
        text = text.replace(exercises.BLANK, value, 1)
    return text


def wrong(answer: str) -> list[str]:
    """Other values of the same type, as source."""
    if exercises.kind(answer) == "the type of an exception":
        return ["ZeroDivisionError", "Exception"]
    return [repr(other(eval(answer, {"math": math})))]


def other(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float | complex):
        return value + 1
    if isinstance(value, str):
        return value + "?"
    if isinstance(value, list | tuple):
        return type(value)([other(value[0]), *value[1:]]) if value else type(value)([0])
    if isinstance(value, dict):
        return {**value, "?": 0}
    if isinstance(value, set):
        return {*value, "?"}
    assert value is None
    return False  # there is no other None


def test_every_exercise_passes_when_it_is_solved(pages, write, tmp_path, run):
    count = write(pages, lambda one: [filled(one, *one.answers)])
    printed = run(tmp_path)
    passed, skipped = re.search(r"^(\d+) passed(?:, (\d+) skipped)?", printed, re.MULTILINE).groups()
    assert int(passed) + int(skipped or 0) == count, printed[-2000:]
    assert int(skipped or 0) < 3


def test_every_blank_matters_and_no_other_value_of_its_type_passes(pages, write, tmp_path, run):
    def variants(one):
        for index, answer in enumerate(one.answers):
            for value in ("left_open", *wrong(answer)):  # a name that nothing has, as the blank is
                yield filled(one, *one.answers[:index], value, *one.answers[index + 1 :])

    count = write(pages, lambda one: list(variants(one)))
    printed = run(tmp_path, "--tb=no", "-rp")
    passed = [line for line in printed.splitlines() if line.startswith("PASSED")]
    assert passed == []
    assert " failed" in printed[-300:], printed[-1500:]
    failed, skipped = re.search(r"^(\d+) failed(?:, (\d+) skipped)?", printed, re.MULTILINE).groups()
    assert int(failed) + int(skipped or 0) == count


def test_every_page_gives_exercises_of_one_to_three_blanks_and_without_an_answer(pages):
    assert {Path(module).name.split("_")[1] for module in pages} == {"1", "2", "3", "4"}
    for _, one in (pair for made in pages.values() for pair in made):
        assert 1 <= one.source.count(exercises.BLANK) == len(one.answers) <= exercises.BLANKS


LESSON = '@claim("c")\ndef test_c():\n    """Doc."""\n    x = 2  # kept\n    assert {}  # two\n'


@pytest.mark.parametrize(
    "assertion, blank, answer",
    [
        ("x + x == 4", "x + x == ___", "4"),
        ("[x] == [2]", "[x] == ___", "[2]"),
        ("x == x == -2", "x == x == ___", "-2"),
        ("x == pytest.approx(0.5)", "x == pytest.approx(___)", "0.5"),
        ("x > 1", "bool(x <= 1) is ___", "False"),
        ("1 < x < 3", "bool(1 < x < 3) is ___", "True"),
        ("not x", "bool(x) is ___", "False"),
        ("x == 2 * (1 - 3)", "x == ___", "2 * (1 - 3)"),
        ("x == [math.log(2)] * 3", "x == ___", "[math.log(2)] * 3"),
        ("x == [x] * 3", "bool(x != [x] * 3) is ___", "False"),
        ("x == (\n        'long'\n    )", "x == ___", "'long'"),
        ("('变', x) == ('变', 2)", "('变', x) == ___", "('变', 2)"),
    ],
)
def test_what_is_taken_out_is_what_a_result_is_compared_with(assertion, blank, answer):
    lesson = gate.Test("test_c", "tests/ch1/test_1_1.py", 1, LESSON.format(assertion), ())
    one = exercises.exercise(lesson, holds=True)
    assert (one.source.splitlines()[-1].strip(), one.answers) == (f"assert {blank}", (answer,))
    assert "x = 2  # kept" in one.source


def test_a_false_sentence_becomes_a_question_that_does_not_tell():
    lesson = gate.Test("test_c", "m", 1, LESSON.format("x == 3").replace("Doc", "Mistaken: no"), ())
    one = exercises.exercise(lesson, holds=False)
    assert "Mistaken" not in one.source
    assert one.answers == ("False",)
    names = {}
    exec(filled(one, "False"), names)
    names["test_c"]()


@pytest.fixture
def folder(tmp_path, request):
    """Exercises of section 2.2 as a learner gets them."""
    import torch

    spec = specification.of(request.config)
    chosen = frozenset(id for id in spec.register.claims if id.startswith(("view-", "item-")))
    exercises.write(tmp_path / "mine", dataclasses.replace(spec, chosen=chosen), torch.__version__)
    return tmp_path / "mine"


def make(target, *claims):
    command = [sys.executable, "-m", "pytest", f"--exercises={target}", *(f"--claim={claim}" for claim in claims)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_learner_is_led_from_one_exercise_to_the_next(folder, run):
    first = run(folder)
    assert "1 failed" in first
    assert "assert x.tolist() == ___" in first
    assert "Fill in: a list of 6 items." in first
    assert re.search(r"^2\.2: 0 of \d+ · all: 0 of \d+$", first, re.MULTILINE)
    assert "200]" not in first

    file = folder / "test_2_2_shared_data.py"
    text = file.read_text("utf8")
    file.write_text(
        text.replace("___", "[0, 1, 2, 100, 4, 200]", 1).replace("___", "[[0, 1, 2], [100, 4, 200]]", 1), "utf8"
    )
    second = run(folder)
    assert re.search(r"^2\.2: 1 of \d+ · all: 1 of \d+$", second, re.MULTILINE)
    assert "Fill in: the type of an exception." in second


def test_a_blank_left_after_a_wrong_value_does_not_hide_that_it_is_wrong(folder, run):
    file = folder / "test_2_2_shared_data.py"
    file.write_text(file.read_text("utf8").replace("___", "[6]", 1), "utf8")
    assert "That is not it (try 1). What is asked for: a list of 6 items." in run(folder)


def test_the_name_of_all_errors_is_refused_with_the_reason(folder, run):
    file = folder / "test_2_2_shared_data.py"
    file.write_text(file.read_text("utf8").replace("raises(___", "raises(Exception", 1), "utf8")
    assert "every error is of type Exception: say which one it is" in run(folder, "-k", "view_refuses")


def test_an_exception_that_was_not_expected_is_no_answer(folder, run):
    file = folder / "test_2_2_shared_data.py"
    file.write_text(file.read_text("utf8").replace("raises(___", "raises(KeyError", 1), "utf8")
    told = run(folder, "-k", "view_refuses")
    assert 'with pytest.raises(KeyError, match="view size is not compatible"):\n        x.t().view(6)' in told
    assert "What is asked for: the type of an exception." in told
    assert "RuntimeError: " not in told


def test_of_a_file_that_python_cannot_read_the_place_is_told(folder, run):
    file = folder / "test_2_2_shared_data.py"
    file.write_text(file.read_text("utf8").replace("___", "[6", 1), "utf8")
    told = run(folder)
    assert "SyntaxError: '[' was never closed" in told
    assert "line 23" in told
    assert "_pytest" not in told


def test_all_are_tried_where_that_is_asked_for(folder, run):
    count = len(json.loads((folder / ".exercises.json").read_text("utf8"))["pages"]["test_2_2_shared_data.py"])
    assert f"\n{count} failed" in run(folder, "--all")


def test_the_page_for_learners_shows_what_the_runs_print(folder, run, monkeypatch):
    monkeypatch.chdir(folder.parent)
    page = (ROOT / "docs/learn.md").read_text("utf8")
    exercise, _ = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    printed = re.sub(r"^_+ (test_\w+) _+$", r"____________ \1 ____________", run(folder), flags=re.MULTILINE)
    assert doctest.OutputChecker().check_output(f"...{exercise}...\n", printed + "\n", doctest.ELLIPSIS), printed


def test_the_answer_comes_after_the_third_wrong_try_or_when_it_is_asked_for(folder, run):
    file = folder / "test_2_2_shared_data.py"
    text = file.read_text("utf8")
    answer = "The answer: [0, 1, 2, 100, 4, 200]"
    assert answer in run(folder, "--answer")
    for number in range(1, learning.TRIES + 1):
        file.write_text(text.replace("___", f"[{number}]"), "utf8")
        told = [run(folder) for _ in range(2)][-1]  # the same text twice is one try
        assert f"That is not it (try {number})." in told
        assert (answer in told) == (number == learning.TRIES)


def test_writing_exercises_again_keeps_what_a_learner_wrote(folder):
    file = folder / "test_2_2_shared_data.py"
    file.write_text("# mine", "utf8")
    before = json.loads((folder / ".exercises.json").read_text("utf8"))
    result = make(folder, "view-shares-data", "gradients-*")
    assert "1 kept as they are" in result.stdout
    assert file.read_text("utf8") == "# mine"
    after = json.loads((folder / ".exercises.json").read_text("utf8"))
    assert after["pages"][file.name] == before["pages"][file.name]
    count = sum(map(len, after["pages"].values()))
    assert f"{count} exercises in {folder}" in result.stdout


def test_a_folder_with_files_of_its_own_is_refused(tmp_path):
    (tmp_path / "test_mine.py").write_text("# not ours", "utf8")
    result = make(tmp_path, "view-*")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--exercises: {str(tmp_path)!r} has files of its own; name a new folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("", "utf8")
    result = make(tmp_path / "file" / "below", "view-*")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "cannot be written: NotADirectoryError" in result.stderr


def test_progress_is_kept_beside_the_exercises_alone(folder, run):
    run(folder)
    written = {path.name for path in folder.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert written == {"conftest.py", "pytest.ini", ".exercises.json", "test_2_2_shared_data.py"}
    assert json.loads((folder / ".exercises.json").read_text("utf8"))["solved"] == []
