"""The page "How to add a claim": its steps, taken in a copy of the project, print what it says they print."""

import doctest
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/add-a-claim.md").read_text("utf8")
FENCE = re.compile(r"^```(?:\{code-block\} )?(\w+)\n(?::caption: ([^\n]+)\n)?(.*?)^```$", re.MULTILINE | re.DOTALL)

# The page puts its claim between two others, in the register, among the lessons and on the chapter's page; all else
# goes to a file's end.
NEXT_LESSON = '@claim("reshape-does-not-guarantee-a-copy")\n'
NEXT_ENTRY = '[[claim]]\nid = "reshape-does-not-guarantee-a-copy"\n'
CARDS = ":::{claims}\nview-shares-data\nreshape-does-not-guarantee-a-copy\n:::\n"


def write(file, snippet):
    """Put a snippet of the page where the page says."""
    text = file.read_text("utf8")
    if file.name == "claims.toml":
        before, after = text.split(NEXT_ENTRY)
        text = f"{before}{snippet}\n{NEXT_ENTRY}{after}"
    elif file.suffix == ".py" and file.parent.name.startswith("ch"):
        before, after = text.split(NEXT_LESSON)
        text = f"{before}{snippet}\n\n{NEXT_LESSON}{after}"
    elif file.suffix == ".md":
        before, after = text.split(CARDS)
        text = before + snippet + after
    else:
        text = f"{text}\n\n{snippet}"
    file.write_text(text, "utf8")


def shows(printed, excerpt):
    """Whether the excerpt is a part of what was printed; its three dots stand for anything."""
    return doctest.OutputChecker().check_output(f"...{excerpt.strip()}...\n", printed, doctest.ELLIPSIS)


@pytest.fixture
def copy(pytester, monkeypatch):
    """A copy of the project, to be run in this process, which forgets the project's own test modules meanwhile."""
    for folder in ("tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "_build")
        shutil.copytree(ROOT / folder, pytester.path / folder, ignore=ignored)
    for file in ("conftest.py", "pytest.ini"):
        shutil.copy(ROOT / file, pytester.path)
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if any(map(file.match, ("tests/ch*/*.py", "tests/ch*/*/*.py", "tests/meta/*.py", "tests/populations/*.py"))):
            monkeypatch.delitem(sys.modules, name)
    return pytester


def test_every_step_of_the_page_does_what_the_page_says(copy):
    command = ""
    for language, file, text in FENCE.findall(PAGE):
        match language, file:
            case "toml" | "python" | "markdown", _:
                write(copy.path / file, text)
            case "sh", _:
                command = text
            case "text", "":
                result = copy.runpytest_inprocess(*shlex.split(command)[1:])
                printed = "\n".join(result.outlines + result.errlines) + "\n"
                assert shows(printed, text), f"{command}\nprinted\n\n{printed}\nand not\n\n{text}"
            case "text", _:
                assert shows((copy.path / file).read_text("utf8"), text), f"{file} does not hold\n\n{text}"

    assert copy.runpytest_inprocess("tests/meta/test_the_pages.py").ret == 0


def test_no_block_of_the_page_is_overlooked():
    assert len(FENCE.findall(PAGE)) == PAGE.count("```") / 2
    assert {language for language, *_ in FENCE.findall(PAGE)} == {"toml", "python", "markdown", "sh", "text"}


@pytest.mark.parametrize("excerpt, shown", [("b...d", True), ("a\n...\nd", True), ("c\nb", False), ("b\nd", False)])
def test_an_excerpt_is_compared_line_by_line_with_dots_for_what_was_left_out(excerpt, shown):
    assert shows("a\nb\nc\nd\n", excerpt) is shown
