"""``--ask``: what it prints and its exit codes."""

import pytest


def test_the_answer_comes_with_verdict_truth_and_the_command(project):
    result = project.run("--ask", "divides")
    assert result.ret == pytest.ExitCode.OK
    assert result.outlines == [
        "1.1  mistaken",
        "     It divides.",
        "     -> It divides otherwise.",
        "     pytest --explain divides",
        "",
    ]


def test_a_query_that_nothing_answers_is_told(project):
    result = project.run("--ask", "zzzz")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert result.outlines == ["no claim answers that (all: --book)"]


def test_what_comes_near_a_query_that_nothing_answers_is_called_no_answer(project):
    result = project.run("--ask", "why does a hedge divide gardens?")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert result.outlines[:2] == ["no claim answers that; the nearest:", ""]
    assert result.outlines[-2:] == ["     pytest --explain divides", ""]


def test_an_empty_query_is_refused(project):
    result = project.run("--ask", " ")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == "ERROR: --ask: ask something: --ask 'why is my gradient twice as large?'"
