"""How the comparisons are measured: pytest-benchmark does it; here is what it lacks.

Each comparison is one test function with the parameters `size` and `way`. It is measured in several *turns*: all
sizes and ways once, then all again, and so on, so that a neighbour who keeps the machine busy for a second slows one
turn of every way rather than all of one. The turns' medians give each ratio its interval (analysis.py).
"""

import os
import statistics
import tracemalloc

# NumPy and torch read this when they are imported. One thread unless the caller says otherwise: two runs can be
# compared only with equally many, and a neighbour on another core disturbs one thread least.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from harness import devices, environment, specification
from harness.register import closest
from harness.timing import clock

from benchmarks import analysis

# what `pytest-benchmark compare` reads; quartiles and sums of every benchmark would double the document
STATISTICS = ("min", "max", "mean", "median", "iqr", "stddev", "ops", "outliers", "rounds", "iterations")

# pytest-benchmark's options, where neither the command line nor PYTEST_ADDOPTS gives them: rounds of half a millisecond
# or more, at least three, for a twentieth of a second a turn. They stand here, since in pytest.ini they would be wrong
# words to every run without pytest-benchmark.
SETTINGS = {
    "numprocesses": 0,  # no worker even for a backend: they are timed where they can use the machine alone
    "benchmark_min_time": "0.0005",
    "benchmark_min_rounds": 3,
    "benchmark_max_time": "0.05",
    "benchmark_warmup": True,
    "benchmark_warmup_iterations": 2,
    "benchmark_disable_gc": True,
    "benchmark_group_by": "group,param:size",
    "benchmark_columns": ["median", "iqr", "rounds"],
}

FIRST = pytest.StashKey[dict]()  # name of a benchmark -> pytest-benchmark's record of its first turn
FAILED = pytest.StashKey[set]()  # names of the benchmarks that failed in some turn


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    config = pluginmanager.get_plugin("pytestconfig")
    vars(config.option).update(SETTINGS)  # the command line, parsed when all conftest.py are loaded, replaces them
    parser.getgroup("benchmark").addoption(
        "--turns",
        type=int,
        default=5,
        metavar="N",
        help="measure every benchmark in N turns (default: 5); with 5, the range of a ratio over the turns holds its"
        " true median with a confidence of 94 %%, with 8 of 99 %%",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "comparison(size, claims=()): what its size counts; the claims it illustrates")
    config.stash[FIRST], config.stash[FAILED] = {}, set()
    if not hasattr(config.option, "benchmark_disable"):
        raise pytest.UsageError(
            "tests/benchmarks needs the plugin pytest-benchmark; install it (requirements.txt), and leave out"
            " -p no:benchmark and PYTEST_DISABLE_PLUGIN_AUTOLOAD"
        )
    timed = not (config.getoption("benchmark_disable") or config.getoption("benchmark_skip"))
    if timed and specification.is_controller(config):
        raise pytest.UsageError(
            "-n: workers slow each other down, so benchmarks are timed without them; leave out -n, or run each"
            " benchmark once, untimed, with --benchmark-disable"
        )
    if config.getoption("turns") < 1:
        raise pytest.UsageError(f"--turns: there is no run of {config.getoption('turns')} turns; give 1 or more")
    if not os.environ["OMP_NUM_THREADS"].isdigit():
        raise pytest.UsageError(f"OMP_NUM_THREADS: {os.environ['OMP_NUM_THREADS']!r} is not one number of threads")


def pytest_sessionstart() -> None:
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Called before the parameters of the marks are set, so that the turn changes slowest."""
    if "turn" in metafunc.fixturenames:
        turns = 1 if metafunc.config.getoption("benchmark_disable") else metafunc.config.getoption("turns")
        metafunc.parametrize("turn", range(1, turns + 1), ids="turn{}".format)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Time what runs on an accelerator by that device's clock. Raises pytest.UsageError for an unknown claim."""
    import torch

    known = specification.of(config).register.claims
    for item in items:
        mark = item.get_closest_marker("comparison")
        device = torch.device(devices.device_for(item))
        if mark and device.type != "cpu":
            item.add_marker(pytest.mark.benchmark(timer=clock(device)))
        for id in mark.kwargs.get("claims", ()) if mark else ():
            if id not in known:
                raise pytest.UsageError(
                    f"{item.nodeid.partition('[')[0]} illustrates an unknown claim {id!r}{closest(id, known)}"
                )


