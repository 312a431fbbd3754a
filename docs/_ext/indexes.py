"""The pages that are made from register and runs alone: by verdict, by release, by name; and the totals."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import cards
import formulas
import names
from claims import open_book
from docutils import nodes
from harness.register import Claim, release
from languages import both, titles
from markupsafe import Markup
from results import UNTRIED, dated, minor
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

GROUPS = {  # id: heading in English and Chinese; in the order of the page and of the totals
    "superseded": ("Superseded: true once", "已过时：曾经成立"),
    "mistaken": ("Mistaken: not true as stated", "有误：所述不成立"),
    "not-yet": ("Not yet: true from a later torch on", "尚未成立：更新的 torch 才成立"),
    "caveat": ("Caveat: true with a condition", "有条件：加上条件才成立"),
    "simulated": ("Shown on a simulated device only", "仅在模拟设备上检验过"),
    "not-tried": ("Not tried by any stored run", "没有任何存档的运行检验过"),
    "holds": ("Holds: true as stated", "成立：与所述一致"),
}


FALSE = ("superseded", "mistaken", "not-yet")


def since(claim: Claim) -> Markup | str:
    """The release that made a superseded claim untrue, if the register knows it."""
    until = dated(claim.until)
    return both(f"Since torch {until}.", f"自 torch {until} 起。") if claim.until else ""


def group(claim: Claim, book: cards.Book) -> str:
    """The group of GROUPS that a claim's badge puts it into."""
    verdict, run = book.status(claim)
    return "simulated" if run and run.simulated else verdict.replace(" ", "-")


def line(claim: Claim, book: cards.Book, truth: bool = False, note: str = "") -> nodes.list_item:
    """A claim as an item of a list: badge, sentence (a link to its card), and what is true instead."""
    verdict, run = book.status(claim)
    item = nodes.list_item(classes=["claim-line", *cards.look(verdict, run).split()])
    badge = Markup('<span class="badge">{}</span> ').format(cards.badge(verdict, run))
    says = nodes.raw("", both(formulas.inline(claim.says), formulas.inline(claim.says_zh)), format="html")
    target = {"reftype": "claim", "refdomain": "std", "reftarget": claim.id, "refexplicit": True, "refwarn": True}
    item += nodes.paragraph("", "", nodes.raw("", badge, format="html"), pending_xref("", says, **target))
    if truth and claim.truth:
        label = Markup('<span class="label">{}</span> ').format(both(*cards.TRUTH_LABELS[claim.verdict]))
        text = label + both(formulas.inline(claim.truth), formulas.inline(claim.truth_zh))
        item += nodes.paragraph("", "", nodes.raw("", text, format="html"), classes=["claim-line-truth"])
    if truth and claim.fix:
        item += nodes.literal_block(claim.fix, claim.fix, language="python", classes=["claim-fix"])
    if note:
        item += nodes.paragraph("", "", nodes.raw("", note, format="html"), classes=["claim-line-note"])
    return item


class Index(SphinxDirective):
    """A part of a page that is made from the register; subclasses say which."""

    def run(self) -> list[nodes.Node]:
        return list(self.parts(open_book(self)))

    def section(self, id: str, en: str, zh: str, *content: nodes.Node) -> nodes.section:
        """A section with an anchor and a heading in both languages."""
        section = nodes.section("", nodes.title("", "", *titles(en, zh)), *content, ids=[id], names=[id])
        self.state.document.note_explicit_target(section)
        return section


class ByVerdict(Index):
    """The claims that are not simply true: the false ones with what is so instead, the others one click away."""

    def parts(self, book: cards.Book) -> Iterator[nodes.Node]:
        groups = defaultdict(list)
        for claim in book.spec.register.claims.values():
            groups[group(claim, book)].append(claim)
        for id, (en, zh) in GROUPS.items():
            if not groups[id] or id == "holds":
                continue
            truth = id in ("superseded", "mistaken", "caveat")
            items = nodes.bullet_list("", *(line(claim, book, truth, since(claim)) for claim in groups[id]))
            if id in FALSE:
                yield self.section(id, en, zh, items)
                continue
            count = both(f"{len(groups[id])} claims", f"{len(groups[id])} 条论断")
            start = nodes.raw("", Markup("<details><summary>{}</summary>").format(count), format="html")
            yield self.section(id, en, zh, start, items, nodes.raw("", "</details>", format="html"))


