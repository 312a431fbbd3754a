"""Exercises: every lesson of the pages with its expected values taken out, to be filled in until all pass.

``pytest --exercises=DIR`` writes one file for each page. In it a lesson's answers are ``___``, a name that Python does
not know, so that the lesson fails until each is replaced. What is taken out is found in the lesson itself: the value
that a result is compared with, or the exception that is expected; where there is neither, whether a condition is true,
or its opposite. A lesson of a sentence that is not true on this torch becomes the question whether it is.
"""

import ast
import base64
import json
import math
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import backends, called, specification, wording
from harness.gate import Test

BLANK = "___"
NEEDED = {"device", "accelerator", "two_devices", "fashion_mnist"}  # a plain pytest knows no such fixtures
BLANKS = 3  # in a lesson at most: the last ones, which show what it is about
CALCULATION = (  # what a value is made of that can be worked out from its text alone, with math
    *(ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.Call, ast.Attribute),
    *(ast.unaryop, ast.operator, ast.expr_context),
)
OPPOSITE = {ast.Eq: "!=", ast.Lt: ">=", ast.LtE: ">", ast.Is: "is not", ast.In: "not in"}
OPPOSITE |= {ast.NotEq: "==", ast.GtE: "<", ast.Gt: "<=", ast.IsNot: "is", ast.NotIn: "in"}


@dataclass(frozen=True)
class Exercise:
    """A lesson with blanks: the function's ``name``, its ``source``, and the ``answers`` in the order of the blanks."""

    name: str
    source: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Edit:
    """Text to put in the place of an expression of the source, and the answer where that is a question."""

    node: ast.expr
    text: str
    answer: str = ""


def exercise(lesson: Test, holds: bool) -> Exercise | None:
    """The exercise made from a lesson, or None where nothing in it can be taken out.

    ``holds`` is whether the sentence that it shows is true on this torch: otherwise the question is whether it is.
    """
    source = re.sub(r"\n +record_property\(.*", "", lesson.source).replace("(record_property)", "()")  # for the site
    function = ast.parse(source).body[0]
    if not holds:
        lines = source.splitlines(keepends=True)
        start = function.body[0].lineno - 1
        told = function.body[0].end_lineno if ast.get_docstring(function) is not None else start
        body = textwrap.indent("".join(lines[told : function.end_lineno]).strip("\n"), "    ")
        question = f"    try:\n{body}\n        it_holds = True\n    except BaseException:\n        it_holds = False\n"
        question += f"    assert it_holds is {BLANK}\n"
        return Exercise(lesson.name, "".join(lines[function.lineno - 1 : start]) + question, ("False",))
    edits = _edits(function, source)[-BLANKS:]
    if not edits:
        return None
    text = re.sub(rf"(==|is) \(\n +{BLANK}\n +\)", rf"\1 {BLANK}", applied(edits, source))
    kept = text.splitlines(keepends=True)[function.lineno - 1 :]
    without_hints = "".join(re.sub(r"  #.*", "", line) if BLANK in line else line for line in kept)
    return Exercise(lesson.name, without_hints.rstrip() + "\n", tuple(edit.answer for edit in edits))


def applied(edits: list[Edit], source: str) -> str:
    """The source with each edit made; they are in the order of the text."""
    lines = [line.encode() for line in source.splitlines(keepends=True)]  # the columns of a node count bytes
    for node, text in ((edit.node, edit.text) for edit in reversed(edits)):
        first, last = node.lineno - 1, node.end_lineno - 1
        lines[first : last + 1] = [lines[first][: node.col_offset] + text.encode() + lines[last][node.end_col_offset :]]
    return b"".join(lines).decode()


def marked(lesson: Test, begin: str, end: str) -> str:
    """A lesson as it runs by itself, with marks around what an exercise would take out."""
    edits = [edit for edit in _edits(ast.parse(lesson.alone).body[-1], lesson.alone) if edit.text == BLANK]
    texts = [f"{begin}{ast.get_source_segment(lesson.alone, edit.node)}{end}" for edit in edits]
    return applied([Edit(edit.node, text) for edit, text in zip(edits, texts)], lesson.alone)


