"""06_search: what is tried, what becomes of it when something dies, and what is called better."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import luck
import numpy as np
import pandas as pd
import psutil
import pytest
import recipes
import run
import searching
import yaml
from parameters import Refused

from tests import tiny
from tests.cells import Cells
from tests.clusters import Cluster
from wine_serving.provenance import VERSION
from wine_serving.registry import DATASET, MODEL
from wine_serving.registry.folder import FolderRegistry
from wine_serving.settings import ROOT

pytestmark = pytest.mark.timeout(300)
SMALL: searching.Space = {
    "random_forest": {"n_estimators": {"range": [3, 9]}, "min_samples_leaf": [3, 5]},
    "hist_gradient_boosting": {"n_estimators": {"log": [2, 9]}, "learning_rate": {"log": [0.05, 0.5]}},
}
FEW = {"n_trials": 6, "n_best": 2, "n_repeats": 2}


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """Few trees."""
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


@pytest.fixture(scope="module")
def wines() -> pd.DataFrame:
    return tiny.made_up_wines(200)


@pytest.fixture
def study(wines: pd.DataFrame, tmp_path: Path) -> searching.Study:
    """A search that has not begun."""
    return new_study(wines, tmp_path)


def new_study(wines: pd.DataFrame, place: Path) -> searching.Study:
    return searching.Study(SMALL, "digest", fold_of(wines), place / "search")


def fold_of(wines: pd.DataFrame) -> Any:
    return np.arange(len(wines)) % 3


@pytest.fixture
def dataset(notebook_environment: None, folder: FolderRegistry, tmp_path: Path) -> FolderRegistry:  # noqa: ARG001
    """A registry with a small made-up dataset."""
    tiny.publish_dataset(folder, tmp_path / "wines")
    return folder


class Watched:
    """Pandas, noting which files are read."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(pd, name)

    def read_parquet(self, path: Path) -> pd.DataFrame:
        self.opened.append(path.name)
        return pd.read_parquet(path)


def search(space: Path, *, up_to: str | None = None, **given: object) -> Cells:
    """The notebook, whole or up to a cell, with its results beside the space."""
    given = FEW | {"space": str(space), "kept_in": str(space.parent / "kept")} | given
    cells = Cells("06_search", **given).run(before="begin")
    cells.names["pd"] = Watched()
    return cells.run(before=up_to)


