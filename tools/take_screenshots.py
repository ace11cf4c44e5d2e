"""Take the README's pictures ``images/1.png`` to ``4.png`` from the running page.

Uses the system's Chromium by Playwright: ``apt-get install chromium``.
"""

import shutil
import sys
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from tools.page_server import serve
from utils.base.cifar10 import CLASS_NAMES, DATA_DIRECTORY, ROOT, picture_paths
from utils.pipeline.names_file import read_names_file

IMAGES = ROOT / "images"
WIDE = {"width": 1100, "height": 900}
# Root may not use the sandbox; the camera is a drawn one, which may be used without asking.
CHROMIUM = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

EXAMPLES_ARE_THERE = """() => {
    const pictures = [...document.querySelectorAll('#examples img')];
    return pictures.length > 0 && pictures.every(picture => picture.naturalWidth > 0);
}"""


def find_chromium():
    """Return the path (str) of the system's Chromium, None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def open_page(url, *, ready="#answer .answer", **options):
    """Open `url` in a headless Chromium and yield the page once the element `ready` is there.

    `options` are those of a browser context: the viewport and the like.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM)
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(120_000)  # milliseconds; on busy cores the usual 30 s are few
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


def clear(page):
    """Press the Clear button, and wait until the answer is gone."""
    page.get_by_role("button", name="Clear", exact=True).click()
    page.wait_for_selector("text=Choose a picture: upload")


def upload_recognised(page, name):
    """Upload pictures of the class `name` until one is answered by it.

    The shipped example comes first, then test pictures where there is converted data.
    """
    for path in pictures_of(name):
        upload(page, path)
        if page.inner_text("#answer").split()[0] == name:
            return
        clear(page)
    sys.exit(f"the model calls no picture {name}; convert the data, for test pictures to choose of")


def pictures_of(name):
    """Return paths (list) of the example of the class `name` and of up to 20 test pictures."""
    examples = sorted((IMAGES / "examples").glob(f"*_{name}.png"))
    names_file = DATA_DIRECTORY / "test_names.txt"
    if not names_file.is_file():
        return examples
    label = CLASS_NAMES.index(name)
    names = [file for _, file, found in read_names_file(names_file) if found == label][:20]
    return examples + picture_paths(names, [label] * len(names))


if __name__ == "__main__":
    if find_chromium() is None:
        sys.exit("no Chromium here: apt-get install chromium")
    with serve() as (url, _), open_page(url, viewport=WIDE) as page:
        page.wait_for_function(EXAMPLES_ARE_THERE)
        page.screenshot(path=IMAGES / "1.png", full_page=True)
        for number, name in ((2, "deer"), (3, "automobile")):
            upload_recognised(page, name)
            page.wait_for_timeout(1000)  # the chart's animation
            page.screenshot(path=IMAGES / f"{number}.png", full_page=True)
            clear(page)
    shutil.copyfile(IMAGES / "confusion_matrix.png", IMAGES / "4.png")
