"""Plots of what stored runs recorded: the benchmarks, and the curves that tests of training handed in.

    record_property("curve", {"x": "epoch", "y": "loss", "lines": {"training": [...], "test": [...]}})

A line holds the values of y at x = 1, 2, 3, ... Plots are SVG images with text as text, drawn for light ground; the
style sheet turns their colours around on dark ground. The benchmarks' pictures are drawn by tests/benchmarks/plot.py
into docs/_benchmarks, for docs/benchmarks.md, and shown by the cards of the claims that they illustrate.
"""

import base64
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from docutils import nodes
from labels import chinese, in_chinese
from languages import CLASSES, both
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mistakes import Mistake
from results import Run
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# One hash salt and no date: equal data make equal files.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "claims", "font.size": 9, "axes.spines.top": False}
STYLE |= {
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=("#0b5c8a", "#c05621", "#2e8b57", "#8a63d2")),
}
# What pictures and report are made by.
DRAWING = [Path(__file__).parents[2] / "tests/benchmarks" / name for name in ("plot.py", "analysis.py")]
DRAWING += [Path(__file__).with_name("labels.py")]
LOGARITHMIC = 30  # from this ratio of the largest to the smallest value on, all positive, the scale is logarithmic


@dataclass(frozen=True)
class Plot:
    """An image for an ``img`` element in English and one in Chinese: its address and what it shows in words by
    language; a caption; and the kind, for the style.
    """

    address: dict[str, str]
    text: dict[str, str]
    caption: Markup
    kind: str


def draw_benchmarks(results: Path, folder: Path) -> dict[str, list[str]]:
    """Draw the stored benchmark runs, unless the pictures are newer; return the groups that illustrate each claim.

    The run on the CPU gives all pictures, but for those that compare the CPU with an accelerator: a run on one gives
    these, and a report of its own beside them. Raises Mistake for a file that is no such run.
    """
    stored = [file for file in (results / f"benchmarks-{device}.json" for device in ("cpu", "cuda")) if file.is_file()]
    if not stored:
        return {}
    illustrated: dict[str, list[str]] = {}
    drawn: dict[Path, set[Path]] = {}  # the files that come of each run
    for file in stored:
        own = folder if file is stored[0] else folder / file.stem.partition("-")[2]
        try:
            groups = json.loads(file.read_text("utf8"))["analysis"]["groups"]
            for group in groups if file is stored[0] else ():
                for id in groups[group]["claims"]:
                    illustrated.setdefault(id, []).append(group)
            chosen = [
                group for group in groups if file is stored[0] or "accelerator" in " ".join(groups[group]["ways"])
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise Mistake(f"{file.name}: not a stored run of the benchmarks: {type(error).__name__} {error}") from None
        drawn[file] = {own / "report.txt", *(own / picture(group, name) for group in chosen for name in CLASSES)}
    newest = max(file.stat().st_mtime for file in (*stored, *DRAWING))
    if not all(file.is_file() and file.stat().st_mtime > newest for files in drawn.values() for file in files):
        from benchmarks import plot

        for file, files in drawn.items():
            own = next(iter(files)).parent
            plot.main([str(file), str(own)])
            for made in own.glob("*.svg"):
                if made.suffixes != [".zh", ".svg"]:
                    made.with_suffix(".zh.svg").write_text(in_chinese(made.read_text("utf8")), "utf8")
            for made in files if own != folder else ():
                if made.suffix == ".svg":
                    shutil.copyfile(made, folder / made.name)
    return illustrated


def picture(group: str, language: str) -> str:
    """The file name that tests/benchmarks/plot.py gives a group's picture, and that of the Chinese one."""
    return f"{group.replace(' ', '-')}{'.zh' * (language == 'zh')}.svg"


def by_size(group: str) -> dict[str, str]:
    """What a group's picture shows, by language."""
    return {"en": f"time by size: {group}", "zh": f"时间随规模的变化：{chinese(group)}"}


def benchmark(group: str) -> Plot:
    """A group's picture, where Sphinx puts the pictures of docs/benchmarks.md, which shows all of them."""
    told = both(f"Benchmark: {group}", f"基准测试：{chinese(group)}")
    caption = Markup('<a href="benchmarks.html">{}</a>').format(told)
    return Plot({name: f"_images/{picture(group, name)}" for name in CLASSES}, by_size(group), caption, "benchmark")


def of(id: str, run: Run | None, called: Callable[[str], tuple[str, str]]) -> list[Plot]:
    """The curves that the tests of a claim recorded in a run; ``called`` gives the two names of a test."""
    functions = {entry["test"] for entry in run.claims[id]["tests"]} if run else set()
    measured = {test: run.measured[test] for test in run.measured if test.partition("[")[0] in functions} if run else {}
    return [plot(called(test), recorded["curve"], run) for test, recorded in measured.items() if "curve" in recorded]


def plot(names: tuple[str, str], curve: dict, run: Run) -> Plot:
    """One test's curve."""
    lines = curve["lines"].items()
    ends = [f"{label} from {values[0]:.3g} to {values[-1]:.3g}" for label, values in lines]
    ends_zh = [f"{chinese(label)}从 {values[0]:.3g} 到 {values[-1]:.3g}" for label, values in lines]
    text = {"en": f"{names[0]}: {curve['y']} by {curve['x']}; {', '.join(ends)}"}
    text["zh"] = f"{names[1]}：{chinese(curve['y'])}随{chinese(curve['x'])}的变化；{'，'.join(ends_zh)}"
    where = f"torch {run.torch}, {run.device}"
    caption = both(f"{names[0]}: as recorded on {where}", f"{names[1]}：记录于 {where}")
    drawn = svg(curve)
    images = {"en": drawn, "zh": in_chinese(drawn.decode()).encode()}
    kind = "data:image/svg+xml;base64,"
    return Plot(
        {name: kind + base64.b64encode(image).decode() for name, image in images.items()}, text, caption, "curve"
    )


def svg(curve: dict) -> bytes:
    """A curve as an SVG document."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 2.6))
        # margins of our own: matplotlib's automatic layout draws everything twice, for a tenth of a build
        axes = figure.subplots(gridspec_kw={"left": 0.15, "right": 0.98, "bottom": 0.18, "top": 0.97})
        for label, values in curve["lines"].items():
            axes.plot(range(1, len(values) + 1), values, label=label, marker="." if len(values) < 15 else None)
        values = [value for line in curve["lines"].values() for value in line]
        if min(values) > 0 and max(values) > LOGARITHMIC * min(values):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel=curve["x"], ylabel=curve["y"])
        axes.xaxis.get_major_locator().set_params(integer=True)  # there is no epoch 1.5
        if len(curve["lines"]) > 1:
            axes.legend(frameon=False)
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


class Benchmarks(SphinxDirective):
    """Pictures of the stored benchmark runs: the name of a comparison a line."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.assert_has_content()
        return [nodes.paragraph("", "", *(self.image(group, name) for name in CLASSES)) for group in self.content]

    @staticmethod
    def image(group: str, language: str) -> nodes.image:
        address = f"_benchmarks/{picture(group, language)}"
        return nodes.image(uri=address, alt=by_size(group)[language], classes=CLASSES[language])


def setup(app: Sphinx) -> dict:
    app.add_directive("benchmarks", Benchmarks)
    return {"parallel_read_safe": True}
