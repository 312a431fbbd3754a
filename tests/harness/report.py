"""When a run speaks: below a failure of the claims that the test tries, and at its end (``told``) of what it found."""

import pytest

from harness import specification, wording
from harness.told import Told, counted, failures, repeat
from harness.verdicts import Recorder


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Under a failure, name the claims that the test tries, and the command that repeats just this test.

    This wrapper must see the outcome that ``expectations`` settles: of two that say tryfirst, the one registered last
    is the outer one.
    """
    report = yield
    claims = specification.of(item.config).register.claims
    for id, truth in dict(report.user_properties).get("claims", []) if report.failed else []:
        claim, again = claims[id], repeat(item.config, item.nodeid)
        says = f"truth: {claim.truth}" if truth else claim.says
        lines = [f"{claim.id} (section {claim.section}, {claim.verdict})", *wording.wrap(says), f"repeat: {again}"]
        if item.config.getoption("language") == "zh":
            says = f"真相：{claim.truth_zh}" if truth else claim.says_zh
            head = f"{claim.id}（{claim.section} 节，{wording.VERDICTS[claim.verdict][1]}）"
            lines = [head, *wording.wrap(says), f"测试：{wording.called(item.nodeid, item.config)}", f"重跑：{again}"]
        report.sections.append(("claim", "\n".join(lines)))
    return report


class Summary:
    """Prints the verdicts at the end of a run. Registered as a plugin beside the Recorder that it reads."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        if config.getoption("collectonly"):
            return
        if config.getoption("pages"):
            ran = len(self.recorder.outcomes)
            english = f"{counted(ran, 'lesson')} ran without their guards: no verdicts; leave out --pages for them"
            chinese = f"只运行了 {ran} 课，没有运行守卫，所以没有结论；要得出结论，请去掉 --pages"
            terminalreporter.line(wording.chosen(config)(english, chinese))
            return
        if self.recorder.outcomes:
            hide(terminalreporter, config, self.recorder, set())  # what pytest lists next would repeat what Broken says
            Told(terminalreporter, config, self.recorder).findings()
        if self.recorder.written:
            terminalreporter.line(f"\n{self.recorder.written}")


class Broken:
    """Tells each broken claim once. Of its failures pytest shows the most telling one, unless ``--tb`` asks for all;
    and where all else has been said, the claim itself is told, in a few lines. Registered beside the Recorder.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config):
        judged = bool(self.recorder.outcomes) and not (config.getoption("pages") or config.getoption("collectonly"))
        broken = [one for one in self.recorder.findings() if one.verdict == "broken"] if judged else []
        kept = {kind: terminalreporter.stats.get(kind, []) for kind in ("failed", "error")}
        if broken:
            hide(terminalreporter, config, self.recorder, {failures(finding)[0].test for finding in broken})
        result = yield
        terminalreporter.stats.update({kind: reports for kind, reports in kept.items() if reports})
        if broken:
            Told(terminalreporter, config, self.recorder).broken(broken)
        return result


def hide(out: pytest.TerminalReporter, config: pytest.Config, recorder: Recorder, shown: set[str]) -> None:
    """Keep failures of claims from pytest's own lists, but for the tests in ``shown``; with ``--tb`` keep none."""
    if config.getoption("tbstyle") == "auto":
        for kind in ("failed", "error"):
            reports = out.stats.get(kind, [])
            out.stats[kind] = [one for one in reports if one.nodeid not in recorder.outcomes or one.nodeid in shown]
