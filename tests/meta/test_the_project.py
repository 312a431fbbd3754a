"""The project itself: README.md and the page on verdicts say what is so, and every claim has a counterfeit."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from harness import called, gate, register
from harness.told import counted

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf8")
VERDICTS = (ROOT / "docs/verdicts.md").read_text("utf8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What has options of its own that a page names: a matrix of releases, benchmarks, and a folder of exercises.
OTHERS = [ROOT / ".ci/matrix", ROOT / "tests/benchmarks/conftest.py", ROOT / "tests/harness/learning.py"]
OF_OTHER_PROJECTS = {"--now", "--between"}  # pytest-watcher's, and pytest-benchmark's own command's
STORED = json.loads((ROOT / "docs/results/torch-2.14.1-cpu.json").read_text("utf8"))  # the run of README's sample


@pytest.fixture(scope="module")
def claims():
    """All claims of the project's register, in the notes' order."""
    return register.load(ROOT / "tests").claims.values()


def test_ci_runs_the_command_that_the_readme_gives_for_every_test():
    commands = re.findall(r"```sh\n(.+?)\n```", README, re.DOTALL)
    in_ci = (ROOT / ".ci/run").read_text("utf8")
    assert len(commands) == 2
    assert commands[0] + " tests -n auto" == commands[1]
    assert commands[1] in in_ci


def test_every_option_that_a_page_names_is_one(pytestconfig):
    known = {name for option in pytestconfig._parser._anonymous.options for name in option.names()} | OF_OTHER_PROJECTS
    for group in pytestconfig._parser._groups:
        known.update(name for option in group.options for name in option.names())
    for other in OTHERS:
        known.update(re.findall(r'"(--[a-z-]+)"', other.read_text("utf8")))
    for page in PAGES:
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text("utf8")))
        assert named <= known, page.name


def test_every_file_that_a_page_names_or_links_to_is_there():
    for page in PAGES:
        text = page.read_text("utf8")
        links = [page.parent / link for link in re.findall(r"\]\((?!http)([^)#]+)\)", text)]
        # of the project's folders, but for what a build makes and what stands for a name
        paths = re.findall(r"(?<![\w/])(?:tests|docs|\.ci|\.github)/(?!_|.*VERSION)[\w./-]*\w", text)
        assert [file for file in [*links, *(ROOT / path for path in paths)] if not file.exists()] == [], page.name


def test_every_claim_that_a_page_names_in_a_command_is_registered(claims):
    """But for the one that a reader is shown how to add."""
    for page in PAGES:
        for pattern in re.findall(r"--(?:claim|explain) '?([a-z0-9*-]+)'?", page.read_text("utf8")):
            if pattern != "view-transposes":
                assert [claim.id for claim in claims if Path(claim.id).match(pattern)] != [], (page.name, pattern)


def test_the_number_of_claims_is_the_register_s(claims):
    of_the_notes = str(sum(not claim.beyond for claim in claims))
    assert re.findall(r"makes (\d+) claims", README) == [of_the_notes]
    assert re.findall(r"共有 (\d+) 条论断", (ROOT / "docs/README.zh.md").read_text("utf8")) == [of_the_notes]


def test_the_sample_run_has_a_row_for_each_chapter_that_agrees_with_the_register(claims):
    """The run has no accelerator, but Fashion-MNIST."""
    header, *rows = re.search(r"\n=+ torch .*?\n(.*?)\n\n", README, re.DOTALL)[1].splitlines()
    table = {row[:10].strip(): [int(cell) for cell in row[10:].split()] for row in rows[:-1]}
    assert header.split() == ["chapter", "1", "2", "3", "4", "all"]
    for place, section in enumerate(["1.", "2.", "3.", "4.", ""]):
        count = Counter(
            "not tried" if claim.needs in ("accelerator", "cuda", "two-devices") else claim.verdict
            for claim in claims
            if claim.section.startswith(section)
        )
        expected = {name: count.total() if name == "claims" else count[name] for name in table}
        assert {name: cells[place] for name, cells in table.items()} == expected


def test_the_sample_run_counts_what_the_stored_one_did(claims):
    totals, beyond = STORED["totals"], sum(claim.beyond for claim in claims)
    false = next(claim for claim in claims if claim.verdict in ("superseded", "mistaken"))
    reasons = Counter(claim["reason"] for claim in STORED["claims"] if claim["verdict"] == "not tried")
    assert f"\nnot true on this torch: {totals['superseded'] + totals['mistaken']} claims;" in README
    assert f"{false.section} {false.id}: {false.says}".startswith(re.search("--explain ID .*\n(.*)…", README)[1])
    assert f"= torch {STORED['torch']} on {STORED['device']}, seed {STORED['seed']} =" in README
    assert f"\n{len(claims) - beyond} claims of the notes, {beyond} beyond them\n" in README
    sample = " ".join(re.search(r"\nnot tried:\n(.*?)\n```", README, re.DOTALL)[1].split())
    assert sample.startswith(" ".join(f"{counted(n, 'claim')}: {reason}" for reason, n in reasons.most_common()) + " ")


@pytest.mark.parametrize("lacked", ["a CUDA GPU", "an accelerator"])
def test_the_sample_run_tells_which_tests_the_stored_one_left_out(lacked):
    tried = [claim["tests"] for claim in STORED["claims"] if claim["verdict"] != "not tried"]
    left_out = [[test for test in tests if test["reason"].startswith(f"needs {lacked};")] for tests in tried]
    claims, tests = sum(map(bool, left_out)), sum(len(test["cases"]) or 1 for tests in left_out for test in tests)

    sample = " ".join(re.search(r"\nnot tried:\n(.*?)\n```", README, re.DOTALL)[1].split())
    line = f"{counted(claims, 'claim')} tried, but without {counted(tests, 'test')}: needs {lacked};"
    assert re.findall(rf"\d+ claims? tried, but without [^;]*: needs {lacked};", sample) == [line] * bool(claims)


COPIES = """\
import torch

