"""The page as a person sees it, in a headless Chromium."""

import base64
import csv
import io
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from test_picture_input import png_of_size

from tools.take_screenshots import clear, find_chromium, open_page, upload
from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.serving.classifier import classify, load_models
from utils.serving.picture_input import prepare

EXAMPLES = ROOT / "images" / "examples"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}
NARROW = {"viewport": {"width": 760, "height": 900}}  # Gradio has one column below 768

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium here: apt-get install chromium"
)


@pytest.fixture
def browser_page(page):
    with open_page(page.url, viewport={"width": 1100, "height": 900}) as opened:
        yield opened


def choose_file(opened, path, place="picture"):
    opened.set_input_files(f"#{place} input[type=file]", path)


@pytest.fixture(scope="module")
def deer():
    return answer_to("1_deer")


@pytest.fixture(scope="module")
def car():
    return answer_to("2_automobile")


@pytest.fixture(scope="module")
def cat():
    """The answer to a picture that is no square."""
    return answer_to("3_cat")


def answer_to(example):
    classifier = load_models()[0][0]
    return classify(prepare(EXAMPLES / f"{example}.png", (32, 32)), classifier)


def shows(opened, answer):
    said = answer.label if answer.trusted else "Probably none of the ten"
    is_named = answer.label in opened.inner_text("#answer")  # also as what comes nearest
    return is_named and opened.inner_text("#answer b") == said


@pytest.mark.parametrize("options", [{}, NARROW, PHONE], ids=["wide", "narrow", "phone"])
def test_a_picture_gets_its_label_its_chart_and_what_the_model_sees(page, deer, options):
    with open_page(page.url, **options) as opened:
        upload(opened, EXAMPLES / "1_deer.png")
        assert shows(opened, deer)
        names = opened.eval_on_selector_all(
            "#chart .ytick text", "texts => texts.map(t => t.textContent.trim())"
        )
        assert sorted(names) == list(CLASS_NAMES)
        left_edges = opened.eval_on_selector_all(
            "#chart .ytick text", "texts => texts.map(t => t.getBoundingClientRect().left)"
        )
        frame = opened.locator("#chart").bounding_box()
        assert min(left_edges) >= frame["x"]
        opened.hover("#chart")
        buttons = opened.locator("#chart .modebar").bounding_box()
        first = opened.locator("#chart .ytick text", has_text="airplane").bounding_box()
        assert buttons["y"] + buttons["height"] <= first["y"]
        colours = opened.eval_on_selector_all(
            "#chart .bars .point path", "bars => bars.map(b => getComputedStyle(b).fill)"
        )
        assert len(colours) == 10
        assert [colours.count(colour) for colour in set(colours)] in ([1, 9], [9, 1])
        sizes = opened.eval_on_selector_all(
            "#seen img", "images => images.map(i => [i.naturalWidth, i.clientWidth])"
        )
        assert sizes == [[32, 32], [32, 160]]
        width = opened.evaluate("document.documentElement.scrollWidth")
        assert width <= opened.viewport_size["width"]
        tops = [opened.locator(f"#{i}").bounding_box()["y"] for i in ("answer", "seen", "examples")]
        assert tops[0] < min(tops[1:])  # nobody has to scroll past the examples to the answer
        assert not options or tops[1] < tops[2]
        widths = [opened.locator(f"#{i}").bounding_box()["width"] for i in ("picture", "examples")]
        assert widths[0] == widths[1]


def test_nothing_is_asked_of_the_internet_that_the_page_needs(page, car):
    """With every other host out of reach the page works all the same."""
    with open_page("about:blank", ready=None) as opened:
        opened.route(
            "**/*",
            lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort(),
        )
        opened.goto(page.url)
        opened.wait_for_selector("#answer .answer")
        upload(opened, EXAMPLES / "2_automobile.png")
        assert shows(opened, car)


def test_bad_files_get_one_friendly_sentence_and_the_page_works_on(browser_page, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    bad = {
        "text.png": (b"some text", "not a picture"),
        "empty.png": (b"", "empty"),
        "cut.png": (content[: len(content) // 2], "damaged or cut off"),
        "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG"),
        "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(50), "not a picture"),
        "huge.png": (png_of_size(10_000, 10_000), "megapixels"),
        "heavy.png": (content + bytes(5 * 2**20), "more than 5 MB"),
        "notes.txt": (b"some text", "not a picture"),
    }
    for name, (content, said) in bad.items():
        (tmp_path / name).write_bytes(content)
        choose_file(browser_page, tmp_path / name)
        browser_page.wait_for_function(
            "said => (document.querySelector('#answer').innerText"
            " + document.querySelector('#notice').innerText).includes(said)",
            arg=said,
        )
        text = browser_page.inner_text("body")
        assert "Error" not in text, name
        assert "Traceback" not in text, name
        if said in browser_page.inner_text("#answer"):  # else the page has not taken it
            clear(browser_page)
    upload(browser_page, EXAMPLES / "1_deer.png")
    assert browser_page.inner_text("#notice").strip() == ""
    clear(browser_page)
    assert browser_page.locator("#chart .bars").count() == 0


def test_of_an_animation_the_first_frame_is_answered(browser_page, deer, car, tmp_path):
    first, second = (Image.open(EXAMPLES / f"{name}.png") for name in ("1_deer", "2_automobile"))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second], duration=100)
    upload(browser_page, tmp_path / "a.gif")
    assert shows(browser_page, deer)
    assert not shows(browser_page, car)


