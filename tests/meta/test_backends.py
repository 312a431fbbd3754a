"""A backend that we did not write: --device-module, operators that it lacks, and a crash."""

import ast
import json
import re
from pathlib import Path

import pytest
import torch
from harness import sim

CHAPTERS = Path(__file__).parents[1]

# ── --device-module ──


TOY = """
import torch


class Toy:
    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    manual_seed_all = staticmethod(lambda seed: None)
    _is_in_bad_fork = staticmethod(lambda: False)


torch.utils.rename_privateuse1_backend("toy")
torch._register_device_module("toy", Toy)
"""


@pytest.fixture
def module(project, monkeypatch):
    """A function that writes a module which the run can import."""
    monkeypatch.syspath_prepend(str(project.path))

    def write(name, text):
        file = project.path / f"{name}.py"
        file.write_text(text)

    return write


def test_the_device_module_is_imported_before_the_device_is_looked_for(project, module):
    """In a process of its own: what the module adds to torch stays. Its device is listed, and takes no numbers."""
    module("toy_backend", TOY)
    result = project.pytester.runpytest_subprocess("--device-module=toy_backend", "--device=toy:3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    there = r"cpu, (cuda, (cuda:\d, )+)?toy, toy:0"
    told = f"ERROR: --device: 'toy:3' is not on this machine: [A-Z].*; here are: {there}"
    assert re.fullmatch(told, result.errlines[0])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_backend_that_holds_no_numbers_is_a_usage_error_in_one_line(project, module, workers):
    """It counts a device, but has no operator at all. With workers too: they could tell it only by a traceback each."""
    module("toy_backend", TOY)
    result = project.pytester.runpytest_subprocess("--device-module=toy_backend", "--device=toy", "-n", workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == result.errlines[:1]
    result.stderr.fnmatch_lines(["ERROR: --device: 'toy' is there but does not work: *Error: *"])
    assert not result.outlines


@pytest.mark.parametrize("name", ["toy_bakend", "toy_bakend.inner", "json.toy_bakend"])
def test_a_missing_device_module_is_a_usage_error(project, name):
    result = project.run(f"--device-module={name}", "--device=toy")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines == [f"ERROR: --device-module: there is no module {name!r} in this environment", ""]
    assert not result.outlines


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import no_such_driver", "ModuleNotFoundError: No module named 'no_such_driver'"),
        (
            "raise OSError('libtoy.so: cannot open shared object file\\nsecond line')",
            "OSError: libtoy.so: cannot *file",
        ),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax (toy_failing.py, line 1)"),
    ],
)
def test_a_device_module_that_fails_on_import_is_a_usage_error_in_one_line(project, module, text, problem):
    module("toy_failing", text)
    result = project.run("--device-module=toy_failing", "--device=toy")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == result.errlines[:1]
    result.stderr.fnmatch_lines([f"ERROR: --device-module: 'toy_failing' cannot be imported: {problem}"])
    assert not result.outlines


