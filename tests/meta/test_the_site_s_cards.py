"""What a card says is what the register, the tests and the stored runs say; names and curves in both languages."""

import re

import cards
import finder
import labels
import names
import plots
import pytest
import results
from harness import called, explain
from meta.site_sample import Site, document


@pytest.fixture
def site(project, capsys):
    """The sample project with one page that shows its three claims and one stored run that agrees with the register."""
    return Site(project, capsys)


COUNTERFEIT = """
from harness.counterfeits import counterfeit

@counterfeit("adds")
def ones_are_twos(patch):
    '''Every one is a two.'''
"""


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
