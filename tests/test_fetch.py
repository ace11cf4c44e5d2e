"""The download, against a small server on this machine that counts what it is asked."""

import select
import socket
import ssl
import threading
from types import SimpleNamespace

import pytest
import trustme
from conftest import FileServer

from utils.archive import fetch as module
from utils.archive.fetch import ATTEMPTS, any_source_answers, fetch

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "new folder" / "archive.tar.gz"


@pytest.fixture
def part(destination):
    destination.parent.mkdir()
    return destination.with_name("archive.tar.gz.part")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1000)


def check(path):
    if path.read_bytes() != CONTENT:
        raise ValueError("the content is wrong")


def ranges_of(server):
    return [wanted for _, wanted in server.requests]


def assert_only_file_is(destination):
    assert destination.read_bytes() == CONTENT
    assert list(destination.parent.iterdir()) == [destination]


def assert_no_file(destination):
    assert list(destination.parent.iterdir()) == []


# ---- one source


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_file_arrives_with_one_request(server, destination, length, size):
    fetch([server.add("/a", CONTENT, length=length)], destination, check, size=size)
    assert_only_file_is(destination)
    assert ranges_of(server) == [None]


def test_nothing_has_the_final_name_while_the_content_is_checked(server, destination):
    def see(path):
        check(path)
        assert path != destination
        assert not destination.exists()

    fetch([server.add("/a", CONTENT)], destination, see)
    assert_only_file_is(destination)


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_part_file_is_resumed(server, destination, part, length, size):
    part.write_bytes(CONTENT[:3000])
    fetch([server.add("/a", CONTENT, length=length)], destination, check, size=size)
    assert_only_file_is(destination)
    assert ranges_of(server) == ["bytes=3000-"]


def test_server_that_ignores_the_range_starts_over(server, destination, part):
    part.write_bytes(CONTENT[:3000])
    fetch([server.add("/a", CONTENT, ranges=False)], destination, check)
    assert_only_file_is(destination)
    assert ranges_of(server) == ["bytes=3000-"]


def test_another_range_than_the_asked_is_never_appended(server, destination, part):
    part.write_bytes(CONTENT[:3000])
    wrong = {"Content-Range": f"bytes 2000-{len(CONTENT) - 1}/{len(CONTENT)}"}
    url = server.add("/a", CONTENT[2000:], status=206, headers=wrong)
    with pytest.raises(ConnectionError, match="the content is wrong"):
        fetch([url], destination, check)
    assert_no_file(destination)


@pytest.mark.parametrize(("status", "start"), [(206, 0), (200, 3000)])
def test_whole_file_in_spite_of_the_range_starts_over(server, destination, part, status, start):
    part.write_bytes(CONTENT[:3000])
    headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"}
    url = server.add("/a", CONTENT, status=status, headers=headers, ranges=False)
    fetch([url], destination, check)
    assert_only_file_is(destination)


def test_range_past_the_end_starts_over(server, destination, part):
    part.write_bytes(bytes(len(CONTENT)))
    fetch([server.add("/a", CONTENT)], destination, check)
    assert_only_file_is(destination)
    assert ranges_of(server) == [f"bytes={len(CONTENT)}-", None]


def test_part_file_longer_than_the_known_size_starts_over(server, destination, part):
    part.write_bytes(CONTENT + b"more")
    fetch([server.add("/a", CONTENT)], destination, check, size=len(CONTENT))
    assert_only_file_is(destination)
    assert ranges_of(server) == [None]


def test_finished_part_file_is_only_checked(server, destination, part):
    part.write_bytes(CONTENT)
    fetch([server.add("/a", CONTENT)], destination, check, size=len(CONTENT))
    assert_only_file_is(destination)
    assert server.requests == []


@pytest.mark.parametrize(("length", "size"), [(True, None), (False, len(CONTENT))])
def test_lost_connection_is_resumed_where_it_broke(server, destination, length, size):
    server.add("/a", CONTENT, cut=4500, length=length)
    fetch([server.add("/a", CONTENT, length=length)], destination, check, size=size)
    assert_only_file_is(destination)
    first, second = ranges_of(server)
    assert first is None
    assert second in ("bytes=4000-", "bytes=4500-")


