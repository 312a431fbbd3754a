"""Tells how far you are in these exercises, and no answer before the third wrong try; ``pytest --answer`` shows it."""

import base64
import hashlib
import inspect
import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BLANK = "___"
TRIES = 3  # wrong ones, before the answer is shown
PROGRESS = ".exercises.json"
REACHED = pytest.StashKey[str]()  # the file of the exercise that was tried last


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--answer", action="store_true", help="show the answer of the first exercise that is not solved")
    parser.addoption("--all", action="store_true", help="do not stop at the first exercise that is not solved")


@pytest.fixture(autouse=True)
def _set_up(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The same random numbers in every run, and no exception that is expected only by the name of all of them."""
    import torch

    random.seed(0)
    torch.manual_seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    raises = pytest.raises

    def named(expected, *args, **options):
        if expected in (Exception, BaseException):
            told = f"every error is of type {expected.__name__}: say which one it is"
            pytest.fail(
                language(request.path.with_name(PROGRESS))(told, f"所有错误都属于 {expected.__name__}：请写出是哪一种")
            )
        return raises(expected, *args, **options)

    monkeypatch.setattr(pytest, "raises", named)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    """Of a file that Python cannot read, show the place alone."""
    report = yield
    if report.failed:
        lines = [line[1:].strip("\n") for line in str(report.longrepr).splitlines() if line.startswith("E ")]
        report.longrepr = "\n".join(lines) or report.longrepr
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Note what is solved; stop at the first exercise that is not, and say what it asks for."""
    report = yield
    file = item.path.with_name(PROGRESS)
    known = json.loads(file.read_text("utf8")) if file.exists() else {}
    exercise = known.get("pages", {}).get(item.path.name, {}).get(item.name)
    if exercise is None or report.when != "call":
        return report
    item.config.stash[REACHED] = item.path.name
    id = f"{item.path.name}::{item.name}"
    solved, tries = set(known["solved"]) - {id}, known["tries"]
    if report.passed:
        solved.add(id)
    elif report.failed:
        if getattr(call.excinfo.value, "name", "") != BLANK:  # the same text run twice is one try
            text = hashlib.sha256(inspect.getsource(item.function).encode()).hexdigest()[:8]
            tries[id] = sorted({*tries.get(id, []), text})
        report.longrepr = told(item, call, exercise, len(tries.get(id, [])))
        report.sections = []
        if not item.config.getoption("all", False):
            item.session.shouldfail = language(file)("solve this one first", "先解出这一题")
    file.write_text(json.dumps({**known, "solved": sorted(solved), "tries": tries}), "utf8")
    return report


def language(file: Path) -> Callable[[str, str], str]:
    """Takes a text in English and in Chinese, and gives the one in which the exercises of this folder were written."""
    known = json.loads(file.read_text("utf8")) if file.exists() else {}
    return lambda english, chinese: chinese if known.get("chinese") else english


def told(item: pytest.Item, call: pytest.CallInfo, exercise: dict, tries: int) -> str:
    """What an exercise is about, where it stands, what is to be filled in, and the answer once it may be shown."""
    lines = item.path.read_text("utf8").splitlines()
    first = item.function.__code__.co_firstlineno - 1
    last = next(entry.lineno for entry in reversed(call.excinfo.traceback) if Path(entry.path) == item.path)
    pick = language(item.path.with_name(PROGRESS))
    at, kinds = last, [kind for _, kind in exercise["blanks"]]
    for number in range(last, first, -1):  # the last blank that was come to
        here = [kind for before, kind in exercise["blanks"] if lines[number].startswith(before)]
        if here:
            at, kinds = number, here
            break
    answers = json.loads(base64.b64decode(exercise["answers"]))
    shown = item.config.getoption("answer", False) or tries >= TRIES
    asked = pick(" or ", "或").join(dict.fromkeys(kinds))
    if getattr(call.excinfo.value, "name", "") == BLANK:
        parts = [pick(f"Fill in: {asked}.", f"请填入：{asked}。")]
    else:
        told = f"That is not it (try {tries}). What is asked for: {asked}."
        parts = [pick(told, f"不对（第 {tries} 次）。要填的是：{asked}。")]
        if call.excinfo.typename not in ("AssertionError", *(answer.rpartition(".")[2] for answer in answers)):
            parts.insert(0, call.excinfo.exconly())
        if not shown:
            told = f"The answer is shown after try {TRIES}, or now by --answer."
            parts.append(pick(told, f"错 {TRIES} 次后显示答案；想现在就看，加上 --answer。"))
    if shown:
        parts.append(pick("The answer: ", "答案：") + "; ".join(answers))
    place = f"{os.path.relpath(item.path)}:{at + 1}"
    return "\n".join([exercise["says"], "", place, *lines[at : last + 1], "", *parts])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How many exercises are solved: of the file that was reached last, and of all."""
    file = Path(__file__).with_name(PROGRESS)
    known = json.loads(file.read_text("utf8")) if file.exists() else {"pages": {}}
    pages, reached = known["pages"], config.stash.get(REACHED, None)
    solved = {page: sum(f"{page}::{name}" in known["solved"] for name in names) for page, names in pages.items()}
    if reached in solved:
        section = ".".join(reached.split("_")[1:3])
        done, all = sum(solved.values()), sum(map(len, pages.values()))
        english = f"{section}: {solved[reached]} of {len(pages[reached])} \u00b7 all: {done} of {all}"
        chinese = f"{section}：{solved[reached]}/{len(pages[reached])} \u00b7 全部：{done}/{all}"
        terminalreporter.line(language(file)(english, chinese), bold=True)
