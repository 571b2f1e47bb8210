"""What stands in W&B after the notebooks have run against it: the real SDK, a server on loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import tracking

from tests import servers, tiny
from tests.conftest import ROOT
from tests.forked import Forks
from tests.runners import SCRIPT
from tests.stand_ins.wandb_server.app import WandbServer
from tests.stand_ins.wandb_server.fixtures import serve
from tests.stand_ins.wandb_server.store import Run

pytestmark = pytest.mark.timeout(900)
STAGES = ("01_data", "03_training", "04_evaluation")
FAILING = ("--afterwards", "02_eda", "-p", "02_eda.dataset", "wine-quality-data:v99")
FEW = ("-p", "n_resamples", "100", "-p", "n_estimators", "15", "-p", "min_samples_leaf", "10")


class Tracked(NamedTuple):
    """A W&B project after one execution of the pipeline."""

    server: WandbServer
    home: Path
    printed: str
    complained: str

    def run(self, job_type: str) -> Run:
        """The run of one notebook."""
        (found,) = [run for run in self.server.project.runs_by_name.values() if run.job_type == job_type]
        return found


def execute(forks: Forks, server: WandbServer, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The runner on that project."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("WINE_", "WANDB_"))}
    env = given | server.environment(home) | {"JUPYTER_PATH": str(forks.kernels)}
    return forks.run(SCRIPT, "--profile", "quick", "--reports", str(home / "reports"), *arguments, env=env)


@pytest.fixture(scope="module")
def tracked(runners: Forks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    """Data, training, evaluation and a notebook that fails, tracked and registered in W&B; nothing unknown was sent."""
    home = tmp_path_factory.mktemp("tracked")
    with serve(WandbServer()) as server:
        done = execute(runners, server, home, *STAGES, *FEW, *FAILING)
        assert done.returncode == 0, done.stderr
        yield Tracked(server, home, done.stdout, done.stderr)
        assert server.unknown == []


def test_pipeline_promotes_in_wandb(tracked: Tracked) -> None:
    """The same verdict and the same aliases as in a folder."""
    assert "Promoted: v0 is now production" in tracked.printed
    standing = {each.alias for each in tracked.server.project.collections["wine-quality"].standing()}
    assert {"candidate", "latest", "production"} <= standing


def test_each_notebook_is_one_finished_run_of_one_group(tracked: Tracked) -> None:
    """With its job type, the parameters as configuration, and the commit."""
    runs = [tracked.run(stage) for stage in STAGES]
    assert {run.state for run in runs} == {"finished"}
    assert len({run.group for run in runs}) == 1
    assert tracked.run("03_training").parameters["estimator"] == "random_forest"
    assert tracked.run("04_evaluation").parameters["n_resamples"] == 100
    assert all(run.commit for run in runs)


def test_metrics_are_summary_and_folds_are_history(tracked: Tracked) -> None:
    """RMSE, MSE, MAE, R² and coverage; one row of history for each fold."""
    evaluated, training = tracked.run("04_evaluation"), tracked.run("03_training")
    assert {"rmse", "mse", "mae", "r2", "coverage"} <= set(evaluated.summary)
    assert [row["fold"] for row in training.history if "fold/rmse" in row] == list(range(10))


@pytest.mark.parametrize(
    ("stage", "key", "kind"),
    [
        ("03_training", "cross_validation", "table-file"),
        ("04_evaluation", "by_slice", "table-file"),
        ("04_evaluation", "predictions", "table-file"),
        ("01_data", "grades", "image-file"),
        ("03_training", "importance", "image-file"),
        ("04_evaluation", "differences", "image-file"),
        ("01_data", "report", "html-file"),
        ("03_training", "report", "html-file"),
        ("04_evaluation", "report", "html-file"),
    ],
)
def test_tables_figures_and_report_are_in_the_run(tracked: Tracked, stage: str, key: str, kind: str) -> None:
    """Logged, and its file uploaded."""
    run = tracked.run(stage)
    (entry,) = [row[key] for row in run.history if key in row]
    assert entry["_type"] == kind
    assert run.files[entry["path"]]


def test_lineage_leads_from_model_to_data_and_back(tracked: Tracked) -> None:
    """Inputs and outputs of runs, by type."""
    training, evaluation = tracked.run("03_training"), tracked.run("04_evaluation")
    assert [each.artifact_type.name for each in training.inputs] == ["dataset"]
    assert "model" in [each.artifact_type.name for each in training.outputs]
    assert {"dataset", "model"} <= {each.artifact_type.name for each in evaluation.inputs}


def test_promoted_model_is_served_from_wandb(tracked: Tracked, tmp_path: Path) -> None:
    """No run is made by serving."""
    before = len(tracked.server.project.runs_by_name)
    with servers.api(tmp_path / "log", **tracked.server.environment(tmp_path)) as server:
        wine = tiny.as_wines(tiny.made_up_wines(1))[0]
        while (answer := server.post("/predict", json=wine)).status_code == 503:
            assert answer.headers["Retry-After"]  # W&B is being asked
    assert answer.raise_for_status().json()["model_version"] == "v0"
    assert len(tracked.server.project.runs_by_name) == before


def test_failed_notebook_is_a_failed_run_with_its_report(tracked: Tracked) -> None:
    """Up to the failing cell."""
    assert "02_eda stopped: wine-quality-data has no version v99" in tracked.complained
    run = tracked.run("02_eda")
    assert run.state == "failed"
    assert [row["report"]["_type"] for row in run.history if "report" in row] == ["html-file"]


TRIALS = """
import sys, wandb
sys.path.insert(0, "notebooks")
import searching
from wine_serving.verdict import Metric
run = wandb.init(project="wine-quality")
for number in range(2):
    row = {"trial": number, "settings": {"estimator": "random_forest", "max_features": number + 2}}
    searching.track("search-abc", row, {"mean RMSE": 0.7, "difference": Metric(value=-0.01, low=-0.02, high=0.0)})
