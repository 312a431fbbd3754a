// Claims that contain every word of the query, in either language, in their ids, sentences or names.
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
document.addEventListener("DOMContentLoaded", () => {
  const query = new URLSearchParams(location.search).get("q") ?? "";
  for (const input of document.querySelectorAll(".sidebar-search")) input.value = query;
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return;
  const section = document.getElementById("claim-results");
  const list = section.querySelector("ul");
  for (const [id, page, number, verdict, simulated, html, htmlZh, ...texts] of CLAIMS) {
    const text = [id, ...texts].join("\n").toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    const item = document.createElement("li");
    item.className = `claim-line ${verdict.replace(" ", "-")}${simulated ? " simulated" : ""}`;
    const link = document.createElement("a");
    link.href = `${page}#${id}`;
    for (const [name, sentence] of [["en", html], ["zh", htmlZh]]) {
      const span = document.createElement("span");
      span.className = `lang-${name}`;
      span.lang = name;
      span.innerHTML = sentence;
      link.append(span);
    }
    const where = document.createElement("small");
    where.textContent = ` ${number} · ${id}`;
    item.append(link, where);
    list.append(item);
  }
  section.hidden = !list.children.length;
});