@pytest.mark.usefixtures("on_cluster")
def test_search_ends_with_a_profile_and_publishes_nothing(
    dataset: FolderRegistry, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only training wines are read. What is found is trained by name; more trials later are only those that lack."""
    before = {name: dataset.aliases(name) for name in (DATASET, MODEL)}
    cells = search(space)
    assert {name: dataset.aliases(name) for name in (DATASET, MODEL)} == before
    assert cells["pd"].opened == ["train.parquet"]
    assert len(cells["trials"]) == 6
    assert cells["trials"]["settings"][0] == searching.default_settings()
    found = space.parent / "kept" / "found.yaml"
    monkeypatch.setattr(run, "FOUND", found)
    (planned,) = run.plan(["03_training"], "found", {}, ROOT / "reports").values()
    assert planned == {
        "dataset": f"{DATASET}:v0",
        **cells["chosen"],
        "seed": 0,
        "trials": 6,
        "search": cells["study"].name,
        "publish_as": "candidate",
    }
    record = Cells("03_training", **(planned | {"n_estimators": 5, "publish_as": None})).run()["record"]
    assert record.metadata["search"] == {"trials": 6, "name": cells["study"].name}
    more = search(space, up_to="differences", n_trials=8)
    assert more["trials"][:6]["settings"].tolist() == cells["trials"]["settings"].tolist()
    assert more["trials"][:6]["rmse"].tolist() == cells["trials"]["rmse"].tolist()
    assert len(more["trials"]) == 8


def test_killed_caller_goes_on_where_it_was(study: searching.Study, wines: pd.DataFrame, tmp_path: Path) -> None:
    """What had ended is there, what was asked for and never told is asked for again, with the same settings."""
    tried: searching.Tried = {"rmse": [0.5, 0.6, 0.7], "megabytes": 1.0, "microseconds": 1.0, "seconds": 1.0}
    first, _ = study.ask(0)
    study.tell(first, tried)
    noted, _ = study.ask(0)
    noted.set_user_attr("tried", dict(tried))  # killed when it was about to be told
    lost = [study.ask(0)[1] for _ in range(3)]
    again = new_study(wines, tmp_path)
    assert again.name == study.name
    assert again.table()["trial"].tolist() == [0, 1]
    assert [again.ask(0)[1] for _ in range(3)] == lost
    assert again.ask(0)[1] not in lost


@pytest.mark.delivery
@pytest.mark.timeout(900)
def test_stopped_or_killed_runner_leaves_nobody_behind_and_goes_on_where_it_was(
    folder: FolderRegistry, space: Path, tmp_path: Path
) -> None:
    """Ctrl-C and SIGKILL while trials are fitted, then the same again: as many as asked for, none of them anew."""
    tiny.publish_dataset(folder, tmp_path / "wines")
    kept: set[tuple[int, str]] = set()
    for stop, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL), (None, 0)):
        runner = runner_of(folder, space)
        if stop is not None:
            while len(trials_on_disk(space.parent / "kept")) <= len(kept):
                assert runner.poll() is None, runner.communicate()
                time.sleep(0.01)
            children = psutil.Process(runner.pid).children(recursive=True)
            os.kill(runner.pid, stop)
        told = runner.communicate()[0]
        assert runner.returncode == code, told
        assert stop is None or psutil.wait_procs(children, timeout=60)[1] == []
        ended = trials_on_disk(space.parent / "kept")
        assert kept < ended
        assert len(ended) < 60 or stop is None
        kept = ended
    assert len(kept) == 60


def runner_of(registry: FolderRegistry, space: Path) -> subprocess.Popen[str]:
    """The runner, as `make search` starts it, on this machine's cores."""
    given = {"n_trials": 60, "n_best": 1, "n_repeats": 1, "space": space, "kept_in": space.parent / "kept"}
    typed = [word for name, value in given.items() for word in ("-p", name, str(value))]
    return subprocess.Popen(
        [sys.executable, "notebooks/run.py", "06_search", "--reports", space.parent / "reports", *typed],
        env=os.environ | {"WINE_REGISTRY": f"folder:{registry.root}", "WANDB_DIR": str(space.parent)},
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def trials_on_disk(place: Path) -> set[tuple[int, str]]:
    """What came of each trial that has ended."""
    for path in place.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as opened, suppress(sqlite3.OperationalError):  # while it is being made
            tried = "SELECT trial_id, value_json FROM trial_user_attributes WHERE key = 'tried'"
            return {*opened.execute(tried)}
    return set()


def test_another_space_dataset_or_fold_is_another_search(
    study: searching.Study, wines: pd.DataFrame, tmp_path: Path
) -> None:
    """Trials of two of them are never mixed."""
    place = tmp_path / "search"
    others = [
        searching.Study(SMALL | {"voting": {}}, "digest", fold_of(wines), place),
        searching.Study(SMALL, "another", fold_of(wines), place),
        searching.Study(SMALL, "digest", fold_of(wines)[::-1], place),
    ]
    assert len({study.name, *(each.name for each in others)}) == 4


@pytest.mark.usefixtures("on_cluster")
def test_failing_trial_is_a_row_with_its_error(study: searching.Study, wines: pd.DataFrame) -> None:
    """The others are tried all the same."""
    study.carry_out(3, wines.assign(alcohol="strong"), fold_of(wines), 0)
    assert study.table()["error"].str.contains("ValueError: could not convert").tolist() == [True] * 3
    study.carry_out(5, wines, fold_of(wines), 0)
    assert study.table()["error"].ne("").tolist() == [True] * 3 + [False] * 2


@pytest.mark.delivery
def test_killed_worker_costs_its_trial_only(on_cluster: Cluster, study: searching.Study, wines: pd.DataFrame) -> None:
    """SIGKILL while it fits: that trial is done again by another, or is a row with its error."""

    def kill() -> None:
        while not (busy := [worker for worker, tasks in on_cluster.client.processing().items() if tasks]):
            threading.Event().wait(0.01)
        (pid,) = on_cluster.client.run(os.getpid, workers=busy[:1]).values()
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    study.carry_out(8, wines, fold_of(wines), 0)
    killer.join()
    assert len(study.table()) == 8
    assert study.table()["error"].eq("").sum() >= 6


BAD_SPACES = {
    "unknown parameter": ("random_forest: {n_leaves: [3]}", "03_training has no parameter n_leaves; it has"),
    "nothing to choose": ("voting: {}", "leaves nothing to choose: name a parameter"),
    "unknown estimator": ("oracle: {n_estimators: [3]}", "03_training: estimator='oracle' is refused"),
    "impossible value": ("random_forest: {n_estimators: [0, 5]}", "03_training: n_estimators=0 is refused"),
    "impossible end": ("random_forest: {max_features: {range: [2, 40]}}", "03_training: max_features=40 is refused"),
    "ends turned round": (
        "extra_trees: {max_features: {range: [9, 2]}}",
        r"max_features: .* is no choice: write a list",
    ),
    "no space at all": ("- random_forest", "must name estimators, and of each the parameters"),
    "no YAML": ("random_forest: {", "cannot be read"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD_SPACES.values(), ids=BAD_SPACES)
def test_space_that_training_would_refuse_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """Before anything is fitted, in training's own words."""
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(Refused, match=sentence):
        searching.read_space(tmp_path / "space.yaml")


def test_space_that_comes_with_the_project_can_be_searched() -> None:
    """And has each estimator that there is."""
    space = searching.read_space(ROOT / "notebooks" / "search.yaml")
    assert {*space} == {*recipes.ESTIMATORS}


def test_found_profile_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it names may mean something else now; and before there is one, the command that makes it is named."""
    monkeypatch.setattr(run, "FOUND", tmp_path / "found.yaml")
    with pytest.raises(Refused, match="written by a search, and there is none: make search"):
        run.settings_of("found")
    (tmp_path / "found.yaml").write_text("version: 1.9.0\n03_training: {seed: 1}\n")
    with pytest.raises(Refused, match=rf"is of version 1\.9\.0 of this project, which is {VERSION} now: make search"):
        run.settings_of("found")


def test_without_the_extra_the_notebook_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And does nothing else, wherever it is opened."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    cells = Cells("06_search").run()
    assert "registry" not in cells.names
    assert "searching" not in cells.names


def test_among_equal_settings_hardly_any_search_finds_a_winner() -> None:
    """As the committed simulation counts; to read each trial by itself finds one in most of them."""
    share = {rule: luck.SIMULATED[rule][0] / luck.SIMULATED[rule][1] for rule in luck.RULES}
    assert luck.SIMULATED["naive"][1] >= 300
    assert share["judged on fresh folds"] <= luck.LEVEL
    assert share["naive"] > 0.3
    assert 0.002 < luck.best_of(64) < 0.006
    assert luck.best_of(2) < luck.best_of(20) < luck.best_of(64) < luck.best_of(500)


def test_cheapest_that_is_not_shown_worse_is_taken() -> None:
    """What two settings miss together does not keep a worse one in."""
    hard = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    noise = np.array([0.001, -0.001, 0.0, 0.001, -0.001])
    rows = np.array([hard, hard + 0.0001 + noise, hard + 0.02 + noise])
    assert luck.not_shown_worse(rows, [9.0, 5.0, 1.0], 5) == 1
