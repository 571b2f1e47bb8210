"""The loop, closed end to end: served, asked through page and API, tasted, monitored, trained anew and judged.

Needs root and RUN_WORKFLOW, as test_workflows does. Both workflows are executed whole on this machine;
GitHub and the tasters are stand-ins. What a person does on a laptop is done by the make targets that a person types.
"""

import json
import os
import shutil
import subprocess
import tarfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pandas as pd
import pytest
from new_grades import new_grades  # notebooks/new_grades.py

from tests import servers
from tests.conftest import ROOT
from tests.delivery.here import IS_ROOT, PATH, needs
from tests.delivery.test_workflows import REPOSITORY, RUN_WORKFLOW, UV, Run
from tests.ui.visitor import opened, press
from wine_serving.monitoring import Monitoring
from wine_serving.registry import DATASET, GRADES, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import INPUTS, TARGET

TOOLS = {"root": IS_ROOT, "RUN_WORKFLOW": RUN_WORKFLOW}
pytestmark = [pytest.mark.delivery, needs(TOOLS), pytest.mark.timeout(1800)]
ASKED, TASTED = 240, 150
FEW = "-p n_estimators 30 -p n_resamples 200"


class Laptop(NamedTuple):
    """A clone of the repository on somebody's laptop, with GitHub in reach."""

    checkout: Path
    releases: Path

    def make(self, *words: str) -> str:
        """What `make` prints there."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("WINE_", "WANDB_"))}
        path = os.pathsep.join([str(UV.parent), PATH])
        environment |= {"PATH": path, "GH_STORE": str(self.releases), "WANDB_MODE": "disabled"}
        done = subprocess.run(
            ["make", *words], cwd=self.checkout, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def registry(self) -> FolderRegistry:
        return FolderRegistry(self.checkout / "artifacts" / "registry")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A first model was trained and promoted here."""
    folder = tmp_path_factory.mktemp("loop")
    for name in ("checkout", "laptop"):  # the first is what GitHub checks out
        subprocess.run(["git", "clone", "--quiet", ROOT, folder / name], check=True)
        origin = f"https://github.com/{REPOSITORY['full_name']}"
        subprocess.run(["git", "remote", "set-url", "origin", origin], cwd=folder / name, check=True)
    (folder / "releases").mkdir()
    found = Laptop(folder / "laptop", folder / "releases")
    found.make("restore")
    found.make("pipeline", "PROFILE=quick", f"PARAMS={FEW}")
    assert PRODUCTION in found.registry.aliases(MODEL)
    return found


@pytest.fixture(scope="module")
def wines(laptop: Laptop) -> pd.DataFrame:
    """Wines with what tasters gave them, which the model has not seen."""
    test = pd.read_parquet(laptop.registry.fetch(f"{DATASET}:latest") / "test.parquet")
    return test.drop_duplicates("group").sample(ASKED, random_state=0).reset_index(drop=True)


@pytest.fixture(scope="module")
def log(laptop: Laptop, wines: pd.DataFrame) -> Path:
    """What production logged, last week: visitors asked about the wines through the API, and about one on the page."""
    with (
        servers.api(laptop.checkout / "api.log", WINE_REGISTRY=f"folder:{laptop.registry.root}") as api,
        pytest.MonkeyPatch.context() as patch,
    ):
        body = {"wines": wines[[*INPUTS]].to_dict("records")}
        httpx.post(f"{api.address}/predict/batch", json=body, timeout=60).raise_for_status()
        patch.setenv("WINE_API_URL", api.address)
        page = opened()
        page.text_input(key="alcohol").set_value("12,34").run()
        press(page, "Score this wine")
    lines = [json.loads(line) for line in api.log.read_text().splitlines() if line.startswith("{")]
    predicted = [line for line in lines if line.get("message") == "prediction"]
    assert [line["input"]["alcohol"] for line in predicted if line["purpose"] == "user"][-1] == 12.34
    path = laptop.checkout / "production.jsonl"
    path.write_text("".join(json.dumps(line | {"time": last_week(line["time"])}) + "\n" for line in predicted))
    return path


def last_week(time: str) -> str:
    """The same moment in a week that is over."""
    return (datetime.fromisoformat(time) - timedelta(days=7)).isoformat()


