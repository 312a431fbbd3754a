"""Search in both languages, from files, without a server: pages by Sphinx's index, claims by that of the harness."""

import json
import re
from pathlib import Path

import cards
import claims
import formulas
from harness import search
from languages import both
from markupsafe import Markup
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.search.en import SearchEnglish

HAN = r"[\u3400-\u9fff]"


class BothLanguages(SearchEnglish):
    """English words, and every two neighbouring Chinese characters.

    Chinese has no spaces. Cutting it into words takes a dictionary, and a query that is cut elsewhere than the page
    finds nothing; pairs of characters need no dictionary, and whatever is written on a page is found there.
    """

    lang = "en-zh"
    # a function, since Sphinx's own splitQuery is a var of the same scope
    js_splitter_code = r"""
function splitQuery(query) {
  return query
    .split(/[^\p{Letter}\p{Number}_]+|(?<=HAN)(?!HAN)|(?<!HAN)(?=HAN)/gu)
    .flatMap((part) => /HAN{3}/.test(part) ? Array.from(part.slice(1), (last, i) => part[i] + last) : part)
    .filter((term) => term);
}
""".replace("HAN", HAN)

    def split(self, input: str) -> list[str]:
        pairs = [run[at : at + 2] for run in re.findall(HAN + "+", input) for at in range(max(1, len(run) - 1))]
        return pairs + re.findall(r"\w+", re.sub(HAN + "+", " ", input))

    def word_filter(self, stemmed_word: str) -> bool:
        return bool(re.match(HAN, stemmed_word)) or super().word_filter(stemmed_word)


def write_index(app: Sphinx, env: BuildEnvironment) -> None:
    """Write the index of harness.search for the search page, and what a result shows of its claim.

    ``terms`` maps a term to its claims: 64 times the claim's place in ``claims`` plus the term's weight there.
    """
    book, pages = claims.book(), dict(env.claim_pages)
    found = search.index(book.spec)
    terms: dict[str, list[int]] = {}
    for place, id in enumerate(found.weights):
        for term, weight in found.weights[id].items():
            terms.setdefault(term, []).append(64 * place + weight)
    shown = []
    for claim in book.spec.register.claims.values():
        verdict, run = book.status(claim)
        label = cards.TRUTH_LABELS.get(claim.verdict, ("", ""))
        truth = both(formulas.inline(claim.truth), formulas.inline(claim.truth_zh)) if claim.truth else ""
        shown.append(
            {
                "address": f"{pages[claim.id]}.html#{claim.id}",
                "id": claim.id,
                "section": claim.section,
                "look": cards.look(verdict, run),
                "badge": cards.badge(verdict, run),
                "says": both(formulas.inline(claim.says), formulas.inline(claim.says_zh)),
                "truth": truth and Markup('<span class="label">{}</span> ').format(both(*label)) + truth,
            }
        )
    folder = Path(app.outdir, "_static")
    folder.mkdir(parents=True, exist_ok=True)
    index = {"rules": search.RULES, "claims": shown, "terms": terms}
    text = f"const INDEX = {json.dumps(index, ensure_ascii=False, separators=(',', ':'))};\n"
    Path(folder, "claims-index.js").write_text(text, "utf8")


def setup(app: Sphinx) -> dict:
    app.add_search_language(BothLanguages)
    app.connect("env-updated", write_index, priority=800)
    return {"parallel_read_safe": True}
