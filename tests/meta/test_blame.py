"""Three ways to fail on a device, told apart: it lacks a dtype, it refuses an operator, or what it does is wrong."""

import json
import operator

import pytest
import torch
from harness import diagnosis, refusals, sim

needs_sim = pytest.mark.skipif(bool(sim.refusal()), reason=str(sim.refusal()))

TESTS = """
@claim("lacks")
def test_a_double():
    assert torch.zeros(2, dtype=torch.float64).tolist() == [0.0, 0.0]


@claim("refuses-one")
def test_abs():
    assert torch.tensor([-1.0]).abs().tolist() == [1.0]


@claim("refuses-two")
def test_abs_and_sort():
    assert torch.tensor([-1.0]).abs().tolist() == [1.0]


@claim("refuses-two")
def test_sort():
    assert torch.tensor([2, 1]).sort().values.tolist() == [1, 2]


@claim("holds")
def test_product():
    assert torch.tensor([2.0]).mul(3).tolist() == [6.0]


@claim("must-fail")
def test_size():
    assert torch.tensor([-2.0]).abs().tolist() == [-2.0]


@claim("must-fail", truth=True)
def test_no_size():
    assert torch.tensor([2.0]).tolist() == [2.0]


@claim("accelerator")
def test_on_an_accelerator(accelerator):
    assert torch.tensor([-2.0], device=accelerator).abs().tolist() == [2.0]
"""

WRONG = """
@claim("wrong")
def test_sigmoid():
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0]]).t()
    y = torch.sigmoid(x)
    assert y[1, 0] == 0.5


@claim("wrong-too")
def test_sum():
    assert torch.tensor([1.0, 1.0]).sum() == 3


@claim("mistake")
def test_error():
    raise ValueError("my own")


@claim("must-fail")
def test_that_must_fail():
    assert torch.tensor(1.0).device.type == "sim"


@claim("must-fail", truth=True)
def test_truth():
    assert torch.tensor(1.0) == 1
"""

# on sim alone, sigmoid is wrong at one place
FAULT = """
import pytest
import torch


@pytest.fixture(autouse=True)
def fault(monkeypatch):
    right = torch.sigmoid

    def wrong(x):
        return right(x) if x.device.type == "cpu" else right(x) + torch.tensor([[0.0, 0.0], [0.25, 0.0]])

    monkeypatch.setattr(torch, "sigmoid", wrong)
"""


@pytest.fixture
def run(project, entry):
    """A function that runs tests on sim, in a process of its own, and returns result and claims by id."""

    def run(tests, entries, *arguments):
        project.only("".join(entries), tests)
        result = project.pytester.runpytest_subprocess("--device=sim", "--verdicts=v.json", "-n0", *arguments)
        claims = json.loads((project.path / "v.json").read_text("utf8"))["claims"]
        return result, {claim["id"]: claim for claim in claims}

    return run


@pytest.fixture
def incomplete(run, entry):
    """A function that runs claims on a device without float64, abs and sort."""
    ids = ("lacks", "refuses-one", "refuses-two", "holds", "accelerator")
    entries = [*map(entry, ids), entry("must-fail", "mistaken")]
    return lambda *arguments: run(TESTS, entries, "--sim-lacks=float64,aten::abs,aten::sort", *arguments)


@needs_sim
def test_what_is_missing_breaks_no_claim(incomplete):
    result, claims = incomplete()
    assert result.ret == 0
    assert {id: claim["verdict"] for id, claim in claims.items()} == {
        "lacks": "not tried",
        "refuses-one": "refused",
        "refuses-two": "refused",
        "holds": "holds",
        "accelerator": "refused",
        "must-fail": "refused",
    }
    assert claims["lacks"]["reason"] == "sim has no float64"
    assert claims["refuses-one"]["reason"] == "RuntimeError: sim: no kernel is built for abs of float32"
    assert claims["refuses-one"]["tests"][0]["outcome"] == "refused"
    assert claims["refuses-one"]["tests"][0]["cause"] == "aten::abs of float32"
    # one cause is one line, and those that alone keep most claims come first
    words = "RuntimeError: sim: no kernel is built for"
    result.stdout.fnmatch_lines(
        [
            "refused: the device raises where the CPU passes",
            f"  3 claims by this alone, 4 in all: aten::abs of float32: {words} abs of float32",
            f"  0 claims by this alone, 1 in all: aten::sort of int64: {words} sort of int64",
            "not tried:",
            "  1 claim: sim has no float64",
            "* 2 passed, 1 skipped, 5 refused in *",
        ]
    )


@needs_sim
def test_require_operators_turns_what_is_missing_into_failure(incomplete):
    result, claims = incomplete("--require=operators")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert [id for id, claim in claims.items() if claim["verdict"] != "broken"] == ["holds"]
    result.stdout.fnmatch_lines(["--require operators: refused: aten::abs of float32"])


