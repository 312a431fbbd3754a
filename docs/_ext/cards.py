"""What the card of a claim shows, from the register, the tests as ``--explain`` reads them, and the stored runs."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import formulas
import names
import plots
import results
from harness import exercises, explain, gate, register, wording
from harness.gate import Test
from harness.register import Claim
from harness.specification import Specification
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from languages import both
from markupsafe import Markup, escape
from results import NOT_TRIED, Run

OWN = Path(__file__).parents[1]  # the site's own source

MARKS = {  # of verdicts, in the tables
    **{"holds": "✓", "caveat": "✓*", "superseded": "✗", "mistaken": "✗", "not yet": "✗", "broken": "✗!"},
    **{"refused": "–", NOT_TRIED: "–"},
}
VERDICTS = {verdict: (*wording.VERDICTS[verdict], mark) for verdict, mark in MARKS.items()}  # two names and the mark
TRUTH_LABELS = {
    "caveat": ("The condition", "条件"),
    "superseded": ("True today", "如今"),
    "mistaken": ("True instead", "实际上"),
}
OUTCOMES = {  # of a test's kind and outcome
    ("statement", "passed"): ("✓ statement", "✓ 陈述"),
    ("statement", "refuted"): ("✗ the statement fails, as expected", "✗ 陈述不成立，正如预期"),
    ("truth", "passed"): ("✓ truth", "✓ 真相"),
    ("statement", "failed"): ("✗ statement, which should hold", "✗ 陈述，本应成立"),
    ("truth", "failed"): ("✗ truth, which should hold", "✗ 真相，本应成立"),
    ("statement", "refused"): ("– statement, refused by the device", "– 陈述，设备拒绝"),
    ("truth", "refused"): ("– truth, refused by the device", "– 真相，设备拒绝"),
    ("statement", NOT_TRIED): ("– statement, not tried", "– 陈述，未检验"),
    ("truth", NOT_TRIED): ("– truth, not tried", "– 真相，未检验"),
}
KINDS = {"definition": ("definition", "定义"), "recommendation": ("recommendation", "建议")}
COST = ("fast", "cost", "cheap", "outruns")  # in the id of a claim about cost, whose timings are not folded
CAUGHT = {"caught": ("caught", "已识破"), NOT_TRIED: ("not tried", "未检验")}


@dataclass(frozen=True)
class Book:
    """Everything that the pages are made of."""

    spec: Specification
    runs: tuple[Run, ...]
    benchmarks: dict[str, list[str]]  # claim id -> the comparisons that illustrate it
    sources: tuple[Path, ...]  # the files it was read from: pages are written anew when one changes
    highlight: Callable[[str], str] = field(compare=False)

    @property
    def newest(self) -> Run:
        """The run of the newest torch on a real device: the one whose totals the start page tells."""
        return max((run for run in self.runs if not run.simulated), key=lambda run: register.release(run.torch))

    def status(self, claim: Claim) -> tuple[str, Run | None]:
        """The verdict that a claim's badge shows, and the run it rests on: none if no stored run tried the claim."""
        run = results.deciding(claim.id, self.runs)
        return (run.verdict(claim.id), run) if run else (NOT_TRIED, None)


def read(root: Path, highlight: Callable[[str], str]) -> Book:
    """Read the project below ``root``. Raises what the harness raises for mistakes in register and tests."""
    tests = root / "tests"
    claims = register.load(tests)
    spec = Specification(
        claims, gate.pass_through(tests, claims), gate.counterfeits(tests, claims), frozenset(claims.claims)
    )
    spec.names_zh  # noqa: B018  read here, where a mistake in them ends the build as one in the register does
    folder = root / "docs/results"
    files = [*tests.glob("ch*/*.toml"), *tests.glob("ch*/**/*.py"), *folder.glob("*.json")]
    files += [*OWN.glob("_ext/*.py"), *OWN.glob("_templates/*.html")]
    compared = plots.draw_benchmarks(folder, OWN / "_benchmarks")
    return Book(spec, results.load(folder, claims), compared, tuple(sorted(files)), highlight)


def report_address(report: str) -> str:
    """The page of a public report, given as "owner/repo#number"."""
    repository, _, number = report.partition("#")
    return f"https://github.com/{repository}/issues/{number}"


def badge(verdict: str, run: Run | None) -> Markup:
    """A verdict in words, marked where only a simulated device has shown it."""
    simulated = Markup(" · ") + both("simulated", "模拟") if run and run.simulated else ""
    return both(*VERDICTS[verdict][:2]) + simulated


def look(verdict: str, run: Run | None) -> str:
    """The CSS classes of a verdict: its name, and ``simulated``."""
    return verdict.replace(" ", "-") + " simulated" * bool(run and run.simulated)


