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
function stemmed(word) {
  return `${word.replace(new RegExp(INDEX.rules.stem), "$1").replaceAll("z", "s")}*`;
}
function* terms(text) {
  const { silent, values, error, word, han, meanings } = INDEX.rules;
  const lines = text.trim().split("\n");
  const errors = lines.filter((line) => new RegExp(error).test(line));
  const plain = (errors.length && lines.length > 2 ? errors : lines).join("\n").replace(new RegExp(values, "g"), " ").toLowerCase();
  for (const [run] of plain.matchAll(new RegExp(`[${han}]+`, "g")))
    for (let at = 0; at < Math.max(1, run.length - 1); at++) yield [run.slice(at, at + 2), 1];
  const stems = new Set();
  let before = "";
  for (const [found] of plain.matchAll(new RegExp(word, "g"))) {
    const parts = found.split(/[._]+/).filter((part) => part && !new RegExp(silent).test(part));
    for (const part of parts) yield [part, 1];
    for (const part of parts) if (part.length > 3) yield [stemmed(part), 0.75];
    for (const part of parts) stems.add(stemmed(part));
    if (parts.length > 1) yield [parts.join("_"), 1];
    if (before) yield [`${before} ${parts[0] ?? found}`, 1];
    before = parts.at(-1) ?? found;
  }
  for (const [meant, meaning] of Object.entries(meanings))
    if (plain.includes(meant) || stems.has(meant)) yield [meaning, 0.5];
}
function shortened(word) {
  return new Set([word, ...Array.from(word, (_, at) => word.slice(0, at) + word.slice(at + 1))]);
}
function asked(query) {
  const found = new Map();
  const add = (term, share) => found.set(term, Math.max(share, found.get(term) ?? 0));
  for (const [term, share] of terms(query)) {
    let meant = [];
    if (!Object.hasOwn(INDEX.terms, term) && /^[a-z]{5,}$/.test(term)) {
      const one = shortened(term);
      const alike = (word) => [...shortened(word)].some((other) => one.has(other));
      meant = Object.keys(INDEX.terms).filter((word) => /^[a-z]{4,}$/.test(word) && alike(word));
    }
    for (const word of meant.length ? meant : [term]) add(word, share);
  }
  return found;
}
function ranked(query) {
  const scores = new Map(), parts = new Map(), unknown = Math.log(1 + INDEX.claims.length);
  let whole = 0;
  for (const [term, share] of asked(query)) {
    const places = Object.hasOwn(INDEX.terms, term) ? INDEX.terms[term] : [];
    const telling = Math.log(1 + INDEX.claims.length / (places.length || 1)) * share;
    const word = term.includes(" ") ? 0 : telling;
    whole += word;
    for (const number of places) {
      const place = Math.floor(number / 64);
      scores.set(place, (scores.get(place) ?? 0) + telling * (number % 64));
      parts.set(place, (parts.get(place) ?? 0) + word);
    }
  }
  return [...scores]
    .map(([place, score]) => ({ claim: INDEX.claims[place], place, fit: (score * parts.get(place)) / (INDEX.rules.top * unknown * whole || 1) }))
    .filter(({ fit }) => fit)
    .sort((one, other) => other.fit - one.fit || one.place - other.place);
}
document.addEventListener("DOMContentLoaded", () => {
  const query = new URLSearchParams(location.search).get("q") ?? "";
  for (const input of document.querySelectorAll(".sidebar-search")) input.value = query;
  const section = document.getElementById("claim-results");
  const list = section.querySelector("ul");
  const found = ranked(query);
  const { han, poor: [poor, poorHan] } = INDEX.rules;
  const answered = found.length && found[0].fit >= (new RegExp(`[${han}]`).test(query) ? poorHan : poor);
  const changes = section.querySelector(".changes");
  changes.hidden = !INDEX.rules.releases.every((rule) => new RegExp(rule, "i").test(query));
  section.querySelector(".unanswered").hidden = answered || !changes.hidden;
  for (const { claim } of changes.hidden ? found.slice(0, answered ? 10 : 2) : []) {
    const item = document.createElement("li");
    item.className = `claim-line ${claim.look}`;
    item.innerHTML = `<p><span class="badge">${claim.badge}</span> <a href="${claim.address}">${claim.says}</a>
      <small>${claim.section} \u00b7 ${claim.id}</small></p>`;
    if (claim.truth) item.insertAdjacentHTML("beforeend", `<p class="claim-line-truth">${claim.truth}</p>`);
    list.append(item);
  }
  section.querySelector(".nearest").hidden = !found.length;
  section.hidden = !query.trim();
});
