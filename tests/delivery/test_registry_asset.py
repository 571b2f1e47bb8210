"""The registry between two runs on GitHub: a release's assets, on a stand-in for `gh`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.delivery.here import PATH
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry


class Runner:
    """One machine of GitHub's: it has a registry of its own and reaches the repository's releases."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.registry = FolderRegistry(folder / "registry")
        self.store = store
        registry = f"folder:{self.registry.root}"
        self.environment = {**os.environ, "PATH": PATH, "GH_STORE": str(store), "WINE_REGISTRY": registry}

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        script = [sys.executable, str(ROOT / ".github" / "registry_asset.py"), command]
        environment = {**self.environment, **variables}
        return subprocess.run(script, env=environment, check=False, capture_output=True, text=True)

    def publish(self, text: str) -> None:
        directory = self.registry.root.with_name(text)
        directory.mkdir()
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
    assert first.run("save").returncode == 0
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
        assert runner.run("save").returncode == 0
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
    first.run("save")
    before = assets(first)
    second.run("restore")
    second.publish("another")
    assert second.run("save", GH_FAIL="upload").returncode == 1
    assert assets(first) == before


def test_two_runs_at_once_do_not_overwrite_each_other(runners: list[Runner]) -> None:
    """The second to save is refused, and told what to do."""
    first, second, *_ = runners
    for number, runner in enumerate([first, second]):
        runner.run("restore")
        runner.publish(f"model-{number}")
    assert first.run("save").returncode == 0
    done = second.run("save")
    assert done.returncode == 1
    assert "restore it and run again" in done.stderr
    assert len(assets(first)) == 1
