"""Where a device cannot draw, the CPU draws what layers start with, which is told; for tests about it nobody does."""

import json

import pytest
from harness import sim

needs_sim = pytest.mark.skipif(bool(sim.refusal()), reason=str(sim.refusal()))

TESTS = """
from torch import nn


@claim("learns")
def test_a_layer_learns():
    layer = nn.Linear(2, 1)
    assert layer.weight.device.type == layer.bias.device.type == torch.ones(1).device.type
    assert len(set(layer.weight.view(-1).tolist())) == 2
    layer(torch.ones(2)).backward()
    assert layer.weight.grad.tolist() == [[1.0, 1.0]]


@claim("attends")
def test_a_layer_that_knows_its_initialiser_by_name():
    assert nn.MultiheadAttention(2, 1).in_proj_weight.shape == (6, 2)


@claim("starts")
@pytest.mark.start_values
def test_a_layer_starts_within_bounds():
    assert nn.Linear(1, 1).weight.item() ** 2 <= 1


@claim("starts-normal")
@pytest.mark.start_values("normal_")
def test_of_two_initialisers_this_is_about_the_other():
    assert nn.init.normal_(nn.Linear(1, 1).weight) is not None


@claim("elsewhere")
@pytest.mark.cpu
def test_of_the_cpu_on_a_device_without_numbers():
    with torch.device("meta"):
        assert nn.Linear(1, 1).weight.device.type == "meta"


@claim("draws")
def test_a_draw_of_its_own():
    assert torch.empty(1).uniform_().item() < 1
"""

IDS = ("learns", "attends", "starts", "starts-normal", "elsewhere", "draws")


@pytest.fixture
def run(project, entry):
    """A function that runs these tests; it returns the result and the claims by id."""

    def run(*arguments):
        project.only("".join(map(entry, IDS)), TESTS)
        result = project.pytester.runpytest_subprocess("--verdicts=v.json", "-n0", *arguments)
        claims = json.loads((project.path / "v.json").read_text("utf8"))["claims"]
        return result, {claim["id"]: claim for claim in claims}

    return run


@needs_sim
def test_the_cpu_draws_what_layers_start_with_and_it_is_told(run):
    result, claims = run("--device=sim", "--sim-lacks=aten::uniform_")
    verdicts = {id: claim["verdict"] for id, claim in claims.items()}
    assert verdicts == {
        **{"learns": "holds", "attends": "holds", "starts": "refused"},
        **{"starts-normal": "holds", "elsewhere": "holds", "draws": "refused"},
    }
    reason = "RuntimeError: sim: no kernel is built for uniform_ of float32"
    assert claims["learns"]["tests"][0]["without"] == [["aten::uniform_ of float32", reason, 2]]
    line = f"  2 claims by this alone, 2 in all, 3 in part: aten::uniform_ of float32: {reason}"
    result.stdout.fnmatch_lines([line])


@needs_sim
@pytest.mark.parametrize("options", [("--device=sim",), ()])
def test_a_device_that_can_draw_draws_for_itself(run, options):
    result, claims = run(*options)
    assert result.ret == 0
    assert not any("without" in claim["tests"][0] for claim in claims.values())


@needs_sim
def test_nobody_draws_for_a_device_where_operators_are_required(run):
    _, claims = run("--device=sim", "--sim-lacks=aten::uniform_", "--require=operators")
    assert claims["learns"]["verdict"] == "broken"
