// Claims that contain every word of the query, in either language, in their ids, sentences or names.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const query = new URLSearchParams(location.search).get("q") ?? "";
  for (const input of document.querySelectorAll(".sidebar-search")) input.value = query;
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return;
  const section = document.getElementById("claim-results");
  const list = section.querySelector("ul");
  for (const [id, page, number, verdict, simulated, says, saysZh, ...rest] of CLAIMS) {
    const text = [id, says, saysZh, ...rest].join("\n").toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    const item = document.createElement("li");
    item.className = `claim-line ${verdict.replace(" ", "-")}${simulated ? " simulated" : ""}`;
    const link = document.createElement("a");
    link.href = `${page}#${id}`;
    for (const [name, sentence] of [["en", says], ["zh", saysZh]]) {
      const span = document.createElement("span");
      span.className = `lang-${name}`;
      span.lang = name;
      span.textContent = sentence.replace(/[`$]/g, "");
      link.append(span);
    }
    const where = document.createElement("small");
    where.textContent = ` ${number} · ${id}`;
    item.append(link, where);
    list.append(item);
  }
  section.hidden = !list.children.length;
});
