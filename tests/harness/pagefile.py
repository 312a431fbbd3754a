"""``--report``: a verdict document as one HTML file for somebody without the suite: a card for each claim, filtered by
verdict, what is broken first. It needs no other file and no network.
"""

import html
import re
from string import Template

from harness.documents import VERDICTS
from harness.register import Register

ORDER = ("broken", "refused", "superseded", "mistaken", "caveat", "not yet", "not tried", "holds")
"""Which verdicts come first: what needs somebody's attention, then what a reader would not expect."""

MEANS = {
    "holds": "true as it stands",
    "caveat": "true, under a condition that the sentence leaves out",
    "superseded": "no longer true",
    "mistaken": "not true",
    "not yet": "true of a later torch",
    "broken": "the run disagrees with the register",
    "refused": "the device refused to try it",
    "not tried": "nothing is shown",
}

PAGE = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8886; --red: #b3261e; --amber: #8a5a00; --green: #1a6b37; }
@media (prefers-color-scheme: dark) { :root { --red: #ff8a80; --amber: #ffcc66; --green: #7ddc9a; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
p { margin: .3rem 0; }
nav { position: sticky; top: 0; padding: .6rem 0; background: Canvas; border-bottom: 1px solid var(--line); }
button { font: inherit; padding: .2rem .7rem; margin: .1rem; border: 1px solid var(--line); border-radius: 1rem; }
button[aria-pressed=true] { background: CanvasText; color: Canvas; }
article { border-bottom: 1px solid var(--line); padding: .8rem 0; }
article h2 { font-size: 1rem; margin: 0; }
.verdict { font-weight: 600; }
.broken, .refused { color: var(--red); }
.superseded, .mistaken, .caveat, .not-yet { color: var(--amber); }
.holds { color: var(--green); }
code, td { font-family: ui-monospace, monospace; font-size: .875em; overflow-wrap: anywhere; }
td { padding-right: 1rem; vertical-align: top; }
</style>
<h1>$title</h1>
<p>$judged</p>
$warning<nav aria-label="verdicts">$buttons</nav>
<main>
$cards
</main>
<script>
const buttons = document.querySelectorAll("nav button");
function show(verdict) {
  for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.verdict === verdict);
  for (const card of document.querySelectorAll("article"))
    card.hidden = verdict !== "all" && card.dataset.verdict !== verdict;
}
for (const button of buttons) button.onclick = () => show(button.dataset.verdict);
show("$first");
</script>
</html>
""")


def page(document: dict, register: Register) -> str:
    """The document as HTML, with the register's sentences."""
    device = document["device"] + (" (simulated)" if document["simulated"] else "")
    order = {verdict: place for place, verdict in enumerate(ORDER)}
    claims = sorted(document["claims"], key=lambda claim: order[claim["verdict"]])
    counts = {verdict: document["totals"].get(verdict, 0) for verdict in sorted(VERDICTS, key=order.get)}
    buttons = [_button("all", f"all {len(claims)}")]
    buttons += [_button(verdict, f"{verdict} {count}", MEANS[verdict]) for verdict, count in counts.items() if count]
    packages = [f"{name} {document[name] or 'not installed'}" for name in ("torchvision", "numpy")]
    early = document["interrupted"]
    return PAGE.substitute(
        title=html.escape(f"torch {document['torch']} on {device}"),
        judged=html.escape(f"{', '.join(packages)}, Python {document['python']}, seed {document['seed']}"),
        warning=f"<p class=broken>This run ended early: {html.escape(early)}</p>\n" if early else "",
        buttons="".join(buttons),
        cards="\n".join(_card(claim, register) for claim in claims),
        first="broken" if counts["broken"] else "all",
    )


def _button(verdict: str, text: str, means: str = "") -> str:
    return f'<button data-verdict="{verdict}" aria-pressed="false" title="{means}">{text}</button>'


def _card(claim: dict, register: Register) -> str:
    """One claim: its sentence, its verdict, what is true instead, and what its tests did."""
    known = register.claims.get(claim["id"])
    verdict = claim["verdict"]
    lines = [f'<article id="{html.escape(claim["id"])}" data-verdict="{verdict}">']
    lines.append(f"<h2>{text(known.says) if known else html.escape(claim['id'])}</h2>")
    reason = f": {html.escape(claim['reason'])}" if claim["reason"] else ""
    lines.append(f'<p><span class="verdict {verdict.replace(" ", "-")}">{verdict}</span>{reason}')
    lines.append(f"· section {html.escape(claim['section'])} · <code>{html.escape(claim['id'])}</code></p>")
    if known and known.truth and verdict not in ("holds", "not tried"):
        lines.append(f"<p>→ {text(known.truth)}</p>")
    if claim["tests"]:
        rows = "".join(map(_row, claim["tests"]))
        opened = " open" if verdict in ("broken", "refused") else ""
        lines.append(f"<details{opened}><summary>{len(claim['tests'])} tests</summary><table>{rows}</table></details>")
    return "\n".join([*lines, "</article>"])


def _row(test: dict) -> str:
    name = test["test"] + (f" [{', '.join(test['cases'])}]" if test["cases"] else "")
    outcome = test["outcome"] + (f": {test['reason']}" if test["reason"] else "")
    kind = "truth" if test["truth"] else "statement"
    return f"<tr><td>{kind}</td><td>{html.escape(name)}</td><td>{html.escape(outcome)}</td></tr>"


def text(markdown: str) -> str:
    """A sentence of the register as HTML: code between backquotes; TeX between dollars stays as it is written."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(markdown, quote=False))
