"""What a run says in the terminal: a table by chapter, what broke, what was not tried and why; the whole book with
``--book``.
"""

import shlex
from collections import Counter, defaultdict

import pytest

from harness import devices, explain, specification
from harness.documents import VERDICTS
from harness.verdicts import Finding, Forgery, Recorder

COLOURS = {
    "holds": "green",
    "caveat": "yellow",
    "superseded": "yellow",
    "mistaken": "yellow",
    "not yet": "yellow",
    "broken": "red",
    "refused": "yellow",
}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Under a failure, name the claims that the test tries, and the command that repeats just this test.

    This wrapper must see the outcome that ``expectations`` settles: of two that say tryfirst, the one registered last
    is the outer one.
    """
    report = yield
    claims = specification.of(item.config).register.claims
    for id, truth in dict(report.user_properties).get("claims", []) if report.failed else []:
        claim = claims[id]
        says = f"truth: {claim.truth}" if truth else claim.says
        text = f"{claim.id} (section {claim.section}, {claim.verdict})\n{says}\nrepeat: {command(item)}"
        report.sections.append(("claim", text))
    return report


def command(item: pytest.Item) -> str:
    """The shell command that runs one test again as this run did."""
    option = item.config.getoption
    defaults = {"--seed": 0, "--device-module": None, "--device": "cpu", "--sim-lacks": None, "--sim-async": False}
    options = {name: option(name.removeprefix("--").replace("-", "_")) for name in defaults}
    options["--device"] = devices.under_test(item.config)
    given = [
        name if value is True else f"{name}={shlex.quote(str(value))}"
        for name, value in options.items()
        if value != defaults[name]
    ]
    return " ".join(["pytest", shlex.quote(item.nodeid), *given])


class Summary:
    """Prints the verdicts at the end of a run. Registered as a plugin beside the Recorder that it reads."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        if config.getoption("collectonly"):
            return
        if config.getoption("pages"):
            ran = _count(len(self.recorder.outcomes), "lesson")
            terminalreporter.line(f"{ran} ran without their guards: no verdicts; leave out --pages for them")
            return
        if self.recorder.outcomes:
            self._findings(terminalreporter, config)
        if self.recorder.written:
            terminalreporter.line(f"\n{self.recorder.written}")

    def _findings(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        findings = self.recorder.findings()
        tried = [finding for finding in findings if finding.outcomes]
        if config.getoption("book"):
            _book(terminalreporter, tried, specification.of(config))
        _table(terminalreporter, findings, self.recorder.environment, specification.of(config))
        _broken(terminalreporter, tried)
        _refused(terminalreporter, tried)
        _not_tried(terminalreporter, findings)
        _counterfeits(terminalreporter, self.recorder.counterfeits, specification.of(config))


def _book(out: pytest.TerminalReporter, findings: list[Finding], spec: specification.Specification) -> None:
    for chapter in spec.register.chapters:
        in_chapter = [finding for finding in findings if finding.claim.section in chapter.sections]
        if in_chapter:
            out.section(f"{chapter.number} {chapter.title}", sep="=", bold=True)
        for section, titles in chapter.sections.items():
            in_section = [finding for finding in in_chapter if finding.claim.section == section]
            if in_section:
                out.line(f"\n{section} {titles[0]}\n", bold=True)
            for finding in in_section:
                _entry(out, finding)


def _entry(out: pytest.TerminalReporter, finding: Finding) -> None:
    claim = finding.claim
    out.write(f"{finding.verdict:>10}  ", **{COLOURS.get(finding.verdict, "light"): True})
    indent = " " * 12
    out.write("\n".join(explain.wrap(claim.says, indent)).lstrip() + "\n")
    if claim.truth and finding.verdict not in ("holds", "not tried"):
        out.write("\n".join(explain.wrap(f"-> {claim.truth}", indent)) + "\n")
    if finding.reason:
        out.write(f"{indent}({finding.reason})\n")
    out.write(f"{indent}{claim.id}\n", light=True)


def _table(
    out: pytest.TerminalReporter, findings: list[Finding], environment: dict, spec: specification.Specification
) -> None:
    device = environment["device"] + (" (simulated)" if environment["simulated"] else "")
    out.section(f"torch {environment['torch']} on {device}, seed {environment['seed']}", sep="=")
    counts = {chapter.number: Counter() for chapter in spec.register.chapters}
    for chapter in spec.register.chapters:
        counts[chapter.number].update(
            finding.verdict for finding in findings if finding.claim.section in chapter.sections
        )
    total = sum(counts.values(), Counter())
    shown = [verdict for verdict in VERDICTS if total[verdict] or verdict in ("broken", "not tried")]
    width = max(len(f"{chapter.number} {chapter.title}") for chapter in spec.register.chapters)
    rows = [("", "claims", *shown)]
    for chapter in spec.register.chapters:
        count = counts[chapter.number]
        rows.append((f"{chapter.number} {chapter.title}", count.total(), *(count[verdict] for verdict in shown)))
    rows.append(("all", total.total(), *(total[verdict] for verdict in shown)))
    beyond = sum(finding.claim.beyond for finding in findings)
    for row in rows:
        out.line(
            f"{row[0]:<{width}}  "
            + "  ".join(f"{cell:>{len(name)}}" for cell, name in zip(row[1:], rows[0][1:], strict=True))
        )
    if beyond:
        out.line(f"{len(findings) - beyond} claims of the notes, {beyond} beyond them")


def _broken(out: pytest.TerminalReporter, findings: list[Finding]) -> None:
    broken = [finding for finding in findings if finding.verdict == "broken"]
    if broken:
        out.line("\nbroken: the run disagrees with the register", red=True, bold=True)
    for finding in broken:
        out.line(f"  {finding.claim.section}  {finding.claim.id}: {finding.claim.says}", red=True)
        out.line(f"      {finding.reason}")


def _refused(out: pytest.TerminalReporter, findings: list[Finding]) -> None:
    """Each cause once, those first that keep most claims from being tried all by themselves. "In part" are claims of
    which no more waits for the cause than members of a guard's populations, which were left out.
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
        out.line("\nrefused: the device raises where the CPU passes", yellow=True, bold=True)
    for cause in sorted(words, key=lambda cause: (-alone[cause], -len(waiting[cause]), -len(in_part[cause]), cause)):
        told = "" if words[cause] == cause else f": {words[cause]}"
        part = len(in_part[cause] - waiting[cause])
        count = f"{_count(alone[cause], 'claim')} by this alone, {len(waiting[cause])} in all"
        out.line(f"  {count}{f', {part} in part' * (part > 0)}: {cause}{told}")


def _not_tried(out: pytest.TerminalReporter, findings: list[Finding]) -> None:
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
        out.line("\nnot tried:")
    for reason, ids in by_reason.items():
        out.line(f"  {_count(len(ids), 'claim')}: {reason}")
    for reason, count in in_part.items():
        without = _count(len(tests[reason]), "test")
        out.line(f"  {count} of the claims above {'are' if count > 1 else 'is'} tried without {without}: {reason}")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def _counterfeits(out: pytest.TerminalReporter, forged: list[Forgery], spec: specification.Specification) -> None:
    if not forged:
        return
    count = Counter(forgery.outcome for forgery in forged)
    out.line("")
    for outcome in ("survived", "invalid"):
        for forgery in sorted(forgery for forgery in forged if forgery.outcome == outcome):
            out.line(
                f"{outcome}: {forgery.name} of {forgery.claim}: {spec.register.claims[forgery.claim].says}", red=True
            )
            out.line(f"    {forgery.detail}")
    untried = f", {count['not tried']} not tried" * bool(count["not tried"])
    told = f"{count['caught']} caught, {count['survived']} survived, {count['invalid']} invalid{untried}"
    out.line(f"{len(forged)} counterfeits: {told}", bold=True)
    faults = {(forgery.name, forgery.outcome == "caught") for forgery in forged if forgery.reported}
    tried = {name for name, _ in faults} - {forgery.name for forgery in forged if forgery.outcome == "not tried"}
    caught = tried - {name for name, caught in faults if not caught}
    if faults:
        out.line(f"{len(caught)} of {_count(len(tried), 'fault')} that users reported are caught", bold=True)