def test_connection_that_is_always_lost_ends_and_keeps_the_part_file(server, destination):
    url = server.add("/a", CONTENT, ranges=False, cut=4500)
    with pytest.raises(ConnectionError, match=url):
        fetch([url], destination, check)
    assert len(server.requests) == ATTEMPTS
    assert not destination.exists()
    [part] = destination.parent.iterdir()
    assert part.read_bytes() == CONTENT[: part.stat().st_size]
    assert part.stat().st_size >= 4000


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_passing_failure_is_tried_again(server, destination, status):
    server.add("/a", status=status)
    fetch([server.add("/a", CONTENT)], destination, check)
    assert_only_file_is(destination)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_final_failure_is_not_tried_again(server, destination, status):
    url = server.add("/a", status=status)
    with pytest.raises(ConnectionError, match=f"{url}: HTTP {status}") as caught:
        fetch([url], destination, check)
    assert len(server.requests) == 1
    assert f"put it at {destination}" in str(caught.value)
    assert_no_file(destination)


@pytest.mark.parametrize("status", [500, 503])
def test_attempts_are_bounded_and_wait_longer_each_time(server, destination, pauses, status):
    with pytest.raises(ConnectionError, match=str(status)):
        fetch([server.add("/a", status=status)], destination, check)
    assert len(server.requests) == ATTEMPTS
    assert pauses == [1.0, 2.0, 4.0]


@pytest.fixture
def pauses(monkeypatch):
    """The seconds of each pause; none is really made."""
    pauses = []
    monkeypatch.setattr(module, "PAUSE", 1.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=pauses.append))
    return pauses


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("7", 7),
        ("100000", 60),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 60),
        ("soon", 1),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_pause_that_the_source_asks_for_is_made(server, destination, pauses, status, asked, pause):
    server.add("/a", status=status, headers={"Retry-After": asked})
    fetch([server.add("/a", CONTENT)], destination, check)
    assert_only_file_is(destination)
    assert pauses == [pause]


def test_redirect_is_followed(server, destination):
    server.add("/a", CONTENT)
    fetch([server.add("/old", status=302, headers={"Location": "/a"})], destination, check)
    assert_only_file_is(destination)


def test_redirect_loop_ends(server, destination):
    url = server.add("/a", status=302, headers={"Location": "/a"})
    with pytest.raises(ConnectionError, match="redirects"):
        fetch([url], destination, check)
    assert len(server.requests) <= 31
    assert_no_file(destination)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure_server(server, authority):
    """The server behind a certificate for 127.0.0.1 that `authority` has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a refused certificate ends the connection
    return server


@pytest.fixture
def trust(authority, tmp_path, monkeypatch):
    """Let requests trust `authority`."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))


@pytest.mark.usefixtures("trust")
def test_good_certificate_is_accepted(secure_server, destination):
    url = secure_server.add("/a", CONTENT).replace("http:", "https:")
    fetch([url], destination, check)
    assert_only_file_is(destination)


def test_bad_certificate_is_refused_at_once_and_never_http(secure_server, destination, pauses):
    url = secure_server.add("/a", CONTENT).replace("http:", "https:")
    with pytest.raises(ConnectionError, match="certificate verify failed"):
        fetch([url], destination, check)
    assert secure_server.requests == []
    assert pauses == []
    assert_no_file(destination)


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize("location", ["http://127.0.0.1:{}/a", "HTTP://127.0.0.1:{}/a"])
def test_redirect_from_https_to_http_is_refused_before_it_is_followed(
    secure_server, destination, location
):
    with FileServer() as plain:
        target = {"Location": location.format(plain.server_port)}
        url = secure_server.add("/a", status=302, headers=target).replace("http:", "https:")
        with pytest.raises(ConnectionError, match="which is not https"):
            fetch([url], destination, check)
        assert not select.select([plain], [], [], 0)[0]  # nobody has knocked
    assert len(secure_server.requests) == 1
    assert_no_file(destination)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (HTML, "web page instead of an archive"),
        ({"Content-Encoding": "br"}, "as br"),
        ({"Content-Encoding": "gzip"}, "as gzip"),
    ],
)
def test_other_things_than_the_file_itself_are_refused(server, destination, headers, words):
    url = server.add("/a", CONTENT, headers=headers)
    with pytest.raises(ConnectionError, match=words):
        fetch([url], destination, check)
    assert len(server.requests) == 1
    assert_no_file(destination)


def test_wrong_content_is_asked_for_once_more_and_the_old_file_stays(server, destination, part):
    destination.write_bytes(b"old")
    with pytest.raises(ConnectionError, match="the content is wrong"):
        fetch([server.add("/a", b"of another file")], destination, check)
    assert destination.read_bytes() == b"old"
    assert not part.exists()
    assert ranges_of(server) == [None, None]


