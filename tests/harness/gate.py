"""The two-way gate: every test cites a claim, and every claim has its tests.

The test modules are read as text, not imported. So the gate sees every chapter whatever part of it a run selects,
holds before anything is collected, and says the same in a run with workers as in one without.
"""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import pages, written
from harness.register import Register, closest


@dataclass(frozen=True)
class Citation:
    """A ``claim(...)`` mark: the claim's id and whether the test proves its truth line."""

    claim: str
    truth: bool


@dataclass(frozen=True)
class Test:
    """A test function as written: its name ("Class::name" within a class), its place and source, and what it cites."""

    name: str
    module: str  # path relative to the project's root, as in pytest's node ids
    line: int
    source: str
    citations: tuple[Citation, ...]
    raises: tuple[str, ...] = ()  # the exceptions that it expects: "RuntimeError"
    takes: tuple[str, ...] = ()  # its parameters: the fixtures, and what a guard draws
    imported: tuple[ast.Import | ast.ImportFrom, ...] = ()  # all that its module imports

    @property
    def imports(self) -> tuple[str, ...]:
        """The lines of its module that import what it uses."""
        used = {part.id for part in ast.walk(ast.parse(textwrap.dedent(self.source))) if isinstance(part, ast.Name)}
        return tuple(ast.unparse(node) for node in self.imported if pages.names_of([node]) & used)

    @property
    def alone(self) -> str:
        """What runs by itself: the imports that a lesson uses, and the lesson without its marks of claims."""
        marks = re.compile(r"@(pytest\.mark\.)?claim\(.*?\)\n", re.DOTALL)
        return "\n".join(self.imports) + "\n\n\n" * bool(self.imports) + marks.sub("", self.source)

    @property
    def is_lesson(self) -> bool:
        """Whether it stands on a page; otherwise it is a guard."""
        return "/guards/" not in self.module

    @property
    def id(self) -> str:
        """The node id without parameters."""
        return f"{self.module}::{self.name}"


