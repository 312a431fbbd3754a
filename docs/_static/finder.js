// Claims by the index of tests/harness/search.py, ranked by the rule that its docstring states.
"use strict";
if (document.documentElement.lang === "zh") {
  Documentation.addTranslations({
    messages: {
      "Searching": "正在搜索",
      "Preparing search...": "正在准备搜索……",
      "Search Results": "搜索结果",
      "Search finished, found one page matching the search query.": ["找到 ${resultCount} 个相符的页面。"],
      "Your search did not match any documents. Please make sure that all words are spelled correctly and that you've selected enough categories.":
        "没有相符的页面。请检查拼写，或换一个词。",
    },
    plural_expr: "0",
    locale: "zh",
  });
}
function* terms(text) {
  const { silent, values, error, word, han, beginning } = INDEX.rules;
  const lines = text.trim().split("\n");
  const errors = lines.filter((line) => new RegExp(error).test(line));
  const plain = (errors.length && lines.length > 2 ? errors : lines).join("\n").replace(new RegExp(values, "g"), " ").toLowerCase();
  for (const [run] of plain.matchAll(new RegExp(`[${han}]+`, "g")))
    for (let at = 0; at < Math.max(1, run.length - 1); at++) yield [run.slice(at, at + 2), 1];
  let before = "";
  for (const [found] of plain.matchAll(new RegExp(word, "g"))) {
    const parts = found.split(/[._]+/).filter((part) => part && !new RegExp(silent).test(part));
    for (const part of parts) yield [part, 1];
    for (const part of parts) if (part.length >= beginning) yield [`${part.slice(0, beginning)}*`, 0.5];
    if (parts.length > 1) yield [parts.join("_"), 1];
    if (before) yield [`${before} ${parts[0] ?? found}`, 1];
    before = parts.at(-1) ?? found;
  }
}
function ranked(query) {
  const asked = new Map();
  for (const [term, share] of terms(query)) asked.set(term, Math.max(share, asked.get(term) ?? 0));
  const scores = new Map();
  for (const [term, share] of asked) {
    const places = Object.hasOwn(INDEX.terms, term) ? INDEX.terms[term] : [];
    const rarity = Math.log(1 + INDEX.claims.length / places.length);
    for (const number of places) {
      const place = number >> 4;
      scores.set(place, (scores.get(place) ?? 0) + rarity * share * ((number & 15) / 2));
    }
  }
  return [...scores].sort(([a, one], [b, other]) => other - one || a - b).map(([place]) => INDEX.claims[place]);
}
document.addEventListener("DOMContentLoaded", () => {
  const query = new URLSearchParams(location.search).get("q") ?? "";
  for (const input of document.querySelectorAll(".sidebar-search")) input.value = query;
  const section = document.getElementById("claim-results");
  const list = section.querySelector("ul");
  for (const claim of ranked(query).slice(0, 10)) {
    const item = document.createElement("li");
    item.className = `claim-line ${claim.look}`;
    item.innerHTML = `<p><span class="badge">${claim.badge}</span> <a href="${claim.address}">${claim.says}</a>
      <small>${claim.section} \u00b7 ${claim.id}</small></p>`;
    if (claim.truth) item.insertAdjacentHTML("beforeend", `<p class="claim-line-truth">${claim.truth}</p>`);
    list.append(item);
  }
  section.hidden = !list.children.length;
});
