"""Mistakes in claims.toml: each is reported on one line, before anything else starts."""

from pathlib import Path

import pytest
import torch
from harness import register

pytestmark = pytest.mark.usefixtures("bare")

CLAIMS = "tests/ch1_sample/claims.toml"


def errors(result):
    """The lines that a run that never started wrote."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not result.outlines
    return [line for line in result.errlines if line]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"verdict": "true"}, "unknown verdict 'true'; it is one of holds, caveat, superseded, mistaken"),
        ({"sees": "x"}, "unknown key 'sees'; did you mean 'see' or 'needs' or 'says'?"),
        ({"says": ""}, "'says' is empty"),
        ({"says": " "}, "'says' is empty"),
        ({"section": "9.9"}, "section '9.9' is not in this file's [sections]"),
        ({"needs": "gpu"}, "unknown need 'gpu'; it is one of accelerator, cuda, two-devices, fashion-mnist"),
        ({"until": "2.6"}, "'until' belongs to a superseded claim only"),
        ({"since": "new"}, "'since' is a release such as '2.6', not 'new'"),
        ({"since": "2.6+cpu"}, "'since' is a release such as '2.6', not '2.6+cpu'"),
        ({"truth": "x", "truth_zh": "x"}, "a claim that holds has no 'truth' line; is it a caveat?"),
        ({"truth_zh": "x"}, "a claim that holds has no 'truth' line; is it a caveat?"),
        ({"see": "torch.add"}, "'see' must be a list of names"),
        (
            {"verdict": "superseded", "since": "2.6", "until": "2.6"},
            "'since' is no earlier than 'until', so that it never held",
        ),
    ],
)
def test_a_wrong_field_is_named_with_file_line_and_claim(project, entry, fields, message):
    project.register(entry("adds"), entry("wrong", **{"verdict": "holds"} | fields))
    assert errors(project.run()) == [f"ERROR: {CLAIMS}:16: claim 'wrong': {message}"]


@pytest.mark.parametrize("missing", ["id", "section", "says", "says_zh", "verdict"])
def test_a_missing_field_is_named(project, entry, missing):
    text = "".join(line for line in entry("wrong").splitlines(True) if not line.startswith(f"{missing} ="))
    project.register(text)
    label = "(without id)" if missing == "id" else "wrong"
    assert errors(project.run()) == [f"ERROR: {CLAIMS}:9: claim '{label}': '{missing}' is missing"]


@pytest.mark.parametrize("verdict", ["caveat", "superseded", "mistaken"])
@pytest.mark.parametrize("missing", ["truth", "truth_zh"])
def test_what_does_not_simply_hold_needs_its_truth_in_both_languages(project, entry, verdict, missing):
    text = "".join(line for line in entry("wrong", verdict).splitlines(True) if not line.startswith(f"{missing} ="))
    project.register(text)
    message = f"{verdict} needs 'truth' and 'truth_zh': what is true instead"
    assert errors(project.run()) == [f"ERROR: {CLAIMS}:9: claim 'wrong': {message}"]


def test_an_empty_truth_is_named(project, entry):
    project.register(entry("wrong", "caveat", truth=""))
    assert errors(project.run()) == [f"ERROR: {CLAIMS}:9: claim 'wrong': 'truth' is empty"]


def test_a_release_that_is_none_is_named(project, entry):
    project.register(entry("wrong", "superseded", until="soon"))
    message = "'until' is a release such as '2.6', not 'soon'"
    assert errors(project.run()) == [f"ERROR: {CLAIMS}:9: claim 'wrong': {message}"]


@pytest.mark.parametrize("value", ["3", "true", "['a']", "{a = 1}"])
@pytest.mark.parametrize("key", ["id", "says"])
def test_a_value_of_the_wrong_type_is_named(project, entry, key, value):
    lines = [f"{key} = {value}\n" if line.startswith(f"{key} =") else line for line in entry("wrong").splitlines(True)]
    project.register("".join(lines))
    (error,) = errors(project.run())
    assert error.startswith(f"ERROR: {CLAIMS}:9: claim ")
    assert error.endswith(f": '{key}' must be a text")


def test_an_id_is_lower_case_words_joined_by_hyphens(project, entry):
    project.register(entry("Bad_id"))
    assert errors(project.run()) == [f"ERROR: {CLAIMS}:9: claim 'Bad_id': an id is lower-case words joined by hyphens"]


def test_the_claims_keep_the_order_of_the_sections(project, entry):
    project.register(entry("shapes", section="1.2"), entry("adds"))
    message = "section 1.1 comes after a later one; keep the notes' order"
    assert errors(project.run()) == [f"ERROR: {CLAIMS}:16: claim 'adds': {message}"]


def test_an_id_is_registered_once_in_a_chapter(project, entry):
    project.register(entry("adds"), entry("adds"))
    assert errors(project.run()) == [f"ERROR: {CLAIMS}:16: claim 'adds': registered already at {CLAIMS}:9"]


def test_an_id_is_registered_once_in_all_chapters(project, entry):
    head = 'chapter = 2\ntitle = "Two"\ntitle_zh = "二"\n[sections]\n"2.1" = ["Again", "又"]\n'
    project.write("ch2_more/claims.toml", head + entry("adds", section="2.1"))
    (error,) = errors(project.run())
    assert error == f"ERROR: tests/ch2_more/claims.toml:7: claim 'adds': registered already at {CLAIMS}:9"


def test_every_mistake_is_reported_at_once(project, entry):
    project.register(entry("one", "maybe"), entry("two", needs="gpu"))
    first, second = errors(project.run())
    assert first.startswith(f"ERROR: {CLAIMS}:9: claim 'one': unknown verdict")
    assert second.startswith(f"ERROR: {CLAIMS}:18: claim 'two': unknown need")


def test_a_comment_behind_the_head_of_an_entry_does_not_shift_the_lines(project, entry):
    project.register(entry("adds").replace("[[claim]]", "[[claim]] # first"), entry("wrong", "maybe"))
    (error,) = errors(project.run())
    assert error.startswith(f"ERROR: {CLAIMS}:16: claim 'wrong'")


def test_a_file_that_is_not_toml_is_named_with_the_line(project):
    project.write("ch1_sample/claims.toml", "chapter = 1\ntitle = Sample\n")
    assert errors(project.run()) == [f"ERROR: {CLAIMS}: not valid TOML: Invalid value (at line 2, column 9)"]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "the head needs 'chapter' (int)"),
        ("chapter = '1'\n", "the head needs 'chapter' (int)"),
        ("chapter = 1\nchaptre = 2\n", "unknown key 'chaptre'; did you mean 'chapter'?"),
    ],
)
def test_a_wrong_head_is_named_without_a_line_for_every_claim(project, entry, head, message):
    rest = 'title = "Sample"\ntitle_zh = "样例"\n[sections]\n"1.1" = ["Numbers", "数"]\n'
    project.write("ch1_sample/claims.toml", head + rest + entry("adds"))
    assert errors(project.run()) == [f"ERROR: {CLAIMS}: {message}"]


@pytest.mark.parametrize("titles", ["3", "'Numbers'", "['Numbers']", "['Numbers', 3]"])
def test_a_section_needs_two_titles(project, entry, titles):
    head = f'chapter = 1\ntitle = "Sample"\ntitle_zh = "样例"\n[sections]\n"1.1" = {titles}\n'
    project.write("ch1_sample/claims.toml", head + entry("adds"))
    assert errors(project.run()) == [f"ERROR: {CLAIMS}: section '1.1' needs two titles: [English, Chinese]"]


def test_a_section_is_of_its_chapter(project, entry):
    head = 'chapter = 2\ntitle = "Two"\ntitle_zh = "二"\n[sections]\n"1.3" = ["Again", "又"]\n'
    project.write("ch2_more/claims.toml", head + entry("more", section="1.3"))
    assert errors(project.run()) == ["ERROR: tests/ch2_more/claims.toml: section '1.3' is not of chapter 2"]


def test_a_chapter_has_one_folder(project):
    head = 'chapter = 1\ntitle = "One"\ntitle_zh = "一"\n[sections]\n"1.3" = ["Again", "又"]\n'
    project.write("ch1_too/claims.toml", head)
    assert errors(project.run()) == [
        "ERROR: tests/ch1_too/claims.toml: chapter 1 is already in tests/ch1_sample/claims.toml"
    ]


@pytest.mark.parametrize("name", ["ch1_sample/claims.toml", "ch1_sample/test_1_1_sample.py"])
@pytest.mark.parametrize("as_what", ["a folder", "a dangling link"])
def test_what_cannot_be_read_is_named(project, name, as_what):
    path = project.path / "tests" / name
    path.unlink()
    path.mkdir() if as_what == "a folder" else path.symlink_to("nowhere")
    (error,) = errors(project.run())
    problem = "Is a directory" if as_what == "a folder" else "No such file or directory"
    assert error == f"ERROR: tests/{name}: cannot be read: {problem}"


def test_claims_that_are_no_list_of_tables_are_reported(project):
    project.write("ch1_sample/claims.toml", 'claim = 3\nchapter = 1\ntitle = "S"\ntitle_zh = "S"\n[sections]\n')
    assert errors(project.run()) == [f"ERROR: {CLAIMS}: claims are written as [[claim]] tables"]


def test_a_project_without_a_register_is_reported(project):
    (project.path / CLAIMS).unlink()
    (error,) = errors(project.run())
    assert error == f"ERROR: {project.path}/tests: no chapter folder here has a claims.toml"


def test_every_claim_that_is_not_true_has_a_line_to_write_instead_which_runs(tmp_path):
    claims = register.load(Path(__file__).parents[1]).claims.values()
    fixes = {claim.id: claim.fix for claim in claims if claim.fix}
    assert list(fixes) == [claim.id for claim in claims if claim.verdict in ("superseded", "mistaken")]
    net = torch.nn.Linear(2, 1)
    torch.save(net, tmp_path / "net.pt")
    there = {"torch": torch, "nn": torch.nn, "net": net, "path": tmp_path / "net.pt", "parts": 4}
    there |= {"optimizer": torch.optim.SGD(net.parameters(), lr=0.5), "logits": torch.ones(2, 3)}
    for line in fixes.values():
        names = there | {"x": torch.tensor([[3.0, 4.0]], requires_grad=True)}
        if line.startswith("super()"):
            exec(f"class Net(nn.Module):\n def __init__(self, size):\n  {line}\nNet(3)", names)
            continue
        exec(line, names)
        assert " == " not in line or eval(line, names), line
    assert there["optimizer"].param_groups[0]["lr"] == 0.05
