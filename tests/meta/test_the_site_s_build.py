"""The site's build: mistakes end it with a line for each, and pages follow the stored runs."""

import pytest
from meta.site_sample import PAGE, Site, document


@pytest.fixture
def site(project, capsys):
    """The sample project with one page that shows its three claims and one stored run that agrees with the register."""
    return Site(project, capsys)


REGISTERED_AT = "tests/ch1_sample/claims.toml"


@pytest.mark.parametrize("verdict", ["broken", "mistaken", "caveat", "not yet"])
def test_a_run_that_contradicts_the_register_ends_the_build(site, verdict):
    site.store(document(adds=verdict))
    told = f"torch-2.14.1-cpu.json: claim 'adds' is '{verdict}', but {REGISTERED_AT}:9 expects 'holds' on 2.14.1"
    assert site.build() == [told]


def test_a_device_that_not_everybody_has_may_break_a_claim_and_end_early(site):
    site.store(document(device="cuda", adds="broken") | {"interrupted": "SIGTERM"})
    site.write(PAGE + "\n```{runs}\n```\n")
    assert site.build() == []
    assert "cuda (ended early)" in site.page


@pytest.mark.parametrize("outcome", ["survived", "invalid"])
def test_a_counterfeit_that_was_not_caught_ends_the_build(site, outcome):
    run = document()
    run["claims"][0]["counterfeits"] = [{"name": "ones_are_twos", "outcome": outcome, "detail": ""}]
    site.store(run)
    told = f"torch-2.14.1-cpu.json: counterfeit 'ones_are_twos' of claim 'adds' is '{outcome}', not caught"
    assert site.build() == [told]


@pytest.mark.parametrize(
    ("torch", "right", "wrong"), [("2.5.1", "holds", "superseded"), ("2.6.0", "superseded", "holds")]
)
def test_what_a_run_must_have_found_depends_on_its_torch(site, entry, torch, right, wrong):
    changed = entry("divides", "superseded", until="2.6")
    site.project.register(entry("adds"), changed, entry("shapes", section="1.2"))
    site.store(document(divides="superseded"))
    site.store(document(torch, divides=right))
    assert site.build() == []
    site.store(document(torch, divides=wrong))
    assert site.build() == [
        f"torch-{torch}-cpu.json: claim 'divides' is '{wrong}', but {REGISTERED_AT}:16 expects '{right}' on {torch}"
    ]


def test_a_run_of_a_claim_that_is_not_registered_ends_the_build(site):
    site.store(document(add="holds"))
    assert site.build() == ["torch-2.14.1-cpu.json: claim 'add' is not registered; did you mean 'adds'?"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 1}, "its schema is 1; make it again with pytest --verdicts=FILE"),
        ({"interrupted": "-x"}, "of a run that did not end: -x; run it again"),
        ({"torch": "2.6.0"}, "a run of torch 2.6.0 on cpu is stored as torch-2.6.0-cpu.json"),
        ({"device": "cuda"}, "a run of torch 2.14.1 on cuda is stored as torch-2.14.1-cuda.json"),
        ({"claims": None}, "not a verdict document: claims is no list"),
    ],
)
def test_a_document_that_is_not_one_is_named(site, change, problem):
    site.store(document() | change, "torch-2.14.1-cpu.json")
    assert site.build() == [f"{site.results}/torch-2.14.1-cpu.json: {problem}"]


def test_a_run_from_when_a_claim_was_registered_otherwise_ends_the_build(site):
    run = document()
    run["claims"][0]["registered"] = "caveat"
    site.store(run)
    assert site.build() == [
        f"torch-2.14.1-cpu.json: claim 'adds' was registered as 'caveat'; {REGISTERED_AT}:9 says 'holds'"
    ]


def test_where_the_device_was_lent_such_a_claim_counts_as_not_tried(site):
    run = document() | {"device": "cuda"}
    run["claims"][0]["registered"] = "caveat"
    site.store(run, "torch-2.14.1-cuda.json")
    assert site.build() == []


@pytest.mark.parametrize("text", ["no JSON", "{}", '{"benchmarks": [{"group": "g"}]}'])
def test_a_run_of_the_benchmarks_that_is_not_one_is_named(site, text):
    (site.results / "benchmarks-cpu.json").write_text(text, "utf8")
    [told] = site.build()
    assert told.startswith("benchmarks-cpu.json: not a stored run of the benchmarks: ")


def test_a_site_without_runs_is_not_built(site):
    (site.results / "torch-2.14.1-cpu.json").unlink()
    assert site.build() == [f"{site.results}: no verdict documents; write one with pytest --verdicts=FILE"]


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (PAGE.replace("adds\n", ""), "claim 'adds' is on no page; put it into a claims block of its chapter"),
        (PAGE + "\n```{claims}\nadds\n```\n", "claim 'adds' is shown more than once: index.md, index.md"),
        (PAGE.replace("adds", "add"), "index.md: no claim is called 'add'; did you mean 'adds'?"),
    ],
)
def test_every_claim_is_on_one_page_once(site, page, told):
    site.write(page)
    assert site.build() == [told]


def test_a_mistake_in_the_register_is_told_without_a_traceback(site, entry):
    site.project.register(entry("adds", section="9.9"))
    assert site.build() == [f"{REGISTERED_AT}:9: claim 'adds': section '9.9' is not in this file's [sections]"]


def test_a_formula_that_cannot_be_written_is_named(site, entry):
    site.project.register(
        entry("adds", says=r"It adds $\\left( x$."), entry("divides", "mistaken"), entry("shapes", section="1.2")
    )
    assert site.build()[0].startswith(r"formula $\left( x$ cannot be written as MathML: ")


def test_a_page_is_written_anew_when_a_stored_run_changes(site):
    assert site.build() == []
    assert "torch 2.14.1, cpu" in site.page
    assert "torch 2.15.0, cpu" not in site.page
    site.store(document("2.15.0"))
    assert site.build() == []
    assert "torch 2.15.0, cpu" in site.page
