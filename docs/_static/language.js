// What the reader has chosen, before the page is drawn. The language: the address's (?lang=zh), the remembered one, or
// the browser's. Whether answers are hidden.
"use strict";
const language = {
  get() {
    const asked = new URLSearchParams(location.search).get("lang");
    if (asked === "en" || asked === "zh") return asked;
    try {
      const kept = localStorage.getItem("language");
      if (kept === "en" || kept === "zh") return kept;
    } catch { /* storage may be switched off */ }
    return navigator.language.startsWith("zh") ? "zh" : "en";
  },
  set(name) {
    document.documentElement.dataset.language = name;
    document.documentElement.lang = name;
  },
  keep(name) {
    try { localStorage.setItem("language", name); } catch { /* then it lasts for this page */ }
    this.set(name);
  },
};
language.set(language.get());
try {
  document.documentElement.toggleAttribute("data-predict", localStorage.getItem("predict") === "on");
} catch { /* then the answers are shown */ }