view = torch.Tensor.view
torch.Tensor.view = lambda self, *shape, **options: view(self, *shape, **options).clone()
"""


@pytest.mark.parametrize(("language", "readme"), [("en", "README.md"), ("zh", "docs/README.zh.md")])
def test_the_sample_of_a_failure_is_what_a_torch_whose_view_copies_gives(tmp_path, language, readme):
    (tmp_path / "copies.py").write_text(COPIES)
    command = [sys.executable, "-m", "pytest", "-p", "copies", "--claim=view-shares-data", f"--language={language}"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "COLUMNS": "80"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    text = (ROOT / readme).read_text("utf8")
    sample = re.search(r"```text\n(2\.2  view-shares-data: \w+\n.*?)```", text, re.DOTALL)[1]
    assert ran.returncode == 1
    assert sample in ran.stdout


def test_every_claim_has_a_counterfeit_or_a_reason_why_it_has_none(claims):
    forged = gate.counterfeits(ROOT / "tests", register.load(ROOT / "tests"))
    falsified = {id for counterfeit in forged for id in counterfeit.claims}
    assert [claim.id for claim in claims if claim.id not in falsified and not claim.unfalsifiable] == []


def test_every_field_of_a_verdict_document_is_on_the_page(project):
    """All fields: of a run whose claims have tests and counterfeits."""
    head = "import torch\nfrom harness.counterfeits import counterfeit\n\n\n"
    project.write("ch1_sample/counterfeits_1_1.py", head + '@counterfeit("adds")\ndef nothing(patch):\n    pass\n')
    project.run("--verdicts=run.json", "--counterfeits")

    document = json.loads((project.path / "run.json").read_text("utf8"))
    claim = document["claims"][0]
    fields = {*document, *document["host"], *claim, *claim["tests"][0], *claim["counterfeits"][0]}
    for language in ("en", "zh"):
        passages = re.findall(rf"^:::\{{{language}\}}$(.*?)^:::$", VERDICTS, re.MULTILINE | re.DOTALL)
        assert fields - set(re.findall(r"`(\w+)`", "".join(passages))) == set()


def test_every_test_and_counterfeit_has_a_chinese_name_and_no_name_is_without_one():
    claims = register.load(ROOT / "tests")
    named = gate.pass_through(ROOT / "tests", claims) + gate.counterfeits(ROOT / "tests", claims)
    places = {called.place(one.id) for one in named}
    found = called.in_chinese(claims)
    assert sorted(places - set(found)) == []
    assert sorted(set(found) - places) == []
    assert sorted(place for place, name in found.items() if not re.search("[\u4e00-\u9fff]", name)) == []
