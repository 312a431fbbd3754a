"""--against, --fail-on, --changes, --read and --report: what differs from an older run, and a run as a page."""

import copy
import json
import re
from html.parser import HTMLParser

import pytest
from harness import compare, documents, pagefile, register
from harness.specification import Specification

pytestmark = pytest.mark.usefixtures("bare")

FAILING = 'import pytest\n\n\n@pytest.mark.claim("shapes")\ndef test_a_shape_is_a_list():\n    assert () == []\n'


@pytest.fixture
def old(project):
    """The document of a run of the project as it is, in old.json."""
    assert project.run("--verdicts=old.json").ret == 0
    return documents.read(project.path / "old.json")


def store(project, document, name="old.json"):
    documents.write(str(project.path / name), document)


def known(project):
    return register.load(project.path / "tests")


def test_a_chinese_reader_is_told_in_chinese(project, old):
    project.run("--against=old.json", "--language=zh").stdout.fnmatch_lines(["与 old.json 相比：*：没有变化"])
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    project.write("ch1_sample/names_zh.toml", '["1.2"]\na_shape_is_a_list = "形状是列表"\n')
    project.run("--against=old.json", "--language=zh").stdout.fnmatch_lines(
        ["   1.2 shapes: 成立 -> 不符*", "        shapes。", "  新增的测试：1 个", "  不再有的测试：* 个"]
    )


def test_an_equal_run_is_one_line_and_no_failure(project, old):
    result = project.run("--against=old.json", "--fail-on=change")
    assert result.ret == 0
    told = f"against old.json: torch {old['torch']} on cpu: nothing changed"
    assert [line for line in result.outlines if line.startswith("against")] == [told]


def test_documents_of_equal_runs_differ_only_at_their_end(project, old):
    project.run("--verdicts=new.json")
    first, second = ((project.path / name).read_text().partition(' "host": {')[0] for name in ("old.json", "new.json"))
    assert first == second


def test_a_changed_verdict_is_told_with_its_sentence_and_its_truth(project, old):
    module = project.path / "tests/ch1_sample/test_1_1_sample.py"
    module.write_text(module.read_text().replace("== 1.5", "== 1.6"))
    result = project.run("--against=old.json")
    result.stdout.fnmatch_lines(
        [
            "against old.json: torch *",
            "   1.1 divides: mistaken -> broken*",
            "        It divides.",
            "        -> It divides otherwise.",
            "  tests/ch1_sample/test_1_1_sample.py::test_halves_are_floats: passed -> failed",
        ]
    )


@pytest.mark.parametrize(
    ("change", "on", "code"),
    [
        ({}, "change", 0),
        ({}, "broken", 0),
        ({"verdict": "caveat"}, "change", 1),
        ({"verdict": "caveat"}, "broken", 0),
        ({"verdict": "broken"}, "broken", 0),  # it was broken, and no longer is
    ],
)
def test_fail_on_says_what_ends_with_exit_code_1(project, old, change, on, code):
    old["claims"][0] |= change
    totals = [claim["verdict"] for claim in old["claims"]]
    store(project, old | {"totals": {verdict: totals.count(verdict) for verdict in totals}})
    assert project.run("--against=old.json").ret == 0
    assert project.run("--against=old.json", f"--fail-on={on}").ret == code
    project.run("--verdicts=new.json")
    assert project.run("--read=new.json", "--against=old.json", f"--fail-on={on}").ret == code


def test_a_claim_that_is_broken_in_the_newer_of_two_documents_fails(project, old):
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    project.run("--verdicts=new.json")
    assert project.run("--read=new.json", "--against=old.json").ret == 0
    assert project.run("--read=new.json", "--against=old.json", "--fail-on=broken").ret == 1


def test_claims_and_tests_that_are_new_or_gone_are_told(project, old, entry):
    project.register(entry("adds"), entry("shapes", section="1.2"), entry("shrinks", section="1.2"))
    test = "@pytest.mark.claim({})\ndef test_a():\n    assert True\n"
    project.write("ch1_sample/test_1_1_sample.py", f"import pytest\n\n\n{test.format(repr('adds'))}")
    project.write(
        "ch1_sample/test_1_2_other.py", f"import pytest\n\n\n{test.format(repr('shapes') + ', ' + repr('shrinks'))}"
    )
    project.run("--against=old.json").stdout.fnmatch_lines(
        [
            "  claims that are new: shrinks",
            "  claims that are gone: divides",
            "  tests that are new: 2",
            "  tests that are gone: 2",
        ]
    )


