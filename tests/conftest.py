"""What tests share: a clean environment, a small real bundle and a registry of its own for each test.

What takes seconds is made once for a module, at its top, and only looked at: the pipeline through the runner in
notebooks/test_run.py (`pipeline`, and `continued` by a next version), against W&B in notebooks/test_tracking.py
(`tracked`), on another table in notebooks/test_another_table.py. Elsewhere cells run in the tests' process (cells.py).
"""

import gc
import os
import shutil
import signal
from pathlib import Path

import hypothesis
import pytest

from tests import tiny
from wine_serving.machine import keep_loopback_direct
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry

gc.disable()  # until all tests are collected: nothing of what is imported meanwhile is garbage
ROOT = Path(__file__).resolve().parents[1]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

hypothesis.settings.register_profile("any machine", deadline=None)  # how long an example takes says nothing here
hypothesis.settings.load_profile("any machine")

keep_loopback_direct()  # tests ask servers of this very machine, whatever proxy is set here
for name in [name for name in os.environ if name.lower().endswith("_proxy") and os.environ[name].startswith("socks")]:
    del os.environ[name]  # httpx refuses to begin where one is set

for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"):
    os.environ.pop(name, None)  # set in a hook: what tests do to their own repositories would be done to this one
for name, value in (("commit.gpgSign", "false"), ("core.hooksPath", os.devnull)):  # nor are a person's own for them
    number = os.environ.get("GIT_CONFIG_COUNT", "0")
    os.environ |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    os.environ["GIT_CONFIG_COUNT"] = str(int(number) + 1)

pytest_plugins = [
    *(
        "tests.browser",
        "tests.cells",
        "tests.clusters",
        "tests.runners",
        "tests.servers",
        "tests.stand_ins.wandb_server.fixtures",
    )
]


LONGEST_FIRST = (
    *("notebooks/test_run", "notebooks/test_evaluation", "ui/test_browser", "registry/test_wandb"),
    *("notebooks/test_tracking", "delivery/test_environment", "notebooks/test_03_training", "api/test_loading_wandb"),
    *("serving/test_promotion", "notebooks/test_cells_run_again", "notebooks/test_audit", "registry/test_copies"),
    *("serving/test_promotion_killed", "delivery/test_registry_asset", "notebooks/test_01_data"),
    *("notebooks/test_redaction", "notebooks/test_another_table", "serving/test_frozen", "api/test_loading"),
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


def pytest_collection_finish() -> None:
    """What has been imported stays: it need not be searched for garbage over and over."""
    gc.freeze()
    gc.enable()


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
