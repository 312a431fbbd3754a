"""Verdicts: what one run found, from the reports of its tests.

The reports arrive in the process that the user started, whether it runs the tests itself or hands them out to
workers. So the verdicts are made there, once, from the reports alone; a worker adds only what it knows of torch and
the device.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pytest

from harness import documents, environment, specification, wording
from harness.documents import SCHEMA, VERDICTS
from harness.register import Claim

OWN = ("claims", "cases", "counterfeit", "aside")  # the harness' own user properties; the others a test recorded
OWN_PROPERTIES = pytest.StashKey[int]()  # how many of an item's user properties are the harness' own, the first ones


@dataclass
class Outcome:
    """What one test did.

    ``outcome`` is passed, refuted (failed as expected), failed, error, refused (by the device: ``cause`` names the
    operator and its dtype, or repeats the error), not tried or not applicable; ``reason`` is why, unless it passed.
    Where the harness let the test stand aside, ``aside`` names what the run lacks ("cuda"), or is "not applicable".
    ``claims`` pairs each cited id with whether its truth line is meant; ``cases`` counts, for each of these ids, the
    cases of the test's function that cite it, 0 if unknown; ``seconds`` covers setup, call and teardown;
    ``measured`` is what the test recorded by pytest's ``record_property``. ``without`` lists what a test that passed
    was tried without (``harness.left_out``): a cause as above, its words, and how many members of its populations.
    """

    test: str
    claims: list[tuple[str, bool]]
    cases: dict[str, int]
    outcome: str = "not tried"  # until its call is reported: --setup-only, for one, never calls it
    reason: str = "it was set up but not called"
    cause: str = ""
    seconds: float = 0.0
    measured: dict = field(default_factory=dict)
    aside: str = ""
    without: list[tuple[str, str, int]] = field(default_factory=list)

    def add(self, report: pytest.TestReport) -> None:
        """Take in the report of one phase, or of a part of it (a subtest); the worst decides."""
        self.seconds += report.duration
        self.without += map(tuple, getattr(report, "without", ()))
        self.measured.update((name, value) for name, value in report.user_properties if name not in OWN)
        if self.outcome in ("failed", "error"):
            return
        if report.failed:
            self.outcome = "failed" if report.when == "call" else "error"
            self.cause = getattr(report, "cause", "")
            self.reason = "; ".join(filter(None, (getattr(report, name, "") for name in ("error", "on_cpu"))))
        elif hasattr(report, "refused"):
            self.outcome, (self.cause, self.reason) = "refused", report.refused
        elif report.skipped and hasattr(report, "wasxfail"):
            self.outcome, self.reason = "refuted", report.wasxfail
        elif report.skipped:
            text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.reason, self.aside = text.removeprefix("Skipped: "), dict(report.user_properties).get("aside", "")
            self.outcome = "not applicable" if self.aside == "not applicable" else "not tried"
        elif report.when == "call" and report.passed:  # not "rerun", as a plugin says
            self.outcome, self.reason = "passed", ""

    @property
    def ran(self) -> bool:
        """Whether the test came to a result."""
        return self.outcome not in ("not tried", "not applicable")


@dataclass
class Finding:
    """A claim's verdict in one run, why it is broken, refused or not tried, and the outcomes it rests on."""

    claim: Claim
    verdict: str
    reason: str = ""
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass(order=True)
class Forgery:
    """What came of a counterfeit: caught (by the test in ``detail``), survived, invalid or not tried (why).

    ``reported`` holds the addresses of public reports of the same fault.
    """

    name: str
    claim: str
    outcome: str
    detail: str
    reported: list[str] = field(default_factory=list)


