"""The NVIDIA cards of this machine, as their driver reports them without torch."""

import re
import shutil
import subprocess

import pytest

from harness import devices

WSL = "/usr/lib/wsl/lib/nvidia-smi"  # where Windows puts it, which is not on every distribution's PATH


@pytest.fixture(scope="session")
def nvidia_cards(request: pytest.FixtureRequest) -> list[tuple[str, float | None]]:
    """A (name, memory in MiB) pair for each card; the memory is None where the card has none of its own.

    Without the command the test is not tried. On a ROCm build that is no lack, even under ``--require cuda``: torch
    calls AMD's cards "cuda" too, and nobody could install it.
    """
    import torch

    command = command_path()
    if command is None and getattr(torch.version, "hip", None):
        pytest.skip("needs the command nvidia-smi; this torch is built for AMD's cards")
    if command is None:
        devices.stand_aside("cuda", "needs the command nvidia-smi, which is not here", request.config)
    asked = [command, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    return read(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout)


def command_path() -> str | None:
    return shutil.which("nvidia-smi") or shutil.which(WSL)


def read(lines: str) -> list[tuple[str, float | None]]:
    """The cards of a query's answer, "NVIDIA H100, 81559" a line; "[N/A]" where card and processor share one memory."""
    cards = []
    for line in filter(str.strip, lines.splitlines()):
        name, memory = line.rsplit(",", 1)
        number = re.fullmatch(r"\d+(\.\d+)?", memory.strip())
        cards.append((name.strip(), float(number[0]) if number else None))
    return cards
