"""The built site in Chromium, opened from files as a reader would, without a network: what its pages hold."""

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from harness import gate, register, search
from harness.specification import Specification
from meta.site_pages import CHAPTERS, CLAIMS, PAGE_OF, PAGES, ROOT, VIEW, WAIT, plain
from playwright.sync_api import expect

TALLEST = 25_000  # pixels of a page on which everything is folded: some twenty screens


HEAVIEST = 600_000  # bytes of a page


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


@pytest.fixture(scope="module")
def held(site, chromium):
    """What each page holds, read once: its links and ids; of a card its text, and in both languages its badge, its
    sentence and its truth; of a picture on a card its address and its width in pixels.
    """
    holds = """({
      links: [...document.links].map(a => a.href),
      ids: [...document.querySelectorAll('[id]')].map(e => e.id),
      text: Object.fromEntries([...document.querySelectorAll('.claim')].map(card => [card.id, card.textContent])),
      said: Object.fromEntries([...document.querySelectorAll('.claim')].map(card => [card.id,
        ['.badge', '.claim-says', '.claim-truth > p:last-child'].map(part => ['en', 'zh'].map(
          language => card.querySelector(`${part} [lang=${language}]`)?.textContent ?? ''))])),
      pictures: [...document.querySelectorAll('.claim-plot img')].map(image => [image.src, image.naturalWidth]),
    })"""
    page, held = chromium.new_page(), {}
    for name in PAGES:
        page.goto(f"{site}/{name}.html")
        held[name] = page.evaluate(holds)
    page.close()
    return held


def cards(held, what):
    """``what`` the cards of all chapters show, by claim."""
    return {id: shown for name in CHAPTERS for id, shown in held[name][what].items()}


def test_every_link_within_the_site_leads_somewhere(held):
    inner = [(name, urlsplit(url)) for name in PAGES for url in held[name]["links"] if url.startswith("file:")]
    anchors = {name: {"", *held[name]["ids"]} for name in PAGES}
    broken = [
        f"{name}: {url.geturl()}"
        for name, url in inner
        if unquote(url.fragment) not in anchors.get(Path(unquote(url.path)).stem, ())
    ]
    assert len(inner) > len(CLAIMS.claims)
    assert broken == []
    outer = {urlsplit(url).hostname for name in PAGES for url in held[name]["links"] if not url.startswith("file:")}
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


def test_every_card_shows_its_lessons_as_they_run_and_names_its_guards(held):
    shown = cards(held, "text")
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
        "torch2.6之后加载模型报错weights_only",
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


def test_every_card_shows_its_verdict_its_sentence_and_its_truth_in_both_languages(held):
    """The verdict is that of the newest stored run, on the CPU, where that run tried the claim."""
    shown = cards(held, "said")
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


def test_every_picture_on_a_card_is_drawn(held):
    widths = {address: width for name in CHAPTERS for address, width in held[name]["pictures"]}
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


def test_a_question_about_releases_leads_to_what_they_changed(site, reader):
    page = reader()
    page.goto(f"{site}/search.html?q=what broke between 2.5 and 2.15?")
    page.get_by_role("link", name="What changed in which torch").last.click()
    expect(page.locator("#torch-2-6")).to_be_visible()
    page.goto(f"{site}/search.html?q=view")
    expect(page.locator("#claim-results .changes")).to_be_hidden()


def test_search_for_two_chinese_characters_finds_the_pages_that_have_them_and_no_other(site, reader):
    page = reader(locale="zh-CN")
    page.goto(f"{site}/search.html?q=步幅")
    expect(page.locator(f"#search-results a[href*='{VIEW}']").first).to_be_visible(timeout=WAIT)
    page.goto(f"{site}/search.html?q=熊猫")
    expect(page.locator("#search-results")).to_contain_text("没有相符的页面", timeout=WAIT)
    expect(page.locator("#claim-results")).to_contain_text("没有论断回答这个问题")
    expect(page.locator("#claim-results li")).to_have_count(0)


def test_the_command_of_a_claim_is_copied_by_its_button(site, reader):
    page = reader(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{site}/{VIEW}")
    page.locator("#view-shares-data .claim-run button").click()
    copied = "navigator.clipboard.readText()"
    page.wait_for_function(
        f"{copied}.then(text => text.trim() === '.venv/bin/pytest --claim view-shares-data')", timeout=WAIT
    )


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
