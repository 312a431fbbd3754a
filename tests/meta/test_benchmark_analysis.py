"""What the analysis of a benchmark run concludes: growth, ratios, rankings, rates, and where two runs disagree."""

import json
from pathlib import Path

import pytest
from benchmarks import analysis

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("exponent", [1, 2, 3])
def test_growth_is_the_exponent_of_a_power_of_the_size(exponent):
    noise = {10**3: 1.03, 10**4: 0.97, 10**5: 1.02, 10**6: 0.98}  # 3 % up and down
    fit = analysis.growth({size: 1e-9 * size**exponent * factor for size, factor in noise.items()} | {1: 1e-9})
    assert fit["exponent"] == pytest.approx(exponent, abs=3 * fit["error"])
    assert 0 < fit["error"] < 0.02
    assert (fit["from"], fit["to"], fit["settled"]) == (10**3, 10**6, True)


def test_growth_of_what_costs_the_same_is_zero_and_fitted_to_all_sizes():
    fit = analysis.growth({10: 1.0, 100: 1.1, 1000: 0.9, 10_000: 1.0})
    assert fit["exponent"] == pytest.approx(0, abs=0.03)
    assert (fit["from"], fit["settled"]) == (10, True)


def test_growth_leaves_out_the_sizes_whose_time_is_a_fixed_cost():
    """A cost of one second and of a millisecond for each element: from 100000 elements on it is the elements'."""
    fit = analysis.growth({10**k: 1 + 1e-3 * 10**k for k in range(8)})
    assert fit["from"] == 10**4
    assert fit["exponent"] == pytest.approx(1, abs=0.02)


def test_growth_that_is_still_bending_says_so():
    assert not analysis.growth({10: 1.0, 100: 1.1, 1000: 2.0, 10_000: 11.0})["settled"]


def test_growth_of_two_sizes_is_not_fitted():
    assert analysis.growth({1: 1.0, 2: 2.0})["exponent"] is None


def test_a_ratio_is_the_median_over_the_turns_with_its_range():
    assert analysis.ratio([2.0, 6.0, 2.2], [1.0, 2.0, 1.0]) == {"ratio": 2.2, "low": 2.0, "high": 3.0}


def test_ways_are_apart_only_where_all_across_the_gap_differ_in_every_turn():
    steady, slow = [1.0, 1.0, 1.0], [2.0, 2.0, 2.0]
    assert [step.get("apart") for step in analysis.ranking({"a": steady, "b": slow})] == [None, True]
    assert [step.get("apart") for step in analysis.ranking({"a": steady, "b": [1.05, 1.05, 1.05]})] == [None, False]
    noisy = [0.9, 2.5, 2.5]  # not told from a, though b, between the two, is
    assert [step.get("apart") for step in analysis.ranking({"a": steady, "b": slow, "c": noisy})] == [
        None,
        False,
        False,
    ]


def record(group, way, size, turns, **facts):
    known = {"size": "n", "claims": [], "moved_bytes": None, "operations": None, "turns": turns}
    return {"group": group, "params": {"way": way, "size": size}, "extra_info": known | facts}


def test_rates_are_shares_of_numpys_copy_in_the_same_run():
    run = [
        record("copy of memory", "numpy.copyto", 10, [1.0], moved_bytes=100),
        record("g", "a", 5, [4.0], moved_bytes=100),
    ]
    found = analysis.analyse(run)
    assert found["yardsticks"] == {"moved_bytes_per_second": 100}
    assert found["groups"]["g"]["ways"]["a"]["moved_bytes_share"] == 0.25


def test_the_accelerator_is_ahead_from_the_size_on_at_which_it_stays_ahead():
    def ahead_from(*times):
        ways = {"cpu": (1.0, 9.0, 3.0, 4.0), "accelerator": times}
        run = [record("g", way, size, [time]) for way in ways for size, time in enumerate(ways[way], start=1)]
        return analysis.analyse(run)["groups"]["g"]["ways"]["accelerator"]["faster_than_cpu_from"]

    assert ahead_from(2.0, 2.0, 4.0, 2.0) == 4
    assert ahead_from(2.0, 2.0, 2.0, 5.0) is None
    assert ahead_from(2.0, 2.0, 2.0, 3.9) is None  # within noise


def test_two_runs_disagree_only_where_each_tells_two_ways_apart(tmp_path, capsys):
    def run(name, a, b, torch):
        records = [record("g", "a", 1, a), record("g", "b", 1, b)]
        (tmp_path / name).write_text(json.dumps({"benchmarks": records, "machine_info": {"torch": torch}}))
        return str(tmp_path / name)

    first = run("first.json", [1.0, 1.0], [2.0, 2.0], "2.0")
    noisy = run("noisy.json", [1.0, 2.0], [0.9, 1.9], "2.0")
    other = run("other.json", [2.0, 2.0], [1.0, 1.0], "2.1")
    assert analysis.main([first, noisy]) == 0
    assert analysis.main([first, other]) == 1
    out = capsys.readouterr().out
    assert "g, 1: a < b, but in the other run b < a" in out
    assert "warning: torch is '2.1'" in out


def test_a_file_that_is_no_run_is_one_line_and_exit_code_2(tmp_path, capsys):
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "empty.json").write_text('{"benchmarks": [], "machine_info": {}}')
    still = {"benchmarks": [record("g", "a", 1, [0.0]), record("g", "b", 1, [0.0])], "machine_info": {}}
    (tmp_path / "still.json").write_text(json.dumps(still))
    names = ("list.json", "none.json", "empty.json", "still.json")
    for file in (ROOT / "README.md", tmp_path, *(tmp_path / name for name in names)):
        with pytest.raises(SystemExit, match="2"):
            analysis.main([str(file)])
        assert f"{file}: not a stored run (" in capsys.readouterr().err
