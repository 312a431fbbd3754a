"""The gate's rules on pages: lessons that do not stand alone, or not in the book's order, are told in one line each."""

import pytest

PAGE = "tests/ch1_sample/test_1_1_sample.py"
GUARD = "import pytest\n\n\n@pytest.mark.claim({id!r}{truth})\ndef test_always():\n    assert True\n"


@pytest.fixture
def told(project, entry, bare):
    """The errors of a run whose page of section 1.1 holds ``lessons`` of the claims c (holds) and d (mistaken)."""

    def told(lessons: str, guard: str = GUARD.format(id="c", truth="")) -> list[str]:
        project.only(entry("c") + entry("d", "mistaken"), lessons)
        project.write("ch1_sample/guards/test_1_1_sample.py", guard)
        lines = project.run().errlines
        return [line.removeprefix("ERROR: ").removeprefix(f"{PAGE}:") for line in lines if line]

    return told


C = '@claim("c")\ndef test_c():\n    assert True\n'
D = '@claim("d")\ndef test_d():\n    """Mistaken: it is not."""\n    assert False\n'
D_TRUTH = '@claim("d", truth=True)\ndef test_d_truth():\n    assert True\n'


def test_a_page_of_lessons_that_stand_alone_is_accepted(told):
    assert told(C + D + D_TRUTH) == []


@pytest.mark.parametrize(
    "body, message",
    [
        ("def test_c(numbers): assert True", "takes 'numbers'; a lesson takes pytest's own fixtures"),
        ("def test_c(): assert LIMIT == 3", "uses 'LIMIT' from outside its body; a lesson stands alone"),
        ("def test_c(): assert twice(2) == 4", "uses 'twice' from outside its body; a lesson stands alone"),
        ("def test_c():\n" + "    assert True\n" * 21, "has 21 lines; 20 at most, or it holds more than one fact"),
    ],
    ids=["a fixture", "a constant", "a helper", "length"],
)
def test_what_a_lesson_needs_from_outside_is_told(told, body, message):
    lines = told(f"LIMIT = 3\ntwice = LIMIT.__mul__\n\n@claim('c')\n{body}\n" + D + D_TRUTH)
    assert len(lines) == 1
    assert message in lines[0]


def test_what_a_lesson_defines_or_imports_itself_is_its_own(told):
    body = """
    from math import pi
    class Twice(torch.nn.Module):
        def forward(self, x):
            return x * 2
    def half(x): return x / 2
    with open(tmp_path / "numbers", "w") as file:
        file.write(str([y for y in (pi, half, Twice)]))
    for i, (j, *rest) in enumerate([(1, 2)]):
        print(i, j, rest, (lambda k: k)(1))
"""
    assert told(f"@claim('c')\ndef test_c(tmp_path, capsys):{body}\n" + D + D_TRUTH) == []


def test_parameters_and_properties_belong_to_guards(told):
    lines = told('@claim("c")\n@pytest.mark.parametrize("n", [1])\ndef test_c(n):\n    assert n\n' + D + D_TRUTH)
    assert any(
        "is decorated with pytest.mark.parametrize; a lesson has no parameters and draws nothing" in line
        for line in lines
    )


def test_helpers_and_classes_belong_into_a_lesson(told):
    lines = told("def helper():\n    pass\n\n\nclass TestMore:\n    pass\n" + C + D + D_TRUTH)
    assert [line.partition(" ")[2] for line in lines] == [
        "helper is no lesson; a page holds lessons alone, each whole",
        "TestMore is no lesson; a page holds lessons alone, each whole",
    ]


def test_lessons_keep_the_register_s_order(told):
    lines = told(D + D_TRUTH + C)
    assert [line.partition(" ")[2] for line in lines] == [
        "test_c comes after a later claim's lesson; keep the register's order, the truth line's last"
    ]


def test_a_sentence_has_one_lesson(told):
    lines = told(C + C.replace("test_c", "test_again") + D + D_TRUTH)
    assert [line.partition(" ")[2] for line in lines] == [
        "test_again is a second lesson of the same sentence; a claim and its truth line have one each"
    ]


def test_a_lesson_is_about_one_claim(told, project):
    two = '@claim("d", "e", truth=True)\ndef test_two():\n    assert True\n'
    assert any("test_two cites 2 claims; a lesson is about one" in line for line in told(C + D + two))


def test_a_false_sentence_says_so_where_it_stands(told):
    lines = told(C + D.replace("Mistaken", "Look") + D_TRUTH)
    assert [line.partition(" ")[2] for line in lines] == [
        'test_d shows a false sentence; let its docstring begin with "Mistaken: " and say what is so'
    ]


def test_no_lesson_of_a_true_sentence_calls_it_false(told):
    lines = told(C.replace("    assert", '    """Mistaken: not so."""\n    assert') + D + D_TRUTH)
    assert [line.partition(" ")[2] for line in lines] == [
        'test_c says "Mistaken:", but the register expects it to pass'
    ]


def test_an_error_that_a_sentence_does_not_name_is_a_hidden_condition(told):
    guard = GUARD.format(id="c", truth="").replace("assert True", "pytest.raises(ValueError, int, 'x')")
    (line,) = told(C + D + D_TRUTH, guard)
    assert line.endswith(
        "test_always expects ValueError, of which 'c', which holds, says nothing; either the sentence names the error, "
        "or it hides a condition and is a caveat"
    )


def test_a_claim_whose_sentence_is_on_no_page_is_told(told):
    lines = told(D + D_TRUTH)
    assert [line.rpartition(": ")[2] for line in lines] == [
        "claim 'c' has no lesson of its statement; write one with @claim(\"c\") on a page"
    ]


def test_pages_run_alone_and_give_no_verdicts(told, project):
    told(C + D + D_TRUTH, GUARD.format(id="c", truth="").replace("True", "False"))
    result = project.run("--pages")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["3 lessons ran without their guards: no verdicts; leave out --pages for them"])
    assert project.run().ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("option", ["--verdicts=run.json", "--counterfeits"])
def test_pages_and_verdicts_exclude_each_other(project, option):
    result = project.run("--pages", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--pages gives no verdicts" in str(result.stderr)


def test_a_guard_tries_one_example_at_least(project):
    result = project.run("--examples", "0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == "ERROR: --examples: a guard tries at least 1 example, not 0"
