"""What a run says at its end, in both languages and in the width of the terminal."""

import re
import shlex
from pathlib import Path

import pytest
from _pytest._io.wcwidth import wcswidth
from harness import register, wording

FAILING = 'import pytest\n\n\n@pytest.mark.claim("shapes")\ndef test_a_shape_is_a_list():\n    assert () == []\n'


def test_the_table_counts_verdicts_by_chapter(project):
    project.run("--seed=3").stdout.fnmatch_lines(
        [
            "* torch * on cpu, seed 3 *",
            "chapter       1   all",
            "claims        3     3",
            "holds         2     2",
            "mistaken      1     1",
            "broken        0     0",
            "not tried     0     0",
        ]
    )


def test_the_end_names_what_broke_and_counts_what_was_not_tried(project):
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    project.run("tests/ch1_sample/test_1_2_other.py").stdout.fnmatch_lines(
        [
            "broken        1     1",
            "not tried     2     2",
            "not tried:",
            "  2 claims: not selected",
            "broken: the run disagrees with the register",
            "1.2  shapes",
            "     It shapes.",
            "     AssertionError: assert () == []",
            "     in test_a_shape_is_a_list",
            "     pytest --claim shapes",
        ]
    )


def test_the_end_counts_the_claims_that_were_tried_in_part(project):
    project.write(
        "ch1_sample/test_1_2_other.py",
        f'{FAILING[:-16]}pass\n\n\n@pytest.mark.claim("shapes")\ndef test_on_a_gpu(accelerator):\n    assert True\n',
    )
    project.run().stdout.fnmatch_lines(
        ["not tried:", "  1 claim tried, but without 1 test: needs an accelerator; name one with", "  --device"]
    )


TWO_KINDS = """
import pytest

claim = pytest.mark.claim


@claim("shapes")
def test_{}():
    assert 1 == {}
"""


def test_a_broken_claim_is_told_once_by_its_lesson_and_its_other_failures_are_counted(project):
    project.write("ch1_sample/test_1_2_other.py", TWO_KINDS.format("of_the_lesson", 2))
    project.write("ch1_sample/guards/test_1_2_other.py", TWO_KINDS.format("of_the_guard", 3))
    found = project.run()
    found.assert_outcomes(passed=2, failed=2, xfailed=1)
    found.stdout.fnmatch_lines(["E       assert 1 == 2", "     in test_of_the_lesson, and in 1 more of its tests"])
    for line in ("*assert 1 == 3*", "*test_of_the_guard*", "FAILED *"):
        found.stdout.no_fnmatch_line(line)
    whole = project.run("--tb=short")
    whole.stdout.fnmatch_lines(["E   assert 1 == 2", "E   assert 1 == 3"])


WARNING = """
import warnings
import pytest


@pytest.mark.claim("shapes")
def test_that_{0}_warns():
    warnings.warn("seen in a {0}")
"""


def test_what_torch_advises_against_is_told_of_lessons_and_not_of_guards_which_do_so_on_purpose(project):
    project.write("ch1_sample/test_1_2_other.py", WARNING.format("lesson"))
    project.write("ch1_sample/guards/test_1_2_other.py", WARNING.format("guard"))
    found = project.run()
    found.stdout.fnmatch_lines(["*UserWarning: seen in a lesson"])
    found.stdout.no_fnmatch_line("*seen in a guard*")


def test_what_is_false_on_this_torch_is_told_in_two_lines_with_what_is_true(project, entry):
    long = "It divides " + "and divides " * 20
    project.register(entry("adds"), entry("divides", "mistaken", says=long), entry("shapes", section="1.2"))
    found = project.run()
    found.stdout.fnmatch_lines(
        ["not true on this torch: 1 claim; *", "1.1 divides: It divides and*…", "    -> It divides otherwise."]
    )
    found.stdout.no_fnmatch_line("1.1 adds: *")


