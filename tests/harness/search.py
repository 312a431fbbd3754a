"""From a question, an error message or a phrase of the notes to the claims that answer it.

One index and one ranking, with two faces: ``pytest --ask`` here, and the site's search page, whose script weighs the
same index by the same rule. A text is cut into *terms*: words, their stems and meanings, pairs of neighbouring words,
and pairs of Chinese characters. What varies in an error message (numbers, addresses, shapes) is left out. A claim
scores, for every term of the query that it has, the term's rarity times the weight of the best field that has it; how
well it fits is that score times the part of the query's words that it has, weighed by their rarity.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness import explain, releases, specification, wording

# What a field says of its claim, from the reader's own words down to the prose around it. Chosen by trying the queries
# of tests/meta/test_search.py; the order matters, the numbers hardly.
WEIGHTS = {"asked": 6, "errors": 5, "says": 4, "id": 4, "truth": 3, "see": 2, "tests": 1, "section": 1, "prose": 1}
LINES = ("asked", "errors", "says", "see", "id", "truth", "section")  # each line of which is a text of its own
PHRASES = ("asked", "errors", "see", "id")
SHOWN, NEAREST = 5, 2  # claims that --ask prints: of those that answer, and where none does
TOP = 60  # the greatest weight of a term; a whole number, so that both faces sum the same
LONG = 4  # words from which on the terms of a line weigh less: a long sentence is less about each of its words
# The fit below which a claim hardly answers, and that for Chinese, many of whose pairs of characters are no words: of
# 58 queries about anything else ("how do I make pasta", "max pooling layer") 52 stay below, of 485 that one answers 8.
POOR, POOR_HAN = 0.6, 0.3
HAN = r"\u3400-\u9fff"
# Words that say nothing of what is asked. The Chinese ones stand within the text: their pairs of characters would else
# outweigh what is asked.
SILENT = (
    r"(an?|about|after|all|am|and|any|are|as|at|be|best|between|but|by|can|did|didn|differences?|different|do|does|"
    r"doesn|don|even|for|from|gets?|has|have|how|i|if|in|instead|into|is|isn|its?|just|me|my|need|no|not|of|on|one|or|out|"
    r"pytorch|s|should|so|some|still|t|than|that|the|then|there|this|to|too|use[ds]?|using|versus|vs|want|was|what|when|"
    r"where|which|while|why|will|with|without|would|you)"
)
SILENT_HAN = "为什么|为啥|什么|怎么回事|怎么办|怎么|怎样|如何|到底|是不是|能不能|要不要|哪个|请问|有啥|区别|啥|咋|吗|呢"
# What differs from run to run: addresses, sizes such as 32x784, shapes, numbers
VALUES = r"0x[0-9a-fA-F]+|\b\d+(x\d+)+\b|[\[(][\d,\s]*[\])]|\b\d+(\.\d+)?\b|" + SILENT_HAN
# Of a traceback, the lines that name the error
ERROR = r"^\s*(E\s+)?[\w.]*(Error|Exception|Warning|Interrupt)\b"
WORD = r"[a-z_][a-z_0-9.]*[a-z_0-9]|[a-z]"
# A word's stem, by which "saving" finds "saves" and "dropped" "dropping", for half of the whole word's weight
STEM = r"^(.{2,}?(.))\2?(ations?|ions?|ings?|ie[ds]|ers?|ly|ed|es|s|e|y)$"
# Words of one meaning, a line each: what is asked with one is found by another, for half of a whole word's weight
SYNONYMS = """grad gradient derivative 梯度 导数
copy clone duplicate 拷贝 复制 副本
gpu cuda mps 显卡
weight param parameter 参数 权重
model network net 模型 网络
lr 学习率
save store checkpoint 保存 存储
load restore resume 加载 读取 恢复
initialize init 初始化
clear reset zero 清零 清空
int integer long 整数
freeze frozen 冻结 固定
eval evaluate evaluation test inference validation 测试 评估 推理 验证
train learn 训练
inplace 原地 就地
mean average 平均 均值
update change modify 更新 改变 修改
twice double 两次 翻倍 第二次
print show display summary 打印 查看 显示
nan inf overflow diverge explode 溢出 爆炸 发散
class label category 类别 标签
dim dimension axis 维度
shape size 形状 大小
numpy ndarray array 数组"""


def stem(word: str) -> str:
    """What the forms of an English word share, in British spelling and American, with a star for the rest."""
    return re.sub(STEM, r"\1", word).replace("z", "s") + "*"


# The meaning of a stem or of a Chinese word
MEANINGS = {
    stem(word) if word.isascii() else word: f"={number}*"
    for number, line in enumerate(SYNONYMS.splitlines())
    for word in line.split()
}
RULES = {"silent": f"^{SILENT}$", "values": VALUES, "error": ERROR, "word": WORD, "han": HAN, "stem": STEM}
RULES |= {"meanings": MEANINGS, "top": TOP, "poor": [POOR, POOR_HAN]}
RULES["releases"] = [releases.NAMED, releases.CHANGED]


def plain(text: str) -> str:
    """The text in small letters, without what differs from run to run, and of a traceback the errors alone."""
    lines = text.strip().splitlines()
    errors = [line for line in lines if re.search(ERROR, line)]
    told = "\n".join(errors if errors and len(lines) > 2 else lines)
    return re.sub(VALUES, " ", told, flags=re.ASCII).lower()  # a word ends where it does in a browser: before Chinese


def terms(text: str) -> Iterator[tuple[str, float]]:
    """The terms of a text, each with its share of a field's weight."""
    text = plain(text)
    for run in re.findall(f"[{HAN}]+", text):
        yield from ((run[at : at + 2], 1.0) for at in range(max(1, len(run) - 1)))
    stems, before = set(), ""
    for word in re.findall(WORD, text):
        parts = [part for part in re.split(r"[._]+", word) if part and not re.fullmatch(SILENT, part)]
        yield from ((part, 1.0) for part in parts)
        yield from ((stem(part), 0.75) for part in parts if len(part) > 3)
        stems |= set(map(stem, parts))
        if len(parts) > 1:
            yield "_".join(parts), 1.0
        if before:
            yield f"{before} {parts[0] if parts else word}", 1.0
        before = parts[-1] if parts else word
    yield from ((meaning, 0.5) for word, meaning in MEANINGS.items() if word in text or word in stems)


