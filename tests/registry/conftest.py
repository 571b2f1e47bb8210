"""Two small versions to publish."""

from pathlib import Path

import pytest


def directory(path: Path, text: str) -> Path:
    """A directory to publish, with a file of its own and one in a subdirectory."""
    (path / "inner").mkdir(parents=True)
    (path / "model.onnx").write_text(text)
    (path / "inner" / "card.md").write_text("# A card\n")
    return path


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return directory(tmp_path / "first", "first")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return directory(tmp_path / "second", "second")
