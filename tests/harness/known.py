"""``--known-limits=FILE``: what a backend is known not to do yet, so that only what is new fails a run.

The file is TOML; each limit has its reason, and each is held to: a limit that is none any more fails the run, too::

    [claims]
    "tied-weights-train-as-one" = "parameters are copied one by one"

    [operators]
    "aten::sort" = "planned for the next release"
    "aten::abs of float64" = "there is no double precision unit"
"""

import tomllib
from pathlib import Path

import pytest

from harness import specification
from harness.register import closest
from harness.verdicts import Outcome, Recorder

TABLES = ("claims", "operators")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("specification").addoption(
        "--known-limits",
        metavar="FILE",
        help="--known-limits=FILE: claims and operators that are known to fail on this device, with reasons, as TOML; "
        "they fail the run no longer, but one that passes does",
    )


def read(file: str, config: pytest.Config) -> dict[str, dict[str, str]]:
    """The limits by table. Raises pytest.UsageError, in one line, for a file that is not as above."""
    try:
        found = tomllib.loads(Path(file).read_text("utf8"))
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--known-limits: {file} cannot be read: {error}") from None
    claims = specification.of(config).register.claims
    for table, limits in found.items():
        if table not in TABLES or not isinstance(limits, dict):
            raise pytest.UsageError(f"--known-limits: {file} has tables [claims] and [operators], not {table!r}")
        for name, reason in limits.items():
            if not (isinstance(reason, str) and reason.strip()):
                raise pytest.UsageError(f"--known-limits: {file}: {name!r} needs a reason")
            if table == "claims" and name not in claims:
                raise pytest.UsageError(f"--known-limits: {file}: no claim is called {name!r}{closest(name, claims)}")
    return {table: found.get(table, {}) for table in TABLES}


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("known_limits") is None or specification.is_worker(config):
        return
    config.pluginmanager.register(Known(read(config.getoption("known_limits"), config), config))


class Known:
    """Judges a run by what is new in it. Registered in the process that the user started."""

    def __init__(self, limits: dict[str, dict[str, str]], config: pytest.Config) -> None:
        self.limits, self.config = limits, config
        self.lines: list[str] = []
        self.met = 0

    def expected(self, outcome: Outcome) -> bool:
        """Whether a test that failed, or was refused, is of a known claim or for want of a known operator."""
        return all(id in self.limits["claims"] for id, _ in outcome.claims) or bool(self.operators(outcome))

    def operators(self, outcome: Outcome) -> set[str]:
        """The known operators that a test met, "aten::abs.out of float64": by name, with overload, with dtype."""
        named: set[str] = set()
        for cause in (outcome.cause, *(cause for cause, _, _ in outcome.without)):
            operator, _, dtype = cause.partition(" of ")
            plain = operator.partition(".")[0]
            named |= {operator, plain, f"{plain} of {dtype}", cause}
        return named & self.limits["operators"].keys()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        recorder = next(one for one in self.config.pluginmanager.get_plugins() if isinstance(one, Recorder))
        failed = [one for one in recorder.outcomes.values() if one.outcome in ("failed", "error")]
        refused = [one for one in recorder.outcomes.values() if one.outcome == "refused"]
        self.met = sum(map(self.expected, failed + refused))
        for finding in recorder.findings():
            if finding.claim.id in self.limits["claims"] and finding.verdict not in ("broken", "refused", "not tried"):
                self.lines.append(f"claim {finding.claim.id} is {finding.verdict}, as it should be")
        lacked = {name for one in recorder.outcomes.values() for name in self.operators(one)}
        whole = not specification.of(self.config).partial and not recorder.interrupted
        for operator in self.limits["operators"].keys() - lacked if whole else ():
            self.lines.append(f"operator {operator} was refused to no test")
        if session.exitstatus == pytest.ExitCode.TESTS_FAILED and failed and all(map(self.expected, failed)):
            session.exitstatus = pytest.ExitCode.OK
        if self.lines and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        file = self.config.getoption("known_limits")
        terminalreporter.line(f"\nknown limits: {self.met} test{'s' * (self.met != 1)} did what {file} says")
        if self.lines:
            terminalreporter.line("no limits any more: take them out of the file", red=True, bold=True)
        for line in sorted(self.lines):
            terminalreporter.line(f"  {line}", red=True)