def alike(one: str, other: str) -> bool:
    """Whether two words differ by one letter: one that is missing, another, or two that changed places."""
    first, second = ({word} | {word[:at] + word[at + 1 :] for at in range(len(word))} for word in (one, other))
    return not first.isdisjoint(second)


def answers(fit: float, query: str) -> bool:
    """Whether a claim that fits so well answers the query, rather than being about anything near it."""
    return fit >= (POOR_HAN if re.search(f"[{HAN}]", query) else POOR)


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

    weights: dict[str, dict[str, int]]
    rarity: dict[str, float]

    def asked(self, query: str) -> dict[str, float]:
        """The query's terms with their shares; for a word that no claim has, those that it may be a misprint of."""
        found: dict[str, float] = {}
        for term, share in terms(query):
            if term in self.rarity or not re.fullmatch("[a-z]{5,}", term):
                found[term] = max(share, found.get(term, 0))
                continue
            meant = [word for word in self.rarity if re.fullmatch("[a-z]{4,}", word) and alike(term, word)]
            for word in meant or [term]:
                found[word] = max(share, found.get(word, 0))
        return found

    def ranked(self, query: str) -> list[tuple[str, float]]:
        """The claims that share a word with the query and how well each fits, the best first, equals in book order."""
        asked = self.asked(query)
        unknown = math.log(1 + len(self.weights))
        telling = {term: self.rarity.get(term, unknown) * share for term, share in asked.items()}
        words = {term: part for term, part in telling.items() if " " not in term}
        fits = {
            id: sum(part * weights[term] for term, part in telling.items() if term in weights)
            * sum(part for term, part in words.items() if term in weights)
            / (TOP * unknown * sum(words.values()) or 1)
            for id, weights in self.weights.items()
        }
        return sorted(((id, fit) for id, fit in fits.items() if fit), key=lambda pair: -pair[1])


def kept(term: str, field: str) -> bool:
    """Whether a field's term is in the index: pairs of words only of texts that are typed as they stand, stems not of
    the longest, where they would double the index and find little.
    """
    return field in PHRASES if " " in term else field in LINES or term[-1] != "*"


def index(spec: specification.Specification) -> Index:
    """The index of all claims."""
    prose = prose_of(spec)
    weights: dict[str, dict[str, int]] = {}
    for claim in spec.register.claims.values():
        weights[claim.id] = found = {}
        for name, text in fields(claim, spec, prose).items():
            for line in text.split("\n") if name in LINES else [text]:
                said = {term: share for term, share in terms(line) if kept(term, name)}
                words = sum(" " not in term and term[-1] != "*" for term in said)
                length = (LONG / max(LONG, words)) ** 0.3 if name in LINES else 1
                for term, share in said.items():
                    weight = round(share * length * TOP * WEIGHTS[name] / WEIGHTS["asked"])
                    found[term] = max(found.get(term, 0), weight)
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
        help="find the claims that answer a question, an error message or a phrase of the notes; runs nothing; the "
        "exit code is 5 where no claim answers",
    )


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer ``--ask`` and end, with 5 where no claim answers; otherwise let pytest go on."""
    query = config.getoption("ask")
    if query is None:
        return None
    if not query.strip():
        raise pytest.UsageError("--ask: ask something: --ask 'why is my gradient twice as large?'")
    if re.search(f"[{HAN}]", query):
        config.option.language = "zh"  # answered as asked
    spec = specification.read(config)
    between = releases.asked(query)
    if between:
        releases.tell(between, spec, config)
        return pytest.ExitCode.OK
    ranked = index(spec).ranked(query)
    answered = bool(ranked) and answers(ranked[0][1], query)
    if not answered:
        say = wording.chosen(config)
        print(say("no claim answers that", "没有论断回答这个问题"), end="")
        print(say("; the nearest:\n", "；最接近的有：\n") if ranked else say(" (all: --book)", "（全部论断：--book）"))
    for id, _ in ranked[: SHOWN if answered else NEAREST]:
        claim = spec.register.claims[id]
        print(f"{claim.section}  {wording.chosen(config)(explain.verdict(claim), explain.verdict_zh(claim))}")
        print(*wording.wrap(wording.sentence(claim, config), "     "), sep="\n")
        if claim.truth:
            print(*wording.wrap(f"-> {wording.truth(claim, config)}", "     "), sep="\n")
        print(f"     pytest --explain {id}\n")
    return pytest.ExitCode.OK if answered else pytest.ExitCode.NO_TESTS_COLLECTED
