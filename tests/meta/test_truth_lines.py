"""What a truth line says in numbers its truth tests assert: every number of the sentence stands in their code."""

import ast
import re
import textwrap
from pathlib import Path

import pytest
from harness import gate, register

TESTS = Path(__file__).parents[1]
# Digits that are part of no name: 1.5, 3e30, 100,000; but neither those of float32 nor of CVE-2025-32434
NUMBER = re.compile(r"(?<![\w.])(?<!CVE-)(?<!CVE-\d{4}-)\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
RELEASE = re.compile(r"torch (\d+\.\d+)")


def numbers(text: str) -> set[float]:
    """The numbers in a text, without their signs."""
    return {float(found.replace(",", "")) for found in NUMBER.findall(text)}


def asserted(source: str) -> set[float]:
    """The numbers in the code of a test and in its texts, such as the message that an error must have; not those of its
    docstring and comments. A pair of whole numbers is a release as well: (2, 3).
    """
    function = ast.parse(textwrap.dedent(source)).body[0]
    body = function.body[ast.get_docstring(function) is not None :]
    marks = [mark for mark in function.decorator_list if "claim" not in ast.unparse(mark).partition("(")[0]]
    nodes = [node for part in [*marks, *body] for node in ast.walk(part)]
    constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
    pairs = [re.fullmatch(r"\((\d+), (\d+)\)", ast.unparse(node)) for node in nodes if isinstance(node, ast.Tuple)]
    constants += [".".join(pair.groups()) for pair in pairs if pair]
    plain = {abs(value) for value in constants if isinstance(value, (int, float)) and not isinstance(value, bool)}
    return plain.union(*(numbers(value) for value in constants if isinstance(value, str)))


def unproved(claim: register.Claim, tests: list[gate.Test], turns: set[str]) -> set[float]:
    """The numbers of a claim's truth line, in either language, that none of its truth tests has.

    ``turns`` are the releases in which some sentence of the register stopped or began to hold ("2.6"). Runs on older
    and newer torches decide about these, no test could; so a truth line may name them: "since torch 2.6".
    """
    told = RELEASE.sub(lambda found: "" if found[1] in turns else found[0], f"{claim.truth} {claim.truth_zh}")
    proofs = [test for test in tests for citation in test.citations if citation == gate.Citation(claim.id, True)]
    return numbers(told).difference(*(asserted(test.source) for test in proofs))


@pytest.fixture(scope="module")
def book():
    """The project's register and tests."""
    claims = register.load(TESTS)
    return claims, gate.pass_through(TESTS, claims)


def test_every_number_of_a_truth_line_is_in_its_truth_tests(book):
    claims, tests = book

    turns = {release for claim in claims.claims.values() for release in (claim.until, claim.since) if release}
    left = {claim.id: unproved(claim, tests, turns) for claim in claims.claims.values()}
    assert {id: numbers for id, numbers in left.items() if numbers} == {}


def test_the_truth_line_has_the_same_numbers_in_both_languages(book):
    truths = {claim.id: (numbers(claim.truth), numbers(claim.truth_zh)) for claim in book[0].claims.values()}

    assert {id: pair for id, pair in truths.items() if pair[0] != pair[1]} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("for 100,000 elements 40 GB", {100000, 40}),
        ("in float32 `[3e30, 4e30]` gives 0.5; `relu6`, CVE-2026-24747", {3e30, 4e30, 0.5}),
        ("the factor is -2, $10^{-4}$ in all", {2, 10, 4}),
    ],
)
def test_what_counts_as_a_number(text, found):
    assert numbers(text) == found


def test_a_number_counts_where_the_code_has_it_and_nowhere_else():
    source = '''@claim("a-2", truth=True)
def test_it():
    """Of 3."""
    assert f(4.0) == [-5]  # 6
    with raises(ValueError, match="at most 7"):
        True
'''
    assert asserted(source) == {4, 5, 7}
