"""Every fault of a registry in a folder is a RegistryError that says what to do; what can go on, goes on."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.disks import small_disk
from tests.registry.conftest import directory
from tests.registry.test_folder import KILLED, PUBLISH
from wine_serving.errors import NothingPromoted, RegistryError
from wine_serving.registry.folder import FolderRegistry

NAME = "wine-quality"
SAY = """
import os, sys
from pathlib import Path
from wine_serving.errors import WineServingError
from wine_serving.registry.folder import FolderRegistry
from wine_serving.registry.wandb import WandbRegistry
registry = FolderRegistry(Path(sys.argv[1]))
if os.getuid() == 0:  # whom no mode stops
    os.setgroups([])
    os.setuid(65534)
try:
    {statement}
except WineServingError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""
SYNCED = """
import os, pathlib
synced = set()
fsync, replace = os.fsync, pathlib.Path.replace

def note(opened):
    synced.add(os.fstat(opened).st_ino)
    fsync(opened)

def check(new, path):
    for each in (new, *new.rglob("*")):
        if each.stat().st_ino not in synced:
            os._exit(3)
    return replace(new, path)

os.fsync, pathlib.Path.replace = note, check
"""


@pytest.fixture
def two(folder: FolderRegistry, first: Path, second: Path) -> FolderRegistry:
    """v0, and v1 in production."""
    for each in (first, second):
        folder.publish(each, NAME, kind="model", aliases=["production"])
    return folder


