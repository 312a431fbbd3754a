"""Tells how far you are in these exercises, and no answer before the third wrong try; ``pytest --answer`` shows it."""

import ast
import base64
import hashlib
import json
from pathlib import Path

import pytest

BLANK = "___"
TRIES = 3  # wrong ones, before the answer is shown
PROGRESS = ".exercises.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--answer", action="store_true", help="show the answer of the first exercise that is not solved")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same random numbers in every run."""
    import torch

    torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Note what is solved; stop at the first exercise that is not, and say what it asks for."""
    report = yield
    file = item.path.with_name(PROGRESS)
    known = json.loads(file.read_text("utf8")) if file.exists() else {}
    exercise = known.get("pages", {}).get(item.path.name, {}).get(item.name)
    if exercise is None or report.when != "call":
        return report
    id = f"{item.path.name}::{item.name}"
    solved, tries = set(known["solved"]) - {id}, known["tries"]
    if report.passed:
        solved.add(id)
    elif report.failed:
        source = "".join(source_of(item))
        unsolved = BLANK in source
        if not unsolved:  # the same text run twice is one try
            tried = tries.setdefault(id, [])
            text = hashlib.sha256(source.encode()).hexdigest()[:8]
            tried += [text] if text not in tried else []
        shown = item.config.getoption("answer", False) or len(tries.get(id, [])) >= TRIES
        report.longrepr = told(item, call, exercise, unsolved, len(tries.get(id, [])), shown)
        report.sections = []
        item.session.shouldfail = "solve this one first"
    file.write_text(json.dumps({**known, "solved": sorted(solved), "tries": tries}), "utf8")
    return report


def source_of(item: pytest.Item) -> list[str]:
    """The lines of an exercise as they stand in the file now."""
    tree = ast.parse(item.path.read_text("utf8"))
    node = next(node for node in tree.body if getattr(node, "name", "") == item.name)
    return item.path.read_text("utf8").splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]


def told(item: pytest.Item, call: pytest.CallInfo, exercise: dict, unsolved: bool, tries: int, shown: bool) -> str:
    """What an exercise is about, where it stands, what is to be filled in, and the answer once it may be shown."""
    answers = json.loads(base64.b64decode(exercise["answers"]))
    place = next(entry for entry in reversed(call.excinfo.traceback) if Path(entry.path) == item.path)
    line = item.path.read_text("utf8").splitlines()[place.lineno]
    error = "" if unsolved or call.excinfo.errisinstance(AssertionError) else f"\n{call.excinfo.exconly()}"
    kinds = "; ".join(map(kind, answers))
    asked = f"Fill in: {kinds}." if unsolved else f"That is not it (try {tries}). What is asked for: {kinds}."
    answer = f"\nThe answer: {'; '.join(answers)}" if shown else ""
    return f"{exercise['says']}\n\n{item.path.name}:{place.lineno + 1}\n{line}{error}\n\n{asked}{answer}"


def kind(answer: str) -> str:
    """What is to be filled in, without telling it: "a list of 3 items"."""
    try:
        value = ast.literal_eval(answer)
    except ValueError:
        return "the type of an exception"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)} item{'s' * (len(value) != 1)}"
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    return names.get(type(value), "None" if value is None else f"a {type(value).__name__}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How many exercises are solved: in the section that was reached last, and of all."""
    file = Path(__file__).with_name(PROGRESS)
    known = json.loads(file.read_text("utf8")) if file.exists() else {"pages": {}}
    if not known["pages"]:
        return
    solved = set(known["solved"])
    counts = {
        page: (sum(f"{page}::{name}" in solved for name in names), len(names)) for page, names in known["pages"].items()
    }
    unfinished = [page for page, (done, all) in counts.items() if done < all]
    page = unfinished[0] if unfinished else list(counts)[-1]
    section = ".".join(page.split("_")[1:3])
    done, all = counts[page]
    total = sum(done for done, _ in counts.values()), sum(all for _, all in counts.values())
    terminalreporter.line(f"{section}: {done} of {all} \u00b7 all: {total[0]} of {total[1]}", bold=True)
