"""--claim, --explain, --verdicts and --book, and runs without what is usual."""

import json

import pytest

FAILING = 'import pytest\n\n\n@pytest.mark.claim("shapes")\ndef test_a_shape_is_a_list():\n    assert () == []\n'


CASES = """
import pytest


@pytest.mark.claim("shapes")
@pytest.mark.parametrize("rows", [1, pytest.param(2, id="a[2]"), 4])
def test_rows(rows):
    assert rows < 3
"""


def test_claim_runs_the_tests_of_one_claim(project):
    result = project.run("--claim", "divides")
    result.assert_outcomes(passed=1, xfailed=1, deselected=1)


def test_claim_may_be_repeated_and_takes_globs(project):
    result = project.run("--claim", "add*", "--claim", "s?apes")
    result.assert_outcomes(passed=3, deselected=2)


def test_claim_imports_no_module_without_a_chosen_test(project):
    project.write("ch1_sample/test_1_2_other.py", f"{FAILING}raise RuntimeError\n")
    project.run("--claim", "adds").assert_outcomes(passed=1, deselected=2)


@pytest.mark.parametrize("option", ["--claim", "--explain"])
def test_an_unknown_claim_ends_the_run_with_the_closest_ids(project, option):
    result = project.run(option, "dividing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines == [f"ERROR: {option}: no claim is called 'dividing'; did you mean 'divides'?", ""]
    assert not result.outlines


def test_explain_prints_a_claim_its_truth_and_its_tests(project):
    result = project.run("--explain", "divides")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "divides",
            "section 1.1, Numbers, 数",
            "tests/ch1_sample/claims.toml:16",
            "It divides.",
            "verdict: mistaken",
            "It divides otherwise.",
            "── tests/ch1_sample/test_1_1_sample.py:13 ──",
            "def test_halves_are_whole_numbers():",
            "    assert torch.tensor(3) / 2 == 1",
            "── tests/ch1_sample/test_1_1_sample.py:18 ──",
        ]
    )


def test_explain_runs_no_test_and_imports_no_module(project):
    project.write("ch1_sample/test_1_2_other.py", f"{FAILING}raise RuntimeError\n")
    result = project.run("--explain", "shapes", "--explain", "adds")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["adds", "shapes"])  # in the book's order
    result.stdout.no_fnmatch_line("*passed*")


def document(project, *arguments):
    project.run("--verdicts", "v.json", *arguments)
    return json.loads((project.path / "v.json").read_text("utf8"))


def test_verdicts_writes_what_was_judged_and_every_claim(project):
    found = document(project, "--seed=7")
    assert list(found) == [
        *(
            "schema",
            "torch",
            "torchvision",
            "numpy",
            "python",
            "device",
            "simulated",
            "seed",
            "capabilities",
            "interrupted",
            "totals",
            "claims",
            "host",
            "measured",
            "times",
        )
    ]
    assert (found["schema"], found["device"], found["seed"]) == (2, "cpu", 7)
    assert {verdict: count for verdict, count in found["totals"].items() if count} == {"holds": 2, "mistaken": 1}
    assert [(claim["id"], claim["section"], claim["verdict"]) for claim in found["claims"]] == [
        ("adds", "1.1", "holds"),
        ("divides", "1.1", "mistaken"),
        ("shapes", "1.2", "holds"),
    ]


def test_verdicts_lists_each_claims_tests_and_what_they_did(project):
    found = document(project)
    divides = found["claims"][1]
    assert [(test["test"].partition("::")[2], test["truth"], test["outcome"]) for test in divides["tests"]] == [
        ("test_halves_are_floats", True, "passed"),
        ("test_halves_are_whole_numbers", False, "refuted"),
    ]
    assert {test["test"] for test in divides["tests"]} < set(found["times"])
    assert min(found["times"].values()) >= 0


def test_verdicts_gathers_the_cases_of_a_test_that_share_an_outcome(project):
    project.write("ch1_sample/test_1_2_other.py", CASES)
    entries = document(project)["claims"][2]["tests"]
    assert [(entry["test"].partition("::")[2], entry["outcome"], entry["cases"]) for entry in entries] == [
        ("test_rows", "passed", ["1", "a[2]"]),
        ("test_rows", "failed", ["4"]),
    ]


