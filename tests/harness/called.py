"""What tests and counterfeits are called: in English by their names, in Chinese by a line of ``ch*/names_zh.toml``.

    ["2.2"]
    a_write_through_the_view_reaches_the_source_and_back = "通过视图写入，源张量随之改变，反之亦然"

The key is the name in the code, without "test_", below the section that the name of its file tells. What has no line is
told in English, so that nobody needs Chinese to add a claim. The files are read where Chinese is shown, and only there.
"""

import os
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.register import Chapter, Register, closest

FILE = "names_zh.toml"
WHERE = ("test_*.py", "guards/test_*.py", "counterfeits*.py", "counterfeits/*.py")  # the gate looks for names there


def words(name: str) -> str:
    """A name as a sentence: "test_view_shares[2]", "Class::test_view_shares" or "view_shares" gives "view shares"."""
    return _key(name).replace("_", " ")


def _key(name: str) -> str:
    return name.partition("[")[0].rpartition("::")[2].removeprefix("test_")


def section(module: str) -> str:
    """The section that a file is about: "2.2" of ".../test_2_2a_views.py" and of ".../section_2_2.py"."""
    numbers = re.search(r"_(\d+)_(\d+)[^/]*$", module)
    return ".".join(numbers.groups()) if numbers else ""


def place(id: str) -> tuple[str, str]:
    """Where the Chinese name of a test or counterfeit, "file.py::name", stands: its section and its key."""
    return section(id.partition("::")[0]), _key(id)


def in_chinese(register: Register) -> dict[tuple[str, str], str]:
    """The Chinese names by ``place``.

    Raises pytest.UsageError, one line for each file that is no TOML and each section or name that the chapter lacks.
    """
    found: dict[tuple[str, str], str] = {}
    errors: list[str] = []
    for chapter in register.chapters:
        path = chapter.folder / FILE
        if not os.path.lexists(path):
            continue
        name = f"tests/{chapter.folder.name}/{FILE}"
        try:
            sections = tomllib.loads(path.read_text("utf8"))
        except (OSError, ValueError) as error:  # what is no TOML or no UTF-8 is a ValueError
            errors.append(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}")
            continue
        errors += [f"{name}: {problem}" for problem in _problems(sections, chapter)]
        if not errors:
            found |= {(number, key): text for number, names in sections.items() for key, text in names.items()}
    if errors:
        raise pytest.UsageError(*errors)
    return found


def _problems(sections: dict, chapter: Chapter) -> Iterator[str]:
    """What is wrong with a file, each as the end of a line that names it."""
    written = _written(chapter.folder)
    for number, names in sections.items():
        if number not in chapter.sections or not isinstance(names, dict):
            yield (
                f"the chapter has no section {number!r}{closest(number, chapter.sections)}"
                if isinstance(names, dict)
                else f'{number!r} stands outside of a section; those are written ["{next(iter(chapter.sections))}"]'
            )
            continue
        for key, text in names.items():
            if not (isinstance(text, str) and text.strip()):
                yield f"{key!r} of {number} needs a text"
            elif key not in written[number]:
                yield f"section {number} has no test or counterfeit {key!r}{closest(key, written[number])}"


def _written(folder: Path) -> dict[str, set[str]]:
    """The names of all functions in a chapter's tests and counterfeits, by section: as text, in a hundredth second."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in (path for kind in WHERE for path in folder.glob(kind)):
        functions = re.findall(r"^ *def (\w+)\(", path.read_text("utf8"), re.MULTILINE)
        names[section(path.as_posix())].update(map(_key, functions))
    return names
