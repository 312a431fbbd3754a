"""``--explain``: one claim, its truth, and the tests that try it, as text."""

from harness.register import Claim
from harness.specification import Specification
from harness.wording import wrap


def claim(claim: Claim, spec: Specification, coloured: bool = False) -> str:
    """The claim's section, sentences in both languages, verdict and conditions, and the source of each of its tests,
    lessons before guards. Sentences are as wide as the terminal, the tests' own lines as they are written.
    """
    titles = next(
        chapter.sections[claim.section] for chapter in spec.register.chapters if claim.section in chapter.sections
    )
    lines = [f"{claim.id}", *wrap(f"section {claim.section}, {titles[0]}, {titles[1]}"), claim.where, ""]
    lines += [*wrap(claim.says), *wrap(claim.says_zh), ""]
    lines.append(f"verdict: {verdict(claim)}")
    if claim.truth:
        lines += [*wrap(claim.truth), *wrap(claim.truth_zh)]
    if claim.fix:
        lines += ["", f"write: {claim.fix}"]
    if claim.see:
        lines += ["", *wrap(f"see: {', '.join(claim.see)}")]
    for test in sorted(spec.tests_of[claim.id], key=lambda test: not test.is_lesson):
        lines += ["", f"── {test.module}:{test.line} ──", highlighted(test.source) if coloured else test.source]
    forged = [counterfeit for counterfeit in spec.counterfeits if claim.id in counterfeit.claims]
    lines += ["", "── counterfeits that its tests catch ──"] if forged else []
    for counterfeit in forged:
        told = f" (reported: {', '.join(counterfeit.reported)})" if counterfeit.reported else ""
        lines += wrap(counterfeit.name.replace("_", " ") + told + (f": {counterfeit.says}" if counterfeit.says else ""))
    if claim.unfalsifiable:
        lines += ["", f"no counterfeit: {claim.unfalsifiable}"]
    return "\n".join(lines) + "\n"


def verdict(claim: Claim) -> str:
    """The registered verdict with its conditions: "superseded (until torch 2.6)", "holds (needs accelerator)"."""
    conditions = [f"until torch {claim.until}"] if claim.until else []
    conditions += [f"since torch {claim.since}"] if claim.since else []
    conditions += [f"needs {claim.needs}"] if claim.needs else []
    return claim.verdict + (f" ({', '.join(conditions)})" if conditions else "")


def highlighted(source: str) -> str:
    """Python source in the colours of a terminal, where Pygments is there to give them."""
    try:
        from pygments import formatters, highlight, lexers
    except ImportError:
        return source
    return highlight(source, lexers.PythonLexer(), formatters.TerminalFormatter()).rstrip("\n")
