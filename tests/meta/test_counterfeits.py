"""Counterfeits: the runner says caught, survived or invalid, fails the run accordingly, and leaves torch as it was."""

import json

import pytest
import torch
from harness import counterfeits

HEAD = "import torch\nfrom harness.counterfeits import counterfeit\n\n\n"
CAUGHT = """\
@counterfeit("adds")
def sum_is_doubled(patch):
    \"\"\"Twice what it should be.\"\"\"
    total = torch.Tensor.sum
    patch.setattr(torch.Tensor, "sum", lambda self: 2 * total(self))
"""
HARMLESS = """\
@counterfeit("adds")
def sum_is_the_sum(patch):
    patch.setattr(torch.Tensor, "sum", torch.Tensor.sum)
"""
BROKEN = """\
@counterfeit("adds")
def sum_takes_too_much(patch):
    patch.setattr(torch.Tensor, "sum", lambda self, missing: None)
"""
RAISES = """\
@counterfeit("adds")
def there_is_no_such_function(patch):
    patch.setattr(torch, "no_such_function", None)
"""
ASSERTS = """\
@counterfeit("adds")
def sum_is_refused(patch):
    def refuse(self):
        assert False, "it would catch itself"

    patch.setattr(torch.Tensor, "sum", refuse)
"""
AS_CLAIMED = """\
@counterfeit("divides")
def division_rounds_down(patch):
    patch.setattr(torch.Tensor, "__truediv__", torch.Tensor.__floordiv__)
"""
LEAKING = """\
@counterfeit("adds")
def a_change_that_is_not_undone(patch):
    torch.left_behind = torch.Tensor.sum
    torch.Tensor.mean = torch.Tensor.sum
    patch.setattr(torch.Tensor, "sum", lambda self: self)
"""


@pytest.fixture
def forged(project):
    """Write counterfeits into the project and run them: ``forged(text, *arguments)`` gives the run's result."""

    def run(text, *arguments):
        project.write("ch1_sample/counterfeits_1_1.py", HEAD + text)
        return project.run("--counterfeits", *arguments)

    return run


def test_a_counterfeit_is_caught_by_an_assertion_of_its_claims_test(forged):
    result = forged(CAUGHT)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["1 counterfeits: 1 caught, 0 survived, 0 invalid"])


def test_without_the_option_no_counterfeit_runs(forged, project):
    forged(HARMLESS)
    result = project.run()
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*counterfeits*")


def test_a_mistaken_claim_made_true_is_caught_by_its_expected_failure(forged):
    result = forged(AS_CLAIMED)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["1 counterfeits: 1 caught, 0 survived, 0 invalid"])


def test_a_harmless_counterfeit_survives_and_fails_the_run(forged):
    result = forged(CAUGHT + "\n\n" + HARMLESS)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["survived: sum_is_the_sum of adds: It adds.", "2 counterfeits: 1 caught, 1 survived, 0 invalid"]
    )


@pytest.mark.parametrize(("verdict", "release"), [("holds", "since"), ("superseded", "until")])
def test_a_counterfeit_of_what_a_later_release_brings_is_not_tried(forged, project, entry, verdict, release):
    truth = '@claim("c", truth=True)\ndef test_truth():\n    assert True\n'
    statement = f'@claim("c")\ndef test_statement():\n    assert {release == "until"}\n'
    project.only(entry("c", verdict, **{release: "99.0"}), statement + (truth if verdict != "holds" else ""))
    result = forged(CAUGHT.replace("adds", "c"), "-rs")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["SKIPPED *: it falsifies what is so since torch 99.0; this is *"])
    result.stdout.fnmatch_lines(["1 counterfeits: 0 caught, 0 survived, 0 invalid, 1 not tried"])


@pytest.mark.parametrize("text", [BROKEN, RAISES, ASSERTS], ids=["when called", "when planted", "by itself"])
def test_an_accident_of_the_patch_is_invalid_and_fails_the_run(forged, text):
    result = forged(text)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["invalid: * of adds: It adds.", "1 counterfeits: 0 caught, 0 survived, 1 invalid"])


def test_a_counterfeit_that_needs_two_devices_is_not_tried_on_one(forged):
    result = forged(HARMLESS.replace('"adds"', '"adds", needs="two-devices"'))
    assert result.ret == 0
    result.stdout.fnmatch_lines(["1 counterfeits: 0 caught, 0 survived, 0 invalid, 1 not tried"])


def test_a_need_that_no_run_can_have_is_a_mistake():
    with pytest.raises(ValueError, match="needs 'three-devices', which is none of accelerator, cuda, two-devices"):
        counterfeits.counterfeit("adds", needs="three-devices")


