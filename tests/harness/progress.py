"""How far a run is, by section and claim: a claim counts when its last test has ended.

Below pytest's own dots a section tells in one line when its last claim has come to its end, how many are broken, and of
how many no test could run; with ``-v`` each claim does. It is what ``pytest_report_teststatus`` says of the teardown of
that test, of which pytest says nothing. ``-q`` has dots alone, for scripts that read them; where ``--claim`` chose, the
cards tell more.
"""

from collections import defaultdict

import pytest

from harness import specification, wording
from harness.verdicts import Recorder


class Progress:
    """Counts claims as their tests end. Registered beside the Recorder that knows what the run was to reach."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder, self.config = recorder, recorder.config
        self.waiting: dict[str, set[str]] = {}  # node ids of a claim's tests that have not ended, by claim
        self.claims: dict[str, list[str]] = {}  # ids of the claims that a test tries, by node id
        self.sections: dict[str, list[str]] = defaultdict(list)  # claims that have tests in this run, by section
        self.tried: set[str] = set()
        self.broken: set[str] = set()
        self.told: dict[str, tuple[str, str, bool]] = {}  # by node id: what its end completed (see ``lines``)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self.claims:
            self.expect()
        claims = self.claims.get(report.nodeid, [])
        if report.when == "call" and (not report.skipped or hasattr(report, "wasxfail")):
            self.tried.update(claims)
        if report.failed:
            self.broken.update(claims)
        if report.when not in ("teardown", "???"):  # the latter of a test that ended its worker
            return
        for id in claims:
            self.waiting[id].discard(report.nodeid)
        whole = [id for id in claims if not self.waiting[id]]
        if whole:
            self.told[report.nodeid] = self.lines(whole)

    def expect(self) -> None:
        """Note which claims' tests this run is to reach: all that were selected, by whichever worker."""
        spec = specification.of(self.config)
        cited = {test.id: [citation.claim for citation in test.citations] for test in spec.tests}
        for test in self.recorder.selected:
            self.claims[test] = list(dict.fromkeys(cited.get(test.partition("[")[0], ())))
            for id in self.claims[test]:
                self.waiting.setdefault(id, set()).add(test)
        for id, claim in spec.register.claims.items():
            if id in self.waiting:
                self.sections[claim.section].append(id)

    def lines(self, whole: list[str]) -> tuple[str, str, bool]:
        """What to say of claims whose last test has ended: of their section if all of it has, of the claims, and
        whether anything in the section is broken.
        """
        section = specification.of(self.config).register.claims[whole[0]].section
        claims, pick = self.sections[section], wording.chosen(self.config)
        done, broken = sum(not self.waiting[id] for id in claims), len(self.broken.intersection(claims))
        untried = sum(not self.waiting[id] for id in claims if id not in self.tried | self.broken)
        count = pick(f"{done} of {len(claims)} claims", f"{done}/{len(claims)} 条论断")
        count += pick(f", {untried} not tried", f"，{untried} 条未检验") * bool(untried)
        count += pick(f", {broken} broken", f"，{broken} 条不符") * bool(broken)
        return f"{section}  {count}" * (done == len(claims)), f"{section}  {', '.join(whole)}: {count}", bool(broken)

    def pytest_report_teststatus(self, report: pytest.TestReport, config: pytest.Config):
        """The line at the end of a section, with -v that of a claim; nothing else is told otherwise."""
        line, word, broken = self.told.get(report.nodeid, ("", "", False))
        if report.when != "teardown" or not report.passed or not (word if config.get_verbosity() > 0 else line):
            return None
        begun = config.get_terminal_writer().width_of_current_line > 0
        after = "\n" if config.getoption("tx", None) else " "  # workers' dots go on at once: no module leads them
        return "", "\n" * begun + line + after, (word, {"red" if broken else "green": True})
