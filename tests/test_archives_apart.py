"""Pictures and answers of one archive are never taken for those of another."""

import shutil

import pytest

from utils.archive.fetch import explain
from utils.archive.members import TEST_BATCH
from utils.base.files import sha256_of
from utils.download_handle_data import (
    ConvertDataToImages,
    archive_is_available,
    download_data,
    extract_cifar10_data,
)
from utils.load_patchs import read_image_labels


def test_pictures_of_another_archive_are_refused_and_nothing_is_mixed(
    sample_batches, other_archive, tmp_path
):
    other = extract_cifar10_data(tmp_path / "other", archive=other_archive)
    names = tmp_path / "names.txt"
    converter = ConvertDataToImages(images_directory=tmp_path / "images")
    converter.run(sample_batches / TEST_BATCH, names, 1)
    before = names.read_text()
    with pytest.raises(ValueError, match=r"images: has the pictures of another archive, of SHA"):
        converter.run(other / TEST_BATCH, names, 1)
    assert names.read_text() == before
    converter.run(sample_batches / TEST_BATCH, names, 1)
    ConvertDataToImages(images_directory=tmp_path / "apart").run(
        other / TEST_BATCH, tmp_path / "apart.txt", 1
    )


def test_another_url_is_fetched_although_a_sound_archive_lies_there(
    server, archive_bytes, other_archive, data_directory
):
    first = server.add("/a.tar.gz", archive_bytes)
    second = server.add("/b.tar.gz", other_archive.read_bytes())
    download_data(first)
    kept = download_data(second)
    assert sha256_of(kept) == sha256_of(other_archive)
    download_data(second)
    assert [path for path, _ in server.requests] == ["/a.tar.gz", "/b.tar.gz"]


def test_extracted_batches_are_taken_instead_of_an_archive(sample_batches, tmp_path):
    folder = tmp_path / "input" / sample_batches.name
    shutil.copytree(sample_batches, folder)
    (folder / "extracted.json").unlink()
    (folder / "readme.html").unlink()
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.parent.rglob("*"))
    for given in (folder, folder.parent):
        assert download_data(given) == folder
        assert extract_cifar10_data(tmp_path / "out", archive=given) == folder
    ConvertDataToImages(images_directory=tmp_path / "i").run(folder / TEST_BATCH, tmp_path / "n", 1)
    after = sorted((path, path.stat().st_mtime_ns) for path in folder.parent.rglob("*"))
    assert after == before  # an input folder may be read-only
    with pytest.raises(FileNotFoundError, match=r"It is a folder, in which batches.meta"):
        extract_cifar10_data(tmp_path, archive=tmp_path)


def test_a_cache_in_a_file_is_made_anew_for_changed_pictures(numbered, tmp_path, data_directory):
    def pixels():
        batches = read_image_labels(numbered, 12, (4, 4), cache=tmp_path / "cache")
        return next(iter(batches))[0].numpy()

    before = pixels()
    picture = data_directory / "images" / "automobile" / "1.png"
    other = data_directory / "images" / "bird" / "2.png"
    picture.write_bytes(other.read_bytes())
    after = pixels()
    assert (before[1] != after[1]).all()
    assert (after[1] == after[2]).all()


def test_home_is_found(sample_archive, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shutil.copy(sample_archive, tmp_path / "own.tar.gz")
    assert download_data("~/own.tar.gz", directory="~/kept").parent == tmp_path / "kept"
    folder = extract_cifar10_data("~/out", archive="~/own.tar.gz")
    assert folder.parent == tmp_path / "out"


# ---- why no source answers


def test_what_each_source_said_is_printed(server, refused_url, capsys):
    urls = {
        server.add("/gone", status=404): "HTTP 404",
        server.add("/portal", b"<html>", headers={"Content-Type": "text/html"}): "a web page",
        server.add("/proxy", status=407): "HTTP 407",
        refused_url: "refused",
    }
    for url, words in urls.items():
        assert not archive_is_available(url, seconds=5)
        printed = capsys.readouterr().out
        assert f"{url}: " in printed
        assert words in printed


def test_a_socks_proxy_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert not archive_is_available("https://example.invalid/a.tar.gz", seconds=5)
    printed = capsys.readouterr().out
    assert "requests[socks]" in printed or "SOCKS" in printed


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", "REQUESTS_CA_BUNDLE="),
        ("Tunnel connection failed: 407 Proxy Authentication Required", "HTTPS_PROXY: http://name"),
        ("Missing dependencies for SOCKS support.", "pip install 'requests[socks]'"),
        ("something else", "something else"),
    ],
)
def test_known_obstacles_come_with_their_remedy(said, remedy):
    assert remedy in explain(OSError(said))
