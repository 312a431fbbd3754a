"""The register: every claim of the notes, as data.

Each chapter folder holds a ``claims.toml``: the chapter's number and titles, its sections, and its claims in the
notes' order. This module reads those files, checks every field, and knows what a claim's verdict should be on a given
release of torch. It needs neither torch nor a test run, so that a mistake in the register is reported before anything
else starts.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

VERDICTS = ("holds", "caveat", "superseded", "mistaken")
NEEDS = ("accelerator", "cuda", "two-devices", "fashion-mnist")
KINDS = ("definition", "recommendation")


@dataclass(frozen=True)
class Claim:
    """One claim. The text fields are Markdown, with TeX between dollars; ``*_zh`` is the same in Chinese.

    ``until`` is the first release in which a superseded statement stops holding, ``since`` the first in which a
    statement holds, ``needs`` what a run must have before the claim can be tried, ``see`` documented names,
    ``unfalsifiable`` the reason why no counterfeit can falsify the claim, ``kind`` what a sentence is that is no
    finding about torch ("definition", "recommendation"), ``beyond`` whether it is ours and not the notes', ``asked``
    how readers ask for it, in either language: text to search, nothing more, ``prints`` what the notes print where the
    first lesson prints the same, ``fix`` a line of code to write instead of what is not true. An absent text is empty.
    """

    id: str
    section: str
    says: str
    says_zh: str
    verdict: str
    where: str  # file:line of the entry, relative to the project's root
    truth: str = ""
    truth_zh: str = ""
    until: str = ""
    since: str = ""
    needs: str = ""
    see: tuple[str, ...] = ()
    unfalsifiable: str = ""
    prints: str = ""
    fix: str = ""
    kind: str = ""
    beyond: bool = False
    asked: tuple[str, ...] = ()

    def expected(self, torch_version: str) -> str:
        """What a run on ``torch_version`` should find: the registered verdict, or what it was before ``until`` or
        ``since``.

        A superseded claim held before ``until``. A claim with a later ``since`` is "not yet" true: its statement must
        fail.
        """
        if self.since and release(torch_version) < release(self.since):
            return "not yet"
        if self.until and release(torch_version) < release(self.until):
            return "holds"
        return self.verdict

    def kinds(self, torch_version: str) -> tuple[str, ...]:
        """The kinds of test that apply on ``torch_version``: "statement", and "truth" where the truth line is true by
        then.
        """
        return ("statement", "truth") if self.truth and self.expected(torch_version) != "holds" else ("statement",)


@dataclass(frozen=True)
class Chapter:
    """A chapter: ``number``, ``title`` (English and Chinese), and ``sections``, which maps "2.1" to its two titles."""

    number: int
    title: str
    title_zh: str
    sections: dict[str, tuple[str, str]]
    folder: Path


@dataclass(frozen=True)
class Register:
    """All chapters in order, and all claims by id, in the notes' order."""

    chapters: tuple[Chapter, ...]
    claims: dict[str, Claim]

    def select(self, patterns: list[str], option: str) -> list[Claim]:
        """The claims whose ids match any of the glob ``patterns``, in the notes' order.

        Raises pytest.UsageError for a pattern that matches none; it names ``option`` and offers the closest ids.
        """
        chosen: set[str] = set()
        for pattern in patterns:
            matching = [id for id in self.claims if fnmatchcase(id, pattern)]
            if not matching:
                raise pytest.UsageError(f"{option}: no claim is called {pattern!r}{closest(pattern, self.claims)}")
            chosen.update(matching)
        return [claim for id, claim in self.claims.items() if id in chosen]


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.14.1+cpu" and "2.14.1a0" give (2, 14, 1), which compares with (2, 6)."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()


