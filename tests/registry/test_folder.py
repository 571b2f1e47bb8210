"""What a registry in a folder promises beyond the contract of `test_promises.py`: it bears several writers at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.registry.conftest import directory
from wine_serving.errors import DigestMismatch, RegistryError
from wine_serving.registry import digest_files
from wine_serving.registry.folder import FolderRegistry

PUBLISH = """
import sys
from pathlib import Path
from wine_serving.registry.folder import FolderRegistry
FolderRegistry(Path(sys.argv[1])).publish(Path(sys.argv[2]), "wine-quality", kind="model", aliases=["candidate"])
"""

KILLED = """
import os, pathlib
replace = pathlib.Path.replace
steps = iter(range(1, 9))
pathlib.Path.replace = lambda *each: os.kill(os.getpid(), 9) if next(steps) == {step} else replace(*each)
"""


def test_corrupted_version_is_refused(folder: FolderRegistry, first: Path) -> None:
    """Bytes altered after publication are never handed out."""
    folder.publish(first, "wine-quality", kind="model")
    (folder.root / "wine-quality" / "v0" / "model.onnx").write_text("altered")
    with pytest.raises(DigestMismatch, match="are not those published as wine-quality:v0"):
        folder.fetch("wine-quality:v0")


def test_version_is_held_against_its_digest_and_not_against_a_list_beside_it(
    folder: FolderRegistry, first: Path
) -> None:
    """Whoever alters a file and its line in the record has not altered the number that was signed."""
    record = folder.publish(first, "wine-quality", kind="model")
    (folder.root / "wine-quality" / "v0" / "model.onnx").write_text("altered")
    files = digest_files(folder.root / "wine-quality" / "v0")
    altered = record.model_copy(update={"files": files})
    (folder.root / "wine-quality" / "v0.json").write_text(altered.model_dump_json())
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


@pytest.mark.parametrize("step", [1, 2])
def test_writer_killed_in_the_middle_leaves_nothing_visible(
    folder: FolderRegistry, first: Path, second: Path, step: int
) -> None:
    """A process killed before its record stands publishes nothing, and the next writer is not disturbed."""
    folder.publish(first, "wine-quality", kind="model", aliases=["candidate"])
    killed = KILLED.format(step=step) + PUBLISH
    assert subprocess.run([sys.executable, "-c", killed, folder.root, second], check=False).returncode == -9
    assert folder.aliases("wine-quality") == {"candidate": "v0", "latest": "v0"}
    assert [record.version for record in folder.records("wine-quality")] == ["v0"]
    assert folder.publish(second, "wine-quality", kind="model").version == "v1"
    assert (folder.fetch("wine-quality:v1") / "model.onnx").read_text() == "second"


def test_number_of_another_version_is_not_taken(
    folder: FolderRegistry, tmp_path: Path, first: Path, second: Path
) -> None:
    """A copy keeps its number, and never stands in for what is there."""
    folder.publish(first, "wine-quality", kind="model")
    other = FolderRegistry(tmp_path / "elsewhere")
    record = other.publish(second, "wine-quality", kind="model")
    with pytest.raises(RegistryError, match="holds another wine-quality:v0"):
        folder.adopt(record, other.fetch(record.ref), [])
    assert (folder.fetch("wine-quality:v0") / "model.onnx").read_text() == "first"