def test_torch_is_as_before_after_every_kind_of_counterfeit(forged):
    before = torch.Tensor.sum, torch.Tensor.__truediv__
    forged("\n\n".join([CAUGHT, HARMLESS, BROKEN, RAISES, AS_CLAIMED]))
    assert (torch.Tensor.sum, torch.Tensor.__truediv__) == before


def test_a_change_that_is_left_behind_is_reported(forged, monkeypatch):
    monkeypatch.setattr(torch, "left_behind", None, raising=False)
    monkeypatch.setattr(torch.Tensor, "mean", torch.Tensor.mean)
    result = forged(LEAKING)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the counterfeits left torch changed: *torch*mean*"])


def test_the_verdict_document_tells_what_came_of_each(forged, project):
    forged(CAUGHT + "\n\n" + HARMLESS, "--verdicts", "run.json")
    claims = json.loads((project.path / "run.json").read_text("utf8"))["claims"]
    found = {one["name"]: (one["outcome"], one["detail"]) for one in claims[0]["counterfeits"]}
    caught_by = "tests/ch1_sample/test_1_1_sample.py::test_one_and_one_is_two"
    assert found == {
        "sum_is_doubled": ("caught", caught_by),
        "sum_is_the_sum": ("survived", "1 tests passed all the same"),
    }


def test_workers_find_the_same(forged):
    result = forged(CAUGHT + "\n\n" + HARMLESS, "-n", "2")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["2 counterfeits: 1 caught, 1 survived, 0 invalid"])


def test_only_the_chosen_claims_counterfeits_run(forged):
    result = forged(CAUGHT + "\n\n" + AS_CLAIMED, "--claim", "divides")
    result.stdout.fnmatch_lines(["1 counterfeits: 1 caught, 0 survived, 0 invalid"])


def test_a_counterfeit_of_an_unknown_claim_is_a_usage_error(forged):
    result = forged(CAUGHT.replace('"adds"', '"ads"'))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    place = "tests/ch1_sample/counterfeits_1_1.py:6"
    expected = f"ERROR: {place}: sum_is_doubled falsifies an unknown claim 'ads'; did you mean 'adds'?"
    assert [line for line in result.errlines if line] == [expected]


def test_explain_lists_a_claims_counterfeits(forged, project):
    forged(CAUGHT)
    result = project.run("--explain", "adds")
    result.stdout.fnmatch_lines(["*counterfeits*", "sum is doubled: Twice what it should be."])


def test_the_first_use_of_an_optimizer_changes_nothing_and_a_step_that_stays_false_does(monkeypatch):
    """torch wraps the step of an optimizer's class when the class is first used."""

    class Own(torch.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Own", Own, raising=False)
    monkeypatch.setattr(Own, "__module__", "torch.optim")
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)  # the first of a process imports what changes torch
    before = counterfeits.state_of_torch()
    Own([torch.zeros(1, requires_grad=True)], lr=0.1)
    assert Own.step.hooked is True
    assert counterfeits.state_of_torch()["torch.optim.Own.step"] == before["torch.optim.Own.step"]
    monkeypatch.setattr(Own, "step", lambda self, closure=None: None)
    assert counterfeits.state_of_torch()["torch.optim.Own.step"] != before["torch.optim.Own.step"]


LARGE = """\
@counterfeit("adds")
def sum_of_many_is_doubled(patch):
    total = torch.Tensor.sum
    patch.setattr(torch.Tensor, "sum", lambda self: total(self) * (1 + (self.numel() > 5)))
"""
GUARD = """\
import pytest
import torch
from hypothesis import given, strategies as st


@pytest.mark.claim("adds")
@given(st.integers(6, 9))
def test_ones_add_up(n):
    assert torch.ones(n).sum() == n
"""


def test_a_counterfeit_chosen_by_its_name_is_caught_by_a_guard_that_is_not(forged, project):
    project.write("ch1_sample/test_1_1_more.py", GUARD)
    result = forged(LARGE, "-k", "sum_of_many")
    assert result.ret == 0
    result.assert_outcomes(passed=1, deselected=6)


def test_the_test_that_caught_it_in_a_stored_run_is_tried_first(forged, project):
    project.write("ch1_sample/test_1_2_more.py", GUARD)
    guard = "tests/ch1_sample/test_1_2_more.py::test_ones_add_up"
    caught = {"name": "sum_is_doubled", "outcome": "caught", "detail": guard}
    project.write("../docs/results/torch-cpu.json", json.dumps({"claims": [{"id": "adds", "counterfeits": [caught]}]}))

    assert forged(CAUGHT, "--verdicts", "run.json").ret == 0
    assert json.loads((project.path / "run.json").read_text("utf8"))["claims"][0]["counterfeits"] == [caught]
