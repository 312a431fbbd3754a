"""From a question, an error message or a phrase of the notes to the claims that answer it.

One index and one ranking, with two faces: ``pytest --ask`` here, and the site's search page, whose script weighs the
same index by the same rule. A text is cut into *terms*: words, their beginnings, pairs of neighbouring words, and pairs
of Chinese characters. What varies in an error message (numbers, addresses, shapes, quoted values) is left out. A claim
scores, for every term of the query that it has, the term's rarity times the weight of the best field that has it.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness import explain, specification, wording

# What a field says of its claim, from the reader's own words down to the prose around it. Chosen by trying the queries
# of tests/meta/test_search.py; the order matters, the numbers hardly.
WEIGHTS = {"asked": 6, "errors": 5, "says": 4, "see": 4, "id": 4, "truth": 3, "tests": 1, "section": 1, "prose": 1}
SHOWN = 5  # claims that --ask prints
HAN = r"\u3400-\u9fff"
# English words that say nothing of what is asked
SILENT = (
    r"(an?|about|after|all|and|are|as|at|be|but|by|can|do|does|for|from|has|have|how|i|if|in|into|is|its?|my|no|not|of|"
    r"on|one|or|so|that|the|then|there|this|to|was|what|when|where|which|while|why|will|with|you)"
)
BEGINNING = 5  # letters by which "broadcasting" finds "broadcast", for half of a whole word's weight


# What differs from run to run (addresses, sizes such as 32x784, shapes, numbers), and the question words of Chinese,
# which stand within the text and whose pairs of characters would else outweigh what is asked
VALUES = r"0x[0-9a-fA-F]+|\b\d+(x\d+)+\b|[\[(][\d,\s]*[\])]|\b\d+(\.\d+)?\b|为什么|什么|怎么|怎样|如何|吗"
# Of a traceback, the lines that name the error
ERROR = r"^\s*(E\s+)?[\w.]*(Error|Exception|Warning|Interrupt)\b"
WORD = r"[a-z_][a-z_0-9.]*[a-z_0-9]|[a-z]"
RULES = {"silent": f"^{SILENT}$", "values": VALUES, "error": ERROR, "word": WORD, "han": HAN, "beginning": BEGINNING}


def plain(text: str) -> str:
    """The text in small letters, without what differs from run to run, and of a traceback the errors alone."""
    lines = text.strip().splitlines()
    errors = [line for line in lines if re.search(ERROR, line)]
    return re.sub(VALUES, " ", "\n".join(errors if errors and len(lines) > 2 else lines)).lower()


def terms(text: str) -> Iterator[tuple[str, float]]:
    """The terms of a text, each with its share of a field's weight."""
    text = plain(text)
    for run in re.findall(f"[{HAN}]+", text):
        yield from ((run[at : at + 2], 1.0) for at in range(max(1, len(run) - 1)))
    before = ""
    for word in re.findall(WORD, text):
        parts = [part for part in re.split(r"[._]+", word) if part and not re.fullmatch(SILENT, part)]
        yield from ((part, 1.0) for part in parts)
        yield from ((f"{part[:BEGINNING]}*", 0.5) for part in parts if len(part) >= BEGINNING)
        if len(parts) > 1:
            yield "_".join(parts), 1.0
        if before:
            yield f"{before} {parts[0] if parts else word}", 1.0
        before = parts[-1] if parts else word


def fields(claim, spec: specification.Specification, prose: dict[str, str]) -> dict[str, str]:
    """All that is searched of a claim, by the names of WEIGHTS."""
    tests = spec.tests_of[claim.id]
    titles = next(c.sections[claim.section] for c in spec.register.chapters if claim.section in c.sections)
    messages = [text for test in tests for text in re.findall(r"match=r?f?[\"'](.*?)[\"']", test.source)]
    return {
        "asked": "\n".join(claim.asked),
        "errors": "\n".join(re.sub(r"\\.|[.*+?|()\[\]]", " ", text) for text in messages),
        "says": f"{claim.says}\n{claim.says_zh}",
        "see": "\n".join(claim.see),
        "id": claim.id.replace("-", " "),
        "truth": f"{claim.truth}\n{claim.truth_zh}",
        "tests": "\n".join(test.name.replace("_", " ") for test in tests),
        "section": " ".join(titles),
        "prose": prose.get(claim.id, ""),
    }