def _edits(function: ast.FunctionDef, source: str) -> list[Edit]:
    """What can be taken out, in the order of the text; the conditions alone where there is nothing better."""
    values, conditions = [], []
    for node in _in_order(function):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "raises" and node.args:
            values.append(node.args[0])
        elif isinstance(node, ast.Assert):
            expected = _expected(node.test)
            if expected is not None:
                values.append(expected)
            else:
                opposite = len(conditions) % 2 == len(function.name) % 2  # lest the answer always be True
                text, true = _question(node.test, source, opposite)
                conditions.append(Edit(node.test, f"bool({text}) is {BLANK}", str(true)))
    return [Edit(value, BLANK, ast.unparse(value)) for value in values] or conditions


def _question(condition: ast.expr, source: str, opposite: bool) -> tuple[str, bool]:
    """What to ask of a true condition, and the answer: ``x`` of ``not x``, and ``x >= y`` of ``x < y`` if opposite."""

    def text(node: ast.expr) -> str:
        return ast.get_source_segment(source, node)

    if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not):
        return text(condition.operand), False
    if opposite and isinstance(condition, ast.Compare) and len(condition.ops) == 1:
        (operator,), (right,) = condition.ops, condition.comparators
        return f"{text(condition.left)} {OPPOSITE[type(operator)]} {text(right)}", False
    return text(condition), True


def _expected(test: ast.expr) -> ast.expr | None:
    """The value that a result is compared with, also within ``approx(...)``; None where its text does not tell it."""
    if not (isinstance(test, ast.Compare) and isinstance(test.ops[-1], ast.Eq | ast.Is)):
        return None
    last = test.comparators[-1]
    if isinstance(last, ast.Call) and getattr(last.func, "attr", "") == "approx" and last.args:
        last = last.args[0]
    return last if _is_worked_out(last) else None


def _is_worked_out(node: ast.expr) -> bool:
    """Whether the text of an expression is enough to tell its value: nothing is named in it but ``math``."""
    others = (part for part in ast.walk(node) if not isinstance(part, CALCULATION))
    return all(isinstance(part, ast.Name) and part.id == "math" for part in others)


def kind(answer: str, chinese: bool = False) -> str:
    """What is to be filled in, without telling it: "a list of 3 items"."""
    if not _is_worked_out(ast.parse(answer, mode="eval").body):
        return "异常的类型" if chinese else "the type of an exception"
    value = eval(answer, {"math": math})
    name = type(value).__name__
    if isinstance(value, list | tuple):
        return f"{len(value)} 项的 {name}" if chinese else f"a {name} of {len(value)} item{'s' * (len(value) != 1)}"
    names = {bool: ("True or False", "True 或 False"), int: ("a whole number", "一个整数")}
    names |= {float: ("a number", "一个数"), str: ("a text", "一段文字"), type(None): ("None", "None")}
    return names.get(type(value), (f"a {name}", f"一个 {name}"))[chinese]


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below ``node`` in the order of the text."""
    for child in ast.iter_child_nodes(node):
        yield child
        yield from _in_order(child)


def of_pages(spec: specification.Specification, torch_version: str) -> dict[str, list[tuple[Test, Exercise]]]:
    """For each page, by its path, the lessons of the chosen claims and their exercises, in the book's order."""
    pages: dict[str, list[tuple[Test, Exercise]]] = {}
    for lesson in spec.tests:
        claim = spec.register.claims[lesson.citations[0].claim]
        truth = lesson.citations[0].truth
        if not lesson.is_lesson or claim.id not in spec.chosen or claim.needs or NEEDED & set(lesson.takes):
            continue
        if ("truth" if truth else "statement") in claim.kinds(torch_version):
            made = exercise(lesson, truth or claim.expected(torch_version) in ("holds", "caveat"))
            if made:
                pages.setdefault(lesson.module, []).append((lesson, made))
    return pages


def page(
    module: Path, made: list[tuple[Test, Exercise]], spec: specification.Specification, chinese: bool = False
) -> str:
    """The text of one file of exercises: the page's introduction and imports, then each lesson below its sentence."""
    tree = ast.parse(module.read_text("utf8"))
    section = called.section(module.name)
    titles = next(chapter.sections[section] for chapter in spec.register.chapters if section in chapter.sections)
    introduction = f"{section} {titles[1]}\n\n{HOW_ZH}" if chinese else f"{ast.get_docstring(tree)}\n\n{HOW}"
    imports = dict.fromkeys(line for lesson, _ in made for line in lesson.imports if "harness" not in line)
    parts = [f'r"""{introduction}\n"""\n', "\n".join(imports) + "\n"]
    for lesson, one in made:
        hint = sentence(lesson, spec, chinese)
        lines = [f"# {part}" for line in hint.split("\n") for part in wording.wrap(line, columns=110)]
        parts.append("\n\n" + "\n".join(lines) + f"\n{one.source}")
    return "\n".join(parts[:2]) + "".join(parts[2:])


