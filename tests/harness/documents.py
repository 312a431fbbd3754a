"""Verdict documents: what a run found, as a JSON file that is short enough to store and to compare.

The head tells what was judged and where. Below it stands one claim a line, so that a line that differs between two
documents is a claim that differs.
"""

import json
import os
from pathlib import Path

import pytest


def claim_entry(finding, counterfeits: list) -> dict:
    """A claim's line: its verdict (a ``verdicts.Finding``), its tests, and what came of its counterfeits
    (``verdicts.Forgery``).
    """
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
        raise pytest.UsageError(f"--verdicts: {file!r} {problem}; name a file in an existing folder")


def write(path: Path, document: dict) -> None:
    """Write ``document`` as JSON, whole or not at all: a reader never sees half a file."""
    head = json.dumps({**document, "claims": []}, indent=1, ensure_ascii=False).removesuffix("[]\n}")
    lines = [json.dumps(claim, ensure_ascii=False) for claim in document["claims"]]
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(head + "[\n  " + ",\n  ".join(lines) + "\n ]\n}\n", "utf8")
    scratch.replace(path)
