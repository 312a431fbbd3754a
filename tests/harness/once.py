"""A test runs once. A plugin that runs it again, until it passes, draws other numbers and lets chance decide.

So a test that runs a second time fails there, whatever it finds, and so do the attempts that follow.
"""

import pytest

RUNNING = pytest.StashKey[dict]()  # of the session: the item that pytest runs, and how often it was called


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item):
    item.session.stash[RUNNING] = {"item": item, "calls": 0}
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item):
    running = item.session.stash[RUNNING]
    if running["item"] is item:  # not a test that runs again under a counterfeit, which is an item of its own
        running["calls"] += 1
        if running["calls"] > 1:
            pytest.fail("a plugin ran this test again, which lets chance decide; leave out its option or mark", False)
    return (yield)


def expect_another(item: pytest.Item) -> None:
    """Let the harness itself run a test again, to compare."""
    item.session.stash[RUNNING]["calls"] = 0
