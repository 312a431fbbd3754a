"""What a guard does without: members of its populations whose operator the device refuses.

A guard over all operations says something about all of them. Where a device refuses one, as many refuse a sort or an
operator of one dtype, the guard is tried with the others, and what was left out is told: it stands in the document, and
in the terminal beside what the device refused. A member is left out only if the refusal says that something is missing
(``refusals.means_missing``), or names a dtype that the device lacks, and the same member passes on the CPU, or cannot
be tried there. Where no member is left, the refusal is raised, and counts as the whole test's. Under ``--require
operators`` no member is left out.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import pytest

from harness import capabilities, devices, diagnosis, randomness, refusals


@dataclass
class Without:
    """An operator and its dtype that the device refuses, or a dtype that it lacks; the first line of the error; and how
    many members wait for it.
    """

    cause: str
    reason: str
    members: int = 0


class Running:
    """What the running test was tried without, by the first line of the error."""

    strict = False
    own_start_values: tuple[str, ...] = ()  # see ``harness.start_values``
    found: ClassVar[dict[str, Without]] = {}


def left_out(error: Exception, attempt: Callable[[], object], given: Iterable = ()) -> bool:
    """Whether a member is left out: ``attempt()``, which tries it, raised ``error`` on the device under test, and only
    because an operator is missing. ``given`` are the guard's fixtures: one that has one of the device cannot run on
    the CPU.
    """
    if Running.strict or capabilities.current().device == "cpu" or isinstance(error, AssertionError):
        return False
    words = diagnosis.first_line(error)
    lacking = capabilities.current().named_in(words)
    if not (lacking or refusals.means_missing(error)) or fails_on_the_cpu(attempt, given):
        return False
    if words not in Running.found:
        Running.found[words] = Without(lacking or cause_of(words, attempt), words)
    Running.found[words].members += 1
    return True


def fails_on_the_cpu(attempt: Callable[[], object], given: Iterable) -> bool:
    """Whether a member that failed on the device fails on the CPU as well; False where it cannot be tried there."""
    import torch

    parts = [part for one in given for part in (one if isinstance(one, tuple) else (one,))]
    if any(isinstance(part, torch.device) and part.type != "cpu" for part in parts):
        return False
    try:
        with randomness.settings_kept(), capabilities.using("cpu"), devices.default("cpu"):
            attempt()
    except Exception:
        return True
    return False


def cause_of(words: str, attempt: Callable[[], object]) -> str:
    """The operator and the dtype of an error of ``attempt()``, given by its first line; that line if none raised it."""
    raised: dict[str, tuple[str, str]] = {}
    with randomness.settings_kept(), diagnosis.watched(raised), suppress(Exception):
        attempt()
    return " of ".join(raised[words]) if words in raised else words


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    before = Running.strict, Running.found  # of a test that runs other tests
    Running.strict, Running.found = devices.OPERATORS in item.config.getoption("require"), {}
    try:
        return (yield)
    finally:
        Running.strict, Running.found = before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Let a test that passed tell, with its report, what it was tried without."""
    report = yield
    if call.when == "call" and call.excinfo is None and Running.found:
        report.without = [[one.cause, one.reason, one.members] for one in Running.found.values()]
    return report
