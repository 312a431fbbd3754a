"""Without torchvision, which the nightlies of backends lack: what needs it is not tried, and all else is."""

import sys

import pytest
from harness import missing

VISION = """
import {name} as vision
from {name}.transforms import ToTensor
from {name} import datasets


class Own(datasets.VisionDataset):
    pass


@claim("c")
def test_a_data_set():
    assert isinstance(3, datasets.MNIST)


@claim("c")
def test_a_transform():
    assert ToTensor()(1) == 2


@claim("c")
def test_all():
    assert "MNIST" in datasets.__all__


@claim("d")
def test_torch_alone():
    assert torch.ones(1) == 1
"""


@pytest.mark.usefixtures("bare")
def test_without_torchvision_only_the_tests_that_use_it_are_not_tried(project, entry, monkeypatch):
    monkeypatch.setattr(missing, "PACKAGES", ("no_such_vision",))
    project.only(entry("c") + entry("d"), VISION.format(name="no_such_vision"))
    result = project.run()
    assert result.ret == 0
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines(["  1 claim: needs no_such_vision, which is not installed"])
    assert project.run("--require=all").ret == pytest.ExitCode.TESTS_FAILED
    assert "no_such_vision" not in sys.modules


def test_only_a_test_is_given_the_stand_in(monkeypatch):
    finder = missing.Finder(("no_such_vision",))
    monkeypatch.setattr(missing, "asked_by_a_test", lambda: False)
    assert finder.find_spec("no_such_vision") is None
