"""Without torchvision everything else is tried."""

import json

import pytest

AT_THE_TOP = (
    'import pytest\nimport torchvision\n\n\n@pytest.mark.claim("shapes")\ndef test_it():\n    assert torchvision\n'
)
INSIDE = """
@claim("adds")
def test_inside():
    from torchvision import datasets

    assert datasets


@claim("must-fail")
def test_that_must_fail():
    import torchvision.models

    assert not torchvision.models


@claim("must-fail", truth=True)
def test_truth():
    assert True


@claim("other")
def test_another_package():
    import torchvisions
"""


@pytest.fixture
def without_torchvision(project):
    """A function that runs tests where the package cannot be found, and returns result and claims by id."""
    (project.path / "conftest.py").write_text(
        "import sys\n\n\nclass Hide:\n"
        "    def find_spec(name, path=None, target=None):\n"
        '        if name.partition(".")[0] == "torchvision":\n'
        '            raise ModuleNotFoundError("No module named \'torchvision\'", name="torchvision")\n\n\n'
        "sys.meta_path.insert(0, Hide)\n"
        "import importlib.util\n"
        "importlib.util.find_spec = lambda name, found=importlib.util.find_spec: None if name in ('torchvision',)"
        " else found(name)\n"
        'pytest_plugins = ["harness.plugin"]\n'
    )

    def run(*arguments):
        result = project.pytester.runpytest_subprocess("--verdicts=v.json", *arguments)
        claims = json.loads((project.path / "v.json").read_text("utf8"))["claims"]
        return result, {claim["id"]: (claim["verdict"], claim["reason"]) for claim in claims}

    return run


NEEDS = ("not tried", "needs torchvision, which is not installed")
NOT_LOADED = """
@claim("adds")
def test_inside():
    raise RuntimeError("operator torchvision::nms does not exist")  # as torchvision says when it is imported


@claim("divides")
def test_another_operator():
    raise RuntimeError("operator aten::nms does not exist")
"""
OTHER_BUILD = "needs a torchvision that was built for this torch, as the installed one was not"


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_a_module_that_imports_it_is_left_out_and_the_rest_runs(project, without_torchvision, workers):
    project.write("ch1_sample/test_1_2_other.py", AT_THE_TOP)
    result, claims = without_torchvision(workers)
    assert result.ret == 0
    assert claims == {"adds": ("holds", ""), "divides": ("mistaken", ""), "shapes": NEEDS}
    result.stdout.fnmatch_lines(["not tried:", "  1 claim: needs torchvision, which is not installed"])


def test_a_test_that_imports_it_stands_aside_and_one_of_another_package_fails(project, entry, without_torchvision):
    project.only(entry("adds") + entry("must-fail", "mistaken") + entry("other"), INSIDE)
    result, claims = without_torchvision()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert claims["adds"] == claims["must-fail"] == NEEDS
    assert claims["other"] == ("broken", "ModuleNotFoundError: No module named 'torchvisions'")


def test_a_torchvision_of_another_torch_is_told_and_not_taken_for_a_claim_that_broke(project, entry):
    project.only(entry("adds") + entry("divides"), NOT_LOADED)
    result = project.pytester.runpytest_subprocess("--verdicts=v.json")
    claims = json.loads((project.path / "v.json").read_text("utf8"))["claims"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert {claim["id"]: (claim["verdict"], claim["reason"]) for claim in claims} == {
        "adds": ("not tried", OTHER_BUILD),
        "divides": ("broken", "RuntimeError: operator aten::nms does not exist"),
    }
