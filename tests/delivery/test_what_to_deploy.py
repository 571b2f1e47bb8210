"""What a verdict means for a pull request and for what is deployed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from wine_serving.registry.folder import FolderRegistry

METRIC = {"value": 0.681, "low": 0.652, "high": 0.71}
MODELS = {version: {"version": version, "metrics": {"rmse": METRIC, "r2": METRIC}} for version in ("v1", "v2")}


def verdict(word: str, *, promoted: bool = False, production: str | None = "v1") -> dict[str, Any]:
    """What the evaluation notebook leaves in reports/verdict.json."""
    return {
        "verdict": word,
        "promoted": promoted,
        "reasons": ["as good as production"],
        "gates": [],
        "dataset": {"version": "v0", "digest": "354d27480a94"},
        "candidate": MODELS["v1" if word == "unchanged" else "v2"],
        "production": MODELS[production] if production else None,
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the script alone."""
    (tmp_path / ".github").mkdir()
    (tmp_path / "reports").mkdir()
    shutil.copy(ROOT / ".github" / "what_to_deploy.py", tmp_path / ".github")
    return tmp_path


def ask(checkout: Path, command: str, event: str = "push", registry: Path = Path("nowhere")) -> str:
    """What the script prints for an event of GitHub's."""
    script = [sys.executable, str(checkout / ".github" / "what_to_deploy.py"), command]
    environment = {"GITHUB_EVENT_NAME": event, "WINE_REGISTRY": f"folder:{registry}"}
    return subprocess.run(script, env=environment, check=True, capture_output=True, text=True, encoding="utf-8").stdout


DECISIONS = {
    "a push with a promotion deploys the new version": ("push", verdict("promote", promoted=True), "v2", "true"),
    "the first promotion of all": ("push", verdict("promote", promoted=True, production=None), "v2", "true"),
    "a declined candidate: the code with production": ("push", verdict("decline"), "v1", "true"),
    "an unchanged model: the code with production": ("push", verdict("unchanged"), "v1", "true"),
    "nothing in production at all": ("push", verdict("decline", production=None), "", "false"),
    "a retrain with a promotion": ("schedule", verdict("promote", promoted=True), "v2", "true"),
    "a retrain that is declined": ("schedule", verdict("decline"), "v1", "false"),
    "a manual retrain that changes nothing": ("workflow_dispatch", verdict("unchanged"), "v1", "false"),
    "good enough, but promotion was not asked for": ("push", verdict("promote"), "v1", "true"),
}


@pytest.mark.parametrize(("event", "judged", "model", "deploy"), DECISIONS.values(), ids=list(DECISIONS))
def test_promotion_and_deployment_are_two_things(
    checkout: Path, event: str, judged: dict[str, Any], model: str, deploy: str
) -> None:
    """Which version is deployed, and whether it is deployed now, follow from the verdict and the event."""
    (checkout / "reports" / "verdict.json").write_text(json.dumps(judged))
    outputs = dict(line.partition("=")[::2] for line in ask(checkout, "decision", event).splitlines())
    assert (outputs["model"], outputs["deploy"]) == (model, deploy)
    assert outputs["reason"]


ODD = {
    "is no verdict": verdict("decline\ndeploy=true"),
    "is no version": verdict("promote", promoted=True) | {"candidate": {"version": "v2\ndeploy=true", "metrics": {}}},
}


@pytest.mark.parametrize(("said", "odd"), ODD.items(), ids=list(ODD))
def test_line_breaks_add_no_output_to_a_workflow(checkout: Path, said: str, odd: dict[str, Any]) -> None:
    """What is no verdict, or no version, is refused before anything is printed."""
    (checkout / "reports" / "verdict.json").write_text(json.dumps(odd))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        ask(checkout, "decision")
    assert refused.value.stdout == ""
    assert said in refused.value.stderr


def test_line_breaks_in_a_reason_add_no_output_either(checkout: Path) -> None:
    """Three outputs, and only those, whatever a reason says."""
    judged = verdict("decline") | {"reasons": ["worse\nmodel=v9\ndeploy=true"]}
    (checkout / "reports" / "verdict.json").write_text(json.dumps(judged))
    outputs = [line.partition("=")[::2] for line in ask(checkout, "decision").splitlines()]
    assert [name for name, _ in outputs] == ["model", "deploy", "reason"]
    assert dict(outputs)["model"] == "v1"


def test_a_moved_alias_deploys_the_version_that_it_names_now(checkout: Path, promoted: FolderRegistry) -> None:
    """Without any training and any verdict; before the first promotion there is nothing to deploy."""
    outputs = ask(checkout, "decision", "repository_dispatch", promoted.root).splitlines()
    assert outputs == ["model=v0", "deploy=true", "reason=production was moved to v0"]
    assert "deploy=false" in ask(checkout, "decision", "repository_dispatch", checkout / "empty")


def test_the_summary_shows_both_models_with_their_intervals(checkout: Path) -> None:
    """A reviewer sees the verdict first, then the metrics side by side."""
    (checkout / "reports" / "verdict.json").write_text(json.dumps(verdict("decline")))
    lines = ask(checkout, "summary").splitlines()
    assert lines[0] == "## Verdict: decline"
    assert "| RMSE | 0.681 (0.652 to 0.710) | 0.681 (0.652 to 0.710) |" in lines
    assert lines[-1].startswith("Dataset v0;")


def test_a_pipeline_that_stopped_has_a_summary_too(checkout: Path) -> None:
    """Where no verdict was reached, the summary says where to look."""
    assert "No verdict" in ask(checkout, "summary")
