"""The directive ``claims``: a list of ids, a card for each; every registered claim stands on one page, once."""

import functools
import re
from pathlib import Path

import cards
import pytest
from docutils import nodes
from harness.register import closest
from mistakes import Mistake
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

OPEN: list[cards.Book] = []  # the one book of a build: beside the environment, which is stored, and handed to and fro


def book() -> cards.Book:
    """What the pages are made of."""
    return OPEN[-1]


def open_book(directive: SphinxDirective) -> cards.Book:
    """The same, for a directive, whose page will be written anew when any of it changes."""
    for file in book().sources:
        directive.env.note_dependency(str(file))
    return book()


class Claims(SphinxDirective):
    """One id a line."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.assert_has_content()
        book = open_book(self)
        return [self.card(id.strip(), book) for id in self.content if id.strip()]

    def card(self, id: str, book: cards.Book) -> nodes.Node:
        claims = book.spec.register.claims
        if id not in claims:
            raise Mistake(f"{self.env.docname}.md: no claim is called {id!r}{closest(id, claims)}")
        self.env.claim_pages.append((id, self.env.docname))
        node = nodes.container(ids=[id], names=[id], classes=["claim", *cards.look(*book.status(claims[id])).split()])
        # left out of the search for words on pages: finder.py finds claims, and code would be a sixth of a build
        node += nodes.raw("", cards.html(claims[id], book), format="html", classes=["no-search"])
        self.state.document.note_explicit_target(node)
        self.env.domains.standard_domain.note_object("claim", id, id, location=node)
        return node


def highlight(source: str, app: Sphinx) -> str:
    """Python source as HTML. Words that have no colour of their own lose their element: they are half of a page's.
    So do operators, whose colour tells nothing that their form does not.
    """
    html = app.builder.highlighter.highlight_block(source, "python")
    return re.sub(r'<span class="(?:n|o|p|w)">([^<]*)</span>', r"\1", html)


def outdated(app: Sphinx, env: BuildEnvironment, added: set, changed: set, removed: set) -> list[str]:
    """Every page, when a stored run has come or gone. (One that changed is among the files a page depends on.)"""
    stored = sorted(path.name for path in Path(app.confdir, app.config.claims_root, "docs/results").glob("*.json"))
    before, env.stored_runs = getattr(env, "stored_runs", stored), stored
    return [] if stored == before else list(env.all_docs)


def load(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Read register, tests and stored runs before any page is read; their mistakes end the build, one line for each."""
    root = Path(app.confdir, app.config.claims_root)
    try:
        OPEN[:] = [cards.read(root, functools.cache(lambda source: highlight(source, app)))]  # tests share claims
    except pytest.UsageError as error:
        raise Mistake("\n".join(error.args)) from None
    env.claim_pages = getattr(env, "claim_pages", [])
    env.domains.standard_domain.object_types["claim"].attrs["searchprio"] = -1  # finder.py finds claims better


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    env.claim_pages = [(id, page) for id, page in getattr(env, "claim_pages", []) if page != docname]


def merge(app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment) -> None:
    """Take in what another process found on the pages that it read."""
    env.claim_pages += [(id, page) for id, page in other.claim_pages if page in docnames]


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Raise Mistake, one line for each, for claims that are on no page or on more than one."""
    pages: dict[str, list[str]] = {id: [] for id in book().spec.register.claims}
    for id, page in env.claim_pages:
        pages[id].append(f"{page}.md")
    errors = [f"claim {id!r} is on no page; put it into a claims block of its chapter" for id in pages if not pages[id]]
    errors += [f"claim {id!r} is shown more than once: {', '.join(where)}" for id, where in pages.items() if where[1:]]
    if errors:
        raise Mistake("\n".join(errors))


def setup(app: Sphinx) -> dict:
    app.add_config_value("claims_root", "..", "env")  # of the project, from the folder of conf.py
    app.add_directive("claims", Claims)
    app.add_object_type("claim", "claim", objname="claim")
    app.connect("env-get-outdated", outdated)
    app.connect("env-before-read-docs", load)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", check)
    return {"env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