class Card:
    """The values that templates/card.html fills in for one claim."""

    def __init__(self, claim: Claim, book: Book) -> None:
        self.claim, self.book = claim, book
        self.verdict, self.run = book.status(claim)
        self.badge = badge(self.verdict, self.run)
        self.says = both(formulas.inline(claim.says), formulas.inline(claim.says_zh))
        self.truth = both(formulas.inline(claim.truth), formulas.inline(claim.truth_zh))
        self.truth_label = TRUTH_LABELS.get(claim.verdict, ("", ""))
        newest_first = {"key": register.release, "reverse": True}  # a narrow page shows those and lets the rest scroll
        self.versions = sorted({run.torch for run in book.runs}, **newest_first)
        self.plots = plots.of(claim.id, self.run, book.spec.called)
        self.timings = [plots.benchmark(group) for group in book.benchmarks.get(claim.id, ())]
        self.about_cost = any(word in claim.id for word in COST)

    @property
    def kind(self) -> Markup | None:
        """A word for a sentence that is no finding about torch, or not the notes'."""
        words = [both(*KINDS[self.claim.kind])] if self.claim.kind else []
        words += [both("beyond the notes", "笔记之外")] if self.claim.beyond else []
        return Markup(" · ").join(words) if words else None

    @property
    def basis(self) -> Markup:
        """On which torch and device the badge's verdict was found."""
        if self.run is None:
            reasons = {run.claims[self.claim.id]["reason"] for run in self.book.runs if self.claim.id in run.claims}
            return both(f"by no stored run: {'; '.join(sorted(reasons))}", "没有任何存档的运行检验过它")
        device = f"{self.run.device} (simulated)" if self.run.simulated else self.run.device
        device_zh = f"{self.run.device}（模拟设备）" if self.run.simulated else self.run.device
        return both(f"torch {self.run.torch}, {device}", f"torch {self.run.torch}，{device_zh}")

    @property
    def conditions(self) -> list[Markup]:
        """Since when, until when, and what a run needs, in words."""
        claim, said = self.claim, []
        if claim.until:
            until = results.dated(claim.until)
            said.append(both(f"Held until torch {until}.", f"在 torch {until} 之前成立。"))
        if claim.since:
            since = results.dated(claim.since)
            said.append(both(f"Holds since torch {since}.", f"自 torch {since} 起成立。"))
        if claim.needs:
            said.append(both(f"Registered as {explain.verdict(claim)}.", f"登记为：{explain.verdict_zh(claim)}。"))
        return said

    def short(self, version: str) -> str:
        """A release by its first two numbers, "2.11", where runs of no other one with these are stored."""
        minor = results.minor(version)
        return minor if sum(other.startswith(f"{minor}.") for other in self.versions) == 1 else version

    @property
    def dates(self) -> list[list[str]]:
        """Year and month in which each release of the table came out, where something changed; empty where unknown."""
        return [results.RELEASED.get(results.minor(version), "").split("-")[:2] for version in self.versions]

    @property
    def rows(self) -> list[dict]:
        """The table torch × device, with a row for CUDA even where no run was made."""
        devices = list(dict.fromkeys((run.device, run.simulated) for run in self.book.runs))
        found = {(run.device, run.torch): run for run in self.book.runs}
        rows = []
        for device, simulated in devices:
            label = Markup("{} ").format(device) + both("(simulated)", "（模拟）") if simulated else device
            rows.append({"device": label, "cells": [self._cell(found.get((device, torch))) for torch in self.versions]})
        if not any(device.startswith("cuda") for device, _ in devices):
            rows.append({"device": "cuda", "cells": []})
        return rows

    def _cell(self, run: Run | None) -> dict:
        """A cell: its look, which also gives it the verdict in words, its mark, and why a claim was not tried."""
        if run is None:
            return {"look": "no-run", "mark": "", "why": ""}
        verdict, entry = run.verdict(self.claim.id), run.claims.get(self.claim.id)
        told = entry["reason"] if entry else "registered after this run"
        why = " · ".join(dict.fromkeys((told, wording.reason_zh(told)))) if told else ""
        return {"look": look(verdict, run), "mark": VERDICTS[verdict][2], "why": why}

    @cached_property
    def counterfeits(self) -> list[dict]:
        """The claim's counterfeits as registered, with what came of each in a stored run."""
        outcomes = results.counterfeit_outcomes(self.claim.id, self.book.runs)
        listed = []
        for one in self.book.spec.counterfeits:
            if self.claim.id in one.claims:
                outcome = outcomes.get(one.name, {}).get("outcome", NOT_TRIED)
                told = {"name": self.called(one.id), "says": one.says, "outcome": outcome}
                told |= {"label": both(*CAUGHT[outcome])}
                listed.append(told | {"reported": [(report, report_address(report)) for report in one.reported]})
        return listed

    @property
    def counterfeit_summary(self) -> Markup:
        """How many counterfeits the stored runs saw caught."""
        count = len(self.counterfeits)
        caught = sum(one["outcome"] == "caught" for one in self.counterfeits)
        s = "s" * (count > 1)
        if not count:
            return both("No counterfeit can falsify it", "没有赝品能使它出错")
        if not caught:
            return both(f"{count} counterfeit{s}, tried in no stored run", f"{count} 个赝品，均未检验过")
        en, zh = f"{caught} of {count} counterfeit{s} caught", f"{count} 个赝品中有 {caught} 个被识破"
        reported = [one for one in self.counterfeits if one["reported"]]
        if reported:
            noticed = sum(one["outcome"] == "caught" for one in reported)
            en += f", {noticed} of {len(reported)} faults that users reported among them"
            zh += f"，其中用户报告过的故障 {len(reported)} 个，识破 {noticed} 个"
        return both(en, zh)

    @cached_property
    def lessons(self) -> list[dict]:
        """The lessons of the page, each as it runs by itself."""
        tests = [test for test in self.book.spec.tests_of[self.claim.id] if test.is_lesson]
        return [
            self._test(test) | {"html": Markup(self.with_answers(test)), "prints": self._prints(test, test is tests[0])}
            for test in tests
        ]

    def _prints(self, lesson: Test, first: bool) -> list[tuple[Markup, str]]:
        """What appears on a screen, with a heading each: what the notes print, and what the lesson did in a run."""
        shown = [(both("The notes print", "笔记的输出"), self.claim.prints)] if first else []
        if self.run:
            now = self.run.measured.get(lesson.id, {}).get("prints", "")
            shown.append((both(f"You see on torch {self.run.torch}", f"torch {self.run.torch} 的输出"), now))
        return [(heading, text.rstrip()) for heading, text in shown if text]

    def with_answers(self, lesson: Test) -> str:
        """A lesson as HTML in which what is to be predicted can be hidden; names that the highlighter keeps mark it."""
        begin, end = "ANSWER_BEGINS ", " ANSWER_ENDS"
        html = self.book.highlight(exercises.marked(lesson, begin, end))
        return html.replace(begin, '<span class="answer">').replace(end, "</span>")

    @cached_property
    def guards(self) -> list[dict]:
        """The guards, which are told by their names: each is a sentence."""
        return [self._test(test) for test in self.book.spec.tests_of[self.claim.id] if not test.is_lesson]

    @property
    def guard_count(self) -> Markup:
        count = len(self.guards)
        s = "s" * (count > 1)
        return both(f"{count} guard{s}: the sentence under every condition", f"{count} 个守卫：在各种条件下检验这句话")

    def _test(self, test: Test) -> dict:
        """A test: what came of it in the run that the badge rests on, its name in words, and its place."""
        truth = any(citation.claim == self.claim.id and citation.truth for citation in test.citations)
        entries = self.run.claims[self.claim.id]["tests"] if self.run else []
        outcomes = {entry["outcome"] for entry in entries if entry["test"].partition("[")[0] == test.id}
        outcomes -= {NOT_TRIED, "not applicable"}
        outcome = outcomes.pop() if len(outcomes) == 1 else NOT_TRIED
        return {
            "label": both(*OUTCOMES["truth" if truth else "statement", outcome]),
            "look": outcome.replace(" ", "-"),
            "name": self.called(test.id),
            "where": f"{test.module}:{test.line}",
        }

    def called(self, id: str) -> Markup:
        """The name of a test or counterfeit in both languages; in English alone where it has no Chinese one."""
        english, chinese = self.book.spec.called(id)
        return both(english, chinese) if chinese != english else escape(english)

    @property
    def neighbours(self) -> list[Claim]:
        """The claims before and after this one in its section."""
        claims = [one for one in self.book.spec.register.claims.values() if one.section == self.claim.section]
        at = claims.index(self.claim)
        return [*claims[max(at - 1, 0) : at], *claims[at + 1 : at + 2]]

    @property
    def constant(self) -> Markup | None:
        """One line in place of the table where no release and no device tells anything else; None where one does."""
        tried = [run for run in self.book.runs if run.verdict(self.claim.id) not in results.UNTRIED]
        if len({run.verdict(self.claim.id) for run in tried}) != 1 or len(tried) < 2:
            return None
        versions = sorted({run.torch for run in tried}, key=register.release)
        words = VERDICTS[tried[0].verdict(self.claim.id)]
        span = f"{self.short(versions[0])}–{self.short(versions[-1])}"
        en = f"{words[0]} on torch {span}, in {len(tried)} stored runs"
        return both(en, f"torch {span} 上{words[1]}，存档运行 {len(tried)} 次")


TEMPLATES = Environment(loader=FileSystemLoader(OWN / "_templates"), autoescape=True, undefined=StrictUndefined)
TEMPLATES.globals.update(both=both, address=names.address, inline=formulas.inline)


def html(claim: Claim, book: Book) -> str:
    """The card of a claim, without the spaces that indent its template: of the cards of a page they are a fiftieth."""
    card = TEMPLATES.get_template("card.html").render(claim=claim, card=Card(claim, book))
    parts = re.split(r"(<pre.*?</pre>)", card, flags=re.DOTALL)  # where spaces count
    return "".join(part if part.startswith("<pre") else re.sub(r"\n\s+", "\n", part) for part in parts)
