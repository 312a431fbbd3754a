"""The verdict table: what the register expects of statement and truth tests, and what a run makes of it."""

import json

import pytest
import torch

pytestmark = pytest.mark.usefixtures("bare")

STATEMENT = '@claim("c")\ndef test_statement():\n    assert {}\n'
TRUTH = '@claim("c", truth=True)\ndef test_truth():\n    assert {}\n'


def verdict(project, *arguments):
    """Run the project and return the exit code and the verdict of claim ``c``."""
    result = project.run("--verdicts=v.json", *arguments)
    claims = json.loads((project.path / "v.json").read_text())["claims"]
    return int(result.ret), next(claim["verdict"] for claim in claims if claim["id"] == "c")


def test_the_sample_project_passes(project):
    result = project.run()
    result.assert_outcomes(passed=4, xfailed=1)
    assert result.ret == 0


@pytest.mark.parametrize(("passes", "expected"), [("True", (0, "holds")), ("False", (1, "broken"))])
def test_the_statement_of_a_claim_that_holds_must_pass(project, entry, passes, expected):
    project.only(entry("c"), STATEMENT.format(passes))
    assert verdict(project) == expected


@pytest.mark.parametrize(
    ("statement", "truth", "expected"),
    [
        ("True", "True", (0, "caveat")),
        ("False", "True", (1, "broken")),
        ("True", "False", (1, "broken")),
    ],
)
def test_statement_and_truth_of_a_caveat_must_pass(project, entry, statement, truth, expected):
    project.only(entry("c", "caveat"), STATEMENT.format(statement) + TRUTH.format(truth))
    assert verdict(project) == expected


@pytest.mark.parametrize(
    ("statement", "truth", "expected"),
    [
        ("False", "True", (0, "mistaken")),
        ("True", "True", (1, "broken")),
        ("False", "False", (1, "broken")),
    ],
)
def test_the_statement_of_a_mistaken_claim_must_fail_and_its_truth_pass(project, entry, statement, truth, expected):
    project.only(entry("c", "mistaken"), STATEMENT.format(statement) + TRUTH.format(truth))
    assert verdict(project) == expected


@pytest.mark.parametrize("version", ["2.6.0", "2.6.1+cpu", "2.10.0a0"])
@pytest.mark.parametrize(
    ("statement", "truth", "expected"),
    [
        ("False", "True", (0, "superseded")),
        ("True", "True", (1, "broken")),
        ("False", "False", (1, "broken")),
    ],
)
def test_from_its_release_on_a_superseded_claim_fares_as_a_mistaken_one(
    project, entry, monkeypatch, version, statement, truth, expected
):
    monkeypatch.setattr(torch, "__version__", version)
    project.only(entry("c", "superseded", until="2.6"), STATEMENT.format(statement) + TRUTH.format(truth))
    assert verdict(project) == expected


@pytest.mark.parametrize(("passes", "expected"), [("True", (0, "holds")), ("False", (1, "broken"))])
def test_before_its_release_the_statement_of_a_superseded_claim_must_pass(
    project, entry, monkeypatch, passes, expected
):
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    project.only(entry("c", "superseded", until="2.6"), STATEMENT.format(passes) + TRUTH.format("False"))
    assert verdict(project) == expected


