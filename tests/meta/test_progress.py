"""What a run tells while it goes on: a section when its last claim has come to its end, below pytest's own dots."""

import re

import pytest

FAILING = 'import pytest\n\n\n@pytest.mark.claim("shapes")\ndef test_a_shape_is_a_list():\n    assert () == []\n'


def told(result):
    """The lines between the start of the run and what it says at its end."""
    lines = result.outlines
    start = next(number for number, line in enumerate(lines) if "collected" in line or "workers [" in line)
    end = next(
        number for number, line in enumerate(lines) if re.search("not true on|FAILURES|不成立的论断|= torch", line)
    )
    return [line for line in lines[start + 1 : end] if line]


@pytest.mark.usefixtures("bare")
def test_a_section_is_told_when_the_last_test_of_its_last_claim_has_ended(project):
    for place in ("test_1_2_other.py", "guards/test_1_2_other.py"):
        project.write(f"ch1_sample/{place}", FAILING.replace("() ==", "[] =="))
    assert [re.sub(" +", " ", line) for line in told(project.run())] == [
        "tests/ch1_sample/test_1_1_sample.py .x.",
        "1.1 2 of 2 claims [ 60%]",
        "tests/ch1_sample/test_1_2_other.py . [ 80%]",
        "tests/ch1_sample/guards/test_1_2_other.py .",
        "1.2 1 of 1 claims [100%]",
    ]


@pytest.mark.usefixtures("bare")
def test_what_is_broken_is_counted_and_what_a_run_leaves_out_is_not(project):
    project.write("ch1_sample/test_1_2_other.py", FAILING)
    lines = told(project.run("-k", "shape or one", "--language=zh"))
    assert [line.split("  ")[:2] for line in lines if line.startswith("1.")] == [
        ["1.1", "1/1 条论断"],
        ["1.2", "1/1 条论断，1 条不符"],
    ]


@pytest.mark.usefixtures("bare")
def test_a_claim_of_which_no_test_could_run_is_not_counted_as_tried(project):
    skipped = FAILING.replace("assert", 'pytest.skip("no such device")\n    assert')
    project.write("ch1_sample/test_1_2_other.py", skipped)
    assert "1.2  1 of 1 claims, 1 not tried" in " ".join(told(project.run()))
    project.write("ch1_sample/guards/test_1_2_other.py", FAILING.replace("() ==", "[] =="))
    project.run().stdout.no_fnmatch_line("*claims, 1 not tried*")


@pytest.mark.usefixtures("bare")
def test_quiet_runs_have_dots_alone_and_chosen_claims_their_cards(project):
    assert project.run("-q").outlines[1].split() == [".x...", "[100%]"]
    project.run("--claim=adds").stdout.no_fnmatch_line("*of 1 claims*")
    project.run("--pages").stdout.no_fnmatch_line("*of 1 claims*")


@pytest.mark.usefixtures("bare")
def test_verbose_runs_tell_every_claim_behind_its_last_test(project):
    lines = [line.partition("::")[2].split("  ") for line in told(project.run("-v")) if "claims" in line]
    assert [(line[0], line[1].partition(" [")[0]) for line in lines] == [
        ("test_one_and_one_is_two 1.1", "adds: 1 of 2 claims"),
        ("test_halves_are_floats 1.1", "divides: 2 of 2 claims"),
        ("test_a_shape_is_a_tuple[2] 1.2", "shapes: 1 of 1 claims"),
    ]


@pytest.mark.parametrize("options", [(), ("-v",)])
def test_with_workers_each_section_has_a_line_too(project, options):
    found = project.run("-n2", *options)
    found.assert_outcomes(passed=4, xfailed=1)
    lines = [line for line in told(found) if "claims" in line]
    counts = [re.search(r"(1\.\d)  .*?(\d of \d) claims", line).groups() for line in lines]
    assert {("1.1", "2 of 2"), ("1.2", "1 of 1")} <= set(counts)
    assert options or all(re.fullmatch(r"1\.\d  \d of \d claims", line) for line in lines)


@pytest.mark.usefixtures("bare")
def test_a_run_without_a_terminal_s_report_ends_well(project):
    assert project.run("-p", "no:terminal").ret == 0
