// The language switch, and tests folded on narrow screens. Without this script both languages are shown.
"use strict";

function languageSwitch() {
  const button = document.createElement("button");
  button.className = "language-switch";
  button.type = "button";
  const label = () => {
    const chinese = document.documentElement.lang === "zh";
    button.textContent = chinese ? "English" : "中文";
    button.lang = chinese ? "en" : "zh";
  };
  button.addEventListener("click", () => {
    // What is being read stays in place, although the texts above it change their heights.
    const middle = document.elementsFromPoint(innerWidth / 2, innerHeight / 3).find((e) => e.matches("p, h1, h2, h3, li, .claim"));
    const block = middle?.closest(".claim, section");
    const before = block?.getBoundingClientRect().top;
    language.keep(document.documentElement.lang === "zh" ? "en" : "zh");
    if (block) scrollBy({ top: block.getBoundingClientRect().top - before, behavior: "instant" });
    document.dispatchEvent(new Event("language"));
  });
  document.addEventListener("language", label);
  label();
  return button;
}

// "Predict first": cards without verdict, truth and expected values, until their own button shows them.
function predictSwitch() {
  const button = document.createElement("button");
  button.className = "predict-switch";
  button.type = "button";
  const root = document.documentElement;
  const label = () => {
    const on = "predict" in root.dataset;
    button.setAttribute("aria-pressed", on);
    button.textContent = root.lang === "zh" ? (on ? "显示答案" : "先猜后看") : on ? "Show the answers" : "Hide the answers";
  };
  button.addEventListener("click", () => {
    root.toggleAttribute("data-predict");
    try { localStorage.setItem("predict", "predict" in root.dataset ? "on" : ""); } catch { /* then it lasts for this page */ }
    for (const card of document.querySelectorAll(".claim.revealed")) card.classList.remove("revealed");
    label();
  });
  document.addEventListener("language", label);
  label();
  return button;
}
for (const button of document.querySelectorAll(".claim .reveal")) {
  button.addEventListener("click", () => button.closest(".claim").classList.add("revealed"));
}

// What theme and Sphinx write in English alone, for readers of the other language. Elements keep their English beside it.
const LABELS = {
  "Skip to content": "跳到正文",
  "Toggle site navigation sidebar": "打开或关闭导航栏",
  "Toggle table of contents sidebar": "打开或关闭本页目录",
  "Toggle Light / Dark / Auto color theme": "切换浅色、深色或自动配色",
  "Link to this heading": "链接到这个标题",
  "Link to this code": "链接到这段代码",
  "Search": "搜索",
  "sections of this page": "本页各节",
  "previous and next page": "上一页与下一页",
  "stored runs": "存档的运行",
};
const labelled = [];
for (const element of document.querySelectorAll("[aria-label], [title]")) {
  for (const name of ["aria-label", "title"]) {
    const english = element.getAttribute(name);
    if (english in LABELS) labelled.push([(text) => element.setAttribute(name, text), english]);
  }
}
const skip = document.querySelector(".skip-to-content");
labelled.push([(text) => (skip.textContent = text), "Skip to content"]);
const relabel = () => {
  for (const [set, english] of labelled) set(document.documentElement.lang === "zh" ? LABELS[english] : english);
};
document.addEventListener("language", relabel);
relabel();

document.querySelector(".theme-toggle-header").before(languageSwitch());
if (document.querySelector(".claim")) document.querySelector(".language-place").append(predictSwitch());
document.querySelector(".language-place").append(languageSwitch());

if (matchMedia("(max-width: 46em)").matches) {
  for (const test of document.querySelectorAll(".claim-test[open]")) test.open = false;
}

// Whatever scrolls sideways can be reached, and scrolled, with the keyboard.
const reach = () => {
  for (const box of document.querySelectorAll("div.highlight > pre, div.math")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
};
addEventListener("load", reach);
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true);
document.addEventListener("language", reach);
