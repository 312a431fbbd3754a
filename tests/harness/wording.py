"""Words for the terminal: in the reader's language, in lines of the terminal's width, formulas as text."""

import os
import re
import shutil
from collections.abc import Callable

import pytest
from _pytest._io.wcwidth import wcswidth

from harness import called as names
from harness import specification
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
OUTCOMES_ZH = {  # of tests; in English they are told as the documents have them
    **{"passed": "通过", "refuted": "不成立，正如预期", "failed": "失败", "error": "出错", "refused": "设备拒绝"},
    **{"not tried": "未检验", "not applicable": "不适用"},
}
FORGERIES_ZH = {"caught": "被识破", "survived": "未被识破", "invalid": "无效", "not tried": "未检验"}  # of counterfeits
REASONS_ZH = {  # why something was not tried, where the harness says it; a device's own words stay as they are
    r"needs an accelerator; name one with --device": "需要加速器；请用 --device 指定",
    r"needs a CUDA GPU; name it with --device cuda": "需要 CUDA GPU；请用 --device cuda 指定",
    r"needs two devices of one accelerator; name one with --device": "需要同一种加速器的两台设备；请用 --device 指定",
    r"needs Fashion-MNIST, which is not here; .*": "需要 Fashion-MNIST，这里没有；请用 --fashion-mnist=DIR 指定",
    r"needs (\w+), which is not installed": r"需要 \1，尚未安装",
    r"needs the command nvidia-smi, which is not here": "需要命令 nvidia-smi，这里没有",
    r"needs a card with memory of its own": "需要有独立显存的显卡",
    r"not selected": "未选中",
    r"registered after this run": "这次运行之后才登记",
    r"only (\d+) of its (\d+) tests ran to the end": r"\2 个测试中只有 \1 个运行完毕",
    r"not reached: (.*)": r"尚未轮到：\1",
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


def called(id: str, config: pytest.Config) -> str:
    """What a test or counterfeit, "file.py::name", is called; the Chinese names are not read for an English reader."""
    chinese = config.getoption("language") == "zh"
    return specification.of(config).called(id)[1] if chinese else names.words(id)


def reason(told: str, config: pytest.Config) -> str:
    """Why something was not tried, in the reader's language."""
    return reason_zh(told) if config.getoption("language") == "zh" else told


def reason_zh(told: str) -> str:
    """Why something was not tried: in Chinese where the harness says it, else in the words of the device."""
    matches = ((re.fullmatch(english, told), chinese) for english, chinese in REASONS_ZH.items())
    return next((match.expand(chinese) for match, chinese in matches if match), told)


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
    for piece in re.findall(r"\s+|[\u3400-\u9fff][\u3001-\u303f\uff00-\uffef’”]*|[^\s\u3400-\u9fff]+", text(markdown)):
        word = " " if piece.isspace() else piece
        if lines[-1] and wcswidth(lines[-1] + word.rstrip()) > room:
            lines.append("")
        lines[-1] += word if lines[-1] or word != " " else ""
    return [f"{indent}{line.rstrip()}" for line in lines if line.strip()]


def shortened(markdown: str, columns: int) -> str:
    """The first of the lines that ``wrap`` would make, with "…" where more would follow."""
    first, *more = wrap(markdown, columns=columns) or [""]
    return (wrap(markdown, columns=columns - 1)[0].rstrip(",;:，；：、") + "…") if more else first
