"""A published model's folder for Hugging Face: put together offline, metadata read back."""

import shutil

import pytest
from huggingface_hub import ModelCard

from tools import deploy_model as tool
from utils.base.cifar10 import ROOT

NAME = "airbench_small"


@pytest.fixture
def root(tmp_path):
    """A repository with one published model, its records, and a report card."""
    (tmp_path / "models").mkdir()
    shutil.copy(ROOT / "models" / f"{NAME}.keras", tmp_path / "models")
    shutil.copytree(ROOT / "results" / NAME, tmp_path / "results" / NAME)
    (tmp_path / "results" / NAME / "card.png").write_bytes(b"a card")
    return tmp_path


def test_the_metadata_hold_the_scores_of_the_record(root, tmp_path):
    folder = tmp_path / "hub"
    tool.make_folder(NAME, folder, root)
    assert {path.name for path in folder.iterdir()} == {"README.md", f"{NAME}.keras", "card.png"}
    data = ModelCard.load(folder / "README.md").data
    record = tool.find_record(NAME, root)
    assert (data.library_name, data.pipeline_tag) == ("keras", "image-classification")
    assert data.model_name == NAME
    accuracy = data.eval_results[0]
    assert (accuracy.dataset_name, accuracy.metric_type) == ("CIFAR-10", "accuracy")
    assert accuracy.metric_value == record["scores"]["published"]["accuracy"]
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert record["model"]["sha256"][f"{NAME}.keras"] in text
    assert "airplane, automobile, bird" in text


def test_weights_of_others_keep_their_licence():
    record = tool.find_record("vgg16")
    assert tool.make_card("vgg16", record).data.license == "cc-by-4.0"


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras: no such published model; there are"):
        tool.find_record("none", root)
    (root / "results" / NAME / "card.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"card\.png: no report card yet; run make report"):
        tool.make_folder(NAME, tmp_path / "hub", root)
    (root / "models" / f"{NAME}.keras").write_bytes(b"another")
    with pytest.raises(ValueError, match="no record in results/airbench_small tells of this file"):
        tool.find_record(NAME, root)


def test_it_is_uploaded_as_who_the_token_is(tmp_path, monkeypatch):
    calls = []

    class Hub:
        def __init__(self, token):
            calls.append(token)

        def create_repo(self, name, exist_ok):
            calls.append((name, exist_ok))

        def upload_folder(self, repo_id, folder_path):
            calls.append((repo_id, folder_path))

    monkeypatch.setattr(tool, "HfApi", Hub)
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert tool.deploy(tmp_path, "me/model") == "https://huggingface.co/me/model"
    assert calls == ["secret", ("me/model", True), ("me/model", tmp_path)]


def test_no_upload_without_a_token(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("sys.argv", ["deploy_model", NAME, "me/model"])
    with pytest.raises(SystemExit, match="HF_TOKEN is not set"):
        tool.main()
