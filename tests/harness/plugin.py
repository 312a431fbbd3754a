"""Options, marks, and the start of a run."""

import gc

import pytest
from _pytest.config import create_terminal_writer

from harness import (
    against,
    blame,
    capabilities,
    cards,
    collected,
    counterfeits,
    detective,
    devices,
    documents,
    endurance,
    exercises,
    expectations,
    explain,
    known,
    left_out,
    missing,
    once,
    packages,
    printed,
    progress,
    randomness,
    refusals,
    report,
    search,
    specification,
    start_values,
    verdicts,
    wording,
)

# each brings its own options, hooks and fixtures
PARTS = (
    against,
    devices,
    endurance,
    capabilities,
    cards,
    refusals,
    left_out,
    start_values,
    randomness,
    collected,
    missing,
    once,
    packages,
    printed,
    blame,
    expectations,
    counterfeits,
    report,
    known,
    exercises,
    detective,
    search,
    wording,
)

# Beside some fifty examples that every guard always meets, a few by chance keep a run in seconds; acceptance takes 200.
EXAMPLES = 3
STEPS = 12  # of a state machine: enough to grow a container, cut it and grow it again

MARKS = (
    "claim(*ids, truth=False): the claims that a test tries, by their statement or by their truth line",
    "cpu: about the CPU (NumPy, main memory, the default device); runs there whatever --device names",
    "cuda: for a real CUDA GPU; put on the tests of claims that need one, and on full-size training and speed tests",
)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    for part in PARTS:
        pluginmanager.register(part, part.__name__)
    group = parser.getgroup("specification", "the executable specification")
    group.addoption(
        "--claim",
        action="append",
        default=[],
        metavar="ID",
        help="run only this claim's tests; repeatable, * and ? match",
    )
    group.addoption(
        "--explain",
        action="append",
        default=[],
        metavar="ID",
        help="print a claim, its truth and its tests; runs nothing",
    )
    group.addoption(
        "--book",
        action="store_true",
        help="end with every claim that was tried, in the book's order: sentence, verdict, truth",
    )
    # "=" before a path: pytest looks for its configuration around whatever path stands alone, before it knows these
    group.addoption("--verdicts", metavar="FILE", help="--verdicts=FILE: write the run's verdicts as JSON")
    group.addoption("--fashion-mnist", metavar="DIR", help="--fashion-mnist=DIR: where its four files are")
    group.addoption(
        "--pages", action="store_true", help="run the pages' lessons alone, without guards; gives no verdicts"
    )
    group.addoption(
        "--examples",
        type=int,
        default=EXAMPLES,
        metavar="N",
        help="how many drawn examples a guard tries beside those that it always meets, unless these are all there are "
        f"(default: {EXAMPLES})",
    )
    group.addoption("--seed", type=int, default=0, help="seed of all random numbers (default: 0)")


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer ``--explain`` and end; otherwise let pytest go on. Raises pytest.UsageError for an unknown claim."""
    if not config.getoption("explain"):
        return None
    spec = specification.read(config)
    coloured = create_terminal_writer(config).hasmarkup  # a terminal, and neither NO_COLOR nor --color=no
    for claim in spec.register.select(config.getoption("explain"), "--explain"):
        print(explain.claim(claim, spec, coloured, config.getoption("language") == "zh"))
    return pytest.ExitCode.OK


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # what imports and collection make stays: looking for garbage in it takes a tenth of a run
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    if config.getoption("examples") < 1:
        raise pytest.UsageError(f"--examples: a guard tries at least 1 example, not {config.getoption('examples')}")
    if config.getoption("pages") and (config.getoption("verdicts") or config.getoption("counterfeits")):
        raise pytest.UsageError("--pages gives no verdicts: leave out --verdicts and --counterfeits, or --pages")
    config.stash[specification.KEY] = specification.read(config)
    if config.getoption("verdicts") is not None and not specification.is_worker(
        config
    ):  # which may run on another machine
        try:
            documents.check_target(config.getoption("verdicts"))
        except ValueError as error:
            raise pytest.UsageError(f"--verdicts: {error}") from None
    recorder = verdicts.Recorder(config)
    config.pluginmanager.register(recorder)
    config.pluginmanager.register(report.Summary(recorder))
    config.pluginmanager.register(report.Broken(recorder))
    if not specification.of(config).partial and not config.getoption("pages") and config.get_verbosity() >= 0:
        config.pluginmanager.register(progress.Progress(recorder))
    config.pluginmanager.register(collected.Whole(recorder))
    config.pluginmanager.register(against.Against(recorder))
    if not specification.is_controller(config):
        # One thread: sums are rounded alike on every machine, workers do not compete for cores, and tensors as small as
        # the tests' gain nothing from more.
        import torch

        torch.set_num_threads(1)
        if not config.getoption("pages"):  # lessons draw nothing
            _settle_hypothesis(config)


def _settle_hypothesis(config: pytest.Config) -> None:
    """Let guards draw ``--examples`` examples, from ``--seed`` alone."""
    from hypothesis import HealthCheck, Phase, core, settings

    # No deadline and no stored examples: a verdict must not depend on the machine or on earlier runs. A counterfeit
    # needs no smallest example.
    phases = set(Phase) - ({Phase.shrink, Phase.explain} if config.getoption("counterfeits") else set())
    settings.register_profile(
        "specification",
        settings.get_profile("default"),  # where a CI's variable is set, Hypothesis has loaded another
        max_examples=config.getoption("examples"),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),  # what a device lacks is filtered, which is no fault of a guard
    )
    settings.load_profile("specification")
    # Every guard has a seed of its own, made of --seed; with this one besides, Hypothesis need not read and digest
    # each guard's source to find its place among stored examples, which there are none of.
    core.global_force_seed = config.getoption("seed")


def pytest_collection_finish() -> None:
    """Collect garbage again from here on, but never walk what was imported: torch alone is some 200,000 objects."""
    gc.freeze()
    gc.set_threshold(10_000)  # new objects between two looks: far more than a test makes, far less than memory holds
    gc.enable()


def pytest_unconfigure() -> None:
    gc.enable()  # where a run ended before it had collected


def pytest_ignore_collect(collection_path, config: pytest.Config) -> bool | None:
    """With ``--pages``, leave out the guards; with ``--claim``, import only the modules that hold tests of the chosen
    claims.
    """
    if config.getoption("pages") and collection_path.name == "guards":
        return True
    spec = specification.of(config)
    if spec.partial and collection_path.match("test_*.py"):
        citing = [test for test in spec.tests if config.rootpath / test.module == collection_path]
        if not any(citation.claim in spec.chosen for test in citing for citation in test.citations):
            return True
    return None
