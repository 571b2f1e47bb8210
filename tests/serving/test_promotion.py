"""A person moves production: `python -m wine_serving promote` and `rollback`."""

from pathlib import Path

import pytest

from tests import tiny
from wine_serving.__main__ import main
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry


@pytest.fixture
def two_versions(
    folder: FolderRegistry, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FolderRegistry:
    """v0 in production, v1 the candidate; the command line uses this registry."""
    folder.publish(tiny_bundle, MODEL, kind="model", aliases=["production"])
    tiny.write_bundle(tmp_path / "second", seed=1)
    folder.publish(tmp_path / "second", MODEL, kind="model", aliases=["candidate"])
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{folder.root}")
    return folder


def test_promotion_by_hand_keeps_who_when_and_why(
    two_versions: FolderRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """The move and its reason are in the history, and the command says what it did."""
    assert main(["promote", "v1", "--reason", "tasted and approved"]) == 0
    assert "v0 → wine-quality:v1 (tasted and approved)" in capsys.readouterr().out
    last = two_versions.history(MODEL)[-1]
    assert (last.previous, last.version, last.reason) == ("v0", "v1", "tasted and approved")


def test_rollback_returns_to_the_version_before(two_versions: FolderRegistry) -> None:
    """One command undoes the last promotion; the version taken back stays in the registry."""
    main(["promote", "candidate", "--reason", "better"])
    assert main(["rollback"]) == 0
    assert two_versions.aliases(MODEL)["production"] == "v0"
    assert two_versions.history(MODEL)[-1].reason == "rollback from v1"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    {
        "no reason": (["promote", "v1", "--reason", " "], "needs a reason"),
        "unknown version": (["promote", "v9", "--reason", "x"], "no version v9"),
        "nothing before": (["rollback"], "nothing to roll back to"),
    }.values(),
)
def test_impossible_move_is_refused_in_one_sentence(
    two_versions: FolderRegistry, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """Nothing moves, the exit code says so, and stderr says why."""
    assert main(arguments) == 1
    assert sentence in capsys.readouterr().err
    assert two_versions.aliases(MODEL)["production"] == "v0"


def test_model_that_fails_its_golden_wines_is_not_promoted(
    two_versions: FolderRegistry, bundle_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person cannot promote by hand what could not be served."""
    (tmp_path / "second" / "model.onnx").replace(bundle_copy / "model.onnx")
    two_versions.publish(bundle_copy, MODEL, kind="model")
    assert main(["promote", "v2", "--reason", "in a hurry"]) == 1
    assert "golden wine" in capsys.readouterr().err
    assert two_versions.aliases(MODEL)["production"] == "v0"


@pytest.mark.usefixtures("two_versions")
def test_history_lists_every_move(capsys: pytest.CaptureFixture[str]) -> None:
    """Who moved production, when and why, a line each."""
    main(["promote", "v1", "--reason", "better"])
    capsys.readouterr()
    assert main(["history"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("UTC  ")[1].split("  by")[0] for line in lines] == ["nothing → v0", "v0 → v1"]
