"""The built site in Chromium, opened from files as a reader would, without a network."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from harness import gate, register, search, wording
from harness.specification import Specification
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
CLAIMS = register.load(ROOT / "tests")
# the pages that hold cards, and the one of each claim, as the sources say
PAGE_OF = {
    id: file.stem
    for file in sorted((ROOT / "docs").glob("ch*.md"))
    for block in re.findall(r"^:::\{claims\}\n(.*?)^:::$", file.read_text("utf8"), re.MULTILINE | re.DOTALL)
    for id in block.split()
}
CHAPTERS = tuple(dict.fromkeys(PAGE_OF.values()))
PAGES = (*sorted(file.stem for file in (ROOT / "docs").glob("*.md") if file.stem != "README.zh"), "search")
VIEW = f"{PAGE_OF['view-shares-data']}.html"
TALLEST = 25_000  # pixels of a page on which everything is folded: some twenty screens
HEAVIEST = 600_000  # bytes of a page
WAIT = 20_000  # milliseconds; for what takes some tens of them, on a machine that is busy with other things too


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """The folder of the site, built for these tests."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", ROOT / "docs", folder]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def site(build):
    """The address of the site: file:///..."""
    return build.as_uri()


@pytest.fixture(scope="module")
def chromium():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture
def reader(chromium):
    """Opens a window as a new reader: ``reader(locale="zh-CN")``; the keywords are those of a Playwright context."""
    contexts = []

    def start(**settings) -> Page:
        usual = {"locale": "en-GB", "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}
        contexts.append(chromium.new_context(**usual | settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT)
        return page

    yield start
    for context in contexts:
        context.close()


def test_every_page_that_was_built_is_tried_here(build):
    assert {file.stem for file in build.glob("*.html")} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_its_own_files_only_and_reports_no_error(site, reader, name):
    page, problems, requests = reader(), [], []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{site}/{name}.html?q=tensor")
    assert problems == []
    own = (site, "data:image/svg+xml")
    assert [url for url in requests if not url.startswith(own)] == []
    assert len(requests) > 5  # the page, styles and scripts: the list above is not empty for want of requests


def test_every_link_within_the_site_leads_somewhere(site, reader):
    page = reader()
    links, anchors = {}, {}
    for name in PAGES:
        page.goto(f"{site}/{name}.html")
        links[name] = page.evaluate("[...document.links].map(a => a.href)")
        anchors[name] = set(page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")) | {""}
    inner = [(name, urlsplit(url)) for name in PAGES for url in links[name] if url.startswith("file:")]
    broken = [
        f"{name}: {url.geturl()}"
        for name, url in inner
        if unquote(url.fragment) not in anchors.get(Path(unquote(url.path)).stem, ())
    ]
    assert len(inner) > len(CLAIMS.claims)
    assert broken == []
    outer = {urlsplit(url).hostname for name in PAGES for url in links[name] if not url.startswith("file:")}
    assert outer == {"docs.pytorch.org", "github.com"}


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_of_cards_is_neither_endless_nor_heavy(site, build, reader, name):
    page = reader()
    page.goto(f"{site}/{name}.html")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
    assert page.evaluate("document.documentElement.scrollHeight") < TALLEST
    assert (build / f"{name}.html").stat().st_size < HEAVIEST


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_link_of_every_claim_lands_on_its_card(site, reader, name):
    page = reader()
    page.goto(f"{site}/{name}.html")
    ids = [id for id in CLAIMS.claims if PAGE_OF[id] == name]
    landed = page.evaluate(
        """ids => ids.map(id => {
          document.querySelector(`[id="${id}"] .headerlink`).click();
          const card = document.querySelector(".claim:target");
          const top = card.getBoundingClientRect().top;
          const atTheEnd = scrollY + innerHeight > document.documentElement.scrollHeight - 2;
          return [location.hash, card.id, top >= 0 && top < (atTheEnd ? innerHeight : 100)];
        })""",
        ids,
    )
    assert ids
    assert landed == [[f"#{id}", id, True] for id in ids]


def test_the_link_of_a_claim_appears_under_the_mouse(site, reader):
    page = reader()
    page.goto(f"{site}/{VIEW}#view-shares-data")
    link = page.locator("#view-shares-data .headerlink")
    assert link.evaluate("e => getComputedStyle(e).opacity") == "0"
    page.locator("#view-shares-data .claim-says").hover()
    assert link.evaluate("e => getComputedStyle(e).opacity") == "1"


def test_every_card_shows_its_lessons_as_they_run_and_names_its_guards(site, reader):
    page, shown = reader(), {}
    for name in CHAPTERS:
        page.goto(f"{site}/{name}.html")
        shown |= page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('.claim')].map(c => [c.id, c.textContent]))"
        )
    tests = ROOT / "tests"
    spec = Specification(CLAIMS, gate.pass_through(tests, CLAIMS), (), frozenset(CLAIMS.claims))
    assert list(shown) == list(CLAIMS.claims)
    for id, claim in CLAIMS.claims.items():
        for test in spec.tests_of[id]:
            assert f"{test.module}:{test.line}" in shown[id]
            assert (test.alone if test.is_lesson else test.name[5:].replace("_", " ")) in shown[id]
        assert all(name in shown[id] for name in claim.see)


