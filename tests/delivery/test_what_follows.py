"""What a verdict means for a pull request and for what is deployed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from wine_serving.promotion import by_verdict
from wine_serving.registry import EVALUATION, MODEL
from wine_serving.registry.folder import FolderRegistry
from wine_serving.verdict import MEANING, Verdict

METRIC = {"value": 0.681, "low": 0.652, "high": 0.71}
MODELS = {version: {"version": version, "metrics": {"rmse": METRIC, "r2": METRIC}} for version in ("v0", "v1", "v2")}


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
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "reports").mkdir()
    shutil.copy(ROOT / "notebooks" / "what_follows.py", tmp_path / "notebooks")
    return tmp_path


def ask(checkout: Path, command: str, event: str = "push", registry: Path = Path("nowhere"), **more: str) -> str:
    """What the script prints for an event of GitHub's."""
    script = [sys.executable, str(checkout / "notebooks" / "what_follows.py"), command]
    environment = {"GITHUB_EVENT_NAME": event, "WINE_REGISTRY": f"folder:{registry}", **more}
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


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_what_a_person_moved_is_deployed(checkout: Path, promoted: FolderRegistry, action: str) -> None:
    """A dispatch that promotes or rolls back trains nothing: what production names then is deployed."""
    outputs = ask(checkout, "decision", "workflow_dispatch", promoted.root, ACTION=action).splitlines()
    assert outputs[:2] == ["model=v0", "deploy=true"]


def judged_by_an_evaluation(registry: FolderRegistry, version: str, production: str | None) -> Verdict:
    """As 04_evaluation leaves it on main: published with its page, and nothing moved."""
    said = verdict("promote", production=production)
    said |= {"candidate": {"version": version, "metrics": {}}}
    said["reasons"] = ["every gate holds", "production is left where it is, as promote is 'never'"]
    pages = registry.root.with_name("pages")
    pages.mkdir()
    (pages / "04_evaluation.html").write_text("a page")
    return by_verdict(registry, Verdict.read(said), move=False, pages=pages)


def carry_out(judged: Verdict, registry: FolderRegistry, **variables: str) -> str:
    """What the step of the workflow says, on this checkout's own code, with the verdict in its reports."""
    checkout = registry.root.with_name("checkout")
    for name in ("notebooks", "wine_serving"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "reports").mkdir()
    judged.write(checkout / "reports" / "verdict.json")
    return ask(checkout, "carry-out", "push", registry.root, **variables)


@pytest.fixture
def candidate(promoted: FolderRegistry, bundle_copy: Path) -> FolderRegistry:
    """A registry with v0 in production and v1 to be judged."""
    (bundle_copy / "MODEL_CARD.md").write_text("# Another\n")
    promoted.publish(bundle_copy, MODEL, kind="model", aliases=["candidate"])
    return promoted


def test_a_verdict_is_carried_out_afterwards(candidate: FolderRegistry) -> None:
    """Production moves; verdict, front page and both records say so; nothing is published twice."""
    judged = judged_by_an_evaluation(candidate, "v1", "v0")
    assert candidate.aliases(MODEL)["production"] == "v0"
    assert carry_out(judged, candidate) == "v1 is now production\n"
    assert candidate.aliases(MODEL)["production"] == "v1"
    reports = candidate.root.with_name("checkout") / "reports"
    done = Verdict.read((reports / "verdict.json").read_bytes())
    assert done.promoted
    assert done.reasons == ("every gate holds",)
    (published,) = candidate.records(EVALUATION)
    assert done.report == published.ref
    assert (candidate.fetch(published.ref) / "04_evaluation.html").read_text() == "a page"
    assert published.evaluation == candidate.record(f"{MODEL}:v1").evaluation == done.as_data()
    assert "In production: wine-quality:v1" in (reports / "index.html").read_text()


def test_a_verdict_from_before_production_moved_is_not_carried_out(candidate: FolderRegistry) -> None:
    """Somebody moved it in between: nothing moves, and the step fails."""
    judged = judged_by_an_evaluation(candidate, "v1", None)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        carry_out(judged, candidate)
    assert "production" in refused.value.stderr
    assert candidate.aliases(MODEL)["production"] == "v0"


def test_a_quick_training_promotes_only_where_there_is_no_production(candidate: FolderRegistry) -> None:
    """As the profile says for evaluations on a laptop."""
    said = carry_out(judged_by_an_evaluation(candidate, "v1", "v0"), candidate, PROFILE="quick")
    assert "only where nothing is in production" in said
    assert candidate.aliases(MODEL)["production"] == "v0"


@pytest.mark.parametrize("word", [*MEANING])
def test_the_summary_shows_both_models_with_their_intervals(checkout: Path, word: str) -> None:
    """A reviewer sees the verdict first, whichever it is, then the metrics side by side."""
    (checkout / "reports" / "verdict.json").write_text(json.dumps(verdict(word)))
    lines = ask(checkout, "summary").splitlines()
    assert lines[0] == f"## Verdict: {word}"
    apart = "exactly zero" if word == "unchanged" else ""
    assert f"| RMSE | 0.681 (0.652 to 0.710) | 0.681 (0.652 to 0.710) | {apart} |" in lines
    assert lines[-1].startswith("Dataset v0;")


def test_a_pipeline_that_stopped_has_a_summary_too(checkout: Path) -> None:
    """Where no verdict was reached, the summary says where to look."""
    assert "No verdict" in ask(checkout, "summary")
