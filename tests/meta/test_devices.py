"""--device, the device fixtures, and the needs of claims."""

import pytest
from harness import devices


@pytest.fixture(autouse=True)
def cpu_only(monkeypatch):
    """A machine without an accelerator, wherever this runs."""
    monkeypatch.setattr(devices, "count_of", lambda kind: 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cdua", "torch knows no device 'cdua'; here are: cpu"),
        ("cuda", "there is no 'cuda' on this machine; here are: cpu"),
        ("cuda:1", "there is no 'cuda:1' on this machine; here are: cpu"),
        ("xpu", "there is no 'xpu' on this machine; here are: cpu"),
        ("meta", "meta tensors hold no values, so no claim can be tried on them"),
        ("", "torch knows no device ''; here are: cpu"),
    ],
)
def test_a_device_that_is_not_there_ends_the_run_with_those_that_are(project, name, message):
    result = project.run(f"--device={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines == [f"ERROR: --device: {message}", ""]
    assert not result.outlines


def test_the_devices_that_are_there_are_listed_with_their_numbers(project, monkeypatch):
    monkeypatch.setattr(devices, "count_of", lambda kind: 2 if kind == "cuda" else 0)
    result = project.run("--device=cuda:2")
    assert result.errlines[0] == (
        "ERROR: --device: there is no 'cuda:2' on this machine; here are: cpu, cuda, cuda:0, cuda:1"
    )


def test_the_device_under_test_is_the_default_and_a_cpu_mark_turns_it_off(project, entry, monkeypatch):
    # the one other device that every machine has is meta, which does not compute
    monkeypatch.setattr(devices, "check", lambda name: None)
    monkeypatch.setattr(devices, "make_current", lambda name: None)
    module = (
        '@claim("c")\ndef test_device(device):\n    assert torch.ones(1).device == device == torch.device("meta")\n'
        '@claim("c")\n@pytest.mark.cpu\ndef test_cpu():\n'
        '    assert torch.ones(1).device == torch.device("cpu")\n'
    )
    project.only(entry("c"), module)
    result = project.run("--device=meta")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["* on meta, seed 0 *"])


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("def test_one(accelerator):", "needs an accelerator; name one with --device"),
        ("def test_one(two_devices):", "needs an accelerator; name one with --device"),
        ("@pytest.mark.cuda\ndef test_one():", "needs a CUDA GPU; name it with --device cuda"),
    ],
)
def test_a_test_that_needs_more_than_a_cpu_is_not_tried(project, entry, test, reason):
    project.only(entry("c"), f'@claim("c")\n{test}\n    assert False\n')
    result = project.run()
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["not tried:", f"  1 claim: {reason}"])


@pytest.mark.parametrize("need", ["accelerator", "cuda", "two-devices"])
def test_a_claim_that_needs_more_than_a_cpu_is_not_tried(project, entry, need):
    project.only(entry("c", needs=need), '@claim("c")\ndef test_one():\n    assert False\n')
    project.run().stdout.fnmatch_lines(["not tried:", f"  1 claim: {devices.REASONS[need]}"])
