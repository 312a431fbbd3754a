"""--ask about releases: what changed among the claims, and when."""

import pytest
from harness import releases

pytestmark = pytest.mark.usefixtures("bare")


@pytest.fixture
def changed(project, entry):
    """The sample project, one of whose claims changes in 2.6 and one in 2.10."""
    old = entry("divides", "superseded", until="2.6")
    project.register(entry("adds", since="2.10"), old, entry("shapes", section="1.2"))
    return project


@pytest.mark.parametrize(
    ("query", "between"),
    [
        ("what broke between 2.5 and 2.15?", ("2.5", "2.15")),
        ("2.15.0 breaks what 2.5.1 did", ("2.5", "2.15")),
        ("What changed in torch 2.6", ("", "2.6")),
        ("torch 2.6 改变了什么", ("", "2.6")),
        ("从 2.5 升级", ("2.5", "")),
        ("what changed since 2.5?", ("2.5", "")),
        ("RuntimeError: changed 2.5 to 2.6", None),
        ("a learning rate of 2.5 is too large", None),
        ("version 12.5 changed", None),
        ("what changed?", None),
    ],
)
def test_a_question_about_releases_is_told_by_its_words(query, between):
    assert releases.asked(query) == between


def test_changes_after_the_first_up_to_the_last_are_told_newest_first(changed):
    answer = changed.run("--ask", "what changed between 2.5 and 2.15?")
    assert answer.ret == 0
    answer.stdout.fnmatch_lines(
        [
            "after torch 2.5 up to 2.15: 2 claims changed; nothing else is watched",
            "2.10  adds: holds from here on",
            "2.6  divides: no longer holds",
            "     It divides.",
            "     -> It divides otherwise.",
            "     pytest --explain divides",
        ]
    )


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("what changed in 2.6?", "in torch 2.6: 1 claim changed; *"),
        ("what changed from 2.6 to 2.9?", "after torch 2.6 up to 2.9: 0 claims changed; *"),
        ("2.6 之后有什么变化", "torch 2.6 之后：有 1 条论断改变；*"),
    ],
)
def test_the_bounds_are_those_of_the_question(changed, query, told):
    changed.run("--ask", query).stdout.fnmatch_lines([told])