def sentence(lesson: Test, spec: specification.Specification, chinese: bool = False) -> str:
    """What a lesson shows: the claim's sentence, or its truth line; in Chinese also what the lesson is called."""
    claim = spec.register.claims[lesson.citations[0].claim]
    if chinese:
        english, name = spec.called(lesson.id)  # English again where it has no Chinese name: the code says it already
        says = claim.truth_zh if lesson.citations[0].truth else claim.says_zh
        return says + f"\n{name}" * (name != english)
    return claim.truth if lesson.citations[0].truth else claim.says


HOW = "Replace each blank, three underscores, by what you expect, and run pytest on this folder."
HOW_ZH = "把每个空白（三个下划线）换成你预期的值，然后对这个文件夹运行 pytest。"
PROGRESS = ".exercises.json"
SETTINGS = "[pytest]\n# so that all that is written lies in this folder\naddopts = -p no:benchmark\n"


def write(
    folder: Path, spec: specification.Specification, torch_version: str, chinese: bool = False
) -> tuple[int, int, int]:
    """Write the exercises into ``folder``; returns how many it has, how many files are new, and how many are kept.

    A file that is there stays as it is, with its exercises and answers. Raises pytest.UsageError, in one line, where
    the folder cannot be written.
    """
    tests = next((claim.folder.parent for claim in spec.register.chapters), Path())
    written = kept = 0
    progress = folder / PROGRESS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not progress.exists() and any(folder.iterdir()):
            raise pytest.UsageError(f"--exercises: {str(folder)!r} has files of its own; name a new folder")
        state = {"pages": {}, "solved": [], "tries": {}}
        state |= json.loads(progress.read_text("utf8")) if progress.exists() else {}
        state["chinese"] = chinese
        for module, made in of_pages(spec, torch_version).items():
            target = folder / Path(module).name
            if target.exists():
                kept += 1
                continue
            state["pages"][target.name] = {
                one.name: entry(one, sentence(lesson, spec, chinese), chinese) for lesson, one in made
            }
            target.write_text(page(tests.parent / module, made, spec, chinese), "utf8")
            written += 1
        progress.write_text(json.dumps(state), "utf8")
        (folder / "conftest.py").write_text(Path(__file__).with_name("learning.py").read_text("utf8"), "utf8")
        (folder / "pytest.ini").write_text(SETTINGS, "utf8")
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--exercises: {str(folder)!r} cannot be written: {backends.one_line(error)}") from None
    return sum(map(len, state["pages"].values())), written, kept


def entry(one: Exercise, says: str, chinese: bool) -> dict:
    """What is kept of an exercise: the sentence, the answers in a form that nobody reads by accident, and for each
    blank what stands before it in its line and what kind of thing is to be filled in.
    """
    before = [line.partition(BLANK)[0] for line in one.source.splitlines() if BLANK in line]
    answers = base64.b64encode(json.dumps(one.answers).encode()).decode()
    kinds = [kind(answer, chinese) for answer in one.answers]
    return {"says": says, "answers": answers, "blanks": list(zip(before, kinds))}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("specification").addoption(
        "--exercises",
        metavar="DIR",
        help="--exercises=DIR: write the pages' lessons as exercises into the folder DIR; what is there is kept",
    )


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer ``--exercises`` and end; otherwise let pytest go on."""
    target = config.getoption("exercises")
    if target is None:
        return None
    import torch

    pick = wording.chosen(config)
    spec = specification.read(config)
    count, written, kept = write(Path(target), spec, torch.__version__, config.getoption("language") == "zh")
    english = f"{count} exercises in {target}; files: {written} written, {kept} kept as they are"
    print(pick(english, f"{target} 中有 {count} 道练习；写了 {written} 个文件，{kept} 个保持原样"))
    english = f"Replace each {BLANK} in {target}/test_*.py by what you expect, and run again and again: pytest {target}"
    print(pick(english, f"把 {target}/test_*.py 中的每个 {BLANK} 换成你预期的值，反复运行：pytest {target}"))
    return pytest.ExitCode.OK
