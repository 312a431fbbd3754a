"""Counterfeits of section 4.6: files whose path has no suffix."""

import os
from pathlib import Path

import torch
from harness.counterfeits import counterfeit
from harness.forging import wrap


@counterfeit("model-files-are-named-pt-or-pth")
def save_gives_a_path_without_a_suffix_its_own(patch):
    def wrong(right, saved, f, *args, **rest):
        if isinstance(f, os.PathLike) and not Path(f).suffix:
            f = Path(f).with_suffix(".pt")
        return right(saved, f, *args, **rest)

    wrap(patch, torch, "save", wrong)
