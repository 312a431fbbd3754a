"""What the register expects of each test on this torch: pass, fail, or stand aside. No test says so itself."""

from collections import Counter
from pathlib import Path

import pytest

from harness import devices, specification, written
from harness.gate import Citation

MUST_FAIL = pytest.StashKey[bool]()  # set on the items that the register expects to fail


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every claim's tests with what is expected of them, and drop those that ``--claim`` leaves out.

    Each item's user properties tell whoever receives its report what it cites, and how many cases of its test function
    cite each of these claims: a mark may stand on one case alone.
    """
    import torch

    spec = specification.of(config)
    items.sort(key=chapter_and_kind)
    cases = Counter((test_id(item), id) for item in items for id in ids_cited_by(item))
    left_out = []
    for item in items:
        citations = cited_by(item)
        if not citations:  # a test of the project, not of a claim
            if spec.partial and isinstance(item, pytest.Function):
                left_out.append(item)
            continue
        # a node id with parameters on the command line hides the function's other cases
        whole = not any(argument.endswith(item.name) and "[" in argument for argument in config.args)
        item.user_properties.append(("claims", [[citation.claim, citation.truth] for citation in citations]))
        item.user_properties.append(
            ("cases", {id: cases[test_id(item), id] if whole else 0 for id in ids_cited_by(item)})
        )
        if item.path.parent.name == "guards":  # which meet on purpose what torch advises against
            item.add_marker(pytest.mark.filterwarnings("ignore"))
        for citation in citations:
            _expect(item, citation, spec, torch.__version__)
        if not any(citation.claim in spec.chosen for citation in citations):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        dropped = set(left_out)
        items[:] = [item for item in items if item not in dropped]


def chapter_and_kind(item: pytest.Item) -> tuple[str, bool]:
    """What puts a chapter's pages before its guards, so that the lesson fails first; the order is otherwise kept."""
    chapter, guards, _ = item.nodeid.partition("/guards/")
    return ((chapter if guards else item.nodeid.rpartition("/")[0]).partition("::")[0], bool(guards))


def cited_by(item: pytest.Item) -> list[Citation]:
    """The item's claim marks as citations, each once."""
    return list(
        dict.fromkeys(
            Citation(id, mark.kwargs.get("truth", False)) for mark in item.iter_markers("claim") for id in mark.args
        )
    )


def ids_cited_by(item: pytest.Item) -> list[str]:
    """The ids in the item's claim marks, each once."""
    return list(dict.fromkeys(citation.claim for citation in cited_by(item)))


def test_id(item: pytest.Item) -> str:
    """The node id without parameters."""
    return item.nodeid.partition("[")[0]


def _expect(item: pytest.Item, citation: Citation, spec: specification.Specification, torch_version: str) -> None:
    claim = spec.register.claims[citation.claim]
    expected = claim.expected(torch_version)
    if claim.needs == "cuda":
        item.add_marker("cuda")
    if citation.truth and "truth" not in claim.kinds(torch_version):
        item.user_properties.append(("aside", "not applicable"))
        item.add_marker(pytest.mark.skip(reason=f"not applicable: the statement holds before torch {claim.until}"))
    if not citation.truth and expected in ("superseded", "mistaken", "not yet"):
        reason = f"{claim.id} is {expected} on torch {torch_version}, so its statement must fail"
        item.stash[MUST_FAIL] = True
        mark = pytest.mark.xfail(reason=reason, strict=True, raises=(AssertionError, pytest.fail.Exception))
        item.add_marker(mark, append=False)  # before one that the test may bring, as pytest heeds the first


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stand aside where the run lacks what the register says the item's claims need."""
    claims = specification.of(item.config).register.claims
    for need in [claims[citation.claim].needs for citation in cited_by(item)] + ["cuda"] * bool(
        item.get_closest_marker("cuda")
    ):
        if need:
            devices.require(need, item.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Count an expected failure only if the register expects it and the test's own assertion failed: any other error is
    a broken test, and a test that itself says that it may fail is one too once it does.

    ``report.refuted`` tells whether the test failed by what it asserts (or passed though it must not), not by accident.
    """
    with pytest.MonkeyPatch.context() as patch:
        if MUST_FAIL in item.stash and not item.config.getoption("xfail_tb", False):
            # nobody reads how it failed, and writing that takes longer than the test
            patch.setattr(item.config.option, "tbstyle", "no", raising=False)  # an option of the terminal plugin
        report = yield
    if report.failed and call.excinfo and MUST_FAIL in item.stash:
        report.longrepr = item.repr_failure(call.excinfo)  # this one is read
    if (
        hasattr(report, "wasxfail")
        and report.skipped
        and not (item.stash.get(MUST_FAIL, False) and call.when == "call" and is_refutation(call.excinfo, item.config))
    ):
        why = "this is not an assertion of the test that failed" if MUST_FAIL in item.stash else "the register has none"
        report.outcome = "failed"
        report.longrepr = item.repr_failure(call.excinfo)
        report.sections.append(("expected failure", f"{report.wasxfail}; but {why}"))
        del report.wasxfail
    passed_though_false = report.failed and call.excinfo is None  # a strict xfail that passed
    asserted = report.failed and call.excinfo is not None and is_refutation(call.excinfo, item.config)
    need = getattr(getattr(call.excinfo, "value", None), "need", "")
    if need:
        report.user_properties.append(("aside", need))
    report.refuted = report.when == "call" and (passed_though_false or asserted)
    return report


def is_refutation(excinfo: pytest.ExceptionInfo, config: pytest.Config) -> bool:
    """Whether an exception is a failed assertion of a test: an ``assert``, ``assert_close`` or ``pytest.raises`` of
    its own.

    An AssertionError from within a library (torch's size checks raise some) is not: the innermost frame tells who
    asserted, or called ``pytest.fail`` (a plugin that limits the time calls it too). Nor is a ``pytest.raises`` that
    met a NotImplementedError about an operator, "aten::...": so a device reports one that it lacks. Nor is
    ``pytest.xfail()``, by which a test gives up, nor what a counterfeit asserts: it would catch itself.
    """
    if isinstance(excinfo.value, pytest.xfail.Exception):
        return False
    met = excinfo.value.__context__
    if isinstance(met, NotImplementedError) and "aten::" in str(met):
        return False
    tests = Path(config.rootpath, "tests")
    places = [Path(entry.path) for entry in excinfo.traceback]
    if isinstance(excinfo.value, pytest.fail.Exception):
        # fail() itself lies in pytest, and so does what notices that pytest.raises waited in vain
        # (harness.refusals, where it stands in for pytest.raises, is passed over with contextlib, which it uses)
        passing = ("refusals.py", "contextlib.py")
        others = [place for place in places if "_pytest" not in place.parts and place.name not in passing]
        caller = others[-1] if others else tests
        return caller.is_relative_to(tests) and not caller.is_relative_to(tests / "harness")
    place = places[-1]
    own = place.is_relative_to(tests) and not written.is_counterfeits(place)
    asserting = any(folder in place.as_posix() for folder in ("/torch/testing/", "/numpy/testing/", "/_pytest/"))
    return isinstance(excinfo.value, AssertionError) and (own or asserting)