def closest(word: str, among: Iterable[str]) -> str:
    """``; did you mean 'a' or 'b'?`` for the up to three names that resemble ``word``, or nothing."""
    names = difflib.get_close_matches(word, list(among), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""


def load(tests: Path) -> Register:
    """Read ``tests/ch*/claims.toml``.

    Raises pytest.UsageError with one line for every mistake found: file, line, claim, what is wrong and what would be
    right.
    """
    errors: list[str] = []
    chapters: list[Chapter] = []
    claims: dict[str, Claim] = {}
    for path in [folder / "claims.toml" for folder in sorted(tests.glob("ch*"))]:
        if not os.path.lexists(path):  # a dangling link is a file that cannot be read
            continue
        name = path.relative_to(tests.parent).as_posix()
        try:
            text = path.read_text("utf8")
            data = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            errors.append(f"{name}: not valid TOML: {error}")
            continue
        except OSError as error:
            errors.append(f"{name}: cannot be read: {error.strerror}")
            continue
        problems, chapter = _chapter(data, path, name)
        twin = next((other for other in chapters if other.number == chapter.number), None) if not problems else None
        if twin:
            where = twin.folder.relative_to(tests.parent).as_posix()
            problems.append(f"{name}: chapter {chapter.number} is already in {where}/claims.toml")
        errors.extend(problems)
        chapters.append(chapter)
        if not problems:  # without its sections every claim would be reported too
            _claims(data, text, name, chapter, claims, errors)
    if not chapters and not errors:
        errors.append(f"{tests}: no chapter folder here has a claims.toml")
    if errors:
        raise pytest.UsageError(*errors)
    return Register(tuple(sorted(chapters, key=lambda chapter: chapter.number)), claims)


HEAD = ("chapter", "title", "title_zh", "sections")
LISTS = ("see", "asked")
TEXTS = tuple(field.name for field in fields(Claim) if field.name not in ("where", "beyond", *LISTS))
REQUIRED = ("id", "section", "says", "says_zh", "verdict")


def _chapter(data: dict, path: Path, name: str) -> tuple[list[str], Chapter]:
    errors: list[str] = []
    for key in data:
        if key not in (*HEAD, "claim"):
            errors.append(f"{name}: unknown key {key!r}{closest(key, (*HEAD, 'claim'))}")
    kinds = {"chapter": int, "title": str, "title_zh": str, "sections": dict}
    for key in HEAD:
        if not isinstance(data.get(key), kinds[key]):
            errors.append(f"{name}: the head needs {key!r} ({kinds[key].__name__})")
    sections = data.get("sections") if isinstance(data.get("sections"), dict) else {}
    for section, titles in sections.items():
        if not (isinstance(titles, list) and len(titles) == 2 and all(isinstance(title, str) for title in titles)):
            errors.append(f"{name}: section {section!r} needs two titles: [English, Chinese]")
        if not errors and not section.startswith(f"{data['chapter']}."):
            errors.append(f"{name}: section {section!r} is not of chapter {data['chapter']}")
    if errors:
        return errors, Chapter(0, "", "", {}, path.parent)
    titles = {section: tuple(pair) for section, pair in sections.items()}
    return [], Chapter(data["chapter"], data["title"], data["title_zh"], titles, path.parent)


def _claims(data: dict, text: str, name: str, chapter: Chapter, claims: dict[str, Claim], errors: list[str]) -> None:
    lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*claim\s*\]\]", line)]
    entries = data.get("claim", [])
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        errors.append(f"{name}: claims are written as [[claim]] tables")
        return
    order = list(chapter.sections)
    reached = 0
    for index, entry in enumerate(entries):
        where = f"{name}:{lines[index]}" if index < len(lines) else name
        label = f"{where}: claim {entry.get('id', '(without id)')!r}"
        found = [f"{label}: {problem}" for problem in _problems(entry, chapter)]
        if not found and entry["id"] in claims:
            found.append(f"{label}: registered already at {claims[entry['id']].where}")
        if not found:
            position = order.index(entry["section"])
            if position < reached:
                found.append(f"{label}: section {entry['section']} comes after a later one; keep the notes' order")
            reached = max(reached, position)
            claims[entry["id"]] = Claim(
                **{**entry, **{key: tuple(entry.get(key, ())) for key in LISTS}, "where": where}
            )
        errors.extend(found)


def _problems(entry: dict, chapter: Chapter) -> list[str]:
    """What is wrong with one entry, each as the end of a line that names file and claim."""
    known = (*TEXTS, "beyond", *LISTS)
    problems = [f"unknown key {key!r}{closest(key, known)}" for key in entry if key not in known]
    problems += [f"{key!r} is missing" for key in REQUIRED if key not in entry]
    problems += [f"{key!r} must be a text" for key in TEXTS if key in entry and not isinstance(entry[key], str)]
    for key in LISTS:
        texts = entry.get(key, [])
        if not (isinstance(texts, list) and all(isinstance(text, str) and text.strip() for text in texts)):
            problems.append(f"{key!r} must be a list of {'names' if key == 'see' else 'questions'}")
    if entry.get("beyond", True) is not True:
        problems.append("'beyond' is true for a claim that is not the notes', and left out for theirs")
    if problems:
        return problems
    problems += [f"{key!r} is empty" for key in (*REQUIRED, "truth", "truth_zh") if not entry.get(key, "-").strip()]
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry["id"]):
        problems.append("an id is lower-case words joined by hyphens")
    if entry["section"] not in chapter.sections:
        problems.append(f"section {entry['section']!r} is not in this file's [sections]")
    verdict, needs = entry["verdict"], entry.get("needs")
    if verdict not in VERDICTS:
        problems.append(f"unknown verdict {verdict!r}; it is one of {', '.join(VERDICTS)}")
    elif verdict == "holds" and ("truth" in entry or "truth_zh" in entry):
        problems.append("a claim that holds has no 'truth' line; is it a caveat?")
    elif verdict != "holds" and not ("truth" in entry and "truth_zh" in entry):
        problems.append(f"{verdict} needs 'truth' and 'truth_zh': what is true instead")
    if entry.get("kind") is not None and entry["kind"] not in KINDS:
        problems.append(f"unknown kind {entry['kind']!r}; it is one of {', '.join(KINDS)}, or left out for a finding")
    if needs is not None and needs not in NEEDS:
        problems.append(f"unknown need {needs!r}; it is one of {', '.join(NEEDS)}")
    if "until" in entry and verdict != "superseded":
        problems.append("'until' belongs to a superseded claim only")
    for key in ("until", "since"):
        if key in entry and not re.fullmatch(r"\d+\.\d+(\.\d+)?", entry[key]):
            problems.append(f"{key!r} is a release such as '2.6', not {entry[key]!r}")
    since, until = entry.get("since"), entry.get("until")
    if not problems and since and until and release(since) >= release(until):
        problems.append("'since' is no earlier than 'until', so that it never held")
    return problems
