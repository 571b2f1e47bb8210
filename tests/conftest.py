"""What tests share: a clean environment, a small real bundle and a registry of its own for each test.

What takes seconds is made once for a module, at its top, and only looked at: the pipeline through the runner in
notebooks/test_run.py (`pipeline`, and `continued` by a next version), against W&B in notebooks/test_tracking.py
(`tracked`), on another table in notebooks/test_another_table.py. Elsewhere cells run in the tests' process (cells.py).
"""

import os
import shutil
import signal
from pathlib import Path

import hypothesis
import pytest

from tests import tiny
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry

ROOT = Path(__file__).resolve().parents[1]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

hypothesis.settings.register_profile("any machine", deadline=None)  # how long an example takes says nothing here
hypothesis.settings.load_profile("any machine")

pytest_plugins = [
    *("tests.browser", "tests.cells", "tests.clusters", "tests.servers", "tests.stand_ins.wandb_server.fixtures")
]


LONGEST_FIRST = (
    *("notebooks/test_run", "ui/test_browser", "notebooks/test_evaluation", "registry/test_wandb"),
    *("notebooks/test_tracking", "delivery/test_environment", "serving/test_promotion", "notebooks/test_another_table"),
    *("notebooks/test_audit", "notebooks/test_03_training", "api/test_loading_wandb", "notebooks/test_cells_run_again"),
    *("registry/test_copies", "delivery/test_registry_asset", "notebooks/test_redaction", "notebooks/test_01_data"),
)


def pytest_sessionstart() -> None:
    """Ctrl-C is ignored by what a script starts in the background, and would be by all that tests start and stop."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, as a worker often waits for a browser or a server; four at most."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Modules that take minutes start first, so that none is still running when all else is done."""
    rank = {f"tests/{name}.py": number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
    leave_out_what_needs_a_browser(config, items)


def leave_out_what_needs_a_browser(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where there is none."""
    if CHROMIUM is None:
        left_out = [item for item in items if item.get_closest_marker("browser")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    if CHROMIUM is None:
        terminalreporter.write_line("No Chromium is on this machine: the tests of the page in a browser are left out.")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the person who runs the tests reaches them, but the one that says where Python lives."""
    for name in [*os.environ]:
        if (name.startswith(("WINE_", "WANDB_")) and name != "WINE_ENV") or name == "PORT":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small real bundle; not to be changed."""
    directory = tmp_path_factory.mktemp("bundle")
    tiny.write_bundle(directory)
    return directory


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the small bundle that a test may spoil."""
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.fixture
def folder(tmp_path: Path) -> FolderRegistry:
    """An empty registry in a folder."""
    return FolderRegistry(tmp_path / "registry")


@pytest.fixture
def promoted(folder: FolderRegistry, tiny_bundle: Path) -> FolderRegistry:
    """A registry in a folder whose production is the small bundle."""
    folder.publish(tiny_bundle, MODEL, kind="model", aliases=["candidate", "production"])
    return folder


@pytest.fixture(scope="session")
def served_registry(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """A registry whose production is the small bundle, for servers that only read it."""
    registry = FolderRegistry(tmp_path_factory.mktemp("served") / "registry")
    registry.publish(tiny_bundle, MODEL, kind="model", aliases=["candidate", "production"])
    return registry
