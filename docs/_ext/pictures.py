"""The directive ``picture``: what words explain badly, drawn by the build from what NumPy says of an array.

A picture is HTML with small SVGs in it: text stays text, colours are the page's own in light and dark, and the parts
stand one below the other where a window is narrow. Each language has its own, with what is seen told in words.
tests/meta/test_the_site_s_pictures.py holds every number and name against torch.
"""

from collections.abc import Iterable

import numpy
from docutils import nodes
from formulas import inline
from markupsafe import Markup
from mistakes import Mistake
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CELL = 38  # pixels of a square: two digits of the page's size have room
STORAGE = numpy.arange(6)
MATRIX = STORAGE.reshape(2, 3)
VIEWS = {"x": MATRIX, "x.t()": MATRIX.T, "x[:, 1:]": MATRIX[:, 1:]}  # as torch writes them
MARKED = 4  # the element that is followed from the storage into every view
ROW, COLUMN = numpy.array([[1, 2]]), numpy.array([[1], [2], [3]])  # as in the notes
# What z = y * y * 3 with y = x + 2, and its mean, leave behind: the code that made a result, its node's name, and the
# places in this list of the nodes that ``next_functions`` names, None for a constant.
GRAPH = (
    ("out = z.mean()", "MeanBackward0", (1,)),
    ("z = y * y * 3", "MulBackward0", (2, None)),
    ("y * y", "MulBackward0", (3, 3)),
    ("y = x + 2", "AddBackward0", (4, None)),
    ("x", "AccumulateGrad", ()),
)


