"""Formulas and the register's Markdown, as HTML that needs neither script nor font file: MathML, made at build time."""

from docutils import nodes
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mistakes import Mistake
from sphinx.application import Sphinx


def mathml(tex: str, display: bool = False) -> str:
    """A TeX formula as MathML. Raises Mistake, with the formula, for TeX that cannot be read."""
    try:
        return convert(tex, display="block" if display else "inline")
    except Exception as error:  # latex2mathml has no base class for its errors
        raise Mistake(f"formula ${tex}$ cannot be written as MathML: {type(error).__name__} {error}") from None


_markdown = MarkdownIt("commonmark", {"html": False}).use(
    dollarmath_plugin, renderer=lambda tex, options: mathml(tex, options["display_mode"])
)


def inline(markdown: str) -> Markup:
    """A sentence of the register as HTML: its code, emphasis, links and formulas."""
    return Markup(_markdown.renderInline(markdown))  # raw HTML in a sentence is escaped: html=False above


def _visit(translator, node: nodes.math | nodes.math_block) -> None:
    display = isinstance(node, nodes.math_block)
    html = mathml(node.astext(), display)
    translator.body.append(f'<div class="math">{html}</div>' if display else f'<span class="math inline">{html}</span>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (_visit, None), (_visit, None))
    return {"parallel_read_safe": True}
