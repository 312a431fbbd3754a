// The reader's language, before the page is drawn: the remembered one, or else the browser's.
"use strict";
const language = {
  get() {
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
