"""Counterfeits: planted falsehoods that a claim's tests must catch.

A counterfeit is a function in a section's ``counterfeits/section_2_2.py`` that makes torch wrong in one way::

    @counterfeit("view-shares-data")
    def view_copies(patch):
        view = torch.Tensor.view
        patch.setattr(torch.Tensor, "view", lambda self, *shape: view(self, *shape).clone())

``pytest --counterfeits`` runs it as an item of its own, after the ordinary tests: the claim's tests run again under
the patch until one of them fails by its own assertion, beginning with the one that did so in a stored run
(docs/results), lest many run for nothing. That one *caught* it. If all pass, the counterfeit *survived*: the tests
prove less than the claim says. If tests fail, but only by accident (an error of the patch, a failing fixture), the
counterfeit is *invalid*.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from _pytest.runner import runtestprotocol

from harness import devices, expectations, randomness, specification, written

Patcher = Callable[[pytest.MonkeyPatch], None]
TESTS = pytest.StashKey[dict[str, list[pytest.Item]]]()  # claim id -> the tests of the run that cite it
BEFORE = pytest.StashKey[dict[tuple[str, str], set[str]]]()  # counterfeit and claim -> the tests that caught it before


def counterfeit(
    *ids: str, reported: str | tuple[str, ...] = (), needs: str | None = None
) -> Callable[[Patcher], Patcher]:
    """Mark a function as a counterfeit of the claims ``ids``; it is given a ``pytest.MonkeyPatch``, undone after each
    test.

    The function's name says what it gets wrong; a docstring may say more. ``reported`` is the address, or addresses, of
    public reports of the very fault: "pytorch/pytorch#118115". ``needs`` names what a run must have for the fault to
    show where its claims need less: "two-devices". Raises ValueError for a need that no run can have.
    """
    if needs not in (None, *devices.REASONS):
        raise ValueError(f"a counterfeit needs {needs!r}, which is none of {', '.join(devices.REASONS)}")

    def mark(function: Patcher) -> Patcher:
        function.falsifies = ids
        function.reported = (reported,) if isinstance(reported, str) else tuple(reported)
        function.needs = needs
        return function

    return mark


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("specification")
    group.addoption(
        "--counterfeits", action="store_true", help="also plant every counterfeit and see the claim's tests catch it"
    )


def pytest_collect_file(file_path, parent: pytest.Collector) -> pytest.Collector | None:
    if written.is_counterfeits(file_path) and parent.config.getoption("counterfeits"):
        return CounterfeitModule.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Counterfeits come last: the claims' tests must first pass as they are."""
    items.sort(key=lambda item: isinstance(item, CounterfeitItem))
    session.stash[BEFORE] = caught_before(session.config)
    tests_of = session.stash[TESTS] = defaultdict(list)
    for item in items:
        for id in expectations.ids_cited_by(item):
            tests_of[id].append(item)
    for tests in tests_of.values():  # at last guards that try thousands of members: what others catch, they need not
        tests.sort(key=lambda test: len(getattr(getattr(test, "function", None), "combined", ())) > 1000)


def caught_before(config: pytest.Config) -> dict[tuple[str, str], set[str]]:
    """The tests that caught each counterfeit of each claim in the stored runs of any device; none, of a new one."""
    caught: dict[tuple[str, str], set[str]] = defaultdict(set)
    if config.getoption("counterfeits"):
        for file in (config.rootpath / "docs/results").glob("torch-*.json"):
            for claim in json.loads(file.read_text("utf8"))["claims"]:
                for one in claim["counterfeits"]:
                    caught[one["name"], claim["id"]].add(one["detail"])
    return caught


def to_plant(config: pytest.Config) -> set[str]:
    """The chosen claims; on an accelerator those alone that the CPU cannot try: that the tests of the others can fail,
    a run on the CPU shows in less time.
    """
    spec = specification.of(config)
    if config.getoption("device") == "cpu":
        return set(spec.chosen)
    return {id for id in spec.chosen if spec.register.claims[id].needs in ("accelerator", "cuda", "two-devices")}


class CounterfeitModule(pytest.Module):
    """A section's counterfeits, collected as one item for every counterfeit and claim that it falsifies."""

    def collect(self) -> Iterator[pytest.Item]:
        chosen, of_needy = to_plant(self.config), specification.of(self.config).chosen
        for name, function in vars(self.obj).items():
            for id in getattr(function, "falsifies", ()):
                if id in (of_needy if function.needs else chosen):  # what the CPU lacks is tried where it is
                    yield CounterfeitItem.from_parent(self, name=f"{name}[{id}]", function=function, claim=id)


class CounterfeitItem(pytest.Item):
    """One counterfeit of one claim."""

    def __init__(self, *, function: Patcher, claim: str, **rest) -> None:
        super().__init__(**rest)
        self.function, self.claim = function, claim
        self.add_marker(pytest.mark.filterwarnings("ignore"))  # a torch that is wrong on purpose may well warn

    def runtest(self) -> None:
        raise NotImplementedError("pytest_runtest_protocol runs it")

    def reportinfo(self):
        return self.path, self.function.__code__.co_firstlineno - 1, self.name


