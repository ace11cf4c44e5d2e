"""Names files: what is read, what is refused with file and line, and how one is split."""

from collections import Counter

import pytest

from utils.pipeline.names_file import read_names_file, split_names_file

CLASSES = 10


@pytest.fixture
def names_file(tmp_path):
    """Function that writes bytes or text, as they are, to a names file."""

    def write(content):
        path = tmp_path / "names.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        "cat.png 3\nship.png 8\n",
        "cat.png 3\nship.png 8",
        "cat.png 3\r\nship.png 8\r\n",
        b"\xef\xbb\xbfcat.png 3\nship.png 8",
        b"\xef\xbb\xbfcat.png 3\r\nship.png 8\r\n",
        "  cat.png   3 \nship.png 8\t\n",
    ],
    ids=["newline at the end", "none at the end", "CRLF", "BOM", "BOM and CRLF", "spaces"],
)
def test_names_and_labels_come_with_their_line_numbers(names_file, content):
    assert read_names_file(names_file(content)) == [(1, "cat.png", 3), (2, "ship.png", 8)]


def test_blank_lines_are_skipped_but_counted(names_file):
    path = names_file("\n\ncat.png 3\n   \n\r\nship.png 8\n\n")
    assert read_names_file(path) == [(3, "cat.png", 3), (6, "ship.png", 8)]


@pytest.mark.parametrize("name", ["a cat.png", "Katze-ä.png", "..cat.png", "cat", "7 7.png"])
def test_a_name_may_have_spaces_dots_and_accents(names_file, name):
    assert read_names_file(names_file(f"{name} 0\n")) == [(1, name, 0)]


@pytest.mark.parametrize("label", range(CLASSES))
def test_every_label_is_known(names_file, label):
    assert read_names_file(names_file(f"x.png {label}")) == [(1, "x.png", label)]


@pytest.mark.parametrize(
    "line",
    [
        "cat.png",
        "3",
        " 3",
        "cat.png 10",
        "cat.png -1",
        "cat.png 1.0",
        "cat.png cat",
        "cat.png ٣",
        "cat.png ²",
        "cat.png 03",
        "cat.png\t3",
        "cat.png 3 # tabby",
    ],
)
def test_a_malformed_line_is_named(names_file, line):
    path = names_file(f"dog.png 5\n\n{line}\nship.png 8\n")
    with pytest.raises(ValueError, match="<file name> <label index>") as caught:
        read_names_file(path)
    assert f"{path}, line 3: " in str(caught.value)
    assert repr(line.strip()) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "../cat.png",
        "/cat.png",
        "a\\cat.png",
        "a/b",
        "..",
        ".",
        "a\0b",
        "CON",
        "aux.png",
        "a\x85b",
        "a\tb",
    ],
)
def test_a_name_that_is_a_path_is_refused(names_file, name):
    path = names_file(f"dog.png 5\n{name} 3\n")
    with pytest.raises(ValueError, match="plain file name") as caught:
        read_names_file(path)
    assert f"{path}, line 2: {name!r}" in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n\n", " \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(names_file, content):
    path = names_file(content)
    with pytest.raises(ValueError, match="empty") as caught:
        read_names_file(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_text_is_refused(names_file):
    path = names_file(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(ValueError, match="UTF-8") as caught:
        read_names_file(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("place", ["missing.txt", "."])
def test_a_missing_file_is_named(tmp_path, place):
    with pytest.raises(FileNotFoundError, match="no such names file") as caught:
        read_names_file(tmp_path / place)
    assert str(tmp_path / place) in str(caught.value)


# ---- split_names_file


@pytest.fixture
def split(tmp_path, names_file):
    """Function that splits 20 pictures a class, and returns both parts as lists of lines."""
    path = names_file("\n".join(f"picture_{i}.png {i % CLASSES}" for i in range(200)))

    def run(name="", **options):
        places = tmp_path / f"train{name}.txt", tmp_path / f"validation{name}.txt"
        split_names_file(path, *places, **options)
        return [place.read_text(encoding="utf-8").split("\n") for place in places]

    return run


@pytest.mark.parametrize("size", [50, 0.25])
def test_both_parts_have_the_same_share_of_every_class(split, size):
    train, validation = split(validation_size=size)
    for part, expected in ((train, 15), (validation, 5)):
        counts = Counter(line.split()[1] for line in part)
        assert counts == {str(label): expected for label in range(CLASSES)}


def test_parts_are_disjoint_and_complete(split, tmp_path):
    train, validation = split(validation_size=50)
    assert sorted(train + validation) == sorted((tmp_path / "names.txt").read_text().split("\n"))


def test_the_seed_decides_the_split(split):
    one = split(validation_size=50, seed=1)
    assert split(validation_size=50, seed=1) == one
    assert set(split(validation_size=50, seed=2)[1]) != set(one[1])


def test_a_smaller_validation_part_is_among_a_larger_one(split):
    assert set(split(validation_size=20)[1]) < set(split(validation_size=50)[1])


def test_5000_pictures_and_seed_0_are_the_default(tmp_path, names_file):
    path = names_file("\n".join(f"a picture {i}.png {i % CLASSES}" for i in range(6000)))
    parts = [tmp_path / f"{number}.txt" for number in range(4)]
    split_names_file(path, *parts[:2])
    split_names_file(path, *parts[2:], validation_size=5000, seed=0)
    assert parts[1].read_bytes() == parts[3].read_bytes()
    assert Counter(label for _, _, label in read_names_file(parts[1])) == dict.fromkeys(
        range(CLASSES), 500
    )


def test_parts_are_names_files(split, tmp_path):
    train, _ = split(validation_size=50)
    lines = read_names_file(tmp_path / "train.txt")
    assert [f"{name} {label}" for _, name, label in lines] == train


@pytest.mark.parametrize("size", [5, 195, 200, 5000, 0, 1.5])
def test_a_split_that_leaves_a_class_out_is_refused_and_writes_nothing(split, tmp_path, size):
    with pytest.raises(ValueError, match="_size"):
        split(validation_size=size)
    assert [path.name for path in tmp_path.iterdir()] == ["names.txt"]


@pytest.mark.parametrize(
    "places", [("a.txt", "a.txt"), ("names.txt", "a.txt"), ("a.txt", "./a.txt")]
)
def test_parts_that_would_replace_each_other_or_the_whole_are_refused(tmp_path, names_file, places):
    path = names_file("\n".join(f"{i}.png {i % CLASSES}" for i in range(200)))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="two of them are the same file; give each part one of"):
        split_names_file(path, *(tmp_path / place for place in places), validation_size=50)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["names.txt"]