def test_one_claim_is_compared_alone(project, old):
    result = project.run("--claim=adds", "--against=old.json", "--fail-on=change")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["against old.json: *: nothing changed"])


def test_two_documents_are_compared_without_a_run(project, old):
    store(project, old | {"torch": "2.5.1+cu124", "numpy": "1.26.4"}, "new.json")
    result = project.run("--read=new.json", "--against=old.json")
    assert result.ret == 0
    told = (
        f"against old.json: torch {old['torch']} -> 2.5.1+cu124 on cpu, numpy {old['numpy']} -> 1.26.4: nothing changed"
    )
    assert result.outlines == [told]


@pytest.mark.parametrize(
    ("before", "after", "off"),
    [
        ({"curve": {"lines": {"a": [2.0, 1.0]}}}, {"curve": {"lines": {"a": [2.0, 1.09]}}}, None),
        ({"curve": {"lines": {"a": [2.0, 1.0]}}}, {"curve": {"lines": {"a": [2.0, 1.2]}}}, 0.1),
        ({"curve": {"lines": {"a": [2.0, 1e-9]}}}, {"curve": {"lines": {"a": [2.0, 3e-9]}}}, None),
        ({"curve": {"lines": {"a": [2.0]}}}, {"curve": {"lines": {"a": [2.0, 1.0]}}}, 9.99),
        ({"seconds": {"true": 1.0}}, {"seconds": {"true": 1.8}}, None),
        ({"seconds": {"true": 1.0}}, {"seconds": {"true": 4.0}}, 0.75),
        ({"note": "a"}, {"note": "b"}, 9.99),
        ({"crossover": None}, {"crossover": 64}, 9.99),
        ({"curve": [1]}, {"other": [2]}, None),
    ],
)
def test_a_measured_value_differs_beyond_its_margin(project, old, before, after, off):
    test = "tests/ch1_sample/test_1_1_sample.py::test_one_and_one_is_two"
    first, second = ({**copy.deepcopy(old), "measured": {test: measured}} for measured in (before, after))
    found = compare.changes(first, second, known(project))
    assert [one["off"] for one in found["measured"]] == ([] if off is None else [off])


def test_what_the_device_gained_and_lost_is_told(project, old):
    new = copy.deepcopy(old)
    old["capabilities"] |= {"float64": "no such type"}
    new["capabilities"] |= {"int8": "no such type"}
    new["claims"][0]["tests"][0] |= {"outcome": "refused", "cause": "aten::abs of float16"}
    found = compare.changes(old, new, known(project))
    assert found["device"] == [
        {"thing": "float64", "old": "missing", "new": "there"},
        {"thing": "aten::abs of float16", "old": "there", "new": "missing"},
        {"thing": "int8", "old": "there", "new": "missing"},
    ]


def test_the_changes_are_written_as_json_and_as_markdown(project, old):
    module = project.path / "tests/ch1_sample/test_1_1_sample.py"
    module.write_text(module.read_text().replace("== 1.5", "== 1.6"))
    project.run("--against=old.json", "--changes=changes.json", "--changes=changes.md")
    found = json.loads((project.path / "changes.json").read_text())
    assert set(found) == {"head", *compare.KINDS}
    assert [(one["id"], one["old"], one["new"]) for one in found["verdicts"]] == [("divides", "mistaken", "broken")]
    lines = (project.path / "changes.md").read_text().splitlines()
    assert lines[0] == f"### torch {old['torch']} on cpu"
    assert lines[4].startswith("| 1.1 | `divides` | mistaken | **broken**")
    assert lines[4].endswith("| It divides.<br>→ It divides otherwise. |")
    assert lines[6].startswith("- tests/ch1_sample/test_1_1_sample.py::test_halves_are_floats: passed -> failed")


