"""What a test module says as text: read without importing it, and held to the few things that make a test one.

A test that returns may end before it asserts, one that yields or is async never runs at all, and counterfeits are
planted only where they stand at the top of their file with the claims' ids as texts.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path


def parse(path: Path, module: str, errors: list[str]) -> tuple[str, ast.Module] | None:
    """A file's text and syntax tree; None, and one line in ``errors``, where it has none."""
    try:
        text = path.read_text("utf8")
        return text, ast.parse(text)
    except SyntaxError as error:
        errors.append(f"{module}:{error.lineno}: {error.msg}")
    except UnicodeDecodeError as error:
        errors.append(f"{module}: not valid UTF-8: {error}")
    except (OSError, ValueError) as error:  # a folder or a dangling link of this name; a null byte
        errors.append(f"{module}: cannot be read: {getattr(error, 'strerror', None) or error}")
    return None


def is_counterfeits(path: Path) -> bool:
    """Whether a file holds counterfeits: any Python file in a chapter's folder ``counterfeits``."""
    return path.suffix == ".py" and (path.parent.name == "counterfeits" or path.name.startswith("counterfeits"))


def ends_early(tree: ast.Module, text: str, module: str) -> Iterator[str]:
    """One line for each test that need not reach its assertions."""
    lines = text.splitlines()
    for node in in_classes_too(tree.body):
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield f"{module}:{node.lineno}: {node.name} is async, and would never run"
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            if not re.search("return|yield", "\n".join(lines[node.lineno - 1 : node.end_lineno])):
                continue  # reading is quicker than walking, which is most of the gate's time
            for part in own_statements(node):
                if isinstance(part, ast.Return):
                    yield f"{module}:{part.lineno}: {node.name} returns; what a test does not assert, it does not show"
                elif isinstance(part, ast.Yield | ast.YieldFrom):
                    yield f"{module}:{part.lineno}: {node.name} yields, and would never run"


def in_classes_too(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, and those of its classes: where tests stand."""
    for node in body:
        yield node
        if isinstance(node, ast.ClassDef):
            yield from in_classes_too(node.body)


def own_statements(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """All nodes of a function's body, but for those of functions and classes within it."""
    waiting: list[ast.AST] = function.body[::-1]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield node
            waiting.extend([*ast.iter_child_nodes(node)][::-1])


def not_planted(tree: ast.Module, module: str) -> Iterator[str]:
    """One line for each counterfeit that would not be planted, or only under one of its names."""
    names: dict[str, int] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for mark in node.decorator_list:
            call = mark if isinstance(mark, ast.Call) else None
            name = ast.unparse(call.func if call else mark).rpartition(".")[2]
            if name != "counterfeit":
                continue
            where = f"{module}:{node.lineno}: {node.name}"
            if not call or not ids_of(call):
                yield f'{where}: a counterfeit is marked @counterfeit("id", ...), each id as a text'
            if node not in tree.body or not isinstance(node, ast.FunctionDef):
                yield f"{where}: a counterfeit is a function at the top of its file"
            if names.setdefault(node.name, node.lineno) != node.lineno:
                yield f"{where} has the name of the one in line {names[node.name]}, which it hides; rename one"


def ids_of(call: ast.Call) -> tuple[str, ...]:
    """The ids in a mark: texts, or a starred tuple of texts; none where something else stands among them."""
    parts = [part for one in call.args for part in (getattr(one.value, "elts", [one]) if _is_star(one) else [one])]
    ids = tuple(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return ids if len(ids) == len(parts) else ()


def _is_star(node: ast.expr) -> bool:
    return isinstance(node, ast.Starred)


def overlooked(tests: Path) -> Iterator[str]:
    """One line for each file of a chapter that holds tests or counterfeits, under a name by which neither is found."""
    for path in sorted(tests.glob("ch*/**/*.py")):
        place = path.relative_to(tests.parent).as_posix()
        if path.name == "conftest.py" or not path.is_file():
            continue
        if is_counterfeits(path) or path.name.startswith("test_"):
            continue
        parsed = parse(path, place, [])
        marks = [mark for node in ast.walk(parsed[1]) for mark in getattr(node, "decorator_list", [])] if parsed else []
        called = {ast.unparse(mark).partition("(")[0].rpartition(".")[2] for mark in marks}
        for kind, name in (("claim", "test_*.py"), ("counterfeit", "counterfeits/*.py")):
            if kind in called:
                yield f"{place}: holds a @{kind}, but nobody looks for it there; name the file {name}"
