"""Ways to a green run that proves nothing: each is told, and fails, at the latest under ``--require all``."""

import json

import pytest
import torch

pytestmark = pytest.mark.usefixtures("bare")

MODULE = "tests/ch1_sample/test_1_1_sample.py"
STATEMENT = '@claim("c")\ndef test_statement():\n    assert {}\n'
TRUTH = '@claim("c", truth=True)\ndef test_truth():\n    assert True\n'


def verdict(project, *arguments):
    """The exit code, and the verdict of claim ``c``."""
    result = project.run("--verdicts=v.json", *arguments)
    claims = json.loads((project.path / "v.json").read_text())["claims"]
    return int(result.ret), next(claim["verdict"] for claim in claims if claim["id"] == "c")


def errors(result):
    """The lines that a run that never started wrote."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    return [line for line in result.errlines if line]


# --- what a test's own text does ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "line", "problem"),
    [
        ("def test_c():\n    return 1 == 2\n", 6, "test_c returns; what a test does not assert, it does not show"),
        ("def test_c():\n    if torch:\n        return\n    assert 0\n", 7, "test_c returns; what a test does not*"),
        ("def test_c():\n    yield 1\n", 6, "test_c yields, and would never run"),
        ("async def test_c():\n    assert 0\n", 5, "test_c is async, and would never run"),
    ],
)
def test_a_test_that_need_not_reach_its_assertions_is_reported(project, entry, test, line, problem):
    project.only(entry("c"), STATEMENT.format(True) + f'@claim("c")\n{test}')
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {MODULE}:{line + 3}: {problem}"])


def test_a_function_within_a_test_may_return(project, entry):
    inner = '@claim("c")\ndef test_inner():\n    def two():\n        return 2\n\n    assert two() == (lambda: 2)()\n'
    project.only(entry("c"), inner)
    project.run().assert_outcomes(passed=1)


# --- what pytest does not collect ------------------------------------------------------------------------------------

OTHER = '@claim("c")\nclass Test{}:\n{}    def test_more(self):\n        assert False\n'


@pytest.mark.parametrize("line", ["    def __init__(self):\n        pass\n\n", "    __test__ = False\n\n"])
@pytest.mark.parametrize("arguments", [[], ["-k", "statement"]], ids=" ".join)
def test_a_class_that_pytest_passes_over_ends_the_run(project, entry, line, arguments):
    project.only(entry("c"), STATEMENT.format(True) + OTHER.format("More", line))
    result = project.run(*arguments)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"{MODULE}:*: TestMore::test_more is written here, but pytest does not collect it: *"])


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("if torch:\n    @claim('unknown')\n    def test_more():\n        assert False\n", "test_more"),
        ("try:\n    @claim('c')\n    def test_more():\n        assert False\nfinally:\n    pass\n", "test_more"),
        ("import unittest\nclass More(unittest.TestCase):\n    def test_more(self):\n        assert False\n", "More"),
        (
            "class A:\n    @claim('unknown')\n    def test_more(self):\n        assert 0\nclass TestB(A):\n    pass\n",
            "",
        ),
    ],
    ids=["if", "try", "unittest", "a base class"],
)
def test_a_test_that_the_gate_did_not_read_ends_the_run(project, entry, module, name):
    project.only(entry("c"), STATEMENT.format(True) + module)
    result = project.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"{MODULE}*: the gate did not read {name or 'Test'}*; write it *"])
    result.stdout.no_fnmatch_line("*KeyError*")


@pytest.mark.parametrize("name", ["tset_1_3_more.py", "helper.py", "sub/more_test.py"])
def test_a_module_under_a_name_by_which_pytest_does_not_find_it_is_reported(project, name):
    project.write(
        f"ch1_sample/{name}", 'import pytest\n\n\n@pytest.mark.claim("adds")\ndef test_more():\n    assert 0\n'
    )
    (error,) = errors(project.run())
    place = f"tests/ch1_sample/{name}"
    assert error == f"ERROR: {place}: holds a @claim, but nobody looks for it there; name the file test_*.py"


# --- what is left out of a run: no failure by itself, and one under --require all -------------------------------------

SKIPPING = STATEMENT.format(True) + '@claim("c")\ndef test_more():\n    pytest.skip("{}")\n'
LEFT_OUT = {
    "an empty selection": ([], ["-k", "nothing"]),
    "a part": ([], ["-k", "statement"]),
    "a deselected test": ([], [f"--deselect={MODULE}::test_more"]),
    "another file": ([], ["--ignore=tests/ch1_sample/test_1_1_sample.py"]),
    "one claim": ([], ["--claim=d"]),
    "collecting alone": ([], ["--collect-only"]),
    "setting up alone": ([], ["--setup-only"]),
    "planning alone": ([], ["--setup-plan"]),
    "one case": ([], [f"{MODULE}::test_statement"]),
}


@pytest.mark.parametrize("arguments", [case[1] for case in LEFT_OUT.values()], ids=LEFT_OUT)
def test_what_a_command_leaves_out_fails_under_require_all(project, entry, arguments):
    project.only(
        entry("c") + entry("d"), STATEMENT.format(True) + '@claim("c", "d")\ndef test_more():\n    assert True\n'
    )
    assert project.run("--require=all").ret == 0
    result = project.run("--require=all", *arguments)
    assert result.ret not in (0, pytest.ExitCode.USAGE_ERROR)


@pytest.mark.parametrize("option", ["--fixtures", "--fixtures-per-test", "--explain=adds", "--capabilities"])
def test_what_only_answers_a_question_is_refused_under_require_all(project, option):
    (error,) = errors(project.run("--require=all", option))
    assert error.endswith(": runs nothing; leave out --require all")


@pytest.mark.parametrize("reason", ["no data here", "not applicable: I say so", "needs a CUDA GPU"])
def test_a_test_that_skips_itself_fails_under_require_all_whatever_it_says(project, entry, reason):
    project.only(entry("c"), SKIPPING.format(reason))
    assert verdict(project) == (0, "holds")  # by the other test; what was not tried is told
    result = project.run("--require=all")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--require all: this device can try, and did not", f"  c: {reason}"])


@pytest.mark.parametrize(
    "module",
    ["pytest.skip('not today', allow_module_level=True)\n", "pytest.importorskip('not_today')\n"],
    ids=["skip", "importorskip"],
)
def test_a_module_that_skips_itself_is_the_reason_and_fails_under_require_all(project, entry, module):
    other = '@pytest.mark.claim("d")\ndef test_d():\n    assert True\n'
    project.only(entry("c") + entry("d"), module + STATEMENT.format(True))
    project.write("ch1_sample/test_1_2_other.py", f"import pytest\n\n\n{other}")
    result = project.run("--require=all")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["  c: *not*today*"])


def test_a_test_without_cases_fails_under_require_all(project, entry):
    empty = '@claim("c")\n@pytest.mark.parametrize("x", [])\ndef test_more(x):\n    assert False\n'
    project.only(entry("c"), STATEMENT.format(True) + empty)
    assert project.run("--require=all").ret == pytest.ExitCode.TESTS_FAILED


def test_what_a_conftest_ignores_fails_under_require_all(project):
    project.write("ch1_sample/conftest.py", 'collect_ignore = ["test_1_2_other.py"]\n')
    assert project.run().ret == 0
    result = project.run("--require=all")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["  shapes: not selected"])


def test_what_needs_another_device_does_not_fail_under_require_all(project, entry):
    on_gpu = '@claim("d")\ndef test_d():\n    assert False\n'
    in_part = '@claim("c")\ndef test_more(accelerator):\n    assert False\n'
    project.only(entry("c") + entry("d", needs="cuda"), STATEMENT.format(True) + in_part + on_gpu)
    result = project.run("--require=all")
    assert result.ret == 0
    result.assert_outcomes(passed=1, skipped=2)


def test_what_applies_to_another_torch_does_not_fail_under_require_all(project, entry, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    project.only(entry("c", "superseded", until="2.6"), STATEMENT.format(True) + TRUTH)
    assert project.run("--require=all").ret == 0


# --- what ends, repeats or excuses a test ----------------------------------------------------------------------------


def test_a_run_that_a_test_ends_is_not_green(project, entry):
    ends = '@claim("c")\ndef test_a():\n    pytest.exit("enough", returncode=0)\n'
    project.only(entry("c"), ends + STATEMENT.format(False))
    assert project.run().ret == pytest.ExitCode.INTERRUPTED


TIME_LIMIT = """
import pytest
@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    if "statement" in item.name:
        pytest.fail("timeout")
    return (yield)
