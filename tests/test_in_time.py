import os
import signal
import time

import numpy as np
import pytest
from PIL import Image
from test_picture_input import PIXELS

from utils.serving import in_time
from utils.serving.in_time import prepare_in_time
from utils.serving.picture_input import Part, prepare


@pytest.fixture(autouse=True)
def helpers():
    """Processes that a test started end with it."""
    yield in_time._idle
    while in_time._idle:
        helper = in_time._idle.pop()
        helper.kill()
        helper.communicate()


@pytest.fixture
def slow(tmp_path):
    """A picture that is read by a process of its own."""
    Image.fromarray(PIXELS).save(tmp_path / "a.tif")
    return tmp_path / "a.tif"


@pytest.mark.parametrize("part", [Part(), Part(0.5, 0, 1)])
def test_a_process_of_its_own_gives_the_same_and_serves_again(slow, helpers, part):
    expected = prepare(slow, (32, 32), part)
    for _ in range(2):
        found = prepare_in_time(slow, (32, 32), part)
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        np.testing.assert_array_equal(found.overview, expected.overview)
        assert (found.part, found.frame) == (part, expected.frame)
        assert len(helpers) == 1


def test_small_pictures_of_the_web_need_no_process(tmp_path, helpers):
    for suffix in ("png", "jpg", "gif", "webp"):
        Image.fromarray(PIXELS).save(tmp_path / f"a.{suffix}")
        assert prepare_in_time(tmp_path / f"a.{suffix}", (32, 32)).pixels.shape == (32, 32, 3)
    assert helpers == []


def test_a_sentence_comes_through_and_the_process_serves_on(slow, tmp_path, helpers):
    (tmp_path / "text.tif").write_bytes(b"some text")
    with pytest.raises(ValueError, match="not a picture that can be read"):
        prepare_in_time(tmp_path / "text.tif", (32, 32))
    assert prepare_in_time(slow, (32, 32)).pixels.shape == (32, 32, 3)
    assert len(helpers) == 1


def test_a_picture_that_takes_too_long_is_given_up_and_the_next_is_read(slow, helpers, monkeypatch):
    prepare_in_time(slow, (32, 32))
    os.kill(helpers[0].pid, signal.SIGSTOP)  # as a decoder that never ends
    monkeypatch.setattr(in_time, "SECONDS", 0.2)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"can't be read within 0\.2 seconds"):
        prepare_in_time(slow, (32, 32))
    assert time.monotonic() - start < 5
    assert helpers == []
    monkeypatch.setattr(in_time, "SECONDS", 60)
    assert prepare_in_time(slow, (32, 32)).pixels.shape == (32, 32, 3)


def test_one_that_died_meanwhile_is_replaced(slow, helpers):
    prepare_in_time(slow, (32, 32))
    helpers[0].kill()
    helpers[0].wait()
    assert prepare_in_time(slow, (32, 32)).pixels.shape == (32, 32, 3)