@pytest.fixture(scope="module")
def tasted(laptop: Laptop, wines: pd.DataFrame, log: Path) -> str:
    """Tasters were asked about wines drawn at random, and like all of them less by a grade; kept on GitHub."""
    laptop.make("sample", f"N={TASTED}", f"LOG={log}")
    form = laptop.checkout / "artifacts" / "to-taste.csv"
    asked = pd.read_csv(form)
    known = {key(wine): wine[TARGET] for _, wine in wines.iterrows()}
    grades = [known.get(key(wine)) for _, wine in asked.iterrows()]
    asked[TARGET] = [None if grade is None else round(grade) - 1 for grade in grades]
    asked.dropna(subset=TARGET).to_csv(form, index=False)
    laptop.make("grades", f"CSV={form}", f"LOG={log}")
    laptop.make("pack", "save")
    return laptop.registry.record(f"{GRADES}:latest").ref


def key(wine: "pd.Series[Any]") -> tuple[object, ...]:
    """What a wine is known by."""
    return tuple(f"{wine[name]:.6g}" if isinstance(wine[name], float) else str(wine[name]) for name in INPUTS)


@pytest.fixture(scope="module")
def look(laptop: Laptop, log: Path, tasted: str) -> Run:  # noqa: ARG001 - grades are kept before it looks
    """The weekly look, on that log."""
    shutil.copy(log, laptop.checkout.with_name("checkout"))
    flags = ["--var=PREDICTION_LOG=production.jsonl", "--var=PAGES=on"]
    return Run(laptop.checkout.with_name("look"), "monitor", "schedule", {"ref": "refs/heads/main"}, *flags)


@pytest.fixture(scope="module")
def retrain(laptop: Laptop, look: Run) -> Run:
    """The training that the look has asked for, with what it was asked with; only up to its verdict, and small."""
    assert look.ended_well, look.log
    workflow, *fields = (laptop.releases / "started").read_text().split(" --field ")
    inputs: dict[str, Any] = dict(field.strip().split("=", 1) for field in fields)
    inputs |= {"profile": "quick", "parameters": f"{inputs['parameters']} {FEW}"}
    event = {"ref": "refs/heads/main", "inputs": inputs}
    folder, published = laptop.checkout.with_name("retrain"), f"--env=GH_SITE={look.store / 'artifacts' / 'site'}"
    return Run(folder, workflow.removesuffix(".yml"), "workflow_dispatch", event, published, "--job=train")


def kept(run: Run) -> FolderRegistry:
    """The registry as a run left it."""
    place = run.folder / "kept"
    if not place.exists():
        (archive,) = (run.store / "artifacts").glob("*/registry.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
    return FolderRegistry(place)


def test_a_taste_that_moved_is_found_in_the_grades(look: Run, wines: pd.DataFrame) -> None:
    """What tasters said of wines that the API and the page had scored."""
    assert look.ended_well, look.log
    found = Monitoring.read((look.store / "artifacts" / "site" / "monitor.json").read_bytes())
    assert found.answer == "worse", found.told()
    assert not found.simulated
    assert found.n_grades > TASTED * 0.9
    assert found.n_wines > len(wines) * 0.9


def test_the_answer_is_kept_published_and_told(laptop: Laptop, look: Run) -> None:
    """In production's record, among the reports, and as one open issue."""
    assert look.ended_well, look.log
    record = kept(look).record(f"{MODEL}:{PRODUCTION}")
    assert record.monitoring
    assert record.monitoring["answer"] == "worse"
    assert look.given("upload-pages-artifact") == [{"path": "reports"}]
    pages = look.store / "artifacts" / "site"
    assert {"index.html", "07_monitoring.html", "monitor.json"} <= {path.name for path in pages.iterdir()}
    assert "Monitoring: worse" in (pages / "index.html").read_text()
    (issue,) = json.loads((laptop.releases / "issues.json").read_text())["issues"]
    assert issue["title"] == f"Monitoring of {record.version}: production has become worse"
    assert look.jobs == ["look", "save", "pages", "tell"]


def test_new_grades_are_learnt_and_judged(look: Run, retrain: Run, tasted: str) -> None:
    """The training takes them in, its dataset names them, and the candidate is judged; what is new is new once."""
    assert retrain.ended_well, retrain.log
    registry = kept(retrain)
    dataset = registry.record(f"{DATASET}:latest")
    assert tasted in dataset.inputs
    assert dataset.version != kept(look).record(f"{DATASET}:latest").version
    verdict = retrain.verdict("reports")
    assert verdict["dataset"]["version"] == dataset.version
    assert verdict["production"]["version"] == "v0"
    assert new_grades(registry) is None


def test_a_training_publishes_what_was_monitored(retrain: Run) -> None:
    """The page of the look stays among the reports, and the front page tells of it while that version is production."""
    assert retrain.ended_well, retrain.log
    reports = retrain.store / "artifacts" / "reports"
    assert {"07_monitoring.html", "monitor.json", "04_evaluation.html"} <= {path.name for path in reports.iterdir()}
    assert "Monitoring: worse" in (reports / "index.html").read_text()