@dataclass
class Finding:
    """What came of a counterfeit: caught (by which test), survived, invalid (why) or not tried (why)."""

    outcome: str
    detail: str


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a counterfeit and report it as one test.

    It passes if caught, is skipped if its claim cannot be tried here, and fails otherwise.
    """
    if not isinstance(item, CounterfeitItem):
        return None
    if STATE not in item.session.stash:
        import torch._dynamo  # noqa: F401  which replaces functions of torch, and which the first optimizer imports

        item.session.stash[STATE] = state_of_torch()
    before = item.session.stash[STATE]
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    call = pytest.CallInfo.from_call(lambda: plant(item), when="call")
    finding = call.result if call.excinfo is None else Finding("invalid", call.excinfo.exconly())
    if not isinstance(nextitem, CounterfeitItem):
        changed = changes(before, state_of_torch())
        if changed:
            finding = Finding("invalid", f"the counterfeits left torch changed: {', '.join(changed[:5])}")
    item.ihook.pytest_runtest_logreport(report=_report(item, finding, call))
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def plant(item: CounterfeitItem) -> Finding:
    """Run the claim's tests under the counterfeit until one catches it.

    A counterfeit falsifies what the register says of the claim, so it is not tried on a torch on which that is not so
    yet.
    """
    import torch

    claim = specification.of(item.config).register.claims[item.claim]
    if claim.expected(torch.__version__) != claim.verdict:
        since = claim.since or claim.until
        return Finding("not tried", f"it falsifies what is so since torch {since}; this is {torch.__version__}")
    lacked = devices.lacks(item.function.needs, item.config)
    if lacked:
        return Finding("not tried", lacked)
    # shared fixtures made with the true torch must not be used with the false one
    item.session._setupstate.teardown_exact(None)
    before = item.session.stash[BEFORE][item.name.partition("[")[0], item.claim]
    tests = sorted(item.session.stash[TESTS][item.claim], key=lambda test: test.nodeid not in before)
    accidents: list[str] = []
    reasons: list[str] = []
    for test in tests:
        for report in _run(test, item.function):
            if getattr(report, "refuted", False):
                return Finding("caught", test.nodeid)
            if report.failed:
                accidents.append(f"{test.nodeid} failed by accident: {_last_line(report)}")
            elif report.skipped and not hasattr(report, "wasxfail"):
                reasons.append(report.longrepr[2].removeprefix("Skipped: "))
    if accidents:
        return Finding("invalid", accidents[0])
    if len(reasons) == len(tests):
        return Finding("not tried", reasons[0] if reasons else "none of the claim's tests was selected")
    return Finding("survived", f"{len(tests) - len(reasons)} tests passed all the same")


def _run(test: pytest.Item, function: Patcher) -> list[pytest.TestReport]:
    """All phases of ``test`` under the counterfeit, planted after seeding, gone before anything else runs."""
    from torch.optim import Optimizer

    kinds = [kind for base in Optimizer.__subclasses__() for kind in base.__subclasses__()]
    inheriting = [kind for kind in kinds if "step" not in vars(kind)]
    with randomness.isolated(test), pytest.MonkeyPatch.context() as patch:
        # nobody reads these tracebacks, and writing them takes longest
        patch.setattr(test.config.option, "tbstyle", "no")
        for name in ("CI", "BUILD_NUMBER"):  # where either is set, pytest compares long lists to the end: minutes each
            patch.delenv(name, raising=False)
        function(patch)
        reports = runtestprotocol(test, log=False, nextitem=None)
    # the first optimizer of a class keeps, as a step of its own, the one that it inherits: here a false one
    for kind in inheriting:
        if "step" in vars(kind):
            del kind.step
    # Hypothesis notes on the test what falsified it, and reads that of deselected tests at the end as a report's
    vars(test).pop("_hypothesis_failing_examples", None)
    return reports


def _last_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else str(report.longrepr)).strip().splitlines()[0]


def _report(item: CounterfeitItem, finding: Finding, call: pytest.CallInfo) -> pytest.TestReport:
    outcome = {"caught": "passed", "not tried": "skipped"}.get(finding.outcome, "failed")
    claim = specification.of(item.config).register.claims[item.claim]
    text = f"counterfeit {item.name.partition('[')[0]} of {claim.id} {finding.outcome}: {finding.detail}\n{claim.says}"
    longrepr = {"passed": None, "skipped": (str(item.path), 0, f"Skipped: {finding.detail}")}.get(outcome, text)
    told = [item.name.partition("[")[0], claim.id, finding.outcome, finding.detail, list(item.function.reported)]
    properties = [("counterfeit", told)]
    return pytest.TestReport(
        item.nodeid, item.location, {}, outcome, longrepr, "call", (), call.duration, call.start, call.stop, properties
    )


STATE = pytest.StashKey[dict[str, int]]()


def state_of_torch() -> dict[str, int]:
    """The identity of every function, class and property of torch's and torchvision's modules and of their classes.

    Counters and caches are left out: torch changes its own by being used. Modules that torch imports only when they are
    needed appear in a later state and not in an earlier one. An optimizer's ``step`` counts as the function that torch
    wraps, for profiling, when the class is used for the first time.
    """
    state: dict[str, int] = {}
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] not in ("torch", "torchvision"):
            continue
        for name, value in list(vars(module).items()):
            if is_code(value):
                state[f"{module_name}.{name}"] = id(value)
            # type() rather than isinstance(), which would wake lazy attributes that warn that they are deprecated
            if issubclass(type(value), type) and value.__module__ == module_name:
                members = {key: member for key, member in list(vars(value).items()) if is_code(member)}
                if getattr(members.get("step"), "hooked", False):
                    members["step"] = members["step"].__wrapped__
                state.update({f"{module_name}.{name}.{key}": id(member) for key, member in members.items()})
    return state


def changes(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """What was replaced, and what was added to a class that was there before (a method that hides an inherited one)."""
    owners = {name.rpartition(".")[0] for name in before} & before.keys()
    added = {name for name in after.keys() - before.keys() if name.rpartition(".")[0] in owners}
    return sorted(added | {name for name in after.keys() & before.keys() if after[name] != before[name]})


def is_code(value: object) -> bool:
    """Whether a module's or a class's attribute is something that runs: a function, a class, a method, a property."""
    return callable(value) or hasattr(type(value), "__get__")
