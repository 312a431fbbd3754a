"""``--report``: a verdict document as one HTML file for somebody without the suite: a card for each claim, filtered by
verdict, what is broken first. It needs no other file and no network. ``--language`` says in which language.
"""

import html
import re
from string import Template

from harness import wording
from harness.documents import VERDICTS
from harness.specification import Specification

ORDER = ("broken", "refused", "superseded", "mistaken", "caveat", "not yet", "not tried", "holds")
"""Which verdicts come first: what needs somebody's attention, then what a reader would not expect."""

MEANS = {
    "holds": ("true as it stands", "与所述一致"),
    "caveat": ("true, under a condition that the sentence leaves out", "加上这句话没有说出的条件才成立"),
    "superseded": ("no longer true", "不再成立"),
    "mistaken": ("not true", "不成立"),
    "not yet": ("true of a later torch", "更新的 torch 才成立"),
    "broken": ("the run disagrees with the register", "运行结果与登记的结论不一致"),
    "refused": ("the device refused to try it", "设备拒绝检验"),
    "not tried": ("nothing is shown", "什么也没有证明"),
}

PAGE = Template("""\
<!doctype html>
<html lang="$language">
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
$warning<nav aria-label="$verdicts">$buttons</nav>
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


def page(document: dict, spec: Specification, chinese: bool = False) -> str:
    """The document as HTML, with the register's sentences, and in Chinese with the tests' names beside those in the
    code.
    """
    return Page(document, spec, chinese).html


class Page:
    """The parts of the page."""

    def __init__(self, document: dict, spec: Specification, chinese: bool) -> None:
        self.document, self.spec, self.chinese = document, spec, chinese

    def pick(self, english: str, chinese: str) -> str:
        return chinese if self.chinese else english

    def why(self, reason: str) -> str:
        """The end of a line that tells a verdict or an outcome."""
        return html.escape(f": {self.pick(reason, wording.reason_zh(reason))}") if reason else ""

    @property
    def html(self) -> str:
        document, pick = self.document, self.pick
        device = document["device"] + pick(" (simulated)", "（模拟）") * document["simulated"]
        order = {verdict: place for place, verdict in enumerate(ORDER)}
        claims = sorted(document["claims"], key=lambda claim: order[claim["verdict"]])
        counts = {verdict: document["totals"].get(verdict, 0) for verdict in sorted(VERDICTS, key=order.get)}
        buttons = [_button("all", f"{pick('all', '全部')} {len(claims)}")]
        buttons += [
            _button(verdict, f"{pick(*wording.VERDICTS[verdict])} {count}", pick(*MEANS[verdict]))
            for verdict, count in counts.items()
            if count
        ]
        missing = pick("not installed", "未安装")
        packages = [f"{name} {document[name] or missing}" for name in ("torchvision", "numpy")]
        judged = [*packages, f"Python {document['python']}", f"{pick('seed', '种子')} {document['seed']}"]
        early = f"{pick('This run ended early: ', '这次运行提前结束：')}{document['interrupted']}"
        return PAGE.substitute(
            language=pick("en", "zh"),
            verdicts=pick("verdicts", "结论"),
            title=html.escape(pick(f"torch {document['torch']} on {device}", f"torch {document['torch']}，{device}")),
            judged=html.escape(pick(", ", "，").join(judged)),
            warning=f"<p class=broken>{html.escape(early)}</p>\n" if document["interrupted"] else "",
            buttons="".join(buttons),
            cards="\n".join(map(self.card, claims)),
            first="broken" if counts["broken"] else "all",
        )

    def card(self, claim: dict) -> str:
        """One claim: its sentence, its verdict, what is true instead, and what its tests did."""
        known, pick = self.spec.register.claims.get(claim["id"]), self.pick
        verdict, section, id = claim["verdict"], html.escape(claim["section"]), html.escape(claim["id"])
        lines = [f'<article id="{id}" data-verdict="{verdict}">']
        lines.append(f"<h2>{text(pick(known.says, known.says_zh)) if known else id}</h2>")
        word, look = pick(*wording.VERDICTS[verdict]), verdict.replace(" ", "-")
        lines.append(f'<p><span class="verdict {look}">{word}</span>{self.why(claim["reason"])}')
        lines.append(f"· {pick(f'section {section}', f'{section} 节')} · <code>{id}</code></p>")
        if known and known.truth and verdict not in ("holds", "not tried"):
            lines.append(f"<p>→ {text(pick(known.truth, known.truth_zh))}</p>")
        if claim["tests"]:
            rows, count = "".join(map(self.row, claim["tests"])), len(claim["tests"])
            opened, told = " open" * (verdict in ("broken", "refused")), pick(f"{count} tests", f"{count} 个测试")
            lines.append(f"<details{opened}><summary>{told}</summary><table>{rows}</table></details>")
        return "\n".join([*lines, "</article>"])

    def row(self, test: dict) -> str:
        """One test: what it tries, its name in the code, in Chinese also what it is called, and what came of it."""
        name = html.escape(test["test"] + (f" [{', '.join(test['cases'])}]" if test["cases"] else ""))
        if self.chinese:
            name = f"<p>{html.escape(self.spec.called(test['test'])[1])}</p>{name}"
        outcome = self.pick(test["outcome"], wording.OUTCOMES_ZH[test["outcome"]]) + self.why(test["reason"])
        kind = self.pick(*(("truth", "真相") if test["truth"] else ("statement", "陈述")))
        return f"<tr><td>{kind}</td><td>{name}</td><td>{outcome}</td></tr>"


def _button(verdict: str, text: str, means: str = "") -> str:
    return f'<button data-verdict="{verdict}" aria-pressed="false" title="{means}">{text}</button>'


def text(markdown: str) -> str:
    """A sentence of the register as HTML: code between backquotes; TeX between dollars stays as it is written."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(markdown, quote=False))
