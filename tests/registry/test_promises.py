"""What every registry promises, whichever backend it has."""

import subprocess
import sys
from pathlib import Path

import pytest

from wine_serving.errors import AliasMoved, DigestMismatch, NothingPromoted, RegistryError, VersionNotFound
from wine_serving.registry import Registry, digest_files, parse_ref
from wine_serving.registry.folder import FolderRegistry
from wine_serving.registry.wandb import WandbRegistry

PUBLISH = """
import sys
from pathlib import Path
from wine_serving.registry.folder import FolderRegistry
FolderRegistry(Path(sys.argv[1])).publish(Path(sys.argv[2]), "wine-quality", kind="model", aliases=["candidate"])
"""


@pytest.fixture(params=["folder", "wandb"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """An empty registry of each kind."""
    if request.param == "folder":
        return request.getfixturevalue("folder")
    server = request.getfixturevalue("wandb_server")
    return WandbRegistry(server.place, tmp_path / "cache")


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


def test_versions_are_numbered_from_zero(registry: Registry, first: Path, second: Path) -> None:
    """Each new content gets the next number."""
    published = [registry.publish(each, "wine-quality", kind="model") for each in (first, second)]
    assert [record.version for record in published] == ["v0", "v1"]
    assert [record.ref for record in registry.records("wine-quality")] == ["wine-quality:v0", "wine-quality:v1"]


def test_identical_content_gives_the_existing_version(registry: Registry, first: Path, second: Path) -> None:
    """Publishing the same bytes again moves the aliases to where they are already stored."""
    registry.publish(first, "wine-quality", kind="model", aliases=["candidate"])
    registry.publish(second, "wine-quality", kind="model", aliases=["candidate"])
    assert registry.publish(first, "wine-quality", kind="model", aliases=["candidate"]).version == "v0"
    assert registry.aliases("wine-quality") == {"candidate": "v0", "latest": "v0"}
    assert len(registry.records("wine-quality")) == 2


def test_fetched_bytes_are_the_published_bytes(registry: Registry, first: Path) -> None:
    """By alias or by version, exactly the published files come back."""
    registry.publish(first, "wine-quality", kind="model", aliases=["candidate"])
    for ref in ("wine-quality:v0", "wine-quality:candidate", "wine-quality:latest"):
        assert digest_files(registry.fetch(ref)) == digest_files(first)


def test_record_keeps_metadata_and_lineage_both_ways(registry: Registry, first: Path, second: Path) -> None:
    """From a model to its dataset, and from the dataset to the models made from it."""
    registry.publish(first, "wine-quality-data", kind="dataset", metadata={"rows": 3})
    registry.publish(second, "wine-quality", kind="model", inputs=["wine-quality-data:v0"])
    assert registry.record("wine-quality-data:v0").metadata == {"rows": 3}
    assert registry.record("wine-quality:v0").inputs == ("wine-quality-data:v0",)
    assert registry.used_by("wine-quality-data:latest") == ["wine-quality:v0"]


def test_alias_moves_with_a_history(registry: Registry, first: Path, second: Path) -> None:
    """Who moved production, from where, to where and why is kept."""
    for each in (first, second):
        registry.publish(each, "wine-quality", kind="model")
    registry.move_alias("wine-quality", "production", "v0", reason="first", by="ann", expected=None)
    registry.move_alias("wine-quality", "production", "v1", reason="better", by="bob", expected="v0")
    moves = registry.history("wine-quality")
    assert [(m.previous, m.version, m.by, m.reason) for m in moves] == [
        (None, "v0", "ann", "first"),
        ("v0", "v1", "bob", "better"),
    ]
    assert registry.record("wine-quality:production").version == "v1"


def test_alias_that_somebody_moved_meanwhile_is_left_alone(registry: Registry, first: Path, second: Path) -> None:
    """A decision made on an outdated view does not take effect."""
    for each in (first, second):
        registry.publish(each, "wine-quality", kind="model", aliases=["production"])
    with pytest.raises(AliasMoved, match="production is v1, not v0"):
        registry.move_alias("wine-quality", "production", "v0", reason="late", by="ann", expected="v0")
    assert registry.aliases("wine-quality")["production"] == "v1"


def test_evaluation_is_kept_beside_the_version(registry: Registry, first: Path) -> None:
    """A verdict joins the record without changing the version's bytes."""
    published = registry.publish(first, "wine-quality", kind="model")
    registry.attach_evaluation("wine-quality:v0", {"verdict": "promote"})
    assert registry.record("wine-quality:v0").evaluation == {"verdict": "promote"}
    assert registry.record("wine-quality:v0").digest == published.digest
    registry.fetch("wine-quality:v0")


def test_unknown_version_or_alias_is_said(registry: Registry, first: Path) -> None:
    """The sentence says what there is instead."""
    registry.publish(first, "wine-quality", kind="model", aliases=["candidate"])
    with pytest.raises(VersionNotFound, match=r"no version v7.*versions v0"):
        registry.record("wine-quality:v7")
    with pytest.raises(VersionNotFound, match=r"no alias 'champion'.*candidate = v0"):
        registry.fetch("wine-quality:champion")


def test_nothing_promoted_says_which_command_to_run(registry: Registry) -> None:
    """An empty registry is a normal beginning."""
    with pytest.raises(NothingPromoted, match="make pipeline"):
        registry.record("wine-quality:production")


def test_empty_directory_is_refused(registry: Registry, tmp_path: Path) -> None:
    """There is no version of nothing."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(RegistryError, match="nothing to publish"):
        registry.publish(tmp_path / "empty", "wine-quality", kind="model")


@pytest.mark.parametrize("ref", ["wine-quality", "../x:v0", "wine:v0:v1", "", "a/b:v0"])
def test_malformed_reference_is_refused(ref: str) -> None:
    """A reference is NAME:ALIAS or NAME:vN, never a path."""
    with pytest.raises(RegistryError, match="no reference"):
        parse_ref(ref)


def test_corrupted_version_is_refused(folder: FolderRegistry, first: Path) -> None:
    """Bytes altered after publication are never handed out."""
    folder.publish(first, "wine-quality", kind="model")
    (folder.root / "wine-quality" / "v0" / "model.onnx").write_text("altered")
    with pytest.raises(DigestMismatch, match="are not those published as wine-quality:v0"):
        folder.fetch("wine-quality:v0")


def test_concurrent_publishers_lose_nothing(folder: FolderRegistry, tmp_path: Path) -> None:
    """Four processes publish at once: four versions, whole, and an alias on one of them."""
    sources = [directory(tmp_path / f"source-{number}", str(number)) for number in range(4)]
    writers = [subprocess.Popen([sys.executable, "-c", PUBLISH, folder.root, source]) for source in sources]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    records = folder.records("wine-quality")
    assert [record.version for record in records] == ["v0", "v1", "v2", "v3"]
    contents = {(folder.fetch(record.ref) / "model.onnx").read_text() for record in records}
    assert contents == {"0", "1", "2", "3"}
    assert folder.aliases("wine-quality")["candidate"] in {"v0", "v1", "v2", "v3"}


@pytest.mark.parametrize("step", ["rename", "replace"])
def test_writer_killed_in_the_middle_leaves_nothing_visible(
    folder: FolderRegistry, first: Path, second: Path, step: str
) -> None:
    """A process killed before its record stands publishes nothing, and the next writer is not disturbed."""
    folder.publish(first, "wine-quality", kind="model", aliases=["candidate"])
    killed = f"import os, pathlib\npathlib.Path.{step} = lambda *_: os.kill(os.getpid(), 9)\n{PUBLISH}"
    assert subprocess.run([sys.executable, "-c", killed, folder.root, second], check=False).returncode == -9
    assert folder.aliases("wine-quality") == {"candidate": "v0", "latest": "v0"}
    assert [record.version for record in folder.records("wine-quality")] == ["v0"]
    assert folder.publish(second, "wine-quality", kind="model").version == "v1"
    assert (folder.fetch("wine-quality:v1") / "model.onnx").read_text() == "second"
