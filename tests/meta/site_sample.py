"""A small site for the tests of its build: the sample project with a page and stored runs."""

import json
from collections import Counter
from pathlib import Path

import cards
from harness.documents import SCHEMA
from sphinx.cmd.build import main as sphinx

DOCS = Path(__file__).parents[2] / "docs"


PAGE = "# Title\n\n```{claims}\nadds\ndivides\nshapes\n```\n"


def document(torch="2.14.1+cpu", device="cpu", simulated=False, divides="mistaken", **verdicts):
    """A run that found what the register of the sample project expects, or the ``verdicts`` given by id.

    ``divides`` is the registered verdict of that claim too, but for "holds".
    """
    registered = {"divides": "superseded" if divides == "holds" else divides}
    found = {"adds": "holds", "divides": divides, "shapes": "holds"} | verdicts
    outcomes = {"adds": [("test_one_and_one_is_two", "passed")], "shapes": [("test_a_shape_is_a_tuple[1]", "passed")]}
    outcomes["divides"] = [("test_halves_are_whole_numbers", "refuted"), ("test_halves_are_floats", "passed")]
    module = "tests/ch1_sample/test_1_1_sample.py"
    claims = [
        {
            "id": id,
            "section": "1.1",
            "registered": registered.get(id, "holds"),
            "verdict": verdict,
            "reason": "needs a CUDA GPU" if verdict == "not tried" else "",
            "tests": [
                {"test": f"{module}::{test}", "truth": False, "outcome": outcome, "reason": "", "cases": []}
                for test, outcome in outcomes.get(id, [])
            ],
            "counterfeits": [],
        }
        for id, verdict in found.items()
    ]
    head = {"schema": SCHEMA, "torch": torch, "torchvision": None, "numpy": None, "python": "3.11.7"}
    head |= {"device": device, "simulated": simulated, "seed": 0, "interrupted": "", "totals": Counter(found.values())}
    return head | {"claims": claims, "host": {}, "measured": {}, "times": {}}


class Site:
    """The sample project with a page and stored runs; it can be built."""

    def __init__(self, project, capsys):
        self.project, self.path, self.capsys = project, project.path, capsys
        self.results = self.path / "docs/results"
        self.results.mkdir(parents=True)
        self.store(document())
        self.write(PAGE)

    def write(self, page):
        (self.path / "docs/index.md").write_text(page, "utf8")

    def store(self, run, name=None):
        name = name or f"torch-{run['torch'].partition('+')[0]}-{run['device']}.json"
        (self.results / name).write_text(json.dumps(run), "utf8")

    def build(self):
        """Build the site; returns the lines of the error that ended it, none if it ended well."""
        own = [f"claims_root={self.path}", "exclude_patterns=results"]
        options = ["-W", "-n", "-q", "-c", str(DOCS), *(part for value in own for part in ("-D", value))]
        try:
            code = sphinx([*options, str(self.path / "docs"), str(self.path / "site")])
        except SystemExit as error:
            return str(error.code).splitlines()
        assert (code, self.capsys.readouterr().err) == (0, "")
        return []

    @property
    def page(self):
        return (self.path / "site/index.html").read_text("utf8")

    def book(self):
        return cards.read(self.path, lambda source: source)