class Recorder:
    """Collects the reports of a run and judges every claim at its end. Registered as a plugin."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.outcomes: dict[str, Outcome] = {}
        self.counterfeits: list[Forgery] = []
        self.environment: dict = {}
        self.lost: dict[str, str] = {}  # modules that were not collected, and why
        self.selected: set[str] = set()  # node ids of the tests that the run was to reach
        self.interrupted = ""  # what ended the run before its end
        self.written = ""  # what became of the document, in one line

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.stash[OWN_PROPERTIES] = len(item.user_properties)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item):
        """Fail a test that records what a document cannot hold, where it runs: the document itself comes too late."""
        report = yield
        own = item.stash.get(OWN_PROPERTIES, 0)
        for index, pair in reversed(list(enumerate(item.user_properties))):
            problem = _unrecordable(*pair) if index >= own else ""
            if problem:
                for properties in (item.user_properties, report.user_properties):
                    properties[:] = [other for other in properties if other is not pair]
                report.outcome, report.longrepr = "failed", f"record_property({pair[0]!r}, ...) {problem}"
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if report.when == "???":  # xdist's own report of a test that ended its worker, by a segmentation fault for one
            properties |= self._written(report.nodeid)
        if "counterfeit" in properties:
            self.counterfeits.append(Forgery(*properties["counterfeit"]))
        if "claims" in properties:
            claims = [(id, truth) for id, truth in properties["claims"]]
            self.outcomes.setdefault(report.nodeid, Outcome(report.nodeid, claims, properties["cases"])).add(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            last = reason.strip().rpartition("\n")[2].removeprefix("E ").strip()
            self.lost[report.nodeid.partition("::")[0]] = last.removeprefix("Skipped: ")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.selected.update(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self.selected.update(ids)

    def _written(self, nodeid: str) -> dict:
        """What a test cites, from its source: a worker that crashed has not told."""
        function = nodeid.partition("[")[0]
        tests = [test for test in specification.of(self.config).tests if test.id == function]
        claims = [(citation.claim, citation.truth) for test in tests for citation in test.citations]
        return {"claims": claims, "cases": dict.fromkeys((id for id, _ in claims), 0)} if claims else {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node) -> None:
        self.environment = getattr(node, "workeroutput", {}).get("environment", self.environment)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo) -> None:
        own = excinfo.errisinstance(KeyboardInterrupt)  # by Ctrl-C, which has no words, or by session.shouldstop
        self.interrupted = (str(excinfo.value) or "interrupted") if own else excinfo.exconly()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if specification.is_worker(self.config):
            self.config.workeroutput["environment"] = environment.of(self.config)
            return
        self.environment = self.environment or environment.of(self.config)
        if exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
            self.interrupted = self.interrupted or "interrupted"
        self.interrupted = self.interrupted or str(session.shouldfail or session.shouldstop or "")
        if self.interrupted and session.exitstatus == pytest.ExitCode.OK:  # by pytest.exit(..., returncode=0)
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        file = self.config.getoption("verdicts")
        if file and not self.config.getoption("collectonly"):
            self._store(file, session)

    def _store(self, file: str, session: pytest.Session) -> None:
        """Write the document, unless nothing was tried; a file that is there then stays."""
        say = wording.chosen(self.config)
        if not self.tried:
            english = f"verdicts: nothing was tried, so {file} was not written"
            self.written = say(english, f"结论：什么也没有检验，所以没有写 {file}")
            return
        try:
            documents.write(file, self.document())
        except OSError as error:
            english = f"verdicts: {file} cannot be written: {error.strerror}"
            self.written = say(english, f"结论：无法写入 {file}：{error.strerror}")
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = documents.CANNOT_WRITE
        else:
            early, early_zh = (
                f" (of a run that did not end: {self.interrupted})",
                f"（运行没有结束：{self.interrupted}）",
            )
            self.written = say("verdicts: ", "结论：") + file + say(early, early_zh) * bool(self.interrupted)

    @property
    def tried(self) -> bool:
        """Whether any test came to a result."""
        return any(outcome.ran for outcome in self.outcomes.values())

    def findings(self) -> list[Finding]:
        """Every claim's finding, in the notes' order."""
        spec = specification.of(self.config)
        outcomes_of: dict[str, list[Outcome]] = defaultdict(list)
        for test in sorted(self.outcomes):
            for id in dict.fromkeys(id for id, _ in self.outcomes[test].claims):
                outcomes_of[id].append(self.outcomes[test])
        missed = {test.partition("[")[0] for test in self.selected.difference(self.outcomes)}
        lost = self.lost | dict.fromkeys(missed if self.interrupted else (), f"not reached: {self.interrupted}")
        return [
            judge(claim, outcomes_of[claim.id], spec, self.environment["torch"], lost)
            for claim in spec.register.claims.values()
        ]

    def document(self) -> dict:
        """The run as plain data. Equal for equal runs but for ``host``, ``measured`` and ``times``."""
        findings = self.findings()
        totals = Counter(finding.verdict for finding in findings)
        forged: dict[str, list[Forgery]] = defaultdict(list)
        for forgery in sorted(self.counterfeits):
            forged[forgery.claim].append(forgery)
        tests = [self.outcomes[test] for test in sorted(self.outcomes)]
        return {
            "schema": SCHEMA,
            **{name: value for name, value in self.environment.items() if name != "host"},
            "interrupted": self.interrupted,
            "totals": {verdict: totals[verdict] for verdict in VERDICTS},
            "claims": [documents.claim_entry(finding, forged[finding.claim.id]) for finding in findings],
            "host": self.environment["host"],
            "measured": {outcome.test: outcome.measured for outcome in tests if outcome.measured},
            "times": _times(tests),
        }


def _times(tests: list[Outcome]) -> dict[str, float]:
    """Seconds by test function, all its cases together."""
    times: dict[str, float] = defaultdict(float)
    for outcome in tests:
        times[outcome.test.partition("[")[0]] += outcome.seconds
    return {test: round(seconds, 3) for test, seconds in times.items()}


def _unrecordable(name: str, value: object) -> str:
    """What is wrong with what a test recorded, as the end of a line; an empty text if nothing is."""
    if name in OWN:
        return "takes another name: this one is the harness' own"
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        return f"takes finite numbers, texts, lists and dicts: {error}"
    return ""


def judge(
    claim: Claim,
    outcomes: list[Outcome],
    spec: specification.Specification,
    torch_version: str,
    lost: Mapping[str, str] = MappingProxyType({}),
) -> Finding:
    """The verdict that ``outcomes`` support; ``lost`` maps modules that were not collected, and tests that
    were not reached, to the reason.

    ``broken`` if any test disagrees with the register; else ``refused`` if the device refused any. ``not tried``
    unless every test of the claim was selected and at least one of each kind (statement; truth where it applies) ran.
    Otherwise what the register expects on this torch, now confirmed. So a test that stands aside (one marked ``cuda``
    that repeats a claim at full size, say) leaves its claim tried by the others, and is itself listed and counted as
    not tried.
    """
    for verdict, kinds in (("broken", ("failed", "error")), ("refused", ("refused",))):
        reasons = [outcome.reason for outcome in outcomes if outcome.outcome in kinds]
        if reasons:
            return Finding(claim, verdict, reasons[0], outcomes)
    functions = {test.id for test in spec.tests_of[claim.id]}
    whole = functions & tested(claim, outcomes)
    if not outcomes:
        why = [lost[name] for test in spec.tests_of[claim.id] for name in (test.module, test.id) if name in lost]
        return Finding(claim, "not tried", why[0] if why else "not selected")
    if len(whole) < len(functions):
        return Finding(claim, "not tried", f"only {len(whole)} of its {len(functions)} tests ran to the end", outcomes)
    for kind in claim.kinds(torch_version):
        of_kind = [outcome for outcome in outcomes if (claim.id, kind == "truth") in outcome.claims]
        if not any(outcome.ran for outcome in of_kind):
            return Finding(claim, "not tried", of_kind[0].reason, outcomes)
    return Finding(claim, claim.expected(torch_version), "", outcomes)


def tested(claim: Claim, outcomes: list[Outcome]) -> set[str]:
    """The test functions of a claim all of whose cases were reported."""
    ran = Counter(outcome.test.partition("[")[0] for outcome in outcomes)
    cases = {outcome.test.partition("[")[0]: outcome.cases[claim.id] for outcome in outcomes}
    return {function for function in ran if ran[function] == cases[function]}
