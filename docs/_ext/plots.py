"""Plots of what a stored run recorded: the curve that a test of training handed in with ``record_property``.

    record_property("curve", {"x": "epoch", "y": "loss", "lines": {"training": [...], "test": [...]}})

A line holds the values of y at x = 1, 2, 3, ... Plots are SVG images with text as text, drawn for light ground; the
style sheet turns their colours around on dark ground.
"""

import base64
import io
from dataclasses import dataclass

import matplotlib
from languages import both
from markupsafe import Markup
from matplotlib.figure import Figure
from results import Run

# One hash salt and no date: equal data make equal files.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "claims", "font.size": 9, "axes.spines.top": False}
STYLE |= {
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=("#0b5c8a", "#c05621", "#2e8b57", "#8a63d2")),
}
LOGARITHMIC = 30  # from this ratio of the largest to the smallest value on, all positive, the scale is logarithmic


@dataclass(frozen=True)
class Plot:
    """An image for an ``img`` element: its address (the data themselves), what it shows in words, and a caption."""

    address: str
    text: str
    caption: Markup


def of(id: str, run: Run | None) -> list[Plot]:
    """The curves that the tests of a claim recorded in a run."""
    entries = run.claims[id]["tests"] if run else []
    return [plot(entry, run) for entry in entries if "curve" in entry.get("measured", {})]


def plot(entry: dict, run: Run) -> Plot:
    """One test's curve."""
    curve = entry["measured"]["curve"]
    name = entry["test"].partition("::")[2].removeprefix("test_").replace("_", " ")
    ends = [f"{label} from {values[0]:.3g} to {values[-1]:.3g}" for label, values in curve["lines"].items()]
    text = f"{name}: {curve['y']} by {curve['x']}; {', '.join(ends)}"
    where = f"torch {run.torch}, {run.device}"
    caption = both(f"{name}: as recorded on {where}", f"{name}：记录于 {where}")
    return Plot(f"data:image/svg+xml;base64,{base64.b64encode(svg(curve)).decode()}", text, caption)


def svg(curve: dict) -> bytes:
    """A curve as an SVG document."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 2.6), layout="constrained")
        axes = figure.subplots()
        for label, values in curve["lines"].items():
            axes.plot(range(1, len(values) + 1), values, label=label, marker="." if len(values) < 15 else None)
        values = [value for line in curve["lines"].values() for value in line]
        if min(values) > 0 and max(values) > LOGARITHMIC * min(values):
            axes.set_yscale("log")
        axes.set(xlabel=curve["x"], ylabel=curve["y"])
        if len(curve["lines"]) > 1:
            axes.legend(frameon=False)
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()