run.finish()
"""


def test_trials_of_a_search_are_runs_of_one_group(tmp_path: Path) -> None:
    """Beside the notebook's, each with its settings, and with its paired difference to the defaults."""
    with serve(WandbServer()) as server:
        given = {name: value for name, value in os.environ.items() if not name.startswith(("WINE_", "WANDB_"))}
        command = [sys.executable, "-c", TRIALS]
        subprocess.run(command, cwd=ROOT, check=True, env=given | server.environment(tmp_path), capture_output=True)
        runs = [run for run in server.project.runs_by_name.values() if run.group == "search-abc"]
        assert [run.parameters["max_features"] for run in runs] == [2, 3]
        assert {run.summary["difference_low"] for run in runs} == {-0.02}
        assert {run.state for run in runs} == {"finished"}
        assert server.unknown == []


def test_run_id_that_the_runner_is_started_with_is_its_first_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a sweep's agent starts it; the next notebook's run has an id of its own."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_RUN_ID", "from-an-agent")
    tracking.begin()
    assert os.environ["WANDB_RUN_ID"] == "from-an-agent"
    tracking.add_report(Path("first.html"), failed=False)
    tracking.begin()
    assert os.environ["WANDB_RUN_ID"] != "from-an-agent"
    tracking.add_report(Path("second.html"), failed=False)


@pytest.mark.parametrize(("variables", "mode"), [({}, "offline"), ({"WANDB_API_KEY": "k" * 40}, "")])
def test_jupyterlab_starts_for_anybody_and_tracks_as_the_runner_does(
    variables: dict[str, str], mode: str, tmp_path: Path
) -> None:
    """Offline where nobody is logged in; also as root in a container, where JupyterLab refuses by itself."""
    (tmp_path / ".jupyter").mkdir()
    shows = "import os\nprint(os.environ.get('WANDB_MODE', ''), flush=True)\nos._exit(0)\n"
    (tmp_path / ".jupyter" / "jupyter_lab_config.py").write_text(shows)  # which a person's JupyterLab reads
    given = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    command: list[str | Path] = [sys.executable, ROOT / "notebooks" / "tracking.py", "--no-browser"]
    environment = given | variables | {"HOME": str(tmp_path)}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert shown.stdout == f"{mode}\n"
