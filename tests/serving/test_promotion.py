"""The one door: production moves by a verdict, or by a person with `python -m wine_serving promote` and `rollback`."""

from pathlib import Path

import pytest

from tests import frozen, tiny
from tests.cells import Cells, environment
from wine_serving import promotion
from wine_serving.__main__ import main
from wine_serving.errors import AliasMoved
from wine_serving.registry import DATASET, EVALUATION, MODEL
from wine_serving.registry.folder import FolderRegistry
from wine_serving.verdict import Dataset, Gate, Judged, Metric, Verdict, Word


@pytest.fixture
def two_versions(
    folder: FolderRegistry, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FolderRegistry:
    """v0 in production, v1 the candidate; the command line uses this registry."""
    folder.publish(tiny_bundle, MODEL, kind="model", aliases=["production"])
    tiny.write_bundle(tmp_path / "second", seed=1)
    folder.publish(tmp_path / "second", MODEL, kind="model", aliases=["candidate"])
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{folder.root}")
    return folder


def test_promotion_by_hand_keeps_who_when_and_why(
    two_versions: FolderRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """The move and its reason are in the history, and the command says what it did."""
    assert main(["promote", "v1", "--reason", "tasted and approved"]) == 0
    assert "v0 → wine-quality:v1 (tasted and approved)" in capsys.readouterr().out
    last = two_versions.history(MODEL)[-1]
    assert (last.previous, last.version, last.reason) == ("v0", "v1", "tasted and approved")


def test_rollback_returns_to_the_version_before(two_versions: FolderRegistry) -> None:
    """One command undoes the last promotion; the version taken back stays in the registry."""
    main(["promote", "candidate", "--reason", "better"])
    assert main(["rollback"]) == 0
    assert two_versions.aliases(MODEL)["production"] == "v0"
    assert two_versions.history(MODEL)[-1].reason == "rollback from v1"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    {
        "no reason": (["promote", "v1", "--reason", " "], "needs a reason"),
        "unknown version": (["promote", "v9", "--reason", "x"], "no version v9"),
        "nothing before": (["rollback"], "nothing to roll back to"),
    }.values(),
)
def test_impossible_move_is_refused_in_one_sentence(
    two_versions: FolderRegistry, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """Nothing moves, the exit code says so, and stderr says why."""
    assert main(arguments) == 1
    assert sentence in capsys.readouterr().err
    assert two_versions.aliases(MODEL)["production"] == "v0"


def test_model_that_fails_its_golden_wines_is_not_promoted(
    two_versions: FolderRegistry, bundle_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person cannot promote by hand what could not be served."""
    (tmp_path / "second" / "model.onnx").replace(bundle_copy / "model.onnx")
    two_versions.publish(bundle_copy, MODEL, kind="model")
    assert main(["promote", "v2", "--reason", "in a hurry"]) == 1
    assert "golden wine" in capsys.readouterr().err
    assert two_versions.aliases(MODEL)["production"] == "v0"


@pytest.mark.usefixtures("two_versions")
def test_history_lists_every_move(capsys: pytest.CaptureFixture[str]) -> None:
    """Who moved production, when and why, a line each."""
    main(["promote", "v1", "--reason", "better"])
    capsys.readouterr()
    assert main(["history"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("UTC  ")[1].split("  by")[0] for line in lines] == ["nothing → v0", "v0 → v1"]


def judged(word: Word = "promote") -> Verdict:
    """A verdict on v1, judged against v0."""
    metrics = {"rmse": Metric(value=0.68, low=0.65, high=0.71)}
    return Verdict(
        verdict=word,
        promoted=False,
        reasons=("every gate holds",),
        gates=(Gate.judge("size", 1.2, "at most", 14, "memory is short", "MB"),),
        dataset=Dataset(version="v0", digest="0" * 64),
        candidate=Judged(version="v1", metrics=metrics),
        production=Judged(version="v0", metrics=metrics),
    )


def test_a_verdict_is_published_attached_and_carried_out(two_versions: FolderRegistry, tmp_path: Path) -> None:
    """The evaluation with its pages, the candidate's record, and production, which says why."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "04_evaluation.html").write_text("<p>Promote</p>")
    done = promotion.by_verdict(two_versions, judged(), move=True, pages=tmp_path / "pages")
    assert (done.promoted, done.report) == (True, f"{EVALUATION}:v0")
    published = two_versions.record(f"{EVALUATION}:v0")
    assert set(published.files) == {"verdict.json", "04_evaluation.html"}
    assert published.inputs == (f"{DATASET}:v0", f"{MODEL}:v1", f"{MODEL}:v0")
    assert Verdict.read(published.metadata) == done.model_copy(update={"report": None, "promoted": None})
    assert two_versions.record(f"{MODEL}:v1").evaluation == done.as_data()
    last = two_versions.history(MODEL)[-1]
    assert (last.previous, last.version, last.reason) == ("v0", "v1", "evaluation: every gate holds")


def test_a_verdict_carried_out_again_changes_nothing(two_versions: FolderRegistry) -> None:
    """A cell may be run twice."""
    assert promotion.by_verdict(two_versions, judged(), move=True) == promotion.by_verdict(
        two_versions, judged(), move=True
    )
    assert len(two_versions.records(EVALUATION)) == 1
    assert len(two_versions.history(MODEL)) == 2


@pytest.mark.parametrize("word", ["equivalent", "hold", "decline"])
def test_only_a_promoted_candidate_moves_production(two_versions: FolderRegistry, word: Word) -> None:
    """Every other verdict is published, and production stays."""
    assert not promotion.by_verdict(two_versions, judged(word), move=True).promoted
    assert not promotion.by_verdict(two_versions, judged(), move=False).promoted
    assert two_versions.aliases(MODEL)["production"] == "v0"
    assert [record.metadata["verdict"] for record in two_versions.records(EVALUATION)] == [word, "promote"]


def test_unchanged_is_no_evaluation(two_versions: FolderRegistry) -> None:
    """Nothing was decided, so nothing is published."""
    verdict = judged("unchanged")
    assert promotion.by_verdict(two_versions, verdict, move=True) == verdict
    assert two_versions.records(EVALUATION) == []


def test_verdict_on_what_is_no_longer_production_is_not_carried_out(two_versions: FolderRegistry) -> None:
    """Somebody moved it meanwhile: nothing is published and nothing moves."""
    stale = judged().model_copy(update={"production": None})
    with pytest.raises(AliasMoved, match="production is v0, not unset"):
        promotion.by_verdict(two_versions, stale, move=True)
    assert two_versions.records(EVALUATION) == []
    assert two_versions.aliases(MODEL)["production"] == "v0"


def test_the_evaluation_run_cell_by_cell_goes_through_the_door(tmp_path: Path) -> None:
    """In JupyterLab as under make: no production without a published evaluation that says why."""
    registry = FolderRegistry(frozen.unpack_registry(tmp_path))
    options = {"promote": "always", "n_resamples": 200, "n_trees": 2, "reports": str(tmp_path / "reports")}
    with environment(registry.root):
        Cells("04_evaluation", **options).run()
    published = registry.record(f"{EVALUATION}:latest")
    assert published.version == "v2"
    assert published.metadata["promoted"] is None
    assert registry.record(f"{MODEL}:production").version == published.metadata["candidate"]["version"] == "v1"
    assert registry.record(f"{MODEL}:v1").evaluation == published.metadata | {"report": published.ref, "promoted": True}
