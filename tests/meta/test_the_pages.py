"""The site's pages as text, without Sphinx: every section and every claim has its place, and tables are complete."""

import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest
from harness import register
from harness.documents import CANNOT_WRITE, VERDICTS

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "docs").glob("ch*.md"))
HEADING = re.compile(r"^(#+) (?:([\d.]+) )?\{en\}`(.+?)`\{zh\}`(.+?)`$", re.MULTILINE)


@pytest.fixture(scope="module")
def book():
    """The project's register."""
    return register.load(ROOT / "tests")


def text(name):
    """The source of a page."""
    return (ROOT / "docs" / name).read_text("utf8")


def cards(page):
    """The ids in a page's blocks of cards, in order."""
    blocks = re.findall(r"^:::\{claims\}\n(.*?)^:::$", page, re.MULTILINE | re.DOTALL)
    return [id for block in blocks for id in block.split()]


def first_cells(page, *headings):
    """The first cell of every row of a page's tables, where the first column is called by one of ``headings``."""
    return re.findall(r"^\| (.+?) \|", "".join(tables(page, *headings)), re.MULTILINE)


def tables(page, *headings):
    """The rows of a page's tables whose first column is called by one of ``headings``, a text for each table."""
    return re.findall(rf"^\| (?:{'|'.join(headings)}) \|.*\n\| ---.*\n((?:\|.*\n)+)", page, re.MULTILINE)


def test_every_claim_stands_on_exactly_one_page(book):
    shown = Counter(id for page in CHAPTERS for id in cards(page.read_text("utf8")))
    missing = [id for id in book.claims if not shown[id]]
    repeated = [id for id in shown if shown[id] > 1]
    unknown = [id for id in shown if id not in book.claims]

    assert not missing, f"claims that stand on no page: {', '.join(missing)}"
    assert not repeated, f"claims that stand on a page more than once: {', '.join(repeated)}"
    assert not unknown, f"ids of no claim: {', '.join(unknown)}"


def test_the_titles_of_chapters_and_sections_are_the_register_s(book):
    """A chapter's page has its title; its sections are headings there, or pages of their own."""
    found = [
        heading[1:]
        for page in CHAPTERS
        for heading in HEADING.findall(page.read_text("utf8"))
        if re.fullmatch(r"\d(\.\d)?", heading[1])
    ]
    expected = [
        title
        for chapter in book.chapters
        for title in [
            (str(chapter.number), chapter.title, chapter.title_zh),
            *((number, *titles) for number, titles in chapter.sections.items()),
        ]
    ]

    assert found == expected


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_every_claim_stands_in_its_section(book, page):
    for part in re.split(r"^##? (?=\d\.\d)", page.read_text("utf8"), flags=re.MULTILINE)[1:]:
        number = part.split()[0]
        assert {book.claims[id].section for id in cards(part)} == {number}


@pytest.mark.parametrize(
    "page", sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs/README.zh.md"}), ids=lambda page: page.stem
)
def test_every_english_passage_is_followed_by_a_chinese_one(page):
    languages = re.findall(r"^:::\{(en|zh)\}$", page.read_text("utf8"), re.MULTILINE)

    assert languages == ["en", "zh"] * (len(languages) // 2)


def test_the_table_of_verdicts_names_every_verdict_in_both_languages():
    english, chinese = tables(text("verdicts.md"), "verdict", "结论")

    assert re.findall(r"^\| ([a-z ]+?) \|", english, re.MULTILINE) == list(VERDICTS)
    assert re.findall(r"^\| ([a-z ]+?)（.+?） \|", chinese, re.MULTILINE) == list(VERDICTS)


def test_the_table_of_exit_codes_names_every_code_of_pytest_and_ours():
    """Those that pytest has had for long; a later one belongs to an option that nothing here uses."""
    codes = [*[str(code.value) for code in pytest.ExitCode][:6], str(CANNOT_WRITE)]

    assert first_cells(text("verdicts.md"), "code", "退出码") == codes * 2


def test_the_table_of_an_entry_s_fields_is_complete():
    fields = {field.name for field in dataclasses.fields(register.Claim)} - {"where"}  # which is no field of the file

    for table in tables(text("add-a-claim.md"), "field", "字段"):
        assert set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE)))) == fields


def test_no_chapter_types_code_that_a_lesson_has():
    """Code stands on the cards, from the lessons themselves; between them a chapter has words and pictures."""
    for page in (ROOT / "docs").glob("ch*.md"):
        fences = re.findall(r"^```(.+)$", page.read_text("utf8"), re.MULTILINE)
        assert {fence.partition("}")[0] for fence in fences} <= {"{picture", "{toctree", "{claims-of-chapter"}, (
            page.name
        )
