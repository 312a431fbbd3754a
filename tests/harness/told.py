"""What a run says in the terminal: what is false on this torch, a table by chapter, what was not tried and why, and
last of all what broke. With ``--claim`` the cards of these claims, with ``--book`` the whole book.
"""

import shlex
import shutil
from collections import Counter, defaultdict

import pytest
from _pytest._io.wcwidth import wcswidth

from harness import devices, specification, wording
from harness.documents import VERDICTS
from harness.register import Claim
from harness.verdicts import Finding, Forgery, Outcome, Recorder

COLOURS = {
    "holds": "green",
    "caveat": "yellow",
    "superseded": "yellow",
    "mistaken": "yellow",
    "not yet": "yellow",
    "broken": "red",
    "refused": "yellow",
}
INDENT = " " * 5  # below a section's number
FALSE = ("superseded", "mistaken", "not yet")


def repeat(config: pytest.Config, *arguments: str) -> str:
    """The shell command that runs something again as this run did."""
    defaults = {"--seed": 0, "--device-module": None, "--device": "cpu", "--sim-lacks": None, "--sim-async": False}
    options = {name: config.getoption(name.removeprefix("--").replace("-", "_")) for name in defaults}
    options["--device"] = devices.under_test(config)
    given = [
        name if value is True else f"{name}={shlex.quote(str(value))}"
        for name, value in options.items()
        if value != defaults[name]
    ]
    return " ".join(["pytest", *map(shlex.quote, arguments), *given])


def failures(finding: Finding) -> list[Outcome]:
    """The failed tests of a claim, the most telling first: lessons are shorter than guards."""
    failed = [one for one in finding.outcomes if one.outcome in ("failed", "error")]
    return sorted(failed, key=lambda one: ("/guards/" in one.test, one.outcome == "error"))