def test_before_its_release_the_truth_of_a_superseded_claim_is_skipped_as_not_applicable(project, entry, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    project.only(entry("c", "superseded", until="2.6"), STATEMENT.format("True") + TRUTH.format("False"))
    result = project.run("-rs", "--verdicts=v.json")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*not applicable: the statement holds before torch 2.6"])
    tests = json.loads((project.path / "v.json").read_text())["claims"][0]["tests"]
    assert [test["outcome"] for test in tests] == ["passed", "not applicable"]


@pytest.mark.parametrize(("passes", "expected"), [("False", (0, "not yet")), ("True", (1, "broken"))])
def test_before_its_first_release_the_statement_must_fail(project, entry, monkeypatch, passes, expected):
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    project.only(entry("c", since="2.6"), STATEMENT.format(passes))
    assert verdict(project) == expected


@pytest.mark.parametrize(("passes", "expected"), [("False", (0, "not yet")), ("True", (1, "broken"))])
def test_before_the_first_release_of_a_caveat_its_truth_must_pass_as_registered(
    project, entry, monkeypatch, passes, expected
):
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    project.only(entry("c", "caveat", since="2.6"), STATEMENT.format(passes) + TRUTH.format("True"))
    assert verdict(project) == expected


@pytest.mark.parametrize(("passes", "expected"), [("True", (0, "holds")), ("False", (1, "broken"))])
def test_from_its_first_release_on_the_statement_must_pass(project, entry, monkeypatch, passes, expected):
    monkeypatch.setattr(torch, "__version__", "2.6.0")
    project.only(entry("c", since="2.6"), STATEMENT.format(passes))
    assert verdict(project) == expected


def test_a_claim_of_which_only_some_tests_ran_is_not_tried(project, entry):
    project.only(entry("c", "caveat"), STATEMENT.format("True") + TRUTH.format("True"))
    assert verdict(project, "-k", "truth") == (0, "not tried")


def test_a_claim_of_which_only_some_cases_ran_is_not_tried(project):
    project.run("tests/ch1_sample/test_1_2_other.py::test_a_shape_is_a_tuple[2]", "--verdicts=v.json")
    shapes = json.loads((project.path / "v.json").read_text())["claims"][2]
    assert (shapes["verdict"], shapes["reason"]) == ("not tried", "only 0 of its 1 tests ran to the end")


def test_a_claim_that_fails_in_part_of_a_run_is_broken_all_the_same(project, entry):
    project.only(entry("c", "caveat"), STATEMENT.format("False") + TRUTH.format("True"))
    assert verdict(project, "-k", "statement") == (1, "broken")


def test_a_claim_whose_tests_all_stand_aside_is_not_tried_for_their_reason(project, entry):
    statement = '@claim("{}")\ndef test_{}():\n    {}\n'
    module = statement.format("c", "c", 'pytest.skip("no data here")') + statement.format("d", "d", "assert True")
    project.only(entry("c") + entry("d"), module)
    project.run("--verdicts=v.json")
    claim = json.loads((project.path / "v.json").read_text())["claims"][0]
    assert (claim["verdict"], claim["reason"]) == ("not tried", "no data here")


RECORDS = """
@claim("c")
def test_one(record_property):
    record_property("curve", {"x": "epoch", "lines": {"training": [2.5, 0.5]}})
    record_property("crossover", {64: None})
    assert True


@claim("c")
def test_two():
    assert True
"""


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["alone", "with a worker"])
def test_what_a_test_records_stands_in_the_document_as_measured(project, entry, arguments, monkeypatch):
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    project.only(entry("c"), RECORDS)
    project.pytester.runpytest_subprocess("--verdicts=v.json", *arguments)
    assert json.loads((project.path / "v.json").read_text())["measured"] == {
        "tests/ch1_sample/test_1_1_sample.py::test_one": {
            "curve": {"x": "epoch", "lines": {"training": [2.5, 0.5]}},
            "crossover": {"64": None},
        }
    }


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("torch.tensor(1.5)", "Object of type Tensor is not JSON serializable"),
        ("[0.5, float('nan')]", "Out of range float values are not JSON compliant*"),
    ],
)
def test_a_test_that_records_what_no_document_can_hold_fails(project, entry, value, problem):
    recording = f'@claim("c")\ndef test_one(record_property):\n    record_property("loss", {value})\n    assert True\n'
    project.only(entry("c"), recording)
    result = project.run("--verdicts=v.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"record_property('loss', ...) takes finite numbers*: {problem}"])
    assert json.loads((project.path / "v.json").read_text())["claims"][0]["verdict"] == "broken"


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan"])
def test_a_run_that_calls_no_test_tries_no_claim(project, option):
    result = project.run(option, "--verdicts=v.json")
    result.stdout.fnmatch_lines(
        ["*  3 claims: it was set up but not called", "verdicts: nothing was tried, so v.json was not written"]
    )
    assert not (project.path / "v.json").exists()


def test_a_truth_that_applies_is_not_tried_whatever_its_test_calls_the_reason(project, entry):
    truth = '@claim("c", truth=True)\ndef test_truth():\n    pytest.skip("not applicable: I say so")\n'
    project.only(entry("c", "caveat"), f'@claim("c")\ndef test_statement():\n    assert True\n{truth}')
    project.run("--verdicts=v.json")
    claim = json.loads((project.path / "v.json").read_text())["claims"][0]
    assert (claim["verdict"], claim["reason"]) == ("not tried", "not applicable: I say so")
