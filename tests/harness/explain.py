"""``--explain``: one claim, its truth, and the tests that try it, as text."""

from harness.called import words
from harness.gate import Test
from harness.register import Claim
from harness.specification import Specification
from harness.wording import VERDICTS, wrap


def claim(claim: Claim, spec: Specification, coloured: bool = False, chinese: bool = False) -> str:
    """The claim's section, sentences in both languages, verdict and conditions, and the source of each of its tests,
    lessons before guards. Sentences are as wide as the terminal, the tests' own lines as they are written. With
    ``chinese`` the Chinese sentences come first, and tests and counterfeits have their Chinese names.
    """

    def pick(english: str, chinese_: str) -> str:
        return chinese_ if chinese else english

    def sentences(english: str, chinese_: str) -> list[str]:
        return [*wrap(pick(english, chinese_)), *wrap(pick(chinese_, english))]

    titles = next(
        chapter.sections[claim.section] for chapter in spec.register.chapters if claim.section in chapter.sections
    )
    where = pick(f"section {claim.section}, {titles[0]}, {titles[1]}", f"{claim.section} 节，{titles[1]}，{titles[0]}")
    lines = [f"{claim.id}", *wrap(where), claim.where, "", *sentences(claim.says, claim.says_zh), ""]
    lines.append(pick(f"verdict: {verdict(claim)}", f"结论：{verdict_zh(claim)}"))
    if claim.truth:
        lines += sentences(claim.truth, claim.truth_zh)
    if claim.fix:
        lines += ["", f"{pick('write: ', '写作：')}{claim.fix}"]
    if claim.see:
        lines += ["", *wrap(pick("see: ", "参见：") + ", ".join(claim.see))]
    for test in sorted(spec.tests_of[claim.id], key=lambda test: not test.is_lesson):
        lines += ["", *headed(test, spec, chinese), highlighted(test.source) if coloured else test.source]
    forged = [counterfeit for counterfeit in spec.counterfeits if claim.id in counterfeit.claims]
    lines += ["", pick("── counterfeits that its tests catch ──", "── 它的测试识破的赝品 ──")] if forged else []
    for counterfeit in forged:
        told = pick(" (reported: {})", "（报告：{}）").format(", ".join(counterfeit.reported))
        more = f": {counterfeit.says}" if counterfeit.says and not chinese else ""
        named = spec.called(counterfeit.id)[1] if chinese else words(counterfeit.name)
        lines += wrap(named + told * bool(counterfeit.reported) + more)
    if claim.unfalsifiable:
        lines += ["", pick("no counterfeit: ", "没有赝品：") + claim.unfalsifiable]
    return "\n".join(lines) + "\n"


def headed(test: Test, spec: Specification, chinese: bool) -> list[str]:
    """The lines above a test: its place, and in Chinese its name, which its source has in English alone."""
    return [f"── {test.module}:{test.line} ──", *(wrap(f"# {spec.called(test.id)[1]}") if chinese else [])]


def verdict(claim: Claim) -> str:
    """The registered verdict with its conditions: "superseded (until torch 2.6)", "holds (needs accelerator)"."""
    conditions = [f"until torch {claim.until}"] if claim.until else []
    conditions += [f"since torch {claim.since}"] if claim.since else []
    conditions += [f"needs {claim.needs}"] if claim.needs else []
    return claim.verdict + (f" ({', '.join(conditions)})" if conditions else "")


NEEDS_ZH = {"accelerator": "加速器", "cuda": "CUDA GPU", "two-devices": "同一种加速器的两台设备"}


def verdict_zh(claim: Claim) -> str:
    """The same in Chinese: "已过时（torch 2.6 之前成立）"."""
    conditions = [f"torch {claim.until} 之前成立"] if claim.until else []
    conditions += [f"自 torch {claim.since} 起"] if claim.since else []
    conditions += [f"需要{NEEDS_ZH.get(claim.needs, ' Fashion-MNIST')}"] if claim.needs else []
    return VERDICTS[claim.verdict][1] + (f"（{'，'.join(conditions)}）" if conditions else "")


def highlighted(source: str) -> str:
    """Python source in the colours of a terminal, where Pygments is there to give them."""
    try:
        from pygments import formatters, highlight, lexers
    except ImportError:
        return source
    return highlight(source, lexers.PythonLexer(), formatters.TerminalFormatter()).rstrip("\n")