@needs_sim
def test_a_wrong_result_breaks_the_claim_and_says_where_it_differs_from_the_cpu(project, run, entry):
    (project.path / "conftest.py").write_text('pytest_plugins = ["harness.plugin"]\n' + FAULT)
    entries = [*map(entry, ("wrong", "wrong-too", "mistake")), entry("must-fail", "mistaken")]
    result, claims = run(WRONG, entries)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert {claim["verdict"] for claim in claims.values()} == {"broken"}
    fault = "passes on the CPU: the device's fault"
    assert claims["wrong"]["reason"] == f"AssertionError: assert tensor(0.7500, device='sim:0') == 0.5; {fault}"
    assert claims["must-fail"]["reason"].endswith("; fails on the CPU, as it must: the device's fault")
    assert claims["wrong-too"]["reason"].endswith("; fails on the CPU too: AssertionError: assert tensor(2.) == 3")
    assert claims["mistake"]["reason"] == "ValueError: my own; fails on the CPU too: ValueError: my own"
    result.stdout.fnmatch_lines(
        [
            "*- the device and the CPU -*",
            fault,
            "x: float32 (2, 2) on sim:0, strides (1, 2)",
            "y: float32 (2, 2) on sim:0, strides (1, 2)",
            "    first differs at [1, 0]: 0.75, on the CPU 0.5",
        ]
    )


# ── Refusals ──

REFUSALS = """
@claim("in-its-own-words")
def test_shapes():
    with pytest.raises(RuntimeError, match="torch's own words"):
        torch.ones(2) + torch.ones(3)


@claim("of-another-type")
def test_type():
    with pytest.raises(ValueError, match="torch's own words"):
        torch.ones(2) + torch.ones(3)


@claim("no-refusal")
def test_nothing_is_refused():
    with pytest.raises(RuntimeError):
        torch.ones(2) + torch.ones(2)


@claim("missing")
def test_a_missing_operator():
    with pytest.raises(RuntimeError):
        torch.ones(2).sort(dim=7)


@claim("on-the-cpu")
@pytest.mark.cpu
def test_the_cpu_must_use_torchs_words():
    with pytest.raises(RuntimeError, match="torch's own words"):
        torch.ones(2) + torch.ones(3)
"""


@needs_sim
def test_a_refusal_counts_by_its_type_and_a_missing_operator_is_none(run, entry):
    """The CPU raises an IndexError where the missing operator raises a RuntimeError: so that fails there too."""
    ids = ("in-its-own-words", "of-another-type", "no-refusal", "missing", "on-the-cpu")
    _, claims = run(REFUSALS, [entry(id) for id in ids], "--sim-lacks=aten::sort")
    verdicts = {id: claim["verdict"] for id, claim in claims.items()}
    assert verdicts == dict.fromkeys(ids, "broken") | {"in-its-own-words": "holds"}
    assert claims["missing"]["reason"].startswith("RuntimeError: sim: no kernel is built for sort of float32")
    assert "DID NOT RAISE" in claims["no-refusal"]["reason"]


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("aten::toy"),
        RuntimeError("Could not run 'aten::toy' with arguments from the 'Toy' backend."),
        RuntimeError("The operator 'aten::toy' is not currently implemented for the Toy device"),
        RuntimeError("\"toy_kernel\" not implemented for 'Half'"),
        RuntimeError("toy: Unsupported operation cumsum"),
        RuntimeError("no kernel for toy"),
        RuntimeError("Toy does not support float64"),
        RuntimeError("cl::Program::build: failed to build uniform_"),
        TypeError("'<' not supported between instances of 'Tensor' and 'Tensor'"),
    ],
    ids=str,
)
def test_what_says_that_an_operator_is_not_there(error):
    assert refusals.means_missing(error)
    assert refusals.means_missing(diagnosis.first_line(error))


@pytest.mark.parametrize(
    "refuse",
    [
        lambda: torch.ones(2) + torch.ones(3),
        lambda: torch.ones(2, 3) @ torch.ones(2, 3),
        lambda: torch.ones(2, 3).view(5),
        lambda: torch.ones(2, 3).t().view(6),
        lambda: torch.ones(2, requires_grad=True).numpy(),
        lambda: torch.ones(2, requires_grad=True).add_(1),
        lambda: torch.ones(2, requires_grad=True).backward(),
        lambda: torch.arange(1, 0, 1),
        lambda: torch.ones(2)[2],
        lambda: torch.ones(1).expand(2).add_(1),
        lambda: operator.iadd(matrix := torch.ones(2, 2), matrix.t()),
        lambda: torch.nn.functional.conv2d(torch.ones(1, 3, 4, 4), torch.ones(1, 4, 1, 1)),
        lambda: [1] < 2,
        lambda: torch.ones(2) < [1],
    ],
)
def test_no_refusal_of_torch_itself_or_of_python_reads_as_one(refuse):
    with pytest.raises((RuntimeError, IndexError, ValueError, TypeError)) as refused:
        refuse()
    assert not refusals.means_missing(refused.value)


# ── Without a device: what is said of two tensors ──


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        (torch.tensor([1.0, 2.0, 5.0]), torch.tensor([1.0, 3.0, 4.0]), "first differs at [1]: 2.0, on the CPU 3.0"),
        (torch.tensor(True), torch.tensor(False), "first differs at []: True, on the CPU False"),
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.00001, float("nan")]), None),
        (torch.ones(2), torch.ones(3, dtype=torch.int64), "on the CPU: int64 (3,)"),
        (torch.ones(2), None, None),
    ],
)
def test_the_first_element_that_differs_is_named(here, there, said):
    assert diagnosis.first_difference(here, there) == said
