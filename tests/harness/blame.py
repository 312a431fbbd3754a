"""Three ways to fail on a device, told apart, so that a claim breaks only if the device fails what the claim says.

*Lacking*: the test uses a dtype that the device does not have (``harness.capabilities``). It is not tried.
*Refused*: the device raises where the same test passes on the CPU. The claim is neither confirmed nor broken.
*Wrong*: an assertion of the test failed, or it fails on the CPU too. The claim is broken.

``--require operators`` turns the first two into failure.
"""

import pytest
from _pytest.runner import runtestprotocol

from harness import capabilities, devices, diagnosis, endurance, randomness, refusals
from harness.devices import OPERATORS


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test of an accelerator as pytest does, and look into its failure before anybody is told."""
    if not isinstance(item, pytest.Function) or devices.device_for(item) == "cpu" or item.config.getoption("usepdb"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    with randomness.settings_kept():  # before it may run again
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in [report for report in reports if report.failed]:
        judge(item, report)
    item.stash[diagnosis.LOCALS] = {}  # tensors would stay in the memory of the device
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Give a failed report the first line of its ``error``, and keep the test's variables."""
    report = yield
    if call.excinfo is not None:
        report.error = diagnosis.first_line(call.excinfo.value)
        code = diagnosis.code_of(item)
        frames = [entry.frame for entry in call.excinfo.traceback if entry.frame.code.raw is code]
        if frames and devices.device_for(item) != "cpu":
            item.stash[diagnosis.LOCALS] = dict(frames[0].f_locals)
    elif report.failed:
        report.error = diagnosis.first_line(str(report.longrepr))
    return report


def judge(item: pytest.Item, report: pytest.TestReport) -> None:
    """Settle what a failed report of a device means; ``report`` is changed to say so."""
    device = capabilities.of(devices.under_test(item.config))
    raised = not (report.refuted or endurance.TookTooLong.__name__ in report.error)
    reason, cause, section = device.named_in(report.error) if raised else None, "", []
    report.on_cpu = (endurance.dead(item) or "") if raised and reason is None else ""
    if reason is None and not report.on_cpu:
        operator, dtype = diagnosis.operator_that_raised(item, report.error) if raised else (None, None)
        passes, report.on_cpu, section = diagnosis.compared_with_the_cpu(item)
        if raised and (passes or (passes is None and refusals.means_missing(report.error))):
            cause = f"{operator} of {dtype}" if operator else report.error
            reason = device.lack(dtype) if dtype in device.missing else f"refused: {cause}"
    if reason is None or OPERATORS in item.config.getoption("require"):
        report.cause = cause
        told = [f"--require {OPERATORS}: {reason}" if reason else "", report.on_cpu, *section]
        report.sections.append(("the device and the CPU", "\n".join(filter(None, told))))
        return
    report.outcome, report.longrepr = "skipped", (str(item.path), item.location[1], f"Skipped: {reason}")
    if reason.startswith("refused"):
        report.refused = [cause, report.error]
    else:
        report.user_properties.append(("aside", OPERATORS))


def pytest_report_teststatus(report: pytest.TestReport):
    """Count refused tests apart in pytest's own last line."""
    return ("refused", "R", "REFUSED") if hasattr(report, "refused") else None
