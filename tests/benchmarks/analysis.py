"""What a run of the benchmarks says: how cost grows with size, and which way is the fastest.

    python tests/benchmarks/analysis.py RUN.json            one stored run
    python tests/benchmarks/analysis.py RUN.json OTHER.json  also whether their rankings agree, and what else differs

The exit code is 1 where two runs rank two ways in opposite order, 2 where a file is not a stored run.
"""

import argparse
import json
import math
import sys
from collections import defaultdict
from itertools import combinations, pairwise, product
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # where `harness` is, for a script that lies beside it

from harness.timing import crossover

# Two ways that differ by less are called equal, however narrow the interval: where code and data happen to lie in
# memory is settled once for a process, and alone moves a time by that much from one process to the next.
NOISE = 0.10

# What a plain NumPy copy and product reach at their largest size is what this machine can do: (group, way).
YARDSTICKS = {"moved_bytes": ("copy of memory", "numpy.copyto"), "operations": ("matrix product", "numpy")}

# Where the time of the smallest size is a fixed cost, it is less than a tenth of a time ten times as long.
FIXED_COST = 10


def lines(benchmarks: list[dict]) -> dict[str, dict[str, dict[int, dict]]]:
    """pytest-benchmark's records by group, way and size."""
    found: dict = defaultdict(lambda: defaultdict(dict))
    for record in benchmarks:
        found[record["group"]][record["params"]["way"]][record["params"]["size"]] = record["extra_info"]
    return found


def seconds(facts: dict) -> float:
    """The median of the turns' medians."""
    return median(facts["turns"])


def growth(times: dict[int, float]) -> dict:
    """Fit time = c * size**exponent to seconds by size, by least squares of the logarithms.

    Small sizes, whose time is mostly a fixed cost, are left out: those whose time is not yet FIXED_COST times the
    shortest. A line whose times all lie within a factor of two is flat, and fitted whole. Of any other line that has
    fewer than three sizes left the three largest are taken, and ``settled`` is false: it is still bending.
    Returns also the exponent's standard error (both None where fewer than three sizes were measured), and the sizes
    from which and to which it was fitted.
    """
    sizes, shortest, longest = sorted(times), min(times.values()), max(times.values())
    grown = [size for size in sizes if times[size] >= FIXED_COST * shortest]
    flat = longest < 2 * shortest
    settled = flat or len(grown) >= 3
    fitted = sizes if flat else grown if settled else sizes[-3:]
    exponent = error = None
    if len(fitted) >= 3:
        x, y = np.log(fitted), np.log([times[size] for size in fitted])
        (exponent, _), covariance = np.polyfit(x, y, 1, cov=True)
        exponent, error = round(float(exponent), 3), round(float(math.sqrt(covariance[0, 0])), 3)
    return {"exponent": exponent, "error": error, "from": fitted[0], "to": fitted[-1], "settled": settled}


def ratio(slower: list[float], faster: list[float]) -> dict:
    """How many times as long one way takes as another: the median over their turns, and the range.

    The turns are paired, since each pair was measured in the same stretch of time. The range of n turns holds the true
    median unless all n fell to one side of it, which has the probability 2 / 2**n: of five turns 6 %.
    """
    ratios = [a / b for a, b in zip(slower, faster)]
    return {"ratio": round(median(ratios), 3), "low": round(min(ratios), 3), "high": round(max(ratios), 3)}


def ranking(turns: dict[str, list[float]]) -> list[dict]:
    """The ways from the fastest to the slowest; each with its ratio to the one before it, but the first.

    A way is ``apart`` from those before it where each of them is faster than it and than each that follows, by a ratio
    whose whole range lies beyond NOISE. So ways with none that is apart between them are not told from each other.
    """
    ways = sorted(turns, key=lambda way: median(turns[way]))
    found = [{"way": ways[0]}]
    for place, (before, way) in enumerate(pairwise(ways), start=1):
        pairs = product(ways[place:], ways[:place])
        apart = all(ratio(turns[slower], turns[faster])["low"] > 1 + NOISE for slower, faster in pairs)
        found.append({"way": way, **ratio(turns[way], turns[before]), "apart": apart})
    return found


def analyse(benchmarks: list[dict]) -> dict:
    """A run as plain data: by group, the unit of its sizes, each way's growth and rates, the ranking at each size."""
    found = lines(benchmarks)
    best = {}
    for fact, (group, way) in YARDSTICKS.items():
        sizes = found.get(group, {}).get(way, {})
        if sizes:
            best[fact] = sizes[max(sizes)][fact] / seconds(sizes[max(sizes)])
    groups = {}
    for group, ways in found.items():
        sizes = sorted({size for way in ways.values() for size in way})
        facts = next(iter(next(iter(ways.values())).values()))
        groups[group] = {
            "size": facts["size"],
            "claims": facts["claims"],
            "ways": {way: _way(way, by_size, best, ways.get("cpu")) for way, by_size in ways.items()},
            "ranking": {
                str(size): ranking({way: by_size[size]["turns"] for way, by_size in ways.items() if size in by_size})
                for size in sizes
            },
        }
    return {"yardsticks": {f"{fact}_per_second": round(rate) for fact, rate in best.items()}, "groups": groups}


