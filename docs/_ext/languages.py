"""Two languages on one page: the roles and directives ``en`` and ``zh``.

What they mark carries its language (``lang="zh"``) and a class by which the reader's switch hides it. Without
JavaScript nothing is hidden, and both languages stand one after the other.
"""

from docutils import nodes
from markupsafe import Markup
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

# docutils turns a class "language-zh" into the attribute lang="zh"
CLASSES = {"en": ["lang-en", "language-en"], "zh": ["lang-zh", "language-zh"]}


class Words(SphinxRole):
    """``{en}`Creating tensors`{zh}`创建张量```: words of a heading or a line in one of the languages.

    The Chinese ones are led by a separator, for where both are shown: without JavaScript, or in a window's title.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        children, messages = self.inliner.parse(self.text, self.lineno, self.inliner, self.inliner.parent)
        words = nodes.inline(self.rawtext, "", *children, classes=CLASSES[self.name])
        between = [nodes.inline("", " · ", classes=["lang-between"])] if self.name == "zh" else []
        return [*between, words], messages


class Passage(SphinxDirective):
    """``:::{en}`` ... ``:::``: paragraphs in one of the languages."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.assert_has_content()
        return [nodes.container("", *self.parse_content_to_nodes(), classes=CLASSES[self.name])]


def both(en: str, zh: str) -> Markup:
    """A label in both languages, as HTML; what is not Markup is escaped."""
    return Markup('<span lang="en">{}</span><span lang="zh">{}</span>').format(en, zh)


def titles(en: str, zh: str) -> list[nodes.Node]:
    """The content of a heading in both languages, as the roles would make it."""
    return [
        nodes.inline("", en, classes=CLASSES["en"]),
        nodes.inline("", " · ", classes=["lang-between"]),
        nodes.inline("", zh, classes=CLASSES["zh"]),
    ]


def share(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Let templates write labels in both languages."""
    context["both"] = both


def setup(app: Sphinx) -> dict:
    for language in CLASSES:
        app.add_role(language, Words())
        app.add_directive(language, Passage)
    app.connect("html-page-context", share)
    return {"parallel_read_safe": True}
