"""Every test starts from its own seed and leaves no trace."""

import pytest

MODULE = """
import random
from pathlib import Path

import numpy
from hypothesis import given, strategies

pytestmark = claim("c")


def note(name, *numbers):
    with Path(name).open("a") as file:
        print(*numbers, file=file)


@pytest.fixture(scope="module")
def shared():
    return torch.rand(1).item()


def test_one(shared):
    note("one", torch.rand(1).item(), numpy.random.rand(), random.random())
    note("shared", shared)
    assert True


def test_two(shared):
    note("two", torch.rand(1).item(), numpy.random.rand(), random.random())
    note("shared", shared)
    assert True


@given(strategies.integers())
def test_three(number):
    note("three", number)
    assert True
"""
TEST = "tests/ch1_sample/test_1_1_sample.py::test_{}"


@pytest.fixture
def drawn(project, entry):
    """A function that runs the module above with some arguments and returns what each name in it noted."""
    project.only(entry("c"), MODULE)

    def run(*arguments):
        project.run(*arguments).assert_outcomes(passed=sum("::" in argument for argument in arguments) or 3)
        files = [project.path / name for name in ("one", "two", "three", "shared")]
        noted = {file.name: file.read_text() for file in files if file.exists()}
        for file in files:
            file.unlink(missing_ok=True)
        return noted

    return run


def test_two_runs_draw_the_same_numbers(drawn):
    assert drawn() == drawn()


def test_two_tests_draw_different_numbers(drawn):
    numbers = drawn()
    assert numbers["one"] != numbers["two"]


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_a_test_draws_the_same_numbers_alone(drawn, name):
    assert drawn(TEST.format(name))[name] == drawn()[name]


def test_the_tests_draw_the_same_numbers_in_reverse_order(drawn):
    assert drawn(TEST.format("three"), TEST.format("two"), TEST.format("one")) == drawn()


def test_another_seed_draws_other_numbers(drawn):
    numbers, others = drawn(), drawn("--seed=1")
    assert not any(numbers[name] == others[name] for name in ("one", "two", "three", "shared"))


def test_a_shared_fixture_draws_the_same_numbers_whichever_test_asks_first(drawn):
    first = drawn(TEST.format("one"))["shared"]
    assert drawn(TEST.format("two"))["shared"] == first


def test_torch_numpy_and_random_are_seeded_alike_but_not_from_the_clock(drawn):
    one = drawn()["one"].split()
    assert len(set(one)) == 3


CHANGES = """
import random
import warnings

import numpy

pytestmark = claim("c")


def state():
    return (
        torch.get_default_dtype(),
        torch.empty(0).device,
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        warnings.filters[:],
        torch.initial_seed(),
    )


@pytest.fixture(scope="module", autouse=True)
def before():
    return state()[:4]


def test_that_changes_everything_and_fails():
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    torch.set_num_threads(torch.get_num_threads() + 1)
    warnings.simplefilter("error")
    assert False


def test_that_finds_everything_as_it_was(before):
    assert state()[:4] == before
    warnings.warn("no error")
"""


def test_a_failing_test_leaves_the_settings_as_they_were(project, entry):
    project.only(entry("c"), CHANGES)
    project.run().assert_outcomes(failed=1, passed=1, warnings=1)


@pytest.mark.parametrize(
    ("draw", "state"),
    [
        ("torch.rand(5)", "torch.get_rng_state().tolist()"),
        ("__import__('numpy').random.rand(5)", "str(__import__('numpy').random.get_state())"),
        ("__import__('random').random()", "__import__('random').getstate()"),
    ],
)
def test_a_failing_test_leaves_the_random_state_as_it_was(project, entry, draw, state):
    project.only(entry("c"), f'@claim("c")\ndef test_one():\n    {draw}\n    assert False\n')
    before = eval(state, {"torch": pytest.importorskip("torch")})
    project.run().assert_outcomes(failed=1)
    assert eval(state, {"torch": pytest.importorskip("torch")}) == before


def test_a_ci_s_variable_changes_nothing_that_hypothesis_draws(project, monkeypatch):
    monkeypatch.setenv("CI", "true")  # Hypothesis then loads a profile of its own, in which seeds count for nothing
    project.write(
        "ch1_sample/test_1_2_other.py",
        """
import hypothesis
import pytest

@pytest.mark.claim("shapes")
def test_settings():
    assert (hypothesis.settings().derandomize, hypothesis.settings().print_blob) == (False, False)
""",
    )
    project.pytester.runpytest_subprocess("--claim=shapes").assert_outcomes(passed=1)
