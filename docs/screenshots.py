"""Take the README's pictures of the built site: ``python docs/screenshots.py docs/_build``."""

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
VIEWS = {  # picture: page, and the reader's settings
    "start.png": ("index.html", {"locale": "en-GB"}),
    "chapter.png": ("ch2_1.html#linspace-divides-evenly", {"locale": "en-GB"}),
    "chapter-zh-dark.png": ("ch2_1.html#linspace-divides-evenly", {"locale": "zh-CN", "color_scheme": "dark"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.replace("``", ""))
    parser.add_argument("site", type=Path, help="the folder that sphinx-build wrote")
    site = parser.parse_args().site.resolve()
    if not (site / "index.html").is_file():
        parser.error(f"{site} holds no index.html; build the site first: sphinx-build -W -n docs {site}")
    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not browser_path:
        parser.error("no chromium on the PATH; install it, or name it in the environment variable CHROMIUM")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=browser_path, args=options)
        for picture, (page, settings) in VIEWS.items():
            window = browser.new_page(viewport={"width": 1280, "height": 800}, **settings)
            window.goto(f"{site.as_uri()}/{page}")
            window.screenshot(path=IMAGES / picture)
        browser.close()


if __name__ == "__main__":
    main()