"""


def test_a_time_limit_refutes_no_statement(project, entry):
    (project.path / "limits.py").write_text(TIME_LIMIT)
    project.only(entry("c", "mistaken"), STATEMENT.format(False) + TRUTH)
    assert verdict(project) == (0, "mistaken")
    project.pytester.syspathinsert()
    assert verdict(project, "-p", "limits") == (1, "broken")


AGAIN = """
import pytest
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    for attempt in range(3):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not any(report.failed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
CALLS_AGAIN = """
import pytest
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and call.when == "call" and not hasattr(item, "again"):
        item.again = True
        again = pytest.CallInfo.from_call(lambda: item.ihook.pytest_runtest_call(item=item), when="call")
        report = item.ihook.pytest_runtest_makereport(item=item, call=again)
    return report
"""
BY_CHANCE = """
ATTEMPTS = []

@claim("c")
def test_by_chance():
    ATTEMPTS.append(1)
    assert len(ATTEMPTS) == 2
"""


@pytest.mark.parametrize("plugin", [AGAIN, CALLS_AGAIN], ids=["the whole test", "the call"])
def test_a_test_that_passes_only_when_it_runs_again_fails(project, entry, plugin):
    (project.path / "again.py").write_text(plugin)
    project.only(entry("c"), BY_CHANCE)
    project.pytester.syspathinsert()
    assert verdict(project, "-p", "again") == (1, "broken")
    project.run("-p", "again").stdout.fnmatch_lines(["*a plugin ran this test again, which lets chance decide*"])


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="subtests came with pytest 9")
def test_a_subtest_that_fails_by_accident_is_not_made_good_by_a_refutation(project, entry):
    part = "with subtests.test():\n        raise ValueError\n    assert 1 == 2"
    project.only(entry("c", "mistaken"), f'@claim("c")\ndef test_statement(subtests):\n    {part}\n{TRUTH}')
    assert verdict(project) == (1, "broken")
