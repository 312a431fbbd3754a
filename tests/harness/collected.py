"""What is written is what is collected, and what was collected is what is tried; ``--require all`` asks for the whole.

The gate reads the test modules as text. Here that is held against what pytest makes of them, so that no test is lost in
silence: one in a class that pytest passes over, or one that only looks like a test of the gate's.
"""

from collections import Counter, defaultdict

import pytest

from harness import counterfeits, devices, specification
from harness.verdicts import Finding, Forgery, Recorder, tested

ALL = "all"  # what --require calls every claim that the device can try


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    """Let a module, or a class, whose tests are not the ones that the gate read fail, in one line."""
    report = yield
    if report.passed and isinstance(collector, pytest.Module | pytest.Class):
        problem = difference(collector, report.result)
        if problem:
            report.outcome, report.longrepr, report.result = "failed", problem, []
    return report


def difference(collector: pytest.Collector, nodes: list[pytest.Item | pytest.Collector]) -> str:
    """Which test is written but not collected, or collected but not read; an empty text if there is none."""
    module, *classes = collector.nodeid.split("::")
    spec = specification.of(collector.config)
    tests = [test for test in spec.tests if test.module == module]
    if not tests:
        return ""
    depth = len(classes)
    written = {test.name.split("::")[depth]: test for test in tests if test.name.split("::")[:depth] == classes}
    there = {getattr(node, "originalname", None) or node.name for node in nodes}
    for name in written.keys() - there:
        test = written[name]
        why = "a class with __init__, __test__ = False, or a name that pytest was told not to look for"
        return f"{module}:{test.line}: {test.name} is written here, but pytest does not collect it: {why}"
    for name in there - written.keys():
        where = "in a class whose name begins with Test, each in its own" if classes else "at the top of the module"
        return f"{collector.nodeid}: the gate did not read {name}; write it {where}"
    return ""


def unproved(findings: list[Finding], config: pytest.Config) -> dict[str, list[str]]:
    """The claims that the device can try and that were not tried, or not by all of their tests: ids by reason."""
    spec = specification.of(config)
    by_reason: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        claim, reason = finding.claim, ""
        ran = tested(claim, finding.outcomes)
        lost = [test.id for test in spec.tests_of[claim.id] if test.id not in ran]
        own = [one.reason for one in finding.outcomes if one.outcome == "not tried" and not excused(one.aside)]
        if lost and not (claim.needs and devices.lacks(claim.needs, config) and not finding.outcomes):
            reason = finding.reason or f"{lost[0]} did not run"
        elif own:
            reason = own[0]
        if reason:
            by_reason[reason].append(claim.id)
    return by_reason


def excused(aside: str) -> bool:
    """Whether a test stood aside for something that only another device has, or for another torch."""
    return bool(aside) and aside not in NOT_OF_THE_DEVICE


NOT_OF_THE_DEVICE = ("fashion-mnist", "package")


def unplanted(found: list[Forgery], findings: list[Finding], config: pytest.Config, torch_version: str) -> list[str]:
    """The counterfeits that a run with ``--counterfeits`` should have planted and did not, or not on any test."""
    spec = specification.of(config)
    if not config.getoption("counterfeits"):
        return []
    wanted = Counter(
        (one.name, id) for one in spec.counterfeits for id in one.claims if id in counterfeits.to_plant(config)
    )
    planted = Counter((one.name, one.claim) for one in found)
    untried = {finding.claim.id for finding in findings if finding.verdict == "not tried"}
    idle = [
        f"{one.name} of {one.claim}: {one.detail}"
        for one in found
        if one.outcome == "not tried"
        and one.detail not in devices.REASONS.values()
        and one.claim not in untried
        and spec.register.claims[one.claim].expected(torch_version) == spec.register.claims[one.claim].verdict
    ]
    return [f"{name} of {id}: not planted" for name, id in (wanted - planted).elements()] + idle


class Whole:
    """Fails a run under ``--require all`` that left untried what its device can try. Registered beside the Recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.lines: list[str] = []

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        config = session.config
        if ALL not in config.getoption("require") or specification.is_worker(config):
            return
        findings = self.recorder.findings()
        for reason, ids in unproved(findings, config).items():
            more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            self.lines.append(f"{', '.join(ids[:SHOWN])}{more}: {reason}")
        torch_version = self.recorder.environment["torch"]
        self.lines += unplanted(self.recorder.counterfeits, findings, config, torch_version)
        if self.lines and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.lines:
            terminalreporter.line("\n--require all: this device can try, and did not", red=True, bold=True)
        for line in self.lines:
            terminalreporter.line(f"  {line}", red=True)


SHOWN = 5  # ids by reason: enough to find the cause