@pytest.mark.parametrize("way", ["button", "keys"])
def test_a_picture_can_be_pasted(page, deer, way):
    data = base64.b64encode((EXAMPLES / "1_deer.png").read_bytes()).decode()
    with open_page(page.url, permissions=["clipboard-read", "clipboard-write"]) as opened:
        opened.evaluate(
            """async data => {
                const picture = await (await fetch('data:image/png;base64,' + data)).blob();
                await navigator.clipboard.write([new ClipboardItem({'image/png': picture})]);
            }""",
            data,
        )
        if way == "button":
            opened.get_by_label("Paste from clipboard").click()
        else:
            opened.keyboard.press("Control+v")
        opened.wait_for_selector("#answer b")
        assert shows(opened, deer)


def test_a_picture_can_be_taken_by_the_camera(page):
    with open_page(page.url, permissions=["camera"]) as opened:
        opened.get_by_label("Capture from camera").click()
        opened.get_by_text("Click to Access Webcam").click()
        opened.wait_for_function("document.querySelector('video')?.videoWidth > 0")
        opened.get_by_label("capture photo").click()
        opened.wait_for_selector("#seen img")
        assert opened.locator("#answer b").count() == 1


def test_an_example_is_a_click_away(browser_page, cat, tmp_path):
    browser_page.locator(".gallery-item").nth(2).click()
    browser_page.wait_for_selector("#answer b")
    assert shows(browser_page, cat)
    seen = browser_page.locator("#seen img").first.get_attribute("src")
    with Image.open(io.BytesIO(base64.b64decode(seen.partition(",")[2]))) as image:
        np.testing.assert_array_equal(image, cat.picture.pixels)  # cut to a square, not squeezed
    clear(browser_page)
    (tmp_path / "text.png").write_bytes(b"some text")  # uploads are read as before
    choose_file(browser_page, tmp_path / "text.png")
    browser_page.wait_for_function(
        "document.querySelector('#answer').innerText.includes('not a picture')"
    )


def test_several_pictures_become_a_table_and_a_csv(page, deer, car, tmp_path):
    (tmp_path / "text.png").write_bytes(b"some text")
    chosen = [EXAMPLES / "1_deer.png", tmp_path / "text.png", EXAMPLES / "2_automobile.png"]
    with open_page(page.url, **PHONE) as opened:
        opened.get_by_role("tab", name="Several pictures").click()
        choose_file(opened, chosen, "several")
        link = opened.wait_for_selector("#several_answer a").get_attribute("href")
        shown = opened.inner_text("#several_answer")
        cells = opened.eval_on_selector_all(
            "#several_answer td", "cells => cells.map(c => c.getBoundingClientRect().right)"
        )
        assert max(cells) <= 390
    rows = list(csv.DictReader(io.StringIO(unquote(link.partition(",")[2]))))
    assert [row["file"] for row in rows] == [path.name for path in chosen]
    assert [row["class"] for row in rows] == [deer.label, "", car.label]
    assert "not a picture" in rows[1]["note"]
    assert sum(float(rows[0][name]) for name in CLASS_NAMES) == pytest.approx(100, abs=0.1)
    assert all(path.name in shown for path in chosen)
    assert shown.count("not a picture") == 1


def test_a_part_can_be_chosen_and_the_answer_says_which(page):
    with open_page(page.url, **PHONE) as opened:
        upload(opened, EXAMPLES / "3_cat.png")
        assert "of the middle square" in opened.inner_text("#seen")
        opened.get_by_text("Look at a part of it").click()
        opened.locator("#size input[type=range]").fill("40")
        opened.wait_for_function(
            "document.querySelector('#seen').innerText.includes('its side 40 %')"
        )
        frame = opened.locator("#seen .whole i").bounding_box()
        whole = opened.locator("#seen .whole img").bounding_box()
        assert frame["width"] == pytest.approx(frame["height"], abs=1)
        assert frame["height"] / whole["height"] == pytest.approx(0.4, abs=0.02)
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("suffix", ["heic", "tif"])
def test_what_a_browser_can_not_show_is_shown_all_the_same(browser_page, tmp_path, suffix):
    Image.new("RGB", (60, 40), "red").save(tmp_path / f"a.{suffix}")
    upload(browser_page, tmp_path / f"a.{suffix}")
    size = browser_page.eval_on_selector("#seen .whole img", "i => [i.naturalWidth, i.clientWidth]")
    assert size == [60, 60]