@pytest.fixture
def read_only(two: FolderRegistry) -> Iterator[FolderRegistry]:
    """The same where nobody may write."""
    with tempfile.TemporaryDirectory() as place:
        root = shutil.copytree(two.root, Path(place) / "registry")
        for path in (Path(place), root, *root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield FolderRegistry(root)
        for path in (Path(place), root, *root.rglob("*")):
            path.chmod(0o755)


def as_reader(statement: str, registry: FolderRegistry) -> subprocess.CompletedProcess[str]:
    """A process that may not write there."""
    command = [sys.executable, "-c", SAY.format(statement=statement), str(registry.root)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_full_disk_is_said_and_leaves_what_was_there(tmp_path: Path, first: Path, second: Path) -> None:
    """Nothing of the version that did not fit stays, and once there is space it is published."""
    with small_disk(tmp_path / "disk", "256k") as place:
        registry = FolderRegistry(place / "registry")
        registry.publish(first, NAME, kind="model", aliases=["production"])
        (second / "model.onnx").write_bytes(b"x" * 300_000)
        with pytest.raises(RegistryError, match="No space left on device; free some space"):
            registry.publish(second, NAME, kind="model")
        assert sorted(path.name for path in (place / "registry" / NAME).iterdir()) == [
            *(".lock", "aliases.json", "history.json", "v0", "v0.json")
        ]
        (second / "model.onnx").write_bytes(b"x")
        assert registry.publish(second, NAME, kind="model").version == "v1"


def test_disk_that_fills_up_between_two_writes_moves_nothing(tmp_path: Path, first: Path) -> None:
    """The files of the aliases are as they were, and can be read."""
    with small_disk(tmp_path / "disk", "128k") as place:
        registry = FolderRegistry(place / "registry")
        registry.publish(first, NAME, kind="model")
        subprocess.run(["dd", "if=/dev/zero", f"of={place / 'filler'}"], check=False, capture_output=True)
        for number in range(9):
            with pytest.raises(RegistryError, match="free some space"):
                registry.move_alias(NAME, f"alias-{number}", "v0", reason="x" * 9000, by="ann")
        assert registry.aliases(NAME) == {"latest": "v0"}
        (place / "filler").unlink()
        registry.move_alias(NAME, "production", "v0", reason="at last", by="ann")


@pytest.mark.parametrize(
    "statement",
    [
        "registry.publish(registry.root / 'wine-quality' / 'v0', 'wine-quality', kind='model')",
        "registry.publish(registry.root / 'wine-quality' / 'v0', 'wine-quality-data', kind='dataset')",
        "registry.move_alias('wine-quality', 'production', 'v0', reason='x', by='ann')",
        "registry.attach_evaluation('wine-quality:v0', {'verdict': 'promote'})",
        "registry.adopt(registry.record('wine-quality:v0'), registry.fetch('wine-quality:v0'), [])",
        "registry.adopt_moves('wine-quality', 'production', registry.history('wine-quality')[:1])",
    ],
)
def test_folder_that_may_only_be_read_says_so_to_who_writes(read_only: FolderRegistry, statement: str) -> None:
    """One sentence with where, what and what to do."""
    reading = "registry.fetch('wine-quality:production'), registry.history('wine-quality')"
    assert as_reader(reading, read_only).stderr == ""
    said = as_reader(statement, read_only)
    assert said.returncode == 1
    assert said.stderr.startswith(f"RegistryError: {read_only.root}")
    assert "Permission denied; let this user read and write there, or choose another WINE_REGISTRY" in said.stderr
    assert len(said.stderr.splitlines()) == 1


SPOILED: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "empty": lambda path: path.write_bytes(b""),
    "foreign": lambda path: path.write_text('{"production": 3}'),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a folder": lambda path: path.rename(path.with_suffix(".gone")).with_suffix(".json").mkdir(),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("name", ["aliases.json", "history.json", "v1.json"])
def test_file_that_cannot_be_read_is_named_with_a_remedy(
    two: FolderRegistry, name: str, spoil: Callable[[Path], object]
) -> None:
    """Whatever is asked of it."""
    path = two.root / NAME / name
    spoil(path)
    with pytest.raises(RegistryError, match=rf"{path} cannot be read \(.+\): (restore|remove) it"):
        two.history(NAME) and two.record(f"{NAME}:production")
    with pytest.raises(RegistryError):
        two.move_alias(NAME, "production", "v1", reason="x", by="ann")


def test_one_record_that_cannot_be_read_hides_no_other(
    two: FolderRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log, its number is not used again, and all else goes on."""
    (two.root / NAME / "v0.json").write_text("{")
    assert [record.version for record in two.records(NAME)] == ["v1"]
    assert "v0.json cannot be read" in caplog.text
    assert two.record(f"{NAME}:production").version == "v1"
    assert two.publish(directory(tmp_path / "third", "third"), NAME, kind="model").version == "v2"
    assert two.used_by(f"{NAME}:v1") == []
    assert (two.root / NAME / "v0").is_dir()


def test_record_of_another_version_is_refused(two: FolderRegistry) -> None:
    """A file that was copied to the wrong place."""
    (two.root / NAME / "v1.json").write_bytes((two.root / NAME / "v0.json").read_bytes())
    with pytest.raises(RegistryError, match="is the record of wine-quality:v0"):
        two.record(f"{NAME}:v1")


def test_file_that_has_no_place_there_is_overlooked(two: FolderRegistry) -> None:
    """Only vN.json is a record."""
    (two.root / NAME / "vendor.json").write_text("{}")
    (two.root / "notes.txt").write_text("mine")
    assert [record.version for record in two.records(NAME)] == ["v0", "v1"]
    assert two.used_by(f"{NAME}:v0") == []


def test_lost_aliases_stand_where_their_history_left_them(two: FolderRegistry) -> None:
    """Nothing is forgotten with the file that only repeats what history.json says."""
    (two.root / NAME / "aliases.json").unlink()
    assert two.aliases(NAME) == {"production": "v1", "latest": "v1"}
    two.move_alias(NAME, "production", "v0", reason="back", by="ann", expected="v1")
    assert json.loads((two.root / NAME / "aliases.json").read_text()) == {"production": "v0", "latest": "v1"}


def test_lost_history_is_said(two: FolderRegistry) -> None:
    """What is served can be read all the same, but no move is made whose past is unknown."""
    (two.root / NAME / "history.json").unlink()
    assert two.fetch(f"{NAME}:production")
    with pytest.raises(RegistryError, match=r"history.json is missing: restore it from a copy"):
        two.move_alias(NAME, "production", "v0", reason="x", by="ann")


def test_deleted_version_carries_no_alias(two: FolderRegistry, tmp_path: Path) -> None:
    """An evaluation sees that nothing is in production, and goes on; the version's files stay for who restores it."""
    (two.root / NAME / "v1.json").unlink()
    with pytest.raises(NothingPromoted, match=r"v1, which is production, has no record in .*or run `make rollback`"):
        two.record(f"{NAME}:production")
    assert two.aliases(NAME) == {}
    verdict = directory(tmp_path / "verdict", "verdict")
    two.publish(verdict, "wine-quality-evaluation", kind="report", inputs=[f"{NAME}:v0", f"{NAME}:v1"])
    assert two.publish(directory(tmp_path / "third", "third"), NAME, kind="model").version == "v2"
    assert (two.root / NAME / "v1").is_dir()


def test_killed_publishers_leave_nothing_after_the_next(folder: FolderRegistry, first: Path, tmp_path: Path) -> None:
    """Killed before each of their writes: what they began is cleared, what they finished stands."""
    folder.publish(first, NAME, kind="model")
    for step in range(1, 5):
        source = directory(tmp_path / f"source-{step}", str(step))
        command = [sys.executable, "-c", KILLED.format(step=step) + PUBLISH, str(folder.root), str(source)]
        assert subprocess.run(command, check=False, timeout=60).returncode == -9
    (folder.root / NAME / "v9").mkdir()
    folder.publish(first, NAME, kind="model")
    versions = {record.version for record in folder.records(NAME)}
    left = {path.name for path in (folder.root / NAME).iterdir()}
    assert left == {".lock", "aliases.json", "history.json", *versions, *(f"{each}.json" for each in versions)}
    assert len(versions) == 3
    for version in versions:
        folder.fetch(f"{NAME}:{version}")


def test_nothing_is_renamed_before_it_is_on_the_disk(folder: FolderRegistry, first: Path) -> None:
    """A power cut leaves no version that is named and empty."""
    command = [sys.executable, "-c", SYNCED + PUBLISH, str(folder.root), str(first)]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
