"""Runs on the simulated accelerator: what they say and what they try. Collected only under --device sim."""

import json


def test_a_run_on_the_simulated_accelerator_says_so(project, entry):
    project.only(
        entry("c", needs="two-devices"), '@claim("c")\ndef test_it(two_devices):\n    assert len(two_devices) == 2\n'
    )
    result = project.run("--device=sim", "--require=two-devices", "--verdicts=run.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["* on sim (simulated), seed 0 *"])
    document = json.loads((project.path / "run.json").read_text())
    assert (document["device"], document["simulated"]) == ("sim", True)
    assert document["host"]["device_name"].startswith("simulated accelerator")


def test_only_what_the_cpu_cannot_try_is_counterfeited(project, entry):
    project.register(entry("c", needs="accelerator"), entry("d"))
    project.write(
        "ch1_sample/test_1_1_sample.py",
        "import pytest, torch\nclaim = pytest.mark.claim\n"
        '@claim("c")\ndef test_it(accelerator):\n    assert torch.ones(2, device=accelerator).sum().item() == 2\n'
        '@claim("d")\ndef test_there():\n    assert torch.ones(3).sum().item() == 3\n',
    )
    (project.path / "tests/ch1_sample/test_1_2_other.py").unlink()
    project.write(
        "ch1_sample/counterfeits_1_1.py",
        "import torch\nfrom harness.counterfeits import counterfeit\n"
        '@counterfeit("c", "d")\ndef ones_are_zeros(patch):\n    patch.setattr(torch, "ones", torch.zeros)\n',
    )
    result = project.run("--device=sim", "--counterfeits")
    result.stdout.fnmatch_lines(["1 counterfeits: 1 caught, 0 survived, 0 invalid"])
