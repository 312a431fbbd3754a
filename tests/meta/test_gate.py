"""The two-way gate: no test without a claim, no claim without its tests, whatever part of the suite is run."""

import pytest

MODULE = "tests/ch1_sample/test_1_1_sample.py"
CLAIMS = "tests/ch1_sample/claims.toml"
STATEMENT = '@claim("c")\ndef test_statement():\n    assert True\n'
TRUTH = '@claim("c", truth=True)\ndef test_truth():\n    assert True\n'


def errors(result):
    """The lines that a run that never started wrote."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not result.outlines
    return [line for line in result.errlines if line]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-k", "shape"],
        ["tests/ch1_sample/test_1_2_other.py"],
        ["--claim", "adds"],
        ["--collect-only"],
        ["-n", "2"],
        ["-n", "2", "-k", "shape"],
        ["-p", "no:xdist", "-p", "no:benchmark"],
    ],
    ids=" ".join,
)
def test_an_unknown_id_ends_every_run_with_the_closest_ids(project, arguments):
    module = 'import pytest\n\n\n@pytest.mark.claim("ads")\ndef test_one():\n    assert True\n'
    project.write("ch1_sample/test_1_3_wrong.py", module)
    assert errors(project.run(*arguments)) == [
        "ERROR: tests/ch1_sample/test_1_3_wrong.py:5: test_one cites an unknown claim 'ads'; did you mean 'adds'?"
    ]


def test_an_unknown_id_that_resembles_none_is_reported_alone(project, entry):
    project.only(entry("c"), STATEMENT + '@claim("zzz")\ndef test_one():\n    assert True\n')
    assert errors(project.run()) == [f"ERROR: {MODULE}:8: test_one cites an unknown claim 'zzz'"]


@pytest.mark.parametrize("arguments", [[], ["-k", "truth"], ["-n", "2"]], ids=" ".join)
def test_a_claim_without_a_statement_test_is_reported(project, entry, arguments):
    project.only(entry("c", "caveat"), TRUTH)
    message = "claim 'c' has no test of its statement; write one with @claim(\"c\")"
    assert errors(project.run(*arguments)) == [f"ERROR: {CLAIMS}:9: {message}"]


@pytest.mark.parametrize("arguments", [[], ["-k", "statement"], ["-n", "2"]], ids=" ".join)
def test_a_claim_without_a_truth_test_is_reported(project, entry, arguments):
    project.only(entry("c", "caveat"), STATEMENT)
    message = "claim 'c' has no test of its truth; write one with @claim(\"c\", truth=True)"
    assert errors(project.run(*arguments)) == [f"ERROR: {CLAIMS}:9: {message}"]


@pytest.mark.parametrize("arguments", [[], ["-k", "statement"], ["-n", "2"]], ids=" ".join)
def test_a_test_without_a_claim_is_reported(project, entry, arguments):
    project.only(entry("c"), STATEMENT + "def test_two():\n    assert True\n")
    message = 'test_two cites no claim; say which one it tries: @claim("...")'
    assert errors(project.run(*arguments)) == [f"ERROR: {MODULE}:7: {message}"]


@pytest.mark.parametrize("arguments", [[], ["-k", "statement"], ["-n", "2"]], ids=" ".join)
def test_a_truth_test_for_a_claim_without_truth_is_reported(project, entry, arguments):
    project.only(entry("c"), STATEMENT + TRUTH)
    message = f"test_truth tries the truth line of 'c', which has none ({CLAIMS}:9)"
    assert errors(project.run(*arguments)) == [f"ERROR: {MODULE}:8: {message}"]


@pytest.mark.parametrize(
    "mark", ["claim()", "claim(3)", "claim('c', true=True)", "claim('c', truth='yes')", "claim(NAME)", "claim(*IDS)"]
)
def test_a_malformed_mark_is_reported(project, entry, mark):
    project.only(entry("c"), f"{STATEMENT}@{mark}\ndef test_two():\n    assert True\n")
    assert f'ERROR: {MODULE}:7: test_two: a claim mark is written claim("id", ...) or claim("id", ..., truth=True)' in (
        errors(project.run())
    )


@pytest.mark.parametrize("mark", ["claim", "pytest.mark.claim"])
def test_a_mark_without_parentheses_is_a_test_without_a_claim(project, entry, mark):
    project.only(entry("c"), f"{STATEMENT}@{mark}\ndef test_two():\n    assert True\n")
    (error,) = errors(project.run())
    assert error.startswith(f"ERROR: {MODULE}:8: test_two cites no claim")


@pytest.mark.parametrize("arguments", [[], ["-k", "shape"], ["-n", "2"]], ids=" ".join)
def test_a_module_that_does_not_parse_is_reported_before_anything_runs(project, arguments):
    project.write("ch1_sample/test_1_3_wrong.py", "def test_one(:\n")
    assert errors(project.run(*arguments))[0] == "ERROR: tests/ch1_sample/test_1_3_wrong.py:1: invalid syntax"


def test_a_module_that_is_not_utf8_is_reported(project):
    (project.path / "tests/ch1_sample/test_1_3_wrong.py").write_bytes(b"# \xff\n")
    (error,) = errors(project.run())
    assert error.startswith("ERROR: tests/ch1_sample/test_1_3_wrong.py: not valid UTF-8: ")


@pytest.mark.parametrize(
    "other", [{"verdict": "mistaken"}, {"verdict": "superseded", "until": "2.6"}, {"since": "2.6"}], ids=str
)
def test_a_test_whose_claims_fare_differently_is_reported(project, entry, other):
    truth = "" if "since" in other else '@claim("d", truth=True)\ndef test_truth():\n    assert True\n'
    project.only(entry("c") + entry("d", **other), f'@claim("c", "d")\ndef test_both():\n    assert True\n{truth}')
    message = "test_both cites claims that are not expected to fare alike on every torch; write a test for each"
    assert errors(project.run()) == [f"ERROR: {MODULE}:5: {message}"]


def test_a_test_may_cite_claims_that_fare_alike(project, entry):
    both = '@claim("c", "d")\ndef test_both():\n    assert True\n'
    project.only(entry("c") + entry("d", "caveat"), both + TRUTH.replace('"c"', '"d"'))
    project.run().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "module",
    [
        '@pytest.mark.parametrize("x", [pytest.param(1, marks=claim("c")), pytest.param(2, marks=[claim("d")])])\n'
        "def test_x(x):\n    assert True\n",
        '@claim("c", "d")\nclass TestBoth:\n    def test_x(self):\n        assert True\n',
        'class TestBoth:\n    pytestmark = claim("c", "d")\n\n    def test_x(self):\n        assert True\n',
        'pytestmark = [claim("c"), pytest.mark.claim("d")]\n\n\ndef test_x():\n    assert True\n',
        'CASES = [pytest.param(1, marks=claim("c")), pytest.param(2, marks=claim("d"))]\n\n\n'
        '@pytest.mark.parametrize("x", CASES)\ndef test_x(x):\n    assert True\n',
    ],
    ids=["pytest.param", "class", "class pytestmark", "pytestmark", "module-level list"],
)
def test_marks_are_seen_wherever_pytest_sees_them(project, entry, module):
    project.only(entry("c") + entry("d"), module)
    result = project.run("--book")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["holds         2     2"])


def test_a_mark_on_one_case_is_cited_by_that_case_alone(project, entry):
    module = (
        '@pytest.mark.parametrize("x", [pytest.param(1, marks=claim("c")), pytest.param(2, marks=claim("d"))])\n'
        "def test_x(x):\n    assert x == 1\n"
    )
    project.only(entry("c") + entry("d"), module)
    result = project.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["broken: the run disagrees with the register", "1.1  d", "     It d."])
    result.stdout.no_fnmatch_line("1.1  c")


def test_a_test_that_hides_another_of_its_name_is_reported(project, entry):
    once = '@claim("c")\ndef test_c():\n    assert 1 == {}\n'
    project.only(entry("c"), once.format(2) + once.format(1))
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_1_1_sample.py:8: test_c has the name of the test in line 5, which it hides*"])
