"""05_audit: what else is known about a model, measured and said; nothing is decided, published or moved."""

from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.cells import Cells, environment
from wine_serving.registry import DATASET, EVALUATION, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import MEASUREMENTS, SEGMENT, SEGMENTS, TARGET

FEW = {"n_resamples": 100, "n_trees": 20}


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


@pytest.fixture(scope="module")
def audit(registry: FolderRegistry) -> Cells:
    """The audit to its end."""
    before = state(registry)
    with environment(registry.root):
        cells = Cells("05_audit", **FEW).run()
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