@pytest.fixture
def measure(benchmark, request, turn):
    """``measure(work, moved=bytes, operations=n)`` times calls of ``work()`` and returns what the last one returned.

    ``moved`` is how many bytes one call reads and writes at least, ``operations`` how many additions and
    multiplications it makes. Allocated bytes are counted in further calls, which are not timed.
    """
    function = request.node.originalname
    mark = request.node.get_closest_marker("comparison")
    benchmark.group = function.removeprefix("test_").replace("_", " ")
    benchmark.name = request.node.name.replace(f"[turn{turn}-", "[")
    benchmark.fullname = request.node.nodeid.replace(f"[turn{turn}-", "[")
    benchmark.params = {name: value for name, value in benchmark.params.items() if name != "turn"}
    benchmark.param = benchmark.param.removeprefix(f"turn{turn}-")

    def run(work, *, moved=None, operations=None):
        result = benchmark(work)
        if benchmark.enabled:
            facts = join_turns(request.config, benchmark.stats)
            facts |= {"size": mark.kwargs["size"], "claims": list(mark.kwargs.get("claims", ()))}
            facts |= {"moved_bytes": moved, "operations": operations}
            if turn == request.config.getoption("turns"):  # last, lest the profiler disturb what is timed after it
                facts |= memory_of(work, devices.device_for(request.node))
        return result

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if report.failed and "benchmark" in getattr(item, "funcargs", {}):
        item.config.stash[FAILED].add(item.funcargs["benchmark"].fullname)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session):
    """Take away the times of what failed in any turn or was interrupted. End a run that has regressed by one line, not
    by a traceback.
    """
    from pytest_benchmark.session import PerformanceRegression  # here, since a run without the plugin ends earlier

    records = session.config.pluginmanager.get_plugin("pytest-benchmark").benchmarks
    failed = session.config.stash[FAILED]
    records[:] = [record for record in records if "turns" in record.extra_info and record.fullname not in failed]
    try:
        return (yield)
    except PerformanceRegression as regression:
        pytest.exit(str(regression), returncode=pytest.ExitCode.TESTS_FAILED)


def join_turns(config: pytest.Config, record) -> dict:
    """Add the rounds of a later turn to the record of the first one. Returns that record's ``extra_info``."""
    first = config.stash[FIRST].setdefault(record.fullname, record)
    first.extra_info.setdefault("turns", []).append(statistics.median(record.stats.data))
    if first is not record:
        first.stats.data.extend(record.stats.data)
        config.pluginmanager.get_plugin("pytest-benchmark").benchmarks.remove(record)
    return first.extra_info


def memory_of(work, device: str) -> dict:
    """The bytes that one call of ``work`` asks of torch's allocator in all, and the most of them held at a time; and
    the most that Python and NumPy hold. None for an accelerator whose allocator torch's profiler does not watch.
    """
    import torch

    tracemalloc.start()
    try:
        work()
        peak_of_python = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if device.partition(":")[0] not in ("cpu", "cuda"):
        return {"allocated_bytes": None, "peak_bytes": None, "python_peak_bytes": peak_of_python}
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        work()
    changes = [event.nbytes() for event in profile.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for change in changes:
        held += change
        peak = max(peak, held)
    allocated = sum(change for change in changes if change > 0)
    return {"allocated_bytes": allocated, "peak_bytes": peak, "python_peak_bytes": peak_of_python}


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict) -> None:
    """Facts that decide a time, and no others: a warning that two runs differ must mean something."""
    cpu = machine_info["cpu"]
    machine_info["cpu"] = {name: cpu[name] for name in ("brand_raw", "arch", "count") if name in cpu}
    for name in ("node", "release", "processor", "python_build", "python_compiler", "python_implementation_version"):
        machine_info.pop(name, None)
    found = environment.of(config)
    names = ("torch", "torchvision", "numpy", "device", "simulated")
    machine_info |= {name: found[name] for name in names}
    machine_info |= {"device_name": found["host"]["device_name"], "threads": found["host"]["threads"]}
    machine_info["timer"] = str(config.getoption("benchmark_timer"))  # that of the CPU; an accelerator has its own


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_commit_info(commit_info: dict) -> None:
    for name in ("project", "branch"):  # what a folder and a branch are called here says nothing elsewhere
        commit_info.pop(name, None)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(output_json: dict) -> None:
    """Leave out single rounds, what is equal for all, and digits that mean nothing; add the whole run's analysis."""
    for benchmark in output_json["benchmarks"]:
        benchmark["stats"] = {name: benchmark["stats"][name] for name in STATISTICS}
        for facts in (benchmark["stats"], benchmark["extra_info"]):
            facts |= {name: _rounded(value) for name, value in facts.items()}
        options = benchmark.pop("options")
        output_json["options"] = {name: value for name, value in options.items() if name != "timer"}
    output_json["analysis"] = analysis.analyse(output_json["benchmarks"])


def _rounded(value):
    """Six digits of a number, or of each in a list."""
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config):
    """The analysis, below pytest-benchmark's tables: there it is found, also where these end with a regression."""
    try:
        return (yield)
    finally:
        records = config.pluginmanager.get_plugin("pytest-benchmark").benchmarks
        if records:
            turns = config.getoption("turns")
            terminalreporter.section(
                f"growth and ranking ({turns} turns: a range holds the true ratio with {1 - 2 / 2**turns:.0%})"
            )
            for line in analysis.text(analysis.analyse([record.as_dict(include_data=False) for record in records])):
                terminalreporter.line(line)
