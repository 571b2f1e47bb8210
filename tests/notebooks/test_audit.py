"""05_audit: what else is known about a model, measured and said; nothing is decided, published or moved."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.cells import Cells, environment
from wine_serving.bundle import Bundle
from wine_serving.registry import DATASET, EVALUATION, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import INPUTS, MEASUREMENTS, SEGMENT, SEGMENTS, TARGET, encode_columns

FEW = {"n_resamples": 100, "n_trees": 20}
USERS = tiny.made_up_wines(60, seed=5)


def state(registry: FolderRegistry) -> tuple[object, ...]:
    """All that a notebook could have changed."""
    versions = {name: len(registry.records(name)) for name in (DATASET, MODEL, EVALUATION)}
    return versions, registry.aliases(MODEL), len(registry.history(MODEL))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """Production was trained on UCI's wines, the candidate on a dataset with a cellar's strong wines beside them."""
    place = tmp_path_factory.mktemp("audited")
    folder = FolderRegistry(place / "registry")
    strong = tiny.made_up_wines(400).assign(alcohol=lambda wines: wines["alcohol"] + 3)
    strong[[*MEASUREMENTS, SEGMENT, TARGET]].to_csv(place / "cellar.csv", index=False)
    with environment(folder.root):
        Cells("01_data").run()
        few = {"n_estimators": 20}
        version = Cells("03_training", **few).run()["record"].version
        folder.move_alias(MODEL, PRODUCTION, version, reason="to compare with", by="a test")
        Cells("01_data", extra_csv=str(place / "cellar.csv")).run()
        Cells("03_training", **few, seed=2, publish_as="candidate").run()
    return folder


def logged(wine: dict[str, Any], number: int, purpose: str = "user") -> str:
    """A line of the prediction log."""
    interval = {"low": 5.0, "high": 7.0}
    output = {
        "quality": 6.0,
        "interval": interval,
        "grade": {"value": 6},
        "warnings": [],
        "prediction_id": f"r-{number}",
    }
    return json.dumps({"request_id": "r", "model_version": "v0", "purpose": purpose, "input": wine, "output": output})


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wines that users asked about, some of them twice, one of the page's own curves, and a line that was cut off."""
    wines = tiny.as_wines(USERS)
    lines = [logged(wine, number) for number, wine in enumerate([*wines, *wines[:9]])]
    lines += [logged(wines[0] | {"alcohol": 14.0}, 99, "what_if"), lines[0][:-30]]
    path = tmp_path_factory.mktemp("served") / "log.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def audit(registry: FolderRegistry, log: Path) -> Cells:
    """The audit to its end."""
    before = state(registry)
    with environment(registry.root):
        cells = Cells("05_audit", log=str(log), **FEW).run()
    assert state(registry) == before, "it must change nothing"
    return cells


def test_what_is_found_is_said(audit: Cells) -> None:
    """A sentence from each section, with the figures that it found."""
    assert len(audit["findings"]) >= 10
    assert all(len(each.split()) > 5 for each in audit["findings"].values())
    assert str(audit["shifts"]["Alcohol"]) in audit["findings"]["Alcohol"]


def test_drift_since_production_was_trained_is_measured(audit: Cells) -> None:
    """What the cellar's wines moved is beyond chance, and named."""
    drift = audit["drift"]["alcohol"]
    assert drift["shift of the mean (sd)"].low > 0
    assert drift["largest gap"] > audit["by_chance"]
    assert set(audit["drift"]) == {*MEASUREMENTS, TARGET}
    assert "alcohol" in audit["findings"]["drift"]


def test_drift_is_that_since_the_production_it_was_judged_against(registry: FolderRegistry, tmp_path: Path) -> None:
    """Also when production has moved to the candidate meanwhile, as in a pipeline."""
    with environment(registry.root):
        standing = registry.aliases(MODEL)[PRODUCTION]
        Cells(
            "04_evaluation",
            n_resamples=100,
            promote="always",
            promote_equivalent=True,
            reports=str(tmp_path / "reports"),
        ).run()
        newest = registry.aliases(MODEL)["candidate"]
        registry.move_alias(MODEL, PRODUCTION, newest, reason="as in a pipeline", by="a test")
        cells = Cells("05_audit", **FEW).run(before="behaviour").skip(to="drift").run(before="published")
        registry.move_alias(MODEL, PRODUCTION, standing, reason="back", by="a test")
    assert cells["then"] == f"{DATASET}:v0"