class OfChapter(Index):
    """The claims of a chapter, section by section: each leads to its card, and is found under its id here too."""

    required_arguments = 1

    def parts(self, book: cards.Book) -> Iterator[nodes.Node]:
        chapter = next(one for one in book.spec.register.chapters if str(one.number) == self.arguments[0])
        for section, (en, zh) in chapter.sections.items():
            claims = [claim for claim in book.spec.register.claims.values() if claim.section == section]
            items = []
            for claim in claims:
                items.append(line(claim, book))
                items[-1]["ids"] = [claim.id]
            heading = nodes.title("", f"{section} ", *titles(en, zh))
            anchor = f"section-{section.replace('.', '-')}"
            yield nodes.section("", heading, nodes.bullet_list("", *items), ids=[anchor], names=[anchor])


class ByRelease(Index):
    """The claims whose fate a release of torch changed, newest release first, with the runs that saw it."""

    def parts(self, book: cards.Book) -> Iterator[nodes.Node]:
        changed = defaultdict(list)
        for claim in book.spec.register.claims.values():
            for version in {claim.until, claim.since} - {""}:
                changed[version].append(claim)
        stored = sorted({run.torch for run in book.runs if not run.simulated}, key=release)
        later = ""  # the change that was told before
        for version in sorted(changed, key=release, reverse=True):
            same = [torch for torch in stored if release(torch) >= release(version)]
            same = [torch for torch in same if not later or release(torch) < release(later)]
            if len(same) > 1:
                yield self.unchanged(version, same)
            later = version
            items = [
                line(claim, book, truth=version == claim.until, note=self.note(claim, version, book))
                for claim in changed[version]
            ]
            id = f"torch-{version.replace('.', '-')}"
            yield self.section(id, f"torch {dated(version)}", f"torch {dated(version)}", nodes.bullet_list("", *items))

    def unchanged(self, version: str, same: list[str]) -> nodes.section:
        """That from the release after ``version`` on nothing changed, which the runs on the releases ``same`` show."""
        major, number = version.split(".")
        first, last = f"{major}.{int(number) + 1}", minor(same[-1])
        span = (f"torch {first} to {last}", f"torch {first} 至 {last}") if first != last else (f"torch {last}",) * 2
        text = both(
            f"Nothing among these claims changed: the runs on torch {', '.join(same)} found the same.",
            f"这里的论断没有任何变化：在 torch {'、'.join(same)} 上的运行，所见相同。",
        )
        told = nodes.paragraph("", "", nodes.raw("", text, format="html"))
        return self.section(f"nothing-after-{version.replace('.', '-')}", *span, told)

    @staticmethod
    def note(claim: Claim, version: str, book: cards.Book) -> Markup:
        """What changed, and the last run before and the first after that show it."""
        tried = [run for run in book.runs if not run.simulated and run.verdict(claim.id) not in UNTRIED]
        tried.sort(key=lambda run: release(run.torch))
        before = [run for run in tried if release(run.torch) < release(version)][-1:]
        after = [run for run in tried if release(run.torch) >= release(version)][:1]
        seen = [(run.torch, cards.VERDICTS[run.verdict(claim.id)]) for run in before + after]
        en = "; ".join(f"torch {torch}: {words[0]}" for torch, words in seen) or "not tried"
        zh = "；".join(f"torch {torch}：{words[1]}" for torch, words in seen) or "未检验"
        if not before:
            en, zh = f"{en} (no stored run is older than the change)", f"{zh}（没有比这一变化更早的运行）"
        if version == claim.until:
            return both(f"Stopped holding. Seen in the runs: {en}.", f"自此不再成立。运行所见：{zh}。")
        return both(f"Holds from this release on. Seen in the runs: {en}.", f"自此成立。运行所见：{zh}。")


