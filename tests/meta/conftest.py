"""The tiny projects on which the harness is tried."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import hypothesis  # noqa: F401  imported here, so that the runs below, which forget what they import, need not again
import numpy  # noqa: F401
import pytest
import torch._dynamo
import torch.testing  # noqa: F401
from filelock import FileLock  # torch brings it
from harness import documents

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS.parent / "docs/_ext"))  # the site's own modules, for its tests

# The site's tests need docs/requirements.txt and a browser, which running the specification does not. Without them they
# are left out, unless they are named on the command line, as CI does: then they fail.
SITE = all(map(find_spec, ("sphinx", "furo", "myst_parser", "playwright", "axe_playwright_python")))
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
collect_ignore_glob = [] if SITE and BROWSER else ["test_the_site*.py"]


@pytest.fixture(scope="session")
def build(tmp_path_factory, worker_id):
    """The folder of the site, built once for all workers, its pages by several processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "site"
    command = [sys.executable, "-m", "sphinx", "-j", "auto", "-W", "-n", "-q", TESTS.parent / "docs", folder]
    with FileLock(f"{folder}.lock"):
        if not (folder / "built").exists():
            result = subprocess.run(command, capture_output=True, text=True)
            assert result.returncode == 0, result.stderr
            (folder / "built").touch()
    return folder


@pytest.fixture(scope="session")
def site(build):
    """The address of the site: file:///..."""
    return build.as_uri()


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield browser
        browser.close()


@pytest.fixture
def reader(chromium):
    """Opens a window as a new reader: ``reader(locale="zh-CN")``; the keywords are those of a Playwright context."""
    from meta.site_pages import WAIT

    contexts = []

    def start(**settings):
        usual = {"locale": "en-GB", "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}
        contexts.append(chromium.new_context(**usual | settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT)
        return page

    yield start
    for context in contexts:
        context.close()


HEAD = """\
chapter = 1
title = "Sample"
title_zh = "样例"

[sections]
"1.1" = ["Numbers", "数"]
"1.2" = ["Shapes", "形状"]
"""

SAMPLE = """\
import pytest
import torch

claim = pytest.mark.claim


@claim("adds")
def test_one_and_one_is_two():
    assert torch.ones(2).sum() == 2


@claim("divides")
def test_halves_are_whole_numbers():
    assert torch.tensor(3) / 2 == 1


@claim("divides", truth=True)
def test_halves_are_floats():
    assert torch.tensor(3) / 2 == 1.5
"""

OTHER = """\
import pytest
import torch


@pytest.mark.claim("shapes")
@pytest.mark.parametrize("rows", [1, 2])
def test_a_shape_is_a_tuple(rows):
    assert torch.ones(rows, 3).shape == (rows, 3)
"""


def entry(id: str, verdict: str = "holds", section: str = "1.1", **fields: str) -> str:
    """A claim's entry, with a truth line unless it holds; ``fields`` adds to it."""
    values = {"id": id, "section": section, "says": f"It {id}.", "says_zh": f"{id}。", "verdict": verdict}
    if verdict != "holds":
        values |= {"truth": f"It {id} otherwise.", "truth_zh": f"{id}不然。"}
    return "\n[[claim]]\n" + "".join(f'{key} = "{value}"\n' for key, value in (values | fields).items())


class Project:
    """A project to run the harness on; what it writes replaces what was there."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path

    def write(self, name: str, text: str) -> None:
        file = self.path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf8")

    def register(self, *entries: str) -> None:
        self.write("ch1_sample/claims.toml", HEAD + "".join(entries))

    def only(self, entry: str, module: str) -> None:
        """One claim, or a few, and one module."""
        self.register(entry)
        self.write("ch1_sample/test_1_1_sample.py", f"import pytest\nimport torch\nclaim = pytest.mark.claim\n{module}")
        (self.path / "tests/ch1_sample/test_1_2_other.py").unlink()

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in this process."""
        return self.pytester.runpytest_inprocess(*arguments, no_reraise_ctrlc=True)


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    """A project with the real harness and one chapter.

    Its register has ``adds`` (holds) and ``divides`` (mistaken) in section 1.1 and ``shapes`` (holds) in 1.2;
    tests/ch1_sample/test_1_1_sample.py and test_1_2_other.py prove them. A run of it as it is passes.
    """
    (pytester.path / "pytest.ini").write_text(
        f"[pytest]\ntestpaths = tests/ch*\npythonpath = {TESTS}\n"
        "addopts = --import-mode=importlib --strict-markers -p no:cacheprovider --language=en\n"
    )
    (pytester.path / "conftest.py").write_text('pytest_plugins = ["harness.surroundings", "harness.plugin"]\n')
    project = Project(pytester)
    project.register(entry("adds"), entry("divides", "mistaken"), entry("shapes", section="1.2"))
    project.write("ch1_sample/test_1_1_sample.py", SAMPLE)
    project.write("ch1_sample/test_1_2_other.py", OTHER)
    return project


@pytest.fixture(autouse=True)
def printed_as_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """What inner runs print does not depend on who starts them: where one of these is set, pytest shortens nothing."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("BUILD_NUMBER", raising=False)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without the plugins of Hypothesis, xdist and benchmark, which start in a third of the time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture(name="entry")
def entry_fixture():
    """The function ``entry`` above: a claim's text in the register."""
    return entry


def stored(claims: list[dict], torch: str = "2.14.1+cpu", device: str = "cpu", **head: object) -> dict:
    """A verdict document of these claims, of which each names at least its id."""
    usual = {"section": "1.1", "registered": "holds", "verdict": "holds", "reason": "", "tests": [], "counterfeits": []}
    passed = {"truth": False, "outcome": "passed", "reason": "", "cases": []}
    entries = [usual | claim for claim in claims]
    for entry in entries:
        entry["tests"] = [passed | test for test in entry["tests"]]
    document = {"schema": documents.SCHEMA, "torch": torch, "torchvision": None, "numpy": "2.4.6", "python": "3.11.7"}
    document |= {"device": device, "simulated": False, "seed": 0, "interrupted": ""}
    document["totals"] = dict(Counter(entry["verdict"] for entry in entries))
    return document | {"claims": entries, "host": {}, "measured": {}, "times": {}} | head


@pytest.fixture(name="stored")
def stored_fixture():
    """The function ``stored`` above: a verdict document."""
    return stored


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the simulated accelerator's own tests to runs on it: once registered, it stays in the process."""
    if collection_path.match("test_sim*.py") and not config.getoption("device").startswith("sim"):
        return True
    return None
