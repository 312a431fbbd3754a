"""Why a test failed on a device: the operator that raised, whether the CPU passes, and where the two first differ.

A failed test is run again, alone, from the same seed: once on the device, watched for the operator that raises, since
few backends name it; once on the CPU, whose values of the test's variables are kept to compare.
"""

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from _pytest.runner import runtestprotocol

from harness import once, randomness

LOCALS = pytest.StashKey[dict]()  # the variables of a test function at the moment when it failed


def again(item: pytest.Item) -> list[pytest.TestReport]:
    """The reports of one more run of a test, on the device that ``--device`` names now; nothing is printed."""
    item.session._setupstate.teardown_exact(None)  # what shared fixtures made may be on another device
    with randomness.isolated(item):
        once.expect_another(item)
        return runtestprotocol(item, log=False, nextitem=None)


@contextmanager
def on_the_cpu(config: pytest.Config) -> Iterator[None]:
    """Let ``--device`` name the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config.option, "device", "cpu")
        yield


def is_refuted(report: pytest.TestReport) -> bool:
    """Whether a test failed as the register expects."""
    return report.skipped and hasattr(report, "wasxfail")


def as_expected(reports: list[pytest.TestReport]) -> bool:
    """Whether a test was called and did what the register expects of it."""
    called = any(report.when == "call" and (report.passed or is_refuted(report)) for report in reports)
    return called and not any(report.failed for report in reports)


def first_line(error: BaseException | str) -> str:
    """The type and the first line of an error, without addresses, which differ between runs."""
    text = error if isinstance(error, str) else "".join(traceback.format_exception_only(error))
    return re.sub(r"0x[0-9a-f]+", "0x...", text.strip().partition("\n")[0])


def code_of(item: pytest.Item):
    """The code of the test function, as written."""
    function = getattr(item, "function", None)
    function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return getattr(function, "__code__", None)


def first_error(reports: list[pytest.TestReport]) -> str:
    """The first line of what the first failed phase said; empty if none failed."""
    return next((report.error for report in reports if report.failed), "")


def stood_aside(reports: list[pytest.TestReport]) -> str:
    """Why a test was skipped, or empty."""
    skipped = [report for report in reports if report.skipped and not is_refuted(report)]
    return str(skipped[0].longrepr[2]).removeprefix("Skipped: ") if skipped else ""


def compared_with_the_cpu(item: pytest.Item) -> tuple[bool | None, str, list[str]]:
    """Run a failed test on the CPU: whether it passes there (None if it cannot be tried), this in words, and lines
    about its tensors.
    """
    failed_with = item.stash.get(LOCALS, {})
    with on_the_cpu(item.config), locals_of(item) as kept:
        reports = again(item)
    if as_expected(reports):
        does = "fails on the CPU, as it must" if any(map(is_refuted, reports)) else "passes on the CPU"
        return True, f"{does}: the device's fault", described(failed_with, kept)
    if stood_aside(reports):
        return None, f"cannot be tried on the CPU: {stood_aside(reports)}", described(failed_with, {})
    return False, f"fails on the CPU too: {first_error(reports)}", described(failed_with, {})


@contextmanager
def locals_of(item: pytest.Item) -> Iterator[dict]:
    """The variables of the test function when it last returned. Of a Hypothesis test none: its last example is no more
    like the failing one than any other.
    """
    kept: dict = {}
    code = None if hasattr(item.function, "hypothesis") else code_of(item)

    def profile(frame, event, _) -> None:
        if event == "return" and frame.f_code is code:
            kept.clear()
            kept.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield kept
    finally:
        sys.setprofile(before)


def described(here: dict, there: dict) -> list[str]:
    """A line for each tensor of ``here``: device, dtype, shape, strides; and for the first that differs from the one of
    the same name in ``there``, where.
    """
    import torch

    lines, found = [], False
    for name, value in here.items():
        if name.startswith("@") or not (torch.is_tensor(value) and value.layout == torch.strided):  # @: pytest's own
            continue
        dtype = str(value.dtype).removeprefix("torch.")
        lines.append(f"{name}: {dtype} {tuple(value.shape)} on {value.device}, strides {value.stride()}")
        difference = None if found else first_difference(value, there.get(name))
        if difference:
            lines.append(f"    {difference}")
            found = True
    return lines


def first_difference(value, expected) -> str | None:
    """Where a tensor of the device first differs from the CPU's by more than rounding; None if nowhere, or unknown."""
    import torch

    if not torch.is_tensor(expected) or expected.layout != torch.strided:
        return None
    if (value.shape, value.dtype) != (expected.shape, expected.dtype):
        return f"on the CPU: {str(expected.dtype).removeprefix('torch.')} {tuple(expected.shape)}"
    try:
        value, expected = value.detach().cpu(), expected.detach()
        near = torch.isclose(value, expected, rtol=1e-3, equal_nan=True)  # the largest of torch's defaults, float16's
    except Exception:  # the device cannot even say what it computed
        return None
    if near.all():
        return None
    where = torch.nonzero(~near)[0].tolist()
    return f"first differs at {where}: {value[tuple(where)].item()!r}, on the CPU {expected[tuple(where)].item()!r}"


def watched(raised: dict[str, tuple[str, str]]):
    """A context in which ``raised`` gets every error of an operator: its first line, the operator's name and dtype."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            try:
                return operator(*args, **(kwargs or {}))
            except Exception as error:
                raised.setdefault(first_line(error), (name_of(operator), dtype_of(args, kwargs or {})))
                raise

    return Mode()


def name_of(operator) -> str:
    """ "aten::add.Tensor"; without the overload where it is the default one."""
    overload = operator._overloadname
    return operator._schema.name + (f".{overload}" if overload not in ("", "default") else "")


def dtype_of(args: tuple, kwargs: dict) -> str:
    """The dtype that an operator was asked for, else that of its first tensor; torch's default where it has neither."""
    import torch
    from torch.utils._pytree import tree_flatten

    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    dtype = kwargs.get("dtype") or (tensors[0].dtype if tensors else torch.get_default_dtype())
    return str(dtype).removeprefix("torch.")


def operator_that_raised(item: pytest.Item, error: str) -> tuple[str | None, str | None]:
    """Run a failed test again on its device, and return the operator and the dtype that raised ``error``, given by its
    type and first line; (None, None) if no operator did.
    """
    raised: dict[str, tuple[str, str]] = {}
    with watched(raised):
        again(item)
    return raised.get(error, (None, None))
