"""What nvidia-smi reports, on machines of every kind, by a command that answers for it."""

import pytest
import torch
from harness import cards

CITING = '@claim("c")\ndef test_cards(nvidia_cards):\n    assert nvidia_cards == [("Card", 8.0)]\n'


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("NVIDIA H100 80GB HBM3, 81559\nNVIDIA H100 80GB HBM3, 81559\n", [("NVIDIA H100 80GB HBM3", 81559.0)] * 2),
        ("NVIDIA GB10, [N/A]\n", [("NVIDIA GB10", None)]),
        ("Orin (nvgpu), [Not Supported]\n", [("Orin (nvgpu)", None)]),
        ("A card, with a comma, 2048\n\n", [("A card, with a comma", 2048.0)]),
        ("", []),
    ],
)
def test_every_answer_is_read(lines, expected):
    assert cards.read(lines) == expected


@pytest.fixture
def smi(project, monkeypatch):
    """A function that puts an ``nvidia-smi`` with one small card into a folder on or off the PATH."""

    def put(on_the_path=True):
        command = project.path / "bin/nvidia-smi"
        command.parent.mkdir()
        command.write_text("#!/bin/sh\necho 'Card, 8'\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(command.parent) if on_the_path else "/nowhere")
        monkeypatch.setattr(cards, "WSL", "/nowhere/nvidia-smi" if on_the_path else str(command))

    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(cards, "WSL", "/nowhere/nvidia-smi")
    return put


@pytest.mark.parametrize("on_the_path", [True, False], ids=["on the PATH", "where WSL has it"])
def test_the_command_is_found(project, entry, smi, on_the_path):
    smi(on_the_path)
    project.only(entry("c"), CITING)
    project.run().assert_outcomes(passed=1)


def test_without_the_command_the_test_stands_aside_or_fails_where_cuda_is_required(project, entry, smi):
    project.only(entry("c"), CITING)
    project.run().assert_outcomes(skipped=1)
    assert project.run("--require=cuda").ret == pytest.ExitCode.TESTS_FAILED


def test_on_rocm_it_is_no_lack_that_there_is_no_such_command(project, entry, smi, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.4", raising=False)
    project.only(entry("c"), CITING)
    result = project.run("--require=cuda")
    assert result.ret == 0
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["  1 claim: needs the command nvidia-smi; this torch is built for AMD's cards"])