class ByName(Index):
    """Every documented name that the claims are about."""

    def parts(self, book: cards.Book) -> Iterator[nodes.Node]:
        about = defaultdict(list)
        for claim in book.spec.register.claims.values():
            for name in claim.see:
                about[name].append(claim)
        modules = defaultdict(list)
        for name in sorted(about, key=str.lower):
            modules[module(name)].append(name)
        for id in sorted(modules):
            entries = nodes.definition_list(classes=["names"])
            for name in modules[id]:
                link = nodes.reference("", "", nodes.literal("", name), refuri=names.address(name), internal=False)
                lines = nodes.bullet_list("", *(line(claim, book) for claim in about[name]))
                entries += nodes.definition_list_item(
                    "", nodes.term("", "", link), nodes.definition("", lines), ids=[name]
                )
            yield self.section(id.lower().replace(".", "-"), id, id, entries)


def module(name: str) -> str:
    """The heading under which a name is listed: its module, or its class if that is a module's main one."""
    owner = name.rpartition(".")[0]
    return owner.rpartition(".")[0] if owner.rpartition(".")[2][:1].isupper() and owner != "torch.Tensor" else owner


class Totals(Index):
    """The claims counted by verdict, each count a link to its list."""

    def parts(self, book: cards.Book) -> Iterator[nodes.Node]:
        claims = book.spec.register.claims.values()
        count = Counter(group(claim, book) for claim in claims)
        link = '<a class="tile {0}" href="no-longer-true.html#{0}"><b>{1}</b> {2}</a>'
        plain = '<span class="tile {0}"><b>{1}</b> {2}</span>'
        order = ("holds", "caveat", "superseded", "mistaken", "not-yet", "simulated", "not-tried")
        short = {id.replace(" ", "-"): words[:2] for id, words in cards.VERDICTS.items()}
        short["simulated"] = ("simulated only", "仅模拟")
        tiles = Markup("").join(
            Markup(plain if id == "holds" else link).format(id, count[id], both(*short[id]))
            for id in order
            if count[id]
        )
        beyond = sum(claim.beyond for claim in claims)
        newest = book.newest
        releases = len({run.torch for run in book.runs})
        basis = both(
            f"{len(claims) - beyond} claims of the notes and {beyond} beyond them, on torch {newest.torch}. "
            f"Runs on {releases} releases of torch are stored.",
            f"笔记中的论断 {len(claims) - beyond} 条，笔记之外的 {beyond} 条，以 torch {newest.torch} 为准。"
            f"存档的运行涵盖 {releases} 个 torch 版本。",
        )
        html = Markup('<div class="tiles">{}</div><p class="tiles-basis">{}</p>').format(tiles, basis)
        yield nodes.raw("", html, format="html")


class Runs(Index):
    """The stored runs, and what each found."""

    def parts(self, book: cards.Book) -> Iterator[nodes.Node]:
        used = [verdict for verdict in cards.VERDICTS if any(self.count(run, book)[verdict] for run in book.runs)]
        head = Markup("").join(
            Markup('<th scope="col">{}</th>').format(both(*cards.VERDICTS[verdict][:2])) for verdict in used
        )
        rows = Markup("")
        for run in book.runs:
            device = both(f"{run.device} (simulated)", f"{run.device}（模拟）") if run.simulated else run.device
            device = both(f"{run.device} (ended early)", f"{run.device}（提前结束）") if run.ended else device
            cells = Markup("").join(Markup("<td>{}</td>").format(self.count(run, book)[verdict]) for verdict in used)
            rows += Markup('<tr><th scope="row">{}</th><td>{}</td>{}</tr>').format(run.torch, device, cells)
        html = Markup(
            '<div class="table-wrapper" tabindex="0" role="region" aria-label="stored runs"><table class="runs"><thead>'
            '<tr><th scope="col">torch</th><th scope="col">{}</th>{}</tr></thead><tbody>{}</tbody></table></div>'
        ).format(both("device", "设备"), head, rows)
        yield nodes.raw("", html, format="html")

    @staticmethod
    def count(run: cards.Run, book: cards.Book) -> Counter:
        """How often a run found each verdict, over all claims of the register."""
        return Counter(run.verdict(id) for id in book.spec.register.claims)


DIRECTIVES = {
    "claims-by-verdict": ByVerdict,
    "claims-of-chapter": OfChapter,
    "claims-by-release": ByRelease,
    "claims-by-name": ByName,
    "totals": Totals,
    "runs": Runs,
}


def setup(app: Sphinx) -> dict:
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True}
