"""The benchmarks: what is measured, what a run stores and says, and that the page about them names what is there."""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import register

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "tests/benchmarks"
PAGE = (ROOT / "docs/benchmarks.md").read_text("utf8")

# The number of calls is known, so that so is the time: the work moves a clock of its own.
COMPARISON = """\
import pytest
import torch


@pytest.mark.comparison(size="elements", claims=["{claim}"])
@pytest.mark.parametrize("way", ["clone", "new"])
@pytest.mark.parametrize("size", [1000, 2000, 4000])
def test_a_copy(size, way, measure):
    x = torch.ones(size)
    copy = measure(x.clone if way == "clone" else lambda: torch.{function}(size), moved=8 * size)
    assert copy.tolist() == [1] * size
"""

QUICK = ("--turns=2", "--benchmark-max-time=0.0001", "--benchmark-min-time=0.00001", "--benchmark-quiet")


@pytest.fixture
def benchmarks(project, monkeypatch):
    """A project with one comparison of two ways to make a tensor of ones, measured as those of this project are."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # where it is set, pytest-benchmark does not time
    ini = (ROOT / "pytest.ini").read_text("utf8").replace("pythonpath = tests", f"pythonpath = {ROOT / 'tests'}")
    (project.path / "pytest.ini").write_text(ini, "utf8")
    project.write("benchmarks/conftest.py", (BENCHMARKS / "conftest.py").read_text("utf8"))
    project.write("benchmarks/test_copies.py", COMPARISON.format(claim="adds", function="ones"))
    return project


def stored(project, *arguments):
    result = project.run("tests/benchmarks", *QUICK, "--benchmark-json=run.json", *arguments)
    return result, json.loads((project.path / "run.json").read_text("utf8"))


def test_a_run_stores_one_record_of_each_way_and_size_with_its_turns_and_its_memory(benchmarks):
    result, run = stored(benchmarks)
    result.assert_outcomes(passed=12)  # two turns of six
    records = {record["name"]: record for record in run["benchmarks"]}
    assert sorted(records) == sorted(
        f"test_a_copy[{size}-{way}]" for size in (1000, 2000, 4000) for way in ("clone", "new")
    )
    facts = records["test_a_copy[1000-clone]"]["extra_info"]
    assert len(facts["turns"]) == 2
    assert (facts["allocated_bytes"], facts["peak_bytes"], facts["moved_bytes"]) == (4000, 4000, 8000)
    assert (facts["claims"], facts["size"]) == (["adds"], "elements")
    assert {record["group"] for record in run["benchmarks"]} == {"a copy"}


def test_a_stored_run_says_what_it_ran_on_and_holds_no_single_rounds_and_no_name_of_the_machine(benchmarks):
    _, run = stored(benchmarks)
    machine = run["machine_info"]
    assert {"torch", "numpy", "device", "simulated", "device_name", "threads", "timer", "cpu"} <= machine.keys()
    assert "node" not in machine
    assert not any("data" in record["stats"] for record in run["benchmarks"])
    assert run["options"]["disable_gc"] is True


def test_a_run_ends_with_growth_and_ranking(benchmarks):
    result, run = stored(benchmarks)
    result.stdout.fnmatch_lines(["*growth and ranking*50%*", "a copy, by elements", "  clone*size^*", "*1,000: *[[]*]"])
    assert list(run["analysis"]["groups"]["a copy"]["ways"]) == ["clone", "new"]


def test_a_way_with_a_wrong_result_fails_and_has_no_time(benchmarks):
    benchmarks.write("benchmarks/test_copies.py", COMPARISON.format(claim="adds", function="zeros"))
    result, run = stored(benchmarks)
    result.assert_outcomes(passed=6, failed=6)
    assert {record["params"]["way"] for record in run["benchmarks"]} == {"clone"}


@pytest.mark.parametrize("turn", [1, 2])
def test_a_way_that_raises_in_one_turn_has_no_time(benchmarks, turn):
    raises = f"measure(x.clone if way == 'clone' or turn != {turn} else lambda: torch.ones(-1), moved=8 * size)"
    text = COMPARISON.format(claim="adds", function="ones").replace("way, measure):", "way, measure, turn):")
    before, _, after = text.partition("measure(x.clone")
    benchmarks.write("benchmarks/test_copies.py", before + raises + after[after.index("\n") :])
    result, run = stored(benchmarks)
    result.assert_outcomes(passed=9, failed=3)
    assert {record["params"]["way"] for record in run["benchmarks"]} == {"clone"}


def test_the_analysis_stands_below_the_tables(benchmarks):
    options = [option for option in QUICK if option != "--benchmark-quiet"]
    lines = benchmarks.run("tests/benchmarks", *options).outlines
    titles = [line for line in lines if "growth and ranking" in line or line.startswith("Name (time in")]
    assert len(titles) == 4  # three sizes
    assert "growth and ranking" in titles[-1]


def test_the_benchmarks_settings_are_theirs_alone_and_yield_to_the_command_line(benchmarks):
    def settings(*arguments):
        [line] = [line for line in benchmarks.run(*arguments, "--collect-only").outlines if "min_rounds" in line]
        return re.findall(r"(?:disable_gc|min_rounds|max_time)=([\w.]+)", line)

    assert settings("tests/benchmarks") == ["True", "3", "0.05"]
    assert settings("tests/benchmarks", "--benchmark-max-time=1.0") == ["True", "3", "1.0"]


def test_only_benchmarks_need_the_plugin(benchmarks):
    benchmarks.run("-p", "no:benchmark").assert_outcomes(passed=4, xfailed=1)
    result = benchmarks.run("tests/benchmarks", "-p", "no:benchmark")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0].startswith("ERROR: tests/benchmarks needs the plugin pytest-benchmark")


def test_benchmarks_run_only_where_they_are_named(benchmarks):
    benchmarks.run("tests").assert_outcomes(passed=4, xfailed=1)
    benchmarks.run("tests/benchmarks/test_copies.py", "--benchmark-disable").assert_outcomes(passed=6)


def test_timing_beside_workers_is_refused(benchmarks):
    result = benchmarks.run("tests/benchmarks", "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: -n: workers slow each other down" in result.stderr.str()


@pytest.mark.parametrize(
    ("variable", "arguments", "problem"), [("one", (), "OMP_NUM_THREADS: 'one'"), ("1", ("--turns=0",), "--turns")]
)
def test_a_wrong_option_is_one_line(benchmarks, monkeypatch, variable, arguments, problem):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    result = benchmarks.run("tests/benchmarks", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0].startswith(f"ERROR: {problem}")


def test_an_unknown_claim_ends_the_run_with_the_closest_id(benchmarks):
    benchmarks.write("benchmarks/test_copies.py", COMPARISON.format(claim="add", function="ones"))
    result = benchmarks.run("tests/benchmarks", "--benchmark-disable")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == (
        "ERROR: tests/benchmarks/test_copies.py::test_a_copy illustrates an unknown claim 'add'; did you mean 'adds'?"
    )


def test_a_comparison_with_a_run_of_another_torch_warns_and_a_regression_fails(benchmarks):
    _, run = stored(benchmarks)
    run["machine_info"]["torch"] = "1.0"
    for record in run["benchmarks"]:
        record["stats"]["median"] /= 1000
    (benchmarks.path / "old.json").write_text(json.dumps(run))
    bounds = ("--benchmark-compare=old.json", "--benchmark-compare-fail=median:50%")
    result = benchmarks.pytester.runpytest_subprocess("tests/benchmarks", *QUICK, *bounds)
    assert result.ret == 1
    said = result.stdout.str() + result.stderr.str()
    assert "machine_info is different" in said
    assert "Performance has regressed" in said
    assert "Traceback" not in said


# ── the benchmarks and their page ──


def comparisons():
    """The name of each comparison, as pictures and groups have it, and the claims that it cites."""
    for path in sorted(BENCHMARKS.glob("test_*.py")):
        tree = ast.parse(path.read_text("utf8"))
        named = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
        for function in tree.body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                marks = [mark for mark in function.decorator_list if "mark.comparison(" in ast.unparse(mark)]
                cited = [keyword.value for mark in marks for keyword in mark.keywords if keyword.arg == "claims"]
                cited += [named[node.id] for value in cited for node in ast.walk(value) if isinstance(node, ast.Name)]
                ids = {node.value for value in cited for node in ast.walk(value) if isinstance(node, ast.Constant)}
                assert len(marks) == 1, f"{path.name}: {function.name} needs one mark `comparison`"
                yield function.name.removeprefix("test_").replace("_", " "), ids


def test_every_claim_that_a_benchmark_cites_is_registered():
    claims = register.load(ROOT / "tests").claims
    cited = {id for _, ids in comparisons() for id in ids}
    assert {"copying-costs-time-and-space", "new-optimizer-is-cheap", "gpu-outruns-cpu-on-large-work"} <= cited
    assert cited - claims.keys() == set()


def test_the_page_shows_every_comparison_once():
    shown = "\n".join(re.findall(r"^:::\{benchmarks\}\n(.*?)\n:::$", PAGE, re.MULTILINE | re.DOTALL)).splitlines()
    assert sorted(shown) == sorted(group for group, _ in comparisons())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_stored_runs_have_every_comparison_and_the_claims_that_it_cites_now(device):
    run = json.loads((ROOT / f"docs/results/benchmarks-{device}.json").read_text("utf8"))
    groups = run["analysis"]["groups"]
    assert {group: set(facts["claims"]) for group, facts in groups.items()} == dict(comparisons())
    assert run["machine_info"]["device"] == device
    assert any("accelerator" in facts["ways"] for facts in groups.values()) is (device == "cuda")


def test_every_option_that_the_page_names_is_one_of_pytest_s(pytestconfig):
    commands = re.findall(r"^(?:OMP_NUM_THREADS=\d+ )?pytest tests/benchmarks(.*)$", PAGE, re.MULTILINE)
    rows = re.findall(r"^\| `(-.*?)` \|", PAGE, re.MULTILINE)
    options = {word.partition("=")[0] for line in [*commands, *rows] for word in shlex.split(line) if word[0] == "-"}
    known = {"--turns"}  # of tests/benchmarks/conftest.py, which this run has not loaded
    for group in [pytestconfig._parser._anonymous, *pytestconfig._parser._groups]:
        known.update(name for option in group.options for name in option.names())
    assert "--turns" in options
    assert options <= known


def test_two_stored_runs_can_be_compared_by_the_command_of_the_page(tmp_path):
    [line] = re.findall("^pytest-benchmark compare .*", PAGE, re.MULTILINE)
    for name in ("old.json", "new.json"):
        shutil.copy(ROOT / "docs/results/benchmarks-cpu.json", tmp_path / name)
    command = [sys.executable, "-m", "pytest_benchmark", *shlex.split(line)[1:]]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "test_array_to_tensor[1000-from_numpy]" in result.stdout
    assert "+0.0%" in result.stdout


def test_a_stored_run_can_be_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -r docs/requirements.txt")
    from benchmarks import plot

    assert plot.main([str(ROOT / "docs/results/benchmarks-cpu.json"), str(tmp_path)]) == 0
    drawn = {path.stem.replace("-", " ") for path in tmp_path.glob("*.svg")}
    assert drawn == {group for group, _ in comparisons()}
    picture = (tmp_path / "array-to-tensor.svg").read_text("utf8")
    assert "from_numpy: size^" in picture
    assert "bytes of the array" in picture
    first, _, second = (tmp_path / "report.txt").read_text("utf8").splitlines()[:3]
    assert re.fullmatch(r"torch 2\.\d+\.\d\S* on .+ \(cpu\), CPU threads 1, by processor time", first)
    assert second.startswith("another shape, by bytes")
