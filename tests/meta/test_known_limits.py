"""--known-limits: what is known fails no run, what is new does, and so does a limit that is none any more."""

import pytest
from harness import sim

needs_sim = pytest.mark.skipif(bool(sim.refusal()), reason=str(sim.refusal()))

BROKEN = """
@claim("broken")
def test_wrong():
    assert torch.ones(2).tolist() == [0.0, 0.0]


@claim("sound")
def test_right():
    assert torch.ones(2).tolist() == [1.0, 1.0]
"""


@pytest.fixture
def run(project, entry):
    """A function that runs two claims, one of which is broken, with a file of known limits."""

    def run(limits, *arguments):
        project.only(entry("broken") + entry("sound"), BROKEN)
        (project.path / "limits.toml").write_text(limits, "utf8")
        return project.run("--known-limits=limits.toml", *arguments)

    return run


def test_a_known_claim_fails_no_run(run):
    result = run('[claims]\nbroken = "not yet"\n')
    assert result.ret == 0
    result.stdout.fnmatch_lines(["known limits: 1 test did what limits.toml says"])


def test_what_is_new_does(run):
    assert run("[claims]\n").ret == pytest.ExitCode.TESTS_FAILED


def test_a_limit_that_is_none_any_more_fails_the_run(run):
    result = run('[claims]\nbroken = "not yet"\nsound = "not yet"\n')
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["no limits any more: *", "  claim sound is holds, as it should be"])


def test_a_claim_that_this_run_did_not_try_is_left_alone(run):
    assert run('[claims]\nbroken = "not yet"\nsound = "not yet"\n', "--claim=broken").ret == 0


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ('[claims]\nbrokn = "not yet"\n', "limits.toml: no claim is called 'brokn'; did you mean 'broken'?"),
        ('[claims]\nbroken = ""\n', "limits.toml: 'broken' needs a reason"),
        ('[operator]\n"aten::abs" = "x"\n', "limits.toml has tables [[]claims] and [[]operators], not 'operator'"),
        ("broken", "limits.toml cannot be read: *"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_a_usage_error(run, limits, problem):
    result = run(limits)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --known-limits: {problem}"])


REFUSED = """
@claim("abs")
def test_abs():
    assert torch.tensor([-1.0]).abs().tolist() == [1.0]


@claim("sort")
def test_sort():
    assert torch.tensor([2, 1]).sort().values.tolist() == [1, 2]
"""


@needs_sim
@pytest.mark.parametrize(
    ("limits", "code", "told"),
    [
        ('"aten::abs" = "x"\n"aten::sort" = "x"', 0, "known limits: 2 tests did what *"),
        ('"aten::abs of float32" = "x"\n"aten::sort of int64" = "x"', 0, "known limits: 2 tests did what *"),
        ('"aten::abs" = "x"', 1, "known limits: 1 test did what *"),
        ('"aten::abs" = "x"\n"aten::sort" = "x"\n"aten::mm" = "x"', 1, "  operator aten::mm was refused to no test"),
    ],
)
def test_a_known_operator_fails_no_run_that_requires_operators(project, entry, limits, code, told):
    project.only(entry("abs") + entry("sort"), REFUSED)
    (project.path / "limits.toml").write_text(f"[operators]\n{limits}\n", "utf8")
    options = ("--device=sim", "--sim-lacks=aten::abs,aten::sort", "--require=operators", "-n0")
    result = project.pytester.runpytest_subprocess(*options, "--known-limits=limits.toml")
    assert result.ret == code
    result.stdout.fnmatch_lines([told])
