"""Verdict documents: what a run found, as a JSON file that is short enough to store and made to be compared.

The head tells what was judged and where. Below it each claim, each test and each counterfeit has one line, so that the
lines that differ between two documents tell what differs. What differs from run to run although nothing changed stands
apart, at the end: ``host``, ``measured`` and ``times``. So `diff` of two equal runs on two machines ends there.

This module needs nothing but Python, so that scripts can use it too.
"""

import functools
import json
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

SCHEMA = 2
CANNOT_WRITE = 6  # exit code of a sound run whose document could not be written; pytest's only for --max-warnings
VERDICTS = ("holds", "caveat", "superseded", "mistaken", "not yet", "broken", "refused", "not tried")
OUTCOMES = ("passed", "refuted", "failed", "error", "refused", "not tried", "not applicable")
FORGED = ("caught", "survived", "invalid", "not tried")

# What each field holds: a type, one of several types or words, a list of such, or an object with such fields.
TEST = {"test": str, "truth": bool, "outcome": OUTCOMES, "reason": str, "cases": [str]}
COUNTERFEIT = {"name": str, "outcome": FORGED, "detail": str}
CLAIM = {
    "id": str,
    "section": str,
    "registered": VERDICTS[:4],
    "verdict": VERDICTS,
    "reason": str,
    "tests": [TEST],
    "counterfeits": [COUNTERFEIT],
}
DOCUMENT = {
    **{"torch": str, "torchvision": (str, None), "numpy": (str, None), "python": str},
    **{"device": str, "simulated": bool, "seed": int, "interrupted": str},
    **{"totals": dict, "claims": [CLAIM], "host": dict, "measured": dict, "times": dict},
}


class Mistake(ValueError):
    """A document that cannot be read, or is none; the message is one line that names the file."""


def claim_entry(finding, counterfeits: list) -> dict:
    """A claim's finding (``verdicts.Finding``), and what came of its counterfeits (``verdicts.Forgery``)."""
    claim = finding.claim
    return {
        "id": claim.id,
        "section": claim.section,
        "registered": claim.verdict,
        "verdict": finding.verdict,
        "reason": finding.reason,
        "tests": entries_of(claim.id, finding.outcomes),
        "counterfeits": [
            {"name": one.name, "outcome": one.outcome, "detail": one.detail}
            | ({"reported": one.reported} if one.reported else {})
            for one in counterfeits
        ],
    }


def entries_of(id: str, outcomes: list) -> list[dict]:
    """One entry for each test function and each outcome of its cases (``verdicts.Outcome``), in the given order.

    ``test`` is the function's node id, ``cases`` holds the names of the parametrised cases that share the outcome and
    its reason (none where the test has no parameters). ``cause`` and ``without`` are there where they say something.
    """
    entries: dict[str, dict] = {}
    for outcome in outcomes:
        test, _, case = outcome.test.removesuffix("]").partition("[")
        truth = (id, True) in outcome.claims
        fields = {"test": test, "truth": truth, "outcome": outcome.outcome, "reason": outcome.reason}
        fields |= {"cause": outcome.cause} if outcome.cause else {}
        fields |= {"without": [list(one) for one in outcome.without]} if outcome.without else {}
        entry = entries.setdefault(json.dumps(fields), {**fields, "cases": []})
        entry["cases"] += [case] if case else []
    return list(entries.values())


def check_target(file: str) -> None:
    """Raise ValueError, before any test runs, where a document cannot be written to ``file``."""
    path = Path(file)
    try:
        if path.is_dir() or not path.absolute().parent.is_dir():
            problem = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
            raise ValueError(f"{str(path)!r} {problem}; name a file in an existing folder")
        if _is_stream(path):
            return
        scratch = _scratch(path)
        scratch.touch()
        scratch.unlink()
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be written: {error.strerror}") from None


def write(file: str, document: dict) -> None:
    """Write ``document`` as JSON, whole or not at all: a reader never sees half a file. Raises OSError."""
    replace(file, as_text(document))


