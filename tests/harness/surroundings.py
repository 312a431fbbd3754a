"""What surrounds a run: what must be there, what is put right before it starts, and what would make it prove nothing.

Each thing that stands in the way is told in one line, before anything is collected. What can be put right is: variables
and settings by which torch behaves otherwise than as it was made. This module imports nothing of the harness, so that
it can be the first to look.
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

PYTHON = (3, 11)  # tomllib
PYTEST = (8, 4)  # pytest.TerminalReporter
JUDGED = ("torch", "torchvision", "numpy", "python")  # what --expect knows
NEEDED = ("torch", "numpy", "hypothesis")  # without one of them no module can be imported

VARIABLES = (
    *("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "TORCH_SHOW_CPP_STACKTRACES"),
    *("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "NVIDIA_TF32_OVERRIDE", "TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE"),
)
"""What makes torch another one than was installed. They are taken out of the environment, also for workers."""

OPTIONS = {
    "runxfail": "--runxfail: then a false statement that passes would count as refuted; leave it out",
    **dict.fromkeys(
        ("lf", "failedfirst", "newfirst", "stepwise", "stepwise_skip", "cacheshow"),
        "no run is remembered here, so that each finds the same; leave out --lf, --ff, --nf, --sw and --cache-show",
    ),
}
"""Options of pytest that would change what a verdict means, or do nothing here, by the name that pytest gives each."""

IDLE = ("explain", "capabilities", "showfixtures", "show_fixtures_per_test")
"""Options by which pytest, or the harness, answers a question and ends well."""

PLUGINS = {"skipping": "what must fail would count as failed", "python": "no test would be found"}


def missing() -> Iterator[str]:
    """What the run cannot do without, a line for each."""
    if sys.version_info < PYTHON:
        yield f"Python {platform.python_version()} is too old: at least {'.'.join(map(str, PYTHON))} is needed"
    if pytest.version_tuple[:2] < PYTEST:
        yield f"pytest {pytest.__version__} is too old: at least {'.'.join(map(str, PYTEST))} is needed"
    for package in NEEDED:
        if importlib.util.find_spec(package) is None:
            yield f"{package} is not installed in the environment of {sys.executable}"


def unsuitable(config: pytest.Config) -> Iterator[str]:
    """What would make the run prove nothing, or break a sound torch, a line for each."""
    yield from filter(None, map(unexpected, config.getoption("expect")))
    if sys.getfilesystemencoding() != "utf-8":
        yield f"file names are in {sys.getfilesystemencoding()} here, and some in tests are not: set PYTHONUTF8=1"
    if sys.flags.optimize:
        yield "python -O, or PYTHONOPTIMIZE: without assertions every test passes; leave it out"
    cached = config.pluginmanager.hasplugin("cacheprovider")
    for name, line in OPTIONS.items():
        if config.getoption(name, False) and (name == "runxfail" or not cached):
            yield line
    for plugin, why in PLUGINS.items():
        if not config.pluginmanager.hasplugin(plugin):
            yield f"-p no:{plugin}: then {why}; leave it out"
    if config.getoption("forked", False):
        yield "--forked: a test's own process takes with it what verdicts are made of; leave it out, or use -n 1"
    if config.getoption("counterfeits") and config.getoption("json_report", False):
        yield "--counterfeits: run tests again, of which --json-report loses track; leave out one of them"
    torch, numpy = installed("torch"), installed("numpy")
    if torch and numpy and release(torch) < (2, 3) and release(numpy) >= (2,):
        yield f"torch {torch} was built for NumPy 1 and finds no other, but NumPy {numpy} is there: install 'numpy<2'"


def put_right() -> None:
    """Set what a torch that was just imported has by itself. Raises pytest.UsageError where it cannot be imported."""
    # NumPy reads this when it is imported, which importing torch does: one thread for its products. Where all cores are
    # busy, one product in two threads took seconds.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        import torch
    except Exception as error:  # a library of the system that is missing, for one
        line = str(error).strip().partition("\n")[0]
        raise pytest.UsageError(f"torch cannot be imported: {type(error).__name__}: {line}") from None
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_flush_denormal(False)
    torch.set_printoptions(profile="default")
    torch.set_float32_matmul_precision("highest")
    torch.autograd.set_detect_anomaly(False)
    if torch.are_deterministic_algorithms_enabled():  # only then, as the setter imports torch's compiler: over a second
        torch.use_deterministic_algorithms(False)


def installed(package: str) -> str | None:
    """The installed release with its build ("2.14.1+cu130"), without importing the package; None if there is none."""
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    spec = importlib.util.find_spec(package)  # the metadata of a package from an index leave the build out
    written = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if written and written.is_file():
        found = re.search(r"^__version__ = ['\"](.+?)['\"]$", written.read_text("utf8"), re.MULTILINE)
        version = found[1] if found else version
    return version


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version."""
    return tuple(int(part) for part in re.match(r"\d+(\.\d+)*", version)[0].split("."))


