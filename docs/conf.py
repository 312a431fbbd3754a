"""The site: `sphinx-build -W -n docs docs/_build`, from the stored runs alone; it needs no torch."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent / "tests")]  # the harness reads register and tests

project = html_title = "PyTorch's fundamentals, executed"
extensions = [
    "myst_parser",
    "sphinx_copybutton",
    "languages",
    "formulas",
    "claims",
    "indexes",
    "finder",
    "pictures",
    "plots",
]
exclude_patterns = ["_build", "README.zh.md"]  # the latter is read where the code is
nitpicky = True

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
smartquotes = False  # would change quotes in Chinese text

html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}
html_static_path = ["_static"]
html_css_files = ["site.css", "claims.css"]
html_js_files = ["site.js"]
templates_path = ["_templates"]
SIDEBAR = ("scroll-start", "brand", "language", "search", "navigation", "sections", "scroll-end")
html_sidebars = {"**": [f"sidebar/{part}.html" for part in SIDEBAR]}
html_math_renderer = "mathml"
html_search_language = "en-zh"
html_show_search_summary = False  # would fetch pages, which a browser refuses to do from files
html_use_index = False
html_copy_source = False
html_show_copyright = False
html_permalinks_icon = "#"
pygments_style = "github-light-high-contrast"  # readable at a contrast of 4.5 and more, as is the dark one
pygments_dark_style = "github-dark-high-contrast"
copybutton_selector = "div.highlight-sh pre, div.claim-run pre, div.highlight-python pre"
