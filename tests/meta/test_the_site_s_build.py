"""The site's build: mistakes end it with a line for each, and a page says what the stored runs say."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from harness import called, explain
from harness.documents import SCHEMA
from sphinx.cmd.build import main as sphinx

DOCS = Path(__file__).parents[2] / "docs"
sys.path.append(str(DOCS / "_ext"))
import cards  # noqa: E402
import finder  # noqa: E402
import labels  # noqa: E402
import names  # noqa: E402
import plots  # noqa: E402
import results  # noqa: E402

COUNTERFEIT = """
from harness.counterfeits import counterfeit

@counterfeit("adds")
def ones_are_twos(patch):
    '''Every one is a two.'''
"""
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


@pytest.fixture
def site(project, capsys):
    """The sample project with one page that shows its three claims and one stored run that agrees with the register."""
    return Site(project, capsys)


REGISTERED_AT = "tests/ch1_sample/claims.toml"


@pytest.mark.parametrize("verdict", ["broken", "mistaken", "caveat", "not yet"])
def test_a_run_that_contradicts_the_register_ends_the_build(site, verdict):
    site.store(document(adds=verdict))
    told = f"torch-2.14.1-cpu.json: claim 'adds' is '{verdict}', but {REGISTERED_AT}:9 expects 'holds' on 2.14.1"
    assert site.build() == [told]


def test_a_device_that_not_everybody_has_may_break_a_claim_and_end_early(site):
    site.store(document(device="cuda", adds="broken") | {"interrupted": "SIGTERM"})
    site.write(PAGE + "\n```{runs}\n```\n")
    assert site.build() == []
    assert "cuda (ended early)" in site.page


@pytest.mark.parametrize("outcome", ["survived", "invalid"])
def test_a_counterfeit_that_was_not_caught_ends_the_build(site, outcome):
    run = document()
    run["claims"][0]["counterfeits"] = [{"name": "ones_are_twos", "outcome": outcome, "detail": ""}]
    site.store(run)
    told = f"torch-2.14.1-cpu.json: counterfeit 'ones_are_twos' of claim 'adds' is '{outcome}', not caught"
    assert site.build() == [told]


@pytest.mark.parametrize(
    ("torch", "right", "wrong"), [("2.5.1", "holds", "superseded"), ("2.6.0", "superseded", "holds")]
)
def test_what_a_run_must_have_found_depends_on_its_torch(site, entry, torch, right, wrong):
    changed = entry("divides", "superseded", until="2.6")
    site.project.register(entry("adds"), changed, entry("shapes", section="1.2"))
    site.store(document(divides="superseded"))
    site.store(document(torch, divides=right))
    assert site.build() == []
    site.store(document(torch, divides=wrong))
    assert site.build() == [
        f"torch-{torch}-cpu.json: claim 'divides' is '{wrong}', but {REGISTERED_AT}:16 expects '{right}' on {torch}"
    ]


def test_a_run_of_a_claim_that_is_not_registered_ends_the_build(site):
    site.store(document(add="holds"))
    assert site.build() == ["torch-2.14.1-cpu.json: claim 'add' is not registered; did you mean 'adds'?"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 1}, "its schema is 1; make it again with pytest --verdicts=FILE"),
        ({"interrupted": "-x"}, "of a run that did not end: -x; run it again"),
        ({"torch": "2.6.0"}, "a run of torch 2.6.0 on cpu is stored as torch-2.6.0-cpu.json"),
        ({"device": "cuda"}, "a run of torch 2.14.1 on cuda is stored as torch-2.14.1-cuda.json"),
        ({"claims": None}, "not a verdict document: claims is no list"),
    ],
)
def test_a_document_that_is_not_one_is_named(site, change, problem):
    site.store(document() | change, "torch-2.14.1-cpu.json")
    assert site.build() == [f"{site.results}/torch-2.14.1-cpu.json: {problem}"]


def test_a_run_from_when_a_claim_was_registered_otherwise_ends_the_build(site):
    run = document()
    run["claims"][0]["registered"] = "caveat"
    site.store(run)
    assert site.build() == [
        f"torch-2.14.1-cpu.json: claim 'adds' was registered as 'caveat'; {REGISTERED_AT}:9 says 'holds'"
    ]


@pytest.mark.parametrize("text", ["no JSON", "{}", '{"benchmarks": [{"group": "g"}]}'])
def test_a_run_of_the_benchmarks_that_is_not_one_is_named(site, text):
    (site.results / "benchmarks-cpu.json").write_text(text, "utf8")
    [told] = site.build()
    assert told.startswith("benchmarks-cpu.json: not a stored run of the benchmarks: ")


def test_a_site_without_runs_is_not_built(site):
    (site.results / "torch-2.14.1-cpu.json").unlink()
    assert site.build() == [f"{site.results}: no verdict documents; write one with pytest --verdicts=FILE"]


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (PAGE.replace("adds\n", ""), "claim 'adds' is on no page; put it into a claims block of its chapter"),
        (PAGE + "\n```{claims}\nadds\n```\n", "claim 'adds' is shown more than once: index.md, index.md"),
        (PAGE.replace("adds", "add"), "index.md: no claim is called 'add'; did you mean 'adds'?"),
    ],
)
def test_every_claim_is_on_one_page_once(site, page, told):
    site.write(page)
    assert site.build() == [told]


def test_a_mistake_in_the_register_is_told_without_a_traceback(site, entry):
    site.project.register(entry("adds", section="9.9"))
    assert site.build() == [f"{REGISTERED_AT}:9: claim 'adds': section '9.9' is not in this file's [sections]"]


def test_a_formula_that_cannot_be_written_is_named(site, entry):
    site.project.register(
        entry("adds", says=r"It adds $\\left( x$."), entry("divides", "mistaken"), entry("shapes", section="1.2")
    )
    assert site.build()[0].startswith(r"formula $\left( x$ cannot be written as MathML: ")


def test_a_page_is_written_anew_when_a_stored_run_changes(site):
    assert site.build() == []
    assert "torch 2.14.1, cpu" in site.page
    assert "torch 2.15.0, cpu" not in site.page
    site.store(document("2.15.0"))
    assert site.build() == []
    assert "torch 2.15.0, cpu" in site.page


def card(site, id):
    return cards.Card(site.book().spec.register.claims[id], site.book())


def test_a_card_shows_the_lessons_as_they_run_and_names_the_guards_that_explain_prints(site):
    book = site.book()
    for id, claim in book.spec.register.claims.items():
        lessons, guards = card(site, id).lessons, card(site, id).guards
        told = explain.claim(claim, book.spec)
        assert len(lessons) + len(guards) == told.count("── tests/")
        bodies = [re.sub("<[^>]*>", "", lesson["html"]).partition("def ")[2] for lesson in lessons]
        assert lessons
        assert all(body and body in told for body in bodies)
        assert all(f"def test_{guard['name'].replace(' ', '_')}(" in told for guard in guards)


def test_a_lesson_stands_beside_what_the_notes_and_what_a_run_printed(site, entry):
    site.project.register(entry("adds", prints="2"), entry("divides", "mistaken"), entry("shapes", section="1.2"))
    run = document() | {
        "measured": {"tests/ch1_sample/test_1_1_sample.py::test_one_and_one_is_two": {"prints": "2.\n"}}
    }
    site.store(run)
    [lesson] = card(site, "adds").lessons
    assert [text for _, text in lesson["prints"]] == ["2", "2."]
    assert ["The notes print" in lesson["prints"][0][0], "You see on torch 2.14.1" in lesson["prints"][1][0]] == [
        True
    ] * 2
    assert [lesson["prints"] for lesson in card(site, "divides").lessons] == [[], []]
    assert site.build() == []
    assert site.page.count("The notes print") == 1


def test_the_tests_of_a_mistaken_claim_are_told_apart(site):
    labels = [str(test["label"]) for test in card(site, "divides").lessons]
    assert ["✗ the statement fails, as expected" in label for label in labels] == [True, False]
    assert ["✓ truth" in label for label in labels] == [False, True]


def test_a_real_device_counts_before_a_simulated_one_and_a_newer_torch_before_an_older(site):
    site.store(document("2.15.0", "sim", simulated=True))
    site.store(document("2.13.0", adds="not tried"))
    assert card(site, "adds").run.file == "torch-2.14.1-cpu.json"
    site.store(document(adds="not tried"))
    shown = card(site, "adds")
    assert shown.run.file == "torch-2.15.0-sim.json"
    assert "simulated" in shown.badge
    assert "sim (simulated)" in shown.basis


def test_a_claim_that_no_run_tried_says_so_and_why(site):
    site.store(document(adds="not tried"))
    shown = card(site, "adds")
    assert shown.verdict == "not tried"
    assert "by no stored run: needs a CUDA GPU" in shown.basis


def test_the_table_has_a_row_for_cuda_without_cells_until_a_run_is_stored(site):
    site.store(document("2.13.0", "sim", simulated=True))
    rows = card(site, "adds").rows
    assert [(str(row["device"])[:4], len(row["cells"])) for row in rows] == [("cpu", 2), ("sim ", 2), ("cuda", 0)]
    assert [cell["look"] for cell in rows[0]["cells"]] == ["holds", "no-run"]
    assert [cell["mark"] for cell in rows[0]["cells"]] == ["✓", ""]
    assert [cell["mark"] for cell in card(site, "divides").rows[0]["cells"]] == ["✗", ""]
    site.store(document("2.13.0", "cuda"))
    rows = card(site, "adds").rows
    assert [(str(row["device"])[:4], len(row["cells"])) for row in rows] == [("cpu", 2), ("cuda", 2), ("sim ", 2)]


def test_a_release_is_told_in_full_only_where_two_would_look_alike(site):
    for torch in ("2.1.2", "2.11.0", "2.14.0"):
        site.store(document(torch))
    shown = card(site, "adds")
    assert [shown.short(version) for version in shown.versions] == ["2.14.1", "2.14.0", "2.11", "2.1"]


def test_a_counterfeit_counts_as_caught_only_where_a_stored_run_says_so(site):
    site.project.write("ch1_sample/counterfeits_1_1.py", COUNTERFEIT)
    assert "1 counterfeit, tried in no stored run" in card(site, "adds").counterfeit_summary
    run = document()
    run["claims"][0]["counterfeits"] = [{"name": "ones_are_twos", "outcome": "caught", "detail": "test_x"}]
    site.store(run)
    assert "1 of 1 counterfeit caught" in card(site, "adds").counterfeit_summary
    run["claims"][0]["counterfeits"][0]["name"] = "another"
    site.store(run)
    assert "1 counterfeit, tried in no stored run" in card(site, "adds").counterfeit_summary


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("torch.Tensor", "tensors.html#torch.Tensor"),
        ("torch.Tensor.view", "generated/torch.Tensor.view.html"),
        ("torch.nn.Linear", "generated/torch.nn.Linear.html"),
        ("torch.nn.Module.train", "generated/torch.nn.Module.html#torch.nn.Module.train"),
        ("torch.nn.init.zeros_", "nn.init.html#torch.nn.init.zeros_"),
        ("torch.utils.data.DataLoader", "data.html#torch.utils.data.DataLoader"),
        ("torch.cuda.device", "generated/torch.cuda.device.html"),
    ],
)
def test_a_name_leads_to_its_documentation(name, address):
    assert names.address(name) == f"https://docs.pytorch.org/docs/stable/{address}"


def test_a_name_of_torchvision_leads_to_its_own_documentation():
    assert names.address("torchvision.models.vgg16") == (
        "https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.vgg16.html"
    )


def test_chinese_is_indexed_by_pairs_of_characters_and_english_by_words():
    language = finder.BothLanguages({})
    assert language.split("张量共享 shared_data 值") == ["张量", "量共", "共享", "值", "shared_data"]


def test_a_curve_is_drawn_from_what_a_test_recorded_and_always_alike():
    curve = {"x": "epoch", "y": "loss", "lines": {"training": [4.0, 2.0, 0.1], "test": [3.0, 2, 1]}}
    tests = [{"test": "a.py::test_loss_falls", "outcome": "passed"}, {"test": "a.py::test_other"}]
    measured = {"a.py::test_loss_falls": {"curve": curve}, "a.py::test_of_another_claim": {"curve": curve}}
    run = results.Run("", "2.14.1", "cpu", False, {"falls": {"tests": tests}}, measured)
    [drawn] = plots.of("falls", run, lambda test: ("loss falls", "损失下降"))
    assert drawn.text == {
        "en": "loss falls: loss by epoch; training from 4 to 0.1, test from 3 to 1",
        "zh": "损失下降：损失随轮次的变化；训练从 4 到 0.1，测试从 3 到 1",
    }
    image = plots.svg(curve)
    assert all(f">{word}<" in image.decode() for word in ("epoch", "loss", "training", "test"))
    assert plots.svg(curve) == image
    points = [
        re.findall("[ML] ([0-9.]+) ([0-9.]+)", path) for path in re.findall(r'd="([^"]+)" clip-path', image.decode())
    ]
    assert [len(line) for line in points] == [3, 3]
    heights = [float(y) for line in points for _, y in line]  # counted from the top
    assert heights[0] < heights[3] < heights[1] == heights[4] < heights[5] < heights[2]  # 4, 3, 2 and 2, 1, 0.1
    assert plots.of("falls", None, called.words) == []
    words = labels.in_chinese(image.decode())
    assert all(f">{word}<" in words for word in ("轮次", "损失", "训练", "测试"))
    assert ">loss<" not in words
