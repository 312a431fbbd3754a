"""The stored runs: verdict documents under docs/results, held against the register before a page shows them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness import documents
from harness.register import Register, closest, release
from mistakes import Mistake

NOT_TRIED = "not tried"
UNTRIED = (NOT_TRIED, "refused")  # what says nothing of a claim
# The days on which releases came out, as PyTorch's own lists and announcements say; of others no day is shown.
RELEASED = {
    **{"1.0": "2018-12-07", "1.1": "2019-04-30", "1.10": "2021-10-21", "1.13": "2022-10-28", "2.0": "2023-03-15"},
    **{"2.1": "2023-10-04", "2.2": "2024-01-30", "2.3": "2024-04-24", "2.4": "2024-07-24", "2.5": "2024-10-17"},
    **{"2.6": "2025-01-29", "2.7": "2025-04-23", "2.8": "2025-08-06", "2.9": "2025-10-15", "2.10": "2026-01-21"},
    **{"2.11": "2026-03-23"},
}


def minor(version: str) -> str:
    """The first two numbers of a release: "2.14.1" gives "2.14"."""
    return ".".join(version.split(".")[:2])


def dated(version: str) -> str:
    """A release with the day on which it came out, where that is known: "2.6 (2025-01-29)"."""
    return f"{version} ({RELEASED[version]})" if version in RELEASED else version


@dataclass(frozen=True)
class Run:
    """One stored run. ``claims`` maps each id to the claim's entry in the document, ``measured`` each test to what it
    recorded.
    """

    file: str
    torch: str  # "2.14.1", without the build ("+cu130")
    device: str
    simulated: bool
    claims: dict[str, dict]
    measured: dict[str, dict]  # by test
    ended: str = ""  # what ended the run early

    def verdict(self, id: str) -> str:
        """What the run found of a claim; "not tried" also where it was run before the claim was registered."""
        return self.claims[id]["verdict"] if id in self.claims else NOT_TRIED

    @property
    def order(self) -> tuple:
        """Runs on the CPU first, then on other devices, then on simulated ones; each by release."""
        return (self.simulated, self.device != "cpu", self.device, release(self.torch))


def load(folder: Path, register: Register) -> tuple[Run, ...]:
    """Read ``torch-*.json``.

    Raises Mistake, one line for each mistake: a document that cannot be read, of another schema, under a wrong name or
    of a run that did not end, a claim that is not registered or was otherwise, a verdict that is broken or contradicts
    the register, and a counterfeit that was not caught. See ``everywhere`` for what a device is allowed besides.
    """
    errors: list[str] = []
    runs: list[Run] = []
    for path in sorted(folder.glob("torch-*.json")):
        try:
            run = _read(path)
        except documents.Mistake as error:
            errors.append(str(error))
            continue
        if not everywhere(run.device, run.simulated):
            run = replace(run, claims={id: entry for id, entry in run.claims.items() if _as_now(id, entry, register)})
        errors.extend(_contradictions(run, register))
        runs.append(run)
    if not runs and not errors:
        errors.append(f"{folder}: no verdict documents; write one with pytest --verdicts=FILE")
    if errors:
        raise Mistake("\n".join(errors))
    return tuple(sorted(runs, key=lambda run: run.order))


def _read(path: Path) -> Run:
    document = documents.read(path)
    ended = document["interrupted"]
    if ended and everywhere(document["device"], document["simulated"]):
        raise documents.Mistake(f"{path}: of a run that did not end: {ended}; run it again")
    torch = document["torch"].partition("+")[0]
    name = f"torch-{torch}-{document['device'].replace(':', '-')}.json"
    if path.name != name:
        raise documents.Mistake(f"{path}: a run of torch {torch} on {document['device']} is stored as {name}")
    claims = {entry["id"]: entry for entry in document["claims"]}
    return Run(path.name, torch, document["device"], document["simulated"], claims, document["measured"], ended)


def everywhere(device: str, simulated: bool) -> bool:
    """Whether anybody can make a run on this device again. One on a lent or a stranger's is taken as it is: it may have
    ended early, a claim may be broken on it, and one that was registered otherwise then counts as not tried.
    """
    return simulated or device == "cpu"


def _as_now(id: str, entry: dict, register: Register) -> bool:
    return id not in register.claims or entry["registered"] == register.claims[id].verdict


def _contradictions(run: Run, register: Register) -> Iterator[str]:
    for id, entry in run.claims.items():
        claim, verdict = register.claims.get(id), entry["verdict"]
        if claim is None:
            yield f"{run.file}: claim {id!r} is not registered{closest(id, register.claims)}"
            continue
        if entry["registered"] != claim.verdict:
            was, now = entry["registered"], claim.verdict
            yield f"{run.file}: claim {id!r} was registered as {was!r}; {claim.where} says {now!r}"
        of_the_device = ("broken",) * (not everywhere(run.device, run.simulated))
        if verdict not in (*UNTRIED, *of_the_device, claim.expected(run.torch)):
            expected = claim.expected(run.torch)
            yield f"{run.file}: claim {id!r} is {verdict!r}, but {claim.where} expects {expected!r} on {run.torch}"
        for forged in entry["counterfeits"]:
            if forged["outcome"] not in ("caught", NOT_TRIED):
                yield f"{run.file}: counterfeit {forged['name']!r} of claim {id!r} is {forged['outcome']!r}, not caught"


def deciding(id: str, runs: tuple[Run, ...]) -> Run | None:
    """The run whose finding a claim's badge shows: the newest that tried it, a real device before a simulated one."""
    tried = [run for run in runs if run.verdict(id) not in UNTRIED]
    return min(tried, key=lambda run: (run.simulated, *(-number for number in release(run.torch)))) if tried else None


def counterfeit_outcomes(id: str, runs: tuple[Run, ...]) -> dict[str, dict]:
    """What came of each counterfeit of a claim, by name: in the newest run that planted it, a real device first."""
    found: dict[str, dict] = {}
    for run in sorted(runs, key=lambda run: (not run.simulated, release(run.torch))):
        for entry in run.claims.get(id, {}).get("counterfeits", ()):
            if entry["outcome"] != NOT_TRIED or entry["name"] not in found:
                found[entry["name"]] = entry
    return found
