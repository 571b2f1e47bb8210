"""Who is told what of runs that nobody waits for, on a stand-in for `gh`; and that no published page gets lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.delivery.here import QUICK_PATH
from tests.delivery.test_what_follows import verdict
from tests.serving.test_monitoring import FOUND
from tests.stand_ins.wandb_server.app import WandbServer

SCRIPTS = ("tell.py", "published.py", "command.py")


class Runner:
    """A checkout with the scripts alone, on a machine of GitHub's."""

    def __init__(self, folder: Path) -> None:
        self.reports, self.store = folder / "reports", folder / "store"
        for place in (folder / ".github", self.reports, self.store):
            place.mkdir()
        for name in SCRIPTS:
            shutil.copy(ROOT / ".github" / name, folder / ".github")
        about = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "somebody/wine", "GITHUB_RUN_ID": "7"}
        self.environment = {**os.environ, **about, "PATH": QUICK_PATH, "GH_STORE": str(self.store)}

    def run(self, script: str, command: str, **variables: str) -> str:
        """What the script says."""
        words = [sys.executable, str(self.reports.parent / ".github" / script), command]
        environment = self.environment | variables
        return subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout

    def look(self, answer: str, version: str = "v3", **variables: str) -> None:
        """Tell of a look that came to that answer."""
        found = FOUND.as_data() | {
            "answer": answer,
            "production": {"version": version, "dataset": "wine-quality-data:v1"},
        }
        (self.reports / "monitor.json").write_text(json.dumps(found))
        self.run("tell.py", "monitoring", **variables)

    @property
    def issues(self) -> list[dict[str, Any]]:
        """All that were ever opened."""
        file = self.store / "issues.json"
        found: list[dict[str, Any]] = json.loads(file.read_text())["issues"] if file.exists() else []
        return found

    @property
    def open_titles(self) -> list[str]:
        return [issue["title"] for issue in self.issues if issue["open"]]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_one_issue_is_open_while_production_does_not_do_what_it_was_promoted_for(runner: Runner) -> None:
    """Opened once, kept up to date, left alone by what was too little to tell, closed when it is over."""
    runner.look("as_promoted")
    assert not runner.issues
    runner.look("inputs_changed")
    (issue,) = runner.issues
    assert issue["title"] == "Monitoring of v3: the wines have changed"
    assert FOUND.sentence in issue["said"][0]
    assert "- Alcohol of red wines, the week: higher than in the reference" in issue["said"][0]
    runner.look("worse")
    runner.look("too_few")
    assert runner.open_titles == ["Monitoring of v3: production has become worse"]
    runner.look("as_promoted")
    assert len(runner.issues) == 1
    assert not runner.open_titles


def test_what_was_found_of_a_former_production_is_over_with_it(runner: Runner) -> None:
    """Even where of the new one there is too little to tell."""
    runner.look("worse", "v3")
    runner.look("too_few", "v4")
    assert not runner.open_titles


def test_a_demonstration_tells_nobody_anything(runner: Runner) -> None:
    """Simulated weeks are nobody's wines."""
    (runner.reports / "monitor.json").write_text(json.dumps(FOUND.as_data() | {"simulated": True, "answer": "worse"}))
    runner.run("tell.py", "monitoring")
    assert not runner.issues


def test_nobody_is_called_by_what_stands_in_a_log(runner: Runner) -> None:
    """A name with @ before it would write to a stranger."""
    (runner.reports / "monitor.json").write_text(json.dumps(FOUND.as_data() | {"sentence": "Ask @somebody."}))
    runner.run("tell.py", "monitoring")
    assert "@somebody" not in runner.issues[0]["said"][0]


def test_new_grades_start_a_training_and_drift_alone_does_not(runner: Runner) -> None:
    """Without new grades nothing would change."""
    runner.look("worse")
    assert not (runner.store / "started").exists()
    runner.look("as_promoted", NEW_GRADES="wine-quality-grades:v3")
    assert (
        runner.store / "started"
    ).read_text() == "main.yml --field parameters=-p grades wine-quality-grades:v3 --field unattended=true\n"


def results(**jobs: str) -> str:
    """What GitHub knows of jobs."""
    return json.dumps({name: {"result": result, "outputs": {}} for name, result in jobs.items()})


TRAININGS = {
    "a failure": (None, {"train": "success", "deploy": "failure"}, "A training that nobody waited for failed: deploy"),
    "a promotion": (verdict("promote", promoted=True), {"train": "success"}, "v2 is now production"),
    "a decision to make": (verdict("hold"), {"train": "success"}, "v2 waits for a decision"),
    "nothing new": (verdict("decline"), {"train": "success", "pages": "skipped"}, None),
}


@pytest.mark.parametrize(("judged", "jobs", "title"), TRAININGS.values(), ids=list(TRAININGS))
def test_a_training_that_nobody_waits_for_tells_somebody(
    runner: Runner, judged: dict[str, Any] | None, jobs: dict[str, str], title: str | None
) -> None:
    """Of what failed, was promoted or must be decided; the next that has nothing to tell closes the issue."""
    if judged:
        (runner.reports / "verdict.json").write_text(json.dumps(judged))
    runner.run("tell.py", "training", NEEDS=results(**jobs))
    assert len(runner.open_titles) == bool(title)
    if title:
        assert runner.open_titles[0].startswith(title)
        (runner.reports / "verdict.json").write_text(json.dumps(verdict("unchanged")))
        runner.run("tell.py", "training", NEEDS=results(train="success"))
        assert not runner.open_titles


def test_a_look_that_failed_has_an_issue_of_its_own(runner: Runner) -> None:
    """Beside what the last look found, which is neither over nor confirmed."""
    runner.look("worse")
    (runner.reports / "monitor.json").unlink()
    runner.run("tell.py", "monitoring", NEEDS=results(look="failure"))
    assert sorted(runner.open_titles) == [
        "Monitoring of v3: production has become worse",
        "The weekly look at production failed: look",
    ]


def test_a_run_publishes_also_the_pages_that_it_does_not_make(runner: Runner, tmp_path: Path) -> None:
    """From the newest site of main: a training takes what monitoring left, a look all else; what is here stays."""
    site = tmp_path / "site"
    (site / "history").mkdir(parents=True)
    for name in ("07_monitoring.html", "monitor.json", "index.html", "history/v0.html"):
        (site / name).write_text("of last week")
    assert "no reports were published yet" in runner.run("published.py", "monitoring")
    runner.run("published.py", "monitoring", GH_SITE=str(site))
    assert {path.name for path in runner.reports.iterdir()} == {"07_monitoring.html", "monitor.json"}
    (runner.reports / "index.html").write_text("of today")
    runner.run("published.py", "all", GH_SITE=str(site))
    assert (runner.reports / "index.html").read_text() == "of today"
    assert (runner.reports / "history" / "v0.html").read_text() == "of last week"


@pytest.mark.delivery
def test_who_has_wandb_is_alerted_there(runner: Runner, wandb_server: WandbServer, wandb_home: Path) -> None:
    """Where there is a key; with the words of the issue, and only where there is something to say."""
    (runner.reports / "monitor.json").write_text(json.dumps(FOUND.as_data()))
    assert "no key" in runner.run("tell.py", "alert-monitoring", WANDB_API_KEY="")
    for command in ("alert-monitoring", "alert-training"):
        runner.run("tell.py", command, **wandb_server.environment(wandb_home))
    (run,) = wandb_server.project.runs_by_name.values()
    ((title, text),) = run.alerts
    assert title == "Monitoring of v3: the wines have changed"
    assert FOUND.sentence in text