@dataclass(frozen=True)
class Index:
    """``weights`` maps a claim's id to the weight of each of its terms, ``rarity`` a term to how telling it is."""

    weights: dict[str, dict[str, float]]
    rarity: dict[str, float]

    def ranked(self, query: str) -> list[tuple[str, float]]:
        """The claims that share a term with the query and their scores, the best first, equals in the book's order."""
        asked: dict[str, float] = {}
        for term, share in terms(query):
            asked[term] = max(share, asked.get(term, 0))
        scores = {
            id: sum(self.rarity[term] * share * weights[term] for term, share in asked.items() if term in weights)
            for id, weights in self.weights.items()
        }
        return sorted(((id, score) for id, score in scores.items() if score), key=lambda pair: -pair[1])


def index(spec: specification.Specification) -> Index:
    """The index of all claims."""
    prose = prose_of(spec)
    weights: dict[str, dict[str, float]] = {}
    for claim in spec.register.claims.values():
        weights[claim.id] = found = {}
        for name, text in fields(claim, spec, prose).items():
            for term, share in terms(text):
                if name in ("prose", "tests") and (" " in term or term.endswith("*")):
                    continue  # these would double the index and find little
                found[term] = max(found.get(term, 0), share * WEIGHTS[name])
    documents = Counter(term for found in weights.values() for term in found)
    rarity = {term: math.log(1 + len(weights) / count) for term, count in documents.items()}
    return Index(weights, rarity)


def prose_of(spec: specification.Specification) -> dict[str, str]:
    """What the site's chapters say above each claim, by id: the text since the claims before, or the heading."""
    found: dict[str, str] = {}
    pages = [page for chapter in spec.register.chapters for page in _pages(chapter)]
    for page in pages:
        above: list[str] = []
        for block in re.split(r"\n(?=#|:::|```)", page.read_text("utf8")):
            if block.startswith(("#",)):
                above = []
            claims = re.match(r"(?::::|```)\{claims\}\n(.*)", block, re.DOTALL)
            if claims:
                found |= {id.strip(): " ".join(above) for id in claims[1].splitlines() if id.strip()}
                above = []
            else:
                above.append(block)
    return found


def _pages(chapter) -> list:
    """The site's pages of a chapter."""
    return sorted((chapter.folder.parents[1] / "docs").glob(f"ch{chapter.number}*.md"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("specification").addoption(
        "--ask",
        metavar="TEXT",
        help="find the claims that answer a question, an error message or a phrase of the notes; runs nothing",
    )


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer ``--ask`` and end; otherwise let pytest go on."""
    query = config.getoption("ask")
    if query is None:
        return None
    if not query.strip():
        raise pytest.UsageError("--ask: ask something: --ask 'why is my gradient twice as large?'")
    if re.search(f"[{HAN}]", query):
        config.option.language = "zh"  # answered as asked
    spec = specification.read(config)
    ranked = index(spec).ranked(query)
    if not ranked:
        none = (
            "no claim shares a word with that; all of them: pytest --book",
            "没有相符的论断；全部论断见 pytest --book",
        )
        print(wording.chosen(config)(*none))
    for id, _ in ranked[:SHOWN]:
        claim = spec.register.claims[id]
        print(f"{claim.section}  {wording.chosen(config)(explain.verdict(claim), explain.verdict_zh(claim))}")
        print(*wording.wrap(wording.sentence(claim, config), "     "), sep="\n")
        if claim.truth:
            print(*wording.wrap(f"-> {wording.truth(claim, config)}", "     "), sep="\n")
        print(f"     pytest --explain {id}\n")
    return pytest.ExitCode.OK
