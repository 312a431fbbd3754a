"""Without torchvision everything else runs, and what needs it is not tried: a backend's nightly builds have none.

Nor is it tried where torchvision does not load because it was built for another torch.
"""

import importlib.util
import re

import pytest

OPTIONAL = ("torchvision",)  # of requirements.txt, what judging torch itself can do without
ASIDE = "package"  # what tests lack that stand aside here


def missing(error: str) -> str:
    """The reason not to try what failed with ``error``, if that is the import of an optional package that is not there
    or does not go with torch.
    """
    if re.search(r"RuntimeError: operator torchvision::\w+ does not exist", error):
        return "needs a torchvision that was built for this torch, as the installed one was not"
    named = re.search(r"ModuleNotFoundError: No module named '(\w+)", error)
    if named and named[1] in OPTIONAL and importlib.util.find_spec(named[1]) is None:
        return f"needs {named[1]}, which is not installed"
    return ""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    """Leave out a module that imports the package, rather than end the run."""
    report = yield
    reason = missing(str(report.longrepr)) if report.failed else ""
    if reason:
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, f"Skipped: {reason}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Let a test that imports the package itself stand aside."""
    report = yield
    reason = missing(call.excinfo.exconly(tryshort=False)) if report.failed and call.excinfo else ""
    if reason:
        report.outcome, report.longrepr = "skipped", (str(item.path), item.location[1], f"Skipped: {reason}")
        report.user_properties.append(("aside", ASIDE))
    return report