@dataclass(frozen=True)
class Counterfeit:
    """A counterfeit as written: its name, place, what its docstring says, and the claims that it falsifies.

    ``reported`` names the public reports of the same fault, as "owner/repo#number".
    """

    name: str
    where: str
    says: str
    claims: tuple[str, ...]
    reported: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The file and the name, as of a test."""
        return f"{self.where.partition(':')[0]}::{self.name}"


def counterfeits(tests: Path, register: Register) -> tuple[Counterfeit, ...]:
    """Read all ``tests/ch*/counterfeits/*.py``. Raises pytest.UsageError for one of an unknown claim, or with a report
    that is not an address.
    """
    errors: list[str] = []
    found: list[Counterfeit] = []
    for path in sorted([*tests.glob("ch*/counterfeits*.py"), *tests.glob("ch*/counterfeits/*.py")]):
        module = path.relative_to(tests.parent).as_posix()
        parsed = written.parse(path, module, errors)
        errors.extend(written.not_planted(parsed[1], module) if parsed else ())
        for node in parsed[1].body if parsed else ():
            marks = getattr(node, "decorator_list", [])
            calls = [mark for mark in marks if isinstance(mark, ast.Call) and _called(mark) == "counterfeit"]
            ids = tuple(id for call in calls for id in written.ids_of(call))
            if ids:
                where = f"{module}:{node.lineno}"
                reported = tuple(_reports(calls))
                says = " ".join((ast.get_docstring(node) or "").split())
                found.append(Counterfeit(node.name, where, says, ids, reported))
                errors += [
                    f"{where}: {node.name} was reported at {report!r}; write an address as 'owner/repo#number'"
                    for report in reported
                    if not re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", report)
                ]
                unknown = [id for id in ids if id not in register.claims]
                errors += [
                    f"{where}: {node.name} falsifies an unknown claim {id!r}{closest(id, register.claims)}"
                    for id in unknown
                ]
    if errors:
        raise pytest.UsageError(*errors)
    return tuple(found)


def _reports(calls: list[ast.Call]) -> Iterator[str]:
    """The texts given as ``reported=``: one, or a tuple of several."""
    for call in calls:
        for keyword in call.keywords:
            if keyword.arg == "reported":
                yield from (part.value for part in ast.walk(keyword.value) if isinstance(part, ast.Constant))


def pass_through(tests: Path, register: Register) -> tuple[Test, ...]:
    """Read the pages, ``tests/ch*/test_*.py``, and the guards, ``tests/ch*/guards/test_*.py``, and return their tests:
    in the order of the book, the pages' lessons first.

    Raises pytest.UsageError, one line for each: a file that does not parse, a mark that cannot be read, a test that
    cites no claim or an unknown one, a truth test for a claim without a truth line, a test whose claims are not
    expected to fare alike, a test that hides another of its name, and a claim that lacks a test of its statement or
    truth.
    """
    errors = list(written.overlooked(tests))
    found: list[Test] = []
    for path in [*sorted(tests.glob("ch*/test_*.py")), *sorted(tests.glob("ch*/guards/test_*.py"))]:
        module = path.relative_to(tests.parent).as_posix()
        parsed = written.parse(path, module, errors)
        if parsed is None:
            continue
        text, tree = parsed
        errors.extend(written.ends_early(tree, text, module))
        here = list(_tests(tree, text, module, errors))
        found.extend(here)
        if path.parent.name != "guards" and _divided(path):
            errors.extend(pages.faults(tree, module, here, register))
    errors.extend(_one_way(found, register, tests))
    if not errors:  # a test that could not be read would be reported twice, as missing too
        errors.extend(_other_way(found, register))
        errors.extend(_lessons(found, register, tests))
    if errors:
        raise pytest.UsageError(*errors)
    return tuple(found)


def _divided(path: Path) -> bool:
    """Whether a section is divided into pages and guards already."""
    section = re.match(r"test_(\d+_\d+)", path.name)
    chapter = path.parent.parent if path.parent.name == "guards" else path.parent
    return bool(section) and any(chapter.glob(f"guards/test_{section[1]}*.py"))


def _one_way(found: Iterable[Test], register: Register, tests: Path) -> Iterator[str]:
    lines: dict[str, int] = {}
    divided = {module: _divided(tests.parent / module) for module in {test.module for test in found}}
    for test in found:
        where = f"{test.module}:{test.line}: {test.name}"
        if lines.setdefault(test.id, test.line) != test.line:
            yield f"{where} has the name of the test in line {lines[test.id]}, which it hides; rename one"
        if not test.citations:
            yield f'{where} cites no claim; say which one it tries: @claim("...")'
        if divided[test.module]:
            yield from (f"{where} {fault}" for fault in _conditions(test, register))
        for citation in test.citations:
            known = register.claims.get(citation.claim)
            if known is None:
                yield f"{where} cites an unknown claim {citation.claim!r}{closest(citation.claim, register.claims)}"
            elif citation.truth and not known.truth:
                yield f"{where} tries the truth line of {citation.claim!r}, which has none ({known.where})"
        fates = {_fate(citation, register) for citation in test.citations if citation.claim in register.claims}
        if len(fates) > 1:
            yield f"{where} cites claims that are not expected to fare alike on every torch; write a test for each"


def _conditions(test: Test, register: Register) -> Iterator[str]:
    """An error that a test of a true sentence expects is what the sentence says, or the sentence hides a condition."""
    for citation in test.citations:
        claim = register.claims.get(citation.claim)
        if claim and claim.verdict == "holds" and not citation.truth:
            for name in test.raises:
                if name not in claim.says:
                    yield (
                        f"expects {name}, of which {claim.id!r}, which holds, says nothing; either the sentence names "
                        "the error, or it hides a condition and is a caveat"
                    )


def _fate(citation: Citation, register: Register) -> tuple[str, ...]:
    """What decides whether a test must pass, must fail or does not apply: equal for citations that can share a test."""
    claim = register.claims[citation.claim]
    if citation.truth:
        return ("truth", claim.until)
    if claim.verdict in ("superseded", "mistaken") or claim.since:
        return (claim.verdict, claim.until, claim.since)
    return ("truth", "")  # passes on every torch, as a truth line without `until` does


def _other_way(found: Iterable[Test], register: Register) -> Iterator[str]:
    cited = {citation for test in found for citation in test.citations}
    for claim in register.claims.values():
        label = f"{claim.where}: claim {claim.id!r} has no test of its"
        if Citation(claim.id, False) not in cited:
            yield f'{label} statement; write one with @claim("{claim.id}")'
        if claim.truth and Citation(claim.id, True) not in cited:
            yield f'{label} truth; write one with @claim("{claim.id}", truth=True)'


def _lessons(found: Iterable[Test], register: Register, tests: Path) -> Iterator[str]:
    """A claim without a lesson, though its section is divided: a guard tries it, but no page shows it."""
    shown = {citation for test in found if test.is_lesson for citation in test.citations}
    for claim in register.claims.values():
        section = claim.section.replace(".", "_")
        if not any((tests.parent / claim.where).parent.glob(f"guards/test_{section}*.py")):
            continue
        for truth in (False, True) if claim.truth else (False,):
            if Citation(claim.id, truth) not in shown:
                what, mark = ("truth", ", truth=True") if truth else ("statement", "")
                yield (
                    f"{claim.where}: claim {claim.id!r} has no lesson of its {what}; "
                    f'write one with @claim("{claim.id}"{mark}) on a page'
                )


def _tests(tree: ast.Module, text: str, module: str, errors: list[str]) -> Iterator[Test]:
    """The module's test functions; marks may stand on the function, its class, its parameters, or in ``pytestmark``."""
    lines = text.splitlines()
    imported = tuple(node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    named = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def visit(body: list[ast.stmt], prefix: str, marks: list[ast.expr]) -> Iterator[Test]:
        own = [node.value for node in body if isinstance(node, ast.Assign) and _names(node) == {"pytestmark"}]
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                yield from visit(node.body, f"{prefix}{node.name}::", [*marks, *own, *node.decorator_list])
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                source = "\n".join(lines[first - 1 : node.end_lineno])
                citations: list[Citation] = []
                for mark in [*marks, *own, *node.decorator_list]:
                    for call in _claim_calls(mark, named):
                        citations.extend(_read(call, f"{module}:{call.lineno}: {node.name}", errors))
                cites = tuple(dict.fromkeys(citations))
                takes = tuple(argument.arg for argument in [*node.args.args, *node.args.kwonlyargs])
                raises = tuple(pages.raised(node)) if "raises" in source else ()
                yield Test(prefix + node.name, module, node.lineno, source, cites, raises, takes, imported)

    return visit(tree.body, "", [])


def _names(node: ast.Assign) -> set[str]:
    return {target.id for target in node.targets if isinstance(target, ast.Name)}


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _claim_calls(mark: ast.expr, named: dict[str, ast.expr]) -> Iterator[ast.Call]:
    """The calls of ``claim`` or ``pytest.mark.claim`` in an expression, and in the module's lists that it names
    (parameters).
    """
    for node in ast.walk(mark):
        if isinstance(node, ast.Call) and _called(node) == "claim":
            yield node
        elif isinstance(node, ast.Name) and isinstance(named.get(node.id), ast.List | ast.Tuple):
            yield from _claim_calls(named[node.id], {})


def _read(call: ast.Call, where: str, errors: list[str]) -> Iterator[Citation]:
    ids = [
        argument.value
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]
    options = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
    if (
        len(ids) != len(call.args)
        or not ids
        or set(options) - {"truth"}
        or not isinstance(options.get("truth", False), bool)
    ):
        errors.append(f'{where}: a claim mark is written claim("id", ...) or claim("id", ..., truth=True)')
        return
    yield from (Citation(id, options.get("truth", False)) for id in ids)
