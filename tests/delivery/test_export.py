"""What the API image carries: `python -m wine_serving export` copies versions into a registry of their own."""

from pathlib import Path

import pytest

from wine_serving.__main__ import main
from wine_serving.bundle import Bundle
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry


@pytest.fixture
def source(promoted: FolderRegistry, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch) -> FolderRegistry:
    """A registry with two versions, of which the first is judged and stands in production."""
    promoted.attach_evaluation(f"{MODEL}:v0", {"verdict": "promote"})
    (bundle_copy / "MODEL_CARD.md").write_text("# Another\n")
    promoted.publish(bundle_copy, MODEL, kind="model", aliases=["candidate"])
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{promoted.root}")
    return promoted


def test_the_copy_is_a_registry_of_one_version(source: FolderRegistry, tmp_path: Path) -> None:
    """Number, bytes, record, evaluation, aliases and their moves are those of the original; others stay behind."""
    assert main(["export", str(tmp_path / "copy"), f"{MODEL}:production"]) == 0
    copy = FolderRegistry(tmp_path / "copy")
    assert copy.records(MODEL) == [source.record(f"{MODEL}:v0")]
    assert copy.aliases(MODEL) == {"production": "v0"}
    assert copy.history(MODEL) == source.history(MODEL)
    Bundle.load(copy.fetch(f"{MODEL}:production")).check_golden()


def test_exporting_again_changes_nothing(source: FolderRegistry, tmp_path: Path) -> None:
    """A copy can be made on top of a copy, and more versions added to it."""
    for refs in (["wine-quality:v0"], ["wine-quality:v0", "wine-quality:v1"]):
        assert main(["export", str(tmp_path / "copy"), *refs]) == 0
    copy = FolderRegistry(tmp_path / "copy")
    assert copy.records(MODEL) == source.records(MODEL)
    assert copy.aliases(MODEL) == source.aliases(MODEL)


def test_an_altered_version_is_not_copied(
    source: FolderRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes that are not those published never reach an image."""
    (source.root / MODEL / "v0" / "MODEL_CARD.md").write_text("altered")
    assert main(["export", str(tmp_path / "copy"), f"{MODEL}:production"]) == 1
    assert "not those published" in capsys.readouterr().err
    assert FolderRegistry(tmp_path / "copy").records(MODEL) == []


@pytest.mark.usefixtures("source")
def test_what_is_in_production_is_copied_with_what_made_it(tmp_path: Path) -> None:
    """For those who may not ask the registry itself."""
    assert main(["production", str(tmp_path / "copy")]) == 0
    copy = FolderRegistry(tmp_path / "copy")
    assert copy.aliases(MODEL) == {"production": "v0"}
    assert [record.version for record in copy.records(MODEL)] == ["v0"]


def test_where_nothing_is_in_production_the_copy_is_empty(
    folder: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no fault: a first candidate may have been declined."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{folder.root}")
    assert main(["production", str(tmp_path / "copy")]) == 0
    assert not [*(tmp_path / "copy").iterdir()]
