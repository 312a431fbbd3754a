"""What differs between two verdict documents, as data; nothing of where and when they were made counts.

A claim that one of the runs did not select is not compared. A measured value differs where it is off by more than its
margin of the largest value of its line: the low digits of a curve are the machine's.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from harness import wording
from harness.register import Register
from harness.specification import Specification

HEAD = ("torch", "torchvision", "numpy", "python", "device", "seed")
MARGIN = 0.05  # of what is computed; another processor rounds otherwise, and training multiplies that
CLOCK_MARGIN = 0.5  # of what a clock measured: neighbours on a machine cost that much
CLOCKED = ("seconds", "crossover", "cpu_time_over_gpu_time")
NOT_THERE = "not there"
WORDS_ZH = {verdict: words[1] for verdict, words in wording.VERDICTS.items()} | wording.OUTCOMES_ZH
WORDS_ZH |= {"missing": "没有", "there": "有"}
SHOWN = 20  # tests that are told by name: one screen; all stand in the JSON
KINDS = ("verdicts", "new", "gone", "tests", "measured", "device")
"""What of a comparison counts as a change; ``head`` says where the runs were made."""


def changes(old: dict, new: dict, register: Register, chosen: Iterable[str] | None = None) -> dict:
    """What differs: a list for each of KINDS, and as ``head`` the fields of HEAD that differ, as [old, new].

    ``chosen`` names the claims that the new run was to try: all without it.
    """
    before = {claim["id"]: claim for claim in old["claims"]}
    after = {claim["id"]: claim for claim in new["claims"]}
    both = [id for id in after if id in before and (chosen is None or id in set(chosen))]
    return {
        "head": {name: [old[name], new[name]] for name in HEAD if old[name] != new[name]},
        "verdicts": [_verdict(before[id], after[id], register) for id in both if _differ(before[id], after[id])],
        "new": [id for id in after if id not in before],
        "gone": [id for id in before if id not in after],
        "tests": list(_tests([before[id] for id in both], [after[id] for id in both])),
        "measured": list(_measured(old["measured"], new["measured"])),
        "device": list(_device(old, new)),
    }


def any_of(found: dict) -> bool:
    """Whether anything changed but the surroundings."""
    return any(found[kind] for kind in KINDS)


def any_broken(new: dict) -> bool:
    """Whether a claim is broken in a document."""
    return any(claim["verdict"] == "broken" for claim in new["claims"])


def _differ(before: dict, after: dict) -> bool:
    return before["verdict"] != after["verdict"]


def _verdict(before: dict, after: dict, register: Register) -> dict:
    """A changed verdict with what the register says of the claim: its sentence, and what is true instead."""
    claim = register.claims.get(after["id"])
    return {
        "id": after["id"],
        "section": after["section"],
        "old": before["verdict"],
        "new": after["verdict"],
        "reason": after["reason"] or before["reason"],
        "says": claim.says if claim else "",
        "truth": claim.truth if claim else "",
    }


def _outcomes(claims: list[dict]) -> dict[str, str]:
    """What came of each case, by node id."""
    outcomes: dict[str, str] = {}
    for claim in claims:
        for test in claim["tests"]:
            for case in test["cases"] or [None]:
                outcomes[test["test"] if case is None else f"{test['test']}[{case}]"] = test["outcome"]
    return outcomes


def _tests(before: list[dict], after: list[dict]) -> Iterator[dict]:
    """Changed outcomes, one entry for each test function and change, with the number of its cases."""
    old, new = _outcomes(before), _outcomes(after)
    counted: dict[tuple[str, str, str], int] = defaultdict(int)
    for test in sorted(old.keys() | new.keys()):
        was, now = old.get(test, NOT_THERE), new.get(test, NOT_THERE)
        if was != now:
            counted[test.partition("[")[0], was, now] += 1
    for (test, was, now), cases in counted.items():
        yield {"test": test, "old": was, "new": now, "cases": cases}


def _measured(before: dict, after: dict) -> Iterator[dict]:
    for test in sorted(before.keys() & after.keys()):
        for name in sorted(before[test].keys() & after[test].keys()):
            margin = CLOCK_MARGIN if name in CLOCKED else MARGIN
            off = distance(before[test][name], after[test][name])
            if off > margin:
                yield {"test": test, "name": name, "off": round(min(off, 9.99), 2), "margin": margin}


def distance(before: object, after: object) -> float:
    """How far apart two measured values are, relative to the largest of their line; infinite where they are unlike."""
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        return max((distance(before[name], after[name]) for name in before), default=0.0)
    old, new = (value if isinstance(value, list) else [value] for value in (before, after))
    numbers = all(type(value) in (int, float) for value in [*old, *new])
    if not numbers or len(old) != len(new):
        return 0.0 if old == new else float("inf")
    scale = max((abs(value) for value in [*old, *new]), default=0.0)
    return max((abs(one - other) for one, other in zip(old, new)), default=0.0) / (scale or 1.0)


def _device(old: dict, new: dict) -> Iterator[dict]:
    """Dtypes and other things that the device has now and had not, or the other way round, and operators it refuses."""
    before, after = (_lacking(document) for document in (old, new))
    for thing in sorted(before - after):
        yield {"thing": thing, "old": "missing", "new": "there"}
    for thing in sorted(after - before):
        yield {"thing": thing, "old": "there", "new": "missing"}


def _lacking(document: dict) -> set[str]:
    """What the device lacks, by the document's own words: things it was asked for, and operators that it refused."""
    things = {name for name, there in document.get("capabilities", {}).items() if there is not True}
    return things | {test["cause"] for claim in document["claims"] for test in claim["tests"] if test.get("cause")}