def test_claim_prints_the_cards_of_the_chosen_claims_and_nothing_of_others(project):
    found = project.run("--claim=divides")
    found.stdout.fnmatch_lines(
        [
            "1.1  divides: mistaken",
            "     It divides.",
            "     -> It divides otherwise.",
            "     refuted: halves are whole numbers",
            "     passed: halves are floats",
        ]
    )
    for line in ("*not selected*", "chapter *", "*It adds*"):
        found.stdout.no_fnmatch_line(line)


def test_a_run_tells_what_it_found_in_chinese(project):
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    project.run("--language=zh").stdout.fnmatch_lines(
        [
            "在这个 torch 上不成立的论断 1 条；*",
            "1.1 divides: divides。",
            "    -> divides不然。",
            "章         1  合计",
            "有误       1     1",
            "不符：运行结果与登记的结论不一致",
            "     shapes。",
        ]
    )


@pytest.mark.parametrize(("variable", "language"), [("zh_CN.UTF-8", "zh"), ("en_GB.UTF-8", "en"), ("C", "en")])
def test_the_language_is_that_of_the_environment(pytestconfig, monkeypatch, variable, language):
    monkeypatch.setenv("LC_ALL", variable)
    parser = pytest.Parser(_ispytest=True)
    wording.pytest_addoption(parser)
    assert parser.parse([]).language == language


def test_no_line_of_a_run_is_wider_than_the_terminal(project, entry, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    says = {"says": "It divides, " * 20, "says_zh": "它把数分成几份，" * 20, "truth": "It does not. " * 20}
    project.register(entry("adds"), entry("divides", "mistaken", **says), entry("shapes", section="1.2"))
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    for options in (
        [],
        ["--book"],
        ["--claim=*"],
        ["--language=zh", "--book"],
        ["--explain=divides"],
        ["--ask=divides"],
    ):
        told = [
            line for line in project.run(*options).outlines if not line.startswith(("rootdir:", "repeat:", "重跑："))
        ]
        assert [line for line in told if wcswidth(line) > 60] == []


def test_formulas_are_told_as_text():
    assert wording.text(r"$\frac{1}{2}(\hat y - y)^2$ at $x_{10} = 1$") == "1/2(ŷ - y)^2 at x_10 = 1"
    assert wording.text(r"$10^{-4}$, $\mathrm{softmax}(o)_i$, $2\lambda$") == "10^(-4), softmax(o)_i, 2λ"
    for claim in register.load(Path(__file__).parents[1]).claims.values():
        assert not re.search(r"\$|\\[a-z]", re.sub("`.*?`", "", wording.text(f"{claim.says} {claim.truth}")))


def test_chinese_is_broken_by_its_width_and_no_line_begins_with_a_mark():
    lines = wording.wrap("形状不同，但两者共享数据。" * 9, "  ", columns=21)
    assert max(map(wcswidth, lines)) <= 21
    assert "".join(line.strip() for line in lines) == "形状不同，但两者共享数据。" * 9
    assert [line for line in lines if line.strip()[0] in "，。"] == []


def test_a_failure_names_claim_section_and_sentence_and_how_to_repeat_it(project):
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    failure = project.run("--seed=5")
    failure.stdout.fnmatch_lines(["*- claim -*", "shapes (section 1.2, holds)", "It shapes.", "repeat: pytest *"])
    (command,) = [line for line in failure.outlines if line.startswith("repeat: ")]
    program, *arguments = shlex.split(command.removeprefix("repeat: "))
    assert (program, arguments) == (
        "pytest",
        ["tests/ch1_sample/test_1_2_other.py::test_a_shape_is_a_list", "--seed=5"],
    )
    project.run(*arguments).assert_outcomes(failed=1)


def test_a_failing_truth_test_names_the_truth(project):
    module = project.path / "tests/ch1_sample/test_1_1_sample.py"
    module.write_text(module.read_text().replace("== 1.5", "== 1.6"))
    project.run().stdout.fnmatch_lines(["divides (section 1.1, mistaken)", "truth: It divides otherwise."])
