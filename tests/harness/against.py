"""``--against``: what differs from an older run, after this run, or between two documents without one (``--read``)."""

import json
from pathlib import Path

import pytest

from harness import compare, documents, pagefile, specification, wording
from harness.specification import Specification
from harness.verdicts import Recorder


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("specification")
    group.addoption("--against", metavar="FILE", help="--against=FILE: say what differs from this verdict document")
    group.addoption(
        "--fail-on",
        choices=("change", "broken"),
        help="with --against: exit code 1 on any change, or where a claim is broken",
    )
    group.addoption(
        "--changes",
        action="append",
        default=[],
        metavar="FILE",
        help="--changes=FILE.md or FILE.json: write what differs there too; repeatable",
    )
    group.addoption(
        "--report", metavar="FILE", help="--report=FILE.html: write the run as one page that needs nothing else"
    )
    group.addoption(
        "--read",
        metavar="FILE",
        help="--read=FILE: run nothing; take this verdict document for --against or --report",
    )


def check(config: pytest.Config) -> None:
    """Raise pytest.UsageError for options that do not go together, or name files that cannot be written."""
    option = config.getoption
    for name in ("fail_on", "changes"):
        if option(name) and not option("against"):
            raise pytest.UsageError(f"--{name.replace('_', '-')}: goes with --against=FILE")
    if option("read") and not (option("against") or option("report")):
        raise pytest.UsageError("--read: goes with --against=FILE or --report=FILE")
    if option("pages") and (option("against") or option("report")):
        raise pytest.UsageError("--pages gives no verdicts: leave out --against and --report, or --pages")
    for file in option("changes"):
        if Path(file).suffix not in (".md", ".json"):
            raise pytest.UsageError(f"--changes: {file!r} ends neither in .md nor in .json")
    for name, files in {"changes": option("changes"), "report": [option("report")]}.items():
        for file in filter(None, files):
            try:
                documents.check_target(file)
            except ValueError as error:
                raise pytest.UsageError(f"--{name}: {error}") from None


def stored(config: pytest.Config, name: str) -> dict | None:
    """The document that an option names, or None. Raises pytest.UsageError where it is none."""
    file = config.getoption(name)
    try:
        return documents.read(file) if file else None
    except documents.Mistake as mistake:
        raise pytest.UsageError(f"--{name}: {mistake}") from None


class Comparison:
    """A document, beside an older one if there is any: told in lines, written to files, and judged."""

    def __init__(self, config: pytest.Config, old: dict | None, new: dict, spec: Specification) -> None:
        self.option, self.old, self.new, self.spec = config.getoption, old, new, spec
        chosen = spec.chosen if spec.partial else None
        self.found = compare.changes(old, new, spec.register, chosen) if old else None
        self.problems: list[str] = []

    def lines(self) -> list[str]:
        """What differs, for the terminal: one line where nothing does."""
        if self.old is None:
            return []
        chinese, title = self.option("language") == "zh", compare.title(self.old, self.new, self.found)
        told = f"与 {self.option('against')} 相比：{title}" if chinese else f"against {self.option('against')}: {title}"
        if not compare.any_of(self.found):
            return [told + ("：没有变化" if chinese else ": nothing changed")]
        changed = compare.lines(self.found, self.spec if chinese else None)
        shown = [part for line in changed for part in _wrapped(line)]
        return [told, *(f"  {line}" for line in shown)]

    def write(self) -> None:
        """Write the files that ``--changes`` and ``--report`` name; each that cannot be written is a problem."""
        texts = {}
        for file in self.option("changes"):
            as_json = json.dumps(self.found, indent=1, ensure_ascii=False) + "\n"
            markdown = Path(file).suffix == ".md"
            texts[file] = compare.markdown(self.old, self.new, self.found) if markdown else as_json
        if self.option("report"):
            texts[self.option("report")] = pagefile.page(self.new, self.spec, self.option("language") == "zh")
        for file, text in texts.items():
            try:
                documents.replace(file, text)
            except OSError as error:
                self.problems.append(f"{file} cannot be written: {error.strerror}")

    @property
    def fails(self) -> bool:
        """Whether ``--fail-on`` turns what was found into failure."""
        on = self.option("fail_on")
        return (on == "change" and compare.any_of(self.found)) or (on == "broken" and compare.any_broken(self.new))


def _wrapped(line: str) -> list[str]:
    """A line of the comparison, broken where it is too long; its continuation keeps the indent."""
    indent = line[: len(line) - len(line.lstrip())]
    return wording.wrap(line.strip(), indent) if indent else [line]


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer ``--read`` and end; otherwise let pytest go on."""
    if not config.getoption("read"):
        return None
    check(config)
    new, old = stored(config, "read"), stored(config, "against")
    comparison = Comparison(config, old, new, specification.read(config))
    comparison.write()
    print("\n".join([*comparison.lines(), *comparison.problems]))
    if comparison.fails:
        return pytest.ExitCode.TESTS_FAILED
    return documents.CANNOT_WRITE if comparison.problems else pytest.ExitCode.OK


class Against:
    """Compares a run when it has ended. Registered beside the Recorder."""

    def __init__(self, recorder: Recorder) -> None:
        check(recorder.config)
        self.recorder = recorder
        self.old = stored(recorder.config, "against")
        self.comparison: Comparison | None = None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        option = session.config.getoption
        wanted = self.old or option("report")
        if not wanted or specification.is_worker(session.config) or not self.recorder.tried:
            return
        spec = specification.of(session.config)
        comparison = Comparison(session.config, self.old, self.recorder.document(), spec)
        comparison.write()
        if session.exitstatus == pytest.ExitCode.OK:
            if comparison.fails:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            elif comparison.problems:
                session.exitstatus = documents.CANNOT_WRITE
        self.comparison = comparison

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.comparison:
            for line in ["", *self.comparison.lines(), *self.comparison.problems]:
                terminalreporter.line(line)
        elif self.old:
            terminalreporter.line("\nagainst: nothing was tried, so nothing was compared")