def test_part_of_another_file_does_not_spoil_the_source(server, destination, part):
    part.write_bytes(b"of another file")
    fetch([server.add("/a", CONTENT)], destination, check)
    assert_only_file_is(destination)
    assert ranges_of(server) == ["bytes=15-", None]


def test_short_body_of_unknown_length_is_asked_for_again(server, destination):
    server.add("/a", CONTENT, length=False, cut=4500)
    fetch([server.add("/a", CONTENT, length=False)], destination, check)
    assert_only_file_is(destination)
    assert ranges_of(server) == [None, None]


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [5000, None])
def test_source_that_sends_too_much_is_left_at_once(server, destination, monkeypatch, size, length):
    monkeypatch.setattr(module, "LARGEST", 5000)
    left = threading.Event()
    server.handle_error = lambda *_: left.set()  # its client goes away
    more = bytes(50 << 20)  # more than the buffers on the way hold
    url, good = server.add("/more", more, length=length), server.add("/good", CONTENT[:5000])
    seen = []
    fetch([url, good], destination, lambda part: seen.append(part.read_bytes()), size=size)
    assert seen == [CONTENT[:5000]]
    assert server.requests == [("/more", None), ("/good", None)]
    assert left.wait(10)
    with pytest.raises(ConnectionError, match="sends more than 5,000 bytes"):
        fetch([url], destination, check, size=size)
    assert list(destination.parent.iterdir()) == [destination]


def test_resumed_part_counts_for_the_largest_size(server, destination, part, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", len(CONTENT) - 1)
    part.write_bytes(CONTENT[:3000])
    with pytest.raises(ConnectionError, match="sends more than 10,239 bytes"):
        fetch([server.add("/a", CONTENT)], destination, check)
    assert_no_file(destination)


def test_stalled_connection_is_left_and_resumed(server, destination, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", (5, 0.2))
    server.add("/a", CONTENT, cut=4000, stall=True)
    fetch([server.add("/a", CONTENT)], destination, check)
    assert_only_file_is(destination)
    assert ranges_of(server) == [None, "bytes=4000-"]


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1/a", "http://127.0.0.1:port/a"])
def test_url_that_is_none_is_named(destination, url):
    with pytest.raises(ConnectionError, match=url):
        fetch([url], destination, check)


# ---- several sources


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404},
        {"status": 500},
        {"content": CONTENT, "headers": HTML},
        {"content": b"another file"},
        {"content": b""},
        {"content": CONTENT, "headers": {"Content-Length": "many"}, "length": False},
    ],
    ids=["missing", "broken", "web page", "another file", "empty", "nonsense"],
)
def test_next_source_is_used_after_a_bad_one(server, destination, answer):
    bad, good = server.add("/bad", **answer), server.add("/good", CONTENT)
    fetch([bad, good], destination, check)
    assert_only_file_is(destination)
    assert server.requests[-1] == ("/good", None)


def test_next_source_is_used_where_nobody_listens(server, destination, refused_url):
    fetch([refused_url, server.add("/good", CONTENT)], destination, check)
    assert_only_file_is(destination)


def test_resume_goes_on_at_the_next_source(server, destination, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    slow, good = server.add("/slow", CONTENT, cut=4000), server.add("/good", CONTENT)
    fetch([slow, good], destination, check)
    assert_only_file_is(destination)
    assert server.requests == [("/slow", None), ("/good", "bytes=4000-")]


def test_sources_after_the_first_good_one_are_not_asked(server, destination):
    fetch([server.add("/one", CONTENT), server.add("/two", CONTENT)], destination, check)
    assert server.requests == [("/one", None)]


def test_error_tells_what_each_source_answered(server, destination, refused_url):
    urls = [
        server.add("/lost", status=404),
        server.add("/page", CONTENT, headers=HTML),
        server.add("/other", b"another file"),
        refused_url,
    ]
    with pytest.raises(ConnectionError) as caught:
        fetch(urls, destination, check)
    lines = str(caught.value).splitlines()
    for url, words in zip(urls, ("HTTP 404", "web page", "content is wrong", ""), strict=True):
        [line] = [line for line in lines if line.strip().startswith(f"{url}: ")]
        assert words in line


# ---- any_source_answers


def test_one_answering_source_is_enough(server, refused_url):
    urls = [refused_url, server.add("/lost", status=404), server.add("/good", CONTENT)]
    assert any_source_answers(urls)


def test_failing_sources_do_not_answer(server, refused_url):
    urls = [refused_url, server.add("/lost", status=404), server.add("/broken", status=500)]
    assert not any_source_answers(urls)


def test_source_that_keeps_silent_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        assert not any_source_answers([url], seconds=0.2)
