"""Search in both languages, from files, without a server: pages by Sphinx's index, claims by a list of them."""

import json
import re
from pathlib import Path

import formulas
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


def list_claims(app: Sphinx, env: BuildEnvironment) -> None:
    """Write the claims for the search page, which looks for the query in their ids, sentences and names."""
    pages = dict(env.claim_pages)
    entries = []
    for claim in env.book.spec.register.claims.values():
        verdict, run = env.book.status(claim)
        shown = [formulas.inline(claim.says), formulas.inline(claim.says_zh)]
        texts = [claim.says, claim.says_zh, claim.truth, claim.truth_zh, " ".join(claim.see)]
        entries.append(
            [claim.id, f"{pages[claim.id]}.html", claim.section, verdict, bool(run and run.simulated), *shown, *texts]
        )
    folder = Path(app.outdir, "_static")
    folder.mkdir(parents=True, exist_ok=True)
    text = f"const CLAIMS = {json.dumps(entries, ensure_ascii=False, separators=(',', ':'))};\n"
    Path(folder, "claims-list.js").write_text(text, "utf8")


def setup(app: Sphinx) -> dict:
    app.add_search_language(BothLanguages)
    app.connect("env-updated", list_claims, priority=800)
    return {"parallel_read_safe": False}
