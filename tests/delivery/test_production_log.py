"""`make log`: production's predictions from Google's stand-in, as all that reads logs takes them."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import logged
import pytest

from tests.conftest import ROOT
from tests.delivery.here import PATH
from tests.notebooks.test_tasting import line

NOW = datetime.now(UTC)


class Project:
    """A checkout, and a Google project whose services have logged a prediction a day."""

    def __init__(self, folder: Path) -> None:
        self.cloud, self.checkout = folder / "cloud", folder / "checkout"
        (self.checkout / ".github").mkdir(parents=True)
        shutil.copy(ROOT / ".github" / "production-log.sh", self.checkout / ".github")
        self.cloud.mkdir()
        self.keep({"logging buckets wine-quality-predictions": None})
        lines = [line(row, time=(NOW - timedelta(days=row)).isoformat(), severity="INFO") for row in range(10)]
        written = [
            "INFO: started",
            '{"message":"something else"}',
            *(json.dumps(each, separators=(",", ":")) for each in lines),
        ]
        (self.cloud / "wine-quality-api-00001.log").write_text("\n".join(written) + "\n")

    def keep(self, created: dict[str, None]) -> None:
        (self.cloud / "state.json").write_text(json.dumps({"services": {}, "created": created, "servers": []}))

    def fetch(self, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ, "PATH": PATH, "GCLOUD_STATE": str(self.cloud), "GCP_PROJECT": "a-project",
            "GCLOUD_REVISION": shlex.join([sys.executable]),
        }  # fmt: skip
        return subprocess.run(
            [str(self.checkout / ".github" / "production-log.sh")],
            env=environment | variables, check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def files(self) -> list[Path]:
        return [*(self.checkout / "artifacts").rglob("*.*")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_predictions_of_a_week_are_fetched(project: Project) -> None:
    """Where nobody says how long: gcloud itself would look back for one day only."""
    done = project.fetch()
    assert done.returncode == 0, done.stderr
    (path,) = project.files()
    assert done.stdout == f"{path.relative_to(project.checkout)}\n"
    found = logged.read(str(path)).table
    assert found["prediction_id"].tolist() == [f"id-{row}" for row in reversed(range(7))]


def test_what_two_fetches_share_counts_once(project: Project) -> None:
    """The folder may be named whole, however often it was fetched."""
    for since in ("3d", "1w"):
        assert project.fetch(SINCE=since).returncode == 0
        (newest,) = (each for each in project.files() if each.name.startswith("20"))
        newest.rename(newest.with_name(f"fetched-{since}"))
    assert len(logged.read(f"{project.checkout}/artifacts/log/").table) == 7


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SINCE": "a week"}, "SINCE=a week cannot be used: it must be a number and s, m, h, d or w, such as 7d"),
        ({"GCP_PROJECT": ""}, "GCP_PROJECT: is not set: the id of the Google Cloud project whose log is wanted"),
    ],
    ids=["no span", "no project"],
)
def test_what_is_missing_is_said(project: Project, variables: dict[str, str], sentence: str) -> None:
    """In a sentence, and nothing is written."""
    done = project.fetch(**variables)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert project.files() == []


def test_fetch_that_fails_leaves_no_file(project: Project) -> None:
    """Half a log would pass for a quiet week."""
    project.keep({})
    done = project.fetch()
    assert done.returncode != 0
    assert "there is no bucket wine-quality-predictions" in done.stderr
    assert project.files() == []
