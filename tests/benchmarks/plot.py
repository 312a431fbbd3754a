"""Draw a stored run: for each comparison a picture of time against size, and the analysis of all as report.txt.

    python tests/benchmarks/plot.py RUN.json FOLDER

A picture has one line for each way. Both axes are logarithmic, so that a slope is an exponent: a flat line costs the
same at every size, a diagonal one grows as the size does. The band around a line spans its turns. Needs matplotlib
(docs/requirements.txt).
"""

import argparse
import sys
from itertools import cycle
from pathlib import Path

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.ticker import EngFormatter, FixedLocator

sys.path.insert(0, str(Path(__file__).parents[1]))  # where `benchmarks` is, for a script that lies within it

from benchmarks import analysis

# Seen on white and on near-black paper alike: each has a contrast of 3 or more to both. Markers tell the lines apart
# without the colours.
COLOURS = ("#2a7fd0", "#d5661f", "#2f9464", "#b0589b", "#8a7a1f")
MARKERS = "osD^v"
TEXT = "#7d7d7d"
STYLE = {
    "svg.fonttype": "none",  # text stays text: found by a search, read by a screen reader
    "svg.hashsalt": "benchmarks",  # equal runs give equal files
    "font.family": "sans-serif",
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(group: str, ways: dict[str, dict[int, dict]], analysed: dict, time: str, file: Path) -> None:
    """Write the picture of one comparison, from its parts of lines() and analyse() (analysis.py); ``time`` names y."""
    with pyplot.rc_context(STYLE):
        # margins of our own: matplotlib's automatic layout draws everything twice
        margins = {"left": 0.15, "right": 0.97, "bottom": 0.13, "top": 0.92}
        figure, axes = pyplot.subplots(figsize=(6.4, 4), gridspec_kw=margins)
        for (way, by_size), colour, marker in zip(ways.items(), cycle(COLOURS), cycle(MARKERS)):
            sizes = sorted(by_size)
            turns = [by_size[size]["turns"] for size in sizes]
            axes.plot(
                sizes,
                [analysis.seconds(by_size[size]) for size in sizes],
                color=colour,
                marker=marker,
                label=f"{way}: {_slope(analysed['ways'][way]['growth'])}",
            )
            low, high = [min(turn) for turn in turns], [max(turn) for turn in turns]
            axes.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0)
            start = analysed["ways"][way].get("faster_than_cpu_from")
            if start is not None:
                axes.axvline(start, color=colour, linestyle=":")
                place = axes.get_xaxis_transform()  # x as the data, y as a fraction of the height
                axes.text(start, 0.02, f" faster than cpu from {start:,}", color=colour, transform=place)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sorted({size for by_size in ways.values() for size in by_size})))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_formatter(EngFormatter(unit="s"))
        axes.minorticks_off()
        axes.set_xlabel(analysed["size"])
        axes.set_ylabel(time)
        axes.set_title(group)
        axes.grid(alpha=0.25)
        axes.legend(framealpha=0)
        figure.savefig(file, transparent=True, metadata={"Date": None, "Title": f"{group}: time by {analysed['size']}"})
        pyplot.close(figure)


def _slope(fit: dict) -> str:
    if fit["exponent"] is None:
        return "too few sizes to fit"
    return f"size^{fit['exponent']:.2f} ± {fit['error']:.2f}" + ("" if fit["settled"] else ", still bending")


def main(arguments: list[str] | None = None) -> int:
    """Draw every comparison of a run; the exit code is 0, or 2 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("run", help="what --benchmark-json=RUN.json wrote")
    parser.add_argument("folder", type=Path, help="for one SVG of each comparison and report.txt; made if need be")
    options = parser.parse_args(arguments)
    run = analysis.load(options.run, parser)
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"{options.folder}: {error.strerror}")
    machine = run["machine_info"]
    time = "processor time" if machine.get("timer") == "time.process_time" else "time"
    made_on = (
        f"torch {machine['torch']} on {machine['device_name']} ({machine['device']}), CPU threads {machine['threads']}"
    )
    report = [f"{made_on}, by {time}", *analysis.text(run["analysis"])]
    (options.folder / "report.txt").write_text("\n".join(report) + "\n", "utf8")
    for group, ways in analysis.lines(run["benchmarks"]).items():
        draw(group, ways, run["analysis"]["groups"][group], time, options.folder / f"{group.replace(' ', '-')}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