def test_the_search_page_ranks_as_the_terminal_does(site, reader):
    tests = ROOT / "tests"
    spec = Specification(CLAIMS, gate.pass_through(tests, CLAIMS), (), frozenset(CLAIMS.claims))
    index, page = search.index(spec), reader()
    page.goto(f"{site}/search.html")
    for query in (
        "why is my gradient twice as large?",
        "optimzer.zero_grad()啥时候调用",
        "mat1 and mat2 shapes (32x784 and 256x10)",
        "how do I bake bread",
    ):
        ranked = page.evaluate("query => ranked(query).slice(0, 10).map(({ claim, fit }) => [claim.id, fit])", query)
        assert ranked == [[id, pytest.approx(fit)] for id, fit in index.ranked(query)[:10]]


def test_the_search_page_says_so_where_no_claim_answers(site, reader):
    page = reader()
    for query, answered in (("view vs reshape", True), ("how do I bake bread", False)):
        page.goto(f"{site}/search.html?q={query}")
        expect(page.locator("#claim-results")).to_be_visible()
        expect(page.locator("#claim-results .unanswered")).to_be_visible(visible=not answered)


NAMES = {"holds": "成立", "caveat": "有条件", "superseded": "已过时", "mistaken": "有误"}


def test_every_card_shows_its_verdict_its_sentence_and_its_truth_in_both_languages(site, reader):
    """The verdict is that of the newest stored run, on the CPU, where that run tried the claim."""
    page, shown = reader(), {}
    for name in CHAPTERS:
        page.goto(f"{site}/{name}.html")
        shown |= page.evaluate(
            """Object.fromEntries([...document.querySelectorAll('.claim')].map(card => [card.id,
              ['.badge', '.claim-says', '.claim-truth > p:last-child'].map(part => ['en', 'zh'].map(
                language => card.querySelector(`${part} .lang-${language}`)?.textContent ?? ''))]))"""
        )
    runs = [json.loads(file.read_text("utf8")) for file in (ROOT / "docs/results").glob("torch-*-cpu.json")]
    newest = max(runs, key=lambda run: register.release(run["torch"]))
    tried = {one["id"]: one["verdict"] for one in newest["claims"] if one["verdict"] != "not tried"}
    assert len(tried) > len(shown) / 2  # the others need an accelerator
    assert {id: shown[id][0] for id in tried} == {id: [tried[id], NAMES[tried[id]]] for id in tried}
    assert {id: [plain(text) for text in says] for id, (_, says, _) in shown.items() if "$" not in said(id)} == {
        id: [plain(claim.says), plain(claim.says_zh)] for id, claim in CLAIMS.claims.items() if "$" not in said(id)
    }
    assert {id: [plain(text) for text in truth] for id, (_, _, truth) in shown.items() if "$" not in said(id)} == {
        id: [plain(claim.truth), plain(claim.truth_zh)] for id, claim in CLAIMS.claims.items() if "$" not in said(id)
    }


def said(id):
    """All that a claim's entry says; where there is a dollar, a formula is among it."""
    claim = CLAIMS.claims[id]
    return claim.says + claim.says_zh + claim.truth + claim.truth_zh


def plain(text):
    """A text without marks of Markdown and blanks."""
    return re.sub(r"[`*_\\\s]", "", text)


def test_every_picture_on_a_card_is_drawn(site, reader):
    page, widths = reader(), {}
    for name in CHAPTERS:
        page.goto(f"{site}/{name}.html")
        images = "[...document.querySelectorAll('.claim-plot img')]"
        widths |= dict(page.evaluate(f"{images}.map(image => [image.src, image.naturalWidth])"))
    assert len(widths) > 10
    assert [address[:80] for address, width in widths.items() if width < 200] == []


@pytest.mark.parametrize(
    ("locale", "query", "claim", "place"),
    [
        ("en-GB", "broadcasting", "broadcasting-copies-elements", f"{PAGE_OF['broadcasting-copies-elements']}.html"),
        ("zh-CN", "广播", "broadcasting-copies-elements", f"{PAGE_OF['broadcasting-copies-elements']}.html"),
        ("zh-CN", "共享数据", "view-shares-data", VIEW),
    ],
)
def test_search_finds_claims_and_places_in_both_languages(site, reader, locale, query, claim, place):
    page = reader(locale=locale)
    page.goto(f"{site}/index.html")
    page.locator(".sidebar-search").fill(query)
    page.locator(".sidebar-search").press("Enter")
    expect(page.locator(f"#search-results a[href*='{place}']").first).to_be_visible(timeout=WAIT)
    page.locator(f"#claim-results a[href$='#{claim}']").click()
    expect(page.locator(".claim:target")).to_have_id(claim)