class Told:
    """The parts of what is said, in the reader's language."""

    def __init__(self, out: pytest.TerminalReporter, config: pytest.Config, recorder: Recorder) -> None:
        self.out, self.config, self.recorder = out, config, recorder
        self.spec = specification.of(config)
        self.pick = wording.chosen(config)

    def text(self, markdown: str, indent: str = "", **markup: bool) -> None:
        for line in wording.wrap(markdown, indent):
            self.out.line(line, **markup)

    def heading(self, title: str, **markup: bool) -> None:
        wider = wcswidth(title) - len(title)  # which pytest does not count
        self.out.section(title, sep="=", fullwidth=shutil.get_terminal_size().columns - wider, **markup)

    def sentences(self, claim: Claim) -> None:
        self.text(wording.sentence(claim, self.config), INDENT)
        if claim.truth:
            self.text(f"-> {wording.truth(claim, self.config)}", INDENT)

    def findings(self) -> None:
        findings = [one for one in self.recorder.findings() if one.claim.id in self.spec.chosen]
        tried = [finding for finding in findings if finding.outcomes]
        if self.config.getoption("book"):
            self.book(tried)
        elif not self.spec.partial:
            self.false(tried)
        environment = self.recorder.environment
        device = environment["device"] + self.pick(" (simulated)", "（模拟）") * environment["simulated"]
        self.heading(f"torch {environment['torch']} on {device}, seed {environment['seed']}")
        if self.spec.partial:
            for number, finding in enumerate(() if self.config.getoption("book") else findings):
                self.out.write("\n" * bool(number))
                self.card(finding)
        else:
            self.table(findings)
        self.refused(tried)
        self.not_tried(findings)
        self.counterfeits()

    def book(self, findings: list[Finding]) -> None:
        for chapter in self.spec.register.chapters:
            in_chapter = [finding for finding in findings if finding.claim.section in chapter.sections]
            if in_chapter:
                title = self.pick(chapter.title, chapter.title_zh)
                self.heading(f"{chapter.number} {title}", bold=True)
            for section, titles in chapter.sections.items():
                in_section = [finding for finding in in_chapter if finding.claim.section == section]
                if in_section:
                    self.out.line(f"\n{section} {self.pick(*titles)}\n", bold=True)
                for finding in in_section:
                    self.entry(finding)

    def entry(self, finding: Finding) -> None:
        claim, indent = finding.claim, " " * 12
        verdict = self.pick(*wording.VERDICTS[finding.verdict])
        self.out.write(" " * max(0, 10 - wcswidth(verdict)))
        self.out.write(f"{verdict}  ", **{COLOURS.get(finding.verdict, "light"): True})
        self.out.write("\n".join(wording.wrap(wording.sentence(claim, self.config), indent)).lstrip() + "\n")
        if claim.truth and finding.verdict not in ("holds", "not tried"):
            self.text(f"-> {wording.truth(claim, self.config)}", indent)
        if finding.reason:
            self.text(f"({wording.reason(finding.reason, self.config)})", indent)
        self.out.line(f"{indent}{claim.id}", light=True)

    def card(self, finding: Finding) -> None:
        """A claim that ``--claim`` chose: its sentence, verdict, truth, and what came of its tests."""
        claim = finding.claim
        verdict = self.pick(*wording.VERDICTS[finding.verdict])
        self.out.write(f"{claim.section}  {claim.id}: ", bold=True)
        self.out.line(verdict, **{COLOURS.get(finding.verdict, "light"): True})
        self.sentences(claim)
        if finding.reason and finding.verdict != "broken":
            self.text(f"({wording.reason(finding.reason, self.config)})", INDENT)
        guards: Counter[str] = Counter()
        for test in self.spec.tests_of[claim.id]:
            found = {one.outcome for one in finding.outcomes if one.test.partition("[")[0] == test.id} or {"not tried"}
            outcome = next(name for name in ("failed", "error", *wording.OUTCOMES_ZH) if name in found)
            if test.is_lesson:
                lesson = wording.called(test.id, self.config)
                self.text(self.pick(f"{outcome}: {lesson}", f"{wording.OUTCOMES_ZH[outcome]}：{lesson}"), INDENT)
            else:
                guards[outcome] += 1
        for outcome, count in guards.items():
            self.text(
                self.pick(f"{outcome}: {counted(count, 'guard')}", f"{wording.OUTCOMES_ZH[outcome]}：{count} 个守卫"),
                INDENT,
            )

    def false(self, findings: list[Finding]) -> None:
        """What is not true on this torch, and what is true instead, a line each: ``--explain`` has the whole."""
        false = [finding for finding in findings if finding.verdict in FALSE]
        if not false:
            return
        told = self.pick(
            f"not true on this torch: {counted(len(false), 'claim')}; pytest --explain ID tells all about one",
            f"在这个 torch 上不成立的论断 {len(false)} 条；详情见 pytest --explain ID",
        )
        self.out.line("")
        self.text(told, bold=True)
        for finding in false:
            claim, columns = finding.claim, wording.width()
            says, truth = wording.sentence(claim, self.config), wording.truth(claim, self.config)
            self.out.line(wording.shortened(f"{claim.section} {claim.id}: {says}", columns))
            self.out.line("    " + wording.shortened(f"-> {truth}", columns - 4))
        self.out.line("")

    def table(self, findings: list[Finding]) -> None:
        """Verdicts by chapter: a column each, which 80 columns of a terminal hold."""
        chapters = self.spec.register.chapters
        counts = [
            Counter(one.verdict for one in findings if one.claim.section in chapter.sections) for chapter in chapters
        ]
        counts.append(sum(counts, Counter()))
        rows = [(self.pick("chapter", "章"), *(chapter.number for chapter in chapters), self.pick("all", "合计"))]
        rows.append((self.pick("claims", "论断"), *(count.total() for count in counts)))
        for verdict in VERDICTS:
            if counts[-1][verdict] or verdict in ("broken", "not tried"):
                rows.append((self.pick(*wording.VERDICTS[verdict]), *(count[verdict] for count in counts)))
        widest = max(wcswidth(row[0]) for row in rows)
        for name, *cells in rows:
            numbers = "".join(" " * (6 - wcswidth(str(cell))) + str(cell) for cell in cells)
            self.out.line(name + " " * (widest - wcswidth(name)) + numbers)
        beyond = sum(finding.claim.beyond for finding in findings)
        if beyond:
            notes = len(findings) - beyond
            self.out.line(
                self.pick(
                    f"{notes} claims of the notes, {beyond} beyond them",
                    f"笔记中的论断 {notes} 条，笔记之外 {beyond} 条",
                )
            )

    def broken(self, broken: list[Finding]) -> None:
        """A block each: the sentence, the most telling failure, how many more there are, and how to repeat it."""
        told = self.pick("broken: the run disagrees with the register", "不符：运行结果与登记的结论不一致")
        self.out.line(f"\n{told}", red=True, bold=True)
        for finding in broken:
            claim, (first, *others) = finding.claim, failures(finding)
            self.out.line(f"\n{claim.section}  {claim.id}", red=True, bold=True)
            if not self.spec.partial:  # else its card has just told
                self.sentences(claim)
            self.text(first.reason, INDENT, red=True)
            function = first.test.partition("[")[0]
            more = len({one.test.partition("[")[0] for one in others} - {function})
            if self.config.getoption("language") == "zh":
                self.text(f"测试：{wording.called(function, self.config)}", INDENT)
            told = self.pick(f", and in {more} more of its tests", f"，另有 {more} 个测试失败") * bool(more)
            self.text(self.pick("in ", "见 ") + function.rpartition("::")[2] + told, INDENT)
            self.out.line(f"{INDENT}{repeat(self.config, '--claim', claim.id)}")

    def refused(self, findings: list[Finding]) -> None:
        """Each cause once, those first that keep most claims from being tried all by themselves. "In part" are claims
        of which no more waits for the cause than members of a guard's populations, which were left out.
        """
        waiting: dict[str, set[str]] = defaultdict(set)  # claims by cause
        in_part: dict[str, set[str]] = defaultdict(set)
        words: dict[str, str] = {}
        met = [
            (finding.claim.id, claims, cause, reason)
            for finding in findings
            if finding.verdict != "broken"
            for one in finding.outcomes
            for claims, cause, reason in (
                *([(waiting, one.cause, one.reason)] if one.outcome == "refused" else []),
                *((in_part, cause, reason) for cause, reason, _ in one.without),
            )
        ]
        # what raised while a tensor was printed says no operator; another test may know which one says these words
        named = {reason: cause for _, _, cause, reason in met if cause != reason}
        for id, claims, cause, reason in met:
            cause = named.get(reason, cause)
            claims[cause].add(id)
            words.setdefault(cause, reason)
        causes = Counter(id for claims in waiting.values() for id in claims)
        alone = {cause: sum(causes[id] == 1 for id in waiting[cause]) for cause in words}
        if words:
            told = self.pick("refused: the device raises where the CPU passes", "设备拒绝：CPU 上通过，设备却抛出异常")
            self.out.line(f"\n{told}", yellow=True, bold=True)
        for cause in sorted(
            words, key=lambda cause: (-alone[cause], -len(waiting[cause]), -len(in_part[cause]), cause)
        ):
            told = "" if words[cause] == cause else f": {words[cause]}"
            all, part = len(waiting[cause]), len(in_part[cause] - waiting[cause])
            english = f"{counted(alone[cause], 'claim')} by this alone, {all} in all" + f", {part} in part" * (part > 0)
            chinese = f"仅因此 {alone[cause]} 条论断，共 {all} 条" + f"，部分受影响 {part} 条" * (part > 0)
            self.out.line(f"  {self.pick(english, chinese)}: {cause}{told}")

    def not_tried(self, findings: list[Finding]) -> None:
        by_reason: dict[str, list[str]] = defaultdict(list)
        in_part: Counter[str] = Counter()  # claims by reason, and which of their tests
        tests: dict[str, set[str]] = defaultdict(set)
        for finding in findings:
            if finding.verdict == "not tried":
                by_reason[finding.reason].append(finding.claim.id)
                continue
            aside = [outcome for outcome in finding.outcomes if outcome.outcome == "not tried"]
            in_part.update(dict.fromkeys((outcome.reason for outcome in aside), 1))
            for outcome in aside:
                tests[outcome.reason].add(outcome.test)
        if by_reason or in_part:
            self.out.line(self.pick("\nnot tried:", "\n未检验："))
        for reason, ids in by_reason.items():
            why = wording.reason(reason, self.config)
            self.text(self.pick(f"{counted(len(ids), 'claim')}: {why}", f"{len(ids)} 条论断：{why}"), "  ")
        for reason, count in in_part.items():
            without, why = len(tests[reason]), wording.reason(reason, self.config)
            english = f"{counted(count, 'claim')} tried, but without {counted(without, 'test')}: {why}"
            self.text(self.pick(english, f"另有 {count} 条论断少检验了 {without} 个测试：{why}"), "  ")

    def counterfeits(self) -> None:
        forged = self.recorder.counterfeits
        if not forged:
            return
        count = Counter(forgery.outcome for forgery in forged)
        self.out.line("")
        for outcome in ("survived", "invalid"):
            for forgery in sorted(forgery for forgery in forged if forgery.outcome == outcome):
                says = wording.sentence(self.spec.register.claims[forgery.claim], self.config)
                english = f"{outcome}: {forgery.name} of {forgery.claim}: {says}"
                chinese = f"{wording.FORGERIES_ZH[outcome]}：{forgery.claim} 的赝品 {self.forged(forgery)}：{says}"
                self.text(self.pick(english, chinese), red=True)
                self.text(forgery.detail, "    ")
        order = ("caught", "survived", "invalid", *["not tried"] * bool(count["not tried"]))
        english = f"{len(forged)} counterfeits: {', '.join(f'{count[one]} {one}' for one in order)}"
        chinese = f"赝品 {len(forged)} 个：{'，'.join(f'{wording.FORGERIES_ZH[one]} {count[one]} 个' for one in order)}"
        self.out.line(self.pick(english, chinese), bold=True)
        faults = {(forgery.name, forgery.outcome == "caught") for forgery in forged if forgery.reported}
        tried = {name for name, _ in faults} - {forgery.name for forgery in forged if forgery.outcome == "not tried"}
        caught = tried - {name for name, caught in faults if not caught}
        if faults:
            english = f"{len(caught)} of {counted(len(tried), 'fault')} that users reported are caught"
            chinese = f"其中用户报告过的故障 {len(tried)} 个，识破 {len(caught)} 个"
            self.out.line(self.pick(english, chinese), bold=True)

    def forged(self, forgery: Forgery) -> str:
        """A counterfeit's Chinese name, with the one in the code, by which it is found."""
        same = (one for one in self.spec.counterfeits if one.name == forgery.name and forgery.claim in one.claims)
        return f"“{wording.called(next(one.id for one in same), self.config)}”（{forgery.name}）"


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
