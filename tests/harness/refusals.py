"""What counts as a refusal on a device whose words nobody here knows.

``pytest.raises(RuntimeError, match=...)`` in a test asks for torch's own words. A backend refuses in words of its own,
so off torch's own devices the type alone decides. And nowhere but on the CPU may an operator that is merely missing
pass for a refusal: an error that says so goes on, as the error that it is.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import capabilities

TORCHS_OWN = ("cpu", "cuda", "mps", "xpu")  # their refusals come from torch's own code

# How backends say that they have no kernel: torch's dispatcher and MPS ("could not run", "not currently implemented"),
# and what others write. Kept to words that torch's own refusals of wrong arguments do without, and Python's: but of two
# tensors, or one and a number, Python says "unsupported operand type(s)", or "not supported between instances", where
# the device's own TypeError was the reason, which torch hides.
TENSOR, OPERAND = "'(Tensor|Parameter)'", "'(Tensor|Parameter|bool|int|float|complex)'"
OPERANDS = rf"({TENSOR} and {OPERAND}|{OPERAND} and {TENSOR})"
OVERLAP = " operation: (more than one|some) elements?"  # of a memory, which torch does not write
MISSING = re.compile(
    r"could not run '?aten::|not (currently |yet )?(been )?implemented|un-?implemented"
    rf"|not (currently |yet )?supported(?! between instances of (?!{OPERANDS}))"
    rf"|unsupported(?! operand type(?!\(s\) for (\*\* or pow\(\)|\S+):? {OPERANDS}))(?!{OVERLAP})"
    r"|does(n't| not) (have )?support"
    r"|no (such )?(kernel|operator|implementation|lowering|decomposition)"
    r"|missing (kernel|operator)|not registered|no registered|not built|failed to (build|compile)",
    re.IGNORECASE,
)


def means_missing(error: BaseException | str) -> bool:
    """Whether an error, or its type and message as text, says that an operator or a dtype is not there."""
    kind = "" if isinstance(error, str) else type(error).__name__
    text = f"{kind}: {error}"
    return "NotImplementedError" in text or bool(MISSING.search(text))


def judging(raises, kind: str):
    """``pytest.raises`` for tests on a device of the type ``kind``."""

    @contextmanager
    def judged(expected, match) -> Iterator[pytest.ExceptionInfo]:
        with raises(expected) as caught:
            yield caught
        as_told = match is not None and re.search(match, str(caught.value))
        own = expected if isinstance(expected, tuple) else (expected,)
        if as_told or NotImplementedError in own:
            return
        if isinstance(caught.value, RuntimeError) and means_missing(caught.value):  # which NotImplementedError is too
            raise caught.value
        if match is not None and kind in TORCHS_OWN:
            caught.match(match)  # fails, in pytest's own words

    def raises_on_device(*args, **kwargs):
        plain = len(args) == 1 and set(kwargs) <= {"match"}  # the form that tests use
        if not plain or capabilities.current().device == "cpu":
            return raises(*args, **kwargs)
        return judged(args[0], kwargs.get("match"))

    return raises_on_device


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before any test module can import ``raises`` by name."""
    kind = session.config.getoption("device").partition(":")[0]
    if kind != "cpu":
        patch = pytest.MonkeyPatch()
        patch.setattr(pytest, "raises", judging(pytest.raises, kind))
        session.config.add_cleanup(patch.undo)
