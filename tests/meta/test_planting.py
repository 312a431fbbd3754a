"""Counterfeits that would not be planted, or not undone: each is told, and fails, at the latest under --require all."""

import textwrap

import pytest
import torch

pytestmark = pytest.mark.usefixtures("bare")


def errors(result):
    """The lines that a run that never started wrote."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    return [line for line in result.errlines if line]


FORGED = "import torch\nfrom harness.counterfeits import counterfeit\n\n\n{}"
SUM = """\
@counterfeit("adds")
def sum_is_zero(patch):
    patch.setattr(torch.Tensor, "sum", lambda self: 0 * self[0])
"""
MARKED = '*: sum_is_zero: a counterfeit is marked @counterfeit("id", ...), each id as a text'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SUM.replace('("adds")', ""), MARKED),
        (SUM.replace('"adds"', ""), MARKED),
        (SUM.replace('"adds"', "ID"), MARKED),
        (SUM.replace('"adds"', '*("adds", ID)'), MARKED),
        (SUM + SUM, "9: sum_is_zero has the name of the one in line 6, which it hides; rename one"),
        (
            "if False:\n" + textwrap.indent(SUM, "    "),
            "*: sum_is_zero: a counterfeit is a function at the top*",
        ),
        ("def sum_is_zero(:\n", "*: invalid syntax"),
    ],
    ids=["no call", "no id", "a variable", "a variable too", "two of one name", "within an if", "bad syntax"],
)
def test_a_counterfeit_that_would_not_be_planted_is_reported(project, text, problem):
    project.write("ch1_sample/counterfeits/section_1_1.py", FORGED.format(text))
    result = project.run("--counterfeits")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: tests/ch1_sample/counterfeits/section_1_1.py:{problem}"])


def test_counterfeits_in_a_file_where_nobody_looks_are_reported(project):
    project.write("ch1_sample/forged_1_1.py", FORGED.format(SUM))
    (error,) = errors(project.run())
    place = "tests/ch1_sample/forged_1_1.py"
    assert (
        error == f"ERROR: {place}: holds a @counterfeit, but nobody looks for it there; name the file counterfeits/*.py"
    )


@pytest.mark.parametrize("content", [b"# \xff\n", None], ids=["not UTF-8", "a folder"])
def test_a_file_of_counterfeits_that_cannot_be_read_is_reported(project, content):
    file = project.path / "tests/ch1_sample/counterfeits/section_1_1.py"
    file.parent.mkdir()
    file.mkdir() if content is None else file.write_bytes(content)
    (error,) = errors(project.run("--counterfeits"))
    assert error.startswith("ERROR: tests/ch1_sample/counterfeits/section_1_1.py: ")


@pytest.mark.parametrize(
    "arguments",
    [["-k", "not sum_is_zero"], ["tests/ch1_sample/counterfeits"], ["tests/ch1_sample/counterfeits/section_1_1.py"]],
    ids=" ".join,
)
def test_counterfeits_that_a_command_leaves_out_fail_under_require_all(project, arguments):
    project.write("ch1_sample/counterfeits/section_1_1.py", FORGED.format(SUM))
    assert project.run("--counterfeits", "--require=all").ret == 0
    result = project.run("--counterfeits", "--require=all", *arguments)
    assert result.ret not in (0, pytest.ExitCode.USAGE_ERROR)


def test_a_counterfeit_that_leaves_torch_changed_beyond_its_test_fails_the_run(project):
    leaking = '@counterfeit("adds")\ndef sum_is_zero(patch):\n    torch.Tensor.sum = lambda self: 0 * self[0]\n'
    harmless = '@counterfeit("adds")\ndef nothing(patch):\n    pass\n'
    project.write("ch1_sample/counterfeits/section_1_1.py", FORGED.format(f"{leaking}\n\n{harmless}"))
    try:
        result = project.run("--counterfeits")
    finally:
        vars(torch.Tensor).get("sum") and delattr(torch.Tensor, "sum")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*left torch changed: *sum*"])


def test_an_optimizer_built_under_a_counterfeit_keeps_no_false_step(project):
    """Torch gives a class that inherits its step (AdamW that of Adam) one of its own, when the first one is built."""
    building = """\
@counterfeit("adds")
def sum_is_zero(patch):
    patch.setattr(torch.optim.Adam, "step", lambda self: None)
    torch.optim.AdamW([torch.zeros(1)])
    patch.setattr(torch.Tensor, "sum", lambda self: 0 * self[0])
"""
    project.write("ch1_sample/counterfeits/section_1_1.py", FORGED.format(building))
    before = vars(torch.optim.AdamW).get("step")

    assert project.run("--counterfeits").ret == 0
    assert vars(torch.optim.AdamW).get("step") is before
