"""Take the README's pictures ``images/1.png`` to ``4.png`` from the running page.

Uses the system's Chromium by Playwright: ``apt-get install chromium``.
"""

import shutil
import sys
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from tools.page_server import serve
from utils.download_handle_data import ROOT

IMAGES = ROOT / "images"
WIDE = {"width": 1100, "height": 900}


def find_chromium():
    """Return the path (str) of the system's Chromium, None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def open_page(url, *, ready="#answer .answer", **options):
    """Open `url` in a headless Chromium and yield the page once the element `ready` is there.

    `options` are those of a browser context: the viewport and the like.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = browser.new_context(**options).new_page()
        page.goto(url)
        if ready:
            page.wait_for_selector(ready)
        yield page
        browser.close()


def upload(page, path):
    """Upload the picture at `path`, as a person would, and wait until it is answered."""
    before = page.inner_text("#answer")
    page.set_input_files("#picture input[type=file]", path)
    page.wait_for_function(
        "before => document.querySelector('#answer').innerText.trim() !== before.trim()",
        arg=before,
    )
    page.wait_for_selector("#chart .bars .point")


if __name__ == "__main__":
    if find_chromium() is None:
        sys.exit("no Chromium here: apt-get install chromium")
    with serve() as (url, _), open_page(url, viewport=WIDE) as page:
        page.screenshot(path=IMAGES / "1.png", full_page=True)
        for number, name in ((2, "1_deer"), (3, "2_automobile")):
            upload(page, IMAGES / "examples" / f"{name}.png")
            page.wait_for_timeout(1000)  # the chart's animation
            page.screenshot(path=IMAGES / f"{number}.png", full_page=True)
            page.get_by_role("button", name="Clear", exact=True).click()
            page.wait_for_selector("text=Choose a picture: upload")
    shutil.copyfile(IMAGES / "confusion_matrix.png", IMAGES / "4.png")