def test_an_empty_device_module_is_a_usage_error(project):
    result = project.run("--device-module=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines == ["ERROR: --device-module: '' cannot be imported: ValueError: Empty module name", ""]


# ── A whole run ──

# sim under another name, which the harness has never heard of, and which cannot count its devices
FOREIGN = """
from harness import sim_rules

sim_rules.NAME = "foreign"
from harness import sim

sim.register()
sim_rules.state.operators = frozenset(["sort"])
del sim.Module.device_count
"""

ON_IT = """
import os


@claim("computes")
def test_sum(accelerator):
    assert os.environ["PYTEST_XDIST_WORKER_COUNT"] == "1"
    assert torch.ones(2).sum().item() == 2
    assert torch.ones(1).device.type == accelerator.type == "foreign"


@claim("sorts")
def test_sort():
    assert torch.tensor([2, 1]).sort().values.tolist() == [1, 2]


@claim("crashes")
def test_crash():
    os.abort()


@claim("refuses")
def test_refusal_in_whatever_words():
    with pytest.raises(RuntimeError, match="the words of torch"):
        torch.ones(2) + torch.ones(3)


@claim("has-two")
def test_two(two_devices):
    assert False
"""


@pytest.mark.skipif(bool(sim.refusal()), reason=str(sim.refusal()))
def test_a_device_of_any_name_is_tried_in_a_worker_of_its_own(project, module, entry):
    module("foreign_backend", FOREIGN)
    project.only("".join(map(entry, ("computes", "sorts", "crashes", "refuses", "has-two"))), ON_IT)
    result = project.pytester.runpytest_subprocess(
        "--device-module=foreign_backend", "--device=foreign", "--verdicts=v.json"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    document = json.loads((project.path / "v.json").read_text())
    assert {claim["id"]: (claim["verdict"], claim["reason"]) for claim in document["claims"]} == {
        "computes": ("holds", ""),
        "sorts": ("refused", "RuntimeError: foreign: no kernel is built for sort of int64"),
        "crashes": ("broken", "ended its process: a crash, on foreign"),
        "refuses": ("holds", ""),
        "has-two": ("not tried", "needs two devices of one accelerator; name one with --device"),
    }
    assert (document["device"], document["simulated"], document["host"]["workers"]) == ("foreign", False, 1)
    assert document["capabilities"]["float64"] is True
    assert document["capabilities"]["second-device"] == "ValueError: there is 1"


# ── Operators that are missing ──

MISSING = """
import pytest
import torch


@pytest.fixture(autouse=True)
def incomplete(monkeypatch):
    def refuse(*args):
        raise NotImplementedError("Could not run 'aten::toy' with arguments from the 'Toy' backend.")

    for operator in {missing}:
        monkeypatch.setattr(torch.Tensor, operator, refuse)
"""

TESTS = """
@claim("adds")
def test_sum():
    assert (torch.ones(2) + 1).tolist() == [2.0, 2.0]


@claim("divides")
def test_quotient_is_whole():
    quotient = torch.tensor(3) / 2
    assert quotient == 1


@claim("divides", truth=True)
def test_quotient_is_a_fraction():
    assert True


@claim("refuses")
def test_a_matrix_product_is_refused():
    with pytest.raises(RuntimeError, match="not for matrices"):
        torch.ones(2, 2) @ torch.ones(2, 2)


@claim("refuses", truth=True)
def test_a_matrix_product_is_computed():
    assert True


@claim("multiplies")
def test_product():
    assert (torch.ones(2) * 3).tolist() == [3.0, 3.0]
"""


@pytest.fixture
def incomplete(project, entry):
    """A function that runs four claims on a device that lacks some operators, and returns their verdicts."""
    project.only(
        entry("adds") + entry("divides", "mistaken") + entry("refuses", "mistaken") + entry("multiplies"), TESTS
    )

    def run(*missing):
        (project.path / "tests/conftest.py").write_text(MISSING.format(missing=missing))
        result = project.run("--verdicts=v.json")
        claims = json.loads((project.path / "v.json").read_text())["claims"]
        return result, {claim["id"]: claim["verdict"] for claim in claims}

    return run


def test_with_every_operator_the_claims_fare_as_registered(incomplete):
    result, verdicts = incomplete()
    assert result.ret == 0
    assert verdicts == {"adds": "holds", "divides": "mistaken", "refuses": "mistaken", "multiplies": "holds"}


def test_a_missing_operator_breaks_its_claim_and_the_run_goes_on(incomplete):
    result, verdicts = incomplete("__add__")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts == {"adds": "broken", "divides": "mistaken", "refuses": "mistaken", "multiplies": "holds"}
    result.stdout.fnmatch_lines(["E *NotImplementedError: Could not run 'aten::toy' with arguments from the 'Toy'*"])


def test_a_missing_operator_refutes_no_statement_that_must_fail(incomplete):
    """Division is what the statement gets wrong, but here nothing was divided."""
    result, verdicts = incomplete("__truediv__")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts == {"adds": "holds", "divides": "broken", "refuses": "mistaken", "multiplies": "holds"}


def test_nor_does_it_where_another_error_was_expected(incomplete):
    """The statement fails since no error comes; that another one comes, of another cause, proves nothing."""
    result, verdicts = incomplete("__matmul__")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts == {"adds": "holds", "divides": "mistaken", "refuses": "broken", "multiplies": "holds"}


def test_no_expected_message_is_found_in_that_of_a_missing_operator():
    """So that no test passes because of one: NotImplementedError is a RuntimeError, which many tests expect."""
    with pytest.raises(NotImplementedError) as missing:
        torch.ones(2, 2, device="cpu").to_sparse().flip(0)  # sparse tensors lack it
    message = str(missing.value)
    assert "Could not run 'aten::" in message
    expected = []
    trees = {path: ast.parse(path.read_text("utf8")) for path in sorted(CHAPTERS.glob("[cp]*/**/*.py"))}
    named = {  # a pattern may stand in a constant, of its own module or of the populations'
        node.targets[0].id: node.value.value
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and len(node.targets) == 1
    }
    for path, tree in trees.items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if getattr(call.func, "attr", "") == "raises" and "RuntimeError" in ast.unparse(call.args[0]):
                for match in (keyword.value for keyword in call.keywords if keyword.arg == "match"):
                    expected.append((path.name, call.lineno, named.get(getattr(match, "id", ""), match)))
    patterns = [(*place, getattr(match, "value", match)) for *place, match in expected]
    written = [found for found in patterns if isinstance(found[-1], str)]  # others are made where the test runs
    assert len(written) > 50
    # where CUDA is not there at all, no operator of it is: these expect just that, on the CPU
    written = [found for found in written if "NVIDIA" not in found[-1]]
    assert [found for found in written if re.search(found[-1], message)] == []


# ── A crash ──


def test_a_crash_under_a_worker_breaks_its_claim_and_the_run_goes_on(project, entry):
    crash = 'import os\n\n\n@claim("adds")\ndef test_sum():\n    os.abort()\n'
    project.only(entry("adds") + entry("multiplies"), crash + TESTS[TESTS.index('\n\n@claim("multiplies")') :])
    result = project.pytester.runpytest_subprocess("-n", "1", "--verdicts=v.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    document = json.loads((project.path / "v.json").read_text())
    assert [claim["verdict"] for claim in document["claims"]] == ["broken", "holds"]
    assert document["torch"] == torch.__version__
