"""The Chinese names of tests and counterfeits: read for a Chinese reader alone, held to the code, and shown."""

import pytest
from harness import called

FAILING = 'import pytest\n\n\n@pytest.mark.claim("shapes")\ndef test_a_shape_is_a_list():\n    assert () == []\n'
FORGED = """
from harness.counterfeits import counterfeit

@counterfeit("adds")
def ones_are_twos(patch):
    '''Every one is a two.'''
"""


@pytest.fixture
def chinese(project):
    """The sample project with a counterfeit, a broken claim and Chinese names; some tests have none."""
    project.write("ch1_sample/counterfeits_1_1.py", FORGED)
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    project.write(
        "ch1_sample/names_zh.toml",
        '["1.1"]\none_and_one_is_two = "一加一等于二"\nones_are_twos = "一变成二"\n\n'
        '["1.2"]\na_shape_is_a_list = "形状是列表"\n',
    )
    return project


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('["1.1"\n', "cannot be read: *(at line 1, column 7)"),
        ('["1.3"]\nhalves_are_floats = "一"\n', "the chapter has no section '1.3'; did you mean '1.2' or '1.1'?"),
        (
            'halves_are_floats = "一"\n',
            "'halves_are_floats' stands outside of a section; those are written [[]\"1.1\"]",
        ),
        (
            '["1.1"]\nhalves_are_float = "一"\n',
            "section 1.1 has no test or counterfeit 'halves_are_float'; did you mean 'halves_are_floats' or *",
        ),
        ('["1.2"]\nhalves_are_floats = "一"\n', "section 1.2 has no test or counterfeit 'halves_are_floats'"),
        ('["1.1"]\nhalves_are_floats = " "\n', "'halves_are_floats' of 1.1 needs a text"),
    ],
)
def test_a_mistake_in_the_names_is_one_line_for_a_chinese_reader_and_nothing_for_another(project, text, told):
    project.write("ch1_sample/names_zh.toml", text)
    result = project.run("--language=zh")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len(result.errlines) == 2  # pytest ends with an empty one
    result.stderr.fnmatch_lines([f"ERROR: tests/ch1_sample/names_zh.toml: {told}"])
    assert not result.outlines
    project.run().assert_outcomes(passed=4, xfailed=1)


def test_a_section_is_told_by_the_name_of_a_file():
    modules = {
        "tests/ch2_x/test_2_2_a.py": "2.2",
        "tests/ch3_x/guards/test_3_2b_a.py": "3.2",
        "a/section_4_1.py": "4.1",
    }
    assert {module: called.section(module) for module in modules} == modules
    assert called.place("tests/ch2_x/test_2_2_a.py::TestA::test_b_c[1]") == ("2.2", "b_c")
    assert called.words("tests/ch2_x/test_2_2_a.py::TestA::test_b_c[1]") == "b c"


def test_a_card_and_a_broken_claim_tell_the_chinese_names(chinese):
    chosen = ("--claim=adds", "--claim=shapes")
    chinese.run("--language=zh", *chosen).stdout.fnmatch_lines(
        [
            "测试：形状是列表",
            "     通过：一加一等于二",
            "     失败：形状是列表",
            "     测试：形状是列表",
            "     见 test_a_shape_is_a_list",
        ]
    )
    english = chinese.run(*chosen).stdout
    english.fnmatch_lines(["     passed: one and one is two", "     in test_a_shape_is_a_list"])
    english.no_fnmatch_line("*一加一等于二*")


def test_what_has_no_chinese_name_is_told_in_english(chinese):
    chinese.run("--language=zh", "--claim=divides").stdout.fnmatch_lines(
        ["     不成立，正如预期：halves are whole numbers"]
    )


def test_explain_tells_chinese_names_beside_the_code(chinese):
    chinese.run("--language=zh", "--explain=adds").stdout.fnmatch_lines(
        ["结论：成立", "── tests/ch1_sample/test_1_1_sample.py:8 ──", "[#] 一加一等于二", '@claim("adds")', "一变成二"]
    )
    chinese.run("--explain=adds").stdout.fnmatch_lines(["ones are twos: Every one is a two."])


def test_a_counterfeit_that_survives_is_told_by_its_chinese_name(chinese):
    told = "未被识破：adds 的赝品 “一变成二”（ones_are_twos）：adds。"
    chinese.run("--language=zh", "--counterfeits", "--claim=adds").stdout.fnmatch_lines(
        [told, "赝品 1 个：被识破 0 个，未被识破 1 个，无效 0 个"]
    )


def test_a_report_is_in_the_language_of_the_run(chinese):
    chinese.run("--language=zh", "--report=r.html")
    page = (chinese.path / "r.html").read_text("utf8")
    for part in (
        '<html lang="zh">',
        "<p>形状是列表</p>",
        "<h2>adds。</h2>",
        ">不符 1</button>",
        "1.2 节",
        "失败: Assertion",
    ):
        assert part in page
    assert "section" not in page


def test_exercises_are_written_in_the_language_of_the_run(chinese):
    chinese.run("--language=zh", "--exercises=mine").stdout.fnmatch_lines(["mine 中有 4 道练习；写了 2 个文件，*"])
    text = (chinese.path / "mine/test_1_1_sample.py").read_text("utf8")
    assert text.startswith('r"""1.1 数\n')
    assert "# adds。\n# 一加一等于二\ndef test_one_and_one_is_two():" in text
    chinese.pytester.runpytest_inprocess("mine", "--rootdir=mine", "--answer").stdout.fnmatch_lines(
        ["adds。", "一加一等于二", "请填入：一个整数。", "答案：2", "1.1：0/3 · 全部：0/4"]
    )