def layout(view: numpy.ndarray) -> tuple[tuple[int, ...], int]:
    """Strides and offset of a view of STORAGE, counted in elements as torch counts them."""
    start = view.__array_interface__["data"][0] - STORAGE.__array_interface__["data"][0]
    return tuple(stride // view.itemsize for stride in view.strides), start // view.itemsize


def grid(
    rows: Iterable, marked: int | None = None, real: tuple[int, int] | None = None, places: bool = False
) -> Markup:
    """A table of numbers; ``marked`` is filled, what lies outside ``real`` rows and columns is dashed."""
    rows = numpy.asarray(rows).tolist()
    real = real or (len(rows), len(rows[0]))
    cells = Markup("")
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            look = "marked" if value == marked else "repeated" if i >= real[0] or j >= real[1] else "cell"
            x, y = j * CELL + 1, i * CELL + 1
            cells += Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(look, x, y, CELL, CELL)
            cells += words(value, x + CELL // 2, y + CELL // 2 + 5)
            cells += words(j, x + CELL // 2, y + CELL + 15, "place") if places else ""
    return svg(cells, len(rows[0]) * CELL + 2, len(rows) * CELL + 2 + 18 * places, str(rows))


def words(text: object, x: int, y: int, look: str = "") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text>').format(look, x, y, text)


def svg(content: Markup, width: int, height: int, told: str) -> Markup:
    """A drawing, and what it shows for who does not see it."""
    form = '<svg role="img" aria-label="{3}" width="{0}" height="{1}" viewBox="0 0 {0} {1}">{2}</svg>'
    return Markup(form).format(width, height, content, told)


def part(code: str, drawn: Markup, *lines: str) -> Markup:
    """A drawing with its code above and lines below."""
    below = Markup("<br>").join(lines)
    return Markup('<div class="part"><code>{}</code>{}<small>{}</small></div>').format(code, drawn, below)


def strides(zh: bool) -> Markup:
    parts = part("存储" if zh else "storage", grid([STORAGE], MARKED, places=True))
    for code, view in VIEWS.items():
        by, offset = layout(view)
        (at,) = numpy.argwhere(view == MARKED).tolist()
        told = ("形状", "步幅", "偏移量") if zh else ("shape", "strides", "offset")
        lines = [f"{name} {value}" for name, value in zip(told, (view.shape, by, offset))]
        place = f"{offset} + {at[0]}·{by[0]} + {at[1]}·{by[1]} = {offset + at[0] * by[0] + at[1] * by[1]}"
        parts += part(code, grid(view, MARKED), *lines, place)
    return parts


def broadcasting(zh: bool) -> Markup:
    shape = numpy.broadcast_shapes(ROW.shape, COLUMN.shape)
    told = ("形状", "当作", "步幅") if zh else ("shape", "read as", "strides")
    parts = Markup("")
    for code, array in {"x": ROW, "y": COLUMN}.items():
        read = numpy.broadcast_to(array, shape)
        by = tuple(stride // array.itemsize for stride in read.strides)
        lines = f"{told[0]} {array.shape}", f"{told[1]} {shape}", f"{told[2]} {by}"
        parts += part(code, grid(read, real=array.shape), *lines)
    return parts + part("x + y", grid(ROW + COLUMN), f"{told[0]} {shape}")


def graph(zh: bool) -> Markup:
    left, step, wide, high = 190, 74, 128, 30  # of the nodes: their left edge, distance, width and height
    drawn = Markup(
        '<defs><marker id="{0}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>'
    ).format(head := f"head-{'zh' if zh else 'en'}")

    def arrow(x: int, y: int, to_x: int, to_y: int, bend: int = 0) -> Markup:
        path = f"M{x} {y} Q{(x + to_x) // 2 + bend} {(y + to_y) // 2} {to_x} {to_y}"
        return Markup('<path class="arrow" d="{}" marker-end="url(#{})"/>').format(path, head)

    for at, (code, name, following) in enumerate(GRAPH):
        y = at * step + 2
        middle = y + high // 2
        drawn += Markup('<rect class="node" x="{}" y="{}" width="{}" height="{}" rx="6"/>').format(left, y, wide, high)
        drawn += words(name, left + wide // 2, middle + 5) + words(code, 60, middle + 5)
        leaf = not following
        drawn += arrow(left - 3, middle, 75, middle) if leaf else arrow(122, middle, left - 3, middle)
        drawn += words("variable" if leaf else "grad_fn", 132 if leaf else 155, middle - 5, "place")
        for number, to in enumerate(following):
            if to is None:
                drawn += arrow(left + wide - 20, y + high, left + wide - 4, y + high + 17)
                drawn += words("None", left + wide - 2, y + high + 30, "place")
            else:
                bend = (number * 2 - 1) * 34 if following.count(to) > 1 else 0
                x = left + wide // 2 + bend // 4
                drawn += arrow(x, y + high, x, to * step - 1, bend)
    told = "; ".join(
        f"{code}: {name} → {', '.join('None' if to is None else GRAPH[to][1] for to in following) or 'variable'}"
        for code, name, following in GRAPH
    )
    return part("", svg(drawn, left + wide + 24, (len(GRAPH) - 1) * step + high + 4, told))


PICTURES = {  # name: what draws it, and what is seen on it, in both languages
    "strides": (
        strides,
        "One storage, 0 to 5, read in three ways. The marked 4 lies at place 4 of the storage in all of them; the last "
        "line counts it out: offset, plus row number times first stride, plus column number times second stride.",
        "同一个存储，从 0 到 5，有三种读法。标出的 4 在每种读法中都位于存储的第 4 处；"
        "最后一行是计算：偏移量，加行号乘第一个步幅，加列号乘第二个步幅。",
    ),
    "broadcasting": (
        broadcasting,
        "What is dashed is read, but is nowhere in memory: with stride 0, every step along that dimension returns to "
        "the same element. Only the sum, three rows of two, is allocated.",
        "虚线框中的元素能读到，内存中却并不存在：步幅为 0，沿该维无论走几步，读到的都是同一个元素。"
        "只有三行两列的和才分配内存。",
    ),
    "graph": (
        graph,
        "The record of `out = (y * y * 3).mean()` with `y = x + 2`, read from the result to the leaf. Arrows between "
        "nodes are `next_functions`. Both factors of `y * y` lead to the one node that made y; a constant has no node.",
        "`out = (y * y * 3).mean()`（其中 `y = x + 2`）留下的记录，从结果读到叶子节点。"
        "节点之间的箭头是 `next_functions`。`y * y` 的两个因子通向产生 y 的同一个节点；常数没有节点。",
    ),
}


class Picture(SphinxDirective):
    """``{picture} strides``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        if self.arguments[0] not in PICTURES:
            raise Mistake(f"{self.env.docname}.md: no picture is called {self.arguments[0]!r}: {', '.join(PICTURES)}")
        draw, *seen = PICTURES[self.arguments[0]]
        form = (
            '<figure class="picture lang-{0}" lang="{0}"><div class="parts">{1}</div>'
            "<figcaption>{2}</figcaption></figure>"
        )
        html = Markup("").join(
            Markup(form).format(language, draw(language == "zh"), inline(text))
            for language, text in zip(("en", "zh"), seen)
        )
        return [nodes.raw("", html, format="html")]


def setup(app: Sphinx) -> dict:
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True}
