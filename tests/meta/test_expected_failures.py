"""An expected failure counts only if the test failed by an assertion of its own."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("bare")


def outcome(project, entry, body, before=""):
    """The exit code, and what became of the statement test of a mistaken claim with this ``body``."""
    truth = '@claim("c", truth=True)\ndef test_truth():\n    assert True\n'
    project.only(entry("c", "mistaken"), f'{before}\n@claim("c")\ndef test_statement(request):\n    {body}\n{truth}')
    result = project.run("--verdicts=v.json")
    claim = json.loads((project.path / "v.json").read_text())["claims"][0]
    return int(result.ret), claim["verdict"], claim["tests"][0]["outcome"]


@pytest.mark.parametrize(
    "body",
    [
        "assert 1 == 2",
        "pytest.raises(ValueError, int, '1')",
        "torch.testing.assert_close(torch.ones(1), torch.zeros(1))",
        "__import__('numpy').testing.assert_equal(1, 2)",
        "pytest.fail('no')",
    ],
)
def test_an_assertion_of_the_test_refutes_the_statement(project, entry, body):
    assert outcome(project, entry, body) == (0, "mistaken", "refuted")


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('broken')",
        "torch.no_such_name",
        "torch.ones(2, 3) @ torch.ones(2, 3)",
        "torch.ones(1).backward()",
        "pytest.xfail('some day')",
    ],
)
def test_any_other_exception_is_a_broken_test(project, entry, body):
    assert outcome(project, entry, body) == (1, "broken", "failed")


@pytest.mark.parametrize("verdict", ["holds", "caveat", "mistaken"])
@pytest.mark.parametrize("mark", ["", "@pytest.mark.xfail", "@pytest.mark.xfail(strict=True, raises=AssertionError)"])
def test_a_test_cannot_excuse_itself_from_what_the_register_expects(project, entry, verdict, mark):
    """Every claim's verdict here is contradicted: what must pass gives up or fails, what must fail passes."""
    body = {"mistaken": "assert True"}.get(verdict, "assert 1 == 2" if mark else "pytest.xfail('some day')")
    truth = "" if verdict == "holds" else '@claim("c", truth=True)\ndef test_truth():\n    assert True\n'
    project.only(entry("c", verdict), f'{mark}\n@claim("c")\ndef test_statement():\n    {body}\n{truth}')
    result = project.run("--verdicts=v.json")
    claim = json.loads((project.path / "v.json").read_text())["claims"][0]
    assert (int(result.ret), claim["verdict"]) == (1, "broken")


def test_a_truth_test_cannot_excuse_itself_either(project, entry):
    truth = '@pytest.mark.xfail\n@claim("c", truth=True)\ndef test_truth():\n    assert 1 == 2\n'
    project.only(entry("c", "mistaken"), f'@claim("c")\ndef test_statement():\n    assert 1 == 2\n{truth}')
    result = project.run("--verdicts=v.json")
    claim = json.loads((project.path / "v.json").read_text())["claims"][0]
    assert (int(result.ret), claim["verdict"]) == (1, "broken")
    result.stdout.fnmatch_lines(["*but the register has none"])


def test_an_assertion_inside_a_library_is_a_broken_test(project, entry):
    (project.path / "library.py").write_text("def check():\n    assert 1 == 2, 'sizes differ'\n")
    path = f"__import__('sys').path.insert(0, {str(project.path)!r})"
    assert outcome(project, entry, "__import__('library').check()", before=path) == (1, "broken", "failed")


def test_an_assertion_inside_torch_is_a_broken_test(project, entry):
    body = "torch.nn.MultiheadAttention(3, 2)"
    assert outcome(project, entry, body) == (1, "broken", "failed")


def test_an_assertion_in_a_fixture_is_a_broken_test(project, entry):
    fixture = "@pytest.fixture(autouse=True)\ndef checks(request):\n    assert 'truth' in request.node.name\n"
    assert outcome(project, entry, "assert 1 == 2", before=fixture) == (1, "broken", "error")


def test_an_assertion_in_a_fixtures_end_is_a_broken_test(project, entry):
    fixture = (
        "@pytest.fixture(autouse=True)\ndef checks(request):\n    yield\n    assert 'truth' in request.node.name\n"
    )
    assert outcome(project, entry, "assert 1 == 2", before=fixture) == (1, "broken", "error")


def test_the_failure_says_that_it_was_no_assertion_of_the_test_and_names_the_claim(project, entry):
    (project.path / "library.py").write_text("def check():\n    assert 1 == 2, 'sizes differ'\n")
    truth = '@claim("c", truth=True)\ndef test_truth():\n    assert True\n'
    statement = '@claim("c")\ndef test_statement():\n    library.check()\n'
    load = f"import sys\nsys.path.insert(0, {str(project.path)!r})\nimport library\n"
    project.only(entry("c", "mistaken"), load + statement + truth)
    project.run().stdout.fnmatch_lines(
        [
            "*AssertionError: sizes differ*",
            "*but this is not an assertion of the test that failed",
            "c (section 1.1, mistaken)",
        ],
        consecutive=False,
    )


def test_a_statement_that_passes_against_expectation_says_so(project, entry):
    truth = '@claim("c", truth=True)\ndef test_truth():\n    assert True\n'
    project.only(entry("c", "mistaken"), '@claim("c")\ndef test_statement():\n    assert True\n' + truth)
    project.run().stdout.fnmatch_lines(["*XPASS(strict)*c is mistaken on torch*, so its statement must fail"])
