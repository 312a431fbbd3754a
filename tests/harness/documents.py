"""Verdict documents: what a run found, as a JSON file that is short enough to store and to compare.

The head tells what was judged and where. Below it each claim, each test and each counterfeit has one line, so that the
lines that differ between two documents tell what differs.
"""

import functools
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest


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
        "counterfeits": [{"name": one.name, "outcome": one.outcome, "detail": one.detail} for one in counterfeits],
    }


def entries_of(id: str, outcomes: list) -> list[dict]:
    """One entry for each test function and each outcome of its cases (``verdicts.Outcome``), in the given order.

    ``test`` is the function's node id, ``cases`` holds the names of the parametrised cases that share the outcome, its
    reason and what they measured (none where the test has no parameters), ``seconds`` is the sum of their times.
    """
    entries: dict[str, dict] = {}
    for outcome in outcomes:
        test, _, case = outcome.test.removesuffix("]").partition("[")
        truth = (id, True) in outcome.claims
        fields = {"test": test, "truth": truth, "outcome": outcome.outcome, "reason": outcome.reason}
        fields |= {"measured": outcome.measured} if outcome.measured else {}
        entry = entries.setdefault(json.dumps(fields), {**fields, "seconds": 0.0, "cases": []})
        entry["seconds"] = round(entry["seconds"] + outcome.seconds, 4)
        entry["cases"] += [case] if case else []
    return list(entries.values())


def check_target(file: str) -> None:
    """Raise pytest.UsageError where ``--verdicts`` names a place that cannot be written, before any test runs."""
    path = Path(file)
    if path.is_dir() or not path.absolute().parent.is_dir():
        problem = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise pytest.UsageError(f"--verdicts: {str(path)!r} {problem}; name a file in an existing folder")


def write(path: Path, document: dict) -> None:
    """Write ``document`` as JSON, whole or not at all: a reader never sees half a file."""
    head = json.dumps({**document, "claims": []}, indent=1, ensure_ascii=False).removesuffix("[]\n}")
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(f"{head}{_list(map(_claim, document['claims']), 2)}\n}}\n", "utf8")
    scratch.replace(path)


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
