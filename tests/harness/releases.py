"""What releases of torch changed among the claims, for ``--ask "what broke between 2.5 and 2.15?"``."""

import re

import pytest

from harness import wording
from harness.register import Claim, Register, release
from harness.specification import Specification

NAMED = r"(?<![\w.])[012]\.\d+(?![\d])"  # a release, also at the beginning of "2.5.1"
CHANGED = r"chang|br[eo]a?k|upgrad|differ|\bnew in\b|\bbetween\b|变|升级|兼容|之间|更新|不同|弃用"
ONWARDS = r"\b(from|since|after)\b|[从自].*(起|升级)|以来|之后"


def asked(query: str) -> tuple[str, str] | None:
    """The releases between which a question asks for changes, the first left out, the last included; "" for no bound.

    "What changed in torch 2.6?" gives ("", "2.6"), which is that release alone.
    """
    named = sorted(re.findall(NAMED, query), key=release)
    if not named or not re.search(CHANGED, query, re.IGNORECASE) or "Error" in query:
        return None
    if len(named) > 1:
        return named[0], named[-1]
    return (named[0], "") if re.search(ONWARDS, query, re.IGNORECASE) else ("", named[0])


def changes(first: str, last: str, register: Register) -> list[tuple[str, Claim]]:
    """The claims that a release changed, with that release, the newest first: see ``asked``."""
    found = [
        (version, claim) for claim in register.claims.values() for version in (claim.until, claim.since) if version
    ]

    def within(version: tuple[int, ...]) -> bool:
        if not first:
            return version == release(last)
        return version > release(first) and (not last or version <= release(last))

    return sorted((pair for pair in found if within(release(pair[0]))), key=lambda pair: release(pair[0]), reverse=True)


def told(first: str, last: str, found: list[tuple[str, Claim]]) -> tuple[str, str]:
    """How many changed, in both languages."""
    span = f"after torch {first}" + f" up to {last}" * bool(last) if first else f"in torch {last}"
    span_zh = f"torch {first} 之后" + f"到 {last}" * bool(last) if first else f"torch {last}"
    count = len(found)
    english = f"{span}: {count} claim{'s' * (count != 1)} changed; nothing else is watched"
    return english, f"{span_zh}：有 {count} 条论断改变；除这些论断外，没有观察别的"


def tell(between: tuple[str, str], spec: Specification, config: pytest.Config) -> None:
    """Answer a question about releases: a claim in two lines, with the release that changed it."""
    say = wording.chosen(config)
    found = changes(*between, spec.register)
    print(say(*told(*between, found)))
    for version, claim in found:
        did = say("no longer holds", "不再成立") if version == claim.until else say("holds from here on", "自此成立")
        print(f"\n{version}  {claim.id}: {did}")
        print(*wording.wrap(wording.sentence(claim, config), "     "), sep="\n")
        if claim.truth and version == claim.until:
            print(*wording.wrap(f"-> {wording.truth(claim, config)}", "     "), sep="\n")
        print(f"     pytest --explain {claim.id}")
