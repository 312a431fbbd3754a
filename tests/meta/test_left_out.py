"""Members of a guard's populations whose operator the device refuses are left out and told, and nothing else is."""

import json

import pytest
from harness import sim

needs_sim = pytest.mark.skipif(bool(sim.refusal()), reason=str(sim.refusal()))

GUARDS = """
from hypothesis import strategies as st
from populations import among, over

REVERSED = {
    "flip": lambda x: x.flip(0),
    "sort": lambda x: x.sort(descending=True).values,
    "topk": lambda x: x.topk(2).values,
}


@claim("part")
@over(name=among(*REVERSED), size=among(2))
def test_all_reverse(name, size):
    assert REVERSED[name](torch.arange(size)).tolist() == [1, 0]


@claim("nothing-left")
@over(name=among("sort"))
def test_only_the_subject(name):
    assert REVERSED[name](torch.arange(2)).tolist() == [1, 0]


@claim("drawn")
@over(name=among("flip"), other=st.sampled_from(["sort"] * 9 + ["flip"]))
def test_as_drawn(name, other):
    assert REVERSED[other](torch.arange(2)).tolist() == [1, 0]


@claim("there")
@over(name=among("sort", "flip"))
def test_with_the_accelerator(name, accelerator):
    assert REVERSED[name](torch.arange(2, device=accelerator)).tolist() == [1, 0]


@claim("wrong")
@over(name=among("sort", "flip"))
def test_something_else_is_wrong(name):
    assert REVERSED[name](torch.arange(2)).device.type == "cpu"


@claim("nowhere")
@over(name=among("flip", "sort"))
def test_what_the_cpu_refuses_too(name):
    if name == "sort":
        raise NotImplementedError("no kernel")


@claim("another-error")
@over(name=among("flip", "sort"))
def test_an_error_of_another_kind(name):
    x = torch.arange(2)
    if name == "sort" and x.device.type == "sim":
        raise RuntimeError("sizes do not match")
"""

IDS = ("part", "nothing-left", "drawn", "there", "wrong", "nowhere", "another-error")


@pytest.fixture
def run(project, entry):
    """A function that runs these guards on a device that cannot sort; it returns the result and the claims by id."""

    def run(*arguments):
        project.only("".join(map(entry, IDS)), GUARDS)
        options = ("--device=sim", "--sim-lacks=aten::sort", "--verdicts=v.json", "-n0", *arguments)
        result = project.pytester.runpytest_subprocess(*options)
        claims = json.loads((project.path / "v.json").read_text("utf8"))["claims"]
        return result, {claim["id"]: claim for claim in claims}

    return run


@needs_sim
def test_a_guard_is_tried_without_the_members_that_wait_for_an_operator(run):
    result, claims = run()
    verdicts = {id: claim["verdict"] for id, claim in claims.items()}
    assert verdicts == {
        **{"part": "holds", "nothing-left": "refused", "drawn": "holds", "there": "holds"},
        **{"wrong": "broken", "nowhere": "broken", "another-error": "refused"},
    }
    reason = "RuntimeError: sim: no kernel is built for sort of int64"
    [part, there] = [claims[id]["tests"][0]["without"] for id in ("part", "there")]
    assert [one[:2] for one in (*part, *there)] == [["aten::sort of int64", reason]] * 2
    assert part[0][2] >= 1
    assert all("without" not in claims[id]["tests"][0] for id in ("nothing-left", "wrong", "nowhere"))
    result.stdout.fnmatch_lines(
        [
            "refused: the device raises where the CPU passes",
            f"  1 claim by this alone, 1 in all, 3 in part: aten::sort of int64: {reason}",
        ]
    )


@needs_sim
def test_no_member_is_left_out_where_operators_are_required(run):
    result, claims = run("--require=operators", "--claim=part")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert claims["part"]["verdict"] == "broken"
    assert claims["part"]["tests"][0]["cause"] == "aten::sort of int64"
    result.stdout.fnmatch_lines(["*--require operators: refused: aten::sort of int64*"])


@needs_sim
def test_a_known_operator_that_members_wait_for_is_still_a_limit(run, project):
    (project.path / "limits.toml").write_text('[operators]\n"aten::sort" = "planned"\n', "utf8")
    result, claims = run("--known-limits=limits.toml")
    assert claims["part"]["verdict"] == "holds"
    assert "refused to no test" not in result.stdout.str()