def title(old: dict, new: dict, found: dict) -> str:
    """ "torch 2.5.1 -> 2.14.1 on cpu": what the runs were made of, as far as it differs; torch and device always."""
    fields = [f"{name} {_was(*found['head'][name])}" for name in found["head"] if name not in ("torch", "device")]
    torch = _was(*found["head"].get("torch", [new["torch"]]))
    device = _was(*found["head"].get("device", [new["device"]]))
    return ", ".join([f"torch {torch} on {device}", *fields])


def _was(*values: object) -> str:
    return " -> ".join(map(str, values))


def lines(found: dict, chinese: Specification | None = None) -> Iterator[str]:
    """The changes as lines for a terminal, those of verdicts first; none where nothing changed. In Chinese with the
    specification, which has the sentences and the names.
    """

    def say(english: str, other: str) -> str:
        return other if chinese else english

    def word(outcome: str) -> str:
        return say(outcome, WORDS_ZH.get(outcome, outcome))

    for one in sorted(found["verdicts"], key=lambda one: one["new"] != "broken"):
        why = _why(one) if not chinese or not one["reason"] else f"（{wording.reason_zh(one['reason'])}）"
        yield f"{one['section']:>4}  {one['id']}: {word(one['old'])} -> {word(one['new'])}{why}"
        claim = chinese.register.claims.get(one["id"]) if chinese else None
        yield f"      {claim.says_zh if claim else one['says']}"
        if one["truth"]:
            yield f"      -> {claim.truth_zh if claim else one['truth']}"
    for kind, kind_zh in (("new", "新增的"), ("gone", "不再有的")):
        if found[kind]:
            yield say(f"claims that are {kind}: ", f"{kind_zh}论断：") + ", ".join(found[kind])
    for one in found["device"]:
        yield f"{one['thing']}: {word(one['old'])} -> {word(one['new'])}"
    for kind, kind_zh, side in (("new", "新增的", "old"), ("gone", "不再有的", "new")):
        number = sum(one[side] == NOT_THERE for one in found["tests"])
        if number:
            yield say(f"tests that are {kind}: {number}", f"{kind_zh}测试：{number} 个")
    changed = [one for one in found["tests"] if NOT_THERE not in (one["old"], one["new"])]
    for one in changed[:SHOWN]:
        cases = say(f" ({one['cases']} cases)", f"（{one['cases']} 种情形）") * (one["cases"] > 1)
        called = f"（{chinese.called(one['test'])[1]}）" if chinese else ""
        yield f"{one['test']}{called}: {word(one['old'])} -> {word(one['new'])}{cases}"
    if len(changed) > SHOWN:
        yield say(f"and {len(changed) - SHOWN} more tests", f"另有 {len(changed) - SHOWN} 个测试")
    for one in found["measured"]:
        off, margin = f"{one['off']:.0%}", f"{one['margin']:.0%}"
        told = say(f"is off by {off}, more than {margin}", f"相差 {off}，超过 {margin}")
        yield f"{one['test']}: {one['name']} {told}"


def _why(one: dict) -> str:
    return f" ({one['reason']})" if one["reason"] else ""


def markdown(old: dict, new: dict, found: dict) -> str:
    """The changes as Markdown, for a comment on a pull request."""
    parts = [f"### {title(old, new, found)}"]
    if not any_of(found):
        return f"{parts[0]}\n\nNo claim, test or measured value changed.\n"
    if found["verdicts"]:
        rows = [
            f"| {one['section']} | `{one['id']}` | {one['old']} | **{one['new']}**{_why(one)} | {_cell(one)} |"
            for one in sorted(found["verdicts"], key=lambda one: one["new"] != "broken")
        ]
        parts.append(
            "\n".join(["| section | claim | was | is | what it says |", "| --- | --- | --- | --- | --- |", *rows])
        )
    rest = list(lines({**found, "verdicts": []}))
    if rest:
        parts.append("\n".join(f"- {line}" for line in rest))
    return "\n\n".join(parts) + "\n"


def _cell(one: dict) -> str:
    text = one["says"] + (f"<br>→ {one['truth']}" if one["truth"] else "")
    return text.replace("|", "\\|").replace("\n", " ")