def test_logged_wines_of_users_are_asked_again_each_once(audit: Cells) -> None:
    """The page's own curves are nobody's wines; what cannot be read costs itself only, and is said."""
    assert audit["asked"][list(INPUTS)].equals(USERS[list(INPUTS)])
    said = "Of 70 predictions in the log 69 are users', of 60 distinct wines; the newest 60 are asked about again."
    assert audit["findings"]["replay"] == said
    assert "1 lines of the log cannot be read" in audit["lines"].told[0]


def test_shadow_is_the_candidate_beside_production_and_beside_its_own_twin(
    audit: Cells, registry: FolderRegistry
) -> None:
    """Strong wines taught it to score otherwise than production, and by more than another seed would move it."""
    scores = [
        Bundle.load(registry.fetch(ref)).predict(encode_columns(USERS)) for ref in (audit["record"].ref, f"{MODEL}:v0")
    ]
    moved, by_seed = audit["moves"].values()
    assert moved == pytest.approx(np.subtract(*scores), abs=1e-5)
    assert 0 < np.abs(by_seed).mean() < np.abs(moved).mean()
    assert str(audit["by_recipe"]) in audit["findings"]["shadow"]
    worst = audit["furthest_moved"]
    assert worst["moves"].abs().tolist() == pytest.approx(np.sort(np.abs(moved))[: -len(worst) - 1 : -1], abs=0.006)


def test_production_has_no_shadow_of_its_own(registry: FolderRegistry, log: Path) -> None:
    """Nothing is laid beside itself, and that is said."""
    with environment(registry.root):
        cells = Cells("05_audit", candidate=f"{MODEL}:v0", log=str(log), **FEW)
        cells.run(before="behaviour").skip(to="drift").run(before="published")
    assert not cells["moves"]
    assert "no other model in production" in cells["findings"]["shadow"]


def test_model_behaves_as_experts_expect(audit: Cells) -> None:
    """Directions with their intervals, and what any service must keep."""
    assert audit["expectations"] == {"Volatile acidity": True, "Alcohol": True}
    assert audit["same_order"].all()
    assert audit["singles"].all()


def test_robustness_is_a_paired_difference(audit: Cells) -> None:
    """The more noise the worse; coarser groups change next to nothing, so ours leave no twins apart."""
    assert audit["more"][0.1].value > audit["more"][0.01].value
    assert abs(audit["apart"]["coarser groups"].value) < 0.02


def test_papers_protocol_owes_its_gain_to_copies(audit: Cells) -> None:
    """Rows with a copy among those fitted on are recognized; the others are no better than distinct wines."""
    for segment in SEGMENTS:
        accuracy = {kind: row["accuracy"].value for (of, kind), row in audit["comparison"].items() if of == segment}
        assert accuracy["with a copy"] > 0.95
        assert abs(accuracy["without a copy"] - accuracy["distinct wines"]) < 0.05


def test_candidates_own_recipe_is_refitted(registry: FolderRegistry) -> None:
    """With its derived features, and with the settings that its record names; `n_trees` bounds the trees."""
    with environment(registry.root):
        cells = Cells("05_audit", candidate=f"{MODEL}:v0", n_trees=5).run(before="splits")
    made_with = cells["bundle"].metadata
    fitted = cells["refit"][-1]
    assert made_with.estimator == "random_forest"
    assert fitted.get_params() == made_with.hyperparameters | {"n_estimators": 5, "n_jobs": fitted.n_jobs}
    with_derived = cells["refit"][0].transform(cells["test"])
    assert np.asarray(with_derived).shape[1] >= len(MEASUREMENTS) + 1