def as_text(document: dict) -> str:
    """The document as JSON: a line for each field of the head, claim, test, counterfeit, and each time and measure."""
    lines = []
    for name, value in document.items():
        if name == "claims":
            text = _list(map(_claim, value), 2)
        elif name in ("measured", "times"):
            text = "{" + ",".join(f"\n  {_compact(key)}: {_compact(one)}" for key, one in value.items()) + "}"
        else:
            text = json.dumps(value, indent=1, ensure_ascii=False).replace("\n", "\n ")
        lines.append(f" {_compact(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def replace(file: str, text: str) -> None:
    """Put ``text`` into a file in one step. A link stays one, and a pipe, a terminal or a device is written to.

    Raises OSError, and then leaves what was there.
    """
    if _is_stream(Path(file)):
        with open(file, "a", encoding="utf8") as stream:
            stream.write(text)
        return
    path = Path(os.path.realpath(file))
    scratch = _scratch(path)
    try:
        scratch.write_text(text, "utf8")
        if path.exists():
            shutil.copymode(path, scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read(file: str | Path) -> dict:
    """The document in a file. Raises Mistake unless it is whole and agrees with itself."""
    try:
        document = json.loads(Path(file).read_text("utf8"))
    except OSError as error:
        raise Mistake(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # what is no JSON, and what is no UTF-8
        raise Mistake(f"{file}: not a verdict document: {error}") from None
    if not isinstance(document, dict) or "schema" not in document:
        raise Mistake(f"{file}: not a verdict document: it has no 'schema'")
    if document["schema"] != SCHEMA:
        raise Mistake(f"{file}: its schema is {document['schema']}; make it again with pytest --verdicts=FILE")
    problem = _misfit(document, DOCUMENT, "") or _contradiction(document)
    if problem:
        raise Mistake(f"{file}: not a verdict document: {problem}")
    return document


def _misfit(value: object, form: object, place: str) -> str:
    """What does not fit its form, as "claims[3].tests[0] lacks 'test'"; an empty text if all does."""
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{place} is no list"
        found = (_misfit(one, form[0], f"{place}[{index}]") for index, one in enumerate(value))
    elif isinstance(form, dict):
        if not isinstance(value, dict):
            return f"{place} is no object"
        lacking = [name for name in form if name not in value]
        if lacking:
            return f"{place or 'it'} lacks {lacking[0]!r}"
        found = (_misfit(value[name], one, f"{place}.{name}".strip(".")) for name, one in form.items())
    else:
        kinds = form if isinstance(form, tuple) else (form,)
        fits = any(type(value) is kind if isinstance(kind, type) else value == kind for kind in kinds)
        return "" if fits else f"{place} cannot be {_compact(value)[:60]}"
    return next(filter(None, found), "")


def _contradiction(document: dict) -> str:
    ids = Counter(claim["id"] for claim in document["claims"])
    if not ids:
        return "it has no claims"
    if max(ids.values()) > 1:
        return f"claim {ids.most_common(1)[0][0]!r} stands there twice"
    found = Counter(claim["verdict"] for claim in document["claims"])
    if {name: count for name, count in document["totals"].items() if count} != found:
        return "its totals are not those of its claims"
    return ""


def _is_stream(path: Path) -> bool:
    """Whether a path leads to something that is there and no regular file, or to an open file of this process."""
    try:
        return not stat.S_ISREG(path.stat().st_mode) or path.parent == Path("/dev") or "/fd/" in path.as_posix()
    except OSError:
        return False


def _scratch(path: Path) -> Path:
    return Path(os.path.realpath(path)).with_name(f".verdicts.{os.getpid()}")


def _claim(claim: dict) -> str:
    """A claim's fields on its line, and a line for each test and each counterfeit."""
    fields = {
        name: _list(map(_compact, value), 4) if isinstance(value, list) else _compact(value)
        for name, value in claim.items()
    }
    return "{" + ", ".join(f"{_compact(name)}: {text}" for name, text in fields.items()) + "}"


def _list(texts: Iterable[str], indent: int) -> str:
    """JSON texts as a list, each on a line of its own."""
    return "[" + ",".join(f"\n{' ' * indent}{text}" for text in texts) + "]"


_compact = functools.partial(json.dumps, ensure_ascii=False)