def test_verdicts_keeps_each_claim_and_each_test_to_a_line(project):
    claims = document(project)["claims"]
    lines = (project.path / "v.json").read_text("utf8").splitlines()
    assert [line.split('"')[3] for line in lines if line.startswith('  {"id"')] == ["adds", "divides", "shapes"]
    assert [line.split('"')[3] for line in lines if line.startswith('    {"test"')] == [
        test["test"] for claim in claims for test in claim["tests"]
    ]


def test_verdicts_says_why_a_claim_was_not_tried(project, entry):
    project.register(entry("adds", needs="cuda"), entry("divides", "mistaken"), entry("shapes", section="1.2"))
    claims = document(project, "tests/ch1_sample/test_1_1_sample.py", "-k", "not floats")["claims"]
    assert [(claim["verdict"], claim["reason"]) for claim in claims] == [
        ("not tried", "needs a CUDA GPU; name it with --device cuda"),
        ("not tried", "only 1 of its 2 tests ran to the end"),
        ("not tried", "not selected"),
    ]


def test_verdicts_is_whole_when_the_run_fails(project):
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    assert [claim["verdict"] for claim in document(project)["claims"]] == ["holds", "mistaken", "broken"]


def test_verdicts_are_the_same_in_reverse_order(project):
    forward = document(project)
    backward = document(
        project,
        "tests/ch1_sample/test_1_2_other.py",
        "tests/ch1_sample/test_1_1_sample.py::test_halves_are_floats",
        "tests/ch1_sample/test_1_1_sample.py::test_halves_are_whole_numbers",
        "tests/ch1_sample/test_1_1_sample.py::test_one_and_one_is_two",
    )
    assert forward.pop("times").keys() == backward.pop("times").keys()
    assert forward == backward


def test_book_ends_with_every_claim_that_was_tried(project):
    result = project.run("--book", "--claim=divides", "--claim=shapes")
    result.stdout.fnmatch_lines(
        [
            "* 1 Sample *",
            "1.1 Numbers",
            "  mistaken  It divides.",
            "            -> It divides otherwise.",
            "            divides",
            "1.2 Shapes",
            "     holds  It shapes.",
            "            shapes",
        ]
    )
    result.stdout.no_fnmatch_line("*It adds.*")


def test_explain_has_colours_on_a_terminal_alone_and_not_with_no_color(project, monkeypatch):
    monkeypatch.delenv("PY_COLORS")
    assert "\x1b[" not in project.run("--explain=divides").stdout.str()
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in project.run("--explain=divides").stdout.str()
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in project.run("--explain=divides").stdout.str()


def test_what_a_lesson_prints_is_kept_whoever_captures_it(project):
    lesson = (
        'import pytest\n\n\n@pytest.mark.claim("shapes")\ndef test_prints({}):\n    print(1, "two", sep="-")\n    {}\n'
    )
    for fixture, then in (("capsys", 'assert capsys.readouterr().out == "1-two\\n"'), ("", "print(3)")):
        project.write("ch1_sample/test_1_2_other.py", lesson.format(fixture, then))
        measured = document(project)["measured"]
        assert list(measured.values()) == [{"prints": "1-two\n" + "3\n" * (not fixture)}]


def test_a_run_without_workers_and_benchmarks_says_the_same(project):
    found = project.run("-p", "no:xdist", "-p", "no:benchmark")
    found.assert_outcomes(passed=4, xfailed=1)
    found.stdout.fnmatch_lines(["claims        3     3", "mistaken      1     1"])


def test_workers_without_their_plugin_are_a_usage_error(project):
    assert project.run("-p", "no:xdist", "-n", "2").ret == pytest.ExitCode.USAGE_ERROR


def test_a_run_without_assertions_is_a_usage_error(project, monkeypatch):
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    result = project.pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: python -O, or PYTHONOPTIMIZE: without assertions every test passes*"])