def test_search_for_two_chinese_characters_finds_the_pages_that_have_them_and_no_other(site, reader):
    page = reader(locale="zh-CN")
    page.goto(f"{site}/search.html?q=步幅")
    expect(page.locator(f"#search-results a[href*='{VIEW}']").first).to_be_visible(timeout=WAIT)
    page.goto(f"{site}/search.html?q=熊猫")
    expect(page.locator("#search-results")).to_contain_text("没有相符的页面", timeout=WAIT)
    expect(page.locator("#claim-results")).to_contain_text("没有论断回答这个问题")
    expect(page.locator("#claim-results li")).to_have_count(0)


@pytest.mark.parametrize(
    ("locale", "shown", "hidden"), [("en-GB", "en", "zh"), ("zh-CN", "zh", "en"), ("fr", "en", "zh")]
)
def test_the_browser_s_language_is_shown_first_and_the_switch_is_remembered(site, reader, locale, shown, hidden):
    page = reader(locale=locale)
    page.goto(f"{site}/{VIEW}")

    def assert_shown(shown, hidden):
        assert page.evaluate("document.documentElement.lang") == shown
        expect(page.locator(f"#view-shares-data .claim-says .lang-{shown}")).to_be_visible()
        expect(page.locator(f"#view-shares-data .claim-says .lang-{hidden}")).to_be_hidden()
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
    expect(page.locator("#view-shares-data .claim-says .lang-zh")).to_be_visible()


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
            .filter(e => !e.closest("code, pre, .lang-en, .code-block-caption, svg") && e.checkVisibility())
            .map(plain);
          const labels = [...document.querySelectorAll("[title], [alt], [aria-label], [placeholder]")]
            .filter(e => !e.closest(".lang-en, svg, td"))
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
    expect(card.locator(".claim-says .lang-zh")).to_be_visible()
    assert card.bounding_box()["y"] == pytest.approx(before, abs=2)


def test_both_languages_are_marked_as_such_and_shown_without_scripts(site, reader):
    page = reader(java_script_enabled=False)
    page.goto(f"{site}/{VIEW}")
    for language in ("en", "zh"):
        words = page.locator(f"#view-shares-data .claim-says .lang-{language}")
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
    page = reader(color_scheme="light")
    page.goto(f"{site}/{name}.html?q=tensor")
    # Cards and lines are made by one template: on a page, one of each kind stands for the others of its kind.
    page.evaluate("""{
      const kinds = new Set();
      for (const card of document.querySelectorAll(".claim, .claim-line")) {
        if (kinds.has(card.className)) card.remove();
        kinds.add(card.className);
      }
      document.querySelectorAll("details").forEach(d => d.open = true);
    }""")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        serious = [
            (scheme, one["id"], len(one["nodes"]), one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
            for one in violations
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
    headings = page.locator("article h2 .lang-en").all_text_contents()
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


def test_the_command_of_a_claim_is_copied_by_its_button(site, reader):
    page = reader(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{site}/{VIEW}")
    page.locator("#view-shares-data .claim-run button").click()
    copied = "navigator.clipboard.readText()"
    page.wait_for_function(
        f"{copied}.then(text => text.trim() === '.venv/bin/pytest --claim view-shares-data')", timeout=WAIT
    )


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


def test_the_start_page_gives_the_commands_of_the_readme_in_one_screen(site, reader):
    readme = (ROOT / "README.md").read_text("utf8")
    page = reader()
    page.goto(f"{site}/index.html")
    commands = page.locator(".highlight-sh pre")
    assert [text.strip() for text in commands.all_text_contents()] == [
        block.partition("\n```")[0] for block in readme.split("```sh\n")[1:3]
    ]
    for part in (
        commands.last,
        page.locator(".tiles"),
        page.locator("a[href='releases.html#torch-2-6']:visible").first,
    ):
        expect(part).to_be_in_viewport()
    count = sum(int(number) for number in page.locator(".tile b").all_text_contents())
    assert count == len(CLAIMS.claims)


def test_what_changed_in_torch_2_6_is_one_click_from_the_start(site, reader):
    page = reader()
    page.goto(f"{site}/index.html")
    page.get_by_role("link", name="What changed in torch 2.6").click()
    section = page.locator("#torch-2-6")
    for id, claim in CLAIMS.claims.items():
        assert (section.locator(f"a[href$='#{id}']").count() == 1) is ("2.6" in (claim.until, claim.since))
