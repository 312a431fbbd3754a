"""What a lesson prints, kept beside its verdict: readers hold their screen against it, and against the notes' output.

A run's document has it under ``measured``, by test, as ``prints``.
"""

import builtins
import io

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """Note what a lesson prints, whoever captures it."""
    if "claims" not in dict(item.user_properties) or "/guards/" in item.nodeid:
        return (yield)
    lines: list[str] = []
    write = builtins.print

    def note(*values: object, **how: object) -> None:
        text = io.StringIO()
        try:
            write(*values, **{**how, "file": text})
        except (RuntimeError, NotImplementedError):
            if "capsys" in item.fixturenames:
                raise
            return  # a device that cannot print, and a lesson that prints for its readers alone
        lines.append(text.getvalue())
        write(text.getvalue(), **{**how, "end": ""})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "print", note)
        try:
            return (yield)
        finally:
            if lines:
                item.user_properties.append(("prints", "".join(lines)))