def unexpected(wanted: str) -> str:
    """What is wrong with a "torch==2.5.1" given to ``--expect``, or with what is installed; empty if nothing is.

    A build ("+cu124") counts only where one is asked for.
    """
    name, _, version = wanted.partition("==")
    if name not in JUDGED or not re.fullmatch(r"[\w.+*-]+", version):
        return f"--expect: {wanted!r} is not of the form NAME==VERSION, with NAME one of {', '.join(JUDGED)}"
    there = platform.python_version() if name == "python" else installed(name)
    if there is None:
        return f"--expect {wanted}: {name} is not installed in the environment of {sys.executable}"
    compared = there if "+" in version else there.partition("+")[0]
    fits = compared.startswith(version[:-1]) if version.endswith(".*") else compared == version
    return "" if fits else f"--expect {wanted}: {name} {there} is in the environment of {sys.executable}"


def told(config: pytest.Config) -> str:
    """What is judged, where: the first line of a run."""
    packages = [f"{name} {installed(name) or 'not installed'}" for name in ("torch", "torchvision", "numpy")]
    return f"{', '.join(packages)}, Python {platform.python_version()}, on {config.getoption('device')}"


problems = list(missing())
if problems:
    # before any other part of the harness is imported, which would fail with a traceback
    raise pytest.UsageError(
        *problems, "what is needed: pip install -r tests/requirements.txt, beside the torch to be judged"
    )
SET_ASIDE = [name for name in VARIABLES if os.environ.pop(name, None) is not None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("specification").addoption(
        "--expect",
        action="append",
        default=[],
        metavar="NAME==VERSION",
        help=f"run only if this is what is judged ({', '.join(JUDGED)}); a version may end in .*; repeatable",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    problems = list(dict.fromkeys(unsuitable(config)))
    if problems:
        raise pytest.UsageError(*problems)
    if config.args_source == pytest.Config.ArgsSource.TESTPATHS:  # which pytest takes as if they were asked for by name
        ignored = {config.invocation_params.dir / path for path in config.getoption("ignore") or ()}
        config.args[:] = [argument for argument in config.args if config.rootpath / argument not in ignored]
    for stream in (sys.stdout, sys.stderr):  # Chinese sentences, on a terminal that knows ASCII alone
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # what torch.load said of its own default before it changed, and says of a setting that a lesson makes
    config.addinivalue_line("filterwarnings", "ignore:You are using .torch.load. with:FutureWarning")
    config.addinivalue_line("filterwarnings", "ignore:Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected")
    # what Python 3.11 says of a worker's main module where it is named in an error
    config.addinivalue_line("filterwarnings", "ignore:BuiltinImporter.module_repr")
    if hasattr(config, "workerinput") or not config.getoption("tx", None):
        put_right()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    out = session.config.pluginmanager.getplugin("terminalreporter")
    if out is not None and not hasattr(session.config, "workerinput"):
        out.line(textwrap.fill(told(session.config), max(40, shutil.get_terminal_size().columns)))
        if SET_ASIDE:
            out.line(f"set aside, as they change torch: {', '.join(SET_ASIDE)}")


@pytest.hookimpl(wrapper=True)
def pytest_report_header(config: pytest.Config):
    """Leave out how benchmarks are taken where none is."""
    lines = yield
    keep = any("benchmarks" in argument for argument in config.args)
    return [line for line in lines if keep or not str(line).startswith("benchmark: ")]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    below = config.invocation_params.dir != config.rootpath
    if (
        exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        and below
        and config.args == [str(config.invocation_params.dir)]
    ):
        terminalreporter.line(f"no claim is tried in this folder; run pytest in {config.rootpath}", red=True)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config):
    """End in one line when the user interrupts the end of an interrupted run. Raises pytest.UsageError for a question
    that would end a run well that must try everything.
    """
    asked = [name for name in IDLE if config.getoption(name, False)]
    if asked and "all" in config.getoption("require"):
        raise pytest.UsageError(f"--{asked[0].replace('_', '-')}: runs nothing; leave out --require all")
    try:
        return (yield)
    except KeyboardInterrupt:
        print("\ninterrupted again: no verdicts", file=sys.stderr)
        return pytest.ExitCode.INTERRUPTED


def pytest_unconfigure() -> None:
    import gc

    gc.unfreeze()  # what the harness froze: else C++ libraries see their objects leak at the end of the process
