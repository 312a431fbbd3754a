"""What makes a test module a page: its lessons stand alone, and read from top to bottom as the section of a textbook.

A page is a test module that lies directly in a chapter's folder; what lies in ``guards/`` beside it is held to no form.
"""

import ast
import builtins
from collections.abc import Iterator

from harness.register import Register

# pytest's own fixtures, and those that name what a run may lack
FIXTURES = (
    *("capsys", "tmp_path", "monkeypatch", "recwarn", "record_property"),
    *("device", "accelerator", "two_devices", "fashion_mnist"),
)
LINES = 20  # of a lesson's body, blank ones and its docstring apart: aim at 15; a listing of the notes may need more
LESSONS = 20  # on a page: a section of more is divided, in the book's order


def faults(tree: ast.Module, module: str, tests: list, register: Register) -> Iterator[str]:
    """One line for each way in which a page's lessons do not stand alone, or do not follow the book.

    ``tests`` are the module's tests as the gate reads them.
    """
    known = {*names_of(tree.body), *dir(builtins), "claim"}
    if len(tests) > LESSONS:
        yield f"{module}: {len(tests)} lessons on one page, {LESSONS} at most; divide it in the book's order"
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.FunctionDef) and not node.name.startswith("test")
        ):
            yield f"{module}:{node.lineno}: {node.name} is no lesson; a page holds lessons alone, each whole"
    order = {id: number for number, id in enumerate(register.claims)}
    before = (-1, False)
    for test in tests:
        where = f"{module}:{test.line}: {test.name}"
        node = functions.get(test.name)
        if node is None:
            continue  # in a class, which is reported above
        yield from (f"{where} {fault}" for fault in _alone(node, known))
        if len(test.citations) > 1:
            yield f"{where} cites {len(test.citations)} claims; a lesson is about one"
        for citation in test.citations[:1]:
            claim = register.claims.get(citation.claim)
            if claim is None:
                continue  # reported by the gate
            place = (order[claim.id], citation.truth)
            if place < before:
                yield f"{where} comes after a later claim's lesson; keep the register's order, the truth line's last"
            elif place == before:
                yield f"{where} is a second lesson of the same sentence; a claim and its truth line have one each"
            before = max(before, place)
            yield from (f"{where} {fault}" for fault in _sign(node, claim, citation.truth))


def names_of(nodes: list[ast.stmt]) -> set[str]:
    """The names that the imports among ``nodes`` bind."""
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}


def _alone(node: ast.FunctionDef, known: set[str]) -> Iterator[str]:
    for argument in [*node.args.args, *node.args.kwonlyargs]:
        if argument.arg not in FIXTURES:
            yield f"takes {argument.arg!r}; a lesson takes pytest's own fixtures, {', '.join(FIXTURES[5:])}, or nothing"
    for decorator in node.decorator_list:
        text = ast.unparse(decorator)
        if (
            not text.startswith(("claim(", "pytest.mark.claim("))
            and text not in MARKS
            and not any(mark in text for mark in ABOUT)
        ):
            yield f"is decorated with {text.partition('(')[0]}; a lesson has no parameters and draws nothing"
    code = node.body[1:] if ast.get_docstring(node) else node.body
    lines = {line for part in code for line in range(part.lineno, part.end_lineno + 1)}
    if len(lines) > LINES:
        yield f"has {len(lines)} lines; {LINES} at most, or it holds more than one fact"
    bound, used = set(), []
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            used.append(part.id)
        elif isinstance(part, ast.Name):
            bound.add(part.id)
        elif isinstance(part, ast.arg):
            bound.add(part.arg)
        elif isinstance(part, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            bound.add(part.name)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            bound.update(names_of([part]))
    for name in dict.fromkeys(used):
        if name not in bound | known:
            yield f"uses {name!r} from outside its body; a lesson stands alone"


ABOUT = ("needs_dtype", "start_values")  # marks with arguments: what of a device a lesson is about
MARKS = ("pytest.mark.cpu", "pytest.mark.cuda")


def _sign(node: ast.FunctionDef, claim, truth: bool) -> Iterator[str]:
    """A lesson of a false sentence says so where it stands: its docstring begins with the register's verdict."""
    first = (ast.get_docstring(node) or "").partition(":")[0]
    must_fail = not truth and claim.verdict in ("superseded", "mistaken")
    word = claim.verdict.capitalize()
    if must_fail and first != word:
        yield f'shows a false sentence; let its docstring begin with "{word}: " and say what is so'
    elif not must_fail and first in ("Superseded", "Mistaken"):
        yield f'says "{first}:", but the register expects it to pass'


def raised(node: ast.AST) -> Iterator[str]:
    """The exceptions that a test expects by ``raises``: "RuntimeError"."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and getattr(part.func, "attr", getattr(part.func, "id", "")) == "raises":
            for argument in part.args[:1]:
                names = argument.elts if isinstance(argument, ast.Tuple) else [argument]
                yield from (ast.unparse(name).rpartition(".")[2] for name in names)
