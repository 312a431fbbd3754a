"""The built site in Chromium, for readers of both languages, of narrow, dark and printed pages, and of the keyboard."""

import shutil
import subprocess

import pytest
from axe_playwright_python.sync_playwright import Axe
from harness import wording
from meta.site_pages import CHAPTERS, CLAIMS, PAGE_OF, PAGES, VIEW, plain
from playwright.sync_api import expect


@pytest.mark.parametrize(
    ("locale", "shown", "hidden"), [("en-GB", "en", "zh"), ("zh-CN", "zh", "en"), ("fr", "en", "zh")]
)
def test_the_browser_s_language_is_shown_first_and_the_switch_is_remembered(site, reader, locale, shown, hidden):
    page = reader(locale=locale)
    page.goto(f"{site}/{VIEW}")

    def assert_shown(shown, hidden):
        assert page.evaluate("document.documentElement.lang") == shown
        expect(page.locator(f"#view-shares-data .claim-says [lang={shown}]")).to_be_visible()
        expect(page.locator(f"#view-shares-data .claim-says [lang={hidden}]")).to_be_hidden()
        expect(page.locator(f"h1 .lang-{shown}")).to_be_visible()
        expect(page.locator(f"h1 .lang-{hidden}")).to_be_hidden()

    assert_shown(shown, hidden)
    page.locator(".language-switch:visible").click()
    assert_shown(hidden, shown)
    page.goto(f"{site}/index.html")
    assert page.evaluate("document.documentElement.lang") == hidden
    page.goto(f"{site}/{VIEW}")
    assert_shown(hidden, shown)


def test_an_address_can_name_the_language(site, reader):
    page = reader()
    page.goto(f"{site}/{VIEW}?lang=zh")
    expect(page.locator("#view-shares-data .claim-says [lang=zh]")).to_be_visible()


@pytest.mark.parametrize("name", PAGES)
def test_a_chinese_reader_meets_english_in_code_alone(site, reader, name):
    """Words that stand in no Chinese sentence and in no code, and what elements say of themselves; two words or more,
    since one may be a name. Why a cell's claim was broken is told in the words of the run.
    """
    page = reader(locale="zh-CN")
    page.goto(f"{site}/{name}.html?q=tensor")
    found = page.evaluate(
        """() => {
          document.querySelectorAll("details").forEach(d => d.open = true);
          const english = text => /[A-Za-z]{3,} [a-z]{2,}/.test(text) && !/[\u4e00-\u9fff]/.test(text);
          const read = "p, li, h1, h2, h3, td, th, summary, figcaption, dt, a, button, span";
          const codes = e => [...e.querySelectorAll("code")];
          const plain = e => codes(e).reduce((text, code) => text.replace(code.innerText, ""), e.innerText);
          const texts = [...document.querySelectorAll(read)]
            .filter(e => !e.closest("code, pre, .lang-en, span[lang=en], .code-block-caption, svg"))
            .filter(e => e.checkVisibility())
            .map(plain);
          const labels = [...document.querySelectorAll("[title], [alt], [aria-label], [placeholder]")]
            .filter(e => !e.closest(".lang-en, span[lang=en], svg, td"))
            .flatMap(e => ["title", "alt", "aria-label", "placeholder"].map(name => e.getAttribute(name) ?? ""));
          return [...texts, ...labels, document.title].filter(english);
        }"""
    )
    assert found == []


def test_a_cell_tells_its_verdict_in_words_in_both_languages(site, reader):
    page = reader()
    page.goto(f"{site}/{CHAPTERS[0]}.html")
    cells = """looks => looks.map(look => {
      const cell = document.querySelector(".claim-runs td");
      cell.className = look;
      return getComputedStyle(cell, "::after").content;
    })"""
    for place, language in enumerate(("en", "zh")):
        page.evaluate(f"language.set('{language}')")
        said = page.evaluate(cells, [verdict.replace(" ", "-") for verdict in wording.VERDICTS])
        assert said == [f'"{words[place]}"' for words in wording.VERDICTS.values()]


def test_answers_are_hidden_until_a_card_is_asked_and_the_choice_is_remembered(site, reader):
    page = reader()
    page.goto(f"{site}/{VIEW}")
    card = page.locator("#view-shares-data")
    hidden = [card.locator(part) for part in (".badge", ".claim-truth", ".claim-record")]
    page.locator(".predict-switch").press("Enter")
    page.goto(f"{site}/{VIEW}#view-shares-data")
    for part in hidden:
        expect(part).to_be_hidden()
    answers = card.locator(".answer")
    covered = "all => all.map(e => getComputedStyle(e).color === getComputedStyle(e).backgroundColor)"
    assert set(answers.evaluate_all(covered)) == {True}
    expect(card.locator(".claim-says")).to_be_visible()
    card.locator(".reveal").press("Enter")
    for part in hidden:
        expect(part).to_be_visible()
    assert True not in answers.evaluate_all(covered)
    page.locator(".predict-switch").click()
    expect(page.locator("#item-gives-a-python-number .badge")).to_be_visible()


def test_the_switch_keeps_the_claim_that_is_read_in_place(site, reader):
    page = reader()
    page.goto(f"{site}/{PAGE_OF['linspace-divides-evenly']}.html#linspace-divides-evenly")
    card = page.locator("#linspace-divides-evenly")
    before = card.bounding_box()["y"]
    page.locator(".language-switch:visible").click()
    expect(card.locator(".claim-says [lang=zh]")).to_be_visible()
    assert card.bounding_box()["y"] == pytest.approx(before, abs=2)


