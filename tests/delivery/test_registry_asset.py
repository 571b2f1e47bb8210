"""The registry between two runs on GitHub: a release's assets, on a stand-in for `gh`."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.delivery.here import QUICK_PATH
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry


class Runner:
    """One machine of GitHub's: it has a registry of its own and reaches the repository's releases."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.registry = FolderRegistry(folder / "registry")
        self.store = store
        registry = f"folder:{self.registry.root}"
        self.environment = {**os.environ, "PATH": QUICK_PATH, "GH_STORE": str(store), "WINE_REGISTRY": registry}

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        script = [sys.executable, str(ROOT / ".github" / "registry_asset.py"), command]
        environment = {**self.environment, **variables}
        return subprocess.run(script, env=environment, check=False, capture_output=True, text=True)

    def start(self, command: str, **variables: str) -> subprocess.Popen[str]:
        script = [sys.executable, str(ROOT / ".github" / "registry_asset.py"), command]
        return subprocess.Popen(script, env={**self.environment, **variables}, stderr=subprocess.PIPE, text=True)

    def save(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Pack and save; what the save said."""
        packed = self.run("pack")
        assert packed.returncode == 0, packed.stderr
        return self.run("save", **variables)

    def publish(self, text: str) -> None:
        directory = self.registry.root.with_name(text)
        directory.mkdir(parents=True)
        (directory / "model.onnx").write_text(text)
        self.registry.publish(directory, MODEL, kind="model", aliases=["production"])


@pytest.fixture
def runners(tmp_path: Path) -> list[Runner]:
    """Four new machines of one repository without a release."""
    (tmp_path / "store").mkdir()
    return [Runner(tmp_path / str(number), tmp_path / "store") for number in range(4)]


def assets(runner: Runner) -> list[str]:
    return sorted(path.name for path in (runner.store / "registry").iterdir())


def test_a_second_run_on_a_new_machine_stands_on_the_first(runners: list[Runner]) -> None:
    """What the first run published is there, byte for byte, with aliases and history."""
    first, second, *_ = runners
    assert "starts empty" in first.run("restore").stdout
    first.publish("forest")
    assert first.save().returncode == 0
    assert second.run("restore").returncode == 0
    assert second.registry.records(MODEL) == first.registry.records(MODEL)
    assert second.registry.aliases(MODEL) == first.registry.aliases(MODEL)
    assert second.registry.history(MODEL) == first.registry.history(MODEL)
    assert (second.registry.fetch("wine-quality:production") / "model.onnx").read_text() == "forest"


def test_only_the_newest_assets_are_kept(runners: list[Runner]) -> None:
    """Older ones go, after the newer one is there."""
    for number, runner in enumerate(runners):
        assert runner.run("restore").returncode == 0
        runner.publish(f"model-{number}")
        assert runner.save().returncode == 0
    assert len(assets(runners[0])) == 3
    assert [record.version for record in runners[-1].registry.records(MODEL)] == ["v0", "v1", "v2", "v3"]


def test_a_network_that_fails_is_no_empty_release(runners: list[Runner]) -> None:
    """A run that cannot read the release stops, and does not start afresh."""
    done = runners[0].run("restore", GH_FAIL="api")
    assert done.returncode == 1
    assert "error connecting" in done.stderr


def test_a_save_that_fails_loses_nothing(runners: list[Runner]) -> None:
    """The former asset is still there."""
    first, second, *_ = runners
    first.run("restore")
    first.publish("forest")
    first.save()
    before = assets(first)
    second.run("restore")
    second.publish("another")
    assert second.save(GH_FAIL="upload").returncode == 1
    assert assets(first) == before


def test_two_runs_at_once_do_not_overwrite_each_other(runners: list[Runner]) -> None:
    """The second to save is refused, and told what to do."""
    first, second, *_ = runners
    for number, runner in enumerate([first, second]):
        runner.run("restore")
        runner.publish(f"model-{number}")
    assert first.save().returncode == 0
    done = second.save()
    assert done.returncode == 1
    assert "restore it and run again" in done.stderr
    assert len(assets(first)) == 1


@pytest.mark.parametrize("first_of_all", [True, False])
def test_of_two_saves_at_the_same_moment_one_is_refused(
    runners: list[Runner], tmp_path: Path, first_of_all: bool
) -> None:
    """Both have looked before either uploads, and yet nothing is overwritten and the other is told."""
    first, second, third, _ = runners
    if not first_of_all:
        third.run("restore")
        third.publish("before")
        assert third.save().returncode == 0
    (tmp_path / "meet").mkdir()
    for number, runner in enumerate([first, second]):
        runner.run("restore")
        runner.publish(f"model-{number}")
        assert runner.run("pack").returncode == 0
    saving = [runner.start("save", GH_MEET=str(tmp_path / "meet")) for runner in (first, second)]
    complaints = [process.communicate(timeout=60)[1] for process in saving]
    assert sorted(process.returncode for process in saving) == [0, 1]
    assert "already exists" in "".join(complaints)
    assert len(assets(first)) == (1 if first_of_all else 2)


def spoil(runner: Runner, name: str, how: str) -> None:
    """An asset as a broken disk or a stranger leaves it."""
    archive = runner.store / "registry" / name
    match how:
        case "cut short":
            archive.write_bytes(archive.read_bytes()[:-300])
        case "empty":
            archive.write_bytes(b"")
        case "one byte flipped":
            with tarfile.open(archive) as packed:
                packed.extractall(runner.store / "inside", filter="data")
            model = next((runner.store / "inside").rglob("v0/model.onnx"))
            model.write_bytes(b"F" + model.read_bytes()[1:])
            with tarfile.open(archive, "w:gz") as packed:
                packed.add(runner.store / "inside", ".")
        case _:
            archive.write_bytes(b"<html>an error page</html>")


@pytest.mark.parametrize("how", ["cut short", "empty", "one byte flipped", "a page"])
def test_an_asset_that_is_not_whole_is_not_restored(runners: list[Runner], how: str) -> None:
    """An older one is taken instead, with a warning, and the next save stands on it."""
    for number, runner in enumerate(runners[:2]):
        runner.run("restore")
        runner.publish(f"model-{number}")
        runner.save()
    third, fourth = runners[2:]
    spoil(third, assets(third)[-1], how)
    done = third.run("restore")
    assert done.returncode == 0, done.stderr
    assert "::warning" in done.stdout
    assert "registry-000002.tar.gz is not whole" in done.stdout
    assert [record.version for record in third.registry.records(MODEL)] == ["v0"]
    third.publish("model-2")
    assert third.save().returncode == 0
    assert "restored registry-000003.tar.gz" in fourth.run("restore").stdout


@pytest.mark.parametrize("fault", ["every asset is spoilt", "download", "api"])
def test_what_is_here_outlives_every_failure_of_a_restore(runners: list[Runner], fault: str) -> None:
    """Nothing in the local folder is touched before there is something whole to put in its place."""
    first, second, *_ = runners
    first.run("restore")
    first.publish("forest")
    first.save()
    second.publish("of my own")
    if fault == "every asset is spoilt":
        spoil(first, assets(first)[0], "cut short")
    done = second.run("restore", GH_FAIL=fault)
    assert done.returncode == 1
    assert "was left as it was" in done.stderr
    assert (second.registry.fetch("wine-quality:production") / "model.onnx").read_text() == "of my own"
    assert sorted(path.name for path in second.registry.root.parent.iterdir()) == ["of my own", "registry"]


def test_a_release_that_vanished_is_no_new_fork(runners: list[Runner], tmp_path: Path) -> None:
    """Where its tag is still there, or the release is empty, the error says how to begin anew on purpose."""
    first, second, *_ = runners
    first.run("restore")
    first.publish("forest")
    first.save()
    (tmp_path / "store" / "registry" / assets(first)[0]).unlink()
    assert "the assets of the release `registry` have vanished" in second.run("restore").stderr
    environment = first.environment
    subprocess.run(["gh", "release", "delete", "registry"], env=environment, check=True)
    done = second.run("restore")
    assert done.returncode == 1
    assert "`gh release delete registry --cleanup-tag` begins anew" in done.stderr
    (tmp_path / "store" / "registry").mkdir()
    subprocess.run(["gh", "release", "delete", "registry", "--cleanup-tag"], env=environment, check=True)
    assert "starts empty" in second.run("restore").stdout


def test_an_upload_that_was_cut_short_is_cleared(runners: list[Runner]) -> None:
    """What a save that died has left is never restored, stops nobody after an hour, and before is taken for a save."""
    first, second, *_ = runners
    first.run("restore")
    first.publish("forest")
    first.save()
    left = first.store / "registry" / "registry-000002.tar.gz.starter"
    left.touch()
    assert "restored registry-000001.tar.gz" in second.run("restore").stdout
    second.publish("another")
    done = second.save()
    assert done.returncode == 1
    assert "another save has begun registry-000002.tar.gz" in done.stderr
    os.utime(left, (0, 0))
    assert "saved registry-000002.tar.gz" in second.save().stdout


def test_a_registry_that_is_not_whole_is_not_kept(runners: list[Runner]) -> None:
    """What could not be restored is never saved."""
    first = runners[0]
    first.run("restore")
    first.publish("forest")
    (first.registry.root / MODEL / "v0" / "model.onnx").write_text("altered")
    done = first.run("pack")
    assert done.returncode == 1
    assert "wine-quality:v0 does not hold what was published" in done.stderr


def test_where_wandb_remembers_a_second_run_saves_as_well(runners: list[Runner]) -> None:
    """A save stands on the asset that was there when the run began, whichever registry it is that remembers."""
    first, second, *_ = runners
    first.run("restore")
    first.publish("forest")
    first.save()
    assert "W&B remembers" in second.run("restore", WINE_REGISTRY="wandb:somebody/wine").stdout
