"""What the tests of the built site know of it: its pages, and on which of them each claim stands."""

import re
from pathlib import Path

from harness import register

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
WAIT = 20_000  # milliseconds; for what takes some tens of them, on a machine that is busy with other things too


def plain(text):
    """A text without marks of Markdown and blanks."""
    return re.sub(r"[`*_\\\s]", "", text)