def test_markdown_of_equal_runs_says_so(project, old):
    found = compare.changes(old, old, known(project))
    assert compare.markdown(old, old, found).endswith("\n\nNo claim, test or measured value changed.\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--fail-on=change"], "--fail-on: goes with --against=FILE"),
        (["--changes=c.md"], "--changes: goes with --against=FILE"),
        (["--read=old.json"], "--read: goes with --against=FILE or --report=FILE"),
        (["--against=old.json", "--changes=c.txt"], "--changes: 'c.txt' ends neither in .md nor in .json"),
        (["--against=old.json", "--changes=no/c.md"], "--changes: 'no/c.md' lies in a folder that does not exist*"),
        (["--report=no/r.html"], "--report: 'no/r.html' lies in a folder that does not exist*"),
        (["--against=none.json"], "--against: none.json: cannot be read: No such file or directory"),
        (["--against=conftest.py"], "--against: conftest.py: not a verdict document: *"),
        (["--read=none.json", "--report=r.html"], "--read: none.json: cannot be read: No such file or directory"),
        (["--against=old.json", "--pages"], "--pages gives no verdicts: leave out --against and --report, or --pages"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_in_an_option_is_one_line_before_anything_runs(project, old, arguments, problem):
    result = project.run(*arguments)
    assert (result.ret, result.outlines) == (pytest.ExitCode.USAGE_ERROR, [])
    result.stderr.fnmatch_lines([f"ERROR: {problem}"])
    assert len([line for line in result.errlines if line]) == 1


def test_a_run_that_tried_nothing_is_not_compared(project, old):
    result = project.run("--against=old.json", "-k", "nothing", "--report=r.html")
    result.stdout.fnmatch_lines(["against: nothing was tried, so nothing was compared"])
    assert not (project.path / "r.html").exists()


def test_a_file_that_cannot_be_written_by_the_end_has_its_own_exit_code(project, old):
    (project.path / "c.md").symlink_to("/dev/full")
    result = project.run("--against=old.json", "--changes=c.md")
    assert result.ret == documents.CANNOT_WRITE
    result.stdout.fnmatch_lines(["c.md cannot be written: No space left on device"])


class Reader(HTMLParser):
    """Collects a page's elements and texts, and what of it lies elsewhere."""

    def __init__(self, page):
        super().__init__()
        self.open, self.cards, self.buttons, self.elsewhere = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.elsewhere += [found[name] for name in ("src", "href") if name in found]
        if tag == "article":
            self.cards.append((found["id"], found["data-verdict"]))
        if tag == "button":
            self.buttons.append(found["data-verdict"])


def test_a_report_is_one_page_that_needs_nothing_else_with_what_is_broken_first(project, old):
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    assert project.run("--report=r.html").ret == 1
    page = (project.path / "r.html").read_text("utf8")
    read = Reader(page)
    assert read.cards == [("shapes", "broken"), ("divides", "mistaken"), ("adds", "holds")]
    assert read.buttons == ["all", "broken", "mistaken", "holds"]
    assert read.elsewhere == []
    assert not re.search(r"https?://|url\(|@import", page)
    assert "→ It divides otherwise." in page
    assert "tests/ch1_sample/test_1_2_other.py::test_a_shape_is_a_list" in page
    assert 'show("broken")' in page


def test_a_report_of_a_stored_document_needs_no_run(project, old):
    assert project.run("--read=old.json", "--report=r.html").ret == 0
    page = (project.path / "r.html").read_text("utf8")
    assert len(Reader(page).cards) == 3
    assert f"<h1>torch {old['torch']} on cpu</h1>" in page
    assert 'show("all")' in page


def test_what_a_document_says_is_text_on_the_page(project, old):
    old["claims"][0] |= {"reason": "<script>alert(1)</script>", "id": '"><b>'}
    page = pagefile.page(old | {"interrupted": "<i>"}, Specification(known(project), (), (), frozenset()))
    assert "<script>alert" not in page
    assert "<b>" not in page
    assert "This run ended early: &lt;i&gt;" in page
    assert pagefile.text("`a<b` & c") == "<code>a&lt;b</code> &amp; c"


def test_every_verdict_has_its_place_and_meaning_on_the_page():
    assert set(pagefile.ORDER) == set(pagefile.MEANS) == set(documents.VERDICTS)