def test_both_languages_are_marked_as_such_and_shown_without_scripts(site, reader):
    page = reader(java_script_enabled=False)
    page.goto(f"{site}/{VIEW}")
    for language in ("en", "zh"):
        words = page.locator(f"#view-shares-data .claim-says [lang={language}]")
        expect(words).to_be_visible()
        expect(words).to_have_attribute("lang", language)


def test_dark_mode_follows_the_system_until_it_is_switched_which_is_remembered(site, reader):
    page = reader(color_scheme="dark")

    def brightness():
        return page.evaluate(r"Number(getComputedStyle(document.body).backgroundColor.match(/\d+/)[0])")

    page.goto(f"{site}/{VIEW}")
    assert brightness() < 50
    while page.evaluate("document.body.dataset.theme") != "light":
        page.locator(".theme-toggle-content .theme-toggle").click()
    assert brightness() > 200
    page.goto(f"{site}/index.html")
    assert page.evaluate("document.body.dataset.theme") == "light"
    assert brightness() > 200


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(site, reader, name):
    page = reader()
    page.goto(f"{site}/{name}.html?q=tensor")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide = """[...document.querySelectorAll("article *")].filter(e => {
      const scrolled = e.parentElement.closest("pre, .math, .claim-runs, .table-wrapper");
      return !scrolled && e.getBoundingClientRect().right > innerWidth + 1;
    }).map(e => `${e.tagName}.${e.className} ${e.textContent.slice(0, 60)}`)"""
    for width in (320, 390, 1440):  # a small phone, a usual one, a desk
        page.set_viewport_size({"width": width, "height": 844})
        for language in ("zh", "en"):
            page.evaluate(f"language.set('{language}')")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(wide) == []


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_serious_fault_in_light_and_dark(site, reader, name):
    """What every page repeats, the sidebars, is tried on that of the verdicts; of cards, rows and coloured words, which
    templates make, the first of each kind stands for the others; in the dark nothing but colours is another.
    """
    page = reader(color_scheme="light")
    page.goto(f"{site}/{name}.html?q=tensor")
    page.evaluate("""{
      const kinds = new Set();
      const parts = part => [...part.querySelectorAll("*")].map(e => `${e.tagName}.${e.getAttribute("class")}`).join();
      for (const part of document.querySelectorAll(".claim, .claim-line, tbody tr, pre span[class]")) {
        const kind = part.matches("tr") ? parts(part) : part.className;
        if (kinds.has(kind)) part.remove();
        kinds.add(kind);
      }
      document.querySelectorAll("details").forEach(d => d.open = true);
    }""")
    repeated = {"exclude": [[".sidebar-drawer"], [".toc-drawer"]]} if name != "verdicts" else None
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, context=repeated, options={"resultTypes": ["violations"]} | rules)
        serious = [
            (scheme, one["id"], len(one["nodes"]), one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
            for one in found.response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_the_sidebar_marks_the_page_and_the_place_that_is_read(site, reader):
    page = reader()
    page.goto(f"{site}/{VIEW}")
    marked = page.locator(".sidebar-tree .current-page > a")
    expect(marked).to_contain_text("2.2 Operations and shared data")
    expect(marked).to_be_in_viewport()
    assert marked.evaluate("e => getComputedStyle(e).fontWeight") == "700"
    page.goto(f"{site}/verdicts.html")
    headings = page.locator("article h2 :is(.lang-en, span[lang=en])").all_text_contents()
    assert len(headings) > 3
    page.locator("article h2").nth(3).evaluate("e => scrollTo(0, e.getBoundingClientRect().top + scrollY - 20)")
    expect(page.locator(".sidebar-sections .scroll-current > a")).to_contain_text(headings[3])


def test_the_keyboard_reaches_the_text_the_switches_and_the_search(site, reader):
    page = reader()
    page.goto(f"{site}/{VIEW}")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className || document.activeElement.tagName"))
    assert "skip-to-content" in reached[0]
    assert any("sidebar-search" in name for name in reached)
    assert "language-switch" in reached
    assert "theme-toggle" in reached
    while page.evaluate("document.activeElement.className") != "language-switch":
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.lang") == "zh"


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="needs pdftotext, of Poppler's tools")
@pytest.mark.parametrize("name", CHAPTERS)
def test_paper_has_what_a_page_shows_and_nothing_else(site, reader, tmp_path, name):
    page = reader()
    page.goto(f"{site}/{name}.html")
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    command = ["pdftotext", "-layout", tmp_path / "page.pdf", "-"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = plain(printed)
    ids = [id for id in CLAIMS.claims if PAGE_OF[id] == name]
    assert ids
    for id in ids:
        claim = CLAIMS.claims[id]
        for sentence in filter(None, (claim.says, claim.truth)):
            assert "$" in sentence or plain(sentence) in text
    assert "assert" in text  # the lessons
    for unwanted in ("Skiptocontent", "Onthispage", "Hidetheanswers", ".venv/bin/pytest--claim"):
        assert unwanted not in text
    assert printed.count("\f") <= 1 + 2.5 * len(ids)  # pages: a card has two lessons at most, and prose above it
