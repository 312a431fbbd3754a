"""Words for the terminal: in the reader's language, in lines of the terminal's width, formulas as text."""

import os
import re
import shutil
from collections.abc import Callable

import pytest
from _pytest._io.wcwidth import wcswidth

from harness.register import Claim

WIDEST = 100  # columns of a line, however wide the terminal: the tests' own lines are printed as written
# Names of verdicts in both languages
VERDICTS = {
    "holds": ("holds", "成立"),
    "caveat": ("caveat", "有条件"),
    "superseded": ("superseded", "已过时"),
    "mistaken": ("mistaken", "有误"),
    "not yet": ("not yet", "尚未成立"),
    "broken": ("broken", "不符"),
    "refused": ("refused", "设备拒绝"),
    "not tried": ("not tried", "未检验"),
}
SIGNS = {  # of TeX in the register
    **{r"\lambda": "λ", r"\eta": "η", r"\sigma": "σ", r"\partial": "∂", r"\infty": "∞", r"\times": "×", r"\cdots": "⋯"},
    **{r"\cdot": "·", r"\approx": "≈", r"\dots": "…", r"\sum": "Σ", r"\pm": "±", r"\hat y": "ŷ", r"^\top": "ᵀ"},
    **{r"^\prime": "′", r"\lVert": "‖", r"\rVert": "‖", r"\leq": "≤", r"\geq": "≥", r"\le": "≤", r"\ge": "≥"},
    **{r"\sqrt": "√", r"\log": "log", r"\max": "max", r"\tanh": "tanh", r"\left": "", r"\right": "", r"\,": " "},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    spoken = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    parser.getgroup("specification").addoption(
        "--language",
        choices=("en", "zh"),
        default="zh" if spoken.startswith("zh") else "en",
        help="in which language a run tells what it found (default: Chinese where LANG is, else English)",
    )


def chosen(config: pytest.Config) -> Callable[[str, str], str]:
    """Takes a text in English and in Chinese, and gives the one that the reader wants."""
    chinese = config.getoption("language") == "zh"
    return lambda en, zh: zh if chinese else en


def sentence(claim: Claim, config: pytest.Config) -> str:
    return chosen(config)(claim.says, claim.says_zh)


def truth(claim: Claim, config: pytest.Config) -> str:
    return chosen(config)(claim.truth, claim.truth_zh)


def width() -> int:
    """Columns of a line."""
    return min(WIDEST, max(40, shutil.get_terminal_size().columns))


def text(markdown: str) -> str:
    """A text with its formulas as a line of text: "$\\frac{1}{2}x^{-2}$" gives "(1)/(2)x^(-2)"."""
    return re.sub(r"\$([^$]+)\$", lambda formula: _plain(formula[1]), markdown)


def _plain(tex: str) -> str:
    tex = re.sub(r"\\frac\{(.*?)\}\{(.*?)\}", lambda part: "/".join(map(_grouped, part.groups())), tex)
    tex = re.sub(r"\\(mathrm|mathbb|mathbf|boldsymbol|text)\{(.*?)\}", r"\2", tex)
    for sign in sorted(SIGNS, key=len, reverse=True):
        tex = tex.replace(sign, SIGNS[sign])
    tex = re.sub(r"([_^])\{(.*?)\}", lambda part: part[1] + _grouped(part[2]), tex)
    return re.sub(r"[{}\\]", "", tex).replace("  ", " ")


def _grouped(part: str) -> str:
    """A numerator or an exponent, in parentheses if it is more than a word."""
    return part if re.fullmatch(r"\w+|\(.*\)", part) else f"({part})"


def wrap(markdown: str, indent: str = "", columns: int | None = None) -> list[str]:
    """A text in lines as wide as the terminal, each led by ``indent``. Chinese may be broken between any two signs,
    but no line begins with a punctuation mark.
    """
    lines, room = [""], (columns or width()) - wcswidth(indent)
    for piece in re.findall(r"\s+|[\u3400-\u9fff][\u3001-\u303f\uff00-\uffef]*|[^\s\u3400-\u9fff]+", text(markdown)):
        word = " " if piece.isspace() else piece
        if lines[-1] and wcswidth(lines[-1] + word.rstrip()) > room:
            lines.append("")
        lines[-1] += word if lines[-1] or word != " " else ""
    return [f"{indent}{line.rstrip()}" for line in lines if line.strip()]


def shortened(markdown: str, columns: int) -> str:
    """The first of the lines that ``wrap`` would make, with "…" where more would follow."""
    first, *more = wrap(markdown, columns=columns) or [""]
    return (wrap(markdown, columns=columns - 1)[0].rstrip(",;:，；：、") + "…") if more else first