def _way(way: str, by_size: dict[int, dict], best: dict[str, float], cpu: dict[int, dict] | None) -> dict:
    times = {size: seconds(facts) for size, facts in by_size.items()}
    found: dict = {"growth": growth(times)}
    if cpu and way == "accelerator":
        faster = {size: seconds(cpu[size]) / times[size] for size in times.keys() & cpu.keys()}
        found["faster_than_cpu_from"] = crossover({size: ratio / (1 + NOISE) for size, ratio in faster.items()})
    largest = by_size[max(by_size)]
    for fact in YARDSTICKS:
        if largest[fact]:
            rate = largest[fact] / seconds(largest)
            found[f"{fact}_per_second"] = round(rate)
            if fact in best:
                found[f"{fact}_share"] = round(rate / best[fact], 3)
    memory = ("allocated_bytes", "peak_bytes", "python_peak_bytes")
    return found | {fact: largest.get(fact) for fact in memory}


def disagreements(one: dict, other: dict) -> list[str]:
    """The pairs of ways that two analysed runs put in opposite order, at a size, each beyond noise; one line each."""
    found = []
    for group in one["groups"].keys() & other["groups"].keys():
        rankings = one["groups"][group]["ranking"], other["groups"][group]["ranking"]
        for size in rankings[0].keys() & rankings[1].keys():
            ahead = [_ahead(ranking[size]) for ranking in rankings]
            for faster, slower in ahead[0]:
                if (slower, faster) in ahead[1]:
                    found.append(f"{group}, {size}: {faster} < {slower}, but in the other run {slower} < {faster}")
    return sorted(found)


def _ahead(ranked: list[dict]) -> set[tuple[str, str]]:
    """The pairs (faster, slower) that a ranking tells from each other."""
    return {
        (ranked[i]["way"], ranked[j]["way"])
        for i, j in combinations(range(len(ranked)), 2)
        if any(step["apart"] for step in ranked[i + 1 : j + 1])
    }


def text(analysis: dict) -> list[str]:
    """The analysis as lines of text. "a < b 2.1 [2.0, 2.3]": b takes 2.1 times as long; "=": within noise."""
    told = []
    for group, facts in analysis["groups"].items():
        told += ["", f"{group}, by {facts['size']}"]
        width = max(len(way) for way in facts["ways"])
        told += [f"  {way:<{width}}  {_told(found)}" for way, found in facts["ways"].items()]
        for size, ranked in facts["ranking"].items():
            steps = [
                f" {'<' if step['apart'] else '='} {step['way']} {step['ratio']:.3g} [{step['low']:.3g},"
                f" {step['high']:.3g}]"
                for step in ranked[1:]
            ]
            told.append(f"  {int(size):>11,}: {ranked[0]['way']}{''.join(steps)}")
    return told


def _told(found: dict) -> str:
    fit = found["growth"]
    parts = ["growth not fitted" if fit["exponent"] is None else f"size^{fit['exponent']:.2f} ± {fit['error']:.2f}"]
    parts[0] += f" ({fit['from']:,} to {fit['to']:,}{'' if fit['settled'] else ', still bending'})"
    for fact, unit in (("moved_bytes", "GB/s"), ("operations", "GFLOP/s")):
        if f"{fact}_per_second" in found:
            share = found.get(f"{fact}_share")
            parts.append(f"{found[f'{fact}_per_second'] / 1e9:.3g} {unit}" + (f" ({share:.0%})" if share else ""))
    if "faster_than_cpu_from" in found:
        start = found["faster_than_cpu_from"]
        parts.append("not faster than cpu" if start is None else f"faster than cpu from {start:,}")
    for fact, who in (("allocated_bytes", "torch"), ("python_peak_bytes", "Python")):
        if found[fact] is not None:
            parts.append(f"{who} {found[fact]:,} B")
    return ", ".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Print the report of each stored run, and how each later one differs from the first. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("run", nargs="+", help="what --benchmark-json=RUN.json or --benchmark-autosave wrote")
    files = parser.parse_args(arguments).run
    runs = [load(file, parser) for file in files]
    if len(runs) == 1:
        print("\n".join(text(runs[0]["analysis"])))
    status = 0
    for file, run in zip(files[1:], runs[1:]):
        facts = runs[0]["machine_info"], run["machine_info"]
        for name in sorted(facts[0].keys() | facts[1].keys()):
            if facts[0].get(name) != facts[1].get(name):
                print(f"{file}: warning: {name} is {facts[1].get(name)!r}, in {files[0]} {facts[0].get(name)!r}")
        differing = disagreements(runs[0]["analysis"], run["analysis"])
        print(f"{file}: {len(differing)} pairs ranked in opposite order to {files[0]}", *differing, sep="\n  ")
        status = status or int(bool(differing))
    return status


def load(file: str, parser: argparse.ArgumentParser) -> dict:
    """A stored run, analysed anew; where the file is none, exit with one line that says so."""
    try:
        run = json.loads(Path(file).read_text("utf8"))
        run["machine_info"], run["analysis"] = dict(run["machine_info"]), analyse(run["benchmarks"])
        if not run["benchmarks"]:
            raise ValueError("it has no benchmarks")
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        what = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        parser.error(f"{file}: not a stored run ({what}); pytest tests/benchmarks --benchmark-json=FILE stores one")
    return run


if __name__ == "__main__":
    sys.exit(main())
